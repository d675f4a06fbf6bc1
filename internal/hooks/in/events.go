package in

import (
	"context"
	"errors"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// maxQueue is how many requests of one tenant wait for a slot; more are told to come
	// again, so that a noisy tenant takes neither all memory nor the others' turn.
	maxQueue  = 256
	queueTime = 5 * time.Second
	// storeTime is how long storing may take before the sender is told to come again.
	storeTime = 10 * time.Second
)

// accepted is the answer to events.
type accepted struct {
	Accepted int `json:"accepted"` // all of the request: they are durable
	New      int `json:"new"`      // of those, how many were not known yet
	Parked   int `json:"parked"`   // of those accepted, how many could not be read and wait for a person
}

// events takes what Descope's Audit Webhook sends.
func (d *door) events(c *call) {
	buf, err := c.read(maxEventsBody)
	if err != nil {
		c.refuse(err)
		return
	}
	defer d.bodies.Put(buf)
	body := buf.Bytes()
	if c.Caller, err = d.Callers.AuthenticateEvents(c.r, body); err != nil {
		c.refuse(err)
		return
	}
	told, err := Decode(body)
	if err != nil {
		c.refuse(err)
		return
	}
	out := accepted{Accepted: len(told)}
	for i := range told {
		if told[i].Refused != "" {
			out.Parked++
		}
	}
	leave, err := d.enter(c.r.Context(), c.Caller.Tenant)
	if err != nil {
		c.refuse(err)
		return
	}
	defer leave()
	ctx, cancel := context.WithTimeout(c.r.Context(), storeTime)
	defer cancel()
	if out.New, err = d.Events.Accept(ctx, c.Caller.Tenant, hooks.SourceWebhook, told); err != nil {
		c.refuse(later(err))
		return
	}
	c.answer(http.StatusOK, out)
}

// later makes an error of ours one that tells the sender to come again, and when.
func later(err error) error {
	e, ok := errors.AsType[*proof.Error](err)
	switch code := proof.CodeOf(err); {
	case code == proof.CodeInternal, code == proof.CodeConflict:
	case code == proof.CodeUnavailable && (!ok || e.RetryAfter == 0):
	default:
		return err
	}
	return &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true, RetryAfter: 5 * time.Second,
		Message: "the events could not be stored; send them again", Err: err,
	}
}

// enter waits for one of the tenant's slots. leave gives it back.
func (d *door) enter(ctx context.Context, id string) (leave func(), err error) {
	t := d.tenants[id]
	if t == nil {
		return func() {}, nil // Accept says what is wrong
	}
	busy := &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true, RetryAfter: 2 * time.Second,
		Message: "too many requests with events at once; send them again",
	}
	select {
	case t.queue <- struct{}{}:
	default:
		return nil, busy
	}
	out := func() { <-t.queue }
	both := func() { <-t.slots; out() }
	select {
	case t.slots <- struct{}{}:
		return both, nil
	default:
	}
	timer := time.NewTimer(queueTime)
	defer timer.Stop()
	select {
	case t.slots <- struct{}{}:
		return both, nil
	case <-timer.C:
	case <-ctx.Done():
	}
	out()
	return nil, busy
}
