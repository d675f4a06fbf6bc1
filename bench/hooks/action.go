//go:build linux

package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// action is how long it took from the receipt of an event, with nothing else to do, until
// what a rule does about it arrived where it goes.
type action struct {
	Store string `json:"store"`
	What  string `json:"what"`
	Count int    `json:"events"`
	// Since the answer to the event was read; what arrived before that counts as no time.
	times
	Early int   `json:"before_the_answer"`
	Sent  times `json:"since_sent"` // since the first byte of the request
}

// actions are what is followed. The pause lies between an arrival and the next event, so
// that nothing is left to do; our Descope client calls a user's functions seven times a
// second at most.
var actions = []struct {
	what, path, event string
	pause             time.Duration
}{
	{"call of Descope (log out a user)", "/v1/mgmt/user/logout", "BenchCall", 160 * time.Millisecond},
	{"signed message to an endpoint", "/endpoint", "BenchMessage", 60 * time.Millisecond},
}

func (o *options) action(ctx context.Context, store string, m *measured) (err error) {
	arrivals := map[string]chan time.Time{}
	for _, a := range actions {
		arrivals[a.path] = make(chan time.Time, 1000)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	outside := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		at := time.Now()
		_, _ = io.Copy(io.Discard, r.Body)
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, "{}")
		select {
		case arrivals[r.URL.Path] <- at:
		default: // nobody waits for this path
		}
	}), ReadHeaderTimeout: 10 * time.Second}
	go func() { _ = outside.Serve(l) }()
	defer outside.Close()
	origin := "http://" + l.Addr().String()

	b, err := o.newBridge(ctx, store, fmt.Sprintf("descope: { base_url: %q, project_id: P2bench, management_key: K2bench }\n", origin))
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, b.close()) }()
	rules, err := json.Marshal([]hooks.Rule{
		{ID: "call", Name: "Call", On: []string{actions[0].event}, Do: []hooks.Action{{Do: hooks.RevokeSessions}}},
		{ID: "message", Name: "Message", On: []string{actions[1].event}, Do: []hooks.Action{{Do: hooks.Notify, Type: "bench.message", Text: "Measured."}}},
	})
	if err != nil {
		return err
	}
	if err := o.start(ctx, b); err != nil { // it makes the key
		return err
	}
	file := filepath.Join(filepath.Dir(b.config), "rules.json")
	if err := os.WriteFile(file, rules, 0o600); err != nil {
		return err
	}
	if err := o.command(ctx, b, "rules publish", file); err != nil {
		return err
	}
	if err := o.command(ctx, b, "endpoint add", "--name", "Bench", "--allow-private", origin+actions[1].path); err != nil {
		return err
	}
	c := &connection{address: strings.TrimPrefix(b.origin, "http://")}
	defer c.close()
	for _, a := range actions {
		f := action{Store: store, What: a.what, Count: o.actions}
		since, sent := newClock(), newClock()
		for i := range o.actions + 20 { // the first are a warm-up
			begun, answered, err := c.one(a.event, i)
			if err != nil {
				return err
			}
			var at time.Time
			select {
			case at = <-arrivals[a.path]:
			case <-time.After(30 * time.Second):
				return fmt.Errorf("%s: nothing arrived within 30 s\n%s", a.what, b.proc.Tail())
			case <-ctx.Done():
				return ctx.Err()
			}
			if i >= 20 {
				since.add(at.Sub(answered))
				sent.add(at.Sub(begun))
				if at.Before(answered) {
					f.Early++
				}
			}
			time.Sleep(a.pause)
		}
		f.times, f.Sent = since.times(), sent.times()
		m.Action = append(m.Action, f)
	}
	return nil
}

// one tells one event: when its request began to be sent, and when its answer was read.
func (c *connection) one(kind string, i int) (begun, answered time.Time, err error) {
	c.body = append(event(append(c.body[:0], '['), kind, fmt.Sprintf("u%d@example.com", i), fmt.Sprintf("U2bench%08d", i), serial.Add(1)), ']')
	c.sign()
	begun = time.Now()
	err = c.post()
	return begun, time.Now(), err
}
