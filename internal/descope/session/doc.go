// Package session checks Descope's session tokens in an application's backend, and
// asks for a step-up where one is needed (RFC 9470).
//
// It checks more than Descope's own SDKs do, which believe any token of the
// project's keys: that it is a session and not a refresh token, and of this project.
package session
