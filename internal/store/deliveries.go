package store

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
)

var _ deliveries.Store = (*Store)(nil)

// UpdateDeliveries implements deliveries.Store. All that Update says holds.
func (s *Store) UpdateDeliveries(ctx context.Context, fn func(deliveries.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// ViewDeliveries implements deliveries.Store.
func (s *Store) ViewDeliveries(ctx context.Context, fn func(deliveries.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

const messageColumns = `tenant, id, type, subject, at, sealed`

func scanMessage(r row) (*deliveries.Message, error) {
	m := new(deliveries.Message)
	return m, r.Scan(&m.Tenant, &m.ID, &m.Type, &m.Subject, at(&m.At), &m.Sealed)
}

func (t *tx) InsertMessage(m *deliveries.Message) error {
	return t.later(`INSERT INTO messages (`+messageColumns+`) VALUES ($1, $2, $3, $4, $5, $6)`,
		m.Tenant, m.ID, m.Type, m.Subject, micros(m.At), blob(m.Sealed))
}

func (t *tx) Message(tenant, id string) (*deliveries.Message, error) {
	return one(t, scanMessage, `SELECT `+messageColumns+` FROM messages WHERE tenant = $1 AND id = $2`, tenant, id)
}

// PurgeMessages implements deliveries.Tx, the oldest first.
func (t *tx) PurgeMessages(tenant string, before time.Time, limit int) (int, error) {
	old, err := texts(t, `SELECT id FROM messages WHERE tenant = $1 AND at < $2
		AND NOT EXISTS (SELECT 1 FROM deliveries d WHERE d.tenant = $1 AND d.message = messages.id AND d.state = 'waiting')
		ORDER BY at, id LIMIT $3`, tenant, micros(before), int64(max(limit, 0)))
	if err != nil {
		return 0, err
	}
	t.erased = t.erased || len(old) > 0
	for _, id := range old {
		if err := t.purgeMessage(tenant, id); err != nil {
			return 0, err
		}
	}
	return len(old), nil
}

func (t *tx) purgeMessage(tenant, id string) error {
	for _, statement := range []string{
		`DELETE FROM delivery_attempts WHERE tenant = $1 AND delivery IN (SELECT id FROM deliveries WHERE tenant = $1 AND message = $2)`,
		`DELETE FROM deliveries WHERE tenant = $1 AND message = $2`,
		`DELETE FROM messages WHERE tenant = $1 AND id = $2`,
	} {
		if err := t.later(statement, tenant, id); err != nil {
			return err
		}
	}
	return nil
}

const endpointColumns = `tenant, id, version, document, sealed, failing_since, created_at, updated_at`

func scanEndpoint(r row) (*deliveries.Endpoint, error) {
	e := new(deliveries.Endpoint)
	var tenant, id string
	var version int64
	if err := r.Scan(&tenant, &id, &version, fromJSON(e), &e.Sealed, at(&e.FailingSince), at(&e.CreatedAt), at(&e.UpdatedAt)); err != nil {
		return nil, err
	}
	e.Tenant, e.ID, e.Version = tenant, id, version
	return e, nil
}

// endpointValues are in the order of endpointColumns.
func endpointValues(e *deliveries.Endpoint) ([]any, error) {
	said := *e // what has a column of its own is not said twice
	said.FailingSince, said.CreatedAt, said.UpdatedAt, said.Version = time.Time{}, time.Time{}, time.Time{}, 0
	document, err := json.Marshal(&said)
	if err != nil {
		return nil, fmt.Errorf("store: an endpoint: %w", err)
	}
	return []any{e.Tenant, e.ID, e.Version, string(document), blob(e.Sealed), micros(e.FailingSince), micros(e.CreatedAt), micros(e.UpdatedAt)}, nil
}

var insertEndpoint, updateEndpoint = statements("endpoints", endpointColumns)

func (t *tx) Endpoints(tenant string) ([]*deliveries.Endpoint, error) {
	return many(t, scanEndpoint, `SELECT `+endpointColumns+` FROM endpoints WHERE tenant = $1 ORDER BY id`, tenant)
}

func (t *tx) Endpoint(tenant, id string) (*deliveries.Endpoint, error) {
	return one(t, scanEndpoint, `SELECT `+endpointColumns+` FROM endpoints WHERE tenant = $1 AND id = $2`, tenant, id)
}

func (t *tx) InsertEndpoint(e *deliveries.Endpoint) error {
	values, err := endpointValues(e)
	if err != nil {
		return err
	}
	n, err := t.exec(insertEndpoint, values...)
	return fresh(n, err)
}

func (t *tx) UpdateEndpoint(e *deliveries.Endpoint) error {
	values, err := endpointValues(e)
	if err != nil {
		return err
	}
	n, err := t.exec(updateEndpoint, values...)
	if err := t.staleOr(n, err, func() error { _, err := t.Endpoint(e.Tenant, e.ID); return err }); err != nil {
		return err
	}
	e.Version++
	return nil
}

// DeleteEndpoint leaves what was delivered there.
func (t *tx) DeleteEndpoint(tenant, id string) error {
	t.erased = true // of secrets
	n, err := t.exec(`DELETE FROM endpoints WHERE tenant = $1 AND id = $2`, tenant, id)
	return found(n, err)
}

const deliveryColumns = `tenant, id, version, message, endpoint, type, state, reason, attempts, next_at, created_at, ended_at, replay, test`

func scanDelivery(r row) (*deliveries.Delivery, error) {
	d := new(deliveries.Delivery)
	return d, r.Scan(&d.Tenant, &d.ID, &d.Version, &d.Message, &d.Endpoint, &d.Type, &d.State, &d.Reason, &d.Attempts,
		at(&d.NextAt), at(&d.CreatedAt), at(&d.EndedAt), &d.Replay, &d.Test)
}

func (t *tx) InsertDelivery(d *deliveries.Delivery) error {
	n, err := t.exec(`INSERT INTO deliveries (`+deliveryColumns+`, once)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) ON CONFLICT DO NOTHING`,
		d.Tenant, d.ID, d.Version, d.Message, d.Endpoint, d.Type, string(d.State), string(d.Reason), d.Attempts,
		micros(d.NextAt), micros(d.CreatedAt), micros(d.EndedAt), d.Replay, d.Test, !d.Replay && !d.Test)
	return fresh(n, err)
}

func (t *tx) Delivery(tenant, id string) (*deliveries.Delivery, error) {
	return one(t, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries WHERE tenant = $1 AND id = $2`, tenant, id)
}

// UpdateDelivery implements deliveries.Tx. What, whereto and why stay as they were.
func (t *tx) UpdateDelivery(d *deliveries.Delivery) error {
	n, err := t.exec(`UPDATE deliveries SET version = version + 1, state = $4, reason = $5, attempts = $6, next_at = $7, ended_at = $8
		WHERE tenant = $1 AND id = $2 AND version = $3`,
		d.Tenant, d.ID, d.Version, string(d.State), string(d.Reason), d.Attempts, micros(d.NextAt), micros(d.EndedAt))
	if err := t.staleOr(n, err, func() error { _, err := t.Delivery(d.Tenant, d.ID); return err }); err != nil {
		return err
	}
	d.Version++
	return nil
}

func (t *tx) Deliveries(q deliveries.DeliveryQuery) ([]*deliveries.Delivery, error) {
	var w conditions
	w.add("tenant = ?", q.Tenant)
	if q.Endpoint != "" {
		w.add("endpoint = ?", q.Endpoint)
	}
	if q.Type != "" {
		w.add("type = ?", q.Type)
	}
	if q.State != "" {
		w.add("state = ?", string(q.State))
	}
	if !q.Since.IsZero() {
		w.add("created_at >= ?", micros(q.Since))
	}
	if !q.Until.IsZero() {
		w.add("created_at < ?", micros(q.Until))
	}
	if q.Before != "" {
		w.add("id < ?", q.Before)
	}
	most := w.value(page(q.Limit))
	return many(t, scanDelivery, `SELECT `+deliveryColumns+` FROM deliveries WHERE `+w.String()+` ORDER BY id DESC LIMIT `+most, w.args...)
}

const attemptColumns = `tenant, delivery, number, at, took, status, error, sealed`

func scanAttempt(r row) (*deliveries.Attempt, error) {
	a := new(deliveries.Attempt)
	var took int64
	err := r.Scan(&a.Tenant, &a.Delivery, &a.Number, at(&a.At), &took, &a.Status, &a.Error, &a.Sealed)
	a.Took = time.Duration(took) * time.Microsecond
	return a, err
}

// InsertAttempt keeps how long it took in microseconds.
func (t *tx) InsertAttempt(a *deliveries.Attempt) error {
	n, err := t.exec(`INSERT INTO delivery_attempts (`+attemptColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		a.Tenant, a.Delivery, a.Number, micros(a.At), a.Took.Microseconds(), a.Status, a.Error, blob(a.Sealed))
	return fresh(n, err)
}

func (t *tx) Attempts(tenant, delivery string) ([]*deliveries.Attempt, error) {
	return many(t, scanAttempt, `SELECT `+attemptColumns+` FROM delivery_attempts WHERE tenant = $1 AND delivery = $2 ORDER BY number`, tenant, delivery)
}

// eraseDeliveries forgets what was to be told of a subject, and what was sent.
func (t *tx) eraseDeliveries(tenant, subject string) error {
	if err := t.later(`UPDATE delivery_attempts SET sealed = NULL WHERE tenant = $1 AND delivery IN (
		SELECT id FROM deliveries WHERE tenant = $1 AND message IN (
			SELECT id FROM messages WHERE tenant = $1 AND subject = $2 AND subject <> ''))`, tenant, subject); err != nil {
		return err
	}
	return t.later(`UPDATE messages SET sealed = NULL WHERE tenant = $1 AND subject = $2 AND subject <> ''`, tenant, subject)
}
