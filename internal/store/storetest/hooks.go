package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func event(what string, at time.Time) *hooks.Event {
	return &hooks.Event{
		ID: id(), Tenant: "t1", Hash: hashOf(what), Source: hooks.SourceWebhook, Action: "UserCreated",
		OccurredAt: at.Add(-time.Minute), ReceivedAt: at, State: hooks.EventWaiting, Sealed: []byte("sealed content"),
	}
}

func work(e *hooks.Event, rule string, index int) *hooks.Work {
	return &hooks.Work{
		ID: id(), Tenant: e.Tenant, Event: e.ID, Rule: rule, Index: index, Kind: hooks.Notify, Effect: hooks.Idempotent,
		State: hooks.WorkWaiting, Sealed: []byte("sealed notes"), CreatedAt: start,
	}
}

func tryHooks(t *testing.T, s Store, fn func(hooks.Tx) error) error {
	return s.UpdateHooks(t.Context(), fn)
}

func updateHooks(t *testing.T, s Store, fn func(hooks.Tx) error) {
	t.Helper()
	ok(t, s.UpdateHooks(t.Context(), fn))
}

// hooked asks in a view, and wants an answer.
func hooked[T any](t *testing.T, s Store, ask func(hooks.Tx) (T, error)) T {
	t.Helper()
	v, err := askHooks(t, s, ask)
	ok(t, err)
	return v
}

func askHooks[T any](t *testing.T, s Store, ask func(hooks.Tx) (T, error)) (v T, err error) {
	err = s.ViewHooks(t.Context(), func(tx hooks.Tx) (err error) { v, err = ask(tx); return err })
	return v, err
}

func insertEvents(t *testing.T, s Store, tenant string, es ...*hooks.Event) (fresh int) {
	t.Helper()
	updateHooks(t, s, func(tx hooks.Tx) (err error) { fresh, err = tx.InsertEvents(tenant, es); return err })
	return fresh
}

func readEvent(t *testing.T, s Store, id string) *hooks.Event {
	t.Helper()
	return hooked(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t1", id) })
}

func waiting(t *testing.T, s Store, tenant string, limit int) []string {
	t.Helper()
	return eventIDs(hooked(t, s, func(tx hooks.Tx) ([]*hooks.Event, error) { return tx.WaitingEvents(tenant, limit) }))
}

func eventIDs(es []*hooks.Event) (ids []string) {
	for _, e := range es {
		ids = append(ids, e.ID)
	}
	return ids
}

func evaluated(t *testing.T, s Store, ids ...string) {
	t.Helper()
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.EventsEvaluated("t1", ids, 3) })
}

func testEvents(t *testing.T, o Opener) {
	s := open(t, o)
	a, b, c := event("a", start), event("b", start.Add(time.Second)), event("c", start.Add(2*time.Second))
	// What is asked for is the order of receipt, whatever the order of storing.
	equal(t, "none", insertEvents(t, s, "t1"), 0)
	equal(t, "new", insertEvents(t, s, "t1", c, a), 2)
	again, twin := *a, *b
	again.ID, twin.ID = id(), id()
	again.Sealed = []byte("not stored")
	equal(t, "one new, one known, one twice", insertEvents(t, s, "t1", &again, b, &twin), 1)
	equal(t, "as it was", readEvent(t, s, a.ID), a)
	_, err := askHooks(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t1", again.ID) })
	is(t, "known", err, proof.ErrNotFound)
	_, err = askHooks(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t2", a.ID) })
	is(t, "another tenant's", err, proof.ErrNotFound)
	elsewhere := *a
	elsewhere.Tenant = "t2"
	equal(t, "new to another tenant", insertEvents(t, s, "t2", &elsewhere), 1)

	equal(t, "waiting", waiting(t, s, "t1", 10), []string{a.ID, b.ID, c.ID})
	equal(t, "the first", waiting(t, s, "t1", 2), []string{a.ID, b.ID})
	equal(t, "none wanted", len(waiting(t, s, "t1", 0)), 0)
	evaluated(t, s, a.ID, b.ID, a.ID)
	a.State, a.Rules = hooks.EventDone, 3
	equal(t, "done", readEvent(t, s, a.ID), a)
	equal(t, "still waiting", waiting(t, s, "t1", 10), []string{c.ID})
	equal(t, "another tenant's waits", waiting(t, s, "t2", 10), []string{elsewhere.ID})
	evaluated(t, s)
	// Whoever evaluates what somebody else did is told so, as a whole.
	is(t, "again", tryHooks(t, s, func(tx hooks.Tx) error { return tx.EventsEvaluated("t1", []string{b.ID, c.ID}, 4) }), proof.ErrStale)
	is(t, "unknown", tryHooks(t, s, func(tx hooks.Tx) error { return tx.EventsEvaluated("t1", []string{c.ID, "none"}, 4) }), proof.ErrStale)
	is(t, "another tenant's", tryHooks(t, s, func(tx hooks.Tx) error { return tx.EventsEvaluated("t2", []string{c.ID}, 4) }), proof.ErrStale)
	equal(t, "not moved", waiting(t, s, "t1", 10), []string{c.ID})

	// Parked, and given another try.
	is(t, "replaying what waits", tryHooks(t, s, func(tx hooks.Tx) error { return tx.ReplayEvent("t1", c.ID) }), proof.ErrStale)
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.ParkEvent("t1", c.ID, proof.ReasonInvalidRequest) })
	c.State, c.Reason = hooks.EventParked, proof.ReasonInvalidRequest
	equal(t, "parked", readEvent(t, s, c.ID), c)
	equal(t, "nothing waits", len(waiting(t, s, "t1", 10)), 0)
	for what, fn := range map[string]func(hooks.Tx) error{
		"parking what is parked":     func(tx hooks.Tx) error { return tx.ParkEvent("t1", c.ID, "x") },
		"parking what is done":       func(tx hooks.Tx) error { return tx.ParkEvent("t1", a.ID, "x") },
		"evaluating what is parked":  func(tx hooks.Tx) error { return tx.EventsEvaluated("t1", []string{c.ID}, 4) },
		"replaying what is done":     func(tx hooks.Tx) error { return tx.ReplayEvent("t1", a.ID) },
		"replaying another tenant's": func(tx hooks.Tx) error { return tx.ReplayEvent("t2", c.ID) },
		"parking what is not there":  func(tx hooks.Tx) error { return tx.ParkEvent("t1", "none", "x") },
	} {
		want := proof.ErrStale
		if what == "replaying another tenant's" || what == "parking what is not there" {
			want = proof.ErrNotFound
		}
		is(t, what, tryHooks(t, s, fn), want)
	}
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.ReplayEvent("t1", c.ID) })
	c.State, c.Reason = hooks.EventWaiting, ""
	equal(t, "waits again", readEvent(t, s, c.ID), c)
	equal(t, "waits again", waiting(t, s, "t1", 10), []string{c.ID})

	for what, bad := range map[string]func(*hooks.Event){
		"a short hash":         func(e *hooks.Event) { e.Hash = e.Hash[:31] },
		"no hash":              func(e *hooks.Event) { e.Hash = nil },
		"no content":           func(e *hooks.Event) { e.Sealed = nil },
		"another tenant's":     func(e *hooks.Event) { e.Tenant = "t2" },
		"an empty lookup":      func(e *hooks.Event) { e.Lookups = [][]byte{{}} },
		"an enormous lookup":   func(e *hooks.Event) { e.Lookups = [][]byte{make([]byte, 256)} },
		"the id of another":    func(e *hooks.Event) { e.ID = a.ID },
		"text that is no text": func(e *hooks.Event) { e.Action = "\xff" },
	} {
		e := event(what, start)
		bad(e)
		good := event("good", start)
		if err := tryHooks(t, s, func(tx hooks.Tx) error { _, err := tx.InsertEvents("t1", []*hooks.Event{good, e}); return err }); err == nil {
			t.Errorf("stored %s", what)
		}
	}
	equal(t, "nothing of that", waiting(t, s, "t1", 10), []string{c.ID})
}

// testManyEvents: whatever the number, and more than any statement takes.
func testManyEvents(t *testing.T, o Opener) {
	s := open(t, o)
	for _, n := range []int{1, 49, 50, 51, 500} {
		var es []*hooks.Event
		for i := range n {
			e := event(fmt.Sprint(n, " ", i), start)
			for k := range i % 4 {
				e.Lookups = append(e.Lookups, hashOf(fmt.Sprint("lookup ", k)))
			}
			es = append(es, e)
		}
		equal(t, "new", insertEvents(t, s, "t1", es...), n)
		equal(t, "known", insertEvents(t, s, "t1", es...), 0)
		got := hooked(t, s, func(tx hooks.Tx) ([]*hooks.Event, error) { return tx.WaitingEvents("t1", 1000) })
		equal(t, "waiting", eventIDs(got), eventIDs(es))
		sealed := hooked(t, s, func(tx hooks.Tx) (map[string][]byte, error) { return tx.EventContents("t1", eventIDs(es)) })
		for i, e := range es {
			equal(t, "an event", readEvent(t, s, e.ID), e)
			equal(t, "its content", sealed[e.ID], e.Sealed)
			light := *e
			light.Hash, light.Lookups, light.Sealed = nil, nil, nil
			equal(t, "without the rest", got[i], &light)
		}
		evaluated(t, s, eventIDs(es)...)
		equal(t, "left", len(waiting(t, s, "t1", 1000)), 0)
	}
}

func testEventList(t *testing.T, o Opener) {
	s := open(t, o)
	var es []*hooks.Event
	for i := range 6 {
		e := event(fmt.Sprint(i), start.Add(time.Duration(i)*time.Minute))
		if i%2 == 1 {
			e.Action, e.Source = "UserDeleted", hooks.SourceSearch
		}
		e.OccurredAt = start.Add(-time.Duration(i) * time.Hour)
		es = append(es, e)
	}
	insertEvents(t, s, "t1", es...)
	elsewhere := event("0", start)
	elsewhere.Tenant = "t2"
	insertEvents(t, s, "t2", elsewhere)
	evaluated(t, s, es[0].ID, es[1].ID)
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.ParkEvent("t1", es[2].ID, "x") })
	for what, c := range map[string]struct {
		q    hooks.EventQuery
		want []int
	}{
		"all":      {hooks.EventQuery{Limit: 10}, []int{5, 4, 3, 2, 1, 0}},
		"a page":   {hooks.EventQuery{Limit: 2}, []int{5, 4}},
		"the next": {hooks.EventQuery{Limit: 3, Before: es[4].ID}, []int{3, 2, 1}},
		"action":   {hooks.EventQuery{Limit: 10, Action: "UserDeleted"}, []int{5, 3, 1}},
		"waiting":  {hooks.EventQuery{Limit: 10, State: hooks.EventWaiting}, []int{5, 4, 3}},
		"done":     {hooks.EventQuery{Limit: 10, State: hooks.EventDone}, []int{1, 0}},
		"parked":   {hooks.EventQuery{Limit: 10, State: hooks.EventParked}, []int{2}},
		"since":    {hooks.EventQuery{Limit: 10, Since: es[4].ReceivedAt}, []int{5, 4}},
		"until":    {hooks.EventQuery{Limit: 10, Until: es[1].ReceivedAt}, []int{0}},
		"together": {hooks.EventQuery{Limit: 10, Action: "UserDeleted", State: hooks.EventWaiting, Since: es[1].ReceivedAt, Until: es[5].ReceivedAt, Before: es[5].ID}, []int{3}},
		"none":     {hooks.EventQuery{Limit: 10, Action: "x"}, nil},
	} {
		c.q.Tenant = "t1"
		var want []string
		for _, i := range c.want {
			want = append(want, es[i].ID)
		}
		equal(t, what, eventIDs(hooked(t, s, func(tx hooks.Tx) ([]*hooks.Event, error) { return tx.Events(c.q) })), want)
	}
}

// testEventsAtOnce: the same is told by many at the same time, in another order each
// time, and is stored once. Everybody asks for one and the same job.
func testEventsAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	const rounds, tellers, each = 5, 8, 20
	for round := range rounds {
		var total atomic.Int64
		errs := atOnce(tellers, func(i int) error {
			var es []*hooks.Event
			for k := range each {
				e := event(fmt.Sprint(round, " ", (k*7+i*3)%each), start)
				e.Lookups = [][]byte{hashOf("somebody")}
				es = append(es, e)
			}
			fresh := 0
			err := tryHooks(t, stores[i%2], func(tx hooks.Tx) (err error) {
				if fresh, err = tx.InsertEvents("t1", es); err != nil {
					return err
				}
				return tx.Enqueue(&proof.Job{ID: id(), Tenant: "t1", Kind: hooks.JobPump, RunAt: start})
			})
			total.Add(int64(fresh))
			return err
		})
		ok(t, errors.Join(errs...))
		equal(t, "new in all", total.Load(), int64(each))
	}
	equal(t, "waiting", len(waiting(t, stores[0], "t1", 1000)), rounds*each)
	equal(t, "job", claimOne(t, stores[0], "x", start).Kind, hooks.JobPump)
}

// testPumpMissesNothing: whoever reads what waits, while others store, in the end has
// read all and each once, in whatever order the transactions ended.
func testPumpMissesNothing(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	const tellers, each = 6, 15
	var told atomic.Int64
	seen := map[string]int{}
	errs := atOnce(tellers+1, func(i int) error {
		s := stores[i%2]
		if i < tellers {
			defer told.Add(1)
			for k := range each {
				es := []*hooks.Event{event(fmt.Sprint(i, " ", k, "a"), start), event(fmt.Sprint(i, " ", k, "b"), start)}
				if err := tryHooks(t, s, func(tx hooks.Tx) error { _, err := tx.InsertEvents("t1", es); return err }); err != nil {
					return err
				}
			}
			return nil
		}
		for {
			over := told.Load() == tellers
			var got []string
			err := tryHooks(t, s, func(tx hooks.Tx) error {
				es, err := tx.WaitingEvents("t1", 7)
				if got = eventIDs(es); err != nil || len(got) == 0 {
					return err
				}
				return tx.EventsEvaluated("t1", got, 1)
			})
			for _, id := range got {
				if err == nil {
					seen[id]++
				}
			}
			if err != nil && proof.CodeOf(err) != proof.CodeUnavailable || over && len(got) == 0 {
				return err
			}
		}
	})
	ok(t, errors.Join(errs...))
	equal(t, "events", len(seen), tellers*each*2)
	for id, n := range seen {
		if n != 1 {
			t.Errorf("%s was evaluated %d times", id, n)
		}
	}
}

// testPumpsAtOnce: of two that evaluate the same, one does.
func testPumpsAtOnce(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	for round := range 5 {
		e := event(fmt.Sprint(round), start)
		insertEvents(t, stores[0], "t1", e)
		onlyWinner(t, atOnce(6, func(i int) error {
			return tryHooks(t, stores[i%2], func(tx hooks.Tx) error { return tx.EventsEvaluated("t1", []string{e.ID}, int64(i)) })
		}))
		onlyWinner(t, atOnce(6, func(i int) error {
			return tryHooks(t, stores[i%2], func(tx hooks.Tx) error { return tx.InsertWork(work(e, "rule", 0)) })
		}))
	}
}

func testForgetEvents(t *testing.T, o Opener) {
	s := open(t, o)
	gone, other := hashOf("gone"), hashOf("other")
	alone, both, third, done := event("alone", start), event("both", start), event("third", start), event("done", start)
	alone.Lookups, both.Lookups, third.Lookups, done.Lookups = [][]byte{gone}, [][]byte{other, gone}, [][]byte{other}, [][]byte{gone}
	insertEvents(t, s, "t1", alone, both, third, done)
	evaluated(t, s, done.ID)
	elsewhere := *alone
	elsewhere.Tenant = "t2"
	insertEvents(t, s, "t2", &elsewhere)
	w, kept := work(alone, "rule", 0), work(third, "rule", 0)
	updateHooks(t, s, func(tx hooks.Tx) error { return errors.Join(tx.InsertWork(w), tx.InsertWork(kept)) })

	forget := func(lookup []byte) (n int) {
		updateHooks(t, s, func(tx hooks.Tx) (err error) { n, err = tx.ForgetEvents("t1", lookup); return err })
		return n
	}
	equal(t, "nobody", []int{forget(nil), forget(hashOf("stranger"))}, []int{0, 0})
	equal(t, "forgotten", forget(gone), 3)
	for _, e := range []*hooks.Event{alone, both, done} {
		got := readEvent(t, s, e.ID)
		if got.Sealed != nil || got.Lookups != nil {
			t.Errorf("left: %+v", got)
		}
		equal(t, "the rest stays", []any{got.Hash, got.Action, got.ReceivedAt}, []any{e.Hash, e.Action, e.ReceivedAt})
	}
	equal(t, "waits all the same", waiting(t, s, "t1", 10), []string{alone.ID, both.ID, third.ID})
	equal(t, "again", forget(gone), 0)
	equal(t, "somebody else's", readEvent(t, s, third.ID), third)
	equal(t, "another tenant's", hooked(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t2", alone.ID) }), &elsewhere)
	// What was forgotten with somebody is not found by another who was in it.
	equal(t, "the other one", forget(other), 1)
	// Looking for somebody goes through all there is, however many came in between.
	var between []*hooks.Event
	for n := range 45 {
		between = nil
		for k := range 100 {
			b := event(fmt.Sprint("between ", n, " ", k), start)
			b.Lookups = [][]byte{other}
			if k == 0 && n%11 == 0 {
				b.Lookups = append(b.Lookups, gone)
			}
			between = append(between, b)
		}
		insertEvents(t, s, "t1", between...)
	}
	// One that is told again beside a new one is found once.
	beside := event("beside", start)
	beside.Lookups = [][]byte{other}
	equal(t, "again, and another", insertEvents(t, s, "t1", between[1], beside), 1)
	equal(t, "those since", forget(gone), 5)
	equal(t, "the others", forget(other), 45*100-5+1)
	equal(t, "nobody is left", []int{forget(gone), forget(other)}, []int{0, 0})
	// It stays known.
	late := *alone
	late.ID = id()
	equal(t, "told again", insertEvents(t, s, "t1", &late), 0)

	// And what came of it is forgotten with it; a copy read before brings nothing back.
	read := hooked(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t1", w.ID) })
	equal(t, "work", read.Sealed, []byte(nil))
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.UpdateWork(w) })
	read = hooked(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t1", w.ID) })
	equal(t, "an old copy", []any{read.Sealed, read.Version}, []any{[]byte(nil), int64(1)})
	l := work(alone, "rule", 1)
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.InsertWork(l) })
	equal(t, "work that comes late", hooked(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t1", l.ID) }).Sealed, []byte(nil))
}

// testEraseHooks: erasing a subject forgets what door C keeps of it, by its lookup and
// by its id.
func testEraseHooks(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, bystander)
	e, its, foreign := event("e", start), event("its", start), event("foreign", start)
	e.Lookups, foreign.Lookups = [][]byte{p.Lookup}, [][]byte{bystander.Lookup}
	insertEvents(t, s, "t1", e, its, foreign)
	w, byEvent, kept := work(its, "rule", 0), work(e, "rule", 0), work(foreign, "rule", 0)
	w.Subject, kept.Subject = p.ID, bystander.ID
	updateHooks(t, s, func(tx hooks.Tx) error {
		return errors.Join(tx.InsertWork(w), tx.InsertWork(byEvent), tx.InsertWork(kept))
	})
	update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start) })
	equal(t, "event", readEvent(t, s, e.ID).Sealed, []byte(nil))
	equal(t, "somebody else's", readEvent(t, s, foreign.ID), foreign)
	read := func(id string) *hooks.Work {
		return hooked(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t1", id) })
	}
	for _, id := range []string{w.ID, byEvent.ID} {
		equal(t, "work", read(id).Sealed, []byte(nil))
	}
	equal(t, "somebody else's work", read(kept.ID), kept)
	// The work that erased can say that it did.
	w.State, w.EndedAt = hooks.WorkDone, start
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.UpdateWork(w) })
	equal(t, "ended", []any{read(w.ID).State, read(w.ID).Sealed}, []any{hooks.WorkDone, []byte(nil)})
	// Work about somebody who was erased meanwhile keeps nothing of them.
	late := work(foreign, "rule", 1)
	late.Subject = p.ID
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.InsertWork(late) })
	equal(t, "late", read(late.ID).Sealed, []byte(nil))
}

func testPurgeEvents(t *testing.T, o Opener) {
	s := open(t, o)
	// How long hashes stay is reckoned from the clock, so these are its times.
	now := time.Now().UTC().Truncate(time.Microsecond)
	day := 24 * time.Hour
	old, older, oldest, fresh, parked := event("old", now.Add(-15*day)), event("older", now.Add(-19*day)), event("oldest", now.Add(-25*day)), event("fresh", now.Add(-5*day)), event("parked", now.Add(-25*day))
	undone := event("undone", now.Add(-25*day))
	oldest.Lookups = [][]byte{hashOf("x")}
	insertEvents(t, s, "t1", old, older, oldest, fresh, parked, undone)
	elsewhere := *oldest
	elsewhere.Tenant = "t2"
	insertEvents(t, s, "t2", &elsewhere)
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.EventsEvaluated("t2", []string{elsewhere.ID}, 1) })
	evaluated(t, s, old.ID, older.ID, oldest.ID, fresh.ID)
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.ParkEvent("t1", parked.ID, "x") })
	purge := func(before time.Time, limit int) (n int) {
		updateHooks(t, s, func(tx hooks.Tx) (err error) { n, err = tx.PurgeEvents("t1", before, limit); return err })
		return n
	}
	left := func() []string {
		return eventIDs(hooked(t, s, func(tx hooks.Tx) ([]*hooks.Event, error) { return tx.Events(hooks.EventQuery{Tenant: "t1", Limit: 10}) }))
	}
	// known counts of which of these the hash is still there, and stores none.
	known := func(es ...*hooks.Event) (n int) {
		mine := errors.New("mine")
		is(t, "looking", tryHooks(t, s, func(tx hooks.Tx) error {
			for _, e := range es {
				late := *e
				late.ID = id()
				fresh, err := tx.InsertEvents("t1", []*hooks.Event{&late})
				if err != nil {
					return err
				}
				n += 1 - fresh
			}
			return mine
		}), mine)
		return n
	}
	before := now.Add(-10 * day)
	equal(t, "at most, the oldest first", purge(before, 2), 2)
	equal(t, "left", left(), []string{undone.ID, parked.ID, fresh.ID, old.ID})
	_, err := askHooks(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t1", oldest.ID) })
	is(t, "purged", err, proof.ErrNotFound)
	is(t, "replaying", tryHooks(t, s, func(tx hooks.Tx) error { return tx.ReplayEvent("t1", oldest.ID) }), proof.ErrNotFound)
	equal(t, "nobody is in it any more", hookedUpdate(t, s, func(tx hooks.Tx) (int, error) { return tx.ForgetEvents("t1", hashOf("x")) }), 0)
	equal(t, "but its hash", known(old, older, oldest), 3)
	// The hash of what came twice as long ago goes.
	equal(t, "the rest", purge(before, 2), 1)
	equal(t, "hashes", []int{known(oldest), known(old, older)}, []int{0, 2})
	equal(t, "no more", purge(before, 2), 0)
	equal(t, "left", left(), []string{undone.ID, parked.ID, fresh.ID})
	// A day at least, however short the content is kept.
	recent := event("recent", now.Add(-time.Hour))
	insertEvents(t, s, "t1", recent)
	evaluated(t, s, recent.ID)
	equal(t, "all", purge(now, 10), 2)
	equal(t, "hashes", []int{known(fresh, recent), known(old, older)}, []int{2, 0})
	equal(t, "after a day", purge(now, 10), 1)
	equal(t, "hashes", []int{known(fresh), known(recent)}, []int{0, 1})
	equal(t, "no more", purge(now, 10), 0)
	equal(t, "another tenant's", hooked(t, s, func(tx hooks.Tx) (*hooks.Event, error) { return tx.Event("t2", oldest.ID) }).Sealed, elsewhere.Sealed)
	equal(t, "left", left(), []string{undone.ID, parked.ID})
}

// hookedUpdate asks in an update.
func hookedUpdate[T any](t *testing.T, s Store, ask func(hooks.Tx) (T, error)) (v T) {
	t.Helper()
	updateHooks(t, s, func(tx hooks.Tx) (err error) { v, err = ask(tx); return err })
	return v
}

func testWork(t *testing.T, o Opener) {
	s := open(t, o)
	e, f := event("e", start), event("f", start)
	insertEvents(t, s, "t1", e, f)
	a, b, c, d := work(e, "r", 0), work(e, "r", 1), work(e, "q", 0), work(f, "r", 0)
	updateHooks(t, s, func(tx hooks.Tx) error {
		return errors.Join(tx.InsertWork(a), tx.InsertWork(b), tx.InsertWork(c), tx.InsertWork(d))
	})
	is(t, "the same again", tryHooks(t, s, func(tx hooks.Tx) error { return tx.InsertWork(work(e, "r", 1)) }), proof.ErrStale)
	elsewhere := *a
	elsewhere.Tenant = "t2"
	updateHooks(t, s, func(tx hooks.Tx) error { return tx.InsertWork(&elsewhere) })
	change := func(w *hooks.Work) error { return tryHooks(t, s, func(tx hooks.Tx) error { return tx.UpdateWork(w) }) }
	stale := *a
	a.State, a.EndedAt = hooks.WorkDone, start.Add(time.Hour)
	ok(t, change(a))
	equal(t, "counted up", a.Version, int64(1))
	is(t, "an old copy", change(&stale), proof.ErrStale)
	missing := work(e, "x", 0)
	is(t, "not there", change(missing), proof.ErrNotFound)
	stale.Tenant = "t3"
	is(t, "another tenant's", change(&stale), proof.ErrNotFound)
	_, err := askHooks(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t3", a.ID) })
	is(t, "another tenant's", err, proof.ErrNotFound)
	for what, q := range map[string]struct {
		hooks.WorkQuery
		want []*hooks.Work
	}{
		"all":      {hooks.WorkQuery{Limit: 10}, []*hooks.Work{d, c, b, a}},
		"a page":   {hooks.WorkQuery{Limit: 1, Before: c.ID}, []*hooks.Work{b}},
		"event":    {hooks.WorkQuery{Limit: 10, Event: e.ID}, []*hooks.Work{c, b, a}},
		"rule":     {hooks.WorkQuery{Limit: 10, Rule: "r"}, []*hooks.Work{d, b, a}},
		"state":    {hooks.WorkQuery{Limit: 10, State: hooks.WorkDone}, []*hooks.Work{a}},
		"together": {hooks.WorkQuery{Limit: 10, State: hooks.WorkWaiting, Rule: "r", Event: e.ID}, []*hooks.Work{b}},
		"none":     {hooks.WorkQuery{Limit: 10, Rule: "none"}, nil},
	} {
		q.Tenant = "t1"
		equal(t, what, hooked(t, s, func(tx hooks.Tx) ([]*hooks.Work, error) { return tx.Works(q.WorkQuery) }), q.want)
	}
	b.State, b.EndedAt = hooks.WorkFailed, start.Add(2*time.Hour)
	ok(t, change(b))
	purge := func(before time.Time, limit int) int {
		return hookedUpdate(t, s, func(tx hooks.Tx) (int, error) { return tx.PurgeWork("t1", before, limit) })
	}
	equal(t, "not yet", purge(start.Add(time.Hour), 10), 0)
	equal(t, "the first", purge(start.Add(3*time.Hour), 1), 1)
	equal(t, "the second, and no more", []int{purge(start.Add(3*time.Hour), 1), purge(start.Add(3*time.Hour), 1)}, []int{1, 0})
	equal(t, "left", hooked(t, s, func(tx hooks.Tx) ([]*hooks.Work, error) { return tx.Works(hooks.WorkQuery{Tenant: "t1", Limit: 10}) }), []*hooks.Work{d, c})
}

func testEveryHooksField(t *testing.T, o Opener) {
	s := open(t, o)
	e := new(hooks.Event)
	fill(t, reflect.ValueOf(e).Elem(), 0)
	e.Tenant, e.Hash = "t1", hashOf("e")
	insertEvents(t, s, "t1", e)
	e.State, e.Reason, e.Rules = hooks.EventWaiting, "", 0 // what else it says is not stored
	equal(t, "event", readEvent(t, s, e.ID), e)
	bare := &hooks.Event{ID: id(), Tenant: "t1", Hash: hashOf("bare"), Sealed: []byte{0}, State: hooks.EventWaiting}
	insertEvents(t, s, "t1", bare)
	equal(t, "bare event", readEvent(t, s, bare.ID), bare)

	w := new(hooks.Work)
	fill(t, reflect.ValueOf(w).Elem(), 0)
	w.Tenant = "t1"
	for _, w := range []*hooks.Work{w, {ID: id(), Tenant: "t1"}} {
		updateHooks(t, s, func(tx hooks.Tx) error { return tx.InsertWork(w) })
		read := func() *hooks.Work {
			return hooked(t, s, func(tx hooks.Tx) (*hooks.Work, error) { return tx.Work("t1", w.ID) })
		}
		equal(t, "work", read(), w)
		changed := *w
		fill(t, reflect.ValueOf(&changed).Elem(), 1000)
		// Which action of which event it is never changes.
		changed.Tenant, changed.ID, changed.Version = w.Tenant, w.ID, w.Version
		changed.Event, changed.Rule, changed.Index, changed.Kind, changed.CreatedAt = w.Event, w.Rule, w.Index, w.Kind, w.CreatedAt
		updateHooks(t, s, func(tx hooks.Tx) error { c := changed; err := tx.UpdateWork(&c); *w = c; return err })
		equal(t, "work, changed", read(), w)
		equal(t, "version", w.Version, changed.Version+1)
	}
}

func testRules(t *testing.T, o Opener) {
	s := open(t, o)
	newest := func(tx hooks.Tx) (*hooks.Rules, error) { return tx.Rules("t1") }
	_, err := askHooks(t, s, newest)
	is(t, "none yet", err, proof.ErrNotFound)
	all := []*hooks.Rules{}
	for v := range int64(3) {
		r := &hooks.Rules{Tenant: "t1", Version: v + 1, Author: "ünïcode", Comment: fmt.Sprint(v), At: start, Rules: []hooks.Rule{{
			ID: "a", Name: "A", Off: v == 1, On: []string{"UserCreated", "*"}, If: `event.email == "x"`, Count: &hooks.Count{AtLeast: 3, Within: "1h"},
			Do: []hooks.Action{{Do: hooks.WriteAttributes, Attributes: map[string]string{"k": "v"}, Roles: []string{"r"}, Text: "t"}},
		}}}
		updateHooks(t, s, func(tx hooks.Tx) error { return tx.InsertRules(r) })
		all = append(all, r)
	}
	is(t, "again", tryHooks(t, s, func(tx hooks.Tx) error { return tx.InsertRules(all[1]) }), proof.ErrStale)
	equal(t, "the newest", hooked(t, s, newest), all[2])
	equal(t, "a version", hooked(t, s, func(tx hooks.Tx) (*hooks.Rules, error) { return tx.RulesVersion("t1", 2) }), all[1])
	list := hooked(t, s, func(tx hooks.Tx) ([]*hooks.Rules, error) { return tx.RuleVersions("t1") })
	slices.Reverse(all)
	for _, r := range all {
		r.Rules = nil
	}
	equal(t, "newest first, without the rules", list, all)
	for what, ask := range map[string]func(hooks.Tx) (*hooks.Rules, error){
		"no such version":          func(tx hooks.Tx) (*hooks.Rules, error) { return tx.RulesVersion("t1", 4) },
		"another tenant's version": func(tx hooks.Tx) (*hooks.Rules, error) { return tx.RulesVersion("t2", 1) },
		"another tenant's":         func(tx hooks.Tx) (*hooks.Rules, error) { return tx.Rules("t2") },
	} {
		_, err := askHooks(t, s, ask)
		is(t, what, err, proof.ErrNotFound)
	}
	onlyWinner(t, atOnce(6, func(int) error {
		return tryHooks(t, s, func(tx hooks.Tx) error { return tx.InsertRules(&hooks.Rules{Tenant: "t1", Version: 4, At: start}) })
	}))
}

func testCursors(t *testing.T, o Opener) {
	s := open(t, o)
	cursor := func(tenant, name string) time.Time {
		return hooked(t, s, func(tx hooks.Tx) (time.Time, error) { return tx.Cursor(tenant, name) })
	}
	set := func(at time.Time) {
		updateHooks(t, s, func(tx hooks.Tx) error { return tx.SetCursor("t1", "audit", at) })
	}
	equal(t, "none", cursor("t1", "audit"), time.Time{})
	for _, at := range []time.Time{start, start.Add(time.Hour), start.Add(-time.Hour), {}} {
		set(at)
		equal(t, "set", cursor("t1", "audit"), at)
	}
	set(start)
	equal(t, "another", []time.Time{cursor("t1", "other"), cursor("t2", "audit")}, []time.Time{{}, {}})
}

// testHooksTransactions: all or nothing, and nothing in a view; what other doors store
// is there in the same transaction.
func testHooksTransactions(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	v, c := verification(p), challenge(p)
	put(t, s, p, v)
	putChallenges(t, s, c)
	mine := errors.New("mine")
	e := event("e", start)
	e.Lookups = [][]byte{hashOf("x")}
	all := func(tx hooks.Tx) error {
		n, err := tx.InsertEvents("t1", []*hooks.Event{e})
		if n != 1 {
			t.Errorf("%d new", n)
		}
		return errors.Join(err, tx.InsertWork(work(e, "r", 0)), tx.SetCursor("t1", "c", start),
			tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", Object: "o"}), tx.Hit("t1", "l", []byte("k"), start),
			tx.InsertMessage(message("t1")), tx.Enqueue(&proof.Job{ID: id(), Tenant: "t1", Kind: hooks.JobWork, Key: "k", RunAt: start}))
	}
	is(t, "failed", tryHooks(t, s, func(tx hooks.Tx) error { return errors.Join(all(tx), mine) }), mine)
	equal(t, "nothing", len(waiting(t, s, "t1", 10)), 0)
	equal(t, "no job", len(claim(t, s, "x", start, 10)), 0)
	ok(t, tryHooks(t, s, all))
	equal(t, "all", waiting(t, s, "t1", 10), []string{e.ID})
	equal(t, "job", claimOne(t, s, "x", start).Key, "k")
	ok(t, s.ViewHooks(t.Context(), func(tx hooks.Tx) error {
		gotSubject, err := tx.Subject("t1", p.ID)
		found, e1 := tx.SubjectByLookup("t1", p.Lookup)
		gotVerification, e2 := tx.Verification("t1", v.ID)
		gotChallenge, e3 := tx.Challenge("t1", c.ID)
		hits, e4 := tx.Hits("t1", "l", []byte("k"), start)
		equal(t, "read", []any{gotSubject, found, gotVerification, gotChallenge, hits}, []any{p, p, v, c, 1})
		return errors.Join(err, e1, e2, e3, e4)
	}))
	if err := s.ViewHooks(t.Context(), func(tx hooks.Tx) error {
		_, err := tx.InsertEvents("t1", []*hooks.Event{event("f", start)})
		return err
	}); err == nil {
		t.Error("wrote in a view")
	}
}
