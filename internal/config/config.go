package config

import (
	"errors"
	"fmt"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Config is the whole file.
type Config struct {
	// PublicURL is our own origin as browsers and Descope see it.
	PublicURL string `yaml:"public_url"`
	// Listen is the address to listen on, host:port.
	Listen string `yaml:"listen"`
	// TLS serves HTTPS directly; without it a proxy in front is expected to.
	TLS TLS `yaml:"tls"`
	// Store is sqlite:PATH or a postgres:// URL.
	Store string `yaml:"store"`
	// MasterKey is the file of the keyset under which everything personal is sealed.
	MasterKey string `yaml:"master_key"`
	// LogLevel is debug, info, warn or error.
	LogLevel string `yaml:"log_level"`
	// TrustedProxies are networks whose X-Forwarded-For is believed.
	TrustedProxies []netip.Prefix   `yaml:"trusted_proxies"`
	Pages          Pages            `yaml:"pages"`
	Geo            Geo              `yaml:"geo"`
	Console        Console          `yaml:"console"`
	Tenants        []Tenant         `yaml:"tenants"`
	Callers        []callers.Config `yaml:"callers"`
}

// Pages is what people are told before they consent.
type Pages struct {
	// Processor examines the photos; "1Kosmos" unless said otherwise.
	Processor string `yaml:"processor"`
	// PhotosKept is how long it keeps them after the end. Without it the page says
	// that this is agreed between the processor and the application.
	PhotosKept *time.Duration `yaml:"photos_kept"`
	// PhotosKeptText is a whole sentence instead of the one made from PhotosKept.
	PhotosKeptText string `yaml:"photos_kept_text"`
	// PrivacyURL is the operator's privacy notice.
	PrivacyURL string `yaml:"privacy_url"`
}

// Geo names files of the operator's own that say where an address is. They win over the
// tables of the program, and are taken up anew when they change.
type Geo struct {
	City        string `yaml:"city"`        // MaxMind format
	AS          string `yaml:"as"`          // MaxMind format
	Anonymisers string `yaml:"anonymisers"` // text: a network a line, and what it is called
	// WithoutTables leaves the program's own tables alone: what no file tells is not known.
	WithoutTables bool `yaml:"without_tables"`
}

// Console is the operator's pages, below PUBLIC_URL/console/.
type Console struct {
	Off bool `yaml:"off"`
}

// TLS names a certificate chain and its key, both PEM files.
type TLS struct {
	Cert string `yaml:"cert"`
	Key  string `yaml:"key"`
}

// Tenant is one Descope project joined to one 1Kosmos community.
type Tenant struct {
	ID     string `yaml:"id"`
	Kosmos Kosmos `yaml:"kosmos"`
	// LivenessMode is used when a caller names none. It cannot be "none".
	LivenessMode proof.LivenessMode `yaml:"liveness_mode"`
	Deadline     time.Duration      `yaml:"deadline"`
	LinkTTL      time.Duration      `yaml:"link_ttl"`
	HandoverTTL  time.Duration      `yaml:"handover_ttl"`
	Retention    time.Duration      `yaml:"retention"`
	Poll         Poll               `yaml:"poll"`
	Assurance    []Assurance        `yaml:"assurance"`
	StepUp       StepUp             `yaml:"step_up"`
	Risk         Risk               `yaml:"risk"`
	Federation   Federation         `yaml:"federation"`
	Hooks        Hooks              `yaml:"hooks"`
	Descope      *Descope           `yaml:"descope"` // nil: nothing of Descope's is called
}

// Descope is how to manage the tenant's Descope project.
type Descope struct {
	BaseURL       string         `yaml:"base_url"`
	ProjectID     string         `yaml:"project_id"`
	ManagementKey callers.Secret `yaml:"management_key"`
	CAFile        string         `yaml:"ca_file"` // trusted besides the system's
	// ExternalAuthFailure says how a round trip through External Authentication ends
	// when it failed: with a claim, under a login id that is nobody's, or not at all:
	// the person stays on our page.
	ExternalAuthFailure string `yaml:"external_auth_failure"`
}

// Risk says how logins are weighed, besides the policy, which is published in the console.
type Risk struct {
	// Preset holds where no policy is published: lenient, balanced or strict.
	Preset string `yaml:"preset"`
	// Window is in which attempts and failures are counted.
	Window time.Duration `yaml:"window"`
	// KeepDecisions is how long a decision can be explained and replayed, KeepHistory how
	// long a person's familiar devices and places are remembered when nothing new comes.
	KeepDecisions time.Duration `yaml:"keep_decisions"`
	KeepHistory   time.Duration `yaml:"keep_history"`
}

// StepUp says how people are recognised by their face, and how often it may be tried.
type StepUp struct {
	// Backend is uwl, v1, workflow or oidc. Without it uwl with profile blockid and v1 with profile v1.
	Backend    string        `yaml:"backend"`
	Timeout    time.Duration `yaml:"timeout"`     // of a challenge whose caller names none
	MaxTimeout time.Duration `yaml:"max_timeout"` // the longest that a caller may name
	Poll       time.Duration `yaml:"poll"`        // distance between two polls while somebody is at it
	ResultTTL  time.Duration `yaml:"result_ttl"`  // how long a match may be read after the challenge has ended
	// WithoutLiveness lets a match count for which the provider itself says that it
	// did not look for a living person. 1Kosmos says nothing of the kind.
	WithoutLiveness bool           `yaml:"without_liveness"`
	SessionTTL      time.Duration  `yaml:"session_ttl"` // how long 1Kosmos keeps a UWL session open
	Workflow        StepUpWorkflow `yaml:"workflow"`
	OIDC            StepUpOIDC     `yaml:"oidc"`
	Limits          StepUpLimits   `yaml:"limits"`
}

// StepUpWorkflow is for backend workflow.
type StepUpWorkflow struct {
	ID      string `yaml:"id"`       // workflowId, such as wf-1b9d6bcd-...
	Node    string `yaml:"node"`     // node whose result is read
	BaseURL string `yaml:"base_url"` // of the Workflow API; default https://DNS/workflowapi
}

// StepUpOIDC is for backend oidc. The redirect address to register at 1Kosmos is
// PUBLIC_URL/c/return.
type StepUpOIDC struct {
	DiscoveryURL string   `yaml:"discovery_url"` // the "Metadata URL" of 1Kosmos' authorization server
	ClientID     string   `yaml:"client_id"`
	ClientSecret string   `yaml:"client_secret"`
	Scopes       []string `yaml:"scopes"`
	ACRValues    []string `yaml:"acr_values"`   // what is asked for
	AcceptedACR  []string `yaml:"accepted_acr"` // what an answer may say was done
	AcceptedAMR  []string `yaml:"accepted_amr"` // likewise; default face and acr_values
	// AcceptUnnamed believes an answer that says neither. What 1Kosmos says there is not documented.
	AcceptUnnamed bool   `yaml:"accept_unnamed"`
	UsernameClaim string `yaml:"username_claim"`
	// Issuer is needed if discovery_url does not end in /.well-known/openid-configuration.
	Issuer string `yaml:"issuer"`
	// NoPKCE is for a tenant that refuses it.
	NoPKCE bool `yaml:"no_pkce"`
}

// StepUpLimits bound guessing.
type StepUpLimits struct {
	SubjectStarts   Limit `yaml:"subject_starts"`
	SubjectFailures Limit `yaml:"subject_failures"`
	CallerStarts    Limit `yaml:"caller_starts"`
	NetworkOpens    Limit `yaml:"network_opens"`
	NetworkFailures Limit `yaml:"network_failures"`
}

// Limit is so many in so long a time.
type Limit struct {
	Max int           `yaml:"max"`
	Per time.Duration `yaml:"per"`
}

// Poll says how often 1Kosmos is asked about an open session.
type Poll struct {
	First  time.Duration `yaml:"first"`
	Max    time.Duration `yaml:"max"`
	GiveUp int           `yaml:"give_up"` // permanent errors in a row that end a verification
}

// Kosmos is how to reach 1Kosmos. Profile "blockid" is the encrypted platform
// API, profile "v1" the Bearer API of 1Kosmos' integration pages.
type Kosmos struct {
	Profile      string     `yaml:"profile"`
	DNS          string     `yaml:"dns"`
	Community    string     `yaml:"community"`
	LicenseKey   string     `yaml:"license_key"`
	Curve        string     `yaml:"curve"`
	AllowedHosts []string   `yaml:"allowed_hosts"`
	CAFile       string     `yaml:"ca_file"` // trusted besides the system's
	Workflows    []Workflow `yaml:"workflows"`
	V1           V1         `yaml:"v1"`
	// TrustFramework names the framework of a session's claims when the provider
	// names none itself.
	TrustFramework string        `yaml:"trust_framework"`
	Timeout        time.Duration `yaml:"timeout"`
}

// Workflow says which dvcID verifies which documents with which liveness mode.
type Workflow struct {
	DVC           string               `yaml:"dvc_id"`
	DocumentTypes []proof.DocumentType `yaml:"document_types"`
	Liveness      proof.LivenessMode   `yaml:"liveness_mode"`
}

// V1 is for profile v1.
type V1 struct {
	Token        string               `yaml:"token"`
	StatusMethod string               `yaml:"status_method"`
	Liveness     []proof.LivenessMode `yaml:"liveness_modes"` // which the account offers
	// MinimumLevel is the least ial_level with which "completed" counts as a
	// success: IAL1, IAL2, IAL3, or "any" if the tenant means success by it alone.
	MinimumLevel string `yaml:"minimum_level"`
}

// Minimum is MinimumLevel as the client knows it.
func (v *V1) Minimum() blockid.Level {
	return map[string]blockid.Level{"any": blockid.LevelNone, "IAL1": blockid.IAL1, "IAL2": blockid.IAL2, "IAL3": blockid.IAL3}[v.MinimumLevel]
}

// Assurance maps checks to a level. See journey.AssuranceRule.
type Assurance struct {
	Name          string               `yaml:"name"`
	Level         string               `yaml:"level"`
	Liveness      []proof.LivenessMode `yaml:"liveness_modes"`
	DocumentTypes []proof.DocumentType `yaml:"document_types"`
	DVCs          []string             `yaml:"dvc_ids"`
	Checks        []string             `yaml:"checks"`
	ValidFor      time.Duration        `yaml:"valid_for"`
}

// Load reads, completes and checks the file.
func Load(path string) (*Config, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, fmt.Errorf("configuration: %w", err)
	}
	c, err := Parse(data, filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("configuration %s: %w", path, err)
	}
	return c, nil
}

// Parse reads a configuration whose relative paths are taken from dir.
func Parse(data []byte, dir string) (*Config, error) {
	var root yaml.Node
	if err := yaml.Load(data, &root); err != nil {
		return nil, err
	}
	if err := resolve(&root, dir); err != nil {
		return nil, err
	}
	resolved, err := yaml.Dump(&root)
	if err != nil {
		return nil, err
	}
	var c Config
	if err := yaml.Load(resolved, &c, yaml.WithKnownFields()); err != nil {
		return nil, err
	}
	c.complete(dir)
	return &c, c.check()
}

// resolve replaces {from_env: NAME} and {from_file: PATH} by what they name.
func resolve(n *yaml.Node, dir string) error {
	if n.Kind == yaml.MappingNode && len(n.Content) == 2 {
		from, name := n.Content[0].Value, n.Content[1].Value
		var value string
		switch from {
		case "from_env":
			v, ok := os.LookupEnv(name)
			if !ok {
				return fmt.Errorf("line %d: the environment has no %s", n.Line, name)
			}
			value = v
		case "from_file":
			b, err := os.ReadFile(under(dir, name))
			if err != nil {
				return fmt.Errorf("line %d: %w", n.Line, err)
			}
			value = strings.TrimRight(string(b), "\r\n")
		}
		if from == "from_env" || from == "from_file" {
			*n = yaml.Node{Kind: yaml.ScalarNode, Tag: "!!str", Value: value, Style: yaml.DoubleQuotedStyle, Line: n.Line}
			return nil
		}
	}
	for _, child := range n.Content {
		if err := resolve(child, dir); err != nil {
			return err
		}
	}
	return nil
}

func under(dir, path string) string {
	if path == "" || filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(dir, path)
}

func orDefault[T comparable](v *T, d T) {
	var zero T
	if *v == zero {
		*v = d
	}
}

func (c *Config) complete(dir string) {
	c.PublicURL = strings.TrimRight(c.PublicURL, "/")
	orDefault(&c.Listen, "127.0.0.1:8080")
	orDefault(&c.Store, "sqlite:kosmoscope.db")
	orDefault(&c.MasterKey, "master.key")
	orDefault(&c.LogLevel, "info")
	c.MasterKey = under(dir, c.MasterKey)
	c.TLS.Cert, c.TLS.Key = under(dir, c.TLS.Cert), under(dir, c.TLS.Key)
	if path, ok := strings.CutPrefix(c.Store, "sqlite:"); ok {
		c.Store = "sqlite:" + under(dir, path)
	}
	c.Geo.City, c.Geo.AS, c.Geo.Anonymisers = under(dir, c.Geo.City), under(dir, c.Geo.AS), under(dir, c.Geo.Anonymisers)
	for i := range c.Tenants {
		t := &c.Tenants[i]
		t.Federation.complete(t.ID)
		orDefault(&t.Risk.Preset, policy.Balanced)
		orDefault(&t.Risk.Window, 15*time.Minute)
		orDefault(&t.Risk.KeepDecisions, 90*24*time.Hour)
		orDefault(&t.Risk.KeepHistory, 400*24*time.Hour)
		orDefault(&t.LivenessMode, proof.LivenessActive)
		orDefault(&t.Deadline, time.Hour)
		orDefault(&t.LinkTTL, 30*time.Minute)
		orDefault(&t.HandoverTTL, 10*time.Minute)
		orDefault(&t.Retention, 24*time.Hour)
		orDefault(&t.Poll.First, 3*time.Second)
		orDefault(&t.Poll.Max, 15*time.Second)
		orDefault(&t.Poll.GiveUp, 5)
		k := &t.Kosmos
		orDefault(&k.Profile, "blockid")
		orDefault(&k.Community, "default")
		orDefault(&k.Curve, "auto")
		orDefault(&k.TrustFramework, DefaultTrustFramework)
		orDefault(&k.Timeout, 10*time.Second)
		orDefault(&k.V1.StatusMethod, "POST")
		orDefault(&k.V1.MinimumLevel, "IAL2")
		k.CAFile = under(dir, k.CAFile)
		if d := t.Descope; d != nil {
			orDefault(&d.BaseURL, descope.DefaultBaseURL)
			orDefault(&d.ExternalAuthFailure, FailureClaim)
			d.CAFile = under(dir, d.CAFile)
		}
		u := &t.StepUp
		orDefault(&u.Backend, map[string]string{"v1": "v1"}[k.Profile])
		orDefault(&u.Backend, "uwl")
		orDefault(&u.Timeout, 5*time.Minute)
		orDefault(&u.MaxTimeout, 15*time.Minute)
		orDefault(&u.Poll, 2*time.Second)
		orDefault(&u.ResultTTL, 10*time.Minute)
		orDefault(&u.SessionTTL, time.Minute)
		if u.OIDC.Scopes == nil {
			u.OIDC.Scopes = []string{"openid", "email", "profile"}
		}
		if u.OIDC.ACRValues == nil {
			u.OIDC.ACRValues = []string{"liveID push"}
		}
		if u.OIDC.AcceptedACR == nil {
			u.OIDC.AcceptedACR = u.OIDC.ACRValues
		}
		orDefault(&u.OIDC.UsernameClaim, "username")
		orDefault(&u.Limits.SubjectStarts, Limit{10, 10 * time.Minute})
		orDefault(&u.Limits.SubjectFailures, Limit{5, 15 * time.Minute})
		orDefault(&u.Limits.CallerStarts, Limit{12000, time.Minute})
		orDefault(&u.Limits.NetworkOpens, Limit{300, 10 * time.Minute})
		orDefault(&u.Limits.NetworkFailures, Limit{30, 15 * time.Minute})
	}
	if len(c.Tenants) == 1 {
		for i := range c.Callers {
			orDefault(&c.Callers[i].Tenant, c.Tenants[0].ID)
		}
	}
	for i := range c.Tenants {
		c.Tenants[i].Hooks.complete(c.Tenants[i].ID, c.Callers)
	}
}

// What external_auth_failure may be.
const (
	FailureClaim = "claim"
	FailureStay  = "stay"
)

// DefaultTrustFramework labels claims of a 1Kosmos session for which nobody named
// a framework. It is our own label and claims no assurance.
const DefaultTrustFramework = "urn:kosmoscope:1kosmos-session"

func (c *Config) check() error {
	var errs []error
	bad := func(field, format string, args ...any) {
		errs = append(errs, fmt.Errorf("%s: %s", field, fmt.Sprintf(format, args...)))
	}
	if u, err := url.Parse(c.PublicURL); err != nil || u.Host == "" || u.Path != "" || u.Scheme != "https" && u.Scheme != "http" {
		bad("public_url", "an origin such as https://bridge.example.com is needed")
	} else if u.Scheme == "http" && !loopback(u.Hostname()) {
		bad("public_url", "plain http is for loopback only; put a TLS proxy in front and use https")
	}
	if (c.TLS.Cert == "") != (c.TLS.Key == "") {
		bad("tls", "cert and key belong together")
	}
	if c.Pages.PhotosKept != nil && *c.Pages.PhotosKept < 0 {
		bad("pages.photos_kept", "must not be negative")
	}
	if u, err := url.Parse(c.Pages.PrivacyURL); c.Pages.PrivacyURL != "" && (err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http") {
		bad("pages.privacy_url", "must be a web address")
	}
	if !slices.Contains([]string{"debug", "info", "warn", "error"}, c.LogLevel) {
		bad("log_level", "%q is none of debug, info, warn, error", c.LogLevel)
	}
	if len(c.Tenants) == 0 {
		bad("tenants", "at least one is needed")
	}
	ids := map[string]bool{}
	for i := range c.Tenants {
		t := &c.Tenants[i]
		at := fmt.Sprintf("tenants[%d]", i)
		if t.ID == "" || ids[t.ID] {
			bad(at+".id", "a name of its own is needed")
		}
		ids[t.ID] = true
		t.check(at, bad)
		t.Hooks.check(at+".hooks", t.ID, c.Callers, bad)
	}
	if len(c.Callers) == 0 {
		bad("callers", "at least one is needed, or nobody can call")
	}
	for i, caller := range c.Callers {
		if !ids[caller.Tenant] {
			bad(fmt.Sprintf("callers[%d].tenant", i), "%q is no tenant", caller.Tenant)
		}
		if len(caller.ExternalAuth) > 0 && !slices.ContainsFunc(c.Tenants, func(t Tenant) bool { return t.ID == caller.Tenant && t.Descope != nil }) {
			bad(fmt.Sprintf("callers[%d].external_auth", i), "needs descope in the tenant: project_id and management_key")
		}
	}
	return errors.Join(errs...)
}

func (t *Tenant) check(at string, bad func(field, format string, args ...any)) {
	if t.LivenessMode != proof.LivenessPassive && t.LivenessMode != proof.LivenessActive {
		bad(at+".liveness_mode", "%q: the default must be passive or active; a caller that may send still photos says so itself", t.LivenessMode)
	}
	for _, d := range []struct {
		name string
		v    time.Duration
	}{
		{"deadline", t.Deadline},
		{"link_ttl", t.LinkTTL},
		{"handover_ttl", t.HandoverTTL},
		{"retention", t.Retention},
		{"poll.first", t.Poll.First},
		{"poll.max", t.Poll.Max},
	} {
		if d.v < 0 {
			bad(at+"."+d.name, "must be positive")
		}
	}
	if t.Poll.First > t.Poll.Max {
		bad(at+".poll", "first is longer than max")
	}
	k := &t.Kosmos
	switch k.Profile {
	case "blockid":
		if k.DNS == "" || k.LicenseKey == "" {
			bad(at+".kosmos", "dns and license_key are needed for profile blockid")
		}
		if len(k.Workflows) == 0 {
			bad(at+".kosmos.workflows", "at least one dvc_id is needed; 1Kosmos names it when it sets the workflow up")
		}
	case "v1":
		if k.DNS == "" || k.V1.Token == "" {
			bad(at+".kosmos", "dns and v1.token are needed for profile v1")
		}
		if !slices.Contains([]string{"any", "IAL1", "IAL2", "IAL3"}, k.V1.MinimumLevel) {
			bad(at+".kosmos.v1.minimum_level", "%q is none of any, IAL1, IAL2, IAL3", k.V1.MinimumLevel)
		}
		if len(k.V1.Liveness) == 0 {
			bad(at+".kosmos.v1.liveness_modes", "say which liveness modes the account offers")
		}
	default:
		bad(at+".kosmos.profile", "%q is neither blockid nor v1", k.Profile)
	}
	for i, w := range k.Workflows {
		at := fmt.Sprintf("%s.kosmos.workflows[%d]", at, i)
		if w.DVC == "" {
			bad(at+".dvc_id", "is missing")
		}
		if !w.Liveness.Valid() {
			bad(at+".liveness_mode", "%q is none of none, passive, active", w.Liveness)
		}
		checkTypes(at, w.DocumentTypes, bad)
		if len(w.DocumentTypes) == 0 {
			bad(at+".document_types", "name at least one")
		}
	}
	t.StepUp.check(at+".step_up", k, bad)
	t.Federation.check(at+".federation", bad)
	r := &t.Risk
	if _, ok := policy.PresetByName(r.Preset); !ok {
		bad(at+".risk.preset", "%q is none of lenient, balanced, strict", r.Preset)
	}
	if r.Window < time.Minute || r.Window > 24*time.Hour {
		bad(at+".risk.window", "must be from 1m to 24h")
	}
	if r.KeepDecisions < 24*time.Hour || r.KeepHistory < 24*time.Hour {
		bad(at+".risk", "keep_decisions and keep_history must be at least 24h")
	}
	if d := t.Descope; d != nil {
		if err := descope.CheckBaseURL(d.BaseURL); err != nil {
			bad(at+".descope.base_url", "must be an https origin such as %s (http on loopback only)", descope.DefaultBaseURL)
		}
		if d.ProjectID == "" || d.ManagementKey == "" {
			bad(at+".descope", "project_id and management_key are needed")
		}
		if d.ExternalAuthFailure != FailureClaim && d.ExternalAuthFailure != FailureStay {
			bad(at+".descope.external_auth_failure", "%q is neither claim nor stay", d.ExternalAuthFailure)
		}
	}
	if strings.HasPrefix(strings.ToLower(k.TrustFramework), "nist") {
		bad(at+".kosmos.trust_framework", "NIST's framework is named where 1Kosmos asserts it, not by configuration")
	}
	for i, a := range t.Assurance {
		at := fmt.Sprintf("%s.assurance[%d]", at, i)
		if a.ValidFor < 0 {
			bad(at+".valid_for", "must not be negative")
		}
		if a.Name == "" || !slices.Contains([]string{"IAL1", "IAL2", "IAL3"}, a.Level) {
			bad(at, "a name and a level (IAL1, IAL2, IAL3) are needed")
		}
		if len(a.Checks) == 0 && len(a.DVCs) == 0 {
			bad(at, "a rule needs checks or dvc_ids that it rests on")
		}
		checkTypes(at, a.DocumentTypes, bad)
	}
}

func (u *StepUp) check(at string, k *Kosmos, bad func(field, format string, args ...any)) {
	if u.Timeout < 30*time.Second || u.Timeout > u.MaxTimeout || u.MaxTimeout > time.Hour {
		bad(at+".timeout", "must be from 30s to max_timeout, and that at most 1h")
	}
	if u.Poll < 100*time.Millisecond || u.Poll > 30*time.Second {
		bad(at+".poll", "must be from 100ms to 30s")
	}
	if u.SessionTTL < 20*time.Second {
		bad(at+".session_ttl", "must be at least 20s")
	}
	if u.ResultTTL < time.Minute {
		bad(at+".result_ttl", "must be at least 1m")
	}
	platform := k.Profile == "blockid"
	switch u.Backend {
	case "uwl":
		if !platform {
			bad(at+".backend", "uwl needs the platform API: profile blockid")
		}
	case "v1":
		if k.V1.Token == "" {
			bad(at+".backend", "v1 needs kosmos.v1.token")
		}
	case "workflow":
		if !platform || u.Workflow.ID == "" || u.Workflow.Node == "" {
			bad(at+".workflow", "id and node are needed, and profile blockid")
		}
		if u.Workflow.BaseURL != "" && !strings.HasPrefix(u.Workflow.BaseURL, "https://") {
			bad(at+".workflow.base_url", "must be an https address")
		}
	case "oidc":
		if !strings.HasPrefix(u.OIDC.DiscoveryURL, "https://") || u.OIDC.ClientID == "" || u.OIDC.ClientSecret == "" {
			bad(at+".oidc", "discovery_url (https), client_id and client_secret are needed")
		}
		if len(u.OIDC.ACRValues) == 0 || len(u.OIDC.AcceptedACR) == 0 {
			bad(at+".oidc.acr_values", "name at least one; without it any login would do")
		}
	default:
		bad(at+".backend", "%q is none of uwl, v1, workflow, oidc", u.Backend)
	}
	for _, l := range []struct {
		name string
		Limit
	}{
		{"subject_starts", u.Limits.SubjectStarts},
		{"subject_failures", u.Limits.SubjectFailures},
		{"caller_starts", u.Limits.CallerStarts},
		{"network_opens", u.Limits.NetworkOpens},
		{"network_failures", u.Limits.NetworkFailures},
	} {
		if l.Max < 1 || l.Per < time.Minute || l.Per > 24*time.Hour {
			bad(at+".limits."+l.name, "max must be at least 1, per from 1m to 24h")
		}
	}
}

func checkTypes(at string, types []proof.DocumentType, bad func(field, format string, args ...any)) {
	for _, d := range types {
		if !d.Valid() {
			bad(at+".document_types", "%q is none of passport, id_card, drivers_license", d)
		}
	}
}

func loopback(host string) bool {
	return host == "localhost" || host == "127.0.0.1" || host == "::1"
}
