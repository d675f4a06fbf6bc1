package federation_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"sync"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"
	"github.com/go-jose/go-jose/v4/jwt"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
)

const (
	clientID     = "descope-test"
	clientSecret = "a secret of the test" // #nosec G101 -- of the test
)

// op is an OpenID provider that says what a test wants it to, true or not.
type op struct {
	*httptest.Server
	mu     sync.Mutex
	key    *ecdsa.PrivateKey
	claims map[string]any       // of the ID token and of userinfo
	token  func(map[string]any) // changes the ID token's claims before it is signed
	info   func(map[string]any) // changes userinfo's
	signer *ecdsa.PrivateKey    // in place of the key that is published
	alg    jose.SignatureAlgorithm
	codes  map[string]string // nonce by code, once
	asked  url.Values
	fail   int // status of the token endpoint
}

func newKey(t *testing.T) *ecdsa.PrivateKey {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	return k
}

func newOP(t *testing.T) *op {
	t.Helper()
	o := &op{key: newKey(t), codes: map[string]string{}, claims: map[string]any{"sub": "pairwise-1"}}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /jwks", func(w http.ResponseWriter, _ *http.Request) {
		writeJSON(w, jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &o.key.PublicKey, KeyID: "k1", Algorithm: "ES256", Use: "sig"}}})
	})
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		id, secret, ok := r.BasicAuth()
		id, _ = url.QueryUnescape(id)
		secret, _ = url.QueryUnescape(secret)
		nonce, known := o.codes[r.FormValue("code")]
		delete(o.codes, r.FormValue("code"))
		if o.fail != 0 || !ok || id != clientID || secret != clientSecret || !known || r.FormValue("redirect_uri") != base+federation.Callback {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(max(o.fail, http.StatusBadRequest))
			_, _ = w.Write([]byte(`{"error":"invalid_grant","error_description":"a secret that no log may show"}`))
			return
		}
		now := time.Now()
		hash := sha256.Sum256([]byte("access"))
		c := map[string]any{
			"iss": o.URL, "aud": clientID, "iat": now.Unix(), "exp": now.Add(time.Minute).Unix(), "nonce": nonce,
			"at_hash": base64.RawURLEncoding.EncodeToString(hash[:16]),
		}
		maps.Copy(c, o.claims)
		if o.token != nil {
			o.token(c)
		}
		answer := map[string]any{"access_token": "access", "token_type": "Bearer", "expires_in": 60}
		if raw := o.signed(t, c); raw != "" {
			answer["id_token"] = raw
		}
		writeJSON(w, answer)
	})
	mux.HandleFunc("GET /userinfo", func(w http.ResponseWriter, r *http.Request) {
		o.mu.Lock()
		defer o.mu.Unlock()
		if r.Header.Get("Authorization") != "Bearer access" {
			w.WriteHeader(http.StatusUnauthorized)
			return
		}
		c := maps.Clone(o.claims)
		if o.info != nil {
			o.info(c)
		}
		writeJSON(w, c)
	})
	o.Server = httptest.NewServer(mux)
	t.Cleanup(o.Close)
	return o
}

func writeJSON(w http.ResponseWriter, v any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(v)
}

func (o *op) signed(t *testing.T, claims map[string]any) string {
	switch o.alg {
	case "":
	case "missing":
		return ""
	case "none":
		b, _ := json.Marshal(claims)
		return base64.RawURLEncoding.EncodeToString([]byte(`{"alg":"none"}`)) + "." + base64.RawURLEncoding.EncodeToString(b) + "."
	case jose.HS256: // with what everybody can read
		s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.HS256, Key: []byte("0123456789abcdef0123456789abcdef")}, nil)
		if err != nil {
			t.Error(err)
			return ""
		}
		raw, _ := jwt.Signed(s).Claims(claims).Serialize()
		return raw
	}
	key := o.key
	if o.signer != nil {
		key = o.signer
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.ES256, Key: jose.JSONWebKey{Key: key, KeyID: "k1"}}, nil)
	if err != nil {
		t.Error(err)
		return ""
	}
	raw, err := jwt.Signed(s).Claims(claims).Serialize()
	if err != nil {
		t.Error(err)
	}
	return raw
}

// authorize is what the provider does with a browser: back it goes, with a code.
func (o *op) authorize(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != o.URL+"/authorize" {
		t.Fatalf("sent to %s (%v)", address, err)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	o.asked = u.Query()
	code := rand.Text()
	o.codes[code] = o.asked.Get("nonce")
	return url.Values{"code": {code}, "state": {o.asked.Get("state")}}
}

// settings are those of a custom provider in Descope.
func (o *op) settings(name string) federation.Provider {
	return federation.Provider{
		Name: name, ClientID: clientID, ClientSecret: clientSecret, Issuer: o.URL, Authorization: o.URL + "/authorize", Token: o.URL + "/token",
		UserInfo: o.URL + "/userinfo", JWKS: o.URL + "/jwks", Scopes: []string{"openid", "identity_assurance"}, AllowedGrantTypes: []string{"authorization_code"},
		ClaimMapping: map[string]string{
			"loginId": "sub", "email": "email", "verifiedEmail": "email_verified", "givenName": "given_name",
			"kosmosIal": "ial_level", "kosmosStatus": "idv_status", "kosmosFace": "face_matched",
		},
	}
}
