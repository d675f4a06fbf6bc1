package console

import (
	"net/netip"
	"sync"
	"time"
)

// Wrong links per network and window. A secret of 256 bits is not guessed; this keeps
// whoever tries all the same from the database.
const (
	wrongLinks   = 10
	wrongWindow  = time.Minute
	wrongTracked = 4096 // networks; those beyond share one count
)

// wrongs counts wrong links by where they come from.
type wrongs struct {
	mu    sync.Mutex
	since time.Time
	count map[netip.Prefix]int
}

// wait is how long this network has to wait before it may try again; 0: not at all.
func (w *wrongs) wait(from netip.Addr, now time.Time) time.Duration {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roll(now)
	if w.count[w.key(from)] < wrongLinks {
		return 0
	}
	return w.since.Add(wrongWindow).Sub(now)
}

func (w *wrongs) add(from netip.Addr, now time.Time) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.roll(now)
	w.count[w.key(from)]++
}

// roll begins a new window when the old one is over, or the clock went back.
func (w *wrongs) roll(now time.Time) {
	if age := now.Sub(w.since); w.count == nil || age >= wrongWindow || age < 0 {
		w.since, w.count = now, map[netip.Prefix]int{}
	}
}

// key is the address, or of IPv6 the network that one household has.
func (w *wrongs) key(from netip.Addr) netip.Prefix {
	from = from.Unmap()
	bits := from.BitLen()
	if from.Is6() {
		bits = 64
	}
	k, _ := from.WithZone("").Prefix(bits) // the zero one for an address that nobody knows
	if _, seen := w.count[k]; !seen && len(w.count) >= wrongTracked {
		return netip.Prefix{}
	}
	return k
}
