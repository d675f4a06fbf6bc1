package hooks_test

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/manage"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const managementKey = "K2of-the-tests-of-hooks"

// network is one that is in memory, so that hours pass in a bubble of testing/synctest,
// which real sockets would hold up.
type network struct {
	mu      sync.Mutex
	hosts   map[string]*host // by address, as 127.0.0.1:9000
	refused int              // connections
}

// host is a server in it.
type host struct {
	conns chan net.Conn
	gone  chan struct{}
}

var errRefused = errors.New("connection refused")

// dial is net.Dialer.DialContext.
func (n *network) dial(ctx context.Context, _, address string) (net.Conn, error) {
	refused := &net.OpError{Op: "dial", Net: "tcp", Err: errRefused}
	n.mu.Lock()
	h := n.hosts[address]
	if h == nil {
		n.refused++
	}
	n.mu.Unlock()
	if h == nil {
		return nil, refused
	}
	ours, theirs := net.Pipe()
	select {
	case h.conns <- theirs:
		return ours, nil
	case <-h.gone:
		return nil, refused
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (n *network) refusals() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.refused
}

// serve has a handler answer at an address, until down is called.
func (n *network) serve(address string, handler http.Handler) (down func()) {
	return n.serveTLS(address, handler, nil)
}

// serveTLS is serve over TLS, if there is a configuration of it.
func (n *network) serveTLS(address string, handler http.Handler, c *tls.Config) (down func()) {
	h := &host{make(chan net.Conn), make(chan struct{})}
	n.mu.Lock()
	n.hosts[address] = h
	n.mu.Unlock()
	s := &http.Server{Handler: handler, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		if c != nil {
			_ = s.Serve(tls.NewListener(h, c))
		} else {
			_ = s.Serve(h)
		}
	}()
	return func() {
		n.mu.Lock()
		delete(n.hosts, address)
		n.mu.Unlock()
		_ = s.Close() // the connections, too
		<-ended
	}
}

func (h *host) Accept() (net.Conn, error) {
	select {
	case c := <-h.conns:
		return c, nil
	case <-h.gone:
		return nil, net.ErrClosed
	}
}

func (h *host) Close() error   { close(h.gone); return nil }
func (h *host) Addr() net.Addr { return &net.TCPAddr{} }

// Where the graph finds its outside.
const (
	descopeAt  = "127.0.0.1:9000"
	listenerAt = "127.0.0.1:9001"
)

// graph is what the program connects for door C, with the real store, vault, jobs,
// deliveries and Descope client, and the local Descope; in one process and with a clock
// that the test holds. It is for use within synctest.Test.
type graph struct {
	*hooks.Service
	t        *testing.T
	store    *store.Store
	vault    *vault.Vault
	network  *network
	accounts *accounts.Accounts
	descope  http.Handler // the local Descope's Management API
	heard    *listener
	tools    *deliveries.Service
	messages hooks.Messages
	client   *http.Client

	mu   sync.Mutex
	skew time.Duration // of the clock that is injected

	stop func() // of what runs
}

func (g *graph) now() time.Time {
	g.mu.Lock()
	defer g.mu.Unlock()
	return time.Now().Add(g.skew)
}

// jump moves the clock.
func (g *graph) jump(d time.Duration) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.skew += d
}

// newGraph makes one that runs, with a listener and with users of the local Descope.
func newGraph(t *testing.T, users int, rules ...hooks.Rule) *graph {
	t.Helper()
	g := &graph{t: t, network: &network{hosts: map[string]*host{}}, heard: newListener()}
	dir := t.TempDir()
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(vault.Create(filepath.Join(dir, "keys")))
	var err error
	g.vault, err = vault.Open(filepath.Join(dir, "keys"))
	must(err)
	g.store, err = store.OpenSQLite(t.Context(), filepath.Join(dir, "db"))
	must(err)
	t.Cleanup(func() { _ = g.store.Close() })

	g.accounts, g.descope = newDescope(t, users)
	g.client = &http.Client{Transport: &http.Transport{DialContext: g.network.dial, MaxIdleConnsPerHost: 64}}
	t.Cleanup(g.client.CloseIdleConnections)
	t.Cleanup(g.network.serve(listenerAt, g.heard))
	g.begin()
	t.Cleanup(func() { g.end() })
	_, err = g.Publish(t.Context(), tenant, "test", 0, rules, "")
	must(err)
	_, _, problems, err := g.tools.Create(t.Context(), tenant, "test", deliveries.Input{Name: "Test", URL: "http://" + listenerAt + "/", AllowPrivate: true, Shape: deliveries.ShapeStandard})
	if must(err); len(problems) > 0 {
		t.Fatal(problems)
	}
	return g
}

// newDescope is the local Descope with so many users, and its Management API.
func newDescope(t *testing.T, users int) (*accounts.Accounts, http.Handler) {
	t.Helper()
	people, err := accounts.Open(accounts.Options{ProjectID: projectID})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = people.Close() })
	for i := range users {
		if _, _, err := people.SignUpOrIn(t.Context(), login(i), nil); err != nil {
			t.Fatal(err)
		}
	}
	flows, err := runner.New(runner.Options{Names: flow.DefaultNames(), Accounts: people, Connectors: new(runnertest.Connectors)})
	if err != nil {
		t.Fatal(err)
	}
	api, err := manage.New(manage.Options{ProjectID: projectID, ManagementKey: managementKey, Accounts: people, Flows: flows})
	if err != nil {
		t.Fatal(err)
	}
	return people, api
}

// begin starts what the program starts, as serve connects it.
func (g *graph) begin() {
	g.t.Helper()
	client, err := descope.New(descope.Options{BaseURL: "http://" + descopeAt, ProjectID: projectID, ManagementKey: managementKey, HTTPClient: g.client})
	if err != nil {
		g.t.Fatal(err)
	}
	var runner *jobs.Runner
	wake := func() { runner.Wake() }
	if g.tools, err = deliveries.New(deliveries.Options{
		Store: g.store, Vault: g.vault, Tenants: []string{tenant}, Now: g.now, Wake: wake, Unreachable: jobs.Unreachable, Connect: g.network.dial,
	}); err != nil {
		g.t.Fatal(err)
	}
	if g.Service, err = hooks.New(hooks.Options{
		Store: g.store, Vault: g.vault, Journey: &outside{vault: g.vault}, Outbox: g.tools, Now: g.now, Wake: wake, Unreachable: jobs.Unreachable,
		Tenants: []hooks.Tenant{{ID: tenant, Project: client.Hooks(), Messages: g.messages, Caller: proof.Caller{ID: "hooks"}}},
	}); err != nil {
		g.t.Fatal(err)
	}
	// It is seldom that it looks without being woken, so that hours are cheap.
	runner = jobs.New(g.store, jobs.Options{Poll: 5 * time.Second, Lease: 10 * time.Second, Workers: 64, Now: g.now, OnDead: g.Dead})
	for kind, h := range g.Handlers() {
		k := jobs.Kind{}
		switch kind {
		case hooks.JobPump:
			k.Priority = jobs.Person
		case hooks.JobReconcile, hooks.JobPurge:
			k.Priority = jobs.Bulk
		case hooks.JobWork:
			k.Lane = jobs.Lane{Of: g.LaneOf}
		}
		runner.HandleAs(kind, h, k)
	}
	for kind, h := range g.tools.Handlers() {
		k := jobs.Kind{}
		if kind == deliveries.JobDeliver {
			k.Lane = jobs.Lane{Of: g.tools.LaneOf}
		}
		runner.HandleAs(kind, h, k)
	}
	ctx, cancel := context.WithCancel(context.Background())
	if err := errors.Join(g.Begin(ctx), g.tools.Begin(ctx)); err != nil {
		g.t.Fatal(err)
	}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = runner.Run(ctx) }()
	g.stop = func() { cancel(); <-ended; g.tools.Close(); g.client.CloseIdleConnections() }
}

// sends gives the graph a way to mail links, for which it has to begin again.
func (g *graph) sends(m hooks.Messages) {
	g.t.Helper()
	g.end()
	g.messages = m
	g.begin()
}

// end is the shutdown of the program.
func (g *graph) end() {
	if g.stop != nil {
		g.stop()
		g.stop = nil
	}
}

// tell has events told; it must not have to wait for anything.
func (g *graph) tell(action string, from, n int) {
	g.t.Helper()
	begun := time.Now()
	var list []hooks.Told
	for i := from; i < from+n; i++ {
		list = append(list, hooks.Told{Action: action, OccurredAt: begun.Add(time.Duration(i) * time.Millisecond), Content: hooks.Content{LoginIDs: []string{login(i)}}})
	}
	if _, err := g.Accept(g.t.Context(), tenant, hooks.SourceWebhook, list); err != nil {
		g.t.Fatal(err)
	}
	if took := time.Since(begun); took > 0 { // on the bubble's clock, on which work takes no time
		g.t.Errorf("accepting events waited %v", took)
	}
}

// works are the actions in a state, of one kind or of all.
func (g *graph) works(state hooks.WorkState, kind string) (list []*hooks.Work) {
	g.t.Helper()
	if err := g.store.ViewHooks(g.t.Context(), func(tx hooks.Tx) error {
		list = nil
		before := ""
		for {
			page, err := tx.Works(hooks.WorkQuery{Tenant: tenant, State: state, Before: before, Limit: 1000})
			if err != nil || len(page) == 0 {
				return err
			}
			for _, w := range page {
				if kind == "" || w.Kind == kind {
					list = append(list, w)
				}
			}
			before = page[len(page)-1].ID
		}
	}); err != nil {
		g.t.Fatal(err)
	}
	return list
}

// trail is how often each work's entry is in the trail of the local Descope.
func (g *graph) trail(action string) map[string]int {
	out := map[string]int{}
	for page := 0; ; page++ {
		list, total := g.accounts.Audit(g.t.Context(), accounts.AuditQuery{Actions: []string{action}, Size: 500, Page: page})
		for _, e := range list {
			work, _ := e.Data["work"].(string)
			out[work]++
		}
		if len(list) == 0 || (page+1)*500 >= total {
			return out
		}
	}
}
