package liveness

import "math"

// Two pictures of one face are laid over each other on a level chip of the face.
const (
	chipW, chipH = 60, 66
	chipEyes     = 24.0 // pixels between the eyes
	chipX, chipY = 30.0, 18.0
)

// A sheet that is shifted, turned, tilted or bent moves the places of the chip by
// these terms of the place, in distances between the eyes: 1, x, y, xx, xy, yy.
const terms = 6

func sheetTerms(p point) [terms]float64 {
	return [terms]float64{1, p.x, p.y, p.x * p.x, p.x * p.y, p.y * p.y}
}

// solidity is what a solid head adds to that: a turn moves what is in front
// against what is behind; coming closer spreads it as well.
type solidity int

const (
	sheet solidity = iota
	turned
	closer
)

// extra is the number of terms that each of them adds.
func (s solidity) extra() int { return [...]int{0, 2, 3}[s] }

type chip [chipW * chipH]float64

func chipPlace(i int) point {
	return point{(float64(i%chipW) + 0.5 - chipX) / chipEyes, (float64(i/chipW) + 0.5 - chipY) / chipEyes}
}

// even takes local light and contrast out, so that edges are left.
func (c *chip) even() {
	mean := *c
	smooth(mean[:], chipW, chipH, 6)
	var power chip
	for i := range c {
		c[i] -= mean[i]
		power[i] = c[i] * c[i]
	}
	smooth(power[:], chipW, chipH, 7)
	for i := range c {
		c[i] /= math.Sqrt(power[i] + 4)
	}
}

// view is a frame with its face, ready to be laid over another.
type view struct {
	face Face
	soft patch // softened to what the chip can show
}

// newView softens a part of a picture, which becomes the view's own.
func newView(p patch, f Face) view {
	_, eyes, _, _ := f.axes()
	smooth(p.pix, p.w, p.h, int(math.Round(0.35*eyes/chipEyes)))
	return view{f, p}
}

// relief says what it takes to lay one picture of a face over another.
//
// A picture of a face, flat or bent, however it is held, is laid over itself by
// the terms of a sheet alone. A head that turned needs depth besides: its nose
// moved against the rest of the face. One that came closer needs it too: its nose
// grew more than its ears.
type relief struct {
	depth point   // turned: how much of the face's depth was added, along the level face; about the tangent of the turn
	near  float64 // closer: the same outwards, for each distance of the eyes; about the difference of the inverse distances
	sheet float64 // correlation of the pictures as a sheet, at best
	solid float64 // the same with depth
}

// compare lays other over front. The mesh sees depth in flat pictures too (its
// own points on pictures that were turned by 60 degrees say as much as on heads), so
// it gives only the start of the search and the depth that a face has at each
// place; what counts is the displacement that brings the pixels together. It is
// false where nothing can be said.
func compare(front, other view, how solidity) (relief, bool) {
	c, eyes, cos, sin := front.face.axes()
	c2, _, _, _ := other.face.axes()
	p, q, depth := make([]point, meshPoints), make([]point, meshPoints), make([]float64, meshPoints)
	mean := 0.0
	for _, m := range front.face.Mesh {
		mean += m.Z / eyes / meshPoints
	}
	for i, m := range front.face.Mesh {
		dx, dy := (m.X-c.x)/eyes, (m.Y-c.y)/eyes
		p[i] = point{dx*cos + dy*sin, dy*cos - dx*sin}
		q[i] = point{(other.face.Mesh[i].X - c2.x) / eyes, (other.face.Mesh[i].Y - c2.y) / eyes}
		depth[i] = mean - m.Z/eyes
	}
	plane, ok := fitHomography(p, q)
	if !ok {
		return relief{}, false
	}
	r := registration{other: other.soft, place: func(o point) point {
		t := plane.apply(o)
		return point{c2.x + eyes*t.x, c2.y + eyes*t.y}
	}}
	r.spread(p, depth)
	for i := range r.want {
		o := chipPlace(i)
		r.want[i] = front.soft.at(point{c.x + eyes*(o.x*cos-o.y*sin), c.y + eyes*(o.x*sin+o.y*cos)})
	}
	r.want.even()

	// The mesh's own points as a start, as a sheet and with depth.
	guess := func(how solidity) (displacement, bool) {
		m := newLeastSquares(2*terms + how.extra())
		row := make([]float64, m.n)
		for i := range p {
			back := plane.invert(q[i], p[i])
			setRow(row, how, p[i], depth[i], 1, 0)
			m.add(row, back.x-p[i].x, 1)
			setRow(row, how, p[i], depth[i], 0, 1)
			m.add(row, back.y-p[i].y, 1)
		}
		x, ok := m.solve(1e-9)
		if !ok {
			return displacement{}, false
		}
		return displacement{}.plus(x, how), true
	}
	flat, ok1 := guess(sheet)
	deep, ok2 := guess(how)
	if !ok1 || !ok2 {
		return relief{}, false
	}
	asSheet, sheetBest := r.improve(displacement{}, sheet)
	if d, c := r.improve(flat, sheet); c > sheetBest {
		asSheet, sheetBest = d, c
	}
	solid, best := r.improve(asSheet, how)
	if d, c := r.improve(deep, how); c > best {
		solid, best = d, c
	}
	got := relief{solid.depth, solid.near, sheetBest, best}
	return got, finite(got.depth.x, got.depth.y, got.near, got.sheet, got.solid)
}

// displacement is what is added to a place on the chip before it is looked up in
// the other picture.
type displacement struct {
	x, y  [terms]float64
	depth point
	near  float64
}

func (d displacement) at(p point, depth float64) point {
	e := point{d.depth.x*depth + d.near*depth*p.x, d.depth.y*depth + d.near*depth*p.y}
	for k, v := range sheetTerms(p) {
		e.x += v * d.x[k]
		e.y += v * d.y[k]
	}
	return e
}

// plus adds a solution whose unknowns are ordered as setRow orders them.
func (d displacement) plus(x []float64, how solidity) displacement {
	for k := range terms {
		d.x[k] += x[k]
		d.y[k] += x[terms+k]
	}
	if how != sheet {
		d.depth.x += x[2*terms]
		d.depth.y += x[2*terms+1]
	}
	if how == closer {
		d.near += x[2*terms+2]
	}
	return d
}

// setRow writes how much each unknown moves a place along (gx, gy).
func setRow(row []float64, how solidity, p point, depth, gx, gy float64) {
	for k, v := range sheetTerms(p) {
		row[k], row[terms+k] = gx*v, gy*v
	}
	if how != sheet {
		row[2*terms], row[2*terms+1] = gx*depth, gy*depth
	}
	if how == closer {
		row[2*terms+2] = (gx*p.x + gy*p.y) * depth
	}
}

// registration lays another picture over the chip of the front one.
type registration struct {
	other         patch
	place         func(point) point // from the chip to the other picture, as a flat sheet by the mesh
	want          chip              // the front picture
	depth, weight chip
}

// spread gives every place of the chip the depth of the mesh around it. Only what
// is well inside the face counts.
func (r *registration) spread(at []point, depth []float64) {
	const sigma, reach = 2.2, 7
	var sum chip
	for k, p := range at {
		x, y := p.x*chipEyes+chipX, p.y*chipEyes+chipY
		for yy := max(0, int(y)-reach); yy < min(chipH, int(y)+reach+1); yy++ {
			for xx := max(0, int(x)-reach); xx < min(chipW, int(x)+reach+1); xx++ {
				w := math.Exp(-(square(float64(xx)+0.5-x) + square(float64(yy)+0.5-y)) / (2 * sigma * sigma))
				r.depth[yy*chipW+xx] += w * depth[k]
				sum[yy*chipW+xx] += w
			}
		}
	}
	for i, w := range sum {
		o := chipPlace(i)
		if w < 0.05 {
			r.depth[i] = 0
			continue
		}
		r.depth[i] /= w
		if math.Abs(o.x) <= 0.95 && o.y >= -0.45 && o.y <= 1.6 {
			r.weight[i] = 1
		}
	}
}

// improve searches the displacement that brings the pictures together, from d: Gauss and
// Newton's method, outliers counting less, smaller steps where one leads astray. It
// gives the best displacement with its correlation.
func (r *registration) improve(d displacement, how solidity) (displacement, float64) {
	best, ridge := d, 30.0
	there, top := r.look(best)
	equations := r.equations(there, how)
	for range 16 {
		step, ok := equations.solve(ridge)
		if !ok {
			break
		}
		next := best.plus(step, how)
		got, c := r.look(next)
		if !(c > top) {
			if ridge *= 4; ridge > 1e4 {
				break
			}
			continue
		}
		gain := c - top
		best, top, ridge = next, c, max(ridge/2, 10)
		if gain < 1e-4 {
			break
		}
		equations = r.equations(got, how)
	}
	return best, top
}

// look samples the other picture as d displaces it, and correlates it.
func (r *registration) look(d displacement) (*chip, float64) {
	got := new(chip)
	for i := range got {
		o := chipPlace(i)
		e := d.at(o, r.depth[i])
		got[i] = r.other.at(r.place(point{o.x + e.x, o.y + e.y}))
	}
	got.even()
	return got, correlate(r.want[:], got[:], r.weight[:])
}

// equations are what every pixel says about the displacement that is still missing.
func (r *registration) equations(got *chip, how solidity) *leastSquares {
	m := newLeastSquares(2*terms + how.extra())
	row := make([]float64, m.n)
	for y := 1; y < chipH-1; y++ {
		for x := 1; x < chipW-1; x++ {
			i := y*chipW + x
			if r.weight[i] == 0 {
				continue
			}
			gx := (got[i+1] - got[i-1] + r.want[i+1] - r.want[i-1]) / 4 * chipEyes
			gy := (got[i+chipW] - got[i-chipW] + r.want[i+chipW] - r.want[i-chipW]) / 4 * chipEyes
			off := r.want[i] - got[i]
			setRow(row, how, chipPlace(i), r.depth[i], gx, gy)
			m.add(row, off, 1/(1+2*off*off))
		}
	}
	return m
}
