//go:build linux

package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// memory is what a process holds, in MB of 10^6 bytes.
type memory struct {
	RSS  float64 // now
	Peak float64 // the most since it started (VmHWM)
}

func memoryOf(pid int) (memory, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return memory{}, err
	}
	return parseStatus(string(b))
}

func parseStatus(s string) (m memory, err error) {
	for line := range strings.Lines(s) {
		name, value, _ := strings.Cut(line, ":")
		to := map[string]*float64{"VmRSS": &m.RSS, "VmHWM": &m.Peak}[name]
		if to == nil {
			continue
		}
		kB, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(value), " kB"), 64)
		if err != nil {
			return m, fmt.Errorf("%s: %w", name, err)
		}
		*to = kB * 1024 / 1e6
	}
	if m.RSS == 0 || m.Peak == 0 {
		return m, errors.New("the status of the process names no memory")
	}
	return m, nil
}

// watch samples a process' RSS until stop is called, which gives the most seen.
func watch(ctx context.Context, pid int) (stop func() float64) {
	ctx, cancel := context.WithCancel(ctx)
	most := make(chan float64)
	go func() {
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		top := 0.0
		for {
			if m, err := memoryOf(pid); err == nil { // one that died shows elsewhere
				top = max(top, m.RSS)
			}
			select {
			case <-tick.C:
			case <-ctx.Done():
				most <- top
				return
			}
		}
	}()
	return func() float64 { cancel(); return <-most }
}

// cpuOf is the CPU time that a process has taken, user and system.
func cpuOf(pid int) (time.Duration, error) {
	b, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return 0, err
	}
	return parseStat(string(b))
}

// clockTicks a second is how Linux shows times to programs, whatever it uses itself (proc_pid_stat(5), USER_HZ).
const clockTicks = 100

func parseStat(s string) (time.Duration, error) {
	fields := strings.Fields(s[strings.LastIndexByte(s, ')')+1:])
	if len(fields) < 13 {
		return 0, errors.New("the stat of the process is too short")
	}
	user, err1 := strconv.ParseInt(fields[11], 10, 64)
	system, err2 := strconv.ParseInt(fields[12], 10, 64)
	return time.Duration(user+system) * time.Second / clockTicks, errors.Join(err1, err2)
}

// machineCPU is how many clock ticks all CPUs were busy, and how many there were.
func machineCPU() (busy, total float64, err error) {
	b, err := os.ReadFile("/proc/stat")
	if err != nil {
		return 0, 0, err
	}
	return parseCPU(string(b))
}

func parseCPU(s string) (busy, total float64, err error) {
	line, _, _ := strings.Cut(s, "\n")
	fields := strings.Fields(line)
	if len(fields) < 9 || fields[0] != "cpu" {
		return 0, 0, errors.New("/proc/stat does not begin with the CPUs")
	}
	for i, f := range fields[1:9] { // user nice system idle iowait irq softirq steal
		v, err := strconv.ParseFloat(f, 64)
		if err != nil {
			return 0, 0, fmt.Errorf("/proc/stat: %w", err)
		}
		total += v
		if i != 3 && i != 4 {
			busy += v
		}
	}
	return busy, total, nil
}

// find gives the process whose arguments contain all of args. There must be exactly one.
func find(args ...string) (int, error) {
	files, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		return 0, err
	}
	var found []int
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			continue // it has ended
		}
		line := string(bytes.ReplaceAll(b, []byte{0}, []byte{' '}))
		all := true
		for _, a := range args {
			all = all && strings.Contains(line, a)
		}
		if pid, err := strconv.Atoi(filepath.Base(filepath.Dir(file))); all && err == nil && pid != os.Getpid() {
			found = append(found, pid)
		}
	}
	if len(found) != 1 {
		return 0, fmt.Errorf("%d processes run %q, not one", len(found), strings.Join(args, " "))
	}
	return found[0], nil
}

// machine is what the figures were measured on.
type machine struct {
	Date  string `json:"date"` // UTC
	Cores int    `json:"cores"`
	CPU   string `json:"cpu"`
	Go    string `json:"go"`
	OS    string `json:"os"`
}

func thisMachine() machine {
	m := machine{
		Date: time.Now().UTC().Format("2006-01-02 15:04"), Cores: runtime.NumCPU(),
		Go: runtime.Version(), OS: runtime.GOOS + "/" + runtime.GOARCH, CPU: "unknown",
	}
	b, err := os.ReadFile("/proc/cpuinfo")
	if err != nil {
		return m
	}
	for line := range strings.Lines(string(b)) {
		if name, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(name) == "model name" {
			m.CPU = strings.TrimSpace(value)
			break
		}
	}
	return m
}

// loadAverage is that of the last minute.
func loadAverage() (float64, error) {
	b, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, err
	}
	first, _, _ := strings.Cut(string(b), " ")
	return strconv.ParseFloat(first, 64)
}
