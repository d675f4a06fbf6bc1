package console

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Federation is door B, as far as the console shows and changes it. All are needed.
type Federation struct {
	Clients Clients
	Store   federation.Store
	Keys    Keys
}

// Clients is which clients there are; federation.Service implements it. Those of the
// store are read from there: a replica may know of a change a second late.
type Clients interface {
	Tenant(id string) bool
	AllClients(tenant string) []*federation.StoredClient
}

// Keys is the use cases over signing keys; keys.Service implements it.
type Keys interface {
	List(ctx context.Context, tenant string) ([]keys.Info, error)
	// Rotate writes its own audit record. Somebody else was faster: proof.ErrStale.
	Rotate(ctx context.Context, tenant, use, actor string) error
	// Withdraw as Rotate; a key that is not there is proof.ErrNotFound.
	Withdraw(ctx context.Context, tenant, id, actor string) error
}

func (c *Console) serveFederation(routes map[string]apiCall) {
	if c.o.Federation == nil {
		return
	}
	for pattern, call := range map[string]apiCall{
		"GET clients":                            c.clients,
		"POST clients":                           operator(c.clientCreate),
		"POST clients/check":                     c.clientCheck,
		"PUT clients/{client}":                   operator(c.clientUpdate),
		"DELETE clients/{client}":                operator(c.clientDelete),
		"POST clients/{client}/secrets":          operator(c.secretAdd),
		"POST clients/{client}/secrets/{secret}": operator(c.secretEnd),
		"GET keys":                               c.keys,
		"POST keys/rotate":                       operator(c.keysRotate),
		"POST keys/withdraw":                     operator(c.keyWithdraw),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		routes[method+" t/{tenant}/"+path] = c.tenant(c.doorB(call))
	}
}

// doorB lets through calls about a tenant that has a door B.
func (c *Console) doorB(next apiCall) apiCall {
	return func(w http.ResponseWriter, r *http.Request, s *Session) error {
		if !c.o.Federation.Clients.Tenant(r.PathValue("tenant")) {
			return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "this tenant has no federation"}
		}
		return next(w, r, s)
	}
}

// clientView is a client as the page has it: its document, and what is kept beside.
type clientView struct {
	federation.Client
	Fixed bool `json:"fixed"` // the configuration's: read-only
	// Hidden: the configuration has a client of the same id, which is the one that holds.
	Hidden    bool         `json:"hidden"`
	Secrets   []secretView `json:"secrets"`
	CreatedAt time.Time    `json:"created_at,omitzero"`
	UpdatedAt time.Time    `json:"updated_at,omitzero"`
	Version   int64        `json:"version"`
	Paste     []pasteLine  `json:"paste"`
}

// secretView is a secret without itself. Holds: it has not ended.
type secretView struct {
	federation.Secret
	Holds bool `json:"holds"`
}

func (c *Console) view(s *federation.StoredClient) clientView {
	secrets, now := make([]secretView, 0, len(s.Secrets)), c.o.Now()
	for _, x := range s.Secrets {
		secrets = append(secrets, secretView{x, x.ExpiresAt.IsZero() || now.Before(x.ExpiresAt)})
	}
	return clientView{
		Client: s.Client, Fixed: s.Fixed, Secrets: secrets, CreatedAt: s.CreatedAt, UpdatedAt: s.UpdatedAt, Version: s.Version,
		Paste: paste(c.o.PublicURL, &s.Client),
	}
}

// allClients are those of the configuration, then those of the store, each in the order
// of their ids.
func (c *Console) allClients(ctx context.Context, tenant string) (fixed, stored []*federation.StoredClient, err error) {
	for _, s := range c.o.Federation.Clients.AllClients(tenant) {
		if s.Fixed {
			fixed = append(fixed, s)
		}
	}
	err = c.o.Federation.Store.ViewFederation(ctx, func(tx federation.Tx) (err error) {
		stored, err = tx.Clients(tenant)
		return err
	})
	return fixed, stored, err
}

func (c *Console) clients(w http.ResponseWriter, r *http.Request, _ *Session) error {
	fixed, stored, err := c.allClients(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	views := make([]clientView, 0, len(fixed)+len(stored))
	for _, s := range slices.Concat(fixed, stored) {
		v := c.view(s)
		v.Hidden = !s.Fixed && clientOf(fixed, s.ID) != nil
		views = append(views, v)
	}
	c.answer(w, r, http.StatusOK, map[string]any{"clients": views, "options": clientOptions()})
	return nil
}

func clientOf(all []*federation.StoredClient, id string) *federation.StoredClient {
	i := slices.IndexFunc(all, func(s *federation.StoredClient) bool { return s.ID == id })
	if i < 0 {
		return nil
	}
	return all[i]
}

// clientOptions is what a client can be made of. It does not change while the program runs.
func clientOptions() any {
	return map[string]any{
		"presets": clientPresets(), "acr": federation.KnownACR(), "claims": journey.ClaimNames(), "default_claims": federation.DefaultClaims(),
		"flat": federation.FlatNames(), "document_types": []proof.DocumentType{proof.Passport, proof.IDCard, proof.DriversLicense},
		"liveness_modes": []proof.LivenessMode{proof.LivenessNone, proof.LivenessPassive, proof.LivenessActive},
		"auth_methods":   []string{federation.AuthBasic, federation.AuthPost, federation.AuthPrivateKey, federation.AuthNone},
		"algs":           []string{federation.ES256, federation.RS256}, "grants": []string{federation.GrantRefresh, federation.GrantCIBA},
		"name_ids":        []string{federation.NameIDPersistent, federation.NameIDTransient, federation.NameIDEmail, federation.NameIDUnspecified},
		"default_session": federation.Duration(federation.DefaultSession), "secrets": maxSecrets,
	}
}
