//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
)

type options struct {
	duration    time.Duration
	connections int
	rate        int
	actions     int
	drain       int
	program     string
	folder      string
	store       string
	only        string
	json        bool
}

// measured is what one run prints as JSON.
type measured struct {
	Load   string   `json:"load_average"` // when it began: others had the CPU, too
	Accept []accept `json:"accept,omitempty"`
	Action []action `json:"action,omitempty"`
	Jobs   []queue  `json:"jobs,omitempty"`
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 15*time.Second, "how long events are sent, at a rate and then as fast as they are taken")
	flag.IntVar(&o.connections, "connections", 64, "how many connections send them")
	flag.IntVar(&o.rate, "rate", 0, "events a second; 0: the target, 10000 on SQLite and 4000 on PostgreSQL")
	flag.IntVar(&o.actions, "actions", 300, "how many single events are followed to what they lead to")
	flag.IntVar(&o.drain, "drain", 20_000, "how many jobs are drained")
	flag.StringVar(&o.program, "program", "bin/kosmoscope", "the built `program`")
	flag.StringVar(&o.folder, "folder", "bench/hooks", "this `folder`, with the peer in it")
	flag.StringVar(&o.store, "store", "", "measure only on this `one`: sqlite or postgres")
	flag.StringVar(&o.only, "only", "", "measure only this `part`: accept, action or jobs")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "hooks:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, out io.Writer) (err error) {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	case o.connections < 1 || o.duration < time.Second || o.rate < 0 || o.actions < 1 || o.drain < 1:
		return errors.New("--connections, --actions and --drain must be positive, --duration at least 1s")
	case !slices.Contains([]string{"", "sqlite", "postgres"}, o.store):
		return fmt.Errorf("--store %q is neither sqlite nor postgres", o.store)
	case !slices.Contains([]string{"", "accept", "action", "jobs"}, o.only):
		return fmt.Errorf("--only %q is none of accept, action, jobs", o.only)
	}
	for _, path := range []*string{&o.program, &o.folder} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	stores := []string{"sqlite", "postgres"}
	if o.store != "" {
		stores = []string{o.store}
	} else if os.Getenv(server) == "" {
		fmt.Fprintf(os.Stderr, "hooks: PostgreSQL is left out: %s is not set\n", server)
		stores = stores[:1]
	}
	m := measured{Load: loadAverage()}
	for _, part := range []struct {
		name    string
		measure func(context.Context, string, *measured) error
	}{{"accept", o.accept}, {"action", o.action}, {"jobs", o.jobs}} {
		for _, store := range stores {
			if o.only != "" && o.only != part.name {
				continue
			}
			if err := part.measure(ctx, store, &m); err != nil {
				return fmt.Errorf("%s on %s: %w", part.name, store, err)
			}
		}
	}
	if o.json {
		return json.NewEncoder(out).Encode(m)
	}
	m.print(out)
	return nil
}

func loadAverage() string {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return "unknown"
	}
	return strings.Join(strings.Fields(string(b))[:3], " ")
}

// times are quantiles in milliseconds.
type times struct {
	P50 float64 `json:"p50_ms"`
	P99 float64 `json:"p99_ms"`
	Max float64 `json:"max_ms"`
}

// clock collects durations. It is not safe for concurrent use.
type clock struct{ h *hdrhistogram.Histogram }

func newClock() clock { return clock{hdrhistogram.New(1, 2*time.Minute.Microseconds(), 3)} }

func (c clock) add(d time.Duration) {
	_ = c.h.RecordValue(min(max(d.Microseconds(), 1), 2*time.Minute.Microseconds())) // within its bounds
}

func (c clock) times() times {
	ms := func(q float64) float64 { return float64(c.h.ValueAtQuantile(q)) / 1000 }
	return times{ms(50), ms(99), ms(100)}
}
