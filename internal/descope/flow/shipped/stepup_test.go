package shipped_test

import (
	"errors"
	"net/netip"
	"reflect"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

const ada = "ada@example.org"

var unknownChallenge = answer{"match_result": "error", "reason": "unknown_challenge"}

func TestKnownLoginGoesStraightThrough(t *testing.T) {
	for name, change := range map[string]func(s *stage){
		"known device":         func(*stage) {},
		"trusted device":       func(s *stage) { s.accounts.Danger.KnownDevice, s.accounts.Danger.TrustedDevice = false, true },
		"another known IP":     func(s *stage) { s.browser.Addr = netip.MustParseAddr("192.0.2.9") },
		"place unknown":        func(s *stage) { s.accounts.Danger.Country = "" },
		"never had a place":    func(s *stage) { s.accounts.Danger.Country, s.accounts.Danger.LastCountries = "", nil },
		"scope that is usual":  func(s *stage) { s.client = map[string]any{"scope": "openid profile"} },
		"scope empty, in both": func(s *stage) { s.client = map[string]any{"scope": ""}; s.form = map[string]any{"scope": ""} },
	} {
		for _, id := range []string{"kosmos-step-up", "kosmos-step-up-external", "kosmos-step-up-polling"} {
			t.Run(name+" "+id, func(t *testing.T) {
				s := newStage(t, id)
				change(s)
				s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = "verified"
				s.accounts.Users[ada].CustomAttributes["kosmosIal"] = ""
				s.signIn(ada)
				g := s.inside()
				if g.UserID != "U1" || g.SteppedUp || s.endpoints() != "" || g.Claims["kosmos_status"] != "verified" {
					t.Fatalf("%+v, asked %q", g, s.endpoints())
				}
			})
		}
	}
}

// unusual are logins that ask for a face, with the reason that the person reads.
var unusual = map[string]struct {
	change func(s *stage)
	reason any
}{
	"new device":           {func(s *stage) { s.accounts.Danger.KnownDevice = false }, "new_device"},
	"unfamiliar IP":        {func(s *stage) { s.browser.Addr = netip.MustParseAddr("198.51.100.7") }, "unfamiliar_ip"},
	"part of a known IP":   {func(s *stage) { s.browser.Addr = netip.MustParseAddr("192.0.2.90") }, "unfamiliar_ip"},
	"impossible travel":    {func(s *stage) { s.accounts.Danger.ImpossibleTravel = true }, "geo_anomaly"},
	"new country":          {func(s *stage) { s.accounts.Danger.Country = "AU" }, "geo_anomaly"},
	"country, none before": {func(s *stage) { s.accounts.Danger.LastCountries = nil }, "geo_anomaly"},
	"sensitive, client":    {func(s *stage) { s.client = map[string]any{"scope": "orders:refund"} }, "sensitive_scope"},
	"sensitive, form":      {func(s *stage) { s.form = map[string]any{"scope": "openid orders:refund"} }, "sensitive_scope"},
	"sensitive, in a list": {func(s *stage) { s.client = map[string]any{"scope": []any{"openid", "orders:refund"}} }, "sensitive_scope"},
	"all at once": {func(s *stage) {
		s.accounts.Danger = project.Risk{ImpossibleTravel: true, IP: "198.51.100.7", Country: "AU"}
		s.client = map[string]any{"scope": "orders:refund"}
	}, "new_device"},
	"first login ever": {func(s *stage) { s.accounts.Danger = project.Risk{IP: "192.0.2.1", Country: "DE"} }, "new_device"},
}

func TestUnusualLoginAsksForTheFace(t *testing.T) {
	for name, c := range unusual {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, "kosmos-step-up")
			c.change(s)
			s.signIn(ada)
			s.on("50")
			s.outside()
			if got := s.last(); got["user_identifier"] != "U1" || got["reason_code"] != c.reason || got["transaction"] == "" {
				t.Fatalf("asked %v", got)
			}
			if s.shows("connectors.kosmosStepUp.challenge_url") != "https://bridge.example/c/1" {
				t.Fatalf("no link: %v", s.at.Screen.State)
			}
			s.click("continue")
			if want := (answer{"challenge_id": "c-1", "user_identifier": "U1"}); !reflect.DeepEqual(s.last(), want) {
				t.Fatalf("asked %v, want %v", s.last(), want)
			}
			if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
				t.Fatalf("%+v", g)
			}
		})
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

// The second look at device and network is its own: the flow has it for projects in
// which a key has no value, so that neither "is false" nor "does not contain" holds.
func TestFamiliarOnlyForCertain(t *testing.T) {
	t.Parallel()
	for _, f := range all() {
		device, network := f.Contents.Tasks["45"], f.Contents.Tasks["49"]
		if device == nil {
			continue
		}
		o := flow.DefaultNames().Operators
		for _, b := range append(device.Conditions[:len(device.Conditions)-1:len(device.Conditions)-1], network.Conditions[0]) {
			if len(b.Atomic) != 1 || b.Atomic[0].Operator != o.IsTrue && b.Atomic[0].Operator != o.Contains {
				t.Errorf("%s: %q holds for what is not there", f.FlowID, b.Name)
			}
		}
		if device.To(flow.Else) != "46" || network.To(flow.Else) != "46" {
			t.Errorf("%s: what cannot be told goes elsewhere than to the step-up", f.FlowID)
		}
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
			s.accounts.Danger.KnownDevice = false
			s.answers("/stepup/result", c.answer)
			s.signIn(ada)
			s.click("continue")
			s.on(c.screen)
			s.outside()
			s.click(c.then)
			s.on(c.onto)
			s.outside()
		})
	}
}

// Another try is another challenge, also if the login looks familiar by then.
func TestExpiredIsOfferedAgain(t *testing.T) {
	s := newStage(t, "kosmos-step-up")
	s.accounts.Danger.KnownDevice = false
	s.answers("/stepup/result", answer{"match_result": "pending"}, answer{"match_result": "expired"}, matched)
	s.signIn(ada)
	s.click("continue")
	s.on("58")
	s.click("continue")
	s.on("59")
	s.accounts.Danger.KnownDevice = true
	s.browser.UserAgent = "another" // so that the risk is told anew
	s.click("again")
	s.on("50")
	s.outside()
	s.click("continue")
	if g := s.inside(); !g.SteppedUp {
		t.Fatalf("%+v", g)
	}
	if want := "/stepup /stepup/result /stepup/result /stepup /stepup/result"; s.endpoints() != want {
		t.Fatalf("asked %s, want %s", s.endpoints(), want)
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
				s.accounts.Danger.KnownDevice = false
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
	for name, c := range unusual {
		for _, err := range []error{down, broken} {
			t.Run(name+" "+err.Error(), func(t *testing.T) {
				s := newStage(t, "kosmos-step-up")
				c.change(s)
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
	s.accounts.Danger.ImpossibleTravel = true
	s.signIn(ada)
	if s.last()["external_auth"] != true || s.last()["reason_code"] != "geo_anomaly" {
		t.Fatalf("asked %v", s.last())
	}
	s.outside()
	s.on("50")
	s.click("continue")
	s.away("https://bridge.example/c/1", "U1")
	if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
		t.Fatalf("%+v", g)
	}
	if want := (answer{"challenge_id": "c-1", "user_identifier": "U1"}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("last asked %v, want %v", s.last(), want)
	}
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
			s.accounts.Danger.KnownDevice = false
			s.answers("/stepup/result", c.answer)
			s.signIn(ada)
			s.on("50")
			s.click("continue")
			s.away("https://bridge.example/c/1", c.back)
			s.on(c.screen)
			s.outside()
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
			s.accounts.Danger.KnownDevice = false
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
