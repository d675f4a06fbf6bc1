package callers_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const publicURL = "https://bridge.example.com"

const (
	bearer   = "bearer-secret-0123456789"
	password = "password-0123456789"
	apiKey   = "api-key-secret-0123456789"
	oauthKey = "oauth/secret+0123456789"
	hmacKey  = "hmac-secret-0123456789"
)

type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time { c.mu.Lock(); defer c.mu.Unlock(); return c.t }

func (c *clock) add(d time.Duration) { c.mu.Lock(); defer c.mu.Unlock(); c.t = c.t.Add(d) }

func newClock() *clock { return &clock{t: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func configs() []callers.Config {
	base := func(id string) callers.Config {
		return callers.Config{ID: id, Tenant: "acme", Application: "Acme Shop"}
	}
	b, u, k, o, h := base("bearer"), base("basic"), base("key"), base("oauth"), base("hmac")
	b.Bearer = bearer
	u.Basic = &callers.Basic{Username: "descope", Password: password}
	k.APIKey = &callers.APIKey{Header: "x-api-key", Value: apiKey}
	o.OAuth = &callers.OAuth{ClientID: "client 1", ClientSecret: oauthKey}
	h.Bearer, h.HMACSecret = bearer+"-hmac", hmacKey
	return []callers.Config{b, u, k, o, h}
}

func registry(t testing.TB, cfg []callers.Config, o callers.Options) *callers.Registry {
	t.Helper()
	o.PublicURL = publicURL
	r, err := callers.New(cfg, o)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func request(headers ...string) *http.Request {
	r := httptest.NewRequest("POST", "/descope/v1/idv", nil)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	return r
}

func mac(secret string, body []byte) string {
	m := hmac.New(sha256.New, []byte(secret))
	m.Write(body)
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

func basic(user, pass string) string {
	return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+pass))
}

func TestCredentials(t *testing.T) {
	r := registry(t, configs(), callers.Options{})
	for _, tt := range []struct {
		name    string
		headers []string
		want    string // caller id; empty: refused
	}{
		{"bearer", []string{"Authorization", "Bearer " + bearer}, "bearer"},
		{"bearer, scheme in lower case", []string{"Authorization", "bearer " + bearer}, "bearer"},
		{"basic", []string{"Authorization", basic("descope", password)}, "basic"},
		{"api key", []string{"X-API-KEY", apiKey}, "key"},
		{"nothing", nil, ""},
		{"wrong bearer", []string{"Authorization", "Bearer " + bearer + "x"}, ""},
		{"prefix of a bearer", []string{"Authorization", "Bearer " + bearer[:20]}, ""},
		{"empty bearer", []string{"Authorization", "Bearer "}, ""},
		{"bearer without scheme", []string{"Authorization", bearer}, ""},
		{"password as bearer", []string{"Authorization", "Bearer " + password}, ""},
		{"wrong user", []string{"Authorization", basic("other", password)}, ""},
		{"wrong password", []string{"Authorization", basic("descope", "x")}, ""},
		{"border moved", []string{"Authorization", basic("descop", "e"+password)}, ""},
		{"api key elsewhere", []string{"X-Other", apiKey}, ""},
		{"api key twice", []string{"X-Api-Key", apiKey, "X-Api-Key", apiKey}, ""},
		{"authorization twice", []string{"Authorization", "Bearer " + bearer, "Authorization", "Bearer " + bearer}, ""},
		{"two callers at once", []string{"Authorization", "Bearer " + bearer, "X-Api-Key", apiKey}, ""},
		{"client secret is no credential for calls", []string{"Authorization", basic("client 1", oauthKey)}, ""},
		{"client secret is no bearer", []string{"Authorization", "Bearer " + oauthKey}, ""},
		{"hmac alone is not enough", []string{"X-Descope-Webhook-S256", mac(hmacKey, nil)}, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c, err := r.Authenticate(request(tt.headers...), nil)
			if tt.want != "" {
				if err != nil || c.ID != tt.want || c.Tenant != "acme" || c.Application != "Acme Shop" {
					t.Fatalf("got %+v, %v", c, err)
				}
				return
			}
			if proof.CodeOf(err) != proof.CodeUnauthenticated || proof.ReasonOf(err) != proof.ReasonUnauthenticated {
				t.Fatalf("got %+v, %v", c, err)
			}
			if c.ID != "" || c.Tenant != "" {
				t.Fatal("a refused call names a caller")
			}
		})
	}
}

func TestHMAC(t *testing.T) {
	body := []byte("{ \"a\": \"<x>\" }\n")
	var log bytes.Buffer
	r := registry(t, configs(), callers.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
	call := func(sig string, body []byte) error {
		req := request("Authorization", "Bearer "+bearer+"-hmac")
		if sig != "" {
			req.Header.Set("x-descope-webhook-s256", sig)
		}
		_, err := r.Authenticate(req, body)
		return err
	}
	for name, input := range map[string][]byte{
		"raw": body, "compact": []byte(`{"a":"<x>"}`), "base64": []byte(base64.StdEncoding.EncodeToString(body)),
	} {
		if err := call(mac(hmacKey, input), body); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, input := range map[string]string{"empty": "", "empty_object": "{}", "empty_null": "null"} {
		if err := call(mac(hmacKey, []byte(input)), nil); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if err := call(mac(hmacKey, []byte(input)), body); err == nil {
			t.Errorf("%s: a constant authenticates a body", name)
		}
	}
	for name, sig := range map[string]string{
		"none": "", "wrong secret": mac("x", body), "not base64": "%%", "short": "AAAA",
		"hex": fmt.Sprintf("%x", sha256.Sum256(body)), "other body": mac(hmacKey, []byte("other")),
	} {
		if err := call(sig, body); proof.ReasonOf(err) != proof.ReasonSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
	for _, name := range []string{"raw", "compact", "base64", "empty", "empty_object", "empty_null"} {
		if n := strings.Count(log.String(), "caller=hmac hmac_input="+name+"\n"); n != 1 {
			t.Errorf("%s is %d times in the log", name, n)
		}
	}
	for _, secret := range []string{hmacKey, bearer} {
		if strings.Contains(log.String(), secret) {
			t.Error("a secret is in the log")
		}
	}
}

func publicPEM(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// signedCaller is a caller with one ECDSA key, and the signer for it.
func signedCaller(t testing.TB, clk *clock) (callers.Config, *httpsig.Signer) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := callers.Config{
		ID: "signed", Tenant: "acme", Application: "Acme Shop", Bearer: bearer,
		RFC9421: &callers.RFC9421{Keys: []callers.Key{{KeyID: "k1", Algorithm: httpsig.ECDSAP256, PublicKey: publicPEM(t, key)}}},
	}
	return c, &httpsig.Signer{KeyID: "k1", Algorithm: httpsig.ECDSAP256, Key: key, Now: clk.now}
}

// signed makes a request as a client does (addressed to the public URL), signs
// it, and hands back what a server behind a proxy sees of it.
func signed(t testing.TB, s *httpsig.Signer, body []byte, path string) *http.Request {
	t.Helper()
	out, err := http.NewRequest("POST", publicURL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Sign(out, body); err != nil {
		t.Fatal(err)
	}
	in := httptest.NewRequest("POST", path, nil)
	in.Host = "10.0.0.7:8080" // the inner address: it must not matter
	in.Header = out.Header
	in.Header.Set("Authorization", "Bearer "+bearer)
	return in
}

func TestSignature(t *testing.T) {
	body := []byte(`{"a":1}`)
	no := false
	for _, tt := range []struct {
		name   string
		signer func(*httpsig.Signer)
		config func(*callers.Config)
		change func(*http.Request)
		wait   time.Duration
		path   string
		body   []byte // as received; nil: as signed
		ok     bool
	}{
		{name: "default coverage", ok: true},
		{name: "with a query", path: "/descope/v1/idv?x=%20y", ok: true},
		{name: "authority and path", signer: func(s *httpsig.Signer) {
			s.Components = []string{"@method", "@authority", "@path", "content-digest"}
		}, ok: true},
		{name: "query not covered", path: "/descope/v1/idv?x=1", signer: func(s *httpsig.Signer) {
			s.Components = []string{"@method", "@authority", "@path", "content-digest"}
		}},
		{name: "no method", signer: func(s *httpsig.Signer) { s.Components = []string{"@target-uri", "content-digest"} }},
		{name: "no target", signer: func(s *httpsig.Signer) { s.Components = []string{"@method", "@authority", "content-digest"} }},
		{name: "no digest", signer: func(s *httpsig.Signer) { s.Components = []string{"@method", "@target-uri", "@authority"} }},
		{
			name:   "no digest, allowed",
			signer: func(s *httpsig.Signer) { s.Components = []string{"@method", "@target-uri", "@authority"} },
			config: func(c *callers.Config) { c.RFC9421.RequireContentDigest = &no },
			change: func(r *http.Request) { r.Header.Del("Content-Digest") }, ok: true,
		},
		{name: "digest of another body", body: []byte(`{"a":2}`)},
		{
			name:   "digest of another body, not required",
			config: func(c *callers.Config) { c.RFC9421.RequireContentDigest = &no }, body: []byte(`{"a":2}`),
		},
		{name: "other path", change: func(r *http.Request) { r.RequestURI = "/descope/v1/idv/result" }},
		{name: "other method", change: func(r *http.Request) { r.Method = "PUT" }},
		{name: "target that changes the host", change: func(r *http.Request) { r.RequestURI = "//evil.example/descope/v1/idv" }},
		{name: "unknown keyid", signer: func(s *httpsig.Signer) { s.KeyID = "k2" }},
		{name: "alg of another kind", signer: func(s *httpsig.Signer) { s.Algorithm = httpsig.HMACSHA256; s.Key = []byte("0123456789abcdef") }},
		{name: "no signature", change: func(r *http.Request) { r.Header.Del("Signature"); r.Header.Del("Signature-Input") }},
		{name: "signature of another request", change: func(r *http.Request) { r.Header.Set("Signature", "sig1=:AAAA:") }},
		{name: "expired", wait: 6 * time.Minute},
		{name: "at the last second", wait: 299 * time.Second, ok: true},
		{name: "from the future", wait: -2 * time.Minute},
		{name: "slightly from the future", wait: -50 * time.Second, ok: true},
		{name: "lives too long", signer: func(s *httpsig.Signer) { s.TTL = 2 * time.Hour }},
		{name: "wrong credential", change: func(r *http.Request) { r.Header.Set("Authorization", "Bearer x") }},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clk := newClock()
			cfg, signer := signedCaller(t, clk)
			if tt.config != nil {
				tt.config(&cfg)
			}
			if tt.signer != nil {
				tt.signer(signer)
			}
			r := registry(t, []callers.Config{cfg}, callers.Options{Now: clk.now})
			path := tt.path
			if path == "" {
				path = "/descope/v1/idv"
			}
			req := signed(t, signer, body, path)
			if tt.change != nil {
				tt.change(req)
			}
			clk.add(tt.wait)
			received := body
			if tt.body != nil {
				received = tt.body
			}
			c, err := r.Authenticate(req, received)
			if tt.ok != (err == nil) {
				t.Fatalf("%v", err)
			}
			if tt.ok {
				if c.ID != "signed" {
					t.Fatalf("caller %q", c.ID)
				}
				if _, err := r.Authenticate(req, received); proof.ReasonOf(err) != proof.ReasonReplay {
					t.Fatalf("replayed: %v", err)
				}
			} else if proof.CodeOf(err) != proof.CodeUnauthenticated {
				t.Fatalf("%v", err)
			}
		})
	}
}

// TestSignatureParams tries signatures that the Signer does not make.
func TestSignatureParams(t *testing.T) {
	clk := newClock()
	cfg, signer := signedCaller(t, clk)
	created := httpsig.Param{Name: "created", Value: clk.now().Unix()}
	keyid := httpsig.Param{Name: "keyid", Value: "k1"}
	nonce := httpsig.Param{Name: "nonce", Value: "n1"}
	covered := []httpsig.Component{{Name: "@method"}, {Name: "@target-uri"}}
	for name, in := range map[string]httpsig.Input{
		"ok":                  {Components: covered, Params: []httpsig.Param{created, keyid, nonce}},
		"no nonce":            {Components: covered, Params: []httpsig.Param{created, keyid}},
		"empty nonce":         {Components: covered, Params: []httpsig.Param{created, keyid, {Name: "nonce", Value: ""}}},
		"nonce is a token":    {Components: covered, Params: []httpsig.Param{created, keyid, {Name: "nonce", Value: httpsig.Token("n2")}}},
		"long nonce":          {Components: covered, Params: []httpsig.Param{created, keyid, {Name: "nonce", Value: strings.Repeat("n", 257)}}},
		"no created":          {Components: covered, Params: []httpsig.Param{keyid, nonce}},
		"created is text":     {Components: covered, Params: []httpsig.Param{{Name: "created", Value: "1"}, keyid, nonce}},
		"expires before":      {Components: covered, Params: []httpsig.Param{created, {Name: "expires", Value: clk.now().Unix() - 1}, keyid, nonce}},
		"expires is text":     {Components: covered, Params: []httpsig.Param{created, {Name: "expires", Value: "9999999999"}, keyid, nonce}},
		"no keyid":            {Components: covered, Params: []httpsig.Param{created, nonce}},
		"alg is a token":      {Components: covered, Params: []httpsig.Param{created, keyid, nonce, {Name: "alg", Value: httpsig.Token("ecdsa-p256-sha256")}}},
		"covers with a param": {Components: []httpsig.Component{{Name: "@method"}, {Name: "@target-uri", Params: []httpsig.Param{{Name: "req", Value: true}}}}, Params: []httpsig.Param{created, keyid, nonce}},
	} {
		r := registry(t, []callers.Config{cfg}, callers.Options{Now: clk.now})
		out, _ := http.NewRequest("POST", publicURL+"/descope/v1/idv", nil)
		if err := signer.SignInput(out, in); err != nil {
			if name != "covers with a param" {
				t.Fatalf("%s: %v", name, err)
			}
			out.Header.Set("Signature-Input", "sig1="+in.String())
			out.Header.Set("Signature", "sig1=:AAAA:")
		}
		req := request("Authorization", "Bearer "+bearer, "Signature-Input", out.Header.Get("Signature-Input"), "Signature", out.Header.Get("Signature"))
		_, err := r.Authenticate(req, nil)
		if (err == nil) != (name == "ok") || err != nil && proof.ReasonOf(err) != proof.ReasonSignature {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestBadSignatureKeepsNonce: a signature that does not hold must not use up the
// nonce of one that does.
func TestBadSignatureKeepsNonce(t *testing.T) {
	clk := newClock()
	cfg, signer := signedCaller(t, clk)
	r := registry(t, []callers.Config{cfg}, callers.Options{Now: clk.now})
	req := signed(t, signer, nil, "/descope/v1/idv")
	good := req.Header.Get("Signature")
	req.Header.Set("Signature", "sig1=:AAAA:")
	if _, err := r.Authenticate(req, nil); proof.ReasonOf(err) != proof.ReasonSignature {
		t.Fatal(err)
	}
	req.Header.Set("Signature", good)
	if _, err := r.Authenticate(req, nil); err != nil {
		t.Fatal(err)
	}
}

type brokenNonces struct{}

func (brokenNonces) Use(context.Context, string, time.Time) (bool, error) {
	return true, errors.New("the disk is gone")
}

func TestNonceStoreFailsClosed(t *testing.T) {
	clk := newClock()
	cfg, signer := signedCaller(t, clk)
	for name, store := range map[string]callers.NonceStore{"broken": brokenNonces{}, "full": callers.NewMemoryNonces(0, clk.now)} {
		r := registry(t, []callers.Config{cfg}, callers.Options{Now: clk.now, Nonces: store})
		if _, err := r.Authenticate(signed(t, signer, nil, "/descope/v1/idv"), nil); proof.CodeOf(err) != proof.CodeUnavailable {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestMemoryNonces(t *testing.T) {
	clk := newClock()
	m := callers.NewMemoryNonces(2, clk.now)
	use := func(key string, want, wantErr bool) {
		t.Helper()
		fresh, err := m.Use(t.Context(), key, clk.now().Add(time.Minute))
		if fresh != want || (err != nil) != wantErr {
			t.Fatalf("%s: %v, %v", key, fresh, err)
		}
	}
	use("a", true, false)
	use("a", false, false)
	use("b", true, false)
	use("c", false, true) // full
	use("a", false, false)
	clk.add(2 * time.Minute)
	use("c", true, false)
	use("a", true, false)
}

func TestMemoryNoncesConcurrent(t *testing.T) {
	m := callers.NewMemoryNonces(100, time.Now)
	var wg sync.WaitGroup
	var mu sync.Mutex
	fresh := 0
	for range 32 {
		wg.Go(func() {
			if ok, _ := m.Use(context.Background(), "one", time.Now().Add(time.Minute)); ok {
				mu.Lock()
				fresh++
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	if fresh != 1 {
		t.Fatalf("%d were told that the nonce is new", fresh)
	}
}

func TestRefusalsAreLimited(t *testing.T) {
	clk := newClock()
	r := registry(t, configs(), callers.Options{Now: clk.now})
	from := func(addr, token string) error {
		req := request("Authorization", "Bearer "+token)
		req.RemoteAddr = addr
		_, err := r.Authenticate(req, nil)
		return err
	}
	limited := 0
	for i := range 40 {
		err := from("192.0.2.1:1000", "wrong")
		if proof.CodeOf(err) == proof.CodeRateLimited {
			if e, _ := errors.AsType[*proof.Error](err); e.RetryAfter <= 0 {
				t.Error("no RetryAfter")
			}
			limited++
		} else if limited > 0 {
			t.Errorf("call %d: %v after the limit", i, err)
		}
	}
	if limited != 10 {
		t.Errorf("%d of 40 were limited, want 10", limited)
	}
	if err := from("192.0.2.1:1000", bearer); err != nil {
		t.Errorf("a good caller is locked out: %v", err)
	}
	if err := from("192.0.2.2:1000", "wrong"); proof.CodeOf(err) != proof.CodeUnauthenticated {
		t.Errorf("another network: %v", err)
	}
	clk.add(2 * time.Second)
	if err := from("192.0.2.1:1000", "wrong"); proof.CodeOf(err) != proof.CodeUnauthenticated {
		t.Errorf("after a while: %v", err)
	}
	for range 31 {
		_ = from("[2001:db8::1]:1000", "wrong")
	}
	if err := from("[2001:db8::2]:1000", "wrong"); proof.CodeOf(err) != proof.CodeRateLimited {
		t.Errorf("same /64: %v", err)
	}
}

func token(t testing.TB, r *callers.Registry, auth string, form url.Values) (*http.Response, map[string]any) {
	t.Helper()
	req := httptest.NewRequest("POST", callers.TokenPath, strings.NewReader(form.Encode()))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if auth != "" {
		req.Header.Set("Authorization", auth)
	}
	w := httptest.NewRecorder()
	r.ServeToken(w, req)
	var out map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
		t.Fatal(err)
	}
	return w.Result(), out
}

func TestTokenEndpoint(t *testing.T) {
	grant := url.Values{"grant_type": {"client_credentials"}}
	with := func(kv ...string) url.Values {
		v := url.Values{"grant_type": {"client_credentials"}}
		for i := 0; i < len(kv); i += 2 {
			v.Set(kv[i], kv[i+1])
		}
		return v
	}
	for _, tt := range []struct {
		name   string
		auth   string
		form   url.Values
		status int
		code   string
	}{
		{"post", "", with("client_id", "client 1", "client_secret", oauthKey), 200, ""},
		{"basic, encoded", basic(url.QueryEscape("client 1"), url.QueryEscape(oauthKey)), grant, 200, ""},
		{"basic, plain", basic("client 1", oauthKey), grant, 200, ""},
		{"basic with client_id in the body", basic("client 1", oauthKey), with("client_id", "client 1"), 200, ""},
		{"scope is ignored", basic("client 1", oauthKey), with("scope", "idv"), 200, ""},
		{"wrong secret", basic("client 1", "x"), grant, 401, "invalid_client"},
		{"unknown client", "", with("client_id", "c2", "client_secret", oauthKey), 401, "invalid_client"},
		{"no client", "", grant, 401, "invalid_client"},
		{"bearer", "Bearer " + bearer, with("client_id", "client 1", "client_secret", oauthKey), 401, "invalid_client"},
		{"another caller's password", basic("descope", password), grant, 401, "invalid_client"},
		{"both", basic("client 1", oauthKey), with("client_id", "client 1", "client_secret", oauthKey), 400, "invalid_request"},
		{"no grant_type", basic("client 1", oauthKey), url.Values{}, 400, "invalid_request"},
		{"grant_type twice", basic("client 1", oauthKey), url.Values{"grant_type": {"client_credentials", "client_credentials"}}, 400, "invalid_request"},
		{"other grant", basic("client 1", oauthKey), url.Values{"grant_type": {"password"}}, 400, "unsupported_grant_type"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			clk := newClock()
			r := registry(t, configs(), callers.Options{Now: clk.now})
			res, out := token(t, r, tt.auth, tt.form)
			if res.StatusCode != tt.status || tt.code != "" && out["error"] != tt.code {
				t.Fatalf("%d %v", res.StatusCode, out)
			}
			if res.Header.Get("Cache-Control") != "no-store" || res.Header.Get("Content-Type") != "application/json" {
				t.Errorf("headers: %v", res.Header)
			}
			if (res.StatusCode == 401) != (res.Header.Get("WWW-Authenticate") != "") {
				t.Error("WWW-Authenticate belongs to 401 and to nothing else")
			}
			if tt.code != "" {
				return
			}
			if out["token_type"] != "Bearer" || out["expires_in"] != 600.0 {
				t.Errorf("%v", out)
			}
			access := out["access_token"].(string)
			call := func(r *callers.Registry, tok string) error {
				c, err := r.Authenticate(request("Authorization", "Bearer "+tok), nil)
				if err == nil && c.ID != "oauth" {
					t.Errorf("token of %q", c.ID)
				}
				return err
			}
			if err := call(r, access); err != nil {
				t.Error(err)
			}
			// Another process with the same configuration accepts it; one with a new secret does not.
			if err := call(registry(t, configs(), callers.Options{Now: clk.now}), access); err != nil {
				t.Error(err)
			}
			rotated := configs()
			rotated[3].OAuth.ClientSecret = oauthKey + "-new"
			if err := call(registry(t, rotated, callers.Options{Now: clk.now}), access); err == nil {
				t.Error("a token outlives its secret")
			}
			for _, bad := range []string{access[:len(access)-2], strings.Replace(access, ".", ".A", 1), "ksat1..", "ksat1.e30.AAAA"} {
				if err := call(r, bad); err == nil {
					t.Errorf("accepted %q", bad)
				}
			}
			clk.add(10 * time.Minute)
			if err := call(r, access); err == nil {
				t.Error("an expired token is accepted")
			}
		})
	}
}

func TestTokenEndpointRefuses(t *testing.T) {
	r := registry(t, configs(), callers.Options{})
	for name, tt := range map[string]struct {
		method, contentType, body string
		status                    int
	}{
		"GET":       {"GET", "", "", 405},
		"JSON":      {"POST", "application/json", `{}`, 400},
		"too large": {"POST", "application/x-www-form-urlencoded", strings.Repeat("a=b&", 4000), 400},
		"malformed": {"POST", "application/x-www-form-urlencoded", "a=%zz", 400},
	} {
		req := httptest.NewRequest(tt.method, callers.TokenPath, strings.NewReader(tt.body))
		req.Header.Set("Content-Type", tt.contentType)
		w := httptest.NewRecorder()
		r.ServeToken(w, req)
		if w.Code != tt.status {
			t.Errorf("%s: %d %s", name, w.Code, w.Body)
		}
	}
	clk := newClock()
	r = registry(t, configs(), callers.Options{Now: clk.now})
	last := 0
	for range 31 {
		res, _ := token(t, r, basic("client 1", "guess"), url.Values{"grant_type": {"client_credentials"}})
		last = res.StatusCode
	}
	if last != http.StatusTooManyRequests {
		t.Errorf("guessing ends with %d", last)
	}
}

func TestConfigProblems(t *testing.T) {
	good := func() callers.Config { return configs()[0] }
	for field, change := range map[string]func(*callers.Config){
		"id":                            func(c *callers.Config) { c.ID = "a b" },
		"tenant":                        func(c *callers.Config) { c.Tenant = "" },
		"application":                   func(c *callers.Config) { c.Application = " " },
		"bearer":                        func(c *callers.Config) { c.Bearer = "short" },
		"bearer, basic, api_key, oauth": func(c *callers.Config) { c.Bearer = "" },
		"exactly one":                   func(c *callers.Config) { c.Basic = &callers.Basic{Username: "u", Password: password} },
		"basic.password":                func(c *callers.Config) { c.Bearer = ""; c.Basic = &callers.Basic{Username: "u", Password: "x"} },
		"basic.username":                func(c *callers.Config) { c.Bearer = ""; c.Basic = &callers.Basic{Username: "u:v", Password: password} },
		"api_key.header": func(c *callers.Config) {
			c.Bearer = ""
			c.APIKey = &callers.APIKey{Header: "authorization", Value: apiKey}
		},
		"api_key.value":       func(c *callers.Config) { c.Bearer = ""; c.APIKey = &callers.APIKey{Header: "X-Api-Key", Value: "x"} },
		"oauth.client_id":     func(c *callers.Config) { c.Bearer = ""; c.OAuth = &callers.OAuth{ClientSecret: oauthKey} },
		"oauth.client_secret": func(c *callers.Config) { c.Bearer = ""; c.OAuth = &callers.OAuth{ClientID: "c"} },
		"hmac_secret":         func(c *callers.Config) { c.HMACSecret = "x" },
		"rfc9421.keys":        func(c *callers.Config) { c.RFC9421 = &callers.RFC9421{} },
		"rfc9421.keys[0].keyid": func(c *callers.Config) {
			c.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{Algorithm: httpsig.HMACSHA256, Secret: hmacKey}}}
		},
		"rfc9421.keys[0]": func(c *callers.Config) {
			c.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "k", Algorithm: "none"}}}
		},
		"callback_urls[0]":   func(c *callers.Config) { c.CallbackURLs = []string{"http://example.com/cb"} },
		"callback_urls[1]":   func(c *callers.Config) { c.CallbackURLs = []string{"http://localhost:3000/cb", "https:///x"} },
		"document_types[0]":  func(c *callers.Config) { c.DocumentTypes = []proof.DocumentType{"visa"} },
		"liveness_modes[0]":  func(c *callers.Config) { c.LivenessModes = []proof.LivenessMode{"off"} },
		"external_auth[1]":   func(c *callers.Config) { c.ExternalAuth = []proof.Node{proof.NodeIDV, "step_up"} },
		"claims[0]":          func(c *callers.Config) { c.Claims = []string{"portrait"} },
		"callback_urls[0]: ": func(c *callers.Config) { c.CallbackURLs = []string{"javascript:alert(1)"} },
	} {
		c := good()
		change(&c)
		_, err := callers.New([]callers.Config{c}, callers.Options{PublicURL: publicURL})
		if err == nil || !strings.Contains(err.Error(), field) {
			t.Errorf("%s: %v", field, err)
		}
		if err != nil && (strings.Contains(err.Error(), bearer) || strings.Contains(err.Error(), hmacKey)) {
			t.Errorf("%s: the error shows a secret", field)
		}
	}
	twice := good()
	twice.ID = "other"
	if _, err := callers.New([]callers.Config{good(), twice}, callers.Options{PublicURL: publicURL}); err == nil || strings.Contains(err.Error(), bearer) {
		t.Errorf("same credential twice: %v", err)
	}
	if _, err := callers.New([]callers.Config{good(), good()}, callers.Options{PublicURL: publicURL}); err == nil {
		t.Error("same id twice")
	}
	for _, u := range []string{"", "bridge.example.com", "https://bridge.example.com/", "ftp://x", "https://u@x", "https://x?y=1"} {
		if _, err := callers.New(nil, callers.Options{PublicURL: u}); err == nil {
			t.Errorf("public URL %q accepted", u)
		}
	}
}

func TestCallerRights(t *testing.T) {
	cfg := configs()[:2]
	cfg[1].LivenessModes = []proof.LivenessMode{proof.LivenessNone}
	cfg[1].Claims = []string{"given_name"}
	cfg[1].DocumentTypes = []proof.DocumentType{proof.Passport}
	cfg[1].CallbackURLs = []string{"https://app.example.com/cb"}
	cfg[1].ExternalAuth = []proof.Node{proof.NodeStepUp}
	r := registry(t, cfg, callers.Options{})
	c, ok := r.Caller("acme", "bearer")
	if !ok || fmt.Sprint(c.Liveness) != "[passive active]" || fmt.Sprint(c.Claims) != fmt.Sprint(callers.DefaultClaims()) || len(c.DocumentTypes) != 0 || len(c.ExternalAuth) != 0 {
		t.Errorf("defaults: %+v", c)
	}
	for _, n := range callers.DefaultClaims() {
		if n == "document_number" || !strings.Contains(strings.Join(journey.ClaimNames(), " "), n) {
			t.Errorf("default claim %q", n)
		}
	}
	c, _ = r.Caller("acme", "basic")
	if fmt.Sprint(c.Liveness, c.Claims, c.DocumentTypes, c.CallbackURLs, c.ExternalAuth) != "[none] [given_name] [passport] [https://app.example.com/cb] [stepup]" {
		t.Errorf("configured: %+v", c)
	}
	if _, ok := r.Caller("other", "basic"); ok {
		t.Error("a caller of another tenant")
	}
}

func TestSecretsStayHidden(t *testing.T) {
	c := configs()[1]
	c.Basic.Password = "extremely-secret-value"
	var log bytes.Buffer
	slog.New(slog.NewJSONHandler(&log, nil)).Info("x", "config", c, "basic", c.Basic, "password", c.Basic.Password)
	j, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	all := log.String() + string(j) + fmt.Sprintf("%v %+v %#v %s %q %x", c.Basic, c.Basic, c.Basic, c.Basic.Password, c.Basic.Password, c.Basic.Password)
	if strings.Contains(all, "extremely") || strings.Contains(all, fmt.Sprintf("%x", "extremely")) {
		t.Errorf("a secret shows: %s", all)
	}
}

func TestYAML(t *testing.T) {
	text := `
id: descope
tenant: acme
application: Acme Shop
oauth: {client_id: c1, client_secret: 0123456789abcdef}
hmac_secret: 0123456789abcdef0
rfc9421:
  keys: [{keyid: k1, algorithm: hmac-sha256, secret: 0123456789abcdef}]
  require_content_digest: false
callback_urls: [https://app.example.com/cb]
document_types: [passport]
liveness_modes: [passive, none]
claims: [given_name]
`
	var c callers.Config
	if err := yaml.Unmarshal([]byte(text), &c); err != nil {
		t.Fatal(err)
	}
	if c.OAuth == nil || string(c.OAuth.ClientSecret) != "0123456789abcdef" || *c.RFC9421.RequireContentDigest || c.RFC9421.Keys[0].Algorithm != httpsig.HMACSHA256 {
		t.Errorf("%+v", c)
	}
	registry(t, []callers.Config{c}, callers.Options{})
}

func FuzzAuthenticate(f *testing.F) {
	f.Add("Bearer ksat1.e30.AAAA", `sig1=("@method");created=1;nonce="n";keyid="k"`, "sig1=:AAAA:", "AAAA", []byte("{}"))
	f.Add("Basic Zm9vOmJhcg==", "", "", "", []byte(nil))
	clk := newClock()
	cfg, _ := signedCaller(f, clk)
	cfg.HMACSecret = hmacKey
	r := registry(f, append(configs()[1:4], cfg), callers.Options{Now: clk.now})
	f.Fuzz(func(t *testing.T, auth, input, sig, hm string, body []byte) {
		req := request()
		req.Header["Authorization"] = []string{auth}
		req.Header["Signature-Input"] = []string{input}
		req.Header["Signature"] = []string{sig}
		req.Header["X-Descope-Webhook-S256"] = []string{hm}
		if c, err := r.Authenticate(req, body); err == nil {
			t.Fatalf("%q got in with %q", c.ID, auth)
		}
	})
}

func BenchmarkAuthenticateSigned(b *testing.B) {
	clk := newClock()
	cfg, signer := signedCaller(b, clk)
	no := false
	cfg.RFC9421.RequireContentDigest = &no
	r := registry(b, []callers.Config{cfg}, callers.Options{Now: clk.now})
	for b.Loop() {
		if _, err := r.Authenticate(signed(b, signer, nil, "/descope/v1/idv"), nil); err != nil {
			b.Fatal(err)
		}
		clk.add(time.Second) // so that old nonces go
	}
}

// TestEventsOnly: who may only tell events may do so by the HMAC alone, by any of its
// secrets, and nothing else.
func TestEventsOnly(t *testing.T) {
	body := []byte(`[{"action":"UserCreated"}]`)
	const second, third = "hmac-secret-second-0123", "hmac-secret-third-01234"
	cfg := append(configs(),
		callers.Config{ID: "audit", Tenant: "acme", Application: "Acme", HMACSecret: second, HMACSecrets: []callers.Secret{third}, EventsOnly: true},
		callers.Config{ID: "audit-token", Tenant: "acme", Application: "Acme", Bearer: bearer + "-audit", EventsOnly: true})
	for _, tt := range []struct {
		name          string
		headers       []string
		body          []byte
		events, nodes string // caller id; empty: refused
		forbidden     bool
	}{
		{"hmac", []string{"X-Descope-Webhook-S256", mac(second, body)}, body, "audit", "", false},
		{"hmac of the other secret", []string{"X-Descope-Webhook-S256", mac(third, body)}, body, "audit", "", false},
		{"hmac twice", []string{"X-Descope-Webhook-S256", mac(second, body), "X-Descope-Webhook-S256", mac(second, body)}, body, "", "", false},
		{"hmac of a caller with more", []string{"X-Descope-Webhook-S256", mac(hmacKey, body)}, body, "", "", false},
		{"hmac of nothing", []string{"X-Descope-Webhook-S256", mac(second, nil)}, nil, "", "", false},
		{"hmac and a wrong token", []string{"X-Descope-Webhook-S256", mac(second, body), "Authorization", "Bearer x"}, body, "", "", false},
		{"hmac and a wrong key", []string{"X-Descope-Webhook-S256", mac(second, body), "X-Api-Key", "x"}, body, "", "", false},
		{"token", []string{"Authorization", "Bearer " + bearer + "-audit"}, body, "audit-token", "", true},
		{"token of one with all rights", []string{"Authorization", "Bearer " + bearer}, body, "bearer", "bearer", false},
		{"token without its hmac", []string{"Authorization", "Bearer " + bearer + "-hmac"}, body, "", "", false},
		{"nothing", nil, body, "", "", false},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := registry(t, cfg, callers.Options{})
			if c, err := r.AuthenticateEvents(request(tt.headers...), tt.body); c.ID != tt.events || (err == nil) != (tt.events != "") {
				t.Errorf("events: %+v, %v", c, err)
			}
			c, err := r.Authenticate(request(tt.headers...), tt.body)
			if c.ID != tt.nodes || (err == nil) != (tt.nodes != "") || (proof.CodeOf(err) == proof.CodeForbidden) != tt.forbidden {
				t.Errorf("others: %+v, %v", c, err)
			}
		})
	}
	for name, c := range map[string]callers.Config{
		"no credential, all rights": {ID: "x", Tenant: "acme", Application: "A", HMACSecret: hmacKey},
		"no credential, no secret":  {ID: "x", Tenant: "acme", Application: "A", EventsOnly: true},
		"short secret":              {ID: "x", Tenant: "acme", Application: "A", EventsOnly: true, HMACSecrets: []callers.Secret{"short"}},
		"many secrets":              {ID: "x", Tenant: "acme", Application: "A", Bearer: "b" + bearer, HMACSecrets: []callers.Secret{second, second, second, second}},
		"secret of another":         {ID: "x", Tenant: "acme", Application: "A", EventsOnly: true, HMACSecret: third},
	} {
		if _, err := callers.New(append(cfg, c), callers.Options{PublicURL: publicURL}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

// TestHMACRotation: while a secret is being changed the one before does, too.
func TestHMACRotation(t *testing.T) {
	c := configs()[4]
	c.HMACSecrets = []callers.Secret{"hmac-secret-of-before"}
	r := registry(t, []callers.Config{c}, callers.Options{})
	for key, ok := range map[string]bool{hmacKey: true, "hmac-secret-of-before": true, "hmac-secret-of-nobody": false} {
		_, err := r.Authenticate(request("Authorization", "Bearer "+bearer+"-hmac", "X-Descope-Webhook-S256", mac(key, []byte("{}"))), []byte("{}"))
		if (err == nil) != ok {
			t.Errorf("%s: %v", key, err)
		}
	}
}
