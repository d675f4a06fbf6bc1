package kosmos

import (
	"bytes"
	"cmp"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/seal"
)

// A live sequence shows that a living person is in front of the camera: the
// engine draws what they are to do, the page shows one action after the other and
// sends what the camera sees, and the engine says what to do better. A proofing
// and a step-up have at most one sequence at a time:
//
//	       begin: challenge drawn
//	          |
//	       running <--+ frame: a hint, or the next action
//	        |   |     |
//	        |   +-----+
//	        |   |
//	        |   +-- too late, something else was done, a frame was seen
//	        |       before, too many frames --> over: nothing is left of it
//	      done
//	        |
//	judged from the frames that were kept, with the verdict or the comparison
//
// The first action is the same in every challenge. Before the first one that was
// drawn is shown an attempt is used up, so that nobody can draw until the
// challenge fits a recording; until then beginning anew costs nothing. What a
// sequence looks like to the engine frame by frame decides nothing but hints and
// which action comes next: the verdict rests on the frames alone.
//
// All of it is in the database, sealed, so that a restarted server goes on where
// it was. A sequence that was done and not judged when the process died is begun
// anew.
//
//	POST {page}/live                   form: camera, the browser's name for it; in the authenticator nonce and,
//	                                   if account_needed, account
//	POST {page}/live/frame?n=N&t=MS    image/jpeg of at most 1.5 MB, not mirrored; n is the index that was
//	                                   shown, t the camera's clock since its first frame
//
// Both answer what the page's other calls answer, and liveAnswer in it. 200 when
// the frame was looked at, is one of another action than the server's, or ended
// the sequence (over, with a reason); 409 upload_running while another one is
// being looked at; 413, 415 and 400 for what is no frame; 429 rate_limited; 503
// where the engine could not look, with the sequence as it was.
const liveSchema = `
CREATE TABLE IF NOT EXISTS live (
	owner   TEXT PRIMARY KEY,      -- id of the proofing or of the step-up
	started INTEGER NOT NULL,      -- when the challenge was given out
	seen    INTEGER NOT NULL,      -- frames received
	last    INTEGER NOT NULL,      -- when the last one was; 0 before the first
	data    BLOB NOT NULL          -- sealed JSON
) STRICT;
CREATE TABLE IF NOT EXISTS frames (
	owner TEXT NOT NULL,
	n     INTEGER NOT NULL,
	data  BLOB NOT NULL,           -- sealed JPEG
	PRIMARY KEY (owner, n)
) STRICT;
CREATE TABLE IF NOT EXISTS marks (
	mark     BLOB PRIMARY KEY,     -- keyed hash of a frame that was kept, whoever sent it
	sequence BLOB NOT NULL,        -- keyed hash of the nonce of its challenge
	at       INTEGER NOT NULL
) STRICT;
CREATE INDEX IF NOT EXISTS marks_by_time ON marks (at);
`

const (
	maxFrame  = 3 << 19                // bytes of one frame
	maxFrames = 300                    // received in one sequence, kept or not
	frameGap  = 100 * time.Millisecond // between two frames, at least

	frameArrives = 15 * time.Second // for one to arrive
	frameLook    = 10 * time.Second // for the engine to look at one

	refuseCamera   = "camera_needed"    // a photo does not replace a sequence
	refuseSequence = "sequence_missing" // there is none, or it is done

	eventLivenessRefused = "KOSMOSCOPE_LIVENESS_REFUSED" // no living person, or frames that were used before
)

// sitting is what a sequence belongs to: a proofing or a step-up.
type sitting struct {
	id    string
	open  func(ctx context.Context, tx *sql.Tx) error  // fails with errState when nothing may be done any more
	count func(ctx context.Context, q *sequence) error // uses up an attempt
}

// sequence is one row of live. It is personal: the measures are of a face.
type sequence struct {
	Challenge api.Challenge `json:"challenge"`
	Camera    string        `json:"camera"`
	Action    int           `json:"action"`  // place in the challenge that is shown; its length once all are done
	Counted   bool          `json:"counted"` // as an attempt
	Frames    []keptFrame   `json:"frames"`
	Bytes     int           `json:"bytes"` // of the frames together

	// Of a step-up: whose face it is to be, the one-time code and the bucket with
	// which the attempt is counted, and what came of that.
	Username string `json:"username,omitempty"`
	Code     string `json:"code,omitempty"`
	Who      []byte `json:"who,omitempty"`
	Round    int    `json:"round,omitempty"`

	started, last time.Time
	seen          int
}

type keptFrame struct {
	Action   int             `json:"action"`
	Received int64           `json:"received"` // milliseconds, as in api.Frame
	Captured int64           `json:"captured"`
	Measure  json.RawMessage `json:"measure,omitempty"`
}

func (q *sequence) done() bool { return q.Action >= len(q.Challenge.Actions) }

// look is what one frame, or a begin, came to.
type look struct {
	*sequence        // nil if there is none
	hint      string // of the engine
	message   string
	over      string // why it is over; empty while it is not
}

// liveAnswer is the part of an answer that is about a sequence. attempts_left
// beside it is what is left after this one, once an action that was drawn is shown.
type liveAnswer struct {
	Actions  int    `json:"actions"` // how many there are
	Action   string `json:"action"`  // to be shown now
	Index    int    `json:"index"`   // its place, from 0
	ActionMS int64  `json:"action_ms"`
	TotalMS  int64  `json:"total_ms"`
	Hint     string `json:"hint"` // for that action
	Done     bool   `json:"done"` // every action is; reason says what speaks against it
	Over     bool   `json:"over"` // the sequence is lost, for reason: begin anew
}

func (l *look) answer() *liveAnswer {
	a := &liveAnswer{Hint: cmp.Or(l.hint, api.HintGood), Over: l.over != ""}
	if q := l.sequence; q != nil {
		a.Actions, a.ActionMS, a.TotalMS = len(q.Challenge.Actions), q.Challenge.ActionMS, q.Challenge.TotalMS
		a.Index = min(q.Action, a.Actions-1)
		a.Action, a.Done = q.Challenge.Actions[a.Index], q.done() && !a.Over
	}
	return a
}

// hintWords are what the page says beside the picture. What the action asks for
// it says by itself.
var hintWords = map[string]string{
	api.HintHold:         "Hold still for a moment.",
	api.HintNoFace:       "We cannot see your face.",
	api.HintManyFaces:    "There is more than one face. Be alone in the picture.",
	api.HintTooFar:       "Come a bit closer.",
	api.HintTooNear:      "Move back a bit.",
	api.HintOffCentre:    "Move your face to the middle.",
	api.HintTooDark:      "It is too dark. Face a window or a lamp.",
	api.HintTooBright:    "It is too bright. Turn away from the light.",
	api.HintBlurred:      "The picture is blurred. Hold still, and wipe the camera.",
	api.HintTurnMore:     "Turn a bit further.",
	api.HintTurnLess:     "That was too far. Turn back a bit.",
	api.HintOtherWay:     "Turn the other way.",
	api.HintLookStraight: "Look straight into the camera.",
	api.HintOpenEyes:     "Open your eyes.",
	api.HintCloser:       "Closer.",
	api.HintSlower:       "More slowly, please: go back and do it again.",
}

const (
	beginWords   = "This has to begin anew."
	cameraWords  = "This check watches you do a few things in front of the camera. A photo cannot replace that."
	waitingWords = "One moment, please…"
)

// overWords is the sentence for a sequence that is over.
func overWords(reason string) string {
	if reason == refuseSequence {
		return beginWords
	}
	return cmp.Or(row(reason).advice, row(reason).ended)
}

var (
	errNoSequence = errors.New("kosmos: no sequence is running")
	errSeenBefore = errors.New("kosmos: the frame was sent in another sequence")

	tooFast = &refusal{http.StatusTooManyRequests, refuseRate, "That was too fast. Please wait a moment.", time.Second}
	noFrame = &refusal{http.StatusBadRequest, refuseRequest, "A frame is a JPEG, with its action as n and the camera's time as t.", 0}
	bigOne  = &refusal{http.StatusRequestEntityTooLarge, api.ReasonImageTooLarge, "The camera's pictures are too large. Please try another camera or browser.", 0}
	noJPEG  = &refusal{http.StatusUnsupportedMediaType, api.ReasonImageUnreadable, "The camera's pictures cannot be read. Please try another camera or browser.", 0}
)

// unable is a refusal because of the engine. The sequence is as before.
func unable(err error) *refusal {
	reason, _ := failure(err)
	message := "This cannot be checked at the moment. It is our fault, not yours, and no attempt was counted. Please try again in a moment."
	if reason == api.ReasonEngineBusy || reason == api.ReasonEngineTimeout {
		message = "Too many checks are running at the moment. Please wait a few seconds and try again."
	}
	return &refusal{http.StatusServiceUnavailable, reason, message, 2 * time.Second}
}

// beginSequence draws a challenge for q and puts it in the place of the sequence
// that there was.
func (s *Server) beginSequence(ctx context.Context, r *http.Request, o sitting, q *sequence) (*look, error) {
	release, err := s.place(r, o.id)
	if err != nil {
		return nil, err
	}
	defer release()
	ask, cancel := context.WithTimeout(ctx, frameLook)
	defer cancel()
	c, err := s.opt.Engine.Challenge(ask)
	if err == nil && (c == nil || len(c.Actions) == 0 || c.Nonce == "") {
		err = errors.New("no challenge")
	}
	if err != nil {
		s.log.Warn("kosmos: no challenge", "owner", s.logName(o.id), "error", err)
		return nil, unable(err)
	}
	q.Challenge, q.started = *c, s.now()
	sealed, err := s.store.sealJSON("live/data/"+o.id, q)
	if err != nil {
		return nil, err
	}
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		if err := o.open(ctx, tx); err != nil {
			return err
		}
		if err := dropSequence(ctx, tx, o.id); err != nil {
			return err
		}
		// One that a proofing has is retaken.
		if _, err := tx.ExecContext(ctx, `UPDATE photos SET data = NULL, usable = 0, reason = '' WHERE session = ? AND side = ?`, o.id, sideSelfie); err != nil {
			return fmt.Errorf("photos: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO live (owner, started, seen, last, data) VALUES (?, ?, 0, 0, ?)`, o.id, q.started.UnixMilli(), sealed); err != nil {
			return fmt.Errorf("sequence: %w", err)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	return &look{sequence: q}, nil
}

// takeFrame takes one frame. The error is a refusal, that of the sitting, or ours;
// what the frame came to is no error.
func (s *Server) takeFrame(ctx context.Context, w http.ResponseWriter, r *http.Request, o sitting) (*look, error) {
	release, err := s.place(r, o.id)
	if err != nil {
		return nil, err
	}
	defer release()
	image, action, captured, err := readFrame(w, r)
	if err != nil {
		return nil, err
	}
	now, mark := s.now(), s.stepUpHash("frame", string(image))
	q, again, err := s.admitFrame(ctx, o, action, mark, now)
	switch {
	case errors.Is(err, errNoSequence):
		return &look{over: refuseSequence}, nil
	case errors.Is(err, errSeenBefore):
		return s.lose(ctx, o, q, api.ReasonLivenessReplayed)
	case err != nil:
		return nil, err
	case q.seen > maxFrames:
		return s.lose(ctx, o, q, api.ReasonLivenessIncomplete)
	case again || action != q.Action:
		return &look{sequence: q}, nil
	}

	kept := keptFrame{Action: action, Received: now.Sub(q.started).Milliseconds(), Captured: captured}
	ask := &api.FrameRequest{Challenge: q.Challenge, Frame: api.Frame{Image: image, Action: action, ReceivedMS: kept.Received, CapturedMS: captured}}
	for _, f := range q.Frames {
		ask.Earlier = append(ask.Earlier, f.Measure)
	}
	report, err := func() (*api.FrameReport, error) {
		ctx, cancel := context.WithTimeout(ctx, frameLook)
		defer cancel()
		return s.opt.Engine.Frame(ctx, ask)
	}()
	if err == nil && report == nil {
		err = errors.New("no report")
	}
	if err != nil {
		no := unable(err)
		if no.reason == api.ReasonEngineBusy || no.reason == api.ReasonEngineTimeout {
			return &look{sequence: q, hint: api.HintHold, message: waitingWords}, nil
		}
		s.log.Warn("kosmos: a frame was not looked at", "owner", s.logName(o.id), "error", err)
		return nil, no
	}
	switch {
	case report.Over:
		return s.lose(ctx, o, q, cmp.Or(report.Reason, api.ReasonLivenessIncomplete))
	case report.Keep && (len(q.Frames) == api.MaxFrames || q.Bytes+len(image) > maxPhoto):
		return s.lose(ctx, o, q, api.ReasonLivenessIncomplete)
	case report.Done && !report.Keep:
		return s.lose(ctx, o, q, api.ReasonEngineError) // an action without evidence
	case !report.Keep:
		return &look{sequence: q, hint: report.Hint, message: hintWords[report.Hint]}, nil
	}
	kept.Measure = report.Measure
	q.Frames, q.Bytes = append(q.Frames, kept), q.Bytes+len(image)
	if report.Done {
		if q.Action++; !q.Counted {
			if err := o.count(ctx, q); err != nil {
				return nil, errors.Join(err, s.store.update(ctx, func(tx *sql.Tx) error { return dropSequence(ctx, tx, o.id) }))
			}
			q.Counted = true
		}
	}
	err = s.keepFrame(ctx, o, q, image, mark, now)
	if errors.Is(err, errSeenBefore) {
		return s.lose(ctx, o, q, api.ReasonLivenessReplayed)
	}
	if err != nil {
		return nil, err
	}
	l := &look{sequence: q, hint: report.Hint, message: hintWords[report.Hint]}
	if report.Done {
		l.hint, l.message = api.HintGood, "" // the other was for the action before
	}
	return l, nil
}

// readFrame reads the body and the numbers of a frame.
func readFrame(w http.ResponseWriter, r *http.Request) (image []byte, action int, captured int64, err error) {
	action, err = strconv.Atoi(r.URL.Query().Get("n"))
	if err == nil {
		captured, err = strconv.ParseInt(r.URL.Query().Get("t"), 10, 64)
	}
	if err != nil || captured < 0 || captured > int64(time.Hour/time.Millisecond) {
		return nil, 0, 0, noFrame
	}
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(frameArrives)) // not every server has one
	image, err = io.ReadAll(http.MaxBytesReader(w, r.Body, maxFrame))
	switch {
	case tooLarge(err):
		return nil, 0, 0, bigOne
	case errors.Is(err, os.ErrDeadlineExceeded):
		return nil, 0, 0, tooSlow
	case err != nil:
		return nil, 0, 0, noFrame
	case http.DetectContentType(image) != "image/jpeg":
		return nil, 0, 0, noJPEG
	}
	return image, action, captured, nil
}

// admitFrame counts a frame and gives the sequence that it is for. again says that
// the same frame is among those of this sequence.
func (s *Server) admitFrame(ctx context.Context, o sitting, action int, mark []byte, now time.Time) (q *sequence, again bool, err error) {
	err = s.store.update(ctx, func(tx *sql.Tx) error {
		if err := o.open(ctx, tx); err != nil {
			return err
		}
		if q, err = s.store.sequence(ctx, tx, o.id); err != nil {
			return err
		}
		switch {
		case q.done():
			return errNoSequence
		case now.Sub(q.last) < frameGap && !now.Before(q.last):
			return tooFast
		}
		if _, err := tx.ExecContext(ctx, `UPDATE live SET seen = seen + 1, last = ? WHERE owner = ?`, now.UnixMilli(), o.id); err != nil {
			return fmt.Errorf("sequence: %w", err)
		}
		q.seen++
		var used []byte
		err := tx.QueryRowContext(ctx, `SELECT sequence FROM marks WHERE mark = ?`, mark).Scan(&used)
		if errors.Is(err, sql.ErrNoRows) {
			return nil
		}
		if err != nil {
			return fmt.Errorf("marks: %w", err)
		}
		if again = bytes.Equal(used, s.sequenceMark(q)); !again {
			return errSeenBefore
		}
		return nil
	})
	return q, again, err
}

func (s *Server) sequenceMark(q *sequence) []byte { return s.stepUpHash("sequence", q.Challenge.Nonce) }

// keepFrame stores the last frame of q, and q as it is now. errSeenBefore if the
// same frame came to another sequence at the same time.
func (s *Server) keepFrame(ctx context.Context, o sitting, q *sequence, image, mark []byte, now time.Time) error {
	n := len(q.Frames)
	sealed, err := s.store.sealJSON("live/data/"+o.id, q)
	if err != nil {
		return err
	}
	return s.store.update(ctx, func(tx *sql.Tx) error {
		if err := o.open(ctx, tx); err != nil {
			return err
		}
		res, err := tx.ExecContext(ctx, `INSERT INTO marks (mark, sequence, at) VALUES (?, ?, ?) ON CONFLICT DO NOTHING`, mark, s.sequenceMark(q), now.UnixMilli())
		if err != nil {
			return fmt.Errorf("marks: %w", err)
		}
		if rows, err := res.RowsAffected(); err != nil {
			return fmt.Errorf("marks: %w", err)
		} else if rows == 0 {
			return errSeenBefore
		}
		if _, err := tx.ExecContext(ctx, `UPDATE live SET data = ? WHERE owner = ?`, sealed, o.id); err != nil {
			return fmt.Errorf("sequence: %w", err)
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO frames (owner, n, data) VALUES (?, ?, ?)`, o.id, n, s.store.seal.seal(framePlace(o.id, n), image)); err != nil {
			return fmt.Errorf("frame: %w", err)
		}
		return nil
	})
}

func framePlace(owner string, n int) string { return fmt.Sprintf("frames/data/%s/%d", owner, n) }

// lose ends a sequence that is not to be judged. Nothing but the marks of its
// frames is left.
func (s *Server) lose(ctx context.Context, o sitting, q *sequence, reason string) (*look, error) {
	s.log.Info("kosmos: a sequence is over", "owner", s.logName(o.id), "reason", reason, "action", q.Action, "frames", q.seen)
	err := s.store.update(ctx, func(tx *sql.Tx) error { return endSequence(ctx, tx, o.id, reason, s.now()) })
	return &look{sequence: q, over: reason, message: overWords(reason)}, err
}

// endSequence drops a sequence and records what it came to; an empty reason is
// none of those that are recorded.
func endSequence(ctx context.Context, tx *sql.Tx, owner, reason string, now time.Time) error {
	if reason == api.ReasonLivenessFailed || reason == api.ReasonLivenessReplayed {
		if err := record(ctx, tx, owner, now, eventLivenessRefused); err != nil {
			return err
		}
	}
	return dropSequence(ctx, tx, owner)
}

func dropSequence(ctx context.Context, tx *sql.Tx, owner string) error {
	for _, table := range []string{"live", "frames"} {
		if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE owner = ?`, owner); err != nil {
			return fmt.Errorf("sequence: %w", err)
		}
	}
	return nil
}

// sequence reads the sequence of an owner; errNoSequence if there is none, or
// none that opens.
func (s *store) sequence(ctx context.Context, q queryer, owner string) (*sequence, error) {
	v := new(sequence)
	var started, last int64
	var sealed []byte
	err := q.QueryRowContext(ctx, `SELECT started, seen, last, data FROM live WHERE owner = ?`, owner).Scan(&started, &v.seen, &last, &sealed)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, errNoSequence
	}
	if err != nil {
		return nil, fmt.Errorf("sequence: %w", err)
	}
	if err := s.openJSON("live/data/"+owner, sealed, v); err != nil || len(v.Challenge.Actions) == 0 {
		return nil, errNoSequence
	}
	v.started, v.last = time.UnixMilli(started), time.UnixMilli(last)
	return v, nil
}

// evidence reads a sequence that is done, as the engine wants it. seal.Err if
// there is none, or a part of it does not open.
func (s *store) evidence(ctx context.Context, owner string) (*api.Liveness, *sequence, error) {
	q, err := s.sequence(ctx, s.db, owner)
	if errors.Is(err, errNoSequence) || err == nil && !q.done() {
		return nil, nil, fmt.Errorf("sequence: %w", seal.Err)
	}
	if err != nil {
		return nil, nil, err
	}
	rows, err := s.db.QueryContext(ctx, `SELECT data FROM frames WHERE owner = ? ORDER BY n`, owner)
	if err != nil {
		return nil, nil, fmt.Errorf("frames: %w", err)
	}
	defer func() { _ = rows.Close() }()
	l := &api.Liveness{Challenge: q.Challenge, Camera: q.Camera}
	for rows.Next() {
		var sealed []byte
		if err := rows.Scan(&sealed); err != nil {
			return nil, nil, fmt.Errorf("frames: %w", err)
		}
		n := len(l.Frames)
		if n == len(q.Frames) {
			break
		}
		image, err := s.seal.open(framePlace(owner, n+1), sealed)
		if err != nil {
			return nil, nil, err
		}
		f := q.Frames[n]
		l.Frames = append(l.Frames, api.Frame{Image: image, Action: f.Action, ReceivedMS: f.Received, CapturedMS: f.Captured})
	}
	if err := rows.Err(); err != nil {
		return nil, nil, fmt.Errorf("frames: %w", err)
	}
	if len(l.Frames) != len(q.Frames) {
		return nil, nil, fmt.Errorf("frames: %w", seal.Err)
	}
	return l, q, nil
}

// sweepSequences drops what belongs to nothing that is running, and marks that
// are older than rowTTL.
func (s *Server) sweepSequences(ctx context.Context, now time.Time) error {
	return s.store.update(ctx, func(tx *sql.Tx) error {
		for _, table := range []string{"live", "frames"} {
			if _, err := tx.ExecContext(ctx, `DELETE FROM `+table+` WHERE owner NOT IN
				(SELECT id FROM sessions WHERE ended = 0 UNION SELECT id FROM stepups WHERE ended = 0)`); err != nil {
				return fmt.Errorf("sequences: %w", err)
			}
		}
		if _, err := tx.ExecContext(ctx, `DELETE FROM marks WHERE at <= ?`, now.Add(-rowTTL).UnixMilli()); err != nil {
			return fmt.Errorf("marks: %w", err)
		}
		return nil
	})
}

// lifeless is what stands against the liveness in a report, by the checks of
// liveness alone: what else is in it may be about somebody's account. Empty if
// nothing does.
func lifeless(r *api.Report, mode string) string {
	of := func(name string) api.Outcome { return outcomeOf(r, name) }
	switch {
	case mode == api.LivenessNone, of(api.CheckLiveness) == api.Pass:
		return ""
	case mode == api.LivenessPassive && of(api.CheckLiveness) != api.Fail:
		return api.ReasonLivenessWeak
	case mode == api.LivenessPassive:
		return api.ReasonLivenessFailed
	case of(api.CheckLivenessFrames) == api.Fail:
		return api.ReasonLivenessReplayed
	case of(api.CheckLivenessActions) != api.Fail && of(api.CheckLiveness) == api.Fail:
		return api.ReasonLivenessFailed
	}
	return api.ReasonLivenessIncomplete
}

func outcomeOf(r *api.Report, name string) api.Outcome {
	i := slices.IndexFunc(r.Checks, func(c api.Check) bool { return c.Name == name })
	if i < 0 {
		return ""
	}
	return r.Checks[i].Outcome
}

// livenessChecks are those without which nothing passes.
func livenessChecks(mode string) []string {
	switch mode {
	case api.LivenessNone:
		return nil
	case api.LivenessActive:
		return []string{api.CheckLiveness, api.CheckLivenessFrames, api.CheckLivenessActions, api.CheckLivenessDepth, api.CheckLivenessSameFace}
	}
	return []string{api.CheckLiveness}
}
