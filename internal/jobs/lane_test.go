package jobs_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var unreachable = &proof.Error{Code: proof.CodeUpstream, Temporary: true, Message: "no answer"}

// to is a job for a destination.
func to(destination string, n int) proof.Job {
	return proof.Job{ID: fmt.Sprintf("%s %03d", destination, n), Tenant: "t", Kind: "k", Key: destination, RunAt: time.Now()}
}

func byKey(_ context.Context, j proof.Job) string { return j.Key }

// settle waits until nothing goes on at this moment; what was written under mu may be
// read then.
func settle(mu *sync.Mutex) {
	synctest.Wait()
	mu.Lock()
	defer mu.Unlock()
}

func TestLaneIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(to("quick", 0))
		for i := range 40 {
			q.add(to("slow", i))
		}
		q.rows["quick 000"].due = time.Now().Add(time.Second)
		r := jobs.New(q, jobs.Options{Workers: 8})
		var mu sync.Mutex
		now, most, total := 0, 0, 0
		var quick time.Duration
		begin := time.Now()
		r.HandleAs("k", func(_ context.Context, j proof.Job) (time.Time, error) {
			if j.Attempts != 1 || j.LastError != "" {
				t.Errorf("turned away, and it is on the account: %+v", j)
			}
			if j.Key == "quick" {
				quick = time.Since(begin)
				return time.Time{}, nil
			}
			mu.Lock()
			now++
			total++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(2 * time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return time.Time{}, nil
		}, jobs.Kind{Lane: jobs.Lane{Of: byKey, AtOnce: 2}})
		stop := start(r)
		defer stop()
		time.Sleep(10 * time.Second)
		settle(&q.mu)
		if quick == 0 || quick > 1600*time.Millisecond {
			t.Errorf("another destination's ran after %v", quick)
		}
		time.Sleep(5 * time.Minute)
		settle(&q.mu)
		if most != 2 || total != 40 {
			t.Errorf("at most %d at once, %d in all", most, total)
		}
	})
}

// A destination that fails is left alone for longer and longer, others are not; once it
// answers, all is delivered. Jobs that are turned away do not come nearer to being dead.
func TestBreaker(t *testing.T) {
	for name, fail := range map[string]func(ctx context.Context) (time.Time, error){
		"a temporary error": func(context.Context) (time.Time, error) { return time.Time{}, unreachable },
		"a handler that plans by itself": func(ctx context.Context) (time.Time, error) {
			jobs.Unreachable(ctx)
			return time.Now().Add(time.Second), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue()
				for i := range 20 {
					q.add(to("down", i), to("up", i))
				}
				r := jobs.New(q, jobs.Options{Workers: 4, MaxFailures: 2, MaxBackoff: time.Second})
				begin := time.Now()
				var mu sync.Mutex
				var tries []time.Duration
				up, down := 0, 0
				r.HandleAs("k", func(ctx context.Context, j proof.Job) (time.Time, error) {
					mu.Lock()
					defer mu.Unlock()
					if j.Key == "up" {
						up++
						return time.Time{}, nil
					}
					if time.Since(begin) < time.Hour {
						tries = append(tries, time.Since(begin))
						return fail(ctx)
					}
					down++
					return time.Time{}, nil
				}, jobs.Kind{Lane: jobs.Lane{Of: byKey, AtOnce: 1, Failures: 3, Pause: 10 * time.Second, MaxPause: 4 * time.Minute}})
				stop := start(r)
				defer stop()
				time.Sleep(5 * time.Second)
				settle(&q.mu)
				seen := func() (int, int, []time.Duration) { // what comes at this very moment may come after it, too
					mu.Lock()
					defer mu.Unlock()
					return up, down, slices.Clone(tries)
				}
				if up, _, tries := seen(); up < 10 || len(tries) != 3 {
					t.Fatalf("%d delivered where somebody answers, %d tries where not", up, len(tries))
				}
				time.Sleep(time.Hour - 5*time.Second)
				settle(&q.mu)
				_, _, later := seen()
				for i := 3; i < len(later); i++ {
					pause, want := later[i]-later[i-1], min(10*time.Second<<(i-3), 4*time.Minute)
					if pause < want/2 || pause > want+2*time.Second {
						t.Errorf("trial %d came %v after the last, want %v to %v", i, pause, want/2, want)
					}
				}
				if len(later) < 15 {
					t.Errorf("%d tries within an hour", len(later))
				}
				time.Sleep(10 * time.Minute)
				settle(&q.mu)
				if _, down, _ := seen(); down != 20 || len(q.dead) != 0 || len(q.rows) != 0 {
					t.Errorf("%d delivered, %d dead, %d left", down, len(q.dead), len(q.rows))
				}
			})
		})
	}
}

// An answer that nobody likes is one.
func TestBreakerCountsOnlySilence(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 10 {
			q.add(to("x", i))
		}
		r := jobs.New(q, jobs.Options{Workers: 1, MaxFailures: 1})
		n := 0
		r.HandleAs("k", func(context.Context, proof.Job) (time.Time, error) {
			if n++; n%2 == 0 {
				return time.Time{}, unreachable
			}
			return time.Time{}, errors.New("no")
		}, jobs.Kind{Lane: jobs.Lane{Of: byKey, Failures: 2, Pause: time.Hour, MaxPause: time.Hour}})
		stop := start(r)
		defer stop()
		time.Sleep(time.Minute)
		settle(&q.mu)
		if len(q.dead)+len(q.rows) != 10 || len(q.dead) < 5 || n < 10 {
			t.Errorf("%d tries, %d dead", n, len(q.dead))
		}
	})
}

// A lane that was closed before the clock was set back is tried all the same.
func TestLaneAndClock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		var mu sync.Mutex
		back := time.Duration(0)
		now := func() time.Time {
			mu.Lock()
			defer mu.Unlock()
			return time.Now().Add(-back)
		}
		r := jobs.New(q, jobs.Options{Workers: 2, Now: now})
		down, done := true, map[string]bool{}
		r.HandleAs("k", func(_ context.Context, j proof.Job) (time.Time, error) {
			mu.Lock()
			defer mu.Unlock()
			if down {
				return time.Time{}, unreachable
			}
			done[j.ID] = true
			return time.Time{}, nil
		}, jobs.Kind{Lane: jobs.Lane{Of: byKey, Failures: 1, Pause: time.Minute, MaxPause: time.Minute}})
		q.add(to("x", 0))
		stop := start(r)
		defer stop()
		time.Sleep(time.Second)
		mu.Lock()
		back, down = 24*time.Hour, false
		mu.Unlock()
		later := to("x", 1)
		later.RunAt = now()
		q.add(later)
		r.Wake()
		time.Sleep(2 * time.Minute)
		settle(&mu)
		// The one from before may have been in hand at that moment, or wait for its old time.
		if !done[later.ID] {
			t.Errorf("after the clock was set back these are done, and not the one that came after that: %v", done)
		}
	})
}

// A trial that is cut short by the shutdown, or whose lease is lost, does not keep the
// lane closed for ever.
func TestTrialIsLost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(to("x", 0), to("x", 1))
		r := jobs.New(q, jobs.Options{Workers: 2})
		tries := 0
		r.HandleAs("k", func(ctx context.Context, j proof.Job) (time.Time, error) {
			tries++
			switch tries {
			case 1:
				return time.Time{}, unreachable
			case 2: // the trial
				q.mu.Lock()
				delete(q.rows, j.ID)
				q.mu.Unlock()
				<-ctx.Done()
				return time.Time{}, ctx.Err()
			}
			return time.Time{}, nil
		}, jobs.Kind{Lane: jobs.Lane{Of: byKey, AtOnce: 1, Failures: 1, Pause: 10 * time.Second}})
		stop := start(r)
		defer stop()
		time.Sleep(10 * time.Minute)
		settle(&q.mu)
		if len(q.rows) != 0 || tries != 3 {
			t.Errorf("%d tries, %d left", tries, len(q.rows))
		}
	})
}

func TestLaneOfPanics(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(to("x", 0), to("", 0))
		r := jobs.New(q, jobs.Options{})
		r.HandleAs("k", done, jobs.Kind{Lane: jobs.Lane{Of: func(_ context.Context, j proof.Job) string {
			if j.Key == "" {
				return ""
			}
			panic("ouch")
		}}})
		stop := start(r)
		defer stop()
		synctest.Wait()
		if len(q.rows) != 0 {
			t.Errorf("left: %v", q.rows)
		}
	})
}

// However many jobs of one tenant are due, and however long they take, another's does
// not wait for them.
func TestNoisyTenant(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 500 {
			q.add(proof.Job{ID: fmt.Sprintf("%03d", i), Tenant: "noisy", Kind: "k", RunAt: time.Now()})
		}
		r := jobs.New(q, jobs.Options{Workers: 8})
		var mu sync.Mutex
		var waited []time.Duration
		loud := 0
		r.Handle("k", func(_ context.Context, j proof.Job) (time.Time, error) {
			mu.Lock()
			if j.Tenant == "quiet" {
				waited = append(waited, time.Since(j.RunAt))
			} else {
				loud++
			}
			mu.Unlock()
			time.Sleep(10 * time.Second)
			return time.Time{}, nil
		})
		stop := start(r)
		defer stop()
		for i := range 10 {
			time.Sleep(11 * time.Second)
			q.add(proof.Job{ID: fmt.Sprint("quiet ", i), Tenant: "quiet", Kind: "k", RunAt: time.Now()})
			r.Wake()
			synctest.Wait()
		}
		time.Sleep(time.Minute)
		settle(&q.mu)
		for _, w := range waited {
			if w > 0 {
				t.Errorf("waited %v", w)
			}
		}
		// Nor does the share of the others idle for long: 7 of 8 workers are at it.
		if len(waited) != 10 || loud < 7*16 {
			t.Errorf("%d of the quiet tenant ran, and %d of the noisy one", len(waited), loud)
		}
	})
}

func TestPriorities(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i, kind := range []string{"bulk", "normal", "person", "bulk", "normal", "person"} {
			q.add(proof.Job{ID: fmt.Sprint(i), Tenant: "t", Kind: kind, RunAt: time.Now().Add(time.Duration(i))})
		}
		r := jobs.New(q, jobs.Options{Workers: 1})
		var order []string
		h := func(_ context.Context, j proof.Job) (time.Time, error) {
			order = append(order, j.Kind)
			time.Sleep(time.Second)
			return time.Time{}, nil
		}
		r.Handle("normal", h)
		r.HandleAs("bulk", h, jobs.Kind{Priority: jobs.Bulk})
		r.HandleAs("person", h, jobs.Kind{Priority: jobs.Person})
		time.Sleep(time.Second)
		settle(&q.mu)
		stop := start(r)
		defer stop()
		time.Sleep(time.Minute)
		settle(&q.mu)
		if fmt.Sprint(order) != "[person person normal normal bulk bulk]" {
			t.Errorf("in this order: %v", order)
		}
	})
}

// Where handlers are quick, jobs are claimed and finished many at a time.
func TestLargeBites(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 2000 {
			q.add(proof.Job{ID: fmt.Sprintf("%04d", i), Tenant: "t", Kind: "k", RunAt: time.Now()})
		}
		r := jobs.New(q, jobs.Options{Workers: 4})
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			time.Sleep(time.Millisecond)
			return time.Time{}, nil
		})
		stop := start(r)
		defer stop()
		begin := time.Now()
		for {
			time.Sleep(time.Millisecond)
			q.mu.Lock()
			left := len(q.rows)
			q.mu.Unlock()
			if left == 0 {
				break
			}
		}
		if took := time.Since(begin); took > 550*time.Millisecond {
			t.Errorf("2000 jobs of 1 ms took 4 workers %v", took)
		}
		if q.claims > 350 {
			t.Errorf("%d claims for 2000 jobs", q.claims)
		}
	})
}

// What was claimed ahead and then finds all workers busy goes back, as if it had not
// been claimed.
func TestClaimedAhead(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 100 {
			q.add(proof.Job{ID: fmt.Sprintf("%03d", i), Tenant: "t", Kind: "k", RunAt: time.Now()})
		}
		r := jobs.New(q, jobs.Options{Workers: 2, Grace: time.Hour})
		n := 0
		var mu sync.Mutex
		r.Handle("k", func(_ context.Context, j proof.Job) (time.Time, error) {
			if j.Attempts != 1 {
				t.Errorf("attempt %d", j.Attempts)
			}
			mu.Lock()
			n++
			slow := n > 40
			mu.Unlock()
			if slow {
				time.Sleep(time.Minute)
			} else {
				time.Sleep(time.Microsecond)
			}
			return time.Time{}, nil
		})
		stop := start(r)
		time.Sleep(20 * time.Second)
		settle(&q.mu)
		held := func() (n int) {
			q.mu.Lock()
			defer q.mu.Unlock()
			for _, row := range q.rows {
				if row.c.Owner != "" {
					n++
				}
			}
			return n
		}
		// Given back ones may be claimed again as long as one handler's end has not told
		// that they are slow now; none of them is kept for longer than its lease.
		time.Sleep(5 * time.Minute)
		settle(&q.mu)
		if n := held(); n > 2+8 {
			t.Errorf("%d held by two workers", n)
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := held(); n != 0 {
			t.Errorf("%d held after the end", n)
		}
		for _, row := range q.rows {
			if row.c.Failures != 0 {
				t.Errorf("a failure is on the account of %+v", row.c)
			}
		}
	})
}
