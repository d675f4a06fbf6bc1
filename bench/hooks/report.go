//go:build linux

package main

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// print writes tables, and how ours compares with the better settings of the peer.
func (m *measured) print(out io.Writer) {
	fmt.Fprintf(out, "load average at the beginning %s\n", m.Load)
	table := func(head string, rows int, row func(w io.Writer, i int)) {
		if rows == 0 {
			return
		}
		w := tabwriter.NewWriter(out, 0, 0, 2, ' ', tabwriter.AlignRight)
		fmt.Fprintln(w, "\n"+head)
		for i := range rows {
			row(w, i)
		}
		w.Flush()
	}
	table("events/s\tdue\tp50 ms\tp99\tmax\tsent late p99\tcores\tCPU us each\terrors\tof\t  what", len(m.Accept), func(w io.Writer, i int) {
		a := m.Accept[i]
		fmt.Fprintf(w, "%.0f\t%d\t%.1f\t%.1f\t%.1f\t%.1f\t%.2f\t%.0f\t%d\t%d\t  %s, %s loop\n",
			a.PerSecond, a.Rate, a.P50, a.P99, a.Max, a.Late.P99, a.Cores, a.CPU, a.Errors, a.Requests+a.Errors, a.Store, a.Loop)
	})
	for _, a := range m.Accept {
		if a.First != "" {
			fmt.Fprintf(out, "%s, %s loop: the first error: %s\n", a.Store, a.Loop, a.First)
		}
		if a.Loop == "closed" {
			fmt.Fprintf(out, "%s: %d events are in the store, as many as were accepted; the rules had yet to see %d\n", a.Store, a.Stored, a.Waiting)
		}
	}
	table("p50 ms\tp99\tmax\tsince sent p50\tp99\tevents\t  receipt to first action", len(m.Action), func(w io.Writer, i int) {
		a := m.Action[i]
		fmt.Fprintf(w, "%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%d\t  %s, %s\n", a.P50, a.P99, a.Max, a.Sent.P50, a.Sent.P99, a.Count, a.Store, a.What)
	})
	table("enqueue/s\tp99 ms\tdrain/s\tpick-up p50 ms\tp99\tmax\t  jobs", len(m.Jobs), func(w io.Writer, i int) {
		q := m.Jobs[i]
		fmt.Fprintf(w, "%.0f\t%.1f\t%.0f\t%.2f\t%.2f\t%.2f\t  %s, %s: %s\n", q.Enqueue, q.Insert.P99, q.Drain, q.Pick.P50, q.Pick.P99, q.Pick.Max, q.Store, q.Name, q.Note)
	})
	var ours *queue
	for i := range m.Jobs {
		q := &m.Jobs[i]
		if q.Name == "kosmoscope" {
			ours = q
			continue
		}
		fmt.Fprintf(out, "%s: ours is %.1f times %s (%s) at enqueuing, %.1f times at draining, %.1f times as quick at picking up (p50; p99 %.1f)\n",
			q.Store, ours.Enqueue/q.Enqueue, q.Name, q.Note, ours.Drain/q.Drain, q.Pick.P50/ours.Pick.P50, q.Pick.P99/ours.Pick.P99)
	}
}
