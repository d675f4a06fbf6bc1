package eval

import (
	"math"
	"slices"
)

// Rate is how often something happened, with a confidence interval of 95 % by
// Clopper and Pearson (Biometrika 26, 1934), which takes the trials as independent.
// Where it never or always happened, the one bound that is left is one-sided: at
// nought of N it is 1-0.05^(1/N), the exact form of the rule of three, 3/N.
type Rate struct {
	K     int     `json:"k"`
	N     int     `json:"n"`
	Value float64 `json:"value"` // K/N; 0 if N is 0
	Low   float64 `json:"low"`
	High  float64 `json:"high"` // 1 if N is 0: nothing is known
}

func rate(k, n int) Rate {
	if n == 0 {
		return Rate{High: 1}
	}
	r := Rate{K: k, N: n, Value: float64(k) / float64(n), High: 1}
	low, high := 0.025, 0.025
	if k == 0 {
		high = 0.05
	}
	if k == n {
		low = 0.05
	}
	if k > 0 {
		r.Low = 1 - atMost(n-k, n, low)
	}
	if k < n {
		r.High = atMost(k, n, high)
	}
	return r
}

// atMost is the chance of one trial at which k or fewer of n have the chance alpha; k < n.
func atMost(k, n int, alpha float64) float64 {
	low, high := float64(k)/float64(n), 1.0
	for range 60 {
		p := (low + high) / 2
		if tail(k, n, p) > alpha {
			low = p
		} else {
			high = p
		}
	}
	return high
}

// tail is the chance of k or fewer of n, each with chance p, 0 < p < 1, p >= k/n.
func tail(k, n int, p float64) float64 {
	factorial := func(x int) float64 {
		l, _ := math.Lgamma(float64(x) + 1)
		return l
	}
	term := math.Exp(factorial(n) - factorial(k) - factorial(n-k) + float64(k)*math.Log(p) + float64(n-k)*math.Log1p(-p))
	sum := term
	for i := k; i > 0 && term > 1e-17*sum; i-- {
		term *= float64(i) / float64(n-i+1) * (1 - p) / p
		sum += term
	}
	return sum
}

// quantile is the smallest value that at least the part q of all do not exceed
// (nearest rank); 0 of none. sorted is ascending.
func quantile(sorted []float64, q float64) float64 {
	if len(sorted) == 0 {
		return 0
	}
	i := int(math.Ceil(q*float64(len(sorted)))) - 1
	return sorted[min(max(i, 0), len(sorted)-1)]
}

// Point of a curve: the rates if everything from Score on were taken as a match.
type Point struct {
	Score float64 `json:"score"`
	FMR   float64 `json:"fmr"`
	FNMR  float64 `json:"fnmr"`
}

// curve has a point for every score at which a rate changes, from the laxest to
// the strictest. Both lists are needed.
func curve(genuine, impostor []float64) []Point {
	if len(genuine) == 0 || len(impostor) == 0 {
		return nil
	}
	g, m := slices.Sorted(slices.Values(genuine)), slices.Sorted(slices.Values(impostor))
	scores := slices.Compact(slices.Sorted(slices.Values(slices.Concat(g, m))))
	points := make([]Point, 0, len(scores)+1)
	below := func(sorted []float64, s float64) float64 { // the part of them
		i, _ := slices.BinarySearch(sorted, s)
		return float64(i) / float64(len(sorted))
	}
	for _, s := range scores {
		points = append(points, Point{s, 1 - below(m, s), below(g, s)})
	}
	beyond := math.Nextafter(scores[len(scores)-1], math.Inf(1))
	return append(points, Point{beyond, 0, 1})
}

// thin leaves about most points of a curve, spread evenly over its length on
// logarithmic axes; among them both ends and the points around equal.
func thin(points []Point, most int) []Point {
	if len(points) <= most {
		return points
	}
	length := func(i int) float64 {
		const least = 1e-4 // below it rates look alike
		a, b := points[i-1], points[i]
		return math.Abs(math.Log((a.FMR+least)/(b.FMR+least))) + math.Abs(math.Log((a.FNMR+least)/(b.FNMR+least)))
	}
	total := 0.0
	for i := 1; i < len(points); i++ {
		total += length(i)
	}
	cross := crossing(points)
	out, gone := points[:1:1], 0.0
	for i := 1; i < len(points); i++ {
		gone += length(i)
		if gone >= total/float64(most-4) || i == len(points)-1 || i == cross || i == cross-1 {
			out, gone = append(out, points[i]), 0
		}
	}
	return out
}

// crossing is the first point at which FNMR is not below FMR; the last always is one.
func crossing(points []Point) int {
	return slices.IndexFunc(points, func(p Point) bool { return p.FNMR >= p.FMR })
}

// equal is the equal error rate: where the curve crosses FMR = FNMR, between two
// points on the straight line.
func equal(points []Point) float64 {
	i := crossing(points)
	p := points[i]
	if i == 0 {
		return (p.FMR + p.FNMR) / 2
	}
	q := points[i-1]
	dq, dp := q.FMR-q.FNMR, p.FNMR-p.FMR
	return q.FMR + (p.FMR-q.FMR)*dq/(dq+dp)
}

// at is the least FNMR at which FMR does not exceed fmr. ok is false where so
// few impostor pairs, n, cannot show such a rate.
func at(genuine, impostor []float64, fmr float64) (fnmr Rate, ok bool) {
	n := len(impostor)
	if len(genuine) == 0 || n == 0 || fmr > 0 && float64(n)*fmr < 1 {
		return Rate{}, false
	}
	m := slices.Sorted(slices.Values(impostor))
	let := int(fmr*float64(n) + 1e-9) // as many impostors may pass
	limit := math.Inf(-1)             // scores above this pass
	if let < n {
		limit = m[n-1-let]
	}
	lost := 0
	for _, g := range genuine {
		if !(g > limit) {
			lost++
		}
	}
	return rate(lost, len(genuine)), true
}

// Histogram counts scores in bins of one width from Low on.
type Histogram struct {
	Low      float64 `json:"low"`
	Width    float64 `json:"width"`
	Genuine  []int   `json:"genuine"`
	Impostor []int   `json:"impostor"`
}

func histogram(genuine, impostor []float64, bins int) Histogram {
	all := slices.Concat(genuine, impostor)
	if len(all) == 0 {
		return Histogram{}
	}
	low, high := slices.Min(all), slices.Max(all)
	h := Histogram{Low: low, Width: math.Max((high-low)/float64(bins), 1e-9), Genuine: make([]int, bins), Impostor: make([]int, bins)}
	count := func(into []int, scores []float64) {
		for _, s := range scores {
			into[min(int((s-low)/h.Width), bins-1)]++
		}
	}
	count(h.Genuine, genuine)
	count(h.Impostor, impostor)
	return h
}
