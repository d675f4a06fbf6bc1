package shipped

import (
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Reasons of a failed verification that have a screen of their own. All others get
// the general one.
var (
	retake = []proof.Reason{ // the next photo may do
		proof.ReasonImageUnreadable, proof.ReasonImageTooLarge, proof.ReasonImageTooSmall, proof.ReasonImageBlurred,
		proof.ReasonMRZNotFound, proof.ReasonMRZUnreadable, proof.ReasonMRZCheckDigit,
		proof.ReasonDocumentNotFound, proof.ReasonDocumentCutOff, proof.ReasonDocumentGlare, proof.ReasonDocumentManyFound, proof.ReasonDocumentAgain,
		proof.ReasonBarcodeNotFound, proof.ReasonBarcodeUnreadable, proof.ReasonPortraitNotFound,
		proof.ReasonSelfieMissing, proof.ReasonSelfieNoFace, proof.ReasonSelfieManyFaces, proof.ReasonFaceUncertain,
		proof.ReasonLivenessIncomplete, proof.ReasonCaptureFailed,
	}
	otherDocument = []proof.Reason{
		proof.ReasonDocumentExpired, proof.ReasonDocumentType, proof.ReasonDocumentUnsupported, proof.ReasonDocumentInvalid,
		proof.ReasonDocumentNotVerified, proof.ReasonDocumentScreen,
	}
	conflict = []proof.Reason{proof.ReasonEnrolmentConflict, proof.ReasonTemplateForeign}
)

func words(reasons []proof.Reason) []any {
	out := make([]any, len(reasons))
	for i, r := range reasons {
		out[i] = string(r)
	}
	return out
}

// proof is the proofing of whoever is signed in. As a subflow it leaves by 38.verified,
// 39.not-verified and 10.already-verified.
//
// Somebody who was verified before is not proofed again: proofing proves a person,
// not that it is the same one, so whoever reads the mail of a verified account could
// otherwise come in with a document of their own.
//
// After an External Authentication that ended badly, the user of the flow is one who
// is nobody (the bridge completes it so). From there on nothing but a new sign-in
// helps.
func (b *builder) proof(w way, sub bool) {
	first := taskIDV
	if w == external {
		first = taskProve
	}
	b.verifiedBefore(first, sub)
	b.verify(w, sub)
}

// verifiedBefore keeps out whoever was verified before; all others go on to next.
func (b *builder) verifiedBefore(next string, sub bool) {
	already := taskAlready
	if sub {
		already = ""
		b.out(taskVerifiedBefore, "already-verified")
	}
	b.main(b.condition(taskVerifiedBefore, "Verified before?", []branch{
		{"already-verified", "yes", []flow.Atomic{compare(b.attribute(attrStatus), b.n.Operators.Equal, string(proof.Verified))}, already},
	}, "no", next))
	if !sub {
		b.aside(b.screen(taskAlready, "Already verified", b.heading("You have done this already"),
			b.text("This account has been verified before, so there is nothing more to prove. Go to the sign-in page to sign in."),
			b.button(outline, "again", "Use another e-mail address", taskEmail)))
	}
}

// verify is the proofing from node 1Kosmos IDV on.
func (b *builder) verify(w way, sub bool) {
	o, user := b.n.Operators, b.user()
	status, reason := answer(keyIDVResult, "status"), answer(keyIDVResult, "reason")
	url := answer(keyIDV, "session_url")
	is := func(k string, value string) flow.Atomic { return compare(k, o.Equal, value) }

	again := taskIDV
	if w == external {
		if again = taskEmail; sub {
			again = ""
		}
	}
	// screen adds to a screen what a person can do there: try again where that is
	// possible, and in a subflow leave.
	screen := func(id, name, title, text, label, next string) *flow.Task {
		parts := []part{b.heading(title), b.text(text)}
		if next != "" {
			parts = append(parts, b.button(contained, "again", label, next))
		}
		if sub && next != "" {
			parts = append(parts, b.button(plain, "stop", "Not now", taskNotProven))
		} else if sub {
			parts = append(parts, b.button(contained, "stop", "Go back", taskNotProven))
		}
		return b.screen(id, name, parts...)
	}

	idv := b.call(node{
		id: taskIDV, name: "1Kosmos IDV", endpoint: endpointIDV, key: keyIDV, timeout: patienceStart, next: taskIDVOpen, trouble: taskIDVTrouble,
		payload: append([]field{user, {"document_types", ""}, {"liveness_mode", ""}}, externally(w)...),
	})
	trouble := screen(taskIDVTrouble, "Check not reached", "One moment, please",
		"The identity check cannot be reached right now. Nothing is lost. Wait a minute, then try again.", "Try again", taskIDV)
	onward := taskProve
	if w == external {
		onward = taskIDVAway
	}
	open := b.condition(taskIDVOpen, "Is there a page to open?", []branch{
		{"open", "yes", []flow.Atomic{is(answer(keyIDV, "status"), string(proof.Pending)), test(url, o.NotEmpty)}, onward},
	}, "no", taskIDVTrouble)

	const have = "Have your passport, ID card or driver's license at hand, and choose a place with good light. It takes about two minutes."
	if w == external {
		parts := []part{
			b.heading("Prove who you are"), b.text("You show a document and your face, on a page of its own. " + have + " Afterwards you are brought back here."),
			b.button(contained, "continue", "Continue", taskIDV),
		}
		if sub {
			parts = append(parts, b.button(plain, "stop", "Not now", taskNotProven))
		}
		b.main(b.screen(taskProve, "Prove who you are", parts...))
		b.main(idv)
		b.aside(trouble)
		b.main(open)
		b.away(taskIDVAway, taskIDVBack, url, taskIDVResult)
	} else {
		b.main(idv)
		b.aside(trouble)
		b.main(open)
		parts := []part{
			b.heading("Prove who you are"), b.text("You show a document and your face, on a page that opens in a new tab. " + have + " You can use your phone there, too."),
			b.link("Open the page", url), b.text("When you are done there, come back to this page and press the button."),
			b.button(contained, "continue", "I am done", taskIDVResult),
		}
		if sub {
			parts = append(parts, b.button(plain, "stop", "Not now", taskNotProven))
		}
		b.main(b.screen(taskProve, "Prove who you are", parts...))
	}

	// The session's id is the one that the IDV node gave to this very flow. Who the
	// user is after an External Authentication is asked apart.
	payload := []field{{"session_id", template(answer(keyIDV, "session_id"))}}
	if w != external {
		payload = append(payload, user)
	}
	b.main(b.call(node{
		id: taskIDVResult, name: "1Kosmos IDV Result", endpoint: endpointIDVResult, key: keyIDVResult, timeout: patienceResult, next: taskIDVOutcome,
		trouble: taskIDVNoAnswer, payload: payload,
	}))
	b.aside(screen(taskIDVNoAnswer, "Result not reached", "One moment, please",
		"The result of your check cannot be read right now. Nothing is lost. Wait a minute, then look again.", "Look again", taskIDVResult))

	good := []branch{
		{"verified-level", "verified, with a level", []flow.Atomic{is(status, string(proof.Verified)), test(answer(keyIDVResult, "ial_level"), o.NotEmpty)}, taskWriteLevel},
		{"verified", "verified", []flow.Atomic{is(status, string(proof.Verified))}, taskWrite},
	}
	outcomes := good
	if w == external {
		outcomes = []branch{{"verified", "verified", []flow.Atomic{is(status, string(proof.Verified))}, taskIDVWhose}}
	}
	failed := func(reasons []proof.Reason) []flow.Atomic {
		return []flow.Atomic{is(status, string(proof.Failed)), compare(reason, o.In, words(reasons))}
	}
	b.main(b.condition(taskIDVOutcome, "What came of it?", append(outcomes[:len(outcomes):len(outcomes)],
		branch{"pending", "pending", []flow.Atomic{is(status, string(proof.Pending))}, taskIDVPending},
		branch{"retake", "failed: photos", failed(retake), taskRetake},
		branch{"document", "failed: document", failed(otherDocument), taskOtherDocument},
		branch{"conflict", "failed: another face", failed(conflict), taskConflict},
		branch{"failed", "failed", []flow.Atomic{is(status, string(proof.Failed))}, taskFailed},
		branch{"expired", "expired", []flow.Atomic{is(status, string(proof.Expired))}, taskIDVExpired},
		branch{"abandoned", "abandoned", []flow.Atomic{is(status, string(proof.Abandoned))}, taskAbandoned},
	), "anything else", taskIDVError))

	if w == external {
		b.aside(screen(taskIDVPending, "Not finished yet", "Still being checked",
			"Your check is not finished yet. Wait a few seconds, then look again.", "Look again", taskIDVResult))
	} else {
		parts := []part{
			b.heading("Not finished yet"), b.text("We do not have your result yet. If you have not been through all the steps, open the page and finish them there. If you have, wait a few seconds."),
			b.link("Open the page", url), b.button(contained, "continue", "Look again", taskIDVResult), b.button(outline, "again", "Start the check anew", taskIDV),
		}
		if sub {
			parts = append(parts, b.button(plain, "stop", "Not now", taskNotProven))
		}
		b.aside(b.screen(taskIDVPending, "Not finished yet", parts...))
	}
	once := "Try again"
	if w == external {
		once = "Start again"
	}
	b.aside(screen(taskRetake, "Photos not good enough", "The photos were not good enough",
		"Not everything could be read or seen. Use even light without reflections, hold still, and have all of the document, and all of your face, in the picture.", once, again))
	b.aside(screen(taskOtherDocument, "Document not accepted", "This document cannot be used",
		"It may be out of date, or not one that can be checked here. Try again with the original of another one: a passport, an ID card or a driver's license.", once, again))
	b.aside(screen(taskConflict, "Another face", "This account belongs to somebody else's face",
		"We know another face for this account, so we cannot go on. If this is your account, write to our support. If you mistyped your e-mail address, start again.", once, again))
	b.aside(screen(taskFailed, "Not verified", "We could not verify you",
		"Your document and your face could not be confirmed. You can try again, in good light and with the original of your document. If it fails again, write to our support.", once, again))
	b.aside(screen(taskIDVExpired, "Time ran out", "Time ran out",
		"The check was open for too long. That happens; try again when you have your document at hand.", once, again))
	b.aside(screen(taskAbandoned, "Stopped", "You stopped the check",
		"That is all right, and nothing was kept of your account. To go on, you need to do it once.", once, again))
	b.aside(screen(taskIDVError, "Something went wrong", "Something went wrong on our side",
		"We cannot tell how your check ended, so we cannot go on with it. Please try again.", once, again))

	if w == external {
		b.main(b.call(node{
			id: taskIDVWhose, name: "1Kosmos IDV Result, of this user", endpoint: endpointIDVResult, key: keyIDVResult, timeout: patienceResult,
			next: taskIDVSame, trouble: taskIDVNoAnswer, payload: append(payload[:1:1], user),
		}))
		b.main(b.condition(taskIDVSame, "Is it this user's?", good, "no", taskIDVError))
	}
	write := func(id, name, level string) *flow.Task {
		return action(id, name, b.n.Actions.UpdateUser, taskProofClaims,
			argument{b.n.Arguments.UserAttributes, pairs(
				[2]string{attrStatus, template(status)}, [2]string{attrLevel, level},
				[2]string{attrAt, template(answer(keyIDVResult, "completed_at"))}, [2]string{attrSession, template(answer(keyIDVResult, "session_id"))})},
			argument{b.n.Arguments.UserProperties, pairs(
				[2]string{"givenName", template(answer(keyIDVResult, "claims.given_name"))}, [2]string{"familyName", template(answer(keyIDVResult, "claims.family_name"))})})
	}
	b.main(write(taskWriteLevel, "Write to the user", template(answer(keyIDVResult, "ial_level"))))
	b.aside(write(taskWrite, "Write to the user, no level", ""))
	after := taskEnd
	if sub {
		after = taskProven
	}
	b.main(action(taskProofClaims, "Claims for the session", b.n.Actions.CustomClaims, after, argument{b.n.Arguments.CustomClaims, pairs(
		[2]string{claimStatus, template(status)}, [2]string{claimLevel, template(answer(keyIDVResult, "ial_level"))},
		[2]string{claimAt, template(answer(keyIDVResult, "completed_at"))})}))
	b.needs(attrStatus, attrLevel, attrAt, attrSession)
	if !sub {
		return
	}
	b.main(b.condition(taskProven, "Way out: verified", []branch{{"verified", "verified", []flow.Atomic{is(status, string(proof.Verified))}, ""}}, "never", taskIDVError))
	b.aside(b.condition(taskNotProven, "Way out: not verified", []branch{
		{"not-verified", "not verified", []flow.Atomic{compare(answer(keyIDV, "status"), o.NotEqual, string(proof.Verified))}, ""},
	}, "never", taskIDVError))
	b.out(taskProven, "verified")
	b.out(taskNotProven, "not-verified")
}

// externally is what a node is told when its link goes through External Authentication.
func externally(w way) []field {
	if w == external {
		return []field{{"external_auth", true}}
	}
	return nil
}

// away sends the browser to a page and takes it back: a pair of tasks, as Descope's
// exports have it for other redirects.
func (b *builder) away(id, back, url, next string) {
	a := b.n.Arguments
	args := []argument{{a.ExternalAuthURL, template(url)}, {a.ExchangeStep, back}}
	b.main(action(id, "Go to the page", b.n.Actions.ExternalAuth, back, args...))
	b.main(action(back, "Come back", b.n.Actions.ExternalAuthEnd, next, args...))
}
