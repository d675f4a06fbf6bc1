package journey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Poll handles JobPoll: it reads the truth from the upstream and, when it is
// terminal, finishes the verification. It returns when to poll again, zero for
// never.
func (s *Service) Poll(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	v, subject, err := s.load(ctx, j.Tenant, j.Key)
	if errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil || v.Status != proof.InProgress {
		return time.Time{}, err
	}
	tenant, err := s.tenant(v.Tenant)
	if err != nil {
		return time.Time{}, err
	}
	slot := s.slots[v.Tenant]
	select {
	case slot <- struct{}{}:
		defer func() { <-slot }()
	default:
		return s.Now().Add(tenant.PollFirst), nil
	}
	v, pause, err := s.poll(ctx, tenant, v, subject)
	if err != nil || v.Status.Terminal() {
		return time.Time{}, err
	}
	next := s.Now().Add(max(pause, distance(tenant, s.Now().Sub(v.ConsentAt))))
	if !next.Before(v.ExpiresAt) {
		return time.Time{}, nil // JobExpire polls one last time
	}
	return next, nil
}

// distance between two polls grows with the time that the person has taken so far.
func distance(t *Tenant, elapsed time.Duration) time.Duration {
	return max(t.PollFirst, min(elapsed/8, t.PollMax))
}

// poll asks once and stores what it learned. pause is how long to wait at least
// before asking again.
func (s *Service) poll(ctx context.Context, tenant *Tenant, v *proof.Verification, subject *proof.Subject) (_ *proof.Verification, pause time.Duration, err error) {
	asking, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	var progress Progress
	if v.Upstream.Profile == tenant.Upstream.Profile() {
		progress, err = tenant.Upstream.Poll(asking, v.Upstream)
	} else {
		err = &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamRejected, Message: "the session was opened over another profile than is configured now"}
	}
	if ctx.Err() != nil {
		return v, 0, ctx.Err()
	}
	if err != nil {
		pause = tenant.PollMax
		if e, ok := errors.AsType[*proof.Error](err); ok {
			pause = max(pause, e.RetryAfter)
		}
		v, err = s.pollFailed(ctx, tenant, v, err)
		return v, pause, err
	}
	if progress.Status.Terminal() {
		v, err = s.conclude(ctx, tenant, v, subject, progress)
		return v, 0, err
	}
	if v.Reason != "" || v.PollFailures != 0 {
		v, err = s.change(ctx, v.ID, func(_ Tx, v *proof.Verification) (bool, error) {
			if v.Status.Terminal() {
				return false, nil
			}
			v.Reason, v.PollFailures = "", 0
			return true, nil
		})
	}
	return v, 0, err
}

// pollFailed remembers what is in the way, so that a caller can see it, and gives
// up when the upstream says the same permanent thing too often.
func (s *Service) pollFailed(ctx context.Context, tenant *Tenant, v *proof.Verification, cause error) (*proof.Verification, error) {
	reason := proof.ReasonOf(cause)
	var e *proof.Error
	temporary := errors.As(cause, &e) && e.Temporary
	s.Logger.WarnContext(ctx, "poll failed", "verification", v.ID, "reason", reason, "temporary", temporary, "error", cause)
	return s.change(ctx, v.ID, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status.Terminal() {
			return false, nil
		}
		if temporary {
			changed := v.Reason != reason
			v.Reason = reason
			return changed, nil
		}
		v.Reason = reason
		v.PollFailures++
		if v.PollFailures >= tenant.PollGiveUp {
			return true, s.finish(tx, v, "job", proof.Failed, reason)
		}
		return true, nil
	})
}

// conclude turns the upstream's terminal answer into ours.
func (s *Service) conclude(ctx context.Context, tenant *Tenant, v *proof.Verification, subject *proof.Subject, p Progress) (*proof.Verification, error) {
	status, reason := p.Status, p.Reason
	request, err := s.request(subject, v)
	if err != nil {
		return v, err
	}
	switch kind := p.Outcome.Claims.DocumentType; {
	case status != proof.Verified:
	case kind != "" && v.DocumentType != "" && kind != v.DocumentType:
		status, reason = proof.Failed, proof.ReasonDocumentType
	case !expected(request.Expected, p.Outcome.Claims):
		status, reason = proof.Failed, proof.ReasonExpectedMismatch
	}
	var level granted
	if status == proof.Verified {
		if level, err = s.level(ctx, tenant, v, request, p); err != nil {
			// The session's result stays readable, so the level is asked for again with the
			// next poll. An answer that never comes costs the level, not the verdict.
			var e *proof.Error
			if errors.As(err, &e) && e.Temporary && v.LevelTries+1 < tenant.PollGiveUp && s.Now().Before(v.ExpiresAt) {
				return s.levelLater(ctx, v, proof.ReasonOf(err))
			}
			s.Logger.WarnContext(ctx, "no level: 1Kosmos could not be asked", "verification", v.ID, "error", err)
		}
	}
	p.Outcome.At = s.Now()
	plain, err := json.Marshal(p.Outcome)
	if err != nil {
		return v, fmt.Errorf("encoding the outcome: %w", err)
	}
	sealed, err := s.Vault.Seal(subject.WrappedKey, place(v, "outcome"), plain)
	if err != nil {
		return v, fmt.Errorf("sealing the outcome: %w", err)
	}
	return s.change(ctx, v.ID, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status.Terminal() {
			return false, nil
		}
		v.SealedOutcome = sealed
		v.IALLevel, v.IALSource, v.IALExpiresAt = level.Level, level.Source, level.ExpiresAt
		if level.Level != "" {
			if err := tx.InsertAssurance(&proof.Assurance{
				ID: proof.NewID(), Tenant: v.Tenant, Subject: v.Subject, Verification: v.ID, Level: level.Level,
				Source: level.Source, GrantedAt: s.Now(), ExpiresAt: level.ExpiresAt,
			}); err != nil {
				return false, err
			}
		}
		return true, s.finish(tx, v, "job", status, reason)
	})
}

func (s *Service) levelLater(ctx context.Context, v *proof.Verification, reason proof.Reason) (*proof.Verification, error) {
	return s.change(ctx, v.ID, func(_ Tx, v *proof.Verification) (bool, error) {
		if v.Status.Terminal() {
			return false, nil
		}
		v.Reason = reason
		v.LevelTries++
		return true, nil
	})
}

type granted struct {
	Level, Source string
	ExpiresAt     time.Time
}

// level finds who may say which level was reached: 1Kosmos for this session,
// 1Kosmos for the enrolled user, an explicit rule of the operator, or nobody.
func (s *Service) level(ctx context.Context, t *Tenant, v *proof.Verification, r proof.Request, p Progress) (granted, error) {
	if p.Asserted.Level != "" && (p.Asserted.ExpiresAt.IsZero() || p.Asserted.ExpiresAt.After(s.Now())) {
		return granted{p.Asserted.Level, "1kosmos_session", p.Asserted.ExpiresAt}, nil
	}
	if v.Named {
		a, err := t.Upstream.Assurance(ctx, r.UserIdentifier)
		if err != nil {
			return granted{}, err
		}
		if a.Level != "" && (a.ExpiresAt.IsZero() || a.ExpiresAt.After(s.Now())) {
			return granted{a.Level, "1kosmos_ial", a.ExpiresAt}, nil
		}
	}
	for _, rule := range t.Policy {
		if !rule.holds(v, p.Outcome.Checks) {
			continue
		}
		g := granted{Level: rule.Level, Source: "policy:" + rule.Name}
		if rule.ValidFor > 0 {
			g.ExpiresAt = s.Now().Add(rule.ValidFor)
		}
		if doe, err := time.Parse(time.DateOnly, p.Outcome.Claims.ExpiryDate); err == nil {
			if end := doe.AddDate(0, 0, 1); g.ExpiresAt.IsZero() || end.Before(g.ExpiresAt) {
				g.ExpiresAt = end
			}
		}
		if g.ExpiresAt.IsZero() || !g.ExpiresAt.After(s.Now()) {
			continue // a level that is over already, or would never be
		}
		return g, nil
	}
	return granted{}, nil
}

func (r *AssuranceRule) holds(v *proof.Verification, checks []proof.Check) bool {
	if len(r.Liveness) > 0 && !slices.Contains(r.Liveness, v.Liveness) ||
		len(r.DocumentTypes) > 0 && !slices.Contains(r.DocumentTypes, v.DocumentType) ||
		len(r.DVCs) > 0 && !slices.Contains(r.DVCs, v.Upstream.DVC) {
		return false
	}
	for _, name := range r.Checks {
		passed := slices.ContainsFunc(checks, func(c proof.Check) bool { return c.Name == name && c.Outcome == proof.CheckPass })
		if !passed {
			return false
		}
	}
	return true
}

// finish moves v to a terminal state, writes the audit record and queues the purge.
func (s *Service) finish(tx Tx, v *proof.Verification, actor string, status proof.Status, reason proof.Reason) error {
	if err := v.Finish(s.Now(), status, reason); err != nil {
		return err
	}
	detail := map[string]string{}
	if v.IALLevel != "" {
		detail["ial_level"], detail["ial_source"] = v.IALLevel, v.IALSource
	}
	if err := s.audit(tx, v.Tenant, actor, "verification."+string(status), v.ID, reason, detail); err != nil {
		return err
	}
	v.LevelTries = 0
	for _, kind := range []string{JobPoll, JobExpire} {
		if err := tx.CancelJobs(v.Tenant, kind, v.ID); err != nil {
			return err
		}
	}
	if err := s.ended(tx, v.Tenant, "verification:"+v.ID); err != nil {
		return err
	}
	var retention time.Duration // of a tenant that is configured no longer: none
	if tenant, ok := s.tenants[v.Tenant]; ok {
		retention = tripOf(v).keep(tenant)
	}
	return tx.Enqueue(proof.NewJob(v.Tenant, JobPurge, v.ID, s.Now().Add(retention)))
}

// Expire handles JobExpire: at the deadline a verification that is still open is
// asked about one last time and then ends as expired.
func (s *Service) Expire(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	v, subject, err := s.load(ctx, j.Tenant, j.Key)
	if errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil || v.Status.Terminal() {
		return time.Time{}, err
	}
	if s.Now().Before(v.ExpiresAt) {
		return v.ExpiresAt, nil
	}
	if tenant, ok := s.tenants[v.Tenant]; ok && v.Status == proof.InProgress {
		if v, _, err = s.poll(ctx, tenant, v, subject); err != nil || v.Status.Terminal() {
			return time.Time{}, err
		}
	}
	_, err = s.change(ctx, v.ID, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status.Terminal() {
			return false, nil
		}
		reason := v.Reason
		if reason == "" {
			reason = proof.ReasonTimeLimit
		}
		return true, s.finish(tx, v, "job", proof.Expired, reason)
	})
	return time.Time{}, err
}

// Purge handles JobPurge: after the retention time everything personal goes.
func (s *Service) Purge(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = WithoutHurry(ctx)
	var subject string
	_, err := s.change(ctx, j.Key, func(tx Tx, v *proof.Verification) (bool, error) {
		subject = v.Subject
		if !v.Status.Terminal() || !v.PurgedAt.IsZero() {
			return false, nil
		}
		v.SealedRequest, v.SealedOutcome, v.Upstream.SealedURL, v.External.Sealed, v.RequestHash = nil, nil, nil, nil, nil
		v.PurgedAt = s.Now()
		return true, s.audit(tx, v.Tenant, "job", "verification.purged", v.ID, "", nil)
	})
	if err == nil {
		err = s.ForgetIfNothingIsLeft(ctx, j.Tenant, subject)
	}
	if errors.Is(err, errLinkEnded) || errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	return time.Time{}, err
}

// ForgetIfNothingIsLeft erases a subject when nothing needs it: no verification or
// challenge with data, no assurance in force, no logins that are remembered.
func (s *Service) ForgetIfNothingIsLeft(ctx context.Context, tenant, id string) error {
	return s.update(ctx, func(tx Tx) error {
		subject, err := tx.Subject(tenant, id)
		if err != nil || !subject.ErasedAt.IsZero() {
			return err
		}
		verifications, err := tx.VerificationsOf(tenant, id)
		if err != nil {
			return err
		}
		challenges, err := tx.ChallengesOf(tenant, id)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(verifications, func(v *proof.Verification) bool { return v.PurgedAt.IsZero() }) ||
			slices.ContainsFunc(challenges, func(c *proof.Challenge) bool { return c.PurgedAt.IsZero() }) {
			return nil
		}
		if kept, err := tx.Remembered(tenant, id); err != nil || kept {
			return err
		}
		granted, err := tx.AssurancesOf(tenant, subject.ID)
		if err != nil {
			return err
		}
		if slices.ContainsFunc(granted, func(a *proof.Assurance) bool {
			return a.RevokedAt.IsZero() && (a.ExpiresAt.IsZero() || a.ExpiresAt.After(s.Now()))
		}) {
			return nil
		}
		if err := tx.EraseSubject(tenant, subject.ID, s.Now()); err != nil {
			return err
		}
		return s.auditSubject(tx, tenant, "job", "subject.forgotten", subject.ID)
	})
}

func (s *Service) auditSubject(tx Tx, tenant, actor, action, subject string) error {
	return s.record(tx, tenant, actor, action, "subject:"+subject, "", nil)
}

// Erased says what Erase did.
type Erased struct {
	Subject       string `json:"subject"`
	Verifications int    `json:"verifications"` // sealed data of so many was dropped
	Challenges    int    `json:"challenges"`    // likewise
	Assurances    int    `json:"assurances"`    // so many were revoked
}

// Erase forgets a person: open verifications and challenges end, assurances are revoked, and
// the key that everything personal is sealed under is dropped. subject is the
// customer's user identifier, the id of one of their verifications or challenges, or
// our subject id. An unknown one is ErrNotFound.
func (s *Service) Erase(ctx context.Context, tenant, subject string) (done Erased, err error) {
	err = s.update(ctx, func(tx Tx) error {
		done = Erased{}
		found, err := tx.SubjectByLookup(tenant, s.lookup(tenant, subject))
		if errors.Is(err, proof.ErrNotFound) && uuid.Validate(subject) == nil {
			id := strings.ToLower(subject)
			if v, e := tx.Verification(tenant, id); e == nil {
				id = v.Subject
			} else if c, e := tx.Challenge(tenant, id); e == nil {
				id = c.Subject
			}
			found, err = tx.Subject(tenant, id)
		}
		if err != nil {
			return err
		}
		if !found.ErasedAt.IsZero() {
			return proof.ErrNotFound
		}
		done.Subject = found.ID
		list, err := tx.VerificationsOf(tenant, found.ID)
		if err != nil {
			return err
		}
		for _, v := range list {
			if !v.Status.Terminal() {
				if err := s.finish(tx, v, "operator", proof.Failed, proof.ReasonErased); err != nil {
					return err
				}
				if err := tx.UpdateVerification(v); err != nil {
					return err
				}
			}
			if v.SealedRequest != nil {
				done.Verifications++
			}
		}
		challenges, err := tx.ChallengesOf(tenant, found.ID)
		if err != nil {
			return err
		}
		for _, c := range challenges {
			if c.SealedRequest != nil {
				done.Challenges++
			}
			if c.Status.Terminal() {
				continue
			}
			if err := s.finishChallenge(tx, c, "operator", proof.Verdict{Status: proof.ChallengeFailed, Reason: proof.ReasonErased}); err != nil {
				return err
			}
			if err := tx.UpdateChallenge(c); err != nil {
				return err
			}
		}
		if done.Assurances, err = tx.RevokeAssurances(tenant, found.ID, s.Now()); err != nil {
			return err
		}
		if err := tx.EraseSubject(tenant, found.ID, s.Now()); err != nil {
			return err
		}
		if err := s.ended(tx, tenant, "subject:"+found.ID); err != nil {
			return err
		}
		return s.auditSubject(tx, tenant, "operator", "subject.erased", found.ID)
	})
	return done, err
}

// Handlers are the job handlers of this package, by kind. Ending a verification or
// challenge and dropping its data are owed whatever goes wrong, so these are never put
// aside: each of their errors counts as one that time may mend.
func (s *Service) Handlers() map[string]func(context.Context, proof.Job) (time.Time, error) {
	return map[string]func(context.Context, proof.Job) (time.Time, error){
		JobPoll: s.Poll, JobExpire: owed(s.Expire), JobPurge: owed(s.Purge),
		JobChallengePoll: s.PollChallenge, JobChallengeExpire: owed(s.ExpireChallenge), JobChallengePurge: owed(s.PurgeChallenge),
	}
}

func owed(handler func(context.Context, proof.Job) (time.Time, error)) func(context.Context, proof.Job) (time.Time, error) {
	return func(ctx context.Context, j proof.Job) (time.Time, error) {
		next, err := handler(ctx, j)
		if e, ok := errors.AsType[*proof.Error](err); err != nil && !(ok && e.Temporary) {
			err = &proof.Error{Code: proof.CodeOf(err), Reason: proof.ReasonOf(err), Message: "a job that is owed failed", Temporary: true, Err: err}
		}
		return next, err
	}
}

// expected compares what the caller believes with what the document says. A
// field that the caller named and the document does not have is a mismatch.
func expected(e proof.Expected, c proof.Claims) bool {
	return (e.BirthDate == "" || e.BirthDate == c.BirthDate) &&
		(e.FamilyName == "" || proof.SameName(e.FamilyName, c.FamilyName)) &&
		(e.GivenName == "" || proof.GivenNameWithin(e.GivenName, c.GivenName))
}
