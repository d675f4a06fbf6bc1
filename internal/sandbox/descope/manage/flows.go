package manage

import (
	"encoding/json"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/descope/flow"
	"github.com/kosmoscope/kosmoscope/internal/sandbox/descope/runner"
)

// flows are the calls about flows. Those of /v1/ take and give the same documents as
// those of /v2/: the old format (dsl) is not supported.
func (s *server) flows() map[string]call {
	return map[string]call{
		"POST /v2/mgmt/flow/export":                s.exportFlow,
		"POST /v1/mgmt/flow/export":                s.exportFlow,
		"POST /v2/mgmt/flow/import":                s.importFlow,
		"POST /v1/mgmt/flow/import":                s.importFlow,
		"POST /v1/mgmt/flow/list":                  s.listFlows,
		"POST /v1/mgmt/flow/delete":                s.deleteFlows,
		"POST /v1/mgmt/flow/run":                   s.runFlow,
		"POST /v1/mgmt/flow/async/run":             s.startFlow,
		"POST /v1/mgmt/flow/async/result":          s.flowResult,
		"POST /v1/mgmt/flow/externalauth/complete": s.completeExternal,
	}
}

func (s *server) exportFlow(r *request) (any, error) {
	var b struct {
		FlowID string `json:"flowId"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	doc, err := s.Flows.Export(b.FlowID)
	if err != nil {
		return nil, err
	}
	return map[string]any{"flow": doc}, nil
}

// importFlow takes a flow in. One that cannot run is refused with everything that is
// wrong with it; of one that can, what may go wrong is in warnings.
func (s *server) importFlow(r *request) (any, error) {
	var b struct {
		FlowID string          `json:"flowId"` // SDKs send it beside the flow
		Flow   json.RawMessage `json:"flow"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	var old struct {
		DSL json.RawMessage `json:"dsl"`
	}
	if len(b.Flow) == 0 || json.Unmarshal(b.Flow, &old) != nil {
		return nil, bad("flow is missing or no object.")
	}
	if old.DSL != nil {
		return nil, bad("This flow is in Descope's old format (dsl), which the local Descope does not read. Export it anew.")
	}
	doc := new(flow.Document)
	if err := json.Unmarshal(b.Flow, doc); err != nil {
		return nil, bad("flow is no flow: " + short(strings.TrimPrefix(err.Error(), "json: ")) + ".")
	}
	if doc.FlowID == "" {
		doc.FlowID = b.FlowID
	}
	if b.FlowID != "" && doc.FlowID != b.FlowID {
		return nil, bad("flowId is another one than that of the flow.")
	}
	problems := s.Flows.Import(doc)
	if runner.Refused(problems) {
		var lines []string
		for _, p := range problems {
			if p.Fatal {
				lines = append(lines, p.String())
			}
		}
		const most = 20
		if len(lines) > most {
			lines = append(lines[:most], "and more")
		}
		return nil, bad("The flow was not imported: " + strings.Join(lines, "; ") + ".")
	}
	kept, err := s.Flows.Export(doc.FlowID)
	if err != nil {
		return nil, err
	}
	warnings := []string{}
	for _, p := range problems {
		warnings = append(warnings, p.String())
	}
	return map[string]any{"flow": kept, "warnings": warnings}, nil
}

// summary is a flow in a list.
type summary struct {
	ID          string `json:"id"`
	Name        string `json:"name"`
	Description string `json:"description"`
	Disabled    bool   `json:"disabled"`
	Version     int    `json:"version"`
}

func (s *server) listFlows(r *request) (any, error) {
	var b struct {
		IDs []string `json:"ids"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	list := []summary{}
	for _, d := range s.Flows.List() {
		if len(b.IDs) == 0 || slices.Contains(b.IDs, d.FlowID) {
			list = append(list, summary{d.FlowID, d.Metadata.Name, d.Metadata.Description, d.Metadata.Disabled, s.Version(d)})
		}
	}
	return map[string]any{"flows": list, "total": len(list)}, nil
}

func (s *server) deleteFlows(r *request) (any, error) {
	var b struct {
		IDs []string `json:"ids"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	for _, id := range b.IDs {
		if err := s.Flows.Delete(id); err != nil {
			return nil, err
		}
	}
	return nil, nil
}

func (s *server) completeExternal(r *request) (any, error) {
	var b struct {
		RequestID     string `json:"externalAuthReqId"`
		LoginID       string `json:"loginId"`
		EmailVerified bool   `json:"emailVerified"`
		PhoneVerified bool   `json:"phoneVerified"`
		User          struct {
			Name          string `json:"name"`
			Email         string `json:"email"`
			Phone         string `json:"phone"`
			GivenName     string `json:"givenName"`
			MiddleName    string `json:"middleName"`
			FamilyName    string `json:"familyName"`
			RecoveryEmail string `json:"recoveryEmail"`
			RecoveryPhone string `json:"recoveryPhone"`
		} `json:"user"`
		CustomClaims   map[string]any    `json:"customClaims"`
		SelectedTenant string            `json:"selectedTenantId"`
		Tenants        []json.RawMessage `json:"userTenants"`
	}
	if err := r.read(&b); err != nil {
		return nil, err
	}
	switch {
	case b.RequestID == "":
		return nil, bad("externalAuthReqId is missing.")
	case b.SelectedTenant != "" || len(b.Tenants) > 0:
		return nil, unknown("Giving a user tenants (selectedTenantId, userTenants)")
	case b.User.RecoveryEmail != "" || b.User.RecoveryPhone != "":
		return nil, unknown("Account recovery (recoveryEmail, recoveryPhone)")
	}
	properties := map[string]any{}
	for name, v := range map[string]string{
		"name": b.User.Name, "email": b.User.Email, "phone": b.User.Phone,
		"givenName": b.User.GivenName, "middleName": b.User.MiddleName, "familyName": b.User.FamilyName,
	} {
		if v != "" {
			properties[name] = v
		}
	}
	if b.EmailVerified {
		properties["verifiedEmail"] = true
	}
	if b.PhoneVerified {
		properties["verifiedPhone"] = true
	}
	to, err := s.Flows.CompleteExternal(r.ctx, runner.Completion{
		RequestID: b.RequestID, LoginID: b.LoginID, Properties: properties, CustomClaims: b.CustomClaims, At: s.Now(),
	})
	if err != nil {
		return nil, err
	}
	return map[string]string{"redirectUrl": to}, nil
}
