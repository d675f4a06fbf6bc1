package engine

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"image/png"
	"io"
	"slices"

	"golang.org/x/sync/semaphore"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// MaxPicture bounds the file of one picture, bytes.
const MaxPicture = 12 << 20

// Limits for one picture, before and while it is decoded.
const (
	maxBytes   = MaxPicture // of the file
	maxPixels  = 40_000_000 // of the picture
	maxDecoded = 320 << 20  // bytes of memory that decoding may take
	maxScans   = 64         // of a JPEG: each passes over all its pixels; encoders write about ten
)

// pictureError is a picture that cannot be used; reason is one of api's.
type pictureError struct{ reason, detail string }

func (e *pictureError) Error() string { return e.reason + ": " + e.detail }

// decoder turns bytes from outside into upright pictures of bounded size. All
// decoding of a process shares one budget of memory.
type decoder struct{ budget *semaphore.Weighted }

func newDecoder() decoder { return decoder{semaphore.NewWeighted(maxDecoded)} }

// decode reads a JPEG or PNG, turns it upright as its EXIF orientation says,
// and shrinks it by a whole number so that no side is longer than maxSide
// pixels. minLong and minShort are the least sides it must have before that.
// The error is a *pictureError, or the context's.
func (d decoder) decode(ctx context.Context, b []byte, maxSide, minLong, minShort int) (*image.RGBA, error) {
	if len(b) > maxBytes {
		return nil, &pictureError{api.ReasonImageTooLarge, fmt.Sprintf("The picture has more than %d MB.", maxBytes>>20)}
	}
	h, err := inspect(b)
	if err != nil {
		return nil, &pictureError{api.ReasonImageUnreadable, "The picture is not a JPEG or PNG, or it is broken."}
	}
	cost := h.memory()
	if h.width > maxPixels/h.height || cost > maxDecoded {
		return nil, &pictureError{api.ReasonImageTooLarge, fmt.Sprintf("The picture has more than %d million pixels, or takes too much memory to open.", maxPixels/1_000_000)}
	}
	if max(h.width, h.height) < minLong || min(h.width, h.height) < minShort {
		return nil, &pictureError{api.ReasonImageTooSmall, fmt.Sprintf("The picture needs at least %d x %d pixels.", minLong, minShort)}
	}
	if err := d.budget.Acquire(ctx, cost); err != nil {
		return nil, err
	}
	defer d.budget.Release(cost)
	img, err := h.read(&watchfulReader{ctx, b})
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	if err != nil {
		return nil, &pictureError{api.ReasonImageUnreadable, "The picture is broken: it starts well but cannot be read to the end."}
	}
	if size := img.Bounds().Size(); size.X != h.width || size.Y != h.height {
		return nil, &pictureError{api.ReasonImageUnreadable, "The picture is broken: its size is not the one it states."}
	}
	return turn(shrink(img, maxSide), h.orientation), nil
}

// watchfulReader reads until its context ends. It hands out little at a time:
// decoders look at nothing else on their way.
type watchfulReader struct {
	ctx  context.Context
	rest []byte
}

func (r *watchfulReader) Read(p []byte) (int, error) {
	if err := r.ctx.Err(); err != nil {
		return 0, err
	}
	if len(r.rest) == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), 256)], r.rest)
	r.rest = r.rest[n:]
	return n, nil
}

// header is what is known about a picture before it is decoded.
type header struct {
	width, height int
	read          func(io.Reader) (image.Image, error)
	perPixel      float64 // bytes that decoding takes for each pixel
	orientation   int     // EXIF 1 to 8
}

func (h header) memory() int64 {
	return int64(float64(h.width)*float64(h.height)*h.perPixel) + 1<<16
}

func inspect(b []byte) (header, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		c, err := png.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return header{}, err
		}
		h := header{width: c.Width, height: c.Height, orientation: 1, perPixel: 4,
			read: png.Decode}
		switch c.ColorModel {
		case color.RGBA64Model, color.NRGBA64Model:
			h.perPixel = 8
		}
		if len(b) > 28 && b[28] != 0 { // interlaced: passes are held beside the whole
			h.perPixel *= 2
		}
		return h.valid()
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		c, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return header{}, err
		}
		h := header{width: c.Width, height: c.Height,
			read: jpeg.Decode}
		if scans(b) > maxScans {
			return header{}, errors.New("too many scans")
		}
		h.perPixel, h.orientation = jpegHeader(b)
		return h.valid()
	}
	return header{}, errors.New("neither JPEG nor PNG")
}

func (h header) valid() (header, error) {
	if h.width < 1 || h.height < 1 {
		return header{}, errors.New("no pixels")
	}
	return h, nil
}

// scans counts the scans of a JPEG from its first byte to its last. It counts
// every start-of-scan marker that is not the content of another segment, so
// never fewer than a decoder would see.
func scans(b []byte) int {
	n := 0
	for at := 2; at+1 < len(b); {
		if b[at] != 0xff { // in the data of a scan, or lost: a decoder goes on here too
			next := bytes.IndexByte(b[at:], 0xff)
			if next < 0 {
				break
			}
			at += next
			continue
		}
		switch marker := b[at+1]; {
		case marker == 0xff: // fill byte
			at++
		case marker == 0x00 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd9: // no length
			at += 2
		case at+4 > len(b):
			return n
		default:
			if marker == 0xda {
				n++
			}
			at += 2 + max(int(binary.BigEndian.Uint16(b[at+2:])), 2)
		}
	}
	return n
}

// jpegHeader walks the segments up to the first scan. A progressive picture
// takes four bytes more per sample, since Go's decoder holds all coefficients.
// What cannot be understood costs the most and stays as it is.
func jpegHeader(b []byte) (perPixel float64, orientation int) {
	perPixel, orientation = 4*5, 1
	seenExif := false
	for at := 2; at+4 <= len(b); {
		if b[at] != 0xff {
			return perPixel, orientation
		}
		marker := b[at+1]
		if marker == 0xff { // fill byte
			at++
			continue
		}
		if marker == 0x01 || marker >= 0xd0 && marker <= 0xd8 { // no length
			at += 2
			continue
		}
		n := int(binary.BigEndian.Uint16(b[at+2:]))
		if n < 2 || at+2+n > len(b) || marker == 0xd9 || marker == 0xda {
			return perPixel, orientation
		}
		body := b[at+4 : at+2+n]
		switch {
		case marker == 0xe1 && !seenExif && bytes.HasPrefix(body, []byte("Exif\x00\x00")):
			seenExif = true
			orientation = exifOrientation(body[6:])
		case marker >= 0xc0 && marker <= 0xc2 && len(body) >= 6:
			perPixel = jpegSamples(body) * map[bool]float64{false: 1, true: 5}[marker == 0xc2]
			if body[5] == 4 { // CMYK is turned into RGB beside the samples
				perPixel += 4
			}
		}
		at += 2 + n
	}
	return perPixel, orientation
}

// jpegSamples gives samples per pixel from a frame header: 1 for grey, 1.5 for
// 4:2:0, 3 for 4:4:4.
func jpegSamples(frame []byte) float64 {
	n := int(frame[5])
	if len(frame) < 6+3*n || n == 0 {
		return 4
	}
	sum, maxH, maxV := 0, 1, 1
	for i := range n {
		h, v := int(frame[6+3*i+1]>>4), int(frame[6+3*i+1]&15)
		sum += h * v
		maxH, maxV = max(maxH, h), max(maxV, v)
	}
	if n == 1 {
		return 1
	}
	return min(max(float64(sum)/float64(maxH*maxV), 1), 4)
}

// exifOrientation finds tag 0x0112 in the first directory of a TIFF structure
// (EXIF 2.32, 4.6.4). Anything odd gives 1, which changes nothing.
func exifOrientation(t []byte) int {
	var o binary.ByteOrder
	switch {
	case bytes.HasPrefix(t, []byte("II*\x00")):
		o = binary.LittleEndian
	case bytes.HasPrefix(t, []byte("MM\x00*")):
		o = binary.BigEndian
	default:
		return 1
	}
	if len(t) < 8 {
		return 1
	}
	at := int64(o.Uint32(t[4:]))
	if at+2 > int64(len(t)) {
		return 1
	}
	n := int64(o.Uint16(t[at:]))
	for i := range n {
		e := at + 2 + 12*i
		if e+12 > int64(len(t)) {
			return 1
		}
		if o.Uint16(t[e:]) == 0x0112 && o.Uint16(t[e+2:]) == 3 {
			if v := int(o.Uint16(t[e+8:])); v >= 1 && v <= 8 {
				return v
			}
			return 1
		}
	}
	return 1
}

// shrink averages squares of k x k pixels, where k is the least whole number
// that brings both sides to maxSide or less. Pixels that do not fill a last
// square are dropped. It works in strips, so that the large picture is not held twice.
func shrink(img image.Image, maxSide int) *image.RGBA {
	b := img.Bounds()
	k := max((max(b.Dx(), b.Dy())+maxSide-1)/maxSide, 1)
	out := image.NewRGBA(image.Rect(0, 0, max(b.Dx()/k, 1), max(b.Dy()/k, 1)))
	if k == 1 {
		draw.Draw(out, out.Rect, img, b.Min, draw.Src)
		opaque(out)
		return out
	}
	strip := image.NewRGBA(image.Rect(0, 0, b.Dx(), min(k, b.Dy())))
	w, rows := out.Rect.Dx(), strip.Rect.Dy()
	cols := min(k, b.Dx())
	for y := range out.Rect.Dy() {
		draw.Draw(strip, strip.Rect, img, image.Pt(b.Min.X, b.Min.Y+y*k), draw.Src)
		for x := range w {
			var r, g, bl uint32
			for j := range rows {
				p := strip.Pix[j*strip.Stride+4*x*k:]
				for i := range cols {
					r += uint32(p[4*i])
					g += uint32(p[4*i+1])
					bl += uint32(p[4*i+2])
				}
			}
			n := uint32(rows * cols)
			q := out.Pix[y*out.Stride+4*x:]
			q[0], q[1], q[2], q[3] = byte(r/n), byte(g/n), byte(bl/n), 255
		}
	}
	return out
}

func opaque(img *image.RGBA) {
	for i := 3; i < len(img.Pix); i += 4 {
		img.Pix[i] = 255
	}
}

// turn brings a picture upright. EXIF 1 to 8: as is, mirrored, turned half
// round, mirrored upside down, then the four that swap the sides.
func turn(img *image.RGBA, orientation int) *image.RGBA {
	if orientation <= 1 || orientation > 8 {
		return img
	}
	w, h := img.Rect.Dx(), img.Rect.Dy()
	ow, oh := w, h
	if orientation >= 5 {
		ow, oh = h, w
	}
	out := image.NewRGBA(image.Rect(0, 0, ow, oh))
	for y := range h {
		for x := range w {
			var u, v int
			switch orientation {
			case 2:
				u, v = w-1-x, y
			case 3:
				u, v = w-1-x, h-1-y
			case 4:
				u, v = x, h-1-y
			case 5:
				u, v = y, x
			case 6:
				u, v = h-1-y, x
			case 7:
				u, v = h-1-y, w-1-x
			case 8:
				u, v = y, w-1-x
			}
			copy(out.Pix[v*out.Stride+4*u:][:4], img.Pix[y*img.Stride+4*x:][:4])
		}
	}
	return out
}

// sharpness is the variance of the Laplacian of the luma (0 to 255), over the
// quarter of the picture's 8 x 8 fields that has the most of it: a document
// on a plain table is sharp where the document is.
func sharpness(img *image.RGBA) float64 {
	small := shrink(img, 1280)
	w, h := small.Rect.Dx(), small.Rect.Dy()
	luma := make([]float32, w*h)
	for i := range luma {
		p := small.Pix[4*i:]
		luma[i] = 0.299*float32(p[0]) + 0.587*float32(p[1]) + 0.114*float32(p[2])
	}
	const fields = 8
	var sum, squares, count [fields * fields]float64
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			i := y*w + x
			l := float64(luma[i-1] + luma[i+1] + luma[i-w] + luma[i+w] - 4*luma[i])
			f := y*fields/h*fields + x*fields/w
			sum[f] += l
			squares[f] += l * l
			count[f]++
		}
	}
	var variances []float64
	for f := range count {
		if count[f] > 0 {
			mean := sum[f] / count[f]
			variances = append(variances, squares[f]/count[f]-mean*mean)
		}
	}
	return upperQuarterMean(variances)
}

// upperQuarterMean is the mean of the largest quarter of the values, at least one.
func upperQuarterMean(v []float64) float64 {
	if len(v) == 0 {
		return 0
	}
	slices.Sort(v)
	top := v[len(v)*3/4:]
	sum := 0.0
	for _, x := range top {
		sum += x
	}
	return sum / float64(len(top))
}
