package console

import (
	"net/http"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	maxSecrets    = 5   // that hold, of one client
	maxSecretDays = 730 // a secret may last
	maxGraceHours = 24 * 90
)

// secretAdd makes a secret of a client: the answer has it, and nothing ever again.
func (c *Console) secretAdd(w http.ResponseWriter, r *http.Request, s *Session) error {
	var version *int64
	var days int
	err := decode(w, r, field{name: "version", into: &version}, field{name: "days", into: &days, optional: true})
	if err == nil && (days < 0 || days > maxSecretDays) {
		err = proof.Invalid("days", "days must be from 1 to %d, or left out for a secret that does not end", maxSecretDays)
	}
	if err != nil {
		return err
	}
	now, expires := c.o.Now(), time.Time{}
	if days > 0 {
		expires = now.AddDate(0, 0, days)
	}
	plain, kept := federation.NewSecret(proof.NewID(), now, expires)
	changed, err := c.changeClient(r, s, *version, "federation.secret_added", map[string]string{"secret": kept.ID}, func(x *federation.StoredClient) error {
		if !x.HasSecret() {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: "this client does not authenticate with a secret"}
		}
		x.Secrets = slices.DeleteFunc(x.Secrets, func(o federation.Secret) bool { return !o.ExpiresAt.IsZero() && !now.Before(o.ExpiresAt) })
		if len(x.Secrets) >= maxSecrets {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: "this client has as many secrets as it may have; end one first"}
		}
		x.Secrets = append(x.Secrets, kept)
		return nil
	})
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"client": c.view(changed), "secret": plain})
	return nil
}

// secretEnd has a secret hold no longer than some hours from now.
func (c *Console) secretEnd(w http.ResponseWriter, r *http.Request, s *Session) error {
	var version *int64
	var hours int
	err := decode(w, r, field{name: "version", into: &version}, field{name: "hours", into: &hours, optional: true})
	if err == nil && (hours < 0 || hours > maxGraceHours) {
		err = proof.Invalid("hours", "hours must be from 0 to %d", maxGraceHours)
	}
	if err != nil {
		return err
	}
	id, at := r.PathValue("secret"), c.o.Now().Add(time.Duration(hours)*time.Hour)
	detail := map[string]string{"secret": id, "ends": at.UTC().Format(time.RFC3339)}
	changed, err := c.changeClient(r, s, *version, "federation.secret_ended", detail, func(x *federation.StoredClient) error {
		i := slices.IndexFunc(x.Secrets, func(o federation.Secret) bool { return o.ID == id })
		if i < 0 {
			return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such secret"}
		}
		if old := x.Secrets[i].ExpiresAt; !old.IsZero() && old.Before(at) {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: "this secret ends before that already"}
		}
		x.Secrets[i].ExpiresAt = at
		return nil
	})
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"client": c.view(changed)})
	return nil
}
