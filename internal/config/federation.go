package config

import (
	"bytes"
	"encoding/json"
	"fmt"
	"slices"

	"go.yaml.in/yaml/v4"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// Federation is door B: what relying parties there are besides those of the console, and
// 1Kosmos' own OpenID provider.
type Federation struct {
	Clients  []FederationClient  `yaml:"clients"`
	Upstream *FederationUpstream `yaml:"upstream"` // nil: none
}

// FederationClient is one relying party: a federation.Client in the names of its JSON
// form, and its secrets.
type FederationClient struct {
	federation.Client
	Secrets []callers.Secret
	line    int
}

// FederationUpstream is the OpenID provider of the 1Kosmos tenant, for clients with
// upstream: true. The redirect address to register there is
// PUBLIC_URL/federation/TENANT/upstream.
type FederationUpstream struct {
	DiscoveryURL string         `yaml:"discovery_url"`
	ClientID     string         `yaml:"client_id"`
	ClientSecret callers.Secret `yaml:"client_secret"`
	Scopes       []string       `yaml:"scopes"`
	// How the tenant spells what is asked for, and what in its answer says that a face was
	// matched: what 1Kosmos sends there is not documented. See upstream.FederatedConfig.
	IAL2ACR         string   `yaml:"ial2_acr"`
	IAL2Scope       string   `yaml:"ial2_scope"` // "-" for none
	FaceACR         string   `yaml:"face_acr"`
	AcceptedACR     []string `yaml:"accepted_acr"`
	AcceptedAMR     []string `yaml:"accepted_amr"`
	ScopeTellsLevel bool     `yaml:"scope_tells_level"`
	UsernameClaim   string   `yaml:"username_claim"`
	Issuer          string   `yaml:"issuer"` // needed if discovery_url does not end in /.well-known/openid-configuration
	NoPKCE          bool     `yaml:"no_pkce"`
	NoPrompt        bool     `yaml:"no_prompt"`
}

// minSecret is how long a secret of a client must be, in characters.
const minSecret = 20

// UnmarshalYAML reads a client strictly: an unknown name is an error.
func (c *FederationClient) UnmarshalYAML(n *yaml.Node) error {
	c.line = n.Line
	var fields map[string]any
	if err := n.Decode(&fields); err != nil {
		return err
	}
	for _, name := range []string{"client_secret", "client_secrets"} {
		switch v := fields[name].(type) {
		case nil:
		case string:
			c.Secrets = append(c.Secrets, callers.Secret(v))
		case []any:
			for _, one := range v {
				text, ok := one.(string)
				if !ok {
					return fmt.Errorf("line %d: %s must be texts", n.Line, name)
				}
				c.Secrets = append(c.Secrets, callers.Secret(text))
			}
		default:
			return fmt.Errorf("line %d: %s must be a text", n.Line, name)
		}
		delete(fields, name)
	}
	text, err := json.Marshal(fields)
	if err != nil {
		return fmt.Errorf("line %d: %w", n.Line, err)
	}
	d := json.NewDecoder(bytes.NewReader(text))
	d.DisallowUnknownFields()
	if err := d.Decode(&c.Client); err != nil {
		return fmt.Errorf("line %d: a client of federation: %w", n.Line, err)
	}
	c.Complete()
	return nil
}

func (f *Federation) complete(tenant string) {
	for i := range f.Clients {
		f.Clients[i].Tenant = tenant
	}
}

func (f *Federation) check(at string, bad func(field, format string, args ...any)) {
	seen := map[string]bool{}
	for i := range f.Clients {
		c := &f.Clients[i]
		at := fmt.Sprintf("%s.clients[%d]", at, i)
		wrong := c.Check()
		for _, field := range sortedKeys(wrong) {
			bad(at+"."+field, "%s", wrong[field])
		}
		if seen[c.ID] {
			bad(at+".client_id", "%q is there twice", c.ID)
		}
		seen[c.ID] = true
		if c.HasSecret() != (len(c.Secrets) > 0) {
			bad(at+".client_secret", "is needed by client_secret_basic and client_secret_post, and by nothing else")
		}
		for _, s := range c.Secrets {
			if len(s) < minSecret {
				bad(at+".client_secret", "must be at least %d characters; `openssl rand -base64 32` makes a good one", minSecret)
			}
		}
		if c.Upstream && f.Upstream == nil {
			bad(at+".upstream", "needs federation.upstream")
		}
	}
	if u := f.Upstream; u != nil && (u.DiscoveryURL == "" || u.ClientID == "" || u.ClientSecret == "") {
		bad(at+".upstream", "discovery_url, client_id and client_secret are needed")
	}
}

func sortedKeys(m map[string]string) []string {
	keys := make([]string, 0, len(m))
	for k := range m {
		keys = append(keys, k)
	}
	slices.Sort(keys)
	return keys
}
