package runner

import (
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// operator compares what stands under a condition's key with its predicate.
type operator func(target, predicate any) bool

// operators are those of conditions. They answer as the evaluator in Descope's
// published web component (realtime-conditions), which says that it mirrors the
// server. Note what that makes of a key that is not there: equal "" holds, is-false
// and doesnt-contains do not.
func operators(n *flow.Names) map[string]operator {
	o := n.Operators
	equal := func(t, p any) bool { return same(t, p) || toText(t) == toText(p) }
	number := func(holds func(t, p float64) bool) operator {
		return func(t, p any) bool {
			a, okA := toFloat(t)
			b, okB := toFloat(p)
			return okA && okB && holds(a, b)
		}
	}
	includes := func(list []any, x any) bool {
		return slices.ContainsFunc(list, func(item any) bool { return same(item, x) })
	}
	// contains has no answer for what is neither a list nor a text.
	contains := func(t, p any) (holds, ok bool) {
		switch t := t.(type) {
		case []any:
			return includes(t, p), true
		case string:
			return strings.Contains(t, toText(p)), true
		}
		return false, false
	}
	in := func(t, p any) (holds, ok bool) {
		list, ok := toList(p)
		return ok && includes(list, t), ok
	}
	return map[string]operator{
		o.Equal:          equal,
		o.NotEqual:       func(t, p any) bool { return !equal(t, p) },
		o.Contains:       func(t, p any) bool { holds, ok := contains(t, p); return ok && holds },
		o.NotContains:    func(t, p any) bool { holds, ok := contains(t, p); return ok && !holds },
		o.Greater:        number(func(t, p float64) bool { return t > p }),
		o.GreaterOrEqual: number(func(t, p float64) bool { return t >= p }),
		o.Less:           number(func(t, p float64) bool { return t < p }),
		o.LessOrEqual:    number(func(t, p float64) bool { return t <= p }),
		o.Empty:          func(t, _ any) bool { return isEmpty(t) },
		o.NotEmpty:       func(t, _ any) bool { return !isEmpty(t) },
		o.IsTrue:         func(t, _ any) bool { value, ok := toBool(t); return ok && value },
		o.IsFalse:        func(t, _ any) bool { value, ok := toBool(t); return ok && !value },
		o.In:             func(t, p any) bool { holds, ok := in(t, p); return ok && holds },
		o.NotIn:          func(t, p any) bool { holds, ok := in(t, p); return ok && !holds },
		o.Matches: func(t, p any) bool {
			s, ok := t.(string)
			if !ok {
				return false
			}
			re, err := regexp.Compile(toText(p))
			return err == nil && re.MatchString(s)
		},
	}
}

// riskKeys begin keys that a login is judged by.
var riskKeys = []string{"riskInfo.", "user.fingerprint.", "user.lastAuth."}

// errUntold is a condition on a key of a risk that nothing is known of.
type errUntold string

func (e errUntold) Error() string { return fmt.Sprintf("nothing is known of %s", string(e)) }

// decide picks the way out of a condition: the first branch all of whose comparisons
// hold. A comparison with a risk that is not known does not come out one way or the
// other, since "not true" would read as safe: it is an error. (Descope has no such
// rule that we know of; a flow that is fine there is fine here, too.)
func (r *Runner) decide(t *flow.Task, ctx values) (interaction string, err error) {
	for _, b := range t.Conditions {
		if b.InteractionID == flow.Else {
			return b.InteractionID, nil
		}
		holds := len(b.Atomic) > 0 // a branch without a comparison is no "else"
		for _, a := range b.Atomic {
			op, ok := r.operators[a.Operator]
			if !ok {
				return "", fmt.Errorf("operator %q is not supported", a.Operator)
			}
			target, err := r.operand(&a.Target, ctx)
			if err != nil {
				return "", err
			}
			predicate, err := r.operand(a.Predicate, ctx)
			if err != nil {
				return "", err
			}
			if !op(target, predicate) {
				holds = false
				break
			}
		}
		if holds {
			return b.InteractionID, nil
		}
	}
	return "", fmt.Errorf("no branch holds, and there is no %s", flow.Else)
}

func (r *Runner) operand(v *flow.Value, ctx values) (any, error) {
	if v == nil {
		return nil, nil
	}
	keys := templates(v.Value)
	if v.Type == flow.FromContext {
		keys = []string{toText(v.Value)}
	}
	for _, key := range keys {
		if _, ok := ctx.get(key); !ok && slices.ContainsFunc(riskKeys, func(p string) bool { return strings.HasPrefix(key, p) }) {
			return nil, errUntold(key)
		}
	}
	if v.Type == flow.FromContext {
		value, _ := ctx.get(keys[0])
		return value, nil
	}
	return ctx.resolve(v.Value), nil
}
