package policy_test

import (
	"fmt"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"pgregory.net/rapid"
)

// expr is an expression twice: as text for the compiler, and to be interpreted.
type expr interface {
	text() string
	eval(p *plain) (bool, error)
	names() []string // facts as expressions name them, signals without "signals."
}

type leaf struct {
	src   string
	named []string
	fn    func(p *plain) (bool, error)
}

func (l leaf) text() string                { return l.src }
func (l leaf) eval(p *plain) (bool, error) { return l.fn(p) }
func (l leaf) names() []string             { return l.named }

type negated struct{ of expr }

func (n negated) text() string { return "!(" + n.of.text() + ")" }
func (n negated) eval(p *plain) (bool, error) {
	v, err := n.of.eval(p)
	return !v, err
}
func (n negated) names() []string { return n.of.names() }

// joined is && or ||. In CEL, an operand that settles the result does so even if the
// other one fails.
type joined struct {
	op   string
	a, b expr
}

func (j joined) text() string { return "(" + j.a.text() + " " + j.op + " " + j.b.text() + ")" }
func (j joined) eval(p *plain) (bool, error) {
	a, errA := j.a.eval(p)
	b, errB := j.b.eval(p)
	settles := j.op == "||"
	if errA == nil && a == settles || errB == nil && b == settles {
		return settles, nil
	}
	if errA != nil || errB != nil {
		return false, errFailed
	}
	return !settles, nil
}
func (j joined) names() []string { return slices.Concat(j.a.names(), j.b.names()) }

func genExpr(t *rapid.T, depth int) expr {
	if depth > 0 {
		switch rapid.IntRange(0, 3).Draw(t, "shape") {
		case 0:
			return negated{genExpr(t, depth-1)}
		case 1:
			return joined{rapid.SampledFrom([]string{"&&", "||"}).Draw(t, "op"), genExpr(t, depth-1), genExpr(t, depth-1)}
		}
	}
	switch rapid.IntRange(0, 7).Draw(t, "leaf") {
	case 0:
		return leaf{"device.known", []string{"device.known"}, func(p *plain) (bool, error) { return p.o.DeviceKnown == risk.Yes, nil }}
	case 1:
		return leaf{"has(device.known)", []string{"device.known"}, func(p *plain) (bool, error) { return p.o.DeviceKnown != risk.Unknown, nil }}
	case 2:
		least := rapid.IntRange(0, 10).Draw(t, "tenths")
		return leaf{fmt.Sprintf("descope.score * 10.0 >= %d", least), []string{"descope.score"}, func(p *plain) (bool, error) {
			score := 0.0
			if p.o.RiskScore != nil {
				score = *p.o.RiskScore
			}
			return score*10 >= float64(least), nil
		}}
	case 3:
		return leaf{"network.country in ['DE', 'FR']", []string{"network.country"}, func(p *plain) (bool, error) { return p.o.Country == "DE" || p.o.Country == "FR", nil }}
	case 4:
		return leaf{"login.scopes.exists(s, s.startsWith('admin'))", []string{"login.scopes"}, func(p *plain) (bool, error) { return slices.Contains(p.o.Scopes, "admin:all"), nil }}
	case 5:
		return leaf{"6 / history.logins > 1", []string{"history.logins"}, func(p *plain) (bool, error) {
			if p.o.Logins == 0 {
				return false, errFailed
			}
			return 6/p.o.Logins > 1, nil
		}}
	}
	name, outcome := rapid.SampledFrom(fakeNames).Draw(t, "signal"), rapid.SampledFrom(allOutcomes).Draw(t, "outcome")
	return leaf{fmt.Sprintf("signals.%s == %q", name, outcome), []string{name}, func(p *plain) (bool, error) {
		r, err := p.reading(&policy.Node{Signal: name})
		return r.Outcome == outcome, err
	}}
}

var allOutcomes = []risk.Outcome{risk.Fired, risk.Clear, risk.CannotTell}
