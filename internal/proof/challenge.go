package proof

import (
	"fmt"
	"time"
)

// ChallengeStatus of a challenge.
type ChallengeStatus string

const (
	ChallengePending ChallengeStatus = "pending" // waiting for the person's face
	ChallengeMatch   ChallengeStatus = "match"
	ChallengeNoMatch ChallengeStatus = "no_match"
	ChallengeExpired ChallengeStatus = "expired"
	ChallengeFailed  ChallengeStatus = "failed" // no verdict: declined, refused by 1Kosmos, an answer that cannot be believed
)

// Terminal reports whether s never changes again.
func (s ChallengeStatus) Terminal() bool {
	return s == ChallengeMatch || s == ChallengeNoMatch || s == ChallengeExpired || s == ChallengeFailed
}

// ConfidenceBasis says what a confidence rests on.
type ConfidenceBasis string

const (
	BasisProviderScore ConfidenceBasis = "provider_score" // the provider gave a number
	BasisBinary        ConfidenceBasis = "binary"         // the provider says yes or no and gives no number
)

// Challenge is one LiveID step-up: one subject, one purpose, one caller, one
// deadline. Meanwhile it owns a series of upstream sessions, one at a time. What
// is personal or opens something is in the sealed fields.
type Challenge struct {
	ID      string // UUIDv7; no capability
	Tenant  string
	Caller  string // who asked
	Subject string // id of the Subject

	Status      ChallengeStatus
	Reason      Reason // why it ended without a match, or what is in the way; empty for a match
	CallbackURL string // where the challenge page returns to; from the caller's allow-list; may be empty
	DecisionID  string // the risk decision that asked for it, as the caller named it; may be empty

	IdempotencyKey string // unique per tenant and caller if not empty
	RequestHash    []byte // keyed hash of the request, to tell a replay from a conflict

	Link     Link     // as of a verification
	External External // likewise
	Network  []byte   // keyed hash of the network that the browser came from which opened the link; nil before

	Backend       string    // "uwl", "v1", "workflow", "oidc"
	SealedSession []byte    // StepUpSession: the upstream session that is open now; nil when none is
	SessionHash   string    // of that session, as Upstream.SessionHash
	SessionEnds   time.Time // when that session ends by itself; zero: with the challenge
	Sessions      int       // upstream sessions so far

	Confidence *float64        // 0 to 1 as the provider gave it; nil if it gave none
	Basis      ConfidenceBasis // empty until there is a verdict
	Liveness   LivenessMode    // as the provider reports it; empty when it reports nothing

	SealedRequest []byte // ChallengeRequest

	PollFailures int // permanent upstream errors
	CreatedAt    time.Time
	ExpiresAt    time.Time // our deadline
	FinishedAt   time.Time // zero until terminal
	PurgedAt     time.Time // when the sealed fields were dropped by retention
	Version      int64     // counts stored changes, for optimistic locking
}

// ChallengeRequest is the personal part of what the caller asked.
type ChallengeRequest struct {
	UserIdentifier string `json:"user_identifier"`
	ReasonCode     string `json:"reason_code,omitempty"` // why the caller asks, e.g. new_device
	Transaction    string `json:"transaction,omitempty"` // shown to the person
	// Discreet is for a request out of a browser: that there is no such user, or none who
	// is enrolled, must not show. Where the backend can, the challenge opens all the same,
	// and nobody can answer it.
	Discreet bool `json:"discreet,omitempty"`
}

// StepUpSession is one session at 1Kosmos. All of it is a secret: the URL lets
// somebody answer, and Secret is what reading or trusting the answer takes.
type StepUpSession struct {
	ID       string            `json:"id"`
	URL      string            `json:"url"`
	Scan     bool              `json:"scan,omitempty"`     // URL is for the 1Kosmos app; else a page for any browser
	Returns  bool              `json:"returns,omitempty"`  // at its end that page sends the browser back to us
	Secret   []byte            `json:"secret,omitempty"`   // of the backend's own
	State    string            `json:"state,omitempty"`    // the browser, where it is sent back to us, must bring this along
	Returned map[string]string `json:"returned,omitempty"` // what it brought
	// Nobody: there is no such user, or one who cannot be challenged. Whoever answers is
	// somebody else.
	Nobody bool `json:"nobody,omitempty"`
}

// Verdict is what a finished challenge learned.
type Verdict struct {
	Status     ChallengeStatus
	Reason     Reason // empty for a match, and only for it
	Confidence *float64
	Basis      ConfidenceBasis
	Liveness   LivenessMode
}

// TimedOut says how a challenge looks that is still pending at or after its
// deadline: expired, whatever answer or job may still come.
func (c *Challenge) TimedOut(now time.Time) (expired Challenge, yes bool) {
	if c.Status != ChallengePending || now.Before(c.ExpiresAt) {
		return *c, false
	}
	expired = *c
	expired.Status, expired.FinishedAt = ChallengeExpired, c.ExpiresAt
	if c.Reason == "" {
		expired.Reason = ReasonTimeLimit
	}
	return expired, true
}

// DropSession forgets the upstream session. When it ended is forgotten, too.
func (c *Challenge) DropSession() {
	c.SealedSession, c.SessionHash, c.SessionEnds = nil, "", time.Time{}
}

// Finish moves the challenge to a terminal state. The first terminal answer
// stays: finishing a finished one is an error, whatever the states. From the
// deadline on there is nothing but expired, so that what a caller was told then
// stays true.
func (c *Challenge) Finish(now time.Time, v Verdict) error {
	end := now
	if expired, yes := c.TimedOut(now); yes {
		v, end = Verdict{Status: expired.Status, Reason: expired.Reason}, expired.FinishedAt
	}
	if c.Status != ChallengePending || !v.Status.Terminal() || (v.Status == ChallengeMatch) != (v.Reason == "") {
		return &Error{
			Code: CodeConflict, Reason: c.Reason,
			Message: fmt.Sprintf("a challenge that is %s cannot become %s", c.Status, v.Status),
		}
	}
	if v.Confidence != nil && !(*v.Confidence >= 0 && *v.Confidence <= 1) { // also what is not a number
		v.Confidence = nil
	}
	if v.Status != ChallengeMatch && v.Status != ChallengeNoMatch {
		v.Confidence, v.Basis = nil, ""
	} else if v.Confidence == nil {
		v.Basis = BasisBinary
	}
	c.Status, c.Reason, c.FinishedAt = v.Status, v.Reason, end
	c.Confidence, c.Basis, c.Liveness = v.Confidence, v.Basis, v.Liveness
	c.DropSession() // nobody needs it any more
	c.Link.HandoverHash, c.Link.HandoverExpires = nil, time.Time{}
	return nil
}
