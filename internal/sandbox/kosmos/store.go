package kosmos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	_ "modernc.org/sqlite" // the driver

	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

// store is the server's memory: one SQLite database with one connection, so
// every transaction is alone. Values are sealed before they get here and
// opened after they leave.
type store struct {
	db   *sql.DB
	seal sealer
}

// schemas are the tables of each part of the server. Every statement may run again.
var schemas = []string{sessionSchema, userSchema, stepUpSchema, oauthSchema, liveSchema, messagingSchema, eventSchema, webhookSchema}

const sessionSchema = `
CREATE TABLE IF NOT EXISTS secrets (
	name  TEXT PRIMARY KEY,
	value BLOB NOT NULL            -- sealed
) STRICT;
CREATE TABLE IF NOT EXISTS sessions (
	id       TEXT PRIMARY KEY,     -- UUIDv4, the bearer part of the link
	state    TEXT NOT NULL,
	reason   TEXT NOT NULL,        -- why it failed
	chosen   TEXT NOT NULL,        -- document type that the person chose
	created  INTEGER NOT NULL,     -- unix milliseconds, as all times here
	expires  INTEGER NOT NULL,
	ended    INTEGER NOT NULL,     -- 0 while it runs
	request  BLOB,                 -- sealed JSON; NULL once purged
	outcome  BLOB                  -- sealed JSON; NULL before the end and once purged
) STRICT;
CREATE INDEX IF NOT EXISTS sessions_by_state ON sessions (state, expires);
CREATE TABLE IF NOT EXISTS photos (
	session  TEXT NOT NULL,
	side     TEXT NOT NULL,
	attempts INTEGER NOT NULL,
	usable   INTEGER NOT NULL,     -- the engine had nothing to say against it
	partial  INTEGER NOT NULL,     -- front of a card whose other side is needed
	reason   TEXT NOT NULL,
	data     BLOB,                 -- sealed JSON list of images; NULL while every attempt was refused
	PRIMARY KEY (session, side)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
	id      INTEGER PRIMARY KEY,
	session TEXT NOT NULL,
	name    TEXT NOT NULL,
	at      INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS events_by_session ON events (session, id);
`

// State of a session; doc.go draws how they follow each other.
type State string

const (
	Created   State = "created"
	Started   State = "started"
	Captured  State = "captured"
	Judging   State = "judging"
	Success   State = "success"
	Failed    State = "failed"
	Expired   State = "expired"
	Abandoned State = "abandoned"
)

func (st State) ended() bool {
	return st == Success || st == Failed || st == Expired || st == Abandoned
}

// open reports whether the person may still act.
func (st State) open() bool { return st == Created || st == Started || st == Captured }

// session is one row. Request and Outcome are opened.
type session struct {
	ID      string
	State   State
	Reason  string
	Chosen  string
	Created time.Time
	Expires time.Time
	Ended   time.Time
	Request *request // nil once purged
	Outcome *outcome // nil before the end and once purged
}

// request is what the creator of a session asked for.
type request struct {
	Profile       string          `json:"profile"`
	DVC           string          `json:"dvc"` // empty for /v1
	DocumentTypes []string        `json:"document_types"`
	Liveness      string          `json:"liveness"`
	Selfie        bool            `json:"selfie"`
	User          json.RawMessage `json:"user,omitempty"` // as sent
	Firstname     string          `json:"firstname,omitempty"`
	Lastname      string          `json:"lastname,omitempty"`
	Callback      string          `json:"callback,omitempty"`
	Username      string          `json:"username,omitempty"` // the user it is for
}

const (
	profileDocuverify = "docuverify"
	profileV1         = "v1"
)

// side of the evidence that a photo shows.
const (
	sideFront  = "front"
	sideBack   = "back"
	sideSelfie = "selfie"
)

type photo struct {
	Attempts int
	Usable   bool
	Partial  bool
	Reason   string
	Stored   bool
	Images   [][]byte // only from photos(withData)
}

var (
	errNoSession = errors.New("kosmos: no such session")
	errState     = errors.New("kosmos: the session is in another state")
	errAttempts  = errors.New("kosmos: no attempts left")
)

// Files of the data directory.
const (
	databaseName = "kosmos.db"
	sealKeyName  = "seal.key"
)

func openStore(ctx context.Context, dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	key, err := seal.OpenFile(filepath.Join(dir, sealKeyName))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, databaseName)
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600) // SQLite itself would ask the umask
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)"+
		"&_pragma=synchronous(FULL)&_pragma=secure_delete(1)")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	db.SetMaxOpenConns(1)
	for _, schema := range schemas {
		if _, err := db.ExecContext(ctx, schema); err != nil {
			_ = db.Close()
			return nil, fmt.Errorf("database schema: %w", err)
		}
	}
	return &store{db, sealer{key}}, nil
}

func (s *store) update(ctx context.Context, fn func(tx *sql.Tx) error) error {
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	if err := fn(tx); err != nil {
		_ = tx.Rollback()
		return err
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

// secret returns the named secret, and makes and keeps it when it is not there
// or when renew is set.
func (s *store) secret(ctx context.Context, name string, renew bool, make func() ([]byte, error)) ([]byte, error) {
	place := "secrets/value/" + name
	var plain []byte
	err := s.update(ctx, func(tx *sql.Tx) error {
		var sealed []byte
		err := tx.QueryRowContext(ctx, `SELECT value FROM secrets WHERE name = ?`, name).Scan(&sealed)
		if err == nil && !renew {
			plain, err = s.seal.open(place, sealed)
			return err
		}
		if err != nil && !errors.Is(err, sql.ErrNoRows) {
			return fmt.Errorf("secret: %w", err)
		}
		if plain, err = make(); err != nil {
			return err
		}
		_, err = tx.ExecContext(ctx, `INSERT INTO secrets (name, value) VALUES (?, ?)
			ON CONFLICT (name) DO UPDATE SET value = excluded.value`, name, s.seal.seal(place, plain))
		return err
	})
	return plain, err
}

func (s *store) sealJSON(place string, v any) ([]byte, error) { return sealJSON(s.seal, place, v) }

func (s *store) openJSON(place string, sealed []byte, v any) error {
	return openJSON(s.seal, place, sealed, v)
}

func sealJSON(k sealer, place string, v any) ([]byte, error) {
	b, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", column(place), err)
	}
	return k.seal(place, b), nil
}

func openJSON(k sealer, place string, sealed []byte, v any) error {
	b, err := k.open(place, sealed)
	if err != nil {
		return err
	}
	if json.Unmarshal(b, v) != nil { // its error may quote the value
		return fmt.Errorf("%s: %w", column(place), seal.Err)
	}
	return nil
}

func record(ctx context.Context, tx *sql.Tx, id string, at time.Time, names ...string) error {
	for _, name := range names {
		if _, err := tx.ExecContext(ctx, `INSERT INTO events (session, name, at) VALUES (?, ?, ?)`, id, name, at.UnixMilli()); err != nil {
			return fmt.Errorf("event: %w", err)
		}
	}
	return nil
}

func (s *store) create(ctx context.Context, v *session) error {
	sealed, err := s.sealJSON("sessions/request/"+v.ID, v.Request)
	if err != nil {
		return err
	}
	return s.update(ctx, func(tx *sql.Tx) error {
		_, err := tx.ExecContext(ctx, `INSERT INTO sessions (id, state, reason, chosen, created, expires, ended, request)
			VALUES (?, ?, '', '', ?, ?, 0, ?)`, v.ID, Created, v.Created.UnixMilli(), v.Expires.UnixMilli(), sealed)
		if err != nil {
			return fmt.Errorf("session: %w", err)
		}
		return record(ctx, tx, v.ID, v.Created, eventInitialization)
	})
}

// session reads one session as of now: one whose time has passed is expired first.
func (s *store) session(ctx context.Context, id string, now time.Time) (*session, error) {
	v, err := s.read(ctx, id)
	if err != nil || !v.State.open() || now.Before(v.Expires) {
		return v, err
	}
	if err := s.expire(ctx, id, now); err != nil {
		return nil, err
	}
	return s.read(ctx, id)
}

// expire ends a session whose time has passed. It reads nothing of it, so that
// one that cannot be opened ends as well.
func (s *store) expire(ctx context.Context, id string, now time.Time) error {
	err := s.end(ctx, id, Expired, "", nil, now, eventExpired, nil, Created, Started, Captured)
	if errors.Is(err, errState) {
		return nil // it ended in the meantime
	}
	return err
}

func (s *store) read(ctx context.Context, id string) (*session, error) {
	v := &session{ID: id}
	var created, expires, ended int64
	var req, out []byte
	err := s.db.QueryRowContext(ctx, `SELECT state, reason, chosen, created, expires, ended, request, outcome FROM sessions WHERE id = ?`, id).
		Scan(&v.State, &v.Reason, &v.Chosen, &created, &expires, &ended, &req, &out)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoSession
	}
	if err != nil {
		return nil, fmt.Errorf("session: %w", err)
	}
	v.Created, v.Expires = time.UnixMilli(created), time.UnixMilli(expires)
	if ended != 0 {
		v.Ended = time.UnixMilli(ended)
	}
	if req != nil {
		v.Request = new(request)
		err := s.openJSON("sessions/request/"+id, req, v.Request)
		if err != nil && v.State.ended() {
			v.Request, err = nil, nil // as if it were purged
		}
		if err != nil {
			return nil, err
		}
	}
	if out != nil {
		v.Outcome = new(outcome)
		if err := s.openJSON("sessions/outcome/"+id, out, v.Outcome); err != nil {
			return nil, err
		}
	}
	return v, nil
}

// move takes a session from one of the states in from to the state to. also, if
// not nil, belongs to the same transaction.
func (s *store) move(ctx context.Context, id string, to State, chosen string, now time.Time, events []string,
	also func(tx *sql.Tx) error, from ...State) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		if err := inState(ctx, tx, id, now, from...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE sessions SET state = ?, chosen = CASE WHEN ? = '' THEN chosen ELSE ? END WHERE id = ?`,
			to, chosen, chosen, id); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		if err := record(ctx, tx, id, now, events...); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
}

// inState fails unless the session is in one of the states and, while the
// person acts, in time.
func inState(ctx context.Context, tx *sql.Tx, id string, now time.Time, states ...State) error {
	var st State
	var expires int64
	err := tx.QueryRowContext(ctx, `SELECT state, expires FROM sessions WHERE id = ?`, id).Scan(&st, &expires)
	if errors.Is(err, sql.ErrNoRows) {
		return errNoSession
	}
	if err != nil {
		return fmt.Errorf("session: %w", err)
	}
	if st.open() && now.UnixMilli() >= expires {
		return errState
	}
	for _, want := range states {
		if st == want {
			return nil
		}
	}
	return errState
}

// end takes a session to a terminal state, keeps its outcome and drops its
// photos and frames. also, if not nil, belongs to the same transaction.
func (s *store) end(ctx context.Context, id string, to State, reason string, out *outcome, now time.Time, event string,
	also func(tx *sql.Tx) error, from ...State) error {
	var sealed []byte
	if out != nil {
		var err error
		if sealed, err = s.sealJSON("sessions/outcome/"+id, out); err != nil {
			return err
		}
	}
	return s.update(ctx, func(tx *sql.Tx) error {
		check := now
		if to == Expired {
			check = time.Time{} // its time being over is the point
		}
		if err := inState(ctx, tx, id, check, from...); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE sessions SET state = ?, reason = ?, ended = ?, outcome = ? WHERE id = ?`,
			to, reason, now.UnixMilli(), sealed, id); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM photos WHERE session = ?`, id); err != nil {
			return fmt.Errorf("photos: %w", err)
		}
		if err := dropSequence(ctx, tx, id); err != nil {
			return err
		}
		if err := record(ctx, tx, id, now, event); err != nil || also == nil {
			return err
		}
		return also(tx)
	})
}

// attempt counts one attempt at a side and returns how many there were, or errAttempts.
func (s *store) attempt(ctx context.Context, id, side string, limit int, now time.Time) (int, error) {
	n := 0
	err := s.update(ctx, func(tx *sql.Tx) error {
		if err := inState(ctx, tx, id, now, Started, Captured); err != nil {
			return err
		}
		err := tx.QueryRowContext(ctx, `INSERT INTO photos (session, side, attempts, usable, partial, reason) VALUES (?, ?, 1, 0, 0, '')
			ON CONFLICT (session, side) DO UPDATE SET attempts = attempts + 1 WHERE attempts < ? RETURNING attempts`, id, side, limit).Scan(&n)
		if errors.Is(err, sql.ErrNoRows) {
			return errAttempts
		}
		return err
	})
	return n, err
}

// keep stores a photo with what the engine said about it, and moves the session
// to captured when front and, where one is wanted, selfie are there. A photo
// that was refused keeps the earlier one, if any, and only notes the reason.
func (s *store) keep(ctx context.Context, id, side string, p photo, wantSelfie bool, now time.Time, event string) error {
	var sealed []byte
	if p.Images != nil {
		var err error
		if sealed, err = s.sealJSON("photos/data/"+id+"/"+side, p.Images); err != nil {
			return err
		}
	}
	return s.update(ctx, func(tx *sql.Tx) error {
		if err := inState(ctx, tx, id, now, Started, Captured); err != nil {
			return err
		}
		if sealed == nil {
			_, err := tx.ExecContext(ctx, `UPDATE photos SET reason = ? WHERE session = ? AND side = ? AND data IS NULL`, p.Reason, id, side)
			return err
		}
		if _, err := tx.ExecContext(ctx, `UPDATE photos SET usable = ?, partial = ?, reason = ?, data = ? WHERE session = ? AND side = ?`,
			p.Usable, p.Partial, p.Reason, sealed, id, side); err != nil {
			return fmt.Errorf("photo: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `UPDATE sessions SET state = ? WHERE id = ?
			AND EXISTS (SELECT 1 FROM photos WHERE session = sessions.id AND side = 'front' AND data IS NOT NULL)
			AND (? OR EXISTS (SELECT 1 FROM photos WHERE session = sessions.id AND side = 'selfie' AND data IS NOT NULL))`,
			Captured, id, !wantSelfie); err != nil {
			return fmt.Errorf("session: %w", err)
		}
		return record(ctx, tx, id, now, event)
	})
}

// photos reads what is known about the photos of a session, by side.
func (s *store) photos(ctx context.Context, id string, withData bool) (map[string]photo, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT side, attempts, usable, partial, reason, data IS NOT NULL, CASE WHEN ? THEN data END
		FROM photos WHERE session = ?`, withData, id)
	if err != nil {
		return nil, fmt.Errorf("photos: %w", err)
	}
	defer func() { _ = rows.Close() }()
	all := map[string]photo{}
	for rows.Next() {
		var side string
		var p photo
		var sealed []byte
		if err := rows.Scan(&side, &p.Attempts, &p.Usable, &p.Partial, &p.Reason, &p.Stored, &sealed); err != nil {
			return nil, fmt.Errorf("photos: %w", err)
		}
		if sealed != nil {
			if err := s.openJSON("photos/data/"+id+"/"+side, sealed, &p.Images); err != nil {
				return nil, err
			}
		}
		all[side] = p
	}
	return all, rows.Err()
}

// judging lists the sessions whose verdict is outstanding.
func (s *store) judging(ctx context.Context) ([]string, error) {
	return s.ids(ctx, `SELECT id FROM sessions WHERE state = ?`, Judging)
}

// due lists the sessions whose time has passed.
func (s *store) due(ctx context.Context, now time.Time) ([]string, error) {
	return s.ids(ctx, `SELECT id FROM sessions WHERE state IN (?, ?, ?) AND expires <= ? LIMIT 1000`, Created, Started, Captured, now.UnixMilli())
}

func (s *store) ids(ctx context.Context, query string, args ...any) ([]string, error) {
	rows, err := s.db.QueryContext(ctx, query, args...)
	if err != nil {
		return nil, fmt.Errorf("sessions: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var ids []string
	for rows.Next() {
		var id string
		if err := rows.Scan(&id); err != nil {
			return nil, fmt.Errorf("sessions: %w", err)
		}
		ids = append(ids, id)
	}
	return ids, rows.Err()
}

// purge drops what is personal of sessions that ended before personal, and
// whole sessions that ended before rows.
func (s *store) purge(ctx context.Context, personal, rows time.Time) error {
	return s.update(ctx, func(tx *sql.Tx) error {
		for _, q := range []struct {
			query string
			at    time.Time
		}{
			{`UPDATE sessions SET request = NULL, outcome = NULL WHERE ended > 0 AND ended <= ? AND (request IS NOT NULL OR outcome IS NOT NULL)`, personal},
			{`DELETE FROM consents WHERE session IN (SELECT id FROM sessions WHERE ended > 0 AND ended <= ?)`, rows},
			{`DELETE FROM events WHERE session IN (SELECT id FROM sessions WHERE ended > 0 AND ended <= ?)`, rows},
			{`DELETE FROM sessions WHERE ended > 0 AND ended <= ?`, rows},
		} {
			if _, err := tx.ExecContext(ctx, q.query, q.at.UnixMilli()); err != nil {
				return fmt.Errorf("purge: %w", err)
			}
		}
		return nil
	})
}

func (s *store) events(ctx context.Context, id string) ([]Event, error) {
	rows, err := s.db.QueryContext(ctx, `SELECT name, at FROM events WHERE session = ? ORDER BY id`, id)
	if err != nil {
		return nil, fmt.Errorf("events: %w", err)
	}
	defer func() { _ = rows.Close() }()
	var all []Event
	for rows.Next() {
		var e Event
		var at int64
		if err := rows.Scan(&e.Name, &at); err != nil {
			return nil, fmt.Errorf("events: %w", err)
		}
		e.At = time.UnixMilli(at)
		all = append(all, e)
	}
	return all, rows.Err()
}
