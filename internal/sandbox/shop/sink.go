package shop

import (
	"bytes"
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	_ "embed"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html/template"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"
)

// The sink stands for the other tools of the shop's company: it takes messages that look
// like those for Slack, and those of the Standard Webhooks scheme (version 1.0.0), whose
// signature it checks with code of its own. It shows the last ones to this machine only.

// Received is one message.
type Received struct {
	ID     int64     `json:"id"` // counts from 1
	At     time.Time `json:"at"`
	Shape  string    `json:"shape"`          // slack, standard
	Type   string    `json:"type,omitempty"` // of a standard message
	Text   string    `json:"text,omitempty"` // for people
	Body   string    `json:"body"`
	Signed string    `json:"signed"` // good; or bad or none, and then it was refused unless Slack's, which has no signature
	Why    string    `json:"why,omitempty"`
	// WebhookID is the same each time that a message is sent; Again counts how often it
	// was here before.
	WebhookID string `json:"webhook_id,omitempty"`
	Again     int    `json:"again,omitempty"`
	Status    int    `json:"status"` // that it was answered
}

// Values of Received.
const (
	shapeSlack    = "slack"
	shapeStandard = "standard"

	signedGood = "good"
	signedBad  = "bad"
	signedNone = "none"
)

const (
	keptReceived  = 100
	maxReceived   = 256 << 10 // bytes of a body
	signatureSkew = 5 * time.Minute
)

//go:embed sink.html
var sinkHTML string

type sink struct {
	now  func() time.Time
	tmpl *template.Template

	mu   sync.Mutex
	keys []key // of signatures; any will do
	last int64
	kept []Received // the newest last
	seen map[string]int
}

// key checks signatures of one version.
type key struct {
	version string
	good    func(content, signature []byte) bool
}

// readKeys reads secrets ("whsec_...") and public keys ("whpk_..."), of which there may
// be several while one takes over from another.
func readKeys(texts []string) (keys []key, err error) {
	for i, text := range texts {
		prefix, encoded, _ := strings.Cut(text, "_")
		b, err := base64.StdEncoding.DecodeString(encoded)
		switch {
		case err == nil && prefix == "whsec" && len(b) >= 24 && len(b) <= 64:
			keys = append(keys, key{"v1", func(content, signature []byte) bool {
				mac := hmac.New(sha256.New, b)
				mac.Write(content)
				return hmac.Equal(signature, mac.Sum(nil))
			}})
		case err == nil && prefix == "whpk" && len(b) == ed25519.PublicKeySize:
			keys = append(keys, key{"v1a", func(content, signature []byte) bool { return ed25519.Verify(b, content, signature) }})
		default:
			return nil, fmt.Errorf("secret %d is neither whsec_ and the base64 of 24 to 64 bytes, nor whpk_ and that of 32", i+1)
		}
	}
	return keys, nil
}

func newSink(secrets []string, now func() time.Time) (*sink, error) {
	keys, err := readKeys(secrets)
	if err != nil {
		return nil, fmt.Errorf("shop: sink: %w", err)
	}
	tmpl, err := template.New("").Parse(sinkHTML)
	return &sink{now: now, tmpl: tmpl, keys: keys, seen: map[string]int{}}, err
}

// secrets takes others from now on, in memory: whoever makes an endpoint is told its
// secret only then.
func (s *sink) secrets(w http.ResponseWriter, r *http.Request) {
	var b struct {
		Secrets []string `json:"secrets"`
	}
	dec := json.NewDecoder(http.MaxBytesReader(w, r.Body, 16<<10))
	dec.DisallowUnknownFields()
	if err := dec.Decode(&b); err != nil {
		http.Error(w, `Send {"secrets":["whsec_..."]}.`, http.StatusBadRequest)
		return
	}
	keys, err := readKeys(b.Secrets)
	if err != nil {
		http.Error(w, err.Error(), http.StatusUnprocessableEntity)
		return
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.keys = keys
	w.WriteHeader(http.StatusNoContent)
}

func (s *sink) routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /sink/slack", local(s.slack))
	mux.HandleFunc("POST /sink/webhook", local(s.standard))
	mux.HandleFunc("GET /sink", local(s.page))
	mux.HandleFunc("PUT /sink/api/secrets", local(s.secrets))
	mux.HandleFunc("GET /sink/api/messages", local(func(w http.ResponseWriter, _ *http.Request) { writeJSON(w, http.StatusOK, s.list()) }))
	mux.HandleFunc("DELETE /sink/api/messages", local(func(w http.ResponseWriter, _ *http.Request) {
		s.mu.Lock()
		defer s.mu.Unlock()
		s.kept, s.seen = nil, map[string]int{}
		w.WriteHeader(http.StatusNoContent)
	}))
}

// local lets requests of this machine through, to a name of its own: what is shown may be
// about people.
func local(next http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		from, err := netip.ParseAddrPort(r.RemoteAddr)
		if err != nil || !from.Addr().Unmap().IsLoopback() || !localName(r.Host) {
			http.Error(w, "The sink answers this machine only, at an address such as localhost.", http.StatusMisdirectedRequest)
			return
		}
		w.Header().Set("Cross-Origin-Resource-Policy", "same-origin")
		next(w, r)
	}
}

func localName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.ToLower(strings.Trim(host, "[]"))
	if a, err := netip.ParseAddr(host); err == nil {
		return a.Unmap().IsLoopback()
	}
	return host == "localhost" || strings.HasSuffix(host, ".localhost")
}

func (s *sink) read(w http.ResponseWriter, r *http.Request) ([]byte, bool) {
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxReceived))
	if err != nil {
		http.Error(w, "too_large", http.StatusRequestEntityTooLarge)
		return nil, false
	}
	return body, true
}

// slackText undoes the three escapes of Slack's texts.
var slackText = strings.NewReplacer("&lt;", "<", "&gt;", ">", "&amp;", "&")

// slack takes what an incoming webhook of Slack's takes: {"text":..} or blocks, answered
// with "ok". Slack's have no signature; where there is one it must be good.
func (s *sink) slack(w http.ResponseWriter, r *http.Request) {
	body, ok := s.read(w, r)
	if !ok {
		return
	}
	var m struct {
		Text   string            `json:"text"`
		Blocks []json.RawMessage `json:"blocks"`
	}
	got := Received{Shape: shapeSlack, Signed: signedNone, Status: http.StatusOK, WebhookID: r.Header.Get("webhook-id")}
	answer := "ok"
	if r.Header.Get("webhook-signature") != "" {
		got.Signed, got.Why = s.verify(r.Header, body)
	}
	switch {
	case json.Unmarshal(body, &m) != nil:
		got.Status, answer = http.StatusBadRequest, "invalid_payload"
	case m.Text == "" && len(m.Blocks) == 0:
		got.Status, answer = http.StatusBadRequest, "no_text"
	case got.Signed == signedBad:
		got.Status, answer = http.StatusUnauthorized, "bad_signature"
	}
	got.Text = slackText.Replace(m.Text)
	s.keep(got, body)
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	w.WriteHeader(got.Status)
	_, _ = io.WriteString(w, answer)
}

// standard takes a message of Standard Webhooks.
func (s *sink) standard(w http.ResponseWriter, r *http.Request) {
	body, ok := s.read(w, r)
	if !ok {
		return
	}
	var m struct {
		Type string `json:"type"`
		Text string `json:"text"`
	}
	got := Received{Shape: shapeStandard, Status: http.StatusNoContent, WebhookID: r.Header.Get("webhook-id")}
	got.Signed, got.Why = s.verify(r.Header, body)
	switch {
	case got.Signed != signedGood:
		got.Status = http.StatusUnauthorized
	case json.Unmarshal(body, &m) != nil || m.Type == "":
		got.Status, got.Why = http.StatusBadRequest, "the body is no message"
	}
	got.Type, got.Text = m.Type, m.Text
	s.keep(got, body)
	w.WriteHeader(got.Status)
}

// verify checks the signature of Standard Webhooks, which is over id, timestamp and body,
// dots between. Bad is also what cannot be checked.
func (s *sink) verify(h http.Header, body []byte) (signed, why string) {
	id, stamp, list := h.Get("webhook-id"), h.Get("webhook-timestamp"), h.Get("webhook-signature")
	if id == "" || stamp == "" || list == "" {
		return signedNone, "webhook-id, webhook-timestamp or webhook-signature is missing"
	}
	seconds, err := strconv.ParseInt(stamp, 10, 64)
	if err != nil {
		return signedBad, "webhook-timestamp is no number"
	}
	if off := s.now().Sub(time.Unix(seconds, 0)).Abs(); off > signatureSkew {
		return signedBad, "webhook-timestamp is more than five minutes off"
	}
	s.mu.Lock()
	keys := s.keys
	s.mu.Unlock()
	if len(keys) == 0 {
		return signedBad, "the sink has no secret to check it with"
	}
	content := append([]byte(id+"."+stamp+"."), body...)
	for one := range strings.FieldsSeq(list) {
		version, encoded, _ := strings.Cut(one, ",")
		signature, err := base64.StdEncoding.DecodeString(encoded)
		if err == nil && slices.ContainsFunc(keys, func(k key) bool { return k.version == version && k.good(content, signature) }) {
			return signedGood, ""
		}
	}
	return signedBad, "no signature is good"
}

// keep notes a message. A refused one counts as not having been here.
func (s *sink) keep(m Received, body []byte) {
	m.Body = string(body)
	if !utf8.Valid(body) {
		m.Body = strings.ToValidUTF8(m.Body, "\uFFFD")
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.last++
	m.ID, m.At = s.last, s.now().UTC()
	if m.WebhookID != "" && m.Status/100 == 2 {
		key := m.Shape + " " + m.WebhookID
		m.Again = s.seen[key]
		s.seen[key]++
	}
	s.kept = append(s.kept, m)
	if n := len(s.kept) - keptReceived; n > 0 {
		s.kept = slices.Delete(s.kept, 0, n)
	}
	if len(s.seen) > 100*keptReceived { // so long ago that nobody sees the first one any more
		clear(s.seen)
	}
}

// list is newest first.
func (s *sink) list() []Received {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := append([]Received{}, s.kept...)
	slices.Reverse(out)
	return out
}

func (s *sink) page(w http.ResponseWriter, _ *http.Request) {
	var b bytes.Buffer
	if err := s.tmpl.ExecuteTemplate(&b, "sink", s.list()); err != nil {
		http.Error(w, "This page cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	_, _ = w.Write(b.Bytes())
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	b, err := json.Marshal(v)
	if err != nil {
		http.Error(w, "This cannot be shown.", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write(append(b, '\n'))
}
