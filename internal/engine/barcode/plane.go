package barcode

import (
	"image"
	"math"
)

// plane is a picture of one channel, row by row.
type plane struct {
	w, h int
	v    []float32
}

func newPlane(w, h int) plane { return plane{w, h, make([]float32, w*h)} }

// lumaOf is the brightness of a picture, 0 to 255.
func lumaOf(img *image.RGBA) plane {
	p := newPlane(img.Rect.Dx(), img.Rect.Dy())
	for y := range p.h {
		row := img.Pix[y*img.Stride:]
		for x := range p.w {
			q := row[4*x : 4*x+3]
			p.v[y*p.w+x] = 0.299*float32(q[0]) + 0.587*float32(q[1]) + 0.114*float32(q[2])
		}
	}
	return p
}

// gray gives 8 bits: v*scale+offset.
func (p plane) gray(scale, offset float32) *image.Gray {
	g := image.NewGray(image.Rect(0, 0, p.w, p.h))
	for i, v := range p.v {
		g.Pix[i] = uint8(min(max(v*scale+offset+0.5, 0), 255))
	}
	return g
}

// cubic is the Catmull-Rom interpolation between b and c.
func cubic(a, b, c, d, t float32) float32 {
	return b + 0.5*t*(c-a+t*(2*a-5*b+4*c-d+t*(3*(b-c)+d-a)))
}

// sample is the value between pixels; the centre of the first is at 0, 0. Outside
// the picture its edge goes on.
func (p plane) sample(x, y float64) float32 {
	fx, fy := math.Floor(x), math.Floor(y)
	tx, ty := float32(x-fx), float32(y-fy)
	ix, iy := int(fx), int(fy)
	var col [4]int
	for i := range col {
		col[i] = min(max(ix-1+i, 0), p.w-1)
	}
	var v [4]float32
	for j := range v {
		row := p.v[min(max(iy-1+j, 0), p.h-1)*p.w:]
		v[j] = cubic(row[col[0]], row[col[1]], row[col[2]], row[col[3]], tx)
	}
	return cubic(v[0], v[1], v[2], v[3], ty)
}

// bell is the weights of a Gaussian, in pixels.
func bell(sigma float64) []float32 {
	n := int(math.Ceil(2.5 * sigma))
	k, sum := make([]float32, 2*n+1), float32(0)
	for i := range k {
		k[i] = float32(math.Exp(-float64((i-n)*(i-n)) / (2 * sigma * sigma)))
		sum += k[i]
	}
	for i := range k {
		k[i] /= sum
	}
	return k
}

// blurDown smooths along the columns.
func (p plane) blurDown(sigma float64) plane {
	k := bell(sigma)
	n := len(k) / 2
	out := newPlane(p.w, p.h)
	for y := range p.h {
		to := out.v[y*p.w : (y+1)*p.w]
		for i, f := range k {
			from := p.v[min(max(y+i-n, 0), p.h-1)*p.w:]
			for x := range to {
				to[x] += f * from[x]
			}
		}
	}
	return out
}

// sharpen adds times the difference to what a blur of sigma along the rows leaves.
func (p plane) sharpen(sigma float64, times float32) plane {
	k := bell(sigma)
	n := len(k) / 2
	out := newPlane(p.w, p.h)
	padded := make([]float32, p.w+2*n)
	for y := range p.h {
		row := p.v[y*p.w : (y+1)*p.w]
		copy(padded[n:], row)
		for i := range n {
			padded[i], padded[n+p.w+i] = row[0], row[p.w-1]
		}
		for x, v := range row {
			var soft float32
			for i, f := range k {
				soft += f * padded[x+i]
			}
			out.v[y*p.w+x] = v + times*(v-soft)
		}
	}
	return out
}

// even makes light and contrast even: every pixel minus the mean of the rectangle
// around it, over the deviation there. The rectangle reaches rx and ry pixels to
// either side.
func (p plane) even(rx, ry int) plane {
	w1 := p.w + 1
	sums, squares := make([]float64, w1*(p.h+1)), make([]float64, w1*(p.h+1))
	for y := range p.h {
		var s, q float64
		for x := range p.w {
			v := float64(p.v[y*p.w+x])
			s, q = s+v, q+v*v
			sums[(y+1)*w1+x+1] = sums[y*w1+x+1] + s
			squares[(y+1)*w1+x+1] = squares[y*w1+x+1] + q
		}
	}
	out := newPlane(p.w, p.h)
	for y := range p.h {
		top, low := max(y-ry, 0)*w1, min(y+ry+1, p.h)*w1
		for x := range p.w {
			l, r := max(x-rx, 0), min(x+rx+1, p.w)
			n := float64((low - top) / w1 * (r - l))
			mean := (sums[low+r] - sums[low+l] - sums[top+r] + sums[top+l]) / n
			deviation := math.Sqrt(max((squares[low+r]-squares[low+l]-squares[top+r]+squares[top+l])/n-mean*mean, 0))
			// Two grey levels: less contrast than that is noise.
			out.v[y*p.w+x] = (p.v[y*p.w+x] - float32(mean)) / float32(deviation+2)
		}
	}
	return out
}

// widen draws every row k times as long.
func (p plane) widen(k int) plane {
	if k <= 1 {
		return p
	}
	out := newPlane(p.w*k, p.h)
	for y := range p.h {
		row := p.v[y*p.w : (y+1)*p.w]
		at := func(x int) float32 { return row[min(max(x, 0), p.w-1)] }
		for x := range out.w {
			f := (float64(x)+0.5)/float64(k) - 0.5
			i := int(math.Floor(f))
			out.v[y*out.w+x] = cubic(at(i-1), at(i), at(i+1), at(i+2), float32(f-float64(i)))
		}
	}
	return out
}

// every keeps the middle one of every k rows.
func (p plane) every(k int) plane {
	out := newPlane(p.w, max(p.h/k, 1))
	for y := range out.h {
		copy(out.v[y*p.w:(y+1)*p.w], p.v[min(y*k+k/2, p.h-1)*p.w:])
	}
	return out
}
