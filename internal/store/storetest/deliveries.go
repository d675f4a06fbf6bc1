package storetest

import (
	"errors"
	"fmt"
	"reflect"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func message(tenant string) *deliveries.Message {
	return &deliveries.Message{ID: id(), Tenant: tenant, Type: "verification.ended", At: start, Sealed: []byte("sealed body")}
}

func endpoint(name string) *deliveries.Endpoint {
	return &deliveries.Endpoint{
		ID: id(), Tenant: "t1", Name: name, URL: "https://" + name + ".example", Shape: deliveries.ShapeStandard,
		Sealed: []byte("sealed secrets"), CreatedAt: start, UpdatedAt: start,
	}
}

func delivery(m *deliveries.Message, endpoint string) *deliveries.Delivery {
	return &deliveries.Delivery{
		ID: id(), Tenant: m.Tenant, Message: m.ID, Endpoint: endpoint, Type: m.Type, State: deliveries.Waiting, NextAt: start, CreatedAt: start,
	}
}

func tryDeliveries(t *testing.T, s Store, fn func(deliveries.Tx) error) error {
	return s.UpdateDeliveries(t.Context(), fn)
}

func updateDeliveries(t *testing.T, s Store, fn func(deliveries.Tx) error) {
	t.Helper()
	ok(t, s.UpdateDeliveries(t.Context(), fn))
}

func askDeliveries[T any](t *testing.T, s Store, ask func(deliveries.Tx) (T, error)) (v T, err error) {
	err = s.ViewDeliveries(t.Context(), func(tx deliveries.Tx) (err error) { v, err = ask(tx); return err })
	return v, err
}

func delivered[T any](t *testing.T, s Store, ask func(deliveries.Tx) (T, error)) T {
	t.Helper()
	v, err := askDeliveries(t, s, ask)
	ok(t, err)
	return v
}

func readMessage(t *testing.T, s Store, id string) *deliveries.Message {
	t.Helper()
	return delivered(t, s, func(tx deliveries.Tx) (*deliveries.Message, error) { return tx.Message("t1", id) })
}

func testMessages(t *testing.T, o Opener) {
	s := open(t, o)
	m := message("t1")
	updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertMessage(m) })
	equal(t, "message", readMessage(t, s, m.ID), m)
	for tenant, id := range map[string]string{"t1": "none", "t2": m.ID} {
		_, err := askDeliveries(t, s, func(tx deliveries.Tx) (*deliveries.Message, error) { return tx.Message(tenant, id) })
		is(t, "not there, or another tenant's", err, proof.ErrNotFound)
	}
	is(t, "the same again", tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertMessage(m) }), proof.ErrStale)
}

func testEndpoints(t *testing.T, o Opener) {
	s := open(t, o)
	a, b, elsewhere := endpoint("a"), endpoint("b"), endpoint("c")
	elsewhere.Tenant = "t2"
	updateDeliveries(t, s, func(tx deliveries.Tx) error {
		return errors.Join(tx.InsertEndpoint(b), tx.InsertEndpoint(a), tx.InsertEndpoint(elsewhere))
	})
	is(t, "the same again", tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertEndpoint(a) }), proof.ErrStale)
	list := func(tenant string) []*deliveries.Endpoint {
		return delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Endpoint, error) { return tx.Endpoints(tenant) })
	}
	equal(t, "all", list("t1"), []*deliveries.Endpoint{a, b})
	equal(t, "another tenant's", list("t2"), []*deliveries.Endpoint{elsewhere})
	change := func(e *deliveries.Endpoint) error {
		return tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.UpdateEndpoint(e) })
	}
	stale := *a
	a.Disabled, a.Why, a.FailingSince, a.Sealed = true, "it failed for days", start.Add(time.Hour), []byte("other secrets")
	ok(t, change(a))
	equal(t, "counted up", a.Version, int64(1))
	equal(t, "changed", delivered(t, s, func(tx deliveries.Tx) (*deliveries.Endpoint, error) { return tx.Endpoint("t1", a.ID) }), a)
	is(t, "an old copy", change(&stale), proof.ErrStale)
	stale.Tenant = "t2"
	is(t, "another tenant's", change(&stale), proof.ErrNotFound)
	onlyWinner(t, atOnce(6, func(i int) error { c := *b; c.Name = fmt.Sprint(i); return change(&c) }))

	drop := func(tenant, id string) error {
		return tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.DeleteEndpoint(tenant, id) })
	}
	is(t, "another tenant's", drop("t2", a.ID), proof.ErrNotFound)
	m := message("t1")
	d := delivery(m, a.ID)
	updateDeliveries(t, s, func(tx deliveries.Tx) error { return errors.Join(tx.InsertMessage(m), tx.InsertDelivery(d)) })
	ok(t, drop("t1", a.ID))
	is(t, "dropped", drop("t1", a.ID), proof.ErrNotFound)
	is(t, "changing what is gone", change(a), proof.ErrNotFound)
	equal(t, "left", len(list("t1")), 1)
	equal(t, "what was sent there stays", delivered(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t1", d.ID) }), d)
}

func testDeliveries(t *testing.T, o Opener) {
	s := open(t, o)
	m, n := message("t1"), message("t1")
	n.Type = "challenge.ended"
	a, b, c := delivery(m, "x"), delivery(m, "y"), delivery(n, "x")
	c.CreatedAt = start.Add(time.Hour)
	insert := func(d *deliveries.Delivery) error {
		return tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertDelivery(d) })
	}
	ok(t, errors.Join(insert(a), insert(b), insert(c)))
	is(t, "again", insert(delivery(m, "x")), proof.ErrStale)
	replay, replay2, test := delivery(m, "x"), delivery(m, "x"), delivery(m, "x")
	replay.Replay, replay2.Replay, test.Test = true, true, true
	ok(t, errors.Join(insert(replay), insert(replay2), insert(test)))
	elsewhere := *a
	elsewhere.Tenant = "t2"
	ok(t, insert(&elsewhere))
	onlyWinner(t, atOnce(6, func(int) error { return insert(delivery(m, "z")) }))

	change := func(d *deliveries.Delivery) error {
		return tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.UpdateDelivery(d) })
	}
	stale := *b
	b.State, b.Attempts, b.EndedAt, b.NextAt, b.Reason = deliveries.Failed, 10, start.Add(time.Hour), time.Time{}, proof.ReasonUpstreamTimeout
	ok(t, change(b))
	equal(t, "counted up", b.Version, int64(1))
	equal(t, "changed", delivered(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t1", b.ID) }), b)
	is(t, "an old copy", change(&stale), proof.ErrStale)
	stale.Tenant = "t2"
	is(t, "another tenant's", change(&stale), proof.ErrNotFound)
	_, err := askDeliveries(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t2", b.ID) })
	is(t, "another tenant's", err, proof.ErrNotFound)

	for what, q := range map[string]struct {
		deliveries.DeliveryQuery
		want []*deliveries.Delivery
	}{
		"newest first": {deliveries.DeliveryQuery{Endpoint: "x"}, []*deliveries.Delivery{test, replay2, replay, c, a}},
		"a page":       {deliveries.DeliveryQuery{Endpoint: "x", Before: test.ID, Limit: 2}, []*deliveries.Delivery{replay2, replay}},
		"type":         {deliveries.DeliveryQuery{Type: "challenge.ended"}, []*deliveries.Delivery{c}},
		"state":        {deliveries.DeliveryQuery{State: deliveries.Failed}, []*deliveries.Delivery{b}},
		"since":        {deliveries.DeliveryQuery{Since: start.Add(time.Hour)}, []*deliveries.Delivery{c}},
		"until":        {deliveries.DeliveryQuery{Endpoint: "y", Until: start.Add(time.Microsecond)}, []*deliveries.Delivery{b}},
		"too early":    {deliveries.DeliveryQuery{Until: start}, nil},
		"together":     {deliveries.DeliveryQuery{Endpoint: "x", Type: m.Type, State: deliveries.Waiting, Before: replay.ID}, []*deliveries.Delivery{a}},
	} {
		q.Tenant = "t1"
		if q.Limit == 0 {
			q.Limit = 100
		}
		equal(t, what, delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Delivery, error) { return tx.Deliveries(q.DeliveryQuery) }), q.want)
	}
}

func testAttempts(t *testing.T, o Opener) {
	s := open(t, o)
	attempt := func(n int) *deliveries.Attempt {
		return &deliveries.Attempt{Tenant: "t1", Delivery: "d", Number: n, At: start, Took: 1500 * time.Microsecond, Status: 503, Error: "no", Sealed: []byte("sealed request")}
	}
	insert := func(a *deliveries.Attempt) error {
		return tryDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertAttempt(a) })
	}
	var want []*deliveries.Attempt
	for _, n := range []int{10, 2, 1} {
		ok(t, insert(attempt(n)))
		want = append([]*deliveries.Attempt{attempt(n)}, want...)
	}
	is(t, "the same again", insert(attempt(2)), proof.ErrStale)
	equal(t, "oldest first", delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Attempt, error) { return tx.Attempts("t1", "d") }), want)
	equal(t, "another tenant's", len(delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Attempt, error) { return tx.Attempts("t2", "d") })), 0)
}

func testPurgeMessages(t *testing.T, o Opener) {
	s := open(t, o)
	at := func(hours int) *deliveries.Message {
		m := message("t1")
		m.At = start.Add(time.Duration(hours) * time.Hour)
		return m
	}
	needed, sent, unheard, fresh := at(0), at(1), at(2), at(10)
	d, e, w := delivery(sent, "x"), delivery(needed, "x"), delivery(needed, "y")
	d.State, e.State = deliveries.Delivered, deliveries.Delivered
	updateDeliveries(t, s, func(tx deliveries.Tx) error {
		var err error
		for _, m := range []*deliveries.Message{needed, sent, unheard, fresh} {
			err = errors.Join(err, tx.InsertMessage(m))
		}
		for _, d := range []*deliveries.Delivery{d, e, w} {
			err = errors.Join(err, tx.InsertDelivery(d), tx.InsertAttempt(&deliveries.Attempt{Tenant: "t1", Delivery: d.ID, Number: 1, At: start}))
		}
		return err
	})
	purge := func(tenant string, limit int) (n int) {
		updateDeliveries(t, s, func(tx deliveries.Tx) (err error) {
			n, err = tx.PurgeMessages(tenant, start.Add(10*time.Hour), limit)
			return err
		})
		return n
	}
	there := func(m *deliveries.Message) bool {
		_, err := askDeliveries(t, s, func(tx deliveries.Tx) (*deliveries.Message, error) { return tx.Message("t1", m.ID) })
		if err != nil {
			is(t, "purged", err, proof.ErrNotFound)
		}
		return err == nil
	}
	attempts := func(d *deliveries.Delivery) int {
		return len(delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Attempt, error) { return tx.Attempts("t1", d.ID) }))
	}
	equal(t, "another tenant's", purge("t2", 10), 0)
	equal(t, "one, the oldest", purge("t1", 1), 1)
	equal(t, "left", []bool{there(needed), there(sent), there(unheard), there(fresh)}, []bool{true, false, true, true})
	_, err := askDeliveries(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t1", d.ID) })
	is(t, "its delivery", err, proof.ErrNotFound)
	equal(t, "attempts", []int{attempts(d), attempts(e), attempts(w)}, []int{0, 1, 1})
	equal(t, "the rest", []int{purge("t1", 10), purge("t1", 10)}, []int{1, 0})
	w.State = deliveries.Failed
	updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.UpdateDelivery(w) })
	equal(t, "needed no more", purge("t1", 10), 1)
	equal(t, "attempts", []int{attempts(e), attempts(w)}, []int{0, 0})
	equal(t, "left", there(fresh), true)
}

// testEraseDeliveries: what was to be told of a subject, and what was sent, goes with it.
func testEraseDeliveries(t *testing.T, o Opener) {
	s := open(t, o)
	p, bystander := subject("t1"), subject("t1")
	put(t, s, p)
	put(t, s, bystander)
	its, others, nobodys := message("t1"), message("t1"), message("t1")
	its.Subject, others.Subject = p.ID, bystander.ID
	var ds []*deliveries.Delivery
	updateDeliveries(t, s, func(tx deliveries.Tx) error {
		var err error
		ds = nil
		for _, m := range []*deliveries.Message{its, others, nobodys} {
			d := delivery(m, "x")
			ds = append(ds, d)
			err = errors.Join(err, tx.InsertMessage(m), tx.InsertDelivery(d),
				tx.InsertAttempt(&deliveries.Attempt{Tenant: "t1", Delivery: d.ID, Number: 1, At: start, Sealed: []byte("sealed request")}))
		}
		return err
	})
	update(t, s, func(tx journey.Tx) error { return tx.EraseSubject("t1", p.ID, start) })
	equal(t, "its", readMessage(t, s, its.ID).Sealed, []byte(nil))
	equal(t, "somebody else's", readMessage(t, s, others.ID), others)
	equal(t, "nobody's", readMessage(t, s, nobodys.ID), nobodys)
	for i, d := range ds {
		as := delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Attempt, error) { return tx.Attempts("t1", d.ID) })
		equal(t, "sealed", as[0].Sealed != nil, i > 0)
	}
	equal(t, "the log stays", delivered(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t1", ds[0].ID) }), ds[0])
}

func testEveryDeliveriesField(t *testing.T, o Opener) {
	s := open(t, o)
	m := new(deliveries.Message)
	fill(t, reflect.ValueOf(m).Elem(), 0)
	m.Tenant = "t1"
	for _, m := range []*deliveries.Message{m, {ID: id(), Tenant: "t1"}} {
		updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertMessage(m) })
		equal(t, "message", readMessage(t, s, m.ID), m)
	}
	e := new(deliveries.Endpoint)
	fill(t, reflect.ValueOf(e).Elem(), 0)
	e.Tenant = "t1"
	for _, e := range []*deliveries.Endpoint{e, {ID: id(), Tenant: "t1"}} {
		updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertEndpoint(e) })
		read := func() *deliveries.Endpoint {
			return delivered(t, s, func(tx deliveries.Tx) (*deliveries.Endpoint, error) { return tx.Endpoint("t1", e.ID) })
		}
		equal(t, "endpoint", read(), e)
		changed := *e
		fill(t, reflect.ValueOf(&changed).Elem(), 1000)
		changed.Tenant, changed.ID, changed.Version = e.Tenant, e.ID, e.Version
		updateDeliveries(t, s, func(tx deliveries.Tx) error { c := changed; err := tx.UpdateEndpoint(&c); *e = c; return err })
		equal(t, "endpoint, changed", read(), e)
	}
	d := new(deliveries.Delivery)
	fill(t, reflect.ValueOf(d).Elem(), 0)
	d.Tenant = "t1"
	for _, d := range []*deliveries.Delivery{d, {ID: id(), Tenant: "t1"}} {
		updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertDelivery(d) })
		read := func() *deliveries.Delivery {
			return delivered(t, s, func(tx deliveries.Tx) (*deliveries.Delivery, error) { return tx.Delivery("t1", d.ID) })
		}
		equal(t, "delivery", read(), d)
		changed := *d
		fill(t, reflect.ValueOf(&changed).Elem(), 1000)
		// What goes where, and why, never changes.
		changed.Tenant, changed.ID, changed.Version, changed.Message, changed.Endpoint, changed.Type = d.Tenant, d.ID, d.Version, d.Message, d.Endpoint, d.Type
		changed.CreatedAt, changed.Replay, changed.Test = d.CreatedAt, d.Replay, d.Test
		updateDeliveries(t, s, func(tx deliveries.Tx) error { c := changed; err := tx.UpdateDelivery(&c); *d = c; return err })
		equal(t, "delivery, changed", read(), d)
	}
	a := new(deliveries.Attempt)
	fill(t, reflect.ValueOf(a).Elem(), 0)
	a.Tenant, a.Took = "t1", 42*time.Microsecond
	updateDeliveries(t, s, func(tx deliveries.Tx) error { return tx.InsertAttempt(a) })
	equal(t, "attempt", delivered(t, s, func(tx deliveries.Tx) ([]*deliveries.Attempt, error) { return tx.Attempts("t1", a.Delivery) }), []*deliveries.Attempt{a})
}

func testDeliveriesTransactions(t *testing.T, o Opener) {
	s := open(t, o)
	p := subject("t1")
	put(t, s, p)
	mine := errors.New("mine")
	m := message("t1")
	all := func(tx deliveries.Tx) error {
		return errors.Join(tx.InsertMessage(m), tx.InsertAudit(&proof.AuditRecord{ID: id(), Tenant: "t1", Object: "o"}),
			tx.Enqueue(&proof.Job{ID: id(), Tenant: "t1", Kind: deliveries.JobFanOut, Key: m.ID, RunAt: start}))
	}
	is(t, "failed", tryDeliveries(t, s, func(tx deliveries.Tx) error { return errors.Join(all(tx), mine) }), mine)
	_, err := askDeliveries(t, s, func(tx deliveries.Tx) (*deliveries.Message, error) { return tx.Message("t1", m.ID) })
	is(t, "nothing", err, proof.ErrNotFound)
	ok(t, tryDeliveries(t, s, all))
	equal(t, "job", claimOne(t, s, "x", start).Key, m.ID)
	equal(t, "subject", delivered(t, s, func(tx deliveries.Tx) (*proof.Subject, error) { return tx.Subject("t1", p.ID) }), p)
	if err := s.ViewDeliveries(t.Context(), func(tx deliveries.Tx) error { _ = tx.InsertMessage(message("t1")); return nil }); err == nil {
		t.Error("wrote in a view")
	}
}
