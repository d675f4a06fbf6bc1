package runner

import "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"

// What nobody outside Descope has written down stands here, beside the names of
// internal/descope/flow/names.yaml.

// Methods of authentication as amr spells them. That of the e-mail code is
// documented; what an External Authentication or an identity provider leaves there is
// unknown.
const (
	amrEmail     = "email"
	amrExternal  = "fed"
	amrFederated = "fed"
)

// Keys of the context that the sandbox adds. Where Descope puts the custom claims
// of an External Authentication is unknown.
const (
	keyExternalClaims = "externalAuth.customClaims"
	keyMaskedEmail    = "sentTo.maskedEmail" // seen
)

// Errors of automated tasks that are no connectors, by which a flow may handle them.
// The code of a *project.Error is tried first, then Errors.Action of the table of names.
const (
	errorExternal   = "ExternalAuthFailed"
	errorFederation = "FederationFailed"
	errorRisk       = "RiskUnknown"
)

// Limits of the Custom Claims action (documented).
const (
	maxClaimKey   = 60
	maxClaimValue = 500
	maxClaims     = 100
)

// reserved are claims that mean something of their own; the action may not write
// them (documented for some; here for all).
var reserved = map[string]bool{
	"iss": true, "sub": true, "dsub": true, "aud": true, "exp": true, "iat": true, "nbf": true, "jti": true, "rexp": true,
	"drn": true, "amr": true, "su": true, "tenants": true, "roles": true, "permissions": true, "dct": true, "cnf": true,
}

// maxTasks is how many tasks one call may run: a flow that loops without a screen
// ends there.
const maxTasks = 200

// Errors of the runtime API. The published client knows the codes of ErrVersion,
// ErrTimedOut, ErrNonce and ErrPolling (it stops polling, or starts anew with
// restart-on-error); the other codes are ours.
var (
	ErrVersion  = &project.Error{Code: "E102004", Status: 400, Message: "This sign-in was changed in the meantime. Load the page again."}
	ErrTimedOut = &project.Error{Code: "E103205", Status: 400, Message: "This sign-in took too long and is over. Start again."}
	ErrNonce    = &project.Error{Code: "E108201", Status: 400, Message: "This sign-in went on elsewhere. Start again."}
	ErrPolling  = &project.Error{Code: "E103202", Status: 400, Message: "There is nothing to wait for here. Start again."}

	ErrNoFlow       = &project.Error{Code: "E102001", Status: 404, Message: "There is no sign-in flow of this name."}
	ErrNoManagement = &project.Error{Code: "E102003", Status: 400, Message: "This is no management flow: it needs a browser."}
	ErrManagement   = &project.Error{Code: "E102005", Status: 400, Message: "This is a management flow: it is not for browsers."}
	ErrFlowOff      = &project.Error{Code: "E102002", Status: 400, Message: "This sign-in flow is switched off."}
	ErrInteraction  = &project.Error{Code: "E103201", Status: 400, Message: "This cannot be done at this step. Load the page again."}
	ErrFlow         = &project.Error{Code: "E103203", Status: 400, Message: "This sign-in flow has a fault and cannot go on. Tell whoever runs this page."}
	ErrFinished     = &project.Error{Code: "E103206", Status: 400, Message: "This sign-in is finished. Start again."}

	ErrExternal = &project.Error{Code: "E105001", Status: 400, Message: "This external authentication is unknown, too old or completed already."}
)
