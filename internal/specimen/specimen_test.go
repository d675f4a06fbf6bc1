package specimen_test

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"testing"

	"golang.org/x/image/font"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"

	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// The lines of the passport are those of Doc 9303-4, appendix B, with another expiry date.
func TestMRZ(t *testing.T) {
	d := specimen.Passport(nil)
	d.ExpiryDate = "2012-04-15"
	if got, want := d.MRZ(), []string{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F1204159ZE184226B<<<<<10"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	c := specimen.IDCard(nil)
	c.ExpiryDate = "2012-04-15"
	if got, want := c.MRZ(), []string{"I<UTOD231458907<<<<<<<<<<<<<<<", "7408122F1204159UTO<<<<<<<<<<<6", "ERIKSSON<<ANNA<MARIA<<<<<<<<<<"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	r := specimen.ResidencePermit(nil)
	r.ExpiryDate = "2012-04-15"
	if got, want := r.MRZ(), []string{"I<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<", "D231458907UTO7408122F1204159<<<<<<<6"}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	c.NoMRZ = true
	if c.MRZ() != nil {
		t.Error("NoMRZ has lines")
	}
}

// An altered check digit changes exactly one character.
func TestAlterCheckDigit(t *testing.T) {
	for _, make := range []func(image.Image) specimen.Document{specimen.Passport, specimen.IDCard, specimen.ResidencePermit} {
		d := make(nil)
		for _, name := range []string{"document_number", "birth_date", "expiry_date", "composite"} {
			good := d.MRZ()
			e := d
			e.AlterCheckDigit = name
			n := 0
			for i, line := range e.MRZ() {
				for j := range line {
					if line[j] != good[i][j] {
						n++
					}
				}
			}
			if n != 1 {
				t.Errorf("%s, %s: %d characters changed", d.Kind, name, n)
			}
		}
	}
}

// Every character of the zone leaves ink: the trap that the conversion of the font avoids.
func TestFontIsComplete(t *testing.T) {
	f, err := opentype.NewFace(specimen.OCRB(), &opentype.FaceOptions{Size: 64, DPI: 72})
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789<" {
		img := image.NewAlpha(image.Rect(0, 0, 64, 96))
		(&font.Drawer{Dst: img, Src: image.Opaque, Face: f, Dot: fixed.P(8, 64)}).DrawString(string(r))
		ink := 0
		for _, v := range img.Pix {
			ink += int(v) / 255
		}
		if ink < 200 {
			t.Errorf("%c: %d pixels of ink", r, ink)
		}
		if a, ok := f.GlyphAdvance(r); !ok || a.Round() != 46 {
			t.Errorf("%c: advance %v", r, a)
		}
	}
}

func TestRenderAndPhotographAreReproducible(t *testing.T) {
	portrait := image.NewRGBA(image.Rect(0, 0, 350, 450))
	for i := range portrait.Pix {
		portrait.Pix[i] = uint8(i * 7)
	}
	d := specimen.IDCard(portrait)
	d.Ghost = true
	f1, b1 := d.Render()
	f2, b2 := d.Render()
	if !bytes.Equal(pix(f1), pix(f2)) || !bytes.Equal(pix(b1), pix(b2)) {
		t.Error("two renderings differ")
	}
	if f1.Bounds().Dx() != specimen.Width || f1.Bounds().Dy() != 883 {
		t.Error(f1.Bounds())
	}
	small := specimen.Levels[3]
	small.W, small.H = 600, 450
	a, b, c := small.Shoot(f1, 1), small.Shoot(f1, 1), small.Shoot(f1, 2)
	if !bytes.Equal(specimen.JPEG(a, 90), specimen.JPEG(b, 90)) {
		t.Error("two photographs with one seed differ")
	}
	if bytes.Equal(specimen.JPEG(a, 90), specimen.JPEG(c, 90)) {
		t.Error("two seeds give one photograph")
	}
	if got := specimen.BothSides(f1, b1).Bounds(); got.Dy() < 2*883 {
		t.Error(got)
	}
	if img, err := jpeg.Decode(bytes.NewReader(specimen.JPEG(a, 50))); err != nil || img.Bounds() != image.Rect(0, 0, 600, 450) {
		t.Error(err)
	}
}

func pix(img image.Image) []byte { return img.(*image.RGBA).Pix }

func TestVary(t *testing.T) {
	img := image.NewRGBA(image.Rect(0, 0, 60, 60))
	for y := range 60 {
		for x := range 60 {
			img.Set(x, y, color.RGBA{uint8(4 * x), uint8(4 * y), 90, 255})
		}
	}
	a, b, c := specimen.Vary(img, 1), specimen.Vary(img, 1), specimen.Vary(img, 2)
	if !bytes.Equal(pix(a), pix(b)) || bytes.Equal(pix(a), pix(c)) || bytes.Equal(pix(a), img.Pix) {
		t.Error("variations do not follow the seed")
	}
}

func TestFaces(t *testing.T) {
	dir, err := specimen.FacesDir()
	if errors.Is(err, specimen.ErrNoFaces) {
		t.Skip(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	all, err := specimen.Faces(dir)
	if err != nil {
		t.Fatal(err)
	}
	pairs, different := 0, 0
	for i, a := range all {
		if p := a.Portrait().Bounds(); p != image.Rect(0, 0, 560, 720) {
			t.Error(a.Name, p)
		}
		if s := a.Selfie().Bounds(); s != image.Rect(0, 0, 720, 720) {
			t.Error(a.Name, s)
		}
		for _, b := range all[:i] {
			if specimen.SamePerson(a, b) {
				pairs++
			}
			if specimen.DifferentPeople(a, b) {
				different++
			}
			if a.Name == b.Name {
				t.Error("two faces named", a.Name)
			}
		}
	}
	if pairs != 1 || different < 10 {
		t.Error(pairs, different)
	}
	if f, ok := specimen.FindFace(all, "3b"); !ok || f.File != "sample3.jpg" {
		t.Error(f, ok)
	}
}

func TestFacesMissing(t *testing.T) {
	if _, err := specimen.Faces(t.TempDir()); !errors.Is(err, specimen.ErrNoFaces) {
		t.Error(err)
	}
	t.Setenv("KOSMOSCOPE_MODEL_PACKAGES", t.TempDir())
	if _, err := specimen.FacesDir(); !errors.Is(err, specimen.ErrNoFaces) {
		t.Error(err)
	}
}
