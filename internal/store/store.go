package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
)

var (
	_ journey.Store = (*Store)(nil)
	_ jobs.Queue    = (*Store)(nil)
)

// Store is an open database. It is safe for concurrent use.
type Store struct{ db database }

// database is one kind of SQL server or file.
type database interface {
	// write runs fn in one durable transaction, more than once if need be.
	write(ctx context.Context, iso isolation, fn func(*tx) error) error
	// read runs fn against one consistent state.
	read(ctx context.Context, fn func(*tx) error) error
	ping(ctx context.Context) error
	close() error
}

// isolation is what a write needs; SQLite always gives serial.
type isolation int

const (
	serial       isolation = iota // as if alone
	oneStatement                  // every statement is a transaction
)

// Open opens the database that dsn names, sqlite:PATH or postgres://..., and
// brings its schema up to date.
func Open(ctx context.Context, dsn string) (*Store, error) {
	scheme, rest, _ := strings.Cut(dsn, ":")
	switch scheme {
	case "sqlite":
		return OpenSQLite(ctx, rest)
	case "postgres", "postgresql":
		return OpenPostgres(ctx, dsn)
	}
	return nil, errors.New("store: the database must be named as sqlite:PATH or postgres://USER@HOST/NAME")
}

// Close waits for the updates that have begun and closes the database. Updates
// that come later fail.
func (s *Store) Close() error { return s.db.close() }

// Ping reports whether the database answers; SQLite, whether it can be written to.
func (s *Store) Ping(ctx context.Context) error { return s.db.ping(ctx) }

// Update implements journey.Store. fn must not call Update or View.
//
// On PostgreSQL one case is left open by nature: if the connection breaks during
// COMMIT, the error wraps ErrOutcomeUnknown, and the work may have been done.
func (s *Store) Update(ctx context.Context, fn func(journey.Tx) error) error {
	return s.db.write(ctx, serial, func(t *tx) error { return fn(t) })
}

// View implements journey.Store.
func (s *Store) View(ctx context.Context, fn func(journey.Tx) error) error {
	return s.db.read(ctx, func(t *tx) error { return fn(t) })
}

// ErrOutcomeUnknown says that nobody told us whether a transaction committed.
var ErrOutcomeUnknown = errors.New("store: the connection broke during commit; the outcome is unknown")

var errClosed = errors.New("store: closed")

// errUnwound is what a transaction ends with when fn panicked or left its
// goroutine. Nobody sees it: there is nobody left to return to.
var errUnwound = errors.New("store: the transaction function did not return")

func opening(kind string, err error) error { return fmt.Errorf("store: opening %s: %w", kind, err) }
