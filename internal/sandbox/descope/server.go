package descope

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// Options wires the local Descope. ProjectID, BaseURL, Runner and Browser must be
// given; a handler that is nil answers 404.
type Options struct {
	ProjectID string
	BaseURL   string   // our own origin, which is allowed beside Origins
	Origins   []string // of pages that may run flows and be returned to

	Runner  *runner.Runner
	Browser func(r *http.Request) project.Browser // what a request's browser is like
	// FirstContact is called before start is answered, so that a browser can be given
	// what it is known by later; nil: nothing.
	FirstContact func(w http.ResponseWriter, r *http.Request)

	Screens http.Handler // /pages/, /npm/, /vendor/
	Manage  http.Handler // /v1/, /v2/ and whatever is nowhere else
	Panel   http.Handler // /lab/
	// Federation is where browsers come back to from identity providers.
	Federation http.Handler
	// Faults wraps start and next, to make them misbehave on purpose; nil: no.
	Faults func(http.Handler) http.Handler

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: silent
}

// maxBody is the longest body of start and next. How long it may be at Descope is
// unknown; pictures are not sent this way in our flows.
const maxBody = 256 << 10

const nonceHeader = "X-Descope-Flow-Nonce"

// Errors of the runtime API beside the runner's. What Descope calls them is unknown.
var (
	errBody    = &project.Error{Code: "E011001", Status: http.StatusBadRequest, Message: "The request could not be read. Load the page again."}
	errLong    = &project.Error{Code: "E011002", Status: http.StatusRequestEntityTooLarge, Message: "The request is too long."}
	errProject = &project.Error{Code: "E011004", Status: http.StatusUnauthorized, Message: "This page is set up for another project. Tell whoever runs it: its project id is not the one here."}
	errInside  = &project.Error{Code: "E050000", Status: http.StatusInternalServerError, Message: "Something went wrong here. Try again."}
)

type server struct {
	Options
	log     *slog.Logger
	origins []string
}

// New makes the handler.
func New(o Options) (http.Handler, error) {
	if o.ProjectID == "" || o.Runner == nil || o.Browser == nil {
		return nil, errors.New("descope: a project, a runner and a browser are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &server{Options: o, log: o.Logger, origins: append([]string{o.BaseURL}, o.Origins...)}
	for _, origin := range s.origins {
		if u, err := url.Parse(origin); err != nil || u.Host == "" || u.Scheme+"://"+u.Host != origin {
			return nil, errors.New("descope: " + origin + " is no origin such as https://app.example")
		}
	}
	flows := http.NewServeMux()
	flows.HandleFunc("POST /v1/flow/start", s.start)
	flows.HandleFunc("POST /v1/flow/next", s.next)
	var faulty http.Handler = flows
	if o.Faults != nil {
		faulty = o.Faults(flows)
	}
	mux := http.NewServeMux()
	mux.Handle("/v1/flow/", s.cors(faulty))
	mount := func(h http.Handler, patterns ...string) {
		if h == nil {
			return
		}
		for _, p := range patterns {
			mux.Handle(p, h)
		}
	}
	mount(o.Screens, "/pages/", "/npm/", "/vendor/")
	mount(o.Federation, "GET "+federation.Callback, "POST "+federation.ACS)
	if o.Manage != nil {
		mount(s.cors(o.Manage), "/")
	}
	if o.Panel != nil {
		mount(o.Panel, "/lab/")
		mux.Handle("GET /{$}", http.RedirectHandler("/lab/", http.StatusFound))
	}
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, `{"status":"ok"}`+"\n")
	})
	return s.recover(mux), nil
}

// recover answers for a handler that panics, which none should.
func (s *server) recover(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		defer func() {
			if p := recover(); p == http.ErrAbortHandler { //nolint:errorlint // as net/http compares it
				panic(p)
			} else if p != nil {
				s.log.Error("panic", "path", r.URL.Path, "panic", p, "stack", string(debug.Stack()))
				s.fail(w, errInside)
			}
		}()
		next.ServeHTTP(w, r)
	})
}

const (
	corsMethods = "GET, POST, OPTIONS"
	corsExpose  = nonceHeader + ", x-geo"
)

// allowedHeaders are those that Descope's SDKs send (reference: request headers).
var allowedHeaders = strings.Join([]string{
	"Authorization", "Content-Type", "x-descope-sdk-name", "x-descope-sdk-version", "x-descope-sdk-session-id", "x-descope-sdk-uuid",
	"x-descope-sdk-sha", "x-descope-sdk-node-version", "x-descope-project-id", "x-descope-refresh-cookie-name",
	"x-descope-trusted-device-token", nonceHeader,
}, ", ")

// cors lets the pages of the project call, with credentials. Others get an answer
// that their browser keeps from them.
func (s *server) cors(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Add("Vary", "Origin")
		origin := r.Header.Get("Origin")
		if allowed := slices.Contains(s.origins, origin); allowed {
			h.Set("Access-Control-Allow-Origin", origin)
			h.Set("Access-Control-Allow-Credentials", "true")
			h.Set("Access-Control-Expose-Headers", corsExpose)
		} else if origin != "" && r.Method != http.MethodOptions && strings.HasPrefix(r.URL.Path, "/v1/flow/") {
			// Not only unread but undone: a foreign page may not run flows.
			s.fail(w, &project.Error{Code: "E011005", Status: http.StatusForbidden, Message: "This page is not one of the project's. Tell whoever runs it: its origin is not allowed here."})
			return
		}
		if r.Method == http.MethodOptions {
			h.Set("Access-Control-Allow-Methods", corsMethods)
			h.Set("Access-Control-Allow-Headers", allowedHeaders)
			h.Set("Access-Control-Max-Age", "600")
			w.WriteHeader(http.StatusNoContent)
			return
		}
		next.ServeHTTP(w, r)
	})
}

func (s *server) start(w http.ResponseWriter, r *http.Request) {
	var q runner.StartRequest
	b, err := s.read(w, r, &q, s.FirstContact)
	if err != nil {
		s.fail(w, err)
		return
	}
	resp, err := s.Runner.Start(context.WithoutCancel(r.Context()), q, b)
	s.answer(w, resp, err)
}

// next runs to its end also when the browser no longer waits, as Descope does.
func (s *server) next(w http.ResponseWriter, r *http.Request) {
	var q runner.NextRequest
	b, err := s.read(w, r, &q, nil)
	if err != nil {
		s.fail(w, err)
		return
	}
	q.Nonce = r.Header.Get(nonceHeader)
	resp, err := s.Runner.Next(context.WithoutCancel(r.Context()), q, b)
	s.answer(w, resp, err)
}

// read takes the body and who sends it; first, which may be nil, is called in between.
func (s *server) read(w http.ResponseWriter, r *http.Request, q any, first func(http.ResponseWriter, *http.Request)) (b project.Browser, err error) {
	credential, ok := strings.CutPrefix(r.Header.Get("Authorization"), "Bearer ")
	id, refresh, _ := strings.Cut(strings.TrimSpace(credential), ":")
	if !ok || id != s.ProjectID {
		return b, errProject
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if err != nil {
		if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
			return b, errLong
		}
		return b, errBody
	}
	if err := json.Unmarshal(body, q); err != nil || bytes.HasPrefix(bytes.TrimSpace(body), []byte("null")) {
		return b, errBody
	}
	if first != nil {
		first(w, r)
	}
	b = s.Browser(r)
	b.Refresh = refresh
	if b.Now.IsZero() {
		b.Now = s.Now()
	}
	return b, nil
}

func (s *server) answer(w http.ResponseWriter, resp *runner.Response, err error) {
	if err != nil {
		s.fail(w, err)
		return
	}
	body, err := json.Marshal(resp)
	if err != nil {
		s.log.Error("answer", "error", err)
		s.fail(w, errInside)
		return
	}
	if n := resp.Nonce(); n != "" {
		w.Header().Set(nonceHeader, n)
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	_, _ = w.Write(append(body, '\n'))
}

// fail answers an error as all of Descope's APIs do.
func (s *server) fail(w http.ResponseWriter, err error) {
	p, ok := errors.AsType[*project.Error](err)
	if !ok {
		s.log.Error("flow", "error", err)
		p = errInside
	}
	p.Answer(w, description(p.Code))
}

// description says in two words what a code is, for whoever reads the console.
func description(code string) string {
	switch code {
	case runner.ErrVersion.Code:
		return "Flow version mismatch"
	case runner.ErrTimedOut.Code:
		return "Flow timed out"
	case runner.ErrNonce.Code:
		return "Nonce validation failed"
	case runner.ErrPolling.Code:
		return "Polling status not found"
	case runner.ErrNoFlow.Code:
		return "Flow not found"
	case errProject.Code:
		return "Wrong project"
	case errBody.Code, errLong.Code:
		return "Bad request"
	case errInside.Code:
		return "Internal error"
	}
	return "Flow error"
}
