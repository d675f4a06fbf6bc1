// Package federation tests door B from outside, with relying parties and service
// providers that we did not write: openid-client, oauth4webapi and node-saml (npm, in
// clients), and go-oidc. They sign people in at the running program, whose people are
// played by package world. conformance_test.go has one test for each module of the
// OpenID conformance suite that applies: modelled on it, and no certification.
package federation
