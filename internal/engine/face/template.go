package face

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// ErrTemplate is bytes that are no template. ErrForeign is a template that this
// engine cannot compare: of other models, of another version of the format, or
// none at all. Neither says anything about the person.
var (
	ErrTemplate = errors.New("face: not a template")
	ErrForeign  = errors.New("face: template of other models")
)

// Template describes one face in numbers that can be compared with [Compare].
// It is personal data of the most sensitive kind: it is not logged or kept here,
// and who keeps its bytes seals them.
type Template struct {
	made   origin
	dlib   []float32 // 128 values
	mobile []float32 // 192 values of length 1; nil in the unencumbered set
}

// origin is a fingerprint of the models that made a template: all of them, for
// detector and mesh decide how a face is aligned, and the measured thresholds
// hold for the set and not for one of its parts.
type origin [16]byte

func originOf(list []api.Model) origin {
	h := sha256.New()
	for _, m := range list {
		fmt.Fprintf(h, "%s %s\n", m.Name, m.SHA256)
	}
	return origin(h.Sum(nil)) // the first half of the sum
}

// A template as bytes, numbers big-endian:
//
//	"KFT"            3
//	version          1   templateVersion
//	origin          16   of the models
//	embeddings       1   1: dlib; 2: dlib and MobileFaceNet
//	values           4 each, IEEE 754: 128, then 192 if there are two
//
// The version changes with this layout, and also when pictures are prepared for
// the networks in another way, since the models' fingerprint does not show that.
const (
	templateMagic   = "KFT"
	templateVersion = 1
	templateHead    = len(templateMagic) + 1 + len(origin{}) + 1
)

// MaxTemplate is the length in bytes of the longest template of this version.
const MaxTemplate = templateHead + 4*(dlibLength+mobileLength)

// MarshalBinary gives the template in a form to keep: 533 or 1301 bytes, in
// which every number is exact. The error is ErrTemplate, for a template that
// Describe did not make.
func (t *Template) MarshalBinary() ([]byte, error) {
	if err := t.check(); err != nil {
		return nil, err
	}
	b := make([]byte, 0, MaxTemplate)
	b = append(b, templateMagic...)
	b = append(b, templateVersion)
	b = append(b, t.made[:]...)
	b = append(b, t.embeddings())
	for _, list := range [][]float32{t.dlib, t.mobile} {
		for _, v := range list {
			b = binary.BigEndian.AppendUint32(b, math.Float32bits(v))
		}
	}
	return b, nil
}

func (t *Template) embeddings() byte {
	if len(t.mobile) > 0 {
		return 2
	}
	return 1
}

// UnmarshalTemplate reads what MarshalBinary wrote, whatever models made it, and
// takes nothing else: the same bytes come out again. Errors are ErrTemplate, and
// ErrForeign for another version. [Engine.Template] also asks for the models.
func UnmarshalTemplate(b []byte) (*Template, error) {
	if len(b) < templateHead || string(b[:len(templateMagic)]) != templateMagic {
		return nil, ErrTemplate
	}
	b = b[len(templateMagic):]
	if b[0] != templateVersion {
		return nil, fmt.Errorf("%w: version %d of the format, this is %d", ErrForeign, b[0], templateVersion)
	}
	t := &Template{made: origin(b[1:])}
	embeddings, values := b[1+len(t.made)], b[1+len(t.made)+1:]
	lengths := map[byte]int{1: dlibLength, 2: dlibLength + mobileLength}
	if n, ok := lengths[embeddings]; !ok || len(values) != 4*n {
		return nil, fmt.Errorf("%w: wrong length", ErrTemplate)
	}
	list := make([]float32, len(values)/4)
	for i := range list {
		list[i] = math.Float32frombits(binary.BigEndian.Uint32(values[4*i:]))
	}
	t.dlib = list[:dlibLength:dlibLength]
	if embeddings == 2 {
		t.mobile = list[dlibLength:]
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	return t, nil
}

// lengthSlack is how far the second embedding's length may be from 1: rounding
// to float32 leaves less than a millionth.
const lengthSlack = 1e-4

// check refuses numbers that no face has. A second embedding longer than 1 would
// be like anybody.
func (t *Template) check() error {
	if t == nil || len(t.dlib) != dlibLength || len(t.mobile) != 0 && len(t.mobile) != mobileLength {
		return fmt.Errorf("%w: wrong length", ErrTemplate)
	}
	for _, list := range [][]float32{t.dlib, t.mobile} {
		for _, v := range list {
			if !finite(float64(v)) {
				return fmt.Errorf("%w: a value is no number", ErrTemplate)
			}
		}
	}
	if len(t.mobile) > 0 && math.Abs(math.Sqrt(dot(t.mobile, t.mobile))-1) > lengthSlack {
		return fmt.Errorf("%w: the second embedding is not of length 1", ErrTemplate)
	}
	return nil
}

// Template reads a template that these very models made. Errors are ErrTemplate
// and ErrForeign.
func (e *Engine) Template(b []byte) (*Template, error) {
	t, err := UnmarshalTemplate(b)
	if err != nil {
		return nil, err
	}
	if t.made != e.made || (len(t.mobile) > 0) != (e.second != nil) {
		return nil, ErrForeign
	}
	return t, nil
}

const printed = "face template"

// String hides the numbers.
func (Template) String() string { return printed }

// GoString hides the numbers.
func (Template) GoString() string { return printed }

// Format hides the numbers from every verb of package fmt.
func (Template) Format(s fmt.State, _ rune) { _, _ = io.WriteString(s, printed) }

// LogValue hides the numbers from package slog.
func (Template) LogValue() slog.Value { return slog.StringValue(printed) }
