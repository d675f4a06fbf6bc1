//go:build linux

package main

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"time"
)

const redirectURI = "http://localhost:9/callback" // nobody listens: the browser stops before it

// freePort is for one process at a time, which takes it at once.
func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	defer l.Close()
	return l.Addr().(*net.TCPAddr).Port, nil
}

// peer is a process to measure, and how to sign in there.
type peer struct {
	cmd       *exec.Cmd
	providers []*provider
}

// startZitadel builds and runs zitadel/oidc's example provider.
func startZitadel(ctx context.Context, folder, dir, alg string) (*peer, error) {
	file := filepath.Join(dir, "zitadel")
	build := exec.CommandContext(ctx, "go", "build", "-o", file, ".")
	build.Dir = filepath.Join(folder, "peers", "zitadel")
	if out, err := build.CombinedOutput(); err != nil {
		return nil, fmt.Errorf("zitadel: %w\n%s", err, out)
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd, err := begin(file, "--port", fmt.Sprint(port), "--redirect", redirectURI, "--alg", alg)
	if err != nil {
		return nil, err
	}
	issuer := fmt.Sprintf("http://localhost:%d", port)
	base := provider{
		issuer: issuer + "/", clientID: "bench", clientSecret: "bench-secret", redirectURI: redirectURI, scope: "openid profile", alg: alg,
		login: url.Values{"username": {"test-user@localhost"}, "password": {"verysecure"}},
	}
	again, signed := base, base
	again.name, again.again, again.shipped = "zitadel/oidc example, login each time", true, alg == "RS256"
	again.note = "state in memory; GET /auth, GET and POST of the login form, callback, token"
	signed.name = "zitadel/oidc example, signed in"
	signed.note = "state in memory; GET /auth, GET /login (a session check that we added answers it), callback, token"
	at, err := url.Parse(issuer)
	if err != nil {
		return nil, err
	}
	signed.prepare = func(jar http.CookieJar) {
		jar.SetCookies(at, []*http.Cookie{{Name: "signed-in", Value: "1", Path: "/"}})
	}
	return &peer{cmd, []*provider{&again, &signed}}, ready(ctx, issuer)
}

// startNode runs oidc-provider.
func startNode(ctx context.Context, folder, _, alg string) (*peer, error) {
	at := filepath.Join(folder, "peers", "node")
	if _, err := os.Stat(filepath.Join(at, "node_modules")); err != nil {
		install := exec.CommandContext(ctx, "npm", "ci", "--no-audit", "--no-fund")
		install.Dir = at
		if out, err := install.CombinedOutput(); err != nil {
			return nil, fmt.Errorf("oidc-provider: %w\n%s", err, out)
		}
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	cmd, err := begin("node", filepath.Join(at, "peer.mjs"), fmt.Sprint(port), redirectURI, alg)
	if err != nil {
		return nil, err
	}
	issuer := fmt.Sprintf("http://localhost:%d", port)
	base := provider{
		issuer: issuer, clientID: "bench", clientSecret: "bench-secret", redirectURI: redirectURI, scope: "openid", alg: alg,
		login: url.Values{"login": {"somebody"}, "password": {"anything"}}, shipped: true,
	}
	again, signed := base, base
	again.name, again.again = "node oidc-provider, login each time", true
	again.note = "state in memory; GET /auth, forms of login and of consent with their redirects, token"
	signed.name = "node oidc-provider, signed in"
	signed.note = "state in memory; GET /auth answers at once, token"
	return &peer{cmd, []*provider{&again, &signed}}, ready(ctx, issuer)
}

// begin runs a peer until end; what it complains about is seen.
func begin(name string, args ...string) (*exec.Cmd, error) {
	cmd := exec.Command(name, args...)
	cmd.Stderr = os.Stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd, cmd.Start()
}

func (p *peer) end() error {
	err := p.cmd.Process.Kill()
	_ = p.cmd.Wait() // it was killed, and says so
	return err
}

func ready(ctx context.Context, issuer string) error {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		p := provider{name: issuer, issuer: issuer}
		err := p.discover(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w", issuer, err)
		case <-tick.C:
		}
	}
}
