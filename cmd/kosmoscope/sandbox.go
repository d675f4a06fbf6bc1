package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

type sandboxCmd struct {
	Kosmos sandboxKosmosCmd `cmd:"" help:"Run the local 1Kosmos: the real wire protocol over our engine."`
}

type sandboxKosmosCmd struct {
	Config string `required:"" type:"existingfile" help:"Configuration (JSON); demo writes one."`
}

// kosmosConfig is the file of `sandbox kosmos`. Paths are relative to it.
type kosmosConfig struct {
	Listen     string      `json:"listen"`
	DNS        string      `json:"dns"`
	Community  string      `json:"community"`
	LicenseKey string      `json:"license_key"`
	V1Tokens   []string    `json:"v1_tokens"`
	DVCs       []kosmosDVC `json:"dvcs"`
	EngineURL  string      `json:"engine_url"`
	Data       string      `json:"data"`
	LogLevel   string      `json:"log_level"`
}

type kosmosDVC struct {
	ID       string `json:"id"`
	Liveness string `json:"liveness_mode"`
	Selfie   bool   `json:"selfie"`
}

func (s *stack) kosmosConfig() kosmosConfig {
	return kosmosConfig{
		Listen: fmt.Sprintf("127.0.0.1:%d", s.ports.Kosmos), DNS: s.dns(), Community: community,
		LicenseKey: s.secrets.License, V1Tokens: []string{s.secrets.V1Token},
		DVCs: []kosmosDVC{
			{dvcStill, api.LivenessNone, true},
			{dvcPassive, api.LivenessPassive, true},
			{dvcActive, api.LivenessActive, true},
		},
		EngineURL: s.engineURL(), Data: "kosmos", LogLevel: "info",
	}
}

func (c *sandboxKosmosCmd) Run(ctx context.Context, s *streams) error {
	b, err := os.ReadFile(c.Config)
	if err != nil {
		return err
	}
	var k kosmosConfig
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return fmt.Errorf("%s: %w", c.Config, err)
	}
	if !filepath.IsAbs(k.Data) {
		k.Data = filepath.Join(filepath.Dir(c.Config), k.Data)
	}
	o := kosmos.Options{
		Listen: k.Listen, DNS: k.DNS, Community: k.Community, LicenseKey: k.LicenseKey, V1Tokens: k.V1Tokens,
		Engine: api.New(k.EngineURL, &http.Client{Timeout: 2 * time.Minute}), DataDir: k.Data, Logger: logger(s.err, k.LogLevel),
	}
	for _, d := range k.DVCs {
		o.DVCs = append(o.DVCs, kosmos.DVC{ID: d.ID, Liveness: d.Liveness, Selfie: d.Selfie})
	}
	return kosmos.Run(ctx, o)
}
