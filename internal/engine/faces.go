package engine

import (
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
)

// realFaces is Faces over package face.
type realFaces struct {
	engine *face.Engine
	t      Thresholds
}

// ghostEyes is the least distance between the eyes, in pixels, at which another
// face on a document is compared with its portrait. Smaller ones, such as a
// ghost image, cannot be told apart well enough.
const ghostEyes = 24

func (r realFaces) Portrait(img *image.RGBA, page [4]image.Point) (Face, error) {
	var p face.Page
	for i, c := range page {
		p[i] = face.Point{X: float64(c.X), Y: float64(c.Y)}
	}
	found, others, err := r.engine.Portrait(img, p)
	if errors.Is(err, face.ErrNoPortrait) {
		return Face{}, ErrNoFace
	}
	if err != nil {
		return Face{}, err
	}
	if err := usable(found, face.PortraitLimits); err != nil {
		return Face{}, err
	}
	portrait, err := r.describe(img, found)
	if err != nil {
		return Face{}, err
	}
	// Somebody who holds up another person's document must not become its
	// portrait: every other face must be the same person's.
	for _, o := range others {
		if o.Quality.EyeDistance < ghostEyes {
			continue
		}
		other, err := r.describe(img, o)
		if err != nil {
			return Face{}, err
		}
		likeness, err := r.Compare(portrait, other)
		if err != nil {
			return Face{}, err
		}
		if r.t.judge(likeness) == api.Fail {
			return Face{}, ErrManyPeople
		}
	}
	return portrait, nil
}

func (r realFaces) Selfie(img *image.RGBA) (Face, error) {
	faces, err := r.engine.Detect(img)
	if err != nil {
		return Face{}, err
	}
	switch faces = face.Prominent(faces); len(faces) {
	case 0:
		return Face{}, ErrNoFace
	case 1:
	default:
		return Face{}, ErrManyFaces
	}
	if err := usable(faces[0], face.SelfieLimits); err != nil {
		return Face{}, err
	}
	return r.describe(img, faces[0])
}

// usable says what falls short of the limits, if anything does.
func usable(f face.Face, l face.Limits) error {
	short := f.Quality.Falls(l)
	switch {
	case len(short) == 0:
		return nil
	case slices.Contains(short, face.TooSmall):
		return fmt.Errorf("%w: %v", ErrFaceTooSmall, short)
	case slices.Contains(short, face.TooBlurred):
		return fmt.Errorf("%w: %v", ErrFaceBlurred, short)
	}
	return fmt.Errorf("%w: %v", ErrFaceUnusable, short)
}

func (r realFaces) describe(img *image.RGBA, f face.Face) (Face, error) {
	t, err := r.engine.Describe(img, f)
	if err != nil {
		return Face{}, err
	}
	return Face{Box: f.Box, Roll: f.Quality.Roll, Template: t}, nil
}

func (r realFaces) Compare(a, b Face) (Likeness, error) {
	ta, _ := a.Template.(*face.Template)
	tb, _ := b.Template.(*face.Template)
	s, err := face.Compare(ta, tb) // nil is foreign
	return Likeness{Fused: s.Fused, Cosine: s.Cosine, Distance: s.Distance, HasCosine: s.HasCosine}, foreign(err)
}

func (r realFaces) Save(f Face) ([]byte, error) {
	t, ok := f.Template.(*face.Template)
	if !ok {
		return nil, ErrForeign
	}
	return t.MarshalBinary()
}

func (r realFaces) Load(b []byte) (Face, error) {
	t, err := r.engine.Template(b)
	if err != nil {
		return Face{}, foreign(err)
	}
	return Face{Template: t}, nil
}

// foreign makes one error of what speaks against a template.
func foreign(err error) error {
	if errors.Is(err, face.ErrForeign) || errors.Is(err, face.ErrTemplate) {
		return fmt.Errorf("%w: %w", ErrForeign, err)
	}
	return err
}

func (r realFaces) Models() []api.Model { return r.engine.Models() }
