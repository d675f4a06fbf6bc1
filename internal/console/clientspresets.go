package console

import "github.com/kosmoscope/kosmoscope/internal/federation"

// clientPreset is what the form for a new client begins with.
type clientPreset struct {
	Name   string            `json:"name"`
	Title  string            `json:"title"`
	Help   string            `json:"help"`
	Client federation.Client `json:"client"`
}

// descopeCallback is that of projects in the United States (integrations/federation).
const descopeCallback = "https://api.descope.com/v1/oauth/callback"

func clientPresets() []clientPreset {
	oidc := func(p federation.Profile, o federation.OIDCClient, acr []string, essential bool) federation.Client {
		if o.RedirectURIs == nil {
			o.RedirectURIs = []string{}
		}
		x := federation.Client{Protocol: federation.OIDC, Profile: p, DefaultACR: acr, Essential: essential, OIDC: &o}
		x.Complete()
		return x
	}
	face, proofing := []string{federation.ACRFace}, []string{federation.ACRProofing}
	saml := func(p federation.Profile, nameID string, acr []string, essential bool) federation.Client {
		return federation.Client{
			Protocol: federation.SAML, Profile: p, DefaultACR: acr, Essential: essential,
			SAML: &federation.SAMLClient{ACS: []string{}, NameID: nameID},
		}
	}
	return []clientPreset{
		{
			"descope-proofing", "Descope: proofing", "A custom OAuth provider of a Descope project. The person shows a document and their face. In another region than the United States the redirect address is another.",
			oidc(federation.ProfileDescope, federation.OIDCClient{RedirectURIs: []string{descopeCallback}}, proofing, false),
		},
		{
			"descope-liveid", "Descope: face check", "A custom OAuth provider of a Descope project. The person shows the face that is enrolled.",
			oidc(federation.ProfileDescope, federation.OIDCClient{RedirectURIs: []string{descopeCallback}}, face, true),
		},
		{
			"descope-saml", "Descope: SAML of a Descope tenant", "Single sign-on of one Descope tenant. It gives the user identifier, so that a face check is asked for.",
			saml(federation.ProfileDescope, federation.NameIDUnspecified, face, true),
		},
		{
			"okta", "Okta: bring your own IDV", "Identity verification that Okta sends people to. Pushed requests are mandatory there; map given name, family name, middle name and birth date only.",
			oidc(federation.ProfileOkta, federation.OIDCClient{}, nil, false),
		},
		{
			"entra", "Microsoft Entra: external MFA", "An external authentication method. Entra names the user in a signed hint, and the face of that user is matched.",
			oidc(federation.ProfileEntra, federation.OIDCClient{Entra: &federation.Entra{}}, face, true),
		},
		{"oidc", "Another OpenID Connect client", "What the client asks for is done; if it asks for nothing, a document is examined.", oidc(federation.ProfileNone, federation.OIDCClient{}, nil, false)},
		{"saml", "Another SAML service provider", "Names are pairwise: another service provider sees another name of the same person.", saml(federation.ProfileNone, federation.NameIDPersistent, nil, false)},
	}
}
