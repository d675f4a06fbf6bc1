package hooks_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/store"
	"github.com/kosmoscope/kosmoscope/internal/vault"
	"github.com/kosmoscope/kosmoscope/test/program"
)

const (
	tenant = "t1"

	// Where the child finds its files, and whom it calls.
	envDir      = "KOSMOSCOPE_TEST_HOOKS_DIR"
	envReceiver = "KOSMOSCOPE_TEST_HOOKS_RECEIVER"
)

func TestMain(m *testing.M) {
	if dir := os.Getenv(envDir); dir != "" {
		if err := child(dir, os.Getenv(envReceiver)); err != nil {
			fmt.Fprintln(os.Stderr, "child:", err)
			os.Exit(1)
		}
		return
	}
	os.Exit(program.Main(m, func() error { return nil }))
}

// rules lead from one event to one action each, of every kind of effect.
var rules = []hooks.Rule{
	{ID: "idempotent", Name: "Idempotent", On: []string{"LoginFailed"}, Do: []hooks.Action{{Do: hooks.RevokeSessions}}},
	{ID: "unknown", Name: "Unknown after a crash", On: []string{"UserCreated"}, Do: []hooks.Action{{Do: hooks.StartVerification, Deliver: hooks.DeliverMessage}}},
	{ID: "stored", Name: "In the transaction", On: []string{"LoginSucceed"}, Do: []hooks.Action{{Do: hooks.Notify}}},
}

// child runs until its standard input ends, or it is killed.
func child(dir, receiver string) error {
	ctx := context.Background()
	v, err := vault.Open(dir + "/keys")
	if err != nil {
		return err
	}
	st, err := store.OpenSQLite(ctx, dir+"/db")
	if err != nil {
		return err
	}
	out := &outside{receiver: receiver, vault: v}
	var runner *jobs.Runner
	s, err := hooks.New(hooks.Options{
		Store: st, Vault: v, Journey: out, Outbox: out, Wake: func() { runner.Wake() },
		Tenants: []hooks.Tenant{{ID: tenant, Project: out, Messages: out, Caller: proof.Caller{ID: "hooks"}}},
	})
	if err != nil {
		return err
	}
	runner = jobs.New(st, jobs.Options{Workers: 8, Poll: 50 * time.Millisecond, Lease: 2 * time.Second, Backoff: 50 * time.Millisecond, MaxBackoff: time.Second, OnDead: s.Dead})
	for kind, h := range s.Handlers() {
		if kind != hooks.JobReconcile { // there is nothing to search in
			runner.Handle(kind, h)
		}
	}
	runner.Handle(hooks.JobReconcile, func(context.Context, proof.Job) (time.Time, error) { return time.Time{}, nil })
	runner.Handle(deliveries.JobFanOut, func(ctx context.Context, j proof.Job) (time.Time, error) {
		var m *deliveries.Message
		err := st.ViewDeliveries(ctx, func(tx deliveries.Tx) (err error) {
			m, err = tx.Message(j.Tenant, j.Key)
			return err
		})
		if err != nil {
			return time.Time{}, err
		}
		return time.Time{}, out.call(ctx, "notice", m.ID, string(m.Sealed))
	})
	now, err := s.InForce(ctx, tenant)
	if err != nil {
		return err
	}
	if now.Version == 0 {
		if _, err := s.Publish(ctx, tenant, "test", 0, rules, ""); err != nil {
			return err
		}
	}
	if err := s.Begin(ctx); err != nil {
		return err
	}
	go func() { _ = runner.Run(ctx) }()

	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /events", func(w http.ResponseWriter, r *http.Request) {
		var told []hooks.Told
		err := json.NewDecoder(r.Body).Decode(&told)
		if err == nil {
			_, err = s.Accept(r.Context(), tenant, hooks.SourceWebhook, told)
		}
		if err != nil {
			http.Error(w, err.Error(), http.StatusServiceUnavailable)
		}
	})
	go func() { _ = http.Serve(l, mux) }()
	fmt.Println(l.Addr())
	_, _ = io.Copy(io.Discard, os.Stdin)
	return nil
}

// outside is all that the actions call: the receiver, over HTTP.
type outside struct {
	hooks.Project // what is not played here is not called
	receiver      string
	vault         *vault.Vault
}

// call calls the receiver. An answer but 200 is one that says that nothing was done.
func (o *outside) call(ctx context.Context, kind, key, body string) error {
	ctx, cancel := context.WithTimeout(ctx, 10*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, o.receiver+"/"+kind+"?key="+url.QueryEscape(key), strings.NewReader(body))
	if err != nil {
		return err
	}
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		return &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, Err: err}
	}
	defer res.Body.Close()
	_, _ = io.Copy(io.Discard, res.Body)
	if res.StatusCode != http.StatusOK {
		return &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonRateLimited, Temporary: true, RetryAfter: 20 * time.Millisecond}
	}
	return nil
}

func (o *outside) Logout(ctx context.Context, login string) error {
	return o.call(ctx, "logout", login, "")
}

func (o *outside) SendLink(ctx context.Context, to, link, key string) error {
	return o.call(ctx, "mail", key, to)
}

func (o *outside) Effect() hooks.Effect { return hooks.Unknown }

func (o *outside) Prepare(_ context.Context, d deliveries.Draft) (*deliveries.Message, *proof.Job, error) {
	login, ok := d.Data["login_id"].(string)
	if !ok {
		return nil, nil, errors.New("a message about nobody")
	}
	id, job := uuid.Must(uuid.NewV7()).String(), uuid.Must(uuid.NewV7()).String()
	return &deliveries.Message{ID: id, Tenant: d.Tenant, Type: d.Type, At: time.Now(), Sealed: []byte(login)},
		&proof.Job{ID: job, Tenant: d.Tenant, Kind: deliveries.JobFanOut, Key: id, RunAt: time.Now()}, nil
}

// The journey: a start with the same key is the same verification.

func (o *outside) Start(_ context.Context, _ proof.Caller, r journey.StartRequest) (journey.Started, error) {
	return journey.Started{SessionID: r.IdempotencyKey, SessionURL: "https://bridge.example/v/" + r.IdempotencyKey, Status: proof.Pending, ExpiresAt: time.Now().Add(time.Hour)}, nil
}

func (o *outside) StartChallenge(context.Context, proof.Caller, journey.ChallengeStart) (journey.ChallengeStarted, error) {
	return journey.ChallengeStarted{}, errors.New("no rule starts a challenge")
}

func (o *outside) Result(context.Context, proof.Caller, string, string) (journey.ResultView, error) {
	return journey.ResultView{}, errors.New("no rule reads a result")
}

func (o *outside) Erase(context.Context, string, string) (journey.Erased, error) {
	return journey.Erased{}, errors.New("no rule erases")
}

func (o *outside) Lookup(tenant, identifier string) []byte {
	return o.vault.MAC(tenant, "subject", identifier)
}

func (o *outside) Identifier(context.Context, string, string) (string, error) { return "", nil }
