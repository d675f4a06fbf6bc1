package manage

import (
	"encoding/json"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
)

// sso are the calls about SAML of Descope tenants. The tenants themselves are names
// only; OpenID Connect of tenants, several settings of one (ssoId), groups and roles
// are not here.
func (s *server) sso() map[string]call {
	if s.Federation == nil {
		return nil
	}
	return map[string]call{
		"POST /v1/mgmt/sso/saml":          s.setSAML,
		"POST /v1/mgmt/sso/saml/metadata": s.setSAML,
		"GET /v2/mgmt/sso/settings":       s.ssoSettings,
		"DELETE /v1/mgmt/sso/settings":    s.dropSSO,
	}
}

// setSAML takes both forms; which one it is the settings say.
func (s *server) setSAML(r *request) (any, error) {
	var b struct {
		federation.SSO
		Domain      string `json:"domain"` // older than domains
		SSOID       string `json:"ssoId"`
		RedirectURL string `json:"redirectUrl"` // of the API's own start, which is not here
		Settings    struct {
			federation.Settings
			EncryptionKey string            `json:"spEncryptionKey"`
			SignKey       string            `json:"spSignKey"`
			ACSURL        string            `json:"spACSUrl"`
			EntityID      string            `json:"spEntityId"`
			Roles         []json.RawMessage `json:"roleMappings"`
			DefaultRoles  []string          `json:"defaultSSORoles"`
		} `json:"settings"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	x := &b.Settings
	switch {
	case b.SSOID != "":
		return nil, unknown("More than one SSO of a tenant (ssoId)")
	case x.EncryptionKey != "" || x.SignKey != "":
		return nil, unknown("Signing requests and decrypting assertions (spSignKey, spEncryptionKey)")
	case x.ACSURL != "" || x.EntityID != "":
		return nil, unknown("Another address or name of the service provider (spACSUrl, spEntityId)")
	case len(x.Roles) > 0 || len(x.DefaultRoles) > 0:
		return nil, unknown("Roles by SSO (roleMappings, defaultSSORoles)")
	}
	b.SSO.Settings = x.Settings
	if b.Domain != "" {
		b.SSO.Domains = append(b.SSO.Domains, b.Domain)
	}
	if err := s.Federation.SetSSO(b.SSO); err != nil {
		return nil, bad(err.Error() + ".")
	}
	return nil, nil
}

func (s *server) ssoSettings(r *request) (any, error) {
	id := r.URL.Query().Get("tenantId")
	x, ok := s.Federation.SSO(id)
	if !ok {
		return nil, unknown("SSO of this tenant")
	}
	k := x.Settings
	domains := x.Domains
	if domains == nil {
		domains = []string{}
	}
	return map[string]any{
		"tenant": map[string]any{"id": id, "name": id, "domains": domains, "authType": "saml"},
		"saml": map[string]any{
			"idpEntityId": k.EntityID, "idpSSOUrl": k.IDPURL, "idpCertificate": k.IDPCert, "idpMetadataUrl": k.MetadataURL,
			"spEntityId": s.Federation.SPEntityID(id), "spACSUrl": s.Federation.ACSURL(id), "spCertificate": "", "spSignCertificate": "",
			"attributeMapping": k.AttributeMapping, "subjectNameIdFormat": k.SubjectNameIDFormat,
		},
	}, nil
}

func (s *server) dropSSO(r *request) (any, error) {
	s.Federation.DropSSO(r.URL.Query().Get("tenantId"))
	return nil, nil
}
