package kosmos_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// shot is a frame that shows what a photo shows, and is like no other.
func shot(photo []byte) []byte {
	return fmt.Appendf(slices.Clone(photo), "%s%s", frameMark, uuid.NewString())
}

// begin begins a sequence on a page.
func (s *server) begin(page string, fields url.Values) act {
	s.t.Helper()
	fields.Set("camera", "Front camera")
	return s.answered(s.send("POST", page+"/live", strings.NewReader(fields.Encode()),
		map[string]string{"Accept": "application/json", "Content-Type": "application/x-www-form-urlencoded"}))
}

// frame sends one frame, a moment later.
func (s *server) frame(page string, n int, image []byte) act {
	s.t.Helper()
	s.clock.add(250 * time.Millisecond)
	return s.rawFrame(page, fmt.Sprintf("?n=%d&t=250", n), image)
}

func (s *server) rawFrame(page, query string, image []byte) act {
	s.t.Helper()
	return s.answered(s.send("POST", page+"/live/frame"+query, bytes.NewReader(image), map[string]string{"Accept": "application/json", "Content-Type": "image/jpeg"}))
}

func (s *server) answered(r reply) act {
	s.t.Helper()
	a := act{status: r.status}
	if err := json.Unmarshal(r.body, &a); err != nil {
		s.t.Fatalf("%d %s", r.status, r.body)
	}
	return a
}

// sit goes through a whole sequence with frames that show a photo. account is for
// an authenticator that asks for one.
func (s *server) sit(page string, photo []byte, account string) act {
	s.t.Helper()
	a := s.begin(page, s.claim(page, account))
	for !a.Done && !a.Over {
		if a.status != 200 || a.Action == "" {
			s.t.Fatalf("%+v", a)
		}
		a = s.frame(page, a.Index, shot(photo))
	}
	return a
}

// claim is what the authenticator wants to know before a sequence.
func (s *server) claim(page, account string) url.Values {
	if !strings.HasPrefix(page, "/authenticator/") {
		return url.Values{}
	}
	return url.Values{"nonce": {s.faceState(strings.TrimPrefix(page, "/authenticator/")).Nonce}, "account": {account}}
}

// ready brings an active proofing to the step that shows the face.
func (s *server) ready(user any) (id, page string) {
	s.t.Helper()
	id = s.create("active", "ppt_object", user)
	s.act(id, "start", strings.NewReader("enrol=yes"), "application/x-www-form-urlencoded")
	if a := s.upload(id, "front", frontPhoto); a.Step != "selfie" {
		s.t.Fatalf("%+v", a)
	}
	return id, "/idproofing/session/" + id
}

// reports is an engine that answers frames one after the other, the last one for
// ever, and makes the first look straight done by itself.
func reports(all ...api.FrameReport) func(*api.FrameRequest) (*api.FrameReport, error) {
	var mu sync.Mutex
	n := 0
	return func(r *api.FrameRequest) (*api.FrameReport, error) {
		mu.Lock()
		defer mu.Unlock()
		if r.Frame.Action == 0 {
			return &api.FrameReport{Hint: api.HintGood, Keep: true, Done: true, Measure: json.RawMessage(`1`)}, nil
		}
		rep := all[min(n, len(all)-1)]
		n++
		return &rep, nil
	}
}

// What the engine gets is what was sent, stamped by the server's clock.
func TestLiveProofing(t *testing.T) {
	var mu sync.Mutex
	var asked []*api.FrameRequest
	hints := []api.FrameReport{
		{Hint: api.HintTooDark},
		{Hint: api.HintTurnMore, Keep: true, Measure: json.RawMessage(`{"turn":0.2}`)},
		{Hint: api.HintGood, Keep: true, Done: true, Measure: json.RawMessage(`{"turn":0.5}`)},
		{Hint: api.HintGood, Keep: true, Done: true, Measure: json.RawMessage(`{"turn":0}`)},
	}
	answer := reports(hints...)
	e := &engine{frame: func(r *api.FrameRequest) (*api.FrameReport, error) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r)
		return answer(r)
	}}
	s := start(t, e, nil)
	id, page := s.ready(map[string]string{"username": aliceName})

	if a := s.upload(id, "selfie", selfiePhoto); a.status != 409 || a.Reason != "camera_needed" || a.AttemptsLeft != 3 {
		t.Errorf("a photo: %+v", a)
	}
	if a := s.frame(page, 0, shot(alice)); a.status != 200 || !a.Over || a.Reason != "sequence_missing" {
		t.Errorf("a frame before the beginning: %+v", a)
	}
	a := s.begin(page, url.Values{})
	if a.status != 200 || a.Actions != 3 || a.Action != "look_straight" || a.ActionMS != 10_000 || a.TotalMS != 60_000 || a.AttemptsLeft != 3 || a.State != "started" {
		t.Fatalf("begin: %+v", a)
	}
	a = s.frame(page, 0, shot(alice))
	if a.Index != 1 || a.Action != "turn_left" || a.AttemptsLeft != 2 || a.Reason != "" {
		t.Fatalf("the first action: %+v", a)
	}
	if a = s.frame(page, 0, shot(alice)); a.Index != 1 || len(asked) != 1 || a.status != 200 {
		t.Errorf("a late frame of the action before: %+v, asked %d", a, len(asked))
	}
	if a = s.frame(page, 2, shot(alice)); a.Index != 1 || len(asked) != 1 {
		t.Errorf("a frame of an action that was not asked for: %+v", a)
	}
	if a = s.frame(page, 1, shot(alice)); a.Hint != api.HintTooDark || !strings.Contains(a.Message, "dark") || a.Index != 1 {
		t.Errorf("a hint: %+v", a)
	}
	s.frame(page, 1, shot(alice))
	s.frame(page, 1, shot(alice))
	if a = s.frame(page, 2, shot(alice)); !a.Done || a.Over || a.Reason != "" || a.Step != "review" || a.State != "captured" || a.Usable == nil || !*a.Usable {
		t.Fatalf("the last frame: %+v", a)
	}
	if got := fmt.Sprint(asked[4].Earlier[2:], len(asked[4].Earlier)); got != `[[123 34 116 117 114 110 34 58 48 46 53 125]] 3` {
		t.Errorf("measures: %s", got)
	}
	for i, r := range asked {
		if r.Challenge.Nonce != asked[0].Challenge.Nonce || r.Frame.CapturedMS != 250 || i > 0 && r.Frame.ReceivedMS <= asked[i-1].Frame.ReceivedMS {
			t.Errorf("frame %d: %+v", i, r.Frame.ReceivedMS)
		}
	}
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	v := e.verified[0]
	if l := v.Liveness; len(v.Selfies) != 0 || v.LivenessMode != "active" || l == nil || l.Camera != "Front camera" || len(l.Frames) != 4 ||
		l.Frames[1].Action != 1 || !bytes.Equal(l.Frames[0].Image, asked[0].Frame.Image) || l.Frames[2].ReceivedMS != asked[3].Frame.ReceivedMS {
		t.Errorf("%+v", v.Liveness)
	}
	body := s.result("v3", "active", id)
	var r struct {
		SessionResult string
		Document      struct {
			ProofJWT string `json:"proof_jwt"`
		}
		Kosmoscope struct {
			Checks   []api.Check
			Enrolled bool
		}
	}
	if err := json.Unmarshal(body, &r); err != nil || r.SessionResult != "SUCCESS" || !r.Kosmoscope.Enrolled || len(r.Kosmoscope.Checks) != 13 {
		t.Fatalf("%v %s", err, body)
	}
	if c := jwtClaims(t, r.Document.ProofJWT); !bytes.Contains(c, []byte(`"selfie_liveness":{"verified":true}`)) {
		t.Errorf("%s", c)
	}
	if left := s.rows(`SELECT owner FROM live UNION ALL SELECT owner FROM frames`); left != "" {
		t.Errorf("left behind: %s", left)
	}
	if got := s.events(id); strings.Count(got, "E_SELFIE") != 1 && strings.Count(got, "SELFIE") != 1 {
		t.Errorf("events: %s", got)
	}
}

// A sequence that is lost costs an attempt once an action that was drawn was
// shown, and nothing before.
func TestLiveAttempts(t *testing.T) {
	over := api.FrameReport{Hint: api.HintOtherWay, Over: true, Reason: api.ReasonLivenessIncomplete}
	e := &engine{frame: reports(over)}
	s := start(t, e, nil)
	id, page := s.ready(nil)
	nonces := map[string]bool{}
	e.draw = func() (*api.Challenge, error) {
		c, err := (&engine{}).Challenge(t.Context())
		nonces[c.Nonce] = true
		return c, err
	}
	for range 4 {
		if a := s.begin(page, url.Values{}); a.AttemptsLeft != 3 || a.status != 200 {
			t.Fatalf("%+v", a)
		}
	}
	for left := 2; left >= 0; left-- {
		s.begin(page, url.Values{})
		s.frame(page, 0, shot(alice))
		a := s.frame(page, 1, shot(alice))
		if a.status != 200 || !a.Over || a.AttemptsLeft != left && left > 0 {
			t.Fatalf("%d left: %+v", left, a)
		}
		if left > 0 {
			if a.State != "started" || a.Reason != "liveness_incomplete" || a.Message == "" {
				t.Errorf("%+v", a)
			}
			if rows := s.rows(`SELECT owner FROM frames`); rows != "" {
				t.Errorf("left behind: %s", rows)
			}
		} else if a.State != "failed" {
			t.Errorf("the last attempt: %+v", a)
		}
	}
	if len(nonces) != 7 {
		t.Errorf("%d challenges", len(nonces))
	}
	if b := s.result("v3", "active", id); !bytes.Contains(b, []byte(`"reason":"liveness_incomplete"`)) || !bytes.Contains(b, []byte("IDV0014")) || e.calls() != 0 {
		t.Errorf("%s", b)
	}
	if a := s.begin(page, url.Values{}); a.status != 409 || a.State != "failed" {
		t.Errorf("afterwards: %+v", a)
	}
}

// What the engine says of a whole sequence is said at once; the last attempt is
// judged without waiting for the person.
func TestLiveGuidance(t *testing.T) {
	for reason, check := range map[string]string{
		api.ReasonLivenessFailed: api.CheckLivenessDepth, api.ReasonLivenessReplayed: api.CheckLivenessFrames, api.ReasonLivenessIncomplete: api.CheckLivenessActions,
	} {
		t.Run(reason, func(t *testing.T) {
			against := func(r *api.Report) *api.Report {
				r.Verdict, r.Reason = api.Fail, reason
				r.Checks = append(r.Checks, alive()...)
				for i := range r.Checks {
					if r.Checks[i].Name == check || r.Checks[i].Name == api.CheckLiveness {
						r.Checks[i].Outcome = api.Fail
					}
				}
				return r
			}
			e := &engine{
				match: func(r *api.MatchRequest) (*api.Report, error) {
					if r.Liveness == nil || r.LivenessMode != "active" || len(r.References) != 1 {
						t.Errorf("%+v", r)
					}
					return against(matched(api.CannotTell, api.ReasonTemplateForeign)), nil
				},
				verify: func(*api.VerifyRequest) (*api.Report, error) { return against(passed()), nil },
			}
			s := start(t, e, nil)
			id, page := s.ready(nil)
			for left := 2; left > 0; left-- {
				if a := s.sit(page, alice, ""); !a.Done || a.Reason != reason || a.State != "captured" || a.AttemptsLeft != left || a.Usable == nil || *a.Usable || a.Message == "" {
					t.Fatalf("%+v", a)
				}
				if b := s.send("GET", page, nil, nil).body; !bytes.Contains(b, []byte(`data-testid="live-start"`)) {
					t.Errorf("the step is not shown again: %s", b)
				}
			}
			if a := s.sit(page, alice, ""); a.State != "judging" && a.State != "failed" {
				t.Fatalf("the last attempt: %+v", a)
			}
			s.WaitJudged()
			b := s.result("v3", "active", id)
			if !bytes.Contains(b, []byte(`"FAILED"`)) || !bytes.Contains(b, []byte(`"reason":"`+reason+`"`)) || !bytes.Contains(b, []byte(check)) || !bytes.Contains(b, []byte("IDV0007")) {
				t.Errorf("%s", b)
			}
		})
	}
}

// A sequence that is good enough, and a verdict that is not, is not verified;
// neither is one whose report lacks a check.
func TestLiveVerdict(t *testing.T) {
	for i, missing := range alive() {
		e := &engine{verify: func(*api.VerifyRequest) (*api.Report, error) {
			r := passed()
			r.Checks = append(r.Checks, slices.Delete(alive(), i, i+1)...)
			return r, nil
		}}
		s := start(t, e, nil)
		id, page := s.ready(nil)
		s.sit(page, alice, "")
		s.act(id, "submit", nil, "")
		s.WaitJudged()
		if b := s.result("v3", "active", id); !bytes.Contains(b, []byte("FAILED")) || !bytes.Contains(b, []byte("engine_error")) {
			t.Errorf("without %s: %s", missing.Name, b)
		}
	}
}

// A frame is good for one sequence of one person.
func TestLiveReplay(t *testing.T) {
	e := &engine{frame: reports(api.FrameReport{Hint: api.HintGood, Keep: true, Measure: json.RawMessage(`1`)})}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive })
	_, page := s.ready(nil)
	s.begin(page, url.Values{})
	first, second := shot(alice), shot(alice)
	s.frame(page, 0, first)
	s.frame(page, 1, second)
	kept := s.rows(`SELECT n FROM frames`)
	if a := s.frame(page, 1, second); a.Over || a.Index != 1 || s.rows(`SELECT n FROM frames`) != kept || strings.Count(kept, "\n") != 2 {
		t.Errorf("twice in one sequence: %+v; frames %s", a, kept)
	}
	// By another proofing, by the same one in its next sequence, and in a step-up.
	_, other := s.ready(nil)
	stepUp := "/authenticator/" + s.session("Face")
	for i, at := range []string{other, page, stepUp} {
		s.begin(at, s.claim(at, aliceName))
		s.frame(at, 0, shot(alice))
		a := s.frame(at, 1, second)
		if !a.Over || a.Reason != "liveness_replayed" || a.AttemptsLeft != 2-i%2 || a.Message == "" {
			t.Errorf("%s: %+v", at, a)
		}
	}
	if got := s.events(strings.TrimPrefix(stepUp, "/authenticator/")); got != "KOSMOSCOPE_LIVENESS_REFUSED" {
		t.Errorf("events: %s", got)
	}
	// For as long as a row is kept, over restarts, and no longer.
	s.clock.add(29 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows := s.rows(`SELECT mark FROM marks`); strings.Count(rows, "\n") != 5 {
		t.Errorf("marks: %s", rows)
	}
	s.clock.add(2 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows := s.rows(`SELECT mark FROM marks`); rows != "" {
		t.Errorf("marks: %s", rows)
	}
}

// Two sequences that are sent one frame at the same time: one of them has it.
func TestLiveReplayRace(t *testing.T) {
	both := make(chan struct{}, 2)
	wait := make(chan struct{})
	e := &engine{}
	s := start(t, e, nil)
	e.frame = func(r *api.FrameRequest) (*api.FrameReport, error) {
		both <- struct{}{}
		<-wait
		return (&engine{}).Frame(t.Context(), r)
	}
	var pages []string
	for range 2 {
		_, page := s.ready(nil)
		s.begin(page, url.Values{})
		pages = append(pages, page)
	}
	frame := shot(alice)
	got := make([]act, 2)
	var wg sync.WaitGroup
	for i, page := range pages {
		wg.Go(func() { got[i] = s.rawFrame(page, "?n=0&t=0", frame) })
	}
	<-both
	<-both
	close(wait)
	wg.Wait()
	if got[0].Over == got[1].Over || got[0].Reason+got[1].Reason != "liveness_replayed" {
		t.Errorf("%+v", got)
	}
}

func TestLiveBadFrames(t *testing.T) {
	e := &engine{}
	s := start(t, e, nil)
	_, page := s.ready(nil)
	s.begin(page, url.Values{})
	asked := 0
	e.frame = func(*api.FrameRequest) (*api.FrameReport, error) {
		asked++
		return &api.FrameReport{Hint: api.HintNoFace}, nil
	}
	for _, tt := range []struct {
		query  string
		body   []byte
		status int
		reason string
	}{
		{"", shot(alice), 400, "invalid_request"},
		{"?n=x&t=0", shot(alice), 400, "invalid_request"},
		{"?n=0&t=-1", shot(alice), 400, "invalid_request"},
		{"?n=0&t=99999999999", shot(alice), 400, "invalid_request"},
		{"?n=0&t=0", nil, 415, "image_unreadable"},
		{"?n=0&t=0", []byte("\x89PNG\r\n\x1a\n"), 415, "image_unreadable"},
		{"?n=0&t=0", append([]byte("\xff\xd8\xff"), make([]byte, 3<<19)...), 413, "image_too_large"},
	} {
		s.clock.add(time.Second)
		if a := s.rawFrame(page, tt.query, tt.body); a.status != tt.status || a.Reason != tt.reason || a.Message == "" {
			t.Errorf("%s, %d bytes: %+v", tt.query, len(tt.body), a)
		}
	}
	if asked != 0 {
		t.Errorf("the engine saw %d of them", asked)
	}
	s.clock.add(time.Second)
	if a := s.rawFrame(page, "?n=0&t=0", shot(alice)); a.status != 200 || a.Hint != "no_face" || asked != 1 {
		t.Errorf("%+v", a)
	}
	s.clock.add(99 * time.Millisecond)
	if a := s.rawFrame(page, "?n=0&t=0", shot(alice)); a.status != 429 || a.Reason != "rate_limited" || asked != 1 {
		t.Errorf("at once: %+v", a)
	}
	// Too many in one sequence end it; too many in a minute wait.
	last := act{}
	for range 299 {
		last = s.frame(page, 0, shot(alice))
	}
	if last.Over || asked != 300 {
		t.Errorf("%d: %+v", asked, last)
	}
	if last = s.frame(page, 0, shot(alice)); !last.Over || last.Reason != "liveness_incomplete" || last.AttemptsLeft != 3 || asked != 300 {
		t.Errorf("one too many: %+v", last)
	}
	s.clock.add(time.Minute)
	for range 401 {
		last = s.rawFrame(page, "?n=0&t=0", shot(alice))
	}
	if last.status != 429 {
		t.Errorf("401 in a moment: %+v", last)
	}
	for _, at := range []string{"/idproofing/session/" + uuid.NewString(), "/authenticator/" + uuid.NewString()} {
		if a := s.rawFrame(at, "?n=0&t=0", shot(alice)); a.status != 404 {
			t.Errorf("%+v", a)
		}
	}
	r := s.send("POST", page+"/live", nil, map[string]string{"Accept": "application/json", "Sec-Fetch-Site": "cross-site"})
	if r.status != 403 {
		t.Errorf("cross-site: %d", r.status)
	}
}

// More than the engine takes is not kept.
func TestLiveBounds(t *testing.T) {
	keep := api.FrameReport{Hint: api.HintTurnMore, Keep: true, Measure: json.RawMessage(`1`)}
	for name, frame := range map[string]func() []byte{
		"frames": func() []byte { return shot(alice) },
		"bytes":  func() []byte { return append(shot(alice), make([]byte, 1_500_000)...) },
	} {
		s := start(t, &engine{frame: reports(keep)}, nil)
		_, page := s.ready(nil)
		s.begin(page, url.Values{})
		a := s.frame(page, 0, shot(alice))
		n := 1
		for ; !a.Over && n < 50; n++ {
			a = s.frame(page, 1, frame())
		}
		if want := map[string]int{"frames": 41, "bytes": 10}[name]; !a.Over || n != want || a.Reason != "liveness_incomplete" {
			t.Errorf("%s: over after %d: %+v", name, n, a)
		}
	}
}

// What the engine cannot say costs nothing, and is never done.
func TestLiveWithoutEngine(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive })
	_, proofing := s.ready(nil)
	for _, page := range []string{proofing, "/authenticator/" + s.session("Face")} {
		e.draw = func() (*api.Challenge, error) { return nil, errDown }
		if a := s.begin(page, s.claim(page, aliceName)); a.status != 503 || a.Reason != "engine_unavailable" || a.Message == "" {
			t.Errorf("no challenge: %+v", a)
		}
		e.draw = nil
		s.begin(page, s.claim(page, aliceName))
		s.frame(page, 0, shot(alice))
		for name, tt := range map[string]struct {
			rep    *api.FrameReport
			err    error
			status int
			reason string
			hint   string
		}{
			"busy":      {nil, &api.StatusError{Status: 503, Problem: api.Problem{Reason: api.ReasonEngineBusy}}, 200, "", "hold_still"},
			"timeout":   {nil, &api.StatusError{Status: 504, Problem: api.Problem{Reason: api.ReasonEngineTimeout}}, 200, "", "hold_still"},
			"down":      {nil, errDown, 503, "engine_unavailable", ""},
			"no models": {nil, &api.StatusError{Status: 503, Problem: api.Problem{Reason: api.ReasonModelsMissing}}, 503, "engine_models_missing", ""},
			"odd":       {nil, errors.New("odd"), 503, "engine_error", ""},
			"nothing":   {nil, nil, 503, "engine_error", ""},
		} {
			e.frame = func(*api.FrameRequest) (*api.FrameReport, error) { return tt.rep, tt.err }
			if a := s.frame(page, 1, shot(alice)); a.status != tt.status || a.Reason != tt.reason || a.Hint != tt.hint || a.Message == "" || a.Over || a.Done {
				t.Errorf("%s: %+v", name, a)
			}
		}
		e.frame = nil
		s.frame(page, 1, shot(alice))
		if a := s.frame(page, 2, shot(alice)); !a.Done {
			t.Errorf("it does not go on: %+v", a)
		}
	}
	// An action is not done without evidence.
	_, page := s.ready(nil)
	e.frame = reports(api.FrameReport{Hint: api.HintGood, Done: true})
	s.begin(page, url.Values{})
	s.frame(page, 0, shot(alice))
	if a := s.frame(page, 1, shot(alice)); !a.Over || a.Reason != "engine_error" {
		t.Errorf("%+v", a)
	}
}

// One frame at a time.
func TestLiveConcurrent(t *testing.T) {
	asked, wait := make(chan struct{}), make(chan struct{})
	e := &engine{}
	s := start(t, e, nil)
	_, page := s.ready(nil)
	s.begin(page, url.Values{})
	e.frame = func(r *api.FrameRequest) (*api.FrameReport, error) {
		asked <- struct{}{}
		<-wait
		return (&engine{}).Frame(t.Context(), r)
	}
	done := make(chan act)
	go func() { done <- s.rawFrame(page, "?n=0&t=0", shot(alice)) }()
	<-asked
	for range 3 {
		if a := s.rawFrame(page, "?n=0&t=1", shot(alice)); a.status != 409 || a.Reason != "upload_running" {
			t.Errorf("%+v", a)
		}
	}
	if a := s.begin(page, url.Values{}); a.status != 409 {
		t.Errorf("begun anew meanwhile: %+v", a)
	}
	close(wait)
	if a := <-done; a.Index != 1 {
		t.Errorf("%+v", a)
	}
}

func TestLiveStepUp(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.StepUpTTL = time.Hour })
	id := s.session("Face")
	page := "/authenticator/" + id
	if f := s.face(id, aliceName, alice); f.status != 409 || f.Reason != "camera_needed" || f.AttemptsLeft != 3 {
		t.Errorf("a photo: %+v", f)
	}
	for name, fields := range map[string]url.Values{
		"no code": {"account": {aliceName}}, "another one's": {"nonce": {s.faceState(s.session("Face")).Nonce}, "account": {aliceName}},
		"no account": {"nonce": {s.faceState(id).Nonce}},
	} {
		if a := s.begin(page, fields); a.status != 409 && a.status != 400 || a.Action != "" || a.Reason == "" {
			t.Errorf("%s: %+v", name, a)
		}
	}
	nonce := s.faceState(id).Nonce
	if a := s.sit(page, mallory, aliceName); !a.Done || a.State != "open" || a.Reason != "face_mismatch" || a.AttemptsLeft != 2 || a.Message == "" || a.Nonce == nonce {
		t.Fatalf("somebody else: %+v", a)
	}
	if rows := s.rows(`SELECT owner FROM live UNION ALL SELECT owner FROM frames`); rows != "" {
		t.Errorf("left behind: %s", rows)
	}
	if a := s.begin(page, url.Values{"nonce": {nonce}, "account": {aliceName}}); a.status != 409 || a.Reason != "upload_replayed" {
		t.Errorf("a used code: %+v", a)
	}
	if a := s.sit(page, alice, aliceName); !a.Done || a.State != "match" || a.Reason != "" || a.AttemptsLeft != 0 {
		t.Fatalf("%+v", a)
	}
	own := s.opened(s.response(id))["kosmoscope"].(map[string]any)
	if own["liveness"] != "active" || own["assessed"] != false || len(own["checks"].([]any)) != 7 {
		t.Errorf("%v", own)
	}
	if a := s.frame(page, 0, shot(alice)); a.status != 410 || a.State != "match" {
		t.Errorf("afterwards: %+v", a)
	}
}

// Every sequence counts once its challenge was seen: nobody draws until one fits.
func TestLiveStepUpAttempts(t *testing.T) {
	lost := func(reason string) api.FrameReport {
		return api.FrameReport{Hint: api.HintGood, Over: true, Reason: reason}
	}
	for name, tt := range map[string]struct {
		report api.FrameReport
		reason string
		block  string // for the creator
	}{
		"incomplete":      {lost(api.ReasonLivenessIncomplete), "liveness_incomplete", "liveness_incomplete"},
		"replayed":        {lost(api.ReasonLivenessReplayed), "liveness_replayed", "liveness_replayed"},
		"broken":          {lost(api.ReasonEngineError), "engine_error", "engine_error"},
		"a bad picture":   {lost(api.ReasonImageTooSmall), "image_too_small", "image_too_small"},
		"only begun anew": {api.FrameReport{Hint: api.HintTurnMore}, "", "retries_exhausted"},
	} {
		t.Run(name, func(t *testing.T) {
			s := startStepUps(t, &engine{frame: reports(tt.report)}, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.StepUpTTL = time.Hour })
			id := s.session("Face")
			page := "/authenticator/" + id
			var a act
			for left := 2; left >= 0; left-- {
				s.begin(page, s.claim(page, aliceName))
				s.frame(page, 0, shot(alice))
				a = s.frame(page, 1, shot(alice))
				if a.AttemptsLeft != left || a.Reason != tt.reason || a.Over != (tt.reason != "") {
					t.Fatalf("%d left: %+v", left, a)
				}
			}
			if name == "only begun anew" {
				s.begin(page, s.claim(page, aliceName))
				if a = s.frame(page, 0, shot(alice)); a.Action != "" {
					t.Errorf("a fourth challenge is shown: %+v", a)
				}
			}
			if a.State != "refused" {
				t.Errorf("%+v", a)
			}
			if r := s.response(id); r.status != 403 || r.reason(t) != tt.block {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
}

// Every name is treated alike, also where the engine names first what it found of
// the face: frames are asked for, and the same is said in the end.
func TestLiveNoOracle(t *testing.T) {
	for _, verdict := range []string{"mismatch", api.CheckLivenessDepth, api.CheckLivenessFrames, api.CheckLivenessActions, "cannot tell"} {
		t.Run(verdict, func(t *testing.T) {
			e := &engine{}
			e.match = func(r *api.MatchRequest) (*api.Report, error) {
				if len(r.Probes) > 0 {
					return matched(api.Pass, ""), nil
				}
				m := matched(api.Fail, api.ReasonFaceMismatch)
				if bytes.Equal(r.References[0], []byte("nobody")) {
					m = matched(api.CannotTell, api.ReasonTemplateForeign)
				} else if bytes.Equal(faces(r.Liveness)[0], alice) {
					m = matched(api.Pass, "")
				}
				if r.Liveness == nil {
					return m, nil
				}
				m.Checks = append(m.Checks, alive()...)
				for i := range m.Checks {
					c := &m.Checks[i]
					switch {
					case verdict == "mismatch":
					case verdict == "cannot tell" && strings.HasPrefix(c.Name, "liveness"):
						c.Outcome = api.CannotTell
						m.Verdict, m.Reason = lesser(m.Verdict, api.CannotTell), cmp.Or(m.Reason, api.ReasonLivenessIncomplete)
					case c.Name == verdict || c.Name == api.CheckLiveness:
						c.Outcome = api.Fail
						if m.Verdict != api.Fail {
							m.Verdict, m.Reason = api.Fail, api.ReasonLivenessFailed
						}
					}
				}
				return m, nil
			}
			s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.StepUpTTL = time.Hour })
			names := map[string][]byte{"nobody": mallory, "cora": mallory, aliceName: mallory}
			if verdict != "mismatch" {
				names[strings.ToUpper(aliceName)] = alice
			}
			var texts []string
			for name, face := range names {
				id := s.session("Face")
				page, text := "/authenticator/"+id, ""
				for range 3 {
					a := s.begin(page, s.claim(page, name))
					for !a.Done && !a.Over {
						text += fmt.Sprintf("%d %s %s %d %d\n", a.status, a.Action, a.Hint, a.Index, a.AttemptsLeft)
						a = s.frame(page, a.Index, shot(face))
					}
					text += fmt.Sprintf("%d %s %s %s %d %v\n", a.status, a.State, a.Reason, a.Message, a.AttemptsLeft, a.Over)
				}
				texts = append(texts, text)
			}
			for _, text := range texts[1:] {
				if text != texts[0] {
					t.Errorf("differs:\n%s\n---\n%s", text, texts[0])
				}
			}
			if !strings.Contains(texts[0], "turn_left") || !strings.Contains(texts[0], "refused") || verdict != "mismatch" && !strings.Contains(texts[0], "liveness_") {
				t.Errorf("%s", texts[0])
			}
		})
	}
}

func lesser(a, b api.Outcome) api.Outcome {
	if a == api.Fail || b == api.Fail {
		return api.Fail
	}
	return b
}

// A server that dies between two frames goes on with what is on its disk.
func TestLiveRestart(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.StepUpTTL = time.Hour })
	_, proofing := s.ready(nil)
	for _, page := range []string{proofing, "/authenticator/" + s.session("Face")} {
		s.begin(page, s.claim(page, aliceName))
		s.frame(page, 0, shot(alice))
		dir := filepath.Join(t.TempDir(), "copy")
		if err := os.CopyFS(dir, os.DirFS(s.opt.DataDir)); err != nil {
			t.Fatal(err)
		}
		after := start(t, e, func(o *kosmos.Options) {
			o.StepUpLiveness, o.StepUpTTL, o.DataDir, o.Now = api.LivenessActive, time.Hour, dir, s.clock.now
		})
		after.clock = s.clock
		if a := after.frame(page, 1, shot(alice)); a.Index != 2 || a.AttemptsLeft != 2 {
			t.Errorf("it does not go on: %+v", a)
		}
		if a := after.frame(page, 2, shot(alice)); !a.Done || a.State != "captured" && a.State != "match" {
			t.Errorf("%+v", a)
		}
	}
}

// One that dies while the last frame's comparison runs has no answer.
func TestLiveKilledWhileComparing(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.StepUpTTL = time.Hour })
	id := s.session("Face")
	page, dir := "/authenticator/"+id, filepath.Join(t.TempDir(), "copy")
	e.match = func(r *api.MatchRequest) (*api.Report, error) {
		if err := os.CopyFS(dir, os.DirFS(s.opt.DataDir)); err != nil {
			t.Error(err)
		}
		e.match = nil
		return e.Match(t.Context(), r)
	}
	if a := s.sit(page, alice, aliceName); a.State != "match" {
		t.Fatalf("%+v", a)
	}
	after := start(t, e, func(o *kosmos.Options) {
		o.StepUpLiveness, o.StepUpTTL, o.DataDir, o.Now = api.LivenessActive, time.Hour, dir, s.clock.now
	})
	after.clock, after.key = s.clock, s.key
	if r := after.response(id); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if a := after.frame(page, 2, shot(alice)); !a.Over || a.Reason != "sequence_missing" || a.AttemptsLeft != 2 || a.State != "open" {
		t.Errorf("%+v", a)
	}
	if a := after.sit(page, alice, aliceName); a.State != "match" {
		t.Errorf("%+v", a)
	}
}

// What time ends in the middle is over, and nothing of it stays.
func TestLiveExpires(t *testing.T) {
	s := startStepUps(t, &engine{}, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive; o.SessionTTL = 10 * time.Minute })
	_, proofing := s.ready(nil)
	stepUp := "/authenticator/" + s.session("Face")
	for _, page := range []string{proofing, stepUp} {
		s.begin(page, s.claim(page, aliceName))
		s.frame(page, 0, shot(alice))
	}
	s.clock.add(time.Minute)
	if a := s.frame(stepUp, 1, shot(alice)); a.status != 410 || a.State != "expired" || a.Action != "" {
		t.Errorf("%+v", a)
	}
	s.clock.add(time.Hour)
	if a := s.frame(proofing, 1, shot(alice)); a.status != 409 || a.State != "expired" || a.Action != "" {
		t.Errorf("%+v", a)
	}
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if rows := s.rows(`SELECT owner FROM live UNION ALL SELECT owner FROM frames`); rows != "" {
		t.Errorf("left behind: %s", rows)
	}
	// What runs is left alone.
	_, page := s.ready(nil)
	s.begin(page, url.Values{})
	s.frame(page, 0, shot(alice))
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if a := s.frame(page, 1, shot(alice)); a.Index != 2 {
		t.Errorf("%+v", a)
	}
}

// Nothing of a sequence is in the clear, and one that does not open is no pass.
func TestLiveIsSealed(t *testing.T) {
	e := &engine{frame: reports(api.FrameReport{Hint: api.HintTurnMore, Keep: true, Measure: json.RawMessage(`{"secretmeasure":1}`)})}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive })
	_, proofing := s.ready(nil)
	stepUp := "/authenticator/" + s.session("Face")
	for _, page := range []string{proofing, stepUp} {
		s.begin(page, s.claim(page, aliceName))
		s.frame(page, 0, shot(alice))
		s.frame(page, 1, shot(alice))
	}
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "*"))
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{aliceName, "\xff\xd8\xff", "secretmeasure", "turn_left", "Front camera", frameMark} {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(f), text)
			}
		}
	}
	spoil(t, s, `UPDATE live SET data = zeroblob(40)`)
	for _, page := range []string{proofing, stepUp} {
		if a := s.frame(page, 1, shot(alice)); !a.Over || a.Reason != "sequence_missing" {
			t.Errorf("%+v", a)
		}
	}
	e.frame = nil
	id, page := s.ready(nil)
	s.sit(page, alice, "")
	calls := e.calls()
	for _, query := range []string{`UPDATE frames SET data = zeroblob(40)`, `DELETE FROM frames WHERE n = 3`, `DELETE FROM live`} {
		if id == "" {
			id, page = s.ready(nil)
			s.sit(page, alice, "")
		}
		spoil(t, s, query)
		s.act(id, "submit", nil, "")
		s.WaitJudged()
		if b := s.result("v3", "active", id); !bytes.Contains(b, []byte("FAILED")) || !bytes.Contains(b, []byte("engine_error")) || e.calls() != calls {
			t.Errorf("%s: %d calls: %s", query, e.calls(), b)
		}
		id = ""
	}
}

// Who has one that is good may do it again, as long as an attempt is left.
func TestLiveAgain(t *testing.T) {
	s := start(t, &engine{}, nil)
	id, page := s.ready(nil)
	for left := 2; left >= 0; left-- {
		if a := s.sit(page, alice, ""); !a.Done || a.State != "captured" || a.AttemptsLeft != left {
			t.Fatalf("%+v", a)
		}
		if left == 1 { // one that is begun takes the place of the one before
			s.begin(page, url.Values{})
			if a := s.act(id, "submit", nil, ""); a.status != 409 || a.Reason != "photos_missing" {
				t.Errorf("%+v", a)
			}
		}
	}
	if a := s.begin(page, url.Values{}); a.status != 409 || a.Reason != "attempts_exhausted" || a.Action != "" {
		t.Errorf("%+v", a)
	}
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	if st := s.state("active", id); st != "SUCCESS" {
		t.Errorf("%s", st)
	}
}

// A page without a script says what it needs, and offers no way around.
func TestLivePages(t *testing.T) {
	s := startStepUps(t, &engine{}, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessActive })
	_, proofing := s.ready(nil)
	id := s.session("Face")
	for _, page := range []string{proofing, "/authenticator/" + id} {
		b := string(s.send("GET", page, nil, map[string]string{"Accept": "text/html"}).body)
		for _, want := range []string{`data-testid="live"`, `data-testid="live-no-script"`, `data-testid="decline"`, `data-testid="live-cannot"`, "phone"} {
			if !strings.Contains(b, want) {
				t.Errorf("%s lacks %s", page, want)
			}
		}
		for _, no := range []string{`type="file"`, `data-testid="use-file"`} {
			if strings.Contains(b, no) {
				t.Errorf("%s has %s", page, no)
			}
		}
	}
	r := s.send("POST", "/authenticator/"+id+"/decline", strings.NewReader("why=cannot"), map[string]string{"Content-Type": "application/x-www-form-urlencoded", "Accept": "application/json"})
	if a := s.answered(r); a.State != "refused" || a.Reason != "abandoned" || !strings.Contains(a.Message, "another way") {
		t.Errorf("%+v", a)
	}
	if r := s.response(id); r.status != 403 || r.reason(t) != "abandoned" {
		t.Errorf("%d %s", r.status, r.body)
	}
}

// Photos alone are weak: no pass, and no account is told apart by it.
func TestPassiveIsWeak(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessPassive; o.StepUpTTL = time.Hour })
	e.match = func(r *api.MatchRequest) (*api.Report, error) {
		m := matched(api.Fail, api.ReasonFaceMismatch)
		switch {
		case bytes.Equal(r.References[0], []byte("nobody")):
			m = matched(api.CannotTell, api.ReasonTemplateForeign)
		case bytes.Equal(r.Selfies[0], alice):
			m = matched(api.Pass, "")
			m.Verdict, m.Reason = api.CannotTell, api.ReasonLivenessWeak
		}
		m.Checks = append(m.Checks, api.Check{Name: api.CheckLiveness, Outcome: api.CannotTell})
		return m, nil
	}
	var texts []string
	for name, photo := range map[string][]byte{aliceName: mallory, "nobody": mallory, strings.ToUpper(aliceName): alice} {
		id := s.session("Face")
		text := ""
		for range kosmos.MaxPoor {
			f := s.face(id, name, photo)
			text += fmt.Sprintf("%d %s %s %s %d\n", f.status, f.State, f.Reason, f.Message, f.AttemptsLeft)
		}
		texts = append(texts, text)
		if r := s.response(id); r.status != 403 || r.reason(t) != "liveness_weak" {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if texts[0] != texts[1] || texts[1] != texts[2] || !strings.Contains(texts[0], "refused liveness_weak") {
		t.Errorf("%s", texts)
	}
}
