package shipped

import (
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// stepUp has a login weighed by the bridge's policy, and asks for the person's face if it
// says so. As a subflow it leaves by 49.not-needed, 78.match, 79.no-match and 51.prove.
//
// Only the word allow goes straight through. Without an answer, and after one that nobody
// has heard of, the face is asked for.
//
// What a page asks for (the scopes of client and form) may be typed by anybody, so it
// goes into no payload: a condition looks for those that are sensitive, and either of two
// nodes names a constant.
//
// Another try never has the risk weighed again: who was asked for their face shows it.
func (b *builder) stepUp(w way, sub bool) {
	a := asking{builder: b, w: w, sub: sub, restart: taskEmail, weighed: keyRisk, whose: []field{b.user()}}
	if sub {
		a.restart = ""
	}
	a.weigh()
	a.face()
}

// asking is a step-up being built.
type asking struct {
	*builder
	w       way
	sub     bool
	restart string  // where a new sign-in begins; "" if there is none here
	weighed string  // the key of the answer with the decision: its decision_id and reason
	whose   []field // names whom the decision is about, where an outcome is told
	before  bool    // it was asked for before the sign-in, in whosever name: no outcome is told
}

func (b *builder) user() field { return field{"user_identifier", template(b.n.Keys.UserID)} }

func (a asking) decisionID() field {
	return field{"decision_id", template(answer(a.weighed, "decision_id"))}
}

// stop adds to a screen of a subflow how to leave it.
func (a asking) stop(parts []part, variant string) []part {
	if a.sub {
		parts = append(parts, a.button(variant, "stop", map[string]string{contained: "Go back", plain: "Not now"}[variant], taskNotMatched))
	}
	return parts
}

func (a asking) retry(id, name, title, text, label, next string) *flow.Task {
	return a.screen(id, name, a.stop([]part{a.heading(title), a.text(text), a.button(contained, "again", label, next)}, plain)...)
}

// deny is a screen that only a new sign-in follows.
func (a asking) deny(id, name, title, text string) *flow.Task {
	parts := []part{a.heading(title), a.text(text)}
	if a.restart != "" {
		parts = append(parts, a.button(outline, "restart", "Start over", a.restart))
	}
	return a.screen(id, name, a.stop(parts, contained)...)
}

// outcome tells the bridge how the login ended. Nobody waits for what it says to it.
func (a asking) outcome(id, name, outcome, next string, whose ...field) *flow.Task {
	return a.call(node{
		id: id, name: name, endpoint: endpointRiskOutcome, key: keyRiskOutcome, timeout: patienceOutcome, next: next,
		payload: append([]field{a.decisionID(), {"outcome", outcome}}, whose...),
	})
}

// told is where an outcome is told, or else what follows it.
func (a asking) told(id, next string) string {
	if a.before {
		return next
	}
	return id
}

// weigh is the part up to the decision. What asks for a face leads to taskStepUp.
func (a asking) weigh() {
	b, sub, o, k := a.builder, a.sub, a.n.Operators, a.n.Keys
	user, deny, outcome := a.user(), a.deny, a.outcome
	is := func(k string, value string) flow.Atomic { return compare(k, o.Equal, value) }

	var scopes []branch
	for i, scope := range SensitiveScopes {
		for _, from := range []string{k.Client, k.Form} {
			scopes = append(scopes, branch{fmt.Sprintf("scope-%s-%d", from, i+1), "sensitive scope (" + from + ")", []flow.Atomic{compare(from+".scope", o.Contains, scope)}, taskRiskScope})
		}
	}
	b.main(b.condition(taskScopes, "What is asked for?", scopes, "nothing sensitive", taskRisk))
	weigh := func(id, name string, scopes []string) *flow.Task {
		return b.call(node{
			id: id, name: name, endpoint: endpointRisk, key: keyRisk, timeout: patienceResult, next: taskDecision, trouble: taskStepUp,
			payload: append([]field{
				user, {"ip", template(k.IP)}, {"application", ""}, {"scopes", scopes},
				{"known_device", template(k.KnownDevice)}, {"trusted_device", template(k.TrustedDevice)}, {"impossible_travel", template(k.ImpossibleTravel)},
				{"vpn", template(k.VPN)}, {"bot", template(k.Bot)}, {"risk_score", template(k.RiskScore)},
			}, b.lists(field{"last_countries", template(k.LastCountries)}, field{"last_ips", template(k.LastIPs)})...),
		})
	}
	b.main(weigh(taskRisk, "Risk Evaluation", []string{}))
	b.aside(weigh(taskRiskScope, "Risk Evaluation: sensitive scope", SensitiveScopes[:1]))

	decision := answer(keyRisk, "decision")
	through := taskClaims
	if sub {
		through = taskAllowed
	}
	b.main(b.condition(taskDecision, "What was decided?", []branch{
		{"allow", "allow", []flow.Atomic{is(decision, string(risk.Allow))}, through},
		{"deny", "deny", []flow.Atomic{is(decision, string(risk.Deny))}, taskDenied},
	}, "step up", taskStepUp))
	b.aside(outcome(taskDenied, "Risk Outcome: refused", outcomeFailure, taskDeny, user))
	b.aside(deny(taskDeny, "Denied", "We cannot let you in now",
		"Too much about this sign-in is unusual. Your account is not locked. If it was you, try again later or on a device that you use more often, or write to our support."))
	if sub {
		b.aside(outcome(taskAllowed, "Risk Outcome: straight through", outcomeSuccess, taskNotNeeded, user))
		b.aside(b.condition(taskNotNeeded, "Way out: not needed", []branch{{"not-needed", "straight through", []flow.Atomic{is(decision, string(risk.Allow))}, ""}}, "never", taskStepUp))
		b.out(taskNotNeeded, "not-needed")
	} else {
		b.aside(b.claimsOfUser(taskClaims, taskAllowed))
		b.aside(outcome(taskAllowed, "Risk Outcome: straight through", outcomeSuccess, taskEnd, user))
	}
}

// face opens a challenge for whoever is signed in, and lets a match through to the end.
func (a asking) face() {
	b, w, sub, restart, o := a.builder, a.w, a.sub, a.restart, a.n.Operators
	user, decisionID, stop, retry, deny, outcome := a.user(), a.decisionID(), a.stop, a.retry, a.deny, a.outcome
	status, reason, url := answer(keyStepUp, "status"), answer(keyStepUp, "reason"), answer(keyStepUp, "challenge_url")
	result, why := answer(keyStepUpResult, "match_result"), answer(keyStepUpResult, "reason")
	is := func(k string, value string) flow.Atomic { return compare(k, o.Equal, value) }

	b.main(b.call(node{
		id: taskStepUp, name: "1Kosmos LiveID Step-Up", endpoint: endpointStepUp, key: keyStepUp, timeout: patienceStart, next: taskStepUpOpen, trouble: taskStepTrouble,
		payload: append([]field{user, {"reason_code", template(answer(a.weighed, "reason"))}, {"transaction", "Sign in to your account"}, decisionID}, externally(w)...),
	}))
	b.aside(retry(taskStepTrouble, "Check not reached", "One moment, please",
		"This sign-in needs your face, and the check cannot be reached right now. Wait a minute, then try again.", "Try again", taskStepUp))

	b.main(b.condition(taskStepUpOpen, "Is there a challenge?", []branch{
		{"open", "yes", []flow.Atomic{is(status, string(proof.ChallengePending)), test(url, o.NotEmpty)}, taskFace},
		{"not-enrolled", "no face known", []flow.Atomic{is(status, "refused"), compare(reason, o.In, words([]proof.Reason{proof.ReasonUserNotEnrolled, proof.ReasonUserUnknown}))}, taskProveFirst},
		{"too-often", "too often", []flow.Atomic{is(status, "refused"), is(reason, string(proof.ReasonTooManyAttempts))}, taskTooOften},
	}, "refused", taskRefused))
	proveFirst := []part{
		b.heading("Prove who you are first"),
		b.text("Something about this sign-in is new, so we would like to see your face. But we do not know it yet. Prove who you are once, with a document and your face, on the page where people sign up, and agree there that your face is kept. If you cannot, write to our support."),
	}
	if sub {
		proveFirst = append(proveFirst, b.button(contained, "prove", "Prove who I am", ""), b.button(plain, "stop", "Not now", taskNotMatched))
		b.out(taskProveFirst, "prove")
	} else {
		proveFirst = append(proveFirst, b.button(outline, "restart", "Start over", restart))
	}
	b.aside(b.screen(taskProveFirst, "Prove first", proveFirst...))
	b.aside(deny(taskTooOften, "Too many tries", "Too many tries",
		"Your face was asked for too often in a short time. Your account is not locked. Wait a quarter of an hour, then sign in again. If it was not you who tried, tell our support."))
	b.aside(deny(taskRefused, "Refused", "We cannot let you in now",
		"This sign-in needs your face, and that is not possible for this account at the moment. Please write to our support."))

	const asks = "Something about this sign-in is new. Show your face "
	face := []part{b.heading("Show that it is you")}
	switch w {
	case newTab:
		face = append(face, b.text(asks+"on the page that opens in a new tab; you can use your phone there, too."), b.link("Open the page", url),
			b.text("When you are done there, come back to this page and press the button."), b.button(contained, "continue", "I am done", taskStepResult))
	case polls:
		face = append(face, b.text(asks+"on the page that opens in a new tab; you can use your phone there, too."), b.link("Open the page", url),
			b.text("Keep this page open. It goes on by itself when you are done."), b.polling(taskStepResult))
	case external:
		face = append(face, b.text(asks+"on a page of its own; you can use your phone there, too. Afterwards you are brought back here."),
			b.button(contained, "continue", "Continue", taskStepAway))
	}
	b.main(b.screen(taskFace, "Show that it is you", stop(face, plain)...))
	if w == external {
		b.away(taskStepAway, taskStepBack, url, taskStepResult)
	}

	payload := []field{{"challenge_id", template(answer(keyStepUp, "challenge_id"))}, decisionID}
	if w != external {
		payload = append(payload, user)
	}
	b.main(b.call(nodeOf(taskStepResult, "1Kosmos Step-Up Result", taskStepOutcome, payload)))
	b.aside(retry(taskStepNoAnswer, "Result not reached", "One moment, please",
		"The result of your check cannot be read right now. Wait a moment, then look again.", "Look again", taskStepResult))
	pending, again, label := taskStepPending, taskStepUp, "Try again"
	switch w {
	case polls:
		pending = taskFace
	case external:
		// Who comes back without a match is nobody: only a new sign-in helps.
		again, label = restart, "Start again"
	}
	match := taskMatchClaims
	if w == external {
		match = taskStepWhose
	} else if sub {
		match = taskMatchOutcome
	}
	b.main(b.condition(taskStepOutcome, "Is it the same face?", []branch{
		{"match", "match", []flow.Atomic{is(result, string(proof.ChallengeMatch))}, match},
		{"pending", "pending", []flow.Atomic{is(result, string(proof.ChallengePending))}, pending},
		{"expired", "expired", []flow.Atomic{is(result, string(proof.ChallengeExpired))}, taskStepExpired},
		{"declined", "declined", []flow.Atomic{is(result, "error"), is(why, string(proof.ReasonDeclined))}, a.told(taskNotThem, taskDeclined)},
		{"no-match", "no match", []flow.Atomic{is(result, string(proof.ChallengeNoMatch))}, taskNoMatch},
	}, "anything else", taskStepError))
	switch w {
	case newTab:
		b.aside(b.screen(taskStepPending, "Not finished yet", stop([]part{
			b.heading("Not finished yet"), b.text("We do not have the result yet. If you have not shown your face, open the page and do it there. If you have, wait a few seconds."),
			b.link("Open the page", url), b.button(contained, "continue", "Look again", taskStepResult),
		}, plain)...))
	case external:
		b.aside(retry(taskStepPending, "Not finished yet", "Still being checked",
			"The result is not there yet. Wait a few seconds, then look again.", "Look again", taskStepResult))
	case polls: // the screen itself waits
	}
	late := "Nobody showed a face in time. If that was you, try again; it is quick."
	if again == "" {
		b.aside(deny(taskStepExpired, "Time ran out", "Time ran out", late))
	} else {
		b.aside(retry(taskStepExpired, "Time ran out", "Time ran out", late, label, again))
	}
	// In an external flow the user is nobody by now.
	if !a.before {
		b.aside(outcome(taskNotThem, "Risk Outcome: not them", outcomeFailure, taskDeclined))
	}
	b.aside(deny(taskDeclined, "Stopped by the person", "This sign-in was stopped",
		"Somebody said that it was not them. If that was you: well done, nobody was let in. Change the password of your e-mail if others may be reading it."))
	b.aside(deny(taskNoMatch, "Not the same face", "We could not confirm that it is you",
		"The face was not the one we know, so we cannot let you in this time. Your account is not locked. If it is yours, try again in good light, without glasses or hat."))
	b.aside(deny(taskStepError, "No result", "We cannot let you in now",
		"The check did not come to a result, so we cannot let you in this time. Your account is not locked. Please sign in again in a few minutes."))

	if w == external {
		b.main(b.call(nodeOf(taskStepWhose, "1Kosmos Step-Up Result, of this user", taskStepSame, append(payload[:len(payload):len(payload)], user))))
		next := taskMatchClaims
		if sub {
			next = taskMatchOutcome
		}
		b.main(b.condition(taskStepSame, "Is it this user's?", []branch{{"match", "match", []flow.Atomic{is(result, string(proof.ChallengeMatch))}, next}}, "no", taskStepError))
	}
	after := taskEnd
	if sub {
		after = taskMatched
	} else {
		// Before the Step Up action, so that hardly anything can fail after it.
		b.main(b.claimsOfUser(taskMatchClaims, a.told(taskMatchOutcome, taskStepUpOn)))
		b.needs(attrStatus, attrLevel, attrAt)
	}
	if !a.before {
		b.main(outcome(taskMatchOutcome, "Risk Outcome: the same face", outcomeSuccess, taskStepUpOn, a.whose...))
	}
	b.main(action(taskStepUpOn, "Step Up", b.n.Actions.StepUp, taskJWT))
	b.main(action(taskJWT, "Generate JWT", b.n.Actions.GenerateJWT, after))
	if !sub {
		return
	}
	b.main(b.condition(taskMatched, "Way out: match", []branch{{"match", "match", []flow.Atomic{is(result, string(proof.ChallengeMatch))}, ""}}, "never", taskStepError))
	b.aside(b.condition(taskNotMatched, "Way out: no match", []branch{
		{"no-match", "no match", []flow.Atomic{compare(status, o.NotEqual, string(proof.ChallengeMatch))}, ""},
	}, "never", taskStepError))
	b.out(taskMatched, "match")
	b.out(taskNotMatched, "no-match")
}

func nodeOf(id, name, next string, payload []field) node {
	return node{id: id, name: name, endpoint: endpointStepUpResult, key: keyStepUpResult, timeout: patienceResult, next: next, trouble: taskStepNoAnswer, payload: payload}
}
