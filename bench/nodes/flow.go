//go:build linux

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"time"

	"github.com/kosmoscope/kosmoscope/integrations"
	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
)

// flowFigures are those of the local Descope. Each next is the first of its own
// execution: the code's mail is asked for, and no connector runs.
type flowFigures struct {
	Start float64 `json:"start_s"` // from the process to its first answer
	Rate  phase   `json:"calls"`
}

const (
	flowRate = 500                      // calls a second of next
	flowID   = "kosmos-proof-on-signup" // takes addresses that nobody has used
)

// flowDoor is what a browser needs to run a flow.
type flowDoor struct {
	client  *http.Client
	base    string
	project string
	button  string // of the first screen
}

func (d *flowDoor) post(ctx context.Context, path, nonce string, in, out any) (*http.Response, error) {
	b, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, d.base+path, bytes.NewReader(b))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Authorization", "Bearer "+d.project)
	req.Header.Set("Content-Type", "application/json")
	if nonce != "" {
		req.Header.Set("X-Descope-Flow-Nonce", nonce)
	}
	res, err := d.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	if b, err = io.ReadAll(io.LimitReader(res.Body, 1<<20)); err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s: %s", path, res.Status, b)
	}
	return res, json.Unmarshal(b, out)
}

// execution is one that waits at its first screen.
type execution struct {
	ID     string `json:"executionId"`
	Step   string `json:"stepId"`
	Status string `json:"status"`
	Screen struct {
		ID string `json:"id"`
	} `json:"screen"`
	nonce string
}

func (d *flowDoor) start(ctx context.Context) (e execution, err error) {
	res, err := d.post(ctx, "/v1/flow/start", "", map[string]any{"flowId": flowID, "options": map[string]any{}}, &e)
	if err != nil {
		return e, err
	}
	e.nonce = res.Header.Get("X-Descope-Flow-Nonce")
	if e.Status != "waiting" || e.Screen.ID == "" {
		return e, fmt.Errorf("start answered %q and not a screen", e.Status)
	}
	return e, nil
}

// next leaves the first screen.
func (d *flowDoor) next(ctx context.Context, e execution, email string) error {
	var out execution
	_, err := d.post(ctx, "/v1/flow/next", e.nonce, map[string]any{
		"executionId": e.ID, "stepId": e.Step, "interactionId": d.button, "input": map[string]any{"email": email},
	}, &out)
	if err == nil && (out.Status != "waiting" || out.Screen.ID == "" || out.Screen.ID == e.Screen.ID) {
		err = fmt.Errorf("next answered %q, screen %q, and not the screen after %q", out.Status, out.Screen.ID, e.Screen.ID)
	}
	return err
}

// firstButton is the first button of a screen of the flow that we ship.
func firstButton(screen string) (string, error) {
	documents, err := flow.ReadDir(integrations.Flows())
	if err != nil {
		return "", err
	}
	for _, d := range documents {
		for _, s := range d.Screens {
			if d.FlowID != flowID || s.ScreenID != screen {
				continue
			}
			for _, i := range s.Interactions {
				if i.Type == "button" || i.Type == "" {
					return i.ID, nil
				}
			}
		}
	}
	return "", fmt.Errorf("screen %s of %s has no button", screen, flowID)
}

// measureFlow starts one more local Descope beside the demo's, and drives it.
func (o *options) measureFlow(ctx context.Context, log io.Writer, scratch string, stack ready) (*flowFigures, error) {
	if stack.Descope == nil {
		return nil, errors.New("the ready file names no local Descope")
	}
	f := new(flowFigures)
	var err error
	if f.Start, err = o.startDescope(ctx, log, scratch, stack); err != nil {
		return nil, err
	}
	pid, err := find(" sandbox descope ", filepath.Join(stack.Data, "descope.json"))
	if err != nil {
		return nil, err
	}
	d := &flowDoor{client: newNodes(stack).client, base: stack.Descope.BaseURL, project: stack.Descope.ProjectID}
	first, err := d.start(ctx)
	if err != nil {
		return nil, err
	}
	if d.button, err = firstButton(first.Screen.ID); err != nil {
		return nil, err
	}
	const seconds = 12 // fewer executions than the local Descope keeps
	progress(fmt.Sprintf("starting %d flows", flowRate*seconds))
	waiting := make([]execution, flowRate*seconds)
	for i := range waiting {
		if waiting[i], err = d.start(ctx); err != nil {
			return nil, err
		}
	}
	f.Rate, err = o.phase(ctx, "flow/next without a connector", stack, pid, flowRate, seconds*time.Second,
		stream{name: "next", call: func(ctx context.Context, i int) error {
			return d.next(ctx, waiting[i], fmt.Sprintf("somebody-%d@flow.example", i))
		}})
	return f, err
}

// startDescope times how long a local Descope with the demo's configuration takes
// to answer, in a folder of its own.
func (o *options) startDescope(ctx context.Context, log io.Writer, scratch string, stack ready) (seconds float64, err error) {
	file, base, err := ownDescope(scratch, filepath.Join(stack.Data, "descope.json"))
	if err != nil {
		return 0, err
	}
	begun := time.Now()
	l, err := launch(nil, log, "", o.program, "sandbox", "descope", "--config", file)
	if err != nil {
		return 0, err
	}
	defer l.stop()
	err = l.await(ctx, time.Minute, func() bool {
		res, err := http.Get(base + "/healthz") //nolint:noctx // loopback, and await has the deadline
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return time.Since(begun).Seconds(), err
}

// ownDescope writes a configuration like that in file, for another port and with
// data of its own.
func ownDescope(scratch, file string) (config, base string, err error) {
	b, err := os.ReadFile(file)
	if err != nil {
		return "", "", err
	}
	var c map[string]any
	if err := json.Unmarshal(b, &c); err != nil {
		return "", "", fmt.Errorf("%s: %w", file, err)
	}
	port, err := freePorts()
	if err != nil {
		return "", "", err
	}
	base = fmt.Sprintf("http://localhost:%d", port)
	c["listen"], c["url"], c["data"] = fmt.Sprintf("127.0.0.1:%d", port), base, filepath.Join(scratch, "descope-again")
	if b, err = json.Marshal(c); err != nil {
		return "", "", err
	}
	config = filepath.Join(scratch, "descope-again.json")
	return config, base, os.WriteFile(config, b, 0o600)
}

func (f *flowFigures) print(line func(format string, args ...any)) {
	line("\nlocal Descope (below in the place of the bridge): up after %.2f s (%s)", f.Start, verdict(f.Start, targetFlowStart, "s"))
	f.Rate.print(line, map[string]float64{"next": targetFlowNext})
}
