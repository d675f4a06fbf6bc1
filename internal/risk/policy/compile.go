package policy

import (
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// Policy is a compiled document. It never changes, and is safe for concurrent use.
type Policy struct {
	doc     *Document
	readers []source
	slots   []slot // in the order of evaluation: what goes into one comes before it
	rules   []int  // slots of the decide nodes, in the order of the document
	scores  []int  // slots of the combine nodes
	own     []own  // for the score of a policy that combines nothing
	pool    sync.Pool
}

// source is one signal with its parameters. Nodes that read the same share it.
type source struct {
	signal string
	weight float64
	lowers bool
	read   func(*risk.Observation) risk.Reading
}

// slot is a node, with its inputs resolved.
type slot struct {
	node   *Node
	in     []int // slots
	reads  []int // readings: of a signal the one, of an expression those that it names
	lowers bool  // of a signal
	weight float64
	eval   func(s *state) value // called only if everything that goes in could be evaluated
}

// own is a signal's own weight, which counts once, however many nodes read it.
type own struct {
	weight   float64
	slots    []int // its nodes
	readings []int // of expressions
}

// value is what a node gives.
type value struct {
	number float64
	holds  bool
	sure   bool
	failed bool // it, or something that it rests on, could not be evaluated
}

// state is one evaluation.
type state struct {
	o        *risk.Observation
	readings []risk.Reading
	unread   []string // why a signal could not be read; empty if it could
	values   []value
	path     []bool
	part     []float64 // of a reading: the weight with which it had a part in the decision
	took     []bool    // of a reading: whether it had
	node     string    // the node at which evaluation failed first
	why      string
}

// Compile makes a policy of a document, or gives an *InvalidError with all that is
// wrong. The document must not be changed afterwards.
func (c *Compiler) Compile(d *Document) (*Policy, error) {
	problems, g, programs := c.check(d)
	if len(problems) > 0 {
		return nil, &InvalidError{problems}
	}
	p := &Policy{doc: d}
	order := g.sorted()
	at := make([]int, len(order)) // slot of a node
	for i, n := range order {
		at[n] = i
	}
	b := &builder{Compiler: c, p: p, own: map[string]int{}}
	for _, n := range order {
		s := slot{node: &d.Nodes[n]}
		for _, from := range g.in[n] {
			s.in = append(s.in, at[from])
		}
		if err := b.build(&s, programs[s.node.ID]); err != nil {
			return nil, err
		}
		p.slots = append(p.slots, s)
	}
	for n := range d.Nodes {
		switch d.Nodes[n].Type {
		case TypeDecide:
			p.rules = append(p.rules, at[n])
		case TypeCombine:
			p.scores = append(p.scores, at[n])
		}
	}
	p.pool.New = func() any {
		return &state{
			unread: make([]string, len(p.readers)), part: make([]float64, len(p.readers)), took: make([]bool, len(p.readers)),
			values: make([]value, len(p.slots)), path: make([]bool, len(p.slots)),
		}
	}
	return p, nil
}

// Document is what the policy was compiled from. It must not be changed.
func (p *Policy) Document() *Document { return p.doc }

// sorted are the nodes, each after what goes into it, else in their own order.
func (g *graph) sorted() []int {
	order := make([]int, 0, len(g.in))
	done := make([]bool, len(g.in))
	var visit func(n int)
	visit = func(n int) {
		if done[n] {
			return
		}
		done[n] = true
		for _, from := range g.in[n] {
			visit(from)
		}
		order = append(order, n)
	}
	for n := range g.in {
		visit(n)
	}
	return order
}

type builder struct {
	*Compiler
	p    *Policy
	keys []readKey
	own  map[string]int
}

// readKey tells whether two nodes read the same.
type readKey struct {
	signal string
	params string
}

// reading gives the reading of a signal with some parameters, a new one if need be.
func (b *builder) reading(name string, given map[string]any) (int, error) {
	s := b.signals[name]
	params, err := s.Complete(given)
	if err != nil {
		return 0, err
	}
	key := readKey{name, canonical(params)}
	for i, k := range b.keys {
		if k == key {
			return i, nil
		}
	}
	b.keys = append(b.keys, key)
	b.p.readers = append(b.p.readers, source{signal: name, weight: s.Weight, lowers: s.Lowers, read: s.Bind(params)})
	return len(b.p.readers) - 1, nil
}

// owned is where a signal's own weight is counted.
func (b *builder) owned(name string) *own {
	i, ok := b.own[name]
	if !ok {
		i = len(b.p.own)
		b.own[name] = i
		b.p.own = append(b.p.own, own{weight: b.signals[name].Weight})
	}
	return &b.p.own[i]
}

// build makes the closure of one node.
func (b *builder) build(s *slot, expr *program) error {
	n, me := s.node, len(b.p.slots)
	in := s.in
	switch n.Type {
	case TypeSignal:
		r, err := b.reading(n.Signal, n.Params)
		if err != nil {
			return err
		}
		s.reads = []int{r}
		s.lowers = b.signals[n.Signal].Lowers
		s.weight = b.signals[n.Signal].Weight
		o := b.owned(n.Signal)
		o.slots = append(o.slots, me)
		lean := n.leans(s.lowers)
		s.eval = func(st *state) value {
			if why := st.unread[r]; why != "" {
				return st.fail(n, why)
			}
			switch st.readings[r].Outcome {
			case risk.Fired:
				return value{holds: true, sure: true}
			case risk.Clear:
				return value{sure: true}
			}
			return value{holds: lean}
		}
	case TypeExpression:
		for _, name := range expr.signals {
			r, err := b.reading(name, nil)
			if err != nil {
				return err
			}
			s.reads = append(s.reads, r)
			o := b.owned(name)
			o.readings = append(o.readings, r)
		}
		reads := s.reads
		s.eval = func(st *state) value { return st.expression(n, expr, reads) }
	case TypeCondition:
		s.eval = b.condition(n, in)
	case TypeWeight:
		from := &b.p.slots[in[0]]
		s.weight = from.weight
		if n.Weight != nil {
			s.weight = *n.Weight
		}
		w := s.weight
		s.eval = func(st *state) value {
			v := st.values[in[0]]
			if !v.holds || w < 0 && !v.sure {
				return value{sure: v.sure}
			}
			return value{number: w, sure: v.sure}
		}
	case TypeCombine:
		s.eval = combine(n.How, in)
	case TypeDecide:
		allow := n.Decision == risk.Allow
		s.eval = func(st *state) value {
			v := st.values[in[0]]
			return value{holds: v.holds && (v.sure || !allow), sure: v.sure}
		}
	}
	return nil
}

// leans is how a signal's node counts if it cannot tell. Of a signal that lowers, what
// is good news is never assumed.
func (n *Node) leans(lowers bool) bool { return n.Unknown == Raises && !lowers }

func (b *builder) condition(n *Node, in []int) func(*state) value {
	switch n.Op {
	case Not:
		return func(st *state) value {
			v := st.values[in[0]]
			return value{holds: !v.holds || !v.sure, sure: v.sure}
		}
	case AtLeast:
		least := *n.Value
		from := &b.p.slots[in[0]]
		if from.node.Type != TypeSignal {
			return func(st *state) value {
				v := st.values[in[0]]
				return value{holds: v.number >= least, sure: v.sure}
			}
		}
		r, lean := from.reads[0], from.node.leans(from.lowers)
		return func(st *state) value {
			reading := &st.readings[r]
			if reading.Outcome == risk.CannotTell || reading.Value == nil {
				return value{holds: lean}
			}
			return value{holds: *reading.Value >= least, sure: true}
		}
	}
	// Any is at least one of them, all is at least all.
	least := 1
	switch n.Op {
	case All:
		least = len(in)
	case Count:
		least = int(*n.Value)
	}
	return func(st *state) value {
		hold, surely, open := 0, 0, 0
		for _, i := range in {
			v := &st.values[i]
			if v.holds {
				hold++
			}
			switch {
			case !v.sure:
				open++
			case v.holds:
				surely++
			}
		}
		if surely >= least {
			return value{holds: true, sure: true}
		}
		return value{holds: hold >= least, sure: surely+open < least}
	}
}

func combine(how How, in []int) func(*state) value {
	return func(st *state) value {
		out := value{sure: true}
		for k, i := range in {
			v := &st.values[i]
			out.sure = out.sure && v.sure
			switch {
			case how == Sum:
				out.number += v.number
			case k == 0 || v.number > out.number:
				out.number = v.number
			}
		}
		out.number = min(max(out.number, 0), MaxScore)
		return out
	}
}
