package blockid

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"
)

const (
	defaultMaxBody = 16 << 20
	defaultTimeout = 30 * time.Second
	// maxErrorBody bounds what is read of an answer that is an error anyway.
	maxErrorBody = 64 << 10
)

// wire sends requests and bounds what comes back. Both clients share it.
type wire struct {
	http    *http.Client
	hosts   map[string]bool // host:port, lower case
	maxBody int64
	timeout time.Duration
	now     func() time.Time
}

func newWire(c *http.Client, hosts []string, maxBody int64, timeout time.Duration, now func() time.Time) (wire, error) {
	w := wire{hosts: map[string]bool{}, maxBody: maxBody, timeout: timeout, now: now}
	if c == nil {
		t := http.DefaultTransport.(*http.Transport).Clone()
		t.MaxIdleConnsPerHost = 64 // the default of 2 makes a busy client shake hands all day
		c = &http.Client{Transport: t}
	}
	own := *c
	own.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	w.http = &own
	if w.maxBody <= 0 {
		w.maxBody = defaultMaxBody
	}
	if w.timeout <= 0 {
		w.timeout = defaultTimeout
	}
	if w.now == nil {
		w.now = time.Now
	}
	for _, h := range hosts {
		u, err := url.Parse("https://" + h)
		if err != nil || h == "" || u.Host != h || u.Hostname() == "" {
			return w, &Error{Kind: KindConfig, detail: "a host must be NAME or NAME:PORT"}
		}
		w.hosts[hostPort(u)] = true
	}
	return w, nil
}

// hostPort normalises the host of an https URL for comparison.
func hostPort(u *url.URL) string {
	port := u.Port()
	if port == "" {
		port = "443"
	}
	return strings.ToLower(strings.TrimSuffix(u.Hostname(), ".")) + ":" + port
}

// trusted parses a URL that a service named and refuses it unless it is https
// and its host is one of w.hosts or more. Service discovery is unauthenticated
// and session links end up in browsers, so neither may lead elsewhere.
func (w *wire) trusted(raw string, more map[string]bool) (*url.URL, error) {
	u, err := url.Parse(raw)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Opaque != "" || u.Hostname() == "" {
		return nil, &Error{Kind: KindUntrustedHost, detail: "not an https URL"}
	}
	if hp := hostPort(u); !w.hosts[hp] && !more[hp] {
		return nil, &Error{Kind: KindUntrustedHost, detail: "URL is on a host that is not allowed"}
	}
	return u, nil
}

// send makes one request and returns the body of a 2xx JSON answer.
func (w *wire) send(ctx context.Context, method string, u *url.URL, header http.Header, body []byte) ([]byte, error) {
	b, _, err := w.exchange(ctx, method, u, header, body)
	return b, err
}

// exchange is send that tells which 2xx it was.
func (w *wire) exchange(ctx context.Context, method string, u *url.URL, header http.Header, body []byte) ([]byte, int, error) {
	req := (&http.Request{
		Method: method, URL: u, Host: u.Host, Header: header,
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	if body != nil {
		req.ContentLength = int64(len(body))
		req.Body = io.NopCloser(bytes.NewReader(body))
		// Lets the transport start over on a fresh connection when an idle one
		// turns out closed before the service saw anything.
		req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(body)), nil }
	}
	res, err := w.http.Do(req)
	if err != nil {
		return nil, 0, transportError(ctx, err)
	}
	defer res.Body.Close()
	ok := res.StatusCode >= 200 && res.StatusCode < 300
	limit := w.maxBody
	if !ok {
		limit = min(limit, maxErrorBody)
	}
	b, err := readBounded(res, limit)
	switch {
	case errors.Is(err, errTooLarge) && ok:
		return nil, 0, &Error{Kind: KindMalformed, HTTPStatus: res.StatusCode, detail: "answer too large", err: err}
	case err != nil && !errors.Is(err, errTooLarge):
		return nil, 0, transportError(ctx, err)
	case !ok:
		return nil, 0, answerError(res.StatusCode, res.Header, b, w.now())
	case !isJSON(res.Header):
		return nil, 0, &Error{Kind: KindMalformed, HTTPStatus: res.StatusCode, detail: "answer is not JSON"}
	}
	return b, res.StatusCode, nil
}

var errTooLarge = errors.New("blockid: answer too large")

func readBounded(res *http.Response, limit int64) ([]byte, error) {
	if res.ContentLength > limit {
		return nil, errTooLarge
	}
	if res.ContentLength >= 0 {
		b := make([]byte, res.ContentLength)
		_, err := io.ReadFull(res.Body, b)
		return b, err
	}
	b, err := io.ReadAll(io.LimitReader(res.Body, limit+1))
	if err == nil && int64(len(b)) > limit {
		return b[:limit], errTooLarge
	}
	return b, err
}

func isJSON(h http.Header) bool {
	t, _, _ := strings.Cut(h.Get("Content-Type"), ";")
	t = strings.ToLower(strings.TrimSpace(t))
	return t == "application/json" || strings.HasPrefix(t, "application/") && strings.HasSuffix(t, "+json")
}
