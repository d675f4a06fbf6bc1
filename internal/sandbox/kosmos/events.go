package kosmos

import (
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"

	"github.com/google/uuid"
)

// Event is one entry of a session's history: a name from the vendor's event
// vocabulary (reference 2.8), or one of ours (KOSMOSCOPE_), and when it
// happened. It holds nothing personal.
type Event struct {
	Name string
	At   time.Time
}

const (
	eventInitialization      = "E_IDV_INITIALIZATION"
	eventConsent             = "E_IDV_USER_CONSENT"
	eventDocumentInstruction = "E_IDV_DOCUMENTINSTRUCTION"
	eventDocumentCapture     = "E_IDV_DOCUMENTCAPTURE"
	eventSelfieCapture       = "E_IDV_SELFIECAPTURE"
	eventSubmission          = "E_IDV_DOCUMENT_SUBMISSION"
	eventValidate            = "E_IDV_DOCUMENT_VALIDATE"
	eventAbandoned           = "E_IDV_SESSION_ABANDONED"
	eventExpired             = "E_IDV_SESSION_EXPIRED"
)

// svcEvents takes the events that callers report (reference 7.1).
const svcEvents = "events"

// eventSchema keeps them. Reports filter by name and time; all else is sealed.
const eventSchema = `
CREATE TABLE IF NOT EXISTS reported (
	id     TEXT PRIMARY KEY,       -- event_id
	name   TEXT NOT NULL,
	at     INTEGER NOT NULL,
	sealed BLOB NOT NULL           -- sealed JSON
) STRICT;
CREATE INDEX IF NOT EXISTS reported_by_time ON reported (at);
CREATE INDEX IF NOT EXISTS events_by_time ON events (at);
`

const (
	maxEvent    = 32 << 10 // bytes, opened
	maxReported = 100_000
)

// eventName is what names of events look like; they are predefined, but not all published.
var eventName = regexp.MustCompile(`^E_[A-Z0-9_]{1,80}$`)

func (s *Server) eventRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT /events/tenant/{tenant}/community/{community}/event/{name}", s.reportEvent)
	mux.HandleFunc("POST /reports/tenant/{tenant}/community/{community}/{report}", s.report)
}

// ownPlace checks tenant and community of a path, by their ids. When it returns false it
// has answered.
func (s *Server) ownPlace(w http.ResponseWriter, r *http.Request) bool {
	if r.PathValue("tenant") != s.tenantID || r.PathValue("community") != s.communityID {
		guessUnknownTenant.write(w)
		return false
	}
	return true
}

// reportEvent takes one event of a caller's.
func (s *Server) reportEvent(w http.ResponseWriter, r *http.Request) {
	if !s.ownPlace(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcEvents)
	if !ok {
		return
	}
	var body map[string]json.RawMessage
	if !a.openBody(w, r, &body) {
		return
	}
	name := r.PathValue("name")
	text := func(key string) string {
		var v string
		_ = json.Unmarshal(body[key], &v) // another type is none
		return v
	}
	plain, err := json.Marshal(body)
	id, at := text("event_id"), s.now()
	switch {
	case err != nil || body == nil:
		badEvent("event must be an object").write(w)
		return
	case !eventName.MatchString(name):
		badEvent("event name is not one of the predefined").write(w)
		return
	case len(plain) > maxEvent || len(id) > 128:
		guessTooLarge.write(w)
		return
	}
	if v := body["event_ts"]; v != nil {
		var ms json.Number
		if json.Unmarshal(v, &ms) == nil {
			if n, err := ms.Int64(); err == nil && n > 0 && n < at.Add(24*time.Hour).UnixMilli() {
				at = time.UnixMilli(n)
			}
		}
	}
	if id == "" {
		fresh, err := uuid.NewRandom()
		if err != nil {
			s.internal(w, "name an event", err)
			return
		}
		id = fresh.String()
	}
	if err := s.keepReported(r.Context(), id, name, at, body); err != nil {
		s.internal(w, "keep an event", err)
		return
	}
	guessEventTaken(w, id)
}

// keepReported stores an event, unless one of its id is there.
func (s *Server) keepReported(ctx context.Context, id, name string, at time.Time, body map[string]json.RawMessage) error {
	sealed, err := s.store.sealJSON("reported/sealed/"+id, body)
	if err != nil {
		return err
	}
	return s.store.update(ctx, func(tx *sql.Tx) error {
		var n int
		if err := tx.QueryRowContext(ctx, `SELECT count(*) FROM reported`).Scan(&n); err != nil {
			return fmt.Errorf("events: %w", err)
		}
		if n >= maxReported {
			return errors.New("events: there are too many")
		}
		if _, err := tx.ExecContext(ctx, `INSERT INTO reported (id, name, at, sealed) VALUES (?, ?, ?, ?) ON CONFLICT (id) DO NOTHING`,
			id, name, at.UnixMilli(), sealed); err != nil {
			return fmt.Errorf("event: %w", err)
		}
		return nil
	})
}

func (s *Server) sweepEvents(ctx context.Context, now time.Time) error {
	if _, err := s.store.db.ExecContext(ctx, `DELETE FROM reported WHERE at <= ?`, now.Add(-eventsTTL).UnixMilli()); err != nil {
		return fmt.Errorf("sweep events: %w", err)
	}
	return nil
}
