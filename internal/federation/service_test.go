package federation_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const (
	tenant = "acme"
	victim = "ada@example.com"
)

var berlin = netip.MustParseAddr("78.55.20.10")

// world is the Service over a real store, with a journey in which the test says how
// challenges and verifications end.
type world struct {
	*federation.Service
	t       *testing.T
	store   *store.Store
	now     time.Time
	journey *playedJourney
	pages   *shownPages
	level   journey.Assertion
	asked   []string // whose level 1Kosmos was asked for
	back    *playedProvider
}

// playedJourney keeps subjects in the real store and plays everything else.
type playedJourney struct {
	*journey.Service
	w          *world
	challenges map[string]*proof.Challenge
	started    []journey.ChallengeStart
	proofings  map[string]*proof.Verification
	requests   []journey.StartRequest
	claims     proof.Claims
	refuse     proof.Reason
	opened     []string
}

func (j *playedJourney) subject(identifier string) string {
	s, fresh, err := j.Subject(j.w.t.Context(), tenant, identifier)
	if err == nil && fresh {
		err = j.w.store.UpdateFederation(j.w.t.Context(), func(tx federation.Tx) error { return tx.InsertSubject(s) })
	}
	if err != nil {
		j.w.t.Fatal(err)
	}
	return s.ID
}

func (j *playedJourney) Start(_ context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error) {
	j.requests = append(j.requests, r)
	id := newID()
	j.proofings[id] = &proof.Verification{ID: id, Tenant: c.Tenant, Caller: c.ID, Status: proof.Pending, Subject: j.subject(r.Request.UserIdentifier)}
	return journey.Started{SessionID: id, SessionURL: "https://id.example.com/v/" + id + "/secret"}, nil
}

func (j *playedJourney) Open(_ context.Context, id, secret, _, _ string) (journey.HandoffView, string, error) {
	j.opened = append(j.opened, id+"/"+secret)
	return journey.HandoffView{}, "browser-of-" + id, nil
}

func (j *playedJourney) Result(_ context.Context, c proof.Caller, id, _ string) (journey.ResultView, error) {
	v := j.proofings[id]
	if v == nil || v.Caller != c.ID {
		return journey.ResultView{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownSession}
	}
	return journey.ResultView{Verification: *v, Outcome: proof.Outcome{Claims: journey.Visible(j.claims, c.Claims), Framework: "kosmoscope-embedded"}}, nil
}

func (j *playedJourney) StartChallenge(_ context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error) {
	j.started = append(j.started, r)
	if j.refuse != "" {
		return journey.ChallengeStarted{Refused: j.refuse}, nil
	}
	id := newID()
	j.challenges[id] = &proof.Challenge{ID: id, Tenant: c.Tenant, Caller: c.ID, Status: proof.ChallengePending, Subject: j.subject(r.Request.UserIdentifier)}
	return journey.ChallengeStarted{ChallengeID: id, ChallengeURL: "https://id.example.com/c/" + id + "/secret", ExpiresAt: j.w.now.Add(time.Minute)}, nil
}

func (j *playedJourney) OpenChallenge(_ context.Context, id, secret, _, _ string, _ netip.Addr) (journey.ChallengeView, string, error) {
	j.opened = append(j.opened, id+"/"+secret)
	return journey.ChallengeView{}, "browser-of-" + id, nil
}

func (j *playedJourney) ChallengeResult(_ context.Context, c proof.Caller, id, user, _ string) (proof.Challenge, error) {
	x := j.challenges[id]
	if x == nil || x.Caller != c.ID || user != "" && j.subject(user) != x.Subject {
		return proof.Challenge{}, &proof.Error{Code: proof.CodeNotFound, Reason: proof.ReasonUnknownChallenge}
	}
	return *x, nil
}

// ends brings the newest challenge or verification to its end.
func (j *playedJourney) ends(id string, well bool) {
	if c := j.challenges[id]; c != nil {
		c.Status, c.Reason, c.FinishedAt = proof.ChallengeMatch, "", j.w.now
		if !well {
			c.Status, c.Reason = proof.ChallengeNoMatch, proof.ReasonFaceMismatch
		}
		return
	}
	v := j.proofings[id]
	v.Status, v.Reason, v.FinishedAt = proof.Verified, "", j.w.now
	if !well {
		v.Status, v.Reason = proof.Failed, proof.ReasonFaceMismatch
	}
}

// shownPages remembers what was shown.
type shownPages struct {
	sorry []string
	who   []federation.WhoView
	left  []string
}

func (p *shownPages) Sorry(w http.ResponseWriter, _ *http.Request, status int, say string) {
	p.sorry = append(p.sorry, say)
	w.WriteHeader(status)
}

func (p *shownPages) Who(w http.ResponseWriter, _ *http.Request, v federation.WhoView) {
	p.who = append(p.who, v)
	w.WriteHeader(http.StatusOK)
}
func (p *shownPages) Confirm(http.ResponseWriter, *http.Request, federation.ConfirmView) {}
func (p *shownPages) Leave(w http.ResponseWriter, _ *http.Request, _, to string) {
	p.left = append(p.left, to)
	w.WriteHeader(http.StatusOK)
}

// playedProvider is the tenant's own provider at 1Kosmos.
type playedProvider struct {
	asked  federation.UpstreamAsk
	answer federation.UpstreamAnswer
	err    error
}

func (p *playedProvider) Begin(_ context.Context, a federation.UpstreamAsk) (string, []byte, error) {
	p.asked = a
	return "https://1kosmos.example/authorize?state=" + a.State, []byte("kept"), nil
}

func (p *playedProvider) Finish(_ context.Context, keep []byte, _ map[string]string) (federation.UpstreamAnswer, error) {
	if string(keep) != "kept" {
		return federation.UpstreamAnswer{}, errors.New("another browser's")
	}
	return p.answer, p.err
}

func newID() string { id, _ := uuid.NewV7(); return id.String() }

// empty is a database with its tables, made once.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "federation")
	if err != nil {
		return nil, err
	}
	defer os.RemoveAll(dir)
	file := filepath.Join(dir, "x.db")
	s, err := store.OpenSQLite(context.Background(), file)
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil {
		return nil, err
	}
	return os.ReadFile(file)
})

func newWorld(t *testing.T, clients ...federation.Client) *world {
	t.Helper()
	dir := t.TempDir()
	file := filepath.Join(dir, "x.db")
	fresh, err := empty()
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, fresh, 0o600); err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLite(t.Context(), file)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { st.Close() })
	key := filepath.Join(dir, "key")
	if err := vault.Create(key); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(key)
	if err != nil {
		t.Fatal(err)
	}
	w := &world{t: t, store: st, now: time.Date(2026, 11, 29, 12, 0, 0, 0, time.UTC), pages: &shownPages{}, back: &playedProvider{}}
	now := func() time.Time { return w.now }
	w.journey = &playedJourney{
		Service: journey.New(journey.Options{Store: st, Vault: v, Tenants: []journey.Tenant{{ID: tenant}}, PublicURL: "https://id.example.com", Now: now}),
		w:       w, challenges: map[string]*proof.Challenge{}, proofings: map[string]*proof.Verification{},
		claims: proof.Claims{GivenName: "GRACE", FamilyName: "HOPPER", DocumentNumber: "X1"},
	}
	o := federation.Options{
		Store: st, Vault: v, Journey: w.journey, PublicURL: "https://id.example.com", Pages: w.pages, Now: now,
		Tenants: []federation.Tenant{{ID: tenant, Liveness: proof.LivenessActive, StepUp: true, Upstream: w.back, Assert: func(_ context.Context, user string) (journey.Assertion, error) {
			w.asked = append(w.asked, user)
			return w.level, nil
		}}},
	}
	if len(clients) == 0 {
		clients = []federation.Client{{ID: "rp"}}
	}
	for _, c := range clients {
		c.Tenant, c.Name = tenant, "Relying party"
		if c.Protocol == "" {
			c.Protocol = federation.OIDC
		}
		o.Clients = append(o.Clients, federation.StoredClient{Client: c})
	}
	w.Service = federation.New(o)
	return w
}

// browser keeps cookies as one does, without looking at their paths.
type browser struct {
	w       *world
	cookies map[string]string
	from    netip.Addr
}

func (w *world) browser() *browser { return &browser{w, map[string]string{}, berlin} }

func (b *browser) set(cookies []federation.Cookie) {
	for _, c := range cookies {
		if b.cookies[c.Name] = c.Value; c.MaxAge < 0 {
			delete(b.cookies, c.Name)
		}
	}
}

func (b *browser) brings() federation.Browser {
	return federation.Browser{From: b.from, Cookies: b.cookies}
}

func (b *browser) begin(client string, a federation.Ask) (federation.Step, error) {
	b.w.t.Helper()
	c, ok := b.w.Client(tenant, client)
	if !ok {
		b.w.t.Fatalf("no client %q", client)
	}
	a.Client = c
	step, err := b.w.Begin(b.w.t.Context(), b.brings(), a)
	b.set(step.Set)
	return step, err
}

// goes begins, brings what begins to its end, and resumes.
func (b *browser) goes(client string, a federation.Ask, well bool) (*federation.Answer, error) {
	b.w.t.Helper()
	step, err := b.begin(client, a)
	if err != nil {
		return nil, err
	}
	if step.Answer != nil {
		return step.Answer, nil
	}
	id := step.Go[strings.LastIndexByte(step.Go, '/')+1:]
	b.w.journey.ends(id, well)
	_, x, cookies, err := b.w.Resume(b.w.t.Context(), b.brings(), tenant, id)
	b.set(cookies)
	return x, err
}

func code(err error) proof.Code { return proof.CodeOf(err) }

var (
	face     = []string{federation.ACRFace}
	ial2     = []string{"/assurance/ial/2/"} // as 1Kosmos' pages write it, too
	proofing = []string{federation.ACRProofing}
)

// What is asked for decides what the person has to do.
func TestPlan(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		ask  federation.Ask
		goes string
	}{
		"nothing":                       {federation.Ask{}, "/v/"},
		"only a hint":                   {federation.Ask{Hint: victim}, "/c/"},
		"face, named":                   {federation.Ask{ACR: face, Hint: victim}, "/c/"},
		"face, nobody named":            {federation.Ask{ACR: face}, "/federation/acme/who/"},
		"proofing, whoever is named":    {federation.Ask{ACR: proofing, Hint: victim}, "/v/"},
		"claims, whoever is named":      {federation.Ask{Proofing: true, Hint: victim}, "/v/"},
		"a level, nobody named":         {federation.Ask{ACR: ial2}, "/v/"},
		"a level, somebody named":       {federation.Ask{ACR: ial2, Hint: victim}, "/federation/acme/who/"},
		"a level with claims":           {federation.Ask{ACR: ial2, Proofing: true, Hint: victim}, "/v/"},
		"the first that we know counts": {federation.Ask{ACR: []string{"urn:of:somebody", federation.ACRFace, federation.ACRProofing}, Hint: victim}, "/c/"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			step, err := newWorld(t).browser().begin("rp", c.ask)
			if err != nil || !strings.HasPrefix(step.Go, c.goes) {
				t.Errorf("%q, %v; want %s", step.Go, err, c.goes)
			}
		})
	}
}

// A stranger with a valid passport and a victim's name is somebody new (promise 3).
func TestStrangerWithAPassport(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	of, err := w.browser().goes("rp", federation.Ask{ACR: face, Hint: victim}, true)
	if err != nil || !of.Matched || of.Identifier != victim {
		t.Fatalf("the victim: %+v, %v", of, err)
	}
	for name, ask := range map[string]federation.Ask{
		"hint":                {Proofing: true, Hint: victim},
		"token of the victim": {Proofing: true, HintSubject: of.Subject},
		"level":               {ACR: ial2, Proofing: true, Hint: victim},
	} {
		x, err := w.browser().goes("rp", ask, true)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if x.Sub == of.Sub || x.Subject == of.Subject || x.Identifier != "" || x.Matched || x.IALLevel != "" {
			t.Errorf("%s: a document made somebody the victim: %+v", name, x)
		}
		if x.Outcome.Claims.GivenName != "GRACE" || x.Outcome.Claims.DocumentNumber != "" {
			t.Errorf("%s: claims %+v", name, x.Outcome.Claims)
		}
	}
	for _, r := range w.journey.requests {
		if r.Request.UserIdentifier != "" {
			t.Errorf("a verification was begun in the name of %q", r.Request.UserIdentifier)
		}
	}
}

// Nobody comes back with what another browser, or nobody, has done.
func TestOnlyTheBrowserThatBegan(t *testing.T) {
	t.Parallel()
	w := newWorld(t, federation.Client{ID: "rp"}, federation.Client{ID: "other"})
	attacker := w.browser()
	step, err := attacker.begin("rp", federation.Ask{ACR: face, Hint: victim})
	if err != nil {
		t.Fatal(err)
	}
	id := step.Go[len("/c/"):]
	if slices.Contains(slices.Collect(func(yield func(string) bool) {
		for _, c := range step.Set {
			yield(c.Value)
		}
	}), "secret") || strings.Contains(step.Go, "secret") {
		t.Error("the link's secret leaves the bridge")
	}
	if len(w.journey.opened) != 1 || w.journey.opened[0] != id+"/secret" {
		t.Errorf("opened: %v", w.journey.opened)
	}
	if _, _, _, err := w.Resume(t.Context(), attacker.brings(), tenant, id); err == nil || code(err) == proof.CodeDenied {
		t.Errorf("before the end: %v", err)
	}
	w.journey.ends(id, true)
	for name, b := range map[string]federation.Browser{
		"another browser": {},
		"garbage":         {Cookies: map[string]string{"kosmoscope_flow_" + id: "AAAA"}},
		"of another run":  {Cookies: map[string]string{"kosmoscope_flow_" + id: w.otherRun()}},
	} {
		a, x, _, err := w.Resume(t.Context(), b, tenant, id)
		if a != nil || x != nil || code(err) != proof.CodeNotFound {
			t.Errorf("%s: %v %v %v", name, a, x, err)
		}
	}
	if _, _, _, err := w.Resume(t.Context(), attacker.brings(), "elsewhere", id); code(err) != proof.CodeNotFound {
		t.Errorf("another tenant: %v", err)
	}
	w.now = w.now.Add(2 * time.Hour)
	if _, _, _, err := w.Resume(t.Context(), attacker.brings(), tenant, id); code(err) != proof.CodeNotFound {
		t.Errorf("too late: %v", err)
	}
}

func (w *world) otherRun() string {
	step, err := w.browser().begin("rp", federation.Ask{ACR: face, Hint: "eve@example.com"})
	if err != nil {
		w.t.Fatal(err)
	}
	return step.Set[0].Value
}

// A session is this browser's, towards this client, for as long as it lasts.
func TestSessions(t *testing.T) {
	t.Parallel()
	w := newWorld(t, federation.Client{ID: "rp"}, federation.Client{ID: "other"})
	b := w.browser()
	first, err := b.goes("rp", federation.Ask{ACR: face, Hint: victim}, true)
	if err != nil {
		t.Fatal(err)
	}
	minute, hour := time.Minute, time.Hour
	silent := func(a federation.Ask) federation.Ask { a.Silent = true; return a }
	w.now = w.now.Add(2 * time.Minute)
	for name, c := range map[string]struct {
		client string
		ask    federation.Ask
		again  bool
	}{
		"the same":                 {"rp", federation.Ask{ACR: face}, true},
		"the same, named":          {"rp", federation.Ask{ACR: face, Hint: victim}, true},
		"by our own token":         {"rp", federation.Ask{HintSubject: first.Subject, ACR: face}, true},
		"somebody else":            {"rp", federation.Ask{ACR: face, Hint: "eve@example.com"}, false},
		"a token of somebody else": {"rp", federation.Ask{ACR: face, HintSubject: newID()}, false},
		"prompt=login":             {"rp", federation.Ask{ACR: face, Hint: victim, Fresh: true}, false},
		"max_age passed":           {"rp", federation.Ask{ACR: face, Hint: victim, MaxAge: &minute}, false},
		"max_age not passed":       {"rp", federation.Ask{ACR: face, Hint: victim, MaxAge: &hour}, true},
		"a document":               {"rp", federation.Ask{Proofing: true}, false},
		"another client":           {"other", federation.Ask{ACR: face, Hint: victim}, false},
		"a level not held":         {"rp", federation.Ask{ACR: ial2, Hint: victim, Essential: true}, false},
	} {
		for range 256 { // another network each time: how often one may ask is not what this is about
			b.from = b.from.Next()
		}
		step, err := b.begin(c.client, c.ask)
		if err != nil || (step.Answer != nil) != c.again {
			t.Errorf("%s: answered %v, %v", name, step.Answer != nil, err)
		}
		if c.again && (step.Answer.Sub != first.Sub || !step.Answer.AuthTime.Equal(first.AuthTime)) {
			t.Errorf("%s: %+v", name, step.Answer)
		}
		if step, err := b.begin(c.client, silent(c.ask)); c.again != (err == nil) || !c.again && (code(err) != proof.CodeLoginRequired || step.Go != "") {
			t.Errorf("%s, silently: %+v %v", name, step, err)
		}
	}
	if step, _ := w.browser().begin("rp", federation.Ask{ACR: face, Hint: victim}); step.Answer != nil {
		t.Error("another browser has the session")
	}
	ask := federation.Ask{}
	ask.Client, _ = w.Client(tenant, "rp")
	if _, err := w.Answer(t.Context(), ask, first.Session); err != nil {
		t.Errorf("the answer again: %v", err)
	}
	ask.Client, _ = w.Client(tenant, "other")
	if _, err := w.Answer(t.Context(), ask, first.Session); !errors.Is(err, proof.ErrNotFound) {
		t.Errorf("another client's: %v", err)
	}
	rp, _ := w.Client(tenant, "rp")
	cookies, err := w.End(t.Context(), b.brings(), rp, "")
	if err != nil || len(cookies) != 1 {
		t.Fatal(cookies, err)
	}
	if step, _ := b.begin("rp", federation.Ask{ACR: face, Hint: victim}); step.Answer != nil {
		t.Error("a session that was ended answers")
	}
	b = w.browser()
	if _, err := b.goes("rp", federation.Ask{ACR: face, Hint: victim}, true); err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(federation.DefaultSession)
	if step, _ := b.begin("rp", federation.Ask{ACR: face, Hint: victim}); step.Answer != nil {
		t.Error("a session that is over answers")
	}
}

// What is essential is met or refused; what is voluntary is told as it is.
func TestAssurance(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		level journey.Assertion
		ask   federation.Ask
		acr   string
		code  proof.Code
	}{
		"held":                      {journey.Assertion{Level: "IAL2"}, federation.Ask{ACR: append(face, ial2...), Hint: victim, Essential: true}, federation.ACRFace, ""},
		"essential and held":        {journey.Assertion{Level: "IAL2"}, federation.Ask{ACR: face, Hint: victim, Essential: true}, federation.ACRFace, ""},
		"essential and not held":    {journey.Assertion{}, federation.Ask{ACR: ial2, Proofing: true, Essential: true}, "", proof.CodeUnmet},
		"voluntary and not held":    {journey.Assertion{}, federation.Ask{ACR: ial2}, federation.ACRProofing, ""},
		"lower than asked":          {journey.Assertion{Level: "IAL1"}, federation.Ask{ACR: ial2, Essential: true, Proofing: true}, "", proof.CodeUnmet},
		"expired":                   {journey.Assertion{Level: "IAL2", ExpiresAt: time.Unix(1, 0)}, federation.Ask{ACR: []string{"urn:x"}, Hint: victim}, federation.ACRFace, ""},
		"best that holds, told":     {journey.Assertion{Level: "IAL2"}, federation.Ask{ACR: []string{"urn:x"}, Hint: victim}, federation.ACRIAL2, ""},
		"unknown and essential":     {journey.Assertion{Level: "IAL2"}, federation.Ask{ACR: []string{"urn:x"}, Hint: victim, Essential: true}, "", proof.CodeUnmet},
		"a document is not a level": {journey.Assertion{Level: "IAL2"}, federation.Ask{ACR: ial2, Proofing: true, Essential: true}, "", proof.CodeUnmet},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t)
			w.level = c.level
			x, err := w.browser().goes("rp", c.ask, true)
			if code(err) != c.code || err == nil && x.ACR != c.acr {
				t.Errorf("%+v, %v; want %s, %s", x, err, c.acr, c.code)
			}
			if c.ask.Proofing && len(w.asked) > 0 {
				t.Errorf("1Kosmos was asked for the level of %v after a document", w.asked)
			}
		})
	}
}

// The page that asks offers both ways where a level is asked for, and what is typed there
// only asks.
func TestWho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.Serve(federation.OIDC, finisher(func(rw http.ResponseWriter, _ *http.Request, a federation.Ask, x *federation.Answer, err error) {
		rw.Header().Set("Location", "https://rp.example/cb?"+url.Values{"error": {string(code(err))}}.Encode())
		rw.WriteHeader(http.StatusFound)
	}))
	play := func(ask federation.Ask, form url.Values) (*httptest.ResponseRecorder, *browser, string) {
		b := w.browser()
		step, err := b.begin("rp", ask)
		if err != nil {
			t.Fatal(err)
		}
		get := httptest.NewRequest("GET", step.Go, nil)
		for name, value := range b.cookies {
			get.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		w.Handler().ServeHTTP(httptest.NewRecorder(), get)
		form.Set("token", w.pages.who[len(w.pages.who)-1].Token)
		post := httptest.NewRequest("POST", step.Go, strings.NewReader(form.Encode()))
		post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
		for name, value := range b.cookies {
			post.AddCookie(&http.Cookie{Name: name, Value: value})
		}
		rec := httptest.NewRecorder()
		w.Handler().ServeHTTP(rec, post)
		for _, c := range rec.Result().Cookies() {
			b.cookies[c.Name] = c.Value
		}
		return rec, b, rec.Header().Get("Location")
	}
	if _, _, to := play(federation.Ask{ACR: face}, url.Values{"way": {"face"}, "who": {" " + victim + " "}}); !strings.HasPrefix(to, "/c/") {
		t.Errorf("a name was typed: %q", to)
	}
	if r := w.journey.started[len(w.journey.started)-1]; r.Request.UserIdentifier != victim || !r.Request.Discreet {
		t.Errorf("started %+v", r)
	}
	if v := w.pages.who[len(w.pages.who)-1]; v.Document || v.MaskedAccount != "" {
		t.Errorf("asked for a face: %+v", v)
	}
	if _, _, to := play(federation.Ask{ACR: face}, url.Values{"way": {"document"}, "who": {victim}}); strings.HasPrefix(to, "/v/") {
		t.Error("a document instead of the face that was asked for")
	}
	if _, _, to := play(federation.Ask{ACR: ial2, Hint: victim}, url.Values{"way": {"document"}}); !strings.HasPrefix(to, "/v/") {
		t.Errorf("a document for a level: %q", to)
	}
	if v := w.pages.who[len(w.pages.who)-1]; !v.Document || v.MaskedAccount == "" || strings.Contains(v.MaskedAccount, "ada@") {
		t.Errorf("asked for a level: %+v", v)
	}
	if _, _, to := play(federation.Ask{ACR: ial2, Hint: victim}, url.Values{"way": {"face"}, "who": {"eve@example.com"}}); !strings.HasPrefix(to, "/c/") {
		t.Errorf("a face for a level: %q", to)
	}
	if r := w.journey.started[len(w.journey.started)-1]; r.Request.UserIdentifier != victim {
		t.Errorf("who was named is replaced by who was typed: %+v", r.Request)
	}
	if rec, _, to := play(federation.Ask{ACR: face}, url.Values{"way": {"stop"}}); to != "" || rec.Code != http.StatusOK || !strings.Contains(w.pages.left[0], "error=access_denied") {
		t.Errorf("stopped: %d %q %v", rec.Code, to, w.pages.left)
	}
	if _, _, to := play(federation.Ask{ACR: face}, url.Values{"way": {"face"}}); to != "" || w.pages.who[len(w.pages.who)-1].Trouble == "" {
		t.Errorf("nothing was typed: %q", to)
	}
	// A form without this browser's token is nobody's.
	b := w.browser()
	step, _ := b.begin("rp", federation.Ask{ACR: face})
	post := httptest.NewRequest("POST", step.Go, strings.NewReader("way=face&who=eve&token=x"))
	post.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for name, value := range b.cookies {
		post.AddCookie(&http.Cookie{Name: name, Value: value})
	}
	rec := httptest.NewRecorder()
	if w.Handler().ServeHTTP(rec, post); rec.Code != http.StatusForbidden {
		t.Errorf("a foreign form: %d", rec.Code)
	}
}

type finisher func(http.ResponseWriter, *http.Request, federation.Ask, *federation.Answer, error)

func (f finisher) Finish(w http.ResponseWriter, r *http.Request, a federation.Ask, x *federation.Answer, err error) {
	f(w, r, a, x, err)
}

// A browser cannot use up the attempts of somebody else, nor can a network ask without end.
func TestStartsAreBounded(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	var err error
	n := 0
	for ; err == nil && n < 100; n++ {
		_, err = w.browser().begin("rp", federation.Ask{ACR: face, Hint: victim})
	}
	if code(err) != proof.CodeRateLimited || n > 10 {
		t.Errorf("after %d: %v", n, err)
	}
	for n = 0; n < 100; n++ {
		if _, err = w.browser().begin("rp", federation.Ask{}); err != nil {
			break
		}
	}
	if code(err) != proof.CodeRateLimited {
		t.Errorf("after %d more: %v", n, err)
	}
	w.now = w.now.Add(17 * time.Minute)
	if _, err := w.browser().begin("rp", federation.Ask{ACR: face, Hint: victim}); err != nil {
		t.Errorf("later: %v", err)
	}
}

// A person who cannot be asked looks like one who was not recognised.
func TestRefused(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.journey.refuse = proof.ReasonUserUnknown
	if _, err := w.browser().begin("rp", federation.Ask{ACR: face, Hint: victim}); code(err) != proof.CodeDenied {
		t.Errorf("refused: %v", err)
	}
	w.journey.refuse = ""
	if _, err := w.browser().goes("rp", federation.Ask{ACR: face, Hint: victim}, false); code(err) != proof.CodeDenied || proof.ReasonOf(err) != proof.ReasonFaceMismatch {
		t.Errorf("not recognised: %v", err)
	}
	if _, err := w.browser().goes("rp", federation.Ask{}, false); code(err) != proof.CodeDenied {
		t.Errorf("not verified: %v", err)
	}
}

// A sub is the same for one sector, another for others, and opens only there.
func TestPairwise(t *testing.T) {
	t.Parallel()
	w := newWorld(t, federation.Client{ID: "rp"}, federation.Client{ID: "other"}, federation.Client{ID: "a", Sector: "s"}, federation.Client{ID: "b", Sector: "s"})
	subs := map[string]string{}
	for _, id := range []string{"rp", "other", "a", "b"} {
		x, err := w.browser().goes(id, federation.Ask{ACR: face, Hint: victim}, true)
		if err != nil {
			t.Fatal(err)
		}
		subs[id] = x.Sub
		c, _ := w.Client(tenant, id)
		if s, ok := w.SubjectOf(c, x.Sub); !ok || s != x.Subject {
			t.Errorf("%s: opens as %q", id, s)
		}
		if !regexp.MustCompile(`^[A-Za-z0-9_-]{43}$`).MatchString(x.Sub) {
			t.Errorf("sub %q", x.Sub)
		}
	}
	if subs["rp"] == subs["other"] || subs["a"] != subs["b"] || subs["a"] == subs["rp"] {
		t.Errorf("%v", subs)
	}
	rp, _ := w.Client(tenant, "rp")
	for _, sub := range []string{subs["other"], "", "x", strings.Repeat("A", 43), subs["rp"] + "A"} {
		if s, ok := w.SubjectOf(rp, sub); ok {
			t.Errorf("%q opens as %s", sub, s)
		}
	}
}

// 1Kosmos' own provider says who it is, and whether a face was matched.
func TestUpstream(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		told    federation.UpstreamAnswer
		matched bool
		named   string
		level   string
		code    proof.Code
		err     error
	}{
		"face":             {told: federation.UpstreamAnswer{Identifier: victim, Notes: federation.SessionNotes{Face: true, IALLevel: "IAL2"}}, matched: true, named: victim, level: "IAL2"},
		"password":         {told: federation.UpstreamAnswer{Identifier: victim}},
		"a face of nobody": {told: federation.UpstreamAnswer{Notes: federation.SessionNotes{Face: true}}},
		"refused":          {err: &proof.Error{Code: proof.CodeDenied}, code: proof.CodeDenied},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, federation.Client{ID: "rp", Upstream: true})
			w.back.answer, w.back.err = c.told, c.err
			w.back.answer.AuthTime = w.now
			var x *federation.Answer
			var err error
			w.Serve(federation.OIDC, finisher(func(_ http.ResponseWriter, _ *http.Request, _ federation.Ask, got *federation.Answer, e error) {
				x, err = got, e
			}))
			b := w.browser()
			step, e := b.begin("rp", federation.Ask{Hint: "eve@example.com", ACR: ial2})
			if e != nil || !strings.HasPrefix(step.Go, "https://1kosmos.example/") || !w.back.asked.IAL2 {
				t.Fatal(step, e)
			}
			r := httptest.NewRequest("GET", "/federation/acme/upstream?code=x&state="+w.back.asked.State, nil)
			rec := httptest.NewRecorder()
			w.Handler().ServeHTTP(rec, r)
			if len(w.pages.sorry) != 1 {
				t.Error("a browser without the run came through")
			}
			for name, value := range b.cookies {
				r.AddCookie(&http.Cookie{Name: name, Value: value})
			}
			w.Handler().ServeHTTP(httptest.NewRecorder(), r)
			if code(err) != c.code {
				t.Fatal(err)
			}
			if err == nil && (x.Matched != c.matched || x.Identifier != c.named || x.IALLevel != c.level) {
				t.Errorf("%+v", x)
			}
		})
	}
}

// A client's document is told what is wrong with it, by field.
func TestCheck(t *testing.T) {
	t.Parallel()
	good := `{"client_id":"rp","name":"RP","protocol":"oidc","oidc":{"redirect_uris":["https://rp.example/cb"]}}`
	for text, field := range map[string]string{
		good: "",
		strings.Replace(good, `"rp"`, `"a b"`, 1):                                                                                             "client_id",
		strings.Replace(good, `https://rp.example/cb`, `http://rp.example/cb`, 1):                                                             "oidc.redirect_uris",
		strings.Replace(good, `https://rp.example/cb`, `https://rp.example/cb#x`, 1):                                                          "oidc.redirect_uris",
		strings.Replace(good, `https://rp.example/cb`, `javascript:alert(1)`, 1):                                                              "oidc.redirect_uris",
		strings.Replace(good, `"name"`, `"default_acr":["urn:x"],"name"`, 1):                                                                  "default_acr",
		strings.Replace(good, `"name"`, `"essential":true,"name"`, 1):                                                                         "essential",
		strings.Replace(good, `"name"`, `"claims":["height"],"name"`, 1):                                                                      "claims",
		strings.Replace(good, `"name"`, `"profile":"entra_eam","name"`, 1):                                                                    "oidc.entra",
		strings.Replace(good, `"redirect_uris"`, `"token_endpoint_auth_method":"none","without_pkce":true,"redirect_uris"`, 1):                "oidc.without_pkce",
		strings.Replace(good, `"redirect_uris"`, `"token_endpoint_auth_method":"private_key_jwt","redirect_uris"`, 1):                         "oidc.jwks",
		`{"client_id":"sp","name":"SP","protocol":"saml","saml":{"entity_id":"x","acs":["https://sp.example/acs"]}}`:                          "",
		`{"client_id":"sp","name":"SP","protocol":"saml","saml":{"entity_id":"x","acs":["https://sp.example/acs"],"signed_requests":true}}`:   "saml.signed_requests",
		`{"client_id":"sp","name":"SP","protocol":"saml","saml":{"entity_id":"x","acs":["https://sp.example/acs"],"attributes":{"a":"sub"}}}`: "saml.attributes",
		`{"client_id":"sp","name":"SP","protocol":"saml"}`:                                                                                    "saml",
	} {
		var c federation.Client
		if err := json.Unmarshal([]byte(text), &c); err != nil {
			t.Fatal(err)
		}
		c.Complete()
		wrong := c.Check()
		if field == "" && wrong != nil || field != "" && wrong[field] == "" {
			t.Errorf("%s: %v; want %q", text, wrong, field)
		}
	}
}

// Clients of the console are taken up within about a second; those of the configuration win.
func TestClientsOfTheStore(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if _, ok := w.Client(tenant, "new"); ok {
		t.Fatal("there already")
	}
	plain, kept := federation.NewSecret(newID(), w.now, w.now.Add(time.Hour))
	err := w.store.UpdateFederation(t.Context(), func(tx federation.Tx) error {
		for _, id := range []string{"new", "rp"} {
			c := &federation.StoredClient{Client: federation.Client{ID: id, Tenant: tenant, Name: "New", Protocol: federation.OIDC, OIDC: &federation.OIDCClient{}}, Secrets: []federation.Secret{kept}, CreatedAt: w.now, UpdatedAt: w.now}
			if err := tx.InsertClient(c); err != nil {
				return err
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	w.now = w.now.Add(2 * time.Second)
	if c, ok := w.Client(tenant, "new"); !ok || c.Name != "New" {
		t.Errorf("%+v %v", c, ok)
	}
	if c, _ := w.Client(tenant, "rp"); c.Name != "Relying party" {
		t.Errorf("the store won: %+v", c)
	}
	if s := w.Secrets(tenant, "new"); len(s) != 1 || strings.Contains(string(s[0].Hash), plain) {
		t.Errorf("%+v", s)
	}
	w.now = w.now.Add(time.Hour)
	if s := w.Secrets(tenant, "new"); len(s) != 0 {
		t.Error("a secret that has ended holds")
	}
	if c, ok := w.Caller(tenant, "federation/new"); !ok || c.Application != "New" || slices.Contains(c.Claims, "document_number") {
		t.Errorf("as a caller: %+v %v", c, ok)
	}
}

// Whoever is erased signs in nowhere any more.
func TestErased(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	b := w.browser()
	x, err := b.goes("rp", federation.Ask{ACR: face, Hint: victim}, true)
	if err != nil {
		t.Fatal(err)
	}
	if err := w.store.Update(t.Context(), func(tx journey.Tx) error { return tx.EraseSubject(tenant, x.Subject, w.now) }); err != nil {
		t.Fatal(err)
	}
	ask := federation.Ask{}
	ask.Client, _ = w.Client(tenant, "rp")
	if _, err := w.Answer(t.Context(), ask, x.Session); !errors.Is(err, proof.ErrNotFound) {
		t.Errorf("the answer: %v", err)
	}
	if step, err := b.begin("rp", federation.Ask{ACR: face, Hint: victim}); err != nil || step.Answer != nil {
		t.Errorf("the session: %+v %v", step.Answer, err)
	}
}
