package in_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// lookups is a journey that only finds people.
type lookups struct {
	hooks.Journey
	of in.Hasher
}

func (l lookups) Lookup(tenant, identifier string) []byte {
	return l.of.MAC(tenant, "subject", identifier)
}

type noOutbox struct{}

func (noOutbox) Prepare(context.Context, deliveries.Draft) (*deliveries.Message, *proof.Job, error) {
	return nil, nil, io.EOF
}

// storing makes the door one with a service behind it that stores what is told.
func storing(t testing.TB) *stage {
	var service *hooks.Service
	s := newStage(t, func(o *in.Options) {
		var err error
		service, err = hooks.New(hooks.Options{
			Store: o.Store, Vault: o.Hasher.(journey.Vault), Journey: lookups{of: o.Hasher}, Outbox: noOutbox{}, Now: time.Now,
			Tenants: []hooks.Tenant{{ID: "acme"}},
		})
		if err != nil {
			t.Fatal(err)
		}
		o.Events, o.Logger = service, nil
	})
	s.service = service
	return s
}

// batch is a request with n events that no other has.
func batch(number int64, n int) []byte {
	var b bytes.Buffer
	b.WriteByte('[')
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"action":"LoginSucceed","actorId":"U%[1]d-%[2]d","userId":"U%[1]d-%[2]d","projectId":"P2x","occurred":1767225600123,"occurred_formatted":"2026-01-01T00:00:00.123Z","device":"Desktop","method":"otp","geo":"US","remoteAddress":"203.0.113.7","loginIds":["u%[1]d-%[2]d@example.com"],"tenants":null,"data":{"count":1}}`, number, i)
	}
	b.WriteByte(']')
	return b.Bytes()
}

// BenchmarkEvents sends requests of 20 events over 64 connections as fast as they are
// answered, to a server that stores them durably.
func BenchmarkEvents(b *testing.B) {
	s := storing(b)
	server := httptest.NewServer(s.door)
	defer server.Close()
	client := &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64, MaxConnsPerHost: 64}}
	const each = 20
	var number atomic.Int64
	var mu sync.Mutex
	var took []time.Duration
	b.ResetTimer()
	var wg sync.WaitGroup
	for range 64 {
		wg.Go(func() {
			for {
				n := number.Add(1)
				if n > int64(b.N) {
					return
				}
				r, _ := http.NewRequestWithContext(b.Context(), "POST", server.URL+in.EventsPath, bytes.NewReader(batch(n, each)))
				r.Header.Set("Authorization", "Bearer "+bearer)
				begin := time.Now()
				w, err := client.Do(r)
				if err != nil {
					b.Error(err)
					return
				}
				body, _ := io.ReadAll(w.Body)
				_ = w.Body.Close()
				if !strings.Contains(string(body), `"new":20`) {
					b.Errorf("%d %s", w.StatusCode, body)
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
	b.ReportMetric(float64(b.N*each)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, "p99-ms")
}
