package manage

import (
	"encoding/json"
	"math"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
)

func (s *server) audits() map[string]call {
	return map[string]call{
		"POST /v1/mgmt/audit/search": s.searchAudit,
		"POST /v1/mgmt/audit/event":  s.addEvent,
	}
}

// millis is a time in unix milliseconds; SDKs send a number, the API's description
// says a string.
type millis struct{ time.Time }

func (m *millis) UnmarshalJSON(b []byte) error {
	var n json.Number
	if err := json.Unmarshal(b, &n); err != nil || n == "" || n == "0" {
		return err // a json.Number takes numbers and strings of them, and null
	}
	f, err := n.Float64()
	if err != nil || math.Abs(f) > 1e15 {
		return errBody
	}
	m.Time = time.UnixMilli(int64(f))
	return nil
}

func (s *server) searchAudit(r *request) (any, error) {
	now := s.Now()
	if after, ok := s.searches.take(now); !ok {
		r.w.Header().Set("Retry-After", strconv.Itoa(int(math.Ceil(after.Seconds()))))
		return nil, errRate
	}
	var b struct {
		From            millis   `json:"from"`
		To              millis   `json:"to"`
		Actions         []string `json:"actions"`
		ExcludedActions []string `json:"excludedActions"`
		UserIDs         []string `json:"userIds"`
		ActorIDs        []string `json:"actorIds"`
		ExternalIDs     []string `json:"externalIds"` // login ids
		Tenants         []string `json:"tenants"`
		NoTenants       bool     `json:"noTenants"`
		Methods         []string `json:"methods"`
		Geos            []string `json:"geos"`
		Devices         []string `json:"devices"`
		RemoteAddresses []string `json:"remoteAddresses"`
		AuditTypes      []string `json:"auditTypes"`
		Levels          []string `json:"levels"`
		Text            string   `json:"text"`
		Size            int      `json:"size"`
		Limit           int      `json:"limit"`
		Page            int      `json:"page"`
		OldestFirst     bool     `json:"oldestFirst"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	q := accounts.AuditQuery{
		From: b.From.Time, To: b.To.Time, Actions: b.Actions, ExcludedActions: b.ExcludedActions, UserIDs: b.UserIDs, ActorIDs: b.ActorIDs,
		LoginIDs: b.ExternalIDs, Tenants: b.Tenants, NoTenants: b.NoTenants, Methods: b.Methods, Geos: b.Geos, Devices: b.Devices,
		RemoteAddresses: b.RemoteAddresses, Types: append(b.AuditTypes, b.Levels...), Text: b.Text, Size: max(b.Size, b.Limit), Page: b.Page, OldestFirst: b.OldestFirst,
	}
	if monthAgo := now.AddDate(0, 0, -30); q.From.Before(monthAgo) {
		q.From = monthAgo // as far as Descope goes back
	}
	events, total := s.Accounts.Audit(r.ctx, q)
	out := make([]audit, len(events))
	for i, e := range events {
		out[i] = audit{
			ID: strconv.FormatInt(e.ID, 10), ProjectID: s.ProjectID, UserID: e.UserID, Action: e.Action, Type: e.Type, ActorID: e.ActorID,
			Occurred: strconv.FormatInt(e.Occurred.UnixMilli(), 10), Device: e.Device, Method: e.Method, Geo: e.Geo, RemoteAddress: e.RemoteAddress,
			ExternalIDs: e.LoginIDs, Tenants: e.Tenants, Data: e.Data,
		}
		if e.LoginIDs == nil {
			out[i].ExternalIDs = []string{}
		}
		if e.Tenants == nil {
			out[i].Tenants = []string{}
		}
		if e.Data == nil {
			out[i].Data = map[string]any{}
		}
	}
	return map[string]any{"audits": out, "total": total}, nil
}

// audit is an event as the search answers it.
type audit struct {
	ID            string         `json:"ID"`
	ProjectID     string         `json:"projectId"`
	UserID        string         `json:"userId"`
	Action        string         `json:"action"`
	Type          string         `json:"type"`
	ActorID       string         `json:"actorId"`
	Occurred      string         `json:"occurred"` // unix milliseconds
	Device        string         `json:"device"`
	Method        string         `json:"method"`
	Geo           string         `json:"geo"`
	RemoteAddress string         `json:"remoteAddress"`
	ExternalIDs   []string       `json:"externalIds"`
	Tenants       []string       `json:"tenants"`
	Data          map[string]any `json:"data"`
}

const maxAction = 100 // characters

func (s *server) addEvent(r *request) (any, error) {
	var b struct {
		UserID   string         `json:"userId"`
		Action   string         `json:"action"`
		Type     string         `json:"type"`
		ActorID  string         `json:"actorId"`
		TenantID string         `json:"tenantId"`
		Data     map[string]any `json:"data"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	switch {
	case b.Action == "" || len(b.Action) > maxAction:
		return nil, bad("action is missing or too long.")
	case b.Type != "" && b.Type != "info" && b.Type != "warn" && b.Type != "error":
		return nil, bad("type must be info, warn or error.")
	case len(r.body) > 16<<10:
		return nil, errLong
	}
	e := accounts.Event{Action: b.Action, Type: b.Type, ActorID: b.ActorID, UserID: b.UserID, Data: b.Data}
	if e.Type == "" {
		e.Type = "info"
	}
	if b.TenantID != "" {
		e.Tenants = []string{b.TenantID}
	}
	return nil, s.Accounts.Record(r.ctx, e)
}
