package journey

import (
	"context"
	"errors"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

const (
	patience  = 20 * time.Second // with one call of the upstream, waiting for a turn included
	maxStarts = 20               // failed attempts to open an upstream session; then the verification has failed
)

// Open lets a browser in by the secret of the link. The first browser that
// opens it is the one it belongs to from then on. request is the external_auth_req_id
// that it brings, "" if none; a link into a Descope flow needs one. Open returns the
// value that the browser's cookie is to have.
func (s *Service) Open(ctx context.Context, id, secret, browser, request string) (HandoffView, string, error) {
	var cookie string
	v, err := s.change(ctx, id, func(tx Tx, v *proof.Verification) (changed bool, err error) {
		if cookie, changed, err = enter(&v.Link, &v.External, secret, browser, request, v.Status.Terminal(), s.Now()); err != nil || !changed {
			return false, err
		}
		if err := s.audit(tx, v.Tenant, "person", "verification.opened", v.ID, "", nil); err != nil {
			return false, err
		}
		return true, s.bind(tx, tripOf(v), request)
	})
	if err != nil {
		return HandoffView{}, "", err
	}
	view, err := s.view(ctx, v, cookie)
	return view, cookie, err
}

// View is what a browser that was let in may know now.
func (s *Service) View(ctx context.Context, id, browser string) (HandoffView, error) {
	v, subject, err := s.find(ctx, id)
	if err != nil {
		return HandoffView{}, err
	}
	if !belongs(&v.Link, browser) {
		return HandoffView{}, errLinkEnded
	}
	return s.show(v, subject, browser)
}

// Consent records the person's consent and opens the upstream session. A second
// consent changes nothing. When the upstream cannot be reached the verification
// stays pending and may be tried again; when it refuses, it has failed.
func (s *Service) Consent(ctx context.Context, id, browser string, t proof.DocumentType) (HandoffView, error) {
	v, subject, err := s.find(ctx, id)
	if err != nil {
		return HandoffView{}, err
	}
	if !belongs(&v.Link, browser) {
		return HandoffView{}, errLinkEnded
	}
	if v.Status != proof.Pending {
		return s.show(v, subject, browser)
	}
	tenant, err := s.tenant(v.Tenant)
	if err != nil {
		return HandoffView{}, err
	}
	if t == "" && len(v.DocumentTypes) == 1 {
		t = v.DocumentTypes[0]
	}
	if !slices.Contains(v.DocumentTypes, t) && (t != "" || tenant.Upstream.ChoiceNeeded()) {
		return HandoffView{}, proof.Invalid("document_type", "choose one of the documents on the page")
	}
	if !tenant.Upstream.ChoiceNeeded() && len(v.DocumentTypes) > 1 {
		t = "" // the person chooses there, not here
	}
	if !s.Now().Before(v.ExpiresAt) {
		return HandoffView{}, errLinkEnded
	}
	if _, busy := s.opening.LoadOrStore(id, true); busy {
		return s.show(v, subject, browser) // another click is at it
	}
	defer s.opening.Delete(id)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	request, err := s.request(subject, v)
	if err != nil {
		return HandoffView{}, err
	}
	session, err := tenant.Upstream.Start(ctx, StartUpstream{
		Verification: v.ID, DocumentType: t, DocumentTypes: v.DocumentTypes, Liveness: v.Liveness,
		ReturnURL: s.PublicURL + "/v/" + v.ID, Request: request,
	})
	if err != nil {
		return s.startFailed(ctx, v, browser, err)
	}
	up := proof.Upstream{Profile: tenant.Upstream.Profile(), SessionID: session.SessionID, DVC: session.DVC, SessionHash: s.sessionHash(v.Tenant, session.SessionID)}
	if up.SealedURL, err = s.Vault.Seal(subject.WrappedKey, place(v, "upstream_url"), []byte(session.URL)); err != nil {
		return HandoffView{}, err
	}
	v, err = s.change(ctx, id, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status != proof.Pending {
			return false, nil // another click was quicker; our session is forgotten and expires upstream
		}
		if err := v.Begin(s.Now(), t, up); err != nil {
			return false, err
		}
		v.PollFailures = 0
		if err := s.audit(tx, v.Tenant, "person", "verification.consented", v.ID, "", map[string]string{"document_type": string(t), "consent_version": s.ConsentVersion}); err != nil {
			return false, err
		}
		return true, tx.Enqueue(proof.NewJob(v.Tenant, JobPoll, v.ID, s.Now().Add(tenant.PollFirst)))
	})
	if err != nil {
		return HandoffView{}, err
	}
	s.Wake()
	return s.view(ctx, v, browser)
}

// startFailed records why no upstream session could be opened.
func (s *Service) startFailed(ctx context.Context, v *proof.Verification, browser string, cause error) (HandoffView, error) {
	s.Logger.WarnContext(ctx, "upstream session not opened", "verification", v.ID, "reason", proof.ReasonOf(cause), "error", cause)
	var e *proof.Error
	ctx = context.WithoutCancel(ctx) // it is to be written down even if the person has gone
	temporary := errors.Is(cause, context.Canceled) || errors.Is(cause, context.DeadlineExceeded) || errors.As(cause, &e) && e.Temporary
	v, err := s.change(ctx, v.ID, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status != proof.Pending {
			return false, nil
		}
		if v.PollFailures++; temporary && v.PollFailures < maxStarts {
			if v.Reason == proof.ReasonOf(cause) {
				return true, nil
			}
			v.Reason = proof.ReasonOf(cause)
			return true, s.audit(tx, v.Tenant, "person", "verification.upstream_unreachable", v.ID, v.Reason, nil)
		}
		return true, s.finish(tx, v, "person", proof.Failed, proof.ReasonOf(cause))
	})
	if err != nil {
		return HandoffView{}, err
	}
	if temporary && v.Status == proof.Pending {
		return HandoffView{}, cause
	}
	return s.view(ctx, v, browser)
}

// Decline ends the verification because the person said no.
func (s *Service) Decline(ctx context.Context, id, browser string) (HandoffView, error) {
	v, err := s.change(ctx, id, func(tx Tx, v *proof.Verification) (bool, error) {
		if !belongs(&v.Link, browser) {
			return false, errLinkEnded
		}
		if v.Status.Terminal() {
			return false, nil
		}
		return true, s.finish(tx, v, "person", proof.Abandoned, proof.ReasonDeclined)
	})
	if err != nil {
		return HandoffView{}, err
	}
	return s.view(ctx, v, browser)
}

// Handover makes a link by which one phone can take over from the browser that
// opened the verification. It is good once and for a short time; a new one ends
// the one before.
func (s *Service) Handover(ctx context.Context, id, browser string) (secret string, expires time.Time, err error) {
	secret = newSecret()
	_, err = s.change(ctx, id, func(tx Tx, v *proof.Verification) (bool, error) {
		if v.Status.Terminal() && sameHash(v.Link.BrowserHash, browser) {
			return false, &proof.Error{Code: proof.CodeConflict, Reason: v.Reason, Message: "this verification has ended"}
		}
		tenant, err := s.tenant(v.Tenant)
		if err != nil {
			return false, err
		}
		expires = s.Now().Add(tenant.HandoverTTL)
		first, err := offer(&v.Link, browser, secret, expires)
		if err != nil || !first { // a person may ask for many codes; the trail needs one
			return err == nil, err
		}
		return true, s.audit(tx, v.Tenant, "person", "verification.handover_offered", v.ID, "", nil)
	})
	return secret, expires, err
}

// OpenHandover lets the phone in. browser is its cookie: the browser that made
// the code may open it too and stays what it is, and the code stays good.
func (s *Service) OpenHandover(ctx context.Context, id, secret, browser string) (HandoffView, string, error) {
	var cookie string
	v, err := s.change(ctx, id, func(tx Tx, v *proof.Verification) (changed bool, err error) {
		if cookie, changed, err = takeOver(&v.Link, secret, browser, v.Status.Terminal(), s.Now()); err != nil || !changed {
			return false, err
		}
		return true, s.audit(tx, v.Tenant, "person", "verification.handed_over", v.ID, "", nil)
	})
	if err != nil {
		return HandoffView{}, "", err
	}
	view, err := s.view(ctx, v, cookie)
	return view, cookie, err
}

// find loads a verification for a browser, which knows no tenant.
func (s *Service) find(ctx context.Context, id string) (v *proof.Verification, subject *proof.Subject, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		if v, err = ofAnyTenant(tx, id); err != nil {
			return err
		}
		subject, err = tx.Subject(v.Tenant, v.Subject)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		err = errLinkEnded
	}
	return v, subject, err
}

func ofAnyTenant(tx Tx, id string) (*proof.Verification, error) {
	tenant, err := tx.TenantOfVerification(id)
	if err != nil {
		return nil, err
	}
	return tx.Verification(tenant, id)
}

// change loads a verification, lets fn change it and, if fn says that it did,
// stores it, all in one transaction.
func (s *Service) change(ctx context.Context, id string, fn func(tx Tx, v *proof.Verification) (changed bool, err error)) (v *proof.Verification, err error) {
	err = s.update(ctx, func(tx Tx) error {
		var err error
		if v, err = ofAnyTenant(tx, id); err != nil {
			return err
		}
		changed, err := fn(tx, v)
		if err != nil || !changed {
			return err
		}
		return tx.UpdateVerification(v)
	})
	if errors.Is(err, proof.ErrNotFound) {
		err = errLinkEnded
	}
	return v, err
}

// view shows a verification that was just changed.
func (s *Service) view(ctx context.Context, v *proof.Verification, browser string) (HandoffView, error) {
	var subject *proof.Subject
	if err := s.Store.View(ctx, func(tx Tx) (err error) {
		subject, err = tx.Subject(v.Tenant, v.Subject)
		return err
	}); err != nil {
		return HandoffView{}, err
	}
	return s.show(v, subject, browser)
}

// show makes what a browser may know out of what was read.
func (s *Service) show(v *proof.Verification, subject *proof.Subject, browser string) (HandoffView, error) {
	tenant, err := s.tenant(v.Tenant)
	if err != nil {
		return HandoffView{}, err
	}
	caller, _ := s.Callers(v.Tenant, v.Caller)
	h := HandoffView{
		ID: v.ID, Application: caller.Application, ConsentText: caller.ConsentText, Status: v.Status, Reason: v.Reason,
		DocumentTypes: v.DocumentTypes, DocumentType: v.DocumentType, ChoiceNeeded: tenant.Upstream.ChoiceNeeded(),
		Liveness: v.Liveness, ReturnURL: returnURL(v), ExpiresAt: v.ExpiresAt,
		Phone: sameHash(v.Link.PhoneHash, browser), HandedOver: v.Link.PhoneHash != nil,
	}
	if sameHash(v.Link.BrowserHash, browser) {
		h.WayBack, h.Lost = s.wayBack(tenant, tripOf(v))
	}
	if !subject.ErasedAt.IsZero() {
		return h, nil
	}
	if subject.SealedIdentifier != nil {
		at := Place{Tenant: v.Tenant, Subject: subject.ID, Table: "subjects", Column: "identifier", Row: subject.ID}
		identifier, err := s.Vault.Open(subject.WrappedKey, at, subject.SealedIdentifier)
		if err != nil {
			return HandoffView{}, err
		}
		h.MaskedAccount = Mask(string(identifier))
	}
	if v.Status == proof.InProgress {
		u, err := s.Vault.Open(subject.WrappedKey, place(v, "upstream_url"), v.Upstream.SealedURL)
		if err != nil {
			return HandoffView{}, err
		}
		h.UpstreamURL = string(u)
	}
	return h, nil
}

// Mask shows enough of an account for its owner to recognise it and not enough
// for anybody else to learn it.
func Mask(account string) string {
	const dots = "•••"
	name, domain, mail := strings.Cut(account, "@")
	first, size := utf8.DecodeRuneInString(name)
	if mail && size > 0 {
		return string(first) + dots + "@" + domain
	}
	runes := []rune(account)
	if len(runes) < 8 {
		return string(runes[:min(1, len(runes))]) + dots
	}
	return string(runes[:2]) + dots + string(runes[len(runes)-2:])
}
