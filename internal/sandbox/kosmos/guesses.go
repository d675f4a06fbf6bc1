package kosmos

import (
	"net/http"
	"time"
)

// Everything 1Kosmos leaves undocumented and this server must nevertheless do
// in some way is decided in this file. "reference" is the engineering reference
// of this project, which labels these points UNK (unknown) or INF (inferred).

const (
	// allowedSkew: CaaS documents an allowed_time_span with default 60 s; that a
	// service refuses a request id outside it, and a repeated uuid inside it, is
	// inferred (reference 1.6).
	defaultAllowedSkew = 60 * time.Second

	// How long an outcome with personal data is kept. 1Kosmos allows anything
	// from immediate deletion to seven days (reference 2.4).
	defaultPIITTL = time.Hour
	// How long the bare row of an ended session is kept, so that a late poll
	// still learns the state.
	rowTTL = 30 * 24 * time.Hour

	// Wire value of a session that the person declined: unknown. The console
	// calls it Declined, the events know only E_IDV_SESSION_ABANDONED.
	wireDeclined = "ABANDONED"

	// Type of a card that is not a residence permit: the only published sample
	// of an ID-card result is a residence permit (reference 2.4).
	typeNationalID = "NATIONAL_ID"
	// Type of a driving licence: no sample of one is published.
	typeLicense = "DL"
	// ICAO 9303 leaves the second letter of an MRZ document code to the issuer;
	// R is what residence permits carry in practice.
	residencePermitCode = 'R'

	// Gender on the wire is "1" or "2" only; what X becomes is unknown, so it is
	// left empty.
	genderOther = ""

	// The two levels in user info, of which only the names are known, and what it
	// says of the device that holds a wallet.
	guessPOI                  = "IAL1"
	guessPON                  = "IAL1"
	guessDeviceOS             = "web"
	guessDeviceName           = "Local authenticator"
	guessAuthenticatorID      = "kosmoscope.local"
	guessAuthenticatorVersion = "1"

	// Values of a user's fields in user management, of which only the names are known.
	guessStatusActive   = "active"
	guessStatusDisabled = "disabled"
	guessRole           = "user"
	guessUserType       = "user"
	guessOnboarded      = "completed"
	guessNotOnboarded   = "pending"

	// complianceType was "F" in the published passport sample, with no meaning
	// given. The engine establishes no compliance, so the key is kept and empty.
	complianceType = ""
	// stateNone was seen in the published card sample.
	stateNone = "NONE"
)

// Also decided here, in code elsewhere:
//
//   - Usernames that differ only in the case of ASCII letters are one user (users.go).
//   - A user who is disabled cannot be proofed, and user info knows no wallet of
//     theirs (enrolment.go, userinfo.go).
//   - userIdList starts with the user's uid, so that the vendor's own helper, which
//     takes the first entry for none (reference 11), finds the name.
//   - The body of userinfo/fetch may be sealed or not; of its members devicelist
//     is known to mean something.
//   - users/fetch compares the whole username, and ignores attributes.

// Messages and statuses that no published answer shows.
var (
	// A requestid that is stale, from the future, or already used.
	guessStaleRequestID = problem{http.StatusBadRequest, styleParam, "This header has expired or was used before", "requestid"}
	// A dvcID that does not exist is 404 (documented), its text is not.
	guessUnknownDVC = problem{http.StatusNotFound, styleCode, "dvcID is not found", ""}
	// Result for a session that does not exist, or belongs to another dvcID.
	guessUnknownSession = problem{http.StatusNotFound, styleCode, "Session not found", ""}
	// A documentType outside the three documented values, or one that the
	// workflow behind the dvcID does not take.
	guessDocumentType = problem{http.StatusBadRequest, styleCode, "documentType must be one of the types of this dvcID", ""}
	// A body whose data member cannot be decrypted.
	guessData = problem{http.StatusBadRequest, styleParam, "This field can't be decrypted", "data"}
	// A body over the limit.
	guessTooLarge = problem{http.StatusRequestEntityTooLarge, styleCode, "request entity too large", ""}
	// IAL of a user that does not exist.
	guessUnknownUser = problem{http.StatusNotFound, styleMessage, "User not found", ""}
	// A username that no user can have.
	guessUsername = problem{http.StatusBadRequest, styleCode, "user.username must be " + usernameRule, ""}
	// User info of a DID that is no wallet's.
	guessUnknownDID = problem{http.StatusNotFound, styleMessage, "User not found", ""}
	// A users/fetch that names no auth module, or asks for nobody.
	guessAuthModule = problem{http.StatusBadRequest, styleCode, "authModule is required", ""}
	guessQuery      = problem{http.StatusBadRequest, styleCode, "username is required", ""}
	// A path of a service that this server does not have.
	guessNoRoute = problem{http.StatusNotFound, styleCode, "Not Found", ""}
)

// errorStyleOf is the envelope in which a service reports a refused licence and
// the like. Documented for docuverify, users-mgmt, vcs (code and message) and
// for the admin console (message alone); assumed for the others.
func errorStyleOf(service string) style {
	if service == svcCommunity {
		return styleMessage
	}
	return styleCode
}

// The Bearer /v1 profile is known from code samples on integration pages alone
// (reference 4.1). Known: the request fields, session_id, that a redirect or
// session URL is in the answer, status "completed" and result.ial_level.
// Guessed: everything below.
const (
	v1Created   = http.StatusCreated
	v1URLKey    = "session_url" // the name Descope's node uses
	v1Pending   = "pending"
	v1Started   = "in_progress"
	v1Completed = "completed" // documented
	v1Failed    = "failed"
	v1Expired   = "expired"
	v1Abandoned = "abandoned"

	// Query parameter with which the browser comes back to callback_url.
	callbackSessionParam = "session_id"
	// Member of metadata that names the user whom a session is for. The level of
	// one in the tenant's records is result.ial_level if the document read carries
	// that user's names.
	v1MetadataUser = "username"
)

func v1Status(st State) string {
	switch st {
	case Created:
		return v1Pending
	case Started, Captured, Judging:
		return v1Started
	case Success:
		return v1Completed
	case Failed:
		return v1Failed
	case Expired:
		return v1Expired
	}
	return v1Abandoned
}

// v1Problem is the error envelope of the /v1 profile: unknown; this is the
// shape that reference 1.8 lists for newer services.
func v1Problem(status int, message string) problem {
	return problem{status, styleNewer, message, ""}
}
