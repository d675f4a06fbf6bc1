package hooks_test

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// cluster is a PostgreSQL server of one test's own, which the test may stop and start.
type cluster struct {
	t    *testing.T
	dir  string
	bin  string
	as   *syscall.Credential
	url  string
	proc *exec.Cmd // nil: it does not run
}

// newCluster makes and starts one; without server programs it skips the test, and in CI it
// fails it, as pgtest does.
func newCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{t: t}
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/initdb")
	if path, lookErr := exec.LookPath("initdb"); lookErr == nil {
		all = append(all, path)
	}
	if err != nil || len(all) == 0 {
		c.none("no PostgreSQL server programs: install the Debian package postgresql")
	}
	c.bin = filepath.Dir(all[len(all)-1])
	// Not t.TempDir: the server's user has to get there, and the path of a socket is short.
	if c.dir, err = os.MkdirTemp("", "hooks-pg"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = os.RemoveAll(c.dir) })
	if os.Getuid() == 0 { // which the server refuses to be
		u, err := user.Lookup("postgres")
		if err != nil {
			c.none("as root it takes a user postgres")
		}
		uid, uidErr := strconv.ParseUint(u.Uid, 10, 32)
		gid, gidErr := strconv.ParseUint(u.Gid, 10, 32)
		if err := errors.Join(uidErr, gidErr, os.Chown(c.dir, int(uid), int(gid))); err != nil {
			t.Fatal(err)
		}
		c.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	}
	init := c.run("initdb", "-D", filepath.Join(c.dir, "data"), "-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "-N")
	if out, err := init.CombinedOutput(); err != nil {
		t.Fatalf("initdb: %v\n%s", err, out)
	}
	c.url = "postgres://postgres@/postgres?host=" + url.QueryEscape(c.dir)
	t.Cleanup(func() {
		if c.proc != nil {
			c.stop()
		}
	})
	c.start()
	return c
}

func (c *cluster) none(why string) {
	c.t.Helper()
	if os.Getenv("CI") != "" {
		c.t.Fatal(why)
	}
	c.t.Skip(why)
}

// run is a program of the server's, which ends at the latest with the test program.
func (c *cluster) run(name string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(c.bin, name), args...)
	cmd.Dir, cmd.SysProcAttr = c.dir, &syscall.SysProcAttr{Credential: c.as, Setpgid: true, Pdeathsig: syscall.SIGKILL}
	return cmd
}

func (c *cluster) start() {
	c.t.Helper()
	c.proc = c.run("postgres", "-D", filepath.Join(c.dir, "data"), "-k", c.dir, "-c", "listen_addresses=", "-c", "fsync=on", "-c", "shared_buffers=32MB")
	if err := c.proc.Start(); err != nil {
		c.t.Fatal(err)
	}
	until(c.t, "PostgreSQL takes connections", func() bool {
		ctx, cancel := context.WithTimeout(c.t.Context(), 5*time.Second)
		defer cancel()
		conn, err := pgx.Connect(ctx, c.url)
		if err == nil {
			_ = conn.Close(ctx)
		}
		return err == nil
	})
}

// stop is pg_ctl stop -m immediate: as in a crash, nothing is written any more.
func (c *cluster) stop() {
	_ = c.proc.Process.Signal(syscall.SIGQUIT)
	_ = c.proc.Wait() // its status says that it was told to
	c.proc = nil
}

// PostgreSQL stops dead in the middle of events, and comes back: they are refused
// meanwhile, none that was accepted is lost, none is doubled at a receiver, and the bridge
// goes on without being started again.
func TestPostgresRestarts(t *testing.T) {
	c := newCluster(t)
	l := listen(t)
	b := newBridge(t, t.TempDir(), c.url, map[string]string{tenant: ""})
	b.publish(tenant, notice("LoginFailed"))
	b.endpoint(tenant, l.url)
	const events, each, stops = 400, 10, 2
	var accepted, refused atomic.Int64
	var senders sync.WaitGroup
	batches := make(chan int)
	for range 4 {
		senders.Go(func() {
			tick := time.NewTicker(50 * time.Millisecond)
			defer tick.Stop()
			for from := range batches {
				for t.Context().Err() == nil {
					a := b.tell(t.Context(), tenant, batch("LoginFailed", from, each))
					if a.status == http.StatusOK {
						accepted.Add(each)
						break
					}
					if err := refusedProperly(a); err != nil {
						t.Error(err)
					}
					refused.Add(1)
					<-tick.C
				}
			}
		})
	}
	sent := make(chan struct{})
	go func() {
		defer close(sent)
		defer senders.Wait()
		defer close(batches)
		for from := 0; from < events; from += each {
			batches <- from
		}
	}()
	for i := range int64(stops) {
		until(t, "events are accepted", func() bool { return accepted.Load() >= (i+1)*events/(stops+1) })
		before := refused.Load()
		c.stop()
		until(t, "events are refused", func() bool { return refused.Load() >= before+10 })
		if a := b.get("/readyz"); a.status != http.StatusServiceUnavailable {
			t.Errorf("without a database /readyz says %d %s", a.status, a.body)
		}
		c.start()
	}
	<-sent
	until(t, "all is done", func() bool { return l.people() >= events && b.waiting(tenant) == 0 })
	if !b.Running() {
		t.Fatal("the bridge ended")
	}
	if n := b.number("SELECT COUNT(*) FROM hooks_events WHERE state = 'done'"); n != events {
		t.Errorf("%d events are stored and done, %d were told", n, events)
	}
	if n := b.number("SELECT COUNT(*) FROM hooks_work WHERE state = 'done'"); n != events {
		t.Errorf("%d actions are done of %d", n, events)
	}
	if n := b.number("SELECT COUNT(*) FROM jobs WHERE dead_at <> 0"); n != 0 {
		t.Errorf("%d jobs are dead", n)
	}
	until(t, "/readyz says so", func() bool { return b.get("/readyz").status == http.StatusOK })
	l.once(t, 0, events)
	t.Logf("%d requests were refused while PostgreSQL was away", refused.Load())
}
