package hooks

import (
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Compiled is a rules document that can be evaluated. It never changes, and is safe for
// concurrent use.
type Compiled struct {
	Version int64
	rules   []*compiledRule            // those that are on, in the order of the document
	on      map[string][]*compiledRule // by action, without those that listen to any
}

type compiledRule struct {
	*Rule
	place  int // in rules
	any    bool
	cond   *policy.Expression // nil: always
	tongue *tongue
	within time.Duration // of Count
}

// InvalidError says that a document cannot be taken, and all that is wrong with it.
type InvalidError struct{ Problems []Problem }

func (e *InvalidError) Error() string {
	for _, p := range e.Problems {
		if !p.Warning {
			return "hooks: rules: " + p.Path + ": " + p.Message
		}
	}
	return "hooks: rules that cannot be taken"
}

// Unwrap makes it proof.CodeInvalid.
func (e *InvalidError) Unwrap() error { return proof.Invalid("rules", "the rules cannot be taken") }

// Compile makes rules that can be evaluated, or gives an *InvalidError. The rules must not
// be changed afterwards.
func Compile(rules []Rule) (*Compiled, error) {
	problems, parsed := check(rules)
	if slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning }) {
		return nil, &InvalidError{problems}
	}
	c := &Compiled{on: map[string][]*compiledRule{}}
	for i := range rules {
		r := &compiledRule{Rule: &rules[i]}
		if r.Off {
			continue
		}
		r.cond, r.tongue = parsed[i].cond, parsed[i].tongue
		r.within = parsed[i].within
		r.place = len(c.rules)
		r.any = slices.Contains(r.On, AnyAction)
		c.rules = append(c.rules, r)
		if !r.any {
			for _, action := range slices.Compact(slices.Sorted(slices.Values(r.On))) {
				c.on[action] = append(c.on[action], r)
			}
		}
	}
	return c, nil
}

// listens reports whether any rule may do something about an action.
func (c *Compiled) listens(action string) bool {
	return len(c.on[action]) > 0 || slices.ContainsFunc(c.rules, func(r *compiledRule) bool { return r.any })
}

// matching are the rules that an event meets, apart from their counts, in the order of the
// document.
func (c *Compiled) matching(e *Event, content *Content) []*compiledRule {
	if reserved(e.Action) && e.Source != SourceHere {
		return nil // whoever says so, it did not happen here
	}
	var list []*compiledRule
	x := &seen{event: e, content: content}
	for _, r := range c.on[e.Action] {
		if r.holds(x) {
			list = append(list, r)
		}
	}
	named := len(list)
	for _, r := range c.rules {
		if r.any && r.holds(x) {
			list = append(list, r)
		}
	}
	if named > 0 && named < len(list) {
		slices.SortFunc(list, func(a, b *compiledRule) int { return a.place - b.place })
	}
	return list
}

// holds reports whether the condition is true for sure. What cannot be told is not.
func (r *compiledRule) holds(x *seen) bool {
	if r.cond == nil {
		return true
	}
	v, err := r.tongue.eval(r.cond, x)
	yes, ok := v.(bool)
	return err == nil && ok && yes
}

// Matching gives the ids of the rules that an event meets, apart from their counts.
func (c *Compiled) Matching(e *Event, content *Content) []string {
	var ids []string
	for _, r := range c.matching(e, content) {
		ids = append(ids, r.ID)
	}
	return ids
}

// compileMapping checks a mapping, and gives the expressions by attribute.
func compileMapping(m map[string]string) (map[string]*policy.Expression, []Problem) {
	in := &inspector{}
	return in.attributes("", m), in.problems
}
