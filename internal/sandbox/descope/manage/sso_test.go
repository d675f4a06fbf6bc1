package manage_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"math/big"
	"net/http"
	"strings"
	"testing"
	"time"
)

func certificate(t *testing.T) string {
	t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	c := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Unix(1<<32, 0)}
	der, err := x509.CreateCertificate(rand.Reader, c, c, &k.PublicKey, k)
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(der)
}

func TestSSO(t *testing.T) {
	t.Parallel()
	h := start(t, "")
	credential := projectID + ":" + key
	set := func(path string, tenant string, settings map[string]any) (int, map[string]any) {
		b, err := json.Marshal(map[string]any{"tenantId": tenant, "settings": settings, "redirectUrl": "https://app.example", "domains": []string{"acme.example"}})
		if err != nil {
			t.Fatal(err)
		}
		status, answer, _ := h.call(http.MethodPost, path, credential, string(b))
		return status, answer
	}
	good := map[string]any{
		"idpUrl": "https://idp.example/sso", "entityId": "https://idp.example", "idpCert": certificate(t),
		"attributeMapping": map[string]any{"givenName": "given_name", "customAttributes": map[string]string{"kosmosIal": "ial_level"}},
	}
	const path, settings = "/v1/mgmt/sso/saml", "/v2/mgmt/sso/settings?tenantId="
	if status, _, _ := h.call(http.MethodGet, settings+"acme", credential, ""); status != http.StatusNotFound {
		t.Fatal(status)
	}
	if status, answer := set(path, "acme", good); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	status, answer, _ := h.call(http.MethodGet, settings+"acme", credential, "")
	saml, _ := answer["saml"].(map[string]any)
	mapping, _ := saml["attributeMapping"].(map[string]any)
	if status != http.StatusOK || saml["spEntityId"] != projectID+"-acme" || saml["idpSSOUrl"] != "https://idp.example/sso" || saml["idpEntityId"] != "https://idp.example" ||
		saml["spACSUrl"] != "http://localhost:8083/v1/auth/saml/acs?projectId="+projectID+"&tenantId=acme" || mapping["givenName"] != "given_name" {
		t.Fatal(status, answer)
	}
	if status, answer := set(path+"/metadata", "byname", map[string]any{"idpMetadataUrl": "https://idp.example/metadata"}); status != http.StatusOK {
		t.Fatal(status, answer)
	}
	for name, c := range map[string]struct {
		tenant string
		change map[string]any
		status int
		says   string
	}{
		"no tenant":          {"", nil, 400, "tenantId"},
		"no certificate":     {"acme", map[string]any{"idpCert": ""}, 400, "idpCert"},
		"no certificate yet": {"acme", map[string]any{"idpCert": "AAAA"}, 400, "certificate"},
		"signed requests":    {"acme", map[string]any{"spSignKey": "x"}, 404, "spSignKey"},
		"another ACS":        {"acme", map[string]any{"spACSUrl": "https://app.example/acs"}, 404, "spACSUrl"},
		"roles":              {"acme", map[string]any{"defaultSSORoles": []string{"admin"}}, 404, "defaultSSORoles"},
	} {
		s := map[string]any{}
		for k, v := range good {
			s[k] = v
		}
		for k, v := range c.change {
			s[k] = v
		}
		status, answer := set(path, c.tenant, s)
		if message, _ := answer["errorMessage"].(string); status != c.status || !strings.Contains(message, c.says) {
			t.Errorf("%s: %d %v", name, status, answer)
		}
	}
	if status, _, _ := h.call(http.MethodPost, path, projectID+":another", `{}`); status != http.StatusUnauthorized {
		t.Fatal(status)
	}
	if status, _, _ := h.call(http.MethodDelete, "/v1/mgmt/sso/settings?tenantId=acme", credential, ""); status != http.StatusOK {
		t.Fatal(status)
	}
	if status, _, _ := h.call(http.MethodGet, settings+"acme", credential, ""); status != http.StatusNotFound {
		t.Fatal(status)
	}
}
