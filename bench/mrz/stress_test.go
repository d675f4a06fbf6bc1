package mrz_test

import (
	"errors"
	"image"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// TestStress prints how the reader does outside the recipe: turned, small,
// large, bent and very bad pictures.
func TestStress(t *testing.T) {
	needDocuments(t)
	mild := specimen.Levels[1]
	with := func(change func(*specimen.Scene)) specimen.Scene {
		s := mild
		change(&s)
		return s
	}
	rows := []struct {
		name  string
		scene specimen.Scene
	}{
		{"turned 15", with(func(s *specimen.Scene) { s.Turn, s.Fill = 15, 0.75 })},
		{"turned -20", with(func(s *specimen.Scene) { s.Turn, s.Fill = -20, 0.7 })},
		{"turned 90", with(func(s *specimen.Scene) { s.Turn, s.Fill = 90, 0.7 })},
		{"turned 180", with(func(s *specimen.Scene) { s.Turn = 180 })},
		{"turned 262", with(func(s *specimen.Scene) { s.Turn, s.Fill = 262, 0.7 })},
		{"perspective 0.12", with(func(s *specimen.Scene) { s.Perspective, s.Fill = 0.12, 0.75 })},
		{"bent 0.03", with(func(s *specimen.Scene) { s.Bend = 0.03 })},
		{"bent -0.06", with(func(s *specimen.Scene) { s.Bend = -0.06 })},
		{"800 x 600", with(func(s *specimen.Scene) { s.W, s.H = 800, 600 })},
		{"640 x 480", with(func(s *specimen.Scene) { s.W, s.H, s.Blur = 640, 480, 0.5 })},
		{"4000 x 3000", with(func(s *specimen.Scene) { s.W, s.H, s.Blur = 4000, 3000, 1.5 })},
		{"4000 x 3000, small document", with(func(s *specimen.Scene) { s.W, s.H, s.Fill = 4000, 3000, 0.3 })},
		{"half the frame", with(func(s *specimen.Scene) { s.Fill = 0.5 })},
		{"noise 25", with(func(s *specimen.Scene) { s.Noise = 25 })},
		{"blur 2.5", with(func(s *specimen.Scene) { s.Blur = 2.5 })},
		{"glare 0.9", with(func(s *specimen.Scene) { s.Glare = 0.9 })},
		{"beyond hard", specimen.Scene{Perspective: 0.09, Rotation: 12, Blur: 2.2, Noise: 18, Shade: 0.6, Glare: 0.85, Quality: 40, Fill: 0.8}},
	}
	for _, row := range rows {
		if *only != "" && !strings.Contains(row.name, *only) {
			continue
		}
		var exact, digits, falsely, none int
		var total time.Duration
		n := max(*documents/4, 2)
		for i := range n {
			side, text := flat(0, i)
			img := row.scene.Shoot(side, uint64(i))
			start := time.Now()
			r, err := mrz.Read(img, now)
			total += time.Since(start)
			if errors.Is(err, mrz.ErrNotFound) {
				none++
				report(t, 9, i, img, text, r, err)
				continue
			}
			if compare(r, text) == 0 {
				exact++
			} else if testing.Verbose() && *save != "" {
				report(t, 9, i, img, text, r, err)
			}
			if err == nil && r.DigitsOK {
				digits++
				if want, err := mrz.Parse(text, now); err != nil || covered(r) != covered(want) {
					falsely++
				}
			}
		}
		t.Logf("%-30s exact %2d/%2d  digits ok %2d  not found %2d  %4d ms", row.name, exact, n, digits, none, total.Milliseconds()/int64(n))
		if falsely > 0 {
			t.Errorf("%s: %d misread documents passed all check digits", row.name, falsely)
		}
	}
}

// TestLimits prints how long pictures take that show no zone.
func TestLimits(t *testing.T) {
	needDocuments(t)
	r := rand.New(rand.NewPCG(1, 2))
	picture := func(w, h int, at func(x, y int) uint8) image.Image {
		m := image.NewGray(image.Rect(0, 0, w, h))
		for y := range h {
			for x := range w {
				m.Pix[y*w+x] = at(x, y)
			}
		}
		return m
	}
	none := specimen.Passport(nil)
	none.NoMRZ = true
	side, _ := none.Render()
	large := specimen.Levels[2]
	large.W, large.H = 4000, 3000
	for _, c := range []struct {
		name string
		img  image.Image
	}{
		{"white, 12 MP", picture(4000, 3000, func(x, y int) uint8 { return 255 })},
		{"noise, 12 MP", picture(4000, 3000, func(x, y int) uint8 { return uint8(r.Uint32()) })},
		{"noise, 2 MP", picture(1600, 1200, func(x, y int) uint8 { return uint8(r.Uint32()) })},
		{"dots, 12 MP", picture(4000, 3000, func(x, y int) uint8 {
			if x%24 < 12 && y%24 < 14 {
				return 0
			}
			return 255
		})},
		{"dots in lines, 12 MP", picture(4000, 3000, func(x, y int) uint8 {
			if x%26 < 14 && y%64 < 20 {
				return 0
			}
			return 255
		})},
		{"document without a zone, 12 MP", large.Shoot(side, 1)},
		{"document without a zone, 2 MP", specimen.Photograph(side, 2, 1)},
		{"noise, 40 MP", picture(8000, 5000, func(x, y int) uint8 { return uint8(r.Uint32()) })},
	} {
		start := time.Now()
		_, err := mrz.Read(c.img, now)
		t.Logf("%-32s %5d ms  %v", c.name, time.Since(start).Milliseconds(), err)
		if !errors.Is(err, mrz.ErrNotFound) {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
