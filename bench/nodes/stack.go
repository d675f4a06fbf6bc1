//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	mathrand "math/rand/v2"
	"net"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"
	"go.yaml.in/yaml/v4"
)

// ready is what `demo --ready-file` writes, as far as it is needed here.
type ready struct {
	BridgeURL string `json:"bridge_url"`
	Connector struct {
		Token string `json:"token"`
	} `json:"connector"`
	Kosmos struct {
		DNS        string `json:"dns"`
		Community  string `json:"community"`
		LicenseKey string `json:"license_key"`
		CAFile     string `json:"ca_file"`
	} `json:"kosmos"`
	EngineURL string `json:"engine_url"`
	Data      string `json:"data"`
	Descope   *struct {
		BaseURL   string `json:"base_url"`
		ProjectID string `json:"project_id"`
	} `json:"descope"`
}

func readReady(file string) (r ready, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return r, err
	}
	if err := json.Unmarshal(b, &r); err != nil {
		return r, fmt.Errorf("%s: %w", file, err)
	}
	return r, nil
}

// launched is a process of ours.
type launched struct {
	cmd   *exec.Cmd
	ended chan error
	end   error
}

// launch starts a program that ends on SIGTERM. stdout may be nil.
func launch(stdout, stderr io.Writer, dir, program string, args ...string) (*launched, error) {
	cmd := exec.Command(program, args...)
	cmd.Dir, cmd.Stdout, cmd.Stderr = dir, stdout, stderr
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	l := &launched{cmd: cmd, ended: make(chan error)}
	go func() {
		l.end = cmd.Wait()
		close(l.ended)
	}()
	return l, nil
}

// stop ends it and waits, up to half a minute.
func (l *launched) stop() {
	_ = l.cmd.Process.Signal(syscall.SIGTERM) // fails if it has ended, which is as well
	select {
	case <-l.ended:
	case <-time.After(30 * time.Second):
		_ = l.cmd.Process.Kill()
		<-l.ended
	}
}

// await polls until done says so, the process ends, or the time is up.
func (l *launched) await(ctx context.Context, limit time.Duration, done func() bool) error {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-l.ended:
			return fmt.Errorf("%s ended: %w", filepath.Base(l.cmd.Path), errors.Join(l.end, errors.New("it was to stay")))
		case <-ctx.Done():
			return fmt.Errorf("%s did not come up: %w", filepath.Base(l.cmd.Path), ctx.Err())
		case <-tick.C:
		}
	}
	return nil
}

// demo starts `PROGRAM ARGS... --port-base ... --data ... --ready-file ...` and
// waits for the ready file, whose path it returns.
func demo(ctx context.Context, stdout, stderr io.Writer, scratch, dir string, limit time.Duration, command func(flags string) []string) (file string, l *launched, err error) {
	base, err := freePorts()
	if err != nil {
		return "", nil, err
	}
	file = filepath.Join(scratch, "ready.json")
	args := command(fmt.Sprintf("--port-base %d --data %s --ready-file %s", base, filepath.Join(scratch, "data"), file))
	if l, err = launch(stdout, stderr, dir, args[0], args[1:]...); err != nil {
		return "", nil, err
	}
	err = l.await(ctx, limit, func() bool { _, err := os.Stat(file); return err == nil })
	if err != nil {
		l.stop()
		return "", nil, err
	}
	return file, l, nil
}

// freePorts finds five neighbours below those that the system gives out itself.
func freePorts() (base int, err error) {
	for range 100 {
		base = 20000 + 5*mathrand.IntN(2400)
		free := true
		for port := base; port < base+5; port++ {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
			if free = free && err == nil; err == nil {
				l.Close()
			}
		}
		if free {
			return base, nil
		}
	}
	return 0, errors.New("no five free ports in a row")
}

// firstPage starts a verification and opens its link as a browser would. It
// answers once the whole hand-off page, with the form to consent, was served.
func firstPage(ctx context.Context, r ready) error {
	c := &nodes{client: &http.Client{Timeout: 30 * time.Second}, ready: r}
	start, err := c.idv(ctx, "")
	if err != nil {
		return err
	}
	jar, err := cookiejar.New(nil)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, start.SessionURL, nil)
	if err != nil {
		return err
	}
	browser := &http.Client{Timeout: 30 * time.Second, Jar: jar}
	res, err := browser.Do(req)
	if err != nil {
		return errors.New("the hand-off page does not answer") // the error itself holds the link
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return errors.New("the hand-off page breaks off")
	}
	if res.StatusCode != http.StatusOK || !bytes.Contains(b, []byte(`/consent"`)) {
		return fmt.Errorf("the hand-off page answers %s, with %d bytes and no form to consent", res.Status, len(b))
	}
	return nil
}

// bridge is one more bridge beside the demo's, over the same local 1Kosmos and
// the same engine, with a store of its own that is empty at first.
type bridge struct {
	file  string // ready file of the stack with this bridge
	ready ready
	pid   int
	store string // as the configuration names it
	undo  []func()
}

// stop ends it and drops its database. It may be called twice.
func (b *bridge) stop() {
	for len(b.undo) > 0 {
		last := b.undo[len(b.undo)-1]
		b.undo = b.undo[:len(b.undo)-1]
		last()
	}
}

// another starts a bridge with the demo's configuration, as far as change, which
// may be nil, does not alter it. Its store is SQLite, or a fresh database on the
// server that KOSMOSCOPE_TEST_POSTGRES names.
func another(ctx context.Context, log io.Writer, program, scratch, demoFile, name, store string, change func(config map[string]any) error) (b *bridge, err error) {
	b = &bridge{file: filepath.Join(scratch, "ready-"+name+".json")}
	defer func() {
		if err != nil {
			b.stop()
		}
	}()
	r, err := readReady(demoFile)
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp(r.Data, name+"-*") // the demo may be a running one, and this not the first time
	if err != nil {
		return nil, err
	}
	b.undo = append(b.undo, func() { os.RemoveAll(dir) })
	b.store = "sqlite:" + filepath.Join(dir, "bridge.db")
	if store == "postgres" {
		database, drop, err := freshDatabase(ctx)
		if err != nil {
			return nil, err
		}
		b.store, b.undo = database, append(b.undo, drop)
	}
	base, err := freePorts()
	if err != nil {
		return nil, err
	}
	listen := fmt.Sprintf("127.0.0.1:%d", base)
	// Beside the demo's, because paths in it are relative.
	config := filepath.Join(r.Data, filepath.Base(dir)+".yaml")
	b.undo = append(b.undo, func() { os.Remove(config) })
	if err := rewrite(filepath.Join(r.Data, "kosmoscope.yaml"), config, yaml.Unmarshal, yaml.Marshal, func(all map[string]any) error {
		maps.Copy(all, map[string]any{
			"public_url": "http://" + listen, "listen": listen, "store": b.store, "master_key": filepath.Join(dir, "master.key"),
		})
		if change == nil {
			return nil
		}
		return change(all)
	}); err != nil {
		return nil, err
	}
	l, err := launch(nil, log, "", program, "serve", "--config", config)
	if err != nil {
		return nil, err
	}
	b.pid, b.undo = l.cmd.Process.Pid, append(b.undo, l.stop)
	plain := &http.Client{Timeout: 5 * time.Second}
	if err := l.await(ctx, time.Minute, func() bool {
		res, err := plain.Get("http://" + listen + "/healthz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}); err != nil {
		return nil, err
	}
	if err := rewrite(demoFile, b.file, json.Unmarshal, json.Marshal, func(all map[string]any) error {
		all["bridge_url"] = "http://" + listen
		return nil
	}); err != nil {
		return nil, err
	}
	b.ready, err = readReady(b.file)
	return b, err
}

// rewrite copies a file of settings with some of them changed.
func rewrite(from, to string, decode func([]byte, any) error, encode func(any) ([]byte, error), change func(all map[string]any) error) error {
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	all := map[string]any{}
	if err := decode(b, &all); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if err := change(all); err != nil {
		return fmt.Errorf("%s: %w", from, err)
	}
	if b, err = encode(all); err != nil {
		return fmt.Errorf("%s: %w", to, err)
	}
	return os.WriteFile(to, b, 0o600)
}

func freshDatabase(ctx context.Context) (database string, drop func(), err error) {
	server := os.Getenv("KOSMOSCOPE_TEST_POSTGRES")
	if server == "" {
		return "", nil, errors.New("--store postgres needs KOSMOSCOPE_TEST_POSTGRES, the URL of a server and of a role on it that may create databases (make bench starts one)")
	}
	u, err := url.Parse(server)
	if err != nil {
		return "", nil, errors.New("KOSMOSCOPE_TEST_POSTGRES is no URL") // it may hold a password
	}
	name := "kosmoscope_bench_" + strings.ToLower(rand.Text())
	u.Path = "/" + name
	run := func(ctx context.Context, statement string) error {
		conn, err := pgx.Connect(ctx, server)
		if err != nil {
			return fmt.Errorf("PostgreSQL: %w", err)
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		return err
	}
	if err := run(ctx, "CREATE DATABASE "+name); err != nil {
		return "", nil, err
	}
	return u.String(), func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		if err := run(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			fmt.Fprintln(os.Stderr, "nodes: the database", name, "stays:", err)
		}
	}, nil
}
