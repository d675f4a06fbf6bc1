// Package barcode_test measures the reader of PDF417 symbols on photographs of the
// backs of random specimen licences. It is not part of the tests: without
// -licences it skips.
//
//	go test ./bench/barcode -run Figures -v -licences 40   # a table per level of the recipe
//	go test ./bench/barcode -run Stress -v -licences 10    # what lies outside the recipe
//
// Other licences: -licences-seed N. The models must be there (make build, or
// KOSMOSCOPE_MODELS). Times are of one goroutine, with the picture decoded.
package barcode_test

import (
	"flag"
	"fmt"
	"image"
	"image/draw"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/aamva"
	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

var (
	licences = flag.Int("licences", 0, "licences per level")
	seed     = flag.Uint64("licences-seed", 1, "seed of the licences and their photographs")
)

func reader(t *testing.T) *barcode.Reader {
	t.Helper()
	if *licences == 0 {
		t.Skip("a measurement, not a test: give -licences 40")
	}
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin", "models")
	}
	path := filepath.Join(dir, "rxing.wasm")
	if _, err := os.Stat(path); err != nil {
		t.Skipf("no models: %v", err)
	}
	r := barcode.Open(path)
	t.Cleanup(func() { r.Close() })
	return r
}

// TestFigures prints how many symbols were read without one wrong character at
// each level. It fails if anything else than the symbol was read.
func TestFigures(t *testing.T) {
	r := reader(t)
	t.Logf("level  exact  not found  unreadable  ms median  ms max")
	for level := range 4 {
		measure(t, r, fmt.Sprintf("%5d", level), specimen.Levels[level], uint64(1000*level))
	}
}

// TestStress prints the same for photographs outside the recipe.
func TestStress(t *testing.T) {
	r := reader(t)
	for i, s := range []struct {
		name  string
		scene func(*specimen.Scene)
	}{
		{"card two thirds as large", func(g *specimen.Scene) { g.Fill = 0.57 }},
		{"card half as large", func(g *specimen.Scene) { g.Fill = 0.43 }},
		{"turned by 30 degrees", func(g *specimen.Scene) { g.Turn, g.Fill = 30, 0.7 }},
		{"upside down", func(g *specimen.Scene) { g.Turn = 180 }},
		{"blurred by 2.5 pixels", func(g *specimen.Scene) { g.Blur = 2.5 }},
		{"strong perspective", func(g *specimen.Scene) { g.Perspective = 0.14 }},
		{"bent", func(g *specimen.Scene) { g.Bend = 0.05 }},
	} {
		scene := specimen.Levels[2]
		s.scene(&scene)
		measure(t, r, s.name, scene, uint64(10000*(i+1)))
	}
}

func measure(t *testing.T, r *barcode.Reader, name string, scene specimen.Scene, base uint64) {
	var exact, notFound, unreadable int
	var took []time.Duration
	for i := range *licences {
		l := licence(base + uint64(i))
		symbol, err := r.Encode(t.Context(), l.AAMVA(), 5)
		if err != nil {
			t.Fatal(err)
		}
		_, back := l.Render(symbol)
		shot := scene.Shoot(back, *seed<<32+base+uint64(i))
		img := image.NewRGBA(shot.Bounds())
		draw.Draw(img, img.Rect, shot, image.Point{}, draw.Src)
		start := time.Now()
		text, err := r.Read(t.Context(), img)
		took = append(took, time.Since(start))
		switch {
		case err == barcode.ErrNotFound:
			notFound++
		case err != nil:
			unreadable++
		case text != l.AAMVA():
			t.Errorf("%s, licence %d: another text was read", name, i)
		default:
			exact++
			if rec, err := aamva.Parse(text); err != nil || rec.Number != l.Number || rec.Surname != l.Surname {
				t.Errorf("%s, licence %d: %v", name, i, err)
			}
		}
	}
	slices.Sort(took)
	t.Logf("%s  %2d/%2d  %9d  %10d  %9d  %6d", name, exact, *licences, notFound, unreadable,
		took[len(took)/2].Milliseconds(), took[len(took)-1].Milliseconds())
}

// licence is a random one; a third are Canadian.
func licence(n uint64) specimen.Licence {
	r := rand.New(rand.NewPCG(*seed, n))
	word := func(letters string, low, high int) string {
		b := make([]byte, low+r.IntN(high-low+1))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	const alpha, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	l := specimen.USLicence(nil)
	if n%3 == 2 {
		l = specimen.CALicence(nil)
	}
	l.Surname, l.GivenNames = word(alpha, 3, 14), word(alpha, 3, 10)+" "+word(alpha, 3, 10)
	l.Number, l.City = word(alpha, 0, 1)+word(digits, 7, 13), word(alpha, 4, 14)
	l.Street = word(digits, 1, 5) + " " + word(alpha, 4, 14) + " STREET"
	l.Sex = []string{"F", "M", "X"}[r.IntN(3)]
	l.BirthDate = fmt.Sprintf("%04d-%02d-%02d", 1935+r.IntN(70), 1+r.IntN(12), 1+r.IntN(28))
	return l
}
