package upstream_test

import (
	"crypto/sha256"
	"encoding/base64"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

const (
	fedState  = "a-state-of-at-least-128-random-bits"
	fedReturn = "https://bridge.example/federation/acme/upstream"
	fedHint   = "victim@example.com"
)

// federated is a relying party of an idp whose token says that the person signed in
// with their face, and what more is set.
func (p *idp) federated(change func(*upstream.FederatedConfig)) *upstream.Federated {
	p.t.Helper()
	cfg := upstream.FederatedConfig{
		DiscoveryURL: p.web.URL + "/oauth2/.well-known/openid-configuration", ClientID: oidcID, ClientSecret: oidcSecret,
		HTTPClient: p.web.Client(), Now: func() time.Time { return p.now },
	}
	if change != nil {
		change(&cfg)
	}
	f, err := upstream.NewFederated(cfg)
	if err != nil {
		p.t.Fatal(err)
	}
	return f
}

// begin asks for a, whose state and address are filled in.
func (p *idp) begin(f *upstream.Federated, a federation.UpstreamAsk) (url.Values, []byte) {
	p.t.Helper()
	a.State, a.ReturnURL = fedState, fedReturn
	address, keep, err := f.Begin(p.t.Context(), a)
	if err != nil {
		p.t.Fatal(err)
	}
	u, err := url.Parse(address)
	if err != nil {
		p.t.Fatal(err)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.nonce = u.Query().Get("nonce")
	return u.Query(), keep
}

func (p *idp) finish(f *upstream.Federated, keep []byte, returned map[string]string) (federation.UpstreamAnswer, error) {
	back := map[string]string{"state": fedState}
	maps.Copy(back, returned)
	return f.Finish(p.t.Context(), keep, back)
}

// signIn is a whole sign-in.
func (p *idp) signIn(f *upstream.Federated, a federation.UpstreamAsk) (federation.UpstreamAnswer, error) {
	p.t.Helper()
	_, keep := p.begin(f, a)
	return p.finish(f, keep, map[string]string{"code": "c1"})
}

// refused checks that there is an error of that kind, and nothing else.
func refusedAs(t *testing.T, a federation.UpstreamAnswer, err error, code proof.Code, reason proof.Reason) {
	t.Helper()
	if proof.CodeOf(err) != code || proof.ReasonOf(err) != reason {
		t.Errorf("error %v, want %s (%s)", err, code, reason)
	}
	if !reflect.DeepEqual(a, federation.UpstreamAnswer{}) {
		t.Errorf("an error came with %+v", a)
	}
	if err != nil {
		for _, secret := range []string{oidcUser, fedHint, oidcSecret, "c1", "eyJ", "injected"} {
			if strings.Contains(err.Error(), secret) {
				t.Errorf("the error tells %q", secret)
			}
		}
	}
}

func TestFederatedRequest(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	f := p.federated(nil)
	for name, c := range map[string]struct {
		ask           federation.UpstreamAsk
		scope, claims string
	}{
		"whoever":  {federation.UpstreamAsk{}, "openid email profile", ""},
		"IAL2":     {federation.UpstreamAsk{Essential: true, IAL2: true}, "openid email profile /assurance/ial/2", `{"id_token":{"acr":{"essential":true,"values":["/assurance/ial/2"]}}}`},
		"the face": {federation.UpstreamAsk{Essential: true, Face: true}, "openid email profile", `{"id_token":{"acr":{"essential":true,"values":["liveID push"]}}}`},
		"both": {federation.UpstreamAsk{Essential: true, Face: true, IAL2: true, Hint: fedHint}, "openid email profile /assurance/ial/2",
			`{"id_token":{"acr":{"essential":true,"values":["/assurance/ial/2"]}}}`},
	} {
		q, keep := p.begin(f, c.ask)
		for param, want := range map[string]string{
			"tenant": "1", "response_type": "code", "client_id": oidcID, "redirect_uri": fedReturn, "state": fedState, "code_challenge_method": "S256",
			"prompt": "login", "scope": c.scope, "claims": c.claims, "login_hint": c.ask.Hint,
		} {
			if q.Get(param) != want {
				t.Errorf("%s: %s is %q, want %q", name, param, q.Get(param), want)
			}
		}
		if len(q.Get("nonce")) != 43 || len(q.Get("code_challenge")) != 43 || strings.Contains(string(keep), fedHint) {
			t.Errorf("%s: %v, %s", name, q, keep)
		}
	}

	own := p.federated(func(c *upstream.FederatedConfig) {
		c.NoPKCE, c.NoPrompt, c.IAL2ACR, c.IAL2Scope, c.Scopes = true, true, "/assurance/ial/2/", "-", []string{"openid"}
	})
	q, _ := p.begin(own, federation.UpstreamAsk{Essential: true, IAL2: true})
	if q.Has("code_challenge") || q.Has("prompt") || q.Get("scope") != "openid" || !strings.Contains(q.Get("claims"), `["/assurance/ial/2/"]`) {
		t.Errorf("as configured: %v", q)
	}

	// The verifier that is kept is the one that was promised.
	q, keep := p.begin(f, federation.UpstreamAsk{})
	if _, err := p.finish(f, keep, map[string]string{"code": "c1"}); err != nil {
		t.Fatal(err)
	}
	sent := p.redeemed[0]
	sum := sha256.Sum256([]byte(sent.Get("code_verifier")))
	if base64.RawURLEncoding.EncodeToString(sum[:]) != q.Get("code_challenge") || sent.Get("redirect_uri") != fedReturn || sent.Get("code") != "c1" {
		t.Errorf("redeemed with %v", sent)
	}

	for name, a := range map[string]federation.UpstreamAsk{
		"guessable state": {State: "1", ReturnURL: fedReturn},
		"no way back":     {State: fedState},
		"endless hint":    {State: fedState, ReturnURL: fedReturn, Hint: strings.Repeat("a", 300)},
	} {
		if address, keep, err := f.Begin(t.Context(), a); err == nil || address != "" || keep != nil {
			t.Errorf("%s: %q, %v", name, address, err)
		}
	}
}

// What the token says is what comes of it: no more, whatever was asked or hinted.
func TestFederatedAnswer(t *testing.T) {
	t.Parallel()
	type notes = federation.SessionNotes
	p := newIDP(t)
	issuer := p.web.URL + "/oauth2"
	now := p.now
	without := func(names ...string) func(*idp) {
		return func(p *idp) {
			for _, n := range names {
				delete(p.claims, n)
			}
		}
	}
	with := func(pairs ...any) func(*idp) {
		return func(p *idp) {
			for i := 0; i < len(pairs); i += 2 {
				p.claims[pairs[i].(string)] = pairs[i+1]
			}
		}
	}
	for name, c := range map[string]struct {
		change func(*idp)
		ask    federation.UpstreamAsk
		want   federation.UpstreamAnswer
	}{
		"a face": {with(), federation.UpstreamAsk{Essential: true, Face: true, Hint: fedHint},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now, Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Face: true, Issuer: issuer}}},
		"a password, and nothing was asked": {with("acr", "pwd", "amr", "pwd"), federation.UpstreamAsk{},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now, Notes: notes{ACR: "pwd", AMR: []string{"pwd"}, Issuer: issuer}}},
		"nobody named, but hinted": {without("username"), federation.UpstreamAsk{Hint: fedHint},
			federation.UpstreamAnswer{Subject: "u-1", AuthTime: now, Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Face: true, Issuer: issuer}}},
		"other names are no identifier": {func(p *idp) {
			without("username")(p)
			with("preferred_username", fedHint, "email", fedHint, "login_hint", fedHint)(p)
		}, federation.UpstreamAsk{},
			federation.UpstreamAnswer{Subject: "u-1", AuthTime: now, Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Face: true, Issuer: issuer}}},
		"silent about how": {without("acr", "amr", "auth_time"), federation.UpstreamAsk{},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now, Notes: notes{Issuer: issuer}}},
		"an earlier login": {with("auth_time", now.Unix()-3600), federation.UpstreamAsk{},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now.Add(-time.Hour), Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Issuer: issuer}}},
		"IAL2 in amr": {with("acr", "/assurance/ial/2/", "amr", []string{"face", "/assurance/ial/2/"}), federation.UpstreamAsk{Essential: true, IAL2: true, Face: true},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now,
				Notes: notes{ACR: "/assurance/ial/2/", AMR: []string{"face", "/assurance/ial/2/"}, Face: true, IALLevel: "IAL2", Issuer: issuer}}},
		"claims": {with("given_name", "Ada", "family_name", "Lovelace", "birthdate", "1815-12-10", "gender", "female", "nationalities", []string{"GBR"},
			"scope", "openid /assurance/ial/3"), federation.UpstreamAsk{},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now, Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Face: true, Issuer: issuer,
				Claims: proof.Claims{GivenName: "Ada", FamilyName: "Lovelace", BirthDate: "1815-12-10", Gender: "female", Nationality: "GBR"}}}},
		"claims that cannot be": {with("given_name", []string{"Ada"}, "family_name", "a\x00b", "birthdate", "0000-05-05x", "gender", "F", "nationality", strings.Repeat("x", 300)),
			federation.UpstreamAsk{},
			federation.UpstreamAnswer{Identifier: oidcUser, Subject: "u-1", AuthTime: now, Notes: notes{ACR: "liveID push", AMR: []string{"face"}, Face: true, Issuer: issuer}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			p := newIDP(t)
			c.change(p)
			got, err := p.signIn(p.federated(nil), c.ask)
			c.want.Notes.Issuer = p.web.URL + "/oauth2"
			if err != nil || !reflect.DeepEqual(got, c.want) {
				t.Errorf("%+v, %v\nwant %+v", got, err, c.want)
			}
		})
	}
}

func TestFederatedLevel(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	f := p.federated(nil)
	byScope := p.federated(func(c *upstream.FederatedConfig) { c.ScopeTellsLevel = true })
	for _, c := range []struct {
		acr, amr, scope any
		want, scoped    string
	}{
		{nil, "/assurance/ial/2", nil, "IAL2", ""},
		{nil, []string{"face", "/assurance/ial/2/"}, nil, "IAL2", ""},
		{"/assurance/ial/2/", nil, nil, "IAL2", ""},
		{"https://1kosmos.example/assurance/ial/3", nil, nil, "IAL3", ""},
		{nil, []string{"IAL2"}, nil, "IAL2", ""},
		{nil, []string{"urn:x:ial/1"}, nil, "IAL1", ""},
		{"/assurance/ial/2", []string{"/assurance/ial/1"}, nil, "IAL1", ""},                   // amr is where the result is
		{nil, []string{"/assurance/ial/3", "/assurance/ial/2"}, nil, "IAL2", ""},              // the lowest
		{"/assurance/ial/1", nil, "openid /assurance/ial/3", "IAL1", ""},                      // what was asked is not what came of it
		{nil, nil, "openid /assurance/ial/2", "", "IAL2"},                                     // unless the operator says so
		{nil, nil, []string{"openid", "/assurance/ial/2/"}, "", "IAL2"},                       //
		{nil, []string{"/assurance/ial/2/failed", "denial/2", "ial/0", "ial/4"}, nil, "", ""}, //
		{"not ial/2 yet", []string{"/assurance/ial/22", "IAL", "ial2x"}, nil, "", ""},
		{"ial", []string{"\n/assurance/ial/2"}, nil, "", ""},
	} {
		p.mu.Lock()
		for name, v := range map[string]any{"acr": c.acr, "amr": c.amr, "scope": c.scope} {
			if delete(p.claims, name); v != nil {
				p.claims[name] = v
			}
		}
		p.mu.Unlock()
		got, err := p.signIn(f, federation.UpstreamAsk{})
		if err != nil || got.Notes.IALLevel != c.want {
			t.Errorf("%v: %q, %v", c, got.Notes.IALLevel, err)
		}
		if c.scoped == "" {
			c.scoped = c.want
		}
		if got, err = p.signIn(byScope, federation.UpstreamAsk{}); err != nil || got.Notes.IALLevel != c.scoped {
			t.Errorf("%v, by scope: %q, %v", c, got.Notes.IALLevel, err)
		}
	}
}

// Who configured that no fresh sign-in is asked for believes in a face only with a time.
func TestFederatedNoPrompt(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	f := p.federated(func(c *upstream.FederatedConfig) { c.NoPrompt = true })
	if a, err := p.signIn(f, federation.UpstreamAsk{Essential: true, Face: true}); err != nil || !a.Notes.Face {
		t.Errorf("%+v, %v", a, err)
	}
	delete(p.claims, "auth_time")
	if a, err := p.signIn(f, federation.UpstreamAsk{}); err != nil || a.Notes.Face {
		t.Errorf("%+v, %v", a, err)
	}
	a, err := p.signIn(f, federation.UpstreamAsk{Essential: true, Face: true})
	refusedAs(t, a, err, proof.CodeUnmet, proof.ReasonProviderRejected)
	if a, err := p.signIn(p.federated(nil), federation.UpstreamAsk{Essential: true, Face: true}); err != nil || !a.Notes.Face {
		t.Errorf("with prompt: %+v, %v", a, err)
	}
}

// What comes back without a code, or not from the provider that was asked.
func TestFederatedReturned(t *testing.T) {
	t.Parallel()
	p := newIDP(t)
	f := p.federated(nil)
	for name, c := range map[string]struct {
		returned map[string]string
		code     proof.Code
		reason   proof.Reason
	}{
		"denied":          {map[string]string{"error": "access_denied"}, proof.CodeDenied, proof.ReasonProviderRejected},
		"declined":        {map[string]string{"error": "access_denied", "error_description": "declined"}, proof.CodeDenied, proof.ReasonDeclined},
		"in their words":  {map[string]string{"error": "access_denied", "error_description": "injected by somebody"}, proof.CodeDenied, proof.ReasonProviderRejected},
		"with a code":     {map[string]string{"error": "access_denied", "code": "c1"}, proof.CodeDenied, proof.ReasonProviderRejected},
		"unmet":           {map[string]string{"error": "unmet_authentication_requirements"}, proof.CodeUnmet, proof.ReasonProviderRejected},
		"login required":  {map[string]string{"error": "login_required"}, proof.CodeLoginRequired, proof.ReasonProviderRejected},
		"interaction":     {map[string]string{"error": "interaction_required"}, proof.CodeInteraction, proof.ReasonProviderRejected},
		"consent":         {map[string]string{"error": "consent_required"}, proof.CodeInteraction, proof.ReasonProviderRejected},
		"down":            {map[string]string{"error": "temporarily_unavailable"}, proof.CodeUnavailable, proof.ReasonUpstreamUnavailable},
		"a bad request":   {map[string]string{"error": "invalid_request"}, proof.CodeUpstream, proof.ReasonUpstreamRejected},
		"unknown error":   {map[string]string{"error": "injected"}, proof.CodeUpstream, proof.ReasonUpstreamRejected},
		"an endless code": {map[string]string{"code": strings.Repeat("c", 9000)}, proof.CodeUpstream, proof.ReasonUpstreamMalformed},
		"nothing":         {nil, proof.CodeUpstream, proof.ReasonUpstreamMalformed},
		"other state":     {map[string]string{"code": "c1", "state": fedState + "x"}, proof.CodeUpstream, proof.ReasonAnswerReplayed},
		"no state":        {map[string]string{"code": "c1", "state": ""}, proof.CodeUpstream, proof.ReasonAnswerReplayed},
		"mix-up":          {map[string]string{"code": "c1", "iss": "https://evil.example"}, proof.CodeUpstream, proof.ReasonAnswerUntrusted},
		"a mixed-up no":   {map[string]string{"error": "access_denied", "iss": "https://evil.example"}, proof.CodeUpstream, proof.ReasonAnswerUntrusted},
		"nearly the same": {map[string]string{"code": "c1", "iss": p.web.URL + "/oauth2/"}, proof.CodeUpstream, proof.ReasonAnswerUntrusted},
	} {
		_, keep := p.begin(f, federation.UpstreamAsk{})
		a, err := p.finish(f, keep, c.returned)
		t.Run(name, func(t *testing.T) { refusedAs(t, a, err, c.code, c.reason) })
	}
	if len(p.redeemed) != 0 {
		t.Error("a code was redeemed")
	}
	_, keep := p.begin(f, federation.UpstreamAsk{})
	for _, bad := range []string{"", "{}", "null", `{"state":"x","nonce":"y"}`} {
		a, err := f.Finish(t.Context(), []byte(bad), map[string]string{"state": "", "code": "c1"})
		refusedAs(t, a, err, proof.CodeInternal, proof.ReasonInternal)
	}
	p.now = p.now.Add(time.Hour)
	a, err := p.finish(f, keep, map[string]string{"code": "c1"})
	refusedAs(t, a, err, proof.CodeDenied, proof.ReasonTimeLimit)

	p = newIDP(t) // one that says that it names itself must do so
	p.metadata["authorization_response_iss_parameter_supported"] = true
	f = p.federated(nil)
	_, keep = p.begin(f, federation.UpstreamAsk{})
	a, err = p.finish(f, keep, map[string]string{"code": "c1"})
	refusedAs(t, a, err, proof.CodeUpstream, proof.ReasonAnswerUntrusted)
	if _, err = p.finish(f, keep, map[string]string{"code": "c1", "iss": p.web.URL + "/oauth2"}); err != nil {
		t.Error(err)
	}
}
