package kosmos_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// Names that only Unicode takes for one are two users, so that nobody who enrols
// under a look-alike answers for the other. Names that differ in the case of ASCII
// letters are one, for clients take them for one.
func TestLookAlikeNames(t *testing.T) {
	for _, pair := range []struct {
		enrolled, asked string
		one             bool
	}{
		{"\u017ftella@example.test", "stella@example.test", false}, // long s
		{"\u212aate@example.test", "kate@example.test", false},     // Kelvin sign
		{"\u212aate@example.test", "Kate@example.test", false},
		{"JOS\u00c9", "jos\u00e9", false},
		{"Victim@example.test", "victim@EXAMPLE.test", true},
	} {
		mallory, other := somebody("mallory", "mallory/p", "M1", "MALLORY"), somebody("other", "other/p", "O1", "OTHER")
		s := start(t, newCrowd(mallory, other), stepUps)
		if state, b := s.proofFor("default", pair.enrolled, mallory, true); state != "SUCCESS" || !b.enrolled() {
			t.Fatalf("%q: %s %+v", pair.enrolled, state, b)
		}
		r := s.v1("POST", "/v1/auth/stepup", `{"user_id":"`+pair.asked+`"}`)
		if pair.one != (r.status == 201) || !pair.one && r.reason(t) != "user_unknown" {
			t.Errorf("%q for %q: %d %s", pair.enrolled, pair.asked, r.status, r.body)
		}
		if pair.one {
			r := s.v1("GET", "/v1/auth/stepup/"+r.json(t)["challenge_id"].(string), "")
			if r.json(t)["user_id"] != pair.asked { // as asked for, not as enrolled
				t.Errorf("%s", r.body)
			}
		}
		state, b := s.proofFor("default", pair.asked, other, true)
		if conflict := state == "FAILED" && b.Reason == "enrolment_conflict"; conflict != pair.one || !conflict && !b.enrolled() {
			t.Errorf("%q after %q: %s %+v", pair.asked, pair.enrolled, state, b)
		}
	}
}

// A user who is switched off, cleared, removed or enrolled anew while the engine
// compares, or before the result is read, has not matched.
func TestUserChangesMeanwhile(t *testing.T) {
	anna, again, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("anna/2", "anna/p2", "A2", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Error(err)
		}
	}
	enrol := func(s *server, p *person) {
		t.Helper()
		if state, b := s.proofFor("default", "anna", p, true); state != "SUCCESS" || !b.enrolled() {
			t.Errorf("enrolled anew: %s %+v", state, b)
		}
	}
	for name, test := range map[string]struct {
		do     func(s *server)
		during string // reason of the result if it is done while the engine compares
		open   bool   // then the step-up goes on instead
		after  string // reason if it is done between the match and the reading; empty for a match
	}{
		"nothing":  {do: func(*server) {}},
		"disabled": {do: func(s *server) { must(s.Directory().SetDisabled(t.Context(), "anna", true, "x")) }, during: "user_disabled", after: "user_disabled"},
		"disabled and enabled": {do: func(s *server) {
			must(s.Directory().SetDisabled(t.Context(), "anna", true, "x"))
			must(s.Directory().SetDisabled(t.Context(), "anna", false, "x"))
		}, open: true},
		"cleared": {do: func(s *server) { must(s.Directory().ClearEnrolment(t.Context(), "anna", "x")) }, during: "user_not_enrolled", after: "user_not_enrolled"},
		"removed": {do: func(s *server) { must(s.Directory().Remove(t.Context(), "anna", "x")) }, during: "user_not_enrolled", after: "user_not_enrolled"},
		"cleared, then somebody else": {do: func(s *server) {
			must(s.Directory().ClearEnrolment(t.Context(), "anna", "x"))
			enrol(s, eve)
		}, during: "user_not_enrolled", after: "user_not_enrolled"},
		"removed, then somebody else": {do: func(s *server) {
			must(s.Directory().Remove(t.Context(), "anna", "x"))
			enrol(s, eve)
		}, during: "user_not_enrolled", after: "user_not_enrolled"},
		"face replaced": {do: func(s *server) { enrol(s, again) }, open: true},
	} {
		for _, kind := range []string{"v1", "workflow"} {
			for _, when := range []string{"during", "after"} {
				t.Run(name+"/"+kind+"/"+when, func(t *testing.T) {
					c := newCrowd(anna, again, eve)
					act := func() {}
					faces := c.match
					c.match = func(r *api.MatchRequest) (*api.Report, error) {
						if len(r.Selfies) == 0 {
							return faces(r)
						}
						act()
						return matched(api.Pass, ""), nil
					}
					s := start(t, c, stepUps)
					s.proofFor("default", "anna", anna, true)
					id, result := s.openStepUp(kind, "anna")
					if when == "during" {
						act = func() { act = func() {}; test.do(s) }
					}
					f := s.face(id, "", anna.selfie)
					want := test.during
					if when == "after" {
						if f.State != "match" {
							t.Fatalf("%+v", f)
						}
						test.do(s)
						want = test.after
					}
					if when == "during" && test.open {
						if f.status != 503 || f.State != "open" || f.Reason != "engine_error" || f.AttemptsLeft != 3 {
							t.Fatalf("%+v", f)
						}
						if got := result(); got != "pending" {
							t.Errorf("result %s", got)
						}
						f = s.face(id, "", anna.selfie)
					}
					switch {
					case want == "":
						if f.State != "match" || result() != "match" {
							t.Errorf("%+v, result %s", f, result())
						}
					case when == "during" && (f.status != 200 || f.State != "refused" || f.Reason != "face_mismatch"):
						t.Errorf("%+v", f) // the page says no more than for anybody
					case result() != "no_match "+want:
						t.Errorf("result %s, want %s", result(), want)
					}
					if events := s.events(id); strings.Contains(events, "E_LOGIN_SUCCEEDED") != (f.State == "match") || strings.Count(events, "E_LOGIN") != 1 {
						t.Errorf("events: %s", events)
					}
				})
			}
		}
	}
}

// openStepUp asks for a user's face by a profile that names them, and returns how
// to read the result: pending, match, or no_match with the reason.
func (s *server) openStepUp(kind, username string) (id string, result func() string) {
	s.t.Helper()
	if kind == "v1" {
		r := s.v1("POST", "/v1/auth/stepup", `{"user_id":"`+username+`"}`)
		id, _ = r.json(s.t)["challenge_id"].(string)
		return id, func() string { return s.matchResult(s.v1("GET", "/v1/auth/stepup/"+id, "").body) }
	}
	tenant, community := s.ids()
	where := "/tenant/" + tenant + "/community/" + community
	r, _ := s.workflow("POST", "/workflowapi/workflow_instance"+where+"/create", map[string]any{"workflowId": "wf-1", "metaData": map[string]any{"username": username}})
	id, _ = r.json(s.t)["wfInstanceId"].(string)
	return id, func() string {
		r, _ := s.workflow("GET", "/workflowapi/workflow_instance/"+id+where+"/node/liveid", nil)
		return s.matchResult(r.body)
	}
}

func (s *server) matchResult(body []byte) string {
	s.t.Helper()
	var a struct {
		Status      string
		MatchResult string                  `json:"match_result"`
		DID         string                  `json:"did"`
		Own         struct{ Reason string } `json:"kosmoscope"`
	}
	if err := json.Unmarshal(body, &a); err != nil {
		s.t.Fatalf("%v: %s", err, body)
	}
	switch {
	case a.MatchResult == "no_match" && a.DID == "" && !strings.Contains(string(body), `"score"`):
		return "no_match " + a.Own.Reason
	case a.Status == "started" || a.Status == "pending":
		return "pending"
	}
	return a.MatchResult
}

// A match whose answer was purged cannot be looked up again, so it is none any more.
func TestPurgedMatch(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id, result := s.openStepUp("v1", aliceName)
	s.face(id, "", alice)
	if got := result(); got != "match" {
		t.Fatal(got)
	}
	s.clock.add(2 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := result(); got != "expired" {
		t.Error(got)
	}
}

func TestRemove(t *testing.T) {
	ctx := t.Context()
	anna, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	s := start(t, newCrowd(anna, eve), stepUps)
	d := s.Directory()
	names := func() (all []string) {
		users, err := d.Users(ctx)
		if err != nil {
			t.Fatal(err)
		}
		for _, u := range users {
			all = append(all, u.Username)
		}
		slices.Sort(all)
		return all
	}
	s.proofFor("default", "enrolled", anna, true)
	s.proofFor("default", "known", eve, false)
	did, _, _, _ := s.Wallet(ctx, "enrolled")
	before := s.rows(`SELECT * FROM users`)

	for name, err := range map[string]error{
		"no reason":   d.Remove(ctx, "known", " "),
		"unknown":     d.Remove(ctx, "nobody", "x"),
		"seeded":      d.Remove(ctx, "ada", "x"),
		"seeded, ADA": d.Remove(ctx, "ADA", "x"),
		"not UTF-8":   d.Remove(ctx, "\xff", "x"),
	} {
		want := map[string]error{"unknown": kosmos.ErrNoUser, "not UTF-8": kosmos.ErrNoUser, "seeded": kosmos.ErrSeeded, "seeded, ADA": kosmos.ErrSeeded}[name]
		if err == nil || want != nil && !errors.Is(err, want) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if s.rows(`SELECT * FROM users`) != before || s.audit("known") != "" || s.audit("ada") != "" {
		t.Error("a refused removal left something")
	}

	for _, name := range []string{"KNOWN", "enrolled"} {
		if err := d.Remove(ctx, name, "asked for it"); err != nil {
			t.Fatal(err)
		}
		if err := d.Remove(ctx, name, "again"); !errors.Is(err, kosmos.ErrNoUser) {
			t.Errorf("again: %v", err)
		}
		if _, _, _, err := s.Wallet(ctx, name); !errors.Is(err, kosmos.ErrNoUser) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if got := names(); !slices.Equal(got, []string{"ada", "bob", "cora"}) || s.rows(walletRows) != "" {
		t.Errorf("left: %v", got)
	}
	if status, _ := s.sealedGet("GET", "/api/r1/community/default/userdid/"+did+"/userinfo", ""); status != 404 {
		t.Errorf("user info: %d", status)
	}
	if status, _ := s.sealedGet("GET", "/api/r1/community/default/userid/known/ial", ""); status != 404 {
		t.Errorf("level: %d", status)
	}
	if got := s.audit("enrolled"); got != "session enrolment_created ; operator user_removed asked for it" {
		t.Errorf("audit: %s", got)
	}
	if _, err := d.Audit(ctx, "nobody"); !errors.Is(err, kosmos.ErrNoUser) {
		t.Errorf("audit of nobody: %v", err)
	}

	// The name is free, and whoever has it next is somebody else.
	if state, b := s.proofFor("default", "enrolled", eve, true); state != "SUCCESS" || !b.enrolled() {
		t.Errorf("%s %+v", state, b)
	}
	if did2, _, _, err := s.Wallet(ctx, "enrolled"); err != nil || did2 == did {
		t.Errorf("%v", err)
	}
}

// What a session compared with a user who was removed says nothing of another one
// who came by that name meanwhile, though both are at the same version.
func TestRemovedWhileJudged(t *testing.T) {
	anna, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	c := newCrowd(anna, eve)
	s := start(t, c, nil)
	s.proofFor("default", "anna", anna, true)
	compare, done := c.match, false
	c.match = func(r *api.MatchRequest) (*api.Report, error) {
		rep, err := compare(r)
		if !done { // the first question is that of the session below, which is anna's
			done = true
			if err := s.Directory().Remove(t.Context(), "anna", "test"); err != nil {
				t.Error(err)
			}
			other := s.capture("default", "anna", eve, true)
			s.act(other, "submit", nil, "")
			for s.state("default", other) == "INPROGRESS" && t.Context().Err() == nil {
			}
		}
		return rep, err
	}
	if state, b := s.proofFor("default", "anna", anna, true); state != "FAILED" || b.Reason != "enrolment_conflict" {
		t.Errorf("%s %+v", state, b)
	}
	if _, _, faces, err := s.Wallet(t.Context(), "anna"); err != nil || string(faces[0]) != "template of eve" {
		t.Errorf("%q %v", faces, err)
	}
}

// One rule for both profiles: a /v1 session that names a user enrols and is held
// against what is enrolled.
func TestEnrolmentV1(t *testing.T) {
	anna, eve := somebody("anna", "anna/p", "A1", "ANNASON"), somebody("eve", "eve/p", "E1", "EVESON")
	s := start(t, newCrowd(anna, eve), stepUps)
	if state, b := s.proofFor(dvcV1, "anna", eve, false); state != "SUCCESS" || b.Enrolled == nil || *b.Enrolled {
		t.Errorf("no tick: %s %+v", state, b)
	}
	if _, _, _, err := s.Wallet(t.Context(), "anna"); !errors.Is(err, kosmos.ErrNotEnrolled) {
		t.Errorf("no tick: %v", err)
	}
	if state, b := s.proofFor(dvcV1, "anna", anna, true); state != "SUCCESS" || !b.enrolled() {
		t.Fatalf("%s %+v", state, b)
	}
	if _, _, faces, err := s.Wallet(t.Context(), "anna"); err != nil || string(faces[0]) != "template of anna" {
		t.Errorf("%q %v", faces, err)
	}
	for _, dvc := range []string{dvcV1, "default"} {
		if state, b := s.proofFor(dvc, "anna", eve, true); state != "FAILED" || b.Reason != "enrolment_conflict" || b.enrolled() {
			t.Errorf("%s, eve: %s %+v", dvc, state, b)
		}
	}
	if state, b := s.proofFor(dvcV1, "", eve, true); state != "SUCCESS" || b.enrolled() {
		t.Errorf("for nobody: %s %+v", state, b)
	}
	if state, b := s.proofFor(dvcV1, "ada", eve, true); state != "FAILED" || b.Reason != "enrolment_conflict" {
		t.Errorf("for somebody in the records: %s %+v", state, b)
	}
	if err := s.Directory().SetDisabled(t.Context(), "anna", true, "x"); err != nil {
		t.Fatal(err)
	}
	if state, b := s.proofFor(dvcV1, "anna", anna, false); state != "FAILED" || b.Reason != "user_disabled" {
		t.Errorf("disabled: %s %+v", state, b)
	}
}

// The longest name that can be enrolled can be typed, also with a space that a
// keyboard adds.
func TestLongName(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	name := strings.Repeat("n", 256)
	s.enrol(name, alice)
	if f := s.face(s.session("Face"), name+" ", alice); f.State != "match" {
		t.Errorf("%+v", f)
	}
	if f := s.face(s.session("Face"), name+"n", alice); f.status != 400 || f.Reason != "account_missing" {
		t.Errorf("%+v", f)
	}
}
