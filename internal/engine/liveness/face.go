package liveness

import (
	"errors"
	"image"
	"math"
)

// Point is a point of a face mesh: X and Y in the picture, Z in the same unit and
// smaller towards the camera.
type Point struct{ X, Y, Z float64 }

// Face is what a detector says about the one face in a frame. Left and right are
// those of the picture; angles are in degrees.
type Face struct {
	Mesh             []Point // 468 points in the order of MediaPipe's face mesh
	EyeDistance      float64 // pixels
	Yaw, Pitch, Roll float64 // Yaw positive to the right, Pitch upwards, Roll clockwise
	Asymmetry        float64 // place of the nose tip: 1 and -1 at the right and the left outer corner of the eyes
	Sharpness        float64 // variance of the Laplacian on the face brought to 112 x 112
	Brightness       float64 // mean luma, 0 to 255
	Clipped          float64 // part that is pure black or pure white
}

const meshPoints = 468

// Points of the mesh.
const (
	leftOuter, leftInner   = 33, 133
	rightInner, rightOuter = 362, 263
)

// lids are pairs of points on the upper and the lower lid of either eye
// (reference idv-engine, section 4).
var lids = [2][2][2]int{{{159, 145}, {158, 153}}, {{386, 374}, {385, 380}}}

var errFace = errors.New("liveness: not the measures of a face")

// valid refuses what no detector that works would say.
func (f Face) valid() error {
	if len(f.Mesh) != meshPoints || !(f.EyeDistance > 1) ||
		!finite(f.EyeDistance, f.Yaw, f.Pitch, f.Roll, f.Asymmetry, f.Sharpness, f.Brightness, f.Clipped) {
		return errFace
	}
	for _, p := range f.Mesh {
		if !finite(p.X, p.Y, p.Z) || math.Abs(p.X) > 1e5 || math.Abs(p.Y) > 1e5 || math.Abs(p.Z) > 1e5 {
			return errFace
		}
	}
	return nil
}

func (f Face) at(i int) point { return point{f.Mesh[i].X, f.Mesh[i].Y} }

func middle(a, b point) point { return point{(a.x + b.x) / 2, (a.y + b.y) / 2} }

// axes gives the place between the eyes, the distance of the eyes, and the
// direction from the left to the right one.
func (f Face) axes() (centre point, eyes, cos, sin float64) {
	l, r := middle(f.at(leftOuter), f.at(leftInner)), middle(f.at(rightInner), f.at(rightOuter))
	eyes = max(distance(l, r), 1e-3)
	return middle(l, r), eyes, (r.x - l.x) / eyes, (r.y - l.y) / eyes
}

// opening is how far the eyes are open: height over width, mean of both.
func (f Face) opening() float64 {
	sum := 0.0
	for i, corners := range [2][2]int{{leftOuter, leftInner}, {rightInner, rightOuter}} {
		width := max(distance(f.at(corners[0]), f.at(corners[1])), 1e-3)
		for _, l := range lids[i] {
			sum += distance(f.at(l[0]), f.at(l[1])) / width / 4
		}
	}
	return sum
}

// Eyes in a frame are brought to this size, one above the other, to compare them.
const lidsW, lidsH = 16, 8

// eyes samples both eyes: each lies level with its corners at the sides.
func (f Face) eyes(p patch) []float64 {
	out := make([]float64, 0, 2*lidsW*lidsH)
	for _, corners := range [2][2]int{{leftOuter, leftInner}, {rightInner, rightOuter}} {
		a, b := f.at(corners[0]), f.at(corners[1])
		ux, uy := (b.x-a.x)/lidsW, (b.y-a.y)/lidsW
		for y := range lidsH {
			for x := range lidsW {
				s, t := float64(x)+0.5, float64(y)+0.5-lidsH*0.55
				out = append(out, p.at(point{a.x + s*ux - t*uy, a.y + s*uy + t*ux}))
			}
		}
	}
	return out
}

// frame is the part of a picture around the face, some of its size beyond it.
func (f Face) frame() image.Rectangle {
	x0, y0, x1, y1 := math.Inf(1), math.Inf(1), math.Inf(-1), math.Inf(-1)
	for _, p := range f.Mesh {
		x0, y0, x1, y1 = min(x0, p.X), min(y0, p.Y), max(x1, p.X), max(y1, p.Y)
	}
	m := 0.25 * max(x1-x0, y1-y0)
	return image.Rect(int(x0-m), int(y0-m), int(x1+m)+1, int(y1+m)+1)
}
