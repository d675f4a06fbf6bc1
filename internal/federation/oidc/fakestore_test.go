package oidc_test

import (
	"context"
	"slices"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// fakeStore is federation.Store in memory, one transaction at a time. A failed one
// leaves nothing behind.
type fakeStore struct {
	mu     sync.Mutex
	data   rows
	viewed func() // called once, after the next ViewFederation; nil: nothing
}

type rows struct {
	subjects map[string]proof.Subject // by tenant/id
	hits     []hit
	audit    []proof.AuditRecord
	jobs     []proof.Job
	secrets  map[string][]byte
	sessions []federation.Session
	grants   []federation.Grant
	pushed   []federation.Pushed
	uses     map[string]time.Time // until, by tenant/kind/hash
	clients  []federation.StoredClient
	version  int64
	keys     []federation.Key
}

type hit struct {
	tenant, limit, key string
	at                 time.Time
}

func newFakeStore() *fakeStore {
	return &fakeStore{data: rows{subjects: map[string]proof.Subject{}, secrets: map[string][]byte{}, uses: map[string]time.Time{}}}
}

func (r rows) clone() rows {
	c := r
	c.subjects, c.secrets, c.uses = map[string]proof.Subject{}, map[string][]byte{}, map[string]time.Time{}
	for k, v := range r.subjects {
		c.subjects[k] = v
	}
	for k, v := range r.secrets {
		c.secrets[k] = v
	}
	for k, v := range r.uses {
		c.uses[k] = v
	}
	c.hits = slices.Clone(r.hits)
	c.audit, c.jobs, c.sessions = slices.Clone(r.audit), slices.Clone(r.jobs), slices.Clone(r.sessions)
	c.grants, c.pushed, c.clients, c.keys = slices.Clone(r.grants), slices.Clone(r.pushed), slices.Clone(r.clients), slices.Clone(r.keys)
	return c
}

func (s *fakeStore) UpdateFederation(_ context.Context, fn func(federation.Tx) error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	next := s.data.clone()
	if err := fn((*fakeTx)(&next)); err != nil {
		return err
	}
	s.data = next
	return nil
}

func (s *fakeStore) ViewFederation(_ context.Context, fn func(federation.Tx) error) error {
	s.mu.Lock()
	copied, viewed := s.data.clone(), s.viewed
	s.viewed = nil
	s.mu.Unlock()
	err := fn((*fakeTx)(&copied))
	if viewed != nil {
		viewed()
	}
	return err
}

// read is a copy of what is stored, for a test to look at.
func (s *fakeStore) read() rows {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.data.clone()
}

// person adds a subject of tenant t1.
func (s *fakeStore) person(id string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.data.subjects[tenant+"/"+id] = proof.Subject{ID: id, Tenant: tenant}
}

type fakeTx rows

func (t *fakeTx) Subject(tenant, id string) (*proof.Subject, error) {
	s, ok := t.subjects[tenant+"/"+id]
	if !ok {
		return nil, proof.ErrNotFound
	}
	return &s, nil
}

func (t *fakeTx) SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error) {
	for _, s := range t.subjects {
		if s.Tenant == tenant && lookup != nil && slices.Equal(s.Lookup, lookup) {
			return &s, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) InsertSubject(s *proof.Subject) error {
	t.subjects[s.Tenant+"/"+s.ID] = *s
	return nil
}

func (t *fakeTx) Hit(tenant, limit string, key []byte, at time.Time) error {
	t.hits = append(t.hits, hit{tenant, limit, string(key), at})
	return nil
}

func (t *fakeTx) Hits(tenant, limit string, key []byte, since time.Time) (n int, err error) {
	for _, h := range t.hits {
		if h.tenant == tenant && h.limit == limit && h.key == string(key) && !h.at.Before(since) {
			n++
		}
	}
	return n, nil
}

func (t *fakeTx) AssurancesOf(string, string) ([]*proof.Assurance, error)       { return nil, nil }
func (t *fakeTx) VerificationsOf(string, string) ([]*proof.Verification, error) { return nil, nil }

func (t *fakeTx) InsertAudit(r *proof.AuditRecord) error { t.audit = append(t.audit, *r); return nil }
func (t *fakeTx) Enqueue(j *proof.Job) error             { t.jobs = append(t.jobs, *j); return nil }

func (t *fakeTx) Secret(tenant, name string) ([]byte, error) {
	if s, ok := t.secrets[tenant+"/"+name]; ok {
		return s, nil
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) PutSecretIfAbsent(tenant, name string, sealed []byte) ([]byte, error) {
	if s, ok := t.secrets[tenant+"/"+name]; ok {
		return s, nil
	}
	t.secrets[tenant+"/"+name] = sealed
	return sealed, nil
}

func (t *fakeTx) InsertFederationSession(s *federation.Session) error {
	t.sessions = append(t.sessions, *s)
	return nil
}

func (t *fakeTx) FederationSession(tenant string, hash []byte) (*federation.Session, error) {
	for _, s := range t.sessions {
		if s.Tenant == tenant && slices.Equal(s.Hash, hash) {
			return &s, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) FederationSessionByID(tenant, id string) (*federation.Session, error) {
	for _, s := range t.sessions {
		if s.Tenant == tenant && s.ID == id {
			return &s, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) EndFederationSession(tenant, id string, at time.Time) error {
	for i, s := range t.sessions {
		if s.Tenant == tenant && s.ID == id {
			if s.EndedAt.IsZero() {
				t.sessions[i].EndedAt = at
			}
			return nil
		}
	}
	return proof.ErrNotFound
}

func (t *fakeTx) InsertGrant(g *federation.Grant) error {
	for _, o := range t.grants {
		if o.Tenant == g.Tenant && slices.Equal(o.OfHash, g.OfHash) {
			return proof.ErrStale
		}
	}
	t.grants = append(t.grants, *g)
	return nil
}

func (t *fakeTx) GrantByOf(tenant string, ofHash []byte) (*federation.Grant, error) {
	for _, g := range t.grants {
		if g.Tenant == tenant && slices.Equal(g.OfHash, ofHash) {
			return &g, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) GrantByToken(tenant string, tokenHash []byte) (*federation.Grant, error) {
	for _, g := range t.grants {
		if g.Tenant == tenant && slices.Equal(g.TokenHash, tokenHash) {
			return &g, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) RevokeGrants(tenant, family string, at time.Time) (n int, err error) {
	for i, g := range t.grants {
		if g.Tenant == tenant && g.Family == family && g.RevokedAt.IsZero() {
			t.grants[i].RevokedAt = at
			n++
		}
	}
	return n, nil
}

func (t *fakeTx) Use(tenant, kind string, hash []byte, at, until time.Time) error {
	key := tenant + "/" + kind + "/" + string(hash)
	if u, ok := t.uses[key]; ok && at.Before(u) {
		return proof.ErrStale
	}
	t.uses[key] = until
	return nil
}

func (t *fakeTx) InsertPushed(p *federation.Pushed) error {
	if _, err := t.Pushed(p.Tenant, p.Kind, p.Hash); err == nil {
		return proof.ErrStale
	}
	t.pushed = append(t.pushed, *p)
	return nil
}

func (t *fakeTx) Pushed(tenant, kind string, hash []byte) (*federation.Pushed, error) {
	for _, p := range t.pushed {
		if p.Tenant == tenant && p.Kind == kind && slices.Equal(p.Hash, hash) {
			return &p, nil
		}
	}
	return nil, proof.ErrNotFound
}

func (t *fakeTx) UpdatePushed(p *federation.Pushed) error {
	for i, o := range t.pushed {
		if o.Tenant == p.Tenant && o.Kind == p.Kind && slices.Equal(o.Hash, p.Hash) {
			if o.Version != p.Version {
				return proof.ErrStale
			}
			p.Version++
			t.pushed[i] = *p
			return nil
		}
	}
	return proof.ErrNotFound
}

// Clients and keys are not stored here: fakeCore and fakeKeys have them.
func (t *fakeTx) Clients(string) ([]*federation.StoredClient, error) { return nil, nil }
func (t *fakeTx) ClientsVersion(string) (int64, error)               { return t.version, nil }
func (t *fakeTx) InsertClient(*federation.StoredClient) error        { return proof.ErrStale }
func (t *fakeTx) UpdateClient(*federation.StoredClient) error        { return proof.ErrNotFound }
func (t *fakeTx) DeleteClient(string, string) error                  { return proof.ErrNotFound }
func (t *fakeTx) Keys(string) ([]*federation.Key, error)             { return nil, nil }
func (t *fakeTx) InsertKey(*federation.Key) error                    { return proof.ErrStale }
func (t *fakeTx) UpdateKeyState(string, string, federation.KeyState, federation.KeyState, time.Time) error {
	return proof.ErrNotFound
}

func (t *fakeTx) PurgeFederation(string, time.Time) (int, error) { return 0, nil }
