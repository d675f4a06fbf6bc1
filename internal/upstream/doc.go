// Package upstream puts 1Kosmos into the words of the domain: it implements
// journey.Upstream over the two wire profiles of package blockid, and turns
// every answer and every error of theirs into a status, a reason and claims.
//
// The real 1Kosmos and the local one are the same to it. What it can learn only
// from the local one (scores, the engine's own reason) it reads from an
// additional block in the answer, if that is there; see extension.go.
package upstream
