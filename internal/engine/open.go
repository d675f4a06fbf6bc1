package engine

import (
	"errors"
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

// Open makes a Verifier over the real readers, with the networks of a set
// (models.SetFull, models.SetUnencumbered) out of the cache in modelsDir. Where
// the cache is missing or was changed, or the program was built without cgo,
// the Verifier says so in every report; that is logged and no error. An error
// is an unknown set. close frees the networks.
func Open(modelsDir, set string, cfg Config) (v *Verifier, close func() error, err error) {
	if set != models.SetFull && set != models.SetUnencumbered {
		return nil, nil, fmt.Errorf("unknown set of models %q (have %s and %s)", set, models.SetFull, models.SetUnencumbered)
	}
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
	return v, faces.Close, nil
}
