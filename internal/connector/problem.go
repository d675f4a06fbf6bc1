package connector

import (
	"context"
	"errors"
	"math"
	"net/http"
	"strconv"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// problem is the body of every answer that is not 2xx (RFC 9457). Reason and
// Field are ours.
type problem struct {
	Type     string       `json:"type" example:"about:blank" doc:"Always about:blank: reason says what happened."`
	Title    string       `json:"title" example:"Bad Request" doc:"The name of the HTTP status."`
	Status   int          `json:"status" example:"400" doc:"The HTTP status."`
	Detail   string       `json:"detail" example:"birth_date must be a date such as 1990-12-31" doc:"A plain sentence for a person. It names the field and repeats no value."`
	Instance string       `json:"instance" example:"urn:uuid:0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24" doc:"This call; the same id as in X-Request-Id and in our log."`
	Reason   proof.Reason `json:"reason" example:"invalid_request" doc:"Stable code; docs/reasons.md lists them all."`
	Field    string       `json:"field,omitempty" example:"expected.birth_date" doc:"Path of the field that is wrong, if it is one field."`
}

// refuse answers with an error of the core, of callers or of this door. What is
// no *proof.Error, or is internal, is told to the log and not to the caller.
func (c *call) refuse(err error) {
	e, ok := errors.AsType[*proof.Error](err)
	switch {
	case ok && e.Code.HTTPStatus() != http.StatusInternalServerError: // it knows best, also where a deadline is behind it
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		e = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "this took too long; try again", Err: err}
	default:
		e = &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "something went wrong on our side", Err: err}
	}
	status := e.Code.HTTPStatus()
	if status >= 500 {
		c.Logger.ErrorContext(c.r.Context(), "a call failed", "error", err, "request_id", c.ID)
	}
	c.fail(status, e)
}

func (c *call) fail(status int, e *proof.Error) {
	p := problem{
		Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: e.Message,
		Instance: "urn:uuid:" + c.ID, Reason: e.Reason, Field: e.Field,
	}
	if p.Reason == "" {
		p.Reason = proof.ReasonOf(e)
	}
	c.Reason = p.Reason
	h := c.w.Header()
	if status == http.StatusUnauthorized {
		h.Set("WWW-Authenticate", `Bearer realm="kosmoscope"`)
	}
	if e.RetryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
	body, err := encode(p)
	if err != nil {
		body = nil // strings and a number: does not happen
	}
	c.send(status, "application/problem+json", body)
}
