//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

const (
	enqueuers = 16
	picked    = 300
	pickEvery = 20 * time.Millisecond
	workers   = 64 // as serve has them
)

// queue is how one queue of jobs does. The peer prints the same.
type queue struct {
	Store   string  `json:"store"`
	Name    string  `json:"name"`
	Note    string  `json:"note"`
	Enqueue float64 `json:"enqueue_per_s"` // transactions with one job, by 16 callers
	Insert  times   `json:"enqueue"`
	Drain   float64 `json:"drain_per_s"` // jobs that do nothing, until the last is reported
	Pick    times   `json:"pickup"`      // from the commit to the handler, 50 a second
}

func (o *options) jobs(ctx context.Context, kind string, m *measured) error {
	dir, err := os.MkdirTemp("", "kosmoscope-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	river := filepath.Join(dir, "river")
	build := exec.CommandContext(ctx, "go", "build", "-o", river, ".")
	build.Dir = filepath.Join(o.folder, "peers", "river")
	if out, err := build.CombinedOutput(); err != nil {
		return fmt.Errorf("river: %w\n%s", err, out)
	}
	ours, err := o.ours(ctx, kind, dir)
	if err != nil {
		return err
	}
	m.Jobs = append(m.Jobs, ours)
	for _, settings := range []string{"shipped", "quick"} {
		peer, err := o.river(ctx, river, kind, dir, settings)
		if err != nil {
			return fmt.Errorf("river, %s: %w", settings, err)
		}
		m.Jobs = append(m.Jobs, peer)
	}
	return nil
}

func (o *options) river(ctx context.Context, program, kind, dir, settings string) (f queue, err error) {
	dsn, drop, err := emptyStore(ctx, kind, dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	cmd := exec.CommandContext(ctx, program, "--store", dsn, "--settings", settings, "--drain", fmt.Sprint(o.drain),
		"--enqueue", o.enqueueFor().String(), "--clients", fmt.Sprint(enqueuers), "--picked", fmt.Sprint(picked), "--every", pickEvery.String())
	var complaints bytes.Buffer
	cmd.Stderr = &complaints
	out, err := cmd.Output()
	if err != nil {
		return f, fmt.Errorf("%w\n%s", err, complaints.Bytes())
	}
	err = json.Unmarshal(out, &f)
	f.Store = kind
	return f, err
}

// enqueueFor is how long jobs are queued.
func (o *options) enqueueFor() time.Duration { return o.duration / 3 }

// ours is internal/jobs on internal/store, as serve uses them.
func (o *options) ours(ctx context.Context, kind, dir string) (f queue, err error) {
	f = queue{Store: kind, Name: "kosmoscope", Note: fmt.Sprintf("%d workers, as in serve", workers)}
	dsn, drop, err := emptyStore(ctx, kind, dir)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, drop()) }()
	s, err := store.Open(ctx, dsn)
	if err != nil {
		return f, err
	}
	defer func() { err = errors.Join(err, s.Close()) }()
	if f.Enqueue, f.Insert, err = enqueued(o.enqueueFor(), func() error { return queueJobs(ctx, s, 1) }); err != nil {
		return f, err
	}
	// Those are drained, too, and not counted.
	if _, err = drained(ctx, s, 0); err != nil {
		return f, err
	}
	for left := o.drain; left > 0; left -= 1000 {
		if err := queueJobs(ctx, s, min(left, 1000)); err != nil {
			return f, err
		}
	}
	took, err := drained(ctx, s, o.drain)
	if err != nil {
		return f, err
	}
	f.Drain = float64(o.drain) / took.Seconds()
	f.Pick, err = pickup(ctx, s)
	return f, err
}

func queueJobs(ctx context.Context, s *store.Store, n int) error {
	return s.Update(ctx, func(tx journey.Tx) error {
		for range n {
			id, err := uuid.NewV7()
			if err != nil {
				return err
			}
			if err := tx.Enqueue(&proof.Job{ID: id.String(), Tenant: tenant, Kind: "k", Key: id.String(), RunAt: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
}

// enqueued has 16 callers queue one job after the other.
func enqueued(duration time.Duration, one func() error) (perSecond float64, t times, err error) {
	var (
		all  sync.WaitGroup
		mu   sync.Mutex
		n    int
		took = newClock()
		from = time.Now()
	)
	for range enqueuers {
		all.Go(func() {
			for time.Since(from) < duration {
				begin := time.Now()
				e := one()
				d := time.Since(begin)
				mu.Lock()
				if e != nil && err == nil {
					err = e
				}
				n++
				took.add(d)
				mu.Unlock()
				if e != nil {
					return
				}
			}
		})
	}
	all.Wait()
	return float64(n) / time.Since(from).Seconds(), took.times(), err
}

// running runs handler on the queue until stop, which returns when all is reported.
func running(ctx context.Context, s *store.Store, handler func()) (wake func(), stop func() error) {
	r := jobs.New(s, jobs.Options{Workers: workers, Lease: 10 * time.Second})
	r.Handle("k", func(context.Context, proof.Job) (time.Time, error) { handler(); return time.Time{}, nil })
	ctx, cancel := context.WithCancel(ctx)
	ended := make(chan error, 1)
	go func() { ended <- r.Run(ctx) }()
	return r.Wake, func() error { cancel(); return <-ended }
}

// drained runs n jobs, or, if n is 0, all there are.
func drained(ctx context.Context, s *store.Store, n int) (time.Duration, error) {
	var done atomic.Int64
	from := time.Now()
	_, stop := running(ctx, s, func() { done.Add(1) })
	for last, since := int64(0), from; ctx.Err() == nil; time.Sleep(time.Millisecond) {
		now := done.Load()
		if now != last {
			last, since = now, time.Now()
		}
		if n > 0 && now >= int64(n) || n == 0 && time.Since(since) > 2*time.Second {
			break
		}
	}
	err := stop()
	if n > 0 && done.Load() != int64(n) {
		err = errors.Join(err, fmt.Errorf("%d jobs ran of %d", done.Load(), n))
	}
	return time.Since(from), errors.Join(err, ctx.Err())
}

func pickup(ctx context.Context, s *store.Store) (t times, err error) {
	began := make(chan time.Time, 1)
	wake, stop := running(ctx, s, func() { began <- time.Now() })
	defer func() { err = errors.Join(err, stop()) }()
	took := newClock()
	next := time.Now().Add(time.Second)
	for range picked {
		time.Sleep(time.Until(next))
		next = next.Add(pickEvery)
		if err := queueJobs(ctx, s, 1); err != nil {
			return t, err
		}
		committed := time.Now()
		wake()
		select {
		case at := <-began:
			took.add(at.Sub(committed))
		case <-ctx.Done():
			return t, ctx.Err()
		}
	}
	return took.times(), nil
}
