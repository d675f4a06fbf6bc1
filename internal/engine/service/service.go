package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/liveness"
)

// Judge is what the service asks; *engine.Verifier is one. Errors are the context's.
type Judge interface {
	Verify(context.Context, *api.VerifyRequest) (*api.Report, error)
	Document(context.Context, *api.DocumentRequest) (*api.Report, error)
	Selfie(context.Context, *api.SelfieRequest) (*api.Report, error)
	Match(context.Context, *api.MatchRequest) (*api.Report, error)
	Challenge(context.Context) (*api.Challenge, error)
	Frame(context.Context, *api.FrameRequest) (*api.FrameReport, error)
	Models() (models []api.Model, present bool)
	Info() api.Info
}

// Bounds of the service. Zero values mean the defaults.
type Bounds struct {
	Workers int           // requests that are worked on at once; default 2
	Queue   int           // requests that wait beside them; default 16
	Timeout time.Duration // for one request, waiting included; default 30 s
	MaxBody int64         // bytes; default 49 MiB: three pictures of 12 MiB in base64, and what is around them
}

func (b Bounds) withDefaults() Bounds {
	if b.Workers <= 0 {
		b.Workers = 2
	}
	if b.Queue <= 0 {
		b.Queue = 16
	}
	if b.Timeout <= 0 {
		b.Timeout = 30 * time.Second
	}
	if b.MaxBody <= 0 {
		b.MaxBody = 3*engine.MaxPicture/3*4 + 1<<20
	}
	return b
}

// drainTime bounds how long the rest of a refused request is read.
const drainTime = 3 * time.Second

type handler struct {
	judge   Judge
	bounds  Bounds
	log     *slog.Logger
	places  chan struct{} // one for each request inside, working or waiting
	workers chan struct{}
}

// Handler gives the service's HTTP handler.
func Handler(judge Judge, bounds Bounds, log *slog.Logger) http.Handler {
	b := bounds.withDefaults()
	h := &handler{judge: judge, bounds: b, log: log,
		places: make(chan struct{}, b.Workers+b.Queue), workers: make(chan struct{}, b.Workers)}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /v1/verify", serve(h, checkVerify, judge.Verify))
	mux.HandleFunc("POST /v1/document", serve(h, checkDocument, judge.Document))
	mux.HandleFunc("POST /v1/selfie", serve(h, func(*api.SelfieRequest) error { return nil }, judge.Selfie))
	mux.HandleFunc("POST /v1/match", serve(h, checkMatch, judge.Match))
	mux.HandleFunc("POST /v1/challenge", serve(h, func(*struct{}) error { return nil },
		func(ctx context.Context, _ *struct{}) (*api.Challenge, error) { return judge.Challenge(ctx) }))
	mux.HandleFunc("POST /v1/frame", serve(h, checkFrame, judge.Frame))
	mux.HandleFunc("GET /healthz", h.health)
	return mux
}

func (h *handler) health(w http.ResponseWriter, _ *http.Request) {
	models, present := h.judge.Models()
	info := h.judge.Info()
	answer(w, http.StatusOK, map[string]any{"status": "ok", "models": present, "model_list": models,
		"profile": info.Profile, "set": info.Set, "operating_point": info.OperatingPoint, "score_basis": info.ScoreBasis,
		"workers": h.bounds.Workers, "busy": len(h.workers), "waiting": max(len(h.places)-len(h.workers), 0)})
}

// problem is an answer other than 200.
type problem struct {
	status          int
	reason, message string
}

func (p *problem) Error() string { return p.reason + ": " + p.message }

// refuse answers with a problem. What the caller is still sending is read and
// thrown away first, within bounds: a caller that cannot finish sending often
// does not see the answer.
func (h *handler) refuse(w http.ResponseWriter, r *http.Request, p *problem) {
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(drainTime)) // not every server has one
	_, _ = io.CopyN(io.Discard, r.Body, 2*h.bounds.MaxBody)
	if p.status == http.StatusServiceUnavailable || p.status == http.StatusGatewayTimeout {
		w.Header().Set("Retry-After", "2")
	}
	answer(w, p.status, api.Problem{Reason: p.reason, Message: p.message})
}

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body) // the caller has gone: nobody to tell
}

var (
	busy    = &problem{http.StatusServiceUnavailable, api.ReasonEngineBusy, "The engine has as many requests as it can hold; try again in a moment."}
	tooLate = &problem{http.StatusGatewayTimeout, api.ReasonEngineTimeout, "The engine did not finish in time; try again, with a smaller picture if it happens again."}
	broken  = &problem{http.StatusInternalServerError, api.ReasonEngineError, "The engine failed on this request; the log says more."}
)

// serve puts one request through the bounds.
func serve[T, R any](h *handler, check func(*T) error, judge func(context.Context, *T) (*R, error)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		select {
		case h.places <- struct{}{}:
		default:
			h.refuse(w, r, busy)
			return
		}
		ctx, cancel := context.WithTimeout(r.Context(), h.bounds.Timeout)
		defer cancel()
		select {
		case h.workers <- struct{}{}:
		case <-ctx.Done():
			<-h.places
			h.refuse(w, r, tooLate)
			return
		}
		// The body must arrive within the same time, or it would hold the worker.
		deadline, _ := ctx.Deadline()
		_ = http.NewResponseController(w).SetReadDeadline(deadline) // not every server has one
		req, err := read[T](http.MaxBytesReader(w, r.Body, h.bounds.MaxBody), r.ContentLength, h.bounds.MaxBody)
		if err == nil {
			err = check(req)
		}
		if err != nil {
			<-h.workers
			<-h.places
			h.refuse(w, r, invalid(ctx, err, h.bounds.MaxBody))
			return
		}
		type result struct {
			report *R
			err    error
		}
		done := make(chan result, 1)
		go func() {
			defer func() {
				if p := recover(); p != nil {
					h.log.Error("engine: panic", "path", r.URL.Path, "panic", fmt.Sprintf("%T", p), "stack", string(debug.Stack()))
					done <- result{nil, broken}
				}
				<-h.workers
				<-h.places
			}()
			report, err := judge(ctx, req)
			done <- result{report, err}
		}()
		select {
		case res := <-done:
			switch {
			case res.err == nil && res.report != nil:
				answer(w, http.StatusOK, res.report)
			case ctx.Err() != nil:
				h.refuse(w, r, tooLate)
			default:
				if res.err != broken {
					h.log.Error("engine: request failed", "path", r.URL.Path, "error", res.err)
				}
				h.refuse(w, r, broken)
			}
		case <-ctx.Done():
			h.refuse(w, r, tooLate)
		}
	}
}

// read reads the body into one buffer of the stated size and decodes it.
func read[T any](body io.Reader, length, limit int64) (*T, error) {
	if length > limit {
		return nil, &http.MaxBytesError{Limit: limit}
	}
	var buf bytes.Buffer
	if length > 0 {
		buf.Grow(int(length) + bytes.MinRead)
	}
	if _, err := buf.ReadFrom(body); err != nil {
		return nil, err
	}
	dec := json.NewDecoder(&buf)
	dec.DisallowUnknownFields()
	req := new(T)
	if err := dec.Decode(req); err != nil {
		return nil, err
	}
	if _, err := dec.Token(); !errors.Is(err, io.EOF) {
		return nil, errors.New("there is something after the JSON object")
	}
	return req, nil
}

// invalid turns a failed reading into a problem. JSON errors are safe to show:
// they name fields and types, never values.
func invalid(ctx context.Context, err error, limit int64) *problem {
	var tooLarge *http.MaxBytesError
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	var field fieldError
	message := "The body must be one JSON object."
	switch {
	case errors.As(err, &tooLarge):
		return &problem{http.StatusRequestEntityTooLarge, api.ReasonImageTooLarge, fmt.Sprintf("The body has more than %d MB.", limit>>20)}
	case ctx.Err() != nil:
		return tooLate
	case errors.As(err, &field):
		message = string(field)
	case errors.As(err, &wrongType):
		message = fmt.Sprintf("The field %q has the wrong type.", wrongType.Field)
	case errors.As(err, &syntax):
		message = fmt.Sprintf("The body is not JSON (at byte %d).", syntax.Offset)
	case strings.HasPrefix(err.Error(), "json: unknown field "):
		message = "There is no field " + strings.TrimPrefix(err.Error(), "json: unknown field ") + "."
	case strings.HasPrefix(err.Error(), "illegal base64"):
		message = "A picture or template is not base64."
	}
	return &problem{http.StatusBadRequest, api.ReasonInvalidRequest, message}
}

// fieldError is a sentence that names the field.
type fieldError string

func (e fieldError) Error() string { return string(e) }

func checkVerify(r *api.VerifyRequest) error {
	if err := checkLiveness(r.LivenessMode); err != nil {
		return err
	}
	if err := checkSequence(r.LivenessMode, r.Liveness); err != nil {
		return err
	}
	if r.Liveness != nil && len(r.Selfies) > 0 {
		return fieldError("The field \"selfies\" must be empty where \"liveness\" is given: the face is that of its frames.")
	}
	if err := checkSelfies(r.Selfies); err != nil {
		return err
	}
	if err := checkMore(r.DocumentMore); err != nil {
		return err
	}
	return checkTypes(r.DocumentTypes, r.DocumentFront)
}

func checkMatch(r *api.MatchRequest) error {
	if err := checkLiveness(r.LivenessMode); err != nil {
		return err
	}
	if err := checkSequence(r.LivenessMode, r.Liveness); err != nil {
		return err
	}
	given := 0
	for _, is := range []bool{len(r.Selfies) > 0, len(r.Probes) > 0, r.Liveness != nil} {
		if is {
			given++
		}
	}
	if given != 1 {
		return fieldError("Exactly one of the fields \"selfies\", \"probes\" and \"liveness\" must be given.")
	}
	if len(r.Probes) > 0 && r.LivenessMode != api.LivenessNone {
		return fieldError("The field \"liveness_mode\" must be none where \"probes\" is given: a template shows nobody alive.")
	}
	if err := checkSelfies(r.Selfies); err != nil {
		return err
	}
	if len(r.References) == 0 {
		return fieldError("The field \"references\" is missing.")
	}
	if err := checkTemplates("probes", r.Probes); err != nil {
		return err
	}
	return checkTemplates("references", r.References)
}

func checkLiveness(mode string) error {
	if !slices.Contains([]string{api.LivenessNone, api.LivenessPassive, api.LivenessActive}, mode) {
		return fieldError("The field \"liveness_mode\" must be none, passive or active.")
	}
	return nil
}

// maxCamera bounds the name of a camera, bytes.
const maxCamera = 256

// checkSequence: a sequence is there exactly with liveness_mode active.
func checkSequence(mode string, l *api.Liveness) error {
	if (mode == api.LivenessActive) != (l != nil) {
		return fieldError("The field \"liveness\" must be given exactly where \"liveness_mode\" is active.")
	}
	if l == nil {
		return nil
	}
	if !liveness.Drawn(l.Challenge) {
		return fieldError("The field \"liveness.challenge\" is no challenge of this engine.")
	}
	if len(l.Frames) == 0 || len(l.Frames) > api.MaxFrames {
		return fieldError(fmt.Sprintf("The field \"liveness.frames\" must hold 1 to %d frames.", api.MaxFrames))
	}
	if len(l.Camera) > maxCamera {
		return fieldError(fmt.Sprintf("The field \"liveness.camera\" may have at most %d bytes.", maxCamera))
	}
	for _, f := range l.Frames {
		if err := checkOneFrame("liveness.frames", l.Challenge, f); err != nil {
			return err
		}
	}
	return nil
}

// maxTime bounds the times of frames, milliseconds: a day.
const maxTime = 24 * 60 * 60 * 1000

func checkOneFrame(field string, c api.Challenge, f api.Frame) error {
	switch {
	case len(f.Image) == 0:
		return fieldError(fmt.Sprintf("A picture is missing in the field %q.", field))
	case len(f.Image) > engine.MaxFrame:
		return fieldError(fmt.Sprintf("A picture in the field %q has more than %d MB.", field, engine.MaxFrame>>20))
	case f.Action < 0 || f.Action >= len(c.Actions):
		return fieldError(fmt.Sprintf("An action in the field %q is not one of the challenge's.", field))
	case f.ReceivedMS < 0 || f.ReceivedMS > maxTime || f.CapturedMS < 0 || f.CapturedMS > maxTime:
		return fieldError(fmt.Sprintf("A time in the field %q is not within a day.", field))
	}
	return nil
}

func checkFrame(r *api.FrameRequest) error {
	if !liveness.Drawn(r.Challenge) {
		return fieldError("The field \"challenge\" is no challenge of this engine.")
	}
	if len(r.Earlier) > api.MaxFrames {
		return fieldError(fmt.Sprintf("The field \"earlier\" may hold at most %d measures.", api.MaxFrames))
	}
	for _, m := range r.Earlier {
		if _, err := liveness.ParseMeasure(m); err != nil {
			return fieldError("The field \"earlier\" holds something that is no measure of this engine.")
		}
	}
	return checkOneFrame("frame", r.Challenge, r.Frame)
}

func checkSelfies(list [][]byte) error {
	if len(list) > engine.MaxSelfies {
		return fieldError(fmt.Sprintf("The field \"selfies\" may hold at most %d pictures.", engine.MaxSelfies))
	}
	return nil
}

func checkTemplates(field string, list [][]byte) error {
	if len(list) > engine.MaxTemplates {
		return fieldError(fmt.Sprintf("The field %q may hold at most %d templates.", field, engine.MaxTemplates))
	}
	for _, b := range list {
		if len(b) == 0 || len(b) > engine.MaxTemplate {
			return fieldError(fmt.Sprintf("A template in the field %q must have 1 to %d bytes.", field, engine.MaxTemplate))
		}
	}
	return nil
}

func checkDocument(r *api.DocumentRequest) error {
	if err := checkMore(r.DocumentMore); err != nil {
		return err
	}
	return checkTypes(r.DocumentTypes, r.DocumentFront)
}

func checkMore(list [][]byte) error {
	if len(list) > engine.MaxMore {
		return fieldError(fmt.Sprintf("The field \"document_more\" may hold at most %d pictures.", engine.MaxMore))
	}
	return nil
}

func checkTypes(types []string, front []byte) error {
	for _, t := range types {
		if !slices.Contains([]string{api.Passport, api.DriversLicense, api.IDCard}, t) {
			return fieldError("The field \"document_types\" may hold passport, drivers_license and id_card.")
		}
	}
	if len(front) == 0 {
		return fieldError("The field \"document_front\" is missing.")
	}
	return nil
}
