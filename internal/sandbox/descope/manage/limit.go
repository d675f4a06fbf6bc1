package manage

import (
	"slices"
	"sync"
	"time"
)

// limit lets so many through within a time.
type limit struct {
	most   int
	within time.Duration

	mu    sync.Mutex
	times []time.Time
}

// take reports whether one more may go through now, else after how long.
func (l *limit) take(now time.Time) (after time.Duration, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.times = slices.DeleteFunc(l.times, func(t time.Time) bool { return !t.Add(l.within).After(now) })
	if len(l.times) >= l.most {
		return l.times[0].Add(l.within).Sub(now), false
	}
	l.times = append(l.times, now)
	return 0, true
}
