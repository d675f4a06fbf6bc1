package kosmos_test

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/jpeg"
	"io"
	"log/slog"
	"mime/multipart"
	"net"
	"net/http"
	"os"
	"path/filepath"
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

var update = flag.Bool("update", false, "rewrite the golden files")

const (
	license = "test-license"
	token   = "test-token"
)

// engine is a stand-in for tests. What is not set passes.
type engine struct {
	verify   func(*api.VerifyRequest) (*api.Report, error)
	document func(*api.DocumentRequest) (*api.Report, error)
	selfie   func(*api.SelfieRequest) (*api.Report, error)
	match    func(*api.MatchRequest) (*api.Report, error)
	draw     func() (*api.Challenge, error)
	frame    func(*api.FrameRequest) (*api.FrameReport, error)

	mu       sync.Mutex
	verified []*api.VerifyRequest
}

func (e *engine) Verify(_ context.Context, r *api.VerifyRequest) (*api.Report, error) {
	e.mu.Lock()
	e.verified = append(e.verified, r)
	e.mu.Unlock()
	if e.verify != nil {
		return e.verify(r)
	}
	p := passed(r.DocumentTypes...)
	selfies := r.Selfies
	if r.Liveness != nil {
		p.Checks = append(p.Checks, alive()...)
		selfies = faces(r.Liveness)
		p.Selfie = selfies[0]
	}
	if r.Templates {
		p.Templates = &api.Templates{Selfie: faceOf(selfies[0]), Portrait: faceOf(r.DocumentFront)}
	}
	return p, nil
}

// faceOf is the template of a photo: photos are of one person if they are one file.
func faceOf(photo []byte) []byte {
	sum := sha256.Sum256(photo)
	return fmt.Appendf(nil, "face template %x", sum[:8])
}

// Match compares by faceOf: every selfie and probe must be the first reference.
func (e *engine) Match(_ context.Context, r *api.MatchRequest) (*api.Report, error) {
	if e.match != nil {
		return e.match(r)
	}
	probes := slices.Clone(r.Probes)
	for _, s := range append(faces(r.Liveness), r.Selfies...) {
		probes = append(probes, faceOf(s))
	}
	m := matched(api.Pass, "")
	if bytes.Equal(r.References[0], []byte("nobody")) {
		m = matched(api.CannotTell, api.ReasonTemplateForeign)
	} else if slices.ContainsFunc(probes, func(p []byte) bool { return !bytes.Equal(p, r.References[0]) }) {
		m = matched(api.Fail, api.ReasonFaceMismatch)
	}
	if r.Liveness != nil {
		m.Checks = append(append([]api.Check{{Name: api.CheckSelfie, Outcome: api.Pass}}, m.Checks...), alive()...)
	}
	return m, nil
}

// alive are the checks of a sequence that passed.
func alive() (all []api.Check) {
	for _, name := range []string{api.CheckLiveness, api.CheckLivenessFrames, api.CheckLivenessActions, api.CheckLivenessDepth, api.CheckLivenessSameFace} {
		all = append(all, api.Check{Name: name, Outcome: api.Pass})
	}
	return all
}

// frameMark comes after the photo in what these tests send as a frame, and what
// tells frames apart after it.
const frameMark = "#frame"

// faces are the photos in a sequence's frames.
func faces(l *api.Liveness) (all [][]byte) {
	if l == nil {
		return nil
	}
	for _, f := range l.Frames {
		photo, _, _ := bytes.Cut(f.Image, []byte(frameMark))
		all = append(all, photo)
	}
	return all
}

// Challenge asks for one turn.
func (e *engine) Challenge(context.Context) (*api.Challenge, error) {
	if e.draw != nil {
		return e.draw()
	}
	return &api.Challenge{Nonce: strings.ReplaceAll(uuid.NewString(), "-", ""), ActionMS: 10_000, TotalMS: 60_000,
		Actions: []string{api.ActionStraight, api.ActionLeft, api.ActionStraight}}, nil
}

// Frame takes every frame as its action done.
func (e *engine) Frame(_ context.Context, r *api.FrameRequest) (*api.FrameReport, error) {
	if e.frame != nil {
		return e.frame(r)
	}
	return &api.FrameReport{Hint: api.HintGood, Keep: true, Done: true, Measure: json.RawMessage(`{"n":1}`)}, nil
}

// matched is the report of a comparison.
func matched(outcome api.Outcome, reason string) *api.Report {
	score, threshold := 0.93, 0.5
	if outcome != api.Pass {
		score = 0.12
	}
	return &api.Report{
		Verdict: outcome, Reason: reason,
		Checks:   []api.Check{{Name: api.CheckFaceMatch, Outcome: outcome, Score: &score, Threshold: &threshold}},
		Evidence: []api.Evidence{},
		Engine:   api.Info{Name: "kosmoscope-engine", Version: "test", Framework: "test-framework"},
	}
}

func (e *engine) Document(_ context.Context, r *api.DocumentRequest) (*api.Report, error) {
	if e.document != nil {
		return e.document(r)
	}
	return passed(r.DocumentTypes...), nil
}

func (e *engine) Selfie(_ context.Context, r *api.SelfieRequest) (*api.Report, error) {
	if e.selfie != nil {
		return e.selfie(r)
	}
	return &api.Report{Verdict: api.Pass, Checks: []api.Check{{Name: api.CheckSelfie, Outcome: api.Pass}}}, nil
}

func (e *engine) calls() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return len(e.verified)
}

// passed is the report of a specimen whose every check passed: the ICAO 9303
// specimen passport, or a made-up card.
func passed(types ...string) *api.Report {
	score, threshold := 0.71, 0.5
	check := func(name string) api.Check { return api.Check{Name: name, Outcome: api.Pass, DurationMS: 1.5} }
	match := check(api.CheckFaceMatch)
	match.Score, match.Threshold = &score, &threshold
	r := &api.Report{
		Verdict: api.Pass,
		Checks: []api.Check{
			check(api.CheckDocumentImage), check(api.CheckDocumentType), check(api.CheckMRZ), check(api.CheckMRZDigits),
			check(api.CheckDocumentExpiry), check(api.CheckDocumentPortrait), check(api.CheckSelfie), match,
		},
		Evidence: []api.Evidence{{Type: "document", DocumentType: api.Passport, Format: "TD3", Country: "UTO", SHA256: strings.Repeat("0", 64)}},
		Document: &api.Document{
			Type: api.Passport, Format: "TD3", IssuingCountry: "UTO", Number: "L898902C3", Surname: "ERIKSSON", GivenNames: "ANNA MARIA",
			Nationality: "UTO", BirthDate: "1974-08-12", Sex: "F", ExpiryDate: "2032-04-15",
			MRZ: []string{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F3204159ZE184226B<<<<<10"},
		},
		Portrait: photo(40, 50, color.RGBA{9, 9, 99, 255}),
		Engine:   api.Info{Name: "kosmoscope-engine", Version: "test", Framework: "test-framework"},
	}
	if len(types) == 1 && types[0] == api.IDCard {
		r.Evidence[0].DocumentType, r.Evidence[0].Format = api.IDCard, "TD1"
		r.Document = &api.Document{
			Type: api.IDCard, Format: "TD1", IssuingCountry: "D", Number: "D23145890", Surname: "MUSTERMANN", GivenNames: "ERIKA",
			Nationality: "UTO", BirthDate: "1974-08-12", Sex: "X", ExpiryDate: "2032-04-15",
			MRZ: []string{"IRD<<D231458907<<<<<<<<<<<<<<<", "7408122X3204159UTO<<<<<<<<<<<6", "MUSTERMANN<<ERIKA<<<<<<<<<<<<<"},
		}
	}
	return r
}

func refused(reason string, outcome api.Outcome) *api.Report {
	r := passed()
	r.Verdict, r.Reason = outcome, reason
	r.Checks = r.Checks[:3]
	r.Checks[2].Outcome = outcome
	r.Document, r.Portrait = nil, nil
	return r
}

func photo(w, h int, c color.Color) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			img.Set(x, y, c)
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, img, nil); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// clock is the servers' time.
type clock struct {
	mu sync.Mutex
	t  time.Time
}

func (c *clock) now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.t
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.t = c.t.Add(d)
}

type server struct {
	*kosmos.Server
	t     *testing.T
	opt   kosmos.Options
	clock *clock
	http  *http.Client
	base  string
	dns   string
	key   *blockid.PrivateKey
	stop  func()
}

// start runs a server over TLS on a loopback port.
func start(t *testing.T, e kosmos.Engine, change func(*kosmos.Options)) *server {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	c := &clock{t: time.Now()} // certificates are checked against the real time
	opt := kosmos.Options{
		DNS: fmt.Sprintf("localhost:%d", ln.Addr().(*net.TCPAddr).Port), LicenseKey: license, V1Tokens: []string{token},
		DVCs: []kosmos.DVC{
			{ID: "default", Selfie: true},
			{ID: "document-only"},
			{ID: "active", Liveness: api.LivenessActive, Selfie: true},
			{ID: "passports", Selfie: true, DocumentTypes: []string{api.Passport}},
		},
		Engine: e, DataDir: t.TempDir(), EngineRetries: []time.Duration{1, 1},
		Now: c.now, Logger: slog.New(slog.DiscardHandler),
	}
	if change != nil {
		change(&opt)
	}
	srv, err := kosmos.New(opt)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- srv.Serve(ctx, ln) }()
	pem, err := os.ReadFile(srv.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	key, err := blockid.GenerateKey(opt.Curve)
	if opt.Curve == "" {
		key, err = blockid.GenerateKey(blockid.Auto)
	}
	if err != nil {
		t.Fatal(err)
	}
	s := &server{Server: srv, t: t, opt: opt, clock: c, key: key, dns: opt.DNS, base: "https://" + opt.DNS}
	s.http = &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * time.Minute,
	}
	s.stop = sync.OnceFunc(func() {
		s.http.CloseIdleConnections()
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if err := srv.Close(); err != nil {
			t.Error(err)
		}
	})
	t.Cleanup(s.stop)
	return s
}

type reply struct {
	status int
	header http.Header
	body   []byte
}

func (r reply) json(t *testing.T) map[string]any {
	t.Helper()
	var m map[string]any
	if err := json.Unmarshal(r.body, &m); err != nil {
		t.Fatalf("not JSON (%d): %s", r.status, r.body)
	}
	return m
}

func (s *server) send(method, path string, body io.Reader, header map[string]string) reply {
	s.t.Helper()
	req, err := http.NewRequest(method, s.base+path, body)
	if err != nil {
		s.t.Fatal(err)
	}
	for k, v := range header {
		req.Header.Set(k, v)
	}
	resp, err := s.http.Do(req)
	if err != nil {
		s.t.Fatal(err)
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		s.t.Fatal(err)
	}
	return reply{resp.StatusCode, resp.Header, b}
}

// serviceKey fetches a service's public key as it is now.
func (s *server) serviceKey(service string) *blockid.PublicKey {
	s.t.Helper()
	path, header := "/"+service+"/publickeys", map[string]string(nil)
	if service == "community" {
		path, header = "/api/r1/community/default/publickeys", map[string]string{"X-TenantTag": "kosmoscope"}
	}
	text, _ := s.send("GET", path, nil, header).json(s.t)["publicKey"].(string)
	key, err := blockid.ParsePublicKey(blockid.Auto, text)
	if err != nil {
		s.t.Fatal(err)
	}
	return key
}

func (s *server) shared(service string) *blockid.SharedKey {
	s.t.Helper()
	k, err := s.key.Shared(s.serviceKey(service))
	if err != nil {
		s.t.Fatal(err)
	}
	return k
}

func seal(t *testing.T, k *blockid.SharedKey, text string) string {
	t.Helper()
	out, err := k.Seal([]byte(text))
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func (s *server) requestID() string {
	return fmt.Sprintf(`{"ts":%d,"appid":"test","uuid":%q}`, s.clock.now().Unix(), uuid.NewString())
}

// headers are those of a good encrypted request.
func (s *server) headers(k *blockid.SharedKey) map[string]string {
	return map[string]string{
		"Content-Type": "application/json", "charset": "utf-8", "publickey": s.key.Public().String(),
		"licensekey": seal(s.t, k, license), "requestid": seal(s.t, k, s.requestID()),
	}
}

// call makes an encrypted call and returns the answer; a sealed one is opened.
func (s *server) call(path string, plain any, change func(h map[string]string)) reply {
	s.t.Helper()
	k := s.shared("docuverify")
	b, err := json.Marshal(plain)
	if err != nil {
		s.t.Fatal(err)
	}
	h := s.headers(k)
	if change != nil {
		change(h)
	}
	body, _ := json.Marshal(map[string]string{"data": seal(s.t, k, string(b))})
	r := s.send("POST", path, bytes.NewReader(body), h)
	var sealed struct{ Data, PublicKey string }
	if r.status == 200 && json.Unmarshal(r.body, &sealed) == nil && sealed.Data != "" {
		if sealed.PublicKey != s.serviceKey("docuverify").String() {
			s.t.Error("the answer names another public key")
		}
		if r.body, err = k.Open(sealed.Data); err != nil {
			s.t.Fatal(err)
		}
	}
	return r
}

func (s *server) createBody(dvc, documentType string, user any) map[string]any {
	rq := map[string]any{
		"tenantDNS": s.dns, "communityName": "default", "documentType": documentType,
		"userUID": uuid.NewString(), "did": uuid.NewString(),
	}
	if user != nil {
		rq["user"] = user
	}
	return map[string]any{"dvcID": dvc, "sessionRequest": rq}
}

func (s *server) create(dvc, documentType string, user any) string {
	s.t.Helper()
	r := s.call("/docuverify/document_share_session/create", s.createBody(dvc, documentType, user), nil)
	m := r.json(s.t)
	id, _ := m["sessionId"].(string)
	if r.status != 200 || id == "" || m["url"] != s.base+"/idproofing/session/"+id || len(m) != 2 {
		s.t.Fatalf("create: %d %s", r.status, r.body)
	}
	return id
}

func (s *server) result(version, dvc, id string) []byte {
	s.t.Helper()
	path := "/docuverify/document_share_session/result"
	if version == "v3" {
		path = "/docuverify/v3/document_share_session/result"
	}
	r := s.call(path, map[string]string{"dvcID": dvc, "sessionId": id}, nil)
	if r.status != 200 {
		s.t.Fatalf("result: %d %s", r.status, r.body)
	}
	return r.body
}

func (s *server) state(dvc, id string) string {
	s.t.Helper()
	var r struct{ SessionResult, ResponseStatus string }
	if err := json.Unmarshal(s.result("v3", dvc, id), &r); err != nil {
		s.t.Fatal(err)
	}
	return r.SessionResult + r.ResponseStatus
}

type act struct {
	State        string
	Step         string
	Usable       *bool
	Reason       string
	Message      string
	AttemptsLeft int    `json:"attempts_left"`
	ReturnURL    string `json:"return_url"`
	moment
	status int
}

// moment is the part of an answer that is about a sequence.
type moment struct {
	Nonce      string
	Actions    int
	Action     string
	Index      int
	ActionMS   int64 `json:"action_ms"`
	TotalMS    int64 `json:"total_ms"`
	Hint       string
	Done, Over bool
}

func (s *server) act(id, what string, body io.Reader, contentType string) act {
	s.t.Helper()
	h := map[string]string{"Accept": "application/json"}
	if contentType != "" {
		h["Content-Type"] = contentType
	}
	r := s.send("POST", "/idproofing/session/"+id+"/"+what, body, h)
	a := act{status: r.status}
	if err := json.Unmarshal(r.body, &a); err != nil {
		s.t.Fatalf("%s: %d %s", what, r.status, r.body)
	}
	return a
}

func form(fields map[string]string, files ...[]byte) (io.Reader, string) {
	var b bytes.Buffer
	w := multipart.NewWriter(&b)
	for k, v := range fields {
		_ = w.WriteField(k, v)
	}
	for i, f := range files {
		part, _ := w.CreateFormFile("file", fmt.Sprintf("photo-%d", i))
		_, _ = part.Write(f)
	}
	_ = w.Close()
	return &b, w.FormDataContentType()
}

func (s *server) upload(id, side string, files ...[]byte) act {
	s.t.Helper()
	what, fields := "document", map[string]string{"side": side}
	if side == "selfie" {
		what, fields = "selfie", nil
	}
	body, ct := form(fields, files...)
	return s.act(id, what, body, ct)
}

var (
	frontPhoto  = photo(160, 100, color.RGBA{200, 200, 190, 255})
	backPhoto   = photo(160, 100, color.RGBA{190, 200, 200, 255})
	selfiePhoto = photo(80, 100, color.RGBA{150, 120, 100, 255})
)

// prove walks through the page to the verdict.
func (s *server) prove(id string, selfie bool) {
	s.t.Helper()
	if a := s.act(id, "start", nil, ""); a.State != "started" {
		s.t.Fatalf("start: %+v", a)
	}
	a := s.upload(id, "front", frontPhoto)
	if a.Step == "back" {
		a = s.upload(id, "back", backPhoto)
	}
	if selfie {
		if a = s.upload(id, "selfie", selfiePhoto); a.Reason == "camera_needed" {
			a = s.sit("/idproofing/session/"+id, selfiePhoto, "")
		}
	}
	if a.State != "captured" {
		s.t.Fatalf("captured: %+v", a)
	}
	if a := s.act(id, "submit", nil, ""); a.status != 200 {
		s.t.Fatalf("submit: %+v", a)
	}
	s.WaitJudged()
}

// golden compares JSON with a file. Values that differ from run to run are
// given as pairs of what is there and what stands for it.
func golden(t *testing.T, name string, got []byte, replace ...string) {
	t.Helper()
	var pretty bytes.Buffer
	if err := json.Indent(&pretty, []byte(strings.NewReplacer(replace...).Replace(string(got))), "", "  "); err != nil {
		t.Fatalf("%v: %s", err, got)
	}
	pretty.WriteByte('\n')
	file := filepath.Join("testdata", name+".json")
	if *update {
		if err := os.WriteFile(file, pretty.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(want, pretty.Bytes()) {
		t.Errorf("%s differs; got:\n%s", file, pretty.String())
	}
}

var errDown = fmt.Errorf("%w: connection refused", api.ErrUnreachable)
