package manage

import (
	"context"
	"crypto/rand"
	"sync"
	"time"
)

// Of management flows that nobody waits for.
const (
	maxExecutions = 1000             // kept; of more, the oldest go
	maxRunning    = 20               // at once
	keptResult    = 10 * time.Minute // a result can be asked for
	flowTime      = time.Minute      // that a flow may take
)

// executions are the runs that were started by async/run.
type executions struct {
	mu      sync.Mutex
	byID    map[string]*execution
	order   []string
	running int
}

// execution is one run. output is nil until it has ended.
type execution struct {
	output map[string]any
	err    error
	ended  time.Time
}

// add makes an execution; false if too many run.
func (x *executions) add(now time.Time) (id string, e *execution, ok bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running >= maxRunning {
		return "", nil, false
	}
	for len(x.order) > 0 {
		old := x.byID[x.order[0]]
		if len(x.order) < maxExecutions && (old.ended.IsZero() || now.Sub(old.ended) < keptResult) {
			break
		}
		delete(x.byID, x.order[0])
		x.order = x.order[1:]
	}
	if x.byID == nil {
		x.byID = map[string]*execution{}
	}
	id, e = rand.Text(), &execution{}
	x.byID[id] = e
	x.order = append(x.order, id)
	x.running++
	return id, e, true
}

func (x *executions) end(e *execution, output map[string]any, err error, now time.Time) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e.output, e.err, e.ended = output, err, now
	x.running--
}

// get is a copy of an execution that can still be asked for.
func (x *executions) get(id string, now time.Time) (execution, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	e := x.byID[id]
	if e == nil || !e.ended.IsZero() && now.Sub(e.ended) >= keptResult {
		return execution{}, false
	}
	return *e, true
}

// running is the body of run and async/run.
type running struct {
	FlowID  string `json:"flowId"`
	Options struct {
		Input   map[string]any `json:"input"`
		Preview bool           `json:"preview"`
		Tenant  string         `json:"tenant"`
	} `json:"options"`
}

func (r *request) running() (b running, err error) {
	if err := r.read(&b); err != nil {
		return b, err
	}
	switch {
	case b.FlowID == "":
		return b, bad("flowId is missing.")
	case b.Options.Preview:
		return b, unknown("Running the preview of a flow (preview)")
	case b.Options.Tenant != "":
		return b, unknown("Running a flow for a tenant (tenant)")
	}
	return b, nil
}

func (s *server) runFlow(r *request) (any, error) {
	b, err := r.running()
	if err != nil {
		return nil, err
	}
	output, err := s.Flows.RunManagement(r.ctx, b.FlowID, b.Options.Input)
	if err != nil {
		return nil, err
	}
	return map[string]any{"output": output}, nil
}

// startFlow runs a flow behind the answer. What is wrong with the flow itself is told at
// once (guess).
func (s *server) startFlow(r *request) (any, error) {
	b, err := r.running()
	if err != nil {
		return nil, err
	}
	doc, err := s.Flows.Export(b.FlowID)
	if err != nil {
		return nil, err
	}
	if !doc.Metadata.Management {
		return nil, errNoManagement
	}
	id, e, ok := s.executions.add(s.Now())
	if !ok {
		r.w.Header().Set("Retry-After", "1")
		return nil, errRunning
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(r.ctx), flowTime)
	go func() {
		defer cancel()
		output, err := s.Flows.RunManagement(ctx, b.FlowID, b.Options.Input)
		s.executions.end(e, output, err, s.Now())
	}()
	return map[string]string{"executionId": id}, nil
}

func (s *server) flowResult(r *request) (any, error) {
	var b struct {
		ID string `json:"executionId"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	e, ok := s.executions.get(b.ID, s.Now())
	switch {
	case !ok:
		return nil, errExecution
	case e.err != nil:
		return nil, e.err
	case e.ended.IsZero():
		return nil, nil
	}
	return map[string]any{"output": e.output}, nil
}
