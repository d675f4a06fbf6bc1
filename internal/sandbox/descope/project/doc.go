// Package project is one Descope project as far as our journeys need it: its
// users, the codes it mails them, their devices and logins, and the tokens it signs.
package project
