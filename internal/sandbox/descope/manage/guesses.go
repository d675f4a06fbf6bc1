package manage

import "github.com/kosmoscope/kosmoscope/internal/sandbox/descope/project"

// What nobody outside Descope has written down stands here: the codes of these errors,
// and the license's tier.

const tier = "tier1"

var (
	errKey     = &project.Error{Code: "E074101", Status: 401, Message: "The Authorization header must be Bearer, the project id, a colon and a management key of this project."}
	errProject = &project.Error{Code: "E011004", Status: 401, Message: "The Authorization header names another project than the one here."}
	errBody    = &project.Error{Code: "E011001", Status: 400, Message: "The body is no JSON of the kind that this call takes."}
	errLong    = &project.Error{Code: "E011002", Status: 413, Message: "The body is too long."}
	errRate    = &project.Error{Code: "E130429", Status: 429, Message: "The audit trail may be searched ten times a minute."}
	errInside  = &project.Error{Code: "E050000", Status: 500, Message: "Something went wrong here. Try again."}
)

func bad(message string) error {
	return &project.Error{Code: "E011003", Status: 400, Message: message}
}

// unknown is the answer to what Descope may have and the local Descope has not.
func unknown(what string) error {
	return &project.Error{Code: "E011006", Status: 404, Message: what + " is not in the local Descope."}
}
