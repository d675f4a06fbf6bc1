//go:build linux

package main

import (
	"context"
	"database/sql"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Many users must be many at the bridge, and only those who are enrolled at 1Kosmos.
func TestPeopleStandForManyUsers(t *testing.T) {
	all := people{"somebody.enrolled-0@example.com", "somebody.enrolled-1@example.com"}
	seen := map[string]bool{}
	for i := range 100_000 {
		user := all.user(i)
		if strings.ToLower(user) != all[i%2] {
			t.Fatalf("user %d is %q", i, user)
		}
		if seen[user] {
			t.Fatalf("user %d, %q, is one from before", i, user)
		}
		seen[user] = true
	}
}

func TestRoomyConfiguration(t *testing.T) {
	tenant := map[string]any{"poll": map[string]any{"max": "2s"}, "step_up": map[string]any{"poll": "500ms", "without_liveness": true}}
	if err := roomy(map[string]any{"tenants": []any{tenant}}); err != nil {
		t.Fatal(err)
	}
	stepUp := tenant["step_up"].(map[string]any)
	if tenant["poll"] != nil || stepUp["poll"] != "2s" || stepUp["without_liveness"] != true || stepUp["limits"] == nil {
		t.Errorf("%v", tenant)
	}
	for _, wrong := range []map[string]any{{}, {"tenants": []any{}}, {"tenants": []any{map[string]any{}}}} {
		if err := roomy(wrong); err == nil {
			t.Errorf("%v passed", wrong)
		}
	}
}

// What waits counts as overdue, what a worker has does not.
func TestQueueState(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bridge.db")
	db, err := sql.Open("sqlite", "file:"+path)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	exec := func(statement string, args ...any) {
		t.Helper()
		if _, err := db.ExecContext(t.Context(), statement, args...); err != nil {
			t.Fatal(err)
		}
	}
	exec(`CREATE TABLE jobs (kind TEXT, owner TEXT, fence INTEGER, due_at INTEGER, dead_at INTEGER)`)
	exec(`CREATE TABLE challenges (sessions INTEGER)`)
	q, err := openQueue("sqlite:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	look := func() queueState {
		t.Helper()
		s, err := q.look(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		return s
	}
	if s := look(); s.polls != 0 || s.sessions != 0 || s.overdue != 0 {
		t.Errorf("an empty one: %+v", s)
	}
	ago := func(d time.Duration) int64 { return time.Now().Add(-d).UnixMicro() }
	exec(`INSERT INTO jobs VALUES ('challenge.poll', '', 3, ?, 0), ('challenge.poll', 'me', 4, ?, 0), ('challenge.expire', '', 5, ?, 0), ('challenge.poll', '', 6, ?, 1)`,
		ago(time.Minute), ago(time.Hour), ago(time.Hour), ago(time.Hour))
	exec(`INSERT INTO challenges VALUES (1), (4)`)
	if s := look(); s.polls != 7 || s.sessions != 5 || s.overdue < time.Minute || s.overdue > 2*time.Minute {
		t.Errorf("%+v", s)
	}
}
