package outline_test

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/outline"
)

type point = outline.Point

// scene is a picture under construction, w x h, with a fine grain.
func scene(w, h int, ground color.RGBA, seed uint64) *image.RGBA {
	r := rand.New(rand.NewPCG(seed, 1))
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			g := r.IntN(17) - 8
			shift := func(v uint8) uint8 { return uint8(min(max(int(v)+g, 0), 255)) }
			img.SetRGBA(x, y, color.RGBA{shift(ground.R), shift(ground.G), shift(ground.B), 255})
		}
	}
	return img
}

// paint fills a convex quadrilateral, corners clockwise.
func paint(img *image.RGBA, c [4]point, ink color.RGBA) {
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			p, in := point{X: float64(x) + 0.5, Y: float64(y) + 0.5}, true
			for i, a := range c {
				b := c[(i+1)%4]
				in = in && (b.X-a.X)*(p.Y-a.Y)-(b.Y-a.Y)*(p.X-a.X) >= 0
			}
			if in {
				img.SetRGBA(x, y, ink)
			}
		}
	}
}

// rectangle has its centre at x, y and is turned clockwise by degrees.
func rectangle(x, y, w, h, degrees float64) [4]point {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	var c [4]point
	for i, k := range [4]point{{X: -0.5, Y: -0.5}, {X: 0.5, Y: -0.5}, {X: 0.5, Y: 0.5}, {X: -0.5, Y: 0.5}} {
		c[i] = point{X: x + k.X*w*cos - k.Y*h*sin, Y: y + k.X*w*sin + k.Y*h*cos}
	}
	return c
}

// off is how far the corners are from those of the nearest way to name them.
func off(a, b [4]point) float64 {
	best := math.Inf(1)
	for turn := range 4 {
		worst := 0.0
		for i := range a {
			worst = max(worst, math.Hypot(a[i].X-b[(i+turn)%4].X, a[i].Y-b[(i+turn)%4].Y))
		}
		best = min(best, worst)
	}
	return best
}

var (
	wood  = color.RGBA{120, 90, 70, 255}
	paper = color.RGBA{225, 228, 235, 255}
	night = color.RGBA{30, 34, 60, 255}
)

func TestCards(t *testing.T) {
	slanted := rectangle(600, 450, 856, 540, 4)
	slanted[0].X, slanted[1].Y, slanted[2].X = slanted[0].X+40, slanted[1].Y+30, slanted[2].X+25
	for _, c := range []struct {
		name   string
		draw   []any // corners and colours, in turn
		want   [][4]point
		ground color.RGBA
	}{
		{"straight", []any{rectangle(600, 450, 856, 540, 0), paper}, [][4]point{rectangle(600, 450, 856, 540, 0)}, wood},
		{"dark on bright", []any{rectangle(600, 450, 856, 540, 0), night}, [][4]point{rectangle(600, 450, 856, 540, 0)}, paper},
		{"little contrast", []any{rectangle(600, 450, 856, 540, 2), color.RGBA{150, 120, 100, 255}}, [][4]point{rectangle(600, 450, 856, 540, 2)}, wood},
		{"only colour", []any{rectangle(600, 450, 856, 540, 0), color.RGBA{120, 60, 150, 255}}, [][4]point{rectangle(600, 450, 856, 540, 0)}, wood},
		{"crooked", []any{rectangle(600, 450, 700, 441.6, 23), paper}, [][4]point{rectangle(600, 450, 700, 441.6, 23)}, wood},
		{"on its side", []any{rectangle(600, 450, 713, 450, 90), paper}, [][4]point{rectangle(600, 450, 713, 450, 90)}, wood},
		{"upside down", []any{rectangle(600, 450, 856, 540, 178), paper}, [][4]point{rectangle(600, 450, 856, 540, 178)}, wood},
		{"slanted", []any{slanted, paper}, [][4]point{slanted}, wood},
		{"with a stripe and a picture", []any{rectangle(600, 450, 856, 540, 0), paper, rectangle(600, 210, 856, 60, 0), night, rectangle(330, 470, 250, 330, 0), wood},
			[][4]point{rectangle(600, 450, 856, 540, 0)}, wood},
		{"two", []any{rectangle(600, 230, 600, 378, 0), paper, rectangle(600, 670, 600, 378, 1), paper},
			[][4]point{rectangle(600, 230, 600, 378, 0), rectangle(600, 670, 600, 378, 1)}, wood},

		{"nothing", nil, nil, wood},
		{"square", []any{rectangle(600, 450, 540, 540, 0), paper}, nil, wood},
		{"print of 13 x 10", []any{rectangle(600, 450, 806, 620, 3), paper}, nil, wood},
		{"strip", []any{rectangle(600, 450, 1000, 440, 0), paper}, nil, wood},
		{"far away", []any{rectangle(600, 450, 300, 189, 0), paper}, nil, wood},
		{"cut off at the right", []any{rectangle(850, 450, 856, 540, 0), paper}, nil, wood},
		{"cut off below", []any{rectangle(600, 700, 856, 540, 0), paper}, nil, wood},
		{"fills the picture", []any{rectangle(600, 450, 1300, 1000, 0), paper}, nil, wood},
		{"sheared", []any{[4]point{{X: 100, Y: 200}, {X: 900, Y: 200}, {X: 1150, Y: 700}, {X: 350, Y: 700}}, paper}, nil, wood},
		{"a hand over one side", []any{rectangle(600, 450, 856, 540, 0), paper, rectangle(1000, 450, 200, 300, 0), wood}, nil, wood},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := scene(1200, 900, c.ground, 7)
			for i := 0; i < len(c.draw); i += 2 {
				paint(img, c.draw[i].([4]point), c.draw[i+1].(color.RGBA))
			}
			got := outline.Cards(img)
			if len(got) != len(c.want) {
				t.Fatalf("%d cards, want %d: %v", len(got), len(c.want), got)
			}
			for _, w := range c.want {
				best := math.Inf(1)
				for _, g := range got {
					best = min(best, off(g.Corners, w))
					if g.Corners[1].X < g.Corners[0].X-20 {
						t.Errorf("the first side of %v leads to the left", g.Corners)
					}
					if g.Support < 0.95 || g.Support > 1 {
						t.Errorf("support %v", g.Support)
					}
				}
				if !(best <= 15) { // five pixels of the small picture
					t.Errorf("%.1f pixels off: %v, want %v", best, got, w)
				}
			}
			if again := outline.Cards(img); !reflect.DeepEqual(got, again) {
				t.Error("another answer the second time")
			}
		})
	}
}

// A card at all angles: none is special.
func TestEveryAngle(t *testing.T) {
	step := 9.0
	for degrees := 0.0; degrees < 180; degrees += step {
		img := scene(1000, 1000, wood, uint64(degrees))
		want := rectangle(500, 500, 700, 441.6, degrees)
		paint(img, want, paper)
		if got := outline.Cards(img); len(got) != 1 || off(got[0].Corners, want) > 6 {
			t.Errorf("%v degrees: %v", degrees, got)
		}
	}
}

func TestStraighten(t *testing.T) {
	img := scene(1200, 900, wood, 3)
	corners := [4]point{{X: 160, Y: 200}, {X: 1040, Y: 170}, {X: 1060, Y: 730}, {X: 150, Y: 720}}
	at := func(u, v float64) point { // bilinear is near enough for such a slant
		f := func(a, b, c, d float64) float64 { return (a*(1-u)+b*u)*(1-v) + (d*(1-u)+c*u)*v }
		return point{X: f(corners[0].X, corners[1].X, corners[2].X, corners[3].X), Y: f(corners[0].Y, corners[1].Y, corners[2].Y, corners[3].Y)}
	}
	inks := []color.RGBA{{255, 0, 0, 255}, {0, 255, 0, 255}, {0, 0, 255, 255}, {255, 255, 255, 255}}
	for i, q := range [][2]float64{{0, 0}, {0.5, 0}, {0.5, 0.5}, {0, 0.5}} {
		paint(img, [4]point{at(q[0], q[1]), at(q[0]+0.5, q[1]), at(q[0]+0.5, q[1]+0.5), at(q[0], q[1]+0.5)}, inks[i])
	}
	card := outline.Card{Corners: corners}
	for turn, c := range []outline.Card{card, card.Turned()} {
		flat := c.Straighten(img)
		w, h := flat.Rect.Dx(), flat.Rect.Dy()
		if w < 880 || w > 920 || math.Abs(float64(w)/float64(h)-float64(outline.ID1)) > 0.01 {
			t.Fatalf("%d x %d", w, h)
		}
		for i, p := range []image.Point{{2, 2}, {w - 3, 2}, {w - 3, h - 3}, {2, h - 3}, {w/2 - 20, h/2 - 20}, {w/2 + 20, h/2 + 20}} {
			want := inks[([]int{0, 1, 2, 3, 0, 2}[i]+2*turn)%4]
			if got := flat.RGBAAt(p.X, p.Y); got != want {
				t.Errorf("turned %d times, %v: %v, want %v", turn, p, got, want)
			}
		}
	}
	far := outline.Card{Corners: rectangle(5, 5, 3, 2, 0)}
	if flat := far.Straighten(img); flat.Rect.Dx() != 640 {
		t.Errorf("%v", flat.Rect)
	}
}

func TestPartOfAPicture(t *testing.T) {
	img := scene(1400, 1000, wood, 5)
	paint(img, rectangle(800, 550, 856, 540, 0), paper)
	part := img.SubImage(image.Rect(200, 100, 1400, 1000)).(*image.RGBA)
	got := outline.Cards(part)
	if len(got) != 1 || off(got[0].Corners, rectangle(600, 450, 856, 540, 0)) > 6 {
		t.Fatalf("%v", got)
	}
	if c := got[0].Straighten(part).RGBAAt(400, 250); c != paper {
		t.Errorf("%v", c)
	}
}

// FuzzCards: whatever the pixels, outlines lie in the picture and have the shape.
func FuzzCards(f *testing.F) {
	f.Add([]byte("stripes"), 200, 150)
	f.Add([]byte{0, 255, 0, 0, 255, 255}, 33, 300)
	f.Fuzz(func(t *testing.T, b []byte, w, h int) {
		if w < 1 || h < 1 || w > 400 || h > 400 || len(b) == 0 {
			return
		}
		img := image.NewRGBA(image.Rect(0, 0, w, h))
		for i := range img.Pix {
			img.Pix[i] = b[i*i/7%len(b)]
		}
		for _, c := range outline.Cards(img) {
			for _, p := range c.Corners {
				if !(p.X >= 0 && p.Y >= 0 && p.X <= float64(w) && p.Y <= float64(h)) {
					t.Fatalf("%v in %d x %d", c, w, h)
				}
			}
			if flat := c.Straighten(img); flat.Rect.Dx() < 640 || flat.Rect.Dx() > 2400 {
				t.Fatal(flat.Rect)
			}
		}
	})
}

func BenchmarkCards(b *testing.B) {
	card := scene(4032, 3024, wood, 1)
	paint(card, rectangle(2000, 1500, 2900, 1829, 3), paper)
	squares := image.NewRGBA(card.Rect)
	for i := range squares.Pix {
		x, y := i/4%4032, i/4/4032
		squares.Pix[i] = byte((x/160 + y/160) % 2 * 255)
	}
	for _, k := range []struct {
		name string
		img  *image.RGBA
	}{{"12 MP, card", card}, {"12 MP, chessboard", squares}, {"12 MP, grain", scene(4032, 3024, wood, 2)}} {
		b.Run(k.name, func(b *testing.B) {
			for b.Loop() {
				outline.Cards(k.img)
			}
		})
	}
}

// TestDocuments: cards and pages alike, one outline each.
func TestDocuments(t *testing.T) {
	page, card := rectangle(600, 450, 900, 634, 3), rectangle(600, 450, 856, 540, -4)
	for _, c := range []struct {
		name string
		draw []any
		want [][4]point
	}{
		{"a page", []any{page, paper}, [][4]point{page}},
		{"a card", []any{card, paper}, [][4]point{card}},
		{"a page with a portrait and a stripe", []any{page, paper, rectangle(350, 430, 250, 320, 3), wood, rectangle(600, 660, 890, 100, 3), night}, [][4]point{page}},
		{"two pages one above the other", []any{rectangle(600, 220, 560, 394, 0), paper, rectangle(600, 660, 560, 394, 0), paper}, [][4]point{rectangle(600, 220, 560, 394, 0), rectangle(600, 660, 560, 394, 0)}},
		{"two cards side by side", []any{rectangle(310, 450, 500, 315, 0), paper, rectangle(880, 450, 500, 315, 0), paper}, [][4]point{rectangle(310, 450, 500, 315, 0), rectangle(880, 450, 500, 315, 0)}},
		{"an open passport", []any{rectangle(600, 450, 580, 817, 0), paper, rectangle(600, 450, 580, 3, 0), night}, [][4]point{rectangle(600, 450, 580, 817, 0)}},
		{"nothing", nil, nil},
	} {
		t.Run(c.name, func(t *testing.T) {
			img := scene(1200, 900, wood, 11)
			for i := 0; i < len(c.draw); i += 2 {
				paint(img, c.draw[i].([4]point), c.draw[i+1].(color.RGBA))
			}
			got := outline.Look(img).Documents()
			if len(got) != len(c.want) {
				t.Fatalf("%d documents, want %d: %v", len(got), len(c.want), got)
			}
			for _, w := range c.want {
				best := math.Inf(1)
				for _, g := range got {
					best = min(best, off(g.Corners, w))
				}
				if !(best <= 20) { // where documents have edges in one line, those are a little off
					t.Errorf("%.1f pixels off: %v, want %v", best, got, w)
				}
			}
		})
	}
}

func TestCutOff(t *testing.T) {
	for _, c := range []struct {
		name string
		at   [4]point
		want bool
	}{
		{"right", rectangle(900, 450, 900, 634, 0), true},
		{"left, crooked", rectangle(250, 450, 900, 634, 3), true},
		{"above", rectangle(600, 150, 800, 563, 0), true},
		{"below", rectangle(600, 800, 800, 563, -2), true},
		{"whole", rectangle(600, 450, 900, 634, 0), false},
		{"a corner alone", rectangle(1100, 900, 900, 634, 0), false},
		{"a stripe across", rectangle(600, 450, 2000, 300, 0), false},
		{"nothing", rectangle(-600, 450, 100, 100, 0), false},
	} {
		img := scene(1200, 900, wood, 13)
		paint(img, c.at, paper)
		if got := outline.Look(img).CutOff(); got != c.want {
			t.Errorf("%s: %v", c.name, got)
		}
	}
	if outline.Look(image.NewRGBA(image.Rect(0, 0, 8, 8))).CutOff() {
		t.Error("in a picture of 8 x 8")
	}
}

// TestParts: where points lie on a card, what is left without a margin, and the
// halves of an open passport.
func TestParts(t *testing.T) {
	c := outline.Card{Corners: [4]point{{X: 160, Y: 200}, {X: 1040, Y: 170}, {X: 1060, Y: 730}, {X: 150, Y: 720}}, Shape: outline.ID3}
	for i, want := range [4]point{{X: 0, Y: 0}, {X: 1, Y: 0}, {X: 1, Y: 1}, {X: 0, Y: 1}} {
		if u, v := c.Place(c.Corners[i]); math.Hypot(u-want.X, v-want.Y) > 1e-9 {
			t.Errorf("corner %d is at %v, %v", i, u, v)
		}
	}
	for i, p := range c.Inner(0.1).Corners {
		u, v := c.Place(p)
		if want := ([4]point{{X: 0.1, Y: 0.1}, {X: 0.9, Y: 0.1}, {X: 0.9, Y: 0.9}, {X: 0.1, Y: 0.9}})[i]; math.Hypot(u-want.X, v-want.Y) > 1e-9 {
			t.Errorf("inner corner %d is at %v, %v", i, u, v)
		}
	}
	a, b := c.Halves()[0], c.Halves()[1]
	if a.Area() <= 0 || b.Area() <= 0 || math.Abs(a.Area()+b.Area()-c.Area()) > 1 || a.Covers(b) || !a.Adjoins(b) || !c.Covers(c.Turned()) {
		t.Errorf("%v, %v", a, b)
	}
	// Each half lies as a page does: its long side is a short one of the whole.
	if u, v := c.Place(a.Corners[2]); math.Hypot(u, v-1) > 1e-9 && math.Hypot(u, v) > 1e-9 {
		t.Errorf("%v, %v", u, v)
	}
	if a.Shape != outline.ID3 {
		t.Error(a.Shape)
	}
}
