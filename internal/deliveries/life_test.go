package deliveries_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

// queue is the memory's queue for a real jobs.Runner, as far as that needs one here.
type queue struct {
	jobs.Queue
	m *memory
}

func (q queue) Claim(_ context.Context, owner string, now time.Time, limit int, _ time.Duration, _ ...jobs.Held) (out []jobs.Claimed, err error) {
	for len(out) < limit {
		j, _ := q.m.take(now)
		if j == nil {
			break
		}
		out = append(out, jobs.Claimed{Job: j.Job, Owner: owner})
	}
	return out, nil
}

func (q queue) Extend(context.Context, jobs.Claimed, time.Time) error { return nil }
func (q queue) Finish(_ context.Context, c jobs.Claimed) error {
	q.m.report(&queued{Job: c.Job}, time.Time{})
	return nil
}

func (q queue) FinishAll(ctx context.Context, cs []jobs.Claimed) ([]jobs.Claimed, error) {
	for _, c := range cs {
		_ = q.Finish(ctx, c)
	}
	return nil, nil
}

func (q queue) Reschedule(_ context.Context, c jobs.Claimed, at time.Time, _ string) error {
	q.m.report(&queued{Job: c.Job}, at)
	return nil
}

func (q queue) Prioritize(context.Context, map[string]jobs.Priority) error { return nil }

// TestNoisy: an endpoint that hangs has hundreds of deliveries waiting, of the same
// workers and queue; another endpoint does not notice.
func TestNoisy(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *deliveries.Options) { o.Unreachable = jobs.Unreachable })
		w.receiver("10.0.0.1:80", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w.receiver("10.0.0.2:80", ok)
		w.endpoint("http://10.0.0.1/", func(in *deliveries.Input) { in.Events = []string{"noisy.*"} })
		w.endpoint("http://10.0.0.2/", func(in *deliveries.Input) { in.Events = []string{"quiet.*"} })
		for range 300 {
			w.tell("noisy.one", nil)
		}
		r := jobs.New(queue{m: w.m}, jobs.Options{Workers: 8, Poll: 50 * time.Millisecond})
		for kind, h := range w.s.Handlers() {
			k := jobs.Kind{}
			if kind == deliveries.JobDeliver {
				k.Lane = jobs.Lane{Of: w.s.LaneOf}
			}
			r.HandleAs(kind, h, k)
		}
		ctx, stop := context.WithCancel(t.Context())
		over := make(chan error, 1)
		go func() { over <- r.Run(ctx) }()
		for i := range 20 {
			time.Sleep(3 * time.Second)
			told := time.Now()
			w.tell("quiet.one", nil)
			time.Sleep(time.Second)
			got := w.received("10.0.0.2:80")
			if len(got) != i+1 {
				t.Fatalf("%d told, want %d", len(got), i+1)
			}
			if late := got[i].at.Sub(told); late > 250*time.Millisecond {
				t.Errorf("told after %v", late)
			}
		}
		// The breaker of the lane: not three requests each 20 s, but few.
		if n := len(w.received("10.0.0.1:80")); n < 4 || n > 14 {
			t.Errorf("%d requests to the one that hangs", n)
		}
		stop()
		<-over
	})
}

func TestErasure(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", answer(500))
		w.endpoint("http://10.0.0.1/")
		ada, ben := w.subject("key of ada"), w.subject("key of ben")
		w.tellOf(ada, "verification.ended", map[string]any{"given_name": "Ada"})
		w.tellOf(ben, "verification.ended", map[string]any{"given_name": "Ben"})
		w.drain(time.Minute)
		w.tellOf(ada, "verification.ended", map[string]any{"given_name": "Ada"}) // nobody was told yet
		w.erase(ada)
		w.drain(100 * time.Hour)
		log := w.log()
		if len(log) != 2 || log[0].State != deliveries.Failed || log[0].Reason != proof.ReasonErased || log[0].Attempts != 2 || log[1].Attempts != 10 {
			t.Fatalf("%+v", log)
		}
		for _, a := range w.attempts(log[0].ID) {
			if a.Exchange != nil || a.Gone != proof.ReasonErased || a.Status != 500 {
				t.Errorf("%+v", a)
			}
		}
		if a := w.attempts(log[1].ID); a[0].Exchange == nil || !strings.Contains(a[0].Exchange.RequestBody, "Ben") {
			t.Errorf("%+v", a)
		}
		if _, err := w.s.Replay(t.Context(), "acme", log[0].ID, "operator"); proof.ReasonOf(err) != proof.ReasonErased {
			t.Errorf("replay: %v", err)
		}
		for _, subject := range []string{ada, "nobody"} {
			if _, _, err := w.s.Prepare(t.Context(), deliveries.Draft{Tenant: "acme", Type: "a.b", Subject: subject}); proof.ReasonOf(err) != proof.ReasonErased {
				t.Errorf("a message about somebody erased: %v", err)
			}
		}
	})
}

// TestErasedMeanwhile: the answer comes when the person is gone; of the request nothing
// is kept.
func TestErasedMeanwhile(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		ada := w.subject("key of ada")
		w.receiver("10.0.0.1:80", func(http.ResponseWriter, *http.Request) { w.erase(ada) })
		w.endpoint("http://10.0.0.1/")
		w.tellOf(ada, "verification.ended", map[string]any{"given_name": "Ada"})
		w.drain(time.Minute)
		d := w.log()[0]
		if d.State != deliveries.Delivered || w.m.state.attempts[0].Sealed != nil || w.attempts(d.ID)[0].Gone != proof.ReasonErased {
			t.Errorf("%+v %+v", d, w.attempts(d.ID))
		}
	})
}

func TestShutdown(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() })
		w.endpoint("http://10.0.0.1/")
		w.tell("a.b", nil)
		fan, _ := w.m.take(w.now())
		if err := w.work(fan); err != nil {
			t.Fatal(err)
		}
		j, _ := w.m.take(w.now())
		ctx, cancel := context.WithTimeoutCause(t.Context(), time.Second, errors.New("shutting down"))
		defer cancel()
		if _, err := w.s.Deliver(ctx, j.Job); err == nil {
			t.Error("an attempt that was broken off is reported as one")
		}
		if d := w.log()[0]; d.Attempts != 0 || d.State != deliveries.Waiting {
			t.Errorf("%+v", d)
		}
	})
}

func TestPurge(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", ok)
		w.endpoint("http://10.0.0.1/")
		for range 250 {
			w.tell("a.b", nil)
		}
		w.drain(time.Hour)
		if err := w.s.Begin(t.Context()); err != nil {
			t.Fatal(err)
		}
		w.drain(29 * 24 * time.Hour)
		if len(w.log()) == 0 {
			t.Fatal("purged before its time")
		}
		w.drain(2 * 24 * time.Hour)
		if n := len(w.m.deliveries); n != 0 {
			t.Errorf("%d deliveries are left", n)
		}
		// A delivery whose job is lost is found again.
		m := w.tell("a.b", nil)
		j, _ := w.m.take(w.now())
		for ; j.Kind != deliveries.JobFanOut; j, _ = w.m.take(w.now()) {
			w.m.report(j, w.now().Add(time.Hour))
		}
		if err := w.work(j); err != nil {
			t.Fatal(err)
		}
		before := len(w.received("10.0.0.1:80"))
		lost, _ := w.m.take(w.now())
		if lost == nil || lost.Kind != deliveries.JobDeliver {
			t.Fatal("there is no job to lose")
		}
		w.m.report(lost, time.Time{})
		w.drain(4 * time.Hour)
		r := w.received("10.0.0.1:80")
		if len(r) != before+1 || r[before].header.Get("webhook-id") != deliveries.MessageID(m.ID) {
			t.Errorf("%d requests, want one more than %d", len(r), before)
		}
		if next, err := w.s.Purge(t.Context(), proof.Job{Tenant: "gone"}); err != nil || !next.IsZero() {
			t.Errorf("a tenant that is gone: %v %v", next, err)
		}
	})
}

func TestBuried(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", answer(500))
		e, _ := w.endpoint("http://10.0.0.1/")
		w.tell("a.b", nil)
		w.drain(0)
		j := proof.Job{Tenant: "acme", Kind: deliveries.JobDeliver, Key: w.log()[0].ID}
		if lane := w.s.LaneOf(t.Context(), j); lane != e.ID {
			t.Errorf("lane %q", lane)
		}
		if lane := w.s.LaneOf(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobFanOut, Key: j.Key}); lane != "" {
			t.Errorf("lane %q", lane)
		}
		if err := w.s.Buried(t.Context(), j); err != nil || w.log()[0].State != deliveries.Failed {
			t.Error(err, w.log())
		}
		if err := w.s.Delete(t.Context(), "acme", e.ID, "operator"); err != nil {
			t.Error(err)
		}
		if _, err := w.s.Replay(t.Context(), "acme", j.Key, "operator"); proof.ReasonOf(err) != proof.ReasonEndpointGone {
			t.Errorf("replay to a deleted endpoint: %v", err)
		}
	})
}

func TestPrepareRefuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for name, d := range map[string]deliveries.Draft{
		"type":  {Tenant: "acme", Type: "a..b"},
		"empty": {Tenant: "acme"},
		"large": {Tenant: "acme", Type: "a", Data: map[string]any{"x": strings.Repeat("x", 70_000)}},
		"json":  {Tenant: "acme", Type: "a", Data: map[string]any{"x": func() {}}},
	} {
		if _, _, err := w.s.Prepare(t.Context(), d); proof.CodeOf(err) != proof.CodeInvalid && proof.CodeOf(err) != proof.CodeTooLarge {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestSQLite goes through it once with the real store and the real vault.
func TestSQLite(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	key := filepath.Join(dir, "key")
	if err := vault.Create(key); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	db, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	w := newWorld(t, func(o *deliveries.Options) { o.Store, o.Vault = db, v })
	w.receiver("10.0.0.1:80", ok)
	w.receiver("10.0.0.2:80", answer(500))
	e, secret := w.endpoint("http://10.0.0.1/")
	w.endpoint("http://10.0.0.2/")
	subject := uuid.Must(uuid.NewV7()).String()
	wrapped, err := v.NewSubjectKey("acme", subject)
	if err != nil {
		t.Fatal(err)
	}
	if err := db.Update(t.Context(), func(tx journey.Tx) error {
		return tx.InsertSubject(&proof.Subject{ID: subject, Tenant: "acme", Lookup: []byte("ada"), WrappedKey: wrapped, CreatedAt: w.now()})
	}); err != nil {
		t.Fatal(err)
	}
	m, j, err := w.s.Prepare(t.Context(), deliveries.Draft{Tenant: "acme", Type: "a.b", Subject: subject, Data: map[string]any{"given_name": "Ada"}})
	if err != nil {
		t.Fatal(err)
	}
	if err := db.UpdateDeliveries(t.Context(), func(tx deliveries.Tx) error {
		return errors.Join(tx.InsertMessage(m), tx.Enqueue(j))
	}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // as after a crash
		if _, err := w.s.FanOut(t.Context(), *j); err != nil {
			t.Fatal(err)
		}
	}
	log := w.log()
	if len(log) != 2 {
		t.Fatalf("%+v", log)
	}
	for _, d := range log {
		if _, err := w.s.Deliver(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobDeliver, Key: d.ID}); err != nil {
			t.Fatal(err)
		}
	}
	r := w.received("10.0.0.1:80")
	if len(r) != 1 || deliveries.Verify(secret, r[0].header, r[0].body, time.Now()) != nil {
		t.Fatalf("%d requests", len(r))
	}
	for _, d := range w.log() {
		a := w.attempts(d.ID)
		if len(a) != 1 || a[0].Exchange == nil || !strings.Contains(a[0].Exchange.RequestBody, "Ada") || (d.State == deliveries.Delivered) != (d.Endpoint == e.ID) {
			t.Errorf("%+v %+v", d, a)
		}
	}
	if d, a, err := w.s.Test(t.Context(), "acme", e.ID, "operator"); err != nil || a.Status != 204 || d.State != deliveries.Delivered {
		t.Error(err, a, d)
	}
	if err := db.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject("acme", subject, w.now()) }); err != nil {
		t.Fatal(err)
	}
	for _, d := range log {
		if a := w.attempts(d.ID); a[0].Exchange != nil || a[0].Gone != proof.ReasonErased {
			t.Errorf("%+v", a)
		}
		if _, err := w.s.Deliver(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobDeliver, Key: d.ID}); err != nil {
			t.Fatal(err)
		}
	}
	for _, d := range w.log()[:2] {
		if d.State == deliveries.Waiting || d.State == deliveries.Failed && d.Reason != proof.ReasonErased {
			t.Errorf("%+v", d)
		}
	}
	if p, err := w.s.ReplayAll(t.Context(), "operator", deliveries.DeliveryQuery{Tenant: "acme", State: deliveries.Failed, Until: w.now()}); err != nil || p != (deliveries.ReplayProgress{Skipped: 1}) {
		t.Error(fmt.Sprint(err), p)
	}
}
