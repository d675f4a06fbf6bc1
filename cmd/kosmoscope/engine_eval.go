package main

import (
	"context"
	"errors"
	"fmt"
	"image"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval/material"
)

type engineEvalCmd struct {
	Dir     string `arg:"" type:"existingdir" help:"The labelled folder."`
	JSON    string `name:"json" type:"path" placeholder:"FILE" help:"Write the report as JSON."`
	HTML    string `name:"html" type:"path" placeholder:"FILE" help:"Write the report as one HTML page with plots."`
	Gate    string `type:"existingfile" placeholder:"FILE" help:"Hold the figures against the bounds in this JSON file."`
	Models  string `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	Set     string `enum:"full,unencumbered" default:"full" help:"Which models: ${enum}."`
	Workers int    `default:"1" help:"Items judged at the same time. With more than one the times include waiting for each other."`
	Limit   int    `help:"At most so many pictures of each identity, documents of each level and cases of each species."`
	Verbose bool   `short:"v" help:"Name on stderr every item that did not come out as its label wants."`
}

// Help is shown under the command's flags.
func (engineEvalCmd) Help() string {
	return "The folder is laid out so:\n\n" + eval.Layout + `

kosmoscope engine specimen --dataset DIR renders one from specimens.

A gate is {"bounds": {"documents/*/mrz/exact": {"min": 0.9}, "attacks/*/apcer": {"max": 0}}}:
names of the figures under metrics in the JSON report, * for one part of a name. What
was not measured breaks it.

Ctrl-C writes the reports of what was measured until then, marked partial.
Exit status: 0 measured, 1 the gate is broken, 2 error, 130 interrupted.`
}

func (c *engineEvalCmd) Run(ctx context.Context, s *streams) error {
	var gate *eval.Gate
	if c.Gate != "" {
		b, err := os.ReadFile(c.Gate)
		if err != nil {
			return err
		}
		if gate, err = eval.ParseGate(b); err != nil {
			return hint(fmt.Errorf("%s: %w", c.Gate, err), "kosmoscope engine eval --help shows what a gate looks like")
		}
	}
	folder, err := eval.Load(os.DirFS(c.Dir))
	if err != nil {
		return hint(fmt.Errorf("%s: %w", c.Dir, err), "kosmoscope engine eval --help shows the layout")
	}
	models, err := modelsDir(c.Models)
	if err != nil {
		return err
	}
	now := time.Now
	if !folder.Today.IsZero() {
		now = func() time.Time { return folder.Today }
	}
	v, closeEngine, err := engine.Open(models, c.Set, engine.Config{Version: version, Now: now, Log: slog.New(slog.NewTextHandler(s.err, &slog.HandlerOptions{Level: slog.LevelError}))})
	if err != nil {
		return err
	}
	defer closeEngine()
	rep, err := eval.Run(ctx, folder, v, eval.Options{Profiles: profiles(c.Set), Workers: c.Workers, Limit: c.Limit, Progress: c.progress(s.err)})
	if errors.Is(err, eval.ErrModels) {
		return hint(err, "run make build; without models there is nothing to measure")
	}
	if err != nil {
		return err
	}
	if gate != nil {
		v := gate.Check(rep)
		rep.Gate = &v
	}
	for _, to := range []struct {
		path  string
		write func(io.Writer) error
	}{{c.JSON, rep.WriteJSON}, {c.HTML, rep.WriteHTML}} {
		if to.path == "" {
			continue
		}
		if err := writeFile(to.path, to.write); err != nil {
			return err
		}
	}
	if err := rep.WriteText(s.out); err != nil {
		return err
	}
	if rep.Partial && ctx.Err() != nil {
		return ctx.Err()
	}
	if rep.Gate != nil && len(rep.Gate.Broken) > 0 {
		return &exit{1, errors.New("the gate is broken")}
	}
	return nil
}

// profiles are the rows of thresholds of a set of models.
func profiles(set string) (out []eval.Profile) {
	for _, name := range []string{engine.Permissive, engine.Standard, engine.Strict} {
		if t, ok := engine.ProfileThresholds(name, set); ok {
			out = append(out, eval.Profile{Name: name, Thresholds: t})
		}
	}
	return out
}

// progress tells how far it is, every two seconds and at the end.
func (c *engineEvalCmd) progress(w io.Writer) func(done, total int, odd string) {
	last := time.Now()
	return func(done, total int, odd string) {
		if c.Verbose && odd != "" {
			fmt.Fprintln(w, odd)
		}
		if now := time.Now(); done == total || now.Sub(last) >= 2*time.Second {
			last = now
			fmt.Fprintf(w, "[%d/%d]\n", done, total)
		}
	}
}

func writeFile(path string, write func(io.Writer) error) error {
	f, err := os.Create(path)
	if err != nil {
		return err
	}
	return errors.Join(write(f), f.Close())
}

// tools are what draws heads and barcodes.
func (c *specimenCmd) tools() (material.Tools, func() error, error) {
	dir, err := modelsDir(c.Models)
	if err != nil {
		return material.Tools{}, nil, err
	}
	t, closeTools, err := material.Open(dir)
	return t, closeTools, hint(err, "run make build: rendering heads and barcodes takes the models")
}

// dataset renders a labelled folder.
func (c *specimenCmd) dataset(ctx context.Context, s *streams) error {
	t, closeTools, err := c.tools()
	if err != nil {
		return err
	}
	defer closeTools()
	return material.Write(ctx, c.Dataset, t, material.Options{Count: c.Count, Seed: c.Seed, Parts: c.Parts, Species: c.Species, Few: c.Few,
		Progress: func(what string) { fmt.Fprintln(s.err, what) }})
}

// frames renders a head, or a picture in the place of one, into the folder Out.
func (c *specimenCmd) frames(ctx context.Context, s *streams, face image.Image) error {
	if face == nil {
		return hint(errors.New("a head needs a face"), "give --portrait FILE, a photo of one face from the front")
	}
	t, closeTools, err := c.tools()
	if err != nil {
		return err
	}
	defer closeTools()
	mesh, err := t.Mesh(face)
	if err != nil {
		return fmt.Errorf("%s: %w", c.Portrait, err)
	}
	if err := os.MkdirAll(c.Out, 0o755); err != nil {
		return err
	}
	fmt.Fprintln(s.out, c.Out)
	return material.Actions(ctx, face, mesh, c.Kind == "flat", c.Seed, func(name string, jpeg []byte) error {
		return os.WriteFile(filepath.Join(c.Out, name), jpeg, 0o644)
	})
}
