package whole_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/test/program"
)

// Paths of 1Kosmos, as a step-up by UWL session calls them.
const (
	pathSession  = "/sessions/session/new"
	pathAnswer   = "*/response" // below the session
	pathUserInfo = "*/userinfo" // below the wallet
	pathNode     = "*/node/" + workflowNode
	pathV1Create = "/v1/auth/stepup"
	pathV1Result = "/v1/auth/stepup/"
	pathToken    = "/oauth2/community/default/v1/token"
)

// roomy are limits that no test runs into by itself.
const roomy = `{ subject_starts: { max: 1000, per: 10m }, subject_failures: { max: 1000, per: 15m }, network_failures: { max: 1000, per: 15m } }`

// challenged is the answer of node 1Kosmos LiveID Step-Up.
type challenged struct {
	ChallengeID  string `json:"challenge_id"`
	ChallengeURL string `json:"challenge_url"`
	Status       string `json:"status"`
	Reason       string `json:"reason"`
	ExpiresAt    string `json:"expires_at"`
	RetryAt      string `json:"retry_at"`
}

// outcome is the answer of node 1Kosmos Step-Up Result.
type outcome struct {
	ChallengeID *string  `json:"challenge_id"`
	MatchResult string   `json:"match_result"`
	Confidence  *float64 `json:"confidence"`
	Basis       string   `json:"confidence_basis"`
	Reason      string   `json:"reason"`
	Liveness    string   `json:"liveness_mode"`
	DecisionID  string   `json:"decision_id"`
	CompletedAt string   `json:"completed_at"`

	raw []byte
}

func (o outcome) String() string { return o.MatchResult + " " + o.Reason }

func (o outcome) ended() bool { return o.MatchResult != "pending" }

// enrolled verifies the holder of the passport under this name, with their face
// being kept.
func (w *world) enrolled(user string) {
	w.t.Helper()
	s, p := w.start(fields{"user_identifier": user}), w.person()
	capture := p.enter(s.SessionURL)
	p.photos(capture, "enrol", "yes")
	p.act(capture, "submit", "")
	if r := w.verified(s.SessionID); !bytes.Contains(r.raw, []byte(`"enrolled":true`)) {
		w.t.Fatalf("verified, and not enrolled: %s", r.raw)
	}
}

// stepUp calls node 1Kosmos LiveID Step-Up.
func (w *world) stepUp(user string, in fields) challenged {
	w.t.Helper()
	return w.stepUpAs(bearer, user, in)
}

func (w *world) stepUpAs(token, user string, in fields) challenged {
	w.t.Helper()
	c := w.tryStepUp(token, user, in)
	if c.ChallengeID == "" || !strings.HasPrefix(c.ChallengeURL, w.url+"/c/"+c.ChallengeID+"/") || c.ExpiresAt == "" {
		w.t.Fatalf("node Step-Up answered %+v", c)
	}
	return c
}

func (w *world) tryStepUp(token, user string, in fields) (c challenged) {
	w.t.Helper()
	a := w.askStepUp(token, user, in)
	// On a busy machine even 1Kosmos in good health can be slower than a node waits.
	for tries := 1; tries < 5 && a.status == http.StatusServiceUnavailable && bytes.Contains(a.body, []byte(`"reason":"upstream_timeout"`)); tries++ {
		a = w.askStepUp(token, user, in)
	}
	if err := json.Unmarshal(a.body, &c); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("node Step-Up answered %d %s", a.status, a.body)
	}
	return c
}

func (w *world) askStepUp(token, user string, in fields) answer {
	w.t.Helper()
	all := fields{"user_identifier": user}
	for name, value := range in {
		all[name] = value
	}
	a, err := w.post(w.url, "/descope/v1/stepup", encode(w.t, all), "Authorization", "Bearer "+token)
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// outcome calls node 1Kosmos Step-Up Result.
func (w *world) outcome(id string) outcome {
	w.t.Helper()
	return w.outcomeAt(w.url, bearer, id)
}

// outcomeAt also holds every answer to what holds for all of them.
func (w *world) outcomeAt(base, token, id string) (o outcome) {
	w.t.Helper()
	a, err := w.post(base, "/descope/v1/stepup/result", encode(w.t, fields{"challenge_id": id}), "Authorization", "Bearer "+token)
	if err != nil {
		w.t.Fatal(err)
	}
	if err := json.Unmarshal(a.body, &o); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("node Step-Up Result answered %d %s", a.status, a.body)
	}
	o.raw = a.body
	switch o.MatchResult {
	case "match":
		if o.Reason != "" || o.Basis == "" || o.CompletedAt == "" {
			w.t.Fatalf("a match that is none: %s", a.body)
		}
	case "no_match":
		if o.Reason == "" || o.CompletedAt == "" {
			w.t.Fatalf("no match, and not why or since when: %s", a.body)
		}
	case "pending", "expired", "error":
		if o.Confidence != nil || o.Basis != "" || o.ended() && o.Reason == "" {
			w.t.Fatalf("a confidence without a verdict, or no reason: %s", a.body)
		}
	default:
		w.t.Fatalf("match_result is none of the documented: %s", a.body)
	}
	if (o.Confidence == nil) != (o.Basis != "provider_score") || o.Confidence != nil && (*o.Confidence < 0 || *o.Confidence > 1) {
		w.t.Fatalf("confidence and its basis do not go together: %s", a.body)
	}
	if o.Reason != "" && !documented(w.t, o.Reason) {
		w.t.Errorf("reason %q is not in docs/reasons.md", o.Reason)
	}
	return o
}

// comesTo waits for an outcome, and lets a challenge end in no other way.
func (w *world) comesTo(id, match, reason string) outcome {
	w.t.Helper()
	return w.comesToAs(bearer, id, match, reason)
}

func (w *world) comesToAs(token, id, match, reason string) outcome {
	w.t.Helper()
	want := outcome{MatchResult: match, Reason: reason}
	var o outcome
	eventually(w.t, fmt.Sprintf("%s comes to %s", id, want), func() (bool, string) {
		o = w.outcomeAt(w.url, token, id)
		if o.ended() && o.String() != want.String() {
			w.t.Fatalf("%s ended as %s; want %s", id, o, want)
		}
		return o.String() == want.String(), o.String()
	})
	return o
}

// matched waits for the match and looks at what it is made of.
func (w *world) matched(id string) outcome {
	w.t.Helper()
	o := w.comesTo(id, "match", "")
	if o.Confidence == nil || *o.Confidence < 0.5 || o.Liveness != "none" {
		w.t.Errorf("the score of the local engine, and that it looked for no living person, are missing: %s", o.raw)
	}
	return o
}

// opens lets the person in by the link of a challenge; it returns where that asks
// for their face.
func (p *person) opens(link string) string {
	p.t.Helper()
	return p.asked(p.get(link))
}

// asked is where a challenge page leads to.
func (p *person) asked(pg *page) string {
	p.t.Helper()
	if pg.status != http.StatusOK || pg.step != "answer" || pg.state != "pending" || pg.upstream() == "" {
		p.t.Fatalf("the challenge page: %d %s %s %s %s", pg.status, pg.step, pg.state, pg.reason, pg.text)
	}
	return pg.upstream()
}

// authenticator follows the address that asks for a face to the page that takes it.
func (p *person) authenticator(address string) string {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, address, nil)
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Accept", "text/html,application/xhtml+xml,*/*;q=0.8")
	res, err := p.client.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	res.Body.Close()
	at := res.Request.URL
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(at.Path, "/authenticator/") {
		p.t.Fatalf("the address that asks for a face led to %d %s", res.StatusCode, at)
	}
	return at.String()
}

// faced is what the authenticator says to scripts.
type faced struct {
	State         string `json:"state"`
	Reason        string `json:"reason"`
	Nonce         string `json:"nonce"`
	AttemptsLeft  int    `json:"attempts_left"`
	AccountNeeded bool   `json:"account_needed"`
	ReturnURL     string `json:"return_url"`

	status int
}

func (p *person) looks(page string) faced {
	p.t.Helper()
	req, err := http.NewRequestWithContext(p.t.Context(), http.MethodGet, page+"/state", nil)
	if err != nil {
		p.t.Fatal(err)
	}
	f, err := p.faced(req)
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// shows hands a face to the authenticator, under the name of an account if that
// asks for one.
func (p *person) shows(page, user string, files ...string) faced {
	p.t.Helper()
	return p.showsWith(page, p.looks(page).Nonce, user, files...)
}

func (p *person) showsWith(page, nonce, user string, files ...string) faced {
	p.t.Helper()
	f, err := p.faced(p.form(page+"/face", files, "nonce", nonce, "account", user))
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

func (p *person) faced(req *http.Request) (f faced, err error) {
	req.Header.Set("Accept", "application/json")
	a, err := do(p.client, req)
	if err != nil {
		return f, err
	}
	f.status = a.status
	return f, json.Unmarshal(a.body, &f)
}

// recognised hands in the enrolled face and sees that it is taken for that. It
// returns the page that took it.
func (p *person) recognised(address, user string) string {
	p.t.Helper()
	page := p.authenticator(address)
	if f := p.shows(page, user, fixture("selfie.jpg")); f.state() != "200 match" {
		p.t.Fatalf("the enrolled face came to %+v", f)
	}
	return page
}

func (f faced) state() string {
	return strings.TrimSpace(fmt.Sprint(f.status, " ", f.State, " ", f.Reason))
}

// endings of a challenge in the audit trail.
func (w *world) endingsOf(id string) (ends []string) {
	w.t.Helper()
	for _, action := range w.sql("SELECT action FROM audit WHERE object = $1", "challenge:"+id) {
		switch action {
		case "challenge.match", "challenge.no_match", "challenge.expired", "challenge.failed":
			ends = append(ends, action)
		}
	}
	return ends
}

// The bridge is killed wherever there is a between.
func TestStepUpWithBridgeKilledBetweenEveryTwoSteps(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	const user = "crash.stepup@example.com"
	w.enrolled(user)
	request := fields{"idempotency_key": "once", "transaction": "Pay 10.00 EUR", "decision_id": "d-4711", "callback_url": w.url + "/"}

	// In the middle of the Step-Up node: 1Kosmos made a session, and nobody heard of it.
	lost := newHeld()
	w.proxy.set(pathSession, lost.after)
	gone := make(chan error, 1)
	go func() {
		all := fields{"user_identifier": user}
		for name, value := range request {
			all[name] = value
		}
		body, _ := json.Marshal(all) // strings
		_, err := w.post(w.url, "/descope/v1/stepup", string(body), "Authorization", "Bearer "+bearer)
		gone <- err
	}()
	await(t, "the session is created upstream", lost.arrived)
	w.kill(w.bridges[0])
	if err := await(t, "the flow notices", gone); err == nil {
		t.Error("a bridge that was killed answered")
	}
	w.proxy.set(pathSession, nil)
	w.again(w.bridges[0])
	w.bridgeReady(0)
	if n := len(w.sql("SELECT id FROM challenges")); n != 0 {
		t.Errorf("a call that was never answered left %d challenges", n)
	}

	// After the node. The call repeated is the same challenge.
	c := w.stepUp(user, request)
	w.crash(0)
	if again := w.stepUp(user, request); again != c {
		t.Fatalf("the same call after a crash answered %+v, before %+v", again, c)
	}
	w.comesTo(c.ChallengeID, "pending", "")

	// After opening the link: it belongs to this browser for good.
	p := w.person()
	home := w.url + "/c/" + c.ChallengeID
	address := p.opens(c.ChallengeURL)
	w.crash(0)
	if again := p.asked(p.get(home)); again != address {
		t.Error("after a crash the page leads to another session")
	}
	if other := w.person().get(c.ChallengeURL); other.status != http.StatusForbidden || other.reason != "link_used" {
		t.Errorf("after a crash another browser gets %d %s", other.status, other.reason)
	}

	// After the short link was made, and after the phone took over by it.
	code, err := p.submit(p.get(home), "/phone", nil)
	if err != nil {
		t.Fatal(err)
	}
	short := words(code.find("data-testid", "phone-link"))
	w.crash(0)
	phone := w.person()
	if pg := phone.get(short); pg.step != "answer" || pg.upstream() == "" {
		t.Fatalf("the short link led to %d %s %s", pg.status, pg.step, pg.text)
	}
	w.crash(0)
	if pg := phone.get(home); pg.step != "answer" {
		t.Errorf("after a crash the phone gets %d %s %s", pg.status, pg.step, pg.reason)
	}
	if pg := w.person().get(short); pg.status != http.StatusNotFound {
		t.Errorf("the short link let a second phone in: %d %s", pg.status, pg.step)
	}

	// While the bridge asks for the answer, which 1Kosmos has by then.
	asking := newHeld()
	w.proxy.set(pathAnswer, asking.before)
	phone.recognised(phone.asked(phone.get(home)), user)
	await(t, "the bridge polls", asking.arrived)
	w.kill(w.bridges[0])
	w.proxy.set(pathAnswer, nil)
	w.again(w.bridges[0])
	w.bridgeReady(0)
	w.matched(c.ChallengeID)

	// After the verdict, before anybody has read it but us.
	w.crash(0)
	first, second := w.outcome(c.ChallengeID), w.outcome(c.ChallengeID)
	if first.MatchResult != "match" || !bytes.Equal(first.raw, second.raw) || first.DecisionID != "d-4711" {
		t.Errorf("two answers about the same:\n%s\n%s", first.raw, second.raw)
	}
	if again := w.stepUp(user, request); again.ChallengeID != c.ChallengeID || again.Status != "match" {
		t.Errorf("the same call at the end answered %+v", again)
	}
	pg := p.get(home)
	if back := attr(pg.find("data-testid", "return"), "href"); pg.step != "done" || pg.state != "match" || back != w.url+"/?challenge_id="+c.ChallengeID {
		t.Errorf("the page at the end: %s %s, and returns to %q", pg.step, pg.state, back)
	}
	w.trail("challenge:"+c.ChallengeID, "challenge.started", "challenge.opened", "challenge.handover_offered", "challenge.handed_over", "challenge.match")
}

// The local 1Kosmos is killed before, while and after it compares a face.
func TestStepUpWithLocal1KosmosKilled(t *testing.T) {
	t.Parallel()
	common.open(t)
	comparing := newHeld()
	front := newEngineFront(t, common.url, "/v1/match", comparing.before)
	w := newWorld(t, plan{engine: front.URL})
	const user = "crash.kosmos@example.com"
	w.enrolled(user)
	c, p := w.stepUp(user, nil), w.person()
	home := w.url + "/c/" + c.ChallengeID
	page := p.authenticator(p.opens(c.ChallengeURL))
	restart := func() {
		t.Helper()
		w.kill(w.kosmos)
		w.again(w.kosmos)
		w.kosmosReady()
	}

	// Before a face was shown: the person is kept waiting and goes on afterwards.
	before := p.looks(page)
	w.kill(w.kosmos)
	w.comesTo(c.ChallengeID, "pending", "upstream_unavailable")
	if pg := p.get(home); pg.step != "answer" || pg.reason != "upstream_unavailable" {
		t.Errorf("while 1Kosmos is away the page shows %s %s", pg.step, pg.reason)
	}
	w.again(w.kosmos)
	w.kosmosReady()
	w.comesTo(c.ChallengeID, "pending", "")
	if after := p.looks(page); after != before {
		t.Errorf("before the crash %+v, after it %+v", before, after)
	}

	// While it compares: there is no answer, and the code is used up.
	gone := make(chan error, 1)
	upload := p.form(page+"/face", []string{fixture("selfie.jpg")}, "nonce", before.Nonce, "account", user)
	go func() {
		_, err := p.faced(upload)
		gone <- err
	}()
	await(t, "the engine is asked to compare", comparing.arrived)
	restart()
	if err := await(t, "the browser notices", gone); err == nil {
		t.Error("a 1Kosmos that was killed answered")
	}
	w.comesTo(c.ChallengeID, "pending", "")
	if f := p.looks(page); f.State != "open" || f.AttemptsLeft != before.AttemptsLeft-1 || f.Nonce == before.Nonce {
		t.Errorf("after a crash while comparing: %+v; before %+v", f, before)
	}
	close(comparing.free)
	if f := p.showsWith(page, before.Nonce, user, fixture("selfie.jpg")); f.state() != "409 open upload_replayed" {
		t.Errorf("the code that was used up: %s", f.state())
	}

	// After it found a match that the bridge has not read.
	w.proxy.set(pathAnswer, refusal(http.StatusBadGateway))
	if f := p.shows(page, user, fixture("selfie.jpg")); f.state() != "200 match" {
		t.Fatalf("the enrolled face came to %+v", f)
	}
	w.comesTo(c.ChallengeID, "pending", "upstream_unavailable")
	restart()
	if f := p.shows(page, user, fixture("selfie.jpg")); f.state() != "410 match session_ended" {
		t.Errorf("a face that is shown after the end: %s", f.state())
	}
	w.proxy.set(pathAnswer, nil)
	w.matched(c.ChallengeID)

	// The same with attempts that fail: a restart gives none of them back.
	c, p = w.stepUp(user, nil), w.person()
	page = p.authenticator(p.opens(c.ChallengeURL))
	for left := 2; left >= 0; left-- {
		f := p.shows(page, user, fixture("other.jpg"))
		if f.AttemptsLeft != left || f.Reason != "face_mismatch" {
			t.Fatalf("somebody else's face, with %d attempts to be left: %+v", left, f)
		}
		if left > 0 {
			restart()
		}
	}
	w.comesTo(c.ChallengeID, "no_match", "face_mismatch")
	restart()
	if f := p.looks(page); f.State != "refused" {
		t.Errorf("after no match and a crash: %+v", f)
	}
	if n := w.endingsOf(c.ChallengeID); len(n) != 1 {
		t.Errorf("the challenge ended as %v", n)
	}
}

// Every way to step up, once through the whole program: the same person, somebody
// else, and somebody who is not there.
func TestStepUpByEveryBackend(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{backends: true, limits: roomy})
	// One person has two LiveIDs here, so that one of them can answer for the other.
	const user, another = "every.way@example.com", "other.account@example.com"
	w.enrolled(user)
	w.enrolled(another)
	for _, name := range []string{"uwl", "v1", "workflow", "oidc"} {
		t.Run(name, func(t *testing.T) {
			w := w.as(t)
			token := bearer
			if name != "uwl" {
				token = backendBearer(name)
			}
			// 1Kosmos sends the browser back, where it can, to our page and nobody else's.
			back := func(p *person, at string) *page {
				t.Helper()
				f := p.looks(at)
				if (f.ReturnURL != "") != (name == "workflow" || name == "oidc") {
					t.Fatalf("1Kosmos returns the browser to %q", f.ReturnURL)
				}
				if f.ReturnURL == "" {
					return nil
				}
				from, err := url.Parse(at)
				if err == nil {
					from, err = from.Parse(f.ReturnURL)
				}
				if err != nil {
					t.Fatal(err)
				}
				return p.get(from.String())
			}

			c, p := w.stepUpAs(token, user, fields{"reason_code": "new_device", "callback_url": w.url + "/"}), w.person()
			if pg := back(p, p.recognised(p.opens(c.ChallengeURL), user)); pg != nil && (pg.status != http.StatusOK || pg.at.Path != "/c/"+c.ChallengeID) {
				t.Errorf("1Kosmos returned the browser to %d %s", pg.status, pg.at)
			}
			if o := w.comesToAs(token, c.ChallengeID, "match", ""); o.Confidence == nil || o.Liveness != "none" {
				t.Errorf("no score, or no word about liveness: %s", o.raw)
			}
			if pg := p.get(w.url + "/c/" + c.ChallengeID); pg.step != "done" || pg.state != "match" {
				t.Errorf("our page at the end: %s %s", pg.step, pg.state)
			}
			w.trail("challenge:"+c.ChallengeID, "challenge.started", "challenge.opened", "challenge.match")

			// 1Kosmos lets nobody try ten times in a quarter of an hour, so they share it.
			victim := user
			if name == "workflow" || name == "oidc" {
				victim = another
			}
			c, p = w.stepUpAs(token, victim, nil), w.person()
			at := p.authenticator(p.opens(c.ChallengeURL))
			for range 3 {
				p.shows(at, victim, fixture("other.jpg"))
			}
			back(p, at)
			w.comesToAs(token, c.ChallengeID, "no_match", "face_mismatch")

			// A person who stops at 1Kosmos.
			c, p = w.stepUpAs(token, user, nil), w.person()
			at = p.authenticator(p.opens(c.ChallengeURL))
			if f, err := p.faced(p.form(at+"/decline", nil)); err != nil || f.State != "refused" {
				t.Fatalf("to say no came to %+v %v", f, err)
			}
			back(p, at)
			w.comesToAs(token, c.ChallengeID, "error", "declined")

			// Another account of the very same person is another LiveID.
			if name == "uwl" {
				c, p = w.stepUpAs(token, user, nil), w.person()
				p.recognised(p.opens(c.ChallengeURL), another)
				w.comesToAs(token, c.ChallengeID, "no_match", "subject_mismatch")
			}

			if c := w.tryStepUp(token, "nobody@example.com", nil); c.Status != "refused" || c.Reason != "user_unknown" || c.ChallengeURL != "" || c.ChallengeID != "" {
				t.Errorf("somebody whom 1Kosmos does not know: %+v", c)
			}
		})
	}
}

// Who is not to be challenged is refused, and why is on record.
func TestStepUpRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	s, still := w.start(fields{"user_identifier": "no.consent@example.com"}), w.person()
	still.done(still.enter(s.SessionURL))
	w.verified(s.SessionID)
	const user = "often@example.com"
	w.enrolled(user)
	for _, c := range []struct{ user, reason string }{
		{"nobody@example.com", "user_unknown"},
		{"no.consent@example.com", "user_not_enrolled"},
	} {
		got := w.tryStepUp(bearer, c.user, nil)
		if got != (challenged{Status: "refused", Reason: c.reason}) {
			t.Errorf("%s: %+v; want refused %s and nothing else", c.user, got, c.reason)
		}
	}

	// An operator switches somebody off: at once, also for what is open already.
	const off = "switched.off@example.com"
	w.enrolled(off)
	c, p := w.stepUp(off, nil), w.person()
	page := p.authenticator(p.opens(c.ChallengeURL))
	operator := func(what, user string) {
		t.Helper()
		out, err := exec.CommandContext(t.Context(), program.Build(t), "sandbox", "user", what, user, "--reason", "a test", "--config", w.path("kosmos.json")).CombinedOutput()
		if err != nil {
			t.Fatalf("sandbox user %s: %v %s", what, err, out)
		}
	}
	operator("disable", off)
	if f := p.shows(page, off, fixture("selfie.jpg")); f.state() != "200 open face_mismatch" {
		t.Errorf("the right face of a user who is switched off came to %s; want what a wrong one comes to", f.state())
	}
	w.comesTo(c.ChallengeID, "pending", "")
	refused := func(when, reason string) {
		t.Helper()
		if got := w.tryStepUp(bearer, off, nil); got != (challenged{Status: "refused", Reason: reason}) {
			t.Errorf("%s: %+v; want refused %s and nothing else", when, got, reason)
		}
	}
	refused("switched off", "user_disabled")
	operator("enable", off)
	if f := p.shows(page, off, fixture("selfie.jpg")); f.state() != "200 match" {
		t.Errorf("switched on again: %s", f.state())
	}
	w.matched(c.ChallengeID)
	operator("clear", off)
	refused("with the enrolment cleared", "user_not_enrolled")

	// Too often, also over a crash: what was counted stays counted.
	var id string
	for range 10 {
		id = w.stepUp(user, fields{"decision_id": "d-1"}).ChallengeID
	}
	full := func(when string) {
		t.Helper()
		got := w.tryStepUp(bearer, user, nil)
		if got.Status != "refused" || got.Reason != "too_many_attempts" || got.ChallengeURL != "" {
			t.Errorf("%s: %+v; want refused too_many_attempts", when, got)
		}
		if at, err := time.Parse(time.RFC3339, got.RetryAt); err != nil || time.Until(at) <= 0 || time.Until(at) > 10*time.Minute {
			t.Errorf("%s: it may be asked again at %q", when, got.RetryAt)
		}
	}
	full("the eleventh time")
	w.crash(0)
	full("after a crash")
	// Once a minute is enough for the record; the two may fall into two minutes.
	if n := len(w.sql("SELECT id FROM audit WHERE action = 'challenge.refused' AND reason = 'too_many_attempts'")); n < 1 || n > 2 {
		t.Errorf("%d refusals for too many attempts are on record; want 1, or 2 of different minutes", n)
	}

	// A challenge of another caller, one for another user or decision and one that is none look the same.
	ask := func(token, id, user, decision string) string {
		t.Helper()
		body := encode(t, fields{"challenge_id": id, "user_identifier": user, "decision_id": decision})
		a, err := w.post(w.url, "/descope/v1/stepup/result", body, "Authorization", "Bearer "+token)
		if err != nil || a.status != http.StatusOK {
			t.Fatalf("%d %s %v", a.status, a.body, err)
		}
		return string(a.body)
	}
	none := ask(bearer, "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24", "", "")
	if !strings.Contains(none, `"match_result":"error"`) || !strings.Contains(none, `"unknown_challenge"`) {
		t.Errorf("a challenge that is none: %s", none)
	}
	for what, got := range map[string]string{
		"another caller's": ask(strictBearer, id, "", ""), "another user's": ask(bearer, id, "somebody@example.com", ""),
		"another decision's": ask(bearer, id, user, "d-2"), "garbage": ask(bearer, "../../x", "", ""),
	} {
		if got != none {
			t.Errorf("%s challenge answers %s; want %s", what, got, none)
		}
	}
	if mine := ask(bearer, id, user, "d-1"); !strings.Contains(mine, `"match_result":"pending"`) {
		t.Errorf("the caller's own: %s", mine)
	}
}

// What nobody answers in time is expired and stays so, whatever 1Kosmos says
// then. Until then one session follows the other.
func TestStepUpRunsOutOfTime(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{session: "20s"})
	const user = "too.late@example.com"
	w.enrolled(user)
	c, p := w.stepUp(user, fields{"timeout_seconds": 45}), w.person()
	home := w.url + "/c/" + c.ChallengeID
	first := p.opens(c.ChallengeURL)
	last := first
	every(t, 250*time.Millisecond, "a session that has ended is followed by another", func() (bool, string) {
		pg := p.get(home)
		if pg.step == "done" {
			t.Fatalf("the challenge ended as %s %s", pg.state, pg.reason)
		}
		last = cmp.Or(pg.upstream(), last)
		return last != first, pg.step
	})
	old := p.authenticator(first)
	eventually(t, "the old session is over", func() (bool, string) {
		f := p.looks(old)
		return f.State == "expired", f.State
	})
	if f := p.shows(old, user, fixture("selfie.jpg")); f.status != http.StatusGone {
		t.Errorf("a face shown to a session that has ended: %s", f.state())
	}
	w.comesTo(c.ChallengeID, "pending", "")

	// The right face in time, of which the bridge hears too late.
	w.proxy.set(pathAnswer, refusal(http.StatusBadGateway))
	p.recognised(last, user)
	w.comesTo(c.ChallengeID, "pending", "upstream_unavailable")
	var o outcome
	eventually(t, "the deadline", func() (bool, string) {
		o = w.outcome(c.ChallengeID)
		return o.ended(), o.String()
	})
	w.proxy.set(pathAnswer, nil)
	if o.MatchResult != "expired" {
		t.Fatalf("after its deadline: %s", o.raw)
	}
	if at, err := time.Parse(time.RFC3339, c.ExpiresAt); err != nil || o.CompletedAt != c.ExpiresAt {
		t.Errorf("it was to expire at %s, and says %s", at, o.raw)
	}
	eventually(t, "the end is in the audit trail", func() (bool, string) {
		ends := w.endingsOf(c.ChallengeID)
		return len(ends) == 1 && ends[0] == "challenge.expired", fmt.Sprint(ends)
	})
	w.crash(0)
	if again := w.outcome(c.ChallengeID); !bytes.Equal(again.raw, o.raw) {
		t.Errorf("later on it says %s; at first %s", again.raw, o.raw)
	}
	if pg := p.get(home); pg.step != "done" || pg.state != "expired" {
		t.Errorf("the page says %s %s", pg.step, pg.state)
	}
}
