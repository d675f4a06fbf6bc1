package whole_test

import (
	"net/http"
	"net/http/httptest"
	"strconv"
)

// record asks for an answer and keeps it. A connection that breaks while it is
// asked for breaks the caller's too.
func record(r *http.Request, forward http.Handler) answer {
	rec := httptest.NewRecorder()
	forward.ServeHTTP(rec, r)
	return answer{rec.Code, rec.Header(), rec.Body.Bytes()}
}

func (a answer) write(w http.ResponseWriter) {
	for name, values := range a.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	_, _ = w.Write(a.body) // who asked may be gone
}
