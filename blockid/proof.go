package blockid

import (
	"crypto/sha512"
	"crypto/subtle"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"time"
)

// ErrProof reports a proof JWT whose structure cannot be read.
var ErrProof = errors.New("blockid: not a proof JWT")

const maxProof = 64 << 10

// Proof is the content of a document's proof JWT.
//
// Nobody but 1Kosmos can verify it: it is signed with a symmetric key. It is
// worth what the sealed answer that carried it is worth, and nothing alone.
type Proof struct {
	Algorithm string // of the JWT header; HS256 has been seen

	Version   string                `json:"version"`
	Document  ProofDocument         `json:"document"`
	Checks    []string              `json:"checks"` // what was asked for
	Results   map[string]ProofCheck `json:"result"` // what was done
	Connector struct {
		ID string `json:"id"`
	} `json:"connector"`
	Audience string `json:"aud"`
	Issuer   string `json:"iss"`
	ID       string `json:"jit"` // sic
	TS       int64  `json:"ts"`  // epoch seconds
	IssuedAt int64  `json:"iat"` // epoch seconds
}

// ProofDocument identifies the document by hashes. Each is the lower-case hex
// SHA-512 of the field's exact text; a field that was empty is nil. How Hash,
// over the whole document, is made is not known.
type ProofDocument struct {
	Type       string             `json:"type"`
	DocumentID string             `json:"documentId"`
	ExpiryDate string             `json:"doe"` // YYYYMMDD
	Hashes     map[string]*string `json:"hashes"`
	Hash       string             `json:"hash"`
}

// ProofCheck is the outcome of one check.
type ProofCheck struct {
	Verified bool `json:"verified"`
}

// Names of checks seen in proofs. The last two are there only when the
// workflow takes a selfie; they are the only sign that it did.
const (
	CheckFraud         = "fraud_detection"
	CheckDecision      = "session_decision"
	CheckSummary       = "session_summary"
	CheckDocumentFront = "document_liveness_front"
	CheckDocumentBack  = "document_liveness_back"
	CheckFaceCompare   = "face_compare"
	CheckSelfie        = "selfie_liveness"
)

// Passed reports whether a check was done and passed.
func (p *Proof) Passed(check string) bool { return p.Results[check].Verified }

// Matches reports whether the proof is about a document on which field (id,
// firstName, lastName, zipCode, state, country, dob, doi) has this value.
func (p *Proof) Matches(field, value string) bool {
	h := p.Document.Hashes[field]
	if h == nil {
		return false
	}
	sum := sha512.Sum512([]byte(value))
	return subtle.ConstantTimeCompare([]byte(*h), []byte(hex.EncodeToString(sum[:]))) == 1
}

// String hides what is personal.
func (p Proof) String() string { return "proof (redacted)" }

// GoString hides what is personal.
func (p Proof) GoString() string { return p.String() }

// LogValue hides what is personal.
func (p Proof) LogValue() slog.Value { return slog.StringValue(p.String()) }

// ParseUnverifiedProof reads the structure of Document.ProofJWT. It does not,
// and cannot, check the signature.
func ParseUnverifiedProof(jwt string) (*Proof, error) {
	p := new(Proof)
	alg, err := decodeJWT(jwt, p)
	if err != nil {
		return nil, err
	}
	p.Algorithm = alg
	return p, nil
}

// decodeJWT decodes the payload of a compact JWT and returns its alg.
func decodeJWT(jwt string, payload any) (string, error) {
	if len(jwt) > maxProof {
		return "", fmt.Errorf("%w: too long", ErrProof)
	}
	parts := strings.Split(jwt, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("%w: %d parts", ErrProof, len(parts))
	}
	var header struct {
		Alg string `json:"alg"`
	}
	for i, v := range []any{&header, payload} {
		b, err := base64.RawURLEncoding.DecodeString(strings.TrimRight(parts[i], "="))
		if err != nil {
			return "", fmt.Errorf("%w: not base64", ErrProof)
		}
		if !isObject(b) || json.Unmarshal(b, v) != nil {
			return "", fmt.Errorf("%w: not the expected JSON", ErrProof)
		}
	}
	return header.Alg, nil
}

// IALProof is the affidavit behind an assurance level. It is as unverifiable
// as Proof.
type IALProof struct {
	Type     string // such as "dl_affidavit"
	Document struct {
		Type       string `json:"type"`
		ExpiryDate string `json:"doe"` // YYYYMMDD
		IDHash     string `json:"id_hash"`
	}
	Purpose   []string
	Issuer    string
	Recipient string // username
	IssuedAt  time.Time
	ExpiresAt time.Time // zero when the proof does not say
}

func parseIALProof(kind, jwt string) (IALProof, error) {
	p := IALProof{Type: kind}
	var w struct {
		Issuer    string `json:"iss"`
		Recipient struct {
			Username string `json:"username"`
		} `json:"recipient"`
		Document json.RawMessage `json:"document"`
		Purpose  []string        `json:"purpose"`
		IssuedAt int64           `json:"iat"`
		Expires  int64           `json:"exp"`
	}
	if _, err := decodeJWT(jwt, &w); err != nil {
		return p, err
	}
	if len(w.Document) > 0 && unmarshalLenient(w.Document, &p.Document) != nil {
		return p, fmt.Errorf("%w: not the expected JSON", ErrProof)
	}
	p.Purpose, p.Issuer, p.Recipient = w.Purpose, w.Issuer, w.Recipient.Username
	p.IssuedAt, p.ExpiresAt = epoch(w.IssuedAt), epoch(w.Expires)
	return p, nil
}

// epoch returns the zero time for 0 and for what no calendar holds.
func epoch(s int64) time.Time {
	if s <= 0 || s > 253402300799 { // end of the year 9999
		return time.Time{}
	}
	return time.Unix(s, 0).UTC()
}
