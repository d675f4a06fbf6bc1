package hooks

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/deliveries"
	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// key is the idempotency key of what the action starts: the same however often it runs.
func (d *deed) key() string {
	return "hook:" + d.work.Event + ":" + d.work.Rule + ":" + strconv.Itoa(d.work.Index)
}

// identifier is the login id by which the customer, and so Descope, knows the person: of
// an event of ours the user identifier that the verification or challenge was asked for, of
// Descope's the first login id, or the user id where it names none; "" for nobody.
func (d *deed) identifier(ctx context.Context) (string, error) {
	if d.content.Subject != "" {
		id, err := d.Journey.Identifier(ctx, d.tenant.ID, d.content.Subject)
		if proof.CodeOf(err) == proof.CodeNotFound {
			return "", nil
		}
		return id, err
	}
	if id := firstLogin(d.content); id != "" {
		return id, nil
	}
	return d.content.UserID, nil
}

// caller is as whom something is started.
func (d *deed) caller() (proof.Caller, bool) {
	if d.action.Caller == "" {
		return d.tenant.Caller, d.tenant.Caller.ID != ""
	}
	return d.Callers(d.tenant.ID, d.action.Caller)
}

// started is a link and what it leads to.
type started struct {
	kind    string // verification, challenge
	id, url string
	ends    time.Time
	over    bool
}

// start begins something for the person of the event, in the name of a caller, and
// delivers its link.
func (d *deed) start(ctx context.Context, begin func(who string, c proof.Caller) (_ started, refused proof.Reason, err error)) (done, error) {
	who, err := d.identifier(ctx)
	if err != nil {
		return done{}, err
	}
	caller, ok := d.caller()
	switch {
	case who == "":
		return skipped(ReasonNobody), nil
	case !ok:
		return failed(ReasonNotConfigured), nil
	}
	begun, refused, err := begin(who, caller)
	switch {
	case err != nil:
		return done{}, err
	case refused != "":
		return failed(refused), nil
	}
	return d.deliver(ctx, who, begun)
}

func (d *deed) startVerification(ctx context.Context) (done, error) {
	return d.start(ctx, func(who string, c proof.Caller) (started, proof.Reason, error) {
		v, err := d.Journey.Start(ctx, c, journey.StartRequest{
			IdempotencyKey: d.key(),
			Request:        proof.Request{UserIdentifier: who, Metadata: map[string]string{"event": d.work.Event, "rule": d.work.Rule}},
		})
		return started{"verification", v.SessionID, v.SessionURL, v.ExpiresAt, v.Status.Terminal()}, "", err
	})
}

func (d *deed) startChallenge(ctx context.Context) (done, error) {
	return d.start(ctx, func(who string, c proof.Caller) (started, proof.Reason, error) {
		x, err := d.Journey.StartChallenge(ctx, c, journey.ChallengeStart{
			IdempotencyKey: d.key(),
			Request:        proof.ChallengeRequest{UserIdentifier: who, Transaction: d.action.Text},
		})
		return started{"challenge", x.ChallengeID, x.ChallengeURL, x.ExpiresAt, x.Status.Terminal()}, x.Refused, err
	})
}

// deliver brings a link to the person.
func (d *deed) deliver(ctx context.Context, who string, s started) (done, error) {
	out := done{state: WorkDone, note: s.kind + " " + s.id}
	if s.over || !d.Now().Before(s.ends) {
		return failed(proof.ReasonTimeLimit), nil // a link that opens nothing is not sent
	}
	switch d.action.Deliver {
	case DeliverMessage:
		if d.tenant.Messages == nil {
			return failed(ReasonNotConfigured), nil
		}
		to, err := d.address(ctx, who)
		if err != nil || to == "" {
			return failed(ReasonNoAddress), err
		}
		if err := d.begin(ctx); err != nil {
			return done{}, err
		}
		return out, d.tenant.Messages.SendLink(ctx, to, s.url, d.key())
	case DeliverFlow:
		if d.tenant.Project == nil {
			return failed(ReasonNotConfigured), nil
		}
		if err := d.begin(ctx); err != nil {
			return done{}, err
		}
		input := map[string]any{"session_url": s.url, "session_id": s.id, "login_id": who, "rule": d.work.Rule}
		if s.kind == "challenge" {
			input = map[string]any{"challenge_url": s.url, "challenge_id": s.id, "login_id": who, "rule": d.work.Rule}
		}
		return out, d.tenant.Project.RunFlow(ctx, d.action.Flow, input)
	}
	link := map[string]any{"session_url": s.url, "session_id": s.id, "expires_at": stamp(s.ends)}
	if s.kind == "challenge" {
		link = map[string]any{"challenge_url": s.url, "challenge_id": s.id, "expires_at": stamp(s.ends)}
	}
	var err error
	out.tell, err = d.draft(ctx, link)
	return out, err
}

// address is where mail for the person goes: their login id if it is an address, else the
// address at Descope, if it was verified there.
func (d *deed) address(ctx context.Context, who string) (string, error) {
	if isAddress(who) {
		return who, nil
	}
	if to := firstAddress(d.content); to != "" {
		return to, nil
	}
	if d.tenant.Project == nil {
		return "", nil
	}
	u, err := d.tenant.Project.User(ctx, who)
	if proof.CodeOf(err) == proof.CodeNotFound || err == nil && !u.Verified {
		return "", nil
	}
	return u.Email, err
}

// changeUser does what is one call to Descope, and the same again if it is repeated.
func (d *deed) changeUser(ctx context.Context) (done, error) {
	who, err := d.identifier(ctx)
	switch {
	case err != nil:
		return done{}, err
	case d.tenant.Project == nil:
		return failed(ReasonNotConfigured), nil
	case who == "":
		return skipped(ReasonNobody), nil
	}
	switch d.action.Do {
	case WriteStatus:
		err = d.tenant.Project.SetStatus(ctx, who, d.action.Status)
	case AddRoles:
		err = d.tenant.Project.AddRoles(ctx, who, d.action.Roles)
	case RemoveRoles:
		err = d.tenant.Project.RemoveRoles(ctx, who, d.action.Roles)
	case RevokeSessions:
		err = d.tenant.Project.Logout(ctx, who)
	}
	return done{state: WorkDone, note: d.action.Words()}, err
}

// writeAttributes writes what the expressions give. An empty text removes an attribute;
// what cannot be told is not touched.
func (d *deed) writeAttributes(ctx context.Context) (done, error) {
	who, err := d.identifier(ctx)
	switch {
	case err != nil:
		return done{}, err
	case d.tenant.Project == nil:
		return failed(ReasonNotConfigured), nil
	case who == "":
		return skipped(ReasonNobody), nil
	}
	mapping := d.action.Attributes
	if len(mapping) == 0 {
		mapping = d.tenant.Mapping
	}
	expressions, problems := compileMapping(mapping)
	if len(problems) > 0 {
		return failed(ReasonNotConfigured), nil // of a newer version of the program
	}
	reads := func(names []string) bool {
		for _, e := range expressions {
			if slices.ContainsFunc(e.Names(), func(n string) bool { return slices.Contains(names, n) }) {
				return true
			}
		}
		return false
	}
	x := &seen{event: d.event, content: d.content}
	if d.event.Action == VerificationEnded && d.event.Source == SourceHere {
		superseded, err := d.readResult(ctx, x, reads)
		if err != nil || superseded {
			return skipped(ReasonSuperseded), err
		}
	}
	t, err := values()
	if err != nil {
		return done{}, err
	}
	patch := map[string]any{}
	for name, e := range expressions {
		switch v, err := t.eval(e, x); {
		case err != nil: // cannot be told
		case v == any(""):
			patch[name] = nil
		default:
			patch[name] = v
		}
	}
	if len(patch) == 0 {
		return skipped(ReasonNothingToDo), nil
	}
	return done{state: WorkDone, note: fmt.Sprintf("%d attributes", len(patch))}, d.tenant.Project.PatchAttributes(ctx, who, patch)
}

// readResult reads what the verification of the event came to. What a newer verification
// of the person says is not overwritten by an older one whose turn came late: superseded.
func (d *deed) readResult(ctx context.Context, x *seen, reads func(names []string) bool) (superseded bool, err error) {
	var v *proof.Verification
	err = d.Store.ViewHooks(ctx, func(tx Tx) error {
		if v, err = tx.Verification(d.tenant.ID, d.content.Object); err != nil {
			return err
		}
		list, err := tx.VerificationsOf(d.tenant.ID, v.Subject)
		superseded = slices.ContainsFunc(list, func(o *proof.Verification) bool {
			return o.ID != v.ID && o.Status == proof.Verified && o.FinishedAt.After(v.FinishedAt)
		})
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return false, nil
	}
	if err != nil || superseded {
		return superseded, err
	}
	if v.Subject != d.content.Subject || !v.Status.Terminal() {
		return false, nil
	}
	x.result = &result{verification: v}
	caller, ok := d.Callers(d.tenant.ID, v.Caller)
	var claims []string
	for _, name := range journey.ClaimNames() {
		claims = append(claims, "result."+name)
	}
	if !ok || !reads(claims) {
		return false, nil
	}
	view, err := d.Journey.Result(ctx, caller, v.ID, "")
	if proof.CodeOf(err) == proof.CodeNotFound {
		return false, nil
	}
	if err == nil {
		x.result.claims = &view.Outcome.Claims
	}
	return false, err
}

// auditLooks is for how long after an entry may have been written it is looked for before
// it is written again: Descope's trail is behind.
const auditLooks = 5 * time.Minute

// writeAudit writes an entry to Descope's trail. Written twice it would be there twice, so
// a repetition looks for it first: it carries the id of the work.
func (d *deed) writeAudit(ctx context.Context) (done, error) {
	p := d.tenant.Project
	if p == nil {
		return failed(ReasonNotConfigured), nil
	}
	if !d.work.Begun.IsZero() {
		there, err := d.written(ctx, d.work.Begun)
		if err != nil {
			return done{}, err
		}
		if there {
			return done{state: WorkDone, note: "entry " + d.action.Type}, nil
		}
		if wait := d.work.Begun.Add(auditLooks).Sub(d.Now()); wait > 0 {
			return done{}, &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, RetryAfter: wait,
				Message: "whether the entry was written will show in Descope's audit trail"}
		}
	}
	entry := AuditEvent{Action: d.action.Type, UserID: d.content.UserID, ActorID: "kosmoscope", Type: "info", Data: map[string]any{"work": d.work.ID, "rule": d.work.Rule}}
	if len(d.content.Tenants) > 0 {
		entry.TenantID = d.content.Tenants[0]
	}
	if d.event.Source == SourceHere {
		for _, name := range []string{"status", "result", "reason", "ial_level"} {
			if v, ok := d.content.Data[name].(string); ok && v != "" {
				entry.Data[name] = v
			}
		}
	}
	if entry.UserID == "" {
		who, err := d.identifier(ctx)
		if err != nil {
			return done{}, err
		}
		if who == "" {
			return skipped(ReasonNobody), nil
		}
		u, err := p.User(ctx, who)
		if err != nil {
			return done{}, err
		}
		entry.UserID = u.UserID
	}
	if err := d.change(ctx, d.work, func(_ Tx, w *Work) error {
		w.Begun = d.Now()
		return nil
	}); err != nil {
		return done{}, err
	}
	err := p.AuditEvent(ctx, entry)
	if unsent(err) {
		d.work.Begun = time.Time{} // nobody has to look for it
	}
	return done{state: WorkDone, note: "entry " + d.action.Type}, err
}

// maxAuditPages bounds the look for one entry.
const maxAuditPages = 5

// written looks whether the entry of the work is in Descope's trail.
func (d *deed) written(ctx context.Context, begun time.Time) (bool, error) {
	for page := range maxAuditPages {
		list, more, err := d.tenant.Project.AuditSince(ctx, begun.Add(-time.Minute), begun.Add(auditLooks), page)
		if err != nil {
			return false, err
		}
		if slices.ContainsFunc(list, func(t Told) bool { return t.Action == d.action.Type && t.Content.Data["work"] == d.work.ID }) {
			return true, nil
		}
		if !more {
			break
		}
	}
	return false, nil
}

// erase forgets here whom Descope has deleted: each identifier that the event names, and
// what events say of them. An identifier is looked for as one and as nothing else, as
// people may choose it: it could be somebody else's id here.
func (d *deed) erase(ctx context.Context) (done, error) {
	var subjects []string
	var lookups [][]byte
	if err := d.Store.ViewHooks(ctx, func(tx Tx) error {
		subjects, lookups = nil, nil
		if d.content.Subject != "" {
			s, err := tx.Subject(d.tenant.ID, d.content.Subject)
			if err != nil {
				return err
			}
			if s.ErasedAt.IsZero() {
				subjects = append(subjects, s.ID)
				if len(s.Lookup) > 0 {
					lookups = append(lookups, bytes.Clone(s.Lookup))
				}
			}
			return nil
		}
		for _, id := range append(slices.Clone(d.content.LoginIDs), d.content.UserID) {
			if id == "" {
				continue
			}
			lookup := d.Journey.Lookup(d.tenant.ID, id)
			lookups = append(lookups, lookup)
			s, err := tx.SubjectByLookup(d.tenant.ID, lookup)
			if errors.Is(err, proof.ErrNotFound) {
				continue
			}
			if err != nil {
				return err
			}
			subjects = append(subjects, s.ID)
		}
		return nil
	}); err != nil {
		return done{}, err
	}
	for _, id := range slices.Compact(slices.Sorted(slices.Values(subjects))) {
		if _, err := d.Journey.Erase(ctx, d.tenant.ID, id); err != nil && !errors.Is(err, proof.ErrNotFound) {
			return done{}, err
		}
	}
	out := done{state: WorkDone, with: func(tx Tx) error {
		for _, l := range lookups {
			if _, err := tx.ForgetEvents(d.tenant.ID, l); err != nil {
				return err
			}
		}
		return nil
	}}
	if len(subjects) == 0 {
		out.state, out.reason = WorkSkipped, ReasonNobody
	}
	return out, nil
}

// draft is the message of an action. link is what only such a message brings.
func (d *deed) draft(ctx context.Context, link map[string]any) (*deliveries.Draft, error) {
	kind := d.action.Type
	if kind == "" {
		kind = "hook." + d.work.Rule
	}
	text := d.action.Text
	if text == "" {
		text = fmt.Sprintf("The rule %s fired on %s.", d.work.Rule, d.event.Action)
	}
	event := map[string]any{"id": d.event.ID, "action": d.event.Action, "occurred_at": d.event.OccurredAt.UTC().Format(time.RFC3339Nano)}
	data := map[string]any{"rule": d.work.Rule, "event": event}
	if d.event.Source == SourceHere {
		for _, name := range []string{"status", "result", "reason", "ial_level", "caller"} {
			if v, ok := d.content.Data[name].(string); ok && v != "" {
				event[name] = v
			}
		}
		if d.content.Object != "" {
			event["object"] = d.content.Object
		}
	}
	subject := d.work.Subject
	if d.event.Action == SubjectErased && d.event.Source == SourceHere {
		subject = "" // there is no key left to seal it under, and nothing personal in it
	}
	who, err := d.identifier(ctx)
	if err != nil {
		return nil, err
	}
	if who != "" {
		data["login_id"] = who
	}
	if d.content.UserID != "" {
		data["user_id"] = d.content.UserID
	}
	if subject != "" {
		data["subject"] = subject
	}
	for name, v := range link {
		data[name] = v
	}
	return &deliveries.Draft{Tenant: d.tenant.ID, Type: kind, Subject: subject, Text: text, Data: data}, nil
}
