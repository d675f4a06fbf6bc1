package face_test

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/face"
)

// made writes a template's bytes by hand, as template.go documents them: one
// embedding or two, with the second along its first axis.
func made(embeddings byte) []byte {
	b := append([]byte("KFT\x01"), bytes.Repeat([]byte{7}, 16)...)
	b = append(b, embeddings)
	for i := range 128 {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(float32(i)/100))
	}
	if embeddings == 2 {
		b = binary.BigEndian.AppendUint32(b, math.Float32bits(1))
		b = append(b, make([]byte, 4*191)...)
	}
	return b
}

func with(b []byte, at int, v float64) []byte {
	b = bytes.Clone(b)
	binary.BigEndian.PutUint32(b[at:], math.Float32bits(float32(v)))
	return b
}

func TestUnmarshalTemplate(t *testing.T) {
	const dlib, mobile = 21, 21 + 4*128
	one, two := made(1), made(2)
	if len(one) != 533 || len(two) != face.MaxTemplate || face.MaxTemplate != 1301 {
		t.Fatalf("%d and %d bytes, at most %d", len(one), len(two), face.MaxTemplate)
	}
	change := func(b []byte, at int, to byte) []byte { b = bytes.Clone(b); b[at] = to; return b }
	for _, c := range []struct {
		name string
		b    []byte
		err  error
	}{
		{"one embedding", one, nil},
		{"two embeddings", two, nil},
		{"minus zero", with(two, dlib, math.Copysign(0, -1)), nil},
		{"nothing", nil, face.ErrTemplate},
		{"only a name", []byte("KFT"), face.ErrTemplate},
		{"only a head", one[:21], face.ErrTemplate},
		{"another name", change(two, 0, 'k'), face.ErrTemplate},
		{"a later version", change(two, 3, 2), face.ErrForeign},
		{"no embedding", change(two, 20, 0), face.ErrTemplate},
		{"three embeddings", change(two, 20, 3), face.ErrTemplate},
		{"one short", two[:len(two)-1], face.ErrTemplate},
		{"one more", append(bytes.Clone(two), 0), face.ErrTemplate},
		{"two called one", change(two, 20, 1), face.ErrTemplate},
		{"one called two", change(one, 20, 2), face.ErrTemplate},
		{"not a number", with(one, dlib+8, math.NaN()), face.ErrTemplate},
		{"infinite", with(two, dlib, math.Inf(1)), face.ErrTemplate},
		{"infinite, second", with(two, mobile+4, math.Inf(-1)), face.ErrTemplate},
		{"second too long", with(two, mobile, 1000), face.ErrTemplate},
		{"second too short", with(two, mobile, 0), face.ErrTemplate},
		{"a picture", []byte("\xff\xd8\xff\xe0" + strings.Repeat("x", 1297)), face.ErrTemplate},
	} {
		t.Run(c.name, func(t *testing.T) {
			got, err := face.UnmarshalTemplate(c.b)
			if !errors.Is(err, c.err) || (got == nil) != (c.err != nil) {
				t.Fatalf("%v, %v; want %v", got, err, c.err)
			}
			if got == nil {
				return
			}
			if b, err := got.MarshalBinary(); err != nil || !bytes.Equal(b, c.b) {
				t.Errorf("other bytes come out, %v", err)
			}
		})
	}
	for _, empty := range []*face.Template{nil, {}} {
		if b, err := empty.MarshalBinary(); !errors.Is(err, face.ErrTemplate) || b != nil {
			t.Errorf("an empty template gives %d bytes, %v", len(b), err)
		}
	}
}

func TestTemplatesDoNotPrint(t *testing.T) {
	d, err := face.UnmarshalTemplate(made(2))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range []any{d, *d} {
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%d", "%x", "%f", "%08b"} {
			if got := fmt.Sprintf(verb, v); got != "face template" {
				t.Errorf("%s prints %d characters", verb, len(got))
			}
		}
		if got := fmt.Sprintf("%+v", struct{ T any }{v}); got != "{T:face template}" {
			t.Errorf("inside a struct: %d characters", len(got))
		}
		if b, err := json.Marshal(v); err != nil || string(b) != "{}" {
			t.Errorf("JSON of %d bytes, %v", len(b), err)
		}
		var text, object bytes.Buffer
		slog.New(slog.NewTextHandler(&text, nil)).Info("m", "t", v)
		slog.New(slog.NewJSONHandler(&object, nil)).Info("m", "t", v)
		if !strings.HasSuffix(text.String(), "t=\"face template\"\n") || !strings.HasSuffix(object.String(), "\"t\":\"face template\"}\n") {
			t.Errorf("logs have %d and %d bytes", text.Len(), object.Len())
		}
	}
	if d.String() != "face template" || d.GoString() != "face template" {
		t.Error("called by name, it prints something else")
	}
}

// TestTemplateRoundTrip: what was kept scores exactly as what was not.
func TestTemplateRoundTrip(t *testing.T) {
	for set, size := range map[string]int{face.SetFull: 1301, face.SetUnencumbered: 533} {
		t.Run(set, func(t *testing.T) {
			e := open(t, set)
			img := sample(t, 3)
			var fresh, kept []*face.Template
			for _, f := range detect(t, e, img) {
				d := describe(t, e, img, f)
				b, err := d.MarshalBinary()
				if err != nil || len(b) != size {
					t.Fatalf("%d bytes, %v", len(b), err)
				}
				k, err := e.Template(b)
				if err != nil {
					t.Fatal(err)
				}
				if again, err := k.MarshalBinary(); err != nil || !bytes.Equal(again, b) {
					t.Errorf("other bytes, %v", err)
				}
				fresh, kept = append(fresh, d), append(kept, k)
			}
			for i, a := range fresh {
				for j, b := range fresh {
					want := compare(t, a, b)
					for _, got := range []face.Score{compare(t, kept[i], kept[j]), compare(t, kept[i], b), compare(t, a, kept[j])} {
						if got != want {
							t.Errorf("%+v, fresh %+v", got, want)
						}
					}
				}
			}
		})
	}
}

func TestEngineRefusesForeignTemplates(t *testing.T) {
	full, one := open(t, face.SetFull), open(t, face.SetUnencumbered)
	bytesOf := func(e *face.Engine) []byte {
		img := sample(t, 3)
		b, err := describe(t, e, img, detect(t, e, img)[0]).MarshalBinary()
		if err != nil {
			t.Fatal(err)
		}
		return b
	}
	ofFull, ofOne := bytesOf(full), bytesOf(one)
	// stripped claims to be of the full set and lacks its second embedding: the
	// first alone would be the easier test.
	stripped := bytes.Clone(ofFull[:533])
	stripped[20] = 1
	for name, c := range map[string]struct {
		e   *face.Engine
		b   []byte
		err error
	}{
		"own":                    {full, ofFull, nil},
		"own, unencumbered":      {one, ofOne, nil},
		"of the smaller set":     {full, ofOne, face.ErrForeign},
		"of the larger set":      {one, ofFull, face.ErrForeign},
		"by hand":                {full, made(2), face.ErrForeign},
		"without second":         {full, stripped, face.ErrForeign},
		"nothing":                {full, nil, face.ErrTemplate},
		"the name of the models": {full, append([]byte("KFT\x01"), ofFull[4:20]...), face.ErrTemplate},
	} {
		if got, err := c.e.Template(c.b); !errors.Is(err, c.err) || (got == nil) != (c.err != nil) {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.err)
		}
	}
	black := image.NewRGBA(image.Rect(0, 0, 300, 300))
	if d, err := full.Describe(black, face.Face{}); err == nil || d != nil {
		t.Errorf("a template of no face: %v", err)
	}
}

func FuzzUnmarshalTemplate(f *testing.F) {
	one, two := made(1), made(2)
	for _, b := range [][]byte{nil, one, two, one[:100], append(bytes.Clone(two), 1), with(two, 21, math.NaN()), with(two, 21+512, 3)} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := face.UnmarshalTemplate(b)
		if err != nil {
			if got != nil || !errors.Is(err, face.ErrTemplate) && !errors.Is(err, face.ErrForeign) {
				t.Errorf("%v, %v", got, err)
			}
			return
		}
		again, err := got.MarshalBinary()
		if err != nil || !bytes.Equal(again, b) {
			t.Errorf("other bytes come out, %v", err)
		}
		s, err := face.Compare(got, got)
		if err != nil || s.Distance != 0 || s.HasCosine && math.Abs(s.Cosine-1) > 1e-3 {
			t.Errorf("a face and itself: %+v, %v", s, err)
		}
	})
}
