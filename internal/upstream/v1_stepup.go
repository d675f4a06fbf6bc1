package upstream

import (
	"context"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// V1StepUp is journey.StepUp by the Bearer profile. That profile shows the
// person nothing of the transaction, and does not send the browser back.
type V1StepUp struct {
	client *blockid.V1Client
	now    func() time.Time
}

var _ journey.StepUp = (*V1StepUp)(nil)

// NewV1StepUp makes the backend.
func NewV1StepUp(client *blockid.V1Client, now func() time.Time) *V1StepUp {
	return &V1StepUp{client, now}
}

// Backend returns "v1".
func (u *V1StepUp) Backend() string { return "v1" }

// Open starts a step-up that lasts until the challenge's deadline.
func (u *V1StepUp) Open(ctx context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	// Not less than a person needs, nor than a service is likely to take: our own
	// deadline holds anyway.
	left := max(int(r.Deadline.Sub(u.now())/time.Second), 30)
	c, err := u.client.StepUp(ctx, blockid.V1StepUpRequest{
		UserID: r.Request.UserIdentifier, ReasonCode: r.Request.ReasonCode, TimeoutSeconds: left,
	})
	if err != nil {
		return journey.OpenedStepUp{}, translateOpen(err)
	}
	return journey.OpenedStepUp{
		StepUpSession: proof.StepUpSession{ID: c.ID, URL: c.URL},
		Ends:          earlier(c.ExpiresAt, r.Deadline),
	}, nil
}

// Poll reads the result. The challenge names its user at 1Kosmos, so that a
// match is that user's; where the answer names one besides, it must be the same.
// The values of match_result, and that there is a user_id, are our guess.
func (u *V1StepUp) Poll(ctx context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	r, err := u.client.StepUpResult(ctx, p.ID)
	if err != nil {
		return journey.StepUpProgress{}, translate(err)
	}
	x, broken := readExtension(r.Extra)
	switch strings.ToLower(r.MatchResult) {
	case "pending":
		return stillPending, nil
	case "expired":
		return sessionOver, nil
	case wireNoMatch:
		return refusal(x.reason()), nil
	case wireMatch:
		if r.UserID != "" && !blockid.SameUser(r.UserID, p.UserIdentifier) {
			return someoneElse, nil
		}
		m, err := matched(x, broken)
		if err == nil && m.Status == proof.ChallengeMatch && r.Confidence != nil {
			m.Confidence = r.Confidence
		}
		return m, err
	}
	return journey.StepUpProgress{}, unknownState()
}
