package storetest

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// testRunner lets two real runners on two handles work the queue through every
// way in which a job can end.
func testRunner(t *testing.T, o Opener) {
	stores := []Store{open(t, o), open(t, o)}
	temporary := &proof.Error{Code: proof.CodeUpstream, Temporary: true}
	var mu sync.Mutex
	runs := map[string]int{}
	over := make(chan string, 100)
	handler := func(_ context.Context, j proof.Job) (time.Time, error) {
		mu.Lock()
		runs[j.Key]++
		n := runs[j.Key]
		mu.Unlock()
		switch {
		case j.Key == "again" && n < 3:
			return time.Now(), nil
		case j.Key == "temporary" && n < 6:
			return time.Time{}, temporary
		case j.Key == "panics" && n < 2:
			panic("once")
		case j.Key == "hopeless":
			return time.Time{}, errors.New("no")
		}
		over <- j.Key
		return time.Time{}, nil
	}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	var runners []*jobs.Runner
	for _, s := range stores {
		r := jobs.New(s, jobs.Options{
			Workers: 4, Poll: 5 * time.Millisecond, Backoff: time.Millisecond, MaxBackoff: 2 * time.Millisecond, MaxFailures: 4,
			OnDead: func(_ context.Context, j proof.Job, _ error) error { over <- j.Key; return nil },
		})
		r.Handle("poll", handler)
		runners = append(runners, r)
		wg.Go(func() {
			if err := r.Run(ctx); err != nil {
				t.Error(err)
			}
		})
	}
	var want []string
	update(t, stores[0], func(tx journey.Tx) error {
		want = []string{"a", "b", "c", "again", "temporary", "panics", "hopeless"}
		for _, k := range want {
			if err := tx.Enqueue(job(k, time.Now())); err != nil {
				return err
			}
		}
		return nil
	})
	for _, r := range runners {
		r.Wake()
	}
	for range want {
		<-over
	}
	cancel()
	wg.Wait()
	equal(t, "runs", runs, map[string]int{"a": 1, "b": 1, "c": 1, "again": 3, "temporary": 6, "panics": 2, "hopeless": 4})
	equal(t, "left", len(claim(t, stores[0], "x", time.Now().Add(1000*time.Hour), 10)), 0)
}
