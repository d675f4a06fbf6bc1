package policy_test

import (
	"reflect"
	"slices"
	"strings"
	"testing"

	"cel.dev/cel-go/cel"

	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

func TestLanguage(t *testing.T) {
	t.Parallel()
	l, err := policy.NewLanguage([]policy.Declared{
		{Name: "a.text", Type: cel.StringType}, {Name: "a.number", Type: cel.IntType}, {Name: "a.list", Type: cel.ListType(cel.StringType)},
		{Name: "a.data", Type: cel.MapType(cel.StringType, cel.DynType)}, {Name: "a.none", Type: cel.StringType}, {Name: "a.long", Type: cel.StringType},
	}, "docs/x.md", "document")
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]any{
		"a.text": "x", "a.number": 3, "a.list": []string{"p", "q"}, "a.data": map[string]any{"n": 1.5, "deep": map[string]any{"s": "t"}, "l": []any{"u"}},
		"a.long": strings.Repeat("x", 5000),
	}
	get := func(name string) (any, bool) { v, ok := values[name]; return v, ok }
	for _, tc := range []struct {
		text      string
		condition bool
		want      any    // nil: an error
		code      string // of what cannot be compiled
	}{
		{text: `a.text`, want: "x"},
		{text: `a.number + 1`, want: int64(4)},
		{text: `a.number * 1.5 > 1.0 ? 0.5 : 1.5`, code: "expression_invalid"}, // numbers do not mix
		{text: `a.list`, want: []string{"p", "q"}},
		{text: `a.data.n`, want: 1.5},
		{text: `a.data.deep.s`, want: "t"},
		{text: `a.data.l`, want: []string{"u"}},
		{text: `a.data.deep`},
		{text: `a.data.missing`},
		{text: `a.data.n > 1`, condition: true, want: true},
		{text: `a.none == "x"`, condition: true},
		{text: `a.none == "x" || a.text == "x"`, condition: true, want: true},
		{text: `a.none == "x" && a.text == "y"`, condition: true, want: false},
		{text: `has(a.none)`, condition: true, want: false},
		{text: `has(a.text)`, condition: true, want: true},
		{text: `has(b.text)`, condition: true, code: "expression_invalid"},
		{text: `a.long != ""`, condition: true}, // longer than what is read
		{text: `1 / (a.number - 3) == 1`, condition: true},
		{text: `a.text`, condition: true, code: "expression_not_bool"},
		{text: `a.data`, code: "expression_type"},
		{text: `a.text.matches(a.text)`, condition: true, code: "expression_invalid"},
		{text: `a.list.all(x, a.list.all(y, a.list.all(z, x + y + z != "")))`, condition: true, code: "expression_cost"},
		{text: `"` + strings.Repeat("x", policy.MaxExpression) + `"`, code: "expression_too_long"},
		{text: `type(a.text) == string`, condition: true, code: "expression_invalid"},
	} {
		e, code, message := l.Compile(tc.text, tc.condition)
		if code != tc.code || (code != "") != (message != "") {
			t.Errorf("%.60s: %q %q, want %q", tc.text, code, message, tc.code)
		}
		if code != "" || tc.code != "" {
			continue
		}
		got, err := e.Eval(get)
		if (err == nil) != (tc.want != nil) || err == nil && !reflect.DeepEqual(got, tc.want) {
			t.Errorf("%.60s gives %#v, %v, want %#v", tc.text, got, err, tc.want)
		}
		if err != nil && strings.Contains(err.Error(), "xxx") {
			t.Errorf("%.60s: the error quotes a value", tc.text)
		}
	}
	e, _, _ := l.Compile(`has(a.none) || a.text == "x"`, true)
	if !slices.Equal(e.Names(), []string{"a.none", "a.text"}) {
		t.Errorf("names %v", e.Names())
	}
	if _, _, message := l.Compile(`a == "x"`, true); !strings.Contains(message, "a.data, a.list") {
		t.Errorf("says %q, which names nothing that is known", message)
	}
	if _, _, message := l.Compile(`c == "x"`, true); !strings.Contains(message, "docs/x.md") {
		t.Errorf("says %q, which does not say where to look", message)
	}
}
