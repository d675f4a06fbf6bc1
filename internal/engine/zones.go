package engine

import (
	"errors"
	"image"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/mrz"
)

// zoneReader is ZoneReader over package mrz.
type zoneReader struct{}

func (zoneReader) ReadZone(img *image.RGBA, now time.Time) (*Zone, error) {
	res, err := mrz.Read(img, now)
	if errors.Is(err, mrz.ErrNotFound) {
		return nil, ErrNoZone
	}
	if errors.Is(err, mrz.ErrFormat) {
		return nil, ErrUnknownZone
	}
	if err != nil {
		return nil, err
	}
	f := res.Fields
	z := &Zone{DigitsOK: res.DigitsOK, Corners: res.Quad, Document: api.Document{
		Type: api.IDCard, Format: res.Format, IssuingCountry: f.Issuer, Number: f.Number,
		Surname: f.Surname, GivenNames: f.GivenNames, Nationality: f.Nationality,
		BirthDate: f.BirthDate, Sex: f.Sex, ExpiryDate: f.ExpiryDate, PersonalNumber: f.PersonalNumber,
		MRZ: slices.Clone(res.Lines),
	}}
	if res.Format == mrz.TD3 {
		z.Document.Type = api.Passport
	}
	for _, d := range res.Digits {
		if !d.OK {
			z.WrongDigits = append(z.WrongDigits, d.Name)
		}
	}
	// A date of which the issuer knows only a part is as it should be.
	z.Unsure = slices.ContainsFunc(res.Problems, func(p mrz.Problem) bool { return p.Kind != mrz.ProblemPartial })
	return z, nil
}
