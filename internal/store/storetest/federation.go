package storetest

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func hashOf(what string) []byte {
	h := sha256.Sum256([]byte(what))
	return h[:]
}

func federationSession(p *proof.Subject) *federation.Session {
	i := id()
	return &federation.Session{
		ID: i, Hash: hashOf(i), Tenant: p.Tenant, Client: "rp", Subject: p.ID, Challenge: id(), Verification: id(),
		AuthTime: start, CreatedAt: start, ExpiresAt: start.Add(time.Hour), Sealed: []byte("sealed notes"),
	}
}

func grant(p *proof.Subject) *federation.Grant {
	i := id()
	return &federation.Grant{
		ID: i, Family: i, Tenant: p.Tenant, Client: "rp", Subject: p.ID, Session: id(), OfHash: hashOf("of " + i), TokenHash: hashOf("token " + i),
		Sealed: []byte("sealed claims"), Scope: "openid", IssuedAt: start, ExpiresAt: start.Add(time.Hour), KeepUntil: start.Add(2 * time.Hour),
	}
}

func pushed(kind, secret string) *federation.Pushed {
	return &federation.Pushed{Tenant: "t1", Kind: kind, Hash: hashOf(secret), Client: "rp", Sealed: []byte("sealed request"), CreatedAt: start, ExpiresAt: start.Add(time.Minute)}
}

func federationKey(use, alg string, state federation.KeyState) *federation.Key {
	return &federation.Key{ID: id(), Tenant: "t1", Use: use, Alg: alg, State: state, Public: []byte("public"), Sealed: []byte("sealed key"), CreatedAt: start, ChangedAt: start}
}

func storedClient(id string) *federation.StoredClient {
	return &federation.StoredClient{
		Client:    federation.Client{ID: id, Tenant: "t1", Protocol: federation.OIDC, Name: "Shop"},
		Secrets:   []federation.Secret{{ID: "1", Hash: hashOf("1"), CreatedAt: start}},
		CreatedAt: start, UpdatedAt: start,
	}
}

func tryFederation(t *testing.T, s Store, fn func(federation.Tx) error) error {
	return s.UpdateFederation(t.Context(), fn)
}

func updateFederation(t *testing.T, s Store, fn func(federation.Tx) error) {
	t.Helper()
	ok(t, tryFederation(t, s, fn))
}

func viewFederation(t *testing.T, s Store, fn func(federation.Tx) error) {
	t.Helper()
	ok(t, s.ViewFederation(t.Context(), fn))
}

// asked is what one question is answered with.
func asked[T any](t *testing.T, s Store, ask func(federation.Tx) (T, error)) (v T, err error) {
	t.Helper()
	err = s.ViewFederation(t.Context(), func(tx federation.Tx) (err error) { v, err = ask(tx); return err })
	return v, err
}

// told is asked where there must be an answer.
func told[T any](t *testing.T, s Store, ask func(federation.Tx) (T, error)) T {
	t.Helper()
	v, err := asked(t, s, ask)
	ok(t, err)
	return v
}

func insertSession(t *testing.T, s Store, v *federation.Session) error {
	return tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertFederationSession(v) })
}

func readSession(t *testing.T, s Store, id string) *federation.Session {
	t.Helper()
	return told(t, s, func(tx federation.Tx) (*federation.Session, error) { return tx.FederationSessionByID("t1", id) })
}

func testFederationSessions(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	put(t, s, p)
	put(t, s, elsewhere)
	v, foreign := federationSession(p), federationSession(elsewhere)
	foreign.ID, foreign.Hash = v.ID, v.Hash // both are of a tenant
	ok(t, insertSession(t, s, v))
	ok(t, insertSession(t, s, foreign))
	viewFederation(t, s, func(tx federation.Tx) error {
		byHash, err := tx.FederationSession("t1", v.Hash)
		equal(t, "by hash", byHash, v)
		byID, e := tx.FederationSessionByID("t1", v.ID)
		equal(t, "by id", byID, v)
		other, e2 := tx.FederationSession("t2", v.Hash)
		equal(t, "another tenant's", other, foreign)
		for _, hash := range [][]byte{hashOf("none"), {}, nil} {
			_, missing := tx.FederationSession("t1", hash)
			is(t, "unknown hash", missing, proof.ErrNotFound)
		}
		_, missing := tx.FederationSession("t3", v.Hash)
		is(t, "a third tenant's hash", missing, proof.ErrNotFound)
		_, missing = tx.FederationSessionByID("t3", v.ID)
		is(t, "a third tenant's id", missing, proof.ErrNotFound)
		return errors.Join(err, e, e2)
	})

	sameID, sameHash := federationSession(p), federationSession(p)
	sameID.ID, sameHash.Hash = v.ID, v.Hash
	is(t, "same id", insertSession(t, s, sameID), proof.ErrStale)
	is(t, "same hash", insertSession(t, s, sameHash), proof.ErrStale)
	is(t, "no subject", insertSession(t, s, federationSession(subject("t1"))), proof.ErrNotFound)
	foreignSubject := federationSession(elsewhere)
	foreignSubject.Tenant = "t1"
	is(t, "another tenant's subject", insertSession(t, s, foreignSubject), proof.ErrNotFound)
	for what, hash := range map[string][]byte{"none": nil, "empty": {}, "short": v.Hash[:31]} {
		bad := federationSession(p)
		bad.Hash = hash
		if insertSession(t, s, bad) == nil {
			t.Errorf("a hash was stored: %s", what)
		}
	}

	end := func(tenant, id string, at time.Time) error {
		return tryFederation(t, s, func(tx federation.Tx) error { return tx.EndFederationSession(tenant, id, at) })
	}
	ended := start.Add(time.Minute)
	ok(t, end("t1", v.ID, ended))
	ok(t, end("t1", v.ID, ended.Add(time.Second))) // the first time stands
	v.EndedAt = ended
	equal(t, "ended", readSession(t, s, v.ID), v)
	equal(t, "another tenant's is not", told(t, s, func(tx federation.Tx) (*federation.Session, error) { return tx.FederationSessionByID("t2", v.ID) }), foreign)
	is(t, "unknown", end("t1", "none", ended), proof.ErrNotFound)
	is(t, "a third tenant's", end("t3", v.ID, ended), proof.ErrNotFound)
}

func insertGrant(t *testing.T, s Store, g *federation.Grant) error {
	return tryFederation(t, s, func(tx federation.Tx) error { return tx.InsertGrant(g) })
}

func grantBy(t *testing.T, s Store, g *federation.Grant) *federation.Grant {
	t.Helper()
	return told(t, s, func(tx federation.Tx) (*federation.Grant, error) { return tx.GrantByOf(g.Tenant, g.OfHash) })
}

func testGrants(t *testing.T, o Opener) {
	s := open(t, o)
	p, q, elsewhere := subject("t1"), subject("t1"), subject("t2")
	for _, p := range []*proof.Subject{p, q, elsewhere} {
		put(t, s, p)
	}
	g, foreign := grant(p), grant(elsewhere)
	foreign.ID, foreign.Family, foreign.OfHash, foreign.TokenHash = g.ID, g.Family, g.OfHash, g.TokenHash
	ok(t, insertGrant(t, s, g))
	ok(t, insertGrant(t, s, foreign))
	viewFederation(t, s, func(tx federation.Tx) error {
		byOf, err := tx.GrantByOf("t1", g.OfHash)
		equal(t, "by what was redeemed", byOf, g)
		byToken, e := tx.GrantByToken("t1", g.TokenHash)
		equal(t, "by token", byToken, g)
		for what, hash := range map[string][]byte{"unknown": hashOf("none"), "empty": {}, "none": nil} {
			_, missing := tx.GrantByOf("t1", hash)
			is(t, what, missing, proof.ErrNotFound)
			_, missing = tx.GrantByToken("t1", hash)
			is(t, what, missing, proof.ErrNotFound)
		}
		_, missing := tx.GrantByOf("t3", g.OfHash)
		is(t, "a third tenant's", missing, proof.ErrNotFound)
		_, missing = tx.GrantByToken("t3", g.TokenHash)
		is(t, "a third tenant's token", missing, proof.ErrNotFound)
		return errors.Join(err, e)
	})

	again := grant(q)
	again.Client, again.OfHash = "another", g.OfHash
	is(t, "redeemed again, by another client and for somebody else", insertGrant(t, s, again), proof.ErrStale)
	sameToken := grant(p)
	sameToken.TokenHash = g.TokenHash
	is(t, "the same token", insertGrant(t, s, sameToken), proof.ErrStale)
	// The refusal is told at once, and leaves the transaction usable: to revoke.
	updateFederation(t, s, func(tx federation.Tx) error {
		is(t, "redeemed again", tx.InsertGrant(again), proof.ErrStale)
		there, err := tx.GrantByOf("t1", again.OfHash)
		equal(t, "what is there", there, g)
		return err
	})
	is(t, "no subject", insertGrant(t, s, grant(subject("t1"))), proof.ErrNotFound)
	for range 2 { // without an access token
		bare := grant(p)
		bare.TokenHash, bare.Sealed = nil, nil
		ok(t, insertGrant(t, s, bare))
		equal(t, "without a token", grantBy(t, s, bare), bare)
	}
	for what, hash := range map[string][]byte{"none": nil, "short": g.OfHash[:31]} {
		bad := grant(p)
		bad.OfHash = hash
		if insertGrant(t, s, bad) == nil {
			t.Errorf("a hash was stored: %s", what)
		}
	}
}

func testGrantFamilies(t *testing.T, o Opener) {
	s := open(t, o)
	p, elsewhere := subject("t1"), subject("t2")
	put(t, s, p)
	put(t, s, elsewhere)
	first, second, other, foreign := grant(p), grant(p), grant(p), grant(elsewhere)
	second.Family, foreign.Family = first.ID, first.ID
	for _, g := range []*federation.Grant{first, second, other, foreign} {
		ok(t, insertGrant(t, s, g))
	}
	revoke := func(tenant string, at time.Time) (n int) {
		updateFederation(t, s, func(tx federation.Tx) (err error) { n, err = tx.RevokeGrants(tenant, first.ID, at); return err })
		return n
	}
	equal(t, "revoked of a third tenant", revoke("t3", start), 0)
	equal(t, "revoked", revoke("t1", start.Add(time.Second)), 2)
	equal(t, "revoked again", revoke("t1", start.Add(time.Minute)), 0)
	first.RevokedAt, second.RevokedAt = start.Add(time.Second), start.Add(time.Second)
	for _, g := range []*federation.Grant{first, second, other, foreign} {
		equal(t, "afterwards", grantBy(t, s, g), g)
	}
	late := grant(p)
	late.Family = first.ID
	is(t, "a refresh after that", insertGrant(t, s, late), proof.ErrStale)
	_, err := asked(t, s, func(tx federation.Tx) (*federation.Grant, error) { return tx.GrantByOf("t1", late.OfHash) })
	is(t, "is not stored", err, proof.ErrNotFound)
	late.Family = other.ID
	ok(t, insertGrant(t, s, late))
}

// Two handles, as two processes have them: what is redeemed many times at once is
// redeemed once, and the others are told so.
func testRedeemedOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	for round := range 5 {
		code := hashOf(fmt.Sprint(round))
		var won, lost atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				g := grant(p)
				g.OfHash = code
				err := tryFederation(t, stores[i%2], func(tx federation.Tx) error {
					if err := tx.InsertGrant(g); err != nil {
						return err
					}
					return tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", At: start, Actor: "caller:rp", Action: "grant", Object: fmt.Sprint("round:", round)})
				})
				switch {
				case err == nil:
					won.Add(1)
				case errors.Is(err, proof.ErrStale):
					lost.Add(1)
				default:
					t.Error(err)
				}
			})
		}
		wg.Wait()
		equal(t, "won and lost", []int32{won.Load(), lost.Load()}, []int32{1, 7})
		view(t, stores[0], func(tx journey.Tx) error {
			trail, err := tx.AuditOf("t1", fmt.Sprint("round:", round))
			equal(t, "audit records", len(trail), 1)
			return err
		})
	}
}

// A refresh at the same moment as a revocation is either first, and revoked, or
// refused.
func testRefreshAgainstRevocation(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	p := subject("t1")
	put(t, stores[0], p)
	for range 10 {
		first := grant(p)
		ok(t, insertGrant(t, stores[0], first))
		next := grant(p)
		next.Family = first.ID
		var wg sync.WaitGroup
		wg.Go(func() {
			ok(t, tryFederation(t, stores[0], func(tx federation.Tx) error { _, err := tx.RevokeGrants("t1", first.ID, start); return err }))
		})
		wg.Go(func() {
			if err := insertGrant(t, stores[1], next); err != nil && !errors.Is(err, proof.ErrStale) {
				t.Error(err)
			}
		})
		wg.Wait()
		g, err := asked(t, stores[0], func(tx federation.Tx) (*federation.Grant, error) { return tx.GrantByOf("t1", next.OfHash) })
		if err == nil && g.RevokedAt.IsZero() {
			t.Error("a refresh outlived the revocation of its family")
		}
	}
}

func use(t *testing.T, s Store, tenant, kind, what string, at, until time.Time) error {
	return tryFederation(t, s, func(tx federation.Tx) error { return tx.Use(tenant, kind, hashOf(what), at, until) })
}

func testUses(t *testing.T, o Opener) {
	s := open(t, o)
	until := start.Add(time.Minute)
	ok(t, use(t, s, "t1", "jti", "a", start, until))
	is(t, "again", use(t, s, "t1", "jti", "a", start, until), proof.ErrStale)
	is(t, "again, with another end", use(t, s, "t1", "jti", "a", until.Add(-time.Microsecond), until.Add(time.Hour)), proof.ErrStale)
	ok(t, use(t, s, "t1", "saml", "a", start, until)) // another kind
	ok(t, use(t, s, "t2", "jti", "a", start, until))  // another tenant
	ok(t, use(t, s, "t1", "jti", "b", start, until))
	ok(t, use(t, s, "t1", "jti", "a", until, until.Add(time.Minute))) // its time has passed
	is(t, "taken over", use(t, s, "t1", "jti", "a", until, until.Add(time.Hour)), proof.ErrStale)
	// The refusal is told at once, and leaves the transaction usable.
	updateFederation(t, s, func(tx federation.Tx) error {
		is(t, "again", tx.Use("t1", "jti", hashOf("b"), start, until), proof.ErrStale)
		return tx.Use("t1", "jti", hashOf("c"), start, until)
	})
	is(t, "stored after a refusal", use(t, s, "t1", "jti", "c", start, until), proof.ErrStale)
	if err := tryFederation(t, s, func(tx federation.Tx) error { return tx.Use("t1", "jti", nil, start, until) }); err == nil {
		t.Error("a use of nothing was stored")
	}
}

func testUsedOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for round, at := range []time.Time{start, start.Add(time.Minute), start.Add(2 * time.Minute)} { // the first time, and taken over
		var won atomic.Int32
		var wg sync.WaitGroup
		for i := range 8 {
			wg.Go(func() {
				switch err := use(t, stores[i%2], "t1", "jti", "a", at, at.Add(time.Minute)); {
				case err == nil:
					won.Add(1)
				case !errors.Is(err, proof.ErrStale):
					t.Error(err)
				}
			})
		}
		wg.Wait()
		equal(t, fmt.Sprint("uses in round ", round), won.Load(), int32(1))
	}
}
