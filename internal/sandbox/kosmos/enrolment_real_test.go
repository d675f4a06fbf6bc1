// Rendering and recognising takes minutes under the race detector, and there is
// nothing concurrent here.

//go:build !race

package kosmos_test

import (
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
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "..", "bin", "models")
	}
	where, err := specimen.FacesDir()
	if err != nil {
		t.Skipf("no test faces (npm ci in models/, or KOSMOSCOPE_MODEL_PACKAGES): %v", err)
	}
	faces, err := specimen.Faces(where)
	if err != nil {
		t.Fatal(err)
	}
	v, done, err := realengine.Open(dir, models.SetFull, realengine.Config{Version: "test"})
	if err != nil {
		t.Skipf("no models (make build, or KOSMOSCOPE_MODELS): %v", err)
	}
	t.Cleanup(func() { done() })
	if _, present := v.Models(); !present {
		t.Skip("the models cannot be used: built without cgo")
	}
	made := func(portrait, selfie, number, surname string) *person {
		p, okP := specimen.FindFace(faces, portrait)
		s, okS := specimen.FindFace(faces, selfie)
		if !okP || !okS {
			t.Fatal("no such faces")
		}
		d := specimen.Passport(p.Portrait())
		if number != "" {
			d.Number, d.Surname = number, surname
		}
		front, _ := d.Render()
		return &person{front: specimen.JPEG(specimen.Photograph(front, 1, 7), 92), selfie: specimen.JPEG(s.Selfie(), 92)}
	}
	victim, renewed := made("1c", "3b", "", ""), made("1c", "3b", "X12345678", "NEWNAME")
	attacker, forged := made("3a", "3a", "E99999999", "EVESON"), made("3a", "3a", "", "")

	s := start(t, v, func(o *kosmos.Options) { o.EngineTimeout = 2 * time.Minute })
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
	if state, b := s.proofFor("default", "victim", renewed, true); state != "SUCCESS" || !b.enrolled() || s.rows(walletRows) == before {
		t.Errorf("the victim with another document: %s %+v", state, b)
	}
}
