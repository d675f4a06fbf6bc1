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
	MaskedAccount string // for which account; empty when the caller named none
	Status        proof.Status
	Reason        proof.Reason
	DocumentTypes []proof.DocumentType
	DocumentType  proof.DocumentType // chosen; empty before consent
	ChoiceNeeded  bool               // one type must be chosen before consent
	Liveness      proof.LivenessMode
	UpstreamURL   string // the capture page, while in progress; a bearer link
	ReturnURL     string // where to go at the end, session_id included; empty before, or when the caller gave no callback_url
	ExpiresAt     time.Time
	Phone         bool // this browser is the phone that took over
	HandedOver    bool // a phone took over
}
