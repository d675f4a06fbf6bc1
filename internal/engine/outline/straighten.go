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

// Straighten gives the card as if photographed from straight above: its long
// side as many pixels wide as in the picture, but at least 640 and at most
// 2400, and the rest in proportion.
func (c Card) Straighten(img *image.RGBA) *image.RGBA {
	long := max(c.Corners[1].sub(c.Corners[0]).norm(), c.Corners[2].sub(c.Corners[3]).norm())
	w := int(math.Round(min(max(long, 640), 2400)))
	h := int(math.Round(float64(w) / Ratio))
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	b := img.Bounds()
	// The projective map of the unit square onto the four corners (Heckbert,
	// Fundamentals of Texture Mapping and Image Warping, 1989, section 2.2.3).
	p0, p1, p2, p3 := c.Corners[0], c.Corners[1], c.Corners[2], c.Corners[3]
	s, d1, d2 := p0.sub(p1).add(p2).sub(p3), p1.sub(p2), p3.sub(p2)
	den := d1.cross(d2)
	g, k := s.cross(d2)/den, d1.cross(s)/den
	ux, vx := p1.X-p0.X+g*p1.X, p3.X-p0.X+k*p3.X
	uy, vy := p1.Y-p0.Y+g*p1.Y, p3.Y-p0.Y+k*p3.Y
	right, down := float64(b.Dx()-1), float64(b.Dy()-1)
	for y := range h {
		v := (float64(y) + 0.5) / float64(h)
		for x := range w {
			u := (float64(x) + 0.5) / float64(w)
			z := g*u + k*v + 1
			px := min(max((ux*u+vx*v+p0.X)/z-0.5, 0), right)
			py := min(max((uy*u+vy*v+p0.Y)/z-0.5, 0), down)
			ix, iy := min(int(px), max(b.Dx()-2, 0)), min(int(py), max(b.Dy()-2, 0))
			fx, fy := px-float64(ix), py-float64(iy)
			at := img.PixOffset(b.Min.X+ix, b.Min.Y+iy)
			q := out.Pix[y*out.Stride+4*x:]
			for ch := range 3 {
				top := float64(img.Pix[at+ch])*(1-fx) + float64(img.Pix[at+4+ch])*fx
				low := float64(img.Pix[at+img.Stride+ch])*(1-fx) + float64(img.Pix[at+img.Stride+4+ch])*fx
				q[ch] = uint8(top*(1-fy) + low*fy + 0.5)
			}
			q[3] = 255
		}
	}
	return out
}
