package kosmos_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"image/color"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

const (
	rpID       = "bridge"
	rpSecret   = "a secret: with + and /"
	rpReturn   = "https://bridge.example/c/return?tenant=1"
	rpPlain    = "https://bridge.example/other" // openid-client takes an address without a query
	rpUser     = "erika@example.com"
	oauth2Base = "/oauth2/community/default"
)

var strangerPhoto = photo(80, 100, color.RGBA{10, 120, 200, 255})

// provider is a server with clients, and a client that we did not write.
type provider struct {
	*server
	oidc   *oidc.Provider
	config oauth2.Config
	ctx    context.Context
}

func startProvider(t *testing.T, change func(*kosmos.Options)) *provider {
	t.Helper()
	s := start(t, &engine{}, func(o *kosmos.Options) {
		o.StepUpLiveness = api.LivenessNone
		o.Clients = []kosmos.OAuthClient{
			{ID: rpID, Secret: rpSecret, RedirectURIs: []string{rpPlain, rpReturn}},
			{ID: "second", Secret: "another long secret", RedirectURIs: []string{rpReturn}, PKCEOptional: true},
		}
		if change != nil {
			change(o)
		}
	})
	p := &provider{server: s}
	p.connect()
	return p
}

func (p *provider) connect() {
	p.t.Helper()
	p.ctx = oidc.ClientContext(p.t.Context(), p.http)
	var err error
	if p.oidc, err = oidc.NewProvider(p.ctx, p.base+oauth2Base); err != nil {
		p.t.Fatal(err)
	}
	endpoint := p.oidc.Endpoint()
	endpoint.AuthStyle = oauth2.AuthStyleInHeader
	p.config = oauth2.Config{ClientID: rpID, ClientSecret: rpSecret, Endpoint: endpoint, RedirectURL: rpReturn, Scopes: []string{"openid", "email", "profile"}}
}

// enrolled proofs a person and enrols their face.
func (p *provider) enrolled(username string) {
	p.t.Helper()
	id := p.create("default", "ppt_object", map[string]string{"username": username})
	if a := p.act(id, "start", strings.NewReader("enrol=yes"), "application/x-www-form-urlencoded"); a.State != "started" {
		p.t.Fatalf("start: %+v", a)
	}
	p.upload(id, "front", frontPhoto)
	p.upload(id, "selfie", selfiePhoto)
	p.act(id, "submit", nil, "")
	p.WaitJudged()
	if state := p.state("default", id); !strings.Contains(strings.ToLower(state), "success") {
		p.t.Fatalf("proofing ended in %s", state)
	}
}

func claimsFor(username string, acr ...string) string {
	if acr == nil {
		acr = []string{"liveID push"}
	}
	b, _ := json.Marshal(map[string]any{"id_token": map[string]any{"username": username, "acr": map[string]any{"essential": true, "values": acr}}})
	return string(b)
}

// surfer is one browser.
type surfer struct {
	p    *provider
	http *http.Client
	at   string // the authenticator it was sent to last
}

func (p *provider) surfer() *surfer {
	jar, err := cookiejar.New(nil)
	if err != nil {
		p.t.Fatal(err)
	}
	c := *p.http
	c.Jar = jar
	return &surfer{p: p, http: &c}
}

// hop makes a request and returns where it leads; nil if nowhere.
func (b *surfer) hop(method, address string, body io.Reader, header map[string]string) (*url.URL, reply) {
	b.p.t.Helper()
	req, err := http.NewRequest(method, address, body)
	if err != nil {
		b.p.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	res, err := b.http.Do(req)
	if err != nil {
		b.p.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.p.t.Fatal(err)
	}
	r := reply{res.StatusCode, res.Header, text}
	if res.Header.Get("Location") == "" {
		return nil, r
	}
	to, err := res.Location()
	if err != nil {
		b.p.t.Fatal(err)
	}
	if res.StatusCode != http.StatusSeeOther || len(text) != 0 {
		b.p.t.Errorf("a redirect of status %d with a body of %d bytes", res.StatusCode, len(text))
	}
	return to, r
}

// follow goes from address to where the provider lets go of the browser.
func (b *surfer) follow(address string) (*url.URL, reply) {
	b.p.t.Helper()
	for range 5 {
		to, r := b.hop("GET", address, nil, nil)
		if to == nil || "https://"+to.Host != b.p.base {
			return to, r
		}
		address = to.String()
	}
	b.p.t.Fatal("it goes around in circles")
	return nil, reply{}
}

// open goes to the authorization endpoint and arrives at the authenticator.
func (b *surfer) open(address string) (authenticator string) {
	b.p.t.Helper()
	to, r := b.hop("GET", address, nil, nil)
	if to == nil || !strings.HasPrefix(to.Path, "/authenticator/") || to.RawQuery != "" {
		b.p.t.Fatalf("authorize: %d, to %v: %s", r.status, to, r.body)
	}
	b.at = to.String()
	return b.at
}

type face struct {
	State, Reason, Message, Nonce string
	ReturnURL                     string `json:"return_url"`
}

// show shows a face at the authenticator.
func (b *surfer) show(authenticator string, photo []byte) face {
	b.p.t.Helper()
	return b.showAs(authenticator, "", photo)
}

// showAs does so where an account is asked for.
func (b *surfer) showAs(authenticator, account string, photo []byte) face {
	b.p.t.Helper()
	asJSON := map[string]string{"Accept": "application/json"}
	var f face
	_, r := b.hop("GET", authenticator+"/state", nil, asJSON)
	if err := json.Unmarshal(r.body, &f); err != nil {
		b.p.t.Fatalf("state: %d %s", r.status, r.body)
	}
	body, kind := form(map[string]string{"nonce": f.Nonce, "account": account}, photo)
	_, r = b.hop("POST", authenticator+"/face", body, map[string]string{"Accept": "application/json", "Content-Type": kind})
	f = face{}
	if err := json.Unmarshal(r.body, &f); err != nil {
		b.p.t.Fatalf("face: %d %s", r.status, r.body)
	}
	return f
}

// matched goes through a whole step-up of rpUser, up to the way back.
func (b *surfer) matched(address string) *url.URL {
	b.p.t.Helper()
	at := b.open(address)
	if f := b.show(at, selfiePhoto); f.State != "match" || f.ReturnURL == "" {
		b.p.t.Fatalf("face: %+v", f)
	}
	to, r := b.follow(at + "/return")
	if to == nil || to.Query().Get("code") == "" {
		b.p.t.Fatalf("the way back: %d, to %v: %s", r.status, to, r.body)
	}
	return to
}

func (p *provider) request(verifier string) string { return p.requestFor(rpUser, verifier) }

func (p *provider) requestFor(username, verifier string) string {
	return p.config.AuthCodeURL("some state", oidc.Nonce("some nonce"), oauth2.S256ChallengeOption(verifier), oauth2.SetAuthURLParam("claims", claimsFor(username)))
}

// push sends a request for the user as the client does, changed.
func (p *provider) push(username, verifier, id, secret string, change func(url.Values)) reply {
	p.t.Helper()
	u, err := url.Parse(p.requestFor(username, verifier))
	if err != nil {
		p.t.Fatal(err)
	}
	q := u.Query()
	if change != nil {
		change(q)
	}
	req, err := http.NewRequest("POST", p.base+oauth2Base+"/v1/par", strings.NewReader(q.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.SetBasicAuth(id, url.QueryEscape(secret))
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		p.t.Fatal(err)
	}
	return reply{res.StatusCode, res.Header, body}
}

// pushed is where a browser goes with what push answered.
func (p *provider) pushed(r reply, client string) string {
	p.t.Helper()
	uri, _ := r.json(p.t)["request_uri"].(string)
	return p.base + oauth2Base + "/v1/authorize?" + url.Values{"client_id": {client}, "request_uri": {uri}}.Encode()
}

// pushedFor pushes a good request for the user.
func (p *provider) pushedFor(username string) string {
	p.t.Helper()
	return p.pushed(p.push(username, oauth2.GenerateVerifier(), rpID, rpSecret, nil), rpID)
}

// The client libraries that most Go programs use cannot tell it from any other provider.
func TestOAuthForeignClient(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	b, verifier := p.surfer(), oauth2.GenerateVerifier()
	back := b.matched(p.request(verifier))
	q := back.Query()
	if back.Host != "bridge.example" || back.Path != "/c/return" || q.Get("tenant") != "1" || q.Get("state") != "some state" || q.Get("iss") != p.base+oauth2Base || len(q) != 4 {
		t.Fatalf("back at %v", back)
	}
	token, err := p.config.Exchange(p.ctx, q.Get("code"), oauth2.VerifierOption(verifier))
	if err != nil {
		t.Fatal(err)
	}
	raw, _ := token.Extra("id_token").(string)
	id, err := p.oidc.Verifier(&oidc.Config{ClientID: rpID, Now: p.clock.now}).Verify(p.ctx, raw)
	if err != nil {
		t.Fatal(err)
	}
	if id.Nonce != "some nonce" || id.VerifyAccessToken(token.AccessToken) != nil {
		t.Error("nonce or at_hash")
	}
	var claims json.RawMessage
	if err := id.Claims(&claims); err != nil {
		t.Fatal(err)
	}
	now := p.clock.now().Unix()
	golden(t, "oauth2_id_token", claims, p.base, "https://DNS", id.Subject, "SUBJECT", id.AccessTokenHash, "AT_HASH",
		fmt.Sprint(now+300), "0", fmt.Sprint(now), "0")

	info, err := p.oidc.UserInfo(p.ctx, oauth2.StaticTokenSource(token))
	if err != nil || info.Subject != id.Subject {
		t.Fatalf("userinfo: %v, %v", info, err)
	}
	// A code is good once, and a second use ends what the first one gave.
	if _, err := p.config.Exchange(p.ctx, q.Get("code"), oauth2.VerifierOption(verifier)); !strings.Contains(fmt.Sprint(err), "invalid_grant") {
		t.Errorf("a second time: %v", err)
	}
	if _, err := p.oidc.UserInfo(p.ctx, oauth2.StaticTokenSource(token)); err == nil {
		t.Error("the access token outlived the reuse of its code")
	}
	// And the browser cannot fetch another for the same face.
	if to, r := b.follow(b.at + "/return"); to != nil || r.status != http.StatusBadRequest {
		t.Errorf("a second code: %d, to %v", r.status, to)
	}
}

func TestOAuthMetadata(t *testing.T) {
	p := startProvider(t, nil)
	r := p.send("GET", oauth2Base+"/.well-known/openid-configuration", nil, nil)
	golden(t, "oauth2_metadata", r.body, p.base, "https://DNS")
	keys := p.send("GET", oauth2Base+"/v1/jwks", nil, nil)
	for _, private := range []string{`"d"`, `"p"`, `"q"`} {
		if bytes.Contains(keys.body, []byte(private)) {
			t.Errorf("the keys tell %s", private)
		}
	}
	if r := p.send("GET", "/oauth2/community/other/.well-known/openid-configuration", nil, nil); r.status != http.StatusNotFound {
		t.Errorf("another community: %d", r.status)
	}
	none := start(t, &engine{}, nil)
	if r := none.send("GET", oauth2Base+"/v1/jwks", nil, nil); r.status != http.StatusNotFound {
		t.Errorf("without clients: %d", r.status)
	}
}

func TestOAuthClients(t *testing.T) {
	for name, c := range map[string]kosmos.OAuthClient{
		"no ID":          {Secret: rpSecret, RedirectURIs: []string{rpReturn}},
		"short secret":   {ID: "a", Secret: "short", RedirectURIs: []string{rpReturn}},
		"no address":     {ID: "a", Secret: rpSecret},
		"in the clear":   {ID: "a", Secret: rpSecret, RedirectURIs: []string{"http://bridge.example/"}},
		"with fragment":  {ID: "a", Secret: rpSecret, RedirectURIs: []string{"https://bridge.example/#x"}},
		"not an address": {ID: "a", Secret: rpSecret, RedirectURIs: []string{"javascript:alert(1)"}},
	} {
		s, err := kosmos.New(kosmos.Options{DNS: "localhost:1", LicenseKey: license, Engine: &engine{}, DataDir: t.TempDir(), Clients: []kosmos.OAuthClient{c}})
		if err == nil {
			t.Errorf("%s: taken", name)
			_ = s.Close()
		}
	}
}

// Requests that lead nowhere, and those that lead back with an error.
func TestOAuthRequests(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	challenge := oauth2.S256ChallengeFromVerifier(oauth2.GenerateVerifier())
	good := func() url.Values {
		return url.Values{"response_type": {"code"}, "client_id": {rpID}, "redirect_uri": {rpReturn}, "scope": {"openid"}, "state": {"s"}, "nonce": {"n"},
			"code_challenge": {challenge}, "code_challenge_method": {"S256"}, "claims": {claimsFor(rpUser)}}
	}
	const page, ok = "page", "ok"
	for name, c := range map[string]struct {
		change func(url.Values)
		want   string // error
	}{
		"good":                   {func(url.Values) {}, ok},
		"unknown parameter":      {func(q url.Values) { q.Set("ui_locales", "de") }, ok},
		"one of several methods": {func(q url.Values) { q.Set("claims", claimsFor(rpUser, "otp sms", "liveID push")) }, ok},
		"name in capitals":       {func(q url.Values) { q.Set("claims", claimsFor(strings.ToUpper(rpUser))) }, ok},
		"no acr":                 {func(q url.Values) { q.Set("claims", `{"id_token":{"username":"`+rpUser+`"}}`) }, ok},
		"a voluntary acr":        {func(q url.Values) { q.Set("claims", `{"id_token":{"username":"`+rpUser+`","acr":{"values":["otp"]}}}`) }, ok},
		"no client":              {func(q url.Values) { q.Del("client_id") }, page},
		"unknown client":         {func(q url.Values) { q.Set("client_id", "x") }, page},
		"two clients":            {func(q url.Values) { q.Add("client_id", rpID) }, page},
		"no redirect_uri":        {func(q url.Values) { q.Del("redirect_uri") }, page},
		"redirect_uri elsewhere": {func(q url.Values) { q.Set("redirect_uri", "https://evil.example/c/return?tenant=1") }, page},
		"longer redirect_uri":    {func(q url.Values) { q.Set("redirect_uri", rpReturn+"&x=y") }, page},
		"shorter redirect_uri":   {func(q url.Values) { q.Set("redirect_uri", "https://bridge.example/c/return") }, page},
		"another client's": {func(q url.Values) {
			q.Set("client_id", "second")
			q.Set("redirect_uri", rpPlain)
		}, page},
		"two states":              {func(q url.Values) { q.Add("state", "t") }, page},
		"pushed request, unknown": {func(q url.Values) { q.Set("request_uri", "urn:ietf:params:oauth:request_uri:x") }, page},
		"request_uri elsewhere":   {func(q url.Values) { q.Set("request_uri", "https://evil.example/") }, page},
		"two scopes":              {func(q url.Values) { q.Add("scope", "openid") }, "invalid_request"},
		"implicit":                {func(q url.Values) { q.Set("response_type", "id_token") }, "unsupported_response_type"},
		"fragment":                {func(q url.Values) { q.Set("response_mode", "fragment") }, "invalid_request"},
		"no openid":               {func(q url.Values) { q.Set("scope", "email") }, "invalid_scope"},
		"request object":          {func(q url.Values) { q.Set("request", "x") }, "request_not_supported"},
		"no prompt":               {func(q url.Values) { q.Set("prompt", "none") }, "login_required"},
		"no PKCE":                 {func(q url.Values) { q.Del("code_challenge"); q.Del("code_challenge_method") }, "invalid_request"},
		"plain PKCE":              {func(q url.Values) { q.Set("code_challenge_method", "plain") }, "invalid_request"},
		"PKCE without method":     {func(q url.Values) { q.Del("code_challenge_method") }, "invalid_request"},
		"short challenge":         {func(q url.Values) { q.Set("code_challenge", "abc") }, "invalid_request"},
		"no claims":               {func(q url.Values) { q.Del("claims") }, ok},
		"a sign-in with a hint":   {func(q url.Values) { q.Del("claims"); q.Set("login_hint", rpUser) }, ok},
		"an endless hint":         {func(q url.Values) { q.Del("claims"); q.Set("login_hint", strings.Repeat("a", 300)) }, "invalid_request"},
		"nobody is named":         {func(q url.Values) { q.Set("claims", `{"id_token":{"username":null}}`) }, ok},
		"a list of users":         {func(q url.Values) { q.Set("claims", `{"id_token":{"username":["a"]}}`) }, "invalid_request"},
		"a level": {func(q url.Values) {
			q.Set("claims", `{"id_token":{"acr":{"essential":true,"value":["/assurance/ial/2/"]}}}`)
		}, ok},
		"no level of ours": {func(q url.Values) {
			q.Set("claims", `{"id_token":{"acr":{"essential":true,"values":"/assurance/ial/9"}}}`)
		}, "unmet_authentication_requirements"},
		"acr values without end": {func(q url.Values) { q.Set("acr_values", strings.Repeat("a ", 50)); q.Set("claims", "{}") }, "invalid_request"},
		"claims are no JSON":     {func(q url.Values) { q.Set("claims", "x") }, "invalid_request"},
		"nobody":                 {func(q url.Values) { q.Set("claims", claimsFor("")) }, "invalid_request"},
		"endless name":           {func(q url.Values) { q.Set("claims", claimsFor(strings.Repeat("a", 300))) }, "invalid_request"},
		"endless parameter":      {func(q url.Values) { q.Set("nonce", strings.Repeat("a", 5000)) }, "invalid_request"},
		"a one-time password":    {func(q url.Values) { q.Set("claims", claimsFor(rpUser, "otp sms", "otp")) }, "unmet_authentication_requirements"},
		"a single other method": {func(q url.Values) {
			q.Set("claims", `{"id_token":{"username":"`+rpUser+`","acr":{"essential":true,"value":"otp"}}}`)
		}, "unmet_authentication_requirements"},
		"PKCE is optional (other)": {func(q url.Values) {
			q.Set("client_id", "second")
			q.Del("code_challenge")
			q.Del("code_challenge_method")
		}, ok},
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				q := good()
				c.change(q)
				b := p.surfer()
				address, body, header := p.base+oauth2Base+"/v1/authorize", io.Reader(nil), map[string]string(nil)
				if method == "GET" {
					address += "?" + q.Encode()
				} else {
					body, header = strings.NewReader(q.Encode()), map[string]string{"Content-Type": "application/x-www-form-urlencoded"}
				}
				to, r := b.hop(method, address, body, header)
				switch c.want {
				case page:
					if to != nil || r.status != http.StatusBadRequest || !bytes.Contains(r.body, []byte("<h1>")) || r.header.Get("Set-Cookie") != "" {
						t.Errorf("%d, to %v: %s", r.status, to, r.body)
					}
				case ok:
					if to == nil || !strings.HasPrefix(to.Path, "/authenticator/") {
						t.Errorf("%d, to %v: %s", r.status, to, r.body)
					}
				default:
					if to == nil || to.Host != "bridge.example" {
						t.Fatalf("%d, to %v: %s", r.status, to, r.body)
					}
					q := to.Query()
					if q.Get("error") != c.want || q.Get("state") != "s" || q.Get("iss") != p.base+oauth2Base || q.Has("code") {
						t.Errorf("back with %v", q)
					}
					if strings.Contains(to.String(), "example.com") || r.header.Get("Set-Cookie") != "" {
						t.Error("the answer names the user, or sets a cookie")
					}
				}
			})
		}
	}
}

// How a step-up may end otherwise.
func TestOAuthDenied(t *testing.T) {
	p := startProvider(t, func(o *kosmos.Options) { o.StepUpAttempts = 2 })
	p.enrolled(rpUser)
	end := func(b *surfer, at, reason string) {
		t.Helper()
		to, r := b.follow(at + "/return")
		if to == nil || to.Host != "bridge.example" {
			t.Fatalf("%s: %d, to %v: %s", reason, r.status, to, r.body)
		}
		if q := to.Query(); q.Get("error") != "access_denied" || q.Get("error_description") != reason || q.Has("code") || q.Get("state") != "some state" {
			t.Errorf("%s: back with %v", reason, q)
		}
	}
	b := p.surfer()
	at := b.open(p.request(oauth2.GenerateVerifier()))
	if to, _ := b.hop("GET", p.finish(at), nil, nil); to == nil || to.String() != at {
		t.Errorf("before the end: to %v", to)
	}
	if f := b.show(at, strangerPhoto); f.State != "open" || f.ReturnURL != "" {
		t.Errorf("a stranger: %+v", f)
	}
	if f := b.show(at, strangerPhoto); f.State != "refused" {
		t.Errorf("a stranger again: %+v", f)
	}
	end(b, at, "face_mismatch")

	at = b.open(p.request(oauth2.GenerateVerifier()))
	b.hop("POST", at+"/decline", nil, map[string]string{"Accept": "application/json"})
	end(b, at, "declined")

	at = b.open(p.request(oauth2.GenerateVerifier()))
	p.clock.add(5 * time.Minute)
	end(b, at, "time_limit")
}

// finish is where the authenticator sends the browser.
func (p *provider) finish(authenticator string) string {
	return p.base + oauth2Base + "/v1/authorize/" + strings.TrimPrefix(authenticator, p.base+"/authenticator/") + "/finish"
}

// The code goes to the browser that asked: the authenticator's address alone,
// which a relay has, brings nothing.
func TestOAuthOtherBrowser(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	asked, showed := p.surfer(), p.surfer()
	at := asked.open(p.request(oauth2.GenerateVerifier()))
	if f := showed.show(at, selfiePhoto); f.State != "match" {
		t.Fatalf("face: %+v", f)
	}
	for name, b := range map[string]*surfer{"who showed the face": showed, "a third": p.surfer()} {
		if to, r := b.follow(at + "/return"); to != nil || r.status != http.StatusBadRequest || strings.Contains(string(r.body), "code=") {
			t.Errorf("%s: %d, to %v", name, r.status, to)
		}
	}
	// Another step-up's cookie is none.
	other := p.surfer()
	other.open(p.request(oauth2.GenerateVerifier()))
	if to, _ := other.follow(at + "/return"); to != nil {
		t.Errorf("another step-up's browser: to %v", to)
	}
	if to, _ := asked.follow(at + "/return"); to == nil || to.Query().Get("code") == "" {
		t.Errorf("who asked: to %v", to)
	}
	if to, r := asked.hop("GET", p.finish(p.base+"/authenticator/00000000-0000-4000-8000-000000000000"), nil, nil); to != nil || r.status != http.StatusBadRequest {
		t.Errorf("unknown step-up: %d", r.status)
	}
}

// redeem sends a code to the token endpoint.
func (p *provider) redeem(id, secret string, form url.Values) (status int, body map[string]any) {
	p.t.Helper()
	req, err := http.NewRequest("POST", p.base+oauth2Base+"/v1/token", strings.NewReader(form.Encode()))
	if err != nil {
		p.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if id != "" {
		req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret))
	}
	res, err := p.http.Do(req)
	if err != nil {
		p.t.Fatal(err)
	}
	defer res.Body.Close()
	if err := json.NewDecoder(res.Body).Decode(&body); err != nil {
		p.t.Fatal(err)
	}
	return res.StatusCode, body
}

func TestOAuthCodes(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	type attempt struct {
		id, secret string
		change     func(url.Values)
		before     func()
		status     int
		code       string // of the error
		spent      bool   // the right request after it fails
	}
	keep := func(url.Values) {}
	for name, c := range map[string]attempt{
		"good":                 {rpID, rpSecret, keep, nil, 200, "", true},
		"no client":            {"", "", keep, nil, 401, "invalid_client", false},
		"wrong secret":         {rpID, "wrong", keep, nil, 401, "invalid_client", false},
		"secret in the form":   {"", "", func(q url.Values) { q.Set("client_id", rpID); q.Set("client_secret", rpSecret) }, nil, 401, "invalid_client", false},
		"another client":       {"second", "another long secret", keep, nil, 400, "invalid_grant", false},
		"another client_id":    {rpID, rpSecret, func(q url.Values) { q.Set("client_id", "second") }, nil, 400, "invalid_request", false},
		"another grant":        {rpID, rpSecret, func(q url.Values) { q.Set("grant_type", "refresh_token") }, nil, 400, "unsupported_grant_type", false},
		"two codes":            {rpID, rpSecret, func(q url.Values) { q.Add("code", "x") }, nil, 400, "invalid_request", false},
		"no code":              {rpID, rpSecret, func(q url.Values) { q.Del("code") }, nil, 400, "invalid_grant", false},
		"another redirect_uri": {rpID, rpSecret, func(q url.Values) { q.Set("redirect_uri", rpPlain) }, nil, 400, "invalid_grant", true},
		"no redirect_uri":      {rpID, rpSecret, func(q url.Values) { q.Del("redirect_uri") }, nil, 400, "invalid_grant", true},
		"another verifier":     {rpID, rpSecret, func(q url.Values) { q.Set("code_verifier", oauth2.GenerateVerifier()) }, nil, 400, "invalid_grant", true},
		"no verifier":          {rpID, rpSecret, func(q url.Values) { q.Del("code_verifier") }, nil, 400, "invalid_grant", true},
		"too late":             {rpID, rpSecret, keep, func() { p.clock.add(time.Minute) }, 400, "invalid_grant", true},
		"disabled since": {rpID, rpSecret, keep, func() {
			if err := p.Directory().SetDisabled(t.Context(), rpUser, true, "test"); err != nil {
				t.Error(err)
			}
		}, 400, "invalid_grant", true},
		"another LiveID since": {rpID, rpSecret, keep, func() { // of the same name
			if err := p.Directory().ClearEnrolment(t.Context(), rpUser, "test"); err != nil {
				t.Error(err)
			}
			p.enrolled(rpUser)
		}, 400, "invalid_grant", true},
	} {
		t.Run(name, func(t *testing.T) {
			verifier := oauth2.GenerateVerifier()
			code := p.surfer().matched(p.request(verifier)).Query().Get("code")
			right := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {rpReturn}, "code_verifier": {verifier}}
			form := url.Values{}
			for k, v := range right {
				form[k] = append([]string(nil), v...)
			}
			c.change(form)
			if c.before != nil {
				c.before()
			}
			status, body := p.redeem(c.id, c.secret, form)
			if status != c.status || c.code != "" && body["error"] != c.code || (status == 200) != (body["id_token"] != nil) {
				t.Errorf("%d %v", status, body)
			}
			if name == "disabled since" {
				if err := p.Directory().SetDisabled(t.Context(), rpUser, false, "test"); err != nil {
					t.Error(err)
				}
			}
			if status, body := p.redeem(rpID, rpSecret, right); (status == 200) == c.spent {
				t.Errorf("the right request afterwards: %d %v", status, body)
			}
		})
		p.clock.add(time.Minute) // the page takes only so many requests a minute
	}
}

func TestOAuthCodeRace(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	verifier := oauth2.GenerateVerifier()
	b := p.surfer()
	at := b.open(p.request(verifier))
	b.show(at, selfiePhoto)
	first, _ := b.follow(at + "/return")
	second, _ := b.follow(at + "/return") // gone back, or reloaded
	form := func(u *url.URL) url.Values {
		return url.Values{"grant_type": {"authorization_code"}, "code": {u.Query().Get("code")}, "redirect_uri": {rpReturn}, "code_verifier": {verifier}}
	}
	if status, _ := p.redeem(rpID, rpSecret, form(first)); status != 400 {
		t.Errorf("the code that was replaced: %d", status)
	}
	var mu sync.Mutex
	good := 0
	var all sync.WaitGroup
	for range 8 {
		all.Go(func() {
			if status, _ := p.redeem(rpID, rpSecret, form(second)); status == 200 {
				mu.Lock()
				good++
				mu.Unlock()
			}
		})
	}
	all.Wait()
	if good != 1 {
		t.Errorf("%d ID tokens for one code", good)
	}
	if to, r := b.follow(at + "/return"); to != nil || r.status != http.StatusBadRequest {
		t.Errorf("another code after that: %d, to %v", r.status, to)
	}
}

func TestOAuthPushed(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	verifier := oauth2.GenerateVerifier()
	push := func(id, secret string, change func(url.Values)) reply {
		t.Helper()
		return p.push(rpUser, verifier, id, secret, change)
	}
	r := push(rpID, rpSecret, nil)
	if m := r.json(t); r.status != http.StatusCreated || m["expires_in"] != float64(60) {
		t.Fatalf("%d %s", r.status, r.body)
	}
	at := p.pushed
	if to, _ := p.surfer().hop("GET", at(r, "second"), nil, nil); to != nil {
		t.Errorf("another client's: to %v", to)
	}
	back := p.surfer().matched(at(r, rpID))
	if _, err := p.config.Exchange(p.ctx, back.Query().Get("code"), oauth2.VerifierOption(verifier)); err != nil {
		t.Error(err)
	}
	if to, _ := p.surfer().hop("GET", at(r, rpID), nil, nil); to != nil {
		t.Errorf("a second time: to %v", to)
	}
	r = push(rpID, rpSecret, nil)
	p.clock.add(time.Minute)
	if to, _ := p.surfer().hop("GET", at(r, rpID), nil, nil); to != nil {
		t.Errorf("too late: to %v", to)
	}
	for name, r := range map[string]reply{
		"wrong secret":   push(rpID, "wrong", nil),
		"not registered": push(rpID, rpSecret, func(q url.Values) { q.Set("redirect_uri", "https://evil.example/") }),
		"another client": push(rpID, rpSecret, func(q url.Values) { q.Set("client_id", "second") }),
		"bad claims":     push(rpID, rpSecret, func(q url.Values) { q.Set("claims", "[]") }),
		"pushed twice":   push(rpID, rpSecret, func(q url.Values) { q.Set("request_uri", "x") }),
	} {
		if r.status != 400 && r.status != 401 || r.json(t)["error"] == nil {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
}

// denied goes to an address and comes back at once: with access_denied, for this reason.
func (b *surfer) denied(address, reason string) {
	b.p.t.Helper()
	to, r := b.hop("GET", address, nil, nil)
	if to == nil || to.Host != "bridge.example" || to.Query().Get("error") != "access_denied" || to.Query().Get("error_description") != reason ||
		r.header.Get("Set-Cookie") != "" {
		b.p.t.Errorf("want %s: %d, to %v: %s", reason, r.status, to, r.body)
	}
}

// Of what anybody can open nothing stays for longer than personal data.
func TestOAuthForgotten(t *testing.T) {
	p := startProvider(t, nil)
	at := p.surfer().open(p.requestFor("nobody@example.com", "verifier"))
	uwl := p.base + "/authenticator/" + p.session("Face")
	p.clock.add(2 * time.Hour)
	for range 2 { // to expire them, and to forget
		if err := p.Sweep(t.Context()); err != nil {
			t.Fatal(err)
		}
		p.clock.add(2 * time.Hour)
	}
	for address, status := range map[string]int{at: http.StatusNotFound, uwl: http.StatusOK} {
		if _, r := p.surfer().hop("GET", address, nil, nil); r.status != status {
			t.Errorf("%s: %d, want %d", address, r.status, status)
		}
	}
}

// A client that has authenticated is told why a user cannot be asked.
func TestOAuthPushedRefusals(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	p.enrolled("off@example.com")
	if err := p.Directory().SetDisabled(t.Context(), "off@example.com", true, "test"); err != nil {
		t.Fatal(err)
	}
	for username, reason := range map[string]string{"nobody@example.com": "user_unknown", "cora": "user_not_enrolled", "off@example.com": "user_disabled"} {
		p.surfer().denied(p.pushedFor(username), reason)
	}
	running := p.surfer()
	at := running.open(p.pushedFor(rpUser))
	for fails := 0; fails < kosmos.MaxGuesses; {
		b := p.surfer()
		at := b.open(p.pushedFor(rpUser))
		for range min(3, kosmos.MaxGuesses-fails) {
			b.show(at, strangerPhoto)
			fails++
		}
	}
	p.surfer().denied(p.pushedFor(rpUser), "too_many_attempts")
	if f := running.show(at, selfiePhoto); f.State != "refused" || f.Reason != "too_many_attempts" {
		t.Errorf("one that was open: %+v", f)
	}
	// Typed names have nothing to do with that.
	b := p.surfer()
	if f := b.show(b.open(p.request(oauth2.GenerateVerifier())), selfiePhoto); f.State != "match" {
		t.Errorf("front channel: %+v", f)
	}
}

// Whoever has the public client_id learns nothing about any name: status, bodies,
// headers, the engine's work and what the browser brings back are the same.
func TestOAuthNoOracle(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	e := &engine{}
	p := startProvider(t, func(o *kosmos.Options) { o.Engine = e })
	p.enrolled(rpUser)
	p.enrolled("off@example.com")
	p.enrolled("full@example.com")
	if err := p.Directory().SetDisabled(t.Context(), "off@example.com", true, "test"); err != nil {
		t.Fatal(err)
	}
	for range kosmos.MaxGuesses { // in the own bucket
		_, id := p.openV1("full@example.com")
		p.face(id, "", strangerPhoto)
	}
	if r, id := p.openV1("full@example.com"); id != "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	e.match = func(r *api.MatchRequest) (*api.Report, error) {
		mu.Lock()
		asked[fmt.Sprint(len(r.Selfies), r.LivenessMode, len(r.References) > 0)]++
		mu.Unlock()
		if bytes.Equal(r.References[0], []byte("nobody")) { // what the engine says of what is no template
			return matched(api.CannotTell, api.ReasonTemplateForeign), nil
		}
		return matched(api.CannotTell, api.ReasonFaceUncertain), nil
	}
	random := regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f-]{27}|[0-9a-f]{64}|__Secure-oauth2-[\w-]+=[\w-]+`) // ids, one-time codes, cookies
	seen := map[string]string{}                                                                          // transcript: name
	for _, name := range []string{rpUser, strings.ToUpper(rpUser), "off@example.com", "full@example.com", "cora", "nobody@example.com"} {
		b := p.surfer()
		text := ""
		note := func(to *url.URL, r reply) {
			r.header.Del("Date")
			text += fmt.Sprintf("%d to %v with %v\n%s\n", r.status, to, r.header, r.body)
		}
		at := b.open(p.requestFor(name, "verifier"))
		note(b.hop("GET", p.requestFor(name, "verifier"), nil, nil))
		note(b.hop("GET", at, nil, nil))
		for range 3 {
			text += fmt.Sprintf("%+v\n", b.show(at, strangerPhoto))
		}
		note(b.hop("GET", at, nil, nil))
		note(b.follow(at + "/return"))
		text = strings.ReplaceAll(random.ReplaceAllString(text, "RANDOM"), kosmos.MaskAccount(name), "ACCOUNT")
		seen[text] += name + " "
	}
	if len(seen) != 1 {
		for text, names := range seen {
			t.Errorf("%s:\n%s", names, text)
		}
	}
	if len(asked) != 1 {
		t.Errorf("the engine was asked in different ways: %v", asked)
	}
}

// A stranger who types a user's name, until no more is taken, keeps nobody out
// but those who type it too.
func TestStrangers(t *testing.T) {
	p := startProvider(t, stepUps)
	p.enrol(rpUser, alice)
	own := p.surfer() // the user's, in which they were recognised before
	if f := own.showAs(p.base+"/authenticator/"+p.session("Face"), rpUser, alice); f.State != "match" {
		t.Fatalf("%+v", f)
	}
	uwl := func(b *surfer, photo []byte) face {
		t.Helper()
		return b.showAs(p.base+"/authenticator/"+p.session("Face"), rpUser, photo)
	}
	front := func(b *surfer, photo []byte) face {
		t.Helper()
		return b.show(b.open(p.request("verifier")), photo)
	}
	spend := func(ways ...func(*surfer, []byte) face) {
		t.Helper()
		for i := range kosmos.MaxGuesses {
			if f := ways[i%len(ways)](p.surfer(), mallory); f.State != "open" {
				t.Fatalf("attempt %d: %+v", i, f)
			}
		}
	}
	is := func(what string, f face, state, reason string) {
		t.Helper()
		if f.State != state || f.Reason != reason {
			t.Errorf("%s: %+v", what, f)
		}
	}
	spend(uwl, front)
	for name, way := range map[string]func(*surfer, []byte) face{"uwl": uwl, "front channel": front} {
		is(name+", typed", way(p.surfer(), alice), "refused", "too_many_attempts")
		is(name+", own browser", way(own, alice), "match", "")
	}
	_, id := p.openV1(rpUser)
	is("v1", p.surfer().show(p.base+"/authenticator/"+id, alice), "match", "")
	_, id = p.openWorkflow(rpUser)
	is("workflow", p.surfer().show(p.base+"/authenticator/"+id, alice), "match", "")
	b := p.surfer()
	is("pushed", b.show(b.open(p.pushedFor(rpUser)), alice), "match", "")

	// A browser that was recognised as somebody else is a stranger's.
	p.enrol("eve@example.com", mallory)
	eve := p.surfer()
	is("eve", eve.showAs(p.base+"/authenticator/"+p.session("Face"), "eve@example.com", mallory), "match", "")
	is("eve for another", uwl(eve, alice), "refused", "too_many_attempts")

	// What a browser was recognised as is forgotten.
	p.clock.add(90 * 24 * time.Hour)
	spend(uwl, front)
	is("own browser, much later", uwl(own, alice), "refused", "too_many_attempts")
	p.clock.add(15 * time.Minute)
	is("own browser again", uwl(own, alice), "match", "")

	// In the user's own browser failures count for the user, and for no typed name.
	for range kosmos.MaxGuesses / 2 {
		is("own browser, uwl", uwl(own, mallory), "open", "face_mismatch")
		is("own browser, front channel", front(own, mallory), "open", "face_mismatch")
	}
	is("own browser, uwl", uwl(own, alice), "refused", "too_many_attempts")
	is("own browser, front channel", front(own, alice), "refused", "too_many_attempts")
	if r, id := p.openV1(rpUser); id != "" || r.reason(t) != "too_many_attempts" {
		t.Errorf("v1: %d %s", r.status, r.body)
	}
	is("typed", uwl(p.surfer(), alice), "match", "")
}

// Openings under a typed name are bounded, for every name alike, and concern
// neither what clients push nor a browser that was recognised.
func TestOAuthOpens(t *testing.T) {
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	own := p.surfer()
	own.matched(p.request("verifier")) // the first opening
	p.surfer().open(p.requestFor("nobody@example.com", "verifier"))
	for _, name := range []string{rpUser, "nobody@example.com"} {
		for range kosmos.MaxOpens - 1 {
			p.surfer().open(p.requestFor(name, "verifier"))
		}
		p.surfer().denied(p.requestFor(name, "verifier"), "too_many_attempts")
		p.surfer().denied(p.requestFor(strings.ToUpper(name), "verifier"), "too_many_attempts")
	}
	own.open(p.request("verifier"))
	p.surfer().open(p.pushedFor(rpUser))
	p.surfer().open(p.requestFor("cora", "verifier"))
	p.clock.add(15 * time.Minute)
	p.surfer().open(p.request("verifier"))
}

// Keys outlive a restart and, for what they signed before, a rotation.
func TestOAuthRotation(t *testing.T) {
	dir := t.TempDir()
	p := startProvider(t, func(o *kosmos.Options) { o.DataDir = dir })
	p.enrolled(rpUser)
	token := func(p *provider) (string, string) {
		t.Helper()
		verifier := oauth2.GenerateVerifier()
		code := p.surfer().matched(p.request(verifier)).Query().Get("code")
		token, err := p.config.Exchange(p.ctx, code, oauth2.VerifierOption(verifier))
		if err != nil {
			t.Fatal(err)
		}
		raw, _ := token.Extra("id_token").(string)
		return raw, code
	}
	verify := func(p *provider, raw string) error {
		_, err := p.oidc.Verifier(&oidc.Config{ClientID: rpID, Now: p.clock.now}).Verify(p.ctx, raw)
		return err
	}
	old, code := token(p)
	if err := p.RotateOAuthKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	fresh, _ := token(p)
	for name, raw := range map[string]string{"old": old, "fresh": fresh} {
		if err := verify(p, raw); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	if strings.Split(old, ".")[0] == strings.Split(fresh, ".")[0] {
		t.Error("both name one key")
	}
	before := p.send("GET", oauth2Base+"/v1/jwks", nil, nil).body
	p.stop()

	for _, name := range []string{"kosmos.db", "kosmos.db-wal"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		for what, clear := range map[string]string{"a code": code, "the user": rpUser, "the state": "some state", "the address": "bridge.example"} {
			if bytes.Contains(b, []byte(clear)) {
				t.Errorf("%s holds %s", name, what)
			}
		}
	}
	again := startProvider(t, func(o *kosmos.Options) { o.DataDir = dir })
	if after := again.send("GET", oauth2Base+"/v1/jwks", nil, nil).body; !bytes.Equal(before, after) {
		t.Error("the keys changed with a restart")
	}
	if err := again.RotateOAuthKey(t.Context()); err != nil {
		t.Fatal(err)
	}
	if keys := again.send("GET", oauth2Base+"/v1/jwks", nil, nil).body; bytes.Count(keys, []byte(`"kid"`)) != 2 {
		t.Errorf("published: %s", keys)
	}
}

func FuzzOAuthAuthorize(f *testing.F) {
	dir := f.TempDir()
	srv, err := kosmos.New(kosmos.Options{DNS: "localhost:1", LicenseKey: license, Engine: &engine{}, DataDir: dir,
		Clients: []kosmos.OAuthClient{{ID: rpID, Secret: rpSecret, RedirectURIs: []string{rpReturn}, PKCEOptional: true}}})
	if err != nil {
		f.Fatal(err)
	}
	f.Cleanup(func() { _ = srv.Close() })
	good := url.Values{"response_type": {"code"}, "client_id": {rpID}, "redirect_uri": {rpReturn}, "scope": {"openid"}, "claims": {claimsFor("nobody")}}
	f.Add(good.Encode())
	good.Set("claims", `{"id_token":{"username":[],"acr":null}}`)
	f.Add(good.Encode())
	f.Add("%zz&client_id=" + rpID)
	f.Fuzz(func(t *testing.T, query string) {
		w := record(srv.Handler(), "POST", oauth2Base+"/v1/authorize", map[string]string{"Content-Type": "application/x-www-form-urlencoded"}, []byte(query))
		switch w.Code {
		case http.StatusBadRequest:
		case http.StatusSeeOther:
			to, err := url.Parse(w.Header().Get("Location"))
			back := err == nil && to.Host == "bridge.example" && to.Query().Get("error") != ""
			on := err == nil && to.Host == "localhost:1" && strings.HasPrefix(to.Path, "/authenticator/") && to.RawQuery == ""
			if !back && !on {
				t.Errorf("%q leads to %q", query, w.Header().Get("Location"))
			}
		default:
			t.Errorf("%q: %d", query, w.Code)
		}
	})
}

// openidClient drives npm's openid-client 6: pushed request, PKCE, claims. It
// writes where the browser goes, reads where it came back to, and writes what
// the ID token says.
const openidClient = `
import { createRequire } from 'node:module';
import { pathToFileURL } from 'node:url';
import readline from 'node:readline';
const find = createRequire(process.cwd() + '/x.js').resolve('openid-client');
const client = await import(pathToFileURL(find));
const [issuer, id, secret, redirect_uri, claims] = process.argv.slice(2);
const config = await client.discovery(new URL(issuer), id, undefined, client.ClientSecretBasic(secret));
const verifier = client.randomPKCECodeVerifier(), nonce = client.randomNonce(), state = client.randomState();
const parameters = { redirect_uri, scope: 'openid email profile', claims, nonce, state,
  code_challenge: await client.calculatePKCECodeChallenge(verifier), code_challenge_method: 'S256' };
console.log((await client.buildAuthorizationUrlWithPAR(config, parameters)).href);
for await (const line of readline.createInterface({ input: process.stdin })) {
  const tokens = await client.authorizationCodeGrant(config, new URL(line), { pkceCodeVerifier: verifier, expectedNonce: nonce, expectedState: state, idTokenExpected: true });
  const info = await client.fetchUserInfo(config, tokens.access_token, tokens.claims().sub);
  console.log(JSON.stringify({ ...tokens.claims(), userinfo: info }));
  break;
}
`

// Runs where KOSMOSCOPE_OPENID_CLIENT names a directory in which npm installed openid-client.
func TestOAuthOpenIDClient(t *testing.T) {
	dir := os.Getenv("KOSMOSCOPE_OPENID_CLIENT")
	if dir == "" {
		t.Skip("KOSMOSCOPE_OPENID_CLIENT is not set")
	}
	p := startProvider(t, nil)
	p.enrolled(rpUser)
	script := filepath.Join(t.TempDir(), "client.mjs")
	if err := os.WriteFile(script, []byte(openidClient), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", script, p.base+oauth2Base, rpID, rpSecret, rpPlain, claimsFor(rpUser))
	cmd.Dir, cmd.Env = dir, append(os.Environ(), "NODE_EXTRA_CA_CERTS="+p.CAFile())
	var trouble bytes.Buffer
	cmd.Stderr = &trouble
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	next := func() string {
		t.Helper()
		if !lines.Scan() {
			_ = cmd.Wait()
			t.Fatalf("node: %s", trouble.Bytes())
		}
		return lines.Text()
	}
	back := p.surfer().matched(next())
	if _, err := fmt.Fprintln(in, back); err != nil {
		t.Fatal(err)
	}
	var claims struct {
		Username, ACR string
		UserInfo      struct{ Username string }
	}
	if err := json.Unmarshal([]byte(next()), &claims); err != nil || claims.Username != rpUser || claims.ACR != "liveID push" || claims.UserInfo.Username != rpUser {
		t.Errorf("%+v, %v", claims, err)
	}
	_ = in.Close()
	if err := cmd.Wait(); err != nil {
		t.Errorf("%v: %s", err, trouble.Bytes())
	}
}
