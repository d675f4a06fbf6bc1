package shipped_test

import (
	"errors"
	"maps"
	"reflect"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// types enters an address, and says that what comes is the page for the code, of which of
// the two sign-ins.
func (s *stage) types(email, code string) {
	s.Helper()
	s.start()
	s.on("1")
	s.click("continue", "email", email)
	s.on(code)
	s.outside()
}

func newPreLogin(t *testing.T, answers ...any) *stage {
	t.Helper()
	s := newStage(t, "kosmos-pre-login")
	if len(answers) > 0 {
		s.answers("/hooks/pre-login", answers...)
	}
	return s
}

func TestPreLoginContinue(t *testing.T) {
	s := newPreLogin(t)
	s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = "verified"
	s.types(ada, "3")
	if got := s.endpoints(); got != "/hooks/pre-login" {
		t.Fatalf("asked %q before the login", got)
	}
	s.click("continue", "code", "000000")
	s.on("3")
	s.outside()
	s.click("continue", "code", rt.Code)
	g := s.inside()
	if g.UserID != "U1" || g.SteppedUp || g.Claims["kosmos_status"] != "verified" || s.endpoints() != "/hooks/pre-login" {
		t.Fatalf("%+v, asked %q", g, s.endpoints())
	}
}

// What the hook is told: whom, and nothing of the account's history that would tell
// whether there is one.
func TestWhatThePreLoginHookIsTold(t *testing.T) {
	told := func(more answer) answer {
		a := answer{
			"identifier": "U1", "ip": "192.0.2.1", "application": "", "scopes": []any{}, "known_device": "true", "trusted_device": "false",
			"impossible_travel": "false", "vpn": "false", "bot": "false", "risk_score": "0", "callback_url": "",
		}
		maps.Copy(a, more)
		return a
	}
	for name, c := range map[string]struct {
		email  string
		change func(*stage)
		want   answer
	}{
		"known device":   {ada, func(*stage) {}, nil},
		"new device":     {ada, func(s *stage) { s.accounts.Danger.KnownDevice = false }, answer{"known_device": ""}},
		"no account":     {"nobody@example.org", func(*stage) {}, answer{"identifier": "nobody@example.org", "known_device": ""}},
		"trusted":        {ada, func(s *stage) { s.accounts.Danger.TrustedDevice = true }, answer{"trusted_device": "true"}},
		"bot":            {ada, func(s *stage) { s.accounts.Danger.Bot, s.accounts.Danger.Score = true, 0.6 }, answer{"bot": "true", "risk_score": "0.6"}},
		"VPN and travel": {ada, func(s *stage) { s.accounts.Danger.VPN, s.accounts.Danger.ImpossibleTravel = true, true }, answer{"vpn": "true", "impossible_travel": "true"}},
		"typed as user": {"nobody@example.org", func(s *stage) { s.form = map[string]any{"userId": "U1"}; s.client = map[string]any{"identifier": "U1"} },
			answer{"identifier": "nobody@example.org", "known_device": ""}},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t)
			c.change(s)
			s.types(c.email, "3")
			if want := []answer{told(c.want)}; !reflect.DeepEqual(s.asked("/hooks/pre-login"), want) {
				t.Fatalf("told %v\nwant %v", s.asked("/hooks/pre-login"), want)
			}
		})
	}
}

// A page of another person's making cannot say more than who it is about.
func TestPreLoginOfWhatIsNoAddress(t *testing.T) {
	for _, typed := range []string{`x","vpn":"false","y":"@z`, `{{user.userId}}@z`, "x", "", `x@z","known_device":"true`} {
		t.Run(typed, func(t *testing.T) {
			s := newPreLogin(t)
			s.types(typed, "111") // the sign-in with a face
			if s.endpoints() != "" {
				t.Fatalf("asked %v", s.bridge.asked)
			}
			s.click("continue", "code", rt.Code)
			s.outside()
		})
	}
}

// Until the code was right an account that is not there looks like one that is.
func TestPreLoginTellsNobodyWhoExists(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		answer any
		code   string
	}{"continue": {goOn, "3"}, "step up": {asksFace, "111"}, "down": {down, "111"}, "deny": {hooked("deny", nil), ""}} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			see := func(email string) []*runner.Response {
				s := another(t, "kosmos-pre-login")
				s.answers("/hooks/pre-login", c.answer)
				if c.code == "" {
					s.start()
					s.click("continue", "email", email)
					s.on("106")
					return []*runner.Response{s.at}
				}
				s.types(email, c.code)
				seen := []*runner.Response{s.at}
				s.click("continue", "code", "000000")
				seen = append(seen, s.at)
				s.click("resend")
				return append(seen, s.at)
			}
			there, not := see(ada), see("nobody@example.org")
			for i := range there {
				if a, b := there[i], not[i]; a.Action != b.Action || a.StepID != b.StepID || a.StepName != b.StepName || !reflect.DeepEqual(a.Screen, b.Screen) {
					t.Errorf("step %d: %+v %+v, and of nobody %+v %+v", i, a, a.Screen, b, b.Screen)
				}
			}
		})
	}
	t.Run("the right code for nobody", func(t *testing.T) {
		s := newPreLogin(t)
		s.types("nobody@example.org", "3")
		s.click("continue", "code", rt.Code)
		s.on("3")
		s.outside()
	})
	t.Run("somebody, and then nobody", func(t *testing.T) { // a code of one is none of the other
		s := newPreLogin(t)
		s.types(ada, "3")
		s.click("other")
		s.on("1")
		s.click("continue", "email", "nobody@example.org")
		s.on("3")
		s.click("continue", "code", rt.Code)
		s.on("3")
		s.outside()
	})
}

// A session of before is no code, and the hook is asked about whoever is typed.
func TestPreLoginOfSomebodySignedIn(t *testing.T) {
	for email, identifier := range map[string]string{ada: "U1", "nobody@example.org": "nobody@example.org"} {
		t.Run(email, func(t *testing.T) {
			s := newPreLogin(t)
			s.accounts.Tokens["refresh"] = ada
			s.browser.Refresh = "refresh"
			s.types(email, "3")
			if got := s.last()["identifier"]; got != identifier {
				t.Fatalf("asked about %v", got)
			}
			s.click("continue", "code", "000000")
			s.on("3")
			s.outside()
		})
	}
}

// Accounts that cannot be looked up now are no accounts to the flow, and a device of which
// nothing is known is not known.
func TestPreLoginWithoutAccounts(t *testing.T) {
	s := newPreLogin(t)
	s.start()
	s.accounts.Fail["Risk"] = errors.New("no answer")
	s.click("continue", "email", ada)
	s.on("3")
	if got := s.last(); got["identifier"] != "U1" || got["known_device"] != "" {
		t.Fatalf("told %v", got)
	}
	if resp, err := s.try("continue", "code", rt.Code); err == nil && resp.Status == runner.StatusCompleted {
		t.Fatalf("%+v", resp)
	}
	s.outside()
}

func TestPreLoginStepUp(t *testing.T) {
	s := newPreLogin(t, asksFace)
	s.types(ada, "111")
	if s.shows("connectors") != nil {
		t.Fatal("the page sees the challenge before anybody has signed in")
	}
	s.click("continue", "code", "000000")
	s.on("111")
	s.click("continue", "code", rt.Code)
	s.on("115")
	s.outside()
	if s.shows("connectors.kosmosPreLogin.challenge_url") != "https://bridge.example/c/9" || s.shows("connectors.kosmosPreLogin.challenge_id") != nil {
		t.Fatalf("%v", s.at.Screen.State)
	}
	s.click("continue")
	if want := []answer{{"challenge_id": "c-9", "decision_id": "h-1", "user_identifier": "U1"}}; !reflect.DeepEqual(s.asked("/stepup/result"), want) {
		t.Fatalf("asked %v", s.asked("/stepup/result"))
	}
	if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
		t.Fatalf("%+v", g)
	}
	if want := "/hooks/pre-login /stepup/result"; s.endpoints() != want {
		t.Fatalf("asked %s, want %s", s.endpoints(), want)
	}
}

// The face first, and then no code: nobody gets in by a face alone.
func TestPreLoginFaceWithoutCode(t *testing.T) {
	s := newPreLogin(t, asksFace)
	s.types(ada, "111")
	for range 3 { // the challenge is matched by now, on another page
		s.click("continue", "code", "000000")
		s.on("111")
		s.outside()
	}
	for _, interaction := range []string{"success", "match", "submit", "ELSE"} {
		if _, err := s.try(interaction); err == nil {
			t.Errorf("%s is taken", interaction)
		}
		s.outside()
	}
}

// Who comes in is who was asked about, or shows their face.
func TestPreLoginOfSomebodyElse(t *testing.T) {
	for name, email := range map[string]string{"another address": "grace@example.org", "no address": ""} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t)
			u := *s.accounts.Users[ada]
			u.Email = email
			s.accounts.Users[ada] = &u
			s.types(ada, "3")
			s.click("continue", "code", rt.Code)
			s.on("50")
			s.outside()
			s.click("continue")
			if g := s.inside(); g.UserID != "U1" || !g.SteppedUp {
				t.Fatalf("%+v", g)
			}
		})
	}
}

// Whatever else is answered, or not, is step up: by the node, if there is no challenge yet.
func TestPreLoginByTheNode(t *testing.T) {
	for name, c := range map[string]any{
		"no challenge": hooked("step_up", answer{"reason": "new_device"}), "empty link": hooked("step_up", answer{"challenge_url": ""}),
		"down": down, "cannot be run": broken, "null": nil, "nothing in it": answer{}, "text": "continue", "shouted": hooked("CONTINUE", nil),
		"more": hooked("continue_later", nil), "list": answer{"action": []any{"continue", "x"}}, "true": answer{"action": true}, "verify": hooked("verify", answer{"session_url": "https://x.example"}),
		"decision": answer{"decision": "allow", "status": "continue"}, "new word": hooked("of_next_year", answer{"challenge_url": "https://x.example"}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t, c)
			s.types(ada, "111")
			s.click("continue", "code", rt.Code)
			s.on("50")
			s.outside()
			if got := s.last(); got["user_identifier"] != "U1" || got["reason_code"] == nil {
				t.Fatalf("asked %v", got)
			}
			s.click("continue")
			if g := s.inside(); !g.SteppedUp {
				t.Fatalf("%+v", g)
			}
		})
	}
}

func TestPreLoginDeny(t *testing.T) {
	for name, more := range map[string]answer{"refused": nil, "too often": {"reason": "too_many_attempts"}, "with a link": {"challenge_url": "https://x.example", "challenge_id": "c-9"}} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t, hooked("deny", more))
			s.start()
			s.click("continue", "email", ada)
			s.on("106")
			s.outside()
			if len(s.accounts.Sent) > 0 {
				t.Fatal("a code was sent")
			}
			s.click("restart")
			s.on("1")
		})
	}
}

// What was answered for one address is not taken for another.
func TestPreLoginAnotherAddress(t *testing.T) {
	for name, c := range map[string]struct {
		second any
		email  string
	}{"step up": {asksFace, ada}, "down": {down, ada}, "not to be told": {goOn, "x"}} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t, goOn, c.second)
			s.types("nobody@example.org", "3")
			s.click("other")
			s.click("continue", "email", c.email)
			s.on("111")
			s.outside()
			s.click("continue", "code", rt.Code)
			s.outside()
		})
	}
	t.Run("a challenge of before", func(t *testing.T) {
		other := hooked("step_up", answer{"challenge_url": "https://bridge.example/c/8", "challenge_id": "c-8"})
		s := newPreLogin(t, other, down)
		s.types("nobody@example.org", "111")
		s.click("other")
		s.click("continue", "email", ada)
		s.click("continue", "code", rt.Code)
		s.on("50") // by the node: that of before is forgotten
		s.outside()
	})
}

// Only a match lets in, and every other end has its page.
func TestPreLoginWithoutMatch(t *testing.T) {
	for name, c := range map[string]struct {
		answer       any
		screen, then string
		onto         string
	}{
		"pending":       {answer{"match_result": "pending", "reason": nil}, "119", "continue", "119"},
		"pending, anew": {answer{"match_result": "pending", "reason": nil}, "119", "anew", "50"},
		"no match":      {answer{"match_result": "no_match", "reason": "face_mismatch"}, "61", "restart", "1"},
		"expired":       {answer{"match_result": "expired", "reason": "time_limit"}, "59", "again", "50"},
		"declined":      {answer{"match_result": "error", "reason": "declined"}, "60", "restart", "1"},
		"another's":     {ofUser("U2", matched, unknownChallenge), "62", "restart", "1"},
		"new word":      {answer{"match_result": "of_next_year"}, "62", "restart", "1"},
		"null":          {nil, "62", "restart", "1"},
		"down":          {down, "117", "again", "117"},
		"cannot be run": {broken, "117", "again", "117"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newPreLogin(t, asksFace)
			s.answers("/stepup/result", c.answer)
			s.types(ada, "111")
			s.click("continue", "code", rt.Code)
			s.click("continue")
			s.on(c.screen)
			s.outside()
			s.click(c.then)
			s.on(c.onto)
			s.outside()
		})
	}
	t.Run("expired, and again", func(t *testing.T) {
		s := newPreLogin(t, asksFace)
		s.answers("/stepup/result", answer{"match_result": "expired"}, matched)
		s.types(ada, "111")
		s.click("continue", "code", rt.Code)
		s.click("continue")
		s.click("again")
		s.on("50")
		if got := s.last(); got["decision_id"] != "h-1" || got["reason_code"] != "new_device" {
			t.Fatalf("asked %v", got)
		}
		s.click("continue")
		if g := s.inside(); !g.SteppedUp || s.last()["decision_id"] != "h-1" {
			t.Fatalf("%+v", g)
		}
	})
	t.Run("no face known", func(t *testing.T) { // which is told to who has signed in
		s := newPreLogin(t, asksFace)
		s.answers("/stepup", refused("user_not_enrolled"))
		s.types(ada, "111")
		s.click("continue", "code", rt.Code)
		s.click("anew")
		s.on("51")
		s.outside()
	})
}

var registered = answer{
	"user_identifier": "U2", "email": somebody, "email_verified": "true", "document_types": "", "liveness_mode": "", "callback_url": "",
}

func newRegistration(t *testing.T, answers ...any) *stage {
	t.Helper()
	s := newStage(t, "kosmos-post-registration")
	if len(answers) > 0 {
		s.answers("/hooks/post-registration", answers...)
	}
	return s
}

func TestPostRegistrationVerify(t *testing.T) {
	s := newRegistration(t)
	s.start()
	s.click("continue", "email", somebody)
	if s.endpoints() != "" {
		t.Fatal("the bridge was asked about nobody")
	}
	s.click("continue", "code", rt.Code)
	s.on("134")
	s.outside()
	if !reflect.DeepEqual(s.last(), registered) {
		t.Fatalf("told %v\nwant %v", s.last(), registered)
	}
	if s.shows("connectors.kosmosPostRegistration.session_url") != "https://bridge.example/v/9" || s.shows("connectors.kosmosPostRegistration.session_id") != nil {
		t.Fatalf("%v", s.at.Screen.State)
	}
	s.click("continue")
	if want := (answer{"session_id": "v-9", "user_identifier": "U2"}); !reflect.DeepEqual(s.last(), want) {
		t.Fatalf("asked %v", s.last())
	}
	if g := s.inside(); g.UserID != "U2" || !g.FirstSeen || g.Claims["kosmos_status"] != "verified" {
		t.Fatalf("%+v", g)
	}
	if got := s.accounts.Users[somebody].CustomAttributes; got["kosmosStatus"] != "verified" || got["kosmosIal"] != "IAL2" {
		t.Fatalf("the user has %v", got)
	}
	if want := "/hooks/post-registration /idv/result"; s.endpoints() != want {
		t.Fatalf("asked %s", s.endpoints())
	}
}

func TestPostRegistrationContinue(t *testing.T) {
	s := newRegistration(t, goOn)
	s.signIn(somebody)
	g := s.inside()
	if _, ok := g.Claims["kosmos_status"]; ok || g.UserID != "U2" || s.endpoints() != "/hooks/post-registration" {
		t.Fatalf("%+v, asked %s", g, s.endpoints())
	}
	if got := s.accounts.Users[somebody].CustomAttributes; len(got) > 0 {
		t.Fatalf("the user has %v", got)
	}
}

// Who can read the mail of an account that was there does not come in by signing up.
func TestPostRegistrationOfAnAccount(t *testing.T) {
	s := newRegistration(t, goOn)
	s.signIn(ada)
	s.on("133")
	s.outside()
	s.click("again")
	s.on("1")

	t.Run("verified", func(t *testing.T) {
		s := newRegistration(t, goOn)
		s.accounts.Users[ada].CustomAttributes["kosmosStatus"] = "verified"
		s.signIn(ada)
		s.on("11")
		s.outside()
		if s.endpoints() != "" {
			t.Fatalf("asked %s", s.endpoints())
		}
	})
	t.Run("not proofed when it signed up", func(t *testing.T) { // goes on where it was
		s := newRegistration(t)
		s.signIn(ada)
		s.on("134")
		s.click("continue")
		s.inside()
	})
}

// Whatever else is answered, or not, is a proofing by the node.
func TestPostRegistrationByTheNode(t *testing.T) {
	for name, c := range map[string]any{
		"no session": hooked("verify", nil), "empty link": hooked("verify", answer{"session_url": ""}), "down": down, "cannot be run": broken, "null": nil,
		"nothing in it": answer{}, "text": "continue", "shouted": hooked("CONTINUE", nil), "list": answer{"action": []any{"continue", "x"}},
		"step up": hooked("step_up", nil), "deny": hooked("deny", answer{"session_url": "https://x.example"}), "new word": hooked("of_next_year", answer{"session_url": "https://x.example"}),
	} {
		t.Run(name, func(t *testing.T) {
			s := newRegistration(t, c)
			s.signIn(somebody)
			s.on("15")
			s.outside()
			if want := (answer{"user_identifier": "U2", "document_types": "", "liveness_mode": ""}); !reflect.DeepEqual(s.last(), want) {
				t.Fatalf("asked %v", s.last())
			}
			s.click("continue")
			if g := s.inside(); g.Claims["kosmos_status"] != "verified" || s.last()["session_id"] != "v-1" {
				t.Fatalf("%+v, asked %v", g, s.last())
			}
		})
	}
	t.Run("an address that cannot be told", func(t *testing.T) {
		s := newRegistration(t, goOn)
		s.signIn(`g","email_verified":"true@example.org`)
		s.on("15")
		s.outside()
		if s.endpoints() != "/idv" {
			t.Fatalf("asked %s", s.endpoints())
		}
	})
	t.Run("and that is down, too", func(t *testing.T) {
		s := newRegistration(t, down)
		s.answers("/idv", down, idvOpen)
		s.signIn(somebody)
		s.on("14")
		s.outside()
		s.click("again")
		s.on("15")
	})
}

func TestPostRegistrationNotVerified(t *testing.T) {
	for name, c := range map[string]struct {
		answer             any
		screen, then, onto string
	}{
		"pending":       {pendingIDV, "138", "continue", "138"},
		"pending, anew": {pendingIDV, "138", "anew", "15"},
		"photos":        {answer{"status": "failed", "reason": "image_blurred"}, "20", "again", "15"},
		"another face":  {answer{"status": "failed", "reason": "enrolment_conflict"}, "22", "again", "15"},
		"failed":        {answer{"status": "failed", "reason": "face_mismatch"}, "23", "again", "15"},
		"expired":       {answer{"status": "expired"}, "24", "again", "15"},
		"abandoned":     {answer{"status": "abandoned"}, "25", "again", "15"},
		"another's":     {ofUser("U9", verified, unknownSession), "26", "again", "15"},
		"new word":      {answer{"status": "of_next_year"}, "26", "again", "15"},
		"down":          {down, "136", "again", "136"},
		"cannot be run": {broken, "136", "again", "136"},
	} {
		t.Run(name, func(t *testing.T) {
			s := newRegistration(t)
			s.answers("/idv/result", c.answer)
			s.signIn(somebody)
			s.on("134")
			s.click("continue")
			s.on(c.screen)
			s.outside()
			s.click(c.then)
			s.on(c.onto)
			s.outside()
			if got := s.accounts.Users[somebody].CustomAttributes; len(got) > 0 {
				t.Fatalf("the user has %v", got)
			}
		})
	}
	t.Run("begun anew at once", func(t *testing.T) {
		s := newRegistration(t)
		s.signIn(somebody)
		s.click("anew")
		s.on("15")
		s.click("continue")
		s.inside()
	})
}
