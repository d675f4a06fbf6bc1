// Command river measures River's jobs as bench/hooks measures ours: one job queued in a
// transaction by each of some callers, how fast many are run that do nothing, and how long
// it takes from the commit to the worker at a steady pace. It prints JSON.
package main

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"log/slog"
	"net/url"
	"os"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/riverqueue/river"
	"github.com/riverqueue/river/riverdriver"
	"github.com/riverqueue/river/riverdriver/riverpgxv5"
	"github.com/riverqueue/river/riverdriver/riversqlite"
	"github.com/riverqueue/river/rivermigrate"
	_ "modernc.org/sqlite"
)

type options struct {
	settings string
	enqueue  time.Duration
	clients  int
	drain    int
	picked   int
	every    time.Duration
}

type times struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

type figures struct {
	Name    string  `json:"name"`
	Note    string  `json:"note"`
	Enqueue float64 `json:"enqueue_per_s"`
	Insert  times   `json:"enqueue"`
	Drain   float64 `json:"drain_per_s"`
	Pick    times   `json:"pickup"`
}

type args struct{}

func (args) Kind() string { return "nothing" }

type worker struct {
	river.WorkerDefaults[args]
	do func()
}

func (w *worker) Work(context.Context, *river.Job[args]) error { w.do(); return nil }

func main() {
	var o options
	var store string
	flag.StringVar(&store, "store", "", "sqlite:PATH or the `URL` of an empty PostgreSQL database")
	flag.StringVar(&o.settings, "settings", "shipped", "shipped, or quick: near what River's own benchmark sets")
	flag.DurationVar(&o.enqueue, "enqueue", 5*time.Second, "how long jobs are queued")
	flag.IntVar(&o.clients, "clients", 16, "by how many callers")
	flag.IntVar(&o.drain, "drain", 20_000, "how many jobs are drained")
	flag.IntVar(&o.picked, "picked", 300, "how many jobs are picked up")
	flag.DurationVar(&o.every, "every", 20*time.Millisecond, "at which pace")
	flag.Parse()
	if err := o.run(context.Background(), store); err != nil {
		fmt.Fprintln(os.Stderr, "river:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, store string) error {
	var f figures
	if file, ok := strings.CutPrefix(store, "sqlite:"); ok {
		// As durable as ours, and one connection, as River advises for SQLite.
		db, err := sql.Open("sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(FULL)&_txlock=immediate")
		if err != nil {
			return err
		}
		defer db.Close()
		db.SetMaxOpenConns(1)
		begin := func(ctx context.Context) (*sql.Tx, func(context.Context) error, error) {
			tx, err := db.BeginTx(ctx, nil)
			if err != nil {
				return nil, nil, err
			}
			return tx, func(context.Context) error { return tx.Commit() }, nil
		}
		f, err = measure(ctx, o, riversqlite.New(db), begin, true)
		if err != nil {
			return err
		}
	} else {
		config, err := pgxpool.ParseConfig(store)
		if err != nil {
			return err
		}
		config.MaxConns = 20 // one for each caller; ours has twelve
		pool, err := pgxpool.NewWithConfig(ctx, config)
		if err != nil {
			return err
		}
		defer pool.Close()
		begin := func(ctx context.Context) (pgx.Tx, func(context.Context) error, error) {
			tx, err := pool.Begin(ctx)
			if err != nil {
				return nil, nil, err
			}
			return tx, tx.Commit, nil
		}
		if f, err = measure(ctx, o, riverpgxv5.New(pool), begin, false); err != nil {
			return err
		}
	}
	return json.NewEncoder(os.Stdout).Encode(f)
}

// config is River's. Told is what the settings are.
func (o *options) config(do func()) (c *river.Config, told string) {
	workers := river.NewWorkers()
	river.AddWorker(workers, &worker{do: do})
	c = &river.Config{Workers: workers, Logger: slog.New(slog.NewTextHandler(os.Stderr, &slog.HandlerOptions{Level: slog.LevelWarn}))}
	most := 64 // as many as ours has
	told = "64 workers, else as shipped"
	if o.settings == "quick" {
		most = 2000
		c.FetchCooldown, c.FetchPollInterval = 2*time.Millisecond, 5*time.Millisecond
		told = "2000 workers, looks every 2 to 5 ms"
	}
	c.Queues = map[string]river.QueueConfig{river.QueueDefault: {MaxWorkers: most}}
	return c, told
}

func measure[T any](ctx context.Context, o *options, driver riverdriver.Driver[T], begin func(context.Context) (T, func(context.Context) error, error), direct bool) (f figures, err error) {
	migrator, err := rivermigrate.New(driver, nil)
	if err != nil {
		return f, err
	}
	if _, err := migrator.Migrate(ctx, rivermigrate.DirectionUp, nil); err != nil {
		return f, err
	}
	client := func(do func()) (*river.Client[T], error) {
		c, told := o.config(do)
		f.Name, f.Note = "River 0.51.1", told
		return river.NewClient(driver, c)
	}
	insert := func(c *river.Client[T]) error {
		tx, commit, err := begin(ctx)
		if err != nil {
			return err
		}
		if _, err := c.InsertTx(ctx, tx, args{}, nil); err != nil {
			return err
		}
		return commit(ctx)
	}
	// Queued by somebody who does not work, as in ours.
	idle, err := client(func() {})
	if err != nil {
		return f, err
	}
	if f.Enqueue, f.Insert, err = o.enqueued(func() error { return insert(idle) }); err != nil {
		return f, fmt.Errorf("enqueue: %w", err)
	}
	// What was queued goes, so that no more than what is counted is drained.
	for more := true; more; {
		gone, err := idle.JobDeleteMany(ctx, river.NewJobDeleteManyParams().Kinds(args{}.Kind()).First(10_000))
		if err != nil {
			return f, err
		}
		more = len(gone.Jobs) == 10_000
	}
	for left := o.drain; left > 0; left -= 1000 {
		many := make([]river.InsertManyParams, min(left, 1000))
		for i := range many {
			many[i].Args = args{}
		}
		if _, err := idle.InsertManyFast(ctx, many); err != nil {
			return f, fmt.Errorf("insert many: %w", err)
		}
	}
	var done atomic.Int64
	working, err := client(func() { done.Add(1) })
	if err != nil {
		return f, err
	}
	from := time.Now()
	if err := working.Start(ctx); err != nil {
		return f, err
	}
	for done.Load() < int64(o.drain) {
		time.Sleep(time.Millisecond)
		if time.Since(from) > 5*time.Minute {
			return f, errors.New("draining takes more than five minutes")
		}
	}
	if err := working.Stop(ctx); err != nil { // when all are reported
		return f, err
	}
	f.Drain = float64(o.drain) / time.Since(from).Seconds()

	began := make(chan time.Time, 1)
	if working, err = client(func() { began <- time.Now() }); err != nil {
		return f, err
	}
	if err := working.Start(ctx); err != nil {
		return f, err
	}
	var took []time.Duration
	next := time.Now().Add(3 * time.Second) // it has elected its leader, and listens
	for range o.picked {
		time.Sleep(time.Until(next))
		next = next.Add(o.every)
		// On SQLite River hears of a job that is not queued in the caller's transaction
		// only: the others wait until it looks.
		if direct {
			_, err = working.Insert(ctx, args{}, nil)
		} else {
			err = insert(working)
		}
		if err != nil {
			return f, fmt.Errorf("pick-up: %w", err)
		}
		committed := time.Now()
		took = append(took, max((<-began).Sub(committed), 0))
	}
	f.Pick = quantiles(took)
	return f, working.Stop(ctx)
}

func (o *options) enqueued(one func() error) (perSecond float64, t times, err error) {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		took []time.Duration
		from = time.Now()
	)
	for range o.clients {
		all.Go(func() {
			for time.Since(from) < o.enqueue {
				begin := time.Now()
				e := one()
				d := time.Since(begin)
				mu.Lock()
				if e != nil && err == nil {
					err = e
				}
				took = append(took, d)
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return float64(len(took)) / time.Since(from).Seconds(), quantiles(took), err
}

func quantiles(took []time.Duration) times {
	slices.Sort(took)
	ms := func(q float64) float64 { return float64(took[int(q*float64(len(took)-1))].Microseconds()) / 1000 }
	return times{ms(0.5), ms(0.99), ms(1)}
}
