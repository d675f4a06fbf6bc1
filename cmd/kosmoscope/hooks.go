package main

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/callers"
	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/hooks"
	"github.com/kosmoscope/kosmoscope/internal/hooks/in"
	"github.com/kosmoscope/kosmoscope/internal/jobs"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// hooked makes door C: what tells other tools, and what turns events into work.
func (b *bridge) hooked(vault journey.Vault, mail map[string]hooks.Messages) (err error) {
	var tenants []string
	for i := range b.cfg.Tenants {
		tenants = append(tenants, b.cfg.Tenants[i].ID)
	}
	retention := time.Duration(0)
	o := hooks.Options{
		Store: b.store, Vault: vault, Journey: b.journey, Callers: b.caller, PublicURL: b.cfg.PublicURL, Wake: b.runner.Wake, Logger: b.log,
		Unreachable: jobs.Unreachable,
	}
	for i := range b.cfg.Tenants {
		t := &b.cfg.Tenants[i]
		ours := hooks.Tenant{ID: t.ID, Mapping: t.Hooks.Mapping, Retention: t.Hooks.Retention, Messages: mail[t.ID]}
		retention = max(retention, t.Hooks.Retention)
		if p := b.projects[t.ID]; p != nil {
			ours.Project = p.Hooks()
		}
		if t.Hooks.Caller != "" {
			ours.Caller, _ = b.callers.Caller(t.ID, t.Hooks.Caller)
		}
		o.Tenants = append(o.Tenants, ours)
	}
	if b.deliveries, err = deliveries.New(deliveries.Options{
		Store: b.store, Vault: vault, Tenants: tenants, Wake: b.runner.Wake, Logger: b.log, Retention: retention, Unreachable: jobs.Unreachable,
	}); err != nil {
		return err
	}
	o.Outbox = b.deliveries
	if b.hooks, err = hooks.New(o); err != nil {
		return err
	}
	lanes := map[string]jobs.Lane{hooks.JobWork: {Of: b.hooks.LaneOf}, deliveries.JobDeliver: {Of: b.deliveries.LaneOf}}
	handlers := b.hooks.Handlers()
	maps.Copy(handlers, b.deliveries.Handlers())
	for kind, handler := range handlers {
		b.runner.HandleAs(kind, handler, jobs.Kind{Priority: priorities[kind], Lane: lanes[kind]})
	}
	return nil
}

// priorities of what nobody waits for, and of what somebody does.
var priorities = map[string]jobs.Priority{
	hooks.JobPump: jobs.Person, hooks.JobReconcile: jobs.Bulk, hooks.JobPurge: jobs.Bulk, deliveries.JobPurge: jobs.Bulk,
	journey.JobPurge: jobs.Bulk, journey.JobChallengePurge: jobs.Bulk,
	journey.JobPoll: jobs.Person, journey.JobChallengePoll: jobs.Person,
}

// givenUp is told of a job that failed again and again, before it is put aside.
func (b *bridge) givenUp(ctx context.Context, j proof.Job, cause error) error {
	switch j.Kind {
	case hooks.JobWork:
		return b.hooks.Dead(ctx, j, cause)
	case deliveries.JobDeliver, deliveries.JobFanOut:
		return b.deliveries.Buried(ctx, j)
	}
	return nil
}

// mountHooks mounts what comes in through door C.
func (b *bridge) mountHooks(mux *http.ServeMux, vault in.Hasher) error {
	o := in.Options{
		Events: b.hooks, Store: b.store, Hasher: vault, Proofing: b.journey, Risk: b.risk, Callers: b.callers, Wake: b.runner.Wake, Logger: b.log,
	}
	for i := range b.cfg.Tenants {
		t := &b.cfg.Tenants[i]
		o.Tenants = append(o.Tenants, in.Tenant{
			ID: t.ID, Discreet: t.StepUp.Backend == "uwl", Registration: t.Hooks.Registration,
			CallbackSecrets: plain(t.Hooks.CallbackSecrets), CallbackHMAC: plain(t.Hooks.CallbackHMAC),
		})
	}
	door, err := in.New(o)
	if err != nil {
		return fmt.Errorf("hooks: %w", err)
	}
	for _, path := range []string{in.EventsPath, in.PreLoginPath, in.PostRegistrationPath, in.CallbackPrefix} {
		mux.Handle(path, door)
	}
	return nil
}

func plain(secrets []callers.Secret) (out []string) {
	for _, s := range secrets {
		out = append(out, string(s))
	}
	return out
}
