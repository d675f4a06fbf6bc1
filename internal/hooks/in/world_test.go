package in_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/decide"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const (
	bearer   = "bearer-secret-0123456789"
	hmacKey  = "hmac-secret-0123456789"
	oldKey   = "hmac-secret-before-9876"
	callback = "callback-secret-AAAAAAAAAAAA"
	older    = "callback-secret-BBBBBBBBBBBB"
	back     = "https://app.example/back"
)

// stage is the door with real callers, limits and store; what is behind it is played.
type stage struct {
	t        testing.TB
	door     http.Handler
	store    *store.Store
	vault    *vault.Vault
	events   *events        // played
	service  *hooks.Service // the real one, of storing
	risk     *weigher
	proofing *proofing
	log      strings.Builder
	mu       sync.Mutex
	at       time.Time
	woken    int
}

func (s *stage) clock() time.Time {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.at
}

func (s *stage) later(d time.Duration) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.at = s.at.Add(d)
}

// template is what every stage begins with, by file name: an empty store and keys.
var template = sync.OnceValues(func() (map[string][]byte, error) {
	dir, err := os.MkdirTemp("", "hooks-in")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	if err := vault.Create(filepath.Join(dir, "keys")); err != nil {
		return nil, err
	}
	st, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "db"))
	if err != nil {
		return nil, err
	}
	if err := st.Close(); err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for _, name := range []string{"keys", "db"} {
		if out[name], err = os.ReadFile(filepath.Join(dir, name)); err != nil {
			return nil, err
		}
	}
	return out, nil
})

func newStage(t testing.TB, change ...func(*in.Options)) *stage {
	t.Helper()
	dir := t.TempDir()
	made, err := template()
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range made {
		if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	v, err := vault.Open(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	s := &stage{t: t, store: st, vault: v, events: &events{}, at: time.Date(2026, 11, 29, 12, 0, 30, 0, time.UTC)}
	s.risk = &weigher{answer: decide.Answer{Verdict: risk.StepUp, Reasons: []risk.Reason{"new_device"}}}
	s.proofing = &proofing{Service: journey.New(journey.Options{Store: st, Vault: v, Now: s.clock})}
	registry, err := callers.New([]callers.Config{
		{ID: "descope", Tenant: "acme", Application: "Acme", Bearer: bearer, CallbackURLs: []string{back}},
		{ID: "audit", Tenant: "acme", Application: "Acme", HMACSecret: hmacKey, HMACSecrets: []callers.Secret{oldKey}, EventsOnly: true},
		{ID: "other", Tenant: "other", Application: "Other", Bearer: bearer + "-other"},
	}, callers.Options{PublicURL: "https://bridge.example", Now: s.clock})
	if err != nil {
		t.Fatal(err)
	}
	o := in.Options{
		Events: s.events, Store: st, Hasher: v, Proofing: s.proofing, Risk: s.risk, Callers: registry, Now: s.clock,
		Logger: slog.New(slog.NewTextHandler(&s.log, &slog.HandlerOptions{Level: slog.LevelDebug})), Wake: func() { s.woken++ },
		Tenants: []in.Tenant{{ID: "acme", Discreet: true, CallbackSecrets: []string{callback, older}}},
	}
	for _, fn := range change {
		fn(&o)
	}
	if s.door, err = in.New(o); err != nil {
		t.Fatal(err)
	}
	return s
}

// post sends a body with headers given in pairs; as who it is the bearer if none are given.
func (s *stage) post(path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequestWithContext(s.t.Context(), "POST", path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if len(headers) == 0 {
		headers = []string{"Authorization", "Bearer " + bearer}
	}
	for i := 0; i < len(headers); i += 2 {
		r.Header.Add(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	s.door.ServeHTTP(w, r)
	return w
}

func signature(key, body string) string {
	m := hmac.New(sha256.New, []byte(key))
	m.Write([]byte(body))
	return base64.StdEncoding.EncodeToString(m.Sum(nil))
}

// ask calls a hook that has to answer 200.
func (s *stage) ask(path, body string) in.Answer {
	s.t.Helper()
	w := s.post(path, body)
	if w.Code != http.StatusOK {
		s.t.Fatalf("%s: %d %s", path, w.Code, w.Body)
	}
	var a in.Answer
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		s.t.Fatal(err)
	}
	return a
}

func is[T comparable](p *T, want T) bool { return p != nil && *p == want }

type events struct {
	mu   sync.Mutex
	told []hooks.Told
	from []string
	err  error
	wait chan struct{} // nil: Accept is done at once
	came chan struct{}
}

func (e *events) Accept(ctx context.Context, tenant string, source hooks.Source, told []hooks.Told) (int, error) {
	if e.came != nil {
		e.came <- struct{}{}
	}
	if e.wait != nil {
		select {
		case <-e.wait:
		case <-ctx.Done():
			return 0, ctx.Err()
		}
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if e.err != nil {
		return 0, e.err
	}
	e.told = append(e.told, told...)
	e.from = append(e.from, tenant+" "+string(source))
	return len(told), nil
}

type weigher struct {
	mu     sync.Mutex
	asked  []decide.Request
	answer decide.Answer
	err    error
	hangs  bool
}

func (w *weigher) Evaluate(ctx context.Context, _ proof.Caller, r decide.Request) (decide.Answer, error) {
	if w.hangs {
		<-ctx.Done()
		return decide.Answer{}, ctx.Err()
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	w.asked = append(w.asked, r)
	a := w.answer
	a.DecisionID = uuid.Must(uuid.NewV7()).String()
	return a, w.err
}

// proofing opens what it is asked for. A challenge that is not discreet it refuses for
// all but those who are enrolled.
type proofing struct {
	*journey.Service // finds what is open
	mu               sync.Mutex
	starts           []journey.StartRequest
	challenges       []journey.ChallengeStart
	enrolled         map[string]bool
	under            []string // names that were looked up last
	looking          func()   // called when names are looked up
	refused          proof.Reason
	err              error
	hangs            bool
}

func (p *proofing) OpenUnder(ctx context.Context, tenant string, names []string) ([]*proof.Job, error) {
	p.under = names
	if p.looking != nil {
		p.looking()
	}
	if p.err != nil {
		return nil, p.err
	}
	return p.Service.OpenUnder(ctx, tenant, names)
}

func (p *proofing) Start(ctx context.Context, _ proof.Caller, r journey.StartRequest) (journey.Started, error) {
	if p.hangs {
		<-ctx.Done()
		return journey.Started{}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.starts = append(p.starts, r)
	id := uuid.Must(uuid.NewV7()).String()
	return journey.Started{SessionID: id, SessionURL: "https://bridge.example/v/" + id + "/secret", Status: proof.Pending, ExpiresAt: time.Date(2026, 11, 29, 12, 30, 0, 0, time.UTC)}, p.err
}

func (p *proofing) StartChallenge(ctx context.Context, _ proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error) {
	if p.hangs {
		<-ctx.Done()
		return journey.ChallengeStarted{}, ctx.Err()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.challenges = append(p.challenges, r)
	switch {
	case p.err != nil:
		return journey.ChallengeStarted{}, p.err
	case p.refused != "":
		return journey.ChallengeStarted{Refused: p.refused}, nil
	case !r.Request.Discreet && !p.enrolled[r.Request.UserIdentifier]:
		return journey.ChallengeStarted{Refused: proof.ReasonUserUnknown}, nil
	}
	id := uuid.Must(uuid.NewV7()).String()
	return journey.ChallengeStarted{ChallengeID: id, ChallengeURL: "https://bridge.example/c/" + id + "/secret", Status: proof.ChallengePending, ExpiresAt: time.Date(2026, 11, 29, 12, 5, 0, 0, time.UTC)}, nil
}
