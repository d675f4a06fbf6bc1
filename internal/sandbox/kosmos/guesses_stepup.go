package kosmos

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// What 1Kosmos leaves open about step-ups and this server must nevertheless do
// in some way. "reference" is as in guesses.go.

// UWL sessions (reference 4.2). Documented: the calls, the fields, 201 for a new
// session, 404 for one without an answer, 400 for one that expired.
const (
	// authtype Face is LiveID; a session that names none has the type none.
	authTypeFace = "face" // compared without regard to case
	authTypeNone = "none"

	// Who the stand-in for the app says it is. Real apps send their bundle id.
	authenticatorAppID = "com.kosmoscope.authenticator"

	// Which factor was used is in the app's events under authFactor; whether it is
	// in eventData of the answer too is unknown (reference 4.2, match semantics).
	authFactorLiveID = "LiveID"
)

var (
	guessUWLUnknown  = problem{http.StatusNotFound, styleCode, "Session not found", ""}
	guessUWLPending  = problem{http.StatusNotFound, styleCode, "Session is not authenticated yet", ""} // 404 is documented, the text is not
	guessUWLExpired  = problem{http.StatusBadRequest, styleCode, "Session expired", ""}                // 400 is documented, the text is not
	guessUWLRequest  = problem{http.StatusBadRequest, styleCode, "origin is required", ""}
	guessUWLMetadata = problem{http.StatusBadRequest, styleCode, "metadata must be an object of at most 16 KB", ""}

	// 1Kosmos has no negative answer: an answer exists or it does not. Ours exists
	// for sessions whose authenticator compared a face and did not recognise it.
	guessUWLRefused = problem{http.StatusForbidden, styleCode, "Authentication failed", ""}

	// What the sessions service says to an answer that it does not take is unknown.
	guessAnswerKey      = problem{http.StatusBadRequest, styleCode, "publicKey is not valid", ""}
	guessAnswerCipher   = problem{http.StatusBadRequest, styleCode, "data is not valid", ""}
	guessAnswerOver     = problem{http.StatusBadRequest, styleCode, "Session expired", ""}
	guessAnswerSecond   = problem{http.StatusConflict, styleCode, "Session is already authenticated", ""}
	guessAnswerDisabled = problem{http.StatusForbidden, styleCode, "User is disabled", ""}
)

// maxMetadata bounds a session's metadata in bytes: it is free-form and shown.
const maxMetadata = 16 << 10

// uwlTimes are the three spellings of a session's times: unix milliseconds
// twice and an ISO date once. The names are documented, the units are not.
func uwlTimes(created, expires time.Time) (createdTS, expiryTS int64, expiresDate string) {
	return created.UnixMilli(), expires.UnixMilli(), isoDate(expires)
}

func isoDate(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

// uwlShow takes from free-form metadata what the person is shown. Which members
// the vendor's app shows is up to the app; these are the ones that our bridge sends.
func uwlShow(metadata json.RawMessage) stepUpShow {
	var m struct {
		Application string `json:"application"`
		Account     string `json:"account"`
		ReasonCode  string `json:"reason_code"`
		Transaction string `json:"transaction"`
	}
	_ = json.Unmarshal(metadata, &m) // a member of another type is not shown
	return stepUpShow{shown(m.Application, 80), shown(m.Account, 80), shown(m.ReasonCode, 60), shown(m.Transaction, 200)}
}

// shown makes foreign text fit to be shown: one line, without characters that
// hide, reorder or control text, and not longer than so many letters.
func shown(text string, longest int) string {
	text = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsSpace(r):
			return ' '
		case unicode.In(r, unicode.C) || r == unicode.ReplacementChar:
			return -1
		}
		return r
	}, text)
	runes := []rune(strings.Join(strings.Fields(text), " "))
	if len(runes) > longest {
		runes = append(runes[:longest-1], '…')
	}
	return string(runes)
}

// maskAccount is how an account is shown where nobody masked it for us.
func maskAccount(account string) string {
	name, host, _ := strings.Cut(shown(account, 254), "@")
	if r := []rune(name); len(r) > 0 {
		name = string(r[:1])
	}
	name += "•••"
	if host != "" {
		name += "@" + host
	}
	return name
}

// Step-up in the Bearer /v1 profile. Known from one integration page: the path
// POST /v1/auth/stepup, its three request fields, and challenge_id and
// challenge_url in the answer. Names of the result are from the Descope page.
// Guessed: everything else.
const (
	v1StepUpCreated = http.StatusCreated
	v1StepUpDone    = "completed"

	v1StepUpDefault = 300 * time.Second // the value in the sample
	v1StepUpLeast   = 10 * time.Second
	v1StepUpMost    = time.Hour

	v1MatchPending = "pending"
	v1Match        = "match"
	v1NoMatch      = "no_match"
	v1MatchExpired = "expired"
)

// v1StepUpState is the status and the match_result of a challenge.
func v1StepUpState(st stepUpState) (status, match string) {
	switch st {
	case stepUpMatch:
		return v1StepUpDone, v1Match
	case stepUpRefused:
		return v1StepUpDone, v1NoMatch
	case stepUpExpired:
		return v1Expired, v1MatchExpired
	}
	return v1Pending, v1MatchPending
}

// refusedStart is how a service refuses to ask a user for their face. The
// statuses are inferred from what each means in HTTP, the texts are ours.
func refusedStart(s style, reason string) problem {
	switch reason {
	case ReasonUserUnknown:
		return problem{http.StatusNotFound, s, "User not found", ""}
	case ReasonUserNotEnrolled:
		return problem{http.StatusConflict, s, "User has no LiveID", ""}
	case ReasonUserDisabled:
		return problem{http.StatusForbidden, s, "User is disabled", ""}
	}
	return problem{http.StatusTooManyRequests, s, "Too many attempts", ""}
}

// Workflow API (reference 3.3). Documented: paths, envelope, wfInstanceId and
// wfInstanceUrl, the status words, and that the browser is redirected to
// callbackUrl. The content of a node's answer and the redirect's parameters are unknown.
const (
	workflowKindLiveID     = "liveid"
	workflowCallbackParam  = "wfInstanceId"
	workflowMissingUser    = "metaData.username is required"
	workflowStatusPending  = "pending"
	workflowStatusStarted  = "started"
	workflowStatusDone     = "completed"
	workflowStatusExpired  = "expired"
	workflowStatusFailed   = "failed"
	workflowLifetime       = 10 * time.Minute
	workflowCallbackFaulty = "metaData.callbackUrl must be an https URL, or http to a loopback address, without user or fragment"
)

var (
	guessUnknownWorkflow = problem{http.StatusNotFound, styleCode, "Workflow not found", ""}
	guessUnknownInstance = problem{http.StatusNotFound, styleCode, "Workflow instance not found", ""}
	guessUnknownTenant   = problem{http.StatusNotFound, styleCode, "Unable to load tenant/community", ""} // documented text
)

// workflowNode is the decrypted answer for the node that holds the result.
type workflowNode struct {
	Status      string `json:"status"`
	DID         string `json:"did,omitempty"`
	Username    string `json:"username,omitempty"`
	MatchResult string `json:"match_result,omitempty"`
	Own         any    `json:"kosmoscope,omitempty"`
}

func workflowState(v *stepUp, opened bool) workflowNode {
	switch v.State {
	case stepUpMatch:
		n := workflowNode{Status: workflowStatusDone, MatchResult: v1Match}
		if v.Answer != nil { // not yet purged
			n.DID, n.Username = v.Answer.DID, v.Answer.Username
			n.Own = v.Answer.block()
		}
		return n
	case stepUpRefused:
		return workflowNode{Status: workflowStatusFailed, Username: v.Username, MatchResult: v1NoMatch, Own: refusalBlock{v1NoMatch, v.Reason}}
	case stepUpExpired:
		return workflowNode{Status: workflowStatusExpired, Username: v.Username}
	}
	if opened {
		return workflowNode{Status: workflowStatusStarted, Username: v.Username}
	}
	return workflowNode{Status: workflowStatusPending, Username: v.Username}
}

func withQuery(raw, name, value string) string {
	u, err := url.Parse(raw)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set(name, value)
	u.RawQuery = q.Encode()
	return u.String()
}

// writeRefusal writes a problem with the block "kosmoscope" beside it.
func writeRefusal(w http.ResponseWriter, p problem, own refusalBlock) {
	body := map[string]any{"message": p.message, "kosmoscope": own}
	if p.style == styleNewer {
		body["statusCode"], body["error"] = p.status, http.StatusText(p.status)
	} else {
		body["code"] = p.status
	}
	writeJSON(w, p.status, body)
}
