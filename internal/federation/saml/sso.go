package saml

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"strings"

	"github.com/beevik/etree"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// usedFor is how long a request is remembered: longer than its IssueInstant lets it
// be sent again, twice skew after the first time.
const usedFor = 3 * skew

// sso is the single sign-on service (SAML profiles 4.1).
func (p *Provider) sso(w http.ResponseWriter, r *http.Request) {
	if merelyLooking(w, r) {
		return
	}
	tenant := r.PathValue("tenant")
	if !p.Core.Tenant(tenant) {
		p.Core.Sorry(w, r, http.StatusNotFound, "There is nothing at this address.")
		return
	}
	m, err := receive(w, r)
	if err != nil {
		p.refuse(w, r, nil, err)
		return
	}
	root, err := parse(m.xml)
	if err != nil {
		p.refuse(w, r, nil, err)
		return
	}
	client, err := p.who(tenant, root)
	if err != nil {
		p.refuse(w, r, nil, err)
		return
	}
	read := root
	if root, err = p.authentic(client, m, read); err != nil {
		p.refuse(w, r, client, err)
		return
	}
	req, err := p.check(tenant, client, m, root, m.signed != "" || root != read)
	if err != nil {
		p.refuse(w, r, client, err)
		return
	}
	// Another site's form brings no SameSite=Lax cookies along: the person would be
	// asked again, or could not be answered for at all with IsPassive. Our own does.
	if m.post && !m.again && r.Header.Get("Sec-Fetch-Site") == "cross-site" {
		p.again(w, r, tenant, m)
		return
	}
	if err := p.use(r, tenant, client, req.state.ID); err != nil {
		p.refuse(w, r, client, err)
		return
	}
	if req.wrong != nil {
		p.deny(w, r, req.ask, req.state, req.wrong)
		return
	}
	p.begin(w, r, req)
}

// who finds the client that a request says it is from.
func (p *Provider) who(tenant string, root *etree.Element) (*federation.Client, error) {
	entity, err := issuer(root)
	if err != nil {
		return nil, err
	}
	c, ok := p.Core.ClientByEntity(tenant, entity)
	if !ok || c.Disabled || c.Protocol != federation.SAML || c.SAML == nil || c.SAML.EntityID != entity {
		return nil, &refused{http.StatusForbidden, "The application that sent you here is not registered. Tell its operator.", "its Issuer is not registered"}
	}
	return c, nil
}

func (p *Provider) begin(w http.ResponseWriter, r *http.Request, req *request) {
	travelling, relay := p.split(req)
	var err error
	if req.ask.State, err = json.Marshal(travelling); err != nil {
		p.refuse(w, r, req.ask.Client, err)
		return
	}
	step, err := p.Core.Begin(r.Context(), p.Core.Browser(r), req.ask)
	if err != nil {
		p.finish(w, r, req.ask, req.state, nil, err)
		return
	}
	if step.Answer != nil {
		p.Core.Cookies(w, step.Set)
		p.finish(w, r, req.ask, req.state, step.Answer, nil)
		return
	}
	if step.Go == "" {
		p.finish(w, r, req.ask, req.state, nil, errors.New("saml: a step leads nowhere"))
		return
	}
	if len(relay) > 0 {
		relay = append(crowd(r, req.ask.Tenant), relay...)
	}
	p.Core.Cookies(w, append(step.Set, relay...))
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("Location", step.Go)
	w.WriteHeader(http.StatusSeeOther)
}

// use marks a request as used. The same ID of another provider is another request.
func (p *Provider) use(r *http.Request, tenant string, c *federation.Client, id string) error {
	sum := sha256.Sum256([]byte(tenant + "\x00" + c.SAML.EntityID + "\x00" + id))
	now := p.Now()
	err := p.Store.UpdateFederation(r.Context(), func(tx federation.Tx) error {
		return tx.Use(tenant, "saml-request", sum[:], now, now.Add(usedFor))
	})
	if errors.Is(err, proof.ErrStale) {
		return &refused{http.StatusConflict, "This request was used before. Go back to the application and start again.", "it was used before"}
	}
	return err
}

// refuse ends on a page of ours, and never anywhere else.
func (p *Provider) refuse(w http.ResponseWriter, r *http.Request, c *federation.Client, err error) {
	client := ""
	if c != nil {
		client = c.ID
	}
	if e, ok := errors.AsType[*refused](err); ok {
		p.Logger.InfoContext(r.Context(), "saml: refused", "tenant", r.PathValue("tenant"), "client", client, "why", e.why)
		p.Core.Sorry(w, r, e.status, e.say)
		return
	}
	level := slog.LevelError
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelDebug // the browser went away
	}
	p.Logger.Log(r.Context(), level, "saml: failed", "tenant", r.PathValue("tenant"), "client", client, "error", err)
	p.Core.Sorry(w, r, http.StatusServiceUnavailable, "Something went wrong on our side. Go back to the application and try again.")
}

// merelyLooking answers requests that nobody's click has made, so that a preview or a
// prefetch does not use a request up.
func merelyLooking(w http.ResponseWriter, r *http.Request) bool {
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusNoContent)
		return true
	}
	for _, name := range []string{"Sec-Purpose", "Purpose", "X-Purpose", "X-Moz"} {
		if v := strings.ToLower(r.Header.Get(name)); strings.Contains(v, "prefetch") || strings.Contains(v, "prerender") || strings.Contains(v, "preview") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
	}
	return false
}
