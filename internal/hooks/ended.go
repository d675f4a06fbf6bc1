package hooks

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Keys of JobEnded.
const (
	endedVerification = "verification:"
	endedChallenge    = "challenge:"
	endedSubject      = "subject:"
)

// EndedKey is the key of the JobEnded for an object, as "verification:ID"; empty for what
// is no verification, challenge or subject.
func EndedKey(object string) string {
	for _, kind := range []string{endedVerification, endedChallenge, endedSubject} {
		if id, ok := strings.CutPrefix(object, kind); ok && id != "" {
			return object
		}
	}
	return ""
}

// Ended is the job that makes an event of what ended here. It reads what is stored, so
// that it can be queued by whoever ended it, in the same transaction, and twice: the same
// again is no new event.
func (s *Service) Ended(ctx context.Context, j proof.Job) (time.Time, error) {
	if _, err := s.tenant(j.Tenant); err != nil {
		return time.Time{}, nil
	}
	var told Told
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		told, err = ended(tx, j.Tenant, j.Key)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) || err == nil && told.Action == "" {
		return time.Time{}, nil // purged, or not ended: whoever ends it queues the job again
	}
	if err == nil {
		_, err = s.Accept(ctx, j.Tenant, SourceHere, []Told{told})
	}
	return time.Time{}, owed(err)
}

// ended tells of one thing; the zero Told if it has not ended.
func ended(tx Tx, tenant, key string) (Told, error) {
	if id, ok := strings.CutPrefix(key, endedVerification); ok {
		v, err := tx.Verification(tenant, id)
		if err != nil || !v.Status.Terminal() {
			return Told{}, err
		}
		return tell(VerificationEnded, v.FinishedAt, v.Subject, v.ID, map[string]any{
			"status": string(v.Status), "reason": string(v.Reason), "ial_level": v.IALLevel, "caller": v.Caller,
		}), nil
	}
	if id, ok := strings.CutPrefix(key, endedChallenge); ok {
		c, err := tx.Challenge(tenant, id)
		if err != nil || !c.Status.Terminal() {
			return Told{}, err
		}
		result := string(c.Status)
		if c.Status == proof.ChallengeFailed {
			result = "error"
		}
		return tell(ChallengeEnded, c.FinishedAt, c.Subject, c.ID, map[string]any{
			"result": result, "reason": string(c.Reason), "caller": c.Caller,
		}), nil
	}
	if id, ok := strings.CutPrefix(key, endedSubject); ok {
		sub, err := tx.Subject(tenant, id)
		if err != nil || sub.ErasedAt.IsZero() {
			return Told{}, err
		}
		return tell(SubjectErased, sub.ErasedAt, sub.ID, sub.ID, nil), nil
	}
	return Told{}, nil
}

func tell(action string, at time.Time, subject, object string, data map[string]any) Told {
	return Told{Action: action, OccurredAt: at, Content: Content{Subject: subject, Object: object, Data: data}}
}
