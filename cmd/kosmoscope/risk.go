package main

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
)

// risks makes what weighs logins.
func (b *bridge) risks(keys journey.Vault) (*decide.Service, error) {
	var err error
	if b.atlas, err = geo.OpenAtlas(geo.AtlasOptions{
		CityFile: b.cfg.Geo.City, ASFile: b.cfg.Geo.AS, AnonymiserFile: b.cfg.Geo.Anonymisers, WithoutTables: b.cfg.Geo.WithoutTables, Logger: b.log,
	}); err != nil {
		return nil, hint(fmt.Errorf("geo: %w", err), "see geo in docs/configuration.md")
	}
	o := decide.Options{
		Store: b.store, Vault: keys, Subjects: b.journey, Locate: func(a netip.Addr) risk.Where { return risk.WhereOf(b.atlas.Locate(a)) }, Logger: b.log,
	}
	for i := range b.cfg.Tenants {
		t := &b.cfg.Tenants[i]
		ours := decide.Tenant{
			ID: t.ID, Preset: t.Risk.Preset, Window: t.Risk.Window, KeepDecisions: t.Risk.KeepDecisions, KeepHistory: t.Risk.KeepHistory,
		}
		if p := b.projects[t.ID]; p != nil {
			ours.SignIns = signIns(p)
		}
		o.Tenants = append(o.Tenants, ours)
	}
	return decide.New(o)
}

// signIns reads what Descope tells of logins that succeeded.
func signIns(project *descope.Client) decide.SignIns {
	return func(ctx context.Context, since, until time.Time) (all []decide.SignIn, err error) {
		for page := 0; ; page++ {
			list, more, err := project.SignIns(ctx, since, until, page)
			if err != nil {
				return nil, err
			}
			for _, s := range list {
				all = append(all, decide.SignIn{Users: append([]string{s.UserID}, s.LoginIDs...), IP: s.IP, At: s.At})
			}
			if !more || page == maxSignInPages {
				return all, nil
			}
		}
	}
}

// maxSignInPages keeps below the searches that Descope takes in a minute.
const maxSignInPages = 5

// ofTenant opens the bridge that a configuration names, for a command that is about one
// tenant and must not begin anything.
func ofTenant(ctx context.Context, s *streams, path, tenant string) (*bridge, string, error) {
	cfg, err := config.Load(path)
	if err != nil {
		return nil, "", err
	}
	if tenant == "" {
		if len(cfg.Tenants) != 1 {
			return nil, "", hint(errors.New("the configuration has several tenants"), "say which with --tenant")
		}
		tenant = cfg.Tenants[0].ID
	}
	if !slices.ContainsFunc(cfg.Tenants, func(t config.Tenant) bool { return t.ID == tenant }) {
		return nil, "", fmt.Errorf("the configuration has no tenant %q", tenant)
	}
	if _, err := os.Stat(cfg.MasterKey); err != nil {
		return nil, "", err // never made here
	}
	b, err := openBridge(ctx, cfg, logger(s.err, "warn"))
	return b, tenant, err
}

type explainCmd struct {
	Decision string `arg:"" help:"Id of the decision, as the Risk Evaluation node answered it."`
	Config   string `required:"" type:"existingfile" short:"c" help:"Configuration of the bridge."`
	Tenant   string `help:"Tenant, if the configuration has several."`
	JSON     bool   `name:"json" help:"Print JSON."`
}

func (c *explainCmd) Run(ctx context.Context, s *streams) error {
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	e, err := b.risk.Explain(ctx, tenant, c.Decision)
	if errors.Is(err, proof.ErrNotFound) || proof.ReasonOf(err) == proof.ReasonUnknownDecision {
		return &exit{status: 1, err: hint(errors.New("no such decision in this tenant"), "it may be too old: risk.keep_decisions says how long they stay")}
	}
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, e)
	}
	return printDecision(s, e, b.atlas.Sources())
}

// printDecision prints a decision for people.
func printDecision(s *streams, e *decide.Explanation, sources []geo.Source) error {
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	row("decision", "%s", e.Verdict)
	row("at", "%s", e.At.UTC().Format(time.RFC3339))
	if e.User != "" {
		row("user", "%s", e.User)
	}
	if e.Application != "" {
		row("application", "%s", e.Application)
	}
	row("score", "%s", number(e.Score))
	row("reasons", "%s", orNone(joined(e.Reasons)))
	row("policy", "%s", policyName(e.PolicyApplication, e.PolicyVersion))
	if e.ShadowVersion > 0 {
		row("only tried", "version %d: %s", e.ShadowVersion, e.ShadowVerdict)
	}
	row("ended", "%s", orNone(e.Outcome))
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Erased {
		_, err := fmt.Fprintln(s.out, "\nThe person was erased; what the decision rested on is gone.")
		return err
	}
	fmt.Fprintln(s.out)
	fmt.Fprintln(w, "SIGNAL\tOUTCOME\tVALUE\tEVIDENCE")
	for _, r := range e.Result.Readings {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", r.Signal, r.Outcome, number(r.Value), r.Evidence)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	fmt.Fprintln(s.out)
	fmt.Fprintln(w, "NODE\tGIVES\tSURE\tPART IN IT")
	for _, step := range e.Result.Steps {
		gives := number(step.Number)
		if step.Holds != nil {
			gives = map[bool]string{true: "holds", false: "does not hold"}[*step.Holds]
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", step.Node, strings.TrimSpace(gives+" "+step.Message), yes(step.Sure), yes(step.OnPath))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if e.Result.Failed != "" {
		fmt.Fprintln(s.out, "\nThe evaluation failed:", e.Result.Failed)
	}
	if e.Differs {
		fmt.Fprintln(s.out, "\nThis version of the program would decide otherwise:", e.Result.Verdict)
	}
	if e.Observation.Country == "" && e.Observation.ASN == 0 {
		return nil
	}
	fmt.Fprintln(s.out)
	for _, source := range sources { // must stand where places are shown
		fmt.Fprintln(s.out, strings.TrimSpace(source.Attribution+" "+source.URL))
	}
	return nil
}

func policyName(application string, version int) string {
	if version == 0 {
		return "the preset that holds until one is published"
	}
	if application == "" {
		return fmt.Sprintf("version %d", version)
	}
	return fmt.Sprintf("version %d of application %s", version, application)
}

func joined[T ~string](list []T) string {
	all := make([]string, len(list))
	for i, e := range list {
		all[i] = string(e)
	}
	return strings.Join(all, ", ")
}

func orNone(text string) string {
	if text == "" {
		return "-"
	}
	return text
}

func number(n *float64) string {
	if n == nil {
		return "-"
	}
	return fmt.Sprintf("%.4g", *n)
}
