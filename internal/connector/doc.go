// Package connector is door A: the HTTP API that Descope's Generic HTTP
// connector calls from inside a flow. It knows shapes and words: it reads
// requests strictly where they are ours and leniently where Descope's templates
// leave gaps, asks the core, and writes answers. It decides nothing about a
// person and keeps no state.
//
// One call:
//
//	size ─▶ authenticate ─▶ content type ─▶ JSON ─▶ fields ─▶ core ─▶ answer
//	  413        401/429          415          400      400    table   200
//
// Two of the nodes are those of the risk: one asks for a decision about a login, the
// other says how it ended. No error of theirs reads as allow.
//
// Business outcomes, also "expired" and "unknown session", are HTTP 200 with a
// status, because a flow can read the body of nothing else. Result answers from
// the store at once: the browser that waits for it gives up after 6 s.
//
// huma supplies the OpenAPI 3.1 document model and derives answer schemas from
// the Go types. It neither routes nor decodes: null and "" have to count as
// absent, and its errors are not in the words of this house.
package connector
