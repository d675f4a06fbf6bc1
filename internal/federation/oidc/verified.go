package oidc

import (
	"encoding/json"
	"reflect"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/federation"
	"github.com/kosmoscope/kosmoscope/internal/proof/ida"
)

// What follows is OpenID Connect for Identity Assurance 1.0, sections 5.3 to 5.7:
//
//   - Only members that were asked for are told, and those that the schema requires.
//     That goes for assessed as well, which is ours.
//   - A value, values or max_age in verification that is not met, or that is about
//     something which we do not know, takes the whole element with it; in claims, the
//     one claim. Neither is an error, and essential changes nothing (5.7.1, 5.7.4).
//   - Entries of evidence and of check_details are filters, joined by or.
//   - An array of verified_claims is answered entry by entry, with an array.
//   - An element that would have no claims is left out. The schema would allow it, but
//     nothing was verified about what the client wanted to know.

// verifiedClaims answers one section of the claims request: nil, an object, or an
// array of objects.
func verifiedClaims(s claimsSection, a *federation.Answer, now time.Time) any {
	have := elementOf(a)
	if have == nil {
		return nil
	}
	var all []any
	for _, w := range s.verified {
		if v := choose(w, have, now); v != nil {
			all = append(all, v)
		}
	}
	switch {
	case len(all) == 0:
		return nil
	case s.list:
		return all
	}
	return all[0]
}

// elementOf is the whole of what is known, as JSON; nil if nothing is. A proof of
// somebody who did not show up in this session is not for this answer: it would be
// another person's.
func elementOf(a *federation.Answer) map[string]any {
	if !a.Proofed && !a.Matched {
		return nil
	}
	e := ida.Of(a.Verification, a.Outcome)
	if e == nil {
		return nil
	}
	var out map[string]any
	b, err := json.Marshal(e)
	if err != nil || json.Unmarshal(b, &out) != nil {
		return nil // not for these types
	}
	return out
}

// choose gives what w asks for of the element, or nil.
func choose(w verifiedWish, have map[string]any, now time.Time) map[string]any {
	verification, ok := pick("verification", w.verification, have["verification"], now)
	if !ok {
		return nil
	}
	claims := map[string]any{}
	known, _ := have["claims"].(map[string]any)
	for name, wish := range w.claims {
		if v, has := known[name]; has && wish.met(v, now) {
			claims[name] = v
		}
	}
	if len(claims) == 0 {
		return nil
	}
	return map[string]any{"verification": verification, "claims": claims}
}

// required names the member without which an object of the schema is not valid, by
// the name under which the object stands.
var required = map[string]string{
	"verification": "trust_framework", "evidence": "type", "check_details": "check_method", "document_details": "type",
}

// pick gives what want asks for of have, which stands under name. Not ok: something
// that want insists on is not so.
func pick(name string, want, have any, now time.Time) (out any, ok bool) {
	switch have := have.(type) {
	case map[string]any:
		asked, isObject := want.(map[string]any)
		if !isObject { // null: all of it
			return have, true
		}
		if w, err := wishOf(want); err != nil || !w.met(have, now) {
			return nil, false
		}
		object := map[string]any{}
		for member, sub := range asked {
			value, has := have[member]
			switch sub.(type) {
			case nil, map[string]any, []any:
			default: // nothing that can be asked with: essential, purpose and the like
				continue
			}
			if !has {
				if !queryWord[member] && constrains(sub) {
					return nil, false
				}
				continue
			}
			v, ok := pick(member, sub, value, now)
			if !ok {
				return nil, false
			}
			if v != nil {
				object[member] = v
			}
		}
		if r := required[name]; r != "" {
			object[r] = have[r]
		}
		if len(object) == 0 {
			return nil, true
		}
		return object, true
	case []any:
		filters, isList := want.([]any)
		if !isList {
			if constrains(want) { // no way is defined to ask for the value of a list
				return nil, false
			}
			return have, true
		}
		var kept []any
		for _, item := range have {
			for _, f := range filters {
				if v, ok := pick(name, f, item, now); ok {
					kept = append(kept, v)
					break
				}
			}
		}
		if len(kept) == 0 {
			return nil, !constrains(want)
		}
		return kept, true
	}
	w, err := wishOf(want)
	return have, err == nil && w.met(have, now)
}

// queryWord has the members that are about the object in which they stand.
var queryWord = map[string]bool{"value": true, "values": true, "max_age": true, "essential": true, "purpose": true}

// constrains reports whether want insists on anything, at any depth. It is asked about
// what we do not have.
func constrains(want any) bool {
	switch want := want.(type) {
	case map[string]any:
		for name, sub := range want {
			if name == "value" || name == "values" || name == "max_age" || !queryWord[name] && constrains(sub) {
				return true
			}
		}
	case []any:
		for _, sub := range want {
			if constrains(sub) {
				return true
			}
		}
	}
	return false
}

// met reports whether v is what w insists on.
func (w wish) met(v any, now time.Time) bool {
	if w.maxAge != nil {
		end, ok := lastSecond(v)
		if !ok || now.Sub(end).Seconds() > *w.maxAge {
			return false
		}
	}
	if w.values == nil {
		return true
	}
	for _, one := range w.values {
		if reflect.DeepEqual(one, v) {
			return true
		}
	}
	return false
}

// lastSecond is when a date or a time is over: of a date, the last second of the day
// (OIDC4IDA 5.5.2).
func lastSecond(v any) (time.Time, bool) {
	s, _ := v.(string)
	if t, err := time.Parse(time.RFC3339, s); err == nil {
		return t, true
	}
	t, err := time.Parse(time.DateOnly, s)
	return t.Add(24*time.Hour - time.Second), err == nil
}
