package runner

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// action runs an automated task. With an answer the run ends there.
type action func(x *run, t *flow.Task) (*Response, error)

func actions(n *flow.Names) map[string]action {
	a := n.Actions
	return map[string]action{
		n.Connector.Action: (*run).connector,
		a.End:              (*run).finish,
		a.LoadUser:         (*run).loadUser,
		a.UpdateUser:       (*run).updateUser,
		a.OTPSignUpOrIn:    func(x *run, t *flow.Task) (*Response, error) { return nil, x.sendCode(true) },
		a.OTPSignIn:        func(x *run, t *flow.Task) (*Response, error) { return nil, x.sendCode(false) },
		a.OTPVerify:        (*run).verifyCode,
		a.StepUp:           func(x *run, t *flow.Task) (*Response, error) { x.e.stepUp = true; return nil, nil },
		a.GenerateJWT:      (*run).generateJWT,
		a.ExternalAuth:     (*run).externalAuth,
		a.ExternalAuthEnd:  (*run).externalAuthEnd,
		a.OAuthStart:       start(project.FederationOAuth, project.SignUpOrIn),
		a.OAuthSignIn:      start(project.FederationOAuth, project.SignIn),
		a.OAuthSignUp:      start(project.FederationOAuth, project.SignUp),
		a.OAuthEnd:         (*run).federationEnd,
		a.SAMLStart:        start(project.FederationSAML, project.SignUpOrIn),
		a.SAMLEnd:          (*run).federationEnd,
		a.CustomClaims:     (*run).customClaims,
		a.TrustDevice:      (*run).markDevice,
	}
}

// arg is an argument of a task with its templates resolved.
func (x *run) arg(t *flow.Task, name string) any {
	v := t.Arguments[name]
	if v.Type == flow.FromContext {
		value, _ := x.e.ctx.get(toText(v.Value))
		return value
	}
	return x.e.ctx.resolve(v.Value)
}

func (x *run) connector(t *flow.Task) (*Response, error) {
	name, ok := x.top().flow.connector(t)
	if !ok {
		return nil, &ConnectorError{Name: flow.ConnectorFailed, Cause: errors.New("not among the flow's references")}
	}
	args, err := t.ConnectorArgs()
	if err != nil {
		return nil, &ConnectorError{Name: flow.ConnectorFailed, Cause: err}
	}
	for key, value := range args {
		args[key] = clone(x.e.ctx.resolve(value))
	}
	async, _ := toBool(x.arg(t, "async"))
	c := Call{
		Connector: name, Template: toText(x.arg(t, "templateId")), Command: toText(x.arg(t, "command")), Args: args, Async: async,
		Flow: x.top().flow.doc.FlowID, Task: x.top().task, Execution: x.e.id,
	}
	path := toText(x.arg(t, "resultPath"))
	if path == "" { // inferred from connectors whose outputs are documented
		path = strings.ReplaceAll(c.Template+"_"+c.Command, ".", "_")
	}
	key := "connectors." + path
	x.e.ctx.remove(key) // an answer to an earlier call is none to this one
	answer, err := x.opt.Connectors.Run(x.ctx, c)
	if err != nil {
		return nil, err
	}
	if async {
		return nil, nil
	}
	if answer, err = plain(answer); err != nil {
		return nil, &ConnectorError{Name: flow.RequestError, Cause: err}
	}
	x.e.ctx.set(key, answer)
	return nil, nil
}

// loadUser reads the user again, and, under unauthUser, whom the form names: also if
// somebody is signed in from before, who may be another person.
func (x *run) loadUser(*flow.Task) (*Response, error) {
	if x.e.user != nil {
		u, err := x.opt.Accounts.User(x.ctx, x.e.user.UserID)
		if err != nil {
			return nil, err
		}
		x.e.user = u
		if err := x.learn(); err != nil {
			return nil, err
		}
	}
	x.e.ctx.remove("unauthUser")
	email := x.formText("email")
	if email == "" {
		return nil, nil
	}
	u, err := x.opt.Accounts.User(x.ctx, email)
	if errors.Is(err, project.ErrNoUser) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	v, err := userValues(u)
	if err != nil {
		return nil, err
	}
	x.e.ctx.set("unauthUser", v)
	// Whether the device is known to that account; an error is no reason to say so.
	if risk, err := x.opt.Accounts.Risk(x.ctx, u.UserID, x.browser); err == nil {
		x.e.ctx.set(x.opt.Names.Keys.TypedDevice, risk.KnownDevice)
	}
	return nil, nil
}

func (x *run) formText(name string) string {
	v, _ := x.e.ctx.get(x.opt.Names.Keys.Form + "." + name)
	s, _ := v.(string)
	return strings.TrimSpace(s)
}

// updateUser writes properties and custom attributes. A value that is not there is
// left as it was.
func (x *run) updateUser(t *flow.Task) (*Response, error) {
	if x.e.user == nil {
		return nil, &sentence{text: "Nobody has signed in. Start again."}
	}
	read := func(name string) (map[string]any, error) {
		list, err := pairs(x.arg(t, name))
		if err != nil {
			return nil, err
		}
		m := map[string]any{}
		for _, kv := range list {
			if kv.Value != nil {
				m[kv.Key] = kv.Value
			}
		}
		return m, nil
	}
	properties, err := read(x.opt.Names.Arguments.UserProperties)
	if err != nil {
		return nil, err
	}
	attributes, err := read(x.opt.Names.Arguments.UserAttributes)
	if err != nil {
		return nil, err
	}
	u, err := x.opt.Accounts.UpdateUser(x.ctx, x.e.user.UserID, properties, attributes)
	if err != nil {
		return nil, err
	}
	x.e.user = u
	return nil, x.learn()
}

// sendCode mails a code to the address of the form. The address is kept apart: the
// screen that takes the code cannot change whose it is.
func (x *run) sendCode(signUp bool) error {
	email := x.formText("email")
	if email == "" {
		return &sentence{text: "Enter your e-mail address."}
	}
	properties := map[string]any{}
	if signUp {
		for _, name := range []string{"name", "givenName", "middleName", "familyName", "phone"} {
			if s := x.formText(name); s != "" {
				properties[name] = s
			}
		}
	}
	masked, err := x.opt.Accounts.SendCode(x.ctx, email, signUp, properties)
	if err != nil {
		return err
	}
	x.e.ctx.set("unauthUser", map[string]any{"email": email, "loginIds": []any{email}})
	x.e.ctx.set(keyMaskedEmail, masked)
	return nil
}

func (x *run) verifyCode(*flow.Task) (*Response, error) {
	email, _ := x.e.ctx.get("unauthUser.email")
	code := x.formText("code")
	if toText(email) == "" || code == "" {
		return nil, project.ErrCode
	}
	u, firstSeen, err := x.opt.Accounts.VerifyCode(x.ctx, toText(email), code)
	if err != nil {
		return nil, err
	}
	x.e.ctx.remove(x.opt.Names.Keys.Form + ".code")
	return nil, x.signIn(u, amrEmail, firstSeen)
}

// generateJWT is a sign-in of its own: after the Step Up action it makes the session
// a stepped-up one. Descope finds the user by identity keys that an earlier step set;
// which those are is unknown, and here it is whoever has authenticated in this flow
// and nobody else.
func (x *run) generateJWT(*flow.Task) (*Response, error) {
	if x.e.user == nil {
		return nil, &sentence{text: "Nobody has signed in. Start again."}
	}
	u, err := x.opt.Accounts.User(x.ctx, x.e.user.UserID)
	if err != nil {
		return nil, err
	}
	return nil, x.signIn(u, "", x.e.firstSeen)
}

func (x *run) markDevice(*flow.Task) (*Response, error) {
	if x.e.user == nil {
		return nil, &sentence{text: "Nobody has signed in. Start again."}
	}
	x.e.trustDevice = true
	return nil, nil
}

func claimKey(key string) error {
	switch {
	case key == "":
		return errors.New("a custom claim has no name")
	case utf8.RuneCountInString(key) > maxClaimKey:
		return fmt.Errorf("custom claim %.20q...: its name is longer than %d characters", key, maxClaimKey)
	case reserved[key]:
		return fmt.Errorf("custom claim %q: the name has a meaning of its own in a token", key)
	}
	return nil
}

func (x *run) customClaims(t *flow.Task) (*Response, error) {
	list, err := pairs(x.arg(t, x.opt.Names.Arguments.CustomClaims))
	if err != nil {
		return nil, err
	}
	claims := map[string]any{}
	for _, kv := range list {
		claims[kv.Key] = kv.Value
	}
	return nil, x.addClaims(claims)
}

// addClaims adds custom claims to the session to be issued, within Descope's limits;
// those without a value are left out.
func (x *run) addClaims(claims map[string]any) error {
	count := len(x.e.claims)
	for key, value := range claims {
		if value == nil {
			continue
		}
		if err := claimKey(key); err != nil {
			return err
		}
		if utf8.RuneCountInString(toText(value)) > maxClaimValue {
			return fmt.Errorf("custom claim %q: its value is longer than %d characters", key, maxClaimValue)
		}
		if _, ok := x.e.claims[key]; !ok {
			count++
		}
	}
	if count > maxClaims {
		return fmt.Errorf("%d custom claims; %d are allowed", count, maxClaims)
	}
	for key, value := range claims {
		if value != nil {
			x.e.claims[key] = clone(value)
		}
	}
	return nil
}
