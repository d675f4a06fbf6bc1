package policy

import "github.com/kosmoscope/kosmoscope/internal/risk"

// Format is the version of the document that this program writes and reads.
const Format = 1

// Bounds of a document.
const (
	MaxBytes      = 256 << 10
	MaxNodes      = 200
	MaxEdges      = 600
	MaxExpression = 1000 // bytes of one expression
	MaxWeight     = 1000 // points, either way
	MaxScore      = 100  // what a combine node's sum is held to, from 0
)

// Document is a policy as it is kept, edited and published.
type Document struct {
	Format      int          `json:"format"`
	Name        string       `json:"name"`
	Description string       `json:"description,omitempty"`
	Nodes       []Node       `json:"nodes"`
	Edges       []Edge       `json:"edges"`
	Otherwise   risk.Verdict `json:"otherwise"` // what holds if no rule fires: allow or step_up
}

// Node is one part. Which fields it has depends on its type; others must be absent.
type Node struct {
	ID    string   `json:"id"` // a-z, 0-9, - ; at most 40; unique
	Type  NodeType `json:"type"`
	Label string   `json:"label,omitempty"` // what people call it

	// signal: no input, gives a truth.
	Signal  string         `json:"signal,omitempty"`
	Params  map[string]any `json:"params,omitempty"`  // those that differ from the defaults
	Unknown Unknown        `json:"unknown,omitempty"` // default neutral

	// condition: gives a truth. Op any, all, not (one input) and count take truths;
	// at_least takes one number, of a combine or weight node, or the value of a signal.
	Op    Op       `json:"op,omitempty"`
	Value *float64 `json:"value,omitempty"` // of at_least: the number; of count: how many must hold

	// expression: no input, gives a truth. In CEL; docs/policy.md lists what it can name.
	Expression string `json:"expression,omitempty"`

	// weight: takes one truth, gives Weight if it holds, else 0. Without a Weight, of a
	// signal's node, it is the signal's own.
	Weight *float64 `json:"weight,omitempty"`

	// combine: takes numbers, gives one from 0 to MaxScore: the score.
	How How `json:"how,omitempty"`

	// decide: takes one truth.
	Decision risk.Verdict `json:"decision,omitempty"`

	X float64 `json:"x"` // where the editor draws it
	Y float64 `json:"y"`
}

// Edge goes from what a node gives to another one's input.
type Edge struct {
	From string `json:"from"`
	To   string `json:"to"`
}

// NodeType is what a node is.
type NodeType string

// Node types.
const (
	TypeSignal     NodeType = "signal"
	TypeCondition  NodeType = "condition"
	TypeExpression NodeType = "expression"
	TypeWeight     NodeType = "weight"
	TypeCombine    NodeType = "combine"
	TypeDecide     NodeType = "decide"
)

// Unknown is which way a signal leans that cannot tell.
type Unknown string

// Ways to lean.
const (
	Neutral Unknown = "neutral"
	Raises  Unknown = "raises"
)

// Op is what a condition does.
type Op string

// Operations.
const (
	Any     Op = "any"
	All     Op = "all"
	Not     Op = "not"
	Count   Op = "count"    // at least Value of the inputs hold
	AtLeast Op = "at_least" // the number is Value or more
)

// How is how a combine node combines.
type How string

// Ways to combine.
const (
	Sum How = "sum"
	Max How = "max"
)

// Problem is something wrong with a document.
type Problem struct {
	Node    string `json:"node,omitempty"` // empty: of the whole
	Edge    *Edge  `json:"edge,omitempty"`
	Field   string `json:"field,omitempty"`
	Code    string `json:"code"`    // stable: cycle, unreachable, untyped, unknown_signal, ...
	Message string `json:"message"` // a sentence that says what to do
}

// Result is what came out of evaluating a policy on one observation.
type Result struct {
	Verdict  risk.Verdict   `json:"decision"`
	Score    *float64       `json:"score"`   // 0 to MaxScore: of the combine nodes the highest, else of the signals' own weights
	Reasons  []risk.Reason  `json:"reasons"` // signals that fired and had a part in it, by weight; or a code
	Readings []risk.Reading `json:"readings"`
	Steps    []Step         `json:"steps,omitempty"` // every node, in the order of evaluation; only if asked for
	Rule     string         `json:"rule,omitempty"`  // id of the decide node that fired; empty: Otherwise
	Failed   string         `json:"failed,omitempty"`
}

// Step is what one node gave.
type Step struct {
	Node    string   `json:"node"`
	Holds   *bool    `json:"holds,omitempty"`  // a truth
	Number  *float64 `json:"number,omitempty"` // a number
	Sure    bool     `json:"sure"`
	OnPath  bool     `json:"on_path"` // it has a part in the decision
	Message string   `json:"message,omitempty"`
}

// Change is one difference between two documents, in words.
type Change struct {
	Kind string `json:"kind"` // added, removed, changed
	Node string `json:"node,omitempty"`
	Text string `json:"text"`
}
