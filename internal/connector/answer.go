package connector

import (
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/proof/ida"
)

// startAnswer is what node "1Kosmos IDV" returns.
type startAnswer struct {
	SessionID  string `json:"session_id" format:"uuid" doc:"Id of the verification. It opens nothing by itself."`
	SessionURL string `json:"session_url" format:"uri" doc:"Where to send the person. It is a secret link for one browser."`
	Status     string `json:"status" enum:"pending,verified,failed,expired,abandoned,error" doc:"pending for a new verification; repeating an idempotency_key shows how far the first one is."`
	ExpiresAt  string `json:"expires_at" format:"date-time" doc:"When the verification expires unless it has ended by then."`
}

// resultAnswer is what node "1Kosmos IDV Result" returns. Every member is always
// there; null means that there is nothing to say.
type resultAnswer struct {
	SessionID      *string             `json:"session_id" format:"uuid" doc:"The verification; null when it is unknown."`
	Status         string              `json:"status" enum:"pending,verified,failed,expired,abandoned,error" doc:"Only verified lets a person in. pending: ask again. The others never change, but error may."`
	Reason         *proof.Reason       `json:"reason" doc:"Why it is not verified, or what is in the way while pending; docs/reasons.md lists all."`
	IALLevel       *string             `json:"ial_level" enum:"IAL1,IAL2,IAL3" doc:"Identity assurance level, only where 1Kosmos or an explicit rule in configuration says so."`
	IALSource      *string             `json:"ial_source" doc:"Who said so: 1kosmos_session, 1kosmos_ial or policy:NAME."`
	IALExpiresAt   *string             `json:"ial_expires_at" format:"date-time" doc:"Until when the level holds, if it ends."`
	VerifiedClaims *ida.VerifiedClaims `json:"verified_claims" doc:"OpenID Identity Assurance 1.0; only when verified."`
	Claims         *proof.Claims       `json:"claims" doc:"The same claims, flat, for templates that cannot reach deep; only when verified and only what this caller may see."`
	Checks         []proof.Check       `json:"checks" nullable:"false" doc:"What was tested, with score and threshold where the source gave them."`
	DocumentType   *string             `json:"document_type" enum:"passport,id_card,drivers_license" doc:"Which document the person chose."`
	Enrolled       *bool               `json:"enrolled" doc:"Whether the face is kept for LiveID step-ups from now on, if the source says so; only when verified."`
	CompletedAt    *string             `json:"completed_at" format:"date-time" doc:"When the verification ended."`
	Metadata       map[string]string   `json:"metadata" doc:"What the caller sent along."`
}

// stepUpAnswer is what node "1Kosmos LiveID Step-Up" returns. Every member is
// always there; null means that there is nothing to say.
type stepUpAnswer struct {
	ChallengeURL *string       `json:"challenge_url" format:"uri" doc:"Where to send the person. It is a secret link for one browser; null when no challenge is open."`
	ChallengeID  *string       `json:"challenge_id" format:"uuid" doc:"Id of the challenge. It opens nothing by itself; null when the challenge was refused."`
	Status       string        `json:"status" enum:"pending,refused,match,no_match,expired,error" doc:"pending for a new challenge, refused when there is none; repeating an idempotency_key shows how far the first one is. Only node 1Kosmos Step-Up Result settles a login."`
	ExpiresAt    *string       `json:"expires_at" format:"date-time" doc:"When the challenge expires unless it has ended by then."`
	Reason       *proof.Reason `json:"reason" doc:"Why it was refused, such as user_not_enrolled or too_many_attempts; docs/reasons.md lists all."`
	RetryAt      *string       `json:"retry_at" format:"date-time" doc:"With too_many_attempts: when it may be asked again, if that is known."`
}

// stepUpResultAnswer is what node "1Kosmos Step-Up Result" returns. Every member
// is always there; null means that there is nothing to say.
type stepUpResultAnswer struct {
	ChallengeID     *string       `json:"challenge_id" format:"uuid" doc:"The challenge; null when it is unknown."`
	MatchResult     string        `json:"match_result" enum:"match,no_match,pending,expired,error" doc:"Only match lets a person in. pending: ask again. The others never change, but an error whose reason is unknown_challenge or internal_error may."`
	Confidence      *float64      `json:"confidence" minimum:"0" maximum:"1" doc:"How sure the provider is that it is the same person, only if it gave a number. Compare match_result first: a number alone lets nobody in."`
	ConfidenceBasis *string       `json:"confidence_basis" enum:"provider_score,binary" doc:"provider_score: confidence is the provider's own number. binary: the provider says yes or no and gives none. null: there is no verdict."`
	Reason          *proof.Reason `json:"reason" doc:"Why there is no match, or what is in the way while pending; docs/reasons.md lists all."`
	LivenessMode    *string       `json:"liveness_mode" enum:"none,passive,active" doc:"How the provider says it tested that a living person was there; null when it says nothing."`
	DecisionID      *string       `json:"decision_id" doc:"The risk decision that asked for the challenge, as the caller named it."`
	CompletedAt     *string       `json:"completed_at" format:"date-time" doc:"When the challenge ended."`
}

type healthAnswer struct {
	Status  string `json:"status" enum:"ok" doc:"The program is up and answers."`
	Version string `json:"version" doc:"Version of the program."`
}

// Statuses of this door only.
const (
	statusError   = "error"   // we cannot say
	statusRefused = "refused" // there is no challenge
)

// outward translates a status of the domain. What is not known is an error, never
// something better.
func outward(s proof.Status) string {
	switch s {
	case proof.Pending, proof.InProgress:
		return string(proof.Pending)
	case proof.Verified, proof.Failed, proof.Expired, proof.Abandoned:
		return string(s)
	}
	return statusError
}

// unknownSession is the answer for an id that does not exist and for one that
// belongs to somebody else. It does not repeat the id, so that the two are the
// same in every byte.
func unknownSession() resultAnswer {
	return resultAnswer{Status: statusError, Reason: ptr(proof.ReasonUnknownSession), Checks: []proof.Check{}}
}

func resultOf(view journey.ResultView) resultAnswer {
	v, o := view.Verification, view.Outcome
	out := resultAnswer{
		SessionID: ptr(v.ID), Status: outward(v.Status), Reason: opt(v.Reason), Checks: o.Checks,
		DocumentType: opt(string(v.DocumentType)), CompletedAt: opt(timestamp(v.FinishedAt)), Metadata: view.Metadata,
	}
	if out.Checks == nil {
		out.Checks = []proof.Check{}
	}
	if out.Status == statusError {
		out.Reason = ptr(proof.ReasonInternal)
	}
	if v.Status != proof.Verified {
		return out
	}
	out.IALLevel, out.IALSource = opt(v.IALLevel), opt(v.IALSource)
	out.IALExpiresAt = opt(timestamp(v.IALExpiresAt))
	out.Enrolled = o.Enrolled
	out.VerifiedClaims = ida.Of(v, o)
	if o.Claims != (proof.Claims{}) {
		out.Claims = &o.Claims
	}
	return out
}

// outwardChallenge translates a status of a challenge. A failed one is an error,
// and so is what is not known: there is no verdict, never something better.
func outwardChallenge(s proof.ChallengeStatus) string {
	switch s {
	case proof.ChallengePending, proof.ChallengeMatch, proof.ChallengeNoMatch, proof.ChallengeExpired:
		return string(s)
	}
	return statusError
}

func stepUpOf(s journey.ChallengeStarted) stepUpAnswer {
	if s.Refused != "" {
		return stepUpAnswer{Status: statusRefused, Reason: ptr(s.Refused), RetryAt: opt(timestamp(s.RetryAt))}
	}
	return stepUpAnswer{
		ChallengeURL: opt(s.ChallengeURL), ChallengeID: opt(s.ChallengeID), Status: outwardChallenge(s.Status), ExpiresAt: opt(timestamp(s.ExpiresAt)),
	}
}

// unknownChallenge is for challenges what unknownSession is for verifications.
func unknownChallenge() stepUpResultAnswer {
	return stepUpResultAnswer{MatchResult: statusError, Reason: ptr(proof.ReasonUnknownChallenge)}
}

func stepUpResultOf(c proof.Challenge) stepUpResultAnswer {
	out := stepUpResultAnswer{
		ChallengeID: ptr(c.ID), MatchResult: outwardChallenge(c.Status), Reason: opt(c.Reason),
		DecisionID: opt(c.DecisionID), CompletedAt: opt(timestamp(c.FinishedAt)),
	}
	switch c.Status {
	case proof.ChallengeMatch, proof.ChallengeNoMatch:
		out.Confidence, out.ConfidenceBasis, out.LivenessMode = c.Confidence, opt(string(c.Basis)), opt(string(c.Liveness))
	case proof.ChallengePending, proof.ChallengeExpired, proof.ChallengeFailed:
	default:
		out.Reason, out.CompletedAt = nil, nil
	}
	if out.MatchResult == statusError && out.Reason == nil {
		out.Reason = ptr(proof.ReasonInternal)
	}
	return out
}

func ptr[T any](v T) *T { return &v }

// opt is nil for the zero value.
func opt[T comparable](v T) *T {
	var zero T
	if v == zero {
		return nil
	}
	return &v
}
