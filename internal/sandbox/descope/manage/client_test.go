package manage_test

import (
	"encoding/json"
	"errors"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/session"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

var browser = project.Browser{Addr: netip.MustParseAddr("78.55.20.10"), UserAgent: "Chrome/156"}

// client is the bridge's own client.
func (h *here) client() *descope.Client {
	h.t.Helper()
	c, err := descope.New(descope.Options{BaseURL: h.url, ProjectID: projectID, ManagementKey: key, Limits: descope.Limits{Users: 1e6, Others: 1e6}})
	if err != nil {
		h.t.Fatal(err)
	}
	return c
}

// actions are those of the trail about somebody, oldest first.
func (h *here) actions(userID string) (list []string) {
	h.t.Helper()
	events, _ := h.accounts.Audit(h.t.Context(), accounts.AuditQuery{UserIDs: []string{userID}, OldestFirst: true})
	for _, e := range events {
		list = append(list, e.Action)
	}
	return list
}

// The client's users are the local Descope's.
func TestClientUsers(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, ctx := h.client(), t.Context()
	i := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}})
	u, err := c.User(ctx, "ada@example.org")
	if err != nil || u.UserID != i.User.UserID || u.Email != "ada@example.org" || u.VerifiedEmail || u.Status != descope.StatusEnabled || u.Created.IsZero() {
		t.Fatalf("%+v %v", u, err)
	}
	if again, err := c.UserByID(ctx, u.UserID); err != nil || !reflect.DeepEqual(again, u) {
		t.Errorf("%+v %v", again, err)
	}
	if again, err := c.User(ctx, u.UserID); err != nil || !reflect.DeepEqual(again, u) {
		t.Errorf("by user id: %+v %v", again, err)
	}
	name, yes := "Ada Lovelace", true
	if u, err = c.PatchUser(ctx, "ada@example.org", descope.Patch{VerifiedEmail: &yes}); err != nil || !u.VerifiedEmail || u.Name != "" {
		t.Errorf("%+v %v", u, err)
	}
	if u, err = c.PatchUser(ctx, "ada@example.org", descope.Patch{Name: &name}); err != nil || u.Name != name || u.Email != "ada@example.org" || !u.VerifiedEmail {
		t.Errorf("%+v %v", u, err)
	}
	if _, err := c.SetAttribute(ctx, "ada@example.org", "kosmosIal", "IAL2"); proof.ReasonOf(err) != proof.ReasonDescopeRefused || !descope.NotDone(err) {
		t.Errorf("an attribute that does not exist: %v", err)
	}
	created, err := c.EnsureAttributes(ctx, []descope.Attribute{{Name: "kosmosIal", DisplayName: "IAL", Type: descope.TypeText}})
	if err != nil || !slices.Equal(created, []string{"kosmosIal"}) {
		t.Fatalf("%v %v", created, err)
	}
	if u, err = c.SetAttribute(ctx, "ada@example.org", "kosmosIal", "IAL2"); err != nil || u.Attributes["kosmosIal"] != "IAL2" {
		t.Errorf("%+v %v", u, err)
	}
	list, err := h.client().Attributes(ctx)
	if err != nil || len(list) != 1 || list[0].Name != "kosmosIal" || list[0].DisplayName != "IAL" || list[0].Type != descope.TypeText {
		t.Errorf("%+v %v", list, err)
	}
	// Another process, which knows nothing of it, creates only what is missing.
	created, err = h.client().EnsureAttributes(ctx, []descope.Attribute{{Name: "kosmosIal", Type: descope.TypeDate}, {Name: "kosmosScore", Type: descope.TypeNumber}})
	if err != nil || !slices.Equal(created, []string{"kosmosScore"}) {
		t.Errorf("%v %v", created, err)
	}
	h.signIn("bob@example.org", project.Grant{})
	users, total, err := c.SearchUsers(ctx, descope.UserSearch{Attributes: map[string]any{"kosmosIal": "IAL2"}, Statuses: []string{"enabled"}, Text: "ada"})
	if err != nil || total != 1 || len(users) != 1 || !reflect.DeepEqual(users[0], u) {
		t.Errorf("%+v %d %v", users, total, err)
	}
	both := []string{"ada@example.org", "bob@example.org"}
	var found []string
	for page := range 3 {
		users, total, err = c.SearchUsers(ctx, descope.UserSearch{Limit: 1, Page: page, LoginIDs: both})
		if err != nil || total != 2 {
			t.Errorf("%+v %d %v", users, total, err)
		}
		for _, u := range users {
			found = append(found, u.Email)
		}
	}
	if slices.Sort(found); !slices.Equal(found, both) {
		t.Errorf("%v", found)
	}
	for _, edit := range []struct {
		run  func(string, []string) (descope.User, error)
		with []string
		want []string
	}{
		{func(id string, r []string) (descope.User, error) { return c.SetRoles(ctx, id, r) }, []string{"a", "b"}, []string{"a", "b"}},
		{func(id string, r []string) (descope.User, error) { return c.AddRoles(ctx, id, r) }, []string{"b", "c"}, []string{"a", "b", "c"}},
		{func(id string, r []string) (descope.User, error) { return c.RemoveRoles(ctx, id, r) }, []string{"a", "x"}, []string{"b", "c"}},
		{func(id string, r []string) (descope.User, error) { return c.SetRoles(ctx, id, r) }, nil, nil},
	} {
		if u, err := edit.run("ada@example.org", edit.with); err != nil || !slices.Equal(u.Roles, edit.want) {
			t.Errorf("%v: %v %v", edit.with, u.Roles, err)
		}
	}
	for what, run := range map[string]func() error{
		"load":   func() error { _, err := c.User(ctx, "nobody@example.org"); return err },
		"by id":  func() error { _, err := c.UserByID(ctx, "U2nobody"); return err },
		"patch":  func() error { _, err := c.PatchUser(ctx, "nobody@example.org", descope.Patch{Name: &name}); return err },
		"status": func() error { _, err := c.SetStatus(ctx, "nobody@example.org", "disabled"); return err },
		"roles":  func() error { _, err := c.AddRoles(ctx, "nobody@example.org", []string{"a"}); return err },
		"logout": func() error { return c.Logout(ctx, "nobody@example.org") },
	} {
		if err := run(); !errors.Is(err, proof.ErrNotFound) || proof.CodeOf(err) != proof.CodeNotFound || !descope.NotDone(err) || strings.Contains(err.Error(), "nobody") {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// What ends a session, and what is put into one.
func TestClientSessions(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, ctx := h.client(), t.Context()
	i := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}})
	jwt, err := c.UpdateJWT(ctx, i.SessionJWT, map[string]any{"kosmos_ial": "IAL2"})
	if err != nil {
		t.Fatal(err)
	}
	if s, err := session.New(h.url, projectID, nil, h.now).Verify(ctx, jwt); err != nil || s.Claims["kosmos_ial"] != "IAL2" || s.UserID != i.User.UserID {
		t.Errorf("%+v %v", s, err)
	}
	if _, err := c.UpdateJWT(ctx, i.SessionJWT, map[string]any{"sub": "somebody"}); proof.ReasonOf(err) != proof.ReasonDescopeRefused {
		t.Errorf("a claim of the protocol: %v", err)
	}
	if err := c.Logout(ctx, i.User.UserID); err != nil {
		t.Fatal(err)
	}
	if status, _, _ := h.call("POST", "/v1/auth/refresh", projectID+":"+i.RefreshJWT, ""); status != 401 {
		t.Errorf("after logout: %d", status)
	}
	two := h.signIn("ada@example.org", project.Grant{})
	if u, err := c.SetStatus(ctx, "ada@example.org", descope.StatusDisabled); err != nil || u.Status != descope.StatusDisabled {
		t.Fatalf("%+v %v", u, err)
	}
	if status, _, _ := h.call("POST", "/v1/auth/refresh", projectID+":"+two.RefreshJWT, ""); status != 401 {
		t.Errorf("after disabling: %d", status)
	}
	if _, err := h.accounts.SignIn(ctx, accounts.SignIn{LoginID: "ada@example.org"}, false); !errors.Is(err, project.ErrDisabled) {
		t.Errorf("somebody disabled signs in: %v", err)
	}
	if _, err := c.SetStatus(ctx, "ada@example.org", descope.StatusEnabled); err != nil {
		t.Error(err)
	}
	if _, err := h.accounts.SignIn(ctx, accounts.SignIn{LoginID: "ada@example.org"}, false); err != nil {
		t.Error(err)
	}
}

// Door C's words for it. What is as it should be already leaves no event.
func TestClientHooks(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	p, ctx := h.client().Hooks(), t.Context()
	i := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}})
	id := i.User.UserID
	values := map[string]any{"kosmosIdvStatus": "verified", "kosmosScore": 3, "kosmosOk": true, "kosmosGone": nil}
	for range 2 {
		if err := p.PatchAttributes(ctx, "ada@example.org", values); err != nil {
			t.Fatal(err)
		}
		if err := p.AddRoles(ctx, "ada@example.org", []string{"proofed"}); err != nil {
			t.Fatal(err)
		}
		if err := p.SetStatus(ctx, "ada@example.org", "disabled"); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := h.actions(id), []string{"UserCreated", "LoginSucceed", "UserModified", "UserModified", "UserModified"}; !slices.Equal(got, want) {
		t.Errorf("the trail has %v", got)
	}
	u, err := p.User(ctx, "ada@example.org")
	want := hooks.User{
		UserID: id, LoginIDs: []string{"ada@example.org"}, Email: "ada@example.org", Status: "disabled", Roles: []string{"proofed"},
		Attributes: map[string]any{"kosmosIdvStatus": "verified", "kosmosScore": 3.0, "kosmosOk": true},
	}
	if err != nil || !reflect.DeepEqual(u, want) {
		t.Errorf("%+v %v", u, err)
	}
	for range 2 {
		if err := p.RemoveRoles(ctx, id, []string{"proofed", "x"}); err != nil {
			t.Error(err)
		}
		if err := p.PatchAttributes(ctx, id, map[string]any{"kosmosIdvStatus": nil}); err != nil {
			t.Error(err)
		}
	}
	if u, err := p.User(ctx, id); err != nil || len(u.Roles) != 0 || len(u.Attributes) != 2 || len(h.actions(id)) != 7 {
		t.Errorf("%+v %v, %v", u, err, h.actions(id))
	}
	// Somebody deletes an attribute behind our back.
	if err := h.accounts.DropAttributes(ctx, []string{"kosmosScore"}); err != nil {
		t.Fatal(err)
	}
	if err := p.PatchAttributes(ctx, id, map[string]any{"kosmosScore": 4}); err != nil {
		t.Error(err)
	}
	// One that is of another type is refused, for good.
	if err := p.PatchAttributes(ctx, id, map[string]any{"kosmosScore": "four"}); proof.ReasonOf(err) != proof.ReasonDescopeRefused {
		t.Errorf("another type: %v", err)
	}
	for what, run := range map[string]func() error{
		"attributes": func() error { return p.PatchAttributes(ctx, "nobody", map[string]any{"a": "b"}) },
		"status":     func() error { return p.SetStatus(ctx, "nobody", "disabled") },
		"add":        func() error { return p.AddRoles(ctx, "nobody", []string{"a"}) },
		"remove":     func() error { return p.RemoveRoles(ctx, "nobody", []string{"a"}) },
		"logout":     func() error { return p.Logout(ctx, "nobody") },
	} {
		if err := run(); !errors.Is(err, proof.ErrNotFound) {
			t.Errorf("%s: %v", what, err)
		}
	}
}

// The trail in door C's words, and an entry of ours in it.
func TestClientTrail(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, ctx := h.client(), t.Context()
	p := c.Hooks()
	before := h.now().Add(-time.Minute)
	i := h.signIn("ada@example.org", project.Grant{AMR: []string{"email"}, Browser: browser})
	entry := hooks.AuditEvent{Action: "KosmosIdvCompleted", UserID: i.User.UserID, ActorID: "kosmoscope", TenantID: "T1", Data: map[string]any{"work": "w1", "n": 1}}
	if err := p.AuditEvent(ctx, entry); err != nil {
		t.Fatal(err)
	}
	told, more, err := p.AuditSince(ctx, before, time.Time{}, 0)
	if err != nil || more || len(told) != 3 {
		t.Fatalf("%+v %t %v", told, more, err)
	}
	for n := range told {
		if told[n].OccurredAt.Before(before) || told[n].OccurredAt.Location() != time.UTC || n > 0 && told[n].OccurredAt.Before(told[n-1].OccurredAt) {
			t.Errorf("%v", told[n].OccurredAt)
		}
		told[n].OccurredAt = time.Time{}
	}
	login := []string{"ada@example.org"}
	want := []hooks.Told{
		{Action: "UserCreated", Content: hooks.Content{UserID: i.User.UserID, ActorID: i.User.UserID, LoginIDs: login, Type: "info"}},
		{Action: "LoginSucceed", Content: hooks.Content{
			UserID: i.User.UserID, ActorID: i.User.UserID, LoginIDs: login, Type: "info", Method: "otp", Device: "Desktop", Geo: "DE", RemoteAddress: "78.55.20.10",
		}},
		{Action: "KosmosIdvCompleted", Content: hooks.Content{
			UserID: i.User.UserID, ActorID: "kosmoscope", LoginIDs: login, Type: "info", Tenants: []string{"T1"}, Data: map[string]any{"work": "w1", "n": 1.0},
		}},
	}
	if !reflect.DeepEqual(told, want) {
		t.Errorf("told %+v\nwant %+v", told, want)
	}
	for what, s := range map[string]descope.AuditSearch{
		"action": {Actions: []string{"KosmosIdvCompleted"}}, "not these": {ExcludedActions: []string{"UserCreated", "LoginSucceed"}},
		"user and actor": {UserIDs: []string{i.User.UserID}, ActorIDs: []string{"kosmoscope"}}, "tenant": {Tenants: []string{"T1"}},
		"text, login and type": {Text: "kosmosidv", LoginIDs: login, Types: []string{"info"}}, "page": {Size: 1},
	} {
		s.From = before
		events, more, err := c.SearchAudit(ctx, s)
		if err != nil || len(events) != 1 || events[0].Data["work"] != "w1" || more != (s.Size == 1) {
			t.Errorf("%s: %+v %t %v", what, events, more, err)
		}
	}
	s := descope.AuditSearch{From: before, NoTenants: true, Methods: []string{"otp"}, Geos: []string{"DE"}, Devices: []string{"Desktop"}, RemoteAddresses: []string{"78.55.20.10"}, To: h.now().Add(time.Hour)}
	if events, _, err := c.SearchAudit(ctx, s); err != nil || len(events) != 1 || events[0].Action != "LoginSucceed" {
		t.Errorf("%+v %v", events, err)
	}
}

// Flows go out and in to the last key that the local Descope keeps.
func TestClientFlows(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, ctx := h.client(), t.Context()
	doc, err := c.ExportFlow(ctx, "sign-in")
	if err != nil {
		t.Fatal(err)
	}
	var f map[string]any
	if err := json.Unmarshal(doc, &f); err != nil {
		t.Fatal(err)
	}
	f["flowId"] = "copy"
	copied, err := json.Marshal(f)
	if err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := c.ImportFlow(ctx, copied); err != nil {
			t.Fatal(err)
		}
	}
	list, err := c.Flows(ctx)
	if err != nil || len(list) != 3 || list[0].ID != "copy" || list[2].ID != "sign-in" || list[0].Disabled {
		t.Errorf("%+v %v", list, err)
	}
	if again, err := c.ExportFlow(ctx, "copy"); err != nil || len(again) == 0 {
		t.Errorf("%s %v", again, err)
	}
	if _, err := c.ExportFlow(ctx, "nothing"); proof.ReasonOf(err) != proof.ReasonDescopeRefused || errors.Is(err, proof.ErrNotFound) {
		t.Errorf("%v", err)
	}
	if err := c.ImportFlow(ctx, json.RawMessage(`{"flowId":"bad"}`)); proof.ReasonOf(err) != proof.ReasonDescopeRefused {
		t.Errorf("%v", err)
	}
}

// A management flow, waited for and not.
func TestClientRunsFlows(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	c, ctx := h.client(), t.Context()
	input := map[string]any{"login_id": "ada@example.org"}
	if out, err := c.RunFlow(ctx, "mail", input); err != nil || !reflect.DeepEqual(out, map[string]any{"to": "ada@example.org"}) {
		t.Errorf("%v %v", out, err)
	}
	asked, answer := make(chan struct{}, 100), make(chan error)
	end := sync.OnceFunc(func() { close(answer) })
	defer end()
	h.mailer.Answer = func(int, runner.Call) (any, error) {
		asked <- struct{}{}
		return map[string]any{}, <-answer
	}
	ids := map[string]bool{}
	for _, fails := range []error{nil, &runner.ConnectorError{Name: flow.RequestError}} {
		id, err := c.StartFlow(ctx, "mail", input)
		if err != nil || ids[id] {
			t.Fatalf("%q %v", id, err)
		}
		ids[id] = true
		<-asked
		if out, done, err := c.FlowResult(ctx, id); out != nil || done || err != nil {
			t.Errorf("while it runs: %v %t %v", out, done, err)
		}
		answer <- fails
		out, done, err := c.FlowResult(ctx, id)
		for range 1000 { // the local Descope notes it some microseconds later
			if done || err != nil {
				break
			}
			out, done, err = c.FlowResult(ctx, id)
		}
		if fails == nil && (err != nil || !reflect.DeepEqual(out, map[string]any{"to": "ada@example.org"})) {
			t.Errorf("%v %t %v", out, done, err)
		}
		if fails != nil && proof.ReasonOf(err) != proof.ReasonDescopeRefused {
			t.Errorf("a flow that failed: %v %t %v", out, done, err)
		}
		h.pass(time.Hour)
		if _, _, err := c.FlowResult(ctx, id); proof.ReasonOf(err) != proof.ReasonDescopeRefused {
			t.Errorf("an hour later: %v", err)
		}
	}
	for _, id := range []string{"sign-in", "nothing"} {
		if _, err := c.StartFlow(ctx, id, nil); proof.ReasonOf(err) != proof.ReasonDescopeRefused || !descope.NotDone(err) {
			t.Errorf("%s: %v", id, err)
		}
	}
	// More than the local Descope runs at once are asked to come again.
	for n := range 21 {
		status, out, header := h.call("POST", "/v1/mgmt/flow/async/run", projectID+":"+key, `{"flowId":"mail"}`)
		if n < 20 && status == 200 {
			<-asked
			continue
		}
		if n < 20 || status != 429 || out["errorCode"] != "E130429" || header.Get("Retry-After") == "" {
			t.Errorf("run %d: %d %v", n, status, out)
		}
	}
	end()
}
