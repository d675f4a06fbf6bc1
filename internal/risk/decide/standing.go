package decide

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// fresh is how long what is in force is believed. A version that this process publishes
// holds at once; one of another replica, after this at the latest.
const fresh = time.Second

// slot is where a policy can hold.
type slot struct{ tenant, application string }

type versionKey struct {
	slot
	version int
}

// standing is what holds for the logins of one application.
type standing struct {
	application  string         // whose policy it is: "" for the tenant's
	version      int            // 0: the preset
	enforced     *policy.Policy // nil if it cannot be evaluated; failed says why
	tried        *policy.Policy // in shadow mode; nil: none
	triedVersion int
	triedOf      string // application
	failed       string
	read         time.Time
}

// standing finds what holds: the application's own policy, else the tenant's, else the
// preset. A policy that cannot be read, or not evaluated by this version of the program,
// does not make another one hold: whoever is weighed by it is asked for a face.
func (s *Service) standing(ctx context.Context, t *Tenant, application string) standing {
	at := slot{t.ID, application}
	s.mu.Lock()
	known, ok := s.inForce[at]
	s.mu.Unlock()
	if ok && s.Now().Sub(known.read) < fresh && !s.Now().Before(known.read) {
		return *known
	}
	var enforced, tried *PolicyVersion
	err := s.Store.ViewRisk(ctx, func(tx Tx) (err error) {
		enforced, tried, err = inForce(tx, t.ID, application)
		return err
	})
	if err != nil {
		return standing{failed: "the policy cannot be read: " + err.Error()}
	}
	now := standing{read: s.Now()}
	if enforced == nil {
		now.enforced = s.presets[t.Preset].compiled
	} else {
		now.application, now.version = enforced.Application, enforced.Version
		if now.enforced, err = s.compile(enforced); err != nil {
			now.failed = err.Error()
		}
	}
	if tried != nil {
		now.triedVersion, now.triedOf = tried.Version, tried.Application
		if now.tried, err = s.compile(tried); err != nil {
			s.Logger.WarnContext(ctx, "a policy in shadow mode cannot be evaluated", "tenant", t.ID, "application", tried.Application, "version", tried.Version, "error", err)
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.inForce) > maxStanding { // applications are named by callers
		clear(s.inForce)
	}
	s.inForce[at] = &now
	return now
}

const maxStanding = 1000

// inForce finds the versions that hold for an application; nil where there is none. One
// in shadow mode holds until something newer is published in its place.
func inForce(tx Tx, tenant, application string) (enforced, tried *PolicyVersion, err error) {
	places := []string{application}
	if application != "" {
		places = append(places, "")
	}
	for _, place := range places {
		e, err := optional(tx.PolicyInForce(tenant, place, Enforce))
		if err != nil {
			return nil, nil, err
		}
		t, err := optional(tx.PolicyInForce(tenant, place, Shadow))
		if err != nil {
			return nil, nil, err
		}
		if t != nil && tried == nil && (e == nil || t.Version > e.Version) {
			tried = t
		}
		if e != nil {
			return e, tried, nil
		}
	}
	return nil, tried, nil
}

func optional(v *PolicyVersion, err error) (*PolicyVersion, error) {
	if errors.Is(err, proof.ErrNotFound) {
		return nil, nil
	}
	return v, err
}

// compile compiles a version once; versions never change.
func (s *Service) compile(v *PolicyVersion) (*policy.Policy, error) {
	key := versionKey{slot{v.Tenant, v.Application}, v.Version}
	s.mu.Lock()
	p, ok := s.compiled[key]
	s.mu.Unlock()
	if ok {
		return p, nil
	}
	p, err := compiled(v.Document)
	if err != nil {
		return nil, fmt.Errorf("policy version %d cannot be evaluated: %w", v.Version, err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if len(s.compiled) > maxStanding {
		clear(s.compiled)
	}
	s.compiled[key] = p
	return p, nil
}

// forget makes what is in force be read anew.
func (s *Service) forget(tenant string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for at := range s.inForce {
		if at.tenant == tenant {
			delete(s.inForce, at)
		}
	}
}
