package ida

import (
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// The types below are the part of the schema definition that we use: section 5, and
// the claim nationalities of "OpenID Connect for Identity Assurance Claims
// Registration 1.0". Their doc tags become descriptions in door A's OpenAPI document.

// VerifiedClaims is the element: claims, and how they were verified.
type VerifiedClaims struct {
	Verification Verification `json:"verification"`
	Claims       PersonClaims `json:"claims"`
}

// Verification says by whose rules, when, and on what evidence.
type Verification struct {
	TrustFramework string     `json:"trust_framework" doc:"As the source of the verdict names it."`
	AssuranceLevel string     `json:"assurance_level,omitempty" doc:"Level within the trust framework, only when the source of the framework asserts it."`
	Time           string     `json:"time,omitempty" format:"date-time" doc:"When the verdict was read."`
	Evidence       []Evidence `json:"evidence,omitempty" nullable:"false"`
	// Assessed is not of the standard, which lets the element have more members.
	Assessed *bool `json:"assessed,omitempty" doc:"Whether an independent body assessed the source, if the source says so. Not part of the OpenID specification."`
}

// Evidence is one document that was examined.
type Evidence struct {
	Type            string           `json:"type" enum:"document"`
	CheckDetails    []CheckDetail    `json:"check_details,omitempty" nullable:"false"`
	Time            string           `json:"time,omitempty" format:"date-time"`
	DocumentDetails *DocumentDetails `json:"document_details,omitempty"`
}

// CheckDetail is one check that passed and has a predefined name.
type CheckDetail struct {
	CheckMethod string `json:"check_method" enum:"bvr" doc:"bvr: biometric verification of the person at a distance."`
}

// DocumentDetails is what the document says of itself.
type DocumentDetails struct {
	Type           string  `json:"type" enum:"passport,idcard,driving_permit"`
	DocumentNumber string  `json:"document_number,omitempty"`
	DateOfIssuance string  `json:"date_of_issuance,omitempty" format:"date"`
	DateOfExpiry   string  `json:"date_of_expiry,omitempty" format:"date"`
	Issuer         *Issuer `json:"issuer,omitempty"`
}

// Issuer of a document.
type Issuer struct {
	CountryCode string `json:"country_code,omitempty" doc:"ISO 3166 or ICAO 9303 code."`
	Country     string `json:"country,omitempty" doc:"As the source spelled it, when that is no code."`
}

// PersonClaims is what the document says of its holder.
type PersonClaims struct {
	GivenName     string   `json:"given_name,omitempty"`
	FamilyName    string   `json:"family_name,omitempty"`
	BirthDate     string   `json:"birthdate,omitempty" format:"date"`
	Gender        string   `json:"gender,omitempty"`
	Nationalities []string `json:"nationalities,omitempty" nullable:"false" doc:"ICAO 9303 codes."`
}

// documentType translates document types to the predefined values of the eKYC-IDA
// working group's identifier page.
var documentType = map[proof.DocumentType]string{
	proof.Passport:       "passport",
	proof.IDCard:         "idcard",
	proof.DriversLicense: "driving_permit",
}

// checkMethod translates checks that passed to predefined check methods. Only what a
// method's definition really says may stand here: reading a machine-readable zone
// and its check digits does not show that a document is genuine (vri, vpip,
// vcrypt), so it has no entry.
var checkMethod = map[string]string{
	"face_match":   "bvr", // the engine's name
	"face_compare": "bvr", // 1Kosmos' name (reference/1kosmos.md 2.5)
}

// NIST80063A is the predefined identifier of NIST SP 800-63A as a trust framework.
const NIST80063A = "nist_800_63A"

// Of builds the element, or nil when it could not be valid: a trust framework is
// required, an element without any claim says nothing of the person, and neither is
// ever made up. The claims in o are those that the caller may see; nothing about the
// document is taken from elsewhere.
func Of(v proof.Verification, o proof.Outcome) *VerifiedClaims {
	c := o.Claims
	claims := PersonClaims{GivenName: c.GivenName, FamilyName: c.FamilyName, BirthDate: day(c.BirthDate), Gender: c.Gender}
	if code := countryCode(c.Nationality); code != "" {
		claims.Nationalities = []string{code}
	}
	empty := claims.GivenName == "" && claims.FamilyName == "" && claims.BirthDate == "" && claims.Gender == "" && claims.Nationalities == nil
	if v.Status != proof.Verified || o.Framework == "" || empty {
		return nil
	}
	out := &VerifiedClaims{
		Verification: Verification{TrustFramework: o.Framework, Time: timestamp(o.At), Assessed: o.Assessed},
		Claims:       claims,
	}
	// A level of NIST's framework counts only where 1Kosmos asserted it for this
	// very session. What it says of the user, or a rule of the operator, gives
	// ial_level, but no statement about these claims in NIST's name.
	if o.Framework == NIST80063A && v.IALSource == "1kosmos_session" {
		out.Verification.AssuranceLevel = strings.ToLower(v.IALLevel)
	}
	if hasDocument(o) {
		e := Evidence{Type: "document", Time: timestamp(o.At), DocumentDetails: documentOf(c)}
		seen := map[string]bool{}
		for _, check := range o.Checks {
			if m := checkMethod[check.Name]; m != "" && check.Outcome == proof.CheckPass && !seen[m] {
				seen[m] = true
				e.CheckDetails = append(e.CheckDetails, CheckDetail{m})
			}
		}
		out.Verification.Evidence = []Evidence{e}
	}
	return out
}

func hasDocument(o proof.Outcome) bool {
	for _, e := range o.Evidence {
		if e.Type == "document" {
			return true
		}
	}
	return o.Claims.DocumentType != ""
}

func documentOf(c proof.Claims) *DocumentDetails {
	kind := documentType[c.DocumentType]
	if kind == "" {
		return nil // type is required inside document_details
	}
	d := &DocumentDetails{
		Type: kind, DocumentNumber: c.DocumentNumber, DateOfIssuance: day(c.IssueDate), DateOfExpiry: day(c.ExpiryDate),
	}
	if code := countryCode(c.IssuingCountry); code != "" {
		d.Issuer = &Issuer{CountryCode: code}
	} else if c.IssuingCountry != "" {
		d.Issuer = &Issuer{Country: c.IssuingCountry}
	}
	return d
}

// countryCode returns s if it looks like an ISO 3166 or ICAO 9303 code of two or
// three letters, else "". Germany's "D" (ICAO 9303-3 section 5) is written out.
func countryCode(s string) string {
	if s == "D" {
		return "DEU"
	}
	if len(s) < 2 || len(s) > 3 || strings.ContainsFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) {
		return ""
	}
	return s
}

// day returns s if it is a date, else "": a malformed one would spoil the element.
func day(s string) string {
	if _, err := time.Parse(time.DateOnly, s); err != nil {
		return ""
	}
	return s
}

// timestamp is RFC 3339 in UTC with whole seconds; the zero time is "".
func timestamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}
