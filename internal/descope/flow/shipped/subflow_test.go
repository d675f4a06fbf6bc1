package shipped_test

import (
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// host puts a subflow into a flow of a customer's own: a login, the subflow, and an
// end or a screen for each of its ways out.
func host(t *testing.T, sub string, ways map[string]string) *stage {
	t.Helper()
	s := newStage(t, "host")
	s.screens = sub
	s.install(sub)
	call := rt.Do("6", "")
	call.Type, call.Arguments = flow.TypeSubflow, map[string]flow.Value{"flowId": {Type: flow.Inline, Value: sub}}
	d := rt.Flow("host",
		rt.To(rt.Screen("1", "form.email"), "continue", "2"), rt.To(rt.Do("2", "sign-up-or-in-otp-email"), "success", "3"),
		rt.To(rt.Screen("3", "form.code"), "continue", "4"), rt.To(rt.Do("4", "verify-code-otp-email"), "success", "6"),
		call, rt.Do("7", "logged-in"), rt.To(rt.Screen("8"), "x", "1"), rt.To(rt.Screen("9"), "x", "1"))
	for way, task := range ways {
		rt.To(call, way, task)
	}
	if p := s.Import(d); runner.Refused(p) {
		t.Fatal(p)
	}
	s.start()
	s.click("continue", "email", ada)
	s.click("continue", "code", rt.Code)
	return s
}

// at says that the host shows a screen of its own.
func (s *stage) atHost(screen string) {
	s.Helper()
	if s.at.Screen == nil || s.at.Screen.ID != "SC"+screen {
		s.Fatalf("at %q, screen %+v; want the host's %s", s.at.StepName, s.at.Screen, screen)
	}
	s.outside()
}

var proofWays = map[string]string{"38.verified": "7", "39.not-verified": "8", "10.already-verified": "9"}

func TestProofSubflow(t *testing.T) {
	t.Run("verified", func(t *testing.T) {
		s := host(t, "kosmos-proof-subflow", proofWays)
		s.on("15")
		s.click("continue")
		if g := s.inside(); g.Claims["kosmos_status"] != "verified" {
			t.Fatalf("%+v", g)
		}
	})
	for name, c := range map[string]struct {
		answer any
		screen string
	}{"failed": {answer{"status": "failed"}, "23"}, "expired": {answer{"status": "expired"}, "24"}, "pending": {pendingIDV, "19"}, "down": {down, "18"}, "error": {nil, "26"}} {
		t.Run(name, func(t *testing.T) {
			s := host(t, "kosmos-proof-subflow", proofWays)
			s.answers("/idv/result", c.answer)
			s.click("continue")
			s.on(c.screen)
			s.click("stop")
			s.atHost("8")
		})
	}
	t.Run("stopped at once", func(t *testing.T) {
		s := host(t, "kosmos-proof-subflow", proofWays)
		s.click("stop")
		s.atHost("8")
	})
	t.Run("again", func(t *testing.T) {
		s := host(t, "kosmos-proof-subflow", proofWays)
		s.answers("/idv/result", answer{"status": "failed"}, verified)
		s.click("continue")
		s.click("again")
		s.click("continue")
		s.inside()
	})
	t.Run("twice in one flow", func(t *testing.T) { // what was verified before is no way out of what was not now
		s := host(t, "kosmos-proof-subflow", map[string]string{"38.verified": "8", "39.not-verified": "9", "10.already-verified": "7"})
		s.click("continue")
		s.atHost("8")
		s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = ""
		s.click("x")
		s.click("continue", "email", ada)
		s.click("continue", "code", rt.Code)
		s.on("15")
		s.click("stop")
		s.atHost("9")
	})
}

func TestProofExternalSubflow(t *testing.T) {
	t.Run("verified", func(t *testing.T) {
		s := host(t, "kosmos-proof-external-subflow", proofWays)
		s.click("continue")
		s.away("https://bridge.example/v/1", "U1")
		s.inside()
	})
	t.Run("failed", func(t *testing.T) {
		s := host(t, "kosmos-proof-external-subflow", proofWays)
		s.answers("/idv/result", answer{"status": "failed"})
		s.click("continue")
		s.away("https://bridge.example/v/1", "kosmos-failed-1")
		s.on("23")
		s.click("stop")
		s.atHost("8")
	})
}

var stepUpWays = map[string]string{"49.not-needed": "7", "78.match": "7", "79.no-match": "8", "51.prove": "9"}

func TestStepUpSubflow(t *testing.T) {
	asked := func(t *testing.T, sub string, results ...any) *stage {
		s := host(t, sub, stepUpWays) // whoever is known goes straight through, so begin anew
		s.accounts.Grants = nil
		s.answers("/risk", risky)
		s.answers("/stepup/result", results...)
		s.start()
		s.click("continue", "email", ada)
		s.click("continue", "code", rt.Code)
		return s
	}
	t.Run("not needed", func(t *testing.T) {
		if g := host(t, "kosmos-step-up-subflow", stepUpWays).inside(); g.SteppedUp {
			t.Fatalf("%+v", g)
		}
	})
	t.Run("match", func(t *testing.T) {
		s := asked(t, "kosmos-step-up-subflow", matched)
		s.on("50")
		s.click("continue")
		if g := s.inside(); !g.SteppedUp {
			t.Fatalf("%+v", g)
		}
	})
	t.Run("external", func(t *testing.T) {
		s := asked(t, "kosmos-step-up-external-subflow", matched)
		s.on("50")
		s.click("continue")
		s.away("https://bridge.example/c/1", "U1")
		if g := s.inside(); !g.SteppedUp {
			t.Fatalf("%+v", g)
		}
	})
	for _, result := range []string{"no_match", "error", "expired"} {
		t.Run(result, func(t *testing.T) {
			s := asked(t, "kosmos-step-up-subflow", answer{"match_result": result})
			s.click("continue")
			s.click("stop")
			s.atHost("8")
		})
		t.Run("external "+result, func(t *testing.T) {
			s := asked(t, "kosmos-step-up-external-subflow", answer{"match_result": result})
			s.on("50")
			s.click("continue")
			s.away("https://bridge.example/c/1", "kosmos-failed-1")
			s.click("stop")
			s.atHost("8")
		})
	}
	t.Run("not enrolled", func(t *testing.T) {
		s := asked(t, "kosmos-step-up-subflow")
		s.answers("/stepup", refused("user_not_enrolled"))
		s.start()
		s.click("continue", "email", ada)
		s.click("continue", "code", rt.Code)
		s.on("51")
		s.click("prove")
		s.atHost("9")
	})
	t.Run("a match before is none now", func(t *testing.T) {
		s := host(t, "kosmos-step-up-subflow", map[string]string{"49.not-needed": "9", "78.match": "9", "79.no-match": "8", "51.prove": "8"})
		s.atHost("9")
		s.answers("/risk", risky)
		again := func() {
			s.click("x")
			s.click("continue", "email", ada)
			s.click("continue", "code", rt.Code)
		}
		again()
		s.click("continue")
		s.atHost("9")
		s.answers("/stepup", refused("user_disabled"))
		again()
		s.on("53")
		s.click("stop")
		s.atHost("8")
	})
}
