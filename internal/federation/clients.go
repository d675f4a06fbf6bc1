package federation

import (
	"context"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// callerPrefix sets clients apart from the callers of the configuration, as a client
// is a caller to the journey.
const callerPrefix = "federation/"

// DefaultClaims is what a client sees when it lists no claims: neither the number of a
// document nor what else identifies it.
func DefaultClaims() []string {
	return []string{"given_name", "family_name", "birthdate", "gender", "nationality", "document_type", "issuing_country", "date_of_expiry"}
}

// caller is a client as the journey sees it.
func (s *Service) caller(c *Client) proof.Caller {
	claims := c.Claims
	if claims == nil {
		claims = DefaultClaims()
	}
	return proof.Caller{
		ID: callerPrefix + c.ID, Tenant: c.Tenant, Application: c.Name, CallbackURLs: []string{s.callback(c.Tenant)},
		DocumentTypes: c.DocumentTypes, Liveness: []proof.LivenessMode{c.livenessOr(s.tenants[c.Tenant].Liveness)}, Claims: claims, ConsentText: c.ConsentText,
	}
}

// Caller finds a client that is a caller of the journey.
func (s *Service) Caller(tenant, id string) (proof.Caller, bool) {
	name, ok := strings.CutPrefix(id, callerPrefix)
	if !ok {
		return proof.Caller{}, false
	}
	c, ok := s.Client(tenant, name)
	if !ok {
		return proof.Caller{}, false
	}
	return s.caller(c), true
}

// registry knows the clients: those of the configuration, which never change, and
// those of the store, which are looked at again when a second has passed.
type registry struct {
	mu      sync.Mutex
	tenants map[string]*shelf
}

type shelf struct {
	fixed   map[string]*StoredClient
	all     map[string]*StoredClient
	version int64
	looked  time.Time
}

// stale is how long another replica's change may go unseen.
const stale = time.Second

func newRegistry(fixed []StoredClient) *registry {
	r := &registry{tenants: map[string]*shelf{}}
	for i := range fixed {
		c := &fixed[i]
		c.Fixed = true
		sh := r.tenants[c.Tenant]
		if sh == nil {
			sh = &shelf{fixed: map[string]*StoredClient{}, version: -1}
			r.tenants[c.Tenant] = sh
		}
		sh.fixed[c.ID] = c
	}
	return r
}

// clients are those of a tenant by id. When the store does not answer, what was known
// last counts.
func (s *Service) clients(tenant string) map[string]*StoredClient {
	r := s.registry
	r.mu.Lock()
	defer r.mu.Unlock()
	sh := r.tenants[tenant]
	if sh == nil {
		if _, ok := s.tenants[tenant]; !ok {
			return nil
		}
		sh = &shelf{version: -1}
		r.tenants[tenant] = sh
	}
	now := s.Now()
	if sh.all != nil && now.Sub(sh.looked) < stale && !now.Before(sh.looked) {
		return sh.all
	}
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	var stored []*StoredClient
	version, fresh := sh.version, false
	err := s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		if version, err = tx.ClientsVersion(tenant); err != nil || version == sh.version && sh.all != nil {
			return err
		}
		fresh = true
		stored, err = tx.Clients(tenant)
		return err
	})
	if err != nil {
		s.Logger.Warn("the clients of door B cannot be read", "tenant", tenant, "error", err)
		if sh.all == nil {
			return sh.fixed
		}
		return sh.all
	}
	sh.looked = now
	if fresh {
		all := map[string]*StoredClient{}
		for _, c := range stored {
			c.Tenant = tenant
			all[c.ID] = c
		}
		for id, c := range sh.fixed { // the configuration wins
			all[id] = c
		}
		sh.all, sh.version = all, version
	}
	return sh.all
}

// Client finds a client that is not disabled.
func (s *Service) Client(tenant, id string) (*Client, bool) {
	c, ok := s.clients(tenant)[id]
	if !ok || c.Disabled {
		return nil, false
	}
	return &c.Client, true
}

// ClientByEntity finds a SAML service provider by what it calls itself. Of several of one
// name it is that of the configuration, and each time the same: which addresses are
// registered must not be chance.
func (s *Service) ClientByEntity(tenant, entityID string) (*Client, bool) {
	var found *Client
	for _, c := range s.clients(tenant) {
		if c.Protocol != SAML || c.Disabled || c.SAML == nil || c.SAML.EntityID != entityID {
			continue
		}
		if found == nil || c.Fixed && !found.Fixed || c.Fixed == found.Fixed && c.ID < found.ID {
			found = &c.Client
		}
	}
	return found, found != nil
}

// Secrets are those of a client that hold now.
func (s *Service) Secrets(tenant, id string) []Secret {
	c, ok := s.clients(tenant)[id]
	if !ok || c.Disabled {
		return nil
	}
	now := s.Now()
	return slices.DeleteFunc(slices.Clone(c.Secrets), func(x Secret) bool { return !x.ExpiresAt.IsZero() && !now.Before(x.ExpiresAt) })
}

// Tenant reports whether there is such a tenant with a door B.
func (s *Service) Tenant(id string) bool { _, ok := s.tenants[id]; return ok }

// AllClients lists a tenant's clients, disabled ones too, in the order of their ids.
func (s *Service) AllClients(tenant string) []*StoredClient {
	all := s.clients(tenant)
	out := make([]*StoredClient, 0, len(all))
	for _, c := range all {
		out = append(out, c)
	}
	slices.SortFunc(out, func(a, b *StoredClient) int { return strings.Compare(a.ID, b.ID) })
	return out
}
