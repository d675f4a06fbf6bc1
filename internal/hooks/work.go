package hooks

import (
	"context"
	"errors"
	"net"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// workGivesUp is for how long an action is tried again that something outside does not
// take: after that, what it was for is over. Erasing is owed for ever.
const workGivesUp = 3 * 24 * time.Hour

// effectOf is what repeating an action does.
func effectOf(t *Tenant, a *Action) Effect {
	switch {
	case a.Deliver == DeliverFlow:
		return Unknown // a flow that is run twice is run twice
	case a.Deliver == DeliverMessage && t.Messages != nil && t.Messages.Effect() != Idempotent:
		return Unknown // there is nothing to look at, either
	case a.Do == WriteAudit:
		return Readback
	}
	return Idempotent
}

// deed is one run of a Work.
type deed struct {
	*Service
	tenant  *Tenant
	work    *Work
	event   *Event // nil: purged
	action  *Action
	content *Content
}

// done is what became of a deed.
type done struct {
	state  WorkState
	reason proof.Reason
	note   string            // for people: an id, a sentence; nothing personal
	tell   *deliveries.Draft // stored and queued in the transaction that ends the work
	with   func(tx Tx) error // what else belongs in it
}

func skipped(r proof.Reason) done { return done{state: WorkSkipped, reason: r} }
func failed(r proof.Reason) done  { return done{state: WorkFailed, reason: r} }

// Carry is the job that does one action.
//
//	            ┌ temporary: the job comes again, by its backoff or Retry-After
//	waiting ────┼ nothing to do, or nobody: skipped
//	  │         ├ refused for good: failed
//	  │         └ done
//	  └ unknown: Begun is stored ─▶ the outside is called ─▶ done, failed
//	               └─ a crash, or no answer that says what came of it: parked
func (s *Service) Carry(ctx context.Context, j proof.Job) (time.Time, error) {
	t, err := s.tenant(j.Tenant)
	if err != nil {
		return time.Time{}, err
	}
	d := &deed{Service: s, tenant: t}
	err = s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		if d.work, err = tx.Work(t.ID, j.Key); err != nil {
			return err
		}
		if d.event, err = tx.Event(t.ID, d.work.Event); errors.Is(err, proof.ErrNotFound) {
			d.event, err = nil, nil
		}
		return err
	})
	if errors.Is(err, proof.ErrNotFound) || err == nil && d.work.State != WorkWaiting {
		return time.Time{}, nil // purged, dropped, or done by somebody whose lease was lost
	}
	if err != nil {
		return time.Time{}, owed(err)
	}
	if d.work.Effect == Unknown && !d.work.Begun.IsZero() {
		return time.Time{}, s.settle(ctx, d.work, done{state: WorkParked, reason: ReasonOutcomeUnknown})
	}
	notes, err := s.notes(d.work)
	switch {
	case errors.Is(err, errGone):
		return time.Time{}, s.settle(ctx, d.work, skipped(proof.ReasonErased))
	case err != nil:
		return time.Time{}, err
	}
	d.action, d.content = &notes.Action, &notes.Content
	if d.event == nil {
		return time.Time{}, s.settle(ctx, d.work, skipped(proof.ReasonDataPurged))
	}
	out, err := d.do(ctx)
	if err == nil {
		return time.Time{}, s.settle(ctx, d.work, out)
	}
	return time.Time{}, s.stumbled(ctx, d.work, err)
}

func (d *deed) do(ctx context.Context) (done, error) {
	switch d.action.Do {
	case StartVerification:
		return d.startVerification(ctx)
	case StartChallenge:
		return d.startChallenge(ctx)
	case WriteAttributes:
		return d.writeAttributes(ctx)
	case WriteStatus, AddRoles, RemoveRoles, RevokeSessions:
		return d.changeUser(ctx)
	case WriteAudit:
		return d.writeAudit(ctx)
	case Erase:
		return d.erase(ctx)
	case Notify:
		draft, err := d.draft(ctx, nil)
		return done{state: WorkDone, tell: draft}, err
	}
	return failed(ReasonNotConfigured), nil // of a newer version of the program
}

// stumbled says what becomes of a work whose action ended in an error: nil if that is
// settled, else the error by which the job comes again.
func (s *Service) stumbled(ctx context.Context, w *Work, cause error) error {
	e, ours := errors.AsType[*proof.Error](cause)
	begun := w.Effect == Unknown && !w.Begun.IsZero()
	refused := ours && !e.Temporary && e.Code != proof.CodeInternal
	switch {
	case refused:
		return s.settle(ctx, w, failed(reasonOf(cause)))
	case begun && !unsent(cause):
		// Also when the shutdown cut it short: it may have been done.
		s.Unreachable(ctx)
		return s.settle(context.WithoutCancel(ctx), w, done{state: WorkParked, reason: ReasonOutcomeUnknown})
	case ctx.Err() != nil:
		return cause
	case ours && e.Temporary && w.Kind != Erase && s.Now().Sub(w.CreatedAt) > workGivesUp:
		return s.settle(ctx, w, failed(reasonOf(cause)))
	}
	if err := s.change(ctx, w, func(_ Tx, w *Work) error {
		if w.Effect == Unknown {
			w.Begun = time.Time{}
		}
		w.Tries++
		w.Reason = reasonOf(cause)
		return nil
	}); err != nil {
		// One that is begun stays so, and the next run parks it.
		s.Logger.Warn("hooks: what went wrong with an action could not be noted", "work", w.ID, "error", err)
	}
	return cause
}

// unsent reports whether an error says that the outside did nothing: no connection came
// about, or it asked us to come later.
func unsent(err error) bool {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "dial" {
		return true
	}
	e, ok := errors.AsType[*proof.Error](err)
	return ok && (e.Code == proof.CodeRateLimited || e.Code == proof.CodeUnavailable && e.RetryAfter > 0)
}

func reasonOf(err error) proof.Reason {
	if r := proof.ReasonOf(err); r != proof.ReasonInternal {
		return r
	}
	if proof.CodeOf(err) == proof.CodeNotFound {
		return ReasonNobody
	}
	return proof.ReasonInternal
}

// begin stores that the outside is about to be called, for what nobody can tell about
// afterwards.
func (d *deed) begin(ctx context.Context) error {
	if d.work.Effect != Unknown {
		return nil
	}
	return d.change(ctx, d.work, func(_ Tx, w *Work) error {
		w.Begun = d.Now()
		return nil
	})
}

// change stores a change of a work that nobody else changed meanwhile, and takes it over.
func (s *Service) change(ctx context.Context, w *Work, fn func(tx Tx, w *Work) error) error {
	var row Work
	err := s.Store.UpdateHooks(ctx, func(tx Tx) error {
		row = *w
		if err := fn(tx, &row); err != nil {
			return err
		}
		return tx.UpdateWork(&row)
	})
	if err == nil {
		*w = row
	}
	return err
}

// settle ends a work, together with the message that tells of it and its audit record. If
// somebody else ended it meanwhile, that stays; but who knows that it was done knows
// better than who parked it.
func (s *Service) settle(ctx context.Context, w *Work, out done) error {
	var message *deliveries.Message
	var job *proof.Job
	if out.tell != nil {
		var err error
		message, job, err = s.Outbox.Prepare(ctx, *out.tell)
		if proof.ReasonOf(err) == proof.ReasonErased {
			out = skipped(proof.ReasonErased)
			message, job = nil, nil
		} else if err != nil {
			return s.stumbled(ctx, w, err)
		}
	}
	sealed, err := s.withNote(w, out.note)
	if err != nil {
		return err
	}
	err = s.update(ctx, func(tx Tx) error {
		row, err := tx.Work(w.Tenant, w.ID)
		if err != nil {
			return err
		}
		if row.State != WorkWaiting && !(row.State == WorkParked && row.Begun.Equal(w.Begun) && out.state == WorkDone) {
			return nil
		}
		row.State, row.Reason, row.EndedAt = out.state, out.reason, s.Now()
		row.Tries++
		if len(row.Sealed) > 0 && sealed != nil {
			row.Sealed = sealed
		}
		if message != nil {
			if err := tx.InsertMessage(message); err != nil {
				return err
			}
			if err := tx.Enqueue(job); err != nil {
				return err
			}
		}
		if err := tx.UpdateWork(row); err != nil {
			return err
		}
		if out.with != nil {
			if err := out.with(tx); err != nil {
				return err
			}
		}
		return s.audit(tx, w.Tenant, "rule:"+w.Rule, "hooks.work_"+string(out.state), "work:"+w.ID, out.reason, map[string]string{"kind": w.Kind, "event": w.Event})
	})
	switch {
	case errors.Is(err, proof.ErrNotFound):
		return nil // purged
	case err != nil:
		return owed(err)
	case message != nil:
		s.Wake()
	}
	return nil
}

// withNote seals the notes anew with what came of the work; nil if there is no need.
func (s *Service) withNote(w *Work, note string) ([]byte, error) {
	if note == "" {
		return nil, nil
	}
	n, err := s.notes(w)
	if errors.Is(err, errGone) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	n.Result = note
	return s.seal(notesPlace(w.Tenant, w.ID), n)
}

// Dead is for jobs.Options.OnDead: the work of a job that is put aside has failed. Of
// other kinds of jobs it does nothing.
func (s *Service) Dead(ctx context.Context, j proof.Job, cause error) error {
	if j.Kind != JobWork {
		return nil
	}
	var w *Work
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		w, err = tx.Work(j.Tenant, j.Key)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	if w.Effect == Unknown && !w.Begun.IsZero() {
		return s.settle(ctx, w, done{state: WorkParked, reason: ReasonOutcomeUnknown})
	}
	return s.settle(ctx, w, failed(reasonOf(cause)))
}
