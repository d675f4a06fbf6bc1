package decide

import (
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Bounds of what comes with a version.
const (
	maxComment     = 500
	maxApplication = 200
)

// Tenants are the configured tenants, in the order of the configuration.
func (s *Service) Tenants() []string {
	ids := make([]string, len(s.Options.Tenants))
	for i := range s.Options.Tenants {
		ids[i] = s.Options.Tenants[i].ID
	}
	return ids
}

// Slots lists where policies can hold: all of the tenant first, then each application
// that a login or a policy has named.
func (s *Service) Slots(ctx context.Context, tenant string) ([]Slot, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, err
	}
	var slots []Slot
	err := s.Store.ViewRisk(ctx, func(tx Tx) error {
		slots = slots[:0]
		names, err := tx.Applications(tenant)
		if err != nil {
			return err
		}
		for _, name := range append([]string{""}, names...) {
			if name == "" && len(slots) > 0 {
				continue
			}
			one := Slot{Application: name}
			versions, err := tx.PolicyVersions(tenant, name)
			if err != nil {
				return err
			}
			for _, v := range versions {
				one.Latest = max(one.Latest, v.Version)
				if v.Mode == Enforce {
					one.Enforced = max(one.Enforced, v.Version)
				} else {
					one.Shadow = max(one.Shadow, v.Version)
				}
			}
			if one.Shadow < one.Enforced {
				one.Shadow = 0 // something newer holds in its place
			}
			slots = append(slots, one)
		}
		return nil
	})
	return slots, err
}

// Versions lists the versions for one application, newest first.
func (s *Service) Versions(ctx context.Context, tenant, application string) ([]VersionInfo, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, err
	}
	list := []VersionInfo{}
	err := s.Store.ViewRisk(ctx, func(tx Tx) error {
		found, err := tx.PolicyVersions(tenant, application)
		list = list[:0]
		for _, v := range found {
			list = append(list, infoOf(v))
		}
		return err
	})
	return list, err
}

// Version is one version with its document; 0 is the preset that holds where nothing is
// published.
func (s *Service) Version(ctx context.Context, tenant, application string, version int) (VersionInfo, json.RawMessage, error) {
	t, err := s.tenant(tenant)
	if err != nil {
		return VersionInfo{}, nil, err
	}
	if version == 0 {
		return VersionInfo{Mode: Enforce, Comment: "comes with the program: " + t.Preset}, s.presets[t.Preset].raw, nil
	}
	var v *PolicyVersion
	err = s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
		v, err = tx.PolicyVersion(tenant, application, version)
		return err
	})
	if err != nil {
		return VersionInfo{}, nil, err
	}
	return infoOf(v), v.Document, nil
}

func infoOf(v *PolicyVersion) VersionInfo {
	return VersionInfo{Version: v.Version, Mode: v.Mode, Author: v.Author, Comment: v.Comment, At: v.At}
}

// Publish stores a new version, which holds at once. If Base is not the latest version,
// somebody else published meanwhile: proof.ErrStale. A document with problems is not
// published.
func (s *Service) Publish(ctx context.Context, tenant string, p Publish) (VersionInfo, []policy.Problem, error) {
	if _, err := s.tenant(tenant); err != nil {
		return VersionInfo{}, nil, err
	}
	if err := checkPublish(p); err != nil {
		return VersionInfo{}, nil, err
	}
	if problems := s.Check(p.Document); len(problems) > 0 {
		return VersionInfo{}, problems, nil
	}
	info, err := s.publish(ctx, tenant, p, "policy.published", nil)
	return info, nil, err
}

func checkPublish(p Publish) error {
	switch {
	case p.Mode != Enforce && p.Mode != Shadow:
		return proof.Invalid("mode", "mode must be enforce or shadow")
	case len(p.Comment) > maxComment || !utf8.ValidString(p.Comment):
		return proof.Invalid("comment", "comment must be at most %d bytes of UTF-8", maxComment)
	case len(p.Application) > maxApplication || !utf8.ValidString(p.Application) || strings.ContainsRune(p.Application, 0):
		return proof.Invalid("application", "application must be at most %d bytes of UTF-8", maxApplication)
	case p.Base < 0:
		return proof.Invalid("base", "base must be the latest version that you have seen, 0 for none")
	}
	return nil
}

func (s *Service) publish(ctx context.Context, tenant string, p Publish, action string, detail map[string]string) (VersionInfo, error) {
	v := &PolicyVersion{
		Tenant: tenant, Application: p.Application, Version: p.Base + 1, Mode: p.Mode, Author: p.Author, Comment: p.Comment, At: s.Now(), Document: p.Document,
	}
	err := s.Store.UpdateRisk(ctx, func(tx Tx) error {
		versions, err := tx.PolicyVersions(tenant, p.Application)
		if err != nil {
			return err
		}
		latest := 0
		if len(versions) > 0 {
			latest = versions[0].Version
		}
		if latest != p.Base {
			return proof.ErrStale
		}
		if err := tx.InsertPolicy(v); err != nil {
			return err
		}
		more := map[string]string{"application": p.Application, "version": strconv.Itoa(v.Version), "mode": string(v.Mode), "author": p.Author}
		for k, text := range detail {
			more[k] = text
		}
		return s.audit(tx, tenant, "operator", action, "policy:"+p.Application, more)
	})
	s.forget(tenant)
	if err != nil {
		return VersionInfo{}, err
	}
	return infoOf(v), nil
}

// Rollback publishes the document of an earlier version, 0 for the preset, as a new one
// that is enforced. base is as in Publish.
func (s *Service) Rollback(ctx context.Context, tenant, application string, to, base int, author, comment string) (VersionInfo, error) {
	_, document, err := s.Version(ctx, tenant, application, to)
	if err != nil {
		return VersionInfo{}, err
	}
	if comment == "" {
		comment = "Back to version " + strconv.Itoa(to) + "."
	}
	p := Publish{Application: application, Document: document, Base: base, Mode: Enforce, Author: author, Comment: comment}
	if err := checkPublish(p); err != nil {
		return VersionInfo{}, err
	}
	if problems := s.Check(document); len(problems) > 0 {
		return VersionInfo{}, proof.Invalid("to", "version %d cannot be evaluated by this version of the program: %s", to, problems[0].Message)
	}
	return s.publish(ctx, tenant, p, "policy.rolled_back", map[string]string{"to": strconv.Itoa(to)})
}
