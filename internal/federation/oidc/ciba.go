package oidc

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	kindCIBA     = "ciba"      // of federation.Pushed
	kindCIBASeal = "oidc-ciba" // for Core.Seal

	pollEvery  = 2 * time.Second        // CIBA: interval
	pollSlower = 5 * time.Second        // added by each slow_down (CIBA Core 1.0, 11)
	pollSlack  = 500 * time.Millisecond // a network does not deliver on the dot

	bindingMax = 64 // characters of a binding_message

	unknownUserID = "unknown_user_id"
	slowDown      = "slow_down"
	pending       = "authorization_pending"
	expiredToken  = "expired_token"
)

// cibaRequest is what is remembered of a request until it is redeemed.
type cibaRequest struct {
	Ask       federation.Ask `json:"a"`
	Scope     []string       `json:"s"`
	Challenge string         `json:"c"`
	Interval  time.Duration  `json:"i"`
	Ended     string         `json:"e,omitempty"` // the error that it ended with: Core is asked no more
}

// cibaStarted is the answer of CIBA Core 1.0, 7.3.
type cibaStarted struct {
	AuthReqID string `json:"auth_req_id"`
	ExpiresIn int    `json:"expires_in"` // seconds, as Interval
	Interval  int    `json:"interval"`
	// ChallengeURL is an extension of ours: the page where the person shows the face.
	// CIBA leaves to the provider how it reaches the person's device. The 1Kosmos app is
	// not ours to call, so that it is the client (or a rule of door C) that brings the
	// person there; a client that ignores it waits for nothing. Whoever opens it first is
	// asked for the face of the one that the client named, and nobody else's will do.
	ChallengeURL string `json:"challenge_url"`
}

// backchannel is the backchannel authentication endpoint (OpenID Client-Initiated
// Backchannel Authentication Core 1.0, section 7), in poll mode.
//
//	client                 here                      person
//	   │ bc-authorize ─────▶ challenge opened
//	   │◀─ auth_req_id, challenge_url ─┐
//	   │ token ────▶ authorization_pending, slow_down
//	   │                                 ◀── face ──── │
//	   │ token ────▶ tokens, once; or access_denied, expired_token
func (p *Provider) backchannel(w http.ResponseWriter, r *http.Request) {
	tenant := r.PathValue("tenant")
	client, err := p.caller(r, tenant)
	if err != nil {
		p.failBack(w, r, err)
		return
	}
	started, err := p.startCIBA(r.Context(), tenant, client, r)
	if err != nil {
		p.failBack(w, r, err)
		return
	}
	w.Header().Set("Pragma", "no-cache")
	writeJSON(w, http.StatusOK, started)
}

func (p *Provider) startCIBA(ctx context.Context, tenant string, client *federation.Client, r *http.Request) (cibaStarted, error) {
	none := cibaStarted{}
	form := r.PostForm
	if client.OIDC.AuthMethod == methodNone || !slices.Contains(client.OIDC.Grants, grantCIBA) {
		return none, refused(unauthorizedClient, "this client may not start an authentication without a browser")
	}
	switch {
	case form.Has("request"):
		return none, refused(invalidRequest, "request objects are not supported: the client authenticates instead")
	case form.Has("user_code"): // whoever sends one believes that it is checked
		return none, refused(invalidRequest, "user_code is not supported")
	}
	asked := strings.Fields(form.Get("scope"))
	if len(form.Get("scope")) > maxScope || !slices.Contains(asked, scopeOpenID) {
		return none, refused(invalidScope, "scope must have openid, and at most 1024 bytes")
	}
	message := form.Get("binding_message")
	if utf8.RuneCountInString(message) > bindingMax || !utf8.ValidString(message) || strings.ContainsFunc(message, func(c rune) bool { return !unicode.IsPrint(c) }) {
		return none, refused("invalid_binding_message", "binding_message must be at most 64 printable characters")
	}
	wanted, err := requestedExpiry(form.Get("requested_expiry"))
	if err != nil {
		return none, err
	}
	ask := federation.Ask{Client: client, Tenant: tenant, ClientID: client.ID, Protocol: federation.OIDC}
	if err := acrOf(&ask, client, asked, form.Get("acr_values"), claimsRequest{}, true); err != nil {
		return none, err
	}
	if client.Essential && len(client.DefaultACR) > 0 && len(ask.ACR) == 0 {
		ask.Essential = true
	}
	if err := p.cibaHint(ctx, &ask, r); err != nil {
		return none, err
	}

	id, url, ends, err := p.Core.Challenge(ctx, ask, message, wanted)
	if err != nil {
		return none, cibaTrouble(err)
	}
	now := p.Now()
	if limit := now.Add(wanted); wanted > 0 && limit.Before(ends) {
		ends = limit
	}
	seconds := int(ends.Sub(now) / time.Second)
	if seconds < 1 {
		return none, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonTimeLimit, Temporary: true, Message: "the challenge is over already"}
	}
	sealed, err := p.sealCIBA(tenant, cibaRequest{Ask: ask, Scope: scopesOf(client, asked), Challenge: id, Interval: pollEvery})
	if err != nil {
		return none, err
	}
	secret := newSecret()
	err = p.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		return tx.InsertPushed(&federation.Pushed{
			Tenant: tenant, Kind: kindCIBA, Hash: tokenHash(secret), Client: client.ID, Sealed: sealed, CreatedAt: now, ExpiresAt: ends,
		})
	})
	if err != nil {
		return none, err
	}
	return cibaStarted{AuthReqID: secret, ExpiresIn: seconds, Interval: int(pollEvery / time.Second), ChallengeURL: url}, nil
}

// requestedExpiry is how long the client wants to wait at most; zero: as long as may be.
func requestedExpiry(s string) (time.Duration, error) {
	if s == "" {
		return 0, nil
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if errors.Is(err, strconv.ErrRange) {
		return 0, nil // longer than a challenge lives in any case
	}
	if err != nil || n == 0 {
		return 0, refused(invalidRequest, "requested_expiry must be a positive number of seconds")
	}
	return time.Duration(n) * time.Second, nil
}

// cibaHint reads who is to be asked: exactly one hint says so (CIBA Core 1.0, 7.1).
func (p *Provider) cibaHint(ctx context.Context, ask *federation.Ask, r *http.Request) error {
	form := r.PostForm
	hints := 0
	for _, name := range []string{"login_hint", "id_token_hint", "login_hint_token"} {
		if form.Has(name) {
			hints++
		}
	}
	hint, token := form.Get("login_hint"), form.Get("id_token_hint")
	switch {
	case hints != 1:
		return refused(invalidRequest, "there must be exactly one of login_hint and id_token_hint")
	case form.Has("login_hint_token"):
		return refused(invalidRequest, "login_hint_token is not supported: use login_hint or id_token_hint")
	case hint != "" && !word(hint, maxHint):
		return refused(invalidRequest, "login_hint must be text of at most 512 bytes")
	case hint != "":
		ask.Hint = hint
		return nil
	}
	claims, err := p.ownHint(ctx, ask.Client, token)
	if err != nil {
		return err
	}
	var ok bool
	if ask.HintSubject, ok = p.Core.SubjectOf(ask.Client, claims.Subject); !ok || ask.HintSubject == "" {
		return refused(unknownUserID, "there is nobody by that name any more")
	}
	return nil
}

// cibaTrouble is why a challenge cannot begin. That there is no such user, or none
// with a face to compare, is told: the client has authenticated, and door A answers
// callers like it the same question.
func cibaTrouble(err error) error {
	switch reason := proof.ReasonOf(err); {
	case reason == proof.ReasonUserUnknown || reason == proof.ReasonUserNotEnrolled || reason == proof.ReasonUserDisabled || missing(err):
		return refused(unknownUserID, "there is nobody by that name whose face could be compared")
	case proof.CodeOf(err) == proof.CodeDenied:
		return oauthError{Code: accessDenied, Description: errorOf(err).Description, Status: http.StatusForbidden} // CIBA Core 1.0, 13
	}
	return err
}

// poll is the grant urn:openid:params:grant-type:ciba. An auth_req_id is good once. The
// second time is invalid_grant and ends nothing: no browser ever saw it, and a client
// that lost the answer may ask again.
func (p *Provider) poll(ctx context.Context, tenant string, client *federation.Client, r *http.Request) (tokens, error) {
	id := r.PostForm.Get("auth_req_id")
	if id == "" {
		return tokens{}, refused(invalidRequest, "auth_req_id is missing")
	}
	now := p.Now()
	pushed, rq, err := p.notePoll(ctx, tenant, client, tokenHash(id), now)
	if err != nil {
		return tokens{}, err
	}
	ask := rq.Ask
	ask.Client = client
	answer, err := p.Core.ChallengeAnswer(ctx, ask, rq.Challenge)
	switch {
	case err != nil:
		err = pollTrouble(err)
	case answer == nil:
		err = refused(pending, "the person has not answered yet")
	case !answer.Matched || answer.Subject == "" || ask.HintSubject != "" && ask.HintSubject != answer.Subject:
		err = refused(accessDenied, "the face was not matched")
	case ask.Essential && !answer.Met:
		err = refused(accessDenied, "the assurance that was asked for was not reached")
	}
	if err != nil {
		return tokens{}, p.endCIBA(ctx, pushed, rq, err)
	}
	return p.issue(ctx, issuance{
		tenant: tenant, client: client, grant: grantCIBA, scope: rq.Scope, answer: answer, of: spent(kindCIBA, id),
		code: code{Client: client.ID, Session: answer.Session, Request: request{Scope: rq.Scope}, ACR: answer.ACR, Asked: ask.ACR, IssuedAt: now},
		also: func(tx federation.Tx) error {
			used := pushed // fn may run again: each time from the same version
			used.UsedAt, used.Sealed = now, nil
			if err := tx.UpdatePushed(&used); errors.Is(err, proof.ErrStale) {
				return refused(slowDown, "two polls came at once")
			} else {
				return err
			}
		},
	})
}

// notePoll finds the request and writes down that it was polled: a client that comes
// too early is told to slow down, and has to wait longer each time.
func (p *Provider) notePoll(ctx context.Context, tenant string, client *federation.Client, hash []byte, now time.Time) (federation.Pushed, cibaRequest, error) {
	var pushed federation.Pushed
	var rq cibaRequest
	early := false
	err := p.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		found, err := tx.Pushed(tenant, kindCIBA, hash)
		switch {
		case missing(err) || err == nil && found.Client != client.ID:
			return refused(invalidGrant, "auth_req_id is not one that was given to this client")
		case err != nil:
			return err
		case !found.UsedAt.IsZero():
			return refused(invalidGrant, "auth_req_id was redeemed before")
		case !now.Before(found.ExpiresAt):
			return refused(expiredToken, "the person did not answer in time")
		}
		if rq, err = p.openCIBA(tenant, client.ID, found.Sealed); err != nil {
			return err
		}
		if rq.Ended != "" {
			return refused(rq.Ended, "the person did not come through")
		}
		if early = !found.PolledAt.IsZero() && now.Sub(found.PolledAt) < rq.Interval-pollSlack; early {
			rq.Interval += pollSlower
			if found.Sealed, err = p.sealCIBA(tenant, rq); err != nil {
				return err
			}
		}
		found.PolledAt = now
		if err := tx.UpdatePushed(found); err != nil {
			return err
		}
		pushed = *found
		return nil
	})
	switch {
	case errors.Is(err, proof.ErrStale):
		return pushed, rq, refused(slowDown, "two polls came at once")
	case err != nil:
		return pushed, rq, err
	case early:
		return pushed, rq, refused(slowDown, "wait "+strconv.Itoa(int(rq.Interval/time.Second))+" seconds between polls")
	}
	return pushed, rq, nil
}

// endCIBA writes down that a request ended with err, if it did: each time that Core
// says so it is written to the audit log, and a client that polls on would fill it.
func (p *Provider) endCIBA(ctx context.Context, pushed federation.Pushed, rq cibaRequest, err error) error {
	if rq.Ended = errorOf(err).Code; rq.Ended != accessDenied && rq.Ended != expiredToken {
		return err
	}
	rq.Ask = federation.Ask{ClientID: rq.Ask.ClientID} // whom it was about is needed no more
	sealed, trouble := p.sealCIBA(pushed.Tenant, rq)
	if trouble != nil {
		return trouble
	}
	trouble = p.Store.UpdateFederation(ctx, func(tx federation.Tx) error {
		ended := pushed
		ended.Sealed = sealed
		return tx.UpdatePushed(&ended)
	})
	if trouble != nil && !errors.Is(trouble, proof.ErrStale) { // stale: a poll that came meanwhile sees for itself
		return trouble
	}
	return err
}

// pollTrouble is how a challenge ended, if not well. What is only in the way right
// now stays that: the client comes again.
func pollTrouble(err error) error {
	switch code := proof.CodeOf(err); {
	case code == proof.CodeDenied && proof.ReasonOf(err) == proof.ReasonTimeLimit:
		return refused(expiredToken, "the person did not answer in time")
	case code == proof.CodeDenied || code == proof.CodeNotFound || code == proof.CodeUnmet || code == proof.CodeForbidden:
		return refused(accessDenied, "the person did not come through")
	}
	return err
}

func (p *Provider) sealCIBA(tenant string, rq cibaRequest) ([]byte, error) {
	b, err := pack(rq)
	if err != nil {
		return nil, err
	}
	sealed, err := p.Core.Seal(tenant, kindCIBASeal, b)
	return []byte(sealed), err
}

func (p *Provider) openCIBA(tenant, client string, sealed []byte) (cibaRequest, error) {
	var rq cibaRequest
	b, err := p.Core.Open(tenant, kindCIBASeal, string(sealed))
	if err == nil {
		err = unpack(b, &rq)
	}
	if err != nil || rq.Ask.ClientID != client {
		// It was ours when it was stored: a key is gone, or the row was tampered with.
		return rq, refused(invalidGrant, "auth_req_id can be redeemed no more")
	}
	return rq, nil
}
