package store

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Enqueue implements journey.Tx. While a worker has the job, what it read may be
// out of date by now, so the new request is kept apart until it reports. Where nothing
// would change, nothing is written: on PostgreSQL, thousands who ask for the same job
// would collide.
func (t *tx) Enqueue(j *proof.Job) error {
	return t.later(`INSERT INTO jobs (tenant, id, kind, key, run_at, due_at, again_at, attempts, failures, last_error, owner, fence, dead_at, priority)
		VALUES ($1, $2, $3, $4, $5, $5, 0, 0, 0, '', '', 0, 0, COALESCE((SELECT priority FROM job_kinds WHERE kind = $3), 0))
		ON CONFLICT (tenant, kind, key) WHERE dead_at = 0 DO UPDATE SET
			run_at = CASE WHEN jobs.owner = '' AND excluded.run_at < jobs.run_at THEN excluded.run_at ELSE jobs.run_at END,
			due_at = CASE WHEN jobs.owner = '' AND excluded.run_at < jobs.due_at THEN excluded.run_at ELSE jobs.due_at END,
			again_at = CASE
				WHEN jobs.owner = '' THEN 0
				WHEN jobs.again_at = 0 OR excluded.run_at < jobs.again_at THEN excluded.run_at
				ELSE jobs.again_at END
			WHERE CASE WHEN jobs.owner = '' THEN excluded.run_at < jobs.run_at OR excluded.run_at < jobs.due_at
				ELSE jobs.again_at = 0 OR excluded.run_at < jobs.again_at END`,
		j.Tenant, j.ID, j.Kind, j.Key, max(micros(j.RunAt), 1)) // 0 would be no time at all
}

// CancelJobs implements journey.Tx. A worker that has the job finds its lease lost.
func (t *tx) CancelJobs(tenant, kind, key string) error {
	return t.later(`DELETE FROM jobs WHERE tenant = $1 AND kind = $2 AND key = $3 AND dead_at = 0`, tenant, kind, key)
}

// Claim implements jobs.Queue. It serves all tenants: in a statement that goes from one
// tenant that has jobs to the next, and takes of each the first few that are due.
func (s *Store) Claim(ctx context.Context, owner string, now time.Time, limit int, lease time.Duration, held ...jobs.Held) ([]jobs.Claimed, error) {
	if owner == "" || lease <= 0 {
		return nil, fmt.Errorf("store: a claim needs an owner and a lease")
	}
	args := []any{owner, micros(now), micros(now.Add(lease)), int64(limit)}
	n := 1
	for n < len(held) {
		n *= 4 // so that there are few different statements
	}
	for i := range n {
		h := jobs.Held{} // of no tenant
		if i < len(held) {
			h = held[i]
		}
		args = append(args, h.Tenant, int64(h.Jobs), int64(h.Room))
	}
	var claimed []jobs.Claimed
	err := s.db.write(journey.WithoutHurry(ctx), oneStatement, func(t *tx) error {
		claimed = claimed[:0]
		return t.query(func(r row) error {
			c := jobs.Claimed{Owner: owner}
			if err := r.Scan(&c.Tenant, &c.ID, &c.Kind, &c.Key, at(&c.RunAt), &c.Attempts, &c.LastError, &c.Failures, &c.Fence, &c.Priority); err != nil {
				return err
			}
			claimed = append(claimed, c)
			return nil
		}, claimStatement(t.dialect, n), args...)
	})
	if err != nil {
		return nil, err
	}
	slices.SortFunc(claimed, func(a, b jobs.Claimed) int {
		return cmp.Or(cmp.Compare(a.Priority, b.Priority), a.RunAt.Compare(b.RunAt), cmp.Compare(a.ID, b.ID))
	})
	return claimed, nil
}

// claimStatement is for so many tenants of which the owner holds jobs. Whoever holds
// least is first in line.
func claimStatement(d *dialect, held int) string {
	var b strings.Builder
	for i := range held {
		if i > 0 {
			b.WriteString(", ")
		}
		fmt.Fprintf(&b, "(CAST($%d AS TEXT), CAST($%d AS BIGINT), CAST($%d AS BIGINT))", 5+3*i, 6+3*i, 7+3*i)
	}
	return `WITH RECURSIVE tenants (tenant) AS (
			SELECT MIN(tenant) FROM jobs WHERE dead_at = 0
			UNION ALL
			SELECT (SELECT MIN(tenant) FROM jobs WHERE dead_at = 0 AND tenant > tenants.tenant) FROM tenants WHERE tenant IS NOT NULL
		), priorities (priority) AS (VALUES (-1), (0), (1)), held (tenant, jobs, room) AS (VALUES ` + b.String() + `),
		first AS (
			SELECT j.tenant, j.id, j.run_at, p.priority,
				ROW_NUMBER() OVER (PARTITION BY j.tenant ORDER BY p.priority, j.run_at, j.id) AS place
			FROM tenants t CROSS JOIN priorities p CROSS JOIN ` + d.firstDue + `
		),
		due AS MATERIALIZED (
			SELECT f.tenant, f.id FROM first f LEFT JOIN held h ON h.tenant = f.tenant
			WHERE place <= COALESCE(room, $4) ORDER BY place + COALESCE(jobs, 0), priority, run_at, f.id LIMIT $4
		)
		UPDATE jobs SET owner = $1, due_at = $3, fence = fence + 1, attempts = attempts + 1,
			failures = failures + CASE WHEN owner = '' THEN 0 ELSE 1 END,
			again_at = CASE WHEN again_at <= $2 THEN 0 ELSE again_at END
		WHERE (tenant, id) IN (SELECT tenant, id FROM due)
		RETURNING tenant, id, kind, key, run_at, attempts, last_error, failures, fence, priority`
}

// Of one tenant and priority, the first that are due. Those that somebody has in hand are
// among those that came to run, until the end of the lease shows that they are not due.
const (
	dueOf = `FROM jobs WHERE tenant = t.tenant AND priority = p.priority AND dead_at = 0 AND run_at <= $2 AND due_at <= $2 ORDER BY run_at, id LIMIT $4`
	// SQLite has no LATERAL, and compares with what a subquery finds by asking it again for each row.
	firstDueSQLite   = `jobs j WHERE j.rowid IN (SELECT rowid ` + dueOf + `)`
	firstDuePostgres = `LATERAL (SELECT tenant, id, run_at ` + dueOf + ` FOR UPDATE SKIP LOCKED) j`
)

// Extend implements jobs.Queue.
func (s *Store) Extend(ctx context.Context, c jobs.Claimed, until time.Time) error {
	return s.report(ctx, oneStatement, func(t *tx) (int, error) {
		return t.exec(`UPDATE jobs SET due_at = $5 WHERE `+held, c.Tenant, c.ID, c.Owner, c.Fence, micros(until))
	})
}

// FinishAll implements jobs.Queue. What it did not find, held and not asked for again,
// it looks for once more.
func (s *Store) FinishAll(ctx context.Context, cs []jobs.Claimed) (lost []jobs.Claimed, err error) {
	type key struct{ tenant, id string }
	for chunk := range slices.Chunk(cs, 256) {
		gone := map[key]bool{}
		err := s.db.write(journey.WithoutHurry(ctx), oneStatement, func(t *tx) error {
			clear(gone)
			list, args := t.dialect.heldBy(chunk)
			note := func(r row) error {
				var k key
				err := r.Scan(&k.tenant, &k.id)
				gone[k] = true
				return err
			}
			if err := t.query(note, `DELETE FROM jobs WHERE again_at = 0 AND `+list+` RETURNING tenant, id`, args...); err != nil {
				return err
			}
			if len(gone) == len(chunk) {
				return nil
			}
			return t.query(note, `UPDATE jobs SET `+runAgain+` WHERE again_at <> 0 AND `+list+` RETURNING tenant, id`, args...)
		})
		if err != nil {
			return nil, err
		}
		for _, c := range chunk {
			if !gone[key{c.Tenant, c.ID}] {
				lost = append(lost, c)
			}
		}
	}
	return lost, nil
}

// heldByPostgres is one statement for any number of jobs: to many ORs PostgreSQL is slow.
func heldByPostgres(cs []jobs.Claimed) (condition string, args []any) {
	var tenants, ids, owners []string
	var fences []int64
	for _, c := range cs {
		tenants, ids, owners, fences = append(tenants, c.Tenant), append(ids, c.ID), append(owners, c.Owner), append(fences, c.Fence)
	}
	return `(tenant, id, owner, fence) IN (SELECT * FROM unnest($1::text[], $2::text[], $3::text[], $4::bigint[]))`,
		[]any{tenants, ids, owners, fences}
}

// heldBySQLite repeats the last job, so that there are few different statements: SQLite
// has no arrays.
func heldBySQLite(cs []jobs.Claimed) (condition string, args []any) {
	var b strings.Builder
	n := 1
	for n < len(cs) {
		n *= 4
	}
	for i := range n {
		if i > 0 {
			b.WriteString(" OR ")
		}
		c := cs[min(i, len(cs)-1)]
		args = append(args, c.Tenant, c.ID, c.Owner, c.Fence)
		fmt.Fprintf(&b, "(tenant = $%d AND id = $%d AND owner = $%d AND fence = $%d)", 4*i+1, 4*i+2, 4*i+3, 4*i+4)
	}
	return "(" + b.String() + ")", args
}

const runAgain = `run_at = again_at, due_at = again_at, again_at = 0, attempts = 0, failures = 0, last_error = '', owner = ''`

// Finish implements jobs.Queue. Of its two statements one does all there is to do.
func (s *Store) Finish(ctx context.Context, c jobs.Claimed) error {
	return s.report(ctx, oneStatement, func(t *tx) (int, error) {
		n, err := t.exec(`DELETE FROM jobs WHERE again_at = 0 AND `+held, c.Tenant, c.ID, c.Owner, c.Fence)
		if n > 0 || err != nil {
			return n, err
		}
		return t.exec(`UPDATE jobs SET `+runAgain+` WHERE again_at <> 0 AND `+held, c.Tenant, c.ID, c.Owner, c.Fence)
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
	again, record := proof.NewID(), proof.NewID()
	return s.report(ctx, serial, func(t *tx) (int, error) {
		n, err := t.exec(`UPDATE jobs SET dead_at = $5, attempts = $6, failures = $7, last_error = $8, owner = '' WHERE `+held,
			c.Tenant, c.ID, c.Owner, c.Fence, micros(now), c.Attempts, c.Failures, lastError)
		if n == 0 || err != nil {
			return n, err
		}
		if _, err := t.exec(`INSERT INTO jobs (tenant, id, kind, key, run_at, due_at, again_at, attempts, failures, last_error, owner, fence, dead_at, priority)
			SELECT tenant, $3, kind, key, again_at, again_at, 0, 0, 0, '', '', 0, 0, priority FROM jobs
			WHERE tenant = $1 AND id = $2 AND again_at <> 0`, c.Tenant, c.ID, again); err != nil {
			return 0, err
		}
		return n, t.InsertAudit(&proof.AuditRecord{
			ID: record, Tenant: c.Tenant, At: now, Actor: "job", Action: "job.dead", Object: "job:" + c.ID,
			Detail: map[string]string{"kind": c.Kind, "key": c.Key, "error": lastError},
		})
	})
}

// Prioritize implements jobs.Queue. Jobs that are there already move too.
func (s *Store) Prioritize(ctx context.Context, kinds map[string]jobs.Priority) error {
	return s.db.write(journey.WithoutHurry(ctx), serial, func(t *tx) error {
		for _, kind := range slices.Sorted(maps.Keys(kinds)) {
			p := int64(kinds[kind])
			n, err := t.exec(`INSERT INTO job_kinds (kind, priority) VALUES ($1, $2)
				ON CONFLICT (kind) DO UPDATE SET priority = excluded.priority WHERE job_kinds.priority <> excluded.priority`, kind, p)
			if err != nil {
				return err
			}
			if n == 0 {
				continue // as it was
			}
			if _, err := t.exec(`UPDATE jobs SET priority = $2 WHERE kind = $1 AND dead_at = 0 AND priority <> $2`, kind, p); err != nil {
				return err
			}
		}
		return nil
	})
}

// DeadLetters implements jobs.Queue.
func (s *Store) DeadLetters(ctx context.Context, tenant, before string, limit int) (all []jobs.DeadLetter, err error) {
	err = s.db.read(ctx, func(t *tx) error {
		var w conditions
		w.add("tenant = ?", tenant)
		w.add("dead_at <> 0")
		if before != "" {
			w.add("id < ?", before)
		}
		most := w.value(page(limit))
		all = nil
		return t.query(func(r row) error {
			var l jobs.DeadLetter
			err := r.Scan(&l.Tenant, &l.ID, &l.Kind, &l.Key, at(&l.RunAt), &l.Attempts, &l.LastError, at(&l.DiedAt))
			all = append(all, l)
			return err
		}, `SELECT tenant, id, kind, key, run_at, attempts, last_error, dead_at FROM jobs WHERE `+w.String()+` ORDER BY id DESC LIMIT `+most, w.args...)
	})
	return all, err
}

// Requeue implements jobs.Queue. If there is such a job again by now, that one runs.
func (s *Store) Requeue(ctx context.Context, tenant, id, by string, now time.Time) error {
	return s.bury(ctx, tenant, id, by, "job.requeued", now, func(t *tx, j *proof.Job) error {
		j.RunAt = now
		return t.Enqueue(j)
	})
}

// Drop implements jobs.Queue.
func (s *Store) Drop(ctx context.Context, tenant, id, by string, now time.Time) error {
	return s.bury(ctx, tenant, id, by, "job.dropped", now, func(*tx, *proof.Job) error { return nil })
}

// bury takes a dead job away, records that, and then does what else there is to do.
func (s *Store) bury(ctx context.Context, tenant, id, by, action string, now time.Time, then func(*tx, *proof.Job) error) error {
	record := proof.NewID()
	return s.db.write(ctx, serial, func(t *tx) error {
		if err := t.beforeWrite(nil); err != nil {
			return err
		}
		j, err := one(t, func(r row) (*proof.Job, error) {
			j := &proof.Job{Tenant: tenant, ID: id}
			return j, r.Scan(&j.Kind, &j.Key, &j.LastError)
		}, `DELETE FROM jobs WHERE tenant = $1 AND id = $2 AND dead_at <> 0 RETURNING kind, key, last_error`, tenant, id)
		if err != nil {
			return err
		}
		if err := then(t, j); err != nil {
			return err
		}
		return t.InsertAudit(&proof.AuditRecord{
			ID: record, Tenant: tenant, At: now, Actor: by, Action: action, Object: "job:" + id,
			Detail: map[string]string{"kind": j.Kind, "key": j.Key, "error": j.LastError},
		})
	})
}

// held is the condition that a job is held as claimed. A dead one has no owner; to ask
// for dead_at besides would let PostgreSQL go through all of a tenant's jobs in an index
// of those that are not dead, while it takes the table for a small one.
const held = `tenant = $1 AND id = $2 AND owner = $3 AND fence = $4`

func (s *Store) report(ctx context.Context, iso isolation, fn func(*tx) (int, error)) error {
	return s.db.write(journey.WithoutHurry(ctx), iso, func(t *tx) error {
		n, err := fn(t)
		if err == nil && n == 0 {
			return jobs.ErrLeaseLost
		}
		return err
	})
}
