//go:build linux

package main

import (
	"context"
	"crypto/rand"
	"fmt"
	"io"
)

// riskFigures are those of the two nodes that weigh logins.
type riskFigures struct {
	Store  string `json:"store"`
	People int    `json:"people_with_a_history"`
	Nodes  phase  `json:"nodes"`
}

// weighedPeople have a history of logins that ended well.
const weighedPeople = 200

// decision is an answer of the Risk Evaluation node.
type decision struct {
	Decision   string `json:"decision"`
	DecisionID string `json:"decision_id"`
}

// weigh asks for a decision about a login, with all that a flow has.
func (n *nodes) weigh(ctx context.Context, user, ip string, known bool) (d decision, err error) {
	in := map[string]any{
		"user_identifier": user, "ip": ip, "user_agent": "Mozilla/5.0 (X11; Linux x86_64)", "application": "bench", "scopes": []string{"openid"},
		"known_device": known, "trusted_device": known, "impossible_travel": false, "vpn": false, "bot": false, "risk_score": 0.1,
		"last_countries": []string{"DE"}, "last_ips": []string{ip},
	}
	if err := n.post(ctx, "/descope/v1/risk", in, &d); err != nil {
		return d, err
	}
	if want := map[bool]string{true: "allow", false: "step_up"}[known]; d.Decision != want || d.DecisionID == "" {
		return d, fmt.Errorf("the node said %q where %q is right", d.Decision, want)
	}
	return d, nil
}

// ended says how a login ended.
func (n *nodes) ended(ctx context.Context, d decision) error {
	var out struct {
		Outcome string `json:"outcome"`
		Learned bool   `json:"learned"`
	}
	err := n.post(ctx, "/descope/v1/risk/outcome", map[string]any{"decision_id": d.DecisionID, "outcome": "success"}, &out)
	if err == nil && (out.Outcome != "success" || !out.Learned) {
		err = fmt.Errorf("the outcome node said %q, learned %v", out.Outcome, out.Learned)
	}
	return err
}

// measureRisk drives the Risk Evaluation node, half for people on a device that is
// known, half on one that is not, and the outcome node beside it.
func (o *options) measureRisk(ctx context.Context, log io.Writer, scratch, file string) (*riskFigures, error) {
	f := &riskFigures{Store: o.store, People: weighedPeople}
	b, err := another(ctx, log, o.program, scratch, file, "risk", o.store, nil)
	if err != nil {
		return nil, err
	}
	defer b.stop()
	n := newNodes(b.ready)
	run := rand.Text()
	person := func(i int) string { return fmt.Sprintf("%s-%d", run, i%weighedPeople) }
	address := func(i int) string { return fmt.Sprintf("77.188.30.%d", 1+i%weighedPeople) }
	progress(fmt.Sprintf("three logins each of %d people", weighedPeople))
	for i := range 3 * weighedPeople {
		d, err := n.weigh(ctx, person(i), address(i%weighedPeople), true)
		if err != nil {
			return nil, err
		}
		if err := n.ended(ctx, d); err != nil {
			return nil, err
		}
	}
	// What the outcome node is told of: decisions that nobody has ended yet.
	var open []decision
	for i := range int(o.rate*o.duration.Seconds()) + 1 {
		d, err := n.weigh(ctx, person(i), address(i%weighedPeople), true)
		if err != nil {
			return nil, err
		}
		open = append(open, d)
	}
	kinds := []string{"a known device", "a new device"}
	f.Nodes, err = o.phase(ctx, "Risk Evaluation and its outcome node", b.ready, b.pid, o.rate, o.duration,
		stream{name: "Risk Evaluation", kind: func(i int) string { return kinds[i%2] }, call: func(ctx context.Context, i int) error {
			_, err := n.weigh(ctx, person(i), address(i%weighedPeople), i%2 == 0)
			return err
		}},
		stream{name: "outcome", call: func(ctx context.Context, i int) error { return n.ended(ctx, open[i%len(open)]) }},
		stream{name: "health", call: func(ctx context.Context, _ int) error { return n.health(ctx) }})
	return f, err
}

func (f *riskFigures) print(line func(format string, args ...any)) {
	line("\nrisk: store %s, %d people with a history", f.Store, f.People)
	f.Nodes.print(line, map[string]float64{"Risk Evaluation": targetRisk})
	health, node := f.Nodes.total("health"), f.Nodes.total("Risk Evaluation")
	if health.P50 > 0 && health.P99 > 0 {
		line("against health in the same run: Risk Evaluation x%.1f at p50, x%.1f at p99", node.P50/health.P50, node.P99/health.P99)
	}
}
