package upstream

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// FrameworkNIST is the identifier that OpenID Identity Assurance registers for
// NIST SP 800-63A. We name it only where 1Kosmos asserted a level itself.
const FrameworkNIST = "nist_800_63A"

// V1 is journey.Upstream over the Bearer profile. That profile takes several
// documents and a liveness mode, can send the browser back, and answers with a
// level but, as far as is known, without the person's claims.
type V1 struct {
	client    *blockid.V1Client
	liveness  []proof.LivenessMode
	framework string
}

var _ journey.Upstream = (*V1)(nil)

// NewV1 makes an upstream that offers the given liveness modes.
func NewV1(client *blockid.V1Client, liveness []proof.LivenessMode, framework string) *V1 {
	return &V1{client, liveness, framework}
}

// JudgeFrom makes the rule by which a completed session counts as a success: its
// level must be at least minimum. LevelNone takes "completed" alone; whether a
// tenant means success by it is unknown, so an operator has to say so.
func JudgeFrom(minimum blockid.Level) func(*blockid.V1Result) blockid.Status {
	return func(r *blockid.V1Result) blockid.Status {
		if !strings.EqualFold(r.WireStatus, "completed") {
			return blockid.JudgeV1(r)
		}
		if r.Level < minimum {
			return blockid.StatusUnknown
		}
		return blockid.StatusSuccess
	}
}

func (u *V1) Profile() string    { return "v1" }
func (u *V1) ChoiceNeeded() bool { return false }

func (u *V1) Supports(_ proof.DocumentType, m proof.LivenessMode) bool {
	return slices.Contains(u.liveness, m)
}

func (u *V1) Start(ctx context.Context, r journey.StartUpstream) (journey.UpstreamSession, error) {
	q := blockid.V1Request{
		LivenessMode: string(r.Liveness), CallbackURL: r.ReturnURL,
		Metadata: map[string]string{"uid": r.Verification},
	}
	if r.Request.UserIdentifier != "" {
		q.Metadata["username"] = r.Request.UserIdentifier
	}
	for _, t := range r.DocumentTypes {
		q.DocumentTypes = append(q.DocumentTypes, string(t))
	}
	s, err := u.client.CreateSession(ctx, q)
	if err != nil {
		return journey.UpstreamSession{}, translate(err)
	}
	return journey.UpstreamSession{SessionID: s.ID, URL: s.URL}, nil
}

func (u *V1) Poll(ctx context.Context, up proof.Upstream) (journey.Progress, error) {
	r, err := u.client.Session(ctx, up.SessionID)
	if err != nil {
		return journey.Progress{}, translate(err)
	}
	p := progress{Outcome: proof.Outcome{Framework: u.framework}}
	if x := readExtension(r.Extra); x != nil {
		x.outcome(&p.Outcome)
	}
	switch r.Status {
	case blockid.StatusPending:
		p.Status = proof.InProgress
	case blockid.StatusSuccess:
		p.Status, p.Asserted = proof.Verified, assertion(r.Level, time.Time{})
		p.believe()
		switch {
		case p.Outcome.Assessed != nil && !*p.Outcome.Assessed:
			// Nobody assessed the engine that judged, so no level is asserted for its verdict.
			p.Asserted = journey.Assertion{}
		case p.Asserted.Level != "":
			p.Outcome.Framework = FrameworkNIST
		}
	case blockid.StatusFailed:
		p.Status, p.Reason = proof.Failed, proof.ReasonProviderRejected
		if x := readExtension(r.Extra); x != nil && x.Reason != "" && proof.Reason(x.Reason).Known() {
			p.Reason = proof.Reason(x.Reason)
		}
	case blockid.StatusExpired:
		p.Status, p.Reason = proof.Expired, proof.ReasonTimeLimit
	case blockid.StatusAbandoned:
		p.Status, p.Reason = proof.Abandoned, proof.ReasonAbandoned
	default:
		return journey.Progress{}, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamUnknown, Message: "1Kosmos answered a state that we do not know"}
	}
	return journey.Progress(p), nil
}

// Assurance has no counterpart in this profile: the level comes with the session.
func (u *V1) Assurance(context.Context, string) (journey.Assertion, error) {
	return journey.Assertion{}, nil
}
