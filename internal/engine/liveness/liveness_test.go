package liveness_test

import (
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
)

// TestDraw: every sequence comes up about as often as every other, and holds what
// the package says.
func TestDraw(t *testing.T) {
	const draws = 18 * 300
	seen, nonces, both := map[string]int{}, map[string]bool{}, 0
	for range draws {
		c, err := liveness.Draw()
		if err != nil || !liveness.Drawn(c) {
			t.Fatalf("%+v, %v", c, err)
		}
		if nonces[c.Nonce] {
			t.Fatal("a nonce came twice")
		}
		nonces[c.Nonce] = true
		if c.Actions[0] != api.ActionStraight || c.Actions[4] != api.ActionStraight || len(c.Actions) != 5 {
			t.Fatalf("%v", c.Actions)
		}
		left, right := slices.Contains(c.Actions, api.ActionLeft), slices.Contains(c.Actions, api.ActionRight)
		if !left && !right {
			t.Fatalf("no turn: %v", c.Actions)
		}
		if left && right {
			both++
		}
		seen[fmt.Sprint(c.Actions)]++
	}
	if len(seen) != 18 {
		t.Fatalf("%d sequences", len(seen))
	}
	chi := 0.0
	for _, n := range seen {
		chi += (float64(n) - 300) * (float64(n) - 300) / 300
	}
	if chi > 60 { // 17 degrees of freedom: less than one run in a million
		t.Errorf("not equally likely: %v", seen)
	}
	if share := float64(both) / draws; share < 0.7 {
		t.Errorf("turns to both sides in %.2f", share)
	}
}

func TestDrawn(t *testing.T) {
	good, err := liveness.Draw()
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(*api.Challenge){
		"nonce":        func(c *api.Challenge) { c.Nonce = "00" },
		"nonce no hex": func(c *api.Challenge) { c.Nonce = c.Nonce[:31] + "x" },
		"time":         func(c *api.Challenge) { c.ActionMS *= 2 },
		"total":        func(c *api.Challenge) { c.TotalMS = 0 },
		"none":         func(c *api.Challenge) { c.Actions = nil },
		"all straight": func(c *api.Challenge) { c.Actions = slices.Repeat([]string{api.ActionStraight}, 5) },
		"one turn": func(c *api.Challenge) {
			c.Actions = []string{api.ActionStraight, api.ActionBlink, api.ActionLeft, api.ActionBlink, api.ActionStraight}
		},
		"unknown": func(c *api.Challenge) {
			c.Actions = []string{api.ActionStraight, api.ActionLeft, "nod", api.ActionRight, api.ActionStraight}
		},
	} {
		c := good
		c.Actions = slices.Clone(good.Actions)
		change(&c)
		if liveness.Drawn(c) {
			t.Errorf("%s: %+v", name, c)
		}
	}
}

func challenge(actions ...string) api.Challenge {
	c, err := liveness.Draw()
	if err != nil {
		panic(err)
	}
	c.Actions = slices.Concat([]string{api.ActionStraight}, actions, []string{api.ActionStraight})
	return c
}

// at is a measure of a face that looks straight, changed.
func at(action int, ms int64, change func(*liveness.Measure)) liveness.Measure {
	lids := make([]byte, 256)
	for i := range lids {
		lids[i] = byte(100 + 100*((i/3)%2))
	}
	m := liveness.Measure{Action: action, Received: ms, Captured: ms, Width: 640, Height: 480, Eyes: 90, X: 320, Y: 220, Opening: 0.3, Lids: lids, Sharp: 60, Bright: 120}
	if change != nil {
		change(&m)
	}
	return m
}

func turned(a float64) func(*liveness.Measure) {
	return func(m *liveness.Measure) { m.Turn, m.Yaw = a, 50*a }
}

func grown(k float64) func(*liveness.Measure) { return func(m *liveness.Measure) { m.Eyes *= k } }

func shut(m *liveness.Measure) {
	m.Opening *= 0.7
	for i := range m.Lids {
		m.Lids[i] = byte(100 + 100*((i/5)%2))
	}
}

// TestNext follows whole sequences: each step is a measure and what must be said.
func TestNext(t *testing.T) {
	type step struct {
		change func(*liveness.Measure)
		want   string // hint, with + kept, ! done, x over
	}
	same := func(m *liveness.Measure) {}
	begin := []step{{same, "hold_still+"}, {same, "hold_still+!"}}
	left := []step{{turned(0.1), "turn_more+"}, {turned(0.3), "turn_more+"}, {turned(0.5), "look_straight+"}, {turned(0.4), "look_straight"}, {turned(0.28), "look_straight+"}, {same, "good+!"}}
	right := []step{{turned(-0.15), "turn_more+"}, {turned(-0.4), "turn_more+"}, {turned(-0.6), "look_straight+"}, {same, "good+!"}}
	near := []step{{grown(1.2), "closer+"}, {grown(1.4), "too_near+"}, {grown(1.3), "too_near"}, {grown(1.1), "good+!"}}
	blink := []step{{same, "good"}, {shut, "open_eyes+"}, {shut, "open_eyes"}, {same, "good+!"}}
	last := []step{{same, "good+!"}}
	const L, R, C, B = api.ActionLeft, api.ActionRight, api.ActionCloser, api.ActionBlink
	for _, k := range []struct {
		name  string
		c     api.Challenge
		steps [][]step
	}{
		{"all well", challenge(L, C, R), [][]step{begin, left, near, right, last}},
		{"with a blink", challenge(R, B, L), [][]step{begin, right, blink, left, last}},
		{"turned at first", challenge(L, R, B), [][]step{{{turned(0.4), "look_straight"}, {same, "hold_still+"}, {shut, "hold_still+"}, {same, "hold_still+"}, {same, "hold_still+!"}}, left}},
		{"the other way", challenge(L, R, B), [][]step{begin, {{turned(-0.3), "other_way"}, {turned(-0.5), "other_way+x"}}}},
		{"a turn for a blink", challenge(B, L, R), [][]step{begin, {{turned(0.3), "look_straight"}, {turned(0.5), "other_way+x"}}}},
		{"closer for a turn", challenge(L, R, C), [][]step{begin, {{grown(1.3), "turn_more"}, {grown(1.4), "too_near+x"}}}},
		{"shut for a turn", challenge(L, R, C), [][]step{begin, {{shut, "open_eyes+"}, {shut, "open_eyes"}, {shut, "open_eyes+x"}}}},
		{"one blink is nobody's fault", challenge(L, R, C), [][]step{begin, slices.Concat([]step{{shut, "open_eyes+"}, {same, "good+"}}, left)}},
		{"a picture swapped for one from the side", challenge(L, R, C), [][]step{begin, {{turned(0.55), "slower"}, {turned(0.6), "slower"}}}},
		{"swapped on the way", challenge(L, R, C), [][]step{begin, {{turned(0.12), "turn_more+"}, {turned(0.7), "slower"}}}},
		{"near at once", challenge(L, C, L), [][]step{begin, left, {{grown(1.5), "slower"}}}},
		{"too far round", challenge(L, R, C), [][]step{begin, {{turned(0.3), "turn_more+"}, {turned(1.3), "turn_less"}, {turned(0.6), "look_straight+"}}}},
		{"elsewhere at once", challenge(L, R, C), [][]step{begin, {{func(m *liveness.Measure) { m.X += 150 }, "slower"}}}},
		{"pictures", challenge(L, R, C), [][]step{{
			{func(m *liveness.Measure) { m.Eyes = 40 }, "too_far"}, {func(m *liveness.Measure) { m.Eyes = 260 }, "too_near"}, {func(m *liveness.Measure) { m.X = 40 }, "off_centre"},
			{func(m *liveness.Measure) { m.Bright = 20 }, "too_dark"}, {func(m *liveness.Measure) { m.Bright = 240 }, "too_bright"}, {func(m *liveness.Measure) { m.Clipped = 0.6 }, "too_bright"},
			{func(m *liveness.Measure) { m.Sharp = 5 }, "blurred"}, {func(m *liveness.Measure) { m.Sharp = 18 }, "hold_still"}, {func(m *liveness.Measure) { m.Pitch = 40 }, "look_straight"}}}},
		{"too late", challenge(L, R, C), [][]step{begin, {{func(m *liveness.Measure) { m.Received += 11000 }, "good+x"}}}},
		{"late of the action before", challenge(L, R, C), [][]step{begin, {{func(m *liveness.Measure) { m.Action = 0 }, "good"}, {func(m *liveness.Measure) { m.Action = 2 }, "good"}}}},
	} {
		t.Run(k.name, func(t *testing.T) {
			var kept []liveness.Measure
			ms := int64(0)
			for action, steps := range k.steps {
				for i, s := range steps {
					ms += 260
					m := at(action, ms, s.change)
					rep := liveness.Next(k.c, liveness.DefaultLimits(), kept, api.Frame{ReceivedMS: m.Received}, &m, "")
					got := rep.Hint
					for _, mark := range []struct {
						is   bool
						sign string
					}{{rep.Keep, "+"}, {rep.Done, "!"}, {rep.Over, "x"}} {
						if mark.is {
							got += mark.sign
						}
					}
					if got != s.want || rep.Over != (rep.Reason != "") {
						t.Fatalf("action %d, step %d: %s %s, want %s", action, i, got, rep.Reason, s.want)
					}
					if rep.Keep {
						kept = append(kept, m)
					}
				}
			}
			if len(kept) > 24 {
				t.Errorf("%d frames", len(kept))
			}
		})
	}
	t.Run("nobody there, in time and too late", func(t *testing.T) {
		first, second := at(0, 0, nil), at(0, 300, nil)
		kept := []liveness.Measure{first, second}
		for ms, over := range map[int64]bool{5000: false, 20000: true} {
			rep := liveness.Next(challenge(L, R, C), liveness.DefaultLimits(), kept, api.Frame{ReceivedMS: ms}, nil, api.HintNoFace)
			if rep.Hint != api.HintNoFace || rep.Over != over || rep.Keep || rep.Done {
				t.Errorf("%+v", rep)
			}
		}
	})
}

// TestRecordings: whatever fixed sequence a recording holds, it ends every challenge
// but its own before the end.
func TestRecordings(t *testing.T) {
	all := map[string]api.Challenge{}
	for len(all) < 18 {
		c, err := liveness.Draw()
		if err != nil {
			t.Fatal(err)
		}
		all[fmt.Sprint(c.Actions)] = c
	}
	bump := func(k float64) float64 { return max(0, 1-math.Abs(k-8)/8) } // over 16 frames
	recorded := func(action string, i int) func(*liveness.Measure) {
		switch k := bump(float64(i)); action {
		case api.ActionLeft:
			return turned(0.6 * k)
		case api.ActionRight:
			return turned(-0.6 * k)
		case api.ActionCloser:
			return grown(1 + 0.5*k)
		case api.ActionBlink:
			if k > 0.7 {
				return shut
			}
		}
		return nil
	}
	for name, recording := range all {
		fits := 0
		for asked, c := range all {
			var kept []liveness.Measure
			action, ended := 0, false
			for f := range 16 * 5 {
				m := at(action, int64(250*f), recorded(recording.Actions[f/16], f%16))
				rep := liveness.Next(c, liveness.DefaultLimits(), kept, api.Frame{ReceivedMS: m.Received}, &m, "")
				if rep.Keep {
					kept = append(kept, m)
				}
				if rep.Over {
					break
				}
				if rep.Done {
					if action++; action == len(c.Actions) {
						ended = true
						break
					}
				}
			}
			if ended {
				fits++
				if asked != name {
					t.Errorf("%s passes for %s", name, asked)
				}
			}
		}
		if fits != 1 {
			t.Errorf("%s fits %d challenges", name, fits)
		}
	}
}

// TestParseMeasure: what was measured comes back; what nobody measured does not.
func TestParseMeasure(t *testing.T) {
	m := at(2, 500, turned(0.2))
	b, err := json.Marshal(m)
	if err != nil {
		t.Fatal(err)
	}
	got, err := liveness.ParseMeasure(b)
	if err != nil || got.Turn != m.Turn || got.Action != 2 || len(got.Lids) != 256 {
		t.Errorf("%+v, %v", got, err)
	}
	for _, bad := range []string{``, `null`, `{}`, `[]`, `{"turn":"x"}`, string(b[:50])} {
		if _, err := liveness.ParseMeasure([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

// face is a mesh of a face in a picture of noise, with nothing of anybody in it.
func face(seed uint64) (*image.RGBA, liveness.Face) {
	r := rand.New(rand.NewPCG(seed, 7))
	img := image.NewRGBA(image.Rect(0, 0, 640, 480))
	for i := range img.Pix {
		img.Pix[i] = byte(r.IntN(256))
	}
	f := liveness.Face{EyeDistance: 90, Sharpness: 80, Brightness: 120}
	for range 468 {
		f.Mesh = append(f.Mesh, liveness.Point{X: 240 + 160*r.Float64(), Y: 180 + 200*r.Float64(), Z: 60 * r.Float64()})
	}
	for i, x := range map[int]float64{33: 255, 133: 295, 362: 345, 263: 385} {
		f.Mesh[i] = liveness.Point{X: x, Y: 220}
	}
	return img, f
}

// TestNoFace: what no detector would say is an error, never a measure.
func TestNoFace(t *testing.T) {
	img, good := face(1)
	for name, change := range map[string]func(*liveness.Face){
		"no mesh":       func(f *liveness.Face) { f.Mesh = nil },
		"half a mesh":   func(f *liveness.Face) { f.Mesh = f.Mesh[:200] },
		"NaN":           func(f *liveness.Face) { f.Yaw = math.NaN() },
		"point NaN":     func(f *liveness.Face) { f.Mesh[17].Z = math.NaN() },
		"point far":     func(f *liveness.Face) { f.Mesh[17].X = 1e9 },
		"infinite":      func(f *liveness.Face) { f.Asymmetry = math.Inf(1) },
		"no eyes":       func(f *liveness.Face) { f.EyeDistance = 0 },
		"negative eyes": func(f *liveness.Face) { f.EyeDistance = -4 },
	} {
		bad := good
		bad.Mesh = slices.Clone(good.Mesh)
		change(&bad)
		if _, err := liveness.Measured(img, bad, api.Frame{}); err == nil {
			t.Errorf("%s is measured", name)
		}
		if _, err := liveness.NewShot(img, bad, api.Frame{}); err == nil {
			t.Errorf("%s is a shot", name)
		}
		if _, _, err := liveness.Look(img, bad); err == nil {
			t.Errorf("%s is looked at", name)
		}
	}
}

// TestOutsideThePicture: a face that the detector puts beside the picture, or of
// any shape, breaks nothing and passes nothing.
func TestOutsideThePicture(t *testing.T) {
	c := challenge(api.ActionLeft, api.ActionRight, api.ActionLeft)
	for seed := range uint64(3) {
		r := rand.New(rand.NewPCG(seed, 11))
		var shots []liveness.Shot
		for i := range 20 {
			img, f := face(seed*100 + uint64(i))
			f.Asymmetry, f.Yaw = r.NormFloat64()*0.5, r.NormFloat64()*30
			for k := range f.Mesh {
				f.Mesh[k].X += 400 * (r.Float64() - 0.5)
				f.Mesh[k].Y -= 3000 * float64(seed%3)
			}
			s, err := liveness.NewShot(img, f, api.Frame{Image: []byte{byte(i)}, Action: i / 4, ReceivedMS: int64(i * 300), CapturedMS: int64(i * 300)})
			if err != nil {
				t.Fatal(err)
			}
			shots = append(shots, s)
		}
		v := liveness.Judge(c, liveness.DefaultLimits(), shots, "", false)
		if v.Actions.Outcome == api.Pass || v.Depth.Outcome == api.Pass {
			t.Errorf("%+v", v)
		}
	}
	if v := liveness.Judge(c, liveness.DefaultLimits(), nil, "", false); v.Frames.Outcome == api.Pass || v.Actions.Outcome == api.Pass || v.Depth.Outcome == api.Pass {
		t.Errorf("nothing at all: %+v", v)
	}
}

func TestVirtualCameras(t *testing.T) {
	for name, known := range map[string]bool{"OBS Virtual Camera": true, "ManyCam Virtual Webcam": true, "Snap Camera": true, "XSplit VCam": true, "Dummy video device (0x0000)": true,
		"mmhmm": true, "CamTwist": true, "e2eSoft iVCam": true, "fake_device_0": true, "obs-camera": true, "Integrated Camera": false, "FaceTime HD Camera": false, "camera2 1, facing front": false,
		"HD Pro Webcam C920": false, "Front Camera": false, "": false} {
		_, f := face(3)
		img, _ := face(4)
		s, err := liveness.NewShot(img, f, api.Frame{Image: []byte{1}})
		if err != nil {
			t.Fatal(err)
		}
		shots := []liveness.Shot{s}
		got := liveness.Judge(challenge(api.ActionLeft, api.ActionRight, api.ActionLeft), liveness.DefaultLimits(), shots, name, false).Frames
		if (got.Reason == api.ReasonLivenessReplayed) != known {
			t.Errorf("%q: %+v", name, got)
		}
		if got := liveness.Judge(challenge(api.ActionLeft, api.ActionRight, api.ActionLeft), liveness.DefaultLimits(), shots, name, true).Frames; got.Reason == api.ReasonLivenessReplayed {
			t.Errorf("%q, allowed: %+v", name, got)
		}
	}
}

// FuzzNext: measures from outside, whatever they say, are refused or lead to a
// hint that holds together.
func FuzzNext(f *testing.F) {
	for _, m := range []liveness.Measure{at(0, 0, nil), at(1, 900, turned(0.5)), at(2, 2000, shut)} {
		b, _ := json.Marshal(m)
		f.Add(b, b, int64(3000))
	}
	c := challenge(api.ActionLeft, api.ActionBlink, api.ActionRight)
	f.Fuzz(func(t *testing.T, first, second []byte, ms int64) {
		var earlier []liveness.Measure
		for _, b := range [][]byte{first, first, second, second} {
			if m, err := liveness.ParseMeasure(b); err == nil {
				earlier = append(earlier, m)
			}
		}
		for action := range 5 {
			m := at(action, ms, nil)
			rep := liveness.Next(c, liveness.DefaultLimits(), earlier, api.Frame{ReceivedMS: ms}, &m, "")
			if rep.Hint == "" || rep.Over != (rep.Reason != "") || rep.Over && rep.Done || rep.Done && !rep.Keep {
				t.Errorf("%+v", rep)
			}
		}
	})
}
