package store

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
)

var _ console.Store = (*Store)(nil)

// UpdateConsole implements console.Store. All that Update says holds.
func (s *Store) UpdateConsole(ctx context.Context, fn func(console.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// ViewConsole implements console.Store.
func (s *Store) ViewConsole(ctx context.Context, fn func(console.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

const linkColumns = `secret_hash, id, role, name, created_at, expires_at`

func scanLink(r row) (*console.Link, error) {
	l := new(console.Link)
	return l, r.Scan(&l.Hash, &l.ID, &l.Role, &l.Name, at(&l.CreatedAt), at(&l.ExpiresAt))
}

func (t *tx) InsertLink(l *console.Link) error {
	n, err := t.exec(`INSERT INTO console_links (`+linkColumns+`) VALUES ($1, $2, $3, $4, $5, $6) ON CONFLICT DO NOTHING`,
		blob(l.Hash), l.ID, string(l.Role), l.Name, micros(l.CreatedAt), micros(l.ExpiresAt))
	return fresh(n, err)
}

// TakeLink reads before it removes; that nobody else does so in between is what the
// transactions of both databases are for.
func (t *tx) TakeLink(hash []byte, when time.Time) (*console.Link, error) {
	l, err := one(t, scanLink, `SELECT `+linkColumns+` FROM console_links WHERE secret_hash = $1 AND expires_at > $2`, blob(hash), micros(when))
	if err != nil {
		return nil, err
	}
	n, err := t.exec(`DELETE FROM console_links WHERE secret_hash = $1`, blob(hash))
	if err := fresh(n, err); err != nil {
		return nil, err
	}
	return l, nil
}

const sessionColumns = `secret_hash, id, role, name, created_at, expires_at, seen_at`

func scanSession(r row) (*console.Session, error) {
	s := new(console.Session)
	return s, r.Scan(&s.Hash, &s.ID, &s.Role, &s.Name, at(&s.CreatedAt), at(&s.ExpiresAt), at(&s.SeenAt))
}

func (t *tx) InsertSession(s *console.Session) error {
	n, err := t.exec(`INSERT INTO console_sessions (`+sessionColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7) ON CONFLICT DO NOTHING`,
		blob(s.Hash), s.ID, string(s.Role), s.Name, micros(s.CreatedAt), micros(s.ExpiresAt), micros(s.SeenAt))
	return fresh(n, err)
}

func (t *tx) Session(hash []byte) (*console.Session, error) {
	return one(t, scanSession, `SELECT `+sessionColumns+` FROM console_sessions WHERE secret_hash = $1`, blob(hash))
}

func (t *tx) TouchSession(hash []byte, when time.Time) error {
	return t.later(`UPDATE console_sessions SET seen_at = $2 WHERE secret_hash = $1 AND seen_at < $2`, blob(hash), micros(when))
}

func (t *tx) DropSession(hash []byte) error {
	return t.later(`DELETE FROM console_sessions WHERE secret_hash = $1`, blob(hash))
}

func (t *tx) PurgeConsole(before time.Time) error {
	if err := t.later(`DELETE FROM console_links WHERE expires_at < $1`, micros(before)); err != nil {
		return err
	}
	return t.later(`DELETE FROM console_sessions WHERE expires_at < $1`, micros(before))
}
