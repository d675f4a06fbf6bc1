package engine

import (
	"errors"
	"fmt"
	"image"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
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
	f, err := r.one(img)
	if err != nil {
		return Face{}, err
	}
	if err := usable(f, face.SelfieLimits); err != nil {
		return Face{}, err
	}
	return r.describe(img, f)
}

// one gives the one person's face in a picture.
func (r realFaces) one(img *image.RGBA) (face.Face, error) {
	faces, err := r.engine.Detect(img)
	if err != nil {
		return face.Face{}, err
	}
	switch faces = face.Prominent(faces); len(faces) {
	case 0:
		return face.Face{}, ErrNoFace
	case 1:
		return faces[0], nil
	}
	return face.Face{}, ErrManyFaces
}

func (r realFaces) Observe(img *image.RGBA) (Seen, error) {
	f, err := r.one(img)
	if err != nil {
		return Seen{}, err
	}
	if f.Mesh == nil { // from the side
		return Seen{}, ErrNoFace
	}
	q := f.Quality
	s := Seen{Found: f, Face: liveness.Face{Mesh: make([]liveness.Point, len(f.Mesh)), EyeDistance: q.EyeDistance, Yaw: q.Yaw, Pitch: q.Pitch,
		Roll: q.Roll, Asymmetry: q.Asymmetry, Sharpness: q.Sharpness, Brightness: q.Brightness, Clipped: q.Clipped}}
	for i, p := range f.Mesh {
		s.Face.Mesh[i] = liveness.Point(p)
	}
	return s, nil
}

func (r realFaces) Describe(img *image.RGBA, s Seen) (Face, error) {
	f, ok := s.Found.(face.Face)
	if !ok {
		return Face{}, ErrNoFace
	}
	return r.describe(img, f)
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
	switch short[0] { // nothing else is wrong, then
	case face.EyesHidden:
		return fmt.Errorf("%w: %v", ErrEyesHidden, short)
	case face.MouthHidden:
		return fmt.Errorf("%w: %v", ErrMouthHidden, short)
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
