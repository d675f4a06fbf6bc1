package runner

import (
	"context"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
)

// Accounts are the users of the project. Errors are *project.Error; what they say
// is for the person.
type Accounts interface {
	// SendCode sends a one-time code to an e-mail address and says it masked. With
	// signUp somebody unknown is signed up by verifying it; without, somebody unknown
	// gets an error.
	SendCode(ctx context.Context, email string, signUp bool, properties map[string]any) (masked string, err error)
	// VerifyCode signs in whoever has the code.
	VerifyCode(ctx context.Context, email, code string) (u *project.User, firstSeen bool, err error)
	// User finds somebody by user id or login id.
	User(ctx context.Context, id string) (*project.User, error)
	// UpdateUser changes the properties and attributes that are given; the names of
	// properties are those of User's JSON.
	UpdateUser(ctx context.Context, userID string, properties, attributes map[string]any) (*project.User, error)
	// Holder is whose refresh token it is; ErrToken if nobody's, or not any more.
	Holder(ctx context.Context, refreshJWT string) (*project.User, error)
	// Risk is what is known about a login of somebody; of nobody if userID is empty.
	Risk(ctx context.Context, userID string, b project.Browser) (project.Risk, error)
	// Issue ends a login: it is recorded, and the tokens are those of the session.
	Issue(ctx context.Context, g project.Grant) (*project.AuthInfo, error)
}

// Connectors runs the connector tasks of flows.
type Connectors interface {
	// Run makes one call. The answer is what a flow finds under the context key.
	// Errors are *ConnectorError. With Async nobody waits, and there is no answer.
	Run(ctx context.Context, c Call) (answer any, err error)
	// Known reports whether the project has a connector of this name.
	Known(name string) bool
}

// Call is one run of a connector task, its templates resolved.
type Call struct {
	Connector string // its name in the project, by the flow's references
	Template  string // its type, such as http
	Command   string
	Args      map[string]any
	Async     bool
	Flow      string // for the log: flow, task, execution
	Task      string
	Execution string
}

// ConnectorError is an error of a connector task by the name that a flow handles
// it under: flow.RequestError or flow.ConnectorFailed.
type ConnectorError struct {
	Name    string
	Message string // for the person in front of the flow
	Cause   error
}

func (e *ConnectorError) Error() string {
	if e.Cause != nil {
		return e.Name + ": " + e.Cause.Error()
	}
	return e.Name + ": " + e.Message
}

func (e *ConnectorError) Unwrap() error { return e.Cause }

// Completion is what a backend says at the end of an External Authentication
// (CompleteExternalAuthRequest).
type Completion struct {
	RequestID    string
	LoginID      string
	Properties   map[string]any // of the user, by the names of project.User's JSON
	CustomClaims map[string]any
	At           time.Time
}
