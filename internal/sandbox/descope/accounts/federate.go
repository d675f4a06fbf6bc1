package accounts

import (
	"context"
	"maps"
	"reflect"
	"slices"
	"strconv"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Federate implements runner.FederatedAccounts. Who comes from an identity provider is,
// in this order:
//
//  1. whoever has the login id already, by whatever way they got it;
//  2. with Merge, whoever has the same e-mail address, if both they and the provider's
//     answer have it verified. The login id becomes one of theirs;
//  3. somebody new.
//
// The second is what makes a provider that is careless with e-mail addresses a way into
// other people's accounts (README).
func (a *Accounts) Federate(ctx context.Context, i project.Identity, entry project.Entry) (u *project.User, firstSeen bool, err error) {
	a.mu.Lock()
	defer a.deliver()
	defer a.mu.Unlock()
	if loginID(i.LoginID) == "" {
		return nil, false, errIdentity
	}
	r, merged := a.find(i.LoginID), false
	if r == nil && i.Merge {
		r = a.sameAddress(i)
		merged = r != nil
	}
	switch {
	case r != nil && entry == project.SignUp:
		return nil, false, project.ErrExists
	case r == nil && entry == project.SignIn:
		return nil, false, project.ErrNoUser
	case r != nil && r.User.Status == statusDisabled:
		return nil, false, project.ErrDisabled
	case r == nil:
		fresh := project.User{LoginIDs: []string{i.LoginID}, Status: statusEnabled}
		if err := write(&fresh, i.Properties); err != nil {
			return nil, false, err
		}
		fresh.CustomAttributes = a.mapped(i.Attributes)
		linked(&fresh, i)
		if r, err = a.create(ctx, fresh); err != nil {
			return nil, false, err
		}
		return clone(&r.User), true, nil
	}
	firstSeen = r.User.Status == statusInvited
	want := clone(&r.User)
	want.Status = statusEnabled
	if merged {
		want.LoginIDs = append(want.LoginIDs, i.LoginID)
	}
	linked(want, i)
	if i.Update {
		own := maps.Clone(i.Properties)
		if want.Email != "" { // an address that is there stays
			delete(own, "email")
			delete(own, "verifiedEmail")
		}
		if want.Phone != "" {
			delete(own, "phone")
			delete(own, "verifiedPhone")
		}
		if err := write(want, own); err != nil {
			return nil, false, err
		}
		if want.CustomAttributes == nil {
			want.CustomAttributes = map[string]any{}
		}
		maps.Copy(want.CustomAttributes, a.mapped(i.Attributes))
	}
	if !reflect.DeepEqual(want, clone(&r.User)) {
		if r, err = a.edit(ctx, r.User.UserID, func(u *project.User) error { *u = *want; return nil }); err != nil {
			return nil, false, err
		}
	}
	return clone(&r.User), firstSeen, nil
}

// sameAddress finds the one person with the provider's verified address; nobody if
// there are several. The caller has the lock.
func (a *Accounts) sameAddress(i project.Identity) *record {
	email, _ := i.Properties["email"].(string)
	email, ok := address(email)
	if verified, _ := i.Properties["verifiedEmail"].(bool); !verified || !ok {
		return nil
	}
	var found *record
	for _, r := range a.users {
		if r.User.VerifiedEmail && r.User.Email == email {
			if found != nil {
				return nil
			}
			found = r
		}
	}
	return found
}

// linked notes where somebody came from.
func linked(u *project.User, i project.Identity) {
	if i.Kind == project.FederationOAuth {
		if u.OAuth == nil {
			u.OAuth = map[string]any{}
		}
		u.OAuth[i.Provider] = true
		return
	}
	u.SAML = true
	if !slices.ContainsFunc(u.UserTenants, func(t project.UserTenant) bool { return t.TenantID == i.Provider }) {
		u.UserTenants = append(u.UserTenants, project.UserTenant{TenantID: i.Provider, RoleNames: []string{}, Permissions: []string{}})
	}
}

// mapped are the attributes that exist, with values that they take. What becomes of
// others at Descope is unknown; here they are left out. The caller has the lock.
func (a *Accounts) mapped(values map[string]any) map[string]any {
	out := map[string]any{}
	for name, v := range values {
		t, ok := a.attributes[name]
		if !ok {
			a.opt.Logger.Warn("accounts: a claim is mapped to an attribute that does not exist", "attribute", name)
			continue
		}
		v = convert(v, t.Type)
		if !t.takes(v) {
			a.opt.Logger.Warn("accounts: a claim does not fit its attribute", "attribute", name)
			continue
		}
		out[name] = v
	}
	return out
}

// convert makes text of what is to be text, and of text what is to be a number or a
// truth: SAML knows text only.
func convert(v any, kind int) any {
	switch kind {
	case typeText, typeSingle, typeDate:
		switch v := v.(type) {
		case bool:
			return strconv.FormatBool(v)
		case float64:
			if kind != typeDate {
				return strconv.FormatFloat(v, 'f', -1, 64)
			}
		}
	case typeNumber:
		if s, ok := v.(string); ok {
			if f, err := strconv.ParseFloat(s, 64); err == nil {
				return f
			}
		}
	case typeBoolean:
		if s, ok := v.(string); ok && (s == "true" || s == "false") {
			return s == "true"
		}
	}
	return v
}
