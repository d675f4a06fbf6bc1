package descope

import (
	"context"
	"encoding/json"
	"errors"
	"net/url"
	"time"
)

// User is a user of the project. What Descope does not say is empty.
type User struct {
	UserID        string
	LoginIDs      []string
	Name          string
	GivenName     string
	MiddleName    string
	FamilyName    string
	Email         string
	VerifiedEmail bool
	Phone         string
	VerifiedPhone bool
	Status        string // StatusEnabled, ...
	Roles         []string
	Tenants       []UserTenant
	Attributes    map[string]any // custom ones; numbers are float64, lists []any
	Test          bool
	Created       time.Time // to the second, UTC
	Modified      time.Time
}

// UserTenant is a Descope tenant that a user belongs to.
type UserTenant struct {
	TenantID string
	Name     string
	Roles    []string
}

// Statuses of users (documented). Only the first two can be set.
const (
	StatusEnabled  = "enabled"
	StatusDisabled = "disabled"
	StatusInvited  = "invited"
	StatusExpired  = "expired"
)

// UnmarshalJSON reads a ResponseUser.
func (u *User) UnmarshalJSON(b []byte) error {
	var f fields
	if err := json.Unmarshal(b, &f); err != nil {
		return err
	}
	*u = User{
		UserID: f.text("userId"), LoginIDs: f.texts("loginIds"), Name: f.text("name"), GivenName: f.text("givenName"), MiddleName: f.text("middleName"),
		FamilyName: f.text("familyName"), Email: f.text("email"), VerifiedEmail: f.flag("verifiedEmail"), Phone: f.text("phone"), VerifiedPhone: f.flag("verifiedPhone"),
		Status: f.text("status"), Roles: f.texts("roleNames"), Attributes: f.object("customAttributes"), Test: f.flag("test"),
		Created: f.seconds("createdTime"), Modified: f.seconds("modifiedTime"),
	}
	var tenants []fields
	_ = json.Unmarshal(f.raw("userTenants"), &tenants)
	for _, t := range tenants {
		if id := t.text("tenantId"); id != "" {
			u.Tenants = append(u.Tenants, UserTenant{id, t.text("tenantName"), t.texts("roleNames")})
		}
	}
	return nil
}

const (
	maxID   = 254 // bytes of a login id or user id
	maxName = 100 // of the name of an attribute, a role, a flow
	maxMany = 100 // attributes or roles at once
)

// one reads an answer with one user. One that names none is no answer.
type one struct {
	User User `json:"user"`
}

func (o one) user(err error) (User, error) {
	if err == nil && o.User.UserID == "" {
		err = unavailable(errors.New("descope: the answer has no user"), 0)
	}
	if err != nil {
		return User{}, err
	}
	return o.User, nil
}

// invalid is the error of what is not even sent.
func invalid(what string) error { return refused(unsent{errors.New("descope: " + what)}) }

const errID = "a login id is of 1 to 254 bytes without control characters"

// User loads a user by login id or user id (GET /v1/mgmt/user). Nobody of this id:
// proof.ErrNotFound.
func (c *Client) User(ctx context.Context, loginID string) (User, error) {
	if !word(loginID, maxID) {
		return User{}, invalid(errID)
	}
	var out one
	return out.user(c.do(ctx, CallUser, url.Values{"loginId": {loginID}}, nil, &out))
}

// UserByID loads a user by user id. An answer about somebody else is none.
func (c *Client) UserByID(ctx context.Context, userID string) (User, error) {
	if !word(userID, maxID) {
		return User{}, invalid(errID)
	}
	var out one
	u, err := out.user(c.do(ctx, CallUser, url.Values{"userId": {userID}}, nil, &out))
	if err == nil && u.UserID != userID {
		return User{}, unavailable(errors.New("descope: the answer is about another user"), 0)
	}
	return u, err
}

// MaxUsers is how many users one search answers at most.
const MaxUsers = 100

// UserSearch selects users; what is empty selects all.
type UserSearch struct {
	LoginIDs   []string       `json:"loginIds,omitempty"`
	UserIDs    []string       `json:"userIds,omitempty"`
	Emails     []string       `json:"emails,omitempty"`
	Phones     []string       `json:"phones,omitempty"`
	Roles      []string       `json:"roleNames,omitempty"`
	Tenants    []string       `json:"tenantIds,omitempty"`
	Statuses   []string       `json:"statuses,omitempty"`
	Attributes map[string]any `json:"customAttributes,omitempty"`
	Text       string         `json:"text,omitempty"`
	Limit      int            `json:"limit"` // 1 to MaxUsers; 0: MaxUsers
	Page       int            `json:"page"`  // counts from 0
}

// SearchUsers finds users, and how many there are beside those of the page (POST
// /v2/mgmt/user/search).
func (c *Client) SearchUsers(ctx context.Context, s UserSearch) (users []User, total int, err error) {
	if s.Limit == 0 {
		s.Limit = MaxUsers
	}
	if s.Limit < 0 || s.Limit > MaxUsers || s.Page < 0 {
		return nil, 0, invalid("a page of users has 1 to 100, and pages count from 0")
	}
	var out struct {
		Users []User `json:"users"`
		Total int    `json:"total"`
	}
	if err := c.do(ctx, CallSearchUsers, nil, s, &out); err != nil {
		return nil, 0, err
	}
	if len(out.Users) > s.Limit {
		return nil, 0, unavailable(errors.New("descope: the answer has more users than were asked for"), 0)
	}
	for _, u := range out.Users {
		if u.UserID == "" {
			return nil, 0, unavailable(errors.New("descope: the answer has a user without an id"), 0)
		}
	}
	return out.Users, max(out.Total, len(out.Users)), nil
}

// Patch is what of a user changes; nil stays as it is. Attributes are added to those of
// the user; null takes one off.
type Patch struct {
	Name          *string        `json:"name,omitempty"`
	GivenName     *string        `json:"givenName,omitempty"`
	MiddleName    *string        `json:"middleName,omitempty"`
	FamilyName    *string        `json:"familyName,omitempty"`
	Email         *string        `json:"email,omitempty"`
	VerifiedEmail *bool          `json:"verifiedEmail,omitempty"`
	Phone         *string        `json:"phone,omitempty"`
	VerifiedPhone *bool          `json:"verifiedPhone,omitempty"`
	Attributes    map[string]any `json:"customAttributes,omitempty"`
}

// PatchUser changes what is in p and nothing else (PATCH /v1/mgmt/user/patch), and answers
// the user as it then is. Attributes must exist: EnsureAttributes.
func (c *Client) PatchUser(ctx context.Context, loginID string, p Patch) (User, error) {
	if !word(loginID, maxID) {
		return User{}, invalid(errID)
	}
	if err := checkAttributes(p.Attributes); err != nil {
		return User{}, err
	}
	var out one
	return out.user(c.do(ctx, CallPatchUser, nil, struct {
		LoginID string `json:"loginId"`
		Patch
	}{loginID, p}, &out))
}

// SetAttribute writes one custom attribute, which must exist (POST
// /v1/mgmt/user/update/customAttribute).
func (c *Client) SetAttribute(ctx context.Context, loginID, name string, value any) (User, error) {
	if !word(loginID, maxID) {
		return User{}, invalid(errID)
	}
	if err := checkAttributes(map[string]any{name: value}); err != nil {
		return User{}, err
	}
	var out one
	return out.user(c.do(ctx, CallSetAttribute, nil, struct {
		LoginID string `json:"loginId"`
		Key     string `json:"attributeKey"`
		Value   any    `json:"attributeValue"`
	}{loginID, name, value}, &out))
}

// SetStatus enables or disables a user (POST /v1/mgmt/user/update/status). Who is disabled
// can no longer sign in.
func (c *Client) SetStatus(ctx context.Context, loginID, status string) (User, error) {
	if !word(loginID, maxID) {
		return User{}, invalid(errID)
	}
	if status != StatusEnabled && status != StatusDisabled {
		return User{}, invalid("a status that can be set is enabled or disabled")
	}
	var out one
	return out.user(c.do(ctx, CallSetStatus, nil, struct {
		LoginID string `json:"loginId"`
		Status  string `json:"status"`
	}{loginID, status}, &out))
}

// Logout ends all sessions of a user (POST /v1/mgmt/user/logout). Session tokens that were
// given out are good until they expire; they can no longer be refreshed.
func (c *Client) Logout(ctx context.Context, loginID string) error {
	if !word(loginID, maxID) {
		return invalid(errID)
	}
	return c.do(ctx, CallLogout, nil, struct {
		LoginID string `json:"loginId"`
	}{loginID}, nil)
}
