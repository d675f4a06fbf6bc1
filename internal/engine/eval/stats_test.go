package eval

import (
	"math"
	"testing"
)

func near(a, b, by float64) bool { return math.Abs(a-b) <= by }

// Known values: the ends at 0 and N have closed forms, the others are published.
func TestRate(t *testing.T) {
	for _, c := range []struct {
		k, n      int
		low, high float64
	}{
		{0, 0, 0, 1},
		{0, 1, 0, 0.95},
		{0, 10, 0, 1 - math.Pow(0.05, 0.1)},
		{0, 300, 0, 0.0099}, // rule of three: 0.01
		{10, 10, math.Pow(0.05, 0.1), 1},
		{1, 1, 0.05, 1},
		{1, 10, 1 - math.Pow(0.975, 0.1), 0.44502}, // low: the chance of none is 0.975
		{5, 10, 0.18709, 0.81291},
		{1, 100, 0.000253, 0.054459},
		{81, 263, 0.2527, 0.3676}, // Newcombe 1998, Statistics in Medicine 17, table I
		{15, 148, 0.0578, 0.1617}, // the same
		{1, 29, 0.0009, 0.1776},   // the same
	} {
		r := rate(c.k, c.n)
		if !near(r.Low, c.low, 6e-5) || !near(r.High, c.high, 6e-5) {
			t.Errorf("%d of %d: %.6f to %.6f, want %.6f to %.6f", c.k, c.n, r.Low, r.High, c.low, c.high)
		}
		if c.n > 0 && r.Value != float64(c.k)/float64(c.n) {
			t.Errorf("%d of %d: %v", c.k, c.n, r.Value)
		}
	}
}

// Many trials cost neither time nor digits, and the interval mirrors.
func TestRateOfMany(t *testing.T) {
	for _, k := range []int{0, 1, 10, 5000, 500_000} {
		a, b := rate(k, 1_000_000), rate(1_000_000-k, 1_000_000)
		if !(a.Low <= a.Value && a.Value <= a.High) || !near(a.Low, 1-b.High, 1e-9) || !near(a.High, 1-b.Low, 1e-9) {
			t.Errorf("%d: %+v, %+v", k, a, b)
		}
		if k > 100 { // here the normal approximation is good
			half := 1.96 * math.Sqrt(a.Value*(1-a.Value)/1e6)
			if !near(a.High-a.Value, half, 2e-6) || !near(a.Value-a.Low, half, 2e-6) {
				t.Errorf("%d: %v to %v, want about %v", k, a.Low, a.High, half)
			}
		}
	}
}

func TestQuantile(t *testing.T) {
	list := []float64{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}
	for q, want := range map[float64]float64{0: 1, 0.1: 1, 0.5: 5, 0.51: 6, 0.95: 10, 1: 10} {
		if got := quantile(list, q); got != want {
			t.Errorf("%v: %v, want %v", q, got, want)
		}
	}
	if quantile(nil, 0.5) != 0 || quantile([]float64{7}, 0.95) != 7 {
		t.Error("few")
	}
}

func TestCurve(t *testing.T) {
	genuine, impostor := []float64{0.9, 0.8, 0.7, 0.4}, []float64{0.1, 0.2, 0.3, 0.5, 0.1}
	got := map[float64]Point{}
	points := curve(genuine, impostor)
	for i, p := range points {
		got[p.Score] = p
		if i > 0 && (p.FMR > points[i-1].FMR || p.FNMR < points[i-1].FNMR) {
			t.Errorf("not monotone at %+v", p)
		}
	}
	for score, want := range map[float64]Point{0.1: {0.1, 1, 0}, 0.4: {0.4, 0.2, 0}, 0.5: {0.5, 0.2, 0.25}, 0.7: {0.7, 0, 0.25}, 0.9: {0.9, 0, 0.75}} {
		if p := got[score]; !near(p.FMR, want.FMR, 1e-12) || !near(p.FNMR, want.FNMR, 1e-12) {
			t.Errorf("%v: %+v, want %+v", score, p, want)
		}
	}
	if last := points[len(points)-1]; last.FMR != 0 || last.FNMR != 1 {
		t.Errorf("ends at %+v", last)
	}
	// Between (0.2, 0) and (0.2, 0.25).
	if e := equal(points); !near(e, 0.2, 1e-12) {
		t.Errorf("equal error rate %v", e)
	}
	if e := equal(curve([]float64{3, 4}, []float64{1, 2})); e != 0 {
		t.Errorf("apart, and %v", e)
	}
	if curve(nil, impostor) != nil || curve(genuine, nil) != nil {
		t.Error("a curve of one kind")
	}
}

func TestThin(t *testing.T) {
	for _, apart := range []float64{900.5, 5000.5} { // overlapping, and not at all
		var genuine, impostor []float64
		for i := range 4000 {
			genuine, impostor = append(genuine, float64(i)+apart), append(impostor, float64(i))
		}
		full := curve(genuine, impostor)
		few := thin(full, 100)
		if len(few) > 100 || len(few) < 50 || few[0] != full[0] || few[len(few)-1] != full[len(full)-1] {
			t.Errorf("%d points, %+v to %+v", len(few), few[0], few[len(few)-1])
		}
		if want := max(0, 4000-apart) / 8000; equal(full) != equal(few) || !near(equal(full), want, 0.001) {
			t.Errorf("equal error rates %v and %v, want %v", equal(full), equal(few), want)
		}
	}
}

func TestAt(t *testing.T) {
	genuine := []float64{5, 6, 7, 8}
	impostor := make([]float64, 100)
	for i := range impostor {
		impostor[i] = float64(i) / 100
	}
	impostor[99] = 6.5
	for _, c := range []struct {
		fmr  float64
		lost int
		ok   bool
	}{{0, 2, true}, {0.01, 0, true}, {0.001, 0, false}, {1, 0, true}} {
		r, ok := at(genuine, impostor, c.fmr)
		if ok != c.ok || ok && r.K != c.lost {
			t.Errorf("%v: %+v, %v", c.fmr, r, ok)
		}
	}
	// One that ties with an impostor that must not pass does not pass either.
	if r, _ := at([]float64{2}, []float64{1, 2}, 0); r.K != 1 {
		t.Errorf("a tie: %+v", r)
	}
	if _, ok := at(nil, impostor, 0); ok {
		t.Error("of none")
	}
}

func TestHistogram(t *testing.T) {
	h := histogram([]float64{1, 1, 0.99}, []float64{0, 0.5, math.Nextafter(1, 0)}, 10)
	sum := func(list []int) (n int) {
		for _, k := range list {
			n += k
		}
		return n
	}
	if sum(h.Genuine) != 3 || sum(h.Impostor) != 3 || h.Genuine[9] != 3 || h.Impostor[0] != 1 || h.Impostor[5] != 1 || h.Low != 0 || !near(h.Width, 0.1, 1e-12) {
		t.Errorf("%+v", h)
	}
	if one := histogram([]float64{4}, nil, 5); sum(one.Genuine) != 1 {
		t.Errorf("%+v", one)
	}
	if none := histogram(nil, nil, 5); none.Genuine != nil {
		t.Errorf("%+v", none)
	}
}
