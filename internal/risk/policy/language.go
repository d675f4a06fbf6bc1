package policy

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
)

// Declared is a variable of a Language: what expressions call it, and of which type it is.
type Declared struct {
	Name string // with dots, as event.action
	Type *cel.Type
	Help string
}

// Language is the language of policies over other variables: the same operators and
// functions, types that are checked before anything is evaluated, and the same bounds.
// What cannot be told makes what needs it untold, too; true || untold is true, and
// has(x) asks. It is safe for concurrent use.
type Language struct {
	env      *cel.Env
	vars     map[string]bool
	page     string
	document string
}

// NewLanguage makes one. page is where the variables are documented, and document what
// expressions are a part of, both for messages.
func NewLanguage(vars []Declared, page, document string) (*Language, error) {
	l := &Language{vars: map[string]bool{}, page: page, document: document}
	opts := dialect(func(name string) bool { return l.vars[name] })
	for _, v := range vars {
		l.vars[v.Name] = true
		opts = append(opts, cel.Variable(v.Name, v.Type), cel.Variable(hasDot+v.Name, cel.BoolType))
	}
	env, err := cel.NewCustomEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("policy: the expression language: %w", err)
	}
	l.env = env
	return l, nil
}

// Expression is one that was compiled. It is safe for concurrent use.
type Expression struct {
	run   cel.Program
	names []string
}

// Names are the variables that the expression names, has() included, in alphabetical order.
func (e *Expression) Names() []string { return e.names }

// Compile checks an expression: its types, what it gives, and what it may cost. If it
// cannot be taken, code says so (expression_invalid, expression_not_bool, expression_type,
// expression_cost, expression_too_long) and message what to do. With condition it must
// give a truth; else a text, a truth, a number or a list of texts.
func (l *Language) Compile(text string, condition bool) (e *Expression, code, message string) {
	if len(text) > MaxExpression {
		return nil, "expression_too_long", fmt.Sprintf("The expression has %d bytes; at most %d are read. Make it shorter.", len(text), MaxExpression)
	}
	checked, issues := l.env.Compile(text)
	if issues.Err() != nil {
		return nil, "expression_invalid", explain(issues, l.groups, l.page, l.document)
	}
	switch t := checked.OutputType(); {
	case condition && !t.IsExactType(cel.BoolType):
		return nil, "expression_not_bool", fmt.Sprintf("The expression gives %s, not true or false. Compare it with something.", cel.FormatCELType(t))
	case !condition && !slices.ContainsFunc([]*cel.Type{cel.StringType, cel.BoolType, cel.IntType, cel.DoubleType, cel.DynType, texts}, t.IsExactType):
		return nil, "expression_type", fmt.Sprintf("The expression gives %s, which cannot be written. Make it a text, a number, a truth or a list of texts.", cel.FormatCELType(t))
	}
	if !literalPatterns(checked.NativeRep()) {
		return nil, "expression_invalid", "The pattern of matches() must be written out in quotes."
	}
	cost, err := l.env.EstimateCost(checked, bounds{})
	if err != nil || cost.Max > maxCost {
		return nil, "expression_cost", fmt.Sprintf("The expression may take too long: %s steps, at most %d are allowed. Make it simpler.", steps(cost.Max), maxCost)
	}
	e = &Expression{}
	for _, r := range checked.NativeRep().ReferenceMap() {
		if name := strings.TrimPrefix(r.Name, hasDot); l.vars[name] {
			e.names = append(e.names, name)
		}
	}
	slices.Sort(e.names)
	e.names = slices.Compact(e.names)
	e.run, err = l.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CustomDecoratorV2(onlyFinite))
	if err != nil {
		return nil, "expression_invalid", "The expression cannot be compiled: " + clip(err.Error()) + "."
	}
	return e, "", ""
}

// groups are the names that begin with group and a dot, in alphabetical order.
func (l *Language) groups(group string) []string {
	var list []string
	for name := range l.vars {
		if strings.HasPrefix(name, group+".") {
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// Eval evaluates. get gives the value of a variable (string, bool, int, float64, []string,
// map[string]any as of JSON), and whether it can be told. The result is a string, bool,
// int64, float64 or []string. An error says that there is none: something that is needed
// cannot be told, or the evaluation went wrong. It quotes nothing of the values.
func (e *Expression) Eval(get func(name string) (v any, told bool)) (any, error) {
	out, _, err := e.run.Eval(&told{get: get})
	if err != nil {
		return nil, reduce(err)
	}
	switch v := out.(type) {
	case types.String:
		return string(v), nil
	case types.Bool:
		return bool(v), nil
	case types.Int:
		return int64(v), nil
	case types.Double:
		return float64(v), nil
	}
	if list, err := out.ConvertToNative(reflect.TypeFor[[]string]()); err == nil {
		if list, ok := list.([]string); ok {
			return list, nil
		}
	}
	return nil, errors.New("it gave something that is neither a text, a truth, a number nor a list of texts")
}

// told is the variables of one evaluation. One that cannot be told is not there, which CEL
// takes for an error of what needs it.
type told struct {
	get func(name string) (any, bool)
}

func (b *told) ResolveName(name string) (any, bool) {
	if asked, ok := strings.CutPrefix(name, hasDot); ok {
		_, there := b.get(asked)
		return types.Bool(there), true
	}
	v, ok := b.get(name)
	if !ok {
		return nil, false
	}
	val, err := sized(v)
	if err != nil {
		return types.NewErr("%s", err.Error()), true
	}
	return val, true
}

func (b *told) Parent() cel.Activation { return nil }

// sized makes a value one of CEL, if it is within the bounds.
func sized(v any) (ref.Val, error) {
	object, ok := v.(map[string]any)
	if !ok {
		return celValue(v)
	}
	if len(object) > maxItems {
		return nil, errTooLong
	}
	return types.DefaultTypeAdapter.NativeToValue(object), nil
}
