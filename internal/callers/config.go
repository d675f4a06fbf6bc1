package callers

import (
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/textproto"
	"net/url"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Secret is a string that no log, error or encoder shows.
type Secret string

const hidden = "[secret]"

func (Secret) String() string               { return hidden }
func (Secret) GoString() string             { return hidden }
func (Secret) LogValue() slog.Value         { return slog.StringValue(hidden) }
func (Secret) MarshalText() ([]byte, error) { return []byte(hidden), nil }

// Config is one caller. Exactly one of Bearer, Basic, APIKey and OAuth is set; where
// EventsOnly is, an HMAC secret will do instead.
type Config struct {
	ID          string `yaml:"id"`          // letters, digits, '-', '_', '.'; unique in its tenant
	Tenant      string `yaml:"tenant"`      // id of the tenant it belongs to
	Application string `yaml:"application"` // shown to the person who is asked to verify

	Bearer Secret  `yaml:"bearer"`
	Basic  *Basic  `yaml:"basic"`
	APIKey *APIKey `yaml:"api_key"`
	OAuth  *OAuth  `yaml:"oauth"`

	HMACSecret  Secret   `yaml:"hmac_secret"`  // Descope's x-descope-webhook-s256, required on every call when set
	HMACSecrets []Secret `yaml:"hmac_secrets"` // others that will do as well, while a secret is being changed
	RFC9421     *RFC9421 `yaml:"rfc9421"`      // HTTP message signature, required on every call when set

	// EventsOnly is for Descope's Audit Webhook: the caller may tell events, which are only
	// hints, and nothing else. It may do so by the HMAC alone.
	EventsOnly bool `yaml:"events_only"`

	CallbackURLs  []string             `yaml:"callback_urls"`  // exact URLs that callback_url may name
	DocumentTypes []proof.DocumentType `yaml:"document_types"` // empty: all
	LivenessModes []proof.LivenessMode `yaml:"liveness_modes"` // empty: passive and active
	Claims        []string             `yaml:"claims"`         // empty: DefaultClaims
	ExternalAuth  []proof.Node         `yaml:"external_auth"`  // nodes whose links may go into External Authentication; empty: none
}

// Basic is user and password for HTTP Basic (RFC 7617).
type Basic struct {
	Username string `yaml:"username"`
	Password Secret `yaml:"password"`
}

// APIKey is a header of its own with a fixed value.
type APIKey struct {
	Header string `yaml:"header"`
	Value  Secret `yaml:"value"`
}

// OAuth is a client of the token endpoint (RFC 6749 section 4.4).
type OAuth struct {
	ClientID     string `yaml:"client_id"`
	ClientSecret Secret `yaml:"client_secret"`
}

// RFC9421 says which signatures a caller makes.
type RFC9421 struct {
	Keys []Key `yaml:"keys"`
	// RequireContentDigest says that a request with a body must cover
	// content-digest. Nil means yes. Without it the body is authenticated by the
	// credential and HMAC only: Descope covers no digest unless told to.
	RequireContentDigest *bool `yaml:"require_content_digest"`
}

// Key verifies signatures. PublicKey is PEM; Secret is for hmac-sha256.
type Key struct {
	KeyID     string            `yaml:"keyid"`
	Algorithm httpsig.Algorithm `yaml:"algorithm"`
	PublicKey string            `yaml:"public_key"`
	Secret    Secret            `yaml:"secret"`
}

// DefaultClaims is what a caller sees when its configuration lists no claims:
// neither the document's number nor images.
func DefaultClaims() []string {
	return []string{"given_name", "family_name", "birthdate", "nationality", "document_type", "issuing_country", "date_of_expiry"}
}

// minSecret is the shortest secret accepted, in bytes. Guessing is not slowed
// down for callers, so it has to be hopeless.
const minSecret = 16

// maxHMACSecrets are at most valid at a time besides the first: each costs a hash of the body.
const maxHMACSecrets = 3

// hmacSecrets are all that will do.
func (c *Config) hmacSecrets() []Secret {
	if c.HMACSecret == "" {
		return c.HMACSecrets
	}
	return append([]Secret{c.HMACSecret}, c.HMACSecrets...)
}

// byHMAC reports whether the caller has nothing else to be known by.
func (c *Config) byHMAC() bool {
	return c.Bearer == "" && c.Basic == nil && c.APIKey == nil && c.OAuth == nil
}

// reservedHeaders cannot carry an API key: they mean something else already.
var reservedHeaders = []string{
	"Authorization", "Content-Type", "Content-Length", "Content-Digest", "Host", "Connection", "Cookie", "Date",
	"Signature", "Signature-Input", "Transfer-Encoding", hmacHeader,
}

// problem is a configuration error that names its field.
func (c *Config) problem(field, format string, args ...any) error {
	return fmt.Errorf("caller %q: %s: %s", c.ID, field, fmt.Sprintf(format, args...))
}

func (c *Config) validate() error {
	if !plain(c.ID) {
		return c.problem("id", "must be 1 to 64 letters, digits, '-', '_' or '.'")
	}
	if c.Tenant == "" {
		return c.problem("tenant", "is required")
	}
	if strings.TrimSpace(c.Application) == "" {
		return c.problem("application", "is required; the person who is asked to verify sees it")
	}
	if err := c.validateCredential(); err != nil {
		return err
	}
	if c.HMACSecret != "" && len(c.HMACSecret) < minSecret {
		return c.problem("hmac_secret", "must be at least %d bytes long", minSecret)
	}
	if len(c.HMACSecrets) > maxHMACSecrets {
		return c.problem("hmac_secrets", "must be at most %d", maxHMACSecrets)
	}
	for i, s := range c.HMACSecrets {
		if len(s) < minSecret {
			return c.problem(fmt.Sprintf("hmac_secrets[%d]", i), "must be at least %d bytes long", minSecret)
		}
	}
	if r := c.RFC9421; r != nil && len(r.Keys) == 0 {
		return c.problem("rfc9421.keys", "must list at least one key")
	}
	for i, u := range c.CallbackURLs {
		if err := checkCallback(u); err != nil {
			return c.problem(fmt.Sprintf("callback_urls[%d]", i), "%v", err)
		}
	}
	for i, d := range c.DocumentTypes {
		if !d.Valid() {
			return c.problem(fmt.Sprintf("document_types[%d]", i), "must be one of %v", proof.DocumentTypes())
		}
	}
	for i, m := range c.LivenessModes {
		if !m.Valid() {
			return c.problem(fmt.Sprintf("liveness_modes[%d]", i), "must be none, passive or active")
		}
	}
	for i, n := range c.Claims {
		if !slices.Contains(journey.ClaimNames(), n) {
			return c.problem(fmt.Sprintf("claims[%d]", i), "must be one of %s", strings.Join(journey.ClaimNames(), ", "))
		}
	}
	for i, n := range c.ExternalAuth {
		if !n.Valid() {
			return c.problem(fmt.Sprintf("external_auth[%d]", i), "must be idv or stepup")
		}
	}
	return nil
}

func (c *Config) validateCredential() error {
	set := 0
	for _, is := range []bool{c.Bearer != "", c.Basic != nil, c.APIKey != nil, c.OAuth != nil} {
		if is {
			set++
		}
	}
	if set == 0 && c.EventsOnly && len(c.hmacSecrets()) > 0 {
		return nil
	}
	if set != 1 {
		return c.problem("bearer, basic, api_key, oauth", "exactly one of these must be set, not %d", set)
	}
	short := func(field string, s Secret) error {
		if len(s) < minSecret {
			return c.problem(field, "must be at least %d bytes long", minSecret)
		}
		return nil
	}
	switch {
	case c.Basic != nil:
		if c.Basic.Username == "" || strings.Contains(c.Basic.Username, ":") {
			return c.problem("basic.username", "is required and must not hold a colon")
		}
		return short("basic.password", c.Basic.Password)
	case c.APIKey != nil:
		name := textproto.CanonicalMIMEHeaderKey(c.APIKey.Header)
		if !plain(name) || slices.ContainsFunc(reservedHeaders, func(h string) bool { return strings.EqualFold(h, name) }) {
			return c.problem("api_key.header", "must be a header name of its own, such as X-Api-Key")
		}
		return short("api_key.value", c.APIKey.Value)
	case c.OAuth != nil:
		if c.OAuth.ClientID == "" {
			return c.problem("oauth.client_id", "is required")
		}
		return short("oauth.client_secret", c.OAuth.ClientSecret)
	}
	return short("bearer", c.Bearer)
}

// plain reports whether s is a short name that is safe in URLs, logs and header names.
func plain(s string) bool {
	ok := strings.IndexFunc(s, func(r rune) bool {
		return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' || r == '.')
	}) < 0
	return ok && s != "" && len(s) <= 64
}

// checkCallback accepts absolute https URLs, and http on loopback for development.
func checkCallback(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" || u.Opaque != "" {
		return fmt.Errorf("must be an absolute URL without user and fragment")
	}
	ip := net.ParseIP(u.Hostname())
	loopback := u.Hostname() == "localhost" || ip != nil && ip.IsLoopback()
	if u.Scheme != "https" && (u.Scheme != "http" || !loopback) {
		return fmt.Errorf("must be https (http only for localhost)")
	}
	return nil
}

// caller is the domain's view of the configuration.
func (c *Config) caller() proof.Caller {
	out := proof.Caller{
		ID: c.ID, Tenant: c.Tenant, Application: c.Application,
		CallbackURLs: slices.Clone(c.CallbackURLs), DocumentTypes: slices.Clone(c.DocumentTypes),
		Liveness: slices.Clone(c.LivenessModes), Claims: slices.Clone(c.Claims),
		ExternalAuth: slices.Clone(c.ExternalAuth),
	}
	if len(out.Liveness) == 0 {
		out.Liveness = []proof.LivenessMode{proof.LivenessPassive, proof.LivenessActive}
	}
	if len(out.Claims) == 0 {
		out.Claims = DefaultClaims()
	}
	return out
}

var hmacHeader = http.CanonicalHeaderKey("x-descope-webhook-s256")
