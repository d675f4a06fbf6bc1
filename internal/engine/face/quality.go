package face

import "math"

// Quality is what can be measured about a face without knowing whose it is.
type Quality struct {
	// Frontal says that the mesh recognised a face seen from the front. Where
	// it is false only EyeDistance and Roll are measured.
	Frontal bool
	// EyeDistance is the distance between the centres of the eyes, in pixels.
	EyeDistance float64
	// Sharpness is the variance of the Laplacian of the luma (0 to 255) on the
	// face brought to 112 x 112, so it judges what recognition will see: a face
	// that is out of focus, shaken, or too small scores low. A far larger face
	// is scaled down first and may hide a slight blur, which then does no harm.
	Sharpness float64
	// Yaw, Pitch and Roll in degrees: Yaw is positive where the face looks to
	// the right of the picture, Pitch where it looks up, Roll where it is tilted
	// clockwise. Yaw and Pitch come from the mesh's depth and are rough: Yaw
	// grows more slowly than the real angle.
	Yaw, Pitch, Roll float64
	// Asymmetry is the nose tip's place between the outer corners of the eyes:
	// 0 in the middle, 1 and -1 at the right and the left corner of the picture.
	Asymmetry float64
	// Brightness and Contrast are mean and standard deviation of the luma of
	// the face, 0 to 255.
	Brightness, Contrast float64
	// Clipped is the part of the face that is pure black or pure white, 0 to 1.
	Clipped float64
}

// measure takes the quality of the face under a mesh in r's own pixels.
func measure(r raster, mesh []Point3) Quality {
	left := middle(mesh[meshEyeLeftOuter].flat(), mesh[meshEyeLeftInner].flat())
	right := middle(mesh[meshEyeRightInner].flat(), mesh[meshEyeRightOuter].flat())
	roll := tilt(left, right)
	q := Quality{Frontal: true, EyeDistance: right.sub(left).norm(), Roll: degrees(roll)}

	// Angles in the coordinates of the level face.
	sin, cos := math.Sincos(roll)
	level := affine{cos, sin, 0, -sin, cos, 0}
	between := func(from, to int) (x, y, z float64) {
		d := level.apply(mesh[to].flat().sub(mesh[from].flat()))
		return d.X, d.Y, mesh[to].Z - mesh[from].Z
	}
	x, _, z := between(meshEyeLeftOuter, meshEyeRightOuter)
	q.Yaw = degrees(math.Atan2(z, x))
	_, y, z := between(meshForehead, meshChin)
	q.Pitch = degrees(math.Atan2(-z, y)) - levelPitch
	toLeft, _, _ := between(meshEyeLeftOuter, meshNoseTip)
	toRight, _, _ := between(meshNoseTip, meshEyeRightOuter)
	if wide := math.Abs(toLeft + toRight); wide > 0 {
		q.Asymmetry = (toLeft - toRight) / wide
	}

	chip := r.warp(mobileAlign(mesh), mobileSize, mobileSize)
	luma := make([]float64, mobileSize*mobileSize)
	for i := range luma {
		luma[i] = 0.299*float64(chip[i*3]) + 0.587*float64(chip[i*3+1]) + 0.114*float64(chip[i*3+2])
	}
	// The face without hair and background: from the brows to below the mouth.
	const x0, y0, x1, y1 = 24, 30, 88, 104
	var light, edges spread
	clipped := 0
	for y := y0; y < y1; y++ {
		for x := x0; x < x1; x++ {
			at := y*mobileSize + x
			v := luma[at]
			light.add(v)
			edges.add(luma[at-1] + luma[at+1] + luma[at-mobileSize] + luma[at+mobileSize] - 4*v)
			if v < 4 || v > 251 {
				clipped++
			}
		}
	}
	q.Brightness, q.Contrast = light.mean(), math.Sqrt(light.variance())
	q.Sharpness = edges.variance()
	q.Clipped = float64(clipped) / ((x1 - x0) * (y1 - y0))
	return q
}

// levelPitch is what the line from forehead to chin shows, in degrees, on a face
// that looks straight ahead: foreheads lie in front of chins. By eye, on the
// photos of the tests.
const levelPitch = -10

func degrees(radians float64) float64 { return radians * 180 / math.Pi }

// spread gathers mean and variance.
type spread struct{ n, sum, squares float64 }

func (s *spread) add(v float64)     { s.n++; s.sum += v; s.squares += v * v }
func (s *spread) mean() float64     { return s.sum / s.n }
func (s *spread) variance() float64 { return math.Max(0, s.squares/s.n-s.mean()*s.mean()) }

// Limits are the bounds within which a face is good enough to be compared. The
// defaults were chosen on few photos; they refuse what cannot work rather than
// what is not perfect.
type Limits struct {
	EyeDistance float64 // at least, pixels
	Sharpness   float64 // at least
	Yaw, Pitch  float64 // at most either way, degrees
	Roll        float64 // at most either way, degrees
	Dark, Light float64 // Brightness at least and at most
	Contrast    float64 // at least
	Clipped     float64 // at most
}

// SelfieLimits and PortraitLimits are where to start. Recognition of the test
// photos began to suffer below 16 pixels between the eyes and, blurred until
// Sharpness was about 30, still matched 20 of 21 times: a selfie is asked for
// more than that because the person can take another one, a portrait is what it is.
var (
	SelfieLimits = Limits{
		EyeDistance: 40, Sharpness: 25, Yaw: 25, Pitch: 25, Roll: 35,
		Dark: 40, Light: 220, Contrast: 12, Clipped: 0.35,
	}
	PortraitLimits = Limits{
		EyeDistance: 16, Sharpness: 10, Yaw: 25, Pitch: 25, Roll: 180,
		Dark: 30, Light: 235, Contrast: 8, Clipped: 0.5,
	}
)

// Shortcomings that [Quality.Falls] names.
const (
	TooSmall    = "too_small"
	TooBlurred  = "too_blurred"
	TurnedAway  = "turned_away"
	Tilted      = "tilted"
	TooDark     = "too_dark"
	TooBright   = "too_bright"
	LowContrast = "low_contrast"
)

// Falls names what falls short of the limits, the most telling first; nil is usable.
func (q Quality) Falls(l Limits) []string {
	if !q.Frontal {
		return []string{TurnedAway}
	}
	var short []string
	say := func(bad bool, what string) {
		if bad {
			short = append(short, what)
		}
	}
	say(!(q.EyeDistance >= l.EyeDistance), TooSmall)
	say(!(q.Brightness >= l.Dark), TooDark)
	say(!(q.Brightness <= l.Light && q.Clipped <= l.Clipped), TooBright)
	say(!(q.Contrast >= l.Contrast), LowContrast)
	say(!(q.Sharpness >= l.Sharpness), TooBlurred)
	say(!(math.Abs(q.Yaw) <= l.Yaw && math.Abs(q.Pitch) <= l.Pitch), TurnedAway)
	say(!(math.Abs(q.Roll) <= l.Roll), Tilted)
	return short
}
