package jobs

import (
	"context"
	"time"
)

// finishAtOnce is how many jobs that are done are reported together at most.
const finishAtOnce = 256

// over is a job that is done, to be reported before its lease ends.
type over struct {
	c     Claimed
	until time.Time
}

// finisher reports jobs that are done: those that came while it was reporting others,
// together. It ends when done is closed and all is reported.
func (r *Runner) finisher(done <-chan over) {
	for first := range done {
		batch := []over{first}
	more:
		for len(batch) < finishAtOnce {
			select {
			case o, ok := <-done:
				if !ok {
					break more
				}
				batch = append(batch, o)
			default:
				break more
			}
		}
		r.finish(batch)
	}
}

// finish tells the queue until it hears us or the leases are over.
func (r *Runner) finish(batch []over) {
	for i := 0; ; i++ {
		cs := make([]Claimed, len(batch))
		for k, o := range batch {
			cs[k] = o.c
		}
		ctx, cancel := context.WithTimeout(context.Background(), r.o.Lease/4)
		lost, err := r.queue.FinishAll(ctx, cs)
		cancel()
		if err == nil {
			// Also when the handler cancelled its own job, which is as good as done; and
			// when an earlier try was heard after all.
			if len(lost) > 0 {
				r.o.Logger.Debug("jobs: some jobs were gone when they were reported", "jobs", len(lost))
			}
			return
		}
		pause := time.Duration(50*time.Millisecond) << min(i, 6)
		late := r.o.Now().Add(pause)
		kept := batch[:0]
		for _, o := range batch {
			if late.Before(o.until) {
				kept = append(kept, o)
			}
		}
		if n := len(batch) - len(kept); n > 0 {
			r.o.Logger.Warn("jobs: what became of jobs could not be reported; they will run again", "jobs", n, "error", err)
		}
		if batch = kept; len(batch) == 0 {
			return
		}
		time.Sleep(pause)
	}
}
