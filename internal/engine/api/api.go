package api

// Outcome of one check. A check that could not be carried out (no models, no
// engine, unreadable input) is CannotTell and never counts as a pass.
type Outcome string

const (
	Pass       Outcome = "pass"
	Fail       Outcome = "fail"
	CannotTell Outcome = "cannot_tell"
)

// Names of the checks, in the order in which the engine reports them.
const (
	CheckDocumentImage    = "document_image"    // decodes, size and pixel limits, sharp enough
	CheckDocumentType     = "document_type"     // the type read is one that was asked for
	CheckMRZ              = "mrz"               // machine-readable zone found and read
	CheckMRZDigits        = "mrz_check_digits"  // every ICAO 9303 check digit holds
	CheckDocumentExpiry   = "document_expiry"   // not past the expiry date, UTC
	CheckDocumentPortrait = "document_portrait" // one portrait found on the document
	CheckSelfie           = "selfie"            // exactly one usable face in the selfie
	CheckFaceMatch        = "face_match"        // portrait on the document against the selfie
	CheckLiveness         = "liveness"          // a living person in front of the camera
)

// Reasons for a verdict other than pass. They are stable; docs/reasons.md says what to do about each.
const (
	ReasonImageUnreadable     = "image_unreadable"     // not a JPEG or PNG, or broken
	ReasonImageTooLarge       = "image_too_large"      // bytes or pixels over the limit (also a decompression bomb)
	ReasonImageTooSmall       = "image_too_small"      // too few pixels to read
	ReasonImageBlurred        = "image_blurred"        // not sharp enough
	ReasonMRZNotFound         = "mrz_not_found"        // no machine-readable zone found
	ReasonMRZUnreadable       = "mrz_unreadable"       // a zone was found, but a part of it could not be read with certainty
	ReasonMRZCheckDigit       = "mrz_check_digit"      // at least one check digit is wrong
	ReasonDocumentExpired     = "document_expired"     //
	ReasonDocumentType        = "document_type"        // another type of document than asked for
	ReasonDocumentUnsupported = "document_unsupported" // this engine cannot read this type yet
	ReasonPortraitNotFound    = "portrait_not_found"   //
	ReasonSelfieMissing       = "selfie_missing"       //
	ReasonSelfieNoFace        = "selfie_no_face"       //
	ReasonSelfieManyFaces     = "selfie_many_faces"    //
	ReasonFaceMismatch        = "face_mismatch"        // a different person
	ReasonFaceUncertain       = "face_uncertain"       // between the two thresholds: ask again
	ReasonLivenessUnavailable = "liveness_unavailable" // passive or active asked for, not built into this engine
	ReasonTemplateForeign     = "template_foreign"     // a template of other models, or none at all
	ReasonModelsMissing       = "engine_models_missing"
	ReasonEngineBusy          = "engine_busy"     // bounded queue is full; try again (HTTP 503)
	ReasonEngineTimeout       = "engine_timeout"  // the bounded time ran out (HTTP 504)
	ReasonEngineError         = "engine_error"    // anything else inside the engine
	ReasonInvalidRequest      = "invalid_request" // not JSON, an unknown field, or a value that the field cannot have (HTTP 400)
)

// Liveness modes.
const (
	LivenessNone    = "none"
	LivenessPassive = "passive"
	LivenessActive  = "active"
)

// Document types, as door A spells them.
const (
	Passport       = "passport"
	DriversLicense = "drivers_license"
	IDCard         = "id_card"
)

// VerifyRequest asks for a verdict on a document and a selfie. Images are JPEG
// or PNG bytes, as the camera or file gave them, at most 12 MB each. In JSON they
// are base64; a request has room for three of 12 MB, so several selfies should
// have no more than that together. A file must not be document and selfie at once.
type VerifyRequest struct {
	DocumentTypes []string `json:"document_types"`          // accepted types; empty means any
	DocumentFront []byte   `json:"document_front"`          // required
	DocumentBack  []byte   `json:"document_back,omitempty"` // TD1 cards carry the MRZ here
	Selfies       [][]byte `json:"selfies"`                 // at least one for a verdict, at most five
	LivenessMode  string   `json:"liveness_mode"`           // none, passive, active
	Templates     bool     `json:"templates,omitempty"`     // with a verdict of pass, answer the templates that it rests on
}

// DocumentRequest asks what a document photo shows, so that a capture page can
// say what to do better before the person goes on. It gives no verdict.
type DocumentRequest struct {
	DocumentTypes []string `json:"document_types"`
	DocumentFront []byte   `json:"document_front"`
	DocumentBack  []byte   `json:"document_back,omitempty"`
}

// SelfieRequest asks whether a selfie is usable. It gives no verdict.
type SelfieRequest struct {
	Selfie []byte `json:"selfie"`
}

// MatchRequest asks whether somebody is the person of earlier templates. Exactly
// one of Selfies and Probes is given. A reference is like them where every one of
// them is like it, so that more of them make a match harder. The first reference
// decides; where it leaves the answer open (face_uncertain), another one that
// passes makes it a pass. A first reference, or a probe, of other models than the
// engine has now is neither like nor unlike: cannot_tell, with
// ReasonTemplateForeign.
//
// The report has the check face_match, with the score of the least alike selfie
// or probe against the reference that decided; before it, with Selfies, the check
// selfie.
type MatchRequest struct {
	Selfies      [][]byte `json:"selfies,omitempty"` // at most five; every one must match
	Probes       [][]byte `json:"probes,omitempty"`  // templates instead of pictures; every one must match
	References   [][]byte `json:"references"`        // templates, at least one, at most five; 4 KiB each, as probes
	LivenessMode string   `json:"liveness_mode"`     // none, passive, active; with Probes none
}

// Templates are faces as the engine compares them, in a form to keep (see package
// face). They are personal data of the most sensitive kind.
type Templates struct {
	Selfie   []byte `json:"selfie"`   // of the selfie that is most like the portrait
	Portrait []byte `json:"portrait"` // of the portrait on the document
}

// Report is what the engine answers to all four requests. Verdict pass means
// that every check that was asked for passed; for DocumentRequest and
// SelfieRequest that covers only the checks that belong to that image.
type Report struct {
	Verdict   Outcome    `json:"verdict"`
	Reason    string     `json:"reason,omitempty"` // empty exactly when verdict is pass
	Checks    []Check    `json:"checks"`
	Evidence  []Evidence `json:"evidence"`
	Document  *Document  `json:"document,omitempty"`  // what was read, also when the verdict is fail
	Portrait  []byte     `json:"portrait,omitempty"`  // JPEG crop of the portrait on the document
	Templates *Templates `json:"templates,omitempty"` // only if asked for, and only with a verdict of pass
	Engine    Info       `json:"engine"`
	Assessed  bool       `json:"assessed"` // always false: no independent laboratory has tested this engine
}

// Check is one test on evidence. Score and Threshold are nil where the check is yes or no.
type Check struct {
	Name       string   `json:"name"`
	Outcome    Outcome  `json:"outcome"`
	Score      *float64 `json:"score"`
	Threshold  *float64 `json:"threshold"`
	DurationMS float64  `json:"duration_ms"`
	Detail     string   `json:"detail,omitempty"` // a plain sentence, nothing personal
}

// Evidence names one thing that was examined.
type Evidence struct {
	Type         string `json:"type"`                    // document, portrait, selfie, probe, reference
	DocumentType string `json:"document_type,omitempty"` // for document
	Format       string `json:"format,omitempty"`        // TD1, TD2, TD3
	Country      string `json:"country,omitempty"`       // issuing state, ICAO 9303 code
	SHA256       string `json:"sha256"`                  // of the bytes received, lower-case hex
}

// Document is what the machine-readable zone says. Dates are YYYY-MM-DD.
type Document struct {
	Type           string   `json:"type"`   // passport, id_card
	Format         string   `json:"format"` // TD1, TD2, TD3
	IssuingCountry string   `json:"issuing_country"`
	Number         string   `json:"number"`
	Surname        string   `json:"surname"`
	GivenNames     string   `json:"given_names"`
	Nationality    string   `json:"nationality"`
	BirthDate      string   `json:"birth_date"`
	Sex            string   `json:"sex"` // F, M, X
	ExpiryDate     string   `json:"expiry_date"`
	PersonalNumber string   `json:"personal_number,omitempty"`
	MRZ            []string `json:"mrz"` // the lines as read
}

// Info names the engine and the models that the report rests on.
type Info struct {
	Name      string  `json:"name"` // kosmoscope-engine
	Version   string  `json:"version"`
	Framework string  `json:"framework"` // the engine's own trust framework, never NIST's
	Models    []Model `json:"models"`
}

// Model is one network with its origin.
type Model struct {
	Name    string `json:"name"`
	Version string `json:"version"`
	License string `json:"license"`
	SHA256  string `json:"sha256"`
}

// Problem is the body of every answer of the engine that is not 200.
type Problem struct {
	Reason  string `json:"reason"`
	Message string `json:"message"` // a plain sentence with a hint
}
