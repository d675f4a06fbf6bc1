package policy_test

import (
	"encoding/json"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// withOutcomes are the signals of the program with readings of a test: fired are named,
// those with a ? cannot tell, the rest is clear.
func withOutcomes(text string) []signal.Signal {
	list := signal.All()
	for i := range list {
		r := risk.Reading{Outcome: risk.Clear}
		for word := range strings.FieldsSeq(text) {
			if word == list[i].Name {
				r.Outcome = risk.Fired
			}
			if word == list[i].Name+"?" || word == "all?" {
				r.Outcome = risk.CannotTell
			}
		}
		list[i].Bind = func(signal.Params) func(*risk.Observation) risk.Reading {
			return func(*risk.Observation) risk.Reading { return r }
		}
	}
	return list
}

// TestPresets: what each makes of the mission's example, and of less.
func TestPresets(t *testing.T) {
	t.Parallel()
	for _, c := range []struct{ signals, lenient, balanced, strict string }{
		{"", "allow", "allow", "allow"},
		{"new_device", "allow", "step_up", "step_up"},
		{"unfamiliar_ip", "allow", "step_up", "step_up"},
		{"geo_anomaly", "allow", "step_up", "step_up"},
		{"impossible_travel", "step_up", "step_up", "step_up"},
		{"sensitive_scope", "step_up", "step_up", "step_up"},
		{"new_device unfamiliar_ip", "step_up", "step_up", "step_up"},
		{"new_device unfamiliar_ip recent_proofing", "allow", "step_up", "step_up"},
		{"unusual_hour", "allow", "allow", "step_up"},
		{"velocity dormant_account", "step_up", "step_up", "step_up"},
		{"velocity dormant_account recent_proofing", "allow", "allow", "step_up"},
		{"velocity dormant_account recent_proofing?", "step_up", "step_up", "step_up"},
		{"recent_proofing", "allow", "allow", "allow"},
		{"new_device?", "allow", "step_up", "step_up"},
		{"unfamiliar_ip?", "allow", "allow", "step_up"},
		{"geo_anomaly? impossible_travel? anonymiser? descope_risk?", "allow", "allow", "allow"},
		{"all?", "step_up", "step_up", "step_up"},
		{"velocity anonymiser new_device", "step_up", "step_up", "deny"},
		{"velocity anonymiser new_device?", "step_up", "step_up", "step_up"},
		{"velocity anonymiser", "step_up", "step_up", "step_up"},
	} {
		compiler := &policy.Compiler{Signals: withOutcomes(c.signals)}
		for i, want := range []string{c.lenient, c.balanced, c.strict} {
			preset := policy.Presets()[i]
			p, err := compiler.Compile(preset.Document)
			if err != nil {
				t.Fatal(preset.Name, err)
			}
			if r := p.Evaluate(&risk.Observation{}, false); string(r.Verdict) != want {
				t.Errorf("%s, %q: %s %v, want %s", preset.Name, c.signals, r.Verdict, r.Reasons, want)
			}
		}
	}
}

// TestPresetsAreDrawn: they are valid, read again as they were written, and no node
// hides another or runs from right to left.
func TestPresetsAreDrawn(t *testing.T) {
	t.Parallel()
	var names []string
	for _, p := range policy.Presets() {
		names = append(names, p.Name)
		raw, err := json.Marshal(p.Document)
		if err != nil {
			t.Fatal(err)
		}
		d, problems := policy.Parse(raw)
		if problems = append(problems, p.Document.Check()...); len(problems) > 0 || len(policy.Diff(d, p.Document)) > 0 {
			t.Fatal(p.Name, problems)
		}
		x := map[string]float64{}
		for i, n := range d.Nodes {
			x[n.ID] = n.X
			for _, o := range d.Nodes[:i] {
				if o.X == n.X && max(o.Y-n.Y, n.Y-o.Y) < 60 {
					t.Errorf("%s: %s lies on %s", p.Name, n.ID, o.ID)
				}
			}
		}
		for _, e := range d.Edges {
			if x[e.From] >= x[e.To] {
				t.Errorf("%s: %s to %s goes left", p.Name, e.From, e.To)
			}
		}
	}
	if !slices.Equal(names, []string{policy.Lenient, policy.Balanced, policy.Strict}) {
		t.Error(names)
	}
	if _, ok := policy.PresetByName("none"); ok {
		t.Error("there is no such preset")
	}
}

// TestDiff is differences in words.
func TestDiff(t *testing.T) {
	t.Parallel()
	find := func(d *policy.Document, id string) *policy.Node {
		return &d.Nodes[slices.IndexFunc(d.Nodes, func(n policy.Node) bool { return n.ID == id })]
	}
	drop := func(d *policy.Document, id string) {
		d.Nodes = slices.DeleteFunc(d.Nodes, func(n policy.Node) bool { return n.ID == id })
		d.Edges = slices.DeleteFunc(d.Edges, func(e policy.Edge) bool { return e.From == id || e.To == id })
	}
	long := strings.Repeat("login.hour > 3 || ", 20)
	for _, c := range []struct {
		name   string
		change func(d *policy.Document)
		want   string
	}{
		{policy.Balanced, func(*policy.Document) {}, ""},
		{policy.Balanced, func(d *policy.Document) { find(d, "any").X = 7 }, ""},
		{policy.Balanced, func(d *policy.Document) { d.Nodes[0], d.Nodes[1] = d.Nodes[1], d.Nodes[0] }, ""},
		{policy.Balanced, func(d *policy.Document) { find(d, "geo-anomaly").Unknown = policy.Neutral }, ""},
		{policy.Balanced, func(d *policy.Document) {
			find(d, "geo-anomaly").Params = map[string]any{"provider_on_known_device": 1.0}
		}, ""},
		{policy.Balanced, func(d *policy.Document) { d.Otherwise = risk.StepUp }, "changed: If no rule fires: let through → ask for a face"},
		{policy.Balanced, func(d *policy.Document) { d.Name = "Ours" }, "changed: Name: 'Balanced' → 'Ours'"},
		{policy.Balanced, func(d *policy.Document) { find(d, "velocity-points").Weight = number(50) }, "changed: Many attempts: weight 35 → 50"},
		{policy.Balanced, func(d *policy.Document) { find(d, "enough").Value = number(60) }, "changed: Enough points: number 50 → 60"},
		{policy.Balanced, func(d *policy.Document) { find(d, "geo-anomaly").Unknown = policy.Raises }, "changed: New country: if it cannot be told: ignored → counts as if it had fired"},
		{policy.Balanced, func(d *policy.Document) { find(d, "dormant-account").Params = map[string]any{"days": 30.0} }, "changed: Dormant account: Dormant after 90 → 30"},
		{policy.Balanced, func(d *policy.Document) { find(d, "sensitive-scope").Params = map[string]any{"scopes": []any{"admin"}} },
			"changed: Sensitive scope: Sensitive scopes orders:refund, payments, admin → admin"},
		{policy.Balanced, func(d *policy.Document) { find(d, "ask-any").Decision = risk.Deny }, "changed: rule 'Ask for a face': ask for a face → refuse"},
		{policy.Balanced, func(d *policy.Document) { drop(d, "geo-anomaly") }, "removed: signal 'New country' removed"},
		{policy.Balanced, func(d *policy.Document) {
			d.Edges = slices.DeleteFunc(d.Edges, func(e policy.Edge) bool { return e.From == "new-device" })
		}, "removed: New device no longer goes into Any of these"},
		{policy.Strict, func(d *policy.Document) { drop(d, "refuse") }, "removed: rule 'Refuse' removed"},
		{policy.Strict, func(d *policy.Document) {
			i, j := len(d.Nodes)-2, len(d.Nodes)-1
			d.Nodes[i], d.Nodes[j] = d.Nodes[j], d.Nodes[i]
		}, "changed: The rules come in another order: rule 'Ask for a face', rule 'Refuse'"},
		{policy.Lenient, func(d *policy.Document) {
			d.Nodes = append(d.Nodes, expr1("e", "login.hour < 5"), rule("night", risk.StepUp, ""))
			d.Edges = append(d.Edges, policy.Edge{From: "e", To: "night"})
		}, "added: Expression 'login.hour < 5' added\nadded: rule 'ask for a face' added"},
		{policy.Balanced, func(d *policy.Document) {
			d.Nodes = append(d.Nodes, sig("hour2", "unusual_hour", ""))
			d.Edges = append(d.Edges, policy.Edge{From: "hour2", To: "any"})
		}, "added: signal 'Unusual time of day' added\nadded: Unusual time of day now goes into Any of these"},
	} {
		a, _ := policy.PresetByName(c.name)
		b, _ := policy.PresetByName(c.name)
		c.change(b)
		var list []string
		for _, change := range policy.Diff(a, b) {
			list = append(list, change.Kind+": "+change.Text)
		}
		if got := strings.Join(list, "\n"); got != c.want {
			t.Errorf("got\n%s\nwant\n%s", got, c.want)
		}
	}
	// A difference at the end of a long text is one, too.
	a, b := drawnUp(risk.Allow, expr1("e", long+"device.known")), drawnUp(risk.Allow, expr1("e", long+"device.trusted"))
	if len(policy.Diff(a, b)) != 1 || len(policy.Diff(nil, nil)) != 0 {
		t.Error(policy.Diff(a, b))
	}
}
