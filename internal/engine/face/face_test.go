package face_test

import (
	"bytes"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"os"
	"path/filepath"
	"sync"
	"testing"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

// root leads from this package to the repository.
var root = filepath.Join("..", "..", "..")

// opened keeps one engine of each set for all tests: opening checks the sums of
// all models, and a program opens one once.
var opened = map[string]func() (*face.Engine, error){
	face.SetFull:         sync.OnceValues(func() (*face.Engine, error) { return load(face.SetFull) }),
	face.SetUnencumbered: sync.OnceValues(func() (*face.Engine, error) { return load(face.SetUnencumbered) }),
}

func cacheDir() string {
	if dir := os.Getenv("KOSMOSCOPE_MODELS"); dir != "" {
		return dir
	}
	return filepath.Join(root, "bin", "models")
}

func load(set string) (*face.Engine, error) {
	cache, err := models.Open(cacheDir())
	if err != nil {
		return nil, err
	}
	return face.Open(cache, set)
}

func open(t testing.TB, set string) *face.Engine {
	t.Helper()
	if !onnx.Available {
		t.Skip("built without cgo: there is no engine to test")
	}
	e, err := opened[set]()
	if errors.Is(err, models.ErrMissing) {
		t.Skip("no model cache: run `make build`, or point KOSMOSCOPE_MODELS at one")
	}
	if err != nil {
		t.Fatal(err)
	}
	return e
}

// sample reads one of the six pictures that a package we depend on ships under
// MIT. They are never copied into the repository.
func sample(t testing.TB, n int) *image.RGBA {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_MODEL_PACKAGES")
	if dir == "" {
		dir = filepath.Join(root, "models", "node_modules")
	}
	b, err := os.ReadFile(filepath.Join(dir, "@vladmandic", "face-api", "demo", fmt.Sprintf("sample%d.jpg", n)))
	if errors.Is(err, os.ErrNotExist) {
		t.Skip("no test photos: run `make build`, or point KOSMOSCOPE_MODEL_PACKAGES at the packages")
	}
	if err != nil {
		t.Fatal(err)
	}
	img, err := jpeg.Decode(bytes.NewReader(b))
	if err != nil {
		t.Fatal(err)
	}
	return rgba(img)
}

func rgba(img image.Image) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, img.Bounds().Dx(), img.Bounds().Dy()))
	draw.Draw(out, out.Bounds(), img, img.Bounds().Min, draw.Src)
	return out
}

func detect(t testing.TB, e *face.Engine, img image.Image) []face.Face {
	t.Helper()
	faces, err := e.Detect(img)
	if err != nil {
		t.Fatal(err)
	}
	return faces
}

func describe(t testing.TB, e *face.Engine, img image.Image, f face.Face) *face.Template {
	t.Helper()
	d, err := e.Describe(img, f)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func compare(t testing.TB, a, b *face.Template) face.Score {
	t.Helper()
	s, err := face.Compare(a, b)
	if err != nil {
		t.Error(err)
	}
	return s
}

// passes is the documented operating point.
func passes(s face.Score) bool { return s.HasCosine && s.Cosine >= 0.50 && s.Distance <= 0.55 }

// person is one frontal face of the six photos.
type person struct {
	photo    int
	face     face.Face
	template *face.Template
}

func (p person) String() string {
	return fmt.Sprintf("sample%d at x=%d", p.photo, p.face.Box.Min.X+p.face.Box.Dx()/2)
}

func people(t testing.TB, e *face.Engine) []person {
	var all []person
	for n := 1; n <= 6; n++ {
		img := sample(t, n)
		for _, f := range detect(t, e, img) {
			if f.Quality.Frontal {
				all = append(all, person{n, f, describe(t, e, img, f)})
			}
		}
	}
	return all
}

func TestEveryFaceInThePhotosIsFound(t *testing.T) {
	e := open(t, face.SetFull)
	for n, want := range map[int][2]int{1: {3, 3}, 2: {3, 2}, 3: {3, 3}, 4: {4, 4}, 5: {5, 5}, 6: {4, 4}} {
		faces := detect(t, e, sample(t, n))
		frontal := 0
		for i, f := range faces {
			if f.Quality.Frontal {
				frontal++
			}
			if f.Quality.Frontal != (len(f.Mesh) == 468) || f.Score < 0.5 || f.Box.Empty() {
				t.Errorf("sample%d: face %d: score %v, box %v, %d mesh points", n, i, f.Score, f.Box, len(f.Mesh))
			}
			if i > 0 && f.Size() > faces[i-1].Size() {
				t.Errorf("sample%d: not sorted by size", n)
			}
		}
		if got := [2]int{len(faces), frontal}; got != want {
			t.Errorf("sample%d: %d faces, %d frontal; want %v", n, got[0], got[1], want)
		}
		if got := len(face.Prominent(faces)); got != len(faces) {
			t.Errorf("sample%d: %d of %d faces are prominent", n, got, len(faces))
		}
	}
}

// The one pair of reference/idv-engine.md section 9 and everybody else.
func TestOperatingPoint(t *testing.T) {
	e := open(t, face.SetFull)
	all := people(t, e)
	same := func(p person) bool {
		x := p.face.Box.Min.X + p.face.Box.Dx()/2
		return p.photo == 1 && x > 1500 && x < 1650 || p.photo == 3 && x > 1100 && x < 1260
	}
	genuine, impostors := 0, 0
	worst := face.Score{Fused: math.Inf(-1)}
	for i, a := range all {
		for _, b := range all[:i] {
			s := compare(t, a.template, b.template)
			if same(a) && same(b) {
				genuine++
				if !passes(s) || s.Cosine < 0.75 {
					t.Errorf("the same person, %v and %v: %+v", a, b, s)
				}
				continue
			}
			impostors++
			if s.Fused > worst.Fused {
				worst = s
			}
			if passes(s) {
				t.Errorf("different people, %v and %v: %+v", a, b, s)
			}
		}
	}
	if genuine != 1 || impostors != 209 {
		t.Errorf("%d genuine and %d impostor pairs, want 1 and 209", genuine, impostors)
	}
	t.Logf("most alike of %d pairs of different people: %+v", impostors, worst)
}

// warped samples out of img: scale and turn around a centre, in degrees.
func warped(img *image.RGBA, centre image.Point, scale, degrees float64, w, h int) *image.RGBA {
	sin, cos := math.Sincos(degrees * math.Pi / 180)
	a, b := scale*cos, -scale*sin
	x, y := float64(centre.X), float64(centre.Y)
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	m := f64.Aff3{a, b, float64(w)/2 - a*x - b*y, -b, a, float64(h)/2 + b*x - a*y}
	draw.CatmullRom.Transform(out, m, img, img.Bounds(), draw.Src, nil)
	return out
}

func mapped(img *image.RGBA, f func(c color.RGBA) color.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	for y := img.Rect.Min.Y; y < img.Rect.Max.Y; y++ {
		for x := img.Rect.Min.X; x < img.Rect.Max.X; x++ {
			out.SetRGBA(x, y, f(img.RGBAAt(x, y)))
		}
	}
	return out
}

func gain(k, add float64) func(color.RGBA) color.RGBA {
	one := func(v uint8) uint8 { return uint8(math.Min(math.Max(float64(v)*k+add, 0), 255)) }
	return func(c color.RGBA) color.RGBA { return color.RGBA{one(c.R), one(c.G), one(c.B), 255} }
}

func grey(c color.RGBA) color.RGBA {
	y := color.GrayModel.Convert(c).(color.Gray).Y
	return color.RGBA{y, y, y, 255}
}

func mirrored(img *image.RGBA) *image.RGBA {
	out := image.NewRGBA(img.Bounds())
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			out.SetRGBA(img.Rect.Dx()-1-x, y, img.RGBAAt(x, y))
		}
	}
	return out
}

func compressed(img *image.RGBA, quality int) *image.RGBA {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, &jpeg.Options{Quality: quality}); err != nil {
		panic(err)
	}
	out, err := jpeg.Decode(&b)
	if err != nil {
		panic(err)
	}
	return rgba(out)
}

// selfie cuts one face out as a picture of its own.
func selfie(img *image.RGBA, f face.Face, side int, fill, degrees float64) *image.RGBA {
	c := f.Box.Min.Add(f.Box.Max).Div(2)
	return warped(img, c, fill*float64(side)/float64(f.Box.Dx()), degrees, side, side)
}

func TestOneFaceUnderOtherConditionsStillMatches(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	e := open(t, face.SetFull)
	img := sample(t, 6)
	for i, f := range detect(t, e, img) {
		want := describe(t, e, img, f)
		near := selfie(img, f, 480, 0.5, 0)
		for name, other := range map[string]*image.RGBA{
			"cut out":      near,
			"mirrored":     mirrored(near),
			"darker":       mapped(near, gain(0.45, 0)),
			"brighter":     mapped(near, gain(1.3, 20)),
			"flat":         mapped(near, gain(0.4, 90)),
			"grey":         mapped(near, grey),
			"hard JPEG":    compressed(near, 20),
			"small":        selfie(img, f, 96, 0.5, 0),
			"tilted left":  selfie(img, f, 480, 0.45, -25),
			"tilted right": selfie(img, f, 480, 0.45, 25),
			"tight":        selfie(img, f, 320, 0.75, 0),
		} {
			found := detect(t, e, other)
			if n := len(face.Prominent(found)); n != 1 {
				t.Errorf("face %d, %s: %d faces", i, name, n)
				continue
			}
			if s := compare(t, want, describe(t, e, other, found[0])); !passes(s) {
				t.Errorf("face %d, %s: %+v", i, name, s)
			}
		}
	}
}

func TestNoFaceWhereThereIsNone(t *testing.T) {
	e := open(t, face.SetFull)
	rnd := rand.New(rand.NewPCG(3, 4))
	fill := func(step int, f func() color.RGBA) *image.RGBA {
		img := image.NewRGBA(image.Rect(0, 0, 640, 480))
		for y := 0; y < 480; y += step {
			for x := 0; x < 640; x += step {
				draw.Draw(img, image.Rect(x, y, x+step, y+step), image.NewUniform(f()), image.Point{}, draw.Src)
			}
		}
		return img
	}
	noise := func() color.RGBA {
		return color.RGBA{uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), uint8(rnd.IntN(256)), 255}
	}
	pictures := map[string]image.Image{
		"black":     fill(640, func() color.RGBA { return color.RGBA{A: 255} }),
		"white":     fill(640, func() color.RGBA { return color.RGBA{255, 255, 255, 255} }),
		"one pixel": image.NewRGBA(image.Rect(0, 0, 1, 1)),
		"one line":  image.NewRGBA(image.Rect(0, 0, 3000, 1)),
		"document":  document(nil, 0, image.Point{}),
	}
	for _, step := range []int{1, 3, 8, 20} {
		pictures[fmt.Sprintf("noise of %d", step)] = fill(step, noise)
	}
	for name, img := range pictures {
		if faces := detect(t, e, img); len(faces) != 0 {
			t.Errorf("%s: %d faces", name, len(faces))
		}
	}
	for _, name := range []string{"document", "noise of 8", "one pixel"} {
		if _, _, err := e.Portrait(pictures[name], face.Page{}); !errors.Is(err, face.ErrNoPortrait) {
			t.Errorf("%s: portrait: %v", name, err)
		}
	}
}

func TestASmallFaceBehindDoesNotCount(t *testing.T) {
	e := open(t, face.SetFull)
	img := sample(t, 6)
	f := detect(t, e, img)
	for _, tc := range []struct {
		side             int // of the second face's picture; the first face is 320 pixels
		found, prominent int
	}{{0, 1, 1}, {110, 2, 1}, {400, 2, 2}} {
		scene := image.NewRGBA(image.Rect(0, 0, 1200, 700))
		draw.Draw(scene, scene.Bounds(), image.NewUniform(color.RGBA{120, 130, 140, 255}), image.Point{}, draw.Src)
		draw.Draw(scene, image.Rect(0, 30, 640, 670), selfie(img, f[0], 640, 0.5, 0), image.Point{}, draw.Src)
		if tc.side > 0 {
			second := selfie(img, f[2], tc.side, 0.6, 0)
			draw.Draw(scene, second.Bounds().Add(image.Pt(700, 60)), second, image.Point{}, draw.Src)
		}
		faces := detect(t, e, scene)
		if len(faces) != tc.found || len(face.Prominent(faces)) != tc.prominent {
			t.Errorf("second picture of %d: %d faces, %d prominent; want %d, %d",
				tc.side, len(faces), len(face.Prominent(faces)), tc.found, tc.prominent)
		}
	}
}

func TestAHeadInProfileIsAPersonThatCannotBeDescribed(t *testing.T) {
	e := open(t, face.SetFull)
	img := sample(t, 2)
	faces := detect(t, e, img)
	profiles := 0
	for _, f := range faces {
		if f.Quality.Frontal {
			continue
		}
		profiles++
		if _, err := e.Describe(img, f); !errors.Is(err, face.ErrNotFrontal) {
			t.Errorf("described: %v", err)
		}
		if short := f.Quality.Falls(face.SelfieLimits); len(short) != 1 || short[0] != face.TurnedAway {
			t.Errorf("falls short by %v", short)
		}
	}
	if profiles != 1 {
		t.Errorf("%d heads in profile, want 1", profiles)
	}
}

func TestQuality(t *testing.T) {
	e := open(t, face.SetFull)
	img := sample(t, 6)
	f := detect(t, e, img)[0]
	quality := func(img *image.RGBA) face.Quality {
		t.Helper()
		faces := detect(t, e, img)
		if len(faces) != 1 {
			t.Fatalf("%d faces, want 1", len(faces))
		}
		return faces[0].Quality
	}
	good := quality(selfie(img, f, 480, 0.5, 0))
	if short := good.Falls(face.SelfieLimits); short != nil {
		t.Errorf("a good selfie falls short by %v: %+v", short, good)
	}
	if q := quality(selfie(img, f, 480, 0.5, 20)); math.Abs(q.Roll-good.Roll-20) > 3 {
		t.Errorf("tilted by 20 degrees: roll %v after %v", q.Roll, good.Roll)
	}
	flip := quality(mirrored(selfie(img, f, 480, 0.5, 0)))
	if math.Abs(flip.Yaw+good.Yaw) > 5 || math.Abs(flip.Asymmetry+good.Asymmetry) > 0.1 || math.Abs(flip.Pitch-good.Pitch) > 5 {
		t.Errorf("mirrored: %+v after %+v", flip, good)
	}
	if q := quality(selfie(img, f, 240, 0.5, 0)); math.Abs(q.EyeDistance/good.EyeDistance-0.5) > 0.05 {
		t.Errorf("half the size: %v pixels between the eyes after %v", q.EyeDistance, good.EyeDistance)
	}
	for want, bad := range map[string]*image.RGBA{
		face.TooSmall:    selfie(img, f, 120, 0.5, 0),
		face.TooDark:     mapped(selfie(img, f, 480, 0.5, 0), gain(0.2, 0)),
		face.TooBright:   mapped(selfie(img, f, 480, 0.5, 0), gain(1, 125)),
		face.LowContrast: mapped(selfie(img, f, 480, 0.5, 0), gain(0.2, 100)),
		face.TooBlurred:  blurred(selfie(img, f, 480, 0.5, 0), 14),
	} {
		q := quality(bad)
		found := false
		for _, s := range q.Falls(face.SelfieLimits) {
			found = found || s == want
		}
		if !found {
			t.Errorf("%s was not noticed: %v, %+v", want, q.Falls(face.SelfieLimits), q)
		}
	}
}

// blurred scales down and up again.
func blurred(img *image.RGBA, by int) *image.RGBA {
	b := img.Bounds()
	small := image.NewRGBA(image.Rect(0, 0, b.Dx()/by, b.Dy()/by))
	draw.CatmullRom.Scale(small, small.Bounds(), img, b, draw.Src, nil)
	out := image.NewRGBA(b)
	draw.CatmullRom.Scale(out, b, small, small.Bounds(), draw.Src, nil)
	return out
}

func TestPartOfAPictureKeepsItsCoordinates(t *testing.T) {
	e := open(t, face.SetFull)
	img := sample(t, 3)
	whole := detect(t, e, img)[0]
	part := img.SubImage(whole.Box.Inset(-200))
	faces := detect(t, e, part)
	if len(faces) == 0 {
		t.Fatal("no face in the part")
	}
	f := faces[0]
	shared := f.Box.Intersect(whole.Box)
	if 10*shared.Dx()*shared.Dy() < 7*whole.Box.Dx()*whole.Box.Dy() {
		t.Errorf("box %v in the part, %v in the whole", f.Box, whole.Box)
	}
	if p, q := f.Mesh[4], whole.Mesh[4]; math.Hypot(p.X-q.X, p.Y-q.Y) > 8 {
		t.Errorf("nose at %v in the part, %v in the whole", p, q)
	}
	if s := compare(t, describe(t, e, img, f), describe(t, e, part, f)); s.Distance > 1e-3 || s.Cosine < 0.9999 {
		t.Errorf("described in the part and in the whole: %+v", s)
	}
}

// document draws a card of 1600 x 1100 with fine coloured lines and rows of
// marks, and the portrait (if any) with the given width at a place.
func document(portrait image.Image, width int, at image.Point) *image.RGBA {
	doc := image.NewRGBA(image.Rect(0, 0, 1600, 1100))
	for y := range 1100 {
		for x := range 1600 {
			u, v := float64(x), float64(y)
			k := math.Sin(u/9+6*math.Sin(v/47)) * math.Sin(v/7+5*math.Sin(u/61))
			doc.SetRGBA(x, y, color.RGBA{uint8(205 + 20*k), uint8(212 - 18*k), uint8(225 + 12*k), 255})
		}
	}
	rnd := rand.New(rand.NewPCG(5, 6))
	for line := range 14 {
		for x := 700; x < 1500; x += 24 {
			mark := image.Rect(x, 120+line*50, x+rnd.IntN(20), 120+line*50+8+rnd.IntN(18))
			draw.Draw(doc, mark, image.NewUniform(color.RGBA{40, 40, 50, 255}), image.Point{}, draw.Src)
		}
	}
	if portrait != nil {
		b := portrait.Bounds()
		draw.CatmullRom.Scale(doc, image.Rectangle{at, at.Add(image.Pt(width, width*b.Dy()/b.Dx()))}, portrait, b, draw.Src, nil)
	}
	return doc
}

// passportPhoto is a portrait in the shape of a document's.
func passportPhoto(img *image.RGBA, f face.Face) *image.RGBA {
	c := f.Box.Min.Add(f.Box.Max).Div(2)
	return warped(img, c.Add(image.Pt(0, -f.Box.Dy()/12)), 1, 0, f.Box.Dx()*17/10, f.Box.Dx()*22/10)
}

func TestPortrait(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	e := open(t, face.SetFull)
	img := sample(t, 6)
	faces := detect(t, e, img)
	holder, stranger := faces[0], faces[1]
	want := describe(t, e, img, holder)
	photo, other := passportPhoto(img, holder), passportPhoto(img, stranger)

	normal := document(photo, 420, image.Pt(90, 250))
	ghost := document(photo, 420, image.Pt(90, 250))
	faint := mapped(photo, func(c color.RGBA) color.RGBA { return gain(0.5, 110)(grey(c)) })
	draw.CatmullRom.Scale(ghost, image.Rect(1250, 760, 1410, 967), faint, faint.Bounds(), draw.Src, nil)
	// In a photo from further away the card is 40 % as wide as the picture.
	far := warped(normal, image.Pt(800, 550), 0.5, 0, 2000, 1400)
	// Somebody holds the card: their own face is larger and beside it.
	held := warped(normal, image.Pt(1400, 550), 0.6, 0, 2000, 1100)
	draw.Draw(held, image.Rect(1240, 50, 1960, 980), image.NewUniform(color.RGBA{90, 90, 90, 255}), image.Point{}, draw.Src)
	draw.CatmullRom.Scale(held, image.Rect(1240, 50, 1960, 980), other, other.Bounds(), draw.Src, nil)
	card := func(scale float64, centre, at image.Point) face.Page {
		corner := func(x, y int) face.Point {
			return face.Point{X: float64(at.X) + scale*float64(x-centre.X), Y: float64(at.Y) + scale*float64(y-centre.Y)}
		}
		return face.Page{corner(0, 0), corner(1600, 0), corner(1600, 1100), corner(0, 1100)}
	}

	for _, tc := range []struct {
		name   string
		img    *image.RGBA
		page   face.Page
		others int // -1 for any number
	}{
		{"large", normal, face.Page{}, 0},
		{"a tenth of the width", document(photo, 160, image.Pt(90, 250)), face.Page{}, 0},
		{"with a ghost image", ghost, face.Page{}, -1},
		{"far away", far, face.Page{}, 0},
		{"far away, page known", far, card(0.5, image.Pt(800, 550), image.Pt(1000, 700)), 0},
		{"tilted", warped(normal, image.Pt(800, 550), 0.8, 14, 1600, 1200), face.Page{}, 0},
		{"turned right", warped(normal, image.Pt(800, 550), 0.9, 90, 1100, 1600), face.Page{}, 0},
		{"turned left", warped(normal, image.Pt(800, 550), 0.9, -90, 1100, 1600), face.Page{}, 0},
		{"upside down", warped(normal, image.Pt(800, 550), 0.9, 180, 1600, 1100), face.Page{}, 0},
		{"small and upside down", warped(normal, image.Pt(800, 550), 0.4, 180, 1600, 1100), face.Page{}, 0},
		{"blurred and compressed", compressed(blurred(normal, 3), 40), face.Page{}, 0},
		{"held beside a face, page known", held, card(0.6, image.Pt(1400, 550), image.Pt(1000, 550)), 0},
	} {
		t.Run(tc.name, func(t *testing.T) {
			f, others, err := e.Portrait(tc.img, tc.page)
			if err != nil {
				t.Fatal(err)
			}
			if tc.others >= 0 && len(others) != tc.others {
				t.Errorf("%d other faces, want %d", len(others), tc.others)
			}
			s := compare(t, want, describe(t, e, tc.img, f))
			t.Logf("%.0f pixels between the eyes, sharpness %.0f, %+v, %d others", f.Quality.EyeDistance, f.Quality.Sharpness, s, len(others))
			if !passes(s) {
				t.Error("this is not the holder's portrait")
			}
			if short := f.Quality.Falls(face.PortraitLimits); short != nil {
				t.Errorf("falls short by %v", short)
			}
		})
	}
	t.Run("held beside a face, page not known", func(t *testing.T) {
		f, others, err := e.Portrait(held, face.Page{})
		if err != nil {
			t.Fatal(err)
		}
		if s := compare(t, want, describe(t, e, held, f)); passes(s) {
			t.Error("the smaller face was taken")
		}
		shown := false
		for _, o := range others {
			shown = shown || passes(compare(t, want, describe(t, e, held, o)))
		}
		if !shown {
			t.Errorf("the portrait on the card is not among the %d others", len(others))
		}
	})
	t.Run("small card beside a face, page not known", func(t *testing.T) {
		scene := warped(held, image.Pt(1000, 550), 1, 0, 2000, 1100)
		draw.Draw(scene, image.Rect(0, 0, 1240, 1100), image.NewUniform(color.RGBA{70, 80, 70, 255}), image.Point{}, draw.Src)
		draw.CatmullRom.Scale(scene, image.Rect(600, 500, 1100, 844), normal, normal.Bounds(), draw.Src, nil)
		_, others, err := e.Portrait(scene, face.Page{})
		if err != nil {
			t.Fatal(err)
		}
		shown := false
		for _, o := range others {
			shown = shown || passes(compare(t, want, describe(t, e, scene, o)))
		}
		if !shown {
			t.Errorf("the portrait on the card is not among the %d others", len(others))
		}
	})
	t.Run("page without a face", func(t *testing.T) {
		page := face.Page{{X: 20, Y: 20}, {X: 400, Y: 20}, {X: 400, Y: 200}, {X: 20, Y: 200}}
		if _, _, err := e.Portrait(held, page); !errors.Is(err, face.ErrNoPortrait) {
			t.Errorf("%v, want ErrNoPortrait", err)
		}
	})
	t.Run("page inside out", func(t *testing.T) {
		page := face.Page{{X: 400, Y: 20}, {X: 20, Y: 20}, {X: 20, Y: 200}, {X: 400, Y: 200}}
		if _, _, err := e.Portrait(held, page); err == nil {
			t.Error("no error")
		}
	})
}

func TestUnencumberedSet(t *testing.T) {
	e := open(t, face.SetUnencumbered)
	for _, m := range e.Models() {
		if m.Name == face.ModelSecond {
			t.Error("MobileFaceNet is loaded")
		}
	}
	img := sample(t, 3)
	faces := detect(t, e, img)
	a, b := describe(t, e, img, faces[0]), describe(t, e, img, faces[1])
	if s := compare(t, a, a); s.HasCosine || s.Distance != 0 || math.Abs(s.Fused-0.62/0.11) > 1e-9 {
		t.Errorf("a face and itself: %+v", s)
	}
	full := open(t, face.SetFull)
	if s := compare(t, a, b); s.HasCosine || s.Distance < 0.4 {
		t.Errorf("two people: %+v", s)
	}
	if s, err := face.Compare(b, describe(t, full, img, faces[1])); !errors.Is(err, face.ErrForeign) || passes(s) || s.Fused > -1 {
		t.Errorf("templates of two sets: %+v, %v", s, err)
	}
	if n := len(full.Models()); n != 4 || len(e.Models()) != 3 {
		t.Errorf("%d and %d models, want 4 and 3", n, len(e.Models()))
	}
}

func TestConcurrentCallersGetTheSameAnswers(t *testing.T) {
	e := open(t, face.SetFull)
	img := sample(t, 3)
	want := detect(t, e, img)
	first := describe(t, e, img, want[0])
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			faces, err := e.Detect(img)
			if err != nil || len(faces) != len(want) {
				t.Errorf("%d faces, %v", len(faces), err)
				return
			}
			d, err := e.Describe(img, faces[0])
			if s := compare(t, first, d); err != nil || s.Distance != 0 {
				t.Errorf("another description: %+v, %v", s, err)
			}
		})
	}
	wg.Wait()
}

func TestClose(t *testing.T) {
	open(t, face.SetUnencumbered)
	e, err := load(face.SetUnencumbered)
	if err != nil {
		t.Fatal(err)
	}
	img := sample(t, 3)
	f := detect(t, e, img)[0]
	for range 2 {
		if err := e.Close(); err != nil {
			t.Fatal(err)
		}
	}
	if faces, err := e.Detect(img); err == nil || faces != nil {
		t.Errorf("Detect after Close: %d faces, %v", len(faces), err)
	}
	if d, err := e.Describe(img, f); err == nil || d != nil {
		t.Errorf("Describe after Close: %v", err)
	}
	if _, _, err := e.Portrait(img, face.Page{}); err == nil || errors.Is(err, face.ErrNoPortrait) {
		t.Errorf("Portrait after Close: %v", err)
	}
}

// shelf is a cache of arbitrary files.
type shelf struct {
	library string
	paths   map[string]string
}

func (s shelf) Library() string { return s.library }
func (s shelf) Model(name string) (string, api.Model, error) {
	if p, ok := s.paths[name]; ok {
		return p, api.Model{Name: name}, nil
	}
	return "", api.Model{}, errors.New("not on the shelf")
}

func TestOpenFailsClosed(t *testing.T) {
	none := filepath.Join(t.TempDir(), "none")
	for name, tc := range map[string]struct {
		cache       face.Cache
		set         string
		unavailable bool
	}{
		"unknown set": {shelf{}, "everything", false},
		"no set":      {shelf{}, "", false},
		"no cache":    {nil, face.SetFull, true},
		"no models":   {shelf{library: none}, face.SetFull, true},
		"no library": {shelf{none, map[string]string{
			face.ModelDetector: none, face.ModelMesh: none, face.ModelEmbedding: none, face.ModelSecond: none,
		}}, face.SetFull, true},
	} {
		e, err := face.Open(tc.cache, tc.set)
		if err == nil || e != nil || errors.Is(err, face.ErrUnavailable) != tc.unavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestOpenRefusesAnotherNetwork(t *testing.T) {
	open(t, face.SetFull)
	cache, err := models.Open(cacheDir())
	if err != nil {
		t.Fatal(err)
	}
	paths := map[string]string{}
	for _, name := range []string{face.ModelDetector, face.ModelMesh, face.ModelEmbedding, face.ModelSecond} {
		if paths[name], _, err = cache.Model(name); err != nil {
			t.Fatal(err)
		}
	}
	paths[face.ModelMesh] = paths[face.ModelEmbedding]
	if e, err := face.Open(shelf{cache.Library(), paths}, face.SetFull); err == nil || e != nil {
		t.Error("the engine opened with an embedding in place of the mesh")
	}
	delete(paths, face.ModelSecond)
	paths[face.ModelMesh], _, _ = cache.Model(face.ModelMesh)
	if e, err := face.Open(shelf{cache.Library(), paths}, face.SetFull); !errors.Is(err, face.ErrUnavailable) || e != nil {
		t.Errorf("the full set opened without its second embedding: %v", err)
	}
}

func BenchmarkDetect(b *testing.B) {
	e := open(b, face.SetFull)
	group := sample(b, 6)
	one := selfie(group, detect(b, e, group)[0], 1000, 0.4, 0)
	for name, img := range map[string]image.Image{"group of 4": group, "selfie": one} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				detect(b, e, img)
			}
		})
	}
}

func BenchmarkDescribe(b *testing.B) {
	img := sample(b, 6)
	for _, set := range []string{face.SetFull, face.SetUnencumbered} {
		e := open(b, set)
		f := detect(b, e, img)[0]
		b.Run(set, func(b *testing.B) {
			for b.Loop() {
				describe(b, e, img, f)
			}
		})
	}
}

func BenchmarkPortrait(b *testing.B) {
	e := open(b, face.SetFull)
	img := sample(b, 6)
	photo := passportPhoto(img, detect(b, e, img)[0])
	for name, doc := range map[string]*image.RGBA{
		"large": document(photo, 420, image.Pt(90, 250)),
		"tenth": document(photo, 160, image.Pt(90, 250)),
		"none":  document(nil, 0, image.Point{}),
	} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				e.Portrait(doc, face.Page{})
			}
		})
	}
}

// The person who is in two of the photos: one on a document, the other as selfie.
func TestDocumentAgainstAnotherPhotoOfTheSamePerson(t *testing.T) {
	e := open(t, face.SetFull)
	at := func(n, low, high int) (*image.RGBA, face.Face) {
		img := sample(t, n)
		for _, f := range detect(t, e, img) {
			if x := f.Box.Min.X + f.Box.Dx()/2; x > low && x < high {
				return img, f
			}
		}
		t.Fatalf("sample%d: the face is not where it was", n)
		return nil, face.Face{}
	}
	one, f := at(1, 1500, 1650)
	two, g := at(3, 1100, 1260)
	_, stranger := at(3, 1500, 1660)
	doc := document(passportPhoto(one, f), 420, image.Pt(90, 250))
	for name, img := range map[string]*image.RGBA{
		"clean":      doc,
		"small":      document(passportPhoto(one, f), 180, image.Pt(90, 250)),
		"tilted":     warped(doc, image.Pt(800, 550), 0.7, 9, 1600, 1200),
		"compressed": compressed(blurred(doc, 2), 50),
	} {
		portrait, _, err := e.Portrait(img, face.Page{})
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		p := describe(t, e, img, portrait)
		if s := compare(t, p, describe(t, e, two, g)); !passes(s) {
			t.Errorf("%s: the same person: %+v", name, s)
		} else {
			t.Logf("%s: the same person: %+v", name, s)
		}
		if s := compare(t, p, describe(t, e, two, stranger)); passes(s) {
			t.Errorf("%s: another person: %+v", name, s)
		}
	}
}
