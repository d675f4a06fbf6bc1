package proof

import (
	"slices"
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// maxName bounds what is compared, in bytes; longer ones are the same as nothing.
const maxName = 512

// twoLetters are the letters that ICAO 9303 part 3 section 6.A writes as two, the first
// recommended way where there are several, and those that no decomposition leads to.
var twoLetters = map[rune]string{
	'Ä': "AE", 'Å': "AA", 'Æ': "AE", 'Ö': "OE", 'Ø': "OE", 'Œ': "OE", 'Ü': "UE", 'ß': "SS", 'ẞ': "SS", 'Þ': "TH", 'Ĳ': "IJ",
	'Đ': "D", 'Ð': "D", 'Ħ': "H", 'Ł': "L", 'Ŋ': "N", 'Ŧ': "T",
}

// NameWords is a name as a machine-readable zone would have it, word by word: in upper
// case (Unicode), transliterated as ICAO 9303 part 3 section 6.A recommends, other Latin
// letters without their marks; a hyphen or filler is a space, and punctuation is nothing.
// Other scripts stay as they are. A name of over 512 bytes has no words.
func NameWords(name string) []string {
	if len(name) > maxName {
		return nil
	}
	var b strings.Builder
	latin := true // the last letter is a Latin one, whose marks do not count
	for _, r := range norm.NFC.String(strings.ToUpper(norm.NFKC.String(name))) {
		switch {
		case twoLetters[r] != "":
			b.WriteString(twoLetters[r])
			latin = true
		case r == '-' || r == '‐' || r == '‑' || r == '–' || r == '<' || unicode.IsSpace(r):
			b.WriteByte(' ')
		default:
			for _, d := range norm.NFKD.String(string(r)) {
				switch {
				case twoLetters[d] != "": // of a letter with a mark of its own, as Ǽ
					b.WriteString(twoLetters[d])
					latin = true
				case unicode.IsLetter(d):
					latin = unicode.Is(unicode.Latin, d)
					b.WriteRune(unicode.ToUpper(d)) // ǰ has no capital but in two pieces
				case unicode.IsDigit(d) || unicode.Is(unicode.M, d) && !latin:
					b.WriteRune(d)
				}
			}
		}
	}
	return strings.Fields(b.String())
}

// SameName reports whether two names have the same words in order; one without words is
// the same as nothing.
func SameName(a, b string) bool {
	words := NameWords(a)
	return len(words) > 0 && slices.Equal(words, NameWords(b))
}

// GivenNameWithin reports whether the words of want are the first ones of has: who knows
// only some of the given names in a document means the same person ("Anna", ANNA MARIA).
func GivenNameWithin(want, has string) bool {
	w, h := NameWords(want), NameWords(has)
	return len(w) > 0 && len(w) <= len(h) && slices.Equal(w, h[:len(w)])
}
