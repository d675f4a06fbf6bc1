package stepuptest

import (
	"bytes"
	"io"
	"net/http"
	"sync"
)

// Wire is the transport between a backend and its 1Kosmos. The suite listens to
// it, and puts other answers in.
type Wire struct {
	Next http.RoundTripper

	mu     sync.Mutex
	answer func(*http.Request) (*http.Response, error) // nil, nil: let it pass
	heard  func(*http.Request, []byte)
}

// RoundTrip implements http.RoundTripper.
func (w *Wire) RoundTrip(r *http.Request) (*http.Response, error) {
	w.mu.Lock()
	answer, heard := w.answer, w.heard
	w.mu.Unlock()
	if answer != nil {
		res, err := answer(r)
		if res != nil || err != nil {
			if r.Body != nil {
				_ = r.Body.Close()
			}
			return res, err
		}
	}
	res, err := w.Next.RoundTrip(r)
	if err != nil || heard == nil {
		return res, err
	}
	body, err := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if err != nil {
		return nil, err
	}
	heard(r, body)
	res.Body = io.NopCloser(bytes.NewReader(body))
	return res, nil
}

func (w *Wire) set(answer func(*http.Request) (*http.Response, error), heard func(*http.Request, []byte)) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.answer, w.heard = answer, heard
}

// clear lets everything pass unheard.
func (w *Wire) clear() { w.set(nil, nil) }

// reply makes an answer; header is pairs of name and value.
func reply(r *http.Request, status int, body string, header ...string) *http.Response {
	res := &http.Response{
		StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1, Header: http.Header{}, Request: r,
		Body: io.NopCloser(bytes.NewReader([]byte(body))), ContentLength: int64(len(body)),
	}
	for i := 0; i+1 < len(header); i += 2 {
		res.Header.Set(header[i], header[i+1])
	}
	return res
}
