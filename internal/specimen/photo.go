package specimen

import (
	"bytes"
	"cmp"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"math"
	"math/rand/v2"
)

// Scene is how a picture is taken. The zero Scene is a sharp, straight, evenly
// lit photograph.
type Scene struct {
	W, H        int     // of the picture, pixels; 1600 x 1200 if zero, upright for a document taller than wide
	Fill        float64 // part of the picture's width or height that the document takes; 0.86 if zero
	Turn        float64 // degrees clockwise, exactly
	Rotation    float64 // degrees by which the document may lie crooked, at random
	Perspective float64 // part of the frame by which its corners may stray
	Blur        float64 // Gaussian sigma, pixels
	Noise       float64 // sigma, grey levels
	Shade       float64 // linear light gradient, part of full light
	Glare       float64 // strength of one Gaussian spot, 0 to 1
	Bend        float64 // of a page that does not lie flat, part of its height
	Quality     int     // JPEG; 95 if zero
}

// Levels are the rows of the augmentation recipe by which the engine is
// measured: clean, mild, medium, hard.
var Levels = [4]Scene{
	{},
	{Perspective: 0.02, Rotation: 1.5, Blur: 0.7, Noise: 4, Quality: 85},
	{Perspective: 0.045, Rotation: 4, Blur: 1.2, Noise: 8, Shade: 0.35, Quality: 70},
	{Perspective: 0.075, Rotation: 8, Blur: 1.8, Noise: 13, Shade: 0.45, Glare: 0.75, Quality: 55},
}

// Photograph lays a rendered document on a table and takes a phone picture of it at one of the
// Levels, 0 to 3 (the nearest of them for other numbers). The same arguments give the same picture.
func Photograph(img image.Image, level int, seed uint64) image.Image {
	return Levels[min(max(level, 0), len(Levels)-1)].Shoot(img, seed)
}

// Shoot takes a picture of a rendered document. What a Scene leaves to chance follows from seed.
func (g Scene) Shoot(img image.Image, seed uint64) image.Image {
	r := rand.New(rand.NewPCG(seed, 0x9303))
	b := img.Bounds()
	w, h := g.W, g.H
	if w == 0 || h == 0 {
		w, h = 1600, 1200
		if b.Dy() > b.Dx() {
			w, h = h, w
		}
	}
	fill := g.Fill
	if fill == 0 {
		fill = 0.86
	}
	src := toRGBA(img)
	fw, fh := float64(w), float64(h)
	scale := min(fill*fw/float64(b.Dx()), fill*fh/float64(b.Dy()))
	if g.Rotation > 0 {
		scale *= 0.96 - 0.08*r.Float64()
	}
	angle := ((2*r.Float64()-1)*g.Rotation + g.Turn) * math.Pi / 180
	cx, cy := fw/2+(2*r.Float64()-1)*g.Perspective*fw*0.4, fh/2+(2*r.Float64()-1)*g.Perspective*fh*0.4
	var quad [4][2]float64
	for i, c := range [4][2]float64{{-0.5, -0.5}, {0.5, -0.5}, {0.5, 0.5}, {-0.5, 0.5}} {
		x, y := c[0]*float64(b.Dx())*scale, c[1]*float64(b.Dy())*scale
		x, y = x*math.Cos(angle)-y*math.Sin(angle), x*math.Sin(angle)+y*math.Cos(angle)
		quad[i] = [2]float64{
			cx + x + (2*r.Float64()-1)*g.Perspective*fw*0.5,
			cy + y + (2*r.Float64()-1)*g.Perspective*fh*0.5,
		}
	}
	out := table(w, h, r)
	warp(out, src, quad, g.Bend)
	expose(out, g, r)
	blurRGBA(out, g.Blur)
	if g.Noise > 0 {
		for i := range out.Pix {
			if i%4 != 3 {
				out.Pix[i] = clamp(float64(out.Pix[i]) + r.NormFloat64()*g.Noise)
			}
		}
	}
	decoded, err := jpeg.Decode(bytes.NewReader(JPEG(out, cmp.Or(g.Quality, 95))))
	if err != nil {
		panic("specimen: decoding our own JPEG: " + err.Error())
	}
	return decoded
}

// JPEG encodes img at quality 1-100.
func JPEG(img image.Image, quality int) []byte {
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		panic("specimen: encoding a JPEG: " + err.Error()) // only for pictures over 65535 pixels
	}
	return buf.Bytes()
}

// table is a desk with a coarse grain and some stripes.
func table(w, h int, r *rand.Rand) *image.RGBA {
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	base := [3]float64{70 + 110*r.Float64(), 60 + 100*r.Float64(), 50 + 90*r.Float64()}
	f1, f2, p := 0.01+0.03*r.Float64(), 0.05+0.1*r.Float64(), 6*r.Float64()
	for y := range h {
		for x := range w {
			t := 12*wave(f1*float64(y)+2*wave(0.004*float64(x)+p)) + 5*wave(f2*float64(y)+0.01*float64(x))
			t += 8 * (r.Float64() - 0.5)
			out.SetRGBA(x, y, color.RGBA{clamp(base[0] + t), clamp(base[1] + t), clamp(base[2] + t), 255})
		}
	}
	return out
}

// wave is a quick sine from a table.
func wave(t float64) float64 {
	return waves[int(t*(float64(len(waves))/(2*math.Pi))+0.5)&(len(waves)-1)]
}

var waves = func() (w [4096]float64) {
	for i := range w {
		w[i] = math.Sin(2 * math.Pi * float64(i) / float64(len(w)))
	}
	return w
}()

// warp draws src into the quadrilateral (clockwise from the upper left), with
// four samples to the pixel. A bend lifts the middle of the page upwards.
func warp(dst, src *image.RGBA, quad [4][2]float64, bend float64) {
	sw, sh := float64(src.Rect.Dx()), float64(src.Rect.Dy())
	m := homography(quad, [4][2]float64{{0, 0}, {sw, 0}, {sw, sh}, {0, sh}})
	b := dst.Bounds()
	lo, hi := quad[0], quad[0]
	for _, q := range quad {
		lo = [2]float64{min(lo[0], q[0]), min(lo[1], q[1])}
		hi = [2]float64{max(hi[0], q[0]), max(hi[1], q[1])}
	}
	for y := max(b.Min.Y, int(lo[1]-math.Abs(bend)*(hi[1]-lo[1]))-1); y < min(b.Max.Y, int(hi[1]+math.Abs(bend)*(hi[1]-lo[1]))+2); y++ {
		for x := max(b.Min.X, int(lo[0])-1); x < min(b.Max.X, int(hi[0])+2); x++ {
			var sum [3]float64
			n := 0.0
			for k := range 4 {
				px, py := float64(x)+0.25+0.5*float64(k&1), float64(y)+0.25+0.5*float64(k>>1)
				d := m[6]*px + m[7]*py + 1
				u, v := (m[0]*px+m[1]*py+m[2])/d-0.5, (m[3]*px+m[4]*py+m[5])/d-0.5
				if bend != 0 {
					v += bend * sh * 4 * (u / sw) * (1 - u/sw)
				}
				if u < -0.5 || v < -0.5 || u > sw-0.5 || v > sh-0.5 {
					continue
				}
				c := bilinear(src, u, v)
				sum[0], sum[1], sum[2] = sum[0]+c[0], sum[1]+c[1], sum[2]+c[2]
				n++
			}
			if n == 0 {
				continue
			}
			i := dst.PixOffset(x, y)
			for k := range 3 {
				dst.Pix[i+k] = clamp(float64(dst.Pix[i+k])*(1-n/4) + sum[k]/4)
			}
		}
	}
}

func bilinear(src *image.RGBA, u, v float64) [3]float64 {
	w, h := src.Rect.Dx(), src.Rect.Dy()
	u, v = min(max(u, 0), float64(w-1)), min(max(v, 0), float64(h-1))
	x, y := min(int(u), max(w-2, 0)), min(int(v), max(h-2, 0))
	fx, fy := u-float64(x), v-float64(y)
	i := y*src.Stride + x*4
	right, down := 4, src.Stride
	if w == 1 {
		right = 0
	}
	if h == 1 {
		down = 0
	}
	var c [3]float64
	for k := range 3 {
		a := float64(src.Pix[i+k])*(1-fx) + float64(src.Pix[i+right+k])*fx
		b := float64(src.Pix[i+down+k])*(1-fx) + float64(src.Pix[i+down+right+k])*fx
		c[k] = a*(1-fy) + b*fy
	}
	return c
}

// homography maps the corners from onto the corners to; m[8] is 1.
func homography(from, to [4][2]float64) [8]float64 {
	var a [8][9]float64
	for i := range 4 {
		x, y, u, v := from[i][0], from[i][1], to[i][0], to[i][1]
		a[2*i] = [9]float64{x, y, 1, 0, 0, 0, -u * x, -u * y, u}
		a[2*i+1] = [9]float64{0, 0, 0, x, y, 1, -v * x, -v * y, v}
	}
	for c := range 8 {
		p := c
		for r := c + 1; r < 8; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[p][c]) {
				p = r
			}
		}
		a[c], a[p] = a[p], a[c]
		for r := range 8 {
			if r == c {
				continue
			}
			f := a[r][c] / a[c][c]
			for k := c; k < 9; k++ {
				a[r][k] -= f * a[c][k]
			}
		}
	}
	var m [8]float64
	for i := range 8 {
		m[i] = a[i][8] / a[i][i]
	}
	return m
}

// expose adds the light: a linear gradient in a random direction and one glare spot.
func expose(img *image.RGBA, g Scene, r *rand.Rand) {
	dir, sign := r.Float64()*2*math.Pi, 1.0
	w, h := float64(img.Rect.Dx()), float64(img.Rect.Dy())
	gx, gy, gs := w*(0.2+0.6*r.Float64()), h*(0.2+0.6*r.Float64()), w*(0.05+0.07*r.Float64())
	if g.Shade == 0 && g.Glare == 0 {
		return
	}
	dx, dy := math.Cos(dir)*sign, math.Sin(dir)*sign
	for y := range img.Rect.Dy() {
		for x := range img.Rect.Dx() {
			t := (float64(x)/w-0.5)*dx + (float64(y)/h-0.5)*dy
			light := 1 - g.Shade*(0.5+t)
			ux, uy := (float64(x)-gx)/gs, (float64(y)-gy)/gs
			spot := g.Glare * math.Exp(-(ux*ux+uy*uy)/2)
			i := img.PixOffset(x, y)
			for k := range 3 {
				v := float64(img.Pix[i+k]) * light
				img.Pix[i+k] = clamp(v + (255-v)*spot)
			}
		}
	}
}

// blurRGBA is a separable Gaussian.
func blurRGBA(img *image.RGBA, sigma float64) {
	if sigma <= 0 {
		return
	}
	n := int(math.Ceil(3 * sigma))
	kernel := make([]float64, 2*n+1)
	sum := 0.0
	for i := range kernel {
		kernel[i] = math.Exp(-float64((i-n)*(i-n)) / (2 * sigma * sigma))
		sum += kernel[i]
	}
	for i := range kernel {
		kernel[i] /= sum
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	tmp := make([]uint8, len(img.Pix))
	pass := func(dst, src []uint8, length, count, step, stride int) {
		for line := range count {
			for p := range length {
				var c [3]float64
				for k, f := range kernel {
					q := min(max(p+k-n, 0), length-1)
					i := line*stride + q*step
					c[0] += f * float64(src[i])
					c[1] += f * float64(src[i+1])
					c[2] += f * float64(src[i+2])
				}
				i := line*stride + p*step
				dst[i], dst[i+1], dst[i+2], dst[i+3] = clamp(c[0]), clamp(c[1]), clamp(c[2]), 255
			}
		}
	}
	pass(tmp, img.Pix, w, h, 4, img.Stride)
	pass(img.Pix, tmp, h, w, img.Stride, 4)
}

func clamp(v float64) uint8 { return uint8(min(max(v+0.5, 0), 255)) }

func toRGBA(img image.Image) *image.RGBA {
	b := img.Bounds()
	if m, ok := img.(*image.RGBA); ok && b.Min == (image.Point{}) {
		return m
	}
	out := image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
	draw.Draw(out, out.Bounds(), img, b.Min, draw.Src)
	return out
}
