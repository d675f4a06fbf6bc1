package config_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
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
