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
	"strings"
	"time"
)

// nodes calls the nodes as a flow does: one bearer token, JSON, connections
// kept open.
type nodes struct {
	client *http.Client
	ready  ready
}

func newNodes(r ready) *nodes {
	return &nodes{ready: r, client: &http.Client{
		Timeout:       10 * time.Second,
		Transport:     &http.Transport{MaxIdleConns: 1024, MaxIdleConnsPerHost: 1024},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
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

// challenge is a step-up that is open; its address is a secret.
type challenge struct {
	ChallengeID  string `json:"challenge_id"`
	ChallengeURL string `json:"challenge_url"`
	Status       string `json:"status"`
	Reason       string `json:"reason"`
}

// What the Step-Up node is told besides the user, as a flow would.
const (
	reasonCode  = "new_device"
	transaction = "Pay 120.00 EUR to Example Ltd"
)

// stepUp starts one; a timeout of zero is left out.
func (n *nodes) stepUp(ctx context.Context, user string, timeout time.Duration) (c challenge, err error) {
	in := map[string]any{"user_identifier": user, "reason_code": reasonCode, "transaction": transaction}
	if timeout > 0 {
		in["timeout_seconds"] = int(timeout.Seconds())
	}
	if err := n.post(ctx, "/descope/v1/stepup", in, &c); err != nil {
		return c, err
	}
	if c.Status != "pending" || c.ChallengeID == "" || !strings.HasPrefix(c.ChallengeURL, n.ready.BridgeURL+"/c/"+c.ChallengeID+"/") {
		return c, fmt.Errorf("Step-Up answered without a challenge, or not pending but %q (%s)", c.Status, c.Reason)
	}
	return c, nil
}

// judged is a challenge of which the Step-Up Result node's answer is known.
type judged struct {
	ChallengeID string `json:"challenge_id"`
	MatchResult string `json:"match_result"`
	Reason      string `json:"reason"`
}

// stepUpResult reads a challenge whose state is known.
func (n *nodes) stepUpResult(ctx context.Context, c judged) error {
	var out judged
	if err := n.post(ctx, "/descope/v1/stepup/result", map[string]any{"challenge_id": c.ChallengeID}, &out); err != nil {
		return err
	}
	if out != c {
		return fmt.Errorf("Step-Up Result said %q (%s) of a challenge that is %q (%s)", out.MatchResult, out.Reason, c.MatchResult, c.Reason)
	}
	return nil
}

// visit is a browser that a challenge has let in.
type visit struct {
	challenge string
	cookie    *http.Cookie
}

// openLink opens the link of a challenge as a browser would, and loads the page.
func (n *nodes) openLink(ctx context.Context, c challenge) (v visit, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.ChallengeURL, nil)
	if err != nil {
		return v, errors.New("the challenge page has no address") // which is secret
	}
	res, err := n.client.Do(req)
	if err != nil {
		return v, errors.New("the challenge page does not answer")
	}
	res.Body.Close()
	if res.StatusCode != http.StatusSeeOther || len(res.Cookies()) != 1 {
		return v, fmt.Errorf("the link of the challenge answers %s and sets %d cookies", res.Status, len(res.Cookies()))
	}
	v = visit{c.ChallengeID, res.Cookies()[0]}
	page, err := n.visited(ctx, v, "")
	if err == nil && !bytes.Contains(page, []byte(`data-testid="open-here"`)) {
		err = errors.New("the challenge page does not say where to answer")
	}
	return v, err
}

// pageStatus is what the challenge page asks every other second.
func (n *nodes) pageStatus(ctx context.Context, v visit) error {
	b, err := n.visited(ctx, v, "/status")
	if err != nil {
		return err
	}
	var s struct{ Status, Reason string }
	if err := json.Unmarshal(b, &s); err != nil {
		return err
	}
	if s.Status != "pending" || s.Reason != "" {
		return fmt.Errorf("the page's status is %q (%s)", s.Status, s.Reason)
	}
	return nil
}

func (n *nodes) visited(ctx context.Context, v visit, path string) ([]byte, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, n.ready.BridgeURL+"/c/"+v.challenge+path, nil)
	if err != nil {
		return nil, err
	}
	req.AddCookie(v.cookie)
	return n.do(req)
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
		var f finished
		if err := run(ctx, program, &f, append([]string{"prove", "--ready-file", readyFile, "--liveness", "none"}, c.args...)...); err != nil {
			return nil, err
		}
		if f.Status != c.status {
			return nil, fmt.Errorf("prove gave %q (%s) where %q is right", f.Status, f.Reason, c.status)
		}
		out = append(out, f)
	}
	return out, nil
}

// run runs the program with --json and reads what it prints. Exit status 1 is a
// verdict, which may be the right one.
func run(ctx context.Context, program string, out any, args ...string) error {
	var stderr bytes.Buffer
	cmd := exec.CommandContext(ctx, program, append(args, "--json")...)
	cmd.Stderr = &stderr
	stdout, err := cmd.Output()
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() == 1 {
		err = nil
	}
	if err == nil {
		err = json.Unmarshal(stdout, out)
	}
	if err != nil {
		return fmt.Errorf("%s: %w: %s", args[0], err, bytes.TrimSpace(stderr.Bytes()))
	}
	return nil
}
