//go:build linux

package main

import (
	"bytes"
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's pgx; sqlite comes with our store

	"github.com/kosmoscope/kosmoscope/test/program"
)

const (
	// server names the URL of a PostgreSQL, and of a role there that may create databases.
	server = "KOSMOSCOPE_TEST_POSTGRES"
	tenant = "main"
	secret = "bench-hmac-secret-5b8e1f7a3c9d2046"
)

// bridge is the built program, as a process with an empty store of its own.
type bridge struct {
	origin string
	config string
	store  string
	proc   *program.Process
	undo   []func() error
}

// newBridge writes the configuration. more is of its tenant: YAML in the block style,
// without indentation.
func (o *options) newBridge(ctx context.Context, kind, more string) (b *bridge, err error) {
	dir, err := os.MkdirTemp("", "kosmoscope-bench-*")
	if err != nil {
		return nil, err
	}
	b = &bridge{config: filepath.Join(dir, "bridge.yaml"), undo: []func() error{func() error { return os.RemoveAll(dir) }}}
	defer func() {
		if err != nil {
			err = errors.Join(err, b.close())
		}
	}()
	var drop func() error
	if b.store, drop, err = emptyStore(ctx, kind, dir); err != nil {
		return b, err
	}
	b.undo = append(b.undo, drop)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return b, err
	}
	listen := l.Addr().String()
	l.Close()
	b.origin = "http://" + listen
	tenantYAML := ""
	for line := range strings.Lines(more) {
		tenantYAML += "    " + line
	}
	return b, os.WriteFile(b.config, fmt.Appendf(nil, bridgeYAML, b.origin, listen, b.store, filepath.Join(dir, "master.key"), tenant, tenantYAML, secret), 0o600)
}

// Nothing here verifies anybody, so nobody answers as 1Kosmos.
const bridgeYAML = `public_url: %[1]s
listen: %[2]s
store: "%[3]s"
master_key: %[4]s
geo: { without_tables: true }
tenants:
  - id: %[5]s
    kosmos: { dns: localhost, license_key: bench, workflows: [{ dvc_id: a, document_types: [passport], liveness_mode: active }] }
%[6]scallers:
  - { id: audit, tenant: %[5]s, application: Bench, events_only: true, hmac_secret: %[7]s }
`

// emptyStore is a database that nobody has used, as the configuration names it.
func emptyStore(ctx context.Context, kind, dir string) (dsn string, drop func() error, err error) {
	if kind == "sqlite" {
		file := filepath.Join(dir, strings.ToLower(rand.Text())+".db")
		return "sqlite:" + file, func() error { return nil }, nil // it goes with its folder
	}
	at := os.Getenv(server)
	if at == "" {
		return "", nil, fmt.Errorf("PostgreSQL needs %s, the URL of a server and of a role on it that may create databases (make bench starts one)", server)
	}
	u, err := url.Parse(at)
	if err != nil {
		return "", nil, fmt.Errorf("%s is no URL", server) // it may hold a password
	}
	name := "kosmoscope_bench_" + strings.ToLower(rand.Text())
	u.Path = "/" + name
	run := func(ctx context.Context, statement string) error {
		conn, err := pgx.Connect(ctx, at)
		if err != nil {
			return fmt.Errorf("PostgreSQL: %w", err)
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, statement)
		return err
	}
	return u.String(), func() error {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 30*time.Second)
		defer cancel()
		return run(ctx, "DROP DATABASE "+name+" WITH (FORCE)")
	}, run(ctx, "CREATE DATABASE "+name)
}

// start runs the bridge until stop.
func (o *options) start(ctx context.Context, b *bridge) (err error) {
	if b.proc, err = program.Start(filepath.Dir(b.config), "bridge", o.program, "serve", "--config", b.config); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	return b.proc.Ready(ctx, http.DefaultClient, b.origin+"/healthz")
}

// command runs another command of the program on the same configuration.
func (o *options) command(ctx context.Context, b *bridge, words string, args ...string) error {
	args = append(append(strings.Fields(words), "--config", b.config, "--author", "bench"), args...)
	out, err := exec.CommandContext(ctx, o.program, args...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("%s: %w\n%s", words, err, out)
	}
	return nil
}

func (b *bridge) stop() error {
	if b.proc == nil {
		return nil
	}
	err := b.proc.Stop(time.Minute)
	b.proc = nil
	return err
}

func (b *bridge) close() error {
	err := b.stop()
	for i := len(b.undo) - 1; i >= 0; i-- {
		err = errors.Join(err, b.undo[i]())
	}
	return err
}

// stored counts the events in the store of a bridge that has stopped, by their state.
func (b *bridge) stored(ctx context.Context) (map[string]int64, error) {
	driver, dsn := "pgx", b.store
	if file, ok := strings.CutPrefix(b.store, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, err
	}
	defer db.Close()
	rows, err := db.QueryContext(ctx, "SELECT state, count(*) FROM hooks_events GROUP BY state")
	if err != nil {
		return nil, err
	}
	defer rows.Close()
	out := map[string]int64{}
	for rows.Next() {
		var state string
		var n int64
		if err := rows.Scan(&state, &n); err != nil {
			return nil, err
		}
		out[state] = n
	}
	return out, rows.Err()
}

// cpu is the CPU time that the bridge has taken, user and system (proc(5), stat fields
// 14 and 15, in hundredths of a second).
func (b *bridge) cpu() (time.Duration, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	for _, file := range files {
		line, err := os.ReadFile(file)
		if err != nil || !bytes.Contains(line, []byte("\x00"+b.config+"\x00")) {
			continue
		}
		stat, err := os.ReadFile(filepath.Join(filepath.Dir(file), "stat"))
		if err != nil {
			return 0, err
		}
		_, rest, ok := strings.Cut(string(stat), ") ")
		fields := strings.Fields(rest)
		if !ok || len(fields) < 13 {
			return 0, errors.New("unreadable stat")
		}
		var user, system int64
		if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
			return 0, err
		}
		return time.Duration(user+system) * 10 * time.Millisecond, nil
	}
	return 0, errors.New("the bridge has no process")
}
