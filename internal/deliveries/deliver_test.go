package deliveries_test

import (
	"encoding/json"
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

func TestDelivered(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", ok)
		w.receiver("10.0.0.2:80", ok)
		_, secret := w.endpoint("http://10.0.0.1/hooks", func(in *deliveries.Input) { in.Events = []string{"verification.*"} })
		w.endpoint("http://10.0.0.2/", func(in *deliveries.Input) { in.Events = []string{"challenge.ended"} })
		m := w.tell("verification.ended", map[string]any{"status": "verified"})
		w.drain(time.Minute)

		r := w.received("10.0.0.1:80")
		if len(r) != 1 || len(w.received("10.0.0.2:80")) != 0 {
			t.Fatalf("received %d and %d, want 1 and 0", len(r), len(w.received("10.0.0.2:80")))
		}
		if err := deliveries.Verify(secret, r[0].header, r[0].body, time.Now()); err != nil {
			t.Error(err)
		}
		if id := r[0].header.Get("webhook-id"); id != deliveries.MessageID(m.ID) || r[0].path != "/hooks" {
			t.Errorf("webhook-id %s, path %s", id, r[0].path)
		}
		var body struct {
			Type, Text string
			Timestamp  time.Time
			Data       map[string]any
		}
		if err := json.Unmarshal(r[0].body, &body); err != nil || body.Type != "verification.ended" || body.Data["status"] != "verified" || !body.Timestamp.Equal(m.At) {
			t.Errorf("%v %+v", err, body)
		}
		log := w.log()
		if len(log) != 1 || log[0].State != deliveries.Delivered || log[0].Attempts != 1 || log[0].Reason != "" {
			t.Fatalf("%+v", log)
		}
		a := w.attempts(log[0].ID)
		if len(a) != 1 || a[0].Status != 204 || a[0].Exchange == nil || a[0].Exchange.RequestBody != string(r[0].body) || a[0].Error != "" {
			t.Errorf("%+v", a)
		}
		// The job of the message again, as after a crash: nobody is told twice.
		if _, err := w.s.FanOut(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobFanOut, Key: m.ID}); err != nil {
			t.Fatal(err)
		}
		w.drain(time.Minute)
		if n := len(w.received("10.0.0.1:80")); n != 1 {
			t.Errorf("received %d, want 1", n)
		}
	})
}

// TestFaults is the table of what can go wrong with one request.
func TestFaults(t *testing.T) {
	t.Parallel()
	hang := func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }
	cut := func(rw http.ResponseWriter, _ *http.Request) {
		c, _, err := rw.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		c.Close()
	}
	for _, c := range []struct {
		name    string
		handler http.HandlerFunc // nil: nobody listens
		state   deliveries.DeliveryState
		reason  proof.Reason
		status  int
		problem string
		took    time.Duration
	}{
		{"hang", hang, deliveries.Waiting, proof.ReasonEndpointUnreachable, 0, "no answer in time", 20 * time.Second},
		{"500", answer(500), deliveries.Waiting, proof.ReasonEndpointRefused, 500, "the endpoint answered 500", 0},
		{"404", answer(404), deliveries.Waiting, proof.ReasonEndpointRefused, 404, "the endpoint answered 404", 0},
		{"410", answer(410), deliveries.Failed, proof.ReasonEndpointGone, 410, "the endpoint answered 410", 0},
		{"301", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://10.0.0.9/stolen", http.StatusMovedPermanently)
		}, deliveries.Waiting, proof.ReasonEndpointRefused, 301, "redirect", 0},
		{"307", func(rw http.ResponseWriter, r *http.Request) {
			http.Redirect(rw, r, "http://10.0.0.9/stolen", http.StatusTemporaryRedirect)
		}, deliveries.Waiting, proof.ReasonEndpointRefused, 307, "redirect", 0},
		{"cut", cut, deliveries.Waiting, proof.ReasonEndpointUnreachable, 0, "the connection broke", 0},
		{"nobody", nil, deliveries.Waiting, proof.ReasonEndpointUnreachable, 0, "the connection broke", 0},
		{"slow, but in time", func(rw http.ResponseWriter, _ *http.Request) {
			time.Sleep(19 * time.Second)
			rw.WriteHeader(200)
		}, deliveries.Delivered, "", 200, "", 19 * time.Second},
		{"slow body", func(rw http.ResponseWriter, r *http.Request) {
			rw.WriteHeader(200)
			rw.(http.Flusher).Flush()
			<-r.Context().Done()
		}, deliveries.Delivered, "", 200, "the answer broke off: no answer in time", 20 * time.Second},
		{"huge", func(rw http.ResponseWriter, _ *http.Request) {
			for range 1000 {
				if _, err := rw.Write([]byte(strings.Repeat("x", 10_000))); err != nil {
					return
				}
			}
			t.Error("all of it was read")
		}, deliveries.Delivered, "", 200, "", 0},
		{"huge header", func(rw http.ResponseWriter, _ *http.Request) {
			rw.Header().Set("X-Large", strings.Repeat("x", 100_000))
		}, deliveries.Waiting, proof.ReasonEndpointUnreachable, 0, "the connection broke", 0},
		{"not text", func(rw http.ResponseWriter, _ *http.Request) { rw.Write([]byte("a\x00\xff")) }, deliveries.Delivered, "", 200, "", 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receiver("10.0.0.9:80", ok)
				if c.handler != nil {
					w.receiver("10.0.0.1:80", c.handler)
				}
				w.endpoint("http://10.0.0.1/")
				w.tell("verification.ended", nil)
				begun := time.Now()
				w.drain(0)
				d := w.log()[0]
				if d.State != c.state || d.Reason != c.reason || d.Attempts != 1 {
					t.Errorf("%+v", d)
				}
				if d.State == deliveries.Waiting && (d.NextAt.Before(time.Now().Add(4*time.Second)) || d.NextAt.After(time.Now().Add(6*time.Second))) {
					t.Errorf("next in %v, want about 5 s", time.Until(d.NextAt))
				}
				a := w.attempts(d.ID)[0]
				if a.Status != c.status || !strings.Contains(a.Error, c.problem) || c.problem == "" && a.Error != "" {
					t.Errorf("%+v", a)
				}
				if strings.Contains(a.Error, "10.0.0") {
					t.Errorf("the error tells an address: %q", a.Error)
				}
				if took := time.Since(begun); took != c.took {
					t.Errorf("took %v, want %v", took, c.took)
				}
				if n := len(a.Exchange.ResponseBody); n > 4<<10 {
					t.Errorf("kept %d bytes of the answer", n)
				}
				if len(w.received("10.0.0.9:80")) != 0 {
					t.Error("the redirect was followed")
				}
			})
		})
	}
}

// TestSchedule goes through all of it, with the clock of the specification.
func TestSchedule(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", answer(503))
		w.receiver("10.0.0.2:80", ok)
		e, secret := w.endpoint("http://10.0.0.1/")
		w.endpoint("http://10.0.0.2/", func(in *deliveries.Input) { in.Events = []string{"endpoint.*"} })
		w.tell("verification.ended", nil)
		w.drain(100 * time.Hour)
		r := w.received("10.0.0.1:80")
		if len(r) != 10 {
			t.Fatalf("%d attempts, want 10", len(r))
		}
		for i, want := range deliveries.DefaultSchedule() {
			if pause := r[i+1].at.Sub(r[i].at); pause < want || pause > want+want/10+time.Second {
				t.Errorf("pause %d was %v, want %v and up to a tenth", i, pause, want)
			}
		}
		for _, g := range r {
			if g.header.Get("webhook-id") != r[0].header.Get("webhook-id") || string(g.body) != string(r[0].body) {
				t.Error("another id or body")
			}
			if err := deliveries.Verify(secret, g.header, g.body, g.at); err != nil {
				t.Error(err) // each attempt has its own timestamp
			}
		}
		// It has failed for days: it is off, the others know, and the trail does.
		off, err := w.s.Endpoint(t.Context(), "acme", e.ID)
		if err != nil || !off.Disabled || !strings.Contains(off.Why, "failed since") {
			t.Errorf("%v %+v", err, off)
		}
		notice := w.received("10.0.0.2:80")
		if len(notice) != 1 || !strings.Contains(string(notice[0].body), `"type":"endpoint.disabled"`) || !strings.Contains(string(notice[0].body), e.ID) {
			t.Errorf("%d notices", len(notice))
		}
		if !slices.Contains(w.audited(), "job endpoint.disabled") {
			t.Error(w.audited())
		}
		// What comes now is in the log, as failed, to be replayed.
		w.tell("verification.ended", nil)
		w.drain(time.Hour)
		last := w.log()[len(w.log())-1]
		if last.State != deliveries.Failed || last.Reason != proof.ReasonEndpointOff || last.Attempts != 0 {
			t.Errorf("%+v", last)
		}
	})
}

func TestRetryAfter(t *testing.T) {
	t.Parallel()
	for header, want := range map[string]time.Duration{
		"120": 2 * time.Minute, "1": 5 * time.Second, "": 5 * time.Second, "soon": 5 * time.Second, "-5": 5 * time.Second,
		"999999999": 24 * time.Hour, "99999999999999999999": 5 * time.Second,
		"Sat, 01 Jan 2000 00:10:00 GMT": 10 * time.Minute, "Fri, 31 Dec 1999 00:10:00 GMT": 5 * time.Second,
	} {
		t.Run(header, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) { // in a bubble it is 2000-01-01
				w := newWorld(t)
				w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, _ *http.Request) {
					rw.Header().Set("Retry-After", header)
					rw.WriteHeader(429)
				})
				w.endpoint("http://10.0.0.1/")
				w.tell("a.b", nil)
				w.drain(0)
				if wait := time.Until(w.log()[0].NextAt); wait < want || wait > want+want/10 {
					t.Errorf("waits %v, want %v", wait, want)
				}
			})
		})
	}
}

func TestGone(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var status atomic.Int64
		status.Store(500)
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, _ *http.Request) { rw.WriteHeader(int(status.Load())) })
		e, _ := w.endpoint("http://10.0.0.1/")
		w.tell("a.one", nil)
		w.drain(0)
		status.Store(410)
		w.tell("a.two", nil)
		w.drain(100 * time.Hour)
		log := w.log()
		if log[0].Reason != proof.ReasonEndpointOff || log[1].Reason != proof.ReasonEndpointGone || log[0].State != deliveries.Failed {
			t.Errorf("%+v", log)
		}
		if n := len(w.received("10.0.0.1:80")); n != 2 {
			t.Errorf("%d requests, want 2", n)
		}
		// Switched on again, what failed is replayed.
		status.Store(200)
		if v, err := w.s.Enable(t.Context(), "acme", e.ID, "operator"); err != nil || v.Disabled || v.Why != "" {
			t.Fatal(err, v)
		}
		p, err := w.s.ReplayAll(t.Context(), "operator", deliveries.DeliveryQuery{Tenant: "acme", Endpoint: e.ID, State: deliveries.Failed, Until: w.now()})
		if err != nil || p.Queued != 2 || p.Next != "" {
			t.Fatal(err, p)
		}
		w.drain(time.Hour)
		r := w.received("10.0.0.1:80")
		if len(r) != 4 || r[2].header.Get("webhook-id") == r[3].header.Get("webhook-id") {
			t.Fatalf("%d requests", len(r))
		}
		ids := []string{r[0].header.Get("webhook-id"), r[1].header.Get("webhook-id")}
		if !slices.Contains(ids, r[2].header.Get("webhook-id")) || !slices.Contains(ids, r[3].header.Get("webhook-id")) {
			t.Error("a replay has another webhook-id")
		}
	})
}

// TestCrash: the request was made, and the process died before it could say so.
func TestCrash(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, r *http.Request) {
			w.m.mu.Lock()
			if len(w.received("10.0.0.1:80")) == 1 {
				w.m.failures = 1
			}
			w.m.mu.Unlock()
		})
		w.endpoint("http://10.0.0.1/")
		w.tell("a.b", nil)
		fan, _ := w.m.take(w.now())
		if err := w.work(fan); err != nil {
			t.Fatal(err)
		}
		j, _ := w.m.take(w.now())
		if err := w.work(j); err == nil {
			t.Fatal("the report should have failed")
		}
		w.drain(time.Minute)
		r := w.received("10.0.0.1:80")
		if len(r) != 2 || r[0].header.Get("webhook-id") != r[1].header.Get("webhook-id") {
			t.Fatalf("%d requests", len(r))
		}
		if d := w.log(); len(d) != 1 || d[0].State != deliveries.Delivered || d[0].Attempts != 1 {
			t.Errorf("%+v", d)
		}
	})
}

func TestClockJumps(t *testing.T) {
	t.Parallel()
	run := func(name string, fn func(t *testing.T, w *world, e deliveries.EndpointView)) {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				w := newWorld(t)
				w.receiver("10.0.0.1:80", answer(500))
				e, _ := w.endpoint("http://10.0.0.1/")
				w.tell("a.b", nil)
				w.drain(time.Minute)
				fn(t, w, e)
			})
		})
	}
	run("forward", func(t *testing.T, w *world, e deliveries.EndpointView) {
		w.jump(30 * 24 * time.Hour)
		w.drain(0)
		d := w.log()[0]
		if v, _ := w.s.Endpoint(t.Context(), "acme", e.ID); v.Disabled || d.State != deliveries.Waiting {
			t.Errorf("a jump of the clock looks like days of failures: %+v %+v", v, d)
		}
	})
	run("back", func(t *testing.T, w *world, e deliveries.EndpointView) {
		before := w.log()[0]
		w.jump(-30 * 24 * time.Hour)
		next, err := w.s.Deliver(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobDeliver, Key: before.ID})
		after := w.log()[0]
		if err != nil || after.Attempts != before.Attempts+1 || next.After(w.now().Add(time.Hour)) {
			t.Errorf("%v: %+v, next %v", err, after, next)
		}
		if v, _ := w.s.Endpoint(t.Context(), "acme", e.ID); v.FailingSince.After(w.now()) {
			t.Errorf("failing since %v, now %v", v.FailingSince, w.now())
		}
	})
	run("early", func(t *testing.T, w *world, _ deliveries.EndpointView) {
		before := w.log()[0]
		next, err := w.s.Deliver(t.Context(), proof.Job{Tenant: "acme", Kind: deliveries.JobDeliver, Key: before.ID})
		if err != nil || !next.Equal(before.NextAt) || w.log()[0].Attempts != before.Attempts {
			t.Errorf("a job that comes early makes a request: %v %v", err, next)
		}
	})
}

// TestDays: an endpoint that fails is switched off after 72 h, also when there are so many
// deliveries that none comes to its last attempt; and one that mends in between is not.
func TestDays(t *testing.T) {
	t.Parallel()
	for _, mends := range []bool{false, true} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			hour := 0
			w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, _ *http.Request) {
				if !mends || hour != 40 {
					rw.WriteHeader(500)
				}
			})
			e, _ := w.endpoint("http://10.0.0.1/")
			for ; hour < 75; hour++ {
				if v, err := w.s.Endpoint(t.Context(), "acme", e.ID); err != nil || v.Disabled != (hour > 72 && !mends) {
					t.Fatalf("mends %v, after %d h: %v %+v", mends, hour, err, v)
				}
				w.tell("a.b", nil)
				w.drain(time.Hour)
			}
		})
	}
}

// TestMended: a 410 from the address that an endpoint had before says nothing of the new.
func TestMended(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var e deliveries.EndpointView
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, r *http.Request) {
			time.Sleep(time.Second)
			in := deliveries.Input{Name: e.Name, URL: "http://10.0.0.2/", Shape: e.Shape, AllowPrivate: true, Version: e.Version}
			if _, _, problems, err := w.s.Update(r.Context(), "acme", e.ID, "operator", in); err != nil || len(problems) > 0 {
				t.Error(err, problems)
			}
			rw.WriteHeader(410)
		})
		w.receiver("10.0.0.2:80", ok)
		e, _ = w.endpoint("http://10.0.0.1/")
		w.tell("a.b", nil)
		w.tell("a.b", nil)
		w.drain(time.Hour)
		if v, err := w.s.Endpoint(t.Context(), "acme", e.ID); err != nil || v.Disabled || len(w.received("10.0.0.2:80")) != 1 {
			t.Errorf("%v %+v", err, v)
		}
	})
}

// TestTwoWorkers: one lost its lease while it waited for the answer; only the other's
// report counts.
func TestTwoWorkers(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		var inside atomic.Bool
		var job proof.Job
		w.receiver("10.0.0.1:80", func(rw http.ResponseWriter, r *http.Request) {
			if inside.CompareAndSwap(false, true) {
				if _, err := w.s.Deliver(t.Context(), job); err != nil {
					t.Error(err)
				}
			}
			rw.WriteHeader(500)
		})
		w.endpoint("http://10.0.0.1/")
		w.tell("a.b", nil)
		fan, _ := w.m.take(w.now())
		if err := w.work(fan); err != nil {
			t.Fatal(err)
		}
		j, _ := w.m.take(w.now())
		job = j.Job
		if next, err := w.s.Deliver(t.Context(), job); err != nil || !next.Equal(w.log()[0].NextAt) {
			t.Errorf("%v: next %v", err, next)
		}
		if d := w.log()[0]; d.Attempts != 1 || len(w.attempts(d.ID)) != 1 || len(w.received("10.0.0.1:80")) != 2 {
			t.Errorf("%+v", d)
		}
	})
}
