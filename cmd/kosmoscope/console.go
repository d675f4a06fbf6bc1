package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/config"
	"github.com/kosmoscope/kosmoscope/internal/console"
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
	if _, err := os.Stat(cfg.MasterKey); err != nil {
		return hint(err, "start the bridge once before")
	}
	st, err := store.Open(ctx, cfg.Store)
	if err != nil {
		return err
	}
	defer st.Close()
	path, expires, err := console.NewSignin(st, tenantIDs(cfg), time.Now).NewLink(ctx, c.Role, c.Name, c.Valid)
	if err != nil {
		return err
	}
	if c.JSON {
		return printJSON(s.out, map[string]any{"link": cfg.PublicURL + path, "role": c.Role, "name": c.Name, "expires_at": expires.UTC().Format(time.RFC3339)})
	}
	fmt.Fprintf(s.out, "%s\n", cfg.PublicURL+path)
	fmt.Fprintf(s.err, "Good once, until %s. Whoever opens it is %s (%s).\n", expires.Local().Format("15:04"), c.Name, c.Role)
	return nil
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
		out = append(out, console.Source{What: s.What, Date: s.Date, Attribution: s.Attribution, URL: s.URL, Origin: s.Origin})
	}
	return out
}
