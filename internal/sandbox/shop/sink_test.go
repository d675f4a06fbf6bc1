package shop_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/shop"
)

// sink is the shop's, and whoever posts to it.
type sink struct {
	*testing.T
	h      http.Handler
	now    time.Time
	secret string
}

func newSink(t *testing.T, secrets ...string) *sink {
	t.Helper()
	s := &sink{T: t, now: time.Now().Truncate(time.Second)}
	var err error
	s.h, err = shop.New(shop.Options{URL: "http://localhost:3000", Descope: "http://localhost:3001", ProjectID: project,
		SinkSecrets: secrets, Now: func() time.Time { return s.now }})
	if err != nil {
		t.Fatal(err)
	}
	if len(secrets) > 0 {
		s.secret = secrets[0]
	}
	return s
}

func (s *sink) do(method, path, body string, header map[string]string, change ...func(*http.Request)) *httptest.ResponseRecorder {
	s.Helper()
	r := httptest.NewRequest(method, "http://localhost:3000"+path, strings.NewReader(body))
	r.RemoteAddr = "127.0.0.1:4321"
	for k, v := range header {
		r.Header.Set(k, v)
	}
	for _, c := range change {
		c(r)
	}
	w := httptest.NewRecorder()
	s.h.ServeHTTP(w, r)
	return w
}

// signed are the headers of a message as the deliveries of the bridge sign it.
func (s *sink) signed(secret, id, body string, at time.Time) map[string]string {
	s.Helper()
	signature, err := deliveries.Sign([]string{secret}, id, at, []byte(body))
	if err != nil {
		s.Fatal(err)
	}
	return map[string]string{"Webhook-Id": id, "Webhook-Timestamp": strconv.FormatInt(at.Unix(), 10), "Webhook-Signature": signature}
}

func (s *sink) list() (all []shop.Received) {
	s.Helper()
	w := s.do("GET", "/sink/api/messages", "", nil)
	if err := json.Unmarshal(w.Body.Bytes(), &all); err != nil || w.Code != 200 {
		s.Fatalf("%d %s", w.Code, w.Body)
	}
	return all
}

const message = `{"type":"verification.ended","timestamp":"2027-01-15T12:00:00Z","text":"A verification ended <b>well</b>.","data":{"status":"verified"}}`

func TestSinkStandard(t *testing.T) {
	t.Parallel()
	old, fresh := deliveries.NewSecret(), deliveries.NewKey()
	s := newSink(t, old, deliveries.PublicKey(fresh))
	good := s.signed(old, "msg_1", message, s.now)
	without := func(name string) map[string]string {
		h := map[string]string{}
		for k, v := range good {
			if k != name {
				h[k] = v
			}
		}
		return h
	}
	other := s.signed(deliveries.NewSecret(), "msg_1", message, s.now)
	for _, c := range []struct {
		name   string
		body   string
		header map[string]string
		status int
		signed string
		again  int
	}{
		{"good", message, good, 204, "good", 0},
		{"once more", message, good, 204, "good", 1},
		{"by Ed25519", message, s.signed(fresh, "msg_2", message, s.now), 204, "good", 0},
		{"another body", message + " ", good, 401, "bad", 0},
		{"another secret", message, other, 401, "bad", 0},
		{"of two, one is good", message, map[string]string{"Webhook-Id": "msg_1", "Webhook-Timestamp": good["Webhook-Timestamp"], "Webhook-Signature": other["Webhook-Signature"] + " " + good["Webhook-Signature"]}, 204, "good", 2},
		{"old", message, s.signed(old, "msg_1", message, s.now.Add(-301*time.Second)), 401, "bad", 0},
		{"early", message, s.signed(old, "msg_1", message, s.now.Add(301*time.Second)), 401, "bad", 0},
		{"no signature", message, without("Webhook-Signature"), 401, "none", 0},
		{"no id", message, without("Webhook-Id"), 401, "none", 0},
		{"nothing", message, nil, 401, "none", 0},
		{"no message", `[]`, s.signed(old, "msg_3", `[]`, s.now), 400, "good", 0},
	} {
		w := s.do("POST", "/sink/webhook", c.body, c.header)
		if got := s.list()[0]; w.Code != c.status || got.Status != c.status || got.Signed != c.signed || got.Again != c.again || (c.signed != "good") != (got.Why != "") && c.status != 400 {
			t.Errorf("%s: %d %+v", c.name, w.Code, got)
		}
	}
	first := s.list()[11]
	if first.ID != 1 || first.Shape != "standard" || first.Type != "verification.ended" || first.Body != message || first.WebhookID != "msg_1" {
		t.Errorf("%+v", first)
	}
	page := s.do("GET", "/sink", "", nil).Body.String()
	for _, want := range []string{"A verification ended &lt;b&gt;well&lt;/b&gt;.", "The signature is good.", "it was here before, 2 times", "The signature is bad: no signature is good.", "There is no signature: webhook-id"} {
		if !strings.Contains(page, want) {
			t.Errorf("no %s in %s", want, page)
		}
	}
	if w := s.do("DELETE", "/sink/api/messages", "", nil); w.Code != 204 || len(s.list()) != 0 {
		t.Errorf("%d, %d left", w.Code, len(s.list()))
	}
}

// TestSinkVector is the example of the specification of Standard Webhooks. Its secret is
// shorter than the specification itself allows; zeros at its end change nothing, as HMAC
// pads a key with zeros.
func TestSinkVector(t *testing.T) {
	t.Parallel()
	s := newSink(t, "whsec_plJ3nmyCDGBKInavdOK15jsl"+"AAAAAAAA")
	s.now = time.Unix(1731705121, 0)
	const body = `{"event_type":"ping","data":{"success":true}}`
	h := map[string]string{"webhook-id": "msg_loFOjxBNrRLzqYUf", "webhook-timestamp": "1731705121", "webhook-signature": "v1,rAvfW3dJ/X/qxhsaXPOyyCGmRKsaKWcsNccKXlIktD0="}
	if w := s.do("POST", "/sink/webhook", body, h); s.list()[0].Signed != "good" || w.Code != 400 { // it has event_type, not type
		t.Errorf("%d %+v", w.Code, s.list()[0])
	}
	h["webhook-timestamp"] = "1731705122"
	if w := s.do("POST", "/sink/webhook", body, h); s.list()[0].Signed != "bad" || w.Code != 401 {
		t.Errorf("%d %+v", w.Code, s.list()[0])
	}
}

func TestSinkSlack(t *testing.T) {
	t.Parallel()
	s := newSink(t, deliveries.NewSecret())
	for body, want := range map[string]struct {
		status int
		answer string
	}{
		`{"text":"3 &lt; 4 &amp; all is well","blocks":[]}`: {200, "ok"},
		`{"blocks":[{"type":"divider"}]}`:                   {200, "ok"},
		`{"blocks":[]}`:                                     {400, "no_text"},
		`payload`:                                           {400, "invalid_payload"},
	} {
		w := s.do("POST", "/sink/slack", body, nil)
		got := s.list()[0]
		if w.Code != want.status || w.Body.String() != want.answer || got.Shape != "slack" || got.Signed != "none" || got.Status != want.status {
			t.Errorf("%s: %d %s, %+v", body, w.Code, w.Body, got)
		}
		if strings.Contains(body, "well") && got.Text != "3 < 4 & all is well" {
			t.Errorf("%q", got.Text)
		}
	}
	const text = `{"text":"hi"}`
	if w := s.do("POST", "/sink/slack", text, s.signed(s.secret, "msg_1", text, s.now)); w.Code != 200 || s.list()[0].Signed != "good" {
		t.Errorf("signed: %d %+v", w.Code, s.list()[0])
	}
	if w := s.do("POST", "/sink/slack", text, s.signed(deliveries.NewSecret(), "msg_1", text, s.now)); w.Code != 401 || s.list()[0].Signed != "bad" {
		t.Errorf("signed by another: %d %+v", w.Code, s.list()[0])
	}
}

// TestSinkKeeps: the last 100, of messages that are not too long.
func TestSinkKeeps(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	for i := range 105 {
		s.do("POST", "/sink/slack", fmt.Sprintf(`{"text":"%d"}`, i), nil)
	}
	if all := s.list(); len(all) != 100 || all[0].Text != "104" || all[99].Text != "5" {
		t.Errorf("%d, from %s", len(all), all[0].Text)
	}
	if w := s.do("POST", "/sink/slack", `{"text":"`+strings.Repeat("x", 300<<10)+`"}`, nil); w.Code != 413 {
		t.Errorf("too long: %d", w.Code)
	}
	if w := s.do("POST", "/sink/slack", "{\"text\":\"\xff\"}", nil); w.Code/100 == 5 {
		t.Errorf("no UTF-8: %d", w.Code)
	}
	s.list()
}

// TestSinkSecrets: a secret that is known only once its endpoint is there.
func TestSinkSecrets(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	secret := deliveries.NewSecret()
	if w := s.do("POST", "/sink/webhook", message, s.signed(secret, "msg_1", message, s.now)); w.Code != 401 {
		t.Errorf("without a secret: %d", w.Code)
	}
	for body, status := range map[string]int{
		`{"secrets":["` + secret + `"]}`: 204, `{"secrets":["whsec_short"]}`: 422, `{"secret":"x"}`: 400, `[]`: 400,
	} {
		if w := s.do("PUT", "/sink/api/secrets", body, nil); w.Code != status {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
		}
	}
	if w := s.do("POST", "/sink/webhook", message, s.signed(secret, "msg_1", message, s.now)); w.Code != 204 {
		t.Errorf("with its secret: %d", w.Code)
	}
	if _, err := shop.New(shop.Options{URL: "http://localhost:3000", Descope: "http://localhost:3001", ProjectID: project, SinkSecrets: []string{"x"}}); err == nil {
		t.Error("a shop with a secret that is none")
	}
}

// TestSinkIsLocal: no other machine, no foreign name, and no page of another origin.
func TestSinkIsLocal(t *testing.T) {
	t.Parallel()
	s := newSink(t)
	s.do("POST", "/sink/slack", `{"text":"a secret"}`, nil)
	for name, change := range map[string]func(*http.Request){
		"another machine": func(r *http.Request) { r.RemoteAddr = "192.0.2.1:1" },
		"a foreign name":  func(r *http.Request) { r.Host = "evil.example" },
		"no address":      func(r *http.Request) { r.RemoteAddr = "" },
	} {
		for _, path := range []string{"GET /sink", "GET /sink/api/messages", "POST /sink/slack", "PUT /sink/api/secrets", "DELETE /sink/api/messages"} {
			method, path, _ := strings.Cut(path, " ")
			if w := s.do(method, path, `{"text":"x"}`, nil, change); w.Code != http.StatusMisdirectedRequest || strings.Contains(w.Body.String(), "a secret") {
				t.Errorf("%s: %s %s: %d", name, method, path, w.Code)
			}
		}
	}
	if w := s.do("DELETE", "/sink/api/messages", "", map[string]string{"Origin": "http://evil.example", "Sec-Fetch-Site": "cross-site"}); w.Code != 403 {
		t.Errorf("another page: %d", w.Code)
	}
	if len(s.list()) != 1 {
		t.Error("it was changed")
	}
}

// TestSinkOverHTTP: a request over a real connection, as the bridge makes it.
func TestSinkOverHTTP(t *testing.T) {
	t.Parallel()
	secret := deliveries.NewSecret()
	s := newSink(t, secret)
	srv := httptest.NewServer(s.h)
	defer srv.Close()
	req, err := http.NewRequest(http.MethodPost, srv.URL+"/sink/webhook", strings.NewReader(message))
	if err != nil {
		t.Fatal(err)
	}
	for k, v := range s.signed(secret, "msg_9", message, s.now) {
		req.Header.Set(k, v)
	}
	res, err := srv.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	b, _ := io.ReadAll(res.Body)
	_ = res.Body.Close()
	if res.StatusCode != 204 || len(s.list()) != 1 {
		t.Errorf("%d %s", res.StatusCode, b)
	}
}
