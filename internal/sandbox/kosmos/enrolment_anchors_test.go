package kosmos_test

import (
	"bytes"
	"math"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// line is a crowd whose faces are points on a line: two are alike if they are at
// most 1 apart. So there is a way from every face to every other one.
func line(people ...*person) *crowd {
	c := newCrowd(people...)
	at := func(template string) float64 {
		x, err := strconv.ParseFloat(strings.TrimPrefix(template, "template of "), 64)
		if err != nil {
			return math.NaN() // is like nothing
		}
		return x
	}
	c.match = func(r *api.MatchRequest) (*api.Report, error) {
		var probes []string
		for _, p := range r.Probes {
			probes = append(probes, string(p))
		}
		for _, selfie := range r.Selfies {
			for _, p := range c.people {
				if bytes.Equal(selfie, p.selfie) {
					probes = append(probes, p.face)
				}
			}
		}
		for _, p := range probes {
			for _, ref := range r.References {
				if math.Abs(at(p)-at(string(ref))) <= 1 {
					return matched(api.Pass, ""), nil
				}
			}
		}
		return matched(api.Fail, api.ReasonFaceMismatch), nil
	}
	return c
}

// Replacing a face takes the person who was enrolled first, however the face was
// replaced since; and a step-up takes the last one, however it was before.
func TestEnrolmentAnchors(t *testing.T) {
	first := somebody("0", "0", "A1", "ANNASON")
	later := somebody("0.8", "0.7", "A2", "ANNASON")
	for name, test := range map[string]struct {
		who      *person
		conflict bool
	}{
		"like both":                                         {somebody("0.5", "9", "X", "X"), false},
		"like the last, not the first":                      {somebody("1.6", "1.6", "X", "X"), true},
		"like the first, not the last":                      {somebody("-0.5", "-0.5", "X", "X"), true},
		"last document, portrait like the last":             {somebody("-0.5", "-0.2", "A2", "ANNASON"), false},
		"last document, portrait like the first alone":      {somebody("-0.5", "-0.5", "A2", "ANNASON"), true},
		"last document, selfie not like the first portrait": {somebody("1.6", "1.2", "A2", "ANNASON"), true},
		"first document, portrait like both":                {somebody("-0.5", "0.5", "A1", "ANNASON"), true},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, line(first, later, test.who), func(o *kosmos.Options) { stepUps(o); o.StepUpTTL = time.Hour })
			for _, p := range []*person{first, later} {
				if state, b := s.proofFor("default", "anna", p, true); state != "SUCCESS" || !b.enrolled() {
					t.Fatalf("%s: %s %+v", p.face, state, b)
				}
			}
			before := s.rows(walletRows)
			state, b := s.proofFor("default", "anna", test.who, true)
			if conflict := state == "FAILED" && b.Reason == "enrolment_conflict"; conflict != test.conflict || !conflict && state != "SUCCESS" {
				t.Errorf("%s %+v", state, b)
			}
			if (s.rows(walletRows) == before) != test.conflict {
				t.Error("replaced, or not")
			}
			anchors, err := s.Anchors(t.Context(), "anna")
			if err != nil || len(anchors) != 2 || string(anchors[0]) != "template of 0" || string(anchors[1]) != "template of 0" {
				t.Errorf("anchors: %q %v", anchors, err)
			}
		})
	}

	// Anchors let nobody in.
	former := somebody("-0.5", "-0.5", "X", "X")
	c := line(first, later, former)
	s := start(t, c, func(o *kosmos.Options) { stepUps(o); o.StepUpTTL = time.Hour })
	s.proofFor("default", "anna", first, true)
	if f := s.face(s.session("Face"), "anna", former.selfie); f.State != "match" {
		t.Fatalf("like the only one: %+v", f)
	}
	s.proofFor("default", "anna", later, true)
	if f := s.face(s.session("Face"), "anna", former.selfie); f.State != "open" || f.Reason != "face_mismatch" {
		t.Errorf("like the first alone: %+v", f)
	}
	if f := s.face(s.session("Face"), "anna", later.selfie); f.State != "match" {
		t.Errorf("the last: %+v", f)
	}

	// They end with the enrolment.
	if err := s.Directory().ClearEnrolment(t.Context(), "anna", "test"); err != nil {
		t.Fatal(err)
	}
	far := somebody("7", "7", "F", "FAR")
	c.people = append(c.people, far)
	if state, b := s.proofFor("default", "anna", far, true); state != "SUCCESS" || !b.enrolled() {
		t.Errorf("after clearing: %s %+v", state, b)
	}
	if anchors, _ := s.Anchors(t.Context(), "anna"); len(anchors) != 2 || string(anchors[0]) != "template of 7" {
		t.Errorf("anchors after clearing: %q", anchors)
	}
}

// Databases from before there were anchors hold two faces: these are the anchors
// from now on. Any other number was never written, so nothing may rest on it.
func TestEnrolmentBeforeAnchors(t *testing.T) {
	first, later := somebody("0", "0", "A1", "ANNASON"), somebody("0.8", "0.8", "A2", "ANNASON")
	near, far := somebody("1.6", "1.6", "A3", "ANNASON"), somebody("2.4", "2.4", "A4", "ANNASON")
	s := start(t, line(first, later, near, far), nil)
	s.proofFor("default", "anna", first, true)
	s.proofFor("default", "anna", later, true)
	old := [][]byte{[]byte("template of 0.8"), []byte("template of 0.8")}
	if err := s.PutFaces(t.Context(), "anna", old); err != nil {
		t.Fatal(err)
	}
	if state, b := s.proofFor("default", "anna", near, true); state != "SUCCESS" || !b.enrolled() {
		t.Errorf("near: %s %+v", state, b)
	}
	if anchors, err := s.Anchors(t.Context(), "anna"); err != nil || len(anchors) != 2 || string(anchors[0]) != "template of 0.8" {
		t.Errorf("%q %v", anchors, err)
	}
	if state, b := s.proofFor("default", "anna", far, true); state != "FAILED" || b.Reason != "enrolment_conflict" {
		t.Errorf("far: %s %+v", state, b)
	}
	for _, n := range []int{0, 1, 3, 5} {
		if err := s.PutFaces(t.Context(), "anna", append(append([][]byte{}, old...), old[0], old[0], old[0])[:n]); err != nil {
			t.Fatal(err)
		}
		before := s.rows(walletRows)
		if _, _, _, err := s.Wallet(t.Context(), "anna"); err == nil {
			t.Errorf("%d faces: the wallet opens", n)
		}
		if state, b := s.proofFor("default", "anna", first, true); state != "FAILED" || b.Reason != "engine_error" || s.rows(walletRows) != before {
			t.Errorf("%d faces: %s %+v", n, state, b)
		}
	}
}
