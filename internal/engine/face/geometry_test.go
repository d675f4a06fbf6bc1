package face

import (
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"
)

func near(a, b Point, by float64) bool { return a.sub(b).norm() <= by }

func TestSimilarityRecoversTheMap(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for range 200 {
		k, angle := 0.1+rnd.Float64()*5, rnd.Float64()*2*math.Pi
		sin, cos := math.Sincos(angle)
		want := affine{k * cos, -k * sin, rnd.Float64() * 100, k * sin, k * cos, rnd.Float64() * 100}
		to := make([]Point, len(mobileChip))
		for i, p := range mobileChip {
			to[i] = want.apply(p)
		}
		got := similarity(mobileChip, to)
		for _, p := range []Point{{0, 0}, {112, 0}, {0, 112}, {37, 59}} {
			if !near(got.apply(p), want.apply(p), 1e-6) {
				t.Fatalf("similarity(%v): %v goes to %v, want %v", want, p, got.apply(p), want.apply(p))
			}
		}
	}
}

func TestSimilarityNeverMirrors(t *testing.T) {
	mirrored := make([]Point, len(dlibChip))
	for i, p := range dlibChip {
		mirrored[i] = Point{-p.X, p.Y}
	}
	if m := similarity(dlibChip, mirrored); m.a*m.e-m.b*m.d <= 0 {
		t.Fatalf("similarity mirrored: %v", m)
	}
}

func TestSquare(t *testing.T) {
	for _, tc := range []struct {
		name               string
		roll               float64
		corner, right, mid Point
	}{
		{"level", 0, Point{60, 160}, Point{140, 160}, Point{100, 200}},
		{"a quarter clockwise", math.Pi / 2, Point{140, 160}, Point{140, 240}, Point{100, 200}},
		{"upside down", math.Pi, Point{140, 240}, Point{60, 240}, Point{100, 200}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			m := square(Point{100, 200}, 80, tc.roll, 256)
			for from, want := range map[Point]Point{{0, 0}: tc.corner, {256, 0}: tc.right, {128, 128}: tc.mid} {
				if got := m.apply(from); !near(got, want, 1e-9) {
					t.Errorf("%v goes to %v, want %v", from, got, want)
				}
			}
			if math.Abs(m.scale()-80.0/256) > 1e-12 {
				t.Errorf("scale %v", m.scale())
			}
		})
	}
}

func TestAffineThen(t *testing.T) {
	m, n := square(Point{3, 4}, 10, 0.3, 7), square(Point{-1, 2}, 5, 1.2, 9)
	if p := (Point{2, 5}); !near(m.then(n).apply(p), n.apply(m.apply(p)), 1e-9) {
		t.Fatal("then does not do one after the other")
	}
}

func TestIOU(t *testing.T) {
	for _, tc := range []struct {
		a, b box
		want float64
	}{
		{box{0, 0, 10, 10}, box{0, 0, 10, 10}, 1},
		{box{0, 0, 10, 10}, box{5, 0, 15, 10}, 1.0 / 3},
		{box{0, 0, 10, 10}, box{10, 0, 20, 10}, 0},
		{box{0, 0, 10, 10}, box{20, 20, 30, 30}, 0},
		{box{0, 0, 10, 10}, box{2, 2, 4, 4}, 0.04},
		{box{5, 5, 5, 5}, box{5, 5, 5, 5}, 0},
	} {
		if got := iou(tc.a, tc.b); math.Abs(got-tc.want) > 1e-12 {
			t.Errorf("iou(%v, %v) = %v, want %v", tc.a, tc.b, got, tc.want)
		}
		if iou(tc.a, tc.b) != iou(tc.b, tc.a) {
			t.Errorf("iou(%v, %v) is not symmetric", tc.a, tc.b)
		}
	}
}

func TestAnchors(t *testing.T) {
	list := anchors()
	if len(list) != 896 {
		t.Fatalf("%d anchors, want 896", len(list))
	}
	for i, want := range map[int]Point{
		0: {8, 8}, 1: {8, 8}, 2: {24, 8}, 32: {8, 24}, 511: {248, 248},
		512: {16, 16}, 517: {16, 16}, 518: {48, 16}, 560: {16, 48}, 895: {240, 240},
	} {
		if list[i] != want {
			t.Errorf("anchor %d at %v, want %v", i, list[i], want)
		}
	}
}

// raw gives detector outputs in which the listed anchors answer with a box of
// side 40 around their centre.
func raw(logits map[int]float32) (scores, boxes []float32) {
	scores, boxes = make([]float32, blazeAnchors), make([]float32, blazeAnchors*blazeValues)
	for i := range scores {
		scores[i] = -100
	}
	for i, v := range logits {
		scores[i] = v
		boxes[i*blazeValues+2], boxes[i*blazeValues+3] = 40, 40
	}
	return scores, boxes
}

func TestDecode(t *testing.T) {
	// Anchors 0 and 1 share a place, 2 overlaps them by 0.43, 10 is far away, 20 is unlikely.
	found, err := decode(raw(map[int]float32{0: 1, 1: 3, 2: 2, 10: 0.5, 20: -1}))
	if err != nil {
		t.Fatal(err)
	}
	if len(found) != 2 {
		t.Fatalf("%d candidates, want 2: %v", len(found), found)
	}
	if got, want := found[0].score, 1/(1+math.Exp(-3)); math.Abs(got-want) > 1e-9 {
		t.Errorf("best score %v, want %v", got, want)
	}
	if x := found[0].box.centre().X; !(x > 8 && x < 16) {
		t.Errorf("the group's box is centred at %v, want between its members at 8 and 24, nearer to 8", x)
	}
	if !near(found[1].box.centre(), blazeGrid[10], 1e-6) {
		t.Errorf("second at %v, want %v", found[1].box.centre(), blazeGrid[10])
	}
}

func TestDecodeRefusesNonsense(t *testing.T) {
	if _, err := decode(make([]float32, 10), make([]float32, 160)); err == nil {
		t.Error("wrong lengths were taken")
	}
	nan := float32(math.NaN())
	scores, boxes := raw(map[int]float32{0: nan, 1: 5, 2: 5, 3: 5})
	boxes[1*blazeValues+2] = -40                  // negative width
	boxes[2*blazeValues+0] = float32(math.Inf(1)) // no place
	boxes[3*blazeValues+9] = float32(math.NaN())  // no key point
	found, err := decode(scores, boxes)
	if err != nil || len(found) != 0 {
		t.Errorf("got %v, %v, want nothing", found, err)
	}
}

func FuzzDecode(f *testing.F) {
	f.Add(uint(3), float32(2), float32(1), float32(-1), float32(30), float32(1e30))
	f.Add(uint(800), float32(200), float32(1e38), float32(1e38), float32(1e-40), float32(3))
	f.Fuzz(func(t *testing.T, at uint, score, x, y, w, h float32) {
		scores, boxes := raw(map[int]float32{int(at % blazeAnchors): score, 5: 1})
		copy(boxes[int(at%blazeAnchors)*blazeValues:], []float32{x, y, w, h})
		found, err := decode(scores, boxes)
		if err != nil {
			t.Fatal(err)
		}
		for _, c := range found {
			if !c.box.finite() || !(c.score >= minScore && c.score <= 1) {
				t.Fatalf("candidate %v", c)
			}
			// Whatever the net says, it must be safe to sample there.
			r, _ := newRaster(image.NewRGBA(image.Rect(0, 0, 9, 7)))
			r.warp(square(c.box.centre(), 2.5*c.box.side(), tilt(c.points[0], c.points[1]), 16), 16, 16)
			c.box.rectangle(image.Rect(0, 0, 9, 7))
		}
	})
}

// ramp is a picture whose red grows to the right and whose green grows downwards.
func ramp(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.SetRGBA(x, y, color.RGBA{uint8(255 * x / (w - 1)), uint8(255 * y / (h - 1)), 77, 255})
		}
	}
	return img
}

func TestWarp(t *testing.T) {
	img := ramp(400, 300)
	r, err := newRaster(img)
	if err != nil {
		t.Fatal(err)
	}
	for _, tc := range []struct {
		name string
		m    affine
	}{
		{"same size", square(Point{200, 150}, 64, 0, 64)},
		{"larger", square(Point{200, 150}, 20, 0, 64)},
		{"smaller by 1.5", square(Point{200, 150}, 96, 0.2, 64)},
		{"smaller by 4", square(Point{200, 150}, 200, 0.7, 50)},
		{"smaller by 2.9", square(Point{190, 160}, 145, -2, 50)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			out := r.warp(tc.m, 50, 50)
			for y := 2; y < 48; y += 5 {
				for x := 2; x < 48; x += 5 {
					p := tc.m.apply(Point{float64(x) + 0.5, float64(y) + 0.5})
					got := out[(y*50+x)*3:]
					want := []float64{(p.X - 0.5) * 255 / 399, (p.Y - 0.5) * 255 / 299, 77}
					for c, w := range want {
						if math.Abs(float64(got[c])-w) > 1.6 {
							t.Fatalf("at %v colour %d is %v, want %v", p, c, got[c], w)
						}
					}
				}
			}
		})
	}
}

func TestShrinkAverages(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	for _, tc := range []struct{ w, h, f int }{{1, 1, 2}, {7, 5, 2}, {37, 23, 3}, {64, 64, 8}, {31, 600, 300}, {700, 7, 300}} {
		img := image.NewRGBA(image.Rect(0, 0, tc.w, tc.h))
		for i := range img.Pix {
			img.Pix[i] = 255 // the sums must hold the brightest picture
			if tc.h < 600 {
				img.Pix[i] = byte(rnd.IntN(256))
			}
		}
		r, _ := newRaster(img)
		small, _ := r.shrink(box{0, 0, float64(tc.w), float64(tc.h)}, tc.f, affine{1, 0, 0, 0, 1, 0})
		for y := range small.h {
			for x := range small.w {
				var sum [3]int
				n := 0
				for v := y * tc.f; v < min((y+1)*tc.f, tc.h); v++ {
					for u := x * tc.f; u < min((x+1)*tc.f, tc.w); u++ {
						n++
						for c := range sum {
							sum[c] += int(img.Pix[img.PixOffset(u, v)+c])
						}
					}
				}
				for c, s := range sum {
					if got, want := small.pix[y*small.stride+x*4+c], byte((s+n/2)/n); got != want {
						t.Fatalf("%+v: at %d, %d colour %d is %d, want %d", tc, x, y, c, got, want)
					}
				}
			}
		}
	}
}

func TestInverse(t *testing.T) {
	m := square(Point{120, 80}, 70, 0.4, 112)
	if p := m.inverse().apply(m.apply(Point{3, 9})); p.sub(Point{3, 9}).norm() > 1e-9 {
		t.Errorf("there and back: %v", p)
	}
}

func TestWarpOutsideIsBlack(t *testing.T) {
	r, _ := newRaster(ramp(40, 30))
	for _, side := range []float64{10, 500} {
		out := r.warp(square(Point{-400, -400}, side, 0.3, 32), 32, 32)
		for _, v := range out {
			if v != 0 {
				t.Fatalf("side %v: %v outside the picture", side, v)
			}
		}
	}
}

func TestRasterKeepsTheOrigin(t *testing.T) {
	whole := ramp(60, 60)
	part := whole.SubImage(image.Rect(20, 10, 50, 40)).(*image.RGBA)
	r, err := newRaster(part)
	if err != nil {
		t.Fatal(err)
	}
	if r.w != 30 || r.h != 30 || r.origin != image.Pt(20, 10) || r.pix[0] != whole.RGBAAt(20, 10).R {
		t.Errorf("raster of a part: %d x %d at %v", r.w, r.h, r.origin)
	}
	grey := image.NewGray(image.Rect(5, 6, 15, 16))
	grey.SetGray(5, 6, color.Gray{200})
	if r, err = newRaster(grey); err != nil || r.pix[0] != 200 || r.pix[2] != 200 || r.origin != image.Pt(5, 6) {
		t.Errorf("raster of grey: %v %v", r.origin, err)
	}
	for name, img := range map[string]image.Image{
		"none": nil, "empty": image.NewRGBA(image.Rect(3, 3, 3, 9)), "vast": image.NewUniform(color.White),
	} {
		if _, err := newRaster(img); err == nil {
			t.Errorf("%s picture was taken", name)
		}
	}
}

func TestTilesCoverTheFrame(t *testing.T) {
	for _, f := range []frame{
		{Point{500, 300}, 1000, 600, 0},
		{Point{500, 300}, 600, 1000, math.Pi / 2},
		{Point{500, 300}, 900, 200, 0.4},
	} {
		for _, scale := range portraitScales {
			tiles := f.tiles(scale)
			if len(tiles) > 60 {
				t.Errorf("%v at %v: %d tiles", f, scale, len(tiles))
			}
			sin, cos := math.Sincos(f.roll)
			for u := -0.49; u < 0.5; u += 0.07 {
				for v := -0.49; v < 0.5; v += 0.07 {
					p := f.centre.add(Point{u*f.width*cos - v*f.height*sin, u*f.width*sin + v*f.height*cos})
					seen := false
					for _, m := range tiles {
						q := inverse(m).apply(p)
						seen = seen || q.X >= 0 && q.Y >= 0 && q.X <= blazeSize && q.Y <= blazeSize
					}
					if !seen {
						t.Fatalf("%v at %v: nothing looks at %v", f, scale, p)
					}
				}
			}
		}
	}
}

func inverse(m affine) affine {
	d := m.a*m.e - m.b*m.d
	return affine{m.e / d, -m.b / d, (m.b*m.f - m.e*m.c) / d, -m.d / d, m.a / d, (m.d*m.c - m.a*m.f) / d}
}

func TestPage(t *testing.T) {
	p := Page{{10, 10}, {110, 20}, {105, 90}, {5, 80}}
	for q, want := range map[Point]bool{{50, 50}: true, {11, 11}: true, {0, 0}: false, {109, 89}: false, {60, 12}: false, {60, 20}: true} {
		if got := p.holds(q); got != want {
			t.Errorf("holds(%v) = %v", q, got)
		}
	}
	if !p.plausible() {
		t.Error("a tilted page is plausible")
	}
	upside := Page{{105, 90}, {5, 80}, {10, 10}, {110, 20}}
	if f := upside.frame(); !upside.plausible() || math.Abs(math.Abs(degrees(f.roll))-174.3) > 0.5 {
		t.Errorf("a page upside down: roll %v", degrees(f.roll))
	}
	for name, bad := range map[string]Page{
		"mirrored": {{110, 20}, {10, 10}, {5, 80}, {105, 90}},
		"line":     {{0, 0}, {10, 0}, {20, 0}, {30, 0}},
		"crossed":  {{0, 0}, {100, 100}, {100, 0}, {0, 100}},
		"nan":      {{math.NaN(), 0}, {10, 0}, {10, 10}, {0, 10}},
	} {
		if bad.plausible() {
			t.Errorf("a %s page is plausible", name)
		}
	}
}

func template(dlib, mobile float32) *Template {
	t := &Template{dlib: make([]float32, dlibLength)}
	t.dlib[0] = dlib
	if mobile != 0 {
		t.mobile = make([]float32, mobileLength)
		t.mobile[0] = mobile
		t.mobile[1] = float32(math.Sqrt(1 - float64(mobile)*float64(mobile)))
	}
	return t
}

func TestCompare(t *testing.T) {
	nan, other := template(0, 1), template(0, 1)
	nan.dlib[3] = float32(math.NaN())
	other.made[0] = 1
	for _, tc := range []struct {
		name string
		a, b *Template
		want Score
		err  error
	}{
		{"at the operating point", template(0, 1), template(0.55, 0.5), Score{0.15/0.16 + 0.07/0.11, 0.5, 0.55, true}, nil},
		{"the same", template(0.2, 1), template(0.2, 1), Score{0.65/0.16 + 0.62/0.11, 1, 0, true}, nil},
		{"both without the second model", template(0, 0), template(0.55, 0), Score{0.07 / 0.11, 0, 0.55, false}, nil},
		{"one without the second model", template(0, 1), template(0.55, 0), strangers, ErrForeign},
		{"other models", template(0, 1), other, strangers, ErrForeign},
		{"nothing", nil, template(0, 1), strangers, ErrForeign},
		{"empty", &Template{}, &Template{}, strangers, ErrForeign},
		{"not a number", nan, template(0, 1), strangers, ErrTemplate},
	} {
		for range 2 {
			got, err := Compare(tc.a, tc.b)
			if math.Abs(got.Fused-tc.want.Fused) > 1e-5 || math.Abs(got.Cosine-tc.want.Cosine) > 1e-6 ||
				math.Abs(got.Distance-tc.want.Distance) > 1e-6 || got.HasCosine != tc.want.HasCosine || !errors.Is(err, tc.err) {
				t.Errorf("%s: %+v, %v, want %+v, %v", tc.name, got, err, tc.want, tc.err)
			}
			tc.a, tc.b = tc.b, tc.a
		}
	}
}

func TestProminent(t *testing.T) {
	f := func(size, score float64) Face { return Face{size: size, Score: score} }
	for _, tc := range []struct {
		name  string
		faces []Face
		want  int
	}{
		{"none", nil, 0},
		{"one", []Face{f(200, 0.6)}, 1},
		{"two people", []Face{f(200, 0.9), f(150, 0.9)}, 2},
		{"over the shoulder", []Face{f(200, 0.9), f(61, 0.8)}, 2},
		{"far behind", []Face{f(200, 0.9), f(59, 0.95)}, 1},
		{"a pattern", []Face{f(200, 0.9), f(150, 0.6)}, 1},
	} {
		if got := len(Prominent(tc.faces)); got != tc.want {
			t.Errorf("%s: %d prominent, want %d", tc.name, got, tc.want)
		}
	}
}

func TestFalls(t *testing.T) {
	good := Quality{Frontal: true, EyeDistance: 80, Sharpness: 120, Brightness: 120, Contrast: 35, Eyes: 0.8, EyeLight: 0.7, Lips: 0.5}
	if short := good.Falls(SelfieLimits); short != nil {
		t.Fatalf("a good face falls short: %v", short)
	}
	for want, change := range map[string]func(*Quality){
		TooSmall:    func(q *Quality) { q.EyeDistance = 39 },
		TooBlurred:  func(q *Quality) { q.Sharpness = 5 },
		TurnedAway:  func(q *Quality) { q.Yaw = -26 },
		Tilted:      func(q *Quality) { q.Roll = 90 },
		TooDark:     func(q *Quality) { q.Brightness = 20 },
		TooBright:   func(q *Quality) { q.Clipped = 0.5 },
		LowContrast: func(q *Quality) { q.Contrast = math.NaN() },
		EyesHidden:  func(q *Quality) { q.EyeLight = 0.2 },
		MouthHidden: func(q *Quality) { q.Lips = math.NaN() },
	} {
		q := good
		change(&q)
		if short := q.Falls(SelfieLimits); len(short) != 1 || short[0] != want {
			t.Errorf("falls short by %v, want %s", short, want)
		}
	}
	for name, l := range map[string]Limits{"selfie": SelfieLimits, "portrait": PortraitLimits} {
		if (Quality{}).Falls(l) == nil {
			t.Errorf("nothing measured is good enough for a %s", name)
		}
	}
}
