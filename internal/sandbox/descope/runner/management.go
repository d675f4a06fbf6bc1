package runner

import (
	"context"
	"crypto/rand"
	"fmt"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// RunManagement runs a management flow to its End and answers the output of that. There is
// no browser and nobody who signs in: it has connectors, conditions, subflows and the
// loading of a user, and finds the input under form (guess). Errors are *project.Error.
func (r *Runner) RunManagement(ctx context.Context, id string, input map[string]any) (output map[string]any, err error) {
	c := r.flow(id)
	switch {
	case c == nil:
		return nil, ErrNoFlow
	case !c.doc.Metadata.Management:
		return nil, ErrNoManagement
	case c.doc.Metadata.Disabled:
		return nil, ErrFlowOff
	}
	e := &execution{id: id + "|#|" + rand.Text(), flow: c, turn: make(chan struct{}, 1), ctx: values{}, claims: map[string]any{}}
	in, err := plain(input)
	if err != nil {
		return nil, r.public(e, err)
	}
	if in == nil {
		in = map[string]any{}
	}
	e.ctx.set(r.opt.Names.Keys.Form, in)
	x := &run{Runner: r, e: e, ctx: ctx, stack: []frame{{c, c.doc.Contents.StartTask}}}
	resp, err := x.tasks()
	if err != nil {
		return nil, r.public(e, err)
	}
	if resp.Status != StatusCompleted { // a subflow that was taken in later may show something
		return nil, r.public(e, fmt.Errorf("%s: a management flow cannot wait for a browser", x.place()))
	}
	if resp.Output == nil {
		return map[string]any{}, nil
	}
	return resp.Output, nil
}

// ended is the End of a management flow: nobody gets a session.
func (x *run) ended(t *flow.Task) (*Response, error) {
	output, err := x.output(t)
	if err != nil {
		return nil, err
	}
	return &Response{ExecutionID: x.e.id, StepID: stepID(x.stack), StepName: t.Name, Status: StatusCompleted, Output: output}, nil
}

// output is what an End gives back; nil if it gives nothing.
func (x *run) output(t *flow.Task) (out map[string]any, err error) {
	list, err := pairs(t.Arg("output"))
	for _, kv := range list {
		if out == nil {
			out = map[string]any{}
		}
		out[kv.Key] = clone(x.e.ctx.resolve(kv.Value))
	}
	return out, err
}

// managed says what of a task does not run without a browser.
func (i *inspection) managed(t *flow.Task) {
	n := i.opt.Names
	switch {
	case t.Type == flow.TypeScreen:
		i.fatal("is a screen, and a management flow has nobody to show it to")
	case t.Type == flow.TypeAutomated && t.Action != n.Connector.Action && t.Action != n.Actions.LoadUser && t.Action != n.Actions.End:
		i.fatal("action %q is not supported in management flows", t.Action)
	}
}
