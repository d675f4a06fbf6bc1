package face

import (
	"encoding/binary"
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
	right, bottom := float64(r.w-1), float64(r.h-1)
	for y := range h {
		from := toSource.apply(Point{0.5, float64(y) + 0.5})
		row := out[y*w*3:][:w*3]
		for x := range w {
			u, v := from.X-0.5+toSource.a*float64(x), from.Y-0.5+toSource.d*float64(x)
			if !(u >= 0 && v >= 0 && u < right && v < bottom) { // also for NaN
				r.bilinear(u, v, row[x*3:][:3])
				continue
			}
			// All four neighbours exist: the same without the questions.
			x0, y0 := int(u), int(v)
			fx, fy := float32(u-float64(x0)), float32(v-float64(y0))
			at := y0*r.stride + x0*4
			top := binary.LittleEndian.Uint64(r.pix[at:])
			low := binary.LittleEndian.Uint64(r.pix[at+r.stride:])
			rgb := row[x*3:][:3]
			for c := range rgb {
				t, l := float32(uint8(top)), float32(uint8(low))
				t += fx * (float32(uint8(top>>32)) - t)
				l += fx * (float32(uint8(low>>32)) - l)
				rgb[c] = t + fy*(l-t)
				top, low = top>>8, low>>8
			}
		}
	}
	return out
}

// bilinear writes the colour at pixel-centre coordinates (x, y), where what lies
// outside r is black.
func (r raster) bilinear(x, y float64, rgb []float32) {
	if !(x > -1 && y > -1 && x < float64(r.w) && y < float64(r.h)) { // also false for NaN
		return
	}
	x0, y0 := int(math.Floor(x)), int(math.Floor(y))
	fx, fy := float32(x-float64(x0)), float32(y-float64(y0))
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
	columns := make([]uint64, (cut.Dx()+1)/2*2)
	for y := range h {
		clear(sums)
		rows := min(f, cut.Dy()-y*f)
		for done := 0; done < rows; done += maxRows {
			clear(columns)
			for dy := done; dy < min(done+maxRows, rows); dy++ {
				addRow(columns, r.pix[(cut.Min.Y+y*f+dy)*r.stride+cut.Min.X*4:][:cut.Dx()*4])
			}
			for x := range w {
				sum := sums[x*3:][:3]
				for i := x * f; i < min((x+1)*f, cut.Dx()); i++ {
					even, odd := columns[i&^1]>>(i&1*32), columns[i|1]>>(i&1*32)
					sum[0] += even & 0xffff
					sum[1] += odd & 0xffff
					sum[2] += even >> 16 & 0xffff
				}
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

// maxRows is how many rows of bytes fit into sums of 16 bits.
const maxRows = 256

// addRow adds a row of pixels to sums of columns, two pixels at a time: in two
// words four lanes of 16 bits each, for red and blue and for green and the byte
// that is ignored. This is the one loop that goes over a whole photo.
func addRow(columns []uint64, row []byte) {
	const lanes = 0x00ff00ff00ff00ff
	i := 0
	for ; i+4 <= len(columns) && i*4+16 <= len(row); i += 4 {
		c, p := columns[i:i+4:i+4], row[i*4:i*4+16:i*4+16]
		v, w := binary.LittleEndian.Uint64(p), binary.LittleEndian.Uint64(p[8:])
		c[0] += v & lanes
		c[1] += v >> 8 & lanes
		c[2] += w & lanes
		c[3] += w >> 8 & lanes
	}
	for ; i*4+4 <= len(row); i++ {
		v := uint64(binary.LittleEndian.Uint32(row[i*4:])) << (i & 1 * 32)
		columns[i&^1] += v & lanes
		columns[i|1] += v >> 8 & lanes
	}
}
