package console

import (
	"bytes"
	"context"
	"fmt"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	maxReplays  = 2 // at once; there are as few processors
	replayKept  = 10 * time.Minute
	replaysKept = 64 // that ended
)

// replays runs replays, and dry runs of rules, and keeps their results for a while.
type replays struct {
	now    func() time.Time
	mu     sync.Mutex
	wg     sync.WaitGroup
	closed bool
	all    []*replay // oldest first
}

// replay is one of them. What is below mu of replays is guarded by it.
type replay struct {
	id, tenant  string
	owner       []byte // hash of the session
	cancel      context.CancelFunc
	done, total atomic.Int64

	finished time.Time // zero: it runs
	result   any
	err      error
}

// begin starts run, which must not panic, for a session. ctx gives values, not its end:
// the replay outlives the request.
func (rs *replays) begin(ctx context.Context, owner []byte, tenant string, run func(ctx context.Context, progress func(done, total int)) (any, error)) (string, error) {
	id := proof.NewID()
	rs.mu.Lock()
	defer rs.mu.Unlock()
	if rs.closed {
		return "", &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonUnavailable, Message: "the program is about to end", Temporary: true}
	}
	rs.forget()
	running := 0
	for _, r := range rs.all {
		if !r.finished.IsZero() {
			continue
		}
		if running++; bytes.Equal(r.owner, owner) {
			return "", &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Message: "a replay of yours is running already; wait for it or cancel it"}
		}
	}
	if running >= maxReplays {
		return "", &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, RetryAfter: 10 * time.Second, Message: "others are replaying right now"}
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	r := &replay{id: id, tenant: tenant, owner: owner, cancel: cancel}
	rs.all = append(rs.all, r)
	rs.wg.Go(func() {
		defer cancel()
		result, err := run(ctx, func(done, total int) {
			r.total.Store(int64(total))
			r.done.Store(int64(done))
		})
		rs.mu.Lock()
		defer rs.mu.Unlock()
		r.finished, r.result, r.err = rs.now(), result, err
	})
	return r.id, nil
}

// guarded turns a panic into an error: it must not take the program along.
func guarded(run func() (any, error)) (result any, err error) {
	defer func() {
		if p := recover(); p != nil {
			result, err = nil, fmt.Errorf("console: replaying panicked: %v\n%s", p, debug.Stack())
		}
	}()
	return run()
}

// forget drops what ended too long ago, and the oldest of too many that ended.
func (rs *replays) forget() {
	kept, ended := rs.all[:0], 0
	for _, r := range rs.all {
		if !r.finished.IsZero() {
			ended++
		}
	}
	for _, r := range rs.all {
		if !r.finished.IsZero() && (r.id == "" || ended > replaysKept || rs.now().Sub(r.finished) >= replayKept) {
			ended--
			continue
		}
		kept = append(kept, r)
	}
	clear(rs.all[len(kept):])
	rs.all = kept
}

// progress is what the page is told.
type progress struct {
	Done     int64    `json:"done"`
	Total    int64    `json:"total"`
	Finished bool     `json:"finished"`
	Result   any      `json:"result,omitempty"` // *decide.Replay, or *hooks.Report of a dry run
	Error    *problem `json:"error,omitempty"`
}

var errNoReplay = &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonInvalidRequest, Message: "there is no such replay (any more)"}

// look is how far a replay of this session is; err is how it failed.
func (rs *replays) look(owner []byte, tenant, id string) (p progress, failed, err error) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	rs.forget()
	for _, r := range rs.all {
		if r.id != id || r.tenant != tenant || !bytes.Equal(r.owner, owner) {
			continue
		}
		return progress{Done: r.done.Load(), Total: r.total.Load(), Finished: !r.finished.IsZero(), Result: r.result}, r.err, nil
	}
	return progress{}, nil, errNoReplay
}

// drop cancels and forgets one of a session, and reports whether there was any. Room for
// another is there only when the work has ended.
func (rs *replays) drop(owner []byte, tenant, id string) bool {
	return rs.dropThose(func(r *replay) bool { return r.id == id && r.tenant == tenant && bytes.Equal(r.owner, owner) })
}

// dropAll drops all of a session.
func (rs *replays) dropAll(owner []byte) {
	rs.dropThose(func(r *replay) bool { return bytes.Equal(r.owner, owner) })
}

func (rs *replays) dropThose(match func(*replay) bool) (found bool) {
	rs.mu.Lock()
	defer rs.mu.Unlock()
	for _, r := range rs.all {
		if r.id != "" && match(r) {
			found = true
			r.cancel()
			r.id, r.owner = "", nil // nobody's: forgotten when it has ended
		}
	}
	return found
}

// close cancels all and waits for them.
func (rs *replays) close() {
	rs.mu.Lock()
	rs.closed = true
	rs.mu.Unlock()
	rs.dropThose(func(*replay) bool { return true })
	rs.wg.Wait()
}
