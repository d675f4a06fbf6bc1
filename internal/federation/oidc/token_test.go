package oidc_test

import (
	"cmp"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Modelled on oidcc-server: a code gives an access token, an ID token and, at the
// UserInfo endpoint, the same person.
func TestRedeemCode(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	got := w.signedIn(t, "scope", "openid unknown")
	if got.text("token_type") != "Bearer" || got.body["expires_in"] != 300.0 || got.text("scope") != "openid" {
		t.Errorf("answered %v", got.body)
	}
	if b, err := base64.RawURLEncoding.DecodeString(got.text("access_token")); err != nil || len(b) != 32 {
		t.Errorf("the access token %q is not 256 bits", got.text("access_token"))
	}
	if got.header.Get("Pragma") != "no-cache" {
		t.Error("no Pragma: no-cache (RFC 6749, 5.1)")
	}
	if _, there := got.body["refresh_token"]; there {
		t.Error("a refresh token that nobody asked for")
	}
	claims := w.claimsOf(t, got.text("id_token"))
	for name, want := range map[string]any{"iss": issuer, "aud": "basic", "sub": "pair-1", "nonce": "no", "acr": federation.ACRFace, "sid": "s1"} {
		if claims[name] != want {
			t.Errorf("%s is %v, want %v", name, claims[name], want)
		}
	}
	stored := w.store.read()
	if len(stored.grants) != 1 || len(stored.audit) != 1 {
		t.Fatalf("%d grants and %d audit records, want one each", len(stored.grants), len(stored.audit))
	}
	g, a := stored.grants[0], stored.audit[0]
	if a.Action != "federation.token_issued" || a.Object != "grant:"+g.ID || a.Actor != "caller:federation/basic" || a.Tenant != tenant {
		t.Errorf("audit %+v", a)
	}
	if g.Subject != "p1" || g.Session != "s1" || g.Client != "basic" || g.Family != g.ID || g.KeepUntil.Before(g.ExpiresAt) {
		t.Errorf("grant %+v", g)
	}
	if strings.Contains(string(g.Sealed), "pair-1") {
		t.Error("what userinfo answers is stored in the clear")
	}
	if ask := w.core.asked[0]; ask.Client == nil || ask.ClientID != "basic" || ask.Tenant != tenant || ask.Protocol != federation.OIDC {
		t.Errorf("the session was asked for with %+v", ask)
	}
}

func TestSigningAlgorithmOfClient(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	for client, want := range map[string]string{"basic": "ES256", "other": "RS256"} {
		secret := map[string]string{"basic": backSecret, "other": "others-secret"}[client]
		got := w.send(t, tokenPath, redeeming(w.code(t, client)), as(client, secret)).ok(t)
		header, _, _ := strings.Cut(got.text("id_token"), ".")
		b, err := base64.RawURLEncoding.DecodeString(header)
		if err != nil || !strings.Contains(string(b), `"alg":"`+want+`"`) {
			t.Errorf("%s: header %s, want %s", client, b, want)
		}
	}
}

// Every way in which a code is not good for who brings it.
func TestRedeemCodeRefused(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	good := func() url.Values { return redeeming(w.code(t, "basic")) }
	public := func() url.Values { return and(redeeming(w.code(t, "public")), "client_id", "public") }
	tests := []struct {
		name  string
		form  url.Values
		as    func(*http.Request) // nil: the form says
		after time.Duration
		error string
	}{
		{"no grant_type", and(good(), "grant_type", ""), asBasic, 0, "invalid_request"},
		{"unknown grant_type", and(good(), "grant_type", "password"), asBasic, 0, "unsupported_grant_type"},
		{"implicit is none", and(good(), "grant_type", "implicit"), asBasic, 0, "unsupported_grant_type"},
		{"client_credentials", and(good(), "grant_type", "client_credentials"), asBasic, 0, "unsupported_grant_type"},
		{"no code", and(good(), "code", ""), asBasic, 0, "invalid_request"},
		{"a made up code", and(good(), "code", "abc"), asBasic, 0, "invalid_grant"},
		{"an endless code", and(good(), "code", strings.Repeat("a", 60000)), asBasic, 0, "invalid_grant"},
		{"a tampered code", tampered(good()), asBasic, 0, "invalid_grant"},
		{"another client's code", good(), as("other", "others-secret"), 0, "invalid_grant"},
		{"no redirect_uri", and(good(), "redirect_uri", ""), asBasic, 0, "invalid_grant"},
		{"another redirect_uri", and(good(), "redirect_uri", backRedirect+"/"), asBasic, 0, "invalid_grant"},
		{"an expired code", good(), asBasic, 61 * time.Second, "invalid_grant"},
		{"a verifier without a challenge", and(good(), "code_verifier", backVerifier), asBasic, 0, "invalid_grant"},
		{"PKCE: no verifier", public(), nil, 0, "invalid_grant"},
		{"PKCE: wrong verifier", and(public(), "code_verifier", strings.ToUpper(backVerifier)), nil, 0, "invalid_grant"},
		{"PKCE: the challenge as verifier", and(public(), "code_verifier", challengeOf(backVerifier)), nil, 0, "invalid_grant"},
		{"PKCE: short verifier", and(public(), "code_verifier", backVerifier[:42]), nil, 0, "invalid_grant"},
		{"PKCE: long verifier", and(public(), "code_verifier", strings.Repeat("a", 129)), nil, 0, "invalid_grant"},
		{"PKCE: odd characters", and(public(), "code_verifier", backVerifier+"+"), nil, 0, "invalid_grant"},
	}
	for _, test := range tests {
		w.clock.Advance(test.after)
		var change []func(*http.Request)
		if test.as != nil {
			change = append(change, test.as)
		}
		t.Log(test.name)
		w.send(t, tokenPath, test.form, change...).failed(t, http.StatusBadRequest, test.error)
		w.clock.Advance(-test.after)
	}
	if n := len(w.store.read().grants); n != 0 {
		t.Errorf("%d grants were written", n)
	}
	// None of that spent a code: what is right goes through.
	w.send(t, tokenPath, good(), asBasic).ok(t)
	w.send(t, tokenPath, and(public(), "code_verifier", backVerifier)).ok(t)
}

// tampered changes one character in the middle of the code.
func tampered(form url.Values) url.Values {
	code := []byte(form.Get("code"))
	i := len(code) / 2
	if code[i]++; code[i] > 'y' || code[i] < 'A' {
		code[i] = 'A'
	}
	return and(form, "code", string(code))
}

// A PKCE verifier is wanted of a confidential client, too, if its request had one.
func TestPKCEOfConfidentialClient(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	code := w.code(t, "basic", "code_challenge", challengeOf(backVerifier), "code_challenge_method", "S256")
	w.send(t, tokenPath, redeeming(code), asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, and(redeeming(code), "code_verifier", backVerifier), asBasic).ok(t)
}

func TestTokenRequestShape(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := redeeming(w.code(t, "basic"))
	w.send(t, tokenPath, form, asBasic, func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, url.Values{"code": {"a", "b"}, "grant_type": {"authorization_code"}}, asBasic).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, and(form, "x", strings.Repeat("a", 70<<10)), asBasic).failed(t, http.StatusRequestEntityTooLarge, "invalid_request")
	w.send(t, "/federation/nobody/token", form, asBasic).failed(t, 404, "invalid_request")
	w.send(t, "/federation/t2/token", form, asBasic).failed(t, 401, "invalid_client") // of another tenant
	// What is in the query does not count.
	w.send(t, tokenPath+"?"+form.Encode(), url.Values{}, asBasic).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, form, asBasic).ok(t)
}

// Modelled on oidcc-codereuse: the second redemption is refused and ends what the
// first one gave.
func TestCodeReuse(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := redeeming(w.code(t, "basic"))
	first := w.send(t, tokenPath, form, asBasic).ok(t)
	w.userinfoOf(t, first.text("access_token")).ok(t)
	w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
	w.userinfoOf(t, first.text("access_token")).failed(t, 401, "invalid_token")
	if want := []string{"federation.token_issued", "federation.code_reused"}; !slices.Equal(w.actions(), want) {
		t.Errorf("audit %v, want %v", w.actions(), want)
	}
	// Again and again fills no log.
	w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
	if n := len(w.actions()); n != 2 {
		t.Errorf("%d audit records after a third try, want 2", n)
	}
}

// Modelled on oidcc-codereuse-30seconds, and later than that: when the code is too old
// anyhow its tokens may still live.
func TestCodeReuseLater(t *testing.T) {
	t.Parallel()
	for _, after := range []time.Duration{30 * time.Second, 2 * time.Minute} {
		w := backWorld(t)
		form := redeeming(w.code(t, "basic"))
		first := w.send(t, tokenPath, form, asBasic).ok(t)
		w.clock.Advance(after)
		w.userinfoOf(t, first.text("access_token")).ok(t)
		w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
		w.userinfoOf(t, first.text("access_token")).failed(t, 401, "invalid_token")
	}
}

// A code is spent by what is sealed in it, whatever its text: base64 has more than one
// spelling for the same bytes, and a decoder may skip line ends.
func TestCodeReuseByAnotherSpelling(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := redeeming(w.code(t, "basic"))
	w.send(t, tokenPath, form, asBasic).ok(t)
	for _, code := range []string{form.Get("code") + "\n", form.Get("code")[:8] + "\r\n" + form.Get("code")[8:], form.Get("code") + "="} {
		w.send(t, tokenPath, and(form, "code", code), asBasic).failed(t, 400, "invalid_grant")
	}
	if n := len(w.store.read().grants); n != 1 {
		t.Errorf("%d grants for one code", n)
	}
}

// Who merely saw a used code cannot end what it gave.
func TestReuseByStrangerEndsNothing(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	code := w.code(t, "public")
	form := and(redeeming(code), "client_id", "public", "code_verifier", backVerifier)
	first := w.send(t, tokenPath, form).ok(t)
	w.send(t, tokenPath, and(form, "code_verifier", strings.Repeat("b", 43))).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, and(form, "client_id", "", "code_verifier", ""), asBasic).failed(t, 400, "invalid_grant")
	w.userinfoOf(t, first.text("access_token")).ok(t)
}

// Of two that redeem one code at once one wins, and then nobody has anything.
func TestCodeRace(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := redeeming(w.code(t, "basic"))
	answers := make([]called, 8)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.send(t, tokenPath, form, asBasic) })
	}
	all.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			w.userinfoOf(t, a.text("access_token")).failed(t, 401, "invalid_token")
		} else {
			a.failed(t, 400, "invalid_grant")
		}
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
	stored := w.store.read()
	if len(stored.grants) != 1 || stored.grants[0].RevokedAt.IsZero() {
		t.Errorf("grants %+v, want one, revoked", stored.grants)
	}
}

// The session, the person and what they reached may be gone by the time of the code.
func TestRedeemCodeAfterTheFact(t *testing.T) {
	t.Parallel()
	t.Run("session over", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		form := redeeming(w.code(t, "basic"))
		w.core.answer = func(federation.Ask, string) (*federation.Answer, error) { return nil, proof.ErrNotFound }
		w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
	})
	t.Run("erased between", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		form := redeeming(w.code(t, "basic"))
		w.store.data.subjects[tenant+"/p1"] = proof.Subject{ID: "p1", Tenant: tenant, ErasedAt: w.clock.Now()}
		w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
		if stored := w.store.read(); len(stored.grants)+len(stored.audit) != 0 {
			t.Error("something was written")
		}
	})
	t.Run("assurance revoked", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		form := redeeming(w.code(t, "basic", "acr_values", federation.ACRFace))
		w.core.answer = func(_ federation.Ask, s string) (*federation.Answer, error) {
			less := *w.core.answers[s]
			less.ACR, less.Met = "", false
			return &less, nil
		}
		w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
	})
	t.Run("store in trouble", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		form := redeeming(w.code(t, "basic"))
		w.core.answer = func(federation.Ask, string) (*federation.Answer, error) {
			return nil, &proof.Error{Code: proof.CodeUnavailable, Temporary: true}
		}
		w.send(t, tokenPath, form, asBasic).failed(t, 503, "temporarily_unavailable")
		w.core.answer = nil
		w.send(t, tokenPath, form, asBasic).ok(t) // the code is still good
	})
}

const offline = "openid offline_access"

// Modelled on oidcc-refresh-token.
func TestRefresh(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	first := w.signedIn(t, "scope", offline)
	if first.text("refresh_token") == "" || first.text("scope") != offline {
		t.Fatalf("answered %v", first.body)
	}
	before := w.claimsOf(t, first.text("id_token"))
	w.clock.Advance(time.Minute)
	second := w.send(t, tokenPath, refreshing(first), asBasic).ok(t)
	after := w.claimsOf(t, second.text("id_token"))
	for _, name := range []string{"iss", "sub", "aud", "auth_time", "acr"} { // Core 12.2
		if before[name] != after[name] {
			t.Errorf("%s was %v and is %v", name, before[name], after[name])
		}
	}
	if after["iat"] == before["iat"] {
		t.Error("iat is the one of the first ID token")
	}
	if _, there := after["nonce"]; there {
		t.Error("a refreshed ID token should have no nonce")
	}
	if second.text("refresh_token") == first.text("refresh_token") || second.text("access_token") == first.text("access_token") {
		t.Error("the same token again")
	}
	// A whole chain, all of one family.
	third := w.send(t, tokenPath, refreshing(second), asBasic).ok(t)
	w.userinfoOf(t, third.text("access_token")).ok(t)
	grants := w.store.read().grants
	for _, g := range grants {
		if g.Family != grants[0].ID {
			t.Errorf("family %s, want %s", g.Family, grants[0].ID)
		}
	}
}

func refreshing(c called) url.Values {
	return with("grant_type", "refresh_token", "refresh_token", c.text("refresh_token"))
}

func TestRefreshNotGiven(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	if got := w.signedIn(t); got.text("refresh_token") != "" {
		t.Error("without offline_access")
	}
	got := w.send(t, tokenPath, redeeming(w.code(t, "silent", "scope", offline)), as("silent", backSecret)).ok(t)
	if got.text("refresh_token") != "" || got.text("scope") != "openid" {
		t.Errorf("for a client without that grant: %v", got.body)
	}
}

// A refresh token that comes twice was taken by somebody: the family ends, whoever
// was first.
func TestRefreshReuse(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	first := w.signedIn(t, "scope", offline)
	second := w.send(t, tokenPath, refreshing(first), asBasic).ok(t)
	w.send(t, tokenPath, refreshing(first), asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, refreshing(second), asBasic).failed(t, 400, "invalid_grant")
	for _, c := range []called{first, second} {
		w.userinfoOf(t, c.text("access_token")).failed(t, 401, "invalid_token")
	}
	if !slices.Contains(w.actions(), "federation.code_reused") {
		t.Errorf("audit %v", w.actions())
	}
}

// A code that comes twice ends the refresh token that it gave, too, used or not.
func TestCodeReuseEndsRefresh(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := redeeming(w.code(t, "basic", "scope", offline))
	first := w.send(t, tokenPath, form, asBasic).ok(t)
	w.send(t, tokenPath, form, asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, refreshing(first), asBasic).failed(t, 400, "invalid_grant")
}

func TestRefreshRace(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	first := w.signedIn(t, "scope", offline)
	answers := make([]called, 6)
	var all sync.WaitGroup
	for i := range answers {
		all.Go(func() { answers[i] = w.send(t, tokenPath, refreshing(first), asBasic) })
	}
	all.Wait()
	won := 0
	for _, a := range answers {
		if a.status == http.StatusOK {
			won++
			w.send(t, tokenPath, refreshing(a), asBasic).failed(t, 400, "invalid_grant")
		}
	}
	if won != 1 {
		t.Errorf("%d won, want 1", won)
	}
	for _, g := range w.store.read().grants {
		if g.RevokedAt.IsZero() {
			t.Errorf("grant %s outlived the reuse", g.ID)
		}
	}
}

func TestRefreshRefused(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	first := w.signedIn(t, "scope", offline)
	code := w.code(t, "basic", "scope", offline)
	other := as("other", "others-secret")
	w.send(t, tokenPath, refreshing(first), other).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, refreshing(first), as("silent", backSecret)).failed(t, 400, "unauthorized_client")
	w.send(t, tokenPath, and(refreshing(first), "refresh_token", ""), asBasic).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, and(refreshing(first), "refresh_token", code), asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, redeeming(first.text("refresh_token")), asBasic).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, and(refreshing(first), "scope", "openid email"), asBasic).failed(t, 400, "invalid_scope")
	w.send(t, tokenPath, and(refreshing(first), "scope", "offline_access"), asBasic).failed(t, 400, "invalid_scope")
}

// A refresh may ask for less, and then less is told; the next may ask for all again.
func TestRefreshNarrowed(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	w.core.answers["s1"].IALLevel = "IAL1"
	last := w.signedIn(t, "scope", "openid profile offline_access")
	for _, scope := range []string{"openid profile", "openid", ""} {
		last = w.send(t, tokenPath, and(refreshing(last), "scope", scope), asBasic).ok(t)
		_, there := w.claimsOf(t, last.text("id_token"))["ial_level"]
		if want := scope != "openid"; there != want {
			t.Errorf("scope %q: ial_level told is %v, want %v", scope, there, want)
		}
		if want := cmp.Or(scope, "openid profile offline_access"); last.text("scope") != want {
			t.Errorf("scope %q, want %q", last.text("scope"), want)
		}
	}
}

// A refresh token lives no longer than the session, and no longer than 30 days
// however often it is renewed.
func TestRefreshEnds(t *testing.T) {
	t.Parallel()
	t.Run("session", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		first := w.signedIn(t, "scope", offline)
		w.core.answer = func(federation.Ask, string) (*federation.Answer, error) { return nil, proof.ErrNotFound }
		w.send(t, tokenPath, refreshing(first), asBasic).failed(t, 400, "invalid_grant")
	})
	t.Run("30 days", func(t *testing.T) {
		t.Parallel()
		w := backWorld(t)
		last := w.signedIn(t, "scope", offline)
		for range 2 {
			w.clock.Advance(14 * 24 * time.Hour)
			last = w.send(t, tokenPath, refreshing(last), asBasic).ok(t)
		}
		w.clock.Advance(2 * 24 * time.Hour)
		w.send(t, tokenPath, refreshing(last), asBasic).failed(t, 400, "invalid_grant")
	})
}

// Nothing of a person is in an audit record.
func TestAuditIsImpersonal(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	a := *w.core.answers["s1"]
	a.Identifier = "pat@example.com"
	w.core.answers["s1"] = &a
	form := redeeming(w.code(t, "basic", "scope", "openid email profile", "login_hint", "pat@example.com"))
	w.send(t, tokenPath, form, asBasic).ok(t)
	w.send(t, tokenPath, form, asBasic)
	b, err := json.Marshal(w.store.read().audit)
	if err != nil || strings.Contains(string(b), "pat") || strings.Contains(string(b), "pair-1") {
		t.Errorf("audit %s", b)
	}
}
