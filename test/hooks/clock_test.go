package hooks_test

import (
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// Our clock jumps, while some things wait to be tried again and one action is being done.
// What comes after that is done soon. What waited is done too: at the latest when the
// clock shows again what it showed. Nothing is lost or done twice, a count of an hour
// counts, and messages bear the time that the clock shows when they are sent.
func TestClockJumps(t *testing.T) {
	t.Parallel()
	for name, jump := range map[string]time.Duration{"an hour back": -time.Hour, "a day ahead": 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				const part = 10
				g := newGraph(t, 3*part+1, everything("LoginFailed"),
					hooks.Rule{ID: "three", Name: "Three", On: []string{"Counted"}, Count: &hooks.Count{AtLeast: 3, Within: "1h"}, Do: []hooks.Action{{Do: hooks.AddRoles, Roles: []string{"counted"}}}})
				defer g.end()
				d := &gate{next: g.descope}
				defer g.network.serve(descopeAt, d)()
				g.tell("LoginFailed", 0, part)
				g.tell("Counted", 3*part, 1)
				time.Sleep(time.Minute)
				if n := g.heard.people(); n != part {
					t.Fatalf("before it jumps there were messages of %d people", n)
				}

				// Descope does not answer, and the endpoint is busy.
				d.set(hangs)
				g.heard.set(true)
				g.tell("LoginFailed", part, part)
				time.Sleep(8 * time.Second)
				g.jump(jump)
				time.Sleep(time.Minute)
				d.set(nil)
				g.heard.set(false)

				before := g.now()
				g.tell("LoginFailed", 2*part, part)
				g.tell("Counted", 3*part, 1)
				time.Sleep(time.Second)
				g.tell("Counted", 3*part, 1)
				time.Sleep(10 * time.Minute)
				g.heard.mu.Lock()
				for i := 2 * part; i < 3*part; i++ {
					ids := g.heard.heard[login(i)]
					if len(ids) != 1 {
						t.Errorf("ten minutes after it jumped, there were %d messages of %s, who came after that", len(ids), login(i))
						continue
					}
					if at := g.heard.stamps[ids[0]]; at.Before(before.Truncate(time.Second)) || at.After(g.now()) {
						t.Errorf("a message bears the time %v; it was sent from %v on", at, before)
					}
				}
				g.heard.mu.Unlock()
				recent := map[string]int{}
				for _, w := range g.works(hooks.WorkDone, "") {
					if !w.CreatedAt.Before(before.Truncate(time.Microsecond)) && !w.CreatedAt.After(g.now()) {
						recent[w.Kind]++
					}
				}
				for _, kind := range []string{hooks.RevokeSessions, hooks.WriteAttributes, hooks.WriteAudit, hooks.Notify} {
					if recent[kind] < part {
						t.Errorf("ten minutes after it jumped, of what came after that %d × %s is done, want %d", recent[kind], kind, part)
					}
				}
				if u, err := g.accounts.User(t.Context(), login(3*part)); err != nil || len(u.RoleNames) != 1 {
					t.Errorf("who came three times within an hour has the roles %v, %v", u.RoleNames, err)
				}
				if jump < 0 {
					time.Sleep(-jump)
				}
				g.settledBeside(3*part, 2*time.Hour, 1)
			})
		})
	}
}
