package liveness

import (
	"image"
	"math"
)

// patch is a part of a picture as luma, 0 to 255.
type patch struct {
	pix    []float32
	w, h   int
	origin point // of its first pixel's corner in the picture
}

// cut takes the luma of a part of a picture, which is cut to the picture.
func cut(img *image.RGBA, part image.Rectangle) patch {
	part = part.Intersect(img.Rect)
	p := patch{make([]float32, part.Dx()*part.Dy()), part.Dx(), part.Dy(), point{float64(part.Min.X), float64(part.Min.Y)}}
	for y := range p.h {
		row := img.Pix[img.PixOffset(part.Min.X, part.Min.Y+y):]
		for x := range p.w {
			p.pix[y*p.w+x] = 0.299*float32(row[x*4]) + 0.587*float32(row[x*4+1]) + 0.114*float32(row[x*4+2])
		}
	}
	return p
}

// at gives the luma at a place of the picture; beyond the patch its border goes on.
func (p patch) at(q point) float64 {
	if p.w < 2 || p.h < 2 {
		return 0
	}
	x := min(max(q.x-p.origin.x-0.5, 0), float64(p.w)-1.001)
	y := min(max(q.y-p.origin.y-0.5, 0), float64(p.h)-1.001)
	if !finite(x, y) {
		return 0
	}
	x0, y0 := int(x), int(y)
	fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
	i := y0*p.w + x0
	return float64((p.pix[i]*(1-fx)+p.pix[i+1]*fx)*(1-fy) + (p.pix[i+p.w]*(1-fx)+p.pix[i+p.w+1]*fx)*fy)
}

// smooth is a box blur of the given radius, done twice: nearly a bell.
func smooth[F float32 | float64](pix []F, w, h, radius int) {
	if radius < 1 {
		return
	}
	line := make([]F, max(w, h))
	pass := func(count, length, step, next int) {
		for l := range count {
			at := func(i int) F { return pix[l*next+min(max(i, 0), length-1)*step] }
			sum := F(0)
			for i := -radius; i <= radius; i++ {
				sum += at(i)
			}
			for i := range length {
				line[i] = sum / F(2*radius+1)
				sum += at(i+radius+1) - at(i-radius)
			}
			for i := range length {
				pix[l*next+i*step] = line[i]
			}
		}
	}
	for range 2 {
		pass(h, w, 1, w)
		pass(w, h, w, 1)
	}
}

// correlate is the normalised correlation of a and b where weight is not zero,
// -1 to 1; 0 where one of them shows nothing.
func correlate(a, b, weight []float64) float64 {
	var n, sa, sb, saa, sbb, sab float64
	for i := range a {
		if weight != nil && weight[i] == 0 {
			continue
		}
		n++
		sa, sb = sa+a[i], sb+b[i]
		saa, sbb, sab = saa+a[i]*a[i], sbb+b[i]*b[i], sab+a[i]*b[i]
	}
	if n == 0 {
		return 0
	}
	va, vb := saa/n-square(sa/n), sbb/n-square(sb/n)
	if !(va > 1e-9 && vb > 1e-9) {
		return 0
	}
	return (sab/n - sa*sb/n/n) / math.Sqrt(va*vb)
}
