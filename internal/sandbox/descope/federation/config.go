package federation

import (
	"crypto/x509"
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// Provider is a custom OAuth provider of the project. Its keys are those of Descope's
// Terraform provider (authentication.oauth.custom, descope_oauth_provider), so that
// settings can be carried over.
type Provider struct {
	Name              string   `json:"name"`
	Description       string   `json:"description,omitempty"`
	Disabled          bool     `json:"disabled,omitempty"` // for API calls, which are not here; not for flows (documented)
	ClientID          string   `json:"client_id"`
	ClientSecret      string   `json:"client_secret"`
	Issuer            string   `json:"issuer"`
	Authorization     string   `json:"authorization_endpoint"`
	Token             string   `json:"token_endpoint"`
	UserInfo          string   `json:"user_info_endpoint"`
	JWKS              string   `json:"jwks_endpoint,omitempty"` // without it the ID token is not looked at
	Scopes            []string `json:"scopes,omitempty"`        // default openid
	Prompts           []string `json:"prompts,omitempty"`       // none, login, consent, select_account
	AllowedGrantTypes []string `json:"allowed_grant_types"`     // authorization_code; implicit is not done here

	// ClaimMapping is claims of the provider by what they become: system keys such as
	// loginId and email, and names of custom attributes. Empty: the standard claims. If
	// there is any, loginId must be among them. Claims within claims cannot be named.
	ClaimMapping map[string]string `json:"claim_mapping,omitempty"`
	// MergeUserAccounts (default true) takes whoever has the same verified address for
	// the same person.
	MergeUserAccounts *bool `json:"merge_user_accounts,omitempty"`
	DisableJITUpdates bool  `json:"disable_jit_updates,omitempty"` // known users stay as they are
}

func (p *Provider) merge() bool { return p.MergeUserAccounts == nil || *p.MergeUserAccounts }

var (
	providerName = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9.-]{0,59}$`)
	systemKeys   = []string{
		keyLoginID, "username", "name", "email", "phoneNumber", "verifiedEmail", "verifiedPhone", "picture", "givenName", "middleName", "familyName",
	}
)

const keyLoginID = "loginId"

func (p *Provider) check() error {
	bad := func(format string, args ...any) error {
		return fmt.Errorf("OAuth provider %.60q: %s", p.Name, fmt.Sprintf(format, args...))
	}
	if !providerName.MatchString(p.Name) {
		return bad("its name has letters, digits, dots and hyphens only")
	}
	if p.ClientID == "" || p.ClientSecret == "" || p.Issuer == "" {
		return bad("client_id, client_secret and issuer are needed")
	}
	for name, s := range map[string]string{"authorization_endpoint": p.Authorization, "token_endpoint": p.Token, "user_info_endpoint": p.UserInfo} {
		if !whole(s) {
			return bad("%s is needed, a whole URL", name)
		}
	}
	if p.JWKS != "" && !whole(p.JWKS) {
		return bad("jwks_endpoint is no whole URL")
	}
	if !slices.Equal(p.AllowedGrantTypes, []string{"authorization_code"}) {
		return bad("allowed_grant_types must be authorization_code alone here")
	}
	for _, s := range p.Prompts {
		if !slices.Contains(prompts, s) {
			return bad("prompt %.20q is none of %s", s, strings.Join(prompts, ", "))
		}
	}
	if len(p.ClaimMapping) > 0 && p.ClaimMapping[keyLoginID] == "" {
		return bad("claim_mapping must have loginId if it has anything")
	}
	for k, v := range p.ClaimMapping {
		if k == "" || v == "" {
			return bad("claim_mapping has an empty name")
		}
	}
	return nil
}

var prompts = []string{"none", "login", "consent", "select_account"}

// SSO is SAML of one Descope tenant, as POST /v1/mgmt/sso/saml and
// /v1/mgmt/sso/saml/metadata take it.
type SSO struct {
	TenantID string   `json:"tenantId"`
	Settings Settings `json:"settings"`
	Domains  []string `json:"domains,omitempty"` // of e-mail addresses that sign in here
}

// Settings of SAML. Either MetadataURL, or IDPURL, EntityID and IDPCert.
type Settings struct {
	MetadataURL string   `json:"idpMetadataUrl,omitempty"`
	IDPURL      string   `json:"idpUrl,omitempty"`
	EntityID    string   `json:"entityId,omitempty"` // of the identity provider
	IDPCert     string   `json:"idpCert,omitempty"`  // PEM, or its base64 alone
	MoreCerts   []string `json:"idpAdditionalCerts,omitempty"`

	AttributeMapping    AttributeMapping `json:"attributeMapping,omitzero"`
	SubjectNameIDFormat string           `json:"subjectNameIdFormat,omitempty"`
}

// AttributeMapping is attributes of the assertion by what they become.
type AttributeMapping struct {
	Name        string `json:"name,omitempty"`
	GivenName   string `json:"givenName,omitempty"`
	MiddleName  string `json:"middleName,omitempty"`
	FamilyName  string `json:"familyName,omitempty"`
	Picture     string `json:"picture,omitempty"`
	Email       string `json:"email,omitempty"`
	PhoneNumber string `json:"phoneNumber,omitempty"`
	// CustomAttributes: names of ours by Descope's (that it is this way round is inferred).
	CustomAttributes map[string]string `json:"customAttributes,omitempty"`
}

func (s *SSO) check() error {
	if !providerName.MatchString(s.TenantID) {
		return errors.New("tenantId is missing or has other characters than letters, digits, dots and hyphens")
	}
	k := &s.Settings
	switch {
	case k.MetadataURL != "":
		if !whole(k.MetadataURL) {
			return errors.New("idpMetadataUrl is no whole URL")
		}
	case !whole(k.IDPURL) || k.EntityID == "" || k.IDPCert == "":
		return errors.New("idpUrl, entityId and idpCert are needed, or idpMetadataUrl")
	default:
		if _, err := k.certificates(); err != nil {
			return err
		}
	}
	return nil
}

func (k *Settings) certificates() ([]*x509.Certificate, error) {
	var out []*x509.Certificate
	for _, s := range append([]string{k.IDPCert}, k.MoreCerts...) {
		c, err := certificate(s)
		if err != nil {
			return nil, err
		}
		out = append(out, c)
	}
	return out, nil
}

// certificate reads PEM, or its base64 alone.
func certificate(s string) (*x509.Certificate, error) {
	var der []byte
	if block, _ := pem.Decode([]byte(s)); block != nil {
		der = block.Bytes
	} else {
		b, err := base64.StdEncoding.DecodeString(strings.Join(strings.Fields(s), ""))
		if err != nil {
			return nil, errors.New("a certificate is neither PEM nor base64")
		}
		der = b
	}
	c, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, errors.New("a certificate cannot be read")
	}
	return c, nil
}

func whole(s string) bool {
	u, err := url.Parse(s)
	return err == nil && u.Host != "" && (u.Scheme == "https" || u.Scheme == "http") && u.User == nil && u.Fragment == ""
}
