package oidc_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-jose/go-jose/v4"
)

// FuzzClientAssertion: whatever a client_assertion is, it is refused in OAuth's words,
// and only one that the client's own key signed is accepted.
func FuzzClientAssertion(f *testing.F) {
	w := backWorld(f)
	good := w.assertion(f)
	for _, s := range []string{
		good, "", "a.b.c", "..", good + ".", "eyJhbGciOiJub25lIn0.e30.", `{"payload":"e30"}`,
		signWith(f, jose.ES256, w.keys.ec, "k1", map[string]any{"iss": "signed", "sub": "signed"}),
		signWith(f, jose.ES256, clientKey(), "k1", map[string]any{"iss": "signed", "sub": "signed", "aud": []any{1}, "exp": "soon"}),
		signWith(f, jose.ES256, clientKey(), "k1", map[string]any{"iss": "signed", "sub": "signed", "exp": -1e308, "aud": nil, "jti": 1}),
		signWith(f, jose.HS256, []byte(strings.Repeat("k", 32)), "", map[string]any{"iss": "basic", "sub": "basic"}),
	} {
		f.Add(s)
	}
	signed := good[:strings.LastIndex(good, ".")]
	f.Fuzz(func(t *testing.T, assertion string) {
		got := w.send(t, tokenPath, signing(assertion))
		switch got.status {
		case http.StatusBadRequest, http.StatusUnauthorized:
		default:
			t.Fatalf("answered %d %v", got.status, got.body)
		}
		if got.text("error") == "invalid_grant" && !strings.HasPrefix(strings.TrimSpace(assertion), signed) {
			t.Fatalf("authenticated by %q", assertion)
		}
	})
}

// FuzzTokenForm: whatever is posted to the token endpoint, it answers in JSON, never
// with trouble of its own, and gives tokens for nothing but the code of the seed.
func FuzzTokenForm(f *testing.F) {
	w := backWorld(f)
	good := w.code(f, "basic")
	f.Add(redeeming(good).Encode(), true)
	f.Add(redeeming(good[:len(good)-1]).Encode(), true)
	f.Add("grant_type=refresh_token&refresh_token="+good, true)
	f.Add("grant_type="+cibaGrant+"&auth_req_id=a", true)
	f.Add("grant_type=authorization_code&client_id=public&code="+good+"&code_verifier="+backVerifier, false)
	f.Add("client_id=basic&client_secret="+backSecret+"&grant_type=authorization_code", false)
	f.Add("client_assertion=a.b.c&client_assertion_type="+assertionType, false)
	f.Add("%zz&;&&=&a=%00", true)
	f.Fuzz(func(t *testing.T, form string, authenticated bool) {
		r := httptest.NewRequest("POST", tokenPath, strings.NewReader(form))
		r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		if authenticated {
			asBasic(r)
		}
		got := w.do(t, r)
		switch got.status {
		case http.StatusBadRequest, http.StatusUnauthorized, http.StatusRequestEntityTooLarge:
			if got.text("error") == "" || got.text("access_token") != "" {
				t.Fatalf("answered %d %v", got.status, got.body)
			}
		case http.StatusOK:
			if !strings.Contains(form, good) && len(w.store.read().grants) > 1 {
				t.Fatalf("tokens for %q", form)
			}
		default:
			t.Fatalf("answered %d %v", got.status, got.body)
		}
	})
}
