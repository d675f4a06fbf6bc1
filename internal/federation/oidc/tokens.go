package oidc

import (
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"maps"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// tokenInput is what an ID token or a UserInfo answer is made from.
type tokenInput struct {
	Client      *federation.Client
	Request     request
	Asked       []string // acr values that were asked
	Answer      *federation.Answer
	Issuer      string
	Now         time.Time
	AccessToken string // issued beside the ID token; "" for none
	TTL         time.Duration
}

// idToken is the payload of an ID token (OpenID Connect Core 1.0 section 2). auth_time
// is always there; acr when one holds, whether or not it is the one that was asked
// for (Core 5.5.1.1: a voluntary one that is not met is no failure, and an essential
// one never gets here). There is one audience, so no azp.
//
// An answer that is not about the sub that the claims parameter named, and one that
// does not meet what a profile insists on, are *proof.Error with CodeLoginRequired and
// CodeUnmet.
func idToken(in tokenInput) (map[string]any, error) {
	asked, err := in.check()
	if err != nil {
		return nil, err
	}
	if in.TTL <= 0 {
		return nil, errors.New("oidc: an ID token without an end")
	}
	a := in.Answer
	out := map[string]any{
		"iss": in.Issuer, "aud": in.Client.ID, "sub": a.Sub,
		"iat": in.Now.Unix(), "exp": in.Now.Add(in.TTL).Unix(), "auth_time": a.AuthTime.Unix(),
	}
	if in.Request.Nonce != "" {
		out["nonce"] = in.Request.Nonce
	}
	if in.AccessToken != "" {
		out["at_hash"] = halfHash(in.AccessToken)
	}
	if in.entra() {
		// Its contract is closed: these claims, and nothing of the person.
		if err := entraClaims(out, in, asked); err != nil {
			return nil, err
		}
		return out, nil
	}
	if a.Session != "" {
		out["sid"] = a.Session
	}
	if a.ACR != "" {
		out["acr"] = a.ACR
	}
	if len(a.AMR) > 0 {
		out["amr"] = slices.Clone(a.AMR)
	}
	add(out, asked.idToken.chosen(a, in.Now))
	if in.Client.Profile == federation.ProfileOkta {
		// A verdict is all that it wants: whose names matched need not be told as well.
		if v := oktaClaims(asked, a); v != nil {
			out["verified_claims"] = v
		}
		return out, nil
	}
	// Descope takes its claims from wherever it looks, and says in no parameter which.
	if in.Client.Profile == federation.ProfileDescope || in.has("profile") {
		add(out, flatOf(in))
	}
	if v := verifiedClaims(asked.idToken, a, in.Now); v != nil {
		out["verified_claims"] = v
	}
	return out, nil
}

// userinfo is what the UserInfo endpoint answers (Core 5.3.2): sub, the claims of the
// scopes (5.4), those that were asked for one by one, and the flat copies. The scope
// identity_assurance alone, without a word about which verified claims, gives all that
// the client may see (OIDC4IDA 5.8).
func userinfo(in tokenInput) (map[string]any, error) {
	asked, err := in.check()
	if err != nil {
		return nil, err
	}
	a, out := in.Answer, map[string]any{"sub": in.Answer.Sub}
	for scope, names := range scopeClaims {
		if in.has(scope) {
			known := personOf(a)
			maps.DeleteFunc(known, func(n string, _ any) bool { return !slices.Contains(names, n) })
			add(out, known)
		}
	}
	add(out, flatOf(in))
	add(out, asked.userinfo.chosen(a, in.Now))
	var v any
	switch {
	case len(asked.userinfo.verified) > 0:
		v = verifiedClaims(asked.userinfo, a, in.Now)
	case in.has("identity_assurance") && !asked.wantsProofing():
		if e := elementOf(a); e != nil {
			v = e
		}
	}
	if v != nil {
		out["verified_claims"] = v
	}
	return out, nil
}

// check refuses what no token may be made of, and reads the claims parameter again.
func (in tokenInput) check() (claimsRequest, error) {
	if in.Client == nil || in.Answer == nil || in.Client.ID == "" || in.Answer.Sub == "" || in.Issuer == "" || in.Answer.AuthTime.IsZero() {
		return claimsRequest{}, errors.New("oidc: a token about nobody")
	}
	asked, err := claimsFrom(in.Request.Claims)
	if err != nil {
		return asked, err
	}
	// Core 5.5.1: an answer about anybody else must not be given.
	if sub := asked.sub(); sub != "" && sub != in.Answer.Sub && !in.entra() {
		return asked, &proof.Error{Code: proof.CodeLoginRequired, Message: "the subject that was asked for is not signed in"}
	}
	return asked, nil
}

// entra reports whether this is for Entra's implicit request. A client of that profile
// that uses the code flow is one like any other.
func (in tokenInput) entra() bool {
	return in.Client.Profile == federation.ProfileEntra && in.Request.ResponseType == "id_token"
}

func (in tokenInput) has(scope string) bool { return slices.Contains(in.Request.Scope, scope) }

// add puts what is not there yet. Nothing replaces a claim that is about the token.
func add(out, more map[string]any) {
	for name, v := range more {
		if _, has := out[name]; !has && !reserved[name] {
			out[name] = v
		}
	}
}

// reserved are the claims that only the code above sets.
var reserved = map[string]bool{
	"iss": true, "sub": true, "aud": true, "exp": true, "iat": true, "nbf": true, "jti": true, "nonce": true, "azp": true,
	"at_hash": true, "c_hash": true, "sid": true, "amr": true, "verified_claims": true,
}

// scopeClaims are the claims of Core 5.4 that we can have.
var scopeClaims = map[string][]string{
	"profile": {"given_name", "family_name", "name", "birthdate", "gender", "preferred_username"},
	"email":   {"email", "email_verified"},
}

// personOf is all that can be told about the person by name, flat copies included.
//
// Names and the like are what the document said. Who the person is to the customer
// (preferred_username, email, user_identifier) follows from one thing alone, that the
// enrolled face of that account was matched in this session: whoever shows a valid
// passport is somebody, but whose account a login_hint names is a claim of a browser's.
// A relying party that joins accounts by e-mail, as Descope does, would hand over the
// account. So after a proofing alone there is no e-mail, verified or not.
//
// After a match the identifier that the customer gave the account is told as email if
// it is an address, and as verified: it is the very name under which the customer's own
// back end, authenticated, had this face enrolled.
func personOf(a *federation.Answer) map[string]any {
	out := federation.Flat(a)
	out["auth_time"] = a.AuthTime.Unix() // in OpenID a number
	if g := a.Outcome.Claims.Gender; g != "" {
		out["gender"] = g
	}
	if n := a.Outcome.Claims.Nationality; n != "" {
		out["nationality"] = n
	}
	if a.Matched && a.Identifier != "" {
		out["preferred_username"] = a.Identifier
		if address(a.Identifier) {
			out["email"], out["email_verified"] = a.Identifier, true
		}
	}
	return out
}

// flatOf is the flat copies for this client. Those about the person take a scope that
// asks about persons: a client with openid alone learns how sure we are, not of whom.
// Descope's settings have no place to say more than the scopes, and its mapping is
// what decides there.
func flatOf(in tokenInput) map[string]any {
	out := federation.Flat(in.Answer)
	out["auth_time"] = in.Answer.AuthTime.Unix()
	if in.Client.Profile != federation.ProfileDescope && !in.has("profile") && !in.has("identity_assurance") {
		maps.DeleteFunc(out, func(name string, _ any) bool { return federation.FlatPersonal(name) })
	}
	return out
}

// chosen gives the claims that are asked for one by one (Core 5.5.1). One whose value
// is to be another is left out, essential or not.
func (s claimsSection) chosen(a *federation.Answer, now time.Time) map[string]any {
	if len(s.claims) == 0 {
		return nil
	}
	known, out := personOf(a), map[string]any{}
	for name, w := range s.claims {
		if v, has := known[name]; has && w.met(v, now) {
			out[name] = v
		}
	}
	return out
}

// address reports whether an identifier is an e-mail address and nothing else. It is
// strict, since the other side may find an account by it: ASCII, as it is written.
func address(s string) bool {
	a, err := mail.ParseAddress(s)
	local, domain, _ := strings.Cut(s, "@")
	return err == nil && a.Name == "" && a.Address == s && len(s) <= 254 && local != "" && !strings.ContainsAny(s, "\"<>() ") &&
		strings.Contains(strings.Trim(domain, "."), ".") && !strings.HasPrefix(domain, "[") &&
		!strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' })
}

// halfHash is at_hash (Core 3.1.3.6): both ES256 and RS256 go with SHA-256.
func halfHash(token string) string {
	h := sha256.Sum256([]byte(token))
	return base64.RawURLEncoding.EncodeToString(h[:len(h)/2])
}
