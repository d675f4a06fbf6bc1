package descope

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
)

// Flow is an entry of the list of flows.
type Flow struct {
	ID          string
	Name        string
	Description string
	Disabled    bool
}

// Flows lists the flows of the project (POST /v1/mgmt/flow/list).
func (c *Client) Flows(ctx context.Context) ([]Flow, error) {
	var out struct {
		Flows []fields `json:"flows"`
	}
	if err := c.do(ctx, CallFlows, nil, struct{}{}, &out); err != nil {
		return nil, err
	}
	var list []Flow
	for _, f := range out.Flows {
		if id := f.text("id"); id != "" {
			list = append(list, Flow{id, f.text("name"), f.text("description"), f.flag("disabled")})
		}
	}
	return list, nil
}

// ExportFlow reads a flow as Descope has it, to the last key (POST /v2/mgmt/flow/export);
// package flow reads what we know of it.
func (c *Client) ExportFlow(ctx context.Context, id string) (json.RawMessage, error) {
	if !word(id, maxName) {
		return nil, invalid("the id of a flow is of 1 to 100 bytes")
	}
	var out struct {
		Flow json.RawMessage `json:"flow"`
	}
	if err := c.do(ctx, CallExportFlow, nil, flowNamed{id}, &out); err != nil {
		return nil, err
	}
	if !object(out.Flow) {
		return nil, unavailable(errors.New("descope: the answer has no flow"), 0)
	}
	return out.Flow, nil
}

type flowNamed struct {
	ID string `json:"flowId"`
}

// ImportFlow puts a flow into the project, in the place of one of the same id (POST
// /v2/mgmt/flow/import). People in the middle of it start anew.
func (c *Client) ImportFlow(ctx context.Context, flow json.RawMessage) error {
	if !object(flow) {
		return invalid("a flow is a JSON object")
	}
	return c.do(ctx, CallImportFlow, nil, struct {
		Flow json.RawMessage `json:"flow"`
	}{flow}, nil)
}

func object(b json.RawMessage) bool {
	b = bytes.TrimSpace(b)
	return len(b) > 0 && b[0] == '{' && json.Valid(b)
}

// running is the body by which a management flow is run.
type running struct {
	FlowID  string `json:"flowId"`
	Options struct {
		Input map[string]any `json:"input,omitempty"`
	} `json:"options"`
}

const maxInput = 64 << 10 // bytes

func run(flow string, input map[string]any) (r running, err error) {
	if !word(flow, maxName) {
		return r, invalid("the id of a flow is of 1 to 100 bytes")
	}
	if b, err := json.Marshal(input); err != nil || len(b) > maxInput {
		return r, invalid("the input of a flow is too long, or no JSON")
	}
	r.FlowID, r.Options.Input = flow, input
	return r, nil
}

// RunFlow runs a management flow to its end and answers its output (POST
// /v1/mgmt/flow/run). A flow that takes longer than 10 s is for StartFlow.
func (c *Client) RunFlow(ctx context.Context, flow string, input map[string]any) (output map[string]any, err error) {
	in, err := run(flow, input)
	if err != nil {
		return nil, err
	}
	return c.output(ctx, CallRunFlow, in)
}

// StartFlow starts a management flow without waiting for it (POST
// /v1/mgmt/flow/async/run) and answers the id of its execution.
func (c *Client) StartFlow(ctx context.Context, flow string, input map[string]any) (execution string, err error) {
	in, err := run(flow, input)
	if err != nil {
		return "", err
	}
	var out struct {
		ID string `json:"executionId"`
	}
	if err := c.do(ctx, CallStartFlow, nil, in, &out); err != nil {
		return "", err
	}
	if !word(out.ID, maxID) { // it may run, but nobody can ask for it
		return "", unavailable(errors.New("descope: the answer has no execution id"), 0)
	}
	return out.ID, nil
}

// FlowResult is what a flow that was started came to (POST /v1/mgmt/flow/async/result).
// done is false while the answer has no output.
func (c *Client) FlowResult(ctx context.Context, execution string) (output map[string]any, done bool, err error) {
	if !word(execution, maxID) {
		return nil, false, invalid("the id of an execution is of 1 to 254 bytes")
	}
	output, err = c.output(ctx, CallFlowResult, struct {
		ID string `json:"executionId"`
	}{execution})
	return output, output != nil, err
}

func (c *Client) output(ctx context.Context, call Call, in any) (map[string]any, error) {
	var out struct {
		Output map[string]any `json:"output"`
	}
	if err := c.do(ctx, call, nil, in, &out); err != nil {
		return nil, err
	}
	return out.Output, nil
}
