// Package auditing is the part of the local Descope that streams its audit trail: what
// is recorded goes to the project's connectors of type audit-webhook, as Descope's Audit
// Webhook does it (reference/descope.md 6.2).
//
//	recorded ──▶ filters ──▶ [knob: drop, duplicates] ──▶ waiting, in memory
//	                                                        │ delay is over, and not paused
//	                                                        ▼ [knob: order]
//	                                             a batch: one JSON array ──2xx──▶ sent
//	                                               ▲            │ else
//	                                               └── waits ◀──┤
//	                                                            └─ the last try ──▶ lost
//
// Each webhook goes on by itself; while a batch is tried again, what comes after it
// waits. What is waiting is gone when the process ends, as if the network had lost it:
// only the audit search has it then, which is what receivers must reckon with anyway.
//
// The knobs make it behave as badly as a stream without promises may: nothing is known
// of order, retries and how long Descope waits, so a receiver must not build on them.
// What stands in for all that is in guesses.go.
package auditing
