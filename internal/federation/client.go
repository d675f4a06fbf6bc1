package federation

import (
	"encoding/json"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Protocol that a client speaks.
type Protocol string

const (
	OIDC Protocol = "oidc"
	SAML Protocol = "saml"
)

// Profile is a contract of a relying party that goes beyond the specifications, or
// deviates from them.
type Profile string

const (
	ProfileNone    Profile = ""
	ProfileDescope Profile = "descope"   // no PKCE, no acr: the client's own
	ProfileOkta    Profile = "okta_idv"  // Okta's "bring your own IDV"
	ProfileEntra   Profile = "entra_eam" // Microsoft Entra's external MFA
)

// Names of assurance as an authentication context, in acr, acr_values and
// AuthnContextClassRef. A trailing slash is ignored in what is asked.
const (
	ACRIAL1     = "/assurance/ial/1" // the assurance of the subject is at least IAL1
	ACRIAL2     = "/assurance/ial/2"
	ACRIAL3     = "/assurance/ial/3"
	ACRFace     = "urn:kosmoscope:acr:liveid"   // the subject's enrolled face was matched
	ACRProofing = "urn:kosmoscope:acr:proofing" // a document was examined and its holder's face matched
)

// Client is one relying party (OpenID Connect) or service provider (SAML): a
// document of the configuration, or one that is kept by the console. The JSON form is
// what the store and the console's API hold; secrets are not in it.
type Client struct {
	ID       string   `json:"client_id"` // for SAML, our name of it; the provider calls itself EntityID
	Tenant   string   `json:"-"`
	Protocol Protocol `json:"protocol"`
	Profile  Profile  `json:"profile,omitempty"`
	Name     string   `json:"name"` // shown to the person: who asks
	Disabled bool     `json:"disabled,omitempty"`
	Fixed    bool     `json:"-"` // from the configuration file, which alone changes it

	// What is asked for where the request asks nothing, in order of preference; and
	// what it may ask for. Empty Allowed means everything.
	DefaultACR []string `json:"default_acr,omitempty"`
	Allowed    []string `json:"allowed_acr,omitempty"`
	// Essential: a DefaultACR that cannot be met is a failure, as if the request had
	// asked for it as an essential claim.
	Essential     bool                 `json:"essential,omitempty"`
	Claims        []string             `json:"claims,omitempty"` // names of proof.Claims it may see; nil: proof's defaults
	ConsentText   string               `json:"consent_text,omitempty"`
	DocumentTypes []proof.DocumentType `json:"document_types,omitempty"` // empty: all
	Liveness      proof.LivenessMode   `json:"liveness_mode,omitempty"`  // empty: the tenant's
	// Session is how long a browser that was recognised is not asked again by this
	// client, unless the request says otherwise; zero: DefaultSession.
	Session Duration `json:"session,omitempty"`
	// Upstream has the tenant's own OpenID provider at 1Kosmos authenticate the person.
	Upstream bool `json:"upstream,omitempty"`
	// Sector groups clients that see the same pairwise subject; empty: the client alone.
	Sector string `json:"sector,omitempty"`

	OIDC *OIDCClient `json:"oidc,omitempty"`
	SAML *SAMLClient `json:"saml,omitempty"`
}

// OIDCClient is what only an OpenID Connect client has.
type OIDCClient struct {
	RedirectURIs           []string `json:"redirect_uris"` // compared exactly
	PostLogoutRedirectURIs []string `json:"post_logout_redirect_uris,omitempty"`
	// AuthMethod at the token endpoint: client_secret_basic, client_secret_post (either
	// is taken for both), private_key_jwt or none.
	AuthMethod string          `json:"token_endpoint_auth_method"`
	JWKS       json.RawMessage `json:"jwks,omitempty"` // for private_key_jwt
	JWKSURI    string          `json:"jwks_uri,omitempty"`
	// PKCE is required unless the client is confidential and this says so.
	WithoutPKCE bool     `json:"without_pkce,omitempty"`
	RequirePAR  bool     `json:"require_par,omitempty"`
	Alg         string   `json:"id_token_signed_response_alg,omitempty"` // ES256 (default) or RS256
	Grants      []string `json:"grants,omitempty"`                       // besides authorization_code: refresh_token, urn:openid:params:grant-type:ciba
	// Entra is for ProfileEntra: who signs id_token_hint.
	Entra *Entra `json:"entra,omitempty"`
}

// Entra names the Microsoft Entra tenant that asks.
type Entra struct {
	Issuer  string `json:"issuer"`
	JWKSURI string `json:"jwks_uri"`
	AppID   string `json:"app_id"` // audience of id_token_hint
	// UserClaim is the claim of the hint that names the user as 1Kosmos does;
	// default preferred_username.
	UserClaim string `json:"user_claim,omitempty"`
}

// SAMLClient is what only a SAML service provider has.
type SAMLClient struct {
	EntityID       string   `json:"entity_id"`
	ACS            []string `json:"acs"`                    // assertion consumer services, HTTP-POST; the first is the default
	Certificates   []string `json:"certificates,omitempty"` // PEM, that may sign its requests
	SignedRequests bool     `json:"signed_requests,omitempty"`
	// NameID format: persistent (pairwise, default), transient, emailAddress or
	// unspecified. The last two give the user identifier, and only where the face was
	// matched.
	NameID string `json:"name_id,omitempty"`
	// Attributes renames what the assertion tells: attribute name -> name of a flat
	// claim. Empty: all flat claims under their own names.
	Attributes map[string]string `json:"attributes,omitempty"`
}

// DefaultSession of a Client that names none.
const DefaultSession = 5 * time.Minute

// Duration is a time.Duration whose JSON form is Go's text, such as "5m".
type Duration time.Duration

func (d Duration) MarshalText() ([]byte, error) { return []byte(time.Duration(d).String()), nil }

func (d *Duration) UnmarshalText(b []byte) error {
	v, err := time.ParseDuration(string(b))
	*d = Duration(v)
	return err
}

// Secret is one secret of a client, kept as the SHA-256 of a random text of 256 bits.
// Several at once let a client rotate.
type Secret struct {
	ID        string    `json:"id"` // UUIDv7
	Hash      []byte    `json:"-"`
	CreatedAt time.Time `json:"created_at"`
	ExpiresAt time.Time `json:"expires_at,omitzero"` // zero: does not
}
