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

// What prove and stepup share: the stack they play against, and the browser of
// the person they play.

// stopwatch prints each step with the time it began, unless quiet.
func stopwatch(w io.Writer, quiet bool) (progress func(step string)) {
	begun := time.Now()
	return func(step string) {
		if !quiet {
			fmt.Fprintf(w, "[%5.1fs] %s\n", time.Since(begun).Seconds(), step)
		}
	}
}

// useStack uses the running stack that wrote readyFile, or starts one in a
// temporary folder, whose step-ups ask for the liveness stepUp. end gives back what
// it took.
func useStack(ctx context.Context, readyFile, models, stepUp string, progress func(string)) (r ready, end func(), err error) {
	if readyFile != "" {
		b, err := os.ReadFile(readyFile)
		if err != nil {
			return r, nil, err
		}
		if err := json.Unmarshal(b, &r); err != nil {
			return r, nil, hint(fmt.Errorf("%s: %w", readyFile, err), "give the file that demo --ready-file wrote")
		}
		return r, func() {}, nil
	}
	dir, err := os.MkdirTemp("", "kosmoscope-*")
	if err != nil {
		return r, nil, err
	}
	st, err := startAnywhere(ctx, dir, models, stepUp, progress)
	if err != nil {
		os.RemoveAll(dir)
		return r, nil, err
	}
	return st.ready(), func() {
		st.children.close()
		os.RemoveAll(dir) // photos and claims do not stay
	}, nil
}

func startAnywhere(ctx context.Context, dir, models, stepUp string, progress func(string)) (*stack, error) {
	p, err := freePorts()
	if err != nil {
		return nil, err
	}
	st, err := newStack(dir, p, stepUp)
	if err != nil {
		return nil, err
	}
	return st, st.start(ctx, models, progress)
}

// polling calls done every 100 ms until it says so, fails, or ctx ends.
func polling(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-tick.C:
		}
	}
}

// printNode prints a node's answer.
func printNode(w io.Writer, answer json.RawMessage) error {
	var out bytes.Buffer
	if err := json.Indent(&out, answer, "", "  "); err != nil {
		return err
	}
	out.WriteByte('\n')
	_, err := out.WriteTo(w)
	return err
}

// newPerson is a browser without JavaScript that trusts the local 1Kosmos.
func newPerson(caFile string) (*http.Client, error) {
	person, err := trusting(caFile)
	if err != nil {
		return nil, err
	}
	person.Jar, err = cookiejar.New(nil)
	return person, err
}

// openPage gets a page and says where redirects led to.
func openPage(ctx context.Context, client *http.Client, from string) (*html.Node, *url.URL, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return nil, nil, err
	}
	req.Header.Set("Accept", "text/html")
	at := req.URL
	follow := *client
	follow.CheckRedirect = func(r *http.Request, via []*http.Request) error {
		at = r.URL
		if len(via) == 10 {
			return errors.New("ten redirects in a row")
		}
		return nil
	}
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

// openHere is where a page of the bridge sends the person on; "" if it does not.
func openHere(page *html.Node) string {
	link := find(page, func(n *html.Node) bool { return attr(n, "data-testid") == "open-here" })
	if link == nil {
		return ""
	}
	return attr(link, "href")
}

// pageState is what the pages of the local 1Kosmos answer to scripts.
type pageState struct {
	State, Reason, Message string
	Nonce                  string
	AccountNeeded          bool   `json:"account_needed"`
	ReturnURL              string `json:"return_url"` // may be relative
	AttemptsLeft           int    `json:"attempts_left"`

	// Of a sequence in front of the camera, where one is running.
	Actions, Index int
	Action         string
	Done, Over     bool
}

// submit posts a form as a browser would, with the files in the field "file". A
// page that refuses a photo says so in the state it answers; that is part of what
// the person sees, and no error of ours.
func submit(ctx context.Context, client *http.Client, to string, fields url.Values, files ...string) (s pageState, err error) {
	var body bytes.Buffer
	contentType := "application/x-www-form-urlencoded"
	if len(files) == 0 {
		body.WriteString(fields.Encode())
	} else {
		form := multipart.NewWriter(&body)
		for name, values := range fields {
			for _, value := range values {
				if err := form.WriteField(name, value); err != nil {
					return s, err
				}
			}
		}
		for _, file := range files {
			if err := attach(form, file); err != nil {
				return s, err
			}
		}
		if err := form.Close(); err != nil {
			return s, err
		}
		contentType = form.FormDataContentType()
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to, &body)
	if err != nil {
		return s, err
	}
	req.Header.Set("Content-Type", contentType)
	return readState(client, req)
}

func attach(form *multipart.Writer, file string) error {
	part, err := form.CreateFormFile("file", filepath.Base(file))
	if err != nil {
		return err
	}
	f, err := os.Open(file)
	if err != nil {
		return err
	}
	defer f.Close()
	_, err = io.Copy(part, f)
	return err
}

// lookAt reads the state of a page.
func lookAt(ctx context.Context, client *http.Client, from string) (s pageState, err error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, from, nil)
	if err != nil {
		return s, err
	}
	return readState(client, req)
}

func readState(client *http.Client, req *http.Request) (s pageState, err error) {
	req.Header.Set("Accept", "application/json")
	b, err := do(client, req)
	if refused, ok := errors.AsType[*statusError](err); ok && json.Unmarshal(refused.body, &s) == nil && s.Reason != "" {
		return s, nil
	}
	if err != nil {
		return s, err
	}
	return s, json.Unmarshal(b, &s)
}

// agree posts the form of a page of the bridge whose action ends like this, with
// its hidden fields and those given.
func agree(ctx context.Context, person *http.Client, page *html.Node, at *url.URL, action string, fields url.Values) error {
	form := find(page, func(n *html.Node) bool { return n.Data == "form" && strings.HasSuffix(attr(n, "action"), action) })
	if form == nil {
		return errors.New("no form to agree with")
	}
	for n := range form.Descendants() {
		if n.Data == "input" && attr(n, "type") == "hidden" {
			fields.Set(attr(n, "name"), attr(n, "value"))
		}
	}
	to, err := at.Parse(attr(form, "action"))
	if err != nil {
		return err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, to.String(), strings.NewReader(fields.Encode()))
	if err != nil {
		return err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	_, err = do(person, req)
	return err
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
