package manage

import (
	"cmp"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// named is how a body says whom it is about. loginId may be a user id, too.
type named struct {
	LoginID string `json:"loginId"`
	UserID  string `json:"userId"`
}

func (n named) id() (string, error) {
	if id := cmp.Or(n.UserID, n.LoginID); id != "" {
		return id, nil
	}
	return "", bad("loginId is missing.")
}

// draft is a user as bodies of create, update and patch spell it. What is not there
// is nil.
type draft struct {
	named
	Email                 *string               `json:"email"`
	Phone                 *string               `json:"phone"`
	Name                  *string               `json:"name"`        // patch
	DisplayName           *string               `json:"displayName"` // SDKs, also for Name
	GivenName             *string               `json:"givenName"`
	MiddleName            *string               `json:"middleName"`
	FamilyName            *string               `json:"familyName"`
	Picture               *string               `json:"picture"`
	VerifiedEmail         *bool                 `json:"verifiedEmail"`
	VerifiedPhone         *bool                 `json:"verifiedPhone"`
	RoleNames             *[]string             `json:"roleNames"`
	UserTenants           *[]project.UserTenant `json:"userTenants"`
	SSOAppIDs             *[]string             `json:"ssoAppIds"` // go-sdk: ssoAppIDs, which Go reads as well
	CustomAttributes      *map[string]any       `json:"customAttributes"`
	AdditionalLoginIDs    *[]string             `json:"additionalLoginIds"`
	AdditionalIdentifiers *[]string             `json:"additionalIdentifiers"`
	Status                *string               `json:"status"`
	SCIM                  *bool                 `json:"scim"`
	Test                  bool                  `json:"test"`
}

func set[T any](field *T, values ...*T) {
	for _, v := range values {
		if v != nil {
			*field = *v
		}
	}
}

// apply writes what is there. An address or a number that is changed and not said to
// be verified is not. Attributes are added to those of the user.
func (d *draft) apply(u *project.User) {
	if d.Email != nil && *d.Email != u.Email && d.VerifiedEmail == nil {
		u.VerifiedEmail = false
	}
	if d.Phone != nil && *d.Phone != u.Phone && d.VerifiedPhone == nil {
		u.VerifiedPhone = false
	}
	set(&u.Email, d.Email)
	set(&u.Phone, d.Phone)
	set(&u.Name, d.Name, d.DisplayName)
	set(&u.GivenName, d.GivenName)
	set(&u.MiddleName, d.MiddleName)
	set(&u.FamilyName, d.FamilyName)
	set(&u.Picture, d.Picture)
	set(&u.VerifiedEmail, d.VerifiedEmail)
	set(&u.VerifiedPhone, d.VerifiedPhone)
	set(&u.RoleNames, d.RoleNames)
	set(&u.UserTenants, d.UserTenants)
	set(&u.SSOAppIDs, d.SSOAppIDs)
	set(&u.Status, d.Status)
	set(&u.SCIM, d.SCIM)
	for _, more := range []*[]string{d.AdditionalLoginIDs, d.AdditionalIdentifiers} {
		if more != nil && len(u.LoginIDs) > 0 {
			u.LoginIDs = append(u.LoginIDs[:1:1], *more...)
		}
	}
	if d.CustomAttributes != nil {
		if u.CustomAttributes == nil {
			u.CustomAttributes = map[string]any{}
		}
		for name, v := range *d.CustomAttributes {
			u.CustomAttributes[name] = v
		}
	}
}

// overwrite is apply where what is not there is emptied.
func (d *draft) overwrite(u *project.User) {
	*u = project.User{LoginIDs: u.LoginIDs, Status: u.Status, Test: u.Test, Editable: u.Editable, SCIM: u.SCIM}
	d.apply(u)
}

type one struct {
	User *project.User `json:"user"`
}

func answer(u *project.User, err error) (any, error) {
	if err != nil {
		return nil, err
	}
	return one{u}, nil
}

// change is a call that reads a body of type B, which says whom it is about, and
// changes that user.
func change[B any](s *server, id func(*B) (string, error), edit func(*B, *project.User) error) call {
	return func(r *request) (any, error) {
		b := new(B)
		if err := r.read(b); err != nil {
			return nil, err
		}
		who, err := id(b)
		if err != nil {
			return nil, err
		}
		return answer(s.Accounts.Edit(r.ctx, who, func(u *project.User) error { return edit(b, u) }))
	}
}

type (
	newStatus struct {
		named
		Status string `json:"status"`
	}
	newAttribute struct {
		named
		Key   string `json:"attributeKey"`
		Value any    `json:"attributeValue"`
	}
	newEmail struct {
		named
		Email    string `json:"email"`
		Verified bool   `json:"verified"`
	}
	newPhone struct {
		named
		Phone    string `json:"phone"`
		Verified bool   `json:"verified"`
	}
	newRoles struct {
		named
		TenantID string   `json:"tenantId"`
		Names    []string `json:"roleNames"`
	}
	newLoginID struct {
		named
		New string `json:"newLoginId"`
	}
)

// roles finds the list that a body is about: of the project, or of a tenant that the
// user is in.
func (n *newRoles) roles(u *project.User) (*[]string, error) {
	if n.TenantID == "" {
		return &u.RoleNames, nil
	}
	for i := range u.UserTenants {
		if u.UserTenants[i].TenantID == n.TenantID {
			return &u.UserTenants[i].RoleNames, nil
		}
	}
	return nil, bad("The user is not in this tenant.")
}

func roles(edit func(have, names []string) []string) func(*newRoles, *project.User) error {
	return func(n *newRoles, u *project.User) error {
		list, err := n.roles(u)
		if err == nil {
			*list = edit(*list, n.Names)
		}
		return err
	}
}

func union(have, more []string) []string {
	out := []string{}
	for _, s := range slices.Concat(have, more) {
		if !slices.Contains(out, s) {
			out = append(out, s)
		}
	}
	return out
}

func without(have, less []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(s string) bool { return slices.Contains(less, s) })
}

func (s *server) users() map[string]call {
	byDraft := func(d *draft) (string, error) { return d.id() }
	byRoles := func(n *newRoles) (string, error) { return n.id() }
	return map[string]call{
		"GET /v1/mgmt/user":               s.load,
		"POST /v1/mgmt/users/load":        s.loadMany,
		"POST /v1/mgmt/user/search":       s.search,
		"POST /v2/mgmt/user/search":       s.search,
		"POST /v2/mgmt/user/search/test":  s.searchTest,
		"POST /v1/mgmt/user/create":       s.create,
		"POST /v1/mgmt/user/create/test":  s.createTest,
		"POST /v1/mgmt/user/delete":       s.delete,
		"POST /v1/mgmt/user/delete/batch": s.deleteBatch,
		"POST /v1/mgmt/user/logout":       s.logoutUser,
		"POST /v1/mgmt/user/history":      s.history,

		"POST /v1/mgmt/user/trusteddevices/list":   s.devices,
		"POST /v1/mgmt/user/trusteddevices/remove": s.removeDevices,

		"GET /v1/mgmt/user/customattributes":        s.attributes,
		"POST /v1/mgmt/user/customattribute/create": s.defineAttributes,
		"POST /v1/mgmt/user/customattribute/delete": s.dropAttributes,

		"PATCH /v1/mgmt/user/patch": change(s, byDraft, func(d *draft, u *project.User) error { d.apply(u); return nil }),
		"POST /v1/mgmt/user/update": change(s, byDraft, func(d *draft, u *project.User) error { d.overwrite(u); return nil }),
		"POST /v1/mgmt/user/update/name": change(s, byDraft, func(d *draft, u *project.User) error {
			(&draft{Name: d.Name, DisplayName: d.DisplayName, GivenName: d.GivenName, MiddleName: d.MiddleName, FamilyName: d.FamilyName}).apply(u)
			return nil
		}),
		"POST /v1/mgmt/user/update/picture": change(s, byDraft, func(d *draft, u *project.User) error {
			(&draft{Picture: d.Picture}).apply(u)
			return nil
		}),
		"POST /v1/mgmt/user/update/status": change(s, func(n *newStatus) (string, error) { return n.id() }, func(n *newStatus, u *project.User) error {
			u.Status = n.Status
			return nil
		}),
		"POST /v1/mgmt/user/update/customAttribute": change(s, func(n *newAttribute) (string, error) { return n.id() }, func(n *newAttribute, u *project.User) error {
			if n.Key == "" {
				return bad("attributeKey is missing.")
			}
			if u.CustomAttributes == nil {
				u.CustomAttributes = map[string]any{}
			}
			u.CustomAttributes[n.Key] = n.Value
			return nil
		}),
		"POST /v1/mgmt/user/update/email": change(s, func(n *newEmail) (string, error) { return n.id() }, func(n *newEmail, u *project.User) error {
			u.Email, u.VerifiedEmail = n.Email, n.Verified
			return nil
		}),
		"POST /v1/mgmt/user/update/phone": change(s, func(n *newPhone) (string, error) { return n.id() }, func(n *newPhone, u *project.User) error {
			u.Phone, u.VerifiedPhone = n.Phone, n.Verified
			return nil
		}),
		"POST /v1/mgmt/user/update/loginid": change(s, func(n *newLoginID) (string, error) { return n.id() }, func(n *newLoginID, u *project.User) error {
			// Without a new one the old one goes, unless it is the last (go-sdk).
			at := slices.IndexFunc(u.LoginIDs, func(id string) bool { return strings.EqualFold(id, n.LoginID) })
			switch {
			case at < 0:
				return bad("loginId must be the login id to be changed.")
			case n.New == "":
				u.LoginIDs = slices.Delete(u.LoginIDs, at, at+1)
			default:
				u.LoginIDs[at] = n.New
			}
			return nil
		}),
		"POST /v1/mgmt/user/update/role/set":    change(s, byRoles, roles(func(_, names []string) []string { return union(nil, names) })),
		"POST /v1/mgmt/user/update/role/add":    change(s, byRoles, roles(union)),
		"POST /v2/mgmt/user/update/role/add":    change(s, byRoles, roles(union)),
		"POST /v1/mgmt/user/update/role/remove": change(s, byRoles, roles(without)),
	}
}

func (s *server) load(r *request) (any, error) {
	q := r.URL.Query()
	id, err := named{q.Get("loginId"), q.Get("userId")}.id()
	if err != nil {
		return nil, err
	}
	return answer(s.Accounts.User(r.ctx, id))
}

type found struct {
	Users []*project.User `json:"users"`
	Total int             `json:"total"`
}

func (s *server) loadMany(r *request) (any, error) {
	var b struct {
		UserIDs []string `json:"userIds"`
		Invalid bool     `json:"includeInvalidUsers"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	out := found{Users: []*project.User{}}
	for _, id := range b.UserIDs {
		u, err := s.Accounts.User(r.ctx, id)
		if err != nil && !b.Invalid {
			return nil, err
		}
		if err == nil {
			out.Users = append(out.Users, u)
		}
	}
	out.Total = len(out.Users)
	return out, nil
}

func (s *server) find(r *request, more func(*accounts.Query)) (any, error) {
	var q accounts.Query
	if err := r.read(&q); err != nil {
		return nil, err
	}
	more(&q)
	users, total, err := s.Accounts.Search(r.ctx, q)
	if err != nil {
		return nil, err
	}
	if users == nil {
		users = []*project.User{}
	}
	return found{users, total}, nil
}

func (s *server) search(r *request) (any, error) { return s.find(r, func(*accounts.Query) {}) }

func (s *server) searchTest(r *request) (any, error) {
	return s.find(r, func(q *accounts.Query) { q.TestUsersOnly = true })
}

func (s *server) create(r *request) (any, error) { return s.createAs(r, false) }

func (s *server) createTest(r *request) (any, error) { return s.createAs(r, true) }

func (s *server) createAs(r *request, test bool) (any, error) {
	var d draft
	if err := r.read(&d); err != nil {
		return nil, err
	}
	if d.LoginID == "" {
		return nil, bad("loginId is missing.")
	}
	u := project.User{LoginIDs: []string{d.LoginID}, Test: test || d.Test}
	d.apply(&u)
	return answer(s.Accounts.Create(r.ctx, u))
}

// who reads a body that says only whom it is about.
func (r *request) who() (string, error) {
	var n named
	if err := r.read(&n); err != nil {
		return "", err
	}
	return n.id()
}

func (s *server) delete(r *request) (any, error) {
	id, err := r.who()
	if err != nil {
		return nil, err
	}
	return nil, s.Accounts.Delete(r.ctx, id)
}

func (s *server) deleteBatch(r *request) (any, error) {
	var b struct {
		UserIDs []string `json:"userIds"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	for _, id := range b.UserIDs {
		if err := s.Accounts.Delete(r.ctx, id); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *server) logoutUser(r *request) (any, error) {
	id, err := r.who()
	if err != nil {
		return nil, err
	}
	return nil, s.Accounts.LogoutUser(r.ctx, id)
}

// history takes a bare list and answers one.
func (s *server) history(r *request) (any, error) {
	var ids []string
	if err := r.read(&ids); err != nil {
		return nil, err
	}
	return s.Accounts.History(r.ctx, ids), nil
}

func (s *server) devices(r *request) (any, error) {
	var b struct {
		Identifiers []string `json:"identifiers"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	return map[string]any{"devices": s.Accounts.TrustedDevices(r.ctx, b.Identifiers)}, nil
}

func (s *server) removeDevices(r *request) (any, error) {
	var b struct {
		named
		Identifier string   `json:"identifier"`
		Devices    []string `json:"deviceIds"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	id := b.Identifier
	if id == "" {
		var err error
		if id, err = b.id(); err != nil {
			return nil, err
		}
	}
	return nil, s.Accounts.RemoveTrustedDevices(r.ctx, id, b.Devices)
}

func (s *server) attributes(r *request) (any, error) {
	list := s.Accounts.Attributes(r.ctx)
	return map[string]any{"data": list, "total": len(list)}, nil
}

func (s *server) defineAttributes(r *request) (any, error) {
	var b struct {
		Attributes []accounts.Attribute `json:"attributes"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	if err := s.Accounts.DefineAttributes(r.ctx, b.Attributes); err != nil {
		return nil, err
	}
	return s.attributes(r)
}

func (s *server) dropAttributes(r *request) (any, error) {
	var b struct {
		Names []string `json:"names"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	if err := s.Accounts.DropAttributes(r.ctx, b.Names); err != nil {
		return nil, err
	}
	return s.attributes(r)
}

func (s *server) license(*request) (any, error) {
	return map[string]string{"rateLimitTier": tier}, nil
}
