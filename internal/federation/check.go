package federation

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"

	"github.com/go-jose/go-jose/v4"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Ways to authenticate at the token endpoint.
const (
	AuthBasic      = "client_secret_basic"
	AuthPost       = "client_secret_post"
	AuthPrivateKey = "private_key_jwt"
	AuthNone       = "none"
)

// Grants that a client may have besides authorization_code.
const (
	GrantRefresh = "refresh_token"
	GrantCIBA    = "urn:openid:params:grant-type:ciba"
)

// Signature algorithms of ID tokens.
const (
	ES256 = "ES256"
	RS256 = "RS256"
)

// NameID formats, as a client names them.
const (
	NameIDPersistent  = "persistent"
	NameIDTransient   = "transient"
	NameIDEmail       = "emailAddress"
	NameIDUnspecified = "unspecified"
)

// maxSession is the longest that a browser may go without being asked again.
const maxSession = 24 * time.Hour

// Confidential reports whether the client authenticates.
func (c *OIDCClient) Confidential() bool { return c.AuthMethod != AuthNone }

// HasSecret reports whether the client authenticates with a secret.
func (c *Client) HasSecret() bool {
	return c.OIDC != nil && (c.OIDC.AuthMethod == AuthBasic || c.OIDC.AuthMethod == AuthPost)
}

// Complete fills in what a document leaves to the defaults.
func (c *Client) Complete() {
	if o := c.OIDC; o != nil {
		if o.AuthMethod == "" {
			o.AuthMethod = AuthBasic
		}
		if o.Alg == "" {
			o.Alg = ES256
			if c.Profile == ProfileOkta || c.Profile == ProfileEntra {
				o.Alg = RS256
			}
		}
		if c.Profile == ProfileDescope {
			o.WithoutPKCE = true
		}
		if c.Profile == ProfileOkta {
			o.RequirePAR = true
		}
		if o.Entra != nil && o.Entra.UserClaim == "" {
			o.Entra.UserClaim = "preferred_username"
		}
	}
	if m := c.SAML; m != nil && m.NameID == "" {
		m.NameID = NameIDPersistent
	}
}

// Check says what is wrong with a client's document, field by field in the names of its
// JSON form; nil: nothing.
func (c *Client) Check() map[string]string {
	wrong := map[string]string{}
	bad := func(field, format string, args ...any) {
		if wrong[field] == "" {
			wrong[field] = fmt.Sprintf(format, args...)
		}
	}
	if c.ID == "" || len(c.ID) > 128 || strings.ContainsFunc(c.ID, func(r rune) bool { return r <= ' ' || r > '~' || r == '/' }) {
		bad("client_id", "must be 1 to 128 visible ASCII characters without a slash")
	}
	if n := len([]rune(c.Name)); n == 0 || n > 100 || strings.ContainsFunc(c.Name, unicode.IsControl) {
		bad("name", "must be 1 to 100 characters: it is shown to people")
	}
	if len([]rune(c.ConsentText)) > 500 {
		bad("consent_text", "must be at most 500 characters")
	}
	for _, list := range []struct {
		field string
		acrs  []string
	}{{"default_acr", c.DefaultACR}, {"allowed_acr", c.Allowed}} {
		for _, acr := range list.acrs {
			if !Known(acr) {
				bad(list.field, "%q is none of %s", acr, strings.Join(KnownACR(), ", "))
			}
		}
	}
	for _, acr := range c.DefaultACR {
		if !c.MayAsk(acr) {
			bad("default_acr", "%q is not among allowed_acr", acr)
		}
	}
	if c.Essential && len(c.DefaultACR) == 0 {
		bad("essential", "needs default_acr")
	}
	for _, name := range c.Claims {
		if !slices.Contains(journey.ClaimNames(), name) {
			bad("claims", "%q is none of %s", name, strings.Join(journey.ClaimNames(), ", "))
		}
	}
	for _, d := range c.DocumentTypes {
		if !d.Valid() {
			bad("document_types", "%q is none of passport, id_card, drivers_license", d)
		}
	}
	if c.Liveness != "" && !c.Liveness.Valid() {
		bad("liveness_mode", "%q is none of none, passive, active", c.Liveness)
	}
	if d := time.Duration(c.Session); d < 0 || d > maxSession {
		bad("session", "must be from 0s to %s", maxSession)
	}
	switch c.Protocol {
	case OIDC:
		if c.OIDC == nil || c.SAML != nil {
			bad("oidc", "protocol oidc needs oidc, and no saml")
			break
		}
		c.checkOIDC(bad)
	case SAML:
		if c.SAML == nil || c.OIDC != nil {
			bad("saml", "protocol saml needs saml, and no oidc")
			break
		}
		c.checkSAML(bad)
	default:
		bad("protocol", "%q is neither oidc nor saml", c.Protocol)
	}
	if !slices.Contains([]Profile{ProfileNone, ProfileDescope, ProfileOkta, ProfileEntra}, c.Profile) || c.Protocol == SAML && c.Profile != ProfileNone && c.Profile != ProfileDescope {
		bad("profile", "%q is none of descope, okta_idv, entra_eam, or not for saml", c.Profile)
	}
	if len(wrong) == 0 {
		return nil
	}
	return wrong
}

func (c *Client) checkOIDC(bad func(field, format string, args ...any)) {
	o := c.OIDC
	if len(o.RedirectURIs) == 0 {
		bad("oidc.redirect_uris", "name at least one")
	}
	for _, u := range o.RedirectURIs {
		if !webAddress(u) {
			bad("oidc.redirect_uris", "%q must be an absolute https address without a fragment (http on loopback only)", u)
		}
	}
	for _, u := range o.PostLogoutRedirectURIs {
		if !webAddress(u) {
			bad("oidc.post_logout_redirect_uris", "%q must be an absolute https address without a fragment (http on loopback only)", u)
		}
	}
	if !slices.Contains([]string{AuthBasic, AuthPost, AuthPrivateKey, AuthNone}, o.AuthMethod) {
		bad("oidc.token_endpoint_auth_method", "%q is none of client_secret_basic, client_secret_post, private_key_jwt, none", o.AuthMethod)
	}
	if o.AuthMethod == AuthPrivateKey && (len(o.JWKS) > 0) == (o.JWKSURI != "") {
		bad("oidc.jwks", "private_key_jwt needs either jwks or jwks_uri")
	}
	if len(o.JWKS) > 0 {
		var set jose.JSONWebKeySet
		if err := json.Unmarshal(o.JWKS, &set); err != nil || len(set.Keys) == 0 {
			bad("oidc.jwks", "must be a JSON Web Key Set (RFC 7517) with at least one key")
		}
		for _, k := range set.Keys {
			if !k.Valid() || !k.IsPublic() {
				bad("oidc.jwks", "must hold public keys only")
			}
		}
	}
	if o.JWKSURI != "" && !webAddress(o.JWKSURI) {
		bad("oidc.jwks_uri", "must be an https address")
	}
	if o.WithoutPKCE && !o.Confidential() {
		bad("oidc.without_pkce", "a client without authentication needs PKCE")
	}
	if o.Alg != ES256 && o.Alg != RS256 {
		bad("oidc.id_token_signed_response_alg", "%q is neither ES256 nor RS256", o.Alg)
	}
	for _, g := range o.Grants {
		if g != GrantRefresh && g != GrantCIBA {
			bad("oidc.grants", "%q is neither %s nor %s", g, GrantRefresh, GrantCIBA)
		}
		if g == GrantCIBA && !o.Confidential() {
			bad("oidc.grants", "CIBA is for clients that authenticate")
		}
	}
	if c.Profile == ProfileOkta && (!o.RequirePAR || !o.Confidential()) {
		bad("oidc.require_par", "Okta's contract makes pushed requests of a client that authenticates mandatory")
	}
	if (c.Profile == ProfileEntra) != (o.Entra != nil) {
		bad("oidc.entra", "belongs to profile entra_eam, and is needed there")
	}
	if e := o.Entra; e != nil && (!webAddress(e.Issuer) || !webAddress(e.JWKSURI) || e.AppID == "") {
		bad("oidc.entra", "issuer, jwks_uri (https) and app_id are needed")
	}
}

func (c *Client) checkSAML(bad func(field, format string, args ...any)) {
	m := c.SAML
	if m.EntityID == "" || len(m.EntityID) > 1024 {
		bad("saml.entity_id", "must be 1 to 1024 characters")
	}
	if len(m.ACS) == 0 {
		bad("saml.acs", "name at least one")
	}
	for _, u := range m.ACS {
		if !webAddress(u) {
			bad("saml.acs", "%q must be an absolute https address without a fragment (http on loopback only)", u)
		}
	}
	for _, text := range m.Certificates {
		block, rest := pem.Decode([]byte(text))
		if block == nil || block.Type != "CERTIFICATE" || strings.TrimSpace(string(rest)) != "" {
			bad("saml.certificates", "each must be one certificate in PEM")
			continue
		}
		if _, err := x509.ParseCertificate(block.Bytes); err != nil {
			bad("saml.certificates", "one cannot be read: %v", err)
		}
	}
	if m.SignedRequests && len(m.Certificates) == 0 {
		bad("saml.signed_requests", "needs certificates")
	}
	if !slices.Contains([]string{NameIDPersistent, NameIDTransient, NameIDEmail, NameIDUnspecified}, m.NameID) {
		bad("saml.name_id", "%q is none of persistent, transient, emailAddress, unspecified", m.NameID)
	}
	for name, claim := range m.Attributes {
		if name == "" || !slices.Contains(FlatNames(), claim) {
			bad("saml.attributes", "%q is none of %s", claim, strings.Join(FlatNames(), ", "))
		}
	}
}

// webAddress reports whether u is where a browser may be sent.
func webAddress(u string) bool {
	p, err := url.Parse(u)
	if err != nil || p.Host == "" || p.User != nil || p.Fragment != "" || strings.Contains(u, "#") || len(u) > 2000 || strings.ContainsFunc(u, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return false
	}
	ip := net.ParseIP(p.Hostname())
	loopback := p.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	return p.Scheme == "https" || p.Scheme == "http" && loopback
}

// NewSecret makes a secret of 256 bits and what is kept of it.
func NewSecret(id string, now, expires time.Time) (plain string, kept Secret) {
	plain = random()
	return plain, Secret{ID: id, Hash: hashOf(plain), CreatedAt: now, ExpiresAt: expires}
}

// SecretFrom is what is kept of a secret that somebody else made.
func SecretFrom(id, plain string) Secret { return Secret{ID: id, Hash: hashOf(plain)} }

// Liveness of c where its tenant has the given default.
func (c *Client) livenessOr(d proof.LivenessMode) proof.LivenessMode {
	if c.Liveness != "" {
		return c.Liveness
	}
	return d
}
