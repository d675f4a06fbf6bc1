package store

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/pressly/goose/v3"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	// maxCollisions is how often a transaction is repeated before we give up.
	maxCollisions = 100
	// defaultConns is the size of the pool unless the URL says pool_max_conns. Commits
	// that wait for the disk at the same time go there together, so with more of them
	// more get through; and more serializable transactions collide.
	defaultConns = 18
	// commitTimeout bounds a COMMIT whose caller is gone already.
	commitTimeout = 10 * time.Second
)

// postgresDB is a PostgreSQL server, 15 or later. That a caller who reads finds a
// connection, whoever writes, and a caller at all, however many jobs are due, is
// why not all connections are for everything.
type postgresDB struct {
	pool            *pgxpool.Pool
	writers, nobody chan struct{} // taken by those who write, and for those for whom nobody waits
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
	if !strings.Contains(url, "pool_min_conns") {
		config.MinConns = config.MaxConns // nobody who is in a hurry opens one
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, opening("PostgreSQL", err)
	}
	s := &postgresDB{
		pool:    pool,
		writers: make(chan struct{}, max(1, config.MaxConns*2/3)),
		nobody:  make(chan struct{}, max(1, config.MaxConns/3)),
	}
	if err := s.setUp(ctx); err != nil {
		s.close()
		return nil, opening("PostgreSQL", err)
	}
	return &Store{db: s}, nil
}

func (s *postgresDB) setUp(ctx context.Context) error {
	var durable string
	if err := s.pool.QueryRow(ctx, "SHOW synchronous_commit").Scan(&durable); err != nil {
		return err
	}
	if durable == "off" || durable == "local" {
		return fmt.Errorf("synchronous_commit is %s, so the server would acknowledge what it may lose; set it to on for this role or database", durable)
	}
	db := stdlib.OpenDBFromPool(s.pool)
	defer db.Close()
	return migrate(ctx, db, goose.DialectPostgres, "postgres")
}

// What a transaction begins with.
const (
	beginSerial = "begin isolation level serializable"
	beginRead   = "begin isolation level repeatable read read only"
	// beginQueue is for oneStatement: the two are sent together, and so are a transaction.
	// When it is on disk is not waited for (what jobs.Queue says of that holds, since a
	// commit writes all that was committed before it). And how the rows are found is made
	// out each time, through indexes: a plan that is kept is that of a table which was
	// empty then, and goes through all of it when it is full.
	beginQueue = `SELECT set_config('synchronous_commit', 'off', true), set_config('plan_cache_mode', 'force_custom_plan', true),
		set_config('enable_seqscan', 'off', true), set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true), set_config('jit', 'off', true)`
)

func (s *postgresDB) write(ctx context.Context, iso isolation, fn func(*tx) error) error {
	begin := beginSerial
	if iso == oneStatement {
		begin = beginQueue
	}
	for i := 0; ; i++ {
		err := s.once(ctx, begin, fn)
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
func (s *postgresDB) once(ctx context.Context, begin string, fn func(*tx) error) error {
	p, err := s.begin(ctx, begin, s.writers)
	if err != nil {
		return meaning(&postgresDialect, err)
	}
	defer p.end() // also when fn panics
	t := &tx{ctx: ctx, conn: p, dialect: &postgresDialect}
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
	if err := ctx.Err(); err != nil {
		return fmt.Errorf("store: %w", err)
	}
	if err := p.commit(ctx); err != nil {
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
	p, err := s.begin(ctx, beginRead)
	if err != nil {
		return meaning(&postgresDialect, err)
	}
	defer func() { go p.end() }() // nobody has to wait for that
	t := &tx{ctx: ctx, conn: p, dialect: &postgresDialect, readOnly: true}
	defer t.over()
	if err := fn(t); err != nil {
		return err
	}
	return t.err
}

func (s *postgresDB) ping(ctx context.Context) error {
	if err := s.pool.Ping(ctx); err != nil {
		return meaning(&postgresDialect, err)
	}
	return nil
}

func (s *postgresDB) close() error {
	s.pool.Close()
	return nil
}

// postgresTx is a transaction that goes to the server as seldom as it can: every
// way there and back is a chance to wait, with locks held, for a processor. BEGIN
// goes with the first statement, and what nobody waits for goes with the next
// statement or with COMMIT.
type postgresTx struct {
	turns   []chan struct{} // that were taken
	conn    *pgxpool.Conn
	waiting *pgx.Batch // what has not been sent yet
	opening string     // the first of that, in a transaction
	sent    bool       // whether anything was
}

// begin waits for its turns and a connection.
func (s *postgresDB) begin(ctx context.Context, opening string, turns ...chan struct{}) (_ *postgresTx, err error) {
	p := &postgresTx{opening: opening}
	p.begins()
	defer func() {
		if err != nil {
			p.end()
		}
	}()
	if journey.Unhurried(ctx) {
		turns = append(turns, s.nobody)
	}
	for _, turn := range turns {
		select {
		case turn <- struct{}{}:
			p.turns = append(p.turns, turn)
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if p.conn, err = s.pool.Acquire(ctx); err != nil {
		return nil, err
	}
	return p, nil
}

// begins has a transaction begin with the next statement.
func (p *postgresTx) begins() {
	p.waiting = new(pgx.Batch)
	p.waiting.Queue(p.opening)
}

// send sends what waits and one more statement, the answer to which is for read.
func (p *postgresTx) send(ctx context.Context, query string, args []any, read func(pgx.BatchResults) error) error {
	batch, before := p.waiting, p.waiting.Len()
	p.waiting, p.sent = new(pgx.Batch), true
	if p.opening == beginQueue {
		p.begins() // so does the next one
	}
	batch.Queue(query, args...)
	answers := p.conn.SendBatch(ctx, batch)
	defer answers.Close()
	for range before {
		if _, err := answers.Exec(); err != nil {
			return err
		}
	}
	if err := read(answers); err != nil {
		return err
	}
	return answers.Close()
}

func (p *postgresTx) exec(ctx context.Context, query string, args []any) (n int64, err error) {
	err = p.send(ctx, query, args, func(answers pgx.BatchResults) error {
		tag, err := answers.Exec()
		n = tag.RowsAffected()
		return err
	})
	return n, err
}

func (p *postgresTx) later(_ context.Context, query string, args []any) error {
	p.waiting.Queue(query, args...)
	return nil
}

func (p *postgresTx) query(ctx context.Context, query string, args []any, each func(row) error) error {
	return p.send(ctx, query, args, func(answers pgx.BatchResults) error {
		rows, err := answers.Query()
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
	})
}

// commit does not end with the caller's context: then nobody would know how it
// ended.
func (p *postgresTx) commit(ctx context.Context) error {
	if p.opening == beginQueue || !p.sent && p.waiting.Len() == 1 {
		return nil // every statement was one, or nothing was done
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), commitTimeout)
	defer cancel()
	return p.send(ctx, "commit", nil, func(answers pgx.BatchResults) error {
		tag, err := answers.Exec()
		if err == nil && tag.String() != "COMMIT" { // that of a failed transaction is answered with ROLLBACK
			err = fmt.Errorf("the answer to COMMIT was %q", tag)
		}
		return err
	})
}

// end rolls back what was not committed, and gives the connection back, which the
// pool closes if that failed.
func (p *postgresTx) end() {
	defer func() {
		for _, turn := range p.turns {
			<-turn
		}
	}()
	if p.conn == nil {
		return
	}
	if p.conn.Conn().PgConn().TxStatus() != 'I' {
		ctx, cancel := context.WithTimeout(context.Background(), commitTimeout)
		defer cancel()
		_, _ = p.conn.Exec(ctx, "rollback")
	}
	p.conn.Release()
}

var postgresDialect = dialect{
	firstDue: firstDuePostgres,
	heldBy:   heldByPostgres,
	part:     "pg_backend_pid()",
	kind: func(err error) errKind {
		e, ok := errors.AsType[*pgconn.PgError](err)
		if !ok {
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
