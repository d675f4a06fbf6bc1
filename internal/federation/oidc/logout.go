package oidc

import (
	"cmp"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

const (
	kindLogout = "oidc-logout" // for Core.Seal
	// askLife is for how long a person may look at the page that asks.
	askLife = 15 * time.Minute
)

// leaving is a logout that was checked. It travels through the page that asks.
type leaving struct {
	Client   string    `json:"c"`
	Session  string    `json:"s,omitempty"` // of the browser that was asked
	SID      string    `json:"i,omitempty"` // out of id_token_hint
	Redirect string    `json:"r,omitempty"`
	State    []byte    `json:"z,omitempty"`
	HasState bool      `json:"hz,omitempty"`
	At       time.Time `json:"t"`
}

// logout is the end_session_endpoint (OpenID Connect RP-Initiated Logout 1.0).
//
//	id_token_hint of this browser's session ─────────────▶ it ends ─▶ post_logout_redirect_uri
//	id_token_hint, and the browser has no session ──────▶ the hint's ends ─▶ likewise
//	id_token_hint of another session, or client_id only ─▶ a page asks ─ yes ─▶ likewise
//
// The browser goes on only to an address that the client has registered for this.
func (p *Provider) logout(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed)
		return
	}
	values, err := parameters(r)
	if err != nil {
		e := errorOf(err)
		if errors.Is(err, errTwice) {
			e = oauthError{invalidRequest, err.Error(), http.StatusBadRequest}
		}
		p.Core.Sorry(w, r, e.Status, sentence(e.Description))
		return
	}
	if r.Method == http.MethodPost && values.Has("confirm") {
		p.confirmed(w, r, values.Get("confirm"))
		return
	}
	c, l, err := p.leave(r, values)
	if err != nil {
		p.Core.Sorry(w, r, statusOf(err), sentence(errorOf(err).Description))
		return
	}
	if l.Session, err = p.Core.Session(r.Context(), p.Core.Browser(r), c); err != nil {
		p.trouble(r, c, err)
		p.Core.Sorry(w, r, statusOf(err), sentence(errorOf(err).Description))
		return
	}
	if l.SID != "" && (l.Session == l.SID || l.Session == "") {
		p.end(w, r, c, l, nil)
		return
	}
	p.ask(w, r, c, l)
}

// leave checks who wants the browser to sign out of what, and where it is to go then.
func (p *Provider) leave(r *http.Request, values url.Values) (*federation.Client, leaving, error) {
	tenant, id := r.PathValue("tenant"), values.Get("client_id")
	l := leaving{At: p.Now().UTC()}
	if token := values.Get("id_token_hint"); token != "" {
		claims, err := p.anyHint(r.Context(), tenant, token)
		if err != nil {
			return nil, l, err
		}
		if id == "" {
			id = claims.Audience[0]
		}
		if !slices.Contains(claims.Audience, id) { // section 2: they must name the same client
			return nil, l, refused(invalidRequest, "id_token_hint was not issued to this application")
		}
		l.SID = claims.Session
	}
	if id == "" {
		return nil, l, refused(invalidRequest, "the address does not say which application you want to sign out of")
	}
	c := p.client(tenant, id)
	if c == nil {
		return nil, l, refused(invalidRequest, "the application that sent you here is not known")
	}
	l.Client = c.ID
	if state, ok := values["state"]; ok {
		if len(state[0]) > maxState {
			return nil, l, refused(invalidRequest, "state is longer than 4096 bytes")
		}
		l.State, l.HasState = []byte(state[0]), true
	}
	if l.Redirect = values.Get("post_logout_redirect_uri"); l.Redirect != "" && !leads(c, l.Redirect) {
		return nil, l, refused(invalidRequest, "the address to which the application wants you to return is not one of its own")
	}
	return c, l, nil
}

func leads(c *federation.Client, uri string) bool {
	return slices.Contains(c.OIDC.PostLogoutRedirectURIs, uri) && landing(uri)
}

// ask shows the page that asks. What it posts is sealed, and names the browser's
// session: so it cannot be posted for somebody else from another site.
func (p *Provider) ask(w http.ResponseWriter, r *http.Request, c *federation.Client, l leaving) {
	if p.Confirm == nil {
		p.Core.Sorry(w, r, http.StatusBadRequest, "We cannot tell that it is you who wants to sign out.")
		return
	}
	b, err := pack(l)
	var sealed string
	if err == nil {
		sealed, err = p.Core.Seal(c.Tenant, kindLogout, b)
	}
	if err != nil {
		p.trouble(r, c, err)
		p.Core.Sorry(w, r, http.StatusInternalServerError, "Something went wrong on our side.")
		return
	}
	w.Header().Set("Cache-Control", "no-store")
	p.Confirm(w, r, Prefix+c.Tenant+"/logout", map[string]string{"confirm": sealed}, "Do you want to sign out?")
}

// confirmed is what the page that asks posts.
func (p *Provider) confirmed(w http.ResponseWriter, r *http.Request, sealed string) {
	tenant := r.PathValue("tenant")
	again := func() { p.Core.Sorry(w, r, http.StatusBadRequest, "This page is too old: sign out once more.") }
	var l leaving
	b, err := p.Core.Open(tenant, kindLogout, sealed)
	if err != nil || unpack(b, &l) != nil || p.Now().Sub(l.At) > askLife {
		again()
		return
	}
	c := p.client(tenant, l.Client)
	if c == nil || l.Redirect != "" && !leads(c, l.Redirect) {
		again()
		return
	}
	session, err := p.Core.Session(r.Context(), p.Core.Browser(r), c)
	if err != nil {
		p.trouble(r, c, err)
		p.Core.Sorry(w, r, statusOf(err), sentence(errorOf(err).Description))
		return
	}
	// Without a session there is nothing of the browser's in what was sealed. Such a
	// page is shown to somebody whose cookies another site's form kept back; they are
	// there when the page posts to its own site, and only then.
	site := r.Header.Get("Sec-Fetch-Site")
	if l.Session != "" && session != l.Session || site != "" && site != "same-origin" {
		again()
		return
	}
	// The session of a hint that was another's is none of this browser's business.
	l.SID = ""
	p.end(w, r, c, l, p.Leave)
}

// end ends the sessions and sends the browser on, by a page if leave is not nil, or
// tells the person.
func (p *Provider) end(w http.ResponseWriter, r *http.Request, c *federation.Client, l leaving, leave func(http.ResponseWriter, *http.Request, string, string)) {
	set, err := p.Core.End(r.Context(), p.Core.Browser(r), c, l.SID)
	if err != nil {
		p.trouble(r, c, err)
		p.Core.Sorry(w, r, statusOf(err), sentence(errorOf(err).Description))
		return
	}
	p.Core.Cookies(w, set)
	if l.Redirect == "" {
		p.Core.Sorry(w, r, http.StatusOK, "You are signed out.")
		return
	}
	var give [][2]string
	if l.HasState {
		give = append(give, [2]string{"state", string(l.State)})
	}
	to := withQuery(l.Redirect, give)
	if leave != nil && webAddress(to) {
		leave(w, r, cmp.Or(c.Name, c.ID), to)
		return
	}
	seeOther(w, to)
}
