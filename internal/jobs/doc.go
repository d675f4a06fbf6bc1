// Package jobs runs durable work: it claims jobs that are due from a queue,
// calls the handler of their kind, and writes back what became of them. The
// queue is a table next to the domain (internal/store implements Queue), so a
// job is queued in the same transaction as the change that asks for it.
//
// One job, from Enqueue on:
//
//	          Claim (owner, fence, lease)
//	waiting ───────────────────────────────▶ running ──nil──────────────▶ gone
//	 ▲  ▲                                    │  │  │
//	 │  └──────── another run asked for ─────┘  │  └─error, last attempt─▶ dead
//	 └─────────── error, backoff ───────────────┘
//	 └─────────── lease ran out: the worker died, or hangs
//
// A job runs at least once for each time that it was queued: a worker that
// loses its lease may still be running when the next one starts, so handlers
// are idempotent or guard their effects in a transaction. What it reports after
// that is refused (ErrLeaseLost), because every claim has its own fence.
//
// Who comes first: tenants take turns, and one tenant never has all workers (if there
// are eight or more); of each, what a person waits for precedes what can wait. A kind may
// have lanes, one for each destination, see Lane. What is done is reported together with
// what else was done meanwhile, and where handlers are quick, jobs are claimed ahead.
//
// Polling the queue is the truth; Wake only shortens the wait.
package jobs
