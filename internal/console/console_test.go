package console_test

import (
	"context"
	"encoding/json"
	"io"
	"io/fs"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/fstest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/console/doortest"
	"github.com/kosmoscope/kosmoscope/internal/console/risktest"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

var start = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// built are pages as a build leaves them.
var built = fstest.MapFS{
	"index.html":             {Data: []byte(`<!doctype html><title>Console</title><script type="module" src="/console/assets/app-1a2b3c.js"></script>`)},
	"assets/app-1a2b3c.js":   {Data: []byte(strings.Repeat("export const answer = 42;\n", 100))},
	"assets/app-1a2b3c.css":  {Data: []byte("body{margin:0}")},
	"assets/.hidden.js.bak":  {Data: []byte("nothing")},
	"secret-of-the-build.js": {Data: []byte("nothing")},
}

// world is a console with its store and a clock that stands still.
type world struct {
	t       *testing.T
	origin  string
	store   *store.Store
	risk    *risktest.Risk
	doors   *doortest.Doors
	signin  *console.Signin
	console *console.Console
	log     strings.Builder

	mu  sync.Mutex
	now time.Time
}

func (w *world) time() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.now
}

func (w *world) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.now = w.now.Add(d)
}

func newWorld(t *testing.T, origin string, static fs.FS) *world {
	t.Helper()
	w := &world{t: t, origin: origin, now: start}
	var err error
	if w.store, err = store.OpenSQLite(t.Context(), filepath.Join(t.TempDir(), "k.db")); err != nil {
		t.Fatal(err)
	}
	if w.risk, err = risktest.New(w.time); err != nil {
		t.Fatal(err)
	}
	if w.doors, err = doortest.New(t.Context(), w.store, filepath.Join(t.TempDir(), "master.key"), origin, w.time); err != nil {
		t.Fatal(err)
	}
	w.signin = console.NewSignin(w.store, w.risk.Tenants(), w.time)
	w.console = console.New(console.Options{
		Signin: w.signin, Risk: w.risk, PublicURL: origin, Static: static, Now: w.time, Version: "1.2.3",
		Federation: w.doors.Federation, Hooks: w.doors.Hooks, Deliveries: w.doors.Deliveries,
		Sources: func() []console.Source { return []console.Source{{What: "Places", Origin: "built-in"}} },
		Logger:  slog.New(slog.NewTextHandler(&w.log, nil)),
	})
	t.Cleanup(func() {
		w.console.Close()
		if err := w.store.Close(); err != nil {
			t.Error(err)
		}
	})
	return w
}

const loopback = "http://127.0.0.1:8080"

// browser is one browser: its cookies, and the token of its page.
type browser struct {
	*world
	cookies map[string]string
	csrf    string
}

func (w *world) browser() *browser { return &browser{world: w, cookies: map[string]string{}} }

// answer is what came back.
type answer struct {
	*http.Response
	body string
}

func (a answer) json(t *testing.T) map[string]any {
	t.Helper()
	var v map[string]any
	if err := json.Unmarshal([]byte(a.body), &v); err != nil {
		t.Fatalf("%v: %.200s", err, a.body)
	}
	return v
}

// do sends a request as a page of ours would; edit may change it.
func (b *browser) do(method, path, body string, edit ...func(*http.Request)) answer {
	b.t.Helper()
	r := httptest.NewRequest(method, b.origin+path, strings.NewReader(body))
	r.RemoteAddr = "192.0.2.7:1234"
	for name, value := range b.cookies {
		r.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	r.Header.Set("Sec-Fetch-Site", "same-origin")
	if method != http.MethodGet {
		r.Header.Set("Content-Type", "application/json")
		if b.csrf != "" {
			r.Header.Set(console.CSRFHeader, b.csrf)
		}
	}
	for _, e := range edit {
		e(r)
	}
	rec := httptest.NewRecorder()
	b.console.ServeHTTP(rec, r)
	res := rec.Result()
	for _, c := range res.Cookies() {
		if c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		} else {
			b.cookies[c.Name] = c.Value
		}
	}
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	b.checkHeaders(res, path)
	return answer{res, string(text)}
}

// checkHeaders holds every answer to what all have in common.
func (b *browser) checkHeaders(res *http.Response, path string) {
	b.t.Helper()
	want := map[string]string{
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; font-src 'none'; " +
			"frame-ancestors 'none'; base-uri 'none'; form-action 'self'",
		"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Cross-Origin-Opener-Policy": "same-origin",
	}
	if !strings.HasPrefix(path, "/console/assets/") && !strings.HasPrefix(path, "/console/in/") {
		want["Cache-Control"] = "no-store"
	}
	if strings.HasPrefix(path, "/console/api/") {
		want["Referrer-Policy"] = "no-referrer"
	}
	for name, value := range want {
		if got := res.Header.Get(name); got != value {
			b.t.Errorf("%s: %s is %q", path, name, got)
		}
	}
	if res.Header.Get("Access-Control-Allow-Origin") != "" {
		b.t.Errorf("%s: other origins may read it", path)
	}
	if strings.Contains(res.Header.Get("Content-Type"), "text/html") && res.Header.Get("Content-Type") != "text/html; charset=utf-8" {
		b.t.Errorf("%s: Content-Type is %q", path, res.Header.Get("Content-Type"))
	}
}

func (w *world) link(role string) (secret string) {
	w.t.Helper()
	path, _, err := w.signin.NewLink(w.t.Context(), role, "Ada Lovelace", 0)
	if err != nil {
		w.t.Fatal(err)
	}
	_, secret, _ = strings.Cut(path, "#")
	return secret
}

// take presses the button of the page that a link opens.
func (b *browser) take(secret string, edit ...func(*http.Request)) answer {
	b.t.Helper()
	form := append([]func(*http.Request){func(r *http.Request) { r.Header.Set("Content-Type", "application/x-www-form-urlencoded") }}, edit...)
	return b.do("POST", "/console/in", url.Values{"secret": {secret}}.Encode(), form...)
}

// signedIn is a browser in which somebody has signed in.
func (w *world) signedIn(role string) *browser {
	w.t.Helper()
	b := w.browser()
	b.expect(b.take(w.link(role)), http.StatusSeeOther)
	got := b.do("GET", "/console/api/session", "")
	b.expect(got, http.StatusOK)
	b.csrf, _ = got.json(w.t)["csrf"].(string)
	return b
}

func (b *browser) expect(a answer, status int, reason ...string) {
	b.t.Helper()
	if a.StatusCode != status {
		b.t.Fatalf("status %d, want %d: %.300s", a.StatusCode, status, a.body)
	}
	if len(reason) > 0 {
		v := a.json(b.t)
		if v["reason"] != reason[0] || v["message"] == "" || v["message"] == nil {
			b.t.Fatalf("got %v, want the reason %s and a message", v, reason[0])
		}
	}
}

// trail are the actions in a tenant's audit trail about one object.
func (w *world) trail(tenant, object string) (actions []string) {
	w.t.Helper()
	err := w.store.View(w.t.Context(), func(tx journey.Tx) error {
		records, err := tx.AuditOf(tenant, object)
		actions = nil
		for _, r := range records {
			actions = append(actions, r.Action+" "+r.Detail["role"]+" "+r.Detail["name"])
		}
		return err
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return actions
}

func header(name, value string) func(*http.Request) {
	return func(r *http.Request) {
		if r.Header.Del(name); value != "" {
			r.Header.Set(name, value)
		}
	}
}

func TestSignIn(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	path, expires, err := w.signin.NewLink(t.Context(), "operator", " Ada Lovelace ", 0)
	if err != nil {
		t.Fatal(err)
	}
	secret, ok := strings.CutPrefix(path, "/console/in#")
	if !ok || len(secret) != 43 || !expires.Equal(start.Add(15*time.Minute)) {
		t.Fatalf("%s until %s", path, expires)
	}
	b := w.browser()
	b.expect(b.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")
	if got := b.do("GET", "/console/policy", ""); got.StatusCode != http.StatusForbidden || !strings.Contains(got.body, "kosmoscope console link") {
		t.Errorf("the page of who is not signed in: %d %s", got.StatusCode, got.body)
	}

	// Scanners of mail and previews open the address, and whatever it is made of.
	scanner := w.browser()
	for _, path := range []string{"/console/in", "/console/in/" + secret, "/console/in?" + secret} {
		scanner.do("GET", path, "", header("Sec-Fetch-Site", "none"))
		scanner.do("GET", path, "", header("Sec-Purpose", "prefetch"))
		scanner.do("HEAD", path, "")
	}
	if page := scanner.do("GET", "/console/in", "", header("Sec-Fetch-Site", "cross-site")); page.StatusCode != 200 || !strings.Contains(page.body, `action="/console/in"`) {
		t.Errorf("the page that the link opens: %d %s", page.StatusCode, page.body)
	}

	b.expect(b.take(secret), http.StatusSeeOther)
	got := b.do("GET", "/console/api/session", "")
	b.expect(got, http.StatusOK)
	session := got.json(t)
	if session["role"] != "operator" || session["name"] != "Ada Lovelace" || session["version"] != "1.2.3" || len(session["csrf"].(string)) != 43 ||
		len(session["tenants"].([]any)) != 2 || session["sources"].([]any)[0].(map[string]any)["what"] != "Places" {
		t.Errorf("session: %v", session)
	}
	if page := b.do("GET", "/console/policy?application=shop", ""); page.StatusCode != 200 || page.body != string(built["index.html"].Data) {
		t.Errorf("the console: %d %s", page.StatusCode, page.body)
	}

	// Once.
	second := w.browser()
	if got := second.take(secret); got.StatusCode != http.StatusNotFound || !strings.Contains(got.body, `data-reason="link_ended"`) || len(second.cookies) > 0 {
		t.Errorf("the second time: %d %s", got.StatusCode, got.body)
	}
	b.expect(b.do("GET", "/console/api/session", ""), http.StatusOK)

	b.csrf = session["csrf"].(string)
	kept := map[string]string{}
	for name, value := range b.cookies {
		kept[name] = value
	}
	b.expect(b.do("POST", "/console/api/signout", ""), http.StatusNoContent)
	if len(b.cookies) != 0 {
		t.Error("signing out left the cookie")
	}
	b.cookies = kept
	b.expect(b.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")
	if strings.Contains(w.log.String(), secret) || strings.Contains(w.log.String(), "Ada") {
		t.Errorf("the log has a secret or a name:\n%s", w.log.String())
	}
}

func TestAudit(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	secret := w.link("viewer")
	var session *console.Session
	_, session, err := w.signin.In(t.Context(), secret, "")
	if err != nil {
		t.Fatal(err)
	}
	if err := w.signin.Out(t.Context(), session); err != nil {
		t.Fatal(err)
	}
	for _, tenant := range w.risk.Tenants() {
		if got := strings.Join(w.trail(tenant, "console:"+session.ID), ", "); got != "console.signed_in viewer Ada Lovelace, console.signed_out viewer Ada Lovelace" {
			t.Errorf("%s: %s", tenant, got)
		}
	}
}

func TestLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	for what, c := range map[string]struct {
		role, name string
		ttl        time.Duration
	}{
		"no role":      {"", "Ada", 0},
		"another role": {"root", "Ada", 0},
		"no name":      {"viewer", " ", 0},
		"a long name":  {"viewer", strings.Repeat("a", 81), 0},
		"control":      {"viewer", "Ada\x1b[2J", 0},
		"too long":     {"viewer", "Ada", 25 * time.Hour},
		"negative":     {"viewer", "Ada", -1},
	} {
		if _, _, err := w.signin.NewLink(t.Context(), c.role, c.name, c.ttl); proof.CodeOf(err) != proof.CodeInvalid {
			t.Errorf("%s: %v", what, err)
		}
	}
	secret := w.link("viewer")
	w.later(15*time.Minute - time.Second)
	good := w.link("viewer")
	w.later(time.Second)
	b := w.browser()
	b.expect(b.take(secret), http.StatusNotFound)
	b.expect(b.take(good), http.StatusSeeOther)
}

// Of those who press the button at once, one is let in.
func TestLinkRace(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	secret := w.link("operator")
	var wg sync.WaitGroup
	in := make(chan string, 8)
	for range cap(in) {
		wg.Go(func() {
			cookie, _, err := w.signin.In(context.Background(), secret, "")
			if err == nil {
				in <- cookie
			} else if proof.CodeOf(err) != proof.CodeNotFound {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if len(in) != 1 {
		t.Errorf("%d were let in", len(in))
	}
}

func TestWrongLinks(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.browser()
	wrong := strings.Repeat("A", 43)
	for range 10 {
		b.expect(b.take(wrong), http.StatusNotFound)
	}
	got := b.take(w.link("viewer"))
	b.expect(got, http.StatusTooManyRequests)
	if got.Header.Get("Retry-After") != "60" || !strings.Contains(got.body, `data-reason="rate_limited"`) {
		t.Errorf("%v %s", got.Header, got.body)
	}
	// Who is elsewhere may, and so may they after a while.
	elsewhere := w.browser()
	elsewhere.expect(elsewhere.take(w.link("viewer"), func(r *http.Request) { r.RemoteAddr = "192.0.2.8:1" }), http.StatusSeeOther)
	for i := range 10 { // the addresses of one household count together
		addr := "[2001:db8::" + string(rune('0'+i)) + "]:1"
		b.expect(b.take("", func(r *http.Request) { r.RemoteAddr = addr }), http.StatusNotFound)
	}
	b.expect(b.take(w.link("viewer"), func(r *http.Request) { r.RemoteAddr = "[2001:db8::ffff]:1" }), http.StatusTooManyRequests)
	b.expect(b.take(w.link("viewer"), func(r *http.Request) { r.RemoteAddr = "[2001:db8:0:1::1]:1" }), http.StatusSeeOther)
	w.later(time.Minute)
	b.expect(b.take(w.link("viewer")), http.StatusSeeOther)
}

// Signing somebody else's browser in is for nobody but the person who has the link.
func TestSignInFromElsewhere(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	secret := w.link("operator")
	for what, edit := range map[string][]func(*http.Request){
		"another site":           {header("Sec-Fetch-Site", "cross-site")},
		"another port":           {header("Sec-Fetch-Site", "same-site"), header("Origin", loopback)},
		"typed in":               {header("Sec-Fetch-Site", "none")},
		"another origin":         {header("Sec-Fetch-Site", ""), header("Origin", "http://127.0.0.1:8081")},
		"an origin that is kept": {header("Sec-Fetch-Site", ""), header("Origin", "null")},
		"none":                   {header("Sec-Fetch-Site", "")},
	} {
		b := w.browser()
		if got := b.take(secret, edit...); got.StatusCode != http.StatusForbidden || len(b.cookies) > 0 {
			t.Errorf("%s: %d", what, got.StatusCode)
		}
	}
	b := w.browser()
	large := b.do("POST", "/console/in", "secret="+strings.Repeat("A", 5000), header("Content-Type", "application/x-www-form-urlencoded"))
	b.expect(large, http.StatusForbidden)
	// Over plain http, browsers do not send Sec-Fetch-Site to every host.
	b.expect(b.take(secret, header("Sec-Fetch-Site", ""), header("Origin", loopback)), http.StatusSeeOther)
}

func TestCookie(t *testing.T) {
	t.Parallel()
	for origin, want := range map[string]string{
		loopback:                     "kosmoscope_console=?; Path=/console/; Max-Age=43200; HttpOnly; SameSite=Strict",
		"https://bridge.example.com": "__Secure-kosmoscope_console=?; Path=/console/; Max-Age=43200; HttpOnly; Secure; SameSite=Strict",
	} {
		w := newWorld(t, origin, built)
		b := w.browser()
		got := b.take(w.link("viewer"))
		b.expect(got, http.StatusSeeOther)
		var value string
		for _, v := range b.cookies {
			value = v
		}
		if set := got.Header.Get("Set-Cookie"); len(value) != 43 || strings.Replace(set, value, "?", 1) != want || got.Header.Get("Location") != "/console/" {
			t.Errorf("%s: %s", origin, set)
		}
		b.expect(b.do("GET", "/console/api/session", ""), http.StatusOK)
	}
	// The other name lets nobody in.
	w := newWorld(t, "https://bridge.example.com", built)
	b := w.signedIn("viewer")
	b.cookies = map[string]string{"kosmoscope_console": b.cookies["__Secure-kosmoscope_console"]}
	b.expect(b.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")
}

func TestSessionEnds(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	idle := w.signedIn("viewer")
	w.later(time.Hour - time.Second)
	busy := w.signedIn("viewer")
	idle.expect(idle.do("GET", "/console/api/session", ""), http.StatusOK) // counts as use
	w.later(time.Hour - time.Second)
	idle.expect(idle.do("GET", "/console/api/session", ""), http.StatusOK)
	w.later(time.Hour)
	idle.expect(idle.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")
	busy.expect(busy.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")

	always := w.signedIn("viewer")
	for range 15 { // 11 h 15 min
		w.later(45 * time.Minute)
		always.expect(always.do("GET", "/console/api/session", ""), http.StatusOK)
	}
	w.later(45*time.Minute - time.Second)
	always.expect(always.do("GET", "/console/api/session", ""), http.StatusOK)
	w.later(time.Second)
	always.expect(always.do("GET", "/console/api/session", ""), http.StatusUnauthorized, "unauthenticated")
}

// Another link in the same browser begins another session and ends the one before.
func TestSignInAgain(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	before := w.browser()
	for name, value := range b.cookies {
		before.cookies[name] = value
	}
	b.expect(b.take(w.link("viewer")), http.StatusSeeOther)
	if got := b.do("GET", "/console/api/session", "").json(t); got["role"] != "viewer" || got["csrf"] == b.csrf {
		t.Errorf("%v", got)
	}
	before.expect(before.do("GET", "/console/api/session", ""), http.StatusUnauthorized)
}

// Every call that is no GET wants the token of this session, from our own page.
func TestCSRF(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, other := w.signedIn("operator"), w.signedIn("operator")
	calls := []string{
		"POST signout", "POST policy/check", "POST policy/diff", "POST policy/try", "POST t/acme/policy/publish", "POST t/acme/policy/rollback",
		"POST t/acme/replay", "DELETE t/acme/replay/1", "PUT nothing",
	}
	for what, edit := range map[string][]func(*http.Request){
		"no token":         {header(console.CSRFHeader, "")},
		"another's token":  {header(console.CSRFHeader, other.csrf)},
		"another site":     {header("Sec-Fetch-Site", "cross-site")},
		"another port":     {header("Sec-Fetch-Site", "same-site")},
		"a foreign origin": {header("Sec-Fetch-Site", ""), header("Origin", "https://evil.example")},
		"no origin":        {header("Sec-Fetch-Site", "")},
	} {
		for _, call := range calls {
			method, path, _ := strings.Cut(call, " ")
			got := b.do(method, "/console/api/"+path, `{}`, edit...)
			if got.StatusCode != http.StatusForbidden || got.json(t)["reason"] != "invalid_request" {
				t.Errorf("%s, %s: %d %s", what, call, got.StatusCode, got.body)
			}
		}
	}
	nobody := w.browser()
	nobody.csrf = b.csrf
	for _, call := range calls {
		method, path, _ := strings.Cut(call, " ")
		nobody.expect(nobody.do(method, "/console/api/"+path, `{}`), http.StatusUnauthorized, "unauthenticated")
	}
	b.expect(b.do("POST", "/console/api/signout", "", header("Sec-Fetch-Site", ""), header("Origin", loopback)), http.StatusNoContent)
}

func TestPages(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	nobody, b := w.browser(), w.signedIn("viewer")
	js := nobody.do("GET", "/console/assets/app-1a2b3c.js", "")
	nobody.expect(js, http.StatusOK)
	if js.Header.Get("Cache-Control") != "public, max-age=31536000, immutable" || js.Header.Get("Content-Type") != "text/javascript; charset=utf-8" || js.Header.Get("Vary") != "Accept-Encoding" {
		t.Errorf("%v", js.Header)
	}
	if packed := nobody.do("GET", "/console/assets/app-1a2b3c.js", "", header("Accept-Encoding", "gzip, br")); packed.Header.Get("Content-Encoding") != "gzip" || len(packed.body) >= len(js.body) {
		t.Errorf("%v", packed.Header)
	}
	for _, path := range []string{"/console/assets/nothing.js", "/console/assets/.hidden.js.bak", "/console/assets/", "/console/assets/..%2findex.html"} {
		b.expect(b.do("GET", path, ""), http.StatusNotFound)
	}
	for _, path := range []string{"/console/", "/console/policy", "/console/decisions/1/2/3", "/console/secret-of-the-build.js", "/console/index.html"} {
		if got := b.do("GET", path, ""); got.body != string(built["index.html"].Data) {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
		if got := nobody.do("GET", path, ""); got.StatusCode != http.StatusForbidden || strings.Contains(got.body, "app-1a2b3c") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	b.expect(b.do("POST", "/console/policy", ""), http.StatusMethodNotAllowed)
	if got := b.do("GET", "/console", ""); got.StatusCode != http.StatusSeeOther || got.Header.Get("Location") != "/console/" {
		t.Errorf("%d %v", got.StatusCode, got.Header)
	}
	b.expect(b.do("GET", "/console/api/nothing", ""), http.StatusNotFound, "invalid_request")
	for name, kind := range map[string]string{"entry.css": "text/css; charset=utf-8", "entry.js": "text/javascript; charset=utf-8"} {
		got := nobody.do("GET", "/console/in/"+name, "")
		nobody.expect(got, http.StatusOK)
		if got.Header.Get("Content-Type") != kind {
			t.Errorf("%s: %s", name, got.Header.Get("Content-Type"))
		}
	}
	// Our own pages do as the policy wants: nothing inline.
	for _, page := range []string{nobody.do("GET", "/console/in", "").body, nobody.do("GET", "/console/", "").body} {
		if strings.Contains(page, "<style") || strings.Contains(page, "style=") || strings.Contains(page, "onclick") || strings.Contains(page, "<script>") {
			t.Errorf("something inline in %s", page)
		}
	}
}

func TestNotBuilt(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, fstest.MapFS{".gitkeep": {}})
	b := w.signedIn("viewer")
	if got := b.do("GET", "/console/", ""); got.StatusCode != http.StatusServiceUnavailable || !strings.Contains(got.body, "web/console") {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
	b.expect(b.do("GET", "/console/api/palette", ""), http.StatusOK)
}

// A database that is not there lets nobody in, and says so.
func TestStoreGone(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	secret := w.link("viewer")
	if err := w.store.Close(); err != nil {
		t.Fatal(err)
	}
	for path, status := range map[string]int{"/console/": http.StatusInternalServerError, "/console/api/session": http.StatusInternalServerError} {
		if got := b.do("GET", path, ""); got.StatusCode != status || strings.Contains(got.body, "closed") {
			t.Errorf("%s: %d %s", path, got.StatusCode, got.body)
		}
	}
	fresh := w.browser()
	if got := fresh.take(secret); got.StatusCode != http.StatusInternalServerError || len(fresh.cookies) > 0 {
		t.Errorf("%d %s", got.StatusCode, got.body)
	}
}

func TestNewRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	for what, o := range map[string]console.Options{
		"no sign-in":  {Risk: w.risk, PublicURL: loopback},
		"no risk":     {Signin: w.signin, PublicURL: loopback},
		"no origin":   {Signin: w.signin, Risk: w.risk},
		"a path":      {Signin: w.signin, Risk: w.risk, PublicURL: loopback + "/x"},
		"another one": {Signin: w.signin, Risk: w.risk, PublicURL: "ftp://example.com"},
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Errorf("%s: taken", what)
				}
			}()
			console.New(o)
		}()
	}
}
