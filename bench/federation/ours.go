//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strconv"

	"github.com/kosmoscope/kosmoscope/test/world"
)

const (
	oursName   = "kosmoscope"
	oursSecret = "bench-secret-4f1d8a6c2e9b7053"
	// perUser is how many browsers one enrolled person has.
	perUser = 4
)

const oursYAML = `federation:
  clients:
    - client_id: bench
      client_secret: ` + oursSecret + `
      protocol: oidc
      name: Bench
      liveness_mode: none
      session: 1h
      oidc: { redirect_uris: ["` + redirectURI + `"], token_endpoint_auth_method: client_secret_basic }
    - client_id: bench-rs256
      client_secret: ` + oursSecret + `
      protocol: oidc
      name: Bench
      liveness_mode: none
      session: 1h
      oidc: { redirect_uris: ["` + redirectURI + `"], token_endpoint_auth_method: client_secret_basic, id_token_signed_response_alg: RS256 }
`

// ours measures the built program: engine, local 1Kosmos and bridge as processes, the
// bridge on SQLite. Each browser's person is recognised by their face once before.
func (o *options) ours(ctx context.Context, all []figures) ([]figures, error) {
	w, err := world.Start(nil, world.Plan{Root: filepath.Join(o.folder, "..", ".."), Program: o.program, Tenant: func(*world.World) string { return oursYAML }})
	if err != nil {
		return all, err
	}
	all, err = o.measureOurs(ctx, all, w)
	return all, errors.Join(err, w.Close())
}

func (o *options) measureOurs(ctx context.Context, all []figures, w *world.World) ([]figures, error) {
	pid, err := processWith(w.Config())
	if err != nil {
		return all, err
	}
	for _, alg := range []string{"ES256", "RS256"} {
		p := &provider{
			name: oursName, issuer: w.Bridge + "/federation/" + world.Tenant, clientID: "bench", clientSecret: oursSecret, redirectURI: redirectURI,
			scope: "openid", acr: "urn:kosmoscope:acr:liveid", alg: alg,
			note: "state and audit in SQLite, synced before the answer; GET /authorize with a session of the person whose face was matched before, token",
		}
		if alg != "ES256" {
			p.clientID = "bench-rs256"
		}
		p.browser = func(i int) (*http.Client, error) { return recognised(ctx, w, p, i) }
		if all, err = o.measure(ctx, all, pid, []*provider{p}); err != nil {
			return all, fmt.Errorf("%w\n%s", err, w.Log())
		}
	}
	return all, nil
}

// recognised is the i-th browser, whose person's face was matched for this client.
func recognised(ctx context.Context, w *world.World, p *provider, i int) (*http.Client, error) {
	user := fmt.Sprintf("bench-%d@example.com", i/perUser)
	if i%perUser == 0 && p.alg == "ES256" {
		if err := w.Enrol(ctx, user); err != nil {
			return nil, err
		}
	}
	person, err := w.Person()
	if err != nil {
		return nil, err
	}
	person.Account = user
	if err := p.discover(ctx); err != nil {
		return nil, err
	}
	v := &visitor{p: p, tokens: &http.Client{Transport: transport()}}
	address, done := v.begin("login_hint", user)
	at, err := person.Visit(ctx, address, p.redirectURI)
	if err != nil {
		return nil, err
	}
	if !at.Home {
		return nil, fmt.Errorf("%s was not recognised, but ended at %s: %s", user, at.URL, at.Text)
	}
	browser := person.Client()
	browser.Transport = transport()
	return browser, done(ctx, at.URL)
}

// processWith finds the process that has an argument.
func processWith(argument string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil { // it has ended meanwhile
			continue
		}
		for arg := range bytes.SplitSeq(b, []byte{0}) {
			if string(arg) == argument {
				return strconv.Atoi(filepath.Base(filepath.Dir(file)))
			}
		}
	}
	return 0, fmt.Errorf("no process with %s", argument)
}
