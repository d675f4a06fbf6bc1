package kosmos_test

import (
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/kosmos"
)

func record(h http.Handler, method, path string, header map[string]string, body []byte) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, bytes.NewReader(body))
	for k, v := range header {
		r.Header.Set(k, v)
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// Our own client, which is written from the same reference but shares no types
// with the server, cannot tell it from 1Kosmos.
func TestBlockidClient(t *testing.T) {
	for _, curve := range []blockid.Curve{blockid.Secp256k1, blockid.P256} {
		t.Run(string(curve), func(t *testing.T) {
			ctx := t.Context()
			s := start(t, &engine{}, func(o *kosmos.Options) { o.Curve = curve })
			c, err := blockid.NewClient(blockid.Config{DNS: s.dns, Community: "default", LicenseKey: license, AppID: "test", HTTPClient: s.http, Now: s.clock.now})
			if err != nil {
				t.Fatal(err)
			}
			v, err := c.CreateIDV(ctx, blockid.IDVRequest{DVCID: "default", DocumentType: blockid.Passport, User: blockid.IDVUser{FirstName: "Änna", LastName: "Eriksson"}})
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.IDVResult(ctx, "default", v.ID)
			if err != nil || r.Status != blockid.StatusPending {
				t.Fatalf("pending: %v %v", r, err)
			}
			s.prove(v.ID, true)
			// "Ä" is AE or A in a zone that says ANNA, so the name check passes.
			if r, err = c.IDVResult(ctx, "default", v.ID); err != nil || r.Status != blockid.StatusSuccess || r.Document == nil || r.Extra["kosmoscope"] == nil {
				t.Fatalf("v3: %v %v", r, err)
			}
			// Keys change under the client's cache.
			if err := s.RotateKeys(ctx); err != nil {
				t.Fatal(err)
			}
			if r, err = c.IDVResultV1(ctx, "default", v.ID); err != nil || r.Status != blockid.StatusSuccess || r.LiveID == nil {
				t.Fatalf("v1 after rotation: %v %v", r, err)
			}
			ial, err := c.IAL(ctx, "ada")
			if err != nil {
				t.Fatal(err)
			}
			if level, until := ial.At(s.clock.now()); level != blockid.IAL2 || until.IsZero() {
				t.Fatalf("ial: %v until %v", level, until)
			}
			if _, err := c.IAL(ctx, "nobody"); blockid.KindOf(err) != blockid.KindNotFound {
				t.Errorf("unknown user: %v", err)
			}
			if _, err := c.CreateIDV(ctx, blockid.IDVRequest{DVCID: "x", DocumentType: blockid.Passport}); blockid.KindOf(err) != blockid.KindNotFound {
				t.Errorf("unknown dvc: %v", err)
			}
			v1, err := blockid.NewV1Client(blockid.V1Config{DNS: s.dns, Token: token, HTTPClient: s.http, Now: s.clock.now})
			if err != nil {
				t.Fatal(err)
			}
			v, err = v1.CreateSession(ctx, blockid.V1Request{DocumentTypes: []string{"passport"}, LivenessMode: "none", Metadata: map[string]string{"username": "ada"}})
			if err != nil {
				t.Fatal(err)
			}
			s.prove(v.ID, true)
			if r, err := v1.Session(ctx, v.ID); err != nil || r.Status != blockid.StatusSuccess || r.Level != blockid.IAL2 {
				t.Fatalf("/v1: %v %v", r, err)
			}
		})
	}
}

func TestRotation(t *testing.T) {
	s := start(t, &engine{}, nil)
	old, other := s.shared("docuverify"), s.serviceKey("sessions").String()
	if err := s.RotateKeys(t.Context(), "docuverify"); err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"data":"` + seal(t, old, `{}`) + `"}`)
	r := s.send("POST", "/docuverify/document_share_session/create", bytes.NewReader(body), s.headers(old))
	if r.status != 400 || !strings.Contains(string(r.body), "can't be decrypted") {
		t.Errorf("old key: %d %s", r.status, r.body)
	}
	if s.serviceKey("sessions").String() != other {
		t.Error("another service's key changed")
	}
	s.create("default", "ppt_object", nil) // with the new key
	if err := s.RotateKeys(t.Context(), "no-such-service"); err == nil {
		t.Error("rotated a service that does not exist")
	}
}

// childEnv makes the test binary be the server that is killed.
const childEnv = "KOSMOS_TEST_CHILD"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childEnv); dir != "" {
		child(dir)
		return
	}
	os.Exit(m.Run())
}

func childOptions(dir string, e kosmos.Engine) kosmos.Options {
	return kosmos.Options{DNS: "localhost:1", LicenseKey: license, V1Tokens: []string{token}, Engine: e, DataDir: dir,
		EngineRetries: []time.Duration{1}, Logger: slog.New(slog.DiscardHandler)}
}

// child brings a session to the verdict and tells its id while the engine is busy with it.
func child(dir string) {
	asked := make(chan struct{})
	srv, err := kosmos.New(childOptions(dir, &engine{verify: func(*api.VerifyRequest) (*api.Report, error) {
		close(asked)
		select {}
	}}))
	if err != nil {
		panic(err)
	}
	w := record(srv.Handler(), "POST", "/v1/verify/sessions", map[string]string{"Authorization": "Bearer " + token}, []byte(`{"document_types":["passport"],"liveness_mode":"none"}`))
	var v struct {
		ID string `json:"session_id"`
	}
	if err := json.Unmarshal(w.Body.Bytes(), &v); err != nil {
		panic(err)
	}
	at := "/idproofing/session/" + v.ID
	record(srv.Handler(), "POST", at+"/start", nil, nil)
	for what, file := range map[string][]byte{"document": frontPhoto, "selfie": selfiePhoto} {
		body, ct := form(nil, file)
		var b bytes.Buffer
		_, _ = b.ReadFrom(body)
		record(srv.Handler(), "POST", at+"/"+what, map[string]string{"Content-Type": ct}, b.Bytes())
	}
	record(srv.Handler(), "POST", at+"/submit", nil, nil)
	<-asked
	_, _ = os.Stdout.WriteString(v.ID + "\n")
	select {}
}

func TestKilledWhileJudging(t *testing.T) {
	dir := t.TempDir()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), childEnv+"="+dir)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line := make([]byte, 37)
	for n := 0; n < len(line); {
		k, err := out.Read(line[n:])
		if err != nil {
			_ = cmd.Process.Kill()
			t.Fatalf("the child said %q: %v", line[:n], err)
		}
		n += k
	}
	if err := cmd.Process.Kill(); err != nil { // SIGKILL
		t.Fatal(err)
	}
	_ = cmd.Wait()
	id := string(line[:36])

	e := &engine{}
	srv, err := kosmos.New(childOptions(dir, e))
	if err != nil {
		t.Fatal(err)
	}
	defer srv.Close()
	srv.WaitJudged()
	w := record(srv.Handler(), "GET", "/v1/verify/sessions/"+id+"/status", map[string]string{"Authorization": "Bearer " + token}, nil)
	if !strings.Contains(w.Body.String(), `"status":"completed"`) || e.calls() != 1 {
		t.Errorf("after the restart: %s, %d calls", w.Body, e.calls())
	}
}

// A restart keeps keys, certificate authority and sessions; an orderly stop
// while judging is no verdict.
func TestRestart(t *testing.T) {
	dir := t.TempDir()
	asked := make(chan struct{}, 9)
	hang := &hanging{asked: asked}
	s := start(t, hang, func(o *kosmos.Options) { o.DataDir = dir })
	key, id := s.serviceKey("docuverify").String(), s.create("default", "ppt_object", nil)
	ca, err := os.ReadFile(s.CAFile())
	if err != nil {
		t.Fatal(err)
	}
	s.act(id, "start", nil, "")
	s.upload(id, "front", frontPhoto)
	s.upload(id, "selfie", selfiePhoto)
	s.act(id, "submit", nil, "")
	<-asked
	s.stop()

	s2 := start(t, &engine{}, func(o *kosmos.Options) { o.DataDir = dir })
	s2.WaitJudged()
	if s2.serviceKey("docuverify").String() != key {
		t.Error("the key changed")
	}
	if again, err := os.ReadFile(s2.CAFile()); err != nil || !bytes.Equal(again, ca) {
		t.Error("the certificate authority changed")
	}
	if st := s2.state("default", id); st != "SUCCESS" {
		t.Errorf("state %s", st)
	}
}

// hanging answers guidance and hangs at the verdict until the call is given up.
type hanging struct {
	engine
	asked chan struct{}
}

func (h *hanging) Verify(ctx context.Context, _ *api.VerifyRequest) (*api.Report, error) {
	h.asked <- struct{}{}
	<-ctx.Done()
	return nil, ctx.Err()
}

func TestFilesAreSealedAndPrivate(t *testing.T) {
	s := start(t, &engine{}, nil)
	s.prove(s.create("default", "ppt_object", map[string]string{"lastname": "Eriksson"}), true)
	running := s.create("default", "ppt_object", map[string]string{"lastname": "Eriksson"})
	s.act(running, "start", nil, "")
	s.upload(running, "front", frontPhoto)
	files, err := filepath.Glob(filepath.Join(s.opt.DataDir, "*"))
	if err != nil || len(files) < 4 {
		t.Fatalf("%v %v", files, err)
	}
	for _, f := range files {
		info, err := os.Stat(f)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v", filepath.Base(f), info.Mode())
		}
		b, err := os.ReadFile(f)
		if err != nil {
			t.Fatal(err)
		}
		for _, text := range []string{"ERIKSSON", "Eriksson", "\xff\xd8\xff", "L898902C3"} {
			if bytes.Contains(b, []byte(text)) {
				t.Errorf("%s holds %q in the clear", filepath.Base(f), text)
			}
		}
	}
	s.stop()
	// With another key nothing opens, and the server does not start.
	if err := os.WriteFile(filepath.Join(s.opt.DataDir, "seal.key"), make([]byte, 32), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := kosmos.New(s.opt); err == nil {
		t.Error("started with another key")
	}
}

// A session's id opens its page and so stands in no line of the log, whatever
// goes wrong; nor does anything personal.
func TestLogsOpenNothing(t *testing.T) {
	var log lines
	verdicts := []func() (*api.Report, error){
		func() (*api.Report, error) { return passed(), nil },
		func() (*api.Report, error) { return nil, errDown },
		func() (*api.Report, error) { r := passed(); r.Checks = r.Checks[:2]; return r, nil },
	}
	e := &engine{document: documents("", "down", "", ""), verify: func(*api.VerifyRequest) (*api.Report, error) {
		v := verdicts[0]
		if len(verdicts) > 1 {
			verdicts = verdicts[1:]
		}
		return v()
	}}
	s := start(t, e, func(o *kosmos.Options) {
		o.Logger = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
		o.EngineRetries = []time.Duration{}
	})
	var ids []string
	for range 3 {
		id := s.create("default", "ppt_object", map[string]string{"firstname": "Anna", "lastname": "Berg"})
		s.prove(id, true)
		ids = append(ids, id)
	}
	// Photos that do not open, at the verdict and on the page.
	broken := s.create("default", "ppt_object", nil)
	s.act(broken, "start", nil, "")
	s.upload(broken, "front", frontPhoto)
	s.upload(broken, "selfie", selfiePhoto)
	spoil(t, s, `UPDATE photos SET data = x'00'`)
	s.upload(broken, "front", frontPhoto)
	spoil(t, s, `UPDATE photos SET data = x'00'`)
	s.act(broken, "submit", nil, "")
	s.WaitJudged()
	spoil(t, s, `UPDATE sessions SET request = x'00'`)
	s.send("GET", "/idproofing/session/"+s.create("default", "ppt_object", nil), nil, nil)
	for _, id := range append(ids, broken) {
		s.send("GET", "/idproofing/session/"+id, nil, nil)
	}
	s.stop()
	got := log.String()
	for _, text := range []string{"name_mismatch", "no guidance", "no verdict", "passed without a check", "cannot be opened"} {
		if !strings.Contains(got, text) {
			t.Errorf("the log says nothing of %q: %s", text, got)
		}
	}
	for _, text := range append(ids, broken, "Anna", "ANNA", "Berg", "ERIKSSON", "L898902C3", license, "/idproofing/session/") {
		if strings.Contains(got, text) {
			t.Errorf("the log holds %q: %s", text, got)
		}
	}
	// The same session has the same name in every line.
	names := map[string]bool{}
	for _, m := range regexp.MustCompile(`session=(\S+)`).FindAllStringSubmatch(got, -1) {
		names[m[1]] = true
	}
	if len(names) != 4 {
		t.Errorf("four sessions have the names %v", names)
	}
}

// lines is a log that several goroutines write to.
type lines struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lines) Write(b []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(b)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// spoil changes the server's database behind its back.
func spoil(t *testing.T, s *server, query string) {
	t.Helper()
	db, err := sql.Open("sqlite", "file:"+filepath.Join(s.opt.DataDir, "kosmos.db")+"?_pragma=busy_timeout(5000)")
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(t.Context(), query); err != nil {
		t.Fatal(err)
	}
}

// A session whose request does not open expires like any other.
func TestExpiresUnread(t *testing.T) {
	s := start(t, &engine{}, nil)
	id, other := s.create("default", "ppt_object", nil), s.create("default", "ppt_object", nil)
	spoil(t, s, `UPDATE sessions SET request = x'00' WHERE id = '`+id+`'`)
	s.clock.add(8 * 24 * time.Hour)
	if err := s.Sweep(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{id, other} {
		if got := s.state("default", id); got != "EXPIRED" {
			t.Errorf("state %s", got)
		}
	}
}

// The engine lets a request wait for 30 s; one that found no place asks for longer than that.
func TestRetriesOutlastTheQueue(t *testing.T) {
	s := start(t, &engine{}, func(o *kosmos.Options) { o.EngineRetries = nil })
	sum := time.Duration(0)
	for _, d := range s.EngineRetries() {
		sum += d
	}
	if sum <= 30*time.Second {
		t.Errorf("%v in all", sum)
	}
}

// What does not open ends the session: it is not judged for ever, and does not
// keep others from being swept.
func TestNothingJudgesForEver(t *testing.T) {
	for name, tt := range map[string]struct{ query, reason string }{
		"photos":  {`UPDATE photos SET data = x'00'`, `"reason":"engine_error"`},
		"request": {`UPDATE sessions SET request = x'00' WHERE state = 'judging'`, ""},
	} {
		t.Run(name, func(t *testing.T) {
			asked := make(chan struct{}, 9)
			s := start(t, &hanging{asked: asked}, nil)
			dir := s.opt.DataDir
			id := s.create("default", "ppt_object", nil)
			s.act(id, "start", nil, "")
			s.upload(id, "front", frontPhoto)
			s.upload(id, "selfie", selfiePhoto)
			s.act(id, "submit", nil, "")
			<-asked
			spoil(t, s, tt.query)
			s.stop()

			e := &engine{}
			s2 := start(t, e, func(o *kosmos.Options) { o.DataDir = dir })
			s2.WaitJudged()
			if got := s2.state("default", id); got != "FAILED" {
				t.Errorf("state %s", got)
			}
			if r := string(s2.result("v3", "default", id)); !strings.Contains(r, tt.reason) || strings.Contains(r, "SUCCESS") {
				t.Errorf("result %s", r)
			}
			if e.calls() != 0 {
				t.Error("judged without what was asked")
			}
		})
	}
}

func TestOptions(t *testing.T) {
	good := childOptions(t.TempDir(), &engine{})
	for name, change := range map[string]func(*kosmos.Options){
		"no DNS":          func(o *kosmos.Options) { o.DNS = "" },
		"no licence":      func(o *kosmos.Options) { o.LicenseKey = "" },
		"no engine":       func(o *kosmos.Options) { o.Engine = nil },
		"no directory":    func(o *kosmos.Options) { o.DataDir = "" },
		"DVC without id":  func(o *kosmos.Options) { o.DVCs = []kosmos.DVC{{}} },
		"DVC liveness":    func(o *kosmos.Options) { o.DVCs = []kosmos.DVC{{ID: "x", Liveness: "y"}} },
		"DVC type":        func(o *kosmos.Options) { o.DVCs = []kosmos.DVC{{ID: "x", DocumentTypes: []string{"visa"}}} },
		"directory is no": func(o *kosmos.Options) { o.DataDir = "/dev/null/x" },
	} {
		o := good
		change(&o)
		if _, err := kosmos.New(o); err == nil {
			t.Errorf("%s: started", name)
		}
	}
}

// An independent client: Node's own crypto, nothing of ours.
func TestNodeClient(t *testing.T) {
	node, err := exec.LookPath("node")
	if err != nil {
		t.Skip("node is not installed")
	}
	s := start(t, &engine{}, nil)
	cmd := exec.CommandContext(t.Context(), node, filepath.Join("testdata", "client.mjs"), s.base, s.dns, license)
	cmd.Env = append(os.Environ(), "NODE_EXTRA_CA_CERTS="+s.CAFile())
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	golden(t, "node_client", out)
}
