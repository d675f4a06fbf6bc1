package hooks_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
	"github.com/kosmoscope/kosmoscope/internal/upstream"
	"github.com/kosmoscope/kosmoscope/test/program"
)

const licence = "licence-of-the-tests-of-hooks"

// localKosmos is the local 1Kosmos, and what is between it and the bridge.
type localKosmos struct {
	*kosmos.Server
	t   *testing.T
	dns string
	gate
}

func newKosmos(t *testing.T, dns string) *localKosmos {
	t.Helper()
	// Nobody is verified here, so that no engine is asked.
	s, err := kosmos.New(kosmos.Options{DNS: dns, LicenseKey: licence, Engine: api.New("http://127.0.0.1:1", nil), DataDir: t.TempDir(), Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		t.Fatal(err)
	}
	k := &localKosmos{Server: s, t: t, dns: dns}
	k.next = s.Handler()
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return k
}

// trust is what trusts its certificate.
func (k *localKosmos) trust() *tls.Config {
	k.t.Helper()
	pem, err := os.ReadFile(k.CAFile())
	if err != nil {
		k.t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return &tls.Config{RootCAs: pool, MinVersion: tls.VersionTLS12}
}

// mailed is how often a link was mailed, by address.
func (k *localKosmos) mailed() map[string]int {
	k.t.Helper()
	list, err := k.Inbox(k.t.Context(), "")
	if err != nil {
		k.t.Fatal(err)
	}
	out := map[string]int{}
	for _, m := range list {
		out[m.To]++
	}
	return out
}

// mails is whether a request is the one that mails.
func mails(r *http.Request) bool { return strings.Contains(r.URL.Path, "/acr/") }

// link is the rule that mails a link to whoever registers, and one that tells of it.
var link = []hooks.Rule{
	{ID: "link", Name: "Link", On: []string{"UserCreated"}, Do: []hooks.Action{{Do: hooks.StartVerification, Deliver: hooks.DeliverMessage}}},
	notice("UserCreated"),
}

// 1Kosmos is away for an hour. What did not reach it waits, and is mailed once when it is
// back; of what may have reached it nobody knows, so it is parked, and not mailed again.
// Few are: where several in a row are parked, the others wait.
func TestKosmosIsAwayForAnHour(t *testing.T) {
	t.Parallel()
	const people, pair, every = 60, 2, 2 * time.Minute
	// lost has the call that mails be done, and its answer lost.
	lost := func(k *localKosmos) func(int, http.ResponseWriter, *http.Request) bool {
		return func(_ int, _ http.ResponseWriter, r *http.Request) bool {
			if !mails(r) {
				return false
			}
			k.next.ServeHTTP(new(nobody), r)
			panic(http.ErrAbortHandler)
		}
	}
	for name, away := range map[string]struct {
		known bool // the bridge has spoken to it before, and so needs no more than the one call
		spoil func(*localKosmos) func(int, http.ResponseWriter, *http.Request) bool
		parks bool
	}{
		"nobody listens":           {false, nil, false},
		"nobody listens any more":  {true, nil, false},
		"it hangs from now on":     {true, func(*localKosmos) func(int, http.ResponseWriter, *http.Request) bool { return hangs }, true},
		"429 from now on":          {true, func(*localKosmos) func(int, http.ResponseWriter, *http.Request) bool { return says(429) }, false},
		"answers to mail are lost": {false, lost, true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				g := newGraph(t, 0, link...)
				k := newKosmos(t, "localhost:9002")
				client := &http.Client{Transport: &http.Transport{DialContext: g.network.dial, TLSClientConfig: k.trust()}, Timeout: time.Minute}
				defer client.CloseIdleConnections()
				g.sends(upstream.NewMessages(upstream.Connect(blockid.Config{
					DNS: k.dns, Community: "default", LicenseKey: licence, HTTPClient: client,
				}, func(_ context.Context, c blockid.Curve) (*blockid.PrivateKey, error) { return blockid.GenerateKey(c) }), upstream.MessagesConfig{}))
				defer g.end()
				up := func() func() { return g.network.serveTLS(k.dns, k, k.TLSConfig()) }
				down := up()
				defer func() { down() }()
				first := 0
				if away.known {
					first = pair
					g.tell("UserCreated", 0, first)
					time.Sleep(time.Minute)
					if n := k.mailed()[login(0)]; n != 1 {
						t.Fatalf("while all is well, %d mails: %v", n, k.requests())
					}
				}

				if away.spoil == nil {
					down()
				} else {
					k.set(away.spoil(k))
				}
				for i := first; i < people; i += pair {
					g.tell("UserCreated", i, pair)
					time.Sleep(every)
					if n := g.heard.people(); n != i+pair {
						t.Fatalf("after event %d there were messages of %d people, want %d", i, n, i+pair)
					}
				}
				if away.spoil == nil {
					down = up()
				}
				k.set(nil)
				back := time.Now()
				for len(g.works(hooks.WorkWaiting, "")) > 0 && time.Since(back) < 2*time.Hour {
					time.Sleep(time.Minute)
				}
				parked := g.works(hooks.WorkParked, hooks.StartVerification)
				done := g.works(hooks.WorkDone, hooks.StartVerification)
				mails, total := k.mailed(), 0
				for to, n := range mails {
					if total += n; n != 1 {
						t.Errorf("%s got %d mails", to, n)
					}
				}
				t.Logf("%d mailed, %d parked; nothing waited any more after %v", total, len(parked), time.Since(back))
				if len(done)+len(parked) != people {
					t.Errorf("%d links are sent and %d parked, of %d", len(done), len(parked), people)
				}
				if arrived := name == "answers to mail are lost"; arrived && total != people || !arrived && total != len(done) {
					t.Errorf("%d mails; %d links are sent and %d parked", total, len(done), len(parked))
				}
				if away.parks != (len(parked) > 0) || len(parked) > people*2/3 {
					t.Errorf("%d links are parked", len(parked))
				}
				for _, w := range parked {
					if w.Reason != hooks.ReasonOutcomeUnknown {
						t.Errorf("parked with %s", w.Reason)
					}
				}
				g.heard.once(t, 0, people)
			})
		})
	}
}

// The same, short, of the program itself: one answer to a mail is lost, and then nobody
// listens for a while.
func TestKosmosIsAway(t *testing.T) {
	t.Parallel()
	const people = 8
	port := program.FreePort(t)
	dir := t.TempDir()
	k := newKosmos(t, fmt.Sprintf("localhost:%d", port))
	down := serveAt(t, port, k, k.TLSConfig())
	b := newBridge(t, dir, "", map[string]string{tenant: fmt.Sprintf(
		"kosmos: { dns: %q, license_key: %s, ca_file: %q, workflows: [{ dvc_id: a, document_types: [passport], liveness_mode: active }] }\n", k.dns, licence, k.CAFile())})
	b.publish(tenant, link[0])
	works := func(state hooks.WorkState) int {
		return b.number("SELECT COUNT(*) FROM hooks_work WHERE state = '" + string(state) + "'")
	}
	b.accepted(tenant, batch("UserCreated", 0, 1))
	until(t, "a link is mailed", func() bool { return works(hooks.WorkDone) == 1 })

	k.set(func(_ int, _ http.ResponseWriter, r *http.Request) bool {
		if !mails(r) {
			return false
		}
		k.next.ServeHTTP(new(nobody), r)
		panic(http.ErrAbortHandler)
	})
	b.accepted(tenant, batch("UserCreated", 1, 1))
	until(t, "one is parked", func() bool { return works(hooks.WorkParked) == 1 })
	k.set(nil)
	down()
	b.accepted(tenant, batch("UserCreated", 2, people-2))
	// After a few tries the rest waits for one of them to succeed.
	until(t, "the others wait", func() bool {
		return works(hooks.WorkWaiting) == people-2 && b.number("SELECT COUNT(*) FROM hooks_work WHERE state = 'waiting' AND tries > 0") > 0
	})
	down = serveAt(t, port, k, k.TLSConfig())
	defer down()
	until(t, "the others are mailed", func() bool { return works(hooks.WorkDone) == people-1 })
	got := k.mailed()
	for i := range people {
		if got[login(i)] != 1 {
			t.Errorf("%s got %d mails", login(i), got[login(i)])
		}
	}
	if n := works(hooks.WorkParked); n != 1 || len(got) != people {
		t.Errorf("%d are parked, and %d people got mail", n, len(got))
	}
}
