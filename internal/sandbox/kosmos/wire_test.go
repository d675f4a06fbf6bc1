package kosmos_test

import (
	"bytes"
	"context"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

func TestBootstrap(t *testing.T) {
	s := start(t, &engine{}, func(o *kosmos.Options) { o.Aliases = []string{"127.0.0.1:1"} })
	key := s.serviceKey("community").String()
	info := s.send("POST", "/api/r1/system/community_info/fetch",
		strings.NewReader(`{"dns":"`+s.dns+`","communityName":"default","skipLogos":true}`), nil)
	golden(t, "community_info", info.body, s.dns, "DNS", key, "KEY")
	var ids struct {
		Tenant    struct{ ID string }
		Community struct{ ID, Logo string }
	}
	if err := json.Unmarshal(info.body, &ids); err != nil {
		t.Fatal(err)
	}
	byID := s.send("POST", "/api/r1/system/community_info/fetch",
		strings.NewReader(`{"tenantId":"`+ids.Tenant.ID+`","communityId":"`+ids.Community.ID+`"}`), nil)
	if err := json.Unmarshal(byID.body, &ids); err != nil || ids.Community.Logo == "" {
		t.Errorf("by ids: %d %s", byID.status, byID.body)
	}
	for body, status := range map[string]int{
		`{"dns":"other:1","communityName":"default"}`: 404,
		`{"dns":"` + s.dns + `","communityName":"x"}`: 404,
		`{"tenantId":"00","communityName":"default"}`: 404,
		`{"dns":"` + s.dns + `"}`:                     400,
		`{}`:                                          400,
	} {
		r := s.send("POST", "/api/r1/system/community_info/fetch", strings.NewReader(body), nil)
		if r.status != status || r.json(t)["message"] != "Unable to load tenant/community" {
			t.Errorf("%s: %d %s", body, r.status, r.body)
		}
	}
	golden(t, "sd", s.send("GET", "/caas/sd", nil, nil).body, s.dns, "DNS")

	seen := map[string]bool{}
	for _, svc := range []string{"docuverify", "sessions", "events", "vcs", "licenses", "reports", "idproofingapi", "workflowapi", "users-mgmt", "community"} {
		k := s.serviceKey(svc).String()
		if seen[k] {
			t.Errorf("%s shares its key", svc)
		}
		seen[k] = true
	}
	if r := s.send("GET", "/api/r1/community/default/publickeys", nil, nil); r.status != 404 {
		t.Errorf("publickeys without tenant tag: %d", r.status)
	}
	if r := s.send("GET", "/.well-known/openid-configuration", nil, nil); r.status != 200 || !strings.HasPrefix(r.header.Get("Content-Type"), "text/html") {
		t.Errorf("web root: %d %s", r.status, r.header.Get("Content-Type"))
	}
	for _, p := range []string{"/oauth2/x", "/sessions/session/new", "/docuverify/verify", "/v1/auth/stepup"} {
		if r := s.send("GET", p, nil, nil); r.status != 404 || r.json(t)["code"] != 404.0 {
			t.Errorf("%s: %d %s", p, r.status, r.body)
		}
	}
}

// normal replaces what differs from run to run in a decrypted result.
func (s *server) normal(t *testing.T, body []byte, id string) []byte {
	t.Helper()
	for re, with := range map[string]string{
		`"proof_jwt":"[^"]+"`: `"proof_jwt":"JWT"`, `"token":"[^"]+"`: `"token":"JWT"`, `"ts":\d+`: `"ts":1`,
	} {
		body = regexp.MustCompile(re).ReplaceAll(body, []byte(with))
	}
	liveID := regexp.MustCompile(`"liveid_object":\{[^}]*"id":"([0-9a-f]{40})"`)
	if m := liveID.FindSubmatch(body); m != nil {
		body = bytes.ReplaceAll(body, m[1], []byte("LIVEID"))
	}
	return []byte(strings.NewReplacer(id, "SESSION", s.dns, "DNS").Replace(string(body)))
}

func TestResults(t *testing.T) {
	ada := map[string]string{"uid": "c0ffee", "username": "anna", "firstname": "Anna", "lastname": "Eriksson"}
	card := func(r *api.DocumentRequest) (*api.Report, error) {
		if r.DocumentBack == nil {
			return refused(api.ReasonMRZNotFound, api.Fail), nil
		}
		return passed(api.IDCard), nil
	}
	expired := func(*api.VerifyRequest) (*api.Report, error) {
		r := passed()
		r.Verdict, r.Reason, r.Checks[4].Outcome = api.Fail, api.ReasonDocumentExpired, api.Fail
		return r, nil
	}
	tests := []struct {
		name     string
		dvc, doc string
		user     any
		engine   *engine
		state    string
		events   string
	}{
		{"success_passport", "default", "ppt_object", ada, &engine{}, "SUCCESS", ""},
		{"success_no_selfie", "document-only", "ppt_object", nil, &engine{}, "SUCCESS", ""},
		{"success_card", "default", "idcard_object", nil, &engine{document: card}, "SUCCESS",
			"INITIALIZATION USER_CONSENT DOCUMENTINSTRUCTION DOCUMENTCAPTURE DOCUMENTCAPTURE SELFIECAPTURE DOCUMENT_SUBMISSION DOCUMENT_VALIDATE"},
		{"failed_firstname", "default", "ppt_object", map[string]string{"firstname": "Berta", "lastname": "Eriksson"}, &engine{}, "FAILED", ""},
		{"failed_lastname", "default", "ppt_object", map[string]string{"lastname": "Erikson"}, &engine{}, "FAILED", ""},
		{"failed_expired", "default", "ppt_object", nil, &engine{verify: expired}, "FAILED", ""},
		{"failed_unsupported", "default", "dl_object", nil, &engine{verify: func(*api.VerifyRequest) (*api.Report, error) {
			return refused(api.ReasonDocumentUnsupported, api.Fail), nil
		}}, "FAILED", ""},
		{"failed_engine", "default", "ppt_object", nil, &engine{verify: func(*api.VerifyRequest) (*api.Report, error) { return nil, errDown }}, "FAILED", ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			s := start(t, tt.engine, nil)
			id := s.create(tt.dvc, tt.doc, tt.user)
			if tt.name == "success_passport" {
				for _, v := range []string{"v1", "v3"} {
					golden(t, "in_progress_"+v, s.result(v, tt.dvc, id), id, "SESSION")
				}
			}
			s.prove(id, tt.dvc != "document-only")
			if got := s.state(tt.dvc, id); got != tt.state {
				t.Fatalf("state %s, want %s", got, tt.state)
			}
			for _, v := range []string{"v1", "v3"} {
				golden(t, tt.name+"_"+v, s.normal(t, s.result(v, tt.dvc, id), id))
			}
			if tt.events != "" {
				all, err := s.Events(t.Context(), id)
				if err != nil {
					t.Fatal(err)
				}
				var names []string
				for _, e := range all {
					names = append(names, strings.TrimPrefix(e.Name, "E_IDV_"))
				}
				if got := strings.Join(names, " "); got != tt.events {
					t.Errorf("events %s", got)
				}
			}
			// Kept for an hour, then only the state.
			s.clock.add(59 * time.Minute)
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			if !bytes.Contains(s.result("v3", tt.dvc, id), []byte("kosmoscope")) {
				t.Error("purged too early")
			}
			s.clock.add(2 * time.Minute)
			if err := s.Sweep(t.Context()); err != nil {
				t.Fatal(err)
			}
			want := fmt.Sprintf(`{"sessionResult":%q,"sessionId":%q}`, tt.state, id)
			if got := string(s.result("v3", tt.dvc, id)); got != want {
				t.Errorf("after the purge: %s", got)
			}
		})
	}
}

func TestExpiredAndAbandoned(t *testing.T) {
	s := start(t, &engine{}, nil)
	gone, left, done := s.create("default", "ppt_object", nil), s.create("default", "ppt_object", nil), s.create("default", "ppt_object", nil)
	s.prove(done, true)
	if a := s.act(left, "decline", nil, ""); a.State != "abandoned" {
		t.Errorf("decline: %+v", a)
	}
	s.clock.add(7*24*time.Hour - time.Second)
	if st := s.state("default", gone); st != "INPROGRESS" {
		t.Errorf("just before its time: %s", st)
	}
	s.clock.add(time.Second)
	for _, v := range []string{"v1", "v3"} {
		golden(t, "expired_"+v, s.result(v, "default", gone), gone, "SESSION")
		golden(t, "abandoned_"+v, s.result(v, "default", left), left, "SESSION")
	}
	if st := s.state("default", done); st != "SUCCESS" {
		t.Errorf("an ended session expired: %s", st)
	}
	for _, what := range []string{"start", "submit", "decline"} {
		if a := s.act(gone, what, nil, ""); a.status != 409 || a.State != "expired" {
			t.Errorf("%s on an expired session: %+v", what, a)
		}
	}
	if a := s.upload(left, "front", frontPhoto); a.status != 409 || a.State != "abandoned" {
		t.Errorf("upload to an abandoned session: %+v", a)
	}
	s.clock.add(31 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	r := s.call("/docuverify/v3/document_share_session/result", map[string]string{"dvcID": "default", "sessionId": gone}, nil)
	if r.status != 404 {
		t.Errorf("the row is still there: %d", r.status)
	}
}

func jwtClaims(t *testing.T, jwt string) []byte {
	t.Helper()
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		t.Fatalf("not a JWT: %q", jwt)
	}
	b, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestProofJWT(t *testing.T) {
	for name, tt := range map[string]struct {
		dvc    string
		selfie bool
		result string
	}{
		"with selfie":    {"default", true, `{"face_compare":{"verified":true},"session_decision":{"verified":true}}`},
		"without selfie": {"document-only", false, `{"session_decision":{"verified":true}}`},
	} {
		t.Run(name, func(t *testing.T) {
			s := start(t, &engine{document: func(*api.DocumentRequest) (*api.Report, error) {
				r := passed()
				r.Checks = r.Checks[:6] // no selfie was asked for
				return r, nil
			}}, nil)
			id := s.create(tt.dvc, "ppt_object", nil)
			s.prove(id, tt.selfie)
			var r struct {
				Document struct {
					ID, FirstName, LastName, Country, DOB string
					ProofJWT                              string `json:"proof_jwt"`
				}
			}
			if err := json.Unmarshal(s.result("v3", tt.dvc, id), &r); err != nil {
				t.Fatal(err)
			}
			var c struct {
				Version  string
				Document struct {
					Type, DocumentID, DOE, Hash string
					Hashes                      map[string]*string
				}
				Checks        []string
				Result        json.RawMessage
				Connector     struct{ ID string }
				Aud, Iss, Jit string
				TS, IAT       int64
			}
			if err := json.Unmarshal(jwtClaims(t, r.Document.ProofJWT), &c); err != nil {
				t.Fatal(err)
			}
			if string(c.Result) != tt.result {
				t.Errorf("result %s, want %s", c.Result, tt.result)
			}
			if c.Version != "1.0" || c.Document.Type != "PASSPORT" || c.Document.DOE != "20320415" || len(c.Document.Hash) != 128 ||
				c.Aud != s.base || c.Iss != s.base+"/idproofing" || uuid.Validate(c.Jit) != nil || len(c.Connector.ID) != 24 ||
				c.TS != s.clock.now().Unix() || c.IAT != c.TS || fmt.Sprint(c.Checks) != "[session_decision]" {
				t.Errorf("claims %+v", c)
			}
			for field, text := range map[string]string{
				"id": r.Document.ID, "firstName": r.Document.FirstName, "lastName": r.Document.LastName,
				"country": r.Document.Country, "dob": r.Document.DOB,
			} {
				sum := sha512.Sum512([]byte(text))
				if h := c.Document.Hashes[field]; h == nil || *h != hex.EncodeToString(sum[:]) {
					t.Errorf("hash of %s", field)
				}
			}
			for _, field := range []string{"zipCode", "state", "doi"} {
				if h, there := c.Document.Hashes[field]; !there || h != nil {
					t.Errorf("hash of %s must be null", field)
				}
			}
		})
	}
}

// licence is the report of a driving licence, which has a barcode and no zone.
func licence() *api.Report {
	r := passed()
	for i, c := range r.Checks {
		switch c.Name {
		case api.CheckMRZ:
			r.Checks[i].Name = api.CheckBarcode
		case api.CheckMRZDigits:
			r.Checks[i].Name = api.CheckBarcodeFields
		}
	}
	r.Document = &api.Document{
		Type: api.DriversLicense, Format: "AAMVA", IssuingCountry: "USA", Number: "D1234567", Surname: "SAMPLE", GivenNames: "ALEX",
		BirthDate: "1990-01-02", Sex: "X", ExpiryDate: "2032-04-15", IssueDate: "2024-04-15", Jurisdiction: "VA",
		Street: "1 MAIN ST", City: "RICHMOND", PostalCode: "23220",
	}
	return r
}

// A licence has its barcode on the back, and its data in the fields that the
// vendor has for it.
func TestLicence(t *testing.T) {
	for _, c := range []struct {
		name    string
		change  func(*api.Report)
		success bool
	}{
		{"good", func(*api.Report) {}, true},
		{"without the barcode's fields", func(r *api.Report) { r.Checks[3].Name = api.CheckMRZDigits }, false},
		{"a zone's checks for a barcode", func(r *api.Report) { r.Checks = passed().Checks }, false},
		{"a barcode's checks for a zone", func(r *api.Report) { r.Document.Format = "TD1" }, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := start(t, &engine{document: documents(api.ReasonBarcodeNotFound, ""), verify: func(r *api.VerifyRequest) (*api.Report, error) {
				if !bytes.Equal(r.DocumentBack, backPhoto) || fmt.Sprint(r.DocumentTypes) != "[drivers_license]" {
					t.Errorf("%v, back of %d bytes", r.DocumentTypes, len(r.DocumentBack))
				}
				rep := licence()
				c.change(rep)
				return rep, nil
			}}, nil)
			id := s.create("default", "dl_object", nil)
			s.prove(id, true)
			b := s.result("v3", "default", id)
			var r struct {
				SessionResult string
				Document      map[string]any
			}
			if err := json.Unmarshal(b, &r); err != nil {
				t.Fatal(err)
			}
			if (r.SessionResult == "SUCCESS") != c.success {
				t.Fatalf("%s", b)
			}
			if !c.success {
				return
			}
			for name, want := range map[string]string{
				"type": "DL", "documentType": "DL", "documentId": "D1234567", "state": "VA", "street": "1 MAIN ST", "city": "RICHMOND", "zipCode": "23220",
				"doi": "20240415", "country": "US", "fullName": "ALEX SAMPLE", "dob": "19900102",
			} {
				if r.Document[name] != want {
					t.Errorf("%s is %v, want %s", name, r.Document[name], want)
				}
			}
			if v1 := s.result("v1", "default", id); !bytes.Contains(v1, []byte(`"dl_object":{`)) {
				t.Errorf("%s", v1)
			}
		})
	}
}

// Whatever an engine says short of a complete pass, nobody is verified.
func TestNeverSuccess(t *testing.T) {
	cut := func(name string, o api.Outcome) func(*api.VerifyRequest) (*api.Report, error) {
		return func(*api.VerifyRequest) (*api.Report, error) {
			r := passed()
			for i := range r.Checks {
				if r.Checks[i].Name == name {
					if o == "" {
						r.Checks = append(r.Checks[:i], r.Checks[i+1:]...)
					} else {
						r.Checks[i].Outcome = o
					}
					break
				}
			}
			return r, nil
		}
	}
	change := func(f func(*api.Report)) func(*api.VerifyRequest) (*api.Report, error) {
		return func(*api.VerifyRequest) (*api.Report, error) {
			r := passed()
			f(r)
			return r, nil
		}
	}
	status := func(code int, reason string) func(*api.VerifyRequest) (*api.Report, error) {
		return func(*api.VerifyRequest) (*api.Report, error) {
			return nil, &api.StatusError{Status: code, Problem: api.Problem{Reason: reason}}
		}
	}
	tests := map[string]struct {
		dvc    string
		verify func(*api.VerifyRequest) (*api.Report, error)
		reason string
		code   string
		calls  int
	}{
		"nil report": {"default", func(*api.VerifyRequest) (*api.Report, error) { return nil, nil }, "engine_error", "IDV0007", 3},
		"down":       {"default", func(*api.VerifyRequest) (*api.Report, error) { return nil, errDown }, "engine_unavailable", "IDV0007", 3},
		"busy": {"default", func(*api.VerifyRequest) (*api.Report, error) {
			return refused(api.ReasonEngineBusy, api.CannotTell), nil
		}, "engine_busy", "IDV0007", 3},
		"busy, by status":    {"default", status(503, api.ReasonEngineBusy), "engine_busy", "IDV0007", 3},
		"timeout, by status": {"default", status(504, api.ReasonEngineTimeout), "engine_timeout", "IDV0007", 3},
		"error, by status":   {"default", status(500, api.ReasonEngineError), "engine_error", "IDV0007", 3},
		"no time": {"default", func(*api.VerifyRequest) (*api.Report, error) {
			return nil, fmt.Errorf("engine: %w", context.DeadlineExceeded)
		}, "engine_timeout", "IDV0007", 3},
		"our request is wrong": {"default", status(400, api.ReasonInvalidRequest), "engine_error", "IDV0007", 1},
		"another error":        {"default", func(*api.VerifyRequest) (*api.Report, error) { return nil, io.ErrUnexpectedEOF }, "engine_error", "IDV0007", 3},
		"empty report":         {"default", func(*api.VerifyRequest) (*api.Report, error) { return &api.Report{}, nil }, "engine_error", "IDV0007", 3},
		"too large":            {"default", func(*api.VerifyRequest) (*api.Report, error) { return nil, &api.StatusError{Status: 413} }, "image_too_large", "IDV0001", 1},
		"no models": {"default", func(*api.VerifyRequest) (*api.Report, error) {
			return refused(api.ReasonModelsMissing, api.CannotTell), nil
		}, "engine_models_missing", "IDV0007", 1},
		"pass with reason":  {"default", change(func(r *api.Report) { r.Reason = api.ReasonFaceMismatch }), "face_mismatch", "IDV0007", 1},
		"unknown verdict":   {"default", change(func(r *api.Report) { r.Verdict = "maybe" }), "engine_error", "IDV0007", 3},
		"unknown reason":    {"default", change(func(r *api.Report) { r.Verdict, r.Reason = api.Fail, "new_reason" }), "new_reason", "IDV0007", 1},
		"no face check":     {"default", cut(api.CheckFaceMatch, ""), "engine_error", "IDV0007", 1},
		"face cannot tell":  {"default", cut(api.CheckFaceMatch, api.CannotTell), "engine_error", "IDV0007", 1},
		"digits failed":     {"default", cut(api.CheckMRZDigits, api.Fail), "engine_error", "IDV0007", 1},
		"no checks":         {"default", change(func(r *api.Report) { r.Checks = nil }), "engine_error", "IDV0007", 1},
		"no document":       {"default", change(func(r *api.Report) { r.Document = nil }), "engine_error", "IDV0007", 1},
		"no portrait":       {"default", change(func(r *api.Report) { r.Portrait = nil }), "engine_error", "IDV0007", 1},
		"no liveness check": {"active", func(*api.VerifyRequest) (*api.Report, error) { return passed(), nil }, "engine_error", "IDV0007", 1},
		"liveness": {"active", func(*api.VerifyRequest) (*api.Report, error) {
			return refused(api.ReasonLivenessUnavailable, api.Fail), nil
		}, "liveness_unavailable", "IDV0007", 1},
	}
	for _, reason := range kosmos.Reasons() {
		if code, _, ended := kosmos.Words(reason); !strings.HasPrefix(code, "IDV00") || ended == "" {
			t.Errorf("%s has no code or no words", reason)
		}
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			e := &engine{verify: tt.verify}
			s := start(t, e, nil)
			id := s.create(tt.dvc, "ppt_object", nil)
			s.prove(id, true)
			var r struct {
				SessionResult string
				Document      any
				ErrorInfo     struct {
					Code  string `json:"reason_code"`
					Code2 string `json:"reasonCode"`
				}
				Kosmoscope struct {
					Reason string
					Checks []api.Check
				}
			}
			if err := json.Unmarshal(s.result("v3", tt.dvc, id), &r); err != nil {
				t.Fatal(err)
			}
			if r.SessionResult != "FAILED" || r.Document != nil || r.Kosmoscope.Reason != tt.reason || r.ErrorInfo.Code+r.ErrorInfo.Code2 != tt.code {
				t.Errorf("got %+v", r)
			}
			if e.calls() != tt.calls {
				t.Errorf("%d calls, want %d", e.calls(), tt.calls)
			}
			if name == "busy" && len(r.Kosmoscope.Checks) != 3 {
				t.Errorf("the report's checks are lost: %+v", r.Kosmoscope)
			}
		})
	}
}

func TestWireErrors(t *testing.T) {
	s := start(t, &engine{}, nil)
	other, err := blockid.GenerateKey(blockid.P256)
	if err != nil {
		t.Fatal(err)
	}
	wrongKey := s.shared("sessions") // another service's key
	docu := s.shared("docuverify")
	create, body := "/docuverify/document_share_session/create", s.createBody("default", "ppt_object", nil)
	id := s.create("default", "ppt_object", nil)
	set := func(name, value string) func(map[string]string) {
		return func(h map[string]string) {
			if value == "" {
				delete(h, name)
			} else {
				h[name] = value
			}
		}
	}
	session := func(change func(m, rq map[string]any)) map[string]any {
		m := s.createBody("default", "ppt_object", nil)
		change(m, m["sessionRequest"].(map[string]any))
		return m
	}
	tests := []struct {
		name   string
		path   string
		body   any
		change func(map[string]string)
		status int
		want   string
	}{
		{"no public key", create, body, set("publickey", ""), 400, `{"errors":[{"message":"This header should not be empty","param":"publickey"}]}`},
		{"garbled public key", create, body, set("publickey", "AAAA"), 400, `{"errors":[{"message":"This header can't be decrypted","param":"publickey"}]}`},
		{"other curve", create, body, set("publickey", other.Public().String()), 400, `{"errors":[{"message":"This header can't be decrypted","param":"publickey"}]}`},
		{"no licence", create, body, set("licensekey", ""), 400, `{"errors":[{"message":"This header should not be empty","param":"licensekey"}]}`},
		{"clear licence", create, body, set("licensekey", license), 400, `{"errors":[{"message":"This header can't be decrypted","param":"licensekey"}]}`},
		{"licence for another service", create, body, set("licensekey", seal(t, wrongKey, license)), 400, `{"errors":[{"message":"This header can't be decrypted","param":"licensekey"}]}`},
		{"wrong licence", create, body, set("licensekey", seal(t, docu, "other")), 401, `{"code":401,"message":"Invalid or Unauthorized License"}`},
		{"no request id", create, body, set("requestid", ""), 400, `{"errors":[{"message":"This header should not be empty","param":"requestid"}]}`},
		{"request id without uuid", create, body, set("requestid", seal(t, docu, `{"ts":1}`)), 400, `{"errors":[{"message":"This header can't be decrypted","param":"requestid"}]}`},
		{"body for another service", create, nil, nil, 400, `{"errors":[{"message":"This field can't be decrypted","param":"data"}]}`},
		{"no dvcID", create, session(func(m, _ map[string]any) { delete(m, "dvcID") }), nil, 400, `{"code":400,"message":"dvcID is required"}`},
		{"empty dvcID", create, session(func(m, _ map[string]any) { m["dvcID"] = "" }), nil, 400, `{"code":400,"message":"dvcID is not allowed to be empty"}`},
		{"wrong dvcID", create, session(func(m, _ map[string]any) { m["dvcID"] = "x" }), nil, 404, `{"code":404,"message":"dvcID is not found"}`},
		{"no session request", create, session(func(m, _ map[string]any) { delete(m, "sessionRequest") }), nil, 400, `{"code":400,"message":"sessionRequest is required"}`},
		{"no tenant", create, session(func(_, r map[string]any) { delete(r, "tenantDNS") }), nil, 400, `{"code":400,"message":"tenantDNS is required"}`},
		{"other tenant", create, session(func(_, r map[string]any) { r["tenantDNS"] = "x" }), nil, 404, `{"code":404,"message":"Unable to load tenant/community"}`},
		{"no community", create, session(func(_, r map[string]any) { delete(r, "communityName") }), nil, 400, `{"code":400,"message":"communityName is required"}`},
		{"no type", create, session(func(_, r map[string]any) { delete(r, "documentType") }), nil, 400, `{"code":400,"message":"documentType is required"}`},
		{"unknown type", create, session(func(_, r map[string]any) { r["documentType"] = "visa" }), nil, 400, `{"code":400,"message":"documentType must be one of the types of this dvcID"}`},
		{"type not of this dvc", create, session(func(m, r map[string]any) { m["dvcID"], r["documentType"] = "passports", "dl_object" }), nil, 400, `{"code":400,"message":"documentType must be one of the types of this dvcID"}`},
		{"user no object", create, session(func(_, r map[string]any) { r["user"] = "x" }), nil, 400, `{"code":400,"message":"user must be of type object"}`},
		{"array", create, []int{1}, nil, 400, `{"code":400,"message":"data must be a JSON object"}`},
		{"result, no session", "/docuverify/document_share_session/result", map[string]string{"dvcID": "default"}, nil, 400, `{"code":400,"message":"sessionId is required"}`},
		{"result, unknown session", "/docuverify/v3/document_share_session/result", map[string]string{"dvcID": "default", "sessionId": uuid.NewString()}, nil, 404, `{"code":404,"message":"Session not found"}`},
		{"result, other dvc", "/docuverify/v3/document_share_session/result", map[string]string{"dvcID": "passports", "sessionId": id}, nil, 404, `{"code":404,"message":"Session not found"}`},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			var r reply
			if tt.body == nil {
				b, _ := json.Marshal(map[string]string{"data": seal(t, wrongKey, "{}")})
				r = s.send("POST", tt.path, bytes.NewReader(b), s.headers(docu))
			} else {
				r = s.call(tt.path, tt.body, tt.change)
			}
			if got := strings.TrimSpace(string(r.body)); r.status != tt.status || got != tt.want {
				t.Errorf("%d %s", r.status, got)
			}
		})
	}
	for name, body := range map[string]string{"no JSON": "x", "no data": "{}"} {
		if r := s.send("POST", create, strings.NewReader(body), s.headers(docu)); r.status != 400 {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	if r := s.send("POST", create, strings.NewReader(`{"data":"`+strings.Repeat("A", 2<<20)+`"}`), s.headers(docu)); r.status != 413 {
		t.Errorf("giant body: %d", r.status)
	}
}

func TestRequestID(t *testing.T) {
	s := start(t, &engine{}, nil)
	docu := s.shared("docuverify")
	now, path := s.clock.now().Unix(), "/docuverify/v3/document_share_session/result"
	ask := map[string]string{"dvcID": "default", "sessionId": s.create("default", "ppt_object", nil)}
	id := func(ts int64, u string) func(map[string]string) {
		return func(h map[string]string) {
			h["requestid"] = seal(t, docu, `{"ts":`+strconv.FormatInt(ts, 10)+`,"appid":"x","uuid":"`+u+`"}`)
		}
	}
	for _, tt := range []struct {
		name   string
		change func(map[string]string)
		status int
	}{
		{"now", id(now, "a"), 200},
		{"again", id(now, "a"), 400},
		{"again, other case and time", id(now+1, "A"), 400},
		{"oldest", id(now-60, "b"), 200},
		{"too old", id(now-61, "c"), 400},
		{"newest", id(now+60, "d"), 200},
		{"too new", id(now+61, "e"), 400},
		{"single quotes", func(h map[string]string) {
			h["requestid"] = seal(t, docu, strings.ReplaceAll(s.requestID(), `"`, "'"))
		}, 200},
		{"noecdsa", func(h map[string]string) {
			h["noecdsa"], h["licensekey"], h["requestid"] = "true", license, s.requestID()
		}, 200},
		{"noecdsa, any value", func(h map[string]string) {
			h["noecdsa"], h["licensekey"], h["requestid"] = "1", license, strings.ReplaceAll(s.requestID(), `"`, "'")
		}, 200},
		{"noecdsa false", func(h map[string]string) { h["noecdsa"] = "false" }, 200},
		{"noecdsa, wrong licence", func(h map[string]string) { h["noecdsa"], h["licensekey"], h["requestid"] = "true", "x", s.requestID() }, 401},
	} {
		if r := s.call(path, ask, tt.change); r.status != tt.status {
			t.Errorf("%s: %d %s", tt.name, r.status, r.body)
		}
	}
	// The window moves on, and with it what is remembered.
	s.clock.add(3 * time.Minute)
	if r := s.call(path, ask, id(s.clock.now().Unix(), "a")); r.status != 200 {
		t.Errorf("after the window: %d", r.status)
	}
}

func TestIAL(t *testing.T) {
	s := start(t, &engine{}, nil)
	k := s.shared("community")
	ask := func(user string, change func(map[string]string)) (int, []byte) {
		h := s.headers(k)
		h["X-tenantTag"] = "kosmoscope"
		if change != nil {
			change(h)
		}
		r := s.send("GET", "/api/r1/community/default/userid/"+user+"/ial", nil, h)
		var sealed map[string]string
		if r.status != 200 || json.Unmarshal(r.body, &sealed) != nil || len(sealed) != 1 {
			return r.status, r.body
		}
		plain, err := k.Open(sealed["data"])
		if err != nil {
			t.Fatal(err)
		}
		return 200, plain
	}
	jwt := regexp.MustCompile(`"proof":"[^"]+"`)
	for _, user := range []string{"ada", "bob", "cora"} {
		_, plain := ask(user, nil)
		golden(t, "ial_"+user, jwt.ReplaceAll(plain, []byte(`"proof":"JWT"`)))
		if user != "ada" {
			continue
		}
		for _, m := range jwt.FindAll(plain, -1) {
			var c struct {
				Aud, Iss          string
				Issuer, Recipient struct{ Username string }
				Document          struct {
					Type, DOE string
					Hash      string `json:"id_hash"`
				}
				TS, IAT, Exp int64
				Purpose      []string
			}
			if err := json.Unmarshal(jwtClaims(t, strings.Split(string(m), `"`)[3]), &c); err != nil {
				t.Fatal(err)
			}
			exp := time.Unix(c.Exp, 0).UTC()
			if c.Aud != s.base+"/default" || c.Iss != s.base+"/admin/default" || c.Recipient.Username != "ada" || len(c.Document.Hash) != 128 ||
				exp.Format("20060102 15:04:05") != c.Document.DOE+" 23:59:59" || !exp.After(s.clock.now().AddDate(2, 0, 0)) ||
				c.TS/1000 != c.IAT || fmt.Sprint(c.Purpose) != "[ial]" {
				t.Errorf("claims %+v", c)
			}
		}
	}
	if status, body := ask("nobody", nil); status != 404 || !strings.Contains(string(body), `{"message":`) {
		t.Errorf("unknown user: %d %s", status, body)
	}
	if status, _ := ask("ada", func(h map[string]string) { delete(h, "X-tenantTag") }); status != 404 {
		t.Errorf("without tenant tag: %d", status)
	}
	if status, body := ask("ada", func(h map[string]string) { h["licensekey"] = seal(t, k, "x") }); status != 401 || string(body) != "{\"message\":\"Invalid or Unauthorized License\"}\n" {
		t.Errorf("wrong licence: %d %s", status, body)
	}
}

func TestV1(t *testing.T) {
	s := start(t, &engine{}, nil)
	post := func(bearer, body string) reply {
		return s.send("POST", "/v1/verify/sessions", strings.NewReader(body), map[string]string{"Authorization": bearer, "Content-Type": "application/json"})
	}
	ok := `{"document_types":["passport","id_card"],"liveness_mode":"none","callback_url":"http://localhost:9/back?x=1","metadata":{"username":"ada","n":1}}`
	for _, bearer := range []string{"", "Bearer", "Bearer wrong", "Basic " + token} {
		if r := post(bearer, ok); r.status != 401 || r.json(t)["statusCode"] != 401.0 {
			t.Errorf("%q: %d %s", bearer, r.status, r.body)
		}
	}
	for _, body := range []string{
		`{"document_types":["visa"]}`, `{"liveness_mode":"some"}`, `{"callback_url":"http://example.com/"}`,
		`{"callback_url":"javascript:alert(1)"}`, `{"callback_url":"https://u:p@example.com/"}`, `{"document_types":"x"}`, `x`,
	} {
		if r := post("Bearer "+token, body); r.status != 400 {
			t.Errorf("%s: %d", body, r.status)
		}
	}
	status := func(method, id string) []byte {
		r := s.send(method, "/v1/verify/sessions/"+id+"/status", nil, map[string]string{"Authorization": "bearer " + token})
		if r.status != 200 {
			t.Fatalf("status: %d %s", r.status, r.body)
		}
		return r.body
	}
	r := post("Bearer "+token, ok)
	id, _ := r.json(t)["session_id"].(string)
	golden(t, "v1_created", r.body, id, "SESSION", s.dns, "DNS")
	golden(t, "v1_pending", status("GET", id), id, "SESSION")
	s.prove(id, true)
	golden(t, "v1_completed", status("POST", id), id, "SESSION")
	a := s.send("GET", "/idproofing/session/"+id+"/state", nil, nil).json(t)
	if a["return_url"] != "http://localhost:9/back?session_id="+id+"&x=1" {
		t.Errorf("return_url %v", a["return_url"])
	}
	// A session of one profile is none of the other's.
	if r := s.call("/docuverify/v3/document_share_session/result", map[string]string{"dvcID": "default", "sessionId": id}, nil); r.status != 404 {
		t.Errorf("v1 session through docuverify: %d", r.status)
	}
	foreign := s.create("default", "ppt_object", nil)
	for _, id := range []string{foreign, "x"} {
		if r := s.send("GET", "/v1/verify/sessions/"+id+"/status", nil, map[string]string{"Authorization": "Bearer " + token}); r.status != http.StatusNotFound {
			t.Errorf("foreign session: %d", r.status)
		}
	}
	// A level is of the enrolled user, so it is said only of one whose names the
	// document carries; a session alone has none.
	for metadata, level := range map[string]string{
		`{"username":"ada"}`: "IAL2", `{"username":"bob"}`: "", `{"username":"cora"}`: "", `{"username":"nobody"}`: "", `{"username":2}`: "", `{}`: "",
	} {
		r := post("Bearer "+token, `{"document_types":["passport"],"liveness_mode":"none","metadata":`+metadata+`}`)
		id, _ := r.json(t)["session_id"].(string)
		s.prove(id, true)
		var answer struct {
			Status string
			Result map[string]any
		}
		if err := json.Unmarshal(status("GET", id), &answer); err != nil {
			t.Fatal(err)
		}
		got, there := answer.Result["ial_level"]
		if answer.Status != "completed" || there != (level != "") || there && got != level {
			t.Errorf("%s: %s, level %v", metadata, answer.Status, got)
		}
	}
	other := start(t, &engine{verify: func(*api.VerifyRequest) (*api.Report, error) {
		r := passed(api.IDCard) // somebody else, who passes
		r.Checks = passed().Checks
		return r, nil
	}}, nil)
	s = other
	r = post("Bearer "+token, `{"document_types":["id_card"],"liveness_mode":"none","metadata":{"username":"ada"}}`)
	id, _ = r.json(t)["session_id"].(string)
	s.prove(id, true)
	if b := string(status("GET", id)); !strings.Contains(b, `"completed"`) || strings.Contains(b, "ial_level") {
		t.Errorf("somebody who names ada gets her level: %s", b)
	}
}
