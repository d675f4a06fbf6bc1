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
	"math"
	"slices"

	"golang.org/x/image/webp"
	"golang.org/x/sync/semaphore"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/outline"
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

// decode reads a JPEG, PNG or WebP, turns it upright as its EXIF orientation says,
// and shrinks it by a whole number so that no side is longer than maxSide
// pixels. minLong and minShort are the least sides it must have before that.
// The error is a *pictureError, or the context's.
func (d decoder) decode(ctx context.Context, b []byte, maxSide, minLong, minShort int) (*image.RGBA, error) {
	if len(b) > maxBytes {
		return nil, &pictureError{api.ReasonImageTooLarge, fmt.Sprintf("The picture has more than %d MB.", maxBytes>>20)}
	}
	h, err := inspect(b)
	if err != nil {
		detail := "The picture is broken."
		if f := (formatError)(""); errors.As(err, &f) {
			detail = string(f)
		}
		return nil, &pictureError{api.ReasonImageUnreadable, detail}
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
	img, err := h.read(&watchfulReader{ctx, b[:h.end]})
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
	besides       int64   // bytes that it takes whatever the size
	orientation   int     // EXIF 1 to 8
	end           int     // bytes of the file that are the picture; the decoder sees no others
}

func (h header) memory() int64 {
	return int64(float64(h.width)*float64(h.height)*h.perPixel) + h.besides + 1<<16
}

// formatError is a sentence about a file that is none of the formats read here.
type formatError string

func (e formatError) Error() string { return string(e) }

const animated = formatError("The picture is animated; a still photo is needed.")

// inspect reads what a file says about itself. Bytes behind the end of the
// picture are ignored, since phones put films and second pictures there;
// nothing here or behind looks at them.
func inspect(b []byte) (header, error) {
	switch {
	case bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")):
		return pngHeader(b)
	case bytes.HasPrefix(b, []byte("\xff\xd8\xff")):
		c, err := jpeg.DecodeConfig(bytes.NewReader(b))
		if err != nil {
			return header{}, err
		}
		h := header{width: c.Width, height: c.Height, read: jpeg.Decode}
		var n int
		if n, h.end = scans(b); n > maxScans {
			return header{}, errors.New("too many scans")
		}
		h.perPixel, h.orientation = jpegHeader(b)
		return h.valid()
	case len(b) >= 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP":
		return webpHeader(b)
	}
	return header{}, formatError("The picture is " + nameOf(b) + "; a JPEG, PNG or WebP is needed.")
}

// nameOf tells formats that people do send from other files.
func nameOf(b []byte) string {
	for _, f := range []struct {
		at          int
		magic, name string
	}{
		{0, "GIF8", "a GIF"}, {0, "BM", "a BMP"}, {0, "II*\x00", "a TIFF"}, {0, "MM\x00*", "a TIFF"}, {0, "%PDF", "a PDF"},
		{4, "ftypavi", "an AVIF"}, {4, "ftyphe", "a HEIC"}, {4, "ftypmi", "a HEIC"}, {4, "ftyp", "a film"},
		{0, "\xff\x0a", "a JPEG XL"}, {0, "\x00\x00\x00\x0cJXL ", "a JPEG XL"}, {0, "\x00\x00\x00\x0cjP  ", "a JPEG 2000"},
	} {
		if len(b) >= f.at && bytes.HasPrefix(b[f.at:], []byte(f.magic)) {
			return f.name
		}
	}
	return "of no format that is known here"
}

// pngHeader walks the chunks to the end of the picture: an animation says so
// before the first data (acTL, PNG third edition, 11.3.4.1), and the
// orientation is in eXIf.
func pngHeader(b []byte) (header, error) {
	c, err := png.DecodeConfig(bytes.NewReader(b))
	if err != nil {
		return header{}, err
	}
	h := header{width: c.Width, height: c.Height, orientation: 1, perPixel: 4, read: png.Decode, end: len(b)}
	switch c.ColorModel {
	case color.RGBA64Model, color.NRGBA64Model:
		h.perPixel = 8
	}
	if len(b) > 28 && b[28] != 0 { // interlaced: passes are held beside the whole
		h.perPixel *= 2
	}
	for at := 8; at+12 <= len(b); {
		n, kind := int64(binary.BigEndian.Uint32(b[at:])), string(b[at+4:at+8])
		next := int64(at) + 12 + n
		if next > int64(len(b)) {
			break // cut off: decoding will say so
		}
		switch kind {
		case "acTL":
			return header{}, animated
		case "eXIf":
			h.orientation = exifOrientation(b[at+8 : int64(at)+8+n])
		case "IEND":
			h.end = int(next)
			return h.valid()
		}
		at = int(next)
	}
	return h.valid()
}

// hugeTables is what the tables of a lossless WebP can take: 2600 groups of
// Huffman trees, which is the most that its decoder accepts, of 50 KB each.
const hugeTables = 130 << 20

// webpHeader walks the chunks (RFC 9649, section 2). Their lengths must hold,
// because the decoder believes them.
func webpHeader(b []byte) (header, error) {
	end := 8 + int64(binary.LittleEndian.Uint32(b[4:]))
	if end > int64(len(b)) {
		return header{}, errors.New("webp: cut off")
	}
	h := header{orientation: 1, perPixel: 1.5, read: webp.Decode, end: int(end)}
	for at := int64(12); at+8 <= end; {
		n := int64(binary.LittleEndian.Uint32(b[at+4:]))
		if at+8+n > end {
			return header{}, errors.New("webp: chunk of a wrong length")
		}
		body := b[at+8 : at+8+n]
		switch string(b[at : at+4]) {
		case "VP8X":
			if n > 0 && body[0]&2 != 0 {
				return header{}, animated
			}
		case "ANIM", "ANMF":
			return header{}, animated
		case "VP8L": // the picture, and a second one while its colours are mapped
			h.perPixel, h.besides = max(h.perPixel, 8), hugeTables
		case "ALPH": // a lossless picture of its own, then one byte a pixel
			h.perPixel, h.besides = 1.5+8+1, hugeTables
		case "EXIF":
			h.orientation = exifOrientation(bytes.TrimPrefix(body, []byte("Exif\x00\x00")))
		}
		at += 8 + n + n%2
	}
	c, err := webp.DecodeConfig(bytes.NewReader(b[:end]))
	if err != nil {
		return header{}, err
	}
	h.width, h.height = c.Width, c.Height
	return h.valid()
}

func (h header) valid() (header, error) {
	if h.width < 1 || h.height < 1 {
		return header{}, errors.New("no pixels")
	}
	return h, nil
}

// scans counts the scans of a JPEG up to the marker of its end, and says where
// that end is. It counts every start-of-scan marker that is not the content of
// another segment, so never fewer than a decoder sees that is given b[:end].
func scans(b []byte) (n, end int) {
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
		case marker == 0xd9:
			return n, at + 2
		case marker == 0x00 || marker == 0x01 || marker >= 0xd0 && marker <= 0xd8: // no length
			at += 2
		case at+4 > len(b):
			return n, len(b)
		default:
			if marker == 0xda {
				n++
			}
			at += 2 + max(int(binary.BigEndian.Uint16(b[at+2:])), 2)
		}
	}
	return n, len(b)
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

// sharpness is the variance of the Laplacian of the luma (0 to 255), smoothed by
// the weights 1 2 1 either way so that the noise of a dark room does not count as
// print, over the quarter of 8 x 8 fields that has the most of it: of the
// picture, or of the document on it where its outline is known. A table may be
// sharp where the document on it is not, and so may the edge between them.
func sharpness(img *image.RGBA, on *outline.Card) float64 {
	small := shrink(img, 1280)
	w, h := small.Rect.Dx(), small.Rect.Dy()
	luma := make([]float32, w*h)
	for i := range luma {
		p := small.Pix[4*i:]
		luma[i] = 0.299*float32(p[0]) + 0.587*float32(p[1]) + 0.114*float32(p[2])
	}
	binomial(luma, w, h)
	corners := [4]outline.Point{{X: 1, Y: 1}, {X: float64(w - 1), Y: 1}, {X: float64(w - 1), Y: float64(h - 1)}, {X: 1, Y: float64(h - 1)}}
	if on != nil {
		inner, k := on.Inner(0.05), float64(w)/float64(img.Rect.Dx())
		for i, p := range inner.Corners {
			corners[i] = outline.Point{X: p.X * k, Y: p.Y * k}
		}
	}
	top, bottom := h, 0
	left, right := w, 0
	for _, p := range corners {
		top, bottom = min(top, max(int(p.Y), 1)), max(bottom, min(int(p.Y), h-1))
		left, right = min(left, max(int(p.X), 1)), max(right, min(int(p.X), w-1))
	}
	const fields = 8
	var sum, squares, count [fields * fields]float64
	for y := top; y < bottom; y++ {
		from, to := across(corners, float64(y)+0.5)
		for x := max(int(from), 1); x < min(int(to), w-1); x++ {
			i := y*w + x
			l := float64(luma[i-1] + luma[i+1] + luma[i-w] + luma[i+w] - 4*luma[i])
			f := (y-top)*fields/(bottom-top)*fields + min(max(x-left, 0)*fields/(right-left), fields-1)
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

// binomial smooths in place, along the rows and then down the columns.
func binomial(p []float32, w, h int) {
	for y := range h {
		row := p[y*w : (y+1)*w]
		last := row[0]
		for x := range w - 1 {
			now := row[x]
			row[x] = (last + 2*now + row[x+1]) / 4
			last = now
		}
	}
	above := slices.Clone(p[:w])
	for y := range h - 1 {
		for x := range w {
			i := y*w + x
			now := p[i]
			p[i] = (above[x] + 2*now + p[i+w]) / 4
			above[x] = now
		}
	}
}

// across is where a row of the picture enters a convex quadrilateral and leaves it.
func across(c [4]outline.Point, y float64) (from, to float64) {
	from, to = math.Inf(1), math.Inf(-1)
	for i, p := range c {
		q := c[(i+1)%4]
		if (p.Y > y) == (q.Y > y) {
			continue
		}
		x := p.X + (q.X-p.X)*(y-p.Y)/(q.Y-p.Y)
		from, to = min(from, x), max(to, x)
	}
	if from > to {
		return 0, 0
	}
	return from, to
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
