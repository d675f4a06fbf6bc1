package face

import (
	"errors"
	"fmt"
	"image"
	"math"
)

const (
	mobileSize   = 112
	mobileLength = 192
	dlibSize     = 150
	dlibLength   = 128
	dlibPadding  = 0.25
)

// mobileChip is where MobileFaceNet expects the eyes, the nose tip and the
// corners of the mouth in its 112 x 112 input (the five-point template that the
// ArcFace family of networks is trained with).
var mobileChip = []Point{{38.2946, 51.6963}, {73.5318, 51.5014}, {56.0252, 71.7366}, {41.5493, 92.3655}, {70.7299, 92.2041}}

// dlibChip is where the dlib network expects its five points (corners of both
// eyes, base of the nose), as published with dlib's face chip, in its input of
// 150 x 150 with a border of a quarter of the face.
var dlibChip = func() []Point {
	unit := []Point{
		{0.8595674595992, 0.2134981538014},
		{0.6460604764104, 0.2289674387677},
		{0.1205750620789, 0.2137274526848},
		{0.3340850613712, 0.2290642403242},
		{0.4901123135679, 0.6277975316475},
	}
	for i, p := range unit {
		unit[i] = p.add(Point{dlibPadding, dlibPadding}).mul(dlibSize / (2*dlibPadding + 1))
	}
	return unit
}()

// mobileAlign and dlibAlign map the networks' inputs onto the face under a mesh.
func mobileAlign(mesh []Point3) affine {
	return similarity(mobileChip, []Point{
		middle(mesh[meshEyeLeftOuter].flat(), mesh[meshEyeLeftInner].flat()),
		middle(mesh[meshEyeRightInner].flat(), mesh[meshEyeRightOuter].flat()),
		mesh[meshNoseTip].flat(),
		mesh[meshMouthLeft].flat(),
		mesh[meshMouthRight].flat(),
	})
}

func dlibAlign(mesh []Point3) affine {
	return similarity(dlibChip, []Point{
		mesh[meshEyeRightOuter].flat(),
		mesh[meshEyeRightInner].flat(),
		mesh[meshEyeLeftOuter].flat(),
		mesh[meshEyeLeftInner].flat(),
		mesh[meshNoseBase].flat(),
	})
}

// ErrNotFrontal says that a face has no mesh and cannot be described: it is seen
// from the side, or was not found by this package.
var ErrNotFrontal = errors.New("face: not seen from the front, cannot be described")

// Describe computes the template of a face that Detect or Portrait found in img.
// A face without a mesh is [ErrNotFrontal].
func (e *Engine) Describe(img image.Image, f Face) (*Template, error) {
	if len(f.Mesh) != meshPoints {
		return nil, ErrNotFrontal
	}
	r, err := newRaster(img)
	if err != nil {
		return nil, err
	}
	mesh := make([]Point3, meshPoints)
	for i, p := range f.Mesh {
		mesh[i] = Point3{p.X - float64(r.origin.X), p.Y - float64(r.origin.Y), p.Z}
	}
	t := &Template{made: e.made}
	chip := r.warp(dlibAlign(mesh), dlibSize, dlibSize)
	if t.dlib, err = embed(e.dlib, chip, [3]float32{122.782, 117.001, 104.298}, 1.0/256, dlibLength); err != nil {
		return nil, err
	}
	if e.second == nil {
		return t, nil
	}
	chip = r.warp(mobileAlign(mesh), mobileSize, mobileSize)
	if t.mobile, err = embed(e.second, chip, [3]float32{127.5, 127.5, 127.5}, 1.0/128, mobileLength); err != nil {
		return nil, err
	}
	length := math.Sqrt(dot(t.mobile, t.mobile))
	if length == 0 {
		return nil, errors.New("face: the embedding has no direction")
	}
	for i := range t.mobile {
		t.mobile[i] = float32(float64(t.mobile[i]) / length)
	}
	return t, nil
}

func embed(n *network, chip []float32, mean [3]float32, scale float32, length int) ([]float32, error) {
	out, err := n.run(chip, mean, scale)
	if err != nil {
		return nil, err
	}
	v := out[0].Data
	if len(v) != length {
		return nil, fmt.Errorf("face: embedding of %d values, want %d", len(v), length)
	}
	return v, nil
}

func dot(a, b []float32) float64 {
	var s float64
	for i := range a {
		s += float64(a[i]) * float64(b[i])
	}
	return s
}

// Score says how alike two faces are.
//
// The suggested starting operating point (reference/idv-engine.md section 2,
// measured at a false match rate of 0.1 %, by eye on few people: not assessed)
// is: same person where Cosine >= 0.50 and Distance <= 0.55, another person
// where Cosine < 0.40 or Distance > 0.60, ask again between them. Both parts
// must agree: Fused ranks pairs and does not decide.
type Score struct {
	// Fused is (Cosine-0.35)/0.16 + ((1-Distance)-0.38)/0.11, without the
	// first term where HasCosine is false. Higher is more alike; the operating
	// point lies at 1.574, without cosine at 0.636.
	Fused float64
	// Cosine of the two MobileFaceNet embeddings, -1 to 1; meaningful only with HasCosine.
	Cosine float64
	// Distance between the two dlib embeddings, 0 for the same picture, about 1.4 at most.
	Distance float64
	// HasCosine is false in the unencumbered set, which lacks the second embedding.
	HasCosine bool
}

// strangers is what Compare answers beside an error: no threshold that means
// anything accepts it.
var strangers = Score{Fused: -100, Cosine: -1, Distance: 10}

// Compare scores two templates; the order does not matter. Templates of
// different models, or none at all, are neither like nor unlike: [ErrForeign].
func Compare(a, b *Template) (Score, error) {
	if a == nil || b == nil || a.made != b.made || len(a.dlib) != dlibLength || len(b.dlib) != dlibLength || len(a.mobile) != len(b.mobile) {
		return strangers, ErrForeign
	}
	var s Score
	for i := range a.dlib {
		d := float64(a.dlib[i]) - float64(b.dlib[i])
		s.Distance += d * d
	}
	s.Distance = math.Sqrt(s.Distance)
	s.Fused = ((1 - s.Distance) - 0.38) / 0.11
	if len(a.mobile) == mobileLength {
		s.HasCosine = true
		s.Cosine = dot(a.mobile, b.mobile)
		s.Fused += (s.Cosine - 0.35) / 0.16
	}
	if !finite(s.Fused) {
		return strangers, ErrTemplate
	}
	return s, nil
}
