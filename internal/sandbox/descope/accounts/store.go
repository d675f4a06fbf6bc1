package accounts

import (
	"context"
	"database/sql"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"

	_ "modernc.org/sqlite" // the driver

	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

const schema = `
CREATE TABLE IF NOT EXISTS records (
	kind  TEXT NOT NULL,       -- user, session, key, attribute
	id    TEXT NOT NULL,
	value BLOB NOT NULL,       -- sealed JSON
	PRIMARY KEY (kind, id)
) STRICT;
CREATE TABLE IF NOT EXISTS events (
	id    INTEGER PRIMARY KEY, -- in the order of the audit trail
	value BLOB NOT NULL        -- sealed JSON
) STRICT;
`

// Kinds of records.
const (
	kindUser      = "user"
	kindSession   = "session"
	kindKey       = "key"
	kindAttribute = "attribute"
	kindEvent     = "event" // in a table of its own
)

// change is one record as it will be; without a value it will be gone.
type change struct {
	kind, id string
	event    int64 // of kindEvent, instead of id
	value    any
}

// store keeps what is in memory for the next start. A nil store keeps nothing.
type store struct {
	db   *sql.DB
	seal seal.Sealer
}

// openStore opens the database of a directory. It is one process's alone.
func openStore(ctx context.Context, dir string) (*store, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("data directory: %w", err)
	}
	key, err := seal.OpenFile(filepath.Join(dir, "seal.key"))
	if err != nil {
		return nil, err
	}
	file := filepath.Join(dir, "descope.db")
	f, err := os.OpenFile(file, os.O_CREATE|os.O_RDWR, 0o600) // SQLite itself would ask the umask
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	if err := f.Close(); err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	// NORMAL: what happened in the second before a power cut may be lost, but not when
	// the process dies. That does for a stand-in.
	db, err := sql.Open("sqlite", "file:"+file+"?_txlock=immediate&_pragma=busy_timeout(1000)&_pragma=locking_mode(EXCLUSIVE)"+
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=secure_delete(1)")
	if err != nil {
		return nil, fmt.Errorf("database: %w", err)
	}
	db.SetMaxOpenConns(1)
	if _, err := db.ExecContext(ctx, schema); err != nil {
		_ = db.Close()
		return nil, fmt.Errorf("database %s (is another process using it?): %w", file, err)
	}
	return &store{db, key}, nil
}

func (s *store) close() error {
	if s == nil {
		return nil
	}
	return s.db.Close()
}

// save makes changes, all or none.
func (s *store) save(ctx context.Context, changes []change) error {
	if s == nil || len(changes) == 0 {
		return nil
	}
	ctx = context.WithoutCancel(ctx) // half a login is none
	tx, err := s.db.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("database: %w", err)
	}
	for _, c := range changes {
		if err := s.write(ctx, tx, c); err != nil {
			_ = tx.Rollback()
			return fmt.Errorf("database: %s: %w", c.kind, err)
		}
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("database: %w", err)
	}
	return nil
}

func (s *store) write(ctx context.Context, tx *sql.Tx, c change) error {
	var sealed []byte
	if c.value != nil {
		plain, err := json.Marshal(c.value)
		if err != nil {
			return err
		}
		sealed = s.seal.Seal(c.place(), plain)
	}
	var err error
	switch {
	case c.kind == kindEvent && c.value == nil:
		_, err = tx.ExecContext(ctx, `DELETE FROM events WHERE id = ?`, c.event)
	case c.kind == kindEvent:
		_, err = tx.ExecContext(ctx, `INSERT INTO events (id, value) VALUES (?, ?) ON CONFLICT (id) DO UPDATE SET value = excluded.value`, c.event, sealed)
	case c.value == nil:
		_, err = tx.ExecContext(ctx, `DELETE FROM records WHERE kind = ? AND id = ?`, c.kind, c.id)
	default:
		_, err = tx.ExecContext(ctx, `INSERT INTO records (kind, id, value) VALUES (?, ?, ?)
			ON CONFLICT (kind, id) DO UPDATE SET value = excluded.value`, c.kind, c.id, sealed)
	}
	return err
}

func (c change) place() string {
	if c.kind == kindEvent {
		return fmt.Sprintf("%s/%d", kindEvent, c.event)
	}
	return c.kind + "/" + c.id
}

// load reads everything: each record, opened, by what it is; then the events in
// their order.
func (s *store) load(ctx context.Context, take func(c change, plain []byte) error) error {
	if s == nil {
		return nil
	}
	read := func(query string, scan func(*sql.Rows) (change, []byte, error)) error {
		rows, err := s.db.QueryContext(ctx, query)
		if err != nil {
			return fmt.Errorf("database: %w", err)
		}
		defer func() { _ = rows.Close() }()
		for rows.Next() {
			c, sealed, err := scan(rows)
			if err != nil {
				return fmt.Errorf("database: %w", err)
			}
			plain, err := s.seal.Open(c.place(), sealed)
			if err == nil {
				err = take(c, plain)
			}
			if err != nil {
				return fmt.Errorf("database: %s: %w", c.kind, err)
			}
		}
		return rows.Err()
	}
	err := read(`SELECT kind, id, value FROM records ORDER BY kind, id`, func(r *sql.Rows) (c change, sealed []byte, err error) {
		err = r.Scan(&c.kind, &c.id, &sealed)
		return c, sealed, err
	})
	if err != nil {
		return err
	}
	return read(`SELECT id, value FROM events ORDER BY id`, func(r *sql.Rows) (c change, sealed []byte, err error) {
		c.kind = kindEvent
		err = r.Scan(&c.event, &sealed)
		return c, sealed, err
	})
}
