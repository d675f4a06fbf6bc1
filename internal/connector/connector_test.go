package connector_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/connector"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

var update = flag.Bool("update", false, "write golden files and docs/openapi.json")

const (
	mineID    = "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b24"
	foreignID = "0193573c-8a52-7d6b-9f0e-3d1a5c7e9b25"
	token     = "bearer-0123456789abcdef"
)

var at = time.Date(2026, 11, 23, 12, 4, 31, 987654321, time.UTC)

// core is a Proofing that remembers what it was asked.
type core struct {
	view    journey.ResultView
	err     error
	started []journey.StartRequest
	caller  proof.Caller
	asked   []string
	block   bool

	opened     journey.ChallengeStarted
	challenge  proof.Challenge
	challenged []journey.ChallengeStart
}

func (c *core) Start(_ context.Context, who proof.Caller, r journey.StartRequest) (journey.Started, error) {
	c.caller = who
	c.started = append(c.started, r)
	return journey.Started{
		SessionID: mineID, SessionURL: "https://bridge.acme.test/v/" + mineID + "/s3cr3t?a=1&b=<2>", Status: proof.Pending, ExpiresAt: at,
	}, c.err
}

func (c *core) Result(ctx context.Context, who proof.Caller, id, user string) (journey.ResultView, error) {
	c.caller = who
	if user != "" && user != mineUser {
		return journey.ResultView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "no such session " + id}
	}
	c.asked = append(c.asked, id)
	if c.block {
		<-ctx.Done()
		return journey.ResultView{}, ctx.Err()
	}
	if c.err != nil {
		return journey.ResultView{}, c.err
	}
	if id != mineID {
		return journey.ResultView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "no such session " + id}
	}
	return c.view, nil
}

// mineUser is whom the verification that core knows is for.
const mineUser = "U2abc"

func handler(t testing.TB, p connector.Proofing, log *slog.Logger) http.Handler {
	t.Helper()
	reg, err := callers.New([]callers.Config{
		{ID: "descope", Tenant: "acme", Application: "Acme Shop", Bearer: token},
	}, callers.Options{PublicURL: "https://bridge.acme.test"})
	if err != nil {
		t.Fatal(err)
	}
	h, err := connector.New(connector.Options{Proofing: p, Callers: reg, Version: "1.2.3", Fragments: [][]byte{in.OpenAPI()}, Logger: log, Now: func() time.Time { return at }})
	if err != nil {
		t.Fatal(err)
	}
	return h
}

func post(h http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest("POST", path, strings.NewReader(body))
	r.Header.Set("Authorization", "Bearer "+token)
	r.Header.Set("Content-Type", "application/json")
	for i := 0; i < len(headers); i += 2 {
		if headers[i+1] == "" {
			r.Header.Del(headers[i])
		} else {
			r.Header.Set(headers[i], headers[i+1])
		}
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, got, "", "  "); err != nil {
		t.Fatalf("%s: %v\n%s", name, err, got)
	}
	pretty.WriteByte('\n')
	path := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(path, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		t.Errorf("%s differs (run with -update to accept):\n%s", name, pretty.String())
	}
}

func num(f float64) *float64 { return &f }

func yes(b bool) *bool { return &b }

func claims() proof.Claims {
	return proof.Claims{
		GivenName: "Anna Maria", FamilyName: "Eriksson", BirthDate: "1974-08-12", Nationality: "UTO",
		DocumentType: proof.Passport, IssuingCountry: "UTO", ExpiryDate: "2031-04-15",
	}
}

// verified is what a verified session by the embedded engine looks like.
func verified() journey.ResultView {
	return journey.ResultView{
		Verification: proof.Verification{
			ID: mineID, Status: proof.Verified, DocumentType: proof.Passport, FinishedAt: at,
			IALLevel: "IAL1", IALSource: "policy:lab", IALExpiresAt: at.AddDate(1, 0, 0),
		},
		Outcome: proof.Outcome{
			Claims: claims(),
			Checks: []proof.Check{
				{Name: "mrz_check_digits", Outcome: proof.CheckPass, DurationMS: num(12.5)},
				{Name: "face_match", Outcome: proof.CheckPass, Score: num(0.71), Threshold: num(0.36), DurationMS: num(184.2)},
			},
			Evidence:  []proof.Evidence{{Type: "document", DocumentType: proof.Passport, Country: "UTO"}, {Type: "selfie"}},
			Framework: "kosmoscope_engine", Assessed: yes(false), Enrolled: yes(true), At: at,
		},
		Metadata: map[string]string{"order": "4711", "note": "<&>"},
	}
}

// views are the states that a result can show; each has its golden answer.
func views() map[string]journey.ResultView {
	out := map[string]journey.ResultView{"verified_engine": verified()}
	change := func(name string, f func(*journey.ResultView)) {
		v := verified()
		f(&v)
		out[name] = v
	}
	// What 1Kosmos says of the user is no statement about this session's claims.
	change("verified_users_ial2", func(v *journey.ResultView) {
		v.Verification.IALLevel, v.Verification.IALSource = "IAL2", "1kosmos_ial"
		v.Outcome.Framework = "nist_800_63A"
	})
	change("verified_1kosmos_ial2", func(v *journey.ResultView) {
		v.Verification.IALLevel, v.Verification.IALSource = "IAL2", "1kosmos_session"
		v.Verification.DocumentType = proof.DriversLicense
		v.Outcome.Framework, v.Outcome.Assessed, v.Outcome.Enrolled = "nist_800_63A", nil, nil
		v.Outcome.Claims.DocumentType = proof.DriversLicense
		v.Outcome.Claims.DocumentNumber = "D123" // this caller may see it
		v.Outcome.Claims.IssuingCountry = "Utopia"
		v.Outcome.Claims.IssueDate = "2021-04-15"
		v.Outcome.Claims.Gender = "female"
		v.Outcome.Checks = []proof.Check{{Name: "face_compare", Outcome: proof.CheckPass}}
	})
	change("verified_nist_level_by_policy", func(v *journey.ResultView) {
		v.Verification.IALLevel = "IAL2"
		v.Outcome.Framework = "nist_800_63A"
	})
	change("verified_few_claims", func(v *journey.ResultView) {
		v.Verification.IALLevel, v.Verification.IALSource, v.Verification.IALExpiresAt = "", "", time.Time{}
		v.Outcome.Claims = proof.Claims{Nationality: "D"}
		v.Metadata = nil
	})
	change("verified_no_claims", func(v *journey.ResultView) { v.Outcome.Claims = proof.Claims{} })
	change("verified_no_framework", func(v *journey.ResultView) { v.Outcome.Framework = "" })
	change("verified_odd_vendor_values", func(v *journey.ResultView) {
		v.Outcome.Claims.BirthDate, v.Outcome.Claims.ExpiryDate, v.Outcome.Claims.Nationality = "19740812", "unknown", "Utopian"
		v.Outcome.Checks[1].Outcome = proof.CheckCannotTell
	})
	change("verified_purged", func(v *journey.ResultView) {
		v.Verification.Reason = proof.ReasonDataPurged
		v.Outcome, v.Metadata = proof.Outcome{}, nil
	})
	change("failed", func(v *journey.ResultView) {
		v.Verification.Status, v.Verification.Reason = proof.Failed, proof.ReasonFaceMismatch
		v.Outcome.Checks[1].Outcome = proof.CheckFail
	})
	for _, s := range []proof.Status{proof.Pending, proof.InProgress, proof.Expired, proof.Abandoned, "made_up"} {
		change(string(s), func(v *journey.ResultView) {
			v.Verification.Status, v.Verification.Reason = s, ""
			v.Verification.FinishedAt = time.Time{}
			switch s {
			case proof.InProgress:
				v.Verification.Reason = proof.ReasonUpstreamTimeout
			case proof.Expired:
				v.Verification.Reason, v.Verification.FinishedAt = proof.ReasonTimeLimit, at
			case proof.Abandoned:
				v.Verification.Reason, v.Verification.FinishedAt = proof.ReasonDeclined, at
			case proof.Pending:
				v.Verification.DocumentType = ""
			}
		})
	}
	return out
}

func TestStart(t *testing.T) {
	c := &core{}
	w := post(handler(t, c, nil), "/descope/v1/idv", `{
		"document_types": ["passport", "id_card", "passport"], "liveness_mode": "active", "user_identifier": "U2abc",
		"expected": {"given_name": "Anna Maria", "family_name": "Eriksson", "birth_date": "1974-08-12"},
		"callback_url": "https://app.acme.test/return", "metadata": {"order": "4711", "gone": null}, "idempotency_key": "k-1"}`)
	if w.Code != 200 {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	golden(t, "start", w.Body.Bytes())
	want := journey.StartRequest{
		DocumentTypes: []proof.DocumentType{proof.Passport, proof.IDCard}, Liveness: proof.LivenessActive,
		CallbackURL: "https://app.acme.test/return", IdempotencyKey: "k-1",
		Request: proof.Request{
			UserIdentifier: "U2abc", Expected: proof.Expected{GivenName: "Anna Maria", FamilyName: "Eriksson", BirthDate: "1974-08-12"},
			Metadata: map[string]string{"order": "4711"},
		},
	}
	if got := fmt.Sprintf("%+v", c.started[0]); got != fmt.Sprintf("%+v", want) {
		t.Errorf("core was asked %s", got)
	}
	if c.caller.ID != "descope" || c.caller.Tenant != "acme" {
		t.Errorf("caller %+v", c.caller)
	}
	h := w.Result().Header
	if h.Get("Content-Type") != "application/json" || h.Get("Cache-Control") != "no-store" || len(h.Get("X-Request-Id")) != 36 {
		t.Errorf("headers %v", h)
	}
}

// TestLenient: all of these are the same empty request, because Descope's
// templates send null or "" for what they cannot resolve.
func TestLenient(t *testing.T) {
	for _, body := range []string{
		`{}`, ` {} `,
		`{"document_types":null,"liveness_mode":null,"user_identifier":null,"expected":null,"callback_url":null,"metadata":null,"idempotency_key":null}`,
		`{"document_types":"","liveness_mode":"","user_identifier":"","expected":"","callback_url":"","metadata":"","idempotency_key":""}`,
		`{"document_types":[]}`, `{"document_types":["",null]}`,
		`{"external_auth":null}`, `{"external_auth":""}`, `{"external_auth":false}`, `{"external_auth":"false"}`,
		`{"expected":{}}`, `{"expected":{"given_name":"","family_name":null,"birth_date":""}}`,
		`{"metadata":{}}`, `{"metadata":{"a":"","b":null}}`,
	} {
		c := &core{}
		w := post(handler(t, c, nil), "/descope/v1/idv", body)
		if w.Code != 200 {
			t.Errorf("%s: %d %s", body, w.Code, w.Body)
			continue
		}
		if got, want := fmt.Sprintf("%+v", c.started[0]), fmt.Sprintf("%+v", journey.StartRequest{}); got != want {
			t.Errorf("%s: core was asked %s", body, got)
		}
	}
	c := &core{}
	if post(handler(t, c, nil), "/descope/v1/idv", `{"document_types":"id_card"}`); len(c.started) != 1 || !slices.Equal(c.started[0].DocumentTypes, []proof.DocumentType{proof.IDCard}) {
		t.Errorf("a single string: %+v", c.started)
	}
	for _, yes := range []string{`true`, `"true"`} {
		c := &core{}
		if post(handler(t, c, nil), "/descope/v1/idv", `{"user_identifier":"U2abc","external_auth":`+yes+`}`); len(c.started) != 1 || !c.started[0].ExternalAuth {
			t.Errorf("external_auth %s: %+v", yes, c.started)
		}
	}
	if post(handler(t, c, nil), "/descope/v1/idv", `{"document_types":"id_card"}`, "Content-Type", "application/json; charset=utf-8"); len(c.started) != 2 {
		t.Error("a charset is refused")
	}
}

// badStart lists malformed bodies with the field that must be named.
var badStart = []struct{ name, body, field string }{
	{"empty", ``, ""},
	{"blank", " \n ", ""},
	{"null", `null`, ""},
	{"list", `[]`, ""},
	{"string", `"x"`, ""},
	{"number", `1`, ""},
	{"cut off", `{"document_types":`, ""},
	{"trailing garbage", `{} x`, ""},
	{"two values", `{}{}`, ""},
	{"trailing comma", `{"a":1,}`, ""},
	{"single quotes", `{'a':1}`, ""},
	{"comment", `{/**/}`, ""},
	{"NaN", `{"a":NaN}`, ""},
	{"not UTF-8", "{\"user_identifier\":\"\xff\"}", ""},
	{"byte order mark", "\xef\xbb\xbf{}", ""},
	{"deep", strings.Repeat(`{"expected":`, 9) + `1` + strings.Repeat(`}`, 9), strings.Repeat("expected.", 7) + "expected"},
	{"unknown", `{"document_type":"passport"}`, "document_type"},
	{"unknown and null", `{"documents":null}`, "documents"},
	{"other case", `{"Document_Types":"passport"}`, "Document_Types"},
	{"odd name", `{"a b":1}`, `"a b"`},
	{"long name", `{"` + strings.Repeat("x", 1000) + `":1}`, `"` + strings.Repeat("x", 40) + `…"`},
	{"unknown inside", `{"expected":{"birthdate":"1990-01-01"}}`, "expected.birthdate"},
	{"twice", `{"liveness_mode":"active","liveness_mode":"none"}`, "liveness_mode"},
	{"twice inside", `{"expected":{"given_name":"A","given_name":"B"}}`, "expected.given_name"},
	{"twice by escape", `{"liveness_mode":"active","liveness\u005fmode":"none"}`, "liveness_mode"},
	{"types: number", `{"document_types":1}`, "document_types"},
	{"types: boolean", `{"document_types":true}`, "document_types"},
	{"types: object", `{"document_types":{}}`, "document_types"},
	{"types: unknown", `{"document_types":"visa"}`, "document_types"},
	{"types: unknown in list", `{"document_types":["passport","visa"]}`, "document_types[1]"},
	{"types: number in list", `{"document_types":["passport",1]}`, "document_types[1]"},
	{"types: nested list", `{"document_types":[["passport"]]}`, "document_types[0]"},
	{"types: other case", `{"document_types":"Passport"}`, "document_types"},
	{"types: comma list", `{"document_types":"passport,id_card"}`, "document_types"},
	{"liveness: unknown", `{"liveness_mode":"off"}`, "liveness_mode"},
	{"liveness: boolean", `{"liveness_mode":false}`, "liveness_mode"},
	{"liveness: list", `{"liveness_mode":["active"]}`, "liveness_mode"},
	{"user: number", `{"user_identifier":12345}`, "user_identifier"},
	{"user: boolean", `{"user_identifier":false}`, "user_identifier"},
	{"user: object", `{"user_identifier":{"id":"x"}}`, "user_identifier"},
	{"user: long", `{"user_identifier":"` + strings.Repeat("x", 257) + `"}`, "user_identifier"},
	{"user: control", `{"user_identifier":"a\u0000b"}`, "user_identifier"},
	{"user: line break", `{"user_identifier":"a\nb"}`, "user_identifier"},
	{"user: lone surrogate", `{"user_identifier":"a\ud800"}`, "user_identifier"},
	{"expected: string", `{"expected":"Anna"}`, "expected"},
	{"expected: list", `{"expected":[]}`, "expected"},
	{"expected: number", `{"expected":{"given_name":7}}`, "expected.given_name"},
	{"birth date: order", `{"expected":{"birth_date":"12.08.1974"}}`, "expected.birth_date"},
	{"birth date: month 13", `{"expected":{"birth_date":"1974-13-01"}}`, "expected.birth_date"},
	{"birth date: 29 February", `{"expected":{"birth_date":"1975-02-29"}}`, "expected.birth_date"},
	{"birth date: time", `{"expected":{"birth_date":"1974-08-12T00:00:00Z"}}`, "expected.birth_date"},
	{"callback: relative", `{"callback_url":"/return"}`, "callback_url"},
	{"callback: javascript", `{"callback_url":"javascript:alert(1)"}`, "callback_url"},
	{"callback: user", `{"callback_url":"https://a@b.test/"}`, "callback_url"},
	{"callback: list", `{"callback_url":["https://b.test/"]}`, "callback_url"},
	{"metadata: string", `{"metadata":"x"}`, "metadata"},
	{"metadata: list", `{"metadata":["x"]}`, "metadata"},
	{"metadata: number", `{"metadata":{"n":1}}`, "metadata.n"},
	{"metadata: object", `{"metadata":{"n":{}}}`, "metadata.n"},
	{"metadata: dotted name", `{"metadata":{"a.b":"x"}}`, `metadata."a.b"`},
	{"metadata: template name", `{"metadata":{"{{a}}":"x"}}`, `metadata."{{a}}"`},
	{"metadata: long", `{"metadata":{"n":"` + strings.Repeat("x", 257) + `"}}`, "metadata.n"},
	{"metadata: many", `{"metadata":{` + manyPairs(17) + `}}`, "metadata"},
	{"external: word", `{"external_auth":"yes"}`, "external_auth"},
	{"external: other case", `{"external_auth":"True"}`, "external_auth"},
	{"external: blank", `{"external_auth":" true"}`, "external_auth"},
	{"external: number", `{"external_auth":1}`, "external_auth"},
	{"external: list", `{"external_auth":[true]}`, "external_auth"},
	{"external: object", `{"external_auth":{}}`, "external_auth"},
	{"key: number", `{"idempotency_key":1}`, "idempotency_key"},
	{"key: long", `{"idempotency_key":"` + strings.Repeat("x", 129) + `"}`, "idempotency_key"},
}

func manyPairs(n int) string {
	var out []string
	for i := range n {
		out = append(out, fmt.Sprintf(`"k%d":"v"`, i))
	}
	return strings.Join(out, ",")
}

func decodeProblem(t *testing.T, w *httptest.ResponseRecorder) map[string]any {
	t.Helper()
	var p map[string]any
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("%v: %s", err, w.Body)
	}
	h := w.Result().Header
	if h.Get("Content-Type") != "application/problem+json" || h.Get("Cache-Control") != "no-store" {
		t.Errorf("headers %v", h)
	}
	if p["status"] != float64(w.Code) || p["title"] != http.StatusText(w.Code) || p["detail"] == "" || p["instance"] != "urn:uuid:"+h.Get("X-Request-Id") {
		t.Errorf("problem %v", p)
	}
	if !proof.Reason(p["reason"].(string)).Known() {
		t.Errorf("reason %q is not listed", p["reason"])
	}
	return p
}

func TestBadStart(t *testing.T) {
	for _, tt := range badStart {
		t.Run(tt.name, func(t *testing.T) {
			c := &core{}
			w := post(handler(t, c, nil), "/descope/v1/idv", tt.body)
			p := decodeProblem(t, w)
			field, _ := p["field"].(string)
			if w.Code != 400 || p["reason"] != "invalid_request" || field != tt.field {
				t.Fatalf("%d %v, want field %q", w.Code, p, tt.field)
			}
			if tt.field != "" && !strings.Contains(p["detail"].(string), tt.field) && !strings.Contains(tt.name, "deep") {
				t.Errorf("detail does not name the field: %v", p["detail"])
			}
			if len(c.started) != 0 {
				t.Error("the core was asked all the same")
			}
		})
	}
}

// TestProblemsRepeatNoValue: values may be personal.
func TestProblemsRepeatNoValue(t *testing.T) {
	var log bytes.Buffer
	h := handler(t, &core{}, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})))
	for _, body := range []string{
		`{"user_identifier":["Confidential"]}`, `{"document_types":"Confidential"}`, `{"liveness_mode":"Confidential"}`,
		`{"expected":{"birth_date":"Confidential"}}`, `{"expected":"Confidential"}`, `{"callback_url":"Confidential"}`, `{"metadata":"Confidential"}`,
		`{"user_identifier":"Confidential"}`,
	} {
		if w := post(h, "/descope/v1/idv", body); strings.Contains(w.Body.String(), "Confidential") {
			t.Errorf("%s: %s", body, w.Body)
		}
	}
	for _, no := range []string{"Confidential", token, "s3cr3t"} {
		if strings.Contains(log.String(), no) {
			t.Errorf("%q is in the log", no)
		}
	}
}

func TestBadResult(t *testing.T) {
	for _, tt := range []struct{ body, field string }{
		{`{}`, "session_id"}, {`{"session_id":null}`, "session_id"}, {`{"session_id":""}`, "session_id"},
		{`{"session_id":1}`, "session_id"}, {`{"session_id":["` + mineID + `"]}`, "session_id"},
		{`{"session_id":"` + strings.Repeat("x", 257) + `"}`, "session_id"},
		{`{"session_id":"` + mineID + `","extra":1}`, "extra"}, {`[]`, ""},
	} {
		c := &core{}
		w := post(handler(t, c, nil), "/descope/v1/idv/result", tt.body)
		p := decodeProblem(t, w)
		if field, _ := p["field"].(string); w.Code != 400 || field != tt.field || len(c.asked) != 0 {
			t.Errorf("%s: %d %v", tt.body, w.Code, p)
		}
	}
}

func TestTransport(t *testing.T) {
	big := `{"user_identifier":"` + strings.Repeat("x", 64<<10) + `"}`
	for _, tt := range []struct {
		name, method, path, body string
		headers                  []string
		status                   int
		reason                   proof.Reason
		header, value            string
	}{
		{name: "no credentials", path: "/descope/v1/idv", body: `{}`, headers: []string{"Authorization", ""}, status: 401, reason: proof.ReasonUnauthenticated, header: "WWW-Authenticate", value: `Bearer realm="kosmoscope"`},
		{name: "wrong credentials and bad body", path: "/descope/v1/idv/result", body: `{{`, headers: []string{"Authorization", "Bearer x"}, status: 401, reason: proof.ReasonUnauthenticated},
		{name: "too large", path: "/descope/v1/idv", body: big, status: 413, reason: proof.ReasonTooLarge},
		{name: "no content type", path: "/descope/v1/idv", body: `{}`, headers: []string{"Content-Type", ""}, status: 415, reason: proof.ReasonInvalidRequest},
		{name: "form", path: "/descope/v1/idv", body: `a=b`, headers: []string{"Content-Type", "application/x-www-form-urlencoded"}, status: 415, reason: proof.ReasonInvalidRequest},
		{name: "compressed", path: "/descope/v1/idv", body: `{}`, headers: []string{"Content-Encoding", "gzip"}, status: 415, reason: proof.ReasonInvalidRequest},
		{name: "GET", method: "GET", path: "/descope/v1/idv", status: 405, reason: proof.ReasonInvalidRequest, header: "Allow", value: "POST"},
		{name: "POST to health", path: "/healthz", status: 405, reason: proof.ReasonInvalidRequest, header: "Allow", value: "GET, HEAD"},
		{name: "unknown path", path: "/descope/v1/nothing", status: 404, reason: proof.ReasonInvalidRequest},
		{name: "slash at the end", path: "/descope/v1/idv/", body: `{}`, status: 404, reason: proof.ReasonInvalidRequest},
	} {
		t.Run(tt.name, func(t *testing.T) {
			c := &core{}
			h := handler(t, c, nil)
			var w *httptest.ResponseRecorder
			if tt.method == "" {
				w = post(h, tt.path, tt.body, tt.headers...)
			} else {
				w = httptest.NewRecorder()
				h.ServeHTTP(w, httptest.NewRequest(tt.method, tt.path, nil))
			}
			p := decodeProblem(t, w)
			if w.Code != tt.status || p["reason"] != string(tt.reason) || tt.header != "" && w.Header().Get(tt.header) != tt.value {
				t.Errorf("%d %v %v", w.Code, p, w.Header())
			}
			if len(c.started)+len(c.asked) != 0 {
				t.Error("the core was asked all the same")
			}
		})
	}
}

// TestCoreErrors holds the table from codes to HTTP, and shows that causes stay inside.
func TestCoreErrors(t *testing.T) {
	secret := errors.New("the database password is hunter2")
	for _, tt := range []struct {
		err        error
		status     int
		reason     string
		retryAfter string
	}{
		{&proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonInvalidRequest, Field: "x", Message: "m", Err: secret}, 400, "invalid_request", ""},
		{&proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Message: "m", Err: secret}, 403, "not_allowed", ""},
		{fmt.Errorf("wrapped: %w", &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonIdempotencyConflict, Message: "m"}), 409, "idempotency_conflict", ""},
		{&proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Message: "m", RetryAfter: 1500 * time.Millisecond}, 429, "rate_limited", "2"},
		{&proof.Error{Code: proof.CodeUpstream, Reason: proof.ReasonUpstreamMalformed, Message: "m", Err: secret}, 502, "upstream_malformed", ""},
		{&proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "m"}, 503, "unavailable", ""},
		{&proof.Error{Code: proof.CodeInternal, Message: "hunter2"}, 500, "internal_error", ""},
		{&proof.Error{Code: "made_up", Message: "hunter2"}, 500, "internal_error", ""},
		{secret, 500, "internal_error", ""},
		{context.DeadlineExceeded, 503, "unavailable", ""},
		{fmt.Errorf("query: %w", context.Canceled), 503, "unavailable", ""},
	} {
		h := handler(t, &core{err: tt.err}, nil)
		for path, body := range map[string]string{
			"/descope/v1/idv": `{}`, "/descope/v1/idv/result": `{"session_id":"` + mineID + `"}`,
			"/descope/v1/stepup": `{"user_identifier":"U2abc"}`, "/descope/v1/stepup/result": `{"challenge_id":"` + mineID + `"}`,
		} {
			w := post(h, path, body)
			p := decodeProblem(t, w)
			if w.Code != tt.status || p["reason"] != tt.reason || w.Header().Get("Retry-After") != tt.retryAfter {
				t.Errorf("%v: %d %v", tt.err, w.Code, p)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("%v: the cause is told: %s", tt.err, w.Body)
			}
		}
	}
	// Start's not found (no such tenant) is an HTTP error; Result's is an outcome.
	notFound := &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "m"}
	if w := post(handler(t, &core{err: notFound}, nil), "/descope/v1/idv", `{}`); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
	if w := post(handler(t, &core{err: notFound}, nil), "/descope/v1/stepup", `{"user_identifier":"U2abc"}`); w.Code != 404 {
		t.Errorf("%d", w.Code)
	}
	may := &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Field: "external_auth", Message: "external_auth is not allowed for this caller at this node"}
	for path, body := range map[string]string{"/descope/v1/idv": `{"user_identifier":"U2abc","external_auth":true}`, "/descope/v1/stepup": `{"user_identifier":"U2abc","external_auth":"true"}`} {
		if p := decodeProblem(t, post(handler(t, &core{err: may}, nil), path, body)); p["field"] != "external_auth" || p["status"] != 403.0 || !strings.Contains(p["detail"].(string), "external_auth") {
			t.Errorf("%s: %v", path, p)
		}
	}
	golden(t, "problem", []byte(stable(post(handler(t, &core{}, nil), "/descope/v1/idv", `{"expected":{"birth_date":"x"}}`))))
}

// stable replaces the id of the call.
func stable(w *httptest.ResponseRecorder) string {
	return strings.ReplaceAll(w.Body.String(), w.Header().Get("X-Request-Id"), mineID)
}

func TestResults(t *testing.T) {
	for name, view := range views() {
		t.Run(name, func(t *testing.T) {
			w := post(handler(t, &core{view: view}, nil), "/descope/v1/idv/result", `{"session_id":"`+strings.ToUpper(mineID)+`"}`)
			if w.Code != 200 {
				t.Fatalf("%d %s", w.Code, w.Body)
			}
			golden(t, "result_"+name, w.Body.Bytes())
			var out map[string]any
			if err := json.Unmarshal(w.Body.Bytes(), &out); err != nil {
				t.Fatal(err)
			}
			if view.Verification.Status != proof.Verified {
				for _, k := range []string{"ial_level", "ial_source", "ial_expires_at", "verified_claims", "claims", "enrolled"} {
					if out[k] != nil {
						t.Errorf("%s is %v though the status is %v", k, out[k], out["status"])
					}
				}
			}
		})
	}
}

// TestOnlyVerifiedIsVerified runs every status that could come, known or not.
func TestOnlyVerifiedIsVerified(t *testing.T) {
	for _, s := range []proof.Status{"", proof.Pending, proof.InProgress, proof.Failed, proof.Expired, proof.Abandoned, "Verified", "success"} {
		v := verified()
		v.Verification.Status = s
		w := post(handler(t, &core{view: v}, nil), "/descope/v1/idv/result", `{"session_id":"`+mineID+`"}`)
		if strings.Contains(w.Body.String(), `"status":"verified"`) || strings.Contains(w.Body.String(), "Eriksson") {
			t.Errorf("%q: %s", s, w.Body)
		}
	}
}

func TestUnknownAndForeignLookTheSame(t *testing.T) {
	h := handler(t, &core{view: verified()}, nil)
	var first string
	for i, id := range []string{foreignID, "0193573c-0000-7000-8000-000000000000", "nonsense", "{" + mineID + "}", "urn:uuid:" + mineID, strings.ReplaceAll(mineID, "-", ""), `' or 1=1 --`} {
		w := post(h, "/descope/v1/idv/result", `{"session_id":"`+id+`"}`)
		head := w.Result().Header.Clone()
		head.Del("X-Request-Id")
		got := fmt.Sprint(w.Code, head, w.Body.String())
		if i == 0 {
			first = got
			golden(t, "result_unknown", w.Body.Bytes())
		}
		if got != first {
			t.Errorf("%s: %s\nwant %s", id, got, first)
		}
	}
}

// TestLargeAnswer: the largest metadata, all of it needing escapes, stays below 64 KiB.
func TestLargeAnswer(t *testing.T) {
	v := verified()
	v.Metadata = map[string]string{}
	for i := range 16 {
		v.Metadata[fmt.Sprintf("%064d", i)] = strings.Repeat("\u2028", 256/3)
	}
	w := post(handler(t, &core{view: v}, nil), "/descope/v1/idv/result", `{"session_id":"`+mineID+`"}`)
	if w.Code != 200 || w.Body.Len() >= 64<<10 {
		t.Errorf("%d, %d bytes", w.Code, w.Body.Len())
	}
}

func TestHealth(t *testing.T) {
	h := handler(t, &core{}, nil)
	for _, path := range []string{"/healthz", "/descope/v1/healthz"} {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("GET", path, nil))
		if w.Code != 200 || w.Body.String() != `{"status":"ok","version":"1.2.3"}` || w.Header().Get("Content-Type") != "application/json" {
			t.Errorf("%s: %d %s", path, w.Code, w.Body)
		}
	}
}

// TestOverTheWire drives the handler through a real server and client once, with
// other kinds of callers.
func TestOverTheWire(t *testing.T) {
	reg, err := callers.New([]callers.Config{
		{ID: "basic", Tenant: "acme", Application: "A", Basic: &callers.Basic{Username: "u", Password: "password-0123456789"}},
		{ID: "key", Tenant: "acme", Application: "A", APIKey: &callers.APIKey{Header: "X-Acme-Key", Value: "key-0123456789abcdef"}},
	}, callers.Options{PublicURL: "https://bridge.acme.test"})
	if err != nil {
		t.Fatal(err)
	}
	c := &core{view: verified()}
	h, err := connector.New(connector.Options{Proofing: c, Callers: reg})
	if err != nil {
		t.Fatal(err)
	}
	srv := httptest.NewServer(h)
	defer srv.Close()
	for name, value := range map[string]string{
		"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte("u:password-0123456789")), "X-Acme-Key": "key-0123456789abcdef",
	} {
		req, _ := http.NewRequest("POST", srv.URL+"/descope/v1/idv/result", strings.NewReader(`{"session_id":"`+mineID+`"}`))
		req.Header.Set("Content-Type", "application/json")
		req.Header.Set(name, value)
		res, err := srv.Client().Do(req)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != 200 || !bytes.Contains(body, []byte(`"status":"verified"`)) {
			t.Errorf("%s: %d %s", name, res.StatusCode, body)
		}
	}
	if c.caller.ID != "basic" && c.caller.ID != "key" {
		t.Errorf("caller %q", c.caller.ID)
	}
}

// TestSlowCore: an answer that comes after the browser has given up helps nobody.
func TestSlowCore(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		begin := time.Now()
		w := post(handler(t, &core{block: true}, nil), "/descope/v1/idv/result", `{"session_id":"`+mineID+`"}`)
		if p := decodeProblem(t, w); w.Code != 503 || p["reason"] != "unavailable" {
			t.Errorf("%d %v", w.Code, p)
		}
		if took := time.Since(begin); took >= 6*time.Second {
			t.Errorf("took %s", took)
		}
	})
}

func BenchmarkResult(b *testing.B) {
	h := handler(b, &core{view: verified()}, nil)
	body := `{"session_id":"` + mineID + `"}`
	b.ReportAllocs()
	for b.Loop() {
		if w := post(h, "/descope/v1/idv/result", body); w.Code != 200 {
			b.Fatal(w.Body)
		}
	}
}

func TestNewNeedsItsParts(t *testing.T) {
	if _, err := connector.New(connector.Options{}); err == nil {
		t.Error("a door without a core")
	}
}

func FuzzStart(f *testing.F) {
	for _, tt := range badStart {
		f.Add(tt.body)
	}
	f.Add(`{"document_types":["passport"],"expected":{"birth_date":"1990-01-01"},"metadata":{"a":"b"},"callback_url":"https://a.test/"}`)
	c := &core{}
	h := handler(f, c, nil)
	f.Fuzz(func(t *testing.T, body string) {
		c.started = nil
		w := post(h, "/descope/v1/idv", body)
		if !json.Valid(w.Body.Bytes()) {
			t.Fatalf("not JSON: %s", w.Body)
		}
		switch w.Code {
		case 200:
			if len(c.started) != 1 {
				t.Fatal("answered without asking the core")
			}
			r := c.started[0]
			for _, d := range r.DocumentTypes {
				if !d.Valid() {
					t.Fatalf("document type %q", d)
				}
			}
			if r.Liveness != "" && !r.Liveness.Valid() {
				t.Fatalf("liveness %q", r.Liveness)
			}
			for k, v := range maps.All(r.Request.Metadata) {
				if len(k) > 64 || len(v) > 256 {
					t.Fatalf("metadata %q %q", k, v)
				}
			}
		case 400, 413:
			if len(c.started) != 0 {
				t.Fatal("refused after asking the core")
			}
		default:
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}

func FuzzResult(f *testing.F) {
	f.Add(`{"session_id":"` + mineID + `"}`)
	f.Add(`{"session_id":null}`)
	c := &core{view: verified()}
	h := handler(f, c, nil)
	f.Fuzz(func(t *testing.T, body string) {
		c.asked = nil
		w := post(h, "/descope/v1/idv/result", body)
		if bytes.Contains(w.Body.Bytes(), []byte(`"verified"`)) && !slices.Equal(c.asked, []string{mineID}) {
			t.Fatalf("%q: %s", body, w.Body)
		}
		if w.Code != 200 && w.Code != 400 && w.Code != 413 {
			t.Fatalf("%d %s", w.Code, w.Body)
		}
	})
}
