// Package engine judges evidence: it reads the machine-readable zone of a
// document, finds the portrait on it, compares it with a selfie, and says what
// it found as a list of checks (package api) with one verdict.
//
// It knows no networks and no fonts. Two interfaces bring those in:
// [ZoneReader] (package mrz) and [Faces] (packages face and models); [Open]
// connects the real ones.
//
//	request -> liveness mode? --passive, active--> fail, liveness_unavailable
//	              | none
//	           models? --missing--> cannot_tell, engine_models_missing
//	              |
//	           document photo(s): decode -> zone -> type, digits, expiry
//	              | portrait: on the page with the zone, or, where the zone is on
//	              | the other side, on what has a card's outline (package outline)
//	              |
//	           selfie(s): decode -> exactly one usable face
//	              |
//	           portrait against every selfie -> report, with both templates if
//	                                            asked for and everything passed
//
// Whoever keeps such templates can later ask [Verifier.Match] whether somebody is
// that person; the same two questions come first:
//
//	selfie(s): decode -> exactly one usable face, or templates instead
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
// What this engine does not do: it does not look for forged documents. A face
// printed on or pasted into something with a card's shape and a portrait's place,
// on paper, on a screen or in the file itself, is such a forgery; the outline only
// keeps the plain photo of a face from counting as a card. It cannot tell that the
// two photos of a card's sides show the same card, so a genuine front and the
// back of somebody else's card pass together. And it has not been tested by an
// independent laboratory.
package engine
