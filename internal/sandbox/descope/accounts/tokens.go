package accounts

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Kinds of tokens, by the claim drn.
const (
	drnSession = "DS"
	drnRefresh = "DSR"
)

// session is one that has not ended. Times are unix seconds.
type session struct {
	ID           string   `json:"id"`
	UserID       string   `json:"user"`
	AMR          []string `json:"amr"`
	Created      int64    `json:"created"`
	Expires      int64    `json:"expires"`
	SteppedUntil int64    `json:"stepped_until"` // 0: it is no stepped-up one
	Serial       int      `json:"serial"`        // of its refresh token, if they rotate
}

// remember keeps a session. The caller has the lock, and has saved it.
func (a *Accounts) remember(s session) {
	a.sessions[s.ID] = s
	of := a.ofUser[s.UserID]
	if of == nil {
		of = map[string]bool{}
		a.ofUser[s.UserID] = of
	}
	of[s.ID] = true
}

// forget ends sessions. The caller has the lock, and has saved it.
func (a *Accounts) forget(ids ...string) {
	for _, id := range ids {
		s, ok := a.sessions[id]
		if !ok {
			continue
		}
		delete(a.sessions, id)
		delete(a.ofUser[s.UserID], id)
		if len(a.ofUser[s.UserID]) == 0 {
			delete(a.ofUser, s.UserID)
		}
	}
}

func dropped(ids []string) []change {
	out := make([]change, len(ids))
	for i, id := range ids {
		out[i] = change{kind: kindSession, id: id}
	}
	return out
}

// of are the ids of somebody's sessions, oldest first. The caller has the lock.
func (a *Accounts) of(userID string) []string {
	return slices.SortedFunc(maps.Keys(a.ofUser[userID]), func(one, two string) int {
		return cmp.Or(cmp.Compare(a.sessions[one].Created, a.sessions[two].Created), strings.Compare(one, two))
	})
}

// surplus are those of somebody's sessions that are over, or too many beside a new
// one. The caller has the lock.
func (a *Accounts) surplus(userID string, now time.Time) []string {
	var over, live []string
	for _, id := range a.of(userID) {
		if a.sessions[id].Expires <= now.Unix() {
			over = append(over, id)
		} else {
			live = append(live, id)
		}
	}
	if n := len(live) - maxSessions + 1; n > 0 {
		over = append(over, live[:n]...)
	}
	return over
}

func (a *Accounts) issuer() string {
	if a.opt.ConformanceIssuer {
		return strings.TrimRight(a.opt.BaseURL, "/") + "/" + a.opt.ProjectID
	}
	return a.opt.ProjectID
}

// custom checks custom claims and copies them; those without a value are left out.
func custom(claims map[string]any) (map[string]any, error) {
	out := map[string]any{}
	size := 0
	for name, v := range claims {
		if v == nil {
			continue
		}
		b, err := json.Marshal(v)
		if name == "" || reserved[name] || err != nil {
			return nil, bad("custom claim %.60q: the name has a meaning of its own in a token, or the value cannot be written.", name)
		}
		size += len(name) + len(b)
		out[name] = v
	}
	if len(out) > maxListed || size > maxToken/4 {
		return nil, bad("These are too many custom claims, or too long ones.")
	}
	return out, nil
}

// sessionToken makes the session token of a session as of now. A stepped-up one ends
// no later than its step-up.
func (a *Accounts) sessionToken(u *project.User, s session, own map[string]any, now time.Time) (token string, expires int64, err error) {
	c := maps.Clone(own)
	expires = min(now.Add(a.opt.SessionTTL).Unix(), s.Expires)
	if s.SteppedUntil > now.Unix() {
		c["su"] = true
		expires = min(expires, s.SteppedUntil)
	}
	c["iss"], c["sub"], c["drn"], c["iat"], c["exp"] = a.issuer(), u.UserID, drnSession, now.Unix(), expires
	c["amr"] = nonNil(s.AMR)
	c["rexp"] = time.Unix(s.Expires, 0).UTC().Format(time.RFC3339)
	if len(u.RoleNames) > 0 {
		c["roles"] = u.RoleNames
	}
	if len(u.Permissions) > 0 {
		c["permissions"] = u.Permissions
	}
	if len(u.UserTenants) > 0 {
		tenants := map[string]any{}
		for _, t := range u.UserTenants {
			tenants[t.TenantID] = map[string]any{"roles": nonNil(t.RoleNames), "permissions": nonNil(t.Permissions)}
		}
		c["tenants"] = tenants
		if len(u.UserTenants) == 1 {
			c["dct"] = u.UserTenants[0].TenantID
		}
	}
	token, err = a.keys.sign(c)
	return token, expires, err
}

func (a *Accounts) refreshToken(s session, own map[string]any, now time.Time) (string, error) {
	c := maps.Clone(own)
	c["iss"], c["sub"], c["drn"], c["iat"], c["exp"] = a.issuer(), s.UserID, drnRefresh, now.Unix(), s.Expires
	c["amr"] = nonNil(s.AMR)
	c["jti"] = s.ID + "." + strconv.Itoa(s.Serial)
	return a.keys.sign(c)
}

func nonNil(list []string) []string {
	if list == nil {
		return []string{}
	}
	return list
}

// info makes the answer that has the tokens of a session; without a refresh token
// unless refresh is set.
func (a *Accounts) info(u *project.User, s session, own map[string]any, refresh bool, now time.Time) (*project.AuthInfo, error) {
	i := &project.AuthInfo{
		CookiePath: "/", CookieMaxAge: s.Expires - now.Unix(), CookieExpiration: s.Expires, User: clone(u), Claims: own,
	}
	var err error
	if i.SessionJWT, i.SessionExpiration, err = a.sessionToken(u, s, own, now); err != nil {
		return nil, a.failed(err)
	}
	if refresh {
		if i.RefreshJWT, err = a.refreshToken(s, own, now); err != nil {
			return nil, a.failed(err)
		}
	}
	return i, nil
}

// claims are what a token of ours says.
type claims struct {
	Issuer  string   `json:"iss"`
	Subject string   `json:"sub"`
	Kind    string   `json:"drn"`
	Expires int64    `json:"exp"`
	ID      string   `json:"jti"`
	AMR     []string `json:"amr"`
	Device  string   `json:"did"`

	all    map[string]any
	custom map[string]any
}

// read checks a token of one of the kinds: signature, project and time.
func (a *Accounts) read(token string, now time.Time, kinds ...string) (*claims, error) {
	payload, err := a.keys.verify(token)
	if err != nil {
		return nil, err
	}
	c := new(claims)
	if err := json.Unmarshal(payload, c); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(payload, &c.all); err != nil {
		return nil, err
	}
	switch {
	case c.Issuer != a.opt.ProjectID && !strings.HasSuffix(c.Issuer, "/"+a.opt.ProjectID):
		return nil, errors.New("of another project")
	case !slices.Contains(kinds, c.Kind):
		return nil, errors.New("of another kind")
	case c.Expires <= now.Unix():
		return nil, errors.New("is over")
	}
	c.custom = map[string]any{}
	for name, v := range c.all {
		if !reserved[name] {
			c.custom[name] = v
		}
	}
	return c, nil
}

// live finds the session of a refresh token and whose it is. A token that was rotated
// away is an error, and so tells that its session is to end.
func (a *Accounts) live(token string, now time.Time) (s session, u *project.User, c *claims, err error) {
	if c, err = a.read(token, now, drnRefresh); err != nil {
		return s, nil, nil, project.ErrToken
	}
	id, serial, _ := strings.Cut(c.ID, ".")
	a.mu.RLock()
	defer a.mu.RUnlock()
	s, ok := a.sessions[id]
	r := a.users[s.UserID]
	if !ok || r == nil || s.UserID != c.Subject || s.Expires <= now.Unix() || r.User.Status == statusDisabled {
		return session{}, nil, nil, project.ErrToken
	}
	if serial != strconv.Itoa(s.Serial) {
		return s, nil, nil, errReused
	}
	return s, &r.User, c, nil
}

// errReused is a refresh token that was rotated away.
var errReused = &project.Error{Code: project.ErrToken.Code, Status: project.ErrToken.Status, Message: project.ErrToken.Message, Cause: errors.New("used again")}

// Holder implements runner.Accounts.
func (a *Accounts) Holder(_ context.Context, refreshJWT string) (*project.User, error) {
	_, u, _, err := a.live(refreshJWT, a.now())
	if err != nil {
		return nil, project.ErrToken
	}
	return clone(u), nil
}

// Refresh makes a new session token; ErrToken unless the session is live.
func (a *Accounts) Refresh(ctx context.Context, refreshJWT string) (*project.AuthInfo, error) {
	now := a.now()
	s, u, c, err := a.live(refreshJWT, now)
	if err == errReused { //nolint:errorlint // the very one
		a.mu.Lock()
		defer a.mu.Unlock()
		if err := a.store.save(ctx, dropped([]string{s.ID})); err != nil {
			return nil, a.failed(err)
		}
		a.forget(s.ID)
		return nil, project.ErrToken
	}
	if err != nil {
		return nil, err
	}
	if a.opt.RotateRefresh {
		s.Serial++
	}
	i, err := a.info(u, s, c.custom, a.opt.RotateRefresh, now)
	if err != nil || !a.opt.RotateRefresh {
		return i, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, ok := a.sessions[s.ID]; !ok || was.Serial != s.Serial-1 {
		return nil, project.ErrToken // it ended, or another refresh was quicker
	}
	if err := a.store.save(ctx, []change{{kind: kindSession, id: s.ID, value: s}}); err != nil {
		return nil, a.failed(err)
	}
	a.remember(s)
	return i, nil
}

// Logout ends the session of a refresh token.
func (a *Accounts) Logout(ctx context.Context, refreshJWT string) error {
	s, _, _, err := a.live(refreshJWT, a.now())
	if err != nil {
		return project.ErrToken
	}
	return a.end(ctx, func() []string { return []string{s.ID} })
}

// LogoutAll ends all sessions of whose refresh token it is.
func (a *Accounts) LogoutAll(ctx context.Context, refreshJWT string) error {
	s, _, _, err := a.live(refreshJWT, a.now())
	if err != nil {
		return project.ErrToken
	}
	return a.end(ctx, func() []string { return a.of(s.UserID) })
}

// LogoutUser ends all sessions of somebody, by user id or login id.
func (a *Accounts) LogoutUser(ctx context.Context, id string) error {
	u, err := a.User(ctx, id)
	if err != nil {
		return err
	}
	return a.end(ctx, func() []string { return a.of(u.UserID) })
}

func (a *Accounts) end(ctx context.Context, which func() []string) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	ids := which()
	if err := a.store.save(ctx, dropped(ids)); err != nil {
		return a.failed(err)
	}
	a.forget(ids...)
	return nil
}

// Issue implements runner.Accounts.
func (a *Accounts) Issue(ctx context.Context, g project.Grant) (*project.AuthInfo, error) {
	return a.issue(ctx, g, a.opt.RefreshTTL, false, true)
}

// issue begins a session. With a visit there is a browser whose device and place are
// remembered; alone ends the user's other sessions.
func (a *Accounts) issue(ctx context.Context, g project.Grant, ttl time.Duration, alone, visit bool) (*project.AuthInfo, error) {
	own, err := custom(g.Claims)
	if err != nil {
		return nil, err
	}
	u, err := a.User(ctx, g.UserID)
	if err != nil {
		return nil, err
	}
	now := a.now()
	s := session{ID: newID(""), UserID: u.UserID, AMR: slices.Clone(g.AMR), Created: now.Unix(), Expires: now.Add(ttl).Unix()}
	if g.SteppedUp {
		s.SteppedUntil = now.Add(a.opt.StepUpTTL).Unix()
	}
	if u.Status == statusInvited {
		u.Status = statusEnabled
	}
	i, err := a.info(u, s, own, true, now)
	if err != nil {
		return nil, err
	}
	i.FirstSeen = g.FirstSeen
	trusted := device{}
	if g.TrustDevice && visit {
		trusted = device{ID: newID("TD2"), Trusted: now.Add(a.opt.TrustTTL).Unix(), Fingerprint: g.Browser.Device}
		i.TrustedDeviceJWT, err = a.keys.sign(map[string]any{
			"iss": a.issuer(), "sub": u.UserID, "drn": drnTrusted, "iat": now.Unix(), "exp": trusted.Trusted, deviceClaim: trusted.ID,
		})
		if err != nil {
			return nil, a.failed(err)
		}
	}

	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	old := a.users[u.UserID]
	if old == nil {
		return nil, project.ErrNoUser
	}
	method := strings.Join(s.AMR, ",")
	if len(s.AMR) > 0 {
		method = cmp.Or(methods[s.AMR[0]], s.AMR[0])
	}
	e := a.event(actionLogin, levelInfo, &old.User)
	e.Method = method
	if visit {
		a.origin(&e, g.Browser)
	}
	if old.User.Status == statusDisabled {
		e.Action, e.Type, e.Data = actionLoginFailed, levelWarn, map[string]any{"error_message": "user is disabled"}
		if err := a.commit(ctx, nil, e); err != nil {
			return nil, err
		}
		return nil, project.ErrDisabled
	}
	r := &record{User: *clone(&old.User), Devices: old.Devices, Logins: old.Logins}
	if r.User.Status == statusInvited {
		r.User.Status = statusEnabled
	}
	if visit {
		r.visited(a.visit(g.Browser), g.Browser, trusted, now)
	}
	gone := a.surplus(u.UserID, now)
	if alone {
		gone = a.of(u.UserID)
	}
	changes := append(dropped(gone), change{kind: kindSession, id: s.ID, value: s}, change{kind: kindUser, id: u.UserID, value: r})
	if err := a.commit(ctx, changes, e); err != nil {
		return nil, err
	}
	a.forget(gone...)
	a.remember(s)
	a.put(old, r)
	return i, nil
}

// SignIn is what the Management API says to sign somebody in by.
type SignIn struct {
	LoginID         string         `json:"loginId"` // or user id
	StepUp          bool           `json:"stepup"`
	MFA             bool           `json:"mfa"`
	CustomClaims    map[string]any `json:"customClaims"`
	JWT             string         `json:"jwt"` // of a session that the user has, for StepUp and MFA
	RevokeOthers    bool           `json:"revokeOtherSessions"`
	RefreshDuration int64          `json:"refreshDuration"` // seconds
}

// maxRefresh is the longest that a session may be asked to last.
const maxRefresh = 365 * 24 * time.Hour

func (a *Accounts) ttl(seconds int64) (time.Duration, error) {
	switch {
	case seconds == 0:
		return a.opt.RefreshTTL, nil
	case seconds < 0 || seconds > int64(maxRefresh/time.Second):
		return 0, bad("refreshDuration must be from 1 second to a year.")
	}
	return time.Duration(seconds) * time.Second, nil
}

// SignIn begins a session without a flow and without a browser: nothing about a
// device or a place is remembered.
func (a *Accounts) SignIn(ctx context.Context, in SignIn, firstSeen bool) (*project.AuthInfo, error) {
	u, err := a.User(ctx, in.LoginID)
	if err != nil {
		return nil, err
	}
	ttl, err := a.ttl(in.RefreshDuration)
	if err != nil {
		return nil, err
	}
	g := project.Grant{UserID: u.UserID, SteppedUp: in.StepUp, Claims: in.CustomClaims, FirstSeen: firstSeen}
	if (in.StepUp || in.MFA) && in.JWT == "" {
		return nil, bad("jwt is missing: stepup and mfa need a JWT that the user has.")
	}
	if in.JWT != "" {
		s, holder, _, err := a.live(in.JWT, a.now())
		switch {
		case err == nil && holder.UserID == u.UserID:
			g.AMR = slices.Clone(s.AMR)
		case err == nil:
			return nil, bad("jwt is not one of this user.")
		default:
			c, err := a.read(in.JWT, a.now(), drnSession)
			if err != nil {
				return nil, project.ErrToken
			}
			if c.Subject != u.UserID {
				return nil, bad("jwt is not one of this user.")
			}
			g.AMR = c.AMR
		}
	}
	if in.MFA && !slices.Contains(g.AMR, "mfa") {
		g.AMR = append(g.AMR, "mfa")
	}
	return a.issue(ctx, g, ttl, in.RevokeOthers, false)
}

// UpdateJWT adds custom claims to a token that is good. A session token stays as long
// as it was; a refresh token may be given another time, which its session then has.
func (a *Accounts) UpdateJWT(ctx context.Context, token string, add map[string]any, refreshDuration int64) (string, error) {
	add, err := custom(add)
	if err != nil {
		return "", err
	}
	now := a.now()
	if s, _, c, err := a.live(token, now); err == nil {
		maps.Copy(c.custom, add)
		if _, err := custom(c.custom); err != nil {
			return "", err
		}
		if refreshDuration != 0 {
			if s, err = a.prolong(ctx, s, refreshDuration, now); err != nil {
				return "", err
			}
		}
		out, err := a.refreshToken(s, c.custom, now)
		return out, a.failed(err)
	}
	c, err := a.read(token, now, drnSession)
	if err != nil {
		return "", project.ErrToken
	}
	u, err := a.User(ctx, c.Subject)
	if err != nil || u.Status == statusDisabled {
		return "", project.ErrToken
	}
	if refreshDuration != 0 {
		return "", bad("refreshDuration is for refresh JWTs.")
	}
	maps.Copy(c.custom, add)
	if _, err := custom(c.custom); err != nil {
		return "", err
	}
	maps.Copy(c.all, add)
	c.all["exp"] = c.Expires
	c.all["iat"] = now.Unix()
	out, err := a.keys.sign(c.all)
	return out, a.failed(err)
}

// prolong gives a session another end.
func (a *Accounts) prolong(ctx context.Context, s session, seconds int64, now time.Time) (session, error) {
	ttl, err := a.ttl(seconds)
	if err != nil {
		return s, err
	}
	s.Expires = now.Add(ttl).Unix()
	a.mu.Lock()
	defer a.mu.Unlock()
	if was, ok := a.sessions[s.ID]; !ok || was.Serial != s.Serial {
		return s, project.ErrToken
	}
	if err := a.store.save(ctx, []change{{kind: kindSession, id: s.ID, value: s}}); err != nil {
		return s, a.failed(err)
	}
	a.remember(s)
	return s, nil
}
