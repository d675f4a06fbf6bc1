package saml

import (
	"context"
	"crypto"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// Core is what the provider has of federation.Service.
type Core interface {
	// Begin starts a run for an Ask that was checked. Its errors are *proof.Error; they
	// go to the service provider, see statusOf.
	Begin(ctx context.Context, b federation.Browser, a federation.Ask) (federation.Step, error)
	// ClientByEntity finds a SAML client that is not disabled.
	ClientByEntity(tenant, entityID string) (*federation.Client, bool)
	Tenant(id string) bool
	// SubjectOf opens a pairwise sub of this client's sector: the id of the subject.
	SubjectOf(client *federation.Client, sub string) (subject string, ok bool)

	// Browser reads the cookies and the address of a request; Cookies writes them.
	Browser(r *http.Request) federation.Browser
	Cookies(w http.ResponseWriter, set []federation.Cookie)
	// Sorry shows a page that a person understands, in place of a response that must not
	// be made. say is one plain sentence without anything from the request.
	Sorry(w http.ResponseWriter, r *http.Request, status int, say string)
}

// Keys is what the provider has of keys.Service.
type Keys interface {
	// SAML is who signs (RSA) with its certificate, and all certificates that are
	// published: next, active and retiring, as DER.
	SAML(ctx context.Context, tenant string) (signer crypto.Signer, cert []byte, published [][]byte, err error)
}

// Options wires a Provider.
type Options struct {
	Core      Core
	Store     federation.Store
	Keys      Keys
	PublicURL string           // our origin; the entity id of a tenant is PublicURL/federation/{tenant}/saml/metadata
	Now       func() time.Time // nil: time.Now
	Logger    *slog.Logger     // nil: none
}

// Provider is the identity provider of every tenant.
type Provider struct {
	Options

	mu       sync.Mutex
	metadata map[string]described // by tenant
}

// New makes a Provider.
func New(o Options) *Provider {
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	o.PublicURL = strings.TrimSuffix(o.PublicURL, "/")
	return &Provider{Options: o, metadata: map[string]described{}}
}

// Handler serves /federation/{tenant}/saml/metadata and /federation/{tenant}/saml/sso.
func (p *Provider) Handler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /federation/{tenant}/saml/metadata", p.describe)
	mux.HandleFunc("GET /federation/{tenant}/saml/sso", p.sso)
	mux.HandleFunc("POST /federation/{tenant}/saml/sso", p.sso)
	return mux
}

// entityID is what we call ourselves towards the service providers of a tenant: where
// our metadata is (SAML metadata 4.1.1).
func (p *Provider) entityID(tenant string) string { return p.base(tenant) + "/metadata" }

func (p *Provider) ssoURL(tenant string) string { return p.base(tenant) + "/sso" }

func (p *Provider) base(tenant string) string {
	return p.PublicURL + "/federation/" + url.PathEscape(tenant) + "/saml"
}
