package oidc_test

import (
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const cibaPath = "/federation/t1/bc-authorize"

// person at the other end of a challenge.
type person struct {
	mu      sync.Mutex
	answer  *federation.Answer
	trouble error
	message string
	lasts   time.Duration
}

func (p *person) say(a *federation.Answer, err error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.answer, p.trouble = a, err
}

// cibaWorld is backWorld with a person who has two minutes to answer.
func cibaWorld(t testing.TB) (*world, *person) {
	t.Helper()
	w, p := backWorld(t), new(person)
	w.core.challenge = func(_ federation.Ask, message string, lasts time.Duration) (string, string, time.Time, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		p.message, p.lasts = message, lasts
		return "ch-1", origin + "/c/ch-1?k=secret", w.clock.Now().Add(2 * time.Minute), nil
	}
	w.core.challengeAnswer = func(_ federation.Ask, id string) (*federation.Answer, error) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if id != "ch-1" {
			return nil, proof.ErrNotFound
		}
		return p.answer, p.trouble
	}
	return w, p
}

var cibaAsk = with("scope", "openid", "login_hint", "pat@example.com")

func polling(c called) url.Values {
	return with("grant_type", cibaGrant, "auth_req_id", c.text("auth_req_id"))
}

func face(w *world) *federation.Answer {
	a := *w.core.answers["s1"]
	return &a
}

// Modelled on fapi-ciba-id1 in poll mode: start, wait, tokens, once.
func TestCIBA(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	started := w.send(t, cibaPath, and(cibaAsk, "binding_message", "Pay 5 € to Zoë", "acr_values", federation.ACRFace), asBasic).ok(t)
	if started.body["expires_in"] != 120.0 || started.body["interval"] != 2.0 || started.text("challenge_url") != origin+"/c/ch-1?k=secret" || len(started.text("auth_req_id")) != 43 {
		t.Errorf("answered %v", started.body)
	}
	if p.message != "Pay 5 € to Zoë" || p.lasts != 0 {
		t.Errorf("the person saw %q for %v", p.message, p.lasts)
	}
	ask := w.core.lastAsk()
	if ask.Hint != "pat@example.com" || ask.HintSubject != "" || !slices.Equal(ask.ACR, []string{federation.ACRFace}) || ask.Client == nil || ask.Protocol != federation.OIDC {
		t.Errorf("asked for %+v", ask)
	}
	stored := w.store.read().pushed[0]
	if strings.Contains(string(stored.Sealed), "pat") || strings.Contains(string(stored.Hash), started.text("auth_req_id")) {
		t.Error("the hint or the auth_req_id is stored in the clear")
	}

	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "authorization_pending")
	w.clock.Advance(2 * time.Second)
	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "authorization_pending")
	p.say(face(w), nil)
	w.clock.Advance(2 * time.Second)
	got := w.send(t, tokenPath, polling(started), asBasic).ok(t)
	claims := w.claimsOf(t, got.text("id_token"))
	if claims["sub"] != "pair-1" || claims["aud"] != "basic" || claims["acr"] != federation.ACRFace {
		t.Errorf("ID token %v", claims)
	}
	w.userinfoOf(t, got.text("access_token")).ok(t)
	if last := w.store.read().audit; last[len(last)-1].Action != "federation.token_issued" || last[len(last)-1].Detail["grant"] != cibaGrant {
		t.Errorf("audit %+v", last)
	}

	// Modelled on fapi-ciba-id1-auth-req-id-... : the second time it is worth nothing, and ends nothing.
	w.clock.Advance(2 * time.Second)
	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "invalid_grant")
	w.userinfoOf(t, got.text("access_token")).ok(t)
}

// Who polls too fast waits five seconds longer each time (CIBA Core 1.0, 11).
func TestCIBASlowDown(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	started := w.send(t, cibaPath, cibaAsk, asBasic).ok(t)
	poll := func(after time.Duration) called {
		w.clock.Advance(after)
		return w.send(t, tokenPath, polling(started), asBasic)
	}
	poll(0).failed(t, 400, "authorization_pending")
	poll(1900*time.Millisecond).failed(t, 400, "authorization_pending") // the network's jitter
	poll(time.Second).failed(t, 400, "slow_down")                       // 7 s from now on
	poll(6*time.Second).failed(t, 400, "slow_down")                     // 12 s
	poll(12*time.Second).failed(t, 400, "authorization_pending")
	poll(7*time.Second).failed(t, 400, "slow_down") // 17 s
	p.say(face(w), nil)
	poll(5*time.Second).failed(t, 400, "slow_down") // also when there is something to fetch
	poll(22 * time.Second).ok(t)
}

// Of many polls at once at most one gets tokens.
func TestCIBARace(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	started := w.send(t, cibaPath, cibaAsk, asBasic).ok(t)
	p.say(face(w), nil)
	answers := make([]called, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.send(t, tokenPath, polling(started), asBasic) })
	}
	all.Wait()
	won := 0
	for _, a := range answers {
		if a.status == 200 {
			won++
		}
	}
	if n := len(w.store.read().grants); won > 1 || n != won {
		t.Errorf("%d got tokens, %d grants", won, n)
	}
}

// How a challenge can end.
func TestCIBAEnds(t *testing.T) {
	t.Parallel()
	refuse := func(code proof.Code, reason proof.Reason) error {
		return &proof.Error{Code: code, Reason: reason, Message: "no"}
	}
	tests := []struct {
		name   string
		end    func(*world, *person)
		status int
		error  string
	}{
		{"declined", func(w *world, p *person) { p.say(nil, refuse(proof.CodeDenied, proof.ReasonDeclined)) }, 400, "access_denied"},
		{"another face", func(w *world, p *person) { p.say(nil, refuse(proof.CodeDenied, proof.ReasonFaceMismatch)) }, 400, "access_denied"},
		{"too late", func(w *world, p *person) { p.say(nil, refuse(proof.CodeDenied, proof.ReasonTimeLimit)) }, 400, "expired_token"},
		{"too late for us", func(w *world, p *person) { p.say(face(w), nil); w.clock.Advance(2 * time.Minute) }, 400, "expired_token"},
		{"erased meanwhile", func(w *world, p *person) { p.say(nil, proof.ErrNotFound) }, 400, "access_denied"},
		{"1Kosmos in trouble", func(w *world, p *person) { p.say(nil, refuse(proof.CodeUnavailable, "")) }, 503, "temporarily_unavailable"},
		{"an answer without a face", func(w *world, p *person) { a := face(w); a.Matched = false; p.say(a, nil) }, 400, "access_denied"},
		{"an answer about nobody", func(w *world, p *person) { a := face(w); a.Subject = ""; p.say(a, nil) }, 400, "access_denied"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			w, p := cibaWorld(t)
			started := w.send(t, cibaPath, cibaAsk, asBasic).ok(t)
			test.end(w, p)
			w.send(t, tokenPath, polling(started), asBasic).failed(t, test.status, test.error)
			asked := len(w.core.asked)
			w.clock.Advance(2 * time.Second)
			w.send(t, tokenPath, polling(started), asBasic).failed(t, test.status, test.error)
			if test.status == 400 && len(w.core.asked) != asked {
				t.Error("the service was asked again about a request that had ended")
			}
			if n := len(w.store.read().grants); n != 0 {
				t.Errorf("%d grants", n)
			}
		})
	}
}

// An auth_req_id is bound to the client that started.
func TestCIBAOfAnother(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	started := w.send(t, cibaPath, cibaAsk, asBasic).ok(t)
	p.say(face(w), nil)
	w.send(t, tokenPath, polling(started), as("other", "others-secret")).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, and(polling(started), "auth_req_id", "abc"), asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, and(polling(started), "auth_req_id", ""), asBasic).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, polling(started), as("silent", backSecret)).failed(t, 400, "unauthorized_client")
	w.store.data.pushed[0].Sealed = []byte("tampered")
	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "invalid_grant")
}

// What a request may and may not say (CIBA Core 1.0, 7.1 and 13).
func TestCIBARequest(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	idToken := w.signedIn(t).text("id_token")
	others := w.send(t, tokenPath, redeeming(w.code(t, "other")), as("other", "others-secret")).ok(t).text("id_token")
	w.core.pairwise(w.core.clients[tenant+"/basic"], "pair-1", "p1")
	byToken := with("scope", "openid", "id_token_hint", idToken)
	tests := []struct {
		name  string
		form  url.Values
		error string // empty: it starts
	}{
		{"login_hint", cibaAsk, ""},
		{"id_token_hint", byToken, ""},
		{"unknown parameters are ignored", and(cibaAsk, "whatever", "x"), ""},
		{"requested_expiry", and(cibaAsk, "requested_expiry", "30"), ""},
		{"a far requested_expiry", and(cibaAsk, "requested_expiry", "99999999999999999999"), ""},
		{"a message of 64", and(cibaAsk, "binding_message", strings.Repeat("ä", 64)), ""},

		{"no scope", and(cibaAsk, "scope", ""), "invalid_scope"},
		{"no openid", and(cibaAsk, "scope", "profile"), "invalid_scope"},
		{"no hint", and(cibaAsk, "login_hint", ""), "invalid_request"},
		{"two hints", and(cibaAsk, "id_token_hint", idToken), "invalid_request"},
		{"login_hint_token", with("scope", "openid", "login_hint_token", "abc"), "invalid_request"},
		{"a hint that is no text", and(cibaAsk, "login_hint", "a\x00b"), "invalid_request"},
		{"an endless hint", and(cibaAsk, "login_hint", strings.Repeat("a", 600)), "invalid_request"},
		{"id_token_hint: none of ours", and(byToken, "id_token_hint", "abc"), "invalid_request"},
		{"id_token_hint: another client's", and(byToken, "id_token_hint", others), "invalid_request"},
		{"id_token_hint: tampered", and(byToken, "id_token_hint", idToken[:len(idToken)-6]+"AAAAAA"), "invalid_request"},
		{"a message of 65", and(cibaAsk, "binding_message", strings.Repeat("a", 65)), "invalid_binding_message"},
		{"a message with a line end", and(cibaAsk, "binding_message", "a\nb"), "invalid_binding_message"},
		{"a message with a hidden turn", and(cibaAsk, "binding_message", "a\u202eb"), "invalid_binding_message"},
		{"requested_expiry 0", and(cibaAsk, "requested_expiry", "0"), "invalid_request"},
		{"requested_expiry -1", and(cibaAsk, "requested_expiry", "-1"), "invalid_request"},
		{"requested_expiry soon", and(cibaAsk, "requested_expiry", "soon"), "invalid_request"},
		{"user_code", and(cibaAsk, "user_code", "1234"), "invalid_request"},
		{"a request object", and(cibaAsk, "request", "abc"), "invalid_request"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.send(t, cibaPath, test.form, asBasic)
			if test.error != "" {
				got.failed(t, 400, test.error)
				return
			}
			got.ok(t)
			if test.name == "id_token_hint" && w.core.lastAsk().HintSubject != "p1" {
				t.Errorf("asked for %+v", w.core.lastAsk())
			}
			if test.name == "requested_expiry" && (got.body["expires_in"] != 30.0 || p.lasts != 30*time.Second) {
				t.Errorf("expires_in %v, the challenge lasts %v", got.body["expires_in"], p.lasts)
			}
		})
	}

	w.send(t, cibaPath, cibaAsk).failed(t, 401, "invalid_client")
	w.send(t, cibaPath, cibaAsk, as("silent", backSecret)).failed(t, 400, "unauthorized_client")
	w.send(t, cibaPath, and(cibaAsk, "client_id", "public")).failed(t, 400, "unauthorized_client") // CIBA needs a client that authenticates
	w.send(t, cibaPath, url.Values{"scope": {"openid", "openid"}}, asBasic).failed(t, 400, "invalid_request")
}

// Another person's face, when a token named one, is nobody's.
func TestCIBAHintSubject(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	w.core.pairwise(w.core.clients[tenant+"/basic"], "pair-1", "p1")
	started := w.send(t, cibaPath, with("scope", "openid", "id_token_hint", w.signedIn(t).text("id_token")), asBasic).ok(t)
	a := face(w)
	a.Subject, a.Sub = "p2", "pair-2"
	w.store.person("p2")
	p.say(a, nil)
	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "access_denied")
}

func TestCIBAUnknownUser(t *testing.T) {
	t.Parallel()
	tests := []struct {
		err    error
		status int
		error  string
	}{
		{&proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonUserUnknown}, 400, "unknown_user_id"},
		{&proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonUserNotEnrolled}, 400, "unknown_user_id"},
		{proof.ErrNotFound, 400, "unknown_user_id"},
		{&proof.Error{Code: proof.CodeDenied, Reason: proof.ReasonTooManyAttempts}, 403, "access_denied"},
		{&proof.Error{Code: proof.CodeUnavailable, Temporary: true}, 503, "temporarily_unavailable"},
	}
	for _, test := range tests {
		w, _ := cibaWorld(t)
		w.core.challenge = func(federation.Ask, string, time.Duration) (string, string, time.Time, error) {
			return "", "", time.Time{}, test.err
		}
		w.send(t, cibaPath, cibaAsk, asBasic).failed(t, test.status, test.error)
	}
	w, _ := cibaWorld(t) // without a subject known by that sub
	w.send(t, cibaPath, with("scope", "openid", "id_token_hint", w.signedIn(t).text("id_token")), asBasic).failed(t, 400, "unknown_user_id")
}

// An essential assurance that a face does not reach is not reached here, either.
func TestCIBAEssential(t *testing.T) {
	t.Parallel()
	w, p := cibaWorld(t)
	c := w.core.clients[tenant+"/basic"]
	c.Essential, c.DefaultACR = true, []string{federation.ACRIAL2}
	started := w.send(t, cibaPath, cibaAsk, asBasic).ok(t)
	a := face(w)
	a.Met = false
	p.say(a, nil)
	w.send(t, tokenPath, polling(started), asBasic).failed(t, 400, "access_denied")
}
