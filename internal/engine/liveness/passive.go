package liveness

import (
	"image"
	"math"
	"slices"
)

// Cues are weak signs that a selfie is a picture of a picture, each 0 (not seen)
// to 1. Seen through rendered cameras, one fired on 14 of 14 screens with a strong
// grid, 10 of 14 with a weak one, 6 of 14 prints and none of the 14 plain photos.
// An attacker who knows them avoids them: no number here proves anybody alive.
type Cues struct {
	Grid  float64 // a fine regular pattern over the face, as where a camera meets a display
	Edges float64 // a straight frame round the face
	Still float64 // several selfies that show no movement at all
}

// Alive is 1 where no cue was seen, 0 where one surely was.
func (c Cues) Alive() float64 { return 1 - max(c.Grid, c.Edges, c.Still) }

// Fired reports whether a cue is too strong to overlook.
func (c Cues) Fired() bool { return !(c.Alive() > 0.5) }

// Look takes the cues of one selfie. small is its picture for [Still].
func Look(img *image.RGBA, f Face) (c Cues, small []float64, err error) {
	if err := f.valid(); err != nil {
		return Cues{}, nil, err
	}
	return Cues{Grid: grid(cut(img, f.frame())), Edges: edges(img, f)}, shrink(img), nil
}

// Still is the cue of several pictures of what should be one person who breathes.
func Still(smalls [][]float64) float64 {
	least := math.Inf(1)
	for i, s := range smalls {
		for _, o := range smalls[:i] {
			least = min(least, difference(s, o))
		}
	}
	return min(max(1.5-least/stillness, 0), 1)
}

// stillness is the mean difference, in grey levels, of two pictures of which
// nothing moved.
const stillness = 0.35

// grid looks for one period, of 2 to 6 pixels, that stands out of the spectrum of
// the middle of the face, along its rows or its columns.
func grid(p patch) float64 {
	const n = 96
	if p.w < n || p.h < n {
		return 0
	}
	x0, y0 := (p.w-n)/2, (p.h-n)/2
	worst := 0.0
	for _, along := range []struct{ step, next int }{{1, p.w}, {p.w, 1}} {
		power := make([]float64, n/2)
		for l := range n {
			at := y0*p.w + x0 + l*along.next
			var line [n]float64
			for i := range n {
				window := 0.5 - 0.5*math.Cos(2*math.Pi*(float64(i)+0.5)/n)
				k := at + i*along.step
				// The second difference takes the slow light out.
				line[i] = window * (2*float64(p.pix[k]) - float64(p.pix[k-along.step]) - float64(p.pix[k+along.step]))
			}
			for f := n / 6; f < n/2; f++ {
				var re, im float64
				for i, v := range line {
					s, c := turns[f*i%n][0], turns[f*i%n][1]
					re, im = re+v*c, im+v*s
				}
				power[f] += re*re + im*im
			}
		}
		band := slices.Clone(power[n/6:])
		slices.Sort(band)
		typical := band[len(band)/2]
		for f := n/6 + 2; f < n/2-2; f++ {
			around := (power[f-2] + power[f+2]) / 2
			if power[f] > power[f-1] && power[f] >= power[f+1] && typical > 0 {
				worst = max(worst, power[f]/max(around, typical))
			}
		}
	}
	return min(max((worst-4)/8, 0), 1)
}

// turns are the sines and cosines of whole parts of a turn.
var turns = func() (t [96][2]float64) {
	for i := range t {
		t[i][0], t[i][1] = math.Sincos(2 * math.Pi * float64(i) / 96)
	}
	return t
}()

// edges looks for straight edges beside the face on at least three of its sides,
// each as long as the face and of one sign.
func edges(img *image.RGBA, f Face) float64 {
	b := f.frame().Intersect(img.Rect)
	if b.Empty() {
		return 0
	}
	p := cut(img, img.Rect)
	strength := func(i, j, from, to, step int, level bool) float64 {
		best := 0.0
		for k := from; k != to; k += step {
			sum := 0.0
			for l := i; l < j; l++ {
				x, y := k, l
				if level {
					x, y = l, k
				}
				if x < 1 || y < 1 || x >= p.w-1 || y >= p.h-1 {
					continue
				}
				if at := y*p.w + x; level {
					sum += float64(p.pix[at+p.w] - p.pix[at-p.w])
				} else {
					sum += float64(p.pix[at+1] - p.pix[at-1])
				}
			}
			best = max(best, math.Abs(sum)/float64(j-i))
		}
		return best
	}
	reach := max(b.Dx(), b.Dy())
	sides := []float64{
		strength(b.Min.Y, b.Max.Y, b.Min.X, max(b.Min.X-reach, 0), -1, false),
		strength(b.Min.Y, b.Max.Y, b.Max.X, min(b.Max.X+reach, p.w), 1, false),
		strength(b.Min.X, b.Max.X, b.Min.Y, max(b.Min.Y-reach, 0), -1, true),
		strength(b.Min.X, b.Max.X, b.Max.Y, min(b.Max.Y+reach, p.h), 1, true),
	}
	slices.Sort(sides)
	return min(max((sides[1]-20)/30, 0), 1) // the third strongest
}
