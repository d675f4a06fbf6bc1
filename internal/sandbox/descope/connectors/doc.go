// Package connectors is the part of the local Descope that calls out: it runs the
// Generic HTTP connector tasks of flows as Descope's cloud does (reference/descope.md
// section 1), and keeps the last calls in memory for a developer to read.
//
//	build ──▶ delay (fault) ──▶ token ──▶ sign ──▶ send ──▶ read ──▶ answer
//	  │                           │                  │        │
//	  ▼                           ▼                  ▼        ▼
//	ConnectorFailed        ConnectorFailed     request_error: no answer in time,
//	                                           no 2xx, no JSON, too long
//
// What Descope's cloud does where nobody outside has seen it is in unknown.go, all
// of it and nothing else.
package connectors
