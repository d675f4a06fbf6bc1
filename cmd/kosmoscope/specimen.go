package main

import (
	"fmt"
	"image"
	_ "image/jpeg" // portraits come as JPEG or PNG
	_ "image/png"
	"os"
	"path/filepath"

	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

type specimenCmd struct {
	Out             string `required:"" type:"path" placeholder:"FILE" help:"JPEG to write. A card's back goes beside it, as NAME-back.jpg."`
	Portrait        string `type:"existingfile" placeholder:"FILE" help:"Picture to print as the portrait (JPEG or PNG); a grey silhouette without it."`
	Kind            string `enum:"passport,id_card,residence_permit" default:"passport" help:"What to render: ${enum}."`
	Surname         string `help:"Instead of the specimen's."`
	GivenNames      string `help:"Instead of the specimen's."`
	Number          string `help:"Document number instead of the specimen's."`
	BirthDate       string `placeholder:"YYYY-MM-DD" help:"Instead of the specimen's."`
	ExpiryDate      string `placeholder:"YYYY-MM-DD" help:"Instead of the specimen's."`
	NoMRZ           bool   `name:"no-mrz" help:"Leave the machine-readable zone away."`
	AlterCheckDigit string `placeholder:"FIELD" help:"Print this check digit wrong: document_number, birth_date, expiry_date, personal_number or composite."`
	PhotoLevel      int    `default:"1" help:"Simulate a photo of it: 0 flat scan, 1 mild, 2 medium, 3 hard."`
	Seed            uint64 `default:"1" help:"Which simulated photo."`
}

// Help is shown under the command's flags.
func (specimenCmd) Help() string {
	return `The documents are of Utopia (UTO), a country that does not exist, and say SPECIMEN.
They are for trying and testing; they are not made to look like any real document.`
}

func (c *specimenCmd) Run(s *streams) error {
	var portrait image.Image
	if c.Portrait != "" {
		f, err := os.Open(c.Portrait)
		if err != nil {
			return err
		}
		defer f.Close()
		if portrait, _, err = image.Decode(f); err != nil {
			return fmt.Errorf("%s: %w", c.Portrait, err)
		}
	}
	d := map[string]func(image.Image) specimen.Document{
		specimen.KindPassport: specimen.Passport, specimen.KindIDCard: specimen.IDCard, specimen.KindResidencePermit: specimen.ResidencePermit,
	}[c.Kind](portrait)
	for _, f := range []struct {
		field *string
		value string
	}{
		{&d.Surname, c.Surname},
		{&d.GivenNames, c.GivenNames},
		{&d.Number, c.Number},
		{&d.BirthDate, c.BirthDate},
		{&d.ExpiryDate, c.ExpiryDate},
	} {
		if f.value != "" {
			*f.field = f.value
		}
	}
	d.NoMRZ, d.AlterCheckDigit = c.NoMRZ, c.AlterCheckDigit
	front, back := d.Render()
	write := func(path string, img image.Image) error {
		if c.PhotoLevel > 0 {
			img = specimen.Photograph(img, c.PhotoLevel, c.Seed)
		}
		fmt.Fprintln(s.out, path)
		return os.WriteFile(path, specimen.JPEG(img, 90), 0o644)
	}
	if back != nil {
		ext := filepath.Ext(c.Out)
		if err := write(c.Out[:len(c.Out)-len(ext)]+"-back"+ext, back); err != nil {
			return err
		}
	}
	return write(c.Out, front)
}
