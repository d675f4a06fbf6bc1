package kosmos

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
)

// Workflow API (reference 3.3), for workflows that check the face of an enrolled
// user. What it leaves open is in guesses_stepup.go.

const svcWorkflow = "workflowapi"

// workflowDetail is what the creator of an instance said.
type workflowDetail struct {
	WorkflowID string `json:"workflow_id"`
	Callback   string `json:"callback,omitempty"`
}

func (s *Server) workflowRoutes(mux *http.ServeMux) {
	const base = "/workflowapi/workflow_instance/"
	mux.HandleFunc("POST "+base+"tenant/{tenant}/community/{community}/create", s.workflowCreate)
	mux.HandleFunc("GET "+base+"{id}/tenant/{tenant}/community/{community}/node/{node}", s.workflowResult)
}

// workflowCall admits a request and echoes its request id, which answers of this
// service do. When it returns nil it has answered.
func (s *Server) workflowCall(w http.ResponseWriter, r *http.Request) *admitted {
	a, ok := s.admit(w, r, svcWorkflow)
	if !ok {
		return nil
	}
	id := r.Header.Get("requestid")
	if clear := r.Header.Get("noecdsa"); clear == "" || clear == "false" {
		plain, err := a.shared.Open(id)
		if err != nil {
			headerSealed("requestid").write(w)
			return nil
		}
		id = string(plain)
	}
	w.Header().Set("requestid", id)
	if r.PathValue("tenant") != s.tenantID || r.PathValue("community") != s.communityID {
		guessUnknownTenant.write(w)
		return nil
	}
	return a
}

func (s *Server) workflow(id string) (Workflow, bool) {
	for _, wf := range s.opt.Workflows {
		if wf.ID != "" && wf.ID == id && wf.Kind == workflowKindLiveID {
			return wf, true
		}
	}
	return Workflow{}, false
}

func (s *Server) workflowCreate(w http.ResponseWriter, r *http.Request) {
	a := s.workflowCall(w, r)
	if a == nil {
		return
	}
	var ask struct {
		WorkflowID string          `json:"workflowId"`
		MetaData   json.RawMessage `json:"metaData"`
	}
	if !a.openBody(w, r, &ask) {
		return
	}
	var meta struct {
		Username    string `json:"username"`
		CallbackURL string `json:"callbackUrl"`
	}
	if len(ask.MetaData) > maxMetadata || ask.MetaData != nil && json.Unmarshal(ask.MetaData, &meta) != nil {
		problem{http.StatusBadRequest, styleCode, "metaData must be an object of at most 16 KB", ""}.write(w)
		return
	}
	wf, ok := s.workflow(ask.WorkflowID)
	switch {
	case ask.WorkflowID == "":
		problem{http.StatusBadRequest, styleCode, "workflowId is required", ""}.write(w)
		return
	case !ok:
		guessUnknownWorkflow.write(w)
		return
	case meta.Username == "":
		problem{http.StatusBadRequest, styleCode, workflowMissingUser, ""}.write(w)
		return
	case meta.CallbackURL != "" && !validCallback(meta.CallbackURL):
		problem{http.StatusBadRequest, styleCode, workflowCallbackFaulty, ""}.write(w)
		return
	}
	if !s.mayChallenge(w, r, meta.Username, styleCode) {
		return
	}
	detail, err := json.Marshal(workflowDetail{wf.ID, meta.CallbackURL})
	if err != nil {
		s.internal(w, "create a step-up", err)
		return
	}
	show := uwlShow(ask.MetaData)
	if show.Account == "" {
		show.Account = maskAccount(meta.Username)
	}
	v := &stepUp{Kind: kindWorkflow, Username: meta.Username, Show: show, Detail: detail, Expires: s.now().Add(workflowLifetime)}
	if err := s.newStepUp(r.Context(), v); err != nil {
		s.internal(w, "create a step-up", err)
		return
	}
	s.reply(w, a, map[string]string{"wfInstanceId": v.ID, "wfInstanceUrl": s.authenticatorURL(r, v.ID)}, true)
}

func (s *Server) workflowResult(w http.ResponseWriter, r *http.Request) {
	a := s.workflowCall(w, r)
	if a == nil {
		return
	}
	v, n, err := s.stepUpCounts(r.Context(), r.PathValue("id"))
	if errors.Is(err, errNoSession) || err == nil && (v.Kind != kindWorkflow || v.Detail == nil) {
		guessUnknownInstance.write(w)
		return
	}
	if err != nil {
		s.internal(w, "read a step-up", err)
		return
	}
	var d workflowDetail
	if json.Unmarshal(v.Detail, &d) != nil {
		s.internal(w, "read a step-up", errors.New("detail of a workflow instance"))
		return
	}
	if wf, ok := s.workflow(d.WorkflowID); !ok || wf.Node != r.PathValue("node") {
		guessUnknownInstance.write(w)
		return
	}
	if err := s.recall(r.Context(), v); err != nil {
		s.internal(w, "read a step-up", err)
		return
	}
	s.reply(w, a, workflowState(v, n.round > 0), true)
}

// workflowEnd is where the browser goes: to callbackUrl, with the instance's id.
func workflowEnd(_ context.Context, v *stepUp) (string, error) {
	var d workflowDetail
	if v.Detail == nil || json.Unmarshal(v.Detail, &d) != nil || d.Callback == "" {
		return "", nil
	}
	return withQuery(d.Callback, workflowCallbackParam, v.ID), nil
}
