package decide

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Kinds of the jobs that this package handles. The key of JobVerdict is the id of a
// challenge; journey queues it (journey.Options.OnVerdict). The key of the others is the tenant.
const (
	JobVerdict = "risk.verdict"
	JobPurge   = "risk.purge"
	JobSignIns = "risk.sign_ins"
)

// Subjects finds or prepares the subject of a user identifier; journey.Service does.
type Subjects interface {
	Subject(ctx context.Context, tenant, identifier string) (s *proof.Subject, fresh bool, err error)
	// ForgetIfNothingIsLeft erases a subject that nothing needs any more.
	ForgetIfNothingIsLeft(ctx context.Context, tenant, id string) error
}

// Tenant is a tenant's configuration, as far as risk needs it.
type Tenant struct {
	ID     string
	Preset string        // what holds where no policy is published
	Window time.Duration // in which attempts and failures are counted
	// KeepDecisions and KeepHistory are how long a decision stays, and how long a history
	// does that nothing is added to.
	KeepDecisions, KeepHistory time.Duration
	// SignIns tells which logins succeeded at Descope; nil: nobody does.
	SignIns SignIns
}

// Options wires a Service. All but Now, Wake and Logger are needed.
type Options struct {
	Store    Store
	Vault    journey.Vault
	Subjects Subjects
	Locate   func(netip.Addr) risk.Where // of a public address; what it leaves out cannot be told
	Tenants  []Tenant
	Now      func() time.Time
	Logger   *slog.Logger
}

// Service carries out the use cases. It is safe for concurrent use.
type Service struct {
	Options
	Drafts
	tenants  map[string]*Tenant
	presets  map[string]*preset
	mu       sync.Mutex
	inForce  map[slot]*standing
	compiled map[versionKey]*policy.Policy
}

// preset is a policy that comes with the program.
type preset struct {
	document *policy.Document
	raw      json.RawMessage
	compiled *policy.Policy
}

// New makes a Service.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Vault == nil || o.Subjects == nil || o.Locate == nil {
		return nil, errors.New("decide: a store, a vault, subjects and a locator are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Options: o, Drafts: NewDrafts(o.Now), tenants: map[string]*Tenant{}, presets: map[string]*preset{}, inForce: map[slot]*standing{}, compiled: map[versionKey]*policy.Policy{}}
	for _, p := range policy.Presets() {
		compiled, err := policy.Compile(p.Document)
		if err != nil {
			return nil, fmt.Errorf("decide: preset %s: %w", p.Name, err)
		}
		raw, err := json.Marshal(p.Document)
		if err != nil {
			return nil, fmt.Errorf("decide: preset %s: %w", p.Name, err)
		}
		s.presets[p.Name] = &preset{p.Document, raw, compiled}
	}
	for i := range o.Tenants {
		t := &s.Options.Tenants[i]
		if s.presets[t.Preset] == nil {
			return nil, fmt.Errorf("decide: tenant %q: there is no preset %q", t.ID, t.Preset)
		}
		s.tenants[t.ID] = t
	}
	return s, nil
}

func (s *Service) tenant(id string) (*Tenant, error) {
	t, ok := s.tenants[id]
	if !ok {
		return nil, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "this tenant is not configured"}
	}
	return t, nil
}

// Handlers are the job handlers of this package, by kind.
func (s *Service) Handlers() map[string]func(context.Context, proof.Job) (time.Time, error) {
	return map[string]func(context.Context, proof.Job) (time.Time, error){JobVerdict: s.Verdict, JobPurge: s.Purge, JobSignIns: s.ReadSignIns}
}

// Begin queues the jobs that run by themselves.
func (s *Service) Begin(ctx context.Context) error {
	for id, t := range s.tenants {
		if err := s.update(ctx, func(tx Tx) error {
			if err := tx.Enqueue(proof.NewJob(id, JobPurge, id, s.Now().Add(time.Minute))); err != nil || t.SignIns == nil {
				return err
			}
			return tx.Enqueue(proof.NewJob(id, JobSignIns, id, s.Now().Add(signInsEvery)))
		}); err != nil {
			return err
		}
	}
	return nil
}

// update runs fn in a transaction, again when another one came between.
func (s *Service) update(ctx context.Context, fn func(tx Tx) error) error {
	var err error
	for range 8 {
		if err = s.Store.UpdateRisk(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

func (s *Service) audit(tx Tx, tenant, actor, action, object string, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{ID: proof.NewID(), Tenant: tenant, At: s.Now(), Actor: actor, Action: action, Object: object, Detail: detail})
}

func unknownDecision() error {
	return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownDecision, Message: "no such decision"}
}

// placeOf says where a decision's record lives, for sealing.
func placeOf(d *Decision) journey.Place {
	return journey.Place{Tenant: d.Tenant, Subject: d.Subject, Table: "risk_decisions", Column: "record", Row: d.ID}
}

func placeOfHistory(tenant, subject string) journey.Place {
	return journey.Place{Tenant: tenant, Subject: subject, Table: "risk_histories", Column: "history", Row: subject}
}

func (s *Service) openRecord(wrapped []byte, d *Decision) (r Record, err error) {
	plain, err := s.Vault.Open(wrapped, placeOf(d), d.Sealed)
	if err == nil {
		err = json.Unmarshal(plain, &r)
	}
	if err != nil {
		return r, fmt.Errorf("opening decision %s: %w", d.ID, err)
	}
	return r, nil
}

// history reads a subject's history; nil if there is none.
func (s *Service) history(tx Tx, subject *proof.Subject) (*risk.History, int64, error) {
	sealed, version, err := tx.History(subject.Tenant, subject.ID)
	if errors.Is(err, proof.ErrNotFound) {
		return nil, 0, nil
	}
	if err != nil {
		return nil, 0, err
	}
	h := new(risk.History)
	plain, err := s.Vault.Open(subject.WrappedKey, placeOfHistory(subject.Tenant, subject.ID), sealed)
	if err == nil {
		err = json.Unmarshal(plain, h)
	}
	if err != nil {
		return nil, 0, &unreadable{err}
	}
	return h, version, nil
}

// unreadable is a history that does not open: the login is weighed without one, and
// asked for a face.
type unreadable struct{ err error }

func (u *unreadable) Error() string { return "the history cannot be read: " + u.err.Error() }
func (u *unreadable) Unwrap() error { return u.err }
