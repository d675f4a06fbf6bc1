// Package proof is the domain: what a verification is, which states it may
// pass through, what a check, a piece of evidence, an assurance and verified
// claims are, and the one error type. It does no I/O and imports none of the
// other rooms.
//
// A verification moves only along these arrows; the four states on the right
// are terminal and never change:
//
//	pending ──consent──▶ in_progress ──upstream success──▶ verified
//	   │                      ├────────upstream failure──▶ failed
//	   ├──declined────────────┼──────────────────────────▶ abandoned
//	   └──deadline────────────┴──────────────────────────▶ expired
//
// A pending verification can also end as failed, when the upstream refuses to
// open a session for it.
//
// A challenge moves only along these; the states on the right are terminal:
//
//	         ┌─────the same face──────────▶ match
//	pending ─┼─────another face───────────▶ no_match
//	         ├─────deadline───────────────▶ expired
//	         └─────declined, no verdict───▶ failed
//
// From its deadline on a challenge can only become expired.
package proof
