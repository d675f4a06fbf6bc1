package material

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"image"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// every is the time between two frames of a played sequence: what a capture page does.
const every = 250 * time.Millisecond

// actor shows itself to the camera. asked is how somebody would hold themselves who
// does what they are asked to, total the time since the start, n the number of the
// frame.
type actor func(asked specimen.Pose, total time.Duration, n uint64) *image.RGBA

// part gives somebody to play: a face, what surrounds it, and the challenge.
type part func(h *specimen.Head, scene uint64, c api.Challenge) actor

// species are the attacks, simple ones first: a printed or shown picture of the
// face, or a recording of it, before the camera or fed in instead of it.
var species = []struct {
	name string
	part part
}{
	{"print-turned-40", flat(1, 0, specimen.Flat{}, specimen.Camera{})},
	{"print-turned-60", flat(1.5, 0, specimen.Flat{}, specimen.Camera{})},
	{"print-turned-70", flat(1.75, 0, specimen.Flat{}, specimen.Camera{})},
	{"print-near", flat(1.5, 0, specimen.Flat{}, specimen.Camera{Near: 2.5})},
	{"print-tilted", flat(1.5, 15, specimen.Flat{}, specimen.Camera{Near: 1.5})},
	{"print-bent", flat(1.3, 0, specimen.Flat{Bend: 100}, specimen.Camera{})},
	{"print-bent-across", flat(1.5, 0, specimen.Flat{Bend: -100}, specimen.Camera{Near: 2})},
	{"print-noisy", flat(1.5, 0, specimen.Flat{}, specimen.Camera{Near: 2, Noise: 12})},
	{"screen", flat(1.5, 0, specimen.Flat{Screen: 1}, specimen.Camera{Near: 2})},
	// Three photos of the person, from the front and from both sides, held up in turn.
	{"prints-swapped", func(h *specimen.Head, scene uint64, _ api.Challenge) actor {
		photo := map[int]*image.RGBA{0: still(h, scene, specimen.Pose{}), 1: still(h, scene, specimen.Pose{Yaw: 30}), -1: still(h, scene, specimen.Pose{Yaw: -30})}
		return func(p specimen.Pose, _ time.Duration, n uint64) *image.RGBA {
			side := 0
			if p.Yaw > 20 {
				side = 1
			} else if p.Yaw < -20 {
				side = -1
			}
			p.Yaw = 0
			return specimen.Flat{Photo: photo[side], Width: 5.9}.Frame(p, specimen.Camera{}, scene, n)
		}
	}},
	// A recording of all actions in a row, over and over.
	{"recording-of-all", func(h *specimen.Head, scene uint64, _ api.Challenge) actor {
		row := []string{api.ActionLeft, api.ActionRight, api.ActionCloser, api.ActionBlink}
		return func(_ specimen.Pose, total time.Duration, n uint64) *image.RGBA {
			at := total + time.Duration(scene%4)*4*time.Second
			return h.Frame(specimen.Act(row[int(at/(4*time.Second))%len(row)], at%(4*time.Second), total), specimen.Camera{}, scene, n)
		}
	}},
	// A recording of another sequence. One in 18 draws is the recorded one by chance,
	// and then it passes; that is known and not tried here.
	{"recording-of-another", func(h *specimen.Head, scene uint64, c api.Challenge) actor {
		r := rand.New(rand.NewPCG(scene, 0xa07e5))
		row := draw(r).Actions
		for slices.Equal(row, c.Actions) {
			row = draw(r).Actions
		}
		return func(_ specimen.Pose, total time.Duration, n uint64) *image.RGBA {
			at := min(int(total/(4*time.Second)), len(row)-1)
			return h.Frame(specimen.Act(row[at], total%(4*time.Second), total), specimen.Camera{}, scene, n)
		}
	}},
	// One picture, encoded anew each time.
	{"frozen", func(h *specimen.Head, scene uint64, _ api.Challenge) actor {
		return func(specimen.Pose, time.Duration, uint64) *image.RGBA {
			return h.Frame(specimen.Pose{}, specimen.Camera{}, scene, 7)
		}
	}},
}

// Species names the attacks that can be rendered.
func Species() []string {
	var out []string
	for _, s := range species {
		out = append(out, s.name)
	}
	return out
}

// still is a photo of the head, for attacks that show one.
func still(h *specimen.Head, scene uint64, p specimen.Pose) *image.RGBA {
	return h.Frame(p, specimen.Camera{W: 960, H: 960, Noise: 0.1}, scene, 1)
}

// flat holds a picture as a head would be held, its turns further times as far and
// tilted by pitch degrees. For a blink the eyes are cut out and shut behind it.
func flat(further, pitch float64, f specimen.Flat, camera specimen.Camera) part {
	return func(h *specimen.Head, scene uint64, _ api.Challenge) actor {
		f := f
		open := still(h, scene, specimen.Pose{})
		f.Width = 5.9
		return func(p specimen.Pose, _ time.Duration, n uint64) *image.RGBA {
			p.Yaw, p.Pitch = p.Yaw*further, p.Pitch+pitch
			if f.Photo = open; p.EyesClosed > 0 {
				f.Photo = still(h, scene, specimen.Pose{EyesClosed: p.EyesClosed})
			}
			return f.Frame(p, camera, scene, n)
		}
	}
}

// alive is the rendered head that does what it is asked for: an injection.
func alive(h *specimen.Head, scene uint64, _ api.Challenge) actor {
	return func(asked specimen.Pose, _ time.Duration, n uint64) *image.RGBA {
		return h.Frame(asked, specimen.Camera{}, scene, n)
	}
}

// draw draws a challenge that the engine could have drawn.
func draw(r *rand.Rand) api.Challenge {
	all := []string{api.ActionLeft, api.ActionRight, api.ActionCloser, api.ActionBlink}
	for {
		nonce := make([]byte, 16)
		for i := range nonce {
			nonce[i] = byte(r.UintN(256))
		}
		c := api.Challenge{Nonce: hex.EncodeToString(nonce), Actions: []string{api.ActionStraight, all[r.IntN(4)], all[r.IntN(4)], all[r.IntN(4)], api.ActionStraight},
			ActionMS: liveness.ActionTime.Milliseconds(), TotalMS: liveness.TotalTime.Milliseconds()}
		if liveness.Drawn(c) {
			return c
		}
	}
}

func (w *writer) attacks() {
	for i, s := range species {
		if len(w.Species) > 0 && !slices.Contains(w.Species, s.name) {
			continue
		}
		w.Progress("attacks: " + s.name)
		w.cases("attacks/"+s.name, uint64(i+1), s.part)
	}
}

func (w *writer) bonaFide() {
	w.Progress("bona_fide: rendered heads")
	w.cases("bona_fide", 0, alive)
}

// actors are the test faces whose mesh makes a fair head; the others look aside.
var actors = []string{"1c", "3a", "3b", "3c", "5b", "5c", "5e", "6a", "6b", "6c", "6d"}

// cases plays one sequence of each of Count faces.
func (w *writer) cases(folder string, n uint64, play part) {
	for k := range w.Count {
		list := slices.DeleteFunc(slices.Clone(w.faces), func(f specimen.Face) bool { return !slices.Contains(actors, f.Name) })
		if len(list) == 0 || !w.ok() {
			return
		}
		f := list[(int(n)+k)%len(list)]
		mesh, err := w.tools.Mesh(f.Selfie())
		if err != nil {
			w.err = fmt.Errorf("face %s: %w", f.Name, err)
			return
		}
		head, err := specimen.NewHead(f.Selfie(), mesh)
		if err != nil {
			w.err = err
			return
		}
		scene := w.Seed<<16 + 100*n + uint64(k)
		c := draw(rand.New(rand.NewPCG(scene, 0xc4a11)))
		w.play(fmt.Sprintf("%s/%02d", folder, k+1), c, play(head, scene, c))
	}
}

// play shows an actor to the engine as a capture page would, and writes the frames
// that the engine wants kept, until it says that the sequence is over.
func (w *writer) play(folder string, c api.Challenge, act actor) {
	type shot struct {
		File       string `json:"file"`
		Action     int    `json:"action"`
		ReceivedMS int64  `json:"received_ms"`
		CapturedMS int64  `json:"captured_ms"`
	}
	list := []shot{}
	var earlier []json.RawMessage
	action, since, n := 0, time.Duration(0), uint64(0)
	for at := time.Duration(0); at <= time.Duration(c.TotalMS)*time.Millisecond && w.ok(); at += every {
		n++
		f := api.Frame{Image: specimen.JPEG(act(specimen.Act(c.Actions[action], at-since, at), at, n), 88), Action: action, ReceivedMS: at.Milliseconds() + 120, CapturedMS: at.Milliseconds()}
		rep, err := w.tools.Frame(w.ctx, &api.FrameRequest{Challenge: c, Frame: f, Earlier: earlier})
		if err != nil {
			w.err = err
			return
		}
		// What ended it is evidence as well, and there is at least one frame.
		if rep.Keep || len(list) == 0 || rep.Over && len(list) < api.MaxFrames {
			s := shot{fmt.Sprintf("frame-%02d.jpg", len(list)+1), f.Action, f.ReceivedMS, f.CapturedMS}
			list = append(list, s)
			w.file(folder+"/"+s.File, f.Image)
		}
		if rep.Keep {
			earlier = append(earlier, rep.Measure)
		}
		if rep.Over {
			break
		}
		if rep.Done {
			if action++; action == len(c.Actions) {
				break
			}
			since = at
		}
	}
	w.json(folder+"/challenge.json", c)
	w.json(folder+"/frames.json", map[string]any{"camera": "Integrated Camera", "frames": list})
}

// slower is how many times as long somebody takes for an action of Actions as for
// one of a sequence: whoever looks at every frame sees small steps.
const slower = 1.5

// Actions writes the frames of a head, or of a picture that is held and turned as
// one, by action: ACTION-NN.jpg, a frame every quarter of a second, each action
// done twice in twelve seconds. Whoever is asked for an action twice goes on where
// the first time ended: no frame may be shown again.
//
// Nobody knows when a frame will be shown, and after which other one. So no two
// are held alike, however far apart they are.
func Actions(ctx context.Context, photo image.Image, mesh []specimen.Point3, flatPicture bool, seed uint64, write func(name string, jpeg []byte) error) error {
	head, err := specimen.NewHead(photo, mesh)
	if err != nil {
		return err
	}
	act := alive(head, seed, api.Challenge{})
	if flatPicture {
		act = flat(1.5, 0, specimen.Flat{}, specimen.Camera{})(head, seed, api.Challenge{})
	}
	once := time.Duration(slower * float64(4*time.Second))
	n, total := seed<<16, time.Duration(0)
	for _, action := range []string{api.ActionStraight, api.ActionLeft, api.ActionRight, api.ActionCloser, api.ActionBlink} {
		for i := range int(2 * once / every) {
			if err := ctx.Err(); err != nil {
				return err
			}
			n, total = n+1, total+every
			since := time.Duration(i) * every % once // done again, as far as the first time
			p := specimen.Act(action, time.Duration(float64(since)/slower), total)
			p.X, p.Y = p.X+aside*spread(n, 0.7548776662466927), p.Y+aside*spread(n, 0.5698402909980532)
			if err := write(fmt.Sprintf("%s-%02d.jpg", action, i+1), specimen.JPEG(act(p, total, n), 88)); err != nil {
				return err
			}
		}
	}
	return nil
}

const aside = 0.09 // distances between the eyes

// spread gives numbers from -1 to 1 of which those with near n are far apart. In
// two dimensions the steps are powers of the inverse of the plastic number.
func spread(n uint64, step float64) float64 {
	_, f := math.Modf(float64(n%(1<<16)) * step)
	return 2*f - 1
}
