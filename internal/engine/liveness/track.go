package liveness

import (
	"math"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// maxKept bounds the frames that a track keeps; it needs 21 at most, and some for
// eyes that blink unasked.
const maxKept = 26

// leastKept is what the shortest sequence needs.
const leastKept = 9

// answer is what a track says to one frame.
type answer struct {
	hint             string
	done, keep, over bool
	reason           string
}

// deed is one action as it was done: places of frames in the order in which the
// track took them.
type deed struct {
	action string
	front  int   // the frontal frame before it
	way    []int // frames on the way to the peak, with it, and back
	done   int   // the frame that ended it
}

// track follows one sequence, frame by frame. Its answers follow from the
// challenge and the measures alone, so the verdict repeats what the hints said.
type track struct {
	c     api.Challenge
	l     Limits
	taken int // frames so far, kept or not

	action  int   // that is on the screen
	since   int64 // received time
	begun   int64 // received time of the first frame that was kept
	kept    int
	first   Measure // the last frame of the first look straight
	last    Measure // kept
	front   int     // place of the last frontal frame that was kept
	reached float64 // by the frames of this action that were kept
	way     []int
	peaked  bool
	shut    int64 // captured time since when eyes are shut unasked, -1 if not
	deeds   []deed
	frontal []int
	over    string // reason
	end     bool
}

func newTrack(c api.Challenge, l Limits) *track { return &track{c: c, l: l, shut: -1} }

// take looks at the next frame.
func (t *track) take(m Measure) answer {
	at := t.taken
	t.taken++
	a := t.judge(m, at)
	if a.keep {
		if t.kept == 0 {
			t.begun = m.Received
		}
		t.kept++
		t.last = m
	}
	if a.over {
		t.over = a.reason
	}
	if a.done {
		t.frontal = append(t.frontal, at)
		if s := t.c.Actions[t.action]; s != api.ActionStraight {
			t.deeds = append(t.deeds, deed{s, t.front, t.way, at})
		}
		t.front, t.way, t.peaked, t.reached, t.since = at, nil, false, 0, m.Received
		t.action++
		t.end = t.action == len(t.c.Actions)
	}
	return a
}

func over(hint string) answer {
	return answer{hint: hint, over: true, keep: true, reason: api.ReasonLivenessIncomplete}
}

func (t *track) judge(m Measure, at int) answer {
	switch {
	case t.over != "":
		return answer{hint: api.HintGood, over: true, reason: t.over}
	case t.end || m.Action != t.action: // late, of the action before
		return answer{hint: api.HintGood}
	case t.late(m.Received), t.kept >= maxKept:
		return over(api.HintGood)
	}
	action := t.c.Actions[t.action]
	if hint := t.picture(m, action); hint != "" {
		return answer{hint: hint}
	}
	if t.action == 0 {
		return t.begin(m)
	}
	// Everything that is not asked for ends the sequence: a recording of all the
	// actions, one after the other, fits no challenge.
	off, growth, frontal := m.Turn-t.first.Turn, m.Eyes/t.first.Eyes, math.Abs(m.Turn-t.first.Turn) <= 1.5*t.l.Neutral
	for _, other := range []float64{1, -1} {
		if other != side(action) && t.peak(m, other) {
			return over(api.HintOtherWay)
		}
	}
	if action != api.ActionCloser && frontal && growth >= t.l.Closer {
		return over(api.HintTooNear)
	}
	if action != api.ActionBlink {
		if a, ok := t.lids(m, frontal); ok {
			return a
		}
	}
	if !t.near(m) {
		return answer{hint: api.HintSlower}
	}
	neutral := math.Abs(off) <= t.l.Neutral && growth <= t.l.NeutralScale && growth >= 1/t.l.NeutralScale &&
		math.Abs(m.Pitch) <= t.l.Pitch && m.Sharp >= t.l.SharpStraight && m.shut(t.first) <= t.l.Open
	switch action {
	case api.ActionLeft, api.ActionRight:
		return t.turn(m, at, side(action)*off, side(action), neutral)
	case api.ActionCloser:
		return t.closer(at, growth, frontal, neutral)
	case api.ActionBlink:
		switch {
		case frontal && m.shut(t.first) >= t.l.Shut && !t.peaked:
			t.peaked, t.way = true, append(t.way, at)
			return answer{hint: api.HintOpenEyes, keep: true}
		case t.peaked && neutral:
			return answer{hint: api.HintGood, keep: true, done: true}
		case t.peaked && m.shut(t.first) > t.l.Open:
			return answer{hint: api.HintOpenEyes}
		case !neutral && !t.peaked && m.shut(t.first) <= t.l.Open:
			return answer{hint: api.HintLookStraight}
		}
		return answer{hint: api.HintGood}
	}
	if !neutral { // the last look straight
		return answer{hint: api.HintLookStraight}
	}
	return answer{hint: api.HintGood, keep: true, done: true}
}

// late reports whether the time for the action or for all of them is over. The
// first look straight has all the time it takes.
func (t *track) late(received int64) bool {
	return t.action > 0 && !t.end && (received-t.since > t.c.ActionMS || received-t.begun > t.c.TotalMS)
}

// picture says what is wrong with the frame as a picture, if anything is.
func (t *track) picture(m Measure, action string) string {
	long := float64(max(m.Width, m.Height))
	aside := math.Abs(m.X/float64(m.Width)-0.5) > t.l.Aside || math.Abs(m.Y/float64(m.Height)-0.5) > t.l.Aside+0.1
	switch {
	case m.Eyes < t.l.Far*long:
		return api.HintTooFar
	case m.Eyes > t.l.Near*long && action != api.ActionCloser:
		return api.HintTooNear
	case m.Eyes*t.l.Closer > 1.1*t.l.Near*long && t.action == 0: // no room to come closer
		return api.HintTooNear
	case aside:
		return api.HintOffCentre
	case m.Bright < t.l.Dark:
		return api.HintTooDark
	case m.Bright > t.l.Bright || m.Clipped > t.l.Clipped:
		return api.HintTooBright
	case m.Sharp < t.l.Sharp:
		return api.HintBlurred
	}
	return ""
}

// begin is the first look straight: two frames that agree on what open eyes are.
func (t *track) begin(m Measure) answer {
	if math.Abs(m.Turn) > t.l.Straight || math.Abs(m.Yaw) > t.l.StraightYaw || math.Abs(m.Pitch) > t.l.Pitch {
		return answer{hint: api.HintLookStraight}
	}
	if m.Sharp < t.l.SharpStraight {
		return answer{hint: api.HintHold}
	}
	again := t.kept > 0 && m.shut(t.first) <= t.l.Open && t.first.shut(m) <= t.l.Open &&
		math.Abs(m.Turn-t.first.Turn) <= t.l.Neutral && t.near(m)
	t.first = m
	return answer{hint: api.HintHold, keep: true, done: again}
}

// near reports whether the face is where it can have come from the last place.
func (t *track) near(m Measure) bool {
	seconds := max(float64(m.Captured-t.last.Captured)/1000, 0)
	return math.Hypot(m.X-t.last.X, m.Y-t.last.Y)/t.first.Eyes <= t.l.StepPlace*(1+seconds)
}

func (t *track) peak(m Measure, side float64) bool {
	return side*m.Turn >= t.l.Peak && side*m.Yaw >= t.l.PeakYaw && side*(m.Turn-t.first.Turn) >= t.l.PeakOff
}

// lids follows eyes that are shut unasked. One blink is nobody's fault.
func (t *track) lids(m Measure, frontal bool) (answer, bool) {
	shut := frontal && m.shut(t.first) >= t.l.Shut
	switch {
	case shut && t.shut < 0:
		t.shut = m.Captured
		return answer{hint: api.HintOpenEyes, keep: true}, true
	case shut && m.Captured-t.shut >= t.l.ShutMS:
		return over(api.HintOpenEyes), true
	case shut:
		return answer{hint: api.HintOpenEyes}, true
	case t.shut >= 0:
		t.shut = -1
		return answer{hint: api.HintGood, keep: true}, true
	}
	return answer{}, false
}

// turn follows a turn: by small steps to the peak, and back.
func (t *track) turn(m Measure, at int, off, side float64, neutral bool) answer {
	switch {
	case t.peaked && neutral:
		return answer{hint: api.HintGood, keep: true, done: true}
	case t.peaked && off <= t.reached-2*t.l.KeepTurn && off >= t.l.Turned:
		t.reached, t.way = off, append(t.way, at)
		return answer{hint: api.HintLookStraight, keep: true}
	case t.peaked:
		return answer{hint: api.HintLookStraight}
	case side*m.Turn > t.l.Beyond:
		return answer{hint: api.HintTurnLess}
	case off > t.reached+t.l.StepTurn:
		return answer{hint: api.HintSlower}
	case t.peak(m, side) && len(t.way) > 0:
		t.peaked, t.reached, t.way = true, off, append(t.way, at)
		return answer{hint: api.HintLookStraight, keep: true}
	case off >= t.reached+t.l.KeepTurn:
		t.reached, t.way = off, append(t.way, at)
		return answer{hint: api.HintTurnMore, keep: true}
	case off < -t.l.Neutral:
		return answer{hint: api.HintOtherWay}
	}
	return answer{hint: api.HintTurnMore}
}

// closer follows come_closer in the same way.
func (t *track) closer(at int, growth float64, frontal, neutral bool) answer {
	reached := max(t.reached, 1)
	switch {
	case t.peaked && neutral:
		return answer{hint: api.HintGood, keep: true, done: true}
	case t.peaked && frontal && growth <= reached/t.l.KeepScale && growth >= 1.5*t.l.NeutralScale-0.5:
		t.reached, t.way = growth, append(t.way, at)
		return answer{hint: api.HintTooNear, keep: true}
	case t.peaked:
		return answer{hint: api.HintTooNear}
	case !frontal:
		return answer{hint: api.HintLookStraight}
	case growth > reached*t.l.StepScale:
		return answer{hint: api.HintSlower}
	case growth >= t.l.Closer && len(t.way) > 0:
		t.peaked, t.reached, t.way = true, growth, append(t.way, at)
		return answer{hint: api.HintTooNear, keep: true}
	case growth >= reached*t.l.KeepScale:
		t.reached, t.way = growth, append(t.way, at)
		return answer{hint: api.HintCloser, keep: true}
	}
	return answer{hint: api.HintCloser}
}

// Next says what to tell the person after a frame. earlier are the measures of
// the frames that were kept before it; m is nil where there was no one face to
// measure, and hint says so.
func Next(c api.Challenge, l Limits, earlier []Measure, at api.Frame, m *Measure, hint string) api.FrameReport {
	t := newTrack(c, l)
	for _, e := range earlier {
		t.take(e)
	}
	a := answer{hint: hint}
	if m != nil {
		a = t.take(*m)
	} else if t.over == "" && t.late(at.ReceivedMS) {
		a.over, a.reason = true, api.ReasonLivenessIncomplete
	}
	return api.FrameReport{Hint: a.hint, Done: a.done, Keep: a.keep, Over: a.over, Reason: a.reason}
}
