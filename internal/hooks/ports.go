package hooks

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Kinds of jobs.
const (
	JobPump      = "hooks.pump"      // key: empty, one a tenant: evaluates waiting events
	JobWork      = "hooks.work"      // key: id of a Work
	JobEnded     = "hooks.ended"     // key: "verification:ID", "challenge:ID" or "subject:ID": something ended here
	JobReconcile = "hooks.reconcile" // key: empty: looks in the audit search for what the webhook missed
	JobPurge     = "hooks.purge"     // key: empty
)

// Store keeps what door C stores. internal/store implements it, under the rules of
// journey.Store.
type Store interface {
	UpdateHooks(ctx context.Context, fn func(tx Tx) error) error
	ViewHooks(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction. A row that is not there, or of another tenant, is
// proof.ErrNotFound; one that changed meanwhile proof.ErrStale.
type Tx interface {
	Subject(tenant, id string) (*proof.Subject, error)
	SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error)
	Verification(tenant, id string) (*proof.Verification, error)
	VerificationsOf(tenant, subject string) ([]*proof.Verification, error) // newest first
	Challenge(tenant, id string) (*proof.Challenge, error)
	InsertMessage(m *deliveries.Message) error
	InsertAudit(r *proof.AuditRecord) error
	Enqueue(j *proof.Job) error
	Hit(tenant, limit string, key []byte, at time.Time) error
	Hits(tenant, limit string, key []byte, since time.Time) (int, error)

	// InsertEvents stores those whose Hash the tenant does not have yet; how many. Thousands
	// of events a second go through here: few statements, whatever the number of events.
	InsertEvents(tenant string, events []*Event) (fresh int, err error)
	// WaitingEvents are in the order of receipt, without Hash, Lookups and Sealed.
	WaitingEvents(tenant string, limit int) ([]*Event, error)
	EventContents(tenant string, ids []string) (sealed map[string][]byte, err error) // those that have any
	// EventsEvaluated moves waiting events to done, in one statement.
	EventsEvaluated(tenant string, ids []string, rules int64) error
	ParkEvent(tenant, id string, r proof.Reason) error
	Event(tenant, id string) (*Event, error)
	Events(q EventQuery) ([]*Event, error)                               // newest first
	ReplayEvent(tenant, id string) error                                 // parked -> waiting
	ForgetEvents(tenant string, lookup []byte) (int, error)              // drops Sealed and Lookups of what is about them
	PurgeEvents(tenant string, before time.Time, limit int) (int, error) // done ones; hashes stay as long again
	InsertWork(w *Work) error                                            // the same Event, Rule and Index again: proof.ErrStale
	Work(tenant, id string) (*Work, error)                               //
	UpdateWork(w *Work) error                                            // if the row still has w.Version
	Works(q WorkQuery) ([]*Work, error)                                  // newest first
	PurgeWork(tenant string, before time.Time, limit int) (int, error)   // ended ones
	Rules(tenant string) (*Rules, error)                                 // the newest version
	RuleVersions(tenant string) ([]*Rules, error)                        // newest first, without Rules.Rules
	RulesVersion(tenant string, version int64) (*Rules, error)           //
	InsertRules(r *Rules) error                                          // its version is there already: proof.ErrStale
	Cursor(tenant, name string) (time.Time, error)                       // zero: none
	SetCursor(tenant, name string, at time.Time) error                   //
}

// EventQuery filters events; zero values do not.
type EventQuery struct {
	Tenant       string
	Action       string
	State        EventState
	Since, Until time.Time // of receipt
	Before       string    // id: for paging
	Limit        int       // 1 to 1000
}

// WorkQuery filters work.
type WorkQuery struct {
	Tenant string
	Event  string
	Rule   string
	State  WorkState
	Before string
	Limit  int
}

// Journey is what door C has of journey.Service.
type Journey interface {
	Start(ctx context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error)
	StartChallenge(ctx context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error)
	Result(ctx context.Context, c proof.Caller, id, userIdentifier string) (journey.ResultView, error)
	Erase(ctx context.Context, tenant, subject string) (journey.Erased, error)
	// Lookup is the keyed hash under which a user identifier is found.
	Lookup(tenant, identifier string) []byte
	// Identifier opens the user identifier of a subject; "" if there is none any more.
	Identifier(ctx context.Context, tenant, subject string) (string, error)
}

// Project is a tenant's Descope project, as far as rules change it. Its errors are
// *proof.Error: descope_refused if it said no and would say so again, and
// descope_unavailable, Temporary (with RetryAfter if told), if nobody knows.
type Project interface {
	User(ctx context.Context, loginID string) (User, error) // unknown: proof.ErrNotFound
	// PatchAttributes writes custom attributes, and nothing else of the user; null removes.
	// Attributes that the project does not define are created first.
	PatchAttributes(ctx context.Context, loginID string, values map[string]any) error
	SetStatus(ctx context.Context, loginID, status string) error
	AddRoles(ctx context.Context, loginID string, roles []string) error
	RemoveRoles(ctx context.Context, loginID string, roles []string) error
	Logout(ctx context.Context, loginID string) error
	AuditEvent(ctx context.Context, e AuditEvent) error
	// RunFlow starts a management flow without waiting for it.
	RunFlow(ctx context.Context, flow string, input map[string]any) error
	// AuditSince reads the audit trail, oldest first; at most 10 requests a minute are allowed.
	AuditSince(ctx context.Context, since, until time.Time, page int) (events []Told, more bool, err error)
}

// User is what is read of a Descope user.
type User struct {
	UserID     string
	LoginIDs   []string
	Email      string
	Verified   bool // the e-mail
	Phone      string
	Status     string
	Roles      []string
	Attributes map[string]any
}

// AuditEvent is an entry of ours for Descope's trail.
type AuditEvent struct {
	Action, UserID, ActorID, TenantID string
	Type                              string // info, warn, error
	Data                              map[string]any
}

// Told is an event as Descope tells it.
type Told struct {
	Action     string
	OccurredAt time.Time
	Content    Content
	Refused    proof.Reason // it cannot be evaluated, and is to be parked; empty: it can
}

// Messages sends a link to a person through 1Kosmos.
type Messages interface {
	// SendLink mails the link; key makes a second call with the same key harmless where
	// 1Kosmos allows that, else the effect is Unknown.
	SendLink(ctx context.Context, to, link, key string) error
	Effect() Effect
}

// Outbox makes messages for other tools, to be stored by Tx.InsertMessage and queued in
// the transaction of whoever has something to tell. internal/deliveries implements it.
type Outbox interface {
	Prepare(ctx context.Context, d deliveries.Draft) (*deliveries.Message, *proof.Job, error)
}
