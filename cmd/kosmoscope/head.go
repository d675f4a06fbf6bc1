package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// What prove and stepup do where a living person is to be shown: they play the
// frames of a folder as if a camera saw them, each action when the page asks for
// it. That is an injection of rendered frames. The engine cannot exclude it, so
// that it passes shows that everything works together, and nothing about people.

const (
	headWarning = "--head injects rendered frames, which the engine cannot tell from a camera's: that they pass proves no living person"
	headHint    = "show frames instead with --head DIR (kosmoscope engine specimen --kind head --portrait FILE --out DIR renders them)"

	headCamera = "kosmoscope, frames from files" // what the pages are told of the camera
	frameEvery = 250 * time.Millisecond          // what the frames were rendered for
	headTries  = 8                               // of one call that came to nothing, in a row
)

// head is frames that are being played: the files that were not shown yet, by
// action, in order.
type head map[string][]string

// openHead lists the frames ACTION-*.jpg of folders: one folder after the other,
// each in the order of their names.
func openHead(dirs ...string) (head, error) {
	h := head{}
	for _, dir := range dirs {
		entries, err := os.ReadDir(dir) // sorted
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if action, _, ok := strings.Cut(e.Name(), "-"); ok && filepath.Ext(e.Name()) == ".jpg" {
				h[action] = append(h[action], filepath.Join(dir, e.Name()))
			}
		}
	}
	if len(h[api.ActionStraight]) == 0 {
		return nil, hint(fmt.Errorf("%s: no frames look_straight-*.jpg", strings.Join(dirs, ", ")), "kosmoscope engine specimen --kind head --portrait FILE --out DIR renders a folder of frames")
	}
	return h, nil
}

// next takes the next frame of an action. Nobody looks the same twice, so whoever
// is asked for an action again goes on where the folder was left.
func (h head) next(action string) ([]byte, error) {
	files := h[action]
	if len(files) == 0 {
		return nil, hint(fmt.Errorf("no frames are left of %s", action), "render another folder with another --seed, and give both: --head DIR --head DIR")
	}
	h[action] = files[1:]
	return os.ReadFile(files[0])
}

// play shows one sequence to a page: base/live begins it, base/live/frame takes
// the frames. It returns what the page said last: that the sequence is done, or
// over, or why there is none (no Action then).
func (h head) play(ctx context.Context, person *http.Client, base string, fields url.Values, progress func(string)) (pageState, error) {
	fields.Set("camera", headCamera)
	s, err := insisting(ctx, func() (pageState, error) { return submit(ctx, person, base+"/live", fields) })
	begun, said := time.Now(), ""
	for index := -1; err == nil && s.Action != "" && !s.Done && !s.Over; {
		if s.Index != index {
			index, said = s.Index, ""
			progress(fmt.Sprintf("        %d of %d: %s", index+1, s.Actions, s.Action))
		}
		if s.Message != "" && s.Message != said {
			said = s.Message
			progress("        " + said)
		}
		shown := time.Now()
		var frame []byte
		if frame, err = h.next(s.Action); err != nil {
			break
		}
		s, err = insisting(ctx, func() (pageState, error) {
			q := url.Values{"n": {strconv.Itoa(index)}, "t": {strconv.FormatInt(time.Since(begun).Milliseconds(), 10)}}
			req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/live/frame?"+q.Encode(), bytes.NewReader(frame))
			if err != nil {
				return pageState{}, err
			}
			req.Header.Set("Content-Type", "image/jpeg")
			return readState(person, req)
		})
		if err == nil {
			err = pause(ctx, time.Until(shown.Add(frameEvery)))
		}
	}
	return s, err
}

// insisting repeats a call to a page that did not get through, or for which there
// was no time, as the page's script does.
func insisting(ctx context.Context, call func() (pageState, error)) (s pageState, err error) {
	for try := range headTries {
		if s, err = call(); err == nil {
			switch s.Reason {
			case "rate_limited", "upload_running", "uploads_busy", "upload_slow", api.ReasonEngineBusy, api.ReasonEngineTimeout, "engine_unavailable":
			default:
				return s, nil
			}
			if s.Action != "" {
				return s, nil
			}
		} else if _, answered := errors.AsType[*statusError](err); answered {
			return s, err
		}
		if waiting := pause(ctx, min(4*time.Second, 500*time.Millisecond<<try)); waiting != nil {
			return s, errors.Join(err, waiting)
		}
	}
	return s, err
}

// again reports whether somebody would begin anew after this: something went
// wrong, nothing speaks against them, and they may.
func (s pageState) again() bool {
	return s.AttemptsLeft > 0 && (s.Reason == api.ReasonLivenessIncomplete || s.Reason == "sequence_missing")
}

// ended reports whether a proofing is over, or on its way to a verdict.
func (s pageState) ended() bool {
	switch s.State {
	case "judging", "success", "failed", "expired", "abandoned":
		return true
	}
	return false
}

func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
