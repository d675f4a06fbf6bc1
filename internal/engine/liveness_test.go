package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"image"
	"image/color"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// Observe and Describe of the fake: every picture shows the one face that Selfie
// gives, looking straight ahead from its middle.
func (f faces) Observe(img *image.RGBA) (engine.Seen, error) {
	c, eyes := img.Rect.Size().Div(2), float64(img.Rect.Dx())/7
	seen := liveness.Face{EyeDistance: eyes, Sharpness: 100, Brightness: 120}
	for range 468 {
		seen.Mesh = append(seen.Mesh, liveness.Point{X: float64(c.X), Y: float64(c.Y) + eyes})
	}
	for i, x := range map[int]float64{33: -0.7, 133: -0.3, 362: 0.3, 263: 0.7} {
		seen.Mesh[i] = liveness.Point{X: float64(c.X) + x*eyes, Y: float64(c.Y)}
	}
	for i, at := range map[int][2]float64{159: {-0.5, -1}, 145: {-0.5, 1}, 158: {-0.4, -1}, 153: {-0.4, 1}, 386: {0.5, -1}, 374: {0.5, 1}, 385: {0.4, -1}, 380: {0.4, 1}} {
		seen.Mesh[i] = liveness.Point{X: float64(c.X) + at[0]*eyes, Y: float64(c.Y) + 0.07*at[1]*eyes}
	}
	if f.selfie == errPanic {
		panic("the library breaks")
	}
	return engine.Seen{Face: seen, Found: img}, f.selfie
}

// errPanic makes the fake panic.
var errPanic = errors.New("panic")

func (f faces) Describe(img *image.RGBA, _ engine.Seen) (engine.Face, error) { return f.Selfie(img) }

// shade is a JPEG that differs from that of any other number under 60 in a bar at its foot.
func shade(n int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		x, y := i/4%640, i/2560
		img.Pix[i] = byte(90 + (x/5*31+y/3*17)%41)
		if y > 440 {
			img.Pix[i] = byte(4*n + x%7)
		}
	}
	return specimen.JPEG(img, 90)
}

func drawn(t *testing.T, v *engine.Verifier) api.Challenge {
	t.Helper()
	c, err := v.Challenge(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return *c
}

// TestFrame: what can be said about one frame; the errors never let it be kept.
func TestFrame(t *testing.T) {
	broken := errors.New("library says no")
	good := engine.New(zones{}, faces{}, engine.Config{})
	c := drawn(t, good)
	first, err := good.Frame(t.Context(), &api.FrameRequest{Challenge: c, Frame: api.Frame{Image: shade(1), ReceivedMS: 10}})
	if err != nil || !first.Keep || first.Done || first.Hint != api.HintHold {
		t.Fatalf("%+v, %v", first, err)
	}
	other := c
	other.Actions = []string{"look_straight", "look_straight", "look_straight", "look_straight", "look_straight"}
	for _, k := range []struct {
		name    string
		faces   engine.Faces
		c       api.Challenge
		frame   api.Frame
		earlier []json.RawMessage
		want    api.FrameReport // without Measure
	}{
		{"second", faces{}, c, api.Frame{Image: shade(2), ReceivedMS: 300, CapturedMS: 290}, []json.RawMessage{first.Measure}, api.FrameReport{Hint: api.HintHold, Keep: true, Done: true}},
		{"nobody", faces{selfie: engine.ErrNoFace}, c, api.Frame{Image: shade(2)}, nil, api.FrameReport{Hint: api.HintNoFace}},
		{"two", faces{selfie: engine.ErrManyFaces}, c, api.Frame{Image: shade(2)}, nil, api.FrameReport{Hint: api.HintManyFaces}},
		{"finding breaks", faces{selfie: broken}, c, api.Frame{Image: shade(2)}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonEngineError}},
		{"no models", nil, c, api.Frame{Image: shade(2)}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonModelsMissing}},
		{"not drawn here", faces{}, other, api.Frame{Image: shade(2)}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonInvalidRequest}},
		{"hostile measure", faces{}, c, api.Frame{Image: shade(2)}, []json.RawMessage{[]byte(`{"turn":1e300}`)}, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonInvalidRequest}},
		{"not a picture", faces{}, c, api.Frame{Image: []byte("<svg/>")}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonImageUnreadable}},
		{"large file", faces{}, c, api.Frame{Image: append(shade(2), make([]byte, engine.MaxFrame)...)}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonImageTooLarge}},
		{"small", faces{}, c, api.Frame{Image: stripes(320, 240)}, nil, api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: api.ReasonImageTooSmall}},
		{"of a later action", faces{}, c, api.Frame{Image: shade(2), Action: 3}, nil, api.FrameReport{Hint: api.HintGood}},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := engine.New(zones{}, k.faces, engine.Config{})
			rep, err := v.Frame(t.Context(), &api.FrameRequest{Challenge: k.c, Frame: k.frame, Earlier: k.earlier})
			if err != nil {
				t.Fatal(err)
			}
			b, _ := json.Marshal(rep)
			if _, err := api.ParseFrameReport(b); err != nil {
				t.Errorf("our own client refuses it: %s", b)
			}
			if rep.Keep != (rep.Measure != nil) {
				t.Errorf("kept %v, measure %s", rep.Keep, rep.Measure)
			}
			rep.Measure = nil
			if got, want := *rep, k.want; got.Hint != want.Hint || got.Done != want.Done || got.Keep != want.Keep || got.Over != want.Over || got.Reason != want.Reason {
				t.Errorf("%+v, want %+v", got, want)
			}
		})
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if rep, err := good.Frame(ctx, &api.FrameRequest{Challenge: c, Frame: api.Frame{Image: shade(1)}}); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", rep, err)
	}
}

// TestActive: what is wrong with a sequence before anything is seen in it. The
// fake's face never moves, so nothing here may pass.
func TestActive(t *testing.T) {
	sequence := func(c api.Challenge, n int, change func(i int, f *api.Frame)) *api.Liveness {
		l := &api.Liveness{Challenge: c, Camera: "Integrated Camera"}
		for i := range n {
			f := api.Frame{Image: shade(i), Action: min(i/3, 4), ReceivedMS: int64(100 + 300*i), CapturedMS: int64(300 * i)}
			if change != nil {
				change(i, &f)
			}
			l.Frames = append(l.Frames, f)
		}
		return l
	}
	broken := errors.New("library says no")
	for _, k := range []struct {
		name    string
		faces   faces
		live    func(c api.Challenge) *api.Liveness
		cfg     engine.Config
		outcome api.Outcome
		reason  string // of liveness_frames or, where that passes, of liveness_actions
	}{
		{"straight for ever", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness { return sequence(c, 15, nil) }, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"too few", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness { return sequence(c, 3, nil) }, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"none", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness { return &api.Liveness{Challenge: c} }, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"the same file twice", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) { f.Image = shade(i % 9) })
		}, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
		{"of another size", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) {
				if i == 9 {
					f.Image = stripes(800, 600)
				}
			})
		}, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"faster than a camera", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) { f.CapturedMS = int64(10 * i) })
		}, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
		{"out of order", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) {
				if i == 1 {
					f.ReceivedMS = 0
				}
			})
		}, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
		{"clocks apart", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) { f.CapturedMS = int64(100 * i) }) // 2.8 s off at the end
		}, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"clocks farther apart", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) { f.CapturedMS = int64(600 * i) })
		}, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"virtual camera", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			l := sequence(c, 15, nil)
			l.Camera = "OBS Virtual Camera (m-de:vice)"
			return l
		}, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
		{"virtual camera, allowed", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			l := sequence(c, 15, nil)
			l.Camera = "fake_device_0"
			return l
		}, engine.Config{AllowVirtualCameras: true}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"a frame without a face", faces{likeness: alike(), selfie: engine.ErrNoFace}, func(c api.Challenge) *api.Liveness { return sequence(c, 15, nil) }, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"a frame with two", faces{likeness: alike(), selfie: engine.ErrManyFaces}, func(c api.Challenge) *api.Liveness { return sequence(c, 15, nil) }, engine.Config{}, api.CannotTell, api.ReasonLivenessIncomplete},
		{"finding breaks", faces{likeness: alike(), selfie: broken}, func(c api.Challenge) *api.Liveness { return sequence(c, 15, nil) }, engine.Config{}, api.CannotTell, api.ReasonEngineError},
		{"finding panics", faces{likeness: alike(), selfie: errPanic}, func(c api.Challenge) *api.Liveness { return sequence(c, 15, nil) }, engine.Config{}, api.CannotTell, api.ReasonEngineError},
		{"a frame that is no picture", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			return sequence(c, 15, func(i int, f *api.Frame) {
				if i == 3 {
					f.Image = []byte("<svg/>")
				}
			})
		}, engine.Config{}, api.Fail, api.ReasonImageUnreadable},
		{"a challenge that was not drawn", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness {
			c.Actions = []string{"look_straight"}
			return sequence(c, 15, nil)
		}, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
		{"more than fit", faces{likeness: alike()}, func(c api.Challenge) *api.Liveness { return sequence(c, api.MaxFrames+1, nil) }, engine.Config{}, api.Fail, api.ReasonLivenessReplayed},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := engine.New(zones{zone: goodZone()}, k.faces, k.cfg)
			rep, err := v.Match(t.Context(), &api.MatchRequest{References: list("r1"), LivenessMode: api.LivenessActive, Liveness: k.live(drawn(t, v))})
			if err != nil {
				t.Fatal(err)
			}
			var names []string
			for _, c := range rep.Checks {
				names = append(names, c.Name)
			}
			if want := []string{"selfie", "face_match", "liveness", "liveness_frames", "liveness_actions", "liveness_depth", "liveness_same_face"}; !slices.Equal(names, want) {
				t.Fatalf("checks %v", names)
			}
			if rep.Verdict == api.Pass || rep.Checks[2].Outcome != k.outcome || rep.Reason != k.reason {
				t.Errorf("%s, liveness %s, reason %q, want %s %q", rep.Verdict, rep.Checks[2].Outcome, rep.Reason, k.outcome, k.reason)
				for _, c := range rep.Checks {
					t.Logf("%s %s %s", c.Name, c.Outcome, c.Detail)
				}
			}
		})
	}
}

// TestPassive: passive never passes by itself, and where the operator lets it, only
// without a cue.
func TestPassive(t *testing.T) {
	quiet, framed := image.NewRGBA(image.Rect(0, 0, 640, 640)), image.NewRGBA(image.Rect(0, 0, 640, 640))
	r := rand.New(rand.NewPCG(1, 2))
	for y := range 640 {
		for x := range 640 {
			g := byte(100 + r.IntN(40))
			quiet.SetRGBA(x, y, color.RGBA{g, g, g, 255})
			if x > 180 && x < 460 && y > 220 && y < 520 {
				framed.SetRGBA(x, y, color.RGBA{g + 110, g + 110, g + 110, 255})
			} else {
				framed.SetRGBA(x, y, color.RGBA{g, g, g, 255})
			}
		}
	}
	plain, frame := specimen.JPEG(quiet, 90), specimen.JPEG(framed, 90)
	for _, k := range []struct {
		name    string
		selfies [][]byte
		counts  bool
		want    api.Outcome
		reason  string
	}{
		{"by default", [][]byte{plain}, false, api.CannotTell, api.ReasonLivenessWeak},
		{"counts", [][]byte{plain}, true, api.Pass, ""},
		{"counts, a frame round the face", [][]byte{frame}, true, api.Fail, api.ReasonLivenessFailed},
		{"counts, the same twice", [][]byte{plain, specimen.JPEG(quiet, 95)}, true, api.Fail, api.ReasonLivenessFailed},
		{"a frame, by default", [][]byte{frame}, false, api.CannotTell, api.ReasonLivenessWeak},
	} {
		t.Run(k.name, func(t *testing.T) {
			v := engine.New(zones{}, faces{likeness: alike()}, engine.Config{PassiveCounts: k.counts})
			rep, err := v.Match(t.Context(), &api.MatchRequest{References: list("r1"), Selfies: k.selfies, LivenessMode: api.LivenessPassive})
			if err != nil {
				t.Fatal(err)
			}
			if c := rep.Checks[2]; rep.Verdict != k.want || rep.Reason != k.reason || c.Name != api.CheckLiveness || c.Score == nil {
				t.Errorf("%s %q %+v", rep.Verdict, rep.Reason, c)
			}
		})
	}
}

// TestFrameGolden fixes the wire of what is new.
func TestFrameGolden(t *testing.T) {
	v := engine.New(zones{}, faces{}, engine.Config{})
	c := api.Challenge{Nonce: strings.Repeat("0a", 16), Actions: []string{"look_straight", "turn_left", "blink", "turn_right", "look_straight"}, ActionMS: 10000, TotalMS: 60000}
	req := api.FrameRequest{Challenge: c, Frame: api.Frame{Image: shade(1), ReceivedMS: 120, CapturedMS: 0}}
	rep, err := v.Frame(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	req.Frame.Image, req.Earlier = []byte{1, 2}, []json.RawMessage{[]byte(`{"action":0}`)}
	for name, x := range map[string]any{"challenge.json": c, "frame-request.json": req, "frame-report.json": rep,
		"liveness.json": api.Liveness{Challenge: c, Frames: []api.Frame{req.Frame}, Camera: "Integrated Camera"}} {
		got, err := json.MarshalIndent(x, "", "  ")
		if err != nil {
			t.Fatal(err)
		}
		got = append(got, '\n')
		path := filepath.Join("testdata", name)
		if *update {
			if err := os.WriteFile(path, got, 0o644); err != nil {
				t.Fatal(err)
			}
		}
		if want, err := os.ReadFile(path); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s, %v: got\n%s", name, err, got)
		}
	}
}
