package hooks

import (
	"context"
	"errors"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// What operators see and do. actor is who, as "operator:ada"; what changes something is
// audited under that name.

// EventView is an event as operators see it. Content is nil if the person was erased or it
// cannot be read.
type EventView struct {
	ID         string       `json:"id"`
	Source     Source       `json:"source"`
	Action     string       `json:"action"`
	OccurredAt time.Time    `json:"occurred_at"`
	ReceivedAt time.Time    `json:"received_at"`
	State      EventState   `json:"state"`
	Reason     proof.Reason `json:"reason,omitempty"`
	Rules      int64        `json:"rules"`
	Content    *Content     `json:"content,omitempty"`
	Work       []WorkView   `json:"work,omitempty"` // only of one event by its id
}

// WorkView is an action of an event as operators see it. Action and Result are empty if the
// person was erased.
type WorkView struct {
	ID        string       `json:"id"`
	Event     string       `json:"event"`
	Rule      string       `json:"rule"`
	Index     int          `json:"index"`
	Kind      string       `json:"kind"`
	Effect    Effect       `json:"effect"`
	State     WorkState    `json:"state"`
	Reason    proof.Reason `json:"reason,omitempty"`
	Begun     time.Time    `json:"begun_at,omitzero"`
	Tries     int          `json:"tries"`
	Subject   string       `json:"subject,omitempty"`
	CreatedAt time.Time    `json:"created_at"`
	EndedAt   time.Time    `json:"ended_at,omitzero"`
	Action    string       `json:"action,omitempty"` // in words
	Result    string       `json:"result,omitempty"`
	MayRetry  bool         `json:"may_retry"`
	MayDrop   bool         `json:"may_drop"`
}

// ListEvents lists events, newest first.
func (s *Service) ListEvents(ctx context.Context, q EventQuery) ([]EventView, error) {
	if _, err := s.tenant(q.Tenant); err != nil {
		return nil, err
	}
	var found []*Event
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		found, err = tx.Events(q)
		return err
	}); err != nil {
		return nil, err
	}
	list := make([]EventView, len(found))
	for i, e := range found {
		list[i] = s.showEvent(e)
	}
	return list, nil
}

// GetEvent gives one event and what came of it; an unknown one is proof.ErrNotFound.
func (s *Service) GetEvent(ctx context.Context, tenant, id string) (EventView, error) {
	if _, err := s.tenant(tenant); err != nil {
		return EventView{}, err
	}
	var e *Event
	var work []*Work
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		if e, err = tx.Event(tenant, id); err != nil {
			return err
		}
		work, err = tx.Works(WorkQuery{Tenant: tenant, Event: id, Limit: MaxRules * MaxActions})
		return err
	}); err != nil {
		return EventView{}, err
	}
	v := s.showEvent(e)
	for _, w := range work {
		v.Work = append(v.Work, s.showWork(w))
	}
	return v, nil
}

func (s *Service) showEvent(e *Event) EventView {
	v := EventView{
		ID: e.ID, Source: e.Source, Action: e.Action, OccurredAt: e.OccurredAt, ReceivedAt: e.ReceivedAt,
		State: e.State, Reason: e.Reason, Rules: e.Rules,
	}
	if c, err := s.content(e); err == nil {
		v.Content = &c
	}
	return v
}

// ListWork lists work, newest first.
func (s *Service) ListWork(ctx context.Context, q WorkQuery) ([]WorkView, error) {
	if _, err := s.tenant(q.Tenant); err != nil {
		return nil, err
	}
	var found []*Work
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		found, err = tx.Works(q)
		return err
	}); err != nil {
		return nil, err
	}
	list := make([]WorkView, len(found))
	for i, w := range found {
		list[i] = s.showWork(w)
	}
	return list, nil
}

// GetWork gives one; an unknown one is proof.ErrNotFound.
func (s *Service) GetWork(ctx context.Context, tenant, id string) (WorkView, error) {
	if _, err := s.tenant(tenant); err != nil {
		return WorkView{}, err
	}
	var w *Work
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		w, err = tx.Work(tenant, id)
		return err
	}); err != nil {
		return WorkView{}, err
	}
	return s.showWork(w), nil
}

func (s *Service) showWork(w *Work) WorkView {
	v := WorkView{
		ID: w.ID, Event: w.Event, Rule: w.Rule, Index: w.Index, Kind: w.Kind, Effect: w.Effect, State: w.State, Reason: w.Reason,
		Begun: w.Begun, Tries: w.Tries, Subject: w.Subject, CreatedAt: w.CreatedAt, EndedAt: w.EndedAt,
		MayRetry: mayRetry(w), MayDrop: mayDrop(w),
	}
	if n, err := s.notes(w); err == nil {
		v.Action, v.Result = n.Action.Words(), n.Result
	}
	return v
}

// Only what still says what to do can be done again.
func mayRetry(w *Work) bool {
	return (w.State == WorkParked || w.State == WorkFailed) && len(w.Sealed) > 0
}

func mayDrop(w *Work) bool {
	return w.State == WorkWaiting || w.State == WorkParked || w.State == WorkFailed
}

// Retry has work that failed or is parked done again: a person has looked, and takes it
// upon them that it may be done twice.
func (s *Service) Retry(ctx context.Context, tenant, actor, id string) (WorkView, error) {
	v, err := s.changeWork(ctx, tenant, id, func(tx Tx, w *Work) error {
		if !mayRetry(w) {
			return notNow("only work that failed or is parked can be done again")
		}
		was := w.State
		w.State, w.Reason, w.Begun, w.EndedAt = WorkWaiting, "", time.Time{}, time.Time{}
		if err := s.audit(tx, tenant, actor, "hooks.work_retried", "work:"+id, "", map[string]string{"kind": w.Kind, "was": string(was)}); err != nil {
			return err
		}
		return tx.Enqueue(proof.NewJob(tenant, JobWork, id, s.Now()))
	})
	if err == nil {
		s.Wake()
	}
	return v, err
}

// Drop has work that waits, failed or is parked not done any more.
func (s *Service) Drop(ctx context.Context, tenant, actor, id string) (WorkView, error) {
	return s.changeWork(ctx, tenant, id, func(tx Tx, w *Work) error {
		if !mayDrop(w) {
			return notNow("this work has ended")
		}
		was := w.State
		w.State, w.Reason, w.EndedAt = WorkSkipped, ReasonDropped, s.Now()
		return s.audit(tx, tenant, actor, "hooks.work_dropped", "work:"+id, "", map[string]string{"kind": w.Kind, "was": string(was)})
	})
}

func (s *Service) changeWork(ctx context.Context, tenant, id string, fn func(tx Tx, w *Work) error) (WorkView, error) {
	if _, err := s.tenant(tenant); err != nil {
		return WorkView{}, err
	}
	var w *Work
	err := s.update(ctx, func(tx Tx) (err error) {
		if w, err = tx.Work(tenant, id); err != nil {
			return err
		}
		if err := fn(tx, w); err != nil {
			return err
		}
		return tx.UpdateWork(w)
	})
	if err != nil {
		return WorkView{}, err
	}
	return s.showWork(w), nil
}

// Replay has a parked event evaluated again.
func (s *Service) Replay(ctx context.Context, tenant, actor, id string) error {
	if _, err := s.tenant(tenant); err != nil {
		return err
	}
	err := s.Store.UpdateHooks(ctx, func(tx Tx) error {
		e, err := tx.Event(tenant, id)
		if err != nil {
			return err
		}
		if !mayReplay(e) {
			return notNow("an event that came from outside under a name that is ours, or without one, is not evaluated")
		}
		if err := tx.ReplayEvent(tenant, id); err != nil {
			return err
		}
		if err := s.audit(tx, tenant, actor, "hooks.event_replayed", "event:"+id, "", nil); err != nil {
			return err
		}
		return tx.Enqueue(proof.NewJob(tenant, JobPump, "", s.Now()))
	})
	if errors.Is(err, proof.ErrStale) {
		return notNow("only an event that is parked can be evaluated again")
	}
	if err == nil {
		s.Wake()
	}
	return err
}

// mayReplay keeps out what was parked for what it is, not for what happened to it: somebody
// outside who could have an event of ours evaluated would decide what we believe.
func mayReplay(e *Event) bool {
	return e.Action != "" && (e.Source == SourceHere || !reserved(e.Action))
}

func notNow(message string) error {
	return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonNotAllowed, Message: message}
}
