package auditing

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
)

// Webhooks are the project's audit webhooks; *connectors.Connectors is one.
type Webhooks interface {
	Webhooks() []connectors.Config
	Post(ctx context.Context, name string, body []byte, timeout time.Duration) (status int, err error)
}

// Options wires a Sender. ProjectID and Webhooks must be given.
type Options struct {
	ProjectID string
	Webhooks  Webhooks
	Tries     []time.Duration  // waits before a batch is sent again; nil: those of guesses.go
	Now       func() time.Time // default time.Now
	Logger    *slog.Logger     // default: silent
}

// State is how far a webhook has come. Events count, unless it says requests.
type State struct {
	Name     string    `json:"name"`
	URL      string    `json:"url"`
	Disabled bool      `json:"disabled,omitempty"`
	Filtered int       `json:"filtered"` // its filters did not let through
	Dropped  int       `json:"dropped"`  // by the knob
	Waiting  int       `json:"waiting"`  // with those of the request under way
	Sent     int       `json:"sent"`     // answered by a 2xx, duplicates too
	Lost     int       `json:"lost"`     // after the last try, or because too much was waiting
	Requests int       `json:"requests"` // tries
	Status   int       `json:"status"`   // of the last answer; 0: none
	At       time.Time `json:"at,omitzero"`
}

// Sender streams events. Make one with New, give Record to accounts.OnEvent, and end it
// with Close. It is safe for concurrent use.
type Sender struct {
	opt   Options
	now   func() time.Time
	log   *slog.Logger
	tries []time.Duration

	ctx  context.Context // ends with Close
	stop context.CancelFunc
	work sync.WaitGroup

	mu    sync.Mutex
	knobs Knobs
	turn  chan struct{} // closed, and made anew, when something may go on
	hooks []*webhook
}

// webhook is one connector and what waits for it.
type webhook struct {
	connectors.Config
	state State
	queue []waiting // the oldest first
	under int       // events of the request under way
}

type waiting struct {
	payload payload
	at      time.Time // when it was recorded
}

// New makes a Sender, which sends from now on. Errors name the connector and the filter.
func New(o Options) (*Sender, error) {
	if o.ProjectID == "" || o.Webhooks == nil {
		return nil, errors.New("auditing: the project and its webhooks are needed")
	}
	s := &Sender{opt: o, now: o.Now, log: o.Logger, tries: o.Tries, knobs: Defaults(), turn: make(chan struct{})}
	if s.now == nil {
		s.now = time.Now
	}
	if s.log == nil {
		s.log = slog.New(slog.DiscardHandler)
	}
	if s.tries == nil {
		s.tries = tries()
	}
	for _, c := range o.Webhooks.Webhooks() {
		for i, f := range c.AuditFilters {
			if f.Key != keyActions && f.Key != keyTenants || f.Operator != includes && f.Operator != excludes || len(f.Values) == 0 {
				return nil, fmt.Errorf("connector %q: auditFilters: number %d needs a key (actions, tenants), an operator (includes, excludes) and values", c.Name, i+1)
			}
		}
		s.hooks = append(s.hooks, &webhook{Config: c, state: State{Name: c.Name, URL: c.BaseURL, Disabled: c.Disabled}})
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	for _, h := range s.hooks {
		if !h.Disabled {
			s.work.Go(func() { s.run(h) })
		}
	}
	return s, nil
}

// Close ends it; what is waiting is lost, and a request under way is cut off.
func (s *Sender) Close() {
	s.stop()
	s.work.Wait()
}

// Record takes an event for all webhooks whose filters let it through. It does not wait.
func (s *Sender) Record(e accounts.Event) {
	s.mu.Lock()
	defer s.mu.Unlock()
	drop := s.knobs.Drop > 0
	wanted := false
	for _, h := range s.hooks {
		switch {
		case h.Disabled:
			continue
		case !lets(h.AuditFilters, e):
			h.state.Filtered++
			continue
		}
		wanted = true
		if drop {
			h.state.Dropped++
			continue
		}
		w := waiting{payloadOf(s.opt.ProjectID, e), s.now()}
		for range 1 + s.knobs.Duplicates {
			h.queue = append(h.queue, w)
		}
		if n := len(h.queue) - maxWaiting; n > 0 {
			h.queue = h.queue[n:]
			h.state.Lost += n
		}
	}
	if wanted && drop {
		s.knobs.Drop--
	}
	s.goOn()
}

// goOn wakes whoever waits for events or knobs. The caller has the lock.
func (s *Sender) goOn() {
	close(s.turn)
	s.turn = make(chan struct{})
}

// Knobs are those that are turned now.
func (s *Sender) Knobs() Knobs {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.knobs
}

// SetKnobs turns them; they hold from the next request on. Errors name the field.
func (s *Sender) SetKnobs(k Knobs) error {
	if err := k.check(); err != nil {
		return err
	}
	if k.Batch == 0 {
		k.Batch = maxBatch
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.knobs = k
	s.goOn()
	return nil
}

// States are how far the webhooks have come, in the order of the project.
func (s *Sender) States() []State {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make([]State, len(s.hooks))
	for i, h := range s.hooks {
		out[i] = h.state
		out[i].Waiting = len(h.queue) + h.under
	}
	return out
}

// run sends for one webhook until Close.
func (s *Sender) run(h *webhook) {
	for s.ctx.Err() == nil {
		batch, wait, turn := s.take(h)
		if batch != nil {
			s.deliver(h, batch)
			continue
		}
		s.sleep(wait, turn)
	}
}

// take gives the next batch, or says how long to wait for one; below zero is until
// something happens.
func (s *Sender) take(h *webhook) (batch []payload, wait time.Duration, turn <-chan struct{}) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(h.queue) == 0 || s.knobs.Pause {
		return nil, -1, s.turn
	}
	if wait = time.Duration(s.knobs.DelayMS)*time.Millisecond - s.now().Sub(h.queue[0].at); wait > 0 {
		return nil, wait, s.turn
	}
	n := min(len(h.queue), s.knobs.Batch)
	var picked []waiting
	picked, h.queue = s.knobs.pick(h.queue, n)
	for _, w := range picked {
		batch = append(batch, w.payload)
	}
	h.under = n
	return batch, 0, nil
}

// deliver sends a batch until it is taken, or lost.
func (s *Sender) deliver(h *webhook, batch []payload) {
	err := s.send(h, batch)
	if s.ctx.Err() != nil {
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	h.under = 0
	if err != nil {
		h.state.Lost += len(batch)
		s.log.Warn("audit webhook: events are lost", "connector", h.Name, "events", len(batch), "error", err)
		return
	}
	h.state.Sent += len(batch)
}

func (s *Sender) send(h *webhook, batch []payload) error {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(batch); err != nil {
		return errors.New("it cannot be written as JSON")
	}
	for try := 0; ; try++ {
		status, err := s.opt.Webhooks.Post(s.ctx, h.Name, bytes.TrimRight(body.Bytes(), "\n"), timeout)
		s.mu.Lock()
		h.state.Requests++
		h.state.Status, h.state.At = status, s.now()
		s.mu.Unlock()
		if err == nil || try == len(s.tries) {
			return err
		}
		if s.sleep(s.tries[try], nil); s.ctx.Err() != nil {
			return s.ctx.Err()
		}
	}
}

// sleep waits for a time (below zero: any), for turn, or for Close.
func (s *Sender) sleep(d time.Duration, turn <-chan struct{}) {
	var over <-chan time.Time
	if d >= 0 {
		t := time.NewTimer(d)
		defer t.Stop()
		over = t.C
	}
	select {
	case <-over:
	case <-turn:
	case <-s.ctx.Done():
	}
}
