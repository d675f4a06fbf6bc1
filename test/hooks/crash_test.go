package hooks_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

var (
	manyEvents = flag.Int("events", 2000, "events of the crash test")
	manyKills  = flag.Int("kills", 12, "how often the crash test kills, at least")
	seed       = flag.Uint64("seed", 0, "of the crash test; 0: another one each time")
)

// receiver is who the actions call. It counts calls by kind and key, and honours the keys
// by keeping what was called with each once.
type receiver struct {
	mu    sync.Mutex
	calls map[string]map[string]int // by kind and key
	heard map[string]map[string]int // of notices: by login id, how many different messages
	random
}

func (r *receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	body, err := io.ReadAll(io.LimitReader(req.Body, 1000))
	if err != nil {
		return // it died while it was asking: that is no request
	}
	if r.n(20) == 0 {
		w.WriteHeader(http.StatusTooManyRequests)
		return
	}
	kind, key := strings.TrimPrefix(req.URL.Path, "/"), req.URL.Query().Get("key")
	r.mu.Lock()
	if r.calls[kind] == nil {
		r.calls[kind] = map[string]int{}
	}
	r.calls[kind][key]++
	if kind == "notice" && r.calls[kind][key] == 1 {
		if r.heard[string(body)] == nil {
			r.heard[string(body)] = map[string]int{}
		}
		r.heard[string(body)][key]++
	}
	r.mu.Unlock()
	// The answer takes a moment, so that some die between the effect and hearing of it.
	time.Sleep(time.Duration(r.n(4)) * time.Millisecond)
}

// random is safe for concurrent use.
type random struct {
	mu *sync.Mutex
	r  *rand.Rand
}

func (r random) n(n int) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.r.IntN(n)
}

// process is the child that runs now.
type process struct {
	mu      sync.Mutex
	address string
	cmd     *exec.Cmd
	input   io.Closer
}

func (p *process) at() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.address
}

func (p *process) start(t *testing.T, dir, receiver string) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), envDir+"="+dir, envReceiver+"="+receiver)
	cmd.Stderr = os.Stderr
	input, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	output, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(output).ReadString('\n')
	if err != nil {
		t.Fatalf("the child did not start: %v", err)
	}
	p.mu.Lock()
	p.address, p.cmd, p.input = strings.TrimSpace(line), cmd, input
	p.mu.Unlock()
}

// kill is kill -9.
func (p *process) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return
	}
	_ = p.cmd.Process.Kill()
	_ = p.cmd.Wait()
	_ = p.input.Close()
	p.cmd = nil
}

func login(i int) string { return fmt.Sprintf("user%d@example.org", i) }

var actions = []string{"LoginFailed", "UserCreated", "LoginSucceed"}

// Whenever the process dies: no event that was answered is lost, no effect is doubled at a
// receiver that honours our keys, and what nobody can know about is parked, not repeated.
func TestKilledAtRandom(t *testing.T) {
	if *seed == 0 {
		*seed = uint64(time.Now().UnixNano())
	}
	t.Logf("seed %d", *seed)
	chance := random{&sync.Mutex{}, rand.New(rand.NewPCG(*seed, 1))}
	dir := t.TempDir()
	if err := vault.Create(dir + "/keys"); err != nil {
		t.Fatal(err)
	}
	r := &receiver{calls: map[string]map[string]int{}, heard: map[string]map[string]int{}, random: chance}
	server := httptest.NewServer(r)
	defer server.Close()
	p := &process{}
	p.start(t, dir, server.URL)
	defer p.kill()

	sent := make(chan struct{})
	go func() {
		defer close(sent)
		send(t.Context(), p, chance)
	}()
	kills := 0
	for over := false; !over || kills < *manyKills; kills++ {
		time.Sleep(time.Duration(20+chance.n(230)) * time.Millisecond)
		p.kill()
		p.start(t, dir, server.URL)
		select {
		case <-sent:
			over = true
		default:
		}
	}
	st, err := store.OpenSQLite(t.Context(), dir+"/db")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = st.Close() }()
	settle(t, st, time.Now().Add(time.Minute+time.Duration(*manyEvents)*5*time.Millisecond))
	p.kill()
	t.Logf("%d events, killed %d times", *manyEvents, kills)
	judge(t, st, r)
}

// send tells the events in batches of up to 20, each until it was answered; some again
// after that.
func send(ctx context.Context, p *process, chance random) {
	var senders sync.WaitGroup
	batches := make(chan []hooks.Told)
	for range 4 {
		senders.Go(func() {
			for b := range batches {
				body, err := json.Marshal(b)
				if err != nil {
					panic(err)
				}
				for again := chance.n(5) == 0; ctx.Err() == nil; {
					if !post(ctx, "http://"+p.at()+"/events", body) {
						time.Sleep(10 * time.Millisecond)
						continue
					}
					if !again {
						break
					}
					again = false
				}
			}
		})
	}
	begin := time.Now().Add(-time.Hour).Truncate(time.Millisecond)
	for i := 0; i < *manyEvents; {
		var b []hooks.Told
		for range min(1+chance.n(20), *manyEvents-i) {
			b = append(b, hooks.Told{Action: actions[i%len(actions)], OccurredAt: begin.Add(time.Duration(i) * time.Millisecond), Content: hooks.Content{LoginIDs: []string{login(i)}}})
			i++
		}
		batches <- b
	}
	close(batches)
	senders.Wait()
}

func post(ctx context.Context, url string, body []byte) bool {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return false
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return false
	}
	_ = res.Body.Close()
	return res.StatusCode == http.StatusOK
}

// settle waits until nothing waits any more.
func settle(t *testing.T, st *store.Store, until time.Time) {
	t.Helper()
	for {
		waiting := 0
		if err := st.ViewHooks(t.Context(), func(tx hooks.Tx) error {
			events, err := tx.WaitingEvents(tenant, 1)
			if err != nil {
				return err
			}
			work, err := tx.Works(hooks.WorkQuery{Tenant: tenant, State: hooks.WorkWaiting, Limit: 1})
			waiting = len(events) + len(work)
			return err
		}); err != nil {
			t.Fatal(err)
		}
		if waiting == 0 {
			time.Sleep(3 * time.Second) // for notices: a lease of the last one that died, and a poll
			return
		}
		if time.Now().After(until) {
			t.Fatal("there is still something that waits")
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// judge compares what is stored with what the receiver saw.
func judge(t *testing.T, st *store.Store, r *receiver) {
	t.Helper()
	r.mu.Lock()
	defer r.mu.Unlock()
	stored := map[string]bool{}
	events, parked, called := 0, 0, 0
	var before string
	for {
		var page []*hooks.Event
		works := map[string][]*hooks.Work{}
		if err := st.ViewHooks(t.Context(), func(tx hooks.Tx) (err error) {
			if page, err = tx.Events(hooks.EventQuery{Tenant: tenant, Before: before, Limit: 500}); err != nil {
				return err
			}
			for _, e := range page {
				if works[e.ID], err = tx.Works(hooks.WorkQuery{Tenant: tenant, Event: e.ID, Limit: 10}); err != nil {
					return err
				}
			}
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		if len(page) == 0 {
			break
		}
		before = page[len(page)-1].ID
		for _, e := range page {
			events++
			stored[e.OccurredAt.String()] = true
			list := works[e.ID]
			if e.State != hooks.EventDone || len(list) != 1 {
				t.Fatalf("event %s is %s, with %d actions", e.ID, e.State, len(list))
			}
			if w := list[0]; w.Rule == "unknown" {
				n := r.calls["mail"]["hook:"+e.ID+":unknown:0"]
				called += n
				switch {
				case w.State == hooks.WorkParked && w.Reason == hooks.ReasonOutcomeUnknown && n <= 1:
					parked++
				case w.State != hooks.WorkDone || n != 1:
					t.Errorf("a link of work that is %s (%s) was sent %d times", w.State, w.Reason, n)
				}
			} else if w.State != hooks.WorkDone {
				t.Errorf("the %s action is %s (%s)", w.Rule, w.State, w.Reason)
			}
		}
	}
	if len(stored) != *manyEvents || events != *manyEvents {
		t.Errorf("%d events are stored, %d different ones; %d were answered", events, len(stored), *manyEvents)
	}
	for i := range *manyEvents {
		switch who := login(i); actions[i%len(actions)] {
		case "LoginFailed":
			if r.calls["logout"][who] == 0 {
				t.Errorf("%s was not logged out", who)
			}
		case "LoginSucceed":
			if n := len(r.heard[who]); n != 1 {
				t.Errorf("of %s there were %d messages", who, n)
			}
		}
	}
	total := 0
	for _, n := range r.calls["mail"] {
		total += n
	}
	if total != called {
		t.Errorf("%d links were sent, %d of them for events that are stored", total, called)
	}
	t.Logf("%d links sent, %d actions parked", total, parked)
}
