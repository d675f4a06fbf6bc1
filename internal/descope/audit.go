package descope

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"strings"
	"time"
)

// MaxSignIns is how many events one search asks for.
const MaxSignIns = 500

const maxAudit = 2 << 20 // bytes of an answer with that many

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
// more says that there is another. Descope looks back 30 days, takes ten searches a minute,
// and may write an event down late: look again at the time just before the last search, and
// tell by their ids what was read already.
//
// Left out is what nobody has signed in by themselves: an operator's impersonation, and
// events without a user or a time. (POST /v1/mgmt/audit/search.)
func (c *Client) SignIns(ctx context.Context, since, until time.Time, page int) (list []SignIn, more bool, err error) {
	if page < 0 {
		return nil, false, errors.New("descope: pages count from 0")
	}
	in := struct {
		From        int64    `json:"from"`
		To          int64    `json:"to,omitempty"`
		Actions     []string `json:"actions"`
		Size        int      `json:"size"`
		Page        int      `json:"page"`
		OldestFirst bool     `json:"oldestFirst"`
	}{From: max(since.UnixMilli(), 1), Actions: []string{actionSignIn}, Size: MaxSignIns, Page: page, OldestFirst: true}
	if !until.IsZero() {
		in.To = max(until.UnixMilli(), 1)
	}
	var out struct {
		Audits []audit `json:"audits"`
		Total  int64   `json:"total"`
	}
	if err := c.postUpTo(ctx, maxAudit, "/v1/mgmt/audit/search", in, &out); err != nil {
		return nil, false, err
	}
	if len(out.Audits) > MaxSignIns {
		return nil, false, unavailable(errors.New("descope: the answer has more events than were asked for"), 0)
	}
	for _, a := range out.Audits {
		if s, ok := a.signIn(); ok {
			list = append(list, s)
		}
	}
	return list, int64(page)*MaxSignIns+int64(len(out.Audits)) < out.Total && len(out.Audits) > 0, nil
}

// As the trail names them (documented).
const (
	actionSignIn        = "LoginSucceed"
	methodImpersonation = "Impersonate"
)

// audit is an event. What of it is of another type than ours is not told, so that one
// odd event does not hide the others.
type audit struct {
	ID, UserID, Action, Method, Geo, RemoteAddress string
	ExternalIDs                                    []string
	Occurred                                       time.Time
}

func (a *audit) UnmarshalJSON(b []byte) error {
	var fields map[string]json.RawMessage
	if err := json.Unmarshal(b, &fields); err != nil {
		return err
	}
	text := func(name string) (s string) {
		_ = json.Unmarshal(fields[name], &s)
		return s
	}
	*a = audit{
		ID: text("ID"), UserID: text("userId"), Action: text("action"), Method: text("method"), Geo: text("geo"), RemoteAddress: text("remoteAddress"),
	}
	_ = json.Unmarshal(fields["externalIds"], &a.ExternalIDs)
	var at json.Number // takes numbers and strings of them: both are documented
	if json.Unmarshal(fields["occurred"], &at) == nil {
		if ms, err := at.Int64(); err == nil && ms > 0 && ms < 1e15 {
			a.Occurred = time.UnixMilli(ms).UTC()
		}
	}
	return nil
}

func (a *audit) signIn() (SignIn, bool) {
	s := SignIn{ID: a.ID, UserID: a.UserID, LoginIDs: a.ExternalIDs, At: a.Occurred, Method: a.Method}
	if g := strings.ToUpper(a.Geo); len(g) == 2 && g[0] >= 'A' && g[0] <= 'Z' && g[1] >= 'A' && g[1] <= 'Z' {
		s.Country = g
	}
	if ip, err := netip.ParseAddr(a.RemoteAddress); err == nil {
		s.IP = ip.Unmap().WithZone("")
	}
	return s, a.Action == actionSignIn && a.UserID != "" && !a.Occurred.IsZero() && !strings.EqualFold(a.Method, methodImpersonation)
}
