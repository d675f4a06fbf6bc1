package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// rule is one that is on, on one action.
func rule(on string, do ...hooks.Action) hooks.Rule {
	return hooks.Rule{ID: "r", Name: "R", On: []string{on}, Do: do}
}

// What is shipped does what the documentation says, and nothing that locks an account.
func TestDefaults(t *testing.T) {
	t.Parallel()
	for _, p := range hooks.Check(hooks.Defaults()) {
		if !p.Warning {
			t.Errorf("%s: %s", p.Path, p.Message)
		}
	}
	harmless := []string{hooks.WriteAttributes, hooks.WriteAudit, hooks.Erase, hooks.Notify}
	for _, r := range hooks.Defaults() {
		for _, a := range r.Do {
			if !r.Off && !slices.Contains(harmless, a.Do) {
				t.Errorf("rule %s is on and does %s, which takes something from an account or starts something", r.ID, a.Do)
			}
			if a.Do == hooks.WriteStatus {
				t.Errorf("rule %s sets the status of an account, which nothing that is shipped does", r.ID)
			}
			if a.Do == hooks.Erase && !slices.Equal(r.On, []string{"UserDeleted"}) {
				t.Errorf("rule %s erases on %v", r.ID, r.On)
			}
		}
	}
}

func TestDefaultsAtWork(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	ada := w.subject("ada@example.org")
	w.project.users["ada@example.org"] = hooks.User{UserID: "U-ada"}
	w.verification(ada, proof.Verified, "IAL2")
	w.run()
	want := []string{
		"patch ada@example.org kosmosIal=IAL2 kosmosIalExpiresAt=2026-11-30T12:00:30Z kosmosIdvStatus=verified kosmosVerifiedAt=2026-11-29T12:00:30Z",
		"audit KosmosIdvCompleted U-ada verified",
	}
	slices.Sort(w.project.log)
	slices.Sort(want)
	if !slices.Equal(w.project.log, want) {
		t.Errorf("Descope was told\n%s\nwant\n%s", strings.Join(w.project.log, "\n"), strings.Join(want, "\n"))
	}
	w.project.log, w.outbox.drafts = nil, nil
	w.later(time.Minute)
	w.verification(ada, proof.Failed, "")
	w.challenge(ada, proof.ChallengeMatch)
	w.challenge(ada, proof.ChallengeNoMatch)
	w.accept(told("UserCreated", w.clock(), "bob@example.org"))
	w.run()
	if len(w.project.log) != 0 || len(w.mail.sent) != 0 {
		t.Errorf("what failed was written, or a link was sent: %v %v", w.project.log, w.mail.sent)
	}
	var types []string
	for _, d := range w.outbox.drafts {
		types = append(types, d.Type)
		if d.Subject != ada.ID {
			t.Errorf("told of %s, want %s", d.Subject, ada.ID)
		}
	}
	slices.Sort(types)
	if !slices.Equal(types, []string{"hook.step-up-failed", "verification.ended"}) {
		t.Errorf("told others %+v", w.outbox.drafts)
	}
	w.accept(told("UserDeleted", w.clock(), "ada@example.org"))
	w.run()
	if !slices.Equal(w.journey.erased, []string{ada.ID}) {
		t.Errorf("erased %v, want %s", w.journey.erased, ada.ID)
	}
	list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Action: "UserDeleted", Limit: 10})
	if err != nil || len(list) != 1 || list[0].Content != nil || list[0].State != hooks.EventDone {
		t.Errorf("after erasing, the event says %+v, %v", list, err)
	}
	for _, v := range w.works() {
		if v.Kind == hooks.Erase && (v.State != hooks.WorkDone || v.Action != "") {
			t.Errorf("the work that erased still says %+v", v)
		}
	}
	if len(w.errs) > 0 {
		t.Errorf("jobs failed: %v", w.errs)
	}
}

// A user may choose a login id that is an id of somebody else here.
func TestEraseByAnID(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	ada := w.subject("ada@example.org")
	v := w.verification(ada, proof.Verified, "")
	w.accept(told("UserDeleted", w.clock(), v.ID), told("UserDeleted", w.clock(), ada.ID))
	w.run()
	if len(w.journey.erased) != 0 {
		t.Fatalf("erased %v", w.journey.erased)
	}
}

// A verification without a level takes away the level of an earlier one; an older one whose
// turn comes late changes nothing.
func TestOutcomeOrder(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	ada := w.subject("ada@example.org")
	w.publish(rule(hooks.VerificationEnded, hooks.Action{Do: hooks.WriteAttributes}))
	w.project.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true}
	w.verification(ada, proof.Verified, "IAL2")
	w.run()
	w.project.err = nil
	w.later(500 * time.Millisecond)
	w.verification(ada, proof.Verified, "")
	w.run()
	w.later(time.Minute)
	w.run()
	if len(w.project.log) != 2 || w.project.log[1] != "patch ada@example.org kosmosIal=<nil> kosmosIalExpiresAt=<nil> kosmosIdvStatus=verified kosmosVerifiedAt=2026-11-29T12:00:30Z" {
		t.Errorf("Descope was told %q", w.project.log)
	}
	if first := w.works()[0]; first.State != hooks.WorkSkipped || first.Reason != hooks.ReasonSuperseded {
		t.Errorf("the older one is %s (%s)", first.State, first.Reason)
	}
}

func TestAttributes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, expression, want string
		descope                bool // the event is Descope's
	}{
		{name: "a text", expression: `"x" + event.status`, want: "a=xverified"},
		{name: "a truth", expression: `event.status == "verified"`, want: "a=true"},
		{name: "a number", expression: `1 + 1`, want: "a=2"},
		{name: "a list", expression: `["x", event.caller]`, want: "a=[x app]"},
		{name: "a claim that the caller may see", expression: `result.given_name`, want: "a=ADA"},
		{name: "one that it may not", expression: `result.family_name`},
		{name: "what cannot be told", expression: `event.geo`},
		{name: "what cannot be told, asked for", expression: `has(event.geo) ? event.geo : "unknown"`, want: "a=unknown"},
		{name: "nothing", expression: `""`, want: "a=<nil>"},
		{name: "data", expression: `event.data.plan`, want: "a=gold", descope: true},
		{name: "data that is missing", expression: `event.data.price`, descope: true},
		{name: "a result of an event of Descope", expression: `result.status`, descope: true},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			do := hooks.Action{Do: hooks.WriteAttributes, Attributes: map[string]string{"a": tc.expression}}
			if tc.descope {
				w.publish(rule("LoginSucceed", do))
				e := told("LoginSucceed", w.clock(), "ada@example.org")
				e.Content.Data["plan"] = "gold"
				w.accept(e)
			} else {
				w.publish(rule(hooks.VerificationEnded, do))
				w.verification(w.subject("ada@example.org"), proof.Verified, "")
			}
			w.run()
			if tc.want == "" {
				w.want(hooks.WorkSkipped, hooks.ReasonNothingToDo)
			} else if want := []string{"patch ada@example.org " + tc.want}; !slices.Equal(w.project.log, want) {
				t.Errorf("Descope was told %q, want %q", w.project.log, want)
			}
		})
	}
}

func TestDeliver(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		do     hooks.Action
		logins []string
		user   *hooks.User
		state  hooks.WorkState
		reason proof.Reason
		check  func(t *testing.T, w *stage)
	}{
		{name: "message", do: hooks.Action{Do: hooks.StartVerification, Deliver: "message"}, logins: []string{"ada@example.org"}, state: hooks.WorkDone,
			check: func(t *testing.T, w *stage) {
				if len(w.mail.sent) != 1 || !strings.HasPrefix(w.mail.sent[0], "ada@example.org hook:") {
					t.Errorf("sent %q", w.mail.sent)
				}
				if len(w.journey.asked) != 1 || w.journey.asked[0].Request.UserIdentifier != "ada@example.org" || w.journey.callers[0] != tenant+"/hooks" {
					t.Errorf("asked %+v as %v", w.journey.asked, w.journey.callers)
				}
			}},
		{name: "message, address at Descope", do: hooks.Action{Do: hooks.StartVerification, Deliver: "message", Caller: "app"}, logins: []string{"ada"},
			user: &hooks.User{Email: "a@b.example", Verified: true}, state: hooks.WorkDone,
			check: func(t *testing.T, w *stage) {
				if len(w.mail.sent) != 1 || !strings.HasPrefix(w.mail.sent[0], "a@b.example ") || w.journey.callers[0] != tenant+"/app" {
					t.Errorf("sent %q as %v", w.mail.sent, w.journey.callers)
				}
			}},
		{name: "message, address not verified", do: hooks.Action{Do: hooks.StartVerification, Deliver: "message"}, logins: []string{"ada"},
			user: &hooks.User{Email: "a@b.example"}, state: hooks.WorkFailed, reason: hooks.ReasonNoAddress},
		{name: "message, no such user", do: hooks.Action{Do: hooks.StartVerification, Deliver: "message"}, logins: []string{"ada"}, state: hooks.WorkFailed, reason: hooks.ReasonNoAddress},
		{name: "flow", do: hooks.Action{Do: hooks.StartVerification, Deliver: "flow", Flow: "send-link"}, logins: []string{"ada"}, state: hooks.WorkDone,
			check: func(t *testing.T, w *stage) {
				if len(w.project.log) != 1 || !strings.HasPrefix(w.project.log[0], "flow send-link ada https://bridge.example/v/") {
					t.Errorf("Descope was told %q", w.project.log)
				}
			}},
		{name: "none", do: hooks.Action{Do: hooks.StartVerification, Deliver: "none", Type: "hook.link"}, logins: []string{"ada"}, state: hooks.WorkDone,
			check: func(t *testing.T, w *stage) {
				if len(w.outbox.drafts) != 1 || w.outbox.drafts[0].Type != "hook.link" || !strings.HasPrefix(fmt.Sprint(w.outbox.drafts[0].Data["session_url"]), "https://bridge.example/v/") {
					t.Errorf("told %+v", w.outbox.drafts)
				}
			}},
		{name: "nobody", do: hooks.Action{Do: hooks.StartVerification, Deliver: "none"}, state: hooks.WorkSkipped, reason: hooks.ReasonNobody},
		{name: "challenge", do: hooks.Action{Do: hooks.StartChallenge, Deliver: "none"}, logins: []string{"ada"}, state: hooks.WorkDone,
			check: func(t *testing.T, w *stage) {
				if len(w.outbox.drafts) != 1 || w.outbox.drafts[0].Data["challenge_id"] != "c" {
					t.Errorf("told %+v", w.outbox.drafts)
				}
			}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			w.publish(rule("LoginFailed", tc.do))
			e := told("LoginFailed", w.clock(), tc.logins...)
			if tc.logins == nil {
				e.Content.UserID = ""
			} else if tc.user != nil {
				w.project.users[tc.logins[0]] = *tc.user
			}
			w.accept(e)
			w.run()
			w.want(tc.state, tc.reason)
			if tc.check != nil {
				tc.check(t, w)
			}
		})
	}
}

func TestChallengeRefused(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.journey.refused = proof.ReasonUserNotEnrolled
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.StartChallenge, Deliver: "none"}))
	w.accept(told("LoginFailed", w.clock(), "ada"))
	w.run()
	w.want(hooks.WorkFailed, proof.ReasonUserNotEnrolled)
}

func TestChangeUser(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		do   hooks.Action
		want string
	}{
		{hooks.Action{Do: hooks.WriteStatus, Status: "disabled"}, "status ada disabled"},
		{hooks.Action{Do: hooks.AddRoles, Roles: []string{"a", "b"}}, "add ada [a b]"},
		{hooks.Action{Do: hooks.RemoveRoles, Roles: []string{"a"}}, "remove ada [a]"},
		{hooks.Action{Do: hooks.RevokeSessions}, "logout ada"},
	} {
		t.Run(tc.do.Do, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			w.publish(rule("LoginFailed", tc.do))
			w.accept(told("LoginFailed", w.clock(), "ada"))
			w.run()
			if w.want(hooks.WorkDone, ""); !slices.Equal(w.project.log, []string{tc.want}) {
				t.Errorf("Descope was told %q, want %q", w.project.log, tc.want)
			}
		})
	}
}

// What an error makes of work: by the kind of its effect, and by what the error says.
func TestErrors(t *testing.T) {
	t.Parallel()
	unavailable := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true}
	dial := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, Err: &net.OpError{Op: "dial", Err: errors.New("refused")}}
	limited := &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Temporary: true, RetryAfter: 9 * time.Second}
	refused := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonDescopeRefused}
	idempotent := hooks.Action{Do: hooks.RevokeSessions}
	unknown := hooks.Action{Do: hooks.StartVerification, Deliver: "flow", Flow: "f"}
	readback := hooks.Action{Do: hooks.WriteAudit, Type: "X"}
	for _, tc := range []struct {
		name   string
		do     hooks.Action
		err    error
		state  hooks.WorkState // after the first run
		reason proof.Reason
		calls  int // in all, once it answers again after a minute
		end    hooks.WorkState
	}{
		{"idempotent, unavailable", idempotent, unavailable, hooks.WorkWaiting, proof.ReasonDescopeUnavailable, 2, hooks.WorkDone},
		{"idempotent, limited", idempotent, limited, hooks.WorkWaiting, proof.ReasonRateLimited, 2, hooks.WorkDone},
		{"idempotent, refused", idempotent, refused, hooks.WorkFailed, proof.ReasonDescopeRefused, 1, hooks.WorkFailed},
		{"idempotent, any error", idempotent, errors.New("x"), hooks.WorkWaiting, proof.ReasonInternal, 2, hooks.WorkDone},
		{"unknown, unavailable", unknown, unavailable, hooks.WorkParked, hooks.ReasonOutcomeUnknown, 1, hooks.WorkParked},
		{"unknown, any error", unknown, errors.New("x"), hooks.WorkParked, hooks.ReasonOutcomeUnknown, 1, hooks.WorkParked},
		{"unknown, no connection", unknown, dial, hooks.WorkWaiting, proof.ReasonDescopeUnavailable, 2, hooks.WorkDone},
		{"unknown, limited", unknown, limited, hooks.WorkWaiting, proof.ReasonRateLimited, 2, hooks.WorkDone},
		{"unknown, refused", unknown, refused, hooks.WorkFailed, proof.ReasonDescopeRefused, 1, hooks.WorkFailed},
		{"readback, unavailable", readback, unavailable, hooks.WorkWaiting, proof.ReasonDescopeUnavailable, 1, hooks.WorkWaiting},
		{"readback, no connection", readback, dial, hooks.WorkWaiting, proof.ReasonDescopeUnavailable, 2, hooks.WorkDone},
		{"readback, limited", readback, limited, hooks.WorkWaiting, proof.ReasonRateLimited, 2, hooks.WorkDone},
		{"readback, refused", readback, refused, hooks.WorkFailed, proof.ReasonDescopeRefused, 1, hooks.WorkFailed},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			w.publish(rule("LoginFailed", tc.do))
			w.project.err = tc.err
			w.accept(told("LoginFailed", w.clock(), "ada"))
			w.run()
			w.want(tc.state, tc.reason)
			w.project.err = nil
			w.later(time.Minute)
			w.run()
			if got := w.only(); got.State != tc.end || len(w.project.log) != tc.calls {
				t.Errorf("in the end %s after %d calls, want %s after %d", got.State, len(w.project.log), tc.end, tc.calls)
			}
			if len(w.journey.asked) > 1 {
				t.Errorf("%d verifications were started", len(w.journey.asked))
			}
		})
	}
}

// The entry was written, and the answer said otherwise, or was lost: it is looked for, and
// for as long as it may still come into the trail nothing is written again.
func TestEntryIsLookedFor(t *testing.T) {
	t.Parallel()
	for name, there := range map[string]bool{"there": true, "not there": false} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			w.publish(rule("LoginFailed", hooks.Action{Do: hooks.WriteAudit, Type: "X"}))
			w.project.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true}
			w.accept(told("LoginFailed", w.clock(), "ada"))
			w.run()
			w.project.err = nil
			for range 3 {
				w.later(time.Minute)
				w.run()
			}
			w.want(hooks.WorkWaiting, proof.ReasonDescopeUnavailable)
			calls := 2
			if there {
				calls = 1
				w.project.trail = []hooks.Told{{Action: "X", Content: hooks.Content{Data: map[string]any{"work": w.only().ID}}}}
			}
			w.later(5 * time.Minute)
			w.run()
			w.want(hooks.WorkDone, "")
			if len(w.project.log) != calls {
				t.Errorf("%d calls, want %d: %v", len(w.project.log), calls, w.project.log)
			}
		})
	}
}

// Who outside is called says the lane: what needs nobody has none.
func TestLaneOf(t *testing.T) {
	t.Parallel()
	for lane, actions := range map[string][]hooks.Action{
		"descope " + tenant: {
			{Do: hooks.RevokeSessions}, {Do: hooks.WriteAttributes, Attributes: map[string]string{"a": `"b"`}}, {Do: hooks.WriteAudit, Type: "X"}, {Do: hooks.WriteStatus, Status: "enabled"},
			{Do: hooks.StartVerification, Deliver: "flow", Flow: "f"},
		},
		"1kosmos " + tenant: {{Do: hooks.StartVerification, Deliver: "message"}, {Do: hooks.StartChallenge, Deliver: "message"}},
		"":                  {{Do: hooks.Notify}, {Do: hooks.Erase}, {Do: hooks.StartVerification, Deliver: "none"}},
	} {
		for _, a := range actions {
			t.Run(a.Do+" "+a.Deliver, func(t *testing.T) {
				t.Parallel()
				w := newStage(t)
				w.publish(rule("LoginFailed", a))
				w.accept(told("LoginFailed", w.clock(), "ada@example.org"))
				pump, _ := w.claim(hooks.JobPump)
				if got := w.LaneOf(t.Context(), *pump); got != "" {
					t.Errorf("the pump is in the lane %q", got)
				}
				if _, err := w.Pump(t.Context(), *pump); err != nil {
					t.Fatal(err)
				}
				_, work := w.claim(hooks.JobWork)
				if got := w.LaneOf(t.Context(), *work); got != lane {
					t.Errorf("the lane is %q, want %q", got, lane)
				}
			})
		}
	}
}

func TestGivesUp(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	w.project.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true}
	w.accept(told("LoginFailed", w.clock(), "ada"))
	w.run()
	w.later(71 * time.Hour)
	w.run()
	w.want(hooks.WorkWaiting, proof.ReasonDescopeUnavailable)
	w.later(2 * time.Hour)
	w.run()
	w.want(hooks.WorkFailed, proof.ReasonDescopeUnavailable)
}

// The process dies while the outside is called: whoever comes next finds work that began.
func TestCrashWhileCalling(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name   string
		do     hooks.Action
		trail  bool // the entry is in Descope's trail
		again  int  // calls after the crash, at once
		later  int  // and ten minutes after
		parked bool
	}{
		{"unknown", hooks.Action{Do: hooks.StartVerification, Deliver: "message"}, false, 0, 0, true},
		{"idempotent", hooks.Action{Do: hooks.RevokeSessions}, false, 1, 0, false},
		{"readback, done", hooks.Action{Do: hooks.WriteAudit, Type: "X"}, true, 0, 0, false},
		{"readback, not done", hooks.Action{Do: hooks.WriteAudit, Type: "X"}, false, 0, 1, false},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			w.mail.effect = hooks.Unknown
			w.publish(rule("LoginFailed", tc.do))
			w.accept(told("LoginFailed", w.clock(), "ada@example.org"))
			pump, work := w.claim(hooks.JobPump)
			if work != nil {
				t.Fatal("work before the pump")
			}
			if _, err := w.Pump(t.Context(), *pump); err != nil {
				t.Fatal(err)
			}
			_, work = w.claim(hooks.JobWork)
			func() {
				defer func() { _ = recover() }()
				w.project.after = func() { panic("the process dies here") }
				w.mail.err = errDies
				ctx, cancel := context.WithCancel(t.Context())
				defer cancel()
				carryAndDie(ctx, w, *work)
			}()
			w.project.after, w.mail.err = nil, nil
			before := len(w.project.log) + len(w.mail.sent)
			if before != 1 {
				t.Fatalf("%d calls before the crash", before)
			}
			if tc.trail {
				w.project.trail = []hooks.Told{{Action: "X", Content: hooks.Content{Data: map[string]any{"work": work.Key}}}}
			}
			_, err := w.Carry(t.Context(), *work)
			if got := len(w.project.log) + len(w.mail.sent) - before; got != tc.again {
				t.Errorf("%d calls after the crash, want %d (%v)", got, tc.again, err)
			}
			w.later(10 * time.Minute)
			before = len(w.project.log) + len(w.mail.sent)
			_, err = w.Carry(t.Context(), *work)
			if got := len(w.project.log) + len(w.mail.sent) - before; got != tc.later || err != nil {
				t.Errorf("%d calls ten minutes later, want %d (%v)", got, tc.later, err)
			}
			if !tc.parked {
				w.want(hooks.WorkDone, "")
				return
			}
			w.want(hooks.WorkParked, hooks.ReasonOutcomeUnknown)
			if v, err := w.Retry(t.Context(), tenant, "operator:ada", work.Key); err != nil || v.State != hooks.WorkWaiting {
				t.Fatalf("retry: %+v, %v", v, err)
			}
			w.run()
			if w.want(hooks.WorkDone, ""); len(w.mail.sent) != 2 || w.mail.sent[0] != w.mail.sent[1] {
				t.Errorf("sent %q, want the same twice", w.mail.sent)
			}
		})
	}
}
