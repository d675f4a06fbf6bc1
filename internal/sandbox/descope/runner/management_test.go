package runner_test

import (
	"errors"
	"reflect"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// management makes a flow one without a browser.
func management(d *flow.Document) *flow.Document {
	d.Metadata.Management = true
	return d
}

func TestManagementFlow(t *testing.T) {
	t.Parallel()
	n := flow.DefaultNames().Actions
	out := []flow.KeyValue{{Key: "sent", Value: "{{connectors.mail.id}}"}, {Key: "to", Value: "{{form.login_id}}"}}
	s := newStage(t, nil, management(rt.Flow("mail",
		rt.To(rt.If("1", "form.login_id", "equal", "ada@example.org"), "yes", "2", "ELSE", "4"),
		rt.To(rt.Call("2", "mail", map[string]any{"link": "{{form.session_url}}"}), "success", "3"),
		rt.Do("3", n.End, "output", out), rt.Do("4", n.End))))
	s.connectors.Answer = func(int, runner.Call) (any, error) { return map[string]any{"id": "m1"}, nil }
	got, err := s.RunManagement(t.Context(), "mail", map[string]any{"login_id": "ada@example.org", "session_url": "https://x.example/1"})
	if err != nil || !reflect.DeepEqual(got, map[string]any{"sent": "m1", "to": "ada@example.org"}) {
		t.Fatalf("%v %v", got, err)
	}
	if c := s.connectors.Calls; len(c) != 1 || !reflect.DeepEqual(c[0].Args["payload"], map[string]any{"link": "https://x.example/1"}) {
		t.Errorf("%+v", c)
	}
	if got, err := s.RunManagement(t.Context(), "mail", nil); err != nil || got == nil || len(got) != 0 || len(s.connectors.Calls) != 1 {
		t.Errorf("%v %v", got, err)
	}
	if len(s.accounts.Grants) != 0 {
		t.Errorf("somebody was signed in: %+v", s.accounts.Grants)
	}
	// A connector that fails fails the flow: there is no screen to say it on.
	s.connectors.Answer = func(int, runner.Call) (any, error) { return nil, &runner.ConnectorError{Name: flow.RequestError} }
	if _, err := s.RunManagement(t.Context(), "mail", map[string]any{"login_id": "ada@example.org"}); !errors.Is(err, runner.ErrFlow) {
		t.Errorf("%v", err)
	}
}

func TestManagementFlowsAreApart(t *testing.T) {
	t.Parallel()
	n := flow.DefaultNames().Actions
	off := management(rt.Flow("off", rt.Do("1", n.End)))
	off.Metadata.Disabled = true
	s := newStage(t, nil, rt.Flow("login", rt.Screen("1")), off,
		management(rt.Flow("mail", rt.Do("1", n.End))),
		management(rt.Flow("calls", sub("1", "login", "success", "1"))),
		management(rt.Flow("circle", rt.To(rt.Call("1", "k", nil), "success", "1"))))
	for id, want := range map[string]error{
		"login": runner.ErrNoManagement, "nothing": runner.ErrNoFlow, "off": runner.ErrFlowOff, "calls": runner.ErrFlow, "circle": runner.ErrFlow,
	} {
		if got, err := s.RunManagement(t.Context(), id, nil); !errors.Is(err, want) || got != nil {
			t.Errorf("%s: %v %v", id, got, err)
		}
	}
	if _, err := s.Start(t.Context(), runner.StartRequest{FlowID: "mail"}, s.browser); !errors.Is(err, runner.ErrManagement) {
		t.Errorf("in a browser: %v", err)
	}
	for _, action := range []string{n.OTPSignUpOrIn, n.OTPVerify, n.ExternalAuth, n.OAuthStart, n.SAMLStart, n.UpdateUser, n.GenerateJWT, n.StepUp} {
		p := s.Import(management(rt.Flow("x", rt.To(rt.Do("1", action), "success", "2"), rt.Do("2", n.End))))
		if !runner.Refused(p) || !strings.Contains(p[0].Text, "management") {
			t.Errorf("%s: %v", action, p)
		}
	}
}
