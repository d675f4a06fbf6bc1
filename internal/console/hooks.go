package console

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Hooks is the use cases of door C that the console shows; hooks.Service implements it.
// actor is who, as "operator:Ada".
type Hooks interface {
	InForce(ctx context.Context, tenant string) (*hooks.Rules, error)
	// RuleVersions are all, newest first, without their rules; the last is 0, as shipped.
	RuleVersions(ctx context.Context, tenant string) ([]*hooks.Rules, error)
	RulesVersion(ctx context.Context, tenant string, version int64) (*hooks.Rules, error)
	Check(tenant string, rules []hooks.Rule) ([]hooks.Problem, error)
	// Publish is a conflict if base is not the newest version, *hooks.InvalidError if the
	// rules cannot be taken.
	Publish(ctx context.Context, tenant, actor string, base int64, rules []hooks.Rule, comment string) (*hooks.Rules, error)
	DryRun(ctx context.Context, tenant string, rules []hooks.Rule, q hooks.EventQuery, progress func(events int)) (hooks.Report, error)

	ListEvents(ctx context.Context, q hooks.EventQuery) ([]hooks.EventView, error)
	GetEvent(ctx context.Context, tenant, id string) (hooks.EventView, error)
	Replay(ctx context.Context, tenant, actor, id string) error
	ListWork(ctx context.Context, q hooks.WorkQuery) ([]hooks.WorkView, error)
	Retry(ctx context.Context, tenant, actor, id string) (hooks.WorkView, error)
	Drop(ctx context.Context, tenant, actor, id string) (hooks.WorkView, error)
}

// reasonRules: the rules cannot be taken as they are.
const reasonRules proof.Reason = "invalid_rules"

const dryRunEvents = 10_000 // looked at, unless somebody asks for another number

func (c *Console) serveHooks(routes map[string]apiCall) {
	if c.o.Hooks == nil {
		return
	}
	for pattern, call := range map[string]apiCall{
		"GET rules":                 c.rules,
		"GET rules/{version}":       c.rulesVersion,
		"POST rules/check":          c.rulesCheck,
		"POST rules/diff":           c.rulesDiff,
		"POST rules/publish":        operator(c.rulesPublish),
		"POST rules/rollback":       operator(c.rulesRollback),
		"POST rules/dryrun":         c.rulesDryRun,
		"GET events":                c.events,
		"GET events/{event}":        c.event,
		"POST events/{event}/again": operator(c.eventAgain),
		"GET work":                  c.work,
		"POST work/{work}/retry":    operator(c.workRetry),
		"POST work/{work}/drop":     operator(c.workDrop),
	} {
		method, path, _ := strings.Cut(pattern, " ")
		routes[method+" t/{tenant}/"+path] = c.tenant(call)
	}
}

// actor is who changes something, as services write it into the audit trail.
func actor(s *Session) string { return actorOperator + ":" + s.Name }

// rules is what holds, what held before, and what rules are made of.
func (c *Console) rules(w http.ResponseWriter, r *http.Request, _ *Session) error {
	tenant := r.PathValue("tenant")
	now, err := c.o.Hooks.InForce(r.Context(), tenant)
	if err != nil {
		return err
	}
	versions, err := c.o.Hooks.RuleVersions(r.Context(), tenant)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{
		"in_force": now, "versions": list(versions), "actions": hooks.KnownActions(), "kinds": hooks.Kinds(),
		"variables": hooks.Variables(false), "attribute_variables": hooks.Variables(true),
		"limits": map[string]any{"rules": hooks.MaxRules, "actions": hooks.MaxActions, "dry_run": hooks.MaxDryRun},
	})
	return nil
}

func (c *Console) rulesVersion(w http.ResponseWriter, r *http.Request, _ *Session) error {
	version, err := strconv.ParseInt(r.PathValue("version"), 10, 64)
	if err != nil || version < 0 {
		return proof.Invalid("version", "version must be a number, 0 for the rules as shipped")
	}
	v, err := c.o.Hooks.RulesVersion(r.Context(), r.PathValue("tenant"), version)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, v)
	return nil
}

func (c *Console) rulesCheck(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var raw json.RawMessage
	if err := decode(w, r, documentField("rules", &raw)); err != nil {
		return err
	}
	rules, problems := hooks.ParseRules(raw)
	if problems == nil {
		var err error
		if problems, err = c.o.Hooks.Check(r.PathValue("tenant"), rules); err != nil {
			return err
		}
	}
	c.answer(w, r, http.StatusOK, map[string]any{"problems": list(problems)})
	return nil
}

func (c *Console) rulesDiff(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var from, to json.RawMessage
	if err := decode(w, r, documentField("from", &from), documentField("to", &to)); err != nil {
		return err
	}
	a, problems := hooks.ParseRules(from)
	if len(problems) > 0 {
		c.refuseRules(w, r, problems)
		return nil
	}
	b, problems := hooks.ParseRules(to)
	if len(problems) > 0 {
		c.refuseRules(w, r, problems)
		return nil
	}
	c.answer(w, r, http.StatusOK, map[string]any{"changes": list(hooks.Diff(a, b))})
	return nil
}

func (c *Console) refuseRules(w http.ResponseWriter, r *http.Request, problems []hooks.Problem) {
	c.log(r, http.StatusUnprocessableEntity, reasonRules, nil)
	c.answer(w, r, http.StatusUnprocessableEntity, problem{
		Reason: reasonRules, Message: "the rules cannot be used as they are", Hint: "Correct what the problems name.", Problems: problems,
	})
}

func (c *Console) rulesPublish(w http.ResponseWriter, r *http.Request, s *Session) error {
	var raw json.RawMessage
	var base *int64
	var comment string
	err := decode(w, r, documentField("rules", &raw), field{name: "base", into: &base}, field{name: "comment", into: &comment, optional: true})
	if err == nil {
		err = checkBase(*base, comment)
	}
	if err != nil {
		return err
	}
	rules, problems := hooks.ParseRules(raw)
	if len(problems) > 0 {
		c.refuseRules(w, r, problems)
		return nil
	}
	return c.publishRules(w, r, s, *base, rules, comment)
}

func checkBase(base int64, comment string) error {
	switch {
	case base < 0:
		return proof.Invalid("base", "base must be the latest version that you have seen, 0 for none")
	case utf8.RuneCountInString(comment) > maxComment:
		return proof.Invalid("comment", "comment must be at most %d characters", maxComment)
	}
	return nil
}

// rulesRollback publishes an old version again.
func (c *Console) rulesRollback(w http.ResponseWriter, r *http.Request, s *Session) error {
	var to, base *int64
	if err := decode(w, r, field{name: "to", into: &to}, field{name: "base", into: &base}); err != nil {
		return err
	}
	if err := checkBase(*base, ""); err != nil {
		return err
	}
	old, err := c.o.Hooks.RulesVersion(r.Context(), r.PathValue("tenant"), *to)
	if err != nil {
		return err
	}
	comment := fmt.Sprintf("Back to version %d.", *to)
	if *to == 0 {
		comment = "Back to the rules as shipped."
	}
	return c.publishRules(w, r, s, *base, old.Rules, comment)
}

func (c *Console) publishRules(w http.ResponseWriter, r *http.Request, s *Session, base int64, rules []hooks.Rule, comment string) error {
	v, err := c.o.Hooks.Publish(r.Context(), r.PathValue("tenant"), actor(s), base, rules, comment)
	if invalid, ok := errors.AsType[*hooks.InvalidError](err); ok {
		c.refuseRules(w, r, invalid.Problems)
		return nil
	}
	if _, conflict := conflictOf(err); conflict {
		return changedMeanwhile("somebody else published rules meanwhile")
	}
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, v)
	return nil
}

// rulesDryRun begins a dry run; its progress is that of a replay.
func (c *Console) rulesDryRun(w http.ResponseWriter, r *http.Request, s *Session) error {
	var raw json.RawMessage
	days, events := 0, dryRunEvents
	err := decode(w, r, documentField("rules", &raw), field{name: "days", into: &days, optional: true}, field{name: "events", into: &events, optional: true})
	if err == nil && (days < 0 || days > maxDays) {
		err = proof.Invalid("days", "days must be from 1 to %d, or left out", maxDays)
	}
	if err == nil && (events < 1 || events > hooks.MaxDryRun) {
		err = proof.Invalid("events", "events must be from 1 to %d", hooks.MaxDryRun)
	}
	if err != nil {
		return err
	}
	rules, problems := hooks.ParseRules(raw)
	tenant := r.PathValue("tenant")
	if problems == nil {
		if problems, err = c.o.Hooks.Check(tenant, rules); err != nil {
			return err
		}
	}
	for _, p := range problems {
		if !p.Warning {
			c.refuseRules(w, r, problems)
			return nil
		}
	}
	q := hooks.EventQuery{Tenant: tenant, Limit: events}
	if days > 0 {
		q.Since = c.o.Now().AddDate(0, 0, -days)
	}
	return c.run(w, r, s, func(ctx context.Context, told func(done, total int)) (any, error) {
		report, err := c.o.Hooks.DryRun(ctx, tenant, rules, q, func(done int) { told(done, events) })
		return &report, err
	})
}

// pageSize is how many rows a list has where nobody says.
const pageSize = 50

// paging reads limit and before.
func paging(q map[string]string) (limit int, err error) {
	if limit = pageSize; q["limit"] != "" {
		if limit, err = strconv.Atoi(q["limit"]); err != nil || limit < 1 || limit > 200 {
			return 0, proof.Invalid("limit", "limit must be from 1 to 200")
		}
	}
	return limit, nil
}

func instant(q map[string]string, name string) (at time.Time, err error) {
	if q[name] != "" {
		if at, err = time.Parse(time.RFC3339, q[name]); err != nil {
			return at, proof.Invalid(name, "%s must be a time such as 2026-11-29T08:00:00Z", name)
		}
	}
	return at, nil
}

func (c *Console) events(w http.ResponseWriter, r *http.Request, s *Session) error {
	q, err := query(r, "action", "state", "since", "before", "limit")
	if err != nil {
		return err
	}
	f := hooks.EventQuery{Tenant: r.PathValue("tenant"), Action: q["action"], State: hooks.EventState(q["state"]), Before: q["before"]}
	switch f.State {
	case "", hooks.EventWaiting, hooks.EventDone, hooks.EventParked:
	default:
		return proof.Invalid("state", "state must be waiting, done or parked")
	}
	if f.Limit, err = paging(q); err != nil {
		return err
	}
	if f.Since, err = instant(q, "since"); err != nil {
		return err
	}
	page, err := c.o.Hooks.ListEvents(r.Context(), f)
	if err != nil {
		return err
	}
	views, next := make([]eventView, 0, len(page)), ""
	for i := range page {
		v := eventOf(page[i], s)
		v.Content = nil // only of one by its id
		views = append(views, v)
	}
	if len(page) == f.Limit {
		next = page[len(page)-1].ID
	}
	c.answer(w, r, http.StatusOK, map[string]any{"events": views, "next": next})
	return nil
}

// eventView is an event. What is personal in it is for operators.
type eventView struct {
	hooks.EventView
	User   string `json:"user,omitempty"`   // masked: the first login id, or the user id
	Hidden bool   `json:"hidden,omitempty"` // there is content, and this role does not see it
}

func eventOf(e hooks.EventView, s *Session) eventView {
	v := eventView{EventView: e}
	if e.Content == nil {
		return v
	}
	switch {
	case len(e.Content.LoginIDs) > 0:
		v.User = journey.Mask(e.Content.LoginIDs[0])
	case e.Content.UserID != "":
		v.User = journey.Mask(e.Content.UserID)
	}
	if s.Role != Operator {
		v.Content, v.Hidden = nil, true
	}
	return v
}

func (c *Console) event(w http.ResponseWriter, r *http.Request, s *Session) error {
	e, err := c.o.Hooks.GetEvent(r.Context(), r.PathValue("tenant"), r.PathValue("event"))
	if err != nil {
		return noSuch(err, "event")
	}
	c.answer(w, r, http.StatusOK, eventOf(e, s))
	return nil
}

// noSuch is err, in words if there is none.
func noSuch(err error, what string) error {
	if errors.Is(err, proof.ErrNotFound) {
		return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such " + what + " (any more)", Err: err}
	}
	return err
}

func (c *Console) eventAgain(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := decode(w, r); err != nil {
		return err
	}
	if err := c.o.Hooks.Replay(r.Context(), r.PathValue("tenant"), actor(s), r.PathValue("event")); err != nil {
		return noSuch(err, "event")
	}
	return c.event(w, r, s)
}

func (c *Console) work(w http.ResponseWriter, r *http.Request, _ *Session) error {
	q, err := query(r, "event", "rule", "state", "before", "limit")
	if err != nil {
		return err
	}
	f := hooks.WorkQuery{Tenant: r.PathValue("tenant"), Event: q["event"], Rule: q["rule"], State: hooks.WorkState(q["state"]), Before: q["before"]}
	switch f.State {
	case "", hooks.WorkWaiting, hooks.WorkDone, hooks.WorkFailed, hooks.WorkSkipped, hooks.WorkParked:
	default:
		return proof.Invalid("state", "state must be waiting, done, failed, skipped or parked")
	}
	if f.Limit, err = paging(q); err != nil {
		return err
	}
	page, err := c.o.Hooks.ListWork(r.Context(), f)
	if err != nil {
		return err
	}
	next := ""
	if len(page) == f.Limit {
		next = page[len(page)-1].ID
	}
	c.answer(w, r, http.StatusOK, map[string]any{"work": list(page), "next": next})
	return nil
}

func (c *Console) workRetry(w http.ResponseWriter, r *http.Request, s *Session) error {
	return c.changeWork(w, r, s, c.o.Hooks.Retry)
}

func (c *Console) workDrop(w http.ResponseWriter, r *http.Request, s *Session) error {
	return c.changeWork(w, r, s, c.o.Hooks.Drop)
}

func (c *Console) changeWork(w http.ResponseWriter, r *http.Request, s *Session, change func(ctx context.Context, tenant, actor, id string) (hooks.WorkView, error)) error {
	if err := decode(w, r); err != nil {
		return err
	}
	v, err := change(r.Context(), r.PathValue("tenant"), actor(s), r.PathValue("work"))
	if err != nil {
		return noSuch(err, "work")
	}
	c.answer(w, r, http.StatusOK, v)
	return nil
}
