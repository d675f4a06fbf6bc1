package outline

import (
	"image"
	"math"
)

// Turned is the same card, taken to be the other way up.
func (c Card) Turned() Card {
	c.Corners = [4]Point{c.Corners[2], c.Corners[3], c.Corners[0], c.Corners[1]}
	return c
}

// Halves are the two pages of a passport that lies open, if the outline is that
// of the whole: each has half of the longer side. Which way up they are, the
// outline does not say.
func (c Card) Halves() [2]Card {
	m := c.square()
	half := func(u float64) Card {
		h := c
		h.Corners = [4]Point{m.at(u+0.5, 0), m.at(u+0.5, 1), m.at(u, 1), m.at(u, 0)}
		return h
	}
	return [2]Card{half(0), half(0.5)}
}

// Inner is the card without a margin on every side, part of that side.
func (c Card) Inner(margin float64) Card {
	m, far := c.square(), 1-margin
	c.Corners = [4]Point{m.at(margin, margin), m.at(far, margin), m.at(far, far), m.at(margin, far)}
	return c
}

// Place is where a point of the picture lies on the card: 0, 0 at the first
// corner and 1, 1 at the third, seen from straight above.
func (c Card) Place(p Point) (u, v float64) {
	q := c.square().inverse().at(p.X, p.Y)
	return q.X, q.Y
}

// projective maps a plane onto another; the ninth element is 1 for those of square.
type projective [9]float64

func (m projective) at(u, v float64) Point {
	z := m[6]*u + m[7]*v + m[8]
	return Point{(m[0]*u + m[1]*v + m[2]) / z, (m[3]*u + m[4]*v + m[5]) / z}
}

// square is the projective map of the unit square onto the four corners (Heckbert,
// Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3).
func (c Card) square() projective {
	p0, p1, p2, p3 := c.Corners[0], c.Corners[1], c.Corners[2], c.Corners[3]
	s, d1, d2 := p0.sub(p1).add(p2).sub(p3), p1.sub(p2), p3.sub(p2)
	den := d1.cross(d2)
	g, k := s.cross(d2)/den, d1.cross(s)/den
	return projective{
		p1.X - p0.X + g*p1.X, p3.X - p0.X + k*p3.X, p0.X,
		p1.Y - p0.Y + g*p1.Y, p3.Y - p0.Y + k*p3.Y, p0.Y,
		g, k, 1,
	}
}

// inverse is the map back, up to a factor.
func (m projective) inverse() projective {
	return projective{
		m[4]*m[8] - m[5]*m[7], m[2]*m[7] - m[1]*m[8], m[1]*m[5] - m[2]*m[4],
		m[5]*m[6] - m[3]*m[8], m[0]*m[8] - m[2]*m[6], m[2]*m[3] - m[0]*m[5],
		m[3]*m[7] - m[4]*m[6], m[1]*m[6] - m[0]*m[7], m[0]*m[4] - m[1]*m[3],
	}
}

// Straighten gives the card as if photographed from straight above: its long
// side as many pixels wide as in the picture, but at least 640 and at most
// 2400, and the rest in proportion.
func (c Card) Straighten(img *image.RGBA) *image.RGBA {
	shape := c.Shape
	if shape == 0 {
		shape = ID1
	}
	w := int(math.Round(min(max(c.Long(), 640), 2400)))
	h := int(math.Round(float64(w) / float64(shape)))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	b := img.Bounds()
	m := c.square()
	// The last whole square of four pixels begins here; a picture has at least 2 x 2.
	right, down := float64(b.Dx()-2)+0.999, float64(b.Dy()-2)+0.999
	for y := range h {
		u, v := 0.5/float64(w), (float64(y)+0.5)/float64(h)
		nx, ny, nz := m[0]*u+m[1]*v+m[2], m[3]*u+m[4]*v+m[5], m[6]*u+m[7]*v+m[8]
		row := out.Pix[y*out.Stride : y*out.Stride+4*w]
		for x := range w {
			k := float64(x) / float64(w)
			z := 1 / (nz + m[6]*k)
			px := min(max((nx+m[0]*k)*z-0.5, 0), right)
			py := min(max((ny+m[3]*k)*z-0.5, 0), down)
			ix, iy := int(px), int(py)
			fx, fy := uint32((px-float64(ix))*256), uint32((py-float64(iy))*256)
			at := iy*img.Stride + 4*ix
			p, q := img.Pix[at:at+8:at+8], img.Pix[at+img.Stride:at+img.Stride+8]
			o := row[4*x : 4*x+4 : 4*x+4]
			for ch := range 3 {
				top := uint32(p[ch])*(256-fx) + uint32(p[4+ch])*fx
				low := uint32(q[ch])*(256-fx) + uint32(q[4+ch])*fx
				o[ch] = uint8((top*(256-fy) + low*fy + 1<<15) >> 16)
			}
			o[3] = 255
		}
	}
	return out
}
