package decide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Names of what is counted.
const (
	countAttempts = "risk.attempts"
	countFailures = "risk.failures"
)

// weighed is a login on its way to a decision.
type weighed struct {
	tenant  *Tenant
	subject *proof.Subject
	fresh   bool // the subject is not stored yet
	where   risk.Where
	keys    keys
	standing
	observation risk.Observation
	result      policy.Result
	shadow      *policy.Result
	failed      string
}

// keys name what is counted, without telling whom.
type keys struct{ subject, device, network []byte }

// Evaluate weighs a login and records the decision. An error means that there is none;
// whoever asked has to treat that as step_up, or refuse.
func (s *Service) Evaluate(ctx context.Context, c proof.Caller, r Request) (Answer, error) {
	if r.UserIdentifier == "" {
		return Answer{}, proof.Invalid("user_identifier", "user_identifier is required; it is null, empty or missing")
	}
	id := proof.NewID()
	for range 8 {
		w, err := s.weigh(ctx, c.Tenant, r)
		if err != nil {
			return Answer{}, err
		}
		d, err := s.decision(c, id, r, w)
		if err != nil {
			return Answer{}, err
		}
		err = s.Store.UpdateRisk(ctx, func(tx Tx) error { return s.record(tx, d, w) })
		if errors.Is(err, proof.ErrStale) {
			continue // somebody else made the subject, or it was erased meanwhile
		}
		if err != nil {
			return Answer{}, err
		}
		if w.failed != "" {
			s.Logger.WarnContext(ctx, "risk evaluation failed; the decision is "+string(d.Verdict), "tenant", d.Tenant, "decision", d.ID, "why", w.failed)
		}
		return Answer{DecisionID: d.ID, Verdict: d.Verdict, Score: d.Score, Reasons: d.Reasons,
			PolicyApplication: d.PolicyApplication, PolicyVersion: d.PolicyVersion}, nil
	}
	return Answer{}, proof.ErrStale
}

// Weigh decides without recording anything or counting the attempt.
func (s *Service) Weigh(ctx context.Context, tenant string, r Request) (risk.Observation, policy.Result, error) {
	w, err := s.weigh(ctx, tenant, r)
	if err != nil {
		return risk.Observation{}, policy.Result{}, err
	}
	return w.observation, w.result, nil
}

func (s *Service) weigh(ctx context.Context, tenant string, r Request) (*weighed, error) {
	t, err := s.tenant(tenant)
	if err != nil {
		return nil, err
	}
	w := &weighed{tenant: t}
	if w.subject, w.fresh, err = s.Subjects.Subject(ctx, tenant, r.UserIdentifier); err != nil {
		return nil, err
	}
	l := r.Login
	l.At = s.Now()
	if w.where.Address = risk.KindOf(l.IP, l.IPGiven); w.where.Address == risk.AddressPublic {
		w.where = s.Locate(l.IP)
		w.where.Address = risk.AddressPublic
	}
	w.keys = s.keys(tenant, w.subject.ID, &l, w.where)
	var h *risk.History
	around := risk.Context{Window: t.Window, ProofingKnown: true}
	err = s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
		if around.Attempts, err = s.counts(tx, tenant, countAttempts, w.keys, l.At.Add(-t.Window)); err != nil {
			return err
		}
		if around.Failures, err = s.counts(tx, tenant, countFailures, w.keys, l.At.Add(-t.Window)); err != nil {
			return err
		}
		if w.fresh {
			return nil
		}
		if h, _, err = s.history(tx, w.subject); err != nil {
			bad, ok := errors.AsType[*unreadable](err)
			if !ok {
				return err
			}
			w.failed = bad.Error()
		}
		verifications, err := tx.VerificationsOf(tenant, w.subject.ID)
		if err != nil {
			return err
		}
		for _, v := range verifications {
			if v.Named && v.Status == proof.Verified && v.FinishedAt.After(around.ProofedAt) {
				around.ProofedAt, around.ProofedBy = v.FinishedAt, "verification"
			}
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	if h != nil && h.MatchedAt.After(around.ProofedAt) {
		around.ProofedAt, around.ProofedBy = h.MatchedAt, "challenge"
	}
	w.standing = s.standing(ctx, t, l.Application)
	w.observation = risk.Observe(l, w.where, h, around)
	w.judge()
	return w, nil
}

// judge evaluates the policy in force, and the one that is only tried.
func (w *weighed) judge() {
	if w.standing.failed != "" && w.failed == "" {
		w.failed = w.standing.failed
	}
	if w.enforced != nil {
		w.result = w.enforced.Evaluate(&w.observation, false)
		if w.failed == "" {
			w.failed = w.result.Failed
		}
	} else {
		w.result = policy.Result{Verdict: risk.StepUp}
	}
	if w.failed != "" && !slices.Contains(w.result.Reasons, risk.ReasonEvaluationFailed) {
		w.result.Reasons = append([]risk.Reason{risk.ReasonEvaluationFailed}, w.result.Reasons...)
		if w.result.Verdict == risk.Allow {
			w.result.Verdict = risk.StepUp
		}
	}
	if w.tried != nil {
		r := w.tried.Evaluate(&w.observation, false)
		w.shadow = &r
	}
}

func (s *Service) decision(c proof.Caller, id string, r Request, w *weighed) (*Decision, error) {
	d := &Decision{
		Tenant: c.Tenant, ID: id, Subject: w.subject.ID, Caller: c.ID, At: w.observation.At, Application: r.Login.Application,
		PolicyApplication: w.application, PolicyVersion: w.version, Verdict: w.result.Verdict, Score: w.result.Score, Reasons: w.result.Reasons,
	}
	if w.shadow != nil {
		d.ShadowVersion, d.ShadowVerdict = w.triedVersion, w.shadow.Verdict
	}
	record := Record{UserIdentifier: r.UserIdentifier, Observation: w.observation, Unauthenticated: r.Unauthenticated, Failed: w.failed}
	if !r.Unauthenticated {
		record.Device, record.HasPlace = r.Login.Device, w.where.HasCoordinates
		record.Latitude, record.Longitude, record.RadiusKM = w.where.Latitude, w.where.Longitude, w.where.RadiusKM
	}
	if w.shadow != nil {
		record.ShadowApplication = w.triedOf
	}
	plain, err := json.Marshal(record)
	if err != nil {
		return nil, fmt.Errorf("encoding a decision: %w", err)
	}
	if d.Sealed, err = s.Vault.Seal(w.subject.WrappedKey, placeOf(d), plain); err != nil {
		return nil, fmt.Errorf("sealing a decision: %w", err)
	}
	return d, nil
}

func (s *Service) record(tx Tx, d *Decision, w *weighed) error {
	if w.fresh {
		if err := tx.InsertSubject(w.subject); err != nil {
			return err
		}
	} else if found, err := tx.Subject(d.Tenant, d.Subject); err != nil {
		return err
	} else if !found.ErasedAt.IsZero() {
		return proof.ErrStale
	}
	if err := tx.InsertDecision(d); err != nil {
		return err
	}
	return s.count(tx, d.Tenant, countAttempts, w.keys, d.At)
}

// keys derives what attempts and failures are counted under.
func (s *Service) keys(tenant, subject string, l *risk.Login, w risk.Where) (k keys) {
	k.subject = s.Vault.MAC(tenant, "risk", "subject\x00"+subject)
	if l.Device != "" {
		k.device = s.Vault.MAC(tenant, "risk", "device\x00"+l.Device)
	}
	if w.Address == risk.AddressPublic {
		k.network = s.Vault.MAC(tenant, "risk", "network\x00"+risk.NetworkOf(l.IP).String())
	}
	return k
}

// each calls fn with each key that there is.
func (k keys) each(c *risk.Counts, fn func(key []byte, n *int) error) error {
	for _, e := range []struct {
		key []byte
		n   *int
	}{{k.subject, &c.Subject}, {k.device, &c.Device}, {k.network, &c.Network}} {
		if e.key == nil {
			continue
		}
		if err := fn(e.key, e.n); err != nil {
			return err
		}
	}
	return nil
}

func (s *Service) counts(tx Tx, tenant, what string, k keys, since time.Time) (c risk.Counts, err error) {
	return c, k.each(&c, func(key []byte, n *int) (err error) {
		*n, err = tx.Hits(tenant, what, key, since)
		return err
	})
}

func (s *Service) count(tx Tx, tenant, what string, k keys, at time.Time) error {
	return k.each(new(risk.Counts), func(key []byte, _ *int) error { return tx.Hit(tenant, what, key, at) })
}

// addressOf reads back the address of an observation.
func addressOf(o *risk.Observation) netip.Addr {
	a, _ := netip.ParseAddr(o.IP)
	return a
}
