package kosmos

import (
	"encoding/json"
	"errors"
	"time"

	"github.com/kosmoscope/kosmoscope/blockid"
)

// wallet is the LiveID of one enrolled person: what the vendor's app keeps on a
// phone and in the vendor's records, and this server keeps sealed.
type wallet struct {
	Username   string
	UID        string              // of the user, a UUID
	DID        string              // 40 hex digits
	Key        *blockid.PrivateKey // seals this wallet's answers; its public half is in user info
	References [][]byte            // face templates of the last enrolment, the selfie's and the portrait's: what a face is compared with
	Anchors    [][]byte            // those of the first enrolment, which a later one must be like too; no step-up looks at them

	version int64 // of the user, when this was read
}

var (
	errNotEnrolled = errors.New("kosmos: the user has no enrolled face")
	errDisabled    = errors.New("kosmos: the user is disabled")
)

// stepUpKind is the wire profile by which a step-up was asked for.
type stepUpKind string

const (
	kindUWL      stepUpKind = "uwl"
	kindV1       stepUpKind = "v1"
	kindWorkflow stepUpKind = "workflow"
	kindOAuth2   stepUpKind = "oauth2"
)

// stepUpState of a step-up; the last three are terminal.
type stepUpState string

const (
	stepUpOpen    stepUpState = "open"
	stepUpMatch   stepUpState = "match"
	stepUpRefused stepUpState = "refused" // no match: attempts used up, or the person said no
	stepUpExpired stepUpState = "expired"
)

// stepUp is one face check that the authenticator carries out, whatever profile
// asked for it.
type stepUp struct {
	ID       string // UUIDv4, the bearer part of the authenticator's address
	Kind     stepUpKind
	State    stepUpState
	Reason   string // why it is refused; why the last attempt was not accepted while it is open
	Username string // the one user whose face counts; empty for uwl, where whoever's wallet answers
	Show     stepUpShow
	Detail   json.RawMessage // of the kind's own
	Created  time.Time
	Expires  time.Time
	Answer   *stepUpAnswer // nil unless State is match
}

// stepUpShow is what the authenticator shows the person before they answer.
type stepUpShow struct {
	Application string `json:"application"`
	Account     string `json:"account"` // masked by whoever asked
	Purpose     string `json:"purpose"`
	Transaction string `json:"transaction"`
}

// stepUpAnswer is what a match established.
type stepUpAnswer struct {
	Username string    `json:"username"`
	DID      string    `json:"did"`
	Score    *float64  `json:"score"`    // 0 to 1, of the engine
	Liveness string    `json:"liveness"` // asked of the engine: none, passive or active; empty if not our authenticator answered
	Own      own       `json:"own"`      // what the engine found, for the block "kosmoscope" of the answer
	At       time.Time `json:"at"`

	version int64 // of the user whom the engine's comparison rests on; not kept
}
