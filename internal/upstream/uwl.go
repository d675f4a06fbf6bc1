package upstream

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// uwlTTL is how long a UWL session lives unless the tenant has another time
// (reference 4.2). The service does not tell.
const uwlTTL = 60 * time.Second

// UWL is journey.StepUp by UWL 2.0 sessions: the person scans a code with the
// 1Kosmos app, or opens it there, and the app answers.
//
// 1Kosmos gives no score, and no answer at all when the face was not theirs: a
// session then just expires. The local one says so, see refusedFace.
type UWL struct {
	connector *Connector
	ttl       time.Duration
	now       func() time.Time
}

var _ journey.StepUp = (*UWL)(nil)

// NewUWL makes the backend. ttl is how long the tenant lets a session live; 0
// means 60 seconds.
func NewUWL(connector *Connector, ttl time.Duration, now func() time.Time) *UWL {
	if ttl <= 0 {
		ttl = uwlTTL
	}
	return &UWL{connector, ttl, now}
}

// Backend returns "uwl".
func (u *UWL) Backend() string { return "uwl" }

// Open opens a session. It names no user: whose answer counts is settled when
// there is one.
func (u *UWL) Open(ctx context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	client, err := u.connector.client(ctx)
	if err != nil {
		return journey.OpenedStepUp{}, err
	}
	err = eligible(ctx, client, r.Request.UserIdentifier)
	nobody := err != nil && r.Request.Discreet && slices.Contains([]proof.Reason{proof.ReasonUserUnknown, proof.ReasonUserNotEnrolled, proof.ReasonUserDisabled}, proof.ReasonOf(err))
	if err != nil && !nobody {
		return journey.OpenedStepUp{}, err
	}
	ends := u.now().Add(u.ttl) // from before the call, so never later than the service's own
	s, err := client.NewSession(ctx, blockid.UWLRequest{AuthType: blockid.AuthFace, Metadata: shown(r)})
	if err != nil {
		return journey.OpenedStepUp{}, translateOpen(err)
	}
	return journey.OpenedStepUp{
		StepUpSession: proof.StepUpSession{ID: s.ID, URL: s.URL, Scan: true, Secret: keySecret(s.Key), Nobody: nobody},
		Ends:          ends,
	}, nil
}

// Poll reads the session's answer. Only one that the user's own wallet sealed is
// a match; one of another person's wallet is no_match.
func (u *UWL) Poll(ctx context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	var none journey.StepUpProgress
	client, err := u.connector.client(ctx)
	if err != nil {
		return none, err
	}
	key, err := secretKey(p.Secret)
	if err != nil {
		return none, err
	}
	a, err := client.Authenticate(ctx, blockid.UWLSession{ID: p.ID, Key: key}, p.UserIdentifier)
	if err != nil {
		if x := refusedFace(err); x != nil {
			return refusal(proof.Reason(x.Reason)), nil
		}
		return none, translate(err)
	}
	switch a.Status {
	case blockid.StatusPending:
		return stillPending, nil
	case blockid.StatusExpired:
		return sessionOver, nil
	case blockid.StatusSuccess:
		if !a.Belongs || p.Nobody {
			return someoneElse, nil
		}
		x, broken := readExtension(a.User)
		// A key of its own keeps other sessions' answers out already; the local 1Kosmos
		// says besides which session its wallet answered.
		if x != nil && x.Session != "" && x.Session != p.ID {
			return none, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonAnswerReplayed, Message: "the answer was given to another session"}
		}
		return matched(x, broken)
	}
	return none, unknownState()
}

// refusedFace returns the block of an answer by which the local 1Kosmos says
// that the person was not recognised, which 1Kosmos itself has no words for: HTTP
// 403 with the block. A 403 that is bare, or whose block is broken, is about our
// licence, and nil here.
func refusedFace(err error) *extension {
	var e *blockid.Error
	if !errors.As(err, &e) || e.HTTPStatus != http.StatusForbidden {
		return nil
	}
	if x, _ := readExtension(e.Extra); x != nil && x.MatchResult == wireNoMatch {
		return x
	}
	return nil
}
