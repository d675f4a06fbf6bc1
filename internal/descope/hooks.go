package descope

import (
	"context"
	"encoding/json"
	"errors"
	"maps"
	"reflect"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Hooks is the project as door C changes it. Its writes look first and change nothing that
// is as it should be: what they change comes back as an event.
func (c *Client) Hooks() hooks.Project { return ofHooks{c} }

type ofHooks struct{ c *Client }

// User implements hooks.Project.
func (p ofHooks) User(ctx context.Context, loginID string) (hooks.User, error) {
	u, err := p.c.User(ctx, loginID)
	if err != nil {
		return hooks.User{}, err
	}
	return hooks.User{
		UserID: u.UserID, LoginIDs: u.LoginIDs, Email: u.Email, Verified: u.VerifiedEmail, Phone: u.Phone, Status: u.Status, Roles: u.Roles, Attributes: u.Attributes,
	}, nil
}

// PatchAttributes implements hooks.Project.
func (p ofHooks) PatchAttributes(ctx context.Context, loginID string, values map[string]any) error {
	if err := checkAttributes(values); err != nil {
		return err
	}
	u, err := p.c.User(ctx, loginID)
	if err != nil {
		return err
	}
	changed := map[string]any{}
	for name, v := range values {
		switch have, ok := u.Attributes[name]; {
		case v == nil && ok && have != nil:
			changed[name] = removed
		case v != nil && !same(have, v):
			changed[name] = v
		}
	}
	if len(changed) == 0 {
		return nil
	}
	if _, err := p.c.EnsureAttributes(ctx, forValues(changed)); err != nil {
		return err
	}
	_, err = p.c.PatchUser(ctx, loginID, Patch{Attributes: changed})
	if e, ok := errors.AsType[*Error](err); !ok || e.Status/100 != 4 || errors.Is(err, proof.ErrNotFound) || proof.ReasonOf(err) != proof.ReasonDescopeRefused {
		return err
	}
	// An attribute that was there may have been deleted since: once more with fresh eyes.
	p.c.forget(ctx)
	created, again := p.c.EnsureAttributes(ctx, forValues(changed))
	if again != nil || len(created) == 0 {
		return err
	}
	_, err = p.c.PatchUser(ctx, loginID, Patch{Attributes: changed})
	return err
}

// same reports whether two values are one in JSON.
func same(have, want any) bool {
	b, err := json.Marshal(want)
	var v any
	return err == nil && json.Unmarshal(b, &v) == nil && reflect.DeepEqual(have, v)
}

// SetStatus implements hooks.Project.
func (p ofHooks) SetStatus(ctx context.Context, loginID, status string) error {
	u, err := p.c.User(ctx, loginID)
	if err != nil || u.Status == status {
		return err
	}
	_, err = p.c.SetStatus(ctx, loginID, status)
	return err
}

// AddRoles implements hooks.Project.
func (p ofHooks) AddRoles(ctx context.Context, loginID string, roles []string) error {
	u, err := p.c.User(ctx, loginID)
	if err != nil {
		return err
	}
	more := slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return slices.Contains(u.Roles, r) })
	if len(more) == 0 {
		return nil
	}
	_, err = p.c.AddRoles(ctx, loginID, more)
	return err
}

// RemoveRoles implements hooks.Project.
func (p ofHooks) RemoveRoles(ctx context.Context, loginID string, roles []string) error {
	u, err := p.c.User(ctx, loginID)
	if err != nil {
		return err
	}
	less := slices.DeleteFunc(slices.Clone(roles), func(r string) bool { return !slices.Contains(u.Roles, r) })
	if len(less) == 0 {
		return nil
	}
	_, err = p.c.RemoveRoles(ctx, loginID, less)
	return err
}

// Logout implements hooks.Project.
func (p ofHooks) Logout(ctx context.Context, loginID string) error { return p.c.Logout(ctx, loginID) }

// AuditEvent implements hooks.Project.
func (p ofHooks) AuditEvent(ctx context.Context, e hooks.AuditEvent) error {
	return p.c.AddAudit(ctx, NewAudit{Action: e.Action, Type: e.Type, UserID: e.UserID, ActorID: e.ActorID, TenantID: e.TenantID, Data: maps.Clone(e.Data)})
}

// RunFlow implements hooks.Project.
func (p ofHooks) RunFlow(ctx context.Context, flow string, input map[string]any) error {
	_, err := p.c.StartFlow(ctx, flow, input)
	return err
}

// AuditSince implements hooks.Project: everything from since on and before until (zero:
// now), in pages of MaxAudit that count from 0.
func (p ofHooks) AuditSince(ctx context.Context, since, until time.Time, page int) (events []hooks.Told, more bool, err error) {
	list, more, err := p.c.SearchAudit(ctx, AuditSearch{From: since, To: until, Size: MaxAudit, Page: page, OldestFirst: true})
	if err != nil {
		return nil, false, err
	}
	for i := range list {
		events = append(events, list[i].Told())
	}
	return events, more, nil
}
