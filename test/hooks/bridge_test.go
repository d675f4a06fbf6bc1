package hooks_test

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"database/sql"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib" // database/sql's pgx; sqlite comes with our store

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/test/program"
)

// patience is when a wait has failed. Nothing here takes that long on a machine that works.
const patience = 2 * time.Minute

// bridge is the built program, as a process with a store of its own.
type bridge struct {
	*program.Process
	t      *testing.T
	origin string
	config string // file
	driver string // of database/sql, and what it opens
	dsn    string
	client *http.Client
}

// newBridge starts one with these tenants; what each maps to is YAML of its own, in the
// block style and without indentation. A caller audits each. store is as the configuration
// names it; "": a file in dir.
func newBridge(t *testing.T, dir, store string, tenants map[string]string) *bridge {
	t.Helper()
	b := &bridge{t: t, config: filepath.Join(dir, "bridge.yaml"), client: &http.Client{Timeout: time.Minute, Transport: &http.Transport{MaxIdleConnsPerHost: 64}}}
	if store == "" {
		store = "sqlite:" + filepath.Join(dir, "db")
	}
	b.driver, b.dsn = "pgx", store
	if file, ok := strings.CutPrefix(store, "sqlite:"); ok {
		b.driver, b.dsn = "sqlite", "file:"+(&url.URL{Path: file}).EscapedPath()+"?_pragma=busy_timeout(10000)"
	}
	listen := fmt.Sprintf("127.0.0.1:%d", program.FreePort(t))
	b.origin = "http://" + listen
	var of, callers strings.Builder
	for id, more := range tenants {
		fmt.Fprintf(&of, "  - id: %s\n", id)
		if !strings.Contains(more, "kosmos:") { // nothing here verifies anybody, so nobody answers as 1Kosmos
			more += "kosmos: { dns: localhost, license_key: test, workflows: [{ dvc_id: a, document_types: [passport], liveness_mode: active }] }\n"
		}
		for line := range strings.Lines(more) {
			fmt.Fprintf(&of, "    %s", line)
		}
		fmt.Fprintf(&callers, "  - { id: audit-%[1]s, tenant: %[1]s, application: Test, events_only: true, hmac_secret: %[2]s }\n", id, secretOf(id))
		fmt.Fprintf(&callers, "  - { id: flow-%[1]s, tenant: %[1]s, application: Test, bearer: token-of-flows-of-%[1]s }\n", id)
	}
	config := fmt.Sprintf("public_url: %s\nlisten: %s\nstore: %q\nmaster_key: %s\ngeo: { without_tables: true }\ntenants:\n%scallers:\n%s",
		b.origin, listen, store, filepath.Join(dir, "master.key"), of.String(), callers.String())
	if err := os.WriteFile(b.config, []byte(config), 0o600); err != nil {
		t.Fatal(err)
	}
	var err error
	if b.Process, err = program.Start(dir, "bridge", program.Build(t), "serve", "--config", b.config); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if b.Running() {
			if err := b.Stop(time.Minute); err != nil {
				t.Error(err)
			}
		}
		if log := b.Log(); strings.Contains(log, "panic") || strings.Contains(log, "DATA RACE") {
			t.Errorf("the log of the bridge:\n%s", b.Tail())
		}
		b.client.CloseIdleConnections()
	})
	b.up()
	return b
}

// up waits until the bridge answers.
func (b *bridge) up() {
	b.t.Helper()
	ctx, cancel := context.WithTimeout(b.t.Context(), patience)
	defer cancel()
	if err := b.Ready(ctx, b.client, b.origin+"/healthz"); err != nil {
		b.t.Fatal(err)
	}
}

func secretOf(tenant string) string { return "hmac-secret-of-the-audit-webhook-of-" + tenant }

// command runs another command of the program on the same configuration.
func (b *bridge) command(tenant, words string, args ...string) {
	b.t.Helper()
	args = append(append(strings.Fields(words), "--config", b.config, "--tenant", tenant, "--author", "test"), args...)
	if out, err := exec.CommandContext(b.t.Context(), program.Build(b.t), args...).CombinedOutput(); err != nil {
		b.t.Fatalf("%s: %v\n%s", words, err, out)
	}
}

// publish makes these the rules of a tenant.
func (b *bridge) publish(tenant string, rules ...hooks.Rule) {
	b.t.Helper()
	list, err := json.Marshal(rules)
	if err != nil {
		b.t.Fatal(err)
	}
	file := filepath.Join(filepath.Dir(b.config), "rules-"+tenant+".json")
	if err := os.WriteFile(file, list, 0o600); err != nil {
		b.t.Fatal(err)
	}
	b.command(tenant, "rules publish", file)
}

// endpoint has the messages of a tenant told to a URL.
func (b *bridge) endpoint(tenant, url string) {
	b.t.Helper()
	b.command(tenant, "endpoint add", "--name", "Test", "--allow-private", url)
}

// number counts rows. Words of the query are PostgreSQL's and SQLite's, and there are no
// parameters.
func (b *bridge) number(query string) int {
	b.t.Helper()
	db, err := sql.Open(b.driver, b.dsn)
	if err != nil {
		b.t.Fatal(err)
	}
	defer db.Close()
	n := 0
	if err := db.QueryRowContext(b.t.Context(), query).Scan(&n); err != nil {
		b.t.Fatalf("%s: %v", query, err)
	}
	return n
}

// waiting is how much is left to do for a tenant: events, actions and deliveries.
func (b *bridge) waiting(tenant string) int {
	b.t.Helper()
	return b.number(fmt.Sprintf(`SELECT (SELECT COUNT(*) FROM hooks_events WHERE tenant = '%[1]s' AND state = 'waiting')
		+ (SELECT COUNT(*) FROM hooks_work WHERE tenant = '%[1]s' AND state = 'waiting')
		+ (SELECT COUNT(*) FROM jobs WHERE tenant = '%[1]s' AND dead_at = 0 AND kind IN ('%[2]s', '%[3]s'))`, tenant, deliveries.JobFanOut, deliveries.JobDeliver))
}

// projectID is that of the Descope project in these tests.
const projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

// occurred is when the events of the tests happened: each at a millisecond of its own.
var occurred = time.Now().Add(-time.Hour).Truncate(time.Second)

// batch is events from a number on, as Descope's Audit Webhook tells them (reference/
// descope.md 6.2): each of another person.
func batch(action string, from, n int) []byte {
	type event struct {
		Action    string         `json:"action"`
		ActorID   string         `json:"actorId"`
		UserID    string         `json:"userId"`
		ProjectID string         `json:"projectId"`
		Occurred  int64          `json:"occurred"`
		LoginIDs  []string       `json:"loginIds"`
		Tenants   []string       `json:"tenants"`
		Data      map[string]any `json:"data"`
	}
	list := make([]event, n)
	for i := range list {
		list[i] = event{Action: action, ActorID: fmt.Sprint("U2", from+i), UserID: fmt.Sprint("U2", from+i), ProjectID: projectID,
			Occurred: occurred.UnixMilli() + int64(from+i), LoginIDs: []string{login(from + i)}, Data: map[string]any{"serial": from + i}}
	}
	body, err := json.Marshal(list)
	if err != nil {
		panic(err) // there is nothing in it that could fail
	}
	return body
}

// answer to events. Status 0: there was none.
type answer struct {
	status     int
	retryAfter string
	body       string
}

// tell makes one request with events.
func (b *bridge) tell(ctx context.Context, tenant string, body []byte) answer {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, b.origin+"/descope/v1/events", bytes.NewReader(body))
	if err != nil {
		return answer{body: err.Error()}
	}
	mac := hmac.New(sha256.New, []byte(secretOf(tenant)))
	mac.Write(body)
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("x-descope-webhook-s256", base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	return b.do(req)
}

func (b *bridge) do(req *http.Request) answer {
	res, err := b.client.Do(req)
	if err != nil {
		return answer{body: err.Error()}
	}
	defer res.Body.Close()
	said, err := io.ReadAll(io.LimitReader(res.Body, 1<<16))
	if err != nil {
		return answer{body: err.Error()}
	}
	return answer{res.StatusCode, res.Header.Get("Retry-After"), string(said)}
}

// accepted tells events that have to be taken, at the first time.
func (b *bridge) accepted(tenant string, body []byte) {
	b.t.Helper()
	if a := b.tell(b.t.Context(), tenant, body); a.status != http.StatusOK {
		b.t.Fatalf("events were not accepted: %d %s\n%s", a.status, a.body, b.Tail())
	}
}

// refusedProperly reports what is wrong with the refusal of events by a bridge that
// cannot store them now.
func refusedProperly(a answer) error {
	switch {
	case a.status != http.StatusServiceUnavailable:
		return fmt.Errorf("what cannot be stored is answered with %d: %s", a.status, a.body)
	case a.retryAfter == "":
		return errors.New("a refusal without Retry-After")
	}
	return nil
}

// until waits for a condition, which is looked at now and then.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	within(t, patience, what, holds)
}

// within is until with another patience.
func within(t *testing.T, d time.Duration, what string, holds func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), d)
	defer cancel()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it did not come about: %s", what)
		}
	}
}

// listener is another tool that messages are told to. It honours our keys: what comes
// again with the same webhook-id is the same message.
type listener struct {
	url string

	mu     sync.Mutex
	heard  map[string][]string // ids of different messages about somebody, by login id
	calls  int
	stamps map[string]time.Time // of webhook-timestamp, by id, of the last request
	busy   bool                 // it answers 503
}

// listen has one answer until the end of the test.
func listen(t *testing.T) *listener {
	t.Helper()
	l := newListener()
	l.url = serve(t, l)
	return l
}

func newListener() *listener {
	return &listener{heard: map[string][]string{}, stamps: map[string]time.Time{}}
}

func (l *listener) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var m struct {
		Data struct {
			LoginID string `json:"login_id"`
		} `json:"data"`
	}
	if err := json.NewDecoder(io.LimitReader(r.Body, 1<<16)).Decode(&m); err != nil {
		w.WriteHeader(http.StatusBadRequest) // also when the other side died while it was asking
		return
	}
	id := r.Header.Get("webhook-id")
	seconds, err := strconv.ParseInt(r.Header.Get("webhook-timestamp"), 10, 64)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.calls++
	if err != nil || l.busy {
		w.WriteHeader(http.StatusServiceUnavailable)
		return
	}
	l.stamps[id] = time.Unix(seconds, 0)
	if !slices.Contains(l.heard[m.Data.LoginID], id) {
		l.heard[m.Data.LoginID] = append(l.heard[m.Data.LoginID], id)
	}
}

// set has it answer 503, or not.
func (l *listener) set(busy bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.busy = busy
}

// people is of how many people there were messages.
func (l *listener) people() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.heard)
}

// once fails the test unless there was one message of each of these people, and no other.
func (l *listener) once(t *testing.T, from, n int) {
	t.Helper()
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := from; i < from+n; i++ {
		if ids := l.heard[login(i)]; len(ids) != 1 {
			t.Errorf("of %s there were %d messages", login(i), len(ids))
		}
	}
	if len(l.heard) != n {
		t.Errorf("there were messages of %d people, want %d", len(l.heard), n)
	}
	t.Logf("%d messages in %d requests", n, l.calls)
}

// notice is the rule that tells of each such event.
func notice(action string) hooks.Rule {
	return hooks.Rule{ID: "notice", Name: "Notice", On: []string{action}, Do: []hooks.Action{{Do: hooks.Notify}}}
}

// serve has a handler answer on loopback until the end of the test.
func serve(t *testing.T, h http.Handler) (url string) {
	t.Helper()
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s.URL
}

// get is a GET of a path.
func (b *bridge) get(path string) answer {
	b.t.Helper()
	req, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.origin+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(req)
}

// serveAt has a handler answer on a port of loopback, over TLS if there is a configuration
// of it, until down is called.
func serveAt(t *testing.T, port int, h http.Handler, c *tls.Config) (down func()) {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	if c != nil {
		l = tls.NewListener(l, c)
	}
	s := &http.Server{Handler: h, ErrorLog: log.New(io.Discard, "", 0)}
	ended := make(chan struct{})
	go func() { defer close(ended); _ = s.Serve(l) }()
	down = sync.OnceFunc(func() { _ = s.Close(); <-ended }) // the connections, too
	t.Cleanup(down)
	return down
}
