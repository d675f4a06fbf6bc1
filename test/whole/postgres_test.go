//go:build unix

package whole_test

import (
	"bytes"
	"errors"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
	"github.com/kosmoscope/kosmoscope/test/program"
)

func TestBridgeOnPostgreSQLIsKilledBetweenEveryTwoSteps(t *testing.T) {
	t.Parallel()
	killedBetweenSteps(t, newWorld(t, plan{store: pgtest.URL(t)}))
}

// Two bridges behind one address and on one database are one bridge.
func TestTwoBridgesOnOneDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{store: pgtest.URL(t), bridges: 2})

	// Both meet 1Kosmos for the first time at the same moment.
	const people = 8
	type visit struct {
		started
		p       *person
		capture string
	}
	visits := make([]visit, people)
	var all sync.WaitGroup
	for i := range visits {
		visits[i] = visit{started: w.start(fields{"user_identifier": "both.know.me"}), p: w.person()}
	}
	for i := range visits {
		all.Go(func() { visits[i].capture = visits[i].p.consent(visits[i].p.get(visits[i].SessionURL)).upstream() })
	}
	all.Wait()
	for i, v := range visits {
		if v.capture == "" {
			t.Fatalf("person %d did not get to the capture page: %s", i, w.result(v.SessionID))
		}
	}
	if keys := w.proxy.callers(); len(keys) != 1 {
		t.Errorf("1Kosmos saw %d public keys of ours; want one for both bridges", len(keys))
	}

	// Two come to the end, one with each bridge being the only one that answers;
	// the others stop. One bridge dies meanwhile.
	visits[0].p.photos(visits[0].capture)
	visits[1].p.photos(visits[1].capture)
	w.turns.only.Store(0)
	w.kill(w.bridges[1])
	for i, v := range visits {
		step := "decline"
		if i < 2 {
			step = "submit"
		}
		v.p.act(v.capture, step, "")
	}
	w.verified(visits[0].SessionID)
	w.again(w.bridges[1])
	w.bridgeReady(1)
	w.turns.only.Store(1)
	w.verified(visits[1].SessionID)
	w.turns.only.Store(-1)
	for _, v := range visits[2:] {
		w.becomes(v.SessionID, "abandoned", "abandoned")
	}
	for i, v := range visits {
		one, two := w.resultAt(w.direct[0], bearer, v.SessionID), w.resultAt(w.direct[1], bearer, v.SessionID)
		if !bytes.Equal(one.raw, two.raw) {
			t.Errorf("person %d: the two bridges answer differently:\n%s\n%s", i, one.raw, two.raw)
		}
		if n := w.endings(t, v.SessionID); n != 1 {
			t.Errorf("person %d: the verification ended %d times in the audit trail", i, n)
		}
	}
	if dead := w.sql("SELECT kind FROM jobs WHERE dead_at <> 0"); len(dead) > 0 {
		t.Errorf("dead jobs: %v", dead)
	}

	// Erasing through a third process holds for both at once.
	erase := func() (string, int) {
		out, err := exec.CommandContext(t.Context(), program.Build(t), "erase", "both.know.me", "--config", w.configs[0]).CombinedOutput()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok {
			return string(out), exit.ExitCode()
		}
		if err != nil {
			t.Fatal(err)
		}
		return string(out), 0
	}
	if out, status := erase(); status != 0 || !strings.Contains(out, "8 verifications") {
		t.Errorf("erase: exit %d: %s", status, out)
	}
	if out, status := erase(); status != 1 || !strings.Contains(out, "no such subject") {
		t.Errorf("erase again: exit %d: %s", status, out)
	}
	for i, direct := range w.direct {
		r := w.resultAt(direct, bearer, visits[0].SessionID)
		if r.Status != "verified" || r.Reason != "data_purged" || r.Claims != nil {
			t.Errorf("bridge %d after erasure: %s", i, r.raw)
		}
	}
	if left := w.sql("SELECT id FROM subjects WHERE wrapped_key IS NOT NULL OR sealed_identifier IS NOT NULL OR lookup IS NOT NULL"); len(left) > 0 {
		t.Errorf("%d subjects are left", len(left))
	}
	if left := w.sql("SELECT id FROM verifications WHERE sealed_request IS NOT NULL OR sealed_outcome IS NOT NULL OR upstream_sealed_url IS NOT NULL"); len(left) > 0 {
		t.Errorf("sealed data of %d verifications is left", len(left))
	}
}

// A store that is away is no answer, and what was acknowledged is there when it is back.
func TestDatabaseGoesAway(t *testing.T) {
	t.Parallel()
	url := pgtest.URL(t)
	w := newWorld(t, plan{store: url})
	s := w.start(nil)
	p := w.person()
	capture := p.enter(s.SessionURL)
	name := w.sql("SELECT current_database()")[0]
	w.sql("SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE datname = $1 AND pid <> pg_backend_pid()", name)
	// Every connection of the bridge is dead now: a call may be refused, never be wrong.
	eventually(t, "the bridge has connections again", func() (bool, string) {
		a, err := w.post(w.url, "/descope/v1/idv/result", `{"session_id":"`+s.SessionID+`"}`, "Authorization", "Bearer "+bearer)
		if err != nil {
			return false, err.Error()
		}
		switch a.status {
		case http.StatusOK:
			return bytes.Contains(a.body, []byte(`"status":"pending"`)), string(a.body)
		case http.StatusServiceUnavailable:
			if !bytes.Contains(a.body, []byte(`"reason":"unavailable"`)) {
				t.Errorf("503 with another reason: %s", a.body)
			}
		default:
			t.Errorf("without a database: %d %s", a.status, a.body)
		}
		return false, string(a.body)
	})
	p.done(capture)
	w.verified(s.SessionID)
}
