package runner

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"net/url"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// external is an External Authentication under way, or a trip to an identity
// provider. Its fields from code on are under execMu.
type external struct {
	id       string // external_auth_req_id
	kind     string // of the identity provider; empty: External Authentication
	provider string
	entry    project.Entry
	exec     *execution
	returnTo *url.URL
	step     string
	expires  time.Time

	code       string
	completion *Completion
	identity   *project.Identity
	failed     bool // the provider said so; the page has not
	used       bool
}

// ExternalAccounts signs in or up whom an External Authentication names. Accounts
// that are no ExternalAccounts know existing users only.
type ExternalAccounts interface {
	SignUpOrIn(ctx context.Context, loginID string, properties map[string]any) (u *project.User, firstSeen bool, err error)
}

// externalAuth sends the browser away. It returns to the task of the argument
// exchangeStepId, with a code that CompleteExternal made.
func (x *run) externalAuth(t *flow.Task) (*Response, error) {
	names := x.opt.Names.Arguments
	to, err := url.Parse(toText(x.arg(t, names.ExternalAuthURL)))
	if err != nil || to.Host == "" || to.Scheme != "https" && to.Scheme != "http" {
		return nil, &sentence{errorExternal, "There is no page to go to. Try again."}
	}
	back, err := x.returnTo()
	if err != nil {
		return nil, err
	}
	query := to.Query()
	a := &external{
		id: rand.Text(), exec: x.e, returnTo: back,
		expires: x.opt.Now().Add(x.opt.ExternalTTL),
	}
	query.Set("external_auth_req_id", a.id)
	to.RawQuery = query.Encode()
	return x.goAway(t, a, to.String()), nil
}

// goAway has the flow wait at the task of exchangeStepId while the browser is away.
func (x *run) goAway(t *flow.Task, a *external, to string) *Response {
	x.top().task = toText(x.arg(t, x.opt.Names.Arguments.ExchangeStep))
	a.step = stepID(x.stack)
	x.execMu.Lock()
	if x.executions[x.e.id] == x.e { // else add does it
		x.externals[a.id] = a
	}
	x.execMu.Unlock()
	resp := x.waitHere()
	resp.Action, resp.Redirect = ActionRedirect, &Redirect{URL: to}
	x.e.away = a
	return resp
}

// returnTo is the page that runs the flow, without what an earlier return left in
// its address.
func (x *run) returnTo() (*url.URL, error) {
	u, err := url.Parse(x.e.returnTo)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" || x.opt.Redirectable != nil && !x.opt.Redirectable(u) {
		return nil, &sentence{errorExternal, "The page that this sign-in runs on is not one of the project's, so that nothing could lead back to it. Tell whoever runs this page."}
	}
	query := u.Query()
	for _, name := range []string{"descope-login-flow", "code", "t", "err", "redirect_mode"} {
		query.Del(name)
	}
	u.RawQuery, u.Fragment = query.Encode(), ""
	return u, nil
}

// CompleteExternal ends an External Authentication and says where its browser is to
// go. Saying the same again gives the same until the browser is back; all else is
// ErrExternal.
func (r *Runner) CompleteExternal(_ context.Context, c Completion) (redirectURL string, err error) {
	if c.LoginID == "" {
		return "", &project.Error{Code: "E011003", Status: 400, Message: "loginId is missing."}
	}
	r.execMu.Lock()
	defer r.execMu.Unlock()
	a := r.externals[c.RequestID]
	if a == nil || a.used || a.kind != "" || !a.expires.After(r.opt.Now()) || r.executions[a.exec.id] != a.exec {
		return "", ErrExternal
	}
	if a.completion != nil && !sameCompletion(*a.completion, c) {
		return "", ErrExternal
	}
	if a.completion == nil {
		a.code, a.completion = rand.Text(), &c
	}
	return a.backTo("code", a.code), nil
}

func sameCompletion(a, b Completion) bool {
	a.At, b.At = time.Time{}, time.Time{}
	one, errA := json.Marshal(a)
	two, errB := json.Marshal(b)
	return errA == nil && errB == nil && string(one) == string(two)
}

// back takes the browser that returned.
func (x *run) back(q NextRequest) (*Response, error) {
	if q.InteractionID != flow.Submit {
		return x.e.current, nil
	}
	if toText(q.Input["exchangeError"]) != "" {
		name := errorExternal
		if x.e.away.kind != "" {
			name = errorFederation
		}
		x.forget(x.e.away)
		resp, err := x.failed(x.task(), &sentence{name, "The check was not finished. Try again."})
		if resp != nil || err != nil {
			return resp, err
		}
		return x.tasks()
	}
	x.code = toText(q.Input["exchangeCode"])
	return x.tasks() // externalAuthEnd
}

func (x *run) forget(a *external) {
	x.execMu.Lock()
	defer x.execMu.Unlock()
	a.used = true
	delete(x.externals, a.id)
}

// redeem uses the code of a trip up, once.
func (x *run) redeem(a *external, code string) error {
	x.execMu.Lock()
	defer x.execMu.Unlock()
	if a.code == "" || a.used || !equal(code, a.code) || !a.expires.After(x.opt.Now()) {
		return ErrExternal
	}
	a.used = true
	delete(x.externals, a.id)
	return nil
}

// externalAuthEnd signs in whom the External Authentication named.
func (x *run) externalAuthEnd(*flow.Task) (*Response, error) {
	a := x.e.away
	if a == nil || a.kind != "" {
		return nil, errors.New("comes without an External Authentication before it")
	}
	if err := x.redeem(a, x.code); err != nil {
		return nil, err
	}
	x.e.away = nil
	c := a.completion
	var u *project.User
	var err error
	firstSeen := false
	if accounts, ok := x.opt.Accounts.(ExternalAccounts); ok {
		u, firstSeen, err = accounts.SignUpOrIn(x.ctx, c.LoginID, c.Properties)
	} else {
		u, err = x.opt.Accounts.User(x.ctx, c.LoginID)
	}
	if err != nil {
		return nil, err
	}
	if err := x.signIn(u, amrExternal, firstSeen); err != nil {
		return nil, err
	}
	claims, err := plain(c.CustomClaims)
	if err != nil {
		return nil, err
	}
	m, _ := claims.(map[string]any)
	x.e.ctx.set(keyExternalClaims, m)
	return nil, x.addClaims(m)
}
