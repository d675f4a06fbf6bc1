package hooks_test

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

// instant is a Descope that only tells when it was called.
type instant struct {
	*outside
	called chan string
}

func (i *instant) Logout(_ context.Context, login string) error {
	i.called <- login
	return nil
}

func idle(b *testing.B) (*hooks.Service, *instant) {
	b.Helper()
	dir := b.TempDir()
	if err := vault.Create(dir + "/keys"); err != nil {
		b.Fatal(err)
	}
	v, err := vault.Open(dir + "/keys")
	if err != nil {
		b.Fatal(err)
	}
	st, err := store.OpenSQLite(b.Context(), dir+"/db")
	if err != nil {
		b.Fatal(err)
	}
	out := &instant{&outside{vault: v}, make(chan string, 1000)}
	var runner *jobs.Runner
	s, err := hooks.New(hooks.Options{
		Store: st, Vault: v, Journey: out, Outbox: out, Wake: func() { runner.Wake() },
		Tenants: []hooks.Tenant{{ID: tenant, Project: out, Messages: out, Caller: proof.Caller{ID: "hooks"}}},
	})
	if err != nil {
		b.Fatal(err)
	}
	runner = jobs.New(st, jobs.Options{})
	for kind, h := range s.Handlers() {
		runner.Handle(kind, h)
	}
	if _, err := s.Publish(b.Context(), tenant, "test", 0, rules, ""); err != nil {
		b.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan struct{})
	go func() { defer close(ended); _ = runner.Run(ctx) }()
	b.Cleanup(func() { stop(); <-ended; _ = st.Close() })
	return s, out
}

// From the receipt of an event until the first action of its rule begins, with nothing else
// to do: three transactions on disk lie between.
func BenchmarkFirstAction(b *testing.B) {
	s, out := idle(b)
	var took []time.Duration
	for i := 0; b.Loop(); i++ {
		begin := time.Now()
		told := hooks.Told{Action: "LoginFailed", OccurredAt: begin, Content: hooks.Content{LoginIDs: []string{login(i)}}}
		if _, err := s.Accept(b.Context(), tenant, hooks.SourceWebhook, []hooks.Told{told}); err != nil {
			b.Fatal(err)
		}
		<-out.called
		took = append(took, time.Since(begin))
	}
	slices.Sort(took)
	for _, p := range []float64{0.5, 0.99} {
		b.ReportMetric(float64(took[int(p*float64(len(took)-1))].Microseconds())/1000, fmt.Sprintf("ms-p%g", p*100))
	}
}

// Events that lead to nothing, and those that lead to one action each, until all is done.
func BenchmarkDrain(b *testing.B) {
	for _, action := range []string{"UserRefresh", "LoginFailed"} {
		b.Run(action, func(b *testing.B) {
			s, out := idle(b)
			const n = 2000
			for b.Loop() {
				begin := time.Now()
				for i := 0; i < n; i += 20 {
					var told []hooks.Told
					for k := range 20 {
						told = append(told, hooks.Told{Action: action, OccurredAt: begin.Add(time.Duration(i+k) * time.Millisecond), Content: hooks.Content{LoginIDs: []string{login(i + k)}}})
					}
					if _, err := s.Accept(b.Context(), tenant, hooks.SourceWebhook, told); err != nil {
						b.Fatal(err)
					}
				}
				if action == "LoginFailed" {
					for range n {
						<-out.called
					}
				}
			}
			b.ReportMetric(float64(n*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
