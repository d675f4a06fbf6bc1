package connectors

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"
)

const (
	keptCalls = 500
	keptBytes = 16 << 10 // of each body
	masked    = "********"
)

// Record is one request that a connector made or could not make. Credentials in it
// are masked; bodies are as they were sent, cut at 16 KiB, so it is for the
// developer at this machine and stays in memory.
type Record struct {
	ID        int64     `json:"id"`
	At        time.Time `json:"at"`
	Flow      string    `json:"flow"`
	Task      string    `json:"task"`
	Execution string    `json:"execution"` // its last characters
	Connector string    `json:"connector"`
	Async     bool      `json:"async,omitempty"`
	Token     bool      `json:"token,omitempty"` // it asked for an access token
	Method    string    `json:"method,omitempty"`
	URL       string    `json:"url,omitempty"`
	Sent      []Header  `json:"sent,omitempty"`
	Body      string    `json:"body,omitempty"`
	HMACInput string    `json:"hmac_input,omitempty"`     // what x-descope-webhook-s256 was computed over
	Base      string    `json:"signature_base,omitempty"` // RFC 9421
	Status    int       `json:"status,omitempty"`         // 0: no answer
	Received  []Header  `json:"received,omitempty"`
	Answer    string    `json:"answer,omitempty"`
	Millis    float64   `json:"duration_ms"`
	Error     string    `json:"error,omitempty"` // as the flow sees it
	Detail    string    `json:"detail,omitempty"`
	Fault     string    `json:"fault,omitempty"`   // what the fault knobs did
	Ignored   []string  `json:"ignored,omitempty"` // arguments of the step that mean nothing here
}

// record keeps calls, the newest last.
type record struct {
	mu    sync.Mutex
	last  int64
	calls []Record
}

func (l *record) add(r Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last++
	r.ID = l.last
	if len(l.calls) == keptCalls {
		l.calls = slices.Delete(l.calls, 0, 1)
	}
	l.calls = append(l.calls, r)
}

// Calls are the last 500 calls, newest first.
func (c *Connectors) Calls() []Record {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	out := slices.Clone(c.log.calls)
	slices.Reverse(out)
	return out
}

// Call is one of them; false if it is not kept any more, or never was.
func (c *Connectors) Call(id int64) (Record, bool) {
	c.log.mu.Lock()
	defer c.log.mu.Unlock()
	for _, r := range c.log.calls {
		if r.ID == id {
			return r, true
		}
	}
	return Record{}, false
}

// shownHeaders are a request's headers as a developer may see them. HMAC and
// signature are shown: they prove one request, and nothing can be got from them.
func (k *connector) shownHeaders(h http.Header) []Header {
	key := ""
	if a := k.Authentication.APIKey; k.Authentication.Method == APIKey && a != nil {
		key = http.CanonicalHeaderKey(a.Key)
	}
	return shown(h, func(name string) bool { return name == key || looksSecret(name) })
}

// shownAnswer are an answer's headers.
func shownAnswer(h http.Header) []Header { return shown(h, looksSecret) }

func shown(h http.Header, secret func(string) bool) []Header {
	var out []Header
	for name, values := range h {
		for _, v := range values {
			if secret(name) {
				scheme, _, ok := strings.Cut(v, " ")
				v = masked
				if ok && name == "Authorization" {
					v = scheme + " " + masked
				}
			}
			out = append(out, Header{name, v})
		}
	}
	slices.SortStableFunc(out, func(a, b Header) int { return strings.Compare(a.Key, b.Key) })
	return out
}

// looksSecret goes by the name: a static header may hold a credential as well.
func looksSecret(name string) bool {
	name = strings.ToLower(name)
	for _, part := range []string{"auth", "key", "token", "secret", "cookie", "password", "credential"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}

func shorten(b []byte) string {
	if len(b) > keptBytes {
		return strings.ToValidUTF8(string(b[:keptBytes]), "\uFFFD") + "... (cut)"
	}
	return strings.ToValidUTF8(string(b), "\uFFFD")
}
