package store_test

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

func newGrant(subject string) *federation.Grant {
	id, now := uuid.Must(uuid.NewV7()).String(), time.Now()
	of, token := sha256.Sum256([]byte("code "+id)), sha256.Sum256([]byte("token "+id))
	return &federation.Grant{
		ID: id, Family: id, Tenant: "t", Client: "rp", Subject: subject, Session: id, OfHash: of[:], TokenHash: token[:], Sealed: bytes.Repeat([]byte("s"), 1500),
		Scope: "openid identity_assurance", IssuedAt: now, ExpiresAt: now.Add(5 * time.Minute), KeepUntil: now.Add(10 * time.Minute),
	}
}

// TestErasedFederationBytes is TestErasedBytes for what door B keeps.
func TestErasedFederationBytes(t *testing.T) {
	dir := t.TempDir()
	s := sqlite(t, filepath.Join(dir, "k.db"))
	g := newGrant("s")
	g.Sealed, g.TokenHash = bytes.Repeat([]byte("CLAIMS-TO-ERASE"), 500), []byte("TOKEN-TO-ERASE..................")
	key := &federation.Key{ID: "k", Tenant: "t", Use: "oidc", Alg: "ES256", State: federation.KeyRetiring, Public: []byte("p"), Sealed: []byte("PRIVATE-TO-ERASE")}
	err := s.UpdateFederation(t.Context(), func(tx federation.Tx) error {
		return errors.Join(tx.(journey.Tx).InsertSubject(&proof.Subject{ID: "s", Tenant: "t", WrappedKey: []byte("key")}), tx.InsertGrant(g), tx.InsertKey(key),
			tx.InsertFederationSession(&federation.Session{ID: "i", Tenant: "t", Subject: "s", Hash: []byte("COOKIE-TO-ERASE................."), Sealed: []byte("NOTES-TO-ERASE")}))
	})
	if err != nil {
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
	err = errors.Join(s.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("t", "s", time.Now()) }),
		s.UpdateFederation(t.Context(), func(tx federation.Tx) error {
			return tx.UpdateKeyState("t", "k", federation.KeyRetiring, federation.KeyRetired, time.Now())
		}))
	if err != nil {
		t.Fatal(err)
	}
	// The log is cut after the caller was told, and once a second at most.
	for end := time.Now().Add(time.Minute); found() != 0 && time.Now().Before(end); {
		<-time.After(20 * time.Millisecond)
	}
	if n := found(); n != 0 {
		t.Errorf("%d pieces left in the files", n)
	}
}

// A signing key, or a request that was left with us, is sealed under the master key: it
// must not be made anew then.
func TestNotEmpty(t *testing.T) {
	for name, insert := range map[string]func(federation.Tx) error{
		"key": func(tx federation.Tx) error {
			return tx.InsertKey(&federation.Key{ID: "k", Tenant: "t", Use: "oidc", Alg: "ES256", State: federation.KeyNext, Public: []byte("p"), Sealed: []byte("s")})
		},
		"pushed": func(tx federation.Tx) error {
			return tx.InsertPushed(&federation.Pushed{Tenant: "t", Kind: "par", Hash: bytes.Repeat([]byte("h"), 32), Sealed: []byte("s")})
		},
	} {
		s := sqlite(t, filepath.Join(t.TempDir(), "k.db"))
		if empty, err := s.Empty(t.Context()); err != nil || !empty {
			t.Errorf("%s: empty before: %t, %v", name, empty, err)
		}
		if err := s.UpdateFederation(t.Context(), insert); err != nil {
			t.Fatal(err)
		}
		if empty, err := s.Empty(t.Context()); err != nil || empty {
			t.Errorf("%s: empty: %t, %v", name, empty, err)
		}
	}
}

// BenchmarkGrant measures what a sign-in through door B stores (a grant and an audit
// record) by so many concurrent callers.
func BenchmarkGrant(b *testing.B)         { benchmark(b, onSQLite, signIn) }
func BenchmarkGrantPostgres(b *testing.B) { benchmark(b, onPostgres, signIn) }

func signIn(b *testing.B, s *store.Store) func(journey.Tx) error {
	people := subjects(b, s, 500)
	return func(tx journey.Tx) error {
		id := uuid.Must(uuid.NewV7())
		g := newGrant(people[int(id[15])%len(people)])
		return errors.Join(tx.(federation.Tx).InsertGrant(g),
			tx.InsertAudit(&proof.AuditRecord{ID: id.String(), Tenant: "t", At: g.IssuedAt, Actor: "caller:rp", Action: "federation.granted", Object: "grant:" + g.ID}))
	}
}
