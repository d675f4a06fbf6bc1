package mrz

// CheckDigit is the check digit over s, 0 to 9: weights 7, 3, 1 repeating, sum
// modulus 10, letters A-Z as 10-35, fillers as 0 (Doc 9303-3, section 4.9).
// Characters outside the zone's alphabet count as 0.
func CheckDigit(s string) int {
	sum := 0
	for i := range len(s) {
		sum += max(value(s[i]), 0) * [3]int{7, 3, 1}[i%3]
	}
	return sum % 10
}

// value is the number that a character stands for, -1 if the zone has no such character.
func value(c byte) int {
	switch {
	case c >= '0' && c <= '9':
		return int(c - '0')
	case c >= 'A' && c <= 'Z':
		return int(c-'A') + 10
	case c == '<':
		return 0
	}
	return -1
}
