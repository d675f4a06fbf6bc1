// Package stepuptest is the contract of journey.StepUp as two test suites. Every
// way in which 1Kosmos recognises a person must pass both.
//
//	Suite  people and wording, against a 1Kosmos that is honest: who is a match and
//	       who is not, what each end is called, and answers replayed or garbled on the wire
//	Trust  answers of a 1Kosmos whose keys the test holds: sealed or signed with a
//	       stranger's key, about another session, about another user, and with a block
//	       "kosmoscope" that is broken or takes the match back
//
// What they do not hold, because the protocols do not give it:
//
//   - In the V1 profile nothing is sealed or signed. Trust leaves the stranger's key
//     out there; whoever can end its TLS can answer as they like.
//   - Which key is whose is learnt over TLS: a wallet's from user info, a service's
//     from /publickeys, the provider's from its metadata. A forger in the place of
//     those, too, passes; each Forger gives them truthfully.
//   - Whether a face was looked at at all. An answer exists or it does not.
package stepuptest
