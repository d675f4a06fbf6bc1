package oidc

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	requestURI = "urn:ietf:params:oauth:request_uri:"
	kindPushed = "par"
	// kindParameters is for Core.Seal.
	kindParameters = "oidc-par"
	parLife        = 60 * time.Second
)

// par is the pushed authorization request endpoint (RFC 9126). What it takes is
// checked now, so that the client hears of a mistake, and again when it is used, since
// the client's configuration may be another by then.
func (p *Provider) par(w http.ResponseWriter, r *http.Request) {
	c, uri, err := p.push(r)
	if err != nil {
		if c != nil {
			p.trouble(r, c, err)
		}
		writeError(w, errorOf(err))
		return
	}
	writeJSON(w, http.StatusCreated, struct {
		RequestURI string `json:"request_uri"`
		ExpiresIn  int    `json:"expires_in"` // seconds
	}{uri, int(parLife / time.Second)})
}

func (p *Provider) push(r *http.Request) (*federation.Client, string, error) {
	values, err := parameters(r)
	if err != nil {
		if errors.Is(err, errTwice) {
			err = refused(invalidRequest, err.Error())
		}
		return nil, "", err
	}
	c, err := p.authenticate(r, r.PathValue("tenant"))
	if err != nil {
		return nil, "", err
	}
	if id := values.Get("client_id"); id != "" && id != c.ID {
		return c, "", refused(invalidRequest, "client_id is not the client that authenticates")
	}
	if values.Has("request_uri") { // RFC 9126, section 2.1
		return c, "", refused(invalidRequest, "request_uri cannot be pushed")
	}
	redirect, ok := redirectOf(c, values)
	if !ok {
		return c, "", refused(invalidRequest, "redirect_uri is not one that this client has registered")
	}
	q, err := answerTo(c, redirect, values)
	if err == nil {
		_, err = p.check(r.Context(), c, q, values, true)
	}
	if err != nil {
		return c, "", err
	}
	for _, name := range []string{"client_secret", "client_assertion", "client_assertion_type"} {
		values.Del(name)
	}
	values.Set("client_id", c.ID)
	plain := values.Encode()
	if len(plain) > maxQuery { // as through a browser; and a public client's may be anybody's
		return c, "", oauthError{invalidRequest, "the request is too large", http.StatusRequestEntityTooLarge}
	}
	sealed, err := p.Core.Seal(c.Tenant, kindParameters, []byte(plain))
	if err != nil {
		return c, "", err
	}
	secret := newSecret()
	now := p.Now()
	err = p.Store.UpdateFederation(r.Context(), func(tx federation.Tx) error {
		if c.OIDC.AuthMethod == methodNone {
			if err := p.roomToPush(tx, r, c.Tenant, now); err != nil {
				return err
			}
		}
		return tx.InsertPushed(&federation.Pushed{
			Tenant: c.Tenant, Kind: kindPushed, Hash: tokenHash(secret), Client: c.ID, Sealed: []byte(sealed),
			CreatedAt: now, ExpiresAt: now.Add(parLife),
		})
	})
	return c, requestURI + secret, err
}

// How often one network may push in the name of public clients: anybody can, and each time
// something is kept.
const (
	limitPushes = "federation.pushed"
	mostPushes  = 60
	pushesPer   = 10 * time.Minute
)

func (p *Provider) roomToPush(tx federation.Tx, r *http.Request, tenant string, now time.Time) error {
	key := tokenHash(limitPushes + "\x00" + journey.Network(p.Core.Browser(r).From).String())
	n, err := tx.Hits(tenant, limitPushes, key, now.Add(-pushesPer))
	if err != nil {
		return err
	}
	if n >= mostPushes {
		return &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonTooManyAttempts, Message: "too many requests from this network", RetryAfter: pushesPer}
	}
	return tx.Hit(tenant, limitPushes, key, now)
}

// errPushed is one sentence for whatever is wrong with a request_uri: an unknown, a
// foreign, an expired and a used one look the same.
var errPushed = refused("invalid_request_uri", "this request is not good any more: go back to the application and begin again")

// pushed reads what the client left with us. It does not count as used yet.
func (p *Provider) pushed(ctx context.Context, c *federation.Client, uri string) (url.Values, *federation.Pushed, error) {
	var found *federation.Pushed
	err := p.Store.ViewFederation(ctx, func(tx federation.Tx) (err error) {
		found, err = tx.Pushed(c.Tenant, kindPushed, tokenHash(strings.TrimPrefix(uri, requestURI)))
		return err
	})
	switch {
	case proof.CodeOf(err) == proof.CodeNotFound:
		return nil, nil, errPushed
	case err != nil:
		return nil, nil, err
	case found.Client != c.ID || !found.UsedAt.IsZero() || !p.Now().Before(found.ExpiresAt):
		return nil, nil, errPushed
	}
	plain, err := p.Core.Open(c.Tenant, kindParameters, string(found.Sealed))
	if err != nil {
		return nil, nil, err
	}
	values, err := url.ParseQuery(string(plain))
	if err != nil || values.Get("client_id") != c.ID {
		return nil, nil, errPushed
	}
	return values, found, nil
}

// use spends a pushed request: of two browsers that bring it one goes on. What it says of a
// person is under no key of theirs, so that it goes at once.
func (p *Provider) use(ctx context.Context, f *federation.Pushed) error {
	err := p.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		now, err := tx.Pushed(f.Tenant, f.Kind, f.Hash) // the transaction may run again
		if err != nil {
			return err
		}
		if !now.UsedAt.IsZero() {
			return errPushed
		}
		now.UsedAt, now.Sealed = p.Now(), nil
		return tx.UpdatePushed(now)
	})
	if proof.CodeOf(err) == proof.CodeNotFound || errors.Is(err, proof.ErrStale) {
		return errPushed
	}
	return err
}
