package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Eligibility returns a function that says whether a user can be challenged at
// all: nil, or an error whose reason is user_unknown, user_not_enrolled or
// user_disabled. It is for the ways that cannot tell by themselves.
func Eligibility(k *Connector) func(ctx context.Context, username string) error {
	return func(ctx context.Context, username string) error {
		client, err := k.client(ctx)
		if err != nil {
			return err
		}
		return eligible(ctx, client, username)
	}
}

func eligible(ctx context.Context, client *blockid.Client, username string) error {
	ial, err := client.IAL(ctx, username)
	switch {
	case blockid.KindOf(err) == blockid.KindNotFound:
		return refused(proof.ReasonUserUnknown, err)
	case err != nil:
		return translate(err)
	case len(ial.Wallets) == 0:
		return refused(proof.ReasonUserNotEnrolled, nil)
	}
	// Only the users service knows who is disabled. Where a tenant has none, or
	// keeps this user in a directory that it may not ask, nobody can tell here; a
	// disabled user's wallet is then for 1Kosmos itself to refuse.
	services, err := client.Directory(ctx)
	if err != nil {
		return translate(err)
	}
	if services[blockid.ServiceUsers] == "" || ial.AuthModuleID == "" {
		return nil
	}
	user, err := client.FetchUser(ctx, ial.AuthModuleID, ial.Username)
	var e *blockid.Error
	switch {
	case errors.As(err, &e) && e.HTTPStatus == http.StatusMethodNotAllowed:
		return nil
	case errors.As(err, &e) && e.Kind == blockid.KindNotFound && e.HTTPStatus == 0: // gone meanwhile
		return refused(proof.ReasonUserUnknown, err)
	case err != nil:
		return translate(err)
	case user.Disabled:
		return refused(proof.ReasonUserDisabled, nil)
	}
	return nil
}

// refusals are the reasons for which no challenge is opened, as an error says it.
var refusals = map[proof.Reason]string{
	proof.ReasonUserUnknown:     "1Kosmos does not know this user",
	proof.ReasonUserNotEnrolled: "this user has no LiveID",
	proof.ReasonUserDisabled:    "this user is disabled at 1Kosmos",
	proof.ReasonTooManyAttempts: "1Kosmos allows this user no more attempts for now",
}

func refused(reason proof.Reason, err error) *proof.Error {
	e := &proof.Error{Code: proof.CodeConflict, Reason: reason, Message: refusals[reason], Err: err}
	if reason == proof.ReasonTooManyAttempts {
		e.Code = proof.CodeRateLimited
	}
	return e
}

// translateOpen is translate for the call that opens a session: a refusal that
// says in the block which of our reasons it has keeps it.
func translateOpen(err error) error {
	var e *blockid.Error
	if errors.As(err, &e) && e.HTTPStatus >= 400 && e.HTTPStatus < 500 {
		x, _ := readExtension(e.Extra) // a broken one: an error all the same
		if reason := x.reason(); refusals[reason] != "" {
			r := refused(reason, err)
			r.RetryAfter = e.RetryAfter
			return r
		}
	}
	return translate(err)
}

// withoutVerdict are reasons for which a session ends before a face was
// compared, or without it counting. Somebody who shows a picture of a face, or
// frames that were used before, is not among them: that is no match.
var withoutVerdict = []proof.Reason{
	proof.ReasonDeclined, proof.ReasonAbandoned, proof.ReasonUserUnknown, proof.ReasonUserNotEnrolled, proof.ReasonUserDisabled,
	proof.ReasonTooManyAttempts, proof.ReasonLivenessUnavailable, proof.ReasonLivenessIncomplete, proof.ReasonLivenessWeak,
	proof.ReasonModelsMissing, proof.ReasonEngineBusy, proof.ReasonEngineTimeout, proof.ReasonEngineError, proof.ReasonEngineUnavailable,
	proof.ReasonSelfieMissing, proof.ReasonSelfieNoFace, proof.ReasonSelfieManyFaces, proof.ReasonCaptureFailed,
	proof.ReasonImageUnreadable, proof.ReasonImageTooLarge, proof.ReasonImageTooSmall, proof.ReasonImageBlurred,
}

// refusal makes a verdict of the reason for which a session ended without a
// match. One that we do not know is a no_match all the same.
func refusal(reason proof.Reason) journey.StepUpProgress {
	switch {
	case slices.Contains(withoutVerdict, reason):
		return journey.StepUpProgress{Status: proof.ChallengeFailed, Reason: reason}
	case !reason.Known():
		reason = proof.ReasonProviderRejected
	}
	return journey.StepUpProgress{Status: proof.ChallengeNoMatch, Reason: reason}
}

var (
	stillPending = journey.StepUpProgress{Status: proof.ChallengePending}
	sessionOver  = journey.StepUpProgress{Status: proof.ChallengeExpired, Reason: proof.ReasonTimeLimit}
	someoneElse  = journey.StepUpProgress{Status: proof.ChallengeNoMatch, Reason: proof.ReasonSubjectMismatch}
)

// The words of match_result, in the block and in the V1 profile.
const (
	wireMatch   = "match"
	wireNoMatch = "no_match"
)

// matched is the verdict of an answer that says match, by what readExtension
// returned for it. A match that its own block takes back is none: one that the
// block gives a reason against, or a check that failed or could not tell.
//
// 1Kosmos sends no block, and whether it checked liveness is then unknown. The
// local one always says how it was, and a block that does not is broken: no
// liveness must not pass for unknown.
func matched(x *extension, broken error) (journey.StepUpProgress, error) {
	p := journey.StepUpProgress{Status: proof.ChallengeMatch}
	if broken != nil {
		return journey.StepUpProgress{}, broken
	}
	if x == nil {
		return p, nil
	}
	switch x.MatchResult {
	case "", wireMatch:
	case wireNoMatch:
		return refusal(proof.Reason(x.Reason)), nil
	default:
		return journey.StepUpProgress{}, unknownState()
	}
	if x.Reason != "" {
		return refusal(proof.Reason(x.Reason)), nil
	}
	for _, c := range x.Checks {
		if proof.CheckOutcome(c.Outcome) != proof.CheckPass {
			return refusal(proof.ReasonProviderRejected), nil
		}
	}
	if x.Liveness == "" {
		return journey.StepUpProgress{}, brokenBlock(errors.New("match without liveness"))
	}
	p.Confidence, p.Liveness = x.Score, x.Liveness
	return p, nil
}

func unknownState() error {
	return &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamUnknown, Message: "1Kosmos answered a state that we do not know"}
}

// shown is what the person sees where they answer, as far as 1Kosmos shows it.
// Whoever has the link can read it, so nothing of it is unmasked.
func shown(r journey.OpenStepUp) map[string]string {
	m := map[string]string{"purpose": "authentication"}
	for name, value := range map[string]string{
		"application": r.Application, "account": r.MaskedAccount, "transaction": r.Request.Transaction, "reason_code": r.Request.ReasonCode,
	} {
		if value != "" {
			m[name] = value
		}
	}
	return m
}

// keySecret is the secret of a session that has a key pair of its own: the curve
// and the private key.
func keySecret(k *blockid.PrivateKey) []byte {
	return []byte(string(k.Curve()) + " " + k.Encode())
}

func secretKey(secret []byte) (*blockid.PrivateKey, error) {
	curve, text, _ := strings.Cut(string(secret), " ")
	k, err := blockid.ParsePrivateKey(blockid.Curve(curve), text)
	if err != nil {
		return nil, &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "the key of the session cannot be read"}
	}
	return k, nil
}

// text reads a string field of an answer; anything else is "".
func text(fields map[string]json.RawMessage, name string) string {
	var s string
	if json.Unmarshal(fields[name], &s) != nil {
		return ""
	}
	return s
}

// earlier returns the earlier of two times of which either may be zero for "no such time".
func earlier(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
