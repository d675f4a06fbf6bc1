package console_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// preset is a document of a preset; change may change it.
func preset(t *testing.T, name string, change ...func(*policy.Document)) json.RawMessage {
	t.Helper()
	i := slices.IndexFunc(policy.Presets(), func(p policy.Preset) bool { return p.Name == name })
	d := policy.Presets()[i].Document
	for _, c := range change {
		c(d)
	}
	raw, err := json.Marshal(d)
	if err != nil {
		t.Fatal(err)
	}
	return raw
}

// call makes the body of a call.
func call(t *testing.T, fields map[string]any) string {
	t.Helper()
	raw, err := json.Marshal(fields)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

func TestPalette(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("viewer")
	got := b.do("GET", "/console/api/palette", "")
	b.expect(got, http.StatusOK)
	var p struct {
		Signals []struct {
			Name, Title, Help, Asks string
			Params                  []struct {
				Name, Kind       string
				Number, Min, Max *float64
				List             []string
			}
		}
		Presets    []policy.Preset
		Limits     map[string]int
		Expression struct{ Variables []policy.Variable }
	}
	if err := json.Unmarshal([]byte(got.body), &p); err != nil {
		t.Fatal(err)
	}
	if len(p.Signals) < 11 || len(p.Presets) != 3 || len(p.Expression.Variables) == 0 || p.Limits["nodes"] != policy.MaxNodes || p.Limits["score"] != policy.MaxScore {
		t.Errorf("%d signals, %d presets, %d variables, limits %v", len(p.Signals), len(p.Presets), len(p.Expression.Variables), p.Limits)
	}
	for _, s := range p.Signals {
		if s.Name == "" || s.Title == "" || s.Help == "" || s.Asks == "" || s.Params == nil {
			t.Errorf("signal %+v", s)
		}
		for _, q := range s.Params {
			if number := q.Kind == "number"; number != (q.Number != nil && q.Min != nil && q.Max != nil) || number != (q.List == nil) {
				t.Errorf("%s: parameter %+v", s.Name, q)
			}
		}
	}
}

func TestPublish(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b, viewer := w.signedIn("operator"), w.signedIn("viewer")
	state := func(application string) map[string]any {
		t.Helper()
		got := viewer.do("GET", "/console/api/t/acme/policy?application="+application, "")
		viewer.expect(got, http.StatusOK)
		return got.json(t)
	}
	holds := func(state map[string]any) string {
		e := state["enforced"].(map[string]any)
		return fmt.Sprint(e["from"], e["version"], e["document"].(map[string]any)["name"])
	}
	if s := state(""); s["base"] != 0.0 || holds(s) != "preset0Balanced" || s["shadow"] != nil || len(s["versions"].([]any)) != 0 {
		t.Errorf("at first: %v", s)
	}

	publish := func(fields map[string]any) answer {
		return b.do("POST", "/console/api/t/acme/policy/publish", call(t, fields))
	}
	strict := map[string]any{"application": "", "document": preset(t, policy.Strict), "base": 0, "mode": "enforce", "comment": "Too many odd logins."}
	viewer.expect(viewer.do("POST", "/console/api/t/acme/policy/publish", call(t, strict)), http.StatusForbidden, "not_allowed")
	viewer.expect(viewer.do("POST", "/console/api/t/acme/policy/rollback", `{}`), http.StatusForbidden, "not_allowed")
	got := publish(strict)
	b.expect(got, http.StatusOK)
	if v := got.json(t); v["version"] != 1.0 || v["author"] != "Ada Lovelace" || v["comment"] != "Too many odd logins." || v["mode"] != "enforce" {
		t.Errorf("published: %v", v)
	}
	if s := state(""); s["base"] != 1.0 || holds(s) != "own1Strict" || len(s["versions"].([]any)) != 1 {
		t.Errorf("then: %v", s)
	}
	if s := state("shop"); s["base"] != 0.0 || holds(s) != "tenant1Strict" || s["application"] != "shop" {
		t.Errorf("an application without its own: %v", s)
	}

	// Somebody who had not seen it.
	got = publish(strict)
	b.expect(got, http.StatusConflict, "stale")
	if got.json(t)["latest"] != 1.0 {
		t.Errorf("stale: %s", got.body)
	}
	// One with problems.
	bad := map[string]any{"document": preset(t, policy.Strict, func(d *policy.Document) { d.Nodes[0].Signal = "horoscope" }), "base": 1, "mode": "enforce"}
	got = publish(bad)
	b.expect(got, http.StatusUnprocessableEntity, "invalid_policy")
	if p := got.json(t)["problems"].([]any); len(p) == 0 || p[0].(map[string]any)["code"] == "" {
		t.Errorf("problems: %s", got.body)
	}
	// One that is only tried, of one application.
	b.expect(publish(map[string]any{"application": "shop", "document": preset(t, policy.Lenient), "base": 0, "mode": "shadow", "comment": "Try."}), http.StatusOK)
	if s := state("shop"); s["base"] != 1.0 || holds(s) != "tenant1Strict" || s["shadow"].(map[string]any)["version"] != 1.0 {
		t.Errorf("a shadow: %v", s)
	}

	rollback := func(fields string) answer { return b.do("POST", "/console/api/t/acme/policy/rollback", fields) }
	got = rollback(`{"application":"","to":0,"base":1,"comment":""}`)
	b.expect(got, http.StatusOK)
	if got.json(t)["version"] != 2.0 || holds(state("")) != "own2Balanced" {
		t.Errorf("rolled back: %s", got.body)
	}
	got = rollback(`{"to":1,"base":1}`)
	b.expect(got, http.StatusConflict, "stale")
	b.expect(rollback(`{"to":7,"base":2}`), http.StatusNotFound, "invalid_request")

	got = viewer.do("GET", "/console/api/t/acme/policy/1?application=", "")
	viewer.expect(got, http.StatusOK)
	if v := got.json(t); v["info"].(map[string]any)["version"] != 1.0 || v["document"].(map[string]any)["name"] != "Strict" {
		t.Errorf("version 1: %s", got.body)
	}
	viewer.expect(viewer.do("GET", "/console/api/t/acme/policy/0", ""), http.StatusOK)
	viewer.expect(viewer.do("GET", "/console/api/t/acme/policy/9", ""), http.StatusNotFound, "invalid_request")
	viewer.expect(viewer.do("GET", "/console/api/t/acme/policy/-1", ""), http.StatusBadRequest, "invalid_request")
	got = viewer.do("GET", "/console/api/t/acme/policies", "")
	if slots := got.json(t)["slots"].([]any); len(slots) != 3 || slots[0].(map[string]any)["enforced"] != 2.0 || slots[2].(map[string]any)["shadow"] != 1.0 {
		t.Errorf("slots: %s", got.body)
	}
	// It is one tenant's, and none that there is not.
	if got := viewer.do("GET", "/console/api/t/globex/policy", "").json(t); got["base"] != 0.0 {
		t.Errorf("another tenant: %v", got)
	}
	for _, path := range []string{"policies", "policy", "policy/1", "decisions", "decisions/1", "replay/1"} {
		viewer.expect(viewer.do("GET", "/console/api/t/nobody/"+path, ""), http.StatusNotFound, "invalid_request")
	}
}

func TestCheckDiffTry(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("viewer")
	balanced := preset(t, policy.Balanced)
	got := b.do("POST", "/console/api/policy/check", call(t, map[string]any{"document": balanced}))
	b.expect(got, http.StatusOK)
	if strings.TrimSpace(got.body) != `{"problems":[]}` {
		t.Errorf("check: %s", got.body)
	}
	got = b.do("POST", "/console/api/policy/check", `{"document":{"format":1,"unheard":true}}`)
	b.expect(got, http.StatusOK)
	if len(got.json(t)["problems"].([]any)) == 0 {
		t.Error("a document with an unknown field has no problems")
	}
	renamed := preset(t, policy.Balanced, func(d *policy.Document) { d.Name = "Ours" })
	got = b.do("POST", "/console/api/policy/diff", call(t, map[string]any{"from": balanced, "to": renamed}))
	b.expect(got, http.StatusOK)
	if c := got.json(t)["changes"].([]any); len(c) != 1 || c[0].(map[string]any)["kind"] != "changed" {
		t.Errorf("diff: %s", got.body)
	}
	b.expect(b.do("POST", "/console/api/policy/diff", call(t, map[string]any{"from": balanced, "to": 1})), http.StatusBadRequest, "invalid_request")
	for seen, want := range map[string]string{"false": "step_up", "true": "allow"} {
		got = b.do("POST", "/console/api/policy/try", `{"document":`+string(balanced)+`,"observation":{"at":"2026-11-23T09:30:00Z","device_known":true,`+
			`"address":"public","ip":"198.51.100.7","address_seen":`+seen+`,"network_seen":`+seen+`,"as_seen":`+seen+`,"asn":64500,`+
			`"country":"PT","country_seen":`+seen+`,"known_countries":["DE"],"logins":20}}`)
		b.expect(got, http.StatusOK)
		result := got.json(t)["result"].(map[string]any)
		if result["decision"] != want || len(result["steps"].([]any)) == 0 {
			t.Errorf("try, seen before %s: %v %v", seen, result["decision"], result["reasons"])
		}
	}
	got = b.do("POST", "/console/api/policy/try", `{"document":{},"observation":{}}`)
	b.expect(got, http.StatusOK)
	if v := got.json(t); v["result"] != nil || len(v["problems"].([]any)) == 0 {
		t.Errorf("try a bad one: %s", got.body)
	}
}

// What comes in is taken only as it is described.
func TestStrict(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("operator")
	const publish, try = "t/acme/policy/publish", "policy/try"
	large := `{"document":"` + strings.Repeat("x", policy.MaxBytes) + `"}`
	for what, c := range map[string]struct {
		path, body string
		status     int
		says       string
	}{
		"empty":               {"policy/check", ``, 400, "well-formed"},
		"no JSON":             {"policy/check", `document`, 400, "well-formed"},
		"two":                 {"policy/check", `{"document":{}}{}`, 400, "well-formed"},
		"a list":              {"policy/check", `[]`, 400, "object"},
		"missing":             {"policy/check", `{}`, 400, "document"},
		"null":                {"policy/check", `{"document":null}`, 400, "document"},
		"unknown":             {"policy/check", `{"document":{},"more":1}`, 400, "more"},
		"another case":        {"policy/check", `{"Document":{}}`, 400, "document"},
		"twice":               {"policy/check", `{"document":{},"document":{}}`, 400, "twice"},
		"not UTF-8":           {"policy/check", "{\"document\":\"\xff\"}", 400, "UTF-8"},
		"too large":           {"policy/check", large, 413, "KiB"},
		"much too large":      {"policy/check", large + strings.Repeat(" ", 1<<20), 413, "KiB"},
		"no application text": {publish, `{"application":1,"document":{},"base":0,"mode":"enforce"}`, 400, "application"},
		"control":             {publish, `{"application":"a\u0000","document":{},"base":0,"mode":"enforce"}`, 400, "application"},
		"long application":    {publish, `{"application":"` + strings.Repeat("a", 201) + `","document":{},"base":0,"mode":"enforce"}`, 400, "application"},
		"long comment":        {publish, `{"document":{},"base":0,"mode":"enforce","comment":"` + strings.Repeat("a", 501) + `"}`, 400, "comment"},
		"no base":             {publish, `{"document":{},"mode":"enforce"}`, 400, "base"},
		"half a base":         {publish, `{"document":{},"base":0.5,"mode":"enforce"}`, 400, "base"},
		"negative base":       {publish, `{"document":{},"base":-1,"mode":"enforce"}`, 400, "base"},
		"another mode":        {publish, `{"document":{},"base":0,"mode":"both"}`, 400, "mode"},
		"author":              {publish, `{"document":{},"base":0,"mode":"enforce","author":"Grace"}`, 400, "author"},
		"negative version":    {"t/acme/policy/rollback", `{"to":-1,"base":0}`, 400, "to"},
		"unknown fact":        {try, `{"document":{},"observation":{"mood":1}}`, 400, "mood"},
		"a fact of no kind":   {try, `{"document":{},"observation":{"device_known":"yes"}}`, 400, "observation"},
		"no days":             {"t/acme/replay", `{"document":{}}`, 400, "days"},
		"0 days":              {"t/acme/replay", `{"document":{},"days":0}`, 400, "days"},
		"91 days":             {"t/acme/replay", `{"document":{},"days":91}`, 400, "days"},
		"a bad draft":         {"t/acme/replay", `{"document":{},"days":7}`, 422, "policy"},
	} {
		got := b.do("POST", "/console/api/"+c.path, c.body)
		v := got.json(t)
		if got.StatusCode != c.status || !strings.Contains(fmt.Sprint(v["message"]), c.says) || v["hint"] == nil {
			t.Errorf("%s: %d %s", what, got.StatusCode, got.body)
		}
	}
	form := b.do("POST", "/console/api/policy/check", `{"document":{}}`, header("Content-Type", "text/plain"))
	b.expect(form, http.StatusBadRequest, "invalid_request")
	for _, q := range []string{"unknown=1", "application=a&application=b", "decision=maybe", "outcome=good", "since=yesterday", "limit=0", "limit=201", "limit=x", "cursor=%00", "user=%ff", "cursor=x",
		"user=" + strings.Repeat("a", 1025), "a;b"} {
		b.expect(b.do("GET", "/console/api/t/acme/decisions?"+q, ""), http.StatusBadRequest, "invalid_request")
	}
	b.expect(b.do("GET", "/console/api/t/acme/policy?tenant=globex", ""), http.StatusBadRequest, "invalid_request")
}

func TestDecisions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, loopback, built)
	b := w.signedIn("viewer")
	ask := func(q string) (ids []string, next string) {
		t.Helper()
		got := b.do("GET", "/console/api/t/acme/decisions?"+q, "")
		b.expect(got, http.StatusOK)
		v := got.json(t)
		for _, d := range v["decisions"].([]any) {
			ids = append(ids, d.(map[string]any)["id"].(string))
		}
		return ids, v["next"].(string)
	}
	all, next := ask("limit=200")
	if len(all) != 63 || next != "" {
		t.Fatalf("%d decisions, then %q", len(all), next)
	}
	var paged []string
	for cursor := ""; ; {
		ids, next := ask("limit=20&cursor=" + cursor)
		paged = append(paged, ids...)
		if cursor = next; next == "" {
			break
		}
	}
	if !slices.Equal(paged, all) {
		t.Error("the pages are not the whole")
	}
	for q, want := range map[string]int{
		"user=alan@example.com": 9, "application=admin": 18, "application=": 0, "outcome=match&application=shop": 9,
		"decision=step_up&user=grace@example.com": 9, "since=" + start.Add(-12*time.Hour).Format(time.RFC3339): 3,
	} {
		if ids, _ := ask("limit=200&" + q); len(ids) != want {
			t.Errorf("%s: %d, want %d", q, len(ids), want)
		}
	}
	got := b.do("GET", "/console/api/t/acme/decisions/"+all[0], "")
	b.expect(got, http.StatusOK)
	e := got.json(t)
	if e["id"] != all[0] || len(e["result"].(map[string]any)["steps"].([]any)) == 0 || e["policy"] == nil || e["observation"] == nil {
		t.Errorf("explained: %s", got.body)
	}
	b.expect(b.do("GET", "/console/api/t/acme/decisions/nothing", ""), http.StatusNotFound, "unknown_decision")
	b.expect(b.do("GET", "/console/api/t/globex/decisions/"+all[0], ""), http.StatusNotFound, "unknown_decision")
	if strings.Contains(w.log.String(), "alan") {
		t.Errorf("the log has a user:\n%s", w.log.String())
	}
}

func replayBody(t *testing.T) string {
	t.Helper()
	return call(t, map[string]any{"application": "", "document": preset(t, policy.Strict), "days": 30})
}

// begin starts a replay and returns its address.
func (b *browser) begin() string {
	b.t.Helper()
	got := b.do("POST", "/console/api/t/acme/replay", replayBody(b.t))
	b.expect(got, http.StatusAccepted)
	return "/console/api/t/acme/replay/" + got.json(b.t)["id"].(string)
}

func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, loopback, built)
		gate := make(chan struct{})
		w.risk.Step = func(ctx context.Context, done, _ int) error {
			if done != 5 {
				return nil
			}
			select {
			case <-gate:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		b, other, third := w.signedIn("viewer"), w.signedIn("operator"), w.signedIn("operator")
		at := b.begin()
		synctest.Wait()
		look := func() map[string]any {
			t.Helper()
			got := b.do("GET", at, "")
			b.expect(got, http.StatusOK)
			return got.json(t)
		}
		if p := look(); p["done"] != 5.0 || p["total"] != 62.0 || p["finished"] != false || p["result"] != nil {
			t.Errorf("half-way: %v", p)
		}
		b.expect(b.do("POST", "/console/api/t/acme/replay", replayBody(t)), http.StatusTooManyRequests, "rate_limited")
		second := other.begin()
		third.expect(third.do("POST", "/console/api/t/acme/replay", replayBody(t)), http.StatusTooManyRequests, "rate_limited")
		// It is its owner's alone, and its tenant's.
		other.expect(other.do("GET", at, ""), http.StatusNotFound, "invalid_request")
		other.expect(other.do("DELETE", at, ""), http.StatusNotFound, "invalid_request")
		b.expect(b.do("GET", strings.Replace(at, "acme", "globex", 1), ""), http.StatusNotFound, "invalid_request")

		// Cancelled, it makes room.
		other.expect(other.do("DELETE", second, ""), http.StatusNoContent)
		other.expect(other.do("GET", second, ""), http.StatusNotFound, "invalid_request")
		other.expect(other.do("DELETE", second, ""), http.StatusNotFound, "invalid_request")
		synctest.Wait()
		third.begin()

		close(gate)
		synctest.Wait()
		p := look()
		result := p["result"].(map[string]any)
		if p["done"] != 62.0 || p["finished"] != true || result["logins"] != 62.0 || result["stricter"] == 0.0 || len(result["who"].([]any)) == 0 {
			t.Errorf("finished: %v", p)
		}
		w.later(10*time.Minute - time.Second)
		look()
		w.later(time.Second)
		b.expect(b.do("GET", at, ""), http.StatusNotFound, "invalid_request")
	})
}

func TestReplayFails(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, loopback, built)
		b := w.signedIn("viewer")
		for what, step := range map[string]func(context.Context, int, int) error{
			"an error": func(context.Context, int, int) error { return errors.New("a secret of the database") },
			"a panic":  func(context.Context, int, int) error { panic("a secret of the program") },
		} {
			w.risk.Step = step
			at := b.begin()
			synctest.Wait()
			got := b.do("GET", at, "")
			b.expect(got, http.StatusOK)
			p := got.json(t)
			if e, _ := p["error"].(map[string]any); p["finished"] != true || p["result"] != nil || e["reason"] != "internal_error" || strings.Contains(got.body, "secret") {
				t.Errorf("%s: %s", what, got.body)
			}
		}
		if n := strings.Count(w.log.String(), "a replay failed"); n != 2 {
			t.Errorf("%d failures in the log:\n%s", n, w.log.String())
		}
	})
}

// Who signs out, and a program that ends, leave no replay behind.
func TestReplayEnds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, loopback, built)
		ended := 0
		w.risk.Step = func(ctx context.Context, _, _ int) error {
			<-ctx.Done()
			ended++
			return ctx.Err()
		}
		b, other := w.signedIn("viewer"), w.signedIn("viewer")
		b.begin()
		b.expect(b.do("POST", "/console/api/signout", ""), http.StatusNoContent)
		synctest.Wait()
		if ended != 1 {
			t.Error("signing out left the replay")
		}
		other.begin()
		w.console.Close()
		if ended != 2 {
			t.Error("closing left a replay")
		}
		other.expect(other.do("POST", "/console/api/t/acme/replay", replayBody(t)), http.StatusServiceUnavailable, "unavailable")
	})
}
