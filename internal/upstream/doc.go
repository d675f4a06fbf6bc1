// Package upstream puts 1Kosmos into the words of the domain: it implements
// journey.Upstream over the two wire profiles of package blockid, and
// journey.StepUp in four ways, and turns every answer and every error into a
// status or verdict, a reason and claims.
//
// The four ways of a step-up differ in what makes an answer worth believing:
//
//	uwl       sealed with the key that user info has for the wallet it names
//	workflow  sealed for this very instance with the key that the service
//	          publishes, and names the user; proves no more than TLS
//	oidc      signed ID token with our nonce, and names the user
//	v1        TLS and our token; the challenge was made for the user, and names
//	          nobody else
//
// Which key is whose comes over TLS in all of them. Only that yields a match. All
// that is unsealed, unknown, broken, contradictory or about somebody else is an
// error or no_match; package stepuptest holds all four to it.
//
// Federated is the tenant's OpenID provider once more, as federation.Upstream: it
// signs in whoever comes, and what it signed is passed on. It shares discovery, keys, the
// exchange and the checks of a token with the third way (relying.go), and believes
// less: nobody is known beforehand whom the answer must be about.
//
// Messages has 1Kosmos mail links, as hooks.Messages.
//
// The real 1Kosmos and the local one are the same to it. What it can learn only
// from the local one (scores, the engine's own reason) it reads from an
// additional block in the answer, if that is there; see extension.go.
package upstream
