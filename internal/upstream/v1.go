package upstream

import (
	"cmp"
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
	x, broken := readExtension(r.Extra)
	if broken != nil && r.Status == blockid.StatusSuccess {
		return journey.Progress{}, broken
	}
	if x != nil {
		x.outcome(&p.Outcome)
	}
	if assessed := p.Outcome.Assessed; r.Status == blockid.StatusSuccess && (assessed == nil || *assessed) {
		// For the verdict of an engine that nobody assessed, no level is asserted.
		p.Asserted = assertion(r.Level, time.Time{})
	}
	if err := p.settle(r.Status, x, cmp.Or(x.reason(), proof.ReasonProviderRejected)); err != nil {
		return journey.Progress{}, err
	}
	if p.Asserted.Level != "" {
		p.Outcome.Framework = FrameworkNIST
	}
	return journey.Progress(p), nil
}

// Assurance has no counterpart in this profile: the level comes with the session.
func (u *V1) Assurance(context.Context, string) (journey.Assertion, error) {
	return journey.Assertion{}, nil
}
