package face_test

import (
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"golang.org/x/image/draw"
)

// fill paints a polygon.
func fill(img *image.RGBA, corners []face.Point, paint func(x, y float64, old color.RGBA) [3]float64) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	copy(out.Pix, img.Pix)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			u, v, inside := float64(x), float64(y), false
			for i, p := range corners {
				q := corners[(i+1)%len(corners)]
				if (p.Y > v) != (q.Y > v) && u < p.X+(q.X-p.X)*(v-p.Y)/(q.Y-p.Y) {
					inside = !inside
				}
			}
			if inside {
				c := paint(u, v, img.RGBAAt(x, y))
				one := func(v float64) uint8 { return uint8(min(max(v, 0), 255)) }
				out.SetRGBA(x, y, color.RGBA{one(c[0]), one(c[1]), one(c[2]), 255})
			}
		}
	}
	return out
}

func oval(at face.Point, a, b float64) (corners []face.Point) {
	for i := range 48 {
		sin, cos := math.Sincos(float64(i) / 24 * math.Pi)
		corners = append(corners, face.Point{X: at.X + a*cos, Y: at.Y + b*sin})
	}
	return corners
}

// covers draws things before a face. Real ones look different: these have the
// place, the size and about the colour.
func covers(img *image.RGBA, m []face.Point3, rnd *rand.Rand) map[string]*image.RGBA {
	mid := func(i, j int) face.Point { return face.Point{X: (m[i].X + m[j].X) / 2, Y: (m[i].Y + m[j].Y) / 2} }
	left, right, mouth := mid(33, 133), mid(362, 263), mid(13, 14)
	eyes := math.Hypot(right.X-left.X, right.Y-left.Y)
	noise := func(s float64) float64 { return rnd.NormFloat64() * s }
	var skin [3]float64
	for _, i := range []int{50, 280, 151, 205, 425} {
		c := img.RGBAAt(int(m[i].X), int(m[i].Y))
		skin[0], skin[1], skin[2] = skin[0]+float64(c.R)*0.19, skin[1]+float64(c.G)*0.186, skin[2]+float64(c.B)*0.186
	}
	plain := func(c [3]float64) func(x, y float64, old color.RGBA) [3]float64 {
		return func(float64, float64, color.RGBA) [3]float64 {
			n := noise(4)
			return [3]float64{c[0] + n, c[1] + n, c[2] + n}
		}
	}
	mask := func(c [3]float64) *image.RGBA {
		var corners []face.Point
		for _, i := range []int{197, 50, 234, 93, 132, 58, 172, 136, 150, 149, 176, 148, 152, 377, 400, 378, 379, 365, 397, 288, 361, 323, 454, 280} {
			corners = append(corners, face.Point{X: mouth.X + 1.04*(m[i].X-mouth.X), Y: mouth.Y + 1.04*(m[i].Y-mouth.Y)})
		}
		return fill(img, corners, func(x, y float64, _ color.RGBA) [3]float64 {
			k, n := 0.85+0.15*math.Cos((x-mouth.X)/eyes), 10*math.Sin(18*y/eyes)+noise(3)
			return [3]float64{c[0]*k + n, c[1]*k + n, c[2]*k + n}
		})
	}
	hand := func(at face.Point) *image.RGBA {
		out := img
		for finger := range 4 {
			y0 := at.Y + (float64(finger)-1.5)*0.24*eyes
			out = fill(out, oval(face.Point{X: at.X, Y: y0}, eyes, 0.14*eyes), func(x, y float64, _ color.RGBA) [3]float64 {
				d := (y - y0) / (0.14 * eyes)
				k, n := 1.05-0.35*d*d, noise(3)
				return [3]float64{skin[0]*k + n, skin[1]*k + n, skin[2]*k + n}
			})
		}
		return out
	}
	glasses := func(alpha, shine float64) *image.RGBA {
		out := img
		for _, at := range []face.Point{left, right} {
			at.Y += 0.05 * eyes
			out = fill(out, oval(at, 0.45*eyes, 0.34*eyes), func(x, y float64, old color.RGBA) [3]float64 {
				v := 20 + noise(3)
				if x-at.X+y-at.Y < -0.2*eyes {
					v += shine
				}
				return [3]float64{float64(old.R)*(1-alpha) + v*alpha, float64(old.G)*(1-alpha) + v*alpha, float64(old.B)*(1-alpha) + v*alpha}
			})
		}
		return out
	}
	return map[string]*image.RGBA{
		"mouth: blue mask":          mask([3]float64{120, 170, 205}),
		"mouth: white mask":         mask([3]float64{225, 225, 222}),
		"mouth: black mask":         mask([3]float64{32, 32, 36}),
		"mouth: pink mask":          mask([3]float64{225, 160, 165}),
		"mouth: fingers":            hand(mouth),
		"mouth: palm":               fill(img, oval(mouth, 0.75*eyes, 0.5*eyes), plain(skin)),
		"eyes: dark glasses":        glasses(0.97, 0),
		"eyes: shining glasses":     glasses(0.97, 50),
		"eyes: half-dark glasses":   glasses(0.75, 0),
		"eyes: patch on the left":   fill(img, oval(left, 0.34*eyes, 0.28*eyes), plain([3]float64{20, 20, 22})),
		"eyes: palm over the right": fill(img, oval(right, 0.5*eyes, 0.5*eyes), plain(skin)),
		"neither: fingers on eyes":  hand(mid(33, 263)),
	}
}

// TestCovered asks for no false alarm on any of the frontal faces, and draws things
// on every second of them. On all 21, in November 2026, of those that are usable
// otherwise: dark glasses 18 of 18, shining 16 of 17, half-dark 16 of 19, patch 16
// of 16, palm over an eye 19 of 19; masks blue 9 of 9, white 11 of 11, black 9 of
// 9, pink 6 of 11; fingers over the mouth 14 of 15, palm 11 of 14. Fingers over the
// eyes are not noticed.
func TestCovered(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	e := open(t, face.SetUnencumbered)
	rnd := rand.New(rand.NewPCG(1, 2))
	hidden := func(img *image.RGBA) (eyes, mouth, usable bool) {
		faces := face.Prominent(detect(t, e, img))
		if len(faces) != 1 || faces[0].Mesh == nil {
			return false, false, false
		}
		short := faces[0].Quality.Falls(face.SelfieLimits)
		eyes, mouth = slices.Contains(short, face.EyesHidden), slices.Contains(short, face.MouthHidden)
		others := slices.DeleteFunc(short, func(s string) bool { return s == face.EyesHidden || s == face.MouthHidden })
		return eyes, mouth, len(others) == 0
	}
	// Usable faces, of these noticed.
	seen, noticed := map[string]int{}, map[string]int{}
	for n := 1; n <= 6; n++ {
		group := sample(t, n)
		for i, f := range detect(t, e, group) {
			if f.Mesh == nil {
				continue
			}
			b := image.Rect(-f.Box.Dx(), -f.Box.Dx(), f.Box.Dx(), f.Box.Dx()).Add(f.Box.Min.Add(f.Box.Max).Div(2)).Intersect(group.Rect)
			img := image.NewRGBA(image.Rect(0, 0, 480, 480*b.Dy()/b.Dx()))
			draw.CatmullRom.Scale(img, img.Rect, group, b, draw.Src, nil)
			for name, clean := range map[string]*image.RGBA{
				"as it is": img, "darker": mapped(img, gain(0.55, 0)), "flat": mapped(img, gain(0.5, 70)), "grey": mapped(img, grey), "compressed": compressed(img, 20),
				"blue light": mapped(img, func(c color.RGBA) color.RGBA {
					return color.RGBA{uint8(float64(c.R) * 0.75), uint8(float64(c.G) * 0.9), c.B, 255}
				}),
				"warm light": mapped(img, func(c color.RGBA) color.RGBA {
					return color.RGBA{c.R, uint8(float64(c.G) * 0.82), uint8(float64(c.B) * 0.55), 255}
				}),
			} {
				eyes, mouth, usable := hidden(clean)
				if usable && (eyes || mouth) {
					t.Errorf("sample%d, face %d, %s: eyes hidden %v, mouth hidden %v", n, i, name, eyes, mouth)
				}
				if usable {
					seen["nothing"]++
				}
			}
			whole := face.Prominent(detect(t, e, img))
			if i%2 == 1 || len(whole) != 1 || whole[0].Mesh == nil {
				continue
			}
			for name, bad := range covers(img, whole[0].Mesh, rnd) {
				eyes, mouth, usable := hidden(bad)
				if !usable {
					continue // refused without this
				}
				seen[name]++
				if strings.HasPrefix(name, "eyes") && eyes || strings.HasPrefix(name, "mouth") && mouth || strings.HasPrefix(name, "neither") && (eyes || mouth) {
					noticed[name]++
				}
			}
		}
	}
	least := map[string]float64{"eyes": 0.8, "mouth": 0.5}
	for name, n := range seen {
		part := float64(noticed[name]) / float64(n)
		t.Logf("%-26s noticed on %d of %d", name, noticed[name], n)
		kind, _, _ := strings.Cut(name, ":")
		if part < least[kind] {
			t.Errorf("%s: noticed on %.0f %%, want %.0f %%", name, 100*part, 100*least[kind])
		}
	}
}
