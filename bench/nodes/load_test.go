//go:build linux

package main

import (
	"context"
	"errors"
	"math"
	"testing"
	"testing/synctest"
	"time"
)

// A stall must show in the figures of every call that was due meanwhile, and
// must not slow the schedule down.
func TestStallIsNotOmitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begun := time.Now()
		stalled := begun.Add(510 * time.Millisecond)
		stall := func(context.Context, int) error {
			time.Sleep(time.Until(stalled)) // all that come within the first half second wait for its end
			return nil
		}
		quick := func(_ context.Context, i int) error {
			time.Sleep(5 * time.Millisecond)
			if i%4 == 3 {
				return errors.New("refused")
			}
			return nil
		}
		got := drive(t.Context(), 100, time.Second, time.Sleep,
			stream{name: "stalling", call: stall},
			stream{name: "steady", call: quick, kind: func(i int) string { return []string{"even", "odd"}[i%2] }})
		if len(got) != 4 {
			t.Fatalf("%d rows, want 4: %+v", len(got), got)
		}
		stalling, steady, even, odd := got[0], got[1], got[2], got[3]
		if stalling.Calls != 100 || stalling.Errors != 0 || stalling.MaxInFlight != 50 {
			t.Errorf("stalling: %+v", stalling)
		}
		near(t, "stalling max", stalling.Max, 500)
		near(t, "stalling p90", stalling.P90, 400)
		near(t, "stalling offered", stalling.Offered, 100)
		if steady.Calls != 100 || steady.Errors != 25 || steady.FirstError != "refused" || steady.MaxInFlight != 1 {
			t.Errorf("steady: %+v", steady)
		}
		near(t, "steady p99", steady.P99, 5)
		if even.Kind != "even" || even.Calls != 50 || even.Errors != 0 || odd.Errors != 25 {
			t.Errorf("kinds: %+v %+v", even, odd)
		}
		near(t, "even offered", even.Offered, 50)
	})
}

func near(t *testing.T, what string, got, want float64) {
	t.Helper()
	if math.Abs(got-want) > want/50 {
		t.Errorf("%s is %g, want %g", what, got, want)
	}
}

func TestProcFiles(t *testing.T) {
	m, err := parseStatus("Name:\tkosmoscope\nVmHWM:\t  204800 kB\nVmRSS:\t   51200 kB\nThreads:\t9\n")
	if err != nil || m.RSS != 52.4288 || m.Peak != 209.7152 {
		t.Errorf("status: %+v, %v", m, err)
	}
	if _, err := parseStatus("Name:\tkthreadd\n"); err == nil {
		t.Error("a status without memory passed")
	}
	// The name of the program may hold anything.
	cpu, err := parseStat("42 (a) b (c) S 1 42 42 0 -1 4194560 100 0 0 0 250 50 0 0 20 0 9 0 100 1 1")
	if err != nil || cpu != 3*time.Second {
		t.Errorf("stat: %v, %v", cpu, err)
	}
	if _, err := parseStat("42 (a) S 1"); err == nil {
		t.Error("a short stat passed")
	}
	busy, total, err := parseCPU("cpu  100 0 50 800 50 0 0 0 0 0\ncpu0 1 2 3\n")
	if err != nil || busy != 150 || total != 1000 {
		t.Errorf("cpu: %v of %v, %v", busy, total, err)
	}
}
