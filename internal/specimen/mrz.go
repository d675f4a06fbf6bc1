package specimen

import (
	"fmt"
	"strings"
)

// MRZ composes the lines of the machine-readable zone: two of 44 characters for
// a passport, three of 30 for an id_card, two of 36 for a residence_permit
// (ICAO Doc 9303 parts 4, 5, 6). It is written apart from the engine's parser so
// that each checks the other. With NoMRZ it returns nil.
//
// Characters that the zone does not have are written as fillers; names should
// come already transliterated where that matters (MUELLER for Müller).
func (d Document) MRZ() []string {
	if d.NoMRZ {
		return nil
	}
	var lines []string
	birth, expiry := yymmdd(d.BirthDate), yymmdd(d.ExpiryDate)
	sex := d.Sex
	if sex != "F" && sex != "M" {
		sex = "<"
	}
	// at remembers where each check digit went, to alter it afterwards.
	at := map[string][2]int{}
	switch d.Kind {
	case KindIDCard:
		number, optional := zone(d.Number), zone(d.Optional)
		first := "I<" + pad(zone(d.Issuer), 3)
		if len(number) <= 9 {
			n := pad(number, 9)
			first += n + check(n) + pad(optional, 15)
			at["document_number"] = [2]int{0, 14}
		} else {
			// Part 5, 4.2.2 note j: a long number is continued in the optional
			// data, with "<" where the check digit would be and the check digit
			// after its last character.
			tail := number[9:] + check(number)
			first += number[:9] + "<" + pad(tail+"<"+optional, 15)
			at["document_number"] = [2]int{0, 15 + len(number) - 9}
		}
		first = first[:30]
		second := birth + check(birth) + sex + expiry + check(expiry) + pad(zone(d.Nationality), 3) + pad(zone(d.Optional2), 11)
		second += check(first[5:30] + second[0:7] + second[8:15] + second[18:29])
		lines = []string{first, second, pad(names(d), 30)}
		at["birth_date"], at["expiry_date"], at["composite"] = [2]int{1, 6}, [2]int{1, 14}, [2]int{1, 29}
	case KindResidencePermit:
		n := pad(zone(d.Number), 9)
		first := "I<" + pad(zone(d.Issuer), 3) + pad(names(d), 31)
		second := n + check(n) + pad(zone(d.Nationality), 3) + birth + check(birth) + sex + expiry + check(expiry) + pad(zone(d.Optional), 7)
		second += check(second[0:10] + second[13:20] + second[21:35])
		lines = []string{first, second}
		at["document_number"], at["birth_date"], at["expiry_date"], at["composite"] = [2]int{1, 9}, [2]int{1, 19}, [2]int{1, 27}, [2]int{1, 35}
	default:
		n, personal := pad(zone(d.Number), 9), pad(zone(d.Optional), 14)
		first := "P<" + pad(zone(d.Issuer), 3) + pad(names(d), 39)
		second := n + check(n) + pad(zone(d.Nationality), 3) + birth + check(birth) + sex + expiry + check(expiry) + personal
		// Part 4, 4.2.2: an empty personal number may carry "<" or "0".
		if strings.Trim(personal, "<") == "" {
			second += "<"
		} else {
			second += check(personal)
		}
		second += check(second[0:10] + second[13:20] + second[21:43])
		lines = []string{first, second}
		at["document_number"], at["birth_date"], at["expiry_date"] = [2]int{1, 9}, [2]int{1, 19}, [2]int{1, 27}
		at["personal_number"], at["composite"] = [2]int{1, 42}, [2]int{1, 43}
	}
	if p, ok := at[d.AlterCheckDigit]; ok {
		b := []byte(lines[p[0]])
		if c := b[p[1]]; c >= '0' && c <= '9' {
			b[p[1]] = '0' + (c-'0'+3)%10
		} else {
			b[p[1]] = '3' // a filler stands for 0
		}
		lines[p[0]] = string(b)
	} else if d.AlterCheckDigit != "" {
		panic(fmt.Sprintf("specimen: no check digit named %q on a %s", d.AlterCheckDigit, d.Kind))
	}
	return lines
}

// names joins surname and given names as the zone does.
func names(d Document) string {
	s := zone(d.Surname)
	if d.GivenNames != "" {
		s += "<<" + zone(d.GivenNames)
	}
	return s
}

// zone spells s in the zone's alphabet.
func zone(s string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r >= 'A' && r <= 'Z', r >= '0' && r <= '9':
			return r
		case r >= 'a' && r <= 'z':
			return r - 'a' + 'A'
		case r == '\'' || r == '.':
			return -1
		}
		return '<'
	}, s)
}

// pad fills or cuts s to n characters.
func pad(s string, n int) string {
	if len(s) >= n {
		return s[:n]
	}
	return s + strings.Repeat("<", n-len(s))
}

// check is the check digit of Doc 9303-3, 4.9: weights 7, 3, 1, modulus 10.
func check(s string) string {
	sum := 0
	for i, r := range s {
		v := 0
		switch {
		case r >= '0' && r <= '9':
			v = int(r - '0')
		case r >= 'A' && r <= 'Z':
			v = int(r-'A') + 10
		}
		sum += v * []int{7, 3, 1}[i%3]
	}
	return string(rune('0' + sum%10))
}

// yymmdd turns YYYY-MM-DD into the zone's date; anything else becomes an unknown date.
func yymmdd(s string) string {
	if len(s) != 10 {
		return "<<<<<<"
	}
	return s[2:4] + s[5:7] + s[8:10]
}
