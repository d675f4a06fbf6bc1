//go:build linux

package main

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"strings"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	_ "modernc.org/sqlite"
)

// openPhase is what many open challenges cost the bridge. Memory is in MB.
type openPhase struct {
	Challenges int     `json:"challenges"`
	Before     float64 `json:"rss_before_mb"`
	Extra      float64 `json:"rss_extra_mb"` // the most at any time since, less before
	Filling    phase   `json:"filling"`
	Callers    held    `json:"callers"`           // callers poll the Result node
	Pages      held    `json:"callers_and_pages"` // and browsers the pages' status
}

// held is a phase in which all challenges are open.
type held struct {
	phase
	PollsWanted float64 `json:"upstream_polls_wanted_per_s"` // one of each every pollEvery
	Polls       float64 `json:"upstream_polls_per_s"`        // runs of the job that asks 1Kosmos
	Renewals    float64 `json:"sessions_opened_per_s"`
	Overdue     float64 `json:"poll_overdue_max_ms"` // the most that a job of them was seen to be late by
}

const (
	openChallenges = 1000
	pollEvery      = 2 * time.Second  // callers, pages and the bridge each
	sessionLife    = 60 * time.Second // of a UWL session; filling takes as long, so that renewals come evenly
	holdFor        = 30 * time.Second
)

// holdOpen opens many challenges in as many browsers, keeps them open and
// nobody answers.
func (o *options) holdOpen(ctx context.Context, log io.Writer, scratch, file string, all people, f *openPhase) error {
	b, err := another(ctx, log, o.program, scratch, file, "open", o.store, roomy)
	if err != nil {
		return err
	}
	defer b.stop()
	if err := firstPage(ctx, b.ready); err != nil {
		return err
	}
	q, err := openQueue(b.store)
	if err != nil {
		return err
	}
	defer q.Close()
	f.Challenges = openChallenges
	before, err := memoryOf(b.pid)
	if err != nil {
		return err
	}
	f.Before = before.RSS

	n := newNodes(b.ready)
	visits := make([]visit, openChallenges)
	open := stream{name: "Step-Up, open the link, load the page", call: func(ctx context.Context, i int) error {
		c, err := n.stepUp(ctx, all.user(i), longest)
		if err == nil {
			visits[i], err = n.openLink(ctx, c)
		}
		return err
	}}
	rate := openChallenges / sessionLife.Seconds()
	if f.Filling, err = o.phase(ctx, fmt.Sprintf("opening %d challenges", openChallenges), b.ready, b.pid, rate, sessionLife, open); err != nil {
		return err
	}
	if e := f.Filling.total(open.name); e.Errors > 0 {
		return fmt.Errorf("%d of %d challenges could not be opened, first: %s", e.Errors, e.Calls, e.FirstError)
	}

	callers := stream{name: "Step-Up Result", call: func(ctx context.Context, i int) error {
		return n.stepUpResult(ctx, judged{ChallengeID: visits[i%len(visits)].challenge, MatchResult: "pending"})
	}}
	pages := stream{name: "page status", call: func(ctx context.Context, i int) error { return n.pageStatus(ctx, visits[i%len(visits)]) }}
	if f.Callers, err = o.hold(ctx, "all open, callers ask", b, q, callers); err != nil {
		return err
	}
	if f.Pages, err = o.hold(ctx, "all open, callers and pages ask", b, q, callers, pages); err != nil {
		return err
	}
	f.Extra = f.Pages.BridgePeak - f.Before
	return nil
}

// hold is a phase in which each stream comes to each challenge every pollEvery.
func (o *options) hold(ctx context.Context, what string, b *bridge, q *queue, streams ...stream) (h held, err error) {
	rate := openChallenges / pollEvery.Seconds()
	h.PollsWanted = rate
	before, err := q.look(ctx)
	if err != nil {
		return h, err
	}
	watching, end := context.WithCancel(ctx)
	defer end()
	most := make(chan time.Duration)
	go func() {
		tick := time.NewTicker(time.Second)
		defer tick.Stop()
		top := time.Duration(0)
		for {
			if s, err := q.look(watching); err == nil { // the looks before and after must go well
				top = max(top, s.overdue)
			}
			select {
			case <-tick.C:
			case <-watching.Done():
				most <- top
				return
			}
		}
	}()
	h.phase, err = o.phase(ctx, what, b.ready, b.pid, rate, holdFor, streams...)
	end()
	h.Overdue = float64((<-most).Microseconds()) / 1000
	if err != nil {
		return h, err
	}
	after, err := q.look(ctx)
	took := after.at.Sub(before.at).Seconds()
	h.Polls, h.Renewals = float64(after.polls-before.polls)/took, float64(after.sessions-before.sessions)/took
	return h, err
}

// queue looks into the store of a bridge. Only there it shows how the jobs keep
// up.
type queue struct{ *sql.DB }

type queueState struct {
	at       time.Time
	polls    int64         // that were begun
	sessions int64         // upstream, ever
	overdue  time.Duration // of the poll that waits longest for a worker
}

func openQueue(store string) (*queue, error) {
	driver, dsn := "pgx", store
	if path, ok := strings.CutPrefix(store, "sqlite:"); ok {
		driver, dsn = "sqlite", "file:"+path+"?_pragma=busy_timeout(5000)&_pragma=query_only(1)"
	}
	db, err := sql.Open(driver, dsn)
	if err != nil {
		return nil, fmt.Errorf("the store of the bridge: %w", err)
	}
	db.SetMaxOpenConns(1)
	return &queue{db}, nil
}

func (q *queue) look(ctx context.Context) (s queueState, err error) {
	var due sql.NullInt64
	s.at = time.Now()
	// fence counts the claims of a job; times are in microseconds.
	if err := q.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(fence), 0) AS BIGINT), MIN(CASE WHEN owner = '' THEN due_at END)
		FROM jobs WHERE kind = 'challenge.poll' AND dead_at = 0`).Scan(&s.polls, &due); err != nil {
		return s, fmt.Errorf("the jobs of the bridge: %w", err)
	}
	if err := q.QueryRowContext(ctx, `SELECT CAST(COALESCE(SUM(sessions), 0) AS BIGINT) FROM challenges`).Scan(&s.sessions); err != nil {
		return s, fmt.Errorf("the challenges of the bridge: %w", err)
	}
	if due.Valid {
		s.overdue = max(s.at.Sub(time.UnixMicro(due.Int64)), 0)
	}
	return s, nil
}
