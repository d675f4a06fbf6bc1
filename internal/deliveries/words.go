package deliveries

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Kinds of jobs.
const (
	JobFanOut  = "deliveries.fan-out" // key: id of a Message
	JobDeliver = "deliveries.deliver" // key: id of a Delivery
	JobPurge   = "deliveries.purge"   // key: empty, one a tenant
)

// Draft is one thing that other tools are to be told.
type Draft struct {
	Tenant  string
	Type    string // "verification.ended", "hook.three-failures"
	Subject string // whose it is; may be empty
	Text    string // one sentence for people
	// Data is the payload's; what is personal in it goes when the subject is erased. It is
	// sealed under the subject's key where there is a subject, else under the tenant's own.
	Data map[string]any
}

// Message is a Draft as it is stored.
type Message struct {
	ID      string // UUIDv7; webhook-id is "msg_" and this without hyphens
	Tenant  string
	Type    string
	Subject string
	At      time.Time
	Sealed  []byte // the body of shape standard, which other shapes are made of; nil once erased or purged
}

// Shape of a request body.
type Shape string

const (
	ShapeStandard Shape = "standard" // {"type","timestamp","data"}, signed
	ShapeSlack    Shape = "slack"
	ShapeSplunk   Shape = "splunk_hec"
	ShapeDatadog  Shape = "datadog"
	ShapeSegment  Shape = "segment"
	ShapeTemplate Shape = "template" // Endpoint.Template, over the standard body
)

// Endpoint is where messages go.
type Endpoint struct {
	ID           string   `json:"id"` // UUIDv7
	Tenant       string   `json:"-"`
	Name         string   `json:"name"`
	URL          string   `json:"url"`              // https; http only where AllowPrivate
	Events       []string `json:"events,omitempty"` // types it listens to; "verification.*" is a prefix; empty: all
	Shape        Shape    `json:"shape"`
	Template     string   `json:"template,omitempty"`
	AllowPrivate bool     `json:"allow_private,omitempty"` // addresses of private networks, too
	Disabled     bool     `json:"disabled,omitempty"`
	Why          string   `json:"why,omitempty"` // why it was switched off by itself

	// Sealed is EndpointSecrets, under the tenant's own key.
	Sealed       []byte    `json:"-"`
	FailingSince time.Time `json:"failing_since,omitzero"` // first failure since the last success
	Failures     int       `json:"failures,omitempty"`     // since then, at most one an hour is counted
	CountedAt    time.Time `json:"counted_at,omitzero"`    // when the last one was
	CreatedAt    time.Time `json:"created_at"`
	UpdatedAt    time.Time `json:"updated_at"`
	Version      int64     `json:"version"`
}

// EndpointSecrets are what only we and the endpoint know.
type EndpointSecrets struct {
	// Signing secrets, "whsec_" and base64, or "whsk_" for Ed25519; newest first. Older ones
	// sign too until they end.
	Signing []Signing         `json:"signing"`
	Headers map[string]string `json:"headers,omitempty"` // credentials of the tool, as Splunk's token
	// URL is where it really goes, if there is a secret in it, as in Slack's; Endpoint.URL
	// then is what may be shown of it.
	URL string `json:"url,omitempty"`
}

// Signing is one secret that signs.
type Signing struct {
	Secret string    `json:"secret"`
	Ends   time.Time `json:"ends,omitzero"`
}

// DeliveryState of a Delivery.
type DeliveryState string

const (
	Waiting   DeliveryState = "waiting"
	Delivered DeliveryState = "delivered"
	Failed    DeliveryState = "failed"
)

// Delivery is one message to one endpoint.
type Delivery struct {
	ID        string // UUIDv7
	Tenant    string
	Message   string
	Endpoint  string
	Type      string // of the message
	State     DeliveryState
	Reason    proof.Reason
	Attempts  int
	NextAt    time.Time
	CreatedAt time.Time
	EndedAt   time.Time
	Replay    bool // somebody asked for it again
	Test      bool // of the test button
	Version   int64
}

// Attempt is one request of a Delivery.
type Attempt struct {
	Tenant   string
	Delivery string
	Number   int
	At       time.Time
	Took     time.Duration
	Status   int    // 0: no answer
	Error    string // safe text: no address of ours, nothing personal
	// Sealed is the request as it was sent and the beginning of the response, under the
	// subject's key where the message has one, else the tenant's own.
	Sealed []byte
}

// Store keeps what deliveries store. internal/store implements it.
type Store interface {
	UpdateDeliveries(ctx context.Context, fn func(tx Tx) error) error
	ViewDeliveries(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction, under the rules of journey.Tx.
type Tx interface {
	Subject(tenant, id string) (*proof.Subject, error)
	InsertAudit(r *proof.AuditRecord) error
	Enqueue(j *proof.Job) error

	InsertMessage(m *Message) error
	Message(tenant, id string) (*Message, error)
	// PurgeMessages drops those from before that no waiting delivery needs, with their
	// deliveries and attempts.
	PurgeMessages(tenant string, before time.Time, limit int) (int, error)

	Endpoints(tenant string) ([]*Endpoint, error)
	Endpoint(tenant, id string) (*Endpoint, error)
	InsertEndpoint(e *Endpoint) error
	UpdateEndpoint(e *Endpoint) error // if the row still has e.Version, then counts it up; else proof.ErrStale
	DeleteEndpoint(tenant, id string) error

	InsertDelivery(d *Delivery) error // same message and endpoint again without Replay or Test: proof.ErrStale
	Delivery(tenant, id string) (*Delivery, error)
	UpdateDelivery(d *Delivery) error // as UpdateEndpoint
	Deliveries(q DeliveryQuery) ([]*Delivery, error)
	InsertAttempt(a *Attempt) error
	Attempts(tenant, delivery string) ([]*Attempt, error) // oldest first
}

// DeliveryQuery filters deliveries, newest first; zero values do not filter.
type DeliveryQuery struct {
	Tenant, Endpoint, Type string
	State                  DeliveryState
	Since, Until           time.Time
	Before                 string // id: for paging
	Limit                  int
}
