package hooks_test

import (
	"flag"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

var noisy = flag.Int("noisy", 20_000, "events of the noisy tenant")

// One tenant tells events as fast as it can, and of each twenty one leads to a message. What
// another tells meanwhile is not behind that: its message is there while most of the noise
// is still to be done. Nothing of the noise is lost.
func TestNoisyTenant(t *testing.T) {
	const loud, quiet, each, heard = "loud", "quiet", 100, "LoginFailed"
	l, q := listen(t), listen(t)
	b := newBridge(t, t.TempDir(), "", map[string]string{loud: "", quiet: ""})
	for id, to := range map[string]*listener{loud: l, quiet: q} {
		b.publish(id, notice(heard))
		b.endpoint(id, to.url)
	}
	total := *noisy / each * each
	var accepted atomic.Int64
	var senders sync.WaitGroup
	batches := make(chan int)
	for range 4 {
		senders.Go(func() {
			for from := range batches {
				action := "UserRefresh"
				if from/each%20 == 0 {
					action = heard
				}
				until(t, "the noise is accepted", func() bool {
					return b.tell(t.Context(), loud, batch(action, from, each)).status == http.StatusOK
				})
				accepted.Add(each)
			}
		})
	}
	go func() {
		defer close(batches)
		for from := 0; from < total; from += each {
			select {
			case batches <- from:
			case <-t.Context().Done():
				return
			}
		}
	}()
	messages := 0
	for from := 0; from < total; from += 20 * each {
		messages += each
	}
	long := patience + time.Duration(total)*2*time.Millisecond
	const times = 5
	var longest time.Duration
	for i := range times {
		// The last one when all of the noise is told: what is left of it is only work.
		within(t, long, "there is noise", func() bool { return accepted.Load() >= int64(total*(i+1)/times) })
		begun := time.Now()
		b.accepted(quiet, batch(heard, i, 1))
		until(t, "the quiet tenant's message is there", func() bool { return q.people() > i })
		took := time.Since(begun)
		longest = max(longest, took)
		t.Logf("%v after the event; of the noise %d events were told, %d of %d messages sent", took, accepted.Load(), l.people(), messages)
		if l.people() == messages {
			t.Error("the quiet tenant had to wait until all the noise was over")
		}
	}
	senders.Wait()
	within(t, long, "all is done", func() bool { return l.people() >= messages && b.waiting(loud)+b.waiting(quiet) == 0 })
	if n := b.number("SELECT COUNT(*) FROM hooks_events WHERE tenant = 'loud' AND state = '" + string(hooks.EventDone) + "'"); n != total {
		t.Errorf("%d events of the noise are stored, %d were accepted", n, total)
	}
	q.once(t, 0, times)
	if l.people() != messages {
		t.Errorf("of the noise there were messages of %d people, want %d", l.people(), messages)
	}
	t.Logf("the quiet tenant waited %v at most", longest)
}
