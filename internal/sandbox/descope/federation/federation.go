package federation

import (
	"cmp"
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Addresses where browsers come back to, below the project's base URL.
const (
	Callback = "/v1/oauth/callback"
	ACS      = "/v1/auth/saml/acs"
)

// Options makes a Federation. ProjectID and BaseURL must be given.
type Options struct {
	ProjectID string
	BaseURL   string // our origin
	Providers []Provider
	SSO       []SSO

	// MergeSSO takes who comes by SAML for whoever has the same address; UnverifiedSSO
	// says that such addresses are not verified, and so merges nobody. Both are settings
	// of the project.
	MergeSSO      bool
	UnverifiedSSO bool

	HTTPClient *http.Client // for calls to providers; default one of its own. Redirects are not followed
	Now        func() time.Time
	Logger     *slog.Logger
}

// Federation implements runner.Federation. Make one with New. It is safe for concurrent
// use.
type Federation struct {
	opt       Options
	http      *http.Client
	log       *slog.Logger
	aead      cipher.AEAD
	providers map[string]*provider

	mu    sync.Mutex
	trips map[string]trip
	sso   map[string]*tenant
}

// provider is one with the keys it signs with.
type provider struct {
	Provider
	verifier *oidc.IDTokenVerifier // nil: no jwks_endpoint
}

// trip is a browser on its way to a provider and back.
type trip struct {
	request string // of the flow
	kind    string
	name    string // provider or tenant
	nonce   string
	saml    *entity // that was asked
	samlID  string  // of the AuthnRequest
	expires time.Time
}

const (
	maxTrips = 10_000
	maxBody  = 1 << 20 // of an answer
)

// New checks the settings. It asks no provider anything.
func New(o Options) (*Federation, error) {
	if o.ProjectID == "" || o.BaseURL == "" {
		return nil, errors.New("federation: a project and a base URL are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	client := cmp.Or(o.HTTPClient, &http.Client{})
	own := *client
	own.Timeout = cmp.Or(own.Timeout, 10*time.Second)
	own.Transport = bounded{own.Transport}
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	key := make([]byte, 32)
	_, _ = rand.Read(key)
	block, err := aes.NewCipher(key)
	if err != nil {
		return nil, err
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, err
	}
	f := &Federation{
		opt: o, http: &own, log: o.Logger, aead: aead,
		providers: map[string]*provider{}, trips: map[string]trip{}, sso: map[string]*tenant{},
	}
	for _, p := range o.Providers {
		if err := p.check(); err != nil {
			return nil, fmt.Errorf("federation: %w", err)
		}
		if f.providers[p.Name] != nil {
			return nil, fmt.Errorf("federation: two OAuth providers are named %q", p.Name)
		}
		known := &provider{Provider: p}
		if p.JWKS != "" {
			keys := oidc.NewRemoteKeySet(oidc.ClientContext(context.Background(), f.http), p.JWKS)
			known.verifier = oidc.NewVerifier(p.Issuer, keys, &oidc.Config{
				ClientID: p.ClientID, SupportedSigningAlgs: []string{oidc.RS256, oidc.ES256, oidc.PS256}, Now: o.Now,
			})
		}
		f.providers[p.Name] = known
	}
	for _, s := range o.SSO {
		if err := f.SetSSO(s); err != nil {
			return nil, fmt.Errorf("federation: SAML of tenant %.60q: %w", s.TenantID, err)
		}
	}
	return f, nil
}

// bounded cuts off answers that are too long.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	next := b.next
	if next == nil {
		next = http.DefaultTransport
	}
	resp, err := next.RoundTrip(r)
	if err == nil {
		resp.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(resp.Body, maxBody), resp.Body}
	}
	return resp, err
}

// Known implements runner.Federation.
func (f *Federation) Known(kind, name string) bool {
	if kind == project.FederationOAuth {
		return f.providers[name] != nil
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.sso[name] != nil
}

// TenantOf implements runner.Federation. A domain that several tenants have is nobody's.
func (f *Federation) TenantOf(domain string) (tenant string, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, id := range slices.Sorted(maps.Keys(f.sso)) {
		if slices.ContainsFunc(f.sso[id].Domains, func(d string) bool { return strings.EqualFold(d, domain) }) {
			if ok {
				return "", false
			}
			tenant, ok = id, true
		}
	}
	return tenant, ok
}

// Begin implements runner.Federation.
func (f *Federation) Begin(ctx context.Context, ask project.FederationAsk) (string, error) {
	t := trip{request: ask.Request, kind: ask.Kind, name: ask.Provider, expires: f.opt.Now().Add(tripTTL)}
	switch ask.Kind {
	case project.FederationOAuth:
		return f.beginOAuth(ask, t)
	case project.FederationSAML:
		return f.beginSAML(ctx, ask, t)
	}
	return "", fmt.Errorf("federation: no kind %q", ask.Kind)
}

// leave remembers a trip under a new name, which nobody can guess.
func (f *Federation) leave(t trip) (name string, err error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.trips) >= maxTrips {
		now := f.opt.Now()
		maps.DeleteFunc(f.trips, func(_ string, t trip) bool { return !t.expires.After(now) })
		if len(f.trips) >= maxTrips {
			return "", errors.New("federation: too many people are away at providers")
		}
	}
	name = rand.Text()
	f.trips[name] = t
	return name, nil
}

// arrive ends a trip. It ends once.
func (f *Federation) arrive(name, kind string) (trip, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	t, ok := f.trips[name]
	if !ok || t.kind != kind {
		return trip{}, false
	}
	delete(f.trips, name)
	return t, t.expires.After(f.opt.Now())
}

// Flows are what browsers are taken back to; *runner.Runner is one.
type Flows interface {
	Returned(ctx context.Context, request string, i *project.Identity, failure string) (redirectURL string, err error)
}

// Handler serves Callback and ACS.
func (f *Federation) Handler(flows Flows) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET "+Callback, func(w http.ResponseWriter, r *http.Request) { f.callback(w, r, flows) })
	mux.HandleFunc("POST "+ACS, func(w http.ResponseWriter, r *http.Request) { f.acs(w, r, flows) })
	return mux
}

// home takes a browser back to its flow.
func (f *Federation) home(w http.ResponseWriter, r *http.Request, flows Flows, t trip, i *project.Identity, err error) {
	failure := ""
	if err != nil {
		i, failure = nil, failedProvider
		if x, ok := errors.AsType[*failed](err); ok {
			failure = x.code
		}
		f.log.Warn("federation: not signed in", "kind", t.kind, "provider", t.name, "error", err)
	}
	to, err := flows.Returned(r.Context(), t.request, i, failure)
	if err != nil {
		f.log.Warn("federation: nobody waits for this answer", "kind", t.kind, "provider", t.name, "error", err)
		lost(w)
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Referrer-Policy", "no-referrer")
	http.Redirect(w, r, to, http.StatusSeeOther)
}

// lost is for a browser that nothing here waits for: it is sent nowhere.
func lost(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Cache-Control", "no-store")
	w.WriteHeader(http.StatusBadRequest)
	_, _ = io.WriteString(w, "This sign-in is unknown, took too long or was answered already. Go back to where you came from and start again.\n")
}

// failed is why somebody was not signed in: a code for the flow, the cause for the log.
type failed struct {
	code  string
	cause error
}

func (e *failed) Error() string { return e.code + ": " + e.cause.Error() }
func (e *failed) Unwrap() error { return e.cause }

func failing(code, format string, args ...any) error {
	return &failed{code, fmt.Errorf(format, args...)}
}

// state names a trip in OAuth's state: sealed, so that none can be made elsewhere.
type state struct {
	Trip     string `json:"t"`
	Provider string `json:"p"`
}

func (f *Federation) seal(s state) (string, error) {
	plain, err := json.Marshal(s)
	if err != nil {
		return "", err
	}
	nonce := make([]byte, f.aead.NonceSize())
	_, _ = rand.Read(nonce)
	return base64.RawURLEncoding.EncodeToString(f.aead.Seal(nonce, nonce, plain, []byte(Callback))), nil
}

func (f *Federation) open(text string) (s state, ok bool) {
	b, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil || len(b) < f.aead.NonceSize() {
		return s, false
	}
	plain, err := f.aead.Open(nil, b[:f.aead.NonceSize()], b[f.aead.NonceSize():], []byte(Callback))
	return s, err == nil && json.Unmarshal(plain, &s) == nil
}
