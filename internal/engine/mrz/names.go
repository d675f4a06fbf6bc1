package mrz

import "strings"

// SplitName splits the name field of a zone at its first double filler into
// primary identifier (surname) and secondary identifier (given names); single fillers
// become spaces. A field without a double filler has a surname only (Doc 9303-3, section 4.6).
func SplitName(field string) (surname, given string) {
	surname, given, _ = strings.Cut(strings.TrimRight(field, "<"), "<<")
	words := func(s string) string {
		return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return r == '<' }), " ")
	}
	return words(surname), words(given)
}
