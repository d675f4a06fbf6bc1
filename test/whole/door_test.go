package whole_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

const (
	pathStart = "/descope/v1/idv"
	pathRead  = "/descope/v1/idv/result"
)

// problem is the body of every answer of door A that is not 2xx.
type problem struct {
	Type, Title, Detail, Instance, Reason, Field string
	Status                                       int
}

// refused holds a refusal to what holds for all, and to its reason and field.
func refused(t *testing.T, a answer, status int, reason, field string) {
	t.Helper()
	var p problem
	if err := json.Unmarshal(a.body, &p); err != nil {
		t.Errorf("answer %d is no problem document: %.300s", a.status, a.body)
		return
	}
	if a.status != status || p.Reason != reason || p.Field != field {
		t.Errorf("answered %d %s, field %q (%s); want %d %s, field %q", a.status, p.Reason, p.Field, p.Detail, status, reason, field)
	}
	if ct := a.header.Get("Content-Type"); ct != "application/problem+json" {
		t.Errorf("a problem came as %s", ct)
	}
	if p.Status != a.status || p.Type != "about:blank" || p.Title != http.StatusText(a.status) || p.Instance != "urn:uuid:"+a.header.Get("X-Request-Id") {
		t.Errorf("the problem document says %+v, its header %s", p, a.header.Get("X-Request-Id"))
	}
	if !documented(t, p.Reason) {
		t.Errorf("reason %q is not in docs/reasons.md", p.Reason)
	}
	// A sentence for a person, which names what is malformed and repeats no value.
	named := status != http.StatusBadRequest || strings.Contains(p.Detail, field) || strings.HasPrefix(p.Detail, "the body ")
	if !named || !strings.Contains(p.Detail, " ") || len(p.Detail) > 400 || strings.Contains(p.Detail, secretValue) {
		t.Errorf("the sentence for %s is %q", p.Reason, p.Detail)
	}
}

// secretValue is sent in fields that are wrong and may not come back.
const secretValue = "Personal-Value-93"

func TestDoorA(t *testing.T) {
	t.Parallel()
	w := newWorld(t, plan{})
	ours := []string{"Authorization", "Bearer " + bearer}
	send := func(t *testing.T, path, body string, headers ...string) answer {
		t.Helper()
		a, err := w.post(w.url, path, body, headers...)
		if err != nil {
			t.Fatal(err)
		}
		return a
	}

	t.Run("credentials", func(t *testing.T) {
		basic := func(user, password string) string {
			return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
		}
		for name, c := range map[string]struct {
			headers []string
			ok      bool
		}{
			"none":                    {nil, false},
			"empty":                   {[]string{"Authorization", ""}, false},
			"empty bearer":            {[]string{"Authorization", "Bearer "}, false},
			"wrong bearer":            {[]string{"Authorization", "Bearer " + bearer + "x"}, false},
			"bearer cut short":        {[]string{"Authorization", "Bearer " + bearer[:len(bearer)-1]}, false},
			"bearer as basic":         {[]string{"Authorization", basic("connector", bearer)}, false},
			"basic, wrong password":   {[]string{"Authorization", basic(basicUser, basicPassword+"x")}, false},
			"basic, wrong user":       {[]string{"Authorization", basic("x", basicPassword)}, false},
			"wrong key":               {[]string{"X-Api-Key", apiKey + "x"}, false},
			"bearer in another place": {[]string{"X-Api-Key", bearer}, false},
			"two callers at once":     {[]string{"Authorization", "Bearer " + bearer, "X-Api-Key", apiKey}, false},
			"bearer":                  {ours, true},
			"bearer in small letters": {[]string{"Authorization", "bearer " + bearer}, true},
			"basic":                   {[]string{"Authorization", basic(basicUser, basicPassword)}, true},
			"key":                     {[]string{"X-Api-Key", apiKey}, true},
		} {
			a := send(t, pathStart, `{"liveness_mode":"none"}`, c.headers...)
			if c.ok {
				if a.status != http.StatusOK {
					t.Errorf("%s: %d %s", name, a.status, a.body)
				}
				continue
			}
			t.Log(name)
			refused(t, a, http.StatusUnauthorized, "unauthenticated", "")
			if a.header.Get("WWW-Authenticate") == "" {
				t.Errorf("%s: 401 without WWW-Authenticate", name)
			}
		}
	})

	t.Run("hmac", func(t *testing.T) {
		const header = "x-descope-webhook-s256"
		sign := func(secret, input string) string {
			mac := hmac.New(sha256.New, []byte(secret))
			mac.Write([]byte(input))
			return base64.StdEncoding.EncodeToString(mac.Sum(nil))
		}
		body, compact := "{ \"liveness_mode\" :\n\t\"none\" }", `{"liveness_mode":"none"}`
		signed := []string{"Authorization", "Bearer " + signedBearer}
		for name, c := range map[string]struct {
			value string
			ok    bool
		}{
			"of the body":                   {sign(signedSecret, body), true},
			"of the body without spaces":    {sign(signedSecret, compact), true},
			"of the body in base64":         {sign(signedSecret, base64.StdEncoding.EncodeToString([]byte(body))), true},
			"of nothing":                    {sign(signedSecret, ""), false},
			"of an empty object":            {sign(signedSecret, "{}"), false},
			"of another body":               {sign(signedSecret, `{"liveness_mode":"active"}`), false},
			"with another secret":           {sign(signedSecret+"x", body), false},
			"with the token as the secret":  {sign(signedBearer, body), false},
			"in hexadecimal":                {fmt.Sprintf("%x", sha256.Sum256([]byte(body))), false},
			"that is empty":                 {"", false},
			"that is cut short":             {sign(signedSecret, body)[:20], false},
			"that is two, one of them good": {sign(signedSecret, body) + ", " + sign(signedSecret, compact), false},
		} {
			a := send(t, pathStart, body, append([]string{header, c.value}, signed...)...)
			if c.ok {
				if a.status != http.StatusOK {
					t.Errorf("HMAC %s: %d %s", name, a.status, a.body)
				}
				continue
			}
			t.Log("HMAC", name)
			refused(t, a, http.StatusUnauthorized, "signature_invalid", "")
		}
		refused(t, send(t, pathStart, body, signed...), http.StatusUnauthorized, "signature_invalid", "")
		// The right HMAC without the credential is nothing.
		refused(t, send(t, pathStart, body, header, sign(signedSecret, body)), http.StatusUnauthorized, "unauthenticated", "")
		// The result node asks for it as well.
		refused(t, send(t, pathRead, `{"session_id":"x"}`, signed...), http.StatusUnauthorized, "signature_invalid", "")
	})

	t.Run("requests", func(t *testing.T) {
		v := secretValue
		for _, c := range []struct {
			path, body    string
			status        int
			reason, field string
		}{
			{pathStart, ``, 400, "invalid_request", ""},
			{pathStart, `null`, 400, "invalid_request", ""},
			{pathStart, `[]`, 400, "invalid_request", ""},
			{pathStart, `"` + v + `"`, 400, "invalid_request", ""},
			{pathStart, `{`, 400, "invalid_request", ""},
			{pathStart, `{"liveness_mode":"none"`, 400, "invalid_request", ""},
			{pathStart, `{"liveness_mode":"none"} {}`, 400, "invalid_request", ""},
			{pathStart, `{'liveness_mode':'none'}`, 400, "invalid_request", ""},
			{pathStart, "{\"user_identifier\":\"\xff\xfe\"}", 400, "invalid_request", ""},
			{pathStart, strings.Repeat(`{"expected":`, 40) + `1` + strings.Repeat(`}`, 40), 400, "invalid_request", "expected.expected.expected.expected.expected.expected.expected.expected"},
			{pathStart, `{"liveness_mode":"none","liveness_mode":"active"}`, 400, "invalid_request", "liveness_mode"},
			{pathStart, `{"expected":{"given_name":"a","given_name":"b"}}`, 400, "invalid_request", "expected.given_name"},
			{pathStart, `{"livenes_mode":"none"}`, 400, "invalid_request", "livenes_mode"},
			{pathStart, `{"Liveness_Mode":"none"}`, 400, "invalid_request", "Liveness_Mode"},
			{pathStart, `{"expected":{"name":"` + v + `"}}`, 400, "invalid_request", "expected.name"},
			{pathStart, `{"tenant":"other"}`, 400, "invalid_request", "tenant"},
			{pathStart, `{"document_types":"library_card"}`, 400, "invalid_request", "document_types"},
			{pathStart, `{"document_types":["passport","` + v + `"]}`, 400, "invalid_request", "document_types[1]"},
			{pathStart, `{"document_types":{"passport":true}}`, 400, "invalid_request", "document_types"},
			{pathStart, `{"document_types":7}`, 400, "invalid_request", "document_types"},
			{pathStart, `{"document_types":[["passport"]]}`, 400, "invalid_request", "document_types[0]"},
			{pathStart, `{"liveness_mode":"NONE"}`, 400, "invalid_request", "liveness_mode"},
			{pathStart, `{"liveness_mode":["none"]}`, 400, "invalid_request", "liveness_mode"},
			{pathStart, `{"liveness_mode":false}`, 400, "invalid_request", "liveness_mode"},
			{pathStart, `{"user_identifier":93}`, 400, "invalid_request", "user_identifier"},
			{pathStart, `{"user_identifier":{"id":"` + v + `"}}`, 400, "invalid_request", "user_identifier"},
			{pathStart, `{"user_identifier":"` + strings.Repeat("a", 257) + `"}`, 400, "invalid_request", "user_identifier"},
			{pathStart, `{"user_identifier":"` + v + `\u0000"}`, 400, "invalid_request", "user_identifier"},
			{pathStart, `{"expected":"` + v + `"}`, 400, "invalid_request", "expected"},
			{pathStart, `{"expected":{"birth_date":"12.08.1974"}}`, 400, "invalid_request", "expected.birth_date"},
			{pathStart, `{"expected":{"birth_date":"1974-02-30"}}`, 400, "invalid_request", "expected.birth_date"},
			{pathStart, `{"metadata":{"a":1}}`, 400, "invalid_request", "metadata.a"},
			{pathStart, `{"metadata":{"a":{"b":"c"}}}`, 400, "invalid_request", "metadata.a"},
			{pathStart, `{"callback_url":"javascript:alert(1)"}`, 400, "invalid_request", "callback_url"},
			{pathStart, `{"callback_url":"//` + v + `/"}`, 400, "invalid_request", "callback_url"},
			{pathStart, `{"liveness_mode":"none","callback_url":"https://evil.example/"}`, 403, "not_allowed", "callback_url"},
			{pathStart, `{"liveness_mode":"none","callback_url":"` + w.url + `/?more"}`, 403, "not_allowed", "callback_url"},
			{pathStart, `{"liveness_mode":"passive"}`, 403, "not_allowed", "liveness_mode"},
			{pathStart, `{"document_types":"drivers_license","liveness_mode":"active"}`, 403, "not_allowed", "document_types"},
			{pathRead, `{}`, 400, "invalid_request", "session_id"},
			{pathRead, `{"session_id":null}`, 400, "invalid_request", "session_id"},
			{pathRead, `{"session_id":""}`, 400, "invalid_request", "session_id"},
			{pathRead, `{"session_id":[]}`, 400, "invalid_request", "session_id"},
			{pathRead, `{"session_id":"x","sessionId":"x"}`, 400, "invalid_request", "sessionId"},
		} {
			a := send(t, c.path, c.body, ours...)
			if t.Run(fmt.Sprintf("%.60s", c.body), func(t *testing.T) { refused(t, a, c.status, c.reason, c.field) }); a.status < 400 {
				t.Errorf("accepted: %.200s", c.body)
			}
		}
		big := `{"user_identifier":"` + strings.Repeat("a", 1<<20) + `"}`
		refused(t, send(t, pathStart, big, ours...), http.StatusRequestEntityTooLarge, "request_too_large", "")
		refused(t, send(t, pathStart, `{"liveness_mode":"none"}`, append([]string{"Content-Type", "text/plain"}, ours...)...), http.StatusUnsupportedMediaType, "invalid_request", "")
		refused(t, send(t, pathStart, `liveness_mode=none`, append([]string{"Content-Type", "application/x-www-form-urlencoded"}, ours...)...), http.StatusUnsupportedMediaType, "invalid_request", "")
	})

	t.Run("liveness none is nobody's by default", func(t *testing.T) {
		strict := []string{"Authorization", "Bearer " + strictBearer}
		refused(t, send(t, pathStart, `{"liveness_mode":"none"}`, strict...), http.StatusForbidden, "not_allowed", "liveness_mode")
		for _, body := range []string{`{}`, `{"liveness_mode":null}`, `{"liveness_mode":""}`, `{"liveness_mode":"active"}`} {
			a := send(t, pathStart, body, strict...)
			if a.status != http.StatusOK {
				t.Errorf("%s: %d %s", body, a.status, a.body)
				continue
			}
			if mode := w.sql("SELECT liveness FROM verifications WHERE id = $1", sessionID(a.body)); len(mode) != 1 || mode[0] != "active" {
				t.Errorf("%s began a verification with liveness %v; the default is active", body, mode)
			}
		}
	})

	t.Run("what templates send", func(t *testing.T) {
		for _, body := range []string{
			`{"liveness_mode":"none","document_types":null,"user_identifier":null,"expected":null,"callback_url":null,"metadata":null,"idempotency_key":null}`,
			`{"liveness_mode":"none","document_types":"","user_identifier":"","expected":"","callback_url":"","metadata":"","idempotency_key":""}`,
			`{"liveness_mode":"none","document_types":[],"expected":{"given_name":"","family_name":null},"metadata":{"a":null}}`,
			`{"liveness_mode":"none","document_types":["",null,"passport"]}`,
			`{"liveness_mode":"none","document_types":"passport"}`,
			`{"liveness_mode":"none","document_types":["passport","passport"]}`,
		} {
			first, second := send(t, pathStart, body, ours...), send(t, pathStart, body, ours...)
			if first.status != http.StatusOK || second.status != http.StatusOK {
				t.Errorf("%s: %d %s", body, first.status, first.body)
				continue
			}
			if sessionID(first.body) == sessionID(second.body) {
				t.Errorf("%s: an empty idempotency_key holds two calls together", body)
			}
		}
	})

	t.Run("idempotency key", func(t *testing.T) {
		one := send(t, pathStart, `{"liveness_mode":"none","idempotency_key":"k1","user_identifier":"a"}`, ours...)
		two := send(t, pathStart, `{"user_identifier":"a","idempotency_key":"k1","liveness_mode":"none"}`, ours...)
		if one.status != http.StatusOK || !bytes.Equal(one.body, two.body) {
			t.Errorf("the same call answered\n%s\n%s", one.body, two.body)
		}
		refused(t, send(t, pathStart, `{"liveness_mode":"none","idempotency_key":"k1","user_identifier":"b"}`, ours...), http.StatusConflict, "idempotency_conflict", "idempotency_key")
		other := send(t, pathStart, `{"liveness_mode":"none","idempotency_key":"k1","user_identifier":"a"}`, "X-Api-Key", apiKey)
		if other.status != http.StatusOK || sessionID(other.body) == sessionID(one.body) {
			t.Errorf("another caller's key is the same session: %d %s", other.status, other.body)
		}
	})

	t.Run("sessions of others", func(t *testing.T) {
		s := w.start(fields{"user_identifier": "mine"})
		ask := func(body string, headers ...string) answer {
			a := send(t, pathRead, body, headers...)
			a.header.Del("Date")
			if id := a.header.Get("X-Request-Id"); id == "" {
				t.Error("an answer has no id")
			}
			a.header.Del("X-Request-Id")
			return a
		}
		same := func(name string, a, b answer) {
			if a.status != http.StatusOK || a.status != b.status || !bytes.Equal(a.body, b.body) || fmt.Sprint(a.header) != fmt.Sprint(b.header) {
				t.Errorf("%s can be told from an unknown one:\n%d %v %s\n%d %v %s", name, a.status, a.header, a.body, b.status, b.header, b.body)
			}
		}
		key := []string{"X-Api-Key", apiKey}
		unknown := ask(`{"session_id":"01934567-89ab-7def-8123-456789abcdef"}`, key...)
		if !bytes.Contains(unknown.body, []byte(`"status":"error","reason":"unknown_session"`)) {
			t.Errorf("an unknown session: %s", unknown.body)
		}
		same("another caller's session", ask(`{"session_id":"`+s.SessionID+`"}`, key...), unknown)
		same("no id at all", ask(`{"session_id":"../../etc/passwd"}`, key...), unknown)
		same("an id in other letters", ask(`{"session_id":"{`+s.SessionID+`}"}`, ours...), unknown)
		same("a session for another user", ask(`{"session_id":"`+s.SessionID+`","user_identifier":"yours"}`, ours...), unknown)
		if a := ask(`{"session_id":"`+s.SessionID+`","user_identifier":"mine"}`, ours...); !bytes.Contains(a.body, []byte(`"status":"pending"`)) {
			t.Errorf("the caller's own session: %s", a.body)
		}
	})

	t.Run("methods and paths", func(t *testing.T) {
		for _, path := range []string{pathStart, pathRead} {
			for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions, "BREW"} {
				a, err := w.call(method, w.url+path, `{"liveness_mode":"none"}`, ours...)
				if err != nil {
					t.Fatal(err)
				}
				refused(t, a, http.StatusMethodNotAllowed, "invalid_request", "")
				if a.header.Get("Allow") != "POST" {
					t.Errorf("%s %s: Allow is %q", method, path, a.header.Get("Allow"))
				}
			}
		}
		for _, path := range []string{"/descope/v1/", "/descope/v1/idv/", "/descope/v1/idv/result/x", "/descope/v1/none"} {
			refused(t, send(t, path, `{}`, ours...), http.StatusNotFound, "invalid_request", "")
		}
	})

	// The last one, because it uses up what this network may do wrong.
	t.Run("guessing is bounded", func(t *testing.T) {
		limited := false
		for i := range 60 {
			a := send(t, pathStart, `{}`, "Authorization", fmt.Sprintf("Bearer guess-%020d", i))
			if limited = a.status == http.StatusTooManyRequests; limited {
				refused(t, a, http.StatusTooManyRequests, "rate_limited", "")
				if a.header.Get("Retry-After") == "" {
					t.Error("429 without Retry-After")
				}
				break
			}
			refused(t, a, http.StatusUnauthorized, "unauthenticated", "")
		}
		if !limited {
			t.Error("sixty wrong credentials in a row were all looked at")
		}
		if a := send(t, pathStart, `{"liveness_mode":"none"}`, ours...); a.status != http.StatusOK {
			t.Errorf("and then a right one: %d %s", a.status, a.body)
		}
	})
}
