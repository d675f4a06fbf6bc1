package federation_test

import (
	"bytes"
	"encoding/json"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// oauthWorld has one custom provider, named op, and a flow to it.
func oauthWorld(t *testing.T, change func(*federation.Provider), args ...any) (*world, *op) {
	t.Helper()
	t.Parallel()
	o := newOP(t)
	p := o.settings("op")
	if change != nil {
		change(&p)
	}
	w := newWorld(t, func(f *federation.Options) { f.Providers = []federation.Provider{p} })
	w.trip("f", "oauth-start", "exchange-oauth-code", append([]any{"defaultProvider", "op"}, args...)...)
	return w, o
}

// signIn goes all the way.
func (w *world) signIn(o *op) *browser {
	w.Helper()
	b, address := w.leave("f")
	b.resume(w.arrived(w.callback(o.authorize(w.T, address))))
	return b
}

func TestOAuthSignUpAndIn(t *testing.T) {
	w, o := oauthWorld(t, nil, "loginHint", "ada", "prompt", []any{"login"})
	o.claims = map[string]any{"sub": "pairwise-1", "given_name": "ADA", "ial_level": "IAL2", "idv_status": "verified", "face_matched": true, "verified_claims": map[string]any{"x": 1}}
	b := w.signIn(o)
	u := b.inside()
	want := map[string]any{"kosmosIal": "IAL2", "kosmosStatus": "verified", "kosmosFace": true}
	if !slices.Equal(u.LoginIDs, []string{"pairwise-1"}) || u.GivenName != "ADA" || u.Email != "" || u.VerifiedEmail || !reflect.DeepEqual(u.CustomAttributes, want) || u.OAuth["op"] != true {
		t.Fatalf("%+v", u)
	}
	if !b.at.AuthInfo.FirstSeen || b.at.AuthInfo.Claims["level"] != "IAL2" {
		t.Fatalf("%+v", b.at.AuthInfo)
	}
	// What Descope asks, and what it cannot be made to ask.
	q := o.asked
	for name, want := range map[string]string{
		"response_type": "code", "client_id": clientID, "redirect_uri": base + "/v1/oauth/callback", "scope": "openid identity_assurance",
		"login_hint": "ada", "prompt": "login", "acr_values": "", "max_age": "", "claims": "", "code_challenge": "",
	} {
		if got := q.Get(name); got != want {
			t.Errorf("%s=%q, want %q", name, got, want)
		}
	}
	if len(q.Get("nonce")) < 22 || len(q.Get("state")) < 64 {
		t.Errorf("nonce %q, state %q", q.Get("nonce"), q.Get("state"))
	}
	// The same person again: the same user, and what is known now in place of what was.
	o.claims["ial_level"], o.claims["face_matched"] = "none", false
	again := w.signIn(o)
	if v := again.inside(); v.UserID != u.UserID || again.at.AuthInfo.FirstSeen || v.CustomAttributes["kosmosIal"] != "none" || v.CustomAttributes["kosmosFace"] != false {
		t.Fatalf("%+v", v)
	}
	if len(w.users()) != 1 {
		t.Fatalf("%d users", len(w.users()))
	}
}

func TestOAuthWithoutJITUpdatesUsersStayAsTheyAre(t *testing.T) {
	w, o := oauthWorld(t, func(p *federation.Provider) { p.DisableJITUpdates = true })
	o.claims["ial_level"] = "IAL1"
	w.signIn(o).inside()
	o.claims["ial_level"] = "IAL2"
	if u := w.signIn(o).inside(); u.CustomAttributes["kosmosIal"] != "IAL1" {
		t.Fatalf("%+v", u)
	}
}

// What is mapped to an attribute that does not exist, or does not fit, is left out.
func TestOAuthMappingOfWhatDoesNotFit(t *testing.T) {
	w, o := oauthWorld(t, func(p *federation.Provider) {
		p.ClaimMapping = map[string]string{"loginId": "sub", "nobodyKnows": "ial_level", "kosmosFace": "given_name", "kosmosIal": "face_matched", "kosmosStatus": "deep", "name": "deep"}
	})
	maps.Copy(o.claims, map[string]any{"ial_level": "IAL2", "given_name": "ADA", "face_matched": true, "deep": map[string]any{"a": "b"}})
	if u := w.signIn(o).inside(); !reflect.DeepEqual(u.CustomAttributes, map[string]any{"kosmosIal": "true"}) || u.Name != "" {
		t.Fatalf("%+v", u)
	}
}

// Accounts are merged by address: whoever can have a provider say that an address is
// theirs comes into its owner's account. So this is what our provider is tested with.
func TestOAuthMergesByVerifiedAddress(t *testing.T) {
	no := false
	for name, c := range map[string]struct {
		claims   map[string]any
		settings func(*federation.Provider)
		unproven bool // the victim's own address
		merged   bool
	}{
		"verified":               {claims: map[string]any{"email": "Victim@Example.org", "email_verified": true}, merged: true},
		"verified, in words":     {claims: map[string]any{"email": victim, "email_verified": "true"}, merged: true},
		"not verified":           {claims: map[string]any{"email": victim, "email_verified": false}},
		"not said":               {claims: map[string]any{"email": victim}},
		"no address":             {claims: map[string]any{"email_verified": true}},
		"another address":        {claims: map[string]any{"email": "other@example.org", "email_verified": true}},
		"merging is off":         {claims: map[string]any{"email": victim, "email_verified": true}, settings: func(p *federation.Provider) { p.MergeUserAccounts = &no }},
		"victim's is not proven": {claims: map[string]any{"email": victim, "email_verified": true}, unproven: true},
		// The name of Descope's setting says that what comes is trusted.
		"nothing mapped says it": {claims: map[string]any{"email": victim, "email_verified": false}, settings: func(p *federation.Provider) { delete(p.ClaimMapping, "verifiedEmail") }, merged: true},
		"nothing says it, and merging is off": {claims: map[string]any{"email": victim}, settings: func(p *federation.Provider) {
			delete(p.ClaimMapping, "verifiedEmail")
			p.MergeUserAccounts = &no
		}},
	} {
		t.Run(name, func(t *testing.T) {
			w, o := oauthWorld(t, c.settings)
			v := w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: !c.unproven})
			maps.Copy(o.claims, c.claims)
			u := w.signIn(o).inside()
			if (u.UserID == v.UserID) != c.merged {
				t.Fatalf("merged is %v, want %v: %+v", u.UserID == v.UserID, c.merged, u)
			}
			if c.merged && !slices.Equal(u.LoginIDs, []string{"victim", "pairwise-1"}) {
				t.Fatalf("%v", u.LoginIDs)
			}
			if !c.merged && u.Email == victim && u.VerifiedEmail && !c.unproven && c.claims["email_verified"] != true {
				t.Fatalf("an address that nobody verified counts as verified: %+v", u)
			}
		})
	}
}

// Whose login id it is needs no address: what is mapped to loginId is believed.
func TestOAuthLoginIDIsBelieved(t *testing.T) {
	w, o := oauthWorld(t, func(p *federation.Provider) { p.ClaimMapping = map[string]string{"loginId": "user_identifier"} })
	v := w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: true})
	o.claims["user_identifier"] = v.UserID
	if u := w.signIn(o).inside(); u.UserID != v.UserID || !slices.Equal(u.LoginIDs, []string{"victim"}) {
		t.Fatalf("%+v", u)
	}
	delete(o.claims, "user_identifier") // as after a proofing alone
	b := w.signIn(o)
	b.outside()
	if len(w.users()) != 1 {
		t.Fatalf("%d users", len(w.users()))
	}
	if _, err := w.accounts.Edit(w.Context(), v.UserID, func(u *project.User) error { u.Status = "disabled"; return nil }); err != nil {
		t.Fatal(err)
	}
	o.claims["user_identifier"] = v.UserID
	w.signIn(o).outside()
}

func TestOAuthOnlyWhoIsKnownAndOnlyWhoIsNot(t *testing.T) {
	w, o := oauthWorld(t, nil)
	w.trip("in", "oauth-start-sign-in", "exchange-oauth-code", "defaultProvider", "op")
	w.trip("up", "oauth-start-sign-up", "exchange-oauth-code", "defaultProvider", "op")
	try := func(id string) *browser {
		b, address := w.leave(id)
		b.resume(w.arrived(w.callback(o.authorize(t, address))))
		return b
	}
	try("in").outside()
	try("up").inside()
	try("up").outside()
	try("in").inside()
}

func TestOAuthRefusesWhatIsNotRight(t *testing.T) {
	set := func(name string, v any) func(map[string]any) { return func(c map[string]any) { c[name] = v } }
	for name, c := range map[string]struct {
		change func(*testing.T, *op)
		answer func(url.Values)
		err    string
	}{
		"another nonce":        {change: func(_ *testing.T, o *op) { o.token = set("nonce", "of another request") }, err: "invalid_id_token"},
		"no nonce":             {change: func(_ *testing.T, o *op) { o.token = func(c map[string]any) { delete(c, "nonce") } }, err: "invalid_id_token"},
		"another key":          {change: func(t *testing.T, o *op) { o.signer = newKey(t) }, err: "invalid_id_token"},
		"no signature":         {change: func(_ *testing.T, o *op) { o.alg = "none" }, err: "invalid_id_token"},
		"a shared secret":      {change: func(_ *testing.T, o *op) { o.alg = "HS256" }, err: "invalid_id_token"},
		"no token":             {change: func(_ *testing.T, o *op) { o.alg = "missing" }, err: "invalid_id_token"},
		"another audience":     {change: func(_ *testing.T, o *op) { o.token = set("aud", "somebody else") }, err: "invalid_id_token"},
		"another issuer":       {change: func(_ *testing.T, o *op) { o.token = set("iss", "https://evil.example") }, err: "invalid_id_token"},
		"old":                  {change: func(_ *testing.T, o *op) { o.token = set("exp", time.Now().Add(-time.Hour).Unix()) }, err: "invalid_id_token"},
		"another access token": {change: func(_ *testing.T, o *op) { o.token = set("at_hash", "AAAAAAAAAAAAAAAAAAAAAA") }, err: "invalid_id_token"},
		"nobody":               {change: func(_ *testing.T, o *op) { o.claims["sub"] = "" }, err: "invalid_id_token"},
		"userinfo of another":  {change: func(_ *testing.T, o *op) { o.info = set("sub", "victim") }, err: "invalid_user_info"},
		"userinfo of nobody":   {change: func(_ *testing.T, o *op) { o.info = func(c map[string]any) { delete(c, "sub") } }, err: "invalid_user_info"},
		"token endpoint fails": {change: func(_ *testing.T, o *op) { o.fail = http.StatusInternalServerError }, err: "exchange_failed"},
		"a code of nobody's":   {answer: func(q url.Values) { q.Set("code", "x") }, err: "exchange_failed"},
		"no code":              {answer: func(q url.Values) { q.Del("code") }, err: "exchange_failed"},
		"a mix-up":             {answer: func(q url.Values) { q.Set("iss", "https://evil.example") }, err: "provider_error"},
		"refused":              {answer: func(q url.Values) { q.Del("code"); q.Set("error", "access_denied") }, err: "access_denied"},
		"refused in markup":    {answer: func(q url.Values) { q.Set("error", "<script>") }, err: "provider_error"},
	} {
		t.Run(name, func(t *testing.T) {
			w, o := oauthWorld(t, nil)
			w.user(project.User{LoginIDs: []string{"victim"}, Email: victim, VerifiedEmail: true})
			maps.Copy(o.claims, map[string]any{"email": victim, "email_verified": true})
			if c.change != nil {
				c.change(t, o)
			}
			b, address := w.leave("f")
			q := o.authorize(t, address)
			if c.answer != nil {
				c.answer(q)
			}
			back := w.arrived(w.callback(q))
			if back.Get("err") != c.err || back.Get("code") != "" {
				t.Fatalf("%v, want err %s", back, c.err)
			}
			b.resume(back)
			b.outside()
			if u := w.users(); len(u) != 1 || len(u[0].LoginIDs) != 1 {
				t.Fatalf("something was written: %+v", u)
			}
			// And the same flow can go there again.
			b.next(b.at.ExecutionID, b.at.StepID, "go", nil)
			if b.at.Action != runner.ActionRedirect {
				t.Fatalf("%+v", b.at)
			}
		})
	}
}

func TestOAuthWithoutKeysTheIDTokenIsNotLookedAt(t *testing.T) {
	w, o := oauthWorld(t, func(p *federation.Provider) { p.JWKS = "" })
	o.alg = "none"
	w.signIn(o).inside()
	o.info = func(c map[string]any) { delete(c, "sub") }
	w.signIn(o).outside()
}

func TestOAuthStateHoldsOnceAndHereOnly(t *testing.T) {
	w, o := oauthWorld(t, nil)
	b, address := w.leave("f")
	q := o.authorize(t, address)
	back := w.arrived(w.callback(q))
	w.lost(w.callback(q)) // a second answer

	other := newWorld(t, func(f *federation.Options) { f.Providers = []federation.Provider{o.settings("op")} })
	other.trip("f", "oauth-start", "exchange-oauth-code", "defaultProvider", "op")
	_, foreign := other.leave("f")
	w.lost(w.callback(o.authorize(t, foreign)))

	state := q.Get("state")
	for _, bad := range []string{"", "x", state[:len(state)-2], "AAAA" + state[4:], strings.Repeat("A", 10_000)} {
		w.lost(w.callback(url.Values{"code": {"x"}, "state": {bad}}))
	}
	// Another browser's flow cannot have the code: its own trip has another one.
	mallory, _ := w.leave("f")
	stolen := maps.Clone(back)
	stolen.Set("descope-login-flow", mallory.at.ExecutionID+"_"+mallory.at.StepID)
	mallory.resume(stolen)
	mallory.outside()
	// Nor can another browser go on with the flow that it is of, without its nonce.
	execution, step, _ := strings.Cut(back.Get("descope-login-flow"), "_")
	if _, err := mallory.try(execution, step, "submit", map[string]any{"exchangeCode": back.Get("code")}); err == nil {
		t.Fatal("another browser went on")
	}
	b.resume(back)
	b.inside()

	// One who comes late finds nobody waiting.
	_, address = w.leave("f")
	w.ahead = 31 * time.Minute
	w.lost(w.callback(o.authorize(t, address)))
}

// A trip that the flow has left is over, too.
func TestOAuthTripOfAFlowThatWentOn(t *testing.T) {
	w, o := oauthWorld(t, nil)
	b, address := w.leave("f")
	b.resume(url.Values{"descope-login-flow": {b.at.ExecutionID + "_" + b.at.StepID}, "err": {"access_denied"}})
	b.outside()
	w.lost(w.callback(o.authorize(t, address)))
	if len(w.users()) != 0 {
		t.Fatal("somebody was made")
	}
}

func TestNothingOfAProvidersAnswerIsLogged(t *testing.T) {
	t.Parallel()
	o := newOP(t)
	var log bytes.Buffer
	w := newWorld(t, func(f *federation.Options) {
		f.Providers = []federation.Provider{o.settings("op")}
		f.Logger = slog.New(slog.NewTextHandler(&log, nil))
	})
	w.trip("f", "oauth-start", "exchange-oauth-code", "defaultProvider", "op")
	o.fail = http.StatusBadRequest
	o.claims["email"] = victim
	w.signIn(o).outside()
	if s := log.String(); !strings.Contains(s, "exchange_failed") || strings.Contains(s, "no log may show") || strings.Contains(s, victim) || strings.Contains(s, clientSecret) {
		t.Fatal(s)
	}
}

func TestSettingsThatCannotBe(t *testing.T) {
	t.Parallel()
	good := federation.Provider{
		Name: "op", ClientID: "a", ClientSecret: "b", Issuer: "https://op.example", Authorization: "https://op.example/a?x=1", Token: "https://op.example/t",
		UserInfo: "https://op.example/u", AllowedGrantTypes: []string{"authorization_code"},
	}
	for name, change := range map[string]func(*federation.Provider){
		"no name": func(p *federation.Provider) { p.Name = "" }, "no secret": func(p *federation.Provider) { p.ClientSecret = "" },
		"no userinfo": func(p *federation.Provider) { p.UserInfo = "" }, "no whole address": func(p *federation.Provider) { p.Token = "/token" },
		"keys nowhere": func(p *federation.Provider) { p.JWKS = "keys" }, "implicit": func(p *federation.Provider) { p.AllowedGrantTypes = append(p.AllowedGrantTypes, "implicit") },
		"no grant": func(p *federation.Provider) { p.AllowedGrantTypes = nil }, "another prompt": func(p *federation.Provider) { p.Prompts = []string{"create"} },
		"no login id": func(p *federation.Provider) { p.ClaimMapping = map[string]string{"email": "email"} },
	} {
		p := good
		change(&p)
		if _, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: base, Providers: []federation.Provider{p}}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	if _, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: base, Providers: []federation.Provider{good, good}}); err == nil {
		t.Error("two of one name")
	}
	f, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: base, Providers: []federation.Provider{good}})
	if err != nil {
		t.Fatal(err)
	}
	// A query that the authorization endpoint has stays.
	to, err := f.Begin(t.Context(), project.FederationAsk{Request: "r", Kind: project.FederationOAuth, Provider: "op"})
	if err != nil || !strings.Contains(to, "?x=1&") {
		t.Fatalf("%s, %v", to, err)
	}
	if b, err := json.Marshal(good); err != nil || !strings.Contains(string(b), `"user_info_endpoint":"https://op.example/u"`) {
		t.Fatalf("%s, %v", b, err)
	}
}
