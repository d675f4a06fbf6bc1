package deliveries

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"time"
	"unicode/utf8"
)

const (
	maxAnswer     = 4 << 10        // bytes of an answer's body that are read and kept
	maxRetryAfter = 24 * time.Hour // the longest pause that an endpoint can ask for
)

// Exchange is what went over the wire in one attempt, as it is kept. Of the credentials
// only the names of their headers are.
type Exchange struct {
	Method          string            `json:"method"`
	URL             string            `json:"url"` // as Endpoint.URL: without what is secret in it
	RequestHeaders  map[string]string `json:"request_headers"`
	RequestBody     string            `json:"request_body"`
	ResponseHeaders map[string]string `json:"response_headers,omitempty"`
	ResponseBody    string            `json:"response_body,omitempty"` // its first 4 KB
	Cut             bool              `json:"cut,omitempty"`           // there was more of it
	Connected       float64           `json:"connected_ms,omitempty"`  // until a connection was there; 0: one was kept
	FirstByte       float64           `json:"first_byte_ms,omitempty"` // until the answer began
}

// outcome of one request.
type outcome struct {
	status     int    // 0: no answer
	problem    string // safe text; "" when the answer came whole
	refused    bool   // by us: the address is not allowed
	retryAfter time.Duration
	at         time.Time
	took       time.Duration
	exchange   Exchange
}

func (o outcome) delivered() bool { return o.status >= 200 && o.status < 300 }

// client makes a client that goes straight to where it is told: no proxy, no redirects,
// no cookies, no other certificates than those that count.
func (s *Service) client(private bool) *http.Client {
	d := newDialer(s.Resolver, private, s.Connect)
	return &http.Client{
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport: &http.Transport{
			Proxy:                  nil, // of the environment or any other: it would resolve the name itself
			DialContext:            d.DialContext,
			TLSClientConfig:        &tls.Config{MinVersion: tls.VersionTLS12, RootCAs: s.RootCAs},
			TLSHandshakeTimeout:    s.Timeout,
			ForceAttemptHTTP2:      true,
			DisableCompression:     true, // so that 4 KB are 4 KB
			MaxResponseHeaderBytes: 64 << 10,
			MaxIdleConns:           256,
			MaxIdleConnsPerHost:    4,
			MaxConnsPerHost:        64,
			IdleConnTimeout:        90 * time.Second,
		},
	}
}

// send makes one request. Whatever goes wrong is in the outcome.
func (s *Service) send(ctx context.Context, e *Endpoint, secrets *EndpointSecrets, r *request, id string) (o outcome) {
	o = outcome{at: s.Now(), exchange: Exchange{Method: http.MethodPost, URL: shown(e.Shape, r.URL), RequestBody: printable(r.Body)}}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("User-Agent", "Kosmoscope")
	if r.Sign {
		signature, err := Sign(good(secrets.Signing, o.at), id, o.at, r.Body)
		if err != nil {
			o.problem = "the request could not be signed"
			return o
		}
		r.Header.Set(HeaderID, id)
		r.Header.Set(HeaderTimestamp, strconv.FormatInt(o.at.Unix(), 10))
		r.Header.Set(HeaderSignature, signature)
	}
	o.exchange.RequestHeaders = flat(r.Header, slices.Collect(maps.Keys(secrets.Headers)))
	// What was saved may be older than today's rules.
	if CheckURL(r.URL, e.AllowPrivate) != "" {
		o.problem, o.refused = "the URL is not allowed", true
		return o
	}
	ctx, cancel := context.WithTimeout(ctx, s.Timeout)
	defer cancel()
	begun := time.Now()                   // monotonic: durations do not jump with the clock
	var connected, firstByte atomic.Int64 // told by other goroutines, even after the end
	defer func() {
		o.took = time.Since(begun)
		o.exchange.Connected, o.exchange.FirstByte = float64(connected.Load())/1000, float64(firstByte.Load())/1000
	}()
	since := func(into *atomic.Int64) func() { return func() { into.Store(time.Since(begun).Microseconds()) } }
	req, err := http.NewRequestWithContext(traced(ctx, since(&connected), since(&firstByte)), http.MethodPost, r.URL, bytes.NewReader(r.Body))
	if err != nil {
		o.problem = "the request could not be made"
		return o
	}
	req.Header = r.Header
	client := s.public
	if e.AllowPrivate {
		client = s.private
	}
	resp, err := client.Do(req)
	if err != nil {
		o.problem, o.refused = describe(err), errors.Is(err, errAddress)
		return o
	}
	defer resp.Body.Close()
	o.status = resp.StatusCode
	o.retryAfter = retryAfter(resp.Header.Get("Retry-After"), s.Now())
	o.exchange.ResponseHeaders = flat(resp.Header, nil)
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if o.exchange.Cut = len(body) > maxAnswer; o.exchange.Cut {
		body = body[:maxAnswer]
	}
	o.exchange.ResponseBody = printable(body)
	switch {
	case err != nil: // the answer stands, only its text is not whole
		o.exchange.Cut, o.problem = true, "the answer broke off: "+describe(err)
	case o.status >= 300 && o.status < 400:
		o.problem = "the endpoint answered with a redirect, which is not followed"
	case !o.delivered():
		o.problem = "the endpoint answered " + strconv.Itoa(o.status)
	}
	return o
}

// good are the secrets that have not ended.
func good(signing []Signing, now time.Time) []string {
	var out []string
	for _, s := range signing {
		if s.Ends.IsZero() || now.Before(s.Ends) {
			out = append(out, s.Secret)
		}
	}
	return out
}

// describe makes a text of an error that has neither addresses nor anything of ours in it.
func describe(err error) string {
	var dns *net.DNSError
	var unknown x509.UnknownAuthorityError
	var name x509.HostnameError
	var invalid x509.CertificateInvalidError
	var plain tls.RecordHeaderError
	var timeout interface{ Timeout() bool }
	switch {
	case errors.Is(err, errAddress):
		return "the name leads to an address that is not allowed"
	case errors.Is(err, context.Canceled):
		return "the attempt was broken off here"
	case errors.As(err, &dns) && !dns.IsTimeout:
		return "the name cannot be resolved"
	case errors.Is(err, context.DeadlineExceeded) || errors.As(err, &timeout) && timeout.Timeout():
		return "no answer in time"
	case errors.As(err, &name):
		return "the certificate is for another name"
	case errors.As(err, &unknown):
		return "the certificate is by somebody who is not trusted"
	case errors.As(err, &invalid):
		return "the certificate is not valid"
	case errors.As(err, &plain) || errors.Is(err, http.ErrSchemeMismatch):
		return "the endpoint does not speak TLS"
	case errors.Is(err, syscall.ECONNREFUSED):
		return "the connection was refused"
	}
	return "the connection broke"
}

// retryAfter reads Retry-After (RFC 9110, section 10.2.3): seconds or a date; 0 if there
// is none that can be read. It is at most 24 h.
func retryAfter(h string, now time.Time) time.Duration {
	var d time.Duration
	if n, err := strconv.ParseUint(strings.TrimSpace(h), 10, 32); err == nil {
		d = time.Duration(n) * time.Second
	} else if at, err := http.ParseTime(h); err == nil {
		d = at.Sub(now)
	}
	return min(max(d, 0), maxRetryAfter)
}

const hidden = "…"

// shown is a URL without what may be a secret in it: values of the query, and what is
// last in the path where tools have their secret there.
func shown(shape Shape, target string) string {
	u, err := url.Parse(target)
	if err != nil {
		return hidden
	}
	if u.RawQuery != "" {
		u.RawQuery = hidden
	}
	out := u.String()
	if shape != ShapeSlack && shape != ShapeTemplate {
		return out
	}
	path := u.EscapedPath()
	head, last, ok := cutLast(strings.TrimSuffix(path, "/"), "/")
	if !ok || last == "" {
		return out
	}
	base := u.Scheme + "://" + u.Host + head + "/" + hidden
	if u.RawQuery != "" {
		base += "?" + hidden
	}
	return base
}

func cutLast(s, sep string) (before, after string, ok bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}

// flat are headers as they are kept: some, without values that are secret.
func flat(h http.Header, secret []string) map[string]string {
	out := map[string]string{}
	for _, name := range slices.Sorted(maps.Keys(h)) {
		if len(out) == 40 {
			break
		}
		value := printable([]byte(strings.Join(h[name], ", ")))
		if slices.ContainsFunc(secret, func(s string) bool { return strings.EqualFold(s, name) }) || name == "Set-Cookie" {
			value = hidden
		}
		out[name] = cut(value, 500)
	}
	return out
}

// printable is text of what may be no text.
func printable(b []byte) string {
	if utf8.Valid(b) {
		return strings.ReplaceAll(string(b), "\x00", "\uFFFD")
	}
	return strings.ReplaceAll(strings.ToValidUTF8(string(b), "\uFFFD"), "\x00", "\uFFFD")
}
