package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

func unsure() engine.Likeness {
	return engine.Likeness{Fused: 0.9, Cosine: 0.45, Distance: 0.57, HasCosine: true}
}

func unlike() engine.Likeness {
	return engine.Likeness{Fused: -4, Cosine: 0.05, Distance: 0.9, HasCosine: true}
}

func list(names ...string) [][]byte {
	var out [][]byte
	for _, n := range names {
		out = append(out, []byte(n))
	}
	return out
}

// second is another selfie; the fake calls it selfie600 and the first one selfie800.
var second = stripes(600, 600)

// TestMatch: references are called r1, r2 ..., probes p1, p2 ...
func TestMatch(t *testing.T) {
	const (
		p = "pass"
		f = "fail"
		c = "cannot_tell"
	)
	both := [][]byte{selfie, second}
	pairs := func(name string, l engine.Likeness, more ...any) faces {
		m := map[string]engine.Likeness{name: l}
		for i := 0; i < len(more); i += 2 {
			m[more[i].(string)] = more[i+1].(engine.Likeness)
		}
		return faces{likeness: alike(), pairs: m}
	}
	broken := errors.New("library says no")
	for _, k := range []struct {
		name     string
		faces    engine.Faces
		req      api.MatchRequest
		verdict  api.Outcome
		reason   string
		checks   string   // [selfie,] face_match [, liveness]
		evidence string   // types, in order
		score    *float64 // fused score that the confidence is of
	}{
		{"alike", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, p, "", "pass pass", "selfie reference", &alikeFused},
		{"two selfies", faces{likeness: alike()}, api.MatchRequest{Selfies: both, References: list("r1")}, p, "", "pass pass", "selfie selfie reference", &alikeFused},
		{"somebody else", pairs("r1 selfie800", unlike()), api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, f, api.ReasonFaceMismatch, "pass fail", "selfie reference", &unlikeFused},
		{"one of two is somebody else", pairs("r1 selfie600", unlike()), api.MatchRequest{Selfies: both, References: list("r1", "r2")}, f, api.ReasonFaceMismatch, "pass fail", "selfie selfie reference", &unlikeFused},
		{"uncertain", pairs("r1 selfie800", unsure()), api.MatchRequest{Selfies: both[:1], References: list("r1")}, c, api.ReasonFaceUncertain, "pass cannot_tell", "selfie reference", &unsureFused},
		{"the second reference settles it", pairs("r1 selfie800", unsure()), api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, p, "", "pass pass", "selfie reference reference", &alikeFused},
		{"the third settles it", pairs("r1 selfie800", unsure(), "r2 selfie800", unlike()), api.MatchRequest{Selfies: both[:1], References: list("r1", "r2", "r3", "r4")}, p, "", "pass pass", "selfie reference reference reference", &alikeFused},
		{"the second is somebody else", pairs("r1 selfie800", unsure(), "r2 selfie800", unlike()), api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, c, api.ReasonFaceUncertain, "pass cannot_tell", "selfie reference reference", &unsureFused},
		{"the second must have all selfies", pairs("r1 selfie800", unsure(), "r2 selfie600", unsure()), api.MatchRequest{Selfies: both, References: list("r1", "r2")}, c, api.ReasonFaceUncertain, "pass cannot_tell", "selfie selfie reference reference", &unsureFused},
		{"one reference for each selfie is not enough", pairs("r1 selfie800", unsure(), "r2 selfie600", unlike()), api.MatchRequest{Selfies: both, References: list("r1", "r2")}, c, api.ReasonFaceUncertain, "pass cannot_tell", "selfie selfie reference reference", &unsureFused},
		{"a second cannot undo a fail", pairs("r1 selfie800", unlike()), api.MatchRequest{Selfies: both, References: list("r1", "r2", "r3")}, f, api.ReasonFaceMismatch, "pass fail", "selfie selfie reference", &unlikeFused},
		{"probes", faces{likeness: alike()}, api.MatchRequest{Probes: list("p1", "p2"), References: list("r1")}, p, "", "pass", "probe probe reference", &alikeFused},
		{"one probe of two", pairs("r1 p2", unlike()), api.MatchRequest{Probes: list("p1", "p2"), References: list("r1")}, f, api.ReasonFaceMismatch, "fail", "probe probe reference", &unlikeFused},
		{"foreign first reference", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], References: list("foreign", "r2")}, c, api.ReasonTemplateForeign, "pass cannot_tell", "selfie", nil},
		{"foreign second, first passes", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], References: list("r1", "foreign")}, p, "", "pass pass", "selfie reference", &alikeFused},
		{"foreign second, first uncertain", pairs("r1 selfie800", unsure()), api.MatchRequest{Selfies: both[:1], References: list("r1", "foreign")}, c, api.ReasonFaceUncertain, "pass cannot_tell", "selfie reference", &unsureFused},
		{"foreign second, third settles it", pairs("r1 selfie800", unsure()), api.MatchRequest{Selfies: both[:1], References: list("r1", "foreign", "r3")}, p, "", "pass pass", "selfie reference reference", &alikeFused},
		{"foreign probe", faces{likeness: alike()}, api.MatchRequest{Probes: list("p1", "foreign"), References: list("r1")}, c, api.ReasonTemplateForeign, "cannot_tell", "probe", nil},
		{"both foreign alike", faces{likeness: alike()}, api.MatchRequest{Probes: list("foreign"), References: list("foreign")}, c, api.ReasonTemplateForeign, "cannot_tell", "", nil},
		{"no reference", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1]}, c, api.ReasonTemplateForeign, "pass cannot_tell", "selfie", nil},
		{"nobody to compare", faces{likeness: alike()}, api.MatchRequest{References: list("r1")}, f, api.ReasonSelfieMissing, "fail cannot_tell", "", nil},
		{"selfies and probes, all alike", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], Probes: list("p1"), References: list("r1")}, p, "", "pass pass", "selfie probe reference", &alikeFused},
		{"selfies and probes, probe not", pairs("r1 p1", unlike()), api.MatchRequest{Selfies: both[:1], Probes: list("p1"), References: list("r1")}, f, api.ReasonFaceMismatch, "pass fail", "selfie probe reference", &unlikeFused},
		{"selfies and probes, selfie not", faces{likeness: alike(), selfie: engine.ErrNoFace}, api.MatchRequest{Selfies: both[:1], Probes: list("p1"), References: list("r1")}, f, api.ReasonSelfieNoFace, "fail cannot_tell", "selfie", nil},
		{"nobody", faces{likeness: alike(), selfie: engine.ErrNoFace}, api.MatchRequest{Selfies: both[:1], References: list("r1")}, f, api.ReasonSelfieNoFace, "fail cannot_tell", "selfie", nil},
		{"two people", faces{likeness: alike(), selfie: engine.ErrManyFaces}, api.MatchRequest{Selfies: both[:1], References: list("r1")}, f, api.ReasonSelfieManyFaces, "fail cannot_tell", "selfie", nil},
		{"not a picture", faces{likeness: alike()}, api.MatchRequest{Selfies: list("<svg/>"), References: list("r1")}, f, api.ReasonImageUnreadable, "fail cannot_tell", "", nil},
		{"second not a picture", faces{likeness: alike()}, api.MatchRequest{Selfies: [][]byte{selfie, nil}, References: list("r1")}, f, api.ReasonImageUnreadable, "fail cannot_tell", "selfie", nil},
		{"huge", faces{likeness: alike()}, api.MatchRequest{Selfies: [][]byte{append(bytes.Clone(selfie), make([]byte, 12<<20)...)}, References: list("r1")}, f, api.ReasonImageTooLarge, "fail cannot_tell", "", nil},
		{"selfie breaks", faces{likeness: alike(), selfie: broken}, api.MatchRequest{Selfies: both[:1], References: list("r1")}, c, api.ReasonEngineError, "cannot_tell cannot_tell", "selfie", nil},
		{"loading breaks", faces{likeness: alike(), load: broken}, api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, c, api.ReasonEngineError, "pass cannot_tell", "selfie", nil},
		{"comparing breaks", faces{likeness: alike(), compare: broken}, api.MatchRequest{Selfies: both[:1], References: list("r1", "r2")}, c, api.ReasonEngineError, "pass cannot_tell", "selfie", nil},
		{"comparing finds them foreign", faces{likeness: alike(), compare: engine.ErrForeign}, api.MatchRequest{Probes: list("p1"), References: list("r1", "r2")}, c, api.ReasonTemplateForeign, "cannot_tell", "probe", nil},
		{"passive", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], References: list("r1"), LivenessMode: "passive"}, c, api.ReasonLivenessWeak, "pass pass cannot_tell", "selfie reference", &alikeFused},
		{"active, probes", faces{likeness: alike()}, api.MatchRequest{Probes: list("p1"), References: list("r1"), LivenessMode: "active"}, c, api.ReasonLivenessIncomplete, "cannot_tell cannot_tell cannot_tell cannot_tell cannot_tell cannot_tell cannot_tell", "", nil},
		{"no liveness mode", faces{likeness: alike()}, api.MatchRequest{Selfies: both[:1], References: list("r1"), LivenessMode: "-"}, f, api.ReasonLivenessUnavailable, "cannot_tell cannot_tell fail", "", nil},
		{"no models", nil, api.MatchRequest{Selfies: both[:1], References: list("r1")}, c, api.ReasonModelsMissing, "cannot_tell cannot_tell", "", nil},
		{"no models, probes", nil, api.MatchRequest{Probes: list("p1"), References: list("r1")}, c, api.ReasonModelsMissing, "cannot_tell", "", nil},
	} {
		t.Run(k.name, func(t *testing.T) {
			switch k.req.LivenessMode {
			case "":
				k.req.LivenessMode = api.LivenessNone
			case "-":
				k.req.LivenessMode = ""
			}
			v := engine.New(zones{}, k.faces, engine.Config{Now: at(today)})
			rep, err := v.Match(t.Context(), &k.req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != k.verdict || rep.Reason != k.reason {
				t.Errorf("%s %q, want %s %q", rep.Verdict, rep.Reason, k.verdict, k.reason)
			}
			var checks, evidence []string
			var match api.Check
			for _, c := range rep.Checks {
				checks = append(checks, string(c.Outcome))
				if c.Detail == "" || (c.Score == nil) != (c.Threshold == nil) {
					t.Errorf("%s: %+v", c.Name, c)
				}
				if c.Name == api.CheckFaceMatch {
					match = c
				}
			}
			for _, e := range rep.Evidence {
				evidence = append(evidence, e.Type)
			}
			if got := strings.Join(checks, " "); got != k.checks {
				t.Errorf("checks %s, want %s", got, k.checks)
			}
			if got := strings.Join(evidence, " "); got != k.evidence {
				t.Errorf("evidence %q, want %q", got, k.evidence)
			}
			if (match.Score == nil) != (k.score == nil) || k.score != nil && *match.Score != rounded(engine.Confidence(*k.score, true)) {
				t.Errorf("score %v", match.Score)
			}
			if rep.Templates != nil || rep.Document != nil || rep.Portrait != nil || rep.Assessed {
				t.Error("the report holds more than was asked for")
			}
			b, _ := json.Marshal(rep)
			if _, err := api.ParseReport(b); err != nil {
				t.Errorf("our own client refuses it: %v", err)
			}
		})
	}
}

var alikeFused, unsureFused, unlikeFused = alike().Fused, unsure().Fused, unlike().Fused

func rounded(f float64) float64 { return float64(int(f*1e4+0.5)) / 1e4 }

func TestMatchGolden(t *testing.T) {
	f := faces{likeness: alike(), pairs: map[string]engine.Likeness{"r1 selfie800": unsure()}}
	v := engine.New(zones{}, f, engine.Config{Now: at(today), Version: "1.2.3"})
	for name, req := range map[string]api.MatchRequest{
		"match.json":         {Selfies: [][]byte{selfie}, References: list("r1", "r2")},
		"match-foreign.json": {Probes: list("p1"), References: list("foreign")},
	} {
		req.LivenessMode = api.LivenessNone
		rep, err := v.Match(t.Context(), &req)
		if err != nil {
			t.Fatal(err)
		}
		golden(t, name, rep)
	}
}

func TestMatchCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := engine.New(zones{}, faces{likeness: alike()}, engine.Config{})
	if rep, err := v.Match(ctx, &api.MatchRequest{Selfies: [][]byte{selfie}, References: list("r1"), LivenessMode: api.LivenessNone}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestVerifyTemplates: templates only where they were asked for and everything passed.
func TestVerifyTemplates(t *testing.T) {
	expired := goodZone()
	expired.Document.ExpiryDate = "2020-01-01"
	best := engine.Likeness{Fused: 6, Cosine: 0.9, Distance: 0.2, HasCosine: true}
	for _, c := range []struct {
		name    string
		zone    *engine.Zone
		faces   faces
		ask     bool
		verdict api.Outcome
		selfie  string // its template, "" for no templates
	}{
		{"asked", goodZone(), faces{likeness: alike()}, true, api.Pass, "selfie800"},
		{"the second is more alike", goodZone(), faces{likeness: alike(), pairs: map[string]engine.Likeness{"portrait selfie600": best}}, true, api.Pass, "selfie600"},
		{"not asked", goodZone(), faces{likeness: alike()}, false, api.Pass, ""},
		{"expired", expired, faces{likeness: alike()}, true, api.Fail, ""},
		{"somebody else", goodZone(), faces{likeness: unlike()}, true, api.Fail, ""},
		{"one of two is somebody else", goodZone(), faces{likeness: alike(), pairs: map[string]engine.Likeness{"portrait selfie600": unlike()}}, true, api.Fail, ""},
		{"uncertain", goodZone(), faces{likeness: unsure()}, true, api.CannotTell, ""},
		{"cannot be saved", goodZone(), faces{likeness: alike(), save: errors.New("no")}, true, api.CannotTell, ""},
		{"cannot be saved, not asked", goodZone(), faces{likeness: alike(), save: errors.New("no")}, false, api.Pass, ""},
		{"cannot be compared", goodZone(), faces{likeness: alike(), compare: engine.ErrForeign}, true, api.CannotTell, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			req := full()
			req.Selfies, req.Templates = [][]byte{selfie, second}, c.ask
			rep, err := engine.New(zones{zone: c.zone}, c.faces, engine.Config{Now: at(today)}).Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != c.verdict || (rep.Templates != nil) != (c.selfie != "") {
				t.Fatalf("%s %s, templates %v", rep.Verdict, rep.Reason, rep.Templates != nil)
			}
			if rep.Templates != nil && (string(rep.Templates.Selfie) != c.selfie || string(rep.Templates.Portrait) != "portrait") {
				t.Errorf("%s, %s", rep.Templates.Selfie, rep.Templates.Portrait)
			}
		})
	}
}
