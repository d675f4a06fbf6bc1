package kosmos

import (
	"errors"
	"net/http"
	"time"
)

// user is a seeded user of the tenant: the admin console's, not a person who
// was verified here. They exist so that one honest IAL2 answer exists: from the
// tenant's records, never from a session.
type user struct {
	name        string
	first, last string // as enrolled
	wallet      bool   // has a did
	level       string // IAL1 or IAL2
	proofs      []string
}

// Ada has the names of the specimen passport of ICAO 9303, so that there is a
// document that is hers; the others' documents nobody makes.
var users = []user{
	{"ada", "Anna", "Eriksson", true, "IAL2", []string{"dl_affidavit", "ssn_affidavit"}},
	{"bob", "Bob", "Lindqvist", true, "IAL1", nil},
	{"cora", "Cora", "Holm", false, "", nil},
}

var errNoUser = errors.New("kosmos: no such user")

// seeded finds one of them by name.
func seeded(name string) (user, bool) {
	for _, u := range users {
		if foldName(u.name) == foldName(name) {
			return u, true
		}
	}
	return user{}, false
}

type ialProof struct {
	Type  string `json:"type"`
	Proof string `json:"proof"`
}

type ialValue struct {
	Value  string     `json:"value"`
	Proofs []ialProof `json:"proofs"`
}

// ialOwn is the block "kosmoscope" of a level that rests on this server's engine.
type ialOwn struct {
	Assessed bool `json:"assessed"` // always false: no laboratory has tested this engine
}

// ial tells the level of an enrolled user (reference 3.1). Who was enrolled here
// has IAL1 by it, as anybody has who has a wallet, and no more.
func (s *Server) ial(w http.ResponseWriter, r *http.Request) {
	if !s.ownCommunity(w, r) {
		return
	}
	a, ok := s.admit(w, r, svcCommunity)
	if !ok {
		return
	}
	u, err := s.knownUser(r.Context(), r.PathValue("username"))
	if errors.Is(err, errNoUser) {
		guessUnknownUser.write(w)
		return
	}
	if err != nil {
		s.internal(w, "read a user", err)
		return
	}
	type ialUser struct {
		AuthModuleID string `json:"authModuleId"`
		UID          string `json:"uid"`
		Username     string `json:"username"`
	}
	answer := struct {
		User ialUser             `json:"user"`
		DID  map[string]ialValue `json:"did"`
		Own  *ialOwn             `json:"kosmoscope,omitempty"`
	}{
		ialUser{s.authModule(), u.UID, u.Username},
		map[string]ialValue{}, nil,
	}
	records, _ := seeded(u.Username)
	switch level := levelOf(u); {
	case records.wallet:
		proofs := []ialProof{}
		for _, kind := range records.proofs {
			proofs = append(proofs, ialProof{kind, s.affidavit(records, kind)})
		}
		answer.DID[u.DID] = ialValue{level, proofs}
	case level != "":
		answer.DID[u.DID] = ialValue{level, []ialProof{}}
		answer.Own = &ialOwn{}
	}
	s.reply(w, a, answer, false)
}

// levelOf is the level of a user, such as IAL2; empty for none. What the records say
// stands, whoever is enrolled besides.
func levelOf(u userRow) string {
	switch records, _ := seeded(u.Username); {
	case records.wallet:
		return records.level
	case u.Enrolled:
		return "IAL1"
	}
	return ""
}

// affidavit is the proof of a document that a third-party authority vouched
// for. It ends with the last day of the document, which for these users is
// always the end of the third year from now.
func (s *Server) affidavit(u user, kind string) string {
	now := s.now().UTC()
	end := time.Date(now.Year()+3, time.December, 31, 23, 59, 59, 0, time.UTC)
	document := map[string]string{"dl_affidavit": "dl", "ssn_affidavit": "ssn"}[kind]
	base := "https://" + s.opt.DNS
	return signHS256(s.proofKey, map[string]any{
		"aud":       base + "/" + s.opt.Community,
		"iss":       base + "/admin/" + s.opt.Community,
		"issuer":    map[string]string{"username": "kosmoscope"},
		"recipient": map[string]string{"username": u.name},
		"document": map[string]string{
			"type": document, "doe": end.Format("20060102"), "id_hash": hexID(32, "document", u.name, kind) + hexID(32, "document2", u.name, kind),
		},
		"ts":      now.UnixMilli(),
		"purpose": []string{"ial"},
		"iat":     now.Unix(),
		"exp":     end.Unix(),
	})
}

// uuidOf derives a stable UUID-shaped identifier.
func uuidOf(parts ...string) string {
	h := hexID(16, append([]string{"uuid"}, parts...)...)
	return h[:8] + "-" + h[8:12] + "-4" + h[13:16] + "-8" + h[17:20] + "-" + h[20:]
}

// authModule is the id of the one directory that users of this tenant are in.
func (s *Server) authModule() string { return hexID(12, "module", s.tenantID) }
