package runner_test

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"encoding/json"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// stage is a runner among fakes, and one browser.
type stage struct {
	*testing.T
	*runner.Runner
	accounts   *rt.Accounts
	connectors *rt.Connectors
	now        time.Time
	browser    project.Browser

	id, step, nonce string // of the browser's execution
	version         float64
}

func newStage(t *testing.T, change func(*runner.Options), flows ...*flow.Document) *stage {
	t.Helper()
	s := &stage{T: t, accounts: rt.NewAccounts(), connectors: &rt.Connectors{}, now: time.Unix(1_800_000_000, 0)}
	o := runner.Options{Names: flow.DefaultNames(), Accounts: s.accounts, Connectors: s.connectors, Now: func() time.Time { return s.now }}
	if change != nil {
		change(&o)
	}
	r, err := runner.New(o)
	if err != nil {
		t.Fatal(err)
	}
	s.Runner = r
	for _, d := range flows {
		if p := r.Import(d); runner.Refused(p) {
			t.Fatalf("%s refused: %v", d.FlowID, p)
		}
	}
	return s
}

func (s *stage) see(resp *runner.Response, err error) *runner.Response {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	s.id, s.nonce = resp.ExecutionID, resp.Nonce()
	if resp.Action != runner.ActionPoll { // of which the client takes the action only
		s.step = resp.StepID
	}
	return resp
}

func (s *stage) start(id string) *runner.Response {
	s.Helper()
	q := runner.StartRequest{FlowID: id}
	q.Options.Location = "https://app.example/login?x=1&code=old"
	return s.see(s.Start(context.Background(), q, s.browser))
}

func (s *stage) request(interaction string, input ...any) runner.NextRequest {
	q := runner.NextRequest{ExecutionID: s.id, StepID: s.step, InteractionID: interaction, Version: s.version, Nonce: s.nonce, Input: map[string]any{"origin": "https://app.example"}}
	for i := 0; i < len(input); i += 2 {
		q.Input[input[i].(string)] = input[i+1]
	}
	return q
}

func (s *stage) click(interaction string, input ...any) *runner.Response {
	s.Helper()
	return s.see(s.Next(context.Background(), s.request(interaction, input...), s.browser))
}

func (s *stage) refused(want *project.Error, q runner.NextRequest) {
	s.Helper()
	resp, err := s.Next(context.Background(), q, s.browser)
	if !errors.Is(err, want) {
		s.Fatalf("got %+v, %v; want %v", resp, err, want)
	}
}

func screen(t *testing.T, resp *runner.Response, id, errorText string) {
	t.Helper()
	if resp.Action != runner.ActionScreen || resp.Screen == nil || resp.Screen.ID != id {
		t.Fatalf("got %+v (screen %+v), want screen %s", resp, resp.Screen, id)
	}
	if got, _ := resp.Screen.State["errorText"].(string); got != errorText {
		t.Fatalf("error text %q, want %q", got, errorText)
	}
}

// login is e-mail and code, then what follows.
func login(first string, rest ...*flow.Task) []*flow.Task {
	return append([]*flow.Task{
		rt.To(rt.Screen("1", "form.email"), "go", "2"),
		rt.To(rt.Do("2", "sign-up-or-in-otp-email"), "success", "3"),
		rt.To(rt.Screen("3", "sentTo.maskedEmail", "form.code"), "go", "4", "resend", "2"),
		rt.To(rt.Do("4", "verify-code-otp-email"), "success", first),
	}, rest...)
}

func (s *stage) signIn(id, email string) *runner.Response {
	s.Helper()
	screen(s.T, s.start(id), "SC1", "")
	screen(s.T, s.click("go", "email", email), "SC3", "")
	return s.click("go", "code", rt.Code)
}

func end(id string) *flow.Task { return rt.Do(id, "logged-in") }

func TestSignIn(t *testing.T) {
	s := newStage(t, nil, rt.Flow("in", login("5", end("5"))...))
	if resp := s.start("in"); !strings.HasPrefix(resp.ExecutionID, "in|#|") || strings.Contains(resp.ExecutionID, "_") || resp.StepID != "1" {
		t.Fatalf("%+v", resp)
	}
	screen(t, s.click("go", "email", "  "), "SC1", "Enter your e-mail address.")
	resp := s.click("go", "email", "new@example.org", "evil", "x")
	screen(t, resp, "SC3", "")
	if !reflect.DeepEqual(resp.Screen.State, map[string]any{"sentTo": map[string]any{"maskedEmail": "n***"}}) {
		t.Fatalf("the screen sees %v, want its contextKeys and no more", resp.Screen.State)
	}
	// The screen that takes the code cannot make it another person's.
	screen(t, s.click("go", "code", "000000", "email", "ada@example.org"), "SC3", project.ErrCode.Message)
	s.refused(runner.ErrInteraction, s.request("elsewhere"))
	resp = s.click("go", "code", rt.Code, "email", "ada@example.org")
	if resp.Status != runner.StatusCompleted || resp.AuthInfo == nil || resp.AuthInfo.SessionJWT != "session-U2" || !resp.AuthInfo.FirstSeen || resp.Screen != nil {
		t.Fatalf("%+v", resp)
	}
	g := s.accounts.Grants
	if len(g) != 1 || !slices.Equal(g[0].AMR, []string{"email"}) || g[0].SteppedUp || g[0].TrustDevice || len(g[0].Claims) != 0 {
		t.Fatalf("%+v", g)
	}
	if resp.LastAuth == nil || resp.LastAuth.AuthMethod != "otp" || resp.LastAuth.LoginID != "new@example.org" {
		t.Fatalf("%+v", resp.LastAuth)
	}
}

func TestWithoutAnybodyNothingIsIssued(t *testing.T) {
	for _, action := range []string{"logged-in", "generate-jwt-sign-in", "mark-device-as-trusted", "update-user-properties"} {
		s := newStage(t, nil, rt.Flow("open", rt.To(rt.Screen("1"), "go", "2"), rt.To(rt.Do("2", action), "success", "3"), end("3")))
		s.start("open")
		screen(t, s.click("go"), "SC1", "Nobody has signed in. Start again.")
		if len(s.accounts.Grants) != 0 {
			t.Fatalf("%s: %+v", action, s.accounts.Grants)
		}
	}
}

func TestSession(t *testing.T) {
	doc := rt.Flow("in", rt.To(rt.If("1", "user.loggedIn", "is-true", nil), "yes", "2", "ELSE", "3"), end("2"), rt.To(rt.Screen("3"), "go", "2"))
	s := newStage(t, nil, doc)
	s.accounts.Tokens["good"] = "ada@example.org"
	for token, completed := range map[string]bool{"good": true, "over": false, "": false} {
		s.browser.Refresh = token
		resp := s.start("in")
		if (resp.Status == runner.StatusCompleted) != completed {
			t.Errorf("session %q: %+v", token, resp)
		}
	}
}

func TestStepUp(t *testing.T) {
	claims := func(list ...flow.KeyValue) *flow.Task { return rt.Do("8", "custom-claims", "claims", list) }
	rest := func(claims *flow.Task) []*flow.Task {
		return login("5",
			rt.To(rt.Do("5", "step-up"), "success", "6"), rt.To(rt.Do("6", "generate-jwt-sign-in"), "success", "7"),
			rt.To(rt.Do("7", "mark-device-as-trusted"), "success", "8"), rt.To(claims, "success", "9"), end("9"))
	}
	s := newStage(t, nil, rt.Flow("su", rest(claims(flow.KeyValue{Key: "why", Value: "{{user.email}}"}, flow.KeyValue{Key: "none", Value: "{{nothing}}"}))...))
	s.signIn("su", "ada@example.org")
	if g := s.accounts.Grants[0]; !g.SteppedUp || !g.TrustDevice || !reflect.DeepEqual(g.Claims, map[string]any{"why": "ada@example.org"}) {
		t.Fatalf("%+v", g)
	}
	// Step Up alone is no sign-in.
	only := newStage(t, nil, rt.Flow("only", login("5", rt.To(rt.Do("5", "step-up"), "success", "6"), end("6"))...))
	only.signIn("only", "ada@example.org")
	if only.accounts.Grants[0].SteppedUp {
		t.Fatal("stepped up without a sign-in after the Step Up action")
	}
	// Limits and names, where they can be read from the file and where not.
	many := make([]flow.KeyValue, 101)
	for i := range many {
		many[i] = flow.KeyValue{Key: fmt.Sprint("k", i), Value: "v"}
	}
	for name, list := range map[string][]flow.KeyValue{
		"long name": {{Key: strings.Repeat("ä", 61), Value: "x"}}, "su": {{Key: "su", Value: true}}, "no name": {{Value: "x"}}, "too many": many,
	} {
		if p := s.Import(rt.Flow("bad", rest(claims(list...))...)); !runner.Refused(p) {
			t.Errorf("%s: taken in: %v", name, p)
		}
	}
	long := newStage(t, nil, rt.Flow("long", rest(claims(flow.KeyValue{Key: "k", Value: strings.Repeat("x", 501)}))...))
	screen(t, long.signIn("long", "ada@example.org"), "SC3", "This step did not work. Try again.")
}

// Whoever signs in after the Step Up action as somebody else has not stepped up: the
// action and all it was earned with was another person's.
func TestStepUpIsNotInherited(t *testing.T) {
	twice := func(between string) *flow.Document {
		return rt.Flow("twice", login("5",
			rt.To(rt.Do("5", "custom-claims", "claims", []flow.KeyValue{{Key: "proofed", Value: true}}), "success", "6"),
			rt.To(rt.Do("6", "mark-device-as-trusted"), "success", "7"), rt.To(rt.Do("7", between), "success", "11"),
			rt.To(rt.Screen("11", "form.email"), "go", "12"), rt.To(rt.Do("12", "sign-up-or-in-otp-email"), "success", "13"),
			rt.To(rt.Screen("13", "form.code"), "go", "14"), rt.To(rt.Do("14", "verify-code-otp-email"), "success", "15"), end("15"))...)
	}
	for _, c := range []struct {
		between, second string
		want            bool
	}{
		{"step-up", "bob@example.org", false}, {"step-up", "ada@example.org", true}, {"loadUser", "ada@example.org", false},
	} {
		s := newStage(t, nil, twice(c.between))
		screen(t, s.signIn("twice", "ada@example.org"), "SC11", "")
		s.click("go", "email", c.second)
		if resp := s.click("go", "code", rt.Code); resp.Status != runner.StatusCompleted {
			t.Fatalf("%+v: %+v", c, resp)
		}
		g := s.accounts.Grants
		if len(g) != 1 || g[0].UserID != s.accounts.Users[c.second].UserID || g[0].SteppedUp != c.want {
			t.Errorf("%+v: %+v", c, g)
		}
		same := c.second == "ada@example.org"
		if g[0].TrustDevice != same || (g[0].Claims["proofed"] == true) != same || !slices.Equal(g[0].AMR, []string{"email"}) {
			t.Errorf("%+v: what was earned for Ada: %+v", c, g[0])
		}
	}
}

func TestUpdateUser(t *testing.T) {
	s := newStage(t, nil, rt.Flow("up", login("5",
		rt.To(rt.Do("5", "update-user-properties",
			"customAttributes", []flow.KeyValue{{Key: "kosmosStatus", Value: "verified"}, {Key: "kosmosIal", Value: "{{nothing}}"}},
			"properties", []flow.KeyValue{{Key: "givenName", Value: "{{user.name}}"}}), "success", "6"),
		rt.Screen("6", "user.customAttributes", "user.givenName", "user.nothing"))...))
	resp := s.signIn("up", "ada@example.org")
	screen(t, resp, "SC6", "")
	want := map[string]any{"user": map[string]any{"customAttributes": map[string]any{"kosmosStatus": "verified"}, "givenName": "Ada"}}
	if !reflect.DeepEqual(resp.Screen.State, want) {
		t.Fatalf("%v", resp.Screen.State)
	}
}

func TestContextBeforeAuthentication(t *testing.T) {
	s := newStage(t, nil, rt.Flow("ctx", rt.To(rt.Screen("1", "form.email"), "go", "2"), rt.To(rt.Do("2", "loadUser"), "success", "3"),
		rt.Screen("3", "user", "unauthUser.name", "unauthUser.fingerprint.knownDevice", "riskInfo", "ipAddress", "client", "authInfo", "device.location")))
	q := runner.StartRequest{FlowID: "ctx", Input: map[string]any{"email": "ada@example.org"}}
	q.Options.Client = map[string]any{"scope": "orders:refund", "n": 1.0}
	s.browser.Addr = netip.MustParseAddr("198.51.100.7")
	s.accounts.Danger.KnownDevice = true // to the account that was typed
	s.see(s.Start(context.Background(), q, s.browser))
	resp := s.click("go")
	want := map[string]any{
		"unauthUser": map[string]any{"name": "Ada", "fingerprint": map[string]any{"knownDevice": true}}, "ipAddress": "198.51.100.7", "client": map[string]any{"scope": "orders:refund", "n": 1.0},
		"riskInfo": map[string]any{"trustedDevice": false, "impossibleTravel": false, "vpnDetected": false, "botDetected": false, "riskScore": 0.0},
		"device":   map[string]any{"location": map[string]any{"country": "", "city": ""}},
	}
	if !reflect.DeepEqual(resp.Screen.State, want) {
		t.Fatalf("got  %v\nwant %v", resp.Screen.State, want)
	}
	if s.accounts.Risks != 2 {
		t.Errorf("the risk was asked for %d times: of the browser, and of the account", s.accounts.Risks)
	}
	s.start("ctx")
	if resp := s.click("go", "email", "nobody@example.org"); resp.Screen.State["unauthUser"] != nil {
		t.Errorf("%v", resp.Screen.State)
	}
	s.browser.Addr = netip.MustParseAddr("198.51.100.8")
	s.start("ctx")
	s.browser.Addr = netip.MustParseAddr("198.51.100.9") // between two calls
	if resp := s.click("go"); resp.Screen.State["ipAddress"] != "198.51.100.9" {
		t.Errorf("%v", resp.Screen.State)
	}
}

func TestRiskThatCannotBeTold(t *testing.T) {
	doc := rt.Flow("risk", login("5", rt.To(rt.If("5", "riskInfo.impossibleTravel", "is-true", nil), "yes", "6", "ELSE", "7"), rt.Screen("6"), end("7"))...)
	s := newStage(t, nil, doc)
	s.accounts.Fail["Risk"] = errors.New("no table")
	if _, err := s.Start(context.Background(), runner.StartRequest{FlowID: "risk"}, s.browser); !errors.Is(err, runner.ErrFlow) {
		t.Fatal(err)
	}
	s.accounts.Fail["Risk"] = nil
	s.start("risk")
	s.click("go", "email", "ada@example.org")
	s.accounts.Fail["Risk"] = errors.New("no table")
	screen(t, s.click("go", "code", rt.Code), "SC3", "This step did not work. Try again.")
	if _, err := s.Next(context.Background(), s.request("go", "code", rt.Code), s.browser); err == nil {
		t.Fatal("went on with a risk that is somebody else's")
	}
	if len(s.accounts.Grants) != 0 {
		t.Fatal("issued a session")
	}
	// A key of nobody's is not "false".
	nobody := newStage(t, nil, rt.Flow("nobody", rt.To(rt.Screen("1"), "go", "2"),
		rt.To(rt.If("2", "user.fingerprint.knownDevice", "is-false", nil), "yes", "3", "ELSE", "4"), rt.Screen("3"), end("4")))
	nobody.start("nobody")
	screen(t, nobody.click("go"), "SC1", "How safe this sign-in is could not be told. Try again.")
}

func TestConnector(t *testing.T) {
	payload := map[string]any{
		"user_identifier": "{{user.userId}}", "text": "hello {{ user.name }} {{nothing}}!", "none": "{{nothing}}", "list": []any{"{{user.verifiedEmail}}", 1.0},
		"first": "{{user.loginIds.0}}", "open": "{{user.name",
	}
	call := rt.To(rt.Call("5", "kosmosIdv", payload), "success", "6")
	s := newStage(t, nil, rt.Flow("c", login("5", call, rt.To(rt.Screen("6", "connectors.kosmosIdv.session_url"), "go", "7"), end("7"))...))
	s.connectors.Answer = func(int, runner.Call) (any, error) {
		return map[string]any{"session_url": "https://x.example/{{user.email}}", "session_id": "S1"}, nil
	}
	resp := s.signIn("c", "ada@example.org")
	screen(t, resp, "SC6", "")
	if want := map[string]any{"connectors": map[string]any{"kosmosIdv": map[string]any{"session_url": "https://x.example/{{user.email}}"}}}; !reflect.DeepEqual(resp.Screen.State, want) {
		t.Fatalf("%v", resp.Screen.State)
	}
	c := s.connectors.Calls[0]
	if c.Connector != rt.Name || c.Template != "http" || c.Command != "post" || c.Async || c.Flow != "c" || c.Task != "5" || c.Execution != s.id {
		t.Errorf("%+v", c)
	}
	want := map[string]any{"endpoint": "/kosmosIdv", "payload": map[string]any{
		"user_identifier": "U1", "text": "hello Ada !", "none": nil, "list": []any{true, 1.0}, "first": "ada@example.org", "open": "{{user.name",
	}}
	if !reflect.DeepEqual(c.Args, want) {
		t.Errorf("got  %v\nwant %v", c.Args, want)
	}
}

func TestConnectorErrors(t *testing.T) {
	const message = "The check cannot be reached."
	for _, name := range []string{flow.RequestError, flow.ConnectorFailed} {
		for _, c := range []struct {
			handling map[string]flow.Handling
			screen   string
			text     string
		}{
			{nil, "SC3", message},
			{map[string]flow.Handling{"other": {Type: flow.Ignore}}, "SC3", message},
			{map[string]flow.Handling{name: {}}, "SC3", message},
			{map[string]flow.Handling{name: {Type: flow.Automatic, Message: "Sorry, {{user.name}}."}}, "SC3", "Sorry, Ada."},
			{map[string]flow.Handling{name: {Type: flow.Ignore}}, "SC6", ""},
			{map[string]flow.Handling{name: {Type: flow.Custom}}, "SC7", ""},
		} {
			call := rt.To(rt.Call("5", "k", nil), "success", "6", name, "7")
			call.Errors = c.handling
			s := newStage(t, nil, rt.Flow("c", login("5", call, rt.To(rt.Screen("6", "connectors.k"), "again", "5"), rt.Screen("7"))...))
			s.connectors.Answer = func(n int, _ runner.Call) (any, error) {
				if n == 1 {
					return nil, &runner.ConnectorError{Name: name, Message: message, Cause: errors.New("secret detail")}
				}
				return nil, errors.New("not one of theirs")
			}
			resp := s.signIn("c", "ada@example.org")
			screen(t, resp, c.screen, c.text)
			if c.screen == "SC6" && len(resp.Screen.State) != 0 {
				t.Errorf("%s ignored: the screen sees %v", name, resp.Screen.State)
			}
		}
	}
}

func TestFailureLeavesNoOldAnswer(t *testing.T) {
	call := rt.To(rt.Call("5", "k", nil), "success", "6")
	call.Errors = map[string]flow.Handling{flow.RequestError: {Type: flow.Ignore}}
	s := newStage(t, nil, rt.Flow("c", login("5", call, rt.To(rt.Screen("6", "connectors.k"), "again", "5"))...))
	s.connectors.Answer = func(n int, _ runner.Call) (any, error) {
		if n == 1 {
			return map[string]any{"status": "verified"}, nil
		}
		return nil, &runner.ConnectorError{Name: flow.RequestError}
	}
	if resp := s.signIn("c", "ada@example.org"); len(resp.Screen.State) == 0 {
		t.Fatal("no answer at all")
	}
	if resp := s.click("again"); len(resp.Screen.State) != 0 {
		t.Fatalf("an ignored error left %v", resp.Screen.State)
	}
}

func TestErrorWithoutAScreen(t *testing.T) {
	s := newStage(t, nil, rt.Flow("c", rt.To(rt.Call("1", "k", nil), "success", "2"), rt.Screen("2")))
	s.connectors.Answer = func(int, runner.Call) (any, error) {
		return nil, &runner.ConnectorError{Name: flow.RequestError, Message: "No answer."}
	}
	_, err := s.Start(context.Background(), runner.StartRequest{FlowID: "c"}, s.browser)
	p, ok := errors.AsType[*project.Error](err)
	if !ok || p.Code != runner.ErrFlow.Code || p.Message != "No answer." {
		t.Fatalf("%v", err)
	}
}

func TestAsync(t *testing.T) {
	call := rt.To(rt.Call("1", "k", nil), "success", "2")
	call.Arguments["async"] = flow.Value{Type: flow.Inline, Value: true}
	s := newStage(t, nil, rt.Flow("c", call, rt.Screen("2", "connectors")))
	if resp := s.start("c"); len(resp.Screen.State) != 0 || !s.connectors.Calls[0].Async {
		t.Fatalf("%+v, %+v", resp.Screen, s.connectors.Calls)
	}
}

func TestSubflow(t *testing.T) {
	inner := rt.Flow("inner", rt.To(rt.Screen("1"), "on", "2"), rt.Call("2", "k", nil))
	inner.Metadata.SharedInteractions = []flow.SharedInteraction{{ID: "2.success"}, {ID: "1.leave"}}
	middle := rt.Flow("middle", sub("7", "inner", "2.success", "8"), rt.To(rt.Screen("8"), "go", "7"))
	middle.Metadata.SharedInteractions = []flow.SharedInteraction{{ID: "7.1.leave"}}
	outer := rt.Flow("outer", sub("1", "middle", "7.1.leave", "2"), rt.Screen("2"))
	s := newStage(t, nil, outer, middle, inner)
	resp := s.start("outer")
	screen(t, resp, "SC1", "")
	if resp.StepID != "1.7.1" {
		t.Errorf("step %s", resp.StepID)
	}
	screen(t, s.click("on"), "SC8", "") // out of inner, along the edge of middle
	screen(t, s.click("go"), "SC1", "")
	s.refused(runner.ErrInteraction, s.request("undeclared"))
	screen(t, s.click("leave"), "SC2", "") // out of both
	// An error inside goes back to the last screen, wherever that was.
	s.start("outer")
	s.connectors.Answer = func(int, runner.Call) (any, error) {
		return nil, &runner.ConnectorError{Name: flow.RequestError, Message: "No."}
	}
	resp = s.click("on")
	screen(t, resp, "SC1", "No.")
	if resp.StepID != "1.7.1" {
		t.Errorf("step %s", resp.StepID)
	}
	// Alone, a way out leads nowhere.
	s.start("inner")
	s.refused(runner.ErrInteraction, s.request("leave"))
}

func sub(id, calls string, edges ...string) *flow.Task {
	return rt.To(&flow.Task{ID: id, Name: "call " + calls, Type: flow.TypeSubflow, Arguments: map[string]flow.Value{"flowId": {Type: flow.Inline, Value: calls}}}, edges...)
}

func TestLoopsEnd(t *testing.T) {
	s := newStage(t, nil,
		rt.Flow("circle", rt.To(rt.Screen("1"), "go", "2"), rt.To(rt.Call("2", "k", nil), "success", "2")),
		rt.Flow("self", rt.To(rt.Screen("1"), "go", "2"), sub("2", "deep", "x", "1")),
		rt.Flow("deep", sub("1", "deep", "x", "1")))
	s.start("circle")
	s.refused(runner.ErrFlow, s.request("go"))
	if n := len(s.connectors.Calls); n < 50 || n > 200 {
		t.Errorf("%d calls", n)
	}
	s.start("self")
	screen(t, s.click("go"), "SC1", "This step did not work. Try again.")
}

// polls is a flow that waits for a connector to say done.
func polls() *flow.Document {
	return rt.Flow("poll", login("5", rt.To(rt.Screen("5", "connectors.k.status"), "polling", "6", "go", "6"),
		rt.To(rt.Call("6", "k", nil), "success", "7"), rt.To(rt.If("7", "connectors.k.status", "equal", "done"), "yes", "8", "ELSE", "5"), end("8"))...)
}

func TestPolling(t *testing.T) {
	s := newStage(t, nil, polls())
	status := "pending"
	s.connectors.Answer = func(int, runner.Call) (any, error) { return map[string]any{"status": status}, nil }
	screen(t, s.signIn("poll", "ada@example.org"), "SC5", "")
	for range 3 { // the client sends the second at once
		if resp := s.click("polling"); resp.Action != runner.ActionPoll || resp.Screen == nil || resp.Status != runner.StatusWaiting {
			t.Fatalf("%+v", resp)
		}
	}
	if len(s.connectors.Calls) != 3 {
		t.Errorf("%d calls of the connector", len(s.connectors.Calls))
	}
	screen(t, s.click("go"), "SC5", "") // a button shows the screen again
	status = "done"
	lost := s.request("polling")
	first := s.click("polling")
	if first.Status != runner.StatusCompleted {
		t.Fatalf("%+v", first)
	}
	calls := len(s.connectors.Calls)

	// The client dropped that answer: it polls again, with the nonce it got or the
	// one it had.
	for _, again := range []func() *runner.Response{
		func() *runner.Response {
			return s.see(s.Next(context.Background(), lost, s.browser))
		},
		func() *runner.Response { return s.click("polling") },
		func() *runner.Response { s.browser.Refresh = "refresh-U1"; return s.click("polling") },
	} {
		if resp := again(); resp.Status != runner.StatusCompleted || resp.AuthInfo != first.AuthInfo {
			t.Fatalf("%+v", resp)
		}
	}
	if len(s.accounts.Grants) != 1 || len(s.connectors.Calls) != calls {
		t.Fatalf("%d grants, %d more calls", len(s.accounts.Grants), len(s.connectors.Calls)-calls)
	}
	s.refused(runner.ErrFinished, s.request("go"))
	s.now = s.now.Add(5*time.Minute + time.Second)
	s.refused(runner.ErrTimedOut, s.request("polling"))
}

func TestPollingWithNothingToWaitFor(t *testing.T) {
	s := newStage(t, nil, rt.Flow("p", rt.To(rt.Screen("1"), "go", "1")))
	s.start("p")
	s.refused(runner.ErrPolling, s.request("polling"))
}

func TestRepeatedCall(t *testing.T) {
	for _, nonces := range []bool{true, false} {
		s := newStage(t, func(o *runner.Options) { o.NoNonces = !nonces }, rt.Flow("r", rt.To(rt.Screen("1"), "go", "2"), rt.To(rt.Call("2", "k", nil), "success", "3"), rt.To(rt.Screen("3"), "back", "1")))
		if resp := s.start("r"); (resp.Nonce() != "") != nonces {
			t.Fatalf("nonce %q", resp.Nonce())
		}
		q := s.request("go")
		one := s.see(s.Next(context.Background(), q, s.browser))
		two := s.see(s.Next(context.Background(), q, s.browser))
		if one != two || len(s.connectors.Calls) != 1 {
			t.Fatalf("nonces %v: a retry ran the connector %d times", nonces, len(s.connectors.Calls))
		}
		// A page that is behind is told where the flow is.
		behind := s.request("go", "other", "input")
		behind.StepID = "1"
		screen(t, s.see(s.Next(context.Background(), behind, s.browser)), "SC3", "")
		if len(s.connectors.Calls) != 1 {
			t.Fatal("a page that is behind ran the connector")
		}
	}
}

func TestNonce(t *testing.T) {
	s := newStage(t, nil, rt.Flow("n", rt.To(rt.Screen("1"), "go", "2"), rt.To(rt.Screen("2"), "go", "1")))
	first := s.start("n").Nonce()
	s.click("go")
	second := s.nonce
	s.click("go")
	for _, nonce := range []string{first, second, "", "9.x"} {
		q := s.request("go")
		q.Nonce = nonce
		s.refused(runner.ErrNonce, q)
	}
	for _, n := range []string{first, second} {
		if seq, random, ok := strings.Cut(n, "."); !ok || seq == "" || len(random) < 20 {
			t.Errorf("nonce %q", n)
		}
	}
	screen(t, s.click("go"), "SC2", "") // what was refused has not used it up
}

func TestDeadline(t *testing.T) {
	s := newStage(t, func(o *runner.Options) { o.TTL, o.Executions = time.Minute, 2 }, rt.Flow("d", rt.To(rt.Screen("1"), "go", "1")), polls())
	s.start("d")
	for range 3 { // each call puts it off
		s.now = s.now.Add(50 * time.Second)
		s.click("go")
	}
	s.now = s.now.Add(61 * time.Second)
	s.refused(runner.ErrTimedOut, s.request("go"))
	s.refused(runner.ErrTimedOut, runner.NextRequest{ExecutionID: "d|#|unknown"})

	// Of too many, the longest unused goes.
	s.start("d")
	oldest := s.request("go")
	s.start("d")
	used := s.request("go")
	resp, err := s.Next(context.Background(), oldest, s.browser)
	if err != nil {
		t.Fatal(err)
	}
	oldest.Nonce = resp.Nonce()
	s.start("d")
	s.refused(runner.ErrTimedOut, used)
	if _, err := s.Next(context.Background(), oldest, s.browser); err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(2 * time.Minute)
	s.Sweep()
	s.refused(runner.ErrTimedOut, oldest)
}

func TestVersions(t *testing.T) {
	doc := func(name string) *flow.Document {
		d := rt.Flow("v", rt.To(rt.Screen("1"), "go", "2"), sub("2", "part", "1.x", "1"))
		d.Metadata.Name = name
		return d
	}
	part := rt.Flow("part", rt.To(rt.Screen("1"), "go", "1"))
	s := newStage(t, nil, doc("one"), part)
	current := func(id string) float64 {
		d, err := s.Export(id)
		if err != nil {
			t.Fatal(err)
		}
		return float64(runner.Version(d))
	}
	for _, c := range []struct {
		versions map[string]float64
		ok       bool
	}{
		{nil, true}, {map[string]float64{"v": 0, "other": 9}, true}, {map[string]float64{"v": current("v"), "part": current("part")}, true},
		{map[string]float64{"v": current("v") + 1}, false}, {map[string]float64{"v": current("v"), "part": 1.5}, false},
	} {
		_, err := s.Start(context.Background(), runner.StartRequest{FlowID: "v", FlowVersions: c.versions}, s.browser)
		if c.ok != (err == nil) || err != nil && !errors.Is(err, runner.ErrVersion) {
			t.Errorf("%v: %v", c.versions, err)
		}
	}
	s.version = current("v")
	s.start("v")
	s.click("go")
	s.Import(doc("one")) // the same again changes nothing
	s.click("go")
	s.Import(doc("two"))
	s.refused(runner.ErrVersion, s.request("go"))
	s.start("v")
	s.refused(runner.ErrVersion, s.request("go")) // the browser still has the old files
	s.version = current("v")
	s.click("go")
	if err := s.Delete("v"); err != nil {
		t.Fatal(err)
	}
	s.refused(runner.ErrVersion, s.request("go"))
	if _, err := s.Start(context.Background(), runner.StartRequest{FlowID: "v"}, s.browser); !errors.Is(err, runner.ErrNoFlow) {
		t.Error(err)
	}
}

func TestConcurrentCalls(t *testing.T) {
	s := newStage(t, nil, polls())
	s.connectors.Answer = func(n int, _ runner.Call) (any, error) {
		if n < 5 {
			return map[string]any{"status": "pending"}, nil
		}
		return map[string]any{"status": "done"}, nil
	}
	s.signIn("poll", "ada@example.org")
	q := s.request("polling")
	var all sync.WaitGroup
	answers := make([]*runner.Response, 20)
	for i := range answers {
		all.Go(func() {
			resp, err := s.Next(context.Background(), q, s.browser)
			if err == nil {
				_, err = json.Marshal(resp)
			}
			if err != nil {
				t.Error(err)
			}
			answers[i] = resp
		})
	}
	all.Wait()
	for _, a := range answers {
		if a != answers[0] {
			t.Fatal("one call, two answers")
		}
	}
	if len(s.connectors.Calls) != 1 {
		t.Fatalf("%d calls of the connector", len(s.connectors.Calls))
	}
	// Different executions do not wait for each other; all are one user's of one runner.
	for range 20 {
		all.Go(func() {
			resp, err := s.Start(context.Background(), runner.StartRequest{FlowID: "poll"}, s.browser)
			if err != nil {
				t.Error(err)
				return
			}
			for _, in := range []map[string]any{{"email": "ada@example.org"}, {"code": rt.Code}} {
				if resp, err = s.Next(context.Background(), runner.NextRequest{ExecutionID: resp.ExecutionID, StepID: resp.StepID, InteractionID: "go", Input: in, Nonce: resp.Nonce()}, s.browser); err != nil {
					t.Error(err)
					return
				}
			}
			s.Sweep()
			_ = s.List()
		})
	}
	all.Wait()
}

func external() *flow.Document {
	return rt.Flow("ext", login("5",
		rt.To(rt.Do("5", "external-auth-start", "url", "{{client.url}}", "exchangeStepId", "5.end"), "success", "5.end"),
		rt.To(rt.Do("5.end", "exchange-external-auth", "exchangeStepId", "5.end"), "success", "6"),
		rt.To(rt.Screen("6", "externalAuth.customClaims", "user.email"), "go", "7"), end("7"))...)
}

func (s *stage) away(to string) *url.URL {
	s.Helper()
	q := runner.StartRequest{FlowID: "ext"}
	q.Options.Location = "https://app.example/login?x=1&code=old&descope-login-flow=old_1#top"
	q.Options.Client = map[string]any{"url": to}
	s.see(s.Start(context.Background(), q, s.browser))
	s.click("go", "email", "ada@example.org")
	resp := s.click("go", "code", rt.Code)
	if resp.Action != runner.ActionRedirect || resp.Redirect == nil || resp.Screen == nil || resp.Screen.State == nil {
		s.Fatalf("%+v", resp)
	}
	u, err := url.Parse(resp.Redirect.URL)
	if err != nil {
		s.Fatal(err)
	}
	return u
}

func TestExternalAuthentication(t *testing.T) {
	s := newStage(t, nil, external())
	u := s.away("https://bridge.example/v/1?t=secret")
	id := u.Query().Get("external_auth_req_id")
	if u.Query().Get("t") != "secret" || len(id) < 20 || u.Host != "bridge.example" {
		t.Fatal(u)
	}
	// The page again before anything is completed: still there.
	if resp := s.click("go"); resp.Action != runner.ActionRedirect {
		t.Fatalf("%+v", resp)
	}
	c := runner.Completion{RequestID: id, LoginID: "ada@example.org", CustomClaims: map[string]any{"kosmos_result": "verified"}, At: s.now}
	if _, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: "unknown", LoginID: "x"}); !errors.Is(err, runner.ErrExternal) {
		t.Fatal(err)
	}
	if _, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: id}); err == nil {
		t.Fatal("completed for nobody")
	}
	back, err := s.CompleteExternal(context.Background(), c)
	if err != nil {
		t.Fatal(err)
	}
	c.At = c.At.Add(time.Second)
	if again, err := s.CompleteExternal(context.Background(), c); err != nil || again != back {
		t.Fatal(again, err)
	}
	other := c
	other.LoginID = "eve@example.org"
	if _, err := s.CompleteExternal(context.Background(), other); !errors.Is(err, runner.ErrExternal) {
		t.Fatal(err)
	}
	r, err := url.Parse(back)
	if err != nil || r.Scheme+"://"+r.Host+r.Path != "https://app.example/login" || r.Query().Get("x") != "1" || r.Fragment != "" {
		t.Fatal(back, err)
	}
	execution, step, ok := strings.Cut(r.Query().Get("descope-login-flow"), "_")
	if !ok || strings.Contains(step, "_") || execution != s.id || step != "5.end" || s.step != step {
		t.Fatal(back)
	}
	code := r.Query().Get("code")
	resp := s.click("submit", "exchangeCode", code)
	screen(t, resp, "SC6", "")
	want := map[string]any{"externalAuth": map[string]any{"customClaims": map[string]any{"kosmos_result": "verified"}}, "user": map[string]any{"email": "ada@example.org"}}
	if !reflect.DeepEqual(resp.Screen.State, want) {
		t.Fatal(resp.Screen.State)
	}
	if _, err := s.CompleteExternal(context.Background(), c); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("completed once more after its code was used", err)
	}
	s.click("go")
	if g := s.accounts.Grants[0]; g.UserID != "U1" || !slices.Equal(g.AMR, []string{"email", "fed"}) || g.Claims["kosmos_result"] != "verified" {
		t.Fatalf("%+v", g)
	}
}

func TestExternalAuthenticationOfSomebodyElse(t *testing.T) {
	s := newStage(t, nil, external())
	id := s.away("https://bridge.example/").Query().Get("external_auth_req_id")
	back, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: id, LoginID: "kosmos-failed-1", CustomClaims: map[string]any{"kosmos_result": "failed"}})
	if err != nil {
		t.Fatal(err)
	}
	u, _ := url.Parse(back)
	s.click("submit", "exchangeCode", u.Query().Get("code"))
	s.click("go")
	if g := s.accounts.Grants[0]; g.UserID == "U1" || !slices.Equal(g.AMR, []string{"fed"}) {
		t.Fatalf("what one person earned went to another: %+v", g)
	}
}

func TestExternalAuthenticationGoesWrong(t *testing.T) {
	s := newStage(t, nil, external())
	s.away("https://bridge.example/")
	screen(t, s.click("submit", "exchangeError", "access_denied"), "SC3", "The check was not finished. Try again.")

	id := s.away("https://bridge.example/").Query().Get("external_auth_req_id")
	screen(t, s.click("submit", "exchangeCode", "guessed"), "SC3", runner.ErrExternal.Message)
	if _, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: id, LoginID: "ada@example.org"}); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("the flow has left it", err)
	}
	id = s.away("https://bridge.example/").Query().Get("external_auth_req_id")
	s.now = s.now.Add(31 * time.Minute)
	s.Sweep()
	if _, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: id, LoginID: "ada@example.org"}); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("too late", err)
	}
	for _, to := range []string{"javascript:alert(1)", "/relative", "ftp://x.example/", ""} {
		q := runner.StartRequest{FlowID: "ext"}
		q.Options.Location, q.Options.Client = "https://app.example/", map[string]any{"url": to}
		s.see(s.Start(context.Background(), q, s.browser))
		s.click("go", "email", "ada@example.org")
		screen(t, s.click("go", "code", rt.Code), "SC3", "There is no page to go to. Try again.")
	}
	strict := newStage(t, func(o *runner.Options) { o.Redirectable = func(u *url.URL) bool { return u.Host == "good.example" } }, external())
	q := runner.StartRequest{FlowID: "ext"}
	q.Options.Location, q.Options.RedirectURL, q.Options.Client = "https://good.example/", "https://evil.example/", map[string]any{"url": "https://bridge.example/"}
	strict.see(strict.Start(context.Background(), q, strict.browser))
	strict.click("go", "email", "ada@example.org")
	if resp := strict.click("go", "code", rt.Code); resp.Action == runner.ActionRedirect {
		t.Fatalf("%+v", resp.Redirect)
	}
}

func TestImport(t *testing.T) {
	for name, c := range map[string]struct {
		change func(d *flow.Document)
		want   string
		fatal  bool
	}{
		"operator":   {func(d *flow.Document) { d.Contents.Tasks["7"].Conditions[0].Atomic[0].Operator = "devised-by" }, `flow ok: task 7 "Is risk high?": operator "devised-by" is not supported`, true},
		"action":     {func(d *flow.Document) { d.Contents.Tasks["5"].Action = "scriptlet" }, `flow ok: task 5 "connector": action "scriptlet" is not supported`, true},
		"task type":  {func(d *flow.Document) { d.Contents.Tasks["5"].Type = "scriptlet" }, `flow ok: task 5 "connector": tasks of type "scriptlet" are not supported`, true},
		"no start":   {func(d *flow.Document) { d.Contents.StartTask = "begin" }, `flow ok: its start task "begin" does not exist`, true},
		"edge":       {func(d *flow.Document) { d.Contents.Tasks["1"].Next.Rules[0].TaskID = "99" }, `flow ok: task 1 "screen 1": "go" leads to task "99", which does not exist`, true},
		"flow id":    {func(d *flow.Document) { d.FlowID = "o_k" }, `flow o_k: its id has an underscore, by which the browser splits what it comes back with`, true},
		"no flow id": {func(d *flow.Document) { d.FlowID = "" }, `flow : has no flowId`, true},
		"task id": {func(d *flow.Document) {
			d.Contents.Tasks["a_b"] = rt.Screen("a_b")
			d.Contents.Tasks["a_b"].ScreenID = "SC1"
		}, `flow ok: task a_b "screen a_b": its id has an underscore, by which the browser splits what it comes back with`, true},
		"connector": {func(d *flow.Document) { d.References.Connectors = map[string]string{"Other": "CI1"} }, `flow ok: task 5 "connector": the project has no connector named "Other"`, true},
		"reference": {func(d *flow.Document) { d.References.Connectors = nil }, `flow ok: task 5 "connector": connector "CI1" is not among the flow's references`, true},
		"command": {func(d *flow.Document) {
			d.Contents.Tasks["5"].Arguments["command"] = flow.Value{Type: "inline", Value: "HEAD"}
		}, `flow ok: task 5 "connector": command "HEAD" of connector "Bridge" is not supported`, true},
		"screen": {func(d *flow.Document) { d.Screens = nil }, `flow ok: task 1 "screen 1": its screen "SC1" is not in the file`, true},
		"component": {func(d *flow.Document) {
			d.Screens[0].Contents["x"] = &flow.Node{Type: flow.NodeType{ResolvedName: "Carousel"}}
		}, `flow ok: screen SC1: component "Carousel" (node x) is not supported`, false},
		"value type": {func(d *flow.Document) { d.Contents.Tasks["7"].Conditions[0].Atomic[0].Target.Type = "magic" }, `flow ok: task 7 "Is risk high?": values of type "magic" are not supported`, true},
		"risk key": {func(d *flow.Document) {
			d.Contents.Tasks["7"].Conditions[0].Atomic[0].Target.Value = "riskInfo.trustedDevise"
		}, `flow ok: task 7 "Is risk high?": nothing here ever tells riskInfo.trustedDevise`, true},
		"no else":    {func(d *flow.Document) { d.Contents.Tasks["7"].Conditions = d.Contents.Tasks["7"].Conditions[:1] }, `flow ok: task 7 "Is risk high?": has no branch ELSE`, true},
		"subflow":    {func(d *flow.Document) { d.Contents.Tasks["8"] = sub("8", "gone", "x", "1") }, `flow ok: task 8 "call gone": calls flow "gone", which is not here`, false},
		"null task":  {func(d *flow.Document) { d.Contents.Tasks["9"] = nil }, `flow ok: task 9: is null`, true},
		"management": {func(d *flow.Document) { d.Metadata.Management = true }, `flow ok: task 1 "screen 1": is a screen, and a management flow has nobody to show it to`, true},
		"regexp": {func(d *flow.Document) {
			a := &d.Contents.Tasks["7"].Conditions[0].Atomic[0]
			a.Operator, a.Predicate.Value = "matches", "("
		}, `flow ok: task 7 "Is risk high?": "(" is no regular expression that can be used`, true},
		"error handler": {func(d *flow.Document) {
			d.Contents.Tasks["5"].Errors = map[string]flow.Handling{"request_error": {Type: "custom"}}
		}, `flow ok: task 5 "connector": error request_error is to be handled by another task, and none follows it`, false},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStage(t, nil)
			risk := rt.To(rt.If("7", "riskInfo.riskScore", "greater-than", 0.5), "yes", "1", "ELSE", "1")
			risk.Name = "Is risk high?"
			d := rt.Flow("ok", rt.To(rt.Screen("1"), "go", "5"), rt.To(rt.Call("5", "k", nil), "success", "7"), risk)
			if p := s.Import(d); len(p) != 0 {
				t.Fatal(p)
			}
			c.change(d)
			p := s.Import(d)
			found := slices.ContainsFunc(p, func(p runner.Problem) bool { return p.String() == c.want && p.Fatal == c.fatal })
			if !found || runner.Refused(p) != c.fatal {
				t.Fatalf("got  %q\nwant %q", p, c.want)
			}
			if got, err := s.Export("ok"); err != nil || len(got.Contents.Tasks) != 4 && c.fatal {
				t.Fatalf("what was refused replaced what was there: %v", err)
			}
		})
	}
}

// What the screens' renderer cannot show keeps a flow out.
func TestScreensThatCannotBeShown(t *testing.T) {
	var asked []string
	bad := errors.New(`screen SC1, node x: property "sparkle" is not supported`)
	s := newStage(t, func(o *runner.Options) {
		o.Screens = func(d *flow.Document) []error {
			asked = append(asked, d.FlowID)
			if d.Metadata.Description == "plain" {
				return nil
			}
			return []error{bad, errors.New("and another")}
		}
	})
	d := rt.Flow("shown", rt.To(rt.Screen("1"), "go", "2"), end("2"))
	d.Metadata.Description = "plain"
	if p := s.Import(d); len(p) != 0 {
		t.Fatal(p)
	}
	d.Metadata.Description = "sparkling"
	p := s.Import(d)
	want := []runner.Problem{{Flow: "shown", Text: bad.Error(), Fatal: true}, {Flow: "shown", Text: "and another", Fatal: true}}
	if !slices.Equal(p, want) || !runner.Refused(p) {
		t.Fatalf("got  %+v\nwant %+v", p, want)
	}
	if got, err := s.Export("shown"); err != nil || got.Metadata.Description != "plain" {
		t.Fatalf("what was refused replaced what was there: %+v, %v", got, err)
	}
	d.FlowID = "never"
	if p := s.Import(d); !runner.Refused(p) {
		t.Fatal(p)
	}
	if _, err := s.Start(context.Background(), runner.StartRequest{FlowID: "never"}, s.browser); !errors.Is(err, runner.ErrNoFlow) {
		t.Fatalf("it was refused, and runs: %v", err)
	}
	if !slices.Equal(asked, []string{"shown", "shown", "never"}) {
		t.Fatal(asked)
	}
}

// The flows we ship, as soon as they are there, must run here.
func TestShippedFlows(t *testing.T) {
	files, _ := filepath.Glob("../../../../integrations/flows/*.json")
	variants, _ := filepath.Glob("../../../../integrations/flows/variants/*.json")
	files = append(files, variants...)
	if len(files) == 0 {
		t.Skip("no flows are here yet")
	}
	names := flow.DefaultNames()
	r, err := runner.New(runner.Options{Names: names, Accounts: rt.NewAccounts(), Connectors: known{names.Connector.Name}, Federation: new(rt.Providers)})
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := new(flow.Document)
		if err := json.Unmarshal(b, d); err != nil {
			t.Fatal(err)
		}
		if p := r.Import(d); runner.Refused(p) {
			t.Errorf("%s: %v", file, p)
		}
	}
	for _, p := range r.Problems() {
		t.Error(p)
	}
}

type known struct{ name string }

func (k known) Known(name string) bool { return name == k.name }
func (known) Run(context.Context, runner.Call) (any, error) {
	return nil, errors.New("not in this test")
}

// The name of an action's error is the table's.
func TestErrorOfAnActionIsHandledByTheTablesName(t *testing.T) {
	for name, handled := range map[string]bool{flow.DefaultNames().Errors.Action: true, "SomethingElse": false} {
		send := rt.To(rt.Do("2", "sign-in-otp-email"), "success", "3")
		send.Errors = map[string]flow.Handling{name: {Type: flow.Ignore}}
		s := newStage(t, nil, rt.Flow("quiet", rt.To(rt.Screen("1", "form.email"), "go", "2"), send, rt.Screen("3", "form.code")))
		s.start("quiet")
		want := "SC1"
		if handled {
			want = "SC3"
		}
		if resp := s.click("go", "email", "nobody@example.org"); resp.Screen.ID != want {
			t.Errorf("%s: at %s, want %s", name, resp.Screen.ID, want)
		}
	}
}

// Who is signed in from before is the user; whom they type is somebody else until the code.
func TestLoadUserOfSomebodySignedIn(t *testing.T) {
	s := newStage(t, nil, rt.Flow("load", rt.To(rt.Screen("1", "form.email"), "go", "2"), rt.To(rt.Do("2", "loadUser"), "success", "3"),
		rt.Screen("3", "user.email", "unauthUser.email")))
	if _, _, err := s.accounts.SignUpOrIn(context.Background(), "grace@example.org", nil); err != nil {
		t.Fatal(err)
	}
	s.accounts.Tokens["refresh"], s.browser.Refresh = "ada@example.org", "refresh"
	s.start("load")
	if got, want := s.click("go", "email", "grace@example.org").Screen.State, map[string]any{
		"user": map[string]any{"email": "ada@example.org"}, "unauthUser": map[string]any{"email": "grace@example.org"},
	}; !reflect.DeepEqual(got, want) {
		t.Fatalf("got  %v\nwant %v", got, want)
	}
}
