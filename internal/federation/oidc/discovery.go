package oidc

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof/ida"
)

// metadata is what OpenID Connect Discovery 1.0 (section 3), RFC 8414, RFC 9126, RFC
// 9207, OpenID CIBA Core 1.0, RP-Initiated Logout 1.0 and OpenID Connect for Identity
// Assurance 1.0 (section 8) have a provider tell. It says what works, for a client that
// is configured for it.
type metadata struct {
	Issuer        string `json:"issuer"`
	Authorization string `json:"authorization_endpoint"`
	Pushed        string `json:"pushed_authorization_request_endpoint"`
	Token         string `json:"token_endpoint"`
	UserInfo      string `json:"userinfo_endpoint"`
	JWKS          string `json:"jwks_uri"`
	EndSession    string `json:"end_session_endpoint"`
	Backchannel   string `json:"backchannel_authentication_endpoint"`

	Scopes        []string `json:"scopes_supported"`
	ResponseTypes []string `json:"response_types_supported"` // id_token for ProfileEntra alone
	ResponseModes []string `json:"response_modes_supported"`
	Grants        []string `json:"grant_types_supported"`
	SubjectTypes  []string `json:"subject_types_supported"`
	IDTokenAlgs   []string `json:"id_token_signing_alg_values_supported"`
	AuthMethods   []string `json:"token_endpoint_auth_methods_supported"`
	AuthAlgs      []string `json:"token_endpoint_auth_signing_alg_values_supported"`
	PKCE          []string `json:"code_challenge_methods_supported"`
	ACR           []string `json:"acr_values_supported"`
	Prompts       []string `json:"prompt_values_supported"`
	Displays      []string `json:"display_values_supported"`
	Locales       []string `json:"ui_locales_supported"`
	ClaimTypes    []string `json:"claim_types_supported"`
	Claims        []string `json:"claims_supported"`

	ClaimsParameter bool     `json:"claims_parameter_supported"`
	RequestObject   bool     `json:"request_parameter_supported"`
	RequestURI      bool     `json:"request_uri_parameter_supported"` // other than ours; left out it would mean true
	RequirePushed   bool     `json:"require_pushed_authorization_requests"`
	Iss             bool     `json:"authorization_response_iss_parameter_supported"`
	Delivery        []string `json:"backchannel_token_delivery_modes_supported"`
	UserCode        bool     `json:"backchannel_user_code_parameter_supported"`

	Verified       bool     `json:"verified_claims_supported"`
	Frameworks     []string `json:"trust_frameworks_supported"`
	Evidence       []string `json:"evidence_supported"`
	Documents      []string `json:"documents_supported"`
	DocumentChecks []string `json:"documents_check_methods_supported"`
	VerifiedClaims []string `json:"claims_in_verified_claims_supported"`
}

// standardClaims are those of OpenID Connect Core 1.0 that a token or the UserInfo
// endpoint may tell, besides the flat ones.
var standardClaims = []string{
	"sub", "iss", "aud", "exp", "iat", "auth_time", "nonce", "at_hash", "sid", "acr", "amr", "gender", "nationality", "verified_claims",
}

// documents and what follows are the predefined values that package ida writes.
var (
	documents      = []string{"passport", "idcard", "driving_permit"}
	documentChecks = []string{"bvr"}
	verifiedNames  = []string{"given_name", "family_name", "birthdate", "gender", "nationalities"}
)

func (p *Provider) metadata(tenant string) metadata {
	iss := p.issuer(tenant)
	scopes := append(slices.Clone(plainScopes), federation.ACRIAL1, federation.ACRIAL2, federation.ACRIAL3)
	methods := make([]string, len(assertionAlgs))
	for i, a := range assertionAlgs {
		methods[i] = string(a)
	}
	return metadata{
		Issuer: iss, Authorization: iss + "/authorize", Pushed: iss + "/par", Token: iss + "/token", UserInfo: iss + "/userinfo",
		JWKS: iss + "/jwks", EndSession: iss + "/logout", Backchannel: iss + "/bc-authorize",

		Scopes:        scopes,
		ResponseTypes: []string{typeCode, typeIDToken},
		ResponseModes: []string{modeQuery, modePost},
		Grants:        []string{grantCode, grantRefresh, grantCIBA},
		SubjectTypes:  []string{"pairwise"},
		IDTokenAlgs:   []string{"ES256", "RS256"},
		AuthMethods:   []string{methodBasic, methodPost, methodSigned, methodNone},
		AuthAlgs:      methods,
		PKCE:          []string{"S256"},
		ACR:           federation.KnownACR(),
		Prompts:       []string{"none", "login", "consent", "select_account"},
		Displays:      []string{"page"},
		Locales:       []string{"en"},
		ClaimTypes:    []string{"normal"},
		Claims:        claimsSupported(),

		ClaimsParameter: true,
		Iss:             true,
		Delivery:        []string{"poll"},

		Verified:       true,
		Frameworks:     p.frameworks(tenant),
		Evidence:       []string{"document"},
		Documents:      documents,
		DocumentChecks: documentChecks,
		VerifiedClaims: verifiedNames,
	}
}

func claimsSupported() []string {
	all := map[string]bool{}
	for _, n := range standardClaims {
		all[n] = true
	}
	for _, names := range scopeClaims {
		for _, n := range names {
			all[n] = true
		}
	}
	for _, n := range federation.FlatNames() {
		all[n] = true
	}
	return slices.Sorted(maps.Keys(all))
}

// engineFramework is the embedded engine's own, and sessionFramework what claims of a
// 1Kosmos session are labelled with unless the operator names another.
const (
	engineFramework  = "kosmoscope-embedded"
	sessionFramework = "urn:kosmoscope:1kosmos-session"
)

func (p *Provider) frameworks(tenant string) []string {
	if p.Frameworks != nil {
		return p.Frameworks(tenant)
	}
	return []string{ida.NIST80063A, sessionFramework, engineFramework}
}

// discovery answers with the metadata. Any origin may read it: it is the same for all.
func (p *Provider) discovery(w http.ResponseWriter, r *http.Request) {
	b, err := json.Marshal(p.metadata(r.PathValue("tenant")))
	if err != nil {
		writeError(w, errorOf(err))
		return
	}
	public(w, "application/json", b)
}

// jwks answers with the public keys. A key is published before it signs, so that a copy
// of some minutes is no trouble.
func (p *Provider) jwks(w http.ResponseWriter, r *http.Request) {
	set, err := p.Keys.JWKS(r.Context(), r.PathValue("tenant"))
	if err != nil {
		p.failBack(w, r, err)
		return
	}
	public(w, "application/jwk-set+json", set)
}

func public(w http.ResponseWriter, kind string, body []byte) {
	h := w.Header()
	h.Set("Content-Type", kind)
	h.Set("Cache-Control", "public, max-age=300")
	h.Set("Access-Control-Allow-Origin", "*")
	h.Set("X-Content-Type-Options", "nosniff")
	w.Write(body)
}
