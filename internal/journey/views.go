package journey

import (
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// StartRequest is what a caller asks for. Its shape was checked by the door;
// journey checks the caller's rights.
type StartRequest struct {
	DocumentTypes  []proof.DocumentType // empty: all that the caller may ask for
	Liveness       proof.LivenessMode   // empty: the configured default
	CallbackURL    string
	IdempotencyKey string
	ExternalAuth   bool `json:",omitempty"` // the link is for the External Authentication action of a flow; omitted so that requests from before hash alike
	Request        proof.Request
}

// Started is the answer to a StartRequest. SessionURL is a bearer link.
type Started struct {
	SessionID  string
	SessionURL string
	Status     proof.Status
	ExpiresAt  time.Time
}

// ResultView is what a caller may know about its verification. Outcome.Claims
// holds only the claims on the caller's allow-list.
type ResultView struct {
	Verification proof.Verification
	Outcome      proof.Outcome
	Metadata     map[string]string
}

// HandoffView is what the person in front of our page may know.
type HandoffView struct {
	ID            string
	Application   string // who asks
	ConsentText   string // a sentence of its own; may be empty
	MaskedAccount string // for which account; empty when the caller named none
	Status        proof.Status
	Reason        proof.Reason
	DocumentTypes []proof.DocumentType
	DocumentType  proof.DocumentType // chosen; empty before consent
	ChoiceNeeded  bool               // one type must be chosen before consent
	Liveness      proof.LivenessMode
	UpstreamURL   string       // the capture page, while in progress; a bearer link
	ReturnURL     string       // where to go at the end, session_id included; empty before, or when the caller gave no callback_url
	WayBack       WayBack      // how to go at the end where that is into a Descope flow
	Lost          proof.Reason // with WayBackLost: why
	ExpiresAt     time.Time
	Phone         bool // this browser is the phone that took over
	HandedOver    bool // a phone took over
}

// ChallengeStart is what a caller asks for. Its shape was checked by the door.
type ChallengeStart struct {
	Timeout        time.Duration // zero: the configured default
	CallbackURL    string
	DecisionID     string
	IdempotencyKey string
	ExternalAuth   bool `json:",omitempty"` // as of a StartRequest
	Request        proof.ChallengeRequest
}

// ChallengeStarted is the answer to a ChallengeStart. Refused is empty if a
// challenge is open; else it says why none is, and only RetryAt may be set
// besides. ChallengeURL is a bearer link.
type ChallengeStarted struct {
	ChallengeID  string
	ChallengeURL string
	Status       proof.ChallengeStatus
	ExpiresAt    time.Time
	Refused      proof.Reason
	RetryAt      time.Time // with too_many_attempts: when it may be asked again; zero if unknown
}

// ChallengeView is what the person in front of our challenge page may know.
type ChallengeView struct {
	ID            string
	Application   string // who asks
	MaskedAccount string // for which account
	Transaction   string // what for, in the caller's words; may be empty
	ReasonCode    string // why, as a code such as new_device; may be empty or one that the pages do not know
	Status        proof.ChallengeStatus
	Reason        proof.Reason
	Liveness      proof.LivenessMode
	UpstreamURL   string       // where to answer, while pending; empty when no session is open right now; a bearer link
	Scan          bool         // UpstreamURL is for the 1Kosmos app: shown as a code, opened on a phone; else a page for any browser
	Returns       bool         // that page sends the browser back to us
	SessionEnds   time.Time    // when UpstreamURL is replaced by another; zero: not before ExpiresAt
	Session       int          // counts the upstream sessions: when it changes, so did UpstreamURL
	ReturnURL     string       // where to go at the end, challenge_id included; empty before, or without callback_url
	WayBack       WayBack      // as of a HandoffView
	Lost          proof.Reason // likewise
	ExpiresAt     time.Time
	Phone         bool // this browser is the phone that took over
	HandedOver    bool // a phone took over
}
