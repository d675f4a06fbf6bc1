package main

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/pages"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

type serveCmd struct {
	Config string `required:"" type:"existingfile" short:"c" help:"Configuration (YAML); docs/configuration.md describes it."`
}

func (c *serveCmd) Run(ctx context.Context, s *streams) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	log := logger(s.err, cfg.LogLevel)
	b, err := openBridge(ctx, cfg, log)
	if err != nil {
		return err
	}
	defer b.close()
	if err := b.firstLink(ctx, s); err != nil {
		return err
	}
	return b.serve(ctx)
}

// bridge is the program with its rooms connected.
type bridge struct {
	cfg     *config.Config
	log     *slog.Logger
	store   *store.Store
	journey *journey.Service
	runner  *jobs.Runner
	callers *callers.Registry
	atlas   *geo.Atlas
	risk    *decide.Service
	console *console.Console // nil: none

	federation *federation.Service
	keys       *keys.Service
	hooks      *hooks.Service
	deliveries *deliveries.Service
	projects   map[string]*descope.Client // of Descope, by tenant
	hasher     in.Hasher
}

func (b *bridge) close() {
	if b.console != nil {
		b.console.Close()
	}
	if b.deliveries != nil {
		b.deliveries.Close()
	}
	if b.atlas != nil {
		b.atlas.Close()
	}
	b.store.Close()
}

// openBridge opens what the configuration names and connects it.
func openBridge(ctx context.Context, cfg *config.Config, log *slog.Logger) (*bridge, error) {
	st, err := store.Open(ctx, cfg.Store)
	if err != nil {
		return nil, err
	}
	b := &bridge{cfg: cfg, log: log, store: st}
	if err := b.connect(ctx); err != nil {
		b.close()
		return nil, err
	}
	return b, nil
}

func (b *bridge) connect(ctx context.Context) error {
	keys, err := b.vault(ctx)
	if err != nil {
		return err
	}
	if b.callers, err = callers.New(b.cfg.Callers, callers.Options{
		PublicURL: b.cfg.PublicURL, Logger: b.log, ClientIP: clientIP(b.cfg.TrustedProxies),
	}); err != nil {
		return err
	}
	// More workers than the polls of one tenant that does not answer can take up.
	// A short lease, renewed while a handler runs: what a killed process had in hand goes on soon.
	b.runner = jobs.New(b.store, jobs.Options{Logger: b.log, Lease: 10 * time.Second, Workers: 64, OnDead: b.givenUp})
	b.hasher = keys
	if strings.HasPrefix(b.cfg.PublicURL, "https:") && b.cfg.TLS.Cert == "" && len(b.cfg.TrustedProxies) == 0 {
		b.log.Warn("a proxy is in front, and trusted_proxies does not name it: everybody seems to come from one network, and limits for networks hold for all together")
	}
	options := journey.Options{
		Store: b.store, Vault: keys, Callers: b.caller, PublicURL: b.cfg.PublicURL,
		ConsentVersion: pages.ConsentVersion, Wake: b.runner.Wake, Logger: b.log, OnVerdict: decide.JobVerdict, OnEnded: hooks.JobEnded,
	}
	b.projects = map[string]*descope.Client{}
	mail := map[string]hooks.Messages{}
	ups := map[string]journey.Upstream{}
	for i := range b.cfg.Tenants {
		t := &b.cfg.Tenants[i]
		up, face, platform, err := b.upstream(t)
		if err != nil {
			return fmt.Errorf("tenant %q: %w", t.ID, err)
		}
		ours := tenant(t, up, face)
		ups[t.ID] = up
		if platform != nil && (t.Hooks.Mail == nil || *t.Hooks.Mail) {
			mail[t.ID] = upstream.NewMessages(platform, upstream.MessagesConfig{Application: b.application(t)})
		}
		if t.Descope != nil {
			if b.projects[t.ID], err = project(t.Descope); err != nil {
				return fmt.Errorf("tenant %q: descope: %w", t.ID, err)
			}
			ours.External = journey.ExternalRules{Descope: b.projects[t.ID], StayOnFailure: t.Descope.ExternalAuthFailure == config.FailureStay}
		}
		options.Tenants = append(options.Tenants, ours)
	}
	b.journey = journey.New(options)
	if b.risk, err = b.risks(keys); err != nil {
		return err
	}
	if err := b.federations(keys, ups); err != nil {
		return err
	}
	if err := b.hooked(keys, mail); err != nil {
		return err
	}
	for _, handlers := range []map[string]func(context.Context, proof.Job) (time.Time, error){b.journey.Handlers(), b.risk.Handlers()} {
		for kind, handler := range handlers {
			b.runner.HandleAs(kind, handler, jobs.Kind{Priority: priorities[kind]})
		}
	}
	return b.checkKey(ctx)
}

// caller finds who may call: a client of ours in the configuration, or one of door B.
func (b *bridge) caller(tenant, id string) (proof.Caller, bool) {
	if c, ok := b.callers.Caller(tenant, id); ok {
		return c, true
	}
	return b.federation.Caller(tenant, id)
}

// checkKey sees that the master key is the one that the store was begun with: a
// secret is sealed under it at the first start and must open ever after. With
// another key people would be asked anew and erasing would miss what is there.
func (b *bridge) checkKey(ctx context.Context) error {
	for _, t := range b.cfg.Tenants {
		_, err := b.journey.OwnSecret(ctx, t.ID, "master-key-check", func() ([]byte, error) { return []byte(t.ID), nil })
		if errors.Is(err, vault.ErrSealed) {
			return hint(fmt.Errorf("the master key %s is not the one that this store was begun with", b.cfg.MasterKey),
				"put the right key file in its place; replicas that share a database share the key")
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// clientIP finds where a request comes from. X-Forwarded-For is believed only
// from trusted networks, and only its last entry that is not one of them: the
// others are what the client says of itself.
func clientIP(trusted []netip.Prefix) func(*http.Request) netip.Addr {
	proxy := func(a netip.Addr) bool {
		return slices.ContainsFunc(trusted, func(p netip.Prefix) bool { return p.Contains(a.Unmap()) })
	}
	return func(r *http.Request) netip.Addr {
		remote, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil {
			return netip.Addr{}
		}
		from := remote.Addr().Unmap()
		hops := strings.Split(strings.Join(r.Header.Values("X-Forwarded-For"), ","), ",")
		for i := len(hops) - 1; i >= 0 && proxy(from); i-- {
			text := strings.TrimSpace(hops[i])
			hop, err := netip.ParseAddr(text)
			if err != nil { // some proxies add the port
				withPort, err := netip.ParseAddrPort(text)
				if err != nil {
					break
				}
				hop = withPort.Addr()
			}
			from = hop.Unmap()
		}
		return from
	}
}

// vault opens the master keyset. It is made on the very first start only: a
// missing one beside a store that holds data is a loss, not a beginning.
func (b *bridge) vault(ctx context.Context) (*vault.Vault, error) {
	path := b.cfg.MasterKey
	v, err := vault.Open(path)
	if !errors.Is(err, fs.ErrNotExist) {
		return v, err
	}
	empty, err := b.store.Empty(ctx)
	if err != nil {
		return nil, err
	}
	if !empty {
		return nil, hint(fmt.Errorf("the master key %s is missing, and the store holds data sealed under it", path),
			"put the key file back from its backup; a new key cannot open what the old one sealed")
	}
	if err := vault.Create(path); err != nil {
		return nil, err
	}
	b.log.Warn("made a new master key; back it up: without it nothing personal in the store can be read", "file", path)
	return vault.Open(path)
}

func tenant(t *config.Tenant, up journey.Upstream, face journey.StepUp) journey.Tenant {
	u := &t.StepUp
	out := journey.Tenant{
		ID: t.ID, Upstream: up, DefaultLiveness: t.LivenessMode, LinkTTL: t.LinkTTL, Deadline: t.Deadline,
		HandoverTTL: t.HandoverTTL, Retention: t.Retention, PollFirst: t.Poll.First, PollMax: t.Poll.Max, PollGiveUp: t.Poll.GiveUp,
		StepUp: journey.StepUpRules{
			Backend: face, Timeout: u.Timeout, MaxTimeout: u.MaxTimeout, Poll: u.Poll, ResultTTL: u.ResultTTL, WithoutLiveness: u.WithoutLiveness,
			Limits: journey.Limits{
				SubjectStarts: journey.Limit(u.Limits.SubjectStarts), SubjectFailures: journey.Limit(u.Limits.SubjectFailures),
				CallerStarts: journey.Limit(u.Limits.CallerStarts), NetworkOpens: journey.Limit(u.Limits.NetworkOpens),
				NetworkFailures: journey.Limit(u.Limits.NetworkFailures),
			},
		},
	}
	for _, a := range t.Assurance {
		out.Policy = append(out.Policy, journey.AssuranceRule(a))
	}
	return out
}

// project is a tenant's Descope project.
func project(d *config.Descope) (*descope.Client, error) {
	client, err := trusting(d.CAFile)
	if err != nil {
		return nil, fmt.Errorf("ca_file: %w", err)
	}
	return descope.New(descope.Options{BaseURL: d.BaseURL, ProjectID: d.ProjectID, ManagementKey: string(d.ManagementKey), HTTPClient: client})
}

// application is whose accounts a tenant's are, as people know it.
func (b *bridge) application(t *config.Tenant) string {
	c, _ := b.callers.Caller(t.ID, t.Hooks.Caller)
	return c.Application
}

// upstream makes the two ways to a tenant's 1Kosmos: for verifications and for step-ups; and
// the platform API, nil with profile v1.
func (b *bridge) upstream(t *config.Tenant) (journey.Upstream, journey.StepUp, *upstream.Connector, error) {
	k := &t.Kosmos
	client, err := trusting(k.CAFile)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("ca_file: %w", err)
	}
	var bearer *blockid.V1Client
	if k.V1.Token != "" {
		if bearer, err = blockid.NewV1Client(blockid.V1Config{
			DNS: k.DNS, Token: k.V1.Token, StatusMethod: k.V1.StatusMethod, Judge: upstream.JudgeFrom(k.V1.Minimum()),
			HTTPClient: client, AllowedHosts: k.AllowedHosts, Timeout: k.Timeout,
		}); err != nil {
			return nil, nil, nil, err
		}
	}
	var platform *upstream.Connector
	if k.Profile == "blockid" {
		platform = upstream.Connect(blockid.Config{
			DNS: k.DNS, Community: k.Community, LicenseKey: k.LicenseKey, Curve: blockid.Curve(k.Curve), AppID: "kosmoscope",
			HTTPClient: client, AllowedHosts: k.AllowedHosts, Timeout: k.Timeout, WorkflowBase: t.StepUp.Workflow.BaseURL,
		}, b.keyFor(t.ID))
	}

	face, err := stepUp(t, client, platform, bearer)
	if err != nil {
		return nil, nil, nil, fmt.Errorf("step_up: %w", err)
	}
	if platform == nil {
		return upstream.NewV1(bearer, k.V1.Liveness, k.TrustFramework), face, nil, nil
	}
	var workflows []upstream.Workflow
	for _, w := range k.Workflows {
		workflows = append(workflows, upstream.Workflow(w))
	}
	return upstream.NewBlockID(platform, workflows, k.TrustFramework, time.Now), face, platform, nil
}

// stepUp makes the backend that the configuration names; it was checked that what
// that needs is there.
func stepUp(t *config.Tenant, client *http.Client, platform *upstream.Connector, bearer *blockid.V1Client) (journey.StepUp, error) {
	u := &t.StepUp
	switch u.Backend {
	case "uwl":
		return upstream.NewUWL(platform, u.SessionTTL, time.Now), nil
	case "v1":
		return upstream.NewV1StepUp(bearer, time.Now), nil
	case "workflow":
		return upstream.NewWorkflow(platform, upstream.WorkflowConfig{ID: u.Workflow.ID, Node: u.Workflow.Node}, time.Now), nil
	case "oidc":
		c := upstream.OIDCConfig{
			DiscoveryURL: u.OIDC.DiscoveryURL, ClientID: u.OIDC.ClientID, ClientSecret: u.OIDC.ClientSecret, Scopes: u.OIDC.Scopes,
			ACRValues: u.OIDC.ACRValues, AcceptedACR: u.OIDC.AcceptedACR, AcceptedAMR: u.OIDC.AcceptedAMR, AllowUnnamed: u.OIDC.AcceptUnnamed,
			Issuer: u.OIDC.Issuer, NoPKCE: u.OIDC.NoPKCE, UsernameClaim: u.OIDC.UsernameClaim,
			HTTPClient: client, AllowedHosts: append([]string{t.Kosmos.DNS}, t.Kosmos.AllowedHosts...),
		}
		if platform != nil {
			c.Eligibility = upstream.Eligibility(platform)
		}
		return upstream.NewOIDC(c)
	}
	return nil, fmt.Errorf("no backend %q", u.Backend)
}

// keyFor gives our key pair towards a tenant, one for each curve; it is made at the
// first use and kept in the store, so that all replicas have the same.
func (b *bridge) keyFor(tenant string) func(context.Context, blockid.Curve) (*blockid.PrivateKey, error) {
	return func(ctx context.Context, curve blockid.Curve) (*blockid.PrivateKey, error) {
		secret, err := b.journey.OwnSecret(ctx, tenant, "blockid-key-"+string(curve), func() ([]byte, error) {
			fresh, err := blockid.GenerateKey(curve)
			if err != nil {
				return nil, err
			}
			return []byte(fresh.Encode()), nil
		})
		if err != nil {
			return nil, err
		}
		return blockid.ParsePrivateKey(curve, string(secret))
	}
}

// handler is everything that the bridge answers over HTTP.
func (b *bridge) handler() (http.Handler, error) {
	mux := http.NewServeMux()
	door, err := connector.New(connector.Options{Proofing: b.journey, Risk: b.risk, Callers: b.callers, Logger: b.log, Version: version, Fragments: [][]byte{in.OpenAPI()}})
	if err != nil {
		return nil, err
	}
	mux.Handle(connector.Prefix, door)
	mux.Handle(connector.HealthPath, door)
	mux.HandleFunc(callers.TokenPath, b.callers.ServeToken)
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		if err := b.store.Ping(r.Context()); err != nil {
			b.log.WarnContext(r.Context(), "not ready", "error", err)
			http.Error(w, "the store does not answer", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintln(w, "ready")
	})
	kept := pages.RetentionUnknown
	if b.cfg.Pages.PhotosKept != nil {
		kept = *b.cfg.Pages.PhotosKept
	}
	site := pages.New(pages.Options{
		Proofing: b.journey, Challenges: b.journey, ClientIP: clientIP(b.cfg.TrustedProxies), ChallengeOfState: upstream.ChallengeOfState,
		PublicURL: b.cfg.PublicURL, Logger: b.log,
		Processor: b.cfg.Pages.Processor, Retention: kept, RetentionText: b.cfg.Pages.PhotosKeptText, PrivacyURL: b.cfg.Pages.PrivacyURL,
	})
	for _, path := range []string{"/v/", "/c/", "/p/"} {
		mux.Handle(path, site)
	}
	b.mountFederation(mux, site)
	if err := b.mountHooks(mux, b.hasher); err != nil {
		return nil, err
	}
	b.mountConsole(mux)
	mux.HandleFunc("GET /{$}", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; charset=utf-8")
		fmt.Fprintln(w, "Kosmoscope is running. Descope calls it under /descope/v1; the description is /descope/v1/openapi.json.")
	})
	return mux, nil
}

func (b *bridge) serve(ctx context.Context) error {
	handler, err := b.handler()
	if err != nil {
		return err
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: 5 * time.Second,
		ReadTimeout:       15 * time.Second,
		WriteTimeout:      60 * time.Second,
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(b.log.Handler(), slog.LevelWarn),
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", b.cfg.Listen)
	if err != nil {
		return hint(err, "choose another address with listen in the configuration, or end the program that uses it")
	}
	if b.cfg.TLS.Cert != "" {
		pair, err := tls.LoadX509KeyPair(b.cfg.TLS.Cert, b.cfg.TLS.Key)
		if err != nil {
			return fmt.Errorf("tls: %w", err)
		}
		listener = tls.NewListener(listener, &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12, NextProtos: []string{"h2", "http/1.1"}})
	}
	go func() { // so that the first login does not pay for it
		b.atlas.Warm()
		debug.FreeOSMemory() // unpacking takes several times what is kept
	}()
	if err := b.risk.Begin(ctx); err != nil {
		return err
	}
	if err := b.firstKeys(ctx); err != nil {
		return err
	}
	if err := errors.Join(b.hooks.Begin(ctx), b.deliveries.Begin(ctx)); err != nil {
		return err
	}
	work, stop := context.WithCancel(ctx)
	defer stop()
	ended := make(chan error, 2)
	go func() { ended <- b.runner.Run(work) }()
	go func() { ended <- server.Serve(listener) }()
	b.log.Info("serving", "version", version, "listen", listener.Addr().String(), "public_url", b.cfg.PublicURL, "store", strings.SplitN(b.cfg.Store, ":", 2)[0])

	running := 2
	select {
	case <-ctx.Done():
	case err = <-ended: // neither ends by itself
		running--
	}
	b.log.Info("ending")
	grace, cancel := context.WithTimeout(context.WithoutCancel(ctx), 10*time.Second)
	defer cancel()
	stop()
	err = errors.Join(err, server.Shutdown(grace))
	for range running {
		if e := <-ended; !errors.Is(e, http.ErrServerClosed) && !errors.Is(e, context.Canceled) {
			err = errors.Join(err, e)
		}
	}
	return err
}

type rotateCmd struct {
	Config string `required:"" type:"existingfile" short:"c" help:"Configuration of the bridge."`
}

func (c *rotateCmd) Run(s *streams) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	keys, err := vault.Open(cfg.MasterKey)
	if err != nil {
		return err
	}
	if err := keys.Rotate(); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s has a new primary key. Back the file up: older keys stay in it, because what they sealed needs them.\n", cfg.MasterKey)
	return nil
}

type eraseCmd struct {
	Subject string `arg:"" help:"The customer's user identifier, or the id of one of the person's verifications or challenges."`
	Config  string `required:"" type:"existingfile" short:"c" help:"Configuration of the bridge."`
	Tenant  string `help:"Tenant, if the configuration has several."`
	JSON    bool   `name:"json" help:"Print JSON."`
}

func (c *eraseCmd) Run(ctx context.Context, s *streams) error {
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	done, err := b.journey.Erase(ctx, tenant, c.Subject)
	if errors.Is(err, proof.ErrNotFound) {
		return &exit{status: 1, err: hint(errors.New("no such subject in this tenant"), "give the user identifier exactly as the caller sent it, or a session id")}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, done)
	}
	fmt.Fprintf(s.out, "Forgot subject %s: its key is gone, the data of %d verifications and %d challenges cannot be read any more, %d assurances are revoked.\n",
		done.Subject, done.Verifications, done.Challenges, done.Assurances)
	return nil
}
