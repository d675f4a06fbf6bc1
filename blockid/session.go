package blockid

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
)

// AuthFace is the authtype that asks for the person's LiveID. Others that are
// documented are "Fingerprint", "Pin" and "none".
const AuthFace = "Face"

// UWLRequest opens a UWL 2.0 session: a question that whoever's 1Kosmos app
// scans its code can answer.
type UWLRequest struct {
	AuthType string // such as AuthFace; required
	// Scopes are what the app is to tell, separated by commas; "" means
	// DefaultScopes.
	Scopes string
	// Metadata is shown to the person, as far as the app does. Everybody who has
	// the session's link can read it.
	Metadata map[string]string
	// AuthPage is the app's address; "" means "blockid://authenticate".
	AuthPage string
}

// DefaultScopes ask for what trusting an answer takes, and no more.
const DefaultScopes = "did,userid"

// UWLSession is an open session. URL is what a code for the app holds; it is
// a bearer link. Printing or logging the session hides all of it.
//
// Key is the session's own: the app seals its answer for it. The sealed part of
// an answer says nothing about the session it was made for, so that with one key
// for all of them an answer captured once could be given again to another
// session. With a key each, it does not open there.
type UWLSession struct {
	ID  string
	URL string
	Key *PrivateKey
}

// String hides the link.
func (s UWLSession) String() string { return "uwl session (redacted)" }

// GoString hides the link.
func (s UWLSession) GoString() string { return s.String() }

// LogValue hides the link.
func (s UWLSession) LogValue() slog.Value { return slog.StringValue(s.String()) }

type uwlOrigin struct {
	Tag           string `json:"tag"`
	URL           string `json:"url"`
	CommunityName string `json:"communityName"`
	CommunityID   string `json:"communityId"`
	AuthPage      string `json:"authPage"`
}

type uwlCreate struct {
	Origin   uwlOrigin         `json:"origin"`
	Scopes   string            `json:"scopes"`
	AuthType string            `json:"authtype"`
	Metadata map[string]string `json:"metadata,omitempty"`
}

// NewSession opens a UWL session. The service ends it by itself, after 60
// seconds unless the tenant has another time.
func (c *Client) NewSession(ctx context.Context, q UWLRequest) (UWLSession, error) {
	const op = "uwl.create"
	if q.AuthType == "" {
		return UWLSession{}, invalid(op, "AuthType is required")
	}
	fail := func(err error) (UWLSession, error) { return UWLSession{}, asError(err, op, ServiceSessions) }
	com, err := c.community(ctx)
	if err != nil {
		return fail(err)
	}
	dir, err := c.directory(ctx)
	if err != nil {
		return fail(err)
	}
	console, err := c.base(ServiceAdminConsole, com, dir)
	if err != nil {
		return fail(err)
	}
	key, err := c.ownKey(ctx, ServiceSessions)
	if err != nil {
		return fail(err)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceSessions, method: http.MethodPut, path: "/session/new", key: key,
		body: uwlCreate{
			Origin: uwlOrigin{
				Tag: com.TenantTag, URL: console.String(), CommunityName: com.Name, CommunityID: com.ID,
				AuthPage: cmp.Or(q.AuthPage, "blockid://authenticate"),
			},
			Scopes: cmp.Or(q.Scopes, DefaultScopes), AuthType: q.AuthType, Metadata: q.Metadata,
		},
		plain: true, clear: true, raw: true, status: http.StatusCreated,
	})
	if err != nil {
		return UWLSession{}, err
	}
	id, err := parseUWLCreate(a.plain)
	if err != nil {
		return fail(err)
	}
	// The route's base was checked, so this is on an allowed host.
	u, err := a.route.url("/session/" + url.PathEscape(id))
	if err != nil {
		return fail(err)
	}
	return UWLSession{ID: id, URL: u.String(), Key: key}, nil
}

func parseUWLCreate(b []byte) (string, error) {
	var w struct {
		SessionID scalar `json:"sessionId"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return "", &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if id := string(w.SessionID); sessionIDSafe(id) && segment(id) {
		return id, nil
	}
	if e := errorInSuccess(b); e != nil {
		return "", e
	}
	return "", malformed("session id missing")
}

// UWLAnswer is the state of a UWL session and, once somebody answered, what
// their app said. It may hold personal data; printing or logging it shows the
// status only.
//
// An answer that exists means that the app found its owner's face: 1Kosmos has
// no other form of success, and none for failure. Whether the app kept to the
// AuthType cannot be seen from here.
type UWLAnswer struct {
	Status    Status // StatusPending, StatusExpired, or StatusSuccess: there is an answer
	SessionID string

	// DID is the wallet that the answer names, and PublicKey the key that opened
	// it. Alone they prove nothing: anybody can make a key and name a wallet. See
	// Authenticate.
	DID       string
	PublicKey *PublicKey
	// User is what the app told besides, decrypted. It is the app's claim; who it
	// is about is for Belongs to say.
	User map[string]json.RawMessage

	AppID       string
	IAL         string
	SessionInfo map[string]json.RawMessage // the session as it was opened
	Extra       map[string]json.RawMessage // fields of the answer that this package does not know

	// UserIDs are the users of the wallet, and Belongs reports whether the one
	// asked for is among them. Only Authenticate sets them.
	UserIDs []string
	Belongs bool
}

// String hides what is personal.
func (a UWLAnswer) String() string { return "uwl answer " + string(a.Status) }

// GoString hides what is personal.
func (a UWLAnswer) GoString() string { return a.String() }

// LogValue hides what is personal.
func (a UWLAnswer) LogValue() slog.Value { return slog.StringValue(a.String()) }

// SessionAnswer reads the state of a session; of s it needs ID and Key. The
// service says 404 as long as nobody answered and 400 once the session has
// expired. An answer is opened, but not yet trusted: see Authenticate.
func (c *Client) SessionAnswer(ctx context.Context, s UWLSession) (*UWLAnswer, error) {
	const op = "uwl.response"
	if !segment(s.ID) || s.Key == nil {
		return nil, invalid(op, "ID and Key of the session are required")
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceSessions, method: http.MethodGet, path: "/session/" + url.PathEscape(s.ID) + "/response",
		header: http.Header{"Addsessioninfo": {"1"}}, key: s.Key, raw: true,
	})
	var e *Error
	if errors.As(err, &e) {
		switch {
		case e.Kind == KindNotFound && e.HTTPStatus == http.StatusNotFound:
			return &UWLAnswer{Status: StatusPending, SessionID: s.ID}, nil
		case e.Kind == KindInvalid && e.HTTPStatus == http.StatusBadRequest && e.Param == "": // a Param names a header that is wrong
			return &UWLAnswer{Status: StatusExpired, SessionID: s.ID}, nil
		}
		return nil, err
	}
	u, err := openUWLAnswer(s, a.plain)
	if err != nil {
		return nil, asError(err, op, ServiceSessions)
	}
	return u, nil
}

// openUWLAnswer reads and decrypts an answer to s.
func openUWLAnswer(s UWLSession, b []byte) (*UWLAnswer, error) {
	u := &UWLAnswer{Status: StatusSuccess}
	var data sealedText
	var key, outerDID string
	var err error
	u.Extra, err = decodeObject(b, map[string]any{
		"sessionId": &u.SessionID, "data": &data, "publicKey": &key, "did": &outerDID, "appid": &u.AppID, "ial": &u.IAL, "sessionInfo": &u.SessionInfo,
	})
	if err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if !data.present {
		if e := errorInSuccess(b); e != nil {
			return nil, e
		}
		return nil, malformed("answer has no data")
	}
	var opened string
	if raw, ok := u.SessionInfo["sessionId"]; ok && json.Unmarshal(raw, &opened) != nil {
		return nil, malformed("answer is about no session in particular")
	}
	if u.SessionID != s.ID || opened != "" && opened != s.ID {
		return nil, malformed("answer is about another session")
	}
	if u.PublicKey, err = ParsePublicKey(s.Key.Curve(), key); err != nil {
		return nil, &Error{Kind: KindAnswerKey, HTTPStatus: 200, detail: "key of the answer is no key on the tenant's curve", err: err}
	}
	shared, err := s.Key.Shared(u.PublicKey)
	if err != nil {
		return nil, &Error{Kind: KindAnswerKey, HTTPStatus: 200, detail: "key of the answer is no key on the tenant's curve", err: err}
	}
	if data.broken {
		return nil, &Error{Kind: KindDecrypt, HTTPStatus: 200, detail: "answer cannot be opened", err: ErrCiphertext}
	}
	plain, err := shared.openRaw(data.raw)
	if err != nil {
		return nil, &Error{Kind: KindDecrypt, HTTPStatus: 200, detail: "answer cannot be opened", err: err}
	}
	if u.User, err = decodeObject(plain, map[string]any{"did": &u.DID}); err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "answer's data is broken JSON", err: err}
	}
	if !sessionIDSafe(u.DID) || !segment(u.DID) {
		return nil, &Error{Kind: KindUntrustedAnswer, HTTPStatus: 200, detail: "answer names no wallet"}
	}
	if differ(outerDID, u.DID) {
		return nil, malformed("answer names two wallets")
	}
	return u, nil
}

// Authenticate is SessionAnswer for a program that will act on the answer. It
// asks the admin console who the answer's wallet belongs to and refuses the
// answer, as KindUntrustedAnswer, unless it was sealed with that wallet's own
// key. What the answer itself says about its user counts for nothing. A trusted
// answer may still be another user's than username: see UWLAnswer.Belongs.
func (c *Client) Authenticate(ctx context.Context, s UWLSession, username string) (*UWLAnswer, error) {
	const op = "uwl.authenticate"
	if username == "" {
		return nil, invalid(op, "username is required")
	}
	u, err := c.SessionAnswer(ctx, s)
	if err != nil || u.Status != StatusSuccess {
		return u, err
	}
	untrusted := func(detail string) (*UWLAnswer, error) {
		return nil, &Error{Kind: KindUntrustedAnswer, Op: op, Service: ServiceSessions, detail: detail}
	}
	info, err := c.UserByDID(ctx, u.DID)
	if KindOf(err) == KindNotFound {
		return untrusted("no user has the wallet that the answer names")
	}
	if err != nil {
		return nil, err
	}
	if info.PublicKey == nil || info.PublicKey.String() != u.PublicKey.String() {
		return untrusted("answer was not sealed with the key of its wallet")
	}
	u.UserIDs = info.UserIDs
	for _, id := range info.UserIDs {
		u.Belongs = u.Belongs || SameUser(id, username)
	}
	return u, nil
}

// SameUser reports whether two user names are one user's. It is the one rule for
// that here, of every lookup and every answer that names its user: as with the
// vendor's helpers case makes no difference, but that of ASCII letters only. By
// Unicode's rules names would be the same that a directory keeps apart: "ſ" is an
// "s" there, and the sign for Kelvin a "k", so that whoever may choose a name
// could choose one that passes for somebody else's.
func SameUser(a, b string) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range len(a) {
		if x, y := a[i], b[i]; x != y && (lower(x) != lower(y)) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if c >= 'A' && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// UserInfo is whom a wallet belongs to. Printing or logging it shows nothing.
type UserInfo struct {
	ID          string
	PersonID    string
	CommunityID string
	UserIDs     []string
	PublicKey   *PublicKey // nil if the answer has none that is a key
	// Extra holds fields that this package does not know.
	Extra map[string]json.RawMessage
}

// String hides who it is about.
func (u UserInfo) String() string { return "user info (redacted)" }

// GoString hides who it is about.
func (u UserInfo) GoString() string { return u.String() }

// LogValue hides who it is about.
func (u UserInfo) LogValue() slog.Value { return slog.StringValue(u.String()) }

// UserByDID asks whom a wallet belongs to. An unknown one is KindNotFound.
func (c *Client) UserByDID(ctx context.Context, did string) (*UserInfo, error) {
	const op = "user.bydid"
	if !segment(did) {
		return nil, invalid(op, "did is required")
	}
	com, err := c.communityName(ctx)
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceAdminConsole, method: http.MethodGet,
		path: "/api/r1/community/" + url.PathEscape(com) + "/userdid/" + url.PathEscape(did) + "/userinfo",
	})
	if err != nil {
		return nil, err
	}
	u, err := parseUserInfo(a.plain, c.cfg.Curve)
	if err != nil {
		return nil, asError(err, op, ServiceAdminConsole)
	}
	return u, nil
}

func parseUserInfo(plain []byte, curve Curve) (*UserInfo, error) {
	u := &UserInfo{}
	var key string
	var err error
	u.Extra, err = decodeObject(plain, map[string]any{
		"id": &u.ID, "personId": &u.PersonID, "communityId": &u.CommunityID, "userIdList": &u.UserIDs, "publicKey": &key,
	})
	if err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "user info is broken JSON", err: err}
	}
	u.PublicKey, _ = ParsePublicKey(curve, key) // nil if it is none
	if u.PublicKey == nil && len(u.UserIDs) == 0 {
		// How the service says "unknown wallet" is not documented.
		return nil, &Error{Kind: KindNotFound, detail: "user info names nobody"}
	}
	return u, nil
}

// User is a record of the users service; what we do not need of it is not
// kept. Printing or logging it shows nothing.
type User struct {
	Username string
	UID      string
	ModuleID string
	Status   string // as the service spells it
	Disabled bool
	Locked   bool // for its password, as it seems; not the same as Disabled
}

// String hides who it is about.
func (u User) String() string { return "user (redacted)" }

// GoString hides who it is about.
func (u User) GoString() string { return u.String() }

// LogValue hides who it is about.
func (u User) LogValue() slog.Value { return slog.StringValue(u.String()) }

const (
	usersPage    = 25 // users asked for at a time, as in the published sample
	maxUserPages = 20
)

type usersQuery struct {
	AuthModule string            `json:"authModule"`
	Index      int               `json:"pIndex"`
	Size       int               `json:"pSize"`
	Query      map[string]string `json:"query"`
	Attributes []string          `json:"attributes"`
}

// FetchUser looks a user of an auth module up by name (see IAL.AuthModuleID).
// The service may answer with everybody whose name begins like this one; only
// the user of exactly this name counts, or else the only one whose name differs
// in the case of ASCII letters alone. None is KindNotFound with HTTPStatus 0; a
// module that cannot be asked is KindInvalid with HTTPStatus 405.
func (c *Client) FetchUser(ctx context.Context, authModule, username string) (*User, error) {
	const op = "users.fetch"
	if authModule == "" || username == "" {
		return nil, invalid(op, "authModule and username are required")
	}
	fail := func(err error) (*User, error) { return nil, asError(err, op, ServiceUsers) }
	com, err := c.community(ctx)
	if err != nil {
		return fail(err)
	}
	path := "/tenant/" + url.PathEscape(com.TenantID) + "/community/" + url.PathEscape(com.ID) + "/users/fetch"
	var alike []User // but for case
	for page := range maxUserPages {
		a, err := c.do(ctx, call{
			op: op, service: ServiceUsers, method: http.MethodPost, path: path,
			body:  usersQuery{authModule, page, usersPage, map[string]string{"username": username}, []string{"*"}},
			plain: true, clear: true,
		})
		if err != nil {
			return nil, err
		}
		users, total, err := parseUsers(a.plain)
		if err != nil {
			return fail(err)
		}
		var exact []User
		for _, u := range users {
			if u.Username == username {
				exact = append(exact, u)
			} else if SameUser(u.Username, username) {
				alike = append(alike, u)
			}
		}
		last := len(users) == 0 || (page+1)*usersPage >= total
		if len(exact) == 0 && last {
			exact = alike
		}
		switch {
		case len(exact) == 1:
			return &exact[0], nil
		case len(exact) > 1:
			return fail(malformed("several users of one name"))
		case last:
			return fail(&Error{Kind: KindNotFound, detail: "no such user"})
		}
	}
	return fail(malformed("too many users of a similar name"))
}

func parseUsers(b []byte) ([]User, int, error) {
	var page struct {
		Total int `json:"total"`
	}
	var list []struct {
		Username string `json:"username"`
		UID      string `json:"uid"`
		ModuleID string `json:"moduleId"`
		Status   scalar `json:"status"`
		Disabled any    `json:"disabled"`
		Locked   any    `json:"isLocked"`
	}
	extra, err := decodeObject(b, map[string]any{"page": &page, "data": &list})
	if err != nil {
		return nil, 0, &Error{Kind: KindMalformed, detail: "users answer is broken JSON", err: err}
	}
	if list == nil && extra["data"] == nil {
		if e := errorInSuccess(b); e != nil {
			return nil, 0, e
		}
		return nil, 0, malformed("users answer has no list")
	}
	users := make([]User, 0, len(list))
	for _, u := range list {
		users = append(users, User{u.Username, u.UID, u.ModuleID, string(u.Status), truth(u.Disabled), truth(u.Locked)})
	}
	return users, page.Total, nil
}

// truth reads a flag of which only the true form is harmless to misread: what
// is neither absent nor some form of false is true.
func truth(v any) bool {
	switch v := v.(type) {
	case nil:
		return false
	case bool:
		return v
	case float64:
		return v != 0
	case string:
		return v != "" && v != "0" && !strings.EqualFold(v, "false")
	}
	return true
}
