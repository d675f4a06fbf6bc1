package callers

import (
	"net/http"
	"net/netip"
	"sync"
	"time"
)

// A network may be refused refuseBurst times at once and then refuseEvery; more
// get 429. At most maxNetworks are remembered.
const (
	refuseBurst = 30
	refuseEvery = time.Second
	maxNetworks = 10_000
)

// limiter is a token bucket per network. A bucket is kept as the time at which
// it is full again, which is all that it needs.
type limiter struct {
	mu   sync.Mutex
	now  func() time.Time
	full map[netip.Prefix]time.Time
}

func newLimiter(now func() time.Time) *limiter {
	return &limiter{now: now, full: map[netip.Prefix]time.Time{}}
}

// take uses up one token of the address's network, or says how long to wait.
func (l *limiter) take(a netip.Addr) time.Duration {
	bits := 32
	if a = a.Unmap(); a.Is6() {
		bits = 64 // what one subscriber gets
	}
	network, _ := a.Prefix(bits)
	l.mu.Lock()
	defer l.mu.Unlock()
	now := l.now()
	if len(l.full) >= maxNetworks {
		for k, t := range l.full {
			if t.Before(now) {
				delete(l.full, k)
			}
		}
		for k := range l.full { // still full: forget any one
			if len(l.full) < maxNetworks {
				break
			}
			delete(l.full, k)
		}
	}
	full := l.full[network]
	if full.Before(now) {
		full = now
	}
	full = full.Add(refuseEvery)
	if over := full.Sub(now) - refuseBurst*refuseEvery; over > 0 {
		return over
	}
	l.full[network] = full
	return 0
}

func remoteAddr(r *http.Request) netip.Addr {
	ap, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{} // one bucket for all that is unknown
	}
	return ap.Addr()
}
