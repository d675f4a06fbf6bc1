package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/pressly/goose/v3"
	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// busyTimeout is how long we wait for another process.
	busyTimeout = 10 * time.Second
	// SQLite has no queue for its lock: whoever asks in the right moment gets it. So
	// that processes with much to write do not starve each other, the writer asks
	// often (every retryEvery at most) and, while it has work without end, leaves
	// the lock alone for a breath now and then.
	retryEvery  = time.Millisecond
	breathEvery = 100 * time.Millisecond
	breath      = 3 * time.Millisecond
	// writerCache is for the pages that one commit changes. Those that do not fit are
	// written to the log early, and often twice.
	writerCache = 16 << 20
	// forgetEvery is how often at most the log is cut because something was erased:
	// everybody waits for that.
	forgetEvery = time.Second
	// maxBatch bounds how many updates share a commit, and with it how long the
	// first of them waits for the others.
	maxBatch = 256
)

// sqliteDB is a database file: one connection that writes, owned by the goroutine
// writer, and some that read.
type sqliteDB struct {
	writing, reading *sql.DB

	calls   chan *call
	quit    chan struct{} // closed to end the writer
	gone    chan struct{} // closed when it ended
	readers chan *session // nil stands for a connection yet to be opened
	closing sync.Once
}

// call is one update on its way through the writer.
type call struct {
	ctx    context.Context
	turn   chan *tx   // the writer lends the transaction to the caller's goroutine,
	ran    chan error // gets it back with what fn returned (buffered),
	failed error      // keeps that,
	done   chan error // and says how it ended (buffered)
}

// OpenSQLite opens or creates the database file at path, readable by its owner
// alone, and brings its schema up to date. The directory must exist.
func OpenSQLite(ctx context.Context, path string) (*Store, error) {
	if path == "" || path == ":memory:" {
		return nil, errors.New("store: SQLite needs the path of a file")
	}
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, opening("SQLite", err)
	}
	if err := f.Close(); err != nil {
		return nil, opening("SQLite", err)
	}
	// fdatasync writes all that is needed to read the data back, at half the
	// price. Where there is none, fsync it stays.
	if _, err := sqlite.Fdatasync(true); err != nil && !errors.Is(err, sqlite.ErrFdatasyncUnavailable) {
		return nil, opening("SQLite", err)
	}
	// The order counts: waiting comes before switching to WAL, which needs a lock.
	dsn := "file:" + (&url.URL{Path: path}).EscapedPath() + fmt.Sprintf("?_pragma=busy_timeout(%d)", busyTimeout.Milliseconds()) +
		"&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_pragma=foreign_keys(1)&_pragma=secure_delete(1)" +
		"&_pragma=temp_store(MEMORY)&_txlock=immediate"
	s := &sqliteDB{calls: make(chan *call), quit: make(chan struct{}), gone: make(chan struct{})}
	if s.writing, err = sql.Open("sqlite", dsn); err != nil {
		return nil, opening("SQLite", err)
	}
	s.writing.SetMaxOpenConns(1)
	if err := migrate(ctx, s.writing, goose.DialectSQLite3, "sqlite"); err != nil {
		s.writing.Close()
		return nil, opening("SQLite", err)
	}
	if s.reading, err = sql.Open("sqlite", dsn+"&_pragma=query_only(1)"); err != nil {
		s.writing.Close()
		return nil, opening("SQLite", err)
	}
	n := max(4, runtime.GOMAXPROCS(0))
	s.readers = make(chan *session, n)
	for range n {
		s.readers <- nil
	}
	w, err := openSession(ctx, s.writing)
	if err == nil {
		err = checkPragmas(ctx, w)
	}
	if err == nil {
		err = w.do("PRAGMA busy_timeout = 0") // begin waits, in its own way
	}
	if err == nil {
		err = w.do(fmt.Sprintf("PRAGMA cache_size = -%d", writerCache>>10))
	}
	if err != nil {
		s.reading.Close()
		s.writing.Close()
		return nil, opening("SQLite", err)
	}
	go s.writer(w)
	return &Store{db: s}, nil
}

// checkPragmas makes sure that the promises rest on something: a file system
// without shared memory, for one, silently keeps another journal mode.
func checkPragmas(ctx context.Context, w *session) error {
	for pragma, want := range map[string]string{"journal_mode": "wal", "synchronous": "2", "foreign_keys": "1", "secure_delete": "1"} {
		var got string
		if err := w.conn.QueryRowContext(ctx, "PRAGMA "+pragma).Scan(&got); err != nil {
			return err
		}
		if got != want {
			return fmt.Errorf("PRAGMA %s is %s, not %s", pragma, got, want)
		}
	}
	return nil
}

// writer owns the connection that writes.
func (s *sqliteDB) writer(w *session) {
	defer close(s.gone)
	defer w.close()
	var cut time.Time // when the log was last cut
	owed := false     // something was erased since
	for rested := time.Now(); ; {
		c := s.next()
		if c == nil {
			var due <-chan time.Time
			if owed {
				due = time.After(time.Until(cut.Add(forgetEvery)))
			}
			select {
			case c = <-s.calls:
				rested = time.Now()
			case <-due:
			case <-s.quit:
				if owed {
					forget(w)
				}
				return
			}
		} else if time.Since(rested) > breathEvery {
			time.Sleep(breath)
			rested = time.Now()
		}
		if c != nil && s.batch(w, c) {
			owed = true
		}
		if owed && time.Since(cut) >= forgetEvery {
			forget(w)
			owed, cut = false, time.Now()
		}
	}
}

// begin takes the lock of the database.
func begin(w *session) error {
	for deadline := time.Now().Add(busyTimeout); ; {
		err := w.do("BEGIN IMMEDIATE")
		e, ok := errors.AsType[*sqlite.Error](err)
		if !ok || e.Code()&0xff != sqlite3.SQLITE_BUSY || time.Now().After(deadline) {
			return err
		}
		var b [1]byte
		rand.Read(b[:])
		time.Sleep(retryEvery * time.Duration(b[0]) / 255) // random, so as not to keep step
	}
}

// batch runs first, and whoever waits behind it, in one transaction, and reports whether
// something was erased.
func (s *sqliteDB) batch(w *session, first *call) (erased bool) {
	if err := begin(w); err != nil {
		err = meaning(&sqliteDialect, err)
		for c := first; c != nil; c = s.next() {
			c.done <- err // the database is busy: who waits behind would wait as long again
		}
		return false
	}
	// Whoever fails is told with the others, after COMMIT: fn may have failed
	// because of what it saw of its neighbours.
	var batch []*call
	passed := 0
	finish := func(err error) {
		for _, c := range batch {
			if err == nil {
				c.done <- c.failed
			} else {
				c.done <- err
			}
		}
	}
	for c := first; c != nil; {
		batch = append(batch, c)
		t := &tx{ctx: c.ctx, conn: w, dialect: &sqliteDialect}
		if err := lend(w, t, c); err != nil {
			// A savepoint that cannot be set or undone: SQLite has rolled back the
			// whole, as it does when the disk is full. All may try again.
			_ = w.do("ROLLBACK") // fails if SQLite did so already, which is as well
			finish(&proof.Error{
				Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true,
				Message: "the database is not available right now", Err: err,
			})
			return false
		}
		if c.failed == nil {
			passed++
			erased = erased || t.erased
		}
		c = nil
		if len(batch) < maxBatch {
			c = s.next()
		}
	}
	if passed == 0 {
		_ = w.do("ROLLBACK")
		finish(nil)
		return false
	}
	err := w.do("COMMIT")
	if err != nil {
		err = meaning(&sqliteDialect, err)
		_ = w.do("ROLLBACK")
	}
	finish(err)
	return erased && err == nil
}

// next returns a call that waits already, or nil.
func (s *sqliteDB) next() *call {
	select {
	case c := <-s.calls:
		return c
	default:
		return nil
	}
}

// lend runs one call under a savepoint and notes in it how fn failed. The error
// is one of the savepoint itself.
func lend(w *session, t *tx, c *call) error {
	if err := w.do("SAVEPOINT one"); err != nil {
		return err
	}
	select {
	case c.turn <- t:
		c.failed = <-c.ran
	case <-c.ctx.Done():
		c.failed = fmt.Errorf("store: %w", c.ctx.Err())
	}
	if c.failed == nil {
		c.failed = t.err
	}
	t.over()
	if c.failed == nil {
		return w.do("RELEASE one")
	}
	if err := w.do("ROLLBACK TO one"); err != nil {
		return errors.Join(c.failed, err)
	}
	return w.do("RELEASE one")
}

// forget drops older copies of what was erased from the write-ahead log. It is
// best effort: a reader in its way only means that the next checkpoint does it.
func forget(w *session) {
	_ = w.do("PRAGMA busy_timeout = 100")
	_ = w.do("PRAGMA wal_checkpoint(TRUNCATE)")
	_ = w.do("PRAGMA busy_timeout = 0")
}

// write needs no repeating: an update has the database to itself.
func (s *sqliteDB) write(ctx context.Context, _ isolation, fn func(*tx) error) error {
	c := &call{ctx: ctx, turn: make(chan *tx), ran: make(chan error, 1), done: make(chan error, 1)}
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	select {
	case s.calls <- c:
	case <-ctx.Done():
		return fmt.Errorf("store: %w", ctx.Err())
	case <-s.quit:
		return errClosed
	}
	select {
	case t := <-c.turn:
		// fn runs here, not in the writer: a panic is the caller's own.
		result := errUnwound
		func() {
			defer func() { c.ran <- result }()
			result = fn(t)
		}()
		return <-c.done
	case <-ctx.Done():
		return fmt.Errorf("store: %w", ctx.Err())
	case err := <-c.done:
		return err
	}
}

func (s *sqliteDB) read(ctx context.Context, fn func(*tx) error) error {
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	var r *session
	select {
	case r = <-s.readers:
	case <-ctx.Done():
		return fmt.Errorf("store: %w", ctx.Err())
	case <-s.quit:
		return errClosed
	}
	defer func() { s.readers <- r }()
	if r == nil {
		var err error
		if r, err = openSession(ctx, s.reading); err != nil {
			r = nil
			return meaning(&sqliteDialect, err)
		}
	}
	if err := r.do("BEGIN"); err != nil {
		r = r.close()
		return meaning(&sqliteDialect, err)
	}
	t := &tx{ctx: ctx, conn: r, dialect: &sqliteDialect, readOnly: true}
	defer func() {
		t.over()
		if err := r.do("ROLLBACK"); err != nil {
			r = r.close() // the next one opens a fresh connection
		}
	}()
	if err := fn(t); err != nil {
		return err
	}
	return t.err
}

// ping writes something that nobody reads: a disk that is full can be read from all the
// same.
func (s *sqliteDB) ping(ctx context.Context) error {
	return s.write(ctx, oneStatement, func(t *tx) error {
		_, err := t.exec("PRAGMA user_version = 1")
		return err
	})
}

func (s *sqliteDB) close() error {
	var err error
	s.closing.Do(func() {
		close(s.quit)
		<-s.gone
		for range cap(s.readers) {
			if r := <-s.readers; r != nil {
				r.close()
			}
		}
		// The last connection of all processes to close folds the log into the file.
		err = errors.Join(s.reading.Close(), s.writing.Close())
	})
	return err
}

// session is a connection with its prepared statements. It is used by one
// goroutine at a time.
type session struct {
	conn  *sql.Conn
	stmts map[string]*sql.Stmt
}

func openSession(ctx context.Context, db *sql.DB) (*session, error) {
	conn, err := db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	return &session{conn: conn, stmts: make(map[string]*sql.Stmt)}, nil
}

// close returns nil, to forget the session by.
func (c *session) close() *session {
	for _, s := range c.stmts {
		s.Close()
	}
	c.conn.Close()
	return nil
}

func (c *session) stmt(query string) (*sql.Stmt, error) {
	if s, ok := c.stmts[query]; ok {
		return s, nil
	}
	s, err := c.conn.PrepareContext(context.Background(), parameters(query))
	if err != nil {
		return nil, err
	}
	c.stmts[query] = s
	return s, nil
}

// parameters writes them as SQLite wants them: $1 is a name to it and ?1 a number, which
// the driver looks up in a list of all of them each time. If they are in order, it need not.
func parameters(query string) string {
	var b strings.Builder
	parts := strings.Split(query, "$")
	for i, part := range parts {
		if i > 0 {
			number := strconv.Itoa(i)
			rest, ok := strings.CutPrefix(part, number)
			if !ok || rest != "" && rest[0] >= '0' && rest[0] <= '9' {
				return strings.ReplaceAll(query, "$", "?")
			}
			part = "?" + rest
		}
		b.WriteString(part)
	}
	return b.String()
}

// Statements do not run under the caller's context: an interrupted one would
// roll back the whole batch. tx asks the context before each.

func (c *session) exec(_ context.Context, query string, args []any) (int64, error) {
	s, err := c.stmt(query)
	if err != nil {
		return 0, err
	}
	res, err := s.ExecContext(context.Background(), args...)
	if err != nil {
		return 0, err
	}
	return res.RowsAffected()
}

// later has nothing to wait for: there is no way to go.
func (c *session) later(ctx context.Context, query string, args []any) error {
	_, err := c.exec(ctx, query, args)
	return err
}

func (c *session) query(_ context.Context, query string, args []any, each func(row) error) error {
	s, err := c.stmt(query)
	if err != nil {
		return err
	}
	rows, err := s.QueryContext(context.Background(), args...)
	if err != nil {
		return err
	}
	defer rows.Close()
	for rows.Next() {
		if err := each(rows); err != nil {
			return err
		}
	}
	return rows.Err()
}

// do runs a statement that controls the transaction.
func (c *session) do(query string) error {
	_, err := c.exec(context.Background(), query, nil)
	return err
}

var sqliteDialect = dialect{
	firstDue: firstDueSQLite,
	heldBy:   heldBySQLite,
	part:     "0", // only one writes
	kind: func(err error) errKind {
		e, ok := errors.AsType[*sqlite.Error](err)
		if !ok {
			return otherError
		}
		switch e.Code() {
		case sqlite3.SQLITE_CONSTRAINT_UNIQUE, sqlite3.SQLITE_CONSTRAINT_PRIMARYKEY:
			return duplicate
		}
		switch e.Code() & 0xff {
		case sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED, sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM:
			return unavailable
		}
		return otherError
	},
}
