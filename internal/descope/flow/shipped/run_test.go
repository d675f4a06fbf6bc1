package shipped_test

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"net/url"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

type answer = map[string]any

// bridge answers nodes and hooks. Of several answers to a node each is given once, and
// the last one from then on.
type bridge struct {
	rt.Connectors
	name    string
	answers map[string][]any // answers or errors, by endpoint
	asked   []asked
}

type asked struct {
	endpoint string
	payload  answer
}

func (b *bridge) Known(name string) bool { return name == b.name }

func (b *bridge) Run(_ context.Context, c runner.Call) (any, error) {
	text, _ := c.Args["payload"].(string)
	q := asked{c.Args["endpoint"].(string), answer{}}
	if err := json.Unmarshal([]byte(text), &q.payload); err != nil {
		return nil, &runner.ConnectorError{Name: flow.ConnectorFailed, Cause: err}
	}
	b.asked = append(b.asked, q)
	list := b.answers[q.endpoint]
	if len(list) == 0 {
		return nil, &runner.ConnectorError{Name: flow.RequestError, Cause: errors.New("nothing was to be asked of " + q.endpoint)}
	}
	if len(list) > 1 {
		b.answers[q.endpoint] = list[1:]
	}
	switch a := list[0].(type) {
	case func(answer) any:
		return a(q.payload), nil
	case error:
		return nil, a
	default:
		return a, nil
	}
}

// people know an External Authentication's user by login id or user id, as the local
// Descope does.
type people struct{ *rt.Accounts }

func (p people) SignUpOrIn(ctx context.Context, loginID string, properties map[string]any) (*project.User, bool, error) {
	if u, err := p.User(ctx, loginID); err == nil {
		return u, false, nil
	}
	return p.Accounts.SignUpOrIn(ctx, loginID, properties)
}

// stage is a project with the flows that we ship, and one browser.
type stage struct {
	*testing.T
	*runner.Runner
	accounts *rt.Accounts
	bridge   *bridge
	idp      *rt.Providers
	flow     string
	screens  string // which flow's screens are shown
	client   any
	form     map[string]any
	browser  project.Browser

	at *runner.Response
}

var (
	down       = &runner.ConnectorError{Name: flow.RequestError, Cause: errors.New("no answer")}
	broken     = &runner.ConnectorError{Name: flow.ConnectorFailed, Cause: errors.New("cannot be run")}
	idvOpen    = answer{"session_id": "v-1", "session_url": "https://bridge.example/v/1", "status": "pending"}
	faceOpen   = answer{"challenge_id": "c-1", "challenge_url": "https://bridge.example/c/1", "status": "pending", "reason": nil}
	verified   = answer{"status": "verified", "session_id": "v-1", "ial_level": "IAL2", "completed_at": "2026-11-29T00:00:00Z", "claims": answer{"given_name": "ADA", "family_name": "BYRON"}, "reason": nil}
	matched    = answer{"match_result": "match", "reason": nil}
	allowed    = answer{"decision": "allow", "score": 0.0, "reasons": []any{}, "reason": nil, "policy_version": 0.0, "decision_id": "d-1"}
	risky      = answer{"decision": "step_up", "score": 60.0, "reasons": []any{"new_device", "geo_anomaly"}, "reason": "new_device", "policy_version": 0.0, "decision_id": "d-1"}
	denied     = answer{"decision": "deny", "score": 100.0, "reasons": []any{"velocity"}, "reason": "velocity", "policy_version": 0.0, "decision_id": "d-1"}
	learned    = answer{"decision_id": "d-1", "outcome": "success", "learned": true, "why": nil}
	goOn       = hooked("continue", nil)
	asksFace   = hooked("step_up", answer{"challenge_url": "https://bridge.example/c/9", "challenge_id": "c-9", "reason": "new_device"})
	mustProve  = hooked("verify", answer{"session_url": "https://bridge.example/v/9", "session_id": "v-9"})
	pendingIDV = answer{"status": "pending", "reason": nil}
)

// hooked is what a hook answers: all members, most of them null.
func hooked(action string, more answer) answer {
	a := answer{"action": action, "decision_id": "h-1", "reasons": []any{}, "reason": nil, "challenge_url": nil, "challenge_id": nil, "session_url": nil, "session_id": nil, "expires_at": nil, "retry_at": nil}
	maps.Copy(a, more)
	return a
}

func refused(reason string) answer {
	return answer{"challenge_url": nil, "challenge_id": nil, "status": "refused", "reason": reason}
}

func newStage(t *testing.T, id string) *stage {
	t.Helper()
	t.Parallel()
	return another(t, id)
}

// another stage within one test.
func another(t *testing.T, id string) *stage {
	t.Helper()
	names := flow.DefaultNames()
	s := &stage{T: t, accounts: rt.NewAccounts(), idp: &rt.Providers{}, bridge: &bridge{name: names.Connector.Name, answers: map[string][]any{
		"/idv": {idvOpen}, "/idv/result": {verified}, "/stepup": {faceOpen}, "/stepup/result": {matched}, "/risk": {allowed}, "/risk/outcome": {learned},
		"/hooks/pre-login": {goOn}, "/hooks/post-registration": {mustProve},
	}}, flow: id, screens: id}
	s.accounts.Danger = project.Risk{
		KnownDevice: true, IP: "192.0.2.1", Country: "DE", LastIPs: []string{"192.0.2.1", "192.0.2.9"}, LastCountries: []string{"DE"}, LastCountry: "DE", LastIP: "192.0.2.1",
	}
	now := time.Unix(1_800_000_000, 0)
	r, err := runner.New(runner.Options{Names: names, Accounts: people{s.accounts}, Connectors: s.bridge, Federation: s.idp, Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	s.Runner = r
	s.install(id)
	return s
}

var all = sync.OnceValue(func() []shipped.Flow { return shipped.Flows(flow.DefaultNames()) })

// install imports one of our flows, if it is one.
func (s *stage) install(id string) {
	s.Helper()
	for _, f := range all() {
		if f.FlowID != id {
			continue
		}
		if p := s.Import(f.Document); len(p) > 0 {
			s.Fatalf("%s: %v", id, p)
		}
	}
}

func (s *stage) see(resp *runner.Response, err error) {
	s.Helper()
	if err != nil {
		s.Fatal(err)
	}
	s.at = resp
}

// start begins the flow.
func (s *stage) start() {
	s.Helper()
	q := runner.StartRequest{FlowID: s.flow, Input: s.form}
	q.Options.Location, q.Options.Client = "https://app.example/login", s.client
	s.at = nil
	s.see(s.Start(context.Background(), q, s.browser))
}

// click does something on the screen; input are names and values.
func (s *stage) click(interaction string, input ...string) {
	s.Helper()
	s.see(s.try(interaction, input...))
}

func (s *stage) try(interaction string, input ...string) (*runner.Response, error) {
	q := runner.NextRequest{ExecutionID: s.at.ExecutionID, StepID: s.at.StepID, InteractionID: interaction, Nonce: s.at.Nonce(), Input: map[string]any{}}
	for i := 0; i < len(input); i += 2 {
		q.Input[input[i]] = input[i+1]
	}
	return s.Next(context.Background(), q, s.browser)
}

// signIn comes to where the login is over.
func (s *stage) signIn(email string) {
	s.Helper()
	s.start()
	s.on("1")
	s.click("continue", "email", email)
	s.on("3")
	s.click("continue", "code", rt.Code)
}

// on says what screen the browser shows.
func (s *stage) on(task string) {
	s.Helper()
	if s.at.Action != runner.ActionScreen || s.at.Screen.ID != s.screens+"-"+task {
		s.Fatalf("at %s %q, screen %+v; want screen %s", s.at.Action, s.at.StepName, s.at.Screen, task)
	}
}

// shows is a value that the screen sees.
func (s *stage) shows(key string) any {
	var at any = s.at.Screen.State
	for part := range strings.SplitSeq(key, ".") {
		m, _ := at.(map[string]any)
		at = m[part]
	}
	return at
}

// outside says that nobody got a session.
func (s *stage) outside() {
	s.Helper()
	if len(s.accounts.Grants) > 0 || s.at.AuthInfo != nil || s.at.Status == runner.StatusCompleted {
		s.Fatalf("somebody got in: %+v, %+v", s.accounts.Grants, s.at)
	}
}

// inside says that the flow ended with one session, and gives it.
func (s *stage) inside() project.Grant {
	s.Helper()
	if len(s.accounts.Grants) != 1 || s.at.Status != runner.StatusCompleted || s.at.AuthInfo == nil {
		s.Fatalf("nobody got in: %+v, at %q %+v", s.accounts.Grants, s.at.StepName, s.at.Screen)
	}
	return s.accounts.Grants[0]
}

// endpoints are those that were asked, in order.
func (s *stage) endpoints() string {
	var list []string
	for _, a := range s.bridge.asked {
		list = append(list, a.endpoint)
	}
	return strings.Join(list, " ")
}

func (s *stage) last() answer {
	s.Helper()
	if len(s.bridge.asked) == 0 {
		s.Fatal("nothing was asked of the bridge")
	}
	return s.bridge.asked[len(s.bridge.asked)-1].payload
}

// asked are the payloads that an endpoint got, in order.
func (s *stage) asked(endpoint string) (list []answer) {
	for _, a := range s.bridge.asked {
		if a.endpoint == endpoint {
			list = append(list, a.payload)
		}
	}
	return list
}

// ended says that the bridge was told once how the login ended, and so.
func (s *stage) ended(want answer) {
	s.Helper()
	if got := s.asked("/risk/outcome"); !reflect.DeepEqual(got, []answer{want}) {
		s.Fatalf("the bridge was told %v, want %v", got, want)
	}
}

func (s *stage) answers(endpoint string, list ...any) { s.bridge.answers[endpoint] = list }

// away says that the browser was sent to a page, completes as the bridge does, under
// loginID, and comes back.
func (s *stage) away(page, loginID string) {
	s.Helper()
	if s.at.Action != runner.ActionRedirect || !strings.HasPrefix(s.at.Redirect.URL, page+"?") {
		s.Fatalf("not sent to %s: %+v", page, s.at)
	}
	u, err := url.Parse(s.at.Redirect.URL)
	if err != nil {
		s.Fatal(err)
	}
	back, err := s.CompleteExternal(context.Background(), runner.Completion{RequestID: u.Query().Get("external_auth_req_id"), LoginID: loginID, CustomClaims: map[string]any{"kosmos_result": "x"}})
	if err != nil {
		s.Fatal(err)
	}
	u, err = url.Parse(back)
	if err != nil {
		s.Fatal(err)
	}
	execution, step, _ := strings.Cut(u.Query().Get("descope-login-flow"), "_")
	s.see(s.Next(context.Background(), runner.NextRequest{
		ExecutionID: execution, StepID: step, InteractionID: flow.Submit, Nonce: s.at.Nonce(), Input: map[string]any{"exchangeCode": u.Query().Get("code")},
	}, s.browser))
}
