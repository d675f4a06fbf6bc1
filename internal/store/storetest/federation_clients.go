package storetest

import (
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func readPushed(t *testing.T, s Store, kind, secret string) *federation.Pushed {
	t.Helper()
	return told(t, s, func(tx federation.Tx) (*federation.Pushed, error) { return tx.Pushed("t1", kind, hashOf(secret)) })
}

func testPushed(t *testing.T, o Opener) {
	s := open(t, o)
	p, otherKind, foreign := pushed("par", "a"), pushed("ciba", "a"), pushed("par", "a")
	foreign.Tenant = "t2"
	updateFederation(t, s, func(tx federation.Tx) error {
		return errors.Join(tx.InsertPushed(p), tx.InsertPushed(otherKind), tx.InsertPushed(foreign))
	})
	is(t, "same again", tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertPushed(pushed("par", "a")) }), proof.ErrStale)
	equal(t, "read", readPushed(t, s, "par", "a"), p)
	viewFederation(t, s, func(tx federation.Tx) error {
		for what, hash := range map[string][]byte{"unknown": hashOf("none"), "empty": {}, "none": nil} {
			_, err := tx.Pushed("t1", "par", hash)
			is(t, what, err, proof.ErrNotFound)
		}
		_, err := tx.Pushed("t3", "par", p.Hash)
		is(t, "a third tenant's", err, proof.ErrNotFound)
		_, err = tx.Pushed("t1", "other", p.Hash)
		is(t, "another kind", err, proof.ErrNotFound)
		return nil
	})
	old := *p
	changed := *p
	changed.UsedAt, changed.PolledAt, changed.Sealed = start.Add(time.Second), start.Add(2*time.Second), nil
	update := func(p *federation.Pushed) error {
		return tryFederation(t, s, func(tx federation.Tx) error { return tx.UpdatePushed(p) })
	}
	ok(t, update(&changed))
	equal(t, "version", changed.Version, int64(1))
	equal(t, "changed", readPushed(t, s, "par", "a"), &changed)
	equal(t, "the other kind", readPushed(t, s, "ciba", "a"), otherKind)
	is(t, "old version", update(&old), proof.ErrStale)
	equal(t, "version of a refused copy", old.Version, int64(0))
	is(t, "not there", update(pushed("par", "none")), proof.ErrStale)
	short := pushed("par", "b")
	short.Hash = short.Hash[:31]
	if err := tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertPushed(short) }); err == nil {
		t.Error("a short hash was stored")
	}
}

func testPushedUsedOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for round := range 5 {
		secret := fmt.Sprint(round)
		updateFederation(t, stores[0], func(tx federation.Tx) error { return tx.InsertPushed(pushed("par", secret)) })
		seen := readPushed(t, stores[0], "par", secret)
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				mine := *seen
				switch err := tryFederation(t, stores[i%2], func(tx federation.Tx) error { p := mine; p.UsedAt = start; return tx.UpdatePushed(&p) }); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, proof.ErrStale):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		equal(t, "how often it was used", won.Load(), int32(1))
	}
}

func clientsOf(t *testing.T, s Store, tenant string) (all []*federation.StoredClient, version int64) {
	t.Helper()
	viewFederation(t, s, func(tx federation.Tx) (err error) {
		if all, err = tx.Clients(tenant); err != nil {
			return err
		}
		version, err = tx.ClientsVersion(tenant)
		return err
	})
	return all, version
}

func testFederationClients(t *testing.T, o Opener) {
	s := open(t, o)
	seen := map[int64]bool{}
	// changed wants a version that was never there, and these clients.
	changed := func(what string, want ...*federation.StoredClient) {
		t.Helper()
		all, version := clientsOf(t, s, "t1")
		if seen[version] {
			t.Errorf("%s: version %d again", what, version)
		}
		seen[version] = true
		equal(t, what, all, want)
	}
	same := func(what string) {
		t.Helper()
		if _, version := clientsOf(t, s, "t1"); !seen[version] {
			t.Errorf("%s: version %d is new", what, version)
		}
	}
	changed("none")
	b, a, foreign := storedClient("b"), storedClient("a"), storedClient("b")
	foreign.Tenant = "t2"
	b.Secrets = append(b.Secrets, federation.Secret{ID: "0", Hash: hashOf("0"), CreatedAt: start.Add(time.Second), ExpiresAt: start.Add(time.Hour)})
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(b) })
	changed("one", b)
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(foreign) })
	same("after another tenant's")
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(a) })
	changed("two", a, b)
	is(t, "same id", tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(storedClient("a")) }), proof.ErrStale)
	same("after a refusal")

	old := *b
	b.Name, b.Disabled, b.UpdatedAt, b.Secrets = "Größe", true, start.Add(time.Minute), b.Secrets[1:]
	updateFederation(t, s, func(tx federation.Tx) error { c := *b; err := tx.UpdateClient(&c); *b = c; return err })
	equal(t, "version", b.Version, int64(1))
	changed("after an update", a, b)
	is(t, "old version", tryFederation(t, s, func(tx federation.Tx) error { return tx.UpdateClient(&old) }), proof.ErrStale)
	equal(t, "version of a refused copy", old.Version, int64(0))
	elsewhere := *b
	elsewhere.Tenant = "t3"
	is(t, "a third tenant's", tryFederation(t, s, func(tx federation.Tx) error { return tx.UpdateClient(&elsewhere) }), proof.ErrStale)
	same("after refusals")
	b.Secrets = nil
	updateFederation(t, s, func(tx federation.Tx) error { c := *b; err := tx.UpdateClient(&c); *b = c; return err })
	changed("without secrets", a, b)

	remove := func(tenant, id string) error {
		return tryFederation(t, s, func(tx federation.Tx) error { return tx.DeleteClient(tenant, id) })
	}
	is(t, "unknown", remove("t1", "none"), proof.ErrNotFound)
	is(t, "a third tenant's", remove("t3", "a"), proof.ErrNotFound)
	same("after nothing was deleted")
	ok(t, remove("t1", "a"))
	changed("after one is gone", b)
	is(t, "again", remove("t1", "a"), proof.ErrNotFound)
	again := storedClient("a")
	again.Secrets = nil
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(again) })
	changed("a new one of the same id has no old secrets", again, b)
	all, _ := clientsOf(t, s, "t2")
	equal(t, "another tenant's", all, []*federation.StoredClient{foreign})

	for what, secrets := range map[string][]federation.Secret{
		"without a hash":    {{ID: "1", CreatedAt: start}},
		"with a short hash": {{ID: "1", Hash: hashOf("1")[:31]}},
		"twice":             {{ID: "1", Hash: hashOf("1")}, {ID: "1", Hash: hashOf("2")}},
	} {
		bad := storedClient("bad")
		bad.Secrets = secrets
		if err := tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(bad) }); err == nil {
			t.Errorf("a secret was stored %s", what)
		}
	}
	changed0, version := clientsOf(t, s, "t1")
	equal(t, "after refusals", len(changed0), 2)
	equal(t, "version after refusals", seen[version], true)
}

func testClientsAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	_, before := clientsOf(t, stores[0], "t1")
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			updateFederation(t, stores[i%2], func(tx federation.Tx) error { return tx.InsertClient(storedClient(fmt.Sprint(i))) })
		})
	}
	wg.Wait()
	all, after := clientsOf(t, stores[1], "t1")
	equal(t, "clients and changes", []int{len(all), int(after - before)}, []int{8, 8})
}

func insertKey(t *testing.T, s Store, k *federation.Key) error {
	return tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertKey(k) })
}

func keysIn(t *testing.T, s Store, tenant string) []*federation.Key {
	t.Helper()
	return told(t, s, func(tx federation.Tx) ([]*federation.Key, error) { return tx.Keys(tenant) })
}

func testFederationKeys(t *testing.T, o Opener) {
	s := open(t, o)
	first, next, older := federationKey("oidc", "ES256", federation.KeyActive), federationKey("oidc", "ES256", federation.KeyNext), federationKey("saml", "RS256", federation.KeyRetiring)
	older.CreatedAt = start.Add(-time.Hour)
	foreign := federationKey("oidc", "ES256", federation.KeyActive)
	foreign.Tenant, foreign.ID = "t2", first.ID
	for _, k := range []*federation.Key{first, next, older, foreign} {
		ok(t, insertKey(t, s, k))
	}
	equal(t, "oldest first", keysIn(t, s, "t1"), []*federation.Key{older, first, next})
	equal(t, "another tenant's", keysIn(t, s, "t2"), []*federation.Key{foreign})
	equal(t, "a third tenant's", len(keysIn(t, s, "t3")), 0)

	sameID := federationKey("oidc", "RS256", federation.KeyActive)
	sameID.ID = first.ID
	is(t, "same id", insertKey(t, s, sameID), proof.ErrStale)
	is(t, "a second active one", insertKey(t, s, federationKey("oidc", "ES256", federation.KeyActive)), proof.ErrStale)
	is(t, "a second next one", insertKey(t, s, federationKey("oidc", "ES256", federation.KeyNext)), proof.ErrStale)
	ok(t, insertKey(t, s, federationKey("oidc", "RS256", federation.KeyActive)))
	ok(t, insertKey(t, s, federationKey("saml", "ES256", federation.KeyActive)))
	ok(t, insertKey(t, s, federationKey("saml", "RS256", federation.KeyRetiring))) // of these there may be several
	// The refusal is told at once, and leaves the transaction usable.
	last := federationKey("other", "ES256", federation.KeyNext)
	updateFederation(t, s, func(tx federation.Tx) error {
		is(t, "a second next one", tx.InsertKey(federationKey("oidc", "ES256", federation.KeyNext)), proof.ErrStale)
		return tx.InsertKey(last)
	})
	bare := federationKey("bare", "ES256", federation.KeyActive)
	bare.Sealed = nil
	if err := insertKey(t, s, bare); err == nil {
		t.Error("a key that cannot sign was made active")
	}

	move := func(id string, from, to federation.KeyState) error {
		return tryFederation(t, s, func(tx federation.Tx) error { return tx.UpdateKeyState("t1", id, from, to, start.Add(time.Minute)) })
	}
	is(t, "not in that state", move(next.ID, federation.KeyActive, federation.KeyRetiring), proof.ErrStale)
	is(t, "unknown", move("none", federation.KeyActive, federation.KeyRetiring), proof.ErrNotFound)
	is(t, "a second active one", move(next.ID, federation.KeyNext, federation.KeyActive), proof.ErrStale)
	ok(t, move(first.ID, federation.KeyActive, federation.KeyRetiring))
	ok(t, move(next.ID, federation.KeyNext, federation.KeyActive))
	ok(t, move(older.ID, federation.KeyRetiring, federation.KeyRetired))
	is(t, "again", move(older.ID, federation.KeyRetiring, federation.KeyRetired), proof.ErrStale)
	first.State, next.State, older.State = federation.KeyRetiring, federation.KeyActive, federation.KeyRetired
	older.Sealed = nil // nothing is signed with it ever again
	for _, k := range []*federation.Key{first, next, older} {
		k.ChangedAt = start.Add(time.Minute)
	}
	equal(t, "moved", keysIn(t, s, "t1")[:3], []*federation.Key{older, first, next})
	equal(t, "another tenant's stays", keysIn(t, s, "t2"), []*federation.Key{foreign})
}

// Whoever makes keys at the same moment: one signs in the end.
func testKeysAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	var won atomic.Int32
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			switch err := insertKey(t, stores[i%2], federationKey("oidc", "ES256", federation.KeyActive)); {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, proof.ErrStale):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	equal(t, "active keys made", won.Load(), int32(1))
	equal(t, "active keys", len(keysIn(t, stores[0], "t1")), 1)
	active := keysIn(t, stores[0], "t1")[0]
	won.Store(0)
	for i := range 8 {
		wg.Go(func() {
			err := tryFederation(t, stores[i%2], func(tx federation.Tx) error {
				if err := tx.UpdateKeyState("t1", active.ID, federation.KeyActive, federation.KeyRetiring, start); err != nil {
					return err
				}
				return tx.InsertKey(federationKey("oidc", "ES256", federation.KeyActive))
			})
			switch {
			case err == nil:
				won.Add(1)
			case !errors.Is(err, proof.ErrStale):
				t.Error(err)
			}
		})
	}
	wg.Wait()
	equal(t, "rotations", won.Load(), int32(1))
	equal(t, "keys", len(keysIn(t, stores[0], "t1")), 2)
}
