package blockid_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/ecdh"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/decred/dcrd/dcrec/secp256k1/v4"
	"github.com/kosmoscope/kosmoscope/blockid"
)

// fakeKey is the protocol's cryptography written a second time, for the
// server's side and without the package under test.
type fakeKey struct {
	k1 *secp256k1.PrivateKey
	p  *ecdh.PrivateKey
}

func newFakeKey(curve string) *fakeKey {
	if curve == "P-256" {
		p, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			panic(err)
		}
		return &fakeKey{p: p}
	}
	k, err := secp256k1.GeneratePrivateKey()
	if err != nil {
		panic(err)
	}
	return &fakeKey{k1: k}
}

func (k *fakeKey) public() string {
	if k.p != nil {
		return base64.StdEncoding.EncodeToString(k.p.PublicKey().Bytes()[1:])
	}
	return base64.StdEncoding.EncodeToString(k.k1.PubKey().SerializeUncompressed()[1:])
}

func (k *fakeKey) gcm(public string) (cipher.AEAD, error) {
	xy, err := base64.StdEncoding.DecodeString(public)
	if err != nil || len(xy) != 64 {
		return nil, fmt.Errorf("public key of %d bytes", len(xy))
	}
	point := append([]byte{4}, xy...)
	var secret []byte
	if k.p != nil {
		p, err := ecdh.P256().NewPublicKey(point)
		if err != nil {
			return nil, err
		}
		if secret, err = k.p.ECDH(p); err != nil {
			return nil, err
		}
	} else {
		p, err := secp256k1.ParsePubKey(point)
		if err != nil {
			return nil, err
		}
		var in, out secp256k1.JacobianPoint
		p.AsJacobian(&in)
		secp256k1.ScalarMultNonConst(&k.k1.Key, &in, &out)
		out.ToAffine()
		x := out.X.Bytes()
		secret = x[:]
	}
	block, err := aes.NewCipher(secret)
	if err != nil {
		return nil, err
	}
	return cipher.NewGCMWithNonceSize(block, 16)
}

func (k *fakeKey) seal(public, plain string) string {
	g, err := k.gcm(public)
	if err != nil {
		panic(err)
	}
	// Some services use 16 hex characters as IV.
	iv := []byte(fmt.Sprintf("%016x", time.Now().UnixNano()))
	return base64.StdEncoding.EncodeToString(append(iv, g.Seal(nil, iv, []byte(plain), nil)...))
}

func (k *fakeKey) open(public, sealed string) (string, error) {
	g, err := k.gcm(public)
	if err != nil {
		return "", err
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < 32 {
		return "", fmt.Errorf("sealed value of %d bytes", len(raw))
	}
	plain, err := g.Open(nil, raw[:16], raw[16:], nil)
	return string(plain), err
}

// seen is one request as the fake understood it.
type seen struct {
	Path      string
	License   string
	RequestID string
	Body      string // decrypted
	Header    http.Header
}

// fake is a tenant "acme" with a community "default", built from the protocol
// reference. Tests reach into its fields under mu.
type fake struct {
	srv *httptest.Server
	dns string

	mu       sync.Mutex
	keys     map[string]*fakeKey // by service; "community" is the admin console's
	hits     map[string]int      // by path
	requests []seen              // encrypted ones
	uuids    map[string]bool
	// answers to result and ial calls, before sealing, by path
	plain map[string]string
	// tamper may change the sealed answer
	tamper func(sealed string) string
	// announce adds the public key to sealed answers
	announce bool
	override map[string]http.HandlerFunc
	sd       map[string]any
	otherDNS []string
	url      string // of created sessions

	sessions map[string]*fakeSessionUWL // open UWL sessions by id
	users    []map[string]any           // of the users service
}

const (
	fakeLicense  = "license-key-0001"
	fakeDVC      = "dvc-selfie"
	fakeSession  = "5e0e0f3c-7d0b-4a3b-9d55-0a4f5a2a7c11"
	pathResult   = "/docuverify/v3/document_share_session/result"
	pathResultV1 = "/docuverify/document_share_session/result"
	pathCreate   = "/docuverify/document_share_session/create"
	pathInfo     = "/api/r1/system/community_info/fetch"
	pathSD       = "/caas/sd"
	pathKeys     = "/docuverify/publickeys"
	pathIAL      = "/api/r1/community/default/userid/jdoe/ial"
)

// newFake starts the fake on secp256k1 unless told otherwise.
func newFake(curve string) *fake {
	f := &fake{
		keys: map[string]*fakeKey{
			"docuverify": newFakeKey(curve), "community": newFakeKey(curve), "sessions": newFakeKey(curve),
			"users-mgmt": newFakeKey(curve), "workflowapi": newFakeKey(curve),
		},
		sessions: map[string]*fakeSessionUWL{},
		hits:     map[string]int{},
		uuids:    map[string]bool{},
		plain:    map[string]string{},
		override: map[string]http.HandlerFunc{},
		announce: true,
	}
	f.srv = httptest.NewUnstartedServer(http.HandlerFunc(f.serve))
	f.srv.Config.ErrorLog = log.New(io.Discard, "", 0) // handlers that hang up are part of the tests
	f.srv.StartTLS()
	f.dns = strings.TrimPrefix(f.srv.URL, "https://")
	f.otherDNS = []string{f.dns}
	f.sd = map[string]any{
		"licenses":        f.srv.URL + "/licenses",
		"docuverify":      f.srv.URL + "/docuverify",
		"adminconsole":    f.srv.URL,
		"sessions":        f.srv.URL + "/sessions",
		"user_management": f.srv.URL + "/users-mgmt",
		"idproofingapi":   "http://idproofing-api:8888", // as in the wild: internal, and nobody's business
		"future":          map[string]any{"shape": true},
	}
	f.url = f.srv.URL + "/idproofing/session/" + fakeSession
	return f
}

func startFake(t testing.TB, curve string) *fake {
	t.Helper()
	f := newFake(curve)
	t.Cleanup(f.srv.Close)
	return f
}

// set changes the fake's fields safely.
func (f *fake) set(change func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	change()
}

func (f *fake) count(path string) int {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.hits[path]
}

func (f *fake) last(t testing.TB) seen {
	t.Helper()
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.requests) == 0 {
		t.Fatal("no request arrived")
	}
	return f.requests[len(f.requests)-1]
}

func (f *fake) config() blockid.Config {
	return blockid.Config{
		DNS: f.dns, Community: "default", LicenseKey: fakeLicense, AppID: "com.example.test", HTTPClient: f.srv.Client(),
	}
}

func (f *fake) client(t testing.TB, change ...func(*blockid.Config)) *blockid.Client {
	t.Helper()
	cfg := f.config()
	for _, c := range change {
		c(&cfg)
	}
	c, err := blockid.NewClient(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func fail(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]any{"code": status, "message": message})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	path := r.URL.EscapedPath()
	f.mu.Lock()
	f.hits[path]++
	over := f.override[path]
	f.mu.Unlock()
	switch {
	case over != nil:
		over(w, r)
	case path == pathInfo:
		f.serveInfo(w, r)
	case path == pathSD && r.Method == http.MethodGet:
		f.mu.Lock()
		defer f.mu.Unlock()
		writeJSON(w, 200, f.sd)
	case strings.HasSuffix(path, "/publickeys") && r.Method == http.MethodGet && f.keys[strings.Split(path, "/")[1]] != nil:
		f.mu.Lock()
		defer f.mu.Unlock()
		writeJSON(w, 200, map[string]string{"publicKey": f.keys[strings.Split(path, "/")[1]].public()})
	case strings.HasPrefix(path, "/sessions/session/"):
		f.serveUWL(w, r)
	case strings.HasPrefix(path, "/users-mgmt/") && r.Method == http.MethodPost:
		f.serveUsers(w, r)
	case strings.HasPrefix(path, "/workflowapi/"):
		f.serveSealed(w, r, "workflowapi")
	case strings.HasPrefix(path, "/docuverify/") && r.Method == http.MethodPost:
		f.serveSealed(w, r, "docuverify")
	case strings.HasPrefix(path, "/api/r1/community/") && r.Method == http.MethodGet:
		if r.Header.Get("X-TenantTag") != "acme" {
			fail(w, 400, "X-TenantTag is required")
			return
		}
		f.serveSealed(w, r, "community")
	default: // as the tenant's web root does
		w.Header().Set("Content-Type", "text/html")
		fmt.Fprint(w, "<!doctype html><title>acme</title>")
	}
}

func (f *fake) serveInfo(w http.ResponseWriter, r *http.Request) {
	var q map[string]string
	if err := json.NewDecoder(r.Body).Decode(&q); err != nil || r.Method != http.MethodPost {
		fail(w, 400, "query must be of type object")
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	byName := q["dns"] == f.dns && q["communityName"] == "default" && len(q) == 2
	byID := q["tenantId"] == "5f0000000000000000000001" && q["communityId"] == "5f0000000000000000000002" && len(q) == 2
	if !byName && !byID {
		writeJSON(w, 404, map[string]string{"message": "Unable to load tenant/community"})
		return
	}
	writeJSON(w, 200, map[string]any{
		"tenant": map[string]any{"id": "5f0000000000000000000001", "tenanttag": "acme", "name": "Acme", "tenanttype": "master",
			"otherDNS": f.otherDNS, "displayTenantInfoForPersona": true},
		"community": map[string]any{"id": "5f0000000000000000000002", "tenantid": "5f0000000000000000000001", "name": "default",
			"publicKey": f.keys["community"].public(), "logo": "AAAA", "accountsPerPerson": 12, "otpSeed": nil},
		"message": nil,
	})
}

// admit does what a service does with the headers of an encrypted request, in
// order. When it returns false it has answered. Call it with mu held.
func (f *fake) admit(w http.ResponseWriter, r *http.Request, service string) (s seen, ok bool) {
	key, caller := f.keys[service], r.Header.Get("publickey")
	s = seen{Path: r.URL.EscapedPath(), Header: r.Header.Clone()}
	var err error
	if s.License, err = key.open(caller, r.Header.Get("licensekey")); err != nil {
		writeJSON(w, 400, map[string]any{"errors": []any{map[string]string{"message": "This header can't be decrypted", "param": "licensekey"}}})
		return s, false
	}
	if s.License != fakeLicense {
		fail(w, 401, "Invalid or Unauthorized License")
		return s, false
	}
	if s.RequestID, err = key.open(caller, r.Header.Get("requestid")); err != nil {
		fail(w, 400, "This header can't be decrypted")
		return s, false
	}
	var rid struct {
		TS          int64
		AppID, UUID string
	}
	if json.Unmarshal([]byte(s.RequestID), &rid) != nil || rid.TS == 0 || rid.AppID == "" || len(rid.UUID) != 36 || f.uuids[rid.UUID] {
		fail(w, 400, "requestid is stale, used or broken")
		return s, false
	}
	f.uuids[rid.UUID] = true
	return s, true
}

// serveSealed is an encrypted call.
func (f *fake) serveSealed(w http.ResponseWriter, r *http.Request, service string) {
	f.mu.Lock()
	defer f.mu.Unlock()
	key, caller := f.keys[service], r.Header.Get("publickey")
	s, ok := f.admit(w, r, service)
	if !ok {
		return
	}
	var err error
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		var env map[string]string
		if json.Unmarshal(body, &env) != nil || len(env) != 1 {
			fail(w, 400, "data is required")
			return
		}
		if s.Body, err = key.open(caller, env["data"]); err != nil {
			fail(w, 400, "This data can't be decrypted")
			return
		}
	}
	f.keep(s)
	if s.Path == pathCreate {
		var q struct {
			DVCID string `json:"dvcID"`
		}
		if json.Unmarshal([]byte(s.Body), &q) != nil || q.DVCID == "" {
			fail(w, 400, "dvcID is required")
		} else if q.DVCID != fakeDVC {
			fail(w, 404, "Invalid dvcID")
		} else {
			writeJSON(w, 200, map[string]string{"sessionId": fakeSession, "url": f.url})
		}
		return
	}
	plain, ok := f.plain[s.Path]
	if !ok {
		fail(w, 404, "not found")
		return
	}
	sealed := key.seal(caller, plain)
	if f.tamper != nil {
		sealed = f.tamper(sealed)
	}
	answer := map[string]string{"data": sealed}
	if f.announce && service != "community" {
		answer["publicKey"] = key.public()
		answer["signature_token"] = "00ff"
	}
	writeJSON(w, 200, answer)
}

func (f *fake) keep(s seen) {
	f.requests = append(f.requests, s)
	if len(f.requests) > 64 {
		f.requests = f.requests[32:]
	}
}
