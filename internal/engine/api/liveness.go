package api

import "encoding/json"

// Actions that a challenge may ask for. Left and right are the person's own: who
// turns left looks to the right edge of a picture that is not mirrored.
const (
	ActionStraight = "look_straight"
	ActionLeft     = "turn_left"
	ActionRight    = "turn_right"
	ActionCloser   = "come_closer"
	ActionBlink    = "blink" // close both eyes for a moment and open them
)

// Challenge is what one person is asked to do in one session, drawn at random by
// the engine (POST /v1/challenge). Whoever runs the session keeps it, shows one
// action at a time, and hands it back with every frame. It is good for one
// session; nothing about it is secret once it is shown.
type Challenge struct {
	Nonce    string   `json:"nonce"`     // 32 hex digits
	Actions  []string `json:"actions"`   // in order; the first and the last are look_straight
	ActionMS int64    `json:"action_ms"` // time for one action, milliseconds
	TotalMS  int64    `json:"total_ms"`  // time from the first frame to the last
}

// Frame is one picture of a sequence, as the server received it.
type Frame struct {
	Image      []byte `json:"image"`       // JPEG, not mirrored
	Action     int    `json:"action"`      // place in Challenge.Actions that was on the screen
	ReceivedMS int64  `json:"received_ms"` // by the server's clock, since it gave out the challenge
	CapturedMS int64  `json:"captured_ms"` // by the camera's clock, since its first frame
}

// Liveness is the evidence for liveness_mode active. The face that counts is the
// one in these frames; a request that has them has no selfies besides.
type Liveness struct {
	Challenge Challenge `json:"challenge"`
	Frames    []Frame   `json:"frames"`           // in the order of receipt, at most MaxFrames
	Camera    string    `json:"camera,omitempty"` // what the browser calls the camera; a known virtual one is refused
}

// MaxFrames bounds a sequence. A caller that has more keeps those for which
// FrameReport.Keep was true.
const MaxFrames = 40

// FrameRequest asks what to tell the person while the sequence is being taken. It
// gives no verdict: that rests on the frames themselves, all of them together.
type FrameRequest struct {
	Challenge Challenge         `json:"challenge"`
	Frame     Frame             `json:"frame"`
	Earlier   []json.RawMessage `json:"earlier,omitempty"` // FrameReport.Measure of the frames kept so far, in order
}

// FrameReport is the answer. Hint is for the action of the frame.
type FrameReport struct {
	Hint    string          `json:"hint"`              // one of the Hint constants
	Done    bool            `json:"done"`              // the action is done: show the next one
	Keep    bool            `json:"keep"`              // this frame is evidence; others may be thrown away
	Over    bool            `json:"over"`              // the sequence cannot pass any more: draw a new challenge
	Reason  string          `json:"reason,omitempty"`  // of this package, with Over
	Measure json.RawMessage `json:"measure,omitempty"` // to hand back in Earlier; personal data like the frame
}

// Hints say what to do better, or that all is well.
const (
	HintGood         = "good" // go on with what the action asks for
	HintHold         = "hold_still"
	HintNoFace       = "no_face"
	HintManyFaces    = "many_faces"
	HintTooFar       = "too_far"
	HintTooNear      = "too_near"
	HintOffCentre    = "off_centre"
	HintTooDark      = "too_dark"
	HintTooBright    = "too_bright"
	HintBlurred      = "blurred"
	HintTurnMore     = "turn_more"
	HintTurnLess     = "turn_less"
	HintOtherWay     = "other_way"
	HintLookStraight = "look_straight"
	HintOpenEyes     = "open_eyes"
	HintCloser       = "closer"
	HintSlower       = "slower" // the way there was not seen: back to the start, and slowly
)
