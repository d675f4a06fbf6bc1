package kosmos_test

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"image/color"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

// Photos of two people; the engine of these tests knows people by the file.
var (
	alice   = photo(80, 100, color.RGBA{150, 120, 100, 255})
	mallory = photo(80, 100, color.RGBA{90, 70, 60, 255})
)

const aliceName = "alice.liddell@example.com"

func stepUps(o *kosmos.Options) {
	o.StepUpLiveness = api.LivenessNone
	o.Workflows = []kosmos.Workflow{{ID: "wf-1", Node: "liveid", Kind: "liveid"}}
}

// startStepUps runs a server on which alice is enrolled.
func startStepUps(t *testing.T, e kosmos.Engine, change func(*kosmos.Options)) *server {
	t.Helper()
	s := start(t, e, func(o *kosmos.Options) {
		stepUps(o)
		if change != nil {
			change(o)
		}
	})
	s.enrol(aliceName, alice)
	return s
}

func (s *server) enrol(username string, selfie []byte) {
	s.t.Helper()
	id := s.create("default", "ppt_object", map[string]string{"username": username})
	body, ct := "enrol=yes", "application/x-www-form-urlencoded"
	if a := s.act(id, "start", strings.NewReader(body), ct); a.State != "started" {
		s.t.Fatalf("start: %+v", a)
	}
	s.upload(id, "front", frontPhoto)
	s.upload(id, "selfie", selfie)
	s.act(id, "submit", nil, "")
	s.WaitJudged()
	if st := s.state("default", id); st != "SUCCESS" {
		s.t.Fatalf("enrolment: %s", s.result("v3", "default", id))
	}
}

const metadata = `{"purpose":"authentication","application":"Example Bank","account":"a•••@example.com","reason_code":"new_device","transaction":"Pay 12.00"}`

func uwlBody(authtype string) string {
	return `{"origin":{"tag":"kosmoscope","url":"https://x","communityName":"default","authPage":"blockid://authenticate"},` +
		`"scopes":"did,userid","authtype":"` + authtype + `","metadata":` + metadata + `}`
}

// session opens a UWL session.
func (s *server) session(authtype string) string {
	s.t.Helper()
	r := s.send("PUT", "/sessions/session/new", strings.NewReader(uwlBody(authtype)), s.headers(s.shared("sessions")))
	id, _ := r.json(s.t)["sessionId"].(string)
	if r.status != 201 || id == "" {
		s.t.Fatalf("create: %d %s", r.status, r.body)
	}
	return id
}

// response asks for the answer of a UWL session.
func (s *server) response(id string) reply {
	s.t.Helper()
	h := s.headers(s.shared("sessions"))
	h["addsessioninfo"] = "1"
	return s.send("GET", "/sessions/session/"+id+"/response", nil, h)
}

// opened is the user data of an answer.
func (s *server) opened(r reply) map[string]any {
	s.t.Helper()
	var a struct{ Data, PublicKey string }
	if err := json.Unmarshal(r.body, &a); err != nil || r.status != 200 {
		s.t.Fatalf("response: %d %s", r.status, r.body)
	}
	key, err := blockid.ParsePublicKey(blockid.Auto, a.PublicKey)
	if err != nil {
		s.t.Fatal(err)
	}
	shared, err := s.key.Shared(key)
	if err != nil {
		s.t.Fatal(err)
	}
	plain, err := shared.Open(a.Data)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{body: plain}.json(s.t)
}

// reason of the block "kosmoscope" of a refusal.
func (r reply) reason(t *testing.T) string {
	t.Helper()
	own, _ := r.json(t)["kosmoscope"].(map[string]any)
	reason, _ := own["reason"].(string)
	return reason
}

type faceState struct {
	State, Reason, Message, Nonce string
	AttemptsLeft                  int    `json:"attempts_left"`
	AccountNeeded                 bool   `json:"account_needed"`
	ExpiresAt                     string `json:"expires_at"`
	ReturnURL                     string `json:"return_url"`
	status                        int
}

func (s *server) faceCall(method, path string, parts [][2]string, photos [][]byte) faceState {
	s.t.Helper()
	h := map[string]string{"Accept": "application/json"}
	var r reply
	if method == "GET" {
		r = s.send(method, path, nil, h)
	} else {
		body, ct := ordered(parts, photos...)
		h["Content-Type"] = ct
		r = s.send(method, path, body, h)
	}
	f := faceState{status: r.status}
	if err := json.Unmarshal(r.body, &f); err != nil {
		s.t.Fatalf("%s: %d %s", path, r.status, r.body)
	}
	return f
}

func (s *server) faceState(id string) faceState {
	s.t.Helper()
	return s.faceCall("GET", "/authenticator/"+id+"/state", nil, nil)
}

// face sends photos with the code that is valid now.
func (s *server) face(id, account string, photos ...[]byte) faceState {
	s.t.Helper()
	return s.faceWith(id, s.faceState(id).Nonce, account, photos...)
}

func (s *server) faceWith(id, nonce, account string, photos ...[]byte) faceState {
	s.t.Helper()
	parts := [][2]string{{"nonce", nonce}}
	if account != "" {
		parts = append(parts, [2]string{"account", account})
	}
	return s.faceCall("POST", "/authenticator/"+id+"/face", parts, photos)
}

// ordered is form with the fields in order.
func ordered(parts [][2]string, photos ...[]byte) (*bytes.Buffer, string) {
	var b bytes.Buffer
	const boundary = "the-boundary"
	for _, p := range parts {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=%q\r\n\r\n%s\r\n", boundary, p[0], p[1])
	}
	for _, f := range photos {
		fmt.Fprintf(&b, "--%s\r\nContent-Disposition: form-data; name=\"file\"; filename=\"f\"\r\n\r\n%s\r\n", boundary, f)
	}
	fmt.Fprintf(&b, "--%s--\r\n", boundary)
	return &b, "multipart/form-data; boundary=" + boundary
}

func TestUWL(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")

	info := s.send("GET", "/sessions/session/"+id, nil, map[string]string{"Accept": "application/json"})
	created := fmt.Sprint(s.clock.now().UnixMilli())
	ends := s.clock.now().Add(time.Minute)
	replace := []string{
		id, "<session>", s.key.Public().String(), "<caller>", created, "1", fmt.Sprint(ends.UnixMilli()), "2",
		ends.UTC().Format("2006-01-02T15:04:05.000Z"), "<ends>", fmt.Sprint(info.json(t)["_id"]), "<mongo id>",
		s.clock.now().UTC().Format("2006-01-02T15:04:05.000Z"), "<created>",
	}
	golden(t, "uwl_session", info.body, replace...)

	if r := s.response(id); r.status != 404 {
		t.Fatalf("pending: %d %s", r.status, r.body)
	}
	f := s.face(id, aliceName, alice)
	if f.status != 200 || f.State != "match" || f.Reason != "" || f.Nonce != "" || f.ReturnURL != "" {
		t.Fatalf("%+v", f)
	}
	r := s.response(id)
	body := r.json(t)
	golden(t, "uwl_response", r.body, append(replace, body["data"].(string), "<sealed>", body["publicKey"].(string), "<wallet>")...)
	user := s.opened(r)
	if len(user["did"].(string)) != 40 || user["userid"] != aliceName {
		t.Errorf("%v", user)
	}
	plain, _ := json.Marshal(user)
	golden(t, "uwl_user", plain, id, "<session>", user["did"].(string), "<did>")

	// The answer is the wallet's: its key is the one that user info gives for the DID.
	events, err := s.Events(t.Context(), id)
	if err != nil || len(events) != 1 || events[0].Name != "E_LOGIN_SUCCEEDED" {
		t.Errorf("%v %v", events, err)
	}
	// It stays, for its creator only, until the personal data goes.
	s.clock.add(30 * time.Minute)
	if r := s.response(id); r.status != 200 {
		t.Errorf("later: %d", r.status)
	}
	mine := s.key
	s.key, _ = blockid.GenerateKey(blockid.Auto)
	if r := s.response(id); r.status != 404 || r.reason(t) != "unknown_session" {
		t.Errorf("another caller: %d %s", r.status, r.body)
	}
	s.key = mine
	s.clock.add(time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	if r := s.response(id); r.status == 200 {
		t.Errorf("after the purge: %d %s", r.status, r.body)
	}
}

func TestUWLExpires(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("face")
	nonce := s.faceState(id).Nonce
	s.clock.add(time.Minute)
	if r := s.response(id); r.status != 400 || r.reason(t) != "session_ended" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.send("GET", "/sessions/session/"+id, nil, nil); r.status != 400 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if f := s.faceWith(id, nonce, aliceName, alice); f.status != 410 || f.Reason != "session_ended" || f.State != "expired" {
		t.Errorf("%+v", f)
	}
}

// A session that ends while the engine compares has no answer.
func TestUWLExpiresWhileComparing(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, nil)
	id := s.session("Face")
	e.match = func(*api.MatchRequest) (*api.Report, error) {
		s.clock.add(time.Minute)
		return matched(api.Pass, ""), nil
	}
	if f := s.face(id, aliceName, alice); f.status != 410 || f.State != "expired" || f.Reason != "session_ended" {
		t.Errorf("%+v", f)
	}
	if r := s.response(id); r.status != 400 {
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestUWLRequests(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	good := uwlBody("Face")
	for _, test := range []struct {
		name, body, drop string
		status           int
	}{
		{"no licence", good, "licensekey", 400},
		{"no request id", good, "requestid", 400},
		{"no key", good, "publickey", 400},
		{"not JSON", "{", "", 400},
		{"no origin", `{"authtype":"Face"}`, "", 400},
		{"origin is null", `{"origin":null}`, "", 400},
		{"another community", `{"origin":{"communityName":"other"}}`, "", 404},
		{"another community's id", `{"origin":{"communityId":"0011"}}`, "", 404},
		{"metadata is a list", `{"origin":{},"metadata":[1]}`, "", 400},
		{"metadata is huge", `{"origin":{},"metadata":{"a":"` + strings.Repeat("x", 17<<10) + `"}}`, "", 400},
		{"body is huge", strings.Repeat(" ", 2<<20), "", 413},
		{"the least", `{"origin":{}}`, "", 201},
	} {
		t.Run(test.name, func(t *testing.T) {
			h := s.headers(s.shared("sessions"))
			delete(h, test.drop)
			if r := s.send("PUT", "/sessions/session/new", strings.NewReader(test.body), h); r.status != test.status {
				t.Errorf("%d %s", r.status, r.body)
			}
		})
	}
	h := s.headers(s.shared("docuverify")) // sealed to the key of another service
	if r := s.send("PUT", "/sessions/session/new", strings.NewReader(good), h); r.status != 400 {
		t.Errorf("another service's key: %d", r.status)
	}
	if r := s.send("GET", "/sessions/session/"+uuid.NewString(), nil, nil); r.status != 404 {
		t.Errorf("unknown: %d", r.status)
	}
	if r := s.response(uuid.NewString()); r.status != 404 {
		t.Errorf("unknown: %d", r.status)
	}
	// A browser that comes by the QR code's address is shown the authenticator.
	id := s.session("Face")
	r := s.send("GET", "/sessions/session/"+id, nil, map[string]string{"Accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
	if r.status != 303 || r.header.Get("Location") != "/authenticator/"+id {
		t.Errorf("%d %v", r.status, r.header)
	}
	// Another authtype exists, but the stand-in cannot answer it.
	id = s.session("Fingerprint")
	if f := s.face(id, aliceName, alice); f.status != 409 || f.Reason != "authtype_unsupported" || f.State != "open" {
		t.Errorf("%+v", f)
	}
}

// app answers a session over the wire, as the vendor's app would.
type app struct {
	s   *server
	key *blockid.PrivateKey
}

func newApp(s *server) *app {
	key, err := blockid.GenerateKey(blockid.Auto)
	if err != nil {
		s.t.Fatal(err)
	}
	return &app{s, key}
}

func (a *app) body(text string) map[string]any {
	shared, err := a.key.Shared(a.s.key.Public())
	if err != nil {
		a.s.t.Fatal(err)
	}
	return map[string]any{
		"data": seal(a.s.t, shared, text), "publicKey": a.key.Public().String(), "did": strings.Repeat("ab", 20), "appid": "test.app",
	}
}

func (a *app) headers() map[string]string {
	shared, err := a.key.Shared(a.s.serviceKey("sessions"))
	if err != nil {
		a.s.t.Fatal(err)
	}
	return map[string]string{
		"Content-Type": "application/json", "publickey": a.key.Public().String(), "requestid": seal(a.s.t, shared, a.s.requestID()),
	}
}

func (a *app) answer(id string, body any, headers map[string]string) reply {
	b, err := json.Marshal(body)
	if err != nil {
		a.s.t.Fatal(err)
	}
	return a.s.send("POST", "/sessions/session/"+id+"/authenticate", bytes.NewReader(b), headers)
}

func TestAuthenticate(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	a := newApp(s)
	id := s.session("Pin") // whatever the authtype: it is the app's affair
	first := a.body(`{"did":"x"}`)
	h := a.headers()
	if r := a.answer(id, first, h); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	if user := s.opened(s.response(id)); user["did"] != "x" {
		t.Errorf("%v", user)
	}
	off := func(change func(body map[string]any, h map[string]string)) (map[string]any, map[string]string) {
		body, h := a.body("{}"), a.headers()
		change(body, h)
		return body, h
	}
	other, err := blockid.GenerateKey(blockid.P256)
	if err != nil {
		t.Fatal(err)
	}
	stranger := newApp(s)
	respelled := func() string { // the same bytes in another spelling
		raw, _ := base64.StdEncoding.DecodeString(first["data"].(string))
		return base64.StdEncoding.EncodeToString(raw[:30]) + "\n" + base64.StdEncoding.EncodeToString(raw[30:])
	}
	expired := s.session("Face")
	for _, test := range []struct {
		name   string
		id     string
		change func(body map[string]any, h map[string]string)
		status int
		reason string
	}{
		{"a second answer", id, nil, 409, "answer_replayed"},
		{"the same answer again", id, func(b map[string]any, _ map[string]string) { b["data"] = first["data"] }, 409, "answer_replayed"},
		{"an answer of another session", "", func(b map[string]any, _ map[string]string) { b["data"] = first["data"] }, 409, "answer_replayed"},
		{"the same in another spelling", "", func(b map[string]any, _ map[string]string) { b["data"] = respelled() }, 409, "answer_replayed"},
		{"the whole captured request", "", func(b map[string]any, g map[string]string) {
			b["data"] = first["data"]
			g["requestid"] = h["requestid"]
		}, 400, "answer_replayed"},
		{"a request id used before", "", func(_ map[string]any, g map[string]string) { g["requestid"] = h["requestid"] }, 400, "answer_replayed"},
		{"unknown session", uuid.NewString(), nil, 404, "unknown_session"},
		{"key of another curve", "", func(b map[string]any, _ map[string]string) { b["publicKey"] = other.Public().String() }, 400, "answer_key_invalid"},
		{"no key", "", func(b map[string]any, _ map[string]string) { delete(b, "publicKey") }, 400, "answer_key_invalid"},
		{"not a key", "", func(b map[string]any, _ map[string]string) { b["publicKey"] = "AAAA" }, 400, "answer_key_invalid"},
		{"somebody else's key", "", func(b map[string]any, _ map[string]string) { b["publicKey"] = stranger.key.Public().String() }, 400, "answer_key_invalid"},
		{"no key in the header", "", func(_ map[string]any, g map[string]string) { delete(g, "publickey") }, 400, "answer_key_invalid"},
		{"sealed by somebody else", "", func(_ map[string]any, g map[string]string) { g["requestid"] = stranger.headers()["requestid"] }, 400, "upstream_ciphertext"},
		{"no request id", "", func(_ map[string]any, g map[string]string) { delete(g, "requestid") }, 400, "upstream_ciphertext"},
		{"data is no base64", "", func(b map[string]any, _ map[string]string) { b["data"] = "!" }, 400, "upstream_ciphertext"},
		{"data is too short", "", func(b map[string]any, _ map[string]string) { b["data"] = "AAAA" }, 400, "upstream_ciphertext"},
		{"no DID", "", func(b map[string]any, _ map[string]string) { delete(b, "did") }, 400, "invalid_request"},
		{"data is a number", "", func(b map[string]any, _ map[string]string) { b["data"] = 1 }, 400, "invalid_request"},
		{"huge", "", func(b map[string]any, _ map[string]string) { b["data"] = strings.Repeat("A", 2<<20) }, 413, "request_too_large"},
		{"a good one", "", nil, 200, ""},
	} {
		t.Run(test.name, func(t *testing.T) {
			id := test.id
			if id == "" {
				id = s.session("Face")
			}
			if test.change == nil {
				test.change = func(map[string]any, map[string]string) {}
			}
			body, h := off(test.change)
			r := a.answer(id, body, h)
			if r.status != test.status || test.status != 200 && r.reason(t) != test.reason {
				t.Errorf("%d %s", r.status, r.body)
			}
			if r.status != 200 && test.id == "" {
				if got := s.response(id); got.status != 404 {
					t.Errorf("changed the session: %d %s", got.status, got.body)
				}
			}
		})
	}
	s.clock.add(time.Minute)
	if r := a.answer(expired, a.body("{}"), a.headers()); r.status != 400 || r.reason(t) != "session_ended" {
		t.Errorf("expired: %d %s", r.status, r.body)
	}
	// A disabled user's wallet answers nothing, whoever holds its key.
	id = s.session("Face")
	s.face(id, aliceName, alice)
	did := s.opened(s.response(id))["did"]
	if err := s.Directory().SetDisabled(t.Context(), aliceName, true, "lost phone"); err != nil {
		t.Fatal(err)
	}
	body, h := off(func(b map[string]any, _ map[string]string) { b["did"] = did })
	if r := a.answer(s.session("Face"), body, h); r.status != 403 || r.reason(t) != "user_disabled" {
		t.Errorf("disabled: %d %s", r.status, r.body)
	}
}

func TestFirstAnswerWins(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	var wg sync.WaitGroup
	statuses := make([]int, 8)
	for i := range statuses {
		a := newApp(s)
		body, h := a.body(fmt.Sprintf(`{"did":"%d"}`, i)), a.headers()
		wg.Go(func() { statuses[i] = a.answer(id, body, h).status })
	}
	wg.Wait()
	slices.Sort(statuses)
	if statuses[0] != 200 || statuses[1] != 409 || statuses[7] != 409 {
		t.Errorf("%v", statuses)
	}
	s.opened(s.response(id))
}

func TestRefused(t *testing.T) {
	notPhoto := []byte("%PDF-1.4")
	reports := func(reason string, outcome api.Outcome) *engine {
		return &engine{match: func(r *api.MatchRequest) (*api.Report, error) {
			if len(r.Probes) > 0 {
				return matched(api.Pass, ""), nil
			}
			return matched(outcome, reason), nil
		}}
	}
	for _, test := range []struct {
		name    string
		engine  *engine
		photo   []byte
		uploads int
		shown   string // reason on the page
		reason  string // reason for the creator
		status  int    // of the uploads
	}{
		{"mismatch", &engine{}, mallory, 3, "face_mismatch", "face_mismatch", 200},
		{"uncertain", reports(api.ReasonFaceUncertain, api.CannotTell), alice, 3, "face_mismatch", "face_uncertain", 200},
		{"template of other models", reports(api.ReasonTemplateForeign, api.CannotTell), alice, 3, "face_mismatch", "template_foreign", 200},
		{"no face", reports(api.ReasonSelfieNoFace, api.Fail), alice, kosmos.MaxPoor, "selfie_no_face", "selfie_no_face", 200},
		{"two faces", reports(api.ReasonSelfieManyFaces, api.Fail), alice, kosmos.MaxPoor, "selfie_many_faces", "selfie_many_faces", 200},
		{"blurred", reports(api.ReasonImageBlurred, api.Fail), alice, kosmos.MaxPoor, "image_blurred", "image_blurred", 200},
		{"no photo", &engine{}, notPhoto, kosmos.MaxPoor, "image_unreadable", "image_unreadable", 415},
	} {
		t.Run(test.name, func(t *testing.T) {
			s := startStepUps(t, test.engine, nil)
			id := s.session("Face")
			for i := range test.uploads {
				f := s.face(id, aliceName, test.photo)
				left := 3
				if test.uploads == 3 {
					left -= i + 1
				}
				last := i == test.uploads-1
				if f.status != test.status || f.Reason != test.shown || f.Message == "" || last != (f.State == "refused") || !last && f.AttemptsLeft != left {
					t.Fatalf("upload %d: %+v", i, f)
				}
			}
			r := s.response(id)
			if r.status != 403 || r.reason(t) != test.reason {
				t.Errorf("%d %s", r.status, r.body)
			}
			golden(t, "uwl_refused", bytes.Replace(r.body, []byte(test.reason), []byte("face_mismatch"), 1))
			if f := s.faceWith(id, "x", aliceName, alice); f.status != 410 {
				t.Errorf("%+v", f)
			}
		})
	}
}

// What the engine cannot say is nobody's attempt, and never a match.
func TestEngineCannotTell(t *testing.T) {
	score := 0.99
	broken := func(change func(*api.Report)) func(*api.MatchRequest) (*api.Report, error) {
		return func(*api.MatchRequest) (*api.Report, error) {
			r := matched(api.Pass, "")
			change(r)
			return r, nil
		}
	}
	for _, test := range []struct {
		name   string
		match  func(*api.MatchRequest) (*api.Report, error)
		reason string
		status int
	}{
		{"down", func(*api.MatchRequest) (*api.Report, error) { return nil, errDown }, "engine_unavailable", 503},
		{"busy", func(*api.MatchRequest) (*api.Report, error) {
			return nil, &api.StatusError{Status: 503, Problem: api.Problem{Reason: api.ReasonEngineBusy}}
		}, "engine_busy", 503},
		{"silent", func(*api.MatchRequest) (*api.Report, error) { return nil, nil }, "engine_error", 503},
		{"odd error", func(*api.MatchRequest) (*api.Report, error) { return nil, errors.New("odd") }, "engine_error", 503},
		{"models missing", broken(func(r *api.Report) { r.Verdict, r.Reason = api.CannotTell, api.ReasonModelsMissing }), "engine_models_missing", 503},
		{"pass with a reason", broken(func(r *api.Report) { r.Reason = api.ReasonFaceMismatch }), "engine_error", 503},
		{"pass without checks", broken(func(r *api.Report) { r.Checks = nil }), "engine_error", 503},
		{"pass with a failed check", broken(func(r *api.Report) {
			r.Checks = append(r.Checks, api.Check{Name: api.CheckSelfie, Outcome: api.CannotTell, Score: &score})
		}), "engine_error", 503},
		{"fail without a reason", broken(func(r *api.Report) { r.Verdict = api.Fail }), "engine_error", 503},
		{"a verdict that we do not know", broken(func(r *api.Report) { r.Verdict = "yes" }), "engine_error", 503},
		{"liveness", broken(func(r *api.Report) { r.Verdict, r.Reason = api.Fail, api.ReasonLivenessUnavailable }), "liveness_unavailable", 200},
	} {
		t.Run(test.name, func(t *testing.T) {
			e := &engine{}
			s := startStepUps(t, e, nil)
			e.match = test.match
			id := s.session("Face")
			for range 2 {
				f := s.face(id, aliceName, alice)
				if f.status != test.status || f.State != "open" || f.Reason != test.reason || f.AttemptsLeft != 3 || f.Message == "" {
					t.Errorf("%+v", f)
				}
			}
			if r := s.response(id); r.status != 404 {
				t.Errorf("%d %s", r.status, r.body)
			}
			e.match = nil
			if f := s.face(id, aliceName, alice); f.State != "match" {
				t.Errorf("%+v", f)
			}
		})
	}
}

// Liveness that was not shown is no match, whatever else the report says.
func TestLivenessAskedFor(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpLiveness = api.LivenessPassive })
	for _, outcome := range []api.Outcome{"", api.CannotTell, api.Fail, api.Pass} {
		e.match = func(r *api.MatchRequest) (*api.Report, error) {
			if r.LivenessMode != api.LivenessPassive {
				t.Errorf("asked for %s", r.LivenessMode)
			}
			m := matched(api.Pass, "")
			if outcome != "" {
				m.Checks = append(m.Checks, api.Check{Name: api.CheckLiveness, Outcome: outcome})
			}
			return m, nil
		}
		id := s.session("Face")
		f := s.face(id, aliceName, alice)
		if (f.State == "match") != (outcome == api.Pass) || f.State == "open" && (f.Reason != "liveness_unavailable" || f.AttemptsLeft != 3) {
			t.Errorf("%q: %+v", outcome, f)
		}
		if f.State == "match" {
			own := s.opened(s.response(id))["kosmoscope"].(map[string]any)
			if own["liveness"] != "passive" || own["assessed"] != false {
				t.Errorf("%v", own)
			}
		}
	}
}

func TestNonce(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, nil)
	id, other := s.session("Face"), s.session("Face")
	first := s.faceState(id).Nonce
	if len(first) != 64 || first == s.faceState(other).Nonce || first != s.faceState(id).Nonce {
		t.Fatalf("%q", first)
	}
	asked := 0
	e.match = func(*api.MatchRequest) (*api.Report, error) {
		asked++
		return matched(api.Fail, api.ReasonFaceMismatch), nil
	}
	if f := s.faceWith(id, first, aliceName, mallory); f.AttemptsLeft != 2 || f.Nonce == first {
		t.Fatalf("%+v", f)
	}
	want := s.faceState(id)
	for name, nonce := range map[string]string{"used": first, "foreign": s.faceState(other).Nonce, "missing": "", "made up": strings.Repeat("0", 64), "shouted": strings.ToUpper(want.Nonce)} {
		f := s.faceWith(id, nonce, aliceName, alice)
		if f.status != 409 || f.Reason != "upload_replayed" || f.Nonce != want.Nonce || f.AttemptsLeft != 2 || f.State != "open" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	// What is said after the photo is not read.
	body, ct := ordered(nil, alice)
	late := strings.TrimSuffix(body.String(), "--the-boundary--\r\n") +
		"--the-boundary\r\nContent-Disposition: form-data; name=\"nonce\"\r\n\r\n" + want.Nonce + "\r\n--the-boundary--\r\n"
	r := s.send("POST", "/authenticator/"+id+"/face", strings.NewReader(late), map[string]string{"Content-Type": ct, "Accept": "application/json"})
	if r.status != 409 {
		t.Errorf("%d %s", r.status, r.body)
	}
	after := s.faceState(id)
	if after.AttemptsLeft != 2 || after.Nonce != want.Nonce || asked != 1 {
		t.Errorf("changed: %+v, asked %d", after, asked)
	}
}

func TestBadFaceUploads(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	nonce := s.faceState(id).Nonce
	for name, f := range map[string]faceState{
		"no account":       s.faceWith(id, nonce, "", alice),
		"blank account":    s.faceWith(id, nonce, "  ", alice),
		"long account":     s.faceWith(id, nonce, strings.Repeat("x", 257), alice),
		"no photo":         s.faceWith(id, nonce, aliceName),
		"six photos":       s.faceWith(id, nonce, aliceName, alice, alice, alice, alice, alice, alice),
		"not multipart":    s.faceCall("POST", "/authenticator/"+id+"/face?x", nil, nil),
		"unknown session":  s.faceWith(uuid.NewString(), nonce, aliceName, alice),
		"not a session":    s.faceWith("..%2f", nonce, aliceName, alice),
		"identity session": s.faceWith(s.create("default", "ppt_object", nil), nonce, aliceName, alice),
	} {
		if f.status < 400 || f.State == "match" || f.Reason == "" {
			t.Errorf("%s: %+v", name, f)
		}
	}
	if f := s.faceState(id); f.Nonce != nonce || f.AttemptsLeft != 3 {
		t.Errorf("changed: %+v", f)
	}
	r := s.send("POST", "/authenticator/"+id+"/face", nil, map[string]string{"Accept": "application/json", "Sec-Fetch-Site": "cross-site"})
	if r.status != 403 {
		t.Errorf("cross-site: %d", r.status)
	}
	if f := s.face(id, aliceName, append([]byte("\xff\xd8\xff"), make([]byte, 13<<20)...)); f.status != 413 || f.Reason != "image_too_large" || f.AttemptsLeft != 3 {
		t.Errorf("huge: %+v", f)
	}
	// Five photos, each of which counts.
	if f := s.face(id, aliceName, alice, alice, mallory); f.State != "open" || f.Reason != "face_mismatch" {
		t.Errorf("%+v", f)
	}
	if f := s.face(id, " "+strings.ToUpper(aliceName)+" ", alice, alice, alice, alice, alice); f.State != "match" {
		t.Errorf("%+v", f)
	}
}

// The page and its API say the same about every account name, and the engine
// does the same work.
func TestNoOracle(t *testing.T) {
	var mu sync.Mutex
	asked := map[string]int{}
	e := &engine{match: func(r *api.MatchRequest) (*api.Report, error) {
		mu.Lock()
		asked[fmt.Sprint(len(r.Selfies), r.LivenessMode, len(r.References) > 0)]++
		mu.Unlock()
		switch {
		case bytes.Equal(r.References[0], []byte("nobody")): // what the engine says of what is no template
			return matched(api.CannotTell, api.ReasonTemplateForeign), nil
		case bytes.Equal(r.Selfies[0], mallory):
			return matched(api.Fail, api.ReasonFaceMismatch), nil
		}
		return matched(api.CannotTell, api.ReasonFaceUncertain), nil
	}}
	s := startStepUps(t, e, nil)
	s.enrol("disabled", alice)
	if err := s.Directory().SetDisabled(t.Context(), "disabled", true, "test"); err != nil {
		t.Fatal(err)
	}
	var bodies []string
	reasons := map[string]string{}
	names := map[string][]byte{
		"nobody": alice, "cora": alice, "disabled": alice, aliceName + "\x00": mallory, aliceName: mallory, strings.ToUpper(aliceName): alice,
	}
	for name, selfie := range names {
		id := s.session("Face")
		text := ""
		for range 3 {
			f := s.face(id, name, selfie)
			text += fmt.Sprintf("%d %s %s %s %d %s\n", f.status, f.State, f.Reason, f.Message, f.AttemptsLeft, f.ReturnURL)
		}
		page := s.send("GET", "/authenticator/"+id, nil, nil)
		text += fmt.Sprint(page.status, strings.ReplaceAll(string(page.body), id, "<id>"), page.header.Get("Set-Cookie"))
		bodies = append(bodies, text)
		reasons[name] = s.response(id).reason(t)
	}
	for _, b := range bodies[1:] {
		if b != bodies[0] {
			t.Errorf("differs:\n%s\n---\n%s", b, bodies[0])
		}
	}
	if len(asked) != 1 {
		t.Errorf("the engine was asked in different ways: %v", asked)
	}
	if reasons["nobody"] != "face_mismatch" || reasons["cora"] != "face_mismatch" || reasons["disabled"] != "face_mismatch" {
		t.Errorf("%v", reasons)
	}
}

// Failed comparisons with one user are counted over sessions and restarts, and
// the limit is the same for names that nobody has.
func TestGuessing(t *testing.T) {
	for _, name := range []string{aliceName, "nobody"} {
		t.Run(name, func(t *testing.T) {
			s := startStepUps(t, &engine{}, func(o *kosmos.Options) { o.StepUpAttempts = 4; o.StepUpTTL = time.Hour })
			for i := range kosmos.MaxGuesses - 1 {
				if i%4 == 0 {
					s.clock.add(10 * time.Second)
				}
				if f := s.face(s.session("Face"), name, mallory); f.State != "open" {
					t.Fatalf("%d: %+v", i, f)
				}
			}
			running := s.session("Face")
			s.face(running, name, mallory) // the last one
			s.stop()
			old := s
			s = start(t, old.opt.Engine, func(o *kosmos.Options) {
				stepUps(o)
				o.StepUpAttempts, o.StepUpTTL, o.DataDir, o.Now = 4, time.Hour, old.opt.DataDir, old.clock.now
			})
			s.key = old.key
			s.clock = old.clock
			if f := s.faceState(running); f.AttemptsLeft != 3 || f.Reason != "face_mismatch" {
				t.Fatalf("attempts after the restart: %+v", f)
			}
			f := s.face(running, strings.ToUpper(name), alice)
			if f.status != 200 || f.State != "refused" || f.Reason != "too_many_attempts" {
				t.Errorf("%+v", f)
			}
			if r := s.response(running); r.status != 403 || r.reason(t) != "too_many_attempts" {
				t.Errorf("%d %s", r.status, r.body)
			}
			// Others are not concerned.
			s.enrol("somebody", alice)
			if f := s.face(s.session("Face"), "somebody", alice); f.State != "match" {
				t.Errorf("%+v", f)
			}
			// Another session is no help.
			if f := s.face(s.session("Face"), name, alice); f.State != "refused" || f.Reason != "too_many_attempts" {
				t.Errorf("another session: %+v", f)
			}
			if name == aliceName {
				s.clock.add(16 * time.Minute)
				if f := s.face(s.session("Face"), name, alice); f.State != "match" {
					t.Errorf("later: %+v", f)
				}
			}
		})
	}
}

// Ten failures in step-ups that were made for a user end with too_many_attempts,
// and concern no typed name.
func TestTooManyAttempts(t *testing.T) {
	for name, open := range map[string]func(*server) (reply, string){
		"v1":       func(s *server) (reply, string) { return s.openV1(aliceName) },
		"workflow": func(s *server) (reply, string) { return s.openWorkflow(aliceName) },
	} {
		t.Run(name, func(t *testing.T) {
			s := startStepUps(t, &engine{}, nil)
			fails := 0
			_, running := open(s)
			for fails < kosmos.MaxGuesses {
				r, id := open(s)
				if id == "" {
					t.Fatalf("after %d: %d %s", fails, r.status, r.body)
				}
				for range min(3, kosmos.MaxGuesses-fails) {
					s.face(id, "", mallory)
					fails++
				}
			}
			r, _ := open(s)
			if r.status != 429 || r.reason(t) != "too_many_attempts" || r.header.Get("Retry-After") != "900" {
				t.Errorf("%d %s, wait %q", r.status, r.body, r.header.Get("Retry-After"))
			}
			if f := s.face(running, "", alice); f.State != "refused" || f.Reason != "too_many_attempts" {
				t.Errorf("one that was open: %+v", f)
			}
			if f := s.face(s.session("Face"), aliceName, alice); f.State != "match" {
				t.Errorf("a typed name: %+v", f)
			}
			s.clock.add(15 * time.Minute)
			if r, id := open(s); id == "" {
				t.Errorf("later: %d %s", r.status, r.body)
			}
		})
	}
}

// Two uploads with one code that were both let in before either was counted.
func TestOneCodeOneCount(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	code := s.faceState(id).Nonce
	var wg sync.WaitGroup
	got := make([]error, 2)
	for i := range got {
		wg.Go(func() { got[i] = s.Begin(t.Context(), id, code, aliceName) })
	}
	wg.Wait()
	if (got[0] == nil) == (got[1] == nil) || !errors.Is(errors.Join(got...), kosmos.ErrReplayed) {
		t.Errorf("%v", got)
	}
	if f := s.faceState(id); f.AttemptsLeft != 2 || f.Nonce == code {
		t.Errorf("%+v", f)
	}
}

// Anybody with the link can post an answer that only the session's creator can
// judge. The page does not call that recognised, nor does the record.
func TestAnsweredElsewhere(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	a := newApp(s)
	body := a.body("{}")
	body["data"] = base64.StdEncoding.EncodeToString(bytes.Repeat([]byte("garbage "), 8))
	if r := a.answer(id, body, a.headers()); r.status != 200 {
		t.Fatalf("%d %s", r.status, r.body)
	}
	check := func(when, says string) {
		t.Helper()
		f := s.faceState(id)
		if f.State != "answered" || f.Reason != "" || !strings.Contains(f.Message, says) || strings.Contains(f.Message, "recognised") || f.Nonce != "" {
			t.Errorf("%s: %+v", when, f)
		}
		page := s.send("GET", "/authenticator/"+id, nil, map[string]string{"Accept": "text/html"})
		for _, no := range []string{"recognised", "It is you", `class="result success`, `data-status="match"`} {
			if bytes.Contains(page.body, []byte(no)) {
				t.Errorf("%s: the page has %q", when, no)
			}
		}
		if !bytes.Contains(page.body, []byte(says)) {
			t.Errorf("%s: the page lacks %q", when, says)
		}
	}
	check("at once", "answered elsewhere")
	if got := s.events(id); got != "KOSMOSCOPE_STEPUP_ANSWERED" {
		t.Errorf("events: %s", got)
	}
	if f := s.faceWith(id, "x", aliceName, alice); f.status != 410 || f.State != "answered" {
		t.Errorf("a photo afterwards: %+v", f)
	}
	s.clock.add(2 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("after the purge", "was answered")
}

// A person who is not recognised at once but then is, is recognised.
func TestSecondTry(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	s.face(id, aliceName, mallory)
	s.face(id, aliceName, []byte("not a photo"))
	if f := s.face(id, aliceName, alice); f.State != "match" {
		t.Errorf("%+v", f)
	}
}

func TestConcurrentFaces(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	for range 5 {
		id := s.session("Face")
		nonce := s.faceState(id).Nonce
		var wg sync.WaitGroup
		got := make([]faceState, 6)
		for i := range got {
			selfie := alice
			if i%2 == 1 {
				selfie = mallory
			}
			wg.Go(func() { got[i] = s.faceWith(id, nonce, aliceName, selfie) })
		}
		wg.Wait()
		done := 0
		for _, f := range got {
			switch {
			case f.status == 200:
				done++
			case f.status == 409 && (f.Reason == "upload_replayed" || f.Reason == "upload_running"), f.status == 410:
			default:
				t.Errorf("%+v", f)
			}
		}
		if done != 1 {
			t.Errorf("%d of the uploads were taken: %+v", done, got)
		}
	}
}

// A process that dies between the comparison and its being written leaves no
// answer, and the attempt stays counted. What it leaves is what is on the disk then.
func TestKilledWhileComparing(t *testing.T) {
	e := &engine{}
	s := startStepUps(t, e, func(o *kosmos.Options) { o.StepUpTTL = time.Hour })
	id := s.session("Face")
	dir := t.TempDir()
	e.match = func(*api.MatchRequest) (*api.Report, error) {
		if err := os.CopyFS(filepath.Join(dir, "copy"), os.DirFS(s.opt.DataDir)); err != nil {
			t.Error(err)
		}
		return matched(api.Pass, ""), nil
	}
	nonce := s.faceState(id).Nonce
	if f := s.faceWith(id, nonce, aliceName, alice); f.State != "match" {
		t.Fatalf("%+v", f)
	}
	e.match = nil
	after := start(t, e, func(o *kosmos.Options) {
		stepUps(o)
		o.DataDir, o.StepUpTTL, o.Now = filepath.Join(dir, "copy"), time.Hour, s.clock.now
	})
	after.key, after.clock = s.key, s.clock
	if r := after.response(id); r.status != 404 {
		t.Errorf("%d %s", r.status, r.body)
	}
	if f := after.faceState(id); f.State != "open" || f.AttemptsLeft != 2 || f.Nonce == nonce {
		t.Errorf("%+v", f)
	}
	if f := after.faceWith(id, nonce, aliceName, alice); f.status != 409 {
		t.Errorf("the code is good again: %+v", f)
	}
	if f := after.face(id, aliceName, alice); f.State != "match" {
		t.Errorf("%+v", f)
	}
}

func TestStepUpsAreSealed(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	s.face(id, aliceName, mallory)
	s.face(id, aliceName, alice)
	did, _ := s.opened(s.response(id))["did"].(string)
	s.v1("POST", "/v1/auth/stepup", `{"user_id":"`+aliceName+`","reason_code":"geo_anomaly"}`)
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{aliceName, "Pay 12.00", "Example Bank", "geo_anomaly", "\xff\xd8\xff", "userid", s.key.Public().String()} {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(f), text)
			}
		}
	}
	if did == "" {
		t.Error("no DID")
	}
}

func TestDecline(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	if f := s.faceCall("POST", "/authenticator/"+id+"/decline", nil, nil); f.status != 200 || f.State != "refused" || f.Reason != "declined" {
		t.Errorf("%+v", f)
	}
	if r := s.response(id); r.status != 403 || r.reason(t) != "declined" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if f := s.faceCall("POST", "/authenticator/"+id+"/decline", nil, nil); f.status != 410 {
		t.Errorf("again: %+v", f)
	}
	done := s.session("Face")
	s.face(done, aliceName, alice)
	if f := s.faceCall("POST", "/authenticator/"+done+"/decline", nil, nil); f.status != 410 || f.State != "match" {
		t.Errorf("%+v", f)
	}
}

func (s *server) v1(method, path, body string) reply {
	s.t.Helper()
	return s.send(method, path, strings.NewReader(body), map[string]string{"Authorization": "Bearer " + token, "Content-Type": "application/json"})
}

// openV1 starts a step-up; the id is empty if that was refused.
func (s *server) openV1(username string) (r reply, id string) {
	s.t.Helper()
	body, _ := json.Marshal(map[string]string{"user_id": username})
	r = s.v1("POST", "/v1/auth/stepup", string(body))
	id, _ = r.json(s.t)["challenge_id"].(string)
	return r, id
}

// openWorkflow does the same in the other profile.
func (s *server) openWorkflow(username string) (r reply, id string) {
	s.t.Helper()
	info := s.send("POST", "/api/r1/system/community_info/fetch", strings.NewReader(`{"dns":"`+s.dns+`","communityName":"default"}`), nil).json(s.t)
	part := func(name string) string { return info[name].(map[string]any)["id"].(string) }
	r, _ = s.workflow("POST", "/workflowapi/workflow_instance/tenant/"+part("tenant")+"/community/"+part("community")+"/create",
		map[string]any{"workflowId": "wf-1", "metaData": map[string]any{"username": username}})
	id, _ = r.json(s.t)["wfInstanceId"].(string)
	return r, id
}

// Against our guess: only the call that starts it is documented.
func TestStepUpV1(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	s.enrol("off", alice)
	if err := s.Directory().SetDisabled(t.Context(), "off", true, "test"); err != nil {
		t.Fatal(err)
	}
	for _, test := range []struct {
		body, reason string
		status       int
	}{
		{`{}`, "", 400},
		{`{"user_id":1}`, "", 400},
		{`{"user_id":"x","timeout_seconds":1}`, "", 400},
		{`{"user_id":"x","timeout_seconds":360000}`, "", 400},
		{`{"user_id":"nobody"}`, "user_unknown", 404},
		{`{"user_id":"cora"}`, "user_not_enrolled", 409},
		{`{"user_id":"off"}`, "user_disabled", 403},
	} {
		r := s.v1("POST", "/v1/auth/stepup", test.body)
		if r.status != test.status || test.reason != "" && r.reason(t) != test.reason {
			t.Errorf("%s: %d %s", test.body, r.status, r.body)
		}
	}
	if r := s.send("POST", "/v1/auth/stepup", strings.NewReader(`{"user_id":"cora"}`), nil); r.status != 401 {
		t.Errorf("no token: %d", r.status)
	}
	ask := func() string {
		t.Helper()
		r := s.v1("POST", "/v1/auth/stepup", `{"user_id":"`+aliceName+`","reason_code":"new_device","timeout_seconds":300}`)
		id, _ := r.json(t)["challenge_id"].(string)
		if r.status != 201 || id == "" {
			t.Fatalf("%d %s", r.status, r.body)
		}
		golden(t, "stepup_v1_created", r.body, id, "<id>", s.dns, "<dns>", s.clock.now().Add(5*time.Minute).UTC().Format(time.RFC3339), "<ends>")
		return id
	}
	result := func(id, name string) {
		t.Helper()
		golden(t, "stepup_v1_"+name, s.v1("GET", "/v1/auth/stepup/"+id, "").body, id, "<id>", aliceName, "<user>")
	}
	id := ask()
	result(id, "pending")
	if f := s.faceState(id); f.AccountNeeded {
		t.Errorf("%+v", f)
	}
	if f := s.face(id, "", alice); f.State != "match" {
		t.Fatalf("%+v", f)
	}
	result(id, "match")

	// Nobody else's face, whatever account name comes with it.
	s.enrol("mallory", mallory)
	id = ask()
	for range 3 {
		s.face(id, "mallory", mallory)
	}
	result(id, "no_match")
	id = ask()
	s.clock.add(5 * time.Minute)
	result(id, "expired")
	for _, id := range []string{uuid.NewString(), s.session("Face")} {
		if r := s.v1("GET", "/v1/auth/stepup/"+id, ""); r.status != 404 {
			t.Errorf("%d %s", r.status, r.body)
		}
	}
}

// workflow makes a call to the Workflow API and opens the answer.
func (s *server) workflow(method, path string, plain any) (reply, string) {
	s.t.Helper()
	k := s.shared("workflowapi")
	h := s.headers(k)
	var body *bytes.Reader
	if plain != nil {
		b, _ := json.Marshal(plain)
		outer, _ := json.Marshal(map[string]string{"data": seal(s.t, k, string(b))})
		body = bytes.NewReader(outer)
	} else {
		body = bytes.NewReader(nil)
	}
	r := s.send(method, path, body, h)
	sent, err := k.Open(h["requestid"])
	if err != nil {
		s.t.Fatal(err)
	}
	if r.header.Get("requestid") != string(sent) {
		s.t.Errorf("requestid is not echoed: %q", r.header.Get("requestid"))
	}
	var sealed struct{ Data, PublicKey string }
	if r.status == 200 && json.Unmarshal(r.body, &sealed) == nil {
		if r.body, err = k.Open(sealed.Data); err != nil {
			s.t.Fatal(err)
		}
	}
	return r, string(sent)
}

// Against our guess: the content of a node's answer is unknown.
func TestWorkflow(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	info := s.send("POST", "/api/r1/system/community_info/fetch", strings.NewReader(`{"dns":"`+s.dns+`","communityName":"default"}`), nil).json(t)
	tenant := info["tenant"].(map[string]any)["id"].(string)
	community := info["community"].(map[string]any)["id"].(string)
	where := "/tenant/" + tenant + "/community/" + community
	create := "/workflowapi/workflow_instance" + where + "/create"
	meta := func(username string) map[string]any {
		return map[string]any{"workflowId": "wf-1", "metaData": map[string]any{
			"firstName": "A", "username": username, "callbackUrl": "https://bridge.example/back?x=1", "application": "Example Bank", "transaction": "Pay"}}
	}
	for name, test := range map[string]struct {
		path   string
		body   any
		status int
		reason string
	}{
		"unknown workflow":   {create, map[string]any{"workflowId": "wf-2", "metaData": map[string]any{"username": "x"}}, 404, ""},
		"no workflow":        {create, map[string]any{}, 400, ""},
		"no user":            {create, map[string]any{"workflowId": "wf-1"}, 400, ""},
		"metadata is a text": {create, map[string]any{"workflowId": "wf-1", "metaData": "x"}, 400, ""},
		"bad callback":       {create, map[string]any{"workflowId": "wf-1", "metaData": map[string]any{"username": aliceName, "callbackUrl": "http://evil.example"}}, 400, ""},
		"unknown user":       {create, meta("nobody"), 404, "user_unknown"},
		"not enrolled":       {create, meta("cora"), 409, "user_not_enrolled"},
		"another tenant":     {"/workflowapi/workflow_instance/tenant/0/community/" + community + "/create", meta(aliceName), 404, ""},
	} {
		if r, _ := s.workflow("POST", test.path, test.body); r.status != test.status || test.reason != "" && r.reason(t) != test.reason {
			t.Errorf("%s: %d %s", name, r.status, r.body)
		}
	}
	ask := func() (id string) {
		t.Helper()
		r, _ := s.workflow("POST", create, meta(aliceName))
		id, _ = r.json(t)["wfInstanceId"].(string)
		if r.status != 200 || id == "" || r.json(t)["wfInstanceUrl"] != s.base+"/authenticator/"+id {
			t.Fatalf("%d %s", r.status, r.body)
		}
		return id
	}
	node := func(id, node string) reply {
		t.Helper()
		r, _ := s.workflow("GET", "/workflowapi/workflow_instance/"+id+where+"/node/"+node, nil)
		return r
	}
	id := ask()
	golden(t, "workflow_pending", node(id, "liveid").body, aliceName, "<user>")
	if r := node(id, "other"); r.status != 404 {
		t.Errorf("another node: %d", r.status)
	}
	if r := node(s.session("Face"), "liveid"); r.status != 404 {
		t.Errorf("no instance: %d", r.status)
	}
	if f := s.face(id, "", mallory); f.State != "open" {
		t.Fatalf("%+v", f)
	}
	golden(t, "workflow_started", node(id, "liveid").body, aliceName, "<user>")
	back := s.send("GET", "/authenticator/"+id+"/return", nil, nil)
	if back.header.Get("Location") != "/authenticator/"+id {
		t.Errorf("returned before the end: %v", back.header)
	}
	f := s.face(id, "", alice)
	if f.State != "match" || f.ReturnURL != "/authenticator/"+id+"/return" {
		t.Fatalf("%+v", f)
	}
	back = s.send("GET", f.ReturnURL, nil, nil)
	if want := "https://bridge.example/back?wfInstanceId=" + id + "&x=1"; back.status != 303 || back.header.Get("Location") != want {
		t.Errorf("%d %v", back.status, back.header)
	}
	r := node(id, "liveid")
	golden(t, "workflow_completed", r.body, aliceName, "<user>", r.json(t)["did"].(string), "<did>")

	id = ask()
	s.faceCall("POST", "/authenticator/"+id+"/decline", nil, nil)
	golden(t, "workflow_failed", node(id, "liveid").body, aliceName, "<user>")
	id = ask()
	s.clock.add(time.Hour)
	golden(t, "workflow_expired", node(id, "liveid").body, aliceName, "<user>")
}

func TestAuthenticatorPage(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	get := func(path, cookie string) reply {
		t.Helper()
		return s.send("GET", path, nil, map[string]string{"Cookie": cookie, "Accept": "text/html"})
	}
	page := get("/authenticator/"+id, "")
	for _, text := range []string{"Example Bank", "a•••@example.com", "Pay 12.00", "A sign-in from a device that was not used before",
		"Only go on if you are signing in right now, yourself", "Nobody should have sent you this link", `name="account"`, `name="nonce"`} {
		if !bytes.Contains(page.body, []byte(text)) {
			t.Errorf("the page lacks %q", text)
		}
	}
	if csp := page.header.Get("Content-Security-Policy"); !strings.Contains(csp, "default-src 'none'") || !strings.Contains(csp, "frame-ancestors 'none'") {
		t.Errorf("%v", page.header)
	}
	// Without a script: a form, and the page again.
	post := func(selfie []byte) reply {
		t.Helper()
		body, ct := ordered([][2]string{{"nonce", s.faceState(id).Nonce}, {"account", aliceName}}, selfie)
		return s.send("POST", "/authenticator/"+id+"/face", body, map[string]string{"Content-Type": ct, "Accept": "text/html"})
	}
	if r := post(mallory); r.status != 303 || r.header.Get("Location") != "/authenticator/"+id || r.header.Get("Set-Cookie") != "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	page = get("/authenticator/"+id, "")
	if !bytes.Contains(page.body, []byte("You were not recognised. Face the camera")) || !bytes.Contains(page.body, []byte("2 attempts left.")) {
		t.Errorf("%s", page.body)
	}
	body, ct := ordered([][2]string{{"nonce", "x"}, {"account", aliceName}}, alice)
	r := s.send("POST", "/authenticator/"+id+"/face", body, map[string]string{"Content-Type": ct})
	if r.status != 303 || !bytes.Contains(get(r.header.Get("Location"), "").body, []byte("already sent")) {
		t.Errorf("%d %v", r.status, r.header)
	}
	r = post(alice)
	cookie := r.header.Get("Set-Cookie")
	if r.status != 303 || !strings.Contains(cookie, "HttpOnly; Secure; SameSite=Lax") || strings.Contains(cookie, "alice") {
		t.Fatalf("%d %v", r.status, r.header)
	}
	page = get("/authenticator/"+id, "")
	if !bytes.Contains(page.body, []byte(`data-status="match"`)) {
		t.Errorf("%s", page.body)
	}
	cookie, _, _ = strings.Cut(cookie, ";")
	if page := get("/authenticator/"+s.session("Face"), cookie); !bytes.Contains(page.body, []byte(`value="`+aliceName+`"`)) {
		t.Error("the account is not remembered")
	}
	if page := get("/authenticator/"+s.session("Face"), "__Secure-kosmos-account=AAAA"); page.status != 200 || !bytes.Contains(page.body, []byte(`name="account" value=""`)) {
		t.Error("a made-up cookie")
	}
	if r := get("/authenticator/"+uuid.NewString(), ""); r.status != 404 || !bytes.Contains(r.body, []byte("This link is not valid")) {
		t.Errorf("%d", r.status)
	}
	files := regexp.MustCompile(`/static/[^"]+`).FindAllString(string(page.body), -1)
	if len(files) != 3 { // a script and two styles
		t.Errorf("files %v", files)
	}
	for _, path := range files {
		if r := s.send("GET", path, nil, nil); r.status != 200 || !strings.Contains(r.header.Get("Cache-Control"), "immutable") || len(r.body) == 0 {
			t.Errorf("%s: %d", path, r.status)
		}
	}
	// Foreign text is shown as text.
	evil := strings.ReplaceAll(uwlBody("Face"), "Example Bank", `<script>alert(1)</script>`)
	c := s.send("PUT", "/sessions/session/new", strings.NewReader(evil), s.headers(s.shared("sessions"))).json(t)
	if page := get("/authenticator/"+c["sessionId"].(string), ""); bytes.Contains(page.body, []byte("<script>alert")) {
		t.Error("a script came through")
	}
}

func TestStepUpLimits(t *testing.T) {
	s := startStepUps(t, &engine{}, nil)
	id := s.session("Face")
	for range 240 {
		s.faceState(id)
	}
	r := s.send("GET", "/authenticator/"+id+"/state", nil, map[string]string{"Accept": "application/json"})
	if r.status != http.StatusTooManyRequests || r.header.Get("Retry-After") == "" {
		t.Errorf("%d %v", r.status, r.header)
	}
	if r := s.send("GET", "/sessions/session/"+id, nil, nil); r.status != http.StatusTooManyRequests || r.reason(t) != "rate_limited" {
		t.Errorf("%d %s", r.status, r.body)
	}
	if r := s.response(id); r.status != 404 { // the creator is not concerned
		t.Errorf("%d %s", r.status, r.body)
	}
}

func TestShown(t *testing.T) {
	for in, want := range map[string]string{
		" a\tb\n c ": "a b c", "Bank\u202etxt": "Banktxt", "zero\u200bwidth": "zerowidth", "\x00": "", "ééééééééééé": "ééééééééé…", "\xff": "",
	} {
		if got := kosmos.Shown(in, 10); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	for in, want := range map[string]string{"ada@example.com": "a•••@example.com", "ada": "a•••", "": "•••", "@x": "•••@x", "äh@y": "ä•••@y"} {
		if got := kosmos.MaskAccount(in); got != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
}

func FuzzAnswer(f *testing.F) {
	long := base64.StdEncoding.EncodeToString(make([]byte, 40))
	f.Add([]byte(`{"data":"` + long + `","publicKey":"AA","did":"ab","appid":"x","ial":"IAL1","eventData":{"a":1}}`))
	f.Add([]byte(`{"data":"AAAA","did":"x"}`))
	f.Add([]byte(`{"data":"` + long + `","did":"x","ial":{"a":1}}`))
	f.Add([]byte(`[]`))
	f.Fuzz(func(t *testing.T, body []byte) {
		data, did, err := kosmos.ParseAnswer(body)
		if err != nil {
			return
		}
		raw, err := base64.StdEncoding.DecodeString(data)
		if err != nil || len(raw) < 32 || did == "" || len(did) > 128 {
			t.Errorf("took %q", body)
		}
	})
}

func FuzzFaceUpload(f *testing.F) {
	body, _ := ordered([][2]string{{"nonce", "n"}, {"account", "a"}}, alice, mallory)
	f.Add(body.Bytes())
	f.Add([]byte("--the-boundary\r\nContent-Disposition: form-data; name=\"file\"\r\n\r\n\xff\xd8\xff"))
	f.Add([]byte("--the-boundary\r\nContent-Disposition: form-data; name=nonce\r\n\r\nn\r\n--the-boundary--"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, body []byte) {
		r := httptest.NewRequest("POST", "/", bytes.NewReader(body))
		r.Header.Set("Content-Type", "multipart/form-data; boundary=the-boundary")
		said := map[string]string{"nonce": ""}
		asked := 0
		images, bad, err := kosmos.ReadParts(httptest.NewRecorder(), r, said, func() error { asked++; return nil })
		switch {
		case err != nil:
			t.Error(err)
		case asked > 1, len(said) != 1:
			t.Errorf("asked %d times, said %d", asked, len(said))
		case bad != "" && images != nil:
			t.Error("bad and good")
		case bad == "" && (asked == 0 || len(images) == 0 || len(images) > 5):
			t.Errorf("%d images, asked %d times", len(images), asked)
		}
		for _, b := range images {
			if !bytes.HasPrefix(b, []byte("\xff\xd8\xff")) && !bytes.HasPrefix(b, []byte("\x89PNG")) {
				t.Errorf("taken for a photo: %q", b)
			}
		}
	})
}
