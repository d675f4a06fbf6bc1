package main

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// scene plays a bridge and a local 1Kosmos for stepup. Each link of the challenge
// page leads to one authenticator, which answers uploads with the states of its
// list, one after the other.
type scene struct {
	refused        string     // the start is refused for this reason
	authenticators [][]string // per link: JSON of the states after each upload; "expired" alone: it is over before
	final          string     // JSON that the result node answers once the last authenticator has ended
	elsewhere      bool       // links lead to another page

	t       *testing.T
	link    int // which one the page shows
	round   int // uploads to it
	uploads []string
	back    []string // what the browser brought back
	over    bool
}

func (s *scene) bridge(kosmos func() string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("POST /descope/v1/stepup", func(w http.ResponseWriter, r *http.Request) {
		if s.refused != "" {
			fmt.Fprintf(w, `{"status":"refused","reason":%q,"challenge_id":null,"challenge_url":null,"retry_at":"2026-11-23T12:00:00Z"}`, s.refused)
			return
		}
		fmt.Fprintf(w, `{"status":"pending","challenge_id":"c1","challenge_url":"http://%s/c/c1/secret"}`, r.Host)
	})
	mux.HandleFunc("POST /descope/v1/stepup/result", func(w http.ResponseWriter, r *http.Request) {
		var in struct {
			Challenge string `json:"challenge_id"`
			User      string `json:"user_identifier"`
		}
		if err := json.NewDecoder(r.Body).Decode(&in); err != nil || in.Challenge != "c1" || in.User != "ada@example.com" {
			s.t.Errorf("asked about %+v, %v", in, err)
		}
		if s.over {
			fmt.Fprint(w, s.final)
			return
		}
		fmt.Fprint(w, `{"match_result":"pending","reason":null}`)
	})
	mux.HandleFunc("GET /c/c1/secret", func(w http.ResponseWriter, r *http.Request) {
		http.SetCookie(w, &http.Cookie{Name: "in", Value: "yes", Path: "/c/c1"})
		http.Redirect(w, r, "/c/c1", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /c/c1", func(w http.ResponseWriter, r *http.Request) {
		if c, err := r.Cookie("in"); err != nil || c.Value != "yes" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		if s.link < len(s.authenticators) {
			fmt.Fprintf(w, `<p><a data-testid="open-here" href="%s/sessions/session/%d">Go on</a>`, kosmos(), s.link)
			return
		}
		fmt.Fprint(w, `<p>One moment`)
	})
	mux.HandleFunc("GET /c/return", func(w http.ResponseWriter, r *http.Request) { s.back = append(s.back, r.URL.RawQuery) })
	return mux
}

func (s *scene) kosmos(bridge func() string) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /sessions/session/{n}", func(w http.ResponseWriter, r *http.Request) {
		if !strings.Contains(r.Header.Get("Accept"), "text/html") {
			fmt.Fprint(w, `{"sessionId":"x"}`)
			return
		}
		to := "/authenticator/" + r.PathValue("n")
		if s.elsewhere {
			to = "/elsewhere"
		}
		http.Redirect(w, r, to, http.StatusSeeOther)
	})
	mux.HandleFunc("GET /authenticator/{n}/return", func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, bridge()+"/c/return?state=s&code=c", http.StatusSeeOther)
	})
	mux.HandleFunc("GET /elsewhere", func(http.ResponseWriter, *http.Request) {})
	mux.HandleFunc("GET /authenticator/{n}", func(http.ResponseWriter, *http.Request) {})
	answer := func(w http.ResponseWriter, state string) {
		var v struct{ State string }
		if err := json.Unmarshal([]byte(state), &v); err != nil {
			s.t.Error(err)
		}
		if v.State != "open" {
			s.link, s.round = s.link+1, 0
			s.over = s.link == len(s.authenticators)
		}
		fmt.Fprint(w, strings.ReplaceAll(state, "NONCE", fmt.Sprintf("n%d-%d", s.link, s.round)))
	}
	mux.HandleFunc("GET /authenticator/{n}/state", func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Accept") != "application/json" {
			s.t.Error("state asked for as a page")
		}
		if states := s.authenticators[s.link]; slices.Equal(states, []string{"expired"}) {
			answer(w, `{"state":"expired"}`)
			return
		}
		fmt.Fprintf(w, `{"state":"open","nonce":"n%d-%d","account_needed":true}`, s.link, s.round)
	})
	mux.HandleFunc("POST /authenticator/{n}/face", func(w http.ResponseWriter, r *http.Request) {
		if err := r.ParseMultipartForm(1 << 20); err != nil {
			s.t.Error(err)
		}
		if got, want := r.FormValue("nonce"), fmt.Sprintf("n%d-%d", s.link, s.round); got != want {
			s.t.Errorf("nonce %q, want %q", got, want)
		}
		s.uploads = append(s.uploads, fmt.Sprintf("%s with %d files", r.FormValue("account"), len(r.MultipartForm.File["file"])))
		state := s.authenticators[s.link][s.round]
		s.round++
		if strings.Contains(state, "selfie_no_face") {
			w.WriteHeader(http.StatusUnprocessableEntity)
		}
		answer(w, state)
	})
	return mux
}

// play runs stepup against the scene.
func (s *scene) play(t *testing.T, args ...string) (status int, stdout, stderr string) {
	t.Helper()
	s.t = t
	var bridge, kosmos *httptest.Server
	kosmos = httptest.NewTLSServer(s.kosmos(func() string { return bridge.URL }))
	t.Cleanup(kosmos.Close)
	bridge = httptest.NewServer(s.bridge(func() string { return kosmos.URL }))
	t.Cleanup(bridge.Close)
	dir := t.TempDir()
	write := func(name string, b []byte) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	ca := write("ca.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: kosmos.Certificate().Raw}))
	b, err := json.Marshal(ready{BridgeURL: bridge.URL, Kosmos: readyKosmos{CAFile: ca}})
	if err != nil {
		t.Fatal(err)
	}
	var out, errs bytes.Buffer
	face := write("face.jpg", []byte("a face"))
	args = append([]string{"stepup", "--ready-file", write("ready.json", b), "--user", "ada@example.com", "--selfie", face, "--selfie", face, "--timeout", "20s"}, args...)
	status = run(context.Background(), args, &out, &errs)
	return status, out.String(), errs.String()
}

const (
	match   = `{"match_result":"match","reason":null,"confidence":0.9}`
	noMatch = `{"match_result":"no_match","reason":"face_mismatch","confidence":null}`
)

func TestStepUpCommand(t *testing.T) {
	open := func(reason string) string {
		return fmt.Sprintf(`{"state":"open","reason":%q,"message":"Please try again.","nonce":"NONCE","account_needed":true}`, reason)
	}
	for _, tt := range []struct {
		name           string
		scene          scene
		args           []string
		status         int
		stdout, stderr string // that is in it; "" for stdout: nothing
		uploads        int
		as             string
	}{
		{name: "match", scene: scene{authenticators: [][]string{{`{"state":"match"}`}}, final: match}, stdout: `"match"`, stderr: "] match\n", uploads: 1},
		{name: "quiet", scene: scene{authenticators: [][]string{{`{"state":"match"}`}}, final: match}, args: []string{"--json"}, stdout: `"match"`, uploads: 1},
		{name: "another wallet", scene: scene{authenticators: [][]string{{`{"state":"match"}`}}, final: noMatch},
			args: []string{"--account", "eve"}, status: 1, stdout: `"no_match"`, uploads: 1, as: "eve"},
		{name: "until the attempts are used up", scene: scene{
			authenticators: [][]string{{open("face_mismatch"), open("face_mismatch"), `{"state":"refused","reason":"face_mismatch"}`}}, final: noMatch,
		}, status: 1, stdout: `"no_match"`, stderr: "Please try again.", uploads: 3},
		{name: "after a photo without a face", scene: scene{
			authenticators: [][]string{{open("selfie_no_face"), `{"state":"match"}`}}, final: match,
		}, stdout: `"match"`, uploads: 2},
		{name: "in the second session", scene: scene{authenticators: [][]string{{"expired"}, {`{"state":"match"}`}}, final: match}, stdout: `"match"`, uploads: 1},
		{name: "expired", scene: scene{authenticators: [][]string{{"expired"}}, final: `{"match_result":"expired","reason":"time_limit"}`},
			status: 2, stdout: `"expired"`, stderr: "no verdict: expired (time_limit)"},
		{name: "a result that is no word of ours", scene: scene{authenticators: [][]string{{`{"state":"match"}`}}, final: `{"match_result":"MATCH"}`},
			status: 2, stdout: `"MATCH"`, uploads: 1},
		{name: "refused", scene: scene{refused: "user_not_enrolled"}, status: 2, stderr: "hint: enrol the person first"},
		{name: "too many", scene: scene{refused: "too_many_attempts"}, status: 2, stderr: "again from 2026-11-23T12:00:00Z"},
		{name: "no liveness from files", scene: scene{authenticators: [][]string{{open("liveness_unavailable")}}},
			status: 2, stderr: "demo --step-up-liveness none", uploads: 1},
		{name: "too fast", scene: scene{authenticators: [][]string{{`{"state":"","reason":"rate_limited","message":"That was too fast."}`}}},
			status: 2, stderr: "authenticator: That was too fast. (rate_limited)", uploads: 1},
		{name: "not the local 1Kosmos", scene: scene{authenticators: [][]string{{}}, elsewhere: true}, status: 2, stderr: "hint: only the authenticator"},
		{name: "nobody answers in time", scene: scene{final: match}, args: []string{"--timeout", "300ms"}, status: 2, stderr: "hint: it took longer than --timeout 300ms"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			status, stdout, stderr := tt.scene.play(t, tt.args...)
			if status != tt.status || !strings.Contains(stdout, tt.stdout) || (tt.stdout == "") != (stdout == "") || !strings.Contains(stderr, tt.stderr) {
				t.Errorf("exit status %d\n%s%s", status, stdout, stderr)
			}
			if slices.Contains(tt.args, "--json") && stderr != "" {
				t.Errorf("not quiet: %s", stderr)
			}
			as := "ada@example.com"
			if tt.as != "" {
				as = tt.as
			}
			if want := slices.Repeat([]string{as + " with 2 files"}, tt.uploads); !slices.Equal(tt.scene.uploads, want) {
				t.Errorf("uploads %q, want %q", tt.scene.uploads, want)
			}
		})
	}
}

// TestStepUpCommandGoesBack: where 1Kosmos sends the browser back to us, the person goes there.
func TestStepUpCommandGoesBack(t *testing.T) {
	s := scene{authenticators: [][]string{{`{"state":"match","return_url":"/authenticator/0/return"}`}}, final: match}
	if status, _, stderr := s.play(t); status != 0 || !slices.Equal(s.back, []string{"state=s&code=c"}) {
		t.Errorf("exit status %d, came back with %q\n%s", status, s.back, stderr)
	}
}
