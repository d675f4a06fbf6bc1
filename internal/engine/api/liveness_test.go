package api_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// serving answers every request with a body, and tells what was asked.
func serving(t *testing.T, body string) (*api.Client, *string) {
	t.Helper()
	var asked string
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		asked = r.Method + " " + r.URL.Path + " " + string(b)
		_, _ = io.WriteString(w, body)
	}))
	t.Cleanup(srv.Close)
	return api.New(srv.URL, nil), &asked
}

func TestClientChallenge(t *testing.T) {
	nonce := strings.Repeat("0a", 16)
	for body, taken := range map[string]bool{
		`{"nonce":"` + nonce + `","actions":["look_straight","turn_left","look_straight"],"action_ms":10000,"total_ms":60000}`: true,
		`{"nonce":"` + nonce + `","actions":[],"action_ms":10000,"total_ms":60000}`:                                            false,
		`{"nonce":"` + nonce + `","actions":["look_straight","turn_left","look_straight"],"action_ms":0,"total_ms":60000}`:     false,
		`{"actions":["look_straight","turn_left","look_straight"],"action_ms":10000,"total_ms":60000}`:                         false,
		`{"verdict":"pass"}`: false, `null`: false, `{`: false,
	} {
		client, asked := serving(t, body)
		c, err := client.Challenge(t.Context())
		if (err == nil) != taken || (c != nil) != taken || !taken && !errors.Is(err, api.ErrUnreachable) || *asked != "POST /v1/challenge {}" {
			t.Errorf("%s: %+v, %v, asked %s", body, c, err, *asked)
		}
	}
}

func TestClientFrame(t *testing.T) {
	for body, taken := range map[string]bool{
		`{"hint":"good"}`: true,
		`{"hint":"good","keep":true,"measure":{"a":1}}`:                                true,
		`{"hint":"good","keep":true,"done":true,"measure":{"a":1},"new":1}`:            true,
		`{"hint":"other_way","over":true,"reason":"liveness_incomplete"}`:              true,
		`{"hint":"good","keep":true}`:                                                  false, // without a measure
		`{"hint":"good","done":true}`:                                                  false, // done, but not kept
		`{"hint":"good","over":true}`:                                                  false, // without a reason
		`{"hint":"good","reason":"x"}`:                                                 false, // and not over
		`{"hint":"good","over":true,"reason":"x","done":true,"keep":true,"measure":1}`: false,
		`{"keep":true,"measure":1}`:                                                    false, `null`: false, `[]`: false, ``: false,
	} {
		client, asked := serving(t, body)
		req := &api.FrameRequest{Challenge: api.Challenge{Nonce: "n"}, Frame: api.Frame{Image: []byte{1}, Action: 2, ReceivedMS: 30, CapturedMS: 4}, Earlier: []json.RawMessage{[]byte(`{"x":1}`)}}
		f, err := client.Frame(t.Context(), req)
		if (err == nil) != taken || (f != nil) != taken || !taken && !errors.Is(err, api.ErrUnreachable) {
			t.Errorf("%s: %+v, %v", body, f, err)
		}
		want := `POST /v1/frame {"challenge":{"nonce":"n","actions":null,"action_ms":0,"total_ms":0},"frame":{"image":"AQ==","action":2,"received_ms":30,"captured_ms":4},"earlier":[{"x":1}]}`
		if *asked != want {
			t.Errorf("asked %s", *asked)
		}
	}
}

// TestActiveNeedsItsChecks: a pass for which liveness was asked has looked at it.
func TestActiveNeedsItsChecks(t *testing.T) {
	names := []string{"mrz_check_digits", "document_expiry", "selfie", "face_match", "liveness", "liveness_frames", "liveness_actions", "liveness_depth", "liveness_same_face"}
	report := func(without string) string {
		var checks []string
		for _, n := range names {
			if n != without {
				checks = append(checks, fmt.Sprintf(`{"name":%q,"outcome":"pass"}`, n))
			}
		}
		return `{"verdict":"pass","checks":[` + strings.Join(checks, ",") + `]}`
	}
	for _, mode := range []string{api.LivenessNone, api.LivenessPassive, api.LivenessActive} {
		for i, without := range append([]string{""}, names...) {
			client, _ := serving(t, report(without))
			v, verr := client.Verify(t.Context(), &api.VerifyRequest{LivenessMode: mode})
			m, merr := client.Match(t.Context(), &api.MatchRequest{LivenessMode: mode, Liveness: &api.Liveness{}})
			needed := i > 0 && (i <= 4 || i == 5 && mode != api.LivenessNone || i > 5 && mode == api.LivenessActive)
			if (v == nil) != needed || (verr != nil) != needed {
				t.Errorf("%s, verify without %q: %v", mode, without, verr)
			}
			if matched := needed && i > 2; (m == nil) != matched || (merr != nil) != matched {
				t.Errorf("%s, match without %q: %v", mode, without, merr)
			}
		}
	}
}

func FuzzParseFrameReport(f *testing.F) {
	f.Add([]byte(`{"hint":"good","keep":true,"measure":{}}`))
	f.Add([]byte(`{"hint":"good","over":true,"reason":"x"}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		r, err := api.ParseFrameReport(b)
		if err == nil && (r.Over && r.Done || r.Keep && r.Measure == nil || r.Over == (r.Reason == "")) {
			t.Errorf("%+v", r)
		}
	})
}
