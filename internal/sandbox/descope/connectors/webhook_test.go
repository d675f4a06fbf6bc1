package connectors_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
)

// TestPost: what an audit webhook's receiver answers, and what the fault knobs do.
func TestPost(t *testing.T) {
	var status, asked atomic.Int64
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		asked.Add(1)
		w.WriteHeader(int(status.Load()))
	}))
	defer srv.Close()
	broken := faults.New()
	c := newConnectors(t, connectors.Options{Faults: broken},
		connectors.Config{Name: "audit", Type: connectors.AuditWebhook, BaseURL: srv.URL},
		connectors.Config{Name: "off", Type: connectors.AuditWebhook, BaseURL: srv.URL, Disabled: true},
		connectors.Config{Name: "http", BaseURL: srv.URL})
	for _, want := range []int{200, 204, 400, 503, 302} {
		status.Store(int64(want))
		got, err := c.Post(t.Context(), "audit", []byte("[]"), time.Second)
		if got != want || (err == nil) != (want/100 == 2) {
			t.Errorf("%d: %d, %v", want, got, err)
		}
	}
	status.Store(200)
	asked.Store(0)
	for _, f := range []faults.Fault{
		{Target: "connector:audit", Kind: faults.Lost, Count: 1}, {Target: "connector:audit", Kind: faults.Duplicate, Count: 1},
	} {
		if _, err := broken.Add(f); err != nil {
			t.Fatal(err)
		}
	}
	if got, err := c.Post(t.Context(), "audit", []byte("[]"), time.Second); got != 0 || err == nil || asked.Load() != 2 {
		t.Errorf("lost and doubled: %d, %v, asked %d times", got, err, asked.Load())
	}
	if _, err := broken.Add(faults.Fault{Target: "connector", Kind: faults.Status, Status: 502, Count: 1}); err != nil {
		t.Fatal(err)
	}
	if got, err := c.Post(t.Context(), "audit", []byte("[]"), time.Second); got != 502 || err == nil || asked.Load() != 2 {
		t.Errorf("gateway: %d, %v, asked %d times", got, err, asked.Load())
	}
	for _, name := range []string{"off", "http", "nobody"} {
		if _, err := c.Post(t.Context(), name, []byte("[]"), time.Second); err == nil {
			t.Errorf("%s was sent to", name)
		}
	}
	if _, err := c.Run(t.Context(), post("audit", "", `{}`)); err == nil || asked.Load() != 2 {
		t.Errorf("a flow called an audit webhook: %v", err)
	}
	if got := c.Webhooks(); len(got) != 2 || got[0].Name != "audit" || c.Known("audit") || !c.Known("http") {
		t.Errorf("%+v", got)
	}
}

// TestPostToken: a token that was refused is not used again.
func TestPostToken(t *testing.T) {
	var issued atomic.Int64
	mux := http.NewServeMux()
	mux.HandleFunc("POST /token", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = w.Write([]byte(`{"access_token":"t` + strings.Repeat("x", int(issued.Add(1))) + `","token_type":"Bearer","expires_in":600}`))
	})
	mux.HandleFunc("POST /", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer txx" {
			w.WriteHeader(http.StatusUnauthorized)
		}
	})
	srv := httptest.NewServer(mux)
	defer srv.Close()
	c := newConnectors(t, connectors.Options{}, connectors.Config{Name: "audit", Type: connectors.AuditWebhook, BaseURL: srv.URL,
		Authentication: connectors.Authentication{Method: connectors.ClientCredentials, OAuth2ClientCredentials: &connectors.OAuth{
			ClientID: "c", ClientSecret: "s", AuthURL: srv.URL + "/token"}}})
	for i, want := range []int{401, 200, 200} {
		if got, _ := c.Post(t.Context(), "audit", []byte("[]"), time.Second); got != want {
			t.Errorf("request %d: %d", i+1, got)
		}
	}
	if issued.Load() != 2 {
		t.Errorf("%d tokens", issued.Load())
	}
}

func TestWebhookConfig(t *testing.T) {
	for setting, cfg := range map[string]connectors.Config{
		"type: it must be": {Type: "webhook"},
		"type: an audit":   {Type: connectors.AuditWebhook, RFC9421SigningEnabled: true},
		"auditFilters":     {AuditFilters: []connectors.AuditFilter{{Key: "actions"}}},
	} {
		cfg.Name, cfg.BaseURL = "x", "http://h"
		if _, err := connectors.New([]connectors.Config{cfg}, connectors.Options{Names: flow.DefaultNames()}); err == nil || !strings.Contains(err.Error(), setting) {
			t.Errorf("%s: %v", setting, err)
		}
	}
}
