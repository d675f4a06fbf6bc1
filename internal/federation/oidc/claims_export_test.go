package oidc

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// What tests of the contents of tokens reach into.

// Claims is a claims parameter as it is after the journey in a code.
type Claims struct{ c claimsRequest }

func ParseClaims(raw string) (Claims, error) {
	c, err := parseClaims(raw)
	return Claims{c}, err
}

// Again parses what Compact wrote.
func (c Claims) Again() (Claims, error) {
	a, err := claimsFrom(c.c.compact())
	return Claims{a}, err
}

func (c Claims) Compact() json.RawMessage { return c.c.compact() }
func (c Claims) WantsProofing() bool      { return c.c.wantsProofing() }
func (c Claims) ACR() ([]string, bool)    { return c.c.acr() }
func (c Claims) AMR() []string            { return c.c.amr() }
func (c Claims) Sub() string              { return c.c.sub() }
func (c Claims) AuthTime() bool           { return c.c.authTime() }

// Verified answers verified_claims of the ID token's section.
func (c Claims) Verified(a *federation.Answer, now time.Time) any {
	return verifiedClaims(c.c.idToken, a, now)
}

// Input is a tokenInput.
type Input struct {
	Client       *federation.Client
	Claims       string // the parameter, as it came
	Scope        []string
	Nonce, Hint  string
	ResponseType string
	Answer       *federation.Answer
	Issuer       string
	Now          time.Time
	AccessToken  string
	TTL          time.Duration
}

func (in Input) input() (tokenInput, error) {
	c, err := parseClaims(in.Claims)
	return tokenInput{
		Client: in.Client, Answer: in.Answer, Issuer: in.Issuer, Now: in.Now, AccessToken: in.AccessToken, TTL: in.TTL,
		Request: request{Claims: c.compact(), Scope: in.Scope, Nonce: in.Nonce, Hint: in.Hint, ResponseType: in.ResponseType},
	}, err
}

func IDToken(in Input) (map[string]any, error) {
	t, err := in.input()
	if err != nil {
		return nil, err
	}
	return idToken(t)
}

func UserInfo(in Input) (map[string]any, error) {
	t, err := in.input()
	if err != nil {
		return nil, err
	}
	return userinfo(t)
}

// EntraHint verifies a hint; keep is what request.Hint has to be.
func (p *Provider) EntraHint(ctx context.Context, c *federation.Client, hint string) (user, keep string, err error) {
	u, err := p.entraHinted(ctx, c, hint)
	return u.User, u.keep(), err
}

func EntraKeep(user, sub string) string { return entraUser{User: user, Sub: sub}.keep() }

// SameName compares one claim of Okta's profile with a document.
func SameName(claim, want, has string, fuzzy bool) bool {
	c := docClaims(claim, has)
	return oktaCompared[claim](want, fuzzy, nil, c)
}

func docClaims(claim, has string) (c proof.Claims) {
	switch claim {
	case "given_name":
		c.GivenName = has
	case "family_name":
		c.FamilyName = has
	case "birthdate":
		c.BirthDate = has
	}
	return c
}
