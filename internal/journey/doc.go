// Package journey holds the use cases: start a verification, let a person in
// through its link, open the upstream session on consent, poll it, finish,
// grant an assurance, answer a caller, erase a subject. It declares the ports
// that it needs (Store, Vault, Upstream); other rooms implement them, and the
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
package journey
