package engine

import (
	"context"
	"errors"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// selfies carries out the selfie check: every one must show exactly one usable
// face. It gives nil when one does not. frames says that they are frames of a
// sequence, which are evidence already; then none is no finding. The error is the
// context's.
func (r *run) selfies(ctx context.Context, list [][]byte, frames bool) ([]Face, error) {
	if frames && len(list) == 0 {
		return nil, nil // what the sequence lacks is said there
	}
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
			if !frames {
				r.examined(api.Evidence{Type: "selfie"}, b)
			}
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
		{ErrEyesHidden, api.ReasonSelfieNoFace, "The eyes in the selfie cannot be seen; take off dark glasses, and keep hands and hair away from the eyes."},
		{ErrMouthHidden, api.ReasonSelfieNoFace, "The mouth in the selfie cannot be seen; take off masks and scarfs, and keep hands away from the face."},
		{ErrFaceUnusable, api.ReasonSelfieNoFace, "The face in the selfie cannot be used; look straight at the camera, in even light."},
	} {
		if errors.Is(err, known.err) {
			return finding{outcome: api.Fail, reason: known.reason, detail: known.detail}
		}
	}
	return r.internal(api.CheckSelfie, err)
}
