package config_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const good = `
public_url: https://bridge.example.com/
tenants:
  - id: acme
    kosmos:
      dns: acme.example.com
      license_key: { from_env: TEST_LICENSE }
      workflows:
        - { dvc_id: passports, document_types: [passport], liveness_mode: active }
    assurance:
      - { name: contract, level: IAL2, dvc_ids: [passports] }
callers:
  - id: descope
    application: Acme
    bearer: { from_file: token }
`

func TestDefaultsAndSecretsFromElsewhere(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_LICENSE", "yes: {tricky} \"value\"")
	c, err := config.Parse([]byte(good), dir)
	if err != nil {
		t.Fatal(err)
	}
	tenant := c.Tenants[0]
	for name, got := range map[string][2]any{
		"public_url":  {c.PublicURL, "https://bridge.example.com"},
		"license":     {tenant.Kosmos.LicenseKey, "yes: {tricky} \"value\""},
		"token":       {string(c.Callers[0].Bearer), "0123456789abcdef0123"},
		"caller":      {c.Callers[0].Tenant, "acme"},
		"store":       {c.Store, "sqlite:" + filepath.Join(dir, "kosmoscope.db")},
		"master key":  {c.MasterKey, filepath.Join(dir, "master.key")},
		"liveness":    {string(tenant.LivenessMode), "active"},
		"deadline":    {tenant.Deadline, time.Hour},
		"first poll":  {tenant.Poll.First, 3 * time.Second},
		"framework":   {tenant.Kosmos.TrustFramework, config.DefaultTrustFramework},
		"v1 judgment": {tenant.Kosmos.V1.Minimum().String(), "IAL2"},
	} {
		if got[0] != got[1] {
			t.Errorf("%s: got %v, want %v", name, got[0], got[1])
		}
	}
}

// Every mistake is named by its place.
func TestMistakes(t *testing.T) {
	t.Setenv("TEST_LICENSE", "license")
	for name, c := range map[string]struct{ old, new, want string }{
		"misspelt key":          {"dns:", "dsn:", "dsn"},
		"no tenants":            {"id: acme", "id: \"\"", "tenants[0].id"},
		"missing secret file":   {"from_file: token", "from_file: nowhere", "nowhere"},
		"missing variable":      {"TEST_LICENSE", "TEST_NOT_SET", "TEST_NOT_SET"},
		"plain http":            {"https://bridge", "http://bridge", "public_url"},
		"a path":                {"example.com/", "example.com/x", "public_url"},
		"unknown document":      {"[passport]", "[pasport]", "workflows[0].document_types"},
		"unknown liveness":      {"liveness_mode: active", "liveness_mode: lively", "workflows[0].liveness_mode"},
		"still photos default":  {"id: acme", "id: acme\n    liveness_mode: none", "tenants[0].liveness_mode"},
		"negative time":         {"id: acme", "id: acme\n    deadline: -1h", "tenants[0].deadline"},
		"unknown level":         {"IAL2", "IAL9", "assurance[0]"},
		"rule without a ground": {"dvc_ids: [passports]", "valid_for: 1h", "assurance[0]"},
		"NIST by hand":          {"dns:", "trust_framework: nist_800_63A\n      dns:", "trust_framework"},
		"negative validity":     {"dvc_ids: [passports]", "dvc_ids: [passports], valid_for: -1h", "valid_for"},
		"unknown tenant":        {"application: Acme", "tenant: other", "callers[0].tenant"},
		"odd profile":           {"dns:", "profile: v9\n      dns:", "kosmos.profile"},
		"v1 without token":      {"dns:", "profile: v1\n      dns:", "v1.token"},
		"half of TLS":           {"tenants:", "tls: { cert: a.pem }\ntenants:", "tls"},
		"log level":             {"tenants:", "log_level: loud\ntenants:", "log_level"},
		"way back, no project":  {"application: Acme", "application: Acme\n    external_auth: [idv]", "callers[0].external_auth"},
		"no management key":     {"id: acme", "id: acme\n    descope: { project_id: P2 }", "tenants[0].descope"},
		"no project":            {"id: acme", "id: acme\n    descope: { management_key: K2 }", "tenants[0].descope"},
		"Descope in the clear":  {"id: acme", "id: acme\n    descope: { project_id: P2, management_key: K2, base_url: 'http://api.descope.com' }", "tenants[0].descope.base_url"},
		"Descope with a path":   {"id: acme", "id: acme\n    descope: { project_id: P2, management_key: K2, base_url: 'https://api.descope.com/v1' }", "tenants[0].descope.base_url"},
		"odd failure":           {"id: acme", "id: acme\n    descope: { project_id: P2, management_key: K2, external_auth_failure: ignore }", "external_auth_failure"},
		"misspelt Descope":      {"id: acme", "id: acme\n    descope: { project_id: P2, managment_key: K2 }", "managment_key"},
		"privacy notice":        {"tenants:", "pages: { privacy_url: 'javascript:alert(1)' }\ntenants:", "pages.privacy_url"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			if err := os.WriteFile(filepath.Join(dir, "token"), []byte("0123456789abcdef0123"), 0o600); err != nil {
				t.Fatal(err)
			}
			text := strings.Replace(good, c.old, c.new, 1)
			if text == good {
				t.Fatal("nothing replaced")
			}
			_, err := config.Parse([]byte(text), dir)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want something about %s", err, c.want)
			}
		})
	}
}

func TestDescope(t *testing.T) {
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "token"), []byte("0123456789abcdef0123"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("TEST_LICENSE", "license")
	t.Setenv("TEST_MANAGEMENT_KEY", "K2-SECRET")
	c, err := config.Parse([]byte(good), dir)
	if err != nil || c.Tenants[0].Descope != nil || len(c.Callers[0].ExternalAuth) != 0 {
		t.Fatalf("without: %v", err)
	}
	text := strings.Replace(good, "id: acme", "id: acme\n    descope: { project_id: P2, management_key: { from_env: TEST_MANAGEMENT_KEY } }", 1)
	text = strings.Replace(text, "application: Acme", "application: Acme\n    external_auth: [idv, stepup]", 1)
	if c, err = config.Parse([]byte(text), dir); err != nil {
		t.Fatal(err)
	}
	want := config.Descope{BaseURL: "https://api.descope.com", ProjectID: "P2", ManagementKey: "K2-SECRET", ExternalAuthFailure: config.FailureClaim}
	if d := c.Tenants[0].Descope; *d != want {
		t.Error("the defaults are others")
	}
	if shown := fmt.Sprintf("%v %+v %#v", c.Tenants[0].Descope, *c.Tenants[0].Descope, *c.Tenants[0].Descope); strings.Contains(shown, "K2-SECRET") {
		t.Error("printing shows the key")
	}
	if got := c.Callers[0].ExternalAuth; !slices.Equal(got, []proof.Node{proof.NodeIDV, proof.NodeStepUp}) {
		t.Errorf("rights: %v", got)
	}
	text = strings.Replace(text, "project_id: P2,", "project_id: P2, ca_file: ca.pem, base_url: 'http://127.0.0.1:8300', external_auth_failure: stay,", 1)
	if c, err = config.Parse([]byte(text), dir); err != nil {
		t.Fatal(err)
	}
	if d := c.Tenants[0].Descope; d.CAFile != filepath.Join(dir, "ca.pem") || d.BaseURL != "http://127.0.0.1:8300" || d.ExternalAuthFailure != config.FailureStay {
		t.Errorf("%s %s %s", d.CAFile, d.BaseURL, d.ExternalAuthFailure)
	}
}
