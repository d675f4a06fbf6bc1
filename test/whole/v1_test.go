package whole_test

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// The Bearer profile, from the node to the verdict and back to our page.
func TestV1Profile(t *testing.T) {
	t.Parallel()
	const create, status = "/v1/verify/sessions", "/v1/verify/sessions/"
	w := newWorld(t, plan{profile: "v1", timeout: "2s"})

	// There is nothing to choose on our page: this profile takes several documents.
	s, p := w.start(fields{"document_types": []string{"passport", "id_card"}, "user_identifier": "ada", "callback_url": w.url + "/"}), w.person()
	pg := p.get(s.SessionURL)
	if pg.find("name", "document_type") != nil {
		t.Error("the page asks for a document, which 1Kosmos will do")
	}
	capture := p.agreed(p.consent(pg))
	choose, err := p.client.PostForm(capture+"/start", url.Values{"document_type": {"passport"}})
	if err != nil {
		t.Fatal(err)
	}
	choose.Body.Close()
	p.act(capture, "document", fixture("passport.jpg"))
	p.act(capture, "selfie", fixture("selfie.jpg"))
	p.act(capture, "submit", "")
	end := p.judged(capture, "success")
	r := w.becomes(s.SessionID, "verified", "")
	// The local 1Kosmos says of every session that nobody assessed the engine behind
	// it. So the level that it knows ada by is none of this session.
	if r.IALLevel != "" || r.IALSource != "" {
		t.Errorf("the session of an engine that nobody assessed has level %q from %q", r.IALLevel, r.IALSource)
	}

	// 1Kosmos sends the browser back to our page, and that to the application.
	if !strings.HasPrefix(end.ReturnURL, w.url+"/v/"+s.SessionID+"?") {
		t.Fatalf("1Kosmos returns the browser to %q", end.ReturnURL)
	}
	pg = p.get(end.ReturnURL)
	if pg.status != http.StatusOK || pg.step != "done" || pg.state != "verified" {
		t.Errorf("back on our page: %d %s %s", pg.status, pg.step, pg.state)
	}
	if back := attr(pg.find("data-testid", "return"), "href"); back != w.url+"/?session_id="+s.SessionID {
		t.Errorf("our page returns to %q", back)
	}
	if pg := w.person().get(end.ReturnURL); pg.status == http.StatusOK {
		t.Error("the address that 1Kosmos returns to lets another browser in")
	}

	// Where the operator asks for a level, being done without one is no success.
	level := w.startAs(levelBearer, nil)
	p = w.person()
	p.done(p.enter(level.SessionURL))
	eventuallyAt(t, w, levelBearer, level.SessionID, "failed upstream_unknown_state")

	// Answers that say something else than is so.
	says := func(v any) fault {
		return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
			rw.Header().Set("Content-Type", "application/json")
			_ = json.NewEncoder(rw).Encode(v)
		}
	}
	for name, c := range map[string]struct {
		path, want string
		do         fault
	}{
		"a state that nobody knows":          {status, "failed upstream_unknown_state", says(fields{"status": "splendid", "result": fields{"ial_level": "IAL3"}})},
		"no state":                           {status, "failed upstream_malformed", says(fields{"result": fields{"ial_level": "IAL3"}})},
		"about another session":              {status, "failed upstream_malformed", says(fields{"session_id": "00000000", "status": "completed", "result": fields{"ial_level": "IAL3"}})},
		"two states":                         {status, "failed upstream_malformed", raw(`{"status":"completed","status":"failed"}`)},
		"completed, though a check failed":   {status, "failed provider_rejected", says(fields{"status": "completed", "kosmoscope": fields{"checks": []fields{{"name": "face_match", "outcome": "fail"}}}})},
		"our token is refused, at the poll":  {status, "failed upstream_unauthorized", refusal(http.StatusUnauthorized)},
		"our token is refused, at the start": {create, "failed upstream_unauthorized", refusal(http.StatusUnauthorized)},
		"a link elsewhere":                   {create, "failed upstream_malformed", says(fields{"session_id": "s", "session_url": "https://evil.example/s"})},
		"away":                               {status, "pending upstream_unavailable", refusal(http.StatusBadGateway)},
		"too often":                          {status, "pending upstream_rate_limited", refusal(http.StatusTooManyRequests)},
	} {
		w.proxy.set(c.path, c.do)
		s, p := w.start(nil), w.person()
		p.consent(p.get(s.SessionURL))
		t.Log(name)
		eventuallyAt(t, w, bearer, s.SessionID, c.want)
		w.proxy.set(c.path, nil)
	}
}

func raw(body string) fault {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(body))
	}
}

func refusal(status int) fault {
	return func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		rw.WriteHeader(status)
		_, _ = rw.Write([]byte(`{"statusCode":0,"error":"no","message":"no"}`))
	}
}

func eventuallyAt(t *testing.T, w *world, token, id, want string) {
	t.Helper()
	eventually(t, id+" becomes "+want, func() (bool, string) {
		r := w.resultAt(w.url, token, id)
		if terminal(r.Status) && r.String() != want {
			t.Fatalf("it ended as %s; want %s", r, want)
		}
		return r.String() == want, r.String()
	})
}
