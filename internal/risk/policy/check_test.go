package policy_test

import (
	"encoding/json"
	"flag"
	"fmt"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

var update = flag.Bool("update", false, "write the golden files anew")

const head = `{"format":1,"name":"n","otherwise":"allow",`

// small is a policy of one signal and one rule, with parts put in.
func small(nodes, edges string) string {
	return head + `"nodes":[{"id":"s","type":"signal","signal":"alpha","x":0,"y":0},{"id":"r","type":"decide","decision":"step_up","x":0,"y":0}` + nodes +
		`],"edges":[{"from":"s","to":"r"}` + edges + `]}`
}

func node(rest string) string { return small(`,{"id":"n",`+rest+`}`, `,{"from":"s","to":"n"}`) }

func expression(text string) string {
	b, _ := json.Marshal(text)
	return head + `"nodes":[{"id":"e","type":"expression","expression":` + string(b) + `},{"id":"r","type":"decide","decision":"step_up"}],"edges":[{"from":"e","to":"r"}]}`
}

var badDocuments = []struct{ name, doc string }{
	{"empty", ``}, {"null", `null`}, {"list", `[]`}, {"cut off", `{"format":1`}, {"nothing", `{}`}, {"trailing", small("", "") + `{}`},
	{"not UTF-8", "{\"name\":\"\xff\"}"}, {"deep", `{"nodes":` + strings.Repeat("[", 50) + strings.Repeat("]", 50) + `}`},
	{"unknown fields", head + `"nodes":[{"id":"s","kind":"signal"},{"ID":"t"}],"edges":[{"from":"a","to":"b","label":"x"}],"version":3}`},
	{"twice", head + `"name":"m","nodes":[{"id":"s","id":"t"}],"edges":[]}`},
	{"wrong types", `{"format":"1","name":5,"otherwise":true,"nodes":[{"id":7},{"id":"n","weight":"much"},3],"edges":[[]]}`},
	{"no list", `{"nodes":{},"edges":"none"}`},
	{"huge number", node(`"type":"weight","weight":1e999`)}, {"NaN", node(`"type":"weight","weight":NaN`)},
	{"huge parameter", small(`,{"id":"n","type":"signal","signal":"beta","params":{"flip":1e999}}`, `,{"from":"n","to":"r"}`)},
	{"newer format", strings.Replace(small("", ""), `"format":1`, `"format":2`, 1)}, {"no format", strings.Replace(small("", ""), `"format":1,`, ``, 1)},
	{"otherwise deny", strings.Replace(small("", ""), `"otherwise":"allow"`, `"otherwise":"deny"`, 1)},
	{"no rule", head + `"nodes":[{"id":"s","type":"signal","signal":"alpha"}],"edges":[]}`},
	{"no signal", head + `"nodes":[{"id":"r","type":"decide","decision":"deny"}],"edges":[]}`},
	{"cycle", small(`,{"id":"a","type":"condition","op":"any"},{"id":"b","type":"condition","op":"all"},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"a","to":"b"},{"from":"b","to":"a"},{"from":"s","to":"a"},{"from":"b","to":"q"}`)},
	{"self", small(`,{"id":"a","type":"condition","op":"any"},{"id":"q","type":"decide","decision":"deny"}`, `,{"from":"a","to":"a"},{"from":"s","to":"a"},{"from":"a","to":"q"}`)},
	{"leads nowhere", small(`,{"id":"t","type":"signal","signal":"beta"},{"id":"a","type":"condition","op":"not"}`, `,{"from":"t","to":"a"}`)},
	{"no input", small(`,{"id":"q","type":"decide","decision":"deny"},{"id":"w","type":"weight","weight":1},{"id":"c","type":"combine","how":"sum"}`, ``)},
	{"too many inputs", small(`,{"id":"t","type":"signal","signal":"beta"}`, `,{"from":"t","to":"r"}`)},
	{"truth into combine", small(`,{"id":"c","type":"combine","how":"max"},{"id":"l","type":"condition","op":"at_least","value":5},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"s","to":"c"},{"from":"c","to":"l"},{"from":"l","to":"q"}`)},
	{"number into decide", small(`,{"id":"w","type":"weight"},{"id":"q","type":"decide","decision":"deny"}`, `,{"from":"s","to":"w"},{"from":"w","to":"q"}`)},
	{"condition into at least", small(`,{"id":"a","type":"condition","op":"any"},{"id":"l","type":"condition","op":"at_least","value":5},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"s","to":"a"},{"from":"a","to":"l"},{"from":"l","to":"q"}`)},
	{"out of decide, into signal", small(`,{"id":"q","type":"decide","decision":"deny"}`, `,{"from":"r","to":"q"},{"from":"s","to":"s"}`)},
	{"unknown names", small(`,{"id":"t","type":"signal","signal":"omega"},{"id":"o","type":"condition","op":"xor"},{"id":"h","type":"combine","how":"median"},{"id":"f","type":"future"},{"id":"d","type":"decide","decision":"captcha"}`,
		`,{"from":"t","to":"o"},{"from":"o","to":"d"}`)},
	{"bad edges", small("", `,{"from":"s","to":"r"},{"from":"s","to":"gone"},{"from":"gone","to":"r"}`)},
	{"bad ids", small(`,{"id":"s","type":"signal","signal":"beta"},{"id":"Big","type":"signal","signal":"beta"},{"type":"signal","signal":"beta"}`, ``)},
	{"bad parameters", small(`,{"id":"t","type":"signal","signal":"beta","params":{"flip":7},"unknown":"maybe"},{"id":"u","type":"signal","signal":"beta","params":{"flop":1}},{"id":"a","type":"condition","op":"any"},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"t","to":"a"},{"from":"u","to":"a"},{"from":"a","to":"q"}`)},
	{"bad values", small(`,{"id":"c","type":"condition","op":"count","value":1.5},{"id":"d","type":"condition","op":"count","value":3},{"id":"a","type":"condition","op":"any","value":1},{"id":"w","type":"weight","weight":1001},`+
		`{"id":"l","type":"condition","op":"at_least","value":0},{"id":"x","type":"combine","how":"sum"},{"id":"m","type":"condition","op":"at_least","value":101},{"id":"e","type":"condition","op":"at_least"},{"id":"v","type":"weight"},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"s","to":"c"},{"from":"s","to":"d"},{"from":"c","to":"a"},{"from":"d","to":"a"},{"from":"a","to":"w"},{"from":"w","to":"x"},{"from":"x","to":"l"},{"from":"x","to":"m"},{"from":"s","to":"e"},{"from":"a","to":"v"},{"from":"v","to":"x"},{"from":"l","to":"q"}`)},
	{"misplaced fields", small(`,{"id":"n","type":"condition","op":"any","weight":3,"signal":"alpha","decision":"allow","how":"sum","expression":"true","unknown":"raises"},{"id":"q","type":"decide","decision":"deny"}`,
		`,{"from":"s","to":"n"},{"from":"n","to":"q"}`)},
	{"long texts", strings.Replace(small(`,{"id":"`+strings.Repeat("a", 41)+`","type":"signal","label":"`+strings.Repeat("ä", 81)+`"}`, ""), `"name":"n"`, `"name":"a\u0007b"`, 1)},
	{"no name", strings.Replace(small("", ""), `"name":"n"`, `"name":" "`, 1)},

	{"expression empty", expression(" ")}, {"expression long", expression("login.hour > " + strings.Repeat(" ", 1000) + "3")},
	{"expression syntax", expression("login.hour >")}, {"expression unknown name", expression("login.colour == 'red'")}, {"expression unknown group", expression("user.name == 'x'")},
	{"expression unknown signal", expression("signals.omega == 'fired'")}, {"expression group", expression("login == 3")},
	{"expression number", expression("descope.score")}, {"expression types", expression("login.hour + descope.score > 1.0")}, {"expression mixed", expression("network.country == 3")},
	{"expression constant", expression("1 < 2")}, {"expression dyn", expression("dyn(login.hour) == 'x'")}, {"expression time", expression("timestamp('2026-01-01T00:00:00Z').getHours() == login.hour")},
	{"expression cost", expression("login.scopes.all(a, login.scopes.all(b, login.scopes.all(c, a + b != c)))")},
	{"expression pattern", expression("login.user_agent.matches(network.city)")}, {"expression bad pattern", expression("login.user_agent.matches('(')")},
	{"expression has", expression("has(login.colour)")}, {"expression nests", expression(strings.Repeat("(", 100) + "device.known" + strings.Repeat(")", 100))},
}

// TestBadDocuments: all problems of each, as a person reads them.
func TestBadDocuments(t *testing.T) {
	t.Parallel()
	c := &policy.Compiler{Signals: fake{}.signals()}
	var b strings.Builder
	for _, bad := range badDocuments {
		d, problems := policy.Parse([]byte(bad.doc))
		if (d == nil) != (len(problems) > 0) {
			t.Errorf("%s: a document and %d problems", bad.name, len(problems))
		}
		if d != nil {
			problems = c.Check(d)
			if _, err := c.Compile(d); err == nil {
				t.Errorf("%s compiles", bad.name)
			}
		}
		if len(problems) == 0 {
			t.Errorf("%s: no problem", bad.name)
		}
		fmt.Fprintf(&b, "%s\n", bad.name)
		for _, p := range problems {
			at := strings.TrimSpace(p.Node + " " + p.Field)
			if p.Edge != nil {
				at = p.Edge.From + "->" + p.Edge.To
			}
			fmt.Fprintf(&b, "  %s [%s] %s\n", p.Code, at, p.Message)
		}
	}
	golden(t, "problems.txt", b.String())
	if _, problems := policy.Parse([]byte(`{"name":"` + strings.Repeat("x", policy.MaxBytes) + `"}`)); len(problems) != 1 || problems[0].Code != "too_big" {
		t.Error(problems)
	}
}

func golden(t *testing.T, name, got string) {
	t.Helper()
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("%s differs (-update writes it anew); got\n%s", file, got)
	}
}

// TestNotFromJSON: what JSON cannot carry, and too much of everything.
func TestNotFromJSON(t *testing.T) {
	t.Parallel()
	c := &policy.Compiler{Signals: fake{}.signals()}
	codes := func(change func(d *policy.Document)) string {
		d, _ := policy.Parse([]byte(small(`,{"id":"w","type":"weight","weight":1},{"id":"l","type":"condition","op":"at_least","value":1},{"id":"q","type":"decide","decision":"deny"}`,
			`,{"from":"s","to":"w"},{"from":"w","to":"l"},{"from":"l","to":"q"}`)))
		if p := c.Check(d); len(p) > 0 {
			t.Fatal(p)
		}
		change(d)
		var codes []string
		for _, p := range c.Check(d) {
			codes = append(codes, p.Code)
		}
		return strings.Join(codes, " ")
	}
	nan, inf := math.NaN(), math.Inf(1)
	for want, change := range map[string]func(d *policy.Document){
		"bad_weight":            func(d *policy.Document) { d.Nodes[2].Weight = &nan },
		"bad_value":             func(d *policy.Document) { d.Nodes[3].Value = &inf },
		"bad_position":          func(d *policy.Document) { d.Nodes[0].Y = math.Inf(-1) },
		"bad_params":            func(d *policy.Document) { d.Nodes[0].Params = map[string]any{"flip": nan} },
		"too_many_nodes":        func(d *policy.Document) { d.Nodes = append(d.Nodes, make([]policy.Node, policy.MaxNodes)...) },
		"too_many_edges":        func(d *policy.Document) { d.Edges = append(d.Edges, make([]policy.Edge, policy.MaxEdges)...) },
		"bad_otherwise":         func(d *policy.Document) { d.Otherwise = "" },
		"missing_name too_long": func(d *policy.Document) { d.Name = strings.Repeat(" ", 81) },
		"":                      func(d *policy.Document) { d.Nodes[0].X = -1e300 },
		"bad_text":              func(d *policy.Document) { d.Nodes[0].Label = "\xff" },
	} {
		if got := codes(change); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	if p := c.Check(nil); len(p) != 1 {
		t.Error(p)
	}
}

// FuzzParse: whatever the bytes are, nothing panics; what parses and has no problem
// compiles and decides, also after being written and read again.
func FuzzParse(f *testing.F) {
	for _, bad := range badDocuments {
		f.Add([]byte(bad.doc))
	}
	for _, p := range policy.Presets() {
		raw, err := json.Marshal(p.Document)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		d, problems := policy.Parse(raw)
		if (d == nil) != (len(problems) > 0) {
			t.Fatal(problems)
		}
		if d == nil {
			return
		}
		policy.Diff(d, &policy.Document{})
		p, err := policy.Compile(d)
		if (err == nil) != (len(d.Check()) == 0) {
			t.Fatal(err)
		}
		if err != nil {
			return
		}
		r := p.Evaluate(&risk.Observation{}, true)
		if !r.Verdict.Valid() || len(r.Steps) != len(d.Nodes) {
			t.Fatalf("%+v", r)
		}
		again, err := json.Marshal(d)
		if err != nil {
			t.Fatal(err)
		}
		if d2, problems := policy.Parse(again); len(problems) > 0 || len(policy.Diff(d, d2)) > 0 {
			t.Fatalf("read again: %v", problems)
		}
	})
}
