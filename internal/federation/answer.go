package federation

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/journey"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Answer is who a session's person is now. A session that has ended or expired, is
// another client's, or whose subject was erased is proof.ErrNotFound.
func (s *Service) Answer(ctx context.Context, a Ask, session string) (*Answer, error) {
	if _, err := s.tenant(&a); err != nil {
		return nil, err
	}
	a.complete()
	var found *Session
	err := s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		found, err = tx.FederationSessionByID(a.Tenant, session)
		return err
	})
	if err == nil && found.Client != a.ClientID {
		err = proof.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	return s.answer(ctx, &a, found)
}

func (s *Service) answer(ctx context.Context, a *Ask, session *Session) (*Answer, error) {
	now := s.Now()
	if !session.EndedAt.IsZero() || !now.Before(session.ExpiresAt) {
		return nil, proof.ErrNotFound
	}
	var who *proof.Subject
	var granted []*proof.Assurance
	err := s.Store.ViewFederation(ctx, func(tx Tx) (err error) {
		if who, err = tx.Subject(a.Tenant, session.Subject); err != nil {
			return err
		}
		granted, err = tx.AssurancesOf(a.Tenant, session.Subject)
		return err
	})
	if err == nil && !who.ErasedAt.IsZero() {
		err = proof.ErrNotFound
	}
	if err != nil {
		return nil, err
	}
	x := &Answer{
		Session: session.ID, Subject: session.Subject, AuthTime: session.AuthTime,
		Matched: session.Challenge != "", Proofed: session.Verification != "",
	}
	if x.Sub, err = s.sub(a.Client, session.Subject); err != nil {
		return nil, err
	}
	var notes SessionNotes
	if session.Sealed != nil {
		plain, err := s.OpenFor(who, tableSessions, "notes", session.ID, session.Sealed)
		if err == nil {
			err = json.Unmarshal(plain, &notes)
		}
		if err != nil {
			return nil, err
		}
		x.Matched = x.Matched || notes.Face
		// face and doc are words of ours: what 1Kosmos calls so may be of another day.
		x.AMR = slices.DeleteFunc(notes.AMR, func(m string) bool { return m == "doc" || m == "face" && !x.Matched })
	}
	if x.Matched {
		if x.Identifier, err = s.identifier(who); err != nil {
			return nil, err
		}
		if !slices.Contains(x.AMR, "face") {
			x.AMR = append(x.AMR, "face")
		}
	}
	level := func(l, source string, ends time.Time) {
		if (ends.IsZero() || now.Before(ends)) && levels[l] > levels[x.IALLevel] {
			x.IALLevel, x.IALSource, x.IALExpiresAt = l, source, ends
		}
	}
	for _, g := range granted {
		if g.RevokedAt.IsZero() {
			level(g.Level, g.Source, g.ExpiresAt)
		}
	}
	level(notes.IALLevel, "1kosmos_ial", notes.IALExpires)
	if x.Proofed {
		x.AMR = append(x.AMR, "doc")
		if err := s.proofed(ctx, a, session, x); err != nil {
			return nil, err
		}
	} else if notes.Claims != (proof.Claims{}) {
		x.Outcome.Claims = journey.Visible(notes.Claims, s.caller(a.Client).Claims)
	}
	x.settle(a)
	return x, nil
}

// proofed fills in what the verification found. Where its data is gone, that somebody
// was verified still stands.
func (s *Service) proofed(ctx context.Context, a *Ask, session *Session, x *Answer) error {
	v, err := s.Journey.Result(ctx, s.caller(a.Client), session.Verification, "")
	if errors.Is(err, proof.ErrNotFound) || proof.CodeOf(err) == proof.CodeNotFound {
		return nil
	}
	if err != nil {
		return err
	}
	if v.Verification.Status != proof.Verified {
		return proof.ErrNotFound
	}
	if v.Verification.PurgedAt.IsZero() {
		x.Verification, x.Outcome = v.Verification, v.Outcome
	}
	return nil
}

// End ends the session of this browser towards the client, and the one named sid if it
// is the client's.
func (s *Service) End(ctx context.Context, b Browser, client *Client, sid string) ([]Cookie, error) {
	value := b.Cookies[sessionCookie(client)]
	err := s.Store.UpdateFederation(ctx, func(tx Tx) error {
		var found []*Session
		if value != "" {
			x, err := tx.FederationSession(client.Tenant, hashOf(value))
			if err == nil {
				found = append(found, x)
			} else if !errors.Is(err, proof.ErrNotFound) {
				return err
			}
		}
		if sid != "" {
			x, err := tx.FederationSessionByID(client.Tenant, sid)
			if err == nil {
				found = append(found, x)
			} else if !errors.Is(err, proof.ErrNotFound) {
				return err
			}
		}
		seen := map[string]bool{}
		for _, x := range found {
			if x.Client != client.ID || !x.EndedAt.IsZero() || seen[x.ID] {
				continue
			}
			seen[x.ID] = true
			if err := tx.EndFederationSession(client.Tenant, x.ID, s.Now()); err != nil {
				return err
			}
			if err := s.audit(tx, client.Tenant, "person", "federation.signed_out", "session:"+x.ID, "", map[string]string{"client": client.ID}); err != nil {
				return err
			}
		}
		return nil
	})
	return []Cookie{{Name: sessionCookie(client), Path: s.home(client.Tenant), MaxAge: -1}}, err
}

// Challenge begins a face check of a.Hint (or a.HintSubject) for a client that asks on a
// back channel of its own: it may know that there is no such user. The link is for the
// client to bring to the person.
func (s *Service) Challenge(ctx context.Context, a Ask, message string, lasts time.Duration) (id, url string, expires time.Time, err error) {
	t, err := s.tenant(&a)
	if err != nil {
		return "", "", time.Time{}, err
	}
	if a.Hint == "" && a.HintSubject != "" {
		if a.Hint, err = s.identifierOf(ctx, a.Tenant, a.HintSubject); err != nil {
			return "", "", time.Time{}, err
		}
	}
	if a.Hint == "" || !t.StepUp {
		return "", "", time.Time{}, denied(proof.ReasonUserUnknown)
	}
	started, err := s.startChallenge(ctx, &a, journey.ChallengeStart{Timeout: lasts, Request: proof.ChallengeRequest{Transaction: message}})
	if err != nil {
		return "", "", time.Time{}, err
	}
	return started.ChallengeID, started.ChallengeURL, started.ExpiresAt, nil
}

// ChallengeAnswer is how a Challenge ended: nil while it is open, an error when the
// person did not come through.
func (s *Service) ChallengeAnswer(ctx context.Context, a Ask, id string) (*Answer, error) {
	if _, err := s.tenant(&a); err != nil {
		return nil, err
	}
	a.complete()
	session, err := s.endedChallenge(ctx, &a, id, a.Hint)
	if _, pending := errors.AsType[*errPending](err); pending {
		return nil, nil
	}
	if err != nil {
		s.refused(ctx, &a, err)
		return nil, err
	}
	x, _, err := s.signIn(ctx, &a, session, nil, nil)
	return x, err
}
