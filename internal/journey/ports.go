package journey

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Store keeps the domain. internal/store implements it on SQLite and on
// PostgreSQL; one contract suite holds both to what is said here.
type Store interface {
	// Update runs fn in one transaction. When Update returns nil, everything fn
	// did is durable; when it returns an error, nothing of it happened. fn may be
	// run more than once and must not have effects besides tx. An error of fn
	// comes back as it is.
	Update(ctx context.Context, fn func(tx Tx) error) error
	// View runs fn against one consistent state. Writing in it is an error.
	View(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction. Reading a row that is not there, or is of another
// tenant, returns proof.ErrNotFound.
type Tx interface {
	Subject(tenant, id string) (*proof.Subject, error)
	SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error) // never an erased one
	InsertSubject(s *proof.Subject) error                                 // a second live one with the same lookup: proof.ErrStale
	// EraseSubject drops the subject's key, identifier and lookup for good, and
	// the sealed columns of everything that belongs to it.
	EraseSubject(tenant, id string, at time.Time) error

	Verification(tenant, id string) (*proof.Verification, error)
	// TenantOfVerification finds whose verification an id is, for browsers, which
	// know an id and a secret but no tenant.
	TenantOfVerification(id string) (tenant string, err error)
	VerificationByIdempotencyKey(tenant, caller, key string) (*proof.Verification, error)
	VerificationsOf(tenant, subject string) ([]*proof.Verification, error) // newest first
	InsertVerification(v *proof.Verification) error                        // same idempotency key again: proof.ErrStale
	// UpdateVerification stores v if the row still has v.Version, then counts
	// v.Version up; else proof.ErrStale.
	UpdateVerification(v *proof.Verification) error

	InsertAssurance(a *proof.Assurance) error
	AssurancesOf(tenant, subject string) ([]*proof.Assurance, error)                 // newest first
	RevokeAssurances(tenant, subject string, at time.Time) (int, error)              // those in force; how many
	InsertAudit(r *proof.AuditRecord) error                                          // append only
	AuditOf(tenant, object string) ([]*proof.AuditRecord, error)                     // oldest first
	Enqueue(j *proof.Job) error                                                      // a live job with the same kind and key: keeps the earlier RunAt of the two
	CancelJobs(tenant, kind, key string) error                                       // none there: fine
	Secret(tenant, name string) (sealed []byte, err error)                           // a secret of the tenant's own, e.g. our key pair towards 1Kosmos
	PutSecretIfAbsent(tenant, name string, sealed []byte) (stored []byte, err error) // what is stored afterwards, ours or an earlier one
}

// Place says where a sealed value lives. It is bound to the ciphertext as
// associated data, so that a value moved to another row, column, table, subject
// or tenant does not open.
type Place struct{ Tenant, Subject, Table, Column, Row string }

// Vault keeps keys. internal/vault implements it.
type Vault interface {
	NewSubjectKey(tenant, subject string) (wrapped []byte, err error)
	Seal(wrapped []byte, at Place, plaintext []byte) ([]byte, error)
	Open(wrapped []byte, at Place, sealed []byte) ([]byte, error)
	// SealOwn and OpenOwn are for the tenant's own secrets, which belong to no subject.
	SealOwn(at Place, plaintext []byte) ([]byte, error)
	OpenOwn(at Place, sealed []byte) ([]byte, error)
	// MAC is a keyed hash (32 bytes) for looking values up without keeping them,
	// and for deriving link secrets that need not be stored. The same arguments
	// give the same value as long as the master key lives, across key rotation.
	MAC(tenant, purpose, value string) []byte
}

// Upstream is 1Kosmos, in the words of the domain. Its errors are *proof.Error
// with one of the upstream reasons; Temporary says that trying again may help.
type Upstream interface {
	// Profile names the wire profile: "blockid" or "v1".
	Profile() string
	// ChoiceNeeded reports whether one document type must be chosen before Start.
	ChoiceNeeded() bool
	// Supports reports whether the configuration has a workflow for t and m.
	Supports(t proof.DocumentType, m proof.LivenessMode) bool
	// Start opens a session. A session opened but forgotten after a crash expires
	// by itself and harms nobody, so Start may be repeated.
	Start(ctx context.Context, r StartUpstream) (UpstreamSession, error)
	// Poll reads the truth about a session.
	Poll(ctx context.Context, up proof.Upstream) (Progress, error)
	// Assurance asks which level 1Kosmos asserts for an enrolled user. An unknown
	// user is the zero Assertion, not an error.
	Assurance(ctx context.Context, userIdentifier string) (Assertion, error)
}

// StartUpstream is what Start needs to know.
type StartUpstream struct {
	Verification  string // our id, sent as correlation id
	DocumentType  proof.DocumentType
	DocumentTypes []proof.DocumentType // all that are accepted, for profiles that take several
	Liveness      proof.LivenessMode
	ReturnURL     string // where profiles that can return the browser return it to
	Request       proof.Request
}

// UpstreamSession is an open session at 1Kosmos. URL is a bearer link.
type UpstreamSession struct {
	SessionID string
	DVC       string
	URL       string
}

// Progress is what Poll saw. Status is proof.InProgress or a terminal one;
// Reason is set for every terminal status but proof.Verified.
type Progress struct {
	Status   proof.Status
	Reason   proof.Reason
	Outcome  proof.Outcome
	Asserted Assertion // what 1Kosmos asserted for this very session; zero if nothing
}

// Assertion is a level that 1Kosmos asserts for a user. Level is empty if none.
type Assertion struct {
	Level     string // IAL1, IAL2, IAL3
	ExpiresAt time.Time
}
