package engine

import (
	"context"
	"errors"
	"image"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/aamva"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Errors of BarcodeReader: a picture without a symbol, and one that cannot be read.
var (
	ErrNoBarcode         = errors.New("engine: no barcode")
	ErrBarcodeUnreadable = errors.New("engine: barcode cannot be read")
)

// BarcodeReader reads the PDF417 symbol in a picture. Errors are ErrNoBarcode,
// ErrBarcodeUnreadable, and the context's.
type BarcodeReader interface {
	ReadBarcode(ctx context.Context, img *image.RGBA) (string, error)
	Model() api.Model
}

// formatAAMVA is what a report says for a document with such a barcode.
const formatAAMVA = "AAMVA"

var noBarcodes = finding{outcome: api.CannotTell, reason: api.ReasonModelsMissing, detail: "The engine has nothing to read barcodes with."}

// onlyLicences says that nothing with a machine-readable zone was asked for.
func onlyLicences(types []string) bool {
	return len(types) > 0 && !slices.Contains(types, api.Passport) && !slices.Contains(types, api.IDCard)
}

// asLicence puts the checks on a barcode in the place of those on a zone. What is
// printed is compared at the end, if there is a reader for it.
func (r *run) asLicence() {
	var names []string
	for _, n := range r.names {
		switch n {
		case api.CheckMRZ:
			n = api.CheckBarcode
		case api.CheckMRZDigits:
			n = api.CheckBarcodeFields
		}
		names = append(names, n)
		if n == api.CheckDocumentPortrait && r.v.cfg.Printed != nil && !slices.Contains(r.names, api.CheckBarcodePrinted) {
			names = append(names, api.CheckBarcodePrinted)
		}
	}
	r.names = names
}

// licence carries out the checks on a driving licence, or another card with the
// AAMVA barcode, of the United States or Canada: the barcode is on the back and the
// portrait on the front, which is found on a card's outline as that of a TD1 card.
// more are further photos of the back.
//
// Where a zone would do as well, only a barcode that was read makes it a licence;
// otherwise handled is false and nothing was reported.
//
// A barcode is text without a signature, and whoever can print one can print a front
// that agrees with it. The error is the context's.
func (r *run) licence(ctx context.Context, types []string, sides []side, more [][]byte) (face *Face, handled bool, err error) {
	alone := onlyLicences(types)
	if !alone && (len(sides) < 2 || len(types) > 0 && !slices.Contains(types, api.DriversLicense) && !slices.Contains(types, api.IDCard)) {
		return nil, false, nil
	}
	start := time.Now()
	text, f, err := r.barcode(ctx, sides, more, alone)
	if err != nil || f.outcome != api.Pass && !alone {
		return nil, false, err
	}
	r.check(api.CheckBarcode, func() finding { return f })
	r.took[api.CheckBarcode] = time.Since(start)
	r.asLicence()
	var rec *aamva.Record
	if f.outcome == api.Pass {
		rec = r.judgeBarcode(text, types)
	}
	r.judgeCapture(sides, nil, f.outcome == api.Fail)
	r.check(api.CheckDocumentPortrait, func() finding {
		var f finding
		face, f = r.findPortrait(ctx, sides)
		return f
	})
	if rec != nil && r.card != nil && r.v.cfg.Printed != nil && ctx.Err() == nil {
		r.check(api.CheckBarcodePrinted, func() finding {
			lines, err := r.v.cfg.Printed.ReadPrinted(ctx, r.card)
			if err != nil && ctx.Err() == nil {
				return r.internal(api.CheckBarcodePrinted, err)
			}
			return comparePrinted(rec, lines)
		})
	}
	return face, true, ctx.Err()
}

// barcode reads the symbol, on the back first; on the front and on further photos
// only where a licence must be one. The error is the context's.
func (r *run) barcode(ctx context.Context, sides []side, more [][]byte, alone bool) (text string, f finding, err error) {
	if r.v.cfg.Barcodes == nil {
		return "", noBarcodes, nil
	}
	seen := false // something like a symbol
	read := func(img *image.RGBA) bool {
		var broken error
		text, broken = r.v.cfg.Barcodes.ReadBarcode(ctx, img)
		switch {
		case broken == nil:
			f = finding{outcome: api.Pass, detail: "The barcode was read. It is plain text without a signature: this is data read, not authenticated, and whoever has a printer can make such a barcode."}
			return true
		case ctx.Err() != nil:
			err = ctx.Err()
			return true
		case errors.Is(broken, ErrBarcodeUnreadable):
			seen = true
		case !errors.Is(broken, ErrNoBarcode):
			f = r.internal(api.CheckBarcode, broken)
			return true
		}
		return false
	}
	for i := len(sides) - 1; i >= 0; i-- {
		if read(sides[i].img) {
			return text, f, err
		}
		if !alone {
			return "", finding{outcome: api.Fail}, nil
		}
	}
	for _, b := range more {
		s, broken := r.photo(ctx, b)
		if f, ok := pictureFinding(broken); ok {
			return "", f, nil
		}
		if broken != nil {
			return "", finding{}, broken
		}
		r.examined(api.Evidence{Type: "document"}, b)
		if read(s.img) {
			return text, f, err
		}
	}
	if seen {
		return "", finding{outcome: api.Fail, reason: api.ReasonBarcodeUnreadable, detail: "A barcode was found on the back, but it could not be read; come closer, hold still and avoid reflections."}, nil
	}
	return "", finding{outcome: api.Fail, reason: api.ReasonBarcodeNotFound, detail: "No barcode was found; photograph the whole back of the licence, flat and close."}, nil
}

// judgeBarcode carries out the checks on what the barcode says, and gives it, or nil.
func (r *run) judgeBarcode(text string, types []string) (rec *aamva.Record) {
	r.check(api.CheckBarcodeFields, func() finding {
		var err error
		if rec, err = aamva.Parse(text); err != nil {
			return unparsed(err)
		}
		return finding{outcome: api.Pass, detail: "Every element that the standard wants is there and well-formed."}
	})
	if rec == nil {
		return nil
	}
	d := licenceDocument(rec)
	r.read = &d
	for i := range r.evidence {
		r.evidence[i].DocumentType, r.evidence[i].Format, r.evidence[i].Country = d.Type, d.Format, d.IssuingCountry
	}
	r.check(api.CheckDocumentType, func() finding {
		if len(types) > 0 && !slices.Contains(types, d.Type) {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentType, detail: "This is another type of document than was asked for."}
		}
		return finding{outcome: api.Pass, detail: "The document is of a type that was asked for."}
	})
	now := r.v.cfg.Now().UTC()
	r.check(api.CheckDocumentExpiry, func() finding {
		// Valid to the end of that day, UTC.
		if !now.Before(rec.ExpiryDate.AddDate(0, 0, 1)) {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentExpired, detail: "The document has expired."}
		}
		return finding{outcome: api.Pass, detail: "The document has not expired."}
	})
	r.check(api.CheckDocumentRules, func() finding {
		if wrong := rec.Contradictions(now); len(wrong) > 0 {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentImplausible, detail: "What the barcode says cannot be: " + strings.Join(wrong, "; ") + "."}
		}
		return finding{outcome: api.Pass, detail: "Dates, age and issuer are plausible."}
	})
	return rec
}

// unparsed is a barcode that is no record, or not one that can be used.
func unparsed(err error) finding {
	switch {
	case errors.Is(err, aamva.ErrIssuer):
		return finding{outcome: api.Fail, reason: api.ReasonDocumentUnsupported, detail: "The barcode's issuer is none of the United States or Canada."}
	case errors.Is(err, aamva.ErrVersion):
		return finding{outcome: api.Fail, reason: api.ReasonDocumentUnsupported, detail: "The barcode is of a version of the standard that this engine does not read."}
	case errors.Is(err, aamva.ErrMalformed):
		_, what, _ := strings.Cut(err.Error(), aamva.ErrMalformed.Error()+": ")
		return finding{outcome: api.Fail, reason: api.ReasonBarcodeUnreadable, detail: "The barcode is not as the standard wants it: " + what + "."}
	}
	return finding{outcome: api.Fail, reason: api.ReasonBarcodeUnreadable, detail: "The barcode is not that of a driving licence of the United States or Canada."}
}

// licenceDocument is what a report says of a record. A licence states no
// nationality.
func licenceDocument(rec *aamva.Record) api.Document {
	d := api.Document{
		Type: api.DriversLicense, Format: formatAAMVA, IssuingCountry: rec.Issuer.Country, Jurisdiction: rec.Issuer.Code,
		Number: rec.Number, Surname: rec.Surname, GivenNames: rec.GivenNames, Sex: rec.Sex,
		BirthDate: rec.BirthDate.Format(time.DateOnly), IssueDate: rec.IssueDate.Format(time.DateOnly), ExpiryDate: rec.ExpiryDate.Format(time.DateOnly),
		Street: rec.Street, City: rec.City, PostalCode: rec.PostalCode, MRZ: []string{},
	}
	if rec.Kind == aamva.IDCard {
		d.Type = api.IDCard
	}
	return d
}
