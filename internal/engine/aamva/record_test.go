package aamva_test

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/aamva"
)

// record builds a record of one subfile with a right table. Two elements are
// separated by a bar here.
func record(header, kind, list string) string {
	file := kind + strings.ReplaceAll(list, "|", "\n") + "\r"
	start := "@\n\x1e\r" + header
	return start + fmt.Sprintf("%s%04d%04d", kind, len(start)+10, len(file)) + file
}

const (
	header10 = "ANSI 636000" + "10" + "04" + "01"
	tenth    = "DAQT0012345|DCSDOE|DDEN|DACJANE|DDFN|DADQUINN|DDGN|DCAD|DCBNONE|DCDNONE|DBD04162024|DBB08121984|DBA04152032|DBC2|DAU064 in|DAYBRO|DAG1 ELM ST|DAIANYTOWN|DAJVA|DAK000000000  |DCF0001|DCGUSA"
)

// without leaves an element away; with gives it another value.
func without(list, id string) string {
	return strings.Join(slices.DeleteFunc(strings.Split(list, "|"), func(e string) bool { return strings.HasPrefix(e, id) }), "|")
}

func with(list, element string) string { return without(list, element[:3]) + "|" + element }

func day(y, m, d int) time.Time { return time.Date(y, time.Month(m), d, 0, 0, 0, 0, time.UTC) }

func TestParse(t *testing.T) {
	jane := aamva.Record{Version: 10, JurisdictionVersion: 4, Kind: aamva.License, IIN: "636000", Issuer: aamva.Issuer{Code: "VA", Country: "USA"},
		Number: "T0012345", Surname: "DOE", GivenNames: "JANE QUINN", BirthDate: day(1984, 8, 12), IssueDate: day(2024, 4, 16), ExpiryDate: day(2032, 4, 15), Sex: "F",
		Street: "1 ELM ST", City: "ANYTOWN", State: "VA", PostalCode: "00000", Discriminator: "0001", Height: "064 in", Eyes: "BRO"}
	change := func(f func(*aamva.Record)) aamva.Record { r := jane; f(&r); return r }
	canadian := with(with(with(with(with(with(tenth, "DCGCAN"), "DBD20240416"), "DBB19840812"), "DBA20320415"), "DAJON"), "DAKX0X 0X0")
	first := "DAQT0012345|DAADOE,JANE,QUINN,|DAG1 ELM ST|DAIANYTOWN|DAJMD|DAK00000|DBA20320415|DBB19840812|DBC2|DBD20240416"
	plain := func(r *aamva.Record) {
		r.Version, r.JurisdictionVersion, r.IIN, r.Issuer = 1, 0, "636003", aamva.Issuer{Code: "MD", Country: "USA"}
		r.State, r.PostalCode, r.Discriminator, r.Height, r.Eyes = "MD", "00000", "", "", ""
	}
	second := with(without(without(without(without(without(tenth, "DAC"), "DAD"), "DDE"), "DDF"), "DDG"), "DCTJANE,QUINN") + "|DCHNONE"

	for name, c := range map[string]struct {
		data string
		want aamva.Record
	}{
		"version 10":              {record(header10, "DL", tenth), jane},
		"version 9":               {record("ANSI 636000090401", "DL", tenth), change(func(r *aamva.Record) { r.Version = 9 })},
		"version 11":              {record("ANSI 636000110401", "DL", tenth+"|DDM1|DDP1"), change(func(r *aamva.Record) { r.Version = 11 })},
		"version 4, truncated":    {record("ANSI 636000040401", "DL", with(tenth, "DDET")), change(func(r *aamva.Record) { r.Version, r.Truncated = 4, true })},
		"version 3, names in one": {record("ANSI 636000030401", "DL", second), change(func(r *aamva.Record) { r.Version = 3 })},
		"version 2, with the header of version 1": {record("ANSI 6360000201", "DL", with(second, "DCTJANE QUINN")), change(func(r *aamva.Record) { r.Version, r.JurisdictionVersion = 2, 0 })},
		"version 1":                     {record("ANSI 6360030101", "DL", first), change(plain)},
		"version 1, month first":        {record("ANSI 6360030101", "DL", with(first, "DBB08121984")), change(plain)},
		"version 1, old file type":      {record("AAMVA6360030101", "DL", first), change(plain)},
		"version 1, names apart":        {record("ANSI 6360030101", "DL", without(first, "DAA")+"|DABDOE|DACJANE|DADQUINN"), change(plain)},
		"version 1, residence":          {record("ANSI 6360030101", "DL", without(with(first, "DAG"), "DAG")+"|DAL1 ELM ST"), change(plain)},
		"version 1, suffix in the name": {record("ANSI 6360030101", "DL", with(first, "DAADOE,JANE,QUINN,JR")), change(func(r *aamva.Record) { plain(r); r.Suffix = "JR" })},
		"Canada": {record("ANSI 636012100401", "DL", canadian), change(func(r *aamva.Record) {
			r.IIN, r.Issuer, r.State, r.PostalCode = "636012", aamva.Issuer{Code: "ON", Country: "CAN"}, "ON", "X0X 0X0"
		})},
		"Canada, no colour of eyes": {record("ANSI 636012100401", "DL", without(canadian, "DAY")), change(func(r *aamva.Record) {
			r.IIN, r.Issuer, r.State, r.PostalCode, r.Eyes = "636012", aamva.Issuer{Code: "ON", Country: "CAN"}, "ON", "X0X 0X0", ""
		})},
		"identity card, no classes":   {record(header10, "ID", without(without(without(tenth, "DCA"), "DCB"), "DCD")), change(func(r *aamva.Record) { r.Kind = aamva.IDCard })},
		"no middle name":              {record(header10, "DL", with(tenth, "DADNONE")), change(func(r *aamva.Record) { r.GivenNames = "JANE" })},
		"one name":                    {record(header10, "DL", with(with(tenth, "DADNONE"), "DACunavl")), change(func(r *aamva.Record) { r.GivenNames = "" })},
		"sex not specified":           {record(header10, "DL", with(tenth, "DBC9")), change(func(r *aamva.Record) { r.Sex = "X" })},
		"suffix":                      {record(header10, "DL", tenth+"|DCUIII"), change(func(r *aamva.Record) { r.Suffix = "III" })},
		"letters of Quebec":           {record(header10, "DL", with(tenth, "DCSCÔTÉ")), change(func(r *aamva.Record) { r.Surname = "CÔTÉ" })},
		"another separator":           {strings.Replace(record(header10, "DL", tenth), "\x1e", "\x1c", 1), jane},
		"offset of zero":              {strings.Replace(record(header10, "DL", tenth), "DL0031", "DL0000", 1), jane},
		"wrong length":                {strings.Replace(record(header10, "DL", tenth), "DL00310", "DL00313", 1), jane},
		"no terminator":               {strings.TrimSuffix(record(header10, "DL", tenth), "\r"), jane},
		"twice the same":              {record(header10, "DL", tenth+"|DCSDOE|"), jane},
		"with a subfile of the state": {"@\n\x1e\rANSI 636000100402" + "DL00410267" + "ZV03080008" + "DL" + strings.ReplaceAll(tenth, "|", "\n") + "\rZVZVA01\r", jane},
	} {
		t.Run(name, func(t *testing.T) {
			got, err := aamva.Parse(c.data)
			if err != nil {
				t.Fatal(err)
			}
			if *got != c.want {
				t.Errorf("got  %+v\nwant %+v", *got, c.want)
			}
			if w := got.Contradictions(day(2026, 3, 1)); len(w) != 0 {
				t.Error(w)
			}
		})
	}
}

// Every version that was published is read: each has a record of its own kind of
// names, in both countries, and wants no less than the one before.
func TestVersions(t *testing.T) {
	names := map[int]string{1: "|DAADOE,JANE,QUINN,", 2: "|DCSDOE|DCTJANE,QUINN|DCHNONE", 4: "|DCSDOE|DDEN|DACJANE|DDFN|DADQUINN|DDGN"}
	for version := 1; version <= 11; version++ {
		for _, c := range []struct{ iin, country, dates string }{
			{"636000", "USA", "|DBD04162024|DBB08121984|DBA04152032"}, {"636012", "CAN", "|DBD20240416|DBB19840812|DBA20320415"},
		} {
			header, list := fmt.Sprintf("ANSI %s%02d0101", c.iin, version), "DAQT0012345|DBC2|DAG1 ELM ST|DAIANYTOWN|DAJVA|DAK00000"
			switch {
			case version == 1:
				header, list = fmt.Sprintf("ANSI %s0101", c.iin), list+names[1]+"|DBD20240416|DBB19840812|DBA20320415"
			case version <= 3:
				list += names[2] + c.dates
			default:
				list += names[4] + c.dates
			}
			if version > 1 {
				list += "|DCAD|DCBNONE|DCDNONE|DAU064 in|DAYBRO|DCF0001|DCG" + c.country
			}
			r, err := aamva.Parse(record(header, "DL", list))
			if err != nil {
				t.Errorf("version %d, %s: %v", version, c.country, err)
				continue
			}
			if r.Version != version || r.Issuer.Country != c.country || r.Surname != "DOE" || r.GivenNames != "JANE QUINN" || r.Number != "T0012345" ||
				r.BirthDate != day(1984, 8, 12) || r.IssueDate != day(2024, 4, 16) || r.ExpiryDate != day(2032, 4, 15) {
				t.Errorf("version %d, %s: %+v", version, c.country, r)
			}
			for _, id := range []string{"DAQ", "DBA", "DBB", "DBC", "DBD", "DAG", "DAI", "DAJ", "DAK"} {
				if r, err := aamva.Parse(record(header, "DL", without(list, id))); !errors.Is(err, aamva.ErrMalformed) {
					t.Errorf("version %d, %s, without %s: %+v, %v", version, c.country, id, r, err)
				}
			}
		}
	}
}

func TestParseRefuses(t *testing.T) {
	good := record(header10, "DL", tenth)
	cases := map[string]struct {
		data string
		want error
	}{
		"nothing":                               {"", aamva.ErrNoRecord},
		"some text":                             {"https://example.org/licence", aamva.ErrNoRecord},
		"cut off":                               {good[:20], aamva.ErrNoRecord},
		"too long":                              {good + strings.Repeat(" ", 5000), aamva.ErrNoRecord},
		"not UTF-8":                             {good + "\xff", aamva.ErrNoRecord},
		"no compliance":                         {good[1:], aamva.ErrNoRecord},
		"other file type":                       {strings.Replace(good, "ANSI ", "ISO  ", 1), aamva.ErrNoRecord},
		"magnetic stripe":                       {"%VAANYTOWN^DOE$JANE$^1 ELM ST^?;6360000012345=320419840812=?", aamva.ErrVersion},
		"version 0":                             {record("ANSI 636000000401", "DL", tenth), aamva.ErrVersion},
		"version of later":                      {record("ANSI 636000120401", "DL", tenth), aamva.ErrVersion},
		"unknown issuer":                        {record("ANSI 999999100401", "DL", tenth), aamva.ErrIssuer},
		"issuer of Mexico":                      {record("ANSI 636056100401", "DL", tenth), aamva.ErrIssuer},
		"no subfile":                            {strings.Replace(good, "DL", "ZV", 1), aamva.ErrMalformed},
		"no entries":                            {strings.Replace(good, header10, "ANSI 636000100400", 1), aamva.ErrMalformed},
		"many entries":                          {strings.Replace(good, header10, "ANSI 636000100499", 1), aamva.ErrMalformed},
		"offset outside":                        {strings.Replace(good, "DL0031", "DL9031", 1), aamva.ErrMalformed},
		"offset in the header":                  {strings.Replace(good, "DL0031", "DL0005", 1), aamva.ErrMalformed},
		"offset elsewhere":                      {strings.Replace(good, "DL0031", "DL0033", 1), aamva.ErrMalformed},
		"offset no number":                      {strings.Replace(good, "DL0031", "DL-031", 1), aamva.ErrMalformed},
		"element with no id":                    {record(header10, "DL", tenth+"|9"), aamva.ErrMalformed},
		"control character":                     {record(header10, "DL", with(tenth, "DCSDO\x07E")), aamva.ErrMalformed},
		"two surnames":                          {record(header10, "DL", tenth+"|DCSROE"), aamva.ErrMalformed},
		"endless value":                         {record(header10, "DL", with(tenth, "DCS"+strings.Repeat("A", 201))), aamva.ErrMalformed},
		"surname NONE":                          {record(header10, "DL", with(tenth, "DCSNONE")), aamva.ErrMalformed},
		"number unavl":                          {record(header10, "DL", with(tenth, "DAQunavl")), aamva.ErrMalformed},
		"other country":                         {record(header10, "DL", with(tenth, "DCGCAN")), aamva.ErrMalformed},
		"sex":                                   {record(header10, "DL", with(tenth, "DBC7")), aamva.ErrMalformed},
		"truncation":                            {record(header10, "DL", with(tenth, "DDEY")), aamva.ErrMalformed},
		"state":                                 {record(header10, "DL", with(tenth, "DAJVirginia")), aamva.ErrMalformed},
		"year first in the United States":       {record(header10, "DL", with(tenth, "DBB19840812")), aamva.ErrMalformed},
		"no such day":                           {record(header10, "DL", with(tenth, "DBB02301984")), aamva.ErrMalformed},
		"year 1800":                             {record(header10, "DL", with(tenth, "DBB02281800")), aamva.ErrMalformed},
		"no expiry":                             {record(header10, "DL", with(tenth, "DBANONE")), aamva.ErrMalformed},
		"no eyes in the United States":          {record(header10, "DL", without(tenth, "DAY")), aamva.ErrMalformed},
		"version 3 with the names of version 4": {record("ANSI 636000030401", "DL", tenth+"|DCHNONE"), aamva.ErrMalformed},
		"version 1 without a comma":             {record("ANSI 6360030101", "DL", "DAQ1|DAAJANE DOE|DAG1|DAIA|DAJMD|DAK0|DBA20320415|DBB19840812|DBC2|DBD20240416"), aamva.ErrMalformed},
	}
	for _, e := range strings.Split(tenth, "|") {
		cases["without "+e[:3]] = struct {
			data string
			want error
		}{record(header10, "DL", without(tenth, e[:3])), aamva.ErrMalformed}
		cases["empty "+e[:3]] = struct {
			data string
			want error
		}{record(header10, "DL", with(tenth, e[:3]+"  ")), aamva.ErrMalformed}
	}
	for name, c := range cases {
		t.Run(name, func(t *testing.T) {
			r, err := aamva.Parse(c.data)
			if !errors.Is(err, c.want) || r != nil && err == nil {
				t.Errorf("%v, want %v", err, c.want)
			}
			for _, personal := range []string{"DOE", "JANE", "T0012345", "1984"} {
				if err != nil && strings.Contains(err.Error(), personal) {
					t.Errorf("personal data in the error: %v", err)
				}
			}
		})
	}
}

func TestContradictions(t *testing.T) {
	now := time.Date(2026, 3, 1, 15, 0, 0, 0, time.UTC)
	for name, c := range map[string]struct {
		change func(*aamva.Record)
		want   string
	}{
		"all in order":                {func(r *aamva.Record) {}, ""},
		"expired is no contradiction": {func(r *aamva.Record) { r.ExpiryDate = day(2025, 1, 1) }, ""},
		"born after issue":            {func(r *aamva.Record) { r.BirthDate = day(2025, 1, 1) }, "birth"},
		"issued as it expires":        {func(r *aamva.Record) { r.ExpiryDate = r.IssueDate }, "expiry"},
		"issued in the future":        {func(r *aamva.Record) { r.IssueDate = day(2026, 3, 3) }, "future"},
		"issued today in Guam":        {func(r *aamva.Record) { r.IssueDate = day(2026, 3, 2) }, ""},
		"issued at 13":                {func(r *aamva.Record) { r.BirthDate = day(2010, 4, 17) }, "14"},
		"issued on the 14th birthday": {func(r *aamva.Record) { r.BirthDate = day(2010, 4, 16) }, ""},
		"identity card of a child":    {func(r *aamva.Record) { r.BirthDate, r.Kind = day(2020, 4, 17), aamva.IDCard }, ""},
		"120 years old":               {func(r *aamva.Record) { r.BirthDate = day(1904, 4, 16) }, "120"},
	} {
		t.Run(name, func(t *testing.T) {
			r := aamva.Record{Kind: aamva.License, BirthDate: day(1984, 8, 12), IssueDate: day(2024, 4, 16), ExpiryDate: day(2032, 4, 15)}
			c.change(&r)
			got := strings.Join(r.Contradictions(now), ", ")
			if (c.want == "") != (got == "") || !strings.Contains(got, c.want) {
				t.Errorf("%q, want %q", got, c.want)
			}
		})
	}
}

// FuzzParse: whatever a barcode says, nothing breaks, and what is accepted holds
// what a record must.
func FuzzParse(f *testing.F) {
	f.Add(record(header10, "DL", tenth))
	f.Add(record("ANSI 6360030101", "DL", "DAQ1|DAADOE,J,|DAG1|DAIA|DAJMD|DAK0|DBA20320415|DBB19840812|DBC2|DBD20240416"))
	f.Add(record("ANSI 636012030401", "ID", "DCTA,B|DCSC"))
	f.Add("@\n\x1e\rANSI 636000100402DL00000000ZV00000000")
	f.Fuzz(func(t *testing.T, data string) {
		r, err := aamva.Parse(data)
		if err != nil {
			return
		}
		if r.Number == "" || r.Surname == "" || r.Issuer.Country == "" || r.BirthDate.IsZero() || r.ExpiryDate.IsZero() || r.IssueDate.IsZero() ||
			r.Version < 1 || r.Version > 11 || r.Kind != aamva.License && r.Kind != aamva.IDCard || !strings.Contains("FMX", r.Sex) {
			t.Errorf("accepted: %+v", r)
		}
		r.Contradictions(day(2026, 3, 1))
	})
}
