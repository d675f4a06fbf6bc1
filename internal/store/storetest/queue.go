package storetest

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const lease = time.Minute

func job(key string, at time.Time) *proof.Job {
	return &proof.Job{ID: id(), Tenant: "t1", Kind: "poll", Key: key, RunAt: at}
}

func enqueue(t *testing.T, s Store, js ...*proof.Job) {
	t.Helper()
	update(t, s, func(tx journey.Tx) error {
		for _, j := range js {
			if err := tx.Enqueue(j); err != nil {
				return err
			}
		}
		return nil
	})
}

func claim(t *testing.T, s Store, owner string, now time.Time, limit int) []jobs.Claimed {
	t.Helper()
	got, err := s.Claim(t.Context(), owner, now, limit, lease)
	if err != nil {
		t.Fatal(err)
	}
	return got
}

// claimOne expects exactly one job to be due.
func claimOne(t *testing.T, s Store, owner string, now time.Time) jobs.Claimed {
	t.Helper()
	got := claim(t, s, owner, now, 10)
	if len(got) != 1 {
		t.Fatalf("%d jobs are due, not 1", len(got))
	}
	return got[0]
}

func ok(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func keys(cs []jobs.Claimed) []string {
	var ks []string
	for _, c := range cs {
		ks = append(ks, c.Key)
	}
	return ks
}

func testEnqueue(t *testing.T, o Opener) {
	s := open(t, o)
	enqueue(t, s, job("b", start.Add(time.Second)), job("a", start), job("later", start.Add(time.Hour)), job("zero", time.Time{}))
	other := job("a", start)
	other.Tenant = "t2"
	other.Kind = "expire"
	enqueue(t, s, other)
	equal(t, "before", keys(claim(t, s, "x", start.Add(-time.Second), 10)), []string{"zero"})
	equal(t, "limited, earliest first", keys(claim(t, s, "x", start.Add(time.Second), 2)), []string{"a", "a"})
	equal(t, "the rest", keys(claim(t, s, "x", start.Add(time.Second), 2)), []string{"b"})
	equal(t, "nothing", len(claim(t, s, "x", start.Add(time.Second), 2)), 0)

	// The earlier of two times stands, the first id stays.
	first := job("twice", start.Add(2*time.Second))
	enqueue(t, s, first, job("twice", start.Add(time.Hour)), job("twice", start.Add(1500*time.Millisecond)), job("twice", start.Add(2*time.Second)))
	equal(t, "not yet", len(claim(t, s, "x", start.Add(1499*time.Millisecond), 10)), 0)
	c := claimOne(t, s, "x", start.Add(1500*time.Millisecond))
	equal(t, "merged", []any{c.ID, c.RunAt}, []any{first.ID, start.Add(1500 * time.Millisecond)})
}

func testLease(t *testing.T, o Opener) {
	a, b := open(t, o), open(t, o)
	j := job("k", start)
	enqueue(t, a, j)
	c := claimOne(t, a, "a", start)
	want := jobs.Claimed{Job: *j, Owner: "a", Fence: 1}
	want.Attempts = 1
	equal(t, "claimed", c, want)
	equal(t, "held", len(claim(t, b, "b", start.Add(lease-time.Microsecond), 10)), 0)
	ok(t, a.Extend(t.Context(), c, start.Add(2*lease)))
	equal(t, "extended", len(claim(t, b, "b", start.Add(2*lease-time.Microsecond), 10)), 0)
	now := start.Add(2 * lease)
	d := claimOne(t, b, "b", now)
	equal(t, "taken over", []int{d.Attempts, d.Failures, int(d.Fence)}, []int{2, 1, 2})
	for what, err := range map[string]error{
		"Finish":     a.Finish(t.Context(), c),
		"Reschedule": a.Reschedule(t.Context(), c, now, ""),
		"Dead":       a.Dead(t.Context(), c, now, ""),
		"Extend":     a.Extend(t.Context(), c, now.Add(time.Hour)),
	} {
		is(t, what+" after the lease was lost", err, jobs.ErrLeaseLost)
	}
	foreign := d
	foreign.Tenant = "t2"
	is(t, "another tenant", b.Finish(t.Context(), foreign), jobs.ErrLeaseLost)
	stolen := d
	stolen.Owner = "a"
	is(t, "another owner", b.Finish(t.Context(), stolen), jobs.ErrLeaseLost)

	d.Failures = 3
	ok(t, b.Reschedule(t.Context(), d, now.Add(time.Hour), "upstream (upstream_timeout)"))
	is(t, "reporting twice", b.Finish(t.Context(), d), jobs.ErrLeaseLost)
	equal(t, "not yet", len(claim(t, a, "a", now.Add(time.Hour-time.Microsecond), 10)), 0)
	e := claimOne(t, a, "a", now.Add(time.Hour))
	want = jobs.Claimed{Job: *j, Owner: "a", Fence: 3, Failures: 3}
	want.RunAt, want.Attempts, want.LastError = now.Add(time.Hour), 3, "upstream (upstream_timeout)"
	equal(t, "rescheduled", e, want)
	ok(t, a.Finish(t.Context(), e))
	is(t, "finishing twice", a.Finish(t.Context(), e), jobs.ErrLeaseLost)
	equal(t, "done", len(claim(t, a, "a", now.Add(1000*time.Hour), 10)), 0)

	// Many in hand, whose time was before, are not in the way of others.
	var many []*proof.Job
	for i := range 40 {
		many = append(many, job(fmt.Sprintf("m%02d", i), now.Add(time.Duration(i)*time.Microsecond)))
	}
	enqueue(t, a, many...)
	in := claim(t, a, "a", now.Add(time.Second), 30)
	equal(t, "behind those in hand", keys(claim(t, b, "b", now.Add(time.Second), 4)), []string{"m30", "m31", "m32", "m33"})
	ok(t, a.Extend(t.Context(), in[1], now.Add(time.Hour)))
	equal(t, "taken over, but for one", keys(claim(t, b, "c", now.Add(lease+time.Second), 3)), []string{"m00", "m02", "m03"})
	update(t, a, func(tx journey.Tx) error {
		var errs []error
		for _, j := range many {
			errs = append(errs, tx.CancelJobs("t1", "poll", j.Key))
		}
		return errors.Join(errs...)
	})

	// The same owner is not the same claim.
	enqueue(t, a, job("k", now))
	x := claimOne(t, a, "a", now)
	y := claimOne(t, a, "a", now.Add(lease))
	is(t, "an older claim of the same owner", a.Finish(t.Context(), x), jobs.ErrLeaseLost)
	ok(t, a.Finish(t.Context(), y))

	// A late report is welcome as long as nobody else took the job.
	enqueue(t, a, job("k", now))
	x = claimOne(t, a, "a", now)
	ok(t, a.Extend(t.Context(), x, now.Add(-time.Hour)))
	ok(t, a.Finish(t.Context(), x))

	// Cancelled under the worker's hands, and queued anew.
	enqueue(t, a, job("k", now))
	x = claimOne(t, a, "a", now)
	update(t, a, func(tx journey.Tx) error {
		return errors.Join(tx.CancelJobs("t2", "poll", "k"), tx.CancelJobs("t1", "poll", "k"), tx.CancelJobs("t1", "poll", "none"), tx.Enqueue(job("k", now)))
	})
	is(t, "cancelled", a.Finish(t.Context(), x), jobs.ErrLeaseLost)
	ok(t, a.Finish(t.Context(), claimOne(t, a, "a", now)))

	if _, err := a.Claim(t.Context(), "", now, 1, lease); err == nil {
		t.Error("claimed for nobody")
	}
}

// testQueuedAgain: what is queued while a worker has the job is not lost.
func testQueuedAgain(t *testing.T, o Opener) {
	s := open(t, o)
	t.Run("finished", func(t *testing.T) {
		j := job("k", start)
		enqueue(t, s, j)
		c := claimOne(t, s, "x", start)
		// Any id will do, the old one too.
		enqueue(t, s, job("k", start.Add(3*time.Hour)))
		again := *j
		again.RunAt = start.Add(2 * time.Hour)
		enqueue(t, s, &again)
		equal(t, "held", len(claim(t, s, "y", start, 10)), 0)
		ok(t, s.Finish(t.Context(), c))
		equal(t, "not yet", len(claim(t, s, "x", start.Add(2*time.Hour-1000), 10)), 0)
		d := claimOne(t, s, "x", start.Add(2*time.Hour))
		equal(t, "fresh account", []int{d.Attempts, d.Failures}, []int{1, 0})
		ok(t, s.Finish(t.Context(), d))
	})
	t.Run("rescheduled", func(t *testing.T) {
		enqueue(t, s, job("k", start))
		c := claimOne(t, s, "x", start)
		enqueue(t, s, job("k", start.Add(time.Second)))
		ok(t, s.Reschedule(t.Context(), c, start.Add(time.Hour), ""))
		c = claimOne(t, s, "x", start.Add(time.Second))
		enqueue(t, s, job("k", start.Add(time.Hour)))
		ok(t, s.Reschedule(t.Context(), c, start.Add(time.Minute), ""))
		c = claimOne(t, s, "x", start.Add(time.Minute))
		ok(t, s.Finish(t.Context(), c))
	})
	t.Run("taken over", func(t *testing.T) {
		enqueue(t, s, job("k", start))
		claimOne(t, s, "dies", start)
		enqueue(t, s, job("k", start.Add(time.Second)))
		// The next run begins after the time asked for, so it is that run too.
		ok(t, s.Finish(t.Context(), claimOne(t, s, "x", start.Add(lease))))
		equal(t, "left", len(claim(t, s, "x", start.Add(time.Hour), 10)), 0)
	})
	t.Run("dead", func(t *testing.T) {
		enqueue(t, s, job("k", start))
		c := claimOne(t, s, "x", start)
		enqueue(t, s, job("k", start.Add(time.Second)))
		ok(t, s.Dead(t.Context(), c, start, "broken"))
		d := claimOne(t, s, "x", start.Add(time.Second))
		if d.ID == c.ID {
			t.Error("the dead job runs")
		}
		equal(t, "fresh account", []any{d.Attempts, d.Failures, d.LastError, d.Key}, []any{1, 0, "", "k"})
		ok(t, s.Finish(t.Context(), d))
	})
}

func testDead(t *testing.T, o Opener) {
	s := open(t, o)
	j := job("k", start)
	enqueue(t, s, j)
	c := claimOne(t, s, "x", start)
	ok(t, s.Dead(t.Context(), c, start, "internal_error"))
	is(t, "reporting on a dead job", s.Finish(t.Context(), c), jobs.ErrLeaseLost)
	equal(t, "dead", len(claim(t, s, "x", start.Add(1000*time.Hour), 10)), 0)
	view(t, s, func(tx journey.Tx) error {
		rs, err := tx.AuditOf("t1", "job:"+j.ID)
		if err != nil || len(rs) != 1 {
			t.Fatalf("audit: %v, %v", rs, err)
		}
		r := rs[0]
		equal(t, "audit", []any{r.At, r.Actor, r.Action, r.Detail},
			[]any{start, "job", "job.dead", map[string]string{"kind": "poll", "key": "k", "error": "internal_error"}})
		return nil
	})
	// A dead job does not stand in the way of new work, and cancelling leaves it.
	enqueue(t, s, job("k", start))
	update(t, s, func(tx journey.Tx) error { return tx.CancelJobs("t1", "poll", "k") })
	enqueue(t, s, job("k", start))
	ok(t, s.Dead(t.Context(), claimOne(t, s, "x", start), start, "again"))
}

// testCompeting lets workers on two handles drain one queue while it is filled.
func testCompeting(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	const total, workers = 200, 16
	var mu sync.Mutex
	ran := map[string]int{}
	var wg sync.WaitGroup
	for f := range 4 {
		wg.Go(func() {
			for i := range total / 4 {
				err := stores[f%2].Update(t.Context(), func(tx journey.Tx) error {
					return tx.Enqueue(job(fmt.Sprintf("%d-%d", f, i), start))
				})
				if err != nil {
					t.Error(err)
				}
			}
		})
	}
	for w := range workers {
		s := stores[w%2]
		wg.Go(func() {
			for {
				cs, err := s.Claim(t.Context(), fmt.Sprint(w), start, 7, lease)
				if err != nil {
					t.Error(err)
					return
				}
				for _, c := range cs {
					if err := s.Finish(t.Context(), c); err != nil {
						t.Errorf("finishing: %v", err)
					}
				}
				mu.Lock()
				for _, c := range cs {
					ran[c.Key]++
				}
				n := len(ran)
				mu.Unlock()
				if n == total || t.Failed() {
					return
				}
			}
		})
	}
	wg.Wait()
	for k, n := range ran {
		if n != 1 {
			t.Errorf("%s ran %d times", k, n)
		}
	}
}

// testLeaseExclusive drives the queue with random steps against a model: who may
// hold what, until when, and whose reports count.
func testLeaseExclusive(t *testing.T, o Opener) {
	s := open(t, o)
	runs := 0
	rapid.Check(t, func(rt *rapid.T) {
		runs++
		type held struct {
			c     jobs.Claimed
			until time.Time
		}
		type live struct{ due, again time.Time } // due: when claimable
		var (
			now    = start
			kind   = fmt.Sprint("run ", runs) // apart from earlier runs
			model  = map[string]*live{}       // by key
			holder = map[string]held{}        // the claim that counts, by key
			old    []jobs.Claimed             // claims that do not count any more
		)
		key := rapid.SampledFrom([]string{"a", "b", "c"})
		owner := rapid.SampledFrom([]string{"x", "y"})
		span := rapid.Int64Range(0, int64(90*time.Second/time.Microsecond))
		fail := func(format string, args ...any) { rt.Helper(); rt.Fatalf(format, args...) }
		do := func(err error) {
			rt.Helper()
			if err != nil {
				fail("%v", err)
			}
		}
		later := func(label string) time.Time {
			return now.Add(time.Duration(span.Draw(rt, label)) * time.Microsecond)
		}
		report := func(what string, fn func(jobs.Claimed, *live) error) {
			if len(holder) == 0 {
				return
			}
			ks := make([]string, 0, len(holder))
			for k := range holder {
				ks = append(ks, k)
			}
			slices.Sort(ks)
			k := rapid.SampledFrom(ks).Draw(rt, what)
			h, m := holder[k], model[k]
			delete(holder, k)
			old = append(old, h.c)
			do(fn(h.c, m))
		}
		rt.Repeat(map[string]func(*rapid.T){
			"time passes": func(rt *rapid.T) { now = later("time") },
			"enqueue": func(rt *rapid.T) {
				k, at := key.Draw(rt, "key"), later("at")
				j := job(k, at)
				j.Kind = kind
				do(s.Update(t.Context(), func(tx journey.Tx) error { return tx.Enqueue(j) }))
				m := model[k]
				switch _, isHeld := holder[k]; {
				case m == nil:
					model[k] = &live{due: at}
				case isHeld:
					if m.again.IsZero() || at.Before(m.again) {
						m.again = at
					}
				case at.Before(m.due):
					m.due = at
				}
			},
			"cancel": func(rt *rapid.T) {
				k := key.Draw(rt, "key")
				do(s.Update(t.Context(), func(tx journey.Tx) error { return tx.CancelJobs("t1", kind, k) }))
				if h, ok := holder[k]; ok {
					old = append(old, h.c)
				}
				delete(model, k)
				delete(holder, k)
			},
			"claim": func(rt *rapid.T) {
				cs, err := s.Claim(t.Context(), owner.Draw(rt, "owner"), now, 10, lease)
				do(err)
				got := map[string]bool{}
				for _, c := range cs {
					if c.Kind != kind {
						continue
					}
					got[c.Key] = true
					m := model[c.Key]
					if m == nil {
						fail("claimed %s, which is not there", c.Key)
					}
					if h, ok := holder[c.Key]; ok {
						if h.until.After(now) {
							fail("claimed %s, which %s holds until %v", c.Key, h.c.Owner, h.until)
						}
						old = append(old, h.c)
					} else if m.due.After(now) {
						fail("claimed %s before it was due", c.Key)
					}
					if !m.again.IsZero() && !m.again.After(now) {
						m.again = time.Time{}
					}
					m.due = now.Add(lease)
					holder[c.Key] = held{c, m.due}
				}
				for k, m := range model {
					if !got[k] && !m.due.After(now) {
						fail("%s is due and was not claimed", k)
					}
				}
			},
			"extend": func(rt *rapid.T) {
				for k, h := range holder {
					until := now.Add(lease)
					do(s.Extend(t.Context(), h.c, until))
					model[k].due = until
					holder[k] = held{h.c, until}
				}
			},
			"finish": func(rt *rapid.T) {
				report("finish", func(c jobs.Claimed, m *live) error {
					if m.again.IsZero() {
						delete(model, c.Key)
					} else {
						m.due, m.again = m.again, time.Time{}
					}
					return s.Finish(t.Context(), c)
				})
			},
			"reschedule": func(rt *rapid.T) {
				at := later("at")
				report("reschedule", func(c jobs.Claimed, m *live) error {
					m.due = at
					if !m.again.IsZero() && m.again.Before(at) {
						m.due = m.again
					}
					m.again = time.Time{}
					return s.Reschedule(t.Context(), c, at, "")
				})
			},
			"dead": func(rt *rapid.T) {
				report("dead", func(c jobs.Claimed, m *live) error {
					if m.again.IsZero() {
						delete(model, c.Key)
					} else {
						m.due, m.again = m.again, time.Time{}
					}
					return s.Dead(t.Context(), c, now, "dead")
				})
			},
			"report late": func(rt *rapid.T) {
				if len(old) == 0 {
					return
				}
				c := old[rapid.IntRange(0, len(old)-1).Draw(rt, "old")]
				for what, err := range map[string]error{
					"finish":     s.Finish(t.Context(), c),
					"reschedule": s.Reschedule(t.Context(), c, now, ""),
					"extend":     s.Extend(t.Context(), c, now.Add(lease)),
					"dead":       s.Dead(t.Context(), c, now, ""),
				} {
					if !errors.Is(err, jobs.ErrLeaseLost) {
						fail("%s by %s, who lost the lease: %v", what, c.Owner, err)
					}
				}
			},
		})
		do(s.Update(t.Context(), func(tx journey.Tx) error {
			return errors.Join(tx.CancelJobs("t1", kind, "a"), tx.CancelJobs("t1", kind, "b"), tx.CancelJobs("t1", kind, "c"))
		}))
	})
}

// testTurns: tenants take turns, and of each the more urgent come first.
func testTurns(t *testing.T, o Opener) {
	s := open(t, o)
	of := func(tenant, kind, key string, at time.Time) *proof.Job {
		return &proof.Job{ID: id(), Tenant: tenant, Kind: kind, Key: key, RunAt: at}
	}
	enqueue(t, s, of("t1", "bulk", "queued before", start))
	kinds := map[string]jobs.Priority{"bulk": jobs.Bulk, "person": jobs.Person, "poll": jobs.Normal}
	for range 2 { // as it was is fine
		ok(t, s.Prioritize(t.Context(), kinds))
	}
	for i := range 50 { // all at one time
		enqueue(t, s, of("t1", "poll", fmt.Sprintf("%02d", i), start))
	}
	enqueue(t, s, of("t1", "person", "urgent", start.Add(time.Second)), of("t1", "person", "not yet", start.Add(time.Hour)),
		of("t2", "poll", "b", start.Add(2*time.Second)), of("t2", "bulk", "c", start), of("t3", "poll", "d", start.Add(3*time.Second)))
	now := start.Add(time.Minute)
	got := claim(t, s, "x", now, 5)
	equal(t, "turns", keys(got), []string{"urgent", "00", "b", "d", "c"})
	equal(t, "priority", []jobs.Priority{got[0].Priority, got[1].Priority, got[4].Priority}, []jobs.Priority{jobs.Person, jobs.Normal, jobs.Bulk})
	// What moved with its kind comes last.
	equal(t, "the rest", len(claim(t, s, "x", now, 49)), 49)
	equal(t, "bulk", keys(claim(t, s, "x", now, 10)), []string{"queued before"})

	// Who has least in hand is first in line, and nobody gets more than there is room for.
	for i := range 10 {
		k := fmt.Sprint(i)
		enqueue(t, s, of("t1", "poll", "again "+k, start), of("t2", "poll", "again "+k, start.Add(time.Second)))
	}
	count := func(limit int, held ...jobs.Held) map[string]int {
		cs, err := s.Claim(t.Context(), "x", now, limit, lease, held...)
		ok(t, err)
		n := map[string]int{}
		for _, c := range cs {
			n[c.Tenant]++
		}
		return n
	}
	equal(t, "behind", count(3, jobs.Held{Tenant: "t1", Jobs: 5, Room: 5}), map[string]int{"t2": 3})
	equal(t, "evened out", count(4, jobs.Held{Tenant: "t1", Jobs: 1, Room: 5}, jobs.Held{Tenant: "t2", Jobs: 3, Room: 5}), map[string]int{"t1": 3, "t2": 1})
	equal(t, "no room", count(20, jobs.Held{Tenant: "t1", Room: 0}, jobs.Held{Tenant: "t2", Room: 2}, jobs.Held{Tenant: "t9", Jobs: 9}), map[string]int{"t2": 2})
	equal(t, "room", count(20), map[string]int{"t1": 7, "t2": 4})

	// A kind that becomes urgent.
	enqueue(t, s, of("t1", "bulk", "a", start), of("t1", "poll", "b", start))
	kinds["bulk"] = jobs.Person
	ok(t, s.Prioritize(t.Context(), kinds))
	equal(t, "moved", keys(claim(t, s, "x", now, 1)), []string{"a"})
	// What was asked for again after a dead one is as urgent.
	c := claimOne(t, s, "x", now)
	enqueue(t, s, of("t1", "poll", "b", now))
	ok(t, s.Dead(t.Context(), c, now, ""))
	equal(t, "again", claimOne(t, s, "x", now).Priority, jobs.Normal)
}

func testFinishAll(t *testing.T, o Opener) {
	s := open(t, o)
	var js []*proof.Job
	for i := range 300 {
		js = append(js, job(fmt.Sprintf("%03d", i), start))
	}
	enqueue(t, s, js...)
	cs := claim(t, s, "x", start, 300)
	finish := func(cs ...jobs.Claimed) []string {
		t.Helper()
		lost, err := s.FinishAll(t.Context(), cs)
		ok(t, err)
		return keys(lost)
	}
	equal(t, "none", len(finish()), 0)
	// One is asked for again, one cancelled, one extended, and of some the claim is not this one.
	update(t, s, func(tx journey.Tx) error {
		return errors.Join(tx.Enqueue(job("001", start.Add(time.Hour))), tx.CancelJobs("t1", "poll", "002"))
	})
	ok(t, s.Extend(t.Context(), cs[3], start.Add(2*lease)))
	cs[4].Fence++
	cs[5].Owner = "y"
	cs[6].Tenant = "t2"
	equal(t, "lost", finish(cs...), []string{"002", "004", "005", "006"})
	cs[4].Fence--
	cs[5].Owner = "x"
	cs[6].Tenant = "t1"
	equal(t, "late", len(finish(cs[4:7]...)), 0)
	equal(t, "twice", finish(cs[:2]...), []string{"000", "001"})
	equal(t, "left", keys(claim(t, s, "x", start.Add(1000*time.Hour), 400)), []string{"001"})
}

func testDeadLetters(t *testing.T, o Opener) {
	s := open(t, o)
	var dead []*proof.Job
	for i := range 3 {
		j := job(fmt.Sprint(i), start)
		enqueue(t, s, j)
		ok(t, s.Dead(t.Context(), claimOne(t, s, "x", start), start.Add(time.Second), "broken"))
		j.Attempts, j.LastError = 1, "broken"
		dead = append(dead, j)
	}
	enqueue(t, s, job("alive", start))
	list := func(tenant, before string, limit int) (ids []string) {
		t.Helper()
		ls, err := s.DeadLetters(t.Context(), tenant, before, limit)
		ok(t, err)
		for _, l := range ls {
			ids = append(ids, l.ID)
		}
		return ids
	}
	equal(t, "all", list("t1", "", 10), []string{dead[2].ID, dead[1].ID, dead[0].ID})
	equal(t, "a page", list("t1", dead[2].ID, 1), []string{dead[1].ID})
	equal(t, "another tenant's", len(list("t2", "", 10)), 0)
	ls, err := s.DeadLetters(t.Context(), "t1", "", 1)
	ok(t, err)
	equal(t, "letter", ls[0], jobs.DeadLetter{Job: *dead[2], DiedAt: start.Add(time.Second)})

	now := start.Add(time.Hour)
	alive := claimOne(t, s, "x", now)
	for what, err := range map[string]error{
		"requeueing another tenant's":  s.Requeue(t.Context(), "t2", dead[0].ID, "who", now),
		"requeueing what is not there": s.Requeue(t.Context(), "t1", "none", "who", now),
		"requeueing what lives":        s.Requeue(t.Context(), "t1", alive.ID, "who", now),
		"dropping another tenant's":    s.Drop(t.Context(), "t2", dead[0].ID, "who", now),
		"dropping what lives":          s.Drop(t.Context(), "t1", alive.ID, "who", now),
	} {
		is(t, what, err, proof.ErrNotFound)
	}
	ok(t, s.Finish(t.Context(), alive))
	ok(t, s.Requeue(t.Context(), "t1", dead[0].ID, "who", now))
	c := claimOne(t, s, "x", now)
	equal(t, "another life", []any{c.ID, c.Key, c.Attempts, c.Failures, c.LastError, c.RunAt}, []any{dead[0].ID, "0", 1, 0, "", now})
	ok(t, s.Finish(t.Context(), c))
	is(t, "twice", s.Requeue(t.Context(), "t1", dead[0].ID, "who", now), proof.ErrNotFound)
	// The same work was queued again meanwhile.
	enqueue(t, s, job("1", now.Add(time.Hour)))
	ok(t, s.Requeue(t.Context(), "t1", dead[1].ID, "who", now))
	c = claimOne(t, s, "x", now)
	equal(t, "one job", []any{c.Key, c.RunAt}, []any{"1", now})
	ok(t, s.Finish(t.Context(), c))
	ok(t, s.Drop(t.Context(), "t1", dead[2].ID, "who", now))
	equal(t, "none left", len(list("t1", "", 10))+len(claim(t, s, "x", now.Add(1000*time.Hour), 10)), 0)
	view(t, s, func(tx journey.Tx) error {
		for i, action := range []string{"job.requeued", "job.requeued", "job.dropped"} {
			rs, err := tx.AuditOf("t1", "job:"+dead[i].ID)
			if err != nil || len(rs) != 2 {
				t.Fatalf("audit: %v, %v", rs, err)
			}
			equal(t, "audit", []any{rs[1].At, rs[1].Actor, rs[1].Action, rs[1].Detail},
				[]any{now, "who", action, map[string]string{"kind": "poll", "key": fmt.Sprint(i), "error": "broken"}})
		}
		return nil
	})
}
