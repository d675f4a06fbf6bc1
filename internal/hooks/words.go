package hooks

import (
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Source says from where an event came.
type Source string

const (
	SourceWebhook Source = "webhook" // Descope's Audit Webhook
	SourceSearch  Source = "search"  // audit search, after an outage
	SourceHere    Source = "here"    // something that ended here
)

// Actions of events that are our own; Descope's have names without a dot.
const (
	VerificationEnded = "verification.ended" // data: status, reason, ial_level, caller
	ChallengeEnded    = "challenge.ended"    // data: result (match, no_match, expired, error), reason, caller
	SubjectErased     = "subject.erased"
)

// EventState of a stored event.
type EventState string

const (
	EventWaiting EventState = "waiting"
	EventDone    EventState = "done"
	EventParked  EventState = "parked"
)

// Event is one thing that happened. All that is personal is sealed when stored, under
// the tenant's own key, as it is not known yet whose it is; Lookups find it again when
// that person is erased.
type Event struct {
	ID         string // UUIDv7, in the order of receipt
	Tenant     string
	Hash       []byte // 32 bytes, a keyed hash of what is told of it: the same again is no new event
	Source     Source
	Action     string // "UserCreated", or one of ours
	OccurredAt time.Time
	ReceivedAt time.Time
	State      EventState
	Reason     proof.Reason // why it is parked
	Rules      int64        // version of the rules that it was evaluated with
	Lookups    [][]byte     // keyed hashes (journey's lookup) of the user identifiers in it
	Sealed     []byte       // Content
}

// Content is what an event says.
type Content struct {
	UserID        string         `json:"user_id,omitempty"`
	LoginIDs      []string       `json:"login_ids,omitempty"`
	ActorID       string         `json:"actor_id,omitempty"`
	Method        string         `json:"method,omitempty"`
	Device        string         `json:"device,omitempty"`
	Geo           string         `json:"geo,omitempty"`
	RemoteAddress string         `json:"remote_address,omitempty"`
	Tenants       []string       `json:"tenants,omitempty"` // Descope tenants
	Type          string         `json:"type,omitempty"`
	Data          map[string]any `json:"data,omitempty"`
	// Of an event of ours: the subject it is about, and the verification or challenge.
	Subject string `json:"subject,omitempty"`
	Object  string `json:"object,omitempty"`
}

// Rules is a versioned document: what leads to what. The newest version holds.
type Rules struct {
	Tenant  string    `json:"-"`
	Version int64     `json:"version"`
	Author  string    `json:"author"`
	Comment string    `json:"comment,omitempty"`
	At      time.Time `json:"at"`
	Rules   []Rule    `json:"rules"`
}

// Rule leads from an event to actions.
type Rule struct {
	ID   string   `json:"id"` // unique in the document; stable, as it is part of idempotency keys
	Name string   `json:"name"`
	Off  bool     `json:"off,omitempty"`
	On   []string `json:"on"`           // actions of events; "*" is any
	If   string   `json:"if,omitempty"` // CEL over event.*; empty: always. What cannot be told is not true.
	// Count has the rule fire only when so many such events of one person came within a
	// time, and then not again until that time has passed.
	Count *Count   `json:"count,omitempty"`
	Do    []Action `json:"do"`
}

// Count is AtLeast events Within a time, of one subject.
type Count struct {
	AtLeast int    `json:"at_least"`
	Within  string `json:"within"` // Go duration, 1m to 24h
}

// Kinds of actions.
const (
	StartVerification = "start_verification" // Deliver: message (1Kosmos sends the link), flow (a Descope flow does), none (the link goes out with the notice)
	StartChallenge    = "start_challenge"
	WriteAttributes   = "write_attributes" // Attributes: Descope's name -> CEL over event.* and result.*; none: the tenant's outcome mapping
	WriteStatus       = "write_status"     // Status: enabled, disabled
	AddRoles          = "add_roles"
	RemoveRoles       = "remove_roles"
	RevokeSessions    = "revoke_sessions"
	WriteAudit        = "write_audit" // an entry of action Type in Descope's audit trail
	Erase             = "erase"
	Notify            = "notify" // a message to the endpoints that listen to Type
)

// Action is one thing that a rule does.
type Action struct {
	Do         string            `json:"do"`
	Deliver    string            `json:"deliver,omitempty"`
	Flow       string            `json:"flow,omitempty"`   // with deliver: flow, its id
	Caller     string            `json:"caller,omitempty"` // as whom a verification or challenge is started; empty: the tenant's hooks caller
	Attributes map[string]string `json:"attributes,omitempty"`
	Status     string            `json:"status,omitempty"`
	Roles      []string          `json:"roles,omitempty"`
	Type       string            `json:"type,omitempty"` // of the message; default hook.RULE; of write_audit the action of the entry
	Text       string            `json:"text,omitempty"` // for people, of the message
}

// Effect is what repeating a call to the outside does.
type Effect string

const (
	Idempotent Effect = "idempotent" // the same again
	Readback   Effect = "readback"   // twice, but one can look whether it was done
	Unknown    Effect = "unknown"    // twice, and nobody can tell
)

// WorkState of an action that was queued.
type WorkState string

const (
	WorkWaiting WorkState = "waiting"
	WorkDone    WorkState = "done"
	WorkFailed  WorkState = "failed"
	WorkSkipped WorkState = "skipped" // there was nothing to do
	WorkParked  WorkState = "parked"  // a person has to look: nobody knows whether it was done
)

// Work is one action of one event: a job, and what became of it.
type Work struct {
	ID        string // UUIDv7; the key of its job
	Tenant    string
	Event     string
	Rule      string
	Index     int    // in Rule.Do
	Kind      string // StartVerification, ...
	Effect    Effect
	State     WorkState
	Reason    proof.Reason
	Begun     time.Time // set before the outside is called; zero: not begun
	Tries     int
	Subject   string // whom it is about; may be empty
	Sealed    []byte // WorkNotes, under the tenant's own key
	CreatedAt time.Time
	EndedAt   time.Time
	Version   int64
}

// WorkNotes is the personal part of Work.
type WorkNotes struct {
	Action  Action  `json:"action"`
	Content Content `json:"content"`
	Result  string  `json:"result,omitempty"` // what came of it: an id, a sentence
}

// Reasons of events and work. They are a part of proof.Reasons.
const (
	ReasonUnreadable     = proof.ReasonEventUnreadable     // an event that cannot be evaluated
	ReasonOutcomeUnknown = proof.ReasonOutcomeUnknown      // begun, and nobody knows whether it was done
	ReasonNobody         = proof.ReasonNobodyMeant         // the event names no person, or one that is unknown here
	ReasonNothingToDo    = proof.ReasonNothingToDo         // what would be written cannot be told
	ReasonSuperseded     = proof.ReasonSuperseded          // something newer of the same person was written
	ReasonNotConfigured  = proof.ReasonActionNotConfigured // no Descope project, messages or caller for it
	ReasonNoAddress      = proof.ReasonNoAddress           // no verified e-mail address to send the link to
	ReasonDropped        = proof.ReasonDropped             // a person decided that it is not to be done
)
