package face

import (
	"image"
	"math"
)

// Point is a place in a picture, in pixels from its top left corner; the centre
// of the first pixel is at 0.5, 0.5.
type Point struct{ X, Y float64 }

func (p Point) sub(q Point) Point        { return Point{p.X - q.X, p.Y - q.Y} }
func (p Point) add(q Point) Point        { return Point{p.X + q.X, p.Y + q.Y} }
func (p Point) mul(k float64) Point      { return Point{p.X * k, p.Y * k} }
func (p Point) norm() float64            { return math.Hypot(p.X, p.Y) }
func (p Point) cross(q Point) float64    { return p.X*q.Y - p.Y*q.X }
func middle(p, q Point) Point            { return p.add(q).mul(0.5) }
func (p Point) finite() bool             { return finite(p.X) && finite(p.Y) }
func finite(v float64) bool              { return !math.IsNaN(v) && !math.IsInf(v, 0) }
func clamp(v, low, high float64) float64 { return math.Min(math.Max(v, low), high) }

// affine maps (x, y) to (a*x + b*y + c, d*x + e*y + f).
type affine struct{ a, b, c, d, e, f float64 }

func (m affine) apply(p Point) Point {
	return Point{m.a*p.X + m.b*p.Y + m.c, m.d*p.X + m.e*p.Y + m.f}
}

// scale is the factor by which m lengthens, as the root of its area factor.
func (m affine) scale() float64 { return math.Sqrt(math.Abs(m.a*m.e - m.b*m.d)) }

// then is the map that does m first and n after it.
func (m affine) then(n affine) affine {
	return affine{
		n.a*m.a + n.b*m.d, n.a*m.b + n.b*m.e, n.a*m.c + n.b*m.f + n.c,
		n.d*m.a + n.e*m.d, n.d*m.b + n.e*m.e, n.d*m.c + n.e*m.f + n.f,
	}
}

// inverse undoes m, whose scale is not 0.
func (m affine) inverse() affine {
	k := 1 / (m.a*m.e - m.b*m.d)
	return affine{m.e * k, -m.b * k, (m.b*m.f - m.c*m.e) * k, -m.d * k, m.a * k, (m.c*m.d - m.a*m.f) * k}
}

// square maps a size x size output onto the square of the given centre, side
// and clockwise rotation (radians) in a picture.
func square(centre Point, side, roll float64, size int) affine {
	k := side / float64(size)
	sin, cos := math.Sincos(roll)
	h := float64(size) / 2
	return affine{
		k * cos, -k * sin, centre.X - k*h*(cos-sin),
		k * sin, k * cos, centre.Y - k*h*(sin+cos),
	}
}

// similarity is the rotation, scaling and shift that maps from onto to with the
// least squared error; it never mirrors. The lists have the same length, and at
// least two points of from differ.
func similarity(from, to []Point) affine {
	var pc, qc Point
	for i := range from {
		pc, qc = pc.add(from[i]), qc.add(to[i])
	}
	n := 1 / float64(len(from))
	pc, qc = pc.mul(n), qc.mul(n)
	var dot, cross, power float64
	for i := range from {
		p, q := from[i].sub(pc), to[i].sub(qc)
		dot += p.X*q.X + p.Y*q.Y
		cross += p.cross(q)
		power += p.X*p.X + p.Y*p.Y
	}
	a, b := dot/power, cross/power
	return affine{a, -b, qc.X - a*pc.X + b*pc.Y, b, a, qc.Y - b*pc.X - a*pc.Y}
}

// box is an axis-aligned rectangle in float pixels.
type box struct{ x0, y0, x1, y1 float64 }

func (b box) width() float64  { return b.x1 - b.x0 }
func (b box) height() float64 { return b.y1 - b.y0 }
func (b box) side() float64   { return math.Max(b.width(), b.height()) }
func (b box) centre() Point   { return Point{(b.x0 + b.x1) / 2, (b.y0 + b.y1) / 2} }
func (b box) area() float64   { return math.Max(0, b.width()) * math.Max(0, b.height()) }
func (b box) finite() bool {
	return finite(b.x0) && finite(b.y0) && finite(b.x1) && finite(b.y1)
}

// rectangle is the smallest pixel rectangle that covers b, cut to bounds.
func (b box) rectangle(bounds image.Rectangle) image.Rectangle {
	return image.Rect(
		int(math.Floor(clamp(b.x0, -1e6, 1e6))), int(math.Floor(clamp(b.y0, -1e6, 1e6))),
		int(math.Ceil(clamp(b.x1, -1e6, 1e6))), int(math.Ceil(clamp(b.y1, -1e6, 1e6))),
	).Intersect(bounds)
}

// through is the bounding box of b after m.
func (b box) through(m affine) box { return around(b.corners(), m) }

func (b box) corners() []Point {
	return []Point{{b.x0, b.y0}, {b.x1, b.y0}, {b.x0, b.y1}, {b.x1, b.y1}}
}

func around(points []Point, m affine) box {
	r := box{math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)}
	for _, p := range points {
		p = m.apply(p)
		r = box{math.Min(r.x0, p.X), math.Min(r.y0, p.Y), math.Max(r.x1, p.X), math.Max(r.y1, p.Y)}
	}
	return r
}

// iou is the shared area of two boxes over the area of both together, 0 to 1.
func iou(a, b box) float64 {
	shared := box{math.Max(a.x0, b.x0), math.Max(a.y0, b.y0), math.Min(a.x1, b.x1), math.Min(a.y1, b.y1)}
	if shared.x1 <= shared.x0 || shared.y1 <= shared.y0 {
		return 0
	}
	s := shared.area()
	return s / (a.area() + b.area() - s)
}
