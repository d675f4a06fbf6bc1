package policy_test

import (
	"errors"
	"math"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// fake are signals whose readings a test sets: the parameter flip turns fired and clear
// around, so that one signal can be read in two ways.
type fake map[string]risk.Reading

// broken is the evidence of a reading that panics instead.
const broken = "broken"

var fakeNames = []string{"alpha", "beta", "gamma", "delta", "good_news"}

func (f fake) signals() []signal.Signal {
	var list []signal.Signal
	for i, name := range fakeNames {
		s := signal.Signal{
			Name: name, Title: "Title of " + name, Weight: []float64{40, 25, 15, 5, -30}[i], Lowers: name == "good_news",
			Params: []signal.Param{{Name: "flip", Title: "Flip", Kind: signal.Number, Max: 1}},
		}
		s.Bind = func(p signal.Params) func(*risk.Observation) risk.Reading {
			return func(*risk.Observation) risk.Reading { return f.read(name, p["flip"] == 1.0) }
		}
		list = append(list, s)
	}
	return list
}

func (f fake) read(name string, flip bool) risk.Reading {
	r := f[name]
	if r.Evidence == broken {
		panic("a signal with " + name)
	}
	if flip {
		switch r.Outcome {
		case risk.Fired:
			r.Outcome = risk.Clear
		case risk.Clear:
			r.Outcome = risk.Fired
		}
	}
	r.Signal = name
	return r
}

// given is what a node gives, as plainly as the package's documentation says it.
type given struct {
	holds, sure bool
	number      float64
}

var errFailed = errors.New("failed")

// plain interprets a document by recursion, without slots, sharing or order.
type plain struct {
	doc  *policy.Document
	f    fake
	o    *risk.Observation
	expr map[string]expr // by node
}

func (p *plain) node(id string) *policy.Node {
	return &p.doc.Nodes[slices.IndexFunc(p.doc.Nodes, func(n policy.Node) bool { return n.ID == id })]
}

func (p *plain) inputs(id string) []string {
	var ids []string
	for _, e := range p.doc.Edges {
		if e.To == id {
			ids = append(ids, e.From)
		}
	}
	return ids
}

func (p *plain) reading(n *policy.Node) (r risk.Reading, err error) {
	defer func() {
		if recover() != nil {
			err = errFailed
		}
	}()
	r = p.f.read(n.Signal, n.Params["flip"] == 1.0)
	if r.Value != nil && (math.IsNaN(*r.Value) || math.IsInf(*r.Value, 0)) {
		return r, errFailed
	}
	if r.Outcome != risk.Fired && r.Outcome != risk.Clear && r.Outcome != risk.CannotTell {
		return r, errFailed
	}
	return r, nil
}

func (p *plain) eval(id string) (given, error) {
	n := p.node(id)
	var in []given
	failed := false
	for _, from := range p.inputs(id) {
		g, err := p.eval(from)
		failed = failed || err != nil
		in = append(in, g)
	}
	if failed {
		return given{}, errFailed
	}
	switch n.Type {
	case policy.TypeSignal:
		r, err := p.reading(n)
		return given{holds: r.Outcome == risk.Fired || r.Outcome == risk.CannotTell && p.raises(n), sure: r.Outcome != risk.CannotTell}, err
	case policy.TypeExpression:
		e := p.expr[id]
		for _, s := range e.names() {
			if slices.Contains(fakeNames, s) {
				if _, err := p.reading(&policy.Node{Signal: s}); err != nil {
					return given{}, err
				}
			}
		}
		if score := p.o.RiskScore; score != nil && math.IsNaN(*score) && slices.Contains(e.names(), "descope.score") {
			return given{}, errFailed
		}
		holds, err := e.eval(p)
		sure := !slices.ContainsFunc(e.names(), func(name string) bool { return !p.told(name) })
		return given{holds: holds, sure: sure}, err
	case policy.TypeWeight:
		w := 0.0
		if n.Weight != nil {
			w = *n.Weight
		} else {
			for _, s := range p.f.signals() {
				if s.Name == p.node(p.inputs(id)[0]).Signal {
					w = s.Weight
				}
			}
		}
		if !in[0].holds || w < 0 && !in[0].sure {
			w = 0
		}
		return given{number: w, sure: in[0].sure}, nil
	case policy.TypeCombine:
		var numbers []float64
		sum := 0.0
		for _, g := range in {
			numbers = append(numbers, g.number)
			sum += g.number
		}
		if n.How == policy.Max {
			sum = slices.Max(numbers)
		}
		return given{number: math.Max(0, math.Min(100, sum)), sure: allSure(in)}, nil
	case policy.TypeDecide:
		return given{holds: in[0].holds && (in[0].sure || n.Decision != risk.Allow), sure: in[0].sure}, nil
	}
	return p.condition(n, in)
}

func (p *plain) raises(n *policy.Node) bool {
	return n.Unknown == policy.Raises && n.Signal != "good_news"
}

func allSure(in []given) bool {
	return !slices.ContainsFunc(in, func(g given) bool { return !g.sure })
}

func (p *plain) condition(n *policy.Node, in []given) (given, error) {
	switch n.Op {
	case policy.Not:
		return given{holds: !in[0].sure || !in[0].holds, sure: in[0].sure}, nil
	case policy.Any:
		one := slices.ContainsFunc(in, func(g given) bool { return g.holds })
		surely := slices.ContainsFunc(in, func(g given) bool { return g.holds && g.sure })
		return given{holds: one, sure: surely || allSure(in)}, nil
	case policy.All:
		miss := slices.ContainsFunc(in, func(g given) bool { return !g.holds })
		surely := slices.ContainsFunc(in, func(g given) bool { return !g.holds && g.sure })
		return given{holds: !miss, sure: surely || allSure(in)}, nil
	case policy.Count:
		hold := 0
		for _, g := range in {
			if g.holds {
				hold++
			}
		}
		// It is sure if no way of settling what is not sure changes it.
		lo, hi := 0, 0
		for _, g := range in {
			if g.holds && g.sure {
				lo++
			}
			if g.holds || !g.sure {
				hi++
			}
		}
		return given{holds: float64(hold) >= *n.Value, sure: float64(lo) >= *n.Value || float64(hi) < *n.Value}, nil
	}
	from := p.node(p.inputs(n.ID)[0])
	if from.Type != policy.TypeSignal {
		return given{holds: in[0].number >= *n.Value, sure: in[0].sure}, nil
	}
	r, err := p.reading(from)
	if r.Outcome == risk.CannotTell || r.Value == nil {
		return given{holds: p.raises(from)}, err
	}
	return given{holds: *r.Value >= *n.Value, sure: true}, err
}

// decide goes through the rules as the documentation says.
func (p *plain) decide() (verdict risk.Verdict, failed bool) {
	verdict = p.doc.Otherwise
	var fired []risk.Verdict
	told, reads := false, false
	sure := false
	exprSure := false
	for i := range p.doc.Nodes {
		n := &p.doc.Nodes[i]
		g, err := p.eval(n.ID)
		failed = failed || err != nil
		switch n.Type {
		case policy.TypeSignal:
			reads = true
			told = told || g.sure && err == nil && p.news(n)
		case policy.TypeExpression:
			exprSure = exprSure || g.sure && err == nil
			for _, s := range p.expr[n.ID].names() {
				if slices.Contains(fakeNames, s) {
					reads = true
					told = told || p.told(s) && p.news(&policy.Node{Signal: s})
				}
			}
		case policy.TypeDecide:
			if err == nil && g.holds && !sure {
				fired = append(fired, n.Decision)
				sure = g.sure
			}
		}
	}
	if len(fired) > 0 {
		verdict = fired[0]
		for _, v := range fired {
			if v.Strictness() > verdict.Strictness() {
				verdict = v
			}
		}
	}
	if !reads {
		told = exprSure
	}
	if (failed || !told) && verdict != risk.Deny {
		verdict = risk.StepUp
	}
	return verdict, failed
}

// told reports whether what an expression names can be told.
func (p *plain) told(name string) bool {
	switch name {
	case "device.known":
		return p.o.DeviceKnown != risk.Unknown
	case "descope.score":
		return p.o.RiskScore != nil
	case "network.country":
		return p.o.Country != ""
	case "login.scopes":
		return p.o.ScopesGiven
	case "history.logins", "login.hour":
		return true
	}
	r, err := p.reading(&policy.Node{Signal: name})
	return err == nil && r.Outcome != risk.CannotTell
}

// news reports whether what a signal says tells anything: good news that is not there does not.
func (p *plain) news(n *policy.Node) bool {
	r, err := p.reading(n)
	return err == nil && (r.Outcome == risk.Fired || n.Signal != "good_news")
}
