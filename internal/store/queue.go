package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Enqueue implements journey.Tx. While a worker has the job, what it read may be
// out of date by now, so the new request is kept apart until it reports.
func (t *tx) Enqueue(j *proof.Job) error {
	return t.later(`INSERT INTO jobs (tenant, id, kind, key, run_at, due_at, again_at, attempts, failures, last_error, owner, fence, dead_at)
		VALUES ($1, $2, $3, $4, $5, $5, 0, 0, 0, '', '', 0, 0)
		ON CONFLICT (tenant, kind, key) WHERE dead_at = 0 DO UPDATE SET
			run_at = CASE WHEN jobs.owner = '' AND excluded.run_at < jobs.run_at THEN excluded.run_at ELSE jobs.run_at END,
			due_at = CASE WHEN jobs.owner = '' AND excluded.run_at < jobs.due_at THEN excluded.run_at ELSE jobs.due_at END,
			again_at = CASE
				WHEN jobs.owner = '' THEN 0
				WHEN jobs.again_at = 0 OR excluded.run_at < jobs.again_at THEN excluded.run_at
				ELSE jobs.again_at END`,
		j.Tenant, j.ID, j.Kind, j.Key, max(micros(j.RunAt), 1)) // 0 would be no time at all
}

// CancelJobs implements journey.Tx. A worker that has the job finds its lease lost.
func (t *tx) CancelJobs(tenant, kind, key string) error {
	return t.later(`DELETE FROM jobs WHERE tenant = $1 AND kind = $2 AND key = $3 AND dead_at = 0`, tenant, kind, key)
}

// Claim implements jobs.Queue. It serves all tenants.
func (s *Store) Claim(ctx context.Context, owner string, now time.Time, limit int, lease time.Duration) ([]jobs.Claimed, error) {
	if owner == "" || lease <= 0 {
		return nil, fmt.Errorf("store: a claim needs an owner and a lease")
	}
	var claimed []jobs.Claimed
	err := s.db.write(journey.WithoutHurry(ctx), oneStatement, func(t *tx) error {
		claimed = claimed[:0]
		return t.query(func(r row) error {
			c := jobs.Claimed{Owner: owner}
			if err := r.Scan(&c.Tenant, &c.ID, &c.Kind, &c.Key, at(&c.RunAt), &c.Attempts, &c.LastError, &c.Failures, &c.Fence); err != nil {
				return err
			}
			claimed = append(claimed, c)
			return nil
		}, `WITH due AS MATERIALIZED (
				SELECT tenant, id FROM jobs WHERE dead_at = 0 AND due_at <= $2 ORDER BY due_at LIMIT $4 `+t.dialect.skipLocked+`
			)
			UPDATE jobs SET owner = $1, due_at = $3, fence = fence + 1, attempts = attempts + 1,
				failures = failures + CASE WHEN owner = '' THEN 0 ELSE 1 END,
				again_at = CASE WHEN again_at <= $2 THEN 0 ELSE again_at END
			FROM due WHERE jobs.tenant = due.tenant AND jobs.id = due.id
			RETURNING jobs.tenant, jobs.id, kind, key, run_at, attempts, last_error, failures, fence`,
			owner, micros(now), micros(now.Add(lease)), int64(limit))
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(claimed, func(a, b jobs.Claimed) int {
		return cmp.Or(a.RunAt.Compare(b.RunAt), cmp.Compare(a.ID, b.ID))
	})
	return claimed, nil
}

// Extend implements jobs.Queue.
func (s *Store) Extend(ctx context.Context, c jobs.Claimed, until time.Time) error {
	return s.report(ctx, oneStatement, func(t *tx) (int, error) {
		return t.exec(`UPDATE jobs SET due_at = $5 WHERE `+held, c.Tenant, c.ID, c.Owner, c.Fence, micros(until))
	})
}

// Finish implements jobs.Queue. Of its two statements one does all there is to do.
func (s *Store) Finish(ctx context.Context, c jobs.Claimed) error {
	return s.report(ctx, oneStatement, func(t *tx) (int, error) {
		n, err := t.exec(`DELETE FROM jobs WHERE again_at = 0 AND `+held, c.Tenant, c.ID, c.Owner, c.Fence)
		if n > 0 || err != nil {
			return n, err
		}
		return t.exec(`UPDATE jobs SET run_at = again_at, due_at = again_at, again_at = 0, attempts = 0, failures = 0,
			last_error = '', owner = '' WHERE again_at <> 0 AND `+held, c.Tenant, c.ID, c.Owner, c.Fence)
	})
}

// Reschedule implements jobs.Queue.
func (s *Store) Reschedule(ctx context.Context, c jobs.Claimed, when time.Time, lastError string) error {
	return s.report(ctx, oneStatement, func(t *tx) (int, error) {
		return t.exec(`UPDATE jobs SET
			run_at = CASE WHEN again_at <> 0 AND again_at < $5 THEN again_at ELSE CAST($5 AS BIGINT) END,
			due_at = CASE WHEN again_at <> 0 AND again_at < $5 THEN again_at ELSE CAST($5 AS BIGINT) END,
			again_at = 0, attempts = $6, failures = $7, last_error = $8, owner = ''
			WHERE `+held, c.Tenant, c.ID, c.Owner, c.Fence, micros(when), c.Attempts, c.Failures, lastError)
	})
}

// Dead implements jobs.Queue.
func (s *Store) Dead(ctx context.Context, c jobs.Claimed, now time.Time, lastError string) error {
	again, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	record, err := uuid.NewV7()
	if err != nil {
		return fmt.Errorf("store: %w", err)
	}
	return s.report(ctx, serial, func(t *tx) (int, error) {
		n, err := t.exec(`UPDATE jobs SET dead_at = $5, attempts = $6, failures = $7, last_error = $8, owner = '' WHERE `+held,
			c.Tenant, c.ID, c.Owner, c.Fence, micros(now), c.Attempts, c.Failures, lastError)
		if n == 0 || err != nil {
			return n, err
		}
		if _, err := t.exec(`INSERT INTO jobs (tenant, id, kind, key, run_at, due_at, again_at, attempts, failures, last_error, owner, fence, dead_at)
			SELECT tenant, $3, kind, key, again_at, again_at, 0, 0, 0, '', '', 0, 0 FROM jobs
			WHERE tenant = $1 AND id = $2 AND again_at <> 0`, c.Tenant, c.ID, again.String()); err != nil {
			return 0, err
		}
		return n, t.InsertAudit(&proof.AuditRecord{
			ID: record.String(), Tenant: c.Tenant, At: now, Actor: "job", Action: "job.dead", Object: "job:" + c.ID,
			Detail: map[string]string{"kind": c.Kind, "key": c.Key, "error": lastError},
		})
	})
}

const held = `tenant = $1 AND id = $2 AND owner = $3 AND fence = $4 AND dead_at = 0`

func (s *Store) report(ctx context.Context, iso isolation, fn func(*tx) (int, error)) error {
	return s.db.write(journey.WithoutHurry(ctx), iso, func(t *tx) error {
		n, err := fn(t)
		if err == nil && n == 0 {
			return jobs.ErrLeaseLost
		}
		return err
	})
}
