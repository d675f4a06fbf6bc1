package keys_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const tenant = "t1"

var start = time.Date(2026, 11, 23, 9, 30, 0, 0, time.UTC)

// clock is a time that tests move.
type clock struct{ at atomic.Int64 }

func newClock() *clock {
	c := new(clock)
	c.at.Store(start.UnixMicro())
	return c
}

func (c *clock) now() time.Time       { return time.UnixMicro(c.at.Load()).UTC() }
func (c *clock) pass(d time.Duration) { c.at.Add(d.Microseconds()) }

func (w *world) replica() *keys.Service { return keys.New(w.options()) }
func (w *world) options() keys.Options {
	return keys.Options{Store: w, Vault: w.vault, Now: w.clock.now}
}
func (w *world) must(t *testing.T) tools { return tools{t, w} }

// world is a store that counts how often it is read, and a clock.
type world struct {
	federation.Store
	vault *vault.Vault
	clock *clock
	reads atomic.Int64
	down  atomic.Bool
	edit  atomic.Pointer[func(*federation.Key)] // what somebody did to the rows
}

var errDown = errors.New("the database is down")

func (w *world) ViewFederation(ctx context.Context, fn func(federation.Tx) error) error {
	w.reads.Add(1)
	if w.down.Load() {
		return errDown
	}
	return w.Store.ViewFederation(ctx, func(tx federation.Tx) error { return fn(edited{tx, w}) })
}

type edited struct {
	federation.Tx
	w *world
}

func (e edited) Keys(tenant string) ([]*federation.Key, error) {
	all, err := e.Tx.Keys(tenant)
	if edit := e.w.edit.Load(); edit != nil {
		for _, k := range all {
			(*edit)(k)
		}
	}
	return all, err
}

// made is a database with the tenant's keys and the master key they are sealed under:
// making RSA keys takes long.
var made = sync.OnceValues(func() (files [2][]byte, err error) {
	dir, err := os.MkdirTemp("", "keys")
	if err != nil {
		return files, err
	}
	defer os.RemoveAll(dir)
	ctx := context.Background()
	v, err := newVault(dir)
	if err != nil {
		return files, err
	}
	db := filepath.Join(dir, "k.db")
	s, err := store.Open(ctx, "sqlite:"+db)
	if err != nil {
		return files, err
	}
	service := keys.New(keys.Options{Store: s, Vault: v, Now: newClock().now})
	if err := errors.Join(service.Ensure(ctx, tenant), s.Close()); err != nil {
		return files, err
	}
	for i, name := range []string{"master.key", "k.db"} {
		if files[i], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return files, err
		}
	}
	return files, nil
})

func newVault(dir string) (*vault.Vault, error) {
	path := filepath.Join(dir, "master.key")
	if err := vault.Create(path); err != nil {
		return nil, err
	}
	return vault.Open(path)
}

// newWorld has the tenant's keys, made at start.
func newWorld(t testing.TB) *world {
	t.Helper()
	files, err := made()
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	for i, name := range []string{"master.key", "k.db"} {
		if err := os.WriteFile(filepath.Join(dir, name), files[i], 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := vault.Open(filepath.Join(dir, "master.key"))
	if err != nil {
		t.Fatal(err)
	}
	return worldOf(t, "sqlite:"+filepath.Join(dir, "k.db"), v)
}

func worldOf(t testing.TB, dsn string, v *vault.Vault) *world {
	t.Helper()
	s, err := store.Open(t.Context(), dsn)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return &world{Store: s, vault: v, clock: newClock()}
}

// tools are for what must work.
type tools struct {
	t *testing.T
	w *world
}

func (m tools) ok(err error) {
	m.t.Helper()
	if err != nil {
		m.t.Fatal(err)
	}
}

func (m tools) sign(s *keys.Service, alg string) string {
	m.t.Helper()
	jws, err := s.Sign(m.t.Context(), tenant, alg, "JWT", []byte(`{"sub":"x"}`))
	m.ok(err)
	return jws
}

func (m tools) verify(s *keys.Service, jws string) {
	m.t.Helper()
	payload, err := s.Verify(m.t.Context(), tenant, jws)
	m.ok(err)
	if string(payload) != `{"sub":"x"}` {
		m.t.Fatalf("payload %q", payload)
	}
}

// stored is the keys of a use and state, the oldest first.
func (m tools) stored(use string, state federation.KeyState) (found []*federation.Key) {
	m.t.Helper()
	m.ok(m.w.Store.ViewFederation(m.t.Context(), func(tx federation.Tx) error {
		all, err := tx.Keys(tenant)
		found = slices.DeleteFunc(all, func(k *federation.Key) bool { return use != "" && k.Use != use || state != "" && k.State != state })
		return err
	}))
	return found
}

// one is the id of the only key of its kind.
func (m tools) one(use, alg string, state federation.KeyState) string {
	m.t.Helper()
	found := slices.DeleteFunc(m.stored(use, state), func(k *federation.Key) bool { return k.Alg != alg })
	if len(found) != 1 {
		m.t.Fatalf("%d %s keys of %s %s, not one", len(found), state, use, alg)
	}
	return found[0].ID
}
