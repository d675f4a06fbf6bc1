package jobs

import (
	"context"
	"crypto/rand"
	"encoding/binary"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Handler does the work of one kind of job.
//
//	nil error, zero next   the job is done
//	nil error, next set    it runs again then; its account starts afresh
//	a *proof.Error that is Temporary
//	                       it runs again after a growing pause, for ever
//	any other error, or a panic
//	                       the same, until Options.MaxFailures; then it is dead
//
// ctx ends when the lease is lost or the shutdown takes too long.
type Handler func(ctx context.Context, j proof.Job) (next time.Time, err error)

// Options say how a Runner works; zero values mean the defaults.
type Options struct {
	Workers     int           // handlers at a time; 8
	Poll        time.Duration // how often to look for due jobs without being woken; 500 ms
	Lease       time.Duration // how long a dead worker's job stays with it; 30 s
	Backoff     time.Duration // first pause after an error, doubled each time; 1 s
	MaxBackoff  time.Duration // longest pause after an error; 5 min
	MaxFailures int           // errors that count, worker deaths included, until a job is dead; 8
	Grace       time.Duration // how long a shutdown waits before it ends the handlers' contexts; 20 s
	Now         func() time.Time
	Logger      *slog.Logger

	// OnDead, if set, is told of a job before it is put aside, so it may be told
	// twice. As long as it fails, the job is not put aside but tried again.
	OnDead func(ctx context.Context, j proof.Job, err error) error
}

// Runner takes jobs from a queue and runs them. Several runners, in one process or
// in many, may share a queue.
type Runner struct {
	queue    Queue
	o        Options
	handlers map[string]registered
	wake     chan struct{}

	mu     sync.Mutex
	inHand map[string]*share // by tenant
	total  int               // jobs claimed and not through with their handlers
	pace   time.Duration     // how long handlers take of late
	took   [2]time.Duration  // the most that was, in this window and the one before
	since  time.Time         // when this window began
	room   chan struct{}     // told when a handler is through
	done   chan over         // jobs to be reported as finished
}

// share is what a tenant has of the workers.
type share struct {
	jobs    int           // claimed and not through with their handlers
	workers chan struct{} // a token per worker at work
}

type registered struct {
	Handler
	Kind
	lanes *lanes // nil: none
}

// Kind says how the jobs of one kind are treated.
type Kind struct {
	Priority Priority
	Lane     Lane // if Lane.Of is set
}

// New makes a runner. Register the handlers, then call Run.
func New(queue Queue, o Options) *Runner {
	set := func(d *time.Duration, def time.Duration) {
		if *d <= 0 {
			*d = def
		}
	}
	set(&o.Poll, 500*time.Millisecond)
	set(&o.Lease, 30*time.Second)
	set(&o.Backoff, time.Second)
	set(&o.MaxBackoff, 5*time.Minute)
	set(&o.Grace, 20*time.Second)
	if o.Workers <= 0 {
		o.Workers = 8
	}
	if o.MaxFailures <= 0 {
		o.MaxFailures = 8
	}
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Runner{queue: queue, o: o, handlers: make(map[string]registered), wake: make(chan struct{}, 1),
		inHand: make(map[string]*share), room: make(chan struct{}, 1), done: make(chan over, finishAtOnce)}
}

// Handle registers the handler of a kind. It panics if the kind has one already.
func (r *Runner) Handle(kind string, h Handler) { r.HandleAs(kind, h, Kind{}) }

// HandleAs is Handle for a kind that is not like most.
func (r *Runner) HandleAs(kind string, h Handler, k Kind) {
	if kind == "" || h == nil || r.handlers[kind].Handler != nil {
		panic(fmt.Sprintf("jobs: kind %q needs one handler", kind))
	}
	known := registered{Handler: h, Kind: k}
	if k.Lane.Of != nil {
		known.lanes = &lanes{Lane: k.Lane.withDefaults(), open: make(map[string]*lane)}
	}
	r.handlers[kind] = known
}

// Wake makes the runner look for due jobs now. Call it after a commit that queued
// one. It never blocks, and forgetting it costs only time.
func (r *Runner) Wake() {
	select {
	case r.wake <- struct{}{}:
	default:
	}
}

// Run works until ctx ends, then waits for the handlers that are running. It
// returns nil if they all came to their end in time, and an error if their
// contexts had to be ended.
func (r *Runner) Run(ctx context.Context) error {
	// Handlers outlive ctx by the grace time.
	hctx, cut := context.WithCancel(context.WithoutCancel(ctx))
	defer cut()
	var running, reporting sync.WaitGroup
	reporting.Go(func() { r.finisher(r.done) })
	defer func() { close(r.done); reporting.Wait() }()
	workers := make(chan struct{}, r.o.Workers) // a token per worker at work
	poll := time.NewTimer(0)
	defer poll.Stop()
	prioritized := false
	for troubles := 0; ; {
		select {
		case <-ctx.Done():
			return r.shutDown(&running, cut)
		case <-r.wake:
		case <-poll.C:
		}
		if !prioritized {
			prioritized = r.prioritize(ctx)
		}
		for more := true; more; {
			limit, held := r.bite()
			for limit == 0 {
				select {
				case <-ctx.Done():
					return r.shutDown(&running, cut)
				case <-r.room:
				}
				limit, held = r.bite()
			}
			if ctx.Err() != nil {
				return r.shutDown(&running, cut)
			}
			claimed, until, err := r.claim(ctx, limit, held)
			for _, c := range claimed {
				s := r.take(c.Tenant)
				running.Go(func() { r.workInTurn(ctx, hctx, workers, s, c, until) })
			}
			more = len(claimed) == limit // there may be more that is due
			if !more && err == nil && slices.ContainsFunc(held, func(h Held) bool { return h.Room < limit }) {
				// And of a tenant that has its share, as soon as it has less in hand.
				select {
				case <-ctx.Done():
					return r.shutDown(&running, cut)
				case <-r.room:
				case <-r.wake:
				case <-time.After(r.o.Poll):
				}
				more = true
			}
			if err == nil {
				troubles = 0
				continue
			}
			troubles++
			r.o.Logger.Warn("jobs: claiming failed", "error", err)
		}
		poll.Reset(min(r.o.Poll<<min(troubles, 4), max(r.o.Poll, 5*time.Second)))
	}
}

// prioritize tells the queue how urgent the kinds are that are not like most.
func (r *Runner) prioritize(ctx context.Context) bool {
	kinds := make(map[string]Priority)
	for kind, h := range r.handlers {
		kinds[kind] = h.Priority
	}
	if len(kinds) == 0 {
		return true
	}
	ctx, cancel := context.WithTimeout(ctx, r.o.Lease/2)
	defer cancel()
	err := r.queue.Prioritize(ctx, kinds)
	if err != nil {
		r.o.Logger.Warn("jobs: the queue was not told what is urgent", "error", err)
	}
	return err == nil
}

// Where handlers are quick, all of them and for a while, more jobs are claimed than there
// are workers, so that nobody waits for the next claim: as many as are done within ahead,
// and aheadOf for each worker.
const (
	ahead   = 50 * time.Millisecond
	aheadOf = 4
	window  = 5 * time.Second
)

// most is how many workers one tenant may have: not all, if there are enough of them.
func (r *Runner) most() int { return r.o.Workers - r.o.Workers/8 }

// bite says how many jobs to claim, and of which tenants not so many.
func (r *Runner) bite() (limit int, held []Held) {
	r.mu.Lock()
	defer r.mu.Unlock()
	extra := 0
	if took := max(r.took[0], r.took[1]); took > 0 {
		extra = min(int(ahead/took), aheadOf) * r.o.Workers
	}
	room := r.o.Workers + extra - r.total
	if room <= 0 || r.total >= r.o.Workers && room < extra/2 {
		return 0, nil // enough in hand: larger bites are better ones
	}
	most := r.most() + extra
	for tenant, s := range r.inHand {
		held = append(held, Held{Tenant: tenant, Jobs: s.jobs, Room: max(most-s.jobs, 0)})
	}
	return min(room, most), held
}

func (r *Runner) take(tenant string) *share {
	r.mu.Lock()
	defer r.mu.Unlock()
	s := r.inHand[tenant]
	if s == nil {
		s = &share{workers: make(chan struct{}, r.most())}
		r.inHand[tenant] = s
	}
	s.jobs++
	r.total++
	return s
}

// through is called when a job needs no worker any more.
func (r *Runner) through(tenant string) {
	r.mu.Lock()
	s := r.inHand[tenant]
	if s.jobs--; s.jobs == 0 {
		delete(r.inHand, tenant)
	}
	r.total--
	r.mu.Unlock()
	select {
	case r.room <- struct{}{}:
	default:
	}
}

// learn takes note of how long a handler took. One that had to wait for a processor does
// not make all of them slow; several in a row do.
func (r *Runner) learn(took time.Duration) {
	now := time.Now()
	r.mu.Lock()
	defer r.mu.Unlock()
	if now.Sub(r.since) > window {
		r.took[0], r.took[1], r.since = 0, r.took[0], now
	}
	r.pace += (took - r.pace) / 8
	r.took[0] = max(r.took[0], r.pace, time.Microsecond)
}

// claim returns jobs and until when they are ours.
func (r *Runner) claim(ctx context.Context, limit int, held []Held) ([]Claimed, time.Time, error) {
	ctx, cancel := context.WithTimeout(ctx, r.o.Lease/2)
	defer cancel()
	now := r.o.Now()
	claimed, err := r.queue.Claim(ctx, rand.Text(), now, limit, r.o.Lease, held...)
	return claimed, now.Add(r.o.Lease), err
}

// workInTurn waits for a worker, but not for long: others may have some.
func (r *Runner) workInTurn(ctx, hctx context.Context, workers chan struct{}, s *share, c Claimed, until time.Time) {
	defer r.through(c.Tenant)
	var late <-chan time.Time
	for _, turn := range []chan struct{}{s.workers, workers} {
		select {
		case turn <- struct{}{}:
		default:
			if late == nil {
				timer := time.NewTimer(r.o.Lease / 3)
				defer timer.Stop()
				late = timer.C
			}
			select {
			case turn <- struct{}{}:
			case <-ctx.Done():
				r.giveBack(hctx, c, r.o.Now(), until)
				return
			case <-late:
				r.giveBack(hctx, c, r.o.Now(), until)
				return
			}
		}
		defer func() { <-turn }()
	}
	r.work(hctx, c, until)
}

// giveBack lets a job that did not begin run at the given time, as if it had not been
// claimed.
func (r *Runner) giveBack(ctx context.Context, c Claimed, at, until time.Time) {
	c.Attempts--
	log := r.o.Logger.With("job", c.ID, "kind", c.Kind, "tenant", c.Tenant)
	r.tell(ctx, log, until, func(ctx context.Context) error { return r.queue.Reschedule(ctx, c, at, c.LastError) })
}

func (r *Runner) shutDown(running *sync.WaitGroup, cut context.CancelFunc) error {
	done := make(chan struct{})
	go func() { running.Wait(); close(done) }()
	grace := time.NewTimer(r.o.Grace)
	defer grace.Stop()
	select {
	case <-done:
		return nil
	case <-grace.C:
		cut()
		<-done
		return errors.New("jobs: handlers were still running when the grace time was over")
	}
}

// work runs one claimed job and reports what became of it.
func (r *Runner) work(ctx context.Context, c Claimed, until time.Time) {
	log := r.o.Logger.With("job", c.ID, "kind", c.Kind, "tenant", c.Tenant)
	ls, name, reached := r.handlers[c.Kind].lanes, "", new(unreachable)
	if ls != nil {
		if name = r.laneOf(ctx, ls, c); name != "" {
			again, ok := ls.enter(name, r.o.Now())
			if !ok {
				r.giveBack(ctx, c, again, until)
				return
			}
		}
	}
	lease, end := context.WithCancelCause(context.WithValue(ctx, unreachableKey{}, reached))
	defer end(nil)
	stop, renewed := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(renewed)
		until = r.renew(lease, c, until, stop, end)
	}()
	var next time.Time
	var err error
	begun := time.Now()
	func() {
		defer func() { close(stop); <-renewed }()
		next, err = r.handle(lease, c)
	}()
	r.learn(time.Since(begun))
	if name != "" {
		if ctx.Err() != nil || context.Cause(lease) == ErrLeaseLost {
			ls.release(name) // whatever it says
		} else {
			_, temporary, _ := describe(err)
			ls.leave(name, r.o.Now(), time.Since(begun), reached.was() || err != nil && temporary)
		}
	}
	if context.Cause(lease) == ErrLeaseLost {
		log.Info("jobs: the lease was lost while the handler ran")
		return
	}
	r.report(ctx, log, c, next, err, until)
}

// renew extends a lease that runs until the given time, until it is told to stop,
// and returns when it runs out. A lease that is lost, or could not be extended in
// time, ends the handler's context.
func (r *Runner) renew(ctx context.Context, c Claimed, until time.Time, stop <-chan struct{}, end context.CancelCauseFunc) time.Time {
	tick := time.NewTicker(r.o.Lease / 3)
	defer tick.Stop()
	for {
		select {
		case <-stop:
			return until
		case <-ctx.Done():
			return until
		case <-tick.C:
		}
		if !r.o.Now().Before(until) {
			end(ErrLeaseLost)
			return until
		}
		next := r.o.Now().Add(r.o.Lease)
		try, cancel := context.WithTimeout(ctx, r.o.Lease/4)
		err := r.queue.Extend(try, c, next)
		cancel()
		switch {
		case err == nil:
			until = next
		case errors.Is(err, ErrLeaseLost):
			end(ErrLeaseLost)
			return until
		default:
			r.o.Logger.Warn("jobs: renewing a lease failed", "job", c.ID, "kind", c.Kind, "error", err)
		}
	}
}

// errNoHandler is temporary: another version of the program may have the handler.
var errNoHandler = &proof.Error{Code: proof.CodeUnavailable, Message: "no handler for this kind of job", Temporary: true}

// errDied is the error of a job whose workers died one after the other.
var errDied = &proof.Error{Code: proof.CodeInternal, Message: "the workers that ran this job died or hung"}

// handle calls the handler; a panic is an error.
func (r *Runner) handle(ctx context.Context, c Claimed) (next time.Time, err error) {
	h := r.handlers[c.Kind].Handler
	if h == nil {
		return time.Time{}, errNoHandler
	}
	if c.Failures >= r.o.MaxFailures {
		return time.Time{}, errDied
	}
	returned := false
	defer func() {
		if returned {
			return
		}
		// What was thrown may hold anything, so only a runtime error is told.
		thrown := "a value"
		if e, ok := recover().(interface {
			RuntimeError()
			Error() string
		}); ok {
			thrown = e.Error()
		}
		r.o.Logger.Error("jobs: a handler panicked", "job", c.ID, "kind", c.Kind, "panic", thrown, "stack", string(debug.Stack()))
		next, err = time.Time{}, &proof.Error{Code: proof.CodeInternal, Message: "the handler panicked"}
	}()
	next, err = h(ctx, c.Job)
	returned = true
	return next, err
}

// laneOf asks to which lane a job goes. If asking panics, it is the handler's to say what
// is wrong.
func (r *Runner) laneOf(ctx context.Context, ls *lanes, c Claimed) (name string) {
	defer func() {
		if recover() != nil {
			r.o.Logger.Error("jobs: asking for a lane panicked", "job", c.ID, "kind", c.Kind, "stack", string(debug.Stack()))
			name = ""
		}
	}()
	return ls.Of(ctx, c.Job)
}

// report decides what becomes of a job and has the queue told.
func (r *Runner) report(ctx context.Context, log *slog.Logger, c Claimed, next time.Time, err error, expires time.Time) {
	var tell func(context.Context) error
	now := r.o.Now()
	switch {
	case err == nil && next.IsZero():
		r.done <- over{c, expires}
		return
	case err == nil:
		c.Attempts, c.Failures = 0, 0
		tell = func(ctx context.Context) error { return r.queue.Reschedule(ctx, c, next, "") }
	case ctx.Err() != nil:
		// The shutdown cut it short: not its fault, and the next process can begin at once.
		tell = func(ctx context.Context) error { return r.queue.Reschedule(ctx, c, now, "shut down") }
	default:
		text, temporary, after := describe(err)
		if !temporary && c.Failures < r.o.MaxFailures {
			c.Failures++
		}
		at := now.Add(max(r.pause(c.Attempts), after))
		log.Warn("jobs: a job failed", "attempt", c.Attempts, "failures", c.Failures, "temporary", temporary, "error", err)
		tell = func(ctx context.Context) error { return r.queue.Reschedule(ctx, c, at, text) }
		if !temporary && c.Failures >= r.o.MaxFailures {
			if r.buried(ctx, log, c, err) {
				log.Error("jobs: a job is dead", "attempt", c.Attempts, "error", err)
				tell = func(ctx context.Context) error { return r.queue.Dead(ctx, c, now, text) }
			}
		}
	}
	r.tell(ctx, log, expires, tell)
}

// tell reports until the queue hears us or the lease is over.
func (r *Runner) tell(ctx context.Context, log *slog.Logger, expires time.Time, tell func(context.Context) error) {
	// A shutdown that ran out of grace must not keep us from saying so.
	ctx = context.WithoutCancel(ctx)
	for i := 0; ; i++ {
		try, cancel := context.WithTimeout(ctx, r.o.Lease/4)
		err := tell(try)
		cancel()
		if err == nil {
			return
		}
		if errors.Is(err, ErrLeaseLost) {
			// Also when the handler cancelled its own job, which is as good as done.
			log.Debug("jobs: the job was gone when it was reported")
			return
		}
		pause := time.Duration(50*time.Millisecond) << min(i, 6)
		if !r.o.Now().Add(pause).Before(expires) {
			log.Warn("jobs: what became of a job could not be reported; it will run again", "error", err)
			return
		}
		time.Sleep(pause)
	}
}

// buried tells the hook of a job that is about to be dead, and whether it took it.
func (r *Runner) buried(ctx context.Context, log *slog.Logger, c Claimed, cause error) (ok bool) {
	if r.o.OnDead == nil {
		return true
	}
	defer func() {
		if v := recover(); v != nil {
			log.Error("jobs: the dead letter hook panicked", "stack", string(debug.Stack()))
		}
	}()
	if err := r.o.OnDead(ctx, c.Job, cause); err != nil {
		log.Error("jobs: the dead letter hook failed; the job is tried again", "error", err)
		return false
	}
	return true
}

// describe makes a text of an error that is safe to keep and show, and says
// whether trying again may help, and not before when.
func describe(err error) (text string, temporary bool, after time.Duration) {
	e, ok := errors.AsType[*proof.Error](err)
	if !ok {
		return string(proof.CodeInternal), false, 0
	}
	safe := *e
	safe.Err = nil // for the log only
	return safe.Error(), e.Temporary, e.RetryAfter
}

// pause is how long to wait after the nth attempt failed: doubled each time, and
// somewhere in the upper half, so that what failed together does not come back
// together.
func (r *Runner) pause(attempt int) time.Duration {
	d := r.o.MaxBackoff
	if n := max(attempt-1, 0); n < 32 && r.o.Backoff<<n < d && r.o.Backoff<<n > 0 {
		d = r.o.Backoff << n
	}
	return upperHalf(d)
}

// upperHalf is a random time between half of d and d.
func upperHalf(d time.Duration) time.Duration {
	var b [8]byte
	rand.Read(b[:])
	return d/2 + time.Duration(binary.LittleEndian.Uint64(b[:])%uint64(d/2+1))
}
