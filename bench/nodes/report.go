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

	targetStepUpResult = 5.0   // ms, p99
	targetStepUpAdds   = 15.0  // ms, p99 of the node less p99 of the backend
	targetRisk         = 20.0  // ms, p99
	targetFlowNext     = 5.0   // ms, p99
	targetFlowStart    = 1.0   // s
	targetOpenExtra    = 50.0  // MB resident more
	targetOpenCPU      = 100.0 // % of a core
)

// report is everything that one run measured. MB are 10^6 bytes.
type report struct {
	Machine    machine         `json:"machine"`
	LoadBefore float64         `json:"load_average_before"`
	LoadAfter  float64         `json:"load_average_after"`
	Store      string          `json:"store,omitempty"`
	Nodes      *phase          `json:"nodes,omitempty"`
	Disk       *diskFigures    `json:"disk,omitempty"`
	Bridge     bridgeFigures   `json:"bridge"`
	StepUp     *stepUpFigures  `json:"step_up,omitempty"`
	Risk       *riskFigures    `json:"risk,omitempty"`
	Flow       *flowFigures    `json:"flow,omitempty"`
	EngineIdle float64         `json:"engine_idle_mb,omitempty"`
	Engine     []engineFigures `json:"engine,omitempty"`
	FirstPage  *startFigures   `json:"first_page,omitempty"`
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
	var phases []*phase
	if r.Nodes != nil {
		phases = append(phases, r.Nodes)
	}
	if s := r.StepUp; s != nil {
		phases = append(phases, &s.Backend, &s.Nodes, &s.Open.Filling, &s.Open.Callers.phase, &s.Open.Pages.phase)
	}
	if r.Risk != nil {
		phases = append(phases, &r.Risk.Nodes)
	}
	if r.Flow != nil {
		phases = append(phases, &r.Flow.Rate)
	}
	for _, p := range phases {
		for _, f := range p.Calls {
			if f.Errors > 0 && f.Kind == "" {
				errs = append(errs, fmt.Errorf("%s: %d of %d calls of %s failed, first: %s", p.What, f.Errors, f.Calls, f.Call, f.FirstError))
			}
		}
	}
	for _, f := range r.Engine {
		if f.Errors > 0 {
			errs = append(errs, fmt.Errorf("%d of %d requests to the engine failed (%s), first: %s", f.Errors, f.Requests, f.Photos, f.FirstError))
		}
	}
	return errors.Join(errs...)
}

func (r *report) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	line := func(format string, args ...any) { fmt.Fprintf(w, format+"\n", args...) }
	m := r.Machine
	line("\n%s UTC, %d cores (%s), %s, %s, load average %.1f before and %.1f after", m.Date, m.Cores, m.CPU, m.OS, m.Go, r.LoadBefore, r.LoadAfter)
	if r.Disk != nil {
		line("one append of 512 bytes with fsync, before: p50 %.2f ms, p99 %.2f ms", r.Disk.P50, r.Disk.P99)
	}
	if p := r.Nodes; p != nil {
		line("\nstore %s", r.Store)
		p.print(line, map[string]float64{"IDV": targetIDV, "Result": targetResult})
		health, idv, result := p.total("health"), p.total("IDV"), p.total("Result")
		if health.P50 > 0 && health.P99 > 0 {
			line("against health in the same run: Result x%.1f at p50, x%.1f at p99; IDV x%.1f at p50, x%.1f at p99",
				result.P50/health.P50, result.P99/health.P99, idv.P50/health.P50, idv.P99/health.P99)
		}
		line("")
		line("resident memory, MB\tidle\tunder load\tpeak\ttarget\t")
		line("serve\t%.0f\t%.0f\t%.0f\t%s\t", r.Bridge.Idle, r.Bridge.Load, r.Bridge.Peak, verdict(r.Bridge.Peak, targetBridge, "MB"))
	}
	if s := r.StepUp; s != nil {
		s.print(line)
	}
	if r.Risk != nil {
		r.Risk.print(line)
	}
	if r.Flow != nil {
		r.Flow.print(line)
	}
	if len(r.Engine) > 0 {
		line("")
		line("engine, closed loop\trequests\terrors\tper s\tp50 ms\tmax ms\tCPU ms each\tMB idle\tunder load\tpeak\ttarget\t")
		for _, f := range r.Engine {
			line("%d callers, %s\t%d\t%d\t%.2f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%.0f\t%s\t", f.Callers, f.Photos, f.Requests, f.Errors, f.PerSecond, f.P50, f.Max, f.CPUPerCall,
				r.EngineIdle, f.RSS, f.Peak, verdict(f.Peak, targetEngine, "MB"))
		}
		line("")
	}
	if f := r.FirstPage; f != nil {
		line("%s to the first page: %.1f s, %s", f.What, f.Seconds, verdict(f.Seconds, targetDemo, "s"))
	}
	return w.Flush()
}

// print shows a phase; targets are of p99, in ms.
func (p *phase) print(line func(format string, args ...any), targets map[string]float64) {
	state := "quiet"
	if p.busy() {
		state = "BUSY"
	}
	line("%s: %.4g a second each, at once, for %g s; open loop, constant intervals fixed beforehand; HTTP/1.1, connections kept, loopback", p.What, p.Rate, p.Seconds)
	line("CPU meanwhile, in %% of a core: bridge %.0f, local 1Kosmos %.0f, load generator %.0f, all others %.0f: the machine was %s", p.BridgeCPU, p.KosmosCPU, p.OwnCPU, p.others(), state)
	line("")
	line("call\tof\tcalls\terrors\tper s\tin flight\tp50 ms\tp90\tp99\tmax\tsent late p99\ttarget p99\t")
	for _, f := range p.Calls {
		name, flight, target := f.Call, fmt.Sprint(f.MaxInFlight), "-"
		if f.Kind != "" {
			name, flight = "", ""
		} else if t := targets[f.Call]; t > 0 {
			target = verdict(f.P99, t, "ms")
		}
		line("%s\t%s\t%d\t%d\t%.1f of %.1f\t%s\t%.2f\t%.2f\t%.2f\t%.2f\t%.2f\t%s\t", name, f.Kind, f.Calls, f.Errors, f.Achieved, f.Offered, flight, f.P50, f.P90, f.P99, f.Max, f.LateP99, target)
	}
	line("")
}

func (s *stepUpFigures) print(line func(format string, args ...any)) {
	line("\nstep-up: store %s, %d enrolled people", s.Store, s.People)
	s.Backend.print(line, nil)
	s.Nodes.print(line, map[string]float64{"Step-Up Result": targetStepUpResult})
	line("Step-Up adds to the backend calls, as the difference of the two distributions: %.2f ms at p50, %.2f ms at p99 (%s)",
		s.AddsP50, s.Adds, verdict(s.Adds, targetStepUpAdds, "ms"))
	o := &s.Open
	line("")
	o.Filling.print(line, nil)
	for _, h := range []*held{&o.Callers, &o.Pages} {
		h.print(line, nil) // the target is for a fifth of this rate
		line("upstream: %.0f polls a second of %.0f wanted, the most overdue by %.0f ms; %.1f sessions opened anew a second", h.Polls, h.PollsWanted, h.Overdue, h.Renewals)
		line("bridge: %.2f cores: %s; %.0f MB resident, %.0f more than before", h.BridgeCPU/100, verdict(h.BridgeCPU, targetOpenCPU, "% of a core"), h.BridgeRSS, h.BridgeRSS-o.Before)
		line("")
	}
	line("%d challenges open: %.0f MB before, at most %.0f MB more at any time: %s", o.Challenges, o.Before, o.Extra, verdict(o.Extra, targetOpenExtra, "MB"))
	line("")
}

func verdict(got, target float64, unit string) string {
	word := "met"
	if got >= target {
		word = "MISSED"
	}
	return fmt.Sprintf("< %g %s: %s", target, unit, word)
}
