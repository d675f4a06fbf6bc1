package federation_test

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/coreos/go-oidc/v3/oidc"

	"github.com/kosmoscope/kosmoscope/test/world"
)

// op speaks to the provider by hand, as one client and with one browser: what no
// honest client does can be done.
type op struct {
	t      *testing.T
	w      *world.World
	client string
	p      *world.Person
	nonce  string
}

func newOP(t *testing.T, w *world.World, client string, p *world.Person) *op {
	return &op{t: t, w: w, client: client, p: p}
}

// as is the same for a part of its test.
func (o *op) as(t *testing.T) *op {
	part := *o
	part.t = t
	return &part
}

func random() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	return base64.RawURLEncoding.EncodeToString(b[:])
}

// params are those of an honest request, with changes: pairs of name and value, where
// "-" for a value leaves the parameter out.
func (o *op) params(changes ...string) url.Values {
	o.nonce = random()
	q := url.Values{
		"response_type": {"code"}, "client_id": {o.client}, "redirect_uri": {elsewhere}, "scope": {"openid"}, "state": {random()}, "nonce": {o.nonce},
	}
	for i := 0; i < len(changes); i += 2 {
		if changes[i+1] == "-" {
			q.Del(changes[i])
		} else {
			q.Set(changes[i], changes[i+1])
		}
	}
	return q
}

// visit sends the browser with a request, and gives where it ended up.
func (o *op) visit(q url.Values) *world.Arrival {
	o.t.Helper()
	at, err := o.p.Visit(soon(o.t), issuer(o.w)+"/authorize?"+q.Encode(), elsewhere)
	if err != nil {
		o.t.Fatal(err)
	}
	return at
}

// ask is visit with changes to an honest request. The answer must come back to the
// client, with its state and with iss (RFC 9207).
func (o *op) ask(changes ...string) url.Values {
	o.t.Helper()
	q := o.params(changes...)
	return o.back(q, o.visit(q))
}

func (o *op) back(q url.Values, at *world.Arrival) url.Values {
	o.t.Helper()
	if !at.Home {
		o.t.Fatalf("the browser ended at %d %s (%s %s) after %v: %s", at.Status, at.URL.Path, at.Step, at.Reason, o.p.Saw, at.Text)
	}
	got := at.Params()
	if got.Get("state") != q.Get("state") || got.Get("iss") != issuer(o.w) {
		o.t.Fatalf("came back with state %q and iss %q", got.Get("state"), got.Get("iss"))
	}
	return got
}

// code is that of an honest request with changes.
func (o *op) code(changes ...string) string {
	o.t.Helper()
	got := o.ask(changes...)
	if got.Get("code") == "" {
		o.t.Fatalf("no code: %s, %s", got.Get("error"), got.Get("error_description"))
	}
	return got.Get("code")
}

// refusedWith asks, and holds the answer to an error that comes back to the client.
func (o *op) refusedWith(want string, changes ...string) {
	o.t.Helper()
	got := o.ask(changes...)
	if got.Get("error") != want || got.Get("code") != "" {
		o.t.Errorf("error %q (%s), code %q, want %s", got.Get("error"), got.Get("error_description"), got.Get("code"), want)
	}
}

// stopped asks, and sees that the browser stays with us, at a page that a person
// understands, and is sent nowhere.
func (o *op) stopped(q url.Values) {
	o.t.Helper()
	at := o.visit(q)
	if at.Home || at.Status < 400 || at.Text == "" || !strings.HasPrefix(at.URL.String(), o.w.Bridge) {
		o.t.Errorf("ended at %s with %d: %s", at.URL, at.Status, at.Text)
	}
}

// reply is an HTTP answer.
type reply struct {
	status int
	header http.Header
	body   []byte
	json   fields
}

func (o *op) send(req *http.Request) *reply {
	o.t.Helper()
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		o.t.Fatal(err)
	}
	defer res.Body.Close()
	r := &reply{status: res.StatusCode, header: res.Header}
	if r.body, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		o.t.Fatal(err)
	}
	_ = json.Unmarshal(r.body, &r.json) // what is no JSON has no members
	return r
}

func (o *op) request(method, path string, in url.Values) *http.Request {
	o.t.Helper()
	var body io.Reader
	if in != nil {
		body = strings.NewReader(in.Encode())
	}
	req, err := http.NewRequestWithContext(soon(o.t), method, issuer(o.w)+path, body)
	if err != nil {
		o.t.Fatal(err)
	}
	if in != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	return req
}

// post sends a form with the client's secret in the header.
func (o *op) post(path string, in url.Values) *reply {
	o.t.Helper()
	req := o.request(http.MethodPost, path, in)
	req.SetBasicAuth(o.client, secretOf(o.client))
	return o.send(req)
}

// redeem exchanges a code; more are changes to an honest request.
func (o *op) redeem(code string, changes ...string) *reply {
	o.t.Helper()
	in := url.Values{"grant_type": {"authorization_code"}, "code": {code}, "redirect_uri": {elsewhere}}
	for i := 0; i < len(changes); i += 2 {
		in.Set(changes[i], changes[i+1])
	}
	return o.post("/token", in)
}

// tokens are what a code was exchanged for, with the ID token verified by go-oidc.
type tokens struct {
	raw, access, refresh string
	alg, kid             string
	claims               fields
}

func (o *op) tokens(changes ...string) tokens {
	o.t.Helper()
	code := o.code(changes...)
	return o.checked(o.redeem(code))
}

func (o *op) checked(r *reply) (x tokens) {
	o.t.Helper()
	if r.status != http.StatusOK || r.header.Get("Cache-Control") != "no-store" || !strings.EqualFold(str(r.json["token_type"]), "bearer") {
		o.t.Fatalf("token endpoint: %d %v %s", r.status, r.header, r.body)
	}
	x.raw, _ = r.json["id_token"].(string)
	x.access, _ = r.json["access_token"].(string)
	x.refresh, _ = r.json["refresh_token"].(string)
	provider, err := oidc.NewProvider(soon(o.t), issuer(o.w))
	if err != nil {
		o.t.Fatal(err)
	}
	id, err := provider.Verifier(&oidc.Config{ClientID: o.client, SupportedSigningAlgs: []string{"ES256", "RS256"}}).Verify(soon(o.t), x.raw)
	if err != nil {
		o.t.Fatalf("ID token: %v", err)
	}
	if err := id.Claims(&x.claims); err != nil {
		o.t.Fatal(err)
	}
	if want := o.nonce; id.Nonce != want && id.Nonce != "" {
		o.t.Errorf("nonce %q, want %q", id.Nonce, want)
	}
	if err := id.VerifyAccessToken(x.access); err != nil {
		o.t.Errorf("at_hash: %v", err)
	}
	header, err := base64.RawURLEncoding.DecodeString(x.raw[:strings.IndexByte(x.raw, '.')])
	var h struct{ Alg, Kid string }
	if err != nil || json.Unmarshal(header, &h) != nil {
		o.t.Fatalf("header %s", header)
	}
	x.alg, x.kid = h.Alg, h.Kid
	return x
}

// userinfo asks who it is, and sees that it is the one of the ID token.
func (o *op) userinfo(x tokens) fields {
	o.t.Helper()
	req := o.request(http.MethodGet, "/userinfo", nil)
	req.Header.Set("Authorization", "Bearer "+x.access)
	return o.told(x, o.send(req))
}

func (o *op) told(x tokens, r *reply) fields {
	o.t.Helper()
	if r.status != http.StatusOK || !strings.HasPrefix(r.header.Get("Content-Type"), "application/json") || r.json["sub"] != x.claims["sub"] {
		o.t.Fatalf("userinfo: %d %v %s", r.status, r.header, r.body)
	}
	return r.json
}

// verified is the parameter claims that asks for these verified claims.
func verified(section string, verification any, claims fields) string {
	b, _ := json.Marshal(fields{section: fields{"verified_claims": fields{"verification": verification, "claims": claims}}}) // of JSON, so it cannot fail
	return string(b)
}

// keys are the names of an object's members.
func keys(v any) []string {
	m, _ := v.(fields)
	var out []string
	for k := range maps.Keys(m) {
		out = append(out, k)
	}
	return out
}

// challengeOf is PKCE's S256 (RFC 7636 section 4.2).
func challengeOf(verifier string) string {
	sum := sha256.Sum256([]byte(verifier))
	return base64.RawURLEncoding.EncodeToString(sum[:])
}
