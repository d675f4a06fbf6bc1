package main

import (
	"errors"
	"log/slog"
	"net/http/httptest"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

func TestClientIP(t *testing.T) {
	trusted := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	for _, c := range []struct{ remote, forwarded, want string }{
		{"203.0.113.7:1234", "", "203.0.113.7"},
		{"203.0.113.7:1234", "198.51.100.1", "203.0.113.7"}, // says so of itself
		{"10.1.2.3:1234", "198.51.100.1", "198.51.100.1"},
		{"10.1.2.3:1234", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"}, // two proxies; the first entry is the client's own
		{"10.1.2.3:1234", "nonsense", "10.1.2.3"},
		{"10.1.2.3:1234", "", "10.1.2.3"},
		{"10.1.2.3:1234", "198.51.100.1:5678", "198.51.100.1"}, // some proxies add the port
		{"[::1]:1234", "2001:db8::1", "2001:db8::1"},
		{"[::ffff:10.1.2.3]:1234", "198.51.100.1", "198.51.100.1"},
		{"@", "198.51.100.1", "invalid IP"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = c.remote
		if c.forwarded != "" {
			r.Header.Set("X-Forwarded-For", c.forwarded)
		}
		if got := clientIP(trusted)(r).String(); got != c.want {
			t.Errorf("%s via %q: got %s, want %s", c.remote, c.forwarded, got, c.want)
		}
	}
}

// A store is opened with the key that it was begun with or not at all.
func TestMasterKey(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "kosmoscope.yaml")
	if err := os.WriteFile(file, []byte(`
public_url: http://localhost:1
tenants: [{ id: acme, kosmos: { dns: localhost, license_key: license, workflows: [{ dvc_id: a, document_types: [passport], liveness_mode: active }] } }]
callers: [{ id: c, application: Acme, bearer: 0123456789abcdef0123 }]
`), 0o600); err != nil {
		t.Fatal(err)
	}
	cfg, err := config.Load(file)
	if err != nil {
		t.Fatal(err)
	}
	open := func() error {
		b, err := openBridge(t.Context(), cfg, slog.New(slog.DiscardHandler))
		if err == nil {
			b.store.Close()
		}
		return err
	}
	for range 2 { // made, and found again
		if err := open(); err != nil {
			t.Fatal(err)
		}
	}
	own := filepath.Join(dir, "own.key")
	if err := os.Rename(cfg.MasterKey, own); err != nil {
		t.Fatal(err)
	}
	var h *hinted
	if err := open(); !errors.As(err, &h) || !strings.Contains(err.Error(), "is missing") {
		t.Errorf("without a key: %v", err)
	}
	if err := vault.Create(cfg.MasterKey); err != nil {
		t.Fatal(err)
	}
	if err := open(); !errors.As(err, &h) || !strings.Contains(err.Error(), "not the one") {
		t.Errorf("with another key: %v", err)
	}
	if err := os.Rename(own, cfg.MasterKey); err != nil {
		t.Fatal(err)
	}
	if err := open(); err != nil {
		t.Errorf("with the right one again: %v", err)
	}
}
