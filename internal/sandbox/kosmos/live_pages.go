package kosmos

import (
	"context"
	"database/sql"
	"errors"
	"net/http"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// What a sequence is to the two pages that take one: to the capture page it is
// the selfie of a proofing, to the authenticator the photo that is compared.

const longestCamera = 120 // letters of its name

// sequenced reports whether the face of a proofing is shown in a sequence.
func sequenced(v *session) bool { return v.Request != nil && v.Request.Liveness == api.LivenessActive }

func (s *Server) sittingOf(v *session) sitting {
	return sitting{
		id:   v.ID,
		open: func(ctx context.Context, tx *sql.Tx) error { return inState(ctx, tx, v.ID, s.now(), Started, Captured) },
		count: func(ctx context.Context, _ *sequence) error {
			_, err := s.store.attempt(ctx, v.ID, sideSelfie, s.opt.MaxAttempts, s.now())
			return err
		},
	}
}

// needsCamera is the answer to a photo, where a sequence is asked for, and to a
// sequence where a photo is.
func (s *Server) needsCamera(ctx context.Context, v *session) (answer, error) {
	a, err := s.current(ctx, v.ID, sideSelfie)
	a.status, a.Reason, a.Message = http.StatusConflict, refuseCamera, cameraWords
	if !sequenced(v) {
		a.status, a.Reason, a.Message = http.StatusBadRequest, refuseRequest, "This check asks for a photo of your face."
	}
	return a, err
}

// beginLive begins the sequence of a proofing, or begins it anew, as long as an
// attempt is left.
func (s *Server) beginLive(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error) {
	if v.State != Started && v.State != Captured {
		return answer{}, errState
	}
	if !sequenced(v) {
		return s.needsCamera(ctx, v)
	}
	photos, err := s.store.photos(ctx, v.ID, false)
	if err != nil {
		return answer{}, err
	}
	if photos[sideSelfie].Attempts >= s.opt.MaxAttempts {
		return s.exhausted(ctx, v.ID, sideSelfie)
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	l, err := s.beginSequence(ctx, r, s.sittingOf(v), &sequence{Camera: shown(r.PostFormValue("camera"), longestCamera)})
	if err != nil {
		return answer{}, err
	}
	a, err := s.current(ctx, v.ID, sideSelfie)
	a.liveAnswer = l.answer()
	return a, err
}

// liveFrame takes a frame of a proofing. With the last one the selfie is there,
// and the engine says whether anything speaks against it, as for a photo. When the
// last attempt leaves nothing to judge the proofing fails here and now, and when
// it leaves something that speaks against the person it is judged at once: there
// is nothing that they could still do better.
func (s *Server) liveFrame(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error) {
	if v.State != Started && v.State != Captured {
		return answer{}, errState
	}
	if !sequenced(v) {
		return s.needsCamera(ctx, v)
	}
	l, err := s.takeFrame(ctx, w, r, s.sittingOf(v))
	if errors.Is(err, errAttempts) {
		return s.exhausted(ctx, v.ID, sideSelfie)
	}
	if err != nil {
		return answer{}, err
	}
	usable, reason, message := false, l.over, l.message
	var checks []api.Check
	switch {
	case l.sequence == nil, l.over == "" && !l.done():
	case l.over != "":
		err = s.store.keep(ctx, v.ID, sideSelfie, photo{Reason: l.over}, true, s.now(), "")
	default:
		usable, reason, checks, message = s.guideLive(ctx, v)
		// The frames are where they are.
		err = s.store.keep(ctx, v.ID, sideSelfie, photo{Images: [][]byte{}, Usable: usable, Reason: reason}, true, s.now(), eventSelfieCapture)
	}
	if err != nil {
		return answer{}, err
	}
	a, err := s.current(ctx, v.ID, sideSelfie)
	if err != nil {
		return answer{}, err
	}
	if l.sequence != nil && a.AttemptsLeft <= 0 && (l.over != "" || l.done() && !usable) {
		// Without frames this fails the session, otherwise it has it judged.
		if v, err = s.store.session(ctx, v.ID, s.now()); err == nil {
			a, err = s.submit(ctx, w, r, v)
		}
		if err != nil {
			return answer{}, err
		}
	}
	a.liveAnswer, a.status = l.answer(), http.StatusOK
	if a.State.open() {
		a.Reason, a.Message, a.Checks = reason, message, checks
		if l.sequence != nil && (l.over != "" || l.done()) {
			a.Usable = &usable
		}
	}
	return a, nil
}

// guideLive is guide for a sequence that is done; the reason is empty where it is
// usable. It is compared with nobody: the comparison with the document is the
// verdict's.
func (s *Server) guideLive(ctx context.Context, v *session) (usable bool, reason string, checks []api.Check, message string) {
	cannot := "We could not look at this now. You can continue; it will be checked at the end."
	l, _, err := s.store.evidence(ctx, v.ID)
	var report *api.Report
	if err == nil {
		ask, cancel := context.WithTimeout(ctx, guidanceTimeout)
		defer cancel()
		report, err = s.opt.Engine.Match(ask, &api.MatchRequest{Liveness: l, References: decoy, LivenessMode: api.LivenessActive})
		if err == nil && report == nil {
			err = errors.New("no report")
		}
	}
	if err != nil {
		s.log.Warn("kosmos: no guidance", "session", s.logName(v.ID), "error", err)
		return true, "", nil, cannot
	}
	reason = report.Reason
	if findings[reason] == different { // what the comparison with nobody says is nothing
		reason = lifeless(report, api.LivenessActive)
	}
	for _, c := range report.Checks {
		if c.Name != api.CheckFaceMatch {
			checks = append(checks, c)
		}
	}
	switch {
	case reason == "" && lifeless(report, api.LivenessActive) == "":
		return true, "", checks, "Your face can be seen well."
	case aboutLiveness(reason) && reason != api.ReasonLivenessUnavailable, findings[reason] == poor:
		return false, reason, checks, overWords(reason)
	}
	s.log.Warn("kosmos: no guidance", "session", s.logName(v.ID), "reason", reason)
	return true, "", checks, cannot
}

// aboutLiveness reports whether a reason says something about the person in front
// of the camera and nothing about an account.
func aboutLiveness(reason string) bool { return strings.HasPrefix(reason, "liveness_") }

// refusedAtEnd records what a sequence that was judged came to.
func (s *Server) refusedAtEnd(ctx context.Context, owner, reason string) error {
	return s.store.update(ctx, func(tx *sql.Tx) error { return endSequence(ctx, tx, owner, reason, s.now()) })
}

func (s *Server) faceSitting(v *faceRequest) sitting {
	return sitting{
		id: v.ID,
		open: func(ctx context.Context, tx *sql.Tx) error {
			err := openInTime(ctx, tx, v.ID, s.now())
			if errors.Is(err, errReplayed) {
				err = errState
			}
			return err
		},
		count: func(ctx context.Context, q *sequence) (err error) {
			q.Round, err = s.begin(ctx, v.ID, q.Code, q.Who)
			return err
		},
	}
}

// beginFace begins the sequence of a step-up, or begins it anew.
func (s *Server) beginFace(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (int, string, error) {
	switch {
	case !v.serves():
		return http.StatusConflict, refuseAuthType, nil
	case s.opt.StepUpLiveness != api.LivenessActive:
		return http.StatusBadRequest, refuseRequest, nil
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	nonce := r.PostFormValue("nonce")
	if !sameSecret(nonce, s.code(v.ID, v.round)) {
		return 0, "", errReplayed
	}
	username, who, err := s.claimed(r, v, r.PostFormValue("account"))
	if errors.Is(err, errNoAccount) {
		return http.StatusBadRequest, "account_missing", nil
	}
	if err != nil {
		return 0, "", err
	}
	v.live, err = s.beginSequence(ctx, r, s.faceSitting(v), &sequence{
		Camera: shown(r.PostFormValue("camera"), longestCamera), Username: username, Code: nonce, Who: who,
	})
	return http.StatusOK, "", err
}

// faceFrame takes a frame of a step-up. The last one is compared at once. Once it
// was counted an attempt stays so whatever ends the sequence, so that nobody tries
// challenges until one fits.
func (s *Server) faceFrame(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (int, string, error) {
	if s.opt.StepUpLiveness != api.LivenessActive {
		return http.StatusBadRequest, refuseRequest, nil
	}
	l, err := s.takeFrame(ctx, w, r, s.faceSitting(v))
	if err != nil {
		return 0, "", err
	}
	v.live = l
	switch {
	case l.sequence == nil:
	case l.over != "" && l.Counted:
		_, err = s.settle(ctx, v.ID, l.Round, different, l.over, nil, nil)
	case l.over == "" && l.done():
		evidence, q, rerr := s.store.evidence(ctx, v.ID)
		if rerr != nil {
			_, back := s.settle(ctx, v.ID, l.Round, undecided, api.ReasonEngineError, nil, nil)
			return 0, "", errors.Join(rerr, back)
		}
		ask := &api.MatchRequest{Liveness: evidence, LivenessMode: api.LivenessActive}
		var reason string
		_, reason, err = s.compareAndSettle(ctx, w, v, q.Username, q.Round, ask)
		err = errors.Join(err, s.refusedAtEnd(ctx, v.ID, reason))
	}
	return http.StatusOK, "", err
}
