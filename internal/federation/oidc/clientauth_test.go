package oidc_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// A client that is authenticated and brings nothing worth redeeming is answered
// invalid_grant, so that is what tells an accepted client from a refused one below.
var nothing = with("grant_type", "authorization_code", "code", "abc", "redirect_uri", backRedirect)

// Modelled on oidcc-server-client-secret-post, and on what Basic OP does with
// client_secret_basic.
func TestClientBySecret(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	strange := "s3cret with:colon, +plus/ä%"
	w.core.add(federation.Client{ID: "odd:id", OIDC: &federation.OIDCClient{AuthMethod: "client_secret_basic"}}, strange)
	w.core.add(federation.Client{ID: "off", Disabled: true, OIDC: &federation.OIDCClient{AuthMethod: "client_secret_basic"}}, backSecret)
	w.core.add(federation.Client{ID: "saml", Protocol: federation.SAML, SAML: &federation.SAMLClient{}}, backSecret)
	raw := func(value string) func(*http.Request) {
		return func(r *http.Request) { r.Header.Set("Authorization", value) }
	}
	tests := []struct {
		name   string
		form   url.Values
		change func(*http.Request)
		status int
		error  string
	}{
		{"basic", nothing, asBasic, 400, "invalid_grant"},
		{"the older secret holds, too", nothing, as("basic", "an-older-secret"), 400, "invalid_grant"},
		{"basic with client_id", and(nothing, "client_id", "basic"), asBasic, 400, "invalid_grant"},
		{"both parts form-encoded", nothing, as("odd:id", strange), 400, "invalid_grant"},
		{"basic, empty client_secret", and(nothing, "x", "y"), func(r *http.Request) { asBasic(r); r.Header.Set("X", "") }, 400, "invalid_grant"},
		{"post", and(nothing, "client_id", "other", "client_secret", "others-secret"), nil, 400, "invalid_grant"},
		{"post for a basic client", and(nothing, "client_id", "basic", "client_secret", backSecret), nil, 400, "invalid_grant"},
		{"basic for a post client", nothing, as("other", "others-secret"), 400, "invalid_grant"},
		{"public", and(nothing, "client_id", "public"), nil, 400, "invalid_grant"},

		{"nobody", nothing, nil, 401, "invalid_client"},
		{"wrong secret", nothing, as("basic", "wrong"), 401, "invalid_client"},
		{"another's secret", nothing, as("basic", "others-secret"), 401, "invalid_client"},
		{"no secret", nothing, as("basic", ""), 401, "invalid_client"},
		{"unknown client", nothing, as("nobody", backSecret), 401, "invalid_client"},
		{"disabled client", nothing, as("off", backSecret), 401, "invalid_client"},
		{"a client of SAML", nothing, as("saml", backSecret), 401, "invalid_client"},
		{"a secret for the client that signs", nothing, as("signed", backSecret), 401, "invalid_client"},
		{"post for the client that signs", and(nothing, "client_id", "signed", "client_secret", backSecret), nil, 401, "invalid_client"},
		{"its name alone", and(nothing, "client_id", "basic"), nil, 401, "invalid_client"},
		{"the signer's name alone", and(nothing, "client_id", "signed"), nil, 401, "invalid_client"},
		{"a secret of a public client", and(nothing, "client_id", "public", "client_secret", "x"), nil, 401, "invalid_client"},
		{"a hash is no secret", nothing, as("basic", strings.Repeat("\x00", 32)), 401, "invalid_client"},
		{"endless secret", nothing, as("basic", strings.Repeat("a", 5000)), 401, "invalid_client"},
		{"bearer", nothing, raw("Bearer abc"), 401, "invalid_client"},
		{"no base64", nothing, raw("Basic !!!"), 401, "invalid_client"},
		{"bad escape", nothing, func(r *http.Request) { r.SetBasicAuth("basic", "%zz") }, 401, "invalid_client"},

		{"basic and post", and(nothing, "client_id", "basic", "client_secret", backSecret), asBasic, 400, "invalid_request"},
		{"two headers", nothing, func(r *http.Request) { asBasic(r); r.Header.Add("Authorization", "Basic abc") }, 400, "invalid_request"},
		{"basic for one, client_id of another", and(nothing, "client_id", "other"), asBasic, 400, "invalid_request"},
		{"type without assertion", and(nothing, "client_assertion_type", assertionType), nil, 400, "invalid_request"},
	}
	texts := map[string]bool{}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			var change []func(*http.Request)
			if test.change != nil {
				change = append(change, test.change)
			}
			got := w.send(t, tokenPath, test.form, change...)
			got.failed(t, test.status, test.error)
			if test.status == 401 && test.name != "nobody" {
				texts[got.text("error_description")] = true
			}
		})
	}
	if len(texts) != 1 {
		t.Errorf("wrong and unknown do not look the same: %v", texts)
	}
}

const assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"

func signing(assertion string) url.Values {
	return and(nothing, "client_assertion_type", assertionType, "client_assertion", assertion)
}

// Modelled on the private_key_jwt variant of the conformance modules and on
// fapi1-advanced-final-ensure-client-assertion-... of its FAPI plans.
func TestClientByAssertion(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	now := w.clock.Now()
	set := func(name string, value any) func(map[string]any) {
		return func(c map[string]any) { c[name] = value }
	}
	without := func(name string) func(map[string]any) {
		return func(c map[string]any) { delete(c, name) }
	}
	tests := []struct {
		name   string
		change func(map[string]any)
		ok     bool
	}{
		{"the issuer as audience", set("aud", issuer), true},
		{"the token endpoint", set("aud", issuer+"/token"), true},
		{"both, in a list", set("aud", []string{issuer, issuer + "/token"}), true},
		{"five minutes", set("exp", now.Add(5*time.Minute).Unix()), true},
		{"ten minutes", set("exp", now.Add(10*time.Minute).Unix()), true},
		{"a fraction of a second", set("exp", float64(now.Unix())+60.5), true},
		{"just over, within the skew", set("exp", now.Add(-20*time.Second).Unix()), true},
		{"no iat", without("iat"), true},

		{"audience: another issuer", set("aud", "https://elsewhere.example.com"), false},
		{"audience: another tenant", set("aud", origin+"/federation/t2"), false},
		{"audience: ours and another's", set("aud", []string{issuer, "https://elsewhere.example.com"}), false},
		{"audience: an empty list", set("aud", []string{}), false},
		{"audience: a number", set("aud", 1), false},
		{"no audience", without("aud"), false},
		{"another endpoint", set("aud", issuer+"/par"), false},
		{"eleven minutes", set("exp", now.Add(11*time.Minute).Unix()), false},
		{"for ever", set("exp", 1e300), false},
		{"expired", set("exp", now.Add(-time.Minute).Unix()), false},
		{"long expired", set("exp", -1e300), false},
		{"no exp", without("exp"), false},
		{"exp null", set("exp", nil), false},
		{"issued in the future", set("iat", now.Add(time.Hour).Unix()), false},
		{"not yet", set("nbf", now.Add(time.Hour).Unix()), false},
		{"no jti", without("jti"), false},
		{"an endless jti", set("jti", strings.Repeat("a", 300)), false},
		{"no iss", without("iss"), false},
		{"no sub", without("sub"), false},
		{"another sub", set("sub", "basic"), false},
		{"another client altogether", func(c map[string]any) { c["iss"], c["sub"] = "basic", "basic" }, false},
		{"nobody", func(c map[string]any) { c["iss"], c["sub"] = "nobody", "nobody" }, false},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := w.send(t, tokenPath, signing(w.assertion(t, test.change)))
			if test.ok {
				got.failed(t, 400, "invalid_grant")
			} else {
				got.failed(t, 401, "invalid_client")
			}
		})
	}

	// The endpoint that was called is an audience there.
	par := and(signing(w.assertion(t, set("aud", issuer+"/bc-authorize"))), "scope", "openid")
	w.send(t, "/federation/t1/bc-authorize", par).failed(t, 400, "invalid_request") // no hint, but authenticated
}

// A jti is good once, whatever it asks for and also at once.
func TestAssertionReplay(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	a := w.assertion(t)
	w.send(t, tokenPath, signing(a)).failed(t, 400, "invalid_grant")
	w.send(t, tokenPath, signing(a)).failed(t, 401, "invalid_client")
	// A refused one spends nothing.
	b := w.assertion(t)
	w.send(t, tokenPath, signing(b[:len(b)-8]+"AAAAAAAA")).failed(t, 401, "invalid_client")
	w.send(t, tokenPath, signing(b)).failed(t, 400, "invalid_grant")
	w.clock.Advance(80 * time.Second) // b is within its skew, and still known
	w.send(t, tokenPath, signing(b)).failed(t, 401, "invalid_client")
}

func TestAssertionSignature(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	claims := func(client string) map[string]any {
		return map[string]any{"iss": client, "sub": client, "aud": issuer, "exp": w.clock.Now().Add(time.Minute).Unix(), "jti": rand.Text()}
	}
	stranger, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	good := w.assertion(t)
	head, rest, _ := strings.Cut(good, ".")
	none := "eyJhbGciOiJub25lIn0." + strings.Split(rest, ".")[0] + "."
	for name, a := range map[string]string{
		"empty":                  " ",
		"no JWT":                 "abc",
		"alg none":               none,
		"alg HS256, by secret":   signWith(t, jose.HS256, []byte(backSecret+backSecret), "k1", claims("signed")),
		"another key":            signWith(t, jose.ES256, stranger, "k1", claims("signed")),
		"another kid":            signWith(t, jose.ES256, clientKey(), "k2", claims("signed")),
		"another alg":            signWith(t, jose.RS256, w.keys.rsa, "k1", claims("signed")),
		"our own key":            signWith(t, jose.ES256, w.keys.ec, "", claims("signed")),
		"no signature":           head + "." + strings.Split(rest, ".")[0] + ".",
		"JSON":                   `{"payload":"e30","signatures":[]}`,
		"too long":               strings.Repeat("a", 9<<10),
		"a client without keys":  signWith(t, jose.ES256, clientKey(), "k1", claims("basic")),
		"a client that does not": signWith(t, jose.ES256, clientKey(), "k1", claims("nobody")),
	} {
		t.Run(name, func(t *testing.T) {
			w.send(t, tokenPath, signing(a)).failed(t, 401, "invalid_client")
		})
	}
	// Keys that are left over from another configuration open nothing.
	w.core.add(federation.Client{ID: "left", OIDC: &federation.OIDCClient{AuthMethod: "client_secret_basic", JWKS: keySet(clientKey(), "k1")}}, backSecret)
	w.send(t, tokenPath, signing(signWith(t, jose.ES256, clientKey(), "k1", claims("left")))).failed(t, 401, "invalid_client")

	w.send(t, tokenPath, signing(signWith(t, jose.ES256, clientKey(), "", claims("signed")))).failed(t, 400, "invalid_grant") // without a kid
	w.send(t, tokenPath, and(signing(good), "client_assertion_type", "urn:ietf:params:oauth:client-assertion-type:saml2-bearer")).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, and(signing(good), "client_id", "basic")).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, and(signing(good), "client_secret", backSecret)).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, signing(good), asBasic).failed(t, 400, "invalid_request")
	w.send(t, tokenPath, and(signing(good), "client_id", "signed")).failed(t, 400, "invalid_grant")
}

// RSA keys, with PS256 and RS256, and not too small ones.
func TestAssertionRSA(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	set := []byte(`{"keys":[{"kty":"oct","k":"AAAA"},{"kty":"new"},` + rsaJWK(t, w) + `]}`)
	w.core.add(federation.Client{ID: "rsa", OIDC: &federation.OIDCClient{AuthMethod: "private_key_jwt", JWKS: set}})
	for alg, ok := range map[jose.SignatureAlgorithm]bool{jose.RS256: true, jose.PS256: true, jose.RS512: false} {
		a := signWith(t, alg, w.keys.rsa, "r", map[string]any{
			"iss": "rsa", "sub": "rsa", "aud": issuer, "exp": w.clock.Now().Add(time.Minute).Unix(), "jti": rand.Text(),
		})
		got := w.send(t, tokenPath, signing(a))
		if ok {
			got.failed(t, 400, "invalid_grant")
		} else {
			got.failed(t, 401, "invalid_client")
		}
	}
}

func rsaJWK(t *testing.T, w *world) string {
	t.Helper()
	k := jose.JSONWebKey{Key: w.keys.rsa.Public(), KeyID: "r"}
	b, err := k.MarshalJSON()
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// A whole sign-in with private_key_jwt.
func TestRedeemByAssertion(t *testing.T) {
	t.Parallel()
	w := backWorld(t)
	form := and(redeeming(w.code(t, "signed")), "client_assertion_type", assertionType, "client_assertion", w.assertion(t))
	got := w.send(t, tokenPath, form).ok(t)
	w.userinfoOf(t, got.text("access_token")).ok(t)
}
