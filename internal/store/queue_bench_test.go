package store_test

import (
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

// BenchmarkQueue measures what is measured of other queues: one job queued in a
// transaction by each of 16 callers, how fast many are run that do nothing, and how long
// it takes from the commit to the handler when there is nothing else to do.
func BenchmarkQueue(b *testing.B)         { benchmarkQueue(b, onSQLite) }
func BenchmarkQueuePostgres(b *testing.B) { benchmarkQueue(b, onPostgres) }

func queueOne(b *testing.B, s *store.Store, tenant string) {
	id := uuid.Must(uuid.NewV7()).String()
	err := s.Update(b.Context(), func(tx journey.Tx) error {
		return tx.Enqueue(&proof.Job{ID: id, Tenant: tenant, Kind: "k", Key: id, RunAt: time.Now()})
	})
	if err != nil {
		b.Error(err)
	}
}

// queueMany queues jobs in transactions of 1000.
func queueMany(b *testing.B, s *store.Store, tenant string, n int) {
	for n > 0 {
		err := s.Update(b.Context(), func(tx journey.Tx) error {
			for range min(n, 1000) {
				id := uuid.Must(uuid.NewV7()).String()
				if err := tx.Enqueue(&proof.Job{ID: id, Tenant: tenant, Kind: "k", Key: id, RunAt: time.Now()}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
		n -= 1000
	}
}

func runJobs(b *testing.B, s *store.Store, handler jobs.Handler) (wake func(), stop func()) {
	r := jobs.New(s, jobs.Options{Workers: 64})
	r.Handle("k", handler)
	ctx, cancel := context.WithCancel(b.Context())
	ended := make(chan error)
	go func() { ended <- r.Run(ctx) }()
	return r.Wake, func() {
		cancel()
		if err := <-ended; err != nil {
			b.Error(err)
		}
	}
}

func benchmarkQueue(b *testing.B, on func(*testing.B) *store.Store) {
	b.Run("enqueue", func(b *testing.B) {
		s := on(b)
		const callers = 16
		took := make([][]time.Duration, callers)
		var n atomic.Int64
		var wg sync.WaitGroup
		b.ResetTimer()
		for i := range callers {
			wg.Go(func() {
				for n.Add(1) <= int64(b.N) {
					begin := time.Now()
					queueOne(b, s, "t")
					took[i] = append(took[i], time.Since(begin))
				}
			})
		}
		wg.Wait()
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
		b.ReportMetric(quantile(took, 0.99).Seconds()*1000, "p99-ms")
	})
	b.Run("drain", func(b *testing.B) {
		s := on(b)
		queueMany(b, s, "t", b.N)
		b.ResetTimer()
		var n atomic.Int64
		_, stop := runJobs(b, s, func(context.Context, proof.Job) (time.Time, error) { n.Add(1); return time.Time{}, nil })
		for n.Load() < int64(b.N) {
			time.Sleep(time.Millisecond)
		}
		stop() // that is when all are reported
		b.StopTimer()
		b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "jobs/s")
	})
	for _, behind := range []int{0, 100_000} {
		b.Run(fmt.Sprintf("pickup/noise=%d", behind), func(b *testing.B) {
			s := on(b)
			queueMany(b, s, "noisy", behind)
			ran := make(chan time.Time)
			wake, stop := runJobs(b, s, func(_ context.Context, j proof.Job) (time.Time, error) {
				if j.Tenant == "t" {
					ran <- time.Now()
				} else {
					time.Sleep(time.Second)
				}
				return time.Time{}, nil
			})
			var took []time.Duration
			b.ResetTimer()
			for range b.N {
				queueOne(b, s, "t")
				committed := time.Now()
				wake()
				took = append(took, (<-ran).Sub(committed))
			}
			b.StopTimer()
			stop()
			b.ReportMetric(quantile([][]time.Duration{took}, 0.5).Seconds()*1000, "p50-ms")
			b.ReportMetric(quantile([][]time.Duration{took}, 0.99).Seconds()*1000, "p99-ms")
		})
	}
}
