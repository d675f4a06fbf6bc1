package blockid

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"strings"
)

// DocumentType selects the one document a session asks for.
type DocumentType string

const (
	DriversLicense DocumentType = "dl_object"
	Passport       DocumentType = "ppt_object"
	IDCard         DocumentType = "idcard_object" // any other identity card
)

// IDVRequest starts an identity verification session.
type IDVRequest struct {
	// DVCID names the verification workflow configured for the tenant: which
	// checks run, whether a selfie is taken, how long the link lives. Required.
	DVCID string
	// DocumentType is required.
	DocumentType DocumentType
	// User is optional. Names given here are compared with the document.
	User IDVUser
	// UserUID and DID are optional; first-party helpers send one random UUID
	// for both.
	UserUID, DID string
}

// IDVUser is who the session is about, echoed in its result.
type IDVUser struct {
	Username  string `json:"username,omitempty"`
	FirstName string `json:"firstname,omitempty"`
	LastName  string `json:"lastname,omitempty"`
	UID       string `json:"uid,omitempty"` // our own correlation id
}

// IDVSession is a started session. URL is a bearer link: whoever has it can
// take the person's place. ID is a part of it. Printing or logging the session
// hides both.
type IDVSession struct {
	ID  string
	URL string
}

// String hides the link.
func (s IDVSession) String() string { return "idv session (redacted)" }

// GoString hides the link.
func (s IDVSession) GoString() string { return s.String() }

// LogValue hides the link.
func (s IDVSession) LogValue() slog.Value { return slog.StringValue(s.String()) }

type createRequest struct {
	DVCID          string        `json:"dvcID"`
	SessionRequest createSession `json:"sessionRequest"`
}

type createSession struct {
	TenantDNS     string       `json:"tenantDNS"`
	CommunityName string       `json:"communityName"`
	DocumentType  DocumentType `json:"documentType"`
	UserUID       string       `json:"userUID,omitempty"`
	DID           string       `json:"did,omitempty"`
	User          *IDVUser     `json:"user,omitempty"`
}

// CreateIDV starts a session. A wrong DVCID is KindNotFound, a bad licence
// KindUnauthorized. The link is on the tenant's hosts or the allowed ones, or
// the call fails with KindUntrustedHost.
func (c *Client) CreateIDV(ctx context.Context, q IDVRequest) (IDVSession, error) {
	const op = "idv.create"
	if q.DVCID == "" {
		return IDVSession{}, invalid(op, "DVCID is required")
	}
	switch q.DocumentType {
	case DriversLicense, Passport, IDCard:
	default:
		return IDVSession{}, invalid(op, "unknown DocumentType")
	}
	com, err := c.communityName(ctx)
	if err != nil {
		return IDVSession{}, asError(err, op, ServiceDocuverify)
	}
	body := createRequest{DVCID: q.DVCID, SessionRequest: createSession{
		TenantDNS: c.cfg.DNS, CommunityName: com, DocumentType: q.DocumentType, UserUID: q.UserUID, DID: q.DID,
	}}
	if q.User != (IDVUser{}) {
		body.SessionRequest.User = &q.User
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceDocuverify, method: http.MethodPost,
		path: "/document_share_session/create", body: body,
		clear: true, // as observed, whatever the portal says
	})
	if err != nil {
		return IDVSession{}, err
	}
	s, err := parseCreate(a.plain)
	if err == nil {
		_, err = c.wire.trusted(s.URL, a.route.hosts)
	}
	if err != nil {
		return IDVSession{}, asError(err, op, ServiceDocuverify)
	}
	return s, nil
}

func parseCreate(b []byte) (IDVSession, error) {
	var w struct {
		SessionID scalar `json:"sessionId"`
		URL       scalar `json:"url"`
	}
	if err := unmarshalLenient(b, &w); err != nil {
		return IDVSession{}, &Error{Kind: KindMalformed, detail: "answer is broken JSON", err: err}
	}
	if !sessionIDSafe(string(w.SessionID)) || w.URL == "" {
		return IDVSession{}, malformed("session id or url missing")
	}
	return IDVSession{ID: string(w.SessionID), URL: string(w.URL)}, nil
}

// sessionIDSafe keeps what will be stored, logged and put in paths short and
// plain.
func sessionIDSafe(s string) bool {
	return s != "" && len(s) <= 128 && headerSafe(s)
}

// communityName avoids a look-up when the name is configured.
func (c *Client) communityName(ctx context.Context) (string, error) {
	if c.cfg.Community != "" {
		return c.cfg.Community, nil
	}
	com, err := c.community(ctx)
	if err != nil {
		return "", err
	}
	return com.Name, nil
}

// Status is the state of a session, normalised over all answer shapes.
type Status string

const (
	// StatusUnknown is a state this package does not know, or an answer that
	// contradicts itself. It is never success.
	StatusUnknown   Status = "unknown"
	StatusPending   Status = "pending" // not opened, or under way
	StatusSuccess   Status = "success"
	StatusFailed    Status = "failed"
	StatusExpired   Status = "expired"
	StatusAbandoned Status = "abandoned"
)

// Final reports whether the session will not change any more.
func (s Status) Final() bool {
	switch s {
	case StatusSuccess, StatusFailed, StatusExpired, StatusAbandoned:
		return true
	}
	return false
}

// ReasonCode says why a session failed. Codes not listed here mean a failure
// like any other.
type ReasonCode string

const (
	ReasonCapture      ReasonCode = "IDV0001" // the environment did not allow a capture
	ReasonInvalid      ReasonCode = "IDV0005" // not a valid document
	ReasonUnsupported  ReasonCode = "IDV0006" // document not supported; so does IDV0015
	ReasonIncomplete   ReasonCode = "IDV0007" // verification could not be completed
	ReasonMismatch     ReasonCode = "IDV0010" // seen when a given name is not the document's
	ReasonExpired      ReasonCode = "IDV0011" // the document has expired
	ReasonRetries      ReasonCode = "IDV0014" // no tries left
	ReasonUnsupported2 ReasonCode = "IDV0015"
	// IDV0002, 3, 4, 8, 9 and 12: the document could not be verified.
)

// IDVResult is the state of a session and, once it succeeded, what the
// document says. It holds personal data and images; printing or logging it
// shows id and status only.
type IDVResult struct {
	Status     Status
	WireStatus string // as the service spelled it
	SessionID  string

	User          IDVUser      // echo of the request
	RequestedType DocumentType // echo of the request
	Extracted     Extracted
	Document      *Document // nil unless the answer has one
	LiveID        *LiveID   // nil unless the answer has one
	Token         string    // certificate token, if any
	Failure       *Failure  // set when Status is StatusFailed

	// Extra holds top-level fields that this package does not know.
	Extra map[string]json.RawMessage
	// Raw is the whole decrypted answer.
	Raw json.RawMessage
}

// Extracted is what was read from the document, also when the session failed.
type Extracted struct {
	DocumentType string `json:"documentType"`
	DocumentID   string `json:"documentId"`
	FirstName    string `json:"firstName"`
	LastName     string `json:"lastName"`
	ExpiryDate   string `json:"doe"` // YYYYMMDD
}

// Document is the verified document. Which fields are there depends on its
// type. Dates are YYYYMMDD, images standard base64 of JPEG or PNG, Gender "1"
// female or "2" male, Country ISO 3166-1 alpha-2.
type Document struct {
	// Object is the key under which a v1 answer held the document; for a v3
	// answer it is the requested type.
	Object DocumentType `json:"-"`

	Type         string `json:"type"`
	DocumentType string `json:"documentType"`
	Category     string `json:"category"`
	ProofedBy    string `json:"proofedBy"`
	DocumentID   string `json:"documentId"`
	ID           string `json:"id"`

	FirstName  string `json:"firstName"`
	LastName   string `json:"lastName"`
	FamilyName string `json:"familyName"`
	MiddleName string `json:"middleName"`
	GivenName  string `json:"givenName"`
	FullName   string `json:"fullName"`

	DateOfBirth  string `json:"dob"`
	ExpiryDate   string `json:"doe"`
	IssueDate    string `json:"doi"`
	PlaceOfBirth string `json:"placeOfBirth"`
	Gender       string `json:"gender"`
	Height       string `json:"height"`
	EyeColor     string `json:"eyeColor"`

	Street           string `json:"street"`
	City             string `json:"city"`
	ResidenceCity    string `json:"residenceCity"`
	County           string `json:"county"`
	State            string `json:"state"`
	Country          string `json:"country"`
	ZipCode          string `json:"zipCode"`
	ResidenceZipCode string `json:"residenceZipCode"`

	ComplianceType     string `json:"complianceType"`
	ClassificationCode string `json:"classificationCode"`
	RestrictionCode    string `json:"restrictionCode"`

	MRZ       string `json:"mrzResult"` // lines, each ended by \n
	Image     string `json:"image"`
	ImageBack string `json:"imageBack"`
	Face      string `json:"face"`
	ProofJWT  string `json:"proof_jwt"` // see ParseUnverifiedProof
}

// LiveID is the enrolled face that some answers carry.
type LiveID struct {
	ID        string `json:"id"`
	Type      string `json:"type"`
	Category  string `json:"category"`
	ProofedBy string `json:"proofedBy"`
	Face      string `json:"face"` // standard base64
}

// Failure says why a session failed. Message and Reason are the vendor's own
// text, for operators.
type Failure struct {
	Code    ReasonCode
	Reason  string
	Message string
	Status  int // as in HTTP
}

// String hides what is personal.
func (r IDVResult) String() string { return "idv result " + string(r.Status) }

// GoString hides what is personal.
func (r IDVResult) GoString() string { return r.String() }

// LogValue hides what is personal.
func (r IDVResult) LogValue() slog.Value { return slog.StringValue(r.String()) }

// String hides what is personal.
func (d Document) String() string { return "document (redacted)" }

// GoString hides what is personal.
func (d Document) GoString() string { return d.String() }

// LogValue hides what is personal.
func (d Document) LogValue() slog.Value { return slog.StringValue(d.String()) }

// IDVResult reads the state of a session in the current (v3) shape. A session
// that failed, expired or was abandoned is a result, not an error. Nothing says
// that the key pair must be the one that created the session; keep it anyway.
func (c *Client) IDVResult(ctx context.Context, dvcID, sessionID string) (*IDVResult, error) {
	return c.idvResult(ctx, "idv.result", "/v3/document_share_session/result", ParseIDVResult, dvcID, sessionID)
}

// IDVResultV1 reads the same in the older shape, for deployments that do not
// serve v3.
func (c *Client) IDVResultV1(ctx context.Context, dvcID, sessionID string) (*IDVResult, error) {
	return c.idvResult(ctx, "idv.result.v1", "/document_share_session/result", ParseIDVResultV1, dvcID, sessionID)
}

type resultRequest struct {
	DVCID     string `json:"dvcID"`
	SessionID string `json:"sessionId"`
}

func (c *Client) idvResult(ctx context.Context, op, path string, parse func([]byte) (*IDVResult, error), dvcID, sessionID string) (*IDVResult, error) {
	if dvcID == "" || sessionID == "" {
		return nil, invalid(op, "dvcID and sessionID are required")
	}
	a, err := c.do(ctx, call{
		op: op, service: ServiceDocuverify, method: http.MethodPost, path: path,
		body: resultRequest{DVCID: dvcID, SessionID: sessionID},
	})
	if err != nil {
		return nil, err
	}
	r, err := parse(a.plain)
	// Every published answer about an ended session names it.
	if err == nil && (differ(r.SessionID, sessionID) || r.Status.Final() && r.SessionID == "") {
		err = malformed("answer is about another session")
	}
	if err != nil {
		return nil, asError(err, op, ServiceDocuverify)
	}
	return r, nil
}

// ParseIDVResult reads a decrypted v3 answer.
func ParseIDVResult(plain []byte) (*IDVResult, error) {
	return parseIDVResult(plain, func(session, response Status) Status {
		switch {
		case session == "":
			if response == StatusSuccess { // v3 says success in the other field
				return StatusUnknown
			}
			return response
		case response == StatusPending && session.Final():
			return StatusUnknown
		}
		return session
	})
}

// ParseIDVResultV1 reads a decrypted v1 answer.
func ParseIDVResultV1(plain []byte) (*IDVResult, error) {
	return parseIDVResult(plain, func(session, response Status) Status {
		switch {
		case response == "":
			if session == StatusSuccess { // v1 says success in the other field
				return StatusUnknown
			}
			return session
		case session != "" && session != response:
			return StatusUnknown
		}
		return response
	})
}

// normalise maps the wire's words, in whatever case. "" means absent. How a
// declined session reads on the wire is not known; until it is, it is
// StatusUnknown.
func normalise(wire string) Status {
	switch strings.ToUpper(wire) {
	case "":
		return ""
	case "INPROGRESS":
		return StatusPending
	case "SUCCESS":
		return StatusSuccess
	case "FAILED":
		return StatusFailed
	case "EXPIRED":
		return StatusExpired
	case "ABANDONED":
		return StatusAbandoned
	}
	return StatusUnknown
}

// failure is errorInfo; the key of the code differs between its two variants.
type failure struct {
	Status     int    `json:"status"`
	Message    string `json:"message"`
	Reason     string `json:"reason"`
	ReasonCode string `json:"reasonCode"`
	ReasonKey  string `json:"reason_code"`
}

func parseIDVResult(plain []byte, decide func(session, response Status) Status) (*IDVResult, error) {
	var w struct {
		sessionResult  string // v3, when done
		responseStatus string // v1; v3 while pending
		sessionID, id  string // v3 says id while pending
		data           struct {
			User         IDVUser      `json:"user"`
			DocumentType DocumentType `json:"documentType"`
		}
		failure                   failure
		document                  *Document // v3
		license, passport, idCard *Document // v1
	}
	r := &IDVResult{Raw: plain}
	var err error
	r.Extra, err = decodeObject(plain, map[string]any{
		"sessionResult": &w.sessionResult, "responseStatus": &w.responseStatus,
		"sessionId": &w.sessionID, "id": &w.id, "sessionData": &w.data, "extractedInfo": &r.Extracted,
		"errorInfo": &w.failure, "document": &w.document, string(DriversLicense): &w.license,
		string(Passport): &w.passport, string(IDCard): &w.idCard, "liveid_object": &r.LiveID, "token": &r.Token,
	})
	if err != nil {
		return nil, &Error{Kind: KindMalformed, detail: "result is broken JSON", err: err}
	}
	r.Status = decide(normalise(w.sessionResult), normalise(w.responseStatus))
	if r.Status == "" {
		return nil, malformed("result has no status")
	}
	r.WireStatus = cmp.Or(w.sessionResult, w.responseStatus)
	r.SessionID = cmp.Or(w.sessionID, w.id)
	r.User, r.RequestedType = w.data.User, w.data.DocumentType

	for _, d := range []struct {
		object DocumentType
		doc    *Document
	}{{w.data.DocumentType, w.document}, {DriversLicense, w.license}, {Passport, w.passport}, {IDCard, w.idCard}} {
		if d.doc == nil {
			continue
		}
		if r.Document != nil { // which one was verified?
			return nil, malformed("result has two documents")
		}
		d.doc.Object = d.object
		r.Document = d.doc
	}
	if f := w.failure; f != (failure{}) {
		r.Failure = &Failure{
			Code: ReasonCode(cmp.Or(f.ReasonKey, f.ReasonCode)), Reason: f.Reason, Message: f.Message, Status: f.Status,
		}
		if r.Status == StatusSuccess {
			r.Status = StatusUnknown // success with an error contradicts itself
		}
	}
	if r.Status == StatusFailed && r.Failure == nil {
		r.Failure = &Failure{}
	}
	return r, nil
}

// decodeObject decodes a JSON object, each known field straight into its
// target and the others raw. A known field of an unexpected type is left as it
// was. Names are matched exactly, and none may come twice: an answer that says
// both "failed" and "success" must not depend on the reader.
func decodeObject(b []byte, known map[string]any) (map[string]json.RawMessage, error) {
	dec := json.NewDecoder(bytes.NewReader(b))
	if t, err := dec.Token(); err != nil || t != json.Delim('{') {
		return nil, errors.New("not a JSON object")
	}
	extra := map[string]json.RawMessage{}
	seen := make(map[string]bool, len(known))
	for dec.More() {
		t, err := dec.Token()
		if err != nil {
			return nil, err
		}
		name, _ := t.(string)
		if seen[name] {
			return nil, errors.New("a field comes twice")
		}
		seen[name] = true
		if target, ok := known[name]; ok {
			err = dec.Decode(target)
			var mismatch *json.UnmarshalTypeError
			if errors.As(err, &mismatch) {
				err = nil
			}
		} else {
			var raw json.RawMessage
			err = dec.Decode(&raw)
			extra[name] = raw
		}
		if err != nil {
			return nil, err
		}
	}
	if _, err := dec.Token(); err != nil { // the closing brace
		return nil, err
	}
	if _, err := dec.Token(); err != io.EOF {
		return nil, errors.New("something follows the object")
	}
	return extra, nil
}
