package faults_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors/faults"
)

func add(t testing.TB, s *faults.Set, f faults.Fault) faults.Fault {
	t.Helper()
	f, err := s.Add(f)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestTake(t *testing.T) {
	s := faults.New()
	add(t, s, faults.Fault{Target: "connector", Kind: faults.Lost, Count: 2})
	slow := add(t, s, faults.Fault{Target: "connector:a:b", Kind: faults.Slow, DelayMS: 5})
	add(t, s, faults.Fault{Target: "runtime", Kind: faults.Status, Status: 503, Count: 1})
	for _, tt := range []struct {
		target string
		want   faults.Effect
	}{
		{"connector:a", faults.Effect{Lost: true}},
		{"connectors", faults.Effect{}},
		{"connector:a:b", faults.Effect{Lost: true, Delay: 5 * time.Millisecond}},
		{"connector:a:b", faults.Effect{Delay: 5 * time.Millisecond}},
		{"connector:a", faults.Effect{}},
		{"runtime:next", faults.Effect{Status: 503}},
		{"runtime:next", faults.Effect{}},
	} {
		if got := s.Take(tt.target); got != tt.want {
			t.Errorf("%s: %+v, want %+v", tt.target, got, tt.want)
		}
	}
	if !s.Remove(slow.ID) || s.Remove(slow.ID) || len(s.List()) != 0 {
		t.Errorf("left: %v", s.List())
	}
	add(t, s, faults.Fault{Target: "runtime", Kind: faults.Lost})
	s.Clear()
	if s.Take("runtime:next") != (faults.Effect{}) || (*faults.Set)(nil).Take("x") != (faults.Effect{}) {
		t.Error("a cleared set, or none, has an effect")
	}
}

func TestAddRefuses(t *testing.T) {
	s := faults.New()
	for _, f := range []faults.Fault{
		{}, {Target: "runtime"}, {Target: "elsewhere", Kind: faults.Lost}, {Target: "connector:", Kind: faults.Lost}, {Target: "connectors", Kind: faults.Lost},
		{Target: "runtime:stop", Kind: faults.Lost}, {Target: "runtime", Kind: "odd"}, {Target: "runtime", Kind: faults.Nulls},
		{Target: "runtime", Kind: faults.Slow}, {Target: "runtime", Kind: faults.Slow, DelayMS: -1}, {Target: "runtime", Kind: faults.Slow, DelayMS: 1 << 30},
		{Target: "runtime", Kind: faults.Status}, {Target: "runtime", Kind: faults.Status, Status: 200}, {Target: "runtime", Kind: faults.Lost, Status: 500},
		{Target: "runtime", Kind: faults.Lost, Count: -1}, {Target: "connector:" + strings.Repeat("a", 300), Kind: faults.Lost},
	} {
		if _, err := s.Add(f); err == nil {
			t.Errorf("accepted %+v", f)
		}
	}
	for range 50 {
		add(t, s, faults.Fault{Target: "runtime", Kind: faults.Lost})
	}
	if _, err := s.Add(faults.Fault{Target: "runtime", Kind: faults.Lost}); err == nil {
		t.Error("there is no end to faults")
	}
}

func FuzzSpoil(f *testing.F) {
	f.Add([]byte(`{"a":1}`))
	f.Add([]byte(`5`))
	f.Add([]byte(`12`))
	f.Add([]byte(`[]`))
	f.Add([]byte(``))
	f.Fuzz(func(t *testing.T, body []byte) {
		if b := (faults.Effect{Malformed: true}).Spoil(body); json.Valid(b) {
			t.Errorf("%q became %q, which is JSON", body, b)
		}
		if b := (faults.Effect{Nulls: true}).Spoil(body); json.Valid(body) && !json.Valid(b) {
			t.Errorf("%q became %q, which is no JSON", body, b)
		}
	})
}

// serve is a runtime that counts what it does.
func serve(t *testing.T, s *faults.Set) (*httptest.Server, *atomic.Int32) {
	t.Helper()
	var done atomic.Int32
	srv := httptest.NewServer(s.Runtime(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil || string(b) != `{"stepId":"4"}` && r.Method == http.MethodPost {
			t.Errorf("body %q, %v", b, err)
		}
		n := int(done.Add(1))
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Descope-Flow-Nonce", strings.Repeat("n", n))
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"status":"waiting"}`)
	})))
	t.Cleanup(srv.Close)
	return srv, &done
}

func TestRuntime(t *testing.T) {
	for _, tt := range []struct {
		fault  faults.Fault
		path   string
		done   int
		status int // 0: the connection is cut
		body   string
		nonce  string
	}{
		{faults.Fault{Target: "runtime", Kind: faults.Duplicate}, "/v1/flow/next", 2, 202, `{"status":"waiting"}`, "nn"},
		{faults.Fault{Target: "runtime:next", Kind: faults.Lost}, "/v1/flow/next", 1, 0, "", ""},
		{faults.Fault{Target: "runtime:next", Kind: faults.Lost}, "/v1/flow/start", 1, 202, `{"status":"waiting"}`, "n"},
		{faults.Fault{Target: "runtime:start", Kind: faults.Malformed}, "/v1/flow/start", 1, 202, `{"status":`, "n"},
		{faults.Fault{Target: "runtime", Kind: faults.Status, Status: 503}, "/v1/flow/start", 0, 503, "", ""},
		{faults.Fault{Target: "runtime", Kind: faults.Slow, DelayMS: 1}, "/v1/flow/start", 1, 202, `{"status":"waiting"}`, "n"},
	} {
		t.Run(string(tt.fault.Kind)+tt.path, func(t *testing.T) {
			s := faults.New()
			add(t, s, tt.fault)
			srv, done := serve(t, s)
			if res, err := http.Get(srv.URL + tt.path); err != nil || res.StatusCode != 202 {
				t.Fatalf("GET was touched: %v, %v", res, err)
			}
			done.Store(0)
			// Not through http.Post, which may send a request again by itself.
			req, _ := http.NewRequest("POST", srv.URL+tt.path, io.NopCloser(strings.NewReader(`{"stepId":"4"}`)))
			res, err := http.DefaultTransport.RoundTrip(req)
			if int(done.Load()) != tt.done {
				t.Errorf("done %d times, want %d", done.Load(), tt.done)
			}
			if tt.status == 0 {
				if err == nil {
					t.Errorf("an answer: %d", res.StatusCode)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			b, err := io.ReadAll(res.Body)
			if err != nil || res.StatusCode != tt.status || res.Header.Get("X-Descope-Flow-Nonce") != tt.nonce || tt.body != "" && string(b) != tt.body {
				t.Errorf("got %d %q, nonce %q, %v", res.StatusCode, b, res.Header.Get("X-Descope-Flow-Nonce"), err)
			}
		})
	}
}

func TestRuntimeDelay(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := faults.New()
		add(t, s, faults.Fault{Target: "runtime", Kind: faults.Slow, DelayMS: 7000})
		h := s.Runtime(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") }))
		start, w := time.Now(), httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/flow/next", strings.NewReader("{}")))
		if took := time.Since(start); took != 7*time.Second || w.Body.String() != "{}" {
			t.Errorf("%q after %v", w.Body, took)
		}
		defer func() {
			if err, _ := recover().(error); !errors.Is(err, http.ErrAbortHandler) {
				t.Errorf("a browser that has gone: %v", err)
			}
		}()
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		h.ServeHTTP(httptest.NewRecorder(), httptest.NewRequest("POST", "/v1/flow/next", strings.NewReader("{}")).WithContext(ctx))
	})
}
