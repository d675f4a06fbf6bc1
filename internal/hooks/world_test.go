package hooks_test

import (
	"context"
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
)

const tenant = "t1"

// stage is a service on a real store and a real vault, with a clock of its own, and
// everything outside played.
type stage struct {
	*hooks.Service
	t       *testing.T
	store   *store.Store
	vault   *vault.Vault
	project *project
	mail    *mail
	journey *played
	outbox  *outbox
	mu      sync.Mutex
	at      time.Time
	errs    []error // of jobs, in order
	woken   int
}

func (w *stage) clock() time.Time {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.at
}

func (w *stage) later(d time.Duration) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.at = w.at.Add(d)
}

// empty is the file of a store with nothing in it. To make the tables takes longer than
// most tests.
var empty = sync.OnceValues(func() ([]byte, error) {
	dir, err := os.MkdirTemp("", "hooks")
	if err != nil {
		return nil, err
	}
	defer func() { _ = os.RemoveAll(dir) }()
	s, err := store.OpenSQLite(context.Background(), filepath.Join(dir, "db"))
	if err != nil {
		return nil, err
	}
	if err := s.Close(); err != nil { // which leaves all in this one file
		return nil, err
	}
	return os.ReadFile(filepath.Join(dir, "db"))
})

// newStage makes one; change has the last word on its options.
func newStage(t *testing.T, change ...func(*hooks.Options)) *stage {
	t.Helper()
	dir := t.TempDir()
	if err := vault.Create(filepath.Join(dir, "keys")); err != nil {
		t.Fatal(err)
	}
	v, err := vault.Open(filepath.Join(dir, "keys"))
	if err != nil {
		t.Fatal(err)
	}
	fresh, err := empty()
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "db"), fresh, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	st, err := store.OpenSQLite(t.Context(), filepath.Join(dir, "db"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = st.Close() })
	w := &stage{t: t, store: st, vault: v, at: time.Date(2026, 11, 29, 12, 0, 30, 0, time.UTC)}
	w.project = &project{calls: map[string]int{}, users: map[string]hooks.User{}}
	w.mail = &mail{effect: hooks.Idempotent}
	w.journey = &played{w: w, started: map[string]journey.Started{}}
	w.outbox = &outbox{}
	o := hooks.Options{
		Store: st, Vault: v, Journey: w.journey, Outbox: w.outbox, Now: w.clock, Wake: func() { w.woken++ },
		PublicURL: "https://bridge.example",
		Tenants:   []hooks.Tenant{{ID: tenant, Project: w.project, Messages: w.mail, Caller: proof.Caller{ID: "hooks"}}},
		Callers: func(of, id string) (proof.Caller, bool) {
			return proof.Caller{ID: id, Tenant: of, Claims: []string{"given_name"}}, id == "app"
		},
	}
	for _, fn := range change {
		fn(&o)
	}
	if w.Service, err = hooks.New(o); err != nil {
		t.Fatal(err)
	}
	return w
}

// run does all jobs that are due, one after the other, until there are none. Those that
// fail come again in a second, which the clock has to reach.
func (w *stage) run() {
	w.t.Helper()
	handlers := w.Handlers()
	for range 1000 {
		claimed, err := w.store.Claim(context.Background(), "test", w.clock(), 100, time.Minute)
		if err != nil {
			w.t.Fatal(err)
		}
		if len(claimed) == 0 {
			return
		}
		for _, c := range claimed {
			h := handlers[c.Kind]
			if h == nil {
				if err := w.store.Finish(context.Background(), c); err != nil {
					w.t.Fatal(err)
				}
				continue
			}
			next, err := h(context.Background(), c.Job)
			switch {
			case err != nil:
				w.errs = append(w.errs, err)
				err = w.store.Reschedule(context.Background(), c, w.clock().Add(time.Second), "")
			case !next.IsZero():
				err = w.store.Reschedule(context.Background(), c, next, "")
			default:
				err = w.store.Finish(context.Background(), c)
			}
			if err != nil {
				w.t.Fatal(err)
			}
		}
	}
	w.t.Fatal("jobs without end")
}

func (w *stage) accept(told ...hooks.Told) {
	w.t.Helper()
	for part := range slices.Chunk(told, hooks.MaxAccept) {
		if _, err := w.Accept(w.t.Context(), tenant, hooks.SourceWebhook, part); err != nil {
			w.t.Fatal(err)
		}
	}
}

// publish makes these the rules.
func (w *stage) publish(rules ...hooks.Rule) {
	w.t.Helper()
	now, err := w.InForce(w.t.Context(), tenant)
	if err != nil {
		w.t.Fatal(err)
	}
	if _, err := w.Publish(w.t.Context(), tenant, "operator:test", now.Version, rules, ""); err != nil {
		w.t.Fatalf("publish: %v", err)
	}
}

func (w *stage) works() []hooks.WorkView {
	w.t.Helper()
	list, err := w.ListWork(w.t.Context(), hooks.WorkQuery{Tenant: tenant, Limit: 1000})
	if err != nil {
		w.t.Fatal(err)
	}
	slices.Reverse(list)
	return list
}

// only is the one work there is.
func (w *stage) only() hooks.WorkView {
	w.t.Helper()
	list := w.works()
	if len(list) != 1 {
		w.t.Fatalf("%d pieces of work, want 1: %+v", len(list), list)
	}
	return list[0]
}

func (w *stage) want(state hooks.WorkState, reason proof.Reason) {
	w.t.Helper()
	if got := w.only(); got.State != state || got.Reason != reason {
		w.t.Fatalf("work is %s (%s), want %s (%s); jobs said %v", got.State, got.Reason, state, reason, w.errs)
	}
}

// subject stores a person.
func (w *stage) subject(identifier string) *proof.Subject {
	w.t.Helper()
	id := uuid.Must(uuid.NewV7()).String()
	s := &proof.Subject{ID: id, Tenant: tenant, Lookup: w.journey.Lookup(tenant, identifier), CreatedAt: w.clock()}
	var err error
	if s.WrappedKey, err = w.vault.NewSubjectKey(tenant, id); err != nil {
		w.t.Fatal(err)
	}
	at := journey.Place{Tenant: tenant, Subject: id, Table: "subjects", Column: "identifier", Row: id}
	if s.SealedIdentifier, err = w.vault.Seal(s.WrappedKey, at, []byte(identifier)); err != nil {
		w.t.Fatal(err)
	}
	w.update(func(tx journey.Tx) error { return tx.InsertSubject(s) })
	return s
}

func (w *stage) update(fn func(tx journey.Tx) error) {
	w.t.Helper()
	if err := w.store.Update(w.t.Context(), fn); err != nil {
		w.t.Fatal(err)
	}
}

// verification stores one that has ended, and queues what tells of it.
func (w *stage) verification(s *proof.Subject, status proof.Status, level string) *proof.Verification {
	w.t.Helper()
	v := &proof.Verification{
		ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Caller: "app", Subject: s.ID, Named: true, Status: status, IALLevel: level,
		CreatedAt: w.clock(), ExpiresAt: w.clock().Add(time.Hour), FinishedAt: w.clock(), SealedRequest: []byte("x"),
		Link: proof.Link{SecretHash: []byte("h"), ExpiresAt: w.clock()}, Liveness: proof.LivenessPassive, DocumentTypes: proof.DocumentTypes(),
	}
	if status != proof.Verified {
		v.Reason = proof.ReasonFaceMismatch
	}
	if level != "" {
		v.IALSource, v.IALExpiresAt = "policy:test", w.clock().Add(24*time.Hour)
	}
	w.update(func(tx journey.Tx) error {
		if err := tx.InsertVerification(v); err != nil {
			return err
		}
		return tx.Enqueue(&proof.Job{ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Kind: hooks.JobEnded, Key: hooks.EndedKey("verification:" + v.ID), RunAt: w.clock()})
	})
	return v
}

// challenge stores one that has ended, and queues what tells of it.
func (w *stage) challenge(s *proof.Subject, status proof.ChallengeStatus) *proof.Challenge {
	w.t.Helper()
	c := &proof.Challenge{
		ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Caller: "app", Subject: s.ID, Status: status, Reason: proof.ReasonFaceMismatch,
		Backend: "uwl", CreatedAt: w.clock(), ExpiresAt: w.clock().Add(time.Hour), FinishedAt: w.clock(), SealedRequest: []byte("x"),
		Link: proof.Link{SecretHash: []byte("h"), ExpiresAt: w.clock()},
	}
	w.update(func(tx journey.Tx) error {
		if err := tx.InsertChallenge(c); err != nil {
			return err
		}
		return tx.Enqueue(&proof.Job{ID: uuid.Must(uuid.NewV7()).String(), Tenant: tenant, Kind: hooks.JobEnded, Key: hooks.EndedKey("challenge:" + c.ID), RunAt: w.clock()})
	})
	return c
}

func told(action string, at time.Time, logins ...string) hooks.Told {
	return hooks.Told{Action: action, OccurredAt: at, Content: hooks.Content{UserID: "U1", LoginIDs: logins, Data: map[string]any{"n": uuid.NewString()}}}
}

// outbox keeps what was to be told, in the way of deliveries.
type outbox struct {
	mu     sync.Mutex
	drafts []deliveries.Draft
	err    error
}

func (o *outbox) Prepare(_ context.Context, d deliveries.Draft) (*deliveries.Message, *proof.Job, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.err != nil {
		return nil, nil, o.err
	}
	o.drafts = append(o.drafts, d)
	body, err := json.Marshal(d)
	if err != nil {
		return nil, nil, err
	}
	id := uuid.Must(uuid.NewV7()).String()
	return &deliveries.Message{ID: id, Tenant: d.Tenant, Type: d.Type, Subject: d.Subject, At: time.Now(), Sealed: body},
		&proof.Job{ID: uuid.Must(uuid.NewV7()).String(), Tenant: d.Tenant, Kind: deliveries.JobFanOut, Key: id, RunAt: time.Now().Add(1000 * time.Hour)}, nil
}

// mail is 1Kosmos sending links.
type mail struct {
	effect hooks.Effect
	sent   []string // to, key
	err    error    // what it answers; it has sent then all the same
}

func (m *mail) SendLink(_ context.Context, to, link, key string) error {
	m.sent = append(m.sent, to+" "+key)
	return m.err
}
func (m *mail) Effect() hooks.Effect { return m.effect }
