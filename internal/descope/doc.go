// Package descope calls Descope's Management API: it completes a flow's External
// Authentication action, reads and changes users, reads and writes the audit trail, and
// exports, imports and runs flows. The shapes are those of Descope's OpenAPI document and
// its SDKs (reference/descope.md 3.7, 3.8, 5.3, 6); what is not written there is in
// unknown.go, or left to the answer. Redirects are not followed.
//
// One call may take several requests, as Descope's own clients do it:
//
//	      ┌─ Limits: a short wait, or unavailable with RetryAfter
//	request ──▶ 2xx                             done
//	  ▲         503, 520, 521, 522, 524, 530    again after 100 ms, 5 s, 5 s, if idempotent
//	  │         429 with a short Retry-After    again after that
//	  └─────────┘
//	            other 429                       unavailable with RetryAfter
//	            other 4xx                       refused, with Descope's errorCode
//	            anything else, no answer        unavailable: nobody knows what came of it
//
// EffectOf says of each call what repeating it does, and NotDone of an error whether it is
// certain that nothing was done. Neither keys nor ids nor addresses get into errors.
package descope
