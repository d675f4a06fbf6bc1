package manage_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/session"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/manage"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

const (
	projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"
	key       = "K2sixteen-letters"
)

type here struct {
	t        *testing.T
	url      string
	accounts *accounts.Accounts
	runner   *runner.Runner
	mailer   *runnertest.Connectors

	mu    sync.Mutex
	later time.Duration
}

func (h *here) now() time.Time {
	h.mu.Lock()
	defer h.mu.Unlock()
	return time.Now().Add(h.later)
}

func (h *here) pass(d time.Duration) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.later += d
}

// start makes a local Descope, in memory or in a directory.
func start(t *testing.T, dir string) *here {
	t.Helper()
	h := &here{t: t, mailer: new(runnertest.Connectors)}
	var err error
	h.accounts, err = accounts.Open(accounts.Options{
		Dir: dir, ProjectID: projectID, Algorithm: "ES384", Now: h.now,
		Geo: func(netip.Addr) (string, string, float64, float64, float64, bool) {
			return "DE", "Berlin", 52.5, 13.4, 20, true
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	names := flow.DefaultNames()
	h.runner, err = runner.New(runner.Options{Names: names, Accounts: h.accounts, Connectors: h.mailer, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	a := names.Actions
	for _, doc := range []*flow.Document{
		runnertest.Flow("sign-in",
			runnertest.To(runnertest.Screen("1", "form.email"), "go", "2"), runnertest.To(runnertest.Do("2", a.OTPSignUpOrIn), flow.Success, "3"),
			runnertest.To(runnertest.Screen("3", "form.code"), "go", "4"), runnertest.To(runnertest.Do("4", a.OTPVerify), flow.Success, "5"), runnertest.Do("5", a.End)),
		managementFlow(runnertest.To(runnertest.Call("1", "mail", map[string]any{"to": "{{form.login_id}}"}), flow.Success, "2"),
			runnertest.Do("2", a.End, "output", []flow.KeyValue{{Key: "to", Value: "{{form.login_id}}"}})),
	} {
		if p := h.runner.Import(doc); runner.Refused(p) {
			t.Fatal(p)
		}
	}
	t.Cleanup(func() { _ = h.accounts.Close() })
	providers, err := federation.New(federation.Options{ProjectID: projectID, BaseURL: "http://localhost:8083", Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	handler, err := manage.New(manage.Options{ProjectID: projectID, ManagementKey: key, Accounts: h.accounts, Flows: h.runner, Federation: providers, Now: h.now})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(handler)
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// managementFlow is one named mail, of these tasks.
func managementFlow(tasks ...*flow.Task) *flow.Document {
	d := runnertest.Flow("mail", tasks...)
	d.Metadata.Management = true
	return d
}

// call makes a request; body is JSON as it is, or empty.
func (h *here) call(method, path, credential, body string) (int, map[string]any, http.Header) {
	h.t.Helper()
	req, err := http.NewRequestWithContext(h.t.Context(), method, h.url+path, strings.NewReader(body))
	if err != nil {
		h.t.Fatal(err)
	}
	if credential != "" {
		req.Header.Set("Authorization", "Bearer "+credential)
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		h.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		h.t.Fatal(err)
	}
	var out map[string]any
	if err := json.Unmarshal(b, &out); err != nil && !bytes.HasPrefix(b, []byte("[")) {
		h.t.Fatalf("%s %s: %s", method, path, b)
	}
	if res.StatusCode/100 != 2 {
		for _, name := range []string{"errorCode", "errorDescription", "errorMessage"} {
			if s, _ := out[name].(string); s == "" {
				h.t.Errorf("%s %s: no %s: %s", method, path, name, b)
			}
		}
	}
	return res.StatusCode, out, res.Header
}

func (h *here) manage(method, path, body string) (int, map[string]any) {
	h.t.Helper()
	status, out, _ := h.call(method, path, projectID+":"+key, body)
	return status, out
}

func (h *here) signIn(email string, g project.Grant) *project.AuthInfo {
	h.t.Helper()
	u, _, err := h.accounts.SignUpOrIn(h.t.Context(), email, nil)
	if err != nil {
		h.t.Fatal(err)
	}
	g.UserID = u.UserID
	i, err := h.accounts.Issue(h.t.Context(), g)
	if err != nil {
		h.t.Fatal(err)
	}
	return i
}

func TestEveryRouteWantsTheKey(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	routes := manage.Managed()
	if len(routes) < 30 {
		t.Fatalf("%d routes", len(routes))
	}
	ada := h.signIn("ada@example.org", project.Grant{})
	for _, pattern := range routes {
		method, path, _ := strings.Cut(pattern, " ")
		for what, credential := range map[string]string{
			"none": "", "no key": projectID, "empty": projectID + ":", "another": projectID + ":" + key + "x", "shorter": projectID + ":" + key[1:],
			"another project": "P2bbbbbbbbbbbbbbbbbbbbbbbbbb:" + key, "the key alone": key, "a refresh token": projectID + ":" + ada.RefreshJWT,
			"a refresh token before it": projectID + ":" + ada.RefreshJWT + ":" + key,
		} {
			if status, out, _ := h.call(method, path, credential, `{}`); status != 401 || out["errorCode"] != "E074101" {
				t.Errorf("%s with %s: %d %v", pattern, what, status, out)
			}
		}
		// With the key, what is no JSON, or nothing, is never a fault of ours.
		for _, body := range []string{"", "null", "[", `"x"`, `{"loginId":1}`, "{}", "[]"} {
			if status, out := h.manage(method, path, body); status >= 500 {
				t.Errorf("%s %q: %d %v", pattern, body, status, out)
			}
		}
	}
	if status, _ := h.manage("POST", "/v1/mgmt/user/create", `{"loginId":"`+strings.Repeat("a", 5<<20)+`"}`); status != 413 {
		t.Errorf("long: %d", status)
	}
	for _, path := range []string{"/v1/mgmt/tenant/all", "/v1/nothing", "/"} {
		if status, out := h.manage("GET", path, ""); status != 404 || !strings.Contains(out["errorMessage"].(string), path) {
			t.Errorf("%s: %d %v", path, status, out)
		}
	}
	if status, _ := h.manage("GET", "/v1/mgmt/user/create", ""); status != 404 {
		t.Errorf("another method: %d", status)
	}
}

func TestSessionsOfPages(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	i := h.signIn("ada@example.org", project.Grant{SteppedUp: true, AMR: []string{"email"}})
	verifier := session.New(h.url, projectID, nil, h.now)
	if s, err := verifier.Verify(t.Context(), i.SessionJWT); err != nil || !s.SteppedUp {
		t.Errorf("%+v %v", s, err)
	}
	bearer := projectID + ":" + i.RefreshJWT
	status, out, header := h.call("POST", "/v1/auth/refresh", bearer, "{}")
	if status != 200 || header.Get("Cache-Control") != "no-store" {
		t.Fatalf("%d %v", status, out)
	}
	if s, err := verifier.Verify(t.Context(), out["sessionJwt"].(string)); err != nil || !s.SteppedUp {
		t.Errorf("%+v %v", s, err)
	}
	if status, out, _ := h.call("POST", "/v1/auth/try-refresh", bearer+":"+key, ""); status != 200 || out["sessionJwt"] == nil {
		t.Errorf("%d %v", status, out)
	}
	for _, credential := range []string{"", projectID, projectID + ":x"} {
		if status, out, _ := h.call("POST", "/v1/auth/try-refresh", credential, "{}"); status != 200 || len(out) != 0 {
			t.Errorf("try with %q: %d %v", credential, status, out)
		}
		for _, path := range []string{"refresh", "logout", "logoutall"} {
			if status, out, _ := h.call("POST", "/v1/auth/"+path, credential, "{}"); status != 401 || out["errorCode"] != project.ErrToken.Code {
				t.Errorf("%s with %q: %d %v", path, credential, status, out)
			}
		}
	}
	if status, out, _ := h.call("POST", "/v1/auth/refresh", "P2bbbbbbbbbbbbbbbbbbbbbbbbbb:"+i.RefreshJWT, "{}"); status != 401 || out["errorCode"] != "E011004" {
		t.Errorf("another project: %d %v", status, out)
	}
	if status, out, _ := h.call("GET", "/v1/auth/me", bearer, ""); status != 200 || out["email"] != "ada@example.org" {
		t.Errorf("me: %d %v", status, out)
	}
	two := h.signIn("ada@example.org", project.Grant{})
	if status, _, _ := h.call("POST", "/v1/auth/logoutall", bearer, ""); status != 200 {
		t.Errorf("logoutall: %d", status)
	}
	if status, _, _ := h.call("POST", "/v1/auth/refresh", projectID+":"+two.RefreshJWT, ""); status != 401 {
		t.Errorf("after logoutall: %d", status)
	}
	for _, path := range []string{"/v2/keys/" + projectID, "/" + projectID + "/.well-known/jwks.json"} {
		status, out, header := h.call("GET", path, "", "")
		keys, _ := out["keys"].([]any)
		if status != 200 || len(keys) != 1 || !strings.Contains(header.Get("Cache-Control"), "max-age") {
			t.Fatalf("%s: %d %v", path, status, out)
		}
		k := keys[0].(map[string]any)
		if k["alg"] != "ES384" || k["kid"] == "" || k["use"] != "sig" || k["d"] != nil {
			t.Errorf("%v", slices.Collect(maps.Keys(k)))
		}
	}
	if status, _, _ := h.call("GET", "/v2/keys/P2bbbbbbbbbbbbbbbbbbbbbbbbbb", "", ""); status != 404 {
		t.Errorf("keys of another project: %d", status)
	}
}

func TestUsers(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	want := func(status int, out map[string]any, wantStatus int) map[string]any {
		t.Helper()
		if status != wantStatus {
			t.Fatalf("%d %v", status, out)
		}
		u, _ := out["user"].(map[string]any)
		return u
	}
	status, out := h.manage("POST", "/v1/mgmt/user/customattribute/create", `{"attributes":[{"name":"kosmosIal","displayName":"IAL","type":1}]}`)
	want(status, out, 200)
	// As go-sdk spells it.
	status, out = h.manage("POST", "/v1/mgmt/user/create", `{"loginId":"ada@example.org","email":"ada@example.org","verifiedEmail":true,"displayName":"Ada",
		"roleNames":["member"],"userTenants":[{"tenantId":"T1","roleNames":[]}],"customAttributes":{"kosmosIal":"IAL1"},"ssoAppIDs":["A1"],"invite":false}`)
	u := want(status, out, 200)
	if u["name"] != "Ada" || u["verifiedEmail"] != true || fmt.Sprint(u["ssoAppIds"]) != "[A1]" || u["TOTP"] != false {
		t.Errorf("%v", u)
	}
	status, out = h.manage("GET", "/v1/mgmt/user?loginId=ada%40example.org&userId=", "")
	want(status, out, 200)
	status, out = h.manage("PATCH", "/v1/mgmt/user/patch", `{"loginId":"ada@example.org","name":"Ada L","email":"new@example.org"}`)
	if u = want(status, out, 200); u["name"] != "Ada L" || u["verifiedEmail"] != false || fmt.Sprint(u["roleNames"]) != "[member]" {
		t.Errorf("%v", u)
	}
	status, out = h.manage("POST", "/v1/mgmt/user/update/customAttribute", `{"attributeKey":"kosmosIal","attributeValue":null,"loginId":"ada@example.org"}`)
	if u = want(status, out, 200); len(u["customAttributes"].(map[string]any)) != 0 {
		t.Errorf("%v", u)
	}
	status, out = h.manage("POST", "/v2/mgmt/user/update/role/add", `{"loginId":"ada@example.org","tenantId":"T1","roleNames":["r"]}`)
	if u = want(status, out, 200); !strings.Contains(fmt.Sprint(u["userTenants"]), "[r]") {
		t.Errorf("%v", u)
	}
	i := h.signIn("ada@example.org", project.Grant{})
	s, err := session.New(h.url, projectID, nil, h.now).Verify(t.Context(), i.SessionJWT)
	if err != nil || s.Claims["dct"] != "T1" || fmt.Sprint(s.Claims["tenants"]) != "map[T1:map[permissions:[] roles:[r]]]" {
		t.Errorf("%v %v", s, err)
	}
	for body, path := range map[string]string{
		`{"loginId":"ada@example.org","tenantId":"T2","roleNames":["r"]}`: "/v1/mgmt/user/update/role/set",
		`{"loginId":"ada@example.org","status":"asleep"}`:                 "/v1/mgmt/user/update/status",
		`{"loginId":"ada@example.org"}`:                                   "/v1/mgmt/user/update/loginid",
		`{"status":"enabled"}`:                                            "/v1/mgmt/user/update/status",
		`{"sort":[{"field":"shoe"}]}`:                                     "/v2/mgmt/user/search",
		`{"loginId":"ada@example.org","customClaims":{"su":true}}`:        "/v1/mgmt/auth/signin",
		`{"loginId":"ada@example.org","ssoAppId":"x"}`:                    "/v1/mgmt/auth/signin",
		`{"loginId":"x","customClaims":{"su":true}}`:                      "/v1/mgmt/auth/signup",
	} {
		if status, out := h.manage("POST", path, body); status != 400 && status != 404 {
			t.Errorf("%s %s: %d %v", path, body, status, out)
		}
	}
	if _, err := h.accounts.User(t.Context(), "x"); err == nil {
		t.Error("half a sign-up is left")
	}
	status, out = h.manage("POST", "/v1/mgmt/user/delete", `{"loginId":"ada@example.org"}`)
	want(status, out, 200)
	status, out = h.manage("POST", "/v1/mgmt/user/delete", `{"loginId":"ada@example.org"}`)
	want(status, out, 404)
}

func TestAuditIsLimited(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}, Browser: project.Browser{Addr: netip.MustParseAddr("78.55.20.10")}})
	for n := range 10 {
		body := `{"from":"` + fmt.Sprint(h.now().Add(-time.Hour).UnixMilli()) + `","actions":["LoginSucceed"],"externalIds":["ada@example.org"]}`
		if n == 1 {
			body = `{"from":` + fmt.Sprint(h.now().Add(-time.Hour).UnixMilli()) + `,"to":null,"levels":["info"],"text":"loginsucceed"}`
		}
		status, out := h.manage("POST", "/v1/mgmt/audit/search", body)
		list, _ := out["audits"].([]any)
		if status != 200 || len(list) != 1 {
			t.Fatalf("%d %v", status, out)
		}
		e := list[0].(map[string]any)
		if _, ok := e["occurred"].(string); !ok || e["remoteAddress"] != "78.55.20.10" || e["geo"] != "DE" || e["method"] != "otp" || e["ID"] == "" || e["projectId"] != projectID {
			t.Errorf("%v", e)
		}
	}
	status, out, header := h.call("POST", "/v1/mgmt/audit/search", projectID+":"+key, "{}")
	if status != 429 || out["errorCode"] != "E130429" || header.Get("Retry-After") == "" {
		t.Errorf("%d %v %v", status, out, header)
	}
	h.pass(time.Minute)
	if status, _ := h.manage("POST", "/v1/mgmt/audit/search", `{"from":"yesterday"}`); status != 400 {
		t.Errorf("a word for a time: %d", status)
	}
	h.pass(31 * 24 * time.Hour)
	if _, out := h.manage("POST", "/v1/mgmt/audit/search", `{}`); out["total"] != 0.0 {
		t.Errorf("older than a month: %v", out)
	}
	for _, body := range []string{`{}`, `{"action":"X","type":"loud"}`, `{"action":"` + strings.Repeat("x", 101) + `"}`, `{"action":"X","data":{"k":"` + strings.Repeat("x", 20<<10) + `"}}`} {
		if status, _ := h.manage("POST", "/v1/mgmt/audit/event", body); status/100 != 4 {
			t.Errorf("%.40s: %d", body, status)
		}
	}
}

// Our own client reads the trail.
func TestAuditOfSignIns(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, err := descope.New(descope.Options{BaseURL: h.url, ProjectID: projectID, ManagementKey: key})
	if err != nil {
		t.Fatal(err)
	}
	before := h.now().Add(-time.Minute)
	first := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}, Browser: project.Browser{Addr: netip.MustParseAddr("78.55.20.10")}})
	h.pass(time.Hour)
	h.signIn("grace@example.org", project.Grant{AMR: []string{"email"}, Browser: project.Browser{Addr: netip.MustParseAddr("2001:db8::7")}})
	list, more, err := c.SignIns(t.Context(), before, time.Time{}, 0)
	if err != nil || len(list) != 2 || more {
		t.Fatalf("%+v %t %v", list, more, err)
	}
	ada := list[0]
	if ada.ID == "" || ada.UserID != first.User.UserID || !slices.Equal(ada.LoginIDs, []string{"ada@example.org"}) || ada.Method != "otp" || ada.Country != "DE" ||
		ada.IP != netip.MustParseAddr("78.55.20.10") || ada.At.Before(before) || !ada.At.Before(list[1].At) || list[1].IP != netip.MustParseAddr("2001:db8::7") {
		t.Errorf("%+v", list)
	}
	// From the last one on, which comes again, and up to it.
	if again, _, err := c.SignIns(t.Context(), list[1].At, time.Time{}, 0); err != nil || len(again) != 1 || again[0].ID != list[1].ID {
		t.Errorf("%+v %v", again, err)
	}
	if early, _, err := c.SignIns(t.Context(), before, list[0].At.Add(time.Minute), 0); err != nil || len(early) != 1 || early[0].ID != ada.ID {
		t.Errorf("%+v %v", early, err)
	}
	if none, _, err := c.SignIns(t.Context(), before, time.Time{}, 1); err != nil || len(none) != 0 {
		t.Errorf("%+v %v", none, err)
	}
}

func TestFlows(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	_, out := h.manage("POST", "/v2/mgmt/flow/export", `{"flowId":"sign-in"}`)
	b, err := json.Marshal(out)
	if err != nil {
		t.Fatal(err)
	}
	if status, out := h.manage("POST", "/v2/mgmt/flow/import", string(b)); status != 200 {
		t.Fatalf("%d %v", status, out)
	}
	_, again := h.manage("POST", "/v2/mgmt/flow/export", `{"flowId":"sign-in"}`)
	if c, _ := json.Marshal(again); !bytes.Equal(b, c) {
		t.Errorf("%s\n%s", b, c)
	}
	for body, says := range map[string]string{
		`{}`:                                   "flow is missing",
		`{"flow":"x"}`:                         "no object",
		`{"flow":{"contents":3}}`:              "no flow",
		`{"flow":{"flowId":"a"}}`:              "has no tasks",
		`{"flow":{"dsl":{}}}`:                  "old format",
		`{"flowId":"b","flow":{"flowId":"a"}}`: "another one",
		`{"flow":{"flowId":"a_b","contents":{"startTask":"start","tasks":{"start":{"id":"start"}}}}}`:                                                                                    "underscore",
		`{"flow":{"flowId":"a","contents":{"startTask":"start","tasks":{"start":{"id":"start","next":{"rules":[{"taskId":"1"}]}},"1":{"id":"1","type":"automated","action":"magic"}}}}}`: `"magic" is not supported`,
	} {
		if status, out := h.manage("POST", "/v2/mgmt/flow/import", body); status != 400 || !strings.Contains(out["errorMessage"].(string), says) {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	if _, out := h.manage("POST", "/v1/mgmt/flow/list", `{"ids":["sign-in","x"]}`); out["total"] != 1.0 {
		t.Errorf("%v", out)
	}
}

// TestExternalAuthentication completes one by the bridge's own client.
func TestExternalAuthentication(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	names := flow.DefaultNames()
	a, arg := names.Actions, names.Arguments
	doc := runnertest.Flow("external",
		runnertest.To(runnertest.Do("1", a.ExternalAuth, arg.ExternalAuthURL, "https://bridge.example/go", arg.ExchangeStep, "2"), flow.Success, "2"),
		runnertest.To(runnertest.Do("2", a.ExternalAuthEnd), flow.Success, "3"), runnertest.Do("3", a.End))
	if p := h.runner.Import(doc); runner.Refused(p) {
		t.Fatal(p)
	}
	q := runner.StartRequest{FlowID: "external"}
	q.Options.RedirectURL = "https://app.example/in"
	resp, err := h.runner.Start(t.Context(), q, project.Browser{Now: h.now()})
	if err != nil || resp.Redirect == nil {
		t.Fatal(err)
	}
	_, id, _ := strings.Cut(resp.Redirect.URL, "external_auth_req_id=")

	for body, wantStatus := range map[string]int{
		`{"loginId":"ada@example.org"}`:                                                     400,
		`{"externalAuthReqId":"` + id + `"}`:                                                400,
		`{"externalAuthReqId":"nothing","loginId":"ada@example.org"}`:                       400,
		`{"externalAuthReqId":"` + id + `","loginId":"a","userTenants":[{"tenantId":"T"}]}`: 404,
	} {
		if status, out := h.manage("POST", "/v1/mgmt/flow/externalauth/complete", body); status != wantStatus {
			t.Errorf("%s: %d %v", body, status, out)
		}
	}
	client, err := descope.New(descope.Options{BaseURL: h.url, ProjectID: projectID, ManagementKey: key})
	if err != nil {
		t.Fatal(err)
	}
	to, err := client.CompleteExternalAuth(t.Context(), proof.ExternalAuth{RequestID: id, LoginID: "ada@example.org", Claims: map[string]string{"kosmos_result": "verified"}})
	if err != nil || !strings.HasPrefix(to, "https://app.example/in?") {
		t.Fatal(to, err)
	}
	if _, err := client.CompleteExternalAuth(t.Context(), proof.ExternalAuth{RequestID: id, LoginID: "bob@example.org"}); err == nil {
		t.Error("completed for somebody else")
	}
	_, code, _ := strings.Cut(to, "code=")
	code, _, _ = strings.Cut(code, "&")
	next := runner.NextRequest{ExecutionID: resp.ExecutionID, StepID: resp.StepID, InteractionID: flow.Submit, Input: map[string]any{"exchangeCode": code}, Nonce: resp.Nonce()}
	resp, err = h.runner.Next(t.Context(), next, project.Browser{Now: h.now()})
	if err != nil || resp.AuthInfo == nil {
		t.Fatalf("%+v %v", resp, err)
	}
	s, err := session.New(h.url, projectID, nil, h.now).Verify(t.Context(), resp.AuthInfo.SessionJWT)
	if err != nil || s.Claims["kosmos_result"] != "verified" || !resp.AuthInfo.FirstSeen {
		t.Errorf("%+v %v", s, err)
	}
}

// TestPublishedSDK runs Descope's own SDK.
func TestPublishedSDK(t *testing.T) {
	t.Parallel()
	skip := func(what string) {
		if os.Getenv("CI") != "" {
			t.Fatalf("%s is needed", what)
		}
		t.Skipf("%s is not installed", what)
	}
	node, err := exec.LookPath("node")
	if err != nil {
		skip("node")
	}
	dir := filepath.Join("..", "nodesdk")
	if _, err := os.Stat(filepath.Join(dir, "node_modules", "@descope", "node-sdk", "package.json")); err != nil {
		npm, err := exec.LookPath("npm")
		if err != nil {
			skip("npm")
		}
		cmd := exec.CommandContext(t.Context(), npm, "ci")
		cmd.Dir = dir
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Fatalf("npm ci: %v\n%s", err, out)
		}
	}
	// The same keys, another project: only iss tells.
	data := t.TempDir()
	foreign := func() string {
		a, err := accounts.Open(accounts.Options{Dir: data, ProjectID: "P2bbbbbbbbbbbbbbbbbbbbbbbbbb", Algorithm: "ES384"})
		if err != nil {
			t.Fatal(err)
		}
		defer a.Close()
		v, _, err := a.SignUpOrIn(t.Context(), "eva@example.org", nil)
		if err != nil {
			t.Fatal(err)
		}
		i, err := a.Issue(t.Context(), project.Grant{UserID: v.UserID})
		if err != nil {
			t.Fatal(err)
		}
		if err := a.Delete(t.Context(), v.UserID); err != nil {
			t.Fatal(err)
		}
		return i.SessionJWT
	}()
	h, other := start(t, data), start(t, "")
	browser := project.Browser{Addr: netip.MustParseAddr("78.55.20.10"), Device: "laptop", UserAgent: "Chrome/156"}
	claims := map[string]any{"kosmos_ial": "IAL2"}

	u, _, err := h.accounts.SignUpOrIn(t.Context(), "ada@example.org", nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := h.accounts.Edit(t.Context(), u.UserID, func(u *project.User) error { u.RoleNames = []string{"member"}; return nil }); err != nil {
		t.Fatal(err)
	}
	h.pass(-time.Hour)
	expired, err := h.accounts.SignIn(t.Context(), accounts.SignIn{LoginID: u.UserID}, false)
	if err != nil {
		t.Fatal(err)
	}
	h.pass(time.Hour)
	plain := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}, Claims: claims, Browser: browser, TrustDevice: true})
	steppedUp := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}, SteppedUp: true, Browser: browser})
	head, rest, _ := strings.Cut(plain.SessionJWT, ".")
	_, signature, _ := strings.Cut(rest, ".")
	_, body, _ := strings.Cut(steppedUp.SessionJWT, ".")
	body, _, _ = strings.Cut(body, ".")
	given, err := json.Marshal(map[string]string{
		"userId": u.UserID, "session": plain.SessionJWT, "refresh": plain.RefreshJWT, "steppedUp": steppedUp.SessionJWT, "expired": expired.SessionJWT,
		"tampered": head + "." + body + "." + signature, "foreign": other.signIn("ada@example.org", project.Grant{}).SessionJWT,
		"otherProject": foreign,
	})
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), node, "sdk.mjs", h.url, projectID, key, string(given))
	cmd.Dir = dir
	var stdout, stderr strings.Builder
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	if err := cmd.Run(); err != nil {
		t.Fatalf("%v\n%s", err, stderr.String())
	}
	if n := strings.TrimSpace(stdout.String()); n != "18" {
		t.Errorf("%s steps ran", n)
	}
}

func TestOptions(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	for what, o := range map[string]manage.Options{
		"nothing": {}, "no key": {ProjectID: projectID, Accounts: h.accounts, Flows: h.runner},
		"a colon": {ProjectID: projectID, ManagementKey: "1234:5678", Accounts: h.accounts, Flows: h.runner},
	} {
		if _, err := manage.New(o); err == nil {
			t.Errorf("%s: no error", what)
		}
	}
}
