package accounts

import (
	"cmp"
	"context"
	"maps"
	"net/mail"
	"reflect"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// What a user's status may be.
const (
	statusEnabled  = "enabled"
	statusDisabled = "disabled"
	statusInvited  = "invited"
)

// loginID is a login id as it is kept: addresses in lower case, as people do not
// care.
func loginID(s string) string {
	s = strings.TrimSpace(s)
	if strings.Contains(s, "@") {
		return strings.ToLower(s)
	}
	return s
}

// address is an e-mail address as it is kept, or false.
func address(s string) (string, bool) {
	s = strings.ToLower(strings.TrimSpace(s))
	a, err := mail.ParseAddress(s)
	return s, err == nil && a.Address == s && a.Name == "" && len(s) <= 254
}

// clone copies a user; attribute values are never changed in place.
func clone(u *project.User) *project.User {
	c := *u
	c.LoginIDs = slices.Clone(u.LoginIDs)
	c.RoleNames = slices.Clone(u.RoleNames)
	c.UserTenants = slices.Clone(u.UserTenants)
	for i := range c.UserTenants {
		t := &c.UserTenants[i]
		t.RoleNames, t.Permissions = slices.Clone(t.RoleNames), slices.Clone(t.Permissions)
	}
	c.CustomAttributes = maps.Clone(u.CustomAttributes)
	c.OAuth = maps.Clone(u.OAuth)
	c.SSOAppIDs = slices.Clone(u.SSOAppIDs)
	c.Permissions = slices.Clone(u.Permissions)
	c.ExternalIDs = slices.Clone(u.ExternalIDs)
	return &c
}

// tidy gives a user the shape that is kept: lists and maps that are never null, login
// ids as they are compared.
func tidy(u *project.User) {
	var ids []string
	for _, id := range u.LoginIDs {
		if id = loginID(id); !slices.Contains(ids, id) {
			ids = append(ids, id)
		}
	}
	u.LoginIDs, u.ExternalIDs = ids, slices.Clone(ids)
	u.RoleNames, u.Permissions, u.SSOAppIDs = nonNil(u.RoleNames), nonNil(u.Permissions), nonNil(u.SSOAppIDs)
	for i := range u.UserTenants {
		t := &u.UserTenants[i]
		t.RoleNames, t.Permissions = nonNil(t.RoleNames), nonNil(t.Permissions)
	}
	if u.UserTenants == nil {
		u.UserTenants = []project.UserTenant{}
	}
	if u.CustomAttributes == nil {
		u.CustomAttributes = map[string]any{}
	}
	for name, v := range u.CustomAttributes {
		if v == nil {
			delete(u.CustomAttributes, name)
		}
	}
	if u.OAuth == nil {
		u.OAuth = map[string]any{}
	}
	u.Email = strings.ToLower(strings.TrimSpace(u.Email))
	u.Phone = strings.TrimSpace(u.Phone)
	u.VerifiedEmail, u.VerifiedPhone = u.VerifiedEmail && u.Email != "", u.VerifiedPhone && u.Phone != ""
}

// check says what is wrong with a user; old is as it was, or nil. The caller has the
// lock.
func (a *Accounts) check(u, old *project.User) error {
	if len(u.LoginIDs) == 0 || len(u.LoginIDs) > maxLoginIDs {
		return bad("A user has 1 to %d login ids.", maxLoginIDs)
	}
	for _, id := range u.LoginIDs {
		if id == "" || len(id) > 254 || !printable(id) {
			return bad("A login id is empty, too long or has characters that cannot be.")
		}
		if owner := a.logins[id]; owner != "" && owner != u.UserID || a.users[id] != nil {
			return project.ErrExists
		}
	}
	if u.Email != "" {
		if _, ok := address(u.Email); !ok {
			return bad("email is no e-mail address.")
		}
	}
	for name, s := range map[string]string{
		"name": u.Name, "givenName": u.GivenName, "middleName": u.MiddleName, "familyName": u.FamilyName, "phone": u.Phone, "picture": u.Picture,
	} {
		if utf8.RuneCountInString(s) > maxText || !printable(s) {
			return bad("%s is too long or has characters that cannot be.", name)
		}
	}
	if !slices.Contains([]string{statusEnabled, statusDisabled, statusInvited}, u.Status) {
		return bad("status must be enabled, disabled or invited.")
	}
	if len(u.RoleNames) > maxListed || len(u.UserTenants) > maxListed || len(u.SSOAppIDs) > maxListed {
		return bad("A user has too many roles, tenants or applications.")
	}
	for name, v := range u.CustomAttributes {
		if old != nil && reflect.DeepEqual(old.CustomAttributes[name], v) {
			continue // its definition may have changed since
		}
		t, ok := a.attributes[name]
		if !ok {
			return bad("Custom attribute %.60q does not exist. Create it first.", name)
		}
		if !t.takes(v) {
			return bad("Custom attribute %.60q does not take this value: it must be %s.", name, t.kind())
		}
	}
	return nil
}

func printable(s string) bool {
	return utf8.ValidString(s) && !strings.ContainsFunc(s, unicode.IsControl)
}

// User implements runner.Accounts.
func (a *Accounts) User(_ context.Context, id string) (*project.User, error) {
	a.mu.RLock()
	defer a.mu.RUnlock()
	r := a.find(id)
	if r == nil {
		return nil, project.ErrNoUser
	}
	return clone(&r.User), nil
}

// Create makes a user. Of u, its ids are given out and its times set here.
func (a *Accounts) Create(ctx context.Context, u project.User) (*project.User, error) {
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	u.Status = cmp.Or(u.Status, createdStatus)
	r, err := a.create(ctx, u)
	if err != nil {
		return nil, err
	}
	return clone(&r.User), nil
}

// create makes a user. The caller has the lock.
func (a *Accounts) create(ctx context.Context, u project.User) (*record, error) {
	if len(a.users) >= maxUsers {
		return nil, errFull
	}
	now := a.now().Unix()
	u = *clone(&u)
	u.UserID, u.CreatedTime, u.ModifiedTime, u.Editable = newID("U2"), now, now, true
	tidy(&u)
	if err := a.check(&u, nil); err != nil {
		return nil, err
	}
	r := &record{User: u}
	if err := a.commit(ctx, []change{{kind: kindUser, id: u.UserID, value: r}}, a.event(actionCreated, levelInfo, &u)); err != nil {
		return nil, err
	}
	a.put(nil, r)
	return r, nil
}

// Edit changes a user, by user id or login id: edit gets a copy. It may not call the
// accounts. Somebody who is disabled loses their sessions.
func (a *Accounts) Edit(ctx context.Context, id string, edit func(*project.User) error) (*project.User, error) {
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	r, err := a.edit(ctx, id, edit)
	if err != nil {
		return nil, err
	}
	return clone(&r.User), nil
}

// edit does what Edit does. The caller has the lock.
func (a *Accounts) edit(ctx context.Context, id string, edit func(*project.User) error) (*record, error) {
	old := a.find(id)
	if old == nil {
		return nil, project.ErrNoUser
	}
	r := &record{User: *clone(&old.User), Devices: old.Devices, Logins: old.Logins}
	if err := edit(&r.User); err != nil {
		return nil, err
	}
	u := &r.User
	u.UserID, u.CreatedTime, u.ModifiedTime = old.User.UserID, old.User.CreatedTime, a.now().Unix()
	tidy(u)
	if err := a.check(u, &old.User); err != nil {
		return nil, err
	}
	var gone []string
	if u.Status == statusDisabled {
		gone = a.of(u.UserID)
	}
	changes := append(dropped(gone), change{kind: kindUser, id: u.UserID, value: r})
	if err := a.commit(ctx, changes, a.event(actionModified, levelInfo, u)); err != nil {
		return nil, err
	}
	a.forget(gone...)
	a.put(old, r)
	return r, nil
}

// Delete erases somebody: sessions, devices, logins, codes, mails, and what of the
// audit trail is personal. What remains there is that a user of this id was deleted.
// Who hears of events hears the login ids once more.
func (a *Accounts) Delete(ctx context.Context, id string) error {
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	r := a.find(id)
	if r == nil {
		return project.ErrNoUser
	}
	e := a.event(actionDeleted, levelInfo, &r.User)
	e.erased = true
	gone := a.of(r.User.UserID)
	changes, scrubbed := a.scrub(r.User.UserID)
	changes = append(changes, dropped(gone)...)
	changes = append(changes, change{kind: kindUser, id: r.User.UserID})
	kept := a.events
	a.events = scrubbed
	if err := a.commit(ctx, changes, e); err != nil {
		a.events = kept
		return err
	}
	a.forget(gone...)
	a.put(r, nil)
	a.codes.forget(append(slices.Clone(r.User.LoginIDs), r.User.Email))
	return nil
}

// properties are those of a user that flows and backends may write, by the names of
// its JSON.
var properties = map[string]func(u *project.User, v any) bool{
	"name":          text(func(u *project.User) *string { return &u.Name }),
	"givenName":     text(func(u *project.User) *string { return &u.GivenName }),
	"middleName":    text(func(u *project.User) *string { return &u.MiddleName }),
	"familyName":    text(func(u *project.User) *string { return &u.FamilyName }),
	"email":         text(func(u *project.User) *string { return &u.Email }),
	"phone":         text(func(u *project.User) *string { return &u.Phone }),
	"picture":       text(func(u *project.User) *string { return &u.Picture }),
	"verifiedEmail": flag(func(u *project.User) *bool { return &u.VerifiedEmail }),
	"verifiedPhone": flag(func(u *project.User) *bool { return &u.VerifiedPhone }),
}

func text(field func(*project.User) *string) func(*project.User, any) bool {
	return func(u *project.User, v any) bool {
		s, ok := v.(string)
		if ok {
			*field(u) = s
		}
		return ok
	}
}

func flag(field func(*project.User) *bool) func(*project.User, any) bool {
	return func(u *project.User, v any) bool {
		b, ok := v.(bool)
		if ok {
			*field(u) = b
		}
		return ok
	}
}

// write sets properties. An address or a number that is changed counts as unverified
// unless it is said to be verified.
func write(u *project.User, values map[string]any) error {
	email, phone := u.Email, u.Phone
	for _, name := range slices.Sorted(maps.Keys(values)) { // email before verifiedEmail
		set, ok := properties[name]
		if !ok {
			return bad("A user has no property %.60q that can be written.", name)
		}
		if values[name] == nil {
			continue
		}
		if !set(u, values[name]) {
			return bad("Property %.60q does not take this value.", name)
		}
	}
	if !strings.EqualFold(email, strings.TrimSpace(u.Email)) && values["verifiedEmail"] == nil {
		u.VerifiedEmail = false
	}
	if phone != strings.TrimSpace(u.Phone) && values["verifiedPhone"] == nil {
		u.VerifiedPhone = false
	}
	return nil
}

// UpdateUser implements runner.Accounts.
func (a *Accounts) UpdateUser(ctx context.Context, userID string, properties, attributes map[string]any) (*project.User, error) {
	return a.Edit(ctx, userID, func(u *project.User) error {
		if u.CustomAttributes == nil {
			u.CustomAttributes = map[string]any{}
		}
		maps.Copy(u.CustomAttributes, attributes)
		return write(u, properties)
	})
}

// SignUpOrIn implements runner.ExternalAccounts. Properties are those of somebody who
// is signed up; what somebody known has is left as it is.
func (a *Accounts) SignUpOrIn(ctx context.Context, id string, properties map[string]any) (u *project.User, firstSeen bool, err error) {
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	r := a.find(id)
	switch {
	case r == nil:
		// "loginId" within the user object repeats what we know.
		own := maps.Clone(properties)
		delete(own, "loginId")
		fresh := project.User{LoginIDs: []string{id}, Status: statusEnabled}
		if mailTo, ok := address(id); ok && own["email"] == nil {
			fresh.Email = mailTo
		}
		if err := write(&fresh, own); err != nil {
			return nil, false, err
		}
		if r, err = a.create(ctx, fresh); err != nil {
			return nil, false, err
		}
		firstSeen = true
	case r.User.Status == statusDisabled:
		return nil, false, project.ErrDisabled
	case r.User.Status == statusInvited:
		firstSeen = true
		if r, err = a.edit(ctx, r.User.UserID, func(u *project.User) error { u.Status = statusEnabled; return nil }); err != nil {
			return nil, false, err
		}
	}
	return clone(&r.User), firstSeen, nil
}

// Query finds users; what is empty finds all. Its names are Descope's.
type Query struct {
	TenantIDs        []string       `json:"tenantIds"`
	RoleNames        []string       `json:"roleNames"`
	LoginIDs         []string       `json:"loginIds"`
	UserIDs          []string       `json:"userIds"`
	Emails           []string       `json:"emails"`
	Phones           []string       `json:"phones"`
	Statuses         []string       `json:"statuses"`
	SSOAppIDs        []string       `json:"ssoAppIds"`
	CustomAttributes map[string]any `json:"customAttributes"`
	Text             string         `json:"text"` // anywhere in login ids, names, address and number
	FromCreatedTime  int64          `json:"fromCreatedTime"`
	ToCreatedTime    int64          `json:"toCreatedTime"` // unix milliseconds, as all of these
	FromModifiedTime int64          `json:"fromModifiedTime"`
	ToModifiedTime   int64          `json:"toModifiedTime"`
	TestUsersOnly    bool           `json:"testUsersOnly"`
	WithTestUser     bool           `json:"withTestUser"`
	Limit            int            `json:"limit"` // default and at most 100
	Page             int            `json:"page"`  // counts from 0
	Sort             []struct {
		Field string `json:"field"`
		Desc  bool   `json:"desc"`
	} `json:"sort"`
}

const maxPage = 100

func (q *Query) matches(u *project.User) bool {
	any := func(list []string, values ...string) bool {
		return len(list) == 0 || slices.ContainsFunc(values, func(v string) bool {
			return v != "" && slices.ContainsFunc(list, func(s string) bool { return loginID(s) == v })
		})
	}
	tenants := make([]string, len(u.UserTenants))
	for i, t := range u.UserTenants {
		tenants[i] = t.TenantID
	}
	switch {
	case u.Test && !q.WithTestUser && !q.TestUsersOnly, !u.Test && q.TestUsersOnly,
		!any(q.TenantIDs, tenants...), !any(q.RoleNames, u.RoleNames...), !any(q.LoginIDs, u.LoginIDs...), !any(q.UserIDs, u.UserID),
		!any(q.Emails, u.Email), !any(q.Phones, u.Phone), !any(q.Statuses, u.Status), !any(q.SSOAppIDs, u.SSOAppIDs...),
		q.FromCreatedTime > u.CreatedTime*1000, q.ToCreatedTime != 0 && q.ToCreatedTime < u.CreatedTime*1000,
		q.FromModifiedTime > u.ModifiedTime*1000, q.ToModifiedTime != 0 && q.ToModifiedTime < u.ModifiedTime*1000:
		return false
	}
	for name, want := range q.CustomAttributes {
		if !has(u.CustomAttributes[name], want) {
			return false
		}
	}
	if q.Text == "" {
		return true
	}
	all := strings.ToLower(strings.Join(append([]string{u.Name, u.GivenName, u.MiddleName, u.FamilyName, u.Email, u.Phone}, u.LoginIDs...), "\n"))
	return strings.Contains(all, strings.ToLower(q.Text))
}

// has reports whether an attribute is a value, or one of several.
func has(have, want any) bool {
	if list, ok := want.([]any); ok {
		return slices.ContainsFunc(list, func(w any) bool { return has(have, w) })
	}
	if list, ok := have.([]any); ok {
		return slices.Contains(list, want)
	}
	switch want.(type) {
	case string, float64, bool:
		return have == want
	}
	return false
}

// fields are what can be sorted by.
var fields = map[string]func(a, b *project.User) int{
	"userId":       func(a, b *project.User) int { return cmp.Compare(a.UserID, b.UserID) },
	"name":         func(a, b *project.User) int { return cmp.Compare(a.Name, b.Name) },
	"displayName":  func(a, b *project.User) int { return cmp.Compare(a.Name, b.Name) },
	"givenName":    func(a, b *project.User) int { return cmp.Compare(a.GivenName, b.GivenName) },
	"familyName":   func(a, b *project.User) int { return cmp.Compare(a.FamilyName, b.FamilyName) },
	"email":        func(a, b *project.User) int { return cmp.Compare(a.Email, b.Email) },
	"phone":        func(a, b *project.User) int { return cmp.Compare(a.Phone, b.Phone) },
	"status":       func(a, b *project.User) int { return cmp.Compare(a.Status, b.Status) },
	"createdTime":  func(a, b *project.User) int { return cmp.Compare(a.CreatedTime, b.CreatedTime) },
	"modifiedTime": func(a, b *project.User) int { return cmp.Compare(a.ModifiedTime, b.ModifiedTime) },
}

// Search finds users, oldest first unless asked otherwise, and how many there are
// beside those of the page.
func (a *Accounts) Search(_ context.Context, q Query) (users []*project.User, total int, err error) {
	if q.Limit < 0 || q.Limit > maxPage || q.Page < 0 {
		return nil, 0, bad("limit is at most %d, and page counts from 0.", maxPage)
	}
	q.Limit = cmp.Or(q.Limit, maxPage)
	for _, s := range q.Sort {
		if fields[s.Field] == nil {
			return nil, 0, bad("Users cannot be sorted by %.60q.", s.Field)
		}
	}
	a.mu.RLock()
	defer a.mu.RUnlock()
	var found []*project.User
	for _, r := range a.users {
		if q.matches(&r.User) {
			found = append(found, &r.User)
		}
	}
	slices.SortFunc(found, func(one, two *project.User) int {
		for _, s := range q.Sort {
			if c := fields[s.Field](one, two); c != 0 {
				if s.Desc {
					return -c
				}
				return c
			}
		}
		return cmp.Or(cmp.Compare(one.CreatedTime, two.CreatedTime), cmp.Compare(one.UserID, two.UserID))
	})
	first := min(q.Page, len(found)) * q.Limit
	for _, u := range found[min(first, len(found)):min(first+q.Limit, len(found))] {
		users = append(users, clone(u))
	}
	return users, len(found), nil
}
