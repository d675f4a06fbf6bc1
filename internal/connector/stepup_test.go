package connector_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"
	"unicode"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	stepUpPath       = "/descope/v1/stepup"
	stepUpResultPath = "/descope/v1/stepup/result"
)

func (c *core) StartChallenge(_ context.Context, who proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error) {
	c.caller = who
	c.challenged = append(c.challenged, r)
	return c.opened, c.err
}

func (c *core) ChallengeResult(ctx context.Context, who proof.Caller, id, user, decision string) (proof.Challenge, error) {
	c.caller = who
	c.asked = append(c.asked, id)
	switch {
	case c.block:
		<-ctx.Done()
		return proof.Challenge{}, ctx.Err()
	case c.err != nil:
		return proof.Challenge{}, c.err
	case id != mineID, user != "" && user != mineUser, decision != "" && decision != c.challenge.DecisionID:
		return proof.Challenge{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownChallenge, Message: "no such challenge " + id}
	}
	return c.challenge, nil
}

// pending is what the core answers when it opens a challenge.
func pending() journey.ChallengeStarted {
	return journey.ChallengeStarted{
		ChallengeID: mineID, ChallengeURL: "https://bridge.acme.test/c/" + mineID + "/s3cr3t?a=1&b=<2>", Status: proof.ChallengePending, ExpiresAt: at,
	}
}

func matched() proof.Challenge {
	return proof.Challenge{
		ID: mineID, Status: proof.ChallengeMatch, DecisionID: "d-4711", Confidence: num(0.93), Basis: proof.BasisProviderScore,
		Liveness: proof.LivenessNone, FinishedAt: at, ExpiresAt: at.Add(time.Minute), Backend: "uwl",
		SealedRequest: []byte("sealed"), SealedSession: []byte("sealed"), CallbackURL: "https://app.acme.test/return",
	}
}

func TestStepUp(t *testing.T) {
	c := &core{opened: pending()}
	w := post(handler(t, c, nil), stepUpPath, `{
		"user_identifier": "U2abc", "reason_code": "new_device", "timeout_seconds": 120, "transaction": "Pay 12.00 EUR\r\nto \"Älbat\"",
		"decision_id": "d-4711", "callback_url": "https://app.acme.test/return", "idempotency_key": "k 1"}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	want := journey.ChallengeStart{
		Timeout: 2 * time.Minute, CallbackURL: "https://app.acme.test/return", DecisionID: "d-4711", IdempotencyKey: "k 1",
		Request: proof.ChallengeRequest{UserIdentifier: "U2abc", ReasonCode: "new_device", Transaction: "Pay 12.00 EUR\r\nto \"Älbat\""},
	}
	if c.challenged[0] != want {
		t.Errorf("core was asked %+v", c.challenged[0])
	}
	if c.caller.ID != "descope" || c.caller.Tenant != "acme" {
		t.Errorf("caller %+v", c.caller)
	}
}

// TestStepUpAnswers holds one golden answer for each way in which a start ends.
func TestStepUpAnswers(t *testing.T) {
	for name, s := range map[string]journey.ChallengeStarted{
		"pending":           pending(),
		"user_unknown":      {Refused: proof.ReasonUserUnknown},
		"user_not_enrolled": {Refused: proof.ReasonUserNotEnrolled},
		"too_many_attempts": {Refused: proof.ReasonTooManyAttempts, RetryAt: at},
		// A core that refuses and yet gives a link is wrong; the link must not get out.
		"refused_with_link": {Refused: proof.ReasonUserDisabled, ChallengeID: mineID, ChallengeURL: "https://bridge.acme.test/c/x/y", Status: proof.ChallengePending, ExpiresAt: at},
		"repeated_match":    {ChallengeID: mineID, Status: proof.ChallengeMatch, ExpiresAt: at},
		"repeated_failed":   {ChallengeID: mineID, Status: proof.ChallengeFailed, ExpiresAt: at},
		"made_up":           {ChallengeID: mineID, Status: "allow", ExpiresAt: at},
		"nothing":           {},
	} {
		t.Run(name, func(t *testing.T) {
			w := post(handler(t, &core{opened: s}, nil), stepUpPath, `{"user_identifier":"U2abc"}`)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			golden(t, "stepup_"+name, w.Body.Bytes())
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			if len(out) != 6 {
				t.Errorf("%d members: %s", len(out), w.Body)
			}
			if s.Refused != "" && (out["status"] != "refused" || out["challenge_url"] != nil || out["challenge_id"] != nil) {
				t.Errorf("refused, and yet %s", w.Body)
			}
		})
	}
}

// TestStepUpLenient: what Descope's templates make of values that are not there,
// and of numbers.
func TestStepUpLenient(t *testing.T) {
	bare := journey.ChallengeStart{Request: proof.ChallengeRequest{UserIdentifier: "U2abc"}}
	there := bare
	there.ExternalAuth = true
	seconds := func(n int) journey.ChallengeStart {
		s := bare
		s.Timeout = time.Duration(n) * time.Second
		return s
	}
	for body, want := range map[string]journey.ChallengeStart{
		`{"user_identifier":"U2abc"}`: bare,
		`{"user_identifier":"U2abc","reason_code":"","timeout_seconds":"","transaction":"","decision_id":"","callback_url":"","idempotency_key":""}`:             bare,
		`{"user_identifier":"U2abc","reason_code":null,"timeout_seconds":null,"transaction":null,"decision_id":null,"callback_url":null,"idempotency_key":null}`: bare,
		`{"user_identifier":"U2abc","external_auth":""}`:             bare,
		`{"user_identifier":"U2abc","external_auth":null}`:           bare,
		`{"user_identifier":"U2abc","external_auth":false}`:          bare,
		`{"user_identifier":"U2abc","external_auth":"false"}`:        bare,
		`{"user_identifier":"U2abc","external_auth":true}`:           there,
		`{"user_identifier":"U2abc","external_auth":"true"}`:         there,
		`{"user_identifier":"U2abc","timeout_seconds":"90"}`:         seconds(90),
		`{"user_identifier":"U2abc","timeout_seconds":"090"}`:        seconds(90),
		`{"user_identifier":"U2abc","timeout_seconds":1}`:            seconds(1),
		`{"user_identifier":"U2abc","timeout_seconds":2000000000}`:   seconds(2000000000), // the core refuses it
		`{"user_identifier":"U2abc","timeout_seconds":"2000000000"}`: seconds(2000000000),
	} {
		c := &core{opened: pending()}
		w := post(handler(t, c, nil), stepUpPath, body)
		if w.Code != 200 || len(c.challenged) != 1 || c.challenged[0] != want {
			t.Errorf("%s: %d %s, core was asked %+v", body, w.Code, w.Body, c.challenged)
		}
	}
}

// badStepUp lists malformed bodies with the field that must be named.
var badStepUp = []struct{ name, body, field string }{
	{"empty", ``, ""},
	{"list", `[]`, ""},
	{"no user", `{}`, "user_identifier"},
	{"user: null", `{"user_identifier":null}`, "user_identifier"},
	{"user: empty", `{"user_identifier":"","reason_code":"new_device"}`, "user_identifier"},
	{"user: number", `{"user_identifier":12345}`, "user_identifier"},
	{"user: long", `{"user_identifier":"` + strings.Repeat("x", 257) + `"}`, "user_identifier"},
	{"user: control", `{"user_identifier":"a\u0000b"}`, "user_identifier"},
	{"unknown", `{"user_identifier":"u","user_id":"u"}`, "user_id"},
	{"node's other field", `{"user_identifier":"u","session_id":"x"}`, "session_id"},
	{"other case", `{"User_Identifier":"u"}`, "User_Identifier"},
	{"twice", `{"user_identifier":"u","user_identifier":"v"}`, "user_identifier"},
	{"reason: list", `{"user_identifier":"u","reason_code":["new_device"]}`, "reason_code"},
	{"reason: words", `{"user_identifier":"u","reason_code":"a new device"}`, "reason_code"},
	{"reason: markup", `{"user_identifier":"u","reason_code":"<b>"}`, "reason_code"},
	{"reason: not ASCII", `{"user_identifier":"u","reason_code":"grün"}`, "reason_code"},
	{"reason: long", `{"user_identifier":"u","reason_code":"` + strings.Repeat("x", 65) + `"}`, "reason_code"},
	{"timeout: zero", `{"user_identifier":"u","timeout_seconds":0}`, "timeout_seconds"},
	{"timeout: zero in words", `{"user_identifier":"u","timeout_seconds":"0"}`, "timeout_seconds"},
	{"timeout: negative", `{"user_identifier":"u","timeout_seconds":-5}`, "timeout_seconds"},
	{"timeout: negative in words", `{"user_identifier":"u","timeout_seconds":"-5"}`, "timeout_seconds"},
	{"timeout: fraction", `{"user_identifier":"u","timeout_seconds":1.5}`, "timeout_seconds"},
	{"timeout: exponent", `{"user_identifier":"u","timeout_seconds":1e99}`, "timeout_seconds"},
	{"timeout: unit", `{"user_identifier":"u","timeout_seconds":"90s"}`, "timeout_seconds"},
	{"timeout: blank", `{"user_identifier":"u","timeout_seconds":" 90"}`, "timeout_seconds"},
	{"timeout: sign", `{"user_identifier":"u","timeout_seconds":"+90"}`, "timeout_seconds"},
	{"timeout: hex", `{"user_identifier":"u","timeout_seconds":"0x10"}`, "timeout_seconds"},
	{"timeout: overflow", `{"user_identifier":"u","timeout_seconds":9223372036854775807}`, "timeout_seconds"},
	{"timeout: overflow in words", `{"user_identifier":"u","timeout_seconds":"99999999999999999999999"}`, "timeout_seconds"},
	{"timeout: boolean", `{"user_identifier":"u","timeout_seconds":true}`, "timeout_seconds"},
	{"timeout: list", `{"user_identifier":"u","timeout_seconds":[90]}`, "timeout_seconds"},
	{"timeout: words", `{"user_identifier":"u","timeout_seconds":"soon"}`, "timeout_seconds"},
	{"transaction: object", `{"user_identifier":"u","transaction":{"amount":1}}`, "transaction"},
	{"transaction: number", `{"user_identifier":"u","transaction":100}`, "transaction"},
	{"transaction: long", `{"user_identifier":"u","transaction":"` + strings.Repeat("ü", 257) + `"}`, "transaction"},
	{"transaction: tab", `{"user_identifier":"u","transaction":"a\tb"}`, "transaction"},
	{"transaction: escape", `{"user_identifier":"u","transaction":"a\u001b[31mb"}`, "transaction"},
	{"transaction: next line", `{"user_identifier":"u","transaction":"a\u0085b"}`, "transaction"},
	{"transaction: override", `{"user_identifier":"u","transaction":"pay \u202e001 EUR"}`, "transaction"},
	{"transaction: embedding", `{"user_identifier":"u","transaction":"pay \u202b001 EUR"}`, "transaction"},
	{"transaction: lone surrogate", `{"user_identifier":"u","transaction":"a\ud800"}`, "transaction"},
	{"decision: number", `{"user_identifier":"u","decision_id":7}`, "decision_id"},
	{"decision: personal", `{"user_identifier":"u","decision_id":"ada@example.com"}`, "decision_id"},
	{"decision: long", `{"user_identifier":"u","decision_id":"` + strings.Repeat("x", 129) + `"}`, "decision_id"},
	{"callback: relative", `{"user_identifier":"u","callback_url":"/return"}`, "callback_url"},
	{"callback: javascript", `{"user_identifier":"u","callback_url":"javascript:alert(1)"}`, "callback_url"},
	{"callback: list", `{"user_identifier":"u","callback_url":["https://b.test/"]}`, "callback_url"},
	{"external: word", `{"user_identifier":"u","external_auth":"yes"}`, "external_auth"},
	{"external: other case", `{"user_identifier":"u","external_auth":"True"}`, "external_auth"},
	{"external: blank", `{"user_identifier":"u","external_auth":" true"}`, "external_auth"},
	{"external: number", `{"user_identifier":"u","external_auth":1}`, "external_auth"},
	{"external: list", `{"user_identifier":"u","external_auth":[true]}`, "external_auth"},
	{"external: object", `{"user_identifier":"u","external_auth":{}}`, "external_auth"},
	{"key: number", `{"user_identifier":"u","idempotency_key":1}`, "idempotency_key"},
	{"key: long", `{"user_identifier":"u","idempotency_key":"` + strings.Repeat("x", 129) + `"}`, "idempotency_key"},
}

func TestBadStepUp(t *testing.T) {
	for _, tt := range badStepUp {
		t.Run(tt.name, func(t *testing.T) {
			c := &core{opened: pending()}
			w := post(handler(t, c, nil), stepUpPath, tt.body)
			p := decodeProblem(t, w)
			field, _ := p["field"].(string)
			if w.Code != 400 || p["reason"] != "invalid_request" || field != tt.field {
				t.Fatalf("%d %v, want field %q", w.Code, p, tt.field)
			}
			if !strings.Contains(p["detail"].(string), tt.field) {
				t.Errorf("detail does not name the field: %v", p["detail"])
			}
			if len(c.challenged) != 0 {
				t.Error("the core was asked all the same")
			}
		})
	}
}

func TestBadStepUpResult(t *testing.T) {
	for _, tt := range []struct{ body, field string }{
		{`{}`, "challenge_id"}, {`{"challenge_id":null}`, "challenge_id"}, {`{"challenge_id":""}`, "challenge_id"},
		{`{"challenge_id":1}`, "challenge_id"}, {`{"challenge_id":["` + mineID + `"]}`, "challenge_id"},
		{`{"challenge_id":"` + strings.Repeat("x", 257) + `"}`, "challenge_id"},
		{`{"session_id":"` + mineID + `"}`, "session_id"},
		{`{"challenge_id":"` + mineID + `","user_identifier":7}`, "user_identifier"},
		{`{"challenge_id":"` + mineID + `","extra":1}`, "extra"}, {`[]`, ""},
	} {
		c := &core{challenge: matched()}
		w := post(handler(t, c, nil), stepUpResultPath, tt.body)
		p := decodeProblem(t, w)
		if field, _ := p["field"].(string); w.Code != 400 || field != tt.field || len(c.asked) != 0 {
			t.Errorf("%s: %d %v", tt.body, w.Code, p)
		}
	}
}

// challenges are the states that a result can show; each has its golden answer.
func challenges() map[string]proof.Challenge {
	out := map[string]proof.Challenge{"match_score": matched()}
	change := func(name string, f func(*proof.Challenge)) {
		c := matched()
		f(&c)
		out[name] = c
	}
	change("match_binary", func(c *proof.Challenge) {
		c.Confidence, c.Basis, c.Liveness, c.DecisionID = nil, proof.BasisBinary, "", ""
	})
	change("no_match", func(c *proof.Challenge) {
		c.Status, c.Reason, c.Confidence = proof.ChallengeNoMatch, proof.ReasonFaceMismatch, num(0.12)
	})
	change("no_match_subject", func(c *proof.Challenge) {
		c.Status, c.Reason, c.Confidence, c.Basis = proof.ChallengeNoMatch, proof.ReasonSubjectMismatch, nil, proof.BasisBinary
	})
	// What stands beside a state without a verdict does not get out.
	for status, reason := range map[proof.ChallengeStatus]proof.Reason{
		proof.ChallengePending: proof.ReasonUpstreamTimeout, proof.ChallengeExpired: proof.ReasonTimeLimit, proof.ChallengeFailed: proof.ReasonAnswerKey,
		"made_up": proof.ReasonFaceMismatch,
	} {
		change("without_"+string(status), func(c *proof.Challenge) {
			c.Status, c.Reason = status, reason
			if status == proof.ChallengePending {
				c.FinishedAt = time.Time{}
			}
		})
	}
	change("pending", func(c *proof.Challenge) {
		*c = proof.Challenge{ID: mineID, Status: proof.ChallengePending}
	})
	return out
}

func TestStepUpResults(t *testing.T) {
	for name, c := range challenges() {
		t.Run(name, func(t *testing.T) {
			w := post(handler(t, &core{challenge: c}, nil), stepUpResultPath, `{"challenge_id":"`+strings.ToUpper(mineID)+`","user_identifier":"U2abc"}`)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			golden(t, "challenge_"+name, w.Body.Bytes())
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			if len(out) != 8 {
				t.Errorf("%d members: %s", len(out), w.Body)
			}
			if c.Status != proof.ChallengeMatch && c.Status != proof.ChallengeNoMatch {
				for _, k := range []string{"confidence", "confidence_basis", "liveness_mode"} {
					if out[k] != nil {
						t.Errorf("%s is %v though there is no verdict", k, out[k])
					}
				}
			}
		})
	}
}

// TestOnlyMatchIsMatch runs every status that could come, known or not.
func TestOnlyMatchIsMatch(t *testing.T) {
	for _, s := range []proof.ChallengeStatus{"", proof.ChallengePending, proof.ChallengeNoMatch, proof.ChallengeExpired, proof.ChallengeFailed, "Match", "matched", "verified", "allow", "success"} {
		c := matched()
		c.Status = s
		w := post(handler(t, &core{challenge: c}, nil), stepUpResultPath, `{"challenge_id":"`+mineID+`"}`)
		if strings.Contains(w.Body.String(), `"match_result":"match"`) {
			t.Errorf("%q: %s", s, w.Body)
		}
		w = post(handler(t, &core{opened: journey.ChallengeStarted{ChallengeID: mineID, Status: s}}, nil), stepUpPath, `{"user_identifier":"U2abc"}`)
		if strings.Contains(w.Body.String(), `"status":"match"`) {
			t.Errorf("%q: %s", s, w.Body)
		}
	}
	// A confidence that is no number is never a match, because it is no answer.
	c := matched()
	c.Confidence = num(math.NaN())
	if w := post(handler(t, &core{challenge: c}, nil), stepUpResultPath, `{"challenge_id":"`+mineID+`"}`); w.Code != 500 {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

func TestUnknownAndForeignChallengesLookTheSame(t *testing.T) {
	h := handler(t, &core{challenge: matched()}, nil)
	var first string
	for i, in := range []string{
		`"` + foreignID + `"`, `"0193573c-0000-7000-8000-000000000000"`, `"nonsense"`, `"{` + mineID + `}"`, `"urn:uuid:` + mineID + `"`,
		`"` + strings.ReplaceAll(mineID, "-", "") + `"`, `"' or 1=1 --"`, `"` + mineID + `","user_identifier":"somebody else"`,
	} {
		w := post(h, stepUpResultPath, `{"challenge_id":`+in+`}`)
		head := w.Result().Header.Clone()
		head.Del("X-Request-Id")
		got := fmt.Sprint(w.Code, head, w.Body.String())
		if i == 0 {
			first = got
			golden(t, "challenge_unknown", w.Body.Bytes())
		}
		if got != first {
			t.Errorf("%s: %s\nwant %s", in, got, first)
		}
	}
}

// TestStepUpTellsNobody: neither problems nor the log repeat what is personal, or
// the link.
func TestStepUpTellsNobody(t *testing.T) {
	var log bytes.Buffer
	h := handler(t, &core{opened: pending(), challenge: matched()}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, body := range []string{
		`{"user_identifier":["Confidential"]}`, `{"user_identifier":"u","timeout_seconds":"Confidential"}`, `{"user_identifier":"u","transaction":"Confidential\t"}`,
		`{"user_identifier":"u","reason_code":"Confidential!"}`, `{"user_identifier":"u","decision_id":"Confidential!"}`, `{"user_identifier":"u","callback_url":"Confidential"}`,
		`{"user_identifier":"Confidential","transaction":"Confidential","idempotency_key":"Confidential"}`,
	} {
		if w := post(h, stepUpPath, body); strings.Contains(w.Body.String(), "Confidential") {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
	post(h, stepUpResultPath, `{"challenge_id":"`+mineID+`","user_identifier":"Confidential"}`)
	for _, no := range []string{"Confidential", token, "s3cr3t"} {
		if strings.Contains(log.String(), no) {
			t.Errorf("%q is in the log", no)
		}
	}
	if !strings.Contains(log.String(), "unknown_challenge") {
		t.Error("the log does not say why")
	}
}

func TestSlowStepUpResult(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		w := post(handler(t, &core{block: true}, nil), stepUpResultPath, `{"challenge_id":"`+mineID+`"}`)
		if p := decodeProblem(t, w); w.Code != 503 || p["reason"] != "unavailable" {
			t.Errorf("%d %v", w.Code, p)
		}
		if took := time.Since(begin); took >= 6*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

// TestStepUpRequestsFitTheDocument is TestRequestsFitTheDocument for this node.
func TestStepUpRequestsFitTheDocument(t *testing.T) {
	reg, doc := openAPI(t)
	s := schema(t, reg, doc, "paths", stepUpPath, "post", "requestBody", "content", "application/json", "schema")
	for _, body := range []string{
		`{"user_identifier":"u"}`, `{"user_identifier":"u","timeout_seconds":300}`, `{"user_identifier":"u","timeout_seconds":"300"}`,
		`{"user_identifier":"u","timeout_seconds":"0300"}`, `{"user_identifier":"u","timeout_seconds":""}`, `{"user_identifier":"u","timeout_seconds":null}`,
		`{"user_identifier":"u","transaction":"a\nb","reason_code":"new_device","decision_id":"","callback_url":null,"idempotency_key":"k"}`,
	} {
		if errs := valid(reg, s, unjson(t, []byte(body))); len(errs) > 0 {
			t.Errorf("the document refuses %s: %v", body, errs)
		}
		if w := post(handler(t, &core{opened: pending()}, nil), stepUpPath, body); w.Code != 200 {
			t.Errorf("the decoder refuses %s: %s", body, w.Body)
		}
	}
	stricter := []string{
		"user: control", "other case", "twice", "reason: words", "reason: markup", "reason: not ASCII", "timeout: overflow", "timeout: overflow in words",
		"timeout: exponent", "transaction: long", "transaction: tab", "transaction: escape", "transaction: next line", "transaction: override", "transaction: embedding",
		"transaction: lone surrogate", "decision: personal", "callback: relative", "callback: javascript",
	}
	for _, tt := range badStepUp {
		if !strings.HasPrefix(tt.body, "{") || slices.Contains(stricter, tt.name) {
			continue
		}
		if errs := valid(reg, s, unjson(t, []byte(tt.body))); len(errs) == 0 {
			t.Errorf("%s: the document takes what the decoder refuses: %s", tt.name, tt.body)
		}
	}
}

func BenchmarkStepUpResult(b *testing.B) {
	h := handler(b, &core{challenge: matched()}, nil)
	body := `{"challenge_id":"` + mineID + `"}`
	b.ReportAllocs()
	for b.Loop() {
		if w := post(h, stepUpResultPath, body); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

func FuzzStepUp(f *testing.F) {
	for _, tt := range badStepUp {
		f.Add(tt.body)
	}
	f.Add(`{"user_identifier":"u","timeout_seconds":"90","transaction":"a\nb","reason_code":"new_device","decision_id":"d:1","callback_url":"https://a.test/"}`)
	c := &core{opened: pending()}
	h := handler(f, c, nil)
	f.Fuzz(func(t *testing.T, body string) {
		c.challenged = nil
		w := post(h, stepUpPath, body)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %s", w.Body)
		}
		switch w.Code {
		case 200:
			if len(c.challenged) != 1 {
				t.Fatal("answered without asking the core")
			}
			r := c.challenged[0]
			control := func(s string) bool { return strings.ContainsFunc(s, unicode.IsControl) }
			switch {
			case r.Request.UserIdentifier == "" || len(r.Request.UserIdentifier) > 256 || control(r.Request.UserIdentifier):
				t.Fatalf("user %q", r.Request.UserIdentifier)
			case r.Timeout < 0 || r.Timeout%time.Second != 0:
				t.Fatalf("timeout %s", r.Timeout)
			case len(r.Request.Transaction) > 512 || control(strings.NewReplacer("\r", "", "\n", "").Replace(r.Request.Transaction)):
				t.Fatalf("transaction %q", r.Request.Transaction)
			case len(r.Request.ReasonCode) > 64 || strings.ContainsAny(r.Request.ReasonCode+r.DecisionID, " \"'<>&@\n"):
				t.Fatalf("reason %q, decision %q", r.Request.ReasonCode, r.DecisionID)
			}
		case 400, 413:
			if len(c.challenged) != 0 {
				t.Fatal("refused after asking the core")
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzStepUpResult(f *testing.F) {
	f.Add(`{"challenge_id":"` + mineID + `"}`)
	f.Add(`{"challenge_id":"` + mineID + `","user_identifier":"U2abc"}`)
	f.Add(`{"challenge_id":null}`)
	c := &core{challenge: matched()}
	h := handler(f, c, nil)
	f.Fuzz(func(t *testing.T, body string) {
		c.asked = nil
		w := post(h, stepUpResultPath, body)
		if bytes.Contains(w.Body.Bytes(), []byte(`"match_result":"match"`)) && !slices.Equal(c.asked, []string{mineID}) {
			t.Fatalf("%q: %s", body, w.Body)
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
