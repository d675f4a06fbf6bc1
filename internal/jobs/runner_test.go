package jobs_test

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// queue is a Queue in memory. The real ones are held to the same rules by
// storetest.
type queue struct {
	mu     sync.Mutex
	rows   map[string]*row // by id
	claims int             // calls of Claim
	dead   []jobs.Claimed
	broken error // what every method answers, if set

	priority map[string]jobs.Priority
	finishes int // calls of FinishAll
}

type row struct {
	c   jobs.Claimed
	due time.Time
}

func newQueue(js ...proof.Job) *queue {
	q := &queue{rows: map[string]*row{}}
	q.add(js...)
	return q
}

func (q *queue) add(js ...proof.Job) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for _, j := range js {
		q.rows[j.ID] = &row{c: jobs.Claimed{Job: j}, due: j.RunAt}
	}
}

func (q *queue) break_(err error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.broken = err
}

func (q *queue) get(id string) (jobs.Claimed, bool) {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, ok := q.rows[id]
	if !ok {
		return jobs.Claimed{}, false
	}
	c := r.c
	c.RunAt = r.due
	return c, true
}

func (q *queue) Claim(_ context.Context, owner string, now time.Time, limit int, lease time.Duration, held ...jobs.Held) ([]jobs.Claimed, error) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.claims++
	if q.broken != nil {
		return nil, q.broken
	}
	inHand, room := map[string]int{}, map[string]int{}
	for _, h := range held {
		inHand[h.Tenant], room[h.Tenant] = h.Jobs, h.Room
	}
	var due []*row
	for _, r := range q.rows {
		if !r.due.After(now) {
			due = append(due, r)
		}
	}
	slices.SortFunc(due, func(a, b *row) int {
		return cmp.Or(cmp.Compare(q.priority[a.c.Kind], q.priority[b.c.Kind]), a.c.RunAt.Compare(b.c.RunAt), cmp.Compare(a.c.ID, b.c.ID))
	})
	place, turn := map[string]int{}, map[*row]int{}
	for _, r := range due {
		place[r.c.Tenant]++
		turn[r] = inHand[r.c.Tenant] + place[r.c.Tenant]
		if n, ok := room[r.c.Tenant]; ok && place[r.c.Tenant] > n {
			turn[r] = -1
		}
	}
	due = slices.DeleteFunc(due, func(r *row) bool { return turn[r] < 0 })
	slices.SortStableFunc(due, func(a, b *row) int { return cmp.Compare(turn[a], turn[b]) })
	var out []jobs.Claimed
	for _, r := range due[:min(limit, len(due))] {
		if r.c.Owner != "" {
			r.c.Failures++
		}
		r.c.Owner, r.due = owner, now.Add(lease)
		r.c.Attempts++
		r.c.Fence++
		out = append(out, r.c)
	}
	return out, nil
}

func (q *queue) Prioritize(_ context.Context, kinds map[string]jobs.Priority) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.priority = kinds
	return q.broken
}

func (q *queue) FinishAll(ctx context.Context, cs []jobs.Claimed) (lost []jobs.Claimed, err error) {
	for _, c := range cs {
		switch err := q.Finish(ctx, c); {
		case errors.Is(err, jobs.ErrLeaseLost):
			lost = append(lost, c)
		case err != nil:
			return nil, err
		}
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	q.finishes++
	return lost, nil
}

func (q *queue) DeadLetters(context.Context, string, string, int) ([]jobs.DeadLetter, error) {
	return nil, errors.ErrUnsupported
}

func (q *queue) Requeue(context.Context, string, string, string, time.Time) error {
	return errors.ErrUnsupported
}

func (q *queue) Drop(context.Context, string, string, string, time.Time) error {
	return errors.ErrUnsupported
}

func (q *queue) held(c jobs.Claimed) (*row, error) {
	if q.broken != nil {
		return nil, q.broken
	}
	r := q.rows[c.ID]
	if r == nil || r.c.Owner != c.Owner || r.c.Fence != c.Fence {
		return nil, jobs.ErrLeaseLost
	}
	return r, nil
}

func (q *queue) Extend(_ context.Context, c jobs.Claimed, until time.Time) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.held(c)
	if err == nil {
		r.due = until
	}
	return err
}

func (q *queue) Finish(_ context.Context, c jobs.Claimed) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, err := q.held(c)
	if err == nil {
		delete(q.rows, c.ID)
	}
	return err
}

func (q *queue) Reschedule(_ context.Context, c jobs.Claimed, at time.Time, lastError string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	r, err := q.held(c)
	if err == nil {
		r.due = at
		r.c.Owner, r.c.Attempts, r.c.Failures, r.c.LastError = "", c.Attempts, c.Failures, lastError
	}
	return err
}

func (q *queue) Dead(_ context.Context, c jobs.Claimed, _ time.Time, lastError string) error {
	q.mu.Lock()
	defer q.mu.Unlock()
	_, err := q.held(c)
	if err == nil {
		c.LastError = lastError
		q.dead = append(q.dead, c)
		delete(q.rows, c.ID)
	}
	return err
}

func job(id string, at time.Time) proof.Job {
	return proof.Job{ID: id, Tenant: "t", Kind: "k", Key: id, RunAt: at}
}

// start runs r until the returned function stops it; that returns what Run did.
func start(r *jobs.Runner) (stop func() error) {
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return func() error {
		cancel()
		return <-ended
	}
}

func done(context.Context, proof.Job) (time.Time, error) { return time.Time{}, nil }

func TestDone(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()), job("b", time.Now().Add(time.Hour)))
		r := jobs.New(q, jobs.Options{})
		r.Handle("k", done)
		stop := start(r)
		synctest.Wait() // no time passes: what is due at the start runs at once
		if _, ok := q.get("a"); ok {
			t.Error("a did not run")
		}
		time.Sleep(time.Hour - time.Second)
		if _, ok := q.get("b"); !ok {
			t.Error("b ran early")
		}
		time.Sleep(time.Second + 501*time.Millisecond)
		synctest.Wait()
		if _, ok := q.get("b"); ok {
			t.Error("b did not run within the poll interval")
		}
		if err := stop(); err != nil {
			t.Error(err)
		}
	})
}

func TestWake(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		r := jobs.New(q, jobs.Options{})
		r.Handle("k", done)
		stop := start(r)
		defer stop()
		time.Sleep(10 * time.Millisecond)
		q.add(job("a", time.Now()))
		synctest.Wait()
		if _, ok := q.get("a"); !ok {
			t.Fatal("ran before it could be known")
		}
		r.Wake()
		r.Wake()
		synctest.Wait()
		if _, ok := q.get("a"); ok {
			t.Fatal("did not run at once")
		}
	})
}

func TestIdleCost(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		stop := start(jobs.New(q, jobs.Options{}))
		time.Sleep(10*time.Second + time.Millisecond)
		stop()
		if q.claims != 21 {
			t.Errorf("%d claims in 10 s, want 21", q.claims)
		}
	})
}

func TestNext(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		r := jobs.New(q, jobs.Options{})
		var at []time.Duration
		begin := time.Now()
		r.Handle("k", func(_ context.Context, j proof.Job) (time.Time, error) {
			at = append(at, time.Since(begin))
			if j.Attempts != 1 {
				t.Errorf("attempt %d, want 1: the account starts afresh", j.Attempts)
			}
			if len(at) == 5 {
				return time.Time{}, nil
			}
			return time.Now().Add(2 * time.Second), nil
		})
		stop := start(r)
		time.Sleep(time.Minute)
		stop()
		if want := []time.Duration{0, 2 * time.Second, 4 * time.Second, 6 * time.Second, 8 * time.Second}; !slices.Equal(at, want) {
			t.Errorf("ran at %v, want %v", at, want)
		}
	})
}

func TestBackoffAndDeadLetter(t *testing.T) {
	temporary := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamTimeout, Message: "1Kosmos did not answer in time", Temporary: true, Err: errors.New("secret")}
	permanent := &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamRejected, Message: "1Kosmos said no", Err: errors.New("secret")}
	for _, tc := range []struct {
		name     string
		err      func(n int) error // of the nth run, from 1
		runs     int               // within six hours, -1: more than 70
		dead     bool
		lastText string
	}{
		{"an unknown error counts", func(int) error { return errors.New("secret") }, 4, true, "internal"},
		{"a permanent error counts", func(int) error { return permanent }, 4, true, "upstream (upstream_rejected): 1Kosmos said no"},
		{"wrapped", func(int) error { return fmt.Errorf("polling: %w", permanent) }, 4, true, "upstream (upstream_rejected): 1Kosmos said no"},
		{"a temporary one does not", func(int) error { return temporary }, -1, false, "upstream (upstream_timeout): 1Kosmos did not answer in time"},
		{"a long outage does not use up the attempts", func(n int) error {
			if n <= 50 {
				return temporary
			}
			return permanent
		}, 54, true, "upstream (upstream_rejected): 1Kosmos said no"},
		{"a panic counts", func(int) error { panic("secret") }, 4, true, "internal: the handler panicked"},
		{"so does a crash of ours", func(n int) error { return make([]error, 0, 1)[n] }, 4, true, "internal: the handler panicked"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(job("a", time.Now()))
				var runs []time.Time
				var buried []proof.Job
				r := jobs.New(q, jobs.Options{MaxFailures: 4, OnDead: func(_ context.Context, j proof.Job, err error) error {
					if err == nil {
						t.Error("dead without an error")
					}
					buried = append(buried, j)
					return nil
				}})
				r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
					runs = append(runs, time.Now())
					return time.Now(), tc.err(len(runs)) // an error beats a next time
				})
				stop := start(r)
				time.Sleep(6 * time.Hour)
				stop()
				if tc.runs >= 0 && len(runs) != tc.runs || tc.runs < 0 && len(runs) < 70 {
					t.Errorf("ran %d times", len(runs))
				}
				for i := 1; i < len(runs); i++ {
					pause, want := runs[i].Sub(runs[i-1]), min(time.Second<<min(i-1, 20), 5*time.Minute)
					if pause < want/2 || pause > want+500*time.Millisecond {
						t.Errorf("pause %d was %v, want %v to %v", i, pause, want/2, want)
					}
				}
				if (len(q.dead) == 1) != tc.dead || len(buried) != len(q.dead) {
					t.Fatalf("dead: %v, hook: %v", q.dead, buried)
				}
				var last string
				if tc.dead {
					last = q.dead[0].LastError
				} else {
					c, _ := q.get("a")
					last = c.LastError
				}
				if last != tc.lastText {
					t.Errorf("kept %q, want %q", last, tc.lastText)
				}
			})
		})
	}
}

func TestRetryAfter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		r := jobs.New(q, jobs.Options{})
		begin := time.Now()
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			if time.Since(begin) == 0 {
				return time.Time{}, &proof.Error{Code: proof.CodeRateLimited, Temporary: true, RetryAfter: 42 * time.Second}
			}
			return time.Time{}, nil
		})
		stop := start(r)
		defer stop()
		time.Sleep(41 * time.Second)
		if c, _ := q.get("a"); c.RunAt != begin.Add(42*time.Second) {
			t.Errorf("runs again after %v, want 42 s", c.RunAt.Sub(begin))
		}
	})
}

func TestOnDeadFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		told := 0
		r := jobs.New(q, jobs.Options{MaxFailures: 1, OnDead: func(context.Context, proof.Job, error) error {
			told++
			switch told {
			case 1:
				return errors.New("not now")
			case 2:
				panic("ouch")
			}
			return nil
		}})
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) { return time.Time{}, errors.New("no") })
		stop := start(r)
		defer stop()
		time.Sleep(time.Minute)
		synctest.Wait()
		if told != 3 || len(q.dead) != 1 {
			t.Errorf("told %d times, dead %v", told, q.dead)
		}
	})
}

// A job whose workers die does not go on killing workers.
func TestWorkersDied(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		q.rows["a"].c.Failures, q.rows["a"].c.Owner = 7, "a process that is gone"
		r := jobs.New(q, jobs.Options{})
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			t.Error("ran")
			return time.Time{}, nil
		})
		stop := start(r)
		defer stop()
		time.Sleep(time.Second)
		synctest.Wait()
		if len(q.dead) != 1 || !strings.Contains(q.dead[0].LastError, "died") {
			t.Errorf("dead: %+v", q.dead)
		}
	})
}

func TestNoHandler(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		stop := start(jobs.New(q, jobs.Options{}))
		defer stop()
		time.Sleep(6 * time.Hour)
		c, ok := q.get("a")
		if !ok || c.Failures != 0 || !strings.Contains(c.LastError, "no handler") {
			t.Errorf("%v, %+v", ok, c)
		}
	})
}

func TestWorkersAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue()
		for i := range 30 {
			q.add(job(fmt.Sprintf("%02d", i), time.Now()))
		}
		r := jobs.New(q, jobs.Options{Workers: 3})
		var mu sync.Mutex
		now, most, total := 0, 0, 0
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			mu.Lock()
			now++
			total++
			most = max(most, now)
			mu.Unlock()
			time.Sleep(time.Second)
			mu.Lock()
			now--
			mu.Unlock()
			return time.Time{}, nil
		})
		stop := start(r)
		defer stop()
		// Nobody idles while there is work: 30 jobs of 1 s among 3 take 10 s.
		time.Sleep(10*time.Second + time.Millisecond)
		synctest.Wait()
		if most != 3 || total != 30 || len(q.rows) != 0 {
			t.Errorf("at most %d at a time, %d in all, %d left", most, total, len(q.rows))
		}
	})
}

func TestLeaseIsRenewed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		var runs int
		handler := func(context.Context, proof.Job) (time.Time, error) {
			runs++
			time.Sleep(10 * time.Minute)
			return time.Time{}, nil
		}
		r, other := jobs.New(q, jobs.Options{}), jobs.New(q, jobs.Options{})
		r.Handle("k", handler)
		other.Handle("k", handler)
		stop, stopOther := start(r), start(other)
		time.Sleep(11 * time.Minute)
		stop()
		stopOther()
		if runs != 1 || len(q.rows) != 0 {
			t.Errorf("ran %d times, %d left", runs, len(q.rows))
		}
	})
}

// Whoever loses the lease hears of it and reports nothing.
func TestLeaseLost(t *testing.T) {
	for name, lose := range map[string]func(*queue){
		"cancelled":                      func(q *queue) { q.mu.Lock(); delete(q.rows, "a"); q.mu.Unlock() },
		"taken over":                     func(q *queue) { q.mu.Lock(); q.rows["a"].c.Fence++; q.mu.Unlock() },
		"the queue does not answer long": func(q *queue) { q.break_(errors.New("down")) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				q := newQueue(job("a", time.Now()))
				r := jobs.New(q, jobs.Options{Lease: 30 * time.Second})
				var cause error
				begin := time.Now()
				runs := 0
				r.Handle("k", func(ctx context.Context, _ proof.Job) (time.Time, error) {
					if runs++; runs > 1 { // it is due again when the lost lease is over
						return time.Time{}, nil
					}
					time.Sleep(5 * time.Second)
					lose(q)
					<-ctx.Done()
					cause = context.Cause(ctx)
					return time.Time{}, ctx.Err()
				})
				stop := start(r)
				time.Sleep(25 * time.Second)
				synctest.Wait()
				if name != "the queue does not answer long" && cause == nil {
					t.Error("not heard of at the next renewal")
				}
				time.Sleep(time.Minute - time.Since(begin))
				if err := stop(); err != nil {
					t.Error(err)
				}
				if !errors.Is(cause, jobs.ErrLeaseLost) {
					t.Errorf("the handler's context ended with %v", cause)
				}
				if len(q.dead) != 0 {
					t.Error("reported all the same")
				}
			})
		})
	}
}

// A short failure of the queue costs nothing but time.
func TestQueueDown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var log bytes.Buffer
		q := newQueue(job("a", time.Now()))
		r := jobs.New(q, jobs.Options{Logger: slog.New(slog.NewTextHandler(&log, nil))})
		runs := 0
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			runs++
			q.break_(errors.New("down"))
			time.AfterFunc(5*time.Second, func() { q.break_(nil) })
			return time.Time{}, nil
		})
		stop := start(r)
		time.Sleep(time.Minute)
		q.break_(nil)
		stop()
		if runs != 1 || len(q.rows) != 0 {
			t.Errorf("ran %d times, %d left", runs, len(q.rows))
		}
		if !strings.Contains(log.String(), "claiming failed") {
			t.Error("nothing in the log")
		}
	})
}

func TestShutdown(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(job("a", time.Now()))
		r := jobs.New(q, jobs.Options{})
		r.Handle("k", func(ctx context.Context, _ proof.Job) (time.Time, error) {
			time.Sleep(10 * time.Second)
			return time.Time{}, ctx.Err()
		})
		stop := start(r)
		time.Sleep(1100 * time.Millisecond) // not when it looks for jobs
		begin := time.Now()
		q.add(job("b", time.Now()))
		if err := stop(); err != nil {
			t.Error(err)
		}
		if took := time.Since(begin); took != 8900*time.Millisecond {
			t.Errorf("took %v, want 8.9 s", took)
		}
		if _, ok := q.get("a"); ok {
			t.Error("a was not reported")
		}
		if c, _ := q.get("b"); c.Attempts != 0 {
			t.Error("b was claimed during shutdown")
		}
	})
	t.Run("out of grace", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			q := newQueue(job("a", time.Now()))
			r := jobs.New(q, jobs.Options{Grace: 3 * time.Second})
			r.Handle("k", func(ctx context.Context, _ proof.Job) (time.Time, error) {
				<-ctx.Done()
				return time.Time{}, ctx.Err()
			})
			stop := start(r)
			time.Sleep(time.Second)
			begin := time.Now()
			if err := stop(); err == nil {
				t.Error("no error")
			}
			c, ok := q.get("a")
			if !ok || c.Owner != "" || c.Failures != 0 || c.RunAt.After(time.Now()) || time.Since(begin) != 3*time.Second {
				t.Errorf("%v after %v: %+v", ok, time.Since(begin), c)
			}
		})
	})
}

func TestHandleTwice(t *testing.T) {
	r := jobs.New(newQueue(), jobs.Options{})
	r.Handle("k", done)
	defer func() {
		if recover() == nil {
			t.Error("no panic")
		}
	}()
	r.Handle("k", done)
}

// A database that died may have forgotten a claim. Then two run at a time, as numbered by
// the queue, and what one of them reports is not taken for the other's.
func TestForgottenClaim(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		q := newQueue(proof.Job{ID: "a", Tenant: "t", Kind: "k", RunAt: time.Now()})
		r := jobs.New(q, jobs.Options{})
		var runs atomic.Int64
		r.Handle("k", func(context.Context, proof.Job) (time.Time, error) {
			switch runs.Add(1) {
			case 1:
				q.mu.Lock()
				forgotten := q.rows["a"]
				forgotten.c.Owner, forgotten.due = "", time.Now()
				forgotten.c.Fence--
				q.mu.Unlock()
				r.Wake()
				time.Sleep(time.Second) // and says that it is done, while the second one runs
			case 2:
				time.Sleep(2 * time.Second)
				return time.Time{}, &proof.Error{Code: proof.CodeUpstream, Temporary: true, Message: "no answer"}
			}
			return time.Time{}, nil
		})
		stop := start(r)
		time.Sleep(time.Minute)
		if err := stop(); err != nil {
			t.Error(err)
		}
		if n := runs.Load(); n != 3 || len(q.rows) > 0 {
			t.Errorf("%d runs, %d jobs left", n, len(q.rows))
		}
	})
}
