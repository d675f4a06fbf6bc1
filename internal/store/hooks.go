package store

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var _ hooks.Store = (*Store)(nil)

const (
	// eventsAtOnce is how many events one statement stores: more make it no faster.
	eventsAtOnce = 50
	// idsAtOnce is how many rows one statement finds by their ids.
	idsAtOnce = 256
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
		run := runs.next(len(chunk))
		args := make([]any, 0, 10*len(chunk))
		for _, e := range chunk {
			if e.Tenant != tenant || len(e.Sealed) == 0 {
				return 0, errors.New("store: an event of another tenant, or without content")
			}
			lookups, err := together(e.Lookups)
			if err != nil {
				return 0, err
			}
			args = append(args, tenant, e.ID, run, blob(e.Hash), string(e.Source), e.Action, micros(e.OccurredAt), micros(e.ReceivedAt), blob(lookups), e.Sealed)
		}
		n, err := t.exec(insertEvents(len(chunk)), args...)
		if err != nil {
			return 0, err
		}
		total += n
		new := chunk
		if n > 0 && n < len(chunk) {
			if new, err = t.stored(tenant, run, chunk); err != nil {
				return 0, err
			}
		}
		if n > 0 {
			if err := t.insertLookups(tenant, run, new); err != nil {
				return 0, err
			}
		}
	}
	return total, nil
}

var (
	insertEvents = rows(`INSERT INTO hooks_events (tenant, id, run, hash, source, action, occurred_at, received_at, state, reason, rules, lookups, sealed) VALUES `,
		`(?, ?, ?, ?, ?, ?, ?, ?, 'waiting', '', 0, ?, ?)`, ` ON CONFLICT (tenant, hash) DO NOTHING`)
	insertLookups = rows(`INSERT INTO hooks_lookups (tenant, run, lookup, event) VALUES `, `(?, ?, ?, ?)`, ` ON CONFLICT DO NOTHING`)
)

// rows gives a statement for n rows, eventsAtOnce at most. Its parameters are in order and
// none is there twice, which SQLite's driver is quickest with.
func rows(before, row, after string) func(n int) string {
	made := make([]func() string, eventsAtOnce+1)
	for n := range made {
		made[n] = sync.OnceValue(func() string {
			var b strings.Builder
			b.WriteString(before)
			mark := 0
			for _, c := range strings.Repeat(", "+row, n)[min(n, 1)*len(", "):] {
				if c != '?' {
					b.WriteRune(c)
					continue
				}
				mark++
				fmt.Fprint(&b, "$", mark)
			}
			b.WriteString(after)
			return b.String()
		})
	}
	return func(n int) string { return made[n]() }
}

// stored are those of the events that were stored with this run and are not forgotten; the
// others were told before.
func (t *tx) stored(tenant string, run int64, events []*hooks.Event) ([]*hooks.Event, error) {
	var ids []string
	for _, e := range events {
		ids = append(ids, e.ID)
	}
	list, args := oneOf(ids, tenant, run)
	there, err := texts(t, `SELECT id FROM hooks_events WHERE tenant = $1 AND run = $2 AND lookups IS NOT NULL AND id IN (`+list+`)`, args...)
	if err != nil {
		return nil, err
	}
	return slices.DeleteFunc(slices.Clone(events), func(e *hooks.Event) bool { return !slices.Contains(there, e.ID) }), nil
}

// insertLookups stores who is in events that are new.
func (t *tx) insertLookups(tenant string, run int64, events []*hooks.Event) error {
	var args []any
	for _, e := range events {
		for _, l := range e.Lookups {
			args = append(args, tenant, run, l, e.ID)
		}
	}
	const row = 4
	for chunk := range slices.Chunk(args, row*eventsAtOnce) {
		if err := t.later(insertLookups(len(chunk)/row), chunk...); err != nil {
			return err
		}
	}
	return nil
}

// runLength is how many events are a run. A commit writes about as many pages of a run as
// it has lookups, but not more than the run has: 40 of a thousand events. And ten million
// events are ten thousand runs, in each of which to look takes a few microseconds.
const runLength = 1024

// runs says to which run events belong that are stored now. That is about speed alone, as
// each event keeps its run: two processes may have the same, and whatever of a run was
// rolled back leaves it shorter.
var runs running

type running struct {
	mu   sync.Mutex
	run  int64
	left int // events that still go into run
}

// next is the run of n more events. A process that starts begins a new one.
func (r *running) next(n int) int64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.left -= n; r.left < 0 {
		r.run, r.left = max(time.Now().UnixMicro(), r.run+1), runLength
	}
	return r.run
}

// WaitingEvents implements hooks.Tx. They are asked for by their state, not from some id
// on, so none is passed over whose transaction ended later than that of its successor.
func (t *tx) WaitingEvents(tenant string, limit int) ([]*hooks.Event, error) {
	return many(t, func(r row) (*hooks.Event, error) {
		e := &hooks.Event{Tenant: tenant, State: hooks.EventWaiting}
		return e, r.Scan(&e.ID, &e.Source, &e.Action, at(&e.OccurredAt), at(&e.ReceivedAt))
	}, `SELECT id, source, action, occurred_at, received_at FROM hooks_events
		WHERE tenant = $1 AND state = 'waiting' ORDER BY received_at, id LIMIT $2`, tenant, int64(max(limit, 0)))
}

// EventContents implements hooks.Tx.
func (t *tx) EventContents(tenant string, ids []string) (map[string][]byte, error) {
	all := make(map[string][]byte, len(ids))
	for chunk := range slices.Chunk(ids, idsAtOnce) {
		list, args := oneOf(chunk, tenant)
		if err := t.query(func(r row) error {
			var id string
			var sealed []byte
			err := r.Scan(&id, &sealed)
			all[id] = sealed
			return err
		}, `SELECT id, sealed FROM hooks_events WHERE tenant = $1 AND id IN (`+list+`) AND sealed IS NOT NULL`, args...); err != nil {
			return nil, err
		}
	}
	return all, nil
}

// EventsEvaluated implements hooks.Tx. If not all of them wait, somebody else evaluated
// them: proof.ErrStale.
func (t *tx) EventsEvaluated(tenant string, ids []string, rules int64) error {
	ids = slices.Compact(slices.Sorted(slices.Values(ids)))
	if len(ids) == 0 {
		return nil
	}
	list, args := oneOf(ids, rules, tenant)
	n, err := t.exec(`UPDATE hooks_events SET state = 'done', rules = $1 WHERE tenant = $2 AND state = 'waiting' AND id IN (`+list+`)`, args...)
	if err == nil && n != len(ids) {
		return proof.ErrStale
	}
	return err
}

// oneOf writes out ids as parameters after others. So that there are few different
// statements, the last one is repeated up to a power of two.
func oneOf(ids []string, before ...any) (list string, args []any) {
	args = before
	var b strings.Builder
	n := 1
	for n < len(ids) {
		n *= 2
	}
	for i := range n {
		if i > 0 {
			b.WriteString(", ")
		}
		args = append(args, ids[min(i, len(ids)-1)])
		b.WriteByte('$')
		b.WriteString(strconv.Itoa(len(args)))
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
	about, err := t.eventsAbout(tenant, lookup)
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(about, idsAtOnce) {
		if err := t.dropLookups(tenant, chunk); err != nil {
			return 0, err
		}
		if err := t.forgetContent(tenant, chunk); err != nil {
			return 0, err
		}
	}
	return len(about), nil
}

// eventsAbout goes from one run to the next, and looks in each.
func (t *tx) eventsAbout(tenant string, lookup []byte) ([]string, error) {
	return texts(t, `WITH RECURSIVE runs (run) AS (
			SELECT MIN(run) FROM hooks_lookups WHERE tenant = $1
			UNION ALL
			SELECT (SELECT MIN(run) FROM hooks_lookups WHERE tenant = $1 AND run > runs.run) FROM runs WHERE run IS NOT NULL
		)
		SELECT event FROM runs CROSS JOIN hooks_lookups l WHERE l.tenant = $1 AND l.run = runs.run AND l.lookup = $2`, tenant, lookup)
}

func (t *tx) forgetContent(tenant string, ids []string) error {
	t.erased = true
	list, args := oneOf(ids, tenant)
	if err := t.later(`UPDATE hooks_work SET sealed = NULL, forgotten = TRUE WHERE tenant = $1 AND event IN (`+list+`)`, args...); err != nil {
		return err
	}
	return t.later(`UPDATE hooks_events SET sealed = NULL, lookups = NULL WHERE tenant = $1 AND id IN (`+list+`)`, args...)
}

// dropLookups drops all lookups of some events, not only the one by which they were found.
func (t *tx) dropLookups(tenant string, ids []string) error {
	type named struct {
		id      string
		run     int64
		lookups []byte
	}
	list, args := oneOf(ids, tenant)
	all, err := many(t, func(r row) (*named, error) {
		n := new(named)
		return n, r.Scan(&n.id, &n.run, &n.lookups)
	}, `SELECT id, run, lookups FROM hooks_events WHERE tenant = $1 AND id IN (`+list+`)`, args...)
	if err != nil {
		return err
	}
	for _, e := range all {
		lookups, err := apart(e.lookups)
		if err != nil {
			return err
		}
		for _, l := range lookups {
			if err := t.dropLookup(tenant, e.run, l, e.id); err != nil {
				return err
			}
		}
	}
	return nil
}

func (t *tx) dropLookup(tenant string, run int64, lookup []byte, event string) error {
	return t.later(`DELETE FROM hooks_lookups WHERE tenant = $1 AND run = $2 AND lookup = $3 AND event = $4`, tenant, run, lookup, event)
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
	old, err := texts(t, `SELECT id FROM hooks_events WHERE tenant = $1 AND state = 'done' AND received_at < $2
		ORDER BY received_at, id LIMIT $3`, tenant, micros(before), int64(limit))
	if err != nil {
		return 0, err
	}
	for chunk := range slices.Chunk(old, idsAtOnce) {
		if err := t.dropLookups(tenant, chunk); err != nil {
			return 0, err
		}
		if err := t.purgeContent(tenant, chunk); err != nil {
			return 0, err
		}
	}
	return max(hashes, len(old)), nil
}

// purgeContent leaves the hashes of events.
func (t *tx) purgeContent(tenant string, ids []string) error {
	t.erased = true
	list, args := oneOf(ids, tenant)
	return t.later(`UPDATE hooks_events SET state = 'purged', action = '', lookups = NULL, sealed = NULL
		WHERE tenant = $1 AND state = 'done' AND id IN (`+list+`)`, args...)
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
