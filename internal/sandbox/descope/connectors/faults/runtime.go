package faults

import (
	"bytes"
	"io"
	"net/http"
	"strings"
)

// maxBody is how much of a request is kept to run it twice.
const maxBody = 1 << 20

// Runtime wraps the handler of /v1/flow/start and /v1/flow/next. Only POST is
// touched. It belongs inside of what answers CORS, so that a browser may read a
// status that it makes up; a connection is cut by panicking with
// http.ErrAbortHandler, which whoever recovers from panics must let pass.
func (s *Set) Runtime(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var e Effect
		if r.Method == http.MethodPost {
			e = s.Take(Runtime + ":" + r.URL.Path[strings.LastIndexByte(r.URL.Path, '/')+1:])
		}
		if e == (Effect{}) {
			next.ServeHTTP(w, r)
			return
		}
		if e.Wait(r.Context()) != nil {
			panic(http.ErrAbortHandler) // the browser has gone
		}
		if e.Status != 0 {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(e.Status)
			_, _ = io.WriteString(w, `{"errorCode":"KFAULT","errorDescription":"Fault","errorMessage":"The fault knob of the test panel answered."}`+"\n")
			return
		}
		body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
		if err != nil {
			http.Error(w, "The request is too long, or was cut.", http.StatusBadRequest)
			return
		}
		run := func() *answer {
			again := r.Clone(r.Context())
			again.Body = io.NopCloser(bytes.NewReader(body))
			a := &answer{header: w.Header().Clone(), status: http.StatusOK}
			next.ServeHTTP(a, again)
			return a
		}
		a := run()
		if e.Duplicate {
			a = run()
		}
		if e.Lost {
			panic(http.ErrAbortHandler)
		}
		for name, values := range a.header {
			w.Header()[name] = values
		}
		w.Header().Del("Content-Length")
		w.WriteHeader(a.status)
		_, _ = w.Write(e.Spoil(a.body.Bytes()))
	})
}

// answer keeps an answer. Like net/http it ignores a second status.
type answer struct {
	header http.Header
	status int
	wrote  bool
	body   bytes.Buffer
}

func (a *answer) Header() http.Header { return a.header }

func (a *answer) WriteHeader(status int) {
	if !a.wrote {
		a.status, a.wrote = status, true
	}
}

func (a *answer) Write(b []byte) (int, error) {
	a.wrote = true
	return a.body.Write(b)
}
