package in_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
)

// TestBothWays: what the webhook and the audit search send of one event, each in its own
// words, is stored once, whichever comes first.
func TestBothWays(t *testing.T) {
	t.Parallel()
	const webhook = `[{"action":"UserCreated","actorId":"K1","userId":"U2x","projectId":"P2x","occurred":1767225600123,
		"occurred_formatted":"2026-01-01T00:00:00.123Z","device":"Desktop","method":"otp","geo":"US","remoteAddress":"203.0.113.7",
		"loginIds":["a@b.example","+4912345"],"tenants":null,"data":{"count":2,"on":true,"none":null}}]`
	const search = `{"audits":[{"ID":"A1","projectId":"P2x","userId":"U2x","action":"UserCreated","type":"info","actorId":"K1","occurred":"1767225600123",
		"device":"Desktop","method":"otp","geo":"US","remoteAddress":"203.0.113.7","externalIds":["+4912345","a@b.example"],"tenants":[],
		"data":{"count":"2","on":"true"}}],"total":1}`
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, search)
	}))
	t.Cleanup(server.Close)
	client, err := descope.New(descope.Options{BaseURL: server.URL, ProjectID: "P2x", ManagementKey: "key"})
	if err != nil {
		t.Fatal(err)
	}
	told, _, err := client.Hooks().AuditSince(t.Context(), time.UnixMilli(1767225600000), time.UnixMilli(1767225700000), 0)
	if err != nil || len(told) != 1 {
		t.Fatalf("%v, %v", told, err)
	}
	for _, searchFirst := range []bool{true, false} {
		s := storing(t)
		byWebhook := func() string { return s.post(in.EventsPath, webhook).Body.String() }
		bySearch := func() int {
			n, err := s.service.Accept(t.Context(), "acme", hooks.SourceSearch, told)
			if err != nil {
				t.Fatal(err)
			}
			return n
		}
		if searchFirst {
			if n, body := bySearch(), byWebhook(); n != 1 || body != `{"accepted":1,"new":0,"parked":0}` {
				t.Errorf("the search %d, the webhook %s", n, body)
			}
		} else if body, n := byWebhook(), bySearch(); n != 0 || body != `{"accepted":1,"new":1,"parked":0}` {
			t.Errorf("the webhook %s, the search %d", body, n)
		}
	}
}

// TestParkedIsStored: a bad event among good ones goes all the way, once.
func TestParkedIsStored(t *testing.T) {
	t.Parallel()
	s := storing(t)
	const body = `[7,{"action":"A","occurred":1767225600123},{"action":"verification.ended","occurred":1767225600123}]`
	for i, want := range []string{`{"accepted":3,"new":3,"parked":1}`, `{"accepted":3,"new":0,"parked":1}`} {
		if got := s.post(in.EventsPath, body).Body.String(); got != want {
			t.Fatalf("%d: %s", i, got)
		}
	}
	states := map[hooks.EventState]int{}
	if err := s.store.ViewHooks(t.Context(), func(tx hooks.Tx) error {
		list, err := tx.Events(hooks.EventQuery{Tenant: "acme", Limit: 10})
		for _, e := range list {
			states[e.State]++
		}
		return err
	}); err != nil {
		t.Fatal(err)
	}
	if states[hooks.EventParked] != 2 || states[hooks.EventWaiting] != 1 {
		t.Fatal(states)
	}
}
