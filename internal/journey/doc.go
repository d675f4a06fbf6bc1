// Package journey holds the use cases: start a verification, let a person in
// through its link, open the upstream session on consent, poll it, finish,
// grant an assurance, answer a caller, erase a subject. It declares the ports
// that it needs (Store, Vault, Upstream, StepUp, Descope); other rooms implement them, and the
// doors call it.
//
// One verification, step by step:
//
//	door A     Start          pending, link made, expiry job queued       (one transaction)
//	browser    Open           link bound to this browser
//	browser    Consent        upstream session opened, in_progress,
//	                          poll job queued                             (one transaction)
//	job        Poll           … until the upstream is terminal, then
//	                          outcome sealed, assurance granted, audit    (one transaction)
//	job        Expire         at the deadline, if still open
//	job        Purge          after retention: sealed columns dropped
//	door A     Result         reads the store, answers at once
//
// One that began with external_auth, and likewise a challenge, takes the person
// back into a Descope flow; proof.External draws the states:
//
//	browser    Open           also keeps the id of Descope's request
//	browser    Return         what Descope is told is fixed and stored  (one transaction)
//	                          Descope is told: unknown after a crash,
//	                          and then again only by the person's click
//	                          what it answered is stored                (one transaction)
package journey
