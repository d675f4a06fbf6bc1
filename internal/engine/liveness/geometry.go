package liveness

import (
	"math"
	"slices"
)

// point is a place in a picture or on a level face.
type point struct{ x, y float64 }

func square(v float64) float64 { return v * v }

func distance(a, b point) float64 { return math.Hypot(a.x-b.x, a.y-b.y) }

func finite(values ...float64) bool {
	for _, v := range values {
		if math.IsNaN(v) || math.IsInf(v, 0) {
			return false
		}
	}
	return true
}

// leastSquares gathers the normal equations of a linear least-squares problem
// with n unknowns.
type leastSquares struct {
	n    int
	a, b []float64
}

func newLeastSquares(n int) *leastSquares {
	return &leastSquares{n, make([]float64, n*n), make([]float64, n)}
}

// add adds one equation row*x = value.
func (m *leastSquares) add(row []float64, value, weight float64) {
	for i, v := range row {
		if v == 0 {
			continue
		}
		v *= weight
		line := m.a[i*m.n : (i+1)*m.n]
		for k := i; k < m.n; k++ {
			line[k] += v * row[k]
		}
		m.b[i] += v * value
	}
}

// solve gives x; ridge keeps what the equations leave open near 0. It is false
// where nothing can be said, or something is no number.
func (m *leastSquares) solve(ridge float64) ([]float64, bool) {
	n, a, b := m.n, slices.Clone(m.a), slices.Clone(m.b)
	for i := range n {
		for k := range i {
			a[i*n+k] = a[k*n+i]
		}
		a[i*n+i] += ridge
	}
	for c := range n {
		pivot := c
		for r := c + 1; r < n; r++ {
			if math.Abs(a[r*n+c]) > math.Abs(a[pivot*n+c]) {
				pivot = r
			}
		}
		if !(math.Abs(a[pivot*n+c]) > 1e-12) {
			return nil, false
		}
		for k := range n {
			a[c*n+k], a[pivot*n+k] = a[pivot*n+k], a[c*n+k]
		}
		b[c], b[pivot] = b[pivot], b[c]
		for r := c + 1; r < n; r++ {
			f := a[r*n+c] / a[c*n+c]
			for k := c; k < n; k++ {
				a[r*n+k] -= f * a[c*n+k]
			}
			b[r] -= f * b[c]
		}
	}
	x := make([]float64, n)
	for c := n - 1; c >= 0; c-- {
		s := b[c]
		for k := c + 1; k < n; k++ {
			s -= a[c*n+k] * x[k]
		}
		x[c] = s / a[c*n+c]
	}
	return x, finite(x...)
}

// homography maps a plane onto a plane in perspective.
type homography [8]float64

func (h homography) apply(p point) point {
	d := h[6]*p.x + h[7]*p.y + 1
	return point{(h[0]*p.x + h[1]*p.y + h[2]) / d, (h[3]*p.x + h[4]*p.y + h[5]) / d}
}

// fitHomography gives the map with the least squared error, linearised. The
// points are of about unit size.
func fitHomography(from, to []point) (homography, bool) {
	m := newLeastSquares(8)
	for i, p := range from {
		q := to[i]
		m.add([]float64{p.x, p.y, 1, 0, 0, 0, -q.x * p.x, -q.x * p.y}, q.x, 1)
		m.add([]float64{0, 0, 0, p.x, p.y, 1, -q.y * p.x, -q.y * p.y}, q.y, 1)
	}
	x, ok := m.solve(1e-9)
	if !ok {
		return homography{}, false
	}
	return homography(x), true
}

// invert gives the point that h maps to q, by Newton's method from a guess.
func (h homography) invert(q, guess point) point {
	p := guess
	for range 8 {
		d := h[6]*p.x + h[7]*p.y + 1
		o := h.apply(p)
		a, b := (h[0]-o.x*h[6])/d, (h[1]-o.x*h[7])/d
		c, e := (h[3]-o.y*h[6])/d, (h[4]-o.y*h[7])/d
		det := a*e - b*c
		if !(math.Abs(det) > 1e-9) {
			break
		}
		rx, ry := q.x-o.x, q.y-o.y
		p.x, p.y = p.x+(e*rx-b*ry)/det, p.y+(a*ry-c*rx)/det
	}
	return p
}
