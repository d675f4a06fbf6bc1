package oidc_test

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Names of modules are those of the OpenID conformance suite's plans for Basic OP,
// Config OP, RP-Initiated Logout and FAPI 2 (for PAR, which has no plan of its own).

const (
	frontBack   = "https://rp.example.com/cb"
	frontQuery  = "https://rp.example.com/cb?keep=a%20b&z"
	frontApp    = "com.example.app:/cb"
	frontLeft   = "https://rp.example.com/bye"
	frontSecret = "front-secret"
)

// frontWorld has the client rp, which is confidential and needs PKCE, and some that
// differ from it.
func frontWorld(change ...func(*oidc.Options)) *world {
	w := newWorld(change...)
	uris := []string{frontBack, frontQuery, frontApp, "https://rp.example.com/cb#part", "javascript:alert(1)//", "data:text/html,x"}
	add := func(id string, more func(*federation.Client)) {
		c := federation.Client{ID: id, Name: "Shop <b>", OIDC: &federation.OIDCClient{
			RedirectURIs: uris, PostLogoutRedirectURIs: []string{frontLeft, "javascript:alert(2)"}, AuthMethod: "client_secret_basic",
		}}
		if more != nil {
			more(&c)
		}
		w.core.add(c, frontSecret)
	}
	add("rp", nil)
	add("off", func(c *federation.Client) { c.Disabled = true })
	add("saml", func(c *federation.Client) { c.Protocol = federation.SAML })
	add("other", nil)
	add("public", func(c *federation.Client) { c.OIDC.AuthMethod, c.OIDC.WithoutPKCE = "none", true })
	add("plain", func(c *federation.Client) { c.OIDC.WithoutPKCE = true })
	add("descope", func(c *federation.Client) {
		c.Profile, c.OIDC.WithoutPKCE, c.DefaultACR = federation.ProfileDescope, true, []string{federation.ACRFace}
	})
	add("par", func(c *federation.Client) { c.OIDC.RequirePAR = true })
	add("okta", func(c *federation.Client) { c.OIDC.RequirePAR, c.Profile = true, federation.ProfileOkta })
	add("narrow", func(c *federation.Client) { c.Allowed = []string{federation.ACRFace, federation.ACRIAL1} })
	add("held", func(c *federation.Client) {
		c.Essential, c.DefaultACR = true, []string{federation.ACRIAL2, federation.ACRFace}
	})
	add("offline", func(c *federation.Client) { c.OIDC.Grants = []string{"refresh_token"} })
	return w
}

// asking is a good request of a client, with changes: a value of "-" takes a
// parameter away.
func asking(client string, change ...string) url.Values {
	v := url.Values{
		"client_id": {client}, "response_type": {"code"}, "redirect_uri": {frontBack}, "scope": {"openid"}, "state": {"s t/&=+"},
		"code_challenge": {challengeOf(backVerifier)}, "code_challenge_method": {"S256"},
	}
	for pair := range slices.Chunk(change, 2) {
		v.Set(pair[0], pair[1])
		if pair[1] == "-" {
			v.Del(pair[0])
		}
	}
	return v
}

// went is where a browser was sent, or what it was shown.
type went struct {
	status int
	header http.Header
	to     string
	body   string
}

func (g went) param(t testing.TB, name string) string {
	t.Helper()
	u, err := url.Parse(g.to)
	if err != nil {
		t.Fatal(err)
	}
	return u.Query().Get(name)
}

func (w *world) visit(method, path string, v url.Values, change ...func(*http.Request)) went {
	var r *http.Request
	if method == http.MethodPost {
		r = httptest.NewRequest(method, path, strings.NewReader(v.Encode()))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	} else {
		r = httptest.NewRequest(method, path+"?"+v.Encode(), nil)
	}
	for _, c := range change {
		c(r)
	}
	rec := httptest.NewRecorder()
	w.http.ServeHTTP(rec, r)
	return went{rec.Code, rec.Header(), rec.Header().Get("Location"), rec.Body.String()}
}

const (
	authorizePath = "/federation/t1/authorize"
	logoutPath    = "/federation/t1/logout"
	parPath       = "/federation/t1/par"
)

// sorry checks that a page was shown and nothing begun.
func (g went) sorry(t testing.TB, status int) {
	t.Helper()
	if g.status != status || g.to != "" || !strings.HasPrefix(g.body, "sorry: ") {
		t.Errorf("got %d, Location %q, %q; want a page with %d", g.status, g.to, g.body, status)
	}
}

func TestNothingIsRedirectedBeforeTheAddressIsKnown(t *testing.T) {
	t.Parallel()
	twice := func(name, value string) url.Values {
		v := asking("rp")
		v.Add(name, value)
		return v
	}
	for name, v := range map[string]url.Values{
		"no client":                asking("-"),
		"unknown client":           asking("nobody"),
		"disabled client":          asking("off"),
		"a client of SAML":         asking("saml"),
		"client_id twice":          twice("client_id", "rp"),
		"redirect_uri twice":       twice("redirect_uri", frontBack),
		"no redirect_uri":          asking("rp", "redirect_uri", "-"),
		"empty redirect_uri":       asking("rp", "redirect_uri", ""),
		"another host":             asking("rp", "redirect_uri", "https://evil.example/cb"), // modelled on oidcc-ensure-registered-redirect-uri
		"a path more":              asking("rp", "redirect_uri", frontBack+"/more"),
		"a slash more":             asking("rp", "redirect_uri", frontBack+"/"),
		"a query more":             asking("rp", "redirect_uri", frontBack+"?x=1"),
		"upper case":               asking("rp", "redirect_uri", "https://RP.example.com/cb"),
		"a port":                   asking("rp", "redirect_uri", "https://rp.example.com:443/cb"),
		"user information":         asking("rp", "redirect_uri", "https://rp.example.com@evil.example/cb"),
		"dots":                     asking("rp", "redirect_uri", "https://rp.example.com/x/../cb"),
		"registered with fragment": asking("rp", "redirect_uri", "https://rp.example.com/cb#part"),
		"registered script":        asking("rp", "redirect_uri", "javascript:alert(1)//"),
		"registered data":          asking("rp", "redirect_uri", "data:text/html,x"),
		"unknown pushed":           asking("rp", "request_uri", "urn:ietf:params:oauth:request_uri:made-up"),
		"redirect_uri in an object": asking("rp", "redirect_uri", "-", // modelled on oidcc-ensure-request-object-with-redirect-uri
			"request", "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL3JwLmV4YW1wbGUuY29tL2NiIn0."),
	} {
		for _, method := range []string{"GET", "POST"} {
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				w := frontWorld()
				w.visit(method, authorizePath, v).sorry(t, http.StatusBadRequest)
				if len(w.core.asks) != 0 {
					t.Error("something was begun")
				}
			})
		}
	}
}

func TestErrorsGoToTheClient(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 5000)
	for name, c := range map[string]struct {
		client string
		change []string
		code   string
	}{
		"response_type missing":         {"rp", []string{"response_type", "-"}, "invalid_request"}, // modelled on oidcc-response-type-missing
		"response_type token":           {"rp", []string{"response_type", "token"}, "unsupported_response_type"},
		"response_type hybrid":          {"rp", []string{"response_type", "code id_token"}, "unsupported_response_type"},
		"id_token outside the profile":  {"rp", []string{"response_type", "id_token", "nonce", "n"}, "unsupported_response_type"},
		"response_mode fragment":        {"rp", []string{"response_mode", "fragment"}, "invalid_request"},
		"scope missing":                 {"rp", []string{"scope", "-"}, "invalid_scope"},
		"scope without openid":          {"rp", []string{"scope", "profile email"}, "invalid_scope"},
		"scope too long":                {"rp", []string{"scope", "openid " + long}, "invalid_scope"},
		"PKCE missing":                  {"rp", []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"}, // modelled on fapi2-security-profile-final-par-ensure-pkce-required
		"PKCE missing, public client":   {"public", []string{"code_challenge", "-", "code_challenge_method", "-"}, "invalid_request"},
		"PKCE plain":                    {"rp", []string{"code_challenge_method", "plain"}, "invalid_request"}, // modelled on fapi2-security-profile-final-par-plain-pkce-rejected
		"PKCE method missing":           {"rp", []string{"code_challenge_method", "-"}, "invalid_request"},
		"PKCE plain where none is due":  {"plain", []string{"code_challenge_method", "plain"}, "invalid_request"},
		"PKCE method alone":             {"plain", []string{"code_challenge", "-"}, "invalid_request"},
		"PKCE short":                    {"rp", []string{"code_challenge", "abc"}, "invalid_request"},
		"PKCE no base64url":             {"rp", []string{"code_challenge", strings.Repeat("=", 43)}, "invalid_request"},
		"prompt none and login":         {"rp", []string{"prompt", "none login"}, "invalid_request"},
		"prompt unknown":                {"rp", []string{"prompt", "create"}, "invalid_request"},
		"max_age negative":              {"rp", []string{"max_age", "-1"}, "invalid_request"},
		"max_age no number":             {"rp", []string{"max_age", "soon"}, "invalid_request"},
		"claims no JSON":                {"rp", []string{"claims", "{"}, "invalid_request"},
		"claims a list":                 {"rp", []string{"claims", "[]"}, "invalid_request"},
		"nonce too long":                {"rp", []string{"nonce", long}, "invalid_request"},
		"login_hint too long":           {"rp", []string{"login_hint", long}, "invalid_request"},
		"login_hint with a line end":    {"rp", []string{"login_hint", "a\nb"}, "invalid_request"},
		"request":                       {"rp", []string{"request", "a.b.c"}, "request_not_supported"},                            // modelled on oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported
		"request_uri":                   {"rp", []string{"request_uri", "https://rp.example.com/o"}, "request_uri_not_supported"}, // modelled on oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported
		"id_token_hint that is none":    {"rp", []string{"id_token_hint", "a.b.c"}, "invalid_request"},
		"must push":                     {"par", nil, "invalid_request"},
		"essential that nobody knows":   {"rp", []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"urn:what"}}}`}, "unmet_authentication_requirements"},
		"essential that is not allowed": {"narrow", []string{"claims", `{"id_token":{"acr":{"essential":true,"values":["/assurance/ial/2","/assurance/ial/3"]}}}`}, "unmet_authentication_requirements"},
		"essential beside the default":  {"held", []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"/assurance/ial/1"}}}`}, "unmet_authentication_requirements"},
		"sub that nobody is":            {"rp", []string{"claims", `{"id_token":{"sub":{"value":"who"}}}`}, "login_required"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := frontWorld()
			g := w.visit("GET", authorizePath, asking(c.client, c.change...))
			if g.status != http.StatusSeeOther || !strings.HasPrefix(g.to, frontBack+"?error=") {
				t.Fatalf("got %d to %q: %s", g.status, g.to, g.body)
			}
			if got := g.param(t, "error"); got != c.code {
				t.Errorf("error %q (%s), want %q", got, g.param(t, "error_description"), c.code)
			}
			if g.param(t, "state") != "s t/&=+" || g.param(t, "iss") != issuer || g.param(t, "error_description") == "" {
				t.Errorf("state, iss or description is not there: %s", g.to)
			}
			if len(w.core.asks) != 0 {
				t.Error("something was begun")
			}
		})
	}
}

func TestTwiceIsAnError(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"state", "scope", "nonce", "code_challenge", "prompt", "something"} {
		w, v := frontWorld(), asking("rp")
		v[name] = []string{"openid", "openid"}
		g := w.visit("GET", authorizePath, v)
		if g.param(t, "error") != "invalid_request" || g.param(t, "iss") != issuer {
			t.Errorf("%s twice: %d to %s", name, g.status, g.to)
		}
	}
	w, v := frontWorld(), asking("rp")
	v["resource"] = []string{"https://a.example", "https://b.example"} // RFC 8707 allows it
	if g := w.visit("GET", authorizePath, v); g.to != "/c/1" {
		t.Errorf("resource twice: %s", g.to)
	}
}

func TestAsk(t *testing.T) {
	t.Parallel()
	age := func(d time.Duration) *time.Duration { return &d }
	pick := func(acr ...string) []string { return acr }
	for name, c := range map[string]struct {
		client string
		change []string
		want   federation.Ask // Client, Tenant, ClientID, Protocol and State aside
	}{
		"nothing":                      {"rp", nil, federation.Ask{}},                                                                           // modelled on oidcc-ensure-request-without-nonce-succeeds-for-code-flow
		"unknown parameter":            {"rp", []string{"extra", "foobar"}, federation.Ask{}},                                                   // modelled on oidcc-ensure-request-with-unknown-parameter-succeeds
		"valid PKCE":                   {"plain", nil, federation.Ask{}},                                                                        // modelled on oidcc-ensure-request-with-valid-pkce-succeeds
		"no PKCE":                      {"plain", []string{"code_challenge", "-", "code_challenge_method", "-"}, federation.Ask{}},              // modelled on oidcc-server
		"all scopes":                   {"rp", []string{"scope", "address phone profile email openid offline_access"}, federation.Ask{}},        // modelled on oidcc-scope-all, oidcc-ensure-other-scope-order-succeeds
		"display page":                 {"rp", []string{"display", "page"}, federation.Ask{}},                                                   // modelled on oidcc-display-page
		"display popup":                {"rp", []string{"display", "popup"}, federation.Ask{}},                                                  // modelled on oidcc-display-popup
		"ui_locales":                   {"rp", []string{"ui_locales", "se"}, federation.Ask{}},                                                  // modelled on oidcc-ui-locales
		"claims_locales":               {"rp", []string{"claims_locales", "se"}, federation.Ask{}},                                              // modelled on oidcc-claims-locales
		"login_hint":                   {"rp", []string{"login_hint", "buffy@example.com"}, federation.Ask{Hint: "buffy@example.com"}},          // modelled on oidcc-login-hint
		"prompt login":                 {"rp", []string{"prompt", "login"}, federation.Ask{Fresh: true}},                                        // modelled on oidcc-prompt-login
		"prompt consent":               {"rp", []string{"prompt", "consent"}, federation.Ask{Fresh: true}},                                      //
		"prompt select_account, login": {"rp", []string{"prompt", "select_account login"}, federation.Ask{Fresh: true}},                         //
		"max_age 1":                    {"rp", []string{"max_age", "1"}, federation.Ask{MaxAge: age(time.Second)}},                              // modelled on oidcc-max-age-1
		"max_age 10000":                {"rp", []string{"max_age", "10000"}, federation.Ask{MaxAge: age(10000 * time.Second)}},                  // modelled on oidcc-max-age-10000
		"max_age 0":                    {"rp", []string{"max_age", "0"}, federation.Ask{MaxAge: age(0)}},                                        //
		"max_age without an end":       {"rp", []string{"max_age", "99999999999999999999999"}, federation.Ask{MaxAge: age(876000 * time.Hour)}}, //
		"acr_values":                   {"rp", []string{"acr_values", "urn:kosmoscope:acr:liveid /assurance/ial/2/"}, federation.Ask{ACR: pick(federation.ACRFace, "/assurance/ial/2/")}},
		"acr_values nobody knows":      {"rp", []string{"acr_values", "1 2"}, federation.Ask{}}, // modelled on oidcc-ensure-request-with-acr-values-succeeds
		"acr_values not allowed":       {"narrow", []string{"acr_values", "/assurance/ial/2 /assurance/ial/1/"}, federation.Ask{ACR: pick("/assurance/ial/1/")}},
		"acr_values twice the same":    {"rp", []string{"acr_values", "/assurance/ial/2 /assurance/ial/2/"}, federation.Ask{ACR: pick("/assurance/ial/2")}},
		"a scope of a level":           {"rp", []string{"scope", "openid /assurance/ial/2/ idv_flow_x"}, federation.Ask{ACR: pick("/assurance/ial/2/")}},
		"a scope after acr_values":     {"rp", []string{"scope", "openid /assurance/ial/1", "acr_values", federation.ACRFace}, federation.Ask{ACR: pick(federation.ACRFace, federation.ACRIAL1)}},
		"acr as a claim wins": {"rp", []string{"acr_values", federation.ACRFace, "claims", `{"id_token":{"acr":{"values":["/assurance/ial/3","/assurance/ial/2"]}}}`},
			federation.Ask{ACR: pick(federation.ACRIAL3, federation.ACRIAL2)}},
		"acr as an essential claim": {"rp", []string{"claims", `{"id_token":{"acr":{"essential":true,"value":"/assurance/ial/2"}}}`}, federation.Ask{ACR: pick(federation.ACRIAL2), Essential: true}},
		"acr_values are voluntary":  {"rp", []string{"acr_values", federation.ACRIAL2, "claims", `{"id_token":{"acr":{"essential":true}}}`}, federation.Ask{ACR: pick(federation.ACRIAL2)}},
		"held to its default":       {"held", []string{"acr_values", "/assurance/ial/1"}, federation.Ask{}},
		"held, and chooses":         {"held", []string{"acr_values", federation.ACRFace}, federation.Ask{ACR: pick(federation.ACRFace), Essential: true}},
		"proofing as a scope":       {"rp", []string{"scope", "openid identity_assurance"}, federation.Ask{Proofing: true}},
		"proofing as a claim": {"rp", []string{"claims", `{"userinfo":{"verified_claims":{"verification":{"trust_framework":null},"claims":{"given_name":null}}}}`},
			federation.Ask{Proofing: true}},
		"proofing with names is no comparison": {"rp", []string{"claims", `{"id_token":{"verified_claims":{"verification":{"trust_framework":null},"claims":{"given_name":{"value":"Ann"}}}}}`},
			federation.Ask{Proofing: true}},
		"Descope": {"descope", []string{"code_challenge", "-", "code_challenge_method", "-", "nonce", "n"}, federation.Ask{}},
	} {
		for _, method := range []string{"GET", "POST"} { // POST: modelled on oidcc-ensure-post-request-succeeds
			t.Run(name+" "+method, func(t *testing.T) {
				t.Parallel()
				w := frontWorld()
				g := w.visit(method, authorizePath, asking(c.client, c.change...))
				if g.status != http.StatusSeeOther || g.to != "/c/1" || !strings.Contains(g.header.Get("Set-Cookie"), "flow=sealed") {
					t.Fatalf("got %d to %q: %s", g.status, g.to, g.body)
				}
				a := w.core.lastAsk()
				if a.Client == nil || a.Client.ID != c.client || a.ClientID != c.client || a.Tenant != tenant || a.Protocol != federation.OIDC {
					t.Errorf("it does not say who asks: %+v", a)
				}
				if len(a.State) == 0 || !json.Valid(a.State) {
					t.Errorf("State is %q", a.State)
				}
				a.Client, a.Tenant, a.ClientID, a.Protocol, a.State = nil, "", "", "", nil
				got, _ := json.Marshal(a)
				want, _ := json.Marshal(c.want)
				if !bytes.Equal(got, want) {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

// answered has whoever comes be p1, by face, now.
func (w *world) answered(change ...func(*federation.Answer)) {
	a := &federation.Answer{
		Session: "s1", Subject: "p1", Sub: "pair-1", Matched: true, Identifier: "ann@example.com", AuthTime: w.clock.Now(),
		ACR: federation.ACRFace, Met: true, AMR: []string{"face"},
	}
	for _, c := range change {
		c(a)
	}
	w.core.begin = func(federation.Browser, federation.Ask) (federation.Step, error) {
		return federation.Step{Answer: a, Set: []federation.Cookie{{Name: "session", Value: "s1", Path: "/federation/t1"}}}, nil
	}
}

func TestHintsOnlyAsk(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	rp, _ := w.core.Client(tenant, "rp")
	w.core.pairwise(rp, "pair-1", "p1")
	signed := func(w *world, claims map[string]any) string {
		b, _ := json.Marshal(claims)
		s, err := w.keys.Sign(t.Context(), tenant, "ES256", "JWT", b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	old := signed(w, map[string]any{"iss": issuer, "aud": "rp", "sub": "pair-1", "exp": 1})     // expired does not matter
	if g := w.visit("GET", authorizePath, asking("rp", "id_token_hint", old)); g.to != "/c/1" { // modelled on oidcc-id-token-hint
		t.Fatalf("to %s", g.to)
	}
	if a := w.core.lastAsk(); a.HintSubject != "p1" || a.Hint != "" {
		t.Errorf("asks for %q, %q", a.HintSubject, a.Hint)
	}
	for name, token := range map[string]string{
		"of another issuer": signed(w, map[string]any{"iss": "https://evil.example", "aud": "rp", "sub": "pair-1"}),
		"of another tenant": signed(w, map[string]any{"iss": origin + "/federation/t2", "aud": "rp", "sub": "pair-1"}),
		"of another client": signed(w, map[string]any{"iss": issuer, "aud": []string{"other"}, "sub": "pair-1"}),
		"about nobody":      signed(w, map[string]any{"iss": issuer, "aud": "rp", "sub": "pair-2"}),
		"changed":           old[:len(old)-4] + "AAAA",
		"without aud":       signed(w, map[string]any{"iss": issuer, "sub": "pair-1"}),
	} {
		if g := w.visit("GET", authorizePath, asking("rp", "id_token_hint", token)); g.param(t, "error") != "invalid_request" {
			t.Errorf("%s: to %s", name, g.to)
		}
	}

	// Somebody else's face comes back.
	w.answered(func(a *federation.Answer) { a.Subject, a.Sub = "p2", "pair-9" })
	if g := w.visit("GET", authorizePath, asking("rp", "id_token_hint", old)); g.param(t, "error") != "login_required" || g.param(t, "code") != "" {
		t.Errorf("id_token_hint and another face: to %s", g.to)
	}
	claims := `{"id_token":{"sub":{"value":"pair-1"}}}`
	if g := w.visit("GET", authorizePath, asking("rp", "claims", claims)); g.param(t, "error") != "login_required" {
		t.Errorf("claims sub and another face: to %s", g.to)
	}
	w.answered()
	if g := w.visit("GET", authorizePath, asking("rp", "claims", claims)); g.param(t, "code") == "" {
		t.Errorf("claims sub and the right face: to %s", g.to)
	}
}

func TestStateIsUntouched(t *testing.T) {
	t.Parallel()
	all := make([]byte, 256)
	for i := range all {
		all[i] = byte(i)
	}
	for name, state := range map[string]string{
		"every byte": string(all), "4 KB": strings.Repeat("\xff", 4096), "nothing": "", "text": "ü&=?#%2F+ ", "HTML": `"><script>`,
	} {
		for _, redirect := range []string{frontBack, frontQuery, frontApp} {
			w := frontWorld()
			w.answered()
			g := w.visit("GET", authorizePath, asking("rp", "state", state, "redirect_uri", redirect))
			raw, ok := strings.CutPrefix(g.to, redirect)
			if !ok || len(raw) == 0 || raw[0] != '?' && raw[0] != '&' {
				t.Fatalf("%s: to %.200q", name, g.to)
			}
			v, err := url.ParseQuery(raw[1:])
			if err != nil || v.Get("state") != state || !v.Has("state") || v.Get("iss") != issuer || v.Get("code") == "" || len(v) != 3 {
				t.Errorf("%s: the answer is %.200q", name, raw)
			}
		}
	}
	w := frontWorld()
	w.answered()
	if g := w.visit("GET", authorizePath, asking("rp", "state", "-")); strings.Contains(g.to, "state=") {
		t.Errorf("a state that nobody sent: %s", g.to)
	}
	if g := w.visit("GET", authorizePath, asking("rp", "state", strings.Repeat("a", 4097))); g.param(t, "error") != "invalid_request" {
		t.Errorf("too long a state: %.200s", g.to)
	}
}

func TestBounds(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	w.visit("GET", authorizePath, asking("rp", "x", strings.Repeat("a", 17<<10))).sorry(t, http.StatusRequestURITooLong)
	w.visit("POST", authorizePath, asking("rp", "x", strings.Repeat("a", 65<<10))).sorry(t, http.StatusRequestEntityTooLarge)
	w.visit("POST", authorizePath, asking("rp", "x", strings.Repeat("a", 65<<10)), func(r *http.Request) { r.ContentLength = -1 }).sorry(t, http.StatusRequestEntityTooLarge)
	w.visit("POST", authorizePath, asking("rp"), func(r *http.Request) { r.Header.Set("Content-Type", "application/json") }).sorry(t, http.StatusBadRequest)
	w.visit("GET", "/federation/nobody/authorize", asking("rp")).sorry(t, http.StatusNotFound)
	if g := w.visit("HEAD", authorizePath, asking("rp")); g.status != http.StatusMethodNotAllowed {
		t.Errorf("HEAD: %d", g.status)
	}
	if g := w.visit("GET", authorizePath+"?%zz=1&x", nil); g.status != http.StatusBadRequest || g.to != "" {
		t.Errorf("no query: %d %s", g.status, g.to)
	}
	if len(w.core.asks) != 0 {
		t.Error("something was begun")
	}

	// However full a request is, its code fits.
	w.answered()
	claims := `{"userinfo":{"verified_claims":{"verification":{"trust_framework":null},"claims":{"given_name":{"value":"` + strings.Repeat("x1y2", 900) + `"}}}}}`
	g := w.visit("POST", authorizePath, asking("rp", "claims", claims, "nonce", strings.Repeat("n", 1024)))
	if code := g.param(t, "code"); code == "" || len(code) > 4096 {
		t.Errorf("a code of %d bytes: %.300s", len(code), g.to)
	}
	noise := url.QueryEscape(string(random(2800)))
	g = w.visit("POST", authorizePath, asking("rp", "claims", strings.Replace(claims, "x1y2x1y2", noise, 1)))
	if g.param(t, "error") != "invalid_request" {
		t.Errorf("more than fits: %.300s", g.to)
	}
}

func TestEndsOfARun(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	if g := w.visit("GET", authorizePath, asking("rp", "nonce", "n-1")); g.to != "/c/1" {
		t.Fatal(g.to)
	}
	ask := w.core.lastAsk()
	finish := func(a federation.Ask, answer *federation.Answer, err error) went {
		rec := httptest.NewRecorder()
		w.Finish(rec, httptest.NewRequest("GET", "/federation/t1/continue", nil), a, answer, err)
		return went{rec.Code, rec.Header(), rec.Header().Get("Location"), rec.Body.String()}
	}
	for _, c := range []struct {
		err  error
		code string
	}{
		{&proof.Error{Code: proof.CodeDenied, Message: "the person did not come through"}, "access_denied"},
		{&proof.Error{Code: proof.CodeLoginRequired}, "login_required"},
		{&proof.Error{Code: proof.CodeInteraction}, "interaction_required"},
		{&proof.Error{Code: proof.CodeUnmet}, "unmet_authentication_requirements"},
		{&proof.Error{Code: proof.CodeUnavailable, Message: "not “now” é\n"}, "temporarily_unavailable"},
		{&proof.Error{Code: proof.CodeRateLimited}, "temporarily_unavailable"},
		{&proof.Error{Code: proof.CodeUpstream}, "server_error"},
		{&proof.Error{Code: proof.CodeUpstream, Temporary: true}, "temporarily_unavailable"},
		{&proof.Error{Code: proof.CodeInternal, Message: "secret"}, "server_error"},
		{&proof.Error{Code: proof.CodeInvalid}, "invalid_request"},
		{&proof.Error{Code: proof.CodeForbidden}, "unauthorized_client"},
		{&proof.Error{Code: proof.CodeUnauthenticated}, "unauthorized_client"},
		{http.ErrBodyNotAllowed, "server_error"},
	} {
		g := finish(ask, nil, c.err)
		if g.param(t, "error") != c.code || g.param(t, "state") != "s t/&=+" || g.param(t, "iss") != issuer || g.param(t, "code") != "" {
			t.Errorf("%v: to %s", c.err, g.to)
		}
		if d := g.param(t, "error_description"); strings.Contains(d, "secret") || strings.ContainsAny(d, "\"\\\n") || strings.ContainsFunc(d, func(r rune) bool { return r > '~' }) {
			t.Errorf("%v says %q", c.err, d)
		}
	}

	good := federation.Answer{Session: "s1", Subject: "p1", Sub: "pair-1", Matched: true, AuthTime: w.clock.Now(), ACR: federation.ACRFace, Met: true}
	unmet := good
	unmet.Met = false
	essential := ask
	essential.Essential, essential.ACR = true, []string{federation.ACRIAL2}
	if g := finish(essential, &unmet, nil); g.param(t, "error") != "unmet_authentication_requirements" {
		t.Errorf("essential and not met: %s", g.to)
	}
	if g := finish(ask, &unmet, nil); g.param(t, "code") == "" {
		t.Errorf("voluntary and not met: %s", g.to)
	}
	if g := finish(ask, nil, nil); g.param(t, "error") != "server_error" {
		t.Errorf("no answer: %s", g.to)
	}
	nobody := good
	nobody.Session = ""
	if g := finish(ask, &nobody, nil); g.param(t, "error") != "server_error" {
		t.Errorf("no session: %s", g.to)
	}

	// The client's default is essential where nothing was asked.
	w.visit("GET", authorizePath, asking("held"))
	if g := finish(w.core.lastAsk(), &unmet, nil); g.param(t, "error") != "unmet_authentication_requirements" {
		t.Errorf("an essential default: %s", g.to)
	}

	// What was withdrawn meanwhile is not gone to.
	for name, c := range map[string]federation.Client{
		"disabled":         {ID: "rp", Disabled: true, OIDC: &federation.OIDCClient{RedirectURIs: []string{frontBack}}},
		"another address":  {ID: "rp", OIDC: &federation.OIDCClient{RedirectURIs: []string{"https://rp.example.com/new"}}},
		"another protocol": {ID: "rp", Protocol: federation.SAML, OIDC: &federation.OIDCClient{RedirectURIs: []string{frontBack}}},
	} {
		w.core.add(c)
		g := finish(ask, &good, nil)
		if g.to != "" || g.status != http.StatusBadRequest {
			t.Errorf("%s: %d to %s", name, g.status, g.to)
		}
		g = finish(ask, nil, &proof.Error{Code: proof.CodeDenied})
		g.sorry(t, http.StatusBadRequest)
	}
}
