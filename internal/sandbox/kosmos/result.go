package kosmos

import (
	"cmp"
	"crypto/hmac"
	"crypto/sha256"
	"crypto/sha512"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"strings"
	"time"

	"github.com/google/uuid"
	"golang.org/x/text/language"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// outcome is what a judged session leaves: all that both result shapes carry.
// It is personal, sealed at rest and purged.
type outcome struct {
	Document *document  `json:"document,omitempty"` // success
	LiveID   *liveID    `json:"liveid,omitempty"`   // success with a selfie
	Info     *extracted `json:"info,omitempty"`     // what was read, if anything was
	Error    *errorInfo `json:"error,omitempty"`    // failure
	Own      own        `json:"own"`
	IAL      string     `json:"ial,omitempty"` // asserted for the enrolled user of a /v1 session
}

// extracted is extractedInfo (reference 2.4).
type extracted struct {
	DocumentType string `json:"documentType"`
	DocumentID   string `json:"documentId"`
	FirstName    string `json:"firstName"`
	LastName     string `json:"lastName"`
	DOE          string `json:"doe"` // YYYYMMDD, as all dates here
}

// document is the union of the passport and the card variant; a pointer that
// is nil is a key that the variant does not have.
type document struct {
	Category       string  `json:"category"`
	ProofedBy      string  `json:"proofedBy"`
	DocumentType   string  `json:"documentType"`
	Type           string  `json:"type"`
	Country        string  `json:"country"` // ISO 3166 alpha-2
	State          *string `json:"state,omitempty"`
	Image          string  `json:"image"` // base64, as all images
	ImageBack      *string `json:"imageBack,omitempty"`
	Face           string  `json:"face"`
	DocumentID     string  `json:"documentId"`
	ID             string  `json:"id"`
	FirstName      string  `json:"firstName"`
	FamilyName     string  `json:"familyName"`
	LastName       string  `json:"lastName"`
	FullName       *string `json:"fullName,omitempty"`
	ComplianceType string  `json:"complianceType"`
	MRZResult      *string `json:"mrzResult,omitempty"`
	DOB            string  `json:"dob"`
	DOE            string  `json:"doe"`
	DOI            *string `json:"doi,omitempty"`
	Gender         string  `json:"gender"`           // "1" female, "2" male
	Street         *string `json:"street,omitempty"` // this and the next two: of a licence
	City           *string `json:"city,omitempty"`
	ZipCode        *string `json:"zipCode,omitempty"`
	ProofJWT       string  `json:"proof_jwt"`
}

// liveID is liveid_object (reference 2.4): consumed by the Android app, absent
// from the published v3 samples, so v1 alone carries it.
type liveID struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Category  string `json:"category"`
	ProofedBy string `json:"proofedBy"`
	Face      string `json:"face"`
}

// errorInfo has two published variants, which spell the reason code
// differently and of which only the second says which document it was.
type errorInfo struct {
	Type        string `json:"type,omitempty"`
	DocType     string `json:"docType,omitempty"`
	DocID       string `json:"docId,omitempty"`
	TS          int64  `json:"ts,omitempty"` // unix milliseconds
	Status      int    `json:"status"`
	Message     string `json:"message"`
	Reason      string `json:"reason"`
	ReasonCode  string `json:"reason_code,omitempty"`
	ReasonCode2 string `json:"reasonCode,omitempty"`
}

// own is the block "kosmoscope", which is this server's alone: what the engine
// really found. The vendor's clients ignore keys that they do not know.
type own struct {
	Reason    string         `json:"reason"` // engine's reason, or one of the reasons of reasons.go; empty on success
	Checks    []api.Check    `json:"checks"`
	Evidence  []api.Evidence `json:"evidence"`
	Engine    api.Info       `json:"engine"`
	Enrolled  *bool          `json:"enrolled,omitempty"` // of a proofing: the user it named has a face on record now; false if it failed
	Assessed  bool           `json:"assessed"`           // always false: no laboratory has tested this engine
	Framework string         `json:"framework"`
}

type sessionData struct {
	User         json.RawMessage `json:"user,omitempty"`
	DocumentType string          `json:"documentType,omitempty"`
}

// inProgress is also the answer for a session that nobody has opened yet.
type inProgress struct {
	ResponseStatus string `json:"responseStatus"`
	ID             string `json:"id,omitempty"`        // v3
	SessionID      string `json:"sessionId,omitempty"` // v1
}

type resultV3 struct {
	SessionResult string       `json:"sessionResult"`
	SessionID     string       `json:"sessionId"`
	SessionData   *sessionData `json:"sessionData,omitempty"`
	ExtractedInfo any          `json:"extractedInfo,omitempty"`
	Document      *document    `json:"document,omitempty"`
	ErrorInfo     *errorInfo   `json:"errorInfo,omitempty"`
	Own           *own         `json:"kosmoscope,omitempty"`
}

// v3Result is the decrypted body of the v3 result (reference 2.4). A session
// that ended without a verdict, or whose outcome was purged, is its state
// alone: what the vendor answers after a purge is unknown.
func v3Result(v *session) any {
	if !v.State.ended() {
		return inProgress{ResponseStatus: "INPROGRESS", ID: v.ID}
	}
	r := resultV3{SessionResult: wireState(v.State), SessionID: v.ID}
	if v.Outcome == nil {
		return r
	}
	o := v.Outcome
	r.SessionData = &sessionData{}
	if v.Request != nil {
		r.SessionData.User = v.Request.User
	}
	r.Document, r.ErrorInfo, r.Own = o.Document, o.Error, &o.Own
	switch {
	case o.Info != nil:
		r.ExtractedInfo = o.Info
	default:
		r.ExtractedInfo = struct{}{}
	}
	// The variant that says which document it was leaves documentType out here.
	if (o.Error == nil || o.Error.DocType == "") && v.Request != nil {
		r.SessionData.DocumentType = wireType(chosenType(v))
	}
	return r
}

func wireState(st State) string {
	switch st {
	case Success:
		return "SUCCESS"
	case Failed:
		return "FAILED"
	case Expired:
		return "EXPIRED"
	}
	return wireDeclined
}

// v1Result is the decrypted body of the first result shape (reference 2.2): the
// document under the name of its type.
func v1Result(v *session) any {
	if !v.State.ended() {
		return inProgress{ResponseStatus: "INPROGRESS", SessionID: v.ID}
	}
	r := map[string]any{"responseStatus": wireState(v.State), "sessionId": v.ID}
	o := v.Outcome
	if o == nil {
		return r
	}
	r["metadata"] = struct{}{}
	r["kosmoscope"] = o.Own
	if o.Error != nil {
		r["errorInfo"] = o.Error
	}
	if o.Document != nil {
		r[o.Document.wireKey()] = o.Document
		r["token"] = o.Document.ProofJWT // "a certificate token"; which one is unknown
	}
	if o.LiveID != nil {
		r["liveid_object"] = o.LiveID
	}
	return r
}

// wireKey is the key of the document in the v1 shape.
func (d *document) wireKey() string {
	switch d.Type {
	case "ppt":
		return wirePassport
	case typeLicense:
		return wireLicense
	}
	return wireIDCard
}

// chosenType is the one document type of a session, or the first that is allowed.
func chosenType(v *session) string {
	if v.Chosen != "" {
		return v.Chosen
	}
	return v.Request.DocumentTypes[0]
}

// documentFrom lays out what the engine read as the vendor does. The images
// are those of the wire.
func (s *Server) documentFrom(d *api.Document, front, back, face []byte, passed own, at time.Time) *document {
	b64 := base64.StdEncoding.EncodeToString
	out := &document{
		Category: "identity_document", ProofedBy: s.proofedBy(), Country: alpha2(d.IssuingCountry),
		Image: b64(front), Face: b64(face), DocumentID: d.Number, ID: d.Number,
		FirstName: d.GivenNames, FamilyName: d.Surname, LastName: d.Surname, ComplianceType: complianceType,
		DOB: compactDate(d.BirthDate), DOE: compactDate(d.ExpiryDate), Gender: gender(d.Sex),
	}
	out.DocumentType = documentTypeName(d)
	if d.Type == api.Passport {
		out.Type = "ppt"
		mrz := strings.Join(d.MRZ, "\n") + "\n"
		out.MRZResult = &mrz
	} else {
		out.Type = out.DocumentType
		// No MRZ holds a date of issue.
		state, full, doi := cmp.Or(d.Jurisdiction, stateNone), strings.TrimSpace(d.GivenNames+" "+d.Surname), compactDate(d.IssueDate)
		out.State, out.FullName, out.DOI = &state, &full, &doi
		imageBack := b64(back)
		out.ImageBack = &imageBack
		if d.Format == formatAAMVA {
			out.Street, out.City, out.ZipCode = &d.Street, &d.City, &d.PostalCode
		}
	}
	out.ProofJWT = s.proofJWT(out, passed, at)
	return out
}

func documentTypeName(d *api.Document) string {
	switch {
	case d.Type == api.Passport:
		return "PASSPORT"
	case d.Type == api.DriversLicense:
		return typeLicense
	case len(d.MRZ) > 0 && len(d.MRZ[0]) > 1 && d.MRZ[0][1] == residencePermitCode:
		return "RESIDENCE_PERMIT"
	}
	return typeNationalID
}

func extractedFrom(d *api.Document) *extracted {
	if d == nil {
		return nil
	}
	return &extracted{
		DocumentType: documentTypeName(d), DocumentID: d.Number, FirstName: d.GivenNames, LastName: d.Surname,
		DOE: compactDate(d.ExpiryDate),
	}
}

// compactDate turns YYYY-MM-DD into YYYYMMDD.
func compactDate(s string) string { return strings.ReplaceAll(s, "-", "") }

func gender(sex string) string {
	switch sex {
	case "F":
		return "1"
	case "M":
		return "2"
	}
	return genderOther
}

// alpha2 turns an ICAO 9303 issuing state into ISO 3166 alpha-2. Codes that
// have none (specimens, the United Nations) stay as they are.
func alpha2(icao string) string {
	switch icao {
	case "D":
		return "DE"
	case "GBD", "GBN", "GBO", "GBP", "GBS":
		return "GB"
	case "RKS":
		return "XK"
	}
	if len(icao) != 3 {
		return icao
	}
	r, err := language.ParseRegion(icao)
	if err != nil || !r.IsCountry() || len(r.String()) != 2 || r.ISO3() != icao {
		return icao
	}
	return r.String()
}

// proofedBy is 128 hex characters whose meaning is unknown; here it names this
// installation.
func (s *Server) proofedBy() string {
	sum := sha512.Sum512([]byte("kosmoscope/" + s.tenantID + "/" + s.communityID))
	return hex.EncodeToString(sum[:])
}

// proofJWT is the signed summary inside a document (reference 2.5). It lists
// only what the engine really checked: the overall decision and, when a selfie
// was compared, face_compare and, when liveness was tested, selfie_liveness.
// The vendor's fraud and document liveness checks were not made and are absent.
func (s *Server) proofJWT(d *document, passed own, at time.Time) string {
	type verified struct {
		Verified bool `json:"verified"`
	}
	result := map[string]verified{"session_decision": {passed.Reason == ""}}
	for _, c := range passed.Checks {
		if c.Outcome == api.CannotTell {
			continue
		}
		switch c.Name {
		case api.CheckFaceMatch:
			result["face_compare"] = verified{c.Outcome == api.Pass}
		case api.CheckLiveness:
			result["selfie_liveness"] = verified{c.Outcome == api.Pass}
		}
	}
	hash := func(field string) string {
		sum := sha512.Sum512([]byte(field))
		return hex.EncodeToString(sum[:])
	}
	hashes := struct {
		ID        string  `json:"id"`
		FirstName string  `json:"firstName"`
		LastName  string  `json:"lastName"`
		ZipCode   *string `json:"zipCode"`
		State     *string `json:"state"`
		Country   string  `json:"country"`
		DOB       string  `json:"dob"`
		DOI       *string `json:"doi"`
	}{ID: hash(d.ID), FirstName: hash(d.FirstName), LastName: hash(d.LastName), Country: hash(d.Country), DOB: hash(d.DOB)}
	hashIf := func(field *string) *string {
		if field == nil {
			return nil
		}
		h := hash(*field)
		return &h
	}
	hashes.State, hashes.ZipCode = hashIf(d.State), hashIf(d.ZipCode)
	all, err := json.Marshal(hashes)
	if err != nil {
		panic(fmt.Sprintf("kosmos: strings do not marshal: %v", err)) // cannot happen
	}
	return signHS256(s.proofKey, map[string]any{
		"version": "1.0",
		"document": map[string]any{
			"type": d.DocumentType, "documentId": d.DocumentID, "doe": d.DOE,
			"hashes": hashes,
			"hash":   hash(string(all)), // the vendor's recipe is unknown
		},
		"checks":    []string{"session_decision"},
		"result":    result,
		"connector": map[string]string{"id": hexID(12, "connector", s.tenantID)},
		"aud":       "https://" + s.opt.DNS,
		"iss":       "https://" + s.opt.DNS + "/idproofing",
		"jit":       uuid.NewString(),
		"ts":        at.Unix(),
		"iat":       at.Unix(),
	})
}

// signHS256 makes a compact JWT (RFC 7515, HMAC with SHA-256).
func signHS256(key []byte, claims any) string {
	body, err := json.Marshal(claims)
	if err != nil {
		panic(fmt.Sprintf("kosmos: claims do not marshal: %v", err)) // cannot happen
	}
	enc := base64.RawURLEncoding
	text := enc.EncodeToString([]byte(`{"alg":"HS256","typ":"JWT"}`)) + "." + enc.EncodeToString(body)
	mac := hmac.New(sha256.New, key)
	mac.Write([]byte(text))
	return text + "." + enc.EncodeToString(mac.Sum(nil))
}

func (s *Server) liveIDFrom(session string, face []byte) *liveID {
	return &liveID{
		ID: hexID(20, "liveid", session), Type: "liveid", Category: "liveid", // values unknown beyond the names of the keys
		ProofedBy: s.proofedBy(), Face: base64.StdEncoding.EncodeToString(face),
	}
}
