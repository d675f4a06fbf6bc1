package descope

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// DefaultBaseURL is Descope's cloud.
const DefaultBaseURL = "https://api.descope.com"

const (
	timeout   = 10 * time.Second // of one request
	maxAnswer = 64 << 10         // bytes
	maxWait   = 5 * time.Second  // that a Retry-After or Limits may ask of a call

	maxRequest = 4 << 20 // bytes of a body; a flow with its screens is the longest
)

// The statuses after which Descope's clients try again, and when.
var (
	retried = []int{503, 520, 521, 522, 524, 530}
	pauses  = []time.Duration{100 * time.Millisecond, 5 * time.Second, 5 * time.Second}
)

// Options names a project and the key to manage it with.
type Options struct {
	BaseURL       string // default DefaultBaseURL; https, or http on loopback
	ProjectID     string
	ManagementKey string
	HTTPClient    *http.Client // default http.DefaultClient; redirects are never followed
	Limits        Limits
}

// Client manages one Descope project. It is safe for concurrent use. There should be one
// for a project, since each keeps to Limits by itself.
type Client struct {
	base, bearer string
	http         *http.Client
	pace         map[pace]limiter

	attributes *attributes
}

// New makes a client. It makes no call.
func New(o Options) (*Client, error) {
	if o.BaseURL == "" {
		o.BaseURL = DefaultBaseURL
	}
	if err := CheckBaseURL(o.BaseURL); err != nil {
		return nil, err
	}
	if !plain(o.ProjectID) || !plain(o.ManagementKey) {
		return nil, errors.New("descope: a project id and a management key are needed, of visible ASCII characters and without colons")
	}
	hc := http.DefaultClient
	if o.HTTPClient != nil {
		hc = o.HTTPClient
	}
	own := *hc
	own.Transport = nowhere{cmp.Or[http.RoundTripper](hc.Transport, http.DefaultTransport)}
	if own.Timeout == 0 || own.Timeout > timeout {
		own.Timeout = timeout
	}
	if o.Limits.Users < 0 || o.Limits.Others < 0 || o.Limits.Searches < 0 {
		return nil, errors.New("descope: limits are requests a minute, and not below zero")
	}
	return &Client{
		base: strings.TrimRight(o.BaseURL, "/"), bearer: "Bearer " + o.ProjectID + ":" + o.ManagementKey, http: &own,
		pace: map[pace]limiter{
			urgent:   free{},
			ofUsers:  newBucket(cmp.Or(o.Limits.Users, defaultUsers)),
			ofOthers: newBucket(cmp.Or(o.Limits.Others, defaultOthers)),
			searches: &window{most: cmp.Or(o.Limits.Searches, defaultSearches)},
		},
		attributes: &attributes{turn: make(chan struct{}, 1)},
	}, nil
}

// nowhere drops where an answer would send us to. The key is for this host alone,
// so that redirects are not followed; and an address that cannot be parsed would
// stand in the error.
type nowhere struct{ http.RoundTripper }

func (n nowhere) RoundTrip(r *http.Request) (*http.Response, error) {
	answer, err := n.RoundTripper.RoundTrip(r)
	if answer != nil {
		answer.Header.Del("Location")
	}
	return answer, err
}

// CheckBaseURL accepts an https origin, or an http one on loopback for development.
func CheckBaseURL(s string) error {
	u, err := url.Parse(s)
	if err != nil || u.Host == "" || u.User != nil || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.Fragment != "" || !secure(u) {
		return errors.New("descope: the base URL must be an https origin such as " + DefaultBaseURL + " (http on loopback only)")
	}
	return nil
}

// secure reports whether u is https, or http to this very machine.
func secure(u *url.URL) bool {
	ip := net.ParseIP(u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && (u.Hostname() == "localhost" || ip != nil && ip.IsLoopback())
}

// plain reports whether s is of visible ASCII characters but the colon, which
// parts the two halves of the credential.
func plain(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(r rune) bool { return r <= ' ' || r > '~' || r == ':' })
}

// Error is an answer of Descope's that is no success. Errors of this package are
// *proof.Error with reason descope_refused or descope_unavailable; where Descope
// answered at all, an *Error is in their chain. One has RetryAfter only if nothing was done:
// Descope or Limits want the caller to come later.
type Error struct {
	Status int    // HTTP
	Code   string // errorCode, such as E011001; empty when there was none
}

func (e *Error) Error() string {
	s := "Descope answered HTTP " + strconv.Itoa(e.Status)
	if e.Code != "" {
		s += " with " + e.Code
	}
	return s
}

// NotDone reports whether Descope turned the request away, so that nothing was done.
func (e *Error) NotDone() bool {
	return e.Status/100 == 4 && e.Status != http.StatusRequestTimeout
}

// Is reports whether target is proof.ErrNotFound and Descope knew no such user.
func (e *Error) Is(target error) bool { return target == proof.ErrNotFound && e.Code == codeNoUser } //nolint:errorlint // the one value

func refused(cause error) error {
	return &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonDescopeRefused, Message: "Descope refused to go on", Err: cause}
}

// noUser is proof.ErrNotFound by way of its cause.
func noUser(cause *Error) error {
	return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonDescopeRefused, Message: "Descope knows no such user", Err: cause}
}

func unavailable(cause error, after time.Duration) error {
	return &proof.Error{
		Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, RetryAfter: after,
		Message: "Descope does not answer", Err: cause,
	}
}

// CompleteExternalAuth completes a request of the External Authentication action
// and returns where the browser goes from here (POST
// /v1/mgmt/flow/externalauth/complete). It claims nothing about e-mail addresses,
// phone numbers or anything else of the user. An answer that names no address for
// a browser counts as a refusal.
func (c *Client) CompleteExternalAuth(ctx context.Context, a proof.ExternalAuth) (string, error) {
	var out struct {
		RedirectURL string `json:"redirectUrl"`
	}
	err := c.do(ctx, CallCompleteExternalAuth, nil, struct {
		RequestID string            `json:"externalAuthReqId"`
		LoginID   string            `json:"loginId"`
		Claims    map[string]string `json:"customClaims,omitempty"`
	}{a.RequestID, a.LoginID, a.Claims}, &out)
	if err != nil {
		return "", err
	}
	u, err := url.Parse(out.RedirectURL)
	odd := strings.ContainsFunc(out.RedirectURL, func(r rune) bool { return r <= ' ' || r == 0x7f })
	if err != nil || odd || u.Host == "" || u.User != nil || !secure(u) { // the address itself is a secret
		return "", refused(errors.New("descope: redirectUrl is no absolute https address"))
	}
	return out.RedirectURL, nil
}

// do makes a call. Its body is sent as JSON, nil as none; its answer is read into out. A
// nil out is for calls that answer nothing: an empty object, or no byte.
func (c *Client) do(ctx context.Context, call Call, query url.Values, body, out any) error {
	return c.doUpTo(ctx, 0, call, query, body, out)
}

// doUpTo is do with a limit of its own for the answer.
func (c *Client) doUpTo(ctx context.Context, limit int64, call Call, query url.Values, body, out any) error {
	e := calls[call]
	e.limit = cmp.Or(limit, e.limit, maxAnswer)
	if len(query) > 0 {
		e.path += "?" + query.Encode()
	}
	var sent []byte
	if body != nil {
		var err error
		if sent, err = json.Marshal(body); err != nil { // its message could quote what is sent
			return refused(unsent{errors.New("descope: what is to be sent cannot be written as JSON")})
		}
		if len(sent) > maxRequest {
			return refused(unsent{errors.New("descope: what is to be sent is too long")})
		}
	}
	pace := c.pace[e.pace]
	for try := 0; ; try++ {
		done, later, ok := pace.take(ctx)
		if !ok {
			return unavailable(unsent{errPace}, cmp.Or(later, shortly))
		}
		again, err := c.once(ctx, e, sent, out)
		done()
		if err == nil {
			return nil
		}
		if p, ok := errors.AsType[*proof.Error](err); ok && p.RetryAfter > 0 {
			pace.hold(p.RetryAfter)
		}
		if again < 0 || try == len(pauses) {
			return err
		}
		if again == 0 {
			again = pauses[try]
		}
		if tooLong(ctx, again) || !sleep(ctx, again) {
			return err
		}
	}
}

const (
	never   = time.Duration(-1)
	shortly = time.Second // when to come again with what was not sent as the caller had to go
)

// once makes one request. again says when it may be made again: never, after the
// usual pause (0), or after that long.
func (c *Client) once(ctx context.Context, e endpoint, body []byte, out any) (again time.Duration, err error) {
	var content io.Reader
	if body != nil {
		content = bytes.NewReader(body)
	}
	r, err := http.NewRequestWithContext(ctx, e.method, c.base+e.path, content)
	if err != nil { // without the address, which may name a person
		return never, refused(unsent{errors.New("descope: no request can be made of this")})
	}
	r.Header.Set("Authorization", c.bearer)
	if body != nil {
		r.Header.Set("Content-Type", "application/json")
	}
	r.Header.Set("Accept", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return never, unavailable(err, 0)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, e.limit+1))
	if err != nil || int64(len(data)) > e.limit {
		return never, unavailable(errors.New("descope: the answer broke off or is too long"), 0)
	}
	if answer.StatusCode/100 == 2 {
		if out == nil {
			if data = bytes.TrimSpace(data); len(data) == 0 {
				return never, nil
			}
			out = &map[string]json.RawMessage{} // a page of somebody in between is no success
		}
		if err := json.Unmarshal(data, out); err != nil {
			return never, unavailable(errors.New("descope: the answer is no JSON object"), 0)
		}
		return never, nil
	}
	var said struct {
		Code string `json:"errorCode"`
	}
	if json.Unmarshal(data, &said) != nil || !code(said.Code) {
		said.Code = ""
	}
	failure := &Error{Status: answer.StatusCode, Code: said.Code}
	switch {
	case answer.StatusCode == http.StatusTooManyRequests:
		wait := retryAfter(answer.Header.Get("Retry-After"))
		if wait <= maxWait {
			return wait, unavailable(failure, wait)
		}
		return never, unavailable(failure, wait)
	case slices.Contains(retried, answer.StatusCode):
		if e.effect != hooks.Idempotent { // a proxy that gave up waiting does not know whether it was done
			return never, unavailable(failure, 0)
		}
		return 0, unavailable(failure, 0)
	case answer.StatusCode/100 == 4 && answer.StatusCode != http.StatusRequestTimeout:
		if errors.Is(failure, proof.ErrNotFound) {
			return never, noUser(failure)
		}
		return never, refused(failure)
	}
	return never, unavailable(failure, 0)
}

// code reports whether s looks like an error code, and like nothing that would
// spoil a log.
func code(s string) bool {
	return len(s) <= 16 && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'A' || r > 'Z') && (r < '0' || r > '9')
	})
}

// retryAfter reads the header's seconds (RFC 9110, 10.2.3); backoff for anything else.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil || n == 0 {
		return backoff
	}
	return time.Duration(n) * time.Second
}
