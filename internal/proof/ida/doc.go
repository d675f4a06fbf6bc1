// Package ida writes what a proofing learned in the words of "OpenID Identity
// Assurance Schema Definition 1.0" (openid-ida-verified-claims-1_0, final): the
// verified_claims element that door A puts into its answers and door B into tokens.
// It does no I/O, and decides nothing but what may truthfully stand in the element.
package ida
