package kosmos

import (
	"cmp"
	"encoding/json"
	"errors"
	"net/http"
	"slices"

	"github.com/google/uuid"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Document types as the wire spells them (reference 2.1), and as door A and
// the engine do.
const (
	wirePassport = "ppt_object"
	wireLicense  = "dl_object"
	wireIDCard   = "idcard_object"
)

var allDocumentTypes = []string{api.Passport, api.DriversLicense, api.IDCard}

func wireType(t string) string {
	switch t {
	case api.Passport:
		return wirePassport
	case api.DriversLicense:
		return wireLicense
	case api.IDCard:
		return wireIDCard
	}
	return ""
}

func documentTypeOf(wire string) string {
	for _, t := range allDocumentTypes {
		if wireType(t) == wire {
			return t
		}
	}
	return ""
}

func validLiveness(mode string) bool {
	return mode == api.LivenessNone || mode == api.LivenessPassive || mode == api.LivenessActive
}

// createSession opens a session (reference 2.1). Unlike most answers this one
// is not encrypted.
func (s *Server) createSession(w http.ResponseWriter, r *http.Request) {
	a, ok := s.admit(w, r, svcDocuverify)
	if !ok {
		return
	}
	var ask struct {
		DVCID          *string `json:"dvcID"`
		SessionRequest *struct {
			TenantDNS     string          `json:"tenantDNS"`
			CommunityName string          `json:"communityName"`
			DocumentType  string          `json:"documentType"`
			User          json.RawMessage `json:"user"`
		} `json:"sessionRequest"`
	}
	if !a.openBody(w, r, &ask) {
		return
	}
	invalid := func(message string) { problem{http.StatusBadRequest, styleCode, message, ""}.write(w) }
	dvc, p := s.dvc(ask.DVCID)
	if p != nil {
		p.write(w)
		return
	}
	req := ask.SessionRequest
	switch {
	case req == nil:
		invalid("sessionRequest is required")
		return
	case req.TenantDNS == "":
		invalid("tenantDNS is required")
		return
	case req.CommunityName == "":
		invalid("communityName is required")
		return
	case !s.ownHost(req.TenantDNS) || req.CommunityName != s.opt.Community:
		problem{http.StatusNotFound, styleCode, "Unable to load tenant/community", ""}.write(w)
		return
	case req.DocumentType == "":
		invalid("documentType is required")
		return
	}
	kind := documentTypeOf(req.DocumentType)
	if kind == "" || len(dvc.DocumentTypes) > 0 && !slices.Contains(dvc.DocumentTypes, kind) {
		guessDocumentType.write(w)
		return
	}
	rq := &request{
		Profile: profileDocuverify, DVC: dvc.ID, DocumentTypes: []string{kind},
		Liveness: cmp.Or(dvc.Liveness, api.LivenessNone), Selfie: dvc.Selfie,
	}
	if len(req.User) > 0 && string(req.User) != "null" {
		var user struct {
			Username  string `json:"username"`
			Firstname string `json:"firstname"`
			Lastname  string `json:"lastname"`
		}
		if err := json.Unmarshal(req.User, &user); err != nil {
			invalid("user must be of type object")
			return
		}
		if user.Username != "" && !validUsername(user.Username) {
			guessUsername.write(w)
			return
		}
		rq.User, rq.Username, rq.Firstname, rq.Lastname = req.User, user.Username, user.Firstname, user.Lastname
	}
	id, err := s.newSession(r, rq)
	if err != nil {
		s.internal(w, "create a session", err)
		return
	}
	writeJSON(w, http.StatusOK, struct {
		SessionID string `json:"sessionId"`
		URL       string `json:"url"`
	}{id, s.pageURL(r, id)})
}

func (s *Server) newSession(r *http.Request, rq *request) (string, error) {
	id, err := uuid.NewRandom()
	if err != nil {
		return "", err
	}
	now := s.now()
	return id.String(), s.store.create(r.Context(), &session{
		ID: id.String(), Created: now, Expires: now.Add(s.opt.SessionTTL), Request: rq,
	})
}

// pageURL is the bearer link to the capture page.
func (s *Server) pageURL(r *http.Request, id string) string {
	host := s.opt.DNS
	if s.ownHost(r.Host) {
		host = r.Host
	}
	return "https://" + host + pagePath(id)
}

// dvc finds a workflow; the messages of the missing and the empty name are documented.
func (s *Server) dvc(id *string) (*DVC, *problem) {
	if id == nil {
		return nil, &problem{http.StatusBadRequest, styleCode, "dvcID is required", ""}
	}
	if *id == "" {
		return nil, &problem{http.StatusBadRequest, styleCode, "dvcID is not allowed to be empty", ""}
	}
	for i := range s.opt.DVCs {
		if s.opt.DVCs[i].ID == *id {
			return &s.opt.DVCs[i], nil
		}
	}
	p := guessUnknownDVC
	return nil, &p
}

// polled opens a result request and finds its session. When it returns nil it has answered.
func (s *Server) polled(w http.ResponseWriter, r *http.Request) (*admitted, *session) {
	a, ok := s.admit(w, r, svcDocuverify)
	if !ok {
		return nil, nil
	}
	var ask struct {
		DVCID     *string `json:"dvcID"`
		SessionID string  `json:"sessionId"`
	}
	if !a.openBody(w, r, &ask) {
		return nil, nil
	}
	dvc, p := s.dvc(ask.DVCID)
	if p != nil {
		p.write(w)
		return nil, nil
	}
	if ask.SessionID == "" {
		problem{http.StatusBadRequest, styleCode, "sessionId is required", ""}.write(w)
		return nil, nil
	}
	v, err := s.store.session(r.Context(), ask.SessionID, s.now())
	// After the purge nothing says any more which workflow a session had.
	if errors.Is(err, errNoSession) || err == nil && v.Request != nil && v.Request.DVC != dvc.ID {
		guessUnknownSession.write(w)
		return nil, nil
	}
	if err != nil {
		s.internal(w, "read a session", err)
		return nil, nil
	}
	return a, v
}

func (s *Server) resultV3(w http.ResponseWriter, r *http.Request) {
	if a, v := s.polled(w, r); a != nil {
		s.reply(w, a, v3Result(v), true)
	}
}

func (s *Server) resultV1(w http.ResponseWriter, r *http.Request) {
	if a, v := s.polled(w, r); a != nil {
		s.reply(w, a, v1Result(v), true)
	}
}
