package saml_test

import (
	"bytes"
	"compress/flate"
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"html"
	"log/slog"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/beevik/etree"
	dsig "github.com/russellhaering/goxmldsig"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/saml"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	public = "https://bridge.example"
	entity = "P2abc-T2abc"
	acs    = "https://api.example/v1/auth/saml/acs?projectId=P2abc&tenantId=T2abc&x='(1)"
	acs2   = "https://api.example/second"
	sso    = "/federation/acme/saml/sso"
	idp    = public + "/federation/acme/saml/metadata"
)

var start = time.Date(2026, 11, 29, 9, 0, 0, 0, time.UTC)

// pair is a key with a certificate of its own.
type pair struct {
	key  crypto.Signer
	cert []byte
}

func (p pair) pem() string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: p.cert}))
}

func certify(key crypto.Signer, from, until time.Time) pair {
	t := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: from, NotAfter: until}
	cert, err := x509.CreateCertificate(rand.Reader, t, t, key.Public(), key)
	if err != nil {
		panic(err)
	}
	return pair{key, cert}
}

func rsaPair(bits int) pair {
	key, err := rsa.GenerateKey(rand.Reader, bits)
	if err != nil {
		panic(err)
	}
	return certify(key, start.Add(-time.Hour), start.Add(1000*time.Hour))
}

// Keys are slow to make: every test uses the same.
var (
	ours   = sync.OnceValue(func() pair { return rsaPair(2048) })
	theirs = sync.OnceValue(func() pair { return rsaPair(2048) })
	curve  = sync.OnceValue(func() pair {
		key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			panic(err)
		}
		return certify(key, start.Add(-time.Hour), start.Add(1000*time.Hour))
	})
)

// house is a Provider with everything around it.
type house struct {
	*saml.Provider
	client *federation.Client
	begin  func(federation.Ask) (federation.Step, error)
	now    time.Time
	keyErr error

	mu   sync.Mutex
	asks []federation.Ask
	used map[string]time.Time
	said string
	log  bytes.Buffer
}

func build() *house {
	h := &house{now: start, used: map[string]time.Time{}}
	h.client = &federation.Client{
		ID: "descope", Tenant: "acme", Protocol: federation.SAML, Name: "Shop",
		SAML: &federation.SAMLClient{EntityID: entity, ACS: []string{acs, acs2}, Certificates: []string{theirs().pem(), curve().pem()}},
	}
	h.begin = func(federation.Ask) (federation.Step, error) {
		return federation.Step{Go: "/v/1", Set: []federation.Cookie{{Name: "flow", Value: "1", Path: "/federation/acme/"}}}, nil
	}
	h.Provider = saml.New(saml.Options{
		Core: h, Store: h, Keys: h, PublicURL: public, Now: func() time.Time { return h.now },
		Logger: slog.New(slog.NewTextHandler(&h.log, nil)),
	})
	return h
}

func (h *house) Begin(_ context.Context, _ federation.Browser, a federation.Ask) (federation.Step, error) {
	h.mu.Lock()
	h.asks = append(h.asks, a)
	h.mu.Unlock()
	return h.begin(a)
}

func (h *house) ClientByEntity(tenant, id string) (*federation.Client, bool) {
	if tenant != "acme" || id != h.client.SAML.EntityID {
		return nil, false
	}
	return h.client, true
}

func (h *house) Tenant(id string) bool { return id == "acme" }

func (h *house) SubjectOf(_ *federation.Client, sub string) (string, bool) {
	return strings.CutPrefix(sub, "pairwise-")
}

func (h *house) Browser(*http.Request) federation.Browser { return federation.Browser{} }

func (h *house) Cookies(w http.ResponseWriter, set []federation.Cookie) {
	for _, c := range set {
		age := int(c.MaxAge / time.Second)
		if c.MaxAge < 0 {
			age = -1
		}
		http.SetCookie(w, &http.Cookie{Name: c.Name, Value: c.Value, Path: c.Path, MaxAge: age})
	}
}

func (h *house) Sorry(w http.ResponseWriter, _ *http.Request, status int, say string) {
	h.said = say
	w.WriteHeader(status)
	fmt.Fprint(w, "SORRY: "+say)
}

func (h *house) SAML(context.Context, string) (crypto.Signer, []byte, [][]byte, error) {
	return ours().key, ours().cert, [][]byte{ours().cert, curve().cert}, h.keyErr
}

// uses is the part of a transaction that the provider has use for.
type uses struct {
	federation.Tx
	h *house
}

func (u uses) Use(tenant, kind string, hash []byte, at, until time.Time) error {
	if !until.After(at) || tenant != "acme" || kind != "saml-request" || len(hash) != sha256.Size {
		return fmt.Errorf("use of %s %s %x until %s", tenant, kind, hash, until)
	}
	u.h.mu.Lock()
	defer u.h.mu.Unlock()
	if u.h.used[string(hash)].After(at) {
		return proof.ErrStale
	}
	u.h.used[string(hash)] = until
	return nil
}

func (h *house) UpdateFederation(_ context.Context, fn func(federation.Tx) error) error {
	return fn(uses{h: h})
}

func (h *house) ViewFederation(_ context.Context, fn func(federation.Tx) error) error {
	return fn(uses{h: h})
}

// asked is an AuthnRequest before it is written.
type asked struct {
	id, version, issued, destination, issuer string
	attrs, inner                             string
}

func (a asked) xml() string {
	or := func(s, d string) string {
		if s == "" {
			return d
		}
		return s
	}
	return `<samlp:AuthnRequest xmlns:samlp="urn:oasis:names:tc:SAML:2.0:protocol" xmlns:saml="urn:oasis:names:tc:SAML:2.0:assertion"` +
		` ID="` + or(a.id, "_request1") + `" Version="` + or(a.version, "2.0") + `" IssueInstant="` + or(a.issued, start.Format(time.RFC3339)) +
		`" Destination="` + or(a.destination, public+sso) + `"` + a.attrs + `>` +
		or(a.issuer, `<saml:Issuer>`+entity+`</saml:Issuer>`) + a.inner + `</samlp:AuthnRequest>`
}

func deflated(s string) string {
	var b bytes.Buffer
	w, _ := flate.NewWriter(&b, flate.BestCompression)
	w.Write([]byte(s))
	w.Close()
	return base64.StdEncoding.EncodeToString(b.Bytes())
}

// query makes a redirect; relay "-" leaves RelayState out.
func query(xml, relay string) string {
	q := "SAMLRequest=" + url.QueryEscape(deflated(xml))
	if relay != "-" {
		q += "&RelayState=" + url.QueryEscape(relay)
	}
	return q
}

// signedQuery signs a query by a key, as alg says.
func signedQuery(q string, p pair, alg string) string {
	q += "&SigAlg=" + url.QueryEscape(alg)
	return q + "&Signature=" + url.QueryEscape(base64.StdEncoding.EncodeToString(signRaw(q, p, alg)))
}

func signRaw(s string, p pair, alg string) []byte {
	hash := crypto.SHA256
	if strings.HasSuffix(alg, "sha1") {
		hash = crypto.SHA1
	}
	d := hash.New()
	d.Write([]byte(s))
	if key, ok := p.key.(*ecdsa.PrivateKey); ok {
		r, s, err := ecdsa.Sign(rand.Reader, key, d.Sum(nil))
		if err != nil {
			panic(err)
		}
		out := make([]byte, 64)
		r.FillBytes(out[:32])
		s.FillBytes(out[32:])
		return out
	}
	sig, err := p.key.Sign(rand.Reader, d.Sum(nil), hash)
	if err != nil {
		panic(err)
	}
	return sig
}

// enveloped signs a request in place.
func enveloped(t testing.TB, xml string, p pair, method string) string {
	t.Helper()
	doc := etree.NewDocument()
	if err := doc.ReadFromString(xml); err != nil {
		t.Fatal(err)
	}
	s, err := dsig.NewSigningContext(p.key, [][]byte{p.cert})
	if err != nil {
		t.Fatal(err)
	}
	s.Canonicalizer = dsig.MakeC14N10ExclusiveCanonicalizerWithPrefixList("")
	if err := s.SetSignatureMethod(method); err != nil {
		t.Fatal(err)
	}
	signed, err := s.SignEnveloped(doc.Root())
	if err != nil {
		t.Fatal(err)
	}
	doc.SetRoot(signed)
	out, err := doc.WriteToString()
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (h *house) get(t testing.TB, query string) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "GET", sso+"?"+query, nil))
	return w
}

func (h *house) post(t testing.TB, form url.Values, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", sso, strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	return w
}

func posted(xml, relay string) url.Values {
	v := url.Values{"SAMLRequest": {base64.StdEncoding.EncodeToString([]byte(xml))}}
	if relay != "-" {
		v.Set("RelayState", relay)
	}
	return v
}

var (
	inputs  = regexp.MustCompile(`<input type="hidden" name="([^"]*)" value="([^"]*)">`)
	actions = regexp.MustCompile(`<form method="post" action="([^"]*)">`)
)

// sent is what a form page sends where.
func sent(t testing.TB, w *httptest.ResponseRecorder) (to string, fields map[string]string) {
	t.Helper()
	m := actions.FindStringSubmatch(w.Body.String())
	if w.Code != 200 || m == nil {
		t.Fatalf("%d, no form: %s", w.Code, w.Body)
	}
	fields = map[string]string{}
	for _, f := range inputs.FindAllStringSubmatch(w.Body.String(), -1) {
		fields[f[1]] = html.UnescapeString(f[2])
	}
	return html.UnescapeString(m[1]), fields
}

// response is the XML of a response, and its root.
func response(t testing.TB, w *httptest.ResponseRecorder) (string, *etree.Element) {
	t.Helper()
	_, fields := sent(t, w)
	b, err := base64.StdEncoding.DecodeString(fields["SAMLResponse"])
	if err != nil || len(b) == 0 {
		t.Fatalf("no SAMLResponse: %v", err)
	}
	doc := etree.NewDocument()
	if err := doc.ReadFromBytes(b); err != nil {
		t.Fatal(err)
	}
	return string(b), doc.Root()
}

// statusCodes are the ends of the two status codes.
func statusCodes(root *etree.Element) string {
	var out []string
	for _, c := range root.FindElements("//samlp:StatusCode") {
		v := c.SelectAttrValue("Value", "")
		out = append(out, v[strings.LastIndex(v, ":")+1:])
	}
	return strings.Join(out, "/")
}

// person is an Answer of somebody whose face was matched.
func person() *federation.Answer {
	return &federation.Answer{
		Session: "0193-session", Subject: "subject-1", Sub: "pairwise-1", Matched: true, Proofed: true, AuthTime: start.Add(-time.Minute),
		Identifier: "alice@example.com", ACR: federation.ACRIAL2, Met: true, AMR: []string{"face", "doc"},
		IALLevel: "IAL2", IALSource: "kosmos", IALExpiresAt: start.Add(time.Hour),
		Outcome: proof.Outcome{Claims: proof.Claims{GivenName: "Ana <&> \"María\"", FamilyName: "O'Neil\x01", BirthDate: "1990-01-02"}},
	}
}

// ask makes a whole Ask through the front door.
func (h *house) ask(t testing.TB, a asked, relay string) federation.Ask {
	t.Helper()
	w := h.get(t, query(a.xml(), relay))
	if w.Code != http.StatusSeeOther {
		t.Fatalf("%d %s\n%s", w.Code, w.Body, h.log.String())
	}
	return h.asks[len(h.asks)-1]
}

// finish ends a run.
func (h *house) finish(t testing.TB, a federation.Ask, x *federation.Answer, err error) *httptest.ResponseRecorder {
	t.Helper()
	w := httptest.NewRecorder()
	h.Finish(w, httptest.NewRequestWithContext(t.Context(), "GET", "/federation/acme/continue", nil), a, x, err)
	return w
}

func (h *house) do(t testing.TB, method, path string, header ...string) *httptest.ResponseRecorder {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, path, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	h.Handler().ServeHTTP(w, r)
	return w
}

func pkcs8(t testing.TB, key crypto.Signer) []byte {
	t.Helper()
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}
