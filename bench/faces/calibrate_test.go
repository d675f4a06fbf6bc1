//go:build unix

package faces_test

import (
	"flag"
	"fmt"
	"maps"
	"math"
	"os"
	"slices"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/face"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

var keep = flag.String("calibration-pairs", "", "file for the score of every pair")

// pair is two pictures that were compared.
type pair struct {
	kind   string // portrait or selfie, against selfie
	people [2]string
	same   bool
	engine.Likeness
}

// TestCalibration renders what engine.ProfileThresholds and engine.Confidence were
// chosen on, and prints what the profiles let through, the fit, and how it does on
// people whom it was not fitted on.
func TestCalibration(t *testing.T) {
	e, all := open(t, face.SetUnencumbered)
	now := time.Date(2026, 3, 1, 12, 0, 0, 0, time.UTC)
	v, done, err := engine.Open(modelsDir(), models.SetFull, engine.Config{Now: func() time.Time { return now }})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	type shot struct {
		of   specimen.Face
		face engine.Face
	}
	var portraits, selfies []shot
	asked, refused := 0, 0
	for _, f := range all {
		for _, img := range pictures(t, e, f, 1280, 960, poses) {
			asked++
			_, found, err := v.Look(t.Context(), &api.SelfieRequest{Selfie: specimen.JPEG(img, 88)})
			if err != nil {
				t.Fatal(err)
			}
			if found == nil {
				refused++
				continue
			}
			selfies = append(selfies, shot{f, *found})
		}
	}
	t.Logf("%d of %d selfies refused", refused, asked)
	asked, refused = 0, 0
	for level := range 4 {
		for round := range *rounds {
			for i, f := range all {
				front, _ := specimen.Passport(f.Portrait()).Render()
				b := specimen.JPEG(specimen.Photograph(front, level, uint64(round*1000+i)), 88)
				asked++
				_, found, err := v.Examine(t.Context(), &api.DocumentRequest{DocumentFront: b})
				if err != nil {
					t.Fatal(err)
				}
				if found == nil {
					refused++
					continue
				}
				portraits = append(portraits, shot{f, *found})
			}
		}
	}
	t.Logf("%d of %d portraits refused", refused, asked)
	var pairs []pair
	add := func(kind string, a, b shot) {
		l, err := v.Compare(a.face, b.face)
		if err != nil {
			t.Fatal(err)
		}
		pairs = append(pairs, pair{kind, [2]string{person(a.of), person(b.of)}, person(a.of) == person(b.of), l})
	}
	for _, p := range portraits {
		for _, s := range selfies {
			add("portrait", p, s)
		}
	}
	for i, a := range selfies {
		for _, b := range selfies[:i] {
			add("selfie", a, b)
		}
	}
	if *keep != "" {
		var out []byte
		for _, p := range pairs {
			out = fmt.Appendf(out, "%s,%s,%s,%.5f,%.5f\n", p.kind, p.people[0], p.people[1], p.Cosine, p.Distance)
		}
		if err := os.WriteFile(*keep, out, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	for _, set := range []string{models.SetFull, models.SetUnencumbered} {
		list := slices.Clone(pairs)
		if set == models.SetUnencumbered {
			for i, p := range list {
				list[i].Likeness = engine.Likeness{Distance: p.Distance, Fused: ((1 - p.Distance) - 0.38) / 0.11}
			}
		}
		for _, profile := range []string{engine.Permissive, engine.Standard, engine.Strict} {
			thresholds, _ := engine.ProfileThresholds(profile, set)
			for _, kind := range []string{"portrait", "selfie"} {
				counts := map[bool]map[api.Outcome]int{true: {}, false: {}}
				for _, p := range list {
					if p.kind == kind {
						counts[p.same][thresholds.Judge(p.Likeness)]++
					}
				}
				t.Logf("%-12s %-10s %-8s  one person: %s   two: %s", set, profile, kind, parts(counts[true]), parts(counts[false]))
			}
		}
		a, b := fit(points(list, "", true))
		t.Logf("%-12s logistic of %.3f + %.3f * fused; even at %.2f", set, a, b, -a/b)
		var said, was, weight [10]float64
		for who := range people(list) {
			a, b := fit(points(list, who, true))
			for _, p := range points(list, who, false) {
				c := 1 / (1 + math.Exp(-a-b*p.x))
				i := min(int(c*10), 9)
				said[i], was[i], weight[i] = said[i]+c*p.w, was[i]+p.y*p.w, weight[i]+p.w
			}
		}
		for i, w := range weight {
			if w > 0 {
				t.Logf("%-12s people left out: said %.2f, was %.2f", set, said[i]/w, was[i]/w)
			}
		}
	}
}

func person(f specimen.Face) string {
	if f.Person != "" {
		return f.Person
	}
	return f.Name
}

func people(list []pair) map[string]bool {
	who := map[string]bool{}
	for _, p := range list {
		who[p.people[0]] = true
	}
	return who
}

func parts(n map[api.Outcome]int) string {
	all := 0
	for c := range maps.Values(n) {
		all += c
	}
	k := 100 / float64(max(all, 1))
	return fmt.Sprintf("pass %6.2f %%, fail %6.2f %% of %d", float64(n[api.Pass])*k, float64(n[api.Fail])*k, all)
}

// point is a score x of a pair that is one person's with probability y.
type point struct{ x, y, w float64 }

// points are the pairs without a person, with Platt's targets, or those with that
// person alone, as they are. Each pair of people weighs the same, and those of one person
// as much as those of two.
func points(list []pair, who string, without bool) []point {
	groups := map[[2]string][]float64{}
	for _, p := range list {
		if (p.people[0] == who || p.people[1] == who) == without {
			continue
		}
		key := p.people
		slices.Sort(key[:])
		groups[key] = append(groups[key], p.Fused)
	}
	var count [2]float64
	of := func(key [2]string) int {
		if key[0] == key[1] {
			return 1
		}
		return 0
	}
	for key := range groups {
		count[of(key)]++
	}
	target := [2]float64{0, 1}
	if without {
		target = [2]float64{1 / (count[0] + 2), (count[1] + 1) / (count[1] + 2)}
	}
	var out []point
	for _, key := range slices.SortedFunc(maps.Keys(groups), func(a, b [2]string) int { return slices.Compare(a[:], b[:]) }) {
		for _, x := range groups[key] {
			out = append(out, point{x, target[of(key)], 1 / (float64(len(groups[key])) * count[of(key)])})
		}
	}
	return out
}

// fit gives the logistic function of the least loss, by Newton's method with
// halved steps.
func fit(list []point) (a, b float64) {
	loss := func(a, b float64) (sum float64) {
		for _, p := range list {
			z := a + b*p.x
			sum += p.w * (math.Log1p(math.Exp(-math.Abs(z))) + math.Max(z, 0) - p.y*z)
		}
		return sum
	}
	b = 0.3
	for range 100 {
		var ga, gb, haa, hab, hbb float64
		for _, p := range list {
			c := 1 / (1 + math.Exp(-a-b*p.x))
			d, h := p.w*(c-p.y), p.w*c*(1-c)
			ga, gb, haa, hab, hbb = ga+d, gb+d*p.x, haa+h, hab+h*p.x, hbb+h*p.x*p.x
		}
		det := haa*hbb - hab*hab
		da, db := (hbb*ga-hab*gb)/det, (haa*gb-hab*ga)/det
		step := 1.0
		for now := loss(a, b); loss(a-step*da, b-step*db) > now && step > 1e-9; {
			step /= 2
		}
		a, b = a-step*da, b-step*db
		if math.Abs(da)+math.Abs(db) < 1e-9 {
			break
		}
	}
	return a, b
}
