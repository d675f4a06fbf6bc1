// Package engine judges evidence: it reads the machine-readable zone of a
// document, finds the portrait on it, compares it with a selfie, and says what
// it found as a list of checks (package api) with one verdict.
//
// It knows no networks and no fonts. Two interfaces bring those in:
// [ZoneReader] (package mrz) and [Faces] (packages face and models); [Open]
// connects the real ones.
//
//	request -> models? --missing--> cannot_tell, engine_models_missing
//	              |
//	           document photo(s): decode -> outline -> sharp on the document?
//	              | zone of every photo -> sure, or two agree -> type, digits,
//	              | expiry, rules -> how it was photographed (capture.go)
//	              | portrait: on the straightened page with the zone, or, where the
//	              | zone is on the other side, on what has a card's outline
//	              | (package outline)
//	              |
//	           liveness (package liveness): none
//	              | passive: weak cues of the selfies, cannot_tell unless configured
//	              | active: frames -> decode, one face, describe -> distinct and in time?
//	              |         actions done? solid? one face in all of them?
//	              |
//	           selfie(s), or the three best frontal frames: decode -> exactly one usable face
//	              |
//	           portrait against every selfie -> report, with both templates if
//	                                            asked for and everything passed
//
// A driving licence of the United States or Canada has a barcode on its back in the
// place of a zone (packages barcode and aamva); the portrait is on the front, on what
// has a card's outline, and so are number, date of birth and surname, which must be
// printed there as the barcode says (package ocr). A barcode is plain text: agreeing
// with it proves that one person made both sides, not that an authority did.
//
//	document photos -> barcode on the back -> elements -> type, expiry, dates and age
//	              | portrait on a card's outline -> print on that card against the barcode
//
// Whoever keeps such templates can later ask [Verifier.Match] whether somebody is
// that person; the same questions of models and liveness come first:
//
//	selfie(s) or frames: decode -> exactly one usable face, or templates instead
//	    |
//	first reference: of these models? --no--> cannot_tell, template_foreign
//	    |                                       (of a probe as well)
//	    |--all alike--> pass    |--one is somebody else--> fail, face_mismatch
//	    | between
//	another reference: all alike? --yes--> pass
//	    | none
//	cannot_tell, face_uncertain
//
// A template belongs to the models that made it (package face). Other models,
// also another set of them, compare it with nothing: people enrol again.
//
// Every check that can be carried out is carried out, also after one failed,
// so that a person hears everything at once. What could not be carried out is
// cannot_tell and never counts as a pass: a panic, a missing model or an error
// inside leaves the verdict at fail or cannot_tell.
//
// [Verifier.Challenge] draws what a person is asked to do, [Verifier.Frame] says
// after each frame what to tell them. The engine keeps nothing between them: what
// one needs to know of the other goes out and comes back through the caller, and
// the verdict rests on none of it, but on the frames' pixels alone.
//
// What this engine does not do: it does not look for forged documents. A face
// printed on or pasted into something with a card's shape and a portrait's place,
// on paper, on a screen or in the file itself, is such a forgery; the outline only
// keeps the plain photo of a face from counting as a card. It cannot tell that the
// two photos of a card's sides show the same card, so a genuine front and the
// back of somebody else's card pass together. It does not tell a picture that a
// program makes for the challenge and feeds in as a camera's from a camera's. And it has not been tested by an
// independent laboratory.
package engine
