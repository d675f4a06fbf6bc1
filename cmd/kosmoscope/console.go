package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/console"
	"github.com/kosmoscope/kosmoscope/internal/geo"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

type consoleCmd struct {
	Link consoleLinkCmd `cmd:"" help:"Make a link that signs one person in to the console, once."`
}

type consoleLinkCmd struct {
	Config string        `required:"" type:"existingfile" short:"c" help:"Configuration of the bridge."`
	Role   string        `default:"viewer" enum:"viewer,operator" help:"viewer reads; operator also publishes and rolls back."`
	Name   string        `required:"" placeholder:"NAME" help:"Who it is for: the author of what they publish."`
	Valid  time.Duration `default:"15m" help:"How long the link stays good."`
	JSON   bool          `name:"json" help:"Print JSON."`
}

func (c *consoleLinkCmd) Run(ctx context.Context, s *streams) error {
	cfg, err := config.Load(c.Config)
	if err != nil {
		return err
	}
	if cfg.Console.Off {
		return hint(errors.New("the configuration switches the console off"), "remove console.off")
	}
	link, expires, err := newLink(ctx, cfg, c.Role, c.Name, c.Valid)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]any{"link": link, "role": c.Role, "name": c.Name, "expires_at": expires.UTC().Format(time.RFC3339)})
	}
	fmt.Fprintln(s.out, link)
	fmt.Fprintf(s.err, "Good once, until %s. Whoever opens it is %s (%s).\n", expires.Local().Format("15:04"), c.Name, c.Role)
	return nil
}

// newLink makes a link beside a bridge that may be running.
func newLink(ctx context.Context, cfg *config.Config, role, name string, valid time.Duration) (link string, expires time.Time, err error) {
	if _, err := os.Stat(cfg.MasterKey); err != nil {
		return "", time.Time{}, hint(err, "start the bridge once before") // a store is never begun here
	}
	st, err := store.Open(ctx, cfg.Store)
	if err != nil {
		return "", time.Time{}, err
	}
	defer st.Close()
	path, expires, err := console.NewSignin(st, tenantIDs(cfg), time.Now).NewLink(ctx, role, name, valid)
	return cfg.PublicURL + path, expires, err
}

func linkFor(ctx context.Context, file, role, name string, valid time.Duration) (string, error) {
	cfg, err := config.Load(file)
	if err != nil {
		return "", err
	}
	link, _, err := newLink(ctx, cfg, role, name, valid)
	return link, err
}

func tenantIDs(cfg *config.Config) []string {
	var ids []string
	for i := range cfg.Tenants {
		ids = append(ids, cfg.Tenants[i].ID)
	}
	return ids
}

// mountConsole adds the operator's pages.
func (b *bridge) mountConsole(mux *http.ServeMux) {
	if b.cfg.Console.Off {
		return
	}
	b.console = console.New(console.Options{
		Signin: console.NewSignin(b.store, tenantIDs(b.cfg), time.Now), Risk: b.risk, PublicURL: b.cfg.PublicURL, Sources: b.sources, Version: version,
		ClientIP: clientIP(b.cfg.TrustedProxies), Logger: b.log,
		Federation: &console.Federation{Clients: b.federation, Store: b.store, Keys: b.keys}, Hooks: b.hooks, Deliveries: b.deliveries,
	})
	mux.Handle("/console", b.console)
	mux.Handle("/console/", b.console)
}

// firstLink makes, at the very first start of a store, a link that signs an operator in,
// and prints it: it is a secret, and the log is no place for it.
func (b *bridge) firstLink(ctx context.Context, s *streams) error {
	if b.cfg.Console.Off {
		return nil
	}
	first := false
	if _, err := b.journey.OwnSecret(ctx, b.cfg.Tenants[0].ID, "console-begun", func() ([]byte, error) {
		first = true
		return []byte("begun"), nil
	}); err != nil || !first {
		return err
	}
	path, expires, err := console.NewSignin(b.store, tenantIDs(b.cfg), time.Now).NewLink(ctx, string(console.Operator), "first operator", firstLinkLasts)
	if err != nil {
		return err
	}
	_, err = fmt.Fprintf(s.out, "The console, good once, until %s:\n  %s%s\nLater: kosmoscope console link --role operator\n", expires.Local().Format("15:04"), b.cfg.PublicURL, path)
	return err
}

const firstLinkLasts = time.Hour

// sources are where the places come from that the console shows.
func (b *bridge) sources() []console.Source {
	var out []console.Source
	for _, s := range b.atlas.Sources() {
		if i := slices.IndexFunc(out, func(o console.Source) bool { return o.Attribution == s.Attribution && o.URL == s.URL }); i >= 0 && s.Origin != geo.FromOperator {
			out[i].What += ", " + s.What // one licence, named once
			continue
		}
		one := console.Source{What: strings.ToUpper(s.What[:1]) + s.What[1:], Attribution: s.Attribution, URL: s.URL, Origin: "built-in"}
		if s.Origin == geo.FromOperator {
			one.Origin = "file"
		}
		if !s.Date.IsZero() {
			one.Date = s.Date.UTC().Format(time.DateOnly)
		}
		out = append(out, one)
	}
	return out
}
