package runner

import (
	"context"
	"crypto/rand"
	"errors"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Federation are the identity providers of the project: custom OAuth providers, and
// SAML of Descope tenants.
type Federation interface {
	// Known reports whether the project has a provider, or SAML for a Descope tenant.
	Known(kind, provider string) bool
	// TenantOf is the Descope tenant that an e-mail domain belongs to.
	TenantOf(domain string) (tenant string, ok bool)
	// Begin makes the address at the provider where the browser goes. Whoever takes the
	// browser back calls Returned with Ask.Request.
	Begin(ctx context.Context, ask project.FederationAsk) (url string, err error)
}

// FederatedAccounts sign in or up, and merge, whom an identity provider names.
type FederatedAccounts interface {
	Federate(ctx context.Context, i project.Identity, entry project.Entry) (u *project.User, firstSeen bool, err error)
}

// start makes an action that sends the browser to an identity provider; it returns to
// the task of the argument exchangeStepId.
func start(kind string, entry project.Entry) action {
	return func(x *run, t *flow.Task) (*Response, error) {
		names := x.opt.Names.Arguments
		a := &external{id: rand.Text(), kind: kind, entry: entry, exec: x.e, expires: x.opt.Now().Add(x.opt.ExternalTTL)}
		ask := project.FederationAsk{Request: a.id, Kind: kind, LoginHint: toText(x.arg(t, names.LoginHint))}
		if kind == project.FederationSAML {
			ask.Provider = x.tenant(t)
			ask.Fresh, _ = toBool(x.arg(t, names.ForceAuthn))
		} else {
			ask.Provider = toText(x.arg(t, names.OAuthProvider))
			ask.Prompt = prompts(x.arg(t, names.Prompt))
		}
		if x.opt.Federation == nil || !x.opt.Federation.Known(kind, ask.Provider) {
			return nil, &sentence{errorFederation, "This way to sign in is not set up. Tell whoever runs this page."}
		}
		back, err := x.returnTo()
		if err != nil {
			return nil, err
		}
		a.returnTo, a.provider = back, ask.Provider
		// An answer to an earlier trip is none to this one.
		x.e.ctx.remove(x.opt.Names.Keys.OAuthClaims)
		x.e.ctx.remove(x.opt.Names.Keys.SAMLAttributes)
		to, err := x.opt.Federation.Begin(x.ctx, ask)
		if err != nil {
			return nil, err
		}
		return x.goAway(t, a, to), nil
	}
}

// prompts reads a list, or one text.
func prompts(v any) (out []string) {
	list, _ := toList(v)
	for _, item := range list {
		if s := strings.TrimSpace(toText(item)); s != "" {
			out = append(out, s)
		}
	}
	return out
}

// tenant is the one that the task names, else the one that the address in the form
// belongs to.
func (x *run) tenant(t *flow.Task) string {
	if id := toText(x.arg(t, x.opt.Names.Arguments.SSOTenant)); id != "" {
		return id
	}
	_, domain, ok := strings.Cut(x.formText("email"), "@")
	if !ok || x.opt.Federation == nil {
		return ""
	}
	id, _ := x.opt.Federation.TenantOf(strings.ToLower(domain))
	return id
}

// Returned takes what an identity provider said, once, and says where its browser is
// to go: to the page that runs the flow, with a code for it. Without an identity the
// flow hears that it failed. A request that is unknown, over or answered already is
// ErrExternal.
func (r *Runner) Returned(_ context.Context, request string, i *project.Identity, failure string) (redirectURL string, err error) {
	r.execMu.Lock()
	defer r.execMu.Unlock()
	a := r.externals[request]
	if a == nil || a.used || a.kind == "" || a.identity != nil || a.failed || !a.expires.After(r.opt.Now()) || r.executions[a.exec.id] != a.exec {
		return "", ErrExternal
	}
	if i == nil {
		a.failed = true
		return a.backTo("err", failure), nil
	}
	if i.Kind != a.kind || i.Provider != a.provider || i.LoginID == "" {
		return "", ErrExternal
	}
	a.code, a.identity = rand.Text(), i
	return a.backTo("code", a.code), nil
}

// backTo is the page of the flow with what its element takes from the address.
func (a *external) backTo(name, value string) string {
	u := *a.returnTo
	query := u.Query()
	query.Set("descope-login-flow", a.exec.id+"_"+a.step)
	query.Set(name, value)
	u.RawQuery = query.Encode()
	return u.String()
}

// federationEnd signs in whom the identity provider named. From here on the flow's
// user is that one, whoever it was before.
func (x *run) federationEnd(t *flow.Task) (*Response, error) {
	a := x.e.away
	if a == nil || a.kind == "" || (a.kind == project.FederationSAML) != (t.Action == x.opt.Names.Actions.SAMLEnd) {
		return nil, errors.New("comes without its start before it")
	}
	if err := x.redeem(a, x.code); err != nil {
		return nil, err
	}
	x.e.away = nil
	accounts, ok := x.opt.Accounts.(FederatedAccounts)
	if !ok {
		return nil, errors.New("these accounts know nobody from elsewhere")
	}
	u, firstSeen, err := accounts.Federate(x.ctx, *a.identity, a.entry)
	if err != nil {
		return nil, err
	}
	claims, err := plain(a.identity.Claims)
	if err != nil {
		return nil, err
	}
	if err := x.signIn(u, amrFederated, firstSeen); err != nil {
		return nil, err
	}
	key := x.opt.Names.Keys.OAuthClaims
	if a.kind == project.FederationSAML {
		key = x.opt.Names.Keys.SAMLAttributes
	}
	x.e.ctx.set(key, claims)
	return nil, nil
}

// federated checks a task that begins a trip to an identity provider. One that is not
// set up is no reason to refuse: it may be a setting that comes later.
func (i *inspection) federated(t *flow.Task) {
	n := i.opt.Names
	kind, arg, end, what := project.FederationOAuth, n.Arguments.OAuthProvider, n.Actions.OAuthEnd, "OAuth provider"
	if t.Action == n.Actions.SAMLStart {
		kind, arg, end, what = project.FederationSAML, n.Arguments.SSOTenant, n.Actions.SAMLEnd, "SAML settings for a tenant"
	}
	i.exchange(t, end)
	provider := toText(t.Arg(arg))
	switch {
	case provider == "" && kind == project.FederationOAuth:
		i.fatal("its argument %s names no provider", arg)
	case provider == "" || strings.Contains(provider, "{{"):
	case i.opt.Federation == nil || !i.opt.Federation.Known(kind, provider):
		i.warn("the project has no %s named %q", what, provider)
	}
}

// exchange checks that a task which sends the browser away names the one that it
// comes back to.
func (i *inspection) exchange(t *flow.Task, action string) {
	arg := i.opt.Names.Arguments.ExchangeStep
	if e := i.doc.Contents.Tasks[toText(t.Arg(arg))]; e == nil || e.Type != flow.TypeAutomated || e.Action != action {
		i.fatal("its argument %s names no task with the action %s", arg, action)
	}
}

// sendsAway are the actions whose way on is the task of exchangeStepId.
func sendsAway(n *flow.Names, action string) bool {
	a := n.Actions
	return slices.Contains([]string{a.ExternalAuth, a.OAuthStart, a.OAuthSignIn, a.OAuthSignUp, a.SAMLStart}, action)
}
