package connector

import (
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
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
	SessionID      *string           `json:"session_id" format:"uuid" doc:"The verification; null when it is unknown."`
	Status         string            `json:"status" enum:"pending,verified,failed,expired,abandoned,error" doc:"Only verified lets a person in. pending: ask again. The others never change, but error may."`
	Reason         *proof.Reason     `json:"reason" doc:"Why it is not verified, or what is in the way while pending; docs/reasons.md lists all."`
	IALLevel       *string           `json:"ial_level" enum:"IAL1,IAL2,IAL3" doc:"Identity assurance level, only where 1Kosmos or an explicit rule in configuration says so."`
	IALSource      *string           `json:"ial_source" doc:"Who said so: 1kosmos_session, 1kosmos_ial or policy:NAME."`
	IALExpiresAt   *string           `json:"ial_expires_at" format:"date-time" doc:"Until when the level holds, if it ends."`
	VerifiedClaims *verifiedClaims   `json:"verified_claims" doc:"OpenID Identity Assurance 1.0; only when verified."`
	Claims         *proof.Claims     `json:"claims" doc:"The same claims, flat, for templates that cannot reach deep; only when verified and only what this caller may see."`
	Checks         []proof.Check     `json:"checks" nullable:"false" doc:"What was tested, with score and threshold where the source gave them."`
	DocumentType   *string           `json:"document_type" enum:"passport,id_card,drivers_license" doc:"Which document the person chose."`
	CompletedAt    *string           `json:"completed_at" format:"date-time" doc:"When the verification ended."`
	Metadata       map[string]string `json:"metadata" doc:"What the caller sent along."`
}

type healthAnswer struct {
	Status  string `json:"status" enum:"ok" doc:"The program is up and answers."`
	Version string `json:"version" doc:"Version of the program."`
}

// statusError is a status of this door only: we cannot say.
const statusError = "error"

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
	out.VerifiedClaims = verifiedClaimsOf(v, o)
	if o.Claims != (proof.Claims{}) {
		out.Claims = &o.Claims
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
