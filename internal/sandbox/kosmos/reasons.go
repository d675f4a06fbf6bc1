package kosmos

import (
	"cmp"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Reasons of this server's own, beside the engine's.
const (
	ReasonNameMismatch      = "name_mismatch"      // names of the request are not those on the document
	ReasonRetriesExhausted  = "retries_exhausted"  // every attempt was used up by files that are no photos
	ReasonEngineUnavailable = "engine_unavailable" // it could not be reached, however often
	ReasonEnrolmentConflict = "enrolment_conflict" // the user is enrolled, and nothing shows that this is the same person
)

// Refusals of the capture page that do not end a session.
const (
	refuseNotStarted = "not_started"        // consent comes first
	refuseEnded      = "session_ended"      // or is being judged
	refuseAttempts   = "attempts_exhausted" // for this side
	refuseUploading  = "upload_running"     // one at a time in a session
	refuseBusy       = "uploads_busy"       // too many in all sessions together
	refuseSlow       = "upload_slow"        // did not arrive in time
	refuseMissing    = "photos_missing"     // submit before all photos are there
	refuseRate       = "rate_limited"
	refuseRequest    = "invalid_request"
	refuseOrigin     = "cross_origin"
)

// reasonRow says what a reason becomes: on the wire, and in plain words.
//
// The codes' names are documented (reference 2.7), and of two of them the full
// text: IDV0010 for a name check and IDV0006 for an unsupported document. Which
// code the vendor gives for which finding is inferred from the catalogue's
// wording for all others.
type reasonRow struct {
	code    string // IDV00xx
	read    bool   // the variant with extractedInfo and reason_code: the document was read
	message string // errorInfo.message
	reason  string // errorInfo.reason; empty means the same as message
	advice  string // what to do better, beside the photo; empty: not said about a photo
	ended   string // what happened and what to do next, after a failed session
}

const (
	notVerified  = "Document could not be verified."
	notCompleted = "Verification could not be completed."
	captureMsg   = "Capture failed."
)

var reasonTable = map[string]reasonRow{
	api.ReasonImageUnreadable: {"IDV0001", false, captureMsg, "",
		"This file is not a photo we can read. Use a JPEG or PNG photo.",
		"One of the photos could not be opened. Please start again with new photos."},
	api.ReasonImageTooLarge: {"IDV0001", false, captureMsg, "",
		"This photo is too large. Take a new one, or choose one under 12 MB.",
		"One of the photos was too large. Please start again with a smaller photo."},
	api.ReasonImageTooSmall: {"IDV0001", false, captureMsg, "",
		"This photo is too small to read. Take it closer, in full resolution.",
		"One of the photos was too small to read. Please start again and fill the frame."},
	api.ReasonImageBlurred: {"IDV0001", false, captureMsg, "",
		"The photo is blurred. Hold still, wait for the camera to focus, and use more light.",
		"A photo was too blurred to read. Please start again in better light."},
	api.ReasonMRZNotFound: {"IDV0002", false, notVerified, "",
		"The lines of letters and < signs could not be read. Lay the document flat, fill the frame and avoid glare.",
		"We could not read the lines of letters and < signs on your document. Please start again: lay it flat, fill the frame and avoid glare."},
	api.ReasonMRZUnreadable: {"IDV0002", false, notVerified, "",
		"Part of the lines of letters and < signs could not be read with certainty. Hold the camera closer, lay the document flat and avoid glare.",
		"Part of the lines of letters and < signs on your document could not be read. Please start again: fill the frame and avoid glare."},
	api.ReasonMRZCheckDigit: {"IDV0005", false, "Invalid document.", "",
		"Part of the lines at the edge of the document was not readable or does not add up. Lay the document flat and avoid glare.",
		"The numbers on the document do not add up, so we cannot accept it. If the photo had glare, please start again with a clearer one."},
	api.ReasonDocumentExpired: {"IDV0011", true, "Document is already expired.", "",
		"This document has expired. Use one that is still valid.",
		"This document has expired. Please start again with one that is still valid."},
	api.ReasonDocumentType: {"IDV0015", false, "Unsupported document scanned. Verification could not be done.", "Unsupported document was presented",
		"This is another kind of document than the one asked for.",
		"This is another kind of document than the one asked for. Please start again with the right one."},
	api.ReasonDocumentUnsupported: {"IDV0006", false, "Unsupported document scanned. Verification could not be done.", "Unsupported document was presented",
		"This kind of document cannot be checked here.",
		"This kind of document cannot be checked here. Please ask for another way, or use a passport."},
	api.ReasonPortraitNotFound: {"IDV0003", false, notVerified, "",
		"The portrait could not be seen. Lay the document on a plain background so that all its edges show, and keep fingers and reflections off it.",
		"We could not see the portrait on your document. Please start again: the whole document on a plain background, without reflections."},
	api.ReasonSelfieMissing: {"IDV0007", true, notCompleted, "", "",
		"There was no photo of your face. Please start again."},
	api.ReasonSelfieNoFace: {"IDV0007", true, notCompleted, "",
		"We could not see a face. Face the camera, with light in front of you.",
		"We could not see your face in the photo. Please start again with light in front of you."},
	api.ReasonSelfieManyFaces: {"IDV0007", true, notCompleted, "",
		"There is more than one face. Be alone in the photo.",
		"There was more than one face in the photo. Please start again, alone in the photo."},
	api.ReasonFaceMismatch: {"IDV0007", true, notCompleted, "", "",
		"The face in the photo does not match the portrait on the document, so we could not confirm that it is you. If it is your document, ask the company that sent you for another way."},
	api.ReasonFaceUncertain: {"IDV0007", true, notCompleted, "", "",
		"We could not tell for sure that the face is the one on the document. Please start again: face the camera, in even light, without glasses."},
	api.ReasonLivenessUnavailable: {"IDV0007", true, notCompleted, "", "",
		"This check asks for proof of a live person, which is not available here. Please ask the company that sent you."},
	api.ReasonModelsMissing: {"IDV0007", false, notCompleted, "", "",
		"The check cannot be carried out at the moment. This is our fault, not yours. Please try again later."},
	api.ReasonEngineBusy: {"IDV0007", false, notCompleted, "", "",
		"Too many checks are running at the moment. Please try again in a few minutes."},
	api.ReasonEngineTimeout: {"IDV0007", false, notCompleted, "", "",
		"The check took too long. Please try again in a few minutes."},
	api.ReasonEngineError: {"IDV0007", false, notCompleted, "", "",
		"The check could not be completed. This is our fault, not yours. Please try again later."},
	ReasonEngineUnavailable: {"IDV0007", false, notCompleted, "", "",
		"The check could not be completed. This is our fault, not yours. Please try again later."},
	ReasonRetriesExhausted: {"IDV0014", false, "Retries exhausted.", "", "",
		"None of the files was a photo that we can read. Please start again with a JPEG or PNG photo."},
	ReasonNameMismatch: {"IDV0010", true, "", "", "", // message names which of the two names it was
		"The name on the document is not the name that was given to us. Please use your own document, or correct the name where you signed up."},
	ReasonEnrolmentConflict: {"IDV0007", true, notCompleted, "", "",
		"We could not confirm that you are the person this account belongs to. Nothing about the account was changed. If it is yours, ask the company that sent you to help."},
	ReasonUserDisabled: {"IDV0007", true, notCompleted, "", "",
		"This account is switched off at the moment. Please ask the company that sent you."},
}

// row finds the words for a reason. The zero row of an unknown one is made up
// for: an engine newer than this server still gets an answer.
func row(reason string) reasonRow {
	r, ok := reasonTable[reason]
	if !ok {
		return reasonTable[api.ReasonEngineError]
	}
	return r
}

// errorFor is the errorInfo of a failed session in the variant that goes with
// the reason. module is the failed name check, if that was it.
func errorFor(reason, module string, v *session, at time.Time) *errorInfo {
	r := row(reason)
	message := r.message
	if module != "" {
		message = "Module '" + module + "' failed" // documented text
	}
	e := &errorInfo{Status: 400, Message: message, Reason: cmp.Or(r.reason, message)}
	if r.read {
		e.ReasonCode = r.code
		return e
	}
	e.Type, e.DocType = "ppt", "PPT"
	switch chosenType(v) {
	case api.IDCard:
		e.Type, e.DocType = "idcard", "IDCARD" // by analogy with ppt, which is documented
	case api.DriversLicense:
		e.Type, e.DocType = "dl", "DL" // likewise
	}
	e.DocID, e.TS, e.ReasonCode2 = v.ID, at.UnixMilli(), r.code
	return e
}
