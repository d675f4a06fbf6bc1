package eval

import (
	_ "embed"
	"fmt"
	"html/template"
	"io"
	"math"
	"strconv"
	"strings"
)

//go:embed report.html
var page string

// WriteHTML writes a report as one page that needs nothing else: no script, no
// font, no picture from anywhere.
func (r *Report) WriteHTML(w io.Writer) error { return reportPage.Execute(w, r) }

var reportPage = template.Must(template.New("report").Funcs(template.FuncMap{
	"percent": unbroken, "cell": cell, "det": det, "bars": bars, "title": title,
	"total": func(list []Reading) (n int) {
		for _, d := range list {
			if d.Of == "mrz" || d.Of == "barcode" {
				n += d.FalselyValid
			}
		}
		return n
	},
	"part": part,
}).Parse(page))

// part reports whether a Stage is part of another.
func part(stage string) bool { return strings.Contains(stage, ": ") }

// percent writes a part of one with two digits that count.
func percent(v any) string {
	f, ok := v.(float64)
	if p, isPtr := v.(*float64); isPtr && p != nil {
		f, ok = *p, true
	}
	p := 100 * f
	switch {
	case !ok:
		return "?"
	case p > 0 && p < 0.01:
		return "under 0.01 %"
	case p >= 10:
		return fmt.Sprintf("%.0f %%", p)
	}
	return strconv.FormatFloat(p, 'g', 2, 64) + " %"
}

// unbroken keeps figure and sign on one line.
func unbroken(v any) string { return strings.ReplaceAll(percent(v), " ", "\u00a0") }

func title(name string) string {
	if name == "selfie" {
		return "Selfie with selfie"
	}
	level, _ := strings.CutPrefix(name, "portrait ")
	return "Portrait on a document with selfie, " + level
}

// cell is a cell of a table for a rate: figure, count, interval, picture of it, and
// what else there is to say.
func cell(r Rate, more ...string) template.HTML {
	if r.N == 0 {
		return `<td>-</td>`
	}
	x := func(v float64) float64 { return 4 + 112*v }
	return template.HTML(fmt.Sprintf(`<td class="rate"><b>%s</b> <span class="soft">%d of %d</span>`+
		`<svg viewBox="0 0 120 10" aria-hidden="true"><path class="axis" d="M4 5H116M4 1v8M116 1v8"/><path class="ci" d="M%.1f 5H%.1f"/><circle class="dot" cx="%.1f" cy="5" r="3.5"/></svg>`+
		`<span class="soft">%s to %s%s</span></td>`,
		percent(r.Value), r.K, r.N, x(r.Low), x(r.High), x(r.Value), percent(r.Low), percent(r.High), template.HTMLEscapeString(strings.Join(more, ""))))
}

// Sizes of a plot in its own units; the page scales it. A phone shows it one to one.
const (
	plotW, plotH             = 360.0, 250.0
	left, right, above, foot = 44.0, 10.0, 10.0, 34.0
)

// det draws FNMR over FMR where there is something to trade: nothing where no
// genuine pair scores below an impostor pair.
func det(list []Comparison) template.HTML {
	least := 0.01 // the finest rate that the pairs can show, at most 1 %
	var drawn []Comparison
	for _, c := range list {
		if c.Equal != nil && *c.Equal > 0 {
			drawn = append(drawn, c)
			least = min(least, 1/float64(c.Genuine), 1/float64(c.Impostor))
		}
	}
	if len(drawn) == 0 {
		return ""
	}
	decades := math.Ceil(-math.Log10(least))
	at := func(v float64) float64 { // 0 at the edge, 1 at 100 %
		if v <= 0 {
			return 0
		}
		return max(0, 1+math.Log10(v)/(decades+0.4))
	}
	x := func(v float64) float64 { return left + at(v)*(plotW-left-right) }
	y := func(v float64) float64 { return plotH - foot - at(v)*(plotH-foot-above) }
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="Trade-off between FMR and FNMR">`, plotW, plotH+6+15*float64(len(drawn)))
	fmt.Fprintf(&b, `<path class="axis" d="M%g %gV%gH%g"/>`, left, above, plotH-foot, plotW-right)
	for d := 0.0; d <= decades; d++ {
		v := math.Pow(10, -d)
		fmt.Fprintf(&b, `<path class="axis" d="M%.1f %gV%gM%g %.1fH%g" stroke-opacity=".5"/>`, x(v), above, plotH-foot, left, y(v), plotW-right)
		label := fmt.Sprintf("%g %%", 100*v)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%s</text><text x="%g" y="%.1f" text-anchor="end">%s</text>`, min(x(v), plotW-right-10), plotH-foot+14, label, left-4, y(v)+4, label)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">FMR</text><text x="%g" y="%g">FNMR</text>`, (left+plotW)/2, plotH-4, left+4, above+10)
	for n, c := range drawn {
		fmt.Fprintf(&b, `<path class="line s%d" d="`, n%5)
		for i, p := range c.Curve {
			// A curve of counts is a stair: first to the right FMR, then up.
			if i == 0 {
				fmt.Fprintf(&b, "M%.1f %.1f", x(p.FMR), y(p.FNMR))
			} else {
				fmt.Fprintf(&b, "H%.1fV%.1f", x(p.FMR), y(p.FNMR))
			}
		}
		b.WriteString(`"/>`)
		low := plotH + 12 + 15*float64(n)
		fmt.Fprintf(&b, `<path class="line s%d" d="M%g %gh24"/><text x="%g" y="%g">%s</text>`, n%5, left, low-4, left+30, low, template.HTMLEscapeString(title(c.Name)))
	}
	return template.HTML(b.String() + `</svg>`)
}

// bars draws a histogram: genuine upwards, impostors downwards.
func bars(c Comparison) template.HTML {
	h := c.Histogram
	if len(h.Genuine) == 0 {
		return ""
	}
	highest := 0.0
	part := func(k, n int) float64 {
		if n == 0 {
			return 0
		}
		return float64(k) / float64(n)
	}
	for i := range h.Genuine {
		highest = max(highest, part(h.Genuine[i], c.Genuine), part(h.Impostor[i], c.Impostor))
	}
	const height = 200.0
	mid := (height-foot-above)/2 + above
	up := (height - foot - above) / 2 / highest
	bar := (plotW - left - right) / float64(len(h.Genuine))
	var b strings.Builder
	fmt.Fprintf(&b, `<svg viewBox="0 0 %g %g" role="img" aria-label="Histogram of scores">`, plotW, height)
	for i := range h.Genuine {
		x := left + float64(i)*bar
		if g := part(h.Genuine[i], c.Genuine) * up; g > 0 {
			fmt.Fprintf(&b, `<rect class="g" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x, mid-g, bar-0.6, g)
		}
		if m := part(h.Impostor[i], c.Impostor) * up; m > 0 {
			fmt.Fprintf(&b, `<rect class="i" x="%.1f" y="%.1f" width="%.1f" height="%.1f"/>`, x, mid, bar-0.6, m)
		}
	}
	fmt.Fprintf(&b, `<path class="axis" d="M%g %gH%gM%g %gV%g"/>`, left, mid, plotW-right, left, above, height-foot)
	for _, s := range []float64{1, -1} {
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%.0f %%</text>`, left-4, mid-s*(height-foot-above)/2+4, 100*highest)
	}
	high := h.Low + h.Width*float64(len(h.Genuine))
	step := math.Pow(10, math.Floor(math.Log10(high-h.Low)))
	if (high-h.Low)/step < 3 {
		step /= 2
	}
	for v := math.Ceil(h.Low/step) * step; v <= high; v += step {
		x := left + (v-h.Low)/(high-h.Low)*(plotW-left-right)
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%.3g</text>`, x, height-foot+14, v+0)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">fused score</text></svg>`, (left+plotW)/2, height-4)
	return template.HTML(b.String())
}
