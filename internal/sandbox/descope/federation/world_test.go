package federation_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/accounts"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/federation"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
	rt "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner/runnertest"
)

const (
	base      = "http://localhost:8083"
	projectID = "P2aaaaaaaaaaaaaaaaaaaaaaaaaa"
	page      = "https://app.example/login"
	victim    = "victim@example.org"
)

// world is a project with real accounts, a runner and identity providers.
type world struct {
	*testing.T
	accounts *accounts.Accounts
	runner   *runner.Runner
	fed      *federation.Federation
	handler  http.Handler
	ahead    time.Duration
}

func newWorld(t *testing.T, change func(*federation.Options)) *world {
	t.Helper()
	w := &world{T: t}
	now := func() time.Time { return time.Now().Add(w.ahead) }
	var err error
	if w.accounts, err = accounts.Open(accounts.Options{ProjectID: projectID, BaseURL: base, Algorithm: "ES384", Now: now}); err != nil {
		t.Fatal(err)
	}
	if err := w.accounts.DefineAttributes(t.Context(), []accounts.Attribute{
		{Name: "kosmosIal", Type: 1}, {Name: "kosmosStatus", Type: 1}, {Name: "kosmosFace", Type: 3},
	}); err != nil {
		t.Fatal(err)
	}
	o := federation.Options{ProjectID: projectID, BaseURL: base, MergeSSO: true, Now: now}
	change(&o)
	if w.fed, err = federation.New(o); err != nil {
		t.Fatal(err)
	}
	if w.runner, err = runner.New(runner.Options{Names: flow.DefaultNames(), Accounts: w.accounts, Connectors: &rt.Connectors{}, Federation: w.fed, Now: now}); err != nil {
		t.Fatal(err)
	}
	w.handler = w.fed.Handler(w.runner)
	return w
}

// trip imports a flow of a screen, a trip to a provider, and an end.
func (w *world) trip(id, start, end string, args ...any) {
	w.Helper()
	args = append(args, "exchangeStepId", "1.end")
	d := rt.Flow(id, rt.To(rt.Screen("0"), "go", "1"), rt.To(rt.Do("1", start, args...), "success", "1.end"), rt.To(rt.Do("1.end", end, args...), "success", "2"),
		rt.To(rt.Do("2", "custom-claims", "claims", []flow.KeyValue{
			{Key: "level", Value: "{{idpResponse.idpOIDCClaims.ial_level}}"}, {Key: "saml_level", Value: "{{idpResponse.idpSAMLAttributes.ial_level}}"},
		}), "success", "9"), rt.Do("9", "logged-in"))
	if p := w.runner.Import(d); len(p) > 0 {
		w.Fatal(p)
	}
}

// browser is one that runs a flow.
type browser struct {
	*world
	at *runner.Response
}

var someone = project.Browser{Addr: netip.MustParseAddr("192.0.2.1"), UserAgent: "test"}

// leave begins a flow and goes to the provider: the address there.
func (w *world) leave(id string) (*browser, string) {
	w.Helper()
	q := runner.StartRequest{FlowID: id}
	q.Options.Location = page
	at, err := w.runner.Start(context.Background(), q, someone)
	if err != nil {
		w.Fatal(err)
	}
	b := &browser{w, at}
	b.next(at.ExecutionID, at.StepID, "go", nil)
	if b.at.Action != runner.ActionRedirect {
		w.Fatalf("not sent away: %+v", b.at)
	}
	return b, b.at.Redirect.URL
}

func (b *browser) try(execution, step, interaction string, input map[string]any) (*runner.Response, error) {
	return b.runner.Next(context.Background(), runner.NextRequest{
		ExecutionID: execution, StepID: step, InteractionID: interaction, Nonce: b.at.Nonce(), Input: input,
	}, someone)
}

func (b *browser) next(execution, step, interaction string, input map[string]any) {
	b.Helper()
	at, err := b.try(execution, step, interaction, input)
	if err != nil {
		b.Fatal(err)
	}
	b.at = at
}

// callback is the browser at Descope's address for OAuth; arrived is its answer.
func (w *world) callback(answer url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, federation.Callback+"?"+answer.Encode(), nil)
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

func (w *world) acs(tenant string, form url.Values) *httptest.ResponseRecorder {
	w.Helper()
	u, err := url.Parse(w.fed.ACSURL(tenant))
	if err != nil {
		w.Fatal(err)
	}
	return w.post(u, form)
}

func (w *world) post(to *url.URL, form url.Values) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodPost, to.RequestURI(), strings.NewReader(form.Encode()))
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	rec := httptest.NewRecorder()
	w.handler.ServeHTTP(rec, r)
	return rec
}

// arrived is where an answer sends the browser: its flow's page, with what the element
// takes from the address.
func (w *world) arrived(rec *httptest.ResponseRecorder) url.Values {
	w.Helper()
	to := rec.Header().Get("Location")
	if rec.Code != http.StatusSeeOther || !strings.HasPrefix(to, page+"?") {
		w.Fatalf("%d, to %q: %s", rec.Code, to, rec.Body)
	}
	u, err := url.Parse(to)
	if err != nil {
		w.Fatal(err)
	}
	return u.Query()
}

// lost says that nobody was waiting, and that the browser was sent nowhere.
func (w *world) lost(rec *httptest.ResponseRecorder) {
	w.Helper()
	if rec.Code != http.StatusBadRequest || rec.Header().Get("Location") != "" {
		w.Fatalf("%d, to %q", rec.Code, rec.Header().Get("Location"))
	}
}

// resume is the page's element after the return.
func (b *browser) resume(query url.Values) {
	b.Helper()
	execution, step, _ := strings.Cut(query.Get("descope-login-flow"), "_")
	input := map[string]any{}
	for from, to := range map[string]string{"code": "exchangeCode", "err": "exchangeError"} {
		if v := query.Get(from); v != "" {
			input[to] = v
		}
	}
	b.next(execution, step, flow.Submit, input)
}

// inside is who got a session.
func (b *browser) inside() *project.User {
	b.Helper()
	if b.at.Status != runner.StatusCompleted || b.at.AuthInfo == nil {
		b.Fatalf("nobody got in: %q, %+v", b.at.StepName, b.at.Screen)
	}
	return b.at.AuthInfo.User
}

// outside says that the flow is where it was, with a sentence.
func (b *browser) outside() {
	b.Helper()
	if b.at.Status == runner.StatusCompleted || b.at.Screen == nil || b.at.Screen.ID != "SC0" || b.at.Screen.State["errorText"] == nil {
		b.Fatalf("not back at the screen: %+v", b.at)
	}
}

// users are all users of the project.
func (w *world) users() []*project.User {
	w.Helper()
	list, _, err := w.accounts.Search(w.Context(), accounts.Query{})
	if err != nil {
		w.Fatal(err)
	}
	return list
}

func (w *world) user(u project.User) *project.User {
	w.Helper()
	u.Status = "enabled"
	made, err := w.accounts.Create(w.Context(), u)
	if err != nil {
		w.Fatal(err)
	}
	return made
}
