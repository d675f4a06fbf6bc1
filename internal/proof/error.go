package proof

import (
	"errors"
	"fmt"
	"time"
)

// Code says what kind of trouble an Error is. Each door maps codes to its own
// protocol in one table (HTTP status, OAuth error, SAML status).
type Code string

const (
	CodeInvalid         Code = "invalid"         // the request is malformed; Field names the culprit
	CodeUnauthenticated Code = "unauthenticated" // no or wrong credentials
	CodeForbidden       Code = "forbidden"       // known caller, not allowed to do this
	CodeNotFound        Code = "not_found"       // unknown, or another caller's: they look the same
	CodeConflict        Code = "conflict"        // the state does not allow it (any more)
	CodeTooLarge        Code = "too_large"
	CodeRateLimited     Code = "rate_limited"
	CodeUpstream        Code = "upstream"    // 1Kosmos answered something we cannot use
	CodeUnavailable     Code = "unavailable" // something we need is not there right now
	CodeInternal        Code = "internal"

	// Of door B, whose protocols have words for them.
	CodeLoginRequired Code = "login_required"                    // nobody is signed in, and nothing may be shown
	CodeInteraction   Code = "interaction_required"              // somebody would have to do something, and nothing may be shown
	CodeUnmet         Code = "unmet_authentication_requirements" // the assurance that was asked for was not reached
	CodeDenied        Code = "access_denied"                     // the person did not come through, or would not
)

// Error is the one error type that crosses rooms. Message is safe to show to
// whoever made the call: a plain sentence, nothing personal, nothing secret.
// Err is for the log only.
type Error struct {
	Code       Code
	Reason     Reason // stable, listed in docs/reasons.md; may be empty for CodeInternal
	Message    string
	Field      string        // for CodeInvalid: which field
	Temporary  bool          // trying the same again may help
	RetryAfter time.Duration // with CodeRateLimited or CodeUnavailable; zero if unknown
	Err        error
}

func (e *Error) Error() string {
	s := string(e.Code)
	if e.Reason != "" {
		s += " (" + string(e.Reason) + ")"
	}
	if e.Message != "" {
		s += ": " + e.Message
	}
	if e.Err != nil {
		s += ": " + e.Err.Error()
	}
	return s
}

func (e *Error) Unwrap() error { return e.Err }

// Invalid makes the error for a malformed field.
func Invalid(field, format string, args ...any) *Error {
	return &Error{Code: CodeInvalid, Reason: ReasonInvalidRequest, Field: field, Message: fmt.Sprintf(format, args...)}
}

// CodeOf returns the code of the first Error in err's chain, CodeInternal for
// any other error, and "" for nil.
func CodeOf(err error) Code {
	if err == nil {
		return ""
	}
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Code
	}
	return CodeInternal
}

// ReasonOf returns the reason of the first Error in err's chain that has one,
// else ReasonInternal.
func ReasonOf(err error) Reason {
	for err != nil {
		e, ok := errors.AsType[*Error](err)
		if !ok {
			break
		}
		if e.Reason != "" {
			return e.Reason
		}
		err = e.Err
	}
	return ReasonInternal
}

// ErrNotFound is what stores return for a row that is not there.
var ErrNotFound = &Error{Code: CodeNotFound, Message: "not found"}

// ErrStale is what stores return when a row changed since it was read. The
// whole transaction is to be run again.
var ErrStale = &Error{Code: CodeConflict, Message: "changed meanwhile", Temporary: true}
