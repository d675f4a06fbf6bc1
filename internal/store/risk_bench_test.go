package store_test

import (
	"bytes"
	"errors"
	"fmt"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/store"
)

// BenchmarkLogin measures durable logins (the subject is read, the decision stored, and
// three attempts counted) by so many concurrent callers.
func BenchmarkLogin(b *testing.B)         { benchmark(b, onSQLite, login) }
func BenchmarkLoginPostgres(b *testing.B) { benchmark(b, onPostgres, login) }

func login(b *testing.B, s *store.Store) func(journey.Tx) error {
	people := subjects(b, s, 500)
	var n atomic.Int64
	return func(tx journey.Tx) error {
		i := int(n.Add(1))
		d := newDecision(people[i%len(people)], time.Now())
		if _, err := tx.Subject("t", d.Subject); err != nil {
			return err
		}
		err := tx.(decide.Tx).InsertDecision(d)
		for _, key := range []string{d.Subject, "device" + d.Subject, fmt.Sprint("network", i%50)} {
			err = errors.Join(err, tx.Hit("t", "attempts", []byte(key), d.At))
		}
		return err
	}
}

func subjects(b *testing.B, s *store.Store, n int) (ids []string) {
	err := s.Update(b.Context(), func(tx journey.Tx) error {
		ids = nil
		for range n {
			id := uuid.Must(uuid.NewV7()).String()
			ids = append(ids, id)
			if err := tx.InsertSubject(&proof.Subject{ID: id, Tenant: "t", WrappedKey: bytes.Repeat([]byte("k"), 65), CreatedAt: time.Now()}); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		b.Fatal(err)
	}
	return ids
}

func newDecision(subject string, at time.Time) *decide.Decision {
	score := 42.5
	return &decide.Decision{
		Tenant: "t", ID: uuid.Must(uuid.NewV7()).String(), Subject: subject, Caller: "c", At: at, Application: "shop", PolicyVersion: 3,
		Verdict: risk.StepUp, Score: &score, Reasons: []risk.Reason{"new_device", "geo_anomaly"}, Sealed: bytes.Repeat([]byte("s"), 1000),
	}
}

// BenchmarkRecordedLogins measures how fast recorded logins stream, of 100,000.
func BenchmarkRecordedLogins(b *testing.B)         { benchmarkRecorded(b, onSQLite) }
func BenchmarkRecordedLoginsPostgres(b *testing.B) { benchmarkRecorded(b, onPostgres) }

func benchmarkRecorded(b *testing.B, on func(*testing.B) *store.Store) {
	s := on(b)
	people := subjects(b, s, 5000)
	const logins = 100_000
	begin := time.Now().Add(-time.Hour)
	for i := 0; i < logins; i += 5000 {
		err := s.UpdateRisk(b.Context(), func(tx decide.Tx) error {
			for k := i; k < i+5000; k++ {
				if err := tx.InsertDecision(newDecision(people[k*7919%len(people)], begin.Add(time.Duration(k)*time.Millisecond))); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	for b.Loop() {
		n := 0
		err := s.RecordedLogins(b.Context(), "t", "", begin, time.Time{}, func(batch []decide.Recorded) error { n += len(batch); return nil })
		if err != nil || n != logins {
			b.Fatal(n, err)
		}
	}
	b.ReportMetric(logins*float64(b.N)/b.Elapsed().Seconds(), "rows/s")
}
