package store_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// childEnv makes the test program the child of TestKilled or TestOtherProcess.
const childEnv = "STORE_TEST_CHILD"

func TestMain(m *testing.M) {
	if path := os.Getenv(childEnv); path != "" {
		if err := acknowledge(path); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		os.Exit(0)
	}
	os.Exit(m.Run())
}

// acknowledge writes rows from 16 goroutines and prints the id of each as soon as
// it is acknowledged, until it is killed.
func acknowledge(path string) error {
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		return err
	}
	var mu sync.Mutex
	fail := make(chan error)
	for range 16 {
		go func() {
			for {
				v := newVerification("t")
				err := s.Update(context.Background(), func(tx journey.Tx) error { return insertAll(tx, v) })
				if err != nil {
					fail <- err
					return
				}
				mu.Lock()
				fmt.Println(v.ID)
				mu.Unlock()
			}
		}()
	}
	return <-fail
}

func newVerification(tenant string) *proof.Verification {
	id := uuid.Must(uuid.NewV7()).String()
	return &proof.Verification{
		ID: id, Tenant: tenant, Caller: "c", Subject: id, Status: proof.Pending, Liveness: proof.LivenessPassive,
		CreatedAt: time.Now(), ExpiresAt: time.Now().Add(time.Hour), SealedRequest: bytes.Repeat([]byte("x"), 300),
		Link: proof.Link{SecretHash: bytes.Repeat([]byte("h"), 32)},
	}
}

// insertAll is what starting a verification stores: subject, verification, audit
// record and job.
func insertAll(tx journey.Tx, v *proof.Verification) error {
	return errors.Join(
		tx.InsertSubject(&proof.Subject{ID: v.Subject, Tenant: v.Tenant, WrappedKey: bytes.Repeat([]byte("k"), 65), CreatedAt: v.CreatedAt}),
		tx.InsertVerification(v),
		tx.InsertAudit(&proof.AuditRecord{ID: v.ID, Tenant: v.Tenant, At: v.CreatedAt, Actor: "caller:c", Action: "verification.started", Object: "verification:" + v.ID}),
		tx.Enqueue(&proof.Job{ID: v.ID, Tenant: v.Tenant, Kind: "verification.expire", Key: v.ID, RunAt: v.ExpiresAt}),
	)
}

func newChallenge(tenant, subject string) *proof.Challenge {
	return &proof.Challenge{
		ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Caller: "c", Subject: subject, Status: proof.ChallengePending, Backend: "uwl",
		CreatedAt: time.Now(), ExpiresAt: time.Now().Add(5 * time.Minute), Sessions: 1,
		SealedRequest: bytes.Repeat([]byte("x"), 200), SealedSession: bytes.Repeat([]byte("y"), 400),
		Link: proof.Link{SecretHash: bytes.Repeat([]byte("h"), 32)},
	}
}

// challengeAll is what starting a challenge does: four limits are asked and
// counted, then challenge, audit record and two jobs are stored.
func challengeAll(tx journey.Tx, c *proof.Challenge) error {
	limits := [][2]string{{"subject", c.Subject}, {"network", c.ID[35:]}, {"caller", c.Caller}, {"tenant", "all"}}
	for _, l := range limits {
		if _, err := tx.Hits(c.Tenant, l[0], []byte(l[1]), c.CreatedAt.Add(-time.Hour)); err != nil {
			return err
		}
		if err := tx.Hit(c.Tenant, l[0], []byte(l[1]), c.CreatedAt); err != nil {
			return err
		}
	}
	return errors.Join(
		tx.InsertChallenge(c),
		tx.InsertAudit(&proof.AuditRecord{ID: c.ID, Tenant: c.Tenant, At: c.CreatedAt, Actor: "caller:c", Action: "challenge.started", Object: "challenge:" + c.ID}),
		tx.Enqueue(&proof.Job{ID: c.ID, Tenant: c.Tenant, Kind: "challenge.expire", Key: c.ID, RunAt: c.ExpiresAt}),
		tx.Enqueue(&proof.Job{ID: c.ID + "-", Tenant: c.Tenant, Kind: "challenge.poll", Key: c.ID, RunAt: c.CreatedAt}),
	)
}

func sqlite(t testing.TB, path string) *store.Store {
	t.Helper()
	s, err := store.OpenSQLite(context.Background(), path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { s.Close() })
	return s
}

// child starts the program that acknowledges rows.
func child(t *testing.T, path string) (*exec.Cmd, *bufio.Scanner) {
	t.Helper()
	c := exec.Command(os.Args[0])
	c.Env = append(os.Environ(), childEnv+"="+path)
	c.Stderr = os.Stderr
	out, err := c.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := c.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Process.Kill(); c.Wait() })
	return c, bufio.NewScanner(out)
}

// TestKilled kills a writing process again and again. Whatever it had
// acknowledged is there afterwards, with all that belongs to it.
func TestKilled(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.db")
	var all []string
	for round := range 4 {
		c, lines := child(t, path)
		for n := 0; lines.Scan(); n++ {
			// Every line is a commit that returned: complete, because a torn one
			// could only be the last.
			if len(lines.Text()) == 36 {
				all = append(all, lines.Text())
			}
			if n == 100+150*round {
				if err := c.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		c.Wait()
		s, err := store.OpenSQLite(t.Context(), path)
		if err != nil {
			t.Fatal(err)
		}
		err = s.View(t.Context(), func(tx journey.Tx) error {
			for _, id := range all {
				if _, err := tx.Verification("t", id); err != nil {
					return fmt.Errorf("acknowledged and lost: %w", err)
				}
				if rs, err := tx.AuditOf("t", "verification:"+id); err != nil || len(rs) != 1 {
					return fmt.Errorf("without its audit record: %v, %w", rs, err)
				}
			}
			return nil
		})
		if err != nil {
			t.Fatalf("after %d rows: %v", len(all), err)
		}
		jobs, err := s.Claim(t.Context(), "test", time.Now().Add(24*time.Hour), len(all)+1000, time.Nanosecond)
		if err != nil {
			t.Fatal(err)
		}
		if len(jobs) < len(all) {
			t.Fatalf("%d jobs for %d rows", len(jobs), len(all))
		}
		if err := s.Close(); err != nil {
			t.Fatal(err)
		}
	}
	t.Logf("killed 4 times, %d acknowledged, 0 lost", len(all))
}

// TestOtherProcess writes while another process does, as the command line's
// erase would.
func TestOtherProcess(t *testing.T) {
	path := filepath.Join(t.TempDir(), "k.db")
	s := sqlite(t, path)
	_, lines := child(t, path)
	go func() {
		for lines.Scan() {
		}
	}()
	for range 50 {
		v := newVerification("t")
		if err := s.Update(t.Context(), func(tx journey.Tx) error { return insertAll(tx, v) }); err != nil {
			t.Fatal(err)
		}
		if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t", v.Subject, time.Now()) }); err != nil {
			t.Fatal(err)
		}
	}
}

func newEvent(tenant string) *hooks.Event {
	return &hooks.Event{ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Hash: make([]byte, 32), Source: hooks.SourceWebhook, ReceivedAt: time.Now()}
}

// TestErasedBytes looks for what was erased in the files themselves.
func TestErasedBytes(t *testing.T) {
	dir := t.TempDir()
	s := sqlite(t, filepath.Join(dir, "k.db"))
	p := &proof.Subject{ID: "s", Tenant: "t", Lookup: []byte("LOOKUP-TO-ERASE"), WrappedKey: []byte("KEY-TO-ERASE"), SealedIdentifier: []byte("IDENT-TO-ERASE")}
	v := newVerification("t")
	v.Subject, v.SealedRequest, v.SealedOutcome = "s", []byte("REQUEST-TO-ERASE"), bytes.Repeat([]byte("OUTCOME-TO-ERASE"), 1000)
	v.Upstream.SealedURL, v.External.Sealed = []byte("URL-TO-ERASE"), []byte("REQUEST-ID-TO-ERASE")
	c := newChallenge("t", "s")
	c.SealedRequest, c.SealedSession = []byte("WHO-TO-ERASE"), []byte("SESSION-TO-ERASE")
	c.RequestHash, c.Network, c.External.Sealed = []byte("HASH-TO-ERASE"), []byte("NETWORK-TO-ERASE"), []byte("RETURN-TO-ERASE")
	d := newDecision("s", time.Now())
	d.Sealed = []byte("RECORD-TO-ERASE")
	err := s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
		return errors.Join(tx.InsertSubject(p), tx.InsertVerification(v), tx.InsertChallenge(c), tx.InsertDecision(d),
			tx.PutHistory("t", "s", []byte("HISTORY-TO-ERASE"), 0, time.Now()))
	})
	if err != nil {
		t.Fatal(err)
	}
	e := newEvent("t")
	e.Lookups, e.Sealed = [][]byte{p.Lookup, []byte("NAME-TO-ERASE")}, []byte("CONTENT-TO-ERASE")
	if err := s.UpdateHooks(t.Context(), func(tx hooks.Tx) error { _, err := tx.InsertEvents("t", []*hooks.Event{e}); return err }); err != nil {
		t.Fatal(err)
	}
	found := func() (n int) {
		files, _ := filepath.Glob(filepath.Join(dir, "*"))
		for _, f := range files {
			b, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			n += bytes.Count(b, []byte("-TO-ERASE"))
		}
		return n
	}
	if found() == 0 {
		t.Fatal("not found even before")
	}
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t", "s", time.Now()) }); err != nil {
		t.Fatal(err)
	}
	// The log is cut after the caller was told; the next update comes after that.
	if err := s.Update(t.Context(), func(journey.Tx) error { return nil }); err != nil {
		t.Fatal(err)
	}
	if n := found(); n != 0 {
		t.Errorf("%d pieces left in the files", n)
	}
}

func TestFileIsPrivate(t *testing.T) {
	dir := t.TempDir()
	s := sqlite(t, filepath.Join(dir, "k.db"))
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return insertAll(tx, newVerification("t")) }); err != nil {
		t.Fatal(err)
	}
	files, _ := filepath.Glob(filepath.Join(dir, "*"))
	if len(files) < 2 {
		t.Errorf("files: %v", files)
	}
	for _, f := range files {
		if info, err := os.Stat(f); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", filepath.Base(f), info.Mode(), err)
		}
	}
}

func TestOpen(t *testing.T) {
	for dsn, want := range map[string]string{
		"":                             "sqlite:PATH",
		"mysql://x":                    "sqlite:PATH",
		"sqlite:":                      "path",
		"sqlite::memory:":              "path",
		"sqlite:/nowhere/to/be/found":  "no such file",
		"sqlite:" + t.TempDir():        "directory",
		"postgres://u@127.0.0.1:1/x":   "connect",
		"postgres://u:p%ss@@::bad/url": "cannot parse",
	} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		s, err := store.Open(ctx, dsn)
		cancel()
		if err == nil {
			s.Close()
			t.Errorf("%q opened", dsn)
		} else if !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want something about %q", dsn, err, want)
		}
		if err != nil && strings.Contains(err.Error(), "p%ss") {
			t.Errorf("the error tells the password: %v", err)
		}
	}
	garbage := filepath.Join(t.TempDir(), "g.db")
	if err := os.WriteFile(garbage, bytes.Repeat([]byte("not a database "), 1000), 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := store.OpenSQLite(t.Context(), garbage); err == nil {
		s.Close()
		t.Error("opened a file that is no database")
	}
}

// TestAppendOnly tries to change the past behind the store's back.
func TestAppendOnly(t *testing.T) {
	for name, prepare := range map[string]func(*testing.T) (dsn, driver, raw string){
		"sqlite": func(t *testing.T) (string, string, string) {
			path := filepath.Join(t.TempDir(), "k.db")
			return "sqlite:" + path, "sqlite", path
		},
		"postgres": func(t *testing.T) (string, string, string) { u := pgtest.URL(t); return u, "pgx", u },
	} {
		t.Run(name, func(t *testing.T) {
			dsn, driver, raw := prepare(t)
			s, err := store.Open(t.Context(), dsn)
			if err != nil {
				t.Fatal(err)
			}
			defer s.Close()
			err = s.UpdateRisk(t.Context(), func(tx decide.Tx) error {
				return errors.Join(insertAll(tx, newVerification("t")), tx.InsertPolicy(&decide.PolicyVersion{Tenant: "t", Version: 1, Document: []byte("{}")}))
			})
			if err != nil {
				t.Fatal(err)
			}
			db, err := sql.Open(driver, raw)
			if err != nil {
				t.Fatal(err)
			}
			defer db.Close()
			statements := []string{"UPDATE audit SET actor = 'nobody'", "DELETE FROM audit", "UPDATE risk_policies SET document = '[]'", "DELETE FROM risk_policies"}
			if name == "postgres" {
				statements = append(statements, "TRUNCATE audit", "TRUNCATE risk_policies")
			}
			for _, q := range statements {
				if _, err := db.ExecContext(t.Context(), q); err == nil || !strings.Contains(err.Error(), "append-only") {
					t.Errorf("%s: %v", q, err)
				}
			}
		})
	}
}

func TestEmpty(t *testing.T) {
	s := sqlite(t, filepath.Join(t.TempDir(), "k.db"))
	if empty, err := s.Empty(t.Context()); err != nil || !empty {
		t.Errorf("new: %t, %v", empty, err)
	}
	if err := s.Update(t.Context(), func(tx journey.Tx) error { return insertAll(tx, newVerification("t")) }); err != nil {
		t.Fatal(err)
	}
	if empty, err := s.Empty(t.Context()); err != nil || empty {
		t.Errorf("used: %t, %v", empty, err)
	}
}

// BenchmarkStart measures durable starts of a verification (four rows each) by so
// many concurrent callers, and BenchmarkChallenge those of a challenge (eight rows
// each, two of which are the same for all).
func BenchmarkStart(b *testing.B)             { benchmark(b, onSQLite, start) }
func BenchmarkStartPostgres(b *testing.B)     { benchmark(b, onPostgres, start) }
func BenchmarkChallenge(b *testing.B)         { benchmark(b, onSQLite, stepUp) }
func BenchmarkChallengePostgres(b *testing.B) { benchmark(b, onPostgres, stepUp) }

func onSQLite(b *testing.B) *store.Store { return sqlite(b, filepath.Join(b.TempDir(), "b.db")) }

// onPostgres is over a unix socket.
func onPostgres(b *testing.B) *store.Store {
	s, err := store.Open(b.Context(), pgtest.URL(b))
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() { s.Close() })
	return s
}

func start(*testing.B, *store.Store) func(journey.Tx) error {
	return func(tx journey.Tx) error { return insertAll(tx, newVerification("t")) }
}

func stepUp(b *testing.B, s *store.Store) func(journey.Tx) error {
	var subjects []string
	err := s.Update(b.Context(), func(tx journey.Tx) error {
		subjects = nil
		for range 500 {
			v := newVerification("t")
			subjects = append(subjects, v.Subject)
			if err := insertAll(tx, v); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	var n atomic.Int64
	return func(tx journey.Tx) error {
		return challengeAll(tx, newChallenge("t", subjects[int(n.Add(1))%len(subjects)]))
	}
}

func benchmark(b *testing.B, on func(*testing.B) *store.Store, prepare func(*testing.B, *store.Store) func(journey.Tx) error) {
	for _, callers := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("callers=%d", callers), func(b *testing.B) {
			s := on(b)
			fn := prepare(b, s)
			work := make(chan struct{})
			var wg sync.WaitGroup
			took := make([][]time.Duration, callers)
			for i := range callers {
				wg.Go(func() {
					for range work {
						begin := time.Now()
						if err := s.Update(context.Background(), fn); err != nil {
							b.Error(err)
						}
						took[i] = append(took[i], time.Since(begin))
					}
				})
			}
			b.ResetTimer()
			for range b.N {
				work <- struct{}{}
			}
			close(work)
			wg.Wait()
			b.StopTimer()
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "updates/s")
			b.ReportMetric(quantile(took, 0.99).Seconds()*1000, "p99-ms")
		})
	}
}

func quantile(took [][]time.Duration, q float64) time.Duration {
	all := slices.Concat(took...)
	slices.Sort(all)
	return all[int(q*float64(len(all)-1))]
}

// BenchmarkWake measures from the beginning of the update that queues a job to
// the beginning of its handler.
func BenchmarkWake(b *testing.B) {
	s := sqlite(b, filepath.Join(b.TempDir(), "b.db"))
	r := jobs.New(s, jobs.Options{})
	ran := make(chan struct{})
	r.Handle("k", func(context.Context, proof.Job) (time.Time, error) { ran <- struct{}{}; return time.Time{}, nil })
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	var took []time.Duration
	for b.Loop() {
		begin := time.Now()
		id := uuid.Must(uuid.NewV7()).String()
		err := s.Update(ctx, func(tx journey.Tx) error {
			return tx.Enqueue(&proof.Job{ID: id, Tenant: "t", Kind: "k", Key: id, RunAt: begin})
		})
		if err != nil {
			b.Fatal(err)
		}
		r.Wake()
		<-ran
		took = append(took, time.Since(begin))
	}
	cancel()
	if err := <-ended; err != nil {
		b.Error(err)
	}
	b.ReportMetric(quantile([][]time.Duration{took}, 0.99).Seconds()*1000, "p99-ms")
}
