package decide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// late is how long after a decision it can be said how the login ended.
const late = 24 * time.Hour

// Why nothing was learned from a login.
const (
	WhyEnded   = "already_ended" // how it ended was said before, otherwise
	WhyNoMatch = "no_match_seen" // a step-up was asked for, and no match of it is known
	WhyDenied  = "was_denied"    // it should not have gone on
	WhyFailed  = "did_not_succeed"
	WhyTooLate = "too_late"     // more than a day after the decision
	WhyUnread  = "not_readable" // what was recorded, or the history, does not open
	WhyNobody  = "before_login" // the decision was asked for before anybody was authenticated
)

// End stores how a login ended, and learns from it. Repeating it answers the same. An
// unknown decision, another caller's, and one about another user than userIdentifier
// (unless that is empty) are the same error. The outcome of an unauthenticated one is not
// accepted, whoever it is said of.
func (s *Service) End(ctx context.Context, c proof.Caller, id, userIdentifier, outcome string) (Ended, error) {
	if outcome != OutcomeSuccess && outcome != OutcomeFailure {
		return Ended{}, proof.Invalid("outcome", "outcome must be success or failure")
	}
	if _, err := s.tenant(c.Tenant); err != nil {
		return Ended{}, err
	}
	return s.end(ctx, c.Tenant, id, outcome, func(d *Decision, r Record) bool {
		return d.Caller == c.ID && (userIdentifier == "" || r.UserIdentifier == userIdentifier || r.Unauthenticated)
	})
}

// end stores an outcome of a decision that mine knows as its own.
func (s *Service) end(ctx context.Context, tenant, id, outcome string, mine func(*Decision, Record) bool) (done Ended, err error) {
	err = s.update(ctx, func(tx Tx) error {
		d, err := tx.Decision(tenant, id)
		if errors.Is(err, proof.ErrNotFound) || err == nil && d.Sealed == nil {
			return unknownDecision()
		}
		if err != nil {
			return err
		}
		subject, err := tx.Subject(tenant, d.Subject)
		if err != nil {
			return err
		}
		r, err := s.openRecord(subject.WrappedKey, d)
		if err != nil {
			return err
		}
		if !mine(d, r) {
			return unknownDecision()
		}
		if r.Unauthenticated {
			done = Ended{DecisionID: d.ID, Why: WhyNobody}
			return nil
		}
		done, err = s.apply(tx, subject, d, r, outcome)
		return err
	})
	return done, err
}

// after says which outcomes may follow one that is stored: a face that did not match may
// yet, and after a match the flow says how it went on.
var after = map[string][]string{
	"":             {OutcomeSuccess, OutcomeFailure, OutcomeMatch, OutcomeNoMatch},
	OutcomeNoMatch: {OutcomeMatch, OutcomeFailure},
	OutcomeMatch:   {OutcomeSuccess, OutcomeFailure},
}

func (s *Service) apply(tx Tx, subject *proof.Subject, d *Decision, r Record, outcome string) (Ended, error) {
	done := Ended{DecisionID: d.ID, Outcome: d.Outcome, Learned: d.Learned}
	was := d.Outcome
	allowed := false
	for _, next := range after[was] {
		allowed = allowed || next == outcome
	}
	switch {
	case was == outcome:
		done.Why = whyNot(d, outcome)
		return done, nil
	case !allowed:
		done.Why = WhyEnded
		return done, nil
	case s.Now().Sub(d.At) > late:
		done.Why = WhyTooLate
		return done, nil
	}
	matched := outcome == OutcomeMatch
	if outcome == OutcomeSuccess && d.Verdict == risk.StepUp && !d.Learned {
		// The flow may be quicker than the job that hears of the match.
		challenges, err := tx.ChallengesOf(d.Tenant, d.Subject)
		if err != nil {
			return done, err
		}
		matched = slices.ContainsFunc(challenges, func(c *proof.Challenge) bool {
			return c.DecisionID == d.ID && c.Caller == d.Caller && c.Status == proof.ChallengeMatch
		})
	}
	teaches := matched || outcome == OutcomeSuccess && d.Verdict == risk.Allow
	if teaches && !d.Learned || outcome == OutcomeNoMatch {
		if err := s.teach(tx, subject, d, r, lesson{wrongFace: outcome == OutcomeNoMatch, matched: matched}); err != nil {
			bad, ok := errors.AsType[*unreadable](err)
			if !ok {
				return done, err
			}
			s.Logger.Warn("nothing was learned from a login", "tenant", d.Tenant, "decision", d.ID, "error", bad)
			done.Why = WhyUnread
		} else if teaches {
			d.Learned = true
		}
	}
	if outcome == OutcomeFailure || outcome == OutcomeNoMatch {
		l := risk.Login{Device: r.Device, IP: addressOf(&r.Observation)}
		k := s.keys(d.Tenant, d.Subject, &l, risk.Where{Address: r.Observation.Address})
		if err := s.count(tx, d.Tenant, countFailures, k, s.Now()); err != nil {
			return done, err
		}
	}
	d.Outcome, d.OutcomeAt = outcome, s.Now()
	if err := tx.EndDecision(d, was); err != nil {
		return done, err
	}
	done.Outcome, done.Learned = d.Outcome, d.Learned
	if done.Why == "" {
		done.Why = whyNot(d, outcome)
	}
	return done, nil
}

// whyNot says why a login was not learned from; empty if it was.
func whyNot(d *Decision, outcome string) string {
	switch {
	case d.Learned:
		return ""
	case outcome == OutcomeFailure || outcome == OutcomeNoMatch:
		return WhyFailed
	case d.Verdict == risk.Deny:
		return WhyDenied
	case d.Verdict != risk.Allow:
		return WhyNoMatch
	}
	return WhyUnread
}

// lesson is what a login taught besides where it came from.
type lesson struct{ wrongFace, matched bool }

// teach changes the history.
func (s *Service) teach(tx Tx, subject *proof.Subject, d *Decision, r Record, lesson lesson) error {
	h, version, err := s.history(tx, subject)
	if err != nil {
		return err
	}
	if h == nil {
		h = new(risk.History)
	}
	o := &r.Observation
	if lesson.wrongFace {
		h.Scorch(s.Now(), r.Device, addressOf(o))
	} else {
		h.Learn(risk.Lesson{
			Decision: d.ID, At: o.At, Device: r.Device, IP: addressOf(o), ASN: o.ASN, Country: o.Country, City: o.City,
			Latitude: r.Latitude, Longitude: r.Longitude, RadiusKM: r.RadiusKM, HasCoordinates: r.HasPlace,
			Matched: lesson.matched,
		})
	}
	plain, err := json.Marshal(h)
	if err != nil {
		return fmt.Errorf("encoding a history: %w", err)
	}
	sealed, err := s.Vault.Seal(subject.WrappedKey, placeOfHistory(subject.Tenant, subject.ID), plain)
	if err != nil {
		return fmt.Errorf("sealing a history: %w", err)
	}
	return tx.PutHistory(subject.Tenant, subject.ID, sealed, version, s.Now())
}

// Verdict handles JobVerdict: the step-up of a decision has ended. What a challenge says
// counts only for a decision of the same person and caller: a caller names decisions freely.
func (s *Service) Verdict(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = journey.WithoutHurry(ctx)
	var c *proof.Challenge
	if err := s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
		c, err = tx.Challenge(j.Tenant, j.Key)
		return err
	}); err != nil {
		return time.Time{}, ignoreUnknown(err)
	}
	outcome := map[proof.ChallengeStatus]string{proof.ChallengeMatch: OutcomeMatch, proof.ChallengeNoMatch: OutcomeNoMatch}[c.Status]
	if outcome == "" {
		return time.Time{}, nil
	}
	_, err := s.end(ctx, j.Tenant, c.DecisionID, outcome, func(d *Decision, _ Record) bool {
		return d.Subject == c.Subject && d.Caller == c.Caller
	})
	return time.Time{}, ignoreUnknown(err)
}

func ignoreUnknown(err error) error {
	if proof.CodeOf(err) == proof.CodeNotFound {
		return nil
	}
	return err
}

// Purge handles JobPurge, once a day: decisions and histories go when their time is over,
// and with them the counts that nobody looks at any more.
func (s *Service) Purge(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = journey.WithoutHurry(ctx)
	t, ok := s.tenants[j.Key]
	if !ok {
		return time.Time{}, nil
	}
	now := s.Now()
	for {
		var whose []string
		if err := s.update(ctx, func(tx Tx) (err error) {
			whose, err = tx.PurgeDecisions(t.ID, now.Add(-t.KeepDecisions))
			return err
		}); err != nil {
			return time.Time{}, err
		}
		for _, subject := range whose {
			if err := s.Subjects.ForgetIfNothingIsLeft(ctx, t.ID, subject); err != nil {
				return time.Time{}, err
			}
		}
		if len(whose) == 0 {
			break
		}
	}
	for {
		var stale []string
		if err := s.update(ctx, func(tx Tx) (err error) {
			if stale, err = tx.StaleHistories(t.ID, now.Add(-t.KeepHistory), 100); err != nil {
				return err
			}
			for _, subject := range stale {
				if err := tx.DropHistory(t.ID, subject); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			return time.Time{}, err
		}
		for _, subject := range stale {
			if err := s.Subjects.ForgetIfNothingIsLeft(ctx, t.ID, subject); err != nil {
				return time.Time{}, err
			}
		}
		if len(stale) == 0 {
			break
		}
	}
	return now.Add(24 * time.Hour), nil
}
