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
	CheckDocumentImage    = "document_image"     // decodes, size and pixel limits, sharp enough
	CheckDocumentType     = "document_type"      // the type read is one that was asked for
	CheckMRZ              = "mrz"                // machine-readable zone found and read
	CheckMRZDigits        = "mrz_check_digits"   // every ICAO 9303 check digit holds
	CheckDocumentExpiry   = "document_expiry"    // not past the expiry date, UTC
	CheckDocumentPortrait = "document_portrait"  // one portrait found on the document
	CheckSelfie           = "selfie"             // exactly one usable face in the selfie
	CheckFaceMatch        = "face_match"         // portrait on the document against the selfie
	CheckLiveness         = "liveness"           // a living person in front of the camera
	CheckLivenessFrames   = "liveness_frames"    // active: as many and as distinct frames, at such times, as a camera gives
	CheckLivenessActions  = "liveness_actions"   // active: every action done, in order and in time
	CheckLivenessDepth    = "liveness_depth"     // active: the face moves as a solid head does, not as a picture of one
	CheckLivenessSameFace = "liveness_same_face" // active: one person in all frames
	CheckDocumentRules    = "document_rules"     // dates in order, plausible age, issuer and number as the format wants them
	CheckBarcode          = "barcode"            // PDF417 found and read (driving licences)
	CheckBarcodeFields    = "barcode_fields"     // the AAMVA elements are there and well-formed
	CheckBarcodePrinted   = "barcode_printed"    // the barcode's data against what is printed on the front
)

// Reasons for a verdict other than pass. They are stable; docs/reasons.md says what to do about each.
const (
	ReasonImageUnreadable     = "image_unreadable"     // not a JPEG, PNG or WebP, animated, or broken
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
	ReasonLivenessFailed      = "liveness_failed"      // a picture or a mask of a person rather than a person
	ReasonLivenessIncomplete  = "liveness_incomplete"  // an action was not done, or not in time
	ReasonLivenessReplayed    = "liveness_replayed"    // frames that were used before, repeat each other, or no camera gives
	ReasonLivenessWeak        = "liveness_weak"        // passive liveness alone does not carry a pass
	ReasonTemplateForeign     = "template_foreign"     // a template of other models, or none at all
	ReasonDocumentNotFound    = "document_not_found"   // no outline of a document in the photo
	ReasonDocumentCutOff      = "document_cut_off"     // a corner or an edge is outside the photo or covered
	ReasonDocumentGlare       = "document_glare"       // a reflection covers a part that must be read
	ReasonDocumentManyFound   = "document_many_found"  // more than one document in the photo
	ReasonDocumentScreen      = "document_screen"      // a document without colours: a copy, or a photo made grey; screens are not noticed
	ReasonDocumentImplausible = "document_implausible" // dates, age, issuer or number cannot be
	ReasonDocumentAgain       = "document_again"       // read, but not surely enough: another photo is needed
	ReasonBarcodeNotFound     = "barcode_not_found"    // no PDF417 symbol on the back
	ReasonBarcodeUnreadable   = "barcode_unreadable"   // found, or read, but not an AAMVA record that is whole
	ReasonBarcodeMismatch     = "barcode_mismatch"     // barcode and printed front contradict each other
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

// VerifyRequest asks for a verdict on a document and a selfie. Images are JPEG,
// PNG or WebP bytes, as the camera or file gave them, at most 12 MB each. In JSON they
// are base64; a request has room for three of 12 MB, so several selfies should
// have no more than that together. A file must not be document and selfie at once.
type VerifyRequest struct {
	DocumentTypes []string  `json:"document_types"`          // accepted types; empty means any
	DocumentFront []byte    `json:"document_front"`          // required
	DocumentBack  []byte    `json:"document_back,omitempty"` // TD1 cards carry the MRZ here, licences the barcode
	DocumentMore  [][]byte  `json:"document_more,omitempty"` // further photos of the side with the MRZ or barcode, at most four
	Selfies       [][]byte  `json:"selfies,omitempty"`       // at least one for a verdict, at most five; none with active
	LivenessMode  string    `json:"liveness_mode"`           // none, passive, active
	Liveness      *Liveness `json:"liveness,omitempty"`      // exactly with active
	Templates     bool      `json:"templates,omitempty"`     // with a verdict of pass, answer the templates that it rests on
}

// DocumentRequest asks what a document photo shows, so that a capture page can
// say what to do better before the person goes on. It gives no verdict.
type DocumentRequest struct {
	DocumentTypes []string `json:"document_types"`
	DocumentFront []byte   `json:"document_front"`
	DocumentBack  []byte   `json:"document_back,omitempty"`
	DocumentMore  [][]byte `json:"document_more,omitempty"`
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
	Selfies      [][]byte  `json:"selfies,omitempty"`  // at most five; every one must match
	Probes       [][]byte  `json:"probes,omitempty"`   // templates instead of pictures; every one must match
	References   [][]byte  `json:"references"`         // templates, at least one, at most five; 4 KiB each, as probes
	LivenessMode string    `json:"liveness_mode"`      // none, passive, active; with Probes none
	Liveness     *Liveness `json:"liveness,omitempty"` // exactly with active, in place of Selfies and Probes
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
	Selfie    []byte     `json:"selfie,omitempty"`    // active: the frame whose face was compared, as it was received
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
	Type         string `json:"type"`                    // document, portrait, selfie, frame, probe, reference
	DocumentType string `json:"document_type,omitempty"` // for document
	Format       string `json:"format,omitempty"`        // TD1, TD2, TD3, AAMVA
	Country      string `json:"country,omitempty"`       // issuing state, ICAO 9303 code
	SHA256       string `json:"sha256"`                  // of the bytes received, lower-case hex
}

// Document is what the machine-readable zone says. Dates are YYYY-MM-DD.
type Document struct {
	Type           string   `json:"type"`   // passport, id_card, drivers_license
	Format         string   `json:"format"` // TD1, TD2, TD3, AAMVA
	IssuingCountry string   `json:"issuing_country"`
	Number         string   `json:"number"`
	Surname        string   `json:"surname"`
	GivenNames     string   `json:"given_names"`
	Nationality    string   `json:"nationality"`
	BirthDate      string   `json:"birth_date"`
	Sex            string   `json:"sex"` // F, M, X
	ExpiryDate     string   `json:"expiry_date"`
	PersonalNumber string   `json:"personal_number,omitempty"`
	MRZ            []string `json:"mrz"` // the lines as read; none for a licence

	// Of a driving licence's barcode (AAMVA DL/ID card design standard).
	IssueDate    string `json:"issue_date,omitempty"`
	Jurisdiction string `json:"jurisdiction,omitempty"` // state or province that issued it, as in the element DAJ
	Street       string `json:"street,omitempty"`
	City         string `json:"city,omitempty"`
	PostalCode   string `json:"postal_code,omitempty"`
}

// Info names the engine and the models that the report rests on.
type Info struct {
	Name      string  `json:"name"` // kosmoscope-engine
	Version   string  `json:"version"`
	Framework string  `json:"framework"` // the engine's own trust framework, never NIST's
	Models    []Model `json:"models"`

	Profile        string `json:"profile,omitempty"`         // permissive, standard, strict, or custom
	Set            string `json:"set,omitempty"`             // of models: full, unencumbered
	OperatingPoint string `json:"operating_point,omitempty"` // what the check face_match asks for to pass
	ScoreBasis     string `json:"score_basis,omitempty"`     // what the scores of face_match and its threshold are
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
