package engine

import (
	"context"
	"errors"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// selfies carries out the selfie check: every one must show exactly one usable
// face. It gives nil when one does not. The error is the context's.
func (r *run) selfies(ctx context.Context, list [][]byte) ([]Face, error) {
	var faces []Face
	var failed error
	r.check(api.CheckSelfie, func() finding {
		if len(list) == 0 {
			return finding{outcome: api.Fail, reason: api.ReasonSelfieMissing, detail: "There is no selfie."}
		}
		short := r.v.cfg.Thresholds.SelfieShort
		for _, b := range list {
			img, err := r.v.pictures.decode(ctx, b, selfieSide, short, short)
			if f, ok := pictureFinding(err); ok {
				faces = nil
				return f
			}
			if err != nil {
				failed = err
				return finding{}
			}
			r.examined(api.Evidence{Type: "selfie"}, b)
			face, err := r.v.faces.Selfie(img)
			if err != nil {
				faces = nil
				return r.selfieFinding(err)
			}
			faces = append(faces, face)
		}
		return finding{outcome: api.Pass, detail: "The selfie shows one face that can be used."}
	})
	if failed == nil {
		failed = ctx.Err()
	}
	return faces, failed
}

func (r *run) selfieFinding(err error) finding {
	for _, known := range []struct {
		err            error
		reason, detail string
	}{
		{ErrNoFace, api.ReasonSelfieNoFace, "No face was found in the selfie."},
		{ErrManyFaces, api.ReasonSelfieManyFaces, "The selfie shows more than one person."},
		{ErrFaceTooSmall, api.ReasonImageTooSmall, "The face in the selfie is too small; come closer."},
		{ErrFaceBlurred, api.ReasonImageBlurred, "The face in the selfie is not sharp; hold the camera still."},
		{ErrFaceUnusable, api.ReasonSelfieNoFace, "The face in the selfie cannot be used; look straight at the camera, in even light."},
	} {
		if errors.Is(err, known.err) {
			return finding{outcome: api.Fail, reason: known.reason, detail: known.detail}
		}
	}
	return r.internal(api.CheckSelfie, err)
}
