package oidc

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	assertionType = "urn:ietf:params:oauth:client-assertion-type:jwt-bearer" // RFC 7523, 2.2
	assertionMax  = 8 << 10                                                  // bytes of one
	// assertionLife is how far ahead exp may be. We ask for five minutes and take ten:
	// libraries differ, and it bounds for how long a jti is remembered.
	assertionLife = 10 * time.Minute
	clockSkew     = 30 * time.Second
	credentialMax = 512 // bytes of a client_id or a client_secret

	methodBasic  = "client_secret_basic"
	methodPost   = "client_secret_post"
	methodSigned = "private_key_jwt"
	methodNone   = "none"

	kindJTI = "jti" // for Store.Use
)

// assertionAlgs may sign a client assertion: no symmetric one, and no none.
var assertionAlgs = []jose.SignatureAlgorithm{jose.ES256, jose.RS256, jose.PS256}

// errUnknownClient is one answer for every way in which a client is not who it
// says: that it does not exist is told to nobody.
var errUnknownClient = unauthenticated("the client could not be authenticated")

// unauthenticated is RFC 6749, 5.2: status 401, to which writeError adds WWW-Authenticate.
func unauthenticated(why string) error {
	return oauthError{Code: invalidClient, Description: why, Status: http.StatusUnauthorized}
}

// authenticate finds which client makes a request to an endpoint of the back channel
// (RFC 6749 2.3, RFC 7523, OpenID Connect Core 9). The form must have been parsed, with
// no parameter more than once; only what is in the body counts. Exactly one method is
// to be used. client_secret_basic and client_secret_post are one to us, since some
// clients find out by trying; no secret opens a client that signs assertions, and
// nothing but its name one that is public: PKCE protects what that one redeems.
func (p *Provider) authenticate(r *http.Request, tenant string) (*federation.Client, error) {
	form := r.PostForm
	id, assertion, typ := form.Get("client_id"), form.Get("client_assertion"), form.Get("client_assertion_type")
	header := r.Header.Values("Authorization")
	methods := len(header)
	if form.Get("client_secret") != "" { // RFC 6749, 3.2: without a value is as if it were not there
		methods++
	}
	if assertion != "" || typ != "" {
		methods++
	}
	switch {
	case methods > 1:
		return nil, refused(invalidRequest, "the client must authenticate by one method only")
	case len(header) == 1:
		name, secret, ok := basic(r)
		if !ok {
			return nil, errUnknownClient
		}
		if id != "" && id != name {
			return nil, refused(invalidRequest, "client_id is not the client that authenticates")
		}
		return p.bySecret(tenant, name, secret)
	case form.Get("client_secret") != "":
		return p.bySecret(tenant, id, form.Get("client_secret"))
	case methods == 1:
		if typ != assertionType || assertion == "" {
			return nil, refused(invalidRequest, "client_assertion and client_assertion_type belong together, and the type must be "+assertionType)
		}
		return p.byAssertion(r, tenant, id, assertion)
	case id == "":
		return nil, unauthenticated("the client must authenticate")
	}
	c := p.client(tenant, id)
	if c == nil || c.OIDC.AuthMethod != methodNone {
		return nil, errUnknownClient
	}
	return c, nil
}

// client is one that exists, holds and speaks our protocol, else nil.
func (p *Provider) client(tenant, id string) *federation.Client {
	if len(id) > credentialMax {
		return nil
	}
	c, ok := p.Core.Client(tenant, id)
	if !ok || c == nil || c.Disabled || c.Protocol != federation.OIDC || c.OIDC == nil {
		return nil
	}
	return c
}

// basic reads client_secret_basic, both parts of which are form-encoded (RFC 6749,
// 2.3.1 and appendix B).
func basic(r *http.Request) (id, secret string, ok bool) {
	user, password, ok := r.BasicAuth()
	if !ok {
		return "", "", false
	}
	id, err1 := url.QueryUnescape(user)
	secret, err2 := url.QueryUnescape(password)
	return id, secret, err1 == nil && err2 == nil
}

// bySecret does the same work whether or not there is such a client, and looks at all
// of its secrets whichever it is: time tells next to nothing.
func (p *Provider) bySecret(tenant, id, secret string) (*federation.Client, error) {
	if id == "" || secret == "" || len(id) > credentialMax || len(secret) > credentialMax {
		return nil, errUnknownClient
	}
	c := p.client(tenant, id)
	hashes := p.Core.Secrets(tenant, id)
	if len(hashes) == 0 {
		hashes = []federation.Secret{{Hash: make([]byte, sha256.Size)}} // the SHA-256 of nothing known
	}
	sum, match := sha256.Sum256([]byte(secret)), 0
	for _, s := range hashes {
		match |= subtle.ConstantTimeCompare(sum[:], s.Hash)
	}
	if match != 1 || c == nil || c.OIDC.AuthMethod != methodBasic && c.OIDC.AuthMethod != methodPost {
		return nil, errUnknownClient
	}
	return c, nil
}

// assertionClaims are those of RFC 7523, section 3.
type assertionClaims struct {
	Issuer   string   `json:"iss"`
	Subject  string   `json:"sub"`
	Audience audience `json:"aud"`
	Expires  *numeric `json:"exp"`
	Issued   *numeric `json:"iat"`
	Before   *numeric `json:"nbf"`
	ID       string   `json:"jti"`
}

// audience is one name or a list of them.
type audience []string

func (a *audience) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*a = audience{one}
		return nil
	}
	return json.Unmarshal(b, (*[]string)(a))
}

// numeric is a NumericDate (RFC 7519): seconds, maybe with a fraction.
type numeric float64

func (n numeric) time() time.Time {
	const far = 1 << 40 // beyond it time.Time would wrap around
	return time.Unix(int64(min(max(float64(n), -far), far)), 0)
}

// byAssertion checks a private_key_jwt. The audience must be our issuer, the token
// endpoint or the endpoint that was called, all of it: an assertion that is good
// somewhere else, too, could be brought here by whoever runs that place.
func (p *Provider) byAssertion(r *http.Request, tenant, id, assertion string) (*federation.Client, error) {
	if len(assertion) > assertionMax {
		return nil, errUnknownClient
	}
	j, err := jose.ParseSignedCompact(assertion, assertionAlgs)
	if err != nil || len(j.Signatures) != 1 {
		return nil, errUnknownClient
	}
	var claims assertionClaims
	if json.Unmarshal(j.UnsafePayloadWithoutVerification(), &claims) != nil || claims.Subject == "" || claims.Issuer != claims.Subject {
		return nil, errUnknownClient
	}
	if id != "" && id != claims.Subject {
		return nil, refused(invalidRequest, "client_id is not the client that authenticates")
	}
	c := p.client(tenant, claims.Subject)
	if c == nil || c.OIDC.AuthMethod != methodSigned {
		return nil, errUnknownClient
	}
	keys, err := p.keysOf(r.Context(), c, j.Signatures[0].Protected)
	if err != nil {
		return nil, err
	}
	payload, ok := verifiedBy(keys, j)
	if !ok {
		return nil, errUnknownClient
	}
	// From here on the claims are those of the client, which is told what is wrong.
	claims = assertionClaims{}
	if json.Unmarshal(payload, &claims) != nil {
		return nil, errUnknownClient
	}
	now := p.Now()
	if err := p.checkAssertion(r, tenant, &claims, now); err != nil {
		return nil, err
	}
	used := sha256.Sum256([]byte(c.ID + "\x00" + claims.ID))
	err = p.Store.UpdateFederation(r.Context(), func(tx federation.Tx) error {
		return tx.Use(tenant, kindJTI, used[:], now, claims.Expires.time().Add(clockSkew))
	})
	if errors.Is(err, proof.ErrStale) {
		return nil, unauthenticated("the jti of the client assertion was used before")
	}
	if err != nil {
		return nil, err
	}
	return c, nil
}

func (p *Provider) checkAssertion(r *http.Request, tenant string, claims *assertionClaims, now time.Time) error {
	bad := func(what string) error { return unauthenticated("the client assertion's " + what) }
	iss := p.issuer(tenant)
	ours := []string{iss, iss + "/token", strings.TrimSuffix(p.PublicURL, "/") + r.URL.Path}
	foreign := func(s string) bool { return !slices.Contains(ours, s) }
	switch {
	case len(claims.Audience) == 0 || slices.ContainsFunc(claims.Audience, foreign):
		return bad("aud must be the issuer or the token endpoint, and nothing else")
	case claims.Expires == nil:
		return bad("exp is missing")
	case !now.Before(claims.Expires.time().Add(clockSkew)):
		return bad("exp has passed")
	case claims.Expires.time().After(now.Add(assertionLife + clockSkew)):
		return bad("exp is too far ahead: five minutes are enough")
	case claims.Issued != nil && claims.Issued.time().After(now.Add(clockSkew)):
		return bad("iat is in the future")
	case claims.Before != nil && claims.Before.time().After(now.Add(clockSkew)):
		return bad("nbf is in the future")
	case claims.ID == "" || len(claims.ID) > 256:
		return bad("jti must be there, and at most 256 bytes long")
	}
	return nil
}

// keysOf is the client's keys that may have made a signature with this header.
func (p *Provider) keysOf(ctx context.Context, c *federation.Client, h jose.Header) ([]jose.JSONWebKey, error) {
	if len(c.OIDC.JWKS) > 0 {
		set, err := parseKeys(c.OIDC.JWKS)
		if err != nil {
			return nil, nil // configuration that holds no keys opens nothing
		}
		return candidates(set, h), nil
	}
	if c.OIDC.JWKSURI == "" {
		return nil, nil
	}
	return p.keysFor(ctx, c.OIDC.JWKSURI, h)
}
