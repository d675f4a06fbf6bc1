// Package descope calls Descope's Management API: the call by which a flow's External
// Authentication action is completed, and the search of the audit trail for logins that
// succeeded. The shapes are those of
// Descope's OpenAPI document and its Go SDK; what is not written there (what a
// request id looks like, how long it lives, whether completing twice is allowed)
// is left to the answer. Redirects are not followed.
//
// One call may take several requests, as Descope's own clients do it:
//
//	POST ──▶ 2xx                             done
//	  ▲      503, 520, 521, 522, 524, 530    again after 100 ms, 5 s, 5 s
//	  │      429 with a short Retry-After    again after that
//	  └──────┘
//	         other 4xx                       refused, with Descope's errorCode
//	         anything else, no answer        unavailable: nobody knows what came of it
//
// Neither keys nor ids nor addresses get into errors.
package descope
