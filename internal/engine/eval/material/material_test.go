package material_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/jpeg"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval/material"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// tools opens the real ones, or skips the test.
func tools(t *testing.T) (material.Tools, string) {
	t.Helper()
	if raced {
		t.Skip("rendering and networks are too slow under the race detector")
	}
	skip := t.Skipf
	if os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
		skip = t.Fatalf
	}
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "..", "bin", "models")
	}
	if _, err := specimen.FacesDir(); err != nil {
		skip("no test faces: %v", err)
	}
	tools, closeTools, err := material.Open(dir)
	if err != nil {
		skip("no models (make build, or KOSMOSCOPE_MODELS): %v", err)
	}
	t.Cleanup(func() {
		if err := closeTools(); err != nil {
			t.Error(err)
		}
	})
	return tools, dir
}

// TestGate is the regression gate: it renders a small folder, measures the engine
// on it, and holds the figures against testdata/gate.json. Then a truth is changed,
// as if the engine misread it, and the gate must break.
func TestGate(t *testing.T) {
	tools, modelsDir := tools(t)
	dir := filepath.Join(t.TempDir(), "set")
	if err := material.Write(t.Context(), dir, tools, material.Options{Count: 1, Seed: 1, Few: true}); err != nil {
		t.Fatal(err)
	}
	b, err := os.ReadFile("testdata/gate.json")
	if err != nil {
		t.Fatal(err)
	}
	gate, err := eval.ParseGate(b)
	if err != nil {
		t.Fatal(err)
	}
	thresholds, _ := engine.ProfileThresholds(engine.Standard, models.SetFull)
	measure := func() eval.Verdict {
		folder, err := eval.Load(os.DirFS(dir))
		if err != nil {
			t.Fatal(err)
		}
		v, closeEngine, err := engine.Open(modelsDir, models.SetFull, engine.Config{Now: func() time.Time { return folder.Today }})
		if err != nil {
			t.Fatal(err)
		}
		defer closeEngine()
		rep, err := eval.Run(t.Context(), folder, v, eval.Options{Profiles: []eval.Profile{{Name: engine.Standard, Thresholds: thresholds}}, Workers: 2,
			Progress: func(_, _ int, odd string) {
				if odd != "" {
					t.Log(odd)
				}
			}})
		if err != nil {
			t.Fatal(err)
		}
		return gate.Check(rep)
	}
	if v := measure(); len(v.Broken) > 0 || v.Checked < len(gate.Bounds) {
		t.Errorf("%d checked, broken: %q", v.Checked, v.Broken)
	}
	// The documents alone, one of which is not what its truth says.
	for _, part := range []string{"faces", "attacks", "bona_fide", "documents/refused"} {
		if err := os.RemoveAll(filepath.Join(dir, part)); err != nil {
			t.Fatal(err)
		}
	}
	files, err := filepath.Glob(filepath.Join(dir, "documents", "1-mild", "*.json"))
	if err != nil || len(files) == 0 {
		t.Fatal(err, files)
	}
	for _, file := range files {
		var truth map[string]any
		if b, err = os.ReadFile(file); err == nil {
			err = json.Unmarshal(b, &truth)
		}
		delete(truth, "holder")
		truth["document"].(map[string]any)["birth_date"] = "1901-01-01"
		if b, err2 := json.Marshal(truth); err == nil && err2 == nil {
			err = os.WriteFile(file, b, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	broken := measure().Broken
	for _, want := range []string{"documents/falsely_valid is 3, at most 0 is wanted", "documents/1-mild/mrz/exact is 0, at least 1 is wanted", "bona_fide/passed was not measured"} {
		if !slices.Contains(broken, want) {
			t.Errorf("the gate does not say %q but %q", want, broken)
		}
	}
}

// TestActions: no frame of a head may be shown twice, no two look alike, and every
// action has enough.
func TestActions(t *testing.T) {
	tools, _ := tools(t)
	dir, err := specimen.FacesDir()
	if err != nil {
		t.Fatal(err)
	}
	faces, err := specimen.Faces(dir)
	if err != nil {
		t.Fatal(err)
	}
	f, _ := specimen.FindFace(faces, "3c")
	mesh, err := tools.Mesh(f.Selfie())
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(t.Context())
	var names []string
	var seen [][]float64
	err = material.Actions(ctx, f.Selfie(), mesh, false, 1, func(name string, b []byte) error {
		img, err := jpeg.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		now := small(img)
		for i, before := range seen {
			sum := 0.0
			for k := range now {
				sum += math.Abs(now[k] - before[k])
			}
			if d := sum / float64(len(now)); d < liveness.DefaultLimits().Same {
				t.Errorf("%s looks like %s: difference %.2f", name, names[i], d)
			}
		}
		seen = append(seen, now)
		if names = append(names, name); len(names) == 50 {
			stop()
		}
		return nil
	})
	if !errors.Is(err, context.Canceled) || names[0] != "look_straight-01.jpg" || names[49] != "turn_left-02.jpg" {
		t.Errorf("%v %q", err, names)
	}
}

// small is the mean luma of cells, as the engine compares frames by.
func small(img image.Image) []float64 {
	const w, h = 96, 72
	sum, n, b := make([]float64, w*h), make([]float64, w*h), img.Bounds()
	for y := range b.Dy() {
		for x := range b.Dx() {
			i := y*h/b.Dy()*w + x*w/b.Dx()
			r, g, bl, _ := img.At(b.Min.X+x, b.Min.Y+y).RGBA()
			sum[i] += (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(bl)) / 257
			n[i]++
		}
	}
	for i := range sum {
		sum[i] /= n[i]
	}
	return sum
}

// Tools that are wrong end it, and nothing half-made is measured by mistake.
func TestWriteRefuses(t *testing.T) {
	if _, err := specimen.FacesDir(); err != nil {
		t.Skip(err)
	}
	none := errors.New("no mesh")
	broken := material.Tools{Mesh: func(image.Image) ([]specimen.Point3, error) { return nil, none },
		Barcode: func(context.Context, string) (image.Image, error) { return nil, none },
		Frame:   func(context.Context, *api.FrameRequest) (*api.FrameReport, error) { return nil, none }}
	full := t.TempDir()
	if err := os.WriteFile(filepath.Join(full, "x"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		dir  string
		o    material.Options
		says string
	}{
		"a folder with something in it": {full, material.Options{}, "is not empty"},
		"a part":                        {t.TempDir(), material.Options{Parts: []string{"voices"}}, `no part "voices"`},
		"a species":                     {t.TempDir(), material.Options{Parts: []string{"attacks"}, Species: []string{"mask"}}, `no species "mask"`},
		"no mesh":                       {t.TempDir(), material.Options{Parts: []string{"bona_fide"}}, "no mesh"},
	} {
		t.Run(name, func(t *testing.T) {
			if raced && name == "no mesh" {
				t.Skip("reads all test faces")
			}
			if err := material.Write(t.Context(), c.dir, broken, c.o); err == nil || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
}
