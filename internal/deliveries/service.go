package deliveries

import (
	"context"
	"crypto/rand"
	"crypto/x509"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Options wires a Service.
type Options struct {
	Store   Store
	Vault   journey.Vault
	Tenants []string
	Now     func() time.Time
	Wake    func() // called after a commit that queued a job due now; may be nil
	// Unreachable is told, with the context of the job, that an endpoint gave no answer, or
	// one that asks for less: jobs.Unreachable. May be nil.
	Unreachable func(ctx context.Context)
	Logger      *slog.Logger

	// Schedule is how long to wait after the first, second, ... failed attempt; when it is
	// through, the delivery has failed. Up to a tenth is added, so that what failed together
	// does not come back together. Default: DefaultSchedule.
	Schedule []time.Duration
	// DisableAfter is how long an endpoint must have failed, without one success, to be
	// switched off; 72 h.
	DisableAfter time.Duration
	Retention    time.Duration // how long messages and the log of their deliveries are kept; 30 days

	Timeout  time.Duration  // of one request, to the end of the answer; 20 s
	RootCAs  *x509.CertPool // whose certificates count; nil: the system's
	Resolver Resolver       // nil: net.DefaultResolver
	// Connect opens a connection to an address that was looked at; nil: a net.Dialer that
	// looks at it once more.
	Connect func(ctx context.Context, network, address string) (net.Conn, error)
}

// DefaultSchedule is that of Standard Webhooks 1.0.0, "Deliverability and reliability":
// ten attempts within 76 hours.
func DefaultSchedule() []time.Duration {
	return []time.Duration{
		5 * time.Second, 5 * time.Minute, 30 * time.Minute, 2 * time.Hour, 5 * time.Hour,
		10 * time.Hour, 14 * time.Hour, 20 * time.Hour, 24 * time.Hour,
	}
}

// Service carries out the use cases. It is safe for concurrent use.
type Service struct {
	Options
	tenants map[string]bool
	public  *http.Client // for endpoints that may not be at private addresses
	private *http.Client // connections of one are never used by the other
	lanes   *lanes
	testing chan struct{} // tests at a time: people wait for them, and so no lane holds them
}

// New makes a Service. An error says what is wrong with the options.
func New(o Options) (*Service, error) {
	if o.Store == nil || o.Vault == nil {
		return nil, errors.New("deliveries: a store and a vault are needed")
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
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Schedule == nil {
		o.Schedule = DefaultSchedule()
	}
	for d, def := range map[*time.Duration]time.Duration{&o.DisableAfter: 72 * time.Hour, &o.Retention: 30 * 24 * time.Hour, &o.Timeout: 20 * time.Second} {
		if *d <= 0 {
			*d = def
		}
	}
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	s := &Service{Options: o, tenants: map[string]bool{}, lanes: newLanes(), testing: make(chan struct{}, testsAtOnce)}
	for _, t := range o.Tenants {
		if t == "" || s.tenants[t] {
			return nil, fmt.Errorf("deliveries: tenant %q needs an id of its own", t)
		}
		s.tenants[t] = true
	}
	s.public, s.private = s.client(false), s.client(true)
	return s, nil
}

// Close closes connections that are kept for the next request.
func (s *Service) Close() {
	s.public.CloseIdleConnections()
	s.private.CloseIdleConnections()
}

// Handlers are the job handlers of this package, by kind.
func (s *Service) Handlers() map[string]func(context.Context, proof.Job) (time.Time, error) {
	return map[string]func(context.Context, proof.Job) (time.Time, error){
		JobFanOut: s.FanOut, JobDeliver: s.Deliver, JobPurge: s.Purge,
	}
}

// Begin queues what every tenant always has one of. Call it when the program starts.
func (s *Service) Begin(ctx context.Context) error {
	return s.update(ctx, func(tx Tx) error {
		for _, t := range s.Tenants {
			if err := tx.Enqueue(proof.NewJob(t, JobPurge, "", s.Now())); err != nil {
				return err
			}
		}
		return nil
	})
}

const (
	maxData = 64 << 10 // bytes of a message's body
	maxText = 2000     // characters
)

// Prepare implements hooks.Outbox: it seals what is to be told, and makes the job that
// tells it. Store both in the transaction of the change that it tells of. A subject that
// is erased, or unknown, is proof.ErrNotFound, reason erased: there is nothing to tell
// about it any more, but that it was erased, which names no subject.
func (s *Service) Prepare(ctx context.Context, d Draft) (*Message, *proof.Job, error) {
	var subject *proof.Subject
	if d.Subject != "" {
		err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
			subject, err = tx.Subject(d.Tenant, d.Subject)
			return err
		})
		if errors.Is(err, proof.ErrNotFound) || err == nil && subject.WrappedKey == nil {
			return nil, nil, erased()
		}
		if err != nil {
			return nil, nil, err
		}
	}
	return s.message(d, subject)
}

func erased() error {
	return &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonErased, Message: "this person's data was erased", Err: proof.ErrNotFound}
}

func (s *Service) message(d Draft, subject *proof.Subject) (*Message, *proof.Job, error) {
	if d.Tenant == "" {
		return nil, nil, errors.New("deliveries: a message needs a tenant")
	}
	if !typeName(d.Type) {
		return nil, nil, proof.Invalid("type", "the type of a message is words of letters, digits, _ and - with dots between, at most 100 characters")
	}
	if d.Data == nil {
		d.Data = map[string]any{}
	}
	now := s.Now()
	body, err := encode(standard{Type: d.Type, Timestamp: now.UTC(), Text: cut(d.Text, maxText), Data: d.Data})
	if err != nil {
		return nil, nil, proof.Invalid("data", "the data of a message cannot be written as JSON")
	}
	if len(body) > maxData {
		return nil, nil, &proof.Error{Code: proof.CodeTooLarge, Reason: proof.ReasonTooLarge, Field: "data", Message: "a message is at most 64 KB"}
	}
	id := proof.NewID()
	m := &Message{ID: id, Tenant: d.Tenant, Type: d.Type, Subject: d.Subject, At: now}
	if m.Sealed, err = s.seal(subject, s.bodyPlace(m), body); err != nil {
		return nil, nil, err
	}
	return m, proof.NewJob(m.Tenant, JobFanOut, m.ID, now), nil
}

// Places of sealed values. What belongs to a subject names it.
func (s *Service) bodyPlace(m *Message) journey.Place {
	return journey.Place{Tenant: m.Tenant, Subject: m.Subject, Table: "messages", Column: "sealed", Row: m.ID}
}

func attemptPlace(m *Message, a *Attempt) journey.Place {
	return journey.Place{Tenant: m.Tenant, Subject: m.Subject, Table: "delivery_attempts", Column: "sealed", Row: fmt.Sprintf("%s/%d", a.Delivery, a.Number)}
}

func secretsPlace(e *Endpoint) journey.Place {
	return journey.Place{Tenant: e.Tenant, Table: "endpoints", Column: "sealed", Row: e.ID}
}

// seal seals under the subject's key, or the tenant's own if there is no subject.
func (s *Service) seal(subject *proof.Subject, at journey.Place, plain []byte) ([]byte, error) {
	if at.Subject == "" {
		return s.Vault.SealOwn(at, plain)
	}
	if subject == nil || subject.WrappedKey == nil {
		return nil, erased()
	}
	return s.Vault.Seal(subject.WrappedKey, at, plain)
}

// open opens what seal made. What was erased, or purged, is a proof.Error that says so.
func (s *Service) open(subject *proof.Subject, at journey.Place, sealed []byte) ([]byte, error) {
	if at.Subject != "" && (subject == nil || subject.WrappedKey == nil) {
		return nil, erased()
	}
	if sealed == nil {
		reason := proof.ReasonDataPurged
		if at.Subject != "" {
			reason = proof.ReasonErased
		}
		return nil, &proof.Error{Code: proof.CodeNotFound, Reason: reason, Message: "this is not kept any more", Err: proof.ErrNotFound}
	}
	if at.Subject == "" {
		return s.Vault.OpenOwn(at, sealed)
	}
	return s.Vault.Open(subject.WrappedKey, at, sealed)
}

func (s *Service) secrets(e *Endpoint) (*EndpointSecrets, error) {
	out := new(EndpointSecrets)
	if e.Sealed == nil {
		return out, nil
	}
	plain, err := s.Vault.OpenOwn(secretsPlace(e), e.Sealed)
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(plain, out); err != nil {
		return nil, errors.New("deliveries: the secrets of an endpoint cannot be read") // the cause may quote them
	}
	return out, nil
}

func (s *Service) sealSecrets(e *Endpoint, secrets *EndpointSecrets) (err error) {
	plain, err := json.Marshal(secrets)
	if err != nil {
		return err
	}
	e.Sealed, err = s.Vault.SealOwn(secretsPlace(e), plain)
	return err
}

// subjectOf is the subject of a message, nil if it has none or it is gone.
func subjectOf(tx Tx, m *Message) (*proof.Subject, error) {
	if m.Subject == "" {
		return nil, nil
	}
	subject, err := tx.Subject(m.Tenant, m.Subject)
	if errors.Is(err, proof.ErrNotFound) {
		return nil, nil
	}
	return subject, err
}

// update runs fn in a transaction, again when another one came between.
func (s *Service) update(ctx context.Context, fn func(tx Tx) error) error {
	var err error
	for range 8 {
		if err = s.Store.UpdateDeliveries(ctx, fn); !errors.Is(err, proof.ErrStale) {
			return err
		}
	}
	return err
}

func (s *Service) audit(tx Tx, tenant, actor, action, object string, r proof.Reason, detail map[string]string) error {
	return tx.InsertAudit(&proof.AuditRecord{
		ID: proof.NewID(), Tenant: tenant, At: s.Now(), Actor: actor, Action: action, Object: object, Reason: r, Detail: detail,
	})
}

// jittered is d and up to a tenth more.
func jittered(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return d + time.Duration(binary.LittleEndian.Uint64(b[:])%uint64(d/10+1))
}
