package eval

import (
	"bytes"
	"crypto/sha256"
	"encoding/csv"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"path"
	"slices"
	"strings"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// ErrLayout: the folder is not laid out as Layout says. The message names what is
// wrong, and where.
var ErrLayout = errors.New("not a labelled folder")

func layout(format string, args ...any) error {
	return fmt.Errorf("%w: "+format, append([]any{ErrLayout}, args...)...)
}

// Material of a folder.
const (
	Rendered = "rendered"
	Genuine  = "genuine"
)

// Bounds of what is read into memory.
const (
	maxText    = 8 << 20    // of a text file, bytes
	maxPicture = 12<<20 + 1 // of a picture: one byte more than the engine takes, so that it says so
	maxPairs   = 4_000_000
)

// Dataset is a labelled folder. Paths are slash-separated and relative to it.
type Dataset struct {
	Name     string
	Material string    // Rendered, Genuine, or what dataset.json says
	Note     string    // of dataset.json
	Today    time.Time // the day on which documents are judged; zero means now
	SHA256   string    // over every file that is used: its path and its own sha256
	Files    int

	files     fs.FS
	pictures  []picture
	known     relation
	documents []document
	sequences []sequence
}

type picture struct{ identity, path string }

type document struct {
	level, front, back string
	more               []string
	truth              truth
}

// truth is NAME.json.
type truth struct {
	Document *api.Document `json:"document"`
	Types    []string      `json:"types"`
	Verdict  api.Outcome   `json:"verdict"`
	Reason   string        `json:"reason"`
	Holder   string        `json:"holder"`
}

type sequence struct {
	species   string // empty: bona fide
	folder    string
	challenge api.Challenge
	shots     shots
}

// shots is frames.json.
type shots struct {
	Camera string `json:"camera"`
	Frames []struct {
		File       string `json:"file"`
		Action     int    `json:"action"`
		ReceivedMS int64  `json:"received_ms"`
		CapturedMS int64  `json:"captured_ms"`
	} `json:"frames"`
}

// Load looks at a folder, reads its labels, and takes its sum. Errors are
// ErrLayout, and those of reading.
func Load(files fs.FS) (*Dataset, error) {
	d := &Dataset{Name: "unnamed", Material: Rendered, files: files}
	top, err := fs.ReadDir(files, ".")
	if err != nil {
		return nil, err
	}
	seen := false
	for _, e := range top {
		switch name := e.Name(); {
		case slices.Contains(parts, name) && d.isDir(name):
			seen = true
		case name == "dataset.json", strings.HasPrefix(name, "."), strings.HasPrefix(strings.ToLower(name), "readme"):
		default:
			return nil, layout("%s is none of %s, dataset.json", name, strings.Join(parts, ", "))
		}
	}
	if !seen {
		return nil, layout("it has none of the folders %s", strings.Join(parts, ", "))
	}
	for _, load := range []func() error{d.loadHead, d.loadFaces, d.loadDocuments, d.loadSequences, d.sum} {
		if err := load(); err != nil {
			return nil, err
		}
	}
	if len(d.pictures)+len(d.documents)+len(d.sequences) == 0 {
		return nil, layout("it is empty")
	}
	return d, nil
}

var parts = []string{"faces", "documents", "attacks", "bona_fide"}

func (d *Dataset) loadHead() error {
	head := struct {
		Name     *string `json:"name"`
		Material *string `json:"material"`
		Note     string  `json:"note"`
		Today    string  `json:"today"`
	}{Name: &d.Name, Material: &d.Material}
	if err := d.decode("dataset.json", &head); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if d.Note = head.Note; head.Today != "" {
		day, err := time.Parse(time.DateOnly, head.Today)
		if err != nil {
			return layout("dataset.json: today is %q; want a day as 2026-03-01", head.Today)
		}
		d.Today = day.Add(12 * time.Hour)
	}
	return nil
}

func (d *Dataset) loadFaces() error {
	identities, err := d.dirs("faces", "pairs.csv")
	if err != nil {
		return err
	}
	for _, id := range identities {
		names, err := d.plain(path.Join("faces", id))
		if err != nil {
			return err
		}
		if len(names) == 0 {
			return layout("faces/%s has no pictures", id)
		}
		for _, n := range names {
			if !isPicture(n) {
				return layout("faces/%s/%s is no picture (%s)", id, n, strings.Join(extensions, ", "))
			}
			d.pictures = append(d.pictures, picture{id, path.Join(id, n)})
		}
	}
	b, err := d.text("faces/pairs.csv")
	if errors.Is(err, fs.ErrNotExist) {
		d.known = relation{}
		if n := len(d.pictures); n*(n-1)/2 > maxPairs {
			return layout("faces has %d pictures and so more than %d pairs; name the pairs to compare in faces/pairs.csv", n, maxPairs)
		}
		return nil
	}
	if err != nil {
		return err
	}
	return d.loadPairs(b)
}

// relation is what pairs.csv says; without one, listed is nil and the identities
// alone say who is who.
type relation struct {
	listed     map[[2]string]bool // pairs of pictures, or of identities, in order of their names: same person
	identities map[[2]string]bool // identities that a line calls the same or different
}

func ordered(a, b string) [2]string { return [2]string{min(a, b), max(a, b)} }

// pictures says whether two pictures show one person; known is false for a pair
// that is not to be compared.
func (r relation) pictures(a, b picture) (same, known bool) {
	if r.listed == nil {
		return a.identity == b.identity, true
	}
	if same, known = r.listed[ordered(a.path, b.path)]; known {
		return same, true
	}
	same, known = r.listed[ordered(a.identity, b.identity)]
	return same, known
}

// people is the same of two identities.
func (r relation) people(a, b string) (same, known bool) {
	if a == b {
		return true, true
	}
	if r.listed == nil {
		return false, true
	}
	same, known = r.identities[ordered(a, b)]
	return same, known
}

func (d *Dataset) loadPairs(b []byte) error {
	d.known = relation{map[[2]string]bool{}, map[[2]string]bool{}}
	owner := map[string]string{} // of a picture or identity: the identity
	count := map[string]int{}
	for _, p := range d.pictures {
		owner[p.path], owner[p.identity] = p.identity, p.identity
		count[p.path]++
		count[p.identity]++
	}
	r := csv.NewReader(bytes.NewReader(b))
	r.FieldsPerRecord, r.Comment = 3, '#'
	total := 0
	for {
		row, err := r.Read()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return layout("faces/pairs.csv: %v; a line is a,b,same", err)
		}
		line, _ := r.FieldPos(0)
		a, b := strings.TrimSpace(row[0]), strings.TrimSpace(row[1])
		if line == 1 && slices.Equal(row, []string{"a", "b", "same"}) {
			continue
		}
		same, ok := map[string]bool{"true": true, "1": true, "false": false, "0": false}[strings.ToLower(strings.TrimSpace(row[2]))]
		if !ok {
			return layout("faces/pairs.csv, line %d: same is %q; want true or false", line, row[2])
		}
		for _, x := range []string{a, b} {
			if owner[x] == "" {
				return layout("faces/pairs.csv, line %d: faces/%s is neither a picture nor an identity", line, x)
			}
		}
		ia, ib := owner[a], owner[b]
		if ia == ib && !same {
			return layout("faces/pairs.csv, line %d: two pictures of the identity %s cannot be of different people", line, ia)
		}
		if old, had := d.known.listed[ordered(a, b)]; had && old != same {
			return layout("faces/pairs.csv, line %d: contradicts an earlier line", line)
		}
		if old, had := d.known.identities[ordered(ia, ib)]; had && old != same {
			return layout("faces/pairs.csv, line %d: %s and %s were the same person in one line and are not in another", line, ia, ib)
		}
		d.known.listed[ordered(a, b)] = same
		d.known.identities[ordered(ia, ib)] = same
		if total += count[a] * count[b]; total > maxPairs {
			return layout("faces/pairs.csv names more than %d pairs", maxPairs)
		}
	}
}

func (d *Dataset) loadDocuments() error {
	levels, err := d.dirs("documents")
	if err != nil {
		return err
	}
	holders := map[string]bool{}
	for _, p := range d.pictures {
		holders[p.identity] = true
	}
	for _, level := range levels {
		folder := path.Join("documents", level)
		names, err := d.plain(folder)
		if err != nil {
			return err
		}
		byStem := map[string]string{}
		var truths []string
		for _, n := range names {
			stem := strings.TrimSuffix(n, path.Ext(n))
			switch {
			case path.Ext(n) == ".json":
				truths = append(truths, stem)
			case !isPicture(n):
				return layout("%s/%s is neither a picture (%s) nor a truth (.json)", folder, n, strings.Join(extensions, ", "))
			case byStem[stem] != "":
				return layout("%s has two pictures called %s", folder, stem)
			default:
				byStem[stem] = path.Join(folder, n)
			}
		}
		used := 0
		for _, stem := range truths {
			doc := document{level: level, front: byStem[stem], back: byStem[stem+"-back"]}
			if doc.front == "" {
				return layout("%s/%s.json has no picture beside it", folder, stem)
			}
			for i := 1; byStem[fmt.Sprintf("%s-more-%d", stem, i)] != ""; i++ {
				doc.more = append(doc.more, byStem[fmt.Sprintf("%s-more-%d", stem, i)])
			}
			used += 1 + len(doc.more)
			if doc.back != "" {
				used++
			}
			where := path.Join(folder, stem+".json")
			if err := d.decode(where, &doc.truth); err != nil {
				return err
			}
			t := doc.truth
			switch {
			case t.Document == nil && t.Verdict == "":
				return layout("%s says neither what must be read (document) nor what must come of it (verdict)", where)
			case t.Verdict != "" && t.Verdict != api.Pass && t.Verdict != api.Fail && t.Verdict != api.CannotTell:
				return layout("%s: verdict is %q; want %s, %s or %s", where, t.Verdict, api.Pass, api.Fail, api.CannotTell)
			case t.Reason != "" && (t.Verdict == "" || t.Verdict == api.Pass):
				return layout("%s: a reason goes with a verdict of %s or %s", where, api.Fail, api.CannotTell)
			case t.Holder != "" && !holders[t.Holder]:
				return layout("%s: there is no faces/%s for the holder", where, t.Holder)
			case len(doc.more) > 4:
				return layout("%s: more than four further photos", where)
			}
			d.documents = append(d.documents, doc)
		}
		if used < len(byStem) {
			return layout("%s has %d pictures that belong to no document: each needs NAME.json beside NAME.jpg, and further photos NAME-back and NAME-more-1 to NAME-more-4", folder, len(byStem)-used)
		}
	}
	return nil
}

func (d *Dataset) loadSequences() error {
	species, err := d.dirs("attacks")
	if err != nil {
		return err
	}
	for _, s := range species {
		if err := d.loadCases(path.Join("attacks", s), s); err != nil {
			return err
		}
	}
	if _, err := fs.Stat(d.files, "bona_fide"); err != nil {
		return nil
	}
	return d.loadCases("bona_fide", "")
}

func (d *Dataset) loadCases(folder, species string) error {
	if _, err := fs.Stat(d.files, path.Join(folder, "frames.json")); err == nil {
		return layout("%s is a case itself; want attacks/SPECIES/CASE and bona_fide/CASE", folder)
	}
	cases, err := d.dirs(folder)
	if err != nil {
		return err
	}
	for _, c := range cases {
		s := sequence{species: species, folder: path.Join(folder, c)}
		for name, into := range map[string]any{"challenge.json": &s.challenge, "frames.json": &s.shots} {
			err := d.decode(path.Join(s.folder, name), into)
			if errors.Is(err, fs.ErrNotExist) {
				return layout("%s has no %s", s.folder, name)
			}
			if err != nil {
				return err
			}
		}
		if n := len(s.shots.Frames); n == 0 || n > api.MaxFrames {
			return layout("%s/frames.json names %d frames; want 1 to %d", s.folder, n, api.MaxFrames)
		}
		for _, f := range s.shots.Frames {
			if !isPicture(f.File) || strings.ContainsAny(f.File, `/\`) {
				return layout("%s/frames.json: %q is not the name of a picture in that folder", s.folder, f.File)
			}
			if _, err := fs.Stat(d.files, path.Join(s.folder, f.File)); err != nil {
				return layout("%s/%s, which frames.json names, is not there", s.folder, f.File)
			}
		}
		d.sequences = append(d.sequences, s)
	}
	return nil
}

// used are the files that the figures come from.
func (d *Dataset) used() []string {
	var out []string
	for _, p := range d.pictures {
		out = append(out, "faces/"+p.path)
	}
	for _, doc := range d.documents {
		stem := strings.TrimSuffix(doc.front, path.Ext(doc.front))
		out = append(append(out, doc.front, stem+".json"), doc.more...)
		if doc.back != "" {
			out = append(out, doc.back)
		}
	}
	for _, s := range d.sequences {
		out = append(out, s.folder+"/challenge.json", s.folder+"/frames.json")
		for _, f := range s.shots.Frames {
			out = append(out, path.Join(s.folder, f.File))
		}
	}
	for _, name := range []string{"dataset.json", "faces/pairs.csv"} {
		if _, err := fs.Stat(d.files, name); err == nil {
			out = append(out, name)
		}
	}
	slices.Sort(out)
	return slices.Compact(out)
}

func (d *Dataset) sum() error {
	all := sha256.New()
	for _, name := range d.used() {
		f, err := d.files.Open(name)
		if err != nil {
			return err
		}
		one := sha256.New()
		_, err = io.Copy(one, f)
		f.Close()
		if err != nil {
			return err
		}
		fmt.Fprintf(all, "%x  %s\n", one.Sum(nil), name)
		d.Files++
	}
	d.SHA256 = hex.EncodeToString(all.Sum(nil))
	return nil
}

// dirs are the folders in a folder, in order; none if it is not there. Other than
// those named, it may hold no files.
func (d *Dataset) dirs(folder string, files ...string) ([]string, error) {
	list, err := fs.ReadDir(d.files, folder)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "."), slices.Contains(files, name):
		case d.isDir(path.Join(folder, name)):
			out = append(out, name)
		default:
			return nil, layout("%s/%s is a file; there must be a folder between (see the layout)", folder, name)
		}
	}
	return out, nil
}

// isDir follows links: people collect pictures with them.
func (d *Dataset) isDir(name string) bool {
	info, err := fs.Stat(d.files, name)
	return err == nil && info.IsDir()
}

// plain are the files in a folder, in order.
func (d *Dataset) plain(folder string) ([]string, error) {
	list, err := fs.ReadDir(d.files, folder)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, e := range list {
		switch name := e.Name(); {
		case strings.HasPrefix(name, "."):
		case d.isDir(path.Join(folder, name)):
			return nil, layout("%s/%s is a folder where pictures should be", folder, name)
		default:
			out = append(out, name)
		}
	}
	return out, nil
}

var extensions = []string{".jpg", ".jpeg", ".png", ".webp"}

func isPicture(name string) bool {
	return slices.Contains(extensions, strings.ToLower(path.Ext(name)))
}

// bytes reads a picture; of one that is too large only so much that the engine
// refuses it.
func (d *Dataset) bytes(name string) ([]byte, error) {
	f, err := d.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	return io.ReadAll(io.LimitReader(f, maxPicture))
}

func (d *Dataset) text(name string) ([]byte, error) {
	f, err := d.files.Open(name)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	b, err := io.ReadAll(io.LimitReader(f, maxText+1))
	if err == nil && len(b) > maxText {
		err = layout("%s is larger than %d bytes", name, maxText)
	}
	return b, err
}

// decode reads JSON. Errors are fs.ErrNotExist, ErrLayout, and those of reading.
func (d *Dataset) decode(name string, into any) error {
	b, err := d.text(name)
	if err != nil {
		return err
	}
	if err := strict(b, into); err != nil {
		return layout("%s: %v", name, err)
	}
	return nil
}

// strict decodes one JSON value with no field that is not known.
func strict(b []byte, into any) error {
	dec := json.NewDecoder(bytes.NewReader(b))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return err
	}
	if _, err := dec.Token(); err != io.EOF {
		return errors.New("there is something after the end")
	}
	return nil
}

// limited keeps at most n of each group: pictures of an identity, documents of a
// level, cases of a species. 0 keeps all.
func limited[T any](list []T, n int, group func(T) string) []T {
	if n <= 0 {
		return list
	}
	count := map[string]int{}
	return slices.DeleteFunc(slices.Clone(list), func(x T) bool {
		count[group(x)]++
		return count[group(x)] > n
	})
}

// agrees says whether a document was read as the truth has it. Fields that
// the truth leaves out are not compared.
func (t truth) agrees(d *api.Document) bool {
	if t.Document == nil || d == nil {
		return false
	}
	w := t.Document
	for _, f := range [][2]string{
		{w.Type, d.Type}, {w.Format, d.Format}, {w.IssuingCountry, d.IssuingCountry}, {w.Number, d.Number}, {w.Surname, d.Surname},
		{w.GivenNames, d.GivenNames}, {w.Nationality, d.Nationality}, {w.BirthDate, d.BirthDate}, {w.Sex, d.Sex}, {w.ExpiryDate, d.ExpiryDate},
		{w.PersonalNumber, d.PersonalNumber}, {w.IssueDate, d.IssueDate}, {w.Jurisdiction, d.Jurisdiction}, {w.Street, d.Street}, {w.City, d.City}, {w.PostalCode, d.PostalCode},
	} {
		if f[0] != "" && f[0] != f[1] {
			return false
		}
	}
	return len(w.MRZ) == 0 || slices.Equal(w.MRZ, d.MRZ)
}
