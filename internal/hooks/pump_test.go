package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// failures of one person at some minutes past noon, in the order of receipt.
func TestCount(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name    string
		minutes []int
		fires   int
	}{
		{"too few", []int{0, 10}, 0},
		{"three within the hour", []int{0, 10, 20}, 1},
		{"three in more than an hour", []int{0, 40, 80}, 0},
		{"out of order", []int{20, 0, 10}, 1},
		{"in reverse order", []int{30, 20, 10}, 1},
		{"an old one that comes late", []int{150, 180, 100}, 0},
		{"not again within the hour", []int{0, 10, 20, 30, 40}, 1},
		{"again after the hour", []int{0, 10, 20, 85, 90, 95}, 2},
	} {
		t.Run(tc.name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t)
			noon := w.clock()
			w.later(4 * time.Hour)
			r := rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions})
			r.Count = &hooks.Count{AtLeast: 3, Within: "1h"}
			w.publish(r)
			for i, m := range tc.minutes {
				w.later(time.Second)
				w.accept(told("LoginFailed", noon.Add(time.Duration(m)*time.Minute), "ada"),
					told("LoginFailed", noon.Add(time.Duration(m)*time.Minute), fmt.Sprint("other", i)))
				w.run()
			}
			if got := len(w.works()); got != tc.fires {
				t.Errorf("fired %d times, want %d", got, tc.fires)
			}
			report, err := w.DryRun(t.Context(), tenant, []hooks.Rule{r}, hooks.EventQuery{}, nil)
			if err != nil || report.Rules[0].Fired != tc.fires || report.Rules[0].Matched != 2*len(tc.minutes) {
				t.Errorf("a dry run says %+v, %v; want fired %d", report, err, tc.fires)
			}
		})
	}
}

// Descope's events and ours are of the same person if the login id is the user identifier.
func TestCountAcrossSources(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	r := rule("LoginFailed", hooks.Action{Do: hooks.Notify})
	r.On = append(r.On, hooks.ChallengeEnded)
	r.Count = &hooks.Count{AtLeast: 2, Within: "10m"}
	w.publish(r)
	w.accept(told("LoginFailed", w.clock(), "ada@example.org"))
	w.challenge(w.subject("ada@example.org"), proof.ChallengeNoMatch)
	w.run()
	if len(w.outbox.drafts) != 1 {
		t.Errorf("fired %d times, want once", len(w.outbox.drafts))
	}
	nobody := told("LoginFailed", w.clock())
	nobody.Content.UserID = ""
	other := nobody
	other.Content.Data = map[string]any{"other": true}
	w.accept(nobody, other)
	w.run()
	if len(w.outbox.drafts) != 1 {
		t.Error("events of nobody were counted as one person's")
	}
}

// Many more events than one transaction takes, some of them leading to an action.
func TestManyBites(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	tenth := rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions})
	tenth.If = `event.login_id.endsWith("0")`
	w.publish(tenth)
	var list []hooks.Told
	for i := range 1201 {
		list = append(list, told("LoginFailed", w.clock(), fmt.Sprint("user", i)))
	}
	w.accept(list...)
	w.accept(list...) // told twice
	w.run()
	if len(w.project.log) != 121 || len(w.errs) > 0 {
		t.Fatalf("%d actions, want 121; %v", len(w.project.log), w.errs)
	}
	if slices.Sort(w.project.log); len(slices.Compact(w.project.log)) != 121 {
		t.Error("some action was done twice, and another not")
	}
}

// poisoned is a store that cannot store what comes of one event.
type poisoned struct {
	hooks.Store
	event string
	whole bool // no event at all, and nothing else
}

type poisonedTx struct {
	hooks.Tx
	p *poisoned
}

var errPoison = errors.New("poison")

func (p *poisoned) UpdateHooks(ctx context.Context, fn func(hooks.Tx) error) error {
	if p.whole {
		return errPoison
	}
	return p.Store.UpdateHooks(ctx, func(tx hooks.Tx) error { return fn(&poisonedTx{tx, p}) })
}

func (t *poisonedTx) InsertWork(w *hooks.Work) error {
	if w.Event == t.p.event {
		return errPoison
	}
	return t.Tx.InsertWork(w)
}

// One event that cannot be moved on parks itself and holds up nothing.
func TestPoisonInTheTransaction(t *testing.T) {
	t.Parallel()
	p := &poisoned{}
	w := newStage(t, func(o *hooks.Options) { p.Store, o.Store = o.Store, p })
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	w.accept(told("LoginFailed", w.clock(), "a"), told("LoginFailed", w.clock(), "b"), told("LoginFailed", w.clock(), "c"))
	list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10})
	if err != nil || len(list) != 3 {
		t.Fatal(list, err)
	}
	p.event = list[1].ID
	w.run()
	if len(w.project.log) != 0 {
		t.Fatal("moved on at the first failure, which may be the store's")
	}
	w.later(time.Second)
	w.run()
	w.later(time.Second)
	w.run()
	if len(w.project.log) != 2 {
		t.Fatalf("%d actions, want those of the other two", len(w.project.log))
	}
	bad, err := w.GetEvent(t.Context(), tenant, p.event)
	if err != nil || bad.State != hooks.EventParked || bad.Reason != hooks.ReasonUnreadable {
		t.Fatalf("the bad one: %+v, %v", bad, err)
	}
	p.event = ""
	if err := w.Replay(t.Context(), tenant, "operator:ada", bad.ID); err != nil {
		t.Fatal(err)
	}
	w.run()
	if bad, err = w.GetEvent(t.Context(), tenant, bad.ID); err != nil || bad.State != hooks.EventDone || len(bad.Work) != 1 || len(w.project.log) != 3 {
		t.Errorf("after the replay: %+v, %v", bad, err)
	}
	if err := w.Replay(t.Context(), tenant, "operator:ada", bad.ID); proof.CodeOf(err) != proof.CodeConflict {
		t.Errorf("a replay of what is done: %v", err)
	}
}

// As long as the store takes nothing, nothing is parked, and then all is done.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	p := &poisoned{}
	w := newStage(t, func(o *hooks.Options) { p.Store, o.Store = o.Store, p })
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	w.accept(told("LoginFailed", w.clock(), "a"))
	p.whole = true
	for range 6 {
		w.run()
		w.later(time.Second)
	}
	if len(w.errs) != 6 || slices.ContainsFunc(w.errs, func(err error) bool {
		e, ok := errors.AsType[*proof.Error](err)
		return !ok || !e.Temporary
	}) {
		t.Errorf("the pump must never be put aside: %v", w.errs)
	}
	p.whole = false
	w.run()
	w.want(hooks.WorkDone, "")
}

// sealedWrong is a vault that opens nothing that belongs to one row.
type sealedWrong struct {
	journey.Vault
	row   string
	panic bool
}

func (v *sealedWrong) OpenOwn(at journey.Place, sealed []byte) ([]byte, error) {
	if at.Row == v.row && at.Table == "hooks_events" {
		if v.panic {
			panic("a bug")
		}
		return nil, errors.New("sealed value does not open")
	}
	return v.Vault.OpenOwn(at, sealed)
}

func TestPoisonInTheEvaluation(t *testing.T) {
	t.Parallel()
	for _, panics := range []bool{false, true} {
		t.Run(fmt.Sprint("panics ", panics), func(t *testing.T) {
			t.Parallel()
			bad := &sealedWrong{panic: panics}
			w := newStage(t, func(o *hooks.Options) { bad.Vault, o.Vault = o.Vault, bad })
			w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
			w.accept(told("LoginFailed", w.clock(), "a"), told("LoginFailed", w.clock(), "b"))
			list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10})
			if err != nil {
				t.Fatal(err)
			}
			bad.row = list[1].ID
			w.run()
			if len(w.project.log) != 1 || len(w.errs) != 0 {
				t.Errorf("%d actions, want one, at once; %v", len(w.project.log), w.errs)
			}
			var e *hooks.Event
			if err := w.store.ViewHooks(t.Context(), func(tx hooks.Tx) (err error) { e, err = tx.Event(tenant, bad.row); return err }); err != nil || e.State != hooks.EventParked {
				t.Errorf("the bad one: %+v, %v", e, err)
			}
		})
	}
}

// Two pumps at once, because one lost its lease: what both did is there once.
func TestTwoPumps(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	var list []hooks.Told
	for i := range 80 {
		list = append(list, told("LoginFailed", w.clock(), fmt.Sprint("user", i)))
	}
	w.accept(list...)
	errs := make(chan error, 4)
	for range 4 {
		go func() {
			_, err := w.Pump(t.Context(), proof.Job{Tenant: tenant, Kind: hooks.JobPump})
			errs <- err
		}()
	}
	for range 4 {
		if err := <-errs; err != nil && !errors.Is(err, proof.ErrStale) {
			t.Error(err)
		}
	}
	w.run()
	if len(w.project.log) != 80 {
		t.Errorf("%d actions, want 80", len(w.project.log))
	}
}

// A verification that ends is told once, however often its job runs, and in its own words.
func TestEnded(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	ada := w.subject("ada@example.org")
	v := w.verification(ada, proof.Failed, "")
	c := w.challenge(ada, proof.ChallengeFailed)
	w.run()
	for _, key := range []string{"verification:" + v.ID, "challenge:" + c.ID, "subject:" + ada.ID, "verification:unknown", "x"} {
		if next, err := w.Ended(t.Context(), proof.Job{Tenant: tenant, Key: key}); err != nil || !next.IsZero() {
			t.Errorf("%s: %v, %v", key, next, err)
		}
	}
	list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10})
	if err != nil || len(list) != 2 {
		t.Fatalf("%d events, want 2, as the person was not erased: %v", len(list), err)
	}
	w.update(func(tx journey.Tx) error { return tx.EraseSubject(tenant, ada.ID, w.clock()) })
	if _, err := w.Ended(t.Context(), proof.Job{Tenant: tenant, Key: "subject:" + ada.ID}); err != nil {
		t.Fatal(err)
	}
	list, err = w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10})
	if err != nil || len(list) != 3 || list[0].Action != hooks.SubjectErased {
		t.Fatalf("%+v, %v", list, err)
	}
	for _, e := range list[1:] {
		if e.Content == nil || e.Content.Subject != ada.ID || e.Source != hooks.SourceHere {
			t.Errorf("%+v", e)
			continue
		}
		if e.Action == hooks.ChallengeEnded && e.Content.Data["result"] != "error" || e.Action == hooks.VerificationEnded && e.Content.Data["status"] != "failed" {
			t.Errorf("%s says %v", e.Action, e.Content.Data)
		}
	}
}

// Nobody outside can say that something ended here, nor have an operator's click do so.
func TestForged(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	ada := w.subject("ada@example.org")
	forged := hooks.Told{Action: hooks.VerificationEnded, OccurredAt: w.clock(), Content: hooks.Content{
		LoginIDs: []string{"ada@example.org"}, Subject: ada.ID, Object: "v", Data: map[string]any{"status": "verified", "ial_level": "IAL3"},
	}}
	w.accept(forged)
	w.run()
	list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10})
	if err != nil || len(list) != 1 || list[0].State != hooks.EventParked {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := w.Replay(t.Context(), tenant, "operator:ada", list[0].ID); proof.CodeOf(err) != proof.CodeConflict {
		t.Errorf("replayed: %v", err)
	}
	compiled, err := hooks.Compile(hooks.Defaults())
	if err != nil {
		t.Fatal(err)
	}
	if got := compiled.Matching(&hooks.Event{Action: hooks.VerificationEnded, Source: hooks.SourceSearch}, &forged.Content); got != nil {
		t.Errorf("rules %v believe it", got)
	}
}

func TestPurge(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	w.accept(told("LoginFailed", w.clock(), "ada"))
	if err := w.Begin(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.run()
	w.later(29 * 24 * time.Hour)
	if next, err := w.Purge(t.Context(), proof.Job{Tenant: tenant}); err != nil || next.Sub(w.clock()) != time.Hour || len(w.works()) != 1 {
		t.Errorf("%v, %v, %d", next, err, len(w.works()))
	}
	w.later(2 * 24 * time.Hour)
	if _, err := w.Purge(t.Context(), proof.Job{Tenant: tenant}); err != nil || len(w.works()) != 0 {
		t.Errorf("%v, %d left", err, len(w.works()))
	}
	if list, err := w.ListEvents(t.Context(), hooks.EventQuery{Tenant: tenant, Limit: 10}); err != nil || len(list) != 0 {
		t.Errorf("%d events left, %v", len(list), err)
	}
}
