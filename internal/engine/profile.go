package engine

import (
	"fmt"
	"math"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
)

// Profiles say how alike two faces must be (Config.Profile). Custom is what a
// report says where Config.Thresholds were given instead.
const (
	Permissive = "permissive"
	Standard   = "standard"
	Strict     = "strict"
	Custom     = "custom"
)

// operatingPoints are the profiles' thresholds of the face match, for each set of
// models.
//
// Full, standard is the point of reference idv-engine, section 2, chosen by eye on
// 140 photos. The others were chosen in November 2026 on what `go test ./bench/faces
// -run Calibration` renders: 14 faces of 13 people, each on photographed passports
// of four levels and as six selfies. They are many young women of one evening, so that
// strangers look more alike than strangers do; a genuine pair comes from
// one photo (but one), so that people look more like themselves than people do.
// Of 6,312 pairs of a portrait and somebody else's selfie and of 600 with
// the person's own, so many passed:
//
//	              strangers  genuine              strangers  genuine
//	permissive      0.92 %   100.0 %  unencumbered  0.62 %    99.0 %
//	standard        0.19 %   100.0 %                0.21 %    95.8 %
//	strict          0.00 %    92.5 %                0.00 %    85.8 %
//
// and of 2,379 pairs of two strangers' selfies 2.7, 1.0 and 0.13 %, unencumbered 1.6,
// 0.5 and 0.08 %. No genuine pair failed: what did not pass was asked for again.
// The pairs depend on each other, and these are no error rates of real use.
// The unencumbered set compares by distance alone and takes look-alikes for one
// person more easily: at full's distance 1.7 % of the strangers would pass.
var operatingPoints = map[string]map[string]Thresholds{
	models.SetFull: {
		Permissive: {PassCosine: 0.45, PassDistance: 0.57, FailCosine: 0.35, FailDistance: 0.65},
		Standard:   {PassCosine: 0.50, PassDistance: 0.55, FailCosine: 0.40, FailDistance: 0.60},
		Strict:     {PassCosine: 0.55, PassDistance: 0.50, FailCosine: 0.45, FailDistance: 0.57},
	},
	models.SetUnencumbered: {
		Permissive: {PassCosine: 0.45, PassDistance: 0.53, FailCosine: 0.35, FailDistance: 0.60},
		Standard:   {PassCosine: 0.50, PassDistance: 0.51, FailCosine: 0.40, FailDistance: 0.58},
		Strict:     {PassCosine: 0.55, PassDistance: 0.47, FailCosine: 0.45, FailDistance: 0.56},
	},
}

// ProfileThresholds are the thresholds of a profile with a set of models; ok is
// false where there is no such profile or set.
func ProfileThresholds(profile, set string) (t Thresholds, ok bool) {
	p, ok := operatingPoints[set][profile]
	if !ok {
		return Thresholds{}, false
	}
	t = DefaultThresholds()
	t.PassCosine, t.PassDistance, t.FailCosine, t.FailDistance = p.PassCosine, p.PassDistance, p.FailCosine, p.FailDistance
	return t, true
}

// point names an operating point.
func (t Thresholds) point(set string) string {
	if set == models.SetUnencumbered {
		return fmt.Sprintf("distance at most %.2f", t.PassDistance)
	}
	return fmt.Sprintf("cosine at least %.2f and distance at most %.2f", t.PassCosine, t.PassDistance)
}

// scoreBasis is what a report says about the score of face_match.
const scoreBasis = "chance of one person at even odds, fitted on rendered pairs of 13 people; not measured on real ones"

// Confidence maps a fused score to the probability that two faces are one
// person's, if that is as likely as not beforehand: a logistic function of two
// parameters, by Platt's method, fitted on the pairs that operatingPoints
// describes, each pair of people counting once, whatever the number of their pictures.
// Platt's targets (14/15 and 1/93 for 13 people and 91 pairs of two)
// keep it from being surer than so few people allow. On people left out of
// the fit it said less than was true from 0.4 upwards and more below 0.3. It says how
// likely these renderings were and no more; a NaN stays one.
func Confidence(fused float64, hasCosine bool) float64 {
	a, b := -1.68, 1.59
	if hasCosine {
		a, b = -1.95, 0.79
	}
	return 1 / (1 + math.Exp(-a-b*fused))
}
