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
	Kosmos  sandboxKosmosCmd  `cmd:"" help:"Run the local 1Kosmos: the real wire protocol over our engine."`
	Descope sandboxDescopeCmd `cmd:"" help:"Run the local Descope: flows, users and sessions, with Descope's own web component."`
	Shop    sandboxShopCmd    `cmd:"" help:"Run the demo application: a shop whose people sign in with Descope."`
	User    userCmd           `cmd:"" help:"Look after the users of the local 1Kosmos, also while it runs."`
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

	StepUpLiveness string           `json:"step_up_liveness"` // none, passive or active; default active
	StepUpTTL      string           `json:"step_up_ttl"`      // of a UWL session, such as 60s
	OAuthClients   []kosmosClient   `json:"oauth_clients"`
	Workflows      []kosmosWorkflow `json:"workflows"`
	Webhooks       []kosmos.Webhook `json:"webhooks,omitempty"`
}

// kosmosClient is a client of the local 1Kosmos' OpenID provider.
type kosmosClient struct {
	ID           string   `json:"client_id"`
	Secret       string   `json:"client_secret"`
	RedirectURIs []string `json:"redirect_uris"`
}

// kosmosWorkflow is a face check that the Workflow API can be asked for.
type kosmosWorkflow struct {
	ID   string `json:"id"`
	Node string `json:"node"`
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
		StepUpLiveness: s.stepUp, StepUpTTL: s.stepUpTTL(),
		OAuthClients: []kosmosClient{{oauthClient, s.secrets.OAuthSecret, []string{s.bridgeURL() + "/c/return"}}},
		Workflows:    []kosmosWorkflow{{workflow, workflowNode}},
		Webhooks:     []kosmos.Webhook{{URL: s.bridgeURL() + "/kosmos/v1/callbacks/demo/" + s.secrets.Callback, Secret: s.secrets.CallbackHMAC}},
	}
}

func readKosmosConfig(path string) (k kosmosConfig, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	if !filepath.IsAbs(k.Data) {
		k.Data = filepath.Join(filepath.Dir(path), k.Data)
	}
	return k, nil
}

func (c *sandboxKosmosCmd) Run(ctx context.Context, s *streams) error {
	k, err := readKosmosConfig(c.Config)
	if err != nil {
		return err
	}
	o := kosmos.Options{
		Listen: k.Listen, DNS: k.DNS, Community: k.Community, LicenseKey: k.LicenseKey, V1Tokens: k.V1Tokens,
		Engine: api.New(k.EngineURL, &http.Client{Timeout: 2 * time.Minute}), DataDir: k.Data, Logger: logger(s.err, k.LogLevel),
		StepUpLiveness: k.StepUpLiveness, Webhooks: k.Webhooks,
	}
	if k.StepUpTTL != "" {
		if o.StepUpTTL, err = time.ParseDuration(k.StepUpTTL); err != nil {
			return fmt.Errorf("%s: step_up_ttl: %w", c.Config, err)
		}
	}
	for _, client := range k.OAuthClients {
		o.Clients = append(o.Clients, kosmos.OAuthClient{ID: client.ID, Secret: client.Secret, RedirectURIs: client.RedirectURIs})
	}
	for _, w := range k.Workflows {
		o.Workflows = append(o.Workflows, kosmos.Workflow{ID: w.ID, Node: w.Node, Kind: "liveid"})
	}
	for _, d := range k.DVCs {
		o.DVCs = append(o.DVCs, kosmos.DVC{ID: d.ID, Liveness: d.Liveness, Selfie: d.Selfie})
	}
	return kosmos.Run(ctx, o)
}
