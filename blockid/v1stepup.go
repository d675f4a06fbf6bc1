package blockid

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// V1StepUpRequest asks a user to show their face.
type V1StepUpRequest struct {
	UserID         string `json:"user_id"`               // 1Kosmos' name for the user; required
	ReasonCode     string `json:"reason_code,omitempty"` // such as "high_value_transaction"
	TimeoutSeconds int    `json:"timeout_seconds,omitempty"`
}

// V1Challenge is a started step-up. URL is a bearer link. Printing or logging
// the challenge hides both.
type V1Challenge struct {
	ID        string
	URL       string
	ExpiresAt time.Time // zero when the service did not say; inferred
}

// String hides the link.
func (c V1Challenge) String() string { return "v1 challenge (redacted)" }

// GoString hides the link.
func (c V1Challenge) GoString() string { return c.String() }

// LogValue hides the link.
func (c V1Challenge) LogValue() slog.Value { return slog.StringValue(c.String()) }

// V1StepUpResult is the state of a step-up. It may hold personal data;
// printing or logging it shows what it came to only.
//
// The names match_result and confidence are those of 1Kosmos' page about
// Descope. Their values, and everything else here, are inferred.
type V1StepUpResult struct {
	WireStatus  string   // "status", if there is one
	MatchResult string   // as the service spelled it
	Confidence  *float64 // nil unless it is a number from 0 to 1
	UserID      string   // whom the answer says it is about; "" if it does not say

	// Extra holds top-level fields that this package does not know.
	Extra map[string]json.RawMessage
}

// String hides what is personal.
func (r V1StepUpResult) String() string { return "v1 step-up result" }

// GoString hides what is personal.
func (r V1StepUpResult) GoString() string { return r.String() }

// LogValue hides what is personal.
func (r V1StepUpResult) LogValue() slog.Value { return slog.StringValue(r.String()) }

// StepUp starts a step-up. The link is on the tenant's host or the allowed
// ones, or the call fails with KindUntrustedHost.
func (c *V1Client) StepUp(ctx context.Context, q V1StepUpRequest) (V1Challenge, error) {
	const op = "v1.stepup"
	if q.UserID == "" {
		return V1Challenge{}, invalid(op, "UserID is required")
	}
	body, err := json.Marshal(q)
	if err != nil {
		return V1Challenge{}, invalid(op, "request cannot be encoded")
	}
	b, err := c.send(ctx, http.MethodPost, "/v1/auth/stepup", body)
	if err != nil {
		return V1Challenge{}, asError(err, op, "v1")
	}
	s, err := parseV1Challenge(b)
	if err == nil {
		_, err = c.wire.trusted(s.URL, nil)
	}
	if err != nil {
		return V1Challenge{}, asError(err, op, "v1")
	}
	return s, nil
}

func parseV1Challenge(b []byte) (V1Challenge, error) {
	var w struct {
		ID      scalar `json:"challenge_id"`
		URL     scalar `json:"challenge_url"`
		Expires string `json:"expires_at"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return V1Challenge{}, &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	s := V1Challenge{ID: string(w.ID), URL: string(w.URL)}
	if !sessionIDSafe(s.ID) || !segment(s.ID) || s.URL == "" {
		if e := errorInSuccess(b); e != nil {
			return V1Challenge{}, e
		}
		return V1Challenge{}, malformed("challenge_id or challenge_url missing")
	}
	s.ExpiresAt, _ = time.Parse(time.RFC3339, w.Expires) // another form is none
	return s, nil
}

// StepUpResult reads the state of a step-up.
func (c *V1Client) StepUpResult(ctx context.Context, challengeID string) (*V1StepUpResult, error) {
	const op = "v1.stepup.result"
	if !segment(challengeID) {
		return nil, invalid(op, "challengeID is required")
	}
	b, err := c.send(ctx, http.MethodGet, strings.Replace(c.cfg.StepUpResultPath, "{id}", url.PathEscape(challengeID), 1), nil)
	if err != nil {
		return nil, asError(err, op, "v1")
	}
	r, id, err := parseV1StepUpResult(b)
	if err == nil && differ(id, challengeID) {
		err = malformed("answer is about another challenge")
	}
	if err != nil {
		return nil, asError(err, op, "v1")
	}
	return r, nil
}

// parseV1StepUpResult also returns the challenge that the answer names, if any.
func parseV1StepUpResult(b []byte) (*V1StepUpResult, string, error) {
	r := &V1StepUpResult{}
	var id string
	var confidence any
	var user json.RawMessage
	var err error
	r.Extra, err = decodeObject(b, map[string]any{
		"challenge_id": &id, "status": &r.WireStatus, "match_result": &r.MatchResult, "confidence": &confidence, "user_id": &user,
	})
	if err != nil {
		return nil, "", &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if r.MatchResult == "" && r.WireStatus == "" {
		if e := errorInSuccess(b); e != nil {
			return nil, "", e
		}
		return nil, "", malformed("answer has neither match_result nor status")
	}
	// Whom it is about must be readable if it is there: what cannot be compared
	// with the user who was asked must not count as left out.
	if len(user) > 0 && string(user) != "null" {
		var name scalar
		if err := json.Unmarshal(user, &name); err != nil || name == "" {
			return nil, "", malformed("user_id is no name")
		}
		r.UserID = string(name)
	}
	if n, ok := confidence.(float64); ok && n >= 0 && n <= 1 {
		r.Confidence = &n
	}
	return r, id, nil
}
