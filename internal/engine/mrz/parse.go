package mrz

import (
	"errors"
	"fmt"
	"image"
	"strings"
	"time"
)

// ErrNotFound says that the picture shows no machine-readable zone that could be
// located. A zone that was located and whose check digits are wrong is not
// this error: it is a Result with DigitsOK false.
var ErrNotFound = errors.New("mrz: no machine-readable zone found")

// ErrFormat says that the lines are none of TD1, TD2 and TD3. The error that wraps it is a *FormatError.
var ErrFormat = errors.New("mrz: not a TD1, TD2 or TD3 zone")

// FormatError says why lines were not taken for a zone. It never quotes them.
type FormatError struct {
	Kind string // one of the Format... constants
	Line int    // 1-based line that is at fault; 0 if it is their number
}

// Kinds of FormatError.
const (
	FormatLines     = "lines"     // neither two nor three lines
	FormatLength    = "length"    // a line is not 30, 36 or 44 characters long, or lines differ
	FormatCharacter = "character" // a character other than A-Z, 0-9 and "<"
	FormatDocument  = "document"  // the document code is not one of a TD1, TD2 or TD3 document (a visa, for one)
)

func (e *FormatError) Error() string {
	if e.Line == 0 {
		return fmt.Sprintf("mrz: %s: not a TD1, TD2 or TD3 zone", e.Kind)
	}
	return fmt.Sprintf("mrz: %s in line %d: not a TD1, TD2 or TD3 zone", e.Kind, e.Line)
}

func (e *FormatError) Unwrap() error { return ErrFormat }

// Formats of Doc 9303.
const (
	TD1 = "TD1" // 3 lines of 30, cards (part 5)
	TD2 = "TD2" // 2 lines of 36 (part 6)
	TD3 = "TD3" // 2 lines of 44, passports (part 4)
)

// Result is a zone as it is printed.
type Result struct {
	Format   string   // TD1, TD2, TD3
	Lines    []string // as read, never corrected
	Fields   Fields
	DigitsOK bool      // every check digit of the format holds
	Digits   []Digit   // each of them, in the order in which it is printed
	Problems []Problem // everything else that is wrong or unsure; empty on a good zone

	// Quad is the zone in the picture, clockwise from its upper left corner as
	// one reads it. Zero after Parse.
	Quad [4]image.Point
	// Confidence is the lowest posterior of any character, 0 to 1. Always 1 after Parse.
	Confidence float64
}

// Fields are the contents of the zone with fillers removed. A field that
// cannot be understood is empty and has a Problem.
type Fields struct {
	Code           string // document code, one or two letters: P, I, AC, ...
	Issuer         string // ICAO code of the issuing state, one to three letters
	Number         string // document number, complete also where the zone splits it
	Surname        string
	GivenNames     string
	Nationality    string
	BirthDate      string // YYYY-MM-DD, never in the future
	Sex            string // F, M, X
	ExpiryDate     string // YYYY-MM-DD
	PersonalNumber string // TD3 only: the optional data
	Optional       string // TD1 line 1, TD2: optional data, without a continued document number
	Optional2      string // TD1 line 2
}

// Names of check digits and of the fields that a Problem is about.
const (
	DocumentNumber = "document_number"
	BirthDate      = "birth_date"
	ExpiryDate     = "expiry_date"
	PersonalNumber = "personal_number"
	Composite      = "composite"

	DocumentCode = "document_code"
	Issuer       = "issuer"
	Nationality  = "nationality"
	Name         = "name"
	Sex          = "sex"
	Optional     = "optional_data"
)

// Digit is one check digit.
type Digit struct {
	Name string
	OK   bool
}

// Problem is a field that is not as Doc 9303 wants it.
type Problem struct {
	Field string
	Kind  string // one of the Problem... constants
}

// Kinds of Problem.
const (
	ProblemCharacter = "character" // a digit where letters belong, or the reverse, or a filler inside
	ProblemDate      = "date"      // not a day of the calendar
	ProblemPartial   = "partial"   // parts of the date are fillers: the issuer does not know them
	ProblemEmpty     = "empty"     // nothing but fillers
	ProblemUnsure    = "unsure"    // read from a picture with too little certainty, and no check digit covers it
)

// layout says where things are. Columns are half-open, lines 0-based.
type layout struct {
	format        string
	lines, length int
	codes         string // permitted first letters of the document code
	number        span
	birth, expiry span
	sex           span
	nationality   span
	name          span
	optional      span
	optional2     span   // TD1 only
	composite     []span // what the composite covers
	compositeAt   span
}

type span struct{ line, from, to int }

func (s span) of(lines []string) string { return lines[s.line][s.from:s.to] }

// next is the one column after s: the place of its check digit.
func (s span) next() span { return span{s.line, s.to, s.to + 1} }

// layouts follow Doc 9303 part 5 section 4.2.2, part 6 section 4.2.2, and part 4 section 4.2.2.
var layouts = []layout{
	{
		format: TD1, lines: 3, length: 30, codes: "ACI",
		number: span{0, 5, 14}, optional: span{0, 15, 30},
		birth: span{1, 0, 6}, sex: span{1, 7, 8}, expiry: span{1, 8, 14}, nationality: span{1, 15, 18}, optional2: span{1, 18, 29},
		name:        span{2, 0, 30},
		composite:   []span{{0, 5, 30}, {1, 0, 7}, {1, 8, 15}, {1, 18, 29}},
		compositeAt: span{1, 29, 30},
	},
	{
		format: TD2, lines: 2, length: 36, codes: "ACI",
		name:   span{0, 5, 36},
		number: span{1, 0, 9}, nationality: span{1, 10, 13}, birth: span{1, 13, 19}, sex: span{1, 20, 21}, expiry: span{1, 21, 27}, optional: span{1, 28, 35},
		composite:   []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 35}},
		compositeAt: span{1, 35, 36},
	},
	{
		format: TD3, lines: 2, length: 44, codes: "P",
		name:   span{0, 5, 44},
		number: span{1, 0, 9}, nationality: span{1, 10, 13}, birth: span{1, 13, 19}, sex: span{1, 20, 21}, expiry: span{1, 21, 27}, optional: span{1, 28, 42},
		composite:   []span{{1, 0, 10}, {1, 13, 20}, {1, 21, 43}},
		compositeAt: span{1, 43, 44},
	},
}

// layoutOf is the layout with that many lines of that length.
func layoutOf(lines, length int) *layout {
	for i := range layouts {
		if layouts[i].lines == lines && layouts[i].length == length {
			return &layouts[i]
		}
	}
	return nil
}

// Parse understands the lines of a zone, upper case, fillers included. The
// error is a *FormatError if they are no TD1, TD2 or TD3 zone. A zone with wrong
// check digits, or with fields that make no sense, is a Result that says so:
// look at DigitsOK and Problems before believing the Fields.
//
// Years have two digits in a zone. A birth date is taken as the latest one that
// is not after now; an expiry date as the one less than fifty years from now.
func Parse(lines []string, now time.Time) (*Result, error) {
	if len(lines) != 2 && len(lines) != 3 {
		return nil, &FormatError{Kind: FormatLines}
	}
	l := layoutOf(len(lines), len(lines[0]))
	if l == nil {
		return nil, &FormatError{Kind: FormatLength, Line: 1}
	}
	for i, line := range lines {
		if len(line) != l.length {
			return nil, &FormatError{Kind: FormatLength, Line: i + 1}
		}
		for j := range len(line) {
			if value(line[j]) < 0 {
				return nil, &FormatError{Kind: FormatCharacter, Line: i + 1}
			}
		}
	}
	if !strings.Contains(l.codes, lines[0][:1]) {
		return nil, &FormatError{Kind: FormatDocument, Line: 1}
	}
	r := &Result{Format: l.format, Lines: append([]string(nil), lines...), Confidence: 1}
	p := &parser{Result: r, layout: l, lines: lines}
	p.digits()
	p.fields(now)
	return r, nil
}

type parser struct {
	*Result
	*layout
	lines []string
}

func (p *parser) problem(field, kind string) {
	p.Problems = append(p.Problems, Problem{field, kind})
}

// digits checks every check digit, and finds the document number while at it,
// because a long number moves its check digit.
func (p *parser) digits() {
	number, digit := p.number.of(p.lines), p.number.next().of(p.lines)
	optional := p.optional.of(p.lines)
	if digit == "<" && p.format != TD3 && optional[0] != '<' {
		// More than nine characters: a filler in the place of the check digit,
		// the rest of the number at the start of the optional data, then the
		// check digit, then a filler (part 5, 4.2.2 note j; part 6 likewise).
		tail, rest, _ := strings.Cut(optional, "<")
		if len(tail) > 1 {
			number, digit, optional = number+tail[:len(tail)-1], tail[len(tail)-1:], rest
		}
	}
	p.Fields.Number = p.trimmed(DocumentNumber, number)
	p.setOptional(optional)
	p.digit(DocumentNumber, number, digit)
	p.digit(BirthDate, p.birth.of(p.lines), p.birth.next().of(p.lines))
	p.digit(ExpiryDate, p.expiry.of(p.lines), p.expiry.next().of(p.lines))
	if p.format == TD3 {
		digit := p.optional.next().of(p.lines)
		if strings.Trim(optional, "<") == "" && digit == "<" {
			digit = "0" // part 4, 4.2.2: may be "<" when there is no personal number
		}
		p.digit(PersonalNumber, optional, digit)
	}
	var all strings.Builder
	for _, s := range p.composite {
		all.WriteString(s.of(p.lines))
	}
	p.digit(Composite, all.String(), p.compositeAt.of(p.lines))
	p.DigitsOK = true
	for _, d := range p.Digits {
		p.DigitsOK = p.DigitsOK && d.OK
	}
}

func (p *parser) digit(name, data, digit string) {
	p.Digits = append(p.Digits, Digit{name, digit == string(rune('0'+CheckDigit(data)))})
}

func (p *parser) setOptional(s string) {
	text := strings.TrimSpace(strings.ReplaceAll(s, "<", " "))
	if p.format == TD3 {
		p.Fields.PersonalNumber = text
		return
	}
	p.Fields.Optional = text
	if p.format == TD1 {
		p.Fields.Optional2 = strings.TrimSpace(strings.ReplaceAll(p.optional2.of(p.lines), "<", " "))
	}
}

// trimmed removes the fillers at the end, and reports an empty field or a filler inside.
func (p *parser) trimmed(field, s string) string {
	t := strings.TrimRight(s, "<")
	switch {
	case t == "":
		p.problem(field, ProblemEmpty)
	case strings.Contains(t, "<") && field != DocumentNumber: // a number may print a hyphen or space as filler
		p.problem(field, ProblemCharacter)
	}
	return t
}

// letters is trimmed for a field that has none but letters.
func (p *parser) letters(field, s string) string {
	t := p.trimmed(field, s)
	if strings.ContainsAny(t, "0123456789") {
		p.problem(field, ProblemCharacter)
		return ""
	}
	return t
}

func (p *parser) fields(now time.Time) {
	f := &p.Fields
	f.Code = strings.TrimRight(p.lines[0][:2], "<")
	// The second letter is the issuer's choice, but for V (parts 5 and 6, section 4.2.2).
	if strings.ContainsAny(f.Code, "0123456789") || p.format != TD3 && strings.HasSuffix(f.Code, "V") {
		p.problem(DocumentCode, ProblemCharacter)
	}
	f.Issuer = p.letters(Issuer, p.lines[0][2:5])
	f.Nationality = p.letters(Nationality, p.nationality.of(p.lines))
	f.BirthDate = p.date(BirthDate, p.birth.of(p.lines), func(d day) bool { return !d.after(dayOf(now)) })
	f.ExpiryDate = p.date(ExpiryDate, p.expiry.of(p.lines), func(d day) bool {
		n := dayOf(now)
		n.year += 50
		return !d.after(n)
	})
	switch p.sex.of(p.lines) {
	case "F":
		f.Sex = "F"
	case "M":
		f.Sex = "M"
	case "<": // unspecified (part 3 writes X in print and a filler in the zone)
		f.Sex = "X"
	default:
		p.problem(Sex, ProblemCharacter)
	}
	name := p.name.of(p.lines)
	if strings.ContainsAny(name, "0123456789") || name[0] == '<' {
		p.problem(Name, ProblemCharacter)
	}
	f.Surname, f.GivenNames = SplitName(name)
	if f.Surname == "" {
		p.problem(Name, ProblemEmpty)
	}
}

// day is a date of the calendar.
type day struct{ year, month, day int }

func dayOf(t time.Time) day {
	y, m, d := t.UTC().Date()
	return day{y, int(m), d}
}

func (d day) after(e day) bool {
	if d.year != e.year {
		return d.year > e.year
	}
	if d.month != e.month {
		return d.month > e.month
	}
	return d.day > e.day
}

// date finds the latest century in which YYMMDD satisfies ok, and writes
// YYYY-MM-DD if that is a day of the calendar.
func (p *parser) date(field, s string, ok func(day) bool) string {
	n := 0
	for i := range 6 {
		if s[i] < '0' || s[i] > '9' {
			kind := ProblemCharacter
			if strings.Trim(s, "0123456789<") == "" {
				kind = ProblemPartial
			}
			p.problem(field, kind)
			return ""
		}
		n = n*10 + int(s[i]-'0')
	}
	d := day{2100 + n/10000, n / 100 % 100, n % 100}
	for !ok(d) {
		d.year -= 100
	}
	t := time.Date(d.year, time.Month(d.month), d.day, 0, 0, 0, 0, time.UTC)
	if dayOf(t) != d {
		p.problem(field, ProblemDate)
		return ""
	}
	return t.Format(time.DateOnly)
}
