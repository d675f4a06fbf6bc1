package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// trail is Descope's audit trail: pages of a few, oldest first, events written down late.
type trail struct {
	*project
	w      *stage
	page   int
	events []entry
	asked  []time.Time
	since  []time.Time
	err    error
	upside bool // newest first, against what is documented
}

type entry struct {
	hooks.Told
	shows time.Time // from when on it is in the trail
}

func (tr *trail) AuditSince(_ context.Context, since, until time.Time, page int) ([]hooks.Told, bool, error) {
	now := tr.w.clock()
	tr.asked, tr.since = append(tr.asked, now), append(tr.since, since)
	if tr.err != nil {
		return nil, false, tr.err
	}
	var all []hooks.Told
	for _, e := range tr.events {
		if !e.shows.After(now) && !e.OccurredAt.Before(since) && e.OccurredAt.Before(until) {
			all = append(all, e.Told)
		}
	}
	slices.SortStableFunc(all, func(a, b hooks.Told) int { return a.OccurredAt.Compare(b.OccurredAt) })
	if tr.upside {
		slices.Reverse(all)
	}
	from := min(page*tr.page, len(all))
	to := min(from+tr.page, len(all))
	return all[from:to], to < len(all), nil
}

func newTrail(t *testing.T, page int) (*stage, *trail) {
	t.Helper()
	tr := &trail{page: page}
	w := newStage(t, func(o *hooks.Options) {
		tr.project, _ = o.Tenants[0].Project.(*project)
		o.Tenants[0].Project = tr
	})
	tr.w = w
	return w, tr
}

// happen makes n events, one a step from then on; delay is how late they show.
func (tr *trail) happen(from time.Time, n int, step, delay time.Duration) {
	for i := range n {
		e := happened()
		e.OccurredAt = from.Add(time.Duration(i) * step).Truncate(time.Millisecond)
		e.Content.UserID = fmt.Sprint("U", len(tr.events))
		tr.events = append(tr.events, entry{e, e.OccurredAt.Add(delay)})
	}
}

// reconcile runs the job as often as it asks for within a time.
func (w *stage) reconcile(during time.Duration) {
	w.t.Helper()
	for end := w.clock().Add(during); ; {
		next, err := w.Reconcile(w.t.Context(), proof.Job{Tenant: tenant, Kind: hooks.JobReconcile})
		if err != nil {
			w.errs = append(w.errs, err)
			next = w.clock().Add(30 * time.Second)
		}
		if !next.After(w.clock()) {
			w.t.Fatalf("again at %v, and now is %v", next, w.clock())
		}
		if next.After(end) {
			w.later(end.Sub(w.clock()))
			return
		}
		w.later(next.Sub(w.clock()))
	}
}

func TestReconcileLeavesThePastAlone(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 100)
	tr.happen(w.clock().Add(-9*time.Minute), 9, time.Minute, 0)
	w.reconcile(time.Hour)
	if len(w.events()) != 0 {
		t.Fatalf("%d events from before we were there", len(w.events()))
	}
	if n := len(tr.asked); n < 10 || n > 12 {
		t.Fatalf("%d searches in a quiet hour", n)
	}
}

// TestReconcileAfterAnOutage: while we were away for half an hour, events happened; a
// search at the start brings them, a few a minute.
func TestReconcileAfterAnOutage(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 25)
	w.reconcile(time.Minute)
	down := w.clock()
	w.later(30 * time.Minute)
	tr.happen(down, 900, 2*time.Second, 30*time.Second)
	for _, e := range tr.events[:40] { // the webhook's last words before, which it told
		w.take(hooks.SourceWebhook, e.Told)
	}
	up := w.clock()
	if err := w.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	claimed, err := w.store.Claim(t.Context(), "test", up, 10, time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	queued := false
	for _, c := range claimed {
		queued = queued || c.Kind == hooks.JobReconcile
	}
	if !queued {
		t.Fatal("a start queues no look into the audit search")
	}
	w.reconcile(20 * time.Minute)
	if n := len(w.events()); n != 900 {
		t.Fatalf("%d events of 900", n)
	}
	if !tr.asked[len(tr.asked)-1].After(up) || tr.asked[slices.IndexFunc(tr.asked, func(at time.Time) bool { return !at.Before(up) })].After(up) {
		t.Error("not at once")
	}
	for i, at := range tr.asked {
		if n := len(tr.asked) - i; n > 6 && tr.asked[i+6].Sub(at) < time.Minute {
			t.Fatalf("seven searches within %v", tr.asked[i+6].Sub(at))
		}
	}
}

// TestReconcileLate: what is written down late is found, and what the webhook told is not new.
func TestReconcileLate(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 50)
	w.reconcile(time.Minute)
	tr.happen(w.clock(), 120, 10*time.Second, 9*time.Minute)
	for i, e := range tr.events {
		if i%2 == 0 {
			w.take(hooks.SourceWebhook, e.Told)
		}
	}
	w.reconcile(45 * time.Minute)
	by := map[hooks.Source]int{}
	for _, e := range w.events() {
		by[e.Source]++
	}
	if by[hooks.SourceWebhook] != 60 || by[hooks.SourceSearch] != 60 {
		t.Fatal(by)
	}
}

// TestReconcileTroubles: whatever stops it, nothing is left out.
func TestReconcileTroubles(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 10)
	w.reconcile(time.Minute)
	tr.happen(w.clock(), 100, time.Second, 0)
	tr.err = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, RetryAfter: time.Minute}
	w.reconcile(10 * time.Minute)
	if len(w.errs) == 0 || len(w.events()) != 0 {
		t.Fatal("no trouble")
	}
	for _, err := range w.errs {
		if e := (&proof.Error{}); !asProof(err, &e) || !e.Temporary || e.RetryAfter != time.Minute {
			t.Fatalf("the job would be put aside: %v", err)
		}
	}
	tr.err = nil
	w.reconcile(25 * time.Second)
	some := len(w.events())
	if some == 0 || some == 100 {
		t.Fatalf("%d events in the middle of a pass", some)
	}
	restarted, err := hooks.New(w.Options) // another process goes on where this one stopped
	if err != nil {
		t.Fatal(err)
	}
	w.Service = restarted
	first := len(tr.since)
	w.reconcile(10 * time.Minute)
	if n := len(w.events()); n != 100 {
		t.Fatalf("%d of 100 events", n)
	}
	if tr.since[first].Before(tr.events[0].OccurredAt) {
		t.Error("after a restart it begins from the start")
	}
	// Clock set back by an hour, and later right again.
	w.later(-time.Hour)
	w.reconcile(10 * time.Minute)
	w.later(time.Hour)
	tr.happen(w.clock(), 20, time.Second, 0)
	w.reconcile(20 * time.Minute)
	if n := len(w.events()); n != 120 {
		t.Fatalf("%d of 120 events after the clock jumped", n)
	}
}

func TestReconcileOneMillisecond(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 10)
	w.reconcile(time.Minute)
	tr.happen(w.clock(), 8, 0, 0)
	tr.happen(w.clock(), 40, time.Second, 0)
	w.reconcile(20 * time.Minute)
	if n := len(w.events()); n != 48 {
		t.Fatalf("%d of 48 events", n)
	}
	tr.happen(w.clock(), 30, 0, 0) // more than a page: some are lost, but it does not stop there
	tr.happen(w.clock().Add(time.Second), 10, time.Second, 0)
	w.reconcile(20 * time.Minute)
	if n := len(w.events()); n < 48+10+10 {
		t.Fatalf("%d events", n)
	}
}

// TestReconcileUpsideDown: newest first cannot be read on from, and says so.
func TestReconcileUpsideDown(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 10)
	w.reconcile(time.Minute)
	tr.happen(w.clock(), 30, time.Second, 0)
	tr.upside = true
	w.reconcile(10 * time.Minute)
	if len(w.errs) == 0 {
		t.Fatal("it went on as if nothing was")
	}
	tr.upside = false
	w.reconcile(10 * time.Minute)
	if n := len(w.events()); n != 30 {
		t.Fatalf("%d of 30 events", n)
	}
}

// TestReconcileLost: after two months nothing from before the last 30 days is asked for.
func TestReconcileLost(t *testing.T) {
	t.Parallel()
	w, tr := newTrail(t, 10)
	w.reconcile(time.Minute)
	w.later(60 * 24 * time.Hour)
	w.reconcile(time.Minute)
	if oldest := tr.since[len(tr.since)-1]; w.clock().Sub(oldest) > 30*24*time.Hour {
		t.Fatalf("asks for %v", oldest)
	}
}

func asProof(err error, into **proof.Error) bool { return errors.As(err, into) }
