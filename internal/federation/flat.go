package federation

import (
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Values of flat claims.
const (
	FlatVerified = "verified" // of idv_status
	FlatNone     = "none"     // of idv_status and ial_level: there is none
)

// Names of the flat claims. The first ones say how sure we are and nothing of the
// person; the others are about the person.
var (
	flatAssurance = []string{
		"acr", "auth_time", "face_matched", "ial_expires_at", "ial_level", "ial_source", "idv_status", "verified_at",
	}
	flatPerson = []string{
		"birthdate", "document_country", "document_type", "family_name", "given_name", "name", "user_identifier",
	}
)

// FlatNames lists what Flat may tell, sorted.
func FlatNames() []string {
	return slices.Sorted(slices.Values(slices.Concat(flatAssurance, flatPerson)))
}

// FlatPersonal reports whether a flat claim is about the person, and not only about
// how sure we are.
func FlatPersonal(name string) bool { return slices.Contains(flatPerson, name) }

// Flat is what is known, for where nothing deep can be reached: Descope's mapping of
// claims to user attributes, and attributes of SAML. Values are strings, and a bool for
// face_matched; times are RFC 3339 in UTC, dates YYYY-MM-DD, document_type is as door A
// spells it. What is not known is not there, but for three that always are:
// face_matched, idv_status (verified or none) and ial_level (IAL1 to IAL3, or none). A
// relying party that keeps them must not go on with what they were the last time.
//
// user_identifier is there only where the face was matched in this session (promise 3),
// even if the Answer were to carry one.
func Flat(a *Answer) map[string]any {
	out := map[string]any{"face_matched": a.Matched, "idv_status": FlatNone, "ial_level": FlatNone}
	put := func(name, value string) {
		if value != "" {
			out[name] = value
		}
	}
	at := func(name string, t time.Time) {
		if !t.IsZero() {
			out[name] = t.UTC().Format(time.RFC3339)
		}
	}
	put("acr", a.ACR)
	at("auth_time", a.AuthTime)
	if levels[a.IALLevel] > 0 {
		put("ial_level", a.IALLevel)
		put("ial_source", a.IALSource)
		at("ial_expires_at", a.IALExpiresAt)
	}
	if a.Proofed || a.Verification.Status == proof.Verified {
		out["idv_status"] = FlatVerified
		at("verified_at", a.Verification.FinishedAt)
	}
	c := a.Outcome.Claims
	put("given_name", c.GivenName)
	put("family_name", c.FamilyName)
	put("name", strings.TrimSpace(c.GivenName+" "+c.FamilyName))
	put("birthdate", c.BirthDate)
	put("document_type", string(c.DocumentType))
	put("document_country", c.IssuingCountry)
	if a.Matched {
		put("user_identifier", a.Identifier)
	}
	return out
}
