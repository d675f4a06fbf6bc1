package shipped_test

import (
	"errors"
	"maps"
	"net/netip"
	"reflect"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

const ada = "ada@example.org"

var unknownChallenge = answer{"match_result": "error", "reason": "unknown_challenge"}

var stepUps = []string{"kosmos-step-up", "kosmos-step-up-external", "kosmos-step-up-polling"}

func TestAllowGoesStraightThrough(t *testing.T) {
	for _, id := range stepUps {
		t.Run(id, func(t *testing.T) {
			s := newStage(t, id)
			s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = "verified"
			s.accounts.Users[ada].CustomAttributes["kosmosIal"] = ""
			s.signIn(ada)
			g := s.inside()
			if g.UserID != "U1" || g.SteppedUp || s.endpoints() != "/risk /risk/outcome" || g.Claims["kosmos_status"] != "verified" {
				t.Fatalf("%+v, asked %q", g, s.endpoints())
			}
			s.ended(answer{"decision_id": "d-1", "outcome": "success", "user_identifier": "U1"})
		})
	}
}

// logins are what a flow can know of one, and what the bridge is told of it besides.
var logins = map[string]struct {
	change func(s *stage)
	told   answer
}{
	"usual":             {func(*stage) {}, nil},
	"new device":        {func(s *stage) { s.accounts.Danger.KnownDevice = false }, answer{"known_device": "false"}},
	"trusted device":    {func(s *stage) { s.accounts.Danger.TrustedDevice = true }, answer{"trusted_device": "true"}},
	"another address":   {func(s *stage) { s.browser.Addr = netip.MustParseAddr("198.51.100.7") }, answer{"ip": "198.51.100.7"}},
	"IPv6":              {func(s *stage) { s.browser.Addr = netip.MustParseAddr("2001:db8::7") }, answer{"ip": "2001:db8::7"}},
	"impossible travel": {func(s *stage) { s.accounts.Danger.ImpossibleTravel = true }, answer{"impossible_travel": "true"}},
	"VPN":               {func(s *stage) { s.accounts.Danger.VPN = true }, answer{"vpn": "true"}},
	"bot":               {func(s *stage) { s.accounts.Danger.Bot, s.accounts.Danger.Score = true, 0.6 }, answer{"bot": "true", "risk_score": "0.6"}},
	"several countries": {func(s *stage) { s.accounts.Danger.LastCountries = []string{"DE", "FR"} }, answer{"last_countries": "DE,FR"}},
	"first login ever": {func(s *stage) { s.accounts.Danger = project.Risk{IP: "192.0.2.1", Country: "DE"} },
		answer{"known_device": "false", "last_countries": "", "last_ips": ""}},
	"sensitive, client":    {func(s *stage) { s.client = map[string]any{"scope": "orders:refund"} }, answer{"scopes": []any{"orders:refund"}}},
	"sensitive, form":      {func(s *stage) { s.form = map[string]any{"scope": "openid orders:refund"} }, answer{"scopes": []any{"orders:refund"}}},
	"sensitive, in a list": {func(s *stage) { s.client = map[string]any{"scope": []any{"openid", "orders:refund"}} }, answer{"scopes": []any{"orders:refund"}}},
	"scope that is usual":  {func(s *stage) { s.client = map[string]any{"scope": "openid profile"} }, nil},
	"scope empty, in both": {func(s *stage) { s.client = map[string]any{"scope": ""}; s.form = map[string]any{"scope": ""} }, nil},
	// What a page can type changes nothing in the payload but which constant it has.
	"typed into client": {func(s *stage) { s.client = map[string]any{"scope": `","known_device":"true`, "decision": "allow"} }, nil},
	"typed into form":   {func(s *stage) { s.form = map[string]any{"scope": `orders:refund"],"vpn":"false`} }, answer{"scopes": []any{"orders:refund"}}},
	"typed as browser":  {func(s *stage) { s.browser.UserAgent = `","known_device":"true` }, nil},
}

func TestWhatTheBridgeIsTold(t *testing.T) {
	for name, c := range logins {
		for _, id := range stepUps {
			t.Run(name+" "+id, func(t *testing.T) {
				want := answer{
					"user_identifier": "U1", "ip": "192.0.2.1", "application": "", "scopes": []any{}, "known_device": "true", "trusted_device": "false", "impossible_travel": "false",
					"vpn": "false", "bot": "false", "risk_score": "0", "last_countries": "DE", "last_ips": "192.0.2.1,192.0.2.9",
				}
				maps.Copy(want, c.told)
				s := newStage(t, id)
				c.change(s)
				s.signIn(ada)
				s.inside()
				if got := s.asked("/risk"); !reflect.DeepEqual(got, []answer{want}) {
					t.Fatalf("told %v\nwant %v", got, want)
				}
			})
		}
	}
}

// face says that the flow asked for the face and for nothing less.
func (s *stage) face(reason, decision any) {
	s.Helper()
	s.on("50")
	s.outside()
	asked := s.asked("/stepup")
	if got := asked[len(asked)-1]; got["user_identifier"] != "U1" || got["reason_code"] != reason || got["decision_id"] != decision || got["transaction"] == "" {
		s.Fatalf("asked %v", got)
	}
	if len(s.asked("/risk/outcome")) > 0 {
		s.Fatalf("and told %v", s.asked("/risk/outcome"))
	}
}

func TestStepUpAsksForTheFace(t *testing.T) {
	for name, c := range logins { // whatever is known of it
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-step-up")
			c.change(s)
			s.answers("/risk", risky)
			s.signIn(ada)
			s.face("new_device", "d-1")
			if s.shows("connectors.kosmosStepUp.challenge_url") != "https://bridge.example/c/1" {
				t.Fatalf("no link: %v", s.at.Screen.State)
			}
			s.click("continue")
			if want := []answer{{"challenge_id": "c-1", "decision_id": "d-1", "user_identifier": "U1"}}; !reflect.DeepEqual(s.asked("/stepup/result"), want) {
				t.Fatalf("asked %v, want %v", s.asked("/stepup/result"), want)
			}
			if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
				t.Fatalf("%+v", g)
			}
			s.ended(answer{"decision_id": "d-1", "outcome": "success", "user_identifier": "U1"})
		})
	}
}

// Only allow goes straight through: no answer, and none that is known, asks for the face.
func TestNoDecisionAsksForTheFace(t *testing.T) {
	for name, c := range map[string]struct {
		answer           any
		reason, decision any
	}{
		"new word":         {answer{"decision": "of_next_year", "decision_id": "d-1", "reason": "velocity"}, "velocity", "d-1"},
		"allow, shouted":   {answer{"decision": "ALLOW"}, "", ""},
		"allow, and more":  {answer{"decision": "allow_list"}, "", ""},
		"allow in a list":  {answer{"decision": []any{"allowed", "allow"}}, "", ""},
		"true":             {answer{"decision": true}, "", ""},
		"null":             {answer{"decision": nil}, "", ""},
		"nothing in it":    {answer{}, "", ""},
		"no object":        {"allow", "", ""},
		"nothing":          {nil, "", ""},
		"status, as other": {answer{"status": "allow"}, "", ""},
		"down":             {down, "", ""},
		"cannot be run":    {broken, "", ""},
	} {
		for _, id := range stepUps {
			t.Run(name+" "+id, func(t *testing.T) {
				s := newStage(t, id)
				s.answers("/risk", c.answer)
				s.signIn(ada)
				s.face(c.reason, c.decision)
			})
		}
	}
	t.Run("sensitive scope, down", func(t *testing.T) {
		s := newStage(t, "kosmos-step-up")
		s.client = map[string]any{"scope": "orders:refund"}
		s.answers("/risk", down)
		s.signIn(ada)
		s.face("", "")
		s.click("continue") // and a match lets in without any decision
		if g := s.inside(); !g.SteppedUp {
			t.Fatalf("%+v", g)
		}
	})
}

func TestDenied(t *testing.T) {
	for _, id := range stepUps {
		for name, told := range map[string]any{"told": learned, "down": down, "cannot be run": broken} {
			t.Run(id+" "+name, func(t *testing.T) {
				s := newStage(t, id)
				s.answers("/risk", denied)
				s.answers("/risk/outcome", told)
				s.signIn(ada)
				s.on("45")
				s.outside()
				s.ended(answer{"decision_id": "d-1", "outcome": "failure", "user_identifier": "U1"})
				s.click("restart")
				s.on("1")
				s.outside()
			})
		}
	}
}

// That the bridge does not hear how a login ended holds nobody up.
func TestOutcomeNotHeard(t *testing.T) {
	for name, told := range map[string]any{"down": down, "cannot be run": broken, "null": nil, "unknown": answer{"decision_id": nil, "learned": false, "why": "unknown_decision"}} {
		for _, first := range []answer{allowed, risky} {
			t.Run(name+" "+first["decision"].(string), func(t *testing.T) {
				s := newStage(t, "kosmos-step-up")
				s.answers("/risk", first)
				s.answers("/risk/outcome", told)
				s.signIn(ada)
				if first["decision"] == "step_up" {
					s.on("50")
					s.click("continue")
				}
				s.inside()
			})
		}
	}
}

// What cannot be told is not familiar.
func TestRiskThatCannotBeTold(t *testing.T) {
	s := newStage(t, "kosmos-step-up")
	s.start()
	s.click("continue", "email", ada)
	s.accounts.Fail["Risk"] = errors.New("no answer")
	if resp, err := s.try("continue", "code", "123456"); err == nil && resp.Status == runner.StatusCompleted {
		t.Fatalf("%+v", resp)
	}
	s.outside()
}

// unlearned says that the bridge was told of no success; and of a failure, if it was the
// person who said that it was not them. What came of the challenge the bridge knows.
func (s *stage) unlearned(screen string) {
	s.Helper()
	if screen == "60" {
		s.ended(answer{"decision_id": "d-1", "outcome": "failure"})
	} else if got := s.asked("/risk/outcome"); len(got) > 0 {
		s.Fatalf("the bridge was told %v", got)
	}
}

// Only match lets anybody in.
func TestStepUpWithoutMatch(t *testing.T) {
	for name, c := range map[string]struct {
		answer       any
		screen, then string
		onto         string
	}{
		"no match":      {answer{"match_result": "no_match", "reason": "face_mismatch"}, "61", "restart", "1"},
		"error":         {answer{"match_result": "error", "reason": "internal_error"}, "62", "restart", "1"},
		"unknown":       {unknownChallenge, "62", "restart", "1"},
		"used":          {answer{"match_result": "error", "reason": "challenge_used"}, "62", "restart", "1"},
		"declined":      {answer{"match_result": "error", "reason": "declined"}, "60", "restart", "1"},
		"expired":       {answer{"match_result": "expired", "reason": "time_limit"}, "59", "again", "50"},
		"pending":       {answer{"match_result": "pending", "reason": nil}, "58", "continue", "58"},
		"new word":      {answer{"match_result": "of_next_year"}, "62", "restart", "1"},
		"sure, no word": {answer{"confidence": 1.0}, "62", "restart", "1"},
		"null":          {nil, "62", "restart", "1"},
		"text":          {"match", "62", "restart", "1"},
		"down":          {down, "57", "again", "57"},
		"cannot be run": {broken, "57", "again", "57"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-step-up")
			s.answers("/risk", risky)
			s.answers("/stepup/result", c.answer)
			s.signIn(ada)
			s.click("continue")
			s.on(c.screen)
			s.outside()
			s.unlearned(c.screen)
			s.click(c.then)
			s.on(c.onto)
			s.outside()
		})
	}
}

// Another try is another challenge of the same decision, also if the login would be
// allowed by then.
func TestExpiredIsOfferedAgain(t *testing.T) {
	s := newStage(t, "kosmos-step-up")
	s.answers("/risk", risky, allowed)
	s.answers("/stepup/result", answer{"match_result": "pending"}, answer{"match_result": "expired"}, matched)
	s.signIn(ada)
	s.click("continue")
	s.on("58")
	s.click("continue")
	s.on("59")
	s.click("again")
	s.on("50")
	s.outside()
	s.click("continue")
	if g := s.inside(); !g.SteppedUp {
		t.Fatalf("%+v", g)
	}
	if want := "/risk /stepup /stepup/result /stepup/result /stepup /stepup/result /risk/outcome"; s.endpoints() != want {
		t.Fatalf("asked %s, want %s", s.endpoints(), want)
	}
	for _, q := range s.asked("/stepup") {
		if q["decision_id"] != "d-1" {
			t.Fatalf("asked %v", q)
		}
	}
}

func TestStepUpRefused(t *testing.T) {
	for name, c := range map[string]struct {
		answer any
		screen string
	}{
		"not enrolled": {refused("user_not_enrolled"), "51"},
		"unknown":      {refused("user_unknown"), "51"},
		"too often":    {refused("too_many_attempts"), "52"},
		"disabled":     {refused("user_disabled"), "53"},
		"no link":      {answer{"status": "pending", "challenge_url": nil}, "53"},
		"matched":      {answer{"status": "match", "challenge_id": "c-1", "challenge_url": "https://x.example"}, "53"},
		"new word":     {answer{"status": "of_next_year"}, "53"},
		"null":         {nil, "53"},
	} {
		for _, id := range []string{"kosmos-step-up", "kosmos-step-up-external", "kosmos-step-up-polling"} {
			t.Run(name+" "+id, func(t *testing.T) {
				s := newStage(t, id)
				s.answers("/risk", risky)
				s.answers("/stepup", c.answer)
				s.signIn(ada)
				s.on(c.screen)
				s.outside()
				s.click("restart")
				s.on("1")
			})
		}
	}
}

func TestStepUpBridgeDown(t *testing.T) {
	for name, c := range map[string]answer{"step up": risky, "no decision": {}} {
		for _, err := range []error{down, broken} {
			t.Run(name+" "+err.Error(), func(t *testing.T) {
				s := newStage(t, "kosmos-step-up")
				s.answers("/risk", c)
				s.answers("/stepup", err, err, faceOpen)
				s.signIn(ada)
				s.on("48")
				s.outside()
				s.click("again")
				s.on("48")
				s.outside()
				s.click("again")
				s.on("50")
				s.outside()
			})
		}
	}
}

func TestNobodySignsInWhoDidNotSignUp(t *testing.T) {
	s := newStage(t, "kosmos-step-up")
	s.start()
	s.click("continue", "email", "nobody@example.org")
	s.on("1")
	if s.shows("errorText") == nil {
		t.Fatal("nothing is said")
	}
}

func TestStepUpExternal(t *testing.T) {
	s := newStage(t, "kosmos-step-up-external")
	s.answers("/risk", risky)
	s.signIn(ada)
	if s.last()["external_auth"] != true || s.last()["reason_code"] != "new_device" || s.last()["decision_id"] != "d-1" {
		t.Fatalf("asked %v", s.last())
	}
	s.outside()
	s.on("50")
	s.click("continue")
	s.away("https://bridge.example/c/1", "U1")
	if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
		t.Fatalf("%+v", g)
	}
	want := []answer{{"challenge_id": "c-1", "decision_id": "d-1"}, {"challenge_id": "c-1", "decision_id": "d-1", "user_identifier": "U1"}}
	if got := s.asked("/stepup/result"); !reflect.DeepEqual(got, want) {
		t.Fatalf("asked %v, want %v", got, want)
	}
	s.ended(answer{"decision_id": "d-1", "outcome": "success", "user_identifier": "U1"})
}

func TestStepUpExternalWithoutMatch(t *testing.T) {
	for name, c := range map[string]struct {
		back         string
		answer       any
		screen, then string
		onto         string
	}{
		"no match":           {"kosmos-failed-1", answer{"match_result": "no_match"}, "61", "restart", "1"},
		"expired":            {"kosmos-failed-1", answer{"match_result": "expired"}, "59", "again", "1"},
		"declined":           {"kosmos-failed-1", answer{"match_result": "error", "reason": "declined"}, "60", "restart", "1"},
		"error":              {"kosmos-failed-1", unknownChallenge, "62", "restart", "1"},
		"pending":            {"kosmos-failed-1", answer{"match_result": "pending"}, "58", "again", "58"},
		"down":               {"kosmos-failed-1", down, "57", "again", "57"},
		"match, but nobody":  {"kosmos-failed-1", ofUser("U1", matched, unknownChallenge), "62", "restart", "1"},
		"match, but another": {"grace@example.org", ofUser("U1", matched, unknownChallenge), "62", "restart", "1"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-step-up-external")
			s.answers("/risk", risky)
			s.answers("/stepup/result", c.answer)
			s.signIn(ada)
			s.on("50")
			s.click("continue")
			s.away("https://bridge.example/c/1", c.back)
			s.on(c.screen)
			s.outside()
			s.unlearned(c.screen)
			s.click(c.then)
			s.on(c.onto)
			s.outside()
		})
	}
}

func TestStepUpPolling(t *testing.T) {
	pending := answer{"match_result": "pending", "reason": nil}
	for name, c := range map[string]struct {
		answers []any
		screen  string // "" if somebody gets in
	}{
		"match":    {[]any{pending, pending, matched}, ""},
		"no match": {[]any{pending, pending, answer{"match_result": "no_match"}}, "61"},
		"expired":  {[]any{pending, pending, answer{"match_result": "expired"}}, "59"},
		"down":     {[]any{pending, pending, down}, "57"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-step-up-polling")
			s.answers("/risk", risky)
			s.answers("/stepup/result", c.answers...)
			s.signIn(ada)
			s.on("50")
			for range 2 {
				s.click(flow.Polling)
				if s.at.Action != runner.ActionPoll {
					t.Fatalf("%+v", s.at)
				}
				s.outside()
			}
			s.click(flow.Polling)
			if c.screen == "" {
				if g := s.inside(); !g.SteppedUp {
					t.Fatalf("%+v", g)
				}
				return
			}
			s.on(c.screen)
			s.outside()
		})
	}
}
