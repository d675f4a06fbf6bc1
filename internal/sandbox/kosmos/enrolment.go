package kosmos

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Enrolment: a proofing that named a user, took a selfie and passed keeps the
// person's face for that user, if the person agreed to that besides. Once a user
// has a face, every proofing for that user must be of the same person, whether or
// not it is to replace anything:
//
//	                        the session passed
//	                               |
//	              user disabled ---+--- yes --> failed, user_disabled
//	                               |
//	               has a wallet ---+--- no ---> agreed? enrolled : known, not enrolled
//	                               | yes
//	    new selfie is the face of  |
//	    the last selfie, and of ------- yes --> agreed? faces replaced : nothing changes
//	    the first one              |
//	                               | no
//	    same number, names and     |
//	    birth date as the last,    |
//	    new portrait is the face ------ yes --> likewise
//	    of the last one, and new   |
//	    selfie of the first portrait
//	                               | no, or cannot tell
//	                   failed, enrolment_conflict; nothing changes
//
// The last are the faces that step-ups compare with. The first, the anchors, are
// those of the proofing that enrolled the user; only an operator who clears the
// enrolment ends them. Without them, photos that mix two people could lead from
// the one to the other: each like the last, and the last of them like nobody who
// was there first. With them, one such photo still passes if it is like both
// people, but there is no second step.
//
// What is decided rests on the user as read before the engine was asked. The
// transaction that ends the session writes it, and only if the user is still at
// that version; otherwise it is decided again.

// enrolConsentVersion names the words on the capture page (the block "enrol" of
// page.html). Change it whenever they change.
const enrolConsentVersion = "2026-11"

// Events of this server's own; the vendor's vocabulary has none for these.
const (
	eventEnrolConsent  = "KOSMOSCOPE_ENROLMENT_CONSENT"
	eventEnrolled      = "KOSMOSCOPE_ENROLMENT_CREATED"
	eventEnrolReplaced = "KOSMOSCOPE_ENROLMENT_REPLACED"
	eventEnrolConflict = "KOSMOSCOPE_ENROLMENT_CONFLICT"
)

// subject is the user whom a session is for, "" for none.
func (rq *request) subject() string {
	if rq == nil {
		return ""
	}
	return rq.Username
}

// mayEnrol reports whether the person is asked to be enrolled: the session names
// a user and compares a selfie with the document.
func mayEnrol(v *session) bool { return v.Request.subject() != "" && v.Request.Selfie }

// enrolment is what the end of a session does to a user.
type enrolment struct {
	username string
	uid      string   // of the user that it rests on; empty if there was none
	seen     int64    // version of that user
	action   string   // of the audit; empty if the user only becomes known
	faces    [][]byte // as wallets.faces
	document []byte
	consent  consent
	enrolled bool // the user has a face afterwards
}

// errMoved: the user changed between the comparison and the end of the session.
var errMoved = errors.New("kosmos: the user changed meanwhile")

// enrol decides what a session that passed does to its user. reason is not empty
// if it does not pass after all. The enrolment is nil for a session without a user.
func (s *Server) enrol(ctx context.Context, v *session, r *api.Report) (e *enrolment, reason string, err error) {
	name := v.Request.subject()
	if name == "" {
		return nil, "", nil
	}
	e = &enrolment{username: name}
	a, err := s.users.account(ctx, s.store.db, name)
	if errors.Is(err, errNoUser) {
		a, err = nil, nil
	}
	if err != nil {
		return nil, "", err
	}
	agreed, err := s.store.consent(ctx, v.ID)
	if err != nil {
		return nil, "", err
	}
	if a != nil {
		e.uid, e.seen = a.UID, a.version
		if a.Disabled {
			return e, ReasonUserDisabled, nil
		}
	}
	e.document = s.users.documentKey(r.Document)
	faces := mayEnrol(v)
	if faces && (agreed != nil || a != nil && a.Enrolled) && (r.Templates == nil || len(r.Templates.Selfie) == 0 || len(r.Templates.Portrait) == 0) {
		s.log.Error("kosmos: the engine passed without templates", "session", s.logName(v.ID))
		return e, api.ReasonEngineError, nil
	}
	var anchors [][]byte
	if a != nil && a.Enrolled {
		w, err := a.open()
		if err != nil {
			return nil, "", err
		}
		if reason := s.samePerson(ctx, v, a, w, r, e.document); reason != "" {
			if reason == ReasonEnrolmentConflict {
				e.action = ActionConflict
			}
			return e, reason, nil
		}
		e.enrolled, anchors = true, w.Anchors
	}
	if !faces || agreed == nil {
		return e, "", nil
	}
	if records, ok := seeded(name); ok && records.wallet && nameModule(records.first, records.last, r.Document) != "" {
		// The records have a person by this name, with a level that would be the stranger's.
		e.action = ActionConflict
		return e, ReasonEnrolmentConflict, nil
	}
	e.action = ActionEnrolled
	if e.enrolled {
		e.action = ActionReplaced
	}
	e.faces = append([][]byte{r.Templates.Selfie, r.Templates.Portrait}, anchors...)
	e.consent, e.enrolled = *agreed, true
	return e, "", nil
}

// samePerson returns "" if a session that passed is of the person who is
// enrolled, ReasonEnrolmentConflict if it is not or nobody can tell, and another
// reason if the engine could not be asked.
//
// A session without a selfie has no face to compare. It replaces nothing, and all
// that is required of it is that the document is the enrolled one.
func (s *Server) samePerson(ctx context.Context, v *session, a *account, w *wallet, r *api.Report, document []byte) string {
	sameDocument := len(document) > 0 && string(document) == string(a.document)
	if !v.Request.Selfie {
		if sameDocument {
			return ""
		}
		return ReasonEnrolmentConflict
	}
	reason := s.sameFace(ctx, v, r.Templates.Selfie, w.References[0])
	if reason == "" {
		reason = s.sameFace(ctx, v, r.Templates.Selfie, w.Anchors[0])
	}
	if reason == ReasonEnrolmentConflict && sameDocument {
		// The selfie of this session was like this portrait, or it had not passed.
		reason = s.sameFace(ctx, v, r.Templates.Portrait, w.References[1])
		if reason == "" {
			reason = s.sameFace(ctx, v, r.Templates.Selfie, w.Anchors[1])
		}
	}
	return reason
}

// sameFace asks the engine whether two templates are of one person, with the
// same patience as for a verdict.
func (s *Server) sameFace(ctx context.Context, v *session, probe, reference []byte) string {
	ask := func(ctx context.Context) (*api.Report, error) {
		return s.opt.Engine.Match(ctx, &api.MatchRequest{
			Probes: [][]byte{probe}, References: [][]byte{reference}, LivenessMode: api.LivenessNone,
		})
	}
	_, reason := s.patiently(ctx, v, ask, func(r *api.Report, err error) (string, bool) {
		if err != nil {
			return failure(err)
		}
		if r == nil {
			return api.ReasonEngineError, true
		}
		if r.Verdict == api.Pass && r.Reason == "" {
			for _, c := range r.Checks {
				if c.Name == api.CheckFaceMatch && c.Outcome == api.Pass {
					return "", false
				}
			}
			s.log.Error("kosmos: the engine passed without a check", "session", s.logName(v.ID), "check", api.CheckFaceMatch)
			return api.ReasonEngineError, false
		}
		switch r.Reason {
		case api.ReasonFaceMismatch, api.ReasonFaceUncertain, api.ReasonTemplateForeign:
			return ReasonEnrolmentConflict, false
		case api.ReasonEngineBusy, api.ReasonEngineTimeout, api.ReasonModelsMissing:
			return r.Reason, true
		}
		return api.ReasonEngineError, true
	})
	return reason
}

// documentKey is the keyed hash of what makes a document's holder: number, names
// and birth date. nil if one of them was not read.
func (d *Directory) documentKey(doc *api.Document) []byte {
	if doc == nil || doc.Number == "" || doc.BirthDate == "" || doc.Surname+doc.GivenNames == "" {
		return nil
	}
	return d.hash("document", doc.Number, doc.Surname, doc.GivenNames, doc.BirthDate)
}

// apply writes an enrolment in the transaction that ends its session, or errMoved.
func (s *Server) apply(ctx context.Context, tx *sql.Tx, session string, to State, e *enrolment) error {
	a, err := s.users.account(ctx, tx, e.username)
	switch {
	case errors.Is(err, errNoUser):
		if e.uid != "" {
			return errMoved
		}
	case err != nil:
		return err
	case a.UID != e.uid || a.version != e.seen:
		return errMoved
	}
	if to == Success && a == nil {
		if a, err = s.users.newUser(ctx, tx, e.username); err != nil {
			return err
		}
	}
	if to == Success && e.faces != nil {
		if err := s.users.putWallet(ctx, tx, a, s.opt.Curve, e.faces, e.document, e.consent); err != nil {
			return err
		}
	}
	if e.action == "" {
		return nil
	}
	event := map[string]string{ActionEnrolled: eventEnrolled, ActionReplaced: eventEnrolReplaced, ActionConflict: eventEnrolConflict}[e.action]
	if err := record(ctx, tx, session, s.now(), event); err != nil {
		return err
	}
	return s.users.audit(ctx, tx, s.users.nameKey(e.username), ActorSession, e.action, "")
}

// consent reads what the person agreed to in a session; nil if nothing.
func (s *store) consent(ctx context.Context, session string) (*consent, error) {
	var c consent
	var at int64
	err := s.db.QueryRowContext(ctx, `SELECT version, at FROM consents WHERE session = ?`, session).Scan(&c.Version, &at)
	if errors.Is(err, sql.ErrNoRows) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("consent: %w", err)
	}
	c.At = time.UnixMilli(at)
	return &c, nil
}

// consented keeps a consent in the transaction that starts a session.
func consented(ctx context.Context, tx *sql.Tx, session string, c consent) error {
	if _, err := tx.ExecContext(ctx, `INSERT INTO consents (session, version, at) VALUES (?, ?, ?)`, session, c.Version, c.At.UnixMilli()); err != nil {
		return fmt.Errorf("consent: %w", err)
	}
	return record(ctx, tx, session, c.At, eventEnrolConsent)
}
