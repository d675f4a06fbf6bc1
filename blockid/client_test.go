package blockid_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

func golden(t testing.TB, name string) string {
	t.Helper()
	b, err := os.ReadFile("testdata/wire/" + name)
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(b))
}

func sameJSON(t *testing.T, what, got, want string) {
	t.Helper()
	var g, w any
	if err := json.Unmarshal([]byte(got), &g); err != nil {
		t.Fatalf("%s: %v in %s", what, err, got)
	}
	if err := json.Unmarshal([]byte(want), &w); err != nil {
		t.Fatalf("%s: %v", what, err)
	}
	if a, b := fmt.Sprint(g), fmt.Sprint(w); a != b {
		t.Errorf("%s:\n got %s\nwant %s", what, a, b)
	}
}

// clock is a time that tests move.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) advance(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

func newClock() *clock { return &clock{t: time.Unix(1767225600, 0)} }

var someRequest = blockid.IDVRequest{DVCID: fakeDVC, DocumentType: blockid.Passport}

func TestCreateAndResult(t *testing.T) {
	for _, curve := range []string{"secp256k1", "P-256"} {
		t.Run(curve, func(t *testing.T) {
			f, clk := startFake(t, curve), newClock()
			c := f.client(t, func(cfg *blockid.Config) { cfg.Now = clk.now })
			ctx := t.Context()
			s, err := c.CreateIDV(ctx, blockid.IDVRequest{
				DVCID: fakeDVC, DocumentType: blockid.Passport,
				UserUID: "0c8f4a51-93f5-4d6e-8a4e-5b6a0a3e1f10", DID: "0c8f4a51-93f5-4d6e-8a4e-5b6a0a3e1f10",
				User: blockid.IDVUser{Username: "j.doe", FirstName: "Zoë", LastName: "Specimen", UID: "corr-1"},
			})
			if err != nil {
				t.Fatal(err)
			}
			if s.ID != fakeSession || s.URL != f.url {
				t.Errorf("session %q %q", s.ID, s.URL)
			}
			for _, verb := range []string{"%v", "%+v", "%#v", "%s"} {
				if strings.Contains(fmt.Sprintf(verb, s), "/idproofing/") {
					t.Errorf("%s prints the link", verb)
				}
			}
			got := f.last(t)
			sameJSON(t, "create", got.Body, strings.ReplaceAll(golden(t, "create.request.json"), `"DNS"`, `"`+f.dns+`"`))
			if got.License != fakeLicense || got.Header.Get("Content-Type") != "application/json" {
				t.Errorf("license %q, headers %v", got.License, got.Header)
			}
			var rid blockid.RequestID
			if err := json.Unmarshal([]byte(got.RequestID), &rid); err != nil || rid.TS != clk.now().Unix() || rid.AppID != "com.example.test" || rid.DeviceID != "" {
				t.Errorf("request id %s, %v", got.RequestID, err)
			}

			if _, err := c.CreateIDV(ctx, blockid.IDVRequest{DVCID: fakeDVC, DocumentType: blockid.DriversLicense}); err != nil {
				t.Fatal(err)
			}
			sameJSON(t, "minimal create", f.last(t).Body, strings.ReplaceAll(golden(t, "create.minimal.request.json"), `"DNS"`, `"`+f.dns+`"`))

			f.set(func() {
				f.plain[pathResult] = golden(t, "v3.success.passport.json")
				f.plain[pathResultV1] = golden(t, "v1.success.json")
			})
			for name, call := range map[string]func(context.Context, string, string) (*blockid.IDVResult, error){
				"v3": c.IDVResult, "v1": c.IDVResultV1,
			} {
				r, err := call(ctx, fakeDVC, s.ID)
				if err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				if r.Status != blockid.StatusSuccess || r.SessionID != s.ID || r.Document == nil || r.Document.DocumentID != "L898902C3" ||
					r.Document.Object != blockid.Passport {
					t.Errorf("%s: %+v", name, r)
				}
				sameJSON(t, name+" request", f.last(t).Body, golden(t, "result.request.json"))
			}
			for path, want := range map[string]int{pathInfo: 1, pathSD: 1, pathKeys: 1} {
				if n := f.count(path); n != want {
					t.Errorf("%s asked %d times", path, n)
				}
			}
			if k, err := c.ServiceKey(ctx, blockid.ServiceDocuverify); err != nil || string(k.Curve()) != curve {
				t.Errorf("service key on %v, %v", k, err)
			}
		})
	}
}

func TestDiscovery(t *testing.T) {
	f := startFake(t, "secp256k1")
	byID := f.client(t, func(c *blockid.Config) {
		c.Community, c.TenantID, c.CommunityID = "", "5f0000000000000000000001", "5f0000000000000000000002"
	})
	if _, err := byID.CreateIDV(t.Context(), someRequest); err != nil {
		t.Fatal(err)
	}
	if b := f.last(t).Body; !strings.Contains(b, `"communityName":"default"`) {
		t.Errorf("request without the community's name: %s", b)
	}
	com, err := byID.Community(t.Context())
	if err != nil || com.TenantTag != "acme" || com.Name != "default" || com.ID != "5f0000000000000000000002" || len(com.OtherDNS) != 1 {
		t.Errorf("%+v, %v", com, err)
	}
	d, err := byID.Directory(t.Context())
	if err != nil || d["idproofingapi"] != "http://idproofing-api:8888" || d["docuverify"] != f.srv.URL+"/docuverify" || len(d) != 6 {
		t.Errorf("%v, %v", d, err)
	}
	_, err = f.client(t, func(c *blockid.Config) { c.Community = "other" }).Community(t.Context())
	if blockid.KindOf(err) != blockid.KindNotFound {
		t.Errorf("unknown community: %v", err)
	}
	// An answer about another community than the one asked for.
	for name, change := range map[string]func(*blockid.Config){
		"name": func(c *blockid.Config) { c.Community = "other" },
		"ids":  func(c *blockid.Config) { c.TenantID, c.CommunityID = "1", "2" },
	} {
		f.set(func() {
			f.override[pathInfo] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, golden(t, "community.json"))
			}
		})
		if _, err := f.client(t, change).Community(t.Context()); blockid.KindOf(err) != blockid.KindMalformed {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestCaching(t *testing.T) {
	f, clk := startFake(t, "secp256k1"), newClock()
	c := f.client(t, func(cfg *blockid.Config) { cfg.Now = clk.now })
	create := func() error { _, err := c.CreateIDV(t.Context(), someRequest); return err }
	want := func(n int) {
		t.Helper()
		for _, path := range []string{pathInfo, pathSD, pathKeys} {
			if got := f.count(path); got != n {
				t.Errorf("%s asked %d times, want %d", path, got, n)
			}
		}
	}

	// A failure is not remembered.
	f.set(func() {
		f.override[pathSD] = func(w http.ResponseWriter, _ *http.Request) { fail(w, 503, "down") }
	})
	if err := create(); blockid.KindOf(err) != blockid.KindUpstream {
		t.Fatal(err)
	}
	f.set(func() { delete(f.override, pathSD); clear(f.hits); f.hits[pathInfo] = 1 })

	if err := create(); err != nil {
		t.Fatal(err)
	}
	clk.advance(10*time.Minute - time.Second)
	if err := create(); err != nil {
		t.Fatal(err)
	}
	want(1)
	clk.advance(time.Second)
	if err := create(); err != nil {
		t.Fatal(err)
	}
	want(2)
}

// TestOneFetchForAll starts many first calls at once.
func TestOneFetchForAll(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t)
	release, arrived := make(chan struct{}), make(chan struct{}, 64)
	f.set(func() {
		f.override[pathKeys] = func(w http.ResponseWriter, _ *http.Request) {
			arrived <- struct{}{}
			<-release
			writeJSON(w, 200, map[string]string{"publicKey": f.keys["docuverify"].public()})
		}
	})
	impatient, giveUp := context.WithCancel(t.Context())
	first := make(chan error, 1)
	go func() { _, err := c.CreateIDV(impatient, someRequest); first <- err }()
	<-arrived // the fetch belongs to the impatient caller
	var wg sync.WaitGroup
	errs := make(chan error, 32)
	for range 32 {
		wg.Go(func() { _, err := c.CreateIDV(t.Context(), someRequest); errs <- err })
	}
	giveUp()
	if err := <-first; blockid.KindOf(err) != blockid.KindCanceled || !errors.Is(err, context.Canceled) {
		t.Errorf("impatient caller: %v", err)
	}
	close(release)
	wg.Wait()
	for range 32 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if n := f.count(pathKeys); n != 1 {
		t.Errorf("%d key fetches", n)
	}
}

func TestRotation(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t)
	ctx := t.Context()
	f.set(func() {
		f.plain[pathResult] = golden(t, "v3.pending.json")
		f.plain[pathIAL] = golden(t, "ial.2.json")
	})
	rotate := func() {
		f.set(func() { f.keys["docuverify"], f.keys["community"] = newFakeKey("secp256k1"), newFakeKey("secp256k1") })
	}
	calls := map[string]func() error{
		"create": func() error { _, err := c.CreateIDV(ctx, someRequest); return err },
		"result": func() error { _, err := c.IDVResult(ctx, fakeDVC, fakeSession); return err },
		"ial":    func() error { _, err := c.IAL(ctx, "jdoe"); return err },
	}
	for name, call := range calls {
		if err := call(); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		rotate()
		f.set(func() { clear(f.hits) })
		// The fake refuses a repeated request id, so this also shows that the
		// second attempt has its own.
		if err := call(); err != nil {
			t.Errorf("%s after rotation: %v", name, err)
		}
		if n := f.count(pathInfo); n != 1 {
			t.Errorf("%s: %d refreshes", name, n)
		}
	}

	// Only the answer shows the new key: no refresh is needed.
	if err := calls["result"](); err != nil {
		t.Fatal(err)
	}
	old := f.keys["docuverify"]
	f.set(func() {
		clear(f.hits)
		next := newFakeKey("secp256k1")
		f.override[pathResult] = func(w http.ResponseWriter, r *http.Request) {
			caller := r.Header.Get("publickey")
			if _, err := old.open(caller, r.Header.Get("requestid")); err != nil {
				fail(w, 400, "This header can't be decrypted")
				return
			}
			writeJSON(w, 200, map[string]string{"data": next.seal(caller, golden(t, "v3.pending.json")), "publicKey": next.public()})
		}
	})
	if err := calls["result"](); err != nil {
		t.Error(err)
	}
	if f.count(pathKeys) != 0 {
		t.Error("refreshed without need")
	}
	f.set(func() { delete(f.override, pathResult) })

	// A service that never understands us is asked twice, not for ever.
	for _, answer := range []func(http.ResponseWriter){
		func(w http.ResponseWriter) { fail(w, 400, "This header can't be decrypted") },
		func(w http.ResponseWriter) { fail(w, 401, "This header can't be decrypted") },
		func(w http.ResponseWriter) {
			writeJSON(w, 200, map[string]any{"code": 400, "message": "This header can't be decrypted"})
		},
	} {
		f.set(func() {
			clear(f.hits)
			f.override[pathCreate] = func(w http.ResponseWriter, _ *http.Request) { answer(w) }
		})
		if err := calls["create"](); blockid.KindOf(err) != blockid.KindDecrypt {
			t.Errorf("%v", err)
		}
		if a, b := f.count(pathCreate), f.count(pathInfo); a != 2 || b != 1 {
			t.Errorf("%d attempts, %d refreshes", a, b)
		}
	}
}

func TestRotationUnderLoad(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t)
	f.set(func() { f.plain[pathResult] = golden(t, "v3.pending.json") })
	var wg sync.WaitGroup
	errs := make(chan error, 400)
	for i := range 8 {
		wg.Go(func() {
			for j := range 50 {
				if i == 0 && j%20 == 10 {
					f.set(func() { f.keys["docuverify"] = newFakeKey("secp256k1") })
				}
				_, err := c.IDVResult(t.Context(), fakeDVC, fakeSession)
				errs <- err
			}
		})
	}
	wg.Wait()
	close(errs)
	for err := range errs {
		// Two rotations may meet one call; then it says so.
		if err != nil && blockid.KindOf(err) != blockid.KindDecrypt {
			t.Error(err)
		}
	}
	if _, err := c.IDVResult(t.Context(), fakeDVC, fakeSession); err != nil {
		t.Error(err)
	}
}

func TestUndecryptable(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t)
	success := golden(t, "v3.success.passport.json")
	f.set(func() { f.plain[pathResult] = success })
	for name, tamper := range map[string]func(string) string{
		"flipped": func(s string) string {
			b, _ := base64.StdEncoding.DecodeString(s)
			b[len(b)/2] ^= 1
			return base64.StdEncoding.EncodeToString(b)
		},
		"truncated":  func(s string) string { return s[:len(s)/8*4] },
		"short":      func(string) string { return "AAAA" },
		"empty":      func(string) string { return "" },
		"not base64": func(s string) string { return "%" + s[1:] },
		"plain":      func(string) string { return success },
	} {
		f.set(func() { f.tamper = tamper })
		r, err := c.IDVResult(t.Context(), fakeDVC, fakeSession)
		if r != nil || blockid.KindOf(err) != blockid.KindDecrypt || !errors.Is(err, blockid.ErrCiphertext) {
			t.Errorf("%s: %v, %v", name, r, err)
		}
	}
	// Sealed for somebody else.
	other := newFakeKey("secp256k1").public()
	f.set(func() {
		f.tamper = func(string) string { return f.keys["docuverify"].seal(other, success) }
	})
	if r, err := c.IDVResult(t.Context(), fakeDVC, fakeSession); r != nil || blockid.KindOf(err) != blockid.KindDecrypt {
		t.Errorf("%v, %v", r, err)
	}
	f.set(func() { f.tamper = nil })
	// A key that is no key, in the answer.
	for _, key := range []string{"AAAA", newFakeKey("P-256").public()} {
		f.set(func() {
			f.override[pathResult] = func(w http.ResponseWriter, r *http.Request) {
				writeJSON(w, 200, map[string]string{"data": f.keys["docuverify"].seal(r.Header.Get("publickey"), success), "publicKey": key})
			}
		})
		if r, err := c.IDVResult(t.Context(), fakeDVC, fakeSession); r != nil || blockid.KindOf(err) != blockid.KindDecrypt {
			t.Errorf("%v, %v", r, err)
		}
	}
	// Escaped slashes are still base64.
	f.set(func() {
		f.override[pathResult] = func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			s := f.keys["docuverify"].seal(r.Header.Get("publickey"), success)
			fmt.Fprintf(w, `{"data":"%s"}`, strings.ReplaceAll(s, "/", `\/`))
		}
	})
	if r, err := c.IDVResult(t.Context(), fakeDVC, fakeSession); err != nil || r.Status != blockid.StatusSuccess {
		t.Errorf("%v, %v", r, err)
	}
}

// TestNotAnAnswer has everything that is not what the protocol says, for a
// sealed call. None may become a result.
func TestNotAnAnswer(t *testing.T) {
	f := startFake(t, "secp256k1")
	c := f.client(t, func(c *blockid.Config) { c.MaxBody = 4096 })
	success := golden(t, "v3.success.passport.json")
	page := func(status int, contentType, body string) http.HandlerFunc {
		return func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", contentType)
			w.WriteHeader(status)
			_, _ = io.WriteString(w, body)
		}
	}
	const html = "<!doctype html><title>hello</title>"
	for name, tc := range map[string]struct {
		h    http.HandlerFunc
		kind blockid.Kind
	}{
		"html 200":        {page(200, "text/html", html), blockid.KindMalformed},
		"html 404":        {page(404, "text/html", html), blockid.KindMalformed},
		"html 400":        {page(400, "text/html;charset=utf-8", html), blockid.KindMalformed},
		"html 401":        {page(401, "text/html", html), blockid.KindUnauthorized},
		"html 500":        {page(500, "text/html", html), blockid.KindUpstream},
		"html as json":    {page(200, "application/json", html), blockid.KindMalformed},
		"json as html":    {page(200, "text/html", success), blockid.KindMalformed},
		"not sealed":      {page(200, "application/json", success), blockid.KindMalformed},
		"null":            {page(200, "application/json", "null"), blockid.KindMalformed},
		"array":           {page(200, "application/json", "[]"), blockid.KindMalformed},
		"empty":           {page(200, "application/json", ""), blockid.KindMalformed},
		"empty object":    {page(200, "application/json", "{}"), blockid.KindMalformed},
		"data is null":    {page(200, "application/json", `{"data":null}`), blockid.KindMalformed},
		"data is object":  {page(200, "application/json", `{"data":`+success+`}`), blockid.KindMalformed},
		"cut json":        {page(200, "application/json", `{"data":"AAAA`), blockid.KindMalformed},
		"empty 404":       {page(404, "", ""), blockid.KindNotFound},
		"empty 500":       {page(500, "application/json", ""), blockid.KindUpstream},
		"no content":      {page(204, "application/json", ""), blockid.KindMalformed},
		"error in 200":    {page(200, "application/json", `{"code":404,"message":"no"}`), blockid.KindNotFound},
		"false in 200":    {page(200, "application/json", `{"errorCode":"E10001","message":"no","status":false}`), blockid.KindInvalid},
		"informal status": {page(299, "application/json", "{}"), blockid.KindMalformed},
		"odd status":      {page(999, "application/json", "{}"), blockid.KindMalformed},
		"huge":            {page(200, "application/json", `{"data":"`+strings.Repeat("A", 8192)+`"}`), blockid.KindMalformed},
		"huge, chunked": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			for range 64 {
				_, _ = io.WriteString(w, strings.Repeat(" ", 1024))
				w.(http.Flusher).Flush()
			}
		}, blockid.KindMalformed},
		"huge error": {page(503, "application/json", strings.Repeat(" ", 1<<20)), blockid.KindUpstream},
		"cut short": {func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", "100")
			_, _ = io.WriteString(w, "{")
			panic(http.ErrAbortHandler)
		}, blockid.KindUpstream},
		"hangs up": {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, blockid.KindUpstream},
		"redirect": {func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, pathResultV1, http.StatusTemporaryRedirect)
		}, blockid.KindMalformed},
	} {
		f.set(func() { f.override[pathResult] = tc.h; clear(f.hits) })
		r, err := c.IDVResult(t.Context(), fakeDVC, fakeSession)
		if r != nil || blockid.KindOf(err) != tc.kind {
			t.Errorf("%s: %v, %v", name, r, err)
		}
		if f.count(pathResultV1) != 0 {
			t.Errorf("%s: redirect followed", name)
		}
	}
	// The same for the answers that come before any key is known.
	for _, path := range []string{pathInfo, pathSD, pathKeys, pathCreate} {
		for name, body := range map[string]string{
			"html": html, "null": "null", "array": "[]", "empty": "{}", "cut": `{"tenant":`,
			"wrong types": `{"tenant":"x","community":7,"licenses":{},"publicKey":[],"sessionId":{},"url":1}`,
			"bad key":     `{"publicKey":"AAAA"}`,
		} {
			f := startFake(t, "secp256k1")
			f.set(func() { f.override[path] = page(200, "application/json", body) })
			s, err := f.client(t).CreateIDV(t.Context(), someRequest)
			if s != (blockid.IDVSession{}) || blockid.KindOf(err) != blockid.KindMalformed {
				t.Errorf("%s %s: %v, %v", path, name, s, err)
			}
		}
	}
}

func TestTimeout(t *testing.T) {
	f := startFake(t, "secp256k1")
	hang := make(chan struct{})
	t.Cleanup(func() { close(hang) })
	for _, path := range []string{pathInfo, pathSD, pathKeys, pathCreate} {
		f.set(func() {
			clear(f.override)
			f.override[path] = func(http.ResponseWriter, *http.Request) { <-hang }
		})
		c := f.client(t, func(c *blockid.Config) { c.Timeout = 50 * time.Millisecond })
		_, err := c.CreateIDV(t.Context(), someRequest)
		var e *blockid.Error
		if !errors.As(err, &e) || e.Kind != blockid.KindTimeout || !e.Temporary() {
			t.Errorf("%s: %v", path, err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		if _, err := f.client(t).CreateIDV(ctx, someRequest); blockid.KindOf(err) != blockid.KindTimeout {
			t.Errorf("%s: %v", path, err)
		}
		cancel()
		if _, err := f.client(t).CreateIDV(ctx, someRequest); err == nil {
			t.Error("succeeds with an ended context")
		}
	}
}

func TestUnreachable(t *testing.T) {
	f := newFake("secp256k1")
	cfg := f.config()
	f.srv.Close()
	for name, tc := range map[string]struct {
		change func(*blockid.Config)
	}{
		"refused": {func(*blockid.Config) {}},
		"name": {func(c *blockid.Config) {
			c.HTTPClient = &http.Client{Transport: &http.Transport{DialContext: func(context.Context, string, string) (net.Conn, error) {
				return nil, &net.DNSError{Err: "no such host", Name: c.DNS, IsNotFound: true}
			}}}
		}},
		"certificate": {func(c *blockid.Config) { c.DNS = startFake(t, "secp256k1").dns; c.HTTPClient = nil }},
	} {
		cfg := cfg
		tc.change(&cfg)
		c, err := blockid.NewClient(cfg)
		if err != nil {
			t.Fatal(err)
		}
		_, err = c.CreateIDV(t.Context(), someRequest)
		var e *blockid.Error
		if !errors.As(err, &e) || e.Kind != blockid.KindUpstream || !e.Temporary() || strings.Contains(err.Error(), cfg.DNS) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestUntrustedURLs(t *testing.T) {
	for name, raw := range map[string]string{
		"http":         "http://DNS/docuverify",
		"other host":   "https://evil.example/docuverify",
		"other port":   "https://127.0.0.1:1/docuverify",
		"user info":    "https://u:p@DNS/docuverify",
		"no host":      "https:///docuverify",
		"relative":     "/docuverify",
		"opaque":       "https:docuverify",
		"suffix trick": "https://DNS.evil.example/docuverify",
		"not a URL":    "https://DNS/%zz",
	} {
		f := startFake(t, "secp256k1")
		f.set(func() { f.sd["docuverify"] = strings.ReplaceAll(raw, "DNS", f.dns) })
		_, err := f.client(t).CreateIDV(t.Context(), someRequest)
		if blockid.KindOf(err) != blockid.KindUntrustedHost {
			t.Errorf("service %s: %v", name, err)
		}
		if f.count(pathKeys) != 0 {
			t.Errorf("service %s was asked", name)
		}
		f = startFake(t, "secp256k1")
		f.set(func() { f.url = strings.ReplaceAll(raw, "DNS", f.dns) })
		if s, err := f.client(t).CreateIDV(t.Context(), someRequest); blockid.KindOf(err) != blockid.KindUntrustedHost || s.URL != "" {
			t.Errorf("link %s: %v", name, err)
		}
	}
	// Hosts become good by configuration, or because the tenant owns them.
	f := startFake(t, "secp256k1")
	f.set(func() { f.url = "https://Capture.Example:443/idproofing/session/x" })
	ok := f.client(t, func(c *blockid.Config) { c.AllowedHosts = []string{"capture.example"} })
	if _, err := ok.CreateIDV(t.Context(), someRequest); err != nil {
		t.Error(err)
	}
	f.set(func() { f.otherDNS = []string{"", "not/a host", "capture.example"} })
	if _, err := f.client(t).CreateIDV(t.Context(), someRequest); err != nil {
		t.Error(err)
	}
	f.set(func() { f.sd["docuverify"] = f.srv.URL + "/docuverify?x=1" })
	if _, err := f.client(t).CreateIDV(t.Context(), someRequest); blockid.KindOf(err) != blockid.KindMalformed {
		t.Error(err)
	}
	f.set(func() { f.sd["docuverify"] = f.srv.URL + "/docuverify/" })
	if _, err := f.client(t, func(c *blockid.Config) { c.AllowedHosts = []string{"capture.example"} }).CreateIDV(t.Context(), someRequest); err != nil {
		t.Error(err)
	}
	f.set(func() { delete(f.sd, "docuverify") })
	if _, err := f.client(t).CreateIDV(t.Context(), someRequest); blockid.KindOf(err) != blockid.KindMalformed {
		t.Error(err)
	}
}

func TestWrongCurve(t *testing.T) {
	f := startFake(t, "P-256")
	k, err := blockid.GenerateKey(blockid.Secp256k1)
	if err != nil {
		t.Fatal(err)
	}
	_, err = f.client(t, func(c *blockid.Config) { c.Key = k }).CreateIDV(t.Context(), someRequest)
	if blockid.KindOf(err) != blockid.KindConfig || !errors.Is(err, blockid.ErrCurve) {
		t.Errorf("key on the other curve: %v", err)
	}
	_, err = f.client(t, func(c *blockid.Config) { c.Curve = blockid.Secp256k1 }).CreateIDV(t.Context(), someRequest)
	if blockid.KindOf(err) != blockid.KindMalformed || !errors.Is(err, blockid.ErrKey) {
		t.Errorf("service key on an excluded curve: %v", err)
	}
	if _, err := f.client(t, func(c *blockid.Config) { c.Curve = blockid.P256 }).CreateIDV(t.Context(), someRequest); err != nil {
		t.Error(err)
	}
}

func TestOwnKeyIsUsed(t *testing.T) {
	f := startFake(t, "secp256k1")
	k, _ := blockid.GenerateKey(blockid.Auto)
	if _, err := f.client(t, func(c *blockid.Config) { c.Key = k }).CreateIDV(t.Context(), someRequest); err != nil {
		t.Fatal(err)
	}
	if got := f.last(t).Header.Get("publickey"); got != k.Public().String() {
		t.Errorf("public key %s", got)
	}
}

func TestConfig(t *testing.T) {
	k, _ := blockid.GenerateKey(blockid.P256)
	good := blockid.Config{DNS: "acme.example", Community: "default", LicenseKey: "x"}
	if _, err := blockid.NewClient(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*blockid.Config){
		"no dns":       func(c *blockid.Config) { c.DNS = "" },
		"url":          func(c *blockid.Config) { c.DNS = "https://acme.example" },
		"path":         func(c *blockid.Config) { c.DNS = "acme.example/x" },
		"user":         func(c *blockid.Config) { c.DNS = "u@acme.example" },
		"port alone":   func(c *blockid.Config) { c.DNS = ":443" },
		"bad host":     func(c *blockid.Config) { c.AllowedHosts = []string{"a b"} },
		"empty host":   func(c *blockid.Config) { c.AllowedHosts = []string{""} },
		"no community": func(c *blockid.Config) { c.Community, c.TenantID = "", "1" },
		"no license":   func(c *blockid.Config) { c.LicenseKey = "" },
		"curve":        func(c *blockid.Config) { c.Curve = "P-384" },
		"key's curve":  func(c *blockid.Config) { c.Curve, c.Key = blockid.Secp256k1, k },
	} {
		cfg := good
		change(&cfg)
		if c, err := blockid.NewClient(cfg); c != nil || blockid.KindOf(err) != blockid.KindConfig {
			t.Errorf("%s: %v", name, err)
		}
	}
	f := startFake(t, "secp256k1")
	c := f.client(t)
	for name, call := range map[string]func() error{
		"no dvc": func() error {
			_, err := c.CreateIDV(t.Context(), blockid.IDVRequest{DocumentType: blockid.Passport})
			return err
		},
		"document":    func() error { _, err := c.CreateIDV(t.Context(), blockid.IDVRequest{DVCID: "x"}); return err },
		"result dvc":  func() error { _, err := c.IDVResult(t.Context(), "", "x"); return err },
		"result id":   func() error { _, err := c.IDVResultV1(t.Context(), "x", ""); return err },
		"ial nobody":  func() error { _, err := c.IAL(t.Context(), ""); return err },
		"ial dot dot": func() error { _, err := c.IAL(t.Context(), ".."); return err },
	} {
		if err := call(); blockid.KindOf(err) != blockid.KindInvalid {
			t.Errorf("%s: %v", name, err)
		}
	}
	if len(f.hits) != 0 {
		t.Errorf("sent something: %v", f.hits)
	}
}

// TestVendorErrors has each error body of the protocol reference.
func TestVendorErrors(t *testing.T) {
	for _, tc := range []struct {
		status  int
		body    string
		header  http.Header
		kind    blockid.Kind
		code    string
		message string
		param   string
		retry   time.Duration
		temp    bool
	}{
		{status: 400, body: `{"code":400,"message":"dvcID is required"}`, kind: blockid.KindInvalid, code: "400", message: "dvcID is required"},
		{status: 404, body: `{"code":404,"message":"Invalid dvcID","signature_token":"00"}`, kind: blockid.KindNotFound, code: "404", message: "Invalid dvcID"},
		{status: 401, body: `{"code":401,"message":"Invalid or Unauthorized License"}`, kind: blockid.KindUnauthorized, code: "401", message: "Invalid or Unauthorized License"},
		{status: 403, body: `{"message":"OTP locked for the user"}`, kind: blockid.KindUnauthorized, message: "OTP locked for the user"},
		{status: 400, body: `{"message":"Unable to load tenant/community"}`, kind: blockid.KindInvalid, message: "Unable to load tenant/community"},
		{status: 404, body: `{"error_code":404,"message":"Invalid OTP","status":false}`, kind: blockid.KindNotFound, code: "404", message: "Invalid OTP"},
		{status: 400, body: `{"errorCode":"E10001","errorMessage":"wrong","message":"Wrong code","status":false}`, kind: blockid.KindInvalid, code: "E10001", message: "wrong"},
		{status: 400, body: `{"errors":[{"message":"This header should not be empty","param":"licensekey"}]}`, kind: blockid.KindInvalid, message: "This header should not be empty", param: "licensekey"},
		{status: 400, body: `{"errors":[{"message":"This header can't be decrypted","param":"licensekey"}]}`, kind: blockid.KindDecrypt, message: "This header can't be decrypted", param: "licensekey"},
		{status: 400, body: `{"statusCode":400,"error":"Bad Request","message":"nope"}`, kind: blockid.KindInvalid, code: "400", message: "nope"},
		{status: 401, body: `{"error":"invalid_client","error_description":"who?"}`, kind: blockid.KindUnauthorized, message: "who?"},
		{status: 405, body: `{"code":405,"message":"This function is not allowed for specified auth module."}`, kind: blockid.KindInvalid, code: "405", message: "This function is not allowed for specified auth module."},
		{status: 409, body: `{"code":409,"message":"Alias already used"}`, kind: blockid.KindInvalid, code: "409", message: "Alias already used"},
		{status: 410, body: `{"code":410,"message":"expired"}`, kind: blockid.KindInvalid, code: "410", message: "expired"},
		{status: 429, body: `{"message":"slow down","retryAfterSeconds":30}`, kind: blockid.KindRateLimited, message: "slow down", retry: 30 * time.Second, temp: true},
		{status: 429, body: `{"message":"slow down"}`, header: http.Header{"Retry-After": {"7"}}, kind: blockid.KindRateLimited, message: "slow down", retry: 7 * time.Second, temp: true},
		{status: 429, body: `{"retryAfterSeconds":"1e99","code":1}`, kind: blockid.KindRateLimited, code: "1", retry: 24 * time.Hour, temp: true},
		{status: 503, body: `{"message":"down"}`, header: http.Header{"Retry-After": {"Thu, 01 Jan 2026 00:01:00 GMT"}}, kind: blockid.KindUpstream, message: "down", retry: time.Minute, temp: true},
		{status: 503, body: `{"message":"down"}`, header: http.Header{"Retry-After": {"Thu, 01 Jan 1970 00:01:00 GMT"}}, kind: blockid.KindUpstream, message: "down", temp: true},
		{status: 503, body: `{"message":"down"}`, header: http.Header{"Retry-After": {"-3"}}, kind: blockid.KindUpstream, message: "down", temp: true},
		{status: 500, body: `{"code":500,"message":"one of smsTo or emailTo are required"}`, kind: blockid.KindUpstream, code: "500", message: "one of smsTo or emailTo are required", temp: true},
		{status: 504, body: `{}`, kind: blockid.KindTimeout, temp: true},
		{status: 408, body: `{"code":"408"}`, kind: blockid.KindTimeout, code: "408", temp: true},
		{status: 400, body: `[]`, kind: blockid.KindInvalid},
		{status: 400, body: `nonsense`, kind: blockid.KindInvalid},
		{status: 400, body: `{"code":{"a":1},"message":["x"],"errors":7}`, kind: blockid.KindInvalid},
	} {
		f, clk := startFake(t, "secp256k1"), newClock()
		f.set(func() {
			f.override[pathCreate] = func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Type", "application/json")
				for k, v := range tc.header {
					w.Header()[k] = v
				}
				w.WriteHeader(tc.status)
				_, _ = io.WriteString(w, tc.body)
			}
		})
		_, err := f.client(t, func(c *blockid.Config) { c.Now = clk.now }).CreateIDV(t.Context(), someRequest)
		var e *blockid.Error
		if !errors.As(err, &e) {
			t.Fatalf("%s: %v", tc.body, err)
		}
		if e.Kind != tc.kind || e.Code != tc.code || e.Message != tc.message || e.Param != tc.param || e.RetryAfter != tc.retry ||
			e.HTTPStatus != tc.status || e.Temporary() != tc.temp || e.Op != "idv.create" || e.Service != "docuverify" {
			t.Errorf("%d %s: %#v", tc.status, tc.body, e)
		}
		if m := tc.message; m != "" && strings.Contains(err.Error(), m) {
			t.Errorf("error text quotes the vendor: %v", err)
		}
	}
}

func TestErrorTextIsSafe(t *testing.T) {
	const person = "jane.personal@example.com"
	f := startFake(t, "secp256k1")
	c := f.client(t)
	path := "/api/r1/community/default/userid/" + person + "/ial"
	for name, h := range map[string]http.HandlerFunc{
		"message": func(w http.ResponseWriter, _ *http.Request) { fail(w, 404, "no user "+person) },
		"code":    func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 400, map[string]string{"code": person}) },
		"number":  func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, 400, map[string]any{"code": 123456789}) },
		"hang up": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		f.set(func() { f.override[path] = h })
		_, err := c.IAL(t.Context(), person)
		if err == nil || strings.Contains(fmt.Sprintf("%v %+v %s", err, err, err), person) || strings.Contains(err.Error(), "123456789") {
			t.Errorf("%s: %v", name, err)
		}
	}
	e := &blockid.Error{Kind: blockid.KindInvalid, Op: "x", HTTPStatus: 400, Code: "E10001", Message: person}
	if got := e.Error(); got != "blockid: x: invalid (HTTP 400, code E10001)" {
		t.Error(got)
	}
	if blockid.KindOf(io.EOF) != "" || blockid.KindOf(fmt.Errorf("x: %w", e)) != blockid.KindInvalid {
		t.Error("KindOf")
	}
}

func TestSealedCreateIsRead(t *testing.T) {
	// The portal says the answer is encrypted, observation that it is not.
	f := startFake(t, "secp256k1")
	f.set(func() {
		f.override[pathCreate] = func(w http.ResponseWriter, r *http.Request) {
			b, _ := json.Marshal(map[string]string{"sessionId": fakeSession, "url": f.url})
			writeJSON(w, 200, map[string]string{"data": f.keys["docuverify"].seal(r.Header.Get("publickey"), string(b))})
		}
	})
	s, err := f.client(t).CreateIDV(t.Context(), someRequest)
	if err != nil || s.ID != fakeSession {
		t.Fatal(s, err)
	}
	// When it cannot be opened a session may exist; it is not made twice.
	f.set(func() {
		clear(f.hits)
		f.override[pathCreate] = func(w http.ResponseWriter, r *http.Request) {
			writeJSON(w, 200, map[string]string{"data": strings.Repeat("A", 80)})
		}
	})
	if _, err := f.client(t).CreateIDV(t.Context(), someRequest); blockid.KindOf(err) != blockid.KindDecrypt || f.count(pathCreate) != 1 {
		t.Errorf("%v after %d attempts", err, f.count(pathCreate))
	}
}

func TestLargeResult(t *testing.T) {
	f := startFake(t, "secp256k1")
	f.set(func() { f.plain[pathResult] = bigResult(4 << 20) })
	r, err := f.client(t).IDVResult(t.Context(), fakeDVC, fakeSession)
	if err != nil || r.Status != blockid.StatusSuccess || len(r.Document.Image) < 1<<20 {
		t.Fatal(r, err)
	}
	if !bytes.Equal(r.Raw, []byte(bigResult(4<<20))) {
		t.Error("raw differs")
	}
}
