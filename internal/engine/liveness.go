package engine

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"runtime/debug"
	"slices"
	"sync"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
)

// Sides of frames, in pixels: to which they are shrunk, and what they must have.
const (
	frameSide  = 800
	frameLong  = 480
	frameShort = 360
)

// MaxFrame bounds the file of one frame, bytes.
const MaxFrame = 2 << 20

// compared is how many frontal frames of a sequence are compared; all must match.
const compared = 3

var livenessChecks = map[string][]string{
	api.LivenessPassive: {api.CheckLiveness},
	api.LivenessActive:  {api.CheckLiveness, api.CheckLivenessFrames, api.CheckLivenessActions, api.CheckLivenessDepth, api.CheckLivenessSameFace},
}

// Challenge draws what one person is asked to do in one session. The error is the
// random source's.
func (v *Verifier) Challenge(context.Context) (*api.Challenge, error) {
	c, err := liveness.Draw()
	if err != nil {
		return nil, err
	}
	return &c, nil
}

// Frame says what to tell the person after one frame. The error is the context's.
func (v *Verifier) Frame(ctx context.Context, req *api.FrameRequest) (*api.FrameReport, error) {
	lost := func(reason string) (*api.FrameReport, error) {
		return &api.FrameReport{Hint: api.HintNoFace, Over: true, Reason: reason}, nil
	}
	if v.faces == nil {
		return lost(api.ReasonModelsMissing)
	}
	if !liveness.Drawn(req.Challenge) || len(req.Earlier) > api.MaxFrames {
		return lost(api.ReasonInvalidRequest)
	}
	earlier := make([]liveness.Measure, len(req.Earlier))
	for i, b := range req.Earlier {
		m, err := liveness.ParseMeasure(b)
		if err != nil {
			return lost(api.ReasonInvalidRequest)
		}
		earlier[i] = m
	}
	img, err := v.decodeFrame(ctx, req.Frame)
	var bad *pictureError
	if errors.As(err, &bad) {
		return lost(bad.reason)
	}
	if err != nil {
		return nil, err
	}
	next := func(m *liveness.Measure, hint string) *api.FrameReport {
		rep := liveness.Next(req.Challenge, v.cfg.Limits, earlier, req.Frame, m, hint)
		return &rep
	}
	seen, err := v.faces.Observe(img)
	switch {
	case errors.Is(err, ErrNoFace):
		return next(nil, api.HintNoFace), ctx.Err()
	case errors.Is(err, ErrManyFaces):
		return next(nil, api.HintManyFaces), ctx.Err()
	}
	var m liveness.Measure
	if err == nil {
		m, err = liveness.Measured(img, seen.Face, req.Frame)
	}
	if err != nil {
		v.cfg.Log.Error("engine: frame", "error", err)
		return lost(api.ReasonEngineError)
	}
	rep := next(&m, "")
	if rep.Keep {
		if rep.Measure, err = json.Marshal(m); err != nil {
			return lost(api.ReasonEngineError)
		}
	}
	return rep, ctx.Err()
}

// alive carries out the checks of liveness and gives the pictures whose faces are
// to be compared: the selfies, or the best frontal frames of the sequence. frames
// says that they are those. The error is the context's.
func (r *run) alive(ctx context.Context, mode string, selfies [][]byte, given *api.Liveness) (pictures [][]byte, frames bool, err error) {
	switch mode {
	case api.LivenessPassive:
		return selfies, false, r.passive(ctx, selfies)
	case api.LivenessActive:
		if given == nil {
			given = &api.Liveness{}
		}
		pictures, err = r.active(ctx, *given)
		return pictures, true, err
	}
	return selfies, false, nil
}

// frame is one frame of a sequence as the engine sees it.
type frame struct {
	shot liveness.Shot
	face Face
	err  error // of the picture, of Faces, or the context's
}

// active judges a sequence, all of it from its pictures.
func (r *run) active(ctx context.Context, given api.Liveness) ([][]byte, error) {
	list := given.Frames[:min(len(given.Frames), api.MaxFrames)]
	if len(list) == 0 {
		r.check(api.CheckLivenessFrames, func() finding {
			return finding{outcome: api.CannotTell, reason: api.ReasonLivenessIncomplete, detail: "There are no frames."}
		})
		return nil, nil
	}
	seen := make([]frame, len(list))
	r.check(api.CheckLivenessFrames, func() finding {
		var wg sync.WaitGroup
		next := make(chan int)
		for range 2 {
			wg.Go(func() {
				for i := range next {
					seen[i] = r.v.frame(ctx, list[i])
				}
			})
		}
		for i := range list {
			next <- i
		}
		close(next)
		wg.Wait()
		return finding{}
	})
	delete(r.found, api.CheckLivenessFrames)
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	var shots []liveness.Shot
	for i, f := range seen {
		if f.err != nil {
			r.check(api.CheckLivenessFrames, func() finding { return r.frameFinding(f.err) })
			return nil, nil
		}
		r.examined(api.Evidence{Type: "frame"}, list[i].Image)
		shots = append(shots, f.shot)
	}
	if !liveness.Drawn(given.Challenge) || len(given.Frames) > api.MaxFrames {
		r.check(api.CheckLivenessFrames, func() finding {
			return finding{outcome: api.Fail, reason: api.ReasonLivenessReplayed, detail: "The frames are not for a challenge of this engine."}
		})
		return nil, nil
	}
	var verdict liveness.Verdict
	r.check(api.CheckLivenessDepth, func() finding {
		verdict = liveness.Judge(given.Challenge, r.v.cfg.Limits, shots, given.Camera, r.v.cfg.AllowVirtualCameras)
		return fromLiveness(verdict.Depth)
	})
	r.check(api.CheckLivenessFrames, func() finding { return fromLiveness(verdict.Frames) })
	r.check(api.CheckLivenessActions, func() finding { return fromLiveness(verdict.Actions) })
	var pictures [][]byte
	for _, i := range verdict.Frontal[:min(len(verdict.Frontal), compared)] {
		pictures = append(pictures, list[i].Image)
	}
	r.check(api.CheckLivenessSameFace, func() finding { return r.sameFace(seen, verdict.Frontal) })
	return pictures, nil
}

func (v *Verifier) decodeFrame(ctx context.Context, f api.Frame) (*image.RGBA, error) {
	if len(f.Image) > MaxFrame {
		return nil, &pictureError{api.ReasonImageTooLarge, "A frame has more than 2 MB."}
	}
	return v.pictures.decode(ctx, f.Image, frameSide, frameLong, frameShort)
}

// frame decodes, finds and describes. It runs beside its caller's goroutine, where
// nobody else would catch a panic.
func (v *Verifier) frame(ctx context.Context, f api.Frame) (out frame) {
	defer func() {
		if p := recover(); p != nil {
			out.err = fmt.Errorf("panic: %T\n%s", p, debug.Stack())
		}
	}()
	var img *image.RGBA
	var seen Seen
	if img, out.err = v.decodeFrame(ctx, f); out.err != nil {
		return out
	}
	if seen, out.err = v.faces.Observe(img); out.err != nil {
		return out
	}
	if out.shot, out.err = liveness.NewShot(img, seen.Face, f); out.err != nil {
		return out
	}
	out.face, out.err = v.faces.Describe(img, seen)
	return out
}

func (r *run) frameFinding(err error) finding {
	if f, ok := pictureFinding(err); ok {
		return f
	}
	switch {
	case errors.Is(err, ErrNoFace):
		return finding{outcome: api.CannotTell, reason: api.ReasonLivenessIncomplete, detail: "A frame shows no face."}
	case errors.Is(err, ErrManyFaces):
		return finding{outcome: api.CannotTell, reason: api.ReasonLivenessIncomplete, detail: "A frame shows more than one person."}
	}
	return r.internal(api.CheckLivenessFrames, err)
}

func fromLiveness(f liveness.Finding) finding {
	return finding{outcome: f.Outcome, reason: f.Reason, detail: f.Detail, score: ptr(round(f.Score)), threshold: ptr(round(f.Threshold))}
}

// sameFace holds every frame against the first frontal one. A turned face is less
// like it than a frontal one, so there only what is surely another person counts.
func (r *run) sameFace(seen []frame, frontal []int) finding {
	if len(frontal) == 0 {
		return finding{outcome: api.CannotTell, reason: api.ReasonLivenessIncomplete, detail: "There is no frontal face to compare the frames with."}
	}
	t := r.v.cfg.Thresholds
	first := slices.Min(frontal)
	worst := Likeness{}
	f := finding{outcome: api.Pass, detail: "All frames show one person."}
	for i, s := range seen {
		l, err := r.v.faces.Compare(seen[first].face, s.face)
		if err != nil {
			return r.internal(api.CheckLivenessSameFace, err)
		}
		outcome := t.judge(l)
		if !slices.Contains(frontal, i) {
			outcome = t.judgeTurned(l)
		}
		f.outcome = lesser(f.outcome, outcome)
		if i == 0 || !(l.Fused >= worst.Fused) {
			worst = l
		}
	}
	f.score, f.threshold = ptr(round(Confidence(worst.Fused, worst.HasCosine))), ptr(round(Confidence(t.turnedFused(worst.HasCosine), worst.HasCosine)))
	switch f.outcome {
	case api.Fail:
		f.reason, f.detail = api.ReasonLivenessFailed, "The frames show more than one person."
	case api.CannotTell:
		f.reason, f.detail = api.ReasonLivenessIncomplete, "The frames are not alike enough to be sure that they show one person; do it again in even light."
	}
	return f
}

// sumLiveness makes the check liveness of the checks of a sequence: the worst of
// them, the first of those that are as bad.
func (r *run) sumLiveness() {
	if !slices.Contains(r.names, api.CheckLivenessFrames) {
		return
	}
	sum := finding{outcome: api.Pass, detail: "A living person did what was asked, as far as can be seen: a picture that a program makes and feeds in as the camera's is not excluded."}
	for _, n := range livenessChecks[api.LivenessActive][1:] {
		f, ok := r.found[n]
		if !ok {
			f = finding{outcome: api.CannotTell, reason: api.ReasonLivenessIncomplete, detail: "Not every check of liveness could be carried out."}
		}
		if f.outcome != sum.outcome && lesser(f.outcome, sum.outcome) == f.outcome {
			sum = finding{outcome: f.outcome, reason: f.reason, detail: f.detail}
		}
	}
	r.check(api.CheckLiveness, func() finding { return sum })
}

// passive takes the weak cues of the selfies.
func (r *run) passive(ctx context.Context, selfies [][]byte) error {
	var failed error
	r.check(api.CheckLiveness, func() finding {
		alive := 1.0
		var smalls [][]float64
		for _, b := range selfies {
			img, err := r.v.pictures.decode(ctx, b, selfieSide, r.v.cfg.Thresholds.SelfieShort, r.v.cfg.Thresholds.SelfieShort)
			if err != nil {
				failed = ctx.Err()
				return finding{outcome: api.CannotTell, reason: api.ReasonLivenessWeak, detail: "The selfie cannot be read."}
			}
			seen, err := r.v.faces.Observe(img)
			if err != nil {
				return finding{outcome: api.CannotTell, reason: api.ReasonLivenessWeak, detail: "There is not one face to look at."}
			}
			c, small, err := liveness.Look(img, seen.Face)
			if err != nil {
				return r.internal(api.CheckLiveness, err)
			}
			smalls, alive = append(smalls, small), min(alive, c.Alive())
		}
		alive = min(alive, liveness.Cues{Still: liveness.Still(smalls)}.Alive())
		f := finding{outcome: api.CannotTell, reason: api.ReasonLivenessWeak, score: ptr(round(alive)), threshold: ptr(0.5),
			detail: "Photos alone are weak evidence of a living person and do not carry a pass."}
		switch {
		case len(selfies) == 0 || !r.v.cfg.PassiveCounts:
		case alive > 0.5:
			f.outcome, f.reason, f.detail = api.Pass, "", "No sign of a picture of a picture was seen; the operator takes this weak evidence for enough."
		default:
			f.outcome, f.reason, f.detail = api.Fail, api.ReasonLivenessFailed, "The selfie looks like a picture of a picture."
		}
		return f
	})
	return failed
}
