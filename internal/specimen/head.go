package specimen

import (
	"cmp"
	"errors"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"slices"
)

// Point3 is a point of a face mesh: X and Y in pixels of the photo, Z in the same
// unit and smaller towards the camera.
type Point3 struct{ X, Y, Z float64 }

// Points of MediaPipe's face mesh that the head is built around. Left and right
// are those of the picture.
const (
	meshPoints     = 468
	meshLeftOuter  = 33
	meshLeftInner  = 133
	meshRightInner = 362
	meshRightOuter = 263
	meshNose       = 4
)

// faceOval goes once round the mesh's border, from the forehead clockwise.
var faceOval = []int{10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
	152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109}

// lids are points of an upper eyelid, the points of the lower one that each of
// them meets when the eye closes, and the points above that follow half-way.
var lids = []struct{ upper, lower, above int }{
	{246, 7, 247}, {161, 163, 30}, {160, 144, 29}, {159, 145, 27}, {158, 153, 28}, {157, 154, 56}, {173, 155, 190},
	{466, 249, 467}, {388, 390, 260}, {387, 373, 259}, {386, 374, 257}, {385, 380, 258}, {384, 381, 286}, {398, 382, 414},
}

// Lengths are in distances between the eyes, about 63 mm.
const (
	cameraDistance = 7.0 // from the camera to the eyes at Closer 1: about 44 cm
	neck           = 1.3 // from the eyes back to the axis that the head turns on
)

// rings continue the head beyond the mesh: how far out, in radii of the mesh's
// border, and how far back from it. Hair, ears and neck are guessed.
var rings = []struct{ out, back, alpha float64 }{{1.12, 0.15, 1}, {1.3, 0.45, 1}, {1.55, 0.9, 1}, {1.85, 1.4, 1}, {2.1, 1.8, 0}}

// Pose is how a head, or a picture of one, is held before the camera. The zero
// Pose looks straight at it from about 44 cm.
type Pose struct {
	Yaw        float64 // degrees; positive to the right of the picture, the person's left
	Pitch      float64 // degrees; positive upwards
	Roll       float64 // degrees; positive clockwise
	Closer     float64 // how many times as large as at the start; 1 if zero
	EyesClosed float64 // 0 open, 1 closed; not for a flat picture
	X, Y       float64 // shift from the middle, in distances between the eyes
}

// Camera is what takes the frames. The zero Camera takes 640 x 480 with noise.
type Camera struct {
	W, H  int     // 640 x 480 if zero
	Eyes  float64 // distance between the eyes at Closer 1, part of the height; 0.17 if zero
	Near  float64 // 1 if zero; 2 is a wide lens from half the distance: twice the perspective
	Noise float64 // sigma, grey levels; 2 if zero
}

// Head is a solid head made from one photo: the mesh with its depth, and round it
// a guess of the rest. It turns, comes closer in true perspective and closes its
// eyes. A check of liveness that it passes has been deceived by a rendering; one
// that it does not pass asks more than a face in front of a camera may give.
type Head struct {
	texture  *image.RGBA
	points   []vertex // open eyes
	triangle [][3]int
}

// Flat is a picture of a face, held before the camera. Bend is the angle in
// degrees that the sheet spans round an axis along it: upright with a positive
// angle, level with a negative one, its middle towards the camera. Screen adds
// the grid of a display that the camera samples, 0 to 1.
type Flat struct {
	Photo  image.Image
	Bend   float64
	Screen float64
	Width  float64 // in distances between the eyes; 5.5 if zero
}

type vertex struct{ x, y, z, u, v, alpha float64 }

// NewHead builds a head from a photo and the mesh that a detector laid over its
// face. The photo should be frontal; its tilt is taken out.
func NewHead(photo image.Image, mesh []Point3) (*Head, error) {
	if len(mesh) != meshPoints {
		return nil, errors.New("specimen: a face mesh has 468 points")
	}
	half := func(a, b Point3) Point3 { return Point3{(a.X + b.X) / 2, (a.Y + b.Y) / 2, (a.Z + b.Z) / 2} }
	l, r := half(mesh[meshLeftOuter], mesh[meshLeftInner]), half(mesh[meshRightInner], mesh[meshRightOuter])
	eyes := math.Hypot(r.X-l.X, r.Y-l.Y)
	if !(eyes > 1) {
		return nil, errors.New("specimen: no distance between the eyes")
	}
	c, angle := half(l, r), math.Atan2(r.Y-l.Y, r.X-l.X)
	sin, cos := math.Sincos(angle)
	h := &Head{texture: toRGBA(photo)}
	add := func(x, y, z, alpha float64) {
		h.points = append(h.points, vertex{x, y, z, c.X + eyes*(x*cos-y*sin), c.Y + eyes*(x*sin+y*cos), alpha})
	}
	for _, p := range mesh {
		dx, dy := (p.X-c.X)/eyes, (p.Y-c.Y)/eyes
		add(dx*cos+dy*sin, dy*cos-dx*sin, (p.Z-c.Z)/eyes, 1)
	}
	var mx, my float64
	for _, i := range faceOval {
		mx, my = mx+h.points[i].x/float64(len(faceOval)), my+h.points[i].y/float64(len(faceOval))
	}
	for _, ring := range rings {
		for _, i := range faceOval {
			p := h.points[i]
			add(mx+(p.x-mx)*ring.out, my+(p.y-my)*ring.out, p.z+ring.back, ring.alpha)
		}
	}
	h.triangle = delaunay(h.points)
	h.straighten()
	return h, nil
}

// straighten turns the head until the tip of the nose is midway between the
// outer corners of the eyes: the photo may show it turned.
func (h *Head) straighten() {
	for range 20 {
		l, r, nose := h.points[meshLeftOuter], h.points[meshRightOuter], h.points[meshNose]
		off := nose.x - (l.x+r.x)/2
		deep := (l.z+r.z)/2 - nose.z
		sin, cos := math.Sincos(-math.Atan2(off, math.Max(deep, 0.1)))
		for i, p := range h.points {
			z := p.z - neck
			h.points[i].x, h.points[i].z = p.x*cos-z*sin, p.x*sin+z*cos+neck
		}
	}
	eyes := (h.points[meshLeftOuter].x + h.points[meshLeftInner].x + h.points[meshRightInner].x + h.points[meshRightOuter].x) / 4
	for i := range h.points {
		h.points[i].x -= eyes
	}
}

// Frame takes one picture of the head. What is left to chance follows from seed;
// the background from scene.
func (h *Head) Frame(p Pose, c Camera, scene, seed uint64) *image.RGBA {
	points := append([]vertex(nil), h.points...)
	if p.EyesClosed > 0 {
		for _, l := range lids {
			up, low := h.points[l.upper], h.points[l.lower]
			k := min(p.EyesClosed, 1)
			points[l.upper].y += k * 0.95 * (low.y - up.y)
			points[l.above].y += k * 0.4 * (low.y - up.y)
		}
	}
	return c.shoot(points, h.triangle, h.texture, p, neck, scene, seed)
}

// Frame takes one picture of the picture; see Head.Frame.
func (f Flat) Frame(p Pose, c Camera, scene, seed uint64) *image.RGBA {
	const n = 40
	texture := toRGBA(f.Photo)
	w := f.Width
	if w == 0 {
		w = 5.5
	}
	b := texture.Rect
	height := w * float64(b.Dy()) / float64(b.Dx())
	var points []vertex
	for j := range n + 1 {
		for i := range n + 1 {
			s, t := float64(i)/n-0.5, float64(j)/n-0.5
			v := vertex{x: s * w, y: t * height, u: (s + 0.5) * float64(b.Dx()), v: (t + 0.5) * float64(b.Dy()), alpha: 1}
			if bend := f.Bend * math.Pi / 180; bend > 0 {
				v.x, v.z = w/bend*math.Sin(s*bend), w/bend*(1-math.Cos(s*bend))
			} else if bend < 0 {
				v.y, v.z = height/bend*math.Sin(t*bend), height/-bend*(1-math.Cos(t*bend))
			}
			points = append(points, v)
		}
	}
	var triangles [][3]int
	for j := range n {
		for i := range n {
			a := j*(n+1) + i
			triangles = append(triangles, [3]int{a, a + 1, a + n + 1}, [3]int{a + 1, a + n + 2, a + n + 1})
		}
	}
	if f.Screen > 0 {
		texture = screen(texture, f.Screen)
	}
	return c.shoot(points, triangles, texture, p, 0, scene, seed)
}

// screen gives a picture the rows and columns of a display, and its steeper tones.
func screen(img *image.RGBA, strength float64) *image.RGBA {
	out := image.NewRGBA(img.Rect)
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			i := img.PixOffset(x, y)
			grid := 1 - 0.22*strength*(1+math.Sin(2*math.Pi*float64(x)/2.3)*math.Sin(2*math.Pi*float64(y)/2.3))
			for k := range 3 {
				v := float64(img.Pix[i+k]) / 255
				out.Pix[i+k] = clamp(255 * math.Pow(v, 1+0.25*strength) * grid * 1.15)
			}
			out.Pix[i+3] = 255
		}
	}
	return out
}

// shoot turns the points about an upright axis that lies pivot behind them, and
// draws them in perspective before a soft background.
func (c Camera) shoot(points []vertex, triangles [][3]int, texture *image.RGBA, p Pose, pivot float64, scene, seed uint64) *image.RGBA {
	if c.W == 0 || c.H == 0 {
		c.W, c.H = 640, 480
	}
	if c.Eyes == 0 {
		c.Eyes = 0.17
	}
	if c.Near == 0 {
		c.Near = 1
	}
	if c.Noise == 0 {
		c.Noise = 2
	}
	if p.Closer == 0 {
		p.Closer = 1
	}
	start := cameraDistance / c.Near
	focal := c.Eyes * float64(c.H) * start // pixels
	away := start / p.Closer
	sy, cy := math.Sincos(p.Yaw * math.Pi / 180)
	sp, cp := math.Sincos(p.Pitch * math.Pi / 180)
	sr, cr := math.Sincos(p.Roll * math.Pi / 180)
	seen := make([]vertex, len(points))
	for i, q := range points {
		x, y, z := q.x, q.y, q.z-pivot
		x, z = x*cy-z*sy, x*sy+z*cy // towards the right, what is in front moves right
		y, z = y*cp+z*sp, z*cp-y*sp // upwards, what is in front moves up
		x, y = x*cr-y*sr, x*sr+y*cr
		z += pivot + away
		z = max(z, 0.2)
		seen[i] = vertex{focal*(x+p.X)/z + float64(c.W)/2, focal*(y+p.Y+0.35)/z + float64(c.H)*0.45, z, q.u, q.v, q.alpha}
	}
	r := rand.New(rand.NewPCG(seed, 0x4ead))
	out := room(c.W, c.H, scene)
	draw3D(out, texture, seen, triangles)
	blurRGBA(out, 0.5)
	for i := range out.Pix {
		if i%4 != 3 {
			out.Pix[i] = clamp(float64(out.Pix[i]) + r.NormFloat64()*c.Noise)
		}
	}
	return out
}

// room is a soft background that stays where it is.
func room(w, h int, scene uint64) *image.RGBA {
	r := rand.New(rand.NewPCG(scene, 0x400))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	base := 90 + 90*r.Float64()
	var waves [5][4]float64
	for i := range waves {
		waves[i] = [4]float64{(r.Float64() - 0.5) * 0.06, (r.Float64() - 0.5) * 0.05, 6 * r.Float64(), 6 + 10*r.Float64()}
	}
	for y := range h {
		for x := range w {
			t := base
			for _, v := range waves {
				t += v[3] * wave(v[0]*float64(x)+v[1]*float64(y)+v[2]+20*math.Pi)
			}
			out.SetRGBA(x, y, color.RGBA{clamp(t + 4), clamp(t), clamp(t - 6), 255})
		}
	}
	return out
}

// draw3D draws textured triangles, nearest last, with perspective-correct texture.
func draw3D(dst, texture *image.RGBA, v []vertex, triangles [][3]int) {
	w, h := dst.Rect.Dx(), dst.Rect.Dy()
	depth := make([]float64, w*h) // 1/z: 0 is infinitely far
	layer := make([]float32, w*h*4)
	for _, t := range triangles {
		a, b, c := v[t[0]], v[t[1]], v[t[2]]
		area := (b.x-a.x)*(c.y-a.y) - (c.x-a.x)*(b.y-a.y)
		if math.Abs(area) < 1e-9 {
			continue
		}
		x0, x1 := max(0, int(min(a.x, b.x, c.x))), min(w-1, int(max(a.x, b.x, c.x))+1)
		y0, y1 := max(0, int(min(a.y, b.y, c.y))), min(h-1, int(max(a.y, b.y, c.y))+1)
		for y := y0; y <= y1; y++ {
			for x := x0; x <= x1; x++ {
				px, py := float64(x)+0.5, float64(y)+0.5
				kb := ((px-a.x)*(c.y-a.y) - (c.x-a.x)*(py-a.y)) / area
				kc := ((b.x-a.x)*(py-a.y) - (px-a.x)*(b.y-a.y)) / area
				ka := 1 - kb - kc
				const edge = -1e-9
				if ka < edge || kb < edge || kc < edge {
					continue
				}
				ka, kb, kc = ka/a.z, kb/b.z, kc/c.z
				near := ka + kb + kc
				if near <= depth[y*w+x] {
					continue
				}
				depth[y*w+x] = near
				col := bilinear(texture, (ka*a.u+kb*b.u+kc*c.u)/near-0.5, (ka*a.v+kb*b.v+kc*c.v)/near-0.5)
				at := layer[(y*w+x)*4:][:4]
				at[0], at[1], at[2] = float32(col[0]), float32(col[1]), float32(col[2])
				at[3] = float32((ka*a.alpha + kb*b.alpha + kc*c.alpha) / near)
			}
		}
	}
	for i := range depth {
		k := layer[i*4+3]
		for j := range 3 {
			dst.Pix[i*4+j] = clamp(float64(dst.Pix[i*4+j])*float64(1-k) + float64(layer[i*4+j]*k))
		}
	}
}

// delaunay triangulates the points in x and y (Bowyer and Watson): few enough
// here for the plain method.
func delaunay(points []vertex) [][3]int {
	type circle struct {
		t       [3]int
		x, y, r float64
	}
	n := len(points)
	p := append([]vertex(nil), points...)
	p = append(p, vertex{x: -1e3, y: -1e3}, vertex{x: 1e3, y: -1e3}, vertex{x: 0, y: 1e3})
	around := func(t [3]int) circle {
		a, b, c := p[t[0]], p[t[1]], p[t[2]]
		d := 2 * (a.x*(b.y-c.y) + b.x*(c.y-a.y) + c.x*(a.y-b.y))
		if math.Abs(d) < 1e-12 {
			return circle{t, 0, 0, math.Inf(1)}
		}
		a2, b2, c2 := a.x*a.x+a.y*a.y, b.x*b.x+b.y*b.y, c.x*c.x+c.y*c.y
		x := (a2*(b.y-c.y) + b2*(c.y-a.y) + c2*(a.y-b.y)) / d
		y := (a2*(c.x-b.x) + b2*(a.x-c.x) + c2*(b.x-a.x)) / d
		return circle{t, x, y, (a.x-x)*(a.x-x) + (a.y-y)*(a.y-y)}
	}
	list := []circle{around([3]int{n, n + 1, n + 2})}
	for i := range n {
		var edges [][2]int // of the hole; those inside it are there twice
		keep := list[:0]
		for _, c := range list {
			if (p[i].x-c.x)*(p[i].x-c.x)+(p[i].y-c.y)*(p[i].y-c.y) >= c.r {
				keep = append(keep, c)
				continue
			}
			for k := range 3 {
				a, b := c.t[k], c.t[(k+1)%3]
				edges = append(edges, [2]int{min(a, b), max(a, b)})
			}
		}
		list = keep
		slices.SortFunc(edges, func(a, b [2]int) int { return cmp.Or(cmp.Compare(a[0], b[0]), cmp.Compare(a[1], b[1])) })
		for k, e := range edges {
			if (k == 0 || edges[k-1] != e) && (k+1 == len(edges) || edges[k+1] != e) {
				list = append(list, around([3]int{e[0], e[1], i}))
			}
		}
	}
	var out [][3]int
	for _, c := range list {
		if c.t[0] < n && c.t[1] < n && c.t[2] < n {
			out = append(out, c.t)
		}
	}
	return out
}
