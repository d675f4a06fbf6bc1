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
	"os/exec"
	"path/filepath"
	"time"
)

// nodes calls the two nodes as a flow does: one bearer token, JSON, connections
// kept open.
type nodes struct {
	client *http.Client
	ready  ready
}

func newNodes(r ready) *nodes {
	return &nodes{ready: r, client: &http.Client{
		Timeout:   10 * time.Second,
		Transport: &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024},
	}}
}

type started struct {
	SessionID  string `json:"session_id"`
	SessionURL string `json:"session_url"`
	Status     string `json:"status"`
}

// idv starts a verification; a user "" is left out.
func (n *nodes) idv(ctx context.Context, user string) (s started, err error) {
	in := map[string]any{"document_types": []string{"passport"}, "liveness_mode": "none"}
	if user != "" {
		in["user_identifier"] = user
	}
	if err := n.post(ctx, "/descope/v1/idv", in, &s); err != nil {
		return s, err
	}
	if s.SessionID == "" || s.SessionURL == "" || s.Status != "pending" {
		return s, fmt.Errorf("IDV answered without a session, or not pending but %q", s.Status)
	}
	return s, nil
}

// result reads a verification whose status is known.
func (n *nodes) result(ctx context.Context, v finished) error {
	var out finished
	if err := n.post(ctx, "/descope/v1/idv/result", map[string]any{"session_id": v.SessionID}, &out); err != nil {
		return err
	}
	if out != v {
		return fmt.Errorf("IDV Result said %q (%s) of a verification that is %q (%s)", out.Status, out.Reason, v.Status, v.Reason)
	}
	return nil
}

// health is the least that the same server can be asked: no caller, no store.
func (n *nodes) health(ctx context.Context) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ready.BridgeURL+"/healthz", nil)
	if err != nil {
		return err
	}
	_, err = n.do(req)
	return err
}

func (n *nodes) post(ctx context.Context, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, n.ready.BridgeURL+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("Authorization", "Bearer "+n.ready.Connector.Token)
	b, err := n.do(req)
	if err != nil {
		return err
	}
	return json.Unmarshal(b, out)
}

func (n *nodes) do(req *http.Request) ([]byte, error) {
	res, err := n.client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		return nil, err
	}
	if res.StatusCode != http.StatusOK {
		return nil, fmt.Errorf("%s answered %s", req.URL.Path, res.Status)
	}
	return b, nil
}

// finished is a verification of which the Result node's answer is known.
type finished struct {
	SessionID string `json:"session_id"`
	Status    string `json:"status"`
	Reason    string `json:"reason"`
}

// finish runs some verifications through the whole program, as `prove` does.
func finish(ctx context.Context, program, readyFile, photos string) ([]finished, error) {
	photo := func(name string) string { return filepath.Join(photos, name+".jpg") }
	var out []finished
	for _, c := range []struct {
		status string
		args   []string
	}{
		{"verified", []string{"--document", photo("passport"), "--selfie", photo("selfie")}},
		{"verified", []string{"--document", photo("idcard"), "--document-back", photo("idcard-back"), "--document-type", "id_card", "--selfie", photo("selfie"), "--user-identifier", "bench"}},
		{"failed", []string{"--document", photo("passport"), "--selfie", photo("other")}},
		{"failed", []string{"--document", photo("expired"), "--selfie", photo("selfie")}},
	} {
		args := append([]string{"prove", "--ready-file", readyFile, "--liveness", "none", "--json"}, c.args...)
		var stderr bytes.Buffer
		cmd := exec.CommandContext(ctx, program, args...)
		cmd.Stderr = &stderr
		stdout, err := cmd.Output()
		if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
			err = nil // not verified, which may be right
		}
		if err != nil {
			return nil, fmt.Errorf("prove: %w: %s", err, bytes.TrimSpace(stderr.Bytes()))
		}
		var f finished
		if err := json.Unmarshal(stdout, &f); err != nil {
			return nil, fmt.Errorf("prove: %w", err)
		}
		if f.Status != c.status {
			return nil, fmt.Errorf("prove gave %q (%s) where %q is right", f.Status, f.Reason, c.status)
		}
		out = append(out, f)
	}
	return out, nil
}
