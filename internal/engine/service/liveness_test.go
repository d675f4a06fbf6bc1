package service_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/engine/service"
)

func challenge(t testing.TB) api.Challenge {
	t.Helper()
	c, err := liveness.Draw()
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// measure is one that the engine could have given.
func measure(change func(map[string]any)) json.RawMessage {
	m := map[string]any{"action": 0, "received": 10, "captured": 0, "width": 640, "height": 480, "turn": 0.1, "yaw": 2, "pitch": 1,
		"eyes": 90, "x": 320, "y": 240, "opening": 0.3, "lids": make([]byte, 256), "sharp": 50, "bright": 120, "clipped": 0}
	if change != nil {
		change(m)
	}
	b, _ := json.Marshal(m)
	return b
}

func TestLivenessOverTheWire(t *testing.T) {
	srv, _ := start(t, pass, service.Bounds{})
	client := api.New(srv.URL, nil)
	c, err := client.Challenge(t.Context())
	if err != nil || !liveness.Drawn(*c) {
		t.Fatalf("%+v, %v", c, err)
	}
	frame := api.Frame{Image: []byte{1}, ReceivedMS: 100}
	if rep, err := client.Frame(t.Context(), &api.FrameRequest{Challenge: *c, Frame: frame, Earlier: []json.RawMessage{measure(nil)}}); err != nil || rep.Hint != api.HintGood {
		t.Errorf("%+v, %v", rep, err)
	}
	live := &api.Liveness{Challenge: *c, Frames: []api.Frame{frame}, Camera: "Integrated Camera"}
	// The fake passes without having looked at a sequence: nobody believes it.
	if _, err := client.Verify(t.Context(), &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessActive, Liveness: live}); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("verify: %v", err)
	}
	if _, err := client.Match(t.Context(), &api.MatchRequest{References: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: live}); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("match: %v", err)
	}
}

func TestLivenessRefusals(t *testing.T) {
	srv, _ := start(t, pass, service.Bounds{})
	c := challenge(t)
	other := c
	other.Actions = []string{api.ActionStraight, api.ActionBlink, api.ActionStraight}
	slow := c
	slow.TotalMS *= 10
	frame := api.Frame{Image: []byte{1}}
	frames := func(n int) []api.Frame {
		var l []api.Frame
		for range n {
			l = append(l, frame)
		}
		return l
	}
	measures := func(n int) []json.RawMessage {
		var l []json.RawMessage
		for range n {
			l = append(l, measure(nil))
		}
		return l
	}
	bad := func(change func(map[string]any)) api.FrameRequest {
		return api.FrameRequest{Challenge: c, Frame: frame, Earlier: []json.RawMessage{measure(change)}}
	}
	live := func(l api.Liveness) api.VerifyRequest {
		return api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessActive, Liveness: &l}
	}
	for name, k := range map[string]struct {
		path  string
		body  any
		names string
	}{
		"challenge with a field":       {"challenge", map[string]int{"seed": 1}, "seed"},
		"frame, no challenge":          {"frame", api.FrameRequest{Frame: frame}, "challenge"},
		"frame, other actions":         {"frame", api.FrameRequest{Challenge: other, Frame: frame}, "challenge"},
		"frame, longer times":          {"frame", api.FrameRequest{Challenge: slow, Frame: frame}, "challenge"},
		"frame, no picture":            {"frame", api.FrameRequest{Challenge: c}, "frame"},
		"frame, large picture":         {"frame", api.FrameRequest{Challenge: c, Frame: api.Frame{Image: make([]byte, engine.MaxFrame+1)}}, "frame"},
		"frame, action beyond":         {"frame", api.FrameRequest{Challenge: c, Frame: api.Frame{Image: []byte{1}, Action: 5}}, "frame"},
		"frame, action before":         {"frame", api.FrameRequest{Challenge: c, Frame: api.Frame{Image: []byte{1}, Action: -1}}, "frame"},
		"frame, time before":           {"frame", api.FrameRequest{Challenge: c, Frame: api.Frame{Image: []byte{1}, CapturedMS: -1}}, "frame"},
		"frame, time beyond":           {"frame", api.FrameRequest{Challenge: c, Frame: api.Frame{Image: []byte{1}, ReceivedMS: 1 << 40}}, "frame"},
		"frame, too many measures":     {"frame", api.FrameRequest{Challenge: c, Frame: frame, Earlier: measures(api.MaxFrames + 1)}, "earlier"},
		"frame, empty measure":         {"frame", api.FrameRequest{Challenge: c, Frame: frame, Earlier: []json.RawMessage{[]byte("{}")}}, "earlier"},
		"frame, null measure":          {"frame", api.FrameRequest{Challenge: c, Frame: frame, Earlier: []json.RawMessage{[]byte("null")}}, "earlier"},
		"frame, huge turn":             {"frame", bad(func(m map[string]any) { m["turn"] = 1e200 }), "earlier"},
		"frame, no eyes":               {"frame", bad(func(m map[string]any) { m["eyes"] = 0 }), "earlier"},
		"frame, other lids":            {"frame", bad(func(m map[string]any) { m["lids"] = make([]byte, 5) }), "earlier"},
		"frame, long measure":          {"frame", bad(func(m map[string]any) { m["more"] = strings.Repeat("x", 4000) }), "earlier"},
		"active, no liveness":          {"verify", api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessActive}, "liveness"},
		"passive with liveness":        {"verify", api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessPassive, Liveness: &api.Liveness{Challenge: c, Frames: frames(1)}}, "liveness"},
		"active with selfies":          {"verify", api.VerifyRequest{DocumentFront: []byte{1}, Selfies: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: &api.Liveness{Challenge: c, Frames: frames(1)}}, "selfies"},
		"active, no frames":            {"verify", live(api.Liveness{Challenge: c}), "liveness.frames"},
		"active, too many frames":      {"verify", live(api.Liveness{Challenge: c, Frames: frames(api.MaxFrames + 1)}), "liveness.frames"},
		"active, empty frame":          {"verify", live(api.Liveness{Challenge: c, Frames: []api.Frame{{}}}), "liveness.frames"},
		"active, other actions":        {"verify", live(api.Liveness{Challenge: other, Frames: frames(1)}), "liveness.challenge"},
		"active, long camera":          {"verify", live(api.Liveness{Challenge: c, Frames: frames(1), Camera: strings.Repeat("c", 300)}), "liveness.camera"},
		"match, active with selfies":   {"match", api.MatchRequest{References: [][]byte{{1}}, Selfies: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: &api.Liveness{Challenge: c, Frames: frames(1)}}, "liveness"},
		"match, active with probes":    {"match", api.MatchRequest{References: [][]byte{{1}}, Probes: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: &api.Liveness{Challenge: c, Frames: frames(1)}}, "probes"},
		"match, none with a sequence":  {"match", api.MatchRequest{References: [][]byte{{1}}, LivenessMode: api.LivenessNone, Liveness: &api.Liveness{Challenge: c, Frames: frames(1)}}, "liveness"},
		"match, active without frames": {"match", api.MatchRequest{References: [][]byte{{1}}, LivenessMode: api.LivenessActive, Liveness: &api.Liveness{Challenge: c}}, "liveness.frames"},
	} {
		t.Run(name, func(t *testing.T) {
			body, err := json.Marshal(k.body)
			if err != nil {
				t.Fatal(err)
			}
			resp, err := http.Post(srv.URL+"/v1/"+k.path, "application/json", bytes.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			var p api.Problem
			if err := json.NewDecoder(resp.Body).Decode(&p); err != nil || resp.StatusCode != 400 || p.Reason != api.ReasonInvalidRequest || !strings.Contains(p.Message, k.names) {
				t.Errorf("HTTP %d, %+v, %v, want %q", resp.StatusCode, p, err, k.names)
			}
		})
	}
}

// FuzzRequests: whatever comes in is answered with 200 or 4xx, never with a crash.
func FuzzRequests(f *testing.F) {
	c, _ := json.Marshal(challenge(f))
	f.Add("frame", []byte(fmt.Sprintf(`{"challenge":%s,"frame":{"image":"AA==","action":0,"received_ms":1,"captured_ms":0},"earlier":[%s]}`, c, measure(nil))))
	f.Add("verify", []byte(fmt.Sprintf(`{"document_types":[],"document_front":"AA==","liveness_mode":"active","liveness":{"challenge":%s,"frames":[{"image":"AA=="}]}}`, c)))
	f.Add("match", []byte(fmt.Sprintf(`{"references":["AA=="],"liveness_mode":"active","liveness":{"challenge":%s,"frames":[{"image":"AA=="}]}}`, c)))
	h := service.Handler(judge{pass}, service.Bounds{}, nil)
	f.Fuzz(func(t *testing.T, path string, body []byte) {
		if path != "frame" && path != "verify" && path != "match" && path != "challenge" {
			return
		}
		req, err := http.NewRequest("POST", "/v1/"+path, bytes.NewReader(body))
		if err != nil {
			return
		}
		w := &recorder{header: http.Header{}}
		h.ServeHTTP(w, req)
		if w.status != 200 && w.status != 400 {
			t.Errorf("HTTP %d for %q", w.status, body)
		}
	})
}

// recorder keeps the status alone.
type recorder struct {
	header http.Header
	status int
}

func (r *recorder) Header() http.Header         { return r.header }
func (r *recorder) Write(b []byte) (int, error) { return len(b), nil }
func (r *recorder) WriteHeader(status int)      { r.status = status }
