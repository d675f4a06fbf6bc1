package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
)

const (
	backSecret   = "a-secret-of-256-bits-or-so"
	backRedirect = "https://rp.example.com/cb"
	backVerifier = "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk" // RFC 7636, appendix B
	cibaGrant    = "urn:openid:params:grant-type:ciba"
)

// backWorld is a world in which whoever comes to authorize is p1, in session s1, by
// face. Clients: basic (a secret, no PKCE), signed (private_key_jwt), public (PKCE),
// other (a secret), and silent, which may do nothing but redeem codes.
func backWorld(t testing.TB, change ...func(*oidc.Options)) *world {
	t.Helper()
	w := newWorld(change...)
	grants := []string{"refresh_token", cibaGrant}
	w.core.add(federation.Client{ID: "basic", Name: "Basic", OIDC: &federation.OIDCClient{
		RedirectURIs: []string{backRedirect}, AuthMethod: "client_secret_basic", WithoutPKCE: true, Grants: grants,
	}}, "an-older-secret", backSecret)
	w.core.add(federation.Client{ID: "other", Name: "Other", OIDC: &federation.OIDCClient{
		RedirectURIs: []string{backRedirect}, AuthMethod: "client_secret_post", WithoutPKCE: true, Grants: grants, Alg: "RS256",
	}}, "others-secret")
	w.core.add(federation.Client{ID: "silent", Name: "Silent", OIDC: &federation.OIDCClient{
		RedirectURIs: []string{backRedirect}, AuthMethod: "client_secret_basic", WithoutPKCE: true,
	}}, backSecret)
	w.core.add(federation.Client{ID: "public", Name: "Public", OIDC: &federation.OIDCClient{
		RedirectURIs: []string{backRedirect}, AuthMethod: "none", Grants: grants,
	}})
	w.core.add(federation.Client{ID: "signed", Name: "Signed", OIDC: &federation.OIDCClient{
		RedirectURIs: []string{backRedirect}, AuthMethod: "private_key_jwt", WithoutPKCE: true, Grants: grants,
		JWKS: keySet(clientKey(), "k1"),
	}}, backSecret) // a secret that is left over opens nothing
	w.store.person("p1")
	w.core.answers["s1"] = &federation.Answer{
		Session: "s1", Subject: "p1", Sub: "pair-1", Matched: true, AuthTime: w.clock.Now(), ACR: federation.ACRFace, Met: true, AMR: []string{"face"},
	}
	w.core.begin = func(federation.Browser, federation.Ask) (federation.Step, error) {
		return federation.Step{Answer: w.core.answers["s1"]}, nil
	}
	return w
}

var clientKey = sync.OnceValue(func() *ecdsa.PrivateKey {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	return k
})

func keySet(k *ecdsa.PrivateKey, kid string) json.RawMessage {
	b, err := json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: k.Public(), KeyID: kid, Use: "sig"}}})
	if err != nil {
		panic(err)
	}
	return b
}

// code has a browser sign in; each pair of more is a parameter of the request.
func (w *world) code(t testing.TB, client string, more ...string) string {
	t.Helper()
	q := url.Values{"client_id": {client}, "response_type": {"code"}, "redirect_uri": {backRedirect}, "scope": {"openid"}, "state": {"st"}, "nonce": {"no"}}
	if client == "public" {
		q.Set("code_challenge", challengeOf(backVerifier))
		q.Set("code_challenge_method", "S256")
	}
	for pair := range slices.Chunk(more, 2) {
		q.Set(pair[0], pair[1])
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, httptest.NewRequest("GET", "/federation/t1/authorize?"+q.Encode(), nil))
	to, err := url.Parse(rec.Header().Get("Location"))
	if err != nil || to.Query().Get("code") == "" {
		t.Fatalf("authorize: %d %s %s", rec.Code, rec.Header().Get("Location"), rec.Body)
	}
	return to.Query().Get("code")
}

func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}

// called is what an endpoint of the back channel answered.
type called struct {
	status int
	header http.Header
	body   map[string]any
}

func (c called) text(name string) string {
	s, _ := c.body[name].(string)
	return s
}

// failed checks that c is an error as RFC 6749 spells it.
func (c called) failed(t testing.TB, status int, code string) {
	t.Helper()
	if c.status != status || c.text("error") != code {
		t.Fatalf("answered %d %v, want %d %s", c.status, c.body, status, code)
	}
	if c.header.Get("Cache-Control") != "no-store" {
		t.Errorf("%s may be kept: Cache-Control %q", code, c.header.Get("Cache-Control"))
	}
	if status == http.StatusUnauthorized && c.header.Get("WWW-Authenticate") == "" {
		t.Error("401 without WWW-Authenticate")
	}
	for _, r := range c.text("error_description") {
		if r < ' ' || r > '~' || r == '"' || r == '\\' {
			t.Errorf("error_description has %q (RFC 6749, 5.2)", r)
		}
	}
	if c.text("access_token") != "" || c.text("id_token") != "" {
		t.Error("an error brought tokens along")
	}
}

func (c called) ok(t testing.TB) called {
	t.Helper()
	if c.status != http.StatusOK {
		t.Fatalf("answered %d %v", c.status, c.body)
	}
	if c.header.Get("Cache-Control") != "no-store" {
		t.Errorf("may be kept: Cache-Control %q", c.header.Get("Cache-Control"))
	}
	return c
}

// send posts a form; change may alter the request.
func (w *world) send(t testing.TB, path string, form url.Values, change ...func(*http.Request)) called {
	t.Helper()
	r := httptest.NewRequest("POST", path, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for _, c := range change {
		c(r)
	}
	return w.do(t, r)
}

func (w *world) do(t testing.TB, r *http.Request) called {
	t.Helper()
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, r)
	out := called{status: rec.Code, header: rec.Header()}
	body, _ := io.ReadAll(rec.Body)
	if len(body) > 0 {
		if err := json.Unmarshal(body, &out.body); err != nil {
			t.Fatalf("answered %d %q, which is no JSON", rec.Code, body)
		}
	}
	return out
}

const tokenPath = "/federation/t1/token"

// as authenticates with client_secret_basic.
func as(client, secret string) func(*http.Request) {
	return func(r *http.Request) { r.SetBasicAuth(url.QueryEscape(client), url.QueryEscape(secret)) }
}

var asBasic = as("basic", backSecret)

// with is a form: pairs of name and value.
func with(pairs ...string) url.Values {
	form := url.Values{}
	for p := range slices.Chunk(pairs, 2) {
		form.Set(p[0], p[1])
	}
	return form
}

// and is form with more, "" removing.
func and(form url.Values, pairs ...string) url.Values {
	form = maps.Clone(form)
	for p := range slices.Chunk(pairs, 2) {
		form.Set(p[0], p[1])
		if p[1] == "" {
			form.Del(p[0])
		}
	}
	return form
}

func redeeming(code string) url.Values {
	return with("grant_type", "authorization_code", "code", code, "redirect_uri", backRedirect)
}

// signedIn is a browser that came back and a client that redeemed what it brought.
func (w *world) signedIn(t testing.TB, more ...string) called {
	t.Helper()
	return w.send(t, tokenPath, redeeming(w.code(t, "basic", more...)), asBasic).ok(t)
}

// userinfoOf asks with a token in the header.
func (w *world) userinfoOf(t testing.TB, token string) called {
	t.Helper()
	r := httptest.NewRequest("GET", "/federation/t1/userinfo", nil)
	r.Header.Set("Authorization", "Bearer "+token)
	return w.do(t, r)
}

// claimsOf reads an ID token whose signature it checks.
func (w *world) claimsOf(t testing.TB, token string) map[string]any {
	t.Helper()
	payload, err := w.keys.Verify(t.Context(), tenant, token)
	if err != nil {
		t.Fatalf("the ID token: %v", err)
	}
	var claims map[string]any
	if err := json.Unmarshal(payload, &claims); err != nil {
		t.Fatal(err)
	}
	return claims
}

// actions is what the audit log says, oldest first.
func (w *world) actions() (out []string) {
	for _, a := range w.store.read().audit {
		out = append(out, a.Action)
	}
	return out
}

// assertion is a private_key_jwt of the client signed; change alters its claims.
func (w *world) assertion(t testing.TB, change ...func(map[string]any)) string {
	t.Helper()
	now := w.clock.Now()
	claims := map[string]any{
		"iss": "signed", "sub": "signed", "aud": issuer, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(),
		"jti": base64.RawURLEncoding.EncodeToString(random(16)),
	}
	for _, c := range change {
		c(claims)
	}
	return signWith(t, jose.ES256, clientKey(), "k1", claims)
}

func signWith(t testing.TB, alg jose.SignatureAlgorithm, key any, kid string, claims map[string]any) string {
	t.Helper()
	payload, err := json.Marshal(claims)
	if err != nil {
		t.Fatal(err)
	}
	o := new(jose.SignerOptions)
	if kid != "" {
		o = o.WithHeader("kid", kid)
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: alg, Key: key}, o)
	if err != nil {
		t.Fatal(err)
	}
	j, err := s.Sign(payload)
	if err != nil {
		t.Fatal(err)
	}
	out, err := j.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return out
}
