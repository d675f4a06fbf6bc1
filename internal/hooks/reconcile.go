package hooks

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Of the reconciliation with Descope's audit search.
const (
	// searchPause is the time between two searches while there is more to read: six a
	// minute of the ten that Descope takes, so that others have some, too.
	searchPause = 10 * time.Second
	quietPause  = 5 * time.Minute // between two passes
	// searchOverlap is how far before the end of the last pass the next one begins:
	// events come into the trail late.
	searchOverlap = 10 * time.Minute
	// searchBack is how far the audit trail reaches back, less an hour to read it in.
	searchBack = 30*24*time.Hour - time.Hour
)

// Cursors of the reconciliation.
const (
	cursorBegan  = "audit.began"  // before it nothing is looked for: we were not there yet
	cursorRead   = "audit.read"   // up to it everything was looked for
	cursorWithin = "audit.within" // how far the pass has come that goes on; zero: none does
	cursorAsked  = "audit.asked"  // when a search was last begun
)

// search is one request that the reconciliation is about to make.
type search struct {
	since, until time.Time
	wait         time.Time // not now, but then
	lost         time.Time // what happened from then until since can no longer be read
}

// Reconcile is the job that looks in Descope's audit search for what the webhook missed,
// and accepts it.
//
//	          ┌─────────── 5 min ───────────┐
//	pass from "read" less 10 min ─▶ page ─▶ last one: "read" moves to when it was asked
//	                           10 s ▲  │
//	                                └──┘ more: "within" moves to the last event's time
//
// A run makes one search. Cursors move only after the events are stored, so whatever
// stops a run, the next one reads the same again, which Accept recognises. Events that
// happened before the first run are left alone.
func (s *Service) Reconcile(ctx context.Context, j proof.Job) (time.Time, error) {
	t, err := s.tenant(j.Tenant)
	if err != nil || t.Project == nil {
		return time.Time{}, nil // configured no more
	}
	var next search
	if err := s.update(ctx, func(tx Tx) error {
		next, err = s.nextSearch(tx, t.ID)
		return err
	}); err != nil {
		return time.Time{}, owed(err)
	}
	if !next.wait.IsZero() {
		return next.wait, nil
	}
	if !next.lost.IsZero() {
		s.Logger.ErrorContext(ctx, "events of Descope are lost: its audit trail does not reach back that far",
			"tenant", t.ID, "from", next.lost, "until", next.since)
	}
	return s.page(ctx, t, next)
}

// nextSearch says what to ask for now, and notes that it is asked.
func (s *Service) nextSearch(tx Tx, tenant string) (search, error) {
	now := s.Now()
	at := map[string]time.Time{}
	for _, name := range []string{cursorBegan, cursorRead, cursorWithin, cursorAsked} {
		c, err := tx.Cursor(tenant, name)
		if err != nil {
			return search{}, err
		}
		at[name] = c
	}
	if at[cursorBegan].IsZero() {
		for _, name := range []string{cursorBegan, cursorRead} {
			if err := tx.SetCursor(tenant, name, now); err != nil {
				return search{}, err
			}
		}
		return search{wait: now.Add(quietPause)}, nil
	}
	// A time in the future is of a clock that was put back since.
	if ready := at[cursorAsked].Add(searchPause); ready.After(now) && !at[cursorAsked].After(now) {
		return search{wait: ready}, nil
	}
	next := search{since: at[cursorWithin], until: now}
	if next.since.IsZero() || next.since.After(now) {
		next.since = minTime(at[cursorRead], now).Add(-searchOverlap)
	}
	if next.since.Before(at[cursorBegan]) {
		next.since = minTime(at[cursorBegan], now)
	}
	if oldest := now.Add(-searchBack); next.since.Before(oldest) {
		next.lost, next.since = next.since, oldest
	}
	return next, tx.SetCursor(tenant, cursorAsked, now)
}

func minTime(a, b time.Time) time.Time {
	if a.Before(b) {
		return a
	}
	return b
}

// page makes one search, stores what it finds and moves the cursors.
func (s *Service) page(ctx context.Context, t *Tenant, next search) (time.Time, error) {
	told, more, err := t.Project.AuditSince(ctx, next.since, next.until, 0)
	if err != nil {
		return time.Time{}, owed(err)
	}
	fresh := 0
	for from := 0; from < len(told); from += MaxAccept {
		n, err := s.Accept(ctx, t.ID, SourceSearch, told[from:min(from+MaxAccept, len(told))])
		if err != nil {
			return time.Time{}, owed(err)
		}
		fresh += n
	}
	if fresh > 0 {
		s.Logger.InfoContext(ctx, "the audit search told events that the webhook had not", "tenant", t.ID, "events", fresh)
	}
	within := time.Time{}
	if more {
		if within, err = s.reached(ctx, t, next, told); err != nil {
			return time.Time{}, err
		}
	}
	err = s.update(ctx, func(tx Tx) error {
		if within.IsZero() {
			if err := tx.SetCursor(t.ID, cursorRead, next.until); err != nil {
				return err
			}
		}
		return tx.SetCursor(t.ID, cursorWithin, within)
	})
	switch {
	case err != nil:
		return time.Time{}, owed(err)
	case more:
		return s.Now().Add(searchPause), nil
	}
	return s.Now().Add(quietPause), nil
}

// reached says from where to read on after a page that was not the last. Events are read
// on by time and not by page number, since a number means something else as soon as an
// event is written down late. The millisecond of the last event is read again.
func (s *Service) reached(ctx context.Context, t *Tenant, next search, told []Told) (time.Time, error) {
	last := next.since
	for _, e := range told {
		switch {
		case e.OccurredAt.IsZero():
			continue // parked
		case e.OccurredAt.Before(last):
			return time.Time{}, &proof.Error{
				Code: proof.CodeUpstream, Reason: proof.ReasonDescopeUnavailable, Temporary: true,
				Message: "the audit search does not list the oldest events first",
			}
		}
		last = e.OccurredAt
	}
	if !last.After(next.since) { // a page of one millisecond would be read for ever
		last = next.since.Add(time.Millisecond)
		s.Logger.ErrorContext(ctx, "the audit trail has more events of one millisecond than a page holds; some may be lost", "tenant", t.ID, "at", next.since)
	}
	return last, nil
}
