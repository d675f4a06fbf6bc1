package oidc_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// push leaves a request with us; the answer is decoded into body.
func (w *world) push(v url.Values, client string) (went, map[string]any) {
	g := w.visit("POST", parPath, v, as(client, frontSecret))
	var body map[string]any
	json.Unmarshal([]byte(g.body), &body)
	return g, body
}

func pushedURI(t testing.TB, w *world, v url.Values, client string) string {
	t.Helper()
	g, body := w.push(v, client)
	uri, _ := body["request_uri"].(string)
	secret, ok := strings.CutPrefix(uri, "urn:ietf:params:oauth:request_uri:")
	if g.status != http.StatusCreated || body["expires_in"] != 60.0 || !ok || len(secret) < 22 {
		t.Fatalf("par: %d %s", g.status, g.body)
	}
	if g.header.Get("Cache-Control") != "no-store" {
		t.Error("the answer may be kept")
	}
	return uri
}

func TestPushed(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	v := asking("par", "acr_values", federation.ACRIAL2, "login_hint", "ann", "client_secret", "-")
	uri := pushedURI(t, w, v, "par")
	for _, p := range w.store.read().pushed {
		if strings.Contains(string(p.Sealed), "ann") || p.Client != "par" || strings.Contains(uri, string(p.Hash)) {
			t.Errorf("stored as %+v", p)
		}
	}
	// What the browser brings beside it does not count.
	g := w.visit("GET", authorizePath, url.Values{
		"client_id": {"par"}, "request_uri": {uri}, "redirect_uri": {"https://evil.example"}, "acr_values": {federation.ACRIAL1},
		"login_hint": {"bob"}, "state": {"other"}, "prompt": {"none"},
	})
	if g.to != "/c/1" {
		t.Fatalf("to %s: %s", g.to, g.body)
	}
	a := w.core.lastAsk()
	if a.Hint != "ann" || len(a.ACR) != 1 || a.ACR[0] != federation.ACRIAL2 || a.Silent {
		t.Errorf("asks %+v", a)
	}
	// Modelled on fapi2-security-profile-final-par-attempt-reuse-request_uri. We are
	// stricter than ...-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds.
	w.visit("GET", authorizePath, url.Values{"client_id": {"par"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
	if len(w.core.asks) != 1 {
		t.Errorf("begun %d times", len(w.core.asks))
	}
}

func TestPushedIsTheClientsAndShortLived(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	// Modelled on fapi2-security-profile-final-par-attempt-to-use-request_uri-for-different-client.
	uri := pushedURI(t, w, asking("rp"), "rp")
	w.visit("GET", authorizePath, url.Values{"client_id": {"other"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
	w.visit("GET", strings.Replace(authorizePath, "t1", "t2", 1), url.Values{"client_id": {"rp"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
	if g := w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}); g.to != "/c/1" {
		t.Errorf("its own: to %s", g.to)
	}
	// Modelled on fapi2-security-profile-final-par-attempt-to-use-expired-request_uri.
	uri = pushedURI(t, w, asking("rp"), "rp")
	w.clock.Advance(59 * time.Second)
	late := pushedURI(t, w, asking("rp"), "rp")
	w.clock.Advance(time.Second)
	w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
	if g := w.visit("POST", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {late}}); g.to != "/c/1" {
		t.Errorf("in time: to %s", g.to)
	}

	// Of many at once one goes on.
	uri = pushedURI(t, w, asking("rp"), "rp")
	before := len(w.core.asks)
	var all sync.WaitGroup
	for range 16 {
		all.Go(func() { w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}) })
	}
	all.Wait()
	if n := len(w.core.asks) - before; n != 1 {
		t.Errorf("begun %d times", n)
	}

	// Somebody is quicker between the look and the use.
	uri = pushedURI(t, w, asking("rp"), "rp")
	before = len(w.core.asks)
	quick := url.Values{"client_id": {"rp"}, "request_uri": {uri}}
	w.store.viewed = func() {
		if g := w.visit("GET", authorizePath, quick); g.to != "/c/1" {
			t.Errorf("the quicker one: to %s", g.to)
		}
	}
	w.visit("GET", authorizePath, quick).sorry(t, http.StatusBadRequest)
	if n := len(w.core.asks) - before; n != 1 {
		t.Errorf("begun %d times", n)
	}

	// An address that was withdrawn after the push.
	uri = pushedURI(t, w, asking("rp"), "rp")
	w.core.add(federation.Client{ID: "rp", OIDC: &federation.OIDCClient{RedirectURIs: []string{"https://rp.example.com/new"}, AuthMethod: "client_secret_basic"}})
	w.visit("GET", authorizePath, url.Values{"client_id": {"rp"}, "request_uri": {uri}}).sorry(t, http.StatusBadRequest)
}

// A pushed request of a client that has a secret is its own; of a public client anybody
// can push one, so that it is held to its default as in a browser.
func TestPushedByAnybody(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	more := asking("held", "acr_values", federation.ACRIAL1)
	w.visit("GET", authorizePath, url.Values{"client_id": {"held"}, "request_uri": {pushedURI(t, w, more, "held")}})
	if a := w.core.lastAsk(); len(a.ACR) != 1 || a.ACR[0] != federation.ACRIAL1 || a.Essential {
		t.Errorf("with a secret: %+v", a)
	}
	held, _ := w.core.Client(tenant, "held")
	open, o := *held, *held.OIDC
	o.AuthMethod, open.OIDC = "none", &o
	w.core.add(open)
	g := w.visit("POST", parPath, more)
	var body struct {
		URI string `json:"request_uri"`
	}
	if json.Unmarshal([]byte(g.body), &body); body.URI == "" {
		t.Fatalf("par: %d %s", g.status, g.body)
	}
	if g := w.visit("GET", authorizePath, url.Values{"client_id": {"held"}, "request_uri": {body.URI}}); g.to != "/c/1" {
		t.Fatalf("to %s", g.to)
	}
	if a := w.core.lastAsk(); len(a.ACR) != 0 {
		t.Errorf("of a public client: %+v", a)
	}
}

func TestPushKeepsNoSecret(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	if g := w.visit("POST", parPath, asking("rp", "client_secret", frontSecret)); g.status != http.StatusCreated {
		t.Fatalf("par: %d %s", g.status, g.body)
	}
	for _, p := range w.store.read().pushed {
		plain, err := w.core.Open(tenant, "oidc-par", string(p.Sealed))
		if err != nil || strings.Contains(string(plain), "secret") {
			t.Errorf("kept: %s, %v", plain, err)
		}
	}
}

func TestPushRefuses(t *testing.T) {
	t.Parallel()
	twice := asking("rp")
	twice.Add("state", "again")
	for name, c := range map[string]struct {
		v      url.Values
		client string
		status int
		code   string
	}{
		// Modelled on fapi2-security-profile-final-par-authorization-request-containing-request_uri-form-param.
		"request_uri":        {asking("rp", "request_uri", "urn:ietf:params:oauth:request_uri:x"), "rp", 400, "invalid_request"},
		"request":            {asking("rp", "request", "a.b.c"), "rp", 400, "request_not_supported"},
		"wrong redirect_uri": {asking("rp", "redirect_uri", "https://evil.example"), "rp", 400, "invalid_request"},
		"no PKCE":            {asking("rp", "code_challenge", "-", "code_challenge_method", "-"), "rp", 400, "invalid_request"},
		"plain PKCE":         {asking("rp", "code_challenge_method", "plain"), "rp", 400, "invalid_request"},
		"no openid":          {asking("rp", "scope", "email"), "rp", 400, "invalid_scope"},
		"token":              {asking("rp", "response_type", "token"), "rp", 400, "unsupported_response_type"},
		"claims":             {asking("rp", "claims", "nonsense"), "rp", 400, "invalid_request"},
		"essential":          {asking("rp", "claims", `{"id_token":{"acr":{"essential":true,"value":"x"}}}`), "rp", 400, "unmet_authentication_requirements"},
		"another's name":     {asking("other"), "rp", 400, "invalid_request"},
		"twice":              {twice, "rp", 400, "invalid_request"},
		"unknown client":     {asking("who"), "who", 401, "invalid_client"},
		"disabled client":    {asking("off"), "off", 401, "invalid_client"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := frontWorld()
			g, body := w.push(c.v, c.client)
			if g.status != c.status || body["error"] != c.code || g.to != "" {
				t.Errorf("got %d %s, want %d %s", g.status, g.body, c.status, c.code)
			}
			if c.status == 401 && g.header.Get("WWW-Authenticate") == "" {
				t.Error("401 without WWW-Authenticate")
			}
			if len(w.store.read().pushed) != 0 {
				t.Error("something was stored")
			}
		})
	}
	w := frontWorld()
	g := w.visit("POST", parPath, asking("rp"), as("rp", "wrong"))
	if g.status != http.StatusUnauthorized {
		t.Errorf("a wrong secret: %d", g.status)
	}
	// Modelled on fapi2-security-profile-final-par-attempt-invalid-http-method.
	for _, method := range []string{"GET", "PUT"} {
		if g := w.visit(method, parPath, asking("rp"), as("rp", frontSecret)); g.status != http.StatusMethodNotAllowed {
			t.Errorf("%s: %d", method, g.status)
		}
	}
	if g := w.visit("POST", parPath, asking("rp", "x", strings.Repeat("a", 65<<10)), as("rp", frontSecret)); g.status != http.StatusRequestEntityTooLarge {
		t.Errorf("too large: %d", g.status)
	}
}

// Only what an authenticated client pushed is compared with a document.
func TestOktaNames(t *testing.T) {
	t.Parallel()
	claims := `{"id_token":{"verified_claims":[{"verification":{"trust_framework":{"value":"IDV-DELEGATED"}},` +
		`"claims":{"given_name":{"value":"Ann","fuzzy":true},"family_name":{"value":"Lee","fuzzy":true}}}]}}`
	w := frontWorld()
	uri := pushedURI(t, w, asking("okta", "scope", "openid profile identity_assurance", "claims", claims), "okta")
	if g := w.visit("GET", authorizePath, url.Values{"client_id": {"okta"}, "request_uri": {uri}}); g.to != "/c/1" {
		t.Fatalf("to %s: %s", g.to, g.body)
	}
	if a := w.core.lastAsk(); !a.Proofing {
		t.Errorf("asks %+v", a)
	}
	if g := w.visit("GET", authorizePath, asking("okta", "claims", claims)); g.param(t, "error") != "invalid_request" {
		t.Errorf("not pushed: to %s", g.to)
	}
	okta, _ := w.core.Client(tenant, "okta")
	open := *okta
	oc := *okta.OIDC
	oc.RequirePAR, oc.AuthMethod = false, "none"
	open.OIDC = &oc
	w.core.add(open)
	if g := w.visit("GET", authorizePath, asking("okta", "claims", claims)); g.to != "/c/1" {
		t.Errorf("through a browser: to %s", g.to)
	}
	g := w.visit("POST", parPath, asking("okta", "claims", claims))
	var body struct {
		URI string `json:"request_uri"`
	}
	if json.Unmarshal([]byte(g.body), &body); body.URI == "" {
		t.Fatalf("a public client cannot push: %s", g.body)
	}
}
