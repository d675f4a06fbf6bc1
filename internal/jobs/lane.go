package jobs

import (
	"context"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Lane keeps the jobs of one destination from taking all workers, and from knocking
// without end where nobody answers.
//
//	        Failures failures in a row                  the pause is over
//	open ───────────────────────────────▶ closed ─────────────────────────▶ one trial
//	 ▲                                      ▲                                │     │
//	 │                                      └── failed, a longer pause ──────┘     │
//	 └────────────────────────────────────────── answered ─────────────────────────┘
//
// A job that finds no place runs again when there may be one, and its account does not
// change. What is known of a lane is each Runner's own: two of them use it twice.
type Lane struct {
	// Of says to which destination a job goes; empty: to none, it needs no place.
	Of func(ctx context.Context, j proof.Job) string
	// AtOnce is how many jobs of one lane run at a time; 4.
	AtOnce int
	// Failures in a row close the lane: errors that are Temporary, and what Unreachable
	// was told of; 5. Any other end shows that somebody answers.
	Failures int
	// Pause is how long a lane is closed at first, doubled each time up to MaxPause, with
	// jitter; 5 s and 5 min.
	Pause, MaxPause time.Duration
}

func (l Lane) withDefaults() Lane {
	if l.AtOnce <= 0 {
		l.AtOnce = 4
	}
	if l.Failures <= 0 {
		l.Failures = 5
	}
	if l.Pause <= 0 {
		l.Pause = 5 * time.Second
	}
	if l.MaxPause <= 0 {
		l.MaxPause = 5 * time.Minute
	}
	return l
}

// Unreachable tells the lane of the job that runs under ctx that its destination failed,
// for handlers that plan another try themselves and so return no error.
func Unreachable(ctx context.Context) {
	if u, ok := ctx.Value(unreachableKey{}).(*unreachable); ok {
		u.mu.Lock()
		u.told = true
		u.mu.Unlock()
	}
}

type unreachableKey struct{}

type unreachable struct {
	mu   sync.Mutex
	told bool
}

func (u *unreachable) was() bool {
	u.mu.Lock()
	defer u.mu.Unlock()
	return u.told
}

const (
	// lanesKept is how many lanes are remembered before those are looked for of which
	// nothing has to be.
	lanesKept = 10_000
	// turnedAway is how long at most a job waits that found a lane full.
	turnedAway = time.Minute
)

// lanes are those of one kind of jobs.
type lanes struct {
	Lane
	mu   sync.Mutex
	open map[string]*lane
}

// lane is one destination.
type lane struct {
	running  int
	failures int           // in a row
	closed   time.Time     // until then; zero: it is open
	pause    time.Duration // the last one
	trial    bool          // one job tries whether the lane can be opened
	took     time.Duration // a job, of late
	slot     time.Time     // when the last job that was turned away may come again
}

// enter takes a place for a job, or says when to come again.
func (ls *lanes) enter(name string, now time.Time) (again time.Time, ok bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[name]
	if l == nil {
		if len(ls.open) >= lanesKept {
			ls.tidy(now)
		}
		l = &lane{}
		ls.open[name] = l
	}
	earliest := now
	switch {
	case now.Before(l.closed) && l.closed.Sub(now) <= ls.MaxPause: // further off: the clock was set back
		earliest = l.closed
	case l.trial, l.running >= ls.AtOnce:
	default:
		l.trial = !l.closed.IsZero()
		l.running++
		return time.Time{}, true
	}
	// Those who are turned away come back one after the other, about as fast as the
	// lane can take them.
	step := min(max(l.took/time.Duration(ls.AtOnce), 5*time.Millisecond), 10*time.Second)
	if l.slot.Before(earliest) {
		l.slot = earliest
	}
	if l.slot = l.slot.Add(step); l.slot.After(earliest.Add(turnedAway)) {
		l.slot = earliest.Add(turnedAway)
	}
	return l.slot, false
}

// leave gives the place back.
func (ls *lanes) leave(name string, now time.Time, took time.Duration, failed bool) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[name]
	l.running--
	l.took += (took - l.took) / 4
	tried := l.trial
	switch {
	case !failed:
		l.failures, l.closed, l.pause, l.trial = 0, time.Time{}, 0, false
		// Who was sent away for long because of the failures comes when told; new ones at once.
		l.slot = time.Time{}
	case tried || l.closed.IsZero():
		// Those that had begun before the lane was closed prove nothing new.
		l.failures++
		l.trial = false
		if tried || l.failures >= ls.Failures {
			l.pause = min(max(2*l.pause, ls.Pause), ls.MaxPause)
			l.closed = now.Add(upperHalf(l.pause))
		}
	}
	if l.running == 0 && l.failures == 0 && l.took < 100*time.Millisecond && !l.slot.After(now) {
		delete(ls.open, name)
	}
}

// release gives a place back that was not used.
func (ls *lanes) release(name string) {
	ls.mu.Lock()
	defer ls.mu.Unlock()
	l := ls.open[name]
	l.running--
	l.trial = false
}

// tidy forgets lanes in which nothing happens; the pause of one that was closed is over.
func (ls *lanes) tidy(now time.Time) {
	for name, l := range ls.open {
		if l.running == 0 && !now.Before(l.closed) {
			delete(ls.open, name)
		}
	}
}
