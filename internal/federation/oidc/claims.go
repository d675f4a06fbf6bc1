package oidc

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"github.com/kosmoscope/kosmoscope/internal/proof"
)

// Bounds of the claims parameter. An honest one has a few hundred bytes; each of its
// alternatives can make an element of a token.
const (
	maxClaims       = 8 << 10
	maxClaimsDepth  = 12
	maxAlternatives = 8
	maxFilters      = 16 // entries of evidence, and of check_details
	maxValues       = 32
)

// claimsRequest is the claims parameter (OpenID Connect Core 1.0 section 5.5, OpenID
// Connect for Identity Assurance 1.0 sections 5.3 to 5.6), checked. The zero value
// asks for nothing.
type claimsRequest struct {
	idToken, userinfo claimsSection
}

// claimsSection is one of its two members.
type claimsSection struct {
	tree     map[string]any // as it came
	claims   map[string]wish
	verified []verifiedWish
	list     bool // verified_claims was an array, and is answered with one
}

// wish is what is said about one claim. The zero value is null: the claim is wanted,
// whatever its value.
type wish struct {
	values    []any    // one of these; value is the same as values with one member
	maxAge    *float64 // seconds since the date or time that the claim holds (OIDC4IDA 5.5.2)
	essential bool
	fuzzy     bool // of Okta's profile only; true where it says nothing
}

// verifiedWish is one alternative of verified_claims: what is wanted of the
// verification, as a tree that select walks, and which claims.
type verifiedWish struct {
	verification map[string]any
	claims       map[string]wish
}

// parseClaims reads the parameter as it came. "" asks for nothing. What is not known
// is ignored, as both specifications want; what is known and of the wrong type is an
// invalid request. Errors are *proof.Error with Field claims.
func parseClaims(raw string) (claimsRequest, error) {
	if len(raw) > maxClaims {
		return claimsRequest{}, claimsInvalid("is longer than 8 KB")
	}
	return claimsFrom(json.RawMessage(raw))
}

// claimsFrom reads what compact made. It is sealed by us on its way, so that its
// length needs no bound of its own.
func claimsFrom(raw json.RawMessage) (c claimsRequest, err error) {
	if len(raw) == 0 {
		return c, nil
	}
	if !utf8.Valid(raw) || deeper(raw, maxClaimsDepth) {
		return c, claimsInvalid("is nested too deep, or no UTF-8")
	}
	var top any
	if json.Unmarshal(raw, &top) != nil {
		return c, claimsInvalid("is no JSON")
	}
	members, ok := top.(map[string]any)
	if !ok {
		return c, claimsInvalid("is no JSON object")
	}
	if c.idToken, err = sectionOf("id_token", members["id_token"]); err == nil {
		c.userinfo, err = sectionOf("userinfo", members["userinfo"])
	}
	if err != nil {
		return claimsRequest{}, err
	}
	return c, nil
}

func claimsInvalid(format string, args ...any) error {
	return proof.Invalid("claims", "claims "+format, args...)
}

// deeper reports whether objects and arrays in raw are nested deeper than limit. It is
// asked before anything is decoded; what is no JSON is found out later.
func deeper(raw []byte, limit int) bool {
	depth, inString := 0, false
	for i := 0; i < len(raw); i++ {
		switch b := raw[i]; {
		case inString && b == '\\':
			i++
		case b == '"':
			inString = !inString
		case inString:
		case b == '{' || b == '[':
			if depth++; depth > limit {
				return true
			}
		case b == '}' || b == ']':
			depth--
		}
	}
	return false
}

func sectionOf(name string, v any) (s claimsSection, err error) {
	if v == nil {
		return s, nil
	}
	tree, ok := v.(map[string]any)
	if !ok {
		return s, claimsInvalid("has a member %s that is no object", name)
	}
	s.tree, s.claims = tree, map[string]wish{}
	for claim, v := range tree {
		if claim == "verified_claims" {
			if s.verified, s.list, err = verifiedOf(v); err != nil {
				return s, err
			}
			continue
		}
		w, err := wishOf(v)
		if err != nil {
			return s, err
		}
		if claim == "acr" || claim == "amr" || claim == "sub" {
			for _, v := range w.values {
				if t, ok := v.(string); !ok || t == "" {
					return s, claimsInvalid("asks for a value of %s that is no text", claim)
				}
			}
		}
		s.claims[claim] = w
	}
	return s, nil
}

// wishOf reads null or an object (Core 5.5.1). purpose, and whatever else it may have,
// is ignored.
func wishOf(v any) (wish, error) {
	w := wish{fuzzy: true}
	if v == nil {
		return w, nil
	}
	m, ok := v.(map[string]any)
	if !ok {
		return w, claimsInvalid("asks for a claim with neither null nor an object")
	}
	if e, has := m["essential"]; has {
		if w.essential, ok = e.(bool); !ok {
			return w, claimsInvalid("has an essential that is no boolean")
		}
	}
	if a, has := m["max_age"]; has {
		age, ok := a.(float64)
		if !ok || age < 0 {
			return w, claimsInvalid("has a max_age that is no number of seconds")
		}
		w.maxAge = &age
	}
	if one, has := m["value"]; has {
		w.values = []any{one}
	}
	if all, has := m["values"]; has {
		list, ok := all.([]any)
		if !ok || len(list) == 0 || len(list) > maxValues || w.values != nil {
			return w, claimsInvalid("has values that are no list, or value as well")
		}
		w.values = list
	}
	if f := m["fuzzy"]; f == false || f == "false" {
		w.fuzzy = false
	}
	return w, nil
}

// verifiedOf reads verified_claims: an object, or an array of them.
func verifiedOf(v any) (all []verifiedWish, list bool, err error) {
	entries, list := v.([]any)
	if !list {
		entries = []any{v}
	}
	if len(entries) == 0 || len(entries) > maxAlternatives {
		return nil, list, claimsInvalid("has none or too many verified_claims")
	}
	for _, e := range entries {
		m, ok := e.(map[string]any)
		if !ok {
			return nil, list, claimsInvalid("has verified_claims that are no object")
		}
		w := verifiedWish{claims: map[string]wish{}}
		claims, ok := m["claims"].(map[string]any)
		if !ok {
			return nil, list, claimsInvalid("has verified_claims without an object claims")
		}
		for name, v := range claims {
			if w.claims[name], err = wishOf(v); err != nil {
				return nil, list, err
			}
		}
		if v := m["verification"]; v != nil {
			if w.verification, ok = v.(map[string]any); !ok {
				return nil, list, claimsInvalid("has a verification that is no object")
			}
			if err := checkVerification(w.verification); err != nil {
				return nil, list, err
			}
		}
		all = append(all, w)
	}
	return all, list, nil
}

// checkVerification holds the members that the schema defines, and that we have, to
// their types. Others are left for select, which does not skip their constraints.
func checkVerification(v map[string]any) error {
	if err := checkWishes(v, "trust_framework", "assurance_level", "time", "verification_process", "assessed"); err != nil {
		return err
	}
	return checkFilters(v, "evidence", func(e map[string]any) error {
		// OIDC4IDA 5.4: an entry is a filter for one type, and has to name it.
		t, _ := e["type"].(map[string]any)
		if _, ok := t["value"].(string); !ok || t["values"] != nil {
			return claimsInvalid("has an entry of evidence without a value for its type")
		}
		if err := checkWishes(e, "type", "time"); err != nil {
			return err
		}
		err := checkFilters(e, "check_details", func(c map[string]any) error {
			return checkWishes(c, "check_method", "organization", "check_id", "time")
		})
		if err != nil {
			return err
		}
		d, ok := e["document_details"].(map[string]any)
		if !ok && e["document_details"] != nil {
			return claimsInvalid("has document_details that are no object")
		}
		if err := checkWishes(d, "type", "document_number", "serial_number", "date_of_issuance", "date_of_expiry", "issuer"); err != nil {
			return err
		}
		i, _ := d["issuer"].(map[string]any)
		return checkWishes(i, "name", "country", "country_code", "jurisdiction")
	})
}

func checkWishes(m map[string]any, names ...string) error {
	for _, n := range names {
		if _, err := wishOf(m[n]); err != nil {
			return err
		}
	}
	return nil
}

func checkFilters(m map[string]any, name string, each func(map[string]any) error) error {
	v, has := m[name]
	if !has || v == nil && name != "evidence" {
		return nil
	}
	list, ok := v.([]any)
	if !ok || len(list) == 0 || len(list) > maxFilters {
		return claimsInvalid("has no list in %s, or too long a one", name)
	}
	for _, v := range list {
		entry, ok := v.(map[string]any)
		if !ok {
			return claimsInvalid("has an entry of %s that is no object", name)
		}
		if err := each(entry); err != nil {
			return err
		}
	}
	return nil
}

// compact is what travels in the code; nil if nothing is asked.
func (c claimsRequest) compact() json.RawMessage {
	if len(c.idToken.tree) == 0 && len(c.userinfo.tree) == 0 {
		return nil
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	err := e.Encode(struct {
		IDToken  map[string]any `json:"id_token,omitempty"`
		Userinfo map[string]any `json:"userinfo,omitempty"`
	}{c.idToken.tree, c.userinfo.tree})
	if err != nil {
		return nil // not for what came out of JSON
	}
	return bytes.TrimSpace(b.Bytes())
}

// wantsProofing reports whether claims out of a document are wanted.
func (c claimsRequest) wantsProofing() bool {
	return len(c.idToken.verified) > 0 || len(c.userinfo.verified) > 0
}

// acr is what is asked for with the claim acr (Core 5.5.1.1), in order of preference.
// One that is essential has to be met, or the authentication fails.
func (c claimsRequest) acr() (values []string, essential bool) {
	w := c.idToken.claims["acr"]
	return texts(w.values), w.essential && len(w.values) > 0
}

// amr likewise; only Entra asks for it.
func (c claimsRequest) amr() []string { return texts(c.idToken.claims["amr"].values) }

// sub is the subject that the answer has to be about (Core 5.5.1); "": any.
func (c claimsRequest) sub() string {
	for _, s := range []claimsSection{c.idToken, c.userinfo} {
		if v := texts(s.claims["sub"].values); len(v) > 0 {
			return v[0]
		}
	}
	return ""
}

// authTime reports whether auth_time is asked for as an essential claim, which is the
// same as asking with max_age that it be told. Our ID tokens always tell it.
func (c claimsRequest) authTime() bool { return c.idToken.claims["auth_time"].essential }

func texts(values []any) (out []string) {
	for _, v := range values {
		if t, ok := v.(string); ok {
			out = append(out, t)
		}
	}
	return out
}
