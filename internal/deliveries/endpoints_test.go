package deliveries_test

import (
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func TestCheck(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for _, c := range []struct {
		name   string
		in     deliveries.Input
		fields string
	}{
		{"good", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard", Events: []string{"*", "verification.*", "hook.r-1_x"}}, ""},
		{"nothing", deliveries.Input{}, "name shape url"},
		{"private", deliveries.Input{Name: "n", URL: "http://10.0.0.1", Shape: "slack"}, "url"},
		{"shortened", deliveries.Input{Name: "n", URL: "https://example.com/…", Shape: "slack"}, "url"},
		{"events", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Events: []string{"verification.*.x"}}, "events"},
		{"half an event", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Events: []string{"verif*"}}, "events"},
		{"many events", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Events: slices.Repeat([]string{"a"}, 51)}, "events"},
		{"no template", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "template"}, "template"},
		{"template of another", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Template: "{}"}, "template"},
		{"no token", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "datadog"}, "token"},
		{"token of another", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard", Token: "t"}, "token"},
		{"bad token", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "segment", Token: "t\r\nX: y"}, "token"},
		{"headers", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard", Headers: map[string]string{"Host": "x", "webhook-id": "1", "a b": "c", "Empty": "", "Ok": "é"}}, "headers headers headers headers headers"},
		{"header twice", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard", Headers: map[string]string{"X-A": "x", "x-a": "1"}}, "headers"},
		{"headers of slack", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Headers: map[string]string{"A": "x"}}, "headers"},
		{"signing", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard", Signing: "rsa"}, "signing"},
		{"signing of slack", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "slack", Signing: "hmac"}, "signing"},
		{"name", deliveries.Input{Name: "a\nb", URL: "https://example.com", Shape: "slack"}, "name"},
	} {
		var fields []string
		for _, p := range w.s.Check(c.in) {
			fields = append(fields, p.Field)
		}
		if got := strings.Join(fields, " "); got != c.fields {
			t.Errorf("%s: problems with %q, want %q", c.name, got, c.fields)
		}
	}
	if _, _, _, err := w.s.Create(t.Context(), "other", "operator", deliveries.Input{Name: "n", URL: "https://example.com", Shape: "standard"}); !errors.Is(err, proof.ErrNotFound) {
		t.Errorf("a tenant that is not configured: %v", err)
	}
}

func TestEndpoints(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		e, secret, problems, err := w.s.Create(t.Context(), "acme", "operator:ada", deliveries.Input{
			Name: "Hook", URL: "https://example.com/hook?key=hidden", Shape: deliveries.ShapeStandard, Headers: map[string]string{"X-Key": "k"},
		})
		if err != nil || len(problems) > 0 || !strings.HasPrefix(secret, "whsec_") {
			t.Fatal(err, problems)
		}
		if e.URL != "https://example.com/hook?…" || e.Sealed != nil || len(e.Headers) != 1 || len(e.Signing) != 1 || e.Signing[0].Kind != "hmac" {
			t.Errorf("%+v", e)
		}
		in := func(v deliveries.EndpointView) deliveries.Input {
			return deliveries.Input{Name: v.Name, URL: v.URL, Events: v.Events, Shape: v.Shape, Template: v.Template, AllowPrivate: v.AllowPrivate, Version: v.Version}
		}
		// What is shown, sent back, keeps what is hidden.
		next := in(e)
		next.Name = "Renamed"
		e2, secret, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator:ada", next)
		if err != nil || len(problems) > 0 || secret != "" || e2.Name != "Renamed" || e2.URL != e.URL || len(e2.Headers) != 1 {
			t.Fatal(err, problems, e2)
		}
		if _, _, _, err := w.s.Update(t.Context(), "acme", e.ID, "operator", next); proof.CodeOf(err) != proof.CodeConflict || errors.Is(err, proof.ErrStale) {
			t.Errorf("an old version: %v", err)
		}
		// Another address does not get the credentials that nobody is shown.
		moved := in(e2)
		moved.URL = "https://evil.example/hook"
		if _, _, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator", moved); err != nil || len(problems) != 1 || problems[0].Field != "headers" {
			t.Errorf("%v %v", err, problems)
		}
		moved.Headers = map[string]string{"X-Key": ""}
		if _, _, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator", moved); err != nil || len(problems) != 1 {
			t.Errorf("%v %v", err, problems)
		}
		moved.Headers = map[string]string{}
		e3, _, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator", moved)
		if err != nil || len(problems) > 0 || len(e3.Headers) != 0 || e3.URL != moved.URL {
			t.Errorf("%v %v %+v", err, problems, e3)
		}
		// To Slack and back: nothing of the old shape stays.
		slack := in(e3)
		slack.Shape, slack.URL = deliveries.ShapeSlack, "https://hooks.example/services/T/B/xyz"
		e4, secret, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator", slack)
		if err != nil || len(problems) > 0 || secret != "" || len(e4.Signing) != 0 || e4.URL != "https://hooks.example/services/T/B/…" {
			t.Errorf("%v %v %+v", err, problems, e4)
		}
		if _, _, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "hmac", 0); proof.CodeOf(err) != proof.CodeConflict {
			t.Errorf("rotates what is not signed: %v", err)
		}
		back := in(e4)
		back.Shape, back.Signing = deliveries.ShapeStandard, "ed25519"
		e5, secret, problems, err := w.s.Update(t.Context(), "acme", e.ID, "operator", back)
		if err != nil || len(problems) > 0 || !strings.HasPrefix(secret, "whpk_") || len(e5.Signing) != 1 || e5.Signing[0].PublicKey != secret {
			t.Errorf("%v %v %+v", err, problems, e5)
		}
		if all, err := w.s.Endpoints(t.Context(), "acme"); err != nil || len(all) != 1 || all[0].URL != "https://hooks.example/services/T/B/xyz" {
			t.Errorf("%v %+v", err, all)
		}
		if err := w.s.Delete(t.Context(), "acme", e.ID, "operator:ada"); err != nil {
			t.Error(err)
		}
		if err := w.s.Delete(t.Context(), "acme", e.ID, "operator:ada"); !errors.Is(err, proof.ErrNotFound) {
			t.Error(err)
		}
		want := "operator:ada endpoint.created, operator:ada endpoint.updated, operator endpoint.updated, operator endpoint.updated, operator endpoint.updated, operator:ada endpoint.deleted"
		if got := strings.Join(w.audited(), ", "); got != want {
			t.Errorf("audited %s", got)
		}
		for _, r := range w.m.audit {
			if s := fmt.Sprint(r.Detail); strings.Contains(s, "example") || strings.Contains(s, "whsec") {
				t.Errorf("the trail tells %s", s)
			}
		}
	})
}

func TestRotation(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", ok)
		e, old := w.endpoint("http://10.0.0.1/")
		_, fresh, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "hmac", 24*time.Hour)
		if err != nil {
			t.Fatal(err)
		}
		_, public, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "ed25519", 24*time.Hour)
		if err != nil || !strings.HasPrefix(public, "whpk_") {
			t.Fatal(err, public)
		}
		good := func() (out []bool) {
			w.tell("a.b", nil)
			w.drain(time.Minute)
			all := w.received("10.0.0.1:80")
			last := all[len(all)-1]
			for _, s := range []string{old, fresh, public} {
				out = append(out, deliveries.Verify(s, last.header, last.body, last.at) == nil)
			}
			return out
		}
		if g := good(); !slices.Equal(g, []bool{true, true, true}) {
			t.Error(g)
		}
		time.Sleep(24 * time.Hour)
		if g := good(); !slices.Equal(g, []bool{false, false, true}) {
			t.Error(g)
		}
		// Known to somebody else: at once, and for whoever signs from now on.
		v, now, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "hmac", 0)
		if err != nil || len(v.Signing) != 1 {
			t.Fatal(err, v)
		}
		if g := good(); !slices.Equal(g, []bool{false, false, false}) {
			t.Error(g)
		}
		all := w.received("10.0.0.1:80")
		if err := deliveries.Verify(now, all[len(all)-1].header, all[len(all)-1].body, time.Now()); err != nil {
			t.Error(err)
		}
		for range 4 {
			if _, _, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "hmac", time.Hour); err != nil {
				t.Fatal(err)
			}
		}
		if _, _, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", "hmac", time.Hour); proof.CodeOf(err) != proof.CodeConflict {
			t.Errorf("a sixth secret: %v", err)
		}
		for kind, overlap := range map[string]time.Duration{"rsa": 0, "hmac": 8 * 24 * time.Hour, "ed25519": -1} {
			if _, _, err := w.s.Rotate(t.Context(), "acme", e.ID, "operator", kind, overlap); proof.CodeOf(err) != proof.CodeInvalid {
				t.Errorf("%s %v: %v", kind, overlap, err)
			}
		}
	})
}

func TestButton(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var status atomic.Int64
		status.Store(200)
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, _ *http.Request) {
			rw.WriteHeader(int(status.Load()))
			fmt.Fprint(rw, "hello")
		})
		e, secret := w.endpoint("http://10.0.0.1/", func(in *deliveries.Input) { in.Disabled, in.Events = true, []string{"x.y"} })
		d, a, err := w.s.Test(t.Context(), "acme", e.ID, "operator")
		if err != nil || d.State != deliveries.Delivered || !d.Test || a.Status != 200 || a.Exchange.ResponseBody != "hello" {
			t.Fatal(err, d, a)
		}
		r := w.received("10.0.0.1:80")[0]
		if err := deliveries.Verify(secret, r.header, r.body, time.Now()); err != nil || !strings.Contains(string(r.body), `"type":"endpoint.test"`) {
			t.Error(err, string(r.body))
		}
		status.Store(410) // of a test says nothing for others
		d, a, err = w.s.Test(t.Context(), "acme", e.ID, "operator")
		if err != nil || d.State != deliveries.Failed || a.Status != 410 {
			t.Error(err, d, a)
		}
		w.drain(time.Hour)
		if n := len(w.received("10.0.0.1:80")); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		if v, _ := w.s.Endpoint(t.Context(), "acme", e.ID); v.Why != "" {
			t.Errorf("%+v", v)
		}
		if _, err := w.s.Replay(t.Context(), "acme", d.ID, "operator"); proof.ReasonOf(err) != proof.ReasonEndpointOff {
			t.Errorf("replay at an endpoint that is off: %v", err)
		}
	})
}

func TestReplay(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t, func(o *deliveries.Options) { o.Schedule = []time.Duration{} })
		var status atomic.Int64
		status.Store(500)
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(int(status.Load())) })
		e, _ := w.endpoint("http://10.0.0.1/")
		for range 250 {
			w.tell("a.b", nil)
		}
		w.tell("a.c", nil)
		w.drain(time.Hour)
		one := w.log()[0]
		if one.State != deliveries.Failed {
			t.Fatalf("%+v", one)
		}
		failed := w.log()[1]
		if _, err := w.s.Replay(t.Context(), "acme", failed.ID, "operator"); err != nil { // in vain
			t.Error(err)
		}
		w.drain(time.Hour)
		status.Store(200)
		if d, err := w.s.Replay(t.Context(), "acme", one.ID, "operator"); err != nil || !d.Replay || d.Message != one.Message {
			t.Error(err, d)
		}
		w.drain(time.Hour)
		if n := len(w.received("10.0.0.1:80")); n != 253 {
			t.Fatalf("%d requests, want 253", n)
		}
		time.Sleep(time.Second) // of the bubble
		q := deliveries.DeliveryQuery{Tenant: "acme", Endpoint: e.ID, Type: "a.b", State: deliveries.Failed, Until: w.now()}
		queued, skipped, bites := 0, 0, 0
		for {
			p, err := w.s.ReplayAll(t.Context(), "operator", q)
			if err != nil {
				t.Fatal(err)
			}
			queued, skipped, bites = queued+p.Queued, skipped+p.Skipped, bites+1
			w.drain(time.Hour) // what is sent meanwhile is not found again
			if q.Before = p.Next; q.Before == "" {
				break
			}
		}
		if n := len(w.received("10.0.0.1:80")); queued != 250 || skipped != 1 || bites != 2 || n != 503 {
			t.Errorf("%d queued in %d bites, %d requests", queued, bites, n)
		}
		for _, bad := range []deliveries.DeliveryQuery{{State: deliveries.Waiting, Until: w.now()}, {Until: w.now()}, {State: deliveries.Failed}, {State: deliveries.Failed, Since: w.now(), Until: w.now()}} {
			bad.Tenant = "acme"
			if _, err := w.s.ReplayAll(t.Context(), "operator", bad); proof.CodeOf(err) != proof.CodeInvalid {
				t.Errorf("%+v: %v", bad, err)
			}
		}
		if _, err := w.s.Replay(t.Context(), "other", one.ID, "operator"); !errors.Is(err, proof.ErrNotFound) {
			t.Errorf("another tenant's: %v", err)
		}
	})
}
