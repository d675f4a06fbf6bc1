package oidc

import (
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Okta's "bring your own identity verification" (its guide for vendors, and the draft
// "Identity Assurance Profile for OpenID Connect" of Okta's): claims.id_token holds an
// array verified_claims under a trust framework of its own, with what Okta believes
// about its user, and the answer is a verdict about just that.
//
// # The matching rule
//
// The verdict is VERIFIED when a document was verified in this session and each claim
// below that Okta gave a value for is MATCHED; given_name and family_name have to be
// among them. Otherwise it is FAILED, and a claim that did not match is null.
//
// Names are compared as a machine-readable zone would have them, for that is what most
// documents say: in upper case (Unicode), transliterated as ICAO 9303-3 section 6
// recommends (Ä is AE, Ö OE, Ü UE, Å AA, Ø OE, Æ AE, Œ OE, ß SS, Þ TH; other Latin
// letters lose their marks), a hyphen is a space, and an apostrophe, a full stop or a
// comma is nothing. Other scripts are compared as they are. Then
//
//   - without fuzzy, all words have to be the same, in order;
//   - with fuzzy (Okta's default), the given name may be the first of those in the
//     document, where one word ends ("Anna" for ANNA MARIA); word boundaries do not
//     count otherwise (VAN DER BERG, Vanderberg); AE, OE, UE and AA count as A, O, U
//     and A (Muller, MUELLER); a middle name may be an initial. Nicknames, sounds and
//     typing errors are never made good.
//
// A middle name is compared with the given names of the document that follow
// given_name. birthdate has to be the same day, with fuzzy or without. An e-mail
// address, a telephone number and an address are in no document that we read: they are
// left out of the answer and do not count, unless they are asked for as essential,
// which gives FAILED. So map nothing but names and birth date in Okta.
//
// Only what the client may see is compared: a claim that is not on its list does not
// match.
//
// What Okta does with a sub it does not say; ours stays the pairwise one, whatever its
// login_hint (promise 3).

// Values of the profile.
const (
	oktaVerified = "VERIFIED"
	oktaFailed   = "FAILED"
	oktaMatched  = "MATCHED"
)

// oktaFramework has the spellings of the framework in Okta's own pages, the one of its
// examples first.
var oktaFramework = []string{"IDV-DELEGATED", "IDV_DELEGATED"}

// oktaClaims answers an Okta client: an array of one, or nil when the request has no
// verified_claims of this profile.
func oktaClaims(asked claimsRequest, a *federation.Answer) any {
	for _, w := range asked.idToken.verified {
		framework := oktaFramework[0]
		if f, err := wishOf(w.verification["trust_framework"]); err != nil {
			continue
		} else if f.values != nil {
			i := slices.IndexFunc(oktaFramework, func(s string) bool { return slices.Contains(f.values, any(s)) })
			if i < 0 {
				continue
			}
			framework = oktaFramework[i]
		}
		claims, level := oktaVerdict(w.claims, a)
		verification := map[string]any{"trust_framework": framework, "assurance_level": level}
		if a.Verification.ID != "" {
			verification["verification_process"] = a.Verification.ID
		}
		if at := a.Outcome.At; !at.IsZero() {
			verification["time"] = at.UTC().Format(time.RFC3339)
		}
		return []any{map[string]any{"verification": verification, "claims": claims}}
	}
	return nil
}

// oktaVerdict compares. claims holds nothing but names that Okta knows, for it refuses
// an answer with others.
func oktaVerdict(asked map[string]wish, a *federation.Answer) (claims map[string]any, level string) {
	var c proof.Claims
	verified := a.Proofed && a.Verification.Status == proof.Verified
	if verified {
		c = a.Outcome.Claims
	}
	claims, level = map[string]any{}, oktaVerified
	if !verified || asked["given_name"].values == nil || asked["family_name"].values == nil {
		level = oktaFailed
	}
	for name, w := range asked {
		compare := oktaCompared[name]
		switch {
		case compare == nil && w.essential:
			level = oktaFailed
		case compare == nil, w.values == nil: // nothing to compare, and nothing that Okta has to learn
		case slices.ContainsFunc(texts(w.values), func(v string) bool { return compare(v, w.fuzzy, asked, c) }):
			claims[name] = oktaMatched
		default:
			claims[name], level = nil, oktaFailed
		}
	}
	return claims, level
}

// oktaCompared has a rule for each claim that a document can answer.
var oktaCompared = map[string]func(want string, fuzzy bool, asked map[string]wish, c proof.Claims) bool{
	"family_name": func(want string, fuzzy bool, _ map[string]wish, c proof.Claims) bool {
		return sameWords(proof.NameWords(want), proof.NameWords(c.FamilyName), fuzzy)
	},
	"given_name": func(want string, fuzzy bool, asked map[string]wish, c proof.Claims) bool {
		w, has := proof.NameWords(want), proof.NameWords(c.GivenName)
		if sameWords(w, has, fuzzy) || fuzzy && begins(has, w) {
			return true
		}
		// With a middle name the two together are what the document has.
		return slices.ContainsFunc(texts(asked["middle_name"].values), func(m string) bool {
			return sameWords(append(slices.Clone(w), proof.NameWords(m)...), has, false)
		})
	},
	"middle_name": func(want string, fuzzy bool, asked map[string]wish, c proof.Claims) bool {
		m, has := proof.NameWords(want), proof.NameWords(c.GivenName)
		return slices.ContainsFunc(texts(asked["given_name"].values), func(given string) bool {
			g := proof.NameWords(given)
			if !begins(has, g) {
				return false
			}
			rest := has[len(g):]
			return sameWords(m, rest, fuzzy) || fuzzy && begins(rest, m) || fuzzy && initials(m, rest)
		})
	},
	"birthdate": func(want string, _ bool, _ map[string]wish, c proof.Claims) bool {
		_, err := time.Parse(time.DateOnly, want)
		return err == nil && want == c.BirthDate
	},
}

// sameWords compares folded names; two that say nothing are not the same.
func sameWords(a, b []string, fuzzy bool) bool {
	if len(a) == 0 || len(b) == 0 {
		return false
	}
	return slices.Equal(a, b) || fuzzy && loose(a) == loose(b)
}

// begins reports whether the words of has begin with those of w.
func begins(has, w []string) bool {
	if len(w) == 0 || len(w) > len(has) {
		return false
	}
	for i := range w {
		if loose(w[i:i+1]) != loose(has[i:i+1]) {
			return false
		}
	}
	return true
}

// initials reports whether each word of m is the first letter of one of has, in order.
func initials(m, has []string) bool {
	if len(m) == 0 || len(m) > len(has) {
		return false
	}
	for i, w := range m {
		if len([]rune(w)) != 1 || !strings.HasPrefix(has[i], w) {
			return false
		}
	}
	return true
}

// digraphs are the two ways to transliterate a letter (ICAO 9303-3 section 6.A).
var digraphs = strings.NewReplacer("AE", "A", "OE", "O", "UE", "U", "AA", "A")

func loose(words []string) string { return digraphs.Replace(strings.Join(words, "")) }
