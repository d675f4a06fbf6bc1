package connectors_test

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

const (
	bearer  = "bearer-secret-0123456789"
	pass    = "password-0123456789"
	apiKey  = "api-key-secret-0123456789"
	oauth   = "oauth/secret+0123456789"
	hmacKey = "hmac-secret-0123456789"
	shared  = "a shared secret of some length"
)

func newConnectors(t testing.TB, o connectors.Options, configs ...connectors.Config) *connectors.Connectors {
	t.Helper()
	if o.Names == nil {
		o.Names = flow.DefaultNames()
	}
	c, err := connectors.New(configs, o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c
}

func post(name, endpoint string, payload any) runner.Call {
	return runner.Call{
		Connector: name, Template: "http", Command: "post", Args: map[string]any{"endpoint": endpoint, "payload": payload},
		Flow: "kosmos-step-up", Task: "7", Execution: "kosmos-step-up|#|2tlLxyz0123456789",
	}
}

// fails checks that err is an error of a flow that tells a person nothing but what
// to do.
func fails(t testing.TB, err error, name string) *runner.ConnectorError {
	t.Helper()
	e, ok := errors.AsType[*runner.ConnectorError](err)
	if !ok || e.Name != name || e.Message == "" || e.Cause == nil {
		t.Fatalf("got %#v, want a %s", err, name)
	}
	if strings.ContainsAny(e.Message, "{}:/0123456789") {
		t.Errorf("what a person reads is not generic: %q", e.Message)
	}
	return e
}

func private(t testing.TB, key any) string {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}))
}

func public(t testing.TB, key crypto.Signer) string {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(key.Public())
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
}

// bridge is a server that answers whoever the real registry of callers lets in.
type bridge struct {
	*httptest.Server
	registry *callers.Registry
	tokens   atomic.Int32
}

func newBridge(t testing.TB, cfg ...callers.Config) *bridge {
	t.Helper()
	b := &bridge{}
	b.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == callers.TokenPath {
			b.tokens.Add(1)
			b.registry.ServeToken(w, r)
			return
		}
		body, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		c, err := b.registry.Authenticate(r, body)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Set-Cookie", "session=not-for-the-log")
		if err != nil {
			w.WriteHeader(http.StatusUnauthorized)
			_ = json.NewEncoder(w).Encode(map[string]string{"message": err.Error()})
			return
		}
		_ = json.NewEncoder(w).Encode(map[string]any{"caller": c.ID, "method": r.Method, "target": r.RequestURI, "body": string(body), "status": "pending"})
	}))
	t.Cleanup(b.Close)
	var err error
	if b.registry, err = callers.New(cfg, callers.Options{PublicURL: b.URL}); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestAuthentication(t *testing.T) {
	p256, _ := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	p384, _ := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	_, ed, _ := ed25519.GenerateKey(rand.Reader)
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	sec1, err := x509.MarshalECPrivateKey(p256)
	if err != nil {
		t.Fatal(err)
	}
	no := false
	caller := func(id string) callers.Config {
		return callers.Config{ID: id, Tenant: "acme", Application: "Acme", Bearer: callers.Secret(bearer + id)}
	}
	config := func(id string) connectors.Config {
		return connectors.Config{Name: id, Authentication: connectors.Authentication{Method: connectors.BearerToken, BearerToken: bearer + id}}
	}
	var cfg []callers.Config
	var out []connectors.Config
	add := func(id string, f func(*callers.Config, *connectors.Config)) {
		a, b := caller(id), config(id)
		f(&a, &b)
		cfg, out = append(cfg, a), append(out, b)
	}
	add("bearer", func(*callers.Config, *connectors.Config) {})
	add("basic", func(a *callers.Config, b *connectors.Config) {
		a.Bearer, a.Basic = "", &callers.Basic{Username: "descope", Password: pass}
		b.Authentication = connectors.Authentication{Method: connectors.Basic, Basic: &connectors.BasicAuth{Username: "descope", Password: pass}}
	})
	add("api-key", func(a *callers.Config, b *connectors.Config) {
		a.Bearer, a.APIKey = "", &callers.APIKey{Header: "x-api-key", Value: apiKey}
		b.Authentication = connectors.Authentication{Method: connectors.APIKey, APIKey: &connectors.APIKeyAuth{Key: "x-api-key", Token: apiKey}}
	})
	for _, style := range []string{"", "header", "body"} {
		add("oauth"+style, func(a *callers.Config, b *connectors.Config) {
			a.Bearer, a.OAuth = "", &callers.OAuth{ClientID: "client 1" + style, ClientSecret: oauth}
			b.Authentication = connectors.Authentication{Method: connectors.ClientCredentials, OAuth2ClientCredentials: &connectors.OAuth{
				ClientID: "client 1" + style, ClientSecret: oauth, AuthURL: "/oauth2/token", AuthStyle: style, Scopes: connectors.Scopes{"a", "b"},
			}}
		})
	}
	add("hmac", func(a *callers.Config, b *connectors.Config) { a.HMACSecret, b.HMACSecret = hmacKey, hmacKey })
	for alg, key := range map[httpsig.Algorithm]crypto.Signer{
		httpsig.ECDSAP256: p256, httpsig.ECDSAP384: p384, httpsig.Ed25519: ed, httpsig.RSAPSSSHA512: rsaKey,
	} {
		add(string(alg), func(a *callers.Config, b *connectors.Config) {
			a.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "k " + string(alg), Algorithm: alg, PublicKey: public(t, key)}}}
			b.RFC9421SigningEnabled, b.RFC9421PrivateKey, b.RFC9421KeyID = true, private(t, key), "k "+string(alg)
			b.RFC9421Components = "@method, @target-uri,@authority, Content-Digest,content-type"
		})
	}
	add("sec1-in-one-line", func(a *callers.Config, b *connectors.Config) {
		a.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "s", Algorithm: httpsig.ECDSAP256, PublicKey: public(t, p256)}}, RequireContentDigest: &no}
		b.RFC9421SigningEnabled, b.RFC9421KeyID = true, "s"
		b.RFC9421PrivateKey = strings.ReplaceAll(string(pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: sec1})), "\n", " ")
	})
	add("pkcs1", func(a *callers.Config, b *connectors.Config) {
		a.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "p", Algorithm: httpsig.RSAPSSSHA512, PublicKey: public(t, rsaKey)}}, RequireContentDigest: &no}
		b.RFC9421SigningEnabled, b.RFC9421KeyID = true, "p"
		b.RFC9421PrivateKey = string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(rsaKey)}))
	})
	add("everything", func(a *callers.Config, b *connectors.Config) {
		a.HMACSecret, b.HMACSecret = hmacKey, hmacKey
		a.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "h", Algorithm: httpsig.HMACSHA256, Secret: shared}}}
		b.RFC9421SigningEnabled, b.RFC9421PrivateKey, b.RFC9421KeyID = true, shared, "h"
		b.RFC9421Components, b.RFC9421SignatureTTL = "@method,@target-uri,content-digest", 60
	})
	add("default-components", func(a *callers.Config, b *connectors.Config) { // no digest, which the bridge refuses unless told otherwise
		a.RFC9421 = &callers.RFC9421{Keys: []callers.Key{{KeyID: "h", Algorithm: httpsig.HMACSHA256, Secret: shared}}}
		b.RFC9421SigningEnabled, b.RFC9421PrivateKey, b.RFC9421KeyID = true, shared, "h"
	})
	b := newBridge(t, cfg...)
	for i := range out {
		out[i].BaseURL = b.URL + "/descope"
		if o := out[i].Authentication.OAuth2ClientCredentials; o != nil {
			o.AuthURL = b.URL + o.AuthURL
		}
	}
	var slogged bytes.Buffer
	c := newConnectors(t, connectors.Options{Logger: slog.New(slog.NewJSONHandler(&slogged, &slog.HandlerOptions{Level: slog.LevelDebug}))}, out...)
	for _, k := range out {
		t.Run(k.Name, func(t *testing.T) {
			body := `{"user_identifier": "Zoë <z@example.org>", "n": null}`
			got, err := c.Run(t.Context(), post(k.Name, "/v1/stepup?a=b%20c&d", body))
			if k.Name == "default-components" {
				fails(t, err, flow.RequestError)
				return
			}
			want := map[string]any{"caller": k.Name, "method": "POST", "target": "/descope/v1/stepup?a=b%20c&d", "body": body, "status": "pending"}
			if err != nil || !reflect.DeepEqual(got, want) {
				t.Fatalf("got %v, %v", got, err)
			}
			r := c.Calls()[0]
			if r.Flow != "kosmos-step-up" || r.Task != "7" || r.Execution != "23456789" || r.Body != body || r.Status != 200 || r.Error != "" {
				t.Errorf("record: %+v", r)
			}
			if k.RFC9421SigningEnabled && (!strings.HasPrefix(r.Base, `"@method": POST`) || !strings.Contains(r.Base, `"@target-uri": `+b.URL+"/descope/v1/stepup?a=b%20c&d")) {
				t.Errorf("signature base: %s", r.Base)
			}
			if k.HMACSecret != "" && r.HMACInput != body {
				t.Errorf("HMAC input: %s", r.HMACInput)
			}
		})
	}
	if n := b.tokens.Load(); n != 3 {
		t.Errorf("%d tokens were fetched, want one for each client", n)
	}
	log, err := json.Marshal(c.Calls())
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{bearer, pass, apiKey, "oauth/secret", "oauth%2Fsecret", hmacKey, shared, "ksat1.", "not-for-the-log", "Basic ZGVz"} {
		if bytes.Contains(log, []byte(secret)) || bytes.Contains(slogged.Bytes(), []byte(secret)) {
			t.Errorf("%q is in a log", secret)
		}
	}
	for _, s := range []string{"Zo", "stepup?", "example.org"} {
		if strings.Contains(slogged.String(), s) {
			t.Errorf("%q is in the program's log", s)
		}
	}
}

func TestTokenIsFetchedAgainAfter401(t *testing.T) {
	var tokens, calls, refused atomic.Int32
	refuse := true
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/token" {
			if err := r.ParseForm(); err != nil || r.Form.Get("grant_type") != "client_credentials" || r.Form.Get("scope") != "read write" || r.Header.Get("X-Extra") != "1" {
				t.Errorf("token request: %v %v", r.Form, r.Header)
			}
			n := tokens.Add(1)
			_, _ = io.WriteString(w, `{"access_token":"token-`+string('0'+rune(n))+`","token_type":"Bearer","expires_in":3600}`)
			return
		}
		calls.Add(1)
		if refuse && r.Header.Get("Authorization") != "Bearer token-2" {
			refused.Add(1)
			w.WriteHeader(401)
			return
		}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer s.Close()
	var cfg connectors.Config
	if err := json.Unmarshal([]byte(`{"name":"k","baseUrl":"`+s.URL+`","authentication":{"method":"oauth2ClientCredentials","oauth2ClientCredentials":
		{"clientId":"c","clientSecret":"s","authUrl":"`+s.URL+`/token","scopes":"read write","tokenRequestHeaders":[{"key":"x-extra","value":"1"}]}}}`), &cfg); err != nil {
		t.Fatal(err)
	}
	now := time.Unix(1_800_000_000, 0)
	c := newConnectors(t, connectors.Options{Now: func() time.Time { return now }}, cfg)
	for range 2 {
		if _, err := c.Run(t.Context(), post("k", "/x", nil)); err != nil {
			t.Fatal(err)
		}
	}
	if tokens.Load() != 2 || calls.Load() != 3 || refused.Load() != 1 {
		t.Errorf("%d tokens, %d calls, %d refused", tokens.Load(), calls.Load(), refused.Load())
	}
	now = now.Add(time.Hour) // the token has expired; the third is refused, and so is the fourth
	_, err := c.Run(t.Context(), post("k", "/x", nil))
	fails(t, err, flow.RequestError)
	if tokens.Load() != 4 || calls.Load() != 5 {
		t.Errorf("refused again and again: %d tokens, %d calls", tokens.Load(), calls.Load())
	}
}

func TestTokenEndpointFails(t *testing.T) {
	for name, answer := range map[string]string{
		"error": "400 {\"error\":\"invalid_client\"}", "no JSON": "200 x", "no token": "200 {\"token_type\":\"bearer\"}",
		"other type": "200 {\"access_token\":\"a\",\"token_type\":\"mac\"}", "line break": "200 {\"access_token\":\"a\\r\\nX: 1\",\"token_type\":\"bearer\"}",
	} {
		t.Run(name, func(t *testing.T) {
			s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.URL.Path != "/token" {
					t.Error("the call was made without a token")
				}
				if answer[:3] != "200" {
					w.WriteHeader(400)
				}
				_, _ = io.WriteString(w, answer[4:])
			}))
			defer s.Close()
			c := newConnectors(t, connectors.Options{}, connectors.Config{Name: "k", BaseURL: s.URL, Authentication: connectors.Authentication{
				Method: connectors.ClientCredentials, OAuth2ClientCredentials: &connectors.OAuth{ClientID: "c", ClientSecret: "s", AuthURL: s.URL + "/token"},
			}})
			_, err := c.Run(t.Context(), post("k", "/x", nil))
			fails(t, err, flow.ConnectorFailed)
			if calls := c.Calls(); len(calls) != 2 || !calls[1].Token || calls[0].Error != flow.ConnectorFailed {
				t.Errorf("log: %+v", calls)
			}
		})
	}
}

func TestAnswers(t *testing.T) {
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("a redirect was followed") }))
	defer elsewhere.Close()
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/ok":
			w.Header().Set("X-Request-Id", "r1")
			w.WriteHeader(201)
			_, _ = io.WriteString(w, ` {"status":"pending","list":[1,"a",null]} `)
		case "/scalar":
			_, _ = io.WriteString(w, `"text"`)
		case "/500":
			w.WriteHeader(500)
			_, _ = io.WriteString(w, `{}`)
		case "/404":
			w.WriteHeader(404)
		case "/text":
			_, _ = io.WriteString(w, `ok`)
		case "/two":
			_, _ = io.WriteString(w, `{}{}`)
		case "/empty":
			w.WriteHeader(204)
		case "/redirect":
			http.Redirect(w, r, elsewhere.URL, http.StatusTemporaryRedirect)
		case "/longest":
			_, _ = io.WriteString(w, `"`+strings.Repeat("a", connectors.MaxAnswer-2)+`"`)
		case "/long":
			_, _ = io.WriteString(w, `"`+strings.Repeat("a", connectors.MaxAnswer-1)+`"`)
		case "/cut":
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, `{}`)
		}
	}))
	defer s.Close()
	c := newConnectors(t, connectors.Options{}, connectors.Config{Name: "k", BaseURL: s.URL},
		connectors.Config{Name: "headers", BaseURL: s.URL, IncludeHeadersInContext: true},
		connectors.Config{Name: "nobody", BaseURL: "http://127.0.0.1:1"},
		connectors.Config{Name: "disabled", BaseURL: s.URL, Disabled: true})
	ok := map[string]any{"status": "pending", "list": []any{1.0, "a", nil}}
	if got, err := c.Run(t.Context(), post("k", "ok", nil)); err != nil || !reflect.DeepEqual(got, ok) {
		t.Errorf("got %v, %v", got, err)
	}
	if got, err := c.Run(t.Context(), post("k", "/scalar", nil)); err != nil || got != "text" {
		t.Errorf("got %v, %v", got, err)
	}
	if _, err := c.Run(t.Context(), post("k", "/longest", nil)); err != nil {
		t.Error(err)
	}
	got, err := c.Run(t.Context(), post("headers", "/ok", nil))
	if m, _ := got.(map[string]any); err != nil || !reflect.DeepEqual(m["body"], ok) || m["statusCode"] != 201.0 || m["headers"].(map[string]any)["X-Request-Id"] != "r1" {
		t.Errorf("with headers: %v, %v", got, err)
	}
	for _, path := range []string{"/500", "/404", "/text", "/two", "/empty", "/redirect", "/long", "/cut"} {
		got, err := c.Run(t.Context(), post("k", path, nil))
		fails(t, err, flow.RequestError)
		if got != nil {
			t.Errorf("%s: an answer beside the error: %v", path, got)
		}
		if r := c.Calls()[0]; r.Error != flow.RequestError || r.Detail == "" || !strings.HasSuffix(r.URL, path) {
			t.Errorf("%s: record %+v", path, r)
		}
	}
	_, err = c.Run(t.Context(), post("nobody", "/v1?email=a@b.c", nil))
	if e := fails(t, err, flow.RequestError); strings.Contains(e.Error(), "a@b.c") {
		t.Errorf("the query is in the error: %v", e)
	}
	for name, call := range map[string]runner.Call{
		"unknown":  post("other", "/ok", nil),
		"disabled": post("disabled", "/ok", nil),
		"command":  {Connector: "k", Template: "http", Command: "POST"},
		"template": {Connector: "k", Template: "slack", Command: "post"},
		"payload":  post("k", "/ok", "{broken"),
		"endpoint": post("k", "/../ok", nil),
		"number":   post("k", "", nil),
		"get":      {Connector: "k", Template: "http", Command: "get", Args: map[string]any{"payload": map[string]any{"a": 1}}},
	} {
		if name == "number" {
			call.Args["endpoint"] = 5.0
		}
		_, err := c.Run(t.Context(), call)
		fails(t, err, flow.ConnectorFailed)
	}
	for _, v := range []any{-1.0, "x", 61.0, []any{}, "NaN"} {
		call := post("k", "/ok", nil)
		call.Args["timeout"] = v
		_, err := c.Run(t.Context(), call)
		fails(t, err, flow.ConnectorFailed)
	}
	for _, v := range []any{nil, "", 0.0, "5", 5.0, 5} {
		call := post("k", "/ok", nil)
		call.Args["timeout"] = v
		if _, err := c.Run(t.Context(), call); err != nil {
			t.Errorf("timeout %v: %v", v, err)
		}
	}
}

func TestRequests(t *testing.T) {
	type seen struct {
		method, target, body string
		header               http.Header
	}
	got := make(chan seen, 1)
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		got <- seen{r.Method, r.RequestURI, string(b), r.Header}
		_, _ = io.WriteString(w, `{}`)
	}))
	defer s.Close()
	c := newConnectors(t, connectors.Options{}, connectors.Config{
		Name: "k", BaseURL: s.URL + "/base/", Headers: []connectors.Header{{Key: "x-a", Value: "1"}, {Key: "accept", Value: "application/x"}},
	})
	for _, tt := range []struct {
		command, endpoint string
		payload           any
		method, target    string
		body              string
	}{
		{"get", "/v1/x?q={}", nil, "GET", "/base/v1/x?q={}", ""},
		{"post", "v1", map[string]any{"b": []any{1, true, nil}, "a": "<&>é"}, "POST", "/base/v1", `{"a":"<&>é","b":[1,true,null]}`},
		{"put", "", " {\"kept\" : 1} ", "PUT", "/base", ` {"kept" : 1} `},
		{"patch", "/", "", "PATCH", "/base/", ""},
		{"delete", "/x%20y", nil, "DELETE", "/base/x%20y", ""},
	} {
		_, err := c.Run(t.Context(), runner.Call{Connector: "k", Template: "http", Command: tt.command, Args: map[string]any{"endpoint": tt.endpoint, "payload": tt.payload, "other": 1}})
		if err != nil {
			t.Fatal(err)
		}
		r := <-got
		if r.method != tt.method || r.target != tt.target || r.body != tt.body {
			t.Errorf("%s %s: got %s %s %q", tt.command, tt.endpoint, r.method, r.target, r.body)
		}
		if r.header.Get("X-A") != "1" || r.header.Get("Accept") != "application/x" || (r.header.Get("Content-Type") == "application/json") != (tt.body != "") {
			t.Errorf("%s: headers %v", tt.command, r.header)
		}
		if c.Calls()[0].Ignored[0] != "other" {
			t.Errorf("%s: ignored %v", tt.command, c.Calls()[0].Ignored)
		}
	}
}

func TestTLS(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, `{}`) }))
	defer s.Close()
	s.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	ca := filepath.Join(t.TempDir(), "ca.pem")
	if err := os.WriteFile(ca, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: s.Certificate().Raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	c := newConnectors(t, connectors.Options{}, connectors.Config{Name: "stranger", BaseURL: s.URL},
		connectors.Config{Name: "insecure", BaseURL: s.URL, Insecure: true}, connectors.Config{Name: "ca", BaseURL: s.URL, CAFile: ca})
	_, err := c.Run(t.Context(), post("stranger", "/", nil))
	fails(t, err, flow.RequestError)
	for _, name := range []string{"insecure", "ca"} {
		if _, err := c.Run(t.Context(), post(name, "/", nil)); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// roundTrip is a server without a network, for tests of time.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

func says(status int, body string) *http.Response {
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}
}

func TestTimeouts(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := newConnectors(t, connectors.Options{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
			<-r.Context().Done()
			return nil, r.Context().Err()
		})}, connectors.Config{Name: "k", BaseURL: "http://bridge.test"})
		for arg, want := range map[any]time.Duration{nil: connectors.DefaultTimeout, 2.5: 2500 * time.Millisecond, "60": connectors.MaxTimeout} {
			call := post("k", "/x", nil)
			call.Args["timeout"] = arg
			start := time.Now()
			_, err := c.Run(t.Context(), call)
			if e := fails(t, err, flow.RequestError); !errors.Is(e, context.DeadlineExceeded) {
				t.Errorf("cause: %v", e.Cause)
			}
			if took := time.Since(start); took != want {
				t.Errorf("timeout %v: gave up after %v, want %v", arg, took, want)
			}
		}
	})
}

func TestAsync(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var done atomic.Int32
		c := newConnectors(t, connectors.Options{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
			time.Sleep(3 * time.Second)
			done.Add(1)
			return says(200, `{"a":1}`), nil
		})}, connectors.Config{Name: "k", BaseURL: "http://bridge.test"})
		ctx, cancel := context.WithCancel(t.Context())
		call := post("k", "/x", nil)
		call.Async = true
		start, started := time.Now(), 0
		for range 40 {
			got, err := c.Run(ctx, call)
			if got != nil {
				t.Errorf("an answer: %v", got)
			}
			if err != nil {
				fails(t, err, flow.ConnectorFailed)
				continue
			}
			started++
		}
		if time.Since(start) != 0 || started != 32 {
			t.Errorf("started %d in %v", started, time.Since(start))
		}
		cancel() // the flow has gone; the calls go on
		c.Close()
		if int(done.Load()) != started || time.Since(start) != 3*time.Second {
			t.Errorf("%d done after %v", done.Load(), time.Since(start))
		}
		_, err := c.Run(t.Context(), call)
		fails(t, err, flow.ConnectorFailed)
	})
}

func TestFaults(t *testing.T) {
	for _, tt := range []struct {
		fault faults.Fault
		calls int    // that the server gets
		want  any    // answer
		err   string // name of the error
		took  time.Duration
	}{
		{faults.Fault{Kind: faults.Slow, DelayMS: 4000}, 1, map[string]any{"status": "match", "n": 5.0}, "", 4 * time.Second},
		{faults.Fault{Kind: faults.Slow, DelayMS: 30_000}, 0, nil, flow.RequestError, connectors.DefaultTimeout},
		{faults.Fault{Kind: faults.Status, Status: 503}, 0, nil, flow.RequestError, 0},
		{faults.Fault{Kind: faults.Malformed}, 1, nil, flow.RequestError, 0},
		{faults.Fault{Kind: faults.Nulls}, 1, map[string]any{"status": nil, "n": nil}, "", 0},
		{faults.Fault{Kind: faults.Lost}, 1, nil, flow.RequestError, 0},
		{faults.Fault{Kind: faults.Duplicate}, 2, map[string]any{"status": "match", "n": 5.0}, "", 0},
	} {
		t.Run(string(tt.fault.Kind), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				calls := 0
				set := faults.New()
				c := newConnectors(t, connectors.Options{Faults: set, Transport: roundTrip(func(*http.Request) (*http.Response, error) {
					calls++
					return says(200, `{"status":"match","n":5}`), nil
				})}, connectors.Config{Name: "1Kosmos Bridge", BaseURL: "http://bridge.test"}, connectors.Config{Name: "other", BaseURL: "http://bridge.test"})
				tt.fault.Target, tt.fault.Count = "connector:1Kosmos Bridge", 1
				if _, err := set.Add(tt.fault); err != nil {
					t.Fatal(err)
				}
				if _, err := c.Run(t.Context(), post("other", "/x", nil)); err != nil || calls != 1 {
					t.Fatalf("the other connector: %v, %d calls", err, calls)
				}
				calls = 0
				start := time.Now()
				got, err := c.Run(t.Context(), post("1Kosmos Bridge", "/x", nil))
				if tt.err != "" {
					fails(t, err, tt.err)
				}
				if !reflect.DeepEqual(got, tt.want) || (err != nil) != (tt.err != "") || calls != tt.calls || time.Since(start) != tt.took {
					t.Errorf("got %v, %v after %d calls and %v", got, err, calls, time.Since(start))
				}
				if r := c.Calls()[0]; r.Fault != string(tt.fault.Kind) {
					t.Errorf("the log does not say so: %+v", r)
				}
				if _, err := c.Run(t.Context(), post("1Kosmos Bridge", "/x", nil)); err != nil || len(set.List()) != 0 {
					t.Errorf("the fault stays: %v", err)
				}
			})
		})
	}
}

// A doubled call is signed anew, as Descope's second run of a step would be: it is
// no replay.
func TestDuplicateIsSignedAnew(t *testing.T) {
	b := newBridge(t, callers.Config{ID: "k", Tenant: "acme", Application: "Acme", Bearer: bearer,
		RFC9421: &callers.RFC9421{Keys: []callers.Key{{KeyID: "h", Algorithm: httpsig.HMACSHA256, Secret: shared}}}})
	set := faults.New()
	if _, err := set.Add(faults.Fault{Target: "connector", Kind: faults.Duplicate}); err != nil {
		t.Fatal(err)
	}
	c := newConnectors(t, connectors.Options{Faults: set}, connectors.Config{Name: "k", BaseURL: b.URL,
		Authentication:        connectors.Authentication{Method: connectors.BearerToken, BearerToken: bearer},
		RFC9421SigningEnabled: true, RFC9421PrivateKey: shared, RFC9421KeyID: "h", RFC9421Components: "@method,@target-uri,content-digest"})
	if _, err := c.Run(t.Context(), post("k", "/x", `{}`)); err != nil {
		t.Fatal(err)
	}
	if calls := c.Calls(); len(calls) != 2 || calls[0].Status != 200 || calls[1].Status != 200 {
		t.Errorf("calls: %+v", calls)
	}
}

func TestLogIsARing(t *testing.T) {
	c := newConnectors(t, connectors.Options{Transport: roundTrip(func(*http.Request) (*http.Response, error) {
		return says(200, `"`+strings.Repeat("é", 20_000)+`"`), nil
	})}, connectors.Config{Name: "k", BaseURL: "http://bridge.test"})
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for range 150 {
				if _, err := c.Run(t.Context(), post("k", "/x", nil)); err != nil {
					t.Error(err)
				}
				c.Calls()
			}
		})
	}
	wg.Wait()
	calls := c.Calls()
	if len(calls) != 500 || calls[0].ID != 600 || calls[499].ID != 101 {
		t.Fatalf("%d calls, %d to %d", len(calls), calls[0].ID, calls[len(calls)-1].ID)
	}
	if len(calls[0].Answer) > 17<<10 {
		t.Errorf("an answer of %d bytes is kept", len(calls[0].Answer))
	}
	if _, ok := c.Call(100); ok {
		t.Error("call 100 is still there")
	}
	if r, ok := c.Call(300); !ok || r.ID != 300 {
		t.Error("call 300 is not there")
	}
}

func TestNewRefuses(t *testing.T) {
	small := `-----BEGIN PRIVATE KEY-----AAAA-----END PRIVATE KEY-----`
	p224, err := ecdsa.GenerateKey(elliptic.P224(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{
		"no name":         `{"baseUrl":"http://b"}`,
		"no URL":          `{"name":"k"}`,
		"other scheme":    `{"name":"k","baseUrl":"ftp://b"}`,
		"user in URL":     `{"name":"k","baseUrl":"http://u:p@b"}`,
		"query in URL":    `{"name":"k","baseUrl":"http://b?x"}`,
		"method":          `{"name":"k","baseUrl":"http://b","authentication":{"method":"mtls"}}`,
		"no token":        `{"name":"k","baseUrl":"http://b","authentication":{"method":"bearerToken"}}`,
		"no basic":        `{"name":"k","baseUrl":"http://b","authentication":{"method":"basic"}}`,
		"no key":          `{"name":"k","baseUrl":"http://b","authentication":{"method":"apiKey","apiKey":{"key":"x"}}}`,
		"bad key":         `{"name":"k","baseUrl":"http://b","authentication":{"method":"apiKey","apiKey":{"key":"x y","token":"t"}}}`,
		"no client":       `{"name":"k","baseUrl":"http://b","authentication":{"method":"oauth2ClientCredentials"}}`,
		"style":           `{"name":"k","baseUrl":"http://b","authentication":{"method":"oauth2ClientCredentials","oauth2ClientCredentials":{"clientId":"a","clientSecret":"b","authUrl":"http://b","authStyle":"query"}}}`,
		"token URL":       `{"name":"k","baseUrl":"http://b","authentication":{"method":"oauth2ClientCredentials","oauth2ClientCredentials":{"clientId":"a","clientSecret":"b","authUrl":"/token"}}}`,
		"header":          `{"name":"k","baseUrl":"http://b","headers":[{"key":"a:b","value":""}]}`,
		"header's value":  `{"name":"k","baseUrl":"http://b","headers":[{"key":"a","value":"b\r\nc: d"}]}`,
		"host header":     `{"name":"k","baseUrl":"http://b","headers":[{"key":"host","value":"x"}]}`,
		"AWS":             `{"name":"k","baseUrl":"http://b","awsAuthType":"credentials"}`,
		"engine":          `{"name":"k","baseUrl":"http://b","executorType":"engine"}`,
		"no CA":           `{"name":"k","baseUrl":"http://b","caFile":"/nowhere/ca.pem"}`,
		"no signing key":  `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"x"}`,
		"no key id":       `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421PrivateKey":"0123456789abcdef"}`,
		"strange key id":  `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"é","rfc9421PrivateKey":"0123456789abcdef"}`,
		"broken key":      `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"x","rfc9421PrivateKey":"` + small + `"}`,
		"public key":      `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"x","rfc9421PrivateKey":"-----BEGIN PUBLIC KEY-----AAAA-----END"}`,
		"P-224":           `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"x","rfc9421PrivateKey":"` + strings.ReplaceAll(private(t, p224), "\n", " ") + `"}`,
		"negative TTL":    `{"name":"k","baseUrl":"http://b","rfc9421SigningEnabled":true,"rfc9421KeyId":"x","rfc9421PrivateKey":"0123456789abcdef","rfc9421SignatureTtl":-1}`,
		"the same name 2": `{"name":"dup","baseUrl":"http://b"}`,
	} {
		var cfg connectors.Config
		if err := json.Unmarshal([]byte(text), &cfg); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		list := []connectors.Config{{Name: "dup", BaseURL: "http://b"}, cfg}
		if _, err := connectors.New(list, connectors.Options{Names: flow.DefaultNames()}); err == nil {
			t.Errorf("%s: accepted", name)
		} else if strings.Contains(err.Error(), "0123456789abcdef") {
			t.Errorf("%s: the secret is in the error: %v", name, err)
		}
	}
	if _, err := connectors.New(nil, connectors.Options{}); err == nil {
		t.Error("no names: accepted")
	}
}

func TestKnown(t *testing.T) {
	c := newConnectors(t, connectors.Options{}, connectors.Config{Name: "1Kosmos Bridge", BaseURL: "http://b"})
	if !c.Known("1Kosmos Bridge") || c.Known("1kosmos bridge") || c.Known("") || len(c.Names()) != 1 {
		t.Error("Known is wrong")
	}
}

func TestConfigGolden(t *testing.T) {
	b, err := os.ReadFile(filepath.Join("testdata", "connectors.json"))
	if err != nil {
		t.Fatal(err)
	}
	var cfg []connectors.Config
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&cfg); err != nil {
		t.Fatal(err)
	}
	again, err := json.MarshalIndent(cfg, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if string(again)+"\n" != string(b) {
		t.Errorf("the configuration became\n%s", again)
	}
	if _, err := connectors.New(cfg, connectors.Options{Names: flow.DefaultNames()}); err != nil {
		t.Error(err)
	}
}
