package descope_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// sent is a request as a server sees it.
type sent struct {
	line string // method and path with query
	body map[string]any
}

// serving makes a client whose server notes what is sent and answers by method and path.
func serving(t *testing.T, answers func(line string) (status int, body string)) (*descope.Client, func() []sent) {
	t.Helper()
	var mu sync.Mutex
	var list []sent
	c := client(t, "https://api.example", &http.Client{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		s := sent{line: r.Method + " " + r.URL.RequestURI()}
		if r.Body != nil {
			if err := json.NewDecoder(r.Body).Decode(&s.body); err != nil && !errors.Is(err, io.EOF) {
				t.Error(err)
			}
		}
		mu.Lock()
		defer mu.Unlock()
		list = append(list, s)
		return answer(answers(s.line))
	})})
	return c, func() []sent {
		mu.Lock()
		defer mu.Unlock()
		return slices.Clone(list)
	}
}

func lines(list []sent) (out []string) {
	for _, s := range list {
		out = append(out, s.line)
	}
	return out
}

func TestUserOfEveryShape(t *testing.T) {
	t.Parallel()
	full := descope.User{
		UserID: "U1", LoginIDs: []string{login, "+15550100"}, Name: "Ada", GivenName: "A", MiddleName: "M", FamilyName: "L", Email: login, VerifiedEmail: true, Phone: "+15550100",
		Status: "invited", Roles: []string{"a"}, Tenants: []descope.UserTenant{{"T1", "One", []string{"b"}}}, Attributes: map[string]any{"n": 1.0, "l": []any{"x"}}, Test: true,
		Created: time.Unix(1_796_000_000, 0).UTC(), Modified: time.Unix(1_796_000_001, 0).UTC(),
	}
	for body, want := range map[string]descope.User{
		`{"user":{"userId":"U1","loginIds":["ada@example.com","+15550100"],"name":"Ada","givenName":"A","middleName":"M","familyName":"L","email":"ada@example.com",
			"verifiedEmail":true,"phone":"+15550100","verifiedPhone":false,"status":"invited","roleNames":["a"],"userTenants":[{"tenantId":"T1","tenantName":"One","roleNames":["b"]},{}],
			"customAttributes":{"n":1,"l":["x"]},"test":true,"createdTime":1796000000,"modifiedTime":"1796000001","TOTP":false,"OAuth":{},"new":[1]}}`: full,
		`{"user":{"userId":"U1","loginIds":null,"customAttributes":null,"userTenants":null,"createdTime":0}}`:                                     {UserID: "U1"},
		`{"user":{"userId":"U1","loginIds":"x","email":7,"verifiedEmail":"yes","roleNames":[7],"customAttributes":[],"createdTime":"yesterday"}}`: {UserID: "U1"},
		`{"user":{"userid":"U1","VerifiedEmail":true}}`: {UserID: "U1", VerifiedEmail: true},
	} {
		c, _ := serving(t, func(string) (int, string) { return 200, body })
		if u, err := c.User(t.Context(), login); err != nil || !reflect.DeepEqual(u, want) {
			t.Errorf("%s: %+v %v", body, u, err)
		}
	}
	c, list := serving(t, func(string) (int, string) { return 200, `{"user":{"userId":"U2"}}` })
	_, err := c.UserByID(t.Context(), "U1")
	is(t, err, proof.ReasonDescopeUnavailable)
	if u, err := c.UserByID(t.Context(), "U2"); err != nil || u.UserID != "U2" {
		t.Errorf("%+v %v", u, err)
	}
	_, _ = c.User(t.Context(), "a+b&userId=U3@example.com")
	if got := lines(list()); !slices.Equal(got, []string{"GET /v1/mgmt/user?userId=U1", "GET /v1/mgmt/user?userId=U2", "GET /v1/mgmt/user?loginId=a%2Bb%26userId%3DU3%40example.com"}) {
		t.Errorf("%v", got)
	}
}

// Only what changes is sent.
func TestPatchSendsWhatChanges(t *testing.T) {
	t.Parallel()
	name, no := "", false
	for _, c := range []struct {
		p    descope.Patch
		want map[string]any
	}{
		{descope.Patch{}, map[string]any{"loginId": login}},
		{descope.Patch{Name: &name, VerifiedEmail: &no}, map[string]any{"loginId": login, "name": "", "verifiedEmail": false}},
		{descope.Patch{Attributes: map[string]any{"a": nil, "b": 1}}, map[string]any{"loginId": login, "customAttributes": map[string]any{"a": nil, "b": 1.0}}},
	} {
		client, list := serving(t, func(string) (int, string) { return 200, someone })
		if _, err := client.PatchUser(t.Context(), login, c.p); err != nil {
			t.Fatal(err)
		}
		if got := list(); len(got) != 1 || got[0].line != "PATCH /v1/mgmt/user/patch" || !reflect.DeepEqual(got[0].body, c.want) {
			t.Errorf("%+v", got)
		}
	}
}

// What cannot be is not sent, and is an error for good.
func TestNotEvenSent(t *testing.T) {
	t.Parallel()
	c, list := serving(t, func(string) (int, string) { return 200, someone })
	ctx, long := t.Context(), strings.Repeat("x", 300)
	many := make([]string, 101)
	for i := range many {
		many[i] = "r"
	}
	attributes := map[string]any{}
	for i := range 101 {
		attributes[strings.Repeat("a", i+1)] = 1
	}
	for what, run := range map[string]func() error{
		"no login id":       func() error { _, err := c.User(ctx, ""); return err },
		"a long one":        func() error { return c.Logout(ctx, long) },
		"of two lines":      func() error { _, err := c.SetStatus(ctx, "a\nb", "enabled"); return err },
		"no UTF-8":          func() error { _, err := c.UserByID(ctx, "\xff"); return err },
		"a status":          func() error { _, err := c.SetStatus(ctx, login, "invited"); return err },
		"no roles":          func() error { _, err := c.AddRoles(ctx, login, nil); return err },
		"none to remove":    func() error { _, err := c.RemoveRoles(ctx, login, nil); return err },
		"many roles":        func() error { _, err := c.SetRoles(ctx, login, many); return err },
		"an empty role":     func() error { _, err := c.SetRoles(ctx, login, []string{""}); return err },
		"many attributes":   func() error { _, err := c.PatchUser(ctx, login, descope.Patch{Attributes: attributes}); return err },
		"no name":           func() error { _, err := c.SetAttribute(ctx, login, "", 1); return err },
		"an object":         func() error { _, err := c.SetAttribute(ctx, login, "a", map[string]any{}); return err },
		"a list of numbers": func() error { _, err := c.SetAttribute(ctx, login, "a", []any{1}); return err },
		"no JSON":           func() error { _, err := c.RunFlow(ctx, "f", map[string]any{"a": func() {}}); return err },
		"a long input": func() error {
			_, err := c.StartFlow(ctx, "f", map[string]any{"a": strings.Repeat("x", 70<<10)})
			return err
		},
		"no flow":        func() error { _, err := c.StartFlow(ctx, "", nil); return err },
		"a flow of text": func() error { return c.ImportFlow(ctx, json.RawMessage(`"x"`)) },
		"half a flow":    func() error { return c.ImportFlow(ctx, json.RawMessage(`{`)) },
		"a huge flow":    func() error { return c.ImportFlow(ctx, json.RawMessage(`{"x":"`+strings.Repeat("x", 4<<20)+`"}`)) },
		"no execution":   func() error { _, _, err := c.FlowResult(ctx, ""); return err },
		"no token":       func() error { _, err := c.UpdateJWT(ctx, "x", map[string]any{"a": 1}); return err },
		"no claims":      func() error { _, err := c.UpdateJWT(ctx, token, nil); return err },
		"no action":      func() error { return c.AddAudit(ctx, descope.NewAudit{}) },
		"a loud entry":   func() error { return c.AddAudit(ctx, descope.NewAudit{Action: "A", Type: "loud"}) },
		"a long entry": func() error {
			return c.AddAudit(ctx, descope.NewAudit{Action: "A", Data: map[string]any{"a": strings.Repeat("x", 9<<10)}})
		},
		"a page below zero": func() error { _, _, err := c.SearchUsers(ctx, descope.UserSearch{Page: -1}); return err },
		"a large page":      func() error { _, _, err := c.SearchAudit(ctx, descope.AuditSearch{Size: 501}); return err },
		"an odd type":       func() error { _, err := c.EnsureAttributes(ctx, []descope.Attribute{{Name: "a", Type: 8}}); return err },
	} {
		if err := run(); !descope.NotDone(is(t, err, proof.ReasonDescopeRefused)) {
			t.Errorf("%s: %v", what, err)
		}
	}
	if got := list(); len(got) != 0 {
		t.Errorf("sent %v", lines(got))
	}
}

const (
	readAttributes = "GET /v1/mgmt/user/customattributes"
	makeAttributes = "POST /v1/mgmt/user/customattribute/create"
)

var two = []descope.Attribute{{Name: "a", DisplayName: "A", Type: descope.TypeText}, {Name: "b", DisplayName: "B", Type: descope.TypeNumber}}

func TestEnsureAttributes(t *testing.T) {
	t.Parallel()
	c, list := serving(t, func(line string) (int, string) {
		return 200, `{"data":[{"name":"a","type":6,"displayName":"x"},{"name":7}],"total":2}`
	})
	var wg sync.WaitGroup
	var mu sync.Mutex
	var created []string
	for range 20 { // one does it for all
		wg.Go(func() {
			names, err := c.EnsureAttributes(t.Context(), append(two, two...))
			if err != nil {
				t.Error(err)
			}
			mu.Lock()
			defer mu.Unlock()
			created = append(created, names...)
		})
	}
	wg.Wait()
	if got := list(); !slices.Equal(created, []string{"b"}) || !slices.Equal(lines(got), []string{readAttributes, makeAttributes}) ||
		!reflect.DeepEqual(got[1].body, map[string]any{"attributes": []any{map[string]any{"name": "b", "displayName": "B", "type": 2.0}}}) {
		t.Errorf("created %v by %+v", created, got)
	}
}

// Somebody else made them at the same time, or the answer was lost on its way.
func TestEnsureAttributesReadsBack(t *testing.T) {
	t.Parallel()
	for _, status := range []int{400, 500, 503} {
		made := false
		c, list := serving(t, func(line string) (int, string) {
			switch {
			case line == makeAttributes:
				made = true
				return status, `{"errorCode":"E011003"}`
			case made:
				return 200, `{"data":[{"name":"a"},{"name":"b"}]}`
			}
			return 200, `{"data":[{"name":"a"}]}`
		})
		created, err := c.EnsureAttributes(t.Context(), two)
		if err != nil || len(created) != 0 || !slices.Equal(lines(list()), []string{readAttributes, makeAttributes, readAttributes}) {
			t.Errorf("%d: %v %v by %v", status, created, err, lines(list()))
		}
	}
	c, _ := serving(t, func(line string) (int, string) { // and here nobody did
		if line == makeAttributes {
			return 400, `{"errorCode":"E011003"}`
		}
		return 200, `{"data":null}`
	})
	_, err := c.EnsureAttributes(t.Context(), two)
	is(t, err, proof.ReasonDescopeRefused)
}

// A list cannot be defined by its value, so its attribute must be there.
func TestHooksPatch(t *testing.T) {
	t.Parallel()
	c, list := serving(t, func(line string) (int, string) {
		switch line {
		case readAttributes:
			return 200, `{"data":[]}`
		case makeAttributes:
			return 200, `{"data":[]}`
		case "PATCH /v1/mgmt/user/patch":
			return 200, someone
		}
		return 200, `{"user":{"userId":"U1","customAttributes":{"same":"x","n":3,"l":["a"],"gone":"y"}}}`
	})
	err := c.Hooks().PatchAttributes(t.Context(), login, map[string]any{
		"same": "x", "n": 3, "l": []string{"a"}, "never": nil, // as it is
		"gone": nil, "new": 1.5, "more": []string{"b"}, "flag": false,
	})
	got := list()
	if err != nil || len(got) != 4 {
		t.Fatalf("%v %v", err, lines(got))
	}
	if want := map[string]any{"loginId": login, "customAttributes": map[string]any{"gone": nil, "new": 1.5, "more": []any{"b"}, "flag": false}}; !reflect.DeepEqual(got[3].body, want) {
		t.Errorf("%v", got[3].body)
	}
	want := map[string]any{"attributes": []any{
		map[string]any{"name": "flag", "displayName": "flag", "type": 3.0}, map[string]any{"name": "new", "displayName": "new", "type": 2.0},
	}}
	if !reflect.DeepEqual(got[2].body, want) {
		t.Errorf("%v", got[2].body)
	}
}

// A value that is refused stays refused, and nothing is tried for ever.
func TestHooksPatchRefused(t *testing.T) {
	t.Parallel()
	c, list := serving(t, func(line string) (int, string) {
		switch line {
		case readAttributes:
			return 200, `{"data":[{"name":"a"}]}`
		case "PATCH /v1/mgmt/user/patch":
			return 400, `{"errorCode":"E011003"}`
		}
		return 200, someone
	})
	is(t, c.Hooks().PatchAttributes(t.Context(), login, map[string]any{"a": "x"}), proof.ReasonDescopeRefused)
	if n := len(list()); n != 4 {
		t.Errorf("%v", lines(list()))
	}
}

func TestHooksRunFlow(t *testing.T) {
	t.Parallel()
	c, list := serving(t, func(string) (int, string) { return 200, `{"executionId":"e1"}` })
	var p hooks.Project = c.Hooks()
	if err := p.RunFlow(t.Context(), "mail", map[string]any{"session_url": "https://x.example/"}); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"flowId": "mail", "options": map[string]any{"input": map[string]any{"session_url": "https://x.example/"}}}
	if got := list(); len(got) != 1 || got[0].line != "POST /v1/mgmt/flow/async/run" || !reflect.DeepEqual(got[0].body, want) {
		t.Errorf("%+v", got)
	}
	c, _ = serving(t, func(string) (int, string) { return 200, `{}` })
	if err := c.Hooks().RunFlow(t.Context(), "mail", nil); descope.NotDone(is(t, err, proof.ReasonDescopeUnavailable)) {
		t.Errorf("without an execution: %v", err)
	}
}

// FuzzAnswers reads users and events from whatever comes.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{someone, `{"audits":[{"occurred":"1","data":{"a":[1]},"externalIds":["x"]}]}`, `null`, `[]`, `{"user":{"UserID":1,"userId":"x"}}`, `{"audits":[null,7]}`} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		c, _ := serving(t, func(string) (int, string) { return 200, s })
		if u, err := c.User(t.Context(), login); (err == nil) != (u.UserID != "") {
			t.Errorf("%+v %v", u, err)
		}
		told, _, err := c.Hooks().AuditSince(t.Context(), day, day, 0)
		if err != nil && len(told) > 0 {
			t.Errorf("%+v %v", told, err)
		}
		for _, e := range told {
			if e.Content.Subject != "" || e.Content.Object != "" || len(e.Content.Data) == 0 && e.Content.Data != nil {
				t.Errorf("%+v", e)
			}
		}
	})
}
