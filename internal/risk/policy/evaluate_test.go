package policy_test

import (
	"encoding/json"
	"math"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

func number(f float64) *float64 { return &f }

// drawnUp is a document of nodes; their labels say what goes into them, by id.
func drawnUp(otherwise risk.Verdict, nodes ...policy.Node) *policy.Document {
	d := &policy.Document{Format: policy.Format, Name: "test", Otherwise: otherwise}
	for _, n := range nodes {
		for from := range strings.FieldsSeq(n.Label) {
			d.Edges = append(d.Edges, policy.Edge{From: from, To: n.ID})
		}
		n.Label = ""
		d.Nodes = append(d.Nodes, n)
	}
	return d
}

func sig(id, name string, u policy.Unknown) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeSignal, Signal: name, Unknown: u}
}

func cond(id string, op policy.Op, value *float64, in string) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeCondition, Op: op, Value: value, Label: in}
}

func weigh(id string, w *float64, in string) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeWeight, Weight: w, Label: in}
}

func sum(id, in string) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeCombine, How: policy.Sum, Label: in}
}

func rule(id string, v risk.Verdict, in string) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeDecide, Decision: v, Label: in}
}

func expr1(id, text string) policy.Node {
	return policy.Node{ID: id, Type: policy.TypeExpression, Expression: text}
}

// evaluate reads "alpha=fired beta=clear(12.5)": outcomes, some with what was measured.
// What is not named is clear.
func evaluate(t *testing.T, d *policy.Document, readings map[string]risk.Reading, o *risk.Observation) policy.Result {
	t.Helper()
	f := fake{}
	for _, n := range fakeNames {
		f[n] = risk.Reading{Outcome: risk.Clear, Evidence: "all is well"}
	}
	for n, r := range readings {
		f[n] = r
	}
	p, err := (&policy.Compiler{Signals: f.signals()}).Compile(d)
	if err != nil {
		t.Fatal(err)
	}
	return p.Evaluate(o, true)
}

var (
	fired      = risk.Reading{Outcome: risk.Fired}
	cleared    = risk.Reading{Outcome: risk.Clear}
	cannotTell = risk.Reading{Outcome: risk.CannotTell}
)

func measured(o risk.Outcome, v float64) risk.Reading { return risk.Reading{Outcome: o, Value: &v} }

// TestDecisions is the semantics, case by case.
func TestDecisions(t *testing.T) {
	t.Parallel()
	type in = map[string]risk.Reading
	scored := drawnUp(risk.Allow, sig("a", "alpha", ""), sig("b", "beta", ""), sig("g", "good_news", ""),
		weigh("wa", nil, "a"), weigh("wb", number(45), "b"), weigh("wg", nil, "g"), sum("sum", "wa wb wg"), cond("enough", policy.AtLeast, number(50), "sum"), rule("ask", risk.StepUp, "enough"))
	plainRule := func(u policy.Unknown, v risk.Verdict, otherwise risk.Verdict) *policy.Document {
		return drawnUp(otherwise, sig("a", "alpha", u), sig("b", "beta", ""), cond("any", policy.Any, nil, "a b"), rule("r", v, "any"))
	}
	speed := func(u policy.Unknown) *policy.Document {
		return drawnUp(risk.Allow, sig("a", "alpha", u), sig("b", "beta", ""), cond("fast", policy.AtLeast, number(300), "a"), cond("any", policy.Any, nil, "fast b"), rule("ask", risk.StepUp, "any"))
	}
	skip := drawnUp(risk.Allow, sig("a", "alpha", policy.Raises), cond("not", policy.Not, nil, "a"), rule("ask", risk.StepUp, "a"), rule("refuse", risk.Deny, "not"))
	alone := drawnUp(risk.Allow, expr1("e", "device.known"), cond("new", policy.Not, nil, "e"), rule("ask", risk.StepUp, "new"))
	for _, c := range []struct {
		name    string
		doc     *policy.Document
		in      in
		o       *risk.Observation
		want    risk.Verdict
		reasons string
		rule    string
		score   float64 // -1: none
	}{
		{"all is clear", plainRule("", risk.StepUp, risk.Allow), nil, nil, risk.Allow, "", "", 0},
		{"one fired", plainRule("", risk.StepUp, risk.Allow), in{"beta": fired}, nil, risk.StepUp, "beta", "r", 25},
		{"both fired, the heavier first", plainRule("", risk.Deny, risk.Allow), in{"beta": fired, "alpha": fired}, nil, risk.Deny, "alpha beta", "r", 65},
		{"unknown is neutral", plainRule("", risk.StepUp, risk.Allow), in{"alpha": cannotTell}, nil, risk.Allow, "", "", 0},
		{"unknown raises", plainRule(policy.Raises, risk.StepUp, risk.Allow), in{"alpha": cannotTell}, nil, risk.StepUp, "policy_rule", "r", 40},
		{"otherwise asks", plainRule("", risk.Allow, risk.StepUp), nil, nil, risk.StepUp, "policy_rule", "", 0},
		{"allow on what is sure", plainRule("", risk.Allow, risk.StepUp), in{"beta": fired, "alpha": cannotTell}, nil, risk.Allow, "beta", "r", 25},
		{"no allow on what is not", plainRule(policy.Raises, risk.Allow, risk.StepUp), in{"alpha": cannotTell}, nil, risk.StepUp, "policy_rule", "", 40},
		{"nothing can be told", plainRule("", risk.StepUp, risk.Allow), in{"alpha": cannotTell, "beta": cannotTell}, nil, risk.StepUp, "nothing_can_be_told", "", 0},
		{"nothing can be told, deny fires", plainRule(policy.Raises, risk.Deny, risk.Allow), in{"alpha": cannotTell, "beta": cannotTell}, nil, risk.Deny, "nothing_can_be_told", "r", 40},

		{"points add up", scored, in{"alpha": fired, "beta": fired}, nil, risk.StepUp, "beta alpha", "ask", 85},
		{"good news takes points off", scored, in{"alpha": fired, "beta": fired, "good_news": fired}, nil, risk.StepUp, "beta alpha", "ask", 55},
		{"too few points", scored, in{"beta": fired, "good_news": fired}, nil, risk.Allow, "", "", 15},
		{"never below 0", scored, in{"good_news": fired}, nil, risk.Allow, "", "", 0},
		{"good news that cannot be told", scored, in{"alpha": fired, "beta": fired, "good_news": cannotTell}, nil, risk.StepUp, "beta alpha", "ask", 85},

		{"a value of its own", speed(""), in{"alpha": measured(risk.Clear, 300)}, nil, risk.StepUp, "policy_rule", "ask", 0},
		{"a value below", speed(""), in{"alpha": measured(risk.Clear, 299)}, nil, risk.Allow, "", "", 0},
		{"a value that fired", speed(""), in{"alpha": measured(risk.Fired, 900)}, nil, risk.StepUp, "alpha", "ask", 40},
		{"nothing measured", speed(""), in{"alpha": fired}, nil, risk.Allow, "", "", 40},
		{"nothing measured raises", speed(policy.Raises), in{"alpha": cleared}, nil, risk.StepUp, "policy_rule", "ask", 0},
		{"a value although it cannot tell", speed(""), in{"alpha": measured(risk.CannotTell, 900)}, nil, risk.Allow, "", "", 0},

		{"clear is refused", skip, nil, nil, risk.Deny, "policy_rule", "refuse", 0},
		{"fired is asked", skip, in{"alpha": fired}, nil, risk.StepUp, "alpha", "ask", 40},
		{"unknown is no milder than clear", skip, in{"alpha": cannotTell}, nil, risk.Deny, "nothing_can_be_told", "refuse", 40},

		{"a signal breaks off", plainRule("", risk.StepUp, risk.Allow), in{"alpha": {Evidence: broken}}, nil, risk.StepUp, "evaluation_failed", "", -1},
		{"a value is none", plainRule("", risk.StepUp, risk.Allow), in{"alpha": measured(risk.Clear, math.NaN())}, nil, risk.StepUp, "evaluation_failed", "", -1},
		{"an outcome is none", plainRule("", risk.Allow, risk.Allow), in{"alpha": {Outcome: "maybe"}}, nil, risk.StepUp, "evaluation_failed", "", -1},
		{"a deny elsewhere holds", drawnUp(risk.Allow, sig("a", "alpha", ""), sig("b", "beta", ""), rule("ask", risk.StepUp, "a"), rule("refuse", risk.Deny, "b")),
			in{"alpha": {Evidence: broken}, "beta": fired}, nil, risk.Deny, "beta evaluation_failed", "refuse", -1},

		{"a new device", alone, nil, &risk.Observation{DeviceKnown: risk.No}, risk.StepUp, "policy_rule", "ask", -1},
		{"a known device", alone, nil, &risk.Observation{DeviceKnown: risk.Yes}, risk.Allow, "", "", -1},
		{"an unknown device", alone, nil, nil, risk.StepUp, "nothing_can_be_told", "ask", -1},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			r := evaluate(t, c.doc, c.in, c.o)
			var reasons []string
			for _, reason := range r.Reasons {
				reasons = append(reasons, string(reason))
			}
			score := -1.0
			if r.Score != nil {
				score = *r.Score
			}
			if r.Verdict != c.want || strings.Join(reasons, " ") != c.reasons || r.Rule != c.rule || score != c.score {
				t.Errorf("%s %v by %q, score %v; want %s [%s] by %q, score %v\n%+v", r.Verdict, reasons, r.Rule, score, c.want, c.reasons, c.rule, c.score, r)
			}
			if strings.Contains(r.Failed, "a signal with") {
				t.Errorf("the panic's own text got out: %s", r.Failed)
			}
		})
	}
}

// TestPath: what made the decision is marked, and nothing else.
func TestPath(t *testing.T) {
	t.Parallel()
	d := drawnUp(risk.Allow, sig("a", "alpha", ""), sig("b", "beta", ""), sig("c", "gamma", ""), sig("g", "good_news", ""),
		weigh("wa", nil, "a"), weigh("wb", nil, "b"), weigh("wg", nil, "g"), sum("sum", "wa wb wg"), cond("enough", policy.AtLeast, number(10), "sum"),
		cond("any", policy.Any, nil, "enough c"), rule("refuse", risk.Deny, "c"), rule("ask", risk.StepUp, "any"))
	for _, c := range []struct {
		in   map[string]risk.Reading
		path string
	}{
		{map[string]risk.Reading{"beta": fired, "good_news": fired}, ""}, // 25 - 30
		{map[string]risk.Reading{"alpha": fired, "good_news": fired}, "a wa sum enough any ask"},
		{map[string]risk.Reading{"gamma": fired}, "c refuse"},
		{nil, ""},
	} {
		r := evaluate(t, d, c.in, &risk.Observation{})
		var path []string
		for _, s := range r.Steps {
			if s.OnPath {
				path = append(path, s.Node)
			}
		}
		if got := strings.Join(path, " "); got != c.path {
			t.Errorf("%v: path %q, want %q", c.in, got, c.path)
		}
	}
}

// TestReadOnce: nodes with the same signal and parameters share a reading.
func TestReadOnce(t *testing.T) {
	t.Parallel()
	reads := map[string]int{}
	s := signal.Signal{Name: "alpha", Title: "Alpha", Params: []signal.Param{{Name: "n", Kind: signal.Number, Number: 2, Max: 9}}}
	s.Bind = func(p signal.Params) func(*risk.Observation) risk.Reading {
		key := "n=" + string(rune('0'+int(p["n"].(float64))))
		return func(*risk.Observation) risk.Reading { reads[key]++; return fired }
	}
	a, b, c := sig("a", "alpha", ""), sig("b", "alpha", policy.Raises), sig("c", "alpha", "")
	b.Params, c.Params = map[string]any{"n": 2.0}, map[string]any{"n": 3.0}
	p, err := (&policy.Compiler{Signals: []signal.Signal{s}}).Compile(drawnUp(risk.Allow, a, b, c, expr1("e", "signals.alpha == 'fired'"),
		cond("all", policy.All, nil, "a b c e"), rule("ask", risk.StepUp, "all")))
	if err != nil {
		t.Fatal(err)
	}
	r := p.Evaluate(&risk.Observation{}, false)
	if want := map[string]int{"n=2": 1, "n=3": 1}; !reflect.DeepEqual(reads, want) || len(r.Readings) != 2 || r.Steps != nil || r.Verdict != risk.StepUp {
		t.Errorf("%v, %+v", reads, r)
	}
	if !slices.Equal(r.Reasons, []risk.Reason{"alpha"}) {
		t.Error(r.Reasons)
	}
}

// TestConcurrent: one compiled policy decides many logins at once.
func TestConcurrent(t *testing.T) {
	t.Parallel()
	p, err := policy.Compile(policy.Presets()[1].Document)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			o := &risk.Observation{At: time.Unix(1_800_000_000, 0), DeviceKnown: risk.TriOf(i%2 == 0)}
			want := p.Evaluate(o, true)
			for range 50 {
				if got := p.Evaluate(o, true); !reflect.DeepEqual(got, want) {
					t.Errorf("%+v, before %+v", got, want)
				}
			}
		})
	}
	wg.Wait()
}

// TestExpressions are what an expression gives, is sure of, and fails at.
func TestExpressions(t *testing.T) {
	t.Parallel()
	score := 0.8
	at := time.Date(2026, 11, 29, 23, 30, 0, 0, time.UTC) // a Sunday
	o := &risk.Observation{
		At: at, Application: "shop", Scopes: []string{"openid", "orders:refund"}, ScopesGiven: true, UserAgent: "Agent/1.0", DeviceKnown: risk.No, DeviceSource: "cookie",
		Address: risk.AddressPublic, Country: "DE", City: "Berlin", ASN: 3320, ASName: "Example Net", CountrySeen: risk.Yes, KnownCountries: []string{"DE"}, Window: time.Hour,
		Attempts: risk.Counts{Subject: 3, Device: 2, Network: 9}, Travels: []risk.Travel{{KM: 900, Hours: 0.5, FromCountry: "FR"}}, RiskScore: &score,
		Logins: 4, LastLogin: at.Add(-48 * time.Hour), Listed: true, ProofingKnown: true,
	}
	nothing := &risk.Observation{}
	for _, c := range []struct {
		text string
		o    *risk.Observation
		want string // yes, no, yes? and no? if not sure, or how it fails
	}{
		{"login.application == 'shop' && login.hour == 23 && login.weekday == 7", o, "yes"},
		{"'orders:refund' in login.scopes", o, "yes"}, {"login.scopes.exists(s, s.startsWith('admin'))", o, "no"},
		{"'admin' in login.scopes", nothing, "no?"}, {"size(login.scopes) == 0", &risk.Observation{ScopesGiven: true}, "yes"},
		{"login.user_agent.matches('^Agent/[0-9]')", o, "yes"},
		{"network.country != 'FR' && network.asn == 3320", o, "yes"}, {"network.country != 'FR'", nothing, "yes?"},
		{"has(network.country) && network.country != 'FR'", nothing, "no?"}, {"!has(network.country)", nothing, "yes?"}, {"has(network.city)", o, "yes"},
		{"network.anonymiser == ''", o, "yes"}, {"network.anonymiser == ''", nothing, "yes?"},
		{"!device.known", o, "yes"}, {"!device.known", nothing, "yes?"}, {"device.trusted", o, "no?"},
		{"network.country in history.countries", o, "yes"},
		{"travel.km / travel.hours > 1000.0", o, "yes"}, {"travel.km > 100", o, "yes"}, // integers compare with numbers
		{"travel.km / travel.hours > 1000.0", nothing, "a number is not finite"},
		{"descope.score >= 0.8", o, "yes"}, {"descope.score >= 0.8", nothing, "no?"}, {"descope.score > 0", o, "yes"},
		{"attempts.network > 5 && attempts.device == 2", o, "yes"}, {"attempts.device == 0", nothing, "yes?"},
		{"history.days_since < 3.0 && history.logins == 4", o, "yes"}, {"history.logins == 0", nothing, "yes"},
		{"proofing.ever", o, "no"}, {"proofing.days_since < 1.0", o, "yes?"},
		{"signals.alpha == 'fired'", o, "yes"}, {"signals.beta == 'clear'", o, "yes"}, {"signals.gamma == 'cannot_tell'", o, "yes?"}, {"has(signals.gamma)", o, "no?"}, {"has(signals.alpha)", o, "yes"},
		{"10 / history.logins > 1", nothing, "it divides by zero"}, {"10 / history.logins > 1", o, "yes"},
		{"login.scopes[7] == 'x'", o, "a list is shorter than it takes"},
		{"double(history.logins) * 1e308 * 1e308 > 1.0", o, "a number is not finite"},
		{"history.logins * 9223372036854775807 > 1", o, "a whole number got too large"},
		{"login.user_agent == ''", &risk.Observation{UserAgent: strings.Repeat("x", 1025)}, "what it reads is too long"},
		{"'a' in login.scopes", &risk.Observation{Scopes: make([]string, 101), ScopesGiven: true}, "what it reads is too long"},
		{"'a' in login.scopes", &risk.Observation{Scopes: []string{strings.Repeat("x", 257)}, ScopesGiven: true}, "what it reads is too long"},
		{"descope.score > 0.5", &risk.Observation{RiskScore: number(math.Inf(1))}, "a number is not finite"},
	} {
		r := evaluate(t, drawnUp(risk.Allow, expr1("e", c.text), sig("a", "alpha", ""), cond("any", policy.Any, nil, "e a"), rule("ask", risk.StepUp, "any")),
			map[string]risk.Reading{"alpha": fired, "beta": cleared, "gamma": cannotTell}, c.o)
		got := strings.TrimPrefix(r.Failed, "node e: the expression failed: ")
		if i := slices.IndexFunc(r.Steps, func(s policy.Step) bool { return s.Node == "e" }); r.Failed == "" {
			got = map[bool]string{true: "yes", false: "no"}[*r.Steps[i].Holds]
			if !r.Steps[i].Sure {
				got += "?"
			}
		} else if r.Verdict != risk.StepUp {
			t.Errorf("%s: failed, and %s", c.text, r.Verdict)
		}
		if got != c.want {
			t.Errorf("%s: %s, want %s", c.text, got, c.want)
		}
	}
}

// TestVariablesAreDocumented: what an expression can name stands in the documentation,
// as Variables tells it.
func TestVariablesAreDocumented(t *testing.T) {
	t.Parallel()
	raw, err := os.ReadFile("../../../docs/policy-expressions.md")
	if err != nil {
		t.Fatal(err)
	}
	page := string(raw)
	listed := 0
	for _, v := range policy.Variables() {
		if strings.HasPrefix(v.Name, "signals.") {
			continue
		}
		listed++
		if row := "| `" + v.Name + "` | " + v.Type + " | " + v.Help + " |\n"; !strings.Contains(page, row) {
			t.Errorf("docs/policy-expressions.md lacks\n%s", row)
		}
	}
	if rows := strings.Count(page, "\n| `"); rows != listed {
		t.Errorf("the page lists %d names, there are %d", rows, listed)
	}
	// Every example compiles.
	_, rest, _ := strings.Cut(page, "```cel\n")
	examples, _, _ := strings.Cut(rest, "```")
	n := 0
	for line := range strings.Lines(examples) {
		if line = strings.TrimSpace(line); line == "" || strings.HasPrefix(line, "//") {
			continue
		}
		n++
		if p := drawnUp(risk.Allow, expr1("e", line), rule("r", risk.StepUp, "e")).Check(); len(p) > 0 {
			t.Errorf("%s: %v", line, p)
		}
	}
	if n == 0 {
		t.Error("the page has no example")
	}
}

// TestResultJSON is the wire form of a result, which the console and records read.
func TestResultJSON(t *testing.T) {
	t.Parallel()
	r := evaluate(t, drawnUp(risk.Allow, sig("a", "alpha", ""), weigh("w", nil, "a"), sum("s", "w"), cond("c", policy.AtLeast, number(40), "s"), rule("r", risk.StepUp, "c")),
		map[string]risk.Reading{"alpha": {Outcome: risk.Fired, Evidence: "It is new.", Value: number(1)}}, &risk.Observation{})
	got, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	golden(t, "result.json", string(got)+"\n")
}

func BenchmarkEvaluate(b *testing.B) {
	score := 0.4
	o := &risk.Observation{
		At: time.Unix(1_800_000_000, 0), Application: "shop", Scopes: []string{"openid", "payments"}, ScopesGiven: true, DeviceKnown: risk.No, DeviceSource: "cookie",
		Address: risk.AddressPublic, IP: "198.51.100.7", AddressSeen: risk.No, NetworkSeen: risk.No, ASSeen: risk.No, ASN: 64500, Country: "DE", City: "Berlin", CountrySeen: risk.No,
		KnownCountries: []string{"FR", "ES"}, Travels: []risk.Travel{{KM: 900, RadiusKM: 50, Hours: 3.5}}, Window: time.Hour, Logins: 30,
		LastLogin: time.Unix(1_799_900_000, 0), HourShare: 0.2, HourSamples: 30, Listed: true, VPN: risk.No, Bot: risk.No, RiskScore: &score, ProofingKnown: true,
	}
	withExpression, _ := policy.PresetByName(policy.Balanced)
	withExpression.Nodes = append(withExpression.Nodes, expr1("e", "network.country in ['DE', 'FR'] && login.scopes.exists(s, s.startsWith('pay')) && descope.score < 0.5"), rule("e-ask", risk.StepUp, ""))
	withExpression.Edges = append(withExpression.Edges, policy.Edge{From: "e", To: "e-ask"})
	balanced, _ := policy.PresetByName(policy.Balanced)
	for _, c := range []struct {
		name  string
		doc   *policy.Document
		steps bool
	}{{"balanced", balanced, false}, {"steps", balanced, true}, {"expression", withExpression, false}} {
		b.Run(c.name, func(b *testing.B) {
			p, err := policy.Compile(c.doc)
			if err != nil {
				b.Fatal(err)
			}
			b.ReportAllocs()
			for b.Loop() {
				p.Evaluate(o, c.steps)
			}
		})
	}
}
