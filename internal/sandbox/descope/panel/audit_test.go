package panel_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/auditing"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/panel"
)

// stream is an audit stream that sends nothing.
type stream struct {
	knobs  auditing.Knobs
	states []auditing.State
}

func (s *stream) Knobs() auditing.Knobs    { return s.knobs }
func (s *stream) States() []auditing.State { return s.states }

func (s *stream) SetKnobs(k auditing.Knobs) error {
	if k.Batch < 0 || k.Batch > 100 {
		return errors.New("batch must be from 1 to 100")
	}
	s.knobs = k
	return nil
}

func TestAuditStream(t *testing.T) {
	t.Parallel()
	s := &stream{knobs: auditing.Defaults(), states: []auditing.State{
		{Name: "audit", URL: "http://bridge.example/events", Requests: 3, Sent: 12, Waiting: 2, Status: 503, At: time.Date(2027, 1, 15, 11, 0, 0, 0, time.UTC)},
		{Name: "off", Disabled: true},
	}}
	l := newLab(t, func(o *panel.Options) { o.Audit = s })
	page := l.call(200, "GET", "/lab/audit", "")
	for _, want := range []string{"http://bridge.example/events", "12 sent, 2 waiting", `<span class="tag bad">503</span>`, "2027-01-15 11:00:00 UTC", ">disabled<", `value="250"`, `aria-current="page">Audit stream`} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	l.form(303, "/lab/audit", "duplicates", "2", "order", "reverse", "delay", " 40 ", "batch", "10", "drop", "3", "pause", "1")
	if want := (auditing.Knobs{Duplicates: 2, Order: "reverse", DelayMS: 40, Batch: 10, Drop: 3, Pause: true}); s.knobs != want {
		t.Errorf("%+v", s.knobs)
	}
	if page := l.form(422, "/lab/audit", "batch", "many", "order", "shuffle"); !strings.Contains(page, "batch must be from 1 to 100") || !strings.Contains(page, `value="many"`) || !strings.Contains(page, `value="shuffle" selected`) {
		t.Error(page)
	}
	var got struct {
		auditing.Knobs
		Webhooks []auditing.State
	}
	l.decode(l.call(200, "GET", "/lab/api/audit", ""), &got)
	if got.Knobs != s.knobs || len(got.Webhooks) != 2 || got.Webhooks[0].Sent != 12 {
		t.Errorf("%+v", got)
	}
	l.decode(l.call(200, "PUT", "/lab/api/audit", `{"pause":false,"batch":1,"delay_ms":5}`), &got)
	if want := (auditing.Knobs{DelayMS: 5, Batch: 1}); s.knobs != want || got.Knobs != want {
		t.Errorf("%+v, %+v", s.knobs, got)
	}
	if got := l.problem(422, "PUT", "/lab/api/audit", `{"batch":1000}`); got != "batch must be from 1 to 100" {
		t.Error(got)
	}
	if got := l.problem(400, "PUT", "/lab/api/audit", `{"dealy_ms":5}`); !strings.Contains(got, "dealy_ms") {
		t.Error(got)
	}
	l.call(204, "DELETE", "/lab/api/audit", "")
	if s.knobs != auditing.Defaults() {
		t.Errorf("%+v", s.knobs)
	}
	s.knobs = auditing.Knobs{}
	l.form(303, "/lab/audit/reset")
	if s.knobs != auditing.Defaults() {
		t.Errorf("%+v", s.knobs)
	}
	if page := newLab(t, nil).call(404, "GET", "/lab/audit", ""); strings.Contains(page, "Audit stream") {
		t.Error("a page of a stream that is not there")
	}
}
