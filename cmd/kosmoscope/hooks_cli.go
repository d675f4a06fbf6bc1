package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"text/tabwriter"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// What a command is told about whose rules or endpoints it means.
type ofOneTenant struct {
	Config string `required:"" type:"existingfile" short:"c" help:"Configuration of the bridge."`
	Tenant string `help:"Tenant, if the configuration has several."`
}

type rulesCmd struct {
	Show    rulesShowCmd    `cmd:"" help:"Print the rules in force: what events lead to what."`
	Publish rulesPublishCmd `cmd:"" help:"Make the rules of a file those in force."`
}

type rulesShowCmd struct {
	ofOneTenant
	Version int64 `default:"-1" help:"A version instead of the one in force; 0 is what is shipped."`
}

func (c *rulesShowCmd) Run(ctx context.Context, s *streams) error {
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	var r *hooks.Rules
	if c.Version < 0 {
		r, err = b.hooks.InForce(ctx, tenant)
	} else {
		r, err = b.hooks.RulesVersion(ctx, tenant, c.Version)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(s.err, "version %d\n", r.Version)
	return printJSON(s.out, r.Rules)
}

type rulesPublishCmd struct {
	ofOneTenant
	File    string `arg:"" type:"existingfile" help:"JSON as show prints it: a list of rules."`
	Author  string `required:"" placeholder:"NAME" help:"Who publishes."`
	Comment string `help:"Why."`
	DryRun  bool   `help:"Only check, and say what would change."`
}

func (c *rulesPublishCmd) Run(ctx context.Context, s *streams) error {
	raw, err := os.ReadFile(c.File)
	if err != nil {
		return err
	}
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	rules, problems := hooks.ParseRules(raw)
	if len(problems) == 0 {
		if problems, err = b.hooks.Check(tenant, rules); err != nil {
			return err
		}
	}
	refused := false
	for _, p := range problems {
		kind := "error"
		if p.Warning {
			kind = "warning"
		}
		refused = refused || !p.Warning
		fmt.Fprintf(s.err, "%s: %s: %s\n", kind, p.Path, p.Message)
	}
	if refused {
		return &exit{status: 1, err: hint(errors.New("the rules cannot be published"), "docs/hooks.md describes them")}
	}
	now, err := b.hooks.InForce(ctx, tenant)
	if err != nil {
		return err
	}
	for _, change := range hooks.Diff(now.Rules, rules) {
		fmt.Fprintln(s.err, change.Text)
	}
	if c.DryRun {
		return nil
	}
	r, err := b.hooks.Publish(ctx, tenant, "operator:"+c.Author, now.Version, rules, c.Comment)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "version %d is in force\n", r.Version)
	return err
}

type endpointCmd struct {
	List endpointListCmd `cmd:"" help:"List who is told of what happens."`
	Add  endpointAddCmd  `cmd:"" help:"Tell another tool of what happens; prints the secret that signs, once."`
	Test endpointTestCmd `cmd:"" help:"Send a message for trying to an endpoint, and say what it answers."`
}

type endpointListCmd struct {
	ofOneTenant
	JSON bool `name:"json" help:"Print JSON."`
}

func (c *endpointListCmd) Run(ctx context.Context, s *streams) error {
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	list, err := b.deliveries.Endpoints(ctx, tenant)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, list)
	}
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	for _, e := range list {
		state := "on"
		if e.Disabled {
			state = "off"
		}
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\n", e.ID, state, e.Shape, e.Name, e.URL, strings.Join(e.Events, " "))
	}
	return w.Flush()
}

type endpointAddCmd struct {
	ofOneTenant
	URL          string   `arg:"" help:"Where messages are posted to."`
	Name         string   `required:"" help:"What people call it."`
	Shape        string   `default:"standard" enum:"standard,slack,splunk_hec,datadog,segment,template" help:"Shape of the body: standard, slack, splunk_hec, datadog, segment, template."`
	Events       []string `help:"Types of messages, such as verification.*; without it all."`
	Template     string   `help:"Body of shape template, with {{type}} and {{data.NAME}}."`
	TokenEnv     string   `placeholder:"NAME" help:"Variable of the environment with the tool's own token."`
	AllowPrivate bool     `help:"Addresses of private networks are allowed, too."`
	Author       string   `required:"" placeholder:"NAME" help:"Who adds it."`
}

func (c *endpointAddCmd) Run(ctx context.Context, s *streams) error {
	in := deliveries.Input{
		Name: c.Name, URL: c.URL, Events: c.Events, Shape: deliveries.Shape(c.Shape), Template: c.Template, AllowPrivate: c.AllowPrivate,
	}
	if c.TokenEnv != "" {
		token, ok := os.LookupEnv(c.TokenEnv)
		if !ok {
			return fmt.Errorf("the environment has no %s", c.TokenEnv)
		}
		in.Token = token
	}
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	e, secret, problems, err := b.deliveries.Create(ctx, tenant, "operator:"+c.Author, in)
	if err != nil {
		return err
	}
	if len(problems) > 0 {
		for _, p := range problems {
			fmt.Fprintf(s.err, "error: %s: %s\n", p.Field, p.Message)
		}
		return &exit{status: 1, err: errors.New("the endpoint cannot be added")}
	}
	fmt.Fprintf(s.err, "added %s\n", e.ID)
	if secret != "" {
		fmt.Fprintln(s.err, "It signs with this secret, which is not shown again:")
		_, err = fmt.Fprintln(s.out, secret)
	}
	return err
}

type endpointTestCmd struct {
	ofOneTenant
	ID     string `arg:"" help:"Id of the endpoint, as list prints it."`
	Author string `required:"" placeholder:"NAME" help:"Who tries it."`
}

func (c *endpointTestCmd) Run(ctx context.Context, s *streams) error {
	b, tenant, err := ofTenant(ctx, s, c.Config, c.Tenant)
	if err != nil {
		return err
	}
	defer b.close()
	d, a, err := b.deliveries.Test(ctx, tenant, c.ID, "operator:"+c.Author)
	if err != nil {
		return err
	}
	if d.State != deliveries.Delivered {
		return &exit{status: 1, err: fmt.Errorf("%s: status %d %s", d.State, a.Status, a.Error)}
	}
	_, err = fmt.Fprintf(s.out, "delivered: status %d in %.0f ms\n", a.Status, a.Took)
	return err
}
