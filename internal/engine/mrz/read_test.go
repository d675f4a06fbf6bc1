package mrz_test

import (
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"math/rand/v2"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// zoneSide renders the side of the document that carries the zone, each document once.
func zoneSide(d specimen.Document) image.Image {
	once, _ := sides.LoadOrStore(d, sync.OnceValue(func() image.Image { return render(d) }))
	return once.(func() image.Image)()
}

var sides sync.Map

func render(d specimen.Document) image.Image {
	front, back := d.Render()
	if back != nil {
		return back
	}
	return front
}

// scene is one of the recipe's levels in a picture small enough for tests.
func scene(level int) specimen.Scene {
	s := specimen.Levels[level]
	s.W, s.H = 1000, 750
	s.Blur *= 1000.0 / 1600
	return s
}

var kinds = map[string]func(image.Image) specimen.Document{
	"passport": specimen.Passport, "id_card": specimen.IDCard, "residence_permit": specimen.ResidencePermit,
}

// The embedded weights read a fixed set of photographs without one wrong character.
func TestRead(t *testing.T) {
	formats := map[string]string{"passport": mrz.TD3, "id_card": mrz.TD1, "residence_permit": mrz.TD2}
	for kind, make := range kinds {
		for level := range 4 {
			if raced && level != 1 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", kind, level), func(t *testing.T) {
				t.Parallel()
				d := make(nil)
				r, err := mrz.Read(scene(level).Shoot(zoneSide(d), uint64(level)), now)
				if err != nil {
					t.Fatal(err)
				}
				if r.Format != formats[kind] || !slices.Equal(r.Lines, d.MRZ()) || !r.DigitsOK || len(r.Problems) != 0 {
					t.Errorf("read %s %q, want %q; digits %v, problems %v", r.Format, r.Lines, d.MRZ(), r.Digits, r.Problems)
				}
				if r.Fields.Surname != "ERIKSSON" || r.Fields.ExpiryDate != d.ExpiryDate || r.Fields.BirthDate != d.BirthDate {
					t.Errorf("fields %+v", r.Fields)
				}
				if r.Confidence <= 0 || r.Confidence > 1 {
					t.Error("confidence", r.Confidence)
				}
				// The zone is at the foot of the document: wide, flat, in the lower half.
				q := r.Quad
				if q[1].X-q[0].X < 580 || q[3].Y-q[0].Y < 30 || q[3].Y-q[0].Y > 330 || q[0].Y < 330 || q[2].X > 1000 || q[2].Y > 750 {
					t.Error("quad", q)
				}
			})
		}
	}
}

// A check digit printed wrong is read as it is printed, and never as right.
func TestAlteredDigits(t *testing.T) {
	altered := map[string][]string{
		"passport":         {"document_number", "birth_date", "expiry_date", "personal_number", "composite"},
		"id_card":          {"document_number", "composite"},
		"residence_permit": {"birth_date"},
	}
	for kind, names := range altered {
		for _, name := range names {
			if raced && name != "composite" {
				continue
			}
			t.Run(kind+"/"+name, func(t *testing.T) {
				t.Parallel()
				d := kinds[kind](nil)
				good := d.MRZ()
				d.AlterCheckDigit = name
				if slices.Equal(good, d.MRZ()) {
					t.Fatal("nothing altered")
				}
				r, err := mrz.Read(scene(1).Shoot(zoneSide(d), 5), now)
				if err != nil {
					t.Fatal(err)
				}
				if r.DigitsOK {
					t.Error("digits hold")
				}
				if !slices.Equal(r.Lines, d.MRZ()) {
					t.Errorf("read %q, printed %q", r.Lines, d.MRZ())
				}
				for _, c := range r.Digits {
					if c.Name == name && c.OK {
						t.Errorf("%s holds: %v", name, r.Digits)
					}
				}
			})
		}
	}
}

func notRaced(t *testing.T) {
	if raced {
		t.Skip("too slow under the race detector, and nothing in it runs at once")
	}
}

func TestOrientations(t *testing.T) {
	notRaced(t)
	d := specimen.Passport(nil)
	side := zoneSide(d)
	for _, turn := range []float64{-18, 15, 90, 180, 263} {
		t.Run(fmt.Sprint(turn), func(t *testing.T) {
			t.Parallel()
			s := specimen.Scene{W: 1100, H: 1100, Turn: turn, Noise: 3, Fill: 0.8}
			r, err := mrz.Read(s.Shoot(side, 1), now)
			if err != nil {
				t.Fatal(err)
			}
			if !slices.Equal(r.Lines, d.MRZ()) {
				t.Errorf("read %q", r.Lines)
			}
			// The corners go with the text: from the first to the second is the direction of reading.
			v := r.Quad[1].Sub(r.Quad[0])
			switch {
			case turn == 90 && v.Y < 500, turn == 180 && v.X > -500, turn > 180 && v.Y > -500, turn < 90 && v.X < 500:
				t.Error("quad", r.Quad)
			}
		})
	}
}

func TestBentPage(t *testing.T) {
	notRaced(t)
	d := specimen.Passport(nil)
	s := scene(1)
	s.Bend = -0.04
	r, err := mrz.Read(s.Shoot(zoneSide(d), 2), now)
	if err != nil || !slices.Equal(r.Lines, d.MRZ()) {
		t.Error(r, err)
	}
}

// One picture of both sides, as from a scanner.
func TestBothSides(t *testing.T) {
	d := specimen.IDCard(nil)
	s := scene(0)
	s.W, s.H = 750, 1000
	r, err := mrz.Read(s.Shoot(specimen.BothSides(d.Render()), 1), now)
	if err != nil || !slices.Equal(r.Lines, d.MRZ()) {
		t.Error(r, err)
	}
}

// Pictures of all kinds of memory layout, and with an origin other than zero, read the same.
func TestImageTypes(t *testing.T) {
	notRaced(t)
	d := specimen.Passport(nil)
	src := scene(0).Shoot(zoneSide(d), 3)
	b := src.Bounds().Add(image.Pt(-37, 91))
	rgba, nrgba, gray, rgba64 := image.NewRGBA(b), image.NewNRGBA(b), image.NewGray(b), image.NewRGBA64(b)
	for name, m := range map[string]draw.Image{"rgba": rgba, "nrgba": nrgba, "gray": gray, "rgba64": rgba64} {
		draw.Draw(m, b, src, src.Bounds().Min, draw.Src)
		r, err := mrz.Read(m, now)
		if err != nil || !slices.Equal(r.Lines, d.MRZ()) {
			t.Errorf("%s: %v %v", name, r, err)
			continue
		}
		if !r.Quad[0].In(b) || !r.Quad[2].In(b) {
			t.Errorf("%s: quad %v outside %v", name, r.Quad, b)
		}
	}
	sub := rgba.SubImage(b.Inset(2))
	if r, err := mrz.Read(sub, now); err != nil || !slices.Equal(r.Lines, d.MRZ()) {
		t.Error("part of a picture:", r, err)
	}
}

func TestNotFound(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	gray := func(w, h int, at func(x, y int) uint8) image.Image {
		m := image.NewGray(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				m.Pix[y*m.Stride+x] = at(x, y)
			}
		}
		return m
	}
	none := specimen.Passport(nil)
	none.NoMRZ = true
	front, _ := specimen.IDCard(nil).Render()
	for name, img := range map[string]image.Image{
		"empty":        image.NewGray(image.Rectangle{}),
		"one pixel":    gray(1, 1, func(x, y int) uint8 { return 0 }),
		"tiny":         gray(99, 60, func(x, y int) uint8 { return uint8(x * y) }),
		"white":        gray(1600, 1200, func(x, y int) uint8 { return 255 }),
		"noise":        gray(1000, 750, func(x, y int) uint8 { return uint8(r.IntN(256)) }),
		"coarse noise": gray(1000, 750, func(x, y int) uint8 { return uint8((x/9*7919 ^ y/9*104729) * 31 >> 3) }),
		"flat strip":   gray(40000, 60, func(x, y int) uint8 { return uint8(x) }),
		"thin strip":   gray(60, 40000, func(x, y int) uint8 { return uint8(y) }),
		"line":         gray(30000, 1, func(x, y int) uint8 { return uint8(x) }),
		// Dots in rows and columns are as even as a zone, but no characters.
		"dots": gray(1000, 600, func(x, y int) uint8 {
			if x%26 < 14 && y%64 < 20 {
				return 20
			}
			return 240
		}),
		"dense dots": gray(1000, 600, func(x, y int) uint8 {
			if x%12 < 7 && y%12 < 7 {
				return 20
			}
			return 240
		}),
		"bars":                    gray(1000, 600, func(x, y int) uint8 { return uint8(x / 13 % 2 * 255) }),
		"document without a zone": scene(1).Shoot(zoneSide(none), 1),
		"front of a card":         scene(0).Shoot(front, 1),
		"paletted":                image.NewPaletted(image.Rect(0, 0, 400, 300), color.Palette{color.Black, color.White}),
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			if got, err := mrz.Read(img, now); !errors.Is(err, mrz.ErrNotFound) {
				t.Error(got, err)
			}
		})
	}
}

// The work on one picture is bounded whatever it shows. The limit leaves room
// for a slow machine and the race detector; bench/mrz has the real figures.
func TestTimeIsBounded(t *testing.T) {
	notRaced(t)
	r := rand.New(rand.NewPCG(3, 4))
	noise := image.NewGray(image.Rect(0, 0, 4000, 3000))
	for i := range noise.Pix {
		noise.Pix[i] = uint8(r.Uint32())
	}
	start := time.Now()
	if _, err := mrz.Read(noise, now); !errors.Is(err, mrz.ErrNotFound) {
		t.Error(err)
	}
	if d := time.Since(start); d > 30*time.Second {
		t.Errorf("12 megapixels of noise took %v", d)
	}
}

func FuzzRead(f *testing.F) {
	side := specimen.Scene{W: 400, H: 300}.Shoot(zoneSide(specimen.IDCard(nil)), 1)
	g := image.NewGray(side.Bounds())
	draw.Draw(g, g.Rect, side, image.Point{}, draw.Src)
	f.Add(400, g.Pix)
	f.Add(1, []byte{1, 2, 3})
	f.Fuzz(func(t *testing.T, w int, pix []byte) {
		if w < 1 || w > 1000 || len(pix) > 300_000 {
			return
		}
		h := len(pix) / w
		r, err := mrz.Read(&image.Gray{Pix: pix, Stride: w, Rect: image.Rect(0, 0, w, h)}, now)
		if (r == nil) == (err == nil) {
			t.Fatal(r, err)
		}
	})
}
