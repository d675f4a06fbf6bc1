package descope

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// DefaultBaseURL is Descope's cloud.
const DefaultBaseURL = "https://api.descope.com"

const (
	timeout   = 10 * time.Second // of one request
	maxAnswer = 64 << 10         // bytes
	maxWait   = 5 * time.Second  // that a Retry-After may ask of a call
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
}

// Client manages one Descope project. It is safe for concurrent use.
type Client struct {
	base, bearer string
	http         *http.Client
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
	return &Client{base: strings.TrimRight(o.BaseURL, "/"), bearer: "Bearer " + o.ProjectID + ":" + o.ManagementKey, http: &own}, nil
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
// answered at all, an *Error is in their chain.
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

func refused(cause error) error {
	return &proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonDescopeRefused, Message: "Descope refused to go on", Err: cause}
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
	err := c.post(ctx, "/v1/mgmt/flow/externalauth/complete", struct {
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

// post sends a JSON body and reads the JSON answer.
func (c *Client) post(ctx context.Context, path string, body, out any) error {
	return c.postUpTo(ctx, maxAnswer, path, body, out)
}

func (c *Client) postUpTo(ctx context.Context, limit int64, path string, body, out any) error {
	sent, err := json.Marshal(body)
	if err != nil {
		return fmt.Errorf("descope: encoding a request: %w", err)
	}
	for try := 0; ; try++ {
		again, err := c.once(ctx, limit, path, sent, out)
		if err == nil || again < 0 || try == len(pauses) {
			return err
		}
		if again == 0 {
			again = pauses[try]
		}
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < again {
			return err
		}
		select {
		case <-time.After(again):
		case <-ctx.Done():
			return err
		}
	}
}

const never = time.Duration(-1)

// once makes one request. again says when it may be made again: never, after the
// usual pause (0), or after that long.
func (c *Client) once(ctx context.Context, limit int64, path string, body []byte, out any) (again time.Duration, err error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+path, bytes.NewReader(body))
	if err != nil {
		return never, fmt.Errorf("descope: %w", err)
	}
	r.Header.Set("Authorization", c.bearer)
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Accept", "application/json")
	answer, err := c.http.Do(r)
	if err != nil {
		if e, ok := errors.AsType[*url.Error](err); ok {
			err = e.Err // without the address
		}
		return never, unavailable(err, 0)
	}
	defer answer.Body.Close()
	data, err := io.ReadAll(io.LimitReader(answer.Body, limit+1))
	if err != nil || int64(len(data)) > limit {
		return never, unavailable(errors.New("descope: the answer broke off or is too long"), 0)
	}
	if answer.StatusCode/100 == 2 {
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
		if wait > 0 && wait <= maxWait {
			return wait, unavailable(failure, wait)
		}
		return never, unavailable(failure, wait)
	case slices.Contains(retried, answer.StatusCode):
		return 0, unavailable(failure, 0)
	case answer.StatusCode/100 == 4 && answer.StatusCode != http.StatusRequestTimeout:
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

// retryAfter reads the header's seconds (RFC 9110, 10.2.3); 0 for anything else.
func retryAfter(s string) time.Duration {
	n, err := strconv.ParseUint(strings.TrimSpace(s), 10, 16)
	if err != nil {
		return 0
	}
	return time.Duration(n) * time.Second
}
