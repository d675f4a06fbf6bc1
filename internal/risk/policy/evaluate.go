package policy

import (
	"encoding/json"
	"fmt"
	"slices"
	"strconv"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/signal"
)

// canonical is the same text for the same parameters.
func canonical(p signal.Params) string {
	b, err := json.Marshal(p) // the names come in alphabetical order
	if err != nil {
		return fmt.Sprintf("%#v", p)
	}
	return string(b)
}

// Evaluate decides about one observation. With steps it tells what every node gave.
// It always decides; Result.Failed says if it could not evaluate everything.
func (p *Policy) Evaluate(o *risk.Observation, steps bool) (result Result) {
	defer func() {
		// Whatever is wrong here is a mistake of this package; the person still gets asked.
		if recover() != nil {
			result = Result{Verdict: risk.StepUp, Reasons: []risk.Reason{risk.ReasonEvaluationFailed}, Readings: []risk.Reading{}, Failed: "the evaluation broke off"}
		}
	}()
	if o == nil {
		o = &risk.Observation{}
	}
	s := p.pool.Get().(*state)
	s.o, s.readings, s.node, s.why = o, make([]risk.Reading, len(p.readers)), "", ""
	clear(s.path)
	clear(s.took)
	for i := range p.readers {
		s.unread[i] = p.readers[i].into(o, &s.readings[i])
	}
	for i := range p.slots {
		s.values[i] = p.slots[i].value(s)
	}
	result = p.decide(s)
	if steps {
		result.Steps = p.steps(s, &result)
	}
	s.o, s.readings = nil, nil
	p.pool.Put(s)
	return result
}

// into reads a signal. It says why not if it cannot.
func (r *source) into(o *risk.Observation, into *risk.Reading) (why string) {
	defer func() {
		if recover() != nil {
			*into, why = r.failed(), "the signal broke off"
		}
	}()
	*into = r.read(o)
	into.Signal = r.signal
	if into.Value != nil && !finite(*into.Value) {
		*into = r.failed() // JSON could not carry it either
		return "the signal measured what is not a number"
	}
	switch into.Outcome {
	case risk.Fired, risk.Clear, risk.CannotTell:
		return ""
	}
	*into = r.failed()
	return "the signal gave no outcome"
}

func (r *source) failed() risk.Reading {
	return risk.Reading{Signal: r.signal, Outcome: risk.CannotTell, Evidence: "The signal could not be evaluated."}
}

// value evaluates one node.
func (sl *slot) value(s *state) value {
	for _, i := range sl.in {
		if s.values[i].failed {
			return value{failed: true}
		}
	}
	v := sl.eval(s)
	if !finite(v.number) {
		return s.fail(sl.node, "a number is not finite")
	}
	return v
}

func (s *state) fail(n *Node, why string) value {
	if s.why == "" {
		s.node, s.why = n.ID, why
	}
	return value{failed: true}
}

// expression evaluates one in CEL.
func (s *state) expression(n *Node, expr *program, reads []int) (v value) {
	defer func() {
		if recover() != nil {
			v = s.fail(n, "the expression broke off")
		}
	}()
	for _, r := range reads {
		if s.unread[r] != "" {
			return s.fail(n, s.unread[r])
		}
	}
	holds, sure, err := expr.eval(s.o, func(i int) *risk.Reading { return &s.readings[reads[i]] })
	if err != nil {
		return s.fail(n, "the expression failed: "+err.Error())
	}
	return value{holds: holds, sure: sure}
}

// decide goes through the rules.
func (p *Policy) decide(s *state) Result {
	r := Result{Verdict: p.doc.Otherwise, Readings: s.readings}
	// The first rule that fires decides. One that fires on what is not sure does not keep
	// a stricter one after it from firing: else what cannot be told would be milder than
	// what is clear.
	fired := -1
	for _, i := range p.rules {
		v := s.values[i]
		if v.failed || !v.holds {
			continue
		}
		if d := p.slots[i].node.Decision; fired < 0 || d.Strictness() > r.Verdict.Strictness() {
			fired, r.Verdict = i, d
		}
		if v.sure {
			break
		}
	}
	failed := s.why != ""
	if failed && r.Verdict != risk.Deny {
		fired, r.Verdict = -1, risk.StepUp
	}
	told := len(s.readings) == 0 && !failed
	if told {
		told = p.factsTold(s)
	}
	for i := range s.readings {
		// That there is no good news tells nothing.
		told = told || s.readings[i].Outcome == risk.Fired || s.readings[i].Outcome == risk.Clear && !p.readers[i].lowers
	}
	if !told && r.Verdict == risk.Allow {
		fired, r.Verdict = -1, risk.StepUp
	}
	if fired >= 0 {
		r.Rule = p.slots[fired].node.ID
		p.walk(s, fired)
	}
	switch {
	case failed:
		r.Failed = fmt.Sprintf("node %s: %s", s.node, s.why)
		r.Reasons = append(p.reasons(s), risk.ReasonEvaluationFailed)
	case !told:
		r.Reasons = []risk.Reason{risk.ReasonNothingTold}
	default:
		r.Reasons = p.reasons(s)
		if len(r.Reasons) == 0 && (fired >= 0 || r.Verdict != risk.Allow) {
			r.Reasons = append(r.Reasons, risk.ReasonRule)
		}
	}
	if !failed {
		r.Score = p.score(s)
	}
	return r
}

// factsTold reports whether a policy without signals could tell anything at all.
func (p *Policy) factsTold(s *state) bool {
	for i := range p.slots {
		if p.slots[i].node.Type == TypeExpression && s.values[i].sure {
			return true
		}
	}
	return false
}

// score is the highest of the combine nodes; if there are none, the sum of the weights
// that the signals have by themselves; if there are no signals either, none.
func (p *Policy) score(s *state) *float64 {
	var score float64
	switch {
	case len(p.scores) > 0:
		for _, i := range p.scores {
			score = max(score, s.values[i].number)
		}
	case len(p.own) == 0:
		return nil
	default:
		for i := range p.own {
			if p.own[i].counts(s) {
				score += p.own[i].weight
			}
		}
	}
	score = min(max(score, 0), MaxScore)
	return &score
}

// counts reports whether a signal's own weight counts: if it fired, or leans that way,
// and a negative one only for what is sure.
func (o *own) counts(s *state) bool {
	for _, i := range o.slots {
		if v := s.values[i]; v.holds && (v.sure || o.weight > 0) {
			return true
		}
	}
	return slices.ContainsFunc(o.readings, func(r int) bool { return s.readings[r].Outcome == risk.Fired })
}

// walk marks what made a node give what it gave, from the node back to the signals.
func (p *Policy) walk(s *state, i int) {
	if s.path[i] {
		return
	}
	s.path[i] = true
	sl, v := &p.slots[i], s.values[i]
	switch sl.node.Type {
	case TypeSignal:
		s.takes(sl.reads[0], sl.weight)
	case TypeExpression:
		for _, r := range sl.reads {
			if s.readings[r].Outcome == risk.Fired {
				s.takes(r, p.readers[r].weight)
			}
		}
	case TypeDecide:
		p.walk(s, sl.in[0])
	case TypeWeight:
		if from := &p.slots[sl.in[0]]; from.node.Type == TypeSignal {
			s.path[sl.in[0]] = true
			s.takes(from.reads[0], sl.weight) // the policy's weight, not the signal's own
			break
		}
		p.walk(s, sl.in[0])
	case TypeCombine:
		for _, j := range sl.in {
			if n := s.values[j].number; n > 0 && (sl.node.How == Sum || n >= v.number) {
				p.walk(s, j)
			}
		}
	case TypeCondition:
		p.walkCondition(s, sl, v)
	}
}

func (p *Policy) walkCondition(s *state, sl *slot, v value) {
	switch sl.node.Op {
	case Not:
		p.walk(s, sl.in[0])
	case AtLeast:
		// Why a score is too low is told by what is not there; nothing of it is marked.
		if from := p.slots[sl.in[0]].node.Type; v.holds || from == TypeSignal {
			p.walk(s, sl.in[0])
		}
	default: // any, all, count: those that made it hold, or kept it from holding
		for _, j := range sl.in {
			if s.values[j].holds == v.holds {
				p.walk(s, j)
			}
		}
	}
}

// takes notes that a reading had a part in the decision.
func (s *state) takes(reading int, weight float64) {
	if !s.took[reading] || weight > s.part[reading] {
		s.part[reading] = weight
	}
	s.took[reading] = true
}

// reasons are the signals that fired and had a part, those with most weight first.
func (p *Policy) reasons(s *state) []risk.Reason {
	reasons := make([]risk.Reason, 0, len(s.took))
	for {
		best := -1
		for r, took := range s.took {
			if took && s.readings[r].Outcome == risk.Fired && (best < 0 || s.part[r] > s.part[best]) {
				best = r
			}
		}
		if best < 0 {
			return reasons
		}
		s.took[best] = false
		if reason := risk.Reason(p.readers[best].signal); !slices.Contains(reasons, reason) {
			reasons = append(reasons, reason)
		}
	}
}

// steps tell what every node gave.
func (p *Policy) steps(s *state, r *Result) []Step {
	list := make([]Step, len(p.slots))
	for i := range p.slots {
		sl, v := &p.slots[i], s.values[i]
		step := Step{Node: sl.node.ID, Sure: v.sure && !v.failed, OnPath: s.path[i], Message: p.message(s, sl, v, r)}
		switch {
		case v.failed:
		case gives(sl.node) == number:
			step.Number = &v.number
		default:
			step.Holds = &v.holds
		}
		list[i] = step
	}
	return list
}

func (p *Policy) message(s *state, sl *slot, v value, r *Result) string {
	n := sl.node
	if v.failed {
		if s.node == n.ID {
			return "could not be evaluated: " + s.why
		}
		return "could not be evaluated"
	}
	switch n.Type {
	case TypeSignal:
		reading := &s.readings[sl.reads[0]]
		if reading.Outcome != risk.CannotTell {
			return ""
		}
		if v.holds {
			return "cannot be told, counts as if it had fired"
		}
		return "cannot be told, counts as if it had not fired"
	case TypeExpression:
		if !v.sure {
			return "names something that cannot be told"
		}
	case TypeCondition:
		return p.conditionMessage(s, sl, v)
	case TypeWeight:
		if in := s.values[sl.in[0]]; in.holds && !in.sure && sl.weight < 0 {
			return "lowers only on what is sure"
		}
	case TypeDecide:
		switch in := s.values[sl.in[0]]; {
		case r.Rule == n.ID:
			return "decides"
		case v.holds && r.Rule == "":
			return "fires, but does not decide"
		case v.holds:
			return "fires, but another rule decides"
		case in.holds && !in.sure:
			return "holds, but lets nobody through on what is not sure"
		}
	}
	return ""
}

func (p *Policy) conditionMessage(s *state, sl *slot, v value) string {
	n := sl.node
	switch n.Op {
	case Not:
		if !v.sure {
			return "of what is not sure, holds"
		}
	case AtLeast:
		got, from := s.values[sl.in[0]].number, &p.slots[sl.in[0]]
		if from.node.Type == TypeSignal {
			reading := &s.readings[from.reads[0]]
			if reading.Outcome == risk.CannotTell || reading.Value == nil {
				return "nothing was measured"
			}
			got = *reading.Value
		}
		return fmt.Sprintf("%s of at least %s", short(got), short(*n.Value))
	case Count:
		hold := 0
		for _, i := range sl.in {
			if s.values[i].holds {
				hold++
			}
		}
		return fmt.Sprintf("%d of at least %s hold", hold, short(*n.Value))
	}
	return ""
}

// short is a number with at most two digits after the point.
func short(f float64) string {
	s := strconv.FormatFloat(f, 'f', 2, 64)
	for s[len(s)-1] == '0' {
		s = s[:len(s)-1]
	}
	if s[len(s)-1] == '.' {
		s = s[:len(s)-1]
	}
	return s
}
