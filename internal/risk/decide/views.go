package decide

import (
	"encoding/json"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/risk"
	"github.com/kosmoscope/kosmoscope/internal/risk/policy"
)

// Request asks for a decision about a login.
type Request struct {
	UserIdentifier string
	Login          risk.Login // At is ours to say
	// Unauthenticated: it is asked before anybody showed who they are, so anybody can ask in
	// another's name. Nothing is learned from such a login, however it ends.
	Unauthenticated bool
}

// Answer is a decision, as its caller sees it.
type Answer struct {
	DecisionID        string
	Verdict           risk.Verdict
	Score             *float64 // 0 to 100
	Reasons           []risk.Reason
	PolicyApplication string
	PolicyVersion     int
}

// Record is what a decision keeps sealed.
type Record struct {
	UserIdentifier string           `json:"user_identifier"`
	Observation    risk.Observation `json:"observation"`
	// Unauthenticated is Request's.
	Unauthenticated bool `json:"unauthenticated,omitempty"`
	// What a login that ended well teaches, beside the observation.
	Device    string  `json:"device,omitempty"`
	Latitude  float64 `json:"lat,omitempty"`
	Longitude float64 `json:"lon,omitempty"`
	RadiusKM  float64 `json:"radius_km,omitempty"`
	HasPlace  bool    `json:"has_place,omitempty"`
	Failed    string  `json:"failed,omitempty"` // why evaluation failed

	ShadowApplication string `json:"shadow_application,omitempty"` // whose policy was only tried
}

// Summary is a decision in a list.
type Summary struct {
	ID                string        `json:"id"`
	At                time.Time     `json:"at"`
	User              string        `json:"user"` // masked; empty once erased
	Application       string        `json:"application"`
	Verdict           risk.Verdict  `json:"decision"`
	Score             *float64      `json:"score"`
	Reasons           []risk.Reason `json:"reasons"`
	PolicyApplication string        `json:"policy_application"`
	PolicyVersion     int           `json:"policy_version"`
	ShadowVersion     int           `json:"shadow_version,omitempty"`
	ShadowVerdict     risk.Verdict  `json:"shadow_decision,omitempty"`
	Outcome           string        `json:"outcome"`
	OutcomeAt         time.Time     `json:"outcome_at,omitzero"`
}

// Explanation is everything about one decision: the policy of then evaluated again on
// what was recorded then.
type Explanation struct {
	Summary
	Erased      bool              `json:"erased"` // the subject was erased: nothing below is left but the policy
	Observation *risk.Observation `json:"observation,omitempty"`
	Result      *policy.Result    `json:"result,omitempty"` // with Steps
	Policy      json.RawMessage   `json:"policy,omitempty"` // the document that decided
	Shadow      *policy.Result    `json:"shadow,omitempty"`
	// Differs says that evaluating again gave another decision than was recorded, which
	// only another version of this program can do.
	Differs bool `json:"differs,omitempty"`
}

// Slot is one place where a policy can hold: an application, or all of a tenant ("").
type Slot struct {
	Application string `json:"application"`
	Enforced    int    `json:"enforced"` // version; 0: none, so the tenant's holds, or the preset
	Shadow      int    `json:"shadow"`   // version that is being tried; 0: none
	Latest      int    `json:"latest"`
}

// VersionInfo is a published version without its document.
type VersionInfo struct {
	Version int       `json:"version"`
	Mode    Mode      `json:"mode"`
	Author  string    `json:"author"`
	Comment string    `json:"comment"`
	At      time.Time `json:"at"`
}

// Publish asks for a new version.
type Publish struct {
	Application string
	Document    json.RawMessage
	Base        int // the latest version that the author had seen
	Mode        Mode
	Author      string
	Comment     string
}

// ReplayRequest asks what a draft would have decided.
type ReplayRequest struct {
	Application string // "": all of the tenant
	Document    json.RawMessage
	Days        int // 1 to 90
}

// Tally is how many logins came to each verdict.
type Tally struct {
	Allow  int `json:"allow"`
	StepUp int `json:"step_up"`
	Deny   int `json:"deny"`
}

// Replay is what came out.
type Replay struct {
	Logins   int   `json:"logins"`   // read
	Unread   int   `json:"unread"`   // recorded, but could not be opened
	Now      Tally `json:"now"`      // the policy in force now, on the same logins
	Then     Tally `json:"then"`     // as recorded
	Draft    Tally `json:"draft"`    // the draft
	Stricter int   `json:"stricter"` // logins where the draft is stricter than the policy of now
	Milder   int   `json:"milder"`
	// Who are some of the people for whom it changes, those with most logins first; at most 50.
	Who     []Affected `json:"who"`
	People  int        `json:"people"` // for how many it changes
	Seconds float64    `json:"seconds"`
}

// Affected is one person for whom the draft decides otherwise.
type Affected struct {
	User     string `json:"user"` // masked
	Decision string `json:"decision_id"`
	Logins   int    `json:"logins"` // that change
	Now      Tally  `json:"now"`
	Draft    Tally  `json:"draft"`
}

// Ended is what became of the word on how a login ended.
type Ended struct {
	DecisionID string
	Outcome    string
	Learned    bool   // device, network and place are familiar now
	Why        string // if not learned, why not; a stable code
}

// ListFilter chooses decisions for a list.
type ListFilter struct {
	Application *string
	User        string // the user identifier, exactly
	Verdict     risk.Verdict
	Outcome     string
	Since       time.Time
	Cursor      string // of the page before; empty: the first
	Limit       int    // 1 to 200; 0: 50
}
