package engine_test

import (
	"math"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

func TestProfiles(t *testing.T) {
	sets := []string{models.SetFull, models.SetUnencumbered}
	for _, set := range sets {
		var looser engine.Thresholds
		for i, profile := range []string{engine.Permissive, engine.Standard, engine.Strict} {
			p, ok := engine.ProfileThresholds(profile, set)
			if !ok {
				t.Fatalf("no %s for %s", profile, set)
			}
			if !(p.FailCosine < p.PassCosine && p.PassDistance < p.FailDistance && p.DocumentLong > 0) {
				t.Errorf("%s, %s: no band between pass and fail: %+v", set, profile, p)
			}
			if i > 0 && !(p.PassCosine > looser.PassCosine && p.PassDistance < looser.PassDistance && p.FailCosine >= looser.FailCosine && p.FailDistance <= looser.FailDistance) {
				t.Errorf("%s, %s is not stricter than the one before", set, profile)
			}
			looser = p
			full, _ := engine.ProfileThresholds(profile, models.SetFull)
			if set == models.SetUnencumbered && !(p.PassDistance < full.PassDistance) {
				t.Errorf("%s: one network alone must ask for more than two", profile)
			}
		}
	}
	if p, _ := engine.ProfileThresholds(engine.Standard, models.SetFull); p != engine.DefaultThresholds() {
		t.Errorf("standard is %+v", p)
	}
	for _, c := range [][2]string{{"", models.SetFull}, {"lenient", models.SetFull}, {engine.Custom, models.SetFull}, {engine.Standard, ""}, {engine.Standard, "all"}} {
		if p, ok := engine.ProfileThresholds(c[0], c[1]); ok || p != (engine.Thresholds{}) {
			t.Errorf("%q of %q: %+v", c[0], c[1], p)
		}
	}
}

// TestProfileDecides gives one likeness to every profile of both sets.
func TestProfileDecides(t *testing.T) {
	if raced {
		t.Skip("pictures with nothing concurrent about them: they run without the race detector")
	}
	like := func(cosine, distance float64) engine.Likeness {
		return engine.Likeness{Cosine: cosine, Distance: distance, HasCosine: true, Fused: (cosine-0.35)/0.16 + ((1-distance)-0.38)/0.11}
	}
	alone := func(distance float64) engine.Likeness {
		return engine.Likeness{Distance: distance, Fused: ((1 - distance) - 0.38) / 0.11}
	}
	const p, c, f = api.Pass, api.CannotTell, api.Fail
	for _, k := range []struct {
		name string
		set  string
		l    engine.Likeness
		want [3]api.Outcome // permissive, standard, strict
	}{
		{"surely her", models.SetFull, like(0.80, 0.30), [3]api.Outcome{p, p, p}},
		{"her", models.SetFull, like(0.52, 0.53), [3]api.Outcome{p, p, c}},
		{"like her", models.SetFull, like(0.46, 0.56), [3]api.Outcome{p, c, c}},
		{"a little like her", models.SetFull, like(0.42, 0.59), [3]api.Outcome{c, c, f}},
		{"hardly like her", models.SetFull, like(0.37, 0.62), [3]api.Outcome{c, f, f}},
		{"another", models.SetFull, like(0.10, 0.80), [3]api.Outcome{f, f, f}},
		{"surely her, one network", models.SetUnencumbered, alone(0.30), [3]api.Outcome{p, p, p}},
		{"her, one network", models.SetUnencumbered, alone(0.50), [3]api.Outcome{p, p, c}},
		{"like her, one network", models.SetUnencumbered, alone(0.525), [3]api.Outcome{p, c, c}},
		{"what full would pass", models.SetUnencumbered, alone(0.55), [3]api.Outcome{c, c, c}},
		{"hardly like her, one network", models.SetUnencumbered, alone(0.59), [3]api.Outcome{c, f, f}},
		{"another, one network", models.SetUnencumbered, alone(0.80), [3]api.Outcome{f, f, f}},
	} {
		for i, profile := range []string{engine.Permissive, engine.Standard, engine.Strict} {
			v := engine.New(zones{zone: goodZone()}, faces{likeness: k.l}, engine.Config{Now: at(today), Profile: profile, Set: k.set})
			req := full()
			rep, err := v.Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != k.want[i] {
				t.Errorf("%s, %s: %s, want %s", k.name, profile, rep.Verdict, k.want[i])
			}
			e := rep.Engine
			if e.Profile != profile || e.Set != k.set || !strings.Contains(e.OperatingPoint, "distance at most 0.") || !strings.Contains(e.ScoreBasis, "rendered") ||
				strings.Contains(e.OperatingPoint, "cosine") != (k.set == models.SetFull) {
				t.Errorf("%s: %+v", profile, e)
			}
			for _, c := range rep.Checks {
				if c.Name == api.CheckFaceMatch && (c.Score == nil || c.Outcome == api.Pass && !(*c.Score >= *c.Threshold)) {
					t.Errorf("%s, %s: passes with %v of %v", k.name, profile, *c.Score, *c.Threshold)
				}
			}
		}
	}
}

func TestProfileOfVerifier(t *testing.T) {
	own := engine.DefaultThresholds()
	own.PassCosine = 0.9
	for name, c := range map[string]struct {
		cfg  engine.Config
		want string
	}{
		"none":    {engine.Config{}, engine.Standard},
		"strict":  {engine.Config{Profile: engine.Strict}, engine.Strict},
		"own":     {engine.Config{Profile: engine.Permissive, Thresholds: own}, engine.Custom},
		"unknown": {engine.Config{Profile: "lenient"}, engine.Strict},
	} {
		if got := engine.New(zones{}, nil, c.cfg).Info().Profile; got != c.want {
			t.Errorf("%s: %q, want %q", name, got, c.want)
		}
	}
	if _, _, err := engine.Open(t.TempDir(), models.SetFull, engine.Config{Profile: "lenient"}); err == nil {
		t.Error("Open takes a profile that there is not")
	}
	v, done, err := engine.Open(t.TempDir(), models.SetUnencumbered, engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer done()
	if i := v.Info(); i.Profile != engine.Standard || i.Set != models.SetUnencumbered || i.OperatingPoint != "distance at most 0.51" {
		t.Errorf("%+v", i)
	}
}

func TestConfidence(t *testing.T) {
	for _, two := range []bool{false, true} {
		last := -1.0
		for f := -20.0; f <= 20; f += 0.25 {
			c := engine.Confidence(f, two)
			if !(c >= 0 && c <= 1 && c >= last) {
				t.Errorf("%v, %v: %v after %v", f, two, c, last)
			}
			last = c
		}
		if !math.IsNaN(engine.Confidence(math.NaN(), two)) {
			t.Error("a number out of none")
		}
	}
	// No surer of the least alike pair of one person (fused 1.77) than that it is
	// open, and sure of a usual one (5.9).
	if low, high := engine.Confidence(1.77, true), engine.Confidence(5.9, true); !(low < 0.5 && high > 0.9) {
		t.Errorf("%v and %v", low, high)
	}
}

// TestCovered: whoever covers the face hears what to take away.
func TestCovered(t *testing.T) {
	for word, covered := range map[string]error{"eyes": engine.ErrEyesHidden, "mouth": engine.ErrMouthHidden} {
		v := engine.New(zones{zone: goodZone()}, faces{selfie: covered}, engine.Config{Now: at(today)})
		rep, err := v.Selfie(t.Context(), &api.SelfieRequest{Selfie: photo})
		if err != nil || rep.Verdict != api.Fail || rep.Reason != api.ReasonSelfieNoFace || !strings.Contains(rep.Checks[0].Detail, word) {
			t.Errorf("%s: %+v, %v", word, rep, err)
		}
	}
}
