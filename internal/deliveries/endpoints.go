package deliveries

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"slices"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// EndpointView is an endpoint as an operator sees it.
type EndpointView struct {
	Endpoint
	HasToken bool          `json:"has_token"`
	Headers  []string      `json:"headers,omitempty"` // names
	Signing  []SigningView `json:"signing,omitempty"` // newest first
}

// SigningView is what may be shown of a signing secret.
type SigningView struct {
	Kind      string    `json:"kind"`                 // hmac, ed25519
	PublicKey string    `json:"public_key,omitempty"` // whpk_..., for the receiver
	Ends      time.Time `json:"ends,omitzero"`        // it signs until then
}

func view(e *Endpoint, secrets *EndpointSecrets, now time.Time) EndpointView {
	v := EndpointView{Endpoint: *e, HasToken: e.Shape.TakesToken() && len(secrets.Headers) > 0}
	v.Sealed = nil
	if !v.Shape.TakesToken() {
		v.Headers = headerNames(secrets)
	}
	for _, s := range secrets.Signing {
		if !s.Ends.IsZero() && !now.Before(s.Ends) {
			continue
		}
		one := SigningView{Kind: "hmac", PublicKey: PublicKey(s.Secret), Ends: s.Ends}
		if one.PublicKey != "" {
			one.Kind = "ed25519"
		}
		v.Signing = append(v.Signing, one)
	}
	return v
}

// Endpoints lists the endpoints of a tenant.
func (s *Service) Endpoints(ctx context.Context, tenant string) ([]EndpointView, error) {
	var found []*Endpoint
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
		found, err = tx.Endpoints(tenant)
		return err
	})
	out := make([]EndpointView, 0, len(found))
	for _, e := range found {
		secrets, err := s.secrets(e)
		if err != nil {
			return nil, err
		}
		out = append(out, view(e, secrets, s.Now()))
	}
	return out, err
}

// Endpoint is one of them.
func (s *Service) Endpoint(ctx context.Context, tenant, id string) (EndpointView, error) {
	var e *Endpoint
	err := s.Store.ViewDeliveries(ctx, func(tx Tx) (err error) {
		e, err = tx.Endpoint(tenant, id)
		return err
	})
	if err != nil {
		return EndpointView{}, err
	}
	secrets, err := s.secrets(e)
	if err != nil {
		return EndpointView{}, err
	}
	return view(e, secrets, s.Now()), nil
}

// Create saves a new endpoint, unless there are problems. The secret is what the
// receiver checks signatures with, "whsec_..." or "whpk_...": a whsec_ is shown this one
// time. It is "" for shapes that are not signed. actor is for the audit trail, here and
// below.
func (s *Service) Create(ctx context.Context, tenant, actor string, in Input) (_ EndpointView, secret string, _ []Problem, err error) {
	if !s.tenants[tenant] {
		return EndpointView{}, "", nil, proof.ErrNotFound
	}
	if problems := s.Check(in); len(problems) > 0 {
		return EndpointView{}, "", problems, nil
	}
	id := proof.NewID()
	now := s.Now()
	e, secrets := &Endpoint{ID: id, Tenant: tenant, CreatedAt: now, UpdatedAt: now, Version: 1}, &EndpointSecrets{}
	secret = assign(e, secrets, in)
	if err := s.sealSecrets(e, secrets); err != nil {
		return EndpointView{}, "", nil, err
	}
	err = s.update(ctx, func(tx Tx) error {
		all, err := tx.Endpoints(tenant)
		if err != nil {
			return err
		}
		if len(all) >= maxEndpoints {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonTooLarge, Message: "a tenant has at most 500 endpoints; delete one that is not used"}
		}
		if err := tx.InsertEndpoint(e); err != nil {
			return err
		}
		return s.audit(tx, tenant, actor, "endpoint.created", "endpoint:"+e.ID, "", facts(e))
	})
	if err != nil {
		return EndpointView{}, "", nil, err
	}
	return view(e, secrets, now), secret, nil, nil
}

// facts are what the audit trail says of an endpoint.
func facts(e *Endpoint) map[string]string {
	return map[string]string{"shape": string(e.Shape), "allow_private": strconv.FormatBool(e.AllowPrivate), "disabled": strconv.FormatBool(e.Disabled)}
}

// assign puts what was entered, and checked, into an endpoint, and returns a new secret
// for the receiver if one was made.
func assign(e *Endpoint, secrets *EndpointSecrets, in Input) (secret string) {
	full := target(in, e, secrets)
	old := e.Shape
	e.Name, e.Events, e.Shape, e.Template, e.AllowPrivate = in.Name, slices.Clone(in.Events), in.Shape, in.Template, in.AllowPrivate
	if e.Disabled = in.Disabled; !e.Disabled {
		e.Why = ""
	}
	e.URL, secrets.URL = shown(e.Shape, full), full
	if e.URL == full {
		secrets.URL = ""
	}
	if e.Shape.Signs() != old.Signs() || e.Shape.TakesToken() && e.Shape != old {
		secrets.Headers = nil // of another tool
	}
	if in.Token != "" {
		secrets.Headers = tokenHeader(in.Shape, in.Token)
	}
	if in.Headers != nil && e.Shape.Signs() {
		kept := secrets.Headers
		secrets.Headers = maps.Clone(in.Headers)
		for name, value := range secrets.Headers {
			if value == "" {
				secrets.Headers[name] = kept[name]
			}
		}
	}
	switch {
	case !e.Shape.Signs():
		secrets.Signing = nil
	case len(secrets.Signing) == 0:
		var one Signing
		one.Secret, secret = newSigning(in.Signing)
		secrets.Signing = []Signing{one}
	}
	return secret
}

func newSigning(kind string) (ours, theirs string) {
	if kind == "ed25519" {
		key := NewKey()
		return key, PublicKey(key)
	}
	secret := NewSecret()
	return secret, secret
}

// tokenHeader is how each tool wants its token.
func tokenHeader(shape Shape, token string) map[string]string {
	switch shape {
	case ShapeSplunk:
		return map[string]string{"Authorization": "Splunk " + token}
	case ShapeDatadog:
		return map[string]string{"Dd-Api-Key": token}
	case ShapeSegment: // the write key is the name, the password is empty
		return map[string]string{"Authorization": "Basic " + base64.StdEncoding.EncodeToString([]byte(token+":"))}
	}
	return nil
}

// change changes a saved endpoint in one transaction.
func (s *Service) change(ctx context.Context, tenant, id string, fn func(tx Tx, e *Endpoint, secrets *EndpointSecrets) error) (EndpointView, error) {
	var out EndpointView
	err := s.update(ctx, func(tx Tx) error {
		e, err := tx.Endpoint(tenant, id)
		if err != nil {
			return err
		}
		secrets, err := s.secrets(e)
		if err != nil {
			return err
		}
		if err := fn(tx, e, secrets); err != nil {
			return err
		}
		e.UpdatedAt = s.Now()
		if err := s.sealSecrets(e, secrets); err != nil {
			return err
		}
		if err := tx.UpdateEndpoint(e); err != nil {
			return err
		}
		out = view(e, secrets, s.Now())
		return nil
	})
	return out, err
}

func forget(e *Endpoint) { e.FailingSince, e.Failures, e.CountedAt = time.Time{}, 0, time.Time{} }

var errProblems = errors.New("deliveries: there are problems")

// errChanged is for people who changed something that is not there any more. It is not
// proof.ErrStale, as trying again would write over what somebody else did.
var errChanged = &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Field: "version", Message: "somebody changed this endpoint meanwhile"}

// Update changes an endpoint. A secret is new, and shown this one time, if it signs now
// and did not before.
func (s *Service) Update(ctx context.Context, tenant, id, actor string, in Input) (_ EndpointView, secret string, problems []Problem, err error) {
	out, err := s.change(ctx, tenant, id, func(tx Tx, e *Endpoint, secrets *EndpointSecrets) error {
		if in.Version != e.Version {
			return errChanged
		}
		if problems = check(in, e, secrets); len(problems) > 0 {
			return errProblems
		}
		before := *e
		full := target(Input{URL: e.URL}, e, secrets)
		secret = assign(e, secrets, in)
		if target(Input{URL: e.URL}, e, secrets) != full || !e.Disabled {
			forget(e) // what was before says nothing about what is now
		}
		detail := facts(e)
		detail["url_changed"] = strconv.FormatBool(target(Input{URL: e.URL}, e, secrets) != full)
		detail["was_disabled"] = strconv.FormatBool(before.Disabled)
		return s.audit(tx, tenant, actor, "endpoint.updated", "endpoint:"+e.ID, "", detail)
	})
	if errors.Is(err, errProblems) {
		return EndpointView{}, "", problems, nil
	}
	if err != nil {
		return EndpointView{}, "", nil, err
	}
	return out, secret, nil, nil
}

// Delete removes an endpoint. What still waits for it fails; the log stays.
func (s *Service) Delete(ctx context.Context, tenant, id, actor string) error {
	return s.update(ctx, func(tx Tx) error {
		e, err := tx.Endpoint(tenant, id)
		if err != nil {
			return err
		}
		if err := tx.DeleteEndpoint(tenant, id); err != nil {
			return err
		}
		return s.audit(tx, tenant, actor, "endpoint.deleted", "endpoint:"+id, "", facts(e))
	})
}

// Enable switches an endpoint on, whoever switched it off. What failed meanwhile is there
// to be replayed.
func (s *Service) Enable(ctx context.Context, tenant, id, actor string) (EndpointView, error) {
	return s.change(ctx, tenant, id, func(tx Tx, e *Endpoint, _ *EndpointSecrets) error {
		e.Disabled, e.Why = false, ""
		forget(e)
		return s.audit(tx, tenant, actor, "endpoint.enabled", "endpoint:"+e.ID, "", nil)
	})
}

const (
	maxOverlap = 7 * 24 * time.Hour
	maxSigning = 5
)

// Rotate makes a new signing secret of a kind ("hmac", "ed25519"), which is returned as
// by Create. The ones before it sign too for the overlap (0 to 168 h), so that the
// receiver can change over in its own time.
func (s *Service) Rotate(ctx context.Context, tenant, id, actor, kind string, overlap time.Duration) (_ EndpointView, secret string, err error) {
	if kind != "hmac" && kind != "ed25519" {
		return EndpointView{}, "", proof.Invalid("kind", "kind is hmac or ed25519")
	}
	if overlap < 0 || overlap > maxOverlap {
		return EndpointView{}, "", proof.Invalid("overlap", "the overlap is 0 to 168 hours")
	}
	out, err := s.change(ctx, tenant, id, func(tx Tx, e *Endpoint, secrets *EndpointSecrets) error {
		if !e.Shape.Signs() {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: "requests of this shape are not signed"}
		}
		now := s.Now()
		ends := now.Add(overlap)
		var kept []Signing
		for _, old := range secrets.Signing {
			if old.Ends.IsZero() || old.Ends.After(ends) {
				old.Ends = ends
			}
			if now.Before(old.Ends) {
				kept = append(kept, old)
			}
		}
		if len(kept) >= maxSigning {
			return &proof.Error{Code: proof.CodeConflict, Reason: proof.ReasonInvalidRequest, Message: "five secrets sign already; wait until one has ended, or rotate without overlap"}
		}
		var one Signing
		one.Secret, secret = newSigning(kind)
		secrets.Signing = append([]Signing{one}, kept...)
		return s.audit(tx, tenant, actor, "endpoint.rotated", "endpoint:"+e.ID, "", map[string]string{"kind": kind, "overlap": overlap.String()})
	})
	if err != nil {
		return EndpointView{}, "", err
	}
	return out, secret, nil
}
