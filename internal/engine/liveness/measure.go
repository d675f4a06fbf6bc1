package liveness

import (
	"encoding/json"
	"errors"
	"image"
	"math"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Measure is what is known about one frame when the next one comes. It goes out
// and comes back as JSON (api.FrameReport.Measure), where it decides on hints and
// on nothing else: the verdict measures all frames again.
type Measure struct {
	Action   int     `json:"action"`
	Received int64   `json:"received"`
	Captured int64   `json:"captured"`
	Width    int     `json:"width"`
	Height   int     `json:"height"`
	Turn     float64 `json:"turn"`  // Face.Asymmetry
	Yaw      float64 `json:"yaw"`   // degrees
	Pitch    float64 `json:"pitch"` // degrees
	Eyes     float64 `json:"eyes"`  // distance between them, pixels, as it would be from the front
	X        float64 `json:"x"`     // of the place between the eyes, pixels
	Y        float64 `json:"y"`
	Opening  float64 `json:"opening"` // height over width of the eyes
	Lids     []byte  `json:"lids"`    // both eyes, luma, lidsW x lidsH each
	Sharp    float64 `json:"sharp"`
	Bright   float64 `json:"bright"`
	Clipped  float64 `json:"clipped"`
}

// maxMeasure bounds one measure that comes back, bytes.
const maxMeasure = 2 << 10

var errMeasure = errors.New("liveness: not a measure of this engine")

// ParseMeasure reads a measure that was handed back. Measures are bytes from
// outside; what it accepts is finite and in the range of pictures.
func ParseMeasure(b []byte) (Measure, error) {
	var m Measure
	if len(b) > maxMeasure || json.Unmarshal(b, &m) != nil {
		return Measure{}, errMeasure
	}
	within := func(low, high float64, values ...float64) bool {
		for _, v := range values {
			if !(v >= low && v <= high) {
				return false
			}
		}
		return true
	}
	if m.Action < 0 || m.Action > asked+1 || len(m.Lids) != 2*lidsW*lidsH ||
		!within(0, 1e9, float64(m.Received), float64(m.Captured), m.Opening, m.Sharp, m.Bright, m.Clipped) ||
		!within(1, 1e5, float64(m.Width), float64(m.Height), m.Eyes) || !within(-1e5, 1e5, m.X, m.Y) ||
		!within(-1e3, 1e3, m.Turn, m.Yaw, m.Pitch) {
		return Measure{}, errMeasure
	}
	return m, nil
}

// Measured takes the measures of a frame with one face. The error says that the
// face is none a detector could have found.
func Measured(img *image.RGBA, f Face, from api.Frame) (Measure, error) {
	if err := f.valid(); err != nil {
		return Measure{}, err
	}
	return measure(img.Rect, cut(img, f.frame()), f, from), nil
}

func measure(size image.Rectangle, p patch, f Face, from api.Frame) Measure {
	c, eyes, _, _ := f.axes()
	lids := make([]byte, 0, 2*lidsW*lidsH)
	for _, v := range f.eyes(p) {
		lids = append(lids, byte(min(max(v+0.5, 0), 255)))
	}
	// A turn brings the eyes together in the picture without taking them farther away.
	turn := math.Cos(min(math.Abs(f.Yaw), 60) * math.Pi / 180)
	return Measure{Action: from.Action, Received: from.ReceivedMS, Captured: from.CapturedMS, Width: size.Dx(), Height: size.Dy(),
		Turn: f.Asymmetry, Yaw: f.Yaw, Pitch: f.Pitch, Eyes: eyes / turn, X: c.x, Y: c.y, Opening: f.opening(), Lids: lids,
		Sharp: f.Sharpness, Bright: f.Brightness, Clipped: f.Clipped}
}

// shut says how shut the eyes are beside those of an open face: how much narrower
// they are, and how much less they look like them. The mesh alone sees 15 to 30 %
// of a closing, and 15 % in a slight turn; the pixels alone see a look aside.
// From the front, rendered heads with open eyes have up to 1.1, half shut ones 1.0
// to 2, shut ones 1.9 to 4.
func (m Measure) shut(open Measure) float64 {
	a, b := make([]float64, len(m.Lids)), make([]float64, len(open.Lids))
	for i := range a {
		a[i] = float64(m.Lids[i])
	}
	for i := range b {
		b[i] = float64(open.Lids[i])
	}
	narrower := 1 - m.Opening/max(open.Opening, 1e-3)
	return max(narrower, -0.1)/0.15 + (1-correlate(a, b, nil))/0.3
}
