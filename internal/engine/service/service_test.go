package service_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
	"github.com/kosmoscope/kosmoscope/internal/engine/service"
)

// judge is a service.Judge whose verdict is a function.
type judge struct {
	verify func(context.Context) (*api.Report, error)
}

func passed() *api.Report {
	r := &api.Report{Verdict: api.Pass}
	for _, name := range []string{api.CheckMRZDigits, api.CheckDocumentExpiry, api.CheckSelfie, api.CheckFaceMatch, api.CheckLiveness} {
		r.Checks = append(r.Checks, api.Check{Name: name, Outcome: api.Pass})
	}
	return r
}

func (j judge) Verify(ctx context.Context, _ *api.VerifyRequest) (*api.Report, error) {
	return j.verify(ctx)
}
func (j judge) Document(ctx context.Context, r *api.DocumentRequest) (*api.Report, error) {
	return &api.Report{Verdict: api.Fail, Reason: api.ReasonMRZNotFound}, nil
}
func (j judge) Selfie(context.Context, *api.SelfieRequest) (*api.Report, error) { return passed(), nil }
func (j judge) Match(ctx context.Context, _ *api.MatchRequest) (*api.Report, error) {
	return j.verify(ctx)
}
func (j judge) Challenge(context.Context) (*api.Challenge, error) {
	c, err := liveness.Draw()
	return &c, err
}
func (j judge) Frame(context.Context, *api.FrameRequest) (*api.FrameReport, error) {
	return &api.FrameReport{Hint: api.HintGood}, nil
}
func (j judge) Models() ([]api.Model, bool) { return []api.Model{{Name: "m"}}, true }
func (j judge) Info() api.Info              { return api.Info{Profile: "standard", Set: "full"} }

func pass(context.Context) (*api.Report, error) { return passed(), nil }

func start(t *testing.T, verify func(context.Context) (*api.Report, error), b service.Bounds) (*httptest.Server, *bytes.Buffer) {
	t.Helper()
	var log bytes.Buffer
	srv := httptest.NewServer(service.Handler(judge{verify}, b, slog.New(slog.NewTextHandler(&log, nil))))
	t.Cleanup(srv.Close)
	return srv, &log
}

func TestClient(t *testing.T) {
	srv, _ := start(t, pass, service.Bounds{})
	c := api.New(srv.URL+"/", nil)
	req := &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone, DocumentTypes: []string{"passport"}}
	if rep, err := c.Verify(t.Context(), req); err != nil || rep.Verdict != api.Pass {
		t.Errorf("%+v, %v", rep, err)
	}
	if rep, err := c.Document(t.Context(), &api.DocumentRequest{DocumentFront: []byte{1}}); err != nil || rep.Reason != api.ReasonMRZNotFound {
		t.Errorf("%+v, %v", rep, err)
	}
	if rep, err := c.Selfie(t.Context(), &api.SelfieRequest{}); err != nil || rep.Verdict != api.Pass {
		t.Errorf("%+v, %v", rep, err)
	}
	templates := make([][]byte, engine.MaxTemplates)
	for i := range templates {
		templates[i] = make([]byte, engine.MaxTemplate)
	}
	for _, req := range []*api.MatchRequest{
		{Selfies: [][]byte{{1}}, References: templates, LivenessMode: api.LivenessNone},
		{Selfies: [][]byte{{1}}, References: templates, LivenessMode: api.LivenessPassive},
		{Probes: templates, References: templates[:1], LivenessMode: api.LivenessNone},
	} {
		if rep, err := c.Match(t.Context(), req); err != nil || rep.Verdict != api.Pass {
			t.Errorf("%+v, %v", rep, err)
		}
	}
}

// TestVerifyTemplatesOverTheWire: templates come through as they were sent, and
// a judge that gives some to nobody who asked is not believed.
func TestVerifyTemplatesOverTheWire(t *testing.T) {
	want := &api.Templates{Selfie: []byte{0, 1, 255}, Portrait: []byte{2}}
	srv, _ := start(t, func(context.Context) (*api.Report, error) {
		r := passed()
		r.Templates = want
		return r, nil
	}, service.Bounds{})
	c := api.New(srv.URL, nil)
	req := &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone, Templates: true}
	rep, err := c.Verify(t.Context(), req)
	if err != nil || !bytes.Equal(rep.Templates.Selfie, want.Selfie) || !bytes.Equal(rep.Templates.Portrait, want.Portrait) {
		t.Errorf("%v", err)
	}
	req.Templates = false
	if _, err := c.Verify(t.Context(), req); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("unasked: %v", err)
	}
}

func TestRefusals(t *testing.T) {
	srv, _ := start(t, pass, service.Bounds{MaxBody: 1 << 20})
	const ok = `"document_front":"AA==","liveness_mode":"none"`
	const match = `"references":["AA=="],"liveness_mode":"none"`
	long := base64.StdEncoding.EncodeToString(make([]byte, engine.MaxTemplate+1))
	for name, c := range map[string]struct {
		method, path, body string
		status             int
		reason, names      string
	}{
		"not JSON":              {"POST", "/v1/verify", "hello", 400, api.ReasonInvalidRequest, "JSON"},
		"nothing":               {"POST", "/v1/verify", "", 400, api.ReasonInvalidRequest, "JSON"},
		"two objects":           {"POST", "/v1/verify", "{" + ok + "}{}", 400, api.ReasonInvalidRequest, "JSON"},
		"unknown field":         {"POST", "/v1/verify", `{"document_frnt":"AA=="}`, 400, api.ReasonInvalidRequest, "document_frnt"},
		"wrong type":            {"POST", "/v1/verify", `{"document_types":"passport"}`, 400, api.ReasonInvalidRequest, "document_types"},
		"not base64":            {"POST", "/v1/verify", `{"document_front":"%"}`, 400, api.ReasonInvalidRequest, "base64"},
		"liveness":              {"POST", "/v1/verify", `{"document_front":"AA==","liveness_mode":"maybe"}`, 400, api.ReasonInvalidRequest, "liveness_mode"},
		"liveness absent":       {"POST", "/v1/verify", `{"document_front":"AA=="}`, 400, api.ReasonInvalidRequest, "liveness_mode"},
		"document type":         {"POST", "/v1/verify", `{"document_types":["library_card"],` + ok + `}`, 400, api.ReasonInvalidRequest, "document_types"},
		"no document":           {"POST", "/v1/document", `{}`, 400, api.ReasonInvalidRequest, "document_front"},
		"selfies":               {"POST", "/v1/verify", `{"selfies":["AA==","AA==","AA==","AA==","AA==","AA=="],` + ok + `}`, 400, api.ReasonInvalidRequest, "selfies"},
		"selfies and probes":    {"POST", "/v1/match", `{"selfies":["AA=="],"probes":["AA=="],` + match + `}`, 400, api.ReasonInvalidRequest, "probes"},
		"no selfies, no probes": {"POST", "/v1/match", `{"selfies":[],` + match + `}`, 400, api.ReasonInvalidRequest, "probes"},
		"six selfies":           {"POST", "/v1/match", `{"selfies":["AA==","AA==","AA==","AA==","AA==","AA=="],` + match + `}`, 400, api.ReasonInvalidRequest, "selfies"},
		"six probes":            {"POST", "/v1/match", `{"probes":["AA==","AA==","AA==","AA==","AA==","AA=="],` + match + `}`, 400, api.ReasonInvalidRequest, "probes"},
		"empty probe":           {"POST", "/v1/match", `{"probes":["AA==",""],` + match + `}`, 400, api.ReasonInvalidRequest, "probes"},
		"long probe":            {"POST", "/v1/match", `{"probes":["` + long + `"],` + match + `}`, 400, api.ReasonInvalidRequest, "probes"},
		"no references":         {"POST", "/v1/match", `{"selfies":["AA=="],"liveness_mode":"none"}`, 400, api.ReasonInvalidRequest, "references"},
		"six references":        {"POST", "/v1/match", `{"selfies":["AA=="],"references":["AA==","AA==","AA==","AA==","AA==","AA=="],"liveness_mode":"none"}`, 400, api.ReasonInvalidRequest, "references"},
		"empty reference":       {"POST", "/v1/match", `{"selfies":["AA=="],"references":[null],"liveness_mode":"none"}`, 400, api.ReasonInvalidRequest, "references"},
		"long reference":        {"POST", "/v1/match", `{"selfies":["AA=="],"references":["` + long + `"],"liveness_mode":"none"}`, 400, api.ReasonInvalidRequest, "references"},
		"reference not base64":  {"POST", "/v1/match", `{"selfies":["AA=="],"references":["%"],"liveness_mode":"none"}`, 400, api.ReasonInvalidRequest, "base64"},
		"match, liveness":       {"POST", "/v1/match", `{"selfies":["AA=="],"references":["AA=="]}`, 400, api.ReasonInvalidRequest, "liveness_mode"},
		"probes alive":          {"POST", "/v1/match", `{"probes":["AA=="],"references":["AA=="],"liveness_mode":"passive"}`, 400, api.ReasonInvalidRequest, "liveness_mode"},
		"match, unknown field":  {"POST", "/v1/match", `{"selfie":"AA==",` + match + `}`, 400, api.ReasonInvalidRequest, "selfie"},
		"match, too large":      {"POST", "/v1/match", `{"selfies":["` + strings.Repeat("A", 1<<20) + `"]}`, 413, api.ReasonImageTooLarge, "MB"},
		"match, method":         {"GET", "/v1/match", "", 405, "", ""},
		"too large":             {"POST", "/v1/verify", `{"document_front":"` + strings.Repeat("A", 1<<20) + `"}`, 413, api.ReasonImageTooLarge, "MB"},
		"method":                {"GET", "/v1/verify", "", 405, "", ""},
		"path":                  {"POST", "/v1/other", "{}", 404, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			req, _ := http.NewRequestWithContext(t.Context(), c.method, srv.URL+c.path, strings.NewReader(c.body))
			resp, err := http.DefaultClient.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			b, _ := io.ReadAll(resp.Body)
			if resp.StatusCode != c.status {
				t.Fatalf("HTTP %d %s, want %d", resp.StatusCode, b, c.status)
			}
			if c.reason == "" {
				return
			}
			var p api.Problem
			if err := json.Unmarshal(b, &p); err != nil || p.Reason != c.reason || !strings.Contains(p.Message, c.names) {
				t.Errorf("%+v, want %s and %q", p, c.reason, c.names)
			}
		})
	}
	t.Run("too large without a length", func(t *testing.T) {
		body := io.MultiReader(strings.NewReader(`{"document_front":"`), strings.NewReader(strings.Repeat("A", 2<<20)))
		resp, err := http.Post(srv.URL+"/v1/verify", "application/json", io.NopCloser(body))
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		if resp.StatusCode != http.StatusRequestEntityTooLarge {
			t.Errorf("HTTP %d", resp.StatusCode)
		}
	})
	// After all that every place is free again.
	if h := health(t, srv.URL); h.Busy != 0 || h.Waiting != 0 {
		t.Errorf("%+v", h)
	}
}

// TestLargestRequest: three pictures of the greatest size are not too large.
func TestLargestRequest(t *testing.T) {
	srv, _ := start(t, pass, service.Bounds{})
	c := api.New(srv.URL, nil)
	picture := make([]byte, engine.MaxPicture)
	req := &api.VerifyRequest{DocumentFront: picture, DocumentBack: picture, Selfies: [][]byte{picture}, LivenessMode: api.LivenessNone,
		DocumentTypes: []string{api.Passport, api.DriversLicense, api.IDCard}}
	if rep, err := c.Verify(t.Context(), req); err != nil || rep.Verdict != api.Pass {
		t.Errorf("one selfie: %v", err)
	}
	part := picture[:len(picture)/engine.MaxSelfies]
	req.Selfies = [][]byte{part, part, part, part, part}
	if rep, err := c.Verify(t.Context(), req); err != nil || rep.Verdict != api.Pass {
		t.Errorf("five selfies: %v", err)
	}
	req.Selfies = [][]byte{picture, picture}
	var s *api.StatusError
	if _, err := c.Verify(t.Context(), req); !errors.As(err, &s) || s.Status != http.StatusRequestEntityTooLarge {
		t.Errorf("one picture too many: %v", err)
	}
}

type healthBody struct {
	Status  string
	Models  bool
	Busy    int
	Waiting int
	Profile string
	Set     string
}

func health(t *testing.T, url string) healthBody {
	t.Helper()
	resp, err := http.Get(url + "/healthz")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	var h healthBody
	if err := json.NewDecoder(resp.Body).Decode(&h); err != nil || resp.StatusCode != 200 || h.Status != "ok" || !h.Models || h.Profile != "standard" || h.Set != "full" {
		t.Fatalf("%+v, %v", h, err)
	}
	return h
}

func TestBusy(t *testing.T) {
	working, release := make(chan struct{}), make(chan struct{})
	srv, _ := start(t, func(ctx context.Context) (*api.Report, error) {
		working <- struct{}{}
		<-release
		return passed(), nil
	}, service.Bounds{Workers: 1, Queue: 1})
	c := api.New(srv.URL, nil)
	req := &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone}
	results := make(chan error, 2)
	ask := func() { _, err := c.Verify(context.Background(), req); results <- err }
	go ask()
	<-working // one works
	go ask()
	for health(t, srv.URL).Waiting == 0 { // one waits: poll our own health page, bounded by the test's time
	}
	_, err := c.Verify(t.Context(), req)
	var s *api.StatusError
	if !errors.As(err, &s) || s.Status != 503 || api.Reason(err) != api.ReasonEngineBusy || !s.Temporary() {
		t.Errorf("%v", err)
	}
	release <- struct{}{}
	<-working
	release <- struct{}{}
	for range 2 {
		if err := <-results; err != nil {
			t.Error(err)
		}
	}
}

func TestTimeout(t *testing.T) {
	begun, stopped := make(chan struct{}), make(chan struct{})
	release := make(chan struct{})
	srv, _ := start(t, func(ctx context.Context) (*api.Report, error) {
		close(begun)
		defer close(stopped)
		<-release // deaf to its context, like a network that is running
		return passed(), nil
	}, service.Bounds{Workers: 1, Timeout: 20 * time.Millisecond})
	c := api.New(srv.URL, nil)
	req := &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone}
	// On a slow machine time may be up before the worker begins. Who comes after it began
	// waits in vain for it.
	for waited := false; !waited; {
		select {
		case <-begun:
			waited = true
		default:
		}
		_, err := c.Verify(t.Context(), req)
		var s *api.StatusError
		if !errors.As(err, &s) || s.Status != 504 || api.Reason(err) != api.ReasonEngineTimeout {
			t.Errorf("%v", err)
		}
	}
	close(release)
	<-stopped
}

func TestBreaks(t *testing.T) {
	for name, verify := range map[string]func(context.Context) (*api.Report, error){
		"panic":            func(context.Context) (*api.Report, error) { panic("secret of a person") },
		"error":            func(context.Context) (*api.Report, error) { return nil, errors.New("broken") },
		"nil":              func(context.Context) (*api.Report, error) { return nil, nil },
		"report and error": func(context.Context) (*api.Report, error) { return passed(), errors.New("broken") },
	} {
		t.Run(name, func(t *testing.T) {
			srv, log := start(t, verify, service.Bounds{Workers: 1})
			c := api.New(srv.URL, nil)
			for i := range 3 { // the worker survives
				rep, err := c.Verify(t.Context(), &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone})
				if i == 2 {
					rep, err = c.Match(t.Context(), &api.MatchRequest{Probes: [][]byte{{1}}, References: [][]byte{{1}}, LivenessMode: api.LivenessNone})
				}
				var s *api.StatusError
				if rep != nil || !errors.As(err, &s) || s.Status != 500 || api.Reason(err) != api.ReasonEngineError {
					t.Errorf("%+v, %v", rep, err)
				}
			}
			srv.Close()
			if log.Len() == 0 || strings.Contains(log.String(), "secret") {
				t.Errorf("log: %q", log)
			}
		})
	}
}

// TestRunWithoutModels runs the service as the program does, with no models:
// it answers, and nothing passes.
func TestRunWithoutModels(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	addr := make(chan net.Addr, 1)
	done := make(chan error, 1)
	go func() {
		done <- service.Run(ctx, service.Options{Listen: "127.0.0.1:0", ModelsDir: t.TempDir(), Log: slog.New(slog.DiscardHandler), Ready: func(a net.Addr) { addr <- a }})
	}()
	base := "http://" + (<-addr).String()
	c := api.New(base, nil)
	rep, err := c.Verify(ctx, &api.VerifyRequest{DocumentFront: []byte{1}, Selfies: [][]byte{{1}}, LivenessMode: api.LivenessNone})
	if err != nil || rep.Verdict != api.CannotTell || rep.Reason != api.ReasonModelsMissing {
		t.Errorf("%+v, %v", rep, err)
	}
	for _, k := range rep.Checks {
		if k.Outcome != api.CannotTell {
			t.Errorf("%+v", k)
		}
	}
	for _, req := range []*api.MatchRequest{{Selfies: [][]byte{{1}}}, {Probes: [][]byte{{1}}}} {
		req.References, req.LivenessMode = [][]byte{{1}}, api.LivenessNone
		if rep, err := c.Match(ctx, req); err != nil || rep.Verdict != api.CannotTell || rep.Reason != api.ReasonModelsMissing {
			t.Errorf("%+v, %v", rep, err)
		}
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
	if _, err := c.Verify(context.Background(), &api.VerifyRequest{DocumentFront: []byte{1}, LivenessMode: api.LivenessNone}); !errors.Is(err, api.ErrUnreachable) {
		t.Errorf("after the end: %v", err)
	}
	list, err := service.Models(t.TempDir())
	if err == nil || len(list) != 9 {
		t.Errorf("%d models, %v", len(list), err)
	}
}

func TestRunRefuses(t *testing.T) {
	for _, o := range []service.Options{{Listen: "127.0.0.1:0", Set: "everything"}, {Listen: "nowhere:-1"}} {
		o.Log = slog.New(slog.DiscardHandler)
		if err := service.Run(t.Context(), o); err == nil {
			t.Errorf("%+v runs", o)
		}
	}
}

// FuzzMatch: whatever the body, the answer is a report or a problem, and nothing
// of another shape reaches the judge.
func FuzzMatch(f *testing.F) {
	for _, body := range []string{
		`{"selfies":["AA=="],"references":["AA=="],"liveness_mode":"none"}`,
		`{"probes":["AA=="],"references":["AA==","AA=="],"liveness_mode":"none"}`,
		`{"probes":["AA=="],"references":["AA=="],"liveness_mode":"active"}`,
		`{"selfies":null,"references":[]}`, `[]`, `{`, ``,
	} {
		f.Add([]byte(body))
	}
	h := service.Handler(shape{}, service.Bounds{}, slog.New(slog.DiscardHandler))
	f.Fuzz(func(t *testing.T, body []byte) {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, httptest.NewRequest("POST", "/v1/match", bytes.NewReader(body)))
		switch w.Code {
		case http.StatusOK:
			if _, err := api.ParseReport(w.Body.Bytes()); err != nil {
				t.Error(err)
			}
		case http.StatusBadRequest:
			var p api.Problem
			if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil || p.Reason != api.ReasonInvalidRequest {
				t.Errorf("%+v, %v", p, err)
			}
		default:
			t.Errorf("HTTP %d", w.Code)
		}
	})
}

// shape is a judge that passes only a request to match of the documented shape.
type shape struct{ judge }

func (shape) Verify(context.Context, *api.VerifyRequest) (*api.Report, error) { return passed(), nil }
func (shape) Document(context.Context, *api.DocumentRequest) (*api.Report, error) {
	return passed(), nil
}
func (shape) Selfie(context.Context, *api.SelfieRequest) (*api.Report, error) { return passed(), nil }
func (shape) Models() ([]api.Model, bool)                                     { return nil, true }
func (shape) Info() api.Info                                                  { return api.Info{} }
func (shape) Match(_ context.Context, r *api.MatchRequest) (*api.Report, error) {
	selfies, probes, references := len(r.Selfies), len(r.Probes), len(r.References)
	if r.Liveness != nil {
		if selfies+probes > 0 || references == 0 || r.LivenessMode != api.LivenessActive || !liveness.Drawn(r.Liveness.Challenge) || len(r.Liveness.Frames) == 0 {
			return nil, errors.New("of another shape")
		}
		return passed(), nil
	}
	if (selfies == 0) == (probes == 0) || r.LivenessMode == api.LivenessActive || max(selfies, probes, references) > 5 || references == 0 || probes > 0 && r.LivenessMode != api.LivenessNone {
		return nil, errors.New("of another shape")
	}
	return passed(), nil
}
