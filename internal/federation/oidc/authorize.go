package oidc

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// authorize is the authorization endpoint (OpenID Connect Core 1.0, 3.1.2). Nothing
// is redirected before client and redirect_uri are known to belong together; until
// then what is wrong is shown to the person. After that everything is told to the
// client, in a redirect.
func (p *Provider) authorize(w http.ResponseWriter, r *http.Request) {
	if r.Method == http.MethodHead {
		w.Header().Set("Allow", "GET, POST")
		w.WriteHeader(http.StatusMethodNotAllowed) // whoever only looks begins nothing
		return
	}
	tenant := r.PathValue("tenant")
	values, twice := parameters(r)
	if twice != nil && !errors.Is(twice, errTwice) {
		e := errorOf(twice)
		p.Core.Sorry(w, r, e.Status, sentence(e.Description))
		return
	}
	var c *federation.Client
	if len(values["client_id"]) == 1 {
		c = p.client(tenant, values.Get("client_id"))
	}
	if c == nil {
		p.Core.Sorry(w, r, http.StatusBadRequest, "The application that sent you here is not known.")
		return
	}
	var pushed *federation.Pushed
	if uri := values.Get("request_uri"); strings.HasPrefix(uri, requestURI) && len(values["request_uri"]) == 1 {
		var err error
		if values, pushed, err = p.pushed(r.Context(), c, uri); err != nil {
			p.trouble(r, c, err)
			p.Core.Sorry(w, r, statusOf(err), sentence(errorOf(err).Description))
			return
		}
		twice = nil // of the pushed ones none is
	}
	redirect, ok := redirectOf(c, values)
	if !ok {
		p.Core.Sorry(w, r, http.StatusBadRequest, "The address to which the application wants you to return is not one of its own.")
		return
	}

	q, err := answerTo(c, redirect, values)
	var a federation.Ask
	if err == nil && twice != nil {
		err = refused(invalidRequest, twice.Error())
	}
	if err == nil {
		a, err = p.check(r.Context(), c, q, values, pushed != nil)
	}
	if err == nil && pushed != nil {
		if err = p.use(r.Context(), pushed); statusOf(err) == http.StatusBadRequest && err != nil {
			// Somebody was quicker, and is on the way: an error to the client in between
			// would end what goes on there.
			p.Core.Sorry(w, r, http.StatusBadRequest, sentence(errorOf(err).Description))
			return
		}
	}
	if err != nil {
		p.fail(w, r, c, q, err)
		return
	}
	step, err := p.Core.Begin(r.Context(), p.Core.Browser(r), a)
	if err != nil {
		p.fail(w, r, c, q, err)
		return
	}
	if a.Silent && step.Answer == nil { // Core says so itself: this is for a mistake there
		p.fail(w, r, c, q, refused(interactionRequired, "somebody would have to do something"))
		return
	}
	p.Core.Cookies(w, step.Set)
	if step.Answer != nil {
		p.Finish(w, r, a, step.Answer, nil)
		return
	}
	seeOther(w, step.Go)
}

// seeOther sends the browser on: by GET, whatever it came by, and without telling from
// where.
func seeOther(w http.ResponseWriter, to string) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Location", to)
	w.WriteHeader(http.StatusSeeOther)
}

// hints says whom a request believes the person to be. It asks, and proves nothing:
// not even a token that we signed ourselves does, since it went through a browser. sub
// is the one that claims asks for.
func (p *Provider) hints(ctx context.Context, a *federation.Ask, q *request, values url.Values, sub string) error {
	hint, token := values.Get("login_hint"), values.Get("id_token_hint")
	if !word(hint, maxHint) {
		return refused(invalidRequest, "login_hint must be text of at most 512 bytes")
	}
	if len(token) > maxToken {
		return refused(invalidRequest, "id_token_hint is too long")
	}
	q.Hint, a.Hint = hint, hint
	switch {
	case a.Client.Profile == federation.ProfileEntra && q.ResponseType == typeIDToken:
		if token == "" {
			return refused(invalidRequest, "id_token_hint is missing: it says whom Entra asks for")
		}
		u, err := p.entraHinted(ctx, a.Client, token)
		if err != nil {
			return err
		}
		a.Hint, q.Hint = u.User, u.keep()
	case token != "":
		claims, err := p.ownHint(ctx, a.Client, token)
		if err != nil {
			return err
		}
		subject, ok := p.Core.SubjectOf(a.Client, claims.Subject)
		if !ok {
			return refused(invalidRequest, "id_token_hint names nobody whom this client knows")
		}
		a.HintSubject = subject
	}
	if sub == "" || q.ResponseType == typeIDToken {
		return nil // Entra's subjects are not ours
	}
	// The claim sub with a value (OpenID Connect Core 1.0, 5.5.1) is a hint that the
	// answer is held to.
	subject, ok := p.Core.SubjectOf(a.Client, sub)
	if !ok || a.HintSubject != "" && a.HintSubject != subject {
		return refused(loginRequired, "nobody can sign in as the sub that is asked for")
	}
	a.HintSubject = subject
	return nil
}

// hintClaims are what counts of an ID token that comes back to us.
type hintClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Session  string   `json:"sid"`
}

// ownHint reads an ID token that we issued to the client. That it has expired does not
// matter (OpenID Connect RP-Initiated Logout 1.0, section 2, says so for both uses).
func (p *Provider) ownHint(ctx context.Context, c *federation.Client, token string) (hintClaims, error) {
	claims, err := p.anyHint(ctx, c.Tenant, token)
	if err == nil && !slices.Contains(claims.Audience, c.ID) {
		err = refused(invalidRequest, "id_token_hint was not issued to this client")
	}
	return claims, err
}

func (p *Provider) anyHint(ctx context.Context, tenant, token string) (hintClaims, error) {
	var claims hintClaims
	if len(token) > maxToken {
		return claims, refused(invalidRequest, "id_token_hint is too long")
	}
	payload, err := p.Keys.Verify(ctx, tenant, token)
	if err != nil {
		if e := errorOf(err); e.Code == temporarilyUnavailable {
			return claims, err
		}
		return claims, refused(invalidRequest, "id_token_hint is not signed by us")
	}
	if json.Unmarshal(payload, &claims) != nil || claims.Issuer != p.issuer(tenant) || claims.Subject == "" || len(claims.Audience) == 0 {
		return claims, refused(invalidRequest, "id_token_hint is not an ID token of ours")
	}
	return claims, nil
}

// trouble writes down what is wrong on our side; the rest is the client's to look at.
func (p *Provider) trouble(r *http.Request, c *federation.Client, err error) {
	if errorOf(err).ours() && r.Context().Err() == nil {
		p.Logger.ErrorContext(r.Context(), "federation: front channel", "tenant", c.Tenant, "client", c.ID, "error", err)
	}
}

func statusOf(err error) int {
	if err == nil {
		return http.StatusOK
	}
	return errorOf(err).Status
}

// sentence is a description as a person reads it. Descriptions are ours, and have
// nothing of the request in them.
func sentence(s string) string {
	if s == "" {
		return "Something is wrong with this request."
	}
	s = strings.ToUpper(s[:1]) + s[1:]
	if !strings.HasSuffix(s, ".") {
		s += "."
	}
	return s
}
