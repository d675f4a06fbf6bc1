package engine

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"image"
	"image/color"
	"image/jpeg"
	"image/png"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// corners is a picture whose four quarters are red, green, blue and white.
func corners(w, h int) *image.RGBA {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{255, 0, 0, 255}
			switch {
			case x >= w/2 && y < h/2:
				c = color.RGBA{0, 255, 0, 255}
			case x < w/2 && y >= h/2:
				c = color.RGBA{0, 0, 255, 255}
			case x >= w/2 && y >= h/2:
				c = color.RGBA{255, 255, 255, 255}
			}
			img.SetRGBA(x, y, c)
		}
	}
	return img
}

// name reads the quarters back: top left, top right, bottom left, bottom right.
func quarters(img *image.RGBA) string {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	s := ""
	for _, p := range []image.Point{{w / 4, h / 4}, {3 * w / 4, h / 4}, {w / 4, 3 * h / 4}, {3 * w / 4, 3 * h / 4}} {
		switch c := img.RGBAAt(p.X, p.Y); {
		case c.R > 128 && c.G > 128:
			s += "w"
		case c.R > 128:
			s += "r"
		case c.G > 128:
			s += "g"
		default:
			s += "b"
		}
	}
	return s
}

// withExif puts an APP1 segment with an orientation behind the start of a JPEG.
func withExif(jpg []byte, o binary.AppendByteOrder, orientation uint16) []byte {
	t := []byte("II*\x00")
	if o == binary.BigEndian {
		t = []byte("MM\x00*")
	}
	t = o.AppendUint32(t, 8)
	t = o.AppendUint16(t, 2)
	for _, e := range [][2]uint16{{0x010f, 7}, {0x0112, orientation}} {
		t = o.AppendUint16(t, e[0])
		t = o.AppendUint16(t, 3)
		t = o.AppendUint32(t, 1)
		t = o.AppendUint16(t, e[1])
		t = append(t, 0, 0)
	}
	body := append([]byte("Exif\x00\x00"), t...)
	seg := binary.BigEndian.AppendUint16([]byte{0xff, 0xe1}, uint16(len(body)+2))
	return bytes.Join([][]byte{jpg[:2], seg, body, jpg[2:]}, nil)
}

func jpegOf(img image.Image) []byte {
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func pngOf(img image.Image) []byte {
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func TestOrientation(t *testing.T) {
	jpg := jpegOf(corners(64, 32))
	for orientation, want := range map[uint16]string{
		0: "rgbw", 1: "rgbw", 2: "grwb", 3: "wbgr", 4: "bwrg", 5: "rbgw", 6: "brwg", 7: "wgbr", 8: "gwrb", 9: "rgbw", 300: "rgbw",
	} {
		for _, o := range []binary.AppendByteOrder{binary.LittleEndian, binary.BigEndian} {
			img, err := newDecoder().decode(t.Context(), withExif(jpg, o, orientation), 100, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := quarters(img); got != want {
				t.Errorf("orientation %d, %v: %s, want %s", orientation, o, got, want)
			}
			if swapped := img.Rect.Dx() < img.Rect.Dy(); swapped != (orientation >= 5 && orientation <= 8) {
				t.Errorf("orientation %d: %v", orientation, img.Rect)
			}
		}
	}
}

func TestShrink(t *testing.T) {
	for _, c := range []struct{ w, h, max, ow, oh int }{
		{100, 50, 100, 100, 50}, {101, 50, 100, 50, 25}, {4032, 3024, 2600, 2016, 1512}, {7, 1000, 100, 1, 100}, {3, 3, 1, 1, 1}, {2, 1000, 100, 1, 100},
	} {
		for _, src := range []image.Image{corners(c.w, c.h), image.NewYCbCr(image.Rect(0, 0, c.w, c.h), image.YCbCrSubsampleRatio420), image.NewGray16(image.Rect(0, 0, c.w, c.h))} {
			out := shrink(src, c.max)
			if out.Rect.Dx() != c.ow || out.Rect.Dy() != c.oh {
				t.Errorf("%dx%d to %d: %v", c.w, c.h, c.max, out.Rect)
			}
			for i := 3; i < len(out.Pix); i += 4 {
				if out.Pix[i] != 255 {
					t.Fatal("not opaque")
				}
			}
		}
	}
	if got := quarters(shrink(corners(400, 300), 90)); got != "rgbw" {
		t.Error(got)
	}
	sub := corners(400, 300).SubImage(image.Rect(200, 150, 400, 300)).(*image.RGBA)
	if got := quarters(shrink(sub, 50)); got != "wwww" {
		t.Errorf("a part of a picture: %s", got)
	}
}

// bomb is a PNG that states a size and has no data for it.
func bomb(w, h uint32, depth, kind byte) []byte {
	body := binary.BigEndian.AppendUint32([]byte("IHDR"), w)
	body = binary.BigEndian.AppendUint32(body, h)
	body = append(body, depth, kind, 0, 0, 0)
	out := binary.BigEndian.AppendUint32([]byte("\x89PNG\r\n\x1a\n"), 13)
	out = append(out, body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE(body))
}

func TestDecodeRefuses(t *testing.T) {
	jpg := jpegOf(corners(64, 32))
	for name, c := range map[string]struct {
		b      []byte
		reason string
	}{
		"nothing":          {nil, api.ReasonImageUnreadable},
		"text":             {[]byte("hello"), api.ReasonImageUnreadable},
		"gif":              {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), api.ReasonImageUnreadable},
		"jpeg cut off":     {jpg[:len(jpg)/2], api.ReasonImageUnreadable},
		"jpeg header only": {[]byte("\xff\xd8\xff\xe0"), api.ReasonImageUnreadable},
		"png without data": {bomb(100, 100, 8, 2), api.ReasonImageUnreadable},
		"bomb":             {bomb(50000, 50000, 8, 2), api.ReasonImageTooLarge},
		"bomb, long":       {bomb(40_000_001, 1, 8, 0), api.ReasonImageTooLarge},
		"bomb, greatest":   {bomb(0x7fffffff, 0x7fffffff, 16, 6), api.ReasonImageUnreadable},
		"bytes":            {append(bytes.Clone(jpg), make([]byte, maxBytes)...), api.ReasonImageTooLarge},
		"small":            {pngOf(corners(19, 64)), api.ReasonImageTooSmall},
		"no pixels":        {bomb(0, 10, 8, 2), api.ReasonImageUnreadable},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := newDecoder().decode(t.Context(), c.b, 100, 30, 20)
			var p *pictureError
			if !errors.As(err, &p) || p.reason != c.reason {
				t.Errorf("%v, %v, want %s", img, err, c.reason)
			}
		})
	}
}

// progressive is a grey progressive JPEG of one colour with a number of scans
// that say nothing: its tables have one code each, so that all data is zeros.
func progressive(w, h, scans int) []byte {
	out := []byte("\xff\xd8\xff\xdb\x00\x43\x00")
	for range 64 {
		out = append(out, 1)
	}
	out = append(out, "\xff\xc2\x00\x0b\x08"...)
	out = binary.BigEndian.AppendUint16(out, uint16(h))
	out = binary.BigEndian.AppendUint16(out, uint16(w))
	out = append(out, 1, 1, 0x11, 0)
	for _, t := range [][2]byte{{0x00, 0x00}, {0x10, 0xe0}} { // DC: no difference; AC: the next 2^14 blocks end here
		out = append(out, 0xff, 0xc4, 0, 20, t[0], 1)
		out = append(out, make([]byte, 15)...)
		out = append(out, t[1])
	}
	blocks := ((w + 7) / 8) * ((h + 7) / 8)
	out = append(out, 0xff, 0xda, 0, 8, 1, 1, 0, 0, 0, 0)
	out = append(out, make([]byte, blocks/8+1)...)
	for range scans - 1 {
		out = append(out, 0xff, 0xda, 0, 8, 1, 1, 0, 1, 63, 0)
		out = append(out, make([]byte, (blocks/(1<<14)+1)*15/8+1)...)
	}
	return append(out, 0xff, 0xd9)
}

func TestScans(t *testing.T) {
	for n, ok := range map[int]bool{1: true, 10: true, maxScans: true, maxScans + 1: false, 5000: false} {
		img, err := newDecoder().decode(t.Context(), progressive(64, 64, n), 100, 1, 1)
		var p *pictureError
		if ok && err != nil || !ok && (!errors.As(err, &p) || p.reason != api.ReasonImageUnreadable) {
			t.Errorf("%d scans: %v, %v", n, img != nil, err)
		}
	}
	// Scans behind rubbish and fill bytes count as well: decoders skip those. What
	// is behind the end does not, and no decoder gets to see it.
	one := progressive(64, 64, 1)
	scan := one[bytes.Index(one, []byte{0xff, 0xda}) : len(one)-2]
	many := bytes.Clone(one[:len(one)-2])
	for range maxScans {
		many = append(append(many, "rubbish\xff\x00\xff\xd0\xff\xff"...), scan[1:]...)
	}
	if n, end := scans(many); n != maxScans+1 || end != len(many) {
		t.Errorf("%d scans up to %d, want %d up to %d", n, end, maxScans+1, len(many))
	}
	if n, end := scans(append(bytes.Clone(one), many...)); n != 1 || end != len(one) {
		t.Errorf("%d scans up to %d, want 1 up to %d", n, end, len(one))
	}
}

// TestManyScansTakeNoTime: the picture that kept a worker busy for an hour.
func TestManyScansTakeNoTime(t *testing.T) {
	b := progressive(7000, 5000, 150_000)
	if len(b) > maxBytes {
		t.Fatalf("%d bytes", len(b))
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	var p *pictureError
	if _, err := newDecoder().decode(ctx, b, 2600, 1, 1); !errors.As(err, &p) || p.reason != api.ReasonImageUnreadable {
		t.Error(err)
	}
	// And past the count, the deadline ends the reading.
	b = progressive(1600, 1200, 100_000)
	ctx, cancel = context.WithTimeout(t.Context(), 500*time.Millisecond)
	defer cancel()
	start := time.Now()
	if _, err := jpeg.Decode(&watchfulReader{ctx, b}); !errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	t.Logf("ended after %v", time.Since(start))
}

// endsAfter is a context that ends after some looks at it.
type endsAfter struct {
	context.Context
	looks int
}

func (c *endsAfter) Err() error {
	if c.looks--; c.looks < 0 {
		return context.DeadlineExceeded
	}
	return nil
}

func TestDecodeWatchesItsContext(t *testing.T) {
	noise := image.NewGray(image.Rect(0, 0, 300, 300))
	for i := range noise.Pix {
		noise.Pix[i] = byte(i * i >> 3)
	}
	for name, b := range map[string][]byte{"jpeg": jpegOf(noise), "png": pngOf(noise), "progressive": progressive(640, 480, maxScans)} {
		for looks := range 4 {
			ctx := &endsAfter{t.Context(), looks}
			if img, err := newDecoder().decode(ctx, b, 1000, 1, 1); !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("%s, %d looks: %v, %v", name, looks, img != nil, err)
			}
		}
		if _, err := newDecoder().decode(t.Context(), b, 1000, 1, 1); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestDecodeWaitsForMemory(t *testing.T) {
	d := newDecoder()
	if err := d.budget.Acquire(t.Context(), maxDecoded); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := d.decode(ctx, jpegOf(corners(64, 32)), 100, 1, 1); !errors.Is(err, context.Canceled) {
		t.Errorf("decoded beyond the budget: %v", err)
	}
	d.budget.Release(maxDecoded)
	if _, err := d.decode(t.Context(), jpegOf(corners(64, 32)), 100, 1, 1); err != nil {
		t.Error(err)
	}
}

func TestMemoryEstimate(t *testing.T) {
	for name, c := range map[string]struct {
		b    []byte
		want float64
	}{
		"jpeg 4:2:0": {jpegOf(corners(64, 32)), 1.5},
		"jpeg grey":  {jpegOf(image.NewGray(image.Rect(0, 0, 64, 32))), 1},
		"png":        {pngOf(corners(64, 32)), 4},
		"png 16 bit": {pngOf(image.NewNRGBA64(image.Rect(0, 0, 64, 32))), 8},
		// A progressive frame header in front of a scan: coefficients are held too.
		"progressive 4:4:4": {[]byte("\xff\xd8\xff\xc2\x00\x11\x08\x00\x20\x00\x40\x03\x01\x11\x00\x02\x11\x00\x03\x11\x00\xff\xda\x00\x08"), 15},
	} {
		h, err := inspect(c.b)
		if err != nil || h.perPixel != c.want {
			t.Errorf("%s: %v bytes a pixel, want %v (%v)", name, h.perPixel, c.want, err)
		}
	}
}

// Pictures of corners(64, 32): lossy, lossless, and lossy with EXIF orientation 6.
// They were written by libwebp 1.2.4.
var (
	webpLossy    = from64("UklGRnwAAABXRUJQVlA4IHAAAAAwBQCdASpAACAAPrVInEunJCKht+gA4BaJZADAJQA1KnoH4q/kB0Y29536DhIT7ekmwAD+7L2M7OvhHfrne/VFK5KQuvD0S9kpfzb7m33NvvnStWfP9Ec7kfYbP/M9JPn5tP8RDp/cVuIIeEEllzAA")
	webpLossless = from64("UklGRjgAAABXRUJQVlA4TCwAAAAvP8AHAB8gEEjeHzqN+RcQFPwf3fxHZA+ASIDEk570pIlMjej/BAyLvoJHXw==")
	webpTurned   = from64("UklGRqwAAABXRUJQVlA4WAoAAAAIAAAAPwAAHwAAVlA4IHAAAAAwBQCdASpAACAAPrVInEunJCKht+gA4BaJZADAJQA1KnoH4q/kB0Y29536DhIT7ekmwAD+7L2M7OvhHfrne/VFK5KQuvD0S9kpfzb7m33NvvnStWfP9Ec7kfYbP/M9JPn5tP8RDp/cVuIIeEEllzAARVhJRhYAAABJSSoACAAAAAEAEgEDAAEAAAAGAAAA")
)

func from64(s string) []byte {
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		panic(err)
	}
	return b
}

// chunk is a PNG chunk.
func chunk(kind, body string) []byte {
	out := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	out = append(append(out, kind...), body...)
	return binary.BigEndian.AppendUint32(out, crc32.ChecksumIEEE([]byte(kind+body)))
}

// withChunk puts a chunk behind the header of a PNG.
func withChunk(b []byte, kind, body string) []byte {
	return bytes.Join([][]byte{b[:33], chunk(kind, body), b[33:]}, nil)
}

// riff is a WebP file of chunks.
func riff(chunks ...string) []byte {
	body := "WEBP" + strings.Join(chunks, "")
	return append(binary.LittleEndian.AppendUint32([]byte("RIFF"), uint32(len(body))), body...)
}

// inks is a 16 x 8 JPEG of four components whose left and right half have one
// value in each, 1 or 255: what Adobe's programs write for print (Adobe TN 5116).
func inks(transform byte, left, right [4]int) []byte {
	out := append([]byte("\xff\xd8\xff\xee\x00\x0eAdobe\x00\x64\x00\x00\x00\x00"), transform)
	out = append(out, "\xff\xdb\x00\x43\x00"...)
	for range 64 {
		out = append(out, 8) // a step of the DC coefficient is a grey level
	}
	out = append(out, "\xff\xc0\x00\x14\x08\x00\x08\x00\x10\x04\x01\x11\x00\x02\x11\x00\x03\x11\x00\x04\x11\x00"...)
	// DC: 0, 10 and 110 for differences of 0, 7 and 8 bits. AC: 0 ends the block.
	out = append(out, "\xff\xc4\x00\x16\x00\x01\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x07\x08"...)
	out = append(out, "\xff\xc4\x00\x14\x10\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00"...)
	out = append(out, "\xff\xda\x00\x0e\x04\x01\x00\x02\x00\x03\x00\x04\x00\x00\x3f\x00"...)
	bits := ""
	for i := range 2 {
		for k := range 4 {
			d := [][4]int{left, right}[i][k] - 128
			if i == 1 {
				d = right[k] - left[k]
			}
			size, code := 7, "10"
			if d == 0 {
				bits += "00"
				continue
			}
			if max(d, -d) > 127 {
				size, code = 8, "110"
			}
			if d < 0 {
				d += 1<<size - 1
			}
			bits += code + fmt.Sprintf("%0*b", size, d) + "0"
		}
	}
	for bits += "1111111"; len(bits) >= 8; bits = bits[8:] {
		v, _ := strconv.ParseUint(bits[:8], 2, 8)
		if out = append(out, byte(v)); v == 0xff {
			out = append(out, 0)
		}
	}
	return append(out, 0xff, 0xd9)
}

// TestFormats: what is read, and how it comes out.
func TestFormats(t *testing.T) {
	deep := image.NewNRGBA64(image.Rect(0, 0, 64, 32))
	grey := image.NewGray16(deep.Rect)
	clear := image.NewNRGBA(deep.Rect)
	for y := range 32 {
		for x := range 64 {
			c := corners(64, 32).RGBAAt(x, y)
			deep.Set(x, y, c)
			grey.Set(x, y, c)
			clear.Set(x, y, color.NRGBA{c.R, c.G, c.B, 200})
		}
	}
	film := append([]byte("....ftypmp42"), bytes.Repeat([]byte("\xff\xda\x00\x02film"), 500)...)
	turned := string(withExif(make([]byte, 2), binary.LittleEndian, 6))
	turned = turned[strings.Index(turned, "II*"):]
	for name, c := range map[string]struct {
		b    []byte
		want string
	}{
		"png, 16 bits":                    {pngOf(deep), "rgbw"},
		"png, 16 bits grey":               {pngOf(grey), "bwbw"}, // green is bright enough for white, red is not
		"png, half transparent":           {pngOf(clear), "rgbw"},
		"png, turned":                     {withChunk(pngOf(corners(64, 32)), "eXIf", turned), "brwg"},
		"png, behind its end a page":      {append(pngOf(corners(64, 32)), "<html><script>alert(1)</script>"...), "rgbw"},
		"jpeg, behind its end a film":     {append(jpegOf(corners(64, 32)), film...), "rgbw"},
		"jpeg, behind its end an archive": {append(jpegOf(corners(64, 32)), "PK\x03\x04\x14\x00PK\x05\x06"...), "rgbw"},
		"jpeg, behind its end another":    {append(jpegOf(corners(64, 32)), jpegOf(image.NewGray(image.Rect(0, 0, 900, 900)))...), "rgbw"},
		"webp, lossy":                     {webpLossy, "rgbw"},
		"webp, lossless":                  {webpLossless, "rgbw"},
		"webp, turned":                    {webpTurned, "brwg"},
		"webp, behind its end a page":     {append(bytes.Clone(webpLossy), "<html>"...), "rgbw"},
		// Adobe writes inks inverted: 255 is no ink.
		"cmyk, inverted":  {inks(0, [4]int{255, 1, 1, 255}, [4]int{255, 255, 255, 255}), "rwrw"},
		"cmyk, all black": {inks(0, [4]int{255, 255, 255, 1}, [4]int{1, 1, 255, 255}), "bbbb"},
		"ycck":            {inks(2, [4]int{255, 128, 128, 255}, [4]int{1, 128, 128, 255}), "bwbw"},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := newDecoder().decode(t.Context(), c.b, 100, 1, 1)
			if err != nil {
				t.Fatal(err)
			}
			if got := quarters(img); got != c.want {
				t.Errorf("%s, want %s; %v", got, c.want, img.RGBAAt(img.Rect.Dx()/4, img.Rect.Dy()/4))
			}
		})
	}
}

// TestNamedRefusals: a person hears what was sent, not only that it was wrong.
func TestNamedRefusals(t *testing.T) {
	cut := bytes.Clone(webpLossy)
	binary.LittleEndian.PutUint32(cut[16:], 1<<30) // the chunk that the decoder would make room for
	for name, c := range map[string]struct {
		b            []byte
		reason, says string
	}{
		"gif":               {[]byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), api.ReasonImageUnreadable, "a GIF"},
		"heic":              {[]byte("\x00\x00\x00\x18ftypheic\x00\x00\x00\x00"), api.ReasonImageUnreadable, "a HEIC"},
		"avif":              {[]byte("\x00\x00\x00\x18ftypavif\x00\x00\x00\x00"), api.ReasonImageUnreadable, "an AVIF"},
		"film":              {[]byte("\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00"), api.ReasonImageUnreadable, "a film"},
		"pdf":               {[]byte("%PDF-1.7"), api.ReasonImageUnreadable, "a PDF"},
		"tiff":              {[]byte("II*\x00\x08\x00\x00\x00"), api.ReasonImageUnreadable, "a TIFF"},
		"svg":               {[]byte("<svg xmlns='http://www.w3.org/2000/svg'/>"), api.ReasonImageUnreadable, "no format"},
		"page, then jpeg":   {append([]byte("<html>"), jpegOf(corners(64, 32))...), api.ReasonImageUnreadable, "no format"},
		"archive":           {[]byte("PK\x03\x04"), api.ReasonImageUnreadable, "no format"},
		"animated png":      {withChunk(pngOf(corners(64, 32)), "acTL", "\x00\x00\x00\x02\x00\x00\x00\x00"), api.ReasonImageUnreadable, "animated"},
		"animated webp":     {riff("VP8X\x0a\x00\x00\x00\x02\x00\x00\x00\x3f\x00\x00\x1f\x00\x00", "ANIM\x06\x00\x00\x00\x00\x00\x00\x00\x00\x00", string(webpLossy[12:])), api.ReasonImageUnreadable, "animated"},
		"hidden animation":  {riff("ANMF\x00\x00\x00\x00", string(webpLossy[12:])), api.ReasonImageUnreadable, "animated"},
		"webp cut off":      {webpLossy[:100], api.ReasonImageUnreadable, "broken"},
		"webp, no data":     {riff("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x3f\x00\x00\x1f\x00\x00"), api.ReasonImageUnreadable, "broken"},
		"webp, long chunk":  {cut, api.ReasonImageUnreadable, "broken"},
		"webp bomb":         {riff("VP8L\x06\x00\x00\x00\x2f\xff\xff\xff\x0f\x00"), api.ReasonImageTooLarge, "million pixels"},
		"webp, other sizes": {riff("VP8X\x0a\x00\x00\x00\x00\x00\x00\x00\x4f\x00\x00\x1f\x00\x00", string(webpLossy[12:])), api.ReasonImageUnreadable, "broken"},
		"one pixel":         {pngOf(corners(1, 1)), api.ReasonImageTooSmall, "at least 30 x 20"},
		"one pixel, webp":   {riff("VP8L\x06\x00\x00\x00\x2f\x00\x00\x00\x00\x00"), api.ReasonImageTooSmall, "at least 30 x 20"},
		"100 megapixels":    {bomb(10_000, 10_000, 8, 2), api.ReasonImageTooLarge, "million pixels"},
	} {
		t.Run(name, func(t *testing.T) {
			img, err := newDecoder().decode(t.Context(), c.b, 100, 30, 20)
			var p *pictureError
			if !errors.As(err, &p) || p.reason != c.reason || !strings.Contains(p.detail, c.says) {
				t.Errorf("%v, %v, want %s: ... %s", img != nil, err, c.reason, c.says)
			}
		})
	}
}

// TestInksOfNobody: four components that nobody says the meaning of are refused.
func TestInksOfNobody(t *testing.T) {
	b := bytes.Replace(inks(0, [4]int{1, 1, 1, 1}, [4]int{1, 1, 1, 1}), []byte("Adobe"), []byte("Nobod"), 1)
	var p *pictureError
	if _, err := newDecoder().decode(t.Context(), b, 100, 1, 1); !errors.As(err, &p) || p.reason != api.ReasonImageUnreadable {
		t.Error(err)
	}
}

// FuzzPicture: any bytes end in an upright picture of bounded size or in one of
// the four reasons, within the bounds.
func FuzzPicture(f *testing.F) {
	jpg := jpegOf(corners(64, 32))
	f.Add(withExif(jpg, binary.BigEndian, 6))
	f.Add(withExif(jpg, binary.LittleEndian, 3))
	f.Add(pngOf(corners(20, 20)))
	f.Add(bomb(5, 5, 8, 2))
	f.Add(progressive(32, 32, 3))
	f.Add(inks(2, [4]int{255, 1, 128, 255}, [4]int{1, 1, 1, 1}))
	f.Add(webpLossy)
	f.Add(webpLossless)
	f.Add(webpTurned)
	f.Add(withChunk(pngOf(corners(20, 20)), "eXIf", "MM\x00*\x00\x00\x00\x08"))
	f.Add([]byte("\xff\xd8\xff\xe1\x00\x10Exif\x00\x00MM\x00*\x00\x00\x00\x08"))
	d := newDecoder()
	f.Fuzz(func(t *testing.T, b []byte) {
		if h, err := inspect(b); err == nil && h.width*h.height > 1<<20 {
			return // slow, and nothing new
		}
		img, err := d.decode(t.Context(), b, 50, 2, 2)
		var p *pictureError
		if err != nil && !errors.As(err, &p) {
			t.Fatal(err)
		}
		if err == nil && max(img.Rect.Dx(), img.Rect.Dy()) > 50 {
			t.Fatal(img.Rect)
		}
	})
}

func TestPageAround(t *testing.T) {
	// A TD3 page of 1250 x 880 with its zone 66 from the left, turned by a quarter.
	flat := [4]image.Point{{66, 700}, {1184, 700}, {1184, 800}, {66, 800}}
	z := &Zone{Corners: flat}
	z.Document.Format = "TD3"
	page := pageAround(z, generous)
	if page[0].X > 0 || page[0].Y > 20 || page[2].X < 1250 || page[2].Y < 860 {
		t.Errorf("%v does not hold the page", page)
	}
	if page[0].X < -200 || page[0].Y < -250 || page[2].X > 1450 || page[2].Y > 1130 {
		t.Errorf("%v is far larger than the page", page)
	}
	for i, p := range flat {
		z.Corners[i] = image.Pt(-p.Y, p.X)
	}
	for i, p := range pageAround(z, generous) {
		if want := image.Pt(-page[i].Y, page[i].X); max(p.X-want.X, want.X-p.X, p.Y-want.Y, want.Y-p.Y) > 1 {
			t.Errorf("turned: %v, want %v", p, want)
		}
	}
}
