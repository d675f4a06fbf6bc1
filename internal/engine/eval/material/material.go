package material

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"image"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/specimen"
)

// Tools are what rendering needs of an engine; Open gives them.
type Tools struct {
	// Mesh lays a mesh over the one face of a photo.
	Mesh func(photo image.Image) ([]specimen.Point3, error)
	// Barcode draws a PDF417 symbol.
	Barcode func(ctx context.Context, text string) (image.Image, error)
	// Frame judges a frame while a sequence is taken, as for a capture page.
	Frame func(context.Context, *api.FrameRequest) (*api.FrameReport, error)
}

// Options say how much to render.
type Options struct {
	Count    int      // documents of each kind at each level, cases of each species; pictures of each identity: one more
	Seed     uint64   // other names, numbers, photographs
	Parts    []string // of faces, documents, attacks, bona_fide; all if empty
	Species  []string // of attacks; all if empty
	Few      bool     // four faces, photos of level 1 only, no residence permits and Canadian licences, two species: half a minute's work
	Progress func(what string)
}

// Day is the day on which the documents are to be judged, so that they do not expire.
const Day = "2026-03-01"

// few are the faces of Options.Few: three of one photograph, so that they are surely
// three people, and one more.
var few = []string{"3a", "3b", "3c", "5b"}

// Parts that there are.
var Parts = []string{"faces", "documents", "attacks", "bona_fide"}

// Write renders a folder into dir, which must not be there or be empty. Errors are
// specimen.ErrNoFaces, the context's, of the tools, and of writing.
func Write(ctx context.Context, dir string, t Tools, o Options) error {
	if list, err := os.ReadDir(dir); err == nil && len(list) > 0 {
		return fmt.Errorf("%s is not empty", dir)
	} else if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if len(o.Parts) == 0 {
		o.Parts = Parts
	}
	for _, c := range []struct {
		what        string
		asked, have []string
	}{{"part", o.Parts, Parts}, {"species", o.Species, Species()}} {
		for _, x := range c.asked {
			if !slices.Contains(c.have, x) {
				return fmt.Errorf("there is no %s %q (have %s)", c.what, x, strings.Join(c.have, ", "))
			}
		}
	}
	photos, err := specimen.FacesDir()
	if err != nil {
		return err
	}
	faces, err := specimen.Faces(photos)
	if err != nil {
		return err
	}
	if o.Count < 1 {
		o.Count = 1
	}
	w := &writer{ctx: ctx, dir: dir, tools: t, faces: faces, levels: []int{0, 1, 2, 3}, kinds: kinds}
	if o.Few {
		w.faces = slices.DeleteFunc(faces, func(f specimen.Face) bool { return !slices.Contains(few, f.Name) })
		w.levels, w.kinds = []int{1}, []string{specimen.KindPassport, specimen.KindIDCard, specimen.KindUSLicence}
		if len(o.Species) == 0 {
			o.Species = []string{"print-turned-60", "frozen"}
		}
	}
	if o.Progress == nil {
		o.Progress = func(string) {}
	}
	w.Options = o
	name := fmt.Sprintf("specimens, seed %d, count %d", o.Seed, o.Count)
	if o.Few {
		name += ", few"
	}
	w.json("dataset.json", map[string]string{"name": name, "material": "rendered", "today": Day,
		"note": "Rendered by kosmoscope engine specimen --dataset. Genuine pairs are one photograph varied, but for one identity of two photographs; impostors are people in one group photograph; documents are drawn and photographed by a simulation; the bona fide are rendered heads."})
	for _, p := range o.Parts {
		map[string]func(){"faces": w.pictures, "documents": w.documents, "attacks": w.attacks, "bona_fide": w.bonaFide}[p]()
	}
	return w.err
}

// writer keeps the first error.
type writer struct {
	Options
	ctx    context.Context
	dir    string
	tools  Tools
	faces  []specimen.Face
	levels []int
	kinds  []string
	err    error
}

// ok says whether to go on.
func (w *writer) ok() bool {
	if w.err == nil {
		w.err = w.ctx.Err()
	}
	return w.err == nil
}

func (w *writer) file(name string, b []byte) {
	if !w.ok() {
		return
	}
	name = filepath.Join(w.dir, filepath.FromSlash(name))
	if w.err = os.MkdirAll(filepath.Dir(name), 0o755); w.err == nil {
		w.err = os.WriteFile(name, b, 0o644)
	}
}

func (w *writer) json(name string, v any) {
	b, err := json.MarshalIndent(v, "", "  ")
	if err != nil && w.err == nil {
		w.err = err
	}
	w.file(name, append(b, '\n'))
}

// identity is whose face it is: two of the test faces are one person's.
func identity(f specimen.Face) string {
	if f.Person != "" {
		return f.Person
	}
	return "face-" + f.Name
}

// pictures are selfies of every test face, each varied, and who is who as far as it
// is certain.
func (w *writer) pictures() {
	csv := "a,b,same\n"
	known := map[string]bool{}
	line := func(a, b string, same bool) {
		if !known[a+b] && !known[b+a] {
			known[a+b] = true
			csv += fmt.Sprintf("%s,%s,%v\n", a, b, same)
		}
	}
	for i, f := range w.faces {
		w.Progress("faces: " + f.Name)
		for k := range w.Count + 1 {
			if w.ok() {
				img := specimen.Vary(f.Selfie(), w.Seed<<16+uint64(100*i+k))
				w.file(fmt.Sprintf("faces/%s/%s-%02d.jpg", identity(f), f.Name, k+1), specimen.JPEG(img, 88))
			}
		}
		line(identity(f), identity(f), true)
		for _, g := range w.faces[:i] {
			if specimen.DifferentPeople(f, g) {
				line(identity(g), identity(f), false)
			}
		}
	}
	w.file("faces/pairs.csv", []byte(csv))
}

// Levels are the folders of documents, by the levels of specimen.
var Levels = []string{"0-clean", "1-mild", "2-medium", "3-hard"}

// kinds of documents that are rendered.
var kinds = []string{specimen.KindPassport, specimen.KindIDCard, specimen.KindResidencePermit, specimen.KindUSLicence, specimen.KindCALicence}

func (w *writer) documents() {
	n := 0
	for _, level := range w.levels {
		name := Levels[level]
		for _, kind := range w.kinds {
			w.Progress("documents: " + name + ", " + kind)
			for i := range w.Count {
				f := w.faces[n%len(w.faces)]
				n++
				stem := fmt.Sprintf("documents/%s/%s-%02d", name, kind, i+1)
				w.document(stem, level, uint64(n), w.random(kind, f, uint64(n)), truth{Holder: w.holder(f)})
			}
		}
	}
	w.refused()
}

// holder is the identity, where its selfies are in the folder too.
func (w *writer) holder(f specimen.Face) string {
	for _, p := range w.Parts {
		if p == "faces" {
			return identity(f)
		}
	}
	return ""
}

// truth is NAME.json of package eval's layout.
type truth struct {
	Document *api.Document `json:"document,omitempty"`
	Types    []string      `json:"types,omitempty"`
	Verdict  string        `json:"verdict,omitempty"`
	Reason   string        `json:"reason,omitempty"`
	Holder   string        `json:"holder,omitempty"`
}

// random is a valid document of a made-up person.
func (w *writer) random(kind string, f specimen.Face, n uint64) specimen.Licence {
	r := rand.New(rand.NewPCG(w.Seed, n))
	word := func(letters string, low, high int) string {
		b := make([]byte, low+r.IntN(high-low+1))
		for i := range b {
			b[i] = letters[r.IntN(len(letters))]
		}
		return string(b)
	}
	const alpha, digits = "ABCDEFGHIJKLMNOPQRSTUVWXYZ", "0123456789"
	l := specimen.USLicence(f.Portrait())
	if kind == specimen.KindCALicence {
		l = specimen.CALicence(f.Portrait())
	}
	licence := kind == specimen.KindUSLicence || kind == specimen.KindCALicence
	if !licence {
		l.Document = specimen.Passport(f.Portrait())
		l.Kind, l.Optional = kind, ""
	}
	l.Surname, l.GivenNames = word(alpha, 3, 10), word(alpha, 3, 7)
	if r.IntN(2) == 0 {
		l.GivenNames += " " + word(alpha, 2, 6)
	}
	switch kind {
	case specimen.KindUSLicence:
		l.Number = word(alpha, 1, 1) + word(digits, 8, 8)
	case specimen.KindCALicence:
		l.Number = word(alpha, 1, 1) + word(digits, 4, 4) + "-" + word(digits, 5, 5) + "-" + word(digits, 5, 5)
	default:
		l.Number = word(alpha, 1, 1) + word(alpha+digits, 7, 7) + word(digits, 1, 1)
	}
	l.BirthDate = fmt.Sprintf("%d-%02d-%02d", 1950+r.IntN(50), 1+r.IntN(12), 1+r.IntN(28))
	day := fmt.Sprintf("%02d-%02d", 1+r.IntN(12), 1+r.IntN(28))
	year := 2019 + r.IntN(6)
	l.IssueDate, l.ExpiryDate = fmt.Sprintf("%d-%s", year, day), fmt.Sprintf("%d-%s", year+8, day)
	l.Sex = word("FM", 1, 1)
	return l
}

// document renders, photographs and labels one document; t is what to add to the
// truth. With a verdict the engine is asked for that and not for what it reads.
func (w *writer) document(stem string, level int, n uint64, l specimen.Licence, t truth) {
	if !w.ok() {
		return
	}
	var front, back image.Image
	d := &api.Document{Number: l.Number, Surname: l.Surname, GivenNames: l.GivenNames, BirthDate: l.BirthDate, Sex: l.Sex, ExpiryDate: l.ExpiryDate}
	switch l.Kind {
	case specimen.KindUSLicence, specimen.KindCALicence:
		symbol, err := w.tools.Barcode(w.ctx, l.AAMVA())
		if err != nil {
			w.err = err
			return
		}
		front, back = l.Render(symbol)
		d.Type, d.Format, d.IssuingCountry, d.Jurisdiction, d.IssueDate = api.DriversLicense, "AAMVA", l.Document.Issuer, l.Jurisdiction, l.IssueDate
		d.Street, d.City = l.Street, l.City
	default:
		front, back = l.Document.Render()
		format := map[string][2]string{specimen.KindPassport: {api.Passport, "TD3"}, specimen.KindIDCard: {api.IDCard, "TD1"}, specimen.KindResidencePermit: {api.IDCard, "TD2"}}[l.Kind]
		d.Type, d.Format, d.IssuingCountry, d.Nationality, d.MRZ = format[0], format[1], l.Document.Issuer, l.Nationality, l.MRZ()
	}
	seed := w.Seed<<32 + 2*n
	w.file(stem+".jpg", specimen.JPEG(specimen.Photograph(front, level, seed), 92))
	if back != nil {
		w.file(stem+"-back.jpg", specimen.JPEG(specimen.Photograph(back, level, seed+1), 92))
	}
	if t.Verdict == "" {
		t.Document = d
	} else if len(t.Types) == 0 {
		t.Types = []string{d.Type}
	}
	w.json(stem+".json", t)
}

// refused are documents that must not pass, each for one reason.
func (w *writer) refused() {
	w.Progress("documents: refused")
	f := w.faces[0]
	for i, c := range []struct {
		name, kind, reason string
		types              []string
		change             func(*specimen.Licence)
	}{
		{"expired-passport", specimen.KindPassport, api.ReasonDocumentExpired, nil, func(l *specimen.Licence) { l.ExpiryDate = "2025-12-31" }},
		{"expired-licence", specimen.KindUSLicence, api.ReasonDocumentExpired, nil, func(l *specimen.Licence) { l.ExpiryDate = "2025-12-31" }},
		{"altered-number", specimen.KindPassport, api.ReasonMRZCheckDigit, nil, func(l *specimen.Licence) { l.AlterCheckDigit = "document_number" }},
		{"altered-composite", specimen.KindIDCard, api.ReasonMRZCheckDigit, nil, func(l *specimen.Licence) { l.AlterCheckDigit = "composite" }},
		{"no-zone", specimen.KindPassport, api.ReasonMRZNotFound, nil, func(l *specimen.Licence) { l.NoMRZ = true }},
		{"no-portrait", specimen.KindPassport, api.ReasonPortraitNotFound, nil, func(l *specimen.Licence) { l.Portrait = nil }},
		{"other-type", specimen.KindIDCard, api.ReasonDocumentType, []string{api.Passport}, func(*specimen.Licence) {}},
		{"unborn-holder", specimen.KindPassport, api.ReasonDocumentImplausible, nil, func(l *specimen.Licence) { l.Document.Issuer = "QQQ" }},
	} {
		l := w.random(c.kind, f, uint64(9000+i))
		c.change(&l)
		w.document("documents/refused/"+c.name, 1, uint64(9000+i), l, truth{Types: c.types, Verdict: string(api.Fail), Reason: c.reason})
	}
}
