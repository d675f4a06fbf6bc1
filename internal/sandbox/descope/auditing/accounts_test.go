package auditing_test

import (
	"encoding/json"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// TestWholeTrail: what the audit search finds, the webhook was told, in the same words;
// and who is deleted is still named there, so that receivers know whom to forget.
func TestWholeTrail(t *testing.T) {
	t.Parallel()
	people, err := accounts.Open(accounts.Options{ProjectID: projectID, BaseURL: "http://localhost:3000"})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = people.Close() }()
	synctest.Test(t, func(t *testing.T) {
		h := newHook()
		s := sender(t, h, auditing.Knobs{DelayMS: 100})
		people.OnEvent(s.Record)
		u, err := people.Create(t.Context(), project.User{LoginIDs: []string{"ann@example.com"}, Email: "ann@example.com"})
		if err != nil {
			t.Fatal(err)
		}
		if err := people.Record(t.Context(), accounts.Event{Action: "KosmosIdvCompleted", Type: "info", UserID: u.UserID, Data: map[string]any{"status": "verified"}}); err != nil {
			t.Fatal(err)
		}
		before, _ := people.Audit(t.Context(), accounts.AuditQuery{OldestFirst: true})
		if err := people.Delete(t.Context(), u.UserID); err != nil {
			t.Fatal(err)
		}
		time.Sleep(time.Second)
		synctest.Wait()
		var told []struct {
			Action, UserID, ActorID string
			Occurred                int64
			LoginIDs                []string
			Data                    map[string]any
		}
		if len(h.bodies) != 1 || json.Unmarshal([]byte(h.bodies[0]), &told) != nil || len(told) != 3 || len(before) != 2 {
			t.Fatalf("%q, %+v", h.bodies, before)
		}
		for i, e := range before {
			if w := told[i]; w.Action != e.Action || w.UserID != e.UserID || w.ActorID != e.ActorID || w.Occurred != e.Occurred.UnixMilli() || !slices.Equal(w.LoginIDs, e.LoginIDs) || len(w.Data) != len(e.Data) {
				t.Errorf("told %+v, found %+v", w, e)
			}
		}
		if last := told[2]; last.Action != "UserDeleted" || !slices.Equal(last.LoginIDs, []string{"ann@example.com"}) {
			t.Errorf("%+v", last)
		}
	})
}
