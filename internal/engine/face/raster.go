package face

import (
	"errors"
	"image"
	"image/draw"
	"math"
)

// maxPixels bounds what one picture may cost here (about 4 bytes a pixel).
// Callers that take pictures from outside set a lower limit before decoding.
const maxPixels = 50_000_000

// raster is a picture as 8-bit red, green, blue and a byte that is ignored.
type raster struct {
	pix    []byte
	stride int
	w, h   int
	origin image.Point // top left in the coordinates of the image it came from
}

// newRaster takes the pixels of img. An *image.RGBA is used in place; anything
// else is copied once.
func newRaster(img image.Image) (raster, error) {
	if img == nil {
		return raster{}, errors.New("face: no picture")
	}
	b := img.Bounds()
	if b.Dx() < 1 || b.Dy() < 1 {
		return raster{}, errors.New("face: empty picture")
	}
	if b.Dx() > maxPixels/b.Dy() {
		return raster{}, errors.New("face: picture has too many pixels")
	}
	rgba, ok := img.(*image.RGBA)
	if !ok {
		rgba = image.NewRGBA(image.Rect(0, 0, b.Dx(), b.Dy()))
		draw.Draw(rgba, rgba.Bounds(), img, b.Min, draw.Src)
	}
	at := rgba.PixOffset(rgba.Rect.Min.X, rgba.Rect.Min.Y)
	return raster{pix: rgba.Pix[at:], stride: rgba.Stride, w: b.Dx(), h: b.Dy(), origin: b.Min}, nil
}

// warp samples a w x h picture out of r: output pixel (x, y) is what lies at
// toSource(x+0.5, y+0.5). The result is row-major RGB, 0 to 255; what lies
// outside r is black. Where the map shrinks by two or more, source pixels are
// averaged first, so that large photos do not alias.
func (r raster) warp(toSource affine, w, h int) []float32 {
	out := make([]float32, w*h*3)
	if s := toSource.scale(); s >= 2 && s < 1e6 {
		region := box{0, 0, float64(w), float64(h)}.through(toSource)
		r, toSource = r.shrink(region, int(s), toSource)
	}
	for y := range h {
		for x := range w {
			p := toSource.apply(Point{float64(x) + 0.5, float64(y) + 0.5})
			r.bilinear(p.X-0.5, p.Y-0.5, out[(y*w+x)*3:][:3])
		}
	}
	return out
}

// bilinear writes the colour at pixel-centre coordinates (x, y).
func (r raster) bilinear(x, y float64, rgb []float32) {
	if !(x > -1 && y > -1 && x < float64(r.w) && y < float64(r.h)) { // also false for NaN
		return
	}
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
	if x0 >= 0 && y0 >= 0 && x0+1 < r.w && y0+1 < r.h {
		// All four neighbours exist: the same sum without the questions.
		top := r.pix[y0*r.stride+x0*4:][:7]
		low := r.pix[(y0+1)*r.stride+x0*4:][:7]
		k00, k10, k01, k11 := (1-fx)*(1-fy), fx*(1-fy), (1-fx)*fy, fx*fy
		rgb[0] = k00*float32(top[0]) + k10*float32(top[4]) + k01*float32(low[0]) + k11*float32(low[4])
		rgb[1] = k00*float32(top[1]) + k10*float32(top[5]) + k01*float32(low[1]) + k11*float32(low[5])
		rgb[2] = k00*float32(top[2]) + k10*float32(top[6]) + k01*float32(low[2]) + k11*float32(low[6])
		return
	}
	for dy := range 2 {
		for dx := range 2 {
			px, py := x0+dx, y0+dy
			if px < 0 || py < 0 || px >= r.w || py >= r.h {
				continue
			}
			k := (1 - fx + float32(dx)*(2*fx-1)) * (1 - fy + float32(dy)*(2*fy-1))
			at := r.pix[py*r.stride+px*4:][:3]
			rgb[0] += k * float32(at[0])
			rgb[1] += k * float32(at[1])
			rgb[2] += k * float32(at[2])
		}
	}
}

// shrink averages blocks of f x f pixels of the part of r that region covers,
// and gives the map that reaches the same places in the smaller raster.
func (r raster) shrink(region box, f int, m affine) (raster, affine) {
	cut := region.rectangle(image.Rect(0, 0, r.w, r.h))
	if cut.Empty() {
		return raster{}, m
	}
	cut = cut.Inset(-2 * f).Intersect(image.Rect(0, 0, r.w, r.h))
	w, h := (cut.Dx()+f-1)/f, (cut.Dy()+f-1)/f
	small := raster{pix: make([]byte, w*h*4), stride: w * 4, w: w, h: h}
	sums := make([]uint64, w*3)
	for y := range h {
		clear(sums)
		rows := min(f, cut.Dy()-y*f)
		for dy := range rows {
			row := r.pix[(cut.Min.Y+y*f+dy)*r.stride+cut.Min.X*4:][:cut.Dx()*4-1]
			for x := range w {
				block := row[x*f*4 : min((x+1)*f*4-1, len(row))]
				var red, green, blue uint64
				for i := 0; i+2 < len(block); i += 4 {
					red += uint64(block[i])
					green += uint64(block[i+1])
					blue += uint64(block[i+2])
				}
				sums[x*3] += red
				sums[x*3+1] += green
				sums[x*3+2] += blue
			}
		}
		for x := range w {
			n := uint64(rows * min(f, cut.Dx()-x*f))
			for c := range 3 {
				small.pix[y*small.stride+x*4+c] = byte((sums[x*3+c] + n/2) / n)
			}
		}
	}
	k := 1 / float64(f)
	return small, m.then(affine{k, 0, -float64(cut.Min.X) * k, 0, k, -float64(cut.Min.Y) * k})
}
