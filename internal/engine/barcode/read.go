package barcode

import (
	"context"
	"errors"
	"image"
)

// Errors of Read: nothing like a symbol in the picture, or one that no try could
// read.
var (
	ErrNotFound   = errors.New("barcode: no symbol found")
	ErrUnreadable = errors.New("barcode: the symbol cannot be read")
)

// Reader reads symbols. It is safe for concurrent use.
type Reader struct {
	ready   chan struct{} // closed when program and err are set
	program *program
	err     error
}

// Open makes a Reader with the program in the file path, rxing_wasm_bg.wasm of npm
// rxing-wasm 0.5.7; whoever calls has checked that it is that. It is compiled in
// the background, which takes about a second; Read and Encode wait for that, and
// give the error if there is one.
func Open(path string) *Reader {
	r := &Reader{ready: make(chan struct{})}
	go func() {
		defer close(r.ready)
		r.program, r.err = load(path)
	}()
	return r
}

// Close frees the program. No call may be under way.
func (r *Reader) Close() error {
	<-r.ready
	if r.err != nil {
		return nil
	}
	return r.program.close()
}

func (r *Reader) loaded(ctx context.Context) (*program, error) {
	select {
	case <-r.ready:
		return r.program, r.err
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

// try is one way to prepare a symbol: sharpened so many times across the bars, rows
// drawn k times as long, and of every thin rows of pixels one kept. Without
// sharpening it is the plain grey cut.
type try struct {
	sharpen float32
	k, thin int
}

// tries are in the order that is fastest over all: on 64 photos of all four levels
// of the recipe the first alone read all, in half the time of the second.
var tries = []try{{4, 2, 2}, {4, 3, 1}, {2, 3, 2}, {0, 1, 1}}

const (
	// widest is the width, pixels, to which a symbol is cut out at most. The
	// densest symbols have some 350 modules in a row.
	widest = 1500
	// smoothing along the bars, part of the symbol's width: about a quarter of the
	// height of a row of the densest symbols, whose rows are three modules high.
	smoothing = 0.0025
	// softness is the blur that sharpening assumes, pixels.
	softness = 1.8
)

// Read gives the text of the PDF417 symbol in a picture, in UTF-8. At most two
// places and eight tries are made. Errors are ErrNotFound, ErrUnreadable, the
// context's, or of a program that could not be loaded.
func (r *Reader) Read(ctx context.Context, img *image.RGBA) (string, error) {
	p, err := r.loaded(ctx)
	if err != nil {
		return "", err
	}
	luma := lumaOf(img)
	regions := locate(luma)
	if len(regions) == 0 {
		return "", ErrNotFound
	}
	for _, place := range regions {
		cut := place.cut(luma, widest)
		for _, t := range tries {
			text, found, err := p.decode(ctx, t.prepare(cut))
			if ctx.Err() != nil {
				return "", ctx.Err()
			}
			// A program that broke on a picture has not read it.
			if err == nil && found {
				return text, nil
			}
		}
	}
	return "", ErrUnreadable
}

func (t try) prepare(cut plane) *image.Gray {
	if t.sharpen == 0 {
		return cut.gray(1, 0)
	}
	w := cut.w
	p := cut.blurDown(smoothing*float64(w)).every(t.thin).even(max(w/30, 4), max(w/50/t.thin, 4)).sharpen(softness, t.sharpen)
	return p.widen(t.k).gray(1e4, 128) // black and white
}

// Encode draws a text as a PDF417 symbol of a level of error correction from 0 to
// 8, without a quiet zone, one pixel a module. It is for specimens.
func (r *Reader) Encode(ctx context.Context, text string, correction int) (*image.Gray, error) {
	p, err := r.loaded(ctx)
	if err != nil {
		return nil, err
	}
	return p.encode(ctx, text, correction)
}
