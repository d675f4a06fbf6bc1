package api

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
)

// ErrUnreachable is a service that could not be asked, or whose answer was
// cut off or was not the engine's.
var ErrUnreachable = errors.New("engine: unreachable")

// StatusError is an answer other than 200. Problem.Reason is one of the
// reasons of this package: engine_busy (503), engine_timeout (504),
// invalid_request (400), image_too_large (413), engine_error (500).
type StatusError struct {
	Status  int
	Problem Problem
}

func (e *StatusError) Error() string {
	return fmt.Sprintf("engine: HTTP %d: %s: %s", e.Status, e.Problem.Reason, e.Problem.Message)
}

// Temporary reports whether the same request may succeed later.
func (e *StatusError) Temporary() bool {
	return e.Status == http.StatusServiceUnavailable || e.Status == http.StatusGatewayTimeout
}

// Reason maps an error of a Client to a reason of this package. Whatever it
// is, the request has no verdict. It is "" for nil.
func Reason(err error) string {
	var s *StatusError
	switch {
	case err == nil:
		return ""
	case errors.As(err, &s):
		return s.Problem.Reason
	case errors.Is(err, context.DeadlineExceeded):
		return ReasonEngineTimeout
	default:
		return ReasonEngineError
	}
}

// maxAnswer bounds an answer; a report with a portrait has well under 1 MB.
const maxAnswer = 4 << 20

// Client asks an engine's service. It is safe for concurrent use.
type Client struct {
	base string
	http *http.Client
}

// New makes a client for the service at baseURL (http://127.0.0.1:port). hc is
// http.DefaultClient when nil. The caller's contexts bound the time.
func New(baseURL string, hc *http.Client) *Client {
	if hc == nil {
		hc = http.DefaultClient
	}
	return &Client{strings.TrimRight(baseURL, "/"), hc}
}

// Verify asks for a verdict. The error is a *StatusError, ErrUnreachable, or
// the context's. A report that passes without having looked at document and
// face is refused, and one whose templates are missing or were not asked for.
func (c *Client) Verify(ctx context.Context, req *VerifyRequest) (*Report, error) {
	r, err := c.post(ctx, "/v1/verify", req)
	if err != nil {
		return nil, err
	}
	if (r.Templates != nil) != (req.Templates && r.Verdict == Pass) {
		return nil, fmt.Errorf("%w: a report with other templates than were asked for", ErrUnreachable)
	}
	read := CheckMRZDigits
	if r.Document != nil && r.Document.Format == "AAMVA" {
		read = CheckBarcodeFields
	}
	return r.having(append(livenessChecks(req.LivenessMode), read, CheckDocumentExpiry, CheckSelfie, CheckFaceMatch)...)
}

// Match asks whether somebody is the person of earlier templates. Errors as for
// Verify.
func (c *Client) Match(ctx context.Context, req *MatchRequest) (*Report, error) {
	r, err := c.post(ctx, "/v1/match", req)
	if err != nil {
		return nil, err
	}
	names := append(livenessChecks(req.LivenessMode), CheckFaceMatch)
	if len(req.Selfies) > 0 || req.Liveness != nil {
		names = append(names, CheckSelfie)
	}
	return r.having(names...)
}

// livenessChecks are the checks that a pass must have where a mode was asked for.
func livenessChecks(mode string) []string {
	switch mode {
	case LivenessPassive:
		return []string{CheckLiveness}
	case LivenessActive:
		return []string{CheckLiveness, CheckLivenessFrames, CheckLivenessActions, CheckLivenessDepth, CheckLivenessSameFace}
	}
	return nil
}

// having refuses a report that passes without one of these checks.
func (r *Report) having(names ...string) (*Report, error) {
	for _, name := range names {
		if r.Verdict == Pass && !slices.ContainsFunc(r.Checks, func(k Check) bool { return k.Name == name }) {
			return nil, fmt.Errorf("%w: a report that passes without %s", ErrUnreachable, name)
		}
	}
	return r, nil
}

// Document asks what a document photo shows. Errors as for Verify.
func (c *Client) Document(ctx context.Context, req *DocumentRequest) (*Report, error) {
	return c.post(ctx, "/v1/document", req)
}

// Selfie asks whether a selfie is usable. Errors as for Verify.
func (c *Client) Selfie(ctx context.Context, req *SelfieRequest) (*Report, error) {
	return c.post(ctx, "/v1/selfie", req)
}

// Challenge draws what one person is asked to do in one session. Errors as for
// Verify.
func (c *Client) Challenge(ctx context.Context) (*Challenge, error) {
	b, err := c.ask(ctx, "/v1/challenge", struct{}{})
	if err != nil {
		return nil, err
	}
	var ch Challenge
	if json.Unmarshal(b, &ch) != nil || len(ch.Nonce) != 32 || len(ch.Actions) < 3 || ch.ActionMS <= 0 || ch.TotalMS <= 0 {
		return nil, fmt.Errorf("%w: the answer is not a challenge", ErrUnreachable)
	}
	return &ch, nil
}

// Frame says what to tell the person after a frame. Errors as for Verify. An
// answer that contradicts itself is refused: done or kept of a sequence that is
// lost, lost without a reason, kept without a measure.
func (c *Client) Frame(ctx context.Context, req *FrameRequest) (*FrameReport, error) {
	b, err := c.ask(ctx, "/v1/frame", req)
	if err != nil {
		return nil, err
	}
	return ParseFrameReport(b)
}

// ParseFrameReport reads a frame report and refuses one that contradicts itself.
func ParseFrameReport(b []byte) (*FrameReport, error) {
	var f FrameReport
	if json.Unmarshal(b, &f) != nil || f.Hint == "" || f.Over != (f.Reason != "") || f.Over && f.Done || f.Done && !f.Keep || f.Keep && len(f.Measure) == 0 {
		return nil, fmt.Errorf("%w: the answer is not a frame's report", ErrUnreachable)
	}
	return &f, nil
}

func (c *Client) post(ctx context.Context, path string, in any) (*Report, error) {
	b, err := c.ask(ctx, path, in)
	if err != nil {
		return nil, err
	}
	return ParseReport(b)
}

// ask gives the body of an answer of 200.
func (c *Client) ask(ctx context.Context, path string, in any) ([]byte, error) {
	body, err := json.Marshal(in)
	if err != nil {
		return nil, fmt.Errorf("engine: request: %w", err)
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return nil, fmt.Errorf("engine: request: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := c.http.Do(req)
	if err != nil {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("engine: %s: %w", path, ctx.Err())
		}
		return nil, fmt.Errorf("%w: %s: %w", ErrUnreachable, path, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil || len(answer) > maxAnswer {
		if ctx.Err() != nil {
			return nil, fmt.Errorf("engine: %s: %w", path, ctx.Err())
		}
		return nil, fmt.Errorf("%w: %s: the answer is cut off or too long", ErrUnreachable, path)
	}
	if resp.StatusCode != http.StatusOK {
		e := &StatusError{Status: resp.StatusCode}
		if json.Unmarshal(answer, &e.Problem) != nil || e.Problem.Reason == "" {
			return nil, fmt.Errorf("%w: %s: HTTP %d without a problem", ErrUnreachable, path, resp.StatusCode)
		}
		return nil, e
	}
	return answer, nil
}

// ParseReport reads a report and refuses one that contradicts itself: a verdict
// that is none of the three, pass although a check did not pass or there is a
// reason or no check at all, or templates without a pass or by halves.
func ParseReport(b []byte) (*Report, error) {
	var r Report
	if err := json.Unmarshal(b, &r); err != nil {
		return nil, fmt.Errorf("%w: the answer is not a report: %w", ErrUnreachable, err)
	}
	switch r.Verdict {
	case Pass:
		if r.Reason != "" || len(r.Checks) == 0 {
			return nil, fmt.Errorf("%w: a report that passes with a reason or without checks", ErrUnreachable)
		}
		for _, c := range r.Checks {
			if c.Outcome != Pass {
				return nil, fmt.Errorf("%w: a report that passes although %s did not", ErrUnreachable, c.Name)
			}
		}
	case Fail, CannotTell:
		if r.Reason == "" {
			return nil, fmt.Errorf("%w: a report that does not pass and gives no reason", ErrUnreachable)
		}
	default:
		return nil, fmt.Errorf("%w: a report without a verdict", ErrUnreachable)
	}
	if t := r.Templates; t != nil && (r.Verdict != Pass || len(t.Selfie) == 0 || len(t.Portrait) == 0) {
		return nil, fmt.Errorf("%w: a report with templates that does not pass, or with half of them", ErrUnreachable)
	}
	return &r, nil
}
