package outline

import (
	"cmp"
	"image"
	"math"
	"slices"
)

// Point is a place in a picture, pixels; the centre of the first pixel is at 0.5, 0.5.
type Point struct{ X, Y float64 }

func (p Point) sub(q Point) Point     { return Point{p.X - q.X, p.Y - q.Y} }
func (p Point) add(q Point) Point     { return Point{p.X + q.X, p.Y + q.Y} }
func (p Point) mul(k float64) Point   { return Point{p.X * k, p.Y * k} }
func (p Point) norm() float64         { return math.Hypot(p.X, p.Y) }
func (p Point) cross(q Point) float64 { return p.X*q.Y - p.Y*q.X }

// Shape is the proportion of a kind of document: its longer side over its shorter one.
type Shape float64

// Shapes of documents with a machine-readable zone (ISO/IEC 7810; Doc 9303-3,
// section 2). ID-2 documents, 105 x 74 mm, have the shape of a page, and so has
// a passport that lies open, 125 x 176 mm, on its side: see [Card.Halves].
const (
	ID1 Shape = 85.6 / 54
	ID3 Shape = 125.0 / 88
)

// Card is an outline. Corners go clockwise as one sees the picture, and the
// side from the first to the second is the long one that has it on its right,
// so that a card photographed upright starts with its upper left corner. Whether
// it was, an outline does not say.
type Card struct {
	Corners [4]Point
	Support float64 // part of the outline along which there is an edge, 0 to 1
	Shape   Shape   // what was looked for; zero is ID1
}

const (
	// size is the longer side, pixels, to which a picture is brought.
	size = 480
	// edge is the least gradient of an edge: grey levels over two pixels.
	edge = 5.0
	// lines is how many lines are tried.
	lines = 48
	// most is how many cards are given.
	most = 3

	// A camera that looks at a card at a slant changes its proportion and lets
	// its sides converge. These bounds hold for slants of up to about 25 degrees.
	ratioSlack   = 0.12 // proportion: part of the shape's, either way
	convergence  = 14.0 // degrees between opposite sides, at most
	squareness   = 16.0 // degrees that a corner may differ from a right angle
	leastOpposed = 0.78 // shorter over longer of two opposite sides, at least

	// The long side is at least this part of the picture's longer side.
	leastLong = 0.3

	// Part of a side along which there is an edge: of every side, and on average.
	// The specimens' cards had 0.99 and more on average at every level of
	// difficulty. The photos of the test faces had at most 0.87; random cuts of
	// their backgrounds now and then more, without a face inside.
	leastSide, leastMean = 0.85, 0.95
)

// Picture is a photo in which outlines are looked for.
type Picture struct {
	field *field // nil: too small
	lines []line
	quads []quad
	k     float64 // pixels of the photo to one of the small picture
}

// Look prepares a photo: what it takes is the same for every shape.
func Look(img *image.RGBA) Picture {
	f, k := gradients(img)
	if f == nil {
		return Picture{}
	}
	lines := f.lines()
	return Picture{f, lines, f.quads(lines), float64(k)}
}

// Find gives the outlines of a shape, at most three that do not cover each
// other, the best supported first. There may be none. A slanted card may have the
// shape of a page as well, and the reverse.
func (p Picture) Find(s Shape) []Card {
	found := choose(p.quads, s)
	for i := range found {
		for j := range found[i].Corners {
			found[i].Corners[j] = found[i].Corners[j].mul(p.k)
		}
	}
	return found
}

// Documents gives what is found of either shape, largest first, without what
// lies on another: a card has frames printed on it.
func (p Picture) Documents() []Card {
	all := slices.Concat(p.Find(ID1), p.Find(ID3))
	slices.SortStableFunc(all, func(a, b Card) int { return cmp.Compare(b.Area(), a.Area()) })
	var found []Card
	for _, c := range all {
		if !slices.ContainsFunc(found, c.Covers) && !c.several(all) {
			found = append(found, c)
		}
	}
	return found
}

// several reports whether an outline is that of two documents side by side: two
// others fill most of it, and have edges all along where it has a gap. The pages
// of a passport have none between them.
func (c Card) several(all []Card) bool {
	for i, a := range all {
		if a.Support < c.Support+0.01 || !c.Holds(centre(a.Corners)) {
			continue
		}
		for _, b := range all[:i] {
			if b.Support >= c.Support+0.01 && c.Holds(centre(b.Corners)) && !a.Covers(b) && a.Area()+b.Area() > 0.7*c.Area() {
				return true
			}
		}
	}
	return false
}

// Cards finds the ID-1 cards in a picture.
func Cards(img *image.RGBA) []Card { return Look(img).Find(ID1) }

// field is the gradient of a small picture.
type field struct {
	w, h   int
	gx, gy []float32 // of the channel in which it is strongest
	mag    []float32
}

// gradients makes the picture small, by whole squares of k x k pixels, and
// smooth, and takes central differences.
func gradients(img *image.RGBA) (*field, int) {
	b := img.Bounds()
	k := max(int(math.Round(float64(max(b.Dx(), b.Dy()))/size)), 1)
	w, h := b.Dx()/k, b.Dy()/k
	if w < 32 || h < 32 {
		return nil, 0
	}
	f := &field{w: w, h: h, gx: make([]float32, w*h), gy: make([]float32, w*h), mag: make([]float32, w*h)}
	sums := make([]float32, 3*w*h)
	scale := 1 / float32(k*k)
	for y := range h * k {
		row := img.Pix[img.PixOffset(b.Min.X, b.Min.Y+y):]
		out := sums[y/k*w*3:]
		for x := range w {
			var s [3]uint32
			for at := range k {
				p := row[4*(x*k+at):]
				s[0], s[1], s[2] = s[0]+uint32(p[0]), s[1]+uint32(p[1]), s[2]+uint32(p[2])
			}
			for c := range 3 {
				out[3*x+c] += float32(s[c]) * scale
			}
		}
	}
	smooth(sums, w, h)
	for y := 1; y < h-1; y++ {
		for x := 1; x < w-1; x++ {
			i := y*w + x
			for c := range 3 {
				gx := sums[3*(i+1)+c] - sums[3*(i-1)+c]
				gy := sums[3*(i+w)+c] - sums[3*(i-w)+c]
				if m := gx*gx + gy*gy; m > f.mag[i] {
					f.gx[i], f.gy[i], f.mag[i] = gx, gy, m
				}
			}
			f.mag[i] = float32(math.Sqrt(float64(f.mag[i])))
		}
	}
	return f, k
}

// smooth applies the weights 1 2 1 along and across, in place, to three channels.
func smooth(p []float32, w, h int) {
	pass := func(n, count, step, stride int) {
		for line := range count {
			for c := range 3 {
				at := line*stride + c
				last := p[at]
				for range n - 1 {
					now, next := p[at], p[at+step]
					p[at] = (last + 2*now + next) / 4
					last, at = now, at+step
				}
				p[at] = (last + 3*p[at]) / 4
			}
		}
	}
	pass(w, h, 3, 3*w)
	pass(h, w, 3*w, 3)
}

// line is the set of points p with p . (cos, sin) = rho.
type line struct{ angle, cos, sin, rho float64 }

func lineAt(angle, rho float64) line {
	sin, cos := math.Sincos(angle)
	return line{angle, cos, sin, rho}
}

func (l line) from(p Point) float64 { return p.X*l.cos + p.Y*l.sin - l.rho }

// meet is where two lines cross; they must not be parallel.
func (l line) meet(m line) Point {
	d := l.cos*m.sin - l.sin*m.cos
	return Point{(l.rho*m.sin - m.rho*l.sin) / d, (m.rho*l.cos - l.rho*m.cos) / d}
}

// dot is the cosine of the angle between two lines, 0 to 1.
func (l line) dot(m line) float64 { return math.Abs(l.cos*m.cos + l.sin*m.sin) }

// apart is the angle between two lines, 0 to a right angle.
func (l line) apart(m line) float64 {
	return math.Acos(min(l.dot(m), 1))
}

func radians(degrees float64) float64 { return degrees * math.Pi / 180 }

// lines finds the straight edges with the most pixels on them: a Hough
// transform in which a pixel votes only for lines across its gradient.
func (f *field) lines() []line {
	const (
		angles = 360 // half degrees over half a turn
		spread = 7   // half degrees to either side of the gradient
	)
	reach := int(math.Hypot(float64(f.w), float64(f.h))) + 2
	width := 2*reach + 1
	var sin, cos [angles]float64
	for a := range angles {
		sin[a], cos[a] = math.Sincos(math.Pi * float64(a) / angles)
	}
	votes := make([]int32, angles*width)
	type pixel struct {
		at   Point
		x, y float64 // direction of the gradient, unit
	}
	var edges []pixel
	for y := 1; y < f.h-1; y++ {
		for x := 1; x < f.w-1; x++ {
			i := y*f.w + x
			m := f.mag[i]
			if m < edge {
				continue
			}
			// Only the ridge: no neighbour along the gradient is stronger.
			dx, dy := 0, 1
			if math.Abs(float64(f.gx[i])) > math.Abs(float64(f.gy[i])) {
				dx, dy = 1, 0
			}
			if f.mag[i+dx+dy*f.w] > m || f.mag[i-dx-dy*f.w] >= m {
				continue
			}
			p := pixel{Point{float64(x) + 0.5, float64(y) + 0.5}, float64(f.gx[i] / m), float64(f.gy[i] / m)}
			edges = append(edges, p)
			mid := int(math.Round(math.Atan2(p.y, p.x) * angles / math.Pi))
			for a := mid - spread; a <= mid+spread; a++ {
				k := (a%angles + angles) % angles
				votes[k*width+int(math.Round(p.at.X*cos[k]+p.at.Y*sin[k]))+reach]++
			}
		}
	}
	// Peaks: neighbouring rho are counted together, since edges are not one
	// pixel wide and not quite straight.
	type peak struct {
		n    int32
		a, r int
	}
	least := int32(leastLong / float64(ID1) * float64(max(f.w, f.h)) * 0.4)
	var peaks []peak
	for a := range angles {
		row := votes[a*width : (a+1)*width]
		for r := 1; r < width-1; r++ {
			if row[r] == 0 {
				continue
			}
			if n := row[r-1] + 2*row[r] + row[r+1]; n >= 2*least && row[r] >= row[r-1] && row[r] >= row[r+1] {
				peaks = append(peaks, peak{n, a, r})
			}
		}
	}
	slices.SortFunc(peaks, func(p, q peak) int {
		return cmp.Or(cmp.Compare(q.n, p.n), cmp.Compare(p.a, q.a), cmp.Compare(p.r, q.r))
	})
	var found []line
	middle := Point{float64(f.w) / 2, float64(f.h) / 2}
	for _, p := range peaks {
		l := lineAt(math.Pi*float64(p.a)/angles, float64(p.r-reach))
		if slices.ContainsFunc(found, func(m line) bool {
			// The same edge: about the same angle, and close to each other in the
			// middle of the picture as well as along the line.
			if l.apart(m) > radians(4) {
				return false
			}
			foot := middle.sub(Point{l.cos, l.sin}.mul(l.from(middle)))
			return math.Abs(m.from(foot)) < 4
		}) {
			continue
		}
		// Fit the line to its pixels, closer every time.
		for _, reach := range []float64{4, 3, 2, 1.5} {
			var n, sx, sy, sxx, sxy, syy float64
			for _, e := range edges {
				if math.Abs(l.from(e.at)) <= reach && math.Abs(e.x*l.cos+e.y*l.sin) > 0.97 {
					x, y := e.at.X-middle.X, e.at.Y-middle.Y
					n, sx, sy, sxx, sxy, syy = n+1, sx+x, sy+y, sxx+x*x, sxy+x*y, syy+y*y
				}
			}
			if n < 8 {
				break
			}
			xx, xy, yy := sxx-sx*sx/n, sxy-sx*sy/n, syy-sy*sy/n
			fit := lineAt(0.5*math.Atan2(2*xy, xx-yy)+math.Pi/2, 0)
			fit.rho = (sx/n+middle.X)*fit.cos + (sy/n+middle.Y)*fit.sin
			if fit.apart(l) > radians(3) {
				break
			}
			l = fit
		}
		if found = append(found, l); len(found) == lines {
			break
		}
	}
	return found
}

// quad is what could be a document of one shape or another.
type quad struct {
	Card
	worst float64 // support of the worst side
	score float64 // but for how far it is from a shape
}

// quads puts two and two lines together.
func (f *field) quads(all []line) []quad {
	type pair struct{ a, b line }
	var pairs []pair
	for i, a := range all {
		for _, b := range all[i+1:] {
			if a.dot(b) >= math.Cos(radians(convergence)) {
				pairs = append(pairs, pair{a, b})
			}
		}
	}
	crooked := math.Sin(radians(squareness))
	var list []quad
	for i, p := range pairs {
		for _, q := range pairs[i+1:] {
			if p.a.dot(q.a) > crooked {
				continue
			}
			c, ok := f.card([4]Point{p.a.meet(q.a), q.a.meet(p.b), p.b.meet(q.b), q.b.meet(p.a)})
			if !ok {
				continue
			}
			mean, worst := f.support(c)
			if worst < leastSide || mean < leastMean {
				continue
			}
			// Of outlines that are one inside the other (a card, and the frame
			// printed on it) the outer is the card.
			a := area(c) / float64(f.w*f.h)
			list = append(list, quad{Card{Corners: c, Support: mean}, worst, mean + 0.25*worst + 0.5*math.Sqrt(a)})
		}
	}
	return list
}

// choose gives the quads of a shape, as Find does.
func choose(all []quad, shape Shape) []Card {
	var list []quad
	for _, q := range all {
		r := proportion(q.Corners) / float64(shape)
		if r < 1-ratioSlack || r > 1+ratioSlack {
			continue
		}
		q.score -= 0.5 * math.Abs(math.Log(r))
		list = append(list, q)
	}
	slices.SortStableFunc(list, func(a, b quad) int { return cmp.Compare(b.score, a.score) })
	tried := make([]Card, min(len(list), 200))
	for i := range tried {
		tried[i] = list[i].Card
	}
	var found []Card
	for _, q := range list {
		if slices.ContainsFunc(found, func(c Card) bool { return covers(c.Corners, q.Corners) }) || q.several(tried) {
			continue
		}
		q.Shape = shape
		if found = append(found, q.Card); len(found) == most {
			break
		}
	}
	return found
}

// card puts corners into their order, and tells whether they could be a document's.
func (f *field) card(c [4]Point) ([4]Point, bool) {
	for i, p := range c {
		if !f.inside(p) {
			return c, false
		}
		if q, r := c[(i+1)%4], c[(i+2)%4]; (q.sub(p).cross(r.sub(q)) > 0) != (c[1].sub(c[0]).cross(c[2].sub(c[1])) > 0) {
			return c, false
		}
	}
	if area(c) < 0 {
		c[1], c[3] = c[3], c[1]
	}
	var side [4]float64
	for i := range c {
		side[i] = c[(i+1)%4].sub(c[i]).norm()
	}
	if side[0]+side[2] < side[1]+side[3] {
		c = [4]Point{c[1], c[2], c[3], c[0]}
		side = [4]float64{side[1], side[2], side[3], side[0]}
	}
	if c[1].X < c[0].X { // most photos are taken the right way up, or nearly
		c = [4]Point{c[2], c[3], c[0], c[1]}
		side = [4]float64{side[2], side[3], side[0], side[1]}
	}
	if (side[0]+side[2])/2 < leastLong*float64(max(f.w, f.h)) ||
		min(side[0], side[2]) < leastOpposed*max(side[0], side[2]) ||
		min(side[1], side[3]) < leastOpposed*max(side[1], side[3]) {
		return c, false
	}
	for i := range c {
		a, b := c[(i+1)%4].sub(c[i]), c[(i+2)%4].sub(c[(i+1)%4])
		if math.Abs(a.X*b.X+a.Y*b.Y) > math.Sin(radians(squareness))*a.norm()*b.norm() {
			return c, false
		}
	}
	r := proportion(c)
	return c, r >= float64(ID3)*(1-ratioSlack) && r <= float64(ID1)*(1+ratioSlack)
}

// proportion is the mean of the long sides over that of the short ones.
func proportion(c [4]Point) float64 {
	return (c[1].sub(c[0]).norm() + c[2].sub(c[3]).norm()) / (c[2].sub(c[1]).norm() + c[3].sub(c[0]).norm())
}

// area is positive where the corners go clockwise.
func area(c [4]Point) float64 {
	return c[2].sub(c[0]).cross(c[3].sub(c[1])) / 2
}

// support is that of the sides, on average and for the worst one.
func (f *field) support(c [4]Point) (mean, worst float64) {
	worst = 1
	for i, a := range c {
		s := f.along(a, c[(i+1)%4])
		if s < leastSide {
			return 0, 0
		}
		mean, worst = mean+s/4, min(worst, s)
	}
	return mean, worst
}

// along is the part of the way from a to b along which there is an edge that
// runs as the way does. An edge counts half where it goes from dark to light and
// most of the way from light to dark. The ends are left out: a card's corners
// are round, with 3.18 mm. Below leastSide it is 0.
func (f *field) along(a, b Point) float64 {
	d := b.sub(a)
	length := d.norm()
	d = d.mul(1 / length)
	nx, ny := float32(-d.Y), float32(d.X)
	n := max(int(length*0.88/2), 8)
	var up, down int
	for j := range n {
		if float64(j-up-down) > (1-leastSide)*float64(n) {
			return 0
		}
		t := 0.06 + 0.88*(float64(j)+0.5)/float64(n)
		p := a.add(b.sub(a).mul(t))
		best := float32(0)
		for o := -2; o <= 2; o++ {
			x, y := int(p.X+float64(o)*float64(nx)), int(p.Y+float64(o)*float64(ny))
			if x < 0 || y < 0 || x >= f.w || y >= f.h {
				continue
			}
			k := y*f.w + x
			if m := f.mag[k]; m >= edge {
				across := f.gx[k]*nx + f.gy[k]*ny
				if (across >= 0.93*m || across <= -0.93*m) && m > max(best, -best) {
					best = across
				}
			}
		}
		switch {
		case best > 0:
			up++
		case best < 0:
			down++
		}
	}
	return (float64(max(up, down)) + 0.5*float64(min(up, down))) / float64(n)
}

// covers reports whether the middle of one outline lies in the other.
func covers(a, b [4]Point) bool { return holds(a, centre(b)) || holds(b, centre(a)) }

func centre(c [4]Point) Point {
	return c[0].add(c[1]).add(c[2]).add(c[3]).mul(0.25)
}

// Area is that of the card in the picture, square pixels.
func (c Card) Area() float64 { return area(c.Corners) }

// Long is the longer of the two long sides, pixels.
func (c Card) Long() float64 {
	return max(c.Corners[1].sub(c.Corners[0]).norm(), c.Corners[2].sub(c.Corners[3]).norm())
}

// Holds reports whether a point of the picture lies on the card.
func (c Card) Holds(p Point) bool { return holds(c.Corners, p) }

// Covers reports whether the middle of one card lies on the other.
func (c Card) Covers(d Card) bool { return covers(c.Corners, d.Corners) }

// Adjoins reports whether two cards share a side, as the pages of a passport do.
func (c Card) Adjoins(d Card) bool {
	shared := 0
	for _, p := range c.Corners {
		for _, q := range d.Corners {
			if p.sub(q).norm() < 0.08*d.Long() {
				shared++
			}
		}
	}
	return shared >= 2
}

// CutOff reports whether the photo shows three sides of something that could be
// a document, two of which run on beyond its border.
func (p Picture) CutOff() bool {
	f := p.field
	if f == nil {
		return false
	}
	for i, a := range p.lines {
		for _, b := range p.lines[i+1:] {
			if a.apart(b) > radians(convergence) {
				continue
			}
			for _, q := range p.lines {
				if min(q.apart(a), q.apart(b)) < math.Pi/2-radians(squareness) {
					continue
				}
				k, l := a.meet(q), b.meet(q)
				side := k.sub(l).norm()
				if !f.inside(k) || !f.inside(l) || side < leastLong/float64(ID1)*float64(max(f.w, f.h)) || f.along(k, l) < leastMean {
					continue
				}
				for _, way := range []float64{1, -1} {
					// Along the two sides, the same way, to the border.
					d := Point{-q.cos, -q.sin}.mul(way)
					m, n := f.border(k, Point{-a.sin, a.cos}, d), f.border(l, Point{-b.sin, b.cos}, d)
					seen := min(m.sub(k).norm(), n.sub(l).norm())
					if seen > 0.25*side && seen < float64(ID1)*side && f.along(k, m) >= leastMean && f.along(l, n) >= leastMean {
						return true
					}
				}
			}
		}
	}
	return false
}

func (f *field) inside(p Point) bool {
	const margin = 2 // pixels between an edge and the end of the picture
	return p.X >= margin && p.Y >= margin && p.X <= float64(f.w)-margin && p.Y <= float64(f.h)-margin
}

// border is where one leaves the picture that goes from p along a line, to the side of d.
func (f *field) border(p, along, d Point) Point {
	if along.X*d.X+along.Y*d.Y < 0 {
		along = along.mul(-1)
	}
	t := math.Inf(1)
	for _, axis := range [2][3]float64{{p.X, along.X, float64(f.w)}, {p.Y, along.Y, float64(f.h)}} {
		switch {
		case axis[1] > 1e-9:
			t = min(t, (axis[2]-2-axis[0])/axis[1])
		case axis[1] < -1e-9:
			t = min(t, (2-axis[0])/axis[1])
		}
	}
	return p.add(along.mul(max(t, 0)))
}

func holds(c [4]Point, p Point) bool {
	for i := range c {
		if c[(i+1)%4].sub(c[i]).cross(p.sub(c[i])) < 0 {
			return false
		}
	}
	return true
}
