package mrz

import (
	"cmp"
	"math"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

// mark is a blob that was found in its place of the lattice.
type mark struct {
	col, row int
	blob     int
}

// lattice is a block of lines with characters in columns: the zone, before one
// knows where it begins and which way up it is. A homography maps (column, row)
// to the picture, and a curve adds what a page does that does not lie flat.
type lattice struct {
	field *field
	h     homography
	curve curve
	marks []mark
	size  float64 // of a character, pixels
}

// at is the centre of a character, fractions between characters.
func (l *lattice) at(col, row float64) point {
	return l.h.at(col, row).add(l.curve.at(col))
}

// step is the way from one character to the next.
func (l *lattice) step(col, row float64) point {
	return l.at(col+0.5, row).sub(l.at(col-0.5, row))
}

// curve is a shift that depends on the column: square and cube of t, which runs
// from -1 at the first column to 1 at the last one.
type curve struct {
	middle, half float64
	square, cube point
}

func (c *curve) at(col float64) point {
	if c.half == 0 {
		return point{}
	}
	t := min(max((col-c.middle)/c.half, -1.3), 1.3) // no wild guesses far outside
	return c.square.scale(t * t).add(c.cube.scale(t * t * t))
}

// homography maps (column, row); the ninth element is 1.
type homography [8]float64

func (h *homography) at(col, row float64) point {
	d := h[6]*col + h[7]*row + 1
	return point{(h[0]*col + h[1]*row + h[2]) / d, (h[3]*col + h[4]*row + h[5]) / d}
}

const (
	maxLattices = 6
	// Lines are a quarter inch apart and characters a tenth on a passport, a little closer on
	// cards (Doc 9303 parts 4 and 5); perspective bends that.
	minGap, maxGap = 1.6, 3.3
	nominalGap     = 2.45
)

// lattices joins chains that lie one below the other.
func lattices(f *field, chains []chain) []*lattice {
	taken := make([]bool, len(chains))
	var out []*lattice
	keep := func(l *lattice) {
		l.settle()
		if len(l.marks) < 2*minChain {
			return
		}
		in := map[int]bool{}
		for _, m := range l.marks {
			in[m.blob] = true
		}
		for i, c := range chains {
			n := 0
			for _, k := range c.links {
				if in[k.blob] {
					n++
				}
			}
			taken[i] = taken[i] || 2*n > len(c.links)
		}
		out = append(out, l)
	}
	for gap := 1; gap <= 2; gap++ { // two apart: the line between was not found
		for i := range chains {
			for j := i + 1; j < len(chains) && len(out) < maxLattices; j++ {
				if taken[i] || taken[j] {
					continue
				}
				if l := pair(f, &chains[i], &chains[j], gap); l != nil {
					keep(l)
				}
			}
		}
	}
	// A single long line: look for its neighbours where they should be.
	for i := range chains {
		if !taken[i] && len(chains[i].links) >= 20 && len(out) < maxLattices {
			keep(single(f, &chains[i]))
		}
	}
	return out
}

// middle is the point halfway along the chain, from all of its blobs.
func (c *chain) middle(f *field) (index float64, at point) {
	for _, l := range c.links {
		index += float64(l.index)
		at = at.add(f.blobs[l.blob].point)
	}
	n := float64(len(c.links))
	return index / n, at.scale(1 / n)
}

func (c *chain) size(f *field) float64 {
	sizes := make([]float64, len(c.links))
	for i, l := range c.links {
		sizes[i] = f.blobs[l.blob].size()
	}
	slices.Sort(sizes)
	return sizes[len(sizes)/2]
}

// pair makes a lattice of two chains that are gap rows apart, or nil if they are not.
func pair(f *field, a, b *chain, gap int) *lattice {
	pa, pb := a.dir.len(), b.dir.len()
	if pa > 1.3*pb || pb > 1.3*pa || math.Abs(a.dir.dot(b.dir.perpendicular())) > 0.2*pa*pb || a.dir.dot(b.dir) < 0 {
		return nil
	}
	ia, ma := a.middle(f)
	ib, mb := b.middle(f)
	dir := a.dir.scale(1 / pa)
	// Where b's middle is, seen from a: along and across, in pitches.
	d := mb.sub(ma)
	across := d.dot(dir.perpendicular()) / pa
	along := d.dot(dir) / pa
	if k := math.Abs(across) / float64(gap); k < minGap || k > maxGap {
		return nil
	}
	la, lb := a.links[len(a.links)-1].index, b.links[len(b.links)-1].index
	shift := ia + along - ib // a's column is b's index plus this
	if min(float64(la), shift+float64(lb))-max(0, shift) < 0.5*float64(min(la, lb)) {
		return nil
	}
	// Perspective makes the shift uncertain by up to a column. Both lines
	// begin in one column and end in one, so prefer the shift that says so.
	best, cost := 0, math.Inf(1)
	for o := int(math.Round(shift)) - 1; o <= int(math.Round(shift))+1; o++ {
		c := 0.8*math.Abs(float64(o)-shift) + 0.5*float64(min(abs(o), 3)) + 0.5*float64(min(abs(o+lb-la), 3))
		if c < cost {
			best, cost = o, c
		}
	}
	l := &lattice{field: f, size: max(a.size(f), b.size(f))}
	rowA, rowB := 0, gap
	if across < 0 {
		rowA, rowB = gap, 0
	}
	for _, k := range a.links {
		l.marks = append(l.marks, mark{k.index, rowA, k.blob})
	}
	for _, k := range b.links {
		l.marks = append(l.marks, mark{k.index + best, rowB, k.blob})
	}
	return l
}

// single makes a lattice of one chain, with a guess at the distance to the next line.
func single(f *field, a *chain) *lattice {
	l := &lattice{field: f, size: a.size(f)}
	for _, k := range a.links {
		l.marks = append(l.marks, mark{k.index, 0, k.blob})
	}
	i, m := a.middle(f)
	down := a.dir.perpendicular().scale(nominalGap)
	o := m.sub(a.dir.scale(i))
	l.h = homography{a.dir.x, down.x, o.x, a.dir.y, down.y, o.y, 0, 0}
	l.collect(0.42)
	return l
}

func abs(n int) int { return max(n, -n) }

// settle fits the homography and collects the blobs that it explains, until that changes little.
func (l *lattice) settle() {
	for range 4 {
		if !l.fit() {
			l.marks = nil
			return
		}
		l.collect(0.3)
	}
	if !l.fit() {
		l.marks = nil
	}
}

// rows is the range of rows, columns that of columns, last ones included.
func (l *lattice) rows() (first, last int) {
	first, last = math.MaxInt, math.MinInt
	for _, m := range l.marks {
		first, last = min(first, m.row), max(last, m.row)
	}
	return first, last
}

func (l *lattice) columns() (first, last int) {
	first, last = math.MaxInt, math.MinInt
	for _, m := range l.marks {
		first, last = min(first, m.col), max(last, m.col)
	}
	return first, last
}

// collect replaces the marks by every blob that lies within r pitches of a
// place of the lattice, also beyond its ends and one line above and below.
func (l *lattice) collect(r float64) {
	r0, r1 := l.rows()
	c0, c1 := l.columns()
	var out []mark
	used := map[int]bool{}
	add := func(col, row int) bool {
		p := l.at(float64(col), float64(row))
		i := l.field.nearest(p, r*l.step(float64(col), float64(row)).len(), l.size)
		if i < 0 || used[i] {
			return false
		}
		used[i] = true
		out = append(out, mark{col, row, i})
		return true
	}
	for row := r0 - 1; row <= r1+1; row++ {
		before := len(out)
		for col := c0; col <= c1; col++ {
			add(col, row)
		}
		if (row < r0 || row > r1) && (len(out)-before < (c1-c0+1)*6/10 || r1-r0+1 >= 3) {
			for _, m := range out[before:] {
				delete(used, m.blob)
			}
			out = out[:before] // not a line of the zone
			continue
		}
		for col, misses := c1+1, 0; col < c1+12 && misses < 3; col++ {
			if !add(col, row) {
				misses++
			}
		}
		for col, misses := c0-1, 0; col > c0-12 && misses < 3; col-- {
			if !add(col, row) {
				misses++
			}
		}
	}
	l.marks = out
}

// fit finds homography and curve by least squares over the marks, and drops marks that
// are far off.
func (l *lattice) fit() bool {
	for round := range 3 {
		if len(l.marks) < minChain {
			return false
		}
		if r0, r1 := l.rows(); r0 == r1 {
			return false
		}
		// In turns: each is fitted to what the other leaves.
		for range 3 {
			h, ok := solve(l.marks, func(m mark) point {
				return l.field.blobs[m.blob].sub(l.curve.at(float64(m.col)))
			})
			if !ok {
				return false
			}
			l.h = h
			l.bow()
		}
		if round == 2 {
			break
		}
		limit := []float64{0.35, 0.25}[round]
		l.marks = slices.DeleteFunc(l.marks, func(m mark) bool {
			c, r := float64(m.col), float64(m.row)
			return !(l.field.blobs[m.blob].sub(l.at(c, r)).len() < limit*l.step(c, r).len())
		})
	}
	return true
}

// bow fits the curve to what the homography leaves.
func (l *lattice) bow() {
	c0, c1 := l.columns()
	if c1-c0 < 20 {
		l.curve = curve{}
		return
	}
	l.curve.middle, l.curve.half = float64(c0+c1)/2, float64(c1-c0)/2
	// Constant and slope belong to the homography; they are fitted and thrown away,
	// so that the curve does not lean on them.
	var a [4][6]float64
	for _, m := range l.marks {
		t := (float64(m.col) - l.curve.middle) / l.curve.half
		d := l.field.blobs[m.blob].sub(l.h.at(float64(m.col), float64(m.row)))
		row := [6]float64{1, t, t * t, t * t * t, d.x, d.y}
		for i := range 4 {
			for j := range 6 {
				a[i][j] += row[i] * row[j]
			}
		}
	}
	for c := range 4 {
		if math.Abs(a[c][c]) < 1e-6 {
			l.curve = curve{}
			return
		}
		for r := range 4 {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := c; k < 6; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	l.curve.square = point{a[2][4] / a[2][2], a[2][5] / a[2][2]}
	l.curve.cube = point{a[3][4] / a[3][3], a[3][5] / a[3][3]}
}

// solve sets up the normal equations of the direct linear transform in
// normalised coordinates.
func solve(marks []mark, place func(mark) point) (homography, bool) {
	var mc, mr float64
	var mp point
	n := float64(len(marks))
	for _, m := range marks {
		mc, mr, mp = mc+float64(m.col)/n, mr+float64(m.row)/n, mp.add(place(m).scale(1/n))
	}
	var dev float64
	for _, m := range marks {
		dev += place(m).sub(mp).len() / n
	}
	const sc = 16 // columns to the unit
	var a [8][9]float64
	add := func(row [9]float64) {
		for i := range 8 {
			for j := range 9 {
				a[i][j] += row[i] * row[j]
			}
		}
	}
	for _, m := range marks {
		c, r := (float64(m.col)-mc)/sc, float64(m.row)-mr
		p := place(m).sub(mp).scale(1 / dev)
		add([9]float64{c, r, 1, 0, 0, 0, -p.x * c, -p.x * r, p.x})
		add([9]float64{0, 0, 0, c, r, 1, -p.y * c, -p.y * r, p.y})
	}
	// A little weight against perspective, which two short lines hardly determine.
	a[6][6] += 1e-3 * n
	a[7][7] += 1e-2 * n
	for c := range 8 {
		p := c
		for r := c + 1; r < 8; r++ {
			if math.Abs(a[r][c]) > math.Abs(a[p][c]) {
				p = r
			}
		}
		if math.Abs(a[p][c]) < 1e-9 {
			return homography{}, false
		}
		a[c], a[p] = a[p], a[c]
		for r := range 8 {
			if r != c {
				f := a[r][c] / a[c][c]
				for k := c; k < 9; k++ {
					a[r][k] -= f * a[c][k]
				}
			}
		}
	}
	var q [8]float64
	for i := range 8 {
		q[i] = a[i][8] / a[i][i]
	}
	// Undo the normalisation: columns and rows first, then the picture.
	hn := [3][3]float64{{q[0], q[1], q[2]}, {q[3], q[4], q[5]}, {q[6], q[7], 1}}
	var m [3][3]float64
	for i := range 3 {
		x, y, z := hn[i][0]/sc, hn[i][1], hn[i][2]
		m[i] = [3]float64{x, y, z - x*mc - y*mr}
	}
	for j := range 3 {
		m[0][j], m[1][j] = dev*m[0][j]+mp.x*m[2][j], dev*m[1][j]+mp.y*m[2][j]
	}
	w := m[2][2]
	if math.Abs(w) < 1e-9 {
		return homography{}, false
	}
	return homography{m[0][0] / w, m[0][1] / w, m[0][2] / w, m[1][0] / w, m[1][1] / w, m[1][2] / w, m[2][0] / w, m[2][1] / w}, true
}

// placement is a guess at which columns and rows of a lattice are the zone.
type placement struct {
	*lattice
	layout   *layout
	col, row int // of the upper left character as the lattice counts
	flipped  bool
	score    float64
	bends    [][]point // by row and column of the placement: the paper is not flat
}

// placements lists the best guesses, without orientation, best first.
func (l *lattice) placements() []placement {
	r0, r1 := l.rows()
	c0, c1 := l.columns()
	at := map[[2]int]bool{}
	for _, m := range l.marks {
		at[[2]int{m.col, m.row}] = true
	}
	var out []placement
	for i := range layouts {
		lay := &layouts[i]
		for row := min(r0, r1-lay.lines+1); row <= max(r0, r1-lay.lines+1); row++ {
			for col := min(c0, c1-lay.length+1); col <= max(c0, c1-lay.length+1); col++ {
				in := 0
				for y := row; y < row+lay.lines; y++ {
					for x := col; x < col+lay.length; x++ {
						if at[[2]int{x, y}] {
							in++
						}
					}
				}
				cells := lay.lines * lay.length
				score := float64(in) - 0.5*float64(cells-in) - 0.8*float64(len(l.marks)-in)
				if 2*in > cells {
					out = append(out, placement{lattice: l, layout: lay, col: col, row: row, score: score})
				}
			}
		}
	}
	slices.SortStableFunc(out, func(a, b placement) int { return cmp.Compare(b.score, a.score) })
	return out[:min(len(out), 5)]
}

// bend measures how far the characters are from where the homography puts
// them, smoothed along each line.
func (p *placement) bend() {
	p.bends = make([][]point, p.layout.lines)
	for y := range p.bends {
		p.bends[y] = make([]point, p.layout.length)
		for x := range p.bends[y] {
			var sum point
			weight := 1.5 // towards no bend where there are few marks
			for _, m := range p.marks {
				if m.row != p.row+y {
					continue
				}
				d := float64(m.col-p.col-x) / 3.5
				w := math.Exp(-d * d / 2)
				sum = sum.add(p.field.blobs[m.blob].sub(p.at(float64(m.col), float64(m.row))).scale(w))
				weight += w
			}
			p.bends[y][x] = sum.scale(1 / weight)
		}
	}
}

// frame is where the character at column x, row y of the zone is, as one reads it.
func (p *placement) frame(x, y int) cell.Frame {
	sign := 1.0
	if p.flipped {
		x, y, sign = p.layout.length-1-x, p.layout.lines-1-y, -1
	}
	c, r := float64(p.col+x), float64(p.row+y)
	o, u := p.at(c, r), p.step(c, r)
	v := p.at(c, r+0.5).sub(p.at(c, r-0.5))
	v = v.scale(u.len() / max(v.len(), 1e-9)) // a pitch down, not a line down
	if p.bends != nil {
		o = o.add(p.bends[y][x])
	}
	return cell.Frame{X: o.x, Y: o.y, UX: sign * u.x, UY: sign * u.y, VX: sign * v.x, VY: sign * v.y}
}

// corner is the outer corner of the zone, 0 to 3 clockwise from the upper left as one reads it.
func (p *placement) corner(i int) point {
	x := []float64{-0.7, float64(p.layout.length) - 0.3}[[4]int{0, 1, 1, 0}[i]]
	y := []float64{-0.4, float64(p.layout.lines) - 0.6}[[4]int{0, 0, 1, 1}[i]]
	if p.flipped {
		x, y = float64(p.layout.length-1)-x, float64(p.layout.lines-1)-y
	}
	return p.at(float64(p.col)+x, float64(p.row)+y)
}
