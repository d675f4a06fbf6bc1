package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime/multipart"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/net/html"
)

type proveCmd struct {
	Document       string        `required:"" type:"existingfile" placeholder:"FILE" help:"Photo of the document: its front, or the page with the portrait."`
	DocumentBack   string        `type:"existingfile" placeholder:"FILE" help:"Photo of the back, for cards that carry the machine-readable zone there."`
	Selfie         []string      `required:"" type:"existingfile" placeholder:"FILE" help:"Photo of the person's face; may be repeated."`
	DocumentType   string        `enum:"passport,id_card,drivers_license" default:"passport" help:"What the document is: ${enum}."`
	Liveness       string        `placeholder:"MODE" help:"Liveness mode to ask for: none, passive or active. Without it the bridge's default applies, which still photos cannot meet."`
	UserIdentifier string        `placeholder:"ID" help:"Whom the caller means; the stand-in knows ada (IAL2), bob (IAL1) and cora."`
	GivenName      string        `placeholder:"NAME" help:"What the caller expects the given name to be."`
	FamilyName     string        `placeholder:"NAME" help:"What the caller expects the family name to be."`
	BirthDate      string        `placeholder:"YYYY-MM-DD" help:"What the caller expects the birth date to be."`
	ReadyFile      string        `type:"existingfile" placeholder:"FILE" help:"Use the stack that wrote this file (demo --ready-file) instead of starting one."`
	Models         string        `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models (default: models beside the program)."`
	Timeout        time.Duration `default:"2m" help:"Give up after this long."`
	JSON           bool          `name:"json" help:"Print the result node's JSON and nothing else."`
}

// Help is shown under the command's flags.
func (proveCmd) Help() string {
	return `Plays three parts over HTTP: the Descope flow that calls the IDV node, the person who
consents on the hand-off page and hands in photos on the capture page, and the flow again
that reads the IDV Result node. Prints that node's JSON.

Exit status: 0 verified, 1 not verified, 2 error.`
}

func (c *proveCmd) Run(ctx context.Context, s *streams) (err error) {
	ctx, cancel := context.WithTimeout(ctx, c.Timeout)
	defer cancel()
	begun := time.Now()
	progress := func(step string) {
		if !c.JSON {
			fmt.Fprintf(s.err, "[%5.1fs] %s\n", time.Since(begun).Seconds(), step)
		}
	}
	r, end, err := c.stack(ctx, progress)
	if err != nil {
		return err
	}
	defer end()
	result, err := c.verify(ctx, r, progress)
	if err != nil {
		if ctx.Err() != nil {
			err = hint(err, "it took longer than --timeout %s", c.Timeout)
		}
		return err
	}
	var out bytes.Buffer
	if err := json.Indent(&out, result, "", "  "); err != nil {
		return err
	}
	fmt.Fprintln(s.out, out.String())
	var verdict struct{ Status, Reason string }
	if err := json.Unmarshal(result, &verdict); err != nil {
		return err
	}
	if verdict.Status == "verified" {
		progress("verified")
		return nil
	}
	progress(fmt.Sprintf("not verified: %s (%s)", verdict.Status, verdict.Reason))
	if verdict.Reason == "liveness_unavailable" && !c.JSON {
		fmt.Fprintln(s.err, "hint: add --liveness none to accept still photos")
	}
	return &exit{status: 1}
}

// stack uses a running one or starts one in a temporary folder.
func (c *proveCmd) stack(ctx context.Context, progress func(string)) (r ready, end func(), err error) {
	if c.ReadyFile != "" {
		b, err := os.ReadFile(c.ReadyFile)
		if err == nil {
			err = json.Unmarshal(b, &r)
		}
		return r, func() {}, err
	}
	dir, err := os.MkdirTemp("", "kosmoscope-prove-*")
	if err != nil {
		return r, nil, err
	}
	p, err := freePorts()
	if err != nil {
		return r, nil, err
	}
	st, err := newStack(dir, p)
	if err == nil {
		err = st.start(ctx, c.Models, progress)
	}
	if err != nil {
		os.RemoveAll(dir)
		return r, nil, err
	}
	return st.ready(), func() {
		st.children.close()
		os.RemoveAll(dir) // photos and claims do not stay
	}, nil
}

// verify runs one verification and returns the result node's answer as it came.
func (c *proveCmd) verify(ctx context.Context, r ready, progress func(string)) (json.RawMessage, error) {
	flow := &http.Client{Timeout: 30 * time.Second}
	progress("flow: IDV node")
	in := map[string]any{"document_types": []string{c.DocumentType}}
	if c.Liveness != "" {
		in["liveness_mode"] = c.Liveness
	}
	if c.UserIdentifier != "" {
		in["user_identifier"] = c.UserIdentifier
	}
	expected := map[string]string{}
	for name, value := range map[string]string{"given_name": c.GivenName, "family_name": c.FamilyName, "birth_date": c.BirthDate} {
		if value != "" {
			expected[name] = value
		}
	}
	if len(expected) > 0 {
		in["expected"] = expected
	}
	start, err := startVerification(ctx, flow, r.BridgeURL, r.Connector.Token, in)
	if err != nil {
		return nil, err
	}

	progress("person: hand-off page, consent")
	person, err := trusting(r.Kosmos.CAFile)
	if err != nil {
		return nil, err
	}
	if person.Jar, err = cookiejar.New(nil); err != nil {
		return nil, err
	}
	capture, err := consent(ctx, person, start, c.DocumentType)
	if err != nil {
		return nil, err
	}
	if capture != "" {
		if err := c.capture(ctx, person, capture, progress); err != nil {
			return nil, err
		}
	}

	progress("flow: IDV Result node")
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		var result json.RawMessage
		if err := callNode(ctx, flow, r.BridgeURL+"/descope/v1/idv/result", r.Connector.Token, map[string]string{"session_id": start.SessionID}, &result); err != nil {
			return nil, err
		}
		var state struct{ Status string }
		if err := json.Unmarshal(result, &state); err != nil {
			return nil, err
		}
		if state.Status != "pending" {
			return result, nil
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-tick.C:
		}
	}
}

// consent opens the link as a browser would, agrees, and returns the address of
// the capture page; "" if the verification ended there.
func consent(ctx context.Context, person *http.Client, start started, documentType string) (string, error) {
	page, at, err := openPage(ctx, person, start.SessionURL)
	if err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	form := find(page, func(n *html.Node) bool { return n.Data == "form" && strings.HasSuffix(attr(n, "action"), "/consent") })
	if form == nil {
		return "", errors.New("hand-off page: no form to consent with")
	}
	fields := url.Values{"document_type": {documentType}, "consent": {"yes"}}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	to, err := at.Parse(attr(form, "action"))
	if err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return "", err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	if _, err := do(person, req); err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	if page, _, err = openPage(ctx, person, at.String()); err != nil {
		return "", fmt.Errorf("hand-off page: %w", err)
	}
	link := find(page, func(n *html.Node) bool { return attr(n, "data-testid") == "open-here" })
	if link == nil {
		return "", nil
	}
	return attr(link, "href"), nil
}

// openPage gets a page and says where redirects led to.
func openPage(ctx context.Context, client *http.Client, from string) (*html.Node, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, err
	}
	var at *url.URL
	follow := *client
	follow.CheckRedirect = func(r *http.Request, _ []*http.Request) error { at = r.URL; return nil }
	at = req.URL
	b, err := do(&follow, req)
	if err != nil {
		return nil, nil, err
	}
	page, err := html.Parse(bytes.NewReader(b))
	return page, at, err
}

func find(page *html.Node, match func(*html.Node) bool) *html.Node {
	for n := range page.Descendants() {
		if n.Type == html.ElementNode && match(n) {
			return n
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

// capture hands the photos in and asks for judgement, whatever guidance comes
// back: a file cannot be taken again.
func (c *proveCmd) capture(ctx context.Context, person *http.Client, page string, progress func(string)) error {
	for _, step := range []struct {
		action, side string
		files        []string
	}{
		{action: "start"},
		{"document", "front", []string{c.Document}},
		{"document", "back", []string{c.DocumentBack}},
		{"selfie", "", c.Selfie},
	} {
		if step.side == "back" && c.DocumentBack == "" {
			continue
		}
		progress("person: " + strings.TrimSpace(step.action+" "+step.side))
		state, err := post(ctx, person, page+"/"+step.action, step.side, step.files...)
		if err != nil {
			return fmt.Errorf("capture page, %s: %w", step.action, err)
		}
		if state.Message != "" {
			progress("        " + state.Message)
		}
		if state.ended() {
			return nil
		}
	}
	progress("person: submit")
	if _, err := post(ctx, person, page+"/submit", ""); err != nil {
		return fmt.Errorf("capture page, submit: %w", err)
	}
	return nil
}

// captureState is what the capture page's endpoints answer.
type captureState struct{ State, Reason, Message string }

func (s captureState) ended() bool {
	switch s.State {
	case "success", "failed", "expired", "abandoned":
		return true
	}
	return false
}

func post(ctx context.Context, client *http.Client, to, side string, files ...string) (s captureState, err error) {
	var body bytes.Buffer
	form := multipart.NewWriter(&body)
	if side != "" {
		if err := form.WriteField("side", side); err != nil {
			return s, err
		}
	}
	for _, file := range files {
		part, err := form.CreateFormFile("file", filepath.Base(file))
		if err != nil {
			return s, err
		}
		f, err := os.Open(file)
		if err != nil {
			return s, err
		}
		_, err = io.Copy(part, f)
		f.Close()
		if err != nil {
			return s, err
		}
	}
	if err := form.Close(); err != nil {
		return s, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, &body)
	if err != nil {
		return s, err
	}
	req.Header.Set("Content-Type", form.FormDataContentType())
	req.Header.Set("Accept", "application/json")
	b, err := do(client, req)
	if err != nil {
		// What the page says about a photo that it cannot take is part of the proof, not an error of ours.
		var refused *statusError
		if !errors.As(err, &refused) || json.Unmarshal(refused.body, &s) != nil || s.Reason == "" {
			return s, err
		}
		return s, nil
	}
	return s, json.Unmarshal(b, &s)
}

type statusError struct {
	status string
	body   []byte
}

func (e *statusError) Error() string { return "answered " + e.status }

func do(client *http.Client, req *http.Request) ([]byte, error) {
	res, err := client.Do(req)
	if err != nil {
		return nil, err
	}
	defer res.Body.Close()
	b, err := io.ReadAll(io.LimitReader(res.Body, 1<<20))
	if err != nil {
		return nil, err
	}
	if res.StatusCode >= 300 {
		return nil, &statusError{res.Status, b}
	}
	return b, nil
}
