// Package api is the wire of the embedded engine: the JSON that its HTTP
// service takes and gives, and a client for it.
//
//	POST /v1/verify    VerifyRequest   -> Report
//	POST /v1/document  DocumentRequest -> Report
//	POST /v1/selfie    SelfieRequest   -> Report
//	POST /v1/match     MatchRequest    -> Report
//	POST /v1/challenge {}              -> Challenge
//	POST /v1/frame     FrameRequest    -> FrameReport
//	GET  /healthz                      -> {"status":"ok","models":true,...}
//
// A photo or template that cannot be judged is a Report, not an HTTP error: HTTP
// errors are for requests that are not JSON or not of the stated shape (400),
// over the size limit (413), and for an engine that is full (503) or ran out of
// time (504); they carry a Problem.
package api
