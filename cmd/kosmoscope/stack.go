package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"text/template"
	"time"

	_ "embed"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// stack is everything on one machine: engine, local 1Kosmos and bridge, and where
// there are people to play with it local Descope and shop, each a child process
// configured by files in dir.
type stack struct {
	dir      string
	stepUp   string // liveness of step-ups, of the engine's api
	ports    ports
	secrets  secrets
	children *children
	app      bool // local Descope and shop run too
}

// ports are taken from a base, so that two stacks do not meet.
// Party is where nothing of ours listens: relying parties that people try things with.
type ports struct{ Bridge, Kosmos, Engine, Descope, Shop, Party int }

func portsFrom(base int) ports {
	return ports{base, base + 1, base + 2, base + 3, base + 4, base + 5}
}

// freePorts asks the system for them.
func freePorts() (p ports, err error) {
	for _, port := range []*int{&p.Bridge, &p.Kosmos, &p.Engine, &p.Descope, &p.Shop, &p.Party} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return p, err
		}
		defer l.Close()
		*port = l.Addr().(*net.TCPAddr).Port
	}
	return p, nil
}

// secrets are made on the first start in a folder and kept there, a file each,
// so that the configuration can name the files.
type secrets struct {
	License, V1Token, OAuthSecret, ConnectorToken, HMACToken, HMACSecret string
	DescopeToken, DescopeHMAC, ManagementKey                             string // of what the local Descope runs
	ProofingClient, LiveIDClient, DemoClient, StillClient                string // of relying parties
	AuditHMAC, Callback, CallbackHMAC                                    string // of what comes in through door C
}

func (s *stack) readSecrets() error {
	for name, value := range map[string]*string{
		"license.key": &s.secrets.License, "v1.token": &s.secrets.V1Token, "oauth.secret": &s.secrets.OAuthSecret, "connector.token": &s.secrets.ConnectorToken,
		"connector-hmac.token": &s.secrets.HMACToken, "connector-hmac.secret": &s.secrets.HMACSecret,
		"descope.token": &s.secrets.DescopeToken, "descope-hmac.secret": &s.secrets.DescopeHMAC, "descope-management.key": &s.secrets.ManagementKey,
		"client-proofing.secret": &s.secrets.ProofingClient, "client-liveid.secret": &s.secrets.LiveIDClient,
		"client-demo.secret": &s.secrets.DemoClient, "client-still.secret": &s.secrets.StillClient,
		"audit-hmac.secret": &s.secrets.AuditHMAC, "callback.secret": &s.secrets.Callback, "callback-hmac.secret": &s.secrets.CallbackHMAC,
	} {
		b, err := os.ReadFile(s.path(name))
		if errors.Is(err, fs.ErrNotExist) {
			var random [24]byte
			_, _ = rand.Read(random[:]) // never fails
			b = []byte(hex.EncodeToString(random[:]))
			err = os.WriteFile(s.path(name), b, 0o600)
		}
		if err != nil {
			return err
		}
		*value = string(b)
	}
	return nil
}

// ready is what an outside client needs to know, and what --ready-file writes.
type ready struct {
	BridgeURL     string         `json:"bridge_url"`
	Connector     readyConnector `json:"connector"`
	ConnectorHMAC readyConnector `json:"connector_hmac"`
	Kosmos        readyKosmos    `json:"kosmos"`
	EngineURL     string         `json:"engine_url"`

	Federation readyFederation `json:"federation"`
	Data       string          `json:"data"`

	Hooks    readyHooks `json:"hooks"`
	InboxURL string     `json:"inbox_url"` // JSON: what the local 1Kosmos has mailed

	// Where the demo runs them.
	Descope *readyDescope `json:"descope,omitempty"`
	AppURL  string        `json:"app_url,omitempty"`
}

// readyDescope is the local Descope's project.
type readyDescope struct {
	BaseURL       string `json:"base_url"`
	ProjectID     string `json:"project_id"`
	ManagementKey string `json:"management_key"`
}

// readyFederation is door B, and who may ask there.
type readyFederation struct {
	Issuer       string        `json:"issuer"`
	SAMLMetadata string        `json:"saml_metadata"`
	Clients      []readyClient `json:"clients"`
	// SAML service provider that people may try things with.
	SAMLEntityID string `json:"saml_entity_id"`
	SAMLACS      string `json:"saml_acs"`
}

type readyClient struct {
	ClientID     string `json:"client_id"`
	ClientSecret string `json:"client_secret"`
	RedirectURI  string `json:"redirect_uri"`
}

// readyHooks is where Descope's events go, and how they are signed.
type readyHooks struct {
	DescopeURL string `json:"descope_url"`
	HMACSecret string `json:"hmac_secret"`
}

type readyConnector struct {
	Token      string `json:"token"`
	HMACSecret string `json:"hmac_secret,omitempty"`
}

type readyKosmos struct {
	DNS        string `json:"dns"`
	Community  string `json:"community"`
	LicenseKey string `json:"license_key"`
	DVC        string `json:"dvc_id"`
	CAFile     string `json:"ca_file"`
	V1Token    string `json:"v1_token"`

	OAuthClientID     string `json:"oauth_client_id"`
	OAuthClientSecret string `json:"oauth_client_secret"`
	DiscoveryURL      string `json:"discovery_url"`
	Workflow          string `json:"workflow_id"`
	WorkflowNode      string `json:"workflow_node"`
	Config            string `json:"config"` // file of the local 1Kosmos, for sandbox user
}

// The dvcIDs of the local 1Kosmos, one for each liveness mode.
const (
	dvcStill   = "local-still"
	dvcPassive = "local-passive"
	dvcActive  = "local-active"
	community  = "default"

	oauthClient  = "kosmoscope"
	workflow     = "wf-local-liveid"
	workflowNode = "liveid"

	projectID     = "P2kosmoscopelocalproject0000" // 28 characters, as Descope's are
	descopeTenant = "kosmos"                       // Descope tenant with SAML sign-on; as in names.yaml
)

//go:embed stack.yaml.tmpl
var bridgeTemplate string

// newStack writes the configuration of a stack into dir. stepUp is the liveness
// that step-ups ask for: none or active.
func newStack(dir string, p ports, stepUp string) (*stack, error) {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return nil, err
	}
	s := &stack{dir: dir, ports: p, stepUp: stepUp}
	if err := os.MkdirAll(filepath.Join(dir, "kosmos"), 0o700); err != nil {
		return nil, err
	}
	if err := s.readSecrets(); err != nil {
		return nil, err
	}
	var config strings.Builder
	if err := template.Must(template.New("").Parse(bridgeTemplate)).Execute(&config, s.view()); err != nil {
		return nil, err
	}
	kosmos, err := json.MarshalIndent(s.kosmosConfig(), "", "  ")
	if err != nil {
		return nil, err
	}
	descope, err := json.MarshalIndent(s.descopeConfig(), "", "  ")
	if err != nil {
		return nil, err
	}
	return s, errors.Join(
		os.WriteFile(s.path("kosmoscope.yaml"), []byte(config.String()), 0o600),
		os.WriteFile(s.path("kosmos.json"), append(kosmos, '\n'), 0o600),
		os.WriteFile(s.path("descope.json"), append(descope, '\n'), 0o600),
	)
}

func (s *stack) path(name string) string { return filepath.Join(s.dir, name) }
func (s *stack) dns() string             { return fmt.Sprintf("localhost:%d", s.ports.Kosmos) }
func (s *stack) bridgeURL() string       { return fmt.Sprintf("http://localhost:%d", s.ports.Bridge) }
func (s *stack) engineURL() string       { return fmt.Sprintf("http://127.0.0.1:%d", s.ports.Engine) }
func (s *stack) descopeURL() string      { return fmt.Sprintf("http://localhost:%d", s.ports.Descope) }
func (s *stack) partyURL() string        { return fmt.Sprintf("http://localhost:%d", s.ports.Party) }
func (s *stack) issuer() string          { return s.bridgeURL() + "/federation/demo" }
func (s *stack) shopURL() string         { return fmt.Sprintf("http://localhost:%d", s.ports.Shop) }
func (s *stack) caFile() string          { return filepath.Join(s.dir, "kosmos", "ca.pem") }

func (s *stack) view() map[string]any {
	return map[string]any{
		"URL": s.bridgeURL(), "Port": s.ports.Bridge, "DNS": s.dns(), "Community": community,
		"Still": dvcStill, "Passive": dvcPassive, "Active": dvcActive,
		"StepUpTTL": s.stepUpTTL(), "WithoutLiveness": s.stepUp == api.LivenessNone,
		"DescopeURL": s.descopeURL(), "ProjectID": projectID, "ShopURL": s.shopURL(),
		"PartyURL": s.partyURL(), "DescopeTenant": descopeTenant,
	}
}

func (s *stack) ready() ready {
	r := ready{
		BridgeURL:     s.bridgeURL(),
		Connector:     readyConnector{Token: s.secrets.ConnectorToken},
		ConnectorHMAC: readyConnector{Token: s.secrets.HMACToken, HMACSecret: s.secrets.HMACSecret},
		Kosmos: readyKosmos{
			DNS: s.dns(), Community: community, LicenseKey: s.secrets.License, DVC: dvcStill,
			CAFile: s.caFile(), V1Token: s.secrets.V1Token,
			OAuthClientID: oauthClient, OAuthClientSecret: s.secrets.OAuthSecret,
			DiscoveryURL: "https://" + s.dns() + "/oauth2/community/" + community + "/.well-known/openid-configuration",
			Workflow:     workflow, WorkflowNode: workflowNode, Config: s.path("kosmos.json"),
		},
		EngineURL: s.engineURL(), Data: s.dir,
		Hooks:    readyHooks{s.bridgeURL() + "/descope/v1/events", s.secrets.AuditHMAC},
		InboxURL: "https://" + s.dns() + "/inbox/api/messages",
		Federation: readyFederation{
			Issuer: s.issuer(), SAMLMetadata: s.issuer() + "/saml/metadata", SAMLEntityID: s.partyURL() + "/saml", SAMLACS: s.partyURL() + "/saml/acs",
			Clients: []readyClient{
				{"demo", s.secrets.DemoClient, s.partyURL() + "/callback"},
				{"demo-still", s.secrets.StillClient, s.partyURL() + "/callback"},
				{"descope-proofing", s.secrets.ProofingClient, s.descopeURL() + "/v1/oauth/callback"},
				{"descope-liveid", s.secrets.LiveIDClient, s.descopeURL() + "/v1/oauth/callback"},
			},
		},
	}
	if s.app {
		r.Descope, r.AppURL = &readyDescope{s.descopeURL(), projectID, s.secrets.ManagementKey}, s.shopURL()
	}
	return r
}

// start runs the processes and waits until each answers. models is the folder of
// the checked models, "" for the usual place.
func (s *stack) start(ctx context.Context, models string, progress func(string)) (err error) {
	taken := map[string]int{"bridge": s.ports.Bridge, "local 1Kosmos": s.ports.Kosmos, "engine": s.ports.Engine}
	if s.app {
		taken["local Descope"], taken["shop"] = s.ports.Descope, s.ports.Shop
	}
	for name, port := range taken {
		l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			return hint(fmt.Errorf("port %d for the %s is taken", port, name), "choose other ports with --port-base, or end the program that uses it")
		}
		l.Close()
	}
	if s.children, err = newChildren(ctx, s.path("logs")); err != nil {
		return err
	}
	defer func() {
		if err != nil {
			s.children.close()
		}
	}()
	plain := &http.Client{Timeout: 5 * time.Second}

	progress("starting the engine")
	args := []string{"engine", "serve", "--listen", fmt.Sprintf("127.0.0.1:%d", s.ports.Engine)}
	if models != "" {
		args = append(args, "--models", models)
	}
	if err := s.children.start("engine", args...); err != nil {
		return err
	}
	if err := s.children.ready(ctx, plain, "engine", s.engineURL()+"/healthz"); err != nil {
		return err
	}

	progress("starting the local 1Kosmos")
	if err := s.children.start("kosmos", "sandbox", "kosmos", "--config", s.path("kosmos.json")); err != nil {
		return err
	}
	kosmos, err := s.waitForCA(ctx)
	if err != nil {
		return err
	}
	if err := s.children.ready(ctx, kosmos, "kosmos", "https://"+s.dns()+"/caas/sd"); err != nil {
		return err
	}

	if s.app {
		if err := s.firstHooks(ctx); err != nil {
			return err
		}
	}
	progress("starting the bridge")
	if err := s.children.start("bridge", "serve", "--config", s.path("kosmoscope.yaml")); err != nil {
		return err
	}
	if err := s.children.ready(ctx, plain, "bridge", s.bridgeURL()+"/healthz"); err != nil || !s.app {
		return err
	}

	progress("starting the local Descope")
	if err := s.children.start("descope", "sandbox", "descope", "--config", s.path("descope.json")); err != nil {
		return err
	}
	if err := s.children.ready(ctx, plain, "descope", s.descopeURL()+"/healthz"); err != nil {
		return err
	}
	if err := s.bootstrapDescope(ctx, plain); err != nil {
		return err
	}

	progress("starting the shop")
	if err := s.children.start("shop", "sandbox", "shop", "--config", s.path("shop.json")); err != nil {
		return err
	}
	return s.children.ready(ctx, plain, "shop", s.shopURL()+"/healthz")
}

// waitForCA gives a client that trusts the local 1Kosmos, as soon as that has
// made its certificates.
func (s *stack) waitForCA(ctx context.Context) (*http.Client, error) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	for {
		client, err := trusting(s.caFile())
		if err == nil {
			return client, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("local 1Kosmos did not come up: %w\n%s", err, s.children.tail("kosmos"))
		case <-tick.C:
		}
	}
}

// trusting makes a client that trusts the certificates in a PEM file besides the system's.
func trusting(caFile string) (*http.Client, error) {
	transport := http.DefaultTransport.(*http.Transport).Clone()
	transport.Proxy = nil // 1Kosmos is reached directly, above all on this machine
	transport.MaxIdleConnsPerHost = 64
	if caFile != "" {
		pem, err := os.ReadFile(caFile)
		if err != nil {
			return nil, err
		}
		pool, err := x509.SystemCertPool()
		if err != nil {
			pool = x509.NewCertPool()
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("%s holds no certificate", caFile)
		}
		transport.TLSClientConfig = &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
	}
	return &http.Client{Transport: transport, Timeout: 60 * time.Second}, nil
}

// stepUpTTL is the life of a UWL session in this stack. The 60 seconds of the
// vendor's are for an app that sees at once whether it is you; moving one's head
// as a page asks takes half a minute, and some people need it twice.
func (s *stack) stepUpTTL() string {
	if s.stepUp == api.LivenessNone {
		return "60s"
	}
	return "3m"
}
