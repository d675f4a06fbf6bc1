package federation_test

import (
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/test/world"
)

// The names in this file are those of modules of the OpenID Foundation's conformance
// suite (repository openid-certification/conformance-suite, testName), of its plans
// oidcc-basic-certification-test-plan, oidcc-config-certification-test-plan and
// ekyc-test-plan-oidccore, and of the parts about PAR of its FAPI 2.0 plan, which is
// where it tests PAR. Each test was written from what its module says that it checks.
// They are modelled on the suite; it was not run, and nothing here is a certification.

// notApplicable are modules of those plans that are not here, and why. Besides them,
// the FAPI 2.0 plan has others about mTLS, DPoP, JARM and request objects, of which
// there are none.
var notApplicable = map[string]string{
	"oidcc-idtoken-unsigned":    "needs a client that registers itself for ID tokens without a signature; there is no dynamic registration, and no alg none",
	"oidcc-codereuse-30seconds": "as oidcc-codereuse, half a minute later: that the access token is revoked is tested there, and the time in package oidc, where it is injected",

	"fapi2-security-profile-final-par-ensure-reused-request-uri-prior-to-auth-completion-succeeds":          "a rule of FAPI 2.0; RFC 9126 section 4 has a request_uri used once, and so do we from when the browser brings it",
	"fapi2-security-profile-final-par-attempt-to-use-expired-request_uri":                                   "waits for a minute: tested in package oidc, where time is injected",
	"fapi2-security-profile-final-par-ensure-jwt-client-assertions-nbf-8-seconds-in-the-future-is-accepted": "a rule of FAPI 2.0, not of PAR",
	"fapi2-security-profile-final-par-ensure-request-object-signature-algorithm-is-not-none":                "there are no request objects",
	"fapi2-security-profile-final-par-test-par-endpoint-url-as-audience-fails":                              "a rule of FAPI 2.0; RFC 9126 section 2 wants the issuer, the token and the PAR endpoint taken for it",
	"fapi2-security-profile-final-par-test-token-endpoint-url-as-audience-fails":                            "the same",
	"fapi2-security-profile-final-par-test-array-as-audience-fails":                                         "the same",
	"ekyc-server-long-purpose-invalid-request":                                                              "purpose was in drafts of OpenID Connect for Identity Assurance, and is not in the final one (eKYC-IDA issue 1430): it is ignored, as what is unknown has to be",
	"ekyc-server-short-purpose-invalid-request":                                                             "the same",
	"fapi2-security-profile-final-par-authorization-request-containing-request_uri":                         "in a request object, which there is none of; as a form parameter it is here",
}

// TestConformanceNotApplicable has the others show up among the results.
func TestConformanceNotApplicable(t *testing.T) {
	t.Parallel()
	for name, why := range notApplicable {
		t.Run(name, func(t *testing.T) { t.Skip(why) })
	}
}

// TestConformanceBasic is modelled on Basic OP and Config OP.
func TestConformanceBasic(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	o := newOP(t, w, basic, person(t, w))
	// One browser shows document and face once; then its session answers.
	first := o.tokens()
	for name, module := range map[string]func(*op){
		"oidcc-server": func(o *op) {
			x := o.tokens()
			if x.claims["iss"] != issuer(w) || x.claims["aud"] != basic || x.claims["nonce"] != o.nonce || x.claims["sub"] != first.claims["sub"] {
				o.t.Errorf("claims %v", x.claims)
			}
			o.userinfo(x)
		},
		"oidcc-server-client-secret-post": func(o *op) {
			in := url.Values{"grant_type": {"authorization_code"}, "code": {o.code()}, "redirect_uri": {elsewhere}, "client_id": {basic}, "client_secret": {secretOf(basic)}}
			o.checked(o.send(o.request(http.MethodPost, "/token", in)))
		},
		"oidcc-response-type-missing": func(o *op) {
			if got := o.ask("response_type", "-").Get("error"); got != "invalid_request" && got != "unsupported_response_type" {
				o.t.Errorf("error %q", got)
			}
		},
		"oidcc-idtoken-signature": func(o *op) {
			x := o.tokens()
			set := o.send(o.request(http.MethodGet, "/jwks", nil))
			if x.kid == "" || x.alg != "ES256" || !strings.Contains(string(set.body), `"`+x.kid+`"`) {
				o.t.Errorf("signed with %s by %q, of the keys %s", x.alg, x.kid, set.body)
			}
			if strings.Contains(string(set.body), `"d"`) || strings.Contains(string(set.body), `"oct"`) {
				o.t.Error("the JWKS holds what is no public key")
			}
		},
		"oidcc-userinfo-get": func(o *op) { o.userinfo(o.tokens()) },
		"oidcc-userinfo-post-header": func(o *op) {
			x := o.tokens()
			req := o.request(http.MethodPost, "/userinfo", nil)
			req.Header.Set("Authorization", "Bearer "+x.access)
			o.told(x, o.send(req))
		},
		"oidcc-userinfo-post-body": func(o *op) {
			x := o.tokens()
			o.told(x, o.send(o.request(http.MethodPost, "/userinfo", url.Values{"access_token": {x.access}})))
		},
		"oidcc-ensure-request-without-nonce-succeeds-for-code-flow": func(o *op) {
			if x := o.tokens("nonce", "-"); x.claims["nonce"] != nil {
				o.t.Errorf("nonce %v, which nobody sent", x.claims["nonce"])
			}
		},
		"oidcc-scope-profile": func(o *op) {
			if info := o.userinfo(o.tokens("scope", "openid profile")); info["given_name"] == nil || info["family_name"] == nil || info["birthdate"] == nil {
				o.t.Errorf("profile %v", info)
			}
		},
		"oidcc-scope-email": func(o *op) {
			if info := o.userinfo(o.tokens("scope", "openid email")); info["email"] != nil || info["given_name"] != nil { // after a proofing there is none
				o.t.Errorf("email %v", info)
			}
		},
		"oidcc-scope-address": func(o *op) { o.userinfo(o.tokens("scope", "openid address")) },
		"oidcc-scope-phone":   func(o *op) { o.userinfo(o.tokens("scope", "openid phone")) },
		"oidcc-scope-all":     func(o *op) { o.userinfo(o.tokens("scope", "openid profile email address phone")) },
		"oidcc-ensure-other-scope-order-succeeds": func(o *op) {
			o.userinfo(o.tokens("scope", "profile email openid"))
		},
		"oidcc-display-page":  func(o *op) { o.tokens("display", "page") },
		"oidcc-display-popup": func(o *op) { o.tokens("display", "popup") },
		"oidcc-prompt-none-not-logged-in": func(o *op) {
			o.p = person(o.t, w)
			o.refusedWith("login_required", "prompt", "none")
			if len(o.p.Saw) > 0 {
				o.t.Errorf("the person was shown %v", o.p.Saw)
			}
		},
		"oidcc-prompt-none-logged-in": func(o *op) {
			x := o.tokens("prompt", "none")
			if x.claims["sub"] != first.claims["sub"] || x.claims["auth_time"] != first.claims["auth_time"] {
				o.t.Errorf("sub and auth_time of %v, want those of %v", x.claims, first.claims)
			}
		},
		"oidcc-max-age-10000": func(o *op) {
			if x := o.tokens("max_age", "10000"); x.claims["auth_time"] != first.claims["auth_time"] {
				o.t.Errorf("auth_time %v, want %v", x.claims["auth_time"], first.claims["auth_time"])
			}
		},
		"oidcc-ensure-request-with-unknown-parameter-succeeds": func(o *op) { o.tokens("extra", "foobar") },
		"oidcc-id-token-hint": func(o *op) {
			if x := o.tokens("prompt", "none", "id_token_hint", first.raw); x.claims["sub"] != first.claims["sub"] || x.claims["auth_time"] != first.claims["auth_time"] {
				o.t.Errorf("sub and auth_time of %v, want those of %v", x.claims, first.claims)
			}
		},
		"oidcc-ui-locales":     func(o *op) { o.tokens("ui_locales", "se fr de") },
		"oidcc-claims-locales": func(o *op) { o.tokens("claims_locales", "se fr de") },
		"oidcc-ensure-request-with-acr-values-succeeds": func(o *op) {
			if x := o.tokens("acr_values", "urn:nobody:knows "+proofingACR); x.claims["acr"] != proofingACR {
				o.t.Errorf("acr %v", x.claims["acr"])
			}
			o.tokens("acr_values", "1 2") // unknown ones must not be an error
		},
		"oidcc-codereuse": func(o *op) {
			code := o.code()
			x := o.checked(o.redeem(code))
			if again := o.redeem(code); again.status != http.StatusBadRequest || again.json["error"] != "invalid_grant" {
				o.t.Errorf("the second time: %d %s", again.status, again.body)
			}
			req := o.request(http.MethodGet, "/userinfo", nil)
			req.Header.Set("Authorization", "Bearer "+x.access)
			if r := o.send(req); r.status != http.StatusUnauthorized {
				o.t.Errorf("the token of a code that was used twice opens userinfo: %d", r.status)
			}
		},
		"oidcc-ensure-registered-redirect-uri": func(o *op) {
			for _, bad := range []string{elsewhere + "/more", elsewhere + "?more=1", "https://evil.example/callback", "http://rp.example/callback", elsewhere + "/", "javascript:alert(1)"} {
				o.stopped(o.params("redirect_uri", bad))
			}
		},
		"oidcc-ensure-redirect-uri-in-authorization-request": func(o *op) { o.stopped(o.params("redirect_uri", "-")) },
		"oidcc-ensure-post-request-succeeds": func(o *op) {
			q := o.params()
			at, err := o.p.Send(o.request(http.MethodPost, "/authorize", q), elsewhere)
			if err != nil {
				o.t.Fatal(err)
			}
			o.checked(o.redeem(o.back(q, at).Get("code")))
		},
		"oidcc-request-uri-unsigned-supported-correctly-or-rejected-as-unsupported": func(o *op) {
			got := o.visit(o.params("request_uri", "https://rp.example/request.jwt"))
			if e := got.Params().Get("error"); got.Home && e != "request_uri_not_supported" && e != "invalid_request_uri" || !got.Home && got.Status < 400 {
				o.t.Errorf("%s, %d %s", e, got.Status, got.Text)
			}
		},
		"oidcc-unsigned-request-object-supported-correctly-or-rejected-as-unsupported": func(o *op) {
			o.refusedWith("request_not_supported", "request", "eyJhbGciOiJub25lIn0.eyJzdGF0ZSI6Im90aGVyIn0.")
		},
		"oidcc-ensure-request-object-with-redirect-uri": func(o *op) {
			// One that names another address: neither that one nor the request in the query may win.
			o.refusedWith("request_not_supported", "request", "eyJhbGciOiJub25lIn0.eyJyZWRpcmVjdF91cmkiOiJodHRwczovL2V2aWwuZXhhbXBsZSJ9.")
		},
		"oidcc-claims-essential": func(o *op) {
			x := o.tokens("claims", `{"userinfo":{"name":{"essential":true}}}`)
			if info := o.userinfo(x); info["name"] == nil || x.claims["name"] != nil {
				o.t.Errorf("userinfo %v, ID token %v", info, x.claims)
			}
		},
		"oidcc-refresh-token": func(o *op) {
			o.p = person(o.t, w) // prompt=consent has the person show everything again
			x := o.tokens("scope", "openid offline_access", "prompt", "consent")
			if x.refresh == "" {
				o.t.Fatal("no refresh token")
			}
			r := o.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {x.refresh}})
			if access := str(r.json["access_token"]); r.status != http.StatusOK || access == "" || access == x.access {
				o.t.Fatalf("refreshed: %d %s", r.status, r.body)
			}
			again := o.checked(r)
			for _, name := range []string{"iss", "sub", "aud", "auth_time"} {
				if again.claims[name] != x.claims[name] {
					o.t.Errorf("%s is %v, was %v", name, again.claims[name], x.claims[name])
				}
			}
			// Another client must not be able to use it.
			other := newOP(o.t, w, foreign, o.p)
			if r := other.post("/token", url.Values{"grant_type": {"refresh_token"}, "refresh_token": {str(r.json["refresh_token"])}}); r.status < 400 {
				o.t.Errorf("another client refreshed: %d", r.status)
			}
		},
		"oidcc-ensure-request-with-valid-pkce-succeeds": func(o *op) {
			verifier := random() + random() + random()
			code := o.code("code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
			o.checked(o.redeem(code, "code_verifier", verifier))
			code = o.code("code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
			if r := o.redeem(code, "code_verifier", random()+random()); r.json["error"] != "invalid_grant" {
				o.t.Errorf("another verifier: %d %s", r.status, r.body)
			}
			code = o.code("code_challenge", challengeOf(verifier), "code_challenge_method", "S256")
			if r := o.redeem(code); r.json["error"] != "invalid_grant" && r.json["error"] != "invalid_request" {
				o.t.Errorf("no verifier: %d %s", r.status, r.body)
			}
		},
		"oidcc-discovery-endpoint-verification": discovery,
	} {
		t.Run(name, func(t *testing.T) { module(o.as(t)) })
	}

	// The rest have their person show something again.
	t.Run("oidcc-prompt-login", func(t *testing.T) {
		o := newOP(t, w, basic, person(t, w))
		first := o.tokens()
		later(t, first.claims)
		saw := len(o.p.Saw)
		x := o.tokens("prompt", "login")
		if len(o.p.Saw) == saw || number(x.claims["auth_time"]) <= number(first.claims["auth_time"]) {
			t.Errorf("saw %v; auth_time %v, then %v", o.p.Saw, first.claims["auth_time"], x.claims["auth_time"])
		}
	})
	t.Run("oidcc-max-age-1", func(t *testing.T) {
		o := newOP(t, w, basic, person(t, w))
		first := o.tokens()
		later(t, first.claims)
		saw := len(o.p.Saw)
		x := o.tokens("max_age", "1")
		if at := number(x.claims["auth_time"]); len(o.p.Saw) == saw || at <= number(first.claims["auth_time"]) || time.Since(time.Unix(at, 0)) > 5*time.Minute {
			t.Errorf("saw %v; auth_time %v, then %v", o.p.Saw, first.claims["auth_time"], x.claims["auth_time"])
		}
	})
	t.Run("oidcc-login-hint", func(t *testing.T) {
		o := newOP(t, w, basic, person(t, w))
		o.p.Account = enrolled(t, w, "login-hint")
		if x := o.tokens("login_hint", o.p.Account); !slices.Contains(o.p.Saw, "authenticator") {
			t.Errorf("saw %v, then %v", o.p.Saw, x.claims)
		}
	})
}

// later returns two seconds after auth_time: what is told in whole seconds changes no
// sooner, and max_age=1 is over then.
func later(t *testing.T, claims fields) {
	t.Helper()
	select {
	case <-t.Context().Done():
	case <-time.After(time.Until(time.Unix(number(claims["auth_time"]), 0).Add(2200 * time.Millisecond))):
	}
}

func number(v any) int64 {
	f, _ := v.(float64)
	return int64(f)
}

// discovery is oidcc-discovery-endpoint-verification, but for HTTPS, which is the
// operator's PUBLIC_URL.
func discovery(o *op) {
	t := o.t
	d := o.send(o.request(http.MethodGet, "/.well-known/openid-configuration", nil)).json
	if d["issuer"] != issuer(o.w) || d["claims_parameter_supported"] != true || d["request_uri_parameter_supported"] != false {
		t.Errorf("metadata %v", d)
	}
	for name, want := range map[string]string{
		"scopes_supported": "openid", "response_types_supported": "code", "subject_types_supported": "pairwise",
		"id_token_signing_alg_values_supported": "RS256", "code_challenge_methods_supported": "S256",
		"token_endpoint_auth_methods_supported": "private_key_jwt", "acr_values_supported": faceACR, "claims_supported": "verified_claims",
	} {
		list, _ := d[name].([]any)
		if !slices.Contains(list, any(want)) {
			t.Errorf("%s is %v, without %s", name, d[name], want)
		}
	}
	for _, name := range []string{"authorization_endpoint", "token_endpoint", "userinfo_endpoint", "jwks_uri", "pushed_authorization_request_endpoint", "end_session_endpoint"} {
		if u, err := url.Parse(str(d[name])); err != nil || !strings.HasPrefix(u.String(), issuer(o.w)+"/") || u.Fragment != "" {
			t.Errorf("%s is %v", name, d[name])
		}
	}
	set := o.send(o.request(http.MethodGet, "/jwks", nil))
	list, _ := set.json["keys"].([]any)
	seen := map[any]bool{}
	for _, k := range list {
		key, _ := k.(fields)
		if key["kid"] == nil || seen[key["kid"]] || key["use"] != "sig" && key["key_ops"] == nil {
			t.Errorf("a key %v, without a kid of its own or a use", key)
		}
		seen[key["kid"]] = true
	}
	if set.status != http.StatusOK || len(list) == 0 {
		t.Errorf("JWKS: %d %s", set.status, set.body)
	}
}

// TestConformancePAR is modelled on what the suite's FAPI 2.0 plan checks of RFC 9126.
func TestConformancePAR(t *testing.T) {
	t.Parallel()
	w := shared.open(t)
	o := newOP(t, w, basic, person(t, w))
	o.tokens()
	pushed := func(o *op, changes ...string) string {
		o.t.Helper()
		r := o.post("/par", o.params(changes...))
		uri := str(r.json["request_uri"])
		if r.status != http.StatusCreated || !strings.HasPrefix(uri, "urn:ietf:params:oauth:request_uri:") || number(r.json["expires_in"]) != 60 {
			o.t.Fatalf("PAR: %d %s", r.status, r.body)
		}
		return uri
	}
	use := func(o *op, uri string, changes ...string) *world.Arrival {
		o.t.Helper()
		q := url.Values{"client_id": {o.client}, "request_uri": {uri}}
		for i := 0; i < len(changes); i += 2 {
			q.Set(changes[i], changes[i+1])
		}
		return o.visit(q)
	}
	const plan = "fapi2-security-profile-final-"
	for name, module := range map[string]func(*op){
		plan + "par-without-duplicate-parameters": func(o *op) {
			at := use(o, pushed(o))
			o.checked(o.redeem(at.Params().Get("code")))
		},
		plan + "par-attempt-reuse-request_uri": func(o *op) {
			uri := pushed(o)
			use(o, uri)
			if at := use(o, uri); at.Params().Get("code") != "" || at.Home && at.Params().Get("error") == "" {
				o.t.Errorf("the second time: %s", at.URL)
			}
		},
		plan + "par-attempt-to-use-request_uri-for-different-client": func(o *op) {
			uri := pushed(o)
			if at := use(newOP(o.t, w, foreign, o.p), uri); at.Home || at.Status < 400 {
				o.t.Errorf("another client: %d %s", at.Status, at.URL)
			}
		},
		plan + "par-authorization-request-containing-request_uri-form-param": func(o *op) {
			if r := o.post("/par", o.params("request_uri", "urn:ietf:params:oauth:request_uri:x")); r.status != http.StatusBadRequest || r.json["error"] != "invalid_request" {
				o.t.Errorf("%d %s", r.status, r.body)
			}
		},
		plan + "par-attempt-invalid-http-method": func(o *op) {
			if r := o.send(o.request(http.MethodGet, "/par?"+o.params().Encode(), nil)); r.status != http.StatusMethodNotAllowed {
				o.t.Errorf("GET: %d %s", r.status, r.body)
			}
		},
		plan + "par-attempt-invalid-redirect_uri": func(o *op) {
			if r := o.post("/par", o.params("redirect_uri", "https://evil.example/")); r.status != http.StatusBadRequest || r.json["error"] != "invalid_request" {
				o.t.Errorf("%d %s", r.status, r.body)
			}
		},
		plan + "ensure-unsigned-authorization-request-without-using-par-fails": func(o *op) {
			q := newOP(o.t, w, signing, o.p).params()
			at := newOP(o.t, w, signing, o.p).visit(q)
			if at.Home && at.Params().Get("error") != "invalid_request" || !at.Home && at.Status < 400 {
				o.t.Errorf("a client that must push: %d %s", at.Status, at.URL)
			}
		},
		"nobody pushes for a client without its secret": func(o *op) {
			in := o.params()
			r := o.send(o.request(http.MethodPost, "/par", in))
			if r.status != http.StatusUnauthorized || r.json["error"] != "invalid_client" {
				o.t.Errorf("%d %s", r.status, r.body)
			}
		},
	} {
		t.Run(name, func(t *testing.T) { module(o.as(t)) })
	}
}
