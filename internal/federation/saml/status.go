package saml

import (
	"errors"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// status is how a request ended (SAML core 3.2.2): one of the two permissible codes
// that say whose trouble it is, and a more precise one, which may be empty.
type status struct {
	top, second string
	message     string
}

const statusPrefix = "urn:oasis:names:tc:SAML:2.0:status:"

var (
	success       = &status{top: statusPrefix + "Success"}
	invalidPolicy = &status{statusPrefix + "Requester", statusPrefix + "InvalidNameIDPolicy", "no such name can be given"}
	// nameless is for a person that we have no name of the client's format for.
	nameless = &status{statusPrefix + "Responder", statusPrefix + "AuthnFailed", "the person's face was not matched, so that the name is not known"}
)

// statuses is the one table from codes to SAML. A code that is not in it is
// Responder, and nothing more is said.
var statuses = map[proof.Code][2]string{
	proof.CodeLoginRequired:   {"Responder", "NoPassive"},
	proof.CodeInteraction:     {"Responder", "NoPassive"},
	proof.CodeUnmet:           {"Responder", "NoAuthnContext"},
	proof.CodeDenied:          {"Responder", "AuthnFailed"},
	proof.CodeConflict:        {"Responder", "AuthnFailed"}, // what was begun cannot go on
	proof.CodeNotFound:        {"Responder", "UnknownPrincipal"},
	proof.CodeForbidden:       {"Responder", "RequestDenied"},
	proof.CodeRateLimited:     {"Responder", "RequestDenied"},
	proof.CodeInvalid:         {"Requester", "RequestDenied"},
	proof.CodeUnauthenticated: {"Requester", "RequestDenied"},
	proof.CodeTooLarge:        {"Requester", "RequestDenied"},
}

// statusOf is what a service provider is told of an error. Its message is told only
// where the code says whose trouble it is, with the reason for programs.
func statusOf(err error) *status {
	to, ok := statuses[proof.CodeOf(err)]
	if !ok {
		return &status{top: statusPrefix + "Responder", message: "something went wrong; trying again may help"}
	}
	s := &status{top: statusPrefix + to[0], second: statusPrefix + to[1]}
	if e, ok := errors.AsType[*proof.Error](err); ok {
		s.message = e.Message
		if e.Reason != "" {
			s.message = string(e.Reason) + ": " + e.Message
		}
	}
	return s
}
