package runner_test

import (
	"context"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// missing is a key that is not there.
type missing struct{}

// TestOperators is the meaning of every operator, with what it makes of other types
// and of keys that are not there. The source is the evaluator in Descope's published
// web component; see operators.
func TestOperators(t *testing.T) {
	list := func(items ...any) []any { return append([]any{}, items...) }
	none := missing{}
	for _, c := range []struct {
		operator          string
		target, predicate any
		want              bool
	}{
		{"equal", "a", "a", true}, {"equal", "a", "A", false}, {"equal", 1.0, "1", true}, {"equal", true, "true", true}, {"equal", none, "", true},
		{"equal", nil, "", true}, {"equal", none, "x", false}, {"equal", 0.0, "", false}, {"equal", false, "", false}, {"equal", list("a", "b"), "a,b", true},
		{"equal", list("a"), list("a"), true}, {"equal", map[string]any{"a": 1.0}, map[string]any{"a": 2.0}, false}, {"equal", 1e21, 1e21, true},
		{"not-equal", "a", "b", true}, {"not-equal", "a", "a", false}, {"not-equal", 1.0, "1", false}, {"not-equal", none, "x", true}, {"not-equal", none, "", false},
		{"contains", "abc", "b", true}, {"contains", "abc", "x", false}, {"contains", list("a", "b"), "b", true}, {"contains", list("ab"), "a", false},
		{"contains", list(1.0), "1", false}, {"contains", none, "a", false}, {"contains", 12.0, "1", false}, {"contains", "a1", 1.0, true}, {"contains", list(), "a", false},
		{"doesnt-contains", "abc", "b", false}, {"doesnt-contains", "abc", "x", true}, {"doesnt-contains", list("a"), "b", true}, {"doesnt-contains", list("a"), "a", false},
		{"doesnt-contains", list(), "a", true}, {"doesnt-contains", none, "a", false}, {"doesnt-contains", 12.0, "x", false},
		{"greater-than", 2.0, 1.0, true}, {"greater-than", "2", 1.0, true}, {"greater-than", "10", "9", true}, {"greater-than", 1.0, 1.0, false},
		{"greater-than", none, 0.0, false}, {"greater-than", "", -1.0, false}, {"greater-than", "x", 0.0, false}, {"greater-than", true, 0.0, true}, {"greater-than", 1.0, none, false},
		{"greater-than-or-equal", 1.0, 1.0, true}, {"greater-than-or-equal", 0.5, 1.0, false}, {"greater-than-or-equal", none, 0.0, false},
		{"less-than", 1.0, 2.0, true}, {"less-than", 2.0, 2.0, false}, {"less-than", none, 1.0, false}, {"less-than", nil, 1.0, false}, {"less-than", list(), 1.0, false},
		{"less-than-or-equal", 2.0, 2.0, true}, {"less-than-or-equal", "3", 2.0, false}, {"less-than-or-equal", none, 9.0, false}, {"less-than", "NaN", 1.0, false},
		{"empty", none, nil, true}, {"empty", nil, nil, true}, {"empty", "", nil, true}, {"empty", list(), nil, true}, {"empty", map[string]any{}, nil, true},
		{"empty", " ", nil, false}, {"empty", 0.0, nil, false}, {"empty", false, nil, false}, {"empty", list(""), nil, false},
		{"not-empty", none, nil, false}, {"not-empty", "x", nil, true}, {"not-empty", false, nil, true}, {"not-empty", list(), nil, false},
		{"is-true", true, nil, true}, {"is-true", "true", nil, true}, {"is-true", "TRUE", nil, false}, {"is-true", 1.0, nil, true}, {"is-true", none, nil, false},
		{"is-true", "yes", nil, false}, {"is-true", false, nil, false}, {"is-true", list(true), nil, false},
		{"is-false", false, nil, true}, {"is-false", "false", nil, true}, {"is-false", 0.0, nil, true}, {"is-false", none, nil, false}, {"is-false", nil, nil, false},
		{"is-false", "", nil, false}, {"is-false", "no", nil, false}, {"is-false", true, nil, false},
		{"in", "a", list("a", "b"), true}, {"in", "c", list("a"), false}, {"in", "a", "a,b", true}, {"in", " b", "a, b", true}, {"in", "b", "a, b", false},
		{"in", 1.0, list(1.0), true}, {"in", 1.0, "1", false}, {"in", none, list("a"), false}, {"in", "a", 5.0, false}, {"in", "a", none, false},
		{"not-in", "c", list("a"), true}, {"not-in", "a", list("a"), false}, {"not-in", "a", none, false}, {"not-in", "a", 5.0, false}, {"not-in", none, list("a"), true},
		{"matches", "192.0.2.7", `^192\.0\.2\.`, true}, {"matches", "10.0.0.1", `^192\.`, false}, {"matches", "xay", "a", true}, {"matches", 5.0, "5", false},
		{"matches", none, ".*", false}, {"matches", "a", "{{client.p}}", true},
	} {
		t.Run(fmt.Sprintf("%v %s %v", c.target, c.operator, c.predicate), func(t *testing.T) {
			client := map[string]any{"p": "a"}
			if c.target != none {
				client["t"] = c.target
			}
			cond := rt.To(rt.If("1", "client.t", c.operator, c.predicate), "yes", "2", "ELSE", "3")
			if c.predicate == none {
				cond.Conditions[0].Atomic[0].Predicate = &flow.Value{Type: flow.FromContext, Value: "client.none"}
			}
			s := newStage(t, nil, rt.Flow("op", cond, rt.Screen("2"), rt.Screen("3")))
			q := runner.StartRequest{FlowID: "op"}
			q.Options.Client = client
			resp, err := s.Start(context.Background(), q, s.browser)
			if err != nil {
				t.Fatal(err)
			}
			if got := resp.Screen.ID == "SC2"; got != c.want {
				t.Errorf("got %v", got)
			}
		})
	}
}

func TestBranches(t *testing.T) {
	atom := func(key, operator string) flow.Atomic {
		return flow.Atomic{Operator: operator, Target: flow.Value{Type: flow.FromContext, Value: key}}
	}
	cond := &flow.Task{ID: "1", Type: flow.TypeCondition, Conditions: []flow.Branch{
		{InteractionID: "nothing"}, // compares nothing: not an "else"
		{InteractionID: "both", Atomic: []flow.Atomic{atom("client.a", "is-true"), atom("client.b", "is-true")}},
		{InteractionID: "same", Atomic: []flow.Atomic{{
			Operator: "equal", Target: flow.Value{Type: flow.FromContext, Value: "client.a"}, Predicate: &flow.Value{Type: flow.FromContext, Value: "client.c"},
		}}},
		{InteractionID: "a", Atomic: []flow.Atomic{atom("client.a", "is-true")}},
		{InteractionID: "ELSE"},
	}}
	rt.To(cond, "nothing", "9", "both", "2", "same", "3", "a", "4", "ELSE", "5")
	s := newStage(t, nil, rt.Flow("br", cond, rt.Screen("2"), rt.Screen("3"), rt.Screen("4"), rt.Screen("5"), rt.Screen("9")))
	for want, client := range map[string]any{
		"SC2": map[string]any{"a": true, "b": true}, "SC3": map[string]any{"a": "x", "c": "x"}, "SC4": map[string]any{"a": true},
		"SC5": map[string]any{"b": true, "c": "y"},
	} {
		q := runner.StartRequest{FlowID: "br"}
		q.Options.Client = client
		resp, err := s.Start(context.Background(), q, s.browser)
		if err != nil || resp.Screen.ID != want {
			t.Errorf("%v: %+v, %v; want %s", client, resp, err, want)
		}
	}
	// Without client data both keys are missing, and the same.
	if resp := s.start("br"); resp.Screen.ID != "SC3" {
		t.Error(resp.Screen.ID)
	}
}

// FuzzTemplates: whatever a template and its values are, what a connector is sent is
// JSON, and a value is never itself taken for a template.
func FuzzTemplates(f *testing.F) {
	for _, s := range []string{"", "{{client.v}}", "a {{client.v}} b", "{{", "}}", "{{}}", "{{client.v", "{{{{client.v}}}}", "{{client.v.0.a}}", "{{.}}", "{{client..v}}", "{{ client.v }}{{client.v}}"} {
		f.Add(s, `"{{client.secret}}"`)
		f.Add(s, `[1,{"a":null}]`)
	}
	f.Fuzz(func(t *testing.T, text, value string) {
		var v any
		if !utf8.ValidString(text) || json.Unmarshal([]byte(value), &v) != nil {
			t.Skip()
		}
		s := newStage(t, nil, rt.Flow("f", rt.To(rt.Call("1", "k", map[string]any{"x": text, "y": "{{client.v}}"}), "success", "2"), rt.Screen("2")))
		q := runner.StartRequest{FlowID: "f"}
		q.Options.Client = map[string]any{"v": v, "secret": "s3cr3t-value"}
		if _, err := s.Start(context.Background(), q, s.browser); err != nil {
			t.Fatal(err)
		}
		payload := s.connectors.Calls[0].Args["payload"].(map[string]any)
		if !reflect.DeepEqual(payload["y"], v) {
			t.Errorf("one template: got %#v, want %#v", payload["y"], v)
		}
		b, err := json.Marshal(payload)
		if err != nil {
			t.Fatal(err)
		}
		if strings.Contains(string(b), "s3cr3t") && !strings.Contains(text, "client") {
			t.Errorf("%q took a value for a template: %s", text, b)
		}
		if !strings.Contains(text, "{{") && payload["x"] != any(text) {
			t.Errorf("%q became %q", text, payload["x"])
		}
	})
}
