package shipped

import (
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Names of the flat claims that the bridge tells as an identity provider.
const (
	flatStatus  = "idv_status"
	flatLevel   = "ial_level"
	flatAt      = "verified_at"
	flatMatched = "face_matched"
	flatWho     = "user_identifier"
)

// Mappings of the bridge's flat claims to a user, as a custom OAuth provider takes them:
// by what they become. That of the provider that asks for a face maps no status: a face
// check examines no document, and would write that there was none.
var (
	ProofingMapping = map[string]string{
		"loginId": "sub", "givenName": "given_name", "familyName": "family_name",
		attrStatus: flatStatus, attrLevel: flatLevel, attrLevelEnds: "ial_expires_at", attrAt: flatAt,
	}
	LiveIDMapping = map[string]string{"loginId": flatWho, attrLevel: flatLevel, attrLevelEnds: "ial_expires_at"}
)

// federatedProofing sends whoever is there to the identity provider. What came of it is
// read out of the answer itself and not off the user: an attribute may be of another day.
func federatedProofing(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-federated-proofing", "Prove who you are, by OpenID Connect",
		"Identity proofing with the bridge as a custom OAuth provider. Whoever comes back verified gets a session.")
	claims := n.Keys.OAuthClaims
	status := claims + "." + flatStatus
	to(b.d.Contents.Tasks[start], edge{"", taskFederate})
	b.main(b.screen(taskFederate, "Prove who you are", b.heading("Prove who you are"),
		b.text("You show a document and your face, on a page of its own. Have your passport, ID card or driver's license at hand, and choose a place with good light. It takes about two minutes. Afterwards you are brought back here."),
		b.button(contained, "continue", "Continue", taskFederateGo)))
	b.federate(n.Actions.OAuthStart, n.Actions.OAuthEnd, argument{n.Arguments.OAuthProvider, n.Federation.Proofing})
	b.main(b.condition(taskFederated, "Is somebody verified?", []branch{
		{"verified", "verified", []flow.Atomic{compare(status, n.Operators.Equal, string(proof.Verified))}, taskFederatedClaims},
	}, "anything else", taskFederatedNot))
	b.aside(b.screen(taskFederatedNot, "Not verified", b.heading("We could not verify you"),
		b.text("The check did not come to a good end. You can try again, in good light and with the original of your document. If it fails again, write to our support."),
		b.button(contained, "again", "Try again", taskFederate)))
	b.main(action(taskFederatedClaims, "Claims for the session", n.Actions.CustomClaims, taskEnd, argument{n.Arguments.CustomClaims, pairs(
		[2]string{claimStatus, template(status)}, [2]string{claimLevel, template(claims + "." + flatLevel)}, [2]string{claimAt, template(claims + "." + flatAt)})}))
	b.end()
	b.d.References.OAuth = []string{n.Federation.Proofing}
	b.needs(attrStatus, attrLevel, attrLevelEnds, attrAt)
	return b
}

func federatedStepUp(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-federated-step-up", "Sign in, and show your face, by OpenID Connect",
		"Sign-in by e-mail code, then the person's face, with the bridge as a custom OAuth provider.")
	b.federatedStepUp(n.Keys.OAuthClaims, n.Actions.OAuthStart, n.Actions.OAuthEnd,
		argument{n.Arguments.OAuthProvider, n.Federation.LiveID}, argument{n.Arguments.Prompt, []string{"login"}})
	b.d.References.OAuth = []string{n.Federation.LiveID}
	return b
}

func federatedStepUpSAML(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-federated-step-up-saml", "Sign in, and show your face, by SAML",
		"As kosmos-federated-step-up, with the bridge as the SAML identity provider of a Descope tenant.")
	b.federatedStepUp(n.Keys.SAMLAttributes, n.Actions.SAMLStart, n.Actions.SAMLEnd,
		argument{n.Arguments.SSOTenant, n.Federation.Tenant}, argument{n.Arguments.ForceAuthn, true})
	return b
}

// federatedStepUp signs somebody in, and has the bridge ask for that person's face. The
// hint only asks: whose face it was is in the answer. The flow's user after the return
// is whom the answer names, and the session is theirs only if the face was, too.
func (b *builder) federatedStepUp(claims, begin, end string, args ...argument) {
	n := b.n
	matched, who := claims+"."+flatMatched, claims+"."+flatWho
	b.signIn(false, taskFederate)
	b.main(b.screen(taskFederate, "Show that it is you", b.heading("Show that it is you"),
		b.text("This sign-in needs your face. Show it on a page of its own; you can use your phone there, too. Afterwards you are brought back here."),
		b.button(contained, "continue", "Continue", taskFederateGo)))
	b.federate(begin, end, append(args, argument{n.Arguments.LoginHint, template(n.Keys.UserID)})...)
	b.main(b.condition(taskFederated, "Is it this user's face?", []branch{
		{"match", "match", []flow.Atomic{
			test(matched, n.Operators.IsTrue), test(who, n.Operators.NotEmpty), compare(who, n.Operators.Equal, template(n.Keys.UserID)),
		}, taskMatchClaims},
	}, "anything else", taskFederatedNot))
	b.aside(b.screen(taskFederatedNot, "No match", b.heading("We could not confirm that it is you"),
		b.text("The face was not the one we know for this account, so we cannot let you in this time. Your account is not locked. If it is yours, sign in again."),
		b.button(outline, "restart", "Start over", taskEmail)))
	b.main(b.claimsOfUser(taskMatchClaims, taskStepUpOn))
	b.main(action(taskStepUpOn, "Step Up", n.Actions.StepUp, taskJWT))
	b.main(action(taskJWT, "Generate JWT", n.Actions.GenerateJWT, taskEnd))
	b.end()
	b.needs(attrStatus, attrLevel, attrLevelEnds, attrAt)
}

// federate is the pair of tasks that sends the browser away and takes it back, with the
// same arguments, as Descope's exports have it. Where either fails, the screen before it
// is shown again.
func (b *builder) federate(begin, end string, args ...argument) {
	args = append(args, argument{b.n.Arguments.ExchangeStep, taskFederateBack})
	b.main(action(taskFederateGo, "Go to the bridge", begin, taskFederateBack, args...))
	b.main(action(taskFederateBack, "Come back", end, taskFederated, args...))
}

// claimsOfUser puts what the user's attributes say into the session.
func (b *builder) claimsOfUser(id, next string) *flow.Task {
	return action(id, "Claims for the session", b.n.Actions.CustomClaims, next, argument{b.n.Arguments.CustomClaims, pairs(
		[2]string{claimStatus, template(b.attribute(attrStatus))}, [2]string{claimLevel, template(b.attribute(attrLevel))},
		[2]string{claimAt, template(b.attribute(attrAt))})})
}
