package hooks

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Mapping says how an outcome is written to a Descope user: name of the custom attribute
// -> CEL over event.* and result.*. A text that is empty removes the attribute; what
// cannot be told is left as it is.
type Mapping map[string]string

// Tenant is the configuration of one tenant, as far as door C needs it.
type Tenant struct {
	ID        string
	Project   Project       // nil: there is no Descope project that rules could change
	Messages  Messages      // nil: links are not sent through 1Kosmos
	Caller    proof.Caller  // as whom verifications and challenges are started where an action names nobody
	Mapping   Mapping       // nil: DefaultMapping
	Retention time.Duration // how long events and ended work are kept; 30 days
}

// Options wires a Service.
type Options struct {
	Store   Store
	Vault   journey.Vault
	Journey Journey
	Outbox  Outbox
	Tenants []Tenant
	// Callers finds a configured caller of a tenant: one that an action names, and the one
	// that asked for a verification, whose allow-list says which claims may be written.
	Callers   func(tenant, id string) (proof.Caller, bool)
	PublicURL string // our own origin, no trailing slash
	Now       func() time.Time
	Wake      func() // called after a commit that queued a job due now; may be nil
	// Unreachable is told, with the context of the job, that the outside gave no answer that
	// says what came of an action, which is parked: jobs.Unreachable. May be nil.
	Unreachable func(ctx context.Context)
	Logger      *slog.Logger
}

// Service carries out the use cases of door C. It is safe for concurrent use.
type Service struct {
	Options
	tenants map[string]*Tenant
	order   []string

	mu       sync.Mutex
	compiled map[string]*Compiled // the rules in force, by tenant
}

// defaultRetention of events and ended work.
const defaultRetention = 30 * 24 * time.Hour

// New makes a Service. An error says what is wrong with the options.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Vault == nil || o.Journey == nil || o.Outbox == nil {
		return nil, errors.New("hooks: a store, a vault, a journey and an outbox are needed")
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Wake == nil {
		o.Wake = func() {}
	}
	if o.Unreachable == nil {
		o.Unreachable = func(context.Context) {}
	}
	if o.Callers == nil {
		o.Callers = func(string, string) (proof.Caller, bool) { return proof.Caller{}, false }
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Service{Options: o, tenants: map[string]*Tenant{}, compiled: map[string]*Compiled{}}
	for i := range o.Tenants {
		t := o.Tenants[i]
		if t.ID == "" || s.tenants[t.ID] != nil {
			return nil, fmt.Errorf("hooks: tenant %q needs an id of its own", t.ID)
		}
		if t.Mapping == nil {
			t.Mapping = DefaultMapping()
		}
		if t.Retention <= 0 {
			t.Retention = defaultRetention
		}
		if _, problems := compileMapping(t.Mapping); len(problems) > 0 {
			return nil, fmt.Errorf("hooks: the outcome mapping of tenant %q: %s: %s", t.ID, problems[0].Path, problems[0].Message)
		}
		t.Caller.Tenant = t.ID
		s.tenants[t.ID] = &t
		s.order = append(s.order, t.ID)
	}
	return s, nil
}

func (s *Service) tenant(id string) (*Tenant, error) {
	t, ok := s.tenants[id]
	if !ok {
		return nil, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession, Message: "this tenant is not configured"}
	}
	return t, nil
}

// update runs fn in a transaction, again when another one came between.
func (s *Service) update(ctx context.Context, fn func(tx Tx) error) error {
	var err error
	for range 8 {
		if err = s.Store.UpdateHooks(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

// Handlers are the job handlers of this package, by kind.
func (s *Service) Handlers() map[string]func(context.Context, proof.Job) (time.Time, error) {
	return map[string]func(context.Context, proof.Job) (time.Time, error){
		JobPump: s.Pump, JobWork: s.Carry, JobEnded: s.Ended, JobReconcile: s.Reconcile, JobPurge: s.Purge,
	}
}

// Begin queues what every tenant always has one of: a look for events that wait, for
// those that the webhook missed, and for what is too old. Call it when the program starts.
func (s *Service) Begin(ctx context.Context) error {
	return s.update(ctx, func(tx Tx) error {
		for _, id := range s.order {
			kinds := []string{JobPump, JobPurge}
			if s.tenants[id].Project != nil {
				kinds = append(kinds, JobReconcile)
			}
			for _, kind := range kinds {
				if err := tx.Enqueue(proof.NewJob(id, kind, "", s.Now())); err != nil {
					return err
				}
			}
		}
		return nil
	})
}

// purgeBite is how many rows one transaction drops; purgePause how long until the next look.
const (
	purgeBite  = 1000
	purgePause = time.Hour
)

// Purge is the job that drops events and ended work after the retention time.
func (s *Service) Purge(ctx context.Context, j proof.Job) (time.Time, error) {
	t, err := s.tenant(j.Tenant)
	if err != nil {
		return time.Time{}, nil // a tenant that is configured no more keeps what it has
	}
	before, full := s.Now().Add(-t.Retention), false
	err = s.update(journey.WithoutHurry(ctx), func(tx Tx) error {
		work, err := tx.PurgeWork(t.ID, before, purgeBite)
		if err != nil {
			return err
		}
		events, err := tx.PurgeEvents(t.ID, before, purgeBite)
		full = work == purgeBite || events == purgeBite
		return err
	})
	switch {
	case err != nil:
		return time.Time{}, owed(err)
	case full:
		return s.Now(), nil
	}
	return s.Now().Add(purgePause), nil
}

// owed makes an error one that time may mend: a job that always comes again is never put
// aside.
func owed(err error) error {
	if e, ok := errors.AsType[*proof.Error](err); err == nil || ok && e.Temporary {
		return err
	}
	return &proof.Error{Code: proof.CodeOf(err), Reason: proof.ReasonOf(err), Message: "a job that is owed failed", Temporary: true, Err: err}
}

func (s *Service) audit(tx Tx, tenant, actor, action, object string, r proof.Reason, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: tenant, At: s.Now(), Actor: actor, Action: action, Object: object, Reason: r, Detail: detail,
	})
}

// Where the sealed columns stand. They are the tenant's own.
func contentPlace(tenant, event string) journey.Place {
	return journey.Place{Tenant: tenant, Table: "hooks_events", Column: "content", Row: event}
}

func notesPlace(tenant, work string) journey.Place {
	return journey.Place{Tenant: tenant, Table: "hooks_work", Column: "notes", Row: work}
}

// content opens what an event says. One of a person who was erased is errGone.
func (s *Service) content(e *Event) (c Content, err error) {
	return c, s.open(contentPlace(e.Tenant, e.ID), e.Sealed, &c)
}

func (s *Service) notes(w *Work) (n WorkNotes, err error) {
	return n, s.open(notesPlace(w.Tenant, w.ID), w.Sealed, &n)
}

// errGone says that the personal part of a row was dropped.
var errGone = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonErased, Message: "what this says of a person was erased"}

func (s *Service) open(at journey.Place, sealed []byte, into any) error {
	if len(sealed) == 0 {
		return errGone
	}
	plain, err := s.Vault.OpenOwn(at, sealed)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return fmt.Errorf("opening the %s of %s: %w", at.Column, at.Row, err)
	}
	return nil
}

func (s *Service) seal(at journey.Place, v any) ([]byte, error) {
	plain, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encoding the %s: %w", at.Column, err)
	}
	sealed, err := s.Vault.SealOwn(at, plain)
	if err != nil {
		return nil, fmt.Errorf("sealing the %s: %w", at.Column, err)
	}
	return sealed, nil
}
