package shipped

import (
	"bytes"
	"encoding/json"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// Attributes are the user attributes that the flows write and read. All are text; a
// customer creates them once, and lets nobody edit them who is not an operator.
var Attributes = []string{attrStatus, attrLevel, attrAt, attrSession, attrLevelEnds}

const (
	attrStatus  = "kosmosStatus"
	attrLevel   = "kosmosIal"
	attrAt      = "kosmosVerifiedAt"
	attrSession = "kosmosSessionId"
	// Only the mapping of claims writes it.
	attrLevelEnds = "kosmosIalExpiresAt"
)

// Claims that the flows add to a session.
const (
	claimStatus = "kosmos_status"
	claimLevel  = "kosmos_ial"
	claimAt     = "kosmos_verified_at"
)

// SensitiveScopes are what an application passes as scope, in the client data or the
// form of Descope's element, to say what is specially protected. They are ours: a customer
// writes their own into the condition, the node that it leads to, and the policy.
var SensitiveScopes = []string{"orders:refund"}

// Endpoints of the bridge, below the connector's base URL.
const (
	endpointIDV          = "/idv"
	endpointIDVResult    = "/idv/result"
	endpointStepUp       = "/stepup"
	endpointStepUpResult = "/stepup/result"
	endpointRisk         = "/risk"
	endpointRiskOutcome  = "/risk/outcome"

	endpointPreLogin         = "/hooks/pre-login"
	endpointPostRegistration = "/hooks/post-registration"
)

// How a login ended, as node Risk Outcome takes it.
const (
	outcomeSuccess = "success"
	outcomeFailure = "failure"
)

// Keys of the nodes' answers, below connectors.
const (
	keyIDV          = "kosmosIdv"
	keyIDVResult    = "kosmosIdvResult"
	keyStepUp       = "kosmosStepUp"
	keyStepUpResult = "kosmosStepUpResult"
	keyRisk         = "kosmosRisk"
	keyRiskOutcome  = "kosmosRiskOutcome"
)

// Seconds that a node may take. A result node only reads, and Descope's browser gives
// up on a poll after 6 s (reference 4.7). Nothing depends on what an outcome node says.
// A hook answers within 2 s.
const (
	patienceStart   = 10
	patienceResult  = 5
	patienceOutcome = 3
	patienceHook    = 3
)

// Ids of tasks. They are the same in every flow that has the task, and stay what they
// are: hosts of a subflow name its ways out by them.
const (
	start = "start"

	taskEmail    = "1"
	taskSend     = "2"
	taskCode     = "3"
	taskVerify   = "4"
	taskLoadUser = "5"

	taskVerifiedBefore = "10"
	taskAlready        = "11"
	taskIDV            = "12"
	taskIDVOpen        = "13"
	taskIDVTrouble     = "14"
	taskProve          = "15"
	taskIDVResult      = "16"
	taskIDVOutcome     = "17"
	taskIDVNoAnswer    = "18"
	taskIDVPending     = "19"
	taskRetake         = "20"
	taskOtherDocument  = "21"
	taskConflict       = "22"
	taskFailed         = "23"
	taskIDVExpired     = "24"
	taskAbandoned      = "25"
	taskIDVError       = "26"
	taskIDVAway        = "27"
	taskIDVBack        = "27.end"
	taskIDVWhose       = "28"
	taskIDVSame        = "29"
	taskWriteLevel     = "30"
	taskWrite          = "31"
	taskProofClaims    = "32"
	taskProven         = "38"
	taskNotProven      = "39"

	taskScopes       = "40"
	taskRisk         = "41"
	taskDecision     = "42"
	taskDenied       = "43"
	taskRiskScope    = "44"
	taskDeny         = "45"
	taskStepUp       = "46"
	taskStepUpOpen   = "47"
	taskStepTrouble  = "48"
	taskNotNeeded    = "49"
	taskFace         = "50"
	taskProveFirst   = "51"
	taskTooOften     = "52"
	taskRefused      = "53"
	taskStepResult   = "55"
	taskStepOutcome  = "56"
	taskStepNoAnswer = "57"
	taskStepPending  = "58"
	taskStepExpired  = "59"
	taskDeclined     = "60"
	taskNoMatch      = "61"
	taskStepError    = "62"
	taskStepAway     = "63"
	taskStepBack     = "63.end"
	taskStepWhose    = "64"
	taskStepSame     = "65"
	taskNotThem      = "66"
	taskMatchClaims  = "70"
	taskStepUpOn     = "71"
	taskJWT          = "72"
	taskMatchOutcome = "73"
	taskClaims       = "75"
	taskAllowed      = "76"
	taskMatched      = "78"
	taskNotMatched   = "79"

	taskFederate        = "80"
	taskFederateGo      = "81"
	taskFederateBack    = "81.end"
	taskFederated       = "82"
	taskFederatedNot    = "83"
	taskFederatedClaims = "84"

	taskEnd = "90"

	taskPreAccount   = "100"
	taskPreWho       = "101"
	taskPreLogin     = "102" // the three differ in what they are told
	taskPreKnown     = "103"
	taskPreTyped     = "104"
	taskPreAction    = "105"
	taskPreDeny      = "106"
	taskPreWhose     = "108"
	taskPreSend      = "110" // the sign-in of all whose face is to be seen
	taskPreCode      = "111"
	taskPreVerify    = "112"
	taskPreLoadUser  = "113"
	taskPreOpen      = "114"
	taskPreFace      = "115"
	taskPreResult    = "116"
	taskPreNoAnswer  = "117"
	taskPreOutcome   = "118"
	taskPrePending   = "119"
	taskPostAddress  = "130"
	taskPost         = "131"
	taskPostAction   = "132"
	taskPostKnown    = "133"
	taskPostProve    = "134"
	taskPostResult   = "135"
	taskPostNoAnswer = "136"
	taskPostOutcome  = "137"
	taskPostPending  = "138"
)

// way is how the browser gets to the person's page and back.
type way int

const (
	newTab   way = iota // a link that opens in a new tab, and a button to go on
	external            // External Authentication
	polls               // a link, and a screen that asks by itself
)

// Flow is one flow that we ship.
type Flow struct {
	*flow.Document
	order []placed
	n     *flow.Names
}

// Flows are the flows that we ship, under the names of n. Main flows come first.
func Flows(n *flow.Names) []Flow {
	var flows []Flow
	for _, build := range []func(*flow.Names) *builder{
		proofOnSignUp, proofExternal, stepUp, stepUpExternal, stepUpPolling,
		federatedProofing, federatedStepUp, federatedStepUpSAML,
		preLogin, postRegistration,
		proofSubflow, proofExternalSubflow, stepUpSubflow, stepUpExternalSubflow,
	} {
		b := build(n)
		flows = append(flows, Flow{b.d, b.order, n})
	}
	return flows
}

// JSON is the file of a flow. It is the same, byte for byte, every time.
func (f Flow) JSON() ([]byte, error) {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(f.Document)
	return b.Bytes(), err
}

func proofOnSignUp(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-proof-on-signup", "Sign up and prove who you are",
		"Sign-up by e-mail code, then identity proofing. Only somebody who was verified gets a session.")
	b.signIn(true, taskVerifiedBefore)
	b.proof(newTab, false)
	b.end()
	return b
}

func proofExternal(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-proof-external", "Prove who you are, by redirect",
		"Sign-in by e-mail code, then identity proofing through External Authentication: the browser is taken to the page and back.")
	b.signIn(true, taskVerifiedBefore)
	b.proof(external, false)
	b.end()
	return b
}

func stepUpMain(n *flow.Names, id, name, description string, w way) *builder {
	b := newBuilder(n, id, name, description)
	b.d.Metadata.Fingerprint = true // Keys.KnownDevice needs it
	b.signIn(false, taskScopes)
	b.stepUp(w, false)
	b.end()
	return b
}

func stepUp(n *flow.Names) *builder {
	return stepUpMain(n, "kosmos-step-up", "Sign in, and show your face if something is new",
		"Sign-in by e-mail code. The bridge's policy weighs the login: straight through, the person's face first, or not at all.", newTab)
}

func stepUpExternal(n *flow.Names) *builder {
	return stepUpMain(n, "kosmos-step-up-external", "Sign in, and show your face by redirect if something is new",
		"As kosmos-step-up, but the browser is taken to the page and back through External Authentication.", external)
}

func stepUpPolling(n *flow.Names) *builder {
	return stepUpMain(n, "kosmos-step-up-polling", "Sign in, and show your face if something is new (polling)",
		"As kosmos-step-up, but the screen goes on by itself. That a polling screen may call a connector is unproved at Descope.", polls)
}

func proofSubflow(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-proof-subflow", "Prove who you are (subflow)",
		"Identity proofing of somebody who is signed in, for a flow of your own.")
	b.from(taskVerifiedBefore)
	b.proof(newTab, true)
	return b
}

func proofExternalSubflow(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-proof-external-subflow", "Prove who you are, by redirect (subflow)",
		"Identity proofing of somebody who is signed in, through External Authentication, for a flow of your own.")
	b.from(taskVerifiedBefore)
	b.proof(external, true)
	return b
}

func stepUpSubflow(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-step-up-subflow", "Show your face if something is new (subflow)",
		"Risk and face step-up of somebody who is signed in, for a flow of your own.")
	b.d.Metadata.Fingerprint = true
	b.from(taskScopes)
	b.stepUp(newTab, true)
	return b
}

func stepUpExternalSubflow(n *flow.Names) *builder {
	b := newBuilder(n, "kosmos-step-up-external-subflow", "Show your face by redirect if something is new (subflow)",
		"Risk and face step-up of somebody who is signed in, through External Authentication, for a flow of your own.")
	b.d.Metadata.Fingerprint = true
	b.from(taskScopes)
	b.stepUp(external, true)
	return b
}

// from is where a subflow begins.
func (b *builder) from(first string) {
	to(b.d.Contents.Tasks[start], edge{"", taskLoadUser})
	b.main(action(taskLoadUser, "Load user", b.n.Actions.LoadUser, first))
}

// signIn is the login of a main flow. Who somebody is is known only once the code was
// right: everything later names the user by Keys.UserID, which is empty until then.
func (b *builder) signIn(signUp bool, next string) {
	if signUp {
		b.askEmail("Let's begin", "Enter your e-mail address. We send you a code. After that you show a document and your face: have your passport, ID card or driver's license at hand.", taskSend)
		b.identify(b.n.Actions.OTPSignUpOrIn, next)
		return
	}
	b.askEmail("Sign in", "Enter your e-mail address. We send you a code.", taskSend)
	b.identify(b.n.Actions.OTPSignIn, next)
}

// askEmail is the screen that a main flow begins with.
func (b *builder) askEmail(title, words, next string) {
	to(b.d.Contents.Tasks[start], edge{"", taskEmail})
	b.main(b.screen(taskEmail, "E-mail address", b.heading(title), b.text(words), b.email(), b.button(contained, "continue", "Continue", next)))
}

// identify sends a code and has it entered.
func (b *builder) identify(send, next string) {
	b.main(action(taskSend, "Send a code", send, taskCode))
	b.main(b.screen(taskCode, "Code", append([]part{b.heading("Check your e-mail"),
		b.text("We sent a code to " + template(b.n.Keys.MaskedEmail) + ". Enter it here. If nothing comes, look into the spam folder.")}, b.askCode(taskSend, taskVerify)...)...))
	b.main(action(taskVerify, "Check the code", b.n.Actions.OTPVerify, taskLoadUser))
	b.main(action(taskLoadUser, "Load user", b.n.Actions.LoadUser, next))
}

// askCode are what a screen has that takes the code.
func (b *builder) askCode(send, verify string) []part {
	return []part{
		b.code(), b.button(contained, "continue", "Continue", verify),
		b.button(plain, "resend", "Send a new code", send), b.button(plain, "other", "Use another address", taskEmail),
	}
}

func (b *builder) end() { b.main(action(taskEnd, "End", b.n.Actions.End, "")) }

func (b *builder) attribute(name string) string { return b.n.Keys.UserAttributes + "." + name }

func (b *builder) needs(attributes ...string) { b.d.References.UserAttributes = attributes }
