package kosmos

import (
	"slices"
	"strings"

	"golang.org/x/text/unicode/norm"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// The vendor compares the names of the request with those on the document; how
// exactly is not documented beyond the two modules' names. Here: without regard
// to case, after the transliteration of ICAO 9303-3 section 6, every spelling
// that it allows for a letter being accepted.

// nameModule is the name check that fails, or "".
func nameModule(first, last string, d *api.Document) string {
	cut := nameCut(d.MRZ)
	switch {
	case !sameName(first, d.GivenNames, true, cut):
		return "firstname check"
	case !sameName(last, d.Surname, false, cut && d.GivenNames == ""): // the given names are cut first
		return "lastname check"
	}
	return ""
}

// sameName reports whether one spelling of want is the name read. With lead, it
// is enough that want is the first of several names read: people leave out
// their second names. In a zone so full that it was cut, a name read may also
// be the beginning of the one wanted. An empty want asks nothing.
func sameName(want, read string, lead, cut bool) bool {
	if strings.TrimSpace(want) == "" {
		return true
	}
	have := strings.Fields(strings.NewReplacer("<", " ", "-", " ", "'", "").Replace(strings.ToUpper(read)))
	for _, spelling := range spellings(want) {
		w := strings.Fields(spelling)
		if len(w) == 0 || len(have) == 0 {
			continue
		}
		if slices.Equal(w, have) || lead && len(w) <= len(have) && slices.Equal(w, have[:len(w)]) {
			return true
		}
		if cut && len(have) <= len(w) && strings.HasPrefix(strings.Join(w, " "), strings.Join(have, " ")) {
			return true
		}
	}
	return false
}

// nameCut reports whether the zone's name field has no filler left, so that
// names may have been cut.
func nameCut(mrz []string) bool {
	field := ""
	switch len(mrz) {
	case 2: // TD2 and TD3: the first line
		field = mrz[0]
	case 3: // TD1: the last line
		field = mrz[2]
	}
	return field != "" && !strings.HasSuffix(field, "<")
}

// letterSpellings are the letters with more than one allowed spelling, or one
// that is not the letter without its marks (ICAO 9303-3, section 6 A).
var letterSpellings = map[rune][]string{
	'Ä': {"AE", "A"}, 'Å': {"AA", "A"}, 'Æ': {"AE"}, 'Ö': {"OE", "O"}, 'Ø': {"OE", "O"}, 'Œ': {"OE"}, 'Ü': {"UE", "UXX", "U"},
	'Ñ': {"N", "NXX"}, 'ß': {"SS"}, 'ẞ': {"SS"}, 'Þ': {"TH"}, 'Ð': {"D"}, 'Đ': {"D"}, 'Ħ': {"H"}, 'Ł': {"L"}, 'Ŋ': {"N"},
	'Ĳ': {"IJ"}, 'İ': {"I"}, 'ı': {"I"}, 'ĸ': {"Q"}, 'Ŧ': {"T"}, 'Ə': {"E"},
	// Cyrillic (section 6 B); the second spelling is a national one that the table notes.
	'А': {"A"}, 'Б': {"B"}, 'В': {"V"}, 'Г': {"G", "H"}, 'Ґ': {"G"}, 'Д': {"D"}, 'Ђ': {"D"}, 'Е': {"E"}, 'Ё': {"E", "IO"},
	'Є': {"IE", "YE"}, 'Ж': {"ZH", "Z"}, 'З': {"Z"}, 'И': {"I", "Y"}, 'І': {"I"}, 'Ї': {"I", "YI"}, 'Й': {"I", "Y"}, 'Ј': {"J"},
	'К': {"K"}, 'Л': {"L"}, 'Љ': {"LJ"}, 'М': {"M"}, 'Н': {"N"}, 'Њ': {"NJ"}, 'О': {"O"}, 'П': {"P"}, 'Р': {"R"}, 'С': {"S"},
	'Т': {"T"}, 'Ћ': {"C"}, 'У': {"U"}, 'Ў': {"U"}, 'Ф': {"F"}, 'Х': {"KH", "H"}, 'Ц': {"TS", "C"}, 'Ч': {"CH", "C"}, 'Џ': {"DZ"},
	'Ш': {"SH", "S"}, 'Щ': {"SHCH", "SHT"}, 'Ъ': {"IE", ""}, 'Ы': {"Y"}, 'Ь': {""}, 'Э': {"E"}, 'Ю': {"IU", "YU"}, 'Я': {"IA", "YA"},
}

// maxSpellings bounds the spellings that are tried for one name.
const maxSpellings = 256

// spellings lists how a name may stand in a machine-readable zone: A to Z and
// spaces. A name with a letter that no table transliterates has none, and so
// matches nothing.
func spellings(name string) []string {
	all := []string{""}
	for _, r := range strings.ToUpper(norm.NFC.String(name)) {
		var ways []string
		switch {
		case r >= 'A' && r <= 'Z':
			ways = []string{string(r)}
		case r == ' ' || r == '-' || r == '‐' || r == '–' || r == '\u00a0':
			ways = []string{" "}
		case strings.ContainsRune("'’ʼ`.,", r): // left out (section 4.6)
			continue
		default:
			if ways = letterSpellings[r]; ways == nil {
				base := []rune(norm.NFD.String(string(r)))[0] // the letter without its marks
				if base < 'A' || base > 'Z' {
					return nil
				}
				ways = []string{string(base)}
			}
		}
		if len(all)*len(ways) > maxSpellings {
			ways = ways[:1]
		}
		next := make([]string, 0, len(all)*len(ways))
		for _, begin := range all {
			for _, way := range ways {
				next = append(next, begin+way)
			}
		}
		all = next
	}
	return all
}
