package material

import (
	"context"
	"errors"
	"image"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// Open gives the tools over the models in modelsDir. Errors are those of
// models.Open and face.Open.
func Open(modelsDir string) (t Tools, close func() error, err error) {
	cache, err := models.Open(modelsDir)
	if err != nil {
		return Tools{}, nil, err
	}
	finder, err := face.Open(cache, face.SetFull)
	if err != nil {
		return Tools{}, nil, err
	}
	symbol, _, err := cache.Model("rxing")
	if err != nil {
		return Tools{}, nil, errors.Join(err, finder.Close())
	}
	v, closeEngine, err := engine.Open(modelsDir, models.SetFull, engine.Config{})
	if err != nil {
		return Tools{}, nil, errors.Join(err, finder.Close())
	}
	symbols := barcode.Open(symbol)
	t = Tools{
		Mesh: func(photo image.Image) ([]specimen.Point3, error) {
			found, err := finder.Detect(photo)
			if err != nil {
				return nil, err
			}
			if found = face.Prominent(found); len(found) != 1 || found[0].Mesh == nil {
				return nil, errors.New("the photo does not show one face from the front")
			}
			mesh := make([]specimen.Point3, len(found[0].Mesh))
			for i, p := range found[0].Mesh {
				mesh[i] = specimen.Point3(p)
			}
			return mesh, nil
		},
		Barcode: func(ctx context.Context, text string) (image.Image, error) { return symbols.Encode(ctx, text, 5) },
		Frame:   v.Frame,
	}
	return t, func() error { return errors.Join(finder.Close(), symbols.Close(), closeEngine()) }, nil
}
