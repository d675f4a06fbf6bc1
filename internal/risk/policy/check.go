package policy

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// Bounds of texts, in characters.
const (
	maxID          = 40
	maxName        = 80
	maxDescription = 500
)

// kind is what travels along an edge.
type kind int

const (
	nothing kind = iota
	truth
	number
)

func (k kind) String() string { return [...]string{"nothing", "a truth", "a number"}[k] }

// gives is the kind of what a node gives.
func gives(n *Node) kind {
	switch n.Type {
	case TypeSignal, TypeCondition, TypeExpression:
		return truth
	case TypeWeight, TypeCombine:
		return number
	}
	return nothing
}

// graph is a document with its edges resolved, in their order.
type graph struct {
	doc     *Document
	index   map[string]int
	in, out [][]int
}

// Check tells everything that is wrong with a document, in the order of its nodes. A
// document without problems compiles.
func (c *Compiler) Check(d *Document) []Problem {
	problems, _, _ := c.check(d)
	return problems
}

type inspector struct {
	*Compiler
	graph
	problems []Problem
	programs map[string]*program // of the expressions, by node
}

func (c *inspector) add(node, field, code, format string, args ...any) {
	if len(c.problems) < maxProblems {
		c.problems = append(c.problems, Problem{Node: clip(node), Field: field, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *inspector) edge(e Edge, code, format string, args ...any) {
	if len(c.problems) < maxProblems {
		e = Edge{From: clip(e.From), To: clip(e.To)}
		c.problems = append(c.problems, Problem{Node: e.To, Edge: &e, Code: code, Message: fmt.Sprintf(format, args...)})
	}
}

func (c *Compiler) check(d *Document) ([]Problem, graph, map[string]*program) {
	c.init()
	k := &inspector{Compiler: c, programs: map[string]*program{}}
	if d == nil {
		k.add("", "", "missing", "There is no policy.")
		return k.problems, k.graph, nil
	}
	k.doc = d
	k.whole()
	if len(d.Nodes) > MaxNodes || len(d.Edges) > MaxEdges {
		return k.problems, k.graph, nil // nothing of that size is looked at more closely
	}
	ids := k.nodes()
	k.edges(ids)
	if ids {
		k.inputs()
		k.cycles()
		k.unreachable()
	}
	return k.problems, k.graph, k.programs
}

// whole looks at the document itself.
func (c *inspector) whole() {
	d := c.doc
	if d.Format > Format {
		c.add("", "format", "unknown_format", "The document has format %d, this program knows %d. Is it from a newer version of the program?", d.Format, Format)
	} else if d.Format != Format {
		c.add("", "format", "unknown_format", "The document says format %d; write %d.", d.Format, Format)
	}
	if strings.TrimSpace(d.Name) == "" {
		c.add("", "name", "missing_name", "The policy has no name. Give it one.")
	}
	c.text("", "name", d.Name, maxName, false)
	c.text("", "description", d.Description, maxDescription, true)
	if d.Otherwise != risk.Allow && d.Otherwise != risk.StepUp {
		c.add("", "otherwise", "bad_otherwise", "What holds if no rule fires must be allow or step_up. Choose one.")
	}
	if len(d.Nodes) > MaxNodes {
		c.add("", "nodes", "too_many_nodes", "The policy has %d nodes; at most %d are read. Take some out.", len(d.Nodes), MaxNodes)
	}
	if len(d.Edges) > MaxEdges {
		c.add("", "edges", "too_many_edges", "The policy has %d edges; at most %d are read. Take some out.", len(d.Edges), MaxEdges)
	}
	source, rule := false, false
	for i := range d.Nodes {
		t := d.Nodes[i].Type
		source = source || t == TypeSignal || t == TypeExpression
		rule = rule || t == TypeDecide
	}
	if !source {
		c.add("", "nodes", "missing_signal", "The policy looks at nothing. Add a signal or an expression.")
	}
	if !rule {
		c.add("", "nodes", "missing_rule", "The policy decides nothing. Add a decision and connect it.")
	}
}

func (c *inspector) text(node, field, s string, most int, lines bool) {
	if !utf8.ValidString(s) {
		c.add(node, field, "bad_text", "The %s is not UTF-8. Write it anew.", field)
		return
	}
	if n := utf8.RuneCountInString(s); n > most {
		c.add(node, field, "too_long", "The %s has %d characters; shorten it to %d.", field, n, most)
	}
	if strings.ContainsFunc(s, func(r rune) bool { return unicode.IsControl(r) && !(lines && r == '\n') }) {
		c.add(node, field, "bad_text", "The %s has characters in it that cannot be shown. Write it anew.", field)
	}
}

// nodes looks at each node by itself. It reports whether every one can be told by its id.
func (c *inspector) nodes() bool {
	good := true
	c.index = make(map[string]int, len(c.doc.Nodes))
	for i := range c.doc.Nodes {
		n := &c.doc.Nodes[i]
		switch other, twice := c.index[n.ID]; {
		case !validID(n.ID):
			c.add(n.ID, "id", "bad_id", "Node number %d needs an id of a-z, 0-9 and -, at most %d characters.", i+1, maxID)
			good = false
		case twice:
			c.add(n.ID, "id", "duplicate_id", "Nodes number %d and %d have the same id. Give one another.", other+1, i+1)
			good = false
		default:
			c.index[n.ID] = i
		}
		c.text(n.ID, "label", n.Label, maxName, false)
		if !finite(n.X) || !finite(n.Y) {
			c.add(n.ID, "x", "bad_position", "The node's place is not a number. Move it.")
		}
		c.fields(n)
		switch n.Type {
		case TypeSignal:
			c.signal(n)
		case TypeCondition:
			c.condition(n)
		case TypeExpression:
			c.expression(n)
		case TypeWeight:
			if n.Weight != nil && (!finite(*n.Weight) || math.Abs(*n.Weight) > MaxWeight) {
				c.add(n.ID, "weight", "bad_weight", "The weight must be a number from -%d to %d. Give one.", MaxWeight, MaxWeight)
			}
		case TypeCombine:
			if n.How != Sum && n.How != Max {
				c.add(n.ID, "how", "unknown_how", "A score is a sum or a max, not %q. Choose one, or is the policy from a newer version of the program?", clip(string(n.How)))
			}
		case TypeDecide:
			if !n.Decision.Valid() {
				c.add(n.ID, "decision", "unknown_decision", "A decision is allow, step_up or deny, not %q. Choose one.", clip(string(n.Decision)))
			}
		default:
			c.add(n.ID, "type", "unknown_type", "There is no part of the type %q. Remove it, or is the policy from a newer version of the program?", clip(string(n.Type)))
		}
	}
	return good
}

func validID(id string) bool {
	return id != "" && len(id) <= maxID && strings.Trim(id, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

func finite(f float64) bool { return !math.IsNaN(f) && !math.IsInf(f, 0) }

// fields refuses those that the type of a node does not have: they would be forgotten
// silently.
func (c *inspector) fields(n *Node) {
	for _, f := range []struct {
		name string
		has  bool
		of   NodeType
	}{
		{"signal", n.Signal != "", TypeSignal}, {"params", len(n.Params) > 0, TypeSignal}, {"unknown", n.Unknown != "", TypeSignal},
		{"op", n.Op != "", TypeCondition}, {"value", n.Value != nil, TypeCondition}, {"expression", n.Expression != "", TypeExpression},
		{"weight", n.Weight != nil, TypeWeight}, {"how", n.How != "", TypeCombine}, {"decision", n.Decision != "", TypeDecide},
	} {
		if f.has && f.of != n.Type && gives(n) != nothing || f.has && f.of != n.Type && n.Type == TypeDecide {
			c.add(n.ID, f.name, "misplaced_field", "A node of the type %s has no %q. Remove it.", n.Type, f.name)
		}
	}
}

func (c *inspector) signal(n *Node) {
	s, ok := c.signals[n.Signal]
	switch {
	case n.Signal == "":
		c.add(n.ID, "signal", "missing_signal", "The node names no signal. Choose one.")
	case !ok:
		c.add(n.ID, "signal", "unknown_signal", "There is no signal %q. Choose another, or is the policy from a newer version of the program?", clip(n.Signal))
	default:
		if _, err := s.Complete(n.Params); err != nil {
			c.add(n.ID, "params", "bad_params", "%s", sentence(err.Error()))
		}
	}
	if n.Unknown != "" && n.Unknown != Neutral && n.Unknown != Raises {
		c.add(n.ID, "unknown", "bad_unknown", "What cannot be told is neutral or raises, not %q. Choose one.", clip(string(n.Unknown)))
	}
}

func (c *inspector) condition(n *Node) {
	switch n.Op {
	case Any, All, Not:
		if n.Value != nil {
			c.add(n.ID, "value", "misplaced_field", "The condition %q has no number. Remove it.", n.Op)
		}
	case Count:
		if n.Value == nil || !finite(*n.Value) || *n.Value < 1 || *n.Value != math.Trunc(*n.Value) {
			c.add(n.ID, "value", "bad_value", "Say how many must hold: a whole number from 1.")
		}
	case AtLeast:
		if n.Value == nil || !finite(*n.Value) || math.Abs(*n.Value) > 1e9 {
			c.add(n.ID, "value", "bad_value", "Say from which number on the condition holds.")
		}
	default:
		c.add(n.ID, "op", "unknown_op", "A condition is any, all, not, count or at_least, not %q. Choose one, or is the policy from a newer version of the program?", clip(string(n.Op)))
	}
}

func (c *inspector) expression(n *Node) {
	switch {
	case strings.TrimSpace(n.Expression) == "":
		c.add(n.ID, "expression", "missing_expression", "The expression is empty. Write one, or remove the node.")
		return
	case len(n.Expression) > MaxExpression:
		c.add(n.ID, "expression", "expression_too_long", "The expression has %d bytes; at most %d are read. Split it over several nodes.", len(n.Expression), MaxExpression)
		return
	}
	lang, err := c.lang()
	if err != nil {
		c.add(n.ID, "expression", "expression_invalid", "Expressions do not work in this program: %v.", err)
		return
	}
	p, code, message := lang.compile(n.Expression)
	if code != "" {
		c.add(n.ID, "expression", code, "%s", message)
		return
	}
	c.programs[n.ID] = p
}

// edges resolves the edges, and tells those that go nowhere, stand twice or join what
// does not fit.
func (c *inspector) edges(ids bool) {
	c.in, c.out = make([][]int, len(c.doc.Nodes)), make([][]int, len(c.doc.Nodes))
	seen := make(map[Edge]bool, len(c.doc.Edges))
	for _, e := range c.doc.Edges {
		if seen[e] {
			c.edge(e, "duplicate_edge", "The connection from %s to %s stands twice. Remove one.", clip(e.From), clip(e.To))
			continue
		}
		seen[e] = true
		from, ok := c.index[e.From]
		if !ok {
			c.edge(e, "unknown_node", "A connection comes from %q, which is not there. Remove it.", clip(e.From))
		}
		to, there := c.index[e.To]
		if !there {
			c.edge(e, "unknown_node", "A connection goes to %q, which is not there. Remove it.", clip(e.To))
		}
		if !ok || !there || !ids {
			continue
		}
		// One that does not fit counts as an input all the same: it is told once.
		c.fits(e, &c.doc.Nodes[from], &c.doc.Nodes[to])
		c.in[to] = append(c.in[to], from)
		c.out[from] = append(c.out[from], to)
	}
}

// fits tells a connection whose one end does not give what the other takes.
func (c *inspector) fits(e Edge, from, to *Node) {
	if from.Type == TypeDecide {
		c.edge(e, "untyped", "Nothing comes out of a decision. Remove the connection from %s to %s.", e.From, e.To)
		return
	}
	if to.Type == TypeSignal || to.Type == TypeExpression {
		c.edge(e, "untyped", "Nothing goes into a %s. Remove the connection from %s to %s.", to.Type, e.From, e.To)
		return
	}
	want := truth
	if to.Type == TypeCombine || to.Type == TypeCondition && to.Op == AtLeast {
		want = number
	}
	if to.Type == TypeCondition && to.Op == AtLeast && from.Type == TypeSignal {
		return // its value is meant
	}
	if got := gives(from); got != want && got != nothing {
		hint := "Put a weight between them."
		if got == number {
			hint = "Put a condition (at least) between them."
		}
		c.edge(e, "untyped", "%s takes %s, but %s gives %s. %s", e.To, want, e.From, got, hint)
	}
}

// inputs counts what goes into each node.
func (c *inspector) inputs() {
	for i := range c.doc.Nodes {
		n, got := &c.doc.Nodes[i], len(c.in[i])
		one := n.Type == TypeWeight || n.Type == TypeDecide || n.Type == TypeCondition && (n.Op == Not || n.Op == AtLeast)
		takes := gives(n) != nothing && n.Type != TypeSignal && n.Type != TypeExpression || n.Type == TypeDecide
		switch {
		case takes && got == 0:
			c.add(n.ID, "", "missing_input", "Nothing goes into this node. Connect something to it, or remove it.")
		case one && got > 1:
			c.add(n.ID, "", "too_many_inputs", "%d connections go into this node, which takes one. Put an any or all before it.", got)
		case n.Type == TypeCondition && n.Op == Count && n.Value != nil && *n.Value > float64(got) && *n.Value == math.Trunc(*n.Value):
			c.add(n.ID, "value", "bad_value", "At least %s are to hold, but only %d can, so that it never does. Lower the number.", short(*n.Value), got)
		}
		if n.Type == TypeCondition && n.Op == AtLeast && got == 1 && n.Value != nil {
			from := &c.doc.Nodes[c.in[i][0]]
			if gives(from) == number && *n.Value <= 0 {
				c.add(n.ID, "value", "bad_value", "A score is never below %s, so that this always holds. Raise the number.", short(*n.Value))
			}
			if from.Type == TypeCombine && *n.Value > MaxScore {
				c.add(n.ID, "value", "bad_value", "A score is at most %d, so that this never holds. Lower the number.", MaxScore)
			}
		}
		if n.Type == TypeWeight && n.Weight == nil && got == 1 && c.doc.Nodes[c.in[i][0]].Type != TypeSignal {
			c.add(n.ID, "weight", "bad_weight", "What goes in has no weight of its own. Give one.")
		}
	}
}

// cycles tells each set of nodes that run in a circle (Tarjan's strongly connected
// components).
func (c *inspector) cycles() {
	n := len(c.doc.Nodes)
	order, low := make([]int, n), make([]int, n)
	on := make([]bool, n)
	var stack []int
	count := 0
	var visit func(v int)
	visit = func(v int) {
		count++
		order[v], low[v] = count, count
		stack = append(stack, v)
		on[v] = true
		for _, w := range c.out[v] {
			if order[w] == 0 {
				visit(w)
				low[v] = min(low[v], low[w])
			} else if on[w] {
				low[v] = min(low[v], order[w])
			}
		}
		if low[v] != order[v] {
			return
		}
		at := slices.Index(stack, v)
		circle := slices.Sorted(slices.Values(stack[at:]))
		stack = stack[:at]
		for _, w := range circle {
			on[w] = false
		}
		if len(circle) > 1 || slices.Contains(c.out[v], v) {
			ids := make([]string, 0, len(circle))
			for _, w := range circle[:min(len(circle), 10)] {
				ids = append(ids, c.doc.Nodes[w].ID)
			}
			c.add(ids[0], "", "cycle", "These nodes run in a circle: %s. Remove a connection between them.", strings.Join(ids, ", "))
		}
	}
	for v := range n {
		if order[v] == 0 {
			visit(v)
		}
	}
}

// unreachable tells the nodes from which no way leads to a decision.
func (c *inspector) unreachable() {
	leads := map[int]bool{}
	var visit func(v int)
	visit = func(v int) {
		if leads[v] {
			return
		}
		leads[v] = true
		for _, w := range c.in[v] {
			visit(w)
		}
	}
	for i := range c.doc.Nodes {
		if c.doc.Nodes[i].Type == TypeDecide {
			visit(i)
		}
	}
	if len(leads) == 0 {
		return // there is no decision, which was told
	}
	for i := range c.doc.Nodes {
		if !leads[i] {
			c.add(c.doc.Nodes[i].ID, "", "unreachable", "No decision looks at this node. Connect it to something that leads to one, or remove it.")
		}
	}
}

// sentence makes an error a sentence.
func sentence(s string) string {
	s = strings.TrimSpace(s)
	if i := strings.Index(s, "signal: "); i == 0 {
		s = s[len("signal: "):]
	}
	r, size := utf8.DecodeRuneInString(s)
	s = string(unicode.ToUpper(r)) + s[size:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
