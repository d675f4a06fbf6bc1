//go:build unix

package whole_test

import (
	"bytes"
	"net/http"
	"os/exec"
	"strings"
	"sync"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/store/pgtest"
	"github.com/kosmoscope/kosmoscope/test/program"
)

// Two bridges on one database ask about the same challenges: each has one
// outcome, and both say it.
func TestStepUpByTwoBridgesOnOneDatabase(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{store: pgtest.URL(t), bridges: 2})
	const user = "two.bridges@example.com"
	w.enrolled(user)
	type visit struct {
		challenged
		p       *person
		address string
	}
	visits := make([]visit, 7)
	for i := range visits {
		visits[i] = visit{challenged: w.stepUp(user, nil), p: w.person()}
		visits[i].address = visits[i].p.opens(visits[i].ChallengeURL)
	}
	same := func(i int, direct ...string) outcome {
		t.Helper()
		one, two := w.outcomeAt(w.direct[0], bearer, visits[i].ChallengeID), w.outcomeAt(w.direct[1], bearer, visits[i].ChallengeID)
		if !bytes.Equal(one.raw, two.raw) {
			t.Errorf("challenge %d: the bridges answer differently:\n%s\n%s", i, one.raw, two.raw)
		}
		if ends := w.endingsOf(visits[i].ChallengeID); len(ends) != 1 {
			t.Errorf("challenge %d ended as %v", i, ends)
		}
		return one
	}

	// Three are answered. Two are answered with yes by the face and with no on our
	// page at the same moment, which the other bridge gets.
	var all sync.WaitGroup
	for i := range 5 {
		all.Go(func() {
			v := visits[i]
			page := v.p.authenticator(v.address)
			if f := v.p.shows(page, user, fixture("selfie.jpg")); f.state() != "200 match" {
				t.Errorf("the enrolled face came to %s", f.state())
			}
		})
		if i >= 3 {
			all.Go(func() {
				v := visits[i]
				if _, err := v.p.submit(v.p.get(w.url+"/c/"+v.ChallengeID), "/decline", nil); err != nil {
					t.Error(err)
				}
			})
		}
	}
	all.Wait()
	for i := range 3 {
		w.matched(visits[i].ChallengeID)
		same(i)
	}
	for i := 3; i < 5; i++ {
		eventually(t, "a challenge with two answers comes to an end", func() (bool, string) {
			o := w.outcome(visits[i].ChallengeID)
			return o.ended(), o.String()
		})
		if o := same(i); o.String() != "match " && o.String() != "error declined" {
			t.Errorf("a challenge that was declined and answered at once is %s", o)
		}
	}

	// One bridge dies while one of them asks for the answer.
	asking := newHeld()
	w.proxy.set(pathAnswer, asking.before)
	v := visits[5]
	v.p.recognised(v.address, user)
	await(t, "a bridge polls", asking.arrived)
	w.kill(w.bridges[1])
	w.turns.only.Store(0)
	w.proxy.set(pathAnswer, nil)
	close(asking.free)
	w.matched(v.ChallengeID)
	w.again(w.bridges[1])
	w.bridgeReady(1)
	w.turns.only.Store(-1)
	same(5)

	// Erasing the person through a third process ends what is open, for both.
	v = visits[6]
	page := v.p.authenticator(v.address)
	out, err := exec.CommandContext(t.Context(), program.Build(t), "erase", user, "--config", w.configs[0]).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "7 challenges") {
		t.Errorf("erase: %v %s", err, out)
	}
	w.comesTo(v.ChallengeID, "error", "erased")
	if f := v.p.shows(page, user, fixture("selfie.jpg")); f.state() != "200 match" { // 1Kosmos has heard nothing of it
		t.Errorf("at 1Kosmos: %s", f.state())
	}
	if pg := v.p.get(w.url + "/c/" + v.ChallengeID); pg.status != http.StatusOK || pg.step != "done" || pg.state != "failed" || pg.reason != "erased" {
		t.Errorf("the page of an erased person: %d %s %s %s", pg.status, pg.step, pg.state, pg.reason)
	}
	if o := same(6); o.String() != "error erased" {
		t.Errorf("after erasing: %s", o)
	}
	if o := same(0); o.MatchResult != "match" {
		t.Errorf("what had ended before: %s", o)
	}
	if left := w.sql("SELECT id FROM challenges WHERE sealed_request IS NOT NULL OR sealed_session IS NOT NULL OR network IS NOT NULL"); len(left) > 0 {
		t.Errorf("sealed data of %d challenges is left", len(left))
	}
	if dead := w.sql("SELECT kind FROM jobs WHERE dead_at <> 0"); len(dead) > 0 {
		t.Errorf("dead jobs: %v", dead)
	}
}
