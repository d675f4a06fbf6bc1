package proof

import (
	"fmt"
	"slices"
	"time"
)

// Status of a verification.
type Status string

const (
	Pending    Status = "pending"     // the link was handed out, nobody consented yet
	InProgress Status = "in_progress" // an upstream session is open
	Verified   Status = "verified"
	Failed     Status = "failed"
	Expired    Status = "expired"
	Abandoned  Status = "abandoned"
)

// Terminal reports whether s never changes again.
func (s Status) Terminal() bool {
	return s == Verified || s == Failed || s == Expired || s == Abandoned
}

// DocumentType as door A spells it.
type DocumentType string

const (
	Passport       DocumentType = "passport"
	DriversLicense DocumentType = "drivers_license"
	IDCard         DocumentType = "id_card"
)

// DocumentTypes lists the types there are, in the order in which pages offer them.
func DocumentTypes() []DocumentType { return []DocumentType{Passport, IDCard, DriversLicense} }

// Valid reports whether t is one of DocumentTypes.
func (t DocumentType) Valid() bool { return slices.Contains(DocumentTypes(), t) }

// LivenessMode says how hard the proof of a living person in front of the camera is to be.
type LivenessMode string

const (
	LivenessNone    LivenessMode = "none"    // a still photo is accepted
	LivenessPassive LivenessMode = "passive" // judged from ordinary frames
	LivenessActive  LivenessMode = "active"  // a challenge drawn by the server
)

// Valid reports whether m is a mode.
func (m LivenessMode) Valid() bool {
	return m == LivenessNone || m == LivenessPassive || m == LivenessActive
}

// Verification is one IDV session: one person, one purpose, one deadline.
// It holds nothing personal in the clear; what is personal is in the two sealed
// fields, encrypted under the subject's key (Request and Outcome say what they hold).
type Verification struct {
	ID      string // UUIDv7; no capability
	Tenant  string
	Caller  string // who asked
	Subject string // id of the Subject
	Named   bool   // the caller named the subject (user_identifier); else a fresh pairwise one

	Status        Status
	Reason        Reason         // why it ended, or what is in the way; empty when verified or undisturbed
	DocumentTypes []DocumentType // accepted
	DocumentType  DocumentType   // chosen by the person; empty before consent
	Liveness      LivenessMode
	CallbackURL   string // where the hand-off page returns to; from the caller's allow-list; may be empty

	IdempotencyKey string // unique per tenant and caller if not empty
	RequestHash    []byte // keyed hash of the request, to tell a replay from a conflict

	Link     Link
	Upstream Upstream // zero until consent
	External External // zero: no round trip through Descope's External Authentication

	IALLevel     string    // IAL1, IAL2, IAL3 or empty: nobody who may say so said so
	IALSource    string    // what it came from: "1kosmos_ial", "policy:<name>" or empty
	IALExpiresAt time.Time // zero when unknown

	SealedRequest []byte // Request
	SealedOutcome []byte // Outcome; nil until terminal, and after retention or erasure

	PollFailures int // consecutive permanent upstream errors of polls; before consent, failed attempts to open a session
	LevelTries   int // times that 1Kosmos could not say the level of a session that it had verified
	CreatedAt    time.Time
	ConsentAt    time.Time // zero until consent
	ExpiresAt    time.Time // our deadline
	FinishedAt   time.Time // zero until terminal
	PurgedAt     time.Time // when SealedRequest and SealedOutcome were dropped by retention
	Version      int64     // counts stored changes, for optimistic locking
}

// Link is what lets a browser in, apart from the id. All secrets are kept as
// SHA-256 hashes.
type Link struct {
	SecretHash      []byte    // of the secret in session_url
	ExpiresAt       time.Time // the link opens nothing after this; the browser it opened for may go on
	BrowserHash     []byte    // of the cookie of the first browser that opened it; nil before
	HandoverHash    []byte    // of the secret of the open hand-over to a phone; nil when none is open
	HandoverExpires time.Time
	PhoneHash       []byte // of the cookie of the phone that took over; nil before
}

// Upstream names the session at 1Kosmos.
type Upstream struct {
	Profile   string // "blockid" (encrypted platform API) or "v1" (Bearer REST)
	SessionID string
	DVC       string // dvcID, for profile blockid
	SealedURL []byte // the capture page: a bearer link, so sealed like personal data
	// SessionHash is a keyed hash of SessionID, in hexadecimal, by which a callback finds what
	// is open; empty once it has ended, and in what is older than this field.
	SessionHash string
}

// Request is the personal part of what the caller asked.
type Request struct {
	UserIdentifier string            `json:"user_identifier,omitempty"`
	Expected       Expected          `json:"expected,omitzero"`
	Metadata       map[string]string `json:"metadata,omitempty"`
}

// Expected is what the caller believes about the person. A verification whose
// document says otherwise ends as failed with ReasonExpectedMismatch.
type Expected struct {
	GivenName  string `json:"given_name,omitempty"`
	FamilyName string `json:"family_name,omitempty"`
	BirthDate  string `json:"birth_date,omitempty"` // YYYY-MM-DD
}

// Begin records consent and the upstream session.
func (v *Verification) Begin(now time.Time, t DocumentType, up Upstream) error {
	if v.Status != Pending {
		return v.illegal(InProgress)
	}
	v.Status, v.Reason = InProgress, ""
	v.DocumentType, v.Upstream, v.ConsentAt = t, up, now
	return nil
}

// Finish moves the verification to a terminal state. Finishing a finished one
// is an error, whatever the states: the first terminal answer stays.
func (v *Verification) Finish(now time.Time, s Status, r Reason) error {
	ok := s.Terminal() && (v.Status == InProgress || v.Status == Pending && s != Verified)
	if !ok || (s == Verified) != (r == "") {
		return v.illegal(s)
	}
	v.Status, v.Reason, v.FinishedAt = s, r, now
	v.Link.HandoverHash, v.Link.HandoverExpires = nil, time.Time{}
	v.Upstream.SessionHash = ""
	return nil
}

func (v *Verification) illegal(to Status) error {
	return &Error{
		Code: CodeConflict, Reason: v.Reason,
		Message: fmt.Sprintf("a verification that is %s cannot become %s", v.Status, to),
	}
}
