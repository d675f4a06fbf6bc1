package oidc_test

import (
	"context"
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// What the tests of this package know of the world.
const (
	origin = "https://id.example.com"
	tenant = "t1"
	issuer = origin + "/federation/" + tenant
)

// clock stands still until a test moves it.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// world is a provider and everything around it, all of it in memory.
type world struct {
	*oidc.Provider
	core  *fakeCore
	store *fakeStore
	keys  *fakeKeys
	clock *clock
	http  http.Handler
	asked []confirmation // what Options.Confirm was called with
}

type confirmation struct {
	action string
	fields map[string]string
	say    string
}

// newWorld makes one with the tenants t1 and t2, without clients; each change may
// alter the options before the provider is made.
func newWorld(change ...func(*oidc.Options)) *world {
	w := &world{
		core:  newFakeCore(),
		store: newFakeStore(),
		keys:  newFakeKeys(),
		clock: &clock{now: time.Date(2026, 12, 1, 12, 0, 0, 0, time.UTC)},
	}
	o := oidc.Options{
		Core: w.core, Store: w.store, Keys: w.keys, PublicURL: origin, Now: w.clock.Now,
		ClientIP: func(*http.Request) netip.Addr { return netip.MustParseAddr("192.0.2.1") },
		Logger:   slog.New(slog.NewTextHandler(io.Discard, nil)),
		Confirm: func(rw http.ResponseWriter, _ *http.Request, action string, fields map[string]string, say string) {
			w.asked = append(w.asked, confirmation{action, maps.Clone(fields), say})
			rw.WriteHeader(http.StatusOK)
			io.WriteString(rw, "confirm: "+say)
		},
	}
	for _, c := range change {
		c(&o)
	}
	w.Provider = oidc.New(o)
	w.http = w.Handler()
	return w
}

// fakeCore is oidc.Core. Its hooks are nil or what a test sets; none is called
// with the mutex held.
type fakeCore struct {
	// begin is what Begin does; nil: the browser goes to /c/1 with a cookie.
	begin func(federation.Browser, federation.Ask) (federation.Step, error)
	// answer is what Answer does; nil: answers[session], else proof.ErrNotFound.
	answer func(federation.Ask, string) (*federation.Answer, error)
	// challenge and challengeAnswer are for CIBA; nil: refused.
	challenge       func(a federation.Ask, message string, lasts time.Duration) (id, url string, expires time.Time, err error)
	challengeAnswer func(a federation.Ask, id string) (*federation.Answer, error)
	end             func(b federation.Browser, c *federation.Client, sid string) ([]federation.Cookie, error)

	mu       sync.Mutex
	tenants  map[string]bool
	clients  map[string]*federation.Client  // by tenant/id
	secrets  map[string][]federation.Secret // by tenant/id
	subjects map[string]string              // pairwise sub, by sector: sector/sub -> subject
	answers  map[string]*federation.Answer  // by session
	asks     []federation.Ask               // of Begin and Challenge, as they came
	asked    []federation.Ask               // of Answer and ChallengeAnswer
	ended    []string                       // sid of End
	aead     cipher.AEAD
}

func newFakeCore() *fakeCore {
	block, err := aes.NewCipher(random(32))
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	return &fakeCore{
		tenants: map[string]bool{tenant: true, "t2": true}, clients: map[string]*federation.Client{},
		secrets: map[string][]federation.Secret{}, subjects: map[string]string{},
		answers: map[string]*federation.Answer{}, aead: aead,
	}
}

// add makes c a client of tenant t1 unless it names another, with the secrets
// given in the clear.
func (f *fakeCore) add(c federation.Client, secrets ...string) *federation.Client {
	if c.Tenant == "" {
		c.Tenant = tenant
	}
	if c.Protocol == "" {
		c.Protocol = federation.OIDC
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	key := c.Tenant + "/" + c.ID
	f.clients[key] = &c
	for i, s := range secrets {
		sum := sha256.Sum256([]byte(s))
		f.secrets[key] = append(f.secrets[key], federation.Secret{ID: fmt.Sprint(i), Hash: sum[:]})
	}
	return &c
}

func (f *fakeCore) Begin(_ context.Context, b federation.Browser, a federation.Ask) (federation.Step, error) {
	f.mu.Lock()
	f.asks = append(f.asks, a)
	f.mu.Unlock()
	if f.begin != nil {
		return f.begin(b, a)
	}
	return federation.Step{Go: "/c/1", Set: []federation.Cookie{{Name: "flow", Value: "sealed", Path: "/federation/" + a.Tenant}}}, nil
}

// lastAsk is that of the last Begin or Challenge.
func (f *fakeCore) lastAsk() federation.Ask {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.asks) == 0 {
		return federation.Ask{}
	}
	return f.asks[len(f.asks)-1]
}

func (f *fakeCore) Challenge(_ context.Context, a federation.Ask, message string, lasts time.Duration) (string, string, time.Time, error) {
	f.mu.Lock()
	f.asks = append(f.asks, a)
	f.mu.Unlock()
	if f.challenge != nil {
		return f.challenge(a, message, lasts)
	}
	return "", "", time.Time{}, &proof.Error{Code: proof.CodeUnavailable}
}

func (f *fakeCore) ChallengeAnswer(_ context.Context, a federation.Ask, id string) (*federation.Answer, error) {
	f.mu.Lock()
	f.asked = append(f.asked, a)
	f.mu.Unlock()
	if f.challengeAnswer != nil {
		return f.challengeAnswer(a, id)
	}
	return nil, proof.ErrNotFound
}

func (f *fakeCore) Answer(_ context.Context, a federation.Ask, session string) (*federation.Answer, error) {
	f.mu.Lock()
	f.asked = append(f.asked, a)
	answer := f.answers[session]
	f.mu.Unlock()
	if f.answer != nil {
		return f.answer(a, session)
	}
	if answer == nil {
		return nil, proof.ErrNotFound
	}
	return answer, nil
}

func (f *fakeCore) End(_ context.Context, b federation.Browser, c *federation.Client, sid string) ([]federation.Cookie, error) {
	f.mu.Lock()
	f.ended = append(f.ended, sid)
	f.mu.Unlock()
	if f.end != nil {
		return f.end(b, c, sid)
	}
	return []federation.Cookie{{Name: "session", Path: "/federation/", MaxAge: -1}}, nil
}

func (f *fakeCore) Session(_ context.Context, b federation.Browser, _ *federation.Client) (string, error) {
	return b.Cookies["session"], nil // its value is its id
}

func (f *fakeCore) Client(tenant, id string) (*federation.Client, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	c := f.clients[tenant+"/"+id]
	if c == nil || c.Disabled {
		return nil, false
	}
	return c, true
}

func (f *fakeCore) Secrets(tenant, id string) []federation.Secret {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets[tenant+"/"+id]
}

func (f *fakeCore) Tenant(id string) bool { return f.tenants[id] }

func sectorOf(c *federation.Client) string {
	if c.Sector != "" {
		return c.Sector
	}
	return c.ID
}

func (f *fakeCore) SubjectOf(c *federation.Client, sub string) (string, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	subject, ok := f.subjects[c.Tenant+"/"+sectorOf(c)+"/"+sub]
	return subject, ok
}

// pairwise makes sub the name of subject for the client's sector.
func (f *fakeCore) pairwise(c *federation.Client, sub, subject string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.subjects[c.Tenant+"/"+sectorOf(c)+"/"+sub] = subject
}

func (f *fakeCore) seal(aad string, plain []byte) []byte {
	nonce := random(f.aead.NonceSize())
	return f.aead.Seal(nonce, nonce, plain, []byte(aad))
}

func (f *fakeCore) unseal(aad string, sealed []byte) ([]byte, error) {
	if n := f.aead.NonceSize(); len(sealed) >= n {
		if plain, err := f.aead.Open(nil, sealed[:n], sealed[n:], []byte(aad)); err == nil {
			return plain, nil
		}
	}
	return nil, &proof.Error{Code: proof.CodeNotFound, Message: "not one of ours"}
}

func (f *fakeCore) Seal(tenant, kind string, plain []byte) (string, error) {
	return base64.RawURLEncoding.EncodeToString(f.seal(tenant+"|"+kind, plain)), nil
}

func (f *fakeCore) Open(tenant, kind, sealed string) ([]byte, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(sealed)
	if err != nil {
		return nil, &proof.Error{Code: proof.CodeNotFound, Err: err}
	}
	return f.unseal(tenant+"|"+kind, b)
}

func (f *fakeCore) SealFor(s *proof.Subject, table, column, row string, plain []byte) ([]byte, error) {
	if !s.ErasedAt.IsZero() {
		return nil, proof.ErrNotFound
	}
	return f.seal(strings.Join([]string{s.Tenant, s.ID, table, column, row}, "|"), plain), nil
}

func (f *fakeCore) OpenFor(s *proof.Subject, table, column, row string, sealed []byte) ([]byte, error) {
	if !s.ErasedAt.IsZero() {
		return nil, proof.ErrNotFound
	}
	return f.unseal(strings.Join([]string{s.Tenant, s.ID, table, column, row}, "|"), sealed)
}

func (f *fakeCore) Browser(r *http.Request) federation.Browser {
	b := federation.Browser{From: netip.MustParseAddr("192.0.2.1"), Cookies: map[string]string{}}
	for _, c := range r.Cookies() {
		b.Cookies[c.Name] = c.Value
	}
	return b
}

func (f *fakeCore) Cookies(w http.ResponseWriter, set []federation.Cookie) {
	for _, c := range set {
		age := int(c.MaxAge.Seconds())
		if c.MaxAge < 0 {
			age = -1
		}
		http.SetCookie(w, &http.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, MaxAge: age, HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode})
	}
}

func (f *fakeCore) Sorry(w http.ResponseWriter, _ *http.Request, status int, say string) {
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(status)
	io.WriteString(w, "sorry: "+say)
}

// fakeKeys is oidc.Keys with one key of each algorithm for every tenant.
type fakeKeys struct {
	ec  *ecdsa.PrivateKey
	rsa *rsa.PrivateKey
}

var theKeys = sync.OnceValue(func() *fakeKeys {
	e, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	r, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		panic(err)
	}
	return &fakeKeys{e, r}
})

func newFakeKeys() *fakeKeys { return theKeys() }

func (k *fakeKeys) Sign(_ context.Context, tenant, alg, typ string, payload []byte) (string, error) {
	var key any
	switch alg {
	case "ES256":
		key = k.ec
	case "RS256":
		key = k.rsa
	default:
		return "", fmt.Errorf("no key for %q", alg)
	}
	o := new(jose.SignerOptions).WithHeader("kid", tenant+"-"+alg)
	if typ != "" {
		o = o.WithType(jose.ContentType(typ))
	}
	s, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.SignatureAlgorithm(alg), Key: key}, o)
	if err != nil {
		return "", err
	}
	j, err := s.Sign(payload)
	if err != nil {
		return "", err
	}
	return j.CompactSerialize()
}

func (k *fakeKeys) JWKS(_ context.Context, tenant string) (json.RawMessage, error) {
	return json.Marshal(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{
		{Key: k.ec.Public(), KeyID: tenant + "-ES256", Algorithm: "ES256", Use: "sig"},
		{Key: k.rsa.Public(), KeyID: tenant + "-RS256", Algorithm: "RS256", Use: "sig"},
	}})
}

func (k *fakeKeys) Verify(_ context.Context, tenant, jws string) ([]byte, error) {
	j, err := jose.ParseSignedCompact(jws, []jose.SignatureAlgorithm{jose.ES256, jose.RS256})
	if err != nil {
		return nil, err
	}
	switch j.Signatures[0].Header.KeyID {
	case tenant + "-ES256":
		return j.Verify(k.ec.Public())
	case tenant + "-RS256":
		return j.Verify(k.rsa.Public())
	}
	return nil, fmt.Errorf("not a key of ours")
}

func random(n int) []byte {
	b := make([]byte, n)
	rand.Read(b) // never fails
	return b
}
