package main

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"math"
	"math/rand/v2"
	"strings"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// example is one cell with its class.
type example struct {
	patch []float32
	class int
}

// A glyph mask is drawn once at maskPitch pixels to the pitch, on a tile two pitches high.
const (
	maskPitch = 64
	maskH     = 2 * maskPitch
)

// press prints and photographs lines.
type press struct {
	sharp [len(cell.Alphabet)][]float32 // coverage, 0 to 1
	soft  [len(cell.Alphabet)][]float32 // the same, blurred: a threshold on it makes bolder and thinner print
}

func newPress() *press {
	const advance = 0.723 // of OCR-B, parts of the em
	f, err := opentype.NewFace(specimen.OCRB(), &opentype.FaceOptions{Size: maskPitch / advance, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic(err)
	}
	p := &press{}
	for i, r := range cell.Alphabet {
		img := image.NewAlpha(image.Rect(0, 0, maskPitch, maskH))
		d := font.Drawer{Dst: img, Src: image.Opaque, Face: f,
			Dot: fixed.P(0, int(math.Round(maskH/2+0.35*maskPitch/advance)))}
		d.DrawString(string(r))
		m := make([]float32, maskPitch*maskH)
		for k, v := range img.Pix {
			m[k] = float32(v) / 255
		}
		p.sharp[i] = m
		p.soft[i] = append([]float32(nil), m...)
		gauss(p.soft[i], maskPitch, maskH, 3)
	}
	return p
}

// source mixes the cells of many strips, because those of one look alike.
type source struct {
	press *press
	r     *rand.Rand
	pool  []example
	strip *strip
	left  int // cells still to be cut from strip
}

// perStrip is the number of cells cut from one strip of fourteen characters,
// each with other errors.
const perStrip = 42

func newSource(p *press, r *rand.Rand, pool int) *source {
	s := &source{press: p, r: r}
	for range pool {
		s.pool = append(s.pool, s.fresh())
	}
	return s
}

func (s *source) fresh() example {
	if s.left == 0 {
		s.strip, s.left = s.press.print(s.r), perStrip
	}
	s.left--
	return s.strip.cut(s.r)
}

func (s *source) next() example {
	i := s.r.IntN(len(s.pool))
	e := s.pool[i]
	s.pool[i] = s.fresh()
	return e
}

// strip is a photographed line.
type strip struct {
	text  []int // class of each column; Blank for a gap
	img   *cell.Gray
	half  *cell.Gray
	frame func(col, row float64) (x, y float64)
}

func (p *press) print(r *rand.Rand) *strip {
	const n = 14
	s := &strip{}
	for range n {
		c := r.IntN(len(cell.Alphabet))
		switch r.IntN(12) {
		case 0, 1:
			c = strings.IndexByte(cell.Alphabet, '<')
		case 2:
			c = cell.Blank
		}
		s.text = append(s.text, c)
	}
	pitch := 11 * math.Pow(4.2, r.Float64()) // 11 to 46 pixels
	w, h := int(pitch*(n+1.4)), int(pitch*2.6)
	s.img = cell.NewGray(w, h)

	// Geometry: a slightly curved, turned, sheared line that shrinks to one side.
	turn, shear, shrink := spread(r, 0.03), spread(r, 0.1), spread(r, 0.006)
	bend := spread(r, 0.004)
	squash := 1 + spread(r, 0.12)
	cx, cy := float64(w)/2, float64(h)/2
	s.frame = func(col, row float64) (float64, float64) {
		u, v := col-n/2.0, row+bend*(col-n/2.0)*(col-n/2.0)*0.3
		k := pitch * (1 + shrink*u)
		x, y := k*(u+shear*v), k*squash*v
		return cx + x - turn*y, cy + y + turn*x
	}

	glyphs := &p.sharp
	weight := float32(0)
	if r.IntN(2) == 0 {
		glyphs, weight = &p.soft, float32(0.32+0.3*r.Float64())
	}
	paper, ink := 110+140*r.Float64(), 10+60*r.Float64()
	if paper-ink < 60 {
		paper = ink + 60
	}
	tile := func(col, row float64) float32 {
		i := int(math.Floor(col))
		if i < 0 || i >= n || s.text[i] == cell.Blank {
			return 0
		}
		x, y := (col-float64(i))*maskPitch-0.5, (row+1)*maskPitch-0.5
		v := sampleMask(glyphs[s.text[i]], x, y)
		if weight > 0 {
			v = min(max((v-weight)/0.16+0.5, 0), 1)
		}
		return v
	}
	// The inverse of frame by two Newton-like steps: it is nearly affine.
	inverse := func(x, y float64) (float64, float64) {
		dx, dy := x-cx, y-cy
		d := 1 + turn*turn
		ax, ay := (dx+turn*dy)/d, (dy-turn*dx)/d
		u, v := ax/pitch, ay/(pitch*squash)
		for range 3 {
			k := pitch * (1 + shrink*u)
			v = ay / (k * squash)
			u = ax/k - shear*v
		}
		return u + n/2.0, v - bend*u*u*0.3
	}
	taps := 2
	if pitch > 20 {
		taps = 1
	}
	pix := make([]float32, w*h)
	for y := range h {
		for x := range w {
			var a float32
			for k := range taps * taps {
				f := 1 / float64(taps)
				a += tile(inverse(float64(x)+f*(0.5+float64(k%taps))-0.5, float64(y)+f*(0.5+float64(k/taps))-0.5))
			}
			a /= float32(taps * taps)
			pix[y*w+x] = float32(paper)*(1-a) + float32(ink)*a
		}
	}
	p.wear(r, pix, w, h, pitch, paper)
	gauss(pix, w, h, pitch*0.105*math.Pow(r.Float64(), 1.3))
	expose(r, pix, w, h)
	for i, v := range pix {
		s.img.Pix[i] = uint8(min(max(v+0.5, 0), 255))
	}
	if r.IntN(4) > 0 {
		s.img = throughJPEG(s.img, 40+r.IntN(55))
	}
	s.half = s.img.Half()
	return s
}

// wear adds what else is on the paper: curves of a background print, specks, scratches.
func (p *press) wear(r *rand.Rand, pix []float32, w, h int, pitch, paper float64) {
	for range r.IntN(4) {
		amp, freq, phase := pitch*(0.3+r.Float64()), (0.5+2*r.Float64())/pitch, 6*r.Float64()
		dark, gap := float32(paper*(0.04+0.22*r.Float64()*r.Float64())), pitch*(0.5+r.Float64())
		slope := spread(r, 0.8)
		thick := max(0.6, pitch*0.03)
		for y0 := -2 * float64(h); y0 < 3*float64(h); y0 += gap {
			for x := range w {
				y := y0 + slope*float64(x) + amp*math.Sin(freq*float64(x)+phase)
				for dy := math.Floor(y - thick); dy <= y+thick; dy++ {
					if iy := int(dy); iy >= 0 && iy < h {
						pix[iy*w+x] -= dark * float32(max(0, 1-math.Abs(dy-y)/thick)) * pix[iy*w+x] / float32(paper)
					}
				}
			}
		}
	}
	for range r.IntN(5) {
		x, y, rad := r.Float64()*float64(w), r.Float64()*float64(h), pitch*(0.03+0.09*r.Float64())
		v := float32(spread(r, 110))
		for iy := max(0, int(y-rad)); iy < min(h, int(y+rad)+1); iy++ {
			for ix := max(0, int(x-rad)); ix < min(w, int(x+rad)+1); ix++ {
				pix[iy*w+ix] += v
			}
		}
	}
}

// expose adds light and noise.
func expose(r *rand.Rand, pix []float32, w, h int) {
	gx, gy := float32(spread(r, 0.5)/float64(w)), float32(spread(r, 0.4)/float64(h))
	glare := float32(0)
	if r.IntN(3) == 0 {
		glare = float32(0.85 * r.Float64())
	}
	sx, sy, sr := r.Float64()*float64(w), r.Float64()*float64(h), float64(w)*(0.1+0.4*r.Float64())
	noise := float32(17 * math.Pow(r.Float64(), 1.5))
	gain := float32(0.55 + 0.5*r.Float64())
	for y := range h {
		dy := (float64(y) - sy) / sr
		for x := range w {
			i := y*w + x
			v := pix[i] * gain * (1 + gx*float32(x-w/2) + gy*float32(y-h/2))
			if glare > 0 {
				dx := (float64(x) - sx) / sr
				v += (255 - v) * glare * float32(math.Exp(-(dx*dx+dy*dy)/2))
			}
			pix[i] = v + noise*float32(r.NormFloat64())
		}
	}
}

// upsideDown are the characters that are not themselves or another one upside down.
const upsideDown = "ABCDEFGJKLPQRTUVY<347"

// cut takes one cell with the errors of the locator, now and then one that shows no character.
func (s *strip) cut(r *rand.Rand) example {
	col := r.IntN(len(s.text))
	class := s.text[col]
	wide := 1.0
	if r.IntN(5) == 0 {
		wide = 2
	}
	c := float64(col) + 0.5 + wide*0.045*r.NormFloat64()
	row := wide * 0.05 * r.NormFloat64()
	flip := 1.0
	switch r.IntN(24) {
	case 0: // half a step to the side
		c, class = float64(col)+0.96+0.1*r.Float64(), cell.Blank
		if col+1 == len(s.text) || s.text[col] == cell.Blank && s.text[col+1] == cell.Blank {
			c = float64(col) + 1.2
		}
	case 1: // between the lines, or across the edge of one
		row, class = (0.45+0.5*r.Float64())*sign(r), cell.Blank
	case 2:
		if class != cell.Blank && strings.IndexByte(upsideDown, cell.Alphabet[class]) >= 0 {
			flip, class = -1, cell.Blank
		}
	case 3: // before the first or after the last
		c, class = -0.6-0.4*r.Float64(), cell.Blank
		if r.IntN(2) == 0 {
			c = float64(len(s.text)) + 0.6 + 0.4*r.Float64()
		}
	}
	x, y := s.frame(c, row)
	x1, y1 := s.frame(c+0.5, row)
	x0, y0 := s.frame(c-0.5, row)
	ux, uy := x1-x0, y1-y0
	x1, y1 = s.frame(c, row+0.5)
	x0, y0 = s.frame(c, row-0.5)
	vx, vy := x1-x0, y1-y0
	// The reader does not know the height of a pitch; it takes the width.
	k := math.Hypot(ux, uy) / math.Hypot(vx, vy)
	vx, vy = vx*k, vy*k
	sx, sy := 1+wide*0.025*r.NormFloat64(), 1+wide*0.035*r.NormFloat64()
	turn, shear := wide*0.02*r.NormFloat64(), wide*0.03*r.NormFloat64()
	f := cell.Frame{X: x, Y: y,
		UX: flip * sx * (ux - turn*uy), UY: flip * sx * (uy + turn*ux),
		VX: flip * sy * (vx - turn*vy + shear*ux), VY: flip * sy * (vy + turn*vx + shear*uy)}
	img := s.img
	if math.Hypot(ux, uy) > 44 {
		img = s.half
		f = cell.Frame{X: f.X/2 - 0.25, Y: f.Y/2 - 0.25, UX: f.UX / 2, UY: f.UY / 2, VX: f.VX / 2, VY: f.VY / 2}
	}
	e := example{patch: make([]float32, cell.Size), class: class}
	cell.Sample(img, f, e.patch)
	return e
}

func spread(r *rand.Rand, s float64) float64 { return (2*r.Float64() - 1) * s }

func sign(r *rand.Rand) float64 { return float64(2*r.IntN(2) - 1) }

func sampleMask(m []float32, x, y float64) float32 {
	if x < 0 || y < 0 || x >= maskPitch-1 || y >= maskH-1 {
		return 0
	}
	ix, iy := int(x), int(y)
	fx, fy := float32(x)-float32(ix), float32(y)-float32(iy)
	i := iy*maskPitch + ix
	a := m[i] + fx*(m[i+1]-m[i])
	b := m[i+maskPitch] + fx*(m[i+maskPitch+1]-m[i+maskPitch])
	return a + fy*(b-a)
}

// gauss blurs pix in place, borders repeated.
func gauss(pix []float32, w, h int, sigma float64) {
	if sigma < 0.2 {
		return
	}
	n := int(math.Ceil(2.5 * sigma))
	kernel := make([]float32, 2*n+1)
	var sum float32
	for i := range kernel {
		kernel[i] = float32(math.Exp(-float64((i-n)*(i-n)) / (2 * sigma * sigma)))
		sum += kernel[i]
	}
	tmp := make([]float32, len(pix))
	pass := func(dst, src []float32, length, count, step, stride int) {
		for line := range count {
			for p := range length {
				var v float32
				for k, f := range kernel {
					q := min(max(p+k-n, 0), length-1)
					v += f * src[line*stride+q*step]
				}
				dst[line*stride+p*step] = v / sum
			}
		}
	}
	pass(tmp, pix, w, h, 1, w)
	pass(pix, tmp, h, w, w, 1)
}

func throughJPEG(g *cell.Gray, quality int) *cell.Gray {
	var buf bytes.Buffer
	img := &image.Gray{Pix: g.Pix, Stride: g.W, Rect: image.Rect(0, 0, g.W, g.H)}
	if err := jpeg.Encode(&buf, img, &jpeg.Options{Quality: quality}); err != nil {
		panic(err)
	}
	back, err := jpeg.Decode(&buf)
	if err != nil {
		panic(err)
	}
	if m, ok := back.(*image.Gray); ok {
		return cell.FromImage(m, 1)
	}
	out := cell.NewGray(g.W, g.H)
	for i := range out.Pix {
		out.Pix[i] = color.GrayModel.Convert(back.At(i%g.W, i/g.W)).(color.Gray).Y
	}
	return out
}
