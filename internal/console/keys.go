package console

import (
	"context"
	"net/http"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func (c *Console) keys(w http.ResponseWriter, r *http.Request, _ *Session) error {
	return c.showKeys(w, r)
}

func (c *Console) showKeys(w http.ResponseWriter, r *http.Request) error {
	all, err := c.o.Federation.Keys.List(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"keys": list(all)})
	return nil
}

// keysRotate rotates those of one use. Whoever asks names the keys that sign as they saw
// them, so that a button that two people press, or one presses twice, turns once.
func (c *Console) keysRotate(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var use string
	var signing []string
	if err := decode(w, r, field{name: "use", into: &use}, field{name: "signing", into: &signing}); err != nil {
		return err
	}
	if use != keys.OIDC && use != keys.SAML {
		return proof.Invalid("use", "use must be oidc or saml")
	}
	now, err := c.signing(r.Context(), r.PathValue("tenant"), use)
	if err != nil {
		return err
	}
	if slices.Sort(signing); !slices.Equal(now, signing) {
		return changedMeanwhile("the keys were rotated meanwhile")
	}
	if err := c.o.Federation.Keys.Rotate(r.Context(), r.PathValue("tenant"), use, actorOperator); err != nil {
		return stale(err, "the keys were rotated meanwhile")
	}
	return c.showKeys(w, r)
}

// keyWithdraw takes one key out of use at once.
func (c *Console) keyWithdraw(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var kid string
	if err := decode(w, r, field{name: "kid", into: &kid}); err != nil {
		return err
	}
	if err := c.o.Federation.Keys.Withdraw(r.Context(), r.PathValue("tenant"), kid, actorOperator); err != nil {
		return stale(err, "the key changed meanwhile")
	}
	return c.showKeys(w, r)
}

func (c *Console) signing(ctx context.Context, tenant, use string) (ids []string, err error) {
	all, err := c.o.Federation.Keys.List(ctx, tenant)
	for _, k := range all {
		if k.Use == use && k.State == federation.KeyActive {
			ids = append(ids, k.ID)
		}
	}
	slices.Sort(ids)
	return ids, err
}
