package store

import (
	"context"
	"crypto/rand"
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// maxCollisions is how often a transaction is repeated before we give up.
	maxCollisions = 100
	// defaultConns is the size of the pool unless the URL says pool_max_conns. More
	// make serializable transactions collide more, and faster only beyond a network.
	defaultConns = 8
	// commitTimeout bounds a COMMIT whose caller is gone already.
	commitTimeout = 10 * time.Second
)

// postgresDB is a PostgreSQL server, 15 or later.
type postgresDB struct {
	pool *pgxpool.Pool
	db   *sql.DB
}

// OpenPostgres connects to the server that url names and brings its schema up to
// date. Several hosts with target_session_attrs=read-write follow a failover;
// pool_max_conns and its like bound the pool.
func OpenPostgres(ctx context.Context, url string) (*Store, error) {
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, opening("PostgreSQL", err)
	}
	if !strings.Contains(url, "pool_max_conns") {
		config.MaxConns = defaultConns
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, opening("PostgreSQL", err)
	}
	s := &postgresDB{pool: pool, db: stdlib.OpenDBFromPool(pool)}
	if err := s.setUp(ctx); err != nil {
		s.close()
		return nil, opening("PostgreSQL", err)
	}
	return &Store{db: s}, nil
}

func (s *postgresDB) setUp(ctx context.Context) error {
	var durable string
	if err := s.db.QueryRowContext(ctx, "SHOW synchronous_commit").Scan(&durable); err != nil {
		return err
	}
	if durable == "off" || durable == "local" {
		return fmt.Errorf("synchronous_commit is %s, so the server would acknowledge what it may lose; set it to on for this role or database", durable)
	}
	return migrate(ctx, s.db, goose.DialectPostgres, "postgres")
}

func (s *postgresDB) write(ctx context.Context, iso isolation, fn func(*tx) error) error {
	level := sql.LevelSerializable
	if iso == oneStatement {
		level = sql.LevelReadCommitted
	}
	for i := 0; ; i++ {
		err := s.once(ctx, level, fn)
		c, ok := errors.AsType[*collided](err)
		if !ok {
			return err
		}
		if i == maxCollisions {
			return &proof.Error{
				Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Temporary: true,
				Message: "too many others change the same thing right now", Err: c,
			}
		}
		select {
		case <-time.After(pause(i)):
		case <-ctx.Done():
			return fmt.Errorf("store: %w", ctx.Err())
		}
	}
}

// pause is a random time, up to 1 ms at first and up to 64 ms later.
func pause(i int) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return time.Duration(binary.LittleEndian.Uint64(b[:]) % uint64(time.Millisecond<<min(i, 6)))
}

// once runs one attempt at a transaction.
func (s *postgresDB) once(ctx context.Context, level sql.IsolationLevel, fn func(*tx) error) error {
	conn, err := s.db.Conn(ctx)
	if err != nil {
		return meaning(&postgresDialect, err)
	}
	defer conn.Close()
	// The caller's context ends statements, but not a COMMIT under way: then
	// nobody would know how it ended.
	own, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	unbind := context.AfterFunc(ctx, cancel)
	defer unbind()
	stx, err := conn.BeginTx(own, &sql.TxOptions{Isolation: level})
	if err != nil {
		return meaning(&postgresDialect, err)
	}
	defer stx.Rollback() // also when fn panics; does nothing after Commit
	t := &tx{ctx: ctx, conn: postgresTx{stx}, dialect: &postgresDialect}
	defer t.over()
	err = fn(t)
	if c, ok := errors.AsType[*collided](t.err); ok {
		return c // whatever fn made of it
	}
	if err == nil {
		err = t.err
	}
	if err != nil {
		return err
	}
	if !unbind() {
		return fmt.Errorf("store: %w", ctx.Err())
	}
	defer time.AfterFunc(commitTimeout, cancel).Stop()
	if err := stx.Commit(); err != nil {
		if _, answered := errors.AsType[*pgconn.PgError](err); !answered {
			return &proof.Error{
				Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable,
				Message: "the database went away", Err: fmt.Errorf("%w: %w", ErrOutcomeUnknown, err),
			}
		}
		return meaning(&postgresDialect, err)
	}
	return nil
}

func (s *postgresDB) read(ctx context.Context, fn func(*tx) error) error {
	stx, err := s.db.BeginTx(ctx, &sql.TxOptions{Isolation: sql.LevelRepeatableRead, ReadOnly: true})
	if err != nil {
		return meaning(&postgresDialect, err)
	}
	defer stx.Rollback()
	t := &tx{ctx: ctx, conn: postgresTx{stx}, dialect: &postgresDialect, readOnly: true}
	defer t.over()
	if err := fn(t); err != nil {
		return err
	}
	return t.err
}

func (s *postgresDB) ping(ctx context.Context) error {
	if err := s.db.PingContext(ctx); err != nil {
		return meaning(&postgresDialect, err)
	}
	return nil
}

func (s *postgresDB) close() error {
	err := s.db.Close()
	s.pool.Close()
	return err
}

type postgresTx struct{ tx *sql.Tx }

func (p postgresTx) exec(ctx context.Context, query string, args []any) (sql.Result, error) {
	return p.tx.ExecContext(ctx, query, args...)
}

func (p postgresTx) query(ctx context.Context, query string, args []any) (*sql.Rows, error) {
	return p.tx.QueryContext(ctx, query, args...)
}

var postgresDialect = dialect{
	skipLocked: "FOR UPDATE SKIP LOCKED",
	kind: func(err error) errKind {
		e, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
			if errors.Is(err, sql.ErrTxDone) {
				return otherError
			}
			// Nothing the server said: the connection.
			return unavailable
		}
		switch {
		case e.Code == "23505":
			return duplicate
		case e.Code == "40001", e.Code == "40P01":
			return collision
		case strings.HasPrefix(e.Code, "08"), strings.HasPrefix(e.Code, "53"), strings.HasPrefix(e.Code, "57P"),
			e.Code == "25006": // connection, resources, shutdown, a standby after a failover
			return unavailable
		}
		return otherError
	},
}
