package deliveries

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// DeliveryView is a delivery as an operator sees it.
type DeliveryView struct {
	ID        string        `json:"id"`
	Message   string        `json:"message"` // the webhook-id
	Endpoint  string        `json:"endpoint"`
	Type      string        `json:"type"`
	State     DeliveryState `json:"state"`
	Reason    proof.Reason  `json:"reason,omitempty"` // of the last failure
	Attempts  int           `json:"attempts"`
	NextAt    time.Time     `json:"next_at,omitzero"`
	CreatedAt time.Time     `json:"created_at"`
	EndedAt   time.Time     `json:"ended_at,omitzero"`
	Replay    bool          `json:"replay,omitempty"`
	Test      bool          `json:"test,omitempty"`
}

// AttemptView is one request of it.
type AttemptView struct {
	Number int       `json:"number"`
	At     time.Time `json:"at"`
	Took   float64   `json:"took_ms"`
	Status int       `json:"status"` // 0: no answer
	Error  string    `json:"error,omitempty"`
	// Exchange is nil when it is not kept any more: Gone says why (erased, data_purged).
	Exchange *Exchange    `json:"exchange,omitempty"`
	Gone     proof.Reason `json:"gone,omitempty"`
}

func viewDelivery(d *Delivery) DeliveryView {
	return DeliveryView{
		ID: d.ID, Message: MessageID(d.Message), Endpoint: d.Endpoint, Type: d.Type, State: d.State, Reason: d.Reason, Attempts: d.Attempts,
		NextAt: d.NextAt, CreatedAt: d.CreatedAt, EndedAt: d.EndedAt, Replay: d.Replay, Test: d.Test,
	}
}

// Deliveries lists deliveries, newest first; at most 200.
func (s *Service) Deliveries(ctx context.Context, q DeliveryQuery) ([]DeliveryView, error) {
	q.Limit = min(max(q.Limit, 1), 200)
	var found []*Delivery
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
		found, err = tx.Deliveries(q)
		return err
	})
	out := make([]DeliveryView, 0, len(found))
	for _, d := range found {
		out = append(out, viewDelivery(d))
	}
	return out, err
}

// Delivery is one delivery with its attempts, oldest first.
func (s *Service) Delivery(ctx context.Context, tenant, id string) (DeliveryView, []AttemptView, error) {
	var d *Delivery
	var m *Message
	var subject *proof.Subject
	var attempts []*Attempt
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
		if d, err = tx.Delivery(tenant, id); err != nil {
			return err
		}
		if attempts, err = tx.Attempts(tenant, id); err != nil {
			return err
		}
		if m, err = tx.Message(tenant, d.Message); errors.Is(err, proof.ErrNotFound) {
			m = nil
			return nil
		} else if err != nil {
			return err
		}
		subject, err = subjectOf(tx, m)
		return err
	})
	if err != nil {
		return DeliveryView{}, nil, err
	}
	out := make([]AttemptView, 0, len(attempts))
	for _, a := range attempts {
		v := AttemptView{Number: a.Number, At: a.At, Took: float64(a.Took.Microseconds()) / 1000, Status: a.Status, Error: a.Error}
		if v.Exchange, v.Gone, err = s.exchange(m, subject, a); err != nil {
			return DeliveryView{}, nil, err
		}
		out = append(out, v)
	}
	return viewDelivery(d), out, nil
}

func (s *Service) exchange(m *Message, subject *proof.Subject, a *Attempt) (*Exchange, proof.Reason, error) {
	if m == nil {
		return nil, proof.ReasonDataPurged, nil
	}
	plain, err := s.open(subject, attemptPlace(m, a), a.Sealed)
	if r := proof.ReasonOf(err); err != nil && (r == proof.ReasonErased || r == proof.ReasonDataPurged) {
		return nil, r, nil
	}
	if err != nil {
		return nil, "", err
	}
	x := new(Exchange)
	if err := json.Unmarshal(plain, x); err != nil {
		return nil, "", errors.New("deliveries: an attempt cannot be read")
	}
	return x, "", nil
}

// testsAtOnce is how many tests run at a time in this process.
const testsAtOnce = 8

// EndpointTest is the type of the message that the test button sends.
const EndpointTest = "endpoint.test"

// Test sends one message to an endpoint now, switched off or not, and returns what came
// of it. It is tried once.
func (s *Service) Test(ctx context.Context, tenant, id, actor string) (DeliveryView, AttemptView, error) {
	select {
	case s.testing <- struct{}{}:
		defer func() { <-s.testing }()
	default:
		return DeliveryView{}, AttemptView{}, &proof.Error{
			Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Temporary: true, RetryAfter: s.Timeout, Message: "other tests have no answer yet",
		}
	}
	var l loaded
	err := s.update(ctx, func(tx Tx) error {
		e, err := tx.Endpoint(tenant, id)
		if err != nil {
			return err
		}
		m, _, err := s.message(Draft{
			Tenant: tenant, Type: EndpointTest, Text: "This is a test message from Kosmoscope.",
			Data: map[string]any{"endpoint": e.ID, "status": "test"},
		}, nil)
		if err != nil {
			return err
		}
		d := s.delivery(m, e)
		d.Test = true
		// When this process dies before it has told, the job finds out, after a while, with one
		// more request.
		d.NextAt = s.Now().Add(s.Timeout + time.Minute)
		if err := tx.InsertMessage(m); err != nil {
			return err
		}
		if err := tx.InsertDelivery(d); err != nil {
			return err
		}
		if err := tx.Enqueue(proof.NewJob(tenant, JobDeliver, d.ID, d.NextAt)); err != nil {
			return err
		}
		l = loaded{delivery: d, message: m, endpoint: e}
		return s.audit(tx, tenant, actor, "endpoint.tested", "endpoint:"+id, "", map[string]string{"delivery": d.ID})
	})
	if err != nil {
		return DeliveryView{}, AttemptView{}, err
	}
	o, hopeless := s.attempt(ctx, l)
	if _, err := s.settle(ctx, l, o, hopeless); err != nil {
		return DeliveryView{}, AttemptView{}, err
	}
	d, attempts, err := s.Delivery(context.WithoutCancel(ctx), tenant, l.delivery.ID)
	if err != nil || len(attempts) == 0 {
		return d, AttemptView{}, err
	}
	return d, attempts[0], nil
}

// Replay sends the message of a delivery again, with the same webhook-id: a receiver
// that has it already knows that.
func (s *Service) Replay(ctx context.Context, tenant, id, actor string) (DeliveryView, error) {
	var out DeliveryView
	err := s.update(ctx, func(tx Tx) error {
		old, err := tx.Delivery(tenant, id)
		if err != nil {
			return err
		}
		d, why, err := s.again(tx, old)
		if err != nil {
			return err
		}
		if why != "" {
			return &proof.Error{Code: proof.CodeConflict, Reason: why, Message: "this delivery cannot be made again"}
		}
		out = viewDelivery(d)
		return s.audit(tx, tenant, actor, "delivery.replayed", "delivery:"+id, "", map[string]string{"as": d.ID, "endpoint": d.Endpoint})
	})
	if err == nil {
		s.Wake()
	}
	return out, err
}

// again queues a delivery once more; why says why it cannot.
func (s *Service) again(tx Tx, old *Delivery) (_ *Delivery, why proof.Reason, err error) {
	l, why, err := s.load(tx, old.Tenant, old.ID)
	switch {
	case err != nil || why != "":
		return nil, why, err
	case l.endpoint.Disabled: // a test's, too
		return nil, proof.ReasonEndpointOff, nil
	}
	d := s.delivery(l.message, l.endpoint)
	d.Replay = true
	if err := tx.InsertDelivery(d); err != nil {
		return nil, "", err
	}
	return d, "", tx.Enqueue(proof.NewJob(d.Tenant, JobDeliver, d.ID, d.NextAt))
}

// ReplayProgress is what one bite of a replay did.
type ReplayProgress struct {
	Queued  int    `json:"queued"`
	Skipped int    `json:"skipped"` // erased, purged, tests, replays, or of an endpoint that is off or gone
	Next    string `json:"next"`    // to be DeliveryQuery.Before of the next call; "" when all are done
}

// replayBite is how many deliveries one call looks at.
const replayBite = 200

// ReplayAll replays those that a filter finds, newest first, a bite at a call: call it
// with Before as Next says until that is empty. State must be failed or delivered, and
// Until is needed, so that what comes meanwhile, the replays among it, is not in it.
func (s *Service) ReplayAll(ctx context.Context, actor string, q DeliveryQuery) (ReplayProgress, error) {
	switch {
	case q.State != Failed && q.State != Delivered:
		return ReplayProgress{}, proof.Invalid("state", "state is failed or delivered")
	case q.Until.IsZero():
		return ReplayProgress{}, proof.Invalid("until", "until is needed: the time to which deliveries are replayed")
	case !q.Since.IsZero() && !q.Since.Before(q.Until):
		return ReplayProgress{}, proof.Invalid("since", "since must be before until")
	}
	q.Limit = replayBite
	var out ReplayProgress
	err := s.update(ctx, func(tx Tx) error {
		out = ReplayProgress{}
		found, err := tx.Deliveries(q)
		if err != nil {
			return err
		}
		for _, old := range found {
			if old.Test || old.Replay {
				out.Skipped++
				continue
			}
			_, why, err := s.again(tx, old)
			if err != nil {
				return err
			}
			if why != "" {
				out.Skipped++
				continue
			}
			out.Queued++
		}
		if len(found) == replayBite {
			out.Next = found[len(found)-1].ID
		}
		return s.audit(tx, q.Tenant, actor, "deliveries.replayed", "endpoint:"+q.Endpoint, "", map[string]string{
			"state": string(q.State), "type": q.Type, "queued": strconv.Itoa(out.Queued), "skipped": strconv.Itoa(out.Skipped),
		})
	})
	if err == nil && out.Queued > 0 {
		s.Wake()
	}
	return out, err
}
