package cell

import (
	"image"
	"image/color"
	"math"
)

// Gray is a grey picture, 8 bits to the pixel, row after row without padding.
type Gray struct {
	W, H int
	Pix  []uint8
}

// NewGray is a black picture.
func NewGray(w, h int) *Gray { return &Gray{W: w, H: h, Pix: make([]uint8, w*h)} }

// FromImage is img in grey at 1/k of its size, each pixel the mean of k x k.
// What does not fill a whole block at the right and lower border is cut off.
func FromImage(img image.Image, k int) *Gray {
	b := img.Bounds()
	g := NewGray(b.Dx()/k, b.Dy()/k)
	if g.W == 0 || g.H == 0 {
		return &Gray{}
	}
	row := make([]uint8, g.W*k)
	sums := make([]uint32, g.W)
	half := uint32(k*k) / 2
	for y := range g.H {
		clear(sums)
		for dy := range k {
			grayRow(img, b.Min.X, b.Min.Y+y*k+dy, row)
			if k == 1 {
				copy(g.Pix[y*g.W:], row)
				continue
			}
			for x := range sums {
				s := sums[x]
				for _, v := range row[x*k : x*k+k] {
					s += uint32(v)
				}
				sums[x] = s
			}
		}
		if k > 1 {
			for x, s := range sums {
				g.Pix[y*g.W+x] = uint8((s + half) / uint32(k*k))
			}
		}
	}
	return g
}

// grayRow fills dst with luma, from (x, y) to the right.
func grayRow(img image.Image, x, y int, dst []uint8) {
	switch m := img.(type) {
	case *image.YCbCr:
		i := m.YOffset(x, y)
		copy(dst, m.Y[i:i+len(dst)])
	case *image.Gray:
		i := m.PixOffset(x, y)
		copy(dst, m.Pix[i:i+len(dst)])
	case *image.RGBA:
		p := m.Pix[m.PixOffset(x, y):]
		for i := range dst {
			dst[i] = luma(p[4*i], p[4*i+1], p[4*i+2])
		}
	case *image.NRGBA:
		p := m.Pix[m.PixOffset(x, y):]
		for i := range dst {
			dst[i] = luma(p[4*i], p[4*i+1], p[4*i+2])
		}
	default:
		for i := range dst {
			dst[i] = color.GrayModel.Convert(m.At(x+i, y)).(color.Gray).Y
		}
	}
}

func luma(r, g, b uint8) uint8 {
	return uint8((19595*uint32(r) + 38470*uint32(g) + 7471*uint32(b) + 1<<15) >> 16)
}

// Half is g at half its size.
func (g *Gray) Half() *Gray {
	h := NewGray(g.W/2, g.H/2)
	for y := range h.H {
		a, b := g.Pix[2*y*g.W:], g.Pix[(2*y+1)*g.W:]
		for x := range h.W {
			h.Pix[y*h.W+x] = uint8((uint32(a[2*x]) + uint32(a[2*x+1]) + uint32(b[2*x]) + uint32(b[2*x+1]) + 2) / 4)
		}
	}
	return h
}

// Double is g at twice its size, bilinear.
func (g *Gray) Double() *Gray {
	d := NewGray(2*g.W, 2*g.H)
	for y := range d.H {
		for x := range d.W {
			d.Pix[y*d.W+x] = uint8(g.at(float32(x)/2-0.25, float32(y)/2-0.25) + 0.5)
		}
	}
	return d
}

// at interpolates; outside the picture the border is repeated.
func (g *Gray) at(x, y float32) float32 {
	x = min(max(x, 0), float32(g.W)-1.001)
	y = min(max(y, 0), float32(g.H)-1.001)
	if !(x >= 0 && y >= 0) { // a picture one pixel wide, or NaN
		return float32(g.Pix[0])
	}
	ix, iy := int(x), int(y)
	fx, fy := x-float32(ix), y-float32(iy)
	i := iy*g.W + ix
	p, q := g.Pix[i:i+2], g.Pix[i+g.W:i+g.W+2]
	a := float32(p[0]) + fx*(float32(p[1])-float32(p[0]))
	b := float32(q[0]) + fx*(float32(q[1])-float32(q[0]))
	return a + fy*(b-a)
}

// A patch is 16 x 24 samples over 1.12 x 1.68 pitches, centred on its character.
const (
	Cols  = 16
	Rows  = 24
	Size  = Cols * Rows
	width = 1.12
)

// Frame places one character in a picture: its centre, the step to the next
// character, and a step as long downwards, all in pixels.
type Frame struct {
	X, Y   float64
	UX, UY float64
	VX, VY float64
}

// Sample fills dst, Size long, with the patch at f: mean zero, variance one. It
// returns the standard deviation in grey levels, which is small where nothing is
// printed.
func Sample(g *Gray, f Frame, dst []float32) float64 {
	const step = width / Cols
	ux, uy := float32(f.UX*step), float32(f.UY*step)
	vx, vy := float32(f.VX*step), float32(f.VY*step)
	x0 := float32(f.X) - ux*(Cols-1)/2 - vx*(Rows-1)/2
	y0 := float32(f.Y) - uy*(Cols-1)/2 - vy*(Rows-1)/2
	// Steps of more than a pixel and a half get four samples instead of one.
	fine := ux*ux+uy*uy < 1.5*1.5
	var sum, sq float32
	for r := range Rows {
		x, y := x0+float32(r)*vx, y0+float32(r)*vy
		for c := range Cols {
			var v float32
			if fine {
				v = g.at(x, y)
			} else {
				ax, ay, bx, by := (ux+vx)/4, (uy+vy)/4, (ux-vx)/4, (uy-vy)/4
				v = (g.at(x-ax, y-ay) + g.at(x+ax, y+ay) + g.at(x-bx, y-by) + g.at(x+bx, y+by)) / 4
			}
			dst[r*Cols+c] = v
			sum += v
			sq += v * v
			x, y = x+ux, y+uy
		}
	}
	mean := sum / Size
	dev := float32(math.Sqrt(float64(max(sq/Size-mean*mean, 0))))
	scale := 1 / max(dev, 3)
	for i := range dst[:Size] {
		dst[i] = (dst[i] - mean) * scale
	}
	return float64(dev)
}
