package store

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// tx is one transaction. The first error of the database ends it: whatever fn
// makes of that error, every later statement returns it and nothing is
// committed. (PostgreSQL does that by itself; SQLite may roll back the whole
// transaction on some errors, and what fn did next would stand alone.)
type tx struct {
	ctx      context.Context
	conn     conn
	dialect  *dialect
	readOnly bool
	erased   bool  // something was erased, and older copies of it should go too
	err      error // the first error of the database
}

// conn runs statements; parameters are written $1, $2, ...
type conn interface {
	// exec returns how many rows were changed.
	exec(ctx context.Context, query string, args []any) (int64, error)
	// later is exec at some time before the next exec, query or commit, which then
	// returns its error.
	later(ctx context.Context, query string, args []any) error
	// query calls each for every row, until that fails.
	query(ctx context.Context, query string, args []any, each func(row) error) error
}

// dialect is what differs between the two databases within a transaction.
type dialect struct {
	firstDue string // of a tenant t and priority p, the first jobs j that are due, which nobody else claims
	// heldBy is the condition that a job is one of these, held as claimed.
	heldBy func([]jobs.Claimed) (condition string, args []any)
	part   string // number that transactions at work at the same time do not share
	// kind says what an error of the driver means.
	kind func(error) errKind
}

type errKind int

const (
	otherError  errKind = iota
	duplicate           // a unique constraint
	collision           // another transaction was faster; run the whole again
	unavailable         // busy, full, starting, failing over; may help later
)

var (
	errReadOnly = errors.New("store: writing in a view")
	errTxOver   = errors.New("store: the transaction is over")
)

// exec runs a statement and returns how many rows it changed.
func (t *tx) exec(query string, args ...any) (int, error) {
	if err := t.beforeWrite(args); err != nil {
		return 0, err
	}
	n, err := t.conn.exec(t.ctx, query, args)
	if err != nil {
		return 0, t.fail(err)
	}
	return int(n), nil
}

// later runs a statement of which nobody needs to know how many rows it changed.
// If it fails, that may come to light only with a later one, or at the end.
func (t *tx) later(query string, args ...any) error {
	if err := t.beforeWrite(args); err != nil {
		return err
	}
	if err := t.conn.later(t.ctx, query, args); err != nil {
		return t.fail(err)
	}
	return nil
}

// query runs a statement and calls scan for each row.
func (t *tx) query(scan func(row) error, query string, args ...any) error {
	if err := t.before(args); err != nil {
		return err
	}
	var unread error
	err := t.conn.query(t.ctx, query, args, func(r row) error {
		unread = scan(r)
		return unread
	})
	if unread != nil {
		t.err = fmt.Errorf("store: reading a row: %w", unread)
		return t.err
	}
	if err != nil {
		return t.fail(err)
	}
	return nil
}

type row interface{ Scan(dest ...any) error }

// one reads the one row that query names, or returns proof.ErrNotFound.
func one[T any](t *tx, scan func(row) (*T, error), query string, args ...any) (*T, error) {
	all, err := many(t, scan, query, args...)
	if err != nil {
		return nil, err
	}
	if len(all) == 0 {
		return nil, proof.ErrNotFound
	}
	return all[0], nil
}

func many[T any](t *tx, scan func(row) (*T, error), query string, args ...any) ([]*T, error) {
	var all []*T
	err := t.query(func(r row) error {
		v, err := scan(r)
		all = append(all, v)
		return err
	}, query, args...)
	if err != nil {
		return nil, err
	}
	return all, nil
}

func (t *tx) beforeWrite(args []any) error {
	if t.readOnly && t.err == nil {
		t.err = errReadOnly
	}
	return t.before(args)
}

// before is asked before every statement.
func (t *tx) before(args []any) error {
	if t.err != nil {
		return t.err
	}
	if err := t.ctx.Err(); err != nil {
		t.err = fmt.Errorf("store: %w", err)
		return t.err
	}
	for _, a := range args {
		// PostgreSQL has no such text; SQLite would cut it off in places.
		if s, ok := a.(string); ok && (strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s)) {
			return &proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonInvalidRequest, Message: "text must be UTF-8 without NUL"}
		}
	}
	return nil
}

// fail notes an error of the database and gives it a meaning.
func (t *tx) fail(err error) error {
	t.err = meaning(t.dialect, err)
	return t.err
}

// over makes a transaction that outlived its function useless.
func (t *tx) over() {
	if t.err == nil {
		t.err = errTxOver
	}
}

func meaning(d *dialect, err error) error {
	if errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("store: %w", err)
	}
	switch d.kind(err) {
	case duplicate:
		return fmt.Errorf("store: %w: %w", proof.ErrStale, err)
	case collision:
		return &collided{err}
	case unavailable:
		return &proof.Error{
			Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true,
			Message: "the database is not available right now", Err: err,
		}
	}
	return fmt.Errorf("store: %w", err)
}

// collided is the error of a transaction that is to be run again.
type collided struct{ err error }

func (c *collided) Error() string { return "store: transactions collided: " + c.err.Error() }
func (c *collided) Unwrap() error { return c.err }
