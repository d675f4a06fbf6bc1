package connectors

import (
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"strings"
	"time"

	"golang.org/x/net/http/httpguts"

	"github.com/kosmoscope/kosmoscope/internal/callers/httpsig"
)

// Config is a connector of type http, by the keys of Descope's backend
// (reference/descope.md 1.2), or one of type audit-webhook (6.2), which no flow calls
// and which has no RFC 9421. CAFile is ours: certificates, in PEM, to trust beside the
// system's.
type Config struct {
	Name                    string         `json:"name"`
	Type                    string         `json:"type,omitempty"` // HTTP, which is the default, or AuditWebhook
	Description             string         `json:"description,omitempty"`
	BaseURL                 string         `json:"baseUrl"`
	Authentication          Authentication `json:"authentication"`
	Headers                 []Header       `json:"headers,omitempty"`
	HMACSecret              string         `json:"hmacSecret,omitempty"`
	Insecure                bool           `json:"insecure,omitempty"`
	IncludeHeadersInContext bool           `json:"includeHeadersInContext,omitempty"`
	Disabled                bool           `json:"disabled,omitempty"`

	RFC9421SigningEnabled bool   `json:"rfc9421SigningEnabled,omitempty"`
	RFC9421PrivateKey     string `json:"rfc9421PrivateKey,omitempty"` // PEM, line breaks may be lost; else an HMAC secret
	RFC9421KeyID          string `json:"rfc9421KeyId,omitempty"`
	RFC9421Components     string `json:"rfc9421Components,omitempty"`   // comma separated
	RFC9421SignatureTTL   int    `json:"rfc9421SignatureTtl,omitempty"` // seconds

	UseStaticIPs bool   `json:"useStaticIps,omitempty"` // means nothing here
	AWSAuthType  string `json:"awsAuthType,omitempty"`  // only none
	ExecutorType string `json:"executorType,omitempty"` // only Descope's cloud, which is empty

	AuditFilters []AuditFilter `json:"auditFilters,omitempty"` // of AuditWebhook

	CAFile string `json:"caFile,omitempty"`
}

// Types of connectors.
const (
	HTTP         = "http"
	AuditWebhook = "audit-webhook"
)

// AuditFilter says which events an audit webhook is told. Package auditing reads it.
type AuditFilter struct {
	Key      string   `json:"key"`      // actions, tenants
	Operator string   `json:"operator"` // includes, excludes
	Values   []string `json:"values"`
}

// Header is one header of every request.
type Header struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Methods of Authentication.
const (
	None              = "none"
	BearerToken       = "bearerToken"
	Basic             = "basic"
	APIKey            = "apiKey"
	ClientCredentials = "oauth2ClientCredentials"
)

// Authentication says how a connector shows who it is. An empty method is none.
type Authentication struct {
	Method                  string      `json:"method"`
	BearerToken             string      `json:"bearerToken,omitempty"`
	Basic                   *BasicAuth  `json:"basic,omitempty"`
	APIKey                  *APIKeyAuth `json:"apiKey,omitempty"`
	OAuth2ClientCredentials *OAuth      `json:"oauth2ClientCredentials,omitempty"`
}

// BasicAuth is HTTP Basic.
type BasicAuth struct {
	Username string `json:"username"`
	Password string `json:"password"`
}

// APIKeyAuth is a header named Key with the value Token.
type APIKeyAuth struct {
	Key   string `json:"key"`
	Token string `json:"token"`
}

// OAuth is the OAuth grant of that name. AuthURL is the token endpoint.
type OAuth struct {
	ClientID            string   `json:"clientId"`
	ClientSecret        string   `json:"clientSecret"`
	AuthURL             string   `json:"authUrl"`
	Scopes              Scopes   `json:"scopes,omitempty"`
	AuthStyle           string   `json:"authStyle,omitempty"` // header (default), body
	TokenRequestHeaders []Header `json:"tokenRequestHeaders,omitempty"`
}

// Scopes is a list of scopes, or one string of them; which of the two the backend
// keeps is not public.
type Scopes []string

// UnmarshalJSON reads both forms.
func (s *Scopes) UnmarshalJSON(b []byte) error {
	var one string
	if json.Unmarshal(b, &one) == nil {
		*s = strings.FieldsFunc(one, func(r rune) bool { return r == ' ' || r == ',' })
		return nil
	}
	var many []string
	err := json.Unmarshal(b, &many)
	*s = many
	return err
}

// connector is a Config, checked.
type connector struct {
	Config
	base   *url.URL
	client *http.Client
	tokens tokens
	signer *httpsig.Signer // nil: no RFC 9421
	cover  []string        // what it covers
	ttl    time.Duration
}

func newConnector(c Config, transport http.RoundTripper) (*connector, error) {
	k := &connector{Config: c}
	var err error
	if k.base, err = origin(c.BaseURL); err != nil {
		return nil, fmt.Errorf("baseUrl: %w", err)
	}
	switch {
	case c.Type != "" && c.Type != HTTP && c.Type != AuditWebhook:
		return nil, errors.New("type: it must be http or audit-webhook")
	case c.Type == AuditWebhook && (c.RFC9421SigningEnabled || c.IncludeHeadersInContext):
		return nil, errors.New("type: an audit webhook has neither RFC 9421 nor an answer that anybody reads")
	case c.Type != AuditWebhook && len(c.AuditFilters) > 0:
		return nil, errors.New("auditFilters: only an audit webhook has them")
	}
	if c.AWSAuthType != "" && c.AWSAuthType != "none" {
		return nil, errors.New("awsAuthType: AWS signatures are not supported here")
	}
	if c.ExecutorType != "" && c.ExecutorType != "cloud" {
		return nil, errors.New("executorType: engines are not supported here")
	}
	if err := checkHeaders(c.Headers); err != nil {
		return nil, fmt.Errorf("headers: %w", err)
	}
	if err := c.Authentication.check(); err != nil {
		return nil, fmt.Errorf("authentication: %w", err)
	}
	if c.RFC9421SigningEnabled {
		if err := k.signing(); err != nil {
			return nil, err
		}
	}
	if transport == nil {
		if transport, err = c.transport(); err != nil {
			return nil, err
		}
	}
	k.client = &http.Client{
		Transport:     transport,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return k, nil
}

// origin reads an absolute http or https URL.
func origin(s string) (*url.URL, error) {
	u, err := url.Parse(s)
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "" {
		return nil, errors.New("an absolute http or https URL without user, query and fragment is needed")
	}
	return u, nil
}

func checkHeaders(hs []Header) error {
	for _, h := range hs {
		if !httpguts.ValidHeaderFieldName(h.Key) || !httpguts.ValidHeaderFieldValue(h.Value) {
			return fmt.Errorf("%q is not a header", h.Key)
		}
		switch http.CanonicalHeaderKey(h.Key) {
		case "Host", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade":
			return fmt.Errorf("%q cannot be set", h.Key)
		}
	}
	return nil
}

func (a Authentication) check() error {
	missing := func(values ...string) error {
		for _, v := range values {
			if v == "" || !httpguts.ValidHeaderFieldValue(v) {
				return fmt.Errorf("%s: a value is missing or cannot be sent", a.Method)
			}
		}
		return nil
	}
	switch a.Method {
	case "", None:
		return nil
	case BearerToken:
		return missing(a.BearerToken)
	case Basic:
		if a.Basic == nil {
			return missing("")
		}
		return missing(a.Basic.Username, a.Basic.Password)
	case APIKey:
		if a.APIKey == nil {
			return missing("")
		}
		if err := missing(a.APIKey.Key, a.APIKey.Token); err != nil {
			return err
		}
		return checkHeaders([]Header{{a.APIKey.Key, a.APIKey.Token}})
	case ClientCredentials:
		o := a.OAuth2ClientCredentials
		if o == nil {
			return missing("")
		}
		if err := missing(o.ClientID, o.ClientSecret, o.AuthURL); err != nil {
			return err
		}
		if o.AuthStyle != "" && o.AuthStyle != "header" && o.AuthStyle != "body" {
			return fmt.Errorf("authStyle %q is neither header nor body", o.AuthStyle)
		}
		u, err := url.Parse(o.AuthURL)
		if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" || u.User != nil {
			return errors.New("authUrl: an absolute http or https URL is needed")
		}
		return checkHeaders(o.TokenRequestHeaders)
	}
	return fmt.Errorf("there is no method %q", a.Method)
}

func (k *connector) signing() error {
	key, alg, err := privateKey(k.RFC9421PrivateKey)
	if err != nil {
		return fmt.Errorf("rfc9421PrivateKey: %w", err)
	}
	if k.RFC9421KeyID == "" {
		return errors.New("rfc9421KeyId: it is needed to sign")
	}
	for i := range len(k.RFC9421KeyID) { // a structured-field string
		if c := k.RFC9421KeyID[i]; c < 0x20 || c > 0x7e {
			return errors.New("rfc9421KeyId: only printable ASCII")
		}
	}
	k.signer = &httpsig.Signer{KeyID: k.RFC9421KeyID, Algorithm: alg, Key: key, Label: signatureLabel}
	k.cover = signatureComponents
	if s := strings.TrimSpace(k.RFC9421Components); s != "" {
		k.cover = nil
		for c := range strings.SplitSeq(s, ",") {
			k.cover = append(k.cover, strings.ToLower(strings.TrimSpace(c)))
		}
	}
	k.ttl = signatureTTL
	switch n := k.RFC9421SignatureTTL; {
	case n < 0 || n > 24*60*60:
		return errors.New("rfc9421SignatureTtl: seconds, at most a day")
	case n > 0:
		k.ttl = time.Duration(n) * time.Second
	}
	return nil
}

func (c Config) transport() (http.RoundTripper, error) {
	t := http.DefaultTransport.(*http.Transport).Clone()
	t.Proxy = nil                                                                                 // everything it calls is on this machine
	t.TLSClientConfig = &tls.Config{MinVersion: tls.VersionTLS12, InsecureSkipVerify: c.Insecure} //nolint:gosec // the connector's own setting
	if c.CAFile != "" {
		pem, err := os.ReadFile(c.CAFile)
		if err != nil {
			return nil, fmt.Errorf("caFile: %w", err)
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, errors.New("caFile: there is no certificate in it")
		}
		t.TLSClientConfig.RootCAs = pool
	}
	return t, nil
}
