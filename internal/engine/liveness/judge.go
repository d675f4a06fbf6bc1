package liveness

import (
	"cmp"
	"crypto/sha256"
	"image"
	"math"
	"slices"
	"strings"
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Shot is one frame of a sequence, ready to be judged.
type Shot struct {
	measure Measure
	view    view
	small   []float64 // the whole picture, smallW x smallH cells
	sum     [sha256.Size]byte
}

// A picture is brought to this size to be compared with another one.
const smallW, smallH = 96, 72

// NewShot takes what there is to know from a frame with exactly one face. The
// error says that the face is none a detector could have found.
func NewShot(img *image.RGBA, f Face, from api.Frame) (Shot, error) {
	if err := f.valid(); err != nil {
		return Shot{}, err
	}
	p := cut(img, f.frame())
	s := Shot{measure: measure(img.Rect, p, f, from), sum: sha256.Sum256(from.Image), small: shrink(img)}
	s.view = newView(p, f)
	return s, nil
}

// shrink gives the mean luma of smallW x smallH cells.
func shrink(img *image.RGBA) []float64 {
	sum, n := make([]float64, smallW*smallH), make([]float64, smallW*smallH)
	b := img.Rect
	for y := range b.Dy() {
		row := img.Pix[y*img.Stride:]
		for x := range b.Dx() {
			i := y*smallH/b.Dy()*smallW + x*smallW/b.Dx()
			sum[i] += 0.299*float64(row[x*4]) + 0.587*float64(row[x*4+1]) + 0.114*float64(row[x*4+2])
			n[i]++
		}
	}
	for i := range sum {
		sum[i] /= max(n[i], 1)
	}
	return sum
}

// Finding is what one check of a sequence came to. Reason is empty exactly where
// Outcome is pass.
type Finding struct {
	Outcome          api.Outcome
	Reason, Detail   string
	Score, Threshold float64
}

// Verdict is what a sequence came to, as far as this package can say: whose face
// it is, is for others.
type Verdict struct {
	Frames, Actions, Depth Finding
	Frontal                []int // places of frontal frames, sharpest first; empty where the actions say nothing
}

// Judge judges a sequence. camera is what the browser calls the camera;
// virtual allows those that are known to be no camera.
func Judge(c api.Challenge, l Limits, shots []Shot, camera string, virtual bool) Verdict {
	t := newTrack(c, l)
	var v Verdict
	for i, s := range shots {
		t.take(s.measure)
		if t.over != "" {
			shots = shots[:i+1]
			break
		}
	}
	v.Frames = frames(c, l, shots, camera, virtual)
	v.Actions = actions(t)
	if len(shots) == 0 || t.action == 0 {
		v.Depth = incomplete("There is nothing to see depth in.")
		return v
	}
	v.Frontal = slices.Clone(t.frontal)
	slices.SortStableFunc(v.Frontal, func(a, b int) int {
		return cmp.Compare(shots[b].measure.Sharp, shots[a].measure.Sharp)
	})
	v.Depth = depth(l, t.deeds, shots)
	return v
}

func incomplete(detail string) Finding {
	return Finding{Outcome: api.CannotTell, Reason: api.ReasonLivenessIncomplete, Detail: detail}
}

// frames judges the frames as what a camera gives. What a slow network, a turned
// phone or somebody who sits very still may do as well is no replay: then it cannot
// be told, and the person may begin anew.
func frames(c api.Challenge, l Limits, shots []Shot, camera string, virtual bool) Finding {
	bad := func(detail string) Finding {
		return Finding{Outcome: api.Fail, Reason: api.ReasonLivenessReplayed, Detail: detail, Score: 0, Threshold: leastKept}
	}
	if !virtual && virtualCamera(camera) {
		return bad("The frames come from a program that poses as a camera.")
	}
	seen := map[[sha256.Size]byte]bool{}
	for i, s := range shots {
		if seen[s.sum] {
			return bad("A frame was sent twice.")
		}
		seen[s.sum] = true
		if i == 0 {
			continue
		}
		a, b, first := shots[i-1].measure, s.measure, shots[0].measure
		switch {
		case b.Width != first.Width || b.Height != first.Height:
			return incomplete("The frames differ in size: the camera or the phone was turned meanwhile.")
		case b.Captured-a.Captured < l.Gap:
			return bad("The frames follow each other faster than they are taken.")
		case b.Received < a.Received:
			return bad("The frames did not arrive in their order.")
		case math.Abs(float64(b.Received-first.Received)-float64(b.Captured-first.Captured)) > float64(l.Drift):
			return incomplete("The frames arrived too unevenly for the time at which the camera took them.")
		case b.Received-first.Received > c.TotalMS:
			return incomplete("The sequence took too long.")
		}
		for _, earlier := range shots[:i] {
			if b.Captured-earlier.measure.Captured >= 1000 && difference(earlier.small, s.small) < l.Same {
				return incomplete("A picture came back that looks like one before.")
			}
		}
	}
	if len(shots) < leastKept {
		f := incomplete("There are too few frames.")
		f.Score, f.Threshold = float64(len(shots)), leastKept
		return f
	}
	return Finding{Outcome: api.Pass, Detail: "The frames are distinct and arrived as a camera takes them.", Score: float64(len(shots)), Threshold: leastKept}
}

// difference is the mean difference of two small pictures, grey levels.
func difference(a, b []float64) float64 {
	sum := 0.0
	for i := range a {
		sum += math.Abs(a[i] - b[i])
	}
	return sum / float64(len(a))
}

func actions(t *track) Finding {
	f := Finding{Outcome: api.Pass, Detail: "Every action was done, in its order and time, and on a way that was seen.", Score: float64(t.action), Threshold: float64(len(t.c.Actions))}
	switch {
	case t.over != "":
		f.Outcome, f.Reason = api.Fail, t.over
		f.Detail = "Something else was done than was asked for, or too late."
	case !t.end:
		f.Outcome, f.Reason = api.CannotTell, api.ReasonLivenessIncomplete
		f.Detail = "Not every action was done."
	}
	return f
}

// depth judges every turn and every coming closer; the least of them decides. The
// score is that of the least turn.
func depth(l Limits, deeds []deed, shots []Shot) Finding {
	type job struct {
		deed int
		how  solidity
		move float64 // asymmetry off the front, or growth less 1
		view view
		r    relief
		ok   bool
	}
	var jobs []*job
	for i, d := range deeds {
		front := shots[d.front].measure
		for _, k := range d.way {
			m := shots[k].measure
			if off := side(d.action) * (m.Turn - front.Turn); off >= l.Turned {
				jobs = append(jobs, &job{deed: i, how: turned, move: off, view: shots[k].view})
			}
			if growth := m.Eyes / front.Eyes; d.action == api.ActionCloser && growth >= l.Grown {
				jobs = append(jobs, &job{deed: i, how: closer, move: growth - 1, view: shots[k].view})
			}
		}
	}
	each(len(jobs), func(i int) {
		j := jobs[i]
		defer func() {
			if recover() != nil { // in a goroutine of ours nobody else would catch it
				j.ok = false
			}
		}()
		j.r, j.ok = compare(shots[deeds[j.deed].front].view, j.view, j.how)
	})
	worst := Finding{Outcome: api.Pass, Detail: "The face moved as a solid head does.", Threshold: l.Depth}
	turns := 0
	for i, d := range deeds {
		var depths []float64
		flat := false
		for _, j := range jobs {
			switch {
			case j.deed != i || !j.ok || j.r.solid < l.Readable:
			case j.how == turned:
				deep := side(d.action) * j.r.depth.x / j.move
				depths = append(depths, deep)
				flat = flat || j.move >= l.Farther && j.r.sheet >= l.FlatSheet && deep < l.LeastDeep
			case j.how == closer:
				spread := j.r.near / j.move
				depths = append(depths, spread)
				flat = flat || j.r.sheet >= l.Sheet && spread < l.LeastSpread
			}
		}
		var got Finding
		switch {
		case side(d.action) != 0:
			got = solid(depths, 2, l.Depth, flat)
			if turns++; turns == 1 || got.Score < worst.Score {
				worst.Score = got.Score
			}
		case d.action == api.ActionCloser:
			got = solid(depths, 1, l.Spread, flat)
		default:
			continue // a blink shows no depth
		}
		if rank(got.Outcome) < rank(worst.Outcome) {
			worst.Outcome, worst.Reason, worst.Detail = got.Outcome, got.Reason, got.Detail
		}
	}
	if turns == 0 && worst.Outcome == api.Pass {
		worst.Outcome, worst.Reason, worst.Detail = api.CannotTell, api.ReasonLivenessIncomplete, "No turn was seen that depth could be judged by."
	}
	return worst
}

// solid judges the depths of one action: the middle one must reach least, and
// there must be enough of them. flat is evidence to the contrary.
func solid(depths []float64, enough int, least float64, flat bool) Finding {
	f := Finding{Outcome: api.Pass}
	if len(depths) > 0 {
		slices.Sort(depths)
		f.Score = depths[(len(depths)-1)/2]
	}
	switch {
	case flat:
		f.Outcome, f.Reason, f.Detail = api.Fail, api.ReasonLivenessFailed, "The face moved as a picture of one does, not as a solid head."
	case len(depths) < enough || f.Score < least:
		f.Outcome, f.Reason, f.Detail = api.CannotTell, api.ReasonLivenessIncomplete, "Whether the face is solid could not be seen well enough; do it again more slowly, in even light."
	}
	return f
}

func rank(o api.Outcome) int {
	return slices.Index([]api.Outcome{api.Fail, api.CannotTell, api.Pass}, o)
}

// each calls f for 0 to n-1, two at a time.
func each(n int, f func(int)) {
	var wg sync.WaitGroup
	next := make(chan int)
	for range min(n, 2) {
		wg.Go(func() {
			for i := range next {
				f(i)
			}
		})
	}
	for i := range n {
		next <- i
	}
	close(next)
	wg.Wait()
}

// cameras are parts of names of programs that pose as cameras, in lower case.
// "fake" is what Chromium calls the one it plays files with.
var cameras = []string{"virtual", "obs-", "obs cam", "manycam", "snap camera", "xsplit", "mmhmm", "camtwist", "e2esoft", "vcam", "ecamm",
	"v4l2loopback", "dummy video", "fake", "splitcam", "webcamoid", "youcam", "chromacam", "altercam", "avatarify", "facerig", "animaze",
	"ndi video", "screen capture", "sparkocam", "deepface", "unity video"}

// virtualCamera reports whether a camera's name is that of such a program. Names
// can be changed: one that is not known says nothing.
func virtualCamera(name string) bool {
	name = strings.ToLower(name)
	return slices.ContainsFunc(cameras, func(c string) bool { return strings.Contains(name, c) })
}
