// Package project is one Descope project as far as our journeys need it: its
// users, the codes it mails them, their devices and logins, the tokens it signs, and
// who identity providers say that they are.
package project
