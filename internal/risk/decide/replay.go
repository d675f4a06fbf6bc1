package decide

import (
	"cmp"
	"context"
	"runtime"
	"slices"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

const (
	maxReplayDays = 90
	maxWho        = 50
)

// Replay evaluates a draft, and what is in force now, on the logins that were recorded in
// the last days, and compares. Of a draft for all of the tenant, those applications are
// left out that have a policy of their own. progress, if not nil, is told now and then how
// many of how many logins are done. Nothing is written.
func (s *Service) Replay(ctx context.Context, tenant string, r ReplayRequest, progress func(done, total int)) (*Replay, error) {
	t, err := s.tenant(tenant)
	if err != nil {
		return nil, err
	}
	if r.Days < 1 || r.Days > maxReplayDays {
		return nil, proof.Invalid("days", "days must be from 1 to %d", maxReplayDays)
	}
	draft, err := compiled(r.Document)
	if err != nil {
		return nil, proof.Invalid("document", "the draft cannot be evaluated: %s", err.Error())
	}
	ctx, cancel := context.WithCancelCause(journey.WithoutHurry(ctx))
	defer cancel(nil)
	begin := time.Now()
	until := s.Now()
	since := until.Add(-time.Duration(r.Days) * 24 * time.Hour)
	total, err := s.Store.CountLogins(ctx, tenant, r.Application, since, until)
	if err != nil {
		return nil, err
	}
	if progress == nil {
		progress = func(int, int) {}
	}
	progress(0, total)

	// What holds now is found once for each application, and not again in between.
	now := map[string]standing{}
	var nowLock sync.Mutex
	holds := func(application string) standing {
		nowLock.Lock()
		defer nowLock.Unlock()
		st, ok := now[application]
		if !ok {
			st = s.standing(ctx, t, application)
			now[application] = st
		}
		return st
	}

	batches := make(chan []Recorded)
	var working sync.WaitGroup
	workers := make([]*replayed, max(1, runtime.GOMAXPROCS(0)))
	var done int
	var doneLock sync.Mutex
	for i := range workers {
		out := newReplayed()
		workers[i] = out
		working.Go(func() {
			for batch := range batches {
				for k := range batch {
					if k%256 == 0 && ctx.Err() != nil {
						break
					}
					s.replay(out, &batch[k], r.Application, draft, holds)
				}
				doneLock.Lock()
				done += len(batch)
				progress(min(done, total), total)
				doneLock.Unlock()
			}
		})
	}
	err = s.Store.RecordedLogins(ctx, tenant, r.Application, since, until, func(batch []Recorded) error {
		select {
		case batches <- batch: // which is ours to keep
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	close(batches)
	working.Wait()
	if err != nil {
		return nil, err
	}
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	all := workers[0]
	for _, w := range workers[1:] {
		all.add(w)
	}
	all.sum.Seconds = time.Since(begin).Seconds()
	return all.close(), nil
}

// replayed is what one worker has counted.
type replayed struct {
	sum Replay
	who map[string]*affected
}

type affected struct {
	Affected
	last time.Time
}

func newReplayed() *replayed { return &replayed{who: map[string]*affected{}} }

func (s *Service) replay(out *replayed, d *Recorded, application string, draft *policy.Policy, holds func(string) standing) {
	st := holds(d.Application)
	if application == "" && st.application != "" {
		return // it has a policy of its own, which the draft does not touch
	}
	r, err := s.openRecord(d.WrappedKey, &d.Decision)
	if err != nil {
		out.sum.Unread++
		return
	}
	out.sum.Logins++
	w := weighed{standing: st, observation: r.Observation}
	w.tried = nil
	w.judge()
	before := w.result.Verdict
	then := draft.Evaluate(&r.Observation, false).Verdict
	out.sum.Then.add(d.Verdict)
	out.sum.Now.add(before)
	out.sum.Draft.add(then)
	switch {
	case then.Strictness() > before.Strictness():
		out.sum.Stricter++
	case then.Strictness() < before.Strictness():
		out.sum.Milder++
	default:
		return
	}
	a := out.who[d.Subject]
	if a == nil {
		a = &affected{Affected: Affected{User: journey.Mask(r.UserIdentifier)}}
		out.who[d.Subject] = a
	}
	a.Logins++
	a.Now.add(before)
	a.Draft.add(then)
	if !d.At.Before(a.last) {
		a.last, a.Decision = d.At, d.ID
	}
}

// add counts one verdict.
func (t *Tally) add(v risk.Verdict) {
	switch v {
	case risk.Allow:
		t.Allow++
	case risk.Deny:
		t.Deny++
	default:
		t.StepUp++
	}
}

func (t *Tally) sum(o Tally) {
	t.Allow += o.Allow
	t.StepUp += o.StepUp
	t.Deny += o.Deny
}

// add takes up what another worker has counted.
func (r *replayed) add(o *replayed) {
	r.sum.Logins += o.sum.Logins
	r.sum.Unread += o.sum.Unread
	r.sum.Stricter += o.sum.Stricter
	r.sum.Milder += o.sum.Milder
	r.sum.Now.sum(o.sum.Now)
	r.sum.Then.sum(o.sum.Then)
	r.sum.Draft.sum(o.sum.Draft)
	for subject, b := range o.who {
		a := r.who[subject]
		if a == nil {
			r.who[subject] = b
			continue
		}
		a.Logins += b.Logins
		a.Now.sum(b.Now)
		a.Draft.sum(b.Draft)
		if b.last.After(a.last) {
			a.last, a.Decision = b.last, b.Decision
		}
	}
}

func (r *replayed) close() *Replay {
	all := make([]*affected, 0, len(r.who))
	for _, a := range r.who {
		all = append(all, a)
	}
	slices.SortFunc(all, func(a, b *affected) int {
		return cmp.Or(cmp.Compare(b.Logins, a.Logins), b.last.Compare(a.last), cmp.Compare(a.Decision, b.Decision))
	})
	r.sum.People = len(all)
	r.sum.Who = []Affected{}
	for _, a := range all[:min(len(all), maxWho)] {
		r.sum.Who = append(r.sum.Who, a.Affected)
	}
	return &r.sum
}
