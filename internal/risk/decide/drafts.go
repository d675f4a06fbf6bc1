package decide

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Drafts answers what can be asked about a document without a store.
type Drafts struct{ now func() time.Time }

// NewDrafts makes one; now is when a made-up login happens that does not say.
func NewDrafts(now func() time.Time) Drafts { return Drafts{now} }

// Check finds everything that is wrong with a document.
func (Drafts) Check(document json.RawMessage) []policy.Problem {
	d, problems := policy.Parse(document)
	if len(problems) > 0 {
		return problems
	}
	return d.Check()
}

// Diff says in words what differs between two documents.
func (Drafts) Diff(a, b json.RawMessage) ([]policy.Change, error) {
	from, problems := policy.Parse(a)
	if len(problems) > 0 {
		return nil, proof.Invalid("from", "the first document cannot be read: %s", problems[0].Message)
	}
	to, problems := policy.Parse(b)
	if len(problems) > 0 {
		return nil, proof.Invalid("to", "the second document cannot be read: %s", problems[0].Message)
	}
	return policy.Diff(from, to), nil
}

// Try evaluates a document on a made-up login, with every step.
func (f Drafts) Try(document json.RawMessage, o risk.Observation) (policy.Result, []policy.Problem, error) {
	p, problems, err := compile(document)
	if len(problems) > 0 {
		return policy.Result{}, problems, nil
	}
	if err != nil {
		return policy.Result{}, nil, errors.Join(proof.Invalid("document", "the policy cannot be evaluated"), err)
	}
	if o.At.IsZero() {
		o.At = f.now()
	}
	return p.Evaluate(&o, true), nil, nil
}

// compile reads a document and compiles it, which checks it.
func compile(raw json.RawMessage) (*policy.Policy, []policy.Problem, error) {
	d, problems := policy.Parse(raw)
	if len(problems) > 0 {
		return nil, problems, nil
	}
	p, err := policy.Compile(d)
	if bad, ok := errors.AsType[*policy.InvalidError](err); ok {
		return nil, bad.Problems, nil
	}
	return p, nil, err
}

// compiled is compile for whoever needs one reason only.
func compiled(raw json.RawMessage) (*policy.Policy, error) {
	p, problems, err := compile(raw)
	if len(problems) > 0 {
		return nil, errors.New(problems[0].Message)
	}
	return p, err
}
