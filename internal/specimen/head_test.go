package specimen_test

import (
	"bytes"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// mask is a photo of coloured squares and a mesh of 468 points with a nose over it.
func mask() (image.Image, []specimen.Point3) {
	img := image.NewRGBA(image.Rect(0, 0, 400, 400))
	for y := range 400 {
		for x := range 400 {
			img.SetRGBA(x, y, color.RGBA{byte(x / 20 * 13), byte(y / 20 * 13), 120, 255})
		}
	}
	r := rand.New(rand.NewPCG(5, 5))
	mesh := make([]specimen.Point3, 468)
	for i := range mesh {
		a, d := r.Float64()*2*math.Pi, 90*math.Sqrt(r.Float64())
		mesh[i] = specimen.Point3{X: 200 + d*math.Cos(a), Y: 220 + 1.3*d*math.Sin(a), Z: -40 * math.Exp(-d*d/800)}
	}
	oval := []int{10, 338, 297, 332, 284, 251, 389, 356, 454, 323, 361, 288, 397, 365, 379, 378, 400, 377,
		152, 148, 176, 149, 150, 136, 172, 58, 132, 93, 234, 127, 162, 21, 54, 103, 67, 109}
	for k, i := range oval {
		a := float64(k)/float64(len(oval))*2*math.Pi - math.Pi/2
		mesh[i] = specimen.Point3{X: 200 + 95*math.Cos(a), Y: 220 + 125*math.Sin(a), Z: 40}
	}
	for i, x := range map[int]float64{33: 140, 133: 180, 362: 220, 263: 260} {
		mesh[i] = specimen.Point3{X: x, Y: 190}
	}
	mesh[4] = specimen.Point3{X: 200, Y: 230, Z: -45}
	return img, mesh
}

func TestHead(t *testing.T) {
	img, mesh := mask()
	if _, err := specimen.NewHead(img, mesh[:100]); err == nil {
		t.Error("a hundred points are a head")
	}
	if _, err := specimen.NewHead(img, make([]specimen.Point3, 468)); err == nil {
		t.Error("a head without eyes")
	}
	h, err := specimen.NewHead(img, mesh)
	if err != nil {
		t.Fatal(err)
	}
	flat := specimen.Flat{Photo: img}
	seen := map[string]string{}
	for name, p := range map[string]specimen.Pose{"straight": {}, "left": {Yaw: 30}, "right": {Yaw: -30}, "up": {Pitch: 20}, "tilted": {Roll: 20}, "closer": {Closer: 1.5}, "aside": {X: 0.3}} {
		for kind, frame := range map[string]func(specimen.Pose, specimen.Camera, uint64, uint64) *image.RGBA{"head": h.Frame, "flat": flat.Frame, "bent": specimen.Flat{Photo: img, Bend: 120}.Frame,
			"bent across": specimen.Flat{Photo: img, Bend: -120}.Frame, "screen": specimen.Flat{Photo: img, Screen: 1}.Frame} {
			a, b := frame(p, specimen.Camera{}, 1, 2), frame(p, specimen.Camera{}, 1, 2)
			if a.Rect != image.Rect(0, 0, 640, 480) || !bytes.Equal(a.Pix, b.Pix) {
				t.Errorf("%s %s: %v, or not the same twice", kind, name, a.Rect)
			}
			if before, ok := seen[string(a.Pix)]; ok {
				t.Errorf("%s %s is %s", kind, name, before)
			}
			seen[string(a.Pix)] = kind + " " + name
		}
	}
	// Another seed is other noise, not another picture.
	a, b := h.Frame(specimen.Pose{}, specimen.Camera{}, 1, 2), h.Frame(specimen.Pose{}, specimen.Camera{}, 1, 3)
	sum := 0.0
	for i := range a.Pix {
		sum += math.Abs(float64(a.Pix[i]) - float64(b.Pix[i]))
	}
	if mean := sum / float64(len(a.Pix)); mean == 0 || mean > 4 {
		t.Errorf("seeds differ by %.2f", mean)
	}
}

// TestPlay: every action is done and undone, in its own time.
func TestPlay(t *testing.T) {
	actions := []string{"look_straight", "turn_left", "turn_right", "come_closer", "blink", "look_straight"}
	peak := make([]specimen.Pose, len(actions))
	last := time.Duration(-1)
	for _, m := range specimen.Play(actions, 250*time.Millisecond) {
		if m.At <= last || m.Action < 0 || m.Action >= len(actions) {
			t.Fatalf("%+v", m)
		}
		last = m.At
		p := &peak[m.Action]
		if math.Abs(m.Pose.Yaw) > math.Abs(p.Yaw) {
			p.Yaw = m.Pose.Yaw
		}
		p.Closer, p.EyesClosed = max(p.Closer, m.Pose.Closer), max(p.EyesClosed, m.Pose.EyesClosed)
	}
	if peak[1].Yaw < 30 || peak[2].Yaw > -30 || peak[3].Closer < 1.4 || peak[4].EyesClosed < 0.9 || math.Abs(peak[0].Yaw) > 5 || peak[5].EyesClosed > 0 {
		t.Errorf("%+v", peak)
	}
	for _, a := range actions {
		if p := specimen.Act(a, 0, 0); math.Abs(p.Yaw) > 5 || p.EyesClosed > 0 || p.Closer > 1.05 {
			t.Errorf("%s begins at %+v", a, p)
		}
	}
}
