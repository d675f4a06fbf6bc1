package runner

import (
	"cmp"
	"container/list"
	"context"
	"crypto/rand"
	"crypto/subtle"
	"errors"
	"log/slog"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Options wires a Runner. Names, Accounts and Connectors must be given.
type Options struct {
	Names      *flow.Names
	Accounts   Accounts
	Connectors Connectors
	Federation Federation // nil: no identity providers

	// Redirectable says which pages a flow may return the browser to; nil: any of
	// http and https.
	Redirectable func(*url.URL) bool
	// Screens says what of a flow's screens cannot be shown; nil: all can.
	Screens func(*flow.Document) []error
	// Version numbers a flow's content as config.json does; default Version.
	Version func(*flow.Document) int

	TTL         time.Duration // an execution waits this long for a call; default 1 hour
	FinishedTTL time.Duration // a finished one can be asked this long; default 5 minutes
	ExternalTTL time.Duration // an External Authentication or a trip to an identity provider may take this long; default 30 minutes
	Executions  int           // at once; default 10000. Of more, finished and then those longest unused go
	NoNonces    bool          // do without X-Descope-Flow-Nonce

	Now    func() time.Time // default time.Now
	Logger *slog.Logger     // default: silent
}

// Runner runs flows. Make one with New. It is safe for concurrent use.
type Runner struct {
	opt        Options
	log        *slog.Logger
	operators  map[string]operator
	actions    map[string]action
	components map[string]bool
	knownRisks []string

	mu    sync.RWMutex
	flows map[string]*compiled

	execMu     sync.Mutex
	executions map[string]*execution
	waiting    *list.List // executions, the longest unused first
	finished   *list.List
	externals  map[string]*external // by request id
}

// New makes a Runner without flows.
func New(o Options) (*Runner, error) {
	if o.Names == nil || o.Accounts == nil || o.Connectors == nil {
		return nil, errors.New("runner: names, accounts and connectors are needed")
	}
	o.TTL = cmp.Or(o.TTL, time.Hour)
	o.FinishedTTL = cmp.Or(o.FinishedTTL, 5*time.Minute)
	o.ExternalTTL = cmp.Or(o.ExternalTTL, 30*time.Minute)
	o.Executions = cmp.Or(o.Executions, 10_000)
	if o.Now == nil {
		o.Now = time.Now
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	if o.Version == nil {
		o.Version = Version
	}
	c, k := o.Names.Components, o.Names.Keys
	r := &Runner{
		opt: o, log: o.Logger, operators: operators(o.Names), actions: actions(o.Names),
		components: map[string]bool{
			c.Container: true, c.Text: true, c.Button: true, c.Error: true, c.Polling: true, c.Link: true,
			c.Email: true, c.Input: true, c.Code: true, c.Image: true,
		},
		knownRisks: []string{
			k.KnownDevice, k.TrustedDevice, k.ImpossibleTravel, k.VPN, k.Bot, k.RiskScore,
			keyLastIP, k.LastIPs, keyLastCountry, k.LastCountries, keyLastCity, k.LastCities,
		},
		flows: map[string]*compiled{}, executions: map[string]*execution{},
		waiting: list.New(), finished: list.New(), externals: map[string]*external{},
	}
	return r, nil
}

// Start begins a flow and runs it up to where it needs the browser. Errors for the
// browser are *project.Error.
func (r *Runner) Start(ctx context.Context, q StartRequest, b project.Browser) (*Response, error) {
	c := r.flow(q.FlowID)
	if c == nil {
		return nil, ErrNoFlow
	}
	if c.doc.Metadata.Disabled {
		return nil, ErrFlowOff
	}
	if c.doc.Metadata.Management {
		return nil, ErrManagement
	}
	if !r.current(c, q.FlowVersions, map[string]bool{}) {
		return nil, ErrVersion
	}
	e := &execution{
		id: c.doc.FlowID + "|#|" + rand.Text(), flow: c, turn: make(chan struct{}, 1),
		ctx: values{}, claims: map[string]any{}, returnTo: cmp.Or(q.Options.RedirectURL, q.Options.Location),
	}
	if client, err := plain(q.Options.Client); err == nil && client != nil {
		e.ctx.set(r.opt.Names.Keys.Client, client)
	}
	form := map[string]any{}
	for name, value := range q.Input { // of the element's attribute form
		form[name] = value
	}
	e.ctx.set(r.opt.Names.Keys.Form, form)

	x := &run{Runner: r, e: e, ctx: ctx, browser: b, stack: []frame{{c, c.doc.Contents.StartTask}}}
	if b.Refresh != "" {
		switch u, err := r.opt.Accounts.Holder(ctx, b.Refresh); {
		case err == nil:
			e.user = u
		case !errors.Is(err, project.ErrToken): // a session that is over is no reason not to start anew
			return nil, r.public(e, err)
		}
	}
	if err := x.learn(); err != nil {
		return nil, r.public(e, err)
	}
	resp, err := x.tasks()
	if err != nil {
		return nil, r.public(e, err)
	}
	r.add(e)
	return e.answer(r, resp), nil
}

// current reports whether the browser knows the flow, and those it calls, as they
// are now. Which it names no version of it may run.
func (r *Runner) current(c *compiled, known map[string]float64, seen map[string]bool) bool {
	seen[c.doc.FlowID] = true
	if v, ok := known[c.doc.FlowID]; ok && v != 0 && v != float64(c.version) {
		return false
	}
	for _, t := range c.doc.Contents.Tasks {
		if t.Type != flow.TypeSubflow {
			continue
		}
		id := toText(t.Arg(r.opt.Names.Arguments.Subflow))
		if sub := r.flow(id); sub != nil && !seen[id] && !r.current(sub, known, seen) {
			return false
		}
	}
	return true
}

// Next goes on with an execution. A call that repeats the last one, as the client's
// retries do, gets its answer and runs nothing. Errors for the browser are
// *project.Error.
func (r *Runner) Next(ctx context.Context, q NextRequest, b project.Browser) (*Response, error) {
	e := r.find(q.ExecutionID)
	if e == nil {
		return nil, ErrTimedOut
	}
	select { // one call at a time
	case e.turn <- struct{}{}:
		defer func() { <-e.turn }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	digest := q.digest()
	repeated := e.last.digest == digest && e.last.answer != nil
	if !r.opt.NoNonces {
		switch {
		case equal(q.Nonce, e.nonce):
		case repeated && equal(q.Nonce, e.last.nonce):
			return e.last.answer, nil
		default:
			return nil, ErrNonce
		}
	} else if repeated && (e.final != nil || q.InteractionID != flow.Polling && q.StepID != e.step()) {
		return e.last.answer, nil
	}

	resp, err := r.next(ctx, e, q, b)
	if err != nil {
		return nil, r.public(e, err)
	}
	asked := q.Nonce
	answer := e.answer(r, resp)
	e.last = last{digest, asked, answer}
	return answer, nil
}

func (r *Runner) next(ctx context.Context, e *execution, q NextRequest, b project.Browser) (*Response, error) {
	if e.final != nil {
		if q.InteractionID == flow.Polling { // the client may have dropped the answer
			return e.final, nil
		}
		return nil, ErrFinished
	}
	if r.flow(e.flow.doc.FlowID) != e.flow || q.Version != 0 && q.Version != float64(e.flow.version) {
		return nil, ErrVersion
	}
	if q.StepID != e.step() { // a page that is behind, or an old tab: where the flow is now
		return e.current, nil
	}
	x := &run{Runner: r, e: e, ctx: ctx, browser: b, stack: cloneStack(e.at), polling: q.InteractionID == flow.Polling}
	if !e.known || seen(b) != e.learned {
		if err := x.learn(); err != nil {
			return nil, err
		}
	}
	if e.away != nil {
		return x.back(q)
	}
	t := x.task()
	if !x.leads(q.InteractionID) {
		if x.polling {
			return nil, ErrPolling
		}
		return nil, ErrInteraction
	}
	x.takeInput(t, q.Input)
	if err := x.follow(q.InteractionID); err != nil {
		return nil, err
	}
	return x.tasks()
}

// takeInput puts what a screen asks for under form. Anything else that comes from the
// browser is not part of the flow.
func (x *run) takeInput(t *flow.Task, input map[string]any) {
	at := x.stack[len(x.stack)-1].flow
	prefix := x.opt.Names.Keys.Form + "."
	asked := func(name string) bool {
		for _, key := range t.InputKeys {
			if strings.TrimPrefix(key, prefix) == name {
				return true
			}
		}
		return at.fields[t.ScreenID][name]
	}
	for name, value := range input {
		if asked(name) {
			x.e.ctx.set(prefix+name, value)
		}
	}
}

// public is what the browser is told of an error. All else goes to the log.
func (r *Runner) public(e *execution, err error) error {
	if p, ok := errors.AsType[*project.Error](err); ok {
		if p.Cause != nil {
			r.log.Warn("flow", "flow", e.flow.doc.FlowID, "code", p.Code, "error", p.Cause)
		}
		return p
	}
	r.log.Warn("flow", "flow", e.flow.doc.FlowID, "error", err)
	return &project.Error{Code: ErrFlow.Code, Status: ErrFlow.Status, Message: ErrFlow.Message, Cause: err}
}

func equal(a, b string) bool { return subtle.ConstantTimeCompare([]byte(a), []byte(b)) == 1 }
