package kosmos

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// UWL 2.0 sessions (reference 4.2). A session is answered by an app with the
// key of a wallet: the vendor's, or our authenticator, which stands for it. This
// service cannot read an answer, which is sealed to whoever made the session.
//
// Our answers that are not 200 carry, beside the vendor's envelope, the block
// "kosmoscope":{"reason":".."} with one of this project's reasons.

const svcSessions = "sessions"

// uwlDetail is what the creator of a session said.
type uwlDetail struct {
	Creator  string          `json:"creator"` // public key
	Origin   json.RawMessage `json:"origin"`
	Scopes   string          `json:"scopes"`
	AuthType string          `json:"authtype"`
	Metadata json.RawMessage `json:"metadata,omitempty"`
}

// wireAnswer is the body with which a session is answered. Its data is sealed
// with the shared key of PublicKey and the session's creator.
type wireAnswer struct {
	Data      string          `json:"data"`
	PublicKey string          `json:"publicKey"`
	DID       string          `json:"did"`
	AppID     string          `json:"appid"`
	IAL       string          `json:"ial"`
	EventData json.RawMessage `json:"eventData"`
}

// errCipher is data that cannot be a ciphertext: not base64, or shorter than IV and tag.
var errCipher = errors.New("kosmos: not a ciphertext")

const leastCipher = 32 // bytes (reference 1.5)

// fingerprint names the ciphertext however its base64 is spelled.
func (a *wireAnswer) fingerprint() ([]byte, error) {
	raw, err := base64.StdEncoding.DecodeString(a.Data)
	if err != nil || len(raw) < leastCipher {
		return nil, errCipher
	}
	sum := sha256.Sum256(raw)
	return sum[:], nil
}

func (s *Server) sessionRoutes(mux *http.ServeMux) {
	mux.HandleFunc("PUT /sessions/session/new", s.uwlCreate)
	mux.HandleFunc("GET /sessions/session/{id}", s.uwlRead)
	mux.HandleFunc("POST /sessions/session/{id}/authenticate", s.uwlAuthenticate)
	mux.HandleFunc("GET /sessions/session/{id}/response", s.uwlResponse)
}

func (s *Server) uwlCreate(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.admit(w, r, svcSessions); !ok {
		return
	}
	var ask struct {
		Origin   json.RawMessage `json:"origin"`
		Scopes   string          `json:"scopes"`
		AuthType *string         `json:"authtype"`
		Metadata json.RawMessage `json:"metadata"`
	}
	if !readJSON(w, r, &ask) {
		return
	}
	var origin *struct {
		CommunityName string `json:"communityName"`
		CommunityID   string `json:"communityId"`
	}
	var object map[string]json.RawMessage
	switch {
	case json.Unmarshal(ask.Origin, &origin) != nil || origin == nil:
		guessUWLRequest.write(w)
		return
	case origin.CommunityName != "" && origin.CommunityName != s.opt.Community, origin.CommunityID != "" && origin.CommunityID != s.communityID:
		guessUnknownTenant.write(w)
		return
	case len(ask.Metadata) > maxMetadata || ask.Metadata != nil && json.Unmarshal(ask.Metadata, &object) != nil:
		guessUWLMetadata.write(w)
		return
	}
	d := uwlDetail{Origin: ask.Origin, Scopes: ask.Scopes, AuthType: authTypeNone, Metadata: ask.Metadata}
	if ask.AuthType != nil && *ask.AuthType != "" {
		d.AuthType = *ask.AuthType
	}
	creator, err := blockid.ParsePublicKey(s.opt.Curve, r.Header.Get("publickey")) // admit has read it
	if err != nil {
		headerSealed("publickey").write(w)
		return
	}
	d.Creator = creator.String()
	detail, err := json.Marshal(d)
	if err != nil {
		s.internal(w, "create a step-up", err)
		return
	}
	v := &stepUp{Kind: kindUWL, Show: uwlShow(ask.Metadata), Detail: detail, Expires: s.now().Add(s.opt.StepUpTTL)}
	if err := s.newStepUp(r.Context(), v); err != nil {
		s.internal(w, "create a step-up", err)
		return
	}
	writeJSON(w, http.StatusCreated, map[string]string{"sessionId": v.ID})
}

// uwlSession finds a session for those who know its link, as often as the
// limiter lets them. When it returns nil it has answered.
func (s *Server) uwlSession(w http.ResponseWriter, r *http.Request, what asking) (*stepUp, *uwlDetail) {
	v, d := s.uwlFind(w, r)
	if v != nil && !s.limit.allow(v.ID, what, s.now()) {
		retryAfter(w, time.Minute)
		writeRefusal(w, problem{http.StatusTooManyRequests, styleCode, "Too many requests", ""}, refusalBlock{Reason: refuseRate})
		return nil, nil
	}
	return v, d
}

// uwlFind finds a session. When it returns nil it has answered. A purged one is
// gone: nothing says any more whose it was.
func (s *Server) uwlFind(w http.ResponseWriter, r *http.Request) (*stepUp, *uwlDetail) {
	v, err := s.stepUp(r.Context(), r.PathValue("id"))
	var d *uwlDetail
	if err == nil && v.Kind == kindUWL {
		d = uwlDetailOf(v)
	}
	if errors.Is(err, errNoSession) || err == nil && d == nil {
		writeRefusal(w, guessUWLUnknown, refusalBlock{Reason: "unknown_session"})
		return nil, nil
	}
	if err != nil {
		s.internal(w, "read a step-up", err)
		return nil, nil
	}
	return v, d
}

// uwlInfo is a session as everybody with its link may read it.
type uwlInfo struct {
	ID          string          `json:"_id"`
	SessionID   string          `json:"sessionId"`
	Origin      json.RawMessage `json:"origin"`
	Scopes      string          `json:"scopes"`
	AuthType    string          `json:"authtype"`
	PublicKey   string          `json:"publicKey"` // of the creator
	CreatedTS   int64           `json:"createdTS"`
	ExpiryTS    int64           `json:"expiryTS"`
	ExpiresDate string          `json:"expiresDate"`
	Metadata    json.RawMessage `json:"metadata,omitempty"`
	V           int             `json:"__v"`
}

func uwlInfoOf(v *stepUp, d *uwlDetail) *uwlInfo {
	i := &uwlInfo{
		ID: hexID(12, "session", v.ID), SessionID: v.ID, Origin: d.Origin, Scopes: d.Scopes, AuthType: d.AuthType,
		PublicKey: d.Creator, Metadata: d.Metadata,
	}
	i.CreatedTS, i.ExpiryTS, i.ExpiresDate = uwlTimes(v.Created, v.Expires)
	return i
}

// uwlRead is for the app, which got this very address from a QR code. A browser
// that came by it gets our authenticator instead.
func (s *Server) uwlRead(w http.ResponseWriter, r *http.Request) {
	if strings.Contains(r.Header.Get("Accept"), "text/html") {
		w.Header().Set("Cache-Control", "no-store")
		w.Header().Set("Location", authenticatorPath(r.PathValue("id"))) // says itself what it thinks of the id
		w.WriteHeader(http.StatusSeeOther)
		return
	}
	v, d := s.uwlSession(w, r, askRead)
	switch {
	case v == nil:
	case v.State == stepUpExpired:
		writeRefusal(w, guessUWLExpired, refusalBlock{Reason: refuseOver})
	default:
		writeJSON(w, http.StatusOK, uwlInfoOf(v, d))
	}
}

// uwlAuthenticate takes the app's answer: the first one, in time. That the
// sender holds the private key of the answer shows in the request id, which is
// fresh and sealed with that key; that this is the wallet of a user, and whose,
// is for the session's creator to find out.
func (s *Server) uwlAuthenticate(w http.ResponseWriter, r *http.Request) {
	v, _ := s.uwlSession(w, r, askWrite)
	if v == nil {
		return
	}
	refuse := func(p problem, reason string) { writeRefusal(w, p, refusalBlock{Reason: reason}) }
	service := s.keys.key(svcSessions)
	sender, err := blockid.ParsePublicKey(service.Curve(), r.Header.Get("publickey"))
	if err != nil {
		refuse(headerSealed("publickey"), refuseAnswerKey)
		return
	}
	shared, err := service.Shared(sender)
	if err != nil {
		refuse(headerSealed("publickey"), refuseAnswerKey)
		return
	}
	text, err := shared.Open(r.Header.Get("requestid"))
	if err != nil {
		refuse(headerSealed("requestid"), refuseCipher)
		return
	}
	id, err := blockid.ParseRequestID(text)
	if err != nil {
		refuse(headerSealed("requestid"), refuseCipher)
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxBody))
	if tooLarge(err) {
		refuse(guessTooLarge, "request_too_large")
		return
	}
	if err != nil {
		return // the connection broke
	}
	answer, err := parseAnswer(body)
	switch {
	case errors.Is(err, errCipher):
		refuse(guessAnswerCipher, refuseCipher)
		return
	case err != nil:
		refuse(problem{http.StatusBadRequest, styleCode, err.Error(), ""}, refuseRequest)
		return
	}
	key, err := blockid.ParsePublicKey(service.Curve(), answer.PublicKey)
	if err != nil || key.String() != sender.String() {
		refuse(guessAnswerKey, refuseAnswerKey)
		return
	}
	answer.PublicKey = key.String()
	if _, err := s.walletByDID(r.Context(), answer.DID); errors.Is(err, errDisabled) {
		refuse(guessAnswerDisabled, ReasonUserDisabled)
		return
	}
	if !s.replay.fresh(id, s.now(), s.opt.AllowedSkew) {
		refuse(guessStaleRequestID, refuseAnswered)
		return
	}
	err = s.answerStepUp(context.WithoutCancel(r.Context()), v.ID, &stepUpAnswer{DID: answer.DID, At: s.now()}, answer)
	switch {
	case errors.Is(err, errReplayed):
		refuse(guessAnswerSecond, refuseAnswered)
	case errors.Is(err, errState), errors.Is(err, errNoSession):
		refuse(guessAnswerOver, refuseOver)
	case err != nil:
		s.internal(w, "answer a step-up", err)
	default:
		writeJSON(w, http.StatusOK, map[string]string{"sessionId": v.ID})
	}
}

// parseAnswer reads the body of an answer. The error is errCipher for data that
// cannot be a ciphertext, else says what is missing; it quotes nothing.
func parseAnswer(body []byte) (*wireAnswer, error) {
	a := new(wireAnswer)
	outer := struct {
		*wireAnswer
		IAL any `json:"ial"` // a string, or absent; its shape is not documented
	}{wireAnswer: a}
	if json.Unmarshal(body, &outer) != nil {
		return nil, errors.New("request body must be a JSON object")
	}
	a.IAL, _ = outer.IAL.(string)
	for _, f := range []struct {
		name, value string
		longest     int
	}{{"did", a.DID, 128}, {"publicKey", a.PublicKey, 256}, {"appid", a.AppID, 256}, {"ial", a.IAL, 32}} {
		if len(f.value) > f.longest {
			return nil, fmt.Errorf("%s is too long", f.name)
		}
	}
	if a.DID == "" {
		return nil, errors.New("did is required")
	}
	if len(a.EventData) > maxMetadata {
		return nil, errors.New("eventData is too long")
	}
	_, err := a.fingerprint()
	return a, err
}

// uwlResponse lets the creator of a session read its answer. No stranger with the
// link can use up what the creator may ask.
func (s *Server) uwlResponse(w http.ResponseWriter, r *http.Request) {
	if _, ok := s.admit(w, r, svcSessions); !ok {
		return
	}
	v, d := s.uwlFind(w, r)
	if v == nil {
		return
	}
	// Somebody else's session and none look the same.
	if caller, err := blockid.ParsePublicKey(s.opt.Curve, r.Header.Get("publickey")); err != nil || caller.String() != d.Creator {
		writeRefusal(w, guessUWLUnknown, refusalBlock{Reason: "unknown_session"})
		return
	}
	switch v.State {
	case stepUpOpen:
		guessUWLPending.write(w)
		return
	case stepUpRefused:
		writeRefusal(w, guessUWLRefused, refusalBlock{v1NoMatch, v.Reason})
		return
	case stepUpMatch:
	default:
		writeRefusal(w, guessUWLExpired, refusalBlock{Reason: refuseOver})
		return
	}
	answer, err := s.wireAnswerOf(r.Context(), v.ID)
	if err != nil {
		s.internal(w, "read a step-up", err)
		return
	}
	if answer == nil {
		writeRefusal(w, guessUWLExpired, refusalBlock{Reason: refuseOver})
		return
	}
	body := struct {
		SessionID   string          `json:"sessionId"`
		Data        string          `json:"data"`
		AppID       string          `json:"appid"`
		IAL         string          `json:"ial,omitempty"`
		PublicKey   string          `json:"publicKey"`
		CreatedTS   int64           `json:"createdTS"`
		CreatedDate string          `json:"createdDate"`
		EventData   json.RawMessage `json:"eventData,omitempty"`
		SessionInfo *uwlInfo        `json:"sessionInfo,omitempty"`
	}{SessionID: v.ID, Data: answer.Data, AppID: answer.AppID, IAL: answer.IAL, PublicKey: answer.PublicKey, EventData: answer.EventData}
	if v.Answer != nil {
		body.CreatedTS, body.CreatedDate = v.Answer.At.UnixMilli(), isoDate(v.Answer.At)
	}
	if r.Header.Get("addsessioninfo") == "1" {
		body.SessionInfo = uwlInfoOf(v, d)
	}
	writeJSON(w, http.StatusOK, body)
}

// uwlWire seals what a match established to the session's creator, as the
// vendor's app would.
func uwlWire(v *stepUp, wal *wallet, a *stepUpAnswer) (*wireAnswer, error) {
	d := uwlDetailOf(v)
	if d == nil {
		return nil, errors.New("kosmos: detail of a UWL session")
	}
	creator, err := blockid.ParsePublicKey(wal.Key.Curve(), d.Creator)
	if err != nil {
		return nil, fmt.Errorf("kosmos: key of the session's creator: %w", err)
	}
	shared, err := wal.Key.Shared(creator)
	if err != nil {
		return nil, fmt.Errorf("kosmos: key of the session's creator: %w", err)
	}
	own := a.block()
	own.Session, own.MatchResult = v.ID, v1Match
	plain, err := json.Marshal(struct {
		DID    string       `json:"did"`
		UserID string       `json:"userid"`
		Own    *stepUpBlock `json:"kosmoscope"`
	}{wal.DID, wal.Username, own})
	if err != nil {
		return nil, err
	}
	sealed, err := shared.Seal(plain)
	if err != nil {
		return nil, err
	}
	event, err := json.Marshal(map[string]string{"authFactor": authFactorLiveID})
	return &wireAnswer{
		Data: sealed, PublicKey: wal.Key.Public().String(), DID: wal.DID, AppID: authenticatorAppID, EventData: event,
	}, err
}

// uwlDetailOf is nil for a step-up whose detail is purged.
func uwlDetailOf(v *stepUp) *uwlDetail {
	d := new(uwlDetail)
	if v.Detail == nil || json.Unmarshal(v.Detail, d) != nil {
		return nil
	}
	return d
}
