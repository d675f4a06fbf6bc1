package oidc

import (
	"errors"
	"mime"
	"net/http"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// accessMax is bytes of an access token that are looked at: ours have 43.
const accessMax = 512

// userInfo is the UserInfo endpoint (OpenID Connect Core 5.3): what it answers was put
// together when the token was issued and is only opened here, so that it is one read,
// and goes with the person's key. The token comes in the header or, of a POST, in the
// form (RFC 6750, 2.1 and 2.2), never in the query. No CORS: a client of ours with a
// browser alone has the ID token.
func (p *Provider) userInfo(w http.ResponseWriter, r *http.Request) {
	token, err := bearer(r)
	if err == nil && token == "" {
		// RFC 6750, 3.1: nothing was tried, so nothing is said of what is wrong.
		w.Header().Set("WWW-Authenticate", `Bearer realm="federation"`)
		w.Header().Set("Cache-Control", "no-store")
		w.WriteHeader(http.StatusUnauthorized)
		return
	}
	var told []byte
	if err == nil {
		told, err = p.toldFor(r, r.PathValue("tenant"), token)
	}
	if err != nil {
		e := errorOf(err)
		if e.Status < http.StatusInternalServerError {
			w.Header().Set("WWW-Authenticate", `Bearer realm="federation", error="`+e.Code+`", error_description="`+describe(e.Description)+`"`)
		}
		p.failBack(w, r, err)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "application/json")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(told)
}

// bearer finds the access token; "" when none was sent, in any way.
func bearer(r *http.Request) (string, error) {
	var found []string
	for _, h := range r.Header.Values("Authorization") {
		scheme, token, _ := strings.Cut(h, " ")
		if !strings.EqualFold(scheme, "Bearer") {
			return "", errToken
		}
		found = append(found, strings.TrimSpace(token))
	}
	if r.URL.Query().Has("access_token") {
		return "", refused(invalidRequest, "an access token does not belong into an address")
	}
	if typ, _, err := mime.ParseMediaType(r.Header.Get("Content-Type")); r.Method == http.MethodPost && err == nil && typ == "application/x-www-form-urlencoded" {
		if err := backForm(r); err != nil {
			return "", err
		}
		if t := r.PostForm.Get("access_token"); t != "" {
			found = append(found, t)
		}
	}
	switch {
	case len(found) > 1:
		return "", refused(invalidRequest, "an access token must be sent once")
	case len(found) == 0:
		return "", nil
	case found[0] == "" || len(found[0]) > accessMax:
		return "", errToken
	}
	return found[0], nil
}

// errToken is one answer for a token that was never one, has expired or was revoked,
// whose person was erased or has logged out, and whose client is gone.
var errToken = error(oauthError{Code: "invalid_token", Description: "the access token is not valid, or not any more", Status: http.StatusUnauthorized})

// toldFor is what a token opens.
func (p *Provider) toldFor(r *http.Request, tenant, token string) ([]byte, error) {
	var told []byte
	err := p.Store.ViewFederation(r.Context(), func(tx federation.Tx) error {
		g, err := tx.GrantByToken(tenant, tokenHash(token))
		if err != nil {
			return err
		}
		if !p.Now().Before(g.ExpiresAt) || !g.RevokedAt.IsZero() || g.Sealed == nil || p.client(tenant, g.Client) == nil {
			return errToken
		}
		if g.Session != "" {
			// One that expired may be gone while the token still holds: only logging out ends both.
			s, err := tx.FederationSessionByID(tenant, g.Session)
			if err == nil && !s.EndedAt.IsZero() {
				return errToken
			}
			if err != nil && !missing(err) {
				return err
			}
		}
		subject, err := tx.Subject(tenant, g.Subject)
		if err != nil {
			return err
		}
		if !subject.ErasedAt.IsZero() {
			return errToken
		}
		told, err = p.Core.OpenFor(subject, "federation_grants", "sealed", g.ID, g.Sealed)
		return err
	})
	if missing(err) {
		return nil, errToken
	}
	return told, err
}

// missing reports whether err says that something is not there.
func missing(err error) bool {
	e, ok := errors.AsType[*proof.Error](err)
	return ok && e.Code == proof.CodeNotFound
}
