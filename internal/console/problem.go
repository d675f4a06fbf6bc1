package console

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"math"
	"net/http"
	"strconv"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Reasons that only the console gives. The others are in docs/reasons.md.
const (
	reasonStale   proof.Reason = "stale"          // somebody else published meanwhile
	reasonPolicy  proof.Reason = "invalid_policy" // the policy has problems
	reasonNoPages proof.Reason = "console_not_built"
)

// problem is the body of every answer of the API that is not 2xx.
type problem struct {
	Reason  proof.Reason `json:"reason"`
	Message string       `json:"message"`         // what happened, in a sentence
	Hint    string       `json:"hint,omitempty"`  // what to do, in a sentence
	Field   string       `json:"field,omitempty"` // which field, if it is one

	Latest   *int `json:"latest,omitempty"`   // with stale: the latest version now
	Problems any  `json:"problems,omitempty"` // with invalid_policy []policy.Problem, with invalid_rules []hooks.Problem

	Fields map[string]string `json:"fields,omitempty"` // with invalid_client, invalid_endpoint: what is wrong, by field
}

var hints = map[proof.Code]string{
	proof.CodeInvalid:         "Correct what the message names.",
	proof.CodeUnauthenticated: "Sign in with a new link: kosmoscope console link.",
	proof.CodeForbidden:       "Ask an operator, or sign in with a link for one: kosmoscope console link --role operator.",
	proof.CodeNotFound:        "It may have gone meanwhile. Go back to the list and look again.",
	proof.CodeConflict:        "Load the page again and look at what changed.",
	proof.CodeTooLarge:        "Send less.",
	proof.CodeRateLimited:     "Wait a little, then try again.",
	proof.CodeUpstream:        "Try again; if it stays so, look into the log.",
	proof.CodeUnavailable:     "Try again in a moment.",
	proof.CodeInternal:        "Try again; if it stays so, look into the log.",
}

// sorted makes a *proof.Error of err. What is internal is not told outside.
func sorted(err error) *proof.Error {
	e, ok := errors.AsType[*proof.Error](err)
	switch {
	case ok && e.Code.HTTPStatus() != http.StatusInternalServerError:
		return e
	case errors.Is(err, context.DeadlineExceeded) || errors.Is(err, context.Canceled):
		return &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "this took too long", Err: err}
	}
	return &proof.Error{Code: proof.CodeInternal, Reason: proof.ReasonInternal, Message: "something went wrong on our side", Err: err}
}

// reasonOf is the reason of an error, also where a store left it out.
func reasonOf(e *proof.Error) proof.Reason {
	switch {
	case e.Reason != "":
		return e.Reason
	case e.Code == proof.CodeNotFound, e.Code == proof.CodeInvalid:
		return proof.ReasonInvalidRequest
	case e.Code == proof.CodeConflict:
		return reasonStale
	}
	return proof.ReasonOf(e)
}

// fail answers an error of the API.
func (c *Console) fail(w http.ResponseWriter, r *http.Request, err error) {
	e := sorted(err)
	p := problem{Reason: reasonOf(e), Message: e.Message, Hint: hints[e.Code], Field: e.Field}
	status := e.Code.HTTPStatus()
	c.log(r, status, p.Reason, err)
	if status == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Link realm="kosmoscope console"`) // RFC 9110, 15.5.2 wants one
	}
	retryAfter(w, e)
	c.answer(w, r, status, p)
}

func retryAfter(w http.ResponseWriter, e *proof.Error) {
	if e.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(e.RetryAfter.Seconds()))))
	}
}

// log says what was refused. The pattern stands for the address, which may have a user
// in it; causes are logged only where the trouble is ours.
func (c *Console) log(r *http.Request, status int, reason proof.Reason, err error) {
	attrs := []any{"call", r.Pattern, "status", status, "reason", reason}
	level := slog.LevelInfo
	if status >= 500 {
		level, attrs = slog.LevelError, append(attrs, "error", err)
	}
	if errors.Is(err, context.Canceled) && r.Context().Err() != nil {
		level = slog.LevelDebug // the browser went away
	}
	c.o.Logger.Log(r.Context(), level, "console: refused", attrs...)
}

// answer sends JSON, whole or not at all.
func (c *Console) answer(w http.ResponseWriter, r *http.Request, status int, v any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false) // it is never HTML: nosniff
	if err := enc.Encode(v); err != nil {
		c.log(r, http.StatusInternalServerError, proof.ReasonInternal, err)
		body.Reset()
		body.WriteString(`{"reason":"internal_error","message":"something went wrong on our side"}` + "\n")
		status = http.StatusInternalServerError
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	w.Write(body.Bytes()) // to a browser that may have gone
}
