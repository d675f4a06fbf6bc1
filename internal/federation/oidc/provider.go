package oidc

import (
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// Bounds on what comes in. A query is longer than those of most others, since a
// client's state may be.
const (
	maxBody  = 64 << 10
	maxQuery = 16 << 10
	maxState = 4 << 10
)

// Provider is the OpenID provider of every tenant.
type Provider struct {
	Options
	back
	handler http.Handler
}

// New panics when Core, Store or Keys is missing or PublicURL is no http or https
// origin, which are mistakes in the program: configuration is checked before.
func New(o Options) *Provider {
	u, err := url.Parse(o.PublicURL)
	if o.Core == nil || o.Store == nil || o.Keys == nil || err != nil || u.Scheme != "https" && u.Scheme != "http" ||
		u.Host == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" {
		panic("oidc: New needs Core, Store, Keys, and PublicURL as an http or https origin")
	}
	o.PublicURL = strings.TrimRight(o.PublicURL, "/")
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	p := &Provider{Options: o, back: newBack(o)}
	p.handler = p.routes()
	return p
}

// Handler answers everything below Prefix but saml and continue, and the metadata of
// RFC 8414 at /.well-known/oauth-authorization-server/federation/{tenant}.
func (p *Provider) Handler() http.Handler { return p.handler }

// issuer of a tenant.
func (p *Provider) issuer(tenant string) string { return p.PublicURL + Prefix + tenant }

func (p *Provider) routes() http.Handler {
	mux := http.NewServeMux()
	at := Prefix + "{tenant}"
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + at + "/.well-known/openid-configuration":  p.discovery,
		"GET /.well-known/oauth-authorization-server" + at: p.discovery,
		"GET " + at + "/jwks":                              p.jwks,
		"POST " + at + "/par":                              p.par,
		"POST " + at + "/token":                            p.token,
		"GET " + at + "/userinfo":                          p.userInfo,
		"POST " + at + "/userinfo":                         p.userInfo,
		"POST " + at + "/bc-authorize":                     p.backchannel,
	} {
		mux.HandleFunc(pattern, p.bounded(h, func(w http.ResponseWriter, _ *http.Request, status int, say string) {
			writeError(w, oauthError{invalidRequest, say, status})
		}))
	}
	for pattern, h := range map[string]http.HandlerFunc{
		"GET " + at + "/authorize":  p.authorize,
		"POST " + at + "/authorize": p.authorize,
		"GET " + at + "/logout":     p.logout,
		"POST " + at + "/logout":    p.logout,
	} {
		mux.HandleFunc(pattern, p.bounded(h, p.Core.Sorry))
	}
	return mux
}

// bounded lets in what belongs to a tenant of ours and is not too long.
func (p *Provider) bounded(h http.HandlerFunc, sorry func(http.ResponseWriter, *http.Request, int, string)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		switch {
		case !p.Core.Tenant(r.PathValue("tenant")):
			sorry(w, r, http.StatusNotFound, "There is nothing at this address.")
		case len(r.URL.RawQuery) > maxQuery:
			sorry(w, r, http.StatusRequestURITooLong, "The address is too long.")
		case r.ContentLength > maxBody:
			sorry(w, r, http.StatusRequestEntityTooLarge, "The request is too large.")
		default:
			r.Body = http.MaxBytesReader(w, r.Body, maxBody)
			h(w, r)
		}
	}
}
