//go:build linux

package main

import (
	"errors"
	"fmt"
	"io"
	"text/tabwriter"
)

// Targets, from the plan of the first version.
const (
	targetIDV    = 15.0  // ms, p99
	targetResult = 5.0   // ms, p99
	targetBridge = 100.0 // MB resident
	targetEngine = 700.0 // MB resident
	targetDemo   = 60.0  // s
)

// report is everything that one run measured. MB are 10^6 bytes.
type report struct {
	Machine    machine         `json:"machine"`
	LoadBefore float64         `json:"load_average_before"`
	LoadAfter  float64         `json:"load_average_after"`
	Store      string          `json:"store,omitempty"`
	Load       *loadFigures    `json:"load,omitempty"`
	Calls      []figures       `json:"calls,omitempty"`
	Disk       *diskFigures    `json:"disk,omitempty"`
	Bridge     bridgeFigures   `json:"bridge"`
	EngineIdle float64         `json:"engine_idle_mb,omitempty"`
	Engine     []engineFigures `json:"engine,omitempty"`
	FirstPage  *startFigures   `json:"first_page,omitempty"`
}

// loadFigures say how the nodes were called. CPU is in percent of one core.
type loadFigures struct {
	Rate       float64 `json:"rate_per_s_each"`
	Seconds    float64 `json:"seconds"`
	OpenLoop   bool    `json:"open_loop"`
	Schedule   string  `json:"schedule"`
	Transport  string  `json:"transport"`
	BridgeCPU  float64 `json:"bridge_cpu_percent"`
	OwnCPU     float64 `json:"load_generator_cpu_percent"`
	MachineCPU float64 `json:"machine_cpu_percent"` // everything, the two above included
}

type diskFigures struct {
	P50 float64 `json:"fsync_p50_ms"`
	P99 float64 `json:"fsync_p99_ms"`
}

type bridgeFigures struct {
	Idle float64 `json:"rss_idle_mb,omitempty"`
	Load float64 `json:"rss_load_mb,omitempty"` // the most of samples, 10 a second
	Peak float64 `json:"rss_peak_mb,omitempty"` // the kernel's, since the start
}

type startFigures struct {
	What    string  `json:"what"`
	Seconds float64 `json:"seconds"`
}

// wrong is an error when anything did not answer as it must.
func (r *report) wrong() error {
	var errs []error
	for _, f := range r.Calls {
		if f.Errors > 0 && f.Kind == "" {
			errs = append(errs, fmt.Errorf("%d of %d calls of %s failed, first: %s", f.Errors, f.Calls, f.Call, f.FirstError))
		}
	}
	for _, f := range r.Engine {
		if f.Errors > 0 {
			errs = append(errs, fmt.Errorf("%d of %d requests to the engine failed (%s), first: %s", f.Errors, f.Requests, f.Photos, f.FirstError))
		}
	}
	return errors.Join(errs...)
}

// busy says that others had the machine as well: more than half a core. Among
// the others is the kernel on nobody's account and, if it is used, PostgreSQL.
func (l *loadFigures) busy() bool { return l.others() > 50 }

func (l *loadFigures) others() float64 { return max(l.MachineCPU-l.BridgeCPU-l.OwnCPU, 0) }

func (r *report) total(call string) figures {
	for _, f := range r.Calls {
		if f.Call == call && f.Kind == "" {
			return f
		}
	}
	return figures{}
}

func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	m := r.Machine
	line("\n%s UTC, %d cores (%s), %s, %s, load average %.1f before and %.1f after", m.Date, m.Cores, m.CPU, m.OS, m.Go, r.LoadBefore, r.LoadAfter)
	if l := r.Load; l != nil {
		state := "quiet"
		if l.busy() {
			state = "BUSY"
		}
		line("nodes: store %s, open loop, %g calls/s of each at once for %g s, %s; %s", r.Store, l.Rate, l.Seconds, l.Schedule, l.Transport)
		line("CPU while calling, in %% of a core: bridge %.0f, load generator %.0f, all others %.0f: the machine was %s", l.BridgeCPU, l.OwnCPU, l.others(), state)
		line("")
		line("call\tof\tcalls\terrors\tper s\tin flight\tp50 ms\tp90\tp99\tmax\tsent late p99\ttarget p99\t")
		targets := map[string]float64{"IDV": targetIDV, "Result": targetResult}
		for _, f := range r.Calls {
			name, flight, target := f.Call, fmt.Sprint(f.MaxInFlight), "-"
			if f.Kind != "" {
				name, flight = "", ""
			} else if t := targets[f.Call]; t > 0 {
				target = verdict(f.P99, t, "ms")
			}
			line("%s\t%s\t%d\t%d\t%.1f of %.1f\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t", name, f.Kind, f.Calls, f.Errors, f.Achieved, f.Offered, flight, f.P50, f.P90, f.P99, f.Max, f.LateP99, target)
		}
		line("")
		line("one append of 512 bytes with fsync, before: p50 %.2f ms, p99 %.2f ms", r.Disk.P50, r.Disk.P99)
		health, idv, result := r.total("health"), r.total("IDV"), r.total("Result")
		if health.P50 > 0 && health.P99 > 0 {
			line("against health in the same run: Result x%.1f at p50, x%.1f at p99; IDV x%.1f at p50, x%.1f at p99",
				result.P50/health.P50, result.P99/health.P99, idv.P50/health.P50, idv.P99/health.P99)
		}
		line("")
		line("resident memory, MB\tidle\tunder load\tpeak\ttarget\t")
		line("serve\t%.0f\t%.0f\t%.0f\t%s\t", r.Bridge.Idle, r.Bridge.Load, r.Bridge.Peak, verdict(r.Bridge.Peak, targetBridge, "MB"))
		for _, f := range r.Engine {
			line("engine serve, %d callers, %s\t%.0f\t%.0f\t%.0f\t%s\t", f.Callers, f.Photos, r.EngineIdle, f.RSS, f.Peak, verdict(f.Peak, targetEngine, "MB"))
		}
		line("")
		line("engine, closed loop\trequests\terrors\tper s\tp50 ms\tmax ms\tCPU ms each\t")
		for _, f := range r.Engine {
			line("%d callers, %s\t%d\t%d\t%.2f\t%.0f\t%.0f\t%.0f\t", f.Callers, f.Photos, f.Requests, f.Errors, f.PerSecond, f.P50, f.Max, f.CPUPerCall)
		}
		line("")
	}
	if f := r.FirstPage; f != nil {
		line("%s to the first page: %.1f s, %s", f.What, f.Seconds, verdict(f.Seconds, targetDemo, "s"))
	}
	return w.Flush()
}

func verdict(got, target float64, unit string) string {
	word := "met"
	if got >= target {
		word = "MISSED"
	}
	return fmt.Sprintf("< %g %s: %s", target, unit, word)
}
