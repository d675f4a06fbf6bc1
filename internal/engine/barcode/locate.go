package barcode

import (
	"cmp"
	"math"
	"slices"
)

const (
	// fields is how many fields lie along the longer side of a picture; gradients
	// are summed over each.
	fields = 110
	// coherent is how much of the gradients of a field point one way, at least: 1
	// where all do, as on bars, and 0 where none is preferred. Symbols have 0.5 and
	// more, at the ends of their rows less.
	coherent = 0.3
	// kindred is by how much the directions of neighbours may differ, radians.
	kindred = 15 * math.Pi / 180
	// leastFields is how many fields a symbol has at least: one that is a fifth as
	// long as the picture, and a fifth as high as long, has about 90.
	leastFields = 40
	// leastWide is the least width of a symbol, part of its height. Symbols on
	// licences are two to five times as wide as high; the edge of a card, which is a
	// bar as well, is far higher than wide.
	leastWide = 0.8
	// candidates is how many regions are given at most.
	candidates = 2
)

// tensor sums products of the gradient over a field.
type tensor struct{ xx, yy, xy float64 }

func (t *tensor) add(u tensor) { t.xx, t.yy, t.xy = t.xx+u.xx, t.yy+u.yy, t.xy+u.xy }

func (t tensor) energy() float64 { return t.xx + t.yy }

func (t tensor) coherence() float64 {
	if t.energy() == 0 {
		return 0
	}
	return math.Hypot(t.xx-t.yy, 2*t.xy) / t.energy()
}

// angle is the direction of the gradient, which runs across the bars: -90 to 90
// degrees from the x axis, in radians.
func (t tensor) angle() float64 { return math.Atan2(2*t.xy, t.xx-t.yy) / 2 }

// apart is the angle between two directions, 0 to a right angle.
func apart(a, b float64) float64 {
	d := math.Abs(math.Mod(a-b, math.Pi))
	return min(d, math.Pi-d)
}

// region is where a symbol lies: around (x, y), its rows along the direction
// angle, sloped by slope from there, from left to right and from top to bottom, in
// pixels from the centre. Its bars are at right angles to bars[0] at the left end
// and to bars[1] at the right, which perspective makes different.
type region struct {
	x, y, angle, slope       float64
	left, right, top, bottom float64
	bars                     [2]float64
	weight                   float64
}

// locate finds where parallel bars cover a part of the picture, the strongest
// first, at most two. It looks at fields with strong gradients that run one way,
// and puts neighbours together that agree on the way.
func locate(p plane) []region {
	size := max((max(p.w, p.h)+fields-1)/fields, 8)
	nx, ny := p.w/size, p.h/size
	if nx < 4 || ny < 4 {
		return nil
	}
	grid := gradients(p, size, nx, ny)
	strong := strength(grid)
	usable := func(i int) bool { return grid[i].energy() >= strong && grid[i].coherence() >= coherent }
	seen := make([]bool, len(grid))
	var found []region
	for start := range grid {
		if seen[start] || !usable(start) {
			continue
		}
		part := []int{start}
		seen[start] = true
		for k := 0; k < len(part); k++ {
			x, y := part[k]%nx, part[k]/nx
			for dy := -1; dy <= 1; dy++ {
				for dx := -1; dx <= 1; dx++ {
					u, v := x+dx, y+dy
					if u < 0 || v < 0 || u >= nx || v >= ny {
						continue
					}
					j := v*nx + u
					if !seen[j] && usable(j) && apart(grid[j].angle(), grid[part[k]].angle()) <= kindred {
						seen[j] = true
						part = append(part, j)
					}
				}
			}
		}
		if len(part) < leastFields {
			continue
		}
		if r := describe(grid, part, nx, size); r.right-r.left >= leastWide*(r.bottom-r.top) {
			found = append(found, r)
		}
	}
	slices.SortFunc(found, func(a, b region) int { return cmp.Compare(b.weight, a.weight) })
	return found[:min(len(found), candidates)]
}

// gradients sums Sobel gradients over squares of size pixels.
func gradients(p plane, size, nx, ny int) []tensor {
	grid := make([]tensor, nx*ny)
	for y := 1; y < min(ny*size, p.h-1); y++ {
		a, b, c := p.v[(y-1)*p.w:], p.v[y*p.w:], p.v[(y+1)*p.w:]
		row := grid[y/size*nx:]
		for x := 1; x < min(nx*size, p.w-1); x++ {
			gx := a[x+1] - a[x-1] + 2*(b[x+1]-b[x-1]) + c[x+1] - c[x-1]
			gy := c[x-1] - a[x-1] + 2*(c[x]-a[x]) + c[x+1] - a[x+1]
			t := &row[x/size]
			t.xx += float64(gx * gx)
			t.yy += float64(gy * gy)
			t.xy += float64(gx * gy)
		}
	}
	return grid
}

// strength is the energy from which a field counts: a twelfth of what the fields
// near the top have. Glare takes that much of the contrast.
func strength(grid []tensor) float64 {
	e := make([]float64, len(grid))
	for i, t := range grid {
		e[i] = t.energy()
	}
	slices.Sort(e)
	return max(e[len(e)*97/100]/12, 1)
}

// describe fits a region around the fields of a part.
func describe(grid []tensor, part []int, nx, size int) region {
	var sum tensor
	for _, i := range part {
		sum.add(grid[i])
	}
	r := region{angle: sum.angle(), weight: sum.energy()}
	sin, cos := math.Sincos(r.angle)
	along, across := make([]float64, len(part)), make([]float64, len(part))
	for k, i := range part {
		x, y := (float64(i%nx)+0.5)*float64(size), (float64(i/nx)+0.5)*float64(size)
		along[k], across[k] = x*cos+y*sin, y*cos-x*sin
	}
	ma, mc := mean(along), mean(across)
	var ss, st float64
	for k := range part {
		along[k], across[k] = along[k]-ma, across[k]-mc
		ss, st = ss+along[k]*along[k], st+along[k]*across[k]
	}
	if ss > 0 {
		r.slope = min(max(st/ss, -0.2), 0.2)
	}
	r.x, r.y = ma*cos-mc*sin, ma*sin+mc*cos
	var half [2]tensor
	for k, i := range part {
		side := 0
		if along[k] > 0 {
			side = 1
		}
		half[side].add(grid[i])
		across[k] -= r.slope * along[k]
	}
	slices.Sort(along)
	slices.Sort(across)
	at := func(v []float64, q float64) float64 { return v[min(int(q*float64(len(v))), len(v)-1)] }
	// One field more on every side, for what lies at the edge of a field, and a
	// quiet zone beside the rows.
	more := 1.2 * float64(size)
	r.left, r.right = at(along, 0.005)-more, at(along, 0.995)+more
	r.top, r.bottom = at(across, 0.01)-more, at(across, 0.99)+more
	quiet := 0.02 * (r.right - r.left)
	r.left, r.right = r.left-quiet, r.right+quiet
	// The halves' directions hold a quarter of the width from the ends.
	l, m := half[0].angle(), half[1].angle()
	if half[0].energy() == 0 || half[1].energy() == 0 || apart(l, m) > kindred {
		l, m = r.angle, r.angle
	}
	turn := math.Remainder(m-l, math.Pi)
	r.bars = [2]float64{l - turn/2, l + turn + turn/2}
	return r
}

func mean(v []float64) float64 {
	var s float64
	for _, x := range v {
		s += x
	}
	return s / float64(len(v))
}

// cut gives a region with its bars upright, wide pixels wide, or fewer where it has
// fewer in the picture.
func (r region) cut(p plane, wide int) plane {
	width, height := r.right-r.left, r.bottom-r.top
	w := min(int(math.Ceil(width)), wide)
	step := width / float64(w)
	h := min(max(int(height/step), 1), wide)
	out := newPlane(w, h)
	sin, cos := math.Sincos(r.angle)
	for x := range w {
		part := (float64(x) + 0.5) / float64(w)
		s := r.left + part*width
		bs, bc := math.Sincos(r.bars[0] + part*(r.bars[1]-r.bars[0]))
		// On the middle line of the rows, and from there along the bars.
		ox, oy := r.x+s*(cos-r.slope*sin), r.y+s*(sin+r.slope*cos)
		for y := range h {
			t := r.top + (float64(y)+0.5)*step
			out.v[y*w+x] = p.sample(ox-t*bs-0.5, oy+t*bc-0.5)
		}
	}
	return out
}
