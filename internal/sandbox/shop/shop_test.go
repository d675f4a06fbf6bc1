package shop_test

import (
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"io"
	"io/fs"
	"net/http"
	"net/http/cookiejar"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/integrations"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/shop"
)

const project = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

// descope is a project's keys, and tokens signed with them.
type descope struct {
	*httptest.Server
	key *rsa.PrivateKey
}

func newDescope(t *testing.T) *descope {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	d := &descope{key: key}
	d.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_ = json.NewEncoder(w).Encode(jose.JSONWebKeySet{Keys: []jose.JSONWebKey{{Key: &key.PublicKey, KeyID: "k", Algorithm: "RS256", Use: "sig"}}})
	}))
	t.Cleanup(d.Close)
	return d
}

func (d *descope) token(t *testing.T, more map[string]any) string {
	t.Helper()
	signer, err := jose.NewSigner(jose.SigningKey{Algorithm: jose.RS256, Key: jose.JSONWebKey{Key: d.key, KeyID: "k"}}, nil)
	if err != nil {
		t.Fatal(err)
	}
	c := map[string]any{"iss": project, "sub": "U2ann", "drn": "DS", "exp": time.Now().Unix() + 600, "amr": []string{"email"}}
	for k, v := range more {
		c[k] = v
	}
	b, err := json.Marshal(c)
	if err != nil {
		t.Fatal(err)
	}
	signed, err := signer.Sign(b)
	if err != nil {
		t.Fatal(err)
	}
	token, err := signed.CompactSerialize()
	if err != nil {
		t.Fatal(err)
	}
	return token
}

// browser is a client that keeps cookies and does not follow redirects.
func browser(t *testing.T, d *descope) (get func(path string) (int, string), post func(path, body string, header ...string) *http.Response) {
	t.Helper()
	h, err := shop.New(shop.Options{URL: "http://shop.example", Descope: d.URL, ProjectID: project, LabURL: d.URL + "/lab/"})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	t.Cleanup(srv.Close)
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	client := &http.Client{Jar: jar, CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	get = func(path string) (int, string) {
		t.Helper()
		res, err := client.Get(srv.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		defer res.Body.Close()
		b, err := io.ReadAll(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		return res.StatusCode, string(b) + res.Header.Get("Location")
	}
	post = func(path, body string, header ...string) *http.Response {
		t.Helper()
		req, err := http.NewRequest(http.MethodPost, srv.URL+path, strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; i < len(header); i += 2 {
			req.Header.Set(header[i], header[i+1])
		}
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { res.Body.Close() })
		return res
	}
	return get, post
}

func signIn(t *testing.T, post func(string, string, ...string) *http.Response, token string) int {
	t.Helper()
	b, err := json.Marshal(map[string]string{"session_jwt": token})
	if err != nil {
		t.Fatal(err)
	}
	return post("/session", string(b), "Content-Type", "application/json").StatusCode
}

// TestJourney: an account needs a session, a refund needs one that was stepped up.
func TestJourney(t *testing.T) {
	d := newDescope(t)
	get, post := browser(t, d)
	if status, body := get("/account"); status != 303 || !strings.HasSuffix(body, "/login?next=/account") {
		t.Fatalf("account of nobody: %d %s", status, body)
	}
	for name, token := range map[string]string{
		"nothing": "", "a refresh token": d.token(t, map[string]any{"drn": "DSR"}),
		"another project's": d.token(t, map[string]any{"iss": "P2b"}), "an old one": d.token(t, map[string]any{"exp": 1}),
	} {
		if status := signIn(t, post, token); status != 401 {
			t.Errorf("session of %s: %d", name, status)
		}
	}
	if status := signIn(t, post, d.token(t, nil)); status != 204 {
		t.Fatalf("session: %d", status)
	}
	if status, body := get("/account"); status != 200 || !strings.Contains(body, "U2ann") || !strings.Contains(body, `data-testid="stepped-up">no<`) || !strings.Contains(body, "not in this session") {
		t.Fatalf("account: %d %s", status, body)
	}

	html := []string{"Accept", "text/html"}
	res := post("/orders/1042/refund", "", html...)
	page, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if res.StatusCode != 401 || !strings.Contains(res.Header.Get("WWW-Authenticate"), "insufficient_user_authentication") ||
		!strings.Contains(string(page), "/login?next=%2Faccount&amp;scope=orders%3Arefund") {
		t.Fatalf("refund without a step-up: %d %q %s", res.StatusCode, res.Header.Get("WWW-Authenticate"), page)
	}
	if _, body := get("/login?scope=orders:refund&next=/account"); !strings.Contains(body, `client="{&#34;scope&#34;:&#34;orders:refund&#34;}"`) || !strings.Contains(body, `data-next="/account"`) {
		t.Error(body)
	}
	if status := signIn(t, post, d.token(t, map[string]any{"su": true, "kosmos_status": "verified", "kosmos_ial": "IAL2"})); status != 204 {
		t.Fatalf("stepped-up session: %d", status)
	}
	if res := post("/orders/1042/refund", "", html...); res.StatusCode != 303 || res.Header.Get("Location") != "/account?refunded=1042" {
		t.Fatalf("refund: %d", res.StatusCode)
	}
	if _, body := get("/account?refunded=1042"); !strings.Contains(body, "1042 is being refunded") || !strings.Contains(body, "with a document and a face") || !strings.Contains(body, "IAL2") || strings.Contains(body, "refund-1042") {
		t.Error(body)
	}
	if res := post("/orders/9/refund", ""); res.StatusCode != 404 {
		t.Errorf("unknown order: %d", res.StatusCode)
	}
	if res := post("/logout", ""); res.StatusCode != 204 {
		t.Errorf("sign out: %d", res.StatusCode)
	}
	if status, _ := get("/account"); status != 303 {
		t.Errorf("account after signing out: %d", status)
	}
}

// TestAPI: a script gets the challenge of RFC 9470 without a page.
func TestAPI(t *testing.T) {
	d := newDescope(t)
	_, post := browser(t, d)
	for _, test := range []struct {
		token  map[string]any
		status int
		want   string
	}{
		{map[string]any{}, 401, `error="insufficient_user_authentication"`},
		{map[string]any{"exp": 1}, 401, `error="invalid_token"`},
		{map[string]any{"su": true}, 200, ""},
	} {
		res := post("/orders/1042/refund", "", "Authorization", "Bearer "+d.token(t, test.token))
		if res.StatusCode != test.status || !strings.Contains(res.Header.Get("WWW-Authenticate"), test.want) {
			t.Errorf("%v: %d %q", test.token, res.StatusCode, res.Header.Get("WWW-Authenticate"))
		}
	}
}

func TestStrangers(t *testing.T) {
	d := newDescope(t)
	get, post := browser(t, d)
	if res := post("/orders/1042/refund", "", "Sec-Fetch-Site", "cross-site"); res.StatusCode != 403 {
		t.Errorf("from another site: %d", res.StatusCode)
	}
	if _, body := get("/login?next=https://elsewhere.example"); strings.Contains(body, "elsewhere") {
		t.Error("the shop sends people anywhere")
	}
	if status, _ := get("/nowhere"); status != 404 {
		t.Errorf("nowhere: %d", status)
	}
	for _, o := range []shop.Options{{}, {URL: "http://a", Descope: "http://b"}, {URL: "http://a/x", Descope: "http://b", ProjectID: project}} {
		if _, err := shop.New(o); err == nil {
			t.Errorf("%+v", o)
		}
	}
}

// TestFlows: every page with a flow runs one that we ship, and the home page leads to it.
func TestFlows(t *testing.T) {
	d := newDescope(t)
	get, _ := browser(t, d)
	_, home := get("/")
	shown := map[string]string{
		"/signup": "kosmos-proof-on-signup", "/login": "kosmos-step-up", "/prove": "kosmos-proof-external",
		"/hooks/signup": "kosmos-post-registration", "/hooks/login": "kosmos-pre-login",
		"/federated/prove": "kosmos-federated-proofing", "/federated/login": "kosmos-federated-step-up", "/federated/saml": "kosmos-federated-step-up-saml",
	}
	for path, flow := range shown {
		if _, err := fs.Stat(integrations.Flows(), flow+".json"); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		status, page := get(path)
		if status != 200 || !strings.Contains(page, `flow-id="`+flow+`"`) || !strings.Contains(page, `redirect-url="http://shop.example`+path+`"`) {
			t.Errorf("%s: %d %s", path, status, page)
		}
		if !strings.Contains(home, `href="`+path+`"`) {
			t.Errorf("nothing leads to %s", path)
		}
	}
}
