package hooks_test

import (
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// everything is a rule with each kind of action that needs Descope, and one that needs
// nobody but an endpoint.
func everything(on string) hooks.Rule {
	return hooks.Rule{ID: "all", Name: "All", On: []string{on}, Do: []hooks.Action{
		{Do: hooks.RevokeSessions}, {Do: hooks.WriteAttributes, Attributes: map[string]string{"seen": `"yes"`}},
		{Do: hooks.WriteAudit, Type: entry}, {Do: hooks.Notify},
	}}
}

// entry is the action of what is written into the trail.
const entry = "KosmoscopeTest"

// gate is what is between the bridge and Descope: it notes requests, and may spoil them.
type gate struct {
	next http.Handler

	mu    sync.Mutex
	spoil func(n int, w http.ResponseWriter, r *http.Request) (spoilt bool) // of the nth request
	seen  []request
}

type request struct {
	path   string
	at     time.Time
	spoilt bool
}

func (g *gate) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	g.mu.Lock()
	n, spoil := len(g.seen), g.spoil
	g.seen = append(g.seen, request{path: r.URL.Path, at: time.Now()})
	g.mu.Unlock()
	if spoil != nil && spoil(n, w, r) {
		g.mu.Lock()
		g.seen[n].spoilt = true
		g.mu.Unlock()
		return
	}
	g.next.ServeHTTP(w, r)
}

func (g *gate) set(spoil func(int, http.ResponseWriter, *http.Request) bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.spoil = spoil
}

func (g *gate) requests() []request {
	g.mu.Lock()
	defer g.mu.Unlock()
	return append([]request(nil), g.seen...)
}

// spoilt is how many requests were.
func (g *gate) spoilt() (n int) {
	for _, r := range g.requests() {
		if r.spoilt {
			n++
		}
	}
	return n
}

func says(status int, headers ...string) func(int, http.ResponseWriter, *http.Request) bool {
	return func(_ int, w http.ResponseWriter, _ *http.Request) bool {
		for i := 0; i < len(headers); i += 2 {
			w.Header().Set(headers[i], headers[i+1])
		}
		w.WriteHeader(status)
		return true
	}
}

// hangs answers nothing until who asked has gone.
func hangs(_ int, _ http.ResponseWriter, r *http.Request) bool {
	_, _ = io.Copy(io.Discard, r.Body) // or the server would not notice
	<-r.Context().Done()
	return true
}

// Descope is away for an hour, in every way there is. Events are taken at once as ever,
// what needs nobody but an endpoint is done at once, and what needs Descope waits. It is
// not asked all the time, and once it is back all is done, and in its trail once.
func TestDescopeIsAwayForAnHour(t *testing.T) {
	t.Parallel()
	for name, away := range map[string]struct {
		spoil func(int, http.ResponseWriter, *http.Request) bool // nil: nobody listens
		most  int                                                // requests within the hour
	}{
		"nobody listens": {nil, 500},
		"it hangs":       {hangs, 500},
		"503":            {says(503), 500},
		"429":            {says(429, "Retry-After", "90"), 500},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const people, every = 30, 2 * time.Minute
				g := newGraph(t, people+2, everything("LoginFailed"))
				d := &gate{next: g.descope}
				down := g.network.serve(descopeAt, d)
				g.tell("LoginFailed", 0, 1)
				time.Sleep(time.Minute)
				if n := len(g.works(hooks.WorkDone, "")); n != 4 {
					t.Fatalf("%d actions are done while all is well: %v", n, d.requests())
				}

				asks := func() int { return len(d.requests()) + g.network.refusals() }
				before := asks()
				if away.spoil == nil {
					down()
				} else {
					d.set(away.spoil)
				}
				for i := range people {
					g.tell("LoginFailed", 1+i, 1)
					time.Sleep(every)
					if n := g.heard.people(); n != 2+i {
						t.Fatalf("after event %d there were messages of %d people, want %d", i, n, 2+i)
					}
				}
				asked := asks() - before
				if asked > away.most {
					t.Errorf("Descope was asked %d times within the hour", asked)
				}
				if n := len(g.works(hooks.WorkWaiting, "")); n != 3*people {
					t.Errorf("%d actions wait, want %d", n, 3*people)
				}
				back := time.Now()
				if away.spoil == nil {
					down = g.network.serve(descopeAt, d)
				}
				defer func() { down() }()
				d.set(nil)
				g.tell("LoginFailed", 1+people, 1)
				g.settled(people+2, 2*time.Hour)
				t.Logf("asked %d times; all was done %v after it was over", asked, time.Since(back))
				g.end()
			})
		})
	}
}

// settled waits, but not longer than the given time, until all that everything does is
// done for so many people, and fails the test unless each entry of the trail and each
// message is there once.
func (g *graph) settled(people int, within time.Duration) {
	g.t.Helper()
	g.settledBeside(people, within, 0)
}

// settledBeside is settled where there is some other work, too.
func (g *graph) settledBeside(people int, within time.Duration, more int) {
	g.t.Helper()
	want := 4*people + more
	for end := time.Now().Add(within); (len(g.works(hooks.WorkDone, "")) < want || g.heard.people() < people) && time.Now().Before(end); {
		time.Sleep(time.Minute)
	}
	if done := g.works(hooks.WorkDone, ""); len(done) != want {
		others := map[string]int{}
		for _, s := range []hooks.WorkState{hooks.WorkWaiting, hooks.WorkFailed, hooks.WorkSkipped, hooks.WorkParked} {
			for _, w := range g.works(s, "") {
				others[w.Kind+" "+string(s)+" "+string(w.Reason)]++
			}
		}
		g.t.Errorf("%d actions are done, want %d; of the others %v", len(done), want, others)
	}
	entries := g.trail(entry)
	for work, n := range entries {
		if n != 1 {
			g.t.Errorf("an entry is in the trail %d times (%s)", n, work)
		}
	}
	if len(entries) != people {
		g.t.Errorf("%d entries are in the trail, want %d", len(entries), people)
	}
	bare := 0
	for i := range people {
		if u, err := g.accounts.User(g.t.Context(), login(i)); err != nil || u.CustomAttributes["seen"] != "yes" {
			bare++
		}
	}
	if bare > 0 {
		g.t.Errorf("of %d people the attribute is not written", bare)
	}
	synctest.Wait()
	g.heard.once(g.t, 0, people)
}

// Every few calls Descope answers that there were too many, or an error, of which some
// come after it was done all the same, or breaks the connection. All is done, and entries
// of the trail are there once. A Retry-After is kept to.
func TestDescopeStumbles(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const people, wait = 60, 7 * time.Second
		g := newGraph(t, people, everything("LoginFailed"))
		d := &gate{next: g.descope}
		defer g.network.serve(descopeAt, d)()
		discarded := func(r *http.Request) { g.descope.ServeHTTP(new(nobody), r) }
		d.set(func(n int, w http.ResponseWriter, r *http.Request) bool {
			switch {
			case n%5 == 1:
				return says(429, "Retry-After", strconv.Itoa(int(wait/time.Second)))(n, w, r)
			case n%11 == 2:
				return says(503)(n, w, r)
			case n%13 == 3: // it was done, and who asked hears something else
				discarded(r)
				return says(502)(n, w, r)
			case n%17 == 4:
				discarded(r)
				panic(http.ErrAbortHandler)
			}
			return false
		})
		begun := time.Now()
		for from := 0; from < people; from += 20 {
			g.tell("LoginFailed", from, 20)
		}
		g.settled(people, 12*time.Hour)
		t.Logf("all was done after %v and %d requests", time.Since(begun), len(d.requests()))
		// Calls are counted apart: of users, searches, others.
		kind := func(path string) string {
			switch {
			case strings.HasSuffix(path, "/audit/search"):
				return "searches"
			case strings.HasPrefix(path, "/v1/mgmt/user"):
				return "users"
			}
			return "others"
		}
		told := map[string]time.Time{}
		for i, r := range d.requests() {
			k := kind(r.path)
			// Of the same instant are those that were under way.
			if since := r.at.Sub(told[k]); since > 0 && since < wait {
				t.Errorf("request %d (%s) came %v after a Retry-After of %v", i, r.path, since, wait)
			}
			if r.spoilt && i%5 == 1 {
				told[k] = r.at
			}
		}
		g.end()
	})
}

// nobody is who hears nothing of an answer.
type nobody struct{ header http.Header }

func (n *nobody) Header() http.Header {
	if n.header == nil {
		n.header = http.Header{}
	}
	return n.header
}
func (n *nobody) Write(b []byte) (int, error) { return len(b), nil }
func (n *nobody) WriteHeader(int)             {}
