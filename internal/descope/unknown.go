package descope

import "time"

// What is not written down about Descope, or not for certain, and what we take it to be.
// A live project corrects it here.

// codeNoUser is the error code of a user that does not exist. It is documented; that calls
// which change a user answer it too is not.
const codeNoUser = "E112102"

// removed is the value that takes a custom attribute off a user.
var removed any

// auditInfo is the type of an entry of ours that names none: go-sdk insists on one.
const auditInfo = "info"

// backoff is how long Descope turns away what comes too often. It is documented, for most
// paths; whether Retry-After always comes with it is not.
const backoff = time.Minute
