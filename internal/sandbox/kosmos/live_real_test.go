package kosmos_test

import (
	"bytes"
	"context"
	"fmt"
	"image"
	"testing"
	"time"

	realengine "github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	facenets "github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// drawing is the real engine, with a challenge that needs both turns and the eyes.
type drawing struct{ *realengine.Verifier }

func (d drawing) Challenge(ctx context.Context) (*api.Challenge, error) {
	c, err := d.Verifier.Challenge(ctx)
	if err == nil {
		c.Actions = []string{api.ActionStraight, api.ActionLeft, api.ActionBlink, api.ActionRight, api.ActionStraight}
	}
	return c, err
}

// play shows somebody to the camera, four frames a second, until the sequence ends
// or half a minute is over.
func (s *server) play(page, account string, see func(action string, since, total time.Duration) *image.RGBA) act {
	s.t.Helper()
	a := s.begin(page, s.claim(page, account))
	index, since := 0, time.Duration(0)
	for at := time.Duration(0); at < 30*time.Second; at += 250 * time.Millisecond {
		if a.Index != index {
			index, since = a.Index, at
		}
		s.clock.add(250 * time.Millisecond)
		frame := specimen.JPEG(see(a.Action, at-since, at), 88)
		if a = s.rawFrame(page, fmt.Sprintf("?n=%d&t=%d", index, at.Milliseconds()), frame); a.Done || a.Over || a.status != 200 {
			break
		}
	}
	return a
}

// With the real engine: a rendered head gets through a proofing and a step-up,
// which is an injection that succeeds; a picture held up and turned in its place
// does not, and neither does another person's head.
func TestLiveForReal(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	v, faces, dir := real(t)
	cache, err := models.Open(dir)
	if err != nil {
		t.Fatal(err)
	}
	eyes, err := facenets.Open(cache, facenets.SetFull)
	if err != nil {
		t.Fatal(err)
	}
	type seen = func(action string, since, total time.Duration) *image.RGBA
	build := func(name string) *specimen.Head {
		f, _ := specimen.FindFace(faces, name)
		found, err := eyes.Detect(f.Selfie())
		if err != nil || len(found) != 1 {
			t.Fatalf("%s: %d faces, %v", name, len(found), err)
		}
		mesh := make([]specimen.Point3, len(found[0].Mesh))
		for i, p := range found[0].Mesh {
			mesh[i] = specimen.Point3{X: float64(p.X), Y: float64(p.Y), Z: float64(p.Z)}
		}
		h, err := specimen.NewHead(f.Selfie(), mesh)
		if err != nil {
			t.Fatal(err)
		}
		return h
	}
	n := uint64(0)
	head := func(h *specimen.Head) seen {
		return func(action string, since, total time.Duration) *image.RGBA {
			n++
			return h.Frame(specimen.Act(action, since, total), specimen.Camera{}, 3, n)
		}
	}
	flat := func(h *specimen.Head) seen {
		photo := h.Frame(specimen.Pose{}, specimen.Camera{W: 960, H: 960, Noise: 0.1}, 3, 1)
		return func(action string, since, total time.Duration) *image.RGBA {
			n++
			p := specimen.Act(action, since, total)
			p.Yaw, p.EyesClosed = 1.5*p.Yaw, 0
			return specimen.Flat{Photo: photo, Width: 5.9}.Frame(p, specimen.Camera{}, 3, n)
		}
	}
	f, _ := specimen.FindFace(faces, "3b")
	somebody, another := build("3b"), build("6a")
	passport, _ := specimen.Passport(f.Portrait()).Render()
	front := specimen.JPEG(specimen.Photograph(passport, 1, 7), 92)
	s := start(t, drawing{v}, func(o *kosmos.Options) {
		o.StepUpLiveness, o.EngineTimeout, o.StepUpTTL = api.LivenessActive, 2*time.Minute, time.Hour
	})
	prove := func(see seen, tries int) (act, []byte) {
		id := s.create("active", "ppt_object", map[string]string{"username": aliceName})
		body, ct := form(map[string]string{"enrol": "yes"})
		s.act(id, "start", body, ct)
		s.upload(id, "front", front)
		a := s.play("/idproofing/session/"+id, "", see)
		for ; tries > 1 && a.Reason == api.ReasonLivenessIncomplete && a.AttemptsLeft > 0; tries-- {
			t.Logf("once more: %s", a.Message)
			a = s.play("/idproofing/session/"+id, "", see)
		}
		s.act(id, "submit", nil, "")
		s.WaitJudged()
		return a, s.result("v3", "active", id)
	}
	a, b := prove(flat(somebody), 1)
	if a.Done && a.Reason == "" || bytes.Contains(b, []byte(`"SUCCESS"`)) {
		t.Errorf("a picture: %+v", a)
	}
	t.Logf("a picture: %s, over %v, at action %d", a.Reason, a.Over, a.Index)
	a, b = prove(head(somebody), 3)
	if !a.Done || a.Reason != "" || !bytes.Contains(b, []byte(`"SUCCESS"`)) || !bytes.Contains(b, []byte(`"enrolled":true`)) {
		t.Fatalf("a rendered head: %+v %.600s", a, b)
	}
	for name, c := range map[string]struct {
		see   seen
		state string
	}{"a rendered head": {head(somebody), "match"}, "a picture": {flat(somebody), "open"}, "another head": {head(another), "open"}} {
		id := s.session("Face")
		a := s.play("/authenticator/"+id, aliceName, c.see)
		if c.state == "match" && a.Reason == api.ReasonLivenessIncomplete {
			a = s.play("/authenticator/"+id, aliceName, c.see)
		}
		if a.State != c.state || c.state == "open" && a.AttemptsLeft == 3 && a.Index > 0 {
			t.Errorf("%s in a step-up: %+v", name, a)
		}
		t.Logf("%s in a step-up: %s %s, at action %d", name, a.State, a.Reason, a.Index)
	}
}
