package descope

import (
	"errors"
	"net"
	"net/http"

	"github.com/kosmoscope/kosmoscope/internal/hooks"
)

// Call names a call of the Management API that this package makes.
type Call string

// The calls (reference/descope.md 3.7, 3.8, 5.3, 6).
const (
	CallCompleteExternalAuth Call = "complete_external_auth"

	CallUser         Call = "user"
	CallSearchUsers  Call = "search_users"
	CallPatchUser    Call = "patch_user"
	CallSetAttribute Call = "set_attribute"
	CallSetStatus    Call = "set_status"
	CallSetRoles     Call = "set_roles"
	CallAddRoles     Call = "add_roles"
	CallRemoveRoles  Call = "remove_roles"
	CallLogout       Call = "logout"

	CallAttributes       Call = "attributes"
	CallDefineAttributes Call = "define_attributes"

	CallUpdateJWT   Call = "update_jwt"
	CallSearchAudit Call = "search_audit"
	CallAuditEvent  Call = "audit_event"

	CallFlows      Call = "flows"
	CallExportFlow Call = "export_flow"
	CallImportFlow Call = "import_flow"
	CallRunFlow    Call = "run_flow"
	CallStartFlow  Call = "start_flow"
	CallFlowResult Call = "flow_result"
)

// Who counts a call's requests.
type pace int

const (
	urgent   pace = iota // not counted
	ofUsers              // Limits.Users
	ofOthers             // Limits.Others
	searches             // Limits.Searches
)

// endpoint is how a call is made.
type endpoint struct {
	method, path string
	effect       hooks.Effect
	pace         pace
	limit        int64 // bytes of an answer; 0: maxAnswer
}

const (
	maxUsers = 4 << 20  // an answer with MaxUsers users
	maxFlow  = 8 << 20  // a flow with its screens
	maxTrail = 16 << 20 // an answer with MaxAudit events of any kind
)

// calls says of each what repeating it does (promise 7).
//
// What only reads, or writes a state whole, is the same again. Every write leaves one more
// UserModified in Descope's trail, though, which is one more event to us: Hooks looks first
// and leaves alone what is as it should be, so that a rule on it does not feed itself.
var calls = map[Call]endpoint{
	// A request id is completed once. The same again gets the same address or a refusal; it
	// signs nobody in twice.
	CallCompleteExternalAuth: {http.MethodPost, "/v1/mgmt/flow/externalauth/complete", hooks.Idempotent, urgent, 0},

	CallUser:         {http.MethodGet, "/v1/mgmt/user", hooks.Idempotent, ofUsers, 0},
	CallSearchUsers:  {http.MethodPost, "/v2/mgmt/user/search", hooks.Idempotent, ofOthers, maxUsers},
	CallPatchUser:    {http.MethodPatch, "/v1/mgmt/user/patch", hooks.Idempotent, ofUsers, 0},
	CallSetAttribute: {http.MethodPost, "/v1/mgmt/user/update/customAttribute", hooks.Idempotent, ofOthers, 0},
	CallSetStatus:    {http.MethodPost, "/v1/mgmt/user/update/status", hooks.Idempotent, ofOthers, 0},
	// Roles are sets: who has one and gets it has it.
	CallSetRoles:    {http.MethodPost, "/v1/mgmt/user/update/role/set", hooks.Idempotent, ofOthers, 0},
	CallAddRoles:    {http.MethodPost, "/v2/mgmt/user/update/role/add", hooks.Idempotent, ofOthers, 0},
	CallRemoveRoles: {http.MethodPost, "/v1/mgmt/user/update/role/remove", hooks.Idempotent, ofOthers, 0},
	// The second ends what began since the first: that is one login more for the person,
	// and nothing that could not be made good.
	CallLogout: {http.MethodPost, "/v1/mgmt/user/logout", hooks.Idempotent, ofUsers, 0},

	CallAttributes: {http.MethodGet, "/v1/mgmt/user/customattributes", hooks.Idempotent, ofUsers, maxUsers},
	// What creating an attribute that exists does is not documented: the list tells.
	CallDefineAttributes: {http.MethodPost, "/v1/mgmt/user/customattribute/create", hooks.Readback, ofUsers, maxUsers},

	// Makes another token; none is changed or ended.
	CallUpdateJWT:   {http.MethodPost, "/v1/mgmt/jwt/update", hooks.Idempotent, ofOthers, 0},
	CallSearchAudit: {http.MethodPost, "/v1/mgmt/audit/search", hooks.Idempotent, searches, maxTrail},
	// Writes another entry each time. Whoever puts an id of their own into data finds it
	// again with SearchAudit.
	CallAuditEvent: {http.MethodPost, "/v1/mgmt/audit/event", hooks.Readback, ofOthers, 0},

	CallFlows:      {http.MethodPost, "/v1/mgmt/flow/list", hooks.Idempotent, ofOthers, maxUsers},
	CallExportFlow: {http.MethodPost, "/v2/mgmt/flow/export", hooks.Idempotent, ofOthers, maxFlow},
	// Replaces the flow of that id by the same one.
	CallImportFlow: {http.MethodPost, "/v2/mgmt/flow/import", hooks.Idempotent, ofOthers, maxFlow},
	// A flow may mail, call connectors and change users, and without its execution id
	// nobody can ask what became of it.
	CallRunFlow:    {http.MethodPost, "/v1/mgmt/flow/run", hooks.Unknown, ofOthers, maxFlow},
	CallStartFlow:  {http.MethodPost, "/v1/mgmt/flow/async/run", hooks.Unknown, ofOthers, 0},
	CallFlowResult: {http.MethodPost, "/v1/mgmt/flow/async/result", hooks.Idempotent, ofOthers, maxFlow},
}

// EffectOf says what repeating a call does; of one that is not known, hooks.Unknown.
// Only what is idempotent is repeated here after an answer that leaves open whether it
// was done.
func EffectOf(c Call) hooks.Effect {
	if e, ok := calls[c]; ok {
		return e.effect
	}
	return hooks.Unknown
}

// NotDone reports whether an error of this package says for certain that the last request
// changed nothing: there was no connection, it was held back here, or Descope turned it
// away (4xx). Of a call with an unknown effect, these may be tried again after all.
func NotDone(err error) bool {
	for err != nil {
		if e, ok := err.(interface{ NotDone() bool }); ok && e.NotDone() { //nolint:errorlint // walks the chain itself
			return true
		}
		if e, ok := err.(*net.OpError); ok && e.Op == "dial" { //nolint:errorlint // walks the chain itself
			return true
		}
		err = errors.Unwrap(err)
	}
	return false
}
