package engine

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"image"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/engine/ocr"
)

// Open makes a Verifier over the real readers, with the networks of a set
// (models.SetFull, models.SetUnencumbered) out of the cache in modelsDir. Where
// the cache is missing or was changed, or the program was built without cgo,
// the Verifier says so in every report; that is logged and no error. An error
// is an unknown set or profile. close frees the networks
// and the readers of barcodes and print.
func Open(modelsDir, set string, cfg Config) (v *Verifier, close func() error, err error) {
	if set != models.SetFull && set != models.SetUnencumbered {
		return nil, nil, fmt.Errorf("unknown set of models %q (have %s and %s)", set, models.SetFull, models.SetUnencumbered)
	}
	if _, ok := ProfileThresholds(cmp.Or(cfg.Profile, Standard), set); !ok {
		return nil, nil, fmt.Errorf("unknown profile %q (have %s, %s and %s)", cfg.Profile, Permissive, Standard, Strict)
	}
	cfg.Set = set
	v = New(zoneReader{}, nil, cfg)
	close = func() error { return nil }
	cache, err := models.Open(modelsDir)
	if err != nil {
		v.cfg.Log.Error("engine: no models, nothing can be verified", "error", err)
		return v, close, nil
	}
	faces, err := face.Open(cache, set)
	if err != nil {
		v.cfg.Log.Error("engine: models cannot be used, nothing can be verified", "error", err,
			"unavailable", errors.Is(err, face.ErrUnavailable))
		return v, close, nil
	}
	v.faces = realFaces{engine: faces, t: v.cfg.Thresholds}
	path, info, err := cache.Model("rxing")
	if err != nil {
		v.cfg.Log.Error("engine: no reader of barcodes, driving licences cannot be verified", "error", err)
		return v, faces.Close, nil
	}
	symbols := barcode.Open(path)
	v.cfg.Barcodes = realBarcodes{symbols, info}
	printed, err := openPrinted(cache)
	if err != nil {
		v.cfg.Barcodes = nil // a licence whose front is not compared is not to pass
		v.cfg.Log.Error("engine: no reader of print, driving licences cannot be verified", "error", err)
		return v, func() error { return errors.Join(faces.Close(), symbols.Close()) }, nil
	}
	v.cfg.Printed = printed
	return v, func() error { return errors.Join(faces.Close(), symbols.Close(), printed.reader.Close()) }, nil
}

// realPrinted is PrintedReader over package ocr.
type realPrinted struct {
	reader *ocr.Reader
	models []api.Model
}

func openPrinted(cache *models.Cache) (p realPrinted, err error) {
	var paths []string
	for _, name := range []string{"ppocr-det", "ppocr-rec", "ppocr-keys"} {
		path, info, err := cache.Model(name)
		if err != nil {
			return p, err
		}
		paths, p.models = append(paths, path), append(p.models, info)
	}
	p.reader, err = ocr.Open(cache.Library(), paths[0], paths[1], paths[2])
	return p, err
}

func (p realPrinted) Models() []api.Model { return p.models }

func (p realPrinted) ReadPrinted(ctx context.Context, card *image.RGBA) ([]PrintedLine, error) {
	lines, err := p.reader.Lines(ctx, card)
	var out []PrintedLine
	for _, l := range lines {
		out = append(out, PrintedLine{Text: l.Text, Confidence: l.Confidence})
	}
	return out, err
}

// realBarcodes is BarcodeReader over package barcode.
type realBarcodes struct {
	reader *barcode.Reader
	model  api.Model
}

func (b realBarcodes) Model() api.Model { return b.model }

func (b realBarcodes) ReadBarcode(ctx context.Context, img *image.RGBA) (string, error) {
	text, err := b.reader.Read(ctx, img)
	switch {
	case errors.Is(err, barcode.ErrNotFound):
		return "", ErrNoBarcode
	case errors.Is(err, barcode.ErrUnreadable):
		return "", ErrBarcodeUnreadable
	}
	return text, err
}
