package journey

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// facePatience is how long one poll of a challenge may take: somebody is waiting.
const facePatience = 8 * time.Second

// lastLook is how long before the deadline a challenge is polled for the last time.
const lastLook = time.Second

// PollChallenge handles JobChallengePoll: it reads the truth from 1Kosmos and
// finishes the challenge, or opens another session when one has ended without an
// answer. It returns when to poll again, zero for never.
func (s *Service) PollChallenge(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	c, subject, err := s.loadChallenge(ctx, j.Tenant, j.Key)
	if errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil || c.Status.Terminal() || !s.Now().Before(c.ExpiresAt) {
		return time.Time{}, err // JobChallengeExpire ends it
	}
	tenant, err := s.tenant(c.Tenant)
	if err != nil {
		return time.Time{}, err
	}
	if c.Link.BrowserHash == nil && c.SealedSession == nil {
		return time.Time{}, nil // nobody is there; opening the link polls again
	}
	slot := s.faces[c.Tenant]
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	default:
		return s.Now().Add(tenant.StepUp.Poll), nil
	}
	if _, busy := s.opening.LoadOrStore(c.ID, true); busy { // the page is at it
		return s.Now().Add(tenant.StepUp.Poll), nil
	}
	defer s.opening.Delete(c.ID)
	asking, cancel := context.WithTimeout(ctx, facePatience)
	defer cancel()
	c, pause, err := s.pollChallenge(asking, c, subject)
	if err != nil || c.Status.Terminal() {
		return time.Time{}, err
	}
	next := s.Now().Add(max(pause, tenant.StepUp.Poll))
	if c.Link.BrowserHash == nil {
		next = s.Now().Add(max(pause, tenant.PollMax))
	}
	if last := c.ExpiresAt.Add(-lastLook); next.After(last) && s.Now().Before(last) {
		next = last
	}
	if !next.Before(c.ExpiresAt) {
		return time.Time{}, nil
	}
	return next, nil
}

// pollChallenge asks once and stores what it learned. pause is how long to wait at
// least before asking again.
func (s *Service) pollChallenge(ctx context.Context, c *proof.Challenge, subject *proof.Subject) (_ *proof.Challenge, pause time.Duration, err error) {
	tenant, err := s.tenant(c.Tenant)
	if err != nil {
		return c, 0, err
	}
	var r proof.ChallengeRequest
	if err := s.openJSON(subject, c, "request", c.SealedRequest, &r); err != nil {
		return c, 0, err
	}
	if c.SealedSession == nil {
		return s.renew(ctx, tenant, c, subject, r)
	}
	var session proof.StepUpSession
	if err := s.openJSON(subject, c, "session", c.SealedSession, &session); err != nil {
		return c, 0, err
	}
	var progress StepUpProgress
	if backend := tenant.StepUp.Backend; backend != nil && backend.Backend() == c.Backend {
		progress, err = backend.Poll(ctx, PollStepUp{StepUpSession: session, UserIdentifier: r.UserIdentifier})
	} else {
		err = &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamRejected, Message: "the challenge was begun over another backend than is configured now"}
	}
	if err != nil {
		return s.faceless(ctx, tenant, c, subject, r, err)
	}
	switch progress.Status {
	case proof.ChallengePending:
		if c.Reason == "" {
			return c, 0, nil
		}
		c, err = s.noteChallenge(ctx, c.ID, "")
		return c, 0, err
	case proof.ChallengeExpired: // the session, not the challenge
		return s.renew(ctx, tenant, c, subject, r)
	}
	v := proof.Verdict{Status: progress.Status, Reason: progress.Reason, Confidence: progress.Confidence, Liveness: progress.Liveness}
	if v.Confidence != nil {
		v.Basis = proof.BasisProviderScore
	}
	if v.Status == proof.ChallengeMatch && v.Liveness == proof.LivenessNone && !tenant.StepUp.WithoutLiveness {
		v = proof.Verdict{Status: proof.ChallengeFailed, Reason: proof.ReasonLivenessUnavailable, Liveness: v.Liveness}
	}
	c, err = s.concludeChallenge(ctx, c.ID, r.UserIdentifier, v)
	return c, 0, err
}

// concludeChallenge stores a verdict, unless there is one already.
func (s *Service) concludeChallenge(ctx context.Context, id, user string, v proof.Verdict) (*proof.Challenge, error) {
	return s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (bool, error) {
		if c.Status.Terminal() {
			return false, nil
		}
		if err := s.finishChallenge(tx, c, "job", v); err != nil {
			return false, err
		}
		if c.Status != proof.ChallengeNoMatch {
			return true, nil
		}
		if c.Network != nil {
			if err := tx.Hit(c.Tenant, limitNetworkFailures, c.Network, s.Now()); err != nil {
				return false, err
			}
		}
		return true, tx.Hit(c.Tenant, limitSubjectFailures, s.limitKey(c.Tenant, ofUser(user)), s.Now())
	})
}

// spoilt are the reasons for which the answer to a session is worth nothing and
// stays so: only another session can bring a better one.
var spoilt = []proof.Reason{
	proof.ReasonAnswerKey, proof.ReasonAnswerUntrusted, proof.ReasonAnswerReplayed, proof.ReasonUpstreamCiphertext, proof.ReasonUpstreamMalformed,
}

// faceless remembers what is in the way. An answer that cannot be believed changes
// nothing but that the next one is asked for in another session; when it goes on
// like that, the challenge fails.
func (s *Service) faceless(ctx context.Context, tenant *Tenant, c *proof.Challenge, subject *proof.Subject, r proof.ChallengeRequest, cause error) (*proof.Challenge, time.Duration, error) {
	if errors.Is(ctx.Err(), context.Canceled) { // shutting down, or the page was closed: nothing was learned
		return c, 0, ctx.Err()
	}
	asking := ctx
	ctx = context.WithoutCancel(ctx) // what was learned is written down
	reason := proof.ReasonOf(cause)
	var e *proof.Error
	temporary := errors.As(cause, &e) && e.Temporary || errors.Is(cause, context.DeadlineExceeded)
	s.Logger.WarnContext(ctx, "poll of a challenge failed", "challenge", c.ID, "reason", reason, "temporary", temporary, "error", cause)
	if temporary {
		pause := tenant.StepUp.Poll
		if e != nil {
			pause = max(pause, e.RetryAfter)
		}
		c, err := s.noteChallenge(ctx, c.ID, reason)
		return c, pause, err
	}
	sessions := c.Sessions
	c, err := s.changeChallenge(ctx, c.ID, func(tx Tx, c *proof.Challenge) (bool, error) {
		if c.Status.Terminal() || c.Sessions != sessions || !s.Now().Before(c.ExpiresAt) {
			return false, nil
		}
		c.Reason = reason
		if c.PollFailures++; c.PollFailures >= tenant.PollGiveUp {
			return true, s.finishChallenge(tx, c, "job", proof.Verdict{Status: proof.ChallengeFailed, Reason: reason})
		}
		if slices.Contains(spoilt, reason) {
			c.DropSession()
			if err := s.auditChallenge(tx, c, "job", "challenge.answer_refused", reason, nil); err != nil {
				return false, err
			}
		}
		return true, nil
	})
	if err != nil || c.Status.Terminal() || c.SealedSession != nil {
		return c, 0, err
	}
	return s.renew(asking, tenant, c, subject, r)
}

// renew opens the next upstream session, if somebody is there to answer it.
func (s *Service) renew(ctx context.Context, tenant *Tenant, c *proof.Challenge, subject *proof.Subject, r proof.ChallengeRequest) (*proof.Challenge, time.Duration, error) {
	before := c.Sessions
	mine := func(c *proof.Challenge) bool { // nobody else was quicker
		return !c.Status.Terminal() && c.Sessions == before && s.Now().Before(c.ExpiresAt)
	}
	if c.Link.BrowserHash == nil {
		c, err := s.changeChallenge(ctx, c.ID, func(_ Tx, c *proof.Challenge) (bool, error) {
			if !mine(c) || c.Link.BrowserHash != nil {
				return false, nil
			}
			c.DropSession()
			return true, nil
		})
		return c, 0, err
	}
	caller, _ := s.Callers(c.Tenant, c.Caller)
	var opened OpenedStepUp
	err := error(&proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonTooManyAttempts, Message: "too many upstream sessions for one challenge"})
	if before < tenant.sessionsFor(c) && tenant.StepUp.Backend != nil && tenant.StepUp.Backend.Backend() == c.Backend {
		opened, err = tenant.StepUp.Backend.Open(ctx, s.openStepUp(caller, c, r))
	}
	if err != nil {
		reason := proof.ReasonOf(err)
		if slices.Contains(refusals, reason) {
			c, err := s.concludeChallenge(context.WithoutCancel(ctx), c.ID, r.UserIdentifier, proof.Verdict{Status: proof.ChallengeFailed, Reason: reason})
			return c, 0, err
		}
		s.Logger.WarnContext(ctx, "upstream session for a challenge not renewed", "challenge", c.ID, "reason", reason, "error", err)
		pause := tenant.StepUp.Poll
		if e, ok := errors.AsType[*proof.Error](err); ok {
			pause = max(pause, e.RetryAfter)
		}
		c, err := s.changeChallenge(context.WithoutCancel(ctx), c.ID, func(_ Tx, c *proof.Challenge) (bool, error) {
			if !mine(c) {
				return false, nil
			}
			c.DropSession()
			c.Reason, c.SessionEnds = reason, s.Now().Add(pause) // not before then
			return true, nil
		})
		return c, pause, err
	}
	c, err = s.changeChallenge(context.WithoutCancel(ctx), c.ID, func(tx Tx, c *proof.Challenge) (bool, error) {
		if !mine(c) {
			return false, nil // our session is forgotten and expires upstream
		}
		c.Sessions++
		c.Reason = ""
		if err := s.keepSession(subject, c, opened); err != nil {
			return false, err
		}
		return true, tx.Enqueue(proof.NewJob(c.Tenant, JobChallengePoll, c.ID, s.Now().Add(tenant.StepUp.Poll)))
	})
	return c, 0, err
}

// noteChallenge remembers what is in the way of a pending challenge, "" for nothing.
func (s *Service) noteChallenge(ctx context.Context, id string, reason proof.Reason) (*proof.Challenge, error) {
	return s.changeChallenge(ctx, id, func(_ Tx, c *proof.Challenge) (bool, error) {
		if c.Status.Terminal() || c.Reason == reason || !s.Now().Before(c.ExpiresAt) {
			return false, nil
		}
		c.Reason = reason
		return true, nil
	})
}

// finishChallenge moves c to a terminal state, writes the audit record and queues
// the purge.
func (s *Service) finishChallenge(tx Tx, c *proof.Challenge, actor string, v proof.Verdict) error {
	if err := c.Finish(s.Now(), v); err != nil {
		return err
	}
	detail := map[string]string{"backend": c.Backend}
	if c.Liveness != "" {
		detail["liveness"] = string(c.Liveness)
	}
	if err := s.auditChallenge(tx, c, actor, "challenge."+string(c.Status), c.Reason, detail); err != nil {
		return err
	}
	for _, kind := range []string{JobChallengePoll, JobChallengeExpire} {
		if err := tx.CancelJobs(c.Tenant, kind, c.ID); err != nil {
			return err
		}
	}
	if s.OnVerdict != "" && c.DecisionID != "" && (c.Status == proof.ChallengeMatch || c.Status == proof.ChallengeNoMatch) {
		if err := tx.Enqueue(proof.NewJob(c.Tenant, s.OnVerdict, c.ID, s.Now())); err != nil {
			return err
		}
	}
	if err := s.ended(tx, c.Tenant, "challenge:"+c.ID); err != nil {
		return err
	}
	var retention time.Duration // of a tenant that is configured no longer: none
	if tenant, ok := s.tenants[c.Tenant]; ok {
		retention = tripOfChallenge(c).keep(tenant)
	}
	return tx.Enqueue(proof.NewJob(c.Tenant, JobChallengePurge, c.ID, s.Now().Add(retention)))
}

// pollNow makes the job look at once.
func (s *Service) pollNow(tx Tx, c *proof.Challenge) error {
	return tx.Enqueue(proof.NewJob(c.Tenant, JobChallengePoll, c.ID, s.Now()))
}

// ExpireChallenge handles JobChallengeExpire.
func (s *Service) ExpireChallenge(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	c, _, err := s.loadChallenge(ctx, j.Tenant, j.Key)
	if errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	if err == nil {
		c, err = s.timeOut(ctx, c)
	}
	if err != nil || c.Status.Terminal() {
		return time.Time{}, err
	}
	return c.ExpiresAt, nil // too early
}

// PurgeChallenge handles JobChallengePurge: after the retention time everything
// personal goes, and with it the counts that no limit looks at any more.
func (s *Service) PurgeChallenge(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	var subject string
	_, err := s.changeChallenge(ctx, j.Key, func(tx Tx, c *proof.Challenge) (bool, error) {
		subject = c.Subject
		if !c.Status.Terminal() || !c.PurgedAt.IsZero() {
			return false, nil
		}
		c.SealedRequest, c.SealedSession, c.External.Sealed, c.RequestHash, c.Network = nil, nil, nil, nil, nil
		c.PurgedAt = s.Now()
		if _, err := tx.PurgeHits(c.Tenant, s.Now().Add(-s.longestLimit(c.Tenant))); err != nil {
			return false, err
		}
		return true, s.auditChallenge(tx, c, "job", "challenge.purged", "", nil)
	})
	if err == nil {
		err = s.ForgetIfNothingIsLeft(ctx, j.Tenant, subject)
	}
	if errors.Is(err, errLinkEnded) || errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	return time.Time{}, err
}

// countedFor is how far back rules may count (door C): windows of a day, of events that
// may come a day late.
const countedFor = 49 * time.Hour

func (s *Service) longestLimit(tenant string) time.Duration {
	t, ok := s.tenants[tenant]
	if !ok {
		return 0
	}
	l := t.StepUp.Limits
	return max(l.SubjectStarts.Per, l.SubjectFailures.Per, l.CallerStarts.Per, l.NetworkOpens.Per, l.NetworkFailures.Per, countedFor) + time.Minute
}

func (s *Service) loadChallenge(ctx context.Context, tenant, id string) (c *proof.Challenge, subject *proof.Subject, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		if c, err = tx.Challenge(tenant, id); err != nil {
			return err
		}
		subject, err = tx.Subject(tenant, c.Subject)
		return err
	})
	return c, subject, err
}
