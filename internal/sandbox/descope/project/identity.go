package project

// Ways of federation: a custom OAuth provider of the project, or SAML of a Descope
// tenant.
const (
	FederationOAuth = "oauth"
	FederationSAML  = "saml"
)

// Identity is what an identity provider said of somebody, after it was checked and
// mapped by the project's settings. It is not yet a user.
type Identity struct {
	Kind     string // FederationOAuth or FederationSAML
	Provider string // name of the provider, or id of the Descope tenant
	LoginID  string // what the provider knows them by, as the mapping says; not empty

	// Properties and Attributes are the mapped ones that the provider gave, by the names
	// of User's JSON and of custom attributes. An e-mail address counts as verified only
	// with the property verifiedEmail.
	Properties map[string]any
	Attributes map[string]any

	// Merge lets somebody with the same verified address be this person, although
	// they never came from this provider. Update writes to those who are known already.
	Merge  bool
	Update bool

	// Claims is all that the provider said: OpenID claims, or SAML attributes.
	Claims map[string]any
}

// FederationAsk is what a flow asks of an identity provider.
type FederationAsk struct {
	Request   string // names the flow that waits, when the browser is back
	Kind      string
	Provider  string
	LoginHint string
	Prompt    []string // in place of the provider's own; empty: those
	Fresh     bool     // SAML: ForceAuthn
}

// Who of those that an identity provider names may come in.
type Entry int

const (
	SignUpOrIn Entry = iota
	SignIn           // who is known
	SignUp           // who is not
)
