package blockid

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Kind says what went wrong, in words that stay the same.
type Kind string

const (
	// KindConfig: the client's own configuration cannot work with this
	// tenant, for example a key on the wrong curve.
	KindConfig Kind = "config"
	// KindInvalid: a bad request, found by us (HTTPStatus 0) or by the service.
	KindInvalid Kind = "invalid"
	// KindUnauthorized: licence, token or rights refused (401, 403).
	KindUnauthorized Kind = "unauthorized"
	// KindNotFound: no such tenant, community, dvcID, session or user.
	KindNotFound Kind = "not_found"
	// KindRateLimited: too many requests (429); see RetryAfter.
	KindRateLimited Kind = "rate_limited"
	// KindUpstream: the service failed (5xx) or could not be reached.
	KindUpstream Kind = "upstream"
	// KindDecrypt: one side could not open what the other sealed, even after
	// keys were fetched anew.
	KindDecrypt Kind = "decrypt"
	// KindAnswerKey: the answer to a session names a key that is no key on the
	// tenant's curve.
	KindAnswerKey Kind = "answer_key"
	// KindUntrustedAnswer: the answer to a session is not signed for by the
	// wallet it names: user info knows no such wallet, or with another key; or the
	// answer of a service names another key than the service publishes.
	KindUntrustedAnswer Kind = "untrusted_answer"
	// KindMalformed: an answer that is not what the protocol says: a web
	// page, a redirect, broken or contradictory JSON, too many bytes.
	KindMalformed Kind = "malformed"
	// KindUntrustedHost: the service named a URL that is not https, or not on
	// an allowed host.
	KindUntrustedHost Kind = "untrusted_host"
	// KindTimeout: no complete answer in time.
	KindTimeout Kind = "timeout"
	// KindCanceled: the caller gave up.
	KindCanceled Kind = "canceled"
)

// Error is the one error type of this package's clients.
//
// Error() is safe to log and to show: it is made of constants and numbers.
// Message is the vendor's own text, meant for operators only: it may quote
// what was sent. So may the text of the wrapped error, and so may Extra.
type Error struct {
	Kind       Kind
	Op         string        // the call, such as "idv.create"
	Service    string        // the service directory's name for who answered
	HTTPStatus int           // 0 when there was no answer
	Code       string        // the vendor's code, such as "400" or "E10001"
	Message    string        // the vendor's text; not part of Error()
	Param      string        // the field or header the vendor complains about
	RetryAfter time.Duration // 0 when the service did not say
	// Extra holds top-level fields of the error body that this package does not
	// know; nil if there are none, or too much of them to be kept.
	Extra map[string]json.RawMessage

	detail string // a constant of ours
	err    error
}

// Error returns a sentence without vendor text, URLs or personal data.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString("blockid: ")
	if e.Op != "" {
		b.WriteString(e.Op + ": ")
	}
	if e.Service != "" {
		b.WriteString(e.Service + ": ")
	}
	b.WriteString(string(e.Kind))
	if e.detail != "" {
		b.WriteString(": " + e.detail)
	}
	if e.HTTPStatus != 0 {
		b.WriteString(" (HTTP " + strconv.Itoa(e.HTTPStatus))
		if e.Code != strconv.Itoa(e.HTTPStatus) && plainCode(e.Code) {
			b.WriteString(", code " + e.Code)
		}
		b.WriteByte(')')
	}
	return b.String()
}

// Unwrap returns the cause, such as ErrCiphertext or a network error.
func (e *Error) Unwrap() error { return e.err }

// Temporary reports whether the same call may succeed later.
func (e *Error) Temporary() bool {
	switch e.Kind {
	case KindRateLimited, KindUpstream, KindTimeout:
		return true
	}
	return false
}

// KindOf returns the Kind of err, or "" when err is not an *Error.
func KindOf(err error) Kind {
	var e *Error
	if errors.As(err, &e) {
		return e.Kind
	}
	return ""
}

// plainCode reports whether code is a few capitals followed by a few digits.
// Anything else could be a name or a number that means somebody.
func plainCode(code string) bool {
	digits := strings.TrimLeft(code, "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
	if len(code)-len(digits) > 4 || digits == "" || len(digits) > 5 {
		return false
	}
	return strings.Trim(digits, "0123456789") == ""
}

// vendorError is what every known error body comes down to.
type vendorError struct {
	code       string
	message    string
	param      string
	retryAfter time.Duration
	extra      map[string]json.RawMessage
}

const (
	maxExtraFields = 16
	maxExtra       = 8 << 10 // bytes of an error body whose unknown fields are kept
)

// extraOfError returns the fields of an error body that no vendor's shape has.
func extraOfError(body []byte) map[string]json.RawMessage {
	if len(body) > maxExtra {
		return nil
	}
	var skip json.RawMessage
	known := map[string]any{}
	for _, name := range []string{"code", "errorCode", "error_code", "statusCode", "message", "errorMessage", "error",
		"error_description", "param", "retryAfterSeconds", "errors", "status", "signature_token"} {
		known[name] = &skip
	}
	extra, err := decodeObject(body, known)
	if err != nil || len(extra) == 0 || len(extra) > maxExtraFields {
		return nil
	}
	return extra
}

// maxRetryAfter bounds how long a service may tell us to stay away.
const maxRetryAfter = 24 * time.Hour

// scalar is a JSON string or number, read as text. Anything else is "".
type scalar string

func (s *scalar) UnmarshalJSON(b []byte) error {
	*s = ""
	if len(b) > 0 && b[0] == '"' {
		var t string
		if err := json.Unmarshal(b, &t); err != nil {
			return err
		}
		*s = scalar(t)
	} else if len(b) > 0 && (b[0] == '-' || b[0] >= '0' && b[0] <= '9') {
		*s = scalar(b)
	}
	return nil
}

// parseVendorError reads the error bodies that the services use, each in its
// own style. It reports false when body is none of them.
func parseVendorError(body []byte) (vendorError, bool) {
	var w struct {
		Code         scalar `json:"code"`
		ErrorCode    scalar `json:"errorCode"`
		ErrorCode2   scalar `json:"error_code"`
		StatusCode   scalar `json:"statusCode"`
		Message      scalar `json:"message"`
		ErrorMessage scalar `json:"errorMessage"`
		Error        scalar `json:"error"`
		Description  scalar `json:"error_description"`
		Param        scalar `json:"param"`
		RetryAfter   scalar `json:"retryAfterSeconds"`
		Errors       []struct {
			Message scalar `json:"message"`
			Param   scalar `json:"param"`
		} `json:"errors"`
	}
	if err := unmarshalLenient(body, &w); err != nil {
		return vendorError{}, false
	}
	v := vendorError{
		code:    first(w.Code, w.ErrorCode, w.ErrorCode2, w.StatusCode),
		message: first(w.ErrorMessage, w.Message, w.Description, w.Error),
		param:   string(w.Param),
	}
	if len(w.Errors) > 0 {
		v.message = first(w.Errors[0].Message, scalar(v.message))
		v.param = first(w.Errors[0].Param, scalar(v.param))
	}
	v.retryAfter = seconds(string(w.RetryAfter))
	v.extra = extraOfError(body)
	return v, v.code != "" || v.message != ""
}

func first(s ...scalar) string {
	for _, v := range s {
		if v != "" {
			return string(v)
		}
	}
	return ""
}

// seconds reads a non-negative decimal number of seconds; nonsense is 0.
func seconds(s string) time.Duration {
	f, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	if err != nil || !(f > 0) {
		return 0
	}
	if f > maxRetryAfter.Seconds() {
		return maxRetryAfter
	}
	return time.Duration(f * float64(time.Second))
}

// retryAfter reads the Retry-After header: seconds, or a date.
func retryAfter(h http.Header, now time.Time) time.Duration {
	s := h.Get("Retry-After")
	if s == "" {
		return 0
	}
	if t, err := http.ParseTime(s); err == nil {
		return min(max(t.Sub(now), 0), maxRetryAfter)
	}
	return seconds(s)
}

// unmarshalLenient decodes as much as fits: a field of an unexpected type is
// left at its zero value, so that a vendor's change in one field does not make
// the rest unreadable. Broken JSON is still an error, and so is anything but
// an object.
func unmarshalLenient(b []byte, v any) error {
	err := json.Unmarshal(b, v)
	var mismatch *json.UnmarshalTypeError
	if errors.As(err, &mismatch) && mismatch.Field != "" {
		err = nil
	}
	if err == nil && !isObject(b) {
		err = errors.New("not a JSON object")
	}
	return err
}

func isObject(b []byte) bool {
	b = bytes.TrimLeft(b, " \t\r\n")
	return len(b) > 0 && b[0] == '{'
}

// kindOfStatus classifies an HTTP status, or a status found in a body.
func kindOfStatus(status int) Kind {
	switch {
	case status == http.StatusUnauthorized, status == http.StatusForbidden:
		return KindUnauthorized
	case status == http.StatusNotFound:
		return KindNotFound
	case status == http.StatusTooManyRequests:
		return KindRateLimited
	case status == http.StatusRequestTimeout, status == http.StatusGatewayTimeout:
		return KindTimeout
	case status >= 400 && status < 500:
		return KindInvalid
	case status >= 500 && status < 600:
		return KindUpstream
	}
	return KindMalformed
}

// answerError makes the Error for an answer that is not a success. body may
// have been cut short.
func answerError(status int, header http.Header, body []byte, now time.Time) *Error {
	e := &Error{Kind: kindOfStatus(status), HTTPStatus: status, RetryAfter: retryAfter(header, now)}
	if status >= 300 && status < 400 {
		e.detail = "redirect refused"
		return e
	}
	if !isJSON(header) {
		// A gateway's web page tells nothing about tenant, session or user, so
		// a "not found" in that form must not read as one.
		if len(bytes.TrimSpace(body)) > 0 && (e.Kind == KindNotFound || e.Kind == KindInvalid) {
			e.Kind = KindMalformed
		}
		e.detail = "answer is not JSON"
		return e
	}
	v, ok := parseVendorError(body)
	if !ok {
		e.detail = "unknown error body"
		return e
	}
	e.Code, e.Message, e.Param, e.Extra = v.code, v.message, v.param, v.extra
	if e.RetryAfter == 0 {
		e.RetryAfter = v.retryAfter
	}
	// Known text: "This header can't be decrypted".
	if (status == http.StatusBadRequest || status == http.StatusUnauthorized) &&
		strings.Contains(strings.ToLower(v.message), "decrypt") {
		e.Kind, e.detail = KindDecrypt, "service could not open the request"
	}
	return e
}

// transportError makes the Error for a request that got no complete answer.
func transportError(ctx context.Context, err error) *Error {
	var uerr *url.Error
	if errors.As(err, &uerr) {
		err = uerr.Err // drops the URL, which may name a person
	}
	e := &Error{Kind: KindUpstream, err: err}
	var nerr net.Error
	var dns *net.DNSError
	var cert *tls.CertificateVerificationError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(ctx.Err(), context.Canceled) || errors.Is(err, context.Canceled):
		e.Kind = KindCanceled
	case errors.Is(err, context.DeadlineExceeded), ctx.Err() != nil,
		errors.As(err, &nerr) && nerr.Timeout():
		e.Kind = KindTimeout
	case errors.As(err, &dns):
		e.detail = "host name does not resolve"
	case errors.As(err, &cert):
		e.detail = "certificate not trusted"
	case errors.As(err, &record):
		e.detail = "no TLS on this port"
	case errors.Is(err, syscall.ECONNREFUSED):
		e.detail = "connection refused"
	default:
		e.detail = "connection failed"
	}
	return e
}

// malformed makes an Error about an answer's content. detail is a constant.
func malformed(detail string) *Error { return &Error{Kind: KindMalformed, detail: detail} }

// invalid makes an Error about the caller's own arguments.
func invalid(op, format string, args ...any) *Error {
	return &Error{Kind: KindInvalid, Op: op, detail: fmt.Sprintf(format, args...)}
}

// asError gives err a place: which call of which service. It keeps a place
// that was already named.
func asError(err error, op, service string) error {
	var e *Error
	if !errors.As(err, &e) {
		e = &Error{Kind: KindUpstream, detail: "unexpected failure", err: err}
	}
	c := *e // the same error may have been handed to several waiters
	c.Op = op
	if c.Service == "" {
		c.Service = service
	}
	return &c
}
