package faults

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"
)

// Kind is what goes wrong.
type Kind string

// Kinds. With Status nothing is done; with all others the work is.
const (
	Slow      Kind = "slow"      // it starts DelayMS later
	Status    Kind = "status"    // it answers Status, as a gateway in front of it would
	Malformed Kind = "malformed" // the answer is half of its JSON
	Nulls     Kind = "nulls"     // every field of the answer is null; connectors only
	Lost      Kind = "lost"      // the work is done, the connection is cut before the answer
	Duplicate Kind = "duplicate" // the work is done twice, as by a retry; the second answer is given
)

// Kinds in the order in which people read them.
var Kinds = []Kind{Slow, Status, Malformed, Nulls, Lost, Duplicate}

// Targets: the runtime API that browsers call (Runtime, Runtime:start,
// Runtime:next), or what connectors call (Connector, Connector:NAME).
const (
	Runtime   = "runtime"
	Connector = "connector"
)

// Fault is one knob that is turned.
type Fault struct {
	ID      int    `json:"id"`
	Target  string `json:"target"`
	Kind    Kind   `json:"kind"`
	DelayMS int    `json:"delay_ms,omitempty"`
	Status  int    `json:"status,omitempty"` // 400 to 599
	Count   int    `json:"count,omitempty"`  // for so many calls; 0: until cleared
}

func (f Fault) check() error {
	runtime := f.Target == Runtime || f.Target == Runtime+":start" || f.Target == Runtime+":next"
	name, connector := strings.CutPrefix(f.Target, Connector)
	connector = connector && (name == "" || len(name) > 1 && name[0] == ':')
	switch {
	case !runtime && !connector || len(f.Target) > 200:
		return errors.New("target must be runtime, runtime:start, runtime:next, connector or connector:NAME")
	case !slices.Contains(Kinds, f.Kind):
		return errors.New("kind must be slow, status, malformed, nulls, lost or duplicate")
	case f.Kind == Nulls && runtime:
		return errors.New("nulls is for connectors only")
	case (f.Kind == Slow) != (f.DelayMS != 0) || f.DelayMS < 0 || f.DelayMS > 120_000:
		return errors.New("slow needs delay_ms, from 1 to 120000, and only slow has it")
	case (f.Kind == Status) != (f.Status != 0) || f.Kind == Status && (f.Status < 400 || f.Status > 599):
		return errors.New("status needs a status from 400 to 599, and only status has it")
	case f.Count < 0 || f.Count > 1000:
		return errors.New("count must be from 0 to 1000")
	}
	return nil
}

// most is how many knobs can be turned at once.
const most = 50

// Set holds the faults. A nil Set has none. It is safe for concurrent use.
type Set struct {
	mu   sync.Mutex
	last int
	list []Fault
}

// New makes a Set without faults.
func New() *Set { return &Set{} }

// Add turns a knob. Errors name the field.
func (s *Set) Add(f Fault) (Fault, error) {
	if err := f.check(); err != nil {
		return Fault{}, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.list) == most {
		return Fault{}, fmt.Errorf("there are %d faults already; clear some", most)
	}
	s.last++
	f.ID = s.last
	s.list = append(s.list, f)
	return f, nil
}

// Remove clears one fault, and reports whether it was there.
func (s *Set) Remove(id int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := len(s.list)
	s.list = slices.DeleteFunc(s.list, func(f Fault) bool { return f.ID == id })
	return len(s.list) < n
}

// Clear clears all.
func (s *Set) Clear() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.list = nil
}

// List are the faults, oldest first.
func (s *Set) List() []Fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	return slices.Clone(s.list)
}

// Take is what happens to one call to the target, and uses the faults up.
func (s *Set) Take(target string) Effect {
	var e Effect
	if s == nil {
		return e
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	var kept []Fault
	for _, f := range s.list {
		if f.Target == target || strings.HasPrefix(target, f.Target+":") {
			e.add(f)
			if f.Count == 1 {
				continue
			}
			if f.Count > 1 {
				f.Count--
			}
		}
		kept = append(kept, f)
	}
	s.list = kept
	return e
}

// Effect is what happens to one call.
type Effect struct {
	Delay     time.Duration
	Status    int // 0: none
	Malformed bool
	Nulls     bool
	Lost      bool
	Duplicate bool
}

func (e *Effect) add(f Fault) {
	switch f.Kind {
	case Slow:
		e.Delay += time.Duration(f.DelayMS) * time.Millisecond
	case Status:
		e.Status = f.Status
	case Malformed:
		e.Malformed = true
	case Nulls:
		e.Nulls = true
	case Lost:
		e.Lost = true
	case Duplicate:
		e.Duplicate = true
	}
}

// String names the kinds; empty if there are none.
func (e Effect) String() string {
	var out []string
	for kind, on := range map[Kind]bool{
		Slow: e.Delay > 0, Status: e.Status != 0, Malformed: e.Malformed, Nulls: e.Nulls, Lost: e.Lost, Duplicate: e.Duplicate,
	} {
		if on {
			out = append(out, string(kind))
		}
	}
	slices.Sort(out)
	return strings.Join(out, ", ")
}

// Wait waits for the delay, or until ctx ends.
func (e Effect) Wait(ctx context.Context) error {
	if e.Delay <= 0 {
		return nil
	}
	t := time.NewTimer(e.Delay)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// Spoil is what becomes of an answer's body.
func (e Effect) Spoil(body []byte) []byte {
	if e.Nulls {
		var fields map[string]json.RawMessage
		if json.Unmarshal(body, &fields) == nil {
			for name := range fields {
				fields[name] = json.RawMessage("null")
			}
			if b, err := json.Marshal(fields); err == nil {
				body = b
			}
		}
	}
	if e.Malformed {
		// Half of any JSON that is longer than a digit is none; an answer that is
		// something else is made so.
		if body = body[:len(body)/2]; json.Valid(body) {
			body = append(bytes.Clone(body), '{')
		}
	}
	return body
}
