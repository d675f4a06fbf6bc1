package whole_test

import (
	"bytes"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// general are the troubles that can befall any answer of 1Kosmos. A 404 can not:
// among the answers to a step-up it means that nobody has shown a face yet.
func general(t *testing.T) (all []trouble) {
	t.Helper()
	for _, f := range troubles(t) {
		if len(f.on) == 0 && !f.truth && f.name != "404" {
			all = append(all, f)
		}
	}
	return all
}

// What goes wrong while the node opens a challenge is told to the flow, and
// leaves nothing behind.
func TestTroubleOnTheWayToAChallenge(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{timeout: "2s", limits: roomy})
	const user = "trouble.start@example.com"
	w.enrolled(user)
	open := func() int { return len(w.sql("SELECT id FROM challenges")) }
	for name, path := range map[string]string{"session": pathSession, "user": "/api/r1/community/default/userid/" + user + "/ial"} {
		for _, f := range general(t) {
			before := open()
			f.begin(w.proxy, path)
			a := w.askStepUp(bearer, user, nil)
			f.end(w.proxy, path)
			var problem struct{ Reason string }
			err := json.Unmarshal(a.body, &problem)
			want := http.StatusBadGateway
			if f.temporary {
				want = http.StatusServiceUnavailable
			}
			if err != nil || a.status != want || problem.Reason != f.reason {
				t.Errorf("%s, %s: the flow gets %d %s; want %d %s", name, f.name, a.status, a.body, want, f.reason)
			}
			if after := open(); after != before {
				t.Errorf("%s, %s: a challenge was left behind", name, f.name)
			}
		}
	}
	c, p := w.stepUp(user, nil), w.person()
	p.recognised(p.opens(c.ChallengeURL), user)
	w.matched(c.ChallengeID)
}

// What goes wrong while the bridge asks for the answer, when 1Kosmos says match.
func TestTroubleWithTheAnswer(t *testing.T) {
	t.Parallel()
	for _, temporary := range []bool{true, false} {
		t.Run(fmt.Sprintf("temporary %v", temporary), func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, plan{timeout: "2s", limits: roomy})
			const user = "trouble.answer@example.com"
			w.enrolled(user)
			for _, f := range general(t) {
				if f.temporary != temporary {
					continue
				}
				w.proxy.set(pathAnswer, refusal(http.StatusServiceUnavailable)) // so that the bridge cannot learn of the match before
				c, p := w.stepUp(user, nil), w.person()
				address := p.opens(c.ChallengeURL)
				if temporary {
					p.recognised(address, user)
				}
				w.comesTo(c.ChallengeID, "pending", "upstream_unavailable")
				w.proxy.set(pathAnswer, nil)
				f.begin(w.proxy, pathAnswer)
				if temporary {
					w.asked(c.ChallengeID, f.reason)
					w.comesTo(c.ChallengeID, "pending", f.reason)
					pg := p.get(w.url + "/c/" + c.ChallengeID)
					if pg.status != http.StatusOK || pg.step != "answer" || pg.reason != f.reason {
						t.Errorf("%s: the person gets %d %s %s; want to be kept waiting with %s", f.name, pg.status, pg.step, pg.reason, f.reason)
					}
					f.end(w.proxy, pathAnswer)
					w.matched(c.ChallengeID)
					continue
				}
				w.comesTo(c.ChallengeID, "error", f.reason)
				f.end(w.proxy, pathAnswer)
				if pg := p.get(w.url + "/c/" + c.ChallengeID); pg.step != "done" || pg.state != "failed" || pg.reason != f.reason {
					t.Errorf("%s: the person gets %s %s %s; want failed %s", f.name, pg.step, pg.state, pg.reason, f.reason)
				}
				if ends := w.endingsOf(c.ChallengeID); len(ends) != 1 {
					t.Errorf("%s: the challenge ended as %v", f.name, ends)
				}
			}
		})
	}
}

// altered changes true answers: those that hold one, and no others.
func altered(change func(body map[string]any, a *answer)) fault {
	return func(w http.ResponseWriter, r *http.Request, forward http.Handler) {
		a := record(r, forward)
		var body map[string]any
		if json.Unmarshal(a.body, &body) == nil && a.status == http.StatusOK && body["data"] != nil {
			a.body = nil
			change(body, &a)
			if a.body == nil {
				a.body, _ = json.Marshal(body) // it was JSON before
			}
		}
		a.write(w)
	}
}

// An answer that was tampered with is no answer: it is put on record, the person
// gets another session, and what they do there counts.
func TestAnswersThatCannotBeBelieved(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{limits: roomy})
	const user = "trouble.seal@example.com"
	w.enrolled(user)
	w.enrolled("other.account@example.com")
	stranger, err := blockid.GenerateKey(blockid.Secp256k1)
	if err != nil {
		t.Fatal(err)
	}

	// A true answer to another challenge of the same person.
	var theirs map[string]any
	w.proxy.set(pathAnswer, altered(func(body map[string]any, _ *answer) { theirs = body }))
	c, p := w.stepUp(user, nil), w.person()
	p.recognised(p.opens(c.ChallengeURL), user)
	w.matched(c.ChallengeID)
	w.proxy.set(pathAnswer, nil)
	if theirs == nil {
		t.Fatal("no answer was seen on the wire")
	}

	for _, f := range []struct {
		name, reason, path string
		change             func(body map[string]any, a *answer)
	}{
		{"truncated", "upstream_malformed", pathAnswer, func(body map[string]any, a *answer) {
			a.body, _ = json.Marshal(body)
			a.body = a.body[:len(a.body)-2]
		}},
		{"no base64", "upstream_ciphertext", pathAnswer, func(body map[string]any, _ *answer) { body["data"] = "!!! no base64 !!!" }},
		{"too short", "upstream_ciphertext", pathAnswer, func(body map[string]any, _ *answer) { body["data"] = "AAAA" }},
		{"one byte is another", "upstream_ciphertext", pathAnswer, func(body map[string]any, _ *answer) {
			raw, _ := base64.StdEncoding.DecodeString(body["data"].(string))
			raw[len(raw)/2] ^= 1
			body["data"] = base64.StdEncoding.EncodeToString(raw)
		}},
		{"another key", "upstream_ciphertext", pathAnswer, func(body map[string]any, _ *answer) { body["publicKey"] = stranger.Public().String() }},
		{"a key that is none", "answer_key_invalid", pathAnswer, func(body map[string]any, _ *answer) {
			body["publicKey"] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte{7}, 64))
		}},
		{"of another session", "upstream_malformed", pathAnswer, func(_ map[string]any, a *answer) { a.body, _ = json.Marshal(theirs) }},
		{"of another session, under this one's name", "upstream_ciphertext", pathAnswer, func(body map[string]any, _ *answer) {
			body["data"], body["publicKey"] = theirs["data"], theirs["publicKey"]
		}},
		{"whose wallet it is, in the clear", "upstream_malformed", pathUserInfo, func(_ map[string]any, a *answer) {
			a.body, _ = json.Marshal(fields{"userIdList": []string{user}, "publicKey": stranger.Public().String()})
		}},
		{"whose wallet it is, altered", "upstream_ciphertext", pathUserInfo, func(body map[string]any, _ *answer) {
			raw, _ := base64.StdEncoding.DecodeString(body["data"].(string))
			raw[len(raw)/2] ^= 1
			body["data"] = base64.StdEncoding.EncodeToString(raw)
		}},
	} {
		w.proxy.set(f.path, altered(f.change))
		c, p := w.stepUp(user, nil), w.person()
		first := p.opens(c.ChallengeURL)
		p.recognised(first, user)
		w.refusedAnswer(c.ChallengeID, f.name, f.reason)
		w.proxy.set(f.path, nil)
		w.comesTo(c.ChallengeID, "pending", "")
		second := w.nextSession(p, c)
		if second == first {
			t.Errorf("%s: the person is sent to the same session again", f.name)
		}
		p.recognised(second, user)
		w.matched(c.ChallengeID)
		w.trail("challenge:"+c.ChallengeID, "challenge.started", "challenge.opened", "challenge.answer_refused", "challenge.match")
	}

	// Again and again: it comes to an end, which is no match.
	w.proxy.set(pathAnswer, altered(func(body map[string]any, _ *answer) { body["publicKey"] = stranger.Public().String() }))
	c, p = w.stepUp(user, nil), w.person()
	p.get(c.ChallengeURL)
	for n := range 3 { // give_up
		p.recognised(w.nextSession(p, c), user)
		eventually(t, "the answer is refused", func() (bool, string) {
			failures := w.sql("SELECT poll_failures FROM challenges WHERE id = $1", c.ChallengeID)
			return failures[0] == fmt.Sprint(n+1), failures[0]
		})
	}
	w.comesTo(c.ChallengeID, "error", "upstream_ciphertext")
	w.proxy.set(pathAnswer, nil)

	// An app of an attacker's own, who saw the code on the victim's screen: they hold
	// a key, know the victim's DID, and answer quicker than the victim.
	did := w.sqlOf("sqlite:"+w.path("data/kosmos/kosmos.db"), "SELECT did FROM wallets ORDER BY updated LIMIT 1")[0]
	for _, name := range []string{did, "did:key:nobodys"} {
		c, p = w.stepUp(user, nil), w.person()
		address := p.opens(c.ChallengeURL)
		if status, body := w.forge(p, address, stranger, name, user); status != http.StatusOK {
			t.Fatalf("the answer of a foreign app: %d %s", status, body)
		}
		w.refusedAnswer(c.ChallengeID, "a foreign app", "answer_untrusted")
		w.comesTo(c.ChallengeID, "pending", "")
		p.recognised(w.nextSession(p, c), user)
		w.matched(c.ChallengeID)
	}

	// One with its own LiveID, which is good: it is somebody else's.
	c, p = w.stepUp(user, nil), w.person()
	p.recognised(p.opens(c.ChallengeURL), "other.account@example.com")
	w.comesTo(c.ChallengeID, "no_match", "subject_mismatch")
}

// nextSession waits until the challenge page leads to a session that can be answered.
func (w *world) nextSession(p *person, c challenged) (address string) {
	w.t.Helper()
	eventually(w.t, "the page has a session that can be answered", func() (bool, string) {
		pg := p.get(w.url + "/c/" + c.ChallengeID)
		if address = pg.upstream(); address == "" {
			return false, pg.step + " " + pg.state
		}
		f := p.looks(p.authenticator(address))
		return f.State == "open", f.State
	})
	return address
}

// refusedAnswer waits until it is on record that an answer was not believed.
func (w *world) refusedAnswer(id, name, reason string) {
	w.t.Helper()
	eventually(w.t, name+": the answer is refused with "+reason, func() (bool, string) {
		o := w.outcome(id)
		if o.ended() {
			w.t.Fatalf("%s: the challenge ended as %s", name, o)
		}
		got := w.sql("SELECT reason FROM audit WHERE object = $1 AND action = 'challenge.answer_refused'", "challenge:"+id)
		return len(got) == 1 && got[0] == reason, fmt.Sprint(got, o)
	})
}

// forge answers a session as an app does that nobody enrolled: with a key of its
// own, under the DID of somebody.
func (w *world) forge(p *person, address string, key *blockid.PrivateKey, did, user string) (status int, body []byte) {
	w.t.Helper()
	read := func(from string, into any) {
		w.t.Helper()
		req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, from, nil)
		if err != nil {
			w.t.Fatal(err)
		}
		req.Header.Set("Accept", "application/json")
		a, err := do(p.client, req)
		if err == nil {
			err = json.Unmarshal(a.body, into)
		}
		if err != nil {
			w.t.Fatalf("%s: %v %s", from, err, a.body)
		}
	}
	var session, service struct {
		PublicKey string `json:"publicKey"`
	}
	read(address, &session)
	read("https://"+w.dns+"/sessions/publickeys", &service)
	seal := func(to, plain string) string {
		w.t.Helper()
		public, err := blockid.ParsePublicKey(key.Curve(), to)
		if err != nil {
			w.t.Fatal(err)
		}
		shared, err := key.Shared(public)
		if err != nil {
			w.t.Fatal(err)
		}
		sealed, err := shared.Seal([]byte(plain))
		if err != nil {
			w.t.Fatal(err)
		}
		return sealed
	}
	answer := encode(w.t, fields{
		"data": seal(session.PublicKey, encode(w.t, fields{"did": did, "userid": user, "kosmoscope": fields{"score": 0.99, "liveness": "active"}})),
		"did":  did, "publicKey": key.Public().String(), "appid": "com.example.forged",
	})
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodPost, address+"/authenticate", strings.NewReader(answer))
	if err != nil {
		w.t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("publickey", key.Public().String())
	req.Header.Set("requestid", seal(service.PublicKey, encode(w.t, blockid.RequestID{TS: time.Now().Unix(), AppID: "com.example.forged", UUID: rand.Text()})))
	a, err := do(p.client, req)
	if err != nil {
		w.t.Fatal(err)
	}
	return a.status, a.body
}
