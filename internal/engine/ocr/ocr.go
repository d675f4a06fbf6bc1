package ocr

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"
	"math"
	"os"
	"slices"
	"strings"
	"unicode/utf8"

	"golang.org/x/image/draw"
	"golang.org/x/sync/semaphore"

	"github.com/kosmoscope/kosmoscope/internal/engine/onnx"
)

const (
	// MaxLines bounds the lines that are read on one card.
	MaxLines = 24

	detWidth  = 640 // of the card for the first net, pixels; its height is a multiple of 32
	recHeight = 48  // of a line for the second net
	recWidth  = 640 // of a line at most

	// As PP-OCR's own post-processing has them: what counts as text, the mean of a
	// rectangle, and by how much its area over its perimeter it is grown.
	pixelText = 0.3
	boxText   = 0.6
	unclip    = 1.5
)

// Line is one line of text. Confidence is the mean of the probabilities of its
// characters, 0 to 1. Box is on the card.
type Line struct {
	Text       string
	Confidence float64
	Box        image.Rectangle
}

// ErrNaN says that a net answered with a value that is no number. What is printed
// is unknown then, also where the other values would make a text.
var ErrNaN = errors.New("ocr: a net gave a value that is no number")

// session computes one net: [onnx.Session].
type session interface {
	Run(inputs ...onnx.Tensor) ([]onnx.Tensor, error)
	Close() error
}

// Reader reads lines. It is safe for concurrent use; one card is read at a time,
// because the nets take some 130 MB for it.
type Reader struct {
	det, rec session
	slots    *semaphore.Weighted
	keys     []string // by class; empty for what is no Latin text
}

// Open loads the networks det and rec, and the characters that rec knows, one a
// line, with the ONNX Runtime at library. Errors are onnx's, or of the file keys.
func Open(library, det, rec, keys string) (*Reader, error) {
	b, err := os.ReadFile(keys)
	if err != nil {
		return nil, fmt.Errorf("ocr: %w", err)
	}
	finds, err := onnx.Open(library, det)
	if err != nil {
		return nil, fmt.Errorf("ocr: %w", err)
	}
	reads, err := onnx.Open(library, rec)
	if err != nil {
		return nil, errors.Join(fmt.Errorf("ocr: %w", err), finds.Close())
	}
	return &Reader{det: finds, rec: reads, keys: latin(string(b)), slots: semaphore.NewWeighted(1)}, nil
}

// Close frees the networks.
func (r *Reader) Close() error { return errors.Join(r.det.Close(), r.rec.Close()) }

// latin gives the characters by the net's class: 0 is none, then the file's lines,
// then the blank. Everything beyond the Latin letters becomes none.
func latin(file string) []string {
	keys := append([]string{""}, strings.Split(strings.TrimRight(file, "\r\n"), "\n")...)
	for i, k := range keys {
		k = strings.TrimRight(k, "\r")
		if c, n := utf8.DecodeRuneInString(k); n != len(k) || c > 'ɏ' {
			k = ""
		}
		keys[i] = k
	}
	return append(keys, " ")
}

// Lines reads a card. Errors are the context's, ErrNaN, or onnx's.
func (r *Reader) Lines(ctx context.Context, card *image.RGBA) ([]Line, error) {
	if card.Rect.Dx() < 32 || card.Rect.Dy() < 32 {
		return nil, nil
	}
	if err := r.slots.Acquire(ctx, 1); err != nil {
		return nil, err
	}
	defer r.slots.Release(1)
	boxes, err := r.find(card)
	if err != nil {
		return nil, err
	}
	var lines []Line
	for _, b := range boxes {
		if err := ctx.Err(); err != nil {
			return nil, err
		}
		l, err := r.read(card, b)
		if err != nil {
			return nil, err
		}
		if l.Text != "" {
			lines = append(lines, l)
		}
	}
	return lines, ctx.Err()
}

// input makes a tensor [1,3,h,w] of a part of a picture, blue first as the nets
// were trained: (v/255 - mean) / deviation.
func input(img *image.RGBA, part image.Rectangle, w, h int, mean, deviation [3]float32) onnx.Tensor {
	small := image.NewRGBA(image.Rect(0, 0, w, h))
	draw.BiLinear.Scale(small, small.Rect, img, part, draw.Src, nil)
	t := onnx.Tensor{Shape: []int64{1, 3, int64(h), int64(w)}, Data: make([]float32, 3*w*h)}
	for i := range w * h {
		for c := range 3 {
			t.Data[c*w*h+i] = (float32(small.Pix[4*i+2-c])/255 - mean[c]) / deviation[c]
		}
	}
	return t
}

// run computes a net that has one answer. The error is ErrNaN, or onnx's.
func run(net session, in onnx.Tensor) (onnx.Tensor, error) {
	out, err := net.Run(in)
	if err != nil {
		return onnx.Tensor{}, fmt.Errorf("ocr: %w", err)
	}
	if len(out) != 1 {
		return onnx.Tensor{}, errors.New("ocr: a net has not one answer")
	}
	for _, v := range out[0].Data {
		if f := float64(v); math.IsNaN(f) || math.IsInf(f, 0) {
			return onnx.Tensor{}, ErrNaN
		}
	}
	return out[0], nil
}

// find gives rectangles around lines of text, the largest first.
func (r *Reader) find(card *image.RGBA) ([]image.Rectangle, error) {
	w := detWidth
	h := min(max((w*card.Rect.Dy()/card.Rect.Dx()+31)/32*32, 32), 2*detWidth)
	out, err := run(r.det, input(card, card.Rect, w, h, [3]float32{0.485, 0.456, 0.406}, [3]float32{0.229, 0.224, 0.225}))
	if err != nil {
		return nil, err
	}
	if len(out.Data) != w*h {
		return nil, errors.New("ocr: the net that finds text answers something else")
	}
	text := out.Data
	seen := make([]bool, w*h)
	sx, sy := float64(card.Rect.Dx())/float64(w), float64(card.Rect.Dy())/float64(h)
	var boxes []image.Rectangle
	for start, v := range text {
		if seen[start] || !(v > pixelText) {
			continue
		}
		seen[start] = true
		part := []int{start}
		box := image.Rect(start%w, start/w, start%w+1, start/w+1)
		var sum float64
		for k := 0; k < len(part); k++ {
			i := part[k]
			x, y := i%w, i/w
			sum += float64(text[i])
			box = box.Union(image.Rect(x, y, x+1, y+1))
			for _, n := range [4][2]int{{x - 1, y}, {x + 1, y}, {x, y - 1}, {x, y + 1}} {
				if j := n[1]*w + n[0]; n[0] >= 0 && n[1] >= 0 && n[0] < w && n[1] < h && !seen[j] && text[j] > pixelText {
					seen[j] = true
					part = append(part, j)
				}
			}
		}
		bw, bh := float64(box.Dx()), float64(box.Dy())
		if box.Dy() < 3 || box.Dx() < 3 || sum/float64(len(part)) < boxText {
			continue
		}
		grow := bw * bh * unclip / (2 * (bw + bh))
		b := image.Rect(int((float64(box.Min.X)-grow)*sx), int((float64(box.Min.Y)-grow)*sy),
			int(math.Ceil((float64(box.Max.X)+grow)*sx)), int(math.Ceil((float64(box.Max.Y)+grow)*sy))).Add(card.Rect.Min).Intersect(card.Rect)
		if b.Dx() >= 8 && b.Dy() >= 8 {
			boxes = append(boxes, b)
		}
	}
	slices.SortStableFunc(boxes, func(a, b image.Rectangle) int { return cmp.Compare(b.Dx()*b.Dy(), a.Dx()*a.Dy()) })
	return boxes[:min(len(boxes), MaxLines)], nil
}

// read reads one line.
func (r *Reader) read(card *image.RGBA, box image.Rectangle) (Line, error) {
	w := min(max(box.Dx()*recHeight/box.Dy(), recHeight), recWidth)
	half := [3]float32{0.5, 0.5, 0.5}
	out, err := run(r.rec, input(card, box, w, recHeight, half, half))
	if err != nil {
		return Line{}, err
	}
	if len(out.Shape) != 3 || out.Shape[2] != int64(len(r.keys)) {
		return Line{}, errors.New("ocr: the net that reads a line answers something else")
	}
	l := Line{Box: box}
	classes, last, n := len(r.keys), 0, 0
	var b strings.Builder
	for step := range int(out.Shape[1]) {
		p := out.Data[step*classes : (step+1)*classes]
		best := 0
		for c, v := range p {
			if (c == 0 || r.keys[c] != "") && v > p[best] {
				best = c
			}
		}
		if best != last && best > 0 {
			b.WriteString(r.keys[best])
			l.Confidence += float64(p[best])
			n++
		}
		last = best
	}
	if n > 0 {
		l.Confidence /= float64(n)
	}
	l.Text = strings.TrimSpace(b.String())
	return l, nil
}
