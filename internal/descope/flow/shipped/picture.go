package shipped

import (
	"bytes"
	"fmt"
	"html"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// Sizes of a picture, in its units; it is shown at about that many pixels.
const (
	boxWidth   = 264
	columnStep = boxWidth + 56
	margin     = 16
	rowGap     = 34
	lineHeight = 20
	padding    = 12
	titleChars = 25 // that fit into a line of a box
	noteChars  = 32
)

// style is the look of all pictures, by day and by night.
const style = `
text{font:15px system-ui,-apple-system,"Segoe UI",Roboto,"Helvetica Neue",Arial,sans-serif;fill:#1b1f27}
.t{font-weight:600}.k{font-size:12.5px;fill:#566072}.n{font-size:13.5px;fill:#3c4554}.w{font-size:13.5px;fill:#2a4fa3;font-weight:600}
.b{fill:#fff;stroke:#9aa4b5;stroke-width:1.5}.node{fill:#e9f0ff;stroke:#2a4fa3;stroke-width:2}.cond{fill:#fff6df;stroke:#b98a17}.end{fill:#e3f5e7;stroke:#2c8a4b;stroke-width:2}
.page{fill:#fbfbfd}.e{fill:none;stroke:#6a7484;stroke-width:1.6}.h{fill:#6a7484}
@media (prefers-color-scheme:dark){
text{fill:#eef1f6}.k{fill:#a9b3c3}.n{fill:#cfd6e1}.w{fill:#9dbcff}
.b{fill:#22262e;stroke:#6c7687}.node{fill:#1d2b4a;stroke:#7fa4f5}.cond{fill:#3a311a;stroke:#d0a536}.end{fill:#193524;stroke:#57b877}
.page{fill:#15181d}.e{stroke:#95a0b2}.h{fill:#95a0b2}}
`

// box is a task as it is drawn.
type box struct {
	placed
	kind, class string
	when        []string // what leads here, for a task beside the way
	title       []string
	notes       []string // where it leads, as far as no line shows it
	x, y, h     int
}

// Picture draws the flow: the way through it from top to bottom, beside each step
// what else may come of it. Ways back stand in the boxes, in words.
func (f Flow) Picture() []byte {
	boxes := make([]*box, len(f.order))
	for i, p := range f.order {
		boxes[i] = f.box(i, p)
	}
	heights := map[int]int{}
	last := 0
	for _, b := range boxes {
		heights[b.row] = max(heights[b.row], b.h)
		last = max(last, b.row)
	}
	tops := make([]int, last+2)
	tops[0] = margin
	for row := range last + 1 {
		tops[row+1] = tops[row] + heights[row] + rowGap
	}
	width, height := 2*margin+2*columnStep+boxWidth, tops[last+1]-rowGap+margin
	for _, b := range boxes {
		b.x, b.y = margin+b.col*columnStep, tops[b.row]
	}

	var out bytes.Buffer
	fmt.Fprintf(&out, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" width="%[1]d" height="%[2]d" role="img" aria-label="%s">`, width, height, html.EscapeString(f.Metadata.Name))
	fmt.Fprintf(&out, "\n<style>%s</style>\n"+`<rect class="page" width="%d" height="%d" rx="10"/>`+"\n", style, width, height)
	var way *box
	for i, b := range boxes {
		if b.owner >= 0 {
			continue
		}
		if way != nil {
			if words, ok := f.between(way.task, b.task); ok {
				down(&out, way, b, words)
			}
		}
		way = b
		f.branch(&out, b, boxes[i+1:], i)
	}
	for _, b := range boxes {
		b.draw(&out)
	}
	out.WriteString("</svg>\n")
	return out.Bytes()
}

// between says in words how a task leads straight to another.
func (f Flow) between(from, to *flow.Task) (words []string, ok bool) {
	for _, r := range from.Next.Rules {
		if r.TaskID == to.ID {
			ok = true
			if w := f.words(from, r.InteractionID); w != "" && !slices.Contains(words, w) {
				words = append(words, w)
			}
		}
	}
	return words, ok
}

// words are those of an interaction.
func (f Flow) words(t *flow.Task, interaction string) string {
	switch interaction {
	case flow.Success, "":
		return ""
	case flow.ConnectorFailed, flow.RequestError:
		return "no answer"
	case flow.Polling:
		return "by itself"
	}
	for _, c := range t.Conditions {
		if c.InteractionID == interaction {
			return c.Name
		}
	}
	for _, s := range f.Screens {
		if s.ScreenID != t.ScreenID {
			continue
		}
		for _, i := range s.Interactions {
			if i.ID == interaction {
				return "“" + i.Label + "”"
			}
		}
	}
	return interaction
}

func (f Flow) box(i int, p placed) *box {
	t, n := p.task, f.n
	b := &box{placed: p, class: "b", title: wrap(t.Name, titleChars)}
	switch {
	case t.Type == flow.TypeStart:
		b.kind, b.title = "", []string{"Start"}
		b.class = "end"
		if len(f.Metadata.SharedInteractions) > 0 {
			b.title = wrap("Start: somebody is signed in", titleChars)
		}
	case t.Type == flow.TypeScreen:
		b.kind = "screen"
	case t.Type == flow.TypeCondition:
		b.kind, b.class = "condition", "b cond"
	case t.Action == n.Connector.Action:
		b.kind, b.class = "connector", "b node"
	case t.Action == n.Actions.End:
		b.kind, b.title, b.class = "", []string{"End: a session"}, "end"
	default:
		b.kind = "action"
	}
	if b.kind != "" {
		b.kind += " " + t.ID
	}
	var next *flow.Task
	for _, q := range f.order[i+1:] {
		if p.owner < 0 && q.owner < 0 {
			next = q.task
			break
		}
	}
	leads := map[string][]string{}
	var order []string
	for _, r := range t.Next.Rules {
		if next != nil && r.TaskID == next.ID || p.owner < 0 && slices.ContainsFunc(f.order, func(q placed) bool { return q.owner == i && q.task.ID == r.TaskID }) {
			continue // there is a line
		}
		if leads[r.TaskID] == nil {
			order = append(order, r.TaskID)
		}
		if w := f.words(t, r.InteractionID); !slices.Contains(leads[r.TaskID], w) {
			leads[r.TaskID] = append(leads[r.TaskID], w)
		}
	}
	for _, to := range order {
		words := strings.Join(slices.DeleteFunc(leads[to], func(w string) bool { return w == "" }), ", ")
		b.notes = append(b.notes, wrap(strings.TrimSpace(words+" → "+f.Contents.Tasks[to].Name+" ("+to+")"), noteChars)...)
	}
	for _, s := range f.Metadata.SharedInteractions {
		if way, ok := strings.CutPrefix(s.ID, t.ID+"."); ok && t.To(way) == "" && !strings.Contains(way, ".") {
			b.notes = append(b.notes, wrap("way out: "+s.ID, noteChars)...)
		}
	}
	if p.owner >= 0 {
		words, _ := f.between(f.order[p.owner].task, t)
		for _, q := range f.order { // without a line
			if _, ok := f.between(f.order[p.owner].task, t); ok {
				break
			}
			if w, ok := f.between(q.task, t); ok {
				words = append(words, strings.TrimSpace(strings.Join(w, ", ")+" from "+q.task.Name+" ("+q.task.ID+")"))
			}
		}
		if len(words) <= beside { // of more, each says it itself
			b.when = wrap(strings.Join(words, ", "), noteChars-1)
		}
	}
	b.h = 2*padding + lineHeight*len(b.title) + 18*(len(b.when)+len(b.notes)) - 4
	if b.kind != "" {
		b.h += 18
	}
	return b
}

func (b *box) draw(out *bytes.Buffer) {
	rx := 8
	if b.class == "end" {
		rx = 20
	}
	fmt.Fprintf(out, `<rect class="%s" x="%d" y="%d" width="%d" height="%d" rx="%d"/>`+"\n", b.class, b.x, b.y, boxWidth, b.h, rx)
	y := b.y + padding + 11
	line := func(class, s string, step int) {
		fmt.Fprintf(out, `<text class="%s" x="%d" y="%d">%s</text>`+"\n", class, b.x+padding, y, html.EscapeString(s))
		y += step
	}
	for _, w := range b.when {
		line("w", w, 18)
	}
	if b.kind != "" {
		line("k", b.kind, 18)
	}
	for _, w := range b.title {
		line("t", w, lineHeight)
	}
	for _, w := range b.notes {
		line("n", w, 18)
	}
}

// down is the line from one step of the way to the next.
func down(out *bytes.Buffer, from, to *box, words []string) {
	x, y1, y2 := from.x+boxWidth/2, from.y+from.h, to.y
	fmt.Fprintf(out, `<path class="e" d="M%d %dV%d"/><path class="h" d="M%[1]d %[4]dl-5 -9h10z"/>`+"\n", x, y1, y2-6, y2)
	if len(words) > 0 {
		s := strings.Join(words, ", ")
		if len([]rune(s)) > noteChars {
			s = string([]rune(s)[:noteChars-1]) + "…"
		}
		fmt.Fprintf(out, `<text class="w" x="%d" y="%d">%s</text>`+"\n", x+9, y2-11, html.EscapeString(s))
	}
}

// branch is the lines from a step to what stands beside it.
func (f Flow) branch(out *bytes.Buffer, from *box, rest []*box, index int) {
	trunk := from.x + boxWidth + (columnStep-boxWidth)/2
	y := from.y + 22
	lowest := 0
	for _, b := range rest {
		if b.owner != index {
			continue
		}
		if _, ok := f.between(from.task, b.task); !ok {
			continue // another step leads there
		}
		arrow := func(x, y int) { fmt.Fprintf(out, `<path class="h" d="M%d %dl-9 -5v10z"/>`+"\n", x, y) }
		at := b.y + 22
		if b.col == 1 {
			fmt.Fprintf(out, `<path class="e" d="M%d %dH%d"/>`+"\n", trunk, at, b.x-6)
			arrow(b.x, at)
			lowest = max(lowest, at)
			continue
		}
		above := b.y - rowGap/2
		if b.row == 0 {
			above = b.y - margin/2
		}
		fmt.Fprintf(out, `<path class="e" d="M%d %dH%dV%dH%d"/>`+"\n", trunk, above, b.x-(columnStep-boxWidth)/2, at, b.x-6)
		arrow(b.x, at)
		lowest = max(lowest, above)
		y = min(y, above)
	}
	if lowest > 0 {
		fmt.Fprintf(out, `<path class="e" d="M%d %dH%d"/><path class="e" d="M%[3]d %[4]dV%[5]d"/>`+"\n", from.x+boxWidth, from.y+22, trunk, y, lowest)
	}
}

// wrap breaks a text into lines of at most so many characters, where it can.
func wrap(s string, chars int) (lines []string) {
	for word := range strings.FieldsSeq(s) {
		if n := len(lines); n > 0 && len([]rune(lines[n-1]))+1+len([]rune(word)) <= chars {
			lines[n-1] += " " + word
			continue
		}
		lines = append(lines, word)
	}
	return lines
}
