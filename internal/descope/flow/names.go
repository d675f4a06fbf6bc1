package flow

import (
	_ "embed"
	"errors"
	"fmt"
	"os"

	"go.yaml.in/yaml/v4"
)

// Names are the names of names.yaml, which says where each comes from.
type Names struct {
	Connector struct {
		Action   string            `yaml:"action"`
		Template string            `yaml:"template"`
		Commands map[string]string `yaml:"commands"` // by HTTP method
		Args     struct {
			Endpoint string `yaml:"endpoint"`
			Payload  string `yaml:"payload"`
			Timeout  string `yaml:"timeout"`
		} `yaml:"args"`
		Name string `yaml:"name"`
		ID   string `yaml:"id"`
	} `yaml:"connector"`
	Actions struct {
		End             string `yaml:"end"`
		LoadUser        string `yaml:"load_user"`
		UpdateUser      string `yaml:"update_user"`
		OTPSignUpOrIn   string `yaml:"otp_sign_up_or_in"`
		OTPSignIn       string `yaml:"otp_sign_in"`
		OTPVerify       string `yaml:"otp_verify"`
		StepUp          string `yaml:"step_up"`
		GenerateJWT     string `yaml:"generate_jwt"`
		ExternalAuth    string `yaml:"external_auth"`
		ExternalAuthEnd string `yaml:"external_auth_end"`
		CustomClaims    string `yaml:"custom_claims"`
		TrustDevice     string `yaml:"trust_device"`
		OAuthStart      string `yaml:"oauth_start"`
		OAuthSignIn     string `yaml:"oauth_sign_in"`
		OAuthSignUp     string `yaml:"oauth_sign_up"`
		OAuthEnd        string `yaml:"oauth_end"`
		SAMLStart       string `yaml:"saml_start"`
		SAMLEnd         string `yaml:"saml_end"`
	} `yaml:"actions"`
	Arguments struct {
		ExternalAuthURL string `yaml:"external_auth_url"`
		ExchangeStep    string `yaml:"exchange_step"`
		VerifyStep      string `yaml:"verify_step"`
		CustomClaims    string `yaml:"custom_claims"`
		UserAttributes  string `yaml:"user_attributes"`
		UserProperties  string `yaml:"user_properties"`
		Subflow         string `yaml:"subflow"`
		OAuthProvider   string `yaml:"oauth_provider"`
		LoginHint       string `yaml:"login_hint"`
		Prompt          string `yaml:"prompt"`
		SSOTenant       string `yaml:"sso_tenant"`
		ForceAuthn      string `yaml:"force_authn"`
	} `yaml:"arguments"`
	Federation struct {
		Proofing string `yaml:"proofing"`
		LiveID   string `yaml:"live_id"`
		Tenant   string `yaml:"tenant"`
	} `yaml:"federation"`
	// Responses are what the answers of the hooks are called, below connectors.
	Responses struct {
		PreLogin         string `yaml:"pre_login"`
		PostRegistration string `yaml:"post_registration"`
	} `yaml:"responses"`
	// Errors are those of tasks that are no connectors, by which a flow handles them.
	Errors struct {
		Action string `yaml:"action"`
	} `yaml:"errors"`
	Operators struct {
		Equal          string `yaml:"equal"`
		NotEqual       string `yaml:"not_equal"`
		Contains       string `yaml:"contains"`
		NotContains    string `yaml:"not_contains"`
		Greater        string `yaml:"greater"`
		GreaterOrEqual string `yaml:"greater_or_equal"`
		Less           string `yaml:"less"`
		LessOrEqual    string `yaml:"less_or_equal"`
		Empty          string `yaml:"empty"`
		NotEmpty       string `yaml:"not_empty"`
		IsTrue         string `yaml:"is_true"`
		IsFalse        string `yaml:"is_false"`
		In             string `yaml:"in"`
		NotIn          string `yaml:"not_in"`
		Matches        string `yaml:"matches"`
	} `yaml:"operators"`
	// ListsInPayload is "text", "json" or "nothing".
	ListsInPayload string `yaml:"lists_in_payload"`
	Keys           struct {
		UserID           string `yaml:"user_id"`
		Email            string `yaml:"email"`
		UserAttributes   string `yaml:"user_attributes"`
		MaskedEmail      string `yaml:"masked_email"`
		VerifiedEmail    string `yaml:"verified_email"`
		TypedID          string `yaml:"typed_id"`
		TypedDevice      string `yaml:"typed_device"`
		LoggedIn         string `yaml:"logged_in"`
		FirstSeen        string `yaml:"first_seen"`
		IP               string `yaml:"ip"`
		KnownDevice      string `yaml:"known_device"`
		TrustedDevice    string `yaml:"trusted_device"`
		ImpossibleTravel string `yaml:"impossible_travel"`
		VPN              string `yaml:"vpn"`
		Bot              string `yaml:"bot"`
		RiskScore        string `yaml:"risk_score"`
		LastIPs          string `yaml:"last_ips"`
		LastCountries    string `yaml:"last_countries"`
		LastCities       string `yaml:"last_cities"`
		Country          string `yaml:"country"`
		City             string `yaml:"city"`
		Client           string `yaml:"client"`
		Form             string `yaml:"form"`
		OAuthClaims      string `yaml:"oauth_claims"`
		SAMLAttributes   string `yaml:"saml_attributes"`
	} `yaml:"keys"`
	Components struct {
		Container string `yaml:"container"`
		Text      string `yaml:"text"`
		Button    string `yaml:"button"`
		Error     string `yaml:"error"`
		Polling   string `yaml:"polling"`
		Link      string `yaml:"link"`
		Email     string `yaml:"email"`
		Input     string `yaml:"input"`
		Code      string `yaml:"code"`
		Image     string `yaml:"image"`
	} `yaml:"components"`
}

// Values of Names.ListsInPayload.
const (
	ListText    = "text"
	ListJSON    = "json"
	ListNothing = "nothing"
)

//go:embed names.yaml
var defaultNames []byte

// DefaultNames are those of names.yaml in this package.
func DefaultNames() *Names {
	n, err := parseNames(defaultNames)
	if err != nil {
		panic("flow: names.yaml: " + err.Error()) // embedded; a test reads it
	}
	return n
}

// ReadNames reads a whole file like names.yaml: one corrected by what a live
// project shows.
func ReadNames(path string) (*Names, error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	n, err := parseNames(b)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return n, nil
}

func parseNames(b []byte) (*Names, error) {
	n := new(Names)
	if err := yaml.Load(b, n, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	switch n.ListsInPayload {
	case ListText, ListJSON, ListNothing:
	default:
		return nil, errors.New(`lists_in_payload is "text", "json" or "nothing"`)
	}
	return n, nil
}
