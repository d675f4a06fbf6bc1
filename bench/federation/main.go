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
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

type options struct {
	duration time.Duration
	clients  int
	program  string
	folder   string
	only     string
	userinfo bool
	json     bool
}

func main() {
	var o options
	flag.DurationVar(&o.duration, "duration", 10*time.Second, "how long each is measured")
	flag.IntVar(&o.clients, "clients", 16, "how many begin flow after flow")
	flag.StringVar(&o.program, "program", "bin/kosmoscope", "the built `program`")
	flag.StringVar(&o.folder, "folder", "bench/federation", "this `folder`, with the peers in it")
	flag.StringVar(&o.only, "only", "", "measure only this `one`: ours, zitadel or node")
	flag.BoolVar(&o.userinfo, "userinfo", false, "each flow asks userinfo too")
	flag.BoolVar(&o.json, "json", false, "print JSON")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := o.run(ctx, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "federation:", err)
		os.Exit(1)
	}
}

func (o *options) run(ctx context.Context, out io.Writer) (err error) {
	switch {
	case flag.NArg() > 0:
		return fmt.Errorf("unknown argument %q", flag.Arg(0))
	case o.clients < 1 || o.duration < time.Second:
		return errors.New("--clients must be positive, --duration at least 1s")
	case o.only != "" && o.only != "ours" && o.only != "zitadel" && o.only != "node":
		return fmt.Errorf("--only %q is none of ours, zitadel, node", o.only)
	}
	for _, path := range []*string{&o.program, &o.folder} {
		if *path, err = filepath.Abs(*path); err != nil {
			return err
		}
	}
	dir, err := os.MkdirTemp("", "kosmoscope-bench-*")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	var all []figures
	for _, side := range []struct {
		name  string
		start func(context.Context, string, string, string) (*peer, error)
	}{{"zitadel", startZitadel}, {"node", startNode}} {
		for _, alg := range []string{"ES256", "RS256"} {
			if o.only == "" || o.only == side.name {
				p, err := side.start(ctx, o.folder, dir, alg)
				if err == nil {
					all, err = o.measure(ctx, all, p.cmd.Process.Pid, p.providers)
				}
				if p != nil {
					err = errors.Join(err, p.end())
				}
				if err != nil {
					return err
				}
			}
		}
	}
	if o.only == "" || o.only == "ours" {
		if all, err = o.ours(ctx, all); err != nil {
			return err
		}
	}
	if o.json {
		return json.NewEncoder(out).Encode(all)
	}
	if err := report(out, all); err != nil {
		return err
	}
	for _, f := range all {
		if f.Errors > 0 {
			return fmt.Errorf("%s: %d flows failed: %s", f.Provider, f.Errors, f.FirstError)
		}
	}
	return nil
}

func (o *options) measure(ctx context.Context, all []figures, pid int, providers []*provider) ([]figures, error) {
	for _, p := range providers {
		f, err := measure(ctx, p, o.clients, o.duration, o.userinfo, func() (time.Duration, error) { return cpuOf(pid) })
		if err != nil {
			return all, err
		}
		all = append(all, f)
	}
	return all, nil
}

// cpuOf is the CPU time that a process has taken, user and system (proc(5), stat
// fields 14 and 15, in hundredths of a second).
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	_, rest, ok := strings.Cut(string(b), ") ")
	fields := strings.Fields(rest)
	if !ok || len(fields) < 13 {
		return 0, errors.New("unreadable stat")
	}
	var user, system int64
	if _, err := fmt.Sscan(fields[11]+" "+fields[12], &user, &system); err != nil {
		return 0, err
	}
	return time.Duration(user+system) * 10 * time.Millisecond, nil
}

// report prints a table, and how many times the better peer ours is.
func report(out io.Writer, all []figures) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(w, "flows/s\tp50 ms\tp90\tp99\tmax\tcores\terrors\tof\talg\t  provider")
	for _, f := range all {
		fmt.Fprintf(w, "%.0f\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%d\t%d\t%s\t  %s\n", f.PerSecond, f.P50, f.P90, f.P99, f.Max, f.CPU, f.Errors, f.Flows+f.Errors, f.Alg, f.Provider)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	seen := map[string]bool{}
	for _, f := range all {
		if !seen[f.Provider] {
			seen[f.Provider] = true
			fmt.Fprintf(out, "%s: %s\n", f.Provider, f.Note)
		}
	}
	best := func(of func(figures) bool) *figures {
		i := -1
		for j, f := range all {
			if of(f) && (i < 0 || all[i].PerSecond < f.PerSecond) {
				i = j
			}
		}
		if i < 0 {
			return nil
		}
		return &all[i]
	}
	ours := best(func(f figures) bool { return f.Provider == oursName && f.Alg == "ES256" })
	for _, against := range []struct {
		what string
		peer *figures
	}{
		{"as they are shipped", best(func(f figures) bool { return f.Provider != oursName && f.Shipped })},
		{"with what we added to them", best(func(f figures) bool { return f.Provider != oursName })},
	} {
		if peer := against.peer; ours != nil && peer != nil {
			fmt.Fprintf(out, "ours with ES256 is %.1f times the better of the peers %s (%s, %s); p99 %.1f ms, of the peer %.1f ms\n",
				ours.PerSecond/peer.PerSecond, against.what, peer.Provider, peer.Alg, ours.P99, peer.P99)
		}
	}
	return nil
}
