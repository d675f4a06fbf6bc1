package in

import (
	"context"
	"errors"
	"mime"
	"net/http"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// Actions of the answers to hooks.
const (
	Continue = "continue"
	StepUp   = "step_up"
	Verify   = "verify"
	Deny     = "deny"
)

// Answer is what both hooks answer. Every member is always there; null means that there
// is nothing to say.
type Answer struct {
	Action       string   `json:"action"`
	DecisionID   *string  `json:"decision_id"`
	Reasons      []string `json:"reasons"`
	Reason       *string  `json:"reason"` // the first of reasons: templates reach into no list
	ChallengeURL *string  `json:"challenge_url"`
	ChallengeID  *string  `json:"challenge_id"`
	SessionURL   *string  `json:"session_url"`
	SessionID    *string  `json:"session_id"`
	ExpiresAt    *string  `json:"expires_at"` // of the link
	RetryAt      *string  `json:"retry_at"`   // with too_many_attempts: when there is room again, if that is known
}

// hook serves one of the hooks: a POST with a JSON object by a known caller.
func (d *door) hook(serve func(ctx context.Context, c *call, body []byte) (Answer, error)) func(*call) {
	return func(c *call) {
		ctx, cancel := context.WithTimeout(c.r.Context(), hookTime)
		defer cancel()
		buf, err := c.read(maxHookBody)
		if err != nil {
			c.refuse(err)
			return
		}
		defer d.bodies.Put(buf)
		if c.Caller, err = d.Callers.Authenticate(c.r, buf.Bytes()); err != nil {
			c.refuse(err)
			return
		}
		if ct, _, err := mime.ParseMediaType(c.r.Header.Get("Content-Type")); err != nil || ct != "application/json" {
			c.refuse(proof.Invalid("", "Content-Type must be application/json"))
			return
		}
		a, err := serve(ctx, c, buf.Bytes())
		if err != nil {
			c.refuse(err)
			return
		}
		if a.Reasons == nil {
			a.Reasons = []string{}
		}
		if len(a.Reasons) > 0 {
			a.Reason = &a.Reasons[0]
			c.Reason = proof.Reason(a.Reasons[0])
		}
		c.answer(http.StatusOK, a)
	}
}

// preLogin says how a login is to begin for somebody who typed an identifier.
func (d *door) preLogin(ctx context.Context, c *call, body []byte) (Answer, error) {
	in, err := connector.ReadPreLogin(body)
	if err != nil {
		return Answer{}, err
	}
	if err := mayCallBack(c.Caller, in.CallbackURL); err != nil {
		return Answer{}, err
	}
	who := d.stranger(c.Caller.Tenant, in.Identifier, in.Login.IP)
	full, err := d.admit(ctx, c.Caller, who)
	if err != nil { // what cannot be counted is not let through
		return Answer{Action: StepUp, Reasons: []string{d.trouble(ctx, c, "counting a call", err)}}, nil
	}
	if full {
		return Answer{Action: Deny, Reasons: []string{string(proof.ReasonTooManyAttempts)}, RetryAt: timestamp(d.Now().Add(d.Limits.Window))}, nil
	}
	out := d.weigh(ctx, c, who, in.Login)
	if out.Action != StepUp {
		return out, nil
	}
	return out, d.challenge(ctx, c, who, in, &out)
}

// weigh asks the risk about a login of a stranger: not about the account, whose history
// would show in the answer.
func (d *door) weigh(ctx context.Context, c *call, who stranger, l risk.Login) Answer {
	if d.Risk == nil {
		return Answer{Action: StepUp, Reasons: []string{string(proof.ReasonUnavailable)}}
	}
	a, err := d.Risk.Evaluate(ctx, c.Caller, decide.Request{UserIdentifier: who.name, Login: l, Unauthenticated: true})
	if err != nil {
		return Answer{Action: StepUp, Reasons: []string{d.trouble(ctx, c, "risk evaluation", err)}}
	}
	out := Answer{Action: StepUp, DecisionID: &a.DecisionID}
	switch a.Verdict { // what is none of these asks for a face
	case risk.Allow:
		out.Action = Continue
	case risk.Deny:
		out.Action = Deny
	}
	for _, r := range a.Reasons {
		out.Reasons = append(out.Reasons, string(r))
	}
	return out
}

// challenge opens one for whoever was typed, if that does not tell who exists. Without
// one, the face is asked for after the login, by the node for it. An error is of the
// caller's making.
func (d *door) challenge(ctx context.Context, c *call, who stranger, in connector.PreLogin, out *Answer) error {
	t := d.tenants[c.Caller.Tenant]
	if t == nil || !t.Discreet {
		return nil
	}
	full, err := d.admitChallenge(ctx, c.Caller.Tenant, who)
	switch {
	case err != nil:
		out.Reasons = append(out.Reasons, d.trouble(ctx, c, "counting a challenge", err))
		return nil
	case full:
		out.Reasons = append(out.Reasons, string(proof.ReasonTooManyAttempts))
		out.RetryAt = timestamp(d.Now().Add(d.Limits.Window))
		return nil
	}
	r := journey.ChallengeStart{
		CallbackURL: in.CallbackURL, IdempotencyKey: in.IdempotencyKey, ExternalAuth: in.ExternalAuth,
		Request: proof.ChallengeRequest{UserIdentifier: in.Identifier, Discreet: true},
	}
	if out.DecisionID != nil {
		r.DecisionID = *out.DecisionID
	}
	if len(out.Reasons) > 0 {
		r.Request.ReasonCode = out.Reasons[0]
	}
	started, err := d.Proofing.StartChallenge(ctx, c.Caller, r)
	switch {
	case callers(err):
		return err
	case err != nil:
		out.Reasons = append(out.Reasons, d.trouble(ctx, c, "opening a challenge", err))
	case started.Refused == proof.ReasonTooManyAttempts:
		out.Reasons = append(out.Reasons, string(started.Refused))
		out.RetryAt = timestamp(started.RetryAt)
	case started.Refused != "": // which would be telling
		out.Reasons = append(out.Reasons, string(proof.ReasonUnavailable))
	default:
		out.ChallengeURL, out.ChallengeID, out.ExpiresAt = &started.ChallengeURL, &started.ChallengeID, timestamp(started.ExpiresAt)
	}
	return nil
}

// postRegistration says whether somebody who just registered has to prove who they are.
func (d *door) postRegistration(ctx context.Context, c *call, body []byte) (Answer, error) {
	in, err := connector.ReadPostRegistration(body)
	if err != nil {
		return Answer{}, err
	}
	if err := mayCallBack(c.Caller, in.CallbackURL); err != nil {
		return Answer{}, err
	}
	var rule Registration
	if t := d.tenants[c.Caller.Tenant]; t != nil {
		rule = t.Registration
	}
	action, why := rule.decide(in.Email, in.EmailVerified)
	out := Answer{Action: action, Reasons: []string{why}}
	id, err := d.decided(ctx, c, action, why)
	if err != nil {
		return Answer{Action: Verify, Reasons: []string{d.trouble(ctx, c, "writing a decision down", err)}}, nil
	}
	out.DecisionID = &id
	if action != Verify {
		return out, nil
	}
	started, err := d.Proofing.Start(ctx, c.Caller, journey.StartRequest{
		DocumentTypes: in.DocumentTypes, Liveness: in.Liveness, CallbackURL: in.CallbackURL, IdempotencyKey: in.IdempotencyKey,
		ExternalAuth: in.ExternalAuth, Request: proof.Request{UserIdentifier: in.UserIdentifier},
	})
	switch {
	case callers(err):
		return Answer{}, err
	case err != nil:
		out.Reasons = append(out.Reasons, d.trouble(ctx, c, "starting a verification", err))
	default:
		out.SessionURL, out.SessionID, out.ExpiresAt = &started.SessionURL, &started.SessionID, timestamp(started.ExpiresAt)
	}
	return out, nil
}

// decided writes a decision about a registration into the trail.
func (d *door) decided(ctx context.Context, c *call, action, why string) (string, error) {
	id := proof.NewID()
	return id, d.update(ctx, func(tx hooks.Tx) error {
		return d.audit(tx, c.Caller, "hook.post_registration", "decision:"+id, "", map[string]string{"action": action, "why": why})
	})
}

// mayCallBack refuses an address that is not the caller's, whatever the answer would be.
func mayCallBack(c proof.Caller, url string) error {
	if url == "" || slices.Contains(c.CallbackURLs, url) {
		return nil
	}
	return &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Field: "callback_url", Message: "callback_url is not on this caller's allow-list"}
}

// callers reports whether an error says that the caller asked for what it may not have.
func callers(err error) bool {
	switch proof.CodeOf(err) {
	case proof.CodeInvalid, proof.CodeForbidden:
		return true
	}
	return proof.ReasonOf(err) == proof.ReasonIdempotencyConflict
}

// trouble tells the log, and makes a reason of it that tells nothing of a person.
func (d *door) trouble(ctx context.Context, c *call, what string, err error) string {
	d.Logger.ErrorContext(ctx, "a hook answered less than it should: "+what+" failed", "tenant", c.Caller.Tenant, "caller", c.Caller.ID,
		"request_id", c.ID, "reason", proof.ReasonOf(err), "error", err)
	if errors.Is(err, context.DeadlineExceeded) {
		return string(proof.ReasonUnavailable)
	}
	switch r := proof.ReasonOf(err); r {
	case proof.ReasonUpstreamTimeout, proof.ReasonUpstreamUnavailable, proof.ReasonUpstreamRateLimited, proof.ReasonRateLimited:
		return string(r)
	}
	return string(proof.ReasonUnavailable)
}

// timestamp is RFC 3339 in UTC with whole seconds; nil for the zero time.
func timestamp(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := t.UTC().Format(time.RFC3339)
	return &s
}
