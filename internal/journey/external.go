package journey

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Descope is a tenant's Descope project, as far as the journey calls it. Its
// errors are *proof.Error: descope_refused if it said no and would say so again,
// and descope_unavailable, Temporary, if nobody knows what came of the call.
type Descope interface {
	// CompleteExternalAuth completes a request of the flow's External
	// Authentication action and returns where the browser goes: an absolute https
	// address, or http on loopback. Descope signs in whoever a.LoginID is.
	//
	// Whether completing twice is allowed there is not documented, so that the
	// effect is unknown after a crash.
	CompleteExternalAuth(ctx context.Context, a proof.ExternalAuth) (redirectURL string, err error)
}

// ExternalRules are a tenant's rules for the round trip through External
// Authentication.
type ExternalRules struct {
	Descope       Descope // nil: this tenant has none
	StayOnFailure bool    // after a failure Descope is never told, and the person stays on our page
}

// WayBack says how the browser that opened a link gets back into the flow.
type WayBack string

const (
	WayBackNone  WayBack = ""      // not by this: no round trip, not over, or another browser
	WayBackOpen  WayBack = "open"  // Return leads there
	WayBackAgain WayBack = "again" // likewise, but it was tried before: by a click, never by itself
	WayBackStay  WayBack = "stay"  // it failed, and the person is to stay
	WayBackLost  WayBack = "lost"  // there is none any more
)

const (
	returnPatience = 25 * time.Second // with one call of Descope, its retries included
	maxReturns     = 5                // such calls for one round trip
	returnTTL      = 10 * time.Minute // how long after its end a verified verification leads back; of a match it is ResultTTL
	nobody         = "kosmos-failed-" // followed by something random: a login id that is nobody's
)

var (
	errLinkPart  = &proof.Error{Code: proof.CodeInvalid, Reason: proof.ReasonLinkPart, Message: "this link opens only where a Descope flow sends the browser"}
	errNotReturn = &proof.Error{Code: proof.CodeConflict, Message: "there is no way back from here, or not yet"}
)

// mayReturn refuses a round trip that the caller may not ask for.
func (t *Tenant) mayReturn(c proof.Caller, n proof.Node, user, callback string) error {
	switch {
	case user == "":
		return proof.Invalid("user_identifier", "user_identifier is required with external_auth: it is who comes back signed in")
	case callback != "":
		return proof.Invalid("callback_url", "callback_url and external_auth exclude each other: the person returns to the flow")
	case !slices.Contains(c.ExternalAuth, n):
		return notAllowed("external_auth", "external_auth is not allowed for this caller at this node")
	case t.External.Descope == nil:
		return notAllowed("external_auth", "external_auth needs a Descope management key, and none is configured for this tenant")
	}
	return nil
}

func wanted(yes bool) proof.External {
	if !yes {
		return proof.External{}
	}
	return proof.External{Status: proof.ExternalWanted}
}

// trip is a verification or challenge, as its round trip sees it.
type trip struct {
	kind                        string // verification, challenge
	node                        proof.Node
	claim                       string // name of the claim with its id
	tenant, caller, id, subject string
	link                        *proof.Link
	external                    *proof.External
	sealedRequest               []byte

	over     bool // from here on what is below never changes
	good     bool // verified or match
	result   string
	reason   proof.Reason
	late     proof.Reason // what is the matter when somebody comes too late
	level    string
	finished time.Time
}

func tripOf(v *proof.Verification) *trip {
	return &trip{
		kind: "verification", node: proof.NodeIDV, claim: "kosmos_session", tenant: v.Tenant, caller: v.Caller, id: v.ID, subject: v.Subject,
		link: &v.Link, external: &v.External, sealedRequest: v.SealedRequest, over: v.Status.Terminal(), good: v.Status == proof.Verified, result: string(v.Status), reason: v.Reason,
		late: proof.ReasonTimeLimit, level: v.IALLevel, finished: v.FinishedAt,
	}
}

func tripOfChallenge(c *proof.Challenge) *trip {
	p := &trip{
		kind: "challenge", node: proof.NodeStepUp, claim: "kosmos_challenge", tenant: c.Tenant, caller: c.Caller, id: c.ID, subject: c.Subject,
		link: &c.Link, external: &c.External, sealedRequest: c.SealedRequest, over: c.Status.Terminal(), good: c.Status == proof.ChallengeMatch, result: string(c.Status), reason: c.Reason,
		late: proof.ReasonChallengeUsed, finished: c.FinishedAt,
	}
	if c.Status == proof.ChallengeFailed {
		p.result = "error" // as the result node says it
	}
	return p
}

func (p *trip) place(column string) Place {
	return Place{Tenant: p.tenant, Subject: p.subject, Table: p.kind + "s", Column: column, Row: p.id}
}

// ttl is how long a good end leads back. What the return needs is kept as long.
func (p *trip) ttl(t *Tenant) time.Duration {
	if p.kind == "challenge" {
		return t.StepUp.ResultTTL
	}
	return returnTTL
}

// keep is how long the data of an ended trip stays: not shorter than it is needed
// for the way back.
func (p *trip) keep(t *Tenant) time.Duration {
	if p.external.Status == "" {
		return t.Retention
	}
	return max(t.Retention, p.ttl(t))
}

// claims is what Descope is told besides a login id. It may end up in a token that
// the browser sees, so it holds nothing personal, and not how close a face came.
func (p *trip) claims() map[string]string {
	c := map[string]string{"kosmos_result": p.result, p.claim: p.id, "completed_at": p.finished.UTC().Format(time.RFC3339)}
	if p.level != "" && p.good {
		c["kosmos_ial"] = p.level
	}
	switch p.reason {
	case "":
	case proof.ReasonFaceUncertain:
		c["kosmos_reason"] = string(proof.ReasonFaceMismatch)
	default:
		c["kosmos_reason"] = string(p.reason)
	}
	return c
}

// bind keeps the id of Descope's request that the link was opened with.
func (s *Service) bind(tx Tx, p *trip, request string) error {
	if p.external.Status != proof.ExternalWanted {
		return nil
	}
	p.external.Status = proof.ExternalBound
	if err := s.keepReturn(tx, p, proof.ExternalReturn{RequestID: request}); err != nil {
		return err
	}
	return s.auditTrip(tx, p, "person", "external_bound", "", nil)
}

func (s *Service) keepReturn(tx Tx, p *trip, r proof.ExternalReturn) error {
	subject, err := tx.Subject(p.tenant, p.subject)
	if err != nil {
		return err
	}
	plain, err := json.Marshal(r)
	if err != nil {
		return fmt.Errorf("encoding the way back: %w", err)
	}
	if p.external.Sealed, err = s.Vault.Seal(subject.WrappedKey, p.place("external"), plain); err != nil {
		return fmt.Errorf("sealing the way back of %s %s: %w", p.kind, p.id, err)
	}
	return nil
}

func (s *Service) auditTrip(tx Tx, p *trip, actor, action string, r proof.Reason, detail map[string]string) error {
	return s.record(tx, p.tenant, actor, p.kind+"."+action, p.kind+":"+p.id, r, detail)
}

// wayBack says how a trip leads back now, for the browser that opened the link,
// and for WayBackLost why it does not any more.
func (s *Service) wayBack(t *Tenant, p *trip) (WayBack, proof.Reason) {
	e, completed := p.external, p.external.Status == proof.ExternalCompleted
	switch {
	case !p.over || e.Status == "" || e.Status == proof.ExternalWanted:
		return WayBackNone, ""
	case t.External.Descope == nil:
		return WayBackLost, proof.ReasonDescopeUnavailable
	case !s.stillMay(p):
		return WayBackLost, proof.ReasonNotAllowed
	case e.Status == proof.ExternalRefused:
		return WayBackLost, proof.ReasonDescopeRefused
	case e.Sealed == nil:
		return WayBackLost, proof.ReasonDataPurged
	case p.good && !s.Now().Before(p.finished.Add(p.ttl(t))):
		return WayBackLost, p.late
	case !p.good && t.External.StayOnFailure:
		return WayBackStay, ""
	case e.Attempts >= maxReturns && !completed:
		return WayBackLost, proof.ReasonDescopeUnavailable
	case e.Attempts > 0 && !completed:
		return WayBackAgain, ""
	}
	return WayBackOpen, ""
}

// stillMay reports whether the caller that began a trip may still do so: an
// operator who takes that right away means the trips under way as well.
func (s *Service) stillMay(p *trip) bool {
	c, ok := s.Callers(p.tenant, p.caller)
	return ok && slices.Contains(c.ExternalAuth, p.node)
}

// changeTrip is change and changeChallenge, as a round trip needs them.
type changeTrip func(ctx context.Context, id string, fn func(tx Tx, p *trip) (bool, error)) error

// Return takes the browser that opened the link of a verification back into the
// Descope flow: Descope is told how it ended, and says where the browser goes. The
// answer is a bearer address. Repeating it gives the same address; of a call whose
// outcome nobody knows, it is another try.
func (s *Service) Return(ctx context.Context, id, browser string) (redirectURL string, err error) {
	return s.goBack(ctx, id, browser, func(ctx context.Context, id string, fn func(Tx, *trip) (bool, error)) error {
		_, err := s.change(ctx, id, func(tx Tx, v *proof.Verification) (bool, error) { return fn(tx, tripOf(v)) })
		return err
	})
}

// ReturnChallenge is Return for a challenge.
func (s *Service) ReturnChallenge(ctx context.Context, id, browser string) (redirectURL string, err error) {
	c, _, err := s.findChallenge(ctx, id)
	if err == nil {
		_, err = s.timeOut(ctx, c) // only what is stored is told
	}
	if err != nil {
		return "", err
	}
	return s.goBack(ctx, id, browser, func(ctx context.Context, id string, fn func(Tx, *trip) (bool, error)) error {
		_, err := s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (bool, error) { return fn(tx, tripOfChallenge(c)) })
		return err
	})
}

// goBack sees whose browser it is, and lets all tabs of it that come at once wait
// for one call.
func (s *Service) goBack(ctx context.Context, id, browser string, change changeTrip) (string, error) {
	if err := change(ctx, id, func(_ Tx, p *trip) (bool, error) {
		if !sameHash(p.link.BrowserHash, browser) { // a phone neither: the flow waits where the person began
			return false, errLinkEnded
		}
		return false, nil
	}); err != nil {
		return "", err
	}
	redirect, err, _ := s.returns.Do(id, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), returnPatience) // others may wait for it too
		defer cancel()
		return s.complete(ctx, id, change)
	})
	if err != nil {
		return "", err
	}
	return redirect.(string), nil
}

// complete writes down what Descope is to be told, tells it, and writes down what
// came of it.
func (s *Service) complete(ctx context.Context, id string, change changeTrip) (string, error) {
	var back proof.ExternalReturn
	var tenant *Tenant
	done := false
	err := change(ctx, id, func(tx Tx, p *trip) (bool, error) {
		back = proof.ExternalReturn{}
		var err error
		if tenant, err = s.tenant(p.tenant); err != nil {
			return false, err
		}
		switch way, reason := s.wayBack(tenant, p); way {
		case WayBackOpen, WayBackAgain:
		case WayBackLost:
			return false, &proof.Error{Code: proof.CodeForbidden, Reason: reason, Message: "there is no way back any more"}
		default:
			return false, errNotReturn
		}
		subject, err := tx.Subject(p.tenant, p.subject)
		if err != nil {
			return false, err
		}
		if err := s.openTrip(subject, p, "external", p.external.Sealed, &back); err != nil {
			return false, err
		}
		e := p.external
		if done = e.Status == proof.ExternalCompleted; done {
			return false, nil
		}
		if !e.AskedAt.IsZero() && s.Now().Before(e.AskedAt.Add(returnPatience)) {
			return false, &proof.Error{
				Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, RetryAfter: e.AskedAt.Add(returnPatience).Sub(s.Now()),
				Message: "Descope is being told by another process, or was by one that died",
			}
		}
		if back.LoginID == "" {
			if back.LoginID, err = s.whoReturns(subject, p); err != nil {
				return false, err
			}
			back.Claims = p.claims()
		}
		e.Status, e.AskedAt = proof.ExternalAsked, s.Now()
		e.Attempts++
		if err := s.keepReturn(tx, p, back); err != nil {
			return false, err
		}
		return true, s.auditTrip(tx, p, "person", "return_asked", "", map[string]string{"result": p.result})
	})
	if err != nil || done {
		return back.RedirectURL, err
	}
	redirect, cause := tenant.External.Descope.CompleteExternalAuth(ctx, proof.ExternalAuth{RequestID: back.RequestID, LoginID: back.LoginID, Claims: back.Claims})
	return s.told(context.WithoutCancel(ctx), id, change, back, redirect, cause)
}

// whoReturns is the login id that Descope is told: the person whom the caller named,
// only after they were verified or their face matched, else nobody.
func (s *Service) whoReturns(subject *proof.Subject, p *trip) (string, error) {
	if !p.good {
		// Descope signs in whom it is told. A flow that forgets to look at the claims
		// must not let in the named person, so it gets somebody who does not exist.
		random, err := uuid.NewRandom()
		return nobody + random.String(), err
	}
	var named struct {
		UserIdentifier string `json:"user_identifier"`
	}
	if err := s.openTrip(subject, p, "request", p.sealedRequest, &named); err != nil {
		return "", err
	}
	if named.UserIdentifier == "" {
		return "", fmt.Errorf("%s %s has a way back and names nobody", p.kind, p.id)
	}
	return named.UserIdentifier, nil
}

func (s *Service) openTrip(subject *proof.Subject, p *trip, column string, sealed []byte, into any) error {
	plain, err := s.Vault.Open(subject.WrappedKey, p.place(column), sealed)
	if err == nil {
		err = json.Unmarshal(plain, into)
	}
	if err != nil {
		return fmt.Errorf("opening the %s of %s %s: %w", column, p.kind, p.id, err)
	}
	return nil
}

// told writes down what came of a call of Descope.
func (s *Service) told(ctx context.Context, id string, change changeTrip, back proof.ExternalReturn, redirect string, cause error) (string, error) {
	if e, ok := errors.AsType[*proof.Error](cause); cause != nil && !(ok && (e.Reason == proof.ReasonDescopeRefused || e.Reason == proof.ReasonDescopeUnavailable)) {
		cause = &proof.Error{Code: proof.CodeUnavailable, Reason: proof.ReasonDescopeUnavailable, Temporary: true, Message: "Descope could not be told", Err: cause}
	}
	reason := proof.ReasonOf(cause)
	erased := false
	err := change(ctx, id, func(tx Tx, p *trip) (bool, error) {
		e := p.external
		e.AskedAt = time.Time{}
		erased = e.Sealed == nil
		switch {
		case cause == nil:
			e.Status = proof.ExternalCompleted
			if !erased {
				back.RedirectURL = redirect
				if err := s.keepReturn(tx, p, back); err != nil {
					return false, err
				}
			}
			return true, s.auditTrip(tx, p, "person", "return_completed", "", map[string]string{"result": p.result})
		case reason == proof.ReasonDescopeRefused && e.Status == proof.ExternalAsked: // another process may have been luckier
			e.Status = proof.ExternalRefused
			return true, s.auditTrip(tx, p, "person", "return_refused", reason, nil)
		}
		return true, s.auditTrip(tx, p, "person", "return_unknown", reason, nil)
	})
	switch {
	case cause != nil:
		s.Logger.WarnContext(ctx, "Descope could not be told how a round trip ended", "id", id, "reason", reason, "error", errors.Join(cause, err))
		return "", cause
	case err != nil:
		return "", err
	case erased: // nobody goes on in the name of somebody who was forgotten
		return "", &proof.Error{Code: proof.CodeForbidden, Reason: proof.ReasonErased, Message: "the subject was erased"}
	}
	return redirect, nil
}
