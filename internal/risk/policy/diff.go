package policy

import (
	"fmt"
	"reflect"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// Kinds of changes.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Diff tells what is different in b, in words, in the order of the documents. Where a
// node is drawn is no difference. Neither document has to be valid.
func Diff(a, b *Document) []Change { return standard.Diff(a, b) }

// Diff is as the function Diff, with the titles of the compiler's signals.
func (c *Compiler) Diff(a, b *Document) []Change {
	c.init()
	if a == nil {
		a = &Document{}
	}
	if b == nil {
		b = &Document{}
	}
	d := &differ{c: c, a: newNamed(c, a), b: newNamed(c, b), changes: []Change{}}
	d.text("", "Name:", a.Name, b.Name)
	d.text("", "Description:", a.Description, b.Description)
	d.field("", "If no rule fires:", verdict(a.Otherwise), verdict(b.Otherwise))
	for i := range a.Nodes {
		if n := &a.Nodes[i]; d.b.nodes[n.ID] == nil {
			d.add(Removed, n.ID, "%s removed", d.a.what(n))
		}
	}
	for i := range b.Nodes {
		n := &b.Nodes[i]
		if old := d.a.nodes[n.ID]; old == nil {
			d.add(Added, n.ID, "%s added%s", d.b.what(n), d.c.details(n))
		} else {
			d.node(old, n)
		}
	}
	d.edges()
	d.order()
	return d.changes
}

type differ struct {
	c       *Compiler
	a, b    *named
	changes []Change
}

func (d *differ) add(kind, node, format string, args ...any) {
	d.changes = append(d.changes, Change{Kind: kind, Node: node, Text: fmt.Sprintf(format, args...)})
}

func (d *differ) field(node, what, old, now string) {
	if old != now {
		d.add(Changed, node, "%s %s → %s", what, old, now)
	}
}

// text tells a text that changed, if need be without its end.
func (d *differ) text(node, what, old, now string) {
	if old != now {
		d.add(Changed, node, "%s %s → %s", what, quoted(old), quoted(now))
	}
}

// named is a document whose nodes can be named as people call them.
type named struct {
	c     *Compiler
	nodes map[string]*Node
	in    map[string]string // the first input of a node
	order []string          // ids of the nodes, each once
	edges []Edge
}

func newNamed(c *Compiler, d *Document) *named {
	n := &named{c: c, nodes: make(map[string]*Node, len(d.Nodes)), in: map[string]string{}, edges: d.Edges}
	for i := range d.Nodes {
		if n.nodes[d.Nodes[i].ID] == nil {
			n.order = append(n.order, d.Nodes[i].ID)
		}
		n.nodes[d.Nodes[i].ID] = &d.Nodes[i]
	}
	for _, e := range d.Edges {
		if _, ok := n.in[e.To]; !ok {
			n.in[e.To] = e.From
		}
	}
	return n
}

// title is what a node is called: by its label, or by what it is.
func (m *named) title(n *Node) string {
	if n.Label != "" && n.Type != TypeDecide {
		return n.Label
	}
	switch n.Type {
	case TypeSignal:
		if s := m.c.signals[n.Signal]; s != nil {
			return s.Title
		}
		return fmt.Sprintf("Signal %q", clip(n.Signal))
	case TypeExpression:
		return "Expression " + quoted(n.Expression)
	case TypeWeight:
		if from := m.nodes[m.in[n.ID]]; from != nil && from.Type != TypeWeight {
			return m.title(from)
		}
		return "Weight " + clip(n.ID)
	case TypeCondition:
		if n.Op == AtLeast && n.Value != nil {
			return "At least " + short(*n.Value)
		}
		return strings.TrimSpace("Condition " + clip(string(n.Op)))
	case TypeCombine:
		return "Score"
	case TypeDecide:
		if n.Label != "" {
			return "rule '" + n.Label + "'"
		}
		return "rule '" + verdict(n.Decision) + "'"
	}
	return clip(n.ID)
}

// what is a title with the kind of the node, for one that comes or goes.
func (m *named) what(n *Node) string {
	switch n.Type {
	case TypeSignal:
		return "signal '" + m.title(n) + "'"
	case TypeWeight:
		return "points for '" + m.title(n) + "'"
	case TypeCondition:
		return "condition '" + m.title(n) + "'"
	case TypeCombine:
		return "score '" + m.title(n) + "'"
	}
	return m.title(n)
}

func (c *Compiler) details(n *Node) string {
	switch {
	case n.Type == TypeDecide && n.Label != "":
		return ": " + verdict(n.Decision)
	case n.Type == TypeWeight && n.Weight != nil:
		return ": " + short(*n.Weight)
	case n.Type == TypeSignal && len(n.Params) > 0:
		var list []string
		for _, p := range c.params(n.Signal, n.Params) {
			list = append(list, fmt.Sprintf("%s %s", p.title, p.value))
		}
		if len(list) > 0 {
			return ": " + strings.Join(list, ", ")
		}
	}
	return ""
}

// node tells what changed in one node.
func (d *differ) node(old, now *Node) {
	title := d.b.title(now)
	if old.Type != now.Type {
		d.add(Changed, now.ID, "%s replaced by %s", d.a.what(old), d.b.what(now))
		return
	}
	if old.Signal != now.Signal {
		d.add(Changed, now.ID, "%s replaced by %s", d.a.what(old), d.b.what(now))
	}
	d.text(now.ID, d.a.title(old)+": label:", old.Label, now.Label)
	d.params(title, old, now)
	if now.Type == TypeSignal {
		d.field(now.ID, title+": if it cannot be told:", lean(old.Unknown), lean(now.Unknown))
	}
	d.text(now.ID, title+": condition", string(old.Op), string(now.Op))
	d.field(now.ID, title+": number", amount(old.Value), amount(now.Value))
	d.text(now.ID, "Expression:", old.Expression, now.Expression)
	if now.Type == TypeWeight {
		d.field(now.ID, title+": weight", d.a.weight(old), d.b.weight(now))
	}
	d.text(now.ID, title+": combines by", string(old.How), string(now.How))
	d.field(now.ID, title+":", verdict(old.Decision), verdict(now.Decision))
}

// weight is that of a node, or of the signal that goes into it.
func (m *named) weight(n *Node) string {
	if n.Weight != nil {
		return short(*n.Weight)
	}
	if from := m.nodes[m.in[n.ID]]; from != nil && from.Type == TypeSignal {
		if s := m.c.signals[from.Signal]; s != nil {
			return short(s.Weight)
		}
	}
	return "the signal's own"
}

// params tells the settings that changed. What is not given is the default.
func (d *differ) params(title string, old, now *Node) {
	if old.Type != TypeSignal || old.Signal != now.Signal {
		return
	}
	before, after := d.c.params(now.Signal, old.Params), d.c.params(now.Signal, now.Params)
	for _, p := range after {
		i := slices.IndexFunc(before, func(b setting) bool { return b.name == p.name })
		if i < 0 {
			d.field(now.ID, title+": "+p.title, "default", p.value)
		} else if before[i].all != p.all {
			d.add(Changed, now.ID, "%s: %s %s → %s", title, p.title, before[i].value, p.value)
		}
	}
	for _, p := range before {
		if !slices.ContainsFunc(after, func(b setting) bool { return b.name == p.name }) {
			d.field(now.ID, title+": "+p.title, p.value, "default")
		}
	}
}

// setting is a parameter: its value as it is shown, and all of it, to compare.
type setting struct{ name, title, value, all string }

// params are the settings of a signal, with the defaults where it is known.
func (c *Compiler) params(name string, given map[string]any) []setting {
	var list []setting
	known := map[string]bool{}
	if s := c.signals[name]; s != nil {
		for _, p := range s.Params {
			known[p.Name] = true
			v, ok := given[p.Name]
			switch {
			case ok:
			case p.Kind == signal.List:
				v = p.List
			default:
				v = p.Number
			}
			title := p.Title
			if title == "" {
				title = p.Name
			}
			list = append(list, setting{p.Name, title, show(v), fmt.Sprint(v)})
		}
	}
	var rest []string
	for p := range given {
		if !known[p] {
			rest = append(rest, p)
		}
	}
	slices.Sort(rest)
	for _, p := range rest {
		list = append(list, setting{p, clip(p), show(given[p]), fmt.Sprint(given[p])})
	}
	return list
}

func show(v any) string {
	if f, ok := v.(float64); ok {
		return short(f)
	}
	if l := reflect.ValueOf(v); l.IsValid() && l.Kind() == reflect.Slice {
		items := make([]string, 0, min(l.Len(), 20))
		for i := range min(l.Len(), 20) {
			items = append(items, clip(fmt.Sprint(l.Index(i).Interface())))
		}
		if l.Len() > len(items) {
			items = append(items, fmt.Sprintf("and %d more", l.Len()-len(items)))
		}
		if len(items) == 0 {
			return "none"
		}
		return strings.Join(items, ", ")
	}
	return clip(fmt.Sprint(v))
}

// edges tells the connections that came and went, but for those of a node that came or
// went itself, which says so already.
func (d *differ) edges() {
	both := func(e Edge) bool {
		return d.a.nodes[e.From] != nil && d.a.nodes[e.To] != nil && d.b.nodes[e.From] != nil && d.b.nodes[e.To] != nil
	}
	was, is := d.a.edges, d.b.edges
	for _, e := range was {
		if both(e) && !slices.Contains(is, e) {
			d.add(Removed, e.To, "%s no longer goes into %s", d.a.title(d.a.nodes[e.From]), d.a.into(e.To))
		}
	}
	for _, e := range is {
		if slices.Contains(was, e) {
			continue
		}
		// A new node that goes into an old one matters: it is how it takes effect.
		if d.a.nodes[e.To] != nil && d.b.nodes[e.From] != nil && d.b.nodes[e.To] != nil {
			d.add(Added, e.To, "%s now goes into %s", d.b.title(d.b.nodes[e.From]), d.b.into(e.To))
		}
	}
}

// into names a node that something goes into; a weight has its input's name.
func (m *named) into(id string) string {
	if n := m.nodes[id]; n.Type == TypeWeight {
		return "weight " + clip(id)
	}
	return m.title(m.nodes[id])
}

// order tells the rules that changed their order: the first one that fires decides.
func (d *differ) order() {
	rules := func(m, other *named) []string {
		var ids []string
		for _, id := range m.order {
			if m.nodes[id].Type == TypeDecide && other.nodes[id] != nil && other.nodes[id].Type == TypeDecide {
				ids = append(ids, id)
			}
		}
		return ids
	}
	was, is := rules(d.a, d.b), rules(d.b, d.a)
	if slices.Equal(was, is) {
		return
	}
	var list []string
	for _, id := range is {
		list = append(list, d.b.title(d.b.nodes[id]))
	}
	d.add(Changed, "", "The rules come in another order: %s", strings.Join(list, ", "))
}

func quoted(s string) string {
	if s == "" {
		return "nothing"
	}
	return "'" + clipTo(s, 200) + "'"
}

func amount(f *float64) string {
	if f == nil {
		return "nothing"
	}
	return short(*f)
}

func lean(u Unknown) string {
	if u == Raises {
		return "counts as if it had fired"
	}
	return "ignored"
}

func verdict(v risk.Verdict) string {
	switch v {
	case risk.Allow:
		return "let through"
	case risk.StepUp:
		return "ask for a face"
	case risk.Deny:
		return "refuse"
	case "":
		return "nothing"
	}
	return clip(string(v))
}
