package ocr_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/ocr"
	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// files gives the library, the two networks and the characters, or skips the test.
func files(t *testing.T) [4]string {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin", "models")
	}
	cache, err := models.Open(dir)
	if err != nil && os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
		t.Fatal(err)
	}
	if err != nil || !onnx.Available {
		t.Skipf("no models (make build, or KOSMOSCOPE_MODELS), or no cgo: %v", err)
	}
	out := [4]string{cache.Library()}
	for i, name := range []string{"ppocr-det", "ppocr-rec", "ppocr-keys"} {
		if out[i+1], _, err = cache.Model(name); err != nil {
			t.Fatal(err)
		}
	}
	return out
}

func open(t *testing.T) *ocr.Reader {
	t.Helper()
	f := files(t)
	r, err := ocr.Open(f[0], f[1], f[2], f[3])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func TestLines(t *testing.T) {
	r := open(t)
	front, _ := specimen.USLicence(nil).Render(nil)
	card := image.NewRGBA(front.Bounds())
	draw.Draw(card, card.Rect, front, image.Point{}, draw.Src)
	lines, err := r.Lines(t.Context(), card)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"S64235789", "ERIKSSON", "08/12/1974", "04/16/2024", "04/15/2034"} {
		found := false
		for _, l := range lines {
			found = found || strings.Contains(l.Text, want) && l.Confidence > 0.8 && l.Confidence <= 1 && l.Box.In(card.Rect)
		}
		if !found {
			t.Errorf("no %s among %v", want, lines)
		}
	}
	if len(lines) > ocr.MaxLines {
		t.Errorf("%d lines", len(lines))
	}
	// A part of a larger picture is read where it is.
	wide := image.NewRGBA(image.Rect(0, 0, card.Rect.Dx()+200, card.Rect.Dy()+100))
	draw.Draw(wide, card.Rect.Add(image.Pt(200, 100)), card, image.Point{}, draw.Src)
	part := wide.SubImage(card.Rect.Add(image.Pt(200, 100))).(*image.RGBA)
	if again, err := r.Lines(t.Context(), part); err != nil || len(again) != len(lines) || !again[0].Box.In(part.Rect) {
		t.Errorf("%d lines, %v", len(again), err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if lines, err := r.Lines(ended, card); !errors.Is(err, context.Canceled) || lines != nil {
		t.Errorf("%v, %v", lines, err)
	}
}

func TestLinesOfNothing(t *testing.T) {
	r := open(t)
	for name, size := range map[string]image.Point{"nothing": {}, "one pixel": {X: 1, Y: 1}, "blank": {X: 800, Y: 500}, "narrow": {X: 33, Y: 2000}, "flat": {X: 3000, Y: 40}} {
		img := image.NewRGBA(image.Rectangle{Max: size})
		draw.Draw(img, img.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
		if lines, err := r.Lines(t.Context(), img); err != nil || len(lines) != 0 {
			t.Errorf("%s: %v, %v", name, lines, err)
		}
	}
}

func TestOpenRefuses(t *testing.T) {
	f := files(t)
	for i := 1; i < 4; i++ {
		g := f
		g[i] = filepath.Join(t.TempDir(), "none")
		if r, err := ocr.Open(g[0], g[1], g[2], g[3]); err == nil {
			r.Close()
			t.Errorf("opened without file %d", i)
		}
	}
	// The wrong list of characters is noticed at the first line.
	short := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(short, []byte("a\nb"), 0o644); err != nil {
		t.Fatal(err)
	}
	r, err := ocr.Open(f[0], f[1], f[2], short)
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	front, _ := specimen.USLicence(nil).Render(nil)
	card := image.NewRGBA(front.Bounds())
	draw.Draw(card, card.Rect, front, image.Point{}, draw.Src)
	if lines, err := r.Lines(t.Context(), card); err == nil {
		t.Errorf("%v", lines)
	}
}
