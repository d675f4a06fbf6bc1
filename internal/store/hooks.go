package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var _ hooks.Store = (*Store)(nil)

const (
	// eventsAtOnce is how many events one statement stores: more make it no faster.
	eventsAtOnce = 50
	// hashesStay is for how long at least the hash of an event outlives its content,
	// which otherwise is as long as the content was kept.
	hashesStay = 24 * time.Hour
)

// UpdateHooks implements hooks.Store. All that Update says holds.
func (s *Store) UpdateHooks(ctx context.Context, fn func(hooks.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// ViewHooks implements hooks.Store.
func (s *Store) ViewHooks(ctx context.Context, fn func(hooks.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

const eventColumns = `tenant, id, hash, source, action, occurred_at, received_at, state, reason, rules, lookups, sealed`

func scanEvent(r row) (*hooks.Event, error) {
	e := new(hooks.Event)
	var lookups []byte
	if err := r.Scan(&e.Tenant, &e.ID, &e.Hash, &e.Source, &e.Action, at(&e.OccurredAt), at(&e.ReceivedAt), &e.State, &e.Reason, &e.Rules, &lookups, &e.Sealed); err != nil {
		return nil, err
	}
	var err error
	e.Lookups, err = apart(lookups)
	return e, err
}

// together is how lookups are stored: each after its length.
func together(lookups [][]byte) ([]byte, error) {
	var all []byte
	for _, l := range lookups {
		if len(l) == 0 || len(l) > 255 {
			return nil, fmt.Errorf("store: a lookup of %d bytes", len(l))
		}
		all = append(append(all, byte(len(l))), l...)
	}
	return all, nil
}

func apart(all []byte) (lookups [][]byte, err error) {
	for len(all) > 0 {
		n := int(all[0])
		if n == 0 || n >= len(all) {
			return nil, errors.New("lookups are cut off")
		}
		lookups = append(lookups, all[1:1+n:1+n])
		all = all[1+n:]
	}
	return lookups, nil
}

// InsertEvents implements hooks.Tx. The events wait; what else they say of their state
// is not stored. Whether an event is new says the index of hashes, so it does not matter
// how many tell the same at the same time.
func (t *tx) InsertEvents(tenant string, events []*hooks.Event) (int, error) {
	total := 0
	for chunk := range slices.Chunk(events, eventsAtOnce) {
		args := make([]any, 0, 1+9*len(chunk))
		args = append(args, tenant)
		named := false
		for _, e := range chunk {
			if e.Tenant != tenant || len(e.Sealed) == 0 {
				return 0, errors.New("store: an event of another tenant, or without content")
			}
			lookups, err := together(e.Lookups)
			if err != nil {
				return 0, err
			}
			named = named || len(lookups) > 0
			args = append(args, e.ID, blob(e.Hash), string(e.Source), e.Action, micros(e.OccurredAt), micros(e.ReceivedAt), blob(lookups), e.Sealed)
		}
		insert := insertEvents(len(chunk))
		if !named {
			n, err := t.exec(insert, args...)
			if err != nil {
				return 0, err
			}
			total += n
			continue
		}
		if err := t.beforeWrite(nil); err != nil {
			return 0, err
		}
		new, err := texts(t, insert+` RETURNING id`, args...)
		if err != nil {
			return 0, err
		}
		total += len(new)
		if err := t.insertLookups(tenant, chunk, new); err != nil {
			return 0, err
		}
	}
	return total, nil
}

func insertEvents(n int) string {
	return `INSERT INTO hooks_events (` + eventColumns + `) VALUES ` + rows(n, 8, func(mark func(int) string) string {
		return `($1, ` + mark(0) + `, ` + mark(1) + `, ` + mark(2) + `, ` + mark(3) + `, ` + mark(4) + `, ` + mark(5) + `, 'waiting', '', 0, ` + mark(6) + `, ` + mark(7) + `)`
	}) + ` ON CONFLICT (tenant, hash) DO NOTHING`
}

// rows writes out n rows of width parameters each, which begin with $2.
func rows(n, width int, one func(mark func(int) string) string) string {
	var b strings.Builder
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		b.WriteString(one(func(column int) string { return fmt.Sprint("$", 2+i*width+column) }))
	}
	return b.String()
}

// insertLookups stores who is in those events that are new.
func (t *tx) insertLookups(tenant string, events []*hooks.Event, new []string) error {
	args := []any{tenant}
	flush := func() error {
		n := (len(args) - 1) / 2
		if n == 0 {
			return nil
		}
		err := t.later(`INSERT INTO hooks_lookups (tenant, lookup, event) VALUES `+rows(n, 2, func(mark func(int) string) string {
			return `($1, ` + mark(0) + `, ` + mark(1) + `)`
		})+` ON CONFLICT DO NOTHING`, args...)
		args = []any{tenant}
		return err
	}
	for _, e := range events {
		if !slices.Contains(new, e.ID) {
			continue
		}
		for _, l := range e.Lookups {
			args = append(args, l, e.ID)
			if len(args) > 2*eventsAtOnce {
				if err := flush(); err != nil {
					return err
				}
			}
		}
	}
	return flush()
}

// WaitingEvents implements hooks.Tx. They are asked for by their state, not from some id
// on, so none is passed over whose transaction ended later than that of its successor.
func (t *tx) WaitingEvents(tenant string, limit int) ([]*hooks.Event, error) {
	return many(t, scanEvent, `SELECT `+eventColumns+` FROM hooks_events WHERE tenant = $1 AND state = 'waiting' ORDER BY received_at, id LIMIT $2`,
		tenant, int64(max(limit, 0)))
}

// EventsEvaluated implements hooks.Tx. If not all of them wait, somebody else evaluated
// them: proof.ErrStale.
func (t *tx) EventsEvaluated(tenant string, ids []string, rules int64) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) == 0 {
		return nil
	}
	list, args := oneOf(ids, tenant, rules)
	n, err := t.exec(`UPDATE hooks_events SET state = 'done', rules = $2 WHERE tenant = $1 AND state = 'waiting' AND id IN (`+list+`)`, args...)
	if err == nil && n != len(ids) {
		return proof.ErrStale
	}
	return err
}

// oneOf writes out ids as parameters after others. So that there are few different
// statements, the last one is repeated.
func oneOf(ids []string, before ...any) (list string, args []any) {
	args = before
	var b strings.Builder
	n := 1
	for n < len(ids) {
		n *= 4
	}
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		args = append(args, ids[min(i, len(ids)-1)])
		fmt.Fprint(&b, "$", len(args))
	}
	return b.String(), args
}

func (t *tx) ParkEvent(tenant, id string, r proof.Reason) error {
	return t.moveEvent(tenant, id, hooks.EventWaiting, hooks.EventParked, r)
}

func (t *tx) ReplayEvent(tenant, id string) error {
	return t.moveEvent(tenant, id, hooks.EventParked, hooks.EventWaiting, "")
}

func (t *tx) moveEvent(tenant, id string, from, to hooks.EventState, r proof.Reason) error {
	n, err := t.exec(`UPDATE hooks_events SET state = $4, reason = $5 WHERE tenant = $1 AND id = $2 AND state = $3`,
		tenant, id, string(from), string(to), string(r))
	if err != nil || n > 0 {
		return err
	}
	if _, err := t.Event(tenant, id); err != nil {
		return err
	}
	return proof.ErrStale
}

func (t *tx) Event(tenant, id string) (*hooks.Event, error) {
	return one(t, scanEvent, `SELECT `+eventColumns+` FROM hooks_events WHERE tenant = $1 AND id = $2 AND state <> 'purged'`, tenant, id)
}

// Events implements hooks.Tx. It reads in the order of ids and leaves out what was not
// asked for: who asks for a rare action should say since when.
func (t *tx) Events(q hooks.EventQuery) ([]*hooks.Event, error) {
	var w conditions
	w.add("tenant = ?", q.Tenant)
	if q.State != "" {
		w.add("state = ?", string(q.State))
	}
	w.add("state <> 'purged'")
	if q.Action != "" {
		w.add("action = ?", q.Action)
	}
	if !q.Since.IsZero() {
		w.add("received_at >= ?", micros(q.Since))
	}
	if !q.Until.IsZero() {
		w.add("received_at < ?", micros(q.Until))
	}
	if q.Before != "" {
		w.add("id < ?", q.Before)
	}
	most := w.value(page(q.Limit))
	return many(t, scanEvent, `SELECT `+eventColumns+` FROM hooks_events WHERE `+w.String()+` ORDER BY id DESC LIMIT `+most, w.args...)
}

// page bounds how many rows a list has.
func page(limit int) int64 { return int64(min(max(limit, 1), 1000)) }

func (t *tx) NewestEvent(tenant string, s hooks.Source) (time.Time, error) {
	return t.time(`SELECT occurred_at FROM hooks_events WHERE tenant = $1 AND source = $2 ORDER BY occurred_at DESC LIMIT 1`, tenant, string(s))
}

// time reads one time; zero if there is none.
func (t *tx) time(query string, args ...any) (time.Time, error) {
	when, err := one(t, func(r row) (*time.Time, error) {
		when := new(time.Time)
		return when, r.Scan(at(when))
	}, query, args...)
	if errors.Is(err, proof.ErrNotFound) {
		return time.Time{}, nil
	}
	if err != nil {
		return time.Time{}, err
	}
	return *when, nil
}

// ForgetEvents implements hooks.Tx. Also forgotten is what is about them in the work that
// came of them; the hash stays.
func (t *tx) ForgetEvents(tenant string, lookup []byte) (int, error) {
	if len(lookup) == 0 {
		return 0, nil
	}
	about, err := many(t, scanEvent, `SELECT `+eventColumns+` FROM hooks_events WHERE tenant = $1
		AND id IN (SELECT event FROM hooks_lookups WHERE tenant = $1 AND lookup = $2)`, tenant, lookup)
	if err != nil {
		return 0, err
	}
	if len(about) == 0 {
		return 0, nil
	}
	if err := t.forgetEvents(tenant, lookup); err != nil {
		return 0, err
	}
	return len(about), t.dropLookups(tenant, about)
}

func (t *tx) forgetEvents(tenant string, lookup []byte) error {
	t.erased = true
	if err := t.later(`UPDATE hooks_work SET sealed = NULL, forgotten = TRUE WHERE tenant = $1
		AND event IN (SELECT event FROM hooks_lookups WHERE tenant = $1 AND lookup = $2)`, tenant, lookup); err != nil {
		return err
	}
	return t.later(`UPDATE hooks_events SET sealed = NULL, lookups = NULL WHERE tenant = $1
		AND id IN (SELECT event FROM hooks_lookups WHERE tenant = $1 AND lookup = $2)`, tenant, lookup)
}

func (t *tx) dropLookups(tenant string, events []*hooks.Event) error {
	for _, e := range events {
		for _, l := range e.Lookups {
			if err := t.later(`DELETE FROM hooks_lookups WHERE tenant = $1 AND lookup = $2 AND event = $3`, tenant, l, e.ID); err != nil {
				return err
			}
		}
	}
	return nil
}

// PurgeEvents implements hooks.Tx. Of a purged event only the hash is kept, so that what
// is told again late is no new event, and that for as long again as it is now since
// before, a day at least. It returns the larger of how many events and how many hashes
// went: as long as that is limit, there is more.
func (t *tx) PurgeEvents(tenant string, before time.Time, limit int) (int, error) {
	limit = max(limit, 0)
	hashes, err := t.exec(`DELETE FROM hooks_events WHERE tenant = $1 AND id IN (
		SELECT id FROM hooks_events WHERE tenant = $1 AND state = 'purged' AND received_at < $2 ORDER BY received_at, id LIMIT $3)`,
		tenant, micros(before.Add(-max(time.Since(before), hashesStay))), int64(limit))
	if err != nil {
		return 0, err
	}
	old, err := many(t, scanEvent, `SELECT `+eventColumns+` FROM hooks_events WHERE tenant = $1 AND state = 'done' AND received_at < $2
		ORDER BY received_at, id LIMIT $3`, tenant, micros(before), int64(limit))
	if err != nil || len(old) == 0 {
		return hashes, err
	}
	if err := t.dropLookups(tenant, old); err != nil {
		return 0, err
	}
	if err := t.purgeContent(tenant, old); err != nil {
		return 0, err
	}
	return max(hashes, len(old)), nil
}

// purgeContent leaves the hashes of events.
func (t *tx) purgeContent(tenant string, old []*hooks.Event) error {
	t.erased = true
	for chunk := range slices.Chunk(old, 256) {
		var ids []string
		for _, e := range chunk {
			ids = append(ids, e.ID)
		}
		list, args := oneOf(ids, tenant)
		if err := t.later(`UPDATE hooks_events SET state = 'purged', action = '', lookups = NULL, sealed = NULL
			WHERE tenant = $1 AND state = 'done' AND id IN (`+list+`)`, args...); err != nil {
			return err
		}
	}
	return nil
}

const workColumns = `tenant, id, version, event, rule, position, kind, effect, state, reason, begun_at, tries, subject, sealed, created_at, ended_at`

func scanWork(r row) (*hooks.Work, error) {
	w := new(hooks.Work)
	return w, r.Scan(&w.Tenant, &w.ID, &w.Version, &w.Event, &w.Rule, &w.Index, &w.Kind, &w.Effect, &w.State, &w.Reason,
		at(&w.Begun), &w.Tries, &w.Subject, &w.Sealed, at(&w.CreatedAt), at(&w.EndedAt))
}

// InsertWork implements hooks.Tx. What it says is not stored if its event was forgotten
// meanwhile, or its subject erased.
func (t *tx) InsertWork(w *hooks.Work) error {
	n, err := t.exec(`INSERT INTO hooks_work (`+workColumns+`, forgotten)
		SELECT $1, $2, CAST($3 AS BIGINT), $4, $5, CAST($6 AS BIGINT), $7, $8, $9, $10, CAST($11 AS BIGINT), CAST($12 AS BIGINT), $13,
			CASE WHEN f.forgotten THEN f.none ELSE $14 END, CAST($15 AS BIGINT), CAST($16 AS BIGINT), f.forgotten
		FROM (SELECT EXISTS (SELECT 1 FROM hooks_events WHERE tenant = $1 AND id = $4 AND sealed IS NULL)
			OR EXISTS (SELECT 1 FROM subjects WHERE tenant = $1 AND id = $13 AND erased_at <> 0) AS forgotten,
			(SELECT sealed FROM hooks_work WHERE tenant = $1 AND id = $2) AS none) f
		WHERE TRUE ON CONFLICT DO NOTHING`,
		w.Tenant, w.ID, w.Version, w.Event, w.Rule, w.Index, w.Kind, string(w.Effect), string(w.State), string(w.Reason),
		micros(w.Begun), w.Tries, w.Subject, blob(w.Sealed), micros(w.CreatedAt), micros(w.EndedAt))
	return fresh(n, err)
}

func (t *tx) Work(tenant, id string) (*hooks.Work, error) {
	return one(t, scanWork, `SELECT `+workColumns+` FROM hooks_work WHERE tenant = $1 AND id = $2`, tenant, id)
}

// UpdateWork implements hooks.Tx. Erasing does not count the version up, since the one
// who erases is often that very work; but what was forgotten is not stored again.
func (t *tx) UpdateWork(w *hooks.Work) error {
	n, err := t.exec(`UPDATE hooks_work SET version = version + 1, effect = $4, state = $5, reason = $6, begun_at = $7, tries = $8, subject = $9,
		sealed = CASE WHEN forgotten THEN sealed ELSE $10 END, ended_at = $11
		WHERE tenant = $1 AND id = $2 AND version = $3`,
		w.Tenant, w.ID, w.Version, string(w.Effect), string(w.State), string(w.Reason), micros(w.Begun), w.Tries, w.Subject,
		blob(w.Sealed), micros(w.EndedAt))
	if err := t.staleOr(n, err, func() error { _, err := t.Work(w.Tenant, w.ID); return err }); err != nil {
		return err
	}
	w.Version++
	return nil
}

// staleOr is what an update of a version means that changed no row: the row is not there,
// or has another version.
func (t *tx) staleOr(n int, err error, there func() error) error {
	if err != nil || n > 0 {
		return err
	}
	if err := there(); err != nil {
		return err
	}
	return proof.ErrStale
}

func (t *tx) Works(q hooks.WorkQuery) ([]*hooks.Work, error) {
	var w conditions
	w.add("tenant = ?", q.Tenant)
	order := "id"
	if q.Event != "" {
		w.add("event = ?", q.Event)
		order = "id || ''" // SQLite would rather go through all there is than sort a few
	}
	if q.Rule != "" {
		w.add("rule = ?", q.Rule)
	}
	if q.State != "" {
		w.add("state = ?", string(q.State))
	}
	if q.Before != "" {
		w.add("id < ?", q.Before)
	}
	most := w.value(page(q.Limit))
	return many(t, scanWork, `SELECT `+workColumns+` FROM hooks_work WHERE `+w.String()+` ORDER BY `+order+` DESC LIMIT `+most, w.args...)
}

func (t *tx) PurgeWork(tenant string, before time.Time, limit int) (int, error) {
	t.erased = true
	return t.exec(`DELETE FROM hooks_work WHERE tenant = $1 AND id IN (
		SELECT id FROM hooks_work WHERE tenant = $1 AND ended_at <> 0 AND ended_at < $2 ORDER BY ended_at, id LIMIT $3)`,
		tenant, micros(before), int64(max(limit, 0)))
}

const rulesColumns = `tenant, version, author, comment, at`

func scanRulesVersion(r row) (*hooks.Rules, error) {
	v := new(hooks.Rules)
	return v, r.Scan(&v.Tenant, &v.Version, &v.Author, &v.Comment, at(&v.At))
}

func scanRules(r row) (*hooks.Rules, error) {
	v := new(hooks.Rules)
	return v, r.Scan(&v.Tenant, &v.Version, &v.Author, &v.Comment, at(&v.At), fromJSON(&v.Rules))
}

func (t *tx) Rules(tenant string) (*hooks.Rules, error) {
	return one(t, scanRules, `SELECT `+rulesColumns+`, document FROM hooks_rules WHERE tenant = $1 ORDER BY version DESC LIMIT 1`, tenant)
}

func (t *tx) RuleVersions(tenant string) ([]*hooks.Rules, error) {
	return many(t, scanRulesVersion, `SELECT `+rulesColumns+` FROM hooks_rules WHERE tenant = $1 ORDER BY version DESC`, tenant)
}

func (t *tx) RulesVersion(tenant string, version int64) (*hooks.Rules, error) {
	return one(t, scanRules, `SELECT `+rulesColumns+`, document FROM hooks_rules WHERE tenant = $1 AND version = $2`, tenant, version)
}

func (t *tx) InsertRules(r *hooks.Rules) error {
	document, err := json.Marshal(r.Rules)
	if err != nil {
		return fmt.Errorf("store: rules: %w", err)
	}
	n, err := t.exec(`INSERT INTO hooks_rules (`+rulesColumns+`, document) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		r.Tenant, r.Version, r.Author, r.Comment, micros(r.At), string(document))
	return fresh(n, err)
}

func (t *tx) Cursor(tenant, name string) (time.Time, error) {
	return t.time(`SELECT at FROM hooks_cursors WHERE tenant = $1 AND name = $2`, tenant, name)
}

func (t *tx) SetCursor(tenant, name string, when time.Time) error {
	return t.later(`INSERT INTO hooks_cursors (tenant, name, at) VALUES ($1, $2, $3) ON CONFLICT (tenant, name) DO UPDATE SET at = excluded.at`,
		tenant, name, micros(when))
}

// eraseHooks forgets what door C keeps of a subject, while it still has its lookup.
func (t *tx) eraseHooks(tenant, subject string) error {
	who, err := t.Subject(tenant, subject)
	if err != nil {
		return err
	}
	if _, err := t.ForgetEvents(tenant, who.Lookup); err != nil {
		return err
	}
	return t.forgetWork(tenant, subject)
}

func (t *tx) forgetWork(tenant, subject string) error {
	return t.later(`UPDATE hooks_work SET sealed = NULL, forgotten = TRUE WHERE tenant = $1 AND subject = $2 AND subject <> ''`, tenant, subject)
}
