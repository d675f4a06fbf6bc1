package kosmos

import (
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// The Bearer profile of reference 4.1, for identity verification. What it
// leaves open is in guesses.go.

func (s *Server) bearer(w http.ResponseWriter, r *http.Request) bool {
	scheme, token, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if strings.EqualFold(scheme, "Bearer") && token != "" {
		for _, t := range s.opt.V1Tokens {
			if t != "" && sameSecret(strings.TrimSpace(token), t) {
				return true
			}
		}
	}
	w.Header().Set("WWW-Authenticate", "Bearer")
	v1Problem(http.StatusUnauthorized, "Missing or invalid bearer token").write(w)
	return false
}

func (s *Server) v1Create(w http.ResponseWriter, r *http.Request) {
	if !s.bearer(w, r) {
		return
	}
	var ask struct {
		DocumentTypes []string       `json:"document_types"`
		LivenessMode  string         `json:"liveness_mode"`
		CallbackURL   string         `json:"callback_url"`
		Metadata      map[string]any `json:"metadata"`
	}
	if !readJSON(w, r, &ask) {
		return
	}
	invalid := func(message string) { v1Problem(http.StatusBadRequest, message).write(w) }
	if len(ask.DocumentTypes) == 0 {
		ask.DocumentTypes = allDocumentTypes
	}
	var types []string
	for _, t := range ask.DocumentTypes {
		if wireType(t) == "" {
			invalid("document_types must hold passport, drivers_license or id_card")
			return
		}
		if !slices.Contains(types, t) {
			types = append(types, t)
		}
	}
	if ask.LivenessMode == "" {
		ask.LivenessMode = api.LivenessActive // the strictest: a caller must ask for less
	}
	if !validLiveness(ask.LivenessMode) {
		invalid("liveness_mode must be none, passive or active")
		return
	}
	if ask.CallbackURL != "" && !validCallback(ask.CallbackURL) {
		invalid("callback_url must be an https URL, or http to a loopback address, without user or fragment")
		return
	}
	rq := &request{
		Profile: profileV1, DocumentTypes: types, Liveness: ask.LivenessMode, Selfie: true, Callback: ask.CallbackURL,
	}
	if rq.Username, _ = ask.Metadata[v1MetadataUser].(string); rq.Username != "" && !validUsername(rq.Username) {
		invalid("metadata." + v1MetadataUser + " must be " + usernameRule)
		return
	}
	id, err := s.newSession(r, rq)
	if err != nil {
		s.internal(w, "create a session", err)
		return
	}
	writeJSON(w, v1Created, map[string]string{"session_id": id, v1URLKey: s.pageURL(r, id), "status": v1Pending})
}

func validCallback(raw string) bool {
	u, err := url.Parse(raw)
	if err != nil || u.Host == "" || u.User != nil || u.Fragment != "" {
		return false
	}
	loopback := slices.Contains([]string{"localhost", "127.0.0.1", "::1"}, u.Hostname())
	return u.Scheme == "https" || u.Scheme == "http" && loopback
}

// callbackURL is where the browser goes when the session has ended.
func callbackURL(v *session) string {
	if v.Request == nil || v.Request.Callback == "" {
		return ""
	}
	u, err := url.Parse(v.Request.Callback)
	if err != nil {
		return ""
	}
	q := u.Query()
	q.Set(callbackSessionParam, v.ID)
	u.RawQuery = q.Encode()
	return u.String()
}

func (s *Server) v1SessionStatus(w http.ResponseWriter, r *http.Request) {
	if !s.bearer(w, r) {
		return
	}
	v, err := s.store.session(r.Context(), r.PathValue("id"), s.now())
	if errors.Is(err, errNoSession) || err == nil && v.Request != nil && v.Request.Profile != profileV1 {
		v1Problem(http.StatusNotFound, "Session not found").write(w)
		return
	}
	if err != nil {
		s.internal(w, "read a session", err)
		return
	}
	type claims struct {
		GivenName      string `json:"given_name"`
		FamilyName     string `json:"family_name"`
		BirthDate      string `json:"birthdate"` // YYYY-MM-DD
		DocumentType   string `json:"document_type"`
		DocumentNumber string `json:"document_number"`
		Country        string `json:"issuing_country"`
		ExpiryDate     string `json:"date_of_expiry"`
	}
	answer := map[string]any{"session_id": v.ID, "status": v1Status(v.State)}
	if o := v.Outcome; o != nil {
		result := map[string]any{}
		if o.IAL != "" {
			result["ial_level"] = o.IAL
		}
		if d := o.Document; d != nil {
			result["verified_claims"] = claims{
				d.FirstName, d.LastName, dashedDate(d.DOB), strings.ToLower(d.DocumentType), d.DocumentID, d.Country, dashedDate(d.DOE),
			}
		}
		if o.Error != nil {
			result["reason"] = o.Error.Reason
			result["reason_code"] = o.Error.code()
		}
		answer["result"] = result
		answer["kosmoscope"] = o.Own
	}
	writeJSON(w, http.StatusOK, answer)
}

func (e *errorInfo) code() string {
	if e.ReasonCode != "" {
		return e.ReasonCode
	}
	return e.ReasonCode2
}

func dashedDate(d string) string {
	if len(d) != 8 {
		return d
	}
	return d[:4] + "-" + d[4:6] + "-" + d[6:]
}

// assertedLevel is the level that the tenant has on record for the enrolled
// user whom a /v1 session named, if the document read in this session carries
// that user's names. The creator of a session may name anybody, and a session
// by itself has no level.
func assertedLevel(rq *request, d *api.Document) string {
	u, ok := seeded(rq.Username)
	if !ok || nameModule(u.first, u.last, d) != "" {
		return ""
	}
	return u.level
}
