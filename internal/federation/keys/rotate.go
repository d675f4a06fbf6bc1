package keys

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// sweepEvery is how often Sweep wants to run, keepEnded how long what ended stays for
	// whoever asks why.
	sweepEvery = 10 * time.Minute
	keepEnded  = 24 * time.Hour
)

// turn is what happens to the keys of one use and algorithm when they are rotated.
type turn struct{ active, next, fresh *federation.Key }

// Rotate has the next keys of a use sign from now on, and makes new next ones; those
// that signed stay published for the overlap. actor is who wants it, as in an audit
// record. If somebody else rotates them meanwhile, it is proof.ErrStale.
func (s *Service) Rotate(ctx context.Context, tenant, use, actor string) error {
	if use != OIDC && use != SAML {
		return proof.Invalid("use", "use must be oidc or saml")
	}
	if err := s.Ensure(ctx, tenant); err != nil {
		return err
	}
	stored, err := s.stored(ctx, tenant)
	if err != nil {
		return err
	}
	return s.rotate(ctx, tenant, actor, stored, func(k *federation.Key) bool { return k.Use == use })
}

// rotate rotates those of the active keys that are due, all or none.
func (s *Service) rotate(ctx context.Context, tenant, actor string, stored []*federation.Key, due func(*federation.Key) bool) error {
	var turns []turn
	var where []slot
	for _, k := range stored {
		if k.State != federation.KeyActive || !due(k) {
			continue
		}
		t := turn{active: k}
		for _, n := range stored {
			if n.State == federation.KeyNext && n.Use == k.Use && n.Alg == k.Alg {
				t.next = n
			}
		}
		if t.next == nil {
			return fmt.Errorf("keys: no key follows %s", k.ID) // Ensure makes one
		}
		if _, err := s.openOne(t.next, nil); err != nil {
			return fmt.Errorf("keys: %s cannot sign: %w", t.next.ID, err) // the one before goes on
		}
		turns, where = append(turns, t), append(where, slot{k.Use, k.Alg, federation.KeyNext})
	}
	if len(turns) == 0 {
		return nil
	}
	fresh, err := s.makeAll(tenant, where)
	if err != nil {
		return err
	}
	now := s.opt.Now()
	err = s.opt.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		for i, t := range turns {
			t.fresh = fresh[i]
			if err := s.turn(tx, tenant, actor, t, now); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	for i, t := range turns {
		s.opt.Logger.InfoContext(ctx, "a signing key was rotated", "tenant", tenant, "use", t.active.Use, "alg", t.active.Alg,
			"retiring", t.active.ID, "active", t.next.ID, "next", fresh[i].ID)
	}
	return s.changed(ctx, tenant)
}

func (s *Service) turn(tx federation.Tx, tenant, actor string, t turn, now time.Time) error {
	// In this order: there is never a second active one.
	if err := tx.UpdateKeyState(tenant, t.active.ID, federation.KeyActive, federation.KeyRetiring, now); err != nil {
		return err
	}
	if err := tx.UpdateKeyState(tenant, t.next.ID, federation.KeyNext, federation.KeyActive, now); err != nil {
		return err
	}
	if err := tx.InsertKey(t.fresh); err != nil {
		return err
	}
	return s.audit(tx, tenant, actor, "federation_key.rotated", t.next, map[string]string{"retiring": t.active.ID, "next": t.fresh.ID})
}

// Sweep is the handler of a job for each tenant, and says when it wants to run again: it
// makes keys that are missing, rotates those of oidc whose lifetime is over, retires
// those whose overlap is, and drops what of door B ended a day ago. What fails does not
// keep it from the rest.
func (s *Service) Sweep(ctx context.Context, j proof.Job) (next time.Time, err error) {
	ctx = journey.WithoutHurry(ctx)
	now := s.opt.Now()
	due := func(k *federation.Key) bool { at := s.leaves(k); return !at.IsZero() && !at.After(now) }
	made := s.Ensure(ctx, j.Tenant)
	stored, err := s.stored(ctx, j.Tenant)
	if err != nil {
		return time.Time{}, errors.Join(made, err)
	}
	err = errors.Join(made,
		unlessStale(s.rotate(ctx, j.Tenant, "job", stored, due)),
		unlessStale(s.retire(ctx, j.Tenant, stored, due)),
		s.purge(ctx, j.Tenant, now.Add(-keepEnded)))
	if err != nil {
		return time.Time{}, err
	}
	if stored, err = s.stored(ctx, j.Tenant); err != nil {
		return time.Time{}, err
	}
	next = now.Add(sweepEvery)
	for _, k := range stored {
		if at := s.leaves(k); !at.IsZero() && at.Before(next) {
			next = at
		}
	}
	if soonest := now.Add(time.Second); next.Before(soonest) {
		next = soonest
	}
	return next, nil
}

// unlessStale: what another replica did meanwhile is found done the next time.
func unlessStale(err error) error {
	if errors.Is(err, proof.ErrStale) {
		return nil
	}
	return err
}

func (s *Service) retire(ctx context.Context, tenant string, stored []*federation.Key, due func(*federation.Key) bool) error {
	var over []*federation.Key
	for _, k := range stored {
		if k.State == federation.KeyRetiring && due(k) {
			over = append(over, k)
		}
	}
	if len(over) == 0 {
		return nil
	}
	err := s.opt.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		for _, k := range over {
			if err := tx.UpdateKeyState(tenant, k.ID, federation.KeyRetiring, federation.KeyRetired, s.opt.Now()); err != nil {
				return err
			}
			if err := s.audit(tx, tenant, "job", "federation_key.retired", k, map[string]string{}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		return err
	}
	return s.changed(ctx, tenant)
}

// purge works in small transactions: others wait for each.
func (s *Service) purge(ctx context.Context, tenant string, before time.Time) error {
	for {
		n := 0
		err := s.opt.Store.UpdateFederation(ctx, func(tx federation.Tx) (err error) {
			n, err = tx.PurgeFederation(tenant, before)
			return err
		})
		if err != nil || n == 0 {
			return err
		}
	}
}
