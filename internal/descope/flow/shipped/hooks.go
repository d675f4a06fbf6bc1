package shipped

import (
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Words of a hook's action.
const (
	hookContinue = "continue"
	hookStepUp   = "step_up"
	hookVerify   = "verify"
	hookDeny     = "deny"
)

// plainEmail is an address that cannot be more than a text in a payload, whether Descope
// escapes it there or not. Others, which are rare, are not told.
const plainEmail = `^[^\x00-\x20"\\{}<>@]+@[^\x00-\x20"\\{}<>@]+$`

// preLogin asks the bridge about a sign-in before there is one. It only ever asks for more:
// everybody enters the mailed code, and whoever is not let through by continue shows their
// face besides. There are two sign-ins, so that which of them a person is in is what was
// demanded of them: no answer of another time can be read in its place.
//
// Until the code was right all that a person sees is the same, whether or not there is such
// an account; but for deny, which the bridge decides without looking at the account.
func preLogin(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-pre-login", "Sign in, after the bridge was asked",
		"The bridge weighs the login before it begins. Sign-in by e-mail code: straight through, with the person's face besides, or not at all.")
	b.d.Metadata.Fingerprint = true // Keys.TypedDevice needs it
	a := asking{builder: b, w: newTab, restart: taskEmail, weighed: n.Responses.PreLogin, before: true}
	b.askEmail("Sign in", "Enter your e-mail address. If there is an account with it, we send you a code.", taskPreAccount)
	b.main(b.quietly(action(taskPreAccount, "Load user, if there is one", n.Actions.LoadUser, taskPreWho)))
	a.askBefore()

	b.discreetSignIn(taskSend, taskCode, taskVerify, taskLoadUser, taskPreWhose)
	// Since errors of sending are ignored, a code for an earlier address may be what was entered.
	b.main(b.condition(taskPreWhose, "Is it who was asked about?", []branch{
		{"same", "yes", []flow.Atomic{test(n.Keys.Email, n.Operators.NotEmpty), compare(n.Keys.Email, n.Operators.Equal, template(n.Keys.Form+".email"))}, taskClaims},
	}, "no", taskStepUp))
	b.main(b.claimsOfUser(taskClaims, taskEnd))

	b.discreetSignIn(taskPreSend, taskPreCode, taskPreVerify, taskPreLoadUser, taskPreOpen)
	a.challengeBefore()
	a.face()
	b.end()
	return b
}

// quietly has a task whose error would tell whether there is an account go on.
func (b *builder) quietly(t *flow.Task) *flow.Task {
	t.Errors = map[string]flow.Handling{b.n.Errors.Action: {Type: flow.Ignore}}
	return t
}

// discreetSignIn is a sign-in that looks the same for an account that is not there. Only a
// code that is right leads on, and nobody has one for such an account.
func (b *builder) discreetSignIn(send, code, verify, load, next string) {
	b.main(b.quietly(action(send, "Send a code, if there is an account", b.n.Actions.OTPSignIn, code)))
	b.main(b.screen(code, "Code", append([]part{b.heading("Check your e-mail"),
		b.text("If there is an account with this address, a code is on its way to it. Enter it here. If nothing comes, look into the spam folder, and whether the address is right.")},
		b.askCode(send, verify)...)...))
	b.main(action(verify, "Check the code", b.n.Actions.OTPVerify, load))
	b.main(action(load, "Load user", b.n.Actions.LoadUser, next))
}

// askBefore calls the hook. It names the account that was typed, as the bridge knows users,
// or the address where there is no such account: the bridge counts, weighs and answers alike.
//
// Of what the account's history says only this is told: that the device is known to it. The
// rest (its last places, and that the device is not known) would have accounts that are not
// there weighed otherwise.
func (a asking) askBefore() {
	b, o, k := a.builder, a.n.Operators, a.n.Keys
	b.main(b.condition(taskPreWho, "Who is asked about?", []branch{
		{"device", "account, known device", []flow.Atomic{test(k.TypedID, o.NotEmpty), test(k.TypedDevice, o.IsTrue)}, taskPreLogin},
		{"account", "account", []flow.Atomic{test(k.TypedID, o.NotEmpty)}, taskPreKnown},
		{"address", "no account", []flow.Atomic{compare(k.Form+".email", o.Matches, plainEmail)}, taskPreTyped},
	}, "cannot be told", taskPreSend))
	ask := func(id, name, identifier, device string) *flow.Task {
		return b.call(node{
			id: id, name: name, endpoint: endpointPreLogin, key: a.weighed, timeout: patienceHook, next: taskPreAction, trouble: taskPreSend,
			payload: []field{
				{"identifier", template(identifier)}, {"ip", template(k.IP)}, {"application", ""}, {"scopes", []string{}},
				{"known_device", device}, {"trusted_device", template(k.TrustedDevice)}, {"impossible_travel", template(k.ImpossibleTravel)},
				{"vpn", template(k.VPN)}, {"bot", template(k.Bot)}, {"risk_score", template(k.RiskScore)}, {"callback_url", ""},
			},
		})
	}
	b.main(ask(taskPreLogin, "Pre-login hook: known device", k.TypedID, "true"))
	b.aside(ask(taskPreKnown, "Pre-login hook", k.TypedID, ""))
	b.aside(ask(taskPreTyped, "Pre-login hook: no account", k.Form+".email", ""))
	does := answer(a.weighed, "action")
	b.main(b.condition(taskPreAction, "What is to be done?", []branch{
		{"continue", "continue", []flow.Atomic{compare(does, o.Equal, hookContinue)}, taskSend},
		{"deny", "deny", []flow.Atomic{compare(does, o.Equal, hookDeny)}, taskPreDeny},
	}, "step up", taskPreSend))
	b.aside(a.deny(taskPreDeny, "Denied", "We cannot let you in now",
		"Too much about this sign-in is unusual, or it was tried too often. Nothing is locked. If it was you, try again in a quarter of an hour or on a device that you use more often, or write to our support."))
}

// challengeBefore takes up the challenge that the hook opened, once the person has signed
// in; where there is none, and where it cannot be had, node 1Kosmos LiveID Step-Up opens
// one. The result node is asked about this user, so a challenge for another account is none.
func (a asking) challengeBefore() {
	b, o := a.builder, a.n.Operators
	url := answer(a.weighed, "challenge_url")
	anew := b.button(plain, "anew", "Start a new check", taskStepUp)
	b.main(b.condition(taskPreOpen, "Is there a challenge already?", []branch{
		{"open", "yes", []flow.Atomic{compare(answer(a.weighed, "action"), o.Equal, hookStepUp), test(url, o.NotEmpty)}, taskPreFace},
	}, "no", taskStepUp))
	b.main(b.screen(taskPreFace, "Show that it is you", b.heading("Show that it is you"),
		b.text("Something about this sign-in is new. Show your face on the page that opens in a new tab; you can use your phone there, too."), b.link("Open the page", url),
		b.text("When you are done there, come back to this page and press the button."), b.button(contained, "continue", "I am done", taskPreResult), anew))
	b.main(b.call(node{
		id: taskPreResult, name: "1Kosmos Step-Up Result", endpoint: endpointStepUpResult, key: keyStepUpResult, timeout: patienceResult, next: taskPreOutcome, trouble: taskPreNoAnswer,
		payload: []field{{"challenge_id", template(answer(a.weighed, "challenge_id"))}, a.decisionID(), b.user()},
	}))
	b.aside(a.retry(taskPreNoAnswer, "Result not reached", "One moment, please",
		"The result of your check cannot be read right now. Wait a moment, then look again.", "Look again", taskPreResult))
	b.main(b.condition(taskPreOutcome, "Is it answered?", []branch{
		{"pending", "pending", []flow.Atomic{compare(answer(keyStepUpResult, "match_result"), o.Equal, string(proof.ChallengePending))}, taskPrePending},
	}, "yes", taskStepOutcome))
	b.aside(b.screen(taskPrePending, "Not finished yet", b.heading("Not finished yet"),
		b.text("We do not have the result yet. If you have not shown your face, open the page and do it there. If you have, wait a few seconds."),
		b.link("Open the page", url), b.button(contained, "continue", "Look again", taskPreResult), anew))
}

// postRegistration asks the bridge about somebody who has just signed up: whether they are
// to prove who they are. Only who is new here is let in by continue; an account that was
// there before signs in where sign-ins are weighed. What is not answered is proofed.
func postRegistration(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-post-registration", "Sign up, and prove who you are if the bridge says so",
		"Sign-up by e-mail code. Then the bridge says whether the person is proofed; only somebody who was verified, or need not be, gets a session.")
	b.askEmail("Let's begin", "Enter your e-mail address. We send you a code. After that you may be asked for a document and your face.", taskSend)
	b.identify(n.Actions.OTPSignUpOrIn, taskVerifiedBefore)
	b.verifiedBefore(taskPostAddress, false)
	b.askAfter()
	b.verify(newTab, false)
	b.end()
	return b
}

// askAfter calls the hook, and takes up the verification that it began; where there is
// none, node 1Kosmos IDV begins one.
func (b *builder) askAfter() {
	o, k, key := b.n.Operators, b.n.Keys, b.n.Responses.PostRegistration
	does, url := answer(key, "action"), answer(key, "session_url")
	b.main(b.condition(taskPostAddress, "Can the address be told?", []branch{
		{"address", "yes", []flow.Atomic{compare(k.Email, o.Matches, plainEmail)}, taskPost},
	}, "no", taskIDV))
	b.main(b.call(node{
		id: taskPost, name: "Post-registration hook", endpoint: endpointPostRegistration, key: key, timeout: patienceHook, next: taskPostAction, trouble: taskIDV,
		payload: []field{
			b.user(), {"email", template(k.Email)}, {"email_verified", template(k.VerifiedEmail)},
			{"document_types", ""}, {"liveness_mode", ""}, {"callback_url", ""},
		},
	}))
	b.main(b.condition(taskPostAction, "What is to be done?", []branch{
		{"verify", "verify", []flow.Atomic{compare(does, o.Equal, hookVerify), test(url, o.NotEmpty)}, taskPostProve},
		{"continue", "continue, somebody new", []flow.Atomic{compare(does, o.Equal, hookContinue), test(k.FirstSeen, o.IsTrue)}, taskClaims},
		{"known", "continue, an account that was there", []flow.Atomic{compare(does, o.Equal, hookContinue)}, taskPostKnown},
	}, "verify", taskIDV))
	b.aside(b.claimsOfUser(taskClaims, taskEnd))
	b.aside(b.screen(taskPostKnown, "There is an account", b.heading("You have an account already"),
		b.text("There is nothing more to do here. Go to the sign-in page to sign in."),
		b.button(outline, "again", "Use another e-mail address", taskEmail)))
	anew := b.button(plain, "anew", "Start a new check", taskIDV)
	b.main(b.screen(taskPostProve, "Prove who you are", b.heading("Prove who you are"),
		b.text("You show a document and your face, on a page that opens in a new tab. Have your passport, ID card or driver's license at hand, and choose a place with good light. It takes about two minutes. You can use your phone there, too."),
		b.link("Open the page", url), b.text("When you are done there, come back to this page and press the button."),
		b.button(contained, "continue", "I am done", taskPostResult), anew))
	b.main(b.call(node{
		id: taskPostResult, name: "1Kosmos IDV Result", endpoint: endpointIDVResult, key: keyIDVResult, timeout: patienceResult, next: taskPostOutcome, trouble: taskPostNoAnswer,
		payload: []field{{"session_id", template(answer(key, "session_id"))}, b.user()},
	}))
	b.aside(b.screen(taskPostNoAnswer, "Result not reached", b.heading("One moment, please"),
		b.text("The result of your check cannot be read right now. Nothing is lost. Wait a minute, then look again."), b.button(contained, "again", "Look again", taskPostResult)))
	b.main(b.condition(taskPostOutcome, "Is it answered?", []branch{
		{"pending", "pending", []flow.Atomic{compare(answer(keyIDVResult, "status"), o.Equal, string(proof.Pending))}, taskPostPending},
	}, "yes", taskIDVOutcome))
	b.aside(b.screen(taskPostPending, "Not finished yet", b.heading("Not finished yet"),
		b.text("We do not have your result yet. If you have not been through all the steps, open the page and finish them there. If you have, wait a few seconds."),
		b.link("Open the page", url), b.button(contained, "continue", "Look again", taskPostResult), anew))
}
