package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/shop"
)

type sandboxShopCmd struct {
	Config string `required:"" type:"existingfile" help:"Configuration (JSON); demo writes one."`
}

// shopConfig is the file of `sandbox shop`.
type shopConfig struct {
	Listen    string `json:"listen"`
	URL       string `json:"url"`         // our origin, as browsers see it
	Descope   string `json:"descope_url"` // origin of Descope
	ProjectID string `json:"project_id"`
	LabURL    string `json:"lab_url"` // of the test panel
	LogLevel  string `json:"log_level"`

	SinkSecrets []string `json:"sink_secrets,omitempty"` // of what is signed among the messages at /sink
}

func (s *stack) shopConfig(sinkSecrets []string) shopConfig {
	return shopConfig{
		SinkSecrets: sinkSecrets,
		Listen:      fmt.Sprintf("127.0.0.1:%d", s.ports.Shop), URL: s.shopURL(),
		Descope: s.descopeURL(), ProjectID: projectID, LabURL: s.descopeURL() + "/lab/", LogLevel: "info",
	}
}

func (c *sandboxShopCmd) Run(ctx context.Context, s *streams) error {
	b, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	var k shopConfig
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return fmt.Errorf("%s: %w", c.Config, err)
	}
	h, err := shop.New(shop.Options{URL: k.URL, Descope: k.Descope, ProjectID: k.ProjectID, LabURL: k.LabURL, SinkSecrets: k.SinkSecrets, Logger: logger(s.err, k.LogLevel)})
	if err != nil {
		return fmt.Errorf("%s: %w", c.Config, err)
	}
	srv := &http.Server{Addr: k.Listen, Handler: h, ReadTimeout: 10 * time.Second, IdleTimeout: time.Minute}
	return serveUntil(ctx, srv)
}

// serveUntil serves until ctx ends, and gives what is under way five seconds.
func serveUntil(ctx context.Context, srv *http.Server) error {
	done := make(chan error, 1)
	go func() { done <- srv.ListenAndServe() }()
	select {
	case err := <-done:
		return err
	case <-ctx.Done():
	}
	ending, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	err := srv.Shutdown(ending)
	if served := <-done; !errors.Is(served, http.ErrServerClosed) {
		err = errors.Join(err, served)
	}
	return err
}
