package risk

// Outcome is what became of a signal.
type Outcome string

// Outcomes.
const (
	Fired      Outcome = "fired"
	Clear      Outcome = "clear"
	CannotTell Outcome = "cannot_tell"
)

// Reading is what one signal says about one observation.
type Reading struct {
	Signal   string  `json:"signal"`
	Outcome  Outcome `json:"outcome"`
	Evidence string  `json:"evidence"` // a sentence for the operator; may name places and networks
	// Value is what was measured, in the signal's unit (see signal.Signal.Unit), for
	// policies that have a threshold of their own; nil if there is none.
	Value *float64 `json:"value,omitempty"`
}

// Verdict is what a policy decides.
type Verdict string

// Verdicts, from mild to strict.
const (
	Allow  Verdict = "allow"
	StepUp Verdict = "step_up"
	Deny   Verdict = "deny"
)

// Strictness orders verdicts; anything that is none counts as step_up.
func (v Verdict) Strictness() int {
	switch v {
	case Allow:
		return 0
	case Deny:
		return 2
	}
	return 1
}

// Valid reports whether v is a verdict.
func (v Verdict) Valid() bool { return v == Allow || v == StepUp || v == Deny }

// Reason is why a decision came out as it did: a signal that fired, or one of the
// codes below. It is stable and is listed in docs/reasons.md.
type Reason string

// Reasons besides the names of signals.
const (
	// ReasonRule: a rule of the policy decided without any signal having fired.
	ReasonRule Reason = "policy_rule"
	// ReasonNothingTold: no signal that the policy reads could tell anything.
	ReasonNothingTold Reason = "nothing_can_be_told"
	// ReasonEvaluationFailed: the policy could not be evaluated.
	ReasonEvaluationFailed Reason = "evaluation_failed"
)
