package face

import (
	"cmp"
	"fmt"
	"math"
	"slices"
)

// BlazeFace, back camera model: 256 x 256 in, 896 anchors out.
// The layout was checked against the model: reference/idv-engine.md section 1.
const (
	blazeSize    = 256
	blazeAnchors = 16*16*2 + 8*8*6
	blazeValues  = 16 // centre x, y, width, height, then six key points
)

// Key points of BlazeFace. Left and right are those of the picture, not of the person.
const (
	eyeLeft = iota
	eyeRight
	noseTip
	mouthCentre
	earLeft
	earRight
)

// minScore is the probability from which an anchor is looked at at all; what
// counts as a face is decided after the second pass and the mesh.
const minScore = 0.5

// overlapLimit is the overlap from which two boxes are the same face.
const overlapLimit = 0.3

// candidate is one answer of the detector.
type candidate struct {
	box    box
	points [6]Point
	score  float64 // probability, 0 to 1
}

// through carries a candidate into the coordinates that m leads to. The box
// keeps its size apart from the scale of m, however m turns: it says where the
// face is and how large, not which way up.
func (c candidate) through(m affine) candidate {
	at, k := m.apply(c.box.centre()), m.scale()/2
	w, h := c.box.width()*k, c.box.height()*k
	c.box = box{at.X - w, at.Y - h, at.X + w, at.Y + h}
	for i, p := range c.points {
		c.points[i] = m.apply(p)
	}
	return c
}

// anchors gives the 896 anchor centres in pixels of the 256 x 256 input, in the
// order of the model's outputs: 16 x 16 cells of two, then 8 x 8 cells of six.
func anchors() []Point {
	list := make([]Point, 0, blazeAnchors)
	for _, layer := range []struct{ cells, perCell int }{{16, 2}, {8, 6}} {
		stride := float64(blazeSize) / float64(layer.cells)
		for y := range layer.cells {
			for x := range layer.cells {
				for range layer.perCell {
					list = append(list, Point{(float64(x) + 0.5) * stride, (float64(y) + 0.5) * stride})
				}
			}
		}
	}
	return list
}

var blazeGrid = anchors()

// decode turns the raw scores (896 logits) and boxes (896 x 16 values) into
// candidates of at least minScore, best first, one per face.
func decode(scores, boxes []float32) ([]candidate, error) {
	if len(scores) != blazeAnchors || len(boxes) != blazeAnchors*blazeValues {
		return nil, fmt.Errorf("face: detector gave %d scores and %d values", len(scores), len(boxes))
	}
	var found []candidate
	for i, a := range blazeGrid {
		score := 1 / (1 + math.Exp(-float64(scores[i])))
		if !(score >= minScore) {
			continue
		}
		v := boxes[i*blazeValues:][:blazeValues]
		x, y := a.X+float64(v[0]), a.Y+float64(v[1])
		w, h := float64(v[2])/2, float64(v[3])/2
		c := candidate{box: box{x - w, y - h, x + w, y + h}, score: score}
		ok := w >= 0.5 && h >= 0.5 && w < blazeSize && h < blazeSize && within(Point{x, y})
		for k := range c.points {
			c.points[k] = Point{a.X + float64(v[4+2*k]), a.Y + float64(v[5+2*k])}
			ok = ok && within(c.points[k])
		}
		if ok {
			found = append(found, c)
		}
	}
	return suppress(found), nil
}

// within reports whether p lies in the input or less than its side beside it;
// NaN does not.
func within(p Point) bool {
	return p.X > -blazeSize && p.X < 2*blazeSize && p.Y > -blazeSize && p.Y < 2*blazeSize
}

// suppress keeps of every group of overlapping candidates one, the best, with
// its box and points averaged over the group weighted by score. Best first.
func suppress(found []candidate) []candidate {
	slices.SortStableFunc(found, func(a, b candidate) int { return cmp.Compare(b.score, a.score) })
	var kept []candidate
	taken := make([]bool, len(found))
	for i, best := range found {
		if taken[i] {
			continue
		}
		sum, weight := candidate{score: best.score}, 0.0
		for j := i; j < len(found); j++ {
			c := found[j]
			if taken[j] || iou(best.box, c.box) < overlapLimit {
				continue
			}
			taken[j] = true
			weight += c.score
			sum.box.x0 += c.box.x0 * c.score
			sum.box.y0 += c.box.y0 * c.score
			sum.box.x1 += c.box.x1 * c.score
			sum.box.y1 += c.box.y1 * c.score
			for k, p := range c.points {
				sum.points[k] = sum.points[k].add(p.mul(c.score))
			}
		}
		k := 1 / weight
		sum.box = box{sum.box.x0 * k, sum.box.y0 * k, sum.box.x1 * k, sum.box.y1 * k}
		for i := range sum.points {
			sum.points[i] = sum.points[i].mul(k)
		}
		kept = append(kept, sum)
	}
	return kept
}
