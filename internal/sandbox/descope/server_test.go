package descope_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

var update = flag.Bool("update", false, "rewrite testdata")

const (
	projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"
	page      = "https://app.example"
)

type site struct {
	*testing.T
	*httptest.Server
	runner     *runner.Runner
	accounts   *rt.Accounts
	connectors *rt.Connectors
	faults     *faults.Set
	seen       []project.Browser
}

// newSite serves the exchange of the reference's section 4.11: a screen, a screen
// that polls, and an end.
func newSite(t testing.TB) *site {
	s := &site{accounts: rt.NewAccounts(), connectors: &rt.Connectors{}, faults: faults.New()}
	var err error
	if s.runner, err = runner.New(runner.Options{Names: flow.DefaultNames(), Accounts: s.accounts, Connectors: s.connectors}); err != nil {
		t.Fatal(err)
	}
	done := rt.To(rt.If("5", "connectors.kosmosIdv.status", "equal", "done"), "yes", "6", "ELSE", "4")
	doc := rt.Flow("kosmos",
		rt.To(rt.If("1", "user.loggedIn", "is-true", nil), "yes", "2", "ELSE", "9"),
		rt.To(rt.Call("2", "kosmosIdv", map[string]any{"user_identifier": "{{user.userId}}"}), "success", "3"),
		rt.To(rt.Screen("3", "connectors.kosmosIdv.session_id", "connectors.kosmosIdv.session_url", "form.email"), "btnNext", "4"),
		rt.To(rt.Screen("4"), "polling", "7"),
		rt.To(rt.Call("7", "kosmosIdv", nil), "success", "5"), done,
		rt.To(rt.Do("6", "custom-claims", "claims", []flow.KeyValue{{Key: "kosmos_ial", Value: "2"}}), "success", "8"),
		rt.Do("8", "logged-in", "output", []flow.KeyValue{{Key: "kosmos_ial", Value: "2"}}),
		rt.To(rt.Screen("9"), "btnNext", "9"))
	if p := s.runner.Import(doc); runner.Refused(p) {
		t.Fatal(p)
	}
	s.accounts.Tokens["refresh-token"] = "ada@example.org"
	s.connectors.Answer = func(n int, _ runner.Call) (any, error) {
		if n < 4 {
			return map[string]any{"status": "pending", "session_id": "SID1", "session_url": "https://bridge.example/v/1", "secret": "not for the browser"}, nil
		}
		return map[string]any{"status": "done"}, nil
	}
	var mu sync.Mutex
	h, err := descope.New(descope.Options{
		ProjectID: projectID, BaseURL: "http://localhost:8080", Origins: []string{page}, Runner: s.runner, Faults: s.faults.Runtime,
		Browser: func(r *http.Request) project.Browser {
			b := project.Browser{Addr: netip.MustParseAddr("192.0.2.1"), UserAgent: r.UserAgent()}
			mu.Lock()
			defer mu.Unlock()
			s.seen = append(s.seen, b)
			return b
		},
		Manage: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			if r.URL.Path == "/panic" {
				panic("on purpose")
			}
			_, _ = io.WriteString(w, "manage "+r.URL.Path)
		}),
		Federation: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "federation "+r.URL.Path) }),
		Screens:    http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "screens "+r.URL.Path) }),
		Panel:      http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { _, _ = io.WriteString(w, "panel "+r.URL.Path) }),
	})
	if err != nil {
		t.Fatal(err)
	}
	s.Server = httptest.NewServer(h)
	t.Cleanup(s.Close)
	if tt, ok := t.(*testing.T); ok {
		s.T = tt
	}
	return s
}

func (s *site) send(method, path, body string, header ...string) (*http.Response, []byte, error) {
	r, err := http.NewRequest(method, s.URL+path, strings.NewReader(body))
	if err != nil {
		return nil, nil, err
	}
	r.Header.Set("Authorization", "Bearer "+projectID)
	r.Header.Set("Origin", page)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	resp, err := s.Client().Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	return resp, b, err
}

func (s *site) must(method, path, body string, header ...string) (*http.Response, []byte) {
	s.Helper()
	resp, b, err := s.send(method, path, body, header...)
	if err != nil {
		s.Fatal(err)
	}
	return resp, b
}

var random = regexp.MustCompile(`kosmos\|#\|[A-Z2-7]+`)

func (s *site) golden(name string, got []byte) {
	s.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, random.ReplaceAll(got, []byte("kosmos|#|RANDOM")), "", "  "); err != nil {
		s.Fatal(err, string(got))
	}
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			s.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		s.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		s.Errorf("%s: got\n%s\nwant\n%s", name, pretty.Bytes(), want)
	}
}

// start is what web component 4.3.2 sends, nulls and keys of its own included.
const start = `{"flowId":"kosmos","options":{"redirectUrl":null,"location":"https://app.example/login","deviceInfo":{"webAuthnSupport":true},
"redirectAuth":null,"tenant":null,"oidcIdpStateId":null,"outboundAppId":null,"client":{"scope":"orders:refund"},"lastAuth":{},"abTestingKey":37,
"startOptionsVersion":1,"deferredRedirect":false,"baseUrl":"http://localhost:8080","locale":"en-us","nativeOptions":null},
"conditionInteractionId":null,"interactionId":"","componentsVersion":"3.14.1","flowVersions":{},"input":{},"isCustomScreen":null}`

func (s *site) next(execution, step, interaction, input, nonce string) (*http.Response, []byte) {
	s.Helper()
	body, err := json.Marshal(map[string]any{
		"executionId": execution, "stepId": step, "interactionId": interaction, "version": nil, "componentsVersion": "3.14.1",
		"isCustomScreen": false, "input": json.RawMessage(input),
	})
	if err != nil {
		s.Fatal(err)
	}
	return s.must("POST", "/v1/flow/next", string(body), "X-Descope-Flow-Nonce", nonce)
}

func TestExchange(t *testing.T) {
	s := newSite(t)
	resp, body := s.must("POST", "/v1/flow/start", start, "Authorization", "Bearer "+projectID+":refresh-token")
	s.golden("start", body)
	if h := resp.Header; h.Get("Access-Control-Allow-Origin") != page || h.Get("Access-Control-Allow-Credentials") != "true" || h.Get("Cache-Control") != "no-store" ||
		!strings.Contains(h.Get("Access-Control-Expose-Headers"), "X-Descope-Flow-Nonce") || !strings.Contains(h.Get("Access-Control-Expose-Headers"), "x-geo") {
		t.Errorf("%v", h)
	}
	var a struct{ ExecutionID, StepID string }
	if err := json.Unmarshal(body, &a); err != nil {
		t.Fatal(err)
	}
	nonce := func() string {
		n := resp.Header.Get("X-Descope-Flow-Nonce")
		if n == "" {
			t.Fatal("no nonce")
		}
		return n
	}
	resp, body = s.next(a.ExecutionID, "3", "btnNext", `{"foo":"bar","email":"a@b.c","origin":"https://app.example"}`, nonce())
	s.golden("screen-that-polls", body)
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, nonce())
	s.golden("poll", body)
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, nonce())
	s.golden("poll", body)
	used := nonce()
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, used)
	s.golden("completed", body)
	last := nonce()
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, used) // the answer was lost
	s.golden("completed", body)
	if nonce() != last {
		t.Error("a repeated call got another nonce")
	}
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, last)
	s.golden("completed", body)
	resp, body = s.next(a.ExecutionID, "4", "polling", `{}`, used)
	if s.golden("nonce", body); resp.StatusCode != 400 {
		t.Error(resp.Status)
	}
}

func TestErrors(t *testing.T) {
	s := newSite(t)
	for name, c := range map[string]struct {
		path, body string
		status     int
		header     []string
	}{
		"wrong-project":    {"/v1/flow/start", start, 401, []string{"Authorization", "Bearer P2other"}},
		"no-authorization": {"/v1/flow/start", start, 401, []string{"Authorization", ""}},
		"unknown-flow":     {"/v1/flow/start", `{"flowId":"nope"}`, 404, nil},
		"old-version":      {"/v1/flow/start", `{"flowId":"kosmos","flowVersions":{"kosmos":1}}`, 400, nil},
		"malformed":        {"/v1/flow/start", `{"flowId":`, 400, nil},
		"null":             {"/v1/flow/next", ` null`, 400, nil},
		"wrong-type":       {"/v1/flow/next", `{"executionId":5}`, 400, nil},
		"empty":            {"/v1/flow/next", ``, 400, nil},
		"expired":          {"/v1/flow/next", `{"executionId":"kosmos|#|gone","stepId":"1","interactionId":"x"}`, 400, nil},
		"too-long":         {"/v1/flow/start", `{"flowId":"` + strings.Repeat("x", 300<<10) + `"}`, 413, nil},
		"foreign-page":     {"/v1/flow/start", start, 403, []string{"Origin", "https://evil.example"}},
	} {
		t.Run(name, func(t *testing.T) {
			resp, body := s.must("POST", c.path, c.body, c.header...)
			s.golden("error-"+name, body)
			if resp.StatusCode != c.status {
				t.Errorf("%s, want %d", resp.Status, c.status)
			}
			if name != "foreign-page" && resp.Header.Get("Access-Control-Allow-Origin") != page {
				t.Error("the page cannot read the error")
			}
		})
	}
	if resp, _ := s.must("GET", "/v1/flow/start", ""); resp.StatusCode != 405 {
		t.Error(resp.Status)
	}
	resp, body := s.must("POST", "/panic", "{}")
	if s.golden("error-panic", body); resp.StatusCode != 500 {
		t.Error(resp.Status)
	}
}

func TestPreflight(t *testing.T) {
	s := newSite(t)
	const asked = "authorization,content-type,x-descope-flow-nonce,x-descope-project-id,x-descope-sdk-name,x-descope-sdk-session-id,x-descope-sdk-version"
	resp, _ := s.must("OPTIONS", "/v1/flow/next", "", "Access-Control-Request-Method", "POST", "Access-Control-Request-Headers", asked)
	allowed := strings.ToLower(resp.Header.Get("Access-Control-Allow-Headers"))
	for name := range strings.SplitSeq(asked+",x-descope-refresh-cookie-name,x-descope-trusted-device-token", ",") {
		if !strings.Contains(allowed, name) {
			t.Errorf("%s is not allowed", name)
		}
	}
	if resp.StatusCode != 204 || resp.Header.Get("Access-Control-Allow-Origin") != page || !strings.Contains(resp.Header.Get("Access-Control-Allow-Methods"), "POST") {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	for _, origin := range []string{"https://evil.example", "null", "https://app.example.evil.example", ""} {
		resp, _ = s.must("OPTIONS", "/v1/flow/next", "", "Origin", origin)
		if resp.Header.Get("Access-Control-Allow-Origin") != "" {
			t.Errorf("%q is allowed", origin)
		}
	}
	if resp, _ = s.must("OPTIONS", "/v1/flow/start", "", "Origin", "http://localhost:8080"); resp.Header.Get("Access-Control-Allow-Origin") == "" {
		t.Error("our own pages are not allowed")
	}
}

func TestRooms(t *testing.T) {
	s := newSite(t)
	for path, want := range map[string]string{
		"/pages/x/v2-beta/config.json": "screens", "/npm/x": "screens", "/vendor/x.js": "screens", "/lab/": "panel",
		"/v1/mgmt/user": "manage", "/v2/keys/x": "manage", "/v1/auth/me": "manage", "/v1/oauth/callback?code=x": "federation", "/healthz": `{"status":"ok"}`,
	} {
		if _, body := s.must("GET", path, ""); !strings.HasPrefix(string(body), want) {
			t.Errorf("%s: %s", path, body)
		}
	}
	// An identity provider's page posts this from an origin of its own.
	if resp, body := s.must("POST", "/v1/auth/saml/acs?tenantId=x", "", "Origin", "https://idp.example"); resp.StatusCode != 200 || !strings.HasPrefix(string(body), "federation") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

func TestFaults(t *testing.T) {
	s := newSite(t)
	add := func(f faults.Fault) {
		t.Helper()
		f.Count = 1
		if _, err := s.faults.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	begin := func() (id, nonce string) {
		resp, body := s.must("POST", "/v1/flow/start", start)
		var a struct{ ExecutionID string }
		if err := json.Unmarshal(body, &a); err != nil {
			t.Fatal(err)
		}
		return a.ExecutionID, resp.Header.Get("X-Descope-Flow-Nonce")
	}
	id, nonce := begin()
	add(faults.Fault{Target: "runtime:next", Kind: faults.Duplicate})
	resp, body := s.next(id, "9", "btnNext", `{}`, nonce)
	if resp.StatusCode != 200 {
		t.Fatalf("a call that came twice: %s", body)
	}
	nonce = resp.Header.Get("X-Descope-Flow-Nonce")
	add(faults.Fault{Target: "runtime:next", Kind: faults.Lost})
	q, _ := json.Marshal(map[string]any{"executionId": id, "stepId": "9", "interactionId": "btnNext"})
	if _, _, err := s.send("POST", "/v1/flow/next", string(q), "X-Descope-Flow-Nonce", nonce); err == nil {
		t.Fatal("the answer was not lost")
	}
	if resp, body := s.must("POST", "/v1/flow/next", string(q), "X-Descope-Flow-Nonce", nonce); resp.StatusCode != 200 {
		t.Fatalf("the same call after a lost answer: %s", body)
	}
	add(faults.Fault{Target: "runtime", Kind: faults.Status, Status: 503})
	if resp, _ := s.must("POST", "/v1/flow/start", start); resp.StatusCode != 503 || resp.Header.Get("Access-Control-Allow-Origin") != page {
		t.Errorf("%s %v", resp.Status, resp.Header)
	}
	add(faults.Fault{Target: "runtime", Kind: faults.Malformed})
	if _, body := s.must("POST", "/v1/flow/start", start); json.Valid(body) {
		t.Errorf("%s", body)
	}
}

func TestBrowserReachesAccounts(t *testing.T) {
	s := newSite(t)
	s.must("POST", "/v1/flow/start", start, "User-Agent", "Test/1")
	if len(s.seen) != 1 || s.seen[0].UserAgent != "Test/1" {
		t.Errorf("%+v", s.seen)
	}
}

func fuzz(f *testing.F, path string, seeds ...string) {
	s := newSite(f)
	for _, seed := range seeds {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		resp, answer, err := s.send("POST", path, string(body))
		if err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode >= 500 || !json.Valid(answer) {
			t.Fatalf("%s: %s", resp.Status, answer)
		}
		if bytes.Contains(answer, []byte("sessionJwt")) {
			t.Fatal("a session for nobody")
		}
	})
}

func FuzzStart(f *testing.F) {
	fuzz(f, "/v1/flow/start", start, `{"flowId":"kosmos","input":{"a.b":{"c":[1]}}}`, `{"flowVersions":{"kosmos":-1e300}}`, `[]`, `{"options":null,"input":null}`)
}

func FuzzNext(f *testing.F) {
	fuzz(f, "/v1/flow/next", `{"executionId":"kosmos|#|x","stepId":"1","interactionId":"polling","input":{}}`, `{"version":1e400}`, `{"input":[]}`)
}
