package runner_test

import (
	"context"
	"errors"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

// federated is a login, a trip to a provider, and a screen that shows what it said.
func federated(start, end string, args ...any) *flow.Document {
	args = append(args, "exchangeStepId", "5.end")
	return rt.Flow("fed", login("40",
		rt.To(rt.Do("40", "step-up"), "success", "5"),
		rt.To(rt.Do("5", start, args...), "success", "5.end"), rt.To(rt.Do("5.end", end, args...), "success", "6"),
		rt.To(rt.Screen("6", "idpResponse.idpOIDCClaims", "idpResponse.idpSAMLAttributes", "user.loginIds"), "go", "7", "again", "5"), rt.To(rt.Do("7", "generate-jwt-sign-in"), "success", "8"), rt.Do("8", "logged-in"))...)
}

func fedStage(t *testing.T, doc *flow.Document) (*stage, *rt.Providers) {
	t.Helper()
	p := &rt.Providers{}
	return newStage(t, func(o *runner.Options) { o.Federation = p }, doc), p
}

func identity(kind, provider, loginID string, claims map[string]any) *project.Identity {
	return &project.Identity{Kind: kind, Provider: provider, LoginID: loginID, Claims: claims}
}

func codeOf(t *testing.T, back string) string {
	t.Helper()
	u, err := url.Parse(back)
	if err != nil || u.Scheme+"://"+u.Host+u.Path != "https://app.example/login" {
		t.Fatal(back, err)
	}
	return u.Query().Get("code")
}

func TestFederationAsks(t *testing.T) {
	t.Parallel()
	s, p := fedStage(t, federated("oauth-start", "exchange-oauth-code", "defaultProvider", "op", "loginHint", "{{user.userId}}", "prompt", []any{"login", "", "consent"}))
	resp := s.signIn("fed", "ada@example.org")
	ask := p.Last()
	if resp.Action != runner.ActionRedirect || resp.Redirect.URL != "https://idp.example/op" || ask.Kind != project.FederationOAuth || ask.LoginHint != "U1" || strings.Join(ask.Prompt, " ") != "login consent" {
		t.Fatalf("%+v, %+v", resp, ask)
	}
	s, p = fedStage(t, federated("saml-start", "exchange-saml-code", "tenantId", "T1", "forceAuthn", true))
	s.signIn("fed", "ada@example.org")
	if ask := p.Last(); ask.Kind != project.FederationSAML || ask.Provider != "T1" || !ask.Fresh {
		t.Fatalf("%+v", ask)
	}
	s, p = fedStage(t, federated("saml-start", "exchange-saml-code"))
	s.signIn("fed", "ada@Tenant.example")
	if ask := p.Last(); ask.Provider != "tenant.example" {
		t.Fatalf("by its domain: %+v", ask)
	}
}

func TestFederationReturns(t *testing.T) {
	t.Parallel()
	s, p := fedStage(t, federated("oauth-start", "exchange-oauth-code", "defaultProvider", "op"))
	s.signIn("fed", "ada@example.org")
	request, ctx := p.Last().Request, context.Background()
	ada := identity(project.FederationOAuth, "op", "ada@example.org", map[string]any{"level": "one"})
	for name, i := range map[string]*project.Identity{
		"another kind": identity(project.FederationSAML, "op", "ada@example.org", nil), "another provider": identity(project.FederationOAuth, "other", "ada@example.org", nil),
		"nobody": identity(project.FederationOAuth, "op", "", nil),
	} {
		if to, err := s.Returned(ctx, request, i, ""); !errors.Is(err, runner.ErrExternal) || to != "" {
			t.Errorf("%s: %s, %v", name, to, err)
		}
	}
	// The two kinds of trips have nothing to do with each other.
	if _, err := s.CompleteExternal(ctx, runner.Completion{RequestID: request, LoginID: "ada@example.org"}); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("completed as an External Authentication", err)
	}
	if _, err := s.Returned(ctx, "unknown", ada, ""); !errors.Is(err, runner.ErrExternal) {
		t.Fatal(err)
	}
	back, err := s.Returned(ctx, request, ada, "")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Returned(ctx, request, ada, ""); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("answered twice", err)
	}
	if _, err := s.Returned(ctx, request, nil, "access_denied"); !errors.Is(err, runner.ErrExternal) {
		t.Fatal("taken back", err)
	}
	resp := s.click("submit", "exchangeCode", codeOf(t, back))
	screen(t, resp, "SC6", "")
	if got := resp.Screen.State["idpResponse"].(map[string]any)["idpOIDCClaims"].(map[string]any)["level"]; got != "one" {
		t.Fatal(got)
	}
	// Before another trip nothing of this one is left.
	s.click("again")
	back, err = s.Returned(ctx, p.Last().Request, identity(project.FederationOAuth, "op", "ada@example.org", map[string]any{}), "")
	if err != nil {
		t.Fatal(err)
	}
	resp = s.click("submit", "exchangeCode", codeOf(t, back))
	if got := resp.Screen.State["idpResponse"].(map[string]any)["idpOIDCClaims"]; len(got.(map[string]any)) != 0 {
		t.Fatal(got)
	}
	s.click("go")
	if g := s.accounts.Grants; len(g) != 1 || !g[0].SteppedUp || g[0].UserID != "U1" {
		t.Fatalf("%+v", g)
	}
}

// Somebody else comes back: the flow is theirs, and what was earned before is gone.
func TestFederationOfSomebodyElse(t *testing.T) {
	t.Parallel()
	s, p := fedStage(t, federated("saml-start", "exchange-saml-code", "tenantId", "T1"))
	s.signIn("fed", "ada@example.org")
	back, err := s.Returned(context.Background(), p.Last().Request, identity(project.FederationSAML, "T1", "mallory", map[string]any{"a": "b"}), "")
	if err != nil {
		t.Fatal(err)
	}
	s.click("submit", "exchangeCode", codeOf(t, back))
	s.click("go")
	if g := s.accounts.Grants; len(g) != 1 || g[0].SteppedUp || g[0].UserID == "U1" {
		t.Fatalf("%+v", g)
	}
}

func TestFederationThatFails(t *testing.T) {
	t.Parallel()
	doc := federated("oauth-start", "exchange-oauth-code", "defaultProvider", "op")
	s, p := fedStage(t, doc)
	s.signIn("fed", "ada@example.org")
	back, err := s.Returned(context.Background(), p.Last().Request, nil, "access_denied")
	if err != nil || !strings.Contains(back, "err=access_denied") || codeOf(t, back) != "" {
		t.Fatal(back, err)
	}
	resp := s.click("submit", "exchangeError", "access_denied")
	if resp.Screen.State["errorText"] != "The check was not finished. Try again." {
		t.Fatalf("%+v", resp)
	}
	// A wrong code, and one that is too old.
	s, p = fedStage(t, doc)
	s.signIn("fed", "ada@example.org")
	back, err = s.Returned(context.Background(), p.Last().Request, identity(project.FederationOAuth, "op", "ada@example.org", nil), "")
	if err != nil {
		t.Fatal(err)
	}
	s.now = s.now.Add(31 * time.Minute)
	if resp := s.click("submit", "exchangeCode", codeOf(t, back)); resp.Screen.State["errorText"] == nil {
		t.Fatalf("%+v", resp)
	}
	for _, code := range []string{"", "wrong"} {
		s, p = fedStage(t, doc)
		s.signIn("fed", "ada@example.org")
		if code != "" {
			if _, err = s.Returned(context.Background(), p.Last().Request, identity(project.FederationOAuth, "op", "ada@example.org", nil), ""); err != nil {
				t.Fatal(err)
			}
		}
		if resp := s.click("submit", "exchangeCode", code); resp.Screen.State["errorText"] == nil {
			t.Fatalf("code %q: %+v", code, resp)
		}
		if len(s.accounts.Grants) != 0 {
			t.Fatal("somebody got in")
		}
	}
	// Nothing is set up, or the accounts refuse.
	s = newStage(t, nil, doc)
	if resp := s.signIn("fed", "ada@example.org"); resp.Screen.State["errorText"] != "This way to sign in is not set up. Tell whoever runs this page." {
		t.Fatalf("%+v", resp)
	}
	s, p = fedStage(t, doc)
	s.accounts.Fail["Federate"] = project.ErrDisabled
	s.signIn("fed", "ada@example.org")
	back, err = s.Returned(context.Background(), p.Last().Request, identity(project.FederationOAuth, "op", "ada@example.org", nil), "")
	if err != nil {
		t.Fatal(err)
	}
	if resp := s.click("submit", "exchangeCode", codeOf(t, back)); resp.Screen.State["errorText"] != project.ErrDisabled.Message {
		t.Fatalf("%+v", resp)
	}
}

func TestFederationImport(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		doc     *flow.Document
		says    string
		refused bool
	}{
		"no provider":            {federated("oauth-start", "exchange-oauth-code"), "names no provider", true},
		"an end that is another": {federated("oauth-start", "exchange-saml-code", "defaultProvider", "op"), "names no task with the action exchange-oauth-code", true},
		"not set up":             {federated("oauth-start-sign-in", "exchange-oauth-code", "defaultProvider", "missing"), `no OAuth provider named "missing"`, false},
		"no such tenant":         {federated("saml-start", "exchange-saml-code", "tenantId", "missing"), `no SAML settings for a tenant named "missing"`, false},
	} {
		s, _ := fedStage(t, federated("oauth-start", "exchange-oauth-code", "defaultProvider", "op"))
		problems := s.Import(c.doc)
		var all []string
		for _, p := range problems {
			all = append(all, p.String())
		}
		if text := strings.Join(all, "; "); runner.Refused(problems) != c.refused || !strings.Contains(text, c.says) {
			t.Errorf("%s: %s", name, text)
		}
	}
}
