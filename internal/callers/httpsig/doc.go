// Package httpsig signs and verifies HTTP requests with HTTP Message Signatures
// (RFC 9421) and Content-Digest (RFC 9530). It does the mechanics: structured
// fields, the signature base, the algorithms. What a signature has to cover, how
// old it may be and whether it was seen before is policy and belongs to the
// caller of this package.
package httpsig
