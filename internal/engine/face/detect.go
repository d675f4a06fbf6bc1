package face

import (
	"cmp"
	"errors"
	"image"
	"math"
	"slices"
)

// FaceMesh: 192 x 192 in, 468 points in pixels of that input out.
const (
	meshSize   = 192
	meshPoints = 468
)

// Points of the mesh that this package uses. Left and right are those of the picture.
const (
	meshEyeLeftOuter  = 33
	meshEyeLeftInner  = 133
	meshEyeRightInner = 362
	meshEyeRightOuter = 263
	meshNoseTip       = 4
	meshNoseBase      = 2
	meshMouthLeft     = 61
	meshMouthRight    = 291
	meshForehead      = 10
	meshChin          = 152
)

const (
	// secondPass is the side of the crop in which a face is looked for again,
	// in sides of the box that was found first.
	secondPass = 2.5
	// meshCrop is the side of the picture that the mesh is fitted to, in sides of the box.
	meshCrop = 1.5
	// minPresence is the mesh's own probability that it looks at a face. On the
	// test photos it is above 0.95 for faces and below 0.2 for a head in profile.
	minPresence = 0.5
	// profileScore is the detector's probability from which something that the
	// mesh does not recognise is still reported as a face seen from the side.
	profileScore = 0.75
	// maxFaces bounds the work on one picture; the largest are kept.
	maxFaces = 24
)

// Point3 is a point of the face mesh: X and Y in the picture, Z in the same unit
// and smaller towards the camera.
type Point3 struct{ X, Y, Z float64 }

func (p Point3) flat() Point { return Point{p.X, p.Y} }

// Face is one face that was found in a picture, in the coordinates of that picture.
type Face struct {
	Box       image.Rectangle // about from the brows to the chin
	Score     float64         // the detector's probability, 0 to 1
	Presence  float64         // the mesh's probability that this is a face, 0 to 1
	Keypoints [6]Point        // eye, eye, nose tip, mouth, ear, ear; the picture's left first
	Mesh      []Point3        // 468 points in the order of MediaPipe's face mesh; nil for a face not seen from the front
	Quality   Quality

	size float64 // side of the box before it was cut to the picture
}

// Size is the side of the face's box in pixels, also where the picture cuts it.
func (f Face) Size() float64 { return f.size }

// prominence and prominentScore are the rule of [Prominent].
const (
	prominence     = 0.3
	prominentScore = 0.75
)

// Prominent gives the faces that count as people in front of the camera: the
// largest one, and every other that is at least 0.3 times as large with a score
// of 0.75 or more. That leaves out posters, passers-by far behind and patterns
// that look like a face, and keeps a second person who looks over the shoulder.
// A selfie is usable when exactly one face is prominent.
func Prominent(faces []Face) []Face {
	var keep []Face
	for i, f := range faces {
		if i == 0 || f.size >= prominence*faces[0].size && f.Score >= prominentScore {
			keep = append(keep, f)
		}
	}
	return keep
}

// Detect finds the faces in a picture, largest first. No face is an empty list
// and no error. Each face was found twice, in the whole picture and in a crop
// around it. Then either the mesh recognises it, or the detector is sure of it
// and it is reported without a mesh: a head in profile is a second person in a
// selfie, though it cannot be compared. Faces smaller than about a twentieth of
// the longer side may be missed. To save a copy per call, pass an *image.RGBA.
func (e *Engine) Detect(img image.Image) ([]Face, error) {
	r, err := newRaster(img)
	if err != nil {
		return nil, err
	}
	whole := frame{Point{float64(r.w) / 2, float64(r.h) / 2}, float64(r.w), float64(r.h), 0}
	found, err := e.look(r, whole.view())
	if err != nil {
		return nil, err
	}
	return e.inspect(r, found)
}

// frame is an upright or turned rectangle in a picture.
type frame struct {
	centre        Point
	width, height float64
	roll          float64 // clockwise, radians
}

// view is the map from the detector's input to the square around the frame.
func (f frame) view() affine {
	return square(f.centre, math.Max(f.width, f.height), f.roll, blazeSize)
}

// look runs the detector on one square part of the picture; the candidates are
// in the picture's pixels, best first.
func (e *Engine) look(r raster, view affine) ([]candidate, error) {
	// x/127.5 - 1
	out, err := e.detector.run(r.warp(view, blazeSize, blazeSize), [3]float32{127.5, 127.5, 127.5}, 1/127.5)
	if err != nil {
		return nil, err
	}
	// Four outputs: scores of both layers, boxes of both layers, told apart by size.
	parts := map[int][]float32{}
	for _, t := range out {
		parts[len(t.Data)] = t.Data
	}
	scores := append(slices.Clone(parts[512]), parts[384]...)
	boxes := append(slices.Clone(parts[512*blazeValues]), parts[384*blazeValues]...)
	found, err := decode(scores, boxes)
	for i, c := range found {
		found[i] = c.through(view)
	}
	return found, err
}

// inspect looks at each candidate again, fits the mesh, and gives what is left
// as faces, largest first.
func (e *Engine) inspect(r raster, found []candidate) ([]Face, error) {
	bySize := func(a, b candidate) int { return cmp.Compare(b.box.side(), a.box.side()) }
	slices.SortStableFunc(found, bySize)
	var sure []candidate
	for _, c := range found[:min(len(found), maxFaces)] {
		again, ok, err := e.confirm(r, c)
		if err != nil {
			return nil, err
		}
		if ok {
			sure = append(sure, again)
		}
	}
	sure = suppress(sure)
	slices.SortStableFunc(sure, bySize)
	var faces []Face
	for _, c := range sure {
		f, ok, err := e.fit(r, c)
		if err != nil {
			return nil, err
		}
		if ok {
			faces = append(faces, f)
		}
	}
	return faces, nil
}

// confirm runs the detector on a level crop around a candidate and gives the
// box there that overlaps it most. Taking the best score instead picked
// neighbours (reference/idv-engine.md section 1).
func (e *Engine) confirm(r raster, c candidate) (candidate, bool, error) {
	view := square(c.box.centre(), secondPass*c.box.side(), tilt(c.points[eyeLeft], c.points[eyeRight]), blazeSize)
	found, err := e.look(r, view)
	if err != nil {
		return candidate{}, false, err
	}
	best, overlap := candidate{}, 0.0
	for _, again := range found {
		if o := iou(c.box, again.box); o > overlap {
			best, overlap = again, o
		}
	}
	return best, overlap >= overlapLimit, nil
}

// tilt is the clockwise angle of the line from the left to the right eye, in radians.
func tilt(left, right Point) float64 {
	d := right.sub(left)
	return math.Atan2(d.Y, d.X)
}

// fit lays the mesh over a candidate and measures the face.
func (e *Engine) fit(r raster, c candidate) (Face, bool, error) {
	f := Face{
		Box:   c.box.rectangle(image.Rect(0, 0, r.w, r.h)).Add(r.origin),
		Score: c.score,
		size:  c.box.side(),
	}
	shift := Point{float64(r.origin.X), float64(r.origin.Y)}
	for i, p := range c.points {
		f.Keypoints[i] = p.add(shift)
	}
	roll := tilt(c.points[eyeLeft], c.points[eyeRight])
	mesh, presence, err := e.meshAt(r, c.box.centre(), meshCrop*c.box.side(), roll)
	if err != nil {
		return Face{}, false, err
	}
	if presence >= minPresence {
		// A second fit, levelled and centred by the first, takes out what the box
		// had wrong: the mesh is best on a face in the position it was trained on.
		centre, side, roll := surround(mesh)
		if mesh, presence, err = e.meshAt(r, centre, meshCrop*side, roll); err != nil {
			return Face{}, false, err
		}
	}
	f.Presence = presence
	if f.Box.Empty() {
		return Face{}, false, nil
	}
	if presence < minPresence {
		f.Quality.EyeDistance = c.points[eyeRight].sub(c.points[eyeLeft]).norm()
		f.Quality.Roll = degrees(roll)
		return f, c.score >= profileScore, nil
	}
	f.Quality = measure(r, mesh)
	for i := range mesh {
		mesh[i].X += shift.X
		mesh[i].Y += shift.Y
	}
	f.Mesh = mesh
	return f, true, nil
}

// surround gives the square around a mesh whose eyes are level in it.
func surround(mesh []Point3) (centre Point, side, roll float64) {
	roll = tilt(mesh[meshEyeLeftOuter].flat(), mesh[meshEyeRightOuter].flat())
	sin, cos := math.Sincos(roll)
	flat := make([]Point, len(mesh))
	for i, p := range mesh {
		flat[i] = p.flat()
	}
	b := around(flat, affine{cos, sin, 0, -sin, cos, 0})
	return affine{cos, -sin, 0, sin, cos, 0}.apply(b.centre()), b.side(), roll
}

// meshAt fits the mesh to one square of the picture and gives it in the picture's pixels.
func (e *Engine) meshAt(r raster, centre Point, side, roll float64) ([]Point3, float64, error) {
	view := square(centre, side, roll, meshSize)
	out, err := e.mesh.run(r.warp(view, meshSize, meshSize), [3]float32{}, 1.0/255)
	if err != nil {
		return nil, 0, err
	}
	var values []float32
	presence := math.NaN()
	for _, t := range out {
		switch len(t.Data) {
		case meshPoints * 3:
			values = t.Data
		case 1:
			presence = float64(t.Data[0])
		}
	}
	if values == nil || math.IsNaN(presence) { // not one of either
		return nil, 0, errors.New("face: the mesh network gave no points or no presence")
	}
	mesh := make([]Point3, meshPoints)
	k := view.scale()
	for i := range mesh {
		p := view.apply(Point{float64(values[i*3]), float64(values[i*3+1])})
		mesh[i] = Point3{p.X, p.Y, float64(values[i*3+2]) * k}
		if !p.finite() || !finite(mesh[i].Z) {
			return nil, 0, ErrNaN
		}
	}
	return mesh, presence, nil
}
