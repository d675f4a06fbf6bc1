package connector

import (
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// The types below are the part of "OpenID Identity Assurance Schema Definition
// 1.0" (openid-ida-verified-claims-1_0, final) that we use: section 5, and the
// claim nationalities of "OpenID Connect for Identity Assurance Claims
// Registration 1.0".

type verifiedClaims struct {
	Verification verification `json:"verification"`
	Claims       idaClaims    `json:"claims"`
}

type verification struct {
	TrustFramework string     `json:"trust_framework" doc:"As the source of the verdict names it."`
	AssuranceLevel string     `json:"assurance_level,omitempty" doc:"Level within the trust framework, only when the source of the framework asserts it."`
	Time           string     `json:"time,omitempty" format:"date-time" doc:"When the verdict was read."`
	Evidence       []evidence `json:"evidence,omitempty" nullable:"false"`
	// Assessed is not of the standard, which lets the element have more members.
	Assessed *bool `json:"assessed,omitempty" doc:"Whether an independent body assessed the source, if the source says so. Not part of the OpenID specification."`
}

type evidence struct {
	Type            string           `json:"type" enum:"document"`
	CheckDetails    []checkDetail    `json:"check_details,omitempty" nullable:"false"`
	Time            string           `json:"time,omitempty" format:"date-time"`
	DocumentDetails *documentDetails `json:"document_details,omitempty"`
}

type checkDetail struct {
	CheckMethod string `json:"check_method" enum:"bvr" doc:"bvr: biometric verification of the person at a distance."`
}

type documentDetails struct {
	Type           string  `json:"type" enum:"passport,idcard,driving_permit"`
	DocumentNumber string  `json:"document_number,omitempty"`
	DateOfIssuance string  `json:"date_of_issuance,omitempty" format:"date"`
	DateOfExpiry   string  `json:"date_of_expiry,omitempty" format:"date"`
	Issuer         *issuer `json:"issuer,omitempty"`
}

type issuer struct {
	CountryCode string `json:"country_code,omitempty" doc:"ISO 3166 or ICAO 9303 code."`
	Country     string `json:"country,omitempty" doc:"As the source spelled it, when that is no code."`
}

type idaClaims struct {
	GivenName     string   `json:"given_name,omitempty"`
	FamilyName    string   `json:"family_name,omitempty"`
	BirthDate     string   `json:"birthdate,omitempty" format:"date"`
	Gender        string   `json:"gender,omitempty"`
	Nationalities []string `json:"nationalities,omitempty" nullable:"false" doc:"ICAO 9303 codes."`
}

// idaDocument translates document types to the predefined values of the eKYC-IDA
// working group's identifier page.
var idaDocument = map[proof.DocumentType]string{
	proof.Passport:       "passport",
	proof.IDCard:         "idcard",
	proof.DriversLicense: "driving_permit",
}

// idaCheck translates checks that passed to predefined check methods. Only what a
// method's definition really says may stand here: reading a machine-readable zone
// and its check digits does not show that a document is genuine (vri, vpip,
// vcrypt), so it has no entry.
var idaCheck = map[string]string{
	"face_match":   "bvr", // the engine's name
	"face_compare": "bvr", // 1Kosmos' name (reference/1kosmos.md 2.5)
}

// nistFramework is the predefined identifier of NIST SP 800-63A.
const nistFramework = "nist_800_63A"

// verifiedClaimsOf builds the element, or nil when it could not be valid: the
// specification requires a trust framework and at least one claim, and neither is
// ever made up. The claims in o are those that the caller may see; nothing about
// the document is taken from elsewhere.
func verifiedClaimsOf(v proof.Verification, o proof.Outcome) *verifiedClaims {
	c := o.Claims
	claims := idaClaims{GivenName: c.GivenName, FamilyName: c.FamilyName, BirthDate: day(c.BirthDate), Gender: c.Gender}
	if code := countryCode(c.Nationality); code != "" {
		claims.Nationalities = []string{code}
	}
	empty := claims.GivenName == "" && claims.FamilyName == "" && claims.BirthDate == "" && claims.Gender == "" && claims.Nationalities == nil
	if v.Status != proof.Verified || o.Framework == "" || empty {
		return nil
	}
	out := &verifiedClaims{
		Verification: verification{TrustFramework: o.Framework, Time: timestamp(o.At), Assessed: o.Assessed},
		Claims:       claims,
	}
	// A level of NIST's framework counts only where 1Kosmos asserted it for this
	// very session. What it says of the user, or a rule of the operator, gives
	// ial_level, but no statement about these claims in NIST's name.
	if o.Framework == nistFramework && v.IALSource == "1kosmos_session" {
		out.Verification.AssuranceLevel = strings.ToLower(v.IALLevel)
	}
	if hasDocument(o) {
		e := evidence{Type: "document", Time: timestamp(o.At), DocumentDetails: documentOf(c)}
		seen := map[string]bool{}
		for _, check := range o.Checks {
			if m := idaCheck[check.Name]; m != "" && check.Outcome == proof.CheckPass && !seen[m] {
				seen[m] = true
				e.CheckDetails = append(e.CheckDetails, checkDetail{m})
			}
		}
		out.Verification.Evidence = []evidence{e}
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

func documentOf(c proof.Claims) *documentDetails {
	kind := idaDocument[c.DocumentType]
	if kind == "" {
		return nil // type is required inside document_details
	}
	d := &documentDetails{
		Type: kind, DocumentNumber: c.DocumentNumber, DateOfIssuance: day(c.IssueDate), DateOfExpiry: day(c.ExpiryDate),
	}
	if code := countryCode(c.IssuingCountry); code != "" {
		d.Issuer = &issuer{CountryCode: code}
	} else if c.IssuingCountry != "" {
		d.Issuer = &issuer{Country: c.IssuingCountry}
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
