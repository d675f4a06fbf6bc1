package kosmos

import "time"

// Event is one entry of a session's history: a name from the vendor's event
// vocabulary (reference 2.8), or one of ours (KOSMOSCOPE_), and when it
// happened. It holds nothing personal.
type Event struct {
	Name string
	At   time.Time
}

const (
	eventInitialization      = "E_IDV_INITIALIZATION"
	eventConsent             = "E_IDV_USER_CONSENT"
	eventDocumentInstruction = "E_IDV_DOCUMENTINSTRUCTION"
	eventDocumentCapture     = "E_IDV_DOCUMENTCAPTURE"
	eventSelfieCapture       = "E_IDV_SELFIECAPTURE"
	eventSubmission          = "E_IDV_DOCUMENT_SUBMISSION"
	eventValidate            = "E_IDV_DOCUMENT_VALIDATE"
	eventAbandoned           = "E_IDV_SESSION_ABANDONED"
	eventExpired             = "E_IDV_SESSION_EXPIRED"
)
