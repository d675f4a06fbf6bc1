package console

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Store keeps links and sessions; internal/store implements it. Transactions are as
// journey.Store says: fn may run more than once.
type Store interface {
	UpdateConsole(ctx context.Context, fn func(tx Tx) error) error
	ViewConsole(ctx context.Context, fn func(tx Tx) error) error
}

// Tx is one transaction. Secrets are known by their hash alone.
type Tx interface {
	// InsertLink stores a link; one with that hash already: proof.ErrStale.
	InsertLink(l *Link) error
	// TakeLink removes the link and returns it, if it is still good at that time, else
	// proof.ErrNotFound. Of those who ask at once, one gets it.
	TakeLink(hash []byte, at time.Time) (*Link, error)

	// InsertSession stores a session; one with that hash already: proof.ErrStale.
	InsertSession(s *Session) error
	// Session returns it however old it is; proof.ErrNotFound if there is none.
	Session(hash []byte) (*Session, error)
	// TouchSession moves SeenAt forward, never back. No such session: fine.
	TouchSession(hash []byte, at time.Time) error
	// DropSession removes it; none there: fine.
	DropSession(hash []byte) error

	// PurgeConsole removes links and sessions that ended before then.
	PurgeConsole(before time.Time) error

	InsertAudit(r *proof.AuditRecord) error
}

// Link signs in one browser, once.
type Link struct {
	ID                   string // UUIDv7; names the link in the audit trail
	Hash                 []byte // of the secret, 32 bytes
	Role                 Role
	Name                 string // of whom it is for; the author of what they publish
	CreatedAt, ExpiresAt time.Time
}

// Session is a browser that is signed in.
type Session struct {
	ID        string // UUIDv7
	Hash      []byte // of the cookie, 32 bytes
	Role      Role
	Name      string
	CreatedAt time.Time
	ExpiresAt time.Time // whatever happens
	SeenAt    time.Time // last use, to within touchEvery
}

// Role is what somebody may do.
type Role string

// Roles.
const (
	Viewer   Role = "viewer"   // reads, tries and replays
	Operator Role = "operator" // publishes and rolls back, too
)

// Valid reports whether r is a role.
func (r Role) Valid() bool { return r == Viewer || r == Operator }

// Risk is the use cases that the console shows. decide.Service implements it.
type Risk interface {
	Tenants() []string
	Slots(ctx context.Context, tenant string) ([]decide.Slot, error)
	// Versions are all of one slot, newest first.
	Versions(ctx context.Context, tenant, application string) ([]decide.VersionInfo, error)
	// Version 0 is the preset that holds by default.
	Version(ctx context.Context, tenant, application string, version int) (decide.VersionInfo, json.RawMessage, error)
	// Publish is proof.ErrStale if Base is not the latest version.
	Publish(ctx context.Context, tenant string, p decide.Publish) (decide.VersionInfo, []policy.Problem, error)
	Rollback(ctx context.Context, tenant, application string, to, base int, author, comment string) (decide.VersionInfo, error)
	Check(document json.RawMessage) []policy.Problem
	Diff(a, b json.RawMessage) ([]policy.Change, error)
	Try(document json.RawMessage, o risk.Observation) (policy.Result, []policy.Problem, error)
	// Replay calls progress now and then, from its own goroutine; it ends with ctx.
	Replay(ctx context.Context, tenant string, r decide.ReplayRequest, progress func(done, total int)) (*decide.Replay, error)
	List(ctx context.Context, tenant string, f decide.ListFilter) (page []decide.Summary, next string, err error)
	Explain(ctx context.Context, tenant, id string) (*decide.Explanation, error)
}
