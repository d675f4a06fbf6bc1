package runner

import (
	"container/list"
	"crypto/rand"
	"crypto/sha256"
	"encoding/json"
	"strconv"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// execution is one run of a flow. Whoever holds the turn may use it.
type execution struct {
	id   string
	flow *compiled
	turn chan struct{}

	ctx      values
	returnTo string
	learned  project.Browser // that the risk in ctx is of
	known    bool            // it is of the user, too

	user        *project.User
	firstSeen   bool
	amr         []string
	methods     string // of the last login, for lastAuth
	stepUp      bool   // the Step Up action ran: a later sign-in is stepped up
	steppedUp   bool
	trustDevice bool
	claims      map[string]any

	at      []frame   // where it waits
	shown   []frame   // the last screen
	current *Response // of at
	away    *external // waits for the browser to return
	final   *Response

	seq   int
	nonce string // that the next call must have
	last  last

	place   *list.Element // in waiting or finished; under execMu
	done    bool          // in which of them; under execMu
	expires time.Time     // under execMu
}

// last is the last call that was answered well.
type last struct {
	digest [sha256.Size]byte
	nonce  string
	answer *Response
}

// frame is a place in a flow; those below the top are in the middle of a subflow.
type frame struct {
	flow *compiled
	task string
}

func cloneStack(s []frame) []frame { return append([]frame(nil), s...) }

// stepID is a place as the browser knows it: task ids from the outermost flow in.
func stepID(stack []frame) string {
	ids := make([]string, len(stack))
	for i, f := range stack {
		ids[i] = f.task
	}
	return strings.Join(ids, ".")
}

func (e *execution) step() string { return stepID(e.at) }

// answer gives a response its nonce.
func (e *execution) answer(r *Runner, resp *Response) *Response {
	out := *resp
	if !r.opt.NoNonces {
		e.seq++
		e.nonce = strconv.Itoa(e.seq) + "." + rand.Text()
		out.nonce = e.nonce
	}
	if e.final != nil {
		r.finish(e)
	}
	return &out
}

func (q NextRequest) digest() [sha256.Size]byte {
	b, _ := json.Marshal(q) // it came from JSON
	return sha256.Sum256(b)
}

// find gets an execution and puts off its end.
func (r *Runner) find(id string) *execution {
	r.execMu.Lock()
	defer r.execMu.Unlock()
	e := r.executions[id]
	if e == nil {
		return nil
	}
	now := r.opt.Now()
	if !e.expires.After(now) {
		r.drop(e)
		return nil
	}
	if !e.done {
		e.expires = now.Add(r.opt.TTL)
		r.waiting.MoveToBack(e.place)
	}
	return e
}

func (r *Runner) add(e *execution) {
	r.execMu.Lock()
	defer r.execMu.Unlock()
	r.sweep()
	for len(r.executions) >= r.opt.Executions {
		if oldest := firstOf(r.finished); oldest != nil {
			r.drop(oldest)
		} else {
			r.drop(firstOf(r.waiting))
		}
	}
	e.expires = r.opt.Now().Add(r.opt.TTL)
	e.place = r.waiting.PushBack(e)
	r.executions[e.id] = e
	if e.away != nil {
		r.externals[e.away.id] = e.away
	}
}

// finish keeps an execution for repeated calls, from its first final answer on.
func (r *Runner) finish(e *execution) {
	r.execMu.Lock()
	defer r.execMu.Unlock()
	if e.done || r.executions[e.id] != e {
		return
	}
	r.waiting.Remove(e.place)
	e.done, e.place = true, r.finished.PushBack(e)
	e.expires = r.opt.Now().Add(r.opt.FinishedTTL)
}

func (r *Runner) drop(e *execution) {
	if e.done {
		r.finished.Remove(e.place)
	} else {
		r.waiting.Remove(e.place)
	}
	delete(r.executions, e.id)
}

func firstOf(l *list.List) *execution {
	if l.Len() == 0 {
		return nil
	}
	return l.Front().Value.(*execution)
}

// Sweep forgets what is over: call it now and then.
func (r *Runner) Sweep() {
	r.execMu.Lock()
	defer r.execMu.Unlock()
	r.sweep()
	now := r.opt.Now()
	for id, x := range r.externals {
		if !x.expires.After(now) {
			delete(r.externals, id)
		}
	}
}

func (r *Runner) sweep() {
	now := r.opt.Now()
	for _, l := range []*list.List{r.finished, r.waiting} {
		for e := firstOf(l); e != nil && !e.expires.After(now); e = firstOf(l) {
			r.drop(e)
		}
	}
}
