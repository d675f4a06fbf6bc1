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
	api.ReasonDocumentNotFound: {"IDV0002", false, notVerified, "",
		"No document was found in the photo. Lay it flat on a plain background of another colour, with all four edges in the picture.",
		"We could not find your document in the photo. Please start again: flat, on a plain background of another colour, with all four edges in the picture."},
	api.ReasonDocumentCutOff: {"IDV0002", false, notVerified, "",
		"A part of the document is outside the photo or covered. All of it must be in the picture.",
		"A part of your document was outside the photo or covered. Please start again with all of it in the picture."},
	api.ReasonDocumentGlare: {"IDV0002", false, notVerified, "",
		"A reflection covers a part that must be read. Tilt the document a little, away from the light.",
		"A reflection covered a part of your document. Please start again and tilt it a little, away from the light."},
	api.ReasonDocumentManyFound: {"IDV0002", false, notVerified, "",
		"There is more than one document in the photo. Leave only the one that is asked for.",
		"There was more than one document in the photo. Please start again with only the one that is asked for."},
	api.ReasonDocumentScreen: {"IDV0004", false, notVerified, "",
		"This looks like a photo of a screen or of a copy. Photograph the document itself.",
		"The photo looked like one of a screen or of a copy. Please start again with the document itself."},
	api.ReasonDocumentImplausible: {"IDV0005", false, "Invalid document.", "",
		"What could be read does not add up. Lay the document flat and avoid glare.",
		"What the document says does not add up, so we cannot accept it. If the photo had glare, please start again with a clearer one."},
	api.ReasonDocumentAgain: {"IDV0002", false, notVerified, "",
		"The document was read, but not surely enough. Please take another photo of the same side.",
		"We could not read your document surely enough. Please start again: lay it flat, fill the frame and avoid glare."},
	api.ReasonBarcodeNotFound: {"IDV0002", false, notVerified, "",
		"The barcode on the back could not be seen. Fill the frame with the back, sharp and without glare.",
		"We could not see the barcode on the back of your document. Please start again with a sharp photo of the whole back."},
	api.ReasonBarcodeUnreadable: {"IDV0002", false, notVerified, "",
		"The barcode on the back could not be read. Hold the camera closer and avoid glare.",
		"We could not read the barcode on the back of your document. Please start again, closer and without glare."},
	api.ReasonBarcodeMismatch: {"IDV0005", false, "Invalid document.", "",
		"The barcode and what is printed on the document do not agree.",
		"The barcode on the document and what is printed on it do not agree, so we cannot accept it. If the photos had glare, please start again with clearer ones."},
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
	api.ReasonLivenessFailed: {"IDV0007", true, notCompleted, "",
		"We could not tell a living person from a picture of one. Use this device's own camera, in even light, and move slowly.",
		"We could not make sure that a living person is in front of the camera. Please start again, in even light, or ask the company that sent you for another way."},
	api.ReasonLivenessIncomplete: {"IDV0007", true, notCompleted, "",
		"That did not work out. Do one thing at a time, slowly, when the page asks for it.",
		"Not everything that the page asked for could be seen. Please start again: one thing at a time, slowly, in even light."},
	api.ReasonLivenessReplayed: {"IDV0007", true, notCompleted, "",
		"These pictures do not come straight from a camera. Use this device's own camera.",
		"The pictures did not come straight from a camera. Please start again with the camera of your device."},
	api.ReasonLivenessWeak: {"IDV0007", true, notCompleted, "",
		"Photos alone do not show that a living person is in front of the camera, which this check asks for.",
		"Photos alone do not show that a living person is in front of the camera, which this check asks for. Please ask the company that sent you for another way."},
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
