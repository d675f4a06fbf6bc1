// Package hooks is door C: what happens at Descope and here leads to work.
//
//	Descope's Audit Webhook ─┐                               ┌▶ verification, challenge (journey)
//	audit search (repair) ───┼▶ Event, stored ─▶ pump ─▶ rules ─▶ Action, a job each ┼▶ attributes, roles, sessions (Descope)
//	what ended here ─────────┘   (one transaction)            └▶ notice (deliveries)
//
// An event is accepted when it is stored. It is late and unordered by nature, may come
// twice, and never decides a login; that is what the synchronous hooks are for, which
// ask the risk evaluation and the journey and answer within 2 s.
//
// One event:
//
//	waiting ── the pump evaluated the rules, actions queued: one transaction ─▶ done
//	   └────── evaluating it failed again and again ──────────────────────────▶ parked
//
// One action (promise 7 knows three kinds of effects):
//
//	waiting ─▶ done | failed (for good) | skipped (nothing to do)
//	   └─ idempotent: tried again; readback: looked at first, then tried again;
//	      unknown: after a crash parked for a person, never blindly repeated
package hooks
