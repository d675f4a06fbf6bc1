package console

import (
	"context"
	"crypto/hmac"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// CSRFHeader carries the token of the session in every call that is no GET.
const CSRFHeader = "X-Kosmoscope-Csrf"

const (
	maxComment     = 500 // characters
	maxApplication = 200
	maxDays        = 90
)

// apiCall answers one call of somebody who is signed in. An error is answered for it.
type apiCall func(w http.ResponseWriter, r *http.Request, s *Session) error

func (c *Console) serveAPI(mux *http.ServeMux) {
	routes := map[string]apiCall{
		"GET session":                         c.session,
		"POST signout":                        c.signOut,
		"GET palette":                         c.showPalette,
		"POST policy/check":                   c.check,
		"POST policy/diff":                    c.diff,
		"POST policy/try":                     c.try,
		"GET t/{tenant}/policies":             c.tenant(c.policies),
		"GET t/{tenant}/policy":               c.tenant(c.policy),
		"GET t/{tenant}/policy/{version}":     c.tenant(c.policyVersion),
		"POST t/{tenant}/policy/publish":      c.tenant(operator(c.publish)),
		"POST t/{tenant}/policy/rollback":     c.tenant(operator(c.rollback)),
		"POST t/{tenant}/replay":              c.tenant(c.replay),
		"GET t/{tenant}/replay/{id}":          c.tenant(c.replayProgress),
		"DELETE t/{tenant}/replay/{id}":       c.tenant(c.replayCancel),
		"GET t/{tenant}/decisions":            c.tenant(c.decisions),
		"GET t/{tenant}/decisions/{decision}": c.tenant(c.decision),
	}
	c.serveFederation(routes)
	c.serveHooks(routes)
	c.serveDeliveries(routes)
	for pattern, call := range routes {
		method, path, _ := strings.Cut(pattern, " ")
		mux.HandleFunc(method+" /console/api/"+path, c.signedIn(call))
	}
	mux.HandleFunc("/console/api/", c.signedIn(func(http.ResponseWriter, *http.Request, *Session) error {
		return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such call"}
	}))
}

// signedIn lets through who has a session and, to change something, shows that it is
// our page that asks.
func (c *Console) signedIn(next apiCall) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		secret := c.secretOf(r)
		s, err := c.o.Signin.Who(r.Context(), secret)
		if err == nil && r.Method != http.MethodGet && r.Method != http.MethodHead {
			if !c.fromUs(r) || !hmac.Equal([]byte(r.Header.Get(CSRFHeader)), []byte(csrfToken(secret))) {
				err = &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonInvalidRequest, Message: "this does not come from our page in this browser; load it again"}
			}
		}
		if err == nil {
			err = next(w, r, s)
		}
		if err != nil {
			c.fail(w, r, err)
		}
	}
}

// tenant lets through calls about a tenant that there is.
func (c *Console) tenant(next apiCall) apiCall {
	return func(w http.ResponseWriter, r *http.Request, s *Session) error {
		if !slices.Contains(c.o.Risk.Tenants(), r.PathValue("tenant")) {
			return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such tenant"}
		}
		return next(w, r, s)
	}
}

// operator lets through operators.
func operator(next apiCall) apiCall {
	return func(w http.ResponseWriter, r *http.Request, s *Session) error {
		if s.Role != Operator {
			return &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonNotAllowed, Message: "this needs the role operator"}
		}
		return next(w, r, s)
	}
}

func (c *Console) session(w http.ResponseWriter, r *http.Request, s *Session) error {
	c.answer(w, r, http.StatusOK, map[string]any{
		"role": s.Role, "name": s.Name, "csrf": csrfToken(c.secretOf(r)), "version": c.o.Version, "expires_at": s.ExpiresAt,
		"tenants": append([]string{}, c.o.Risk.Tenants()...), "sources": append([]Source{}, c.o.Sources()...),
		"doors": map[string]bool{"federation": c.o.Federation != nil, "hooks": c.o.Hooks != nil, "deliveries": c.o.Deliveries != nil},
	})
	return nil
}

func (c *Console) signOut(w http.ResponseWriter, r *http.Request, s *Session) error {
	if err := c.o.Signin.Out(r.Context(), s); err != nil {
		return err
	}
	c.replays.dropAll(s.Hash)
	c.setCookie(w, "", -1)
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Console) showPalette(w http.ResponseWriter, r *http.Request, _ *Session) error {
	c.answer(w, r, http.StatusOK, c.palette)
	return nil
}

func (c *Console) check(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var document json.RawMessage
	if err := decode(w, r, documentField("document", &document)); err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"problems": list(c.o.Risk.Check(document))})
	return nil
}

func (c *Console) diff(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var from, to json.RawMessage
	if err := decode(w, r, documentField("from", &from), documentField("to", &to)); err != nil {
		return err
	}
	changes, err := c.o.Risk.Diff(from, to)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"changes": list(changes)})
	return nil
}

func (c *Console) try(w http.ResponseWriter, r *http.Request, _ *Session) error {
	var document json.RawMessage
	var o risk.Observation
	if err := decode(w, r, documentField("document", &document), field{name: "observation", into: &o}); err != nil {
		return err
	}
	result, problems, err := c.o.Risk.Try(document, o)
	if err != nil {
		return err
	}
	answer := map[string]any{"result": &result, "problems": list(problems)}
	if len(problems) > 0 {
		answer["result"] = nil
	}
	c.answer(w, r, http.StatusOK, answer)
	return nil
}

func (c *Console) policies(w http.ResponseWriter, r *http.Request, _ *Session) error {
	slots, err := c.o.Risk.Slots(r.Context(), r.PathValue("tenant"))
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"slots": list(slots)})
	return nil
}

// holding is a version with its document. From says whose it is: "own", or, where the
// application has none, "tenant" or "preset" (version 0).
type holding struct {
	decide.VersionInfo
	From     string          `json:"from"`
	Document json.RawMessage `json:"document"`
}

// policy is what holds in a slot. All of it is as of one reading of the slots: base is
// the latest version that whoever reads this has seen.
func (c *Console) policy(w http.ResponseWriter, r *http.Request, _ *Session) error {
	tenant := r.PathValue("tenant")
	q, err := query(r, "application")
	if err != nil {
		return err
	}
	slots, err := c.o.Risk.Slots(r.Context(), tenant)
	if err != nil {
		return err
	}
	application := q["application"]
	own, all := slotOf(slots, application), slotOf(slots, "")
	from, slot, version := "own", application, own.Enforced
	if version == 0 {
		from, slot, version = "tenant", "", all.Enforced
	}
	if version == 0 {
		from = "preset"
	}
	enforced, err := c.holding(r.Context(), tenant, slot, from, version)
	if err != nil {
		return err
	}
	var shadow *holding
	if own.Shadow > 0 {
		if shadow, err = c.holding(r.Context(), tenant, application, "own", own.Shadow); err != nil {
			return err
		}
	}
	versions, err := c.o.Risk.Versions(r.Context(), tenant, application)
	if err != nil {
		return err
	}
	versions = slices.DeleteFunc(versions, func(v decide.VersionInfo) bool { return v.Version > own.Latest })
	c.answer(w, r, http.StatusOK, map[string]any{
		"application": application, "base": own.Latest, "enforced": enforced, "shadow": shadow, "versions": list(versions),
	})
	return nil
}

func (c *Console) holding(ctx context.Context, tenant, application, from string, version int) (*holding, error) {
	info, document, err := c.o.Risk.Version(ctx, tenant, application, version)
	if err != nil {
		return nil, err
	}
	return &holding{info, from, document}, nil
}

// slotOf is the slot of an application; one that nothing names yet is empty.
func slotOf(slots []decide.Slot, application string) decide.Slot {
	i := slices.IndexFunc(slots, func(s decide.Slot) bool { return s.Application == application })
	if i < 0 {
		return decide.Slot{Application: application}
	}
	return slots[i]
}

func (c *Console) policyVersion(w http.ResponseWriter, r *http.Request, _ *Session) error {
	q, err := query(r, "application")
	if err != nil {
		return err
	}
	version, err := strconv.Atoi(r.PathValue("version"))
	if err != nil || version < 0 {
		return proof.Invalid("version", "version must be a number, 0 for the preset")
	}
	info, document, err := c.o.Risk.Version(r.Context(), r.PathValue("tenant"), q["application"], version)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"info": info, "document": document})
	return nil
}

func (c *Console) publish(w http.ResponseWriter, r *http.Request, s *Session) error {
	p := decide.Publish{Author: s.Name}
	var base *int
	err := decode(w, r, field{name: "application", into: &p.Application, optional: true}, documentField("document", &p.Document),
		field{name: "base", into: &base}, field{name: "mode", into: &p.Mode}, field{name: "comment", into: &p.Comment, optional: true})
	if err == nil {
		p.Base = *base
		err = checkWords(p.Application, p.Comment)
	}
	if err == nil && p.Mode != decide.Enforce && p.Mode != decide.Shadow {
		err = proof.Invalid("mode", "mode must be enforce or shadow")
	}
	if err == nil && p.Base < 0 {
		err = proof.Invalid("base", "base must be the latest version that you have seen, 0 for none")
	}
	if err != nil {
		return err
	}
	info, problems, err := c.o.Risk.Publish(r.Context(), r.PathValue("tenant"), p)
	if len(problems) > 0 && err == nil {
		c.refuseDocument(w, r, problems)
		return nil
	}
	return c.published(w, r, p.Application, info, err)
}

func (c *Console) rollback(w http.ResponseWriter, r *http.Request, s *Session) error {
	var application, comment string
	var to, base *int
	err := decode(w, r, field{name: "application", into: &application, optional: true}, field{name: "to", into: &to},
		field{name: "base", into: &base}, field{name: "comment", into: &comment, optional: true})
	if err == nil {
		err = checkWords(application, comment)
	}
	if err == nil && (*to < 0 || *base < 0) {
		err = proof.Invalid("to", "to and base must be versions, 0 for the preset or none")
	}
	if err != nil {
		return err
	}
	info, err := c.o.Risk.Rollback(r.Context(), r.PathValue("tenant"), application, *to, *base, s.Name, comment)
	return c.published(w, r, application, info, err)
}

func checkWords(application, comment string) error {
	switch {
	case utf8.RuneCountInString(application) > maxApplication || !printable(application):
		return proof.Invalid("application", "application must be at most %d printable characters", maxApplication)
	case utf8.RuneCountInString(comment) > maxComment:
		return proof.Invalid("comment", "comment must be at most %d characters", maxComment)
	}
	return nil
}

// published answers with the new version, or with the latest one if somebody else was
// faster.
func (c *Console) published(w http.ResponseWriter, r *http.Request, application string, info decide.VersionInfo, err error) error {
	if !errors.Is(err, proof.ErrStale) {
		if err == nil {
			c.answer(w, r, http.StatusOK, info)
		}
		return err
	}
	versions, err := c.o.Risk.Versions(r.Context(), r.PathValue("tenant"), application)
	if err != nil {
		return err
	}
	latest := 0
	for _, v := range versions {
		latest = max(latest, v.Version)
	}
	c.log(r, http.StatusConflict, reasonStale, nil)
	c.answer(w, r, http.StatusConflict, problem{
		Reason: reasonStale, Message: "somebody else published meanwhile", Hint: "Look at what changed, then publish again.", Latest: &latest,
	})
	return nil
}

func (c *Console) refuseDocument(w http.ResponseWriter, r *http.Request, problems []policy.Problem) {
	c.log(r, http.StatusUnprocessableEntity, reasonPolicy, nil)
	c.answer(w, r, http.StatusUnprocessableEntity, problem{
		Reason: reasonPolicy, Message: "the policy cannot be used as it is", Hint: "Correct what the problems name.", Problems: problems,
	})
}

func (c *Console) replay(w http.ResponseWriter, r *http.Request, s *Session) error {
	var q decide.ReplayRequest
	err := decode(w, r, field{name: "application", into: &q.Application, optional: true}, documentField("document", &q.Document), field{name: "days", into: &q.Days})
	if err == nil {
		err = checkWords(q.Application, "")
	}
	if err == nil && (q.Days < 1 || q.Days > maxDays) {
		err = proof.Invalid("days", "days must be from 1 to %d", maxDays)
	}
	if err != nil {
		return err
	}
	if problems := c.o.Risk.Check(q.Document); len(problems) > 0 {
		c.refuseDocument(w, r, problems)
		return nil
	}
	tenant := r.PathValue("tenant")
	return c.run(w, r, s, func(ctx context.Context, told func(done, total int)) (any, error) {
		return c.o.Risk.Replay(ctx, tenant, q, told)
	})
}

// run begins a replay for a session and answers with its id.
func (c *Console) run(w http.ResponseWriter, r *http.Request, s *Session, work func(ctx context.Context, told func(done, total int)) (any, error)) error {
	tenant := r.PathValue("tenant")
	id, err := c.replays.begin(r.Context(), s.Hash, tenant, func(ctx context.Context, told func(done, total int)) (any, error) {
		result, err := guarded(func() (any, error) { return work(ctx, told) })
		if err != nil && ctx.Err() == nil {
			c.o.Logger.ErrorContext(ctx, "console: a replay failed", "tenant", tenant, "error", err)
		}
		return result, err
	})
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusAccepted, map[string]string{"id": id})
	return nil
}

func (c *Console) replayProgress(w http.ResponseWriter, r *http.Request, s *Session) error {
	p, failed, err := c.replays.look(s.Hash, r.PathValue("tenant"), r.PathValue("id"))
	if err != nil {
		return err
	}
	if failed != nil {
		e := sorted(failed)
		p.Error, p.Result = &problem{Reason: reasonOf(e), Message: e.Message, Hint: hints[e.Code], Field: e.Field}, nil
	}
	c.answer(w, r, http.StatusOK, p)
	return nil
}

func (c *Console) replayCancel(w http.ResponseWriter, r *http.Request, s *Session) error {
	if !c.replays.drop(s.Hash, r.PathValue("tenant"), r.PathValue("id")) {
		return errNoReplay
	}
	w.WriteHeader(http.StatusNoContent)
	return nil
}

func (c *Console) decisions(w http.ResponseWriter, r *http.Request, _ *Session) error {
	q, err := query(r, "application", "user", "decision", "outcome", "since", "cursor", "limit")
	if err != nil {
		return err
	}
	f := decide.ListFilter{User: q["user"], Verdict: risk.Verdict(q["decision"]), Outcome: q["outcome"], Cursor: q["cursor"]}
	if a, given := q["application"]; given {
		f.Application = &a
	}
	if f.Verdict != "" && !f.Verdict.Valid() {
		return proof.Invalid("decision", "decision must be allow, step_up or deny")
	}
	if outcomes := []string{"", decide.OutcomeSuccess, decide.OutcomeFailure, decide.OutcomeMatch, decide.OutcomeNoMatch}; !slices.Contains(outcomes, f.Outcome) {
		return proof.Invalid("outcome", "outcome must be success, failure, match or no_match")
	}
	if since := q["since"]; since != "" {
		if f.Since, err = time.Parse(time.RFC3339, since); err != nil {
			return proof.Invalid("since", "since must be a time such as 2026-11-29T08:00:00Z")
		}
	}
	if limit := q["limit"]; limit != "" {
		if f.Limit, err = strconv.Atoi(limit); err != nil || f.Limit < 1 || f.Limit > 200 {
			return proof.Invalid("limit", "limit must be from 1 to 200")
		}
	}
	page, next, err := c.o.Risk.List(r.Context(), r.PathValue("tenant"), f)
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, map[string]any{"decisions": list(page), "next": next})
	return nil
}

func (c *Console) decision(w http.ResponseWriter, r *http.Request, _ *Session) error {
	e, err := c.o.Risk.Explain(r.Context(), r.PathValue("tenant"), r.PathValue("decision"))
	if errors.Is(err, proof.ErrNotFound) {
		err = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownDecision, Message: "there is no such decision", Err: err}
	}
	if err != nil {
		return err
	}
	c.answer(w, r, http.StatusOK, e)
	return nil
}

// list is never null in JSON.
func list[T any](l []T) []T {
	if l == nil {
		return []T{}
	}
	return l
}
