package keys_test

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/federation/keys"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

const day = 24 * time.Hour

// trail is the audit of a key, as action, actor and detail.
func (m tools) trail(id string) (lines []string) {
	m.t.Helper()
	m.ok(m.w.Store.(journey.Store).View(m.t.Context(), func(tx journey.Tx) error {
		all, err := tx.AuditOf(tenant, "federation_key:"+id)
		lines = nil
		for _, a := range all {
			lines = append(lines, fmt.Sprint(a.Action, " by ", a.Actor, " ", a.Detail))
		}
		return err
	}))
	return lines
}

func (m tools) equal(what string, got, want any) {
	m.t.Helper()
	if fmt.Sprint(got) != fmt.Sprint(want) {
		m.t.Errorf("%s:\n got %v\nwant %v", what, got, want)
	}
}

// Two processes start at the same moment.
func TestEnsure(t *testing.T) {
	t.Parallel()
	v, err := newVault(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	dsn := pgtest.URL(t)
	worlds := []*world{worldOf(t, dsn, v), worldOf(t, dsn, v)}
	ensureAtOnce(t, worlds[0].must(t), []*keys.Service{worlds[0].replica(), worlds[1].replica()})
}

// Some keys are missing, which does not take long to mend.
func TestEnsureSome(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.must(t)
	for _, state := range []federation.KeyState{federation.KeyActive, federation.KeyNext} {
		id := m.one(keys.OIDC, keys.ES256, state)
		m.ok(w.UpdateFederation(t.Context(), func(tx federation.Tx) error {
			return tx.UpdateKeyState(tenant, id, state, federation.KeyRetired, start)
		}))
	}
	ensureAtOnce(t, m, []*keys.Service{w.replica(), w.replica(), w.replica()})
}

func ensureAtOnce(t *testing.T, m tools, services []*keys.Service) {
	t.Helper()
	var wg sync.WaitGroup
	for _, s := range services {
		wg.Go(func() {
			if err := s.Ensure(t.Context(), tenant); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	live := slices.DeleteFunc(m.stored("", ""), func(k *federation.Key) bool { return k.State == federation.KeyRetired })
	m.equal("keys", len(live), 6)
	for _, k := range live {
		m.equal("audit", m.trail(k.ID), []string{fmt.Sprint("federation_key.made by job ", map[string]string{"use": k.Use, "alg": k.Alg, "state": string(k.State)})})
	}
	for i, s := range services {
		for _, alg := range []string{keys.ES256, keys.RS256} {
			m.verify(services[(i+1)%len(services)], m.sign(s, alg))
		}
	}
	before := m.stored("", "")
	m.ok(services[0].Ensure(t.Context(), tenant))
	if !reflect.DeepEqual(m.stored("", ""), before) {
		t.Error("something was made again")
	}
}

func TestRotate(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	old := m.sign(s, keys.ES256)
	was, next := m.one(keys.OIDC, keys.ES256, federation.KeyActive), m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	wasRSA, saml := m.one(keys.OIDC, keys.RS256, federation.KeyActive), m.one(keys.SAML, keys.RS256, federation.KeyActive)
	w.clock.pass(time.Hour)
	m.ok(s.Rotate(t.Context(), tenant, keys.OIDC, "operator"))
	m.equal("active", m.one(keys.OIDC, keys.ES256, federation.KeyActive), next)
	m.equal("retiring", m.one(keys.OIDC, keys.ES256, federation.KeyRetiring), was)
	m.equal("retiring", m.one(keys.OIDC, keys.RS256, federation.KeyRetiring), wasRSA)
	m.equal("saml", m.one(keys.SAML, keys.RS256, federation.KeyActive), saml)
	fresh := m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	m.equal("audit", m.trail(next)[1:], []string{fmt.Sprint("federation_key.rotated by operator ", map[string]string{"use": "oidc", "alg": "ES256", "retiring": was, "next": fresh})})

	header, _, _, _ := split(t, m.sign(s, keys.ES256))
	m.equal("signs", header["kid"], next)
	m.verify(s, old)
	var kids []string
	for _, k := range keySet(t, s) {
		kids = append(kids, k.Kid)
	}
	m.equal("published", len(kids), 6)
	for i, id := range []string{next, fresh, was} {
		if at := slices.Index(kids, id); at/2 != i {
			t.Errorf("%s key is published as number %d", []string{"the active", "the next", "a retiring"}[i], at)
		}
	}
	for _, use := range []string{"", "OIDC", "other"} {
		if err := s.Rotate(t.Context(), tenant, use, "operator"); proof.CodeOf(err) != proof.CodeInvalid {
			t.Errorf("use %q: %v", use, err)
		}
	}
}

// However many rotate at once, the ring turns once for each that was told so.
func TestRotateAtOnce(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.must(t)
	var won atomic.Int32
	var wg sync.WaitGroup
	for range 3 {
		s := w.replica()
		wg.Go(func() {
			switch err := s.Rotate(t.Context(), tenant, keys.OIDC, "operator"); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, proof.ErrStale):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	if won.Load() == 0 {
		t.Error("nobody rotated")
	}
	m.one(keys.OIDC, keys.ES256, federation.KeyActive)
	m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	m.equal("retiring", len(m.stored(keys.OIDC, federation.KeyRetiring)), 2*won.Load())
}

func TestReplicasFollow(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	a, b, m := w.replica(), w.replica(), w.must(t)
	signs := func(s *keys.Service) string {
		header, _, _, _ := split(t, m.sign(s, keys.ES256))
		return header["kid"]
	}
	was, next := m.one(keys.OIDC, keys.ES256, federation.KeyActive), m.one(keys.OIDC, keys.ES256, federation.KeyNext)
	m.equal("b signs", signs(b), was)
	m.ok(a.Rotate(t.Context(), tenant, keys.OIDC, "operator"))
	m.equal("a signs", signs(a), next)
	w.clock.pass(5*time.Second - time.Microsecond)
	m.equal("b signs a little later", signs(b), was)
	m.verify(a, m.sign(b, keys.ES256)) // which is still known everywhere
	m.verify(b, m.sign(a, keys.ES256)) // and was before
	w.clock.pass(time.Microsecond)
	m.equal("b signs then", signs(b), next)

	// A key that b has never seen.
	m.ok(a.Rotate(t.Context(), tenant, keys.OIDC, "operator"))
	strange := m.sign(a, keys.ES256)
	m.verify(b, strange) // it was the next one
	m.ok(a.Rotate(t.Context(), tenant, keys.OIDC, "operator"))
	strange = m.sign(a, keys.ES256)
	if _, err := b.Verify(t.Context(), tenant, strange); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("b looked again at once: %v", err)
	}
	w.clock.pass(time.Second)
	m.verify(b, strange)
}

func TestReads(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	jws := m.sign(s, keys.ES256)
	work := func() {
		for range 100 {
			m.sign(s, keys.ES256)
			m.verify(s, jws)
			keySet(t, s)
		}
	}
	work()
	m.equal("reads", w.reads.Load(), 1)
	w.clock.pass(5 * time.Second)
	work()
	m.equal("reads", w.reads.Load(), 2)
	w.clock.pass(-time.Hour) // a clock that was set back makes nothing young
	work()
	m.equal("reads", w.reads.Load(), 3)
	for range 100 { // unknown keys do not make us read without end
		_, _ = s.Verify(t.Context(), tenant, "eyJhbGciOiJFUzI1NiIsImtpZCI6IngifQ.e30.AAAA")
	}
	m.equal("reads", w.reads.Load(), 3)

	// Without the database we go on for a minute, and ask it once a second.
	w.down.Store(true)
	w.clock.pass(10 * time.Second)
	work()
	m.equal("reads", w.reads.Load(), 4)
	w.clock.pass(time.Second)
	work()
	m.equal("reads", w.reads.Load(), 5)
	w.clock.pass(49 * time.Second)
	if _, err := s.Sign(t.Context(), tenant, keys.ES256, "", nil); !errors.Is(err, errDown) {
		t.Errorf("after a minute: %v", err)
	}
	if _, err := s.Verify(t.Context(), tenant, jws); !errors.Is(err, errDown) {
		t.Errorf("verifying after a minute: %v", err)
	}
	w.down.Store(false)
	work()
}

// Who can write to the database cannot have us publish or use a key of theirs.
func TestForeignRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	m := w.must(t)
	victim := m.one(keys.OIDC, keys.ES256, federation.KeyActive)
	donor := m.stored(keys.OIDC, federation.KeyNext)
	donor = slices.DeleteFunc(donor, func(k *federation.Key) bool { return k.Alg != keys.ES256 })
	for name, edit := range map[string]func(k *federation.Key){
		"another public key":      func(k *federation.Key) { k.Public = donor[0].Public },
		"no public key":           func(k *federation.Key) { k.Public = nil },
		"another private key":     func(k *federation.Key) { k.Sealed = donor[0].Sealed },
		"no private key":          func(k *federation.Key) { k.Sealed = nil },
		"another whole key":       func(k *federation.Key) { k.Public, k.Sealed = donor[0].Public, donor[0].Sealed },
		"another algorithm":       func(k *federation.Key) { k.Alg = keys.RS256 },
		"another use":             func(k *federation.Key) { k.Use = keys.SAML },
		"a name of its own":       func(k *federation.Key) { k.ID = "mine" },
		"of another tenant's row": func(k *federation.Key) { k.Tenant = "t2" },
	} {
		only := func(k *federation.Key) {
			if k.ID == victim {
				edit(k)
			}
		}
		w.edit.Store(&only)
		s := w.replica()
		m.equal(name+": published", len(keySet(t, s)), 3)
		if _, err := s.Sign(t.Context(), tenant, keys.ES256, "", nil); proof.CodeOf(err) != proof.CodeUnavailable {
			t.Errorf("%s: signed: %v", name, err)
		}
		m.sign(s, keys.RS256) // the others do their work
	}
	// A key that does not open does not get its turn.
	next := func(k *federation.Key) {
		if k.State == federation.KeyNext && k.Alg == keys.ES256 {
			k.Sealed = nil
		}
	}
	w.edit.Store(&next)
	if err := w.replica().Rotate(t.Context(), tenant, keys.OIDC, "operator"); err == nil {
		t.Error("a key that does not open signs now")
	}
	m.equal("active", m.one(keys.OIDC, keys.ES256, federation.KeyActive), victim)
}

func TestSweep(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	sweep := func() time.Duration {
		t.Helper()
		next, err := s.Sweep(t.Context(), proof.Job{Tenant: tenant})
		m.ok(err)
		return next.Sub(w.clock.now())
	}
	first := m.one(keys.OIDC, keys.ES256, federation.KeyActive)
	old := m.sign(s, keys.ES256)
	m.equal("next run", sweep(), 10*time.Minute)
	w.clock.pass(90*day - time.Minute)
	m.equal("next run before the lifetime is over", sweep(), time.Minute)
	m.equal("still active", m.one(keys.OIDC, keys.ES256, federation.KeyActive), first)
	w.clock.pass(time.Minute)
	sweep()
	m.equal("rotated", m.one(keys.OIDC, keys.ES256, federation.KeyRetiring), first)
	m.equal("rotated, too", len(m.stored(keys.OIDC, federation.KeyRetiring)), 2)
	m.equal("of saml", len(m.stored(keys.SAML, federation.KeyRetiring)), 0)
	m.verify(s, old)
	w.clock.pass(day - time.Minute)
	m.equal("next run before the overlap is over", sweep(), time.Minute)
	m.verify(s, old)
	w.clock.pass(time.Minute)
	sweep()
	retired := m.stored(keys.OIDC, federation.KeyRetired)
	m.equal("retired", len(retired), 2)
	for _, k := range retired {
		if len(k.Sealed) != 0 {
			t.Error("a retired key can still sign")
		}
		trail := m.trail(k.ID)
		m.equal("audit", trail[len(trail)-1], fmt.Sprint("federation_key.retired by job ", map[string]string{"use": "oidc", "alg": k.Alg}))
	}
	m.equal("published", len(keySet(t, s)), 4)
	if _, err := s.Verify(t.Context(), tenant, old); proof.CodeOf(err) != proof.CodeInvalid {
		t.Errorf("what a retired key signed: %v", err)
	}

	m.ok(s.Rotate(t.Context(), tenant, keys.SAML, "operator"))
	w.clock.pass(30*day - time.Microsecond)
	sweep()
	m.equal("of saml, retiring", len(m.stored(keys.SAML, federation.KeyRetiring)), 1)
	w.clock.pass(time.Microsecond)
	sweep()
	m.equal("of saml, retired", len(m.stored(keys.SAML, federation.KeyRetired)), 1)
}

// Sweep drops what ended more than a day ago, however much it is.
func TestSweepPurges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	s, m := w.replica(), w.must(t)
	const uses = 2500
	m.ok(w.UpdateFederation(t.Context(), func(tx federation.Tx) (err error) {
		for i := range uses {
			err = errors.Join(err, tx.Use(tenant, "jti", fmt.Append(nil, i), start, start.Add(time.Second)))
		}
		return errors.Join(err, tx.Use(tenant, "jti", []byte("young"), start, start.Add(time.Minute)))
	}))
	w.clock.pass(day + time.Second + time.Microsecond)
	_, err := s.Sweep(t.Context(), proof.Job{Tenant: tenant})
	m.ok(err)
	m.ok(w.UpdateFederation(t.Context(), func(tx federation.Tx) error {
		if n, err := tx.PurgeFederation(tenant, start.Add(time.Hour)); err != nil || n != 1 {
			return fmt.Errorf("%d were left: %w", n, err)
		}
		return nil
	}))
	w.down.Store(true)
	if _, err := s.Sweep(t.Context(), proof.Job{Tenant: tenant}); !errors.Is(err, errDown) {
		t.Errorf("without the database: %v", err)
	}
}
