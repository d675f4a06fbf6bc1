package journey_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// project is a Descope project that answers what the test says.
type project struct {
	mu     sync.Mutex
	told   []proof.ExternalAuth
	errs   []error // of one call after the other; then none
	during func()  // called within a call, outside the lock
}

func (p *project) CompleteExternalAuth(_ context.Context, a proof.ExternalAuth) (string, error) {
	p.mu.Lock()
	p.told = append(p.told, a)
	n, during := len(p.told), p.during
	var err error
	if len(p.errs) > 0 {
		err, p.errs = p.errs[0], p.errs[1:]
	}
	p.mu.Unlock()
	if during != nil {
		during()
	}
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("https://app.example/?descope-login-flow=f&code=%d", n), nil
}

func (p *project) fail(errs ...error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.errs = errs
}

var (
	flows = proof.Caller{
		ID: "flows", Tenant: "acme", Application: "Acme", Liveness: []proof.LivenessMode{"active"}, CallbackURLs: []string{"https://shop.example/done"},
		ExternalAuth: []proof.Node{proof.NodeIDV, proof.NodeStepUp},
	}
	no     = &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonDescopeRefused}
	silent = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true}
)

const (
	ada     = "ada@example.com"
	request = "3IRC|#|exec_11+/=~"
)

// voyage is a world whose tenant has a Descope project, and one trip in it: a
// verification or a challenge of ada's.
type voyage struct {
	*world
	project *project
	logged  *bytes.Buffer
	callers *[]proof.Caller // who is configured
	face    bool            // it is a challenge

	id, secret string
}

func newVoyage(t *testing.T, face bool, change ...func(*journey.Tenant)) *voyage {
	t.Helper()
	w := newWorld(t)
	v := &voyage{world: w, project: &project{}, logged: &bytes.Buffer{}, callers: &[]proof.Caller{flows, shop, other}, face: face}
	w.options.Tenants[0].External.Descope = v.project
	for _, c := range change {
		c(&w.options.Tenants[0])
	}
	w.options.Logger = slog.New(slog.NewTextHandler(v.logged, nil))
	w.options.Callers = func(tenant, id string) (proof.Caller, bool) {
		i := slices.IndexFunc(*v.callers, func(c proof.Caller) bool { return c.Tenant == tenant && c.ID == id })
		if i < 0 {
			return proof.Caller{}, false
		}
		return (*v.callers)[i], true
	}
	w.Service = journey.New(w.options)
	if face {
		s := w.challenge(flows, journey.ChallengeStart{ExternalAuth: true, Request: proof.ChallengeRequest{UserIdentifier: ada}})
		v.id, v.secret = s.ChallengeID, lastPart(s.ChallengeURL)
	} else {
		s := w.start(flows, journey.StartRequest{ExternalAuth: true, Request: proof.Request{UserIdentifier: ada}})
		v.id, v.secret = s.SessionID, secretOf(s)
	}
	return v
}

// both runs a test with a verification and with a challenge.
func both(t *testing.T, f func(*testing.T, *voyage), change ...func(*journey.Tenant)) {
	for name, face := range map[string]bool{"verification": false, "challenge": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			f(t, newVoyage(t, face, change...))
		})
	}
}

func (v *voyage) open(browser, request string) (cookie string, err error) {
	if v.face {
		_, cookie, err = v.OpenChallenge(ctx, v.id, v.secret, browser, request, home)
	} else {
		_, cookie, err = v.Open(ctx, v.id, v.secret, browser, request)
	}
	return cookie, err
}

func (v *voyage) come() (cookie string) {
	v.t.Helper()
	cookie, err := v.open("", request)
	if err != nil {
		v.t.Fatalf("open: %v", err)
	}
	return cookie
}

// end lets it end well or badly.
func (v *voyage) end(cookie string, good bool) {
	v.t.Helper()
	if v.face {
		v.faces.set(stranger, nil)
		if good {
			v.faces.set(match, nil)
		}
		v.pollFace(v.id)
		return
	}
	if _, err := v.Consent(ctx, v.id, cookie, proof.Passport); err != nil {
		v.t.Fatal(err)
	}
	v.kosmos.answer = journey.Progress{Status: proof.Failed, Reason: proof.ReasonFaceUncertain}
	if good {
		v.kosmos.answer = success()
	}
	v.world.poll(v.id)
}

func (v *voyage) decline(cookie string) {
	v.t.Helper()
	var err error
	if v.face {
		_, err = v.DeclineChallenge(ctx, v.id, cookie)
	} else {
		_, err = v.Decline(ctx, v.id, cookie)
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *voyage) runOut() {
	v.t.Helper()
	v.now = v.now.Add(time.Hour)
	var err error
	if v.face {
		_, err = v.ExpireChallenge(ctx, v.job(v.id))
	} else {
		_, err = v.Expire(ctx, v.job(v.id))
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

func (v *voyage) purge() {
	v.t.Helper()
	var err error
	if v.face {
		_, err = v.PurgeChallenge(ctx, v.job(v.id))
	} else {
		_, err = v.Purge(ctx, v.job(v.id))
	}
	if err != nil {
		v.t.Fatal(err)
	}
}

// back is the way back by one of the processes on the store.
func (v *voyage) backBy(s *journey.Service, browser string) (string, error) {
	if v.face {
		return s.ReturnChallenge(ctx, v.id, browser)
	}
	return s.Return(ctx, v.id, browser)
}

func (v *voyage) back(browser string) (string, error) { return v.backBy(v.Service, browser) }

func (v *voyage) mustBack(browser string) string {
	v.t.Helper()
	to, err := v.back(browser)
	if err != nil {
		v.t.Fatalf("back: %v", err)
	}
	return to
}

func (v *voyage) way(browser string) (journey.WayBack, proof.Reason) {
	v.t.Helper()
	if v.face {
		s, err := v.ViewChallenge(ctx, v.id, browser)
		if err != nil {
			v.t.Fatal(err)
		}
		return s.WayBack, s.Lost
	}
	s, err := v.View(ctx, v.id, browser)
	if err != nil {
		v.t.Fatal(err)
	}
	return s.WayBack, s.Lost
}

// events is what the trail says about the round trip alone.
func (v *voyage) events() string {
	v.t.Helper()
	kind := "verification"
	if v.face {
		kind = "challenge"
	}
	var list []string
	if err := v.store.View(ctx, func(tx journey.Tx) error {
		list = nil
		records, err := tx.AuditOf("acme", kind+":"+v.id)
		for _, r := range records {
			a, _ := strings.CutPrefix(r.Action, kind+".")
			if !strings.HasPrefix(a, "external_") && !strings.HasPrefix(a, "return_") {
				continue
			}
			for _, s := range []string{string(r.Reason), r.Detail["result"]} {
				if s != "" {
					a += " " + s
				}
			}
			list = append(list, a)
		}
		return err
	}); err != nil {
		v.t.Fatal(err)
	}
	return strings.Join(list, ", ")
}

func again(err error) bool {
	e, ok := errors.AsType[*proof.Error](err)
	return ok && e.Temporary
}

var nobodys = regexp.MustCompile(`^kosmos-failed-[0-9a-f-]{36}$`)

// Every end, who Descope is told came back, and with what.
func TestReturnTellsHowItEnded(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		face bool
		play func(*voyage, string)
		good bool
		want map[string]string
	}{
		"verified":  {false, func(v *voyage, b string) { v.end(b, true) }, true, map[string]string{"kosmos_result": "verified"}},
		"failed":    {false, func(v *voyage, b string) { v.end(b, false) }, false, map[string]string{"kosmos_result": "failed", "kosmos_reason": "face_mismatch"}},
		"abandoned": {false, (*voyage).decline, false, map[string]string{"kosmos_result": "abandoned", "kosmos_reason": "declined"}},
		"expired":   {false, func(v *voyage, _ string) { v.runOut() }, false, map[string]string{"kosmos_result": "expired", "kosmos_reason": "time_limit"}},
		"with a level": {false, func(v *voyage, b string) {
			p := success()
			p.Outcome.Checks = append(p.Outcome.Checks, proof.Check{Name: "chip", Outcome: proof.CheckPass})
			if _, err := v.Consent(ctx, v.id, b, proof.Passport); err != nil {
				v.t.Fatal(err)
			}
			v.kosmos.answer = p
			v.world.poll(v.id)
		}, true, map[string]string{"kosmos_result": "verified", "kosmos_ial": "IAL1"}},
		"match":        {true, func(v *voyage, b string) { v.end(b, true) }, true, map[string]string{"kosmos_result": "match"}},
		"no match":     {true, func(v *voyage, b string) { v.end(b, false) }, false, map[string]string{"kosmos_result": "no_match", "kosmos_reason": "face_mismatch"}},
		"declined":     {true, (*voyage).decline, false, map[string]string{"kosmos_result": "error", "kosmos_reason": "declined"}},
		"time ran out": {true, func(v *voyage, _ string) { v.runOut() }, false, map[string]string{"kosmos_result": "expired", "kosmos_reason": "time_limit"}},
		"nobody's job": {true, func(v *voyage, _ string) { v.now = v.now.Add(time.Hour) }, false, map[string]string{"kosmos_result": "expired", "kosmos_reason": "time_limit"}},
		"just a pretty": {true, func(v *voyage, _ string) { // a match that nobody looked for life in
			v.faces.set(journey.StepUpProgress{Status: proof.ChallengeMatch, Liveness: proof.LivenessNone}, nil)
			v.pollFace(v.id)
		}, false, map[string]string{"kosmos_result": "error", "kosmos_reason": "liveness_unavailable"}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			v := newVoyage(t, c.face)
			b := v.come()
			if way, _ := v.way(b); way != journey.WayBackNone {
				t.Errorf("before the end: %q", way)
			}
			if _, err := v.back(b); proof.CodeOf(err) != proof.CodeConflict {
				t.Errorf("before the end: %v", err)
			}
			c.play(v, b)
			if way, _ := v.way(b); way != journey.WayBackOpen {
				t.Errorf("at the end: %q", way)
			}
			if to := v.mustBack(b); to != "https://app.example/?descope-login-flow=f&code=1" {
				t.Errorf("to %s", to)
			}
			v.now = v.now.Add(30 * time.Second)
			if to := v.mustBack(b); to != "https://app.example/?descope-login-flow=f&code=1" {
				t.Errorf("the second time to %s", to)
			}
			if len(v.project.told) != 1 {
				t.Fatalf("told %v", v.project.told)
			}
			a := v.project.told[0]
			if a.RequestID != request || c.good != (a.LoginID == ada) || c.good == nobodys.MatchString(a.LoginID) {
				t.Errorf("told %+v", a)
			}
			id := map[bool]string{false: "kosmos_session", true: "kosmos_challenge"}[c.face]
			if _, err := time.Parse(time.RFC3339, a.Claims["completed_at"]); err != nil || a.Claims[id] != v.id {
				t.Errorf("claims %v", a.Claims)
			}
			delete(a.Claims, id)
			delete(a.Claims, "completed_at")
			if !maps.Equal(a.Claims, c.want) {
				t.Errorf("claims %v, want %v", a.Claims, c.want)
			}
			result := c.want["kosmos_result"]
			if got, want := v.events(), "external_bound, return_asked "+result+", return_completed "+result; got != want {
				t.Errorf("audit: %s\n want: %s", got, want)
			}
		})
	}
}

func TestNobodyIsAnotherEachTime(t *testing.T) {
	t.Parallel()
	seen := map[string]bool{}
	for range 3 {
		v := newVoyage(t, true)
		b := v.come()
		v.decline(b)
		v.mustBack(b)
		seen[v.project.told[0].LoginID] = true
	}
	if len(seen) != 3 {
		t.Errorf("%v", seen)
	}
}

// A link into a flow opens first with the id of Descope's request and with none but
// that one ever after.
func TestALinkIntoAFlowNeedsARequest(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		for _, bad := range []string{"", " ", "a b", "a\"b", "<script>", "a\\b", "a{b}", "é", "a\x00", strings.Repeat("x", 513)} {
			if cookie, err := v.open("", bad); proof.ReasonOf(err) != proof.ReasonLinkPart || cookie != "" {
				t.Errorf("%q: %q %v", bad, cookie, err)
			}
		}
		b := v.come()
		if again, err := v.open(b, "another-request"); err != nil || again != b {
			t.Errorf("the same browser with another request: %v", err)
		}
		if again, err := v.open(b, ""); err != nil || again != b {
			t.Errorf("the same browser without: %v", err)
		}
		if _, err := v.open("", "another-request"); proof.ReasonOf(err) != proof.ReasonLinkUsed {
			t.Errorf("another browser: %v", err)
		}
		v.end(b, true)
		v.mustBack(b)
		if a := v.project.told; len(a) != 1 || a[0].RequestID != request {
			t.Errorf("told %v", a)
		}
		if got := strings.Count(v.events(), "external_bound"); got != 1 {
			t.Errorf("bound %d times", got)
		}
	})
}

// Whoever gets hold of a link and opens it first, with a request of their own, has
// to pass as the person whom the caller named, and is nobody when they do not. The
// person then does not get in, and is not used.
func TestAStrangerWhoOpensFirst(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		thief, err := v.open("", "request-of-the-thief")
		if err != nil {
			t.Fatal(err)
		}
		if _, err := v.open("", request); proof.ReasonOf(err) != proof.ReasonLinkUsed {
			t.Errorf("the person: %v", err)
		}
		v.end(thief, false)
		v.mustBack(thief)
		if a := v.project.told[0]; a.RequestID != "request-of-the-thief" || !nobodys.MatchString(a.LoginID) || a.Claims["kosmos_result"] == "match" || a.Claims["kosmos_result"] == "verified" {
			t.Errorf("told %+v", a)
		}
	})
}

// A link without a round trip stays one, whatever the browser adds to it.
func TestABrowserDoesNotMakeARoundTrip(t *testing.T) {
	t.Parallel()
	v := newVoyage(t, true)
	s := v.challenge(flows, journey.ChallengeStart{Request: proof.ChallengeRequest{UserIdentifier: ada}})
	_, b, err := v.OpenChallenge(ctx, s.ChallengeID, lastPart(s.ChallengeURL), "", request, home)
	if err != nil {
		t.Fatal(err)
	}
	v.id = s.ChallengeID
	v.end(b, true)
	if way, _ := v.way(b); way != journey.WayBackNone {
		t.Errorf("%q", way)
	}
	if _, err := v.back(b); proof.CodeOf(err) != proof.CodeConflict || len(v.project.told) != 0 {
		t.Errorf("%v, told %v", err, v.project.told)
	}
	if got := v.events(); got != "" {
		t.Errorf("audit: %s", got)
	}
}

func TestOnlyTheBrowserThatCameReturns(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		var phone string
		if v.face {
			secret, _, err := v.HandoverChallenge(ctx, v.id, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, phone, err = v.OpenChallengeHandover(ctx, secret, "", home); err != nil {
				t.Fatal(err)
			}
		} else {
			secret, _, err := v.Handover(ctx, v.id, b)
			if err != nil {
				t.Fatal(err)
			}
			if _, phone, err = v.OpenHandover(ctx, v.id, secret, ""); err != nil {
				t.Fatal(err)
			}
		}
		v.end(phone, true)
		if way, _ := v.way(phone); way != journey.WayBackNone {
			t.Errorf("the phone's way: %q", way)
		}
		for name, browser := range map[string]string{"phone": phone, "none": "", "wrong": "stranger", "secret of the link": v.secret} {
			if to, err := v.back(browser); proof.ReasonOf(err) != proof.ReasonLinkEnded || to != "" {
				t.Errorf("%s: %q %v", name, to, err)
			}
		}
		if len(v.project.told) != 0 {
			t.Fatalf("told %v", v.project.told)
		}
		to := v.mustBack(b)
		if got, err := v.back(phone); err == nil || got == to {
			t.Errorf("the phone got the address: %q %v", got, err)
		}
		v.id = "019aaf10-7f00-7000-8000-000000000000"
		if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonLinkEnded {
			t.Errorf("an unknown id: %v", err)
		}
	})
}

func TestTabsThatReturnAtOnceAreOneCall(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		var mu sync.Mutex
		got := map[string]int{}
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				to, err := v.back(b)
				if err != nil {
					t.Error(err)
				}
				mu.Lock()
				defer mu.Unlock()
				got[to]++
			})
		}
		wg.Wait()
		if len(got) != 1 || len(v.project.told) != 1 {
			t.Errorf("%v, told %d times", got, len(v.project.told))
		}
	})
}

func TestAReturnThatDescopeRefusesIsOver(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		v.project.fail(no)
		if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonDescopeRefused {
			t.Errorf("%v", err)
		}
		if way, lost := v.way(b); way != journey.WayBackLost || lost != proof.ReasonDescopeRefused {
			t.Errorf("%q %q", way, lost)
		}
		if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonDescopeRefused || len(v.project.told) != 1 {
			t.Errorf("again: %v, told %d times", err, len(v.project.told))
		}
		if got := v.events(); !strings.HasSuffix(got, ", return_refused descope_refused") {
			t.Errorf("audit: %s", got)
		}
	})
}

// What nobody knows the outcome of is tried again by the person's click alone, with
// the same words, and not for ever.
func TestAReturnOfUnknownOutcome(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, false)
		v.project.fail(silent, errors.New("something odd: token=abc"), silent)
		for range 3 {
			if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonDescopeUnavailable || !again(err) {
				t.Errorf("%v", err)
			}
			if way, _ := v.way(b); way != journey.WayBackAgain {
				t.Errorf("%q: goes on by itself", way)
			}
		}
		to := v.mustBack(b)
		if way, _ := v.way(b); way != journey.WayBackOpen {
			t.Errorf("%q", way)
		}
		if v.mustBack(b) != to || len(v.project.told) != 4 {
			t.Errorf("told %d times", len(v.project.told))
		}
		for _, a := range v.project.told[1:] {
			if a.LoginID != v.project.told[0].LoginID || !maps.Equal(a.Claims, v.project.told[0].Claims) || a.RequestID != request {
				t.Errorf("told %+v, then %+v", v.project.told[0], a)
			}
		}
		if log := v.logged.String(); strings.Contains(log, ada) || strings.Contains(log, request) || strings.Contains(log, v.secret) || strings.Contains(log, "code=") {
			t.Errorf("logged %s", log)
		}
	})
}

func TestReturnsEnd(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		v.project.fail(slices.Repeat([]error{silent}, 9)...)
		for range 7 {
			if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonDescopeUnavailable {
				t.Errorf("%v", err)
			}
		}
		if way, lost := v.way(b); way != journey.WayBackLost || lost != proof.ReasonDescopeUnavailable || len(v.project.told) != 5 {
			t.Errorf("%q %q, told %d times", way, lost, len(v.project.told))
		}
		want := "external_bound" + strings.Repeat(", return_asked "+v.project.told[0].Claims["kosmos_result"]+", return_unknown descope_unavailable", 5)
		if got := v.events(); got != want {
			t.Errorf("audit: %s\n want: %s", got, want)
		}
	})
}

// A process that dies between telling Descope and writing down what it said leaves a
// trip of which nobody knows what came.
func TestAProcessDiesWhileDescopeIsTold(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		died := make(chan struct{})
		var wg sync.WaitGroup
		defer wg.Wait()
		defer close(died)
		asked := make(chan struct{})
		v.project.during = func() { close(asked); <-died }
		wg.Go(func() { _, _ = v.back(b) }) // never hears of it as long as the test runs
		<-asked
		v.project.mu.Lock()
		v.project.during = nil
		v.project.mu.Unlock()

		next := journey.New(v.options)
		_, err := v.backBy(next, b)
		e, ok := errors.AsType[*proof.Error](err)
		if !ok || e.Reason != proof.ReasonDescopeUnavailable || !e.Temporary || e.RetryAfter != 25*time.Second || len(v.project.told) != 1 {
			t.Errorf("at once: %v, told %d times", err, len(v.project.told))
		}
		if way, _ := v.way(b); way != journey.WayBackAgain {
			t.Errorf("%q", way)
		}
		v.now = v.now.Add(25 * time.Second)
		if to, err := v.backBy(next, b); err != nil || to != "https://app.example/?descope-login-flow=f&code=2" {
			t.Errorf("%q %v", to, err)
		}
		if a := v.project.told; len(a) != 2 || a[0].LoginID != a[1].LoginID || a[1].LoginID != ada {
			t.Errorf("told %v", a)
		}
		result := v.project.told[0].Claims["kosmos_result"]
		if got, want := v.events(), "external_bound, return_asked "+result+", return_asked "+result+", return_completed "+result; got != want {
			t.Errorf("audit: %s\n want: %s", got, want)
		}
	})
}

// Whoever returns from a challenge whose deadline has passed is told to Descope as
// the store has it, even if no job and no page came by.
func TestAReturnAfterTheDeadline(t *testing.T) {
	t.Parallel()
	v := newVoyage(t, true)
	b := v.come()
	v.faces.set(match, nil)
	v.now = v.now.Add(5 * time.Minute)
	v.mustBack(b)
	v.pollFace(v.id) // too late
	if a := v.project.told[0]; !nobodys.MatchString(a.LoginID) || a.Claims["kosmos_result"] != "expired" {
		t.Errorf("told %+v", a)
	}
	if r := v.answered(flows, v.id); r.Status != proof.ChallengeExpired {
		t.Errorf("and the node is told %s", r.Status)
	}
}

// A good end leads back for a while, and a bad one until its data goes.
func TestReturnsAreForOneLogin(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		ended := v.now
		v.now = ended.Add(10*time.Minute - time.Second)
		v.mustBack(b)
		v.now = ended.Add(10 * time.Minute)
		late := map[bool]proof.Reason{false: proof.ReasonTimeLimit, true: proof.ReasonChallengeUsed}[v.face]
		if way, lost := v.way(b); way != journey.WayBackLost || lost != late {
			t.Errorf("%q %q", way, lost)
		}
		if to, err := v.back(b); proof.ReasonOf(err) != late || to != "" {
			t.Errorf("%q %v", to, err)
		}
	})
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, false)
		v.now = v.now.Add(20 * time.Hour)
		v.mustBack(b)
	})
}

func TestNothingIsToldOfWhatIsGone(t *testing.T) {
	t.Parallel()
	for name, forget := range map[string]func(*voyage){
		"purged": func(v *voyage) {
			v.start(flows, journey.StartRequest{Request: proof.Request{UserIdentifier: ada}}) // else all of the subject goes
			v.purge()
		},
		"erased": func(v *voyage) {
			if _, err := v.Erase(ctx, "acme", ada); err != nil {
				v.t.Fatal(err)
			}
		},
	} {
		for _, before := range []bool{true, false} {
			t.Run(fmt.Sprintf("%s, returned before: %v", name, before), func(t *testing.T) {
				both(t, func(t *testing.T, v *voyage) {
					b := v.come()
					v.end(b, true)
					calls := 0
					if before {
						v.mustBack(b)
						calls = 1
					}
					forget(v)
					if way, lost := v.way(b); way != journey.WayBackLost || lost != proof.ReasonDataPurged {
						t.Errorf("%q %q", way, lost)
					}
					if to, err := v.back(b); proof.ReasonOf(err) != proof.ReasonDataPurged || to != "" || len(v.project.told) != calls {
						t.Errorf("%q %v, told %d times", to, err, len(v.project.told))
					}
				})
			})
		}
	}
}

func TestErasedWhileUnderWay(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) { // before it was over: it ends, and the way is gone with the data
		b := v.come()
		if _, err := v.Erase(ctx, "acme", ada); err != nil {
			t.Fatal(err)
		}
		if to, err := v.back(b); err == nil || len(v.project.told) != 0 {
			t.Errorf("%q %v, told %v", to, err, v.project.told)
		}
	})
	both(t, func(t *testing.T, v *voyage) { // while Descope was being told
		b := v.come()
		v.end(b, true)
		v.project.during = func() {
			if _, err := v.Erase(ctx, "acme", ada); err != nil {
				t.Error(err)
			}
		}
		if to, err := v.back(b); proof.ReasonOf(err) != proof.ReasonErased || to != "" {
			t.Errorf("%q %v", to, err)
		}
		if to, err := v.back(b); err == nil || len(v.project.told) != 1 {
			t.Errorf("again: %q %v, told %d times", to, err, len(v.project.told))
		}
	})
}

// What the way back needs stays as long as it is needed, also where nothing else is
// kept.
func TestTheWayBackOutlastsRetention(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		kind := map[bool]string{false: journey.JobPurge, true: journey.JobChallengePurge}[v.face]
		jobs, err := v.store.Claim(ctx, "test", v.now.Add(10*time.Minute-time.Second), 100, time.Minute)
		if err != nil {
			t.Fatal(err)
		}
		for _, j := range jobs {
			if j.Kind == kind {
				t.Errorf("%s is due", kind)
			}
		}
		v.mustBack(b)
	}, func(t *journey.Tenant) { t.Retention = 0 })
}

func TestStayOnFailure(t *testing.T) {
	t.Parallel()
	stay := func(t *journey.Tenant) { t.External.StayOnFailure = true }
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, false)
		if way, _ := v.way(b); way != journey.WayBackStay {
			t.Errorf("%q", way)
		}
		if _, err := v.back(b); proof.CodeOf(err) != proof.CodeConflict || len(v.project.told) != 0 {
			t.Errorf("%v, told %v", err, v.project.told)
		}
	}, stay)
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		v.mustBack(b)
		if v.project.told[0].LoginID != ada {
			t.Errorf("told %+v", v.project.told[0])
		}
	}, stay)
}

// Taking the right or the key away ends the trips under way.
func TestARightThatIsTakenAway(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		node := map[bool]proof.Node{false: proof.NodeIDV, true: proof.NodeStepUp}[v.face]
		for name, callers := range map[string][]proof.Caller{
			"of this node": {func() proof.Caller {
				c := flows
				c.ExternalAuth = slices.DeleteFunc(slices.Clone(c.ExternalAuth), func(n proof.Node) bool { return n == node })
				return c
			}()},
			"with the client": {shop},
		} {
			*v.callers = callers
			if _, err := v.back(b); proof.ReasonOf(err) != proof.ReasonNotAllowed || len(v.project.told) != 0 {
				t.Errorf("%s: %v, told %v", name, err, v.project.told)
			}
			if way, lost := v.way(b); way != journey.WayBackLost || lost != proof.ReasonNotAllowed {
				t.Errorf("%s: %q %q", name, way, lost)
			}
		}
		*v.callers = []proof.Caller{flows}
		o := v.options
		o.Tenants = slices.Clone(o.Tenants)
		o.Tenants[0].External.Descope = nil
		if _, err := v.backBy(journey.New(o), b); proof.ReasonOf(err) != proof.ReasonDescopeUnavailable {
			t.Errorf("without a key: %v", err)
		}
		v.mustBack(b)
	})
}

func TestWhoMayAskForARoundTrip(t *testing.T) {
	t.Parallel()
	v := newVoyage(t, false)
	only := func(n ...proof.Node) proof.Caller { c := flows; c.ExternalAuth = n; return c }
	elsewhere := flows
	elsewhere.Tenant = "elsewhere" // which has no Descope project
	for name, c := range map[string]struct {
		caller         proof.Caller
		user, callback string
		field          string
		code           proof.Code
		face           bool
	}{
		"nobody named":           {flows, "", "", "user_identifier", proof.CodeInvalid, false},
		"with a callback":        {flows, ada, "https://shop.example/done", "callback_url", proof.CodeInvalid, false},
		"not at all":             {only(), ada, "", "external_auth", proof.CodeForbidden, false},
		"not at this node":       {only(proof.NodeStepUp), ada, "", "external_auth", proof.CodeForbidden, false},
		"no project":             {elsewhere, ada, "", "external_auth", proof.CodeForbidden, false},
		"nobody named, face":     {flows, "", "", "user_identifier", proof.CodeInvalid, true},
		"with a callback, face":  {flows, ada, "https://shop.example/done", "callback_url", proof.CodeInvalid, true},
		"not at this node, face": {only(proof.NodeIDV), ada, "", "external_auth", proof.CodeForbidden, true},
		"no project, face":       {elsewhere, ada, "", "external_auth", proof.CodeForbidden, true},
	} {
		var err error
		if c.face {
			_, err = v.StartChallenge(ctx, c.caller, journey.ChallengeStart{ExternalAuth: true, CallbackURL: c.callback, Request: proof.ChallengeRequest{UserIdentifier: c.user}})
		} else {
			_, err = v.Start(ctx, c.caller, journey.StartRequest{ExternalAuth: true, CallbackURL: c.callback, Request: proof.Request{UserIdentifier: c.user}})
		}
		e, ok := errors.AsType[*proof.Error](err)
		if !ok || e.Code != c.code || e.Field != c.field {
			t.Errorf("%s: %+v", name, err)
		}
	}
}

// A repeated call gives the same link; with and without a round trip are two
// different requests.
func TestARoundTripIsPartOfTheRequest(t *testing.T) {
	t.Parallel()
	v := newVoyage(t, false)
	r := journey.StartRequest{ExternalAuth: true, IdempotencyKey: "k", Request: proof.Request{UserIdentifier: ada}}
	first := v.start(flows, r)
	if again := v.start(flows, r); again.SessionURL != first.SessionURL {
		t.Error("another link")
	}
	r.ExternalAuth = false
	if _, err := v.Start(ctx, flows, r); proof.ReasonOf(err) != proof.ReasonIdempotencyConflict {
		t.Errorf("%v", err)
	}
}

// The store has neither the request's id nor the login id nor the address in the
// clear.
func TestTheWayBackIsSealed(t *testing.T) {
	t.Parallel()
	both(t, func(t *testing.T, v *voyage) {
		b := v.come()
		v.end(b, true)
		v.mustBack(b)
		if err := v.store.Close(); err != nil {
			t.Fatal(err)
		}
		for _, file := range []string{v.path, v.path + "-wal"} {
			stored, err := os.ReadFile(file)
			if err != nil {
				continue
			}
			for _, secret := range []string{request, ada, "descope-login-flow"} {
				if bytes.Contains(stored, []byte(secret)) {
					t.Errorf("the store holds %q in the clear", secret)
				}
			}
		}
	})
}

// With the real client over a real wire: what it makes of an answer is what a trip
// is decided by.
func TestOverTheWire(t *testing.T) {
	t.Parallel()
	const to = "https://app.example/?descope-login-flow=f&code=1"
	for name, c := range map[string]struct {
		status int
		body   string
		reason proof.Reason
		way    journey.WayBack
	}{
		"told":           {200, `{"redirectUrl":"` + to + `"}`, "", journey.WayBackOpen},
		"over":           {400, `{"errorCode":"E011002"}`, proof.ReasonDescopeRefused, journey.WayBackLost},
		"a wrong key":    {401, `{"errorCode":"E062108"}`, proof.ReasonDescopeRefused, journey.WayBackLost},
		"nowhere to go":  {200, `{}`, proof.ReasonDescopeRefused, journey.WayBackLost},
		"script":         {200, `{"redirectUrl":"javascript:alert(1)"}`, proof.ReasonDescopeRefused, journey.WayBackLost},
		"too many":       {429, `{}`, proof.ReasonDescopeUnavailable, journey.WayBackAgain},
		"broken":         {500, `oops`, proof.ReasonDescopeUnavailable, journey.WayBackAgain},
		"redirects":      {302, ``, proof.ReasonDescopeUnavailable, journey.WayBackAgain},
		"half an answer": {200, `{"redirectUrl":"` + to, proof.ReasonDescopeUnavailable, journey.WayBackAgain},
	} {
		t.Run(name, func(t *testing.T) {
			both(t, func(t *testing.T, v *voyage) {
				var body map[string]any
				s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_ = json.NewDecoder(r.Body).Decode(&body)
					w.WriteHeader(c.status)
					_, _ = io.WriteString(w, c.body)
				}))
				defer s.Close()
				real, err := descope.New(descope.Options{BaseURL: s.URL, ProjectID: "P2", ManagementKey: "K2"})
				if err != nil {
					t.Fatal(err)
				}
				v.options.Tenants[0].External.Descope = real
				v.Service = journey.New(v.options)
				b := v.come()
				v.end(b, true)
				got, err := v.back(b)
				if proof.ReasonOf(err) != c.reason && !(err == nil && c.reason == "") || (got == to) != (c.reason == "") {
					t.Errorf("%q %v", got, err)
				}
				if way, _ := v.way(b); way != c.way {
					t.Errorf("%q, want %q", way, c.way)
				}
				if body["externalAuthReqId"] != request || body["loginId"] != ada {
					t.Errorf("told %v", body)
				}
				if log := v.logged.String(); strings.Contains(log, ada) || strings.Contains(log, request) || strings.Contains(log, "K2") || !strings.Contains(log, string(c.reason)) {
					t.Errorf("logged %q", log)
				}
			})
		})
	}
}
