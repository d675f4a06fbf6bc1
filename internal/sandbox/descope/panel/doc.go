// Package panel is the test panel of the local Descope, under /lab/: from where and
// on what device a browser signs in next, the mail that was sent, the calls that
// connectors made, what goes wrong on purpose, users with their devices and logins,
// and the flows with what is wrong with them. Pages for a developer, and the same as
// JSON under /lab/api/ for tests.
//
// It shows codes and personal data to whoever reaches it, so it answers this machine
// only: requests for another host are refused (a foreign name that points to
// 127.0.0.1), and so is whatever a page of another origin would change.
package panel
