package kosmos_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// place is the part of a path that names tenant and community.
func (s *server) place() string {
	s.t.Helper()
	c, err := s.blockid().Community(s.t.Context())
	if err != nil {
		s.t.Fatal(err)
	}
	return "/tenant/" + c.TenantID + "/community/" + c.ID
}

const reportTime = "2006-01-02 15:04:05.000"

// ask asks for a report of the last hour and the next, changed.
func (s *server) ask(name string, change map[string]any) reply {
	s.t.Helper()
	now := s.clock.now().UTC()
	b := map[string]any{"pIndex": 0, "pSize": 50, "from": now.Add(-time.Hour).Format(reportTime), "to": now.Add(time.Hour).Format(reportTime)}
	for k, v := range change {
		b[k] = v
	}
	body, _ := json.Marshal(b)
	return s.send("POST", "/reports"+s.place()+"/"+name, bytes.NewReader(body), s.headers(s.shared("reports")))
}

type report struct {
	Page struct{ Total, PSize, PIndex int }
	Data []map[string]any
}

func (s *server) eventsOf(change map[string]any) report {
	s.t.Helper()
	r := s.ask("events", change)
	var out report
	if err := json.Unmarshal(r.body, &out); r.status != 200 || err != nil {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	return out
}

// TestEventsAndReports: what callers report and what happens here comes back by pages.
func TestEventsAndReports(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	put := func(name string, event map[string]any) reply {
		t.Helper()
		return s.service("events", "PUT", "/events"+s.place()+"/event/"+name, event, nil)
	}
	s.create("document-only", "ppt_object", nil) // E_IDV_INITIALIZATION
	for i := range 5 {
		s.clock.add(time.Second)
		r := put("E_LOGIN_SUCCEEDED", map[string]any{
			"event_id": fmt.Sprint("e", i), "event_ts": s.clock.now().UnixMilli(), "user_id": fmt.Sprint("user", i%2), "sp_id": "sp", "sp_name": "Shop", "auth_method": "qr"})
		if r.status != 200 || r.json(t)["event_id"] != fmt.Sprint("e", i) {
			t.Fatalf("%d %s", r.status, r.body)
		}
	}
	s.clock.add(time.Second)
	if r := put("E_LOGIN_FAILED", map[string]any{"user_id": "user1"}); r.status != 200 || r.json(t)["event_id"] == "" {
		t.Fatalf("%d %s", r.status, r.body)
	}
	put("E_LOGIN_SUCCEEDED", map[string]any{"event_id": "e0", "user_id": "again"}) // nothing new

	got := s.eventsOf(nil)
	if got.Page.Total != 7 || got.Page.PSize != 50 || len(got.Data) != 7 {
		t.Fatalf("%+v", got)
	}
	if first := got.Data[0]; first["event_name"] != "E_LOGIN_FAILED" || first["user_id"] != "user1" || first["tenant_id"] == nil || first["timestamp"] == nil {
		t.Errorf("%v", first)
	}
	if last := got.Data[6]; last["event_name"] != "E_IDV_INITIALIZATION" || last["session_id"] == "" || last["event_id"] == "" {
		t.Errorf("%v", last)
	}
	if page := s.eventsOf(map[string]any{"pIndex": 1, "pSize": 3}); page.Page.Total != 7 || page.Page.PIndex != 1 || len(page.Data) != 3 || page.Data[0]["event_id"] != "e2" {
		t.Errorf("%+v", page)
	}
	if page := s.eventsOf(map[string]any{"query": map[string]any{"event_name": "E_LOGIN_SUCCEEDED"}, "pSize": 2}); page.Page.Total != 5 || len(page.Data) != 2 || page.Data[1]["event_id"] != "e3" {
		t.Errorf("%+v", page)
	}
	if page := s.eventsOf(map[string]any{"to": s.clock.now().UTC().Add(-30 * time.Minute).Format(reportTime)}); page.Page.Total != 0 || page.Data == nil {
		t.Errorf("%+v", page)
	}
	for name, want := range map[string]string{
		"login_activity_report":              `"data":{"activityEvents":[{`,
		"passwordless_login_activity_report": `"total":5`,
		"last_seen_report":                   `"total":2`,
		"application_usage_report":           `{"count":5,"sp_id":"sp","sp_name":"Shop"}`,
		"audit_log":                          `"data":{"auditLogEvents":[]}`,
	} {
		if r := s.ask(name, nil); r.status != 200 || !bytes.Contains(r.body, []byte(want)) {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	for _, name := range []string{"M_C_LOGINS", "M_GT_SUCCESSFUL_AUTHENTICATIONS"} {
		if r := s.ask("metrics", map[string]any{"metricsName": name}); r.json(t)["count"] != 5.0 {
			t.Errorf("%s: %s", name, r.body)
		}
	}
	if err := s.Directory().SetDisabled(t.Context(), "cora", true, "a reason"); err != nil {
		t.Fatal(err)
	}
	if r := s.ask("audit_log", nil); !bytes.Contains(r.body, []byte(`"event_name":"user_disabled"`)) || bytes.Contains(r.body, []byte("cora")) || bytes.Contains(r.body, []byte("a reason")) {
		t.Errorf("%s", r.body)
	}

	s.clock.add(91 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if page := s.eventsOf(map[string]any{"from": s.clock.now().UTC().Add(time.Minute - 90*24*time.Hour).Format(reportTime)}); page.Page.Total != 1 { // the session ran out just now
		t.Errorf("%+v", page)
	}
}

// TestStepUpInReports: what a face check was done with can be confirmed there.
func TestStepUpInReports(t *testing.T) {
	t.Parallel()
	s := startStepUps(t, &engine{}, nil)
	id := s.session("face")
	if f := s.face(id, aliceName, alice); f.State != "match" {
		t.Fatalf("%+v", f)
	}
	got := s.eventsOf(map[string]any{"query": map[string]any{"event_name": "E_LOGIN_SUCCEEDED"}})
	if len(got.Data) != 1 || got.Data[0]["authFactor"] != "LiveID" || got.Data[0]["session_id"] != id {
		t.Errorf("%+v", got)
	}
}

func TestReportsRefused(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	now := s.clock.now().UTC()
	for param, change := range map[string]map[string]any{
		"from":        {"from": now.Add(-91 * 24 * time.Hour).Format(reportTime)},
		"to":          {"to": now.Add(-2 * time.Hour).Format(reportTime)},
		"pIndex":      {"pIndex": -1},
		"pSize":       {"pSize": 1001},
		"query":       {"query": "x"},
		"metricsName": nil,
	} {
		name := "events"
		if change == nil {
			name = "metrics"
		}
		r := s.ask(name, change)
		if r.status != 400 || !bytes.Contains(r.body, []byte(`"param":"`+param+`"`)) {
			t.Errorf("%s: %d %s", param, r.status, r.body)
		}
	}
	for _, from := range []string{"", "2026-01-01", "2026-01-01T00:00:00Z"} {
		if r := s.ask("events", map[string]any{"from": from}); r.status != 400 {
			t.Errorf("from %q: %d", from, r.status)
		}
	}
	if r := s.ask("nothing", nil); r.status != 404 {
		t.Errorf("no such report: %d", r.status)
	}
	sealed := map[string]any{"from": now.Add(-time.Hour).Format(reportTime), "to": now.Format(reportTime)}
	if r := s.service("reports", "POST", "/reports"+s.place()+"/events", sealed, nil); r.status != 200 {
		t.Errorf("a sealed body: %d %s", r.status, r.body)
	}
	for name, c := range map[string]struct {
		service, path string
		body          any
		change        func(map[string]string)
		status        int
	}{
		"other tenant": {"events", "/events/tenant/0/community/0/event/E_X", map[string]any{}, nil, 404},
		"name":         {"events", "/events" + s.place() + "/event/login", map[string]any{}, nil, 400},
		"no object":    {"events", "/events" + s.place() + "/event/E_X", []int{1}, nil, 400},
		"null":         {"events", "/events" + s.place() + "/event/E_X", json.RawMessage("null"), nil, 400},
		"big":          {"events", "/events" + s.place() + "/event/E_X", map[string]any{"a": strings.Repeat("x", 33<<10)}, nil, 413},
		"other key":    {"docuverify", "/events" + s.place() + "/event/E_X", map[string]any{}, nil, 400},
		"licence":      {"events", "/events" + s.place() + "/event/E_X", map[string]any{}, func(h map[string]string) { h["licensekey"] = seal(t, s.shared("events"), "x") }, 401},
		"good":         {"events", "/events" + s.place() + "/event/E_X", map[string]any{"event_ts": "never"}, nil, 200},
	} {
		if r := s.service(c.service, "PUT", c.path, c.body, c.change); r.status != c.status {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	body := strings.NewReader(`{"user_id":"ann"}`)
	if r := s.send(http.MethodPut, "/events"+s.place()+"/event/E_X", body, s.headers(s.shared("events"))); r.status != 400 {
		t.Errorf("an event in clear: %d", r.status)
	}
}

func TestReportedIsSealed(t *testing.T) {
	t.Parallel()
	s := start(t, &engine{}, nil)
	if r := s.service("events", "PUT", "/events"+s.place()+"/event/E_LOGIN_SUCCEEDED", map[string]any{"user_id": "ann-the-user"}, nil); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	s.stop()
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "kosmos.db*"))
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	for _, f := range files {
		if b, err := os.ReadFile(f); err != nil || bytes.Contains(b, []byte("ann-the-user")) {
			t.Errorf("%s: %v", filepath.Base(f), err)
		}
	}
}
