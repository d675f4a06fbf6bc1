//go:build linux

package main

import (
	"context"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

// stream is a sequence of calls at a constant rate.
type stream struct {
	name string
	kind func(i int) string // what call i is one of; "" if all are alike
	call func(ctx context.Context, i int) error
}

// figures are those of one stream, or of one kind of call in it. Times are in
// milliseconds. Latency counts from the time at which a call was due, whether
// or not earlier calls had been answered, until the whole answer was read: what
// waits behind a stall is counted with its wait.
type figures struct {
	Call        string  `json:"call"`
	Kind        string  `json:"kind,omitempty"`
	Calls       int64   `json:"calls"`
	Errors      int64   `json:"errors"`
	Offered     float64 `json:"offered_per_s"`
	Achieved    float64 `json:"achieved_per_s"`   // answered well, up to the last answer
	MaxInFlight int     `json:"max_in_flight"`    // calls under way at once in this stream
	P50         float64 `json:"p50_ms"`           //
	P90         float64 `json:"p90_ms"`           //
	P99         float64 `json:"p99_ms"`           //
	Max         float64 `json:"max_ms"`           //
	LateP99     float64 `json:"sent_late_p99_ms"` // how late this program itself was; part of the latency
	FirstError  string  `json:"first_error,omitempty"`
}

// drive runs the streams side by side, each at rate calls a second for the
// duration. The schedule is fixed beforehand; the streams take turns within it.
// sleep is the last, precise part of waiting for a call to be due.
func drive(ctx context.Context, rate float64, duration time.Duration, sleep func(time.Duration), streams ...stream) []figures {
	recorders := make([]*recorder, len(streams))
	interval := time.Duration(float64(time.Second) / rate)
	calls := int(duration / interval)
	begin := time.Now().Add(10 * time.Millisecond)
	var all sync.WaitGroup
	for k, s := range streams {
		r := newRecorder(s, begin)
		recorders[k] = r
		offset := interval * time.Duration(k) / time.Duration(len(streams))
		all.Go(func() {
			runtime.LockOSThread() // who sleeps in the kernel is not to be waited for by others
			defer runtime.UnlockOSThread()
			for i := range calls {
				due := begin.Add(offset + time.Duration(i)*interval)
				if !wait(ctx, due, sleep) {
					return
				}
				r.sent()
				all.Go(func() {
					late := time.Since(due)
					err := s.call(ctx, i)
					r.answered(i, late, time.Since(due), err)
				})
			}
		})
	}
	all.Wait()
	var out []figures
	for _, r := range recorders {
		out = append(out, r.figures(rate)...)
	}
	return out
}

// wait returns at the given time, or with false when ctx ends before.
func wait(ctx context.Context, t time.Time, sleep func(time.Duration)) bool {
	const fine = 2 * time.Millisecond // Go's timers are late by up to one
	if coarse := time.Until(t) - fine; coarse > 0 {
		select {
		case <-ctx.Done():
			return false
		case <-time.After(coarse):
		}
	}
	for rest := time.Until(t); rest > 0; rest = time.Until(t) { // a signal ends a sleep early
		sleep(rest)
	}
	return ctx.Err() == nil
}

// nanosleep sleeps in the kernel, which wakes a thread within some 0.1 ms.
func nanosleep(d time.Duration) {
	t := syscall.NsecToTimespec(int64(d))
	_ = syscall.Nanosleep(&t, nil)
}

// recorder takes the answers of one stream.
type recorder struct {
	stream stream
	begin  time.Time

	mu            sync.Mutex
	inFlight, max int
	kinds         map[string]*series
}

// series is what was seen of one kind.
type series struct {
	latency, late *hdrhistogram.Histogram // microseconds
	errors        int64
	first         error
	last          time.Time
}

func newSeries() *series {
	h := func() *hdrhistogram.Histogram { return hdrhistogram.New(1, time.Minute.Microseconds(), 3) }
	return &series{latency: h(), late: h()}
}

func newRecorder(s stream, begin time.Time) *recorder {
	return &recorder{stream: s, begin: begin, kinds: map[string]*series{}}
}

func (r *recorder) sent() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight++
	r.max = max(r.max, r.inFlight)
}

func (r *recorder) answered(i int, late, latency time.Duration, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.inFlight--
	names := []string{""}
	if r.stream.kind != nil {
		names = append(names, r.stream.kind(i))
	}
	for _, name := range names {
		s := r.kinds[name]
		if s == nil {
			s = newSeries()
			r.kinds[name] = s
		}
		s.late.RecordValue(bounded(late))
		if err != nil { // counted, not timed: a refusal is often quick
			s.errors++
			if s.first == nil {
				s.first = err
			}
			continue
		}
		s.latency.RecordValue(bounded(latency))
		s.last = time.Now()
	}
}

// bounded keeps to what the histograms hold; a call is given up before that.
func bounded(d time.Duration) int64 {
	return min(max(d.Microseconds(), 1), time.Minute.Microseconds())
}

// figures gives those of the whole stream first, then those of each kind.
func (r *recorder) figures(rate float64) []figures {
	r.mu.Lock()
	defer r.mu.Unlock()
	var names []string
	var all int64
	for name, s := range r.kinds {
		names = append(names, name)
		if name == "" {
			all = s.latency.TotalCount() + s.errors
		}
	}
	slices.Sort(names)
	var out []figures
	for _, name := range names {
		s := r.kinds[name]
		good := s.latency.TotalCount()
		ms := func(h *hdrhistogram.Histogram, q float64) float64 { return float64(h.ValueAtQuantile(q)) / 1000 }
		f := figures{
			Call: r.stream.name, Kind: name, Calls: good + s.errors, Errors: s.errors,
			Offered: rate * float64(good+s.errors) / float64(all), MaxInFlight: r.max,
			P50: ms(s.latency, 50), P90: ms(s.latency, 90), P99: ms(s.latency, 99), Max: ms(s.latency, 100),
			LateP99: ms(s.late, 99),
		}
		if good > 0 {
			f.Achieved = float64(good) / max(s.last.Sub(r.begin).Seconds(), float64(all)/rate)
		}
		if s.first != nil {
			f.FirstError = s.first.Error()
		}
		out = append(out, f)
	}
	return out
}
