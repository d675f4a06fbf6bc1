package accounts

import "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"

// What nobody outside Descope has written down stands here.

// createdStatus is the status of a user that the Management API creates, until the
// first login.
const createdStatus = statusInvited

// drnTrusted is the kind of a trusted device token, after DS and DSR, which are
// documented. deviceClaim names the device within it.
const (
	drnTrusted  = "DTD"
	deviceClaim = "did"
)

// methods are how the audit trail spells methods of authentication, by amr; only otp
// was seen.
var methods = map[string]string{"email": "otp"}

// reserved are claims that mean something of their own; nobody may write them as
// custom claims. Descope documents some of them.
var reserved = map[string]bool{
	"iss": true, "sub": true, "dsub": true, "aud": true, "exp": true, "iat": true, "nbf": true, "jti": true, "rexp": true,
	"drn": true, "amr": true, "su": true, "tenants": true, "roles": true, "permissions": true, "dct": true, "cnf": true,
}

// Weights of the risk score. Descope's score is 0 to 1 and its making is unknown;
// ours is the sum of what speaks against a login, and at most 1. What is new is so
// only for somebody who has signed in before.
const (
	scoreBot         = 0.6
	scoreTravel      = 0.4
	scoreVPN         = 0.2
	scoreNewDevice   = 0.2
	scoreNewCountry  = 0.2
	scoreNewIP       = 0.1
	travelKMH        = 900 // faster than an airliner
	travelFloorHours = 0.25
)

// Errors beside those of package project. Descope's codes for these are unknown.
var (
	errTooMany  = &project.Error{Code: "E130429", Status: 429, Message: "Too many codes were sent to this address. Wait some minutes."}
	errIdentity = &project.Error{Code: "E062202", Status: 400, Message: "The identity provider did not say who it was."}
	errFull     = &project.Error{Code: "E062201", Status: 400, Message: "The local Descope holds as many users as it can."}
)
