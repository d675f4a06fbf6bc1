package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"text/tabwriter"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/console"
)

type demoCmd struct {
	PortBase  int    `default:"7080" help:"First of the six ports used on loopback: bridge, local 1Kosmos, engine, local Descope, shop, and one for a relying party of your own."`
	Data      string `default:"var/demo" type:"path" help:"Folder for everything that is kept."`
	ReadyFile string `type:"path" help:"Write this file (JSON: addresses and credentials) once all is up."`
	Models    string `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`

	StepUpLiveness string `enum:"active,none" default:"active" help:"What step-ups ask for: active, a few movements in front of the camera, or none, which takes photos from files as well and proves no living person."`
}

func (c *demoCmd) Run(ctx context.Context, s *streams) error {
	if c.ReadyFile != "" {
		if err := os.Remove(c.ReadyFile); err != nil && !os.IsNotExist(err) {
			return err
		}
	}
	begun := time.Now()
	progress := func(step string) { fmt.Fprintf(s.err, "[%5.1fs] %s\n", time.Since(begun).Seconds(), step) }
	stack, err := newStack(c.Data, portsFrom(c.PortBase), c.StepUpLiveness)
	if err != nil {
		return err
	}
	stack.app = true
	if err := stack.start(ctx, c.Models, progress); err != nil {
		return err
	}
	defer func() {
		progress("ending")
		stack.children.close()
		progress("ended; what was kept is in " + stack.dir)
	}()
	r := stack.ready()
	link, err := startVerification(ctx, http.DefaultClient, r.BridgeURL, r.Connector.Token, map[string]any{
		"document_types": []string{"passport", "id_card"}, "user_identifier": "you@example.com", "callback_url": r.BridgeURL + "/",
	})
	if err != nil {
		return err
	}
	consoleLink, err := linkFor(ctx, filepath.Join(stack.dir, "kosmoscope.yaml"), string(console.Operator), "you", firstLinkLasts)
	if err != nil {
		return err
	}
	if c.ReadyFile != "" {
		if err := writeReady(c.ReadyFile, r); err != nil {
			return err
		}
	}
	progress("everything is up")
	w := tabwriter.NewWriter(s.out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(w, "\nOpen the shop, and sign up:\n  %s\n\n", r.AppURL)
	fmt.Fprintf(w, "Mail arrives, and who signs in next is chosen, on the test panel:\n  %s/lab/\n\n", r.Descope.BaseURL)
	fmt.Fprintf(w, "Change what a face is asked for, in the console (this link is good once, for an hour):\n  %s\n\n", consoleLink)
	fmt.Fprintf(w, "Or verify yourself without Descope (this link is good once, for 30 minutes):\n  %s\n\n", link.SessionURL)
	against := ""
	if c.ReadyFile != "" {
		against = " --ready-file " + c.ReadyFile
	}
	fmt.Fprintf(w, "Or from files, in another terminal:\n  %s prove%s --liveness none --document PHOTO --selfie PHOTO\n\n", os.Args[0], against)
	fmt.Fprintf(w, "Bridge\t%s\t(OpenAPI: %s/descope/v1/openapi.json)\n", r.BridgeURL, r.BridgeURL)
	fmt.Fprintf(w, "Local 1Kosmos\thttps://%s\t(its CA: %s)\n", r.Kosmos.DNS, r.Kosmos.CAFile)
	fmt.Fprintf(w, "Engine\t%s\n", r.EngineURL)
	fmt.Fprintf(w, "Local Descope\t%s\t(project %s)\n", r.Descope.BaseURL, r.Descope.ProjectID)
	fmt.Fprintf(w, "Connector token\t%s\n", r.Connector.Token)
	fmt.Fprintf(w, "Configuration, logs\t%s\n\n", stack.dir)
	fmt.Fprintln(w, "Another link:")
	fmt.Fprintf(w, "  curl -s %s/descope/v1/idv -H 'Content-Type: application/json' \\\n    -H 'Authorization: Bearer %s' -d '{}'\n\n", r.BridgeURL, r.Connector.Token)
	fmt.Fprintln(w, "Ctrl-C ends it.")
	if err := w.Flush(); err != nil {
		return err
	}
	<-ctx.Done()
	return nil
}

// writeReady writes the file in one step: who sees it sees all of it.
func writeReady(path string, r ready) error {
	b, err := json.MarshalIndent(r, "", "  ")
	if err != nil {
		return err
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*") // mode 0600: it holds credentials
	if err != nil {
		return err
	}
	if _, err := tmp.Write(append(b, '\n')); err != nil {
		return err
	}
	if err := tmp.Close(); err != nil {
		return err
	}
	return os.Rename(tmp.Name(), path)
}

// started is what the IDV node answers.
type started struct {
	SessionID  string `json:"session_id"`
	SessionURL string `json:"session_url"`
}

// startVerification calls the IDV node as a flow would.
func startVerification(ctx context.Context, client *http.Client, bridge, token string, in map[string]any) (out started, err error) {
	return out, callNode(ctx, client, bridge+"/descope/v1/idv", token, in, &out)
}

// callNode posts to a node and reads its answer, which is kept whole when out is
// a *json.RawMessage.
func callNode(ctx context.Context, client *http.Client, url, token string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		var problem struct{ Title, Detail, Reason string }
		_ = json.NewDecoder(res.Body).Decode(&problem)
		return fmt.Errorf("the node answered %s: %s (%s)", res.Status, problem.Detail, problem.Reason)
	}
	return json.NewDecoder(res.Body).Decode(out)
}
