// Package runnertest has what tests of the flow runner need: a project whose
// people and connectors do as they are told, and flows in few words.
package runnertest

import (
	"context"
	"fmt"
	"maps"
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// Code is the one-time code that Accounts always send.
const Code = "123456"

// Accounts keep people in memory. The fields may be set before a test runs.
type Accounts struct {
	mu     sync.Mutex
	Users  map[string]*project.User // by login id
	Tokens map[string]string        // login id by refresh JWT
	Danger project.Risk             // of every login
	Fail   map[string]error         // by method
	Grants []project.Grant
	Sent   []string
	Risks  int // how often Risk was asked
}

// NewAccounts makes Accounts with one person, ada@example.org.
func NewAccounts() *Accounts {
	a := &Accounts{Users: map[string]*project.User{}, Tokens: map[string]string{}, Fail: map[string]error{}}
	a.add("ada@example.org", "Ada")
	a.Danger.IP = "192.0.2.1"
	return a
}

func (a *Accounts) add(email, name string) *project.User {
	u := &project.User{
		UserID: fmt.Sprintf("U%d", len(a.Users)+1), LoginIDs: []string{email}, Email: email, Name: name, VerifiedEmail: true,
		Status: "enabled", CustomAttributes: map[string]any{},
	}
	a.Users[email] = u
	return u
}

// SendCode implements runner.Accounts.
func (a *Accounts) SendCode(_ context.Context, email string, signUp bool, _ map[string]any) (string, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.Fail["SendCode"]; err != nil {
		return "", err
	}
	if a.Users[email] == nil && !signUp {
		return "", project.ErrNoUser
	}
	a.Sent = append(a.Sent, email)
	return email[:1] + "***", nil
}

// VerifyCode implements runner.Accounts.
func (a *Accounts) VerifyCode(_ context.Context, email, code string) (*project.User, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if code != Code {
		return nil, false, project.ErrCode
	}
	if u := a.Users[email]; u != nil {
		return u, false, nil
	}
	return a.add(email, ""), true, nil
}

// SignUpOrIn implements runner.ExternalAccounts.
func (a *Accounts) SignUpOrIn(_ context.Context, loginID string, _ map[string]any) (*project.User, bool, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if u := a.Users[loginID]; u != nil {
		return u, false, nil
	}
	return a.add(loginID, ""), true, nil
}

// Federate implements runner.FederatedAccounts: whom LoginID names, or somebody new.
// Nobody is merged here.
func (a *Accounts) Federate(ctx context.Context, i project.Identity, entry project.Entry) (*project.User, bool, error) {
	u, err := a.User(ctx, i.LoginID)
	a.mu.Lock()
	defer a.mu.Unlock()
	switch {
	case a.Fail["Federate"] != nil:
		return nil, false, a.Fail["Federate"]
	case err == nil && entry == project.SignUp:
		return nil, false, project.ErrExists
	case err == nil:
		return u, false, nil
	case entry == project.SignIn:
		return nil, false, project.ErrNoUser
	}
	u = a.add(i.LoginID, "")
	u.Email, u.VerifiedEmail, u.CustomAttributes = "", false, maps.Clone(i.Attributes)
	return u, true, nil
}

// Providers are identity providers that every name has.
type Providers struct {
	mu   sync.Mutex
	Asks []project.FederationAsk
}

// Known implements runner.Federation.
func (*Providers) Known(_, provider string) bool { return provider != "" && provider != "missing" }

// TenantOf implements runner.Federation.
func (*Providers) TenantOf(domain string) (string, bool) { return domain, domain == "tenant.example" }

// Begin implements runner.Federation.
func (p *Providers) Begin(_ context.Context, ask project.FederationAsk) (string, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.Asks = append(p.Asks, ask)
	return "https://idp.example/" + ask.Provider, nil
}

// Last is what was asked last.
func (p *Providers) Last() project.FederationAsk {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.Asks[len(p.Asks)-1]
}

// User implements runner.Accounts.
func (a *Accounts) User(_ context.Context, id string) (*project.User, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	for loginID, u := range a.Users {
		if loginID == id || u.UserID == id {
			return u, nil
		}
	}
	return nil, project.ErrNoUser
}

// UpdateUser implements runner.Accounts.
func (a *Accounts) UpdateUser(ctx context.Context, userID string, properties, attributes map[string]any) (*project.User, error) {
	u, err := a.User(ctx, userID)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.Fail["UpdateUser"]; err != nil {
		return nil, err
	}
	c := *u
	c.CustomAttributes = maps.Clone(u.CustomAttributes)
	maps.Copy(c.CustomAttributes, attributes)
	if name, ok := properties["givenName"].(string); ok {
		c.GivenName = name
	}
	a.Users[c.LoginIDs[0]] = &c
	return &c, nil
}

// Holder implements runner.Accounts.
func (a *Accounts) Holder(ctx context.Context, refreshJWT string) (*project.User, error) {
	a.mu.Lock()
	loginID := a.Tokens[refreshJWT]
	a.mu.Unlock()
	if loginID == "" {
		return nil, project.ErrToken
	}
	return a.User(ctx, loginID)
}

// Risk implements runner.Accounts.
func (a *Accounts) Risk(_ context.Context, _ string, b project.Browser) (project.Risk, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.Risks++
	r := a.Danger
	if b.Addr.IsValid() {
		r.IP = b.Addr.String()
	}
	return r, a.Fail["Risk"]
}

// Issue implements runner.Accounts. Tokens are no JWTs here.
func (a *Accounts) Issue(_ context.Context, g project.Grant) (*project.AuthInfo, error) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if err := a.Fail["Issue"]; err != nil {
		return nil, err
	}
	a.Grants = append(a.Grants, g)
	return &project.AuthInfo{SessionJWT: "session-" + g.UserID, RefreshJWT: "refresh-" + g.UserID, FirstSeen: g.FirstSeen, Claims: g.Claims}, nil
}

// Connectors answer as they are told, and remember what they were asked.
type Connectors struct {
	mu     sync.Mutex
	Answer func(n int, c runner.Call) (any, error) // n counts from 1
	Calls  []runner.Call
}

// Name is the one connector there is.
const Name = "Bridge"

// Run implements runner.Connectors.
func (c *Connectors) Run(_ context.Context, call runner.Call) (any, error) {
	c.mu.Lock()
	c.Calls = append(c.Calls, call)
	n, answer := len(c.Calls), c.Answer
	c.mu.Unlock()
	if answer == nil {
		return map[string]any{"status": "ok"}, nil
	}
	return answer(n, call)
}

// Known implements runner.Connectors.
func (c *Connectors) Known(name string) bool { return name == Name }

// Flow makes a document of tasks; those that screens show are made, too. The start
// leads to the first of them.
func Flow(id string, tasks ...*flow.Task) *flow.Document {
	d := &flow.Document{FlowID: id, Metadata: flow.Metadata{Name: id}}
	d.Contents.StartTask = "start"
	d.Contents.Tasks = map[string]*flow.Task{"start": {ID: "start"}}
	d.Contents.Tasks["start"].Next.Rules = []flow.Rule{{TaskID: tasks[0].ID}}
	d.References.Connectors = map[string]string{Name: "CI1"}
	for _, t := range tasks {
		d.Contents.Tasks[t.ID] = t
		if t.Type == flow.TypeScreen {
			d.Screens = append(d.Screens, flow.Screen{ScreenID: t.ScreenID, Contents: map[string]*flow.Node{
				flow.Root: {Type: flow.NodeType{ResolvedName: "Container"}},
			}})
		}
	}
	return d
}

// To are the edges of a task: interaction, task, interaction, task...
func To(t *flow.Task, edges ...string) *flow.Task {
	for i := 0; i < len(edges); i += 2 {
		t.Next.Rules = append(t.Next.Rules, flow.Rule{InteractionID: edges[i], TaskID: edges[i+1]})
	}
	return t
}

// Screen makes a screen task; its screen is named like it. Keys are inputs if they
// begin with form., else keys of the context to be shown.
func Screen(id string, keys ...string) *flow.Task {
	t := &flow.Task{ID: id, Name: "screen " + id, Type: flow.TypeScreen, ScreenID: "SC" + id}
	for _, k := range keys {
		if len(k) > 5 && k[:5] == "form." {
			t.InputKeys = append(t.InputKeys, k)
		} else {
			t.ContextKeys = append(t.ContextKeys, k)
		}
	}
	return t
}

// Do makes an automated task; arguments are names and inline values.
func Do(id, action string, args ...any) *flow.Task {
	t := &flow.Task{ID: id, Name: action, Type: flow.TypeAutomated, Action: action, Arguments: map[string]flow.Value{}}
	for i := 0; i < len(args); i += 2 {
		t.Arguments[args[i].(string)] = flow.Value{Type: flow.Inline, Value: args[i+1]}
	}
	return t
}

// Call makes a connector task that posts a payload; the answer goes to
// connectors.KEY.
func Call(id, key string, payload any) *flow.Task {
	return Do(id, "connector",
		"connectorId", "CI1", "templateId", "http", "command", "post", "resultPath", key, "async", false,
		"args", []flow.KeyValue{{Key: "endpoint", Value: "/" + key}, {Key: "payload", Value: payload}})
}

// If makes a condition of one branch "yes" and ELSE.
func If(id, key, operator string, predicate any) *flow.Task {
	return &flow.Task{ID: id, Name: "is " + key + "?", Type: flow.TypeCondition, Conditions: []flow.Branch{
		{InteractionID: "yes", Name: "yes", Atomic: []flow.Atomic{{
			Operator: operator, Target: flow.Value{Type: flow.FromContext, Value: key}, Predicate: &flow.Value{Type: flow.Inline, Value: predicate},
		}}},
		{InteractionID: flow.Else},
	}}
}
