package descope

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// MaxAudit is how many events one search answers at most.
const MaxAudit = 500

// MaxSignIns is how many events one search of SignIns asks for.
const MaxSignIns = MaxAudit

const maxSignIns = 2 << 20 // bytes of an answer with that many

// AuditSearch selects events of the audit trail; what is empty selects all (reference/
// descope.md 6.2). Descope looks back 30 days and takes ten searches a minute.
type AuditSearch struct {
	From, To        time.Time // To is not included; to the millisecond
	Actions         []string  // as UserCreated
	ExcludedActions []string
	UserIDs         []string
	ActorIDs        []string
	LoginIDs        []string // externalIds
	Tenants         []string // Descope tenants
	NoTenants       bool     // also what belongs to none
	Methods         []string
	Geos            []string
	Devices         []string
	RemoteAddresses []string
	Types           []string // info, warn, error: auditTypes
	Levels          []string
	Text            string
	OldestFirst     bool
	Size            int // 1 to MaxAudit; 0: MaxAudit
	Page            int // counts from 0
}

// Event is an event of the audit trail. What Descope does not say is empty.
type Event struct {
	ID            string // may be empty
	Action        string
	Type          string // info, warn, error
	UserID        string
	ActorID       string
	LoginIDs      []string
	At            time.Time // to the millisecond, UTC
	Device        string
	Method        string
	Geo           string
	RemoteAddress string
	Tenants       []string
	Data          map[string]any
}

// SearchAudit searches the audit trail (POST /v1/mgmt/audit/search); more says that there is
// another page. Events may be written down late: look again at the time just before the
// last search, and tell by what they say which were read already.
func (c *Client) SearchAudit(ctx context.Context, s AuditSearch) (events []Event, more bool, err error) {
	return c.searchAudit(ctx, s, 0)
}

func (c *Client) searchAudit(ctx context.Context, s AuditSearch, limit int64) (events []Event, more bool, err error) {
	if s.Size == 0 {
		s.Size = MaxAudit
	}
	if s.Size < 0 || s.Size > MaxAudit || s.Page < 0 {
		return nil, false, invalid("a page of the trail has 1 to 500 events, and pages count from 0")
	}
	in := struct {
		From            int64    `json:"from,omitempty"`
		To              int64    `json:"to,omitempty"`
		Actions         []string `json:"actions,omitempty"`
		ExcludedActions []string `json:"excludedActions,omitempty"`
		UserIDs         []string `json:"userIds,omitempty"`
		ActorIDs        []string `json:"actorIds,omitempty"`
		LoginIDs        []string `json:"externalIds,omitempty"`
		Tenants         []string `json:"tenants,omitempty"`
		NoTenants       bool     `json:"noTenants,omitempty"`
		Methods         []string `json:"methods,omitempty"`
		Geos            []string `json:"geos,omitempty"`
		Devices         []string `json:"devices,omitempty"`
		RemoteAddresses []string `json:"remoteAddresses,omitempty"`
		Types           []string `json:"auditTypes,omitempty"`
		Levels          []string `json:"levels,omitempty"`
		Text            string   `json:"text,omitempty"`
		Size            int      `json:"size"`
		Page            int      `json:"page"`
		OldestFirst     bool     `json:"oldestFirst"`
	}{
		Actions: s.Actions, ExcludedActions: s.ExcludedActions, UserIDs: s.UserIDs, ActorIDs: s.ActorIDs, LoginIDs: s.LoginIDs, Tenants: s.Tenants,
		NoTenants: s.NoTenants, Methods: s.Methods, Geos: s.Geos, Devices: s.Devices, RemoteAddresses: s.RemoteAddresses, Types: s.Types, Levels: s.Levels,
		Text: s.Text, Size: s.Size, Page: s.Page, OldestFirst: s.OldestFirst,
	}
	// A zero would be no limit to Descope. Nothing is older than the trail anyway.
	in.From = max(s.From.UnixMilli(), 1)
	if !s.To.IsZero() {
		in.To = max(s.To.UnixMilli(), 1)
	}
	var out struct {
		Audits []Event `json:"audits"`
		Total  int64   `json:"total"`
	}
	if err := c.doUpTo(ctx, limit, CallSearchAudit, nil, in, &out); err != nil {
		return nil, false, err
	}
	if len(out.Audits) > s.Size {
		return nil, false, unavailable(errors.New("descope: the answer has more events than were asked for"), 0)
	}
	return out.Audits, int64(s.Page)*int64(s.Size)+int64(len(out.Audits)) < out.Total && len(out.Audits) > 0, nil
}

// UnmarshalJSON reads an event. What of it is of another type than ours is not told.
func (e *Event) UnmarshalJSON(b []byte) error {
	var f fields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*e = Event{
		ID: f.text("ID"), Action: f.text("action"), Type: f.text("type"), UserID: f.text("userId"), ActorID: f.text("actorId"),
		LoginIDs: f.texts("externalIds"), At: f.millis("occurred"), Device: f.text("device"), Method: f.text("method"), Geo: f.text("geo"),
		RemoteAddress: f.text("remoteAddress"), Tenants: f.texts("tenants"), Data: f.object("data"),
	}
	return nil
}

// Told is the event in door C's words, the same as of the webhook that tells the same event.
func (e *Event) Told() hooks.Told {
	return hooks.Told{Action: e.Action, OccurredAt: e.At, Content: hooks.Content{
		UserID: e.UserID, LoginIDs: e.LoginIDs, ActorID: e.ActorID, Method: e.Method, Device: e.Device, Geo: e.Geo, RemoteAddress: e.RemoteAddress,
		Tenants: e.Tenants, Type: e.Type, Data: e.Data,
	}}
}

// NewAudit is an entry of ours for the trail.
type NewAudit struct {
	Action   string // any name of at most 100 bytes
	Type     string // info, warn, error; empty: info
	UserID   string
	ActorID  string
	TenantID string // Descope tenant; empty: none
	Data     map[string]any
}

const maxAuditData = 8 << 10 // bytes

// AddAudit writes an entry into the audit trail (POST /v1/mgmt/audit/event). It is not the
// same again when repeated; see EffectOf.
func (c *Client) AddAudit(ctx context.Context, n NewAudit) error {
	if n.Type == "" {
		n.Type = auditInfo
	}
	if !word(n.Action, maxName) || len(n.UserID) > maxID || len(n.ActorID) > maxID || len(n.TenantID) > maxID {
		return invalid("an entry needs an action of 1 to 100 bytes, and ids are of at most 254")
	}
	if n.Type != "info" && n.Type != "warn" && n.Type != "error" {
		return invalid("the type of an entry is info, warn or error")
	}
	data, err := json.Marshal(n.Data)
	if err != nil || len(data) > maxAuditData {
		return invalid("the data of an entry is too long, or no JSON")
	}
	return c.do(ctx, CallAuditEvent, nil, struct {
		Action   string         `json:"action"`
		Type     string         `json:"type"`
		UserID   string         `json:"userId,omitempty"`
		ActorID  string         `json:"actorId,omitempty"`
		TenantID string         `json:"tenantId,omitempty"`
		Data     map[string]any `json:"data,omitempty"`
	}{n.Action, n.Type, n.UserID, n.ActorID, n.TenantID, n.Data}, nil)
}

// SignIn is a login that succeeded, as Descope's audit trail has it. The trail tells
// nothing of the device or of the risk (reference/descope.md 6.2).
type SignIn struct {
	ID       string // of the event; may be empty
	UserID   string
	LoginIDs []string
	At       time.Time // to the millisecond, UTC
	Method   string    // as "otp"
	Country  string    // ISO 3166-1 alpha-2; empty: not told
	IP       netip.Addr
}

// SignIns searches the audit trail for logins that succeeded, oldest first: those from
// since on, and before until (zero: now). Pages count from 0 and have MaxSignIns events;
// more says that there is another.
//
// Left out is what nobody has signed in by themselves: an operator's impersonation, and
// events without a user or a time.
func (c *Client) SignIns(ctx context.Context, since, until time.Time, page int) (list []SignIn, more bool, err error) {
	events, more, err := c.searchAudit(ctx, AuditSearch{From: since, To: until, Actions: []string{actionSignIn}, Size: MaxSignIns, Page: page, OldestFirst: true}, maxSignIns)
	if err != nil {
		return nil, false, err
	}
	for i := range events {
		if s, ok := events[i].signIn(); ok {
			list = append(list, s)
		}
	}
	return list, more, nil
}

// As the trail names them (documented).
const (
	actionSignIn        = "LoginSucceed"
	methodImpersonation = "Impersonate"
)

func (e *Event) signIn() (SignIn, bool) {
	s := SignIn{ID: e.ID, UserID: e.UserID, LoginIDs: e.LoginIDs, At: e.At, Method: e.Method}
	if g := strings.ToUpper(e.Geo); len(g) == 2 && g[0] >= 'A' && g[0] <= 'Z' && g[1] >= 'A' && g[1] <= 'Z' {
		s.Country = g
	}
	if ip, err := netip.ParseAddr(e.RemoteAddress); err == nil {
		s.IP = ip.Unmap().WithZone("")
	}
	return s, e.Action == actionSignIn && e.UserID != "" && !e.At.IsZero() && !strings.EqualFold(e.Method, methodImpersonation)
}
