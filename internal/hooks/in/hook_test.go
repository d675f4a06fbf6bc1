package in_test

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

const login = `{"identifier":"ann@example.com","ip":"198.51.100.7","known_device":"true","bot":false,"risk_score":"0.2","callback_url":"` + back + `"}`

func TestPreLogin(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer    decide.Answer
		err       error
		action    string
		reasons   string
		challenge bool
	}{
		"allow":        {decide.Answer{Verdict: risk.Allow}, nil, in.Continue, "[]", false},
		"step up":      {decide.Answer{Verdict: risk.StepUp, Reasons: []risk.Reason{"new_device", "vpn"}}, nil, in.StepUp, "[new_device vpn]", true},
		"deny":         {decide.Answer{Verdict: risk.Deny, Reasons: []risk.Reason{"velocity"}}, nil, in.Deny, "[velocity]", false},
		"no verdict":   {decide.Answer{Verdict: "maybe"}, nil, in.StepUp, "[]", true},
		"no answer":    {decide.Answer{Verdict: risk.Allow}, errors.New("the disk is full"), in.StepUp, "[unavailable]", true},
		"disk is full": {decide.Answer{Verdict: risk.Allow}, proof.ErrStale, in.StepUp, "[unavailable]", true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			s.risk.answer, s.risk.err = tt.answer, tt.err
			a := s.ask(in.PreLoginPath, login)
			if a.Action != tt.action || fmt.Sprint(a.Reasons) != tt.reasons || (a.ChallengeID != nil) != tt.challenge || (a.ChallengeURL != nil) != tt.challenge {
				t.Fatalf("%+v", a)
			}
			if (a.DecisionID == nil) != (tt.err != nil) || a.SessionID != nil || len(a.Reasons) > 0 && !is(a.Reason, a.Reasons[0]) {
				t.Fatalf("%+v", a)
			}
			l := s.risk.asked[0].Login
			if l.IP.String() != "198.51.100.7" || l.KnownDevice != risk.Yes || l.Bot != risk.No || l.RiskScore == nil {
				t.Fatalf("%+v", l)
			}
			if tt.challenge {
				c := s.proofing.challenges[0]
				if !c.Request.Discreet || c.Request.UserIdentifier != "ann@example.com" || c.CallbackURL != back || a.DecisionID != nil && c.DecisionID != *a.DecisionID {
					t.Fatalf("%+v", c)
				}
			}
			if strings.Contains(s.log.String(), "ann@") || strings.Contains(s.log.String(), "198.51") {
				t.Error("personal data in the log")
			}
		})
	}
}

// TestNobodyShows: for the same inputs the answer is the same in every byte but for ids,
// whether the identifier is of somebody who is enrolled, of somebody who is not, or of nobody.
func TestNobodyShows(t *testing.T) {
	t.Parallel()
	ids := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}`)
	for _, discreet := range []bool{true, false} {
		for name, change := range map[string]func(*stage){
			"allow":       func(s *stage) { s.risk.answer = decide.Answer{Verdict: risk.Allow} },
			"step up":     func(*stage) {},
			"no risk":     func(s *stage) { s.risk.err = errors.New("no") },
			"unknown":     func(s *stage) { s.proofing.refused = proof.ReasonUserUnknown },
			"full":        func(s *stage) { s.proofing.refused = proof.ReasonTooManyAttempts },
			"unavailable": func(s *stage) { s.proofing.err = errors.New("no") },
		} {
			t.Run(fmt.Sprint(name, discreet), func(t *testing.T) {
				t.Parallel()
				s := newStage(t, func(o *in.Options) { o.Tenants[0].Discreet = discreet })
				change(s)
				s.proofing.enrolled = map[string]bool{"ann@example.com": true}
				var first string
				for i, who := range []string{"ann@example.com", "bob@example.com", "zzz"} {
					for range 3 {
						w := s.post(in.PreLoginPath, strings.Replace(login, "ann@example.com", who, 1))
						body := fmt.Sprint(w.Code, w.Header()["Content-Type"], ids.ReplaceAllString(w.Body.String(), "ID"))
						if first == "" {
							first = body
						}
						if body != first {
							t.Fatalf("%d: %s\nand the first: %s", i, body, first)
						}
					}
				}
				for _, r := range s.risk.asked {
					if strings.Contains(r.UserIdentifier, "@") || !strings.HasPrefix(r.UserIdentifier, "pre-login:") {
						t.Fatalf("the risk is asked about the account %q", r.UserIdentifier)
					}
					if !r.Unauthenticated {
						t.Fatal("the risk is not told that nobody is authenticated")
					}
				}
				if discreet == (len(s.proofing.challenges) == 0) && name != "allow" {
					t.Fatalf("%d challenges", len(s.proofing.challenges))
				}
			})
		}
	}
}

func TestPreLoginLimits(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *in.Options) { o.Limits = in.Limits{Pair: 5, Network: 20, Identifier: 3} })
	call := func(who, ip string) in.Answer {
		return s.ask(in.PreLoginPath, fmt.Sprintf(`{"identifier":%q,"ip":%q}`, who, ip))
	}
	for i := range 8 {
		a := call([]string{"ann@example.com", "ANN@example.com"}[i%2], fmt.Sprint("198.51.100.", i))
		switch {
		case i < 3 && (a.Action != in.StepUp || a.ChallengeID == nil),
			i >= 3 && i < 5 && (a.Action != in.StepUp || a.ChallengeID != nil || a.Reasons[1] != "too_many_attempts" || a.RetryAt == nil),
			i >= 5 && (a.Action != in.Deny || !is(a.Reason, "too_many_attempts") || a.RetryAt == nil || a.DecisionID != nil):
			t.Fatalf("%d: %+v", i, a)
		}
	}
	// From elsewhere, and where nobody knows, the person is not kept out; only not rung up.
	for _, ip := range []string{"203.0.113.1", "2001:db8::1", "", "what?"} {
		if a := call("ann@example.com", ip); a.Action != in.StepUp || a.ChallengeID != nil {
			t.Fatalf("%q: %+v", ip, a)
		}
	}
	for i := range 20 {
		if a := call(fmt.Sprint("x", i), "198.51.100.9"); (a.Action == in.Deny) != (i >= 15) {
			t.Fatalf("%d of the network: %+v", i, a)
		}
	}
	if a := call("x", "198.51.101.9"); a.Action == in.Deny {
		t.Fatal("the network next door is refused")
	}
	s.later(16 * time.Minute)
	if a := call("ann@example.com", "198.51.100.1"); a.ChallengeID == nil {
		t.Fatalf("later: %+v", a)
	}
}

// TestHooksInTime: whatever hangs, there is an answer within 2 s, and it asks for more.
func TestHooksInTime(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		hang       func(*stage)
		path, body string
		action     string
	}{
		"risk":         {func(s *stage) { s.risk.hangs = true }, in.PreLoginPath, login, in.StepUp},
		"challenge":    {func(s *stage) { s.proofing.hangs = true }, in.PreLoginPath, login, in.StepUp},
		"verification": {func(s *stage) { s.proofing.hangs = true }, in.PostRegistrationPath, `{"user_identifier":"U1"}`, in.Verify},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				s := newStage(t)
				tt.hang(s)
				begin := time.Now()
				a := s.ask(tt.path, tt.body)
				if a.Action != tt.action || a.ChallengeID != nil || a.SessionID != nil || a.Reasons[len(a.Reasons)-1] != "unavailable" {
					t.Fatalf("%+v", a)
				}
				if took := time.Since(begin); took >= 2*time.Second {
					t.Fatal(took)
				}
			})
		})
	}
}

func TestHooksStrict(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		path, body, field string
		code              int
	}{
		{in.PreLoginPath, `{"identifier":"a","ipp":"x"}`, "ipp", 400},
		{in.PreLoginPath, `{"identifier":""}`, "identifier", 400},
		{in.PreLoginPath, `{"identifier":null,"ip":null}`, "identifier", 400},
		{in.PreLoginPath, `{"identifier":"a","user_identifier":"a"}`, "user_identifier", 400},
		{in.PreLoginPath, `{"identifier":"a","bot":"perhaps"}`, "bot", 400},
		{in.PreLoginPath, `{"identifier":"a","callback_url":"https://evil.example/"}`, "callback_url", 403},
		{in.PreLoginPath, `[]`, "", 400},
		{in.PreLoginPath, `{"identifier":"a","identifier":"b"}`, "identifier", 400},
		{in.PostRegistrationPath, `{"user_identifier":"a","name":"x"}`, "name", 400},
		{in.PostRegistrationPath, `{"email":"a@b.c"}`, "user_identifier", 400},
		{in.PostRegistrationPath, `{"user_identifier":"a","document_types":["visa"]}`, "document_types[0]", 400},
		{in.PostRegistrationPath, `{"user_identifier":"a","liveness_mode":"x"}`, "liveness_mode", 400},
		{in.PostRegistrationPath, `{"user_identifier":"a","callback_url":"https://evil.example/"}`, "callback_url", 403},
		{in.PostRegistrationPath, strings.Repeat(" ", 70<<10), "", 413},
	} {
		s := newStage(t)
		w := s.post(tt.path, tt.body)
		if w.Code != tt.code || tt.field != "" && !strings.Contains(w.Body.String(), `"field":"`+tt.field+`"`) || w.Header().Get("Content-Type") != "application/problem+json" {
			t.Errorf("%s: %d %s", tt.body, w.Code, w.Body)
		}
		if len(s.proofing.starts)+len(s.proofing.challenges)+len(s.risk.asked) > 0 {
			t.Errorf("%s: something was begun", tt.body)
		}
	}
	s := newStage(t)
	if a := s.ask(in.PreLoginPath, `{"identifier":"a","ip":"","known_device":null,"last_ips":"","scopes":null}`); a.Action != in.StepUp {
		t.Errorf("absent fields: %+v", a)
	}
	if w := s.post(in.PreLoginPath, login, "X-Nothing", "1"); w.Code != 401 {
		t.Error(w.Code)
	}
	if w := s.post("/descope/v1/hooks/other", login); w.Code != 404 {
		t.Error(w.Code)
	}
	r, _ := http.NewRequestWithContext(t.Context(), "GET", in.PreLoginPath, nil)
	w := newRecorder()
	if s.door.ServeHTTP(w, r); w.Code != 405 || w.Header().Get("Allow") != "POST" {
		t.Error(w.Code, w.Header())
	}
}

func TestPostRegistration(t *testing.T) {
	t.Parallel()
	rule := in.Registration{Otherwise: in.Continue, Verify: []string{"risky.example", "*.Risky.example"}, Continue: []string{"acme.example"}}
	staff := in.Registration{Continue: []string{"acme.example"}}
	for name, tt := range map[string]struct {
		rule   in.Registration
		fields string
		action string
		reason string
	}{
		"default":               {in.Registration{}, `"email":"a@acme.example"`, in.Verify, "registered"},
		"default, no address":   {in.Registration{}, `"email":null`, in.Verify, "registered"},
		"named":                 {rule, `"email":"a@RISKY.example"`, in.Verify, "email_domain"},
		"below":                 {rule, `"email":"a@x.risky.example"`, in.Verify, "email_domain"},
		"beside":                {rule, `"email":"a@notrisky.example"`, in.Continue, "registered"},
		"other":                 {rule, `"email":"a@b.example"`, in.Continue, "registered"},
		"dot at the end":        {rule, `"email":"a@risky.example."`, in.Verify, "email_domain"},
		"two signs":             {rule, `"email":"a@acme.example@risky.example"`, in.Verify, "email_domain"},
		"address unknown":       {rule, `"email":""`, in.Verify, "email_unknown"},
		"no address at all":     {rule, `"email":"acme.example"`, in.Verify, "email_unknown"},
		"nobody is named":       {in.Registration{Otherwise: in.Continue}, `"email":""`, in.Continue, "registered"},
		"staff, verified":       {staff, `"email":"a@acme.example","email_verified":"true"`, in.Continue, "email_domain"},
		"staff, only typed":     {staff, `"email":"a@acme.example"`, in.Verify, "registered"},
		"staff, of another one": {staff, `"email":"a@x.acme.example","email_verified":true`, in.Verify, "registered"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(o *in.Options) { o.Tenants[0].Registration = tt.rule })
			a := s.ask(in.PostRegistrationPath, `{"user_identifier":"U1","document_types":"passport","liveness_mode":"active","callback_url":"`+back+`",`+tt.fields+`}`)
			if a.Action != tt.action || !is(a.Reason, tt.reason) || a.DecisionID == nil || (a.SessionURL != nil) != (tt.action == in.Verify) || (a.SessionID != nil) != (tt.action == in.Verify) {
				t.Fatalf("%+v", a)
			}
			if tt.action == in.Verify {
				r := s.proofing.starts[0]
				if r.Request.UserIdentifier != "U1" || r.DocumentTypes[0] != proof.Passport || r.Liveness != proof.LivenessActive || r.CallbackURL != back {
					t.Fatalf("%+v", r)
				}
			}
		})
	}
}

func TestPostRegistrationTroubles(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	s.proofing.err = errors.New("no")
	if a := s.ask(in.PostRegistrationPath, `{"user_identifier":"U1"}`); a.Action != in.Verify || a.SessionID != nil || a.Reasons[1] != "unavailable" {
		t.Fatalf("%+v", a)
	}
	s.proofing.err = &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Field: "document_types", Message: "no"}
	if w := s.post(in.PostRegistrationPath, `{"user_identifier":"U1"}`); w.Code != 403 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	// A rule that lets people go on does so only if that can be written down.
	s = newStage(t, func(o *in.Options) { o.Tenants[0].Registration.Otherwise = in.Continue })
	_ = s.store.Close()
	if a := s.ask(in.PostRegistrationPath, `{"user_identifier":"U1"}`); a.Action != in.Verify || !is(a.Reason, "unavailable") {
		t.Fatalf("%+v", a)
	}
	if a := s.ask(in.PreLoginPath, login); a.Action != in.StepUp || !is(a.Reason, "unavailable") {
		t.Fatalf("%+v", a)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*in.Options){
		"no store":         func(o *in.Options) { o.Store = nil },
		"tenant twice":     func(o *in.Options) { o.Tenants = append(o.Tenants, o.Tenants[0]) },
		"short secret":     func(o *in.Options) { o.Tenants[0].CallbackSecrets = []string{"short"} },
		"short key":        func(o *in.Options) { o.Tenants[0].CallbackHMAC = []string{"short"} },
		"odd rule":         func(o *in.Options) { o.Tenants[0].Registration.Otherwise = in.Deny },
		"address, no name": func(o *in.Options) { o.Tenants[0].Registration.Verify = []string{"a@b.c"} },
		"a star inside":    func(o *in.Options) { o.Tenants[0].Registration.Verify = []string{"a.*.c"} },
	} {
		var o in.Options
		newStage(t, func(good *in.Options) { o = *good })
		o.Tenants = append([]in.Tenant(nil), o.Tenants...)
		change(&o)
		if _, err := in.New(o); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}
