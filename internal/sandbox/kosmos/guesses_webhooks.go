package kosmos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"time"
)

// All of 1Kosmos' webhooks but three things is a guess of ours, and stands here: known is
// that one subscribes under {adminconsole}/webhooks, that callbacks are signed, and that
// integrations speak of results that arrive by them (reference 7.2). Their shape, the
// names of events, header and algorithm of the signature, and when they are repeated are
// unknown. So nobody should read more out of one than that something happened.

const (
	// guessSignatureHeader carries "sha256=" and the hex of HMAC-SHA256 of the body.
	guessSignatureHeader = "X-Kosmos-Signature"
	guessCallbackTimeout = 10 * time.Second
	callbacksTTL         = 7 * 24 * time.Hour
	maxWebhooks          = 20
	leastWebhookSecret   = 16 // characters
)

// guessCallbackWaits are the waits before a callback that was not answered by a 2xx is
// sent again. Then it is given up.
func guessCallbackWaits() []time.Duration {
	return []time.Duration{5 * time.Second, 30 * time.Second, 2 * time.Minute, 10 * time.Minute, time.Hour}
}

func guessSign(secret string, body []byte) string {
	mac := hmac.New(sha256.New, []byte(secret))
	mac.Write(body)
	return "sha256=" + hex.EncodeToString(mac.Sum(nil))
}

// guessCallbackEvent is the event, of the vendor's vocabulary, by which an end is told.
func guessCallbackEvent(kind, state string) (name, category string) {
	if kind == callbackStepUp {
		if state == string(stepUpMatch) {
			return eventLoginSucceeded, "login"
		}
		return eventLoginFailed, "login"
	}
	switch State(state) {
	case Expired:
		return eventExpired, "idv"
	case Abandoned:
		return eventAbandoned, "idv"
	}
	return eventValidate, "idv"
}

// guessCallbackStatus is how it ended, in the words of results.
func guessCallbackStatus(kind, state string) string {
	switch {
	case kind == callbackStepUp && state == string(stepUpMatch), kind == callbackIDV && state == string(Success):
		return "SUCCESS"
	case kind == callbackStepUp && state == string(stepUpExpired), kind == callbackIDV && state == string(Expired):
		return "EXPIRED"
	case kind == callbackIDV && state == string(Abandoned):
		return "ABANDONED"
	}
	return "FAILED"
}

// callbackBody is what is sent, by the names that events have (reference 2.8 and 7.1). Nothing
// that the creator of a session said comes back: no event is known to carry it.
type callbackBody struct {
	EventName     string `json:"eventName"`
	EventCategory string `json:"eventCategory"`
	EventID       string `json:"event_id"` // the same each time it is sent
	EventTS       int64  `json:"event_ts"` // unix milliseconds
	Version       string `json:"version"`
	TenantID      string `json:"tenant_id"`
	CommunityID   string `json:"community_id"`
	Session       string `json:"sessionId,omitempty"`  // of a proofing, as its events spell it
	LoginSession  string `json:"session_id,omitempty"` // of a step-up, likewise
	Status        string `json:"status"`
}

func badWebhook(text string) problem { return problem{http.StatusBadRequest, styleMessage, text, ""} }

var guessUnknownWebhook = problem{http.StatusNotFound, styleMessage, "Webhook not found", ""}

// Also decided here, in code elsewhere: that headers and body are sealed with the key of
// the admin console, as for its other calls; that POST adds one and answers it with its
// id and secret, GET lists them without secrets, and DELETE ends one; that a webhook may
// say which events it wants, by name; that a failed step-up is told as well as one that
// ran out.
