package deliveries_test

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// memory is a deliveries.Store that a synctest bubble can hold, with its queue. The real
// one is in internal/store, and one test here runs on that.
type memory struct {
	mu sync.Mutex
	state
	failures int // of updates to come
}

type state struct {
	subjects   map[string]proof.Subject
	messages   map[string]deliveries.Message
	endpoints  map[string]deliveries.Endpoint
	deliveries map[string]deliveries.Delivery
	attempts   []deliveries.Attempt
	audit      []proof.AuditRecord
	jobs       map[string]*queued
}

type queued struct {
	proof.Job
	held, again bool
}

func newMemory() *memory {
	return &memory{state: state{
		subjects: map[string]proof.Subject{}, messages: map[string]deliveries.Message{}, endpoints: map[string]deliveries.Endpoint{},
		deliveries: map[string]deliveries.Delivery{}, jobs: map[string]*queued{},
	}}
}

func (s *state) copied() state {
	c := *s
	c.subjects, c.messages, c.endpoints, c.deliveries = maps.Clone(s.subjects), maps.Clone(s.messages), maps.Clone(s.endpoints), maps.Clone(s.deliveries)
	c.attempts, c.audit, c.jobs = slices.Clone(s.attempts), slices.Clone(s.audit), map[string]*queued{}
	for k, j := range s.jobs {
		one := *j
		c.jobs[k] = &one
	}
	return c
}

func (m *memory) UpdateDeliveries(ctx context.Context, fn func(deliveries.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	if err := ctx.Err(); err != nil {
		return err
	}
	if m.failures > 0 {
		m.failures--
		return errors.New("the disk is full")
	}
	before := m.state.copied()
	err := fn(memTx{&m.state})
	if err != nil {
		m.state = before
	}
	return err
}

func (m *memory) ViewDeliveries(ctx context.Context, fn func(deliveries.Tx) error) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	return fn(memTx{&m.state})
}

type memTx struct{ *state }

func get[T any](m map[string]T, tenant, id string) (*T, error) {
	v, ok := m[tenant+"/"+id]
	if !ok {
		return nil, proof.ErrNotFound
	}
	return &v, nil
}

func (t memTx) Subject(tenant, id string) (*proof.Subject, error) { return get(t.subjects, tenant, id) }
func (t memTx) InsertAudit(r *proof.AuditRecord) error {
	t.audit = append(t.audit, *r)
	return nil
}

func (t memTx) Enqueue(j *proof.Job) error {
	k := j.Tenant + "/" + j.Kind + "/" + j.Key
	if old := t.jobs[k]; old != nil {
		if j.RunAt.Before(old.RunAt) {
			old.RunAt = j.RunAt
		}
		old.again = true
		return nil
	}
	t.jobs[k] = &queued{Job: *j}
	return nil
}

func (t memTx) InsertMessage(m *deliveries.Message) error {
	t.messages[m.Tenant+"/"+m.ID] = *m
	return nil
}

func (t memTx) Message(tenant, id string) (*deliveries.Message, error) {
	return get(t.messages, tenant, id)
}

func (t memTx) PurgeMessages(tenant string, before time.Time, limit int) (n int, err error) {
	for k, m := range t.messages {
		if m.Tenant != tenant || !m.At.Before(before) || n == limit {
			continue
		}
		waits := false
		for _, d := range t.deliveries {
			waits = waits || d.Message == m.ID && d.State == deliveries.Waiting
		}
		if !waits {
			n++
			delete(t.messages, k)
			maps.DeleteFunc(t.deliveries, func(_ string, d deliveries.Delivery) bool { return d.Message == m.ID })
		}
	}
	return n, nil
}

func (t memTx) Endpoints(tenant string) (out []*deliveries.Endpoint, err error) {
	for _, k := range slices.Sorted(maps.Keys(t.endpoints)) {
		if e := t.endpoints[k]; e.Tenant == tenant {
			out = append(out, &e)
		}
	}
	return out, nil
}

func (t memTx) Endpoint(tenant, id string) (*deliveries.Endpoint, error) {
	return get(t.endpoints, tenant, id)
}

func (t memTx) InsertEndpoint(e *deliveries.Endpoint) error {
	t.endpoints[e.Tenant+"/"+e.ID] = *e
	return nil
}

func (t memTx) UpdateEndpoint(e *deliveries.Endpoint) error {
	if old, err := t.Endpoint(e.Tenant, e.ID); err != nil || old.Version != e.Version {
		return errors.Join(err, proof.ErrStale)
	}
	e.Version++
	return t.InsertEndpoint(e)
}

func (t memTx) DeleteEndpoint(tenant, id string) error {
	_, err := t.Endpoint(tenant, id)
	delete(t.endpoints, tenant+"/"+id)
	return err
}

func (t memTx) InsertDelivery(d *deliveries.Delivery) error {
	for _, o := range t.deliveries {
		if o.Message == d.Message && o.Endpoint == d.Endpoint && !o.Replay && !o.Test && !d.Replay && !d.Test {
			return proof.ErrStale
		}
	}
	t.deliveries[d.Tenant+"/"+d.ID] = *d
	return nil
}

func (t memTx) Delivery(tenant, id string) (*deliveries.Delivery, error) {
	return get(t.deliveries, tenant, id)
}

func (t memTx) UpdateDelivery(d *deliveries.Delivery) error {
	if old, err := t.Delivery(d.Tenant, d.ID); err != nil || old.Version != d.Version {
		return errors.Join(err, proof.ErrStale)
	}
	d.Version++
	t.deliveries[d.Tenant+"/"+d.ID] = *d
	return nil
}

func (t memTx) Deliveries(q deliveries.DeliveryQuery) (out []*deliveries.Delivery, err error) {
	keys := slices.Sorted(maps.Keys(t.deliveries))
	slices.Reverse(keys)
	for _, k := range keys {
		d := t.deliveries[k]
		if d.Tenant == q.Tenant && (q.Endpoint == "" || q.Endpoint == d.Endpoint) && (q.Type == "" || q.Type == d.Type) &&
			(q.State == "" || q.State == d.State) && !d.CreatedAt.Before(q.Since) && (q.Until.IsZero() || d.CreatedAt.Before(q.Until)) &&
			(q.Before == "" || d.ID < q.Before) && len(out) < q.Limit {
			out = append(out, &d)
		}
	}
	return out, nil
}

func (t memTx) InsertAttempt(a *deliveries.Attempt) error {
	t.state.attempts = append(t.state.attempts, *a)
	return nil
}

func (t memTx) Attempts(tenant, delivery string) (out []*deliveries.Attempt, err error) {
	for _, a := range t.attempts {
		if a.Tenant == tenant && a.Delivery == delivery {
			out = append(out, &a)
		}
	}
	return out, nil
}

// take hands out the job that is due first, of those not in other hands; nil with the
// time at which the next will be due, zero if there is none.
func (m *memory) take(now time.Time) (*queued, time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var first *queued
	for _, j := range m.jobs {
		if !j.held && (first == nil || cmp.Or(j.RunAt.Compare(first.RunAt), strings.Compare(j.ID, first.ID)) < 0) {
			first = j
		}
	}
	if first == nil {
		return nil, time.Time{}
	}
	if first.RunAt.After(now) {
		return nil, first.RunAt
	}
	first.held, first.again = true, false
	one := *first
	return &one, time.Time{}
}

// report says what became of a job.
func (m *memory) report(j *queued, next time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	k := j.Tenant + "/" + j.Kind + "/" + j.Key
	live := m.jobs[k]
	live.held = false
	if !next.IsZero() {
		live.RunAt = next
	} else if !live.again {
		delete(m.jobs, k)
	}
}

// plainVault seals so that one can see whether it was opened in the right place, with
// the key of the right person. The real one is internal/vault's.
type plainVault struct{ journey.Vault }

func seal(key string, p journey.Place, b []byte) []byte {
	return []byte(strings.Join([]string{key, p.Tenant, p.Subject, p.Table, p.Column, p.Row, string(b)}, "\x1f"))
}

func open(key string, p journey.Place, b []byte) ([]byte, error) {
	rest, ok := strings.CutPrefix(string(b), string(seal(key, p, nil)))
	if !ok || key == "" {
		return nil, errors.New("does not open")
	}
	return []byte(rest), nil
}

func (plainVault) Seal(key []byte, p journey.Place, b []byte) ([]byte, error) {
	return seal(string(key), p, b), nil
}
func (plainVault) Open(key []byte, p journey.Place, b []byte) ([]byte, error) {
	return open(string(key), p, b)
}
func (plainVault) SealOwn(p journey.Place, b []byte) ([]byte, error) { return seal("own", p, b), nil }
func (plainVault) OpenOwn(p journey.Place, b []byte) ([]byte, error) { return open("own", p, b) }
