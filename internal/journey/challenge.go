package journey

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// minTimeout is the shortest deadline of a challenge: nobody is quicker.
const minTimeout = 30 * time.Second

// opening is how long Start waits for 1Kosmos. Descope's browser gives up at 6 s.
const opening = 4 * time.Second

// StartChallenge begins a step-up for a caller. Repeating it with the same
// idempotency key and the same content answers the same again. That there can be
// no challenge for this user now is an answer, not an error.
func (s *Service) StartChallenge(ctx context.Context, c proof.Caller, r ChallengeStart) (ChallengeStarted, error) {
	t, err := s.tenant(c.Tenant)
	if err != nil {
		return ChallengeStarted{}, err
	}
	if err := t.completeChallenge(&r, c); err != nil {
		return ChallengeStarted{}, err
	}
	body, err := json.Marshal(r)
	if err != nil {
		return ChallengeStarted{}, fmt.Errorf("encoding the request: %w", err)
	}
	id := proof.NewID()
	now := s.Now()
	ch := &proof.Challenge{
		ID: id, Tenant: c.Tenant, Caller: c.ID, Status: proof.ChallengePending,
		CallbackURL: r.CallbackURL, DecisionID: r.DecisionID, IdempotencyKey: s.idempotencyKey(c, r.IdempotencyKey),
		RequestHash: s.Vault.MAC(c.Tenant, "challenge", string(body)), Backend: t.StepUp.Backend.Backend(), Sessions: 1,
		Link:      proof.Link{SecretHash: hash(s.challengeSecret(c.Tenant, id)), ExpiresAt: now.Add(r.Timeout)},
		External:  wanted(r.ExternalAuth),
		CreatedAt: now, ExpiresAt: now.Add(r.Timeout),
	}

	// Before 1Kosmos is troubled: is it a repetition, and is there room?
	subject, fresh, err := s.Subject(ctx, c.Tenant, r.Request.UserIdentifier)
	if err != nil {
		return ChallengeStarted{}, err
	}
	var stored *proof.Challenge
	var full *fullUp
	if err := s.Store.View(ctx, func(tx Tx) (err error) {
		if stored, err = repeated(tx, ch); err != nil || stored != nil {
			return err
		}
		if full, err = s.roomForSubject(tx, t, r.Request.UserIdentifier, now); err != nil || full != nil {
			return err
		}
		full, err = s.roomForCaller(tx, t, c, now)
		return err
	}); err != nil {
		return ChallengeStarted{}, err
	}
	if stored != nil {
		return s.challengeStarted(ctx, stored, ch)
	}
	if full != nil {
		return s.refuseChallenge(ctx, c, subject, fresh, r.Request.UserIdentifier, proof.ReasonTooManyAttempts, now.Add(full.Per))
	}

	asking, cancel := context.WithTimeout(ctx, opening)
	defer cancel()
	opened, err := t.StepUp.Backend.Open(asking, s.openStepUp(c, ch, r.Request))
	if reason := proof.ReasonOf(err); err != nil && slices.Contains(refusals, reason) {
		var retry time.Time
		if e, ok := errors.AsType[*proof.Error](err); ok && e.RetryAfter > 0 {
			retry = now.Add(e.RetryAfter)
		}
		return s.refuseChallenge(ctx, c, subject, fresh, r.Request.UserIdentifier, reason, retry)
	}
	if err != nil {
		s.Logger.WarnContext(ctx, "upstream session for a challenge not opened", "tenant", c.Tenant, "caller", c.ID, "reason", proof.ReasonOf(err), "error", err)
		return ChallengeStarted{}, err
	}

	// Two for one user at once are not to slip in together. (Across replicas they
	// might: to count and read in one transaction would make all callers wait for
	// each other on PostgreSQL.)
	turn := &s.turns[crc32.ChecksumIEEE([]byte(foldUser(r.Request.UserIdentifier)))%uint32(len(s.turns))]
	turn.Lock()
	defer turn.Unlock()
	if err := s.Store.View(ctx, func(tx Tx) (err error) {
		full, err = s.roomForSubject(tx, t, r.Request.UserIdentifier, now)
		return err
	}); err != nil {
		return ChallengeStarted{}, err
	}
	if full != nil {
		return s.refuseChallenge(ctx, c, subject, fresh, r.Request.UserIdentifier, proof.ReasonTooManyAttempts, now.Add(full.Per))
	}
	for try := range 8 {
		if try > 0 { // whether what was read above still holds, the transaction sees
			if subject, fresh, err = s.Subject(ctx, c.Tenant, r.Request.UserIdentifier); err != nil {
				return ChallengeStarted{}, err
			}
		}
		ch.Subject = subject.ID
		if ch.SealedRequest, err = s.sealJSON(subject, ch, "request", r.Request); err != nil {
			return ChallengeStarted{}, err
		}
		if err = s.keepSession(subject, ch, opened); err != nil {
			return ChallengeStarted{}, err
		}
		err = s.Store.Update(ctx, func(tx Tx) (err error) {
			if stored, err = repeated(tx, ch); err != nil || stored != nil {
				return err
			}
			if fresh {
				err = tx.InsertSubject(subject)
			} else if found, e := tx.SubjectByLookup(c.Tenant, subject.Lookup); errors.Is(e, proof.ErrNotFound) || e == nil && found.ID != subject.ID {
				err = proof.ErrStale // erased meanwhile, and perhaps somebody new since
			} else {
				err = e
			}
			if err != nil {
				return err
			}
			row := *ch
			if err := tx.InsertChallenge(&row); err != nil {
				return err
			}
			stored = &row
			detail := map[string]string{"backend": ch.Backend}
			if r.Request.ReasonCode != "" {
				detail["reason_code"] = r.Request.ReasonCode
			}
			if err := s.auditChallenge(tx, ch, "caller:"+c.ID, "challenge.started", "", detail); err != nil {
				return err
			}
			if err := tx.Hit(c.Tenant, limitSubjectStarts, s.limitKey(c.Tenant, ofUser(r.Request.UserIdentifier)), now); err != nil {
				return err
			}
			if err := tx.Hit(c.Tenant, limitCallerStarts, s.limitKey(c.Tenant, ofCaller(c.ID)), now); err != nil {
				return err
			}
			if err := tx.Enqueue(proof.NewJob(ch.Tenant, JobChallengePoll, ch.ID, now.Add(t.PollMax))); err != nil {
				return err
			}
			return tx.Enqueue(proof.NewJob(ch.Tenant, JobChallengeExpire, ch.ID, ch.ExpiresAt))
		})
		if !errors.Is(err, proof.ErrStale) {
			break
		}
	}
	if err != nil {
		return ChallengeStarted{}, err
	}
	return s.challengeStarted(ctx, stored, ch)
}

// refusals are the reasons for which there is no challenge, and nothing is wrong.
var refusals = []proof.Reason{proof.ReasonUserUnknown, proof.ReasonUserNotEnrolled, proof.ReasonUserDisabled, proof.ReasonTooManyAttempts}

// completeChallenge fills in defaults and refuses what the caller may not ask for.
func (t *Tenant) completeChallenge(r *ChallengeStart, c proof.Caller) error {
	switch {
	case t.StepUp.Backend == nil:
		return notAllowed("", "no step-up is configured for this tenant")
	case r.Request.UserIdentifier == "":
		return proof.Invalid("user_identifier", "user_identifier is required; it is null, empty or missing")
	case r.CallbackURL != "" && !slices.Contains(c.CallbackURLs, r.CallbackURL):
		return notAllowed("callback_url", "callback_url is not on this caller's allow-list")
	}
	if r.Timeout == 0 {
		r.Timeout = t.StepUp.Timeout
	}
	if r.Timeout < minTimeout || r.Timeout > t.StepUp.MaxTimeout {
		return proof.Invalid("timeout_seconds", "timeout_seconds must be from %d to %d", int(minTimeout.Seconds()), int(t.StepUp.MaxTimeout.Seconds()))
	}
	if r.ExternalAuth {
		return t.mayReturn(c, proof.NodeStepUp, r.Request.UserIdentifier, r.CallbackURL)
	}
	return nil
}

// repeated finds the challenge that the same idempotency key began before.
func repeated(tx Tx, c *proof.Challenge) (*proof.Challenge, error) {
	if c.IdempotencyKey == "" {
		return nil, nil
	}
	old, err := tx.ChallengeByIdempotencyKey(c.Tenant, c.Caller, c.IdempotencyKey)
	if errors.Is(err, proof.ErrNotFound) {
		return nil, nil
	}
	return old, err
}

func (s *Service) challengeStarted(ctx context.Context, stored, asked *proof.Challenge) (ChallengeStarted, error) {
	if err := sameRequest(stored.RequestHash, asked.RequestHash); err != nil {
		return ChallengeStarted{}, err
	}
	now, err := s.timeOut(ctx, stored)
	if err != nil {
		return ChallengeStarted{}, err
	}
	return ChallengeStarted{
		ChallengeID: now.ID, Status: now.Status, ExpiresAt: now.ExpiresAt,
		ChallengeURL: s.PublicURL + "/c/" + now.ID + "/" + s.challengeSecret(now.Tenant, now.ID),
	}, nil
}

// refuseChallenge writes down that and why there is no challenge: each time in the
// counts, for one user at most once a minute in the trail.
func (s *Service) refuseChallenge(ctx context.Context, c proof.Caller, subject *proof.Subject, unknown bool, user string, reason proof.Reason, retry time.Time) (ChallengeStarted, error) {
	object := "caller:" + c.ID
	if !unknown {
		object = "subject:" + subject.ID
	}
	key, now := s.limitKey(c.Tenant, ofUser(user)+"\x00"+string(reason)), s.Now()
	known := 0
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		known, err = tx.Hits(c.Tenant, limitRefused, key, now)
		return err
	})
	if err == nil {
		err = s.update(ctx, func(tx Tx) error {
			if err := tx.Hit(c.Tenant, limitCallerStarts, s.limitKey(c.Tenant, ofCaller(c.ID)), now); err != nil || known > 0 {
				return err
			}
			if err := tx.Hit(c.Tenant, limitRefused, key, now); err != nil {
				return err
			}
			return s.record(tx, c.Tenant, "caller:"+c.ID, "challenge.refused", object, reason, nil)
		})
	}
	return ChallengeStarted{Refused: reason, RetryAt: retry}, err
}

// Names of the limits in the store.
const (
	limitSubjectStarts   = "challenge.subject"
	limitSubjectFailures = "no_match.subject"
	limitCallerStarts    = "challenge.caller"
	limitNetworkOpens    = "open.network"
	limitNetworkFailures = "no_match.network"
	limitRefused         = "refused.subject"
)

// limitKey names a subject, caller or network without telling which.
func (s *Service) limitKey(tenant, who string) []byte {
	return s.Vault.MAC(tenant, "limit", who)
}

// ofUser names a user for counting as 1Kosmos knows them: without regard to the
// case of ASCII letters.
func ofUser(identifier string) string { return "user\x00" + foldUser(identifier) }

func foldUser(identifier string) string {
	return strings.Map(func(r rune) rune {
		if 'A' <= r && r <= 'Z' {
			r += 'a' - 'A'
		}
		return r
	}, identifier)
}

func ofCaller(id string) string { return "caller\x00" + id }

// fullUp is a limit that has been reached.
type fullUp struct{ Limit }

// roomForSubject and roomForCaller look whether there is room for one more
// challenge; nil means that there is.
func (s *Service) roomForSubject(tx Tx, t *Tenant, user string, now time.Time) (*fullUp, error) {
	key := s.limitKey(t.ID, ofUser(user))
	full, err := reached(tx, t.ID, limitSubjectStarts, t.StepUp.Limits.SubjectStarts, now, key)
	if err != nil || full != nil {
		return full, err
	}
	return reached(tx, t.ID, limitSubjectFailures, t.StepUp.Limits.SubjectFailures, now, key)
}

func (s *Service) roomForCaller(tx Tx, t *Tenant, c proof.Caller, now time.Time) (*fullUp, error) {
	return reached(tx, t.ID, limitCallerStarts, t.StepUp.Limits.CallerStarts, now, s.limitKey(t.ID, ofCaller(c.ID)))
}

func reached(tx Tx, tenant, name string, l Limit, now time.Time, key []byte) (*fullUp, error) {
	if l.Max == 0 {
		return nil, nil
	}
	n, err := tx.Hits(tenant, name, key, now.Add(-l.Per))
	if err != nil || n < l.Max {
		return nil, err
	}
	return &fullUp{l}, nil
}

func (s *Service) openStepUp(c proof.Caller, ch *proof.Challenge, r proof.ChallengeRequest) OpenStepUp {
	return OpenStepUp{
		Challenge: ch.ID, Deadline: ch.ExpiresAt, PageURL: s.PublicURL + "/c/" + ch.ID, ReturnURL: s.PublicURL + "/c/return",
		Application: c.Application, MaskedAccount: Mask(r.UserIdentifier), Request: r,
	}
}

// ChallengeResult answers a caller about its own challenge from the store alone.
// An unknown id, another caller's, and one for another user than userIdentifier or
// of another decision than decisionID (unless these are empty) are the same error.
// What is personal stays sealed.
//
// A match is good for one login: some time after the challenge has ended it reads
// as failed with challenge_used, so that an id from a browser's history opens nothing.
func (s *Service) ChallengeResult(ctx context.Context, c proof.Caller, id, userIdentifier, decisionID string) (proof.Challenge, error) {
	var ch *proof.Challenge
	err := s.Store.View(ctx, func(tx Tx) (err error) {
		if ch, err = tx.Challenge(c.Tenant, id); err != nil {
			return err
		}
		if ch.Caller != c.ID || decisionID != "" && ch.DecisionID != decisionID {
			return proof.ErrNotFound
		}
		if userIdentifier == "" {
			return nil
		}
		subject, err := tx.Subject(c.Tenant, ch.Subject)
		if err == nil && !hmac.Equal(subject.Lookup, s.lookup(c.Tenant, userIdentifier)) { // whoever was forgotten is nobody's any more
			err = proof.ErrNotFound
		}
		return err
	})
	if err == nil {
		ch, err = s.timeOut(ctx, ch)
	}
	if errors.Is(err, proof.ErrNotFound) || errors.Is(err, errLinkEnded) {
		return proof.Challenge{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownChallenge, Message: "no such challenge"}
	}
	if err != nil {
		return proof.Challenge{}, err
	}
	view := *ch
	t, err := s.tenant(c.Tenant)
	if err != nil {
		return proof.Challenge{}, err
	}
	if view.Status == proof.ChallengeMatch && !s.Now().Before(view.FinishedAt.Add(t.StepUp.ResultTTL)) {
		view.Status, view.Reason, view.Confidence, view.Basis, view.Liveness = proof.ChallengeFailed, proof.ReasonChallengeUsed, nil, "", ""
	}
	return view, nil
}

// timeOut ends a challenge whose deadline has passed, before anybody is told that
// it has: a verdict that is being written at this very moment is then either in
// the store already, or never will be.
func (s *Service) timeOut(ctx context.Context, c *proof.Challenge) (*proof.Challenge, error) {
	if _, yes := c.TimedOut(s.Now()); !yes {
		return c, nil
	}
	return s.changeChallenge(ctx, c.ID, func(tx Tx, c *proof.Challenge) (bool, error) {
		if c.Status.Terminal() {
			return false, nil
		}
		return true, s.finishChallenge(tx, c, "job", proof.Verdict{Status: proof.ChallengeExpired, Reason: proof.ReasonTimeLimit})
	})
}

// challengeSecret is derived, so that a repeated StartChallenge can give the same
// link without our keeping it. 160 bits, hexadecimal.
func (s *Service) challengeSecret(tenant, id string) string {
	return s.derived(tenant, "challenge link", id)
}

func (s *Service) auditChallenge(tx Tx, c *proof.Challenge, actor, action string, r proof.Reason, detail map[string]string) error {
	return s.record(tx, c.Tenant, actor, action, "challenge:"+c.ID, r, detail)
}

func challengePlace(c *proof.Challenge, column string) Place {
	return Place{Tenant: c.Tenant, Subject: c.Subject, Table: "challenges", Column: column, Row: c.ID}
}

func (s *Service) sealJSON(subject *proof.Subject, c *proof.Challenge, column string, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the %s of a challenge: %w", column, err)
	}
	sealed, err := s.Vault.Seal(subject.WrappedKey, challengePlace(c, column), plain)
	if err != nil {
		return nil, fmt.Errorf("sealing the %s of a challenge: %w", column, err)
	}
	return sealed, nil
}

func (s *Service) openJSON(subject *proof.Subject, c *proof.Challenge, column string, sealed []byte, into any) error {
	plain, err := s.Vault.Open(subject.WrappedKey, challengePlace(c, column), sealed)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return fmt.Errorf("opening the %s of challenge %s: %w", column, c.ID, err)
	}
	return nil
}

// keepSession puts an opened upstream session into the challenge.
func (s *Service) keepSession(subject *proof.Subject, c *proof.Challenge, opened OpenedStepUp) (err error) {
	c.SessionEnds, c.SessionHash = opened.Ends, s.sessionHash(c.Tenant, opened.ID)
	c.SealedSession, err = s.sealJSON(subject, c, "session", opened.StepUpSession)
	return err
}

// sessionsFor bounds the upstream sessions of one challenge: somebody who lets one
// after the other be spoilt is to come to an end before the deadline does.
func (t *Tenant) sessionsFor(c *proof.Challenge) int {
	return 5 + int(c.ExpiresAt.Sub(c.CreatedAt)/(20*time.Second))
}
