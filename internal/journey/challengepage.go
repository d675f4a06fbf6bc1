package journey

import (
	"context"
	"crypto/subtle"
	"errors"
	"net/netip"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// OpenChallenge lets a browser in by the secret of the link, as Open does. from is
// where the request came from; how often one network may try is limited.
func (s *Service) OpenChallenge(ctx context.Context, id, secret, browser, request string, from netip.Addr) (ChallengeView, string, error) {
	var cookie string
	c, err := s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (changed bool, err error) {
		if cookie, changed, err = enter(&c.Link, &c.External, secret, browser, request, c.Status.Terminal(), s.Now()); err != nil || !changed {
			return false, err
		}
		if err := s.admitNetwork(tx, c, from); err != nil {
			return false, err
		}
		c.Network = s.networkKey(c.Tenant, from)
		if err := s.auditChallenge(tx, c, "person", "challenge.opened", "", nil); err != nil {
			return false, err
		}
		if err := s.bind(tx, tripOfChallenge(c), request); err != nil {
			return false, err
		}
		return true, s.pollNow(tx, c)
	})
	if err != nil {
		return ChallengeView{}, "", err
	}
	s.Wake()
	view, err := s.viewChallenge(ctx, c, cookie)
	return view, cookie, err
}

// admitNetwork counts one opening from a network and refuses when there were too many.
func (s *Service) admitNetwork(tx Tx, c *proof.Challenge, from netip.Addr) error {
	t, err := s.tenant(c.Tenant)
	if err != nil {
		return err
	}
	key, now := s.networkKey(c.Tenant, from), s.Now()
	for _, l := range []struct {
		name string
		Limit
	}{{limitNetworkOpens, t.StepUp.Limits.NetworkOpens}, {limitNetworkFailures, t.StepUp.Limits.NetworkFailures}} {
		full, err := reached(tx, c.Tenant, l.name, l.Limit, now, key)
		if err != nil {
			return err
		}
		if full != nil {
			return &proof.Error{Code: proof.CodeRateLimited, Reason: proof.ReasonTooManyAttempts, Message: "too many attempts from this network", RetryAfter: l.Per}
		}
	}
	return tx.Hit(c.Tenant, limitNetworkOpens, key, now)
}

// Network is what counts as one network where strangers are bounded: 256 addresses of
// IPv4, what one customer of a provider usually has of IPv6. Everybody without an address
// is in one network, the zero one.
func Network(from netip.Addr) netip.Prefix {
	bits := 24
	if from = from.Unmap(); from.Is6() {
		bits = 56
	}
	network, err := from.WithZone("").Prefix(bits)
	if err != nil {
		return netip.Prefix{}
	}
	return network
}

// networkKey names the network that an address is in.
func (s *Service) networkKey(tenant string, from netip.Addr) []byte {
	return s.limitKey(tenant, "network\x00"+Network(from).String())
}

// ViewChallenge is what a browser that was let in may know now. If the upstream
// session has ended without an answer, another one is opened.
func (s *Service) ViewChallenge(ctx context.Context, id, browser string) (ChallengeView, error) {
	c, subject, err := s.findChallenge(ctx, id)
	if err != nil {
		return ChallengeView{}, err
	}
	if !belongs(&c.Link, browser) {
		return ChallengeView{}, errLinkEnded
	}
	if c, err = s.timeOut(ctx, c); err != nil {
		return ChallengeView{}, err
	}
	if s.sessionOver(c) {
		if _, busy := s.opening.LoadOrStore(id, true); !busy {
			defer s.opening.Delete(id)
			asking, cancel := context.WithTimeout(ctx, opening)
			defer cancel()
			// What is in the way is in the challenge then, and the job goes on trying.
			if polled, _, err := s.pollChallenge(asking, c, subject); err == nil {
				c = polled
			}
		}
	}
	return s.showChallenge(c, subject, browser)
}

// sessionOver reports whether a pending challenge has no upstream session that
// could still be answered.
func (s *Service) sessionOver(c *proof.Challenge) bool {
	now := s.Now()
	if c.Status != proof.ChallengePending || !now.Before(c.ExpiresAt) {
		return false
	}
	return c.SealedSession == nil && c.SessionEnds.IsZero() || !c.SessionEnds.IsZero() && !now.Before(c.SessionEnds)
}

// DeclineChallenge ends the challenge because the person says that they did not
// ask for it.
func (s *Service) DeclineChallenge(ctx context.Context, id, browser string) (ChallengeView, error) {
	c, err := s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (bool, error) {
		if !belongs(&c.Link, browser) {
			return false, errLinkEnded
		}
		if c.Status.Terminal() {
			return false, nil
		}
		return true, s.finishChallenge(tx, c, "person", proof.Verdict{Status: proof.ChallengeFailed, Reason: proof.ReasonDeclined})
	})
	if err != nil {
		return ChallengeView{}, err
	}
	return s.viewChallenge(ctx, c, browser)
}

// HandoverChallenge makes the secret of a link that is short enough to be typed
// into a phone. It is good once; a new one ends the one before.
func (s *Service) HandoverChallenge(ctx context.Context, id, browser string) (secret string, expires time.Time, err error) {
	secret = newShortSecret()
	_, err = s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (bool, error) {
		now, _ := c.TimedOut(s.Now())
		if now.Status.Terminal() && sameHash(c.Link.BrowserHash, browser) {
			return false, &proof.Error{Code: proof.CodeConflict, Reason: now.Reason, Message: "this challenge has ended"}
		}
		expires = c.ExpiresAt
		if t, err := s.tenant(c.Tenant); err == nil && s.Now().Add(t.HandoverTTL).Before(expires) {
			expires = s.Now().Add(t.HandoverTTL)
		}
		first, err := offer(&c.Link, browser, secret, expires)
		if err != nil || !first { // a person may ask for many codes; the trail needs one
			return err == nil, err
		}
		return true, s.auditChallenge(tx, c, "person", "challenge.handover_offered", "", nil)
	})
	return secret, expires, err
}

// OpenChallengeHandover lets the phone in by the short link alone.
func (s *Service) OpenChallengeHandover(ctx context.Context, secret, browser string, from netip.Addr) (ChallengeView, string, error) {
	secret = plainSecret(secret)
	var id string
	err := s.Store.View(ctx, func(tx Tx) error {
		c, err := tx.ChallengeByHandover(hash(secret))
		if err == nil {
			id = c.ID
		}
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		return ChallengeView{}, "", errLinkEnded
	}
	if err != nil {
		return ChallengeView{}, "", err
	}
	var cookie string
	c, err := s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (changed bool, err error) {
		if cookie, changed, err = takeOver(&c.Link, secret, browser, c.Status.Terminal(), s.Now()); err != nil || !changed {
			return false, err
		}
		if err := s.admitNetwork(tx, c, from); err != nil {
			return false, err
		}
		return true, s.auditChallenge(tx, c, "person", "challenge.handed_over", "", nil)
	})
	if err != nil {
		return ChallengeView{}, "", err
	}
	view, err := s.viewChallenge(ctx, c, cookie)
	return view, cookie, err
}

// ReturnedToChallenge takes what the browser brought back from 1Kosmos, for ways
// that send it back. It is a hint until the job has asked 1Kosmos about it. What
// does not belong to the session that is open now is passed over.
func (s *Service) ReturnedToChallenge(ctx context.Context, id, browser string, returned map[string]string) (ChallengeView, error) {
	found, subject, err := s.findChallenge(ctx, id)
	if err != nil {
		return ChallengeView{}, err
	}
	if !belongs(&found.Link, browser) {
		return ChallengeView{}, errLinkEnded
	}
	c, err := s.changeChallenge(ctx, id, func(tx Tx, c *proof.Challenge) (bool, error) {
		if c.Status.Terminal() || c.SealedSession == nil {
			return false, nil
		}
		var session proof.StepUpSession
		if err := s.openJSON(subject, c, "session", c.SealedSession, &session); err != nil {
			return false, err
		}
		if session.State == "" || session.Returned != nil || subtle.ConstantTimeCompare([]byte(session.State), []byte(returned["state"])) != 1 {
			return false, nil
		}
		session.Returned = returned
		if err := s.keepSession(subject, c, OpenedStepUp{session, c.SessionEnds}); err != nil {
			return false, err
		}
		return true, s.pollNow(tx, c)
	})
	if err != nil {
		return ChallengeView{}, err
	}
	s.Wake()
	return s.showChallenge(c, subject, browser)
}

// findChallenge loads a challenge for a browser, which knows no tenant.
func (s *Service) findChallenge(ctx context.Context, id string) (c *proof.Challenge, subject *proof.Subject, err error) {
	err = s.Store.View(ctx, func(tx Tx) error {
		if c, err = challengeOfAnyTenant(tx, id); err != nil {
			return err
		}
		subject, err = tx.Subject(c.Tenant, c.Subject)
		return err
	})
	if errors.Is(err, proof.ErrNotFound) {
		err = errLinkEnded
	}
	return c, subject, err
}

func challengeOfAnyTenant(tx Tx, id string) (*proof.Challenge, error) {
	tenant, err := tx.TenantOfChallenge(id)
	if err != nil {
		return nil, err
	}
	return tx.Challenge(tenant, id)
}

// changeChallenge is change for challenges.
func (s *Service) changeChallenge(ctx context.Context, id string, fn func(tx Tx, c *proof.Challenge) (changed bool, err error)) (c *proof.Challenge, err error) {
	err = s.update(ctx, func(tx Tx) error {
		var err error
		if c, err = challengeOfAnyTenant(tx, id); err != nil {
			return err
		}
		changed, err := fn(tx, c)
		if err != nil || !changed {
			return err
		}
		return tx.UpdateChallenge(c)
	})
	if errors.Is(err, proof.ErrNotFound) {
		err = errLinkEnded
	}
	return c, err
}

func (s *Service) viewChallenge(ctx context.Context, c *proof.Challenge, browser string) (ChallengeView, error) {
	var subject *proof.Subject
	if err := s.Store.View(ctx, func(tx Tx) (err error) {
		subject, err = tx.Subject(c.Tenant, c.Subject)
		return err
	}); err != nil {
		return ChallengeView{}, err
	}
	return s.showChallenge(c, subject, browser)
}

// showChallenge makes what a browser may know out of what was read.
func (s *Service) showChallenge(c *proof.Challenge, subject *proof.Subject, browser string) (ChallengeView, error) {
	caller, _ := s.Callers(c.Tenant, c.Caller)
	now, _ := c.TimedOut(s.Now())
	v := ChallengeView{
		ID: c.ID, Application: caller.Application, Status: now.Status, Reason: now.Reason, Liveness: c.Liveness,
		Session: c.Sessions, ExpiresAt: c.ExpiresAt,
		Phone: sameHash(c.Link.PhoneHash, browser), HandedOver: c.Link.PhoneHash != nil,
	}
	if now.Status.Terminal() && c.CallbackURL != "" {
		v.ReturnURL = withQuery(c.CallbackURL, "challenge_id", c.ID)
	}
	if tenant, ok := s.tenants[c.Tenant]; ok && sameHash(c.Link.BrowserHash, browser) {
		v.WayBack, v.Lost = s.wayBack(tenant, tripOfChallenge(&now))
	}
	if !subject.ErasedAt.IsZero() || c.SealedRequest == nil {
		return v, nil
	}
	var r proof.ChallengeRequest
	if err := s.openJSON(subject, c, "request", c.SealedRequest, &r); err != nil {
		return ChallengeView{}, err
	}
	v.MaskedAccount, v.Transaction, v.ReasonCode = Mask(r.UserIdentifier), r.Transaction, r.ReasonCode
	if now.Status.Terminal() || c.SealedSession == nil || s.sessionOver(c) {
		return v, nil
	}
	var session proof.StepUpSession
	if err := s.openJSON(subject, c, "session", c.SealedSession, &session); err != nil {
		return ChallengeView{}, err
	}
	if session.Returned == nil { // else 1Kosmos has been answered there, and is being asked what came of it
		v.UpstreamURL, v.Scan, v.Returns, v.SessionEnds = session.URL, session.Scan, session.Returns, c.SessionEnds
	}
	return v, nil
}
