// Package deliveries tells other tools: signed webhooks by the Standard Webhooks scheme,
// and ready-made shapes for tools that expect another body.
//
//	Draft ─Prepare─▶ Message, stored with the change that it tells of
//	                   │ JobFanOut
//	                   ▼
//	        a Delivery for each Endpoint that listens
//	                   │ JobDeliver
//	waiting ──2xx──▶ delivered
//	   │ ├──410──────▶ failed, and the endpoint is switched off
//	   │ ├──the endpoint is off or deleted, or the subject was erased ─▶ failed, without a request
//	   │ └──else: again after 5 s, 5 min, 30 min, 2 h, 5 h, 10 h, 14 h, 20 h, 24 h, with jitter
//	   └─the last of them failed ─▶ failed ──Replay──▶ another delivery of the same message
//
// A delivery is at least once: webhook-id is the same each time, and is the receiver's
// idempotency key. An endpoint that has failed for days is switched off, and that is a
// message itself; what it misses from then on is in the log as failed, to be replayed.
// Addresses are resolved once for each connection, and private ones are refused there,
// so that no name leads inside.
package deliveries
