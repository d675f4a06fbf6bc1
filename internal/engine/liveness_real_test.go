package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

var liveAll = flag.Bool("live-all", false, "every face and every attack on liveness: about a quarter of an hour")

// headOf builds a head of a test face.
func headOf(t testing.TB, f specimen.Face) *specimen.Head {
	t.Helper()
	seen, err := engine.ObserveForTest(t, f.Selfie())
	if err != nil {
		t.Fatal(err)
	}
	mesh := make([]specimen.Point3, len(seen))
	for i, p := range seen {
		mesh[i] = specimen.Point3(p)
	}
	h, err := specimen.NewHead(f.Selfie(), mesh)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// actor shows itself to the camera: what it does when it is asked for action,
// since then, and in all.
type actor func(action string, since, total time.Duration) *image.RGBA

// session plays one sequence against the engine, as the page and its server do,
// a frame every 250 ms, and gives the frames that were kept, and how it ended.
func session(t testing.TB, v *engine.Verifier, c api.Challenge, act actor) (live api.Liveness, end string) {
	t.Helper()
	live = api.Liveness{Challenge: c, Camera: "Integrated Camera"}
	var earlier []json.RawMessage
	action, since := 0, time.Duration(0)
	for at := time.Duration(0); at < 45*time.Second; at += 250 * time.Millisecond {
		f := api.Frame{Image: specimen.JPEG(act(c.Actions[action], at-since, at), 88), Action: action, ReceivedMS: at.Milliseconds() + 120, CapturedMS: at.Milliseconds()}
		rep, err := v.Frame(context.Background(), &api.FrameRequest{Challenge: c, Frame: f, Earlier: earlier})
		if err != nil {
			t.Fatal(err)
		}
		if rep.Keep {
			live.Frames, earlier = append(live.Frames, f), append(earlier, rep.Measure)
		}
		if rep.Over {
			return live, "over at " + rep.Hint
		}
		if rep.Done {
			if action++; action == len(c.Actions) {
				return live, "to the end"
			}
			since = at
		}
	}
	return live, "no end"
}

// turnable are the test faces that look ahead far enough to be turned.
func turnable(faces []specimen.Face) []specimen.Face {
	return slices.DeleteFunc(slices.Clone(faces), func(f specimen.Face) bool { return f.Name == "1a" || f.Name == "5a" || f.Name == "5d" })
}

// alive gives the check liveness of a sequence, and the whole report.
func alive(t testing.TB, v *engine.Verifier, live api.Liveness) (api.Check, *api.Report) {
	t.Helper()
	rep, err := v.Match(context.Background(), &api.MatchRequest{References: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: &live})
	if err != nil {
		t.Fatal(err)
	}
	return rep.Checks[2], rep
}

func livenessOf(rep *api.Report) string {
	var line []string
	for _, k := range rep.Checks[2:] {
		s := k.Name + " " + string(k.Outcome)
		if k.Score != nil {
			s += fmt.Sprintf(" %.2f", *k.Score)
		}
		line = append(line, s)
	}
	return strings.Join(line, ", ")
}

// TestRealAttacks plays every attack against the whole engine. With -live-all it
// does so with every face and prints how many passed; by default each attack is
// tried with one face in turn.
func TestRealAttacks(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	v, all := real(t, models.SetFull)
	faces := turnable(all)
	passed, tried := map[string]int{}, map[string]int{}
	heads := map[string]*specimen.Head{}
	for i, name := range slices.Sorted(maps.Keys(attacks(nil, 0))) {
		for k, f := range faces {
			if !*liveAll && (k != 2*i%len(faces) || !slices.Contains(quick, name)) {
				continue
			}
			if heads[f.Name] == nil {
				heads[f.Name] = headOf(t, f)
			}
			live, story := session(t, v, drawn(t, v), attacks(heads[f.Name], uint64(k))[name])
			check, rep := alive(t, v, live)
			tried[name]++
			if !strings.Contains(name, "recording") && rep.Checks[5].Outcome == api.Pass {
				t.Errorf("%s of face %s: a picture is solid", name, f.Name)
			}
			t.Logf("%s, face %s, %v: %d frames, %s; %s", name, f.Name, live.Challenge.Actions[1:4], len(live.Frames), story, livenessOf(rep))
			if check.Outcome == api.Pass {
				passed[name]++
				t.Errorf("%s of face %s passed", name, f.Name)
			}
		}
	}
	for name, n := range tried {
		t.Logf("APCER %-18s %d of %d", name, passed[name], n)
	}
}

// quick are the attacks that are tried every time.
var quick = []string{"flat near", "bent far", "recording 0", "swapped"}

// TestRealHead plays rendered heads: injections that succeed, and reported as
// such. What is done to their frames afterwards must not pass.
func TestRealHead(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	v, all := real(t, models.SetFull)
	faces := turnable(all)
	if !*liveAll {
		faces = slices.DeleteFunc(faces, func(f specimen.Face) bool { return f.Name != "3b" && f.Name != "6a" })
	}
	n := uint64(0)
	passed := map[string]api.Liveness{}
	var order []string
	for i, f := range faces {
		h := headOf(t, f)
		c := drawn(t, v)
		c.Actions = []string{api.ActionStraight, api.ActionLeft, api.ActionBlink, api.ActionRight, api.ActionStraight}
		live, story := session(t, v, c, func(action string, since, total time.Duration) *image.RGBA {
			n++
			return h.Frame(specimen.Act(action, since, total), specimen.Camera{}, uint64(i), n)
		})
		check, rep := alive(t, v, live)
		t.Logf("head %s: %s, %d frames, %s; %s", f.Name, check.Outcome, len(live.Frames), story, livenessOf(rep))
		if check.Outcome == api.Pass {
			passed[f.Name] = live
			order = append(order, f.Name)
		}
	}
	t.Logf("%d of %d rendered heads passed: injections that succeeded", len(passed), len(faces))
	if len(order) < 2 {
		t.Fatal("no sequences to attack with")
	}
	good, other := passed[order[0]], passed[order[len(order)-1]] // of two people: the last is of another photo
	changed := func(change func(l *api.Liveness)) api.Liveness {
		l := good
		l.Frames = slices.Clone(good.Frames)
		change(&l)
		return l
	}
	again := func(b []byte, quality int) []byte {
		img, _, err := image.Decode(bytes.NewReader(b))
		if err != nil {
			t.Fatal(err)
		}
		return specimen.JPEG(img, quality)
	}
	last := len(good.Frames) - 1
	for _, k := range []struct {
		name, reason string
		live         api.Liveness
	}{
		{"for another challenge", api.ReasonLivenessIncomplete, changed(func(l *api.Liveness) {
			l.Challenge.Actions = []string{api.ActionStraight, api.ActionRight, api.ActionBlink, api.ActionLeft, api.ActionStraight}
		})},
		// Whoever sits very still looks as before, too: it does not pass, and is no replay.
		{"the first frame again at the end, encoded anew", "", changed(func(l *api.Liveness) { l.Frames[last].Image = again(l.Frames[0].Image, 70) })},
		{"the first frame again at the end", api.ReasonLivenessReplayed, changed(func(l *api.Liveness) { l.Frames[last].Image = l.Frames[0].Image })},
		{"without the ways", "", changed(func(l *api.Liveness) {
			l.Frames = slices.DeleteFunc(l.Frames, func(f api.Frame) bool { return f.Action == 1 })
		})},
		{"backwards", "", changed(func(l *api.Liveness) {
			for i := range l.Frames {
				l.Frames[i].Image = good.Frames[last-i].Image
			}
		})},
		{"slower than allowed", "", changed(func(l *api.Liveness) {
			for i := range l.Frames {
				l.Frames[i].ReceivedMS *= 5
				l.Frames[i].CapturedMS *= 5
			}
		})},
		{"a virtual camera", api.ReasonLivenessReplayed, changed(func(l *api.Liveness) { l.Camera = "fake_device_0" })},
		{"somebody else turns", "", changed(func(l *api.Liveness) {
			theirs := slices.DeleteFunc(slices.Clone(other.Frames), func(f api.Frame) bool { return f.Action != 1 })
			l.Frames = slices.Concat(l.Frames[:2], theirs, slices.DeleteFunc(slices.Clone(good.Frames), func(f api.Frame) bool { return f.Action < 2 }))
		})},
	} {
		check, rep := alive(t, v, k.live)
		t.Logf("%s: %s", k.name, livenessOf(rep))
		if strings.HasSuffix(k.name, "encoded anew") && rep.Checks[3].Outcome != api.CannotTell {
			t.Errorf("%s: %+v", k.name, rep.Checks[3])
		}
		if k.name == "somebody else turns" && rep.Checks[6].Outcome == api.Pass {
			t.Errorf("they are taken for one person: %+v", rep.Checks[6])
		}
		if check.Outcome == api.Pass || rep.Verdict == api.Pass || k.reason != "" && rep.Reason != k.reason {
			t.Errorf("%s: %s, %q, want %q", k.name, check.Outcome, rep.Reason, k.reason)
		}
	}

	// The whole way: a passport, and the sequence in place of a selfie.
	f, _ := specimen.FindFace(all, order[0])
	front, _ := specimen.Passport(f.Portrait()).Render()
	req := &api.VerifyRequest{DocumentFront: jpeg(specimen.Photograph(front, 0, 1)), LivenessMode: api.LivenessActive, Liveness: &good, Templates: true}
	start := time.Now()
	rep, err := v.Verify(t.Context(), req)
	if err != nil {
		t.Fatal(err)
	}
	t.Logf("passport and %d frames: %s %s in %v", len(good.Frames), rep.Verdict, rep.Reason, time.Since(start))
	for _, k := range rep.Checks {
		t.Logf("   %s %s %.0f ms", k.Name, k.Outcome, k.DurationMS)
	}
	if rep.Verdict != api.Pass || rep.Templates == nil || !slices.ContainsFunc(good.Frames, func(f api.Frame) bool { return bytes.Equal(f.Image, rep.Selfie) }) {
		t.Errorf("%s %s", rep.Verdict, rep.Reason)
	}
	frames := 0
	for _, e := range rep.Evidence {
		if e.Type == "frame" {
			frames++
		}
	}
	if frames != len(good.Frames) {
		t.Errorf("%d frames in the evidence of %d", frames, len(good.Frames))
	}
	// Another person's sequence with that passport.
	req.Liveness = &other
	if rep, err = v.Verify(t.Context(), req); err != nil || rep.Verdict != api.Fail || rep.Reason != api.ReasonFaceMismatch || rep.Templates != nil {
		t.Errorf("another person: %s %s, %v", rep.Verdict, rep.Reason, err)
	}
}

// attacks are the ways in which somebody without the person tries.
func attacks(h *specimen.Head, scene uint64) map[string]actor {
	n := uint64(0)
	var straight *image.RGBA
	if h != nil { // nil asks for the names
		straight = h.Frame(specimen.Pose{}, specimen.Camera{W: 960, H: 960, Noise: 0.1}, scene, 1)
	}
	turned := func(yaw float64) *image.RGBA {
		return h.Frame(specimen.Pose{Yaw: yaw}, specimen.Camera{W: 960, H: 960, Noise: 0.1}, scene, 1)
	}
	// flat holds a picture as a head would be held, its turns k times as far, and
	// tilted by pitch.
	flat := func(f specimen.Flat, cam specimen.Camera, k, pitch float64) actor {
		f.Width = 5.9
		return func(action string, since, total time.Duration) *image.RGBA {
			n++
			p := specimen.Act(action, since, total)
			p.Yaw, p.Pitch = p.Yaw*k, p.Pitch+pitch
			if p.EyesClosed > 0 { // eyes cut out of the picture, and shut behind it
				g := f
				g.Photo = h.Frame(specimen.Pose{EyesClosed: p.EyesClosed}, specimen.Camera{W: 960, H: 960, Noise: 0.1}, scene, 1)
				return g.Frame(p, cam, scene, n)
			}
			return f.Frame(p, cam, scene, n)
		}
	}
	std := specimen.Camera{}
	out := map[string]actor{
		"flat 40":     flat(specimen.Flat{Photo: straight}, std, 1, 0),
		"flat 60":     flat(specimen.Flat{Photo: straight}, std, 1.5, 0),
		"flat 70":     flat(specimen.Flat{Photo: straight}, std, 1.75, 0),
		"flat near":   flat(specimen.Flat{Photo: straight}, specimen.Camera{Near: 2.5}, 1.5, 0),
		"flat up":     flat(specimen.Flat{Photo: straight}, specimen.Camera{Near: 1.5}, 1.5, 15),
		"bent":        flat(specimen.Flat{Photo: straight, Bend: 100}, std, 1.3, 0),
		"bent far":    flat(specimen.Flat{Photo: straight, Bend: 160}, specimen.Camera{Near: 1.5}, 1.2, 0),
		"bent across": flat(specimen.Flat{Photo: straight, Bend: -100}, specimen.Camera{Near: 2}, 1.5, 0),
		"screen":      flat(specimen.Flat{Photo: straight, Screen: 1}, specimen.Camera{Near: 2}, 1.5, 0),
		"noisy":       flat(specimen.Flat{Photo: straight}, specimen.Camera{Near: 2, Noise: 12}, 1.5, 0),
		// Three photos of the person, held up in turn.
		"swapped": func(action string, since, total time.Duration) *image.RGBA {
			n++
			p := specimen.Act(action, since, total)
			photo := straight
			if p.Yaw > 20 {
				photo = turned(30)
			} else if p.Yaw < -20 {
				photo = turned(-30)
			}
			p.Yaw = 0
			return specimen.Flat{Photo: photo, Width: 5.9}.Frame(p, std, scene, n)
		},
		// The picture is turned, and at the peak swapped for one from the side.
		"turned, swapped": func(action string, since, total time.Duration) *image.RGBA {
			n++
			p := specimen.Act(action, since, total)
			photo := straight
			if p.Yaw > 30 {
				photo, p.Yaw = turned(25), 10
			} else if p.Yaw < -30 {
				photo, p.Yaw = turned(-25), -10
			}
			return specimen.Flat{Photo: photo, Width: 5.9}.Frame(p, std, scene, n)
		},
	}
	// A recording of all the actions in a row, over and over, from any place.
	row := []string{"turn_left", "turn_right", "come_closer", "blink"}
	for i := range 2 {
		out[fmt.Sprint("recording ", i)] = func(_ string, _, total time.Duration) *image.RGBA {
			n++
			at := total + time.Duration(i)*8*time.Second
			k := int(at/(4*time.Second)) % len(row)
			return h.Frame(specimen.Act(row[k], at%(4*time.Second), total), std, scene, n)
		}
	}
	// A recording of another challenge.
	out["recording 2"] = func(_ string, _, total time.Duration) *image.RGBA {
		n++
		list := []string{"look_straight", "turn_right", "come_closer", "turn_right", "look_straight"}
		at := total
		k := min(int(at/(4*time.Second)), len(list)-1)
		return h.Frame(specimen.Act(list[k], at%(4*time.Second), total), std, scene, n)
	}
	// A frozen picture, encoded again and again.
	out["frozen"] = func(string, time.Duration, time.Duration) *image.RGBA {
		return h.Frame(specimen.Pose{}, std, scene, 7)
	}
	return out
}

// BenchmarkRealActive judges one sequence that passes.
func BenchmarkRealActive(b *testing.B) {
	v, faces := real(b, models.SetFull)
	f, _ := specimen.FindFace(faces, "6a")
	h := headOf(b, f)
	c, err := v.Challenge(context.Background())
	if err != nil {
		b.Fatal(err)
	}
	n := uint64(0)
	live, _ := session(b, v, *c, func(action string, since, total time.Duration) *image.RGBA {
		n++
		return h.Frame(specimen.Act(action, since, total), specimen.Camera{}, 1, n)
	})
	b.ReportMetric(float64(len(live.Frames)), "frames")
	for b.Loop() {
		alive(b, v, live)
	}
}
