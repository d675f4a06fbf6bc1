package eval

import (
	"fmt"
	"io"
	"text/tabwriter"
)

// WriteText writes the figures that matter most, for a terminal.
func (r *Report) WriteText(w io.Writer) error {
	t := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	line := func(what, of string, x Rate) {
		fmt.Fprintf(t, "%s\t%s\t%s\t%d of %d\t%s to %s\n", what, of, percent(x.Value), x.K, x.N, percent(x.Low), percent(x.High))
	}
	for _, c := range r.Faces {
		for _, p := range c.Profiles {
			line(c.Name, p.Name+" FMR", p.FMR)
			line(c.Name, p.Name+" FNMR", p.FNMR)
		}
	}
	if r.Unusable != nil {
		line("faces", "not usable", *r.Unusable)
	}
	for _, d := range r.Documents {
		if d.Of == "mrz" || d.Of == "barcode" {
			line("documents "+d.Level, d.Of+" exact", d.Exact)
		}
	}
	for _, e := range r.Expected {
		line("documents "+e.Level, "as expected", e.AsExpected)
	}
	for _, a := range r.Attacks {
		line("attack "+a.Name, "APCER", a.Passed)
	}
	if r.BonaFide != nil {
		line("bona fide, "+r.Dataset.Material, "passed", r.BonaFide.Passed)
		line("bona fide, "+r.Dataset.Material, "BPCER", r.BonaFide.Failed)
	}
	if n, ok := r.Metrics["documents/falsely_valid"]; ok {
		fmt.Fprintf(t, "falsely valid\t\t%.0f\n", n)
	}
	for _, s := range r.Timings {
		if s.N > 0 && !part(s.Name) {
			fmt.Fprintf(t, "time\t%s\t%.0f ms\t\thalf of them; 95 %% within %.0f ms\n", s.Name, s.P50, s.P95)
		}
	}
	if r.Partial {
		fmt.Fprintln(t, "partial: the run was ended before everything was looked at")
	}
	if r.Gate != nil {
		for _, b := range r.Gate.Broken {
			fmt.Fprintf(t, "broken: %s\n", b)
		}
		if len(r.Gate.Broken) == 0 {
			fmt.Fprintf(t, "the gate holds: %d figures\n", r.Gate.Checked)
		}
	}
	return t.Flush()
}
