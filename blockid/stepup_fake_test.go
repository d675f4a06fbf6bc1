package blockid_test

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
)

const (
	fakeUWL      = "5e0e0f3c-7d0b-4a3b-9d55-0a4f5a2a7c12"
	fakeDID      = "0123456789abcdef0123456789abcdef01234567"
	fakeModule   = "5f0000000000000000000003"
	pathUWLNew   = "/sessions/session/new"
	pathUWL      = "/sessions/session/" + fakeUWL + "/response"
	pathUserInfo = "/api/r1/community/default/userdid/" + fakeDID + "/userinfo"
	pathUsers    = "/users-mgmt/tenant/5f0000000000000000000001/community/5f0000000000000000000002/users/fetch"
	pathWFCreate = "/workflowapi/workflow_instance/tenant/5f0000000000000000000001/community/5f0000000000000000000002/create"
	pathWFNode   = "/workflowapi/workflow_instance/wfi-0001/tenant/5f0000000000000000000001/community/5f0000000000000000000002/node/face"
)

// fakeSessionUWL is an open UWL session: who opened it, and what its poll says.
type fakeSessionUWL struct {
	creator string // public key
	status  int    // of the poll; 0 is 404, as long as nobody answered
	body    string // of the poll
}

// serveUWL creates sessions, and lets only their creator's key read the answer.
func (f *fake) serveUWL(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s, ok := f.admit(w, r, "sessions")
	if !ok {
		return
	}
	b, _ := io.ReadAll(r.Body)
	s.Body = string(b)
	f.keep(s)
	if s.Path == pathUWLNew && r.Method == http.MethodPut {
		f.sessions[fakeUWL] = &fakeSessionUWL{creator: r.Header.Get("publickey")}
		writeJSON(w, 201, map[string]string{"sessionId": fakeUWL})
		return
	}
	session := f.sessions[strings.Split(s.Path, "/")[3]]
	switch {
	case session == nil || r.Method != http.MethodGet || session.status == 0:
		fail(w, 404, "Session response not found")
	case r.Header.Get("addsessioninfo") != "1":
		fail(w, 500, "the test wants addsessioninfo")
	case r.Header.Get("publickey") != session.creator:
		fail(w, 401, "Unauthorized")
	default:
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(session.status)
		_, _ = io.WriteString(w, session.body)
	}
}

// serveUsers pages through f.users.
func (f *fake) serveUsers(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if r.Header.Get("X-TenantTag") != "acme" {
		fail(w, 400, "X-TenantTag is required")
		return
	}
	s, ok := f.admit(w, r, "users-mgmt")
	if !ok {
		return
	}
	b, _ := io.ReadAll(r.Body)
	s.Body = string(b)
	f.keep(s)
	var q struct {
		Module string `json:"authModule"`
		Index  int    `json:"pIndex"`
		Size   int    `json:"pSize"`
	}
	switch {
	case s.Path != pathUsers || json.Unmarshal(b, &q) != nil || q.Size <= 0:
		fail(w, 400, "query must be of type object")
		return
	case q.Module == "directory":
		fail(w, 405, "This function is not allowed for specified auth module.")
		return
	case q.Module != fakeModule:
		fail(w, 404, "Auth module is not found.")
		return
	}
	from := min(q.Index*q.Size, len(f.users))
	to := min(from+q.Size, len(f.users))
	writeJSON(w, 200, map[string]any{
		"page": map[string]any{"index": q.Index, "total": len(f.users), "size": q.Size}, "data": append([]map[string]any{}, f.users[from:to]...),
		"publicKey": f.keys["users-mgmt"].public(), "signature_token": "00ff",
	})
}
