package jobs

import (
	"context"
	"errors"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// ErrLeaseLost is what a Queue answers to a report by someone who no longer
// holds the job: another worker claimed it, or it was cancelled.
var ErrLeaseLost = errors.New("jobs: the lease on this job was lost")

// Priority of a kind of jobs: of those of one tenant that are due, the more urgent ones
// run first.
type Priority int

const (
	Person Priority = -1 // somebody waits for it
	Normal Priority = 0
	Bulk   Priority = 1 // it can wait
)

// Claimed is a job in the hands of one worker.
type Claimed struct {
	proof.Job          // Attempts: claims since it last went well, this one included
	Priority  Priority // when it was claimed
	Failures  int      // of those, how many ended in an error that counts, or with the worker's death
	Owner     string   // of this claim
	Fence     int64    // how many claims of the job there were, this one included
}

// Held says how many jobs of a tenant a worker has in hand, and how many more it may
// get of that tenant.
type Held struct {
	Tenant     string
	Jobs, Room int
}

// DeadLetter is a job that was put aside for a person to look at.
type DeadLetter struct {
	proof.Job
	DiedAt time.Time
}

// Queue is where jobs are kept. Every method is one transaction, and durable but for
// this: if the database dies, or fails over, the last of what Claim, Extend, Finish,
// FinishAll and Reschedule did may be lost, so that a job is claimed again at once while
// somebody still has it, or runs once more. But what is durable was not done before what
// was lost: a claim is as durable as anything that was made durable after it. So a handler
// whose effect must not happen twice first writes down that it begins.
//
// The methods that take a Claimed return ErrLeaseLost unless the job is still held
// under exactly that Owner and Fence.
type Queue interface {
	// Claim hands out at most limit jobs that are due at now to owner until now+lease. The
	// owner is a new one for each claim: Fence alone may be used again after one was lost.
	// Jobs whose lease ran out before now are due again, with one more failure on their
	// account. No job is ever in two hands whose leases both run.
	//
	// Tenants take turns, whoever has least in hand first, and of one tenant the more
	// urgent come first, then the earlier: however many jobs of one tenant are due,
	// another's first one is not behind them. Of a tenant in held, at most Room are
	// handed out; one that is not in held has none in hand.
	Claim(ctx context.Context, owner string, now time.Time, limit int, lease time.Duration, held ...Held) ([]Claimed, error)
	// Extend moves the end of the lease.
	Extend(ctx context.Context, c Claimed, until time.Time) error
	// Finish removes a job that is done. If the same work was queued again after
	// the claim, the job runs again at the time then asked for.
	Finish(ctx context.Context, c Claimed) error
	// FinishAll is Finish for many, none of them twice, and returns those that were not
	// held any more. If it fails, some may have been finished.
	FinishAll(ctx context.Context, cs []Claimed) (lost []Claimed, err error)
	// Reschedule lets the job run again at the given time, or earlier if the same
	// work was queued again meanwhile, with c.Attempts and c.Failures as its
	// account and lastError as a safe text of what went wrong.
	Reschedule(ctx context.Context, c Claimed, at time.Time, lastError string) error
	// Dead puts the job aside for a person to look at and records that in the
	// audit trail. If the same work was queued again meanwhile, that is a new job.
	Dead(ctx context.Context, c Claimed, now time.Time, lastError string) error

	// Prioritize says how urgent kinds of jobs are: those in the queue, and those that
	// will be. Kinds that were never named are Normal.
	Prioritize(ctx context.Context, kinds map[string]Priority) error

	// DeadLetters are a tenant's dead jobs, the latest queued first; before is the id of the last one
	// of the page before, or empty. limit is 1 to 1000.
	DeadLetters(ctx context.Context, tenant, before string, limit int) ([]DeadLetter, error)
	// Requeue gives a dead job another life, due now, with a fresh account. If the same
	// work was queued again since, that runs now instead. Both this and Drop record who
	// did it in the audit trail, and return proof.ErrNotFound if there is no such dead job.
	Requeue(ctx context.Context, tenant, id, by string, now time.Time) error
	// Drop takes a dead job away for good.
	Drop(ctx context.Context, tenant, id, by string, now time.Time) error
}
