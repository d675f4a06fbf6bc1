package engine

import (
	"context"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// What package eval needs to measure faces apart from verdicts: the faces that the
// checks document_portrait and selfie found, found in no other way than for a
// verdict.

// Examine is Document, with the face of the portrait; nil where there is none.
func (v *Verifier) Examine(ctx context.Context, req *api.DocumentRequest) (*api.Report, *Face, error) {
	r := v.run(documentChecks)
	if v.faces == nil {
		return r.withoutModels(), nil, nil
	}
	face, err := r.document(ctx, req.DocumentTypes, req.DocumentFront, req.DocumentBack, req.DocumentMore)
	if err != nil {
		return nil, nil, err
	}
	return r.report(""), face, nil
}

// Look is Selfie, with the face; nil where there is none that can be used.
func (v *Verifier) Look(ctx context.Context, req *api.SelfieRequest) (*api.Report, *Face, error) {
	r := v.run(selfieChecks)
	if v.faces == nil {
		return r.withoutModels(), nil, nil
	}
	faces, err := r.selfies(ctx, [][]byte{req.Selfie}, false)
	if err != nil {
		return nil, nil, err
	}
	rep := r.report("")
	if len(faces) == 0 {
		return rep, nil, nil
	}
	return rep, &faces[0], nil
}

// Compare says how alike two faces of this Verifier are.
func (v *Verifier) Compare(a, b Face) (Likeness, error) {
	if v.faces == nil {
		return Likeness{}, ErrForeign
	}
	return v.faces.Compare(a, b)
}

// Judge is what a face match comes to at these thresholds.
func (t Thresholds) Judge(l Likeness) api.Outcome { return t.judge(l) }
