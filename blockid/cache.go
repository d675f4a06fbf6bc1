package blockid

import (
	"context"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"
)

// ttl is how long discovery answers are believed (1Kosmos' Node helper uses
// the same for all but two of them). Failures are not remembered.
const ttl = 10 * time.Minute

// entry is a cached value that says how long it is good.
type entry interface{ expiry() time.Time }

// cache holds values by key; concurrent misses of one key share one fetch.
type cache[V interface {
	comparable
	entry
}] struct {
	mu     sync.RWMutex
	values map[string]V
	flight singleflight.Group
}

// get returns the live value for key or fetches it. The fetch is detached from
// ctx, so that one impatient caller does not fail the others that wait for the
// same answer; it is bounded by timeout instead.
func (c *cache[V]) get(ctx context.Context, key string, now func() time.Time, timeout time.Duration, fetch func(context.Context) (V, error)) (V, error) {
	c.mu.RLock()
	v, ok := c.values[key]
	c.mu.RUnlock()
	if ok && now().Before(v.expiry()) {
		return v, nil
	}
	done := c.flight.DoChan(key, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), timeout)
		defer cancel()
		v, err := fetch(ctx)
		if err != nil {
			return nil, err
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.values == nil {
			c.values = make(map[string]V)
		}
		c.values[key] = v
		return v, nil
	})
	var zero V
	select {
	case <-ctx.Done():
		return zero, transportError(ctx, ctx.Err())
	case r := <-done:
		if r.Err != nil {
			return zero, r.Err
		}
		return r.Val.(V), nil
	}
}

// drop forgets old, unless it was replaced already; it reports whether it did.
func (c *cache[V]) drop(key string, old V) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if v, ok := c.values[key]; !ok || v != old {
		return false
	}
	delete(c.values, key)
	return true
}

// clear forgets everything.
func (c *cache[V]) clear() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.values)
}
