package policy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"cel.dev/cel-go/checker"
	"cel.dev/cel-go/common"
	"cel.dev/cel-go/common/ast"
	"cel.dev/cel-go/common/env"
	"cel.dev/cel-go/common/operators"
	"cel.dev/cel-go/common/overloads"
	"cel.dev/cel-go/common/types"
	"cel.dev/cel-go/common/types/ref"
	"cel.dev/cel-go/interpreter"
	"cel.dev/cel-go/parser"

	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// maxCost is what an expression may cost, in CEL's own units (about one for each simple
// step): estimated for the worst login before it is taken, and counted while it runs.
const maxCost = 20_000

// Names of the variables, by what stands before the dot.
const (
	signalsDot = "signals."
	hasDot     = "@has." // what has(a.b) becomes: whether a.b can be told
)

// language is CEL with the variables of a login, and without what a policy needs not:
// types, times, bytes, protocol buffers, dynamic values.
type language struct {
	env     *cel.Env
	facts   map[string]int
	signals map[string]bool
}

// program is a compiled expression and what it names.
type program struct {
	run     cel.Program
	facts   []int    // of facts
	signals []string // in alphabetical order
}

func newLanguage(signals []string) (*language, error) {
	l := &language{facts: map[string]int{}, signals: map[string]bool{}}
	opts := dialect(l.knows)
	for i, f := range facts {
		l.facts[f.name] = i
		opts = append(opts, cel.Variable(f.name, f.typ), cel.Variable(hasDot+f.name, cel.BoolType))
	}
	for _, s := range signals {
		l.signals[s] = true
		opts = append(opts, cel.Variable(signalsDot+s, cel.StringType), cel.Variable(hasDot+signalsDot+s, cel.BoolType))
	}
	e, err := cel.NewCustomEnv(opts...)
	if err != nil {
		return nil, fmt.Errorf("policy: the expression language: %w", err)
	}
	l.env = e
	return l, nil
}

// Variables lists what expressions can name, for people to choose from.
func (c *Compiler) Variables() []Variable {
	c.init()
	list := make([]Variable, 0, len(facts)+len(c.order))
	for _, f := range facts {
		list = append(list, Variable{Name: f.name, Type: cel.FormatCELType(f.typ), Help: f.help})
	}
	for _, name := range c.order {
		s := c.signals[name]
		list = append(list, Variable{Name: signalsDot + name, Type: "string", Help: fmt.Sprintf("The signal %q with its defaults: `fired`, `clear` or `cannot_tell`.", s.Title)})
	}
	return list
}

// Variables is Compiler.Variables over the signals of this program.
func Variables() []Variable { return standard.Variables() }

func subset() *env.LibrarySubset {
	s := &env.LibrarySubset{IncludeMacros: []string{operators.All, operators.Exists, operators.ExistsOne, "existsOne", operators.Map, operators.Filter}}
	for _, name := range []string{
		operators.Conditional, operators.LogicalAnd, operators.LogicalOr, operators.LogicalNot, operators.NotStrictlyFalse,
		operators.Equals, operators.NotEquals, operators.Less, operators.LessEquals, operators.Greater, operators.GreaterEquals,
		operators.Add, operators.Subtract, operators.Multiply, operators.Divide, operators.Modulo, operators.Negate,
		operators.In, operators.Index, overloads.Size, overloads.Contains, overloads.StartsWith, overloads.EndsWith, overloads.Matches,
	} {
		s.IncludeFunctions = append(s.IncludeFunctions, &env.Function{Name: name})
	}
	// Of the conversions only those between numbers.
	for name, overload := range map[string][]string{overloads.TypeConvertInt: {overloads.IntToInt, overloads.DoubleToInt}, overloads.TypeConvertDouble: {overloads.DoubleToDouble, overloads.IntToDouble}} {
		f := &env.Function{Name: name}
		for _, id := range overload {
			f.Overloads = append(f.Overloads, &env.Overload{ID: id})
		}
		s.IncludeFunctions = append(s.IncludeFunctions, f)
	}
	return s
}

// dialect is CEL without what conditions need not, whatever the variables are; known
// tells their names. It makes has(device.known) ask whether that can be told. CEL's own
// would ask for the field of a message, of which there are none.
func dialect(known func(name string) bool) []cel.EnvOption {
	has := func(h parser.ExprHelper, _ ast.Expr, args []ast.Expr) (ast.Expr, *common.Error) {
		name := dotted(args[0])
		if !known(name) {
			return nil, h.NewError(args[0].ID(), "has() takes a name of the list, as has(device.known)")
		}
		return h.NewIdent(hasDot + name), nil
	}
	return []cel.EnvOption{
		cel.StdLib(cel.StdLibSubset(subset())), cel.Macros(parser.NewGlobalMacro(operators.Has, 1, has)),
		cel.CrossTypeNumericComparisons(true), cel.HomogeneousAggregateLiterals(), cel.EagerlyValidateDeclarations(true),
		cel.ParserExpressionSizeLimit(MaxExpression), cel.ParserRecursionLimit(60), cel.ASTValidators(cel.ValidateRegexLiterals()),
	}
}

func (l *language) knows(name string) bool {
	_, ok := l.facts[name]
	return ok || l.signals[strings.TrimPrefix(name, signalsDot)]
}

func dotted(e ast.Expr) string {
	switch e.Kind() {
	case ast.IdentKind:
		return e.AsIdent()
	case ast.SelectKind:
		if e.AsSelect().IsTestOnly() {
			return ""
		}
		if left := dotted(e.AsSelect().Operand()); left != "" {
			return left + "." + e.AsSelect().FieldName()
		}
	}
	return ""
}

// compile checks an expression: its types, that it gives a truth, and what it may cost.
// A code says that something is wrong, and the message what.
func (l *language) compile(text string) (p *program, code, message string) {
	checked, issues := l.env.Compile(text)
	if issues.Err() != nil {
		return nil, "expression_invalid", explain(issues, l.groups, "docs/policy-expressions.md", "policy")
	}
	if t := checked.OutputType(); !t.IsExactType(cel.BoolType) {
		return nil, "expression_not_bool", fmt.Sprintf("The expression gives %s, not true or false. Compare it with something.", cel.FormatCELType(t))
	}
	p = &program{}
	for _, r := range checked.NativeRep().ReferenceMap() {
		name := strings.TrimPrefix(r.Name, hasDot)
		if i, ok := l.facts[name]; ok {
			p.facts = append(p.facts, i)
		} else if s, ok := strings.CutPrefix(name, signalsDot); ok && l.signals[s] {
			p.signals = append(p.signals, s)
		}
	}
	slices.Sort(p.facts)
	slices.Sort(p.signals)
	p.facts, p.signals = slices.Compact(p.facts), slices.Compact(p.signals)
	if len(p.facts)+len(p.signals) == 0 {
		return nil, "expression_constant", "The expression names nothing of a login and always gives the same. Name something, or remove the node."
	}
	if !literalPatterns(checked.NativeRep()) {
		return nil, "expression_invalid", "The pattern of matches() must be written out in quotes."
	}
	cost, err := l.env.EstimateCost(checked, bounds{})
	if err != nil || cost.Max > maxCost {
		return nil, "expression_cost", fmt.Sprintf("The expression may take too long: %s steps, at most %d are allowed. Make it simpler, or split it over several nodes.", steps(cost.Max), maxCost)
	}
	p.run, err = l.env.Program(checked, cel.EvalOptions(cel.OptOptimize), cel.CostLimit(maxCost), cel.CustomDecoratorV2(onlyFinite))
	if err != nil {
		return nil, "expression_invalid", "The expression cannot be compiled: " + clip(err.Error()) + "."
	}
	return p, "", ""
}

func steps(n uint64) string {
	if n > 1_000_000_000 {
		return "very many"
	}
	return fmt.Sprint(n)
}

// explain puts what CEL says about an expression into words. groups are the names that
// begin with one and a dot, page is where all are listed, and document what the expression
// is a part of.
func explain(issues *cel.Issues, groups func(group string) []string, page, document string) string {
	list := issues.Errors()
	e := list[0]
	where := fmt.Sprintf("line %d, column %d", e.Location.Line(), e.Location.Column()+1)
	msg := e.Message
	if rest, ok := strings.CutPrefix(msg, "undeclared reference to '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		if known := groups(name); len(known) > 0 {
			return fmt.Sprintf("At %s: %q alone is nothing, or what follows the dot is not known. Known are %s.", where, clip(name), strings.Join(known, ", "))
		}
		return fmt.Sprintf("At %s: %q is not known here. %s lists what is; or is the %s from a newer version of the program?", where, clip(name), page, document)
	}
	if rest, ok := strings.CutPrefix(msg, "found no matching overload for '"); ok {
		name, _, _ := strings.Cut(rest, "'")
		return fmt.Sprintf("At %s: %q does not go with values of these types. Numbers with a dot (1.0) and without, and texts, do not mix.", where, strings.Trim(name, "_@"))
	}
	if e.Location.Line() < 1 { // the parser gave up: its limits have no place in the text
		return "The expression nests too deep, or makes no sense from some point on. Mend it, or split it over several nodes."
	}
	return fmt.Sprintf("At %s: %s.", where, strings.TrimSuffix(clipTo(msg, 200), "."))
}

// groups are the names that begin with group and a dot, in alphabetical order.
func (l *language) groups(group string) []string {
	var list []string
	for name := range l.facts {
		if strings.HasPrefix(name, group+".") {
			list = append(list, name)
		}
	}
	if group+"." == signalsDot {
		for name := range l.signals {
			list = append(list, signalsDot+name)
		}
	}
	slices.Sort(list)
	return list
}

// literalPatterns reports whether every pattern stands in the expression itself, so
// that it is compiled, and refused, before any login.
func literalPatterns(a *ast.AST) bool {
	calls := ast.MatchDescendants(ast.NavigateAST(a), ast.FunctionMatcher(overloads.Matches))
	for _, c := range calls {
		args := c.AsCall().Args()
		if len(args) == 0 || args[len(args)-1].Kind() != ast.LiteralKind {
			return false
		}
	}
	return true
}

// bounds tells CEL how large what it reads can be.
type bounds struct{}

func (bounds) EstimateSize(n checker.AstNode) *checker.SizeEstimate {
	switch path := n.Path(); {
	case n.Type().Kind() == types.ListKind:
		return &checker.SizeEstimate{Max: maxItems}
	case len(path) > 0 && path[len(path)-1] == "@items":
		return &checker.SizeEstimate{Max: maxItem}
	case n.Type().Kind() == types.StringKind:
		return &checker.SizeEstimate{Max: maxText}
	}
	return nil
}

func (bounds) EstimateCallCost(_, _ string, _ *checker.AstNode, _ []checker.AstNode) *checker.CallEstimate {
	return nil
}

// onlyFinite makes arithmetic that overflows, or gives no number, an error: NaN compares
// false with everything and would quietly clear.
func onlyFinite(i interpreter.InterpretableV2) (interpreter.InterpretableV2, error) {
	if call, ok := i.(interpreter.InterpretableCall); ok {
		switch call.Function() {
		case operators.Add, operators.Subtract, operators.Multiply, operators.Divide, overloads.TypeConvertDouble:
			return finiteCall{call}, nil
		}
	}
	return i, nil
}

type finiteCall struct{ interpreter.InterpretableCall }

func (c finiteCall) Exec(f *interpreter.ExecutionFrame) ref.Val {
	return c.check(c.InterpretableCall.Exec(f))
}

func (c finiteCall) Eval(a interpreter.Activation) ref.Val {
	return c.check(c.InterpretableCall.Eval(a))
}

func (c finiteCall) check(v ref.Val) ref.Val {
	if d, ok := v.(types.Double); ok && (math.IsNaN(float64(d)) || math.IsInf(float64(d), 0)) {
		return types.NewErrWithNodeID(c.ID(), "%w", errNotFinite)
	}
	return v
}

// binding is the values of what one expression names.
type binding struct {
	names []string
	vals  []ref.Val
}

// ResolveName finds one of the few by its name.
func (b *binding) ResolveName(name string) (any, bool) {
	for i, n := range b.names {
		if n == name {
			return b.vals[i], true
		}
	}
	return nil, false
}

// Parent is nil: there is nothing around it.
func (b *binding) Parent() cel.Activation { return nil }

var outcomes = map[risk.Outcome]ref.Val{risk.Fired: types.String(risk.Fired), risk.Clear: types.String(risk.Clear), risk.CannotTell: types.String(risk.CannotTell)}

// eval evaluates an expression. readings are those of the signals that it names, in
// their order. It is not sure if anything that it names cannot be told, also when it
// asks for just that with has(): else "not told" could let somebody through.
func (p *program) eval(o *risk.Observation, readings func(i int) *risk.Reading) (holds, sure bool, err error) {
	b := &binding{names: make([]string, 0, 2*(len(p.facts)+len(p.signals))), vals: make([]ref.Val, 0, 2*(len(p.facts)+len(p.signals)))}
	sure = true
	for _, i := range p.facts {
		v, told := facts[i].get(o)
		val, err := celValue(v)
		if err != nil {
			return false, false, err
		}
		sure = sure && told
		b.names = append(b.names, facts[i].name, hasNames[i])
		b.vals = append(b.vals, val, types.Bool(told))
	}
	for i, s := range p.signals {
		outcome := readings(i).Outcome
		sure = sure && outcome != risk.CannotTell
		b.names = append(b.names, signalsDot+s, hasDot+signalsDot+s)
		b.vals = append(b.vals, outcomes[outcome], types.Bool(outcome != risk.CannotTell))
	}
	out, _, err := p.run.Eval(b)
	if err != nil {
		return false, false, reduce(err)
	}
	v, ok := out.(types.Bool)
	if !ok {
		return false, false, errors.New("it gave neither true nor false")
	}
	return bool(v), sure, nil
}

var hasNames = func() []string {
	list := make([]string, len(facts))
	for i, f := range facts {
		list[i] = hasDot + f.name
	}
	return list
}()

// reduce keeps of an error what says nothing about anybody: CEL's own may quote values.
func reduce(err error) error {
	switch msg := err.Error(); {
	case errors.Is(err, errNotFinite), strings.Contains(msg, errNotFinite.Error()):
		return errNotFinite
	case strings.Contains(msg, "cost limit exceeded"):
		return errors.New("it took too long")
	case strings.Contains(msg, "division by zero"), strings.Contains(msg, "modulus by zero"):
		return errors.New("it divides by zero")
	case strings.Contains(msg, "overflow"):
		return errors.New("a whole number got too large")
	case strings.Contains(msg, "index out of bounds"):
		return errors.New("a list is shorter than it takes")
	}
	return errors.New("it met a value that it cannot handle")
}
