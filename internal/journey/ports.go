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

// WithoutHurry marks work for which nobody waits, as jobs are: a Store may let
// others go first.
func WithoutHurry(ctx context.Context) context.Context {
	return context.WithValue(ctx, unhurried{}, true)
}

// Unhurried reports whether WithoutHurry marked ctx.
func Unhurried(ctx context.Context) bool { return ctx.Value(unhurried{}) != nil }

type unhurried struct{}

// Tx is one transaction. Reading a row that is not there, or is of another
// tenant, returns proof.ErrNotFound. Of what only writes, and tells nothing of what
// it found, a failure may come to light later: in the next call, or in Update.
type Tx interface {
	Subject(tenant, id string) (*proof.Subject, error)
	SubjectByLookup(tenant string, lookup []byte) (*proof.Subject, error) // never an erased one
	InsertSubject(s *proof.Subject) error                                 // a second live one with the same lookup: proof.ErrStale
	// EraseSubject drops the subject's key, identifier and lookup for good, and
	// the sealed columns and keyed hashes of everything that belongs to it.
	EraseSubject(tenant, id string, at time.Time) error

	// Remembered reports whether something about the subject's logins is remembered.
	Remembered(tenant, subject string) (bool, error)

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

	Challenge(tenant, id string) (*proof.Challenge, error)
	// TenantOfChallenge is for browsers, as TenantOfVerification.
	TenantOfChallenge(id string) (tenant string, err error)
	// ChallengeByHandover finds the challenge whose hand-over has this hash,
	// whatever its tenant. Whether it is still open is the caller's to see.
	ChallengeByHandover(hash []byte) (*proof.Challenge, error)
	ChallengeByIdempotencyKey(tenant, caller, key string) (*proof.Challenge, error)
	ChallengesOf(tenant, subject string) ([]*proof.Challenge, error) // newest first
	InsertChallenge(c *proof.Challenge) error                        // same idempotency key again: proof.ErrStale
	// UpdateChallenge stores c if the row still has c.Version, then counts
	// c.Version up; else proof.ErrStale.
	UpdateChallenge(c *proof.Challenge) error

	// OpenUnder finds which of the tenant's verifications are in progress, and which of its
	// challenges pending, by their ids or by the hashes of their upstream sessions. It returns
	// their ids, in order.
	OpenUnder(tenant string, ids, hashes []string) (verifications, challenges []string, err error)

	// Hit counts one event under a limit and key at the given time, and Hits tells
	// how many there were since. Events are counted in steps of a minute, so that
	// one from the same minute before since counts too. key is a keyed hash, never a
	// name or address. PurgeHits drops what is older.
	Hit(tenant, limit string, key []byte, at time.Time) error
	Hits(tenant, limit string, key []byte, since time.Time) (int, error)
	PurgeHits(tenant string, before time.Time) (int, error)

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

// StepUp is one way in which 1Kosmos recognises a person by their face. Its
// errors are *proof.Error. One contract suite holds all implementations to what
// is said here.
type StepUp interface {
	// Backend names the way: "uwl", "v1", "workflow" or "oidc".
	Backend() string
	// Open opens an upstream session for the user. Where the user cannot be
	// challenged at all, the error's reason is user_unknown, user_not_enrolled,
	// user_disabled or too_many_attempts, as far as this way can tell. A session opened but
	// forgotten after a crash expires by itself and harms nobody.
	Open(ctx context.Context, r OpenStepUp) (OpenedStepUp, error)
	// Poll reads the truth about a session. An answer that cannot be believed
	// (undecryptable, of a wrong key, of a wrong signature) is an error, never a verdict.
	Poll(ctx context.Context, p PollStepUp) (StepUpProgress, error)
}

// OpenStepUp is what Open needs to know.
type OpenStepUp struct {
	Challenge     string    // our id, for the browser's way back; no capability
	Deadline      time.Time // of the challenge
	PageURL       string    // the challenge page, where ways that can return the browser return it to
	ReturnURL     string    // for oidc: the one address that is registered, which leads there
	Application   string    // who asks; shown to the person
	MaskedAccount string    // for which account; shown to the person
	Request       proof.ChallengeRequest
}

// OpenedStepUp is a session that is open now.
type OpenedStepUp struct {
	proof.StepUpSession
	Ends time.Time // by itself; zero if it lasts as long as the challenge
}

// PollStepUp names the session and whose answer alone counts.
type PollStepUp struct {
	proof.StepUpSession
	UserIdentifier string
}

// StepUpProgress is what Poll saw. Status is pending, match or no_match, or
// expired when the upstream session, not the challenge, has ended without an
// answer, or failed when 1Kosmos ended it for good. Reason is set for all but
// pending and match.
type StepUpProgress struct {
	Status     proof.ChallengeStatus
	Reason     proof.Reason
	Confidence *float64 // 0 to 1, only if the provider gave a number
	Liveness   proof.LivenessMode
}
