package manage

import (
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// What nobody outside Descope has written down stands here: the codes of these errors,
// and the license's tier. Beside it, in management.go: that a flow which still runs is
// answered by an empty object, that one which failed is answered by its error, and for how
// long a result is kept.

const tier = "tier1"

var (
	errKey     = &project.Error{Code: "E074101", Status: 401, Message: "The Authorization header must be Bearer, the project id, a colon and a management key of this project."}
	errProject = &project.Error{Code: "E011004", Status: 401, Message: "The Authorization header names another project than the one here."}
	errBody    = &project.Error{Code: "E011001", Status: 400, Message: "The body is no JSON of the kind that this call takes."}
	errLong    = &project.Error{Code: "E011002", Status: 413, Message: "The body is too long."}
	errRate    = &project.Error{Code: "E130429", Status: 429, Message: "The audit trail may be searched ten times a minute."}
	errRunning = &project.Error{Code: "E130429", Status: 429, Message: "Too many management flows are running. Try again."}
	errInside  = &project.Error{Code: "E050000", Status: 500, Message: "Something went wrong here. Try again."}

	errNoManagement = runner.ErrNoManagement
	errExecution    = &project.Error{Code: "E102006", Status: 404, Message: "There is no execution of this id, or it ended too long ago."}
)

func bad(message string) error {
	return &project.Error{Code: "E011003", Status: 400, Message: message}
}

// unknown is the answer to what Descope may have and the local Descope has not.
func unknown(what string) error {
	return &project.Error{Code: "E011006", Status: 404, Message: what + " is not in the local Descope."}
}
