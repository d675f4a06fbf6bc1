package kosmos

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"net/http"
	"strings"
)

func (s *Server) userRoutes(mux *http.ServeMux) {
	mux.HandleFunc("GET /api/r1/community/{community}/userdid/{did}/userinfo", s.userInfo)
	mux.HandleFunc("POST /api/r1/community/{community}/userdid/{did}/userinfo/fetch", s.userInfo)
	mux.HandleFunc("POST /users-mgmt/tenant/{tenant}/community/{community}/users/fetch", s.fetchUsers)
}

// userInfo tells whose wallet a DID is, and its public key (reference 4.2, step
// 6). GET takes devicelist=true as a query, POST the same in its body, which may
// be sealed.
func (s *Server) userInfo(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	devices := r.URL.Query().Get("devicelist") == "true"
	if r.Method == http.MethodPost {
		var ask struct {
			DeviceList bool   `json:"devicelist"`
			Data       string `json:"data"`
		}
		if !readJSON(w, r, &ask) {
			return
		}
		if ask.Data != "" {
			plain, err := a.shared.Open(ask.Data)
			if err != nil || json.Unmarshal(plain, &ask) != nil {
				guessData.write(w)
				return
			}
		}
		devices = devices || ask.DeviceList
	}
	v, err := s.walletByDID(r.Context(), r.PathValue("did"))
	if errors.Is(err, errNoUser) || errors.Is(err, errDisabled) {
		guessUnknownDID.write(w)
		return
	}
	if err != nil {
		s.internal(w, "read a wallet", err)
		return
	}
	type device struct {
		UID                  string  `json:"uid"`
		DID                  string  `json:"did"`
		OS                   string  `json:"os"`
		PublicKey            string  `json:"publickey"`
		DeviceName           string  `json:"deviceName"`
		AuthenticatorID      string  `json:"authenticatorId"`
		AuthenticatorVersion string  `json:"authenticatorVersion"`
		AuthenticatorName    string  `json:"authenticatorName"`
		UserAgent            string  `json:"userAgent"`
		Lat                  *string `json:"locLat"`
		Lon                  *string `json:"locLon"`
		ID                   string  `json:"id"`
	}
	answer := struct {
		ID          string   `json:"id"`
		PersonID    string   `json:"personId"`
		UserIDs     []string `json:"userIdList"`
		CommunityID string   `json:"communityId"`
		PublicKey   string   `json:"publicKey"`
		POI         string   `json:"poi_ial"`
		PON         string   `json:"pon_ial"`
		Device      *device  `json:"device,omitempty"`
	}{
		hexID(12, "info", v.UID), hexID(12, "person", v.UID), []string{v.UID, v.Username}, s.communityID,
		v.Key.Public().String(), guessPOI, guessPON, nil,
	}
	if devices {
		answer.Device = &device{
			UID: v.UID, DID: v.DID, OS: guessDeviceOS, PublicKey: answer.PublicKey, DeviceName: guessDeviceName,
			AuthenticatorID: guessAuthenticatorID, AuthenticatorVersion: guessAuthenticatorVersion, AuthenticatorName: guessDeviceName,
			ID: hexID(12, "device", v.UID),
		}
	}
	s.reply(w, a, answer, false)
}

// directoryUser is a user as the tenant's user management shows it (reference 5).
type directoryUser struct {
	Username   string   `json:"username"`
	UID        string   `json:"uid"`
	DGUID      string   `json:"dguid"`
	Disabled   bool     `json:"disabled"`
	Status     string   `json:"status"`
	Role       string   `json:"roleValue"`
	Type       string   `json:"type"`
	ModuleID   string   `json:"moduleId"`
	Onboarding string   `json:"onboarding_status"`
	IsLocked   bool     `json:"isLocked"`
	Mobiles    []string `json:"mobiles"`
	Landlines  []string `json:"landlines"`
	Firstname  string   `json:"firstname"`
	Lastname   string   `json:"lastname"`
	Email      string   `json:"email"`
	URN        string   `json:"urn"`
}

// fetchUsers finds the user of that name (reference 5). The sample searches by a
// part of it; here, where names are kept as keyed hashes, the whole name is
// asked for. Neither request nor answer is encrypted.
func (s *Server) fetchUsers(w http.ResponseWriter, r *http.Request) {
	if r.PathValue("tenant") != s.tenantID || r.PathValue("community") != s.communityID || r.Header.Get("X-TenantTag") != s.opt.TenantTag {
		problem{http.StatusNotFound, styleCode, "Unable to load tenant/community", ""}.write(w)
		return
	}
	a, ok := s.admit(w, r, svcUsers)
	if !ok {
		return
	}
	var ask struct {
		AuthModule string          `json:"authModule"`
		Index      int             `json:"pIndex"`
		Size       int             `json:"pSize"`
		Query      json.RawMessage `json:"query"`
	}
	if !readJSON(w, r, &ask) {
		return
	}
	var query struct {
		Username string `json:"username"`
	}
	switch {
	case ask.AuthModule == "":
		guessAuthModule.write(w)
		return
	case ask.AuthModule != s.authModule():
		problem{http.StatusNotFound, styleCode, "Auth module is not found.", ""}.write(w)
		return
	case len(ask.Query) == 0 || json.Unmarshal(ask.Query, &query) != nil || string(ask.Query) == "null":
		problem{http.StatusBadRequest, styleCode, "query must be of type object", ""}.write(w)
		return
	case query.Username == "":
		guessQuery.write(w)
		return
	}
	found := []directoryUser{}
	u, err := s.knownUser(r.Context(), query.Username)
	switch {
	case err == nil:
		found = append(found, s.directoryUser(u))
	case !errors.Is(err, errNoUser):
		s.internal(w, "read a user", err)
		return
	}
	total := len(found)
	if ask.Index > 0 {
		found = found[:0] // there is one page
	}
	type page struct {
		Index int `json:"index"`
		Total int `json:"total"`
		Size  int `json:"size"`
	}
	writeJSON(w, http.StatusOK, struct {
		Page      page            `json:"page"`
		Data      []directoryUser `json:"data"`
		PublicKey string          `json:"publicKey"`
		Signature string          `json:"signature_token"`
	}{page{ask.Index, total, len(found)}, found, a.public, s.signature(found)})
}

func (s *Server) directoryUser(u userRow) directoryUser {
	records, _ := seeded(u.Username)
	status, onboarding := guessStatusActive, guessNotOnboarded
	if u.Disabled {
		status = guessStatusDisabled
	}
	if u.DID != "" {
		onboarding = guessOnboarded
	}
	return directoryUser{
		Username: u.Username, UID: u.UID, DGUID: u.UID, Disabled: u.Disabled, Status: status, Role: guessRole, Type: guessUserType,
		ModuleID: s.authModule(), Onboarding: onboarding, Mobiles: []string{}, Landlines: []string{},
		Firstname: records.first, Lastname: records.last, // names from documents are not kept
		URN: "urn:blockid:user:dns:" + strings.ToLower(s.opt.DNS) + ":community:" + s.communityID + ":mod:" + s.authModule() + ":uid:" + u.UID,
	}
}

// signature is signature_token: hex, of unknown meaning; here a keyed hash of the data.
func (s *Server) signature(data any) string {
	b, _ := json.Marshal(data) // strings and booleans
	mac := hmac.New(sha256.New, s.proofKey)
	mac.Write(b)
	return hex.EncodeToString(mac.Sum(nil))
}
