package barcode_test

import (
	"context"
	"errors"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	xdraw "golang.org/x/image/draw"

	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// reader opens the program out of the model cache, or skips the test.
func reader(t *testing.T) *barcode.Reader {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin", "models")
	}
	path := filepath.Join(dir, "rxing.wasm")
	if _, err := os.Stat(path); err != nil {
		if os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
			t.Fatal(err)
		}
		t.Skipf("no models (make build, or KOSMOSCOPE_MODELS): %v", err)
	}
	r := barcode.Open(path)
	t.Cleanup(func() {
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	})
	return r
}

func rgba(img image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(out, out.Rect, img, img.Bounds().Min, draw.Src)
	return out
}

// back renders the back of a licence.
func back(t *testing.T, r *barcode.Reader, l specimen.Licence) image.Image {
	t.Helper()
	symbol, err := r.Encode(t.Context(), l.AAMVA(), 5)
	if err != nil {
		t.Fatal(err)
	}
	_, b := l.Render(symbol)
	return b
}

func TestRead(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	r := reader(t)
	l := specimen.USLicence(nil)
	flat := back(t, r, l)
	turned := specimen.Levels[1]
	scenes := map[string]image.Image{
		"clean": specimen.Photograph(flat, 0, 1), "mild": specimen.Photograph(flat, 1, 2),
		"medium": specimen.Photograph(flat, 2, 3), "hard": specimen.Photograph(flat, 3, 4),
		"as rendered": flat,
	}
	for name, degrees := range map[string]float64{"upside down": 180, "on its side": 90, "askew": 35} {
		turned.Turn, turned.W, turned.H, turned.Fill = degrees, 1800, 1600, 0.8
		scenes[name] = turned.Shoot(flat, 5)
	}
	large := image.NewRGBA(image.Rect(0, 0, 2600, 1640))
	xdraw.ApproxBiLinear.Scale(large, large.Rect, flat, flat.Bounds(), draw.Src, nil)
	scenes["large"] = large
	for name, img := range scenes {
		t.Run(name, func(t *testing.T) {
			text, err := r.Read(t.Context(), rgba(img))
			if err != nil || text != l.AAMVA() {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
}

func TestReadRefuses(t *testing.T) {
	r := reader(t)
	plain := func(w, h int) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		draw.Draw(img, img.Rect, image.NewUniform(color.White), image.Point{}, draw.Src)
		return img
	}
	stripes := plain(1200, 900)
	for y := 200; y < 600; y++ {
		for x := 100; x < 1100; x++ {
			if x/4%2 == 0 {
				stripes.Set(x, y, color.Black)
			}
		}
	}
	passport, _ := specimen.Passport(nil).Render()
	covered := rgba(back(t, r, specimen.USLicence(nil)))
	draw.Draw(covered, image.Rect(500, 0, 900, 883), image.NewUniform(color.White), image.Point{}, draw.Src)
	for name, c := range map[string]struct {
		img  *image.RGBA
		want error
	}{
		"nothing at all":        {plain(0, 0), barcode.ErrNotFound},
		"one pixel":             {plain(1, 1), barcode.ErrNotFound},
		"one line":              {plain(2000, 1), barcode.ErrNotFound},
		"blank":                 {plain(1600, 1200), barcode.ErrNotFound},
		"passport":              {rgba(passport), barcode.ErrNotFound},
		"stripes":               {stripes, barcode.ErrUnreadable},
		"a third of it covered": {covered, barcode.ErrUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			text, err := r.Read(t.Context(), c.img)
			if !errors.Is(err, c.want) || text != "" {
				t.Errorf("%q, %v, want %v", text, err, c.want)
			}
		})
	}
}

// Nothing outlives a context, and the reader goes on afterwards.
func TestContext(t *testing.T) {
	r := reader(t)
	l := specimen.CALicence(nil)
	img := rgba(back(t, r, l))
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := r.Read(ended, img); !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	short, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if _, err := r.Read(short, img); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	if text, err := r.Read(t.Context(), img); err != nil || text != l.AAMVA() {
		t.Errorf("%q, %v", text, err)
	}
}

func TestConcurrent(t *testing.T) {
	r := reader(t)
	var wg sync.WaitGroup
	for i := range 6 {
		l := specimen.USLicence(nil)
		l.Surname = strings.Repeat("ABCDEF"[i:i+1], 5+i)
		img := rgba(back(t, r, l))
		wg.Go(func() {
			if text, err := r.Read(context.Background(), img); err != nil || text != l.AAMVA() {
				t.Errorf("%q, %v", text, err)
			}
		})
	}
	wg.Wait()
}

func TestNoProgram(t *testing.T) {
	other := filepath.Join(t.TempDir(), "other.wasm")
	if err := os.WriteFile(other, []byte("\x00asm\x01\x00\x00\x00"), 0o644); err != nil {
		t.Fatal(err)
	}
	broken := filepath.Join(t.TempDir(), "broken.wasm")
	if err := os.WriteFile(broken, []byte("no program"), 0o644); err != nil {
		t.Fatal(err)
	}
	img := image.NewRGBA(image.Rect(0, 0, 400, 300))
	for x := range 400 { // something to look at
		for y := 100; y < 200; y++ {
			img.Set(x, y, color.Gray{Y: byte(x / 3 % 2 * 255)})
		}
	}
	for _, path := range []string{"/nowhere/rxing.wasm", broken, other} {
		r := barcode.Open(path)
		if text, err := r.Read(t.Context(), img); err == nil || text != "" {
			t.Errorf("%s: %q, %v", path, text, err)
		}
		if err := r.Close(); err != nil {
			t.Error(err)
		}
	}
}

func TestEncode(t *testing.T) {
	r := reader(t)
	for _, text := range []string{"", strings.Repeat("long ", 1000)} {
		if img, err := r.Encode(t.Context(), text, 5); err == nil {
			t.Errorf("%d bytes: %v", len(text), img.Rect)
		}
	}
}

// TestNoise: no made-up picture breaks the reader or is read as something. A fuzz
// target would be too slow: instrumented, one read takes seconds.
func TestNoise(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	r := reader(t)
	random := rand.New(rand.NewPCG(417, 1))
	for i := range 24 {
		img := image.NewRGBA(image.Rect(0, 0, 100+random.IntN(900), 60+random.IntN(500)))
		bar, row, noise := 1+random.IntN(12), 1+random.IntN(80), random.IntN(200)
		pattern := make([]byte, 5000)
		for k := range pattern {
			pattern[k] = byte(random.IntN(2) * 255)
		}
		for y := range img.Rect.Dy() {
			for x := range img.Rect.Dx() {
				v := int(pattern[(x/bar+y/row*97)%len(pattern)]) + random.IntN(noise+1) - noise/2
				c := uint8(min(max(v, 0), 255))
				img.SetRGBA(x, y, color.RGBA{c, c, c, 255})
			}
		}
		if text, err := r.Read(t.Context(), img); err == nil {
			t.Errorf("picture %d: read %q", i, text)
		}
	}
}
