package engine

import (
	"context"
	"fmt"
	"image"
	"strings"
	"time"
	"unicode"

	"golang.org/x/text/unicode/norm"

	"github.com/kosmoscope/kosmoscope/internal/engine/aamva"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// PrintedLine is a line of printed text, with the mean probability of its
// characters.
type PrintedLine struct {
	Text       string
	Confidence float64
}

// PrintedReader reads what is printed on a straightened card that is the right way
// up. Errors are the context's, or of a reader that broke.
type PrintedReader interface {
	ReadPrinted(ctx context.Context, card *image.RGBA) ([]PrintedLine, error)
	Models() []api.Model
}

// clearly is the confidence from which a line may contradict the barcode. To agree
// with it no confidence is asked: what is found there letter by letter was not
// found by chance.
const clearly = 0.9

// leastNumber is the least length of a document number that is not found by chance.
const leastNumber = 5

// comparePrinted is the check barcode_printed: the document number, the date of
// birth and the surname of the barcode must all be found on the front. Number or
// date of another person's, clearly read, fail it. What is neither found nor
// contradicted cannot be told.
func comparePrinted(rec *aamva.Record, lines []PrintedLine) finding {
	number, birth, surname := false, false, false
	wantNumber, wantName := alike(rec.Number), alike(rec.Surname)
	for _, l := range lines {
		text := alike(l.Text)
		number = number || len(wantNumber) >= leastNumber && strings.Contains(text, wantNumber)
		surname = surname || wantName != "" && strings.Contains(text, wantName)
		for _, d := range written(rec.BirthDate) {
			birth = birth || strings.Contains(text, alike(d))
		}
	}
	if number && birth && surname {
		return finding{outcome: api.Pass, detail: "The document number, the date of birth and the surname of the barcode are printed on the front."}
	}
	for _, l := range lines {
		if l.Confidence < clearly {
			continue
		}
		if what := contradiction(rec, l.Text, number, birth); what != "" {
			return finding{outcome: api.Fail, reason: api.ReasonBarcodeMismatch, detail: "The front shows another " + what + " than the barcode says."}
		}
	}
	var missing []string
	for _, m := range []struct {
		found bool
		what  string
	}{{number, "document number"}, {birth, "date of birth"}, {surname, "surname"}} {
		if !m.found {
			missing = append(missing, m.what)
		}
	}
	return finding{outcome: api.CannotTell, reason: api.ReasonDocumentAgain, detail: "On the front this could not be found as the barcode says it: " + strings.Join(missing, ", ") + ". Another photo of the front is needed, sharp and without reflections."}
}

// contradiction looks for another date of birth or number in a line. A date is one
// of birth if the holder would have been 14 or older at issue.
func contradiction(rec *aamva.Record, line string, number, birth bool) string {
	for _, word := range strings.FieldsFunc(line, func(c rune) bool { return unicode.IsSpace(c) || c == ':' }) {
		if !birth {
			for _, layout := range []string{"01/02/2006", "01-02-2006", "2006/01/02", "2006-01-02"} {
				if d, err := time.Parse(layout, word); err == nil && d.Year() >= 1900 && !d.AddDate(14, 0, 0).After(rec.IssueDate) {
					return "date of birth"
				}
			}
		}
		if !number && len(word) >= 7 && shape(word) == shape(rec.Number) && alike(word) != alike(rec.Number) {
			return "document number"
		}
	}
	return ""
}

// shape is a number with every letter an A and every digit a 0.
func shape(s string) string {
	return strings.Map(func(c rune) rune {
		switch {
		case c >= '0' && c <= '9':
			return '0'
		case unicode.IsLetter(c):
			return 'A'
		}
		return c
	}, s)
}

// written are the ways in which a date is usually printed, without what separates
// its parts.
func written(d time.Time) []string {
	month := strings.ToUpper(d.Format("Jan"))
	return []string{d.Format("01022006"), d.Format("20060102"), d.Format("02012006"),
		fmt.Sprintf("%02d%s%d", d.Day(), month, d.Year()), fmt.Sprintf("%s%02d%d", month, d.Day(), d.Year()), fmt.Sprintf("%d%s%02d", d.Year(), month, d.Day())}
}

// alike brings text into a form in which the reader's usual mistakes make no
// difference: capitals without accents, letters and digits only, and the letters
// that look like digits as those.
func alike(s string) string {
	return strings.Map(func(c rune) rune {
		switch c = unicode.ToUpper(c); {
		case c == 'O' || c == 'Q' || c == 'D':
			return '0'
		case c == 'I' || c == 'L':
			return '1'
		case c == 'Z':
			return '2'
		case c == 'S':
			return '5'
		case c == 'B':
			return '8'
		case unicode.IsLetter(c) || unicode.IsDigit(c):
			return c
		}
		return -1
	}, norm.NFD.String(s))
}
