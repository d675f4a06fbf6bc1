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

// Claimed is a job in the hands of one worker.
type Claimed struct {
	proof.Job        // Attempts: claims since it last went well, this one included
	Failures  int    // of those, how many ended in an error that counts, or with the worker's death
	Owner     string // who claimed it
	Fence     int64  // number of this claim; never used twice for one job
}

// Queue is where jobs are kept. Every method is one durable transaction. The
// methods that take a Claimed return ErrLeaseLost unless the job is still held
// under exactly that Owner and Fence.
type Queue interface {
	// Claim hands out at most limit jobs that are due at now, earliest first, to
	// owner until now+lease. Jobs whose lease ran out before now are due again,
	// with one more failure on their account. No job is ever in two hands whose
	// leases both run.
	Claim(ctx context.Context, owner string, now time.Time, limit int, lease time.Duration) ([]Claimed, error)
	// Extend moves the end of the lease.
	Extend(ctx context.Context, c Claimed, until time.Time) error
	// Finish removes a job that is done. If the same work was queued again after
	// the claim, the job runs again at the time then asked for.
	Finish(ctx context.Context, c Claimed) error
	// Reschedule lets the job run again at the given time, or earlier if the same
	// work was queued again meanwhile, with c.Attempts and c.Failures as its
	// account and lastError as a safe text of what went wrong.
	Reschedule(ctx context.Context, c Claimed, at time.Time, lastError string) error
	// Dead puts the job aside for a person to look at and records that in the
	// audit trail. If the same work was queued again meanwhile, that is a new job.
	Dead(ctx context.Context, c Claimed, now time.Time, lastError string) error
}
