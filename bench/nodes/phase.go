//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// phase is a time in which something was called at a constant rate. CPU is in
// percent of one core, memory in MB.
type phase struct {
	What       string    `json:"what"`
	Rate       float64   `json:"rate_per_s_each"`
	Seconds    float64   `json:"seconds"`
	BridgeCPU  float64   `json:"bridge_cpu_percent"`
	KosmosCPU  float64   `json:"local_1kosmos_cpu_percent"`
	OwnCPU     float64   `json:"load_generator_cpu_percent"`
	MachineCPU float64   `json:"machine_cpu_percent"` // everything, the three above included
	BridgeRSS  float64   `json:"bridge_rss_mb"`       // the most of samples, 10 a second
	BridgePeak float64   `json:"bridge_rss_peak_mb"`  // the kernel's, since the bridge started
	Calls      []figures `json:"calls"`
}

// phase drives the streams and watches the bridge and the others meanwhile.
func (o *options) phase(ctx context.Context, what string, stack ready, bridge int, rate float64, duration time.Duration, streams ...stream) (phase, error) {
	p := phase{What: what, Rate: rate, Seconds: duration.Seconds()}
	progress(fmt.Sprintf("%s: %.4g times a second each, for %s", what, rate, duration))
	kosmos, err := find(" sandbox kosmos ", filepath.Join(stack.Data, "kosmos.json"))
	if err != nil {
		return p, err
	}
	before, err := readCPU(bridge, kosmos)
	if err != nil {
		return p, err
	}
	stop := watch(ctx, bridge)
	p.Calls = drive(ctx, rate, duration, nanosleep, streams...)
	p.BridgeRSS = stop()
	if ctx.Err() != nil {
		return p, ctx.Err()
	}
	after, err := readCPU(bridge, kosmos)
	if err != nil {
		return p, err
	}
	took := after.at.Sub(before.at).Seconds()
	share := func(before, after time.Duration) float64 { return 100 * (after - before).Seconds() / took }
	p.BridgeCPU, p.KosmosCPU, p.OwnCPU = share(before.bridge, after.bridge), share(before.kosmos, after.kosmos), share(before.own, after.own)
	p.MachineCPU = float64(thisMachine().Cores) * 100 * (after.busy - before.busy) / (after.total - before.total)
	m, err := memoryOf(bridge)
	p.BridgePeak = m.Peak
	return p, err
}

// busy says that others had the machine as well: more than half a core. Among
// the others is the kernel on nobody's account and, if it is used, PostgreSQL.
func (p *phase) busy() bool { return p.others() > 50 }

func (p *phase) others() float64 {
	return max(p.MachineCPU-p.BridgeCPU-p.KosmosCPU-p.OwnCPU, 0)
}

func (p *phase) total(call string) figures {
	for _, f := range p.Calls {
		if f.Call == call && f.Kind == "" {
			return f
		}
	}
	return figures{}
}

// cpuTimes are what processes and the machine had taken at a time.
type cpuTimes struct {
	at                  time.Time
	bridge, kosmos, own time.Duration
	busy, total         float64
}

func readCPU(bridge, kosmos int) (t cpuTimes, err error) {
	t.at = time.Now()
	if t.bridge, err = cpuOf(bridge); err != nil {
		return t, err
	}
	if t.kosmos, err = cpuOf(kosmos); err != nil {
		return t, err
	}
	if t.own, err = cpuOf(os.Getpid()); err != nil {
		return t, err
	}
	t.busy, t.total, err = machineCPU()
	return t, err
}
