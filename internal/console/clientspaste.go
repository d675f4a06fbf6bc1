package console

import (
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/federation"
)

// pasteLine is one setting of the other side. Names are as they stand there.
type pasteLine struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Help  string `json:"help,omitempty"`
}

// paste is what has to be set at the relying party, so that it and client know each
// other; where each is asked for is in docs/federation.md and integrations/federation.
func paste(origin string, x *federation.Client) []pasteLine {
	home := strings.TrimRight(origin, "/") + federation.Prefix + x.Tenant
	if x.Protocol == federation.SAML {
		return []pasteLine{
			{Name: "Metadata address", Value: home + "/saml/metadata", Help: "Enough where it can be read: it has everything below, and the certificates."},
			{Name: "Identity provider's entity ID", Value: home + "/saml/metadata"},
			{Name: "Single sign-on address", Value: home + "/saml/sso", Help: "HTTP-Redirect or HTTP-POST. It starts at their side: there is no sign-in that begins here."},
		}
	}
	discovery := pasteLine{Name: "Discovery address", Value: home + "/.well-known/openid-configuration", Help: "Enough where it can be read: it has every address below."}
	id := pasteLine{Name: "Client ID", Value: x.ID}
	endpoints := []pasteLine{
		{Name: "Issuer", Value: home},
		{Name: "Authorization endpoint", Value: home + "/authorize"},
		{Name: "Token endpoint", Value: home + "/token"},
		{Name: "User info endpoint", Value: home + "/userinfo"},
		{Name: "JWKS endpoint", Value: home + "/jwks"},
	}
	scopes := "openid"
	if !slices.Contains(x.DefaultACR, federation.ACRFace) {
		scopes = "openid identity_assurance"
	}
	ask := pasteLine{Name: "Scopes", Value: scopes}
	switch x.Profile {
	case federation.ProfileDescope:
		endpoints[4].Help = "Do not leave it out: without it Descope does not look at the ID token."
		merge := pasteLine{Name: "Merge user accounts", Value: "off", Help: "Merging by e-mail would let whoever proves that they are somebody into another's account."}
		grant := pasteLine{Name: "Grant type", Value: "authorization_code"}
		return slices.Concat([]pasteLine{id}, endpoints, []pasteLine{ask, grant, merge})
	case federation.ProfileOkta:
		par := pasteLine{Name: "PAR endpoint", Value: home + "/par", Help: "Pushed requests are mandatory."}
		return slices.Concat([]pasteLine{id}, endpoints[:1], []pasteLine{par}, endpoints[1:3], endpoints[4:], []pasteLine{ask})
	case federation.ProfileEntra:
		return []pasteLine{id, discovery}
	}
	lines := slices.Concat([]pasteLine{discovery, id}, endpoints)
	if x.OIDC != nil && x.OIDC.RequirePAR {
		lines = append(lines, pasteLine{Name: "PAR endpoint", Value: home + "/par"})
	}
	if x.OIDC != nil && slices.Contains(x.OIDC.Grants, federation.GrantCIBA) {
		lines = append(lines, pasteLine{Name: "Backchannel endpoint", Value: home + "/bc-authorize", Help: "CIBA, poll."})
	}
	return append(lines, pasteLine{Name: "Sign-out endpoint", Value: home + "/logout"}, ask)
}
