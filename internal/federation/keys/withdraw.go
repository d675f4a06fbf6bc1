package keys

import (
	"context"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Withdraw takes a key out of use at once, without the overlap that Rotate leaves: what
// it signed is good for nothing from now on, here and wherever our keys are read again.
// That is for a key that somebody else may have. One that signs is followed by the next
// of its use and algorithm, and one that was next by a new one. actor is who wants it. A
// key that is not there is proof.ErrNotFound; one that changed meanwhile, or is
// withdrawn already, proof.ErrStale.
func (s *Service) Withdraw(ctx context.Context, tenant, id, actor string) error {
	if err := s.Ensure(ctx, tenant); err != nil {
		return err
	}
	stored, err := s.stored(ctx, tenant)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(stored, func(k *federation.Key) bool { return k.ID == id })
	if i < 0 {
		return proof.ErrNotFound
	}
	k := stored[i]
	switch k.State {
	case federation.KeyRetired:
		return proof.ErrStale
	case federation.KeyActive:
		// In two steps: should the second fail, the key is retiring already and is asked
		// for again.
		if err := s.rotate(ctx, tenant, actor, stored, func(o *federation.Key) bool { return o.ID == id }); err != nil {
			return err
		}
		k.State = federation.KeyRetiring
	}
	err = s.opt.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		if err := tx.UpdateKeyState(tenant, id, k.State, federation.KeyRetired, s.opt.Now()); err != nil {
			return err
		}
		return s.audit(tx, tenant, actor, "federation_key.withdrawn", k, map[string]string{})
	})
	if err != nil {
		return err
	}
	s.opt.Logger.WarnContext(ctx, "a signing key was withdrawn", "tenant", tenant, "use", k.Use, "alg", k.Alg, "key", id)
	if err := s.changed(ctx, tenant); err != nil {
		return err
	}
	return s.Ensure(ctx, tenant) // of a key that was next
}
