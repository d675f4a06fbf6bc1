package kosmos

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Reports (reference 7.3): what happened, by pages.

const svcReports = "reports"

// reportAsk is the body of every report but metrics, which has metricsName.
type reportAsk struct {
	PIndex  int    `json:"pIndex"`
	PSize   int    `json:"pSize"`
	From    string `json:"from"`
	To      string `json:"to"`
	Metrics string `json:"metricsName"`
	Query   struct {
		EventName string `json:"event_name"`
	} `json:"query"`

	from, to time.Time
}

type reportPage struct {
	Total  int `json:"total"`
	PSize  int `json:"pSize"`
	PIndex int `json:"pIndex"`
}

// reportRow is one line of a report.
type reportRow map[string]any

func (s *Server) report(w http.ResponseWriter, r *http.Request) {
	if !s.ownPlace(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcReports)
	if !ok {
		return
	}
	var body json.RawMessage
	if !readJSON(w, r, &body) {
		return
	}
	var outer struct {
		Data *string `json:"data"`
	}
	if json.Unmarshal(body, &outer) == nil && outer.Data != nil {
		plain, err := a.shared.Open(*outer.Data)
		if err != nil {
			guessData.write(w)
			return
		}
		body = plain
	}
	var ask reportAsk
	if json.Unmarshal(body, &ask) != nil {
		badReport("query must be of type object", "query").write(w)
		return
	}
	if p := ask.check(s.now()); p != nil {
		p.write(w)
		return
	}
	answer, p, err := s.makeReport(r.Context(), r.PathValue("report"), &ask)
	switch {
	case err != nil:
		s.internal(w, "make a report", err)
	case p != nil:
		p.write(w)
	default:
		writeJSON(w, http.StatusOK, answer)
	}
}

// check reads the times: from no older than 90 days, to after it (documented).
func (q *reportAsk) check(now time.Time) *problem {
	var err error
	refuse := func(text, param string) *problem { p := badReport(text, param); return &p }
	if q.from, err = time.ParseInLocation(reportTime, q.From, time.UTC); err != nil {
		return refuse("from must be YYYY-MM-DD HH:mm:ss.SSS", "from")
	}
	if q.to, err = time.ParseInLocation(reportTime, q.To, time.UTC); err != nil {
		return refuse("to must be YYYY-MM-DD HH:mm:ss.SSS", "to")
	}
	if q.PSize == 0 {
		q.PSize = defaultPage
	}
	switch {
	case q.from.Before(now.Add(-eventsTTL)):
		return refuse("from must not be older than 90 days", "from")
	case !q.to.After(q.from):
		return refuse("to must be after from", "to")
	case q.PIndex < 0 || q.PIndex > maxReported:
		return refuse("pIndex must be 0 or more", "pIndex")
	case q.PSize < 1 || q.PSize > maxPage:
		return refuse("pSize must be from 1 to 1000", "pSize")
	}
	return nil
}

// Names of events that count as logins.
var (
	loginEvents = []string{eventLoginSucceeded, eventLoginFailed}
	goodLogins  = []string{eventLoginSucceeded}
)

func (s *Server) makeReport(ctx context.Context, name string, q *reportAsk) (any, *problem, error) {
	paged := func(rows []reportRow, total int, err error, wrap string) (any, *problem, error) {
		page := reportPage{total, q.PSize, q.PIndex}
		if wrap != "" {
			return map[string]any{"page": page, "data": map[string]any{wrap: rows}}, nil, err
		}
		return map[string]any{"page": page, "data": rows}, nil, err
	}
	switch name {
	case "events":
		var only []string
		if q.Query.EventName != "" {
			only = []string{q.Query.EventName}
		}
		rows, total, err := s.eventRows(ctx, q, only, q.PIndex*q.PSize, q.PSize)
		return paged(rows, total, err, "")
	case "login_activity_report":
		rows, total, err := s.eventRows(ctx, q, loginEvents, q.PIndex*q.PSize, q.PSize)
		return paged(rows, total, err, "activityEvents")
	case "passwordless_login_activity_report": // there are no passwords here
		rows, total, err := s.eventRows(ctx, q, goodLogins, q.PIndex*q.PSize, q.PSize)
		return paged(rows, total, err, "activityEvents")
	case "audit_log":
		rows, total, err := s.auditRows(ctx, q)
		return paged(rows, total, err, "auditLogEvents")
	case "metrics":
		if q.Metrics != metricLogins && q.Metrics != metricSuccessful {
			p := badReport("metricsName is not known", "metricsName")
			return nil, &p, nil
		}
		_, total, err := s.eventRows(ctx, q, goodLogins, 0, 1)
		return map[string]int{"count": total}, nil, err
	case "application_usage_report", "last_seen_report":
		rows, _, err := s.eventRows(ctx, q, goodLogins, 0, maxSummed)
		if err != nil {
			return nil, nil, err
		}
		if name == "last_seen_report" {
			rows = lastSeen(rows)
		} else {
			rows = usage(rows)
		}
		first := min(len(rows), q.PIndex*q.PSize)
		return paged(rows[first:min(len(rows), first+q.PSize)], len(rows), nil, "")
	}
	p := guessNoRoute
	return nil, &p, nil
}

// eventRows are events of callers and of this server, newest first.
func (s *Server) eventRows(ctx context.Context, q *reportAsk, only []string, skip, most int) (rows []reportRow, total int, err error) {
	filter, args := "", []any{}
	if len(only) > 0 {
		filter = ` AND name IN (?` + strings.Repeat(", ?", len(only)-1) + `)`
		for _, n := range only {
			args = append(args, n)
		}
	}
	// KOSMOSCOPE_ events are no events of the vendor's.
	all := `(SELECT 0 own, id, '' session, name, at, sealed FROM reported UNION ALL
		SELECT 1, CAST(id AS TEXT), session, name, at, NULL FROM events WHERE name GLOB 'E_*') WHERE at >= ? AND at < ?` + filter
	args = append([]any{q.from.UnixMilli(), q.to.UnixMilli()}, args...)
	if err := s.store.db.QueryRowContext(ctx, `SELECT count(*) FROM `+all, args...).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("report: %w", err)
	}
	found, err := s.store.db.QueryContext(ctx, `SELECT own, id, session, name, at, sealed FROM `+all+` ORDER BY at DESC, own, id DESC LIMIT ? OFFSET ?`,
		append(args, most, skip)...)
	if err != nil {
		return nil, 0, fmt.Errorf("report: %w", err)
	}
	defer func() { _ = found.Close() }()
	rows = []reportRow{}
	for found.Next() {
		var own bool
		var id, session, name string
		var at int64
		var sealed []byte
		if err := found.Scan(&own, &id, &session, &name, &at, &sealed); err != nil {
			return nil, 0, fmt.Errorf("report: %w", err)
		}
		r := reportRow{}
		if !own {
			if err := s.store.openJSON("reported/sealed/"+id, sealed, &r); err != nil {
				return nil, 0, err
			}
		} else {
			id = uuidOf(s.communityID, "event "+id)
			r["session_id"], r["version"], r["type"] = session, "v1", "event"
			if slices.Contains(loginEvents, name) {
				r["authFactor"] = authFactorLiveID
			}
		}
		s.rowTimes(r, id, name, at)
		rows = append(rows, r)
	}
	return rows, total, found.Err()
}

// rowTimes are the members that this server knows of every row.
func (s *Server) rowTimes(r reportRow, id, name string, at int64) {
	t := time.UnixMilli(at).UTC()
	r["event_id"], r["event_name"], r["event_ts"], r["epoch_time"] = id, name, at, at/1000
	r["timestamp"], r["tenant_id"], r["community_id"] = t.Format(reportTime), s.tenantID, s.communityID
}

// auditRows are the changes of users, without their names.
func (s *Server) auditRows(ctx context.Context, q *reportAsk) (rows []reportRow, total int, err error) {
	from, to := q.from.UnixMilli(), q.to.UnixMilli()
	if err := s.store.db.QueryRowContext(ctx, `SELECT count(*) FROM audit WHERE at >= ? AND at < ?`, from, to).Scan(&total); err != nil {
		return nil, 0, fmt.Errorf("report: %w", err)
	}
	found, err := s.store.db.QueryContext(ctx, `SELECT id, at, actor, action FROM audit WHERE at >= ? AND at < ? ORDER BY id DESC LIMIT ? OFFSET ?`,
		from, to, q.PSize, q.PIndex*q.PSize)
	if err != nil {
		return nil, 0, fmt.Errorf("report: %w", err)
	}
	defer func() { _ = found.Close() }()
	rows = []reportRow{}
	for found.Next() {
		var id, at int64
		var actor, action string
		if err := found.Scan(&id, &at, &actor, &action); err != nil {
			return nil, 0, fmt.Errorf("report: %w", err)
		}
		r := reportRow{"actor": actor}
		s.rowTimes(r, uuidOf(s.communityID, "audit "+strconv.FormatInt(id, 10)), action, at)
		rows = append(rows, r)
	}
	return rows, total, found.Err()
}

// lastSeen keeps the newest login of each user who is named.
func lastSeen(rows []reportRow) []reportRow {
	out, seen := []reportRow{}, map[string]bool{}
	for _, r := range rows { // newest first
		if who, _ := r["user_id"].(string); who != "" && !seen[who] {
			seen[who] = true
			out = append(out, reportRow{"user_id": who, "last_seen": r["timestamp"], "event_ts": r["event_ts"]})
		}
	}
	return out
}

// usage counts the logins of each application that is named.
func usage(rows []reportRow) []reportRow {
	counts, names := map[string]int{}, map[string]any{}
	for _, r := range rows {
		if sp, _ := r["sp_id"].(string); sp != "" {
			counts[sp]++
			names[sp] = r["sp_name"]
		}
	}
	out := []reportRow{}
	for _, sp := range slices.Sorted(maps.Keys(counts)) {
		out = append(out, reportRow{"sp_id": sp, "sp_name": names[sp], "count": counts[sp]})
	}
	return out
}
