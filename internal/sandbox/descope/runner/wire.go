package runner

import "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"

// StartRequest is the body of POST /v1/flow/start, as far as anything here depends
// on it. Descope's client sends null for what is not set, and keys of its own.
type StartRequest struct {
	FlowID  string `json:"flowId"`
	Options struct {
		RedirectURL string `json:"redirectUrl"`
		Location    string `json:"location"` // the page's address, for want of a RedirectURL
		Client      any    `json:"client"`   // what the page gave the element
	} `json:"options"`
	FlowVersions map[string]float64 `json:"flowVersions"`
	Input        map[string]any     `json:"input"`
}

// NextRequest is the body of POST /v1/flow/next. Nonce is the header of that name.
type NextRequest struct {
	ExecutionID   string         `json:"executionId"`
	StepID        string         `json:"stepId"`
	InteractionID string         `json:"interactionId"`
	Version       float64        `json:"version"`
	Input         map[string]any `json:"input"`
	Nonce         string         `json:"-"`
}

// What a Response's Status and Action say.
const (
	StatusWaiting   = "waiting"
	StatusCompleted = "completed"

	ActionScreen   = "screen"
	ActionPoll     = "poll"
	ActionRedirect = "redirect"
)

// Response answers start and next. It is not to be changed.
type Response struct {
	ExecutionID string            `json:"executionId"`
	StepID      string            `json:"stepId"`
	StepName    string            `json:"stepName"`
	Status      string            `json:"status"`
	Action      string            `json:"action"`
	Screen      *Screen           `json:"screen,omitempty"` // always, unless completed: the client reads it unasked
	Redirect    *Redirect         `json:"redirect,omitempty"`
	AuthInfo    *project.AuthInfo `json:"authInfo,omitempty"`
	LastAuth    *LastAuth         `json:"lastAuth,omitempty"`
	Output      map[string]any    `json:"output,omitempty"`

	nonce string
}

// Nonce is for the header X-Descope-Flow-Nonce; empty if they are switched off.
func (r *Response) Nonce() string { return r.nonce }

// Screen is a screen to be shown.
type Screen struct {
	ID    string         `json:"id"`
	State map[string]any `json:"state"`
}

// Redirect is where the browser is to go.
type Redirect struct {
	URL     string `json:"url"`
	IsPopup bool   `json:"isPopup"`
}

// LastAuth is what the client may remember of a login.
type LastAuth struct {
	AuthMethod string `json:"authMethod"`
	LoginID    string `json:"loginId"`
	Name       string `json:"name"`
}
