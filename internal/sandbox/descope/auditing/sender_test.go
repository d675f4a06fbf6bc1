package auditing_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
)

const projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"

// hook is an audit webhook whose receiver is a function.
type hook struct {
	configs []connectors.Config
	answer  func(n int) int // status of the nth request, from 1; 0: none

	mu     sync.Mutex
	bodies []string
	times  []time.Time
}

func newHook(filters ...connectors.AuditFilter) *hook {
	return &hook{configs: []connectors.Config{{Name: "audit", Type: connectors.AuditWebhook, BaseURL: "http://h", AuditFilters: filters}}}
}

func (h *hook) Webhooks() []connectors.Config { return h.configs }

func (h *hook) Post(_ context.Context, name string, body []byte, _ time.Duration) (int, error) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bodies = append(h.bodies, string(body))
	h.times = append(h.times, time.Now())
	status := http.StatusOK
	if h.answer != nil {
		status = h.answer(len(h.bodies))
	}
	if status/100 != 2 {
		return status, errors.New(name + " says no")
	}
	return status, nil
}

// got are the actions of every request.
func (h *hook) got(t *testing.T) (all []string) {
	t.Helper()
	h.mu.Lock()
	defer h.mu.Unlock()
	for _, b := range h.bodies {
		var events []struct{ Action string }
		if err := json.Unmarshal([]byte(b), &events); err != nil {
			t.Fatal(err)
		}
		var names []string
		for _, e := range events {
			names = append(names, e.Action)
		}
		all = append(all, strings.Join(names, " "))
	}
	return all
}

func sender(t *testing.T, h *hook, k auditing.Knobs) *auditing.Sender {
	t.Helper()
	s, err := auditing.New(auditing.Options{ProjectID: projectID, Webhooks: h})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.SetKnobs(k); err != nil {
		t.Fatal(err)
	}
	return s
}

func record(s *auditing.Sender, actions ...string) {
	for _, a := range actions {
		s.Record(accounts.Event{Action: a, Occurred: time.Now()})
	}
}

// TestKnobs: what each of them does to six events.
func TestKnobs(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		knobs auditing.Knobs
		want  []string
		state auditing.State
	}{
		"none":       {auditing.Knobs{}, []string{"1", "2", "3", "4", "5", "6"}, auditing.State{Sent: 6, Requests: 6}},
		"delay":      {auditing.Knobs{DelayMS: 500}, []string{"1 2 3 4 5 6"}, auditing.State{Sent: 6, Requests: 1}},
		"batch":      {auditing.Knobs{DelayMS: 500, Batch: 4}, []string{"1 2 3 4", "5 6"}, auditing.State{Sent: 6, Requests: 2}},
		"reverse":    {auditing.Knobs{DelayMS: 500, Batch: 4, Order: auditing.Reverse}, []string{"6 5 4 3", "2 1"}, auditing.State{Sent: 6, Requests: 2}},
		"duplicates": {auditing.Knobs{DelayMS: 500, Duplicates: 1, Batch: 3}, []string{"1 1 2", "2 3 3", "4 4 5", "5 6 6"}, auditing.State{Sent: 12, Requests: 4}},
		"drop":       {auditing.Knobs{DelayMS: 500, Drop: 2}, []string{"3 4 5 6"}, auditing.State{Sent: 4, Requests: 1, Dropped: 2}},
		"pause":      {auditing.Knobs{Pause: true}, nil, auditing.State{Waiting: 6}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHook()
				s := sender(t, h, c.knobs)
				for i := range 6 {
					record(s, strconv.Itoa(i+1))
					synctest.Wait()
				}
				time.Sleep(time.Second)
				if got := h.got(t); !slices.Equal(got, c.want) {
					t.Errorf("%q, want %q", got, c.want)
				}
				c.state.Name, c.state.URL = "audit", "http://h"
				got := s.States()[0]
				if got.Requests > 0 && (got.Status != 200 || got.At.IsZero()) {
					t.Errorf("%+v", got)
				}
				if got.Status, got.At = 0, (time.Time{}); got != c.state {
					t.Errorf("%+v, want %+v", got, c.state)
				}
				if name == "pause" {
					if err := s.SetKnobs(auditing.Defaults()); err != nil {
						t.Fatal(err)
					}
					synctest.Wait()
					if got := h.got(t); !slices.Equal(got, []string{"1 2 3 4 5 6"}) {
						t.Errorf("after the pause: %q", got)
					}
				}
			})
		})
	}
}

// TestShuffle: nothing is lost or doubled by it, and it is not the order of before.
func TestShuffle(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHook()
		s := sender(t, h, auditing.Knobs{DelayMS: 10, Order: auditing.Shuffle, Batch: 7})
		var want []string
		for i := range 100 {
			want = append(want, strconv.Itoa(i))
		}
		record(s, want...)
		time.Sleep(time.Second)
		got := strings.Fields(strings.Join(h.got(t), " "))
		if slices.Equal(got, want) {
			t.Error("in order")
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%q", got)
		}
	})
}

// TestTries: a batch is sent again a few times, what comes after it waits, and it is
// given up in the end.
func TestTries(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		h := newHook()
		h.answer = func(n int) int {
			switch {
			case n <= 2:
				return 503
			case n <= 3:
				return 200
			case n <= 7:
				return 0
			}
			return 204
		}
		s := sender(t, h, auditing.Knobs{})
		begin := time.Now()
		record(s, "1")
		synctest.Wait()
		record(s, "2")
		time.Sleep(2 * time.Minute)
		record(s, "3")
		synctest.Wait()
		if got := h.got(t); !slices.Equal(got, []string{"1", "1", "1", "2", "2", "2", "2", "3"}) {
			t.Errorf("%q", got)
		}
		var after []time.Duration
		for _, at := range h.times {
			after = append(after, at.Sub(begin))
		}
		if want := []time.Duration{0, 1e9, 6e9, 6e9, 7e9, 12e9, 42e9, 120e9}; !slices.Equal(after, want) {
			t.Errorf("%v, want %v", after, want)
		}
		if got := s.States()[0]; got.Sent != 2 || got.Lost != 1 || got.Requests != 8 || got.Status != 204 {
			t.Errorf("%+v", got)
		}
	})
}

func TestFilters(t *testing.T) {
	t.Parallel()
	f := func(key, operator string, values ...string) connectors.AuditFilter {
		return connectors.AuditFilter{Key: key, Operator: operator, Values: values}
	}
	for name, c := range map[string]struct {
		filters []connectors.AuditFilter
		want    string
	}{
		"none":             {nil, "UserCreated LoginSucceed UserDeleted"},
		"actions":          {[]connectors.AuditFilter{f("actions", "includes", "UserCreated", "UserDeleted")}, "UserCreated UserDeleted"},
		"not actions":      {[]connectors.AuditFilter{f("actions", "excludes", "UserCreated")}, "LoginSucceed UserDeleted"},
		"tenants":          {[]connectors.AuditFilter{f("tenants", "includes", "T1")}, "LoginSucceed"},
		"not tenants":      {[]connectors.AuditFilter{f("tenants", "excludes", "T1")}, "UserCreated UserDeleted"},
		"all of them hold": {[]connectors.AuditFilter{f("tenants", "excludes", "T1"), f("actions", "includes", "LoginSucceed", "UserDeleted")}, "UserDeleted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				h := newHook(c.filters...)
				s := sender(t, h, auditing.Knobs{DelayMS: 1})
				record(s, "UserCreated")
				s.Record(accounts.Event{Action: "LoginSucceed", Tenants: []string{"T1", "T2"}})
				record(s, "UserDeleted")
				time.Sleep(time.Second)
				if got := h.got(t); len(got) != 1 || got[0] != c.want {
					t.Errorf("%q, want %q", got, c.want)
				}
				if got, n := s.States()[0].Filtered, 3-len(strings.Fields(c.want)); got != n {
					t.Errorf("filtered %d, want %d", got, n)
				}
			})
		})
	}
	for name, bad := range map[string]connectors.AuditFilter{
		"key": f("users", "includes", "x"), "operator": f("actions", "is", "x"), "values": f("actions", "includes"),
	} {
		if _, err := auditing.New(auditing.Options{ProjectID: projectID, Webhooks: newHook(bad)}); err == nil || !strings.Contains(err.Error(), "auditFilters: number 1") {
			t.Errorf("%s: %v", name, err)
		}
	}
	if _, err := auditing.New(auditing.Options{}); err == nil {
		t.Error("a sender of nothing")
	}
}

func TestBadKnobs(t *testing.T) {
	t.Parallel()
	s, err := auditing.New(auditing.Options{ProjectID: projectID, Webhooks: newHook()})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	for field, k := range map[string]auditing.Knobs{
		"duplicates": {Duplicates: 6}, "order": {Order: "random"}, "delay_ms": {DelayMS: -1}, "batch": {Batch: 101}, "drop": {Drop: -1},
	} {
		if err := s.SetKnobs(k); err == nil || !strings.HasPrefix(err.Error(), field+" ") {
			t.Errorf("%s: %v", field, err)
		}
	}
	if s.Knobs() != auditing.Defaults() {
		t.Errorf("%+v", s.Knobs())
	}
}

// TestOnTheWire: a real receiver gets, by real connectors, what reference/descope.md 6.2
// shows, with the bearer token and an HMAC over the body as it came.
func TestOnTheWire(t *testing.T) {
	t.Parallel()
	const token, secret = "bearer-of-the-webhook", "hmac-of-the-webhook"
	type request struct {
		header http.Header
		body   string
		good   bool
	}
	got := make(chan request, 2)
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(b)
		good := r.Header.Get("x-descope-webhook-s256") == base64.StdEncoding.EncodeToString(mac.Sum(nil))
		got <- request{r.Header, r.Method + " " + r.URL.Path + " " + string(b), good}
		_, _ = io.WriteString(w, "thank you") // no JSON: nobody reads it
	}))
	defer srv.Close()
	calls, err := connectors.New([]connectors.Config{
		{Name: "1Kosmos Bridge", BaseURL: srv.URL},
		{Name: "audit", Type: connectors.AuditWebhook, BaseURL: srv.URL + "/descope/v1/events", HMACSecret: secret,
			Authentication: connectors.Authentication{Method: connectors.BearerToken, BearerToken: token}},
		{Name: "off", Type: connectors.AuditWebhook, BaseURL: srv.URL + "/off", Disabled: true},
	}, connectors.Options{Names: flow.DefaultNames()})
	if err != nil {
		t.Fatal(err)
	}
	defer calls.Close()
	if !calls.Known("1Kosmos Bridge") || calls.Known("audit") {
		t.Error("flows know the wrong connectors")
	}
	s, err := auditing.New(auditing.Options{ProjectID: projectID, Webhooks: calls})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.SetKnobs(auditing.Knobs{}); err != nil {
		t.Fatal(err)
	}
	s.Record(accounts.Event{
		ID: 7, Action: "LoginSucceed", Type: "info", ActorID: "U2x", UserID: "U2x", Occurred: time.Date(2026, 1, 1, 0, 0, 0, 123e6, time.UTC),
		Device: "Desktop", Method: "otp", Geo: "US", RemoteAddress: "203.0.113.7", LoginIDs: []string{"a@b.c"},
	})
	r := <-got
	const want = `POST /descope/v1/events [{"action":"LoginSucceed","actorId":"U2x","userId":"U2x","projectId":"` + projectID + `","occurred":1767225600123,` +
		`"occurred_formatted":"2026-01-01T00:00:00.123Z","device":"Desktop","method":"otp","geo":"US",` +
		`"remoteAddress":"203.0.113.7","loginIds":["a@b.c"],"tenants":null,"data":{}}]`
	if r.body != want {
		t.Errorf("got  %s\nwant %s", r.body, want)
	}
	if !r.good || r.header.Get("Authorization") != "Bearer "+token || r.header.Get("Content-Type") != "application/json" {
		t.Errorf("hmac good: %v, header %v", r.good, r.header)
	}
	s.Record(accounts.Event{Action: "UserDeleted", Tenants: []string{"T1"}, Data: map[string]any{"a": "<&>"}})
	if r := <-got; !strings.Contains(r.body, `"loginIds":[],"tenants":["T1"],"data":{"a":"<&>"}}]`) {
		t.Error(r.body)
	}
	if got := s.States(); len(got) != 2 || !got[1].Disabled {
		t.Errorf("%+v", got)
	}
	// The developer sees the calls, without the token.
	if all := calls.Calls(); len(all) == 0 || all[len(all)-1].Connector != "audit" || !strings.Contains(all[len(all)-1].HMACInput, "LoginSucceed") {
		t.Errorf("%+v", all)
	}
}
