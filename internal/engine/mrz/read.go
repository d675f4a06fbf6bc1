package mrz

import (
	_ "embed"
	"image"
	"math"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

// weights come from the program in train.
//
//go:embed weights.bin
var weights []byte

var network = sync.OnceValue(func() *cell.Net {
	n, err := cell.Decode(weights)
	if err != nil {
		panic("mrz: embedded weights: " + err.Error()) // a broken build, not a broken input
	}
	return n
})

// Bounds of the work that one picture may cause.
const (
	workingSide = 2000 // longer side at which the zone is first looked for, pixels
	fullSide    = 4200 // longer side of the second look at a large picture
	smallSide   = 1100 // a picture smaller than this is also looked at doubled
	minSide     = 100
	finePitch   = 18 // pixels from character to character that are enough
)

// What the network must say for a block of lines to be a zone at all, and to be sure of it.
const (
	foundScore = 0.55 // geometric mean of the posteriors
	sureScore  = 0.97
)

// unsure is the posterior below which a character that no check digit covers is a Problem.
const unsure = 0.5

// Read finds the zone on a photograph, in any of the four orientations and turned up
// to about twenty degrees from them, and reads it. Errors are ErrNotFound if
// there is no zone, and a *FormatError if there is one of a kind that
// this package does not know, such as a visa.
//
// Each character is the likeliest one of those that its place in the format
// can hold. Nothing is corrected by check digits: if one is wrong, DigitsOK is false.
func Read(img image.Image, now time.Time) (*Result, error) {
	b := img.Bounds()
	if b.Dx() < minSide || b.Dy() < minSide/2 {
		return nil, ErrNotFound
	}
	r := reader{net: network(), hidden: make([]float32, network().Hidden)}
	for i, k := range scales(max(b.Dx(), b.Dy())) {
		p := r.picture(img, k)
		if p == nil {
			continue
		}
		tries := thresholds
		if i > 0 {
			tries = tries[:2] // large pictures must not take for ever
		}
		for _, t := range tries {
			r.look(p, t)
			if r.best != nil && r.best.score > sureScore {
				return r.result(now)
			}
		}
		if r.best != nil && r.best.score > foundScore && r.best.step(0, 0).len() > finePitch {
			break // a closer look would not show more
		}
	}
	if r.best == nil || r.best.score < foundScore {
		return nil, ErrNotFound
	}
	return r.result(now)
}

// scales are the reductions at which a picture is looked at, 0 for doubling it.
func scales(side int) []int {
	k := (side + workingSide - 1) / workingSide
	out := []int{k}
	if f := (side + fullSide - 1) / fullSide; f < k {
		out = append(out, f)
	}
	if side < smallSide {
		out = append(out, 0)
	}
	return out
}

// picture is one scale of the photograph.
type picture struct {
	gray, half *cell.Gray
	smooth     *cell.Gray // for the locator
	factor     float64    // pixels of the photograph to one of gray
	origin     image.Point
}

type reader struct {
	net    *cell.Net
	hidden []float32
	patch  [cell.Size]float32
	probs  [cell.Classes]float32
	best   *reading
}

// reading is what the network says about one placement.
type reading struct {
	placement
	picture *picture
	probs   [][]float32 // by character, in reading order
	score   float64     // geometric mean of the chosen posteriors
}

func (r *reader) picture(img image.Image, k int) *picture {
	var g *cell.Gray
	factor := float64(k)
	if k == 0 {
		g, factor = cell.FromImage(img, 1).Double(), 0.5
	} else {
		g = cell.FromImage(img, k)
	}
	if g.W < 40 || g.H < 20 {
		return nil
	}
	return &picture{gray: g, half: g.Half(), smooth: smooth(g), factor: factor, origin: img.Bounds().Min}
}

// look reads whatever looks like a zone under threshold t and keeps the best.
func (r *reader) look(p *picture, t threshold) {
	f := newField(components(binarize(p.smooth, t), p.gray.W, p.gray.H))
	for _, l := range lattices(f, chains(f)) {
		for _, pl := range l.placements() {
			pl.bend()
			for _, flipped := range []bool{false, true} {
				pl.flipped = flipped
				rd := &reading{placement: pl, picture: p}
				// A first impression of a few characters spares most wrong orientations.
				if r.judge(rd, 7) < 0.25 {
					continue
				}
				rd.score = r.judge(rd, 1)
				if r.best == nil || rd.score > r.best.score {
					r.best = rd
				}
			}
		}
	}
}

// judge classifies every nth character of rd and returns the geometric mean of
// the posteriors of the best permitted classes.
func (r *reader) judge(rd *reading, nth int) float64 {
	lay := rd.layout
	sum, n := 0.0, 0
	if nth == 1 {
		rd.probs = make([][]float32, 0, lay.lines*lay.length)
	}
	for i := 0; i < lay.lines*lay.length; i += nth {
		y, x := i/lay.length, i%lay.length
		f := rd.frame(x, y)
		probs := r.classify(rd.picture, f)
		c := lay.choose(y, x, probs)
		sum += math.Log(max(float64(probs[c]), 1e-3))
		n++
		if nth == 1 {
			rd.probs = append(rd.probs, append([]float32(nil), probs...))
		}
	}
	return math.Exp(sum / float64(n))
}

// classify is the network's view of the character at f.
func (r *reader) classify(p *picture, f cell.Frame) []float32 {
	g := p.gray
	if math.Hypot(f.UX, f.UY) > 44 { // as in training
		g = p.half
		f = cell.Frame{X: f.X/2 - 0.25, Y: f.Y/2 - 0.25, UX: f.UX / 2, UY: f.UY / 2, VX: f.VX / 2, VY: f.VY / 2}
	}
	cell.Sample(g, f, r.patch[:])
	r.net.Forward(r.patch[:], r.hidden, r.probs[:])
	return r.probs[:]
}

// jitters are the places, in pitches, at which each character of the final
// reading is looked at; their posteriors are averaged.
var jitters = [][2]float64{{0, 0}, {-0.05, 0}, {0.05, 0}, {0, -0.06}, {0, 0.06}}

// result turns the best reading into lines.
func (r *reader) result(now time.Time) (*Result, error) {
	rd := r.best
	lay := rd.layout
	lines := make([]string, lay.lines)
	sure := make([]float64, 0, lay.lines*lay.length)
	lowest := 1.0
	var mean [cell.Classes]float32
	for y := range lines {
		var line strings.Builder
		for x := range lay.length {
			f := rd.frame(x, y)
			clear(mean[:])
			for _, j := range jitters {
				g := f
				g.X += j[0]*f.UX + j[1]*f.VX
				g.Y += j[0]*f.UY + j[1]*f.VY
				for c, v := range r.classify(rd.picture, g) {
					mean[c] += v / float32(len(jitters))
				}
			}
			c := lay.choose(y, x, mean[:])
			if x == 0 && y == 0 {
				c = lay.foreign(c, mean[:])
			}
			line.WriteByte(cell.Alphabet[c])
			sure = append(sure, float64(mean[c]))
			lowest = min(lowest, float64(mean[c]))
		}
		lines[y] = line.String()
	}
	res, err := Parse(lines, now)
	if err != nil {
		return nil, err
	}
	res.Confidence = lowest
	for i := range res.Quad {
		c := rd.corner(i)
		k := rd.picture.factor
		res.Quad[i] = image.Pt(int(math.Round((c.x+0.5)*k-0.5)), int(math.Round((c.y+0.5)*k-0.5))).Add(rd.picture.origin)
	}
	res.Problems = append(res.Problems, lay.unsure(sure)...)
	return res, nil
}

// unsure lists the fields without a check digit in which a character is a guess.
func (l *layout) unsure(sure []float64) []Problem {
	var out []Problem
	for _, f := range []struct {
		name string
		span span
	}{
		{DocumentCode, span{0, 0, 2}}, {Issuer, span{0, 2, 5}}, {Nationality, l.nationality}, {Sex, l.sex}, {Name, l.name},
	} {
		for x := f.span.from; x < f.span.to; x++ {
			if sure[f.span.line*l.length+x] < unsure {
				out = append(out, Problem{f.name, ProblemUnsure})
				break
			}
		}
	}
	return out
}

// Sets of classes that a place in a zone can hold.
const (
	digits  = "0123456789"
	letters = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
)

// permitted is the set of characters for line y, column x.
func (l *layout) permitted(y, x int) string {
	in := func(s span) bool { return s.line == y && x >= s.from && x < s.to }
	switch {
	case y == 0 && x == 0:
		return l.codes
	case y == 0 && x < 5, in(l.name), in(l.nationality):
		return letters + "<"
	case in(l.sex):
		return "FM<"
	case in(l.birth), in(l.number.next()) && l.format != TD3, l.format == TD3 && in(l.optional.next()):
		return digits + "<"
	case in(l.expiry), in(l.number.next()), in(l.birth.next()), in(l.expiry.next()), in(l.compositeAt):
		return digits
	}
	return cell.Alphabet
}

// choose is the likeliest permitted class for line y, column x.
func (l *layout) choose(y, x int, probs []float32) int {
	best := -1
	for _, c := range []byte(l.permitted(y, x)) {
		k := class(c)
		if best < 0 || probs[k] > probs[best] {
			best = k
		}
	}
	return best
}

// foreign replaces the choice of a first letter if another one is certain: then
// this is a document of another kind, and Parse says so.
func (l *layout) foreign(choice int, probs []float32) int {
	for c := range cell.Classes - 1 {
		if probs[c] > 0.9 && strings.IndexByte(letters, cell.Alphabet[c]) >= 0 {
			return c
		}
	}
	return choice
}

func class(c byte) int {
	if c == '<' {
		return len(cell.Alphabet) - 1
	}
	return value(c)
}
