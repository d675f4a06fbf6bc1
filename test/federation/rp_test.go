package federation_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/test/world"
)

// fields is any JSON object.
type fields = map[string]any

// script is a client of the folder clients that waits for its browser.
type script struct {
	name  string
	home  string // its redirect URI
	Go    string // where it sends the browser, or the id of its CIBA request
	lines *bufio.Scanner
	cmd   *exec.Cmd
	early *outcome // it ended before it sent anybody anywhere
}

// outcome is how a client ended: with what it took for true, or with why it refused.
type outcome struct {
	Done    fields
	Refused *struct{ Name, Code, Error, Message, Cause string }
}

func (o *outcome) String() string {
	b, _ := json.Marshal(o) // of JSON, so it cannot fail
	return string(b)
}

// begin runs a client up to where it sends its browser.
func begin(t *testing.T, name string, task fields) *script {
	t.Helper()
	if _, err := os.Stat(filepath.Join("clients", "node_modules")); err != nil {
		lacking(t, errors.New("the clients are not installed: npm ci in test/federation/clients"))
	}
	b, err := json.Marshal(task)
	if err != nil {
		t.Fatal(err)
	}
	s := &script{name: name, cmd: exec.Command("node", filepath.Join("clients", name+".mjs"), string(b))}
	if home, ok := task["redirect_uri"].(string); ok {
		s.home = home
	} else {
		s.home, _ = task["acs"].(string)
	}
	out, err := s.cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var stderr strings.Builder
	s.cmd.Stderr = &stderr
	if err := s.cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = s.cmd.Process.Kill() // it has ended by itself, unless the test failed
		_ = s.cmd.Wait()
		if t.Failed() && stderr.Len() > 0 {
			t.Logf("%s: %s", name, stderr.String())
		}
	})
	s.lines = bufio.NewScanner(out)
	s.lines.Buffer(nil, 4<<20)
	var first struct {
		Go string
		outcome
	}
	if !s.lines.Scan() {
		_ = s.cmd.Wait()
		t.Fatalf("%s ended without a word: %s", name, stderr.String())
	}
	if err := json.Unmarshal(s.lines.Bytes(), &first); err != nil {
		t.Fatalf("%s said %s", name, s.lines.Text())
	}
	if s.Go = first.Go; s.Go == "" {
		s.early = &first.outcome
	}
	return s
}

// end gives what the client came to.
func (s *script) end(t *testing.T) *outcome {
	t.Helper()
	if s.early != nil {
		return s.early
	}
	if !s.lines.Scan() {
		t.Fatalf("%s ended without a result: %v", s.name, s.lines.Err())
	}
	var o outcome
	if err := json.Unmarshal(s.lines.Bytes(), &o); err != nil {
		t.Fatalf("%s said %s", s.name, s.lines.Text())
	}
	return &o
}

// signIn runs a client, and has a person go where it sends them and back.
func signIn(t *testing.T, p *world.Person, name string, task fields) *outcome {
	t.Helper()
	s := begin(t, name, task)
	if s.early != nil {
		return s.early
	}
	at, err := p.Visit(soon(t), s.Go, s.home)
	if err != nil {
		t.Fatal(err)
	}
	if !at.Home {
		t.Fatalf("%s: the browser ended at %d %s (%s %s) after %v: %s", name, at.Status, at.URL.Path, at.Step, at.Reason, p.Saw, at.Text)
	}
	deliver(t, at)
	return s.end(t)
}

// deliver has the browser open the client's address, with the form if there is one.
func deliver(t *testing.T, at *world.Arrival) {
	t.Helper()
	method, body := http.MethodGet, io.Reader(nil)
	if at.Form != nil {
		method, body = http.MethodPost, strings.NewReader(at.Form.Encode())
	}
	req, err := http.NewRequestWithContext(soon(t), method, at.URL.String(), body)
	if err != nil {
		t.Fatal(err)
	}
	if at.Form != nil {
		req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
}

// soon ends with the test, or after two minutes.
func soon(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// done is what a client took for true; it must not have refused.
func (o *outcome) done(t *testing.T) fields {
	t.Helper()
	if o.Refused != nil || o.Done == nil {
		t.Fatalf("refused: %s", o)
	}
	return o.Done
}

// object finds a member that must be an object.
func object(t *testing.T, from fields, name string) fields {
	t.Helper()
	o, ok := from[name].(fields)
	if !ok {
		t.Fatalf("%s is %v", name, from[name])
	}
	return o
}

// lacking leaves a test out, except where everything is to be tested.
func lacking(t *testing.T, why error) {
	t.Helper()
	if os.Getenv("KOSMOSCOPE_REQUIRE_MODELS") != "" {
		t.Fatal(why)
	}
	t.Skip(why)
}

func str(v any) string { return fmt.Sprint(v) }
