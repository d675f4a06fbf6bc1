package hooks_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/test/program"
)

// We are away for half an hour, in which Descope has an event a second that nobody hears.
// They are found in its trail, in no more searches than it allows, and what the webhook
// then tells late is not new.
func TestWeAreAwayForHalfAnHour(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		const away, every = 30 * time.Minute, 10
		g := newGraph(t, 0, notice("LoginFailed"))
		d := &gate{next: g.descope}
		defer g.network.serve(descopeAt, d)()
		time.Sleep(7 * time.Minute) // the first pass of the search is over

		g.end()
		begun := time.Now()
		people := 0
		for i := range int(away / time.Second) {
			action := "UserRefresh"
			if i%every == 0 {
				action = "LoginFailed"
			}
			e := accounts.Event{Action: action, Type: "info", LoginIDs: []string{login(people)}}
			if err := g.accounts.Record(t.Context(), e); err != nil {
				t.Fatal(err)
			}
			if i%every == 0 {
				people++
			}
			time.Sleep(time.Second)
		}
		ended := time.Now()

		g.begin()
		for g.heard.people() < people && time.Since(ended) < time.Hour {
			time.Sleep(10 * time.Second)
		}
		t.Logf("%d events; the last message came %v after we were back", int(away/time.Second), time.Since(ended))
		g.heard.once(t, 0, people)
		var searches []time.Time
		for _, r := range d.requests() {
			if strings.HasSuffix(r.path, "/audit/search") {
				searches = append(searches, r.at)
			}
		}
		for i := range searches {
			if i >= 10 && searches[i].Sub(searches[i-10]) < time.Minute {
				t.Errorf("searches %d to %d came within %v", i-10, i, searches[i].Sub(searches[i-10]))
			}
		}

		client, err := descope.New(descope.Options{BaseURL: "http://" + descopeAt, ProjectID: projectID, ManagementKey: managementKey, HTTPClient: g.client})
		if err != nil {
			t.Fatal(err)
		}
		late := 0
		for page, more := 0, true; more; page++ {
			var told []hooks.Told
			if told, more, err = client.Hooks().AuditSince(t.Context(), begun, ended, page); err != nil {
				t.Fatal(err)
			}
			fresh, err := g.Accept(t.Context(), tenant, hooks.SourceWebhook, told)
			if err != nil || fresh != 0 {
				t.Errorf("of %d events that the webhook told late %d were new, %v", len(told), fresh, err)
			}
			late += len(told)
		}
		if late != int(away/time.Second) {
			t.Errorf("the trail has %d events", late)
		}
		g.end()
	})
}

// The same, short, of the program itself: Descope is away while events come in, and then
// the program is, by kill -9, while Descope has events.
func TestDescopeAndThenWeAreAway(t *testing.T) {
	t.Parallel()
	const first, second, third = 5, 10, 5
	people, api := newDescope(t, first+second+third)
	port := program.FreePort(t)
	d := &gate{next: api}
	down := serveAt(t, port, d, nil)
	l := listen(t)
	b := newBridge(t, t.TempDir(), "", map[string]string{
		tenant: fmt.Sprintf("descope: { base_url: \"http://127.0.0.1:%d\", project_id: %s, management_key: %s }\n", port, projectID, managementKey),
	})
	b.publish(tenant, everything("LoginFailed"))
	b.endpoint(tenant, l.url)
	done := func() int { return b.number("SELECT COUNT(*) FROM hooks_work WHERE state = 'done'") }
	b.accepted(tenant, batch("LoginFailed", 0, first))
	until(t, "all is done while all is well", func() bool { return done() == 4*first })

	d.set(says(http.StatusTooManyRequests, "Retry-After", "6")) // longer than a call waits
	b.accepted(tenant, batch("LoginFailed", first, 1))
	until(t, "Descope has said that it is too much", func() bool { return d.spoilt() > 0 })
	d.set(nil)
	down()
	b.accepted(tenant, batch("LoginFailed", first+1, second-1))
	until(t, "the messages are there without Descope", func() bool { return l.people() == first+second })
	until(t, "what needs Descope was tried", func() bool {
		return b.number("SELECT COUNT(*) FROM hooks_work WHERE state = 'waiting' AND tries > 0") >= second
	})
	down = serveAt(t, port, d, nil)
	defer down()
	until(t, "all is done", func() bool { return done() == 4*(first+second) })

	if err := b.Kill(); err != nil {
		t.Fatal(err)
	}
	for i := range third {
		e := accounts.Event{Action: "LoginFailed", Type: "warn", LoginIDs: []string{login(first + second + i)}}
		if err := people.Record(t.Context(), e); err != nil {
			t.Fatal(err)
		}
	}
	if err := b.Again(); err != nil {
		t.Fatal(err)
	}
	b.up()
	const all = first + second + third
	until(t, "what Descope had meanwhile is done, too", func() bool { return done() == 4*all && l.people() == all && b.waiting(tenant) == 0 })
	l.once(t, 0, all)
	entries, total := people.Audit(t.Context(), accounts.AuditQuery{Actions: []string{entry}, Size: 500})
	works := map[any]bool{}
	for _, e := range entries {
		works[e.Data["work"]] = true
	}
	if total != all || len(works) != all {
		t.Errorf("%d entries of %d actions are in the trail, want %d", total, len(works), all)
	}
}
