package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/integrations"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow/shipped"
	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/manage"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/panel"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/screens"
)

type sandboxDescopeCmd struct {
	Config string `required:"" type:"existingfile" help:"Configuration (JSON); demo writes one."`
	Web    string `type:"path" env:"KOSMOSCOPE_WEB" help:"Folder of Descope's web component, as make build leaves it (default: web beside the program)."`
}

// descopeConfig is the file of `sandbox descope`. Paths are relative to it.
type descopeConfig struct {
	Listen        string              `json:"listen"`
	URL           string              `json:"url"`     // our origin, as browsers see it
	Origins       []string            `json:"origins"` // of the pages that run flows
	ProjectID     string              `json:"project_id"`
	ManagementKey string              `json:"management_key"`
	Connectors    []connectors.Config `json:"connectors"`
	Federation    federationConfig    `json:"federation,omitzero"`
	Flows         string              `json:"flows,omitempty"`  // folder of flow documents; default: those that we ship
	Names         string              `json:"names,omitempty"`  // like names.yaml; default: ours
	Places        string              `json:"places,omitempty"` // packed table of internal/geo; default: the one in the program
	Data          string              `json:"data"`
	LogLevel      string              `json:"log_level"`
}

// federationConfig are the identity providers of the project.
type federationConfig struct {
	OAuth []federation.Provider `json:"oauth,omitempty"` // by the names of Descope's Terraform provider
	SSO   []federation.SSO      `json:"sso,omitempty"`   // by the names of Descope's Management API
	// Settings of the project for whoever comes by SAML.
	DoNotMergeSSO bool `json:"do_not_merge_sso_users,omitempty"`
	UnverifiedSSO bool `json:"mark_email_as_unverified,omitempty"`
}

func (s *stack) descopeConfig() descopeConfig {
	return descopeConfig{
		Listen: fmt.Sprintf("127.0.0.1:%d", s.ports.Descope), URL: s.descopeURL(), Origins: []string{s.shopURL()},
		ProjectID: projectID, ManagementKey: s.secrets.ManagementKey,
		Connectors: []connectors.Config{{
			Name: flow.DefaultNames().Connector.Name, BaseURL: s.bridgeURL() + "/descope/v1",
			Authentication: connectors.Authentication{Method: connectors.BearerToken, BearerToken: s.secrets.DescopeToken},
			HMACSecret:     s.secrets.DescopeHMAC,
		}, {
			Name: "Audit Webhook", Type: connectors.AuditWebhook, BaseURL: s.bridgeURL() + "/descope/v1/events",
			Authentication: connectors.Authentication{Method: connectors.None}, HMACSecret: s.secrets.AuditHMAC,
		}},
		Federation: s.descopeFederation(),
		Data:       "descope", LogLevel: "info",
	}
}

// descopeFederation is how the local Descope asks door B: as anybody's project would.
func (s *stack) descopeFederation() federationConfig {
	provider := func(name, id, secret string, scopes, prompts []string, mapping map[string]string) federation.Provider {
		return federation.Provider{
			Name: name, ClientID: id, ClientSecret: secret, Issuer: s.issuer(),
			Authorization: s.issuer() + "/authorize", Token: s.issuer() + "/token", UserInfo: s.issuer() + "/userinfo", JWKS: s.issuer() + "/jwks",
			Scopes: scopes, Prompts: prompts, AllowedGrantTypes: []string{"authorization_code"}, ClaimMapping: mapping,
		}
	}
	return federationConfig{
		OAuth: []federation.Provider{
			provider("kosmos-proofing", "descope-proofing", s.secrets.ProofingClient, []string{"openid", "identity_assurance"}, nil, shipped.ProofingMapping),
			provider("kosmos-liveid", "descope-liveid", s.secrets.LiveIDClient, []string{"openid"}, []string{"login"}, shipped.LiveIDMapping),
		},
		SSO: []federation.SSO{{TenantID: descopeTenant, Settings: federation.Settings{
			MetadataURL:      s.issuer() + "/saml/metadata",
			AttributeMapping: federation.AttributeMapping{CustomAttributes: map[string]string{"kosmosIal": "ial_level", "kosmosIalExpiresAt": "ial_expires_at"}},
		}}},
	}
}

func readDescopeConfig(path string) (k descopeConfig, err error) {
	b, err := os.ReadFile(path)
	if err != nil {
		return k, err
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(&k); err != nil {
		return k, fmt.Errorf("%s: %w", path, err)
	}
	for _, p := range []*string{&k.Data, &k.Flows, &k.Names, &k.Places} {
		if *p != "" && !filepath.IsAbs(*p) {
			*p = filepath.Join(filepath.Dir(path), *p)
		}
	}
	return k, nil
}

func (c *sandboxDescopeCmd) Run(ctx context.Context, s *streams) error {
	k, err := readDescopeConfig(c.Config)
	if err != nil {
		return err
	}
	web, err := beside(c.Web, "web")
	if err != nil {
		return err
	}
	log := logger(s.err, k.LogLevel)
	h, done, err := newDescope(k, web, log)
	if err != nil {
		return err
	}
	srv := &http.Server{Addr: k.Listen, Handler: h, ReadTimeout: 30 * time.Second, IdleTimeout: time.Minute}
	return errors.Join(serveUntil(ctx, srv), done())
}

// newDescope puts the local Descope together. done is to be called at the end.
func newDescope(k descopeConfig, web string, log *slog.Logger) (h http.Handler, done func() error, err error) {
	names := flow.DefaultNames()
	if k.Names != "" {
		if names, err = flow.ReadNames(k.Names); err != nil {
			return nil, nil, err
		}
	}
	where, credit, err := places(k.Places)
	if err != nil {
		return nil, nil, err
	}
	people, err := accounts.Open(accounts.Options{Dir: k.Data, ProjectID: k.ProjectID, BaseURL: k.URL, Logger: log,
		Geo: func(a netip.Addr) (country, city string, lat, lon, radiusKM float64, ok bool) {
			p, ok := where(a)
			return p.Country, p.City, p.Latitude, p.Longitude, p.RadiusKM, ok && p.HasCoordinates
		}})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, people.Close())
		}
	}()
	broken := faults.New()
	calls, err := connectors.New(k.Connectors, connectors.Options{Names: names, Logger: log, Faults: broken})
	if err != nil {
		return nil, nil, err
	}
	stream, err := auditing.New(auditing.Options{ProjectID: k.ProjectID, Webhooks: calls, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	defer func() {
		if err != nil {
			stream.Close()
		}
	}()
	people.OnEvent(stream.Record)
	providers, err := federation.New(federation.Options{
		ProjectID: k.ProjectID, BaseURL: k.URL, Providers: k.Federation.OAuth, SSO: k.Federation.SSO,
		MergeSSO: !k.Federation.DoNotMergeSSO, UnverifiedSSO: k.Federation.UnverifiedSSO, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	origins := append([]string{k.URL}, k.Origins...)
	flows, err := runner.New(runner.Options{
		Names: names, Accounts: people, Connectors: calls, Federation: providers, Logger: log,
		Screens:      func(d *flow.Document) []error { return screens.Check(names, d) },
		Redirectable: func(u *url.URL) bool { return slices.Contains(origins, u.Scheme+"://"+u.Host) },
	})
	if err != nil {
		return nil, nil, err
	}
	refused, err := install(flows, k.Flows, log)
	if err != nil {
		return nil, nil, err
	}
	shown, err := screens.New(screens.Options{ProjectID: k.ProjectID, Names: names, Flows: flows.List, WebDir: web, Logger: log})
	if err != nil {
		return nil, nil, hint(err, "make build fetches Descope's web component; --web or KOSMOSCOPE_WEB names another folder")
	}
	managed, err := manage.New(manage.Options{ProjectID: k.ProjectID, ManagementKey: k.ManagementKey, Accounts: people, Flows: flows, Federation: providers, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	lab, err := panel.New(panel.Options{
		Geo: func(a netip.Addr) (panel.Place, bool) {
			p, ok := where(a)
			return panel.Place{Country: p.Country, City: p.City}, ok
		},
		Credit: credit,
		Mail:   func() []panel.Mail { return mailOf(people) }, Users: func(ctx context.Context) ([]panel.User, error) { return usersOf(ctx, people) }, Flows: func() []panel.Flow { return append(flowsOf(flows), refused...) }, Calls: calls, Faults: broken, Audit: stream, Logger: log,
	})
	if err != nil {
		return nil, nil, err
	}
	h, err = descope.New(descope.Options{
		ProjectID: k.ProjectID, BaseURL: k.URL, Origins: k.Origins, Runner: flows, Browser: lab.Browser, FirstContact: lab.FirstContact,
		Screens: shown, Federation: providers.Handler(flows), Manage: managed, Panel: lab, Faults: broken.Runtime, Logger: log,
	})
	return h, func() error { stream.Close(); calls.Close(); return people.Close() }, err
}

// places looks addresses up in a packed table, or in the program's own. That one
// takes half a second to unpack, which nobody's login has to wait for.
func places(file string) (where func(netip.Addr) (geo.Place, bool), credit func() panel.Credit, err error) {
	if file == "" {
		go geo.Date()
		return geo.Lookup, func() panel.Credit {
			return panel.Credit{Text: geo.Attribution(), URL: geo.AttributionURL(), Date: geo.Date()}
		}, nil
	}
	t, err := geo.Open(file)
	if err != nil {
		return nil, nil, err
	}
	return t.Lookup, func() panel.Credit {
		return panel.Credit{Text: t.Attribution(), URL: t.AttributionURL(), Date: t.Date()}
	}, nil
}

// install takes in the flow documents of a folder, or those that we ship. Those that
// are refused are in the log and on the test panel; the others run.
func install(r *runner.Runner, dir string, log *slog.Logger) (refused []panel.Flow, err error) {
	files := integrations.Flows()
	if dir != "" {
		files = os.DirFS(dir)
	}
	documents, err := flow.ReadDir(files)
	if err != nil {
		return nil, err
	}
	for _, d := range documents {
		problems := r.Import(d)
		f := panel.Flow{ID: d.FlowID, Name: d.Metadata.Name, Version: runner.Version(d), Refused: true}
		for _, p := range problems {
			log.Warn("flow", "problem", p.String(), "refused", p.Fatal)
			f.Problems = append(f.Problems, p.String())
		}
		if runner.Refused(problems) {
			refused = append(refused, f)
		}
	}
	return refused, nil
}

// flowsOf is what the test panel shows of the flows.
func flowsOf(r *runner.Runner) []panel.Flow {
	problems := map[string][]string{}
	for _, p := range r.Problems() {
		problems[p.Flow] = append(problems[p.Flow], p.String())
	}
	var out []panel.Flow
	for _, d := range r.List() {
		out = append(out, panel.Flow{ID: d.FlowID, Name: d.Metadata.Name, Version: runner.Version(d), Problems: problems[d.FlowID]})
	}
	return out
}

// mailOf is the outbox as the test panel shows it.
func mailOf(people *accounts.Accounts) []panel.Mail {
	var out []panel.Mail
	for _, m := range people.Mail() {
		out = append(out, panel.Mail(m))
	}
	return out
}

// usersOf is what the test panel shows of the users.
func usersOf(ctx context.Context, people *accounts.Accounts) ([]panel.User, error) {
	profiles, err := people.Users(ctx)
	var out []panel.User
	for _, p := range profiles {
		u := panel.User{ID: p.ID, LoginIDs: p.LoginIDs, Name: p.Name, Email: p.Email, Status: p.Status, Attributes: p.Attributes}
		for _, d := range p.Devices {
			u.Devices = append(u.Devices, panel.Device(d))
		}
		for _, l := range p.Logins {
			u.Logins = append(u.Logins, panel.Visit(l))
		}
		out = append(out, u)
	}
	return out, err
}
