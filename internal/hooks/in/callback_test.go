package in_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

func newRecorder() *httptest.ResponseRecorder { return httptest.NewRecorder() }

// open stores a subject with a verification and a challenge in these states.
func (s *stage) open(tenant string, v proof.Status, c proof.ChallengeStatus) (verification, challenge string) {
	s.t.Helper()
	id := func() string { return uuid.Must(uuid.NewV7()).String() }
	subject := &proof.Subject{ID: id(), Tenant: tenant, Lookup: []byte(id()), WrappedKey: []byte("k"), SealedIdentifier: []byte("i"), CreatedAt: s.clock()}
	verification, challenge = id(), id()
	link := func() proof.Link { return proof.Link{SecretHash: []byte(id()), ExpiresAt: s.clock()} }
	if err := s.store.Update(s.t.Context(), func(tx journey.Tx) error {
		if err := tx.InsertSubject(subject); err != nil {
			return err
		}
		if err := tx.InsertVerification(&proof.Verification{
			ID: verification, Tenant: tenant, Caller: "descope", Subject: subject.ID, Status: v, CreatedAt: s.clock(), ExpiresAt: s.clock().Add(time.Hour),
			SealedRequest: []byte("x"), Link: link(), Liveness: proof.LivenessPassive, DocumentTypes: proof.DocumentTypes(),
		}); err != nil {
			return err
		}
		return tx.InsertChallenge(&proof.Challenge{
			ID: challenge, Tenant: tenant, Caller: "descope", Subject: subject.ID, Status: c, Backend: "uwl", CreatedAt: s.clock(),
			ExpiresAt: s.clock().Add(time.Hour), SealedRequest: []byte("x"), Link: link(),
		})
	}); err != nil {
		s.t.Fatal(err)
	}
	return verification, challenge
}

// due are the jobs that are due now, as "kind key".
func (s *stage) due() map[string]bool {
	s.t.Helper()
	claimed, err := s.store.Claim(s.t.Context(), "test", s.clock(), 100, time.Minute)
	if err != nil {
		s.t.Fatal(err)
	}
	out := map[string]bool{}
	for _, c := range claimed {
		out[c.Kind+" "+c.Key] = true
		if err := s.store.Finish(s.t.Context(), c); err != nil {
			s.t.Fatal(err)
		}
	}
	return out
}

func TestCallback(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		body func(v, c string) string
		want int // jobs
	}{
		"an id":       {func(v, _ string) string { return fmt.Sprintf(`{"sessionId":"x","uid":%q,"status":"verified"}`, v) }, 1},
		"deep inside": {func(v, _ string) string { return fmt.Sprintf(`[{"a":[{"b":{"c":%q}}]}]`, v) }, 1},
		"in a link": {func(_, c string) string {
			return fmt.Sprintf(`{"callbackUrl":"https:\/\/bridge.example\/c\/%s\/x"}`, c)
		}, 1},
		"as a name":   {func(_, c string) string { return fmt.Sprintf(`{%q:1}`, c) }, 1},
		"in capitals": {func(_, c string) string { return fmt.Sprintf(`{"id":%q}`, strings.ToUpper(c)) }, 1},
		"both, twice": {func(v, c string) string { return fmt.Sprintf(`[%q,%q,%q,%q]`, v, c, v, c) }, 2},
		"unknown":     {func(string, string) string { return fmt.Sprintf(`{"id":%q}`, uuid.Must(uuid.NewV7())) }, 0},
		"no JSON":     {func(v, _ string) string { return v }, 0},
		"empty":       {func(string, string) string { return "" }, 0},
		"null":        {func(string, string) string { return "null" }, 0},
		"behind a crowd": {func(v, _ string) string {
			var b strings.Builder
			for range 31 {
				fmt.Fprintf(&b, "%q:%q,", uuid.Must(uuid.NewV7()).String()[1:]+"-name", uuid.Must(uuid.NewV7()))
			}
			return "{" + b.String() + fmt.Sprintf(`"id":%q}`, v)
		}, 1},
		"too far behind": {func(v, _ string) string {
			var b strings.Builder
			for range 33 {
				fmt.Fprintf(&b, "%q,", uuid.Must(uuid.NewV7()))
			}
			return "[" + b.String() + fmt.Sprintf("%q]", v)
		}, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t)
			v, c := s.open("acme", proof.InProgress, proof.ChallengePending)
			w := s.post(in.CallbackPrefix+"acme/"+callback, tt.body(v, c), "X-Nothing", "1")
			if w.Code != 202 || w.Body.Len() != 0 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			due := s.due()
			if len(due) != tt.want || s.woken != min(tt.want, 1) {
				t.Fatalf("%v, woken %d times", due, s.woken)
			}
			for job := range due {
				if job != journey.JobPoll+" "+v && job != journey.JobChallengePoll+" "+c {
					t.Fatal(job)
				}
			}
			if strings.Contains(s.log.String(), callback) {
				t.Error("the secret is in the log")
			}
		})
	}
}

// TestCallbackNames: what may be the id of a session at 1Kosmos is looked up, whatever it
// looks like, and whatever its member is called.
func TestCallbackNames(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	const session = "5fe2c2f6-3a4b-4d5e-8f60-718293a4b5c6"
	for body, want := range map[string][]string{
		`{"sessionId":"` + session + `","status":"SUCCESS"}`:                                {session, "sessionid"},
		`{"data":{"session_id":"` + strings.ToUpper(session) + `"}}`:                        {session, "session_id"},
		`{"url":"https:\/\/acme.example\/idproofing\/session\/` + session + `?x=1"}`:        {session},
		`["ses_01HXYZ.a~b:c","` + session + `","ses_01HXYZ.a~b:c"]`:                         {session, "ses_01hxyz.a~b:c"},
		`["two words","short",12345678,true,null,{"n":"` + strings.Repeat("x", 129) + `"}]`: nil,
		`{"sessionId":"` + session + `"`:                                                    nil,
		`{}{}`:                                                                              nil,
	} {
		s.proofing.under = nil
		if w := s.post(in.CallbackPrefix+"acme/"+callback, body, "X-Nothing", "1"); w.Code != 202 || w.Body.Len() != 0 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if !slices.Equal(s.proofing.under, want) {
			t.Errorf("%s: looked up %q, want %q", body, s.proofing.under, want)
		}
	}
}

// TestCallbackAnswers: known or not, found or not, in time or not, the answer is the same,
// and there before anybody looked.
func TestCallbackAnswers(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	v, c := s.open("acme", proof.InProgress, proof.ChallengePending)
	answer := func(body string) string {
		var early []string
		w := newRecorder()
		s.proofing.looking = func() { early = append(early, fmt.Sprint(w.Code, w.Flushed)) }
		r := httptest.NewRequestWithContext(t.Context(), "POST", in.CallbackPrefix+"acme/"+callback, strings.NewReader(body))
		s.door.ServeHTTP(w, r)
		w.Header().Del("X-Request-Id")
		return fmt.Sprint(early, w.Code, w.Header(), w.Body)
	}
	first := answer(fmt.Sprintf("[%q]", uuid.Must(uuid.NewV7())))
	if !strings.HasPrefix(first, "[202 true] 202 ") {
		t.Error(first)
	}
	for what, body := range map[string]string{"known": v, "a challenge": c, "nobody's": "ses_0123456789", "again": v} {
		if got := answer(fmt.Sprintf("[%q]", body)); got != first {
			t.Errorf("%s: %s\nand the first: %s", what, got, first)
		}
	}
	s.proofing.err = errors.New("the store is gone")
	if got := answer(fmt.Sprintf("[%q]", v)); got != first {
		t.Errorf("trouble: %s\nand the first: %s", got, first)
	}
}

// TestCallbackFlood: of one tenant's callbacks so many in a second are looked into, which
// costs others nothing.
func TestCallbackFlood(t *testing.T) {
	t.Parallel()
	looked := 0
	s := newStage(t, func(o *in.Options) {
		o.Tenants = append(o.Tenants, in.Tenant{ID: "other", CallbackSecrets: []string{older}})
	})
	s.proofing.looking = func() { looked++ }
	send := func(to string, times int) int {
		looked = 0
		for range times {
			if w := s.post(in.CallbackPrefix+to, `["ses_0123456789"]`); w.Code != 202 {
				t.Fatal(w.Code)
			}
		}
		return looked
	}
	if n := send("acme/"+callback, 250); n != 200 {
		t.Errorf("%d looked into", n)
	}
	if n := send("other/"+older, 10); n != 10 {
		t.Errorf("%d of another tenant", n)
	}
	s.later(time.Second)
	if n := send("acme/"+callback, 10); n != 10 {
		t.Errorf("%d in the next second", n)
	}
}

// TestCallbackHints: what is not open is not read again, nor another tenant's, nor all the time.
func TestCallbackHints(t *testing.T) {
	t.Parallel()
	s := newStage(t, func(o *in.Options) {
		o.Tenants = append(o.Tenants, in.Tenant{ID: "other", CallbackSecrets: []string{older}})
	})
	v, c := s.open("acme", proof.Pending, proof.ChallengeMatch)
	s.post(in.CallbackPrefix+"acme/"+older, fmt.Sprintf(`[%q,%q]`, v, c))
	v, c = s.open("acme", proof.Verified, proof.ChallengeExpired)
	s.post(in.CallbackPrefix+"acme/"+callback, fmt.Sprintf(`[%q,%q]`, v, c))
	v, c = s.open("acme", proof.InProgress, proof.ChallengePending)
	s.post(in.CallbackPrefix+"other/"+older, fmt.Sprintf(`[%q,%q]`, v, c))
	if due := s.due(); len(due) > 0 {
		t.Fatal(due)
	}
	polls := 0
	for range 20 {
		if w := s.post(in.CallbackPrefix+"acme/"+callback, fmt.Sprintf(`[%q]`, v)); w.Code != 202 {
			t.Fatal(w.Code)
		}
		polls += len(s.due())
	}
	if polls != 6 {
		t.Fatalf("%d polls in a minute", polls)
	}
	s.later(time.Minute)
	s.post(in.CallbackPrefix+"acme/"+callback, fmt.Sprintf(`[%q]`, v))
	if len(s.due()) != 1 {
		t.Fatal("not again in the next minute")
	}
}

func TestCallbackSecret(t *testing.T) {
	t.Parallel()
	const key = "callback-key-0123456789"
	sum := func(k, body string) string {
		m := hmac.New(sha256.New, []byte(k))
		m.Write([]byte(body))
		return fmt.Sprintf("sha256=%x", m.Sum(nil))
	}
	for name, tt := range map[string]struct {
		path, header string
		signed       bool
		want         int
	}{
		"right":              {"acme/" + callback, "", false, 202},
		"the other":          {"acme/" + older, "", false, 202},
		"wrong":              {"acme/" + callback + "x", "", false, 404},
		"of another tenant":  {"other/" + callback, "", false, 404},
		"no such tenant":     {"none/" + callback, "", false, 404},
		"no secret":          {"acme/", "", false, 404},
		"signed":             {"acme/" + callback, sum(key, "{}"), true, 202},
		"signed, no sign":    {"acme/" + callback, "", true, 404},
		"signed wrong":       {"acme/" + callback, sum("x", "{}"), true, 404},
		"signed, no hex":     {"acme/" + callback, "what?", true, 404},
		"signed in base64":   {"acme/" + callback, signature(key, "{}"), true, 202},
		"signed, other body": {"acme/" + callback, sum(key, "[]"), true, 404},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newStage(t, func(o *in.Options) {
				if o.Tenants = append(o.Tenants, in.Tenant{ID: "other"}); tt.signed {
					o.Tenants[0].CallbackHMAC = []string{"callback-key-of-before", key}
				}
			})
			if w := s.post(in.CallbackPrefix+tt.path, "{}", in.CallbackHeader, tt.header); w.Code != tt.want {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
		})
	}
	s := newStage(t)
	if w := s.post(in.CallbackPrefix+"acme/"+callback, strings.Repeat(" ", 65<<10)); w.Code != 413 {
		t.Error(w.Code)
	}
	_ = s.store.Close() // a hint that is lost harms nobody
	if w := s.post(in.CallbackPrefix+"acme/"+callback, fmt.Sprintf(`[%q]`, uuid.Must(uuid.NewV7()))); w.Code != 202 {
		t.Error(w.Code)
	}
}

// FuzzCallback: whatever comes is answered alike, and little of it is looked up.
func FuzzCallback(f *testing.F) {
	s := newStage(f, func(o *in.Options) { o.Logger = nil })
	f.Add([]byte(`{"sessionId":"5fe2c2f6-3a4b-4d5e-8f60-718293a4b5c6","session_id":"ses_0123456789"}`))
	f.Add([]byte(`[["https:\/\/a.example\/session\/5FE2C2F6-3A4B-4D5E-8F60-718293A4B5C6"],{"\u0000\ud800":"a\u0000bcdefgh"}]`))
	f.Add([]byte(`{}{}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		s.proofing.under = nil
		s.later(time.Second)
		w := newRecorder()
		s.door.ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), "POST", in.CallbackPrefix+"acme/"+callback, bytes.NewReader(body)))
		if len(body) > 64<<10 {
			return
		}
		if w.Code != 202 || w.Body.Len() != 0 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
		if len(s.proofing.under) > 64 || !json.Valid(body) && len(s.proofing.under) > 0 {
			t.Fatalf("looked up %q", s.proofing.under)
		}
		for _, name := range s.proofing.under {
			if len(name) < 8 || strings.ContainsFunc(name, unicode.IsSpace) {
				t.Fatalf("looked up %q", name)
			}
		}
	})
}
