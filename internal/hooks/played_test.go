package hooks_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// project is a Descope project that notes what is asked of it.
type project struct {
	mu    sync.Mutex
	calls map[string]int
	log   []string
	users map[string]hooks.User
	trail []hooks.Told
	err   error // what every change answers
	after func()
}

func (p *project) did(format string, args ...any) error {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := fmt.Sprintf(format, args...)
	p.log = append(p.log, line)
	p.calls[strings.Fields(line)[0]]++
	if p.after != nil {
		p.after()
	}
	return p.err
}

func (p *project) User(_ context.Context, login string) (hooks.User, error) {
	u, ok := p.users[login]
	if !ok {
		return hooks.User{}, proof.ErrNotFound
	}
	return u, nil
}

func (p *project) PatchAttributes(_ context.Context, login string, values map[string]any) error {
	var each []string
	for _, name := range slices.Sorted(maps.Keys(values)) {
		each = append(each, fmt.Sprintf("%s=%v", name, values[name]))
	}
	return p.did("patch %s %s", login, strings.Join(each, " "))
}
func (p *project) SetStatus(_ context.Context, login, status string) error {
	return p.did("status %s %s", login, status)
}
func (p *project) AddRoles(_ context.Context, login string, roles []string) error {
	return p.did("add %s %v", login, roles)
}
func (p *project) RemoveRoles(_ context.Context, login string, roles []string) error {
	return p.did("remove %s %v", login, roles)
}
func (p *project) Logout(_ context.Context, login string) error { return p.did("logout %s", login) }
func (p *project) AuditEvent(_ context.Context, e hooks.AuditEvent) error {
	return p.did("audit %s %s %v", e.Action, e.UserID, e.Data["status"])
}
func (p *project) RunFlow(_ context.Context, flow string, input map[string]any) error {
	return p.did("flow %s %v %v", flow, input["login_id"], input["session_url"])
}
func (p *project) AuditSince(context.Context, time.Time, time.Time, int) ([]hooks.Told, bool, error) {
	return p.trail, false, nil
}

// played is the journey.
type played struct {
	w       *stage
	mu      sync.Mutex
	started map[string]journey.Started // by idempotency key
	asked   []journey.StartRequest
	callers []string
	refused proof.Reason
	err     error
	erased  []string
}

func (j *played) Start(_ context.Context, c proof.Caller, r journey.StartRequest) (journey.Started, error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.err != nil {
		return journey.Started{}, j.err
	}
	if s, ok := j.started[r.IdempotencyKey]; ok {
		return s, nil
	}
	id := uuid.NewString()
	s := journey.Started{SessionID: id, SessionURL: "https://bridge.example/v/" + id + "/secret", Status: proof.Pending, ExpiresAt: j.w.clock().Add(24 * time.Hour)}
	j.started[r.IdempotencyKey] = s
	j.asked = append(j.asked, r)
	j.callers = append(j.callers, c.Tenant+"/"+c.ID)
	return s, nil
}

func (j *played) StartChallenge(_ context.Context, c proof.Caller, r journey.ChallengeStart) (journey.ChallengeStarted, error) {
	if j.refused != "" {
		return journey.ChallengeStarted{Refused: j.refused}, nil
	}
	return journey.ChallengeStarted{ChallengeID: "c", ChallengeURL: "https://bridge.example/c/c/secret", Status: proof.ChallengePending, ExpiresAt: j.w.clock().Add(time.Hour)}, nil
}

func (j *played) Result(_ context.Context, c proof.Caller, id, _ string) (journey.ResultView, error) {
	return journey.ResultView{Outcome: proof.Outcome{Claims: journey.Visible(proof.Claims{GivenName: "ADA", FamilyName: "LOVELACE"}, c.Claims)}}, nil
}

func (j *played) Erase(ctx context.Context, tenant, subject string) (journey.Erased, error) {
	j.erased = append(j.erased, subject)
	return journey.Erased{Subject: subject}, j.w.store.Update(ctx, func(tx journey.Tx) error { return tx.EraseSubject(tenant, subject, j.w.clock()) })
}

func (j *played) Lookup(tenant, identifier string) []byte {
	return j.w.vault.MAC(tenant, "subject", identifier)
}

func (j *played) Identifier(ctx context.Context, tenant, subject string) (id string, err error) {
	err = j.w.store.View(ctx, func(tx journey.Tx) error {
		s, err := tx.Subject(tenant, subject)
		if err != nil || len(s.WrappedKey) == 0 || s.SealedIdentifier == nil {
			return err
		}
		plain, err := j.w.vault.Open(s.WrappedKey, journey.Place{Tenant: tenant, Subject: subject, Table: "subjects", Column: "identifier", Row: subject}, s.SealedIdentifier)
		id = string(plain)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return "", nil
	}
	return id, err
}
