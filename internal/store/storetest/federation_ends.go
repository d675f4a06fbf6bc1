package storetest

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func purgeFederation(t *testing.T, s Store, tenant string, before time.Time) (n int) {
	t.Helper()
	updateFederation(t, s, func(tx federation.Tx) (err error) { n, err = tx.PurgeFederation(tenant, before); return err })
	return n
}

func testPurgeFederation(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	put(t, s, p)
	put(t, s, elsewhere)
	before := start.Add(time.Hour)
	ended, expired, live := federationSession(p), federationSession(p), federationSession(p)
	ended.ExpiresAt, expired.ExpiresAt, live.ExpiresAt = before.Add(time.Hour), before.Add(-time.Microsecond), before
	over, kept := grant(p), grant(p)
	over.KeepUntil, kept.KeepUntil = before.Add(-time.Microsecond), before
	past, present := pushed("par", "past"), pushed("par", "present")
	past.ExpiresAt, present.ExpiresAt = before.Add(-time.Microsecond), before
	foreign, foreignGrant, foreignPushed := federationSession(elsewhere), grant(elsewhere), pushed("par", "past")
	foreignPushed.Tenant = "t2"
	updateFederation(t, s, func(tx federation.Tx) error {
		return errors.Join(tx.InsertFederationSession(ended), tx.InsertFederationSession(expired), tx.InsertFederationSession(live),
			tx.EndFederationSession("t1", ended.ID, before.Add(-time.Microsecond)), tx.EndFederationSession("t1", live.ID, before),
			tx.InsertGrant(over), tx.InsertGrant(kept), tx.InsertPushed(past), tx.InsertPushed(present),
			tx.Use("t1", "jti", hashOf("past"), start, before.Add(-time.Microsecond)), tx.Use("t1", "jti", hashOf("present"), start, before),
			tx.InsertFederationSession(foreign), tx.InsertGrant(foreignGrant), tx.InsertPushed(foreignPushed))
	})
	equal(t, "purged of a third tenant", purgeFederation(t, s, "t3", before), 0)
	equal(t, "purged", purgeFederation(t, s, "t1", before), 5)
	equal(t, "purged again", purgeFederation(t, s, "t1", before), 0)
	viewFederation(t, s, func(tx federation.Tx) error {
		for _, gone := range []*federation.Session{ended, expired} {
			_, err := tx.FederationSessionByID("t1", gone.ID)
			is(t, "a session that ended", err, proof.ErrNotFound)
		}
		_, err := tx.GrantByOf("t1", over.OfHash)
		is(t, "a grant that ended", err, proof.ErrNotFound)
		_, err = tx.Pushed("t1", "par", past.Hash)
		is(t, "a request that ended", err, proof.ErrNotFound)
		_, err = tx.FederationSessionByID("t1", live.ID)
		_, e := tx.GrantByOf("t1", kept.OfHash)
		_, e2 := tx.Pushed("t1", "par", present.Hash)
		_, e3 := tx.FederationSessionByID("t2", foreign.ID)
		_, e4 := tx.GrantByOf("t2", foreignGrant.OfHash)
		_, e5 := tx.Pushed("t2", "par", foreignPushed.Hash)
		return errors.Join(err, e, e2, e3, e4, e5)
	})
	is(t, "a use that lasts", use(t, s, "t1", "jti", "present", start, before), proof.ErrStale)
	ok(t, use(t, s, "t1", "jti", "past", start, before))
}

// However much has ended, an update drops some, and in the end all are gone.
func testPurgeFederationInParts(t *testing.T, o Opener) {
	s := open(t, o)
	const uses = 2500
	updateFederation(t, s, func(tx federation.Tx) (err error) {
		for i := range uses {
			err = errors.Join(err, tx.Use("t1", fmt.Sprint("kind", i%3), hashOf(fmt.Sprint(i)), start, start.Add(time.Duration(i)*time.Microsecond)))
		}
		return err
	})
	total, rounds := 0, 0
	for ; ; rounds++ {
		n := purgeFederation(t, s, "t1", start.Add(time.Hour))
		if total += n; n == 0 {
			break
		}
	}
	equal(t, "purged", total, uses)
	if rounds < 2 {
		t.Errorf("in %d parts", rounds)
	}
}

// testEveryFederationField is testEveryField for what door B stores.
func testEveryFederationField(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	hash := func(b *[]byte) { *b = hashOf(string(*b)) }

	v, bare := new(federation.Session), &federation.Session{ID: id(), Tenant: "t1", Subject: p.ID, Hash: hashOf("bare")}
	fill(t, reflect.ValueOf(v).Elem(), 0)
	v.Tenant, v.Subject = p.Tenant, p.ID
	hash(&v.Hash)
	for _, v := range []*federation.Session{v, bare} {
		ok(t, insertSession(t, s, v))
		equal(t, "session", readSession(t, s, v.ID), v)
	}

	g, bareGrant := new(federation.Grant), &federation.Grant{ID: "x", Family: "x", Tenant: "t1", Subject: p.ID, OfHash: hashOf("bare")}
	fill(t, reflect.ValueOf(g).Elem(), 0)
	g.Tenant, g.Subject = p.Tenant, p.ID
	hash(&g.OfHash)
	hash(&g.TokenHash)
	for _, g := range []*federation.Grant{g, bareGrant} {
		ok(t, insertGrant(t, s, g))
		equal(t, "grant", grantBy(t, s, g), g)
	}

	q := new(federation.Pushed)
	fill(t, reflect.ValueOf(q).Elem(), 0)
	q.Tenant = "t1"
	hash(&q.Hash)
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertPushed(q) })
	read := func() *federation.Pushed {
		return told(t, s, func(tx federation.Tx) (*federation.Pushed, error) { return tx.Pushed("t1", q.Kind, q.Hash) })
	}
	equal(t, "pushed", read(), q)
	changed := *q
	fill(t, reflect.ValueOf(&changed).Elem(), 1000)
	changed.Tenant, changed.Kind, changed.Hash, changed.Version = q.Tenant, q.Kind, q.Hash, q.Version
	updateFederation(t, s, func(tx federation.Tx) error { c := changed; err := tx.UpdatePushed(&c); *q = c; return err })
	equal(t, "pushed, changed", read(), q)

	k := new(federation.Key)
	fill(t, reflect.ValueOf(k).Elem(), 0)
	k.Tenant, k.State = "t1", federation.KeyActive
	ok(t, insertKey(t, s, k))
	equal(t, "key", keysIn(t, s, "t1"), []*federation.Key{k})

	full := new(federation.StoredClient)
	keySet := func(i int) json.RawMessage { return json.RawMessage(fmt.Sprintf(`{"keys":[{"größe":%d}]}`, i)) }
	fillClient := func(n int) {
		full.OIDC = new(federation.OIDCClient)
		value := reflect.ValueOf(full.OIDC).Elem()
		for i := range value.NumField() {
			if value.Type().Field(i).Name != "JWKS" {
				n = fill(t, value.Field(i), n)
			}
		}
		full.OIDC.JWKS = keySet(n)
		value = reflect.ValueOf(&full.Client).Elem()
		for i := range value.NumField() {
			if value.Type().Field(i).Name != "OIDC" {
				n = fill(t, value.Field(i), n)
			}
		}
		full.Secrets = make([]federation.Secret, 2)
		for i := range full.Secrets {
			n = fill(t, reflect.ValueOf(&full.Secrets[i]).Elem(), n)
			hash(&full.Secrets[i].Hash)
		}
		full.Tenant, full.ID, full.Fixed = "t1", "full", false
		full.UpdatedAt = start.Add(time.Duration(n) * time.Second)
	}
	fillClient(0)
	full.CreatedAt = start
	updateFederation(t, s, func(tx federation.Tx) error { return tx.InsertClient(full) })
	all, _ := clientsOf(t, s, "t1")
	equal(t, "client", all, []*federation.StoredClient{full})
	fillClient(1000)
	updateFederation(t, s, func(tx federation.Tx) error {
		c := *full
		err := tx.UpdateClient(&c)
		full.Version = c.Version
		return err
	})
	all, _ = clientsOf(t, s, "t1")
	equal(t, "client, changed", all, []*federation.StoredClient{full})
}

func testEraseFederation(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, bystander)
	v, ended, g, revoked := federationSession(p), federationSession(p), grant(p), grant(p)
	others, othersGrant := federationSession(bystander), grant(bystander)
	when := start.Add(time.Minute)
	updateFederation(t, s, func(tx federation.Tx) error {
		_, err := tx.RevokeGrants("t1", "none", start)
		err = errors.Join(err, tx.InsertFederationSession(v), tx.InsertFederationSession(ended), tx.InsertGrant(g), tx.InsertGrant(revoked),
			tx.InsertFederationSession(others), tx.InsertGrant(othersGrant), tx.EndFederationSession("t1", ended.ID, start))
		_, e := tx.RevokeGrants("t1", revoked.Family, start)
		return errors.Join(err, e)
	})
	update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, when) })
	for _, c := range []struct {
		v  *federation.Session
		at time.Time
	}{{v, when}, {ended, start}} {
		_, err := asked(t, s, func(tx federation.Tx) (*federation.Session, error) { return tx.FederationSession("t1", c.v.Hash) })
		is(t, "a session of the cookie", err, proof.ErrNotFound)
		want := *c.v
		want.Hash, want.Sealed, want.EndedAt = nil, nil, c.at
		equal(t, "session", readSession(t, s, c.v.ID), &want)
	}
	for _, c := range []struct {
		g  *federation.Grant
		at time.Time
	}{{g, when}, {revoked, start}} {
		_, err := asked(t, s, func(tx federation.Tx) (*federation.Grant, error) { return tx.GrantByToken("t1", c.g.TokenHash) })
		is(t, "a grant of the token", err, proof.ErrNotFound)
		want := *c.g
		want.TokenHash, want.Sealed, want.RevokedAt = nil, nil, c.at
		equal(t, "grant", grantBy(t, s, c.g), &want)
	}
	equal(t, "somebody else's session", readSession(t, s, others.ID), others)
	equal(t, "somebody else's grant", grantBy(t, s, othersGrant), othersGrant)

	is(t, "a session afterwards", insertSession(t, s, federationSession(p)), proof.ErrNotFound)
	is(t, "a grant afterwards", insertGrant(t, s, grant(p)), proof.ErrNotFound)
	again := grant(bystander)
	again.OfHash = g.OfHash
	is(t, "what was redeemed before", insertGrant(t, s, again), proof.ErrStale)
	equal(t, "purged", purgeFederation(t, s, "t1", when.Add(time.Microsecond)), 2) // the two sessions
}

// testEraseAgainstGrants: whoever issues something at the same time as somebody erases is
// either first, and swept away, or refused.
func testEraseAgainstGrants(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for range 10 {
		p := subject("t1")
		put(t, stores[0], p)
		v, g := federationSession(p), grant(p)
		var wg sync.WaitGroup
		wg.Go(func() {
			ok(t, stores[0].Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start) }))
		})
		wg.Go(func() {
			err := tryFederation(t, stores[1], func(tx federation.Tx) error {
				if err := tx.InsertFederationSession(v); err != nil {
					return err
				}
				return tx.InsertGrant(g)
			})
			if err != nil && !errors.Is(err, proof.ErrNotFound) {
				t.Error(err)
			}
		})
		wg.Wait()
		viewFederation(t, stores[0], func(tx federation.Tx) error {
			if left, err := tx.FederationSessionByID("t1", v.ID); err == nil && (left.Sealed != nil || left.Hash != nil || left.EndedAt.IsZero()) {
				t.Error("a session outlived the erasure")
			}
			if left, err := tx.GrantByOf("t1", g.OfHash); err == nil && (left.Sealed != nil || left.TokenHash != nil || left.RevokedAt.IsZero()) {
				t.Error("a grant outlived the erasure")
			}
			return nil
		})
	}
}

// testFederationTransactions: what is said of Update and View holds, and what the
// journey stores is seen, and the other way round.
func testFederationTransactions(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	v := verification(p)
	put(t, s, p, v)
	a := &proof.Assurance{ID: id(), Tenant: "t1", Subject: p.ID, Verification: v.ID, Level: "IAL2", GrantedAt: start}
	update(t, s, func(tx journey.Tx) error { return tx.InsertAssurance(a) })
	g, mine := grant(p), errors.New("mine")
	is(t, "failed", tryFederation(t, s, func(tx federation.Tx) error { return errors.Join(tx.InsertGrant(g), mine) }), mine)
	_, err := asked(t, s, func(tx federation.Tx) (*federation.Grant, error) { return tx.GrantByOf("t1", g.OfHash) })
	is(t, "of a failed transaction", err, proof.ErrNotFound)
	if err := s.ViewFederation(t.Context(), func(tx federation.Tx) error { _ = tx.InsertGrant(g); return nil }); err == nil {
		t.Error("wrote in a view")
	}
	j := &proof.Job{ID: id(), Tenant: "t1", Kind: "k", Key: "key", RunAt: start}
	updateFederation(t, s, func(tx federation.Tx) error {
		got, err := tx.Subject("t1", p.ID)
		equal(t, "subject", got, p)
		byLookup, e := tx.SubjectByLookup("t1", p.Lookup)
		equal(t, "by lookup", byLookup, p)
		as, e2 := tx.AssurancesOf("t1", p.ID)
		equal(t, "assurances", as, []*proof.Assurance{a})
		vs, e3 := tx.VerificationsOf("t1", p.ID)
		equal(t, "verifications", vs, []*proof.Verification{v})
		stored, e4 := tx.PutSecretIfAbsent("t1", "name", []byte("sealed"))
		equal(t, "secret", stored, []byte("sealed"))
		return errors.Join(err, e, e2, e3, e4, tx.InsertGrant(g), tx.Enqueue(j), tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", At: start, Object: "grant"}))
	})
	secret := told(t, s, func(tx federation.Tx) ([]byte, error) { return tx.Secret("t1", "name") })
	equal(t, "secret", bytes.Equal(secret, []byte("sealed")), true)
	equal(t, "jobs", len(claim(t, s, "x", start, 10)), 1)
	view(t, s, func(tx journey.Tx) error {
		trail, err := tx.AuditOf("t1", "grant")
		equal(t, "audit records", len(trail), 1)
		return err
	})
	for what, bad := range map[string]error{
		"text":   tryFederation(t, s, func(tx federation.Tx) error { b := grant(p); b.Scope = "nul\x00"; return tx.InsertGrant(b) }),
		"asking": s.ViewFederation(t.Context(), func(tx federation.Tx) error { _, err := tx.FederationSessionByID("t1", "\xff"); return err }),
	} {
		equal(t, what, proof.CodeOf(bad), proof.CodeInvalid)
	}
}
