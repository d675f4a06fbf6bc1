package policy_test

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"pgregory.net/rapid"
)

// genDocument draws a document without problems, from the signals on: every node is
// connected to some before it, and all that lead nowhere go into the last rule.
func genDocument(t *rapid.T, expressions bool) (*policy.Document, map[string]expr) {
	d := &policy.Document{Format: policy.Format, Name: "drawn", Otherwise: rapid.SampledFrom([]risk.Verdict{risk.Allow, risk.StepUp}).Draw(t, "otherwise")}
	exprs := map[string]expr{}
	var truths, numbers []string
	used := map[string]bool{}
	add := func(n policy.Node, from ...string) string {
		n.ID = fmt.Sprintf("n%d", len(d.Nodes))
		d.Nodes = append(d.Nodes, n)
		for _, f := range from {
			used[f] = true
			d.Edges = append(d.Edges, policy.Edge{From: f, To: n.ID})
		}
		return n.ID
	}
	some := func(of []string, label string) []string {
		return rapid.SliceOfNDistinct(rapid.SampledFrom(of), 1, min(4, len(of)), rapid.ID[string]).Draw(t, label)
	}
	signals := map[string]bool{}
	source := func() {
		if expressions && rapid.IntRange(0, 2).Draw(t, "source") == 0 {
			e := genExpr(t, 3)
			id := add(policy.Node{Type: policy.TypeExpression, Expression: e.text()})
			exprs[id] = e
			truths = append(truths, id)
			return
		}
		n := policy.Node{Type: policy.TypeSignal, Signal: rapid.SampledFrom(fakeNames).Draw(t, "signal")}
		n.Unknown = rapid.SampledFrom([]policy.Unknown{"", policy.Neutral, policy.Raises}).Draw(t, "unknown")
		if rapid.IntRange(0, 3).Draw(t, "flip") == 0 {
			n.Params = map[string]any{"flip": 1.0}
		}
		id := add(n)
		signals[id] = true
		truths = append(truths, id)
	}
	for range rapid.IntRange(1, 5).Draw(t, "sources") {
		source()
	}
	weigh := func() {
		from := rapid.SampledFrom(truths).Draw(t, "weighed")
		n := policy.Node{Type: policy.TypeWeight}
		if !signals[from] || rapid.Bool().Draw(t, "own") {
			w := float64(rapid.IntRange(-60, 90).Draw(t, "weight"))
			n.Weight = &w
		}
		numbers = append(numbers, add(n, from))
	}
	for range rapid.IntRange(0, 12).Draw(t, "nodes") {
		switch rapid.IntRange(0, 6).Draw(t, "kind") {
		case 0:
			weigh()
		case 1:
			if len(numbers) > 0 {
				how := rapid.SampledFrom([]policy.How{policy.Sum, policy.Max}).Draw(t, "how")
				numbers = append(numbers, add(policy.Node{Type: policy.TypeCombine, How: how}, some(numbers, "combined")...))
			}
		case 2:
			least := float64(rapid.IntRange(1, 100).Draw(t, "least"))
			from := slices.Clone(numbers)
			for _, id := range truths {
				if signals[id] {
					from = append(from, id)
				}
			}
			if len(from) > 0 {
				truths = append(truths, add(policy.Node{Type: policy.TypeCondition, Op: policy.AtLeast, Value: &least}, rapid.SampledFrom(from).Draw(t, "from")))
			}
		case 3:
			truths = append(truths, add(policy.Node{Type: policy.TypeCondition, Op: policy.Not}, rapid.SampledFrom(truths).Draw(t, "not")))
		case 4:
			from := some(truths, "counted")
			n := float64(rapid.IntRange(1, len(from)).Draw(t, "count"))
			truths = append(truths, add(policy.Node{Type: policy.TypeCondition, Op: policy.Count, Value: &n}, from...))
		case 5:
			verdict := rapid.SampledFrom([]risk.Verdict{risk.Allow, risk.StepUp, risk.Deny}).Draw(t, "decision")
			add(policy.Node{Type: policy.TypeDecide, Decision: verdict}, rapid.SampledFrom(truths).Draw(t, "decided"))
		default:
			op := rapid.SampledFrom([]policy.Op{policy.Any, policy.All}).Draw(t, "op")
			truths = append(truths, add(policy.Node{Type: policy.TypeCondition, Op: op}, some(truths, "joined")...))
		}
	}
	// What is left over must lead somewhere.
	var loose []string
	for _, id := range numbers {
		if !used[id] {
			loose = append(loose, id)
		}
	}
	if len(loose) > 0 {
		least := float64(rapid.IntRange(1, 100).Draw(t, "least"))
		sum := add(policy.Node{Type: policy.TypeCombine, How: policy.Sum}, loose...)
		truths = append(truths, add(policy.Node{Type: policy.TypeCondition, Op: policy.AtLeast, Value: &least}, sum))
	}
	loose = nil
	for _, id := range truths {
		if !used[id] {
			loose = append(loose, id)
		}
	}
	if len(loose) == 0 {
		loose = truths[:1]
	}
	verdict := rapid.SampledFrom([]risk.Verdict{risk.Allow, risk.StepUp, risk.Deny}).Draw(t, "last decision")
	add(policy.Node{Type: policy.TypeDecide, Decision: verdict}, add(policy.Node{Type: policy.TypeCondition, Op: policy.Any}, loose...))
	// The order of the list says nothing but which rule comes first.
	d.Nodes = rapid.Permutation(d.Nodes).Draw(t, "order")
	return d, exprs
}

func genReading(t *rapid.T, name string, spoiled bool) risk.Reading {
	r := risk.Reading{Outcome: rapid.SampledFrom(allOutcomes).Draw(t, name), Evidence: "as drawn"}
	if rapid.Bool().Draw(t, name+" measured") {
		v := float64(rapid.IntRange(-10, 120).Draw(t, name+" value"))
		r.Value = &v
	}
	if spoiled {
		switch rapid.IntRange(0, 30).Draw(t, name+" spoiled") {
		case 0:
			r.Evidence = broken
		case 1:
			v := math.NaN()
			r.Value = &v
		case 2:
			r.Outcome = "perhaps"
		}
	}
	return r
}

func genObservation(t *rapid.T) *risk.Observation {
	o := &risk.Observation{
		At: time.Unix(1_800_000_000, 0), DeviceKnown: rapid.SampledFrom([]risk.Tri{risk.Yes, risk.No, risk.Unknown}).Draw(t, "known"),
		Country: rapid.SampledFrom([]string{"", "DE", "FR", "NZ"}).Draw(t, "country"), Logins: rapid.IntRange(0, 4).Draw(t, "logins"),
		ScopesGiven: rapid.Bool().Draw(t, "scopes given"),
	}
	if o.ScopesGiven {
		o.Scopes = rapid.SliceOfN(rapid.SampledFrom([]string{"openid", "admin:all"}), 0, 3).Draw(t, "scopes")
	}
	if n := rapid.IntRange(-2, 10).Draw(t, "score"); n >= -1 {
		score := float64(n) / 10
		if n == -1 {
			score = math.NaN()
		}
		o.RiskScore = &score
	}
	return o
}

// TestInterpreter: on any graph and any login, the compiled policy decides as a plain
// interpreter of the document does.
func TestInterpreter(t *testing.T) {
	t.Parallel()
	for _, expressions := range []bool{false, true} {
		t.Run(fmt.Sprintf("expressions %v", expressions), func(t *testing.T) {
			t.Parallel()
			f := fake{}
			c := &policy.Compiler{Signals: f.signals()}
			rapid.Check(t, func(t *rapid.T) {
				d, exprs := genDocument(t, expressions)
				p, err := c.Compile(d)
				if err != nil {
					t.Fatal(err)
				}
				for range 4 {
					for _, s := range fakeNames {
						f[s] = genReading(t, s, true)
					}
					o := genObservation(t)
					got := p.Evaluate(o, true)
					in := &plain{d, f, o, exprs}
					want, failed := in.decide()
					if got.Verdict != want || (got.Failed != "") != failed {
						t.Fatalf("%s (failed %q), interpreted %s (failed %v)\n%+v", got.Verdict, got.Failed, want, failed, got)
					}
					sound(t, d, got)
					for _, step := range got.Steps {
						g, err := in.eval(step.Node)
						switch {
						case err != nil:
							if step.Holds != nil || step.Number != nil || step.Sure {
								t.Fatalf("%+v of a node that failed", step)
							}
						case step.Sure != g.sure, step.Holds != nil && *step.Holds != g.holds, step.Number != nil && *step.Number != g.number, step.Holds == nil && step.Number == nil:
							t.Fatalf("%+v, interpreted %+v", step, g)
						}
					}
				}
			})
		})
	}
}

// sound is what holds of every result.
func sound(t *rapid.T, d *policy.Document, r policy.Result) {
	if r.Reasons == nil || r.Readings == nil || !r.Verdict.Valid() {
		t.Fatalf("%+v", r)
	}
	if len(r.Reasons) == 0 && r.Verdict != risk.Allow {
		t.Fatalf("%s without a reason", r.Verdict)
	}
	if r.Score != nil && !(*r.Score >= 0 && *r.Score <= policy.MaxScore) {
		t.Fatalf("score %v", *r.Score)
	}
	for i, s := range r.Steps {
		// An edge goes forward, and what is on the path is joined to the rule that decided.
		for _, e := range d.Edges {
			if e.To == s.Node && slices.IndexFunc(r.Steps, func(s policy.Step) bool { return s.Node == e.From }) > i {
				t.Fatalf("%s comes before its input %s", e.To, e.From)
			}
		}
		if s.OnPath && r.Rule == "" {
			t.Fatalf("%s is on the path of no rule", s.Node)
		}
		if s.Node == r.Rule && !s.OnPath {
			t.Fatal("the rule that decided is not on the path")
		}
	}
	for _, reason := range r.Reasons {
		fired := slices.ContainsFunc(r.Readings, func(g risk.Reading) bool { return g.Signal == string(reason) && g.Outcome == risk.Fired })
		if !fired && reason != risk.ReasonRule && reason != risk.ReasonNothingTold && reason != risk.ReasonEvaluationFailed {
			t.Fatalf("%s is a reason but has not fired", reason)
		}
	}
}

// TestUnknownNeverMilder: whatever is clear, if it could not be told the decision would
// not be milder (design, promise 1).
func TestUnknownNeverMilder(t *testing.T) {
	t.Parallel()
	f := fake{}
	c := &policy.Compiler{Signals: f.signals()}
	rapid.Check(t, func(t *rapid.T) {
		d, _ := genDocument(t, false)
		for i := range d.Nodes {
			d.Nodes[i].Params = nil // turned around, clear is fired
		}
		p, err := c.Compile(d)
		if err != nil {
			t.Fatal(err)
		}
		for _, s := range fakeNames {
			f[s] = genReading(t, s, false)
		}
		name := rapid.SampledFrom(fakeNames[:4]).Draw(t, "which")
		zero := 0.0
		f[name] = risk.Reading{Outcome: risk.Clear, Value: &zero}
		clear := p.Evaluate(&risk.Observation{}, false)
		f[name] = risk.Reading{Outcome: risk.CannotTell}
		unknown := p.Evaluate(&risk.Observation{}, false)
		if unknown.Verdict.Strictness() < clear.Verdict.Strictness() {
			t.Fatalf("%s clear: %s; cannot be told: %s", name, clear.Verdict, unknown.Verdict)
		}
	})
}
