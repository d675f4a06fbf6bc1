package hooks_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var errDies = errors.New("the process dies here")

// carryAndDie runs a job in a process that dies within the call to the outside: nothing
// is stored after it.
func carryAndDie(ctx context.Context, w *stage, j proof.Job) {
	o := w.Options
	o.Store = &dying{Store: o.Store, w: w}
	s, err := hooks.New(o)
	if err != nil {
		w.t.Fatal(err)
	}
	_, _ = s.Carry(ctx, j)
}

// dying is a store that takes nothing any more once the outside was called.
type dying struct {
	hooks.Store
	w *stage
}

func (d *dying) UpdateHooks(ctx context.Context, fn func(hooks.Tx) error) error {
	if len(d.w.project.log)+len(d.w.mail.sent) > 0 {
		return errDies
	}
	return d.Store.UpdateHooks(ctx, fn)
}

// claim takes the due jobs off the queue and gives the one of the kind as either.
func (w *stage) claim(kind string) (pump, work *proof.Job) {
	w.t.Helper()
	list, err := w.store.Claim(w.t.Context(), "test", w.clock(), 10, time.Hour)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, c := range list {
		switch {
		case c.Kind != kind:
		case kind == hooks.JobPump:
			pump = &c.Job
		default:
			work = &c.Job
		}
		if err := w.store.Finish(w.t.Context(), c); err != nil {
			w.t.Fatal(err)
		}
	}
	return pump, work
}

func TestDead(t *testing.T) {
	t.Parallel()
	w := newStage(t)
	w.publish(rule("LoginFailed", hooks.Action{Do: hooks.RevokeSessions}))
	w.accept(told("LoginFailed", w.clock(), "ada"))
	pump, _ := w.claim(hooks.JobPump)
	if _, err := w.Pump(t.Context(), *pump); err != nil {
		t.Fatal(err)
	}
	_, work := w.claim(hooks.JobWork)
	if err := w.Dead(t.Context(), *work, errors.New("x")); err != nil {
		t.Fatal(err)
	}
	w.want(hooks.WorkFailed, proof.ReasonInternal)
	if err := w.Dead(t.Context(), *pump, errors.New("x")); err != nil {
		t.Fatal(err)
	}
	if v, err := w.Drop(t.Context(), tenant, "operator:ada", work.Key); err != nil || v.State != hooks.WorkSkipped || v.MayDrop || v.MayRetry {
		t.Errorf("drop: %+v, %v", v, err)
	}
	if _, err := w.Drop(t.Context(), tenant, "operator:ada", work.Key); proof.CodeOf(err) != proof.CodeConflict {
		t.Errorf("drop again: %v", err)
	}
	if _, err := w.Retry(t.Context(), tenant, "operator:ada", work.Key); proof.CodeOf(err) != proof.CodeConflict {
		t.Errorf("retry of what was dropped: %v", err)
	}
	if _, err := w.Retry(t.Context(), tenant, "operator:ada", "nothing"); proof.CodeOf(err) != proof.CodeNotFound {
		t.Errorf("retry of nothing: %v", err)
	}
}
