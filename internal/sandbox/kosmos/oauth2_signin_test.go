package kosmos_test

import (
	"bytes"
	"encoding/json"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// signIn is an authorization request that names nobody; pairs are parameters.
func (p *provider) signIn(verifier string, pairs ...string) string {
	options := []oauth2.AuthCodeOption{oidc.Nonce("some nonce"), oauth2.S256ChallengeOption(verifier)}
	for i := 0; i < len(pairs); i += 2 {
		options = append(options, oauth2.SetAuthURLParam(pairs[i], pairs[i+1]))
	}
	return p.config.AuthCodeURL("some state", options...)
}

// signedIn goes through a sign-in as user and returns what the browser brings back.
func (b *surfer) signedIn(address, user string) url.Values {
	b.p.t.Helper()
	at := b.open(address)
	if f := b.showAs(at, user, selfiePhoto); f.State != "match" {
		b.p.t.Fatalf("face: %+v", f)
	}
	to, r := b.follow(at + "/return")
	if to == nil {
		b.p.t.Fatalf("the way back: %d %s", r.status, r.body)
	}
	return to.Query()
}

// told is what the ID token, and then user info, say for a code.
func (p *provider) told(code, verifier string) (token, info map[string]any, scope string) {
	p.t.Helper()
	t, err := p.config.Exchange(p.ctx, code, oauth2.VerifierOption(verifier))
	if err != nil {
		p.t.Fatal(err)
	}
	raw, _ := t.Extra("id_token").(string)
	id, err := p.oidc.Verifier(&oidc.Config{ClientID: rpID, Now: p.clock.now}).Verify(p.ctx, raw)
	if err != nil {
		p.t.Fatal(err)
	}
	if err := id.Claims(&token); err != nil {
		p.t.Fatal(err)
	}
	u, err := p.oidc.UserInfo(p.ctx, oauth2.StaticTokenSource(t))
	if err != nil {
		p.t.Fatal(err)
	}
	if err := u.Claims(&info); err != nil {
		p.t.Fatal(err)
	}
	scope, _ = t.Extra("scope").(string)
	return token, info, scope
}

// Whoever shows their face is signed in, whatever was hinted, and is told at the level
// of the tenant's records.
func TestOAuthSignIn(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	p.enrolled("ada")
	const level, essential = "/assurance/ial/2", `{"id_token":{"acr":{"essential":true,"values":["/assurance/ial/2/"]}}}`
	for name, c := range map[string]struct {
		user  string
		asked []string
		acr   string
		amr   []any
		info  map[string]any // besides sub and username
		scope string
	}{
		"nothing asked": {rpUser, nil, "liveID push", []any{"face"},
			map[string]any{"preferred_username": rpUser, "email": rpUser, "email_verified": false}, "openid email profile"},
		"a hint":              {rpUser, []string{"login_hint", "victim@example.com", "scope", "openid"}, "liveID push", []any{"face"}, nil, "openid"},
		"the level, by scope": {rpUser, []string{"scope", "openid /assurance/ial/2/ phone"}, "liveID push", []any{"face", "/assurance/ial/1"}, nil, "openid /assurance/ial/2"},
		"the level of records": {"ada", []string{"scope", "openid profile email /assurance/ial/2"}, "liveID push", []any{"face", level},
			map[string]any{"preferred_username": "ada", "name": "Anna Eriksson", "given_name": "Anna", "family_name": "Eriksson"}, "openid profile email /assurance/ial/2"},
		"essential": {"ada", []string{"scope", "openid", "claims", essential}, "/assurance/ial/2/", []any{"face", level}, nil, "openid"},
		"value for values": {"ada", []string{"scope", "openid", "claims", strings.Replace(essential, "values", "value", 1)}, "/assurance/ial/2/",
			[]any{"face", level}, nil, "openid"},
		"a text for a list": {"ada", []string{"scope", "openid", "claims", `{"id_token":{"acr":{"essential":true,"values":"/assurance/ial/2"}}}`}, level,
			[]any{"face", level}, nil, "openid"},
		"as an alternative": {rpUser, []string{"scope", "openid", "claims", strings.Replace(essential, `/"]`, `/","liveID push"]`, 1)}, "liveID push",
			[]any{"face", "/assurance/ial/1"}, nil, "openid"},
		"voluntary":     {rpUser, []string{"scope", "openid", "acr_values", "/assurance/ial/2 /assurance/ial/1"}, "/assurance/ial/1", []any{"face", "/assurance/ial/1"}, nil, "openid"},
		"not by claims": {rpUser, []string{"scope", "openid", "claims", strings.Replace(essential, "true", "false", 1)}, "liveID push", []any{"face", "/assurance/ial/1"}, nil, "openid"},
	} {
		verifier := oauth2.GenerateVerifier()
		q := p.surfer().signedIn(p.signIn(verifier, c.asked...), c.user)
		token, info, scope := p.told(q.Get("code"), verifier)
		if token["username"] != c.user || token["acr"] != c.acr || !reflect.DeepEqual(token["amr"], c.amr) || scope != c.scope {
			t.Errorf("%s: %v, scope %q", name, token, scope)
		}
		if info["username"] != c.user || info["sub"] != token["sub"] {
			t.Errorf("%s: user info %v", name, info)
		}
		delete(info, "username")
		delete(info, "sub")
		if !maps.EqualFunc(info, c.info, func(a, b any) bool { return a == b }) {
			t.Errorf("%s: user info has %v", name, info)
		}
	}

	// Who has not reached what is essential goes back without a code.
	for _, claims := range []string{essential, `{"id_token":{"acr":{"essential":true,"value":"/assurance/ial/3"}}}`} {
		q := p.surfer().signedIn(p.signIn(oauth2.GenerateVerifier(), "claims", claims), rpUser)
		if q.Get("error") != "unmet_authentication_requirements" || q.Has("code") || q.Get("state") != "some state" || q.Get("iss") == "" {
			t.Errorf("%s: back with %v", claims, q)
		}
	}
	// And a step-up of a named user may ask for the level, too.
	verifier := oauth2.GenerateVerifier()
	both := `{"id_token":{"username":"ada","acr":{"essential":true,"values":["/assurance/ial/2"]}}}`
	token, _, _ := p.told(p.surfer().signedIn(p.signIn(verifier, "claims", both), "").Get("code"), verifier)
	if token["username"] != "ada" || token["acr"] != level {
		t.Errorf("a step-up: %v", token)
	}
}

// A name that somebody typed is no user, whoever pushed the request; and nobody
// learns which names there are.
func TestOAuthSignInRefused(t *testing.T) {
	p := startProvider(t, func(o *kosmos.Options) { o.StepUpAttempts = 2 })
	p.enrolled(rpUser)
	p.enrolled("off@example.com")
	if err := p.Directory().SetDisabled(t.Context(), "off@example.com", true, "test"); err != nil {
		t.Fatal(err)
	}
	unnamed := func(q url.Values) { q.Del("claims") }
	front := func() string { return p.signIn(oauth2.GenerateVerifier()) }
	pushed := func() string {
		return p.pushed(p.push(rpUser, oauth2.GenerateVerifier(), rpID, rpSecret, unnamed), rpID)
	}
	for _, way := range []func() string{front, pushed} {
		var first []byte
		for user, face := range map[string][]byte{rpUser: strangerPhoto, "nobody@example.com": selfiePhoto, "off@example.com": selfiePhoto, "cora": selfiePhoto} {
			b := p.surfer()
			at := b.open(way())
			b.showAs(at, user, face)
			f := b.showAs(at, user, face)
			to, _ := b.follow(at + "/return")
			if f.State != "refused" || f.Reason != "face_mismatch" || to == nil || to.Query().Get("error_description") != "face_mismatch" || to.Query().Get("error") != "access_denied" {
				t.Errorf("%s: %+v, to %v", user, f, to)
			}
			text, _ := json.Marshal(f)
			text = bytes.ReplaceAll(text, []byte(strings.TrimPrefix(at, p.base+"/authenticator/")), nil)
			if first == nil {
				first = text
			}
			if !bytes.Equal(text, first) {
				t.Errorf("%s reads otherwise:\n%s\n%s", user, text, first)
			}
		}
		b := p.surfer()
		if f := b.showAs(b.open(way()), " ", selfiePhoto); f.State != "open" || f.Reason != "account_missing" {
			t.Errorf("no name: %+v", f)
		}
	}

	// The code is good for nobody who was switched off since.
	verifier := oauth2.GenerateVerifier()
	q := p.surfer().signedIn(p.signIn(verifier), rpUser)
	if err := p.Directory().SetDisabled(t.Context(), rpUser, true, "test"); err != nil {
		t.Fatal(err)
	}
	form := url.Values{"grant_type": {"authorization_code"}, "code": {q.Get("code")}, "redirect_uri": {rpReturn}, "code_verifier": {verifier}}
	if status, body := p.redeem(rpID, rpSecret, form); status != 400 || body["error"] != "invalid_grant" {
		t.Errorf("disabled since: %d %v", status, body)
	}
}

// Only the browser that asked may show a face: else somebody could have another
// person answer, and come back as that person.
func TestOAuthSignInOtherBrowser(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	asked, lured := p.surfer(), p.surfer()
	at := asked.open(p.signIn(oauth2.GenerateVerifier()))
	lured.open(p.signIn(oauth2.GenerateVerifier())) // with a cookie of its own sign-in
	if f := lured.showAs(at, rpUser, selfiePhoto); f.Reason != "other_browser" || f.State != "" {
		t.Errorf("another browser: %+v", f)
	}
	if _, r := lured.hop("GET", at, nil, nil); !bytes.Contains(r.body, []byte("started in another browser")) || bytes.Contains(r.body, []byte("<form")) {
		t.Errorf("its page: %s", r.body)
	}
	if to, _ := asked.follow(at + "/return"); to != nil {
		t.Errorf("back before anybody answered: %v", to)
	}
	if f := asked.showAs(at, rpUser, selfiePhoto); f.State != "match" {
		t.Errorf("who asked: %+v", f)
	}
	if to, r := lured.follow(at + "/return"); to != nil || r.status != http.StatusBadRequest {
		t.Errorf("another browser is sent to %v", to)
	}
}

// The page suggests an account, and the person may write another.
func TestOAuthSignInPage(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	shown := func(b *surfer, pairs ...string) string {
		t.Helper()
		_, r := b.hop("GET", b.open(p.signIn(oauth2.GenerateVerifier(), pairs...)), nil, nil)
		_, rest, ok := strings.Cut(string(r.body), `name="account" value="`)
		if !ok {
			t.Fatalf("no field for the account: %s", r.body)
		}
		value, _, _ := strings.Cut(rest, `"`)
		return value
	}
	b := p.surfer()
	if got := shown(b); got != "" {
		t.Errorf("a new browser suggests %q", got)
	}
	b.signedIn(p.signIn(oauth2.GenerateVerifier()), rpUser)
	for _, c := range []struct{ want, name, value string }{
		{rpUser, "prompt", "login"}, {"", "prompt", "select_account"}, {"bob&#34;@example.com", "login_hint", `bob"@example.com`},
	} {
		if got := shown(b, c.name, c.value); got != c.want {
			t.Errorf("%s=%s suggests %q", c.name, c.value, got)
		}
	}
	if to, _ := b.hop("GET", p.signIn(oauth2.GenerateVerifier(), "prompt", "none"), nil, nil); to == nil || to.Query().Get("error") != "login_required" {
		t.Errorf("prompt=none: %v", to)
	}
}

// The client that pushes a sign-in vouches for no name: what fails under one that is
// typed there counts for that name, and not for the user; and what the engine says of
// a user's face is not told either.
func TestOAuthSignInTyped(t *testing.T) {
	e := &engine{}
	p := startProvider(t, func(o *kosmos.Options) { o.StepUpAttempts = 1; o.Engine = e })
	p.enrolled(rpUser)
	pushed := func() string {
		return p.pushed(p.push(rpUser, oauth2.GenerateVerifier(), rpID, rpSecret, func(q url.Values) { q.Del("claims") }), rpID)
	}
	e.match = func(*api.MatchRequest) (*api.Report, error) {
		return matched(api.CannotTell, api.ReasonFaceUncertain), nil
	}
	for range kosmos.MaxGuesses {
		b := p.surfer()
		at := b.open(pushed())
		b.showAs(at, rpUser, selfiePhoto)
		if to, _ := b.follow(at + "/return"); to == nil || to.Query().Get("error_description") != "face_mismatch" {
			t.Fatalf("back with %v", to)
		}
	}
	e.match = nil
	b := p.surfer()
	if f := b.showAs(b.open(pushed()), rpUser, selfiePhoto); f.State != "refused" || f.Reason != "too_many_attempts" {
		t.Errorf("typed once more: %+v", f)
	}
	// The client that names the user is served.
	p.surfer().matched(p.pushedFor(rpUser))
}
