package whole_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// trouble is one way for 1Kosmos, or what is between, to be broken.
type trouble struct {
	name      string
	reason    string
	temporary bool     // it may pass by itself, so nothing ends
	on        []string // paths; none means every one
	truth     bool     // do alters the true answer, so there should be one worth altering
	do        fault    // nil: nobody listens at all
}

func troubles(t *testing.T) []trouble {
	t.Helper()
	stranger, err := blockid.GenerateKey(blockid.Secp256k1)
	if err != nil {
		t.Fatal(err)
	}
	say := func(status int, contentType, body string, headers ...string) fault {
		return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", contentType)
			for i := 0; i < len(headers); i += 2 {
				w.Header().Set(headers[i], headers[i+1])
			}
			w.WriteHeader(status)
			_, _ = w.Write([]byte(body))
		}
	}
	// alter changes the true answer.
	alter := func(change func(a *answer)) fault {
		return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
			a := record(r, forward)
			change(&a)
			a.write(w)
		}
	}
	sealed := func(change func(raw []byte) any) fault {
		return alter(func(a *answer) {
			var m map[string]any
			raw, err := []byte(nil), json.Unmarshal(a.body, &m)
			if data, ok := m["data"].(string); ok && err == nil {
				raw, err = base64.StdEncoding.DecodeString(data)
			}
			if err != nil || len(raw) == 0 {
				a.status, a.body = http.StatusTeapot, []byte("the test found nothing sealed to alter")
				return
			}
			m["data"] = change(raw)
			a.body, _ = json.Marshal(m) // it was JSON before
		})
	}
	html := "<!doctype html><html><title>Gateway</title><p>Something went wrong</html>"
	result := []string{pathResult}
	return []trouble{
		{name: "nobody listens", reason: "upstream_unavailable", temporary: true},
		{name: "the connection breaks", reason: "upstream_unavailable", temporary: true,
			do: func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }},
		{name: "the connection breaks in the answer", reason: "upstream_unavailable", temporary: true,
			do: func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
				a := record(r, forward)
				w.Header().Set("Content-Type", a.header.Get("Content-Type"))
				w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
				_, _ = w.Write(a.body[:len(a.body)/2])
				_ = http.NewResponseController(w).Flush()
				panic(http.ErrAbortHandler)
			}},
		{name: "500", reason: "upstream_unavailable", temporary: true, do: say(500, "application/json", `{"code":500,"message":"Internal Server Error"}`)},
		{name: "503", reason: "upstream_unavailable", temporary: true, do: say(503, "text/html", html)},
		{name: "it hangs", reason: "upstream_timeout", temporary: true,
			do: func(_ http.ResponseWriter, r *http.Request, _ http.Handler) { <-r.Context().Done() }},
		{name: "429", reason: "upstream_rate_limited", temporary: true, do: say(429, "application/json", `{"message":"slow down"}`, "Retry-After", "1")},

		{name: "200 and a web page", reason: "upstream_malformed", do: say(200, "text/html; charset=utf-8", html)},
		{name: "404 and a web page", reason: "upstream_malformed", do: say(404, "text/html", html)},
		{name: "a redirect", reason: "upstream_malformed", do: say(302, "text/html", "", "Location", "https://localhost:1/elsewhere")},
		{name: "our licence is refused", reason: "upstream_unauthorized", do: say(401, "application/json", `{"code":401,"message":"Invalid or Unauthorized License"}`)},
		{name: "404", reason: "upstream_rejected", do: say(404, "application/json", `{"code":404,"message":"not found"}`)},
		{name: "truncated JSON", reason: "upstream_malformed", truth: true, do: alter(func(a *answer) { a.body = a.body[:len(a.body)-2] })},
		{name: "no JSON by its type", reason: "upstream_malformed", truth: true, do: alter(func(a *answer) { a.header.Set("Content-Type", "text/plain") })},
		{name: "an empty object", reason: "upstream_malformed", do: say(200, "application/json", `{}`)},
		{name: "garbage", reason: "upstream_malformed", do: say(200, "application/json", "\x00\xff\xfe{[")},
		{name: "a giant answer", reason: "upstream_malformed", do: func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Type", "application/json")
			w.Header().Set("Content-Length", strconv.Itoa(17<<20))
			block := bytes.Repeat([]byte(" "), 1<<20)
			for range 17 {
				if _, err := w.Write(block); err != nil {
					return
				}
			}
		}},
		{name: "an error inside a success", reason: "upstream_unauthorized", on: []string{pathCommunity, pathDirectory, pathResult},
			do: say(200, "application/json", `{"code":401,"message":"Invalid or Unauthorized License"}`)},

		{name: "a key that is none", reason: "upstream_malformed", on: []string{pathKeys}, do: say(200, "application/json", `{"publicKey":"%%%"}`)},
		{name: "another key", reason: "upstream_ciphertext", on: []string{pathKeys}, do: say(200, "application/json", `{"publicKey":"`+stranger.Public().String()+`"}`)},
		{name: "services on another host", reason: "upstream_malformed", on: []string{pathDirectory},
			do: say(200, "application/json", `{"licenses":"https://localhost:1/l","docuverify":"https://localhost:1/docuverify","adminconsole":"https://localhost:1"}`)},
		{name: "a link to another host", reason: "upstream_malformed", on: []string{pathCreate},
			do: say(200, "application/json", `{"sessionId":"8b1f","url":"https://evil.example/idproofing/session/8b1f"}`)},
		{name: "a link that is a script", reason: "upstream_malformed", on: []string{pathCreate},
			do: say(200, "application/json", `{"sessionId":"8b1f","url":"javascript:alert(1)"}`)},

		{name: "no base64", reason: "upstream_ciphertext", on: result, truth: true, do: sealed(func([]byte) any { return "!!! no base64 !!!" })},
		{name: "one byte is another", reason: "upstream_ciphertext", on: result, truth: true,
			do: sealed(func(raw []byte) any { raw[len(raw)/2] ^= 1; return base64.StdEncoding.EncodeToString(raw) })},
		{name: "too short to be sealed", reason: "upstream_ciphertext", on: result, truth: true, do: sealed(func([]byte) any { return "AAAA" })},
		{name: "not sealed at all", reason: "upstream_malformed", on: result, do: say(200, "application/json", `{"sessionId":"x","status":"SUCCESS"}`)},
	}
}

func (f *trouble) at(path string) bool { return len(f.on) == 0 || slices.Contains(f.on, path) }

// begin breaks a path, end mends it.
func (f *trouble) begin(p *proxy, path string) {
	if f.do == nil {
		p.down()
		return
	}
	p.set(path, f.do)
}

func (f *trouble) end(p *proxy, path string) {
	if f.do == nil {
		p.up()
		return
	}
	p.set(path, nil)
}

// What goes wrong before there is an upstream session meets the person on our
// page, at the moment of consent.
func TestTroubleOnTheWayToASession(t *testing.T) {
	t.Parallel()
	for name, path := range map[string]string{"community": pathCommunity, "directory": pathDirectory, "key": pathKeys, "create": pathCreate} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{timeout: "2s"})
			type waiting struct {
				name string
				started
				p *person
			}
			var later []waiting
			for _, f := range troubles(t) {
				if !f.at(path) {
					continue
				}
				s, p := w.start(nil), w.person()
				pg := p.get(s.SessionURL)
				f.begin(w.proxy, path)
				pg = p.consent(pg)
				f.end(w.proxy, path)
				r := w.result(s.SessionID)
				if f.temporary {
					// The form is there again, with what is in the way.
					if pg.status != http.StatusServiceUnavailable || pg.step != "consent" || pg.alert == "" || pg.reason != f.reason {
						t.Errorf("%s: the person gets %d %s %s %q; want 503, the form and %s", f.name, pg.status, pg.step, pg.reason, pg.alert, f.reason)
					}
					if r.Status != "pending" || r.Reason != f.reason {
						t.Errorf("%s: the caller gets %s; want pending %s", f.name, r, f.reason)
					}
					later = append(later, waiting{f.name, s, p})
					continue
				}
				if pg.step != "done" || pg.state != "failed" || pg.reason != f.reason {
					t.Errorf("%s: the person gets %d %s %s %s %q; want failed %s", f.name, pg.status, pg.step, pg.state, pg.reason, pg.alert, f.reason)
				}
				if r.Status != "failed" || r.Reason != f.reason {
					t.Errorf("%s: the caller gets %s; want failed %s", f.name, r, f.reason)
				}
				if n := w.endings(t, s.SessionID); n != 1 {
					t.Errorf("%s: the verification ended %d times in the audit trail", f.name, n)
				}
			}
			// All is well again. Who was told to wait goes on.
			for i, v := range later {
				capture := v.p.agreed(v.p.consent(v.p.get(w.url + "/v/" + v.SessionID)))
				if r := w.result(v.SessionID); r.Status != "pending" || r.Reason != "" {
					t.Errorf("after %q was over: %s; want pending without a reason", v.name, r)
				}
				if i == 0 { // the others would do the same from here
					v.p.done(capture)
					w.verified(v.SessionID)
				}
			}
		})
	}
}

// What goes wrong when the result is asked for, while 1Kosmos says success.
func TestTroubleWithTheResult(t *testing.T) {
	t.Parallel()
	for name, part := range map[string]struct {
		temporary bool
		turn      int
	}{"temporary 1": {true, 0}, "temporary 2": {true, 1}, "permanent 1": {false, 0}, "permanent 2": {false, 1}} { // in parts, to be quicker
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{timeout: "2s"})
			away := func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
				rw.WriteHeader(http.StatusServiceUnavailable)
			}
			for i, f := range troubles(t) {
				if f.temporary != part.temporary || i%2 != part.turn || !f.at(pathResult) {
					continue
				}
				w.proxy.set(pathResult, away) // so that the bridge cannot learn of the success before
				s, p := w.start(nil), w.person()
				capture := p.enter(s.SessionURL)
				if f.temporary || f.truth {
					p.done(capture)
				}
				w.becomes(s.SessionID, "pending", "upstream_unavailable")
				w.proxy.set(pathResult, nil)
				f.begin(w.proxy, pathResult)
				if f.temporary {
					w.asked(s.SessionID, f.reason)
					r := w.becomes(s.SessionID, "pending", f.reason)
					pg := p.get(w.url + "/v/" + s.SessionID)
					if pg.status != http.StatusOK || pg.step != "continue" || pg.reason != f.reason {
						t.Errorf("%s: the person gets %d %s %s; want to be kept waiting with %s (%s)", f.name, pg.status, pg.step, pg.reason, f.reason, r)
					}
					f.end(w.proxy, pathResult)
					w.verified(s.SessionID)
					continue
				}
				w.becomes(s.SessionID, "failed", f.reason)
				f.end(w.proxy, pathResult)
				if pg := p.get(w.url + "/v/" + s.SessionID); pg.step != "done" || pg.state != "failed" || pg.reason != f.reason {
					t.Errorf("%s: the person gets %s %s %s; want failed %s", f.name, pg.step, pg.state, pg.reason, f.reason)
				}
			}
		})
	}
}

// asked waits until the bridge has asked in vain more often than permanent
// troubles are forgiven (give_up is 3). That it did is only seen in its log,
// because to a port that is closed it asks in silence.
func (w *world) asked(id, reason string) {
	w.t.Helper()
	every(w.t, 200*time.Millisecond, "the bridge asks again and again", func() (bool, string) {
		n := 0
		for line := range strings.Lines(w.bridges[0].Log()) {
			if (strings.Contains(line, `"msg":"poll failed"`) || strings.Contains(line, `"msg":"poll of a challenge failed"`)) && strings.Contains(line, id) && strings.Contains(line, `"reason":"`+reason+`"`) {
				n++
			}
		}
		return n > 4, strconv.Itoa(n)
	})
}

// A few bad answers are forgiven: what 1Kosmos has is read as soon as it can be.
func TestResultIsReadAfterBadAnswers(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	s, p := w.start(nil), w.person()
	capture := p.enter(s.SessionURL)
	p.photos(capture)
	// Fewer than give_up in a row, over and over.
	n := 0
	w.proxy.set(pathResult, func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		if n++; n%3 != 0 { // polls of one verification come one after the other
			rw.Header().Set("Content-Type", "text/html")
			_, _ = rw.Write([]byte("<p>not now</p>"))
			return
		}
		forward.ServeHTTP(rw, r)
	})
	w.becomes(s.SessionID, "pending", "upstream_malformed")
	w.becomes(s.SessionID, "pending", "")
	w.becomes(s.SessionID, "pending", "upstream_malformed")
	p.act(capture, "submit", "")
	w.verified(s.SessionID)
}

// An answer about somebody else's session is nobody's verdict.
func TestAnswerOfAnotherSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	var theirs answer
	seen := make(chan struct{})
	w.proxy.set(pathResult, func(rw http.ResponseWriter, r *http.Request, forward http.Handler) {
		a := record(r, forward)
		if len(a.body) > 20_000 && theirs.body == nil { // the one with the photos: a success
			theirs = a
			close(seen)
		}
		a.write(rw)
	})
	s, p := w.start(nil), w.person()
	p.done(p.enter(s.SessionURL))
	w.verified(s.SessionID)
	await(t, "a success was seen on the wire", seen)

	// The same sealed success, again and again, for somebody who handed in nothing.
	w.proxy.set(pathResult, func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) { theirs.write(rw) })
	s = w.start(nil)
	p.enter(s.SessionURL)
	w.becomes(s.SessionID, "failed", "upstream_malformed")
}

// Who is asked to slow down does.
func TestPollWaitsAsLongAsItIsTold(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	told := make(chan time.Time, 100)
	w.proxy.set(pathResult, func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		told <- time.Now() // before it can know how long to wait, however slow this machine is
		rw.Header().Set("Content-Type", "application/json")
		rw.Header().Set("Retry-After", "4")
		rw.WriteHeader(http.StatusTooManyRequests)
		_, _ = rw.Write([]byte(`{"message":"slow down"}`))
	})
	s := w.start(nil)
	w.person().enter(s.SessionURL)
	first := await(t, "the bridge polls", told)
	second := await(t, "the bridge polls again", told)
	if d := second.Sub(first); d < 3500*time.Millisecond {
		t.Errorf("429 with Retry-After: 4, and the bridge asked again after %s", d)
	}
}

// The level of a known user is asked for apart from the session. When it cannot
// be told, that costs the level and never the verdict.
func TestTroubleWithTheLevel(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timeout: "2s"})
	const path = "/api/r1/community/default/userid/ada/ial"
	s, p := w.start(fields{"user_identifier": "ada"}), w.person()
	w.proxy.set(path, func(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) })
	p.done(p.enter(s.SessionURL))
	w.becomes(s.SessionID, "pending", "upstream_unavailable") // it is asked for again
	w.proxy.set(path, nil)
	if r := w.verified(s.SessionID); r.IALLevel != "IAL2" || r.IALSource != "1kosmos_ial" {
		t.Errorf("once the level could be asked for: %s %s", r.IALLevel, r.IALSource)
	}

	s = w.start(fields{"user_identifier": "ada"})
	w.proxy.set(path, func(rw http.ResponseWriter, _ *http.Request, _ http.Handler) {
		rw.Header().Set("Content-Type", "application/json")
		_, _ = rw.Write([]byte(`{"user":{"username":"ada"},"did":{"x":{"value":"IAL3","proofs":[]}}}`)) // in the clear: anybody can say that
	})
	p = w.person()
	p.done(p.enter(s.SessionURL))
	if r := w.verified(s.SessionID); r.IALLevel != "" {
		t.Errorf("a level out of an answer that was not sealed: %s %s", r.IALLevel, r.IALSource)
	}
}
