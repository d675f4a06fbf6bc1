package engine

import (
	"context"
	"errors"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Match says whether somebody is the person of earlier templates, by the rule of
// api.MatchRequest. The error is the context's; all else is in the report.
//
// A request with both selfies and probes, which the service refuses, needs all of
// them alike; one with neither, or without references, cannot pass.
func (v *Verifier) Match(ctx context.Context, req *api.MatchRequest) (*api.Report, error) {
	names := matchChecks
	pictures := len(req.Selfies) > 0 || len(req.Probes) == 0 || req.LivenessMode != api.LivenessNone
	if pictures {
		names = slices.Concat(selfieChecks, matchChecks)
	}
	r := v.run(slices.Concat(names, livenessChecks[req.LivenessMode]))
	if !knownLiveness(req.LivenessMode) {
		return r.withoutLiveness(), nil
	}
	if v.faces == nil {
		return r.withoutModels(), nil
	}
	var faces []Face
	if pictures {
		selfies, frames, err := r.alive(ctx, req.LivenessMode, req.Selfies, req.Liveness)
		if err != nil {
			return nil, err
		}
		if faces, err = r.selfies(ctx, selfies, frames); err != nil {
			return nil, err
		}
		if frames && len(faces) > 0 {
			r.selfie = selfies[0]
		}
		if len(faces) == 0 {
			return r.report(""), nil
		}
	}
	r.check(api.CheckFaceMatch, func() finding {
		f, err := r.matchTemplates(faces, req.Probes, req.References)
		switch {
		case errors.Is(err, ErrForeign):
			return finding{outcome: api.CannotTell, reason: api.ReasonTemplateForeign,
				detail: "The faces cannot be compared: a template was made by other models than the engine has now, or is none."}
		case err != nil:
			return r.internal(api.CheckFaceMatch, err)
		}
		return f
	})
	return r.report(""), nil
}

var referenceWords = sentences{
	"This is the person of the reference.",
	"This is somebody else than the person of the reference.",
	"The face and the reference are neither alike nor unlike enough; try again in better light, without glasses.",
}

// matchTemplates compares faces and probes with the references. The first one
// decides unless it leaves the answer open; then the first other that passes
// does. One that is foreign and not the first decides nothing.
func (r *run) matchTemplates(faces []Face, probes, references [][]byte) (finding, error) {
	for _, b := range probes {
		f, err := r.v.faces.Load(b)
		if err != nil {
			return finding{}, err
		}
		r.examined(api.Evidence{Type: "probe"}, b)
		faces = append(faces, f)
	}
	if len(faces) == 0 || len(references) == 0 {
		return finding{}, ErrForeign // nothing to compare
	}
	var open finding
	for i, b := range references {
		reference, err := r.v.faces.Load(b)
		if i > 0 && errors.Is(err, ErrForeign) {
			continue
		}
		if err != nil {
			return finding{}, err
		}
		outcome, worst, _, err := r.compare(reference, faces)
		if err != nil {
			return finding{}, err
		}
		r.examined(api.Evidence{Type: "reference"}, b)
		f := r.likeness(outcome, worst, referenceWords)
		if outcome == api.Pass || i == 0 && outcome == api.Fail {
			return f, nil
		}
		if i == 0 {
			open = f
		}
	}
	return open, nil
}
