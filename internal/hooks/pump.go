package hooks

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	pumpBite  = 500             // events that one transaction moves on
	pumpSlice = 2 * time.Second // after which a pump lets others run; leases are 30 s
	pumpTries = 3               // runs in a row that may fail before the events are tried one by one
)

// Pump is the job that evaluates the rules on waiting events, in the order in which they
// were received: one a tenant, as its key is empty.
//
//	waiting events ─▶ matched, outside the transaction ─▶ one transaction:
//	                     │ panics, cannot be read           counts, Work, a job each, done
//	                     └──────────▶ parked                   │ fails three times in a row
//	                                    ▲                      ▼
//	                                    └──────fails───── each event alone
//
// A second pump, of a worker whose lease was lost, finds that the events wait no more, and
// nothing of what it did is kept.
func (s *Service) Pump(ctx context.Context, j proof.Job) (time.Time, error) {
	t, err := s.tenant(j.Tenant)
	if err != nil {
		return time.Time{}, nil // what waits stays, until the tenant is configured again
	}
	for start := s.Now(); ; {
		n, err := s.bite(ctx, t, j.Attempts >= pumpTries)
		switch {
		case err != nil:
			return time.Time{}, owed(err)
		case n < pumpBite:
			return time.Time{}, nil // what came meanwhile queued the job again
		case s.Now().Sub(start) >= pumpSlice || ctx.Err() != nil:
			return s.Now(), nil
		}
	}
}

// evaluated is an event and what it leads to.
type evaluated struct {
	event   *Event
	content *Content
	rules   []*compiledRule
	work    [][]*Work // of each rule, an element an action
	bad     bool      // it cannot be evaluated
}

// bite takes the events that have waited longest; how many. With apart, a transaction that
// fails is tried again for each event alone.
func (s *Service) bite(ctx context.Context, t *Tenant, apart bool) (int, error) {
	var waiting []*Event
	var compiled *Compiled
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		if waiting, err = tx.WaitingEvents(t.ID, pumpBite); err != nil || len(waiting) == 0 {
			return err
		}
		rules, err := inForce(tx, t.ID)
		if err != nil {
			return err
		}
		if compiled, err = s.compile(t.ID, rules); err != nil {
			return err
		}
		return readHeard(tx, t.ID, compiled, waiting)
	})
	if err != nil || len(waiting) == 0 {
		return 0, err
	}
	list := make([]*evaluated, len(waiting))
	for i, e := range waiting {
		list[i] = s.evaluate(t, compiled, e)
	}
	err = s.commit(ctx, t, compiled.Version, list)
	if err == nil || ctx.Err() != nil || !apart {
		return len(waiting), err
	}
	for _, one := range list {
		if err := s.alone(ctx, t, compiled.Version, one); err != nil {
			return 0, err
		}
	}
	return len(waiting), nil
}

// readHeard reads the content of those events about which a rule may do something.
func readHeard(tx Tx, tenant string, c *Compiled, waiting []*Event) error {
	var heard []string
	for _, e := range waiting {
		if c.listens(e.Action) {
			heard = append(heard, e.ID)
		}
	}
	if len(heard) == 0 {
		return nil
	}
	sealed, err := tx.EventContents(tenant, heard)
	if err != nil {
		return err
	}
	for _, e := range waiting {
		e.Sealed = sealed[e.ID]
	}
	return nil
}

// alone moves one event on, or parks it if that fails. An error says that it is the store,
// not the event.
func (s *Service) alone(ctx context.Context, t *Tenant, version int64, one *evaluated) error {
	cause := s.commit(ctx, t, version, []*evaluated{one})
	if cause == nil {
		return nil
	}
	var now *Event
	if err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		now, err = tx.Event(t.ID, one.event.ID)
		return err
	}); err != nil && !errors.Is(err, proof.ErrNotFound) {
		return err
	}
	if now == nil || now.State != EventWaiting {
		return nil // somebody else did
	}
	s.Logger.Error("hooks: an event is parked: evaluating it fails again and again", "tenant", t.ID, "event", one.event.ID, "error", cause)
	one.bad = true
	return s.commit(ctx, t, version, []*evaluated{one})
}

// compile gives the rules as they can be evaluated; once for each version.
func (s *Service) compile(tenant string, r *Rules) (*Compiled, error) {
	s.mu.Lock()
	c := s.compiled[tenant]
	s.mu.Unlock()
	if c != nil && c.Version == r.Version {
		return c, nil
	}
	c, err := Compile(r.Rules)
	if err != nil {
		// They compiled when they were published: an older program meets a newer document.
		return nil, fmt.Errorf("version %d of the rules of tenant %q: %w", r.Version, tenant, err)
	}
	c.Version = r.Version
	s.mu.Lock()
	s.compiled[tenant] = c
	s.mu.Unlock()
	return c, nil
}

// evaluate matches one event, and prepares the work. An event that makes this panic, or
// cannot be read, is bad; one whose person was erased meanwhile leads to nothing.
func (s *Service) evaluate(t *Tenant, c *Compiled, e *Event) (out *evaluated) {
	out = &evaluated{event: e}
	if !c.listens(e.Action) {
		return out
	}
	defer func() {
		if v := recover(); v != nil {
			s.Logger.Error("hooks: evaluating an event panicked", "tenant", t.ID, "event", e.ID, "stack", string(debug.Stack()))
			out = &evaluated{event: e, bad: true}
		}
	}()
	content, err := s.content(e)
	if errors.Is(err, errGone) {
		return out
	}
	if err == nil {
		out.content = &content
		out.rules = c.matching(e, &content)
		for _, r := range out.rules {
			var work []*Work
			if work, err = s.prepare(t, e, &content, r.Rule); err != nil {
				break
			}
			out.work = append(out.work, work)
		}
	}
	if err != nil {
		s.Logger.Error("hooks: an event cannot be evaluated", "tenant", t.ID, "event", e.ID, "error", err)
		return &evaluated{event: e, bad: true}
	}
	return out
}

// prepare makes the work of one rule that fired, all but whom it is about.
func (s *Service) prepare(t *Tenant, e *Event, content *Content, r *Rule) ([]*Work, error) {
	list := make([]*Work, len(r.Do))
	for i := range r.Do {
		w := &Work{
			ID: proof.NewID(), Tenant: t.ID, Event: e.ID, Rule: r.ID, Index: i, Kind: r.Do[i].Do, Effect: effectOf(t, &r.Do[i]),
			State: WorkWaiting, Subject: content.Subject,
		}
		var err error
		if w.Sealed, err = s.seal(notesPlace(t.ID, w.ID), WorkNotes{Action: r.Do[i], Content: *content}); err != nil {
			return nil, err
		}
		list[i] = w
	}
	return list, nil
}

// commit moves events on, in one transaction.
func (s *Service) commit(ctx context.Context, t *Tenant, version int64, list []*evaluated) error {
	now, queued := s.Now(), 0
	err := s.Store.UpdateHooks(ctx, func(tx Tx) error {
		queued = 0
		ids := make([]string, 0, len(list))
		for _, one := range list {
			e := one.event
			if one.bad {
				if err := tx.ParkEvent(t.ID, e.ID, ReasonUnreadable); err != nil {
					return err
				}
				if err := s.audit(tx, t.ID, "job", "hooks.event_parked", "event:"+e.ID, ReasonUnreadable, map[string]string{"action": clip(e.Action)}); err != nil {
					return err
				}
				continue
			}
			ids = append(ids, e.ID)
			if len(one.rules) == 0 {
				continue
			}
			n, err := s.fire(tx, t, one, now)
			if err != nil {
				return err
			}
			queued += n
		}
		return tx.EventsEvaluated(t.ID, ids, version)
	})
	if err == nil && queued > 0 {
		s.Wake()
	}
	return err
}

// fire stores and queues the work of the rules whose counts are reached; how much.
func (s *Service) fire(tx Tx, t *Tenant, one *evaluated, now time.Time) (queued int, err error) {
	p, err := s.person(tx, t.ID, one.content)
	if err != nil {
		return 0, err
	}
	for i, r := range one.rules {
		if r.Count != nil {
			reached, err := s.counted(tx, t.ID, r, p.key, moment(one.event))
			if err != nil {
				return 0, err
			}
			if !reached {
				continue
			}
		}
		for _, w := range one.work[i] {
			row := *w
			row.Subject, row.CreatedAt = p.subject, now
			if err := tx.InsertWork(&row); err != nil {
				return 0, err
			}
			if err := tx.Enqueue(proof.NewJob(t.ID, JobWork, row.ID, now)); err != nil {
				return 0, err
			}
			queued++
		}
	}
	return queued, nil
}

// person is whom an event is about.
type person struct {
	subject string // ours; empty if we do not know them
	key     string // the same for the same person, as far as that can be told; empty: nobody
}

// person finds whom an event names: of ours the subject; of Descope's the first of login
// ids and user id that is known here, and else the first there is.
func (s *Service) person(tx Tx, tenant string, c *Content) (person, error) {
	if c.Subject != "" {
		p := person{subject: c.Subject, key: "subject:" + c.Subject}
		found, err := tx.Subject(tenant, c.Subject)
		switch {
		case errors.Is(err, proof.ErrNotFound):
			return p, nil
		case err != nil:
			return p, err
		case !found.ErasedAt.IsZero():
			p.subject = "" // what is to be done about an erasure must not go with the person
		case len(found.Lookup) > 0:
			p.key = "lookup:" + string(found.Lookup)
		}
		return p, nil
	}
	var p person
	for _, id := range names(c) {
		lookup := s.Journey.Lookup(tenant, id)
		if p.key == "" {
			p.key = "lookup:" + string(lookup)
		}
		found, err := tx.SubjectByLookup(tenant, lookup)
		if err == nil {
			return person{subject: found.ID, key: "lookup:" + string(lookup)}, nil
		}
		if !errors.Is(err, proof.ErrNotFound) {
			return p, err
		}
	}
	return p, nil
}

// maxNames bounds the look-ups for one event: a user has few login ids.
const maxNames = 20

// names are the identifiers under which the person of an event may be known here.
func names(c *Content) []string {
	list := make([]string, 0, len(c.LoginIDs)+1)
	for _, id := range append(c.LoginIDs[:len(c.LoginIDs):len(c.LoginIDs)], c.UserID) {
		if id != "" && len(list) < maxNames {
			list = append(list, id)
		}
	}
	return list
}

// moment is when an event counts as having happened. Its own clock may be ahead.
func moment(e *Event) time.Time {
	if e.OccurredAt.IsZero() || e.OccurredAt.After(e.ReceivedAt) {
		return e.ReceivedAt
	}
	return e.OccurredAt
}

// Limits in the store, by which events are counted; the key is the person and the rule.
const (
	hitSeen  = "hooks.seen"
	hitFired = "hooks.fired"
)

// counted counts one event of a person for a rule and reports whether that makes the rule
// fire. Times are counted by the minute. An event of nobody is not counted: whose it would
// be the third of cannot be told.
func (s *Service) counted(tx Tx, tenant string, r *compiledRule, who string, at time.Time) (bool, error) {
	if who == "" {
		return false, nil
	}
	key := s.Vault.MAC(tenant, "hooks count", r.ID+"\x00"+who)
	if err := tx.Hit(tenant, hitSeen, key, at); err != nil {
		return false, err
	}
	reached, err := within(r, at, func(limit string, since time.Time) (int, error) { return tx.Hits(tenant, limit, key, since) })
	if err != nil || !reached {
		return false, err
	}
	return true, tx.Hit(tenant, hitFired, key, at)
}

// within reports whether enough events, the one at the given time among them, lie in one
// window, and the rule did not fire in it already. hits counts from a time on. Events come
// unordered, so the window may lie on either side of it: five positions are looked at.
func within(r *compiledRule, at time.Time, hits func(limit string, since time.Time) (int, error)) (bool, error) {
	seen, err := hits(hitSeen, at.Add(-r.within))
	if err != nil || seen < r.Count.AtLeast {
		return false, err
	}
	fired, err := between(hits, hitFired, at.Add(-r.within), at.Add(r.within))
	if err != nil || fired > 0 {
		return false, err
	}
	const steps = 4
	for i := range steps + 1 {
		begin := at.Add(-r.within + time.Duration(i)*r.within/steps)
		n, err := between(hits, hitSeen, begin, begin.Add(r.within))
		if err != nil {
			return false, err
		}
		if n >= r.Count.AtLeast {
			return true, nil
		}
	}
	return false, nil
}

// between counts what lies from a minute until another, that one included.
func between(hits func(limit string, since time.Time) (int, error), limit string, from, until time.Time) (int, error) {
	all, err := hits(limit, from)
	if err != nil || all == 0 {
		return 0, err
	}
	later, err := hits(limit, until.Add(time.Minute))
	return all - later, err
}
