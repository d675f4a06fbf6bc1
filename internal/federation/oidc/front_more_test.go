package oidc_test

import (
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"html"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Modelled on oidcc-discovery-endpoint-verification and
// oidcc-rp-initiated-logout-discovery-endpoint-verification.
func TestDiscovery(t *testing.T) {
	t.Parallel()
	w := frontWorld(func(o *oidc.Options) { o.PublicURL += "/" })
	g := w.visit("GET", "/federation/t1/.well-known/openid-configuration", nil)
	if g.status != http.StatusOK || g.header.Get("Content-Type") != "application/json" || g.header.Get("Access-Control-Allow-Origin") != "*" {
		t.Fatalf("got %d %v", g.status, g.header)
	}
	if other := w.visit("GET", "/.well-known/oauth-authorization-server/federation/t1", nil); other.body != g.body {
		t.Errorf("RFC 8414 says something else: %s", other.body)
	}
	var m map[string]any
	if err := json.Unmarshal([]byte(g.body), &m); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{
		"issuer":                                         issuer,
		"authorization_endpoint":                         issuer + "/authorize",
		"pushed_authorization_request_endpoint":          issuer + "/par",
		"token_endpoint":                                 issuer + "/token",
		"userinfo_endpoint":                              issuer + "/userinfo",
		"jwks_uri":                                       issuer + "/jwks",
		"end_session_endpoint":                           issuer + "/logout",
		"backchannel_authentication_endpoint":            issuer + "/bc-authorize",
		"claims_parameter_supported":                     true,
		"request_parameter_supported":                    false,
		"request_uri_parameter_supported":                false,
		"authorization_response_iss_parameter_supported": true,
		"verified_claims_supported":                      true,
		"require_pushed_authorization_requests":          false,
	} {
		if m[name] != want {
			t.Errorf("%s is %v, want %v", name, m[name], want)
		}
	}
	for name, want := range map[string][]string{
		"subject_types_supported":                    {"pairwise"},
		"code_challenge_methods_supported":           {"S256"},
		"backchannel_token_delivery_modes_supported": {"poll"},
		"id_token_signing_alg_values_supported":      {"ES256", "RS256"},
		"response_types_supported":                   {"code", "id_token"},
		"response_modes_supported":                   {"query", "form_post"},
		"evidence_supported":                         {"document"},
		"documents_supported":                        {"passport", "idcard", "driving_permit"},
	} {
		if got := texts(m[name]); !slices.Equal(got, want) {
			t.Errorf("%s is %v, want %v", name, got, want)
		}
	}
	for name, some := range map[string][]string{
		"scopes_supported":                      {"openid", "profile", "email", "phone", "identity_assurance", "offline_access", "/assurance/ial/2"},
		"acr_values_supported":                  {federation.ACRFace, federation.ACRProofing, federation.ACRIAL3},
		"claims_supported":                      {"sub", "acr", "amr", "auth_time", "verified_claims", "ial_level", "idv_status"},
		"claims_in_verified_claims_supported":   {"given_name", "family_name", "birthdate", "nationalities"},
		"trust_frameworks_supported":            {"nist_800_63A", "kosmoscope-embedded"},
		"token_endpoint_auth_methods_supported": {"client_secret_basic", "client_secret_post", "private_key_jwt", "none"},
		"grant_types_supported":                 {"authorization_code"},
		"prompt_values_supported":               {"none", "login"},
	} {
		for _, s := range some {
			if !slices.Contains(texts(m[name]), s) {
				t.Errorf("%s has no %s: %v", name, s, m[name])
			}
		}
	}
	for _, path := range []string{"/federation/who/.well-known/openid-configuration", "/federation/who/jwks", "/.well-known/oauth-authorization-server/federation/who"} {
		if g := w.visit("GET", path, nil); g.status != http.StatusNotFound {
			t.Errorf("%s: %d", path, g.status)
		}
	}
	// Every endpoint that it names is there.
	for name, v := range m {
		s, _ := v.(string)
		if path, ok := strings.CutPrefix(s, origin); ok && name != "issuer" {
			if g := w.visit("POST", path, nil); g.status == http.StatusNotFound {
				t.Errorf("%s is not there", name)
			}
		}
	}
	g = w.visit("GET", "/federation/t1/jwks", nil)
	var set struct{ Keys []map[string]any }
	if json.Unmarshal([]byte(g.body), &set) != nil || len(set.Keys) != 2 || set.Keys[0]["d"] != nil {
		t.Errorf("jwks: %d %s", g.status, g.body)
	}
	own := frontWorld(func(o *oidc.Options) {
		o.Frameworks = func(tenant string) []string { return []string{"of-" + tenant} }
	})
	if g := own.visit("GET", "/federation/t1/.well-known/openid-configuration", nil); !strings.Contains(g.body, `"trust_frameworks_supported":["of-t1"]`) {
		t.Errorf("trust frameworks: %s", g.body)
	}
}

func texts(v any) (out []string) {
	list, _ := v.([]any)
	for _, x := range list {
		s, _ := x.(string)
		out = append(out, s)
	}
	return out
}

var field = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)

// posted reads the form of the page of form_post.
func (g went) posted(t testing.TB) (action string, fields url.Values) {
	t.Helper()
	m := regexp.MustCompile(`<form method="post" action="([^"]*)"`).FindStringSubmatch(g.body)
	if g.status != http.StatusOK || m == nil {
		t.Fatalf("no form: %d to %q: %s", g.status, g.to, g.body)
	}
	fields = url.Values{}
	for _, f := range field.FindAllStringSubmatch(g.body, -1) {
		fields.Add(html.UnescapeString(f[1]), html.UnescapeString(f[2]))
	}
	return html.UnescapeString(m[1]), fields
}

func TestFormPost(t *testing.T) {
	t.Parallel()
	w := frontWorld()
	w.answered()
	state := `"><script>alert(1)</script>&amp;ü`
	g := w.visit("GET", authorizePath, asking("rp", "response_mode", "form_post", "state", state, "redirect_uri", frontQuery))
	action, fields := g.posted(t)
	if action != frontQuery || fields.Get("state") != state || fields.Get("iss") != issuer || fields.Get("code") == "" || len(fields) != 3 {
		t.Errorf("the form goes to %q with %v", action, fields)
	}
	if strings.Contains(g.body, "<b>") || !strings.Contains(g.body, "<button") {
		t.Errorf("the page: %s", g.body)
	}
	// Its policy lets its own script run and no other.
	policy := g.header.Get("Content-Security-Policy")
	scripts := regexp.MustCompile(`(?s)<script[^>]*>(.*?)</script>`).FindAllStringSubmatch(g.body, -1)
	if len(scripts) != 1 {
		t.Fatalf("%d scripts: %s", len(scripts), g.body)
	}
	style := regexp.MustCompile(`(?s)<style>(.*?)</style>`).FindStringSubmatch(g.body)
	for kind, text := range map[string]string{"script-src": scripts[0][1], "style-src": style[1]} {
		sum := sha256.Sum256([]byte(text))
		if !strings.Contains(policy, kind+" 'sha256-"+base64.StdEncoding.EncodeToString(sum[:])+"'") {
			t.Errorf("%s does not fit: %s", kind, policy)
		}
	}
	if strings.Contains(policy, "unsafe") || !strings.Contains(policy, "default-src 'none'") || g.header.Get("Cache-Control") != "no-store" {
		t.Errorf("headers: %v", g.header)
	}
	// An error comes the same way.
	_, fields = w.visit("GET", authorizePath, asking("rp", "response_mode", "form_post", "scope", "email")).posted(t)
	if fields.Get("error") != "invalid_scope" || fields.Get("iss") != issuer {
		t.Errorf("an error: %v", fields)
	}
	// What a form would change is refused, and an app gets a redirect.
	_, fields = w.visit("GET", authorizePath, asking("rp", "response_mode", "form_post", "state", "a\r\nb")).posted(t)
	if fields.Get("error") != "invalid_request" || fields.Has("state") {
		t.Errorf("a state with line ends: %v", fields)
	}
	if g := w.visit("GET", authorizePath, asking("rp", "response_mode", "form_post", "redirect_uri", frontApp)); !strings.HasPrefix(g.to, frontApp+"?code=") {
		t.Errorf("an app: %d to %s", g.status, g.to)
	}
}

func TestSessionAnswersAtOnce(t *testing.T) { // modelled on oidcc-prompt-none-logged-in
	t.Parallel()
	w := frontWorld()
	w.answered()
	g := w.visit("GET", authorizePath, asking("rp", "prompt", "none"))
	if g.param(t, "code") == "" || !strings.Contains(g.header.Get("Set-Cookie"), "session=s1") || g.header.Get("Cache-Control") != "no-store" {
		t.Errorf("to %s, %v", g.to, g.header)
	}
	again := w.visit("GET", authorizePath, asking("rp", "prompt", "none"))
	if again.param(t, "code") == g.param(t, "code") {
		t.Error("the same code twice")
	}
	if a := w.core.lastAsk(); !a.Silent || a.Fresh {
		t.Errorf("asks %+v", a)
	}
	// Modelled on oidcc-prompt-none-not-logged-in.
	w.core.begin = nil // it would show something
	if g := w.visit("GET", authorizePath, asking("rp", "prompt", "none")); g.param(t, "error") != "interaction_required" || g.header.Get("Set-Cookie") != "" {
		t.Errorf("shown, though nothing may be: to %s", g.to)
	}
	w.core.begin = func(_ federation.Browser, a federation.Ask) (federation.Step, error) {
		return federation.Step{}, &proof.Error{Code: proof.CodeLoginRequired, Message: "nobody is signed in"}
	}
	if g := w.visit("GET", authorizePath, asking("rp", "prompt", "none")); g.param(t, "error") != "login_required" || g.param(t, "state") != "s t/&=+" {
		t.Errorf("nobody: to %s", g.to)
	}
}

func TestLogout(t *testing.T) {
	t.Parallel()
	signed := func(w *world, change ...func(map[string]any)) string {
		claims := map[string]any{"iss": issuer, "aud": "rp", "sub": "pair-1", "sid": "s1", "exp": 1}
		for _, c := range change {
			c(claims)
		}
		b, _ := json.Marshal(claims)
		s, err := w.keys.Sign(t.Context(), tenant, "ES256", "JWT", b)
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	session := func(id string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: id}) }
	}
	set := func(name string, v any) func(map[string]any) { return func(m map[string]any) { m[name] = v } }

	for _, method := range []string{"GET", "POST"} {
		w := frontWorld()
		hint := signed(w)
		// Modelled on oidcc-rp-initiated-logout and ...-no-state.
		g := w.visit(method, logoutPath, with("id_token_hint", hint, "post_logout_redirect_uri", frontLeft, "state", "a b\xff"), session("s1"))
		if g.to != frontLeft+"?state=a+b%FF" || g.status != http.StatusSeeOther || !strings.Contains(g.header.Get("Set-Cookie"), "Max-Age=0") {
			t.Errorf("%s: %d to %s", method, g.status, g.to)
		}
		if g := w.visit(method, logoutPath, with("id_token_hint", hint, "post_logout_redirect_uri", frontLeft), session("s1")); g.to != frontLeft {
			t.Errorf("%s without state: to %s", method, g.to)
		}
		// Modelled on oidcc-rp-initiated-logout-no-post-logout-redirect-uri and ...-only-state.
		w.visit(method, logoutPath, with("id_token_hint", hint, "state", "x"), session("s1")).sorry(t, http.StatusOK)
		// A browser that kept its cookies back (SameSite): the hint says enough.
		if g := w.visit(method, logoutPath, with("id_token_hint", hint, "post_logout_redirect_uri", frontLeft)); g.to != frontLeft {
			t.Errorf("%s without cookies: to %s", method, g.to)
		}
		if !slices.Equal(w.core.ended, []string{"s1", "s1", "s1", "s1"}) || len(w.asked) != 0 {
			t.Errorf("%s: ended %v, asked %v", method, w.core.ended, w.asked)
		}
	}

	for name, v := range map[string]func(w *world) url.Values{
		"bad post_logout_redirect_uri": func(w *world) url.Values { // modelled on oidcc-rp-initiated-logout-bad-post-logout-redirect-uri
			return with("id_token_hint", signed(w), "post_logout_redirect_uri", "https://evil.example")
		},
		"a query more": func(w *world) url.Values { // modelled on oidcc-rp-initiated-logout-query-added-to-post-logout-redirect-uri
			return with("id_token_hint", signed(w), "post_logout_redirect_uri", frontLeft+"?x=1")
		},
		"a registered script": func(w *world) url.Values {
			return with("id_token_hint", signed(w), "post_logout_redirect_uri", "javascript:alert(2)")
		},
		"bad hint": func(*world) url.Values { // modelled on oidcc-rp-initiated-logout-bad-id-token-hint
			return with("id_token_hint", "nonsense", "client_id", "rp", "post_logout_redirect_uri", frontLeft)
		},
		"modified hint": func(w *world) url.Values { // modelled on oidcc-rp-initiated-logout-modified-id-token-hint
			h := signed(w)
			return with("id_token_hint", h[:len(h)-6]+"AAAAAA", "post_logout_redirect_uri", frontLeft)
		},
		"another issuer's hint": func(w *world) url.Values {
			return with("id_token_hint", signed(w, set("iss", "https://evil.example")), "post_logout_redirect_uri", frontLeft)
		},
		"another client's hint": func(w *world) url.Values {
			return with("id_token_hint", signed(w, set("aud", "other")), "client_id", "rp", "post_logout_redirect_uri", frontLeft)
		},
		"no parameters":    func(*world) url.Values { return url.Values{} },
		"an address alone": func(*world) url.Values { return with("post_logout_redirect_uri", frontLeft) },
		"unknown client":   func(*world) url.Values { return with("client_id", "who", "post_logout_redirect_uri", frontLeft) },
		"twice":            func(w *world) url.Values { return url.Values{"id_token_hint": {signed(w), signed(w)}} },
		"bad address, asking": func(*world) url.Values {
			return with("client_id", "rp", "post_logout_redirect_uri", "https://evil.example")
		},
	} {
		w := frontWorld()
		w.visit("GET", logoutPath, v(w), session("s1")).sorry(t, http.StatusBadRequest)
		if len(w.core.ended) != 0 || len(w.asked) != 0 {
			t.Errorf("%s: ended %v, asked %v", name, w.core.ended, w.asked)
		}
	}
}

func TestLogoutAsks(t *testing.T) {
	t.Parallel()
	session := func(id string) func(*http.Request) {
		return func(r *http.Request) { r.AddCookie(&http.Cookie{Name: "session", Value: id}) }
	}
	ask := func(t *testing.T, w *world, v url.Values, id string) url.Values {
		t.Helper()
		g := w.visit("GET", logoutPath, v, session(id))
		if g.status != http.StatusOK || g.to != "" || len(w.asked) != 1 || len(w.core.ended) != 0 {
			t.Fatalf("%d to %q, asked %v, ended %v", g.status, g.to, w.asked, w.core.ended)
		}
		a := w.asked[0]
		if a.action != logoutPath || a.say == "" {
			t.Errorf("it asks %+v", a)
		}
		out := url.Values{}
		for name, v := range a.fields {
			out.Set(name, v)
		}
		return out
	}
	plain := with("client_id", "rp", "post_logout_redirect_uri", frontLeft, "state", "s") // modelled on oidcc-rp-initiated-logout-no-id-token-hint

	w := frontWorld()
	form := ask(t, w, plain, "s1")
	if g := w.visit("POST", logoutPath, form, session("s1")); g.to != frontLeft+"?state=s" || !slices.Equal(w.core.ended, []string{""}) {
		t.Errorf("yes: %d to %s, ended %v", g.status, g.to, w.core.ended)
	}

	w = frontWorld(func(o *oidc.Options) {
		o.Leave = func(rw http.ResponseWriter, _ *http.Request, application, to string) {
			rw.Write([]byte(application + " " + to))
		}
	})
	form = ask(t, w, plain, "s1")
	if g := w.visit("POST", logoutPath, form, session("s1")); g.to != "" || g.body != "Shop <b> "+frontLeft+"?state=s" {
		t.Errorf("yes, by a page: %d to %s: %s", g.status, g.to, g.body)
	}

	// A hint of another session of the same client ends neither.
	w = frontWorld()
	b, _ := json.Marshal(map[string]any{"iss": issuer, "aud": "rp", "sub": "pair-1", "sid": "s2"})
	hint, err := w.keys.Sign(t.Context(), tenant, "ES256", "JWT", b)
	if err != nil {
		t.Fatal(err)
	}
	form = ask(t, w, with("id_token_hint", hint, "post_logout_redirect_uri", frontLeft), "s1")
	w.visit("POST", logoutPath, form, session("s1"))
	if !slices.Equal(w.core.ended, []string{""}) {
		t.Errorf("another's hint: ended %v", w.core.ended)
	}

	for name, change := range map[string]func(w *world, form url.Values) []func(*http.Request){
		"another browser": func(*world, url.Values) []func(*http.Request) { return []func(*http.Request){session("s9")} },
		"no cookie":       func(*world, url.Values) []func(*http.Request) { return nil },
		"another site": func(*world, url.Values) []func(*http.Request) {
			return []func(*http.Request){session("s1"), func(r *http.Request) { r.Header.Set("Sec-Fetch-Site", "cross-site") }}
		},
		"too late": func(w *world, _ url.Values) []func(*http.Request) {
			w.clock.Advance(16 * time.Minute)
			return []func(*http.Request){session("s1")}
		},
		"made up": func(_ *world, form url.Values) []func(*http.Request) {
			form.Set("confirm", "AAAA")
			return []func(*http.Request){session("s1")}
		},
		"withdrawn": func(w *world, _ url.Values) []func(*http.Request) {
			w.core.add(federation.Client{ID: "rp", OIDC: &federation.OIDCClient{}})
			return []func(*http.Request){session("s1")}
		},
	} {
		w := frontWorld()
		form := ask(t, w, plain, "s1")
		w.visit("POST", logoutPath, form, change(w, form)...).sorry(t, http.StatusBadRequest)
		if len(w.core.ended) != 0 {
			t.Errorf("%s: ended %v", name, w.core.ended)
		}
	}

	silent := frontWorld(func(o *oidc.Options) { o.Confirm = nil })
	silent.visit("GET", logoutPath, plain, session("s1")).sorry(t, http.StatusBadRequest)
}
