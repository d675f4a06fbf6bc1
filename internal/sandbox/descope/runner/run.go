package runner

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// run is the part of an execution that one call sets off.
type run struct {
	*Runner
	e       *execution
	ctx     context.Context
	browser project.Browser
	stack   []frame
	polling bool   // the call was one
	code    string // that the browser came back with
	count   int
}

func (x *run) top() *frame       { return &x.stack[len(x.stack)-1] }
func (x *run) task() *flow.Task  { return x.top().flow.doc.Contents.Tasks[x.top().task] }
func (x *run) lastShown() string { return stepID(x.e.shown) }

// way finds where an interaction of the task on top leads: to a task of the same
// flow, or out of a subflow and along an edge of whoever called it.
func (x *run) way(interaction string) (stack []frame, ok bool) {
	stack = cloneStack(x.stack)
	for {
		top := &stack[len(stack)-1]
		if to := top.flow.doc.Contents.Tasks[top.task].To(interaction); to != "" {
			top.task = to
			return stack, true
		}
		out := top.task + "." + interaction
		shared := false
		for _, s := range top.flow.doc.Metadata.SharedInteractions {
			shared = shared || s.ID == out
		}
		if len(stack) == 1 || !shared {
			return nil, false
		}
		stack, interaction = stack[:len(stack)-1], out
	}
}

func (x *run) leads(interaction string) bool { _, ok := x.way(interaction); return ok }

func (x *run) follow(interaction string) error {
	stack, ok := x.way(interaction)
	if !ok {
		return fmt.Errorf("%s: nothing follows %q", x.place(), interaction)
	}
	x.stack = stack
	return nil
}

// place names a task for the log.
func (x *run) place() string {
	return fmt.Sprintf("flow %s, task %s %q", x.top().flow.doc.FlowID, x.top().task, x.task().Name)
}

const maxDepth = 10 // of subflows in subflows

// tasks runs the task on top and those after it, until the browser is needed.
func (x *run) tasks() (*Response, error) {
	for {
		if x.count++; x.count > maxTasks {
			return nil, fmt.Errorf("%s: more than %d tasks in one call: does the flow go in circles?", x.place(), maxTasks)
		}
		t := x.task()
		interaction, failed := flow.Success, error(nil)
		switch t.Type {
		case flow.TypeStart:
			interaction = ""
		case flow.TypeScreen:
			if x.polling && x.lastShown() == stepID(x.stack) {
				return x.poll(), nil
			}
			return x.show(""), nil
		case flow.TypeCondition:
			interaction, failed = x.decide(t, x.e.ctx)
		case flow.TypeSubflow:
			sub := x.flow(toText(x.e.ctx.resolve(t.Arg(x.opt.Names.Arguments.Subflow))))
			switch {
			case sub == nil:
				failed = errors.New("the flow it calls is not here")
			case x.e.flow.doc.Metadata.Management && !sub.doc.Metadata.Management:
				failed = errors.New("the flow it calls is no management flow, as this one is")
			case len(x.stack) >= maxDepth:
				failed = fmt.Errorf("more than %d subflows in each other", maxDepth)
			default:
				x.stack = append(x.stack, frame{sub, sub.doc.Contents.StartTask})
				continue
			}
		default: // automated: Import lets no others in
			var resp *Response
			resp, failed = x.actions[t.Action](x, t)
			if failed == nil && resp != nil {
				return resp, nil
			}
		}
		if failed != nil {
			resp, err := x.failed(t, failed)
			if resp != nil || err != nil {
				return resp, err
			}
			continue
		}
		if err := x.follow(interaction); err != nil {
			return nil, err
		}
	}
}

// failed handles the error of a task as the task says. Without an answer the run
// goes on where x now is.
func (x *run) failed(t *flow.Task, cause error) (*Response, error) {
	names, message := x.describe(cause)
	x.log.Info("flow: task failed", "flow", x.top().flow.doc.FlowID, "task", x.top().task, "error", names[0])
	var handling flow.Handling
	for _, name := range names {
		h, ok := t.Errors[name]
		if !ok {
			continue
		}
		handling = h
		if h.Type == flow.Custom && x.leads(name) {
			return nil, x.follow(name)
		}
		break
	}
	if handling.Type == flow.Ignore {
		return nil, x.follow(flow.Success)
	}
	if handling.Message != "" {
		message = toText(x.e.ctx.text(handling.Message))
	}
	if x.e.shown == nil {
		if p, ok := errors.AsType[*project.Error](cause); ok {
			return nil, p
		}
		return nil, &project.Error{Code: ErrFlow.Code, Status: ErrFlow.Status, Message: message, Cause: fmt.Errorf("%s: %w", x.place(), cause)}
	}
	if _, ok := errors.AsType[*project.Error](cause); !ok {
		x.log.Warn("flow: task failed", "place", x.place(), "error", cause)
	}
	x.stack = cloneStack(x.e.shown)
	return x.show(message), nil
}

// describe gives the names under which a flow may handle an error, and a sentence.
func (r *Runner) describe(err error) (names []string, message string) {
	if c, ok := errors.AsType[*ConnectorError](err); ok {
		if c.Message == "" {
			return []string{c.Name}, "Something this needs did not answer. Try again."
		}
		return []string{c.Name}, c.Message
	}
	if p, ok := errors.AsType[*project.Error](err); ok {
		return []string{p.Code, r.opt.Names.Errors.Action}, p.Message
	}
	if s, ok := errors.AsType[*sentence](err); ok {
		return []string{cmp.Or(s.name, r.opt.Names.Errors.Action)}, s.text
	}
	if _, ok := errors.AsType[errUntold](err); ok {
		return []string{errorRisk}, "How safe this sign-in is could not be told. Try again."
	}
	return []string{r.opt.Names.Errors.Action}, "This step did not work. Try again."
}

// sentence is an error of a task with words for the person. Without a name it has that of
// any error of an action.
type sentence struct{ name, text string }

func (s *sentence) Error() string { return s.name + ": " + s.text }

// show answers with the screen on top. It waits there.
func (x *run) show(errorText string) *Response {
	t := x.task()
	state := values{}
	for _, key := range t.ContextKeys {
		if v, ok := x.e.ctx.get(key); ok {
			state.set(key, clone(v))
		}
	}
	if errorText != "" {
		state.set("errorText", errorText)
	}
	resp := x.waitHere()
	resp.Action = ActionScreen
	resp.Screen = &Screen{t.ScreenID, state}
	x.e.shown = x.stack
	return resp
}

func (x *run) waitHere() *Response {
	if x.e.away != nil { // whoever completes it now is too late
		x.forget(x.e.away)
	}
	x.e.at, x.e.away = x.stack, nil
	x.e.current = &Response{ExecutionID: x.e.id, StepID: stepID(x.stack), StepName: x.task().Name, Status: StatusWaiting, Screen: emptyScreen}
	return x.e.current
}

var emptyScreen = &Screen{State: map[string]any{}}

// poll answers that nothing changed. The client looks at nothing else in it.
func (x *run) poll() *Response {
	return &Response{ExecutionID: x.e.id, StepID: x.e.step(), StepName: x.task().Name, Status: StatusWaiting, Action: ActionPoll, Screen: emptyScreen}
}

// clone copies what JSON can hold: an answer may be on its way while the context
// changes.
func clone(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, item := range v {
			out[k] = clone(item)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, item := range v {
			out[i] = clone(item)
		}
		return out
	}
	return v
}

// Keys of the last login that the flows we ship do not use (documented).
const (
	keyLastIP      = "user.lastAuth.ip"
	keyLastCountry = "user.lastAuth.country"
	keyLastCity    = "user.lastAuth.city"
)

// seen is a browser without what differs with every call.
func seen(b project.Browser) project.Browser {
	b.Now, b.Refresh = time.Time{}, ""
	return b
}

// learn puts the user and the risk of the login into the context. Without an answer
// about the risk nothing goes on.
func (x *run) learn() error {
	e, n := x.e, x.opt.Names.Keys
	e.known = false
	id := ""
	if e.user != nil {
		id = e.user.UserID
	}
	risk, err := x.opt.Accounts.Risk(x.ctx, id, x.browser)
	if err != nil {
		return fmt.Errorf("risk: %w", err)
	}
	e.ctx.remove("user") // nobody's, until somebody has authenticated
	e.ctx.remove("riskInfo")
	if e.user != nil {
		u, err := userValues(e.user)
		if err != nil {
			return err
		}
		e.ctx.set("user", u)
		e.ctx.set(n.LoggedIn, true)
		e.ctx.set(n.KnownDevice, risk.KnownDevice)
		e.ctx.set(keyLastIP, risk.LastIP)
		e.ctx.set(keyLastCountry, risk.LastCountry)
		e.ctx.set(keyLastCity, risk.LastCity)
		e.ctx.set(n.LastIPs, texts(risk.LastIPs))
		e.ctx.set(n.LastCountries, texts(risk.LastCountries))
		e.ctx.set(n.LastCities, texts(risk.LastCities))
		e.ctx.set("authInfo.user", clone(map[string]any(u)))
		e.ctx.set(n.FirstSeen, e.firstSeen)
	}
	e.ctx.set(n.TrustedDevice, risk.TrustedDevice)
	e.ctx.set(n.ImpossibleTravel, risk.ImpossibleTravel)
	e.ctx.set(n.VPN, risk.VPN)
	e.ctx.set(n.Bot, risk.Bot)
	e.ctx.set(n.RiskScore, risk.Score)
	e.ctx.set(n.IP, risk.IP)
	e.ctx.set(n.Country, risk.Country)
	e.ctx.set(n.City, risk.City)
	e.learned, e.known = seen(x.browser), true
	return nil
}

func texts(list []string) []any {
	out := make([]any, len(list))
	for i, s := range list {
		out[i] = s
	}
	return out
}

// userValues are the keys under user and unauthUser.
func userValues(u *project.User) (map[string]any, error) {
	v, err := plain(u)
	if err != nil {
		return nil, err
	}
	m, ok := v.(map[string]any)
	if !ok {
		return nil, errors.New("a user is no object")
	}
	_, domain, _ := strings.Cut(u.Email, "@")
	m["emailDomain"] = domain
	return m, nil
}

// signIn makes somebody the user of the flow. What was earned for somebody else is
// gone.
func (x *run) signIn(u *project.User, method string, firstSeen bool) error {
	e := x.e
	if e.user != nil && e.user.UserID != u.UserID {
		e.amr, e.stepUp, e.steppedUp, e.trustDevice = nil, false, false, false
		clear(e.claims)
	}
	e.user, e.firstSeen = u, firstSeen
	e.addMethod(method)
	if e.stepUp {
		e.steppedUp = true
	}
	return x.learn()
}

func (e *execution) addMethod(method string) {
	if method == "" {
		return
	}
	e.methods = method
	for _, m := range e.amr {
		if m == method {
			return
		}
	}
	e.amr = append(e.amr, method)
}

// finish issues the session.
func (x *run) finish(t *flow.Task) (*Response, error) {
	e := x.e
	if e.flow.doc.Metadata.Management {
		return x.ended(t)
	}
	if e.user == nil {
		return nil, &sentence{text: "Nobody has signed in. Start again."}
	}
	output, err := x.output(t)
	if err != nil {
		return nil, err
	}
	info, err := x.opt.Accounts.Issue(x.ctx, project.Grant{
		UserID: e.user.UserID, AMR: append([]string(nil), e.amr...), SteppedUp: e.steppedUp, Claims: maps.Clone(e.claims),
		FirstSeen: e.firstSeen, TrustDevice: e.trustDevice, Browser: x.browser,
	})
	if err != nil {
		return nil, err
	}
	resp := &Response{
		ExecutionID: e.id, StepID: stepID(x.stack), StepName: t.Name, Status: StatusCompleted, AuthInfo: info,
		LastAuth: &LastAuth{AuthMethod: lastAuthMethod(e.methods), Name: e.user.Name},
	}
	if len(e.user.LoginIDs) > 0 {
		resp.LastAuth.LoginID = e.user.LoginIDs[0]
	}
	resp.Output = output
	e.at, e.away, e.final, e.current = x.stack, nil, resp, resp
	return resp, nil
}

// lastAuthMethod is how the client remembers a method; the names are unknown but for otp.
func lastAuthMethod(amr string) string {
	if amr == amrEmail {
		return "otp"
	}
	return amr
}
