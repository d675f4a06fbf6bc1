package decide

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Explain evaluates the policy of a decision again on what was recorded with it, and shows
// every step.
func (s *Service) Explain(ctx context.Context, tenant, id string) (*Explanation, error) {
	t, err := s.tenant(tenant)
	if err != nil {
		return nil, err
	}
	if id = strings.ToLower(id); uuid.Validate(id) != nil {
		return nil, unknownDecision()
	}
	var d *Decision
	var subject *proof.Subject
	var decided *PolicyVersion
	err = s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
		if d, err = tx.Decision(tenant, id); err != nil {
			return err
		}
		if subject, err = tx.Subject(tenant, d.Subject); err != nil {
			return err
		}
		if d.PolicyVersion > 0 {
			if decided, err = tx.PolicyVersion(tenant, d.PolicyApplication, d.PolicyVersion); err != nil {
				return err
			}
		}
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return nil, unknownDecision()
	}
	if err != nil {
		return nil, err
	}
	e := &Explanation{Policy: s.presets[t.Preset].raw, Erased: d.Sealed == nil || subject.WrappedKey == nil}
	if decided != nil {
		e.Policy = decided.Document
	}
	var r Record
	if !e.Erased {
		if r, err = s.openRecord(subject.WrappedKey, d); err != nil {
			return nil, err
		}
	}
	e.Summary = summary(d, r.UserIdentifier)
	if e.Erased {
		return e, nil
	}
	e.Observation = &r.Observation
	e.Result = again(e.Policy, &r.Observation)
	if r.Failed != "" {
		e.Result.Failed = r.Failed
	} else {
		e.Differs = e.Result.Verdict != d.Verdict
	}
	if d.ShadowVersion == 0 {
		return e, nil
	}
	return e, s.Store.ViewRisk(ctx, func(tx Tx) error {
		tried, err := tx.PolicyVersion(tenant, r.ShadowApplication, d.ShadowVersion)
		if err == nil {
			e.Shadow = again(tried.Document, &r.Observation)
		}
		return err
	})
}

// again evaluates a document on an observation, with every step.
func again(document json.RawMessage, o *risk.Observation) *policy.Result {
	p, err := compiled(document)
	if err != nil {
		return &policy.Result{Verdict: risk.StepUp, Reasons: []risk.Reason{risk.ReasonEvaluationFailed}, Failed: err.Error()}
	}
	r := p.Evaluate(o, true)
	return &r
}

func summary(d *Decision, user string) Summary {
	s := Summary{
		ID: d.ID, At: d.At, Application: d.Application, Verdict: d.Verdict, Score: d.Score, Reasons: d.Reasons,
		PolicyApplication: d.PolicyApplication, PolicyVersion: d.PolicyVersion, ShadowVersion: d.ShadowVersion, ShadowVerdict: d.ShadowVerdict,
		Outcome: d.Outcome, OutcomeAt: d.OutcomeAt,
	}
	if user != "" {
		s.User = journey.Mask(user)
	}
	return s
}

// List lists decisions, newest first, with a cursor for the next page; empty if there is none.
func (s *Service) List(ctx context.Context, tenant string, f ListFilter) ([]Summary, string, error) {
	if _, err := s.tenant(tenant); err != nil {
		return nil, "", err
	}
	if f.Limit == 0 {
		f.Limit = 50
	}
	if f.Limit < 1 || f.Limit > 200 {
		return nil, "", proof.Invalid("limit", "limit must be from 1 to 200")
	}
	by := Filter{Application: f.Application, Verdict: f.Verdict, Outcome: f.Outcome, Since: f.Since}
	if f.Cursor != "" {
		var err error
		if by.Before, by.BeforeID, err = readCursor(f.Cursor); err != nil {
			return nil, "", proof.Invalid("cursor", "cursor is not one that a list gave")
		}
	}
	if f.User != "" {
		subject, unknown, err := s.Subjects.Subject(ctx, tenant, f.User)
		if err != nil {
			return nil, "", err
		}
		if unknown {
			return []Summary{}, "", nil
		}
		by.Subject = subject.ID
	}
	list := []Summary{}
	next := ""
	err := s.Store.ViewRisk(ctx, func(tx Tx) error {
		found, err := tx.Decisions(tenant, by, f.Limit+1)
		if err != nil {
			return err
		}
		list, next = list[:0], ""
		if len(found) > f.Limit {
			found = found[:f.Limit]
			last := found[f.Limit-1]
			next = cursor(last.At, last.ID)
		}
		subjects := map[string]*proof.Subject{}
		for _, d := range found {
			subject := subjects[d.Subject]
			if subject == nil {
				if subject, err = tx.Subject(tenant, d.Subject); err != nil {
					return err
				}
				subjects[d.Subject] = subject
			}
			user := ""
			if d.Sealed != nil && subject.WrappedKey != nil {
				r, err := s.openRecord(subject.WrappedKey, d)
				if err != nil {
					s.Logger.WarnContext(ctx, "a decision does not open", "tenant", tenant, "decision", d.ID, "error", err)
				}
				user = r.UserIdentifier
			}
			list = append(list, summary(d, user))
		}
		return nil
	})
	return list, next, err
}

func cursor(at time.Time, id string) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(at.UnixMicro(), 10) + "~" + id))
}

func readCursor(c string) (time.Time, string, error) {
	raw, err := base64.RawURLEncoding.DecodeString(c)
	if err != nil {
		return time.Time{}, "", err
	}
	at, id, ok := strings.Cut(string(raw), "~")
	micros, err := strconv.ParseInt(at, 10, 64)
	if err != nil || !ok || uuid.Validate(id) != nil {
		return time.Time{}, "", errors.New("decide: no cursor")
	}
	return time.UnixMicro(micros), id, nil
}
