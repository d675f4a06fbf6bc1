//go:build unix

// Package pgtest gives tests a PostgreSQL database of their own: on the server
// that KOSMOSCOPE_TEST_POSTGRES names (as a role that may create databases), or
// on a throw-away cluster that it starts from the server programs it finds.
package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// URL returns the URL of a new, empty database, which goes when the test ends. It
// skips the test when there is no server to be had, and fails it in CI.
func URL(t testing.TB) string {
	t.Helper()
	server, err := start()
	if errors.Is(err, errNone) && os.Getenv("CI") == "" {
		t.Skip(err)
	}
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	name := "kosmoscope_" + strings.ToLower(rand.Text())
	admin(t, server, "CREATE DATABASE "+name)
	t.Cleanup(func() { admin(t, server, "DROP DATABASE "+name+" WITH (FORCE)") })
	u, err := url.Parse(server)
	if err != nil {
		t.Fatalf("pgtest: %v", err)
	}
	u.Path = "/" + name
	return u.String()
}

func admin(t testing.TB, server, statement string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	conn, err := pgx.Connect(ctx, server)
	if err != nil {
		t.Errorf("pgtest: %v", err)
		return
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, statement); err != nil {
		t.Errorf("pgtest: %s: %v", statement, err)
	}
}

var errNone = errors.New("no PostgreSQL: install the Debian package postgresql, or set KOSMOSCOPE_TEST_POSTGRES to the URL of a server")

// start starts the cluster once per test program. It ends with the program,
// however that ends: a shell waits on a pipe that the program alone holds open. It does not
// wait for the disk (fsync=off): tests kill programs, never the machine.
var start = sync.OnceValues(func() (string, error) {
	if server := os.Getenv("KOSMOSCOPE_TEST_POSTGRES"); server != "" {
		return server, nil
	}
	bin, err := programs()
	if err != nil {
		return "", err
	}
	dir, err := os.MkdirTemp("", "pgtest")
	if err != nil {
		return "", err
	}
	as, err := unprivileged(dir)
	if err != nil {
		return "", err
	}
	run := func(name string, args ...string) *exec.Cmd {
		c := exec.Command(name, args...)
		c.Dir, c.SysProcAttr = dir, &syscall.SysProcAttr{Credential: as, Setpgid: true}
		return c
	}
	data := filepath.Join(dir, "data")
	if out, err := run(filepath.Join(bin, "initdb"), "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N").CombinedOutput(); err != nil {
		os.RemoveAll(dir)
		return "", fmt.Errorf("initdb: %w: %s", err, out)
	}
	watch := run("/bin/sh", "-c", `"$1" -D "$2" -k "$3" -c listen_addresses= -c fsync=off -c max_connections=400 -c shared_buffers=32MB >"$3/log" 2>&1 &
		server=$!
		cat >/dev/null
		kill -INT $server; wait $server; rm -rf "$3"`, "sh", filepath.Join(bin, "postgres"), data, dir)
	hold, err := watch.StdinPipe()
	if err != nil {
		return "", err
	}
	if err := watch.Start(); err != nil {
		os.RemoveAll(dir)
		return "", err
	}
	held = hold
	server := "postgres://postgres@/postgres?host=" + url.QueryEscape(dir)
	if err := answers(server); err != nil {
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		hold.Close()
		return "", fmt.Errorf("the server does not start: %w: %s", err, log)
	}
	return server, nil
})

// held keeps the pipe open: a collected one would be closed.
var held io.Closer //lint:ignore U1000 writing it is the point

// answers waits until the server takes connections.
func answers(server string) error {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		conn, err := pgx.Connect(ctx, server)
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return err
		}
	}
}

// programs finds the newest installed server, or the one on the PATH.
func programs() (string, error) {
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if err != nil {
		return "", err
	}
	if len(all) > 0 {
		version := func(path string) int {
			n, _ := strconv.Atoi(filepath.Base(filepath.Dir(filepath.Dir(path))))
			return n
		}
		return filepath.Dir(slices.MaxFunc(all, func(a, b string) int { return version(a) - version(b) })), nil
	}
	if path, err := exec.LookPath("initdb"); err == nil {
		return filepath.Dir(path), nil
	}
	return "", errNone
}

// unprivileged says as whom to run the server, which refuses to be root, and
// gives the directory to that user.
func unprivileged(dir string) (*syscall.Credential, error) {
	if os.Getuid() != 0 {
		return nil, nil
	}
	u, err := user.Lookup("postgres")
	if err != nil {
		return nil, fmt.Errorf("%w (as root it also takes a user postgres)", errNone)
	}
	uid, err := strconv.ParseUint(u.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(u.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, os.Chown(dir, int(uid), int(gid))
}
