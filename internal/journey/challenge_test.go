package journey_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// faces is a step-up backend that answers what the test says.
type faces struct {
	mu      sync.Mutex
	now     func() time.Time
	opened  []journey.OpenStepUp
	openErr error
	answer  journey.StepUpProgress
	pollErr error
	during  func() // called within Poll, outside the lock
	state   string
}

func (f *faces) Backend() string { return "uwl" }

func (f *faces) Open(_ context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.openErr != nil {
		return journey.OpenedStepUp{}, f.openErr
	}
	f.opened = append(f.opened, r)
	id := fmt.Sprintf("up-%d", len(f.opened))
	return journey.OpenedStepUp{
		StepUpSession: proof.StepUpSession{ID: id, URL: "https://kosmos.example/sessions/session/" + id, Scan: true, Secret: []byte("s-" + id), State: f.state},
		Ends:          f.now().Add(time.Minute),
	}, nil
}

func (f *faces) Poll(_ context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	f.mu.Lock()
	answer, err, during := f.answer, f.pollErr, f.during
	if string(p.Secret) != "s-"+p.ID || p.UserIdentifier != "ada@example.com" {
		err = errors.New("asked about a session that was never opened")
	}
	f.mu.Unlock()
	if during != nil {
		during()
	}
	return answer, err
}

func (f *faces) set(a journey.StepUpProgress, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answer, f.pollErr = a, err
}

var (
	home     = netip.MustParseAddr("203.0.113.7")
	elsewhat = netip.MustParseAddr("198.51.100.1")
	match    = journey.StepUpProgress{Status: proof.ChallengeMatch}
	pending  = journey.StepUpProgress{Status: proof.ChallengePending}
	gone     = journey.StepUpProgress{Status: proof.ChallengeExpired, Reason: proof.ReasonTimeLimit}
	stranger = journey.StepUpProgress{Status: proof.ChallengeNoMatch, Reason: proof.ReasonFaceMismatch}
)

func ask() journey.ChallengeStart {
	return journey.ChallengeStart{Request: proof.ChallengeRequest{
		UserIdentifier: "ada@example.com", ReasonCode: "new_device", Transaction: "Pay 500 to Bob",
	}}
}

func (w *world) challenge(c proof.Caller, r journey.ChallengeStart) journey.ChallengeStarted {
	w.t.Helper()
	s, err := w.StartChallenge(ctx, c, r)
	if err != nil || s.Refused != "" {
		w.t.Fatalf("start: %+v %v", s, err)
	}
	return s
}

func (w *world) enter(s journey.ChallengeStarted) string {
	w.t.Helper()
	_, cookie, err := w.OpenChallenge(ctx, s.ChallengeID, lastPart(s.ChallengeURL), "", "", home)
	if err != nil {
		w.t.Fatalf("open: %v", err)
	}
	return cookie
}

func lastPart(url string) string { return url[strings.LastIndexByte(url, '/')+1:] }

func (w *world) pollFace(id string) time.Time {
	w.t.Helper()
	next, err := w.PollChallenge(ctx, w.job(id))
	if err != nil {
		w.t.Fatalf("poll: %v", err)
	}
	return next
}

func (w *world) answered(c proof.Caller, id string) proof.Challenge {
	w.t.Helper()
	r, err := w.ChallengeResult(ctx, c, id, "", "")
	if err != nil {
		w.t.Fatalf("result: %v", err)
	}
	return r
}

func (w *world) trail(object string) string {
	w.t.Helper()
	var list []string
	if err := w.store.View(ctx, func(tx journey.Tx) error {
		list = nil
		records, err := tx.AuditOf("acme", object)
		for _, r := range records {
			a := strings.TrimPrefix(r.Action, "challenge.")
			if r.Reason != "" {
				a += " " + string(r.Reason)
			}
			list = append(list, a)
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return strings.Join(list, ", ")
}

// Every way through a challenge, with the audit trail that it leaves.
func TestChallengeScenarios(t *testing.T) {
	down := &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}
	untrusted := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonAnswerUntrusted}
	half := 0.5
	for _, c := range []struct {
		name   string
		play   func(w *world, s journey.ChallengeStarted)
		status proof.ChallengeStatus
		reason proof.Reason
		audit  string
	}{
		{"match", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeMatch, "", "started, opened, match"},
		{"match with a score", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(journey.StepUpProgress{Status: proof.ChallengeMatch, Confidence: &half}, nil)
			w.pollFace(s.ChallengeID)
			if r := w.answered(shop, s.ChallengeID); r.Confidence == nil || *r.Confidence != half || r.Basis != proof.BasisProviderScore {
				w.t.Errorf("%+v", r)
			}
		}, proof.ChallengeMatch, "", "started, opened, match"},
		{"no match", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(stranger, nil)
			w.pollFace(s.ChallengeID)
			w.faces.set(match, nil) // too late: the first answer stays
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeNoMatch, proof.ReasonFaceMismatch, "started, opened, no_match face_mismatch"},
		{"a match without a look for life", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(journey.StepUpProgress{Status: proof.ChallengeMatch, Liveness: proof.LivenessNone}, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeFailed, proof.ReasonLivenessUnavailable, "started, opened, failed liveness_unavailable"},
		{"declined", func(w *world, s journey.ChallengeStarted) {
			v, err := w.DeclineChallenge(ctx, s.ChallengeID, w.enter(s))
			if err != nil || v.Status != proof.ChallengeFailed {
				w.t.Errorf("%+v %v", v, err)
			}
		}, proof.ChallengeFailed, proof.ReasonDeclined, "started, opened, failed declined"},
		{"a session that ends is renewed", func(w *world, s journey.ChallengeStarted) {
			cookie := w.enter(s)
			w.faces.set(gone, nil)
			w.now = w.now.Add(61 * time.Second)
			w.pollFace(s.ChallengeID)
			w.faces.set(pending, nil)
			v, err := w.ViewChallenge(ctx, s.ChallengeID, cookie)
			if err != nil || v.Session != 2 || !strings.HasSuffix(v.UpstreamURL, "up-2") || !v.Scan {
				w.t.Errorf("%+v %v", v, err)
			}
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeMatch, "", "started, opened, match"},
		{"the page renews by itself", func(w *world, s journey.ChallengeStarted) {
			w.now = w.now.Add(2 * time.Minute) // before anybody comes
			w.faces.set(gone, nil)
			if next := w.pollFace(s.ChallengeID); next.IsZero() {
				w.t.Error("not polled any more")
			}
			if next := w.pollFace(s.ChallengeID); !next.IsZero() || len(w.faces.opened) != 1 {
				w.t.Error("renewed although nobody is there")
			}
			cookie := w.enter(s)
			v, err := w.ViewChallenge(ctx, s.ChallengeID, cookie)
			if err != nil || v.Session != 2 || v.UpstreamURL == "" || v.Transaction != "Pay 500 to Bob" || v.MaskedAccount != "a•••@example.com" {
				w.t.Errorf("%+v %v", v, err)
			}
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeMatch, "", "started, opened, match"},
		{"an answer that cannot be believed, then a good one", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(pending, untrusted)
			w.pollFace(s.ChallengeID)
			if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengePending || len(w.faces.opened) != 2 {
				w.t.Errorf("%+v, %d sessions", r, len(w.faces.opened))
			}
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeMatch, "", "started, opened, answer_refused answer_untrusted, match"},
		{"answers that cannot be believed again and again", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(pending, untrusted)
			for range 5 {
				w.pollFace(s.ChallengeID)
			}
		}, proof.ChallengeFailed, proof.ReasonAnswerUntrusted,
			"started, opened, answer_refused answer_untrusted, answer_refused answer_untrusted, failed answer_untrusted"},
		{"1Kosmos is away for a while", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(pending, down)
			for range 10 {
				w.pollFace(s.ChallengeID)
			}
			if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengePending || r.Reason != proof.ReasonUpstreamUnavailable {
				w.t.Errorf("%+v", r)
			}
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeMatch, "", "started, opened, match"},
		{"disabled meanwhile", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(gone, nil)
			w.faces.openErr = &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonUserDisabled}
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeFailed, proof.ReasonUserDisabled, "started, opened, failed user_disabled"},
		{"nobody comes", func(w *world, s journey.ChallengeStarted) {
			w.now = s.ExpiresAt
			if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengeExpired || r.Reason != proof.ReasonTimeLimit || !r.FinishedAt.Equal(s.ExpiresAt) {
				w.t.Errorf("before the job: %+v", r)
			}
			w.now = w.now.Add(time.Minute)
			w.expireChallenge(s)
		}, proof.ChallengeExpired, proof.ReasonTimeLimit, "started, expired time_limit"},
		{"a match a millisecond late", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(match, nil)
			w.faces.during = func() { w.now = s.ExpiresAt } // the deadline passes while 1Kosmos is being asked
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeExpired, proof.ReasonTimeLimit, "started, opened, expired time_limit"},
		{"told expired before a match was written", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			w.faces.set(match, nil)
			w.faces.during = func() { // another replica's clock is a little ahead, and it is asked just now
				w.faces.during = nil
				w.now = s.ExpiresAt
				if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengeExpired {
					w.t.Errorf("%+v", r)
				}
				w.now = s.ExpiresAt.Add(-time.Millisecond)
			}
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeExpired, proof.ReasonTimeLimit, "started, opened, expired time_limit"},
		{"erased after the deadline", func(w *world, s journey.ChallengeStarted) {
			w.now = s.ExpiresAt.Add(time.Second)
			if _, err := w.Erase(ctx, "acme", "ada@example.com"); err != nil {
				w.t.Error(err)
			}
		}, proof.ChallengeExpired, proof.ReasonTimeLimit, "started, expired time_limit"},
		{"erased", func(w *world, s journey.ChallengeStarted) {
			w.enter(s)
			done, err := w.Erase(ctx, "acme", "ada@example.com")
			if err != nil || done.Challenges != 1 {
				w.t.Errorf("%+v %v", done, err)
			}
			w.faces.set(match, nil)
			w.pollFace(s.ChallengeID)
		}, proof.ChallengeFailed, proof.ReasonErased, "started, opened, failed erased"},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := newWorld(t)
			s := w.challenge(shop, ask())
			c.play(w, s)
			r := w.answered(shop, s.ChallengeID)
			if r.Status != c.status || r.Reason != c.reason {
				t.Errorf("%s %q, want %s %q", r.Status, r.Reason, c.status, c.reason)
			}
			if (r.Status == proof.ChallengeMatch || r.Status == proof.ChallengeNoMatch) && r.Basis == "" || r.FinishedAt.IsZero() {
				t.Errorf("%+v", r)
			}
			if got := w.trail("challenge:" + s.ChallengeID); got != c.audit {
				t.Errorf("audit: %s\n want: %s", got, c.audit)
			}
		})
	}
}

func (w *world) expireChallenge(s journey.ChallengeStarted) {
	w.t.Helper()
	if next, err := w.ExpireChallenge(ctx, w.job(s.ChallengeID)); err != nil || !next.IsZero() {
		w.t.Fatalf("expire: %v %v", next, err)
	}
}

func TestChallengeRefusals(t *testing.T) {
	w := newWorld(t)
	for _, reason := range []proof.Reason{proof.ReasonUserUnknown, proof.ReasonUserNotEnrolled, proof.ReasonUserDisabled} {
		w.faces.openErr = &proof.Error{Code: proof.CodeForbidden, Reason: reason}
		s, err := w.StartChallenge(ctx, shop, ask())
		if err != nil || s != (journey.ChallengeStarted{Refused: reason}) {
			t.Errorf("%+v %v", s, err)
		}
	}
	if got := w.trail("caller:shop"); got != "refused user_unknown, refused user_not_enrolled, refused user_disabled" {
		t.Errorf("audit: %s", got)
	}
	w.faces.openErr = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamUnavailable, Temporary: true}
	if _, err := w.StartChallenge(ctx, shop, ask()); proof.CodeOf(err) != proof.CodeUnavailable {
		t.Errorf("%v", err)
	}
	w.faces.openErr = nil
	for name, c := range map[string]struct {
		change func(*journey.ChallengeStart)
		code   proof.Code
	}{
		"no user":          {func(r *journey.ChallengeStart) { r.Request.UserIdentifier = "" }, proof.CodeInvalid},
		"too short":        {func(r *journey.ChallengeStart) { r.Timeout = 29 * time.Second }, proof.CodeInvalid},
		"too long":         {func(r *journey.ChallengeStart) { r.Timeout = 16 * time.Minute }, proof.CodeInvalid},
		"foreign callback": {func(r *journey.ChallengeStart) { r.CallbackURL = "https://evil.example/" }, proof.CodeForbidden},
	} {
		r := ask()
		c.change(&r)
		if s, err := w.StartChallenge(ctx, shop, r); proof.CodeOf(err) != c.code {
			t.Errorf("%s: %+v %v", name, s, err)
		}
	}
	if len(w.faces.opened) != 0 {
		t.Errorf("%d sessions were opened for nothing", len(w.faces.opened))
	}
}

// Guessing is bounded, and the bound outlives a restart because it is in the store.
func TestChallengeLimits(t *testing.T) {
	w := newWorld(t)
	for i := range 3 { // as many failures as there may be
		s := w.challenge(shop, ask())
		w.enter(s)
		w.faces.set(stranger, nil)
		w.pollFace(s.ChallengeID)
		w.faces.set(pending, nil)
		if got := w.answered(shop, s.ChallengeID).Status; got != proof.ChallengeNoMatch {
			t.Fatalf("%d: %s", i, got)
		}
	}
	s, err := w.StartChallenge(ctx, other, ask()) // another caller: it is the subject that is protected
	if err != nil || s.Refused != proof.ReasonTooManyAttempts || s.ChallengeURL != "" || !s.RetryAt.Equal(w.now.Add(15*time.Minute)) {
		t.Fatalf("%+v %v", s, err)
	}
	if n := len(w.faces.opened); n != 3 {
		t.Errorf("1Kosmos was troubled %d times", n)
	}
	someone := ask()
	someone.Request.UserIdentifier = "bob@example.com"
	if s, err := w.StartChallenge(ctx, shop, someone); err != nil || s.Refused != "" {
		t.Errorf("refusing one person refused another: %+v %v", s, err)
	}
	w.now = w.now.Add(17 * time.Minute)
	for range 5 {
		w.challenge(shop, ask())
	}
	if s, err := w.StartChallenge(ctx, shop, ask()); err != nil || s.Refused != proof.ReasonTooManyAttempts {
		t.Errorf("%+v %v", s, err)
	}
	w.now = w.now.Add(12 * time.Minute)
	if s, err := w.StartChallenge(ctx, alien, ask()); err != nil || s.Refused != "" {
		t.Errorf("another tenant: %+v %v", s, err)
	}
}

// One network may open links so often. A wrong secret counts for nothing: it opens
// nothing, and could be sent by anybody to shut out their neighbours.
func TestChallengeNetworkLimit(t *testing.T) {
	w := newWorld(t)
	for i := range 20 {
		r := ask()
		r.Request.UserIdentifier = fmt.Sprintf("user-%d", i)
		w.enter(w.challenge(shop, r))
	}
	s := w.challenge(shop, ask())
	for range 30 {
		if _, _, err := w.OpenChallenge(ctx, s.ChallengeID, "wrong", "", "", elsewhat); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Fatal(err)
		}
	}
	near := netip.MustParseAddr("203.0.113.200")
	if _, _, err := w.OpenChallenge(ctx, s.ChallengeID, lastPart(s.ChallengeURL), "", "", near); proof.CodeOf(err) != proof.CodeRateLimited {
		t.Errorf("%v", err)
	}
	if _, _, err := w.OpenChallenge(ctx, s.ChallengeID, lastPart(s.ChallengeURL), "", "", elsewhat); err != nil {
		t.Errorf("%v", err)
	}
}

func TestChallengeBelongsToCallerAndUser(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	for name, err := range map[string]error{
		"other caller": second(w.ChallengeResult(ctx, other, s.ChallengeID, "", "")),
		"other tenant": second(w.ChallengeResult(ctx, alien, s.ChallengeID, "", "")),
		"other user":   second(w.ChallengeResult(ctx, shop, s.ChallengeID, "bob@example.com", "")),
		"other choice": second(w.ChallengeResult(ctx, shop, s.ChallengeID, "", "another decision")),
		"unknown":      second(w.ChallengeResult(ctx, shop, "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "", "")),
	} {
		if proof.CodeOf(err) != proof.CodeNotFound || proof.ReasonOf(err) != proof.ReasonUnknownChallenge {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := w.ChallengeResult(ctx, shop, s.ChallengeID, "ada@example.com", ""); err != nil {
		t.Error(err)
	}
}

func second[T any](_ T, err error) error { return err }

// Whoever was forgotten is nobody's any more: their match does not become that of
// whoever is asked for.
func TestChallengeOfForgottenSubject(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	w.enter(s)
	w.faces.set(match, nil)
	w.pollFace(s.ChallengeID)
	if _, err := w.Erase(ctx, "acme", "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	for _, user := range []string{"ada@example.com", "victim@example.com"} {
		if _, err := w.ChallengeResult(ctx, shop, s.ChallengeID, user, ""); proof.ReasonOf(err) != proof.ReasonUnknownChallenge {
			t.Errorf("%s: %v", user, err)
		}
	}
}

// A match is for one login.
func TestChallengeUsed(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	w.enter(s)
	w.faces.set(match, nil)
	w.pollFace(s.ChallengeID)
	w.now = w.now.Add(10*time.Minute - time.Second)
	if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengeMatch {
		t.Errorf("%+v", r)
	}
	w.now = w.now.Add(time.Second)
	if r := w.answered(shop, s.ChallengeID); r.Status != proof.ChallengeFailed || r.Reason != proof.ReasonChallengeUsed || r.Confidence != nil {
		t.Errorf("%+v", r)
	}
}

// Spelling a name otherwise is no way around its limits.
func TestChallengeLimitsIgnoreCase(t *testing.T) {
	w := newWorld(t)
	refused := 0
	for _, name := range []string{"ada", "Ada", "aDa", "adA", "ADa", "ADA", "aDA"} {
		r := ask()
		r.Request.UserIdentifier = name
		s, err := w.StartChallenge(ctx, shop, r)
		if err != nil {
			t.Fatal(err)
		}
		if s.Refused == proof.ReasonTooManyAttempts {
			refused++
		}
	}
	if refused != 2 {
		t.Errorf("%d refused of 7, 5 allowed", refused)
	}
}

// Looking at a page again and again does not ask 1Kosmos more often than it wants.
func TestChallengePageWaits(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	browser := w.enter(s)
	w.now = w.now.Add(61 * time.Second)
	w.faces.set(gone, nil)
	w.faces.openErr = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUpstreamRateLimited, Temporary: true, RetryAfter: time.Minute}
	tries := 0
	w.faces.during = func() { tries++ }
	for range 10 {
		if v, err := w.ViewChallenge(ctx, s.ChallengeID, browser); err != nil || v.UpstreamURL != "" {
			t.Errorf("%+v %v", v, err)
		}
	}
	if tries != 1 {
		t.Errorf("asked %d times", tries)
	}
	w.faces.openErr = nil
	w.now = w.now.Add(time.Minute)
	if v, err := w.ViewChallenge(ctx, s.ChallengeID, browser); err != nil || v.UpstreamURL == "" {
		t.Errorf("%+v %v", v, err)
	}
}

func TestChallengeIdempotency(t *testing.T) {
	w := newWorld(t)
	r := ask()
	r.IdempotencyKey = "flow-1"
	first, again := w.challenge(shop, r), w.challenge(shop, r)
	if first != again || len(w.faces.opened) != 1 {
		t.Errorf("%+v\n%+v", first, again)
	}
	r.Request.Transaction = "Pay 5000 to Bob"
	if _, err := w.StartChallenge(ctx, shop, r); proof.ReasonOf(err) != proof.ReasonIdempotencyConflict {
		t.Error(err)
	}
	if s := w.challenge(other, r); s.ChallengeID == first.ChallengeID {
		t.Error("a key of another caller")
	}
}

// A phone takes over by a link short enough to be typed.
func TestChallengeHandover(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	browser := w.enter(s)
	if _, _, err := w.OpenChallenge(ctx, s.ChallengeID, lastPart(s.ChallengeURL), "", "", home); proof.ReasonOf(err) != proof.ReasonLinkUsed {
		t.Errorf("a second browser: %v", err)
	}
	secret, expires, err := w.HandoverChallenge(ctx, s.ChallengeID, browser)
	if err != nil || len(secret) != 26 || !expires.Equal(s.ExpiresAt) {
		t.Fatalf("%q %v %v", secret, expires, err)
	}
	typed := strings.ToUpper(secret[:5] + "-" + secret[5:])
	v, phone, err := w.OpenChallengeHandover(ctx, typed, "", elsewhat)
	if err != nil || !v.Phone || v.ID != s.ChallengeID || phone == browser {
		t.Fatalf("%+v %v", v, err)
	}
	if _, _, err := w.OpenChallengeHandover(ctx, secret, "", home); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("a second phone: %v", err)
	}
	if _, _, err := w.HandoverChallenge(ctx, s.ChallengeID, phone); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Errorf("the phone hands over further: %v", err)
	}
	if v, err := w.ViewChallenge(ctx, s.ChallengeID, browser); err != nil || v.Phone || !v.HandedOver {
		t.Errorf("%+v %v", v, err)
	}
}

// What a browser brings back counts only in the bound browser, for the session
// that is open, and once.
func TestChallengeReturned(t *testing.T) {
	w := newWorld(t)
	w.faces.state = "right"
	s := w.challenge(shop, ask())
	browser := w.enter(s)
	bring := func(browser, state, code string) error {
		_, err := w.ReturnedToChallenge(ctx, s.ChallengeID, browser, map[string]string{"state": state, "code": code})
		return err
	}
	if err := bring("another browser", "right", "stolen"); proof.ReasonOf(err) != proof.ReasonLinkEnded {
		t.Error(err)
	}
	if err := bring(browser, "wrong", "stolen"); err != nil {
		t.Error(err)
	}
	if v, _ := w.ViewChallenge(ctx, s.ChallengeID, browser); v.UpstreamURL == "" {
		t.Error("a foreign return was taken")
	}
	if err := bring(browser, "right", "mine"); err != nil {
		t.Error(err)
	}
	if v, _ := w.ViewChallenge(ctx, s.ChallengeID, browser); v.UpstreamURL != "" || v.Status != proof.ChallengePending {
		t.Errorf("%+v", v)
	}
}

// Two answers at the same time yield one outcome, on both stores, and everybody is
// told the same ever after.
func TestChallengeRace(t *testing.T) {
	for name, open := range map[string]func(t *testing.T) *store.Store{
		"sqlite": func(t *testing.T) *store.Store {
			s, err := store.OpenSQLite(ctx, filepath.Join(t.TempDir(), "race.db"))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
		"postgres": func(t *testing.T) *store.Store {
			s, err := store.Open(ctx, pgtest.URL(t))
			if err != nil {
				t.Fatal(err)
			}
			return s
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorldOn(t, open)
			for range 10 {
				r := ask()
				r.Request.UserIdentifier = "ada@example.com"
				s := w.challenge(shop, r)
				browser := w.enter(s)
				verdicts := []func(){
					func() { w.conclude(s, match) },
					func() { w.conclude(s, stranger) },
					func() { _, _ = w.DeclineChallenge(ctx, s.ChallengeID, browser) },
					func() { w.conclude(s, match) },
				}
				var all sync.WaitGroup
				for _, f := range verdicts {
					all.Go(f)
				}
				all.Wait()
				first := w.answered(shop, s.ChallengeID)
				if !first.Status.Terminal() {
					t.Fatalf("%+v", first)
				}
				w.faces.set(match, nil)
				w.pollFace(s.ChallengeID)
				if again := w.answered(shop, s.ChallengeID); again.Status != first.Status || again.Reason != first.Reason || !again.FinishedAt.Equal(first.FinishedAt) {
					t.Errorf("%s, then %s", first.Status, again.Status)
				}
				if trail := w.trail("challenge:" + s.ChallengeID); strings.Count(trail, ",") != 2 {
					t.Errorf("more than one outcome: %s", trail)
				}
				w.now = w.now.Add(time.Hour) // past the limits
				w.faces.set(pending, nil)
			}
		})
	}
}

// conclude polls as a worker of another replica would, with an answer of its own.
func (w *world) conclude(s journey.ChallengeStarted, a journey.StepUpProgress) {
	f := &faces{now: func() time.Time { return w.now }, answer: a}
	if _, err := w.replica(f).PollChallenge(ctx, w.job(s.ChallengeID)); err != nil {
		w.t.Errorf("replica: %v", err)
	}
}

// After the retention time nothing personal is left, and a subject that nothing
// else needs is forgotten.
func TestChallengePurge(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	w.enter(s)
	w.faces.set(match, nil)
	w.pollFace(s.ChallengeID)
	w.now = w.now.Add(25 * time.Hour)
	if _, err := w.PurgeChallenge(ctx, w.job(s.ChallengeID)); err != nil {
		t.Fatal(err)
	}
	c := w.answered(shop, s.ChallengeID)
	if c.Reason != proof.ReasonChallengeUsed || c.SealedRequest != nil || c.SealedSession != nil || c.Network != nil || c.RequestHash != nil {
		t.Errorf("%+v", c)
	}
	if got := w.trail("subject:" + c.Subject); got != "subject.forgotten" {
		t.Errorf("audit: %q", got)
	}
}

// Nothing personal and nothing that opens anything is in the database file.
func TestChallengeLeavesNothingInTheClear(t *testing.T) {
	w := newWorld(t)
	s := w.challenge(shop, ask())
	browser := w.enter(s)
	short, _, err := w.HandoverChallenge(ctx, s.ChallengeID, browser)
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{w.path, w.path + "-wal"} {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"ada@example.com", "Pay 500", "sessions/session/up", lastPart(s.ChallengeURL), browser, short, "203.0.113"} {
			if strings.Contains(string(b), secret) {
				t.Errorf("%s holds %q", filepath.Base(file), secret)
			}
		}
	}
}
