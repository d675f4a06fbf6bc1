package decide

import (
	"context"
	"encoding/json"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/risk"
)

// Store keeps decisions, histories and policies beside the domain; internal/store
// implements it. Transactions are as journey.Store says.
type Store interface {
	UpdateRisk(ctx context.Context, fn func(tx Tx) error) error
	ViewRisk(ctx context.Context, fn func(tx Tx) error) error
	// RecordedLogins reads decisions from since on, oldest first, in batches, with the
	// key of their subject; those whose subject was erased are left out. A batch is each's to keep. It stops with
	// the error of each. No transaction spans the whole.
	RecordedLogins(ctx context.Context, tenant, application string, since, until time.Time, each func([]Recorded) error) error
	// CountLogins tells how many RecordedLogins would read.
	CountLogins(ctx context.Context, tenant, application string, since, until time.Time) (int, error)
}

// Tx is one transaction: that of the journey, and what risk adds.
type Tx interface {
	journey.Tx

	// History is the sealed history of a subject; proof.ErrNotFound if there is none.
	History(tenant, subject string) (sealed []byte, version int64, err error)
	// PutHistory stores it if the row still has version (0: there is none yet), else proof.ErrStale.
	PutHistory(tenant, subject string, sealed []byte, version int64, at time.Time) error

	// DropHistory removes it; none there: fine.
	DropHistory(tenant, subject string) error
	// StaleHistories are subjects whose history was last changed before then, at most limit.
	StaleHistories(tenant string, before time.Time, limit int) ([]string, error)

	InsertDecision(d *Decision) error
	Decision(tenant, id string) (*Decision, error)
	// EndDecision stores how a decision ended: Outcome, OutcomeAt, Learned. The row must
	// still have the outcome that d had when it was read (was), else proof.ErrStale.
	EndDecision(d *Decision, was string) error
	// Decisions lists decisions, newest first, at most limit.
	Decisions(tenant string, f Filter, limit int) ([]*Decision, error)
	// Applications that decisions or policies name, in alphabetical order.
	Applications(tenant string) ([]string, error)
	// PurgeDecisions drops some of the decisions from before then, and tells whose they were;
	// none left: nobody.
	PurgeDecisions(tenant string, before time.Time) (subjects []string, err error)

	// PolicyVersions are all versions for one application ("": all of the tenant), newest
	// first, without their documents.
	PolicyVersions(tenant, application string) ([]*PolicyVersion, error)
	PolicyVersion(tenant, application string, version int) (*PolicyVersion, error)
	// PolicyInForce is the newest version of that mode; proof.ErrNotFound if there is none.
	PolicyInForce(tenant, application string, mode Mode) (*PolicyVersion, error)
	// InsertPolicy stores a version; one that is there already: proof.ErrStale.
	InsertPolicy(p *PolicyVersion) error
}

// Decision is one recorded decision. What is personal is in Sealed, a Record under the
// subject's key.
type Decision struct {
	Tenant, ID, Subject, Caller string
	At                          time.Time
	Application                 string
	PolicyApplication           string // whose policy decided: the application's, or "" for the tenant's
	PolicyVersion               int    // 0: the preset that holds until one is published
	Verdict                     risk.Verdict
	Score                       *float64
	Reasons                     []risk.Reason
	ShadowVersion               int          // of the policy that was only tried; 0: none
	ShadowVerdict               risk.Verdict // what it would have decided
	Outcome                     string       // "", "success", "failure", "match", "no_match"
	OutcomeAt                   time.Time
	Learned                     bool
	Sealed                      []byte // nil once the subject was erased
}

// Recorded is a decision with its subject's key, for replays.
type Recorded struct {
	Decision
	WrappedKey []byte
}

// Filter chooses decisions. Zero fields choose all.
type Filter struct {
	Application *string
	Subject     string
	Verdict     risk.Verdict
	Outcome     string
	Since       time.Time
	Before      time.Time // and BeforeID, for the next page: those older than this one
	BeforeID    string
}

// Mode is what a published version does.
type Mode string

// Modes.
const (
	Enforce Mode = "enforce" // decides
	Shadow  Mode = "shadow"  // is evaluated and recorded beside the one that decides
)

// PolicyVersion is one published version. It never changes.
type PolicyVersion struct {
	Tenant, Application string
	Version             int // from 1
	Mode                Mode
	Author              string
	Comment             string
	At                  time.Time
	Document            json.RawMessage
}

// Outcomes of a decision.
const (
	OutcomeSuccess = "success"
	OutcomeFailure = "failure"
	OutcomeMatch   = "match"
	OutcomeNoMatch = "no_match"
)
