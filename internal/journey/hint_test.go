package journey_test

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// under are the jobs of what is open under these names, as "kind key", in order.
func (w *world) under(tenant string, names ...string) (list []string) {
	w.t.Helper()
	due, err := w.OpenUnder(ctx, tenant, names)
	if err != nil {
		w.t.Fatal(err)
	}
	for _, j := range due {
		if j.Tenant != tenant {
			w.t.Fatalf("%+v", j)
		}
		list = append(list, j.Kind+" "+j.Key)
	}
	slices.Sort(list)
	return list
}

func (w *world) wantUnder(what, tenant string, names []string, want ...string) {
	w.t.Helper()
	if got := w.under(tenant, names...); !slices.Equal(got, want) {
		w.t.Errorf("%s: %v, want %v", what, got, want)
	}
}

// rows are what is kept of a verification or challenge by which a session is found.
func (w *world) rows(id string) (hash string) {
	w.t.Helper()
	if err := w.store.View(ctx, func(tx journey.Tx) error {
		if v, err := tx.Verification("acme", id); err == nil {
			hash = v.Upstream.SessionHash
			return nil
		}
		c, err := tx.Challenge("acme", id)
		if err == nil {
			hash = c.SessionHash
		}
		return err
	}); err != nil {
		w.t.Fatal(err)
	}
	return hash
}

func TestOpenUnderOfAVerification(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "ada"}})
	session := "up-" + s.SessionID
	w.wantUnder("before consent", "acme", []string{session, s.SessionID})
	w.consented(s)
	poll := journey.JobPoll + " " + s.SessionID
	w.wantUnder("by its session", "acme", []string{"x", session, ""}, poll)
	w.wantUnder("in capitals", "acme", []string{strings.ToUpper(session)}, poll)
	w.wantUnder("by our id", "acme", []string{strings.ToUpper(s.SessionID)}, poll)
	w.wantUnder("by both", "acme", []string{s.SessionID, session, session}, poll)
	w.wantUnder("unknown", "acme", []string{"up-", "up-2", "no\x00text"})
	w.wantUnder("in another tenant", "elsewhere", []string{session, s.SessionID})
	if hash := w.rows(s.SessionID); len(hash) != 64 || strings.Contains(hash, session) {
		t.Errorf("kept: %q", hash)
	}
	w.kosmos.answer = success()
	w.poll(s.SessionID)
	w.wantUnder("at the end", "acme", []string{session, s.SessionID})
	if hash := w.rows(s.SessionID); hash != "" {
		t.Errorf("kept after the end: %q", hash)
	}
}

func TestOpenUnderOfAChallenge(t *testing.T) {
	w := newWorld(t)
	c := w.challenge(shop, ask())
	poll := journey.JobChallengePoll + " " + c.ChallengeID
	w.wantUnder("begun", "acme", []string{"UP-1"}, poll)
	w.wantUnder("by our id", "acme", []string{c.ChallengeID}, poll)
	w.wantUnder("in another tenant", "elsewhere", []string{"up-1", c.ChallengeID})
	w.enter(c)
	w.faces.set(gone, nil)
	w.pollFace(c.ChallengeID) // which opens the next session
	w.wantUnder("the session that is over", "acme", []string{"up-1"})
	w.wantUnder("the next one", "acme", []string{"up-1", "up-2"}, poll)
	w.faces.set(match, nil)
	w.pollFace(c.ChallengeID)
	w.wantUnder("at the end", "acme", []string{"up-2", c.ChallengeID})

	// With nobody there a session that ended has no successor, and leaves nothing.
	c = w.challenge(shop, ask())
	w.faces.set(gone, nil)
	w.pollFace(c.ChallengeID)
	if hash := w.rows(c.ChallengeID); hash != "" {
		t.Errorf("kept of a session that is over: %q", hash)
	}
}

// TestErasedSessions: what sessions are found by goes with the person, and with the end.
func TestErasedSessions(t *testing.T) {
	w := newWorld(t)
	s := w.start(shop, journey.StartRequest{Request: proof.Request{UserIdentifier: "ada@example.com"}})
	w.consented(s)
	c := w.challenge(shop, ask())
	w.now = w.now.Add(time.Second)
	w.wantUnder("open", "acme", []string{"up-" + s.SessionID, "up-1"}, journey.JobChallengePoll+" "+c.ChallengeID, journey.JobPoll+" "+s.SessionID)
	if _, err := w.Erase(ctx, "acme", "ada@example.com"); err != nil {
		t.Fatal(err)
	}
	w.wantUnder("erased", "acme", []string{"up-" + s.SessionID, "up-1", s.SessionID, c.ChallengeID})
	if v, c := w.rows(s.SessionID), w.rows(c.ChallengeID); v != "" || c != "" {
		t.Errorf("kept: %q, %q", v, c)
	}
}
