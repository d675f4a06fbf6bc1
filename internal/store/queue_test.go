package store_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"

	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
)

// While PostgreSQL takes the table of jobs for an empty one, as it does until it has looked
// at it again, a job is found through the index that was made for that all the same, and a
// claim changes no index.
func TestQueueThroughIndexes(t *testing.T) {
	t.Parallel()
	const n, bite = 3000, 100
	url := pgtest.URL(t)
	s, err := store.Open(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	now := time.Now()
	// The plans are made now.
	run := func(n int) {
		t.Helper()
		err := s.Update(t.Context(), func(tx journey.Tx) error {
			for range n {
				id := uuid.Must(uuid.NewV7()).String()
				if err := tx.Enqueue(&proof.Job{ID: id, Tenant: "t", Kind: "k", Key: id, RunAt: now}); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			t.Fatal(err)
		}
		for i := 0; n > 0; i++ {
			cs, err := s.Claim(t.Context(), fmt.Sprint("worker", i), now, bite, time.Minute, jobs.Held{Tenant: "t", Room: bite})
			if err != nil || len(cs) == 0 {
				t.Fatalf("%d jobs were left: %v", n, err)
			}
			n -= len(cs)
			if err := s.Extend(t.Context(), cs[0], now.Add(time.Hour)); err != nil {
				t.Error(err)
			}
			if err := s.Finish(t.Context(), cs[0]); err != nil {
				t.Error(err)
			}
			if lost, err := s.FinishAll(t.Context(), cs[1:]); err != nil || len(lost) > 0 {
				t.Errorf("%d lost: %v", len(lost), err)
			}
		}
	}
	run(1)
	run(n)
	if err := s.Close(); err != nil {
		t.Error(err)
	}

	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(t.Context())
	var claimed, inPlace, gone, all, due int
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for gone < n+1 { // the server counts when a connection ends
		<-look.C
		err := conn.QueryRow(t.Context(), `SELECT n_tup_upd, n_tup_hot_upd, n_tup_del, seq_tup_read,
			(SELECT idx_tup_read FROM pg_stat_user_indexes WHERE indexrelname = 'jobs_due') FROM pg_stat_user_tables WHERE relname = 'jobs'`).
			Scan(&claimed, &inPlace, &gone, &all, &due)
		if err != nil {
			t.Fatal(err)
		}
	}
	if claimed < n || inPlace < claimed*9/10 { // a page may be full all the same
		t.Errorf("of %d updates %d were in place", claimed, inPlace)
	}
	if all > n || due > 10*n {
		t.Errorf("%d rows were read one after the other and %d in the order of their time, for %d jobs", all, due, n)
	}
}
