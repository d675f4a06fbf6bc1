package console_test

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

const acme = "/console/api/t/acme/"

// rulesShown is what the page reads of the rules.
type rulesShown struct {
	InForce   hooks.Rules   `json:"in_force"`
	Versions  []hooks.Rules `json:"versions"`
	Actions   []string
	Kinds     []string
	Variables []struct{ Name, Type, Help string }
}

func (b *browser) rules() (v rulesShown) {
	b.t.Helper()
	got := b.do("GET", acme+"rules", "")
	b.expect(got, http.StatusOK)
	if err := json.Unmarshal([]byte(got.body), &v); err != nil {
		b.t.Fatal(err)
	}
	return v
}

func TestRules(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	shipped := viewer.rules()
	if shipped.InForce.Version != 0 || len(shipped.InForce.Rules) == 0 || len(shipped.Versions) != 1 || len(shipped.Actions) < 10 || len(shipped.Kinds) < 9 || len(shipped.Variables) < 10 {
		t.Fatalf("as shipped: %+v", shipped)
	}
	rules := append([]hooks.Rule{{
		ID: "by-domain", Name: "Example domains", On: []string{"UserCreated"}, If: `event.email_domain == "example.com"`,
		Do: []hooks.Action{{Do: hooks.Notify, Text: "Somebody of ours has registered."}},
	}}, shipped.InForce.Rules...)

	// While typing.
	problems := func(rules any) []any {
		got := viewer.do("POST", acme+"rules/check", call(t, map[string]any{"rules": rules}))
		viewer.expect(got, http.StatusOK)
		var errors []any
		for _, p := range got.json(t)["problems"].([]any) {
			if p.(map[string]any)["warning"] != true { // nothing is configured here
				errors = append(errors, p)
			}
		}
		return errors
	}
	if got := problems(rules); len(got) != 0 {
		t.Errorf("sound rules: %v", got)
	}
	bad := append([]hooks.Rule{{ID: "by-domain", Name: "Example domains", On: []string{"UserCreated"}, If: `event.emial_domain == "x"`, Do: []hooks.Action{{Do: hooks.Erase}}}}, shipped.InForce.Rules...)
	if got := problems(bad); len(got) == 0 || got[0].(map[string]any)["path"] != "rules[0].if" {
		t.Errorf("an unknown variable: %v", got)
	}
	if got := problems([]any{map[string]any{"id": "x", "when": "y"}}); len(got) != 1 || got[0].(map[string]any)["code"] != "bad_json" {
		t.Errorf("an unknown field: %v", got)
	}
	viewer.expect(viewer.do("POST", acme+"rules/check", `{"rules":[]} {}`), http.StatusBadRequest)

	got := viewer.do("POST", acme+"rules/diff", call(t, map[string]any{"from": shipped.InForce.Rules, "to": rules}))
	viewer.expect(got, http.StatusOK)
	if changes := got.json(t)["changes"].([]any); len(changes) != 1 || changes[0].(map[string]any)["kind"] != "added" {
		t.Errorf("changes: %v", changes)
	}

	publish := map[string]any{"rules": rules, "base": 0, "comment": "To be told."}
	viewer.expect(viewer.do("POST", acme+"rules/publish", call(t, publish)), http.StatusForbidden, "not_allowed")
	refused := b.do("POST", acme+"rules/publish", call(t, map[string]any{"rules": bad, "base": 0}))
	b.expect(refused, http.StatusUnprocessableEntity, "invalid_rules")
	if len(refused.json(t)["problems"].([]any)) == 0 {
		t.Errorf("refused without saying why: %s", refused.body)
	}
	b.expect(b.do("POST", acme+"rules/publish", call(t, map[string]any{"rules": rules, "base": 0, "comment": strings.Repeat("x", 501)})), http.StatusBadRequest)
	b.expect(b.do("POST", acme+"rules/publish", call(t, publish)), http.StatusOK)
	b.expect(b.do("POST", acme+"rules/publish", call(t, publish)), http.StatusConflict, "stale")
	now := b.rules()
	if now.InForce.Version != 1 || now.InForce.Rules[0].ID != "by-domain" || now.InForce.Author != "operator:Ada Lovelace" || len(now.Versions) != 2 {
		t.Errorf("published: %+v", now)
	}
	if trail := w.audited("rules:1"); len(trail) != 1 || trail[0].Actor != "operator:Ada Lovelace" {
		t.Errorf("the trail: %+v", trail)
	}

	// And back.
	viewer.expect(viewer.do("POST", acme+"rules/rollback", `{"to":0,"base":1}`), http.StatusForbidden, "not_allowed")
	b.expect(b.do("POST", acme+"rules/rollback", `{"to":0,"base":0}`), http.StatusConflict, "stale")
	b.expect(b.do("POST", acme+"rules/rollback", `{"to":9,"base":1}`), http.StatusNotFound)
	b.expect(b.do("POST", acme+"rules/rollback", `{"to":0,"base":1}`), http.StatusOK)
	if now = b.rules(); now.InForce.Version != 2 || len(now.InForce.Rules) != len(shipped.InForce.Rules) || !strings.Contains(now.InForce.Comment, "as shipped") {
		t.Errorf("rolled back: %+v", now.InForce)
	}
	one := b.do("GET", acme+"rules/1", "")
	b.expect(one, http.StatusOK)
	if one.json(t)["comment"] != "To be told." {
		t.Errorf("version 1: %s", one.body)
	}
	b.expect(b.do("GET", acme+"rules/x", ""), http.StatusBadRequest)
	b.expect(b.do("GET", "/console/api/t/nowhere/rules", ""), http.StatusNotFound)
}

func TestDryRun(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	if err := w.doors.Seed(t.Context(), w.time()); err != nil {
		t.Fatal(err)
	}
	b := w.signedIn("viewer")
	rules := []hooks.Rule{{
		ID: "by-domain", Name: "Example domains", On: []string{"UserCreated"}, If: `event.email_domain == "example.com"`, Do: []hooks.Action{{Do: hooks.Notify}},
	}}
	begun := b.do("POST", acme+"rules/dryrun", call(t, map[string]any{"rules": rules, "events": 100}))
	b.expect(begun, http.StatusAccepted)
	var p struct {
		Finished bool
		Result   hooks.Report
	}
	for deadline := time.Now().Add(2 * time.Minute); !p.Finished; {
		if time.Now().After(deadline) {
			t.Fatal("it does not end")
		}
		got := b.do("GET", acme+"replay/"+begun.json(t)["id"].(string), "")
		b.expect(got, http.StatusOK)
		if err := json.Unmarshal([]byte(got.body), &p); err != nil {
			t.Fatal(err)
		}
	}
	if r := p.Result; r.Events != 6 || len(r.Rules) != 1 || r.Rules[0].Heard != 2 || r.Rules[0].Matched != 1 || r.Rules[0].Fired != 1 || len(r.Rules[0].Examples) != 1 {
		t.Errorf("%+v", p.Result)
	}
	rules[0].Do = nil
	b.expect(b.do("POST", acme+"rules/dryrun", call(t, map[string]any{"rules": rules})), http.StatusUnprocessableEntity, "invalid_rules")
	rules[0].Do = []hooks.Action{{Do: hooks.Notify}}
	b.expect(b.do("POST", acme+"rules/dryrun", call(t, map[string]any{"rules": rules, "events": 0})), http.StatusBadRequest)
	b.expect(b.do("POST", acme+"rules/dryrun", call(t, map[string]any{"rules": rules, "days": 91})), http.StatusBadRequest)
}

func TestEventsAndWork(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	if err := w.doors.Seed(t.Context(), w.time()); err != nil {
		t.Fatal(err)
	}
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	type event struct {
		ID, Action, State, User string
		Hidden                  bool
		Content                 *hooks.Content
		Work                    []hooks.WorkView
	}
	list := func(query string) (page []event, next string) {
		got := viewer.do("GET", acme+"events"+query, "")
		viewer.expect(got, http.StatusOK)
		var v struct {
			Events []event
			Next   string
		}
		if err := json.Unmarshal([]byte(got.body), &v); err != nil {
			t.Fatal(err)
		}
		if strings.Contains(got.body, "katherine@") {
			t.Errorf("the list names people: %s", got.body)
		}
		return v.Events, v.Next
	}
	all, next := list("")
	if len(all) != 6 || next != "" {
		t.Fatalf("%d events, next %q", len(all), next)
	}
	first, next := list("?limit=4")
	rest, end := list("?limit=4&before=" + next)
	if len(first) != 4 || len(rest) != 2 || end != "" || rest[1].ID != all[5].ID {
		t.Errorf("pages of %d and %d", len(first), len(rest))
	}
	deleted, _ := list("?action=UserDeleted")
	created, _ := list("?action=UserCreated")
	if len(created) != 2 || created[1].User != "g•••@example.com" || created[1].State != "done" || len(deleted) != 1 {
		t.Fatalf("%+v", created)
	}
	one := func(b *browser, id string) (e event) {
		got := b.do("GET", acme+"events/"+id, "")
		b.expect(got, http.StatusOK)
		if err := json.Unmarshal([]byte(got.body), &e); err != nil {
			t.Fatal(err)
		}
		return e
	}
	// What is personal is for operators.
	if e := one(viewer, created[1].ID); e.Content != nil || !e.Hidden || len(e.Work) != 1 {
		t.Errorf("to a viewer: %+v", e)
	}
	e := one(b, created[1].ID)
	if e.Content == nil || e.Content.LoginIDs[0] != "grace@example.com" || len(e.Work) != 1 || e.Work[0].Kind != hooks.WriteAttributes || e.Work[0].State != hooks.WorkFailed {
		t.Fatalf("to an operator: %+v", e)
	}
	// Who was erased is nobody to anybody.
	if gone := one(b, deleted[0].ID); gone.Content != nil || gone.Hidden || gone.User != "" || len(gone.Work) != 1 || gone.Work[0].State == hooks.WorkWaiting {
		t.Errorf("erased: %+v", gone)
	}

	parked, _ := list("?state=parked")
	if len(parked) != 1 {
		t.Fatalf("%d are parked", len(parked))
	}
	viewer.expect(viewer.do("POST", acme+"events/"+parked[0].ID+"/again", `{}`), http.StatusForbidden, "not_allowed")
	b.expect(b.do("POST", acme+"events/"+parked[0].ID+"/again", `{}`), http.StatusConflict) // it is of a kind that only we may tell
	b.expect(b.do("POST", acme+"events/"+deleted[0].ID+"/again", `{}`), http.StatusConflict)
	b.expect(b.do("GET", acme+"events/01940000-0000-7000-8000-000000000000", ""), http.StatusNotFound)
	for _, wrong := range []string{"?state=lost", "?limit=0", "?limit=201", "?since=yesterday", "?who=ada", "?state=done&state=parked"} {
		b.expect(b.do("GET", acme+"events"+wrong, ""), http.StatusBadRequest)
	}

	work := b.do("GET", acme+"work?state=failed&event="+created[1].ID, "")
	b.expect(work, http.StatusOK)
	id := e.Work[0].ID
	if !strings.Contains(work.body, id) {
		t.Errorf("work: %s", work.body)
	}
	b.expect(b.do("GET", acme+"work?state=lost", ""), http.StatusBadRequest)
	viewer.expect(viewer.do("POST", acme+"work/"+id+"/retry", `{}`), http.StatusForbidden, "not_allowed")
	retried := b.do("POST", acme+"work/"+id+"/retry", `{}`)
	b.expect(retried, http.StatusOK)
	if retried.json(t)["state"] != "waiting" {
		t.Errorf("retried: %s", retried.body)
	}
	b.expect(b.do("POST", acme+"work/"+id+"/retry", `{}`), http.StatusConflict)
	b.expect(b.do("POST", acme+"work/"+id+"/drop", `{}`), http.StatusOK)
	var trail []string
	for _, r := range w.audited("work:" + id) {
		if r.Actor == "operator:Ada Lovelace" {
			trail = append(trail, r.Action)
		}
	}
	if got := strings.Join(trail, " "); got != "hooks.work_retried hooks.work_dropped" {
		t.Errorf("the trail: %s", got)
	}
	b.expect(b.do("POST", acme+"work/none/drop", `{}`), http.StatusNotFound)
}
