package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/federation/oidc"
	"github.com/kosmoscope/kosmoscope/internal/federation/saml"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
)

// jobFederation looks after the signing keys and drops what has ended, a tenant each.
const jobFederation = "federation.sweep"

// federations makes door B, but for the pages, which are there later.
func (b *bridge) federations(vault journey.Vault, ups map[string]journey.Upstream) error {
	o := federation.Options{
		Store: b.store, Vault: vault, Journey: b.journey, PublicURL: b.cfg.PublicURL, ClientIP: clientIP(b.cfg.TrustedProxies), Logger: b.log,
	}
	for i := range b.cfg.Tenants {
		t := &b.cfg.Tenants[i]
		ours := federation.Tenant{ID: t.ID, Liveness: t.LivenessMode, StepUp: true}
		if l := t.StepUp.Limits.SubjectFailures; l.Max > 1 {
			ours.Named = federation.NamedStarts{Max: l.Max - 1, Per: l.Per}
		}
		if up := ups[t.ID]; up != nil {
			ours.Assert = up.Assurance
		}
		if u := t.Federation.Upstream; u != nil {
			provider, err := b.federated(t, u)
			if err != nil {
				return fmt.Errorf("tenant %q: federation.upstream: %w", t.ID, err)
			}
			ours.Upstream = provider
		}
		o.Tenants = append(o.Tenants, ours)
		for _, c := range t.Federation.Clients {
			stored := federation.StoredClient{Client: c.Client}
			for i, secret := range c.Secrets {
				stored.Secrets = append(stored.Secrets, federation.SecretFrom(fmt.Sprintf("configuration-%d", i+1), string(secret)))
			}
			o.Clients = append(o.Clients, stored)
		}
	}
	b.federation = federation.New(o)
	b.keys = keys.New(keys.Options{Store: b.store, Vault: vault, Logger: b.log})
	b.runner.Handle(jobFederation, b.keys.Sweep)
	return nil
}

func (b *bridge) federated(t *config.Tenant, u *config.FederationUpstream) (federation.Upstream, error) {
	client, err := trusting(t.Kosmos.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return upstream.NewFederated(upstream.FederatedConfig{
		DiscoveryURL: u.DiscoveryURL, Issuer: u.Issuer, ClientID: u.ClientID, ClientSecret: string(u.ClientSecret), Scopes: u.Scopes,
		NoPKCE: u.NoPKCE, NoPrompt: u.NoPrompt, IAL2ACR: u.IAL2ACR, IAL2Scope: u.IAL2Scope, FaceACR: u.FaceACR,
		AcceptedACR: u.AcceptedACR, AcceptedAMR: u.AcceptedAMR, ScopeTellsLevel: u.ScopeTellsLevel, UsernameClaim: u.UsernameClaim,
		HTTPClient: client, AllowedHosts: append([]string{t.Kosmos.DNS}, t.Kosmos.AllowedHosts...),
	})
}

// firstKeys sees that every tenant has signing keys, and that somebody looks after them.
func (b *bridge) firstKeys(ctx context.Context) error {
	for i := range b.cfg.Tenants {
		tenant := b.cfg.Tenants[i].ID
		if err := b.keys.Ensure(ctx, tenant); err != nil {
			return fmt.Errorf("signing keys of tenant %q: %w", tenant, err)
		}
		if err := b.store.UpdateFederation(ctx, func(tx federation.Tx) error {
			return tx.Enqueue(proof.NewJob(tenant, jobFederation, tenant, time.Now().Add(time.Minute)))
		}); err != nil {
			return err
		}
	}
	return nil
}

// mountFederation mounts door B; the pages show what is ours of it.
func (b *bridge) mountFederation(mux *http.ServeMux, pages federation.Pages) {
	b.federation.Pages = pages
	provider := oidc.New(oidc.Options{
		Core: b.federation, Store: b.store, Keys: b.keys, PublicURL: b.cfg.PublicURL, ClientIP: clientIP(b.cfg.TrustedProxies),
		HTTPClient: outwardClient(), Logger: b.log, Leave: pages.Leave,
		Confirm: func(w http.ResponseWriter, r *http.Request, action string, fields map[string]string, say string) {
			pages.Confirm(w, r, federation.ConfirmView{Heading: "Sign out", Say: say, Button: "Sign out", Action: action, Fields: fields})
		},
	})
	issuer := saml.New(saml.Options{Core: b.federation, Store: b.store, Keys: b.keys, PublicURL: b.cfg.PublicURL, Logger: b.log})
	b.federation.Serve(federation.OIDC, provider)
	b.federation.Serve(federation.SAML, issuer)
	for path, handler := range map[string]http.Handler{
		"continue": b.federation.Handler(), "who/": b.federation.Handler(), "upstream": b.federation.Handler(), "saml/": issuer.Handler(),
	} {
		mux.Handle(federation.Prefix+"{tenant}/"+path, handler)
	}
	mux.Handle(federation.Prefix, provider.Handler())
	mux.Handle("/.well-known/oauth-authorization-server"+federation.Prefix, provider.Handler())
}

// outwardClient fetches keys of relying parties: redirects lead nowhere.
func outwardClient() *http.Client {
	return &http.Client{Timeout: 5 * time.Second, CheckRedirect: func(*http.Request, []*http.Request) error { return errRedirect }}
}

var errRedirect = errors.New("a redirect where a document was expected")
