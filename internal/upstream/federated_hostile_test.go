package upstream_test

import (
	"context"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// Tokens as an attacker, another client or a careless provider might make them.
func TestFederatedHostileTokens(t *testing.T) {
	t.Parallel()
	set := func(pairs ...any) func(*idp) {
		return func(p *idp) {
			for i := 0; i < len(pairs); i += 2 {
				if delete(p.claims, pairs[i].(string)); pairs[i+1] != nil {
					p.claims[pairs[i].(string)] = pairs[i+1]
				}
			}
		}
	}
	signed := func(k jose.SigningKey) func(*idp) { return func(p *idp) { p.sign = signWith(k) } }
	raw := func(make func(claims []byte) string) func(*idp) {
		return func(p *idp) { p.sign = func(c map[string]any) string { b, _ := json.Marshal(c); return make(b) } }
	}
	b64 := base64.RawURLEncoding.EncodeToString
	now := newIDP(t).now.Unix()
	face, level := federation.UpstreamAsk{Essential: true, Face: true}, federation.UpstreamAsk{Essential: true, IAL2: true}
	const untrusted, malformed = proof.ReasonAnswerUntrusted, proof.ReasonUpstreamMalformed

	for name, c := range map[string]struct {
		change func(*idp)
		ask    federation.UpstreamAsk
		code   proof.Code
		reason proof.Reason
	}{
		"alg none":             {raw(func(c []byte) string { return b64([]byte(`{"alg":"none"}`)) + "." + b64(c) + "." }), face, proof.CodeUpstream, untrusted},
		"no signature":         {raw(func(c []byte) string { return b64([]byte(`{"alg":"RS256","kid":"k1"}`)) + "." + b64(c) + "." }), face, proof.CodeUpstream, untrusted},
		"HS256 with the key":   {signed(jose.SigningKey{Algorithm: jose.HS256, Key: publicPEM(&makeKey().PublicKey)}), face, proof.CodeUpstream, untrusted},
		"HS256 with a secret":  {signed(jose.SigningKey{Algorithm: jose.HS256, Key: []byte(strings.Repeat(oidcSecret, 2))}), face, proof.CodeUpstream, untrusted},
		"another key":          {signed(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k1"}}), face, proof.CodeUpstream, untrusted},
		"a key it brought":     {embedded(makeOtherKey()), face, proof.CodeUpstream, untrusted},
		"no token":             {raw(func([]byte) string { return "eyJ" }), face, proof.CodeUpstream, untrusted},
		"no object":            {raw(func([]byte) string { return signRaw([]byte(`[]`)) }), face, proof.CodeUpstream, malformed},
		"another nonce":        {set("nonce", "x"), face, proof.CodeUpstream, untrusted},
		"no nonce":             {set("nonce", []string{}), face, proof.CodeUpstream, untrusted},
		"another audience":     {set("aud", "somebody"), face, proof.CodeUpstream, untrusted},
		"one audience of two":  {set("aud", []string{oidcID, "somebody"}), face, proof.CodeUpstream, untrusted},
		"no audience":          {set("aud", nil), face, proof.CodeUpstream, untrusted},
		"another issuer":       {set("iss", "https://evil.example"), face, proof.CodeUpstream, untrusted},
		"issued to another":    {set("azp", "somebody"), face, proof.CodeUpstream, untrusted},
		"azp is no text":       {set("azp", 1), face, proof.CodeUpstream, untrusted},
		"expired":              {set("exp", now-61), face, proof.CodeUpstream, untrusted},
		"never expires":        {set("exp", nil), face, proof.CodeUpstream, untrusted},
		"of before":            {set("iat", now-3600), face, proof.CodeUpstream, untrusted},
		"of the future":        {set("iat", now+3600), face, proof.CodeUpstream, untrusted},
		"not yet":              {set("nbf", now+3600), face, proof.CodeUpstream, untrusted},
		"signed in tomorrow":   {set("auth_time", now+86400), face, proof.CodeUpstream, untrusted},
		"auth_time is text":    {set("auth_time", "now"), face, proof.CodeUpstream, untrusted},
		"nobody":               {set("sub", nil), face, proof.CodeUpstream, malformed},
		"endless sub":          {set("sub", strings.Repeat("u", 256)), face, proof.CodeUpstream, malformed},
		"endless name":         {set("username", strings.Repeat("u", 257)), face, proof.CodeUpstream, malformed},
		"a name of two lines":  {set("username", "ada\nbob"), face, proof.CodeUpstream, malformed},
		"a name with a border": {set("username", " ada"), face, proof.CodeUpstream, malformed},
		"endless amr":          {set("amr", strings.Split(strings.Repeat("face ", 50), " ")), face, proof.CodeUpstream, malformed},
		"endless acr":          {set("acr", strings.Repeat("x", 5000)), face, proof.CodeUpstream, malformed},

		"no acr though essential":     {set("acr", nil, "amr", nil), face, proof.CodeUnmet, proof.ReasonProviderRejected},
		"a password for a face":       {set("acr", "pwd", "amr", []string{"pwd"}), face, proof.CodeUnmet, proof.ReasonProviderRejected},
		"nearly the face":             {set("acr", "liveid push", "amr", []string{"Face", "facebook"}), face, proof.CodeUnmet, proof.ReasonProviderRejected},
		"a face of yesterday":         {set("auth_time", now-86400), face, proof.CodeUnmet, proof.ReasonProviderRejected},
		"no level though essential":   {set(), level, proof.CodeUnmet, proof.ReasonProviderRejected},
		"IAL1 for IAL2":               {set("amr", []string{"face", "/assurance/ial/1"}), level, proof.CodeUnmet, proof.ReasonProviderRejected},
		"acr repeats, amr denies":     {set("acr", "/assurance/ial/2", "amr", []string{"face", "/assurance/ial/1"}), level, proof.CodeUnmet, proof.ReasonProviderRejected},
		"IAL2 in the scope alone":     {set("scope", "openid /assurance/ial/2"), level, proof.CodeUnmet, proof.ReasonProviderRejected},
		"IAL2 without the face":       {set("acr", "/assurance/ial/2", "amr", []string{"pwd"}), federation.UpstreamAsk{Essential: true, Face: true, IAL2: true}, proof.CodeUnmet, proof.ReasonProviderRejected},
		"IAL2 in an object elsewhere": {set("assurance", map[string]any{"ial": "/assurance/ial/2"}, "ial_level", "IAL2"), level, proof.CodeUnmet, proof.ReasonProviderRejected},
		"a face its block denies":     {set("kosmoscope", map[string]any{"match_result": "no_match", "reason": "face_mismatch"}), face, proof.CodeUnmet, proof.ReasonProviderRejected},
		"a broken block":              {set("kosmoscope", map[string]any{"score": 7}), face, proof.CodeUpstream, malformed},
		"face as a number":            {set("acr", 1, "amr", []any{"face", 1}), face, proof.CodeUnmet, proof.ReasonProviderRejected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			f := p.federated(nil)
			c.change(p)
			a, err := p.signIn(f, c.ask)
			refusedAs(t, a, err, c.code, c.reason)
		})
	}
}

// embedded signs with a key that the token's own header brings along.
func embedded(k *rsa.PrivateKey) func(*idp) {
	return func(p *idp) {
		p.sign = func(c map[string]any) string {
			b, _ := json.Marshal(c)
			s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: k}, &jose.SignerOptions{EmbedJWK: true})
			if err != nil {
				panic(err)
			}
			token, err := s.Sign(b)
			if err != nil {
				panic(err)
			}
			text, _ := token.CompactSerialize()
			return text
		}
	}
}

func signRaw(payload []byte) string {
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeKey(), KeyID: "k1"}}, nil)
	if err != nil {
		panic(err)
	}
	token, err := s.Sign(payload)
	if err != nil {
		panic(err)
	}
	text, _ := token.CompactSerialize()
	return text
}

// What is said outside of the token counts for nothing: beside it in the token
// endpoint's answer, in the browser's, or in user info.
func TestFederatedUnsignedPlaces(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	f := p.federated(nil)
	p.claims["acr"], p.claims["amr"] = "pwd", []string{"pwd"}
	delete(p.claims, "username")
	p.metadata["userinfo_endpoint"] = p.web.URL + "/userinfo"
	p.userinfo = say(200, "application/json", `{"sub":"u-1","username":"victim@example.com","acr":"/assurance/ial/2","amr":["face","/assurance/ial/2"],"given_name":"Ada"}`)
	p.token = func(w http.ResponseWriter, _ *http.Request) {
		p.claims["nonce"] = p.nonce
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"access_token": "x", "token_type": "Bearer", "id_token": p.sign(p.claims), "scope": "openid /assurance/ial/2", "acr": "/assurance/ial/2",
			"amr": []string{"face"}, "username": "victim@example.com",
		})
	}
	_, keep := p.begin(f, federation.UpstreamAsk{Hint: fedHint})
	a, err := p.finish(f, keep, map[string]string{"code": "c1", "acr": "/assurance/ial/2", "scope": "/assurance/ial/2", "username": "victim@example.com"})
	if err != nil || a.Identifier != "" || a.Notes.IALLevel != "" || a.Notes.Face || a.Notes.ACR != "pwd" || a.Notes.Claims.GivenName != "Ada" {
		t.Errorf("%+v, %v", a, err)
	}
	for _, ask := range []federation.UpstreamAsk{{Essential: true, IAL2: true}, {Essential: true, Face: true}} {
		a, err := p.signIn(f, ask)
		refusedAs(t, a, err, proof.CodeUnmet, proof.ReasonProviderRejected)
	}
}

func say(status int, kind, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", kind)
		w.Header().Set("Location", "https://evil.example/")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	}
}

func TestFederatedUserInfo(t *testing.T) {
	t.Parallel()
	hash := func(s string) string {
		sum := sha256.Sum256([]byte(s))
		return base64.RawURLEncoding.EncodeToString(sum[:16])
	}
	const ada = `{"sub":"u-1","given_name":"Ada","family_name":"Byron"}`
	for name, c := range map[string]struct {
		answer http.HandlerFunc
		claims map[string]any
		want   proof.Claims
		reason proof.Reason
	}{
		"it adds":              {say(200, "application/json", ada), map[string]any{"family_name": "Lovelace", "at_hash": hash("x")}, proof.Claims{GivenName: "Ada", FamilyName: "Lovelace"}, ""},
		"about somebody else":  {say(200, "application/json", `{"sub":"u-2","given_name":"Eve"}`), nil, proof.Claims{}, proof.ReasonAnswerUntrusted},
		"about nobody":         {say(200, "application/json", `{"given_name":"Eve"}`), nil, proof.Claims{}, proof.ReasonAnswerUntrusted},
		"another access token": {say(200, "application/json", ada), map[string]any{"at_hash": hash("y")}, proof.Claims{}, proof.ReasonAnswerUntrusted},
		"at_hash is no text":   {say(200, "application/json", ada), map[string]any{"at_hash": 1}, proof.Claims{}, proof.ReasonAnswerUntrusted},
		"down":                 {say(503, "application/json", ada), nil, proof.Claims{}, ""},
		"refused":              {say(401, "application/json", ada), nil, proof.Claims{}, ""},
		"a redirect":           {say(302, "application/json", ada), nil, proof.Claims{}, ""},
		"a page":               {say(200, "text/html", ada), nil, proof.Claims{}, ""},
		"a list":               {say(200, "application/json", "[]"), nil, proof.Claims{}, ""},
		"endless":              {say(200, "application/json", ada+strings.Repeat(" ", 1<<20)), nil, proof.Claims{}, ""},
		"broken off":           {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, proof.Claims{}, ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			f := p.federated(nil)
			p.metadata["userinfo_endpoint"] = p.web.URL + "/userinfo"
			p.userinfo = func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Authorization") != "Bearer x" {
					t.Error("asked without the access token")
				}
				c.answer(w, r)
			}
			for k, v := range c.claims {
				p.claims[k] = v
			}
			a, err := p.signIn(f, federation.UpstreamAsk{Essential: true, Face: true})
			if c.reason != "" {
				refusedAs(t, a, err, proof.CodeUpstream, c.reason)
			} else if err != nil || a.Notes.Claims != c.want || a.Subject != "u-1" || !a.Notes.Face {
				t.Errorf("%+v, %v", a, err)
			}
		})
	}
	// One on another host is not asked: the access token would go there.
	p := newIDP(t)
	p.metadata["userinfo_endpoint"] = "https://evil.example/userinfo"
	if a, err := p.signIn(p.federated(nil), federation.UpstreamAsk{}); err != nil || a.Notes.Claims != (proof.Claims{}) {
		t.Errorf("%+v, %v", a, err)
	}
}

// Answers of the token endpoint that are no token, and documents that are not to be had.
func TestFederatedEndpoints(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		token  http.HandlerFunc
		code   proof.Code
		reason proof.Reason
	}{
		"code used":   {say(400, "application/json", `{"error":"invalid_grant"}`), proof.CodeUpstream, proof.ReasonAnswerReplayed},
		"bad client":  {say(401, "application/json", `{"error":"invalid_client"}`), proof.CodeUpstream, proof.ReasonUpstreamAuth},
		"down":        {say(503, "text/html", ``), proof.CodeUnavailable, proof.ReasonUpstreamUnavailable},
		"no ID token": {say(200, "application/json", `{"access_token":"x"}`), proof.CodeUpstream, proof.ReasonUpstreamMalformed},
		"HTML":        {say(200, "text/html", `{"id_token":"a.b.c"}`), proof.CodeUpstream, proof.ReasonUpstreamMalformed},
		"endless":     {say(200, "application/json", strings.Repeat(" ", 1<<20+1)), proof.CodeUpstream, proof.ReasonUpstreamMalformed},
		"a redirect":  {say(307, "application/json", `{"id_token":"a.b.c"}`), proof.CodeUpstream, proof.ReasonUpstreamRejected},
		"broken off":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, proof.CodeUnavailable, proof.ReasonUpstreamUnavailable},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			p.token = c.token
			a, err := p.signIn(p.federated(nil), federation.UpstreamAsk{Essential: true, Face: true})
			refusedAs(t, a, err, c.code, c.reason)
		})
	}

	// While the keys cannot be had, no code is spent.
	p := newIDP(t)
	p.metadata["jwks_uri"] = p.web.URL + "/nowhere"
	a, err := p.signIn(p.federated(nil), federation.UpstreamAsk{})
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonUpstreamMalformed)
	if len(p.redeemed) != 0 {
		t.Error("the code was spent without keys")
	}
	// Another metadata document than that of the issuer.
	p = newIDP(t)
	p.metadata["issuer"] = "https://evil.example"
	if _, _, err := p.federated(nil).Begin(t.Context(), federation.UpstreamAsk{State: fedState, ReturnURL: fedReturn}); proof.ReasonOf(err) != proof.ReasonUpstreamMalformed {
		t.Error(err)
	}
	// Keys that changed are looked for.
	p = newIDP(t)
	f := p.federated(nil)
	if _, err := p.signIn(f, federation.UpstreamAsk{}); err != nil {
		t.Fatal(err)
	}
	p.keys.Keys = []jose.JSONWebKey{{Key: &makeOtherKey().PublicKey, KeyID: "k2"}}
	p.sign = signWith(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: makeOtherKey(), KeyID: "k2"}})
	if _, err := p.signIn(f, federation.UpstreamAsk{}); err != nil {
		t.Error(err)
	}
}

func TestFederatedConfig(t *testing.T) {
	t.Parallel()
	good := upstream.FederatedConfig{DiscoveryURL: "https://a.example/.well-known/openid-configuration", ClientID: "a", ClientSecret: "b"}
	if _, err := upstream.NewFederated(good); err != nil {
		t.Error(err)
	}
	for name, change := range map[string]func(*upstream.FederatedConfig){
		"no client": func(c *upstream.FederatedConfig) { c.ClientID = "" },
		"no secret": func(c *upstream.FederatedConfig) { c.ClientSecret = "" },
		"no URL":    func(c *upstream.FederatedConfig) { c.DiscoveryURL = "" },
		"in the clear": func(c *upstream.FederatedConfig) {
			c.DiscoveryURL = strings.Replace(c.DiscoveryURL, "https", "http", 1)
		},
		"issuer unknown": func(c *upstream.FederatedConfig) { c.DiscoveryURL = "https://a.example/metadata" },
		"no openid":      func(c *upstream.FederatedConfig) { c.Scopes = []string{"email"} },
		"two scopes":     func(c *upstream.FederatedConfig) { c.IAL2Scope = "a b" },
		"accepts all":    func(c *upstream.FederatedConfig) { c.AcceptedACR = []string{""} },
		"a URL as host":  func(c *upstream.FederatedConfig) { c.AllowedHosts = []string{"https://b.example"} },
	} {
		c := good
		change(&c)
		if _, err := upstream.NewFederated(c); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// Whatever the token endpoint calls an ID token: without the provider's signature,
// it says nothing; and whatever claims it signs, without this request's nonce.
func FuzzFederatedToken(f *testing.F) {
	p := newIDP(f)
	fed := p.federated(nil)
	good, _ := json.Marshal(p.claims)
	f.Add(p.sign(p.claims), false)
	f.Add(string(good), true)
	f.Add("eyJhbGciOiJub25lIn0.e30.", false)
	f.Add("..", false)
	f.Add(`{"aud":null,"exp":1e999,"amr":[[]]}`, true)
	f.Fuzz(func(t *testing.T, text string, sign bool) {
		p.sign = func(map[string]any) string {
			if sign {
				return signRaw([]byte(text))
			}
			return text
		}
		_, keep, err := fed.Begin(context.Background(), federation.UpstreamAsk{State: fedState, ReturnURL: fedReturn})
		if err != nil {
			t.Fatal(err)
		}
		a, err := fed.Finish(context.Background(), keep, map[string]string{"state": fedState, "code": "c1"})
		if err == nil || a.Subject != "" || a.Identifier != "" || a.Notes.Face || a.AuthTime != (time.Time{}) {
			t.Errorf("%+v for %q", a, text)
		}
	})
}
