package callers

import (
	"context"
	"crypto/sha256"
	"sync"
	"time"
)

// NonceStore remembers nonces. Use reports whether the key is new, and records
// it until then; of two calls with one key, in whatever process, exactly one may
// be told that it is new. An error refuses the request.
type NonceStore interface {
	Use(ctx context.Context, key string, until time.Time) (fresh bool, err error)
}

// DefaultNonceLimit is how many unexpired nonces are kept: with signatures that
// live five minutes, 333 signed calls a second. It takes about 10 MB when full.
const DefaultNonceLimit = 100_000

// MemoryNonces is a NonceStore for one process. It forgets at a restart, so a
// signature may then be replayed until it expires; and it is bounded: when full
// of unexpired nonces it refuses, because forgetting one would let it pass twice.
type MemoryNonces struct {
	mu    sync.Mutex
	now   func() time.Time
	limit int
	seen  map[[sha256.Size]byte]int64 // until, Unix seconds
	sweep time.Time
}

// NewMemoryNonces makes an empty store for at most limit unexpired nonces.
func NewMemoryNonces(limit int, now func() time.Time) *MemoryNonces {
	return &MemoryNonces{now: now, limit: limit, seen: map[[sha256.Size]byte]int64{}}
}

// Use implements NonceStore.
func (m *MemoryNonces) Use(_ context.Context, key string, until time.Time) (bool, error) {
	d := sha256.Sum256([]byte(key))
	m.mu.Lock()
	defer m.mu.Unlock()
	now := m.now()
	if now.After(m.sweep) {
		for k, u := range m.seen {
			if u < now.Unix() {
				delete(m.seen, k)
			}
		}
		m.sweep = now.Add(10 * time.Second)
	}
	if _, ok := m.seen[d]; ok {
		return false, nil
	}
	if len(m.seen) >= m.limit {
		return false, errNoncesFull
	}
	m.seen[d] = until.Unix() + 1
	return true, nil
}
