package store_test

import (
	"crypto/sha256"
	"fmt"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

// BenchmarkInsertEvents measures durable receipt: 64 callers with 20 events each call,
// two persons in each event, and the job that is to evaluate them.
func BenchmarkInsertEvents(b *testing.B)         { benchmarkEvents(b, onSQLite(b)) }
func BenchmarkInsertEventsPostgres(b *testing.B) { benchmarkEvents(b, onPostgres(b)) }

func benchmarkEvents(b *testing.B, s *store.Store) {
	const callers, each = 64, 20
	b.ResetTimer()
	var n atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	var wg sync.WaitGroup
	for range callers {
		wg.Go(func() {
			for n.Add(1) <= int64(b.N) {
				begin := time.Now()
				events := make([]*hooks.Event, each)
				for i := range events {
					id := uuid.Must(uuid.NewV7()).String()
					hash, who := sha256.Sum256([]byte(id)), sha256.Sum256([]byte(id[30:]))
					events[i] = &hooks.Event{
						ID: id, Tenant: "t", Hash: hash[:], Source: hooks.SourceWebhook, Action: "LoginSucceed", OccurredAt: begin, ReceivedAt: begin,
						Lookups: [][]byte{who[:]}, Sealed: make([]byte, 400),
					}
				}
				err := s.UpdateHooks(b.Context(), func(tx hooks.Tx) error {
					if _, err := tx.InsertEvents("t", events); err != nil {
						return err
					}
					return tx.Enqueue(&proof.Job{ID: uuid.Must(uuid.NewV7()).String(), Tenant: "t", Kind: hooks.JobPump, RunAt: begin})
				})
				if err != nil {
					b.Error(err)
					return
				}
				mu.Lock()
				took = append(took, time.Since(begin))
				mu.Unlock()
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	slices.Sort(took)
	for _, p := range []int{50, 99} {
		b.ReportMetric(float64(took[(len(took)-1)*p/100].Microseconds())/1000, fmt.Sprintf("ms/p%d", p))
	}
	b.ReportMetric(float64(each*len(took))/b.Elapsed().Seconds(), "events/s")
}
