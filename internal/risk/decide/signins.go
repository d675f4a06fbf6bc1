package decide

import (
	"context"
	"errors"
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// SignIn is a login that succeeded, as Descope tells of it afterwards.
type SignIn struct {
	Users []string   // what the person may be known by here: user id, login ids
	IP    netip.Addr // zero: not told
	At    time.Time
}

// SignIns reads them, from since on and before until, oldest first.
type SignIns func(ctx context.Context, since, until time.Time) ([]SignIn, error)

const (
	signInsEvery = time.Minute
	// signInsBack is how far back each reading goes: an event may come to light late, and
	// what was read before changes nothing.
	signInsBack = 15 * time.Minute
	// signInAfter is how long after its decision a login may have succeeded.
	signInAfter = 30 * time.Minute
)

// ReadSignIns handles JobSignIns. It is the slower way to hear that a login ended well,
// for flows that do not call the outcome node. It only ends decisions that allowed a login
// and that nobody has ended: an event alone, of a login that was never weighed, makes
// nothing familiar.
func (s *Service) ReadSignIns(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = journey.WithoutHurry(ctx)
	t, ok := s.tenants[j.Key]
	if !ok || t.SignIns == nil {
		return time.Time{}, nil
	}
	now := s.Now()
	events, err := t.SignIns(ctx, now.Add(-signInsBack), now)
	if err != nil {
		// Nothing is lost: it is read again from further back.
		s.Logger.WarnContext(ctx, "logins that succeeded cannot be read from Descope", "tenant", t.ID, "error", err)
		return now.Add(signInsEvery), nil
	}
	for _, e := range events {
		if err := s.succeeded(ctx, t.ID, e); err != nil {
			return time.Time{}, err
		}
	}
	return now.Add(signInsEvery), nil
}

func (s *Service) succeeded(ctx context.Context, tenant string, e SignIn) error {
	for _, user := range e.Users {
		if user == "" {
			continue
		}
		subject, unknown, err := s.Subjects.Subject(ctx, tenant, user)
		if err != nil {
			return err
		}
		if unknown {
			continue
		}
		var open []*Decision
		if err := s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
			open, err = tx.Decisions(tenant, Filter{Subject: subject.ID, Verdict: risk.Allow, Since: e.At.Add(-signInAfter)}, 20)
			return err
		}); err != nil {
			return err
		}
		for _, d := range open { // newest first
			if d.Outcome != "" || d.At.After(e.At.Add(time.Minute)) {
				continue
			}
			_, err := s.end(ctx, tenant, d.ID, OutcomeSuccess, func(d *Decision, r Record) bool {
				was := addressOf(&r.Observation)
				return d.Outcome == "" && !r.Unauthenticated && (!e.IP.IsValid() || !was.IsValid() || was == e.IP.Unmap().WithZone(""))
			})
			if err == nil {
				return nil
			}
			if !errors.Is(err, proof.ErrNotFound) && proof.ReasonOf(err) != proof.ReasonUnknownDecision {
				return err
			}
		}
	}
	return nil
}
