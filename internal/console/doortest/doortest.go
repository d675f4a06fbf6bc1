// Package doortest is doors B and C for tests of the console, and for working on its
// pages: the real use cases over a store of the test's, with one client in the
// configuration and one in the store, and without anybody to be proofed.
package doortest

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/console/risktest"
	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

// Store is all that the doors keep; internal/store implements it.
type Store interface {
	federation.Store
	hooks.Store
	deliveries.Store
}

// Doors is what there is of them. Only risktest.Tenant has a door B.
type Doors struct {
	Federation *console.Federation
	Hooks      *hooks.Service
	Deliveries *deliveries.Service

	keys *keys.Service
}

// Clients that are there from the beginning: one of the configuration, and one that the
// console keeps.
const (
	FixedClient  = "shop-file"
	StoredClient = "shop"
)

// New makes them over a store that is empty. The master key is made at that path.
func New(ctx context.Context, st Store, key, publicURL string, now func() time.Time) (*Doors, error) {
	if err := vault.Create(key); err != nil {
		return nil, err
	}
	v, err := vault.Open(key)
	if err != nil {
		return nil, err
	}
	client := func(id, name, redirect string) federation.Client {
		c := federation.Client{
			ID: id, Tenant: risktest.Tenant, Protocol: federation.OIDC, Profile: federation.ProfileDescope, Name: name,
			DefaultACR: []string{federation.ACRFace}, Essential: true, OIDC: &federation.OIDCClient{RedirectURIs: []string{redirect}},
		}
		c.Complete()
		return c
	}
	service := federation.New(federation.Options{
		Store: st, Tenants: []federation.Tenant{{ID: risktest.Tenant, StepUp: true}}, PublicURL: publicURL, Now: now,
		Clients: []federation.StoredClient{{
			Client:  client(FixedClient, "The shop", "https://api.descope.com/v1/oauth/callback"),
			Secrets: []federation.Secret{federation.SecretFrom("configuration-1", "a made-up secret of the configuration")},
		}},
	})
	signing := keys.New(keys.Options{Store: st, Vault: v, Now: now})
	_, secret := federation.NewSecret("01940000-0000-7000-8000-00000000000a", now(), time.Time{})
	stored := &federation.StoredClient{
		Client: client(StoredClient, "The shop's back office", "https://shop.example/cb"), Secrets: []federation.Secret{secret}, Version: 1, CreatedAt: now(), UpdatedAt: now(),
	}
	if err := st.UpdateFederation(ctx, func(tx federation.Tx) error { return tx.InsertClient(stored) }); err != nil {
		return nil, err
	}
	d := &Doors{Federation: &console.Federation{Clients: service, Store: st, Keys: signing}, keys: signing}
	return d, d.doorC(st, v, publicURL, now)
}

// MakeKeys makes the signing keys, which takes a second or two.
func (d *Doors) MakeKeys(ctx context.Context) error { return d.keys.Ensure(ctx, risktest.Tenant) }
