package descope

import (
	"context"
	"errors"
	"sync"
	"time"
)

// Limits is how many requests a minute a Client makes at most; zero is the default,
// which keeps below what Descope documents for a project: 500 a minute to most paths of
// users, 100 to others, 10 searches of the audit trail. Descope counts for the project,
// a Client for itself: whoever has several processes at one project divides.
type Limits struct {
	Users    int // loading and patching users; default 480
	Others   int // everything else but Searches; default 96
	Searches int // of the audit trail; default 10
}

const (
	defaultUsers    = 480
	defaultOthers   = 96
	defaultSearches = 10
)

// limiter lets requests through.
type limiter interface {
	// take waits until a request may be made, and reports for how long the caller should
	// come back later instead (refused with it). done is to be called after the answer.
	take(ctx context.Context) (done func(), later time.Duration, ok bool)
	// hold lets nothing through for a time: Descope has said so.
	hold(d time.Duration)
}

// held is until when Descope wants to be left alone.
type held struct{ until time.Time }

func (h *held) hold(now time.Time, d time.Duration) {
	if until := now.Add(d); until.After(h.until) {
		h.until = until
	}
}

// bucket is a token bucket: so many at once, and a steady flow after that, which
// together are the limit of every minute.
type bucket struct {
	mu     sync.Mutex
	burst  float64
	rate   float64 // tokens a second
	tokens float64 // below zero: those who wait
	at     time.Time
	held   held
}

func newBucket(minute int) *bucket {
	burst := max(1, minute/8)
	return &bucket{burst: float64(burst), rate: float64(max(1, minute-burst)) / 60, tokens: float64(burst)}
}

// refill brings tokens up to now. The caller has the lock.
func (b *bucket) refill(now time.Time) {
	if !b.at.IsZero() && now.After(b.at) { // a clock that is put back gives nothing
		b.tokens = min(b.burst, b.tokens+now.Sub(b.at).Seconds()*b.rate)
	}
	b.at = now
}

func (b *bucket) take(ctx context.Context) (func(), time.Duration, bool) {
	b.mu.Lock()
	now := time.Now()
	b.refill(now)
	wait := max(0, b.held.until.Sub(now))
	if need := 1 - b.tokens; need > 0 {
		wait = max(wait, time.Duration(need/b.rate*float64(time.Second)))
	}
	if tooLong(ctx, wait) {
		b.mu.Unlock()
		return nil, wait, false
	}
	b.tokens--
	b.mu.Unlock()
	if !sleep(ctx, wait) {
		b.mu.Lock()
		b.tokens++
		b.mu.Unlock()
		return nil, 0, false
	}
	return func() {}, 0, true
}

func (b *bucket) hold(d time.Duration) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.held.hold(time.Now(), d)
}

// window lets so many through in every minute. A request counts until a minute after its
// answer, as nobody knows when Descope counted it.
type window struct {
	mu      sync.Mutex
	most    int
	flying  int
	answers []time.Time
	held    held
}

func (w *window) take(ctx context.Context) (func(), time.Duration, bool) {
	for {
		w.mu.Lock()
		now := time.Now()
		for len(w.answers) > 0 && now.Sub(w.answers[0]) >= time.Minute {
			w.answers = w.answers[1:]
		}
		wait := max(0, w.held.until.Sub(now))
		if w.flying+len(w.answers) >= w.most {
			if len(w.answers) > 0 {
				wait = max(wait, w.answers[0].Add(time.Minute).Sub(now))
			} else {
				wait = max(wait, time.Minute)
			}
		}
		if ctx.Err() != nil {
			w.mu.Unlock()
			return nil, 0, false
		}
		if wait == 0 {
			w.flying++
			w.mu.Unlock()
			return sync.OnceFunc(w.landed), 0, true
		}
		w.mu.Unlock()
		if tooLong(ctx, wait) {
			return nil, wait, false
		}
		if !sleep(ctx, wait) {
			return nil, 0, false
		}
	}
}

func (w *window) landed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.flying--
	w.answers = append(w.answers, time.Now())
}

func (w *window) hold(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.held.hold(time.Now(), d)
}

// free lets everything through: a person waits in front of the browser for it.
type free struct{}

func (free) take(context.Context) (func(), time.Duration, bool) { return func() {}, 0, true }
func (free) hold(time.Duration)                                 {}

// tooLong reports whether a wait is rather the caller's than ours.
func tooLong(ctx context.Context, wait time.Duration) bool {
	if wait > maxWait {
		return true
	}
	deadline, ok := ctx.Deadline()
	return ok && time.Until(deadline) < wait
}

// sleep waits; false if the caller has gone.
func sleep(ctx context.Context, d time.Duration) bool {
	if d <= 0 {
		return ctx.Err() == nil
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
		return false
	}
}

var errPace = errors.New("descope: more requests than the project may make")

// unsent is the cause of an error before anything was sent.
type unsent struct{ error }

func (u unsent) Unwrap() error { return u.error }

// NotDone reports true: see NotDone.
func (unsent) NotDone() bool { return true }
