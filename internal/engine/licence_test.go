package engine_test

import (
	"context"
	"errors"
	"fmt"
	"image"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/barcode"
	"github.com/kosmoscope/kosmoscope/internal/engine/models"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// barcodes is a BarcodeReader that answers the same to every picture.
type barcodes struct {
	text string
	err  error
}

func (b barcodes) Model() api.Model { return api.Model{Name: "barcodes"} }

func (b barcodes) ReadBarcode(ctx context.Context, _ *image.RGBA) (string, error) {
	if ctx.Err() != nil {
		return "", ctx.Err()
	}
	return b.text, b.err
}

func licenceText(change func(*specimen.Licence)) string {
	l := specimen.USLicence(nil)
	if change != nil {
		change(&l)
	}
	return l.AAMVA()
}

var licenceNames = []string{api.CheckDocumentImage, api.CheckDocumentType, api.CheckBarcode, api.CheckBarcodeFields, api.CheckDocumentExpiry, api.CheckDocumentRules, api.CheckDocumentPortrait}

// TestLicence: what is said of a licence follows from the barcode, and nothing
// else passes in its place.
func TestLicence(t *testing.T) {
	good := licenceText(nil)
	for name, c := range map[string]struct {
		reader  engine.BarcodeReader
		types   []string
		noBack  bool
		verdict api.Outcome
		reason  string
	}{
		"in order":                      {barcodes{text: good}, []string{api.DriversLicense}, false, api.Pass, ""},
		"any type":                      {barcodes{text: good}, nil, false, api.Pass, ""},
		"no back, barcode on the front": {barcodes{text: good}, []string{api.DriversLicense}, true, api.Pass, ""},
		"of Canada":                     {barcodes{text: specimen.CALicence(nil).AAMVA()}, []string{api.DriversLicense}, false, api.Pass, ""},
		"identity card asked for":       {barcodes{text: good}, []string{api.IDCard}, false, api.Fail, api.ReasonDocumentType},
		"state identity card":           {barcodes{text: strings.ReplaceAll(good, "DL0031", "ID0031")[:31] + "ID" + good[33:]}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentType},
		"no barcode":                    {barcodes{err: engine.ErrNoBarcode}, []string{api.DriversLicense}, false, api.Fail, api.ReasonBarcodeNotFound},
		"unreadable":                    {barcodes{err: engine.ErrBarcodeUnreadable}, []string{api.DriversLicense}, false, api.Fail, api.ReasonBarcodeUnreadable},
		"reader breaks":                 {barcodes{err: errors.New("broken")}, []string{api.DriversLicense}, false, api.CannotTell, api.ReasonEngineError},
		"no reader":                     {nil, []string{api.DriversLicense}, false, api.CannotTell, api.ReasonModelsMissing},
		"some other text":               {barcodes{text: "https://example.org"}, []string{api.DriversLicense}, false, api.Fail, api.ReasonBarcodeUnreadable},
		"element missing":               {barcodes{text: strings.Replace(good, "\nDBB", "\nDZB", 1)}, []string{api.DriversLicense}, false, api.Fail, api.ReasonBarcodeUnreadable},
		"unknown issuer":                {barcodes{text: licenceText(func(l *specimen.Licence) { l.Issuer = "999999" })}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentUnsupported},
		"newer version":                 {barcodes{text: strings.Replace(good, "63600010", "63600030", 1)}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentUnsupported},
		"expired":                       {barcodes{text: licenceText(func(l *specimen.Licence) { l.ExpiryDate = "2026-02-28" })}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentExpired},
		"expires today":                 {barcodes{text: licenceText(func(l *specimen.Licence) { l.ExpiryDate = "2026-03-01" })}, []string{api.DriversLicense}, false, api.Pass, ""},
		"issued to a child":             {barcodes{text: licenceText(func(l *specimen.Licence) { l.BirthDate = "2015-01-01" })}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentImplausible},
		"issued tomorrow":               {barcodes{text: licenceText(func(l *specimen.Licence) { l.IssueDate = "2026-03-03" })}, []string{api.DriversLicense}, false, api.Fail, api.ReasonDocumentImplausible},
	} {
		t.Run(name, func(t *testing.T) {
			v := engine.New(zones{err: engine.ErrNoZone}, faces{likeness: alike()}, engine.Config{Now: at(today), Barcodes: c.reader})
			req := fullCard()
			req.DocumentTypes = c.types
			if c.noBack {
				req.DocumentBack = nil
			}
			rep, err := v.Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != c.verdict || rep.Reason != c.reason {
				t.Errorf("%s %q, want %s %q", rep.Verdict, rep.Reason, c.verdict, c.reason)
			}
			var names []string
			for _, k := range rep.Checks {
				names = append(names, k.Name)
				if strings.Contains(k.Detail, "ERIKSSON") || strings.Contains(k.Detail, "S64235789") {
					t.Errorf("personal data in a detail: %s", k.Detail)
				}
			}
			if want := slices.Concat(licenceNames, []string{api.CheckSelfie, api.CheckFaceMatch}); !slices.Equal(names, want) {
				t.Errorf("checks %v", names)
			}
			if rep.Verdict == api.Pass && (rep.Document.Format != "AAMVA" || rep.Document.Type != api.DriversLicense || rep.Document.Surname != "ERIKSSON" ||
				rep.Document.BirthDate != "1974-08-12" || rep.Document.IssueDate != "2024-04-16" || rep.Document.MRZ == nil || rep.Evidence[0].Format != "AAMVA") {
				t.Errorf("%+v, %+v", rep.Document, rep.Evidence)
			}
		})
	}
	t.Run("a passport is none", func(t *testing.T) {
		v := engine.New(zones{zone: goodZone()}, faces{likeness: alike()}, engine.Config{Now: at(today), Barcodes: barcodes{err: engine.ErrBarcodeUnreadable}})
		req := full()
		req.DocumentTypes = []string{api.Passport, api.DriversLicense}
		rep, err := v.Verify(t.Context(), &req)
		if err != nil || rep.Verdict != api.Pass || rep.Document.Type != api.Passport {
			t.Errorf("%v, %s %s", err, rep.Verdict, rep.Reason)
		}
	})
	t.Run("the time runs out", func(t *testing.T) {
		ended, cancel := context.WithCancel(t.Context())
		cancel()
		v := engine.New(zones{}, faces{likeness: alike()}, engine.Config{Now: at(today), Barcodes: barcodes{text: good}})
		req := fullCard()
		req.DocumentTypes = []string{api.DriversLicense}
		if rep, err := v.Verify(ended, &req); !errors.Is(err, context.Canceled) {
			t.Errorf("%+v, %v", rep, err)
		}
	})
}

// print is a PrintedReader that answers the same to every card.
type print struct {
	lines []engine.PrintedLine
	err   error
}

func (p print) Models() []api.Model { return []api.Model{{Name: "printed"}} }

func (p print) ReadPrinted(context.Context, *image.RGBA) ([]engine.PrintedLine, error) {
	return p.lines, p.err
}

// TestPrinted: the front agrees with the barcode, contradicts it, or cannot be told.
func TestPrinted(t *testing.T) {
	if raced {
		t.Skip("pictures with nothing concurrent about them: they run without the race detector")
	}
	sure := func(texts ...string) (out []engine.PrintedLine) {
		for _, s := range texts {
			out = append(out, engine.PrintedLine{Text: s, Confidence: 0.97})
		}
		return out
	}
	vague := func(texts ...string) []engine.PrintedLine {
		out := sure(texts...)
		for i := range out {
			out[i].Confidence = 0.5
		}
		return out
	}
	for name, c := range map[string]struct {
		reader  print
		outcome api.Outcome
		reason  string
	}{
		"as printed":              {print{lines: sure("4d DLN S64235789", "1 ERIKSSON", "3 DOB 08/12/1974", "ISS 04/16/2024")}, api.Pass, ""},
		"in one line, badly read": {print{lines: vague("S64235789 ERlKSS0N 08/121974")}, api.Pass, ""},
		"month in letters":        {print{lines: sure("S64235789", "Eriksson", "12 AUG 1974")}, api.Pass, ""},
		"day first":               {print{lines: sure("S64235789", "ERIKSSON", "12.08.1974")}, api.Pass, ""},
		"number with dashes":      {print{lines: sure("S64-235-789", "ERIKSSON", "1974/08/12")}, api.Pass, ""},
		"nothing read":            {print{}, api.CannotTell, api.ReasonDocumentAgain},
		"no surname":              {print{lines: sure("S64235789", "08/12/1974")}, api.CannotTell, api.ReasonDocumentAgain},
		"no number":               {print{lines: sure("ERIKSSON", "08/12/1974")}, api.CannotTell, api.ReasonDocumentAgain},
		"no date of birth":        {print{lines: sure("S64235789", "ERIKSSON", "ISS 04/16/2024", "EXP 04/15/2034")}, api.CannotTell, api.ReasonDocumentAgain},
		"another date of birth":   {print{lines: sure("S64235789", "ERIKSSON", "DOB:08/12/1984")}, api.Fail, api.ReasonBarcodeMismatch},
		"another one, vaguely":    {print{lines: vague("S64235789", "ERIKSSON", "08/12/1984")}, api.CannotTell, api.ReasonDocumentAgain},
		"another number":          {print{lines: sure("DLN S64235780", "ERIKSSON", "08/12/1974")}, api.Fail, api.ReasonBarcodeMismatch},
		"a second number":         {print{lines: sure("S64235789", "A11112222", "ERIKSSON", "08/12/1974")}, api.Pass, ""},
		"reader breaks":           {print{err: errors.New("broken")}, api.CannotTell, api.ReasonEngineError},
	} {
		t.Run(name, func(t *testing.T) {
			v := engine.New(zones{err: engine.ErrNoZone}, &faces{likeness: alike()}, engine.Config{Now: at(today), Barcodes: barcodes{text: licenceText(nil)}, Printed: c.reader})
			req := fullCard()
			req.DocumentTypes = []string{api.DriversLicense}
			rep, err := v.Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			i := slices.IndexFunc(rep.Checks, func(k api.Check) bool { return k.Name == api.CheckBarcodePrinted })
			if i < 0 || rep.Checks[i].Outcome != c.outcome || rep.Verdict != c.outcome || rep.Reason != c.reason {
				t.Errorf("%s %q, want %s %q; %+v", rep.Verdict, rep.Reason, c.outcome, c.reason, rep.Checks)
			}
		})
	}
}

// TestRealLicence puts rendered licences, photographed, through the whole engine.
func TestRealLicence(t *testing.T) {
	if raced {
		t.Skip("too many pictures for the race detector")
	}
	v, all := real(t, models.SetFull)
	find := func(name string) specimen.Face {
		f, ok := specimen.FindFace(all, name)
		if !ok {
			t.Fatalf("no face %q", name)
		}
		return f
	}
	dir := os.Getenv("KOSMOSCOPE_MODELS")
	if dir == "" {
		dir = filepath.Join("..", "..", "bin", "models")
	}
	symbols := barcode.Open(filepath.Join(dir, "rxing.wasm"))
	defer symbols.Close()
	render := func(l specimen.Licence) (front, back image.Image) {
		symbol, err := symbols.Encode(t.Context(), l.AAMVA(), 5)
		if err != nil {
			t.Fatal(err)
		}
		return l.Render(symbol)
	}
	ask := func(t *testing.T, front, back image.Image, selfie string, types ...string) *api.Report {
		t.Helper()
		rep, err := v.Verify(t.Context(), &api.VerifyRequest{DocumentTypes: types, DocumentFront: jpeg(front), DocumentBack: jpeg(back),
			Selfies: [][]byte{jpeg(specimen.Vary(find(selfie).Selfie(), 9))}, LivenessMode: api.LivenessNone})
		if err != nil {
			t.Fatal(err)
		}
		return rep
	}
	tell := func(t *testing.T, rep *api.Report) {
		for _, k := range rep.Checks {
			t.Logf("%s %s %.0f ms %s", k.Name, k.Outcome, k.DurationMS, k.Detail)
		}
	}
	licence := specimen.USLicence(find("3a").Portrait())
	front, back := render(licence)
	for level := range 4 {
		t.Run(fmt.Sprintf("level %d", level), func(t *testing.T) {
			rep := ask(t, specimen.Photograph(front, level, 31), specimen.Photograph(back, level, 32), "3a", api.DriversLicense)
			if rep.Verdict != api.Pass || rep.Document.Number != licence.Number || rep.Document.IssuingCountry != "USA" || rep.Document.Jurisdiction != "VA" {
				t.Errorf("%s %q, %+v", rep.Verdict, rep.Reason, rep.Document)
				tell(t, rep)
			}
			if level == 1 {
				tell(t, rep)
			}
		})
	}
	frontPhoto, backPhoto := specimen.Photograph(front, 1, 33), specimen.Photograph(back, 1, 34)
	canadaFront, canadaBack := render(specimen.CALicence(find("3a").Portrait()))
	idFront, idBack := specimen.IDCard(find("3a").Portrait()).Render()
	_, empty := licence.Render(nil)
	other := licence
	other.Number, other.BirthDate = "X99887766", "1981-01-02"
	otherFront, _ := render(other)
	for name, c := range map[string]struct {
		front, back image.Image
		selfie      string
		types       []string
		verdict     api.Outcome
		reason      string
	}{
		"of Canada":                  {specimen.Photograph(canadaFront, 1, 35), specimen.Photograph(canadaBack, 1, 36), "3a", []string{api.DriversLicense}, api.Pass, ""},
		"of any type":                {frontPhoto, backPhoto, "3a", nil, api.Pass, ""},
		"somebody else":              {frontPhoto, backPhoto, "3c", []string{api.DriversLicense}, api.Fail, api.ReasonFaceMismatch},
		"sides swapped":              {backPhoto, frontPhoto, "3a", []string{api.DriversLicense}, api.Pass, ""},
		"identity card instead":      {specimen.Photograph(idFront, 1, 37), specimen.Photograph(idBack, 1, 38), "3a", []string{api.DriversLicense}, api.Fail, api.ReasonBarcodeUnreadable}, // its back has bars
		"identity card among others": {specimen.Photograph(idFront, 1, 37), specimen.Photograph(idBack, 1, 38), "3a", []string{api.DriversLicense, api.IDCard}, api.Pass, ""},
		"another card's front":       {specimen.Photograph(otherFront, 1, 40), backPhoto, "3a", []string{api.DriversLicense}, api.Fail, api.ReasonBarcodeMismatch},
		"no barcode":                 {frontPhoto, specimen.Photograph(empty, 1, 39), "3a", []string{api.DriversLicense}, api.Fail, api.ReasonBarcodeNotFound},
		"a face is no front":         {find("3a").Selfie(), backPhoto, "3a", []string{api.DriversLicense}, api.Fail, ""},
	} {
		t.Run(name, func(t *testing.T) {
			rep := ask(t, c.front, c.back, c.selfie, c.types...)
			if rep.Verdict != c.verdict || c.reason != "" && rep.Reason != c.reason {
				t.Errorf("%s %q, want %s %q", rep.Verdict, rep.Reason, c.verdict, c.reason)
				tell(t, rep)
			}
		})
	}
}
