package connector

import (
	"log/slog"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Access is what the access log says of one request.
type Access struct {
	ID     string       // of the request, as in X-Request-Id
	Caller proof.Caller // who it turned out to be
	Status int          // of the answer
	Reason proof.Reason // of a refusal, or in the answer
}

// Logged serves the requests of one door: each gets an id, the headers that all answers have,
// and a line in the access log when serve is done. Nothing personal gets there: no bodies,
// links, credentials, nor the path, which may hold a secret.
func Logged(door string, log *slog.Logger, now func() time.Time, serve func(http.ResponseWriter, *http.Request, *Access)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		begin := now()
		a := &Access{ID: proof.NewID()}
		h := w.Header()
		h.Set("X-Request-Id", a.ID)
		h.Set("Cache-Control", "no-store")
		h.Set("X-Content-Type-Options", "nosniff")
		serve(w, r, a)
		level := slog.LevelDebug
		switch {
		case a.Status >= 500:
			level = slog.LevelError
		case a.Status >= 400:
			level = slog.LevelInfo
		}
		if log.Enabled(r.Context(), level) {
			log.Log(r.Context(), level, door, "method", r.Method, "pattern", r.Pattern, "status", a.Status, "reason", a.Reason,
				"tenant", a.Caller.Tenant, "caller", a.Caller.ID, "request_id", a.ID, "took", now().Sub(begin))
		}
	}
}
