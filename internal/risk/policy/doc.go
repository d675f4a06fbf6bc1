// Package policy is the step-up policy: a typed graph in JSON that people draw and
// programs compile to closures.
//
//	signal ─┬─▶ condition ──┬─▶ weight ──▶ combine ─┐
//	        └───────────────┤                       ├─▶ (condition: at least) ──▶ decide
//	expression ─────────────┴───────────────────────┘
//
// Two kinds of values travel along the edges: a truth and a number. Each carries along
// whether it is sure; it is not if it rests on a signal that cannot tell. Which way it
// then leans, the signal's node says: neutral (as if it were clear) or raises (as if it
// had fired). The rules that follow make sure that what cannot be told never clears:
//
//   - not: of what is not sure is true, and not sure
//   - weight: a negative one counts only for what is sure
//   - decide: allow fires only on what is sure; step_up and deny fire either way
//   - combine and at least: sure if all that they rest on is
//   - any: sure if a true one is sure, or all are; all: sure if a false one is sure, or all are
//   - count: sure if what is not sure could not change it
//   - at least, of a signal: not sure, and leaning as the signal's node says, if the signal
//     cannot tell or measured nothing
//   - expression: not sure if a signal or fact that it names cannot be told
//   - a signal that lowers risk never leans towards having fired
//
// Decide nodes are rules: the first one that fires, in the order of the list of nodes,
// decides; else Otherwise does. If it fires on what is not sure, a stricter one after it
// still can, up to the first that fires on what is sure: else a signal that cannot be
// told, and asks for a face, would keep from refusing what is refused when it is clear.
// If evaluation fails, or no signal that the policy reads can tell anything, the decision
// is step_up, or deny if a deny fires. A signal that lowers risk and is clear tells nothing.
//
//	readings ──▶ slots, in topological order ──▶ rules, in the document's ──▶ verdict
//	   │ cannot be read     │ cannot be evaluated          │                    ▲
//	   └────────────────────┴──▶ failed, and all that rests on it: skipped ─────┘ step_up, or deny
package policy
