package kosmos

import (
	"cmp"
	"context"
	"crypto/sha256"
	"database/sql"
	"embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"io"
	"mime"
	"net/http"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

//go:embed page.html
var pageSource string

//go:embed live.html
var liveSource string

//go:embed static
var static embed.FS

const (
	staticScript = "capture.js"  // bundled from web/capture/capture.ts
	staticStyle  = "capture.css" // of all pages of this server

	maxPhoto   = 12 << 20 // bytes of one upload, all its parts together
	maxDrained = 64 << 20 // of a larger one, this much is read so that the answer arrives
	maxSelfies = 5        // photos in one selfie upload
	maxMore    = 2        // earlier photos of each side that are looked at along with the last one; the engine takes four
	maxUploads = 8        // uploads that are received and looked at at the same time

	guidanceTimeout = 30 * time.Second
)

// Steps of the page. All but the first and the last two are sides of evidence.
const (
	stepStart  = "start"
	stepReview = "review"
	stepWait   = "wait"
	stepEnd    = "end"
)

func pagePath(id string) string { return "/idproofing/session/" + url.PathEscape(id) }

// captureRoutes are the page and what it posts to. A form is answered with a
// redirect to the page, a script that accepts application/json with an answer:
//
//	start     document_type, where there is a choice; enrol=yes, to be enrolled (optional)
//	document  multipart: side (front, back), file
//	selfie    multipart: file, up to five; not where the face is shown in a sequence
//	live, live/frame: see live.go
//	submit, decline
func (s *Server) captureRoutes(mux *http.ServeMux) {
	const base = "/idproofing/session/{id}"
	mux.HandleFunc("GET "+base, s.page)
	mux.HandleFunc("GET "+base+"/state", s.pageState)
	mux.HandleFunc("POST "+base+"/start", s.act(s.start))
	mux.HandleFunc("POST "+base+"/document", s.act(s.uploadDocument))
	mux.HandleFunc("POST "+base+"/selfie", s.act(s.uploadSelfie))
	mux.HandleFunc("POST "+base+"/live", s.act(s.beginLive))
	mux.HandleFunc("POST "+base+"/live/frame", s.actAs(askFrame, s.liveFrame))
	mux.HandleFunc("POST "+base+"/submit", s.act(s.submit))
	mux.HandleFunc("POST "+base+"/decline", s.act(s.decline))
	mux.HandleFunc("GET /static/{version}/{name}", staticFile)
}

// staticKinds are the files that the pages of this server load.
var staticKinds = map[string]string{
	staticScript:        "text/javascript; charset=utf-8",
	staticStyle:         "text/css; charset=utf-8",
	authenticatorScript: "text/javascript; charset=utf-8",
	authenticatorStyle:  "text/css; charset=utf-8",
	inboxStyle:          "text/css; charset=utf-8",
}

// staticVersion names the content, so that browsers may keep it for good.
func staticVersion(name string) string {
	b, err := static.ReadFile("static/" + name)
	if err != nil {
		panic(err) // embedded
	}
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:6])
}

func staticURL(name string) string { return "/static/" + staticVersion(name) + "/" + name }

func staticFile(w http.ResponseWriter, r *http.Request) {
	name := r.PathValue("name")
	kind := staticKinds[name]
	if kind == "" || r.PathValue("version") != staticVersion(name) {
		guessNoRoute.write(w)
		return
	}
	w.Header().Set("Content-Type", kind)
	w.Header().Set("Cache-Control", "public, max-age=31536000, immutable")
	b, _ := static.ReadFile("static/" + name) // staticVersion read it
	_, _ = w.Write(b)
}

// answer is what the capture endpoints say in JSON. It holds nothing personal.
type answer struct {
	State        State       `json:"state"`
	Step         string      `json:"step"`             // what the page shows next
	Usable       *bool       `json:"usable,omitempty"` // after an upload: nothing speaks against the photo
	Reason       string      `json:"reason"`           // stable code, empty if all is well
	Message      string      `json:"message"`          // plain sentence for the person
	AttemptsLeft int         `json:"attempts_left"`    // of the side acted on, else of the step
	Checks       []api.Check `json:"checks,omitempty"`
	ReturnURL    string      `json:"return_url,omitempty"` // where the browser goes when the session has ended
	*liveAnswer              // after live and live/frame

	status int    // HTTP
	side   string // acted on
}

func wantsJSON(r *http.Request) bool {
	return strings.Contains(r.Header.Get("Accept"), "application/json")
}

func pageHeaders(w http.ResponseWriter) {
	h := w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Security-Policy", "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; "+
		"media-src 'self' blob: mediastream:; connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'")
	h.Set("Permissions-Policy", "camera=(self), microphone=(), geolocation=()")
	h.Set("X-Frame-Options", "DENY")
	h.Set("Cross-Origin-Opener-Policy", "same-origin")
}

// find reads the session of a capture request. When it returns nil it has answered.
func (s *Server) find(w http.ResponseWriter, r *http.Request, what asking) *session {
	pageHeaders(w)
	v, err := s.store.session(r.Context(), r.PathValue("id"), s.now())
	switch {
	case errors.Is(err, errNoSession):
		s.refuse(w, r, http.StatusNotFound, "session_unknown", "This link is not valid. Please go back to where you came from and start again.")
		return nil
	case err != nil:
		s.log.Error("kosmos: read a session", "error", err)
		s.refuse(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again in a minute.")
		return nil
	case !s.limit.allow(v.ID, what, s.now()):
		retryAfter(w, time.Minute)
		s.refuse(w, r, http.StatusTooManyRequests, refuseRate, "That was too fast. Please wait a minute and try again.")
		return nil
	}
	return v
}

func (s *Server) refuse(w http.ResponseWriter, r *http.Request, status int, reason, message string) {
	if wantsJSON(r) {
		writeJSON(w, status, answer{Reason: reason, Message: message})
		return
	}
	s.render(w, status, view{Title: "Not possible", Step: "error", Message: message})
}

func (s *Server) pageState(w http.ResponseWriter, r *http.Request) {
	v := s.find(w, r, askRead)
	if v == nil {
		return
	}
	photos, err := s.store.photos(r.Context(), v.ID, false)
	if err != nil {
		s.internal(w, "read photos", err)
		return
	}
	writeJSON(w, http.StatusOK, s.stateAnswer(v, photos, ""))
}

// stateAnswer describes a session, after an act on side if that is not empty.
func (s *Server) stateAnswer(v *session, photos map[string]photo, side string) answer {
	a := answer{State: v.State, Step: stepOf(v, photos, side), status: http.StatusOK, side: side}
	if v.State.ended() {
		_, a.Message = endWords(v)
		a.Reason = v.Reason
		a.ReturnURL = callbackURL(v)
		return a
	}
	a.AttemptsLeft = s.opt.MaxAttempts - photos[cmp.Or(side, a.Step)].Attempts
	return a
}

// act wraps an endpoint that changes a session: browsers may call it from the
// page's own origin only, answers go to scripts as JSON and to forms as a
// redirect to the page, which shows the new state.
func (s *Server) act(do func(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error)) http.HandlerFunc {
	return s.actAs(askWrite, do)
}

func (s *Server) actAs(what asking, do func(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error)) http.HandlerFunc {
	guard := http.NewCrossOriginProtection()
	return func(w http.ResponseWriter, r *http.Request) {
		if guard.Check(r) != nil {
			pageHeaders(w)
			s.refuse(w, r, http.StatusForbidden, refuseOrigin, "This request came from another website and was not carried out.")
			return
		}
		v := s.find(w, r, what)
		if v == nil {
			return
		}
		// An act that was begun is finished even when the browser goes away.
		a, err := do(context.WithoutCancel(r.Context()), w, r, v)
		if errors.Is(err, errState) {
			if v = s.find(w, r, askRead); v == nil {
				return
			}
			photos, perr := s.store.photos(r.Context(), v.ID, false)
			a, err = s.stateAnswer(v, photos, ""), perr
			a.status = http.StatusConflict
			if !v.State.ended() {
				a.Reason, a.Message = refuseEnded, "This is already being checked."
			}
			if v.State == Created {
				a.Reason, a.Message = refuseNotStarted, "Please agree first."
			}
		}
		if err != nil || a.status >= 400 {
			s.drain(w, r)
		}
		var no *refusal
		if errors.As(err, &no) {
			if no.wait > 0 {
				retryAfter(w, no.wait)
			}
			s.refuse(w, r, no.status, no.reason, no.message)
			return
		}
		if err != nil {
			s.log.Error("kosmos: capture", "session", s.logName(v.ID), "error", err)
			s.refuse(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again.")
			return
		}
		if wantsJSON(r) {
			writeJSON(w, a.status, a)
			return
		}
		q := url.Values{}
		if a.State.open() && a.side != "" {
			if a.Usable == nil || !*a.Usable {
				q.Set("step", a.side)
			} else {
				q.Set("step", a.Step)
			}
			if a.Reason != "" {
				q.Set("note", a.Reason)
			}
		}
		to := pagePath(v.ID)
		if len(q) > 0 {
			to += "?" + q.Encode()
		}
		w.Header().Set("Location", to) // http.Redirect would write a body with the link
		w.WriteHeader(http.StatusSeeOther)
	}
}

// refusal is an act that was not begun; the session is as before.
type refusal struct {
	status          int
	reason, message string
	wait            time.Duration // before it may go better
}

func (e *refusal) Error() string { return e.reason }

var (
	tooMany = &refusal{http.StatusServiceUnavailable, refuseBusy,
		"Too many photos are being sent at the moment. Please try again in a few seconds.", 5 * time.Second}
	oneByOne = &refusal{http.StatusConflict, refuseUploading,
		"Another photo is still being sent for this check. Please wait for it and try again.", 0}
	tooSlow = &refusal{http.StatusRequestTimeout, refuseSlow,
		"The photo did not arrive in time. Please try again, with a better connection if you can.", 0}
)

// drain reads and drops what is still arriving, within bounds: a client that
// cannot finish sending often does not see the answer.
func (s *Server) drain(w http.ResponseWriter, r *http.Request) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.patience.drain)) // not every server has one
	_, _ = io.CopyN(io.Discard, r.Body, maxDrained)
}

func (s *Server) current(ctx context.Context, id, side string) (answer, error) {
	v, err := s.store.session(ctx, id, s.now())
	if err != nil {
		return answer{}, err
	}
	photos, err := s.store.photos(ctx, id, false)
	if err != nil {
		return answer{}, err
	}
	return s.stateAnswer(v, photos, side), nil
}

// start records the person's consent and, where several documents are allowed,
// which one it will be (form field document_type). The field enrol=yes is a
// consent of its own, to be enrolled; it counts only in a session that mayEnrol.
func (s *Server) start(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error) {
	if v.State == Started || v.State == Captured { // pressed twice, or gone back
		return s.current(ctx, v.ID, "")
	}
	if v.State != Created {
		return answer{}, errState
	}
	r.Body = http.MaxBytesReader(w, r.Body, 64<<10)
	chosen := r.PostFormValue("document_type")
	if len(v.Request.DocumentTypes) == 1 {
		chosen = v.Request.DocumentTypes[0]
	}
	if chosen != "" && !slices.Contains(v.Request.DocumentTypes, chosen) {
		a := s.stateAnswer(v, nil, "")
		a.status, a.Reason, a.Message = http.StatusBadRequest, refuseRequest, "Please choose one of the documents."
		return a, nil
	}
	now, enrol := s.now(), mayEnrol(v) && r.PostFormValue("enrol") == "yes"
	err := s.store.move(ctx, v.ID, Started, chosen, now, []string{eventConsent, eventDocumentInstruction}, func(tx *sql.Tx) error {
		if !enrol {
			return nil
		}
		return consented(ctx, tx, v.ID, consent{enrolConsentVersion, now})
	}, Created)
	if err != nil {
		return answer{}, err
	}
	return s.current(ctx, v.ID, "")
}

func (s *Server) decline(ctx context.Context, _ http.ResponseWriter, _ *http.Request, v *session) (answer, error) {
	err := s.store.end(ctx, v.ID, Abandoned, "", nil, s.now(), eventAbandoned, nil, Created, Started, Captured)
	if err != nil {
		return answer{}, err
	}
	return s.current(ctx, v.ID, "")
}

// submit asks for the verdict. A photo whose every attempt so far was refused
// as no photo at all makes the verdict here and now: there is nothing to judge.
func (s *Server) submit(ctx context.Context, _ http.ResponseWriter, _ *http.Request, v *session) (answer, error) {
	if v.State == Judging {
		return s.current(ctx, v.ID, "")
	}
	if v.State != Started && v.State != Captured {
		return answer{}, errState
	}
	photos, err := s.store.photos(ctx, v.ID, false)
	if err != nil {
		return answer{}, err
	}
	for _, side := range required(v) {
		p := photos[side]
		if p.Stored {
			continue
		}
		if p.Reason != "" {
			if err := s.giveUp(ctx, v, p.Reason); err != nil {
				return answer{}, err
			}
			return s.current(ctx, v.ID, "")
		}
		a := s.stateAnswer(v, photos, "")
		a.status, a.Reason, a.Message = http.StatusConflict, refuseMissing, "A photo is still missing."
		return a, nil
	}
	if err := s.store.move(ctx, v.ID, Judging, "", s.now(), []string{eventSubmission}, nil, Captured); err != nil {
		return answer{}, err
	}
	s.judgeSoon(v.ID)
	return s.current(ctx, v.ID, "")
}

// giveUp fails a session for which there is nothing to judge.
func (s *Server) giveUp(ctx context.Context, v *session, reason string) error {
	now := s.now()
	out := &outcome{Own: proofingBlock(nil, reason), Error: errorFor(ReasonRetriesExhausted, "", v, now)}
	return s.store.end(ctx, v.ID, Failed, reason, out, now, eventValidate, nil, Started, Captured)
}

func wantSelfie(v *session) bool { return v.Request.Selfie || v.Request.Liveness != api.LivenessNone }

// required lists the sides without which there is no verdict. Whether the back
// of a card is, the engine decides.
func required(v *session) []string {
	if wantSelfie(v) {
		return []string{sideFront, sideSelfie}
	}
	return []string{sideFront}
}

// steps lists the sides that the page asks for, in order.
func steps(v *session, photos map[string]photo) []string {
	all := []string{sideFront}
	if photos[sideFront].Partial || photos[sideBack].Stored {
		all = append(all, sideBack)
	}
	if wantSelfie(v) {
		all = append(all, sideSelfie)
	}
	return all
}

// stepOf is the step that comes next: after side, or from the beginning.
func stepOf(v *session, photos map[string]photo, side string) string {
	switch {
	case v.State == Created:
		return stepStart
	case v.State == Judging:
		return stepWait
	case v.State.ended():
		return stepEnd
	}
	all := steps(v, photos)
	for _, st := range all[slices.Index(all, side)+1:] { // -1 for none
		if p := photos[st]; !p.Stored || !p.Usable && side == "" {
			return st
		}
	}
	return stepReview
}

func (s *Server) uploadSelfie(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error) {
	if sequenced(v) && (v.State == Started || v.State == Captured) {
		return s.needsCamera(ctx, v)
	}
	return s.upload(ctx, w, r, v, sideSelfie)
}

func (s *Server) uploadDocument(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session) (answer, error) {
	return s.upload(ctx, w, r, v, "")
}

// upload takes a photo, has the engine look at it, and keeps it with what the
// engine said. It makes no verdict.
//
// Nothing of the body is read before it is clear that it may be sent: a person
// may try each photo MaxAttempts times, one after the other, and there is an end
// to the bytes that this process holds at one time.
func (s *Server) upload(ctx context.Context, w http.ResponseWriter, r *http.Request, v *session, what string) (answer, error) {
	if v.State != Started && v.State != Captured {
		return answer{}, errState
	}
	release, err := s.place(r, v.ID)
	if err != nil {
		return answer{}, err
	}
	defer release()
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(s.patience.upload)) // not every server has one

	sideOf := func(said string) string {
		if what == sideSelfie {
			return sideSelfie
		}
		return cmp.Or(said, r.URL.Query().Get("side"))
	}
	// A file is read only while an attempt is left for it.
	said := map[string]string{"side": ""}
	images, bad, err := readParts(w, r, said, func() error {
		known, err := s.store.photos(ctx, v.ID, false)
		asked := []string{sideOf(said["side"])}
		if asked[0] == "" { // said after the file, or not at all
			asked = []string{sideFront, sideBack}
		}
		if err == nil && !slices.ContainsFunc(asked, func(a string) bool { return known[a].Attempts < s.opt.MaxAttempts }) {
			err = errAttempts
		}
		return err
	})
	side := cmp.Or(sideOf(said["side"]), sideFront)
	if errors.Is(err, errAttempts) {
		return s.exhausted(ctx, v.ID, side)
	}
	if err != nil {
		return answer{}, err
	}
	return s.take(ctx, v, side, images, bad)
}

// place takes one of the places for uploads, of which a session has one and all
// sessions together maxUploads. Until one is free the client keeps its bytes.
func (s *Server) place(r *http.Request, id string) (release func(), err error) {
	if _, running := s.uploading.LoadOrStore(id, nil); running {
		return nil, oneByOne
	}
	wait := time.NewTimer(s.patience.place)
	defer wait.Stop()
	select {
	case s.uploads <- struct{}{}:
		return func() { <-s.uploads; s.uploading.Delete(id) }, nil
	case <-wait.C:
	case <-r.Context().Done(): // gone
	}
	s.uploading.Delete(id)
	return nil, tooMany
}

// exhausted is the answer when no attempt is left for a side.
func (s *Server) exhausted(ctx context.Context, id, side string) (answer, error) {
	a, err := s.current(ctx, id, side)
	no := false
	a.status, a.Reason, a.AttemptsLeft, a.Usable = http.StatusConflict, refuseAttempts, 0, &no
	a.Message = "There are no more attempts for this photo. You can continue with the last one."
	return a, err
}

// take keeps a photo that was read, or notes why it is none.
func (s *Server) take(ctx context.Context, v *session, side string, images [][]byte, bad string) (answer, error) {
	if side != sideFront && side != sideBack && side != sideSelfie || bad == refuseRequest {
		a, err := s.current(ctx, v.ID, "")
		a.status, a.Reason = http.StatusBadRequest, refuseRequest
		a.Message = "The upload must be multipart/form-data with a part named file, and side front or back."
		return a, err
	}
	if side != sideSelfie && len(images) > 1 {
		images = images[:1]
	}
	photos, err := s.store.photos(ctx, v.ID, side == sideFront || side == sideBack)
	if err != nil {
		return answer{}, err
	}
	if side == sideBack && !photos[sideFront].Stored {
		a := s.stateAnswer(v, photos, side)
		a.status, a.Reason, a.Message = http.StatusConflict, refuseMissing, "Photograph the front first."
		return a, nil
	}
	_, err = s.store.attempt(ctx, v.ID, side, s.opt.MaxAttempts, s.now())
	if errors.Is(err, errAttempts) {
		return s.exhausted(ctx, v.ID, side)
	}
	if err != nil {
		return answer{}, err
	}

	// A zone that was read, but not surely, is decided by another photo that agrees:
	// the earlier ones are looked at and kept along with it.
	if before := photos[side]; bad == "" && before.Reason == api.ReasonDocumentAgain && v.Chosen != api.DriversLicense {
		images = append(images, before.Images[:min(len(before.Images), maxMore)]...)
	}
	p := photo{Images: images, Reason: bad}
	var checks []api.Check
	message := ""
	if bad == "" {
		p.Usable, p.Partial, p.Reason, checks, message = s.guide(ctx, v, side, images, photos)
		if side != sideSelfie && outcomeOf(&api.Report{Checks: checks}, api.CheckMRZ) == api.Fail {
			p.Images = p.Images[:1] // they disagree: the next one is not held to them
		}
	} else {
		p.Images = nil
		message = row(bad).advice
	}
	event := eventDocumentCapture
	if side == sideSelfie {
		event = eventSelfieCapture
	}
	stored := p
	if p.Usable {
		stored.Reason = "" // that it could not be looked at now is no finding
	}
	if err := s.store.keep(ctx, v.ID, side, stored, wantSelfie(v), s.now(), event); err != nil {
		return answer{}, err
	}
	a, err := s.current(ctx, v.ID, side)
	if err != nil {
		return answer{}, err
	}
	if bad != "" && a.AttemptsLeft <= 0 && !photos[side].Stored {
		if err := s.giveUp(ctx, v, bad); err != nil {
			return answer{}, err
		}
		if a, err = s.current(ctx, v.ID, ""); err != nil {
			return answer{}, err
		}
	} else {
		a.Usable, a.Reason, a.Message, a.Checks = &p.Usable, p.Reason, message, checks
	}
	switch bad {
	case api.ReasonImageTooLarge:
		a.status = http.StatusRequestEntityTooLarge
	case api.ReasonImageUnreadable:
		a.status = http.StatusUnsupportedMediaType
	}
	return a, nil
}

// guide asks the engine what speaks against a photo. When the engine cannot
// say, nothing does: the verdict asks it again.
func (s *Server) guide(ctx context.Context, v *session, side string, images [][]byte, photos map[string]photo) (usable, partial bool, reason string, checks []api.Check, message string) {
	ctx, cancel := context.WithTimeout(ctx, guidanceTimeout)
	defer cancel()
	types := v.Request.DocumentTypes
	if v.Chosen != "" {
		types = []string{v.Chosen}
	}
	var report *api.Report
	var err error
	switch side {
	case sideSelfie:
		report, err = s.opt.Engine.Selfie(ctx, &api.SelfieRequest{Selfie: images[0]})
		message = "Your face can be seen well."
	case sideBack:
		report, err = s.opt.Engine.Document(ctx, &api.DocumentRequest{
			DocumentTypes: types, DocumentFront: first(photos[sideFront].Images), DocumentBack: images[0], DocumentMore: images[1:]})
		message = "The document can be read."
	default:
		report, err = s.opt.Engine.Document(ctx, &api.DocumentRequest{
			DocumentTypes: types, DocumentFront: images[0], DocumentBack: first(photos[sideBack].Images), DocumentMore: images[1:]})
		message = "The document can be read."
	}
	cannot := "We could not look at this photo now. You can continue; it will be checked at the end."
	card := slices.Contains(types, api.IDCard) || slices.Contains(types, api.DriversLicense)
	partial = side == sideFront && card && !slices.Contains(types, api.Passport) && !photos[sideBack].Stored
	if err == nil && report == nil {
		err = errors.New("no report")
	}
	if err != nil {
		s.log.Warn("kosmos: no guidance", "session", s.logName(v.ID), "error", err)
		if reason, _ = failure(err); reason == api.ReasonImageTooLarge {
			return false, false, reason, nil, row(reason).advice
		}
		return true, partial, reason, nil, cannot
	}
	if report.Verdict == api.Pass && report.Reason == "" {
		return true, false, "", report.Checks, message
	}
	switch report.Reason {
	case api.ReasonMRZNotFound, api.ReasonBarcodeNotFound:
		// A card may have its machine-readable zone on the other side, and a licence
		// has its barcode there.
		if side == sideFront && !photos[sideBack].Stored && card {
			if slices.ContainsFunc(report.Checks, func(c api.Check) bool { return c.Name == api.CheckDocumentPortrait && c.Outcome == api.Fail }) {
				return false, true, api.ReasonPortraitNotFound, report.Checks, row(api.ReasonPortraitNotFound).advice
			}
			return true, true, "", report.Checks, "That is the front. Now the other side."
		}
	case "", api.ReasonEngineBusy, api.ReasonEngineTimeout, api.ReasonEngineError, api.ReasonModelsMissing:
		return true, partial, cmp.Or(report.Reason, api.ReasonEngineError), report.Checks, cannot
	}
	return false, false, report.Reason, report.Checks, cmp.Or(row(report.Reason).advice, "This photo cannot be used. Please take another one.")
}

// readParts reads a multipart body: the text of the parts that are keys of said,
// of each name the first that is not empty, and the images of the parts named file, of which there
// may be maxSelfies. bad is empty, refuseRequest, or the reason why a file is no
// photo. Before the first file it asks may, with what was said so far; where
// there is none, at the end. The error is may's, or tooSlow.
func readParts(w http.ResponseWriter, r *http.Request, said map[string]string, may func() error) (images [][]byte, bad string, err error) {
	malformed := func(err error) ([][]byte, string, error) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			return nil, "", tooSlow
		}
		return nil, refuseRequest, nil
	}
	media, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if err != nil || media != "multipart/form-data" || params["boundary"] == "" {
		return malformed(err)
	}
	r.Body = http.MaxBytesReader(w, r.Body, maxDrained)
	parts, err := r.MultipartReader()
	if err != nil {
		return malformed(err)
	}
	total, asked := 0, false
	for {
		part, err := parts.NextPart()
		if errors.Is(err, io.EOF) {
			break
		}
		if tooLarge(err) && asked {
			return nil, api.ReasonImageTooLarge, nil
		}
		if err != nil {
			return malformed(err)
		}
		name := part.FormName()
		if text, known := said[name]; known && text == "" {
			text, err := io.ReadAll(io.LimitReader(part, 1<<10))
			if err != nil {
				return malformed(err)
			}
			said[name] = string(text)
			continue
		}
		if name != "file" {
			continue // NextPart skips what it holds
		}
		if !asked {
			if err := may(); err != nil {
				return nil, "", err
			}
			asked = true
		}
		b, err := io.ReadAll(io.LimitReader(part, int64(maxPhoto-total)+1))
		if err == nil && total+len(b) > maxPhoto {
			// Read on, so that a client that is still sending gets the answer.
			_, err = io.Copy(io.Discard, part)
			if err == nil || tooLarge(err) {
				bad, b, err = api.ReasonImageTooLarge, nil, nil
			}
		}
		if err != nil {
			return malformed(err)
		}
		total += len(b)
		if bad == "" {
			if len(images) == maxSelfies {
				return malformed(nil)
			}
			images = append(images, b)
		}
	}
	switch {
	case !asked: // no file; what was said may still be worth an answer
		if err := may(); err != nil {
			return nil, "", err
		}
		return malformed(nil)
	case bad != "":
		return nil, bad, nil
	}
	for _, b := range images {
		if t := http.DetectContentType(b); t != "image/jpeg" && t != "image/png" {
			return nil, api.ReasonImageUnreadable, nil
		}
	}
	return images, "", nil
}

func tooLarge(err error) bool {
	var big *http.MaxBytesError
	return errors.As(err, &big)
}

// view is what page.html shows.
type view struct {
	Title     string
	Step      string
	Base      string // path of the session
	Script    string
	Style     string
	Number    int // of the step, from 1
	Of        int
	Types     []choice // to choose from
	Document  string   // "passport", ...
	Selfie    bool
	Live      bool // liveness active: the selfie is a sequence of frames
	Enrol     bool // ask to keep the face
	Side      string
	Camera    string // facing mode
	TestID    string // of the file input
	Photo     *photoView
	Left      int // attempts
	Next      string
	Summary   []summary
	Status    string // of the result
	Message   string
	ReturnURL string
	ReturnTo  string // its host
	Kept      string // how long the result can be fetched
}

type choice struct{ Value, Name string }

type photoView struct {
	Usable  bool
	Stored  bool
	Message string
}

type summary struct {
	Name, Side, Message string
	Usable, Retake      bool
}

var page = template.Must(template.New("page").Parse(pageSource + liveSource))

func (s *Server) render(w http.ResponseWriter, status int, v view) {
	v.Script, v.Style = staticURL(staticScript), staticURL(staticStyle)
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	if err := page.Execute(w, v); err != nil {
		s.log.Debug("kosmos: render", "error", err) // the browser went away
	}
}

func (s *Server) page(w http.ResponseWriter, r *http.Request) {
	v := s.find(w, r, askRead)
	if v == nil {
		return
	}
	photos, err := s.store.photos(r.Context(), v.ID, false)
	if err != nil {
		s.log.Error("kosmos: read photos", "error", err)
		s.refuse(w, r, http.StatusInternalServerError, "internal_error", "Something went wrong on our side. Please try again in a minute.")
		return
	}
	d := view{Base: pagePath(v.ID), Step: stepOf(v, photos, ""), Kept: spoken(s.opt.PIITTL)}
	if v.State.ended() {
		d.Title, d.Message = endWords(v)
		d.Status = string(v.State)
		if d.ReturnURL = callbackURL(v); d.ReturnURL != "" {
			if u, err := url.Parse(d.ReturnURL); err == nil {
				d.ReturnTo = u.Host
			}
		}
		s.render(w, http.StatusOK, d)
		return
	}
	if v.Request != nil {
		d.Selfie, d.Live = wantSelfie(v), sequenced(v)
		d.Document = "document"
		if v.Chosen != "" || len(v.Request.DocumentTypes) == 1 {
			d.Document = spokenType(chosenType(v))
		}
	}
	all := steps(v, photos)
	// A step may be asked for once all before it have a photo.
	if asked := r.URL.Query().Get("step"); v.State.open() && v.State != Created {
		for i, st := range append(slices.Clone(all), stepReview) {
			if st == asked {
				d.Step = asked
				d.Number = i + 1
				break
			}
			if !photos[st].Stored {
				break
			}
		}
	}
	d.Of = len(all) + 1
	d.Number = slices.Index(all, d.Step) + 1
	switch d.Step {
	case stepStart:
		d.Title, d.Enrol = "Check who you are", mayEnrol(v)
		if len(v.Request.DocumentTypes) > 1 {
			for _, t := range v.Request.DocumentTypes {
				d.Types = append(d.Types, choice{t, spokenType(t)})
			}
		}
	case stepReview:
		d.Number, d.Title = d.Of, "Ready to check"
		for _, st := range all {
			p := photos[st]
			name := s.sideName(v, st, all)
			message := "Good photo"
			if st == sideSelfie && sequenced(v) {
				message = "Seen well"
			}
			if !p.Usable {
				message = cmp.Or(row(p.Reason).advice, "This photo may not be good enough.")
			}
			d.Summary = append(d.Summary, summary{name, st, message, p.Usable, p.Attempts < s.opt.MaxAttempts})
		}
	case stepWait:
		d.Title = "Checking your photos"
	default:
		p := photos[d.Step]
		d.Side, d.Camera, d.TestID = d.Step, "environment", "file-document"
		d.Title = "Photograph your " + s.sideName(v, d.Step, all)
		switch d.Step {
		case sideBack:
			d.TestID = "file-document-back"
		case sideSelfie:
			d.Camera, d.TestID, d.Title = "user", "file-selfie", "Take a photo of your face"
			if d.Live {
				d.Title = "Show your face to the camera"
			}
		}
		d.Left = max(0, s.opt.MaxAttempts-p.Attempts)
		d.Next = d.Base + "?step=" + stepOf(v, photos, d.Step)
		note := r.URL.Query().Get("note")
		_, known := reasonTable[note]
		if d.Live && d.Step == sideSelfie {
			if !p.Usable && p.Reason != "" {
				d.Message = overWords(p.Reason)
			}
		} else if p.Attempts > 0 {
			d.Photo = &photoView{Usable: p.Usable && p.Stored, Stored: p.Stored}
			switch {
			case known && row(note).advice != "":
				d.Photo.Message, d.Photo.Usable = row(note).advice, false
			case d.Photo.Usable:
				d.Photo.Message = "This photo is good."
			default:
				d.Photo.Message = cmp.Or(row(p.Reason).advice, "This photo cannot be used. Please take another one.")
			}
		}
	}
	s.render(w, http.StatusOK, d)
}

func (s *Server) sideName(v *session, side string, all []string) string {
	doc := "document"
	if v.Chosen != "" || len(v.Request.DocumentTypes) == 1 {
		doc = spokenType(chosenType(v))
	}
	switch {
	case side == sideSelfie:
		return "face"
	case side == sideBack:
		return doc + " (back)"
	case slices.Contains(all, sideBack) || chosenType(v) != api.Passport:
		return doc + " (front)"
	}
	return doc
}

func spokenType(t string) string {
	switch t {
	case api.Passport:
		return "passport"
	case api.DriversLicense:
		return "driving licence"
	case api.IDCard:
		return "identity card"
	}
	return "document"
}

func spoken(d time.Duration) string {
	count := func(n int, unit string) string {
		if n == 1 {
			return "one " + unit
		}
		return fmt.Sprintf("%d %ss", n, unit)
	}
	switch {
	case d >= 48*time.Hour:
		return count(int(d.Hours()/24), "day")
	case d >= time.Hour:
		return count(int(d.Hours()), "hour")
	}
	return count(max(1, int(d.Minutes())), "minute")
}

// endWords are the title and the sentence of a session that has ended.
func endWords(v *session) (title, message string) {
	switch v.State {
	case Success:
		message = "Your document was read and everything we checked was in order."
		if o := v.Outcome; o != nil && o.Own.Enrolled != nil && *o.Own.Enrolled {
			message += " Your face can be recognised for this account from now on."
		}
		return "You are verified", message
	case Failed:
		return "We could not verify you", row(v.Reason).ended
	case Expired:
		return "This link has expired", "The time for this check is over. Please go back to where you came from and start again."
	}
	return "You stopped the check", "Nothing was checked and your photos are deleted. You can start again where you came from."
}
