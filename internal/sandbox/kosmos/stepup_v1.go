package kosmos

import (
	"errors"
	"net/http"
	"time"
)

// Step-up in the Bearer profile of reference 4.1. What it leaves open is in
// guesses_stepup.go.

func (s *Server) stepUpV1Routes(mux *http.ServeMux) {
	mux.HandleFunc("POST /v1/auth/stepup", s.v1StepUp)
	mux.HandleFunc("GET /v1/auth/stepup/{id}", s.v1StepUpResult)
}

func (s *Server) v1StepUp(w http.ResponseWriter, r *http.Request) {
	if !s.bearer(w, r) {
		return
	}
	var ask struct {
		UserID         string `json:"user_id"`
		ReasonCode     string `json:"reason_code"`
		TimeoutSeconds *int   `json:"timeout_seconds"`
	}
	if !readJSON(w, r, &ask) {
		return
	}
	if ask.UserID == "" {
		v1Problem(http.StatusBadRequest, "user_id is required").write(w)
		return
	}
	lifetime := v1StepUpDefault
	if ask.TimeoutSeconds != nil {
		seconds := *ask.TimeoutSeconds
		if seconds < int(v1StepUpLeast/time.Second) || seconds > int(v1StepUpMost/time.Second) {
			v1Problem(http.StatusBadRequest, "timeout_seconds must be from 10 to 3600").write(w)
			return
		}
		lifetime = time.Duration(seconds) * time.Second
	}
	if !s.mayChallenge(w, r, ask.UserID, styleNewer) {
		return
	}
	v := &stepUp{
		Kind: kindV1, Username: ask.UserID, Expires: s.now().Add(lifetime),
		Show: stepUpShow{Application: "An application of " + s.opt.TenantTag, Account: maskAccount(ask.UserID), Purpose: shown(ask.ReasonCode, 60)},
	}
	if err := s.newStepUp(r.Context(), v); err != nil {
		s.internal(w, "create a step-up", err)
		return
	}
	writeJSON(w, v1StepUpCreated, map[string]string{
		"challenge_id": v.ID, "challenge_url": s.authenticatorURL(r, v.ID), "status": v1Pending, "expires_at": v.Expires.UTC().Format(time.RFC3339),
	})
}

// mayChallenge reports whether a named user can be asked for their face now.
// When it returns false it has answered.
func (s *Server) mayChallenge(w http.ResponseWriter, r *http.Request, username string, st style) bool {
	reason, err := s.challengeable(r.Context(), username)
	switch {
	case err != nil:
		s.internal(w, "look up a user", err)
		return false
	case reason == "":
		return true
	}
	p := refusedStart(st, reason)
	if p.status == http.StatusTooManyRequests {
		retryAfter(w, guessWindow)
	}
	writeRefusal(w, p, refusalBlock{Reason: reason})
	return false
}

func (s *Server) v1StepUpResult(w http.ResponseWriter, r *http.Request) {
	if !s.bearer(w, r) {
		return
	}
	v, err := s.stepUp(r.Context(), r.PathValue("id"))
	if errors.Is(err, errNoSession) || err == nil && v.Kind != kindV1 {
		v1Problem(http.StatusNotFound, "Challenge not found").write(w)
		return
	}
	if err != nil {
		s.internal(w, "read a step-up", err)
		return
	}
	if err := s.recall(r.Context(), v); err != nil {
		s.internal(w, "read a step-up", err)
		return
	}
	answer := struct {
		ChallengeID string   `json:"challenge_id"`
		UserID      string   `json:"user_id,omitempty"` // as the user was asked for; absent once purged
		Status      string   `json:"status"`
		MatchResult string   `json:"match_result"`
		Confidence  *float64 `json:"confidence"`
		Own         any      `json:"kosmoscope,omitempty"`
	}{ChallengeID: v.ID, UserID: v.Username}
	answer.Status, answer.MatchResult = v1StepUpState(v.State)
	switch {
	case v.State == stepUpMatch && v.Answer != nil:
		answer.Confidence, answer.Own = v.Answer.Score, v.Answer.block()
	case v.State == stepUpRefused:
		answer.Own = refusalBlock{v1NoMatch, v.Reason}
	}
	writeJSON(w, http.StatusOK, answer)
}
