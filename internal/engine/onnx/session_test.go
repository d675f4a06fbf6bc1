//go:build cgo

package onnx_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// cache finds the model cache that `make build` leaves.
func cache(t testing.TB) (library, model string) {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin", "models")
	}
	libs, _ := filepath.Glob(filepath.Join(dir, "libonnxruntime*"))
	model = filepath.Join(dir, "dlib-resnet.onnx")
	if _, err := os.Stat(model); err != nil || len(libs) == 0 {
		t.Skip("no model cache: run `make build`, or point KOSMOSCOPE_MODELS at one")
	}
	return libs[0], model
}

func open(t testing.TB) *onnx.Session {
	t.Helper()
	s, err := onnx.Open(cache(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// picture is a tensor that the dlib network takes.
func picture(seed int) onnx.Tensor {
	in := onnx.Tensor{Shape: []int64{1, 150, 150, 3}, Data: make([]float32, 150*150*3)}
	for i := range in.Data {
		in.Data[i] = float32((i*7+seed*13)%29)/29 - 0.5
	}
	return in
}

func TestRun(t *testing.T) {
	s := open(t)
	if in := s.Inputs(); len(in) != 1 || !slices.Equal(in[0].Shape[1:], []int64{150, 150, 3}) {
		t.Fatalf("inputs %v", in)
	}
	out, err := s.Run(picture(1))
	if err != nil {
		t.Fatal(err)
	}
	if len(out) != len(s.Outputs()) || !slices.Equal(out[0].Shape, []int64{1, 128}) || len(out[0].Data) != 128 {
		t.Fatalf("outputs %v", out)
	}
	again, err := s.Run(picture(1))
	if err != nil || !slices.Equal(again[0].Data, out[0].Data) {
		t.Error("the same input gave another output")
	}
	other, err := s.Run(picture(2))
	if err != nil || slices.Equal(other[0].Data, out[0].Data) {
		t.Error("another input gave the same output")
	}
}

func TestConcurrentCallersGetTheirOwnAnswers(t *testing.T) {
	s := open(t)
	var want [4][]float32
	for i := range want {
		out, err := s.Run(picture(i))
		if err != nil {
			t.Fatal(err)
		}
		want[i] = out[0].Data
	}
	var wg sync.WaitGroup
	for n := range 8 {
		wg.Go(func() {
			for k := range 4 {
				i := (n + k) % len(want)
				out, err := s.Run(picture(i))
				if err != nil || !slices.Equal(out[0].Data, want[i]) {
					t.Errorf("picture %d: another answer, %v", i, err)
				}
			}
		})
	}
	wg.Wait()
}

func TestRunRefusesWhatDoesNotFit(t *testing.T) {
	s := open(t)
	good := picture(0)
	for name, in := range map[string][]onnx.Tensor{
		"nothing":         nil,
		"two inputs":      {good, good},
		"too few values":  {{Shape: good.Shape, Data: good.Data[1:]}},
		"no shape":        {{Data: good.Data}},
		"another size":    {{Shape: []int64{1, 75, 300, 3}, Data: good.Data}},
		"another rank":    {{Shape: []int64{150, 150, 3}, Data: good.Data}},
		"negative":        {{Shape: []int64{-1, 150, 150, 3}, Data: good.Data}},
		"empty":           {{Shape: []int64{0, 150, 150, 3}}},
		"beyond counting": {{Shape: []int64{1 << 30, 1 << 30, 1 << 30, 3}, Data: good.Data}},
	} {
		if out, err := s.Run(in...); err == nil || out != nil {
			t.Errorf("%s: %v, %v", name, out, err)
		}
	}
}

func TestClose(t *testing.T) {
	s := open(t)
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			if _, err := s.Run(picture(0)); err != nil && !errors.Is(err, onnx.ErrClosed) {
				t.Error(err)
			}
		})
	}
	if err := s.Close(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	if _, err := s.Run(picture(0)); !errors.Is(err, onnx.ErrClosed) {
		t.Errorf("Run after Close: %v", err)
	}
	if err := s.Close(); err != nil {
		t.Errorf("second Close: %v", err)
	}
}

func TestOpenFailsClosed(t *testing.T) {
	library, model := cache(t)
	// The library of this process must be the right one before others are tried.
	open(t)
	broken := filepath.Join(t.TempDir(), "broken.onnx")
	if err := os.WriteFile(broken, []byte("not a network"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name, library, model string
		unavailable          bool
	}{
		{"no model", library, filepath.Join(t.TempDir(), "none.onnx"), true},
		{"broken model", library, broken, false},
		{"no library", filepath.Join(t.TempDir(), "other.so"), model, true},
		{"another library", broken, model, false},
	} {
		s, err := onnx.Open(tc.library, tc.model)
		if err == nil || s != nil {
			t.Errorf("%s: opened", tc.name)
			continue
		}
		if errors.Is(err, onnx.ErrUnavailable) != tc.unavailable {
			t.Errorf("%s: %v", tc.name, err)
		}
		if tc.unavailable && !strings.Contains(err.Error(), "make build") {
			t.Errorf("%s: %v gives no hint", tc.name, err)
		}
	}
}

func BenchmarkRun(b *testing.B) {
	s := open(b)
	in := picture(0)
	for b.Loop() {
		if _, err := s.Run(in); err != nil {
			b.Fatal(err)
		}
	}
}
