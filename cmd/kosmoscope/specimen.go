package main

import (
	"context"
	"fmt"
	"image"
	_ "image/jpeg" // portraits come as JPEG or PNG
	_ "image/png"
	"os"
	"path/filepath"

	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

type specimenCmd struct {
	Out             string `required:"" xor:"to" type:"path" placeholder:"FILE" help:"JPEG to write; a card's back goes beside it, as NAME-back.jpg. For head and flat a folder."`
	Dataset         string `required:"" xor:"to" type:"path" placeholder:"DIR" help:"Write a whole labelled folder for kosmoscope engine eval instead."`
	Portrait        string `type:"existingfile" placeholder:"FILE" help:"Picture to print as the portrait (JPEG or PNG); a grey silhouette without it. For head and flat the face."`
	Kind            string `enum:"passport,id_card,residence_permit,us_license,ca_license,head,flat" default:"passport" help:"What to render: ${enum}. The last two are the frames of a head that turns, blinks and comes closer, and of a picture that is held up and turned in its place."`
	Surname         string `help:"Instead of the specimen's."`
	GivenNames      string `help:"Instead of the specimen's."`
	Number          string `help:"Document number instead of the specimen's."`
	BirthDate       string `placeholder:"YYYY-MM-DD" help:"Instead of the specimen's."`
	ExpiryDate      string `placeholder:"YYYY-MM-DD" help:"Instead of the specimen's."`
	IssueDate       string `placeholder:"YYYY-MM-DD" help:"Instead of the specimen's."`
	NoMRZ           bool   `name:"no-mrz" help:"Leave the machine-readable zone, or a licence's barcode, away."`
	AlterCheckDigit string `placeholder:"FIELD" help:"Print this check digit wrong: document_number, birth_date, expiry_date, personal_number or composite."`
	PhotoLevel      int    `default:"1" help:"Simulate a photo of it: 0 flat scan, 1 mild, 2 medium, 3 hard."`
	Seed            uint64 `default:"1" help:"Which simulated photo, or folder."`
	Models          string `type:"path" env:"KOSMOSCOPE_MODELS" help:"Folder of the checked models, which draw a licence's barcode and find the face of a head (default: models beside the program)."`

	Count   int      `default:"2" help:"With --dataset: documents of each kind at each level and cases of each attack; pictures of each face are one more."`
	Parts   []string `placeholder:"PART" help:"With --dataset: only these of faces, documents, attacks, bona_fide."`
	Species []string `placeholder:"SPECIES" help:"With --dataset: only these attacks."`
	Few     bool     `help:"With --dataset: a few faces, photos of one level, two attacks; half a minute's work."`
}

// Help is shown under the command's flags.
func (specimenCmd) Help() string {
	return `The documents are of Utopia (UTO), a country that does not exist, and say SPECIMEN.
They are for trying and testing; they are not made to look like any real document.
A driving licence's barcode names a real issuer, because readers know no other, and
nobody's data.

A head is rendered from one picture. Liveness that takes it for a person was deceived:
that is what such frames are for.`
}

func (c *specimenCmd) Run(ctx context.Context, s *streams) error {
	if c.Dataset != "" {
		return c.dataset(ctx, s)
	}
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
	if c.Kind == "head" || c.Kind == "flat" {
		return c.frames(ctx, s, portrait)
	}
	front, back, err := c.render(ctx, portrait)
	if err != nil {
		return err
	}
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

// render draws both sides; the back is nil where there is none.
func (c *specimenCmd) render(ctx context.Context, portrait image.Image) (front, back image.Image, err error) {
	switch c.Kind {
	case specimen.KindUSLicence, specimen.KindCALicence:
		l := specimen.USLicence(portrait)
		if c.Kind == specimen.KindCALicence {
			l = specimen.CALicence(portrait)
		}
		c.change(&l.Document)
		if c.NoMRZ {
			front, back = l.Render(nil)
			return front, back, nil
		}
		symbol, err := c.symbol(ctx, l.AAMVA())
		if err != nil {
			return nil, nil, err
		}
		front, back = l.Render(symbol)
		return front, back, nil
	}
	d := map[string]func(image.Image) specimen.Document{
		specimen.KindPassport: specimen.Passport, specimen.KindIDCard: specimen.IDCard, specimen.KindResidencePermit: specimen.ResidencePermit,
	}[c.Kind](portrait)
	c.change(&d)
	d.NoMRZ, d.AlterCheckDigit = c.NoMRZ, c.AlterCheckDigit
	front, back = d.Render()
	return front, back, nil
}

// change puts what was asked for in the place of the specimen's own.
func (c *specimenCmd) change(d *specimen.Document) {
	for _, f := range []struct {
		field *string
		value string
	}{
		{&d.Surname, c.Surname},
		{&d.GivenNames, c.GivenNames},
		{&d.Number, c.Number},
		{&d.BirthDate, c.BirthDate},
		{&d.IssueDate, c.IssueDate},
		{&d.ExpiryDate, c.ExpiryDate},
	} {
		if f.value != "" {
			*f.field = f.value
		}
	}
}

// symbol draws the barcode of a licence with the engine's reader of barcodes.
func (c *specimenCmd) symbol(ctx context.Context, text string) (image.Image, error) {
	dir, err := modelsDir(c.Models)
	if err != nil {
		return nil, err
	}
	cache, err := models.Open(dir)
	if err != nil {
		return nil, hint(err, "run make build, or leave the barcode away with --no-mrz")
	}
	path, _, err := cache.Model("rxing")
	if err != nil {
		return nil, err
	}
	r := barcode.Open(path)
	defer r.Close()
	return r.Encode(ctx, text, 5)
}
