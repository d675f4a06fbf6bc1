package hooks

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Kinds of changes.
const (
	Added   = "added"
	Removed = "removed"
	Changed = "changed"
)

// Change is one difference between two documents, in words.
type Change struct {
	Kind string `json:"kind"` // added, removed, changed
	Rule string `json:"rule,omitempty"`
	Text string `json:"text"`
}

// maxComment is how long the comment of a version may be, in characters.
const maxComment = 500

// InForce gives the rules that hold: the newest version, or Defaults as version 0.
func (s *Service) InForce(ctx context.Context, tenant string) (*Rules, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, err
	}
	var r *Rules
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		r, err = inForce(tx, tenant)
		return err
	})
	return r, err
}

func inForce(tx Tx, tenant string) (*Rules, error) {
	r, err := tx.Rules(tenant)
	if errors.Is(err, proof.ErrNotFound) {
		return shipped(tenant), nil
	}
	return r, err
}

func shipped(tenant string) *Rules {
	return &Rules{Tenant: tenant, Author: "kosmoscope", Comment: "as shipped", Rules: Defaults()}
}

// RuleVersions lists the versions, newest first, without their rules; the last is the one
// that is shipped.
func (s *Service) RuleVersions(ctx context.Context, tenant string) ([]*Rules, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, err
	}
	var list []*Rules
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		list, err = tx.RuleVersions(tenant)
		return err
	})
	if err != nil {
		return nil, err
	}
	zero := shipped(tenant)
	zero.Rules = nil
	return append(slices.Clip(list), zero), nil
}

// RulesVersion gives one version; 0 is what is shipped.
func (s *Service) RulesVersion(ctx context.Context, tenant string, version int64) (*Rules, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, err
	}
	if version == 0 {
		return shipped(tenant), nil
	}
	var r *Rules
	err := s.Store.ViewHooks(ctx, func(tx Tx) (err error) {
		r, err = tx.RulesVersion(tenant, version)
		return err
	})
	return r, err
}

// Check is the function Check, and what the tenant's configuration has not got.
func (s *Service) Check(tenant string, rules []Rule) ([]Problem, error) {
	t, err := s.tenant(tenant)
	if err != nil {
		return nil, err
	}
	in := &inspector{problems: Check(rules)}
	for i := range rules {
		for k := range rules[i].Do {
			a, path := &rules[i].Do[k], fmt.Sprintf("rules[%d].do[%d]", i, k)
			if a.Caller != "" && len(a.Caller) <= 100 {
				if _, ok := s.Callers(tenant, a.Caller); !ok {
					in.add(path+".caller", "unknown_caller", "There is no caller %q in the configuration. Choose another.", clip(a.Caller))
				}
			}
			if a.Deliver == DeliverMessage && t.Messages == nil {
				in.warn(path+".deliver", "not_configured", "1Kosmos sends no messages for this tenant: the link would get nowhere. Configure that, or choose another way.")
			}
			if t.Project == nil && (a.Deliver == DeliverFlow || slices.Contains(changesUser, a.Do) || a.Do == RevokeSessions || a.Do == WriteAudit) {
				in.warn(path+".do", "not_configured", "No management key of the Descope project is configured: this would fail each time.")
			}
		}
	}
	return in.problems, nil
}

// Publish makes rules the newest version, which holds from now on. base is the version that
// they were made from: if another one is the newest by now, that is a conflict. Rules that
// cannot be taken are an *InvalidError. actor is who publishes, as "operator:ada". An old
// version comes back by publishing it again.
func (s *Service) Publish(ctx context.Context, tenant, actor string, base int64, rules []Rule, comment string) (*Rules, error) {
	problems, err := s.Check(tenant, rules)
	if err != nil {
		return nil, err
	}
	if slices.ContainsFunc(problems, func(p Problem) bool { return !p.Warning }) {
		return nil, &InvalidError{problems}
	}
	in := &inspector{}
	in.text("comment", comment, maxComment, true)
	if len(in.problems) > 0 {
		return nil, proof.Invalid("comment", "%s", in.problems[0].Message)
	}
	r := &Rules{Tenant: tenant, Version: base + 1, Author: actor, Comment: comment, At: s.Now(), Rules: rules}
	err = s.Store.UpdateHooks(ctx, func(tx Tx) error {
		newest, err := inForce(tx, tenant)
		if err != nil {
			return err
		}
		if newest.Version != base {
			return proof.ErrStale
		}
		if err := tx.InsertRules(r); err != nil {
			return err
		}
		return s.audit(tx, tenant, actor, "hooks.rules_published", "rules:"+strconv.FormatInt(r.Version, 10), "", map[string]string{"rules": strconv.Itoa(len(rules))})
	})
	if errors.Is(err, proof.ErrStale) {
		return nil, &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonNotAllowed, Field: "base",
			Message: "somebody else published rules meanwhile; look at them and publish again", Err: err}
	}
	if err != nil {
		return nil, err
	}
	return r, nil
}

// Diff tells what is different in b, in words, in the order of the documents.
func Diff(a, b []Rule) []Change {
	list := []Change{}
	add := func(kind, rule, format string, args ...any) {
		list = append(list, Change{kind, rule, fmt.Sprintf(format, args...)})
	}
	find := func(rules []Rule, id string) *Rule {
		if i := slices.IndexFunc(rules, func(r Rule) bool { return r.ID == id }); i >= 0 {
			return &rules[i]
		}
		return nil
	}
	var was, is []string
	for i := range a {
		if find(b, a[i].ID) == nil {
			add(Removed, a[i].ID, "Rule %q removed", clip(a[i].Name))
		} else {
			was = append(was, a[i].ID)
		}
	}
	for i := range b {
		now := &b[i]
		old := find(a, now.ID)
		if old == nil {
			add(Added, now.ID, "Rule %q added%s: %s", clip(now.Name), map[bool]string{true: ", off"}[now.Off], now.words())
			continue
		}
		is = append(is, now.ID)
		field := func(what, old, new string) {
			if old != new {
				add(Changed, now.ID, "Rule %q, %s: %s → %s", clip(now.Name), what, old, new)
			}
		}
		if old.Name != now.Name {
			add(Changed, now.ID, "Rule %q is called %q now", clip(old.Name), clip(now.Name))
		}
		if old.Off != now.Off {
			add(Changed, now.ID, "Rule %q turned %s", clip(now.Name), map[bool]string{true: "off", false: "on"}[now.Off])
		}
		field("on", strings.Join(old.On, ", "), strings.Join(now.On, ", "))
		if old.If != now.If {
			add(Changed, now.ID, "Rule %q, if: %s → %s", clip(now.Name), orAlways(old.If), orAlways(now.If))
		}
		field("count", old.Count.words(), now.Count.words())
		if !reflect.DeepEqual(old.Do, now.Do) {
			add(Changed, now.ID, "Rule %q, do: %s → %s", clip(now.Name), old.deeds(), now.deeds())
		}
	}
	if !slices.Equal(was, is) && slices.Equal(slices.Sorted(slices.Values(was)), slices.Sorted(slices.Values(is))) {
		add(Changed, "", "The rules stand in another order, which changes nothing but the order of what they do")
	}
	return list
}

func orAlways(condition string) string {
	if condition == "" {
		return "always"
	}
	return "`" + clip(condition) + "`"
}

func (c *Count) words() string {
	switch {
	case c == nil:
		return "each time"
	case c.AtLeast == 1:
		return "at most once in " + c.Within
	}
	return fmt.Sprintf("%d times within %s", c.AtLeast, c.Within)
}

// words is a rule as a sentence.
func (r *Rule) words() string {
	s := "on " + strings.Join(r.On, ", ")
	if r.If != "" {
		s += " if " + orAlways(r.If)
	}
	if r.Count != nil {
		s += ", " + r.Count.words()
	}
	return s + ": " + r.deeds()
}

func (r *Rule) deeds() string {
	list := make([]string, len(r.Do))
	for i := range r.Do {
		list[i] = r.Do[i].Words()
	}
	return strings.Join(list, ", then ")
}

// Words says what an action does, for people.
func (a *Action) Words() string {
	s := map[string]string{
		StartVerification: "start a verification", StartChallenge: "start a challenge", WriteAttributes: "write attributes",
		WriteStatus: "set the status to ", AddRoles: "add roles ", RemoveRoles: "remove roles ", RevokeSessions: "revoke all sessions",
		WriteAudit: "write to Descope's audit trail: ", Erase: "erase the person", Notify: "notify",
	}[a.Do]
	if s == "" {
		return clip(a.Do)
	}
	switch a.Do {
	case WriteStatus:
		return s + clip(a.Status)
	case WriteAudit:
		return s + clip(a.Type)
	case AddRoles, RemoveRoles:
		return s + clip(strings.Join(a.Roles, ", "))
	case WriteAttributes:
		if len(a.Attributes) == 0 {
			return s + " by the outcome mapping"
		}
		var each []string
		for name, e := range a.Attributes {
			each = append(each, clip(name)+" = "+clip(e))
		}
		slices.Sort(each)
		return s + " " + strings.Join(each, ", ")
	case Notify:
		if a.Type != "" {
			s += " as " + clip(a.Type)
		}
	case StartVerification, StartChallenge:
		if a.Caller != "" {
			s += " as " + clip(a.Caller)
		}
		switch a.Deliver {
		case DeliverMessage:
			s += " and have 1Kosmos send the link"
		case DeliverFlow:
			s += " and give the link to the flow " + clip(a.Flow)
		default:
			s += " and notify with the link"
		}
	}
	if a.Text != "" {
		s += fmt.Sprintf(" (%q)", clip(a.Text))
	}
	return s
}
