package proof

import (
	"time"

	"github.com/google/uuid"
)

// CheckOutcome is the result of one check.
type CheckOutcome string

const (
	CheckPass       CheckOutcome = "pass"
	CheckFail       CheckOutcome = "fail"
	CheckCannotTell CheckOutcome = "cannot_tell"
)

// Check is one test on evidence, as its source reported it. Score and Threshold
// are nil where the source gave none: they are never made up.
type Check struct {
	Name       string       `json:"name"`
	Outcome    CheckOutcome `json:"outcome"`
	Score      *float64     `json:"score"`
	Threshold  *float64     `json:"threshold"`
	DurationMS *float64     `json:"duration_ms"`
}

// Evidence is one thing that was examined.
type Evidence struct {
	Type         string       `json:"type"` // document, portrait, selfie
	DocumentType DocumentType `json:"document_type,omitempty"`
	Country      string       `json:"country,omitempty"` // issuing state, as the source spelled it
}

// Claims is what the evidence says about the person. Dates are YYYY-MM-DD.
// Empty means that the source did not say.
type Claims struct {
	GivenName      string       `json:"given_name,omitempty"`
	FamilyName     string       `json:"family_name,omitempty"`
	BirthDate      string       `json:"birthdate,omitempty"`
	Gender         string       `json:"gender,omitempty"` // female, male (OpenID Connect Core 5.1)
	Nationality    string       `json:"nationality,omitempty"`
	DocumentType   DocumentType `json:"document_type,omitempty"`
	DocumentNumber string       `json:"document_number,omitempty"`
	IssuingCountry string       `json:"issuing_country,omitempty"`
	IssueDate      string       `json:"date_of_issuance,omitempty"`
	ExpiryDate     string       `json:"date_of_expiry,omitempty"`
}

// Outcome is everything that a terminal verification learned; all of it is personal.
type Outcome struct {
	Claims    Claims     `json:"claims,omitzero"`
	Checks    []Check    `json:"checks,omitempty"`
	Evidence  []Evidence `json:"evidence,omitempty"`
	Framework string     `json:"framework,omitempty"` // trust framework that the source names; see docs/decisions
	Engine    string     `json:"engine,omitempty"`    // who judged, with version, if the source says so
	Assessed  *bool      `json:"assessed,omitempty"`  // whether an independent body assessed the source, if it says so
	Enrolled  *bool      `json:"enrolled,omitempty"`  // whether the source keeps the face for step-ups from now on, if it says so
	At        time.Time  `json:"at,omitzero"`         // when the verdict was read
}

// Subject is a person as one tenant knows them. Everything personal that we
// keep is encrypted under WrappedKey; erasing that key erases the person.
type Subject struct {
	ID               string // UUIDv7
	Tenant           string
	Lookup           []byte // keyed hash of the customer's user identifier; nil for a pairwise subject
	WrappedKey       []byte // data key, wrapped by the master key; nil once erased
	SealedIdentifier []byte // the customer's user identifier; nil for a pairwise subject and once erased
	CreatedAt        time.Time
	ErasedAt         time.Time // zero while the person exists
}

// Assurance is a level that a verified verification granted to a subject.
type Assurance struct {
	ID           string // UUIDv7
	Tenant       string
	Subject      string
	Verification string
	Level        string // IAL1, IAL2, IAL3
	Source       string
	GrantedAt    time.Time
	ExpiresAt    time.Time // zero: does not expire by itself
	RevokedAt    time.Time // zero while in force
}

// Caller is a configured client of ours: who it is and what it may do.
type Caller struct {
	ID            string
	Tenant        string
	Application   string         // shown to the person who is asked to verify
	CallbackURLs  []string       // exact URLs that callback_url may name
	DocumentTypes []DocumentType // it may ask for these; empty means all
	Liveness      []LivenessMode // modes it may ask for; LivenessNone only if listed
	Claims        []string       // names of claims it may see
	ExternalAuth  []Node         // nodes that it may begin a round trip through External Authentication with
	ConsentText   string         // a sentence of its own, shown where people are asked; may be empty
}

// AuditRecord says who did what to what. It never holds personal data.
type AuditRecord struct {
	ID     string // UUIDv7
	Tenant string
	At     time.Time
	Actor  string // "caller:<id>", "person", "job", "operator"
	Action string // e.g. "verification.started"
	Object string // e.g. "verification:<id>"
	Reason Reason
	Detail map[string]string // small, no personal data
}

// NewID makes an id: a UUIDv7, which tells its time and is no capability. It cannot fail:
// without randomness crypto/rand ends the program.
func NewID() string { return uuid.Must(uuid.NewV7()).String() }

// NewJob makes a job that is due at a time.
func NewJob(tenant, kind, key string, at time.Time) *Job {
	return &Job{ID: NewID(), Tenant: tenant, Kind: kind, Key: key, RunAt: at}
}

// Job is durable work.
type Job struct {
	ID        string // UUIDv7
	Tenant    string
	Kind      string // e.g. "verification.poll"
	Key       string // one live job per (Tenant, Kind, Key)
	RunAt     time.Time
	Attempts  int    // claims so far
	LastError string // safe text of the last failure
}
