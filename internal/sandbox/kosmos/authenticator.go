package kosmos

import (
	"cmp"
	"context"
	_ "embed" // the page
	"encoding/base64"
	"encoding/json"
	"errors"
	"html/template"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// The authenticator stands for the vendor's mobile app: it shows a person what
// they are asked for, takes photos of their face, has the engine compare them
// with the enrolled face, and only after a pass answers the step-up with the
// enrolled wallet's key. No photo is stored, and no frame for longer than its
// sequence lasts.
//
// It is a page that works without scripts, and an API for scripts. With Accept:
// application/json every call but the first answers faceAnswer:
//
//	GET  /authenticator/{id}          the page
//	GET  /authenticator/{id}/state    what is going on, and the one-time code for the next upload
//	POST /authenticator/{id}/face     multipart/form-data: nonce, then account if account_needed,
//	                                  then 1 to 5 parts named file (JPEG or PNG, 12 MB together),
//	                                  every one of which must show the person
//	POST /authenticator/{id}/live     in place of face where liveness active is asked for: see live.go
//	POST /authenticator/{id}/live/frame
//	POST /authenticator/{id}/decline  the person says no; why=cannot, because they cannot do what is asked
//	GET  /authenticator/{id}/return   303 to where the browser goes in the end (return_url)
//
// Statuses of face: 200 when the photos were looked at, whatever came of it (see
// state, reason and attempts_left); 400 invalid_request; 403 cross_origin and other_browser; 404
// session_unknown; 408 upload_slow; 409 upload_replayed, for a nonce that is
// missing, another step-up's or used, and upload_running; 410 session_ended; 413
// and 415 for files that are no photos; 429 rate_limited; 503 where the engine could not
// look, and uploads_busy. Nothing is counted as an attempt but 200 with
// face_mismatch, and a sequence from its first action that was drawn on.
//
// Nobody who types an account name learns whether there is such an account, or
// whether it has a face: for every name the engine looks at the photos, and all
// that is not recognised is face_mismatch. What it really was is in the step-up's
// Reason, for whoever asked.

//go:embed authenticator.html
var authenticatorSource string

const (
	authenticatorScript = "authenticator.js" // bundled from web/authenticator/authenticator.ts
	authenticatorStyle  = "authenticator.css"

	accountCookie    = "__Secure-kosmos-account"
	accountCookieAge = 90 * 24 * time.Hour

	refuseAuthType = "authtype_unsupported" // not a face
)

func (s *Server) authenticatorRoutes(mux *http.ServeMux) {
	const base = "/authenticator/{id}"
	mux.HandleFunc("GET "+base, s.authenticator)
	mux.HandleFunc("GET "+base+"/state", s.faceState)
	mux.HandleFunc("POST "+base+"/face", s.faceAct(s.takeFace))
	mux.HandleFunc("POST "+base+"/live", s.faceAct(s.beginFace))
	mux.HandleFunc("POST "+base+"/live/frame", s.faceActAs(askFrame, s.faceFrame))
	mux.HandleFunc("POST "+base+"/decline", s.faceAct(s.declineFace))
	mux.HandleFunc("GET "+base+"/return", s.faceReturn)
}

// faceAnswer is what the authenticator says in JSON. It holds nothing personal.
type faceAnswer struct {
	State         stepUpState `json:"state"`          // of the step-up, or answered: elsewhere
	Reason        string      `json:"reason"`         // stable code, empty if all is well
	Message       string      `json:"message"`        // plain sentence for the person
	Nonce         string      `json:"nonce"`          // for the next upload; empty when there is none
	AttemptsLeft  int         `json:"attempts_left"`  // comparisons that may still fail
	AccountNeeded bool        `json:"account_needed"` // the session names nobody
	ExpiresAt     time.Time   `json:"expires_at"`
	ReturnURL     string      `json:"return_url"` // of this server; empty while it is open or where there is nowhere to return to
	*liveAnswer               // after live and live/frame
}

// faceRequest is one step-up as a request found it.
type faceRequest struct {
	*stepUp
	counts
	live *look // what a frame, or a begin, came to
}

// named reports whether the step-up is for one user only.
func (v *stepUp) named() bool { return v.Kind != kindUWL && (v.Kind != kindOAuth2 || v.Username != "") }

// typed reports whether the name was typed by whoever holds the browser: into
// the page, or into the address of an authorization request that no client vouches for.
func (v *stepUp) typed() bool {
	switch v.Kind {
	case kindUWL:
		return true
	case kindOAuth2:
		var rq oauthRequest
		return json.Unmarshal(v.Detail, &rq) != nil || !rq.Pushed || rq.Username == ""
	}
	return false
}

// serves reports whether the authenticator can answer: UWL sessions may ask for
// a fingerprint or a PIN, which it does not have.
func (v *stepUp) serves() bool {
	if v.Kind != kindUWL {
		return true
	}
	d := uwlDetailOf(v)
	return d != nil && strings.EqualFold(d.AuthType, authTypeFace)
}

func (s *Server) faceAnswer(v *faceRequest) faceAnswer {
	a := faceAnswer{State: v.shownState(), AccountNeeded: !v.named(), ExpiresAt: v.Expires.UTC()}
	a.Reason, a.Message = faceWords(v.stepUp)
	switch {
	case v.State == stepUpOpen && !v.serves():
		a.Reason, a.Message = refuseAuthType, "This request asks for something else than your face, which this stand-in for the app cannot do."
	case v.State == stepUpOpen:
		a.AttemptsLeft = max(0, s.opt.StepUpAttempts-v.compared)
		a.Nonce = s.code(v.ID, v.round)
		if l := v.live; l != nil && (l.over != "" || !l.done()) { // else it was compared
			a.Reason, a.Message = l.over, l.message
		}
	case s.stepUpEnds[v.Kind] != nil:
		a.ReturnURL = authenticatorPath(v.ID) + "/return"
	}
	if v.live != nil {
		a.liveAnswer = v.live.answer()
	}
	return a
}

// findFace reads the step-up of a request. When it returns nil it has answered.
func (s *Server) findFace(w http.ResponseWriter, r *http.Request, what asking) *faceRequest {
	pageHeaders(w)
	v, n, err := s.stepUpCounts(r.Context(), r.PathValue("id"))
	switch {
	case errors.Is(err, errNoSession):
		s.refuseFace(w, r, http.StatusNotFound, "session_unknown", "This link is not valid. Go back to where you came from and start again.")
		return nil
	case err != nil:
		s.log.Error("kosmos: read a step-up", "error", err)
		s.refuseFace(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again in a minute.")
		return nil
	case !s.limit.allow(v.ID, what, s.now()):
		retryAfter(w, time.Minute)
		s.refuseFace(w, r, http.StatusTooManyRequests, refuseRate, "That was too fast. Please wait a minute and try again.")
		return nil
	}
	return &faceRequest{v, n, nil}
}

func (s *Server) refuseFace(w http.ResponseWriter, r *http.Request, status int, reason, message string) {
	if wantsJSON(r) {
		writeJSON(w, status, faceAnswer{Reason: reason, Message: message})
		return
	}
	s.renderFace(w, status, faceView{Title: "Not possible", Message: message})
}

func (s *Server) faceState(w http.ResponseWriter, r *http.Request) {
	if v := s.findFace(w, r, askRead); v != nil {
		writeJSON(w, http.StatusOK, s.faceAnswer(v))
	}
}

// faceReturn sends the browser to where it goes in the end.
func (s *Server) faceReturn(w http.ResponseWriter, r *http.Request) {
	v := s.findFace(w, r, askRead)
	if v == nil {
		return
	}
	to := authenticatorPath(v.ID)
	if end := s.stepUpEnds[v.Kind]; end != nil && v.State != stepUpOpen {
		u, err := end(r.Context(), v.stepUp)
		if err != nil {
			s.log.Error("kosmos: end of a step-up", "step_up", s.logName(v.ID), "error", err)
			s.refuseFace(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again in a minute.")
			return
		}
		to = cmp.Or(u, to)
	}
	w.Header().Set("Location", to) // http.Redirect would write a body with the link
	w.WriteHeader(http.StatusSeeOther)
}

// faceAct wraps what changes a step-up. do's status and note are for an act that
// was carried out; a note is a reason that the step-up itself does not keep.
func (s *Server) faceAct(do func(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (status int, note string, err error)) http.HandlerFunc {
	return s.faceActAs(askWrite, do)
}

func (s *Server) faceActAs(what asking, do func(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (status int, note string, err error)) http.HandlerFunc {
	guard := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		if guard.Check(r) != nil {
			pageHeaders(w)
			s.refuseFace(w, r, http.StatusForbidden, refuseOrigin, "This request came from another website and was not carried out.")
			return
		}
		v := s.findFace(w, r, what)
		if v == nil {
			return
		}
		status, note, err := http.StatusGone, refuseOver, error(nil)
		if v.State == stepUpOpen {
			// An act that was begun is finished even when the browser goes away.
			status, note, err = do(context.WithoutCancel(r.Context()), w, r, v)
		}
		switch {
		case errors.Is(err, errState):
			status, note, err = http.StatusGone, refuseOver, nil
		case errors.Is(err, errReplayed):
			status, note, err = http.StatusConflict, refuseReplayed, nil
		case errors.Is(err, errLimited):
			status, note, err = http.StatusOK, "", nil
		}
		if err != nil || status >= 400 {
			s.drain(w, r)
		}
		var no *refusal
		if errors.As(err, &no) {
			if no.wait > 0 {
				retryAfter(w, no.wait)
			}
			s.refuseFace(w, r, no.status, no.reason, no.message)
			return
		}
		if err != nil {
			s.log.Error("kosmos: authenticator", "step_up", s.logName(v.ID), "error", err)
			s.refuseFace(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again.")
			return
		}
		to := authenticatorPath(v.ID)
		if !wantsJSON(r) {
			if note != "" && note != refuseOver { // the page says by itself that it is over
				to += "?" + url.Values{"note": {note}}.Encode()
			}
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusSeeOther)
			return
		}
		after, n, err := s.stepUpCounts(context.WithoutCancel(r.Context()), v.ID)
		if err != nil {
			s.internal(w, "read a step-up", err)
			return
		}
		a := s.faceAnswer(&faceRequest{after, n, v.live})
		if note != "" {
			a.Reason = note
			a.Message = cmp.Or(faceNotes[note], a.Message)
		}
		writeJSON(w, status, a)
	}
}

func (s *Server) declineFace(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (int, string, error) {
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	reason := ReasonDeclined
	if r.PostFormValue("why") == "cannot" {
		reason = ReasonAbandoned
	}
	err := s.declineStepUp(ctx, v.ID, reason)
	if errors.Is(err, errReplayed) {
		err = errState
	}
	return http.StatusOK, "", err
}

// takeFace is one attempt. The one-time code is used up, and the attempt
// counted, before the engine sees anything.
func (s *Server) takeFace(ctx context.Context, w http.ResponseWriter, r *http.Request, v *faceRequest) (int, string, error) {
	switch {
	case !v.serves():
		return http.StatusConflict, refuseAuthType, nil
	case s.opt.StepUpLiveness == api.LivenessActive:
		return http.StatusConflict, refuseCamera, nil
	}
	release, err := s.place(r, v.ID)
	if err != nil {
		return 0, "", err
	}
	defer release()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.patience.upload)) // not every server has one

	said := map[string]string{"nonce": "", "account": ""}
	var username string
	var who []byte
	images, bad, err := readParts(w, r, said, func() error {
		if !sameSecret(said["nonce"], s.code(v.ID, v.round)) {
			return errReplayed // and none of the file is read
		}
		var err error
		username, who, err = s.claimed(r, v, said["account"])
		return err
	})
	switch {
	case errors.Is(err, errNoAccount):
		return http.StatusBadRequest, "account_missing", nil
	case err != nil:
		return 0, "", err
	case bad == refuseRequest:
		return http.StatusBadRequest, refuseRequest, nil
	}
	round, err := s.begin(ctx, v.ID, said["nonce"], who)
	if err != nil {
		return 0, "", err
	}
	if bad != "" {
		_, err = s.settle(ctx, v.ID, round, poor, bad, nil, nil)
		switch {
		case err != nil:
			return 0, "", err
		case bad == api.ReasonImageTooLarge:
			return http.StatusRequestEntityTooLarge, "", nil
		}
		return http.StatusUnsupportedMediaType, "", nil
	}
	f, reason, err := s.compareAndSettle(ctx, w, v, username, round, &api.MatchRequest{Selfies: images, LivenessMode: s.opt.StepUpLiveness})
	if err == nil && f == undecided && reason != api.ReasonLivenessUnavailable {
		return http.StatusServiceUnavailable, "", nil
	}
	return http.StatusOK, "", err
}

// claimed is the user whose face is to be compared, and the bucket in which that
// is counted. account is what was typed, where a name is needed; errNoAccount if
// it is none, and errElsewhere where this browser may not say a name at all.
func (s *Server) claimed(r *http.Request, v *faceRequest, account string) (username string, who []byte, err error) {
	if username = v.Username; !v.named() {
		if v.elsewhere(r) {
			return "", nil, errElsewhere
		}
		if username = strings.TrimSpace(account); username == "" || len(username) > maxUsername {
			return "", nil, errNoAccount
		}
	}
	if v.typed() && !s.recognised(r, username) {
		return username, s.who(bucketTyped, username), nil
	}
	return username, s.who(bucketOwn, username), nil
}

// compareAndSettle compares a face that begin let in, and writes what it came to.
// The references of ask are filled in here.
func (s *Server) compareAndSettle(ctx context.Context, w http.ResponseWriter, v *faceRequest, username string, round int, ask *api.MatchRequest) (finding, string, error) {
	f, reason, answer, wire, err := s.compareFace(ctx, v.stepUp, username, ask)
	if err != nil {
		// Nobody's fault, and no answer; the attempt is given back.
		_, back := s.settle(ctx, v.ID, round, undecided, api.ReasonEngineError, nil, nil)
		return undecided, "", errors.Join(err, back)
	}
	if f, err = s.settle(ctx, v.ID, round, f, reason, answer, wire); err == nil && f == same && v.typed() {
		s.rememberAccount(w, username)
	}
	return f, reason, err
}

var errNoAccount = errors.New("kosmos: no account named")

// decoy stands for the template of a user who has none, so that the engine looks
// at the photos for everybody. It is no template: nothing is like it. What it does
// not cost is to open a wallet and to compare its few templates, which is a small
// part of what the photos take.
var decoy = [][]byte{[]byte("nobody")}

// findings are the engine's reasons by what they mean for an attempt; any other
// means that it could not say.
var findings = map[string]finding{
	api.ReasonFaceMismatch:    different,
	api.ReasonFaceUncertain:   different,
	api.ReasonTemplateForeign: different, // nothing that this engine can compare, so nobody's face is like it
	api.ReasonSelfieMissing:   poor,
	api.ReasonSelfieNoFace:    poor,
	api.ReasonSelfieManyFaces: poor,
	api.ReasonImageUnreadable: poor,
	api.ReasonImageTooLarge:   poor,
	api.ReasonImageTooSmall:   poor,
	api.ReasonImageBlurred:    poor,

	// Counted, an incomplete one as well: who has a recording would begin anew until
	// the challenge fits it.
	api.ReasonLivenessFailed:     different,
	api.ReasonLivenessReplayed:   different,
	api.ReasonLivenessIncomplete: different,
	api.ReasonLivenessWeak:       poor,

	// Not the engine's: what became of the user while it compared.
	ReasonUserDisabled:    different,
	ReasonUserNotEnrolled: different,
}

// compareFace asks the engine whether photos or frames show the user. It gives an
// answer only with the finding same. The error is of this server, not the engine's.
func (s *Server) compareFace(ctx context.Context, v *stepUp, username string, ask *api.MatchRequest) (finding, string, *stepUpAnswer, *wireAnswer, error) {
	wal, err := s.wallet(ctx, username)
	ask.References = decoy
	switch {
	case err == nil && len(wal.References) > 0:
		ask.References = wal.References
	case err == nil || errors.Is(err, errNoUser) || errors.Is(err, errNotEnrolled) || errors.Is(err, errDisabled):
		wal = nil
	default:
		return undecided, "", nil, nil, err
	}
	timed, cancel := context.WithTimeout(ctx, s.opt.EngineTimeout)
	defer cancel()
	report, err := s.opt.Engine.Match(timed, ask)
	if err != nil {
		reason, _ := failure(err)
		s.log.Warn("kosmos: a face could not be compared", "step_up", s.logName(v.ID), "error", err)
		return findings[reason], reason, nil, nil, nil
	}
	f, reason, score := judgeFace(report, s.opt.StepUpLiveness)
	if wal == nil {
		switch f {
		case same: // an engine that finds a face like no template is broken
			return undecided, api.ReasonEngineError, nil, nil, nil
		case different:
			if !aboutLiveness(reason) {
				reason = api.ReasonFaceMismatch
			}
		}
	}
	if f != same {
		return f, reason, nil, nil, nil
	}
	answer := &stepUpAnswer{
		Username: wal.Username, DID: wal.DID, Score: score, Liveness: s.opt.StepUpLiveness, Own: ownBlock(report, ""), At: s.now(),
		version: wal.version,
	}
	var wire *wireAnswer
	if v.Kind == kindUWL {
		if wire, err = uwlWire(v, wal, answer); err != nil {
			return undecided, "", nil, nil, err
		}
	}
	return same, "", answer, wire, nil
}

// judgeFace reads a report. It is a match only if everything in it says so:
// verdict, reason, every check, and that a face was compared at all and, where
// liveness was asked for, that it was shown.
func judgeFace(r *api.Report, liveness string) (f finding, reason string, score *float64) {
	if r == nil {
		return undecided, api.ReasonEngineError, nil
	}
	missing := func(name string) bool { return outcomeOf(r, name) != api.Pass }
	if r.Reason == api.ReasonLivenessUnavailable || r.Verdict == api.Pass && slices.ContainsFunc(livenessChecks(liveness), missing) {
		return undecided, api.ReasonLivenessUnavailable, nil
	}
	if r.Verdict != api.Pass || r.Reason != "" {
		if r.Verdict == api.Pass {
			return undecided, api.ReasonEngineError, nil
		}
		reason = cmp.Or(r.Reason, api.ReasonEngineError)
		if findings[reason] == different || aboutLiveness(reason) {
			// Whether somebody is alive is said first, and in the same words for every
			// account: which of the two the engine names depends on the face.
			reason = cmp.Or(lifeless(r, liveness), reason)
		}
		return findings[reason], reason, nil
	}
	if missing(api.CheckFaceMatch) || slices.ContainsFunc(r.Checks, func(c api.Check) bool { return c.Outcome != api.Pass }) {
		return undecided, api.ReasonEngineError, nil
	}
	for _, c := range r.Checks {
		if c.Name == api.CheckFaceMatch && c.Score != nil && *c.Score >= 0 && *c.Score <= 1 {
			score = c.Score
		}
	}
	return same, "", score
}

// rememberAccount keeps the name of the account in the browser that showed its
// face, so that it need not be typed again, and so that strangers who type it do
// not keep this browser out. It is sealed: only this server reads it, and makes it.
func (s *Server) rememberAccount(w http.ResponseWriter, username string) {
	sealed, err := s.store.sealJSON("cookie/account", accountMemory{username, s.now()})
	if err != nil {
		s.log.Error("kosmos: remember an account", "error", err) // it can be typed
		return
	}
	http.SetCookie(w, &http.Cookie{
		Name: accountCookie, Value: base64.RawURLEncoding.EncodeToString(sealed),
		Path: "/", MaxAge: int(accountCookieAge / time.Second), HttpOnly: true, Secure: true, SameSite: http.SameSiteLaxMode,
	})
}

// accountMemory is what the cookie says, sealed.
type accountMemory struct {
	Username string    `json:"username"`
	At       time.Time `json:"at"`
}

func (s *Server) rememberedAccount(r *http.Request) string {
	c, err := r.Cookie(accountCookie)
	if err != nil {
		return ""
	}
	sealed, err := base64.RawURLEncoding.DecodeString(c.Value)
	if err != nil {
		return ""
	}
	var m accountMemory
	if s.store.openJSON("cookie/account", sealed, &m) != nil || !s.now().Before(m.At.Add(accountCookieAge)) {
		return ""
	}
	return m.Username
}

// recognised reports whether this browser showed the user's face before.
func (s *Server) recognised(r *http.Request, username string) bool {
	name := s.rememberedAccount(r)
	return name != "" && foldName(name) == foldName(username)
}

// faceView is what authenticator.html shows.
type faceView struct {
	Title       string
	Open        bool
	Base        string
	Script      string
	Style       string // of all pages of this server
	OwnStyle    string
	Show        stepUpShow
	Purpose     string // Show.Purpose in words
	NeedAccount bool
	Live        bool // liveness active: a sequence of frames, no photos
	Account     string
	Nonce       string
	Left        int
	Tried       bool
	Message     string
	Seconds     int    // until it expires
	Status      string // of the result
	ReturnURL   string
}

var authenticatorPage = template.Must(template.New("authenticator").Parse(authenticatorSource + liveSource))

func (s *Server) renderFace(w http.ResponseWriter, status int, v faceView) {
	v.Script, v.Style, v.OwnStyle = staticURL(authenticatorScript), staticURL(staticStyle), staticURL(authenticatorStyle)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := authenticatorPage.Execute(w, v); err != nil {
		s.log.Debug("kosmos: render", "error", err) // the browser went away
	}
}

func (s *Server) authenticator(w http.ResponseWriter, r *http.Request) {
	v := s.findFace(w, r, askRead)
	if v == nil {
		return
	}
	a := s.faceAnswer(v)
	d := faceView{
		Base: authenticatorPath(v.ID), Show: v.Show, Purpose: purposeWords(v.Show.Purpose), NeedAccount: a.AccountNeeded, Nonce: a.Nonce,
		Left: a.AttemptsLeft, Message: a.Message, ReturnURL: a.ReturnURL,
		Seconds: 1 + int(v.Expires.Sub(s.now())/time.Second),
	}
	switch {
	case v.State != stepUpOpen:
		d.Title, d.Status = endTitle(v.stepUp), string(v.shownState())
	case !v.serves():
		d.Title = "Not possible here"
	case !v.named() && v.elsewhere(r):
		d.Title, d.Message = "Not possible here", errElsewhere.message
	default:
		d.Open, d.Title = true, "Is this you, signing in right now?"
		d.Tried = v.compared > 0
		if note := r.URL.Query().Get("note"); faceNotes[note] != "" {
			d.Message = faceNotes[note]
		}
		if d.NeedAccount {
			d.Account = s.suggested(v.stepUp, r)
		}
		d.Live = s.opt.StepUpLiveness == api.LivenessActive
	}
	s.renderFace(w, http.StatusOK, d)
}

// purposes are the reason codes that have a sentence of their own.
var purposes = map[string]string{
	"":                       "To make sure that it is you",
	"new_device":             "A sign-in from a device that was not used before",
	"geo_anomaly":            "A sign-in from an unusual place",
	"impossible_travel":      "A sign-in from an unusual place",
	"sensitive_scope":        "Access to something that is specially protected",
	"high_value_transaction": "A payment or another transaction of high value",
}

func purposeWords(code string) string {
	if words, ok := purposes[code]; ok {
		return words
	}
	return strings.ReplaceAll(code, "_", " ")
}

// faceNotes are the sentences for refusals that change nothing.
var faceNotes = map[string]string{
	refuseReplayed:    "This photo was already sent, or comes from another page. Please take a new one.",
	refuseOver:        "This request is over. Go back to the page that sent you here; it can make a new one.",
	refuseRequest:     "There was no photo in what was sent. Please take one, or choose one.",
	"account_missing": "Enter the name of your account first.",
	refuseAuthType:    "This request asks for something else than your face, which this stand-in for the app cannot do.",
	refuseCamera:      cameraWords,
}

// faceWords are the reason and the sentence to show. While it is open they are
// about the last attempt.
func faceWords(v *stepUp) (reason, message string) {
	reason = v.Reason
	if findings[reason] == different && !aboutLiveness(reason) {
		reason = api.ReasonFaceMismatch // see the top: what it really was is not for this page
	}
	switch v.State {
	case stepUpMatch:
		switch {
		case v.shownState() == stepUpMatch:
			return "", "You were recognised. You can go back to where you were signing in."
		case v.Answer == nil: // purged, and with it by whom it was answered
			return "", "This request was answered. What came of it is known only where you were signing in."
		}
		return "", "This request was answered elsewhere, not on this page, which cannot tell whether that was you. Go back to where you were signing in. If you answered nothing, start again there."
	case stepUpExpired:
		return "", "The time for this request is over. Go back to the page that sent you here; it can make a new one."
	case stepUpRefused:
		switch {
		case reason == ReasonDeclined:
			return reason, "You said that this was not you, so nobody was let in. If you did not start this yourself, somebody may know your password: change it."
		case reason == ReasonAbandoned:
			return reason, "You stopped because you cannot do what this check asks for. Nothing was decided about you. Go back to where you were signing in and ask for another way."
		case aboutLiveness(reason):
			return reason, "We could not make sure that a living person is in front of the camera. Start again where you were signing in, in even light, or ask the company for another way."
		case reason == ReasonTooManyAttempts:
			return reason, "There were too many attempts that did not succeed. Please wait a quarter of an hour and start again where you were signing in."
		case findings[reason] == poor:
			return reason, "None of the photos could be used, so we stopped here. Start again where you were signing in, in brighter, even light."
		}
		return reason, "We could not recognise you. Start again where you were signing in, or ask the company for another way."
	}
	switch {
	case reason == "":
		return "", ""
	case reason == api.ReasonFaceMismatch:
		message = "You were not recognised. Face the camera straight on, at arm's length, with even light from the front, and take off glasses, hat or mask."
		if !v.named() {
			message += " Check that the account name is right."
		}
	case reason == api.ReasonLivenessUnavailable:
		message = "This check asks for proof of a live person, which is not available here. This is not your fault, and no attempt was counted."
	case findings[reason] == poor, aboutLiveness(reason):
		message = overWords(reason)
	default:
		message = "The photo could not be checked just now. This is not your fault, and no attempt was counted. Please try again in a moment."
	}
	return reason, message
}

// stepUpAnswered is what this page calls the match of a UWL session that our
// authenticator cannot be seen to have established. Anybody with the link can
// post such an answer, and what it holds is for the session's creator to judge.
const stepUpAnswered stepUpState = "answered"

func (v *stepUp) shownState() stepUpState {
	if v.State == stepUpMatch && v.Kind == kindUWL && v.Answer.block() == nil {
		return stepUpAnswered
	}
	return v.State
}

func endTitle(v *stepUp) string {
	switch {
	case v.shownState() == stepUpAnswered:
		return "This request was answered"
	case v.State == stepUpMatch:
		return "It is you"
	case v.State == stepUpExpired:
		return "This request has expired"
	case v.Reason == ReasonDeclined, v.Reason == ReasonAbandoned:
		return "You stopped this"
	}
	return "You were not recognised"
}
