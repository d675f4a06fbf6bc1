package aamva

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// Errors of Parse. Their messages name elements, never what they say.
var (
	ErrNoRecord  = errors.New("aamva: not a record of the AAMVA standard")
	ErrVersion   = errors.New("aamva: a version that this program does not know")
	ErrIssuer    = errors.New("aamva: an issuer that is not on AAMVA's list for the United States and Canada")
	ErrMalformed = errors.New("aamva: the record is not as its version wants it")
)

// Kinds of documents, after the type of the subfile.
const (
	License = "DL"
	IDCard  = "ID"
)

// Record is what a licence or identity card states. Text is trimmed; a value that
// the issuer does not have or does not tell (NONE, unavl) is empty. Dates are UTC
// midnight of the day.
type Record struct {
	Version             int // of the standard, 1 to 11
	JurisdictionVersion int // of the issuer's own format; 0 in version 1
	Kind                string
	IIN                 string // issuer identification number
	Issuer              Issuer

	Number     string // DAQ, as it is printed
	Surname    string
	GivenNames string // first and middle names
	Suffix     string
	Truncated  bool // a name may have been cut off (DDE, DDF, DDG; versions 4 and up tell)
	BirthDate  time.Time
	IssueDate  time.Time
	ExpiryDate time.Time
	Sex        string // F, M, X

	Street, City, State, PostalCode string // of the holder's address
	Discriminator                   string // DCF, of this very card; empty in version 1
	Height, Eyes                    string
}

const (
	maxRecord   = 4 << 10 // bytes; a symbol holds 1850 characters of text at most
	maxEntries  = 20      // subfiles in the table
	maxElements = 120     // of one subfile
	maxVersion  = 11
)

// Parse reads a record, in UTF-8 as a barcode reader gives it. Errors are
// ErrNoRecord, ErrVersion, ErrIssuer and ErrMalformed.
func Parse(data string) (*Record, error) {
	if len(data) > maxRecord || !utf8.ValidString(data) {
		return nil, ErrNoRecord
	}
	r := &Record{}
	table, err := r.header(data)
	if err != nil {
		return nil, err
	}
	body, err := r.subfile(data, table)
	if err != nil {
		return nil, err
	}
	e, err := parseElements(body)
	if err != nil {
		return nil, err
	}
	if err := r.wanted(e); err != nil {
		return nil, err
	}
	return r, r.fill(e)
}

func malformed(format string, a ...any) error {
	return fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, a...))
}

// header reads up to the table of subfiles and gives where that starts (standard
// 2020, D.12.3). The record separator is 1E; South Carolina wrote 1C. The file type
// is "ANSI "; some issuers wrote "AAMVA" in version 01.
func (r *Record) header(data string) (table int, err error) {
	if strings.HasPrefix(data, "%") && strings.Contains(data, "^") {
		return 0, fmt.Errorf("%w: the record of a magnetic stripe", ErrVersion)
	}
	ok := len(data) > 21 && data[0] == '@' && data[1] == '\n' && (data[2] == 0x1e || data[2] == 0x1c) && data[3] == '\r' &&
		(data[4:9] == "ANSI " || data[4:9] == "AAMVA")
	if !ok {
		return 0, ErrNoRecord
	}
	r.IIN = data[9:15]
	r.Version, ok = number(data[15:17])
	if !ok || !digits(r.IIN) {
		return 0, ErrNoRecord
	}
	if r.Version < 1 || r.Version > maxVersion {
		return 0, fmt.Errorf("%w: %02d", ErrVersion, r.Version)
	}
	if r.Issuer, ok = issuers[r.IIN]; !ok {
		return 0, ErrIssuer
	}
	// Version 01 has two digits more before the table, the number of entries;
	// later ones have the issuer's version first. Illinois wrote 02 with the
	// header of 01, so the digits count and not the version.
	table = 17
	for table < len(data) && data[table] >= '0' && data[table] <= '9' {
		table++
	}
	switch table {
	case 19:
	case 21:
		r.JurisdictionVersion, _ = number(data[17:19])
	default:
		return 0, malformed("header")
	}
	return table, nil
}

// subfile finds the elements of the first licence or identity card in the table
// (standard 2020, D.12.4): ten characters an entry, which are type, offset from the
// start of the record, and length. Jurisdictions' own subfiles (Z and a letter) are
// not looked at.
//
// An offset of zero, as Ontario writes, means right after the table. A length is
// not used, because issuers get it wrong: a subfile ends with CR.
func (r *Record) subfile(data string, table int) (string, error) {
	entries, _ := number(data[table-2 : table])
	if entries < 1 || entries > maxEntries || table+10*entries > len(data) {
		return "", malformed("number of subfiles")
	}
	end := table + 10*entries
	for i := range entries {
		entry := data[table+10*i : table+10*i+10]
		kind := entry[:2]
		offset, ok := number(entry[2:6])
		length, ok2 := number(entry[6:10])
		if !ok || !ok2 || length < 2 || offset > len(data) {
			return "", malformed("table of subfiles")
		}
		if kind != License && kind != IDCard {
			continue
		}
		if offset == 0 {
			offset = end
		}
		if offset < end || !strings.HasPrefix(data[offset:], kind) {
			return "", malformed("offset of the subfile")
		}
		r.Kind = kind
		body, _, _ := strings.Cut(data[offset+2:], "\r")
		return body, nil
	}
	return "", malformed("no subfile of a licence or identity card")
}

// elements are values by the three letters of their id.
type elements map[string]string

func parseElements(body string) (elements, error) {
	e := elements{}
	for i, line := range strings.Split(body, "\n") {
		if i > maxElements {
			return nil, malformed("too many elements")
		}
		if strings.TrimSpace(line) == "" {
			continue
		}
		if len(line) < 3 || line[0] != 'D' || !upper(line[1]) || !upper(line[2]) {
			return nil, malformed("an element without an id")
		}
		id, value := line[:3], strings.TrimSpace(line[3:])
		if strings.ContainsFunc(value, unicode.IsControl) || utf8.RuneCountInString(value) > 200 {
			return nil, malformed("%s", id)
		}
		if old, twice := e[id]; twice && old != value {
			return nil, malformed("%s stands there twice", id)
		}
		e[id] = value
	}
	return e, nil
}

// mandatory are the elements that versions want, with the first and the last of
// them (tables "mandatory PDF417 bar code data elements" of the standards 2000,
// 2003, 2005, 2009 and later). Of several separated by a bar, one is enough: in
// version 01 the address is that for mail or the residence, and a name is in one
// piece or in several. An empty value counts as not there, NONE and unavl as there.
var mandatory = []struct {
	ids         string
	first, last int
	only        string // kind of document, or empty
}{
	{"DAQ|DBJ", 1, 1, ""}, {"DAA|DAB", 1, 1, ""}, {"DAA|DAC", 1, 1, ""},
	{"DAG|DAL", 1, 1, ""}, {"DAI|DAN", 1, 1, ""}, {"DAJ|DAO", 1, 1, ""}, {"DAK|DAP", 1, 1, ""},
	{"DBA", 1, maxVersion, ""}, {"DBB", 1, maxVersion, ""}, {"DBC", 1, maxVersion, ""}, {"DBD", 1, maxVersion, ""},
	{"DAQ", 2, maxVersion, ""}, {"DCS", 2, maxVersion, ""}, {"DCF", 2, maxVersion, ""}, {"DCG", 2, maxVersion, ""},
	{"DAG", 2, maxVersion, ""}, {"DAI", 2, maxVersion, ""}, {"DAJ", 2, maxVersion, ""}, {"DAK", 2, maxVersion, ""},
	{"DAU", 2, maxVersion, ""}, {"DAY", 2, maxVersion, ""},
	{"DCA", 2, maxVersion, License}, {"DCB", 2, maxVersion, License}, {"DCD", 2, maxVersion, License},
	{"DCT", 2, 3, ""}, {"DCH", 2, 3, License},
	{"DAC", 4, maxVersion, ""}, {"DAD", 4, maxVersion, ""},
	{"DDE", 4, maxVersion, ""}, {"DDF", 4, maxVersion, ""}, {"DDG", 4, maxVersion, ""},
}

func (r *Record) wanted(e elements) error {
	for _, m := range mandatory {
		if r.Version < m.first || r.Version > m.last || m.only != "" && m.only != r.Kind {
			continue
		}
		if m.ids == "DAY" && r.Issuer.Country == "CAN" {
			continue // Ontario's licences have no colour of eyes
		}
		if !slices.ContainsFunc(strings.Split(m.ids, "|"), func(id string) bool { return e[id] != "" }) {
			return malformed("%s is missing", m.ids)
		}
	}
	return nil
}

// fill takes the values over.
func (r *Record) fill(e elements) error {
	var err error
	if r.Version > 1 && e["DCG"] != r.Issuer.Country {
		return malformed("DCG names another country than the issuer's")
	}
	for _, d := range []struct {
		id string
		at *time.Time
	}{{"DBB", &r.BirthDate}, {"DBD", &r.IssueDate}, {"DBA", &r.ExpiryDate}} {
		if *d.at, err = r.date(e[d.id]); err != nil {
			return malformed("%s is not a date", d.id)
		}
	}
	switch e["DBC"] {
	case "1", "M":
		r.Sex = "M"
	case "2", "F":
		r.Sex = "F"
	case "9", "X": // not specified, since version 08
		r.Sex = "X"
	default:
		return malformed("DBC")
	}
	if err := r.names(e); err != nil {
		return err
	}
	r.Number = first(e, "DAQ", "DBJ")
	if r.Number == "" || utf8.RuneCountInString(r.Number) > 25 {
		return malformed("DAQ")
	}
	r.Street, r.City = first(e, "DAG", "DAL"), first(e, "DAI", "DAN")
	r.State, r.PostalCode = first(e, "DAJ", "DAO"), first(e, "DAK", "DAP")
	if len(r.State) != 2 || !upper(r.State[0]) || !upper(r.State[1]) {
		return malformed("DAJ")
	}
	// In the United States nine digits, zeros where the last four are not known
	// (standard 2020, table D.3, DAK).
	if zip, last := r.PostalCode, ""; r.Issuer.Country == "USA" && len(zip) == 9 && digits(zip) {
		if zip, last = zip[:5], zip[5:]; last != "0000" {
			zip += "-" + last
		}
		r.PostalCode = zip
	}
	r.Discriminator, r.Height, r.Eyes = value(e["DCF"]), value(e["DAU"]), value(e["DAY"])
	return nil
}

// names puts a name together from the elements of the version. DAA is "surname,
// first names, middle names, suffix" (DL/ID-2000, table 3); DCT holds all given
// names with a comma or a blank between them (standards 2003 and 2005).
func (r *Record) names(e elements) error {
	var given []string
	switch {
	case r.Version >= 4:
		given = []string{value(e["DAC"]), value(e["DAD"])}
		r.Surname = value(e["DCS"])
		for _, id := range []string{"DDE", "DDF", "DDG"} {
			switch e[id] {
			case "N", "U":
			case "T":
				r.Truncated = true
			default:
				return malformed("%s", id)
			}
		}
	case r.Version >= 2:
		given, r.Surname = strings.Split(value(e["DCT"]), ","), value(e["DCS"])
	case e["DAB"] != "":
		given, r.Surname = []string{value(e["DAC"]), value(e["DAD"])}, value(e["DAB"])
	default:
		parts := strings.Split(e["DAA"], ",")
		if len(parts) < 2 || len(parts) > 4 {
			return malformed("DAA")
		}
		r.Surname = value(strings.TrimSpace(parts[0]))
		given = parts[1:min(len(parts), 3)]
		if len(parts) == 4 {
			r.Suffix = value(strings.TrimSpace(parts[3]))
		}
	}
	r.GivenNames = strings.Join(strings.Fields(strings.Join(given, " ")), " ")
	if r.Suffix == "" {
		r.Suffix = first(e, "DCU", "DAE")
	}
	if r.Surname == "" {
		return malformed("the name is missing")
	}
	for _, n := range []string{r.Surname, r.GivenNames} {
		if utf8.RuneCountInString(n) > 125 {
			return malformed("the name")
		}
	}
	return nil
}

// date reads eight digits: month, day and year in the United States, year, month
// and day in Canada, since version 02; in version 01 year, month and day, though
// some issuers wrote the other. Years are of the 20th and 21st century, so that no
// digits are a date both ways: no month is a 19th or 20th.
func (r *Record) date(s string) (time.Time, error) {
	if len(s) != 8 || !digits(s) {
		return time.Time{}, errors.New("not eight digits")
	}
	yearFirst, monthFirst := "20060102", "01022006"
	layouts := []string{monthFirst}
	switch {
	case r.Version == 1:
		layouts = []string{yearFirst, monthFirst}
	case r.Issuer.Country == "CAN":
		layouts = []string{yearFirst}
	}
	for _, l := range layouts {
		if t, err := time.Parse(l, s); err == nil && t.Year() >= 1900 && t.Year() < 2100 {
			return t, nil
		}
	}
	return time.Time{}, errors.New("no such day")
}

// Contradictions says in plain words what cannot be, if anything. Whether the
// document has expired is another question.
func (r *Record) Contradictions(now time.Time) []string {
	var out []string
	add := func(wrong bool, what string) {
		if wrong {
			out = append(out, what)
		}
	}
	add(!r.BirthDate.Before(r.IssueDate), "the date of birth is not before the date of issue")
	add(!r.IssueDate.Before(r.ExpiryDate), "the date of issue is not before the date of expiry")
	// In Guam a day begins ten hours earlier than in UTC.
	add(r.IssueDate.After(now.UTC().Add(10*time.Hour)), "the date of issue is in the future")
	if r.Kind == License {
		add(r.BirthDate.AddDate(14, 0, 0).After(r.IssueDate), "the holder was younger than 14 when it was issued")
	}
	add(!r.BirthDate.AddDate(120, 0, 0).After(r.IssueDate), "the holder was 120 or older when it was issued")
	return out
}

// value is what an element says: NONE (there is no such thing) and unavl (the
// issuer does not have it) say nothing.
func value(s string) string {
	if u := strings.ToUpper(s); u == "NONE" || u == "UNAVL" {
		return ""
	}
	return s
}

func first(e elements, ids ...string) string {
	for _, id := range ids {
		if v := value(e[id]); v != "" {
			return v
		}
	}
	return ""
}

func upper(c byte) bool { return c >= 'A' && c <= 'Z' }

func digits(s string) bool {
	return s != "" && !strings.ContainsFunc(s, func(c rune) bool { return c < '0' || c > '9' })
}

func number(s string) (int, bool) {
	if !digits(s) {
		return 0, false
	}
	n, err := strconv.Atoi(s)
	return n, err == nil
}
