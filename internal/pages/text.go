package pages

import (
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// ConsentVersion names the wording that a person agrees to: everything on the
// page from what is collected to the sentence beside the box. A test fails when
// the wording changes and the version does not.
const ConsentVersion = "1"

// text holds every word of the pages but those about reasons, which are in
// sentences and challengeSentences below: to translate the pages is to
// translate these three tables.
var text = map[string]string{
	"lang":           "en",
	"title":          "%s: verify your identity",
	"title.error":    "Verify your identity",
	"kicker":         "Identity check",
	"step.consent":   "Agree",
	"step.photos":    "Photos",
	"step.result":    "Result",
	"steps":          "Steps",
	"application":    "the application",
	"account":        "For the account",
	"account.yours":  "Stop here if this is not yours.",
	"footer":         "This page belongs to %s.",
	"privacy":        "Privacy notice",
	"retry":          "Try again",
	"form.busy":      "One moment …",
	"offline":        "We lost the connection. This page keeps trying.",
	"status.consent": "Waiting for your decision.",
	"status.photos":  "Waiting for your photos.",
	"status.phone":   "Waiting for your phone.",
	"status.trouble": "We have trouble hearing from the verification service. Keep this page open, it keeps trying.",

	"ask.title":         "Verify your identity",
	"ask.heading":       "wants to recognise you",
	"ask.heading.level": "wants to be certain who you are",
	"ask.who":           "Your account there",
	"ask.hint":          "The name or e-mail address that you sign in with. It is not told to anybody unless your face is recognised.",
	"ask.face":          "Show my face",
	"ask.face.note":     "If you have shown your document before, and agreed to be recognised.",
	"ask.document":      "Show a document and my face",
	"ask.document.note": "About two minutes, with your passport, identity card or driving licence.",
	"ask.stop":          "No, take me back",
	"ask.nowhere":       "There is no way back from here. Close this page, and go back to the application.",

	"consent.heading":    "asks you to verify your identity",
	"consent.intro":      "It takes about two minutes. Have your document at hand.",
	"consent.warning":    "Go on only if you started this yourself at",
	"consent.ends":       "This request ends in %s.",
	"collect.heading":    "What is collected, and why",
	"collect.document":   "Photos of your %s,",
	"collect.document.2": "to read your name, date of birth and the document’s number and dates, and to check the document.",
	"collect.none":       "A photo of your face,",
	"collect.passive":    "A short recording of your face,",
	"collect.active":     "A short recording of your face while you follow instructions,",
	"collect.face.2":     "to compare it with the portrait on the document. For this, measurements of your face are made: biometric data.",
	"process.heading":    "Who processes it",
	"process.body":       "%[1]s examines the photos on behalf of %[2]s. %[2]s receives the result and only those details from your document that it is entitled to.",
	"keep.heading":       "How long it is kept",
	"keep.none":          "The photos are deleted when this verification ends.",
	"keep.for":           "The photos are deleted %s after this verification ends.",
	"keep.unknown":       "%[1]s keeps the photos for as long as it has agreed with %[2]s. This page keeps none.",
	"choose.heading":     "Which document do you want to use?",
	"consent.box":        "I agree that photos of my document and of my face, including biometric data, are processed as described here.",
	"consent.start":      "Agree and continue",
	"consent.decline":    "No, do not verify me",
	"consent.missing":    "Tick the box if you agree. Without it we cannot go on.",
	"consent.choose":     "Choose one of the documents.",
	"consent.changed":    "The wording of this page has changed. Please read it again.",

	"doc.passport":             "passport",
	"doc.id_card":              "ID card",
	"doc.drivers_license":      "driver’s license",
	"doc.or":                   " or ",
	"doc.passport.1":           "Passport",
	"doc.id_card.1":            "ID card",
	"doc.drivers_license.1":    "Driver’s license",
	"doc.passport.hint":        "The page with your photo",
	"doc.id_card.hint":         "Front and back",
	"doc.drivers_license.hint": "Front and back",

	"continue.heading":    "Take the photos",
	"continue.body":       "First your %s, then your face. Choose a place with good light.",
	"continue.any":        "First your document, then your face. Choose a place with good light.",
	"continue.here":       "Continue on this device",
	"continue.phone.here": "Continue on this phone",
	"continue.here.hint":  "Opens %s in a new tab. Come back to this page when you are done.",
	"continue.here.back":  "Takes you to %s, and back here when you are done.",
	"continue.phone":      "Use my phone",
	"continue.phone.hint": "Phones often have the better camera. You scan a code, and this page follows along.",
	"continue.decline":    "Stop this verification",
	"continue.missing":    "The page for the photos cannot be opened right now. Keep this page open.",

	"qr.heading":   "Go on with your phone",
	"qr.1":         "Open the camera of your phone.",
	"qr.2":         "Point it at this code.",
	"qr.3":         "Open the link that appears, and keep this page open.",
	"qr.alt":       "Code with the link for your phone",
	"qr.link":      "Or type this link into your phone’s browser:",
	"qr.copy":      "Copy link",
	"qr.copied":    "Copied",
	"qr.copy.fail": "Copying failed. Mark the link and copy it by hand.",
	"qr.type":      "Your phone opens this page, and from there the 1Kosmos app.",
	"qr.type.link": "Type this link into your phone’s browser. Capitals, spaces and hyphens do not matter.",
	"qr.good":      "Good once, for %s.",
	"qr.left":      "Good once, for another",
	"qr.private":   "Show it to nobody: whoever opens it continues in your place.",
	"qr.new":       "New code",
	"qr.new.link":  "New link",
	"qr.back":      "Back",

	"elsewhere.heading": "Continue on your phone",
	"elsewhere.body":    "Your phone has taken over. Keep this page open: it goes on by itself when you are done there.",
	"elsewhere.trouble": "Phone not working?",
	"elsewhere.new":     "Use another phone",
	"elsewhere.was.not": "If that was not your phone, stop this verification.",

	"done.verified":  "You are verified",
	"done.failed":    "We could not verify you",
	"done.expired":   "Time ran out",
	"done.abandoned": "Verification stopped",
	"done.return":    "Return to %s",
	"done.auto":      "You are taken back in a few seconds.",
	"done.stay":      "Stay on this page",
	"done.close":     "You can close this page.",
	"done.stayed":    "Go back to the application to go on from there.",
	"done.late":      "The application waits no longer.",
	"done.unheard":   "The application did not answer.",
	"done.lost":      "You cannot be taken back from here. Go back to the application and start again.",
	"leave.heading":  "You are taken back",
	"done.phone":     "You can put your phone away and go on where you started.",

	"challenge.title":        "%s: show that it is you",
	"challenge.title.error":  "Show that it is you",
	"challenge.heading":      "asks you to show that it is you",
	"challenge.warning":      "Go on only if you are signing in at",
	"challenge.warning.2":    "yourself right now.",
	"challenge.warning.scan": "Never scan this code because somebody sent it to you or told you to.",
	"challenge.warning.open": "Never go on because somebody sent you this page or told you to.",
	"challenge.decline":      "This was not me: stop the sign-in",
	"challenge.was.not":      "If that was not your phone, stop the sign-in.",
	"challenge.match":        "Thank you, it is you",
	"challenge.no_match":     "We could not confirm that it is you",
	"challenge.expired":      "Time ran out",
	"challenge.failed":       "This did not work",
	"challenge.declined":     "The sign-in is stopped",
	"challenge.trouble":      "We have trouble hearing from 1Kosmos. Keep this page open, it keeps trying.",
	"challenge.cookie":       "This browser has no access to this page.",

	"why.new_device":             "The reason: this sign-in comes from a device that is new for your account.",
	"why.unfamiliar_ip":          "The reason: this sign-in comes from a network that is new for your account.",
	"why.geo_anomaly":            "The reason: this sign-in comes from an unusual place.",
	"why.impossible_travel":      "The reason: this sign-in comes from far away from where your account was used just before.",
	"why.velocity":               "The reason: there were many attempts to sign in.",
	"why.dormant_account":        "The reason: your account was not used for a long time.",
	"why.unusual_hour":           "The reason: this sign-in comes at an unusual time of day.",
	"why.anonymiser":             "The reason: this sign-in comes through a network that hides where it comes from.",
	"why.descope_risk":           "The reason: something about this sign-in is unusual.",
	"why.sensitive_scope":        "The reason: this sign-in asks for something that is specially protected.",
	"why.high_value_transaction": "The reason: this is about something of high value.",

	"words":     "says what it is for:",
	"words.cut": "The text is longer. If you need the rest to decide, do not go on.",

	"scan.heading":    "With the 1Kosmos app",
	"scan.1":          "Open the 1Kosmos app on your phone and scan this code with it.",
	"scan.2":          "Show your face to the app.",
	"scan.3":          "Keep this page open: it goes on by itself.",
	"scan.alt":        "Code for the 1Kosmos app",
	"scan.left":       "A new code appears by itself in",
	"scan.renewing":   "A new code is being made. It appears here by itself in a moment.",
	"scan.here":       "Open on this device",
	"scan.here.phone": "Open on this phone",
	"scan.phone":      "Open the 1Kosmos app on this phone and show your face.",
	"scan.type":       "Type a link on my phone instead",
	"open.body":       "You show your face to the camera. Choose a place with good light.",
	"open.renewing":   "The page for your face is being made ready. The button appears here by itself in a moment.",
	"status.face":     "Waiting for your face.",
	"status.renewing": "One moment …",

	"error.heading":  "This did not work",
	"form.refused":   "We could not make sure that this came from our page.",
	"form.refused.2": "Go back to the page, load it again and repeat what you did.",
	"cookie":         "This browser has no access to this verification.",
	"cookie.2":       "Open the link in the browser in which you opened it first, and allow cookies for this site. Private windows forget them when they close.",
	"nothing":        "There is nothing at this address.",
	"nothing.2":      "Check that the link is complete, or go back to the application you came from.",

	"second":  "1 second",
	"seconds": "%d seconds",
	"minute":  "1 minute",
	"minutes": "%d minutes",
	"hours":   "%d hours",
	"days":    "%d days",
}

// Sentence says to a person what happened and what to do next.
type Sentence struct {
	Say  string
	Hint string // may be empty
}

func (s Sentence) String() string {
	if s.Hint == "" {
		return s.Say
	}
	return s.Say + " " + s.Hint
}

var (
	verified = Sentence{"Your identity is confirmed.", ""}
	matched  = Sentence{"Your face was recognised.", ""}
)

// internal is for what a person can do nothing about and need not understand.
var internal = Sentence{"Something went wrong on our side.", "It is not your fault, and nothing about you was decided. Please try again later."}

var (
	tryAgainLater  = "Please try again in a few minutes."
	takeNewPhotos  = "Start again and take new photos in good light, without reflections, with the whole document in the picture."
	notUnderstood  = Sentence{"Something went wrong between us and the verification service.", "It is not your fault. Please try again later."}
	serviceAway    = Sentence{"The verification service does not answer right now.", tryAgainLater}
	doItSlowly     = "Start again and do one thing at a time, slowly, in even light. If you cannot do it, ask the application for another way."
	askAnotherWay  = "Go back to the application and ask for another way."
	notPossible    = Sentence{"This account cannot be checked by face right now.", askAnotherWay}
	unbelievable   = Sentence{"The answer could not be trusted, so it does not count.", "Start again in the application. If it happens again, tell the people who look after your account."}
	documentNoGood = Sentence{"Your document could not be confirmed.", "Start again with new photos or another valid document."}
)

// sentences has one for every reason there is, as it reads to somebody who is
// being verified.
var sentences = map[proof.Reason]Sentence{
	proof.ReasonImageUnreadable:     {"One of the photos could not be opened.", "Start again and take it with the camera, or choose a JPEG or PNG file."},
	proof.ReasonImageTooLarge:       {"One of the photos is too large.", "Start again and take it with the camera, or choose a smaller file."},
	proof.ReasonImageTooSmall:       {"One of the photos is too small to read.", "Start again, go closer, and use the camera’s full resolution."},
	proof.ReasonImageBlurred:        {"One of the photos is blurred.", "Start again, hold the camera still and let it focus."},
	proof.ReasonMRZUnreadable:       {"The lines of letters and < signs on your document could not be read with certainty.", takeNewPhotos},
	proof.ReasonMRZNotFound:         {"The lines of letters and < signs on your document could not be read.", takeNewPhotos},
	proof.ReasonMRZCheckDigit:       {"The lines of letters and < signs on your document do not add up.", "A reflection or a finger can cause this. " + takeNewPhotos},
	proof.ReasonDocumentExpired:     {"Your document has expired.", "Start again with a document that is still valid."},
	proof.ReasonDocumentType:        {"The document in the photo is not the kind you chose.", "Start again and choose the kind of document that you have."},
	proof.ReasonDocumentUnsupported: {"This document is not supported.", "Start again with another one, such as a passport."},
	proof.ReasonDocumentInvalid:     documentNoGood,
	proof.ReasonDocumentNotVerified: documentNoGood,
	proof.ReasonDocumentNotFound:    {"No document could be found in the photo.", "Start again: lay it flat on a plain background of another colour, with all four edges in the picture."},
	proof.ReasonDocumentCutOff:      {"A part of your document is outside the photo.", takeNewPhotos},
	proof.ReasonDocumentGlare:       {"A reflection covers a part of your document.", "Start again and tilt it a little, away from the light."},
	proof.ReasonDocumentManyFound:   {"More than one document is in the photo.", "Start again with only the one that you chose."},
	proof.ReasonDocumentScreen:      {"The photo shows a screen or a copy.", "Start again with the document itself in front of the camera."},
	proof.ReasonDocumentImplausible: {"What could be read on your document does not add up.", "A reflection or a finger can cause this. " + takeNewPhotos},
	proof.ReasonDocumentAgain:       {"Your document could not be read with certainty.", takeNewPhotos},
	proof.ReasonBarcodeNotFound:     {"The barcode on the back of your document could not be found.", takeNewPhotos},
	proof.ReasonBarcodeUnreadable:   {"The barcode on the back of your document could not be read.", takeNewPhotos},
	proof.ReasonBarcodeMismatch:     {"The barcode on your document and what is printed on it do not agree.", "Start again with new photos or another valid document."},
	proof.ReasonPortraitNotFound:    {"The portrait on your document could not be found.", takeNewPhotos},
	proof.ReasonSelfieMissing:       {"The photo of your face is missing.", "Start again and take both photos."},
	proof.ReasonSelfieNoFace:        {"No face was found in the photo of you.", "Start again, look into the camera, and take off sunglasses, mask or cap."},
	proof.ReasonSelfieManyFaces:     {"More than one face is in the photo of you.", "Start again where nobody else is in the picture."},
	proof.ReasonFaceMismatch:        {"Your face and the portrait on the document do not match.", "Use your own document. If it is yours, start again in good light, facing the camera."},
	proof.ReasonFaceUncertain:       {"Your face could not be compared well enough with the portrait on the document.", "Start again in good light, facing the camera, without glasses or cap."},
	proof.ReasonLivenessUnavailable: {"The check that a living person is in front of the camera is not available.", "Go back to the application and ask for another way."},
	proof.ReasonLivenessFailed:      {"We could not make sure that a living person was in front of the camera.", "Start again with the camera of your device, in even light, and move slowly. If you cannot, ask the application for another way."},
	proof.ReasonLivenessIncomplete:  {"Not everything that you were asked to do in front of the camera could be seen.", doItSlowly},
	proof.ReasonLivenessReplayed:    {"The pictures did not come straight from a camera.", "Start again with the camera of your device, and nothing in between."},
	proof.ReasonLivenessWeak:        {"Photos alone do not show that a living person is in front of the camera.", askAnotherWay},
	proof.ReasonCaptureFailed:       {"The photos could not be taken.", "Start again and allow the camera, or use another device."},
	proof.ReasonRetriesExhausted:    {"There were too many attempts.", "Go back to the application. If it lets you start again, take your time with light and focus."},
	proof.ReasonExpectedMismatch:    {"What the document says is not what the application expects.", "Check your name and date of birth in your account."},
	proof.ReasonProviderRejected:    {"The verification service could not confirm your identity.", "Start again with new photos or another valid document."},
	proof.ReasonEnrolmentConflict:   {"Your details or your face do not fit the person who is set up for this account.", "Nothing was changed. If the account is yours, ask the people who look after it for help."},
	proof.ReasonTemplateForeign:     {"Your face could not be compared with the one that is set up for this account.", askAnotherWay},

	proof.ReasonUserUnknown:      notPossible,
	proof.ReasonUserNotEnrolled:  {"No face is set up for this account yet.", askAnotherWay},
	proof.ReasonUserDisabled:     notPossible,
	proof.ReasonTooManyAttempts:  {"There were too many attempts.", "Wait a quarter of an hour, then start again in the application. If these attempts were not yours, tell the people who look after your account."},
	proof.ReasonSubjectMismatch:  {"The answer came from the app of another person or account.", "Check which account is chosen in the 1Kosmos app, then start again in the application."},
	proof.ReasonAnswerKey:        unbelievable,
	proof.ReasonAnswerUntrusted:  unbelievable,
	proof.ReasonAnswerReplayed:   unbelievable,
	proof.ReasonUploadReplayed:   {"This photo was sent before.", "Take a new one."},
	proof.ReasonSessionEnded:     {"The page for the photo has ended.", "Go back to the page that you came from: it has a new one, or says how it went."},
	proof.ReasonUnknownChallenge: {"This request does not exist, or no longer.", "Start again in the application."},
	proof.ReasonUnknownDecision:  {"This request does not exist, or no longer.", "Start again in the application."},
	proof.ReasonChallengeUsed:    {"This request was for a sign-in that is over.", "Start again in the application."},

	proof.ReasonModelsMissing:       internal,
	proof.ReasonEngineBusy:          {"Very many people are verifying right now.", tryAgainLater},
	proof.ReasonEngineTimeout:       {"Examining the photos took too long.", tryAgainLater},
	proof.ReasonEngineError:         internal,
	proof.ReasonEngineUnavailable:   internal,
	proof.ReasonUpstreamUnavailable: serviceAway,
	proof.ReasonUpstreamTimeout:     serviceAway,
	proof.ReasonUpstreamAuth:        notUnderstood,
	proof.ReasonUpstreamRejected:    notUnderstood,
	proof.ReasonUpstreamRateLimited: {"Very many people are verifying right now.", tryAgainLater},
	proof.ReasonUpstreamMalformed:   notUnderstood,
	proof.ReasonUpstreamCiphertext:  notUnderstood,
	proof.ReasonUpstreamUnknown:     notUnderstood,

	proof.ReasonDescopeUnavailable: {"The application does not answer right now, so we cannot take you back yet.", "Wait a moment, then try again."},
	proof.ReasonDescopeRefused:     {"The application does not wait for you any more, so we cannot take you back.", "Go back to the application and start again."},
	proof.ReasonAssuranceUnmet:     {"The application asks for more certainty about you than could be reached.", "Go back to the application; it can tell you which other ways there are."},
	proof.ReasonNobodyKnown:        {"This browser has not been recognised lately.", "Go back to the application and sign in."},

	proof.ReasonDeclined:   {"You chose not to be verified. Nothing was decided about you.", "If you change your mind, start again in the application."},
	proof.ReasonAbandoned:  {"The verification was stopped before it was complete.", "Start again in the application when you are ready."},
	proof.ReasonTimeLimit:  {"The time for this verification is over.", "Start again in the application. It takes about two minutes."},
	proof.ReasonLinkUsed:   {"This link was opened in another browser before.", "For your safety it works only there. Go back to that browser, or start again in the application."},
	proof.ReasonLinkEnded:  {"This link is no longer good.", "It is incomplete, too old, or was used before. Start again in the application, or make a new code for your phone."},
	proof.ReasonLinkPart:   {"This link opens only from within the sign-in that it belongs to.", "Go back to the application and start again there."},
	proof.ReasonErased:     {"What belonged to this verification has been erased.", "Start again in the application if you still need it."},
	proof.ReasonDataPurged: {"What belonged to this verification has been deleted, as promised.", "Start again in the application if you still need it."},

	proof.ReasonInvalidRequest:      {"Something in the form was missing or not understood.", "Load the page again and repeat what you did."},
	proof.ReasonUnauthenticated:     internal,
	proof.ReasonSignature:           internal,
	proof.ReasonReplay:              internal,
	proof.ReasonNotAllowed:          internal,
	proof.ReasonUnknownSession:      {"This verification does not exist, or no longer.", "Start again in the application."},
	proof.ReasonIdempotencyConflict: internal,
	proof.ReasonRateLimited:         {"That was too often in a short time.", tryAgainLater},
	proof.ReasonTooLarge:            {"What was sent is too large.", "Load the page again and repeat what you did."},
	proof.ReasonUnavailable:         {"This service is not available right now.", tryAgainLater},
	proof.ReasonInternal:            internal,
}

var (
	takeNewSelfie = "If the account is yours, start again in the application: in good light, without glasses or cap, with the camera an arm’s length away at the height of your eyes."
	notRecognised = Sentence{"Your face was not recognised.", takeNewSelfie + " Check that it is the right account."}
	picture       = Sentence{"The picture of your face could not be used.", takeNewSelfie}
)

// challengeSentences has the reasons that read differently to somebody who shows
// their face for an account. What compares faces says one thing only, whatever
// the reason: how close it was is nobody's business.
var challengeSentences = map[proof.Reason]Sentence{
	proof.ReasonFaceMismatch:        notRecognised,
	proof.ReasonFaceUncertain:       notRecognised,
	proof.ReasonProviderRejected:    notRecognised,
	proof.ReasonRetriesExhausted:    {"There were too many attempts.", takeNewSelfie},
	proof.ReasonImageUnreadable:     picture,
	proof.ReasonImageTooLarge:       picture,
	proof.ReasonImageTooSmall:       picture,
	proof.ReasonImageBlurred:        picture,
	proof.ReasonSelfieMissing:       {"No picture of your face was taken.", "Start again in the application and allow the camera, or use another device."},
	proof.ReasonSelfieNoFace:        {"No face was found in the picture.", takeNewSelfie},
	proof.ReasonSelfieManyFaces:     {"More than one face was in the picture.", "Start again in the application where nobody else is in the picture."},
	proof.ReasonCaptureFailed:       {"No picture could be taken.", "Start again in the application and allow the camera, or use another device."},
	proof.ReasonEngineBusy:          {"Very many people are signing in right now.", tryAgainLater},
	proof.ReasonEngineTimeout:       {"Looking at your face took too long.", tryAgainLater},
	proof.ReasonUpstreamUnavailable: challengeAway,
	proof.ReasonUpstreamTimeout:     challengeAway,
	proof.ReasonUpstreamRateLimited: {"Very many people are signing in right now.", tryAgainLater},
	proof.ReasonUpstreamAuth:        challengeOdd,
	proof.ReasonUpstreamRejected:    challengeOdd,
	proof.ReasonUpstreamMalformed:   challengeOdd,
	proof.ReasonUpstreamCiphertext:  challengeOdd,
	proof.ReasonUpstreamUnknown:     challengeOdd,
	proof.ReasonDeclined:            {"You said that this was not you. Nobody gets in with it.", "If you did not try to sign in, somebody else may know your password: change it, and tell the people who look after your account."},
	proof.ReasonAbandoned:           {"It was stopped before you showed your face.", "Start again in the application when you are ready."},
	proof.ReasonTimeLimit:           {"The time to show your face is over.", "If it was you who was signing in, start again in the application."},
	proof.ReasonErased:              {"What belonged to this request has been erased.", "Start again in the application if you still need it."},
	proof.ReasonDataPurged:          {"What belonged to this request has been deleted, as promised.", "Start again in the application if you still need it."},
	proof.ReasonUnknownSession:      sentences[proof.ReasonUnknownChallenge],
}

var (
	challengeAway = Sentence{"The service that recognises your face does not answer right now.", tryAgainLater}
	challengeOdd  = Sentence{"Something went wrong between us and the service that recognises your face.", "It is not your fault. Please try again later."}
)

// Explain returns the sentence for a reason, and whether that reason is known.
// For an unknown one it says that something went wrong.
func Explain(r proof.Reason) (s Sentence, ok bool) {
	s, ok = sentences[r]
	if !ok {
		s = internal
	}
	return s, ok
}

// ExplainChallenge is Explain for somebody who shows their face for an account.
func ExplainChallenge(r proof.Reason) (s Sentence, ok bool) {
	if s, ok = challengeSentences[r]; ok {
		return s, true
	}
	return Explain(r)
}

// tell returns the entry of the table under key, with args filled in. A key
// that is not there is a mistake of ours; the error stops the template.
func tell(key string, args ...any) (string, error) {
	s, ok := text[key]
	if !ok {
		return "", fmt.Errorf("pages: no text %q", key)
	}
	if len(args) > 0 {
		s = fmt.Sprintf(s, args...)
	}
	return s, nil
}

// say is tell for keys that are written in the source.
func say(key string, args ...any) string {
	s, err := tell(key, args...)
	if err != nil {
		panic(err)
	}
	return s
}

// span says how long d is in the largest unit that loses little: minutes below
// two hours, hours below two days, else days. It rounds down, but not to nothing.
func span(d time.Duration) string {
	unit, n := "minute", d/time.Minute
	switch {
	case d >= 48*time.Hour:
		unit, n = "day", d/(24*time.Hour)
	case d >= 2*time.Hour:
		unit, n = "hour", d/time.Hour
	}
	if n <= 1 {
		return say(unit)
	}
	return say(unit+"s", int(n))
}

// seconds is span for what is counted down: exact below two minutes.
func seconds(n int) string {
	switch {
	case n == 1:
		return say("second")
	case n < 120:
		return say("seconds", n)
	}
	return span(time.Duration(n) * time.Second)
}
