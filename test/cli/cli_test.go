// Package cli_test drives the built program as a stranger would: from a shell,
// with files, over real HTTP. Documents are synthetic and rendered here; faces
// come from an npm package at test time.
package cli_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
	"github.com/kosmoscope/kosmoscope/test/program"
)

func TestMain(m *testing.M) { os.Exit(program.Main(m, func() error { return nil })) }

// TestScripts runs testdata/*.txtar. They share one running demo, whose ready
// file is $READY; $FIXTURES holds documents and selfies.
func TestScripts(t *testing.T) {
	work := t.TempDir()
	kosmoscope := program.BuildPlain(t)
	fixtures := filepath.Join(work, "fixtures")
	photos, err := specimen.FacesDir()
	if err != nil {
		skip(t, err)
	}
	// In a process of its own, because painting is ten times slower under the race detector.
	if out, err := exec.Command("go", "run", "../fixtures/cmd", fixtures).CombinedOutput(); err != nil {
		t.Fatalf("fixtures: %v\n%s", err, out)
	}
	cache := os.Getenv("KOSMOSCOPE_MODELS")
	if cache == "" {
		cache = "../../bin/models"
	}
	cache, err = filepath.Abs(cache)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := models.Open(cache); err != nil {
		skip(t, fmt.Errorf("no models, so nothing can be verified: %w", err))
	}
	t.Setenv("KOSMOSCOPE_MODELS", cache)
	t.Setenv("KOSMOSCOPE_WEB", webDir(t))
	ready := demo(t, kosmoscope, work)

	testscript.Run(t, testscript.Params{
		Dir:                 "testdata",
		RequireExplicitExec: true,
		Setup: func(env *testscript.Env) error {
			env.Setenv("PATH", filepath.Dir(kosmoscope)+string(os.PathListSeparator)+os.Getenv("PATH"))
			env.Setenv("KOSMOSCOPE_MODELS", cache)
			env.Setenv("KOSMOSCOPE_MODEL_PACKAGES", filepath.Join(photos, "..", "..", ".."))
			env.Setenv("FIXTURES", fixtures)
			env.Setenv("READY", ready)
			env.Setenv("DATA", filepath.Join(work, "data"))
			return nil
		},
		Cmds: map[string]func(ts *testscript.TestScript, neg bool, args []string){
			// exits STATUS PROGRAM ARGS...: run it and mind its exit status.
			"exits": func(ts *testscript.TestScript, _ bool, args []string) {
				got := 0
				err := ts.Exec(args[1], args[2:]...)
				if exit, ok := errors.AsType[*exec.ExitError](err); ok {
					got = exit.ExitCode()
				} else {
					ts.Check(err)
				}
				if fmt.Sprint(got) != args[0] {
					ts.Fatalf("exit status %d, want %s\n%s%s", got, args[0], ts.ReadFile("stdout"), ts.ReadFile("stderr"))
				}
			},
			// frames KIND SEED DIR: the frames of the holder's head, rendered once for all scripts.
			// A stack takes no frame twice, so only scripts with other stacks share a folder.
			"frames": func(ts *testscript.TestScript, _ bool, args []string) {
				dir, err := rendered(kosmoscope, fixtures, args[0], args[1])
				ts.Check(err)
				ts.Check(os.Symlink(dir, ts.MkAbs(args[2])))
			},
			// face NAME selfie|portrait FILE: a face of the npm package as a photo.
			"face": func(ts *testscript.TestScript, _ bool, args []string) {
				all, err := faces()
				ts.Check(err)
				face, ok := specimen.FindFace(all, args[0])
				if !ok {
					ts.Fatalf("no face %q", args[0])
				}
				img := face.Selfie()
				if args[1] == "portrait" {
					img = face.Portrait()
				}
				ts.Check(os.WriteFile(ts.MkAbs(args[2]), specimen.JPEG(img, 92), 0o644))
			},
			// challenge MATCH_RESULT REASON [LIVENESS]: what the last stepup printed; a match asks for none unless said.
			"challenge": func(ts *testscript.TestScript, _ bool, args []string) {
				var r struct {
					MatchResult  string `json:"match_result"`
					Reason       *string
					Confidence   *float64
					Basis        *string `json:"confidence_basis"`
					LivenessMode *string `json:"liveness_mode"`
				}
				if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &r); err != nil {
					ts.Fatalf("stdout is not the node's JSON: %v\n%s", err, ts.ReadFile("stderr"))
				}
				reason := "-"
				if r.Reason != nil {
					reason = *r.Reason
				}
				if r.MatchResult != args[0] || reason != args[1] {
					ts.Fatalf("got %s %s, want %s", r.MatchResult, reason, strings.Join(args, " "))
				}
				verdict := r.MatchResult == "match" || r.MatchResult == "no_match"
				if verdict != (r.Basis != nil) || (r.Basis != nil && *r.Basis == "provider_score") != (r.Confidence != nil) {
					ts.Fatalf("confidence %v and its basis %v do not fit %s", r.Confidence, r.Basis, r.MatchResult)
				}
				// What the local 1Kosmos knows of its own engine it says.
				mode := "none"
				if len(args) > 2 {
					mode = args[2]
				}
				if r.MatchResult == "match" && (r.Confidence == nil || *r.Confidence <= 0 || *r.Confidence > 1 || r.LivenessMode == nil || *r.LivenessMode != mode) {
					ts.Fatalf("a match with confidence %v and liveness %v", r.Confidence, r.LivenessMode)
				}
			},
			// result STATUS REASON: what the last prove printed.
			"result": func(ts *testscript.TestScript, _ bool, args []string) {
				var r struct {
					Status   string
					Reason   *string
					IALLevel *string         `json:"ial_level"`
					Claims   json.RawMessage `json:"claims"`
					Checks   []struct{ Name, Outcome string }
				}
				if err := json.Unmarshal([]byte(ts.ReadFile("stdout")), &r); err != nil {
					ts.Fatalf("stdout is not the node's JSON: %v", err)
				}
				reason := "-"
				if r.Reason != nil {
					reason = *r.Reason
				}
				if r.Status != args[0] || reason != args[1] {
					ts.Fatalf("got %s %s, want %s; checks %+v", r.Status, reason, strings.Join(args, " "), r.Checks)
				}
				if r.Status != "verified" && string(r.Claims) != "null" && len(r.Claims) > 0 {
					ts.Fatalf("claims of somebody who is not verified")
				}
			},
		},
	})
}

// heads are the folders of frames that were rendered, by kind and seed.
var heads struct {
	sync.Mutex
	err map[string]error
}

// rendered renders a folder of frames the first time it is asked for.
func rendered(kosmoscope, fixtures, kind, seed string) (dir string, err error) {
	heads.Lock()
	defer heads.Unlock()
	dir = filepath.Join(fixtures, kind+"-"+seed)
	err, done := heads.err[dir]
	if !done {
		out, failed := exec.Command(kosmoscope, "engine", "specimen", "--kind", kind, "--seed", seed, "--portrait", filepath.Join(fixtures, "selfie.jpg"), "--out", dir).CombinedOutput()
		if failed != nil {
			err = fmt.Errorf("frames: %w\n%s", failed, out)
		}
		if heads.err == nil {
			heads.err = map[string]error{}
		}
		heads.err[dir] = err
	}
	return dir, err
}

// faces reads the photographs once.
var faces = sync.OnceValues(func() ([]specimen.Face, error) {
	dir, err := specimen.FacesDir()
	if err != nil {
		return nil, err
	}
	return specimen.Faces(dir)
})

// skip leaves the test out, except where everything is to be tested.
func skip(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

// webDir is where make build leaves Descope's web component.
func webDir(t *testing.T) string {
	t.Helper()
	dir := os.Getenv("KOSMOSCOPE_WEB")
	if dir == "" {
		dir = "../../bin/web"
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// patience is how long the demo may take to begin or to end.
const patience = 4 * time.Minute

// demo starts `kosmoscope demo`, and at the end ends it as Ctrl-C would and sees
// that it goes cleanly.
func demo(t *testing.T, kosmoscope, work string) (readyFile string) {
	t.Helper()
	readyFile = filepath.Join(work, "ready.json")
	var stderr bytes.Buffer
	cmd := exec.Command(kosmoscope, "demo", "--port-base", fmt.Sprint(freeBase(t)), "--step-up-liveness", "none", "--data", filepath.Join(work, "data"), "--ready-file", readyFile)
	cmd.Stderr = &stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGINT)
		select {
		case err := <-ended:
			if err != nil {
				t.Errorf("demo ended with %v\n%s", err, stderr.String())
			}
		case <-time.After(patience):
			_ = cmd.Process.Kill()
			t.Errorf("demo did not end within %s of Ctrl-C", patience)
		}
	})
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := os.Stat(readyFile); err == nil {
			return readyFile
		}
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("demo ended: %v\n%s", err, stderr.String())
		case <-ctx.Done():
			t.Fatalf("demo is not up after %s\n%s", patience, stderr.String())
		case <-tick.C:
		}
	}
}

// freeBase finds five free ports in a row. Whoever looks beside us begins elsewhere.
func freeBase(t *testing.T) int {
	t.Helper()
	for try := range 1000 {
		base := 21000 + (os.Getpid()+try)%1200*7
		free := true
		for i := range 5 {
			l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", base+i))
			if err != nil {
				free = false
				break
			}
			l.Close()
		}
		if free {
			return base
		}
	}
	t.Fatal("no five free ports in a row")
	return 0
}
