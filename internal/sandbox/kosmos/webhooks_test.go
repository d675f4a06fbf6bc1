package kosmos_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

const hookSecret = "secret-of-the-webhook"

// receiver takes callbacks, and checks their signature.
type receiver struct {
	*httptest.Server
	status func(n int) int

	mu   sync.Mutex
	got  []map[string]any
	more chan struct{}
}

func newReceiver(t *testing.T, secret string) *receiver {
	v := &receiver{more: make(chan struct{}, 64)}
	v.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		mac := hmac.New(sha256.New, []byte(secret))
		mac.Write(b)
		var m map[string]any
		if err != nil || json.Unmarshal(b, &m) != nil || r.Header.Get("X-Kosmos-Signature") != "sha256="+hex.EncodeToString(mac.Sum(nil)) {
			t.Errorf("callback %s with %q: %v", b, r.Header.Get("X-Kosmos-Signature"), err)
		}
		v.mu.Lock()
		v.got = append(v.got, m)
		n := len(v.got)
		v.mu.Unlock()
		if v.status != nil {
			w.WriteHeader(v.status(n))
		}
		v.more <- struct{}{}
	}))
	t.Cleanup(v.Close)
	return v
}

// next waits for a callback.
func (v *receiver) next(t *testing.T) map[string]any {
	t.Helper()
	select {
	case <-v.more:
	case <-t.Context().Done():
		t.Fatal("no callback")
	case <-time.After(time.Minute):
		t.Fatal("no callback in time")
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	return v.got[len(v.got)-1]
}

func (v *receiver) count() int {
	v.mu.Lock()
	defer v.mu.Unlock()
	return len(v.got)
}

// TestCallbacks: every way in which a session or a step-up ends is told once, by the
// server itself. Shape and signature are our guess.
func TestCallbacks(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, hookSecret)
	s := startStepUps(t, &engine{}, func(o *kosmos.Options) {
		o.Webhooks = []kosmos.Webhook{{URL: v.URL + "/hook", Secret: hookSecret}}
	})
	first := v.next(t) // of the enrolment
	if first["eventName"] != "E_IDV_DOCUMENT_VALIDATE" || first["status"] != "SUCCESS" || first["eventCategory"] != "idv" {
		t.Errorf("%v", first)
	}
	is := func(what string, got map[string]any, event, status, id string) {
		t.Helper()
		session := "sessionId"
		if got["eventCategory"] == "login" {
			session = "session_id"
		}
		if got["eventName"] != event || got["status"] != status || got[session] != id || got["event_id"] == "" || len(got) != 9 {
			t.Errorf("%s: %v", what, got)
		}
	}
	id := s.create("document-only", "ppt_object", map[string]string{"username": "bob", "firstname": "Bob", "uid": "0198c0de-0000-7000-8000-000000000001"})
	s.act(id, "decline", nil, "")
	is("declined", v.next(t), "E_IDV_SESSION_ABANDONED", "ABANDONED", id)
	id = s.session("face")
	if f := s.face(id, aliceName, alice); f.State != "match" {
		t.Fatalf("%+v", f)
	}
	is("match", v.next(t), "E_LOGIN_SUCCEEDED", "SUCCESS", id)
	id = s.session("face")
	s.clock.add(2 * time.Minute)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("ran out", v.next(t), "E_LOGIN_FAILED", "EXPIRED", id)
	id = s.create("document-only", "ppt_object", nil)
	s.clock.add(8 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	is("too late", v.next(t), "E_IDV_SESSION_EXPIRED", "EXPIRED", id)
	if err := s.SendCallbacks(t.Context()); err != nil || v.count() != 5 {
		t.Errorf("%d callbacks, %v", v.count(), err)
	}
}

// TestCallbackTries: one that is not taken comes again, as the same, and not for ever.
func TestCallbackTries(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, hookSecret)
	v.status = func(n int) int {
		if n == 3 {
			return 204
		}
		return 503
	}
	s := start(t, &engine{}, func(o *kosmos.Options) {
		o.Webhooks = []kosmos.Webhook{{URL: v.URL, Secret: hookSecret}}
	})
	end := func() {
		id := s.create("document-only", "ppt_object", nil)
		s.act(id, "decline", nil, "")
	}
	end()
	one := v.next(t)
	for _, wait := range []time.Duration{5 * time.Second, 30 * time.Second} {
		settle(t, s)
		s.clock.add(wait)
		settle(t, s)
		if again := v.next(t); again["event_id"] != one["event_id"] {
			t.Errorf("%v, then %v", one, again)
		}
	}
	settle(t, s)
	s.clock.add(24 * time.Hour)
	settle(t, s)
	if v.count() != 3 {
		t.Fatalf("%d callbacks", v.count())
	}
	end()
	for range 8 { // the first, and five more
		settle(t, s)
		s.clock.add(time.Hour)
	}
	if v.count() != 9 {
		t.Errorf("%d callbacks of one that nobody took", v.count()-3)
	}
}

// settle waits until what is under way is noted.
func settle(t *testing.T, s *server) {
	t.Helper()
	if err := s.SendCallbacks(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func TestWebhookAPI(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, hookSecret)
	s := start(t, &engine{}, nil)
	base := "/webhooks" + s.place() + "/webhooks"
	added := s.service("community", "POST", base, map[string]any{"url": v.URL, "secret": hookSecret, "events": []string{"E_IDV_SESSION_ABANDONED"}}, nil)
	id, _ := added.json(t)["id"].(string)
	if added.status != 201 || id == "" || added.json(t)["secret"] != hookSecret {
		t.Fatalf("%d %s", added.status, added.body)
	}
	made := s.service("community", "POST", base, map[string]any{"url": "http://127.0.0.1:1/none"}, nil)
	if secret, _ := made.json(t)["secret"].(string); made.status != 201 || len(secret) < 16 {
		t.Errorf("%d %s", made.status, made.body)
	}
	listed := s.service("community", "GET", base, nil, nil)
	if data, _ := listed.json(t)["data"].([]any); len(data) != 2 || data[0].(map[string]any)["secret"] != nil {
		t.Errorf("%s", listed.body)
	}
	for name, body := range map[string]map[string]any{
		"address": {"url": "ftp://x"}, "no address": {}, "secret": {"url": v.URL, "secret": "short"}, "events": {"url": v.URL, "events": []string{"verified"}},
	} {
		if r := s.service("community", "POST", base, body, nil); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	session := s.create("document-only", "ppt_object", nil)
	s.act(session, "decline", nil, "")
	if got := v.next(t); got["sessionId"] != session {
		t.Errorf("%v", got)
	}
	for want, path := range map[int]string{404: base + "/nobody", 200: base + "/" + id} {
		if r := s.service("community", "DELETE", path, nil, nil); r.status != want {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
	session = s.create("document-only", "ppt_object", nil)
	s.act(session, "decline", nil, "")
	settle(t, s)
	if v.count() != 1 {
		t.Errorf("%d callbacks, the last after its end", v.count())
	}
	if r := s.service("docuverify", "GET", base, nil, nil); r.status != 400 {
		t.Errorf("another service's key: %d", r.status)
	}
	if r := s.service("community", "GET", "/webhooks/tenant/0/community/0/webhooks", nil, nil); r.status != 404 {
		t.Errorf("another tenant: %d", r.status)
	}
}

// TestCallbacksSurvive: an end that was not told before the process died is told after.
func TestCallbacksSurvive(t *testing.T) {
	t.Parallel()
	v := newReceiver(t, hookSecret)
	v.status = func(n int) int {
		if n == 1 {
			return 500
		}
		return 200
	}
	hook := kosmos.Webhook{URL: v.URL, Secret: hookSecret}
	s := start(t, &engine{}, func(o *kosmos.Options) { o.Webhooks = []kosmos.Webhook{hook} })
	id := s.create("document-only", "ppt_object", nil)
	s.act(id, "decline", nil, "")
	v.next(t)
	settle(t, s)
	s.stop()
	s2 := start(t, &engine{}, func(o *kosmos.Options) {
		o.DataDir, o.Webhooks = s.opt.DataDir, []kosmos.Webhook{hook}
	})
	s2.clock.add(time.Minute)
	if got := v.next(t); got["sessionId"] != id {
		t.Errorf("%v", got)
	}
	s2.stop()
	// One that the configuration does not have any more is forgotten.
	s3 := start(t, &engine{}, func(o *kosmos.Options) { o.DataDir = s.opt.DataDir })
	if r := s3.service("community", "GET", "/webhooks"+s3.place()+"/webhooks", nil, nil); string(r.body) != `{"data":[]}`+"\n" {
		t.Errorf("%s", r.body)
	}
	for _, bad := range []kosmos.Webhook{{URL: "x", Secret: hookSecret}, {URL: v.URL, Secret: "short"}} {
		o := s.opt
		o.DataDir, o.Webhooks = t.TempDir(), []kosmos.Webhook{bad}
		if _, err := kosmos.New(o); err == nil {
			t.Errorf("%+v", bad)
		}
	}
}
