package auditing

import (
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/connectors"
)

// payload is an event as the webhook tells it.
type payload struct {
	Action            string         `json:"action"`
	ActorID           string         `json:"actorId"`
	UserID            string         `json:"userId"`
	ProjectID         string         `json:"projectId"`
	Occurred          int64          `json:"occurred"`           // unix milliseconds
	OccurredFormatted string         `json:"occurred_formatted"` // ISO 8601
	Device            string         `json:"device"`
	Method            string         `json:"method"`
	Geo               string         `json:"geo"`
	RemoteAddress     string         `json:"remoteAddress"`
	LoginIDs          []string       `json:"loginIds"`
	Tenants           []string       `json:"tenants"` // null if there is none
	Data              map[string]any `json:"data"`
}

func payloadOf(project string, e accounts.Event) payload {
	p := payload{
		Action: e.Action, ActorID: e.ActorID, UserID: e.UserID, ProjectID: project,
		Occurred: e.Occurred.UnixMilli(), OccurredFormatted: e.Occurred.UTC().Format("2006-01-02T15:04:05.000Z"),
		Device: e.Device, Method: e.Method, Geo: e.Geo, RemoteAddress: e.RemoteAddress, LoginIDs: e.LoginIDs, Data: e.Data,
	}
	if p.LoginIDs == nil {
		p.LoginIDs = []string{}
	}
	if len(e.Tenants) > 0 {
		p.Tenants = e.Tenants
	}
	if p.Data == nil {
		p.Data = map[string]any{}
	}
	return p
}

// Keys and operators of filters.
const (
	keyActions = "actions"
	keyTenants = "tenants"
	includes   = "includes"
	excludes   = "excludes"
)

// lets reports whether every filter lets an event through.
func lets(filters []connectors.AuditFilter, e accounts.Event) bool {
	for _, f := range filters {
		values := []string{e.Action}
		if f.Key == keyTenants {
			values = e.Tenants
		}
		named := slices.ContainsFunc(values, func(v string) bool { return slices.Contains(f.Values, v) })
		if named != (f.Operator == includes) {
			return false
		}
	}
	return true
}
