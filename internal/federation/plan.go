package federation

import (
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// need is what a person has to do.
type need int

const (
	needProofing need = iota // document and face
	needFace                 // the enrolled face
	needChoice               // either; the person says which
)

// canonical is how we spell an authentication context ourselves.
func canonical(acr string) string { return strings.TrimRight(acr, "/") }

// levels orders what is asserted.
var levels = map[string]int{"IAL1": 1, "IAL2": 2, "IAL3": 3}

var contextLevels = map[string]int{ACRIAL1: 1, ACRIAL2: 2, ACRIAL3: 3}

// KnownACR lists the authentication contexts that we can tell, in no order of strength.
func KnownACR() []string { return []string{ACRFace, ACRProofing, ACRIAL1, ACRIAL2, ACRIAL3} }

// Known reports whether acr, however its end is spelled, is one of KnownACR.
func Known(acr string) bool { return slices.Contains(KnownACR(), canonical(acr)) }

// MayAsk reports whether the client may ask for acr.
func (c *Client) MayAsk(acr string) bool {
	return len(c.Allowed) == 0 || slices.ContainsFunc(c.Allowed, func(a string) bool { return canonical(a) == canonical(acr) })
}

// complete fills in what the client asks for where the request does not.
func (a *Ask) complete() {
	if len(a.ACR) == 0 {
		a.ACR = a.Client.DefaultACR
		a.Essential = a.Client.Essential && len(a.ACR) > 0
	}
}

// named reports whether the request says who it is about.
func (a *Ask) named() bool { return a.Hint != "" || a.HintSubject != "" }

// plan says what the person has to do. The first authentication context that we know
// decides. A level may be held already by somebody whose face we know, or be reached
// with a document; which of the two, only the person can say: whether the name in a
// request is known to us must not show.
func (a *Ask) plan() need {
	for _, acr := range a.ACR {
		switch canonical(acr) {
		case ACRFace:
			return needFace
		case ACRProofing:
			return needProofing
		case ACRIAL1, ACRIAL2, ACRIAL3:
			if a.Proofing || !a.named() {
				return needProofing
			}
			return needChoice
		}
	}
	if a.Proofing || !a.named() {
		return needProofing
	}
	return needFace
}

// holds reports whether acr is true of the answer.
func (x *Answer) holds(acr string) bool {
	switch acr = canonical(acr); acr {
	case ACRFace:
		return x.Matched
	case ACRProofing:
		return x.Proofed
	default:
		want, ok := contextLevels[acr]
		return ok && levels[x.IALLevel] >= want
	}
}

// settle says which authentication context the answer has.
func (x *Answer) settle(a *Ask) {
	for _, acr := range a.ACR {
		if x.holds(acr) {
			x.ACR, x.Met = acr, true
			return
		}
	}
	x.Met = len(a.ACR) == 0
	for _, acr := range []string{ACRIAL3, ACRIAL2, ACRIAL1, ACRFace, ACRProofing} {
		if x.holds(acr) {
			x.ACR = acr
			return
		}
	}
	x.ACR = ""
}

// will reports whether an answer from a session of this browser satisfies the ask.
func (x *Answer) will(a *Ask) bool {
	if a.HintSubject != "" && a.HintSubject != x.Subject || a.Hint != "" && x.Matched && a.Hint != x.Identifier {
		return false
	}
	if len(a.ACR) == 0 && !a.Proofing && a.Hint == "" && a.HintSubject != "" {
		return true // our own token names this very subject, and nothing more is wanted
	}
	switch a.plan() {
	case needFace:
		return x.Matched
	case needProofing:
		return x.Proofed && (!a.Proofing || x.Verification.ID != "")
	}
	return x.Met
}

func errUnmet() error {
	return &proof.Error{Code: proof.CodeUnmet, Reason: proof.ReasonAssuranceUnmet, Message: "the assurance that was asked for was not reached"}
}
