// Package service is the engine as an HTTP server: package api on the outside,
// package engine inside, and bounds on everything in between.
//
//	request -> a free place? --no--> 503 engine_busy, Retry-After
//	              | waits for one of the workers, first come first served
//	           body (at most 49 MB) -> JSON --no--> 400 invalid_request, 413 image_too_large
//	              |
//	           worker: verify | document | selfie | match | challenge | frame
//	              |                    \--- time runs out --> 504 engine_timeout
//	           200 Report              \--- panic ----------> 500 engine_error
//
// A body is read only when a worker is free, so that memory is bounded by the
// number of workers and not by the number of callers. A worker whose time ran
// out stays taken until it has really stopped; there are never more of them
// than configured.
//
// Every picture may have 12 MB (engine.MaxPicture). The default body holds three
// such pictures in base64: front, back and one selfie, or up to five selfies
// that have 12 MB together, which is what the capture pages let through. Templates
// (engine.MaxTemplate) are small beside them.
//
// Without models, or built without cgo, the service runs and answers
// cannot_tell. It is for callers on the same machine: it has no
// authentication and belongs on a loopback address.
package service
