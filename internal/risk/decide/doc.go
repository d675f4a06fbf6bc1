// Package decide is the use cases of risk evaluation, over the ports that it declares:
// evaluate a login, learn from how it ended, explain a decision, replay a draft over
// recorded logins, publish a policy.
//
//	            evaluate                       outcome "success"
//	login ────────────────▶ decision recorded ───────────────────▶ learned (allow, or step-up matched)
//	                              │                outcome "failure"
//	                              ├───────────────────────────────▶ counted
//	                              │ challenge of this decision
//	                              ├── match ──────────────────────▶ learned, at once
//	                              └── no_match ───────────────────▶ heat on device and network, a little on the person
//
// A decision is learned from at most once. Nothing is learned from a login for which a
// step-up was asked and no match came: that somebody was let in all the same does not
// make their device the person's.
package decide
