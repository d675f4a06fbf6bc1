package deliveries

import (
	"context"
	"errors"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// EndpointDisabled is the type of the message that tells the other endpoints that one
// was switched off by itself. Data: endpoint (id), name, reason, why.
const EndpointDisabled = "endpoint.disabled"

// listens reports whether an endpoint wants to hear of a message.
func listens(e *Endpoint, m *Message, about string) bool {
	if m.Type == EndpointDisabled && about == e.ID {
		return false
	}
	return len(e.Events) == 0 || slices.ContainsFunc(e.Events, func(pattern string) bool {
		prefix, any := strings.CutSuffix(pattern, "*")
		return pattern == m.Type || any && strings.HasPrefix(m.Type, prefix)
	})
}

// FanOut is the job that makes a delivery of a message for each endpoint that listens.
// For one that is switched off, it has failed at once: that is what a replay finds.
func (s *Service) FanOut(ctx context.Context, j proof.Job) (time.Time, error) {
	soon := false
	err := s.update(journey.WithoutHurry(ctx), func(tx Tx) error {
		soon = false
		m, err := tx.Message(j.Tenant, j.Key)
		if errors.Is(err, proof.ErrNotFound) || err == nil && m.Sealed == nil {
			return nil // purged or erased before anybody was told
		}
		if err != nil {
			return err
		}
		endpoints, err := tx.Endpoints(j.Tenant)
		if err != nil {
			return err
		}
		about := ""
		if m.Type == EndpointDisabled {
			body, err := s.open(nil, s.bodyPlace(m), m.Sealed)
			if err != nil {
				return err
			}
			if v, err := decodeJSON(body); err == nil {
				values, _ := v.(map[string]any)
				about, _ = at(values, "data.endpoint").(string)
			}
		}
		for _, e := range endpoints {
			if !listens(e, m, about) {
				continue
			}
			d := s.delivery(m, e)
			if e.Disabled {
				s.end(d, Failed, proof.ReasonEndpointOff)
			}
			if err := tx.InsertDelivery(d); errors.Is(err, proof.ErrStale) {
				continue // made when this job ran before
			} else if err != nil {
				return err
			}
			if e.Disabled {
				continue
			}
			soon = true
			if err := tx.Enqueue(proof.NewJob(m.Tenant, JobDeliver, d.ID, d.NextAt)); err != nil {
				return err
			}
		}
		return nil
	})
	if err == nil && soon {
		s.Wake()
	}
	return time.Time{}, err
}

func (s *Service) delivery(m *Message, e *Endpoint) *Delivery {
	now := s.Now()
	return &Delivery{ID: proof.NewID(), Tenant: m.Tenant, Message: m.ID, Endpoint: e.ID, Type: m.Type, State: Waiting, NextAt: now, CreatedAt: now}
}

func (s *Service) end(d *Delivery, state DeliveryState, r proof.Reason) {
	d.State, d.Reason, d.EndedAt, d.NextAt = state, r, s.Now(), time.Time{}
}

// loaded is all that an attempt needs.
type loaded struct {
	delivery *Delivery
	message  *Message
	endpoint *Endpoint
	subject  *proof.Subject
}

// load returns a delivery that waits; hopeless is why it cannot be tried.
func (s *Service) load(tx Tx, tenant, id string) (l loaded, hopeless proof.Reason, err error) {
	if l.delivery, err = tx.Delivery(tenant, id); err != nil {
		return l, "", err
	}
	switch l.message, err = tx.Message(tenant, l.delivery.Message); {
	case errors.Is(err, proof.ErrNotFound):
		return l, proof.ReasonDataPurged, nil
	case err != nil:
		return l, "", err
	}
	if l.subject, err = subjectOf(tx, l.message); err != nil {
		return l, "", err
	}
	switch {
	case l.message.Subject != "" && (l.message.Sealed == nil || l.subject == nil || l.subject.WrappedKey == nil):
		return l, proof.ReasonErased, nil
	case l.message.Sealed == nil:
		return l, proof.ReasonDataPurged, nil
	}
	switch l.endpoint, err = tx.Endpoint(tenant, l.delivery.Endpoint); {
	case errors.Is(err, proof.ErrNotFound):
		return l, proof.ReasonEndpointGone, nil
	case err != nil:
		return l, "", err
	case l.endpoint.Disabled && !l.delivery.Test:
		return l, proof.ReasonEndpointOff, nil
	}
	return l, "", nil
}

// Deliver is the job that makes one attempt, and returns when to make the next.
//
// A crash between the request and the report of it leads to one more request, with the
// same webhook-id: the effect is deduplicable by the receiver (promise 7).
func (s *Service) Deliver(ctx context.Context, j proof.Job) (time.Time, error) {
	ctx = journey.WithoutHurry(ctx)
	var l loaded
	var hopeless proof.Reason
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
		l, hopeless, err = s.load(tx, j.Tenant, j.Key)
		return err
	})
	switch {
	case errors.Is(err, proof.ErrNotFound):
		return time.Time{}, nil
	case err != nil:
		return time.Time{}, err
	case l.delivery.State != Waiting:
		return time.Time{}, nil
	case hopeless != "":
		return time.Time{}, s.giveUp(ctx, j.Tenant, j.Key, hopeless)
	}
	now := s.Now()
	if wait := l.delivery.NextAt.Sub(now); wait > 0 && wait <= s.longest() { // further off: the clock was set back
		return l.delivery.NextAt, nil
	}
	s.lanes.put(j.Tenant, j.Key, l.endpoint.ID)
	o, reason := s.attempt(ctx, l)
	if ctx.Err() != nil && o.status == 0 {
		return time.Time{}, ctx.Err() // shutting down, or the lease is lost: nothing was learned
	}
	if reason == "" && (o.status == 0 && !o.refused || slices.Contains(throttle, o.status)) {
		s.Unreachable(ctx)
	}
	return s.settle(ctx, l, o, reason)
}

// throttle are the answers after which less should be sent (Standard Webhooks 1.0.0,
// "Delivery success and failure").
var throttle = []int{http.StatusTooManyRequests, http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout}

// longest is the longest that a delivery waits for its next attempt.
func (s *Service) longest() time.Duration {
	most := maxRetryAfter
	for _, d := range s.Schedule {
		most = max(most, d)
	}
	return most + most/10 + time.Minute
}

// attempt makes one request. A reason is why it cannot be made, now or ever.
func (s *Service) attempt(ctx context.Context, l loaded) (outcome, proof.Reason) {
	failed := func(problem string, r proof.Reason) (outcome, proof.Reason) {
		return outcome{at: s.Now(), problem: problem}, r
	}
	body, err := s.open(l.subject, s.bodyPlace(l.message), l.message.Sealed)
	if err != nil {
		s.Logger.Error("deliveries: a message does not open", "message", l.message.ID, "error", err)
		return failed("the message cannot be read", proof.ReasonInternal)
	}
	secrets, err := s.secrets(l.endpoint)
	if err != nil {
		s.Logger.Error("deliveries: the secrets of an endpoint do not open", "endpoint", l.endpoint.ID, "error", err)
		return failed("the secrets of the endpoint cannot be read", proof.ReasonInternal)
	}
	target := l.endpoint.URL
	if secrets.URL != "" {
		target = secrets.URL
	}
	r, err := makeRequest(l.endpoint, target, secrets, l.message, body)
	if errors.Is(err, errBody) {
		return failed("the body would be larger than 256 KB", proof.ReasonTooLarge)
	}
	if err != nil {
		s.Logger.Error("deliveries: a request cannot be made", "delivery", l.delivery.ID, "error", err)
		return failed("the body cannot be made", proof.ReasonInternal)
	}
	return s.send(ctx, l.endpoint, secrets, r, MessageID(l.message.ID)), ""
}

func reasonOf(o outcome) proof.Reason {
	switch {
	case o.delivered():
		return ""
	case o.status == http.StatusGone:
		return proof.ReasonEndpointGone
	case o.status != 0:
		return proof.ReasonEndpointRefused
	case o.refused:
		return proof.ReasonEndpointAddress
	}
	return proof.ReasonEndpointUnreachable
}

// giveUp ends a delivery that still waits, without an attempt.
func (s *Service) giveUp(ctx context.Context, tenant, id string, r proof.Reason) error {
	return s.update(ctx, func(tx Tx) error {
		d, err := tx.Delivery(tenant, id)
		if errors.Is(err, proof.ErrNotFound) || err == nil && d.State != Waiting {
			return nil
		}
		if err != nil {
			return err
		}
		s.end(d, Failed, r)
		return tx.UpdateDelivery(d)
	})
}

// settle stores an attempt and what follows from it, in one transaction.
func (s *Service) settle(ctx context.Context, l loaded, o outcome, hopeless proof.Reason) (next time.Time, err error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 15*time.Second) // what was learned is written down
	defer cancel()
	tell := false
	err = s.update(ctx, func(tx Tx) error {
		next, tell = time.Time{}, false
		d, err := tx.Delivery(l.delivery.Tenant, l.delivery.ID)
		if errors.Is(err, proof.ErrNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		if d.State != Waiting || d.Version != l.delivery.Version {
			next = d.NextAt // another worker was at it, too, and has told
			return nil
		}
		d.Attempts++
		if err := s.keep(tx, l.message, d, o); err != nil {
			return err
		}
		now := s.Now()
		d.Reason = reasonOf(o)
		failures := d.Attempts
		switch {
		case hopeless != "":
			s.end(d, Failed, hopeless)
		case o.delivered():
			s.end(d, Delivered, "")
		case o.status == http.StatusGone || d.Test || failures > len(s.Schedule):
			s.end(d, Failed, d.Reason)
		default:
			d.NextAt = now.Add(jittered(max(s.Schedule[failures-1], o.retryAfter)))
			next = d.NextAt
		}
		if err := tx.UpdateDelivery(d); err != nil {
			return err
		}
		if d.Test || hopeless != "" {
			return nil // says nothing about the endpoint's days
		}
		tell, err = s.mark(tx, l.endpoint, d, o)
		return err
	})
	if err == nil && tell {
		s.Wake()
	}
	return next, err
}

// keep stores an attempt. Of a subject erased meanwhile only that there was one.
func (s *Service) keep(tx Tx, m *Message, d *Delivery, o outcome) error {
	a := &Attempt{Tenant: d.Tenant, Delivery: d.ID, Number: d.Attempts, At: o.at, Took: o.took, Status: o.status, Error: o.problem}
	subject, err := subjectOf(tx, m)
	if err != nil {
		return err
	}
	if m.Subject == "" || subject != nil && subject.WrappedKey != nil {
		plain, err := encode(o.exchange)
		if err != nil {
			return err
		}
		if a.Sealed, err = s.seal(subject, attemptPlace(m, a), plain); err != nil {
			return err
		}
	}
	return tx.InsertAttempt(a)
}

// mark notes at the endpoint how it does, and switches it off when it said that it is
// gone, or has failed for days.
func (s *Service) mark(tx Tx, known *Endpoint, d *Delivery, o outcome) (told bool, err error) {
	e, err := tx.Endpoint(known.Tenant, known.ID)
	if errors.Is(err, proof.ErrNotFound) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	now := s.Now()
	noted := note(e, o.delivered(), now, s.DisableAfter/72)
	why := ""
	switch {
	case o.delivered() || e.Disabled || e.UpdatedAt.After(o.at): // changed meanwhile: this was about another address
	case o.status == http.StatusGone:
		why = "the endpoint answered 410 Gone"
	case now.Sub(e.FailingSince) >= s.DisableAfter && e.Failures >= enough:
		why = "the endpoint has failed since " + e.FailingSince.UTC().Format(time.RFC3339)
	}
	if why == "" {
		if !noted {
			return false, nil
		}
		return false, tx.UpdateEndpoint(e)
	}
	e.Disabled, e.Why, e.UpdatedAt = true, why, now
	if err := tx.UpdateEndpoint(e); err != nil {
		return false, err
	}
	if err := s.audit(tx, e.Tenant, "job", "endpoint.disabled", "endpoint:"+e.ID, d.Reason, map[string]string{"delivery": d.ID, "attempts": strconv.Itoa(d.Attempts)}); err != nil {
		return false, err
	}
	m, j, err := s.message(Draft{
		Tenant: e.Tenant, Type: EndpointDisabled,
		Text: "The endpoint " + e.Name + " was switched off: " + why + ".",
		Data: map[string]any{"endpoint": e.ID, "name": e.Name, "reason": string(d.Reason), "why": why},
	}, nil)
	if err != nil {
		return false, err
	}
	if err := tx.InsertMessage(m); err != nil {
		return false, err
	}
	return true, tx.Enqueue(j)
}

// enough is how often an endpoint must have been seen to fail, in different hours, to be
// switched off. One jump of the clock makes days of two failures, but not five of them.
// The schedule alone makes seven in three days.
const enough = 5

// note counts a failure, one an hour; or forgets them all, as something was delivered. It
// reports whether anything changed.
func note(e *Endpoint, delivered bool, now time.Time, hour time.Duration) bool {
	was := *e
	switch {
	case delivered:
		forget(e)
		return !was.FailingSince.IsZero()
	case e.FailingSince.IsZero():
		e.FailingSince, e.Failures, e.CountedAt = now, 1, now
	case e.FailingSince.After(now) || e.CountedAt.After(now): // the clock was set back
		e.FailingSince, e.CountedAt = earlier(e.FailingSince, now), now
	case now.Sub(e.CountedAt) >= hour:
		e.Failures, e.CountedAt = e.Failures+1, now
	default:
		return false
	}
	return true
}

func earlier(a, b time.Time) time.Time {
	if b.Before(a) {
		return b
	}
	return a
}

// Buried ends the delivery of a job that is put aside (jobs.Options.OnDead), so that it
// does not look as if it still waited.
func (s *Service) Buried(ctx context.Context, j proof.Job) error {
	if j.Kind != JobDeliver {
		return nil
	}
	return s.giveUp(ctx, j.Tenant, j.Key, proof.ReasonInternal)
}

const (
	purgeBite  = 200
	purgePause = time.Hour
	lost       = time.Hour // a delivery that is that much overdue has no job
)

// Purge is the job that drops what is older than the retention time, and queues again
// deliveries that wait for longer than they should.
func (s *Service) Purge(ctx context.Context, j proof.Job) (time.Time, error) {
	if !s.tenants[j.Tenant] {
		return time.Time{}, nil // a tenant that is configured no more keeps what it has
	}
	ctx = journey.WithoutHurry(ctx)
	now, n := s.Now(), 0
	err := s.update(ctx, func(tx Tx) (err error) {
		n, err = tx.PurgeMessages(j.Tenant, now.Add(-s.Retention), purgeBite)
		return err
	})
	switch {
	case err != nil:
		return time.Time{}, owed(err)
	case n == purgeBite:
		return now, nil
	}
	for before, page := "", 0; page < 20; page++ {
		err := s.update(ctx, func(tx Tx) error {
			waiting, err := tx.Deliveries(DeliveryQuery{Tenant: j.Tenant, State: Waiting, Until: now.Add(-lost), Before: before, Limit: 500})
			if err != nil {
				return err
			}
			last := ""
			for _, d := range waiting {
				last = d.ID
				if late := now.Sub(d.NextAt); late < lost && -late <= s.longest() {
					continue
				}
				if err := tx.Enqueue(proof.NewJob(d.Tenant, JobDeliver, d.ID, now)); err != nil {
					return err
				}
			}
			before = last
			return nil
		})
		if err != nil {
			return time.Time{}, owed(err)
		}
		if before == "" {
			break
		}
	}
	return now.Add(purgePause), nil
}

// owed makes an error one that time may mend: a job that always comes again is never put
// aside.
func owed(err error) error {
	if e, ok := errors.AsType[*proof.Error](err); ok && e.Temporary {
		return err
	}
	return &proof.Error{Code: proof.CodeOf(err), Reason: proof.ReasonOf(err), Message: "a job that is owed failed", Temporary: true, Err: err}
}

// headerNames are the credentials that an endpoint has, by name.
func headerNames(secrets *EndpointSecrets) []string {
	return slices.Sorted(maps.Keys(secrets.Headers))
}
