package specimen

import (
	"fmt"
	"image"
	"image/color"
	"math"
	"strings"

	"golang.org/x/image/draw"
)

// Kinds of driving licences, for a list of kinds.
const (
	KindUSLicence = "us_license" // AAMVA version 10, dates MMDDCCYY
	KindCALicence = "ca_license" // AAMVA version 10, dates CCYYMMDD
)

// Licence is a driving licence with a PDF417 symbol on its back. Of the embedded
// document Kind, Surname, GivenNames, Number, BirthDate, IssueDate, ExpiryDate,
// Sex, Portrait and Ghost count. All of it is made up; the issuer's number is that
// of a real state or province, because a reader knows no other, but nothing
// printed looks like that issuer's card.
type Licence struct {
	Document
	Issuer       string // issuer identification number, six digits
	Jurisdiction string // of the address, two letters
	Street, City string
	PostalCode   string
}

// USLicence returns a complete, valid licence. Change the fields you care about.
func USLicence(portrait image.Image) Licence {
	d := Passport(portrait)
	d.Kind, d.Number, d.Issuer = KindUSLicence, "S64235789", "USA"
	return Licence{Document: d, Issuer: "636000", Jurisdiction: "VA", Street: "1 SPECIMEN LANE", City: "ANYTOWN", PostalCode: "00000"}
}

// CALicence is USLicence's sibling from Canada.
func CALicence(portrait image.Image) Licence {
	d := Passport(portrait)
	d.Kind, d.Number, d.Issuer = KindCALicence, "S1234-56789-01234", "CAN"
	return Licence{Document: d, Issuer: "636012", Jurisdiction: "ON", Street: "1 SPECIMEN LANE", City: "ANYTOWN", PostalCode: "X0X 0X0"}
}

// AAMVA is what the symbol says: a record of version 10 with the subfile DL
// (AAMVA DL/ID Card Design Standard 2020, annex D).
func (l Licence) AAMVA() string {
	date := func(iso string) string { // YYYY-MM-DD
		y, rest, _ := strings.Cut(iso, "-")
		rest = strings.ReplaceAll(rest, "-", "")
		if l.Kind == KindCALicence {
			return y + rest
		}
		return rest + y
	}
	given, middle, _ := strings.Cut(strings.ToUpper(l.GivenNames), " ")
	if middle == "" {
		middle = "NONE"
	}
	country, height := "USA", "067 in"
	if l.Kind == KindCALicence {
		country, height = "CAN", "170 cm"
	}
	elements := [][2]string{
		{"DAQ", l.Number}, {"DCS", strings.ToUpper(l.Surname)}, {"DDE", "N"}, {"DAC", given}, {"DDF", "N"}, {"DAD", middle}, {"DDG", "N"},
		{"DCA", "D"}, {"DCB", "NONE"}, {"DCD", "NONE"},
		{"DBD", date(l.IssueDate)}, {"DBB", date(l.BirthDate)}, {"DBA", date(l.ExpiryDate)},
		{"DBC", map[string]string{"M": "1", "F": "2", "X": "9"}[l.Sex]}, {"DAU", height}, {"DAY", "BRO"},
		{"DAG", l.Street}, {"DAI", l.City}, {"DAJ", l.Jurisdiction}, {"DAK", fmt.Sprintf("%-11s", l.PostalCode)},
		{"DCF", "SPECIMEN0000000001"}, {"DCG", country}, {"DDA", "N"}, {"DDB", date("2019-06-06")},
	}
	var b strings.Builder
	for i, e := range elements {
		if i > 0 {
			b.WriteByte('\n')
		}
		b.WriteString(e[0] + e[1])
	}
	file := "DL" + b.String() + "\r"
	header := "@\n\x1e\rANSI " + l.Issuer + "10" + "00" + "01"
	return header + fmt.Sprintf("DL%04d%04d", len(header)+10, len(file)) + file
}

// Render draws both sides, Width pixels wide. symbol is the PDF417 symbol of
// AAMVA, without a quiet zone; a nil one leaves its place empty.
func (l Licence) Render(symbol image.Image) (front, back image.Image) {
	sheetOf := func(side uint64) *sheet {
		d := l.Document
		d.Kind = KindIDCard // the same card, ID-1
		return newSheet(d, side)
	}
	p := sheetOf(1)
	const k = 54.0 / 88
	p.fill(0, 0, p.w, 9*k, color.NRGBA{120, 60, 40, 60})
	p.text("SPECIMEN LICENCE", 5*k, 6.5*k, 4.5*k, true)
	p.text("of no state", 62*k, 6.3*k, 3.4*k, false)
	box := p.rect(4*k, 16*k, 42*k, 54*k)
	if l.Portrait != nil {
		draw.CatmullRom.Scale(p.img, box, l.Portrait, fit(l.Portrait.Bounds(), box), draw.Src, nil)
	} else {
		draw.Draw(p.img, box, image.NewUniform(color.NRGBA{200, 200, 200, 255}), image.Point{}, draw.Src)
	}
	date := func(iso string) string { // as it is usually printed there
		f := strings.Split(iso, "-")
		if len(f) != 3 {
			return iso
		}
		if l.Kind == KindCALicence {
			return strings.Join(f, "/")
		}
		return f[1] + "/" + f[2] + "/" + f[0]
	}
	y := 15 * k
	for _, row := range [][2]string{
		{"4d DLN", l.Number},
		{"1 Surname", strings.ToUpper(l.Surname)},
		{"2 Given names", strings.ToUpper(l.GivenNames)},
		{"8 Address", l.Street + ", " + l.City},
		{"3 Date of birth", date(l.BirthDate)},
		{"4a Issued", date(l.IssueDate)},
		{"4b Expires", date(l.ExpiryDate)},
		{"15 Sex", l.Sex},
	} {
		p.textIn(row[0], 52*k, y, 1.9*k, false, color.NRGBA{120, 70, 50, 255})
		p.text(row[1], 52*k, y+3.8*k, 3.6*k, true)
		y += 8.6 * k
	}
	p.textIn("SPECIMEN", p.w*0.40, 0.64*p.h, 11*k, true, color.NRGBA{190, 40, 40, 70})
	p.textIn("SPECIMEN", p.w-34*k, 12.6*k, 4*k, true, color.NRGBA{190, 40, 40, 220})

	q := sheetOf(2)
	q.text("Licence of a state that does not exist.", 4, 6, 2.2, false)
	q.text("SPECIMEN - no value as a document", 4, 10, 2.2, true)
	q.symbol(symbol)
	return p.img, q.img
}

// symbol prints a PDF417 symbol on white, 67 mm wide as on many licences, in the
// lower part of the sheet.
func (s *sheet) symbol(symbol image.Image) {
	const wide, quiet = 67.3, 1.0
	if symbol == nil {
		return
	}
	b := symbol.Bounds()
	high := min(wide*float64(b.Dy())/float64(b.Dx()), s.h-16)
	x, y := (s.w-wide)/2, s.h-6-high
	s.fill(x-quiet, y-quiet, wide+2*quiet, high+2*quiet, color.NRGBA{250, 250, 250, 255})
	at := image.Rect(int(x*s.px), int(y*s.px), int(math.Round((x+wide)*s.px)), int(math.Round((y+high)*s.px)))
	draw.CatmullRom.Scale(s.img, at, symbol, b, draw.Src, nil)
}
