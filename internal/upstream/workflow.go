package upstream

import (
	"context"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// WorkflowConfig names the workflow that recognises a person by their LiveID.
type WorkflowConfig struct {
	ID   string        // such as "wf-" and a UUID
	Node string        // of the node whose result counts
	TTL  time.Duration // of an instance; 0: as long as the challenge
}

// WorkflowStepUp is journey.StepUp by the Workflow API: a page of 1Kosmos that
// works in any browser and sends it back. What metaData it takes besides
// callbackUrl, and all of its result but the state, is our guess.
type WorkflowStepUp struct {
	connector *Connector
	cfg       WorkflowConfig
	now       func() time.Time
}

var _ journey.StepUp = (*WorkflowStepUp)(nil)

// NewWorkflow makes the backend.
func NewWorkflow(connector *Connector, cfg WorkflowConfig, now func() time.Time) *WorkflowStepUp {
	return &WorkflowStepUp{connector, cfg, now}
}

// Backend returns "workflow".
func (u *WorkflowStepUp) Backend() string { return "workflow" }

// Open starts an instance for the user.
func (u *WorkflowStepUp) Open(ctx context.Context, r journey.OpenStepUp) (journey.OpenedStepUp, error) {
	client, err := u.connector.client(ctx)
	if err != nil {
		return journey.OpenedStepUp{}, err
	}
	if err := eligible(ctx, client, r.Request.UserIdentifier); err != nil {
		return journey.OpenedStepUp{}, err
	}
	meta := shown(r)
	meta["username"] = r.Request.UserIdentifier // sealed on the way, and never in the link
	if r.PageURL != "" {
		meta["callbackUrl"] = r.PageURL
	}
	var ends time.Time
	if u.cfg.TTL > 0 {
		ends = u.now().Add(u.cfg.TTL)
	}
	w, err := client.CreateWorkflow(ctx, u.cfg.ID, meta)
	if err != nil {
		return journey.OpenedStepUp{}, translateOpen(err)
	}
	return journey.OpenedStepUp{StepUpSession: proof.StepUpSession{ID: w.ID, URL: w.URL, Returns: true, Secret: keySecret(w.Key)}, Ends: ends}, nil
}

// Poll reads the node. "completed" says only that the person is done, so a match
// takes more: an answer that came sealed, says match and names the very user. The
// seal ties it to this instance; that it is 1Kosmos' proves no more than TLS does.
func (u *WorkflowStepUp) Poll(ctx context.Context, p journey.PollStepUp) (journey.StepUpProgress, error) {
	var none journey.StepUpProgress
	client, err := u.connector.client(ctx)
	if err != nil {
		return none, err
	}
	key, err := secretKey(p.Secret)
	if err != nil {
		return none, err
	}
	r, err := client.WorkflowNode(ctx, blockid.WorkflowInstance{ID: p.ID, Key: key}, u.cfg.Node)
	if err != nil {
		return none, translate(err)
	}
	x, broken := readExtension(r.Body)
	result := strings.ToLower(text(r.Body, "match_result"))
	switch r.Status {
	case blockid.WorkflowPending, blockid.WorkflowStarted:
		return stillPending, nil
	case blockid.WorkflowExpired:
		return sessionOver, nil
	case blockid.WorkflowFailed:
		if result == wireNoMatch || x.reason() != "" {
			return refusal(x.reason()), nil
		}
		return journey.StepUpProgress{Status: proof.ChallengeFailed, Reason: proof.ReasonProviderRejected}, nil
	case blockid.WorkflowCompleted:
		switch result {
		case wireNoMatch:
			return refusal(x.reason()), nil
		case wireMatch:
			if !r.Sealed {
				return none, &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonAnswerUntrusted, Message: "1Kosmos sent a match that is not sealed"}
			}
			switch user := text(r.Body, "username"); {
			case user == "":
				return none, unknownState()
			case !blockid.SameUser(user, p.UserIdentifier):
				return someoneElse, nil
			}
			return matched(x, broken)
		}
	}
	return none, unknownState()
}
