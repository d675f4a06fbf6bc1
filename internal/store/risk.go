package store

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

var _ decide.Store = (*Store)(nil)

const (
	// recordedBatch is how many recorded logins are read at once, purgeChunk how many
	// decisions are dropped at once: what an update may make others wait for.
	recordedBatch = 2000
	purgeChunk    = 1000
)

// UpdateRisk implements decide.Store. All that Update says holds. That logins are
// serial, too, is what keeps one that was weighed while its subject was erased from
// leaving a record behind; they only read that subject and add rows, so that on
// PostgreSQL they do not collide with each other.
func (s *Store) UpdateRisk(ctx context.Context, fn func(decide.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// ViewRisk implements decide.Store.
func (s *Store) ViewRisk(ctx context.Context, fn func(decide.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

// RecordedLogins implements decide.Store: decisions from since to before until (zero:
// without end), of one application or ("") of all. A batch is each's to keep. Of the
// decision, what a replay needs is filled in: who, when, which application, the verdict,
// and Sealed.
func (s *Store) RecordedLogins(ctx context.Context, tenant, application string, since, until time.Time, each func([]decide.Recorded) error) error {
	from, after := micros(since), ""
	for {
		var batch []decide.Recorded
		err := s.db.read(ctx, func(t *tx) error {
			batch = make([]decide.Recorded, 0, recordedBatch)
			w := recorded(tenant, application, until)
			w.add("(at, id) > (?, ?)", from, after)
			limit := w.value(int64(recordedBatch))
			return t.query(func(r row) error {
				batch = append(batch, decide.Recorded{})
				d := &batch[len(batch)-1]
				d.Tenant = tenant
				return r.Scan(&d.ID, &d.Subject, at(&d.At), &d.Application, &d.Verdict, &d.Sealed, &d.WrappedKey)
			}, `SELECT d.id, d.subject, d.at, d.application, d.verdict, d.sealed_record, s.wrapped_key
				FROM (SELECT id, subject, at, application, verdict, sealed_record FROM risk_decisions
					WHERE `+w.String()+` ORDER BY at, id LIMIT `+limit+`) d
				JOIN subjects s ON s.tenant = $1 AND s.id = d.subject`, w.args...)
		})
		if err != nil {
			return err
		}
		// Which rows they are is up to the inner query; a join may come in any order.
		slices.SortFunc(batch, func(a, b decide.Recorded) int { return cmp.Or(a.At.Compare(b.At), cmp.Compare(a.ID, b.ID)) })
		if len(batch) > 0 {
			if err := each(batch); err != nil {
				return err
			}
		}
		if len(batch) < recordedBatch {
			return nil
		}
		last := &batch[len(batch)-1]
		from, after = micros(last.At), last.ID
	}
}

// CountLogins implements decide.Store.
func (s *Store) CountLogins(ctx context.Context, tenant, application string, since, until time.Time) (n int, err error) {
	w := recorded(tenant, application, until)
	w.add("at >= ?", micros(since))
	err = s.db.read(ctx, func(t *tx) error {
		count, err := one(t, scanCount, `SELECT COUNT(*) FROM risk_decisions WHERE `+w.String(), w.args...)
		if err == nil {
			n = *count
		}
		return err
	})
	return n, err
}

// recorded chooses decisions whose record can still be opened.
func recorded(tenant, application string, until time.Time) *conditions {
	w := new(conditions)
	w.add("tenant = ?", tenant)
	if application != "" {
		w.add("application = ?", application)
	}
	if !until.IsZero() {
		w.add("at < ?", micros(until))
	}
	w.add("readable")
	return w
}

// conditions are what a WHERE clause is put together from.
type conditions struct {
	all  []string
	args []any
}

// add adds a condition, in which ? stands for each of the values.
func (c *conditions) add(condition string, values ...any) {
	for _, v := range values {
		condition = strings.Replace(condition, "?", c.value(v), 1)
	}
	c.all = append(c.all, condition)
}

// value adds a value that is no part of a condition, and returns what stands for it.
func (c *conditions) value(v any) string {
	c.args = append(c.args, v)
	return "$" + strconv.Itoa(len(c.args))
}

func (c *conditions) String() string { return strings.Join(c.all, " AND ") }

func (t *tx) Remembered(tenant, subject string) (bool, error) {
	_, err := one(t, scanCount, `SELECT 1 FROM risk_histories WHERE tenant = $1 AND subject = $2
		UNION ALL SELECT 1 FROM risk_decisions WHERE tenant = $1 AND subject = $2 AND readable LIMIT 1`, tenant, subject)
	if errors.Is(err, proof.ErrNotFound) {
		return false, nil
	}
	return err == nil, err
}

func (t *tx) History(tenant, subject string) (sealed []byte, version int64, err error) {
	type history struct {
		sealed  []byte
		version int64
	}
	h, err := one(t, func(r row) (*history, error) {
		h := new(history)
		return h, r.Scan(&h.sealed, &h.version)
	}, `SELECT sealed_history, version FROM risk_histories WHERE tenant = $1 AND subject = $2`, tenant, subject)
	if err != nil {
		return nil, 0, err
	}
	return h.sealed, h.version, nil
}

// PutHistory stores none for a subject that is not there or was erased: proof.ErrStale.
func (t *tx) PutHistory(tenant, subject string, sealed []byte, version int64, when time.Time) error {
	if len(sealed) == 0 {
		return errors.New("store: an empty history")
	}
	if version == 0 {
		n, err := t.exec(`INSERT INTO risk_histories (tenant, subject, version, changed_at, sealed_history)
			SELECT tenant, id, 1, CAST($3 AS BIGINT), $4 FROM subjects WHERE tenant = $1 AND id = $2 AND erased_at = 0
			ON CONFLICT DO NOTHING`, tenant, subject, micros(when), sealed)
		return fresh(n, err)
	}
	n, err := t.exec(`UPDATE risk_histories SET version = version + 1, changed_at = $3, sealed_history = $4
		WHERE tenant = $1 AND subject = $2 AND version = $5`, tenant, subject, micros(when), sealed, version)
	return fresh(n, err)
}

func (t *tx) DropHistory(tenant, subject string) error {
	t.erased = true
	return t.later(`DELETE FROM risk_histories WHERE tenant = $1 AND subject = $2`, tenant, subject)
}

// StaleHistories are in the order in which they were changed.
func (t *tx) StaleHistories(tenant string, before time.Time, limit int) ([]string, error) {
	return texts(t, `SELECT subject FROM risk_histories WHERE tenant = $1 AND changed_at < $2 ORDER BY changed_at, subject LIMIT $3`,
		tenant, micros(before), int64(max(limit, 0)))
}

// texts reads one column.
func texts(t *tx, query string, args ...any) ([]string, error) {
	var all []string
	err := t.query(func(r row) error {
		var s string
		err := r.Scan(&s)
		all = append(all, s)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

const decisionColumns = `tenant, id, subject, caller, at, application, policy_application, policy_version, verdict, score, reasons,
	shadow_version, shadow_verdict, outcome, outcome_at, learned, sealed_record`

func scanDecision(r row) (*decide.Decision, error) {
	d := new(decide.Decision)
	return d, r.Scan(&d.Tenant, &d.ID, &d.Subject, &d.Caller, at(&d.At), &d.Application, &d.PolicyApplication, &d.PolicyVersion,
		&d.Verdict, &d.Score, fromJSON(&d.Reasons), &d.ShadowVersion, &d.ShadowVerdict, &d.Outcome, at(&d.OutcomeAt), &d.Learned, &d.Sealed)
}

func (t *tx) InsertDecision(d *decide.Decision) error {
	var score any
	if d.Score != nil {
		// As of a confidence: SQLite would make NULL of what is not a number.
		if !(*d.Score >= 0 && *d.Score <= policy.MaxScore) {
			return fmt.Errorf("store: a score that is not between 0 and %d", policy.MaxScore)
		}
		score = *d.Score
	}
	reasons, err := asJSON(d.Reasons, len(d.Reasons))
	if err != nil {
		return fmt.Errorf("store: reasons: %w", err)
	}
	return t.later(`INSERT INTO risk_decisions (`+decisionColumns+`, readable)
		VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
		d.Tenant, d.ID, d.Subject, d.Caller, micros(d.At), d.Application, d.PolicyApplication, d.PolicyVersion, string(d.Verdict), score, reasons,
		d.ShadowVersion, string(d.ShadowVerdict), d.Outcome, micros(d.OutcomeAt), d.Learned, blob(d.Sealed), len(d.Sealed) > 0)
}

func (t *tx) Decision(tenant, id string) (*decide.Decision, error) {
	return one(t, scanDecision, `SELECT `+decisionColumns+` FROM risk_decisions WHERE tenant = $1 AND id = $2`, tenant, id)
}

func (t *tx) EndDecision(d *decide.Decision, was string) error {
	n, err := t.exec(`UPDATE risk_decisions SET outcome = $3, outcome_at = $4, learned = $5 WHERE tenant = $1 AND id = $2 AND outcome = $6`,
		d.Tenant, d.ID, d.Outcome, micros(d.OutcomeAt), d.Learned, was)
	return fresh(n, err)
}

// Decisions reads through an index in the order of time. How a login ended is in none:
// who asks for a rare outcome should say since when.
func (t *tx) Decisions(tenant string, f decide.Filter, limit int) ([]*decide.Decision, error) {
	var w conditions
	w.add("tenant = ?", tenant)
	if f.Application != nil {
		w.add("application = ?", *f.Application)
	}
	if f.Subject != "" {
		w.add("subject = ?", f.Subject)
	}
	if f.Verdict != "" {
		w.add("verdict = ?", string(f.Verdict))
	}
	if f.Outcome != "" {
		w.add("outcome = ?", f.Outcome)
	}
	if !f.Since.IsZero() {
		w.add("at >= ?", micros(f.Since))
	}
	if !f.Before.IsZero() {
		w.add("(at, id) < (?, ?)", micros(f.Before), f.BeforeID)
	}
	most := w.value(int64(max(limit, 0)))
	return many(t, scanDecision, `SELECT `+decisionColumns+` FROM risk_decisions WHERE `+w.String()+` ORDER BY at DESC, id DESC LIMIT `+most, w.args...)
}

// Applications goes from one name to the next, whatever lies between them.
func (t *tx) Applications(tenant string) ([]string, error) {
	next := func(table string) ([]string, error) {
		return texts(t, `WITH RECURSIVE names (name) AS (
				SELECT MIN(application) FROM `+table+` WHERE tenant = $1 AND application > ''
				UNION ALL
				SELECT (SELECT MIN(application) FROM `+table+` WHERE tenant = $1 AND application > name) FROM names WHERE name IS NOT NULL
			) SELECT name FROM names WHERE name IS NOT NULL`, tenant)
	}
	decided, err := next("risk_decisions")
	if err != nil {
		return nil, err
	}
	published, err := next("risk_policies")
	if err != nil {
		return nil, err
	}
	all := append(decided, published...)
	slices.Sort(all)
	return slices.Compact(all), nil
}

// PurgeDecisions drops at most purgeChunk decisions, the oldest first: whoever wants all
// gone calls it, in transactions of their own, until it returns nobody. Each subject is
// returned once.
func (t *tx) PurgeDecisions(tenant string, before time.Time) ([]string, error) {
	if err := t.beforeWrite(nil); err != nil {
		return nil, err
	}
	whose, err := texts(t, `DELETE FROM risk_decisions WHERE tenant = $1 AND id IN (
		SELECT id FROM risk_decisions WHERE tenant = $1 AND at < $2 ORDER BY at, id LIMIT $3) RETURNING subject`,
		tenant, micros(before), int64(purgeChunk))
	slices.Sort(whose)
	return slices.Compact(whose), err
}

const versionColumns = `tenant, application, version, mode, author, comment, at`

func scanVersion(r row) (*decide.PolicyVersion, error) {
	p := new(decide.PolicyVersion)
	return p, r.Scan(&p.Tenant, &p.Application, &p.Version, &p.Mode, &p.Author, &p.Comment, at(&p.At))
}

func scanPolicy(r row) (*decide.PolicyVersion, error) {
	p := new(decide.PolicyVersion)
	var document string
	err := r.Scan(&p.Tenant, &p.Application, &p.Version, &p.Mode, &p.Author, &p.Comment, at(&p.At), &document)
	p.Document = []byte(document)
	return p, err
}

func (t *tx) PolicyVersions(tenant, application string) ([]*decide.PolicyVersion, error) {
	return many(t, scanVersion, `SELECT `+versionColumns+` FROM risk_policies WHERE tenant = $1 AND application = $2 ORDER BY version DESC`,
		tenant, application)
}

func (t *tx) PolicyVersion(tenant, application string, version int) (*decide.PolicyVersion, error) {
	return one(t, scanPolicy, `SELECT `+versionColumns+`, document FROM risk_policies WHERE tenant = $1 AND application = $2 AND version = $3`,
		tenant, application, version)
}

func (t *tx) PolicyInForce(tenant, application string, mode decide.Mode) (*decide.PolicyVersion, error) {
	return one(t, scanPolicy, `SELECT `+versionColumns+`, document FROM risk_policies
		WHERE tenant = $1 AND application = $2 AND mode = $3 ORDER BY version DESC LIMIT 1`, tenant, application, string(mode))
}

func (t *tx) InsertPolicy(p *decide.PolicyVersion) error {
	if len(p.Document) == 0 {
		return errors.New("store: a policy without a document")
	}
	n, err := t.exec(`INSERT INTO risk_policies (`+versionColumns+`, document) VALUES ($1, $2, $3, $4, $5, $6, $7, $8) ON CONFLICT DO NOTHING`,
		p.Tenant, p.Application, p.Version, string(p.Mode), p.Author, p.Comment, micros(p.At), string(p.Document))
	return fresh(n, err)
}
