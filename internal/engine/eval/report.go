package eval

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"runtime"
	"slices"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// Report is what was measured. Metrics has every figure that a gate may bound,
// under a stable name; one that could not be measured is absent.
type Report struct {
	Date         string             `json:"date"` // UTC
	Seconds      float64            `json:"seconds"`
	Partial      bool               `json:"partial"` // ended early, or not everything was looked at
	Limit        int                `json:"limit,omitempty"`
	Dataset      About              `json:"dataset"`
	Machine      Machine            `json:"machine"`
	Engine       api.Info           `json:"engine"`
	Faces        []Comparison       `json:"faces,omitempty"`
	Unusable     *Rate              `json:"unusable,omitempty"` // pictures of faces that the engine does not take
	Documents    []Reading          `json:"documents,omitempty"`
	Expected     []Expectation      `json:"expected,omitempty"`
	Attacks      []Species          `json:"attacks,omitempty"`
	BonaFide     *Species           `json:"bona_fide,omitempty"`
	Timings      []Stage            `json:"timings,omitempty"`
	EngineErrors int                `json:"engine_errors"` // items at which something broke inside the engine
	Metrics      map[string]float64 `json:"metrics"`
	Gate         *Verdict           `json:"gate,omitempty"`
}

// About says what was measured on.
type About struct {
	Name     string `json:"name"`
	Material string `json:"material"`
	Note     string `json:"note,omitempty"`
	Today    string `json:"today,omitempty"`
	SHA256   string `json:"sha256"`
	Files    int    `json:"files"`
}

// Machine is where it was measured.
type Machine struct {
	OS      string `json:"os"`
	Arch    string `json:"arch"`
	Cores   int    `json:"cores"`
	Workers int    `json:"workers"` // items at a time; with more than one, times include waiting for the others
}

// Comparison is one way in which faces are compared: selfies with each other, or
// the portraits of documents of a level with selfies.
type Comparison struct {
	Name      string         `json:"name"`
	Genuine   int            `json:"genuine"`
	Impostor  int            `json:"impostor"`
	People    int            `json:"people"` // identities in the genuine pairs
	Profiles  []ProfileRates `json:"profiles"`
	Equal     *float64       `json:"equal_error_rate,omitempty"`
	AtFMR     []Operating    `json:"at_fmr,omitempty"`
	Curve     []Point        `json:"curve,omitempty"` // over the fused score
	Histogram Histogram      `json:"histogram"`
}

// ProfileRates are the rates at the thresholds of a profile. FMR counts impostor
// pairs that pass, FNMR genuine pairs that do not; of those, Again are asked for
// another picture, because they lie between the thresholds.
type ProfileRates struct {
	Name  string `json:"name"`
	FMR   Rate   `json:"fmr"`
	FNMR  Rate   `json:"fnmr"`
	Again int    `json:"fnmr_asked_again"`
}

// Operating is the FNMR where the fused score alone is set to an FMR.
type Operating struct {
	FMR  float64 `json:"fmr"`
	FNMR Rate    `json:"fnmr"`
}

// Reading is how documents of a level were read. Of is mrz or barcode, or one
// format (TD1, TD2, TD3, AAMVA).
type Reading struct {
	Level        string `json:"level"`
	Of           string `json:"of"`
	Exact        Rate   `json:"exact"`         // every field as the truth has it
	Decided      Rate   `json:"decided"`       // exact, and the engine was sure
	FalselyValid int    `json:"falsely_valid"` // sure, and misread
}

// Expectation counts documents of a level whose truth names a verdict.
type Expectation struct {
	Level           string `json:"level"`
	AsExpected      Rate   `json:"as_expected"`
	WronglyAccepted int    `json:"wrongly_accepted"` // should not pass, and did
}

// Species counts sequences. For an attack Passed is APCER, for the bona fide
// Failed is BPCER and Unclear BPNRR (ISO/IEC 30107-3).
type Species struct {
	Name    string `json:"name,omitempty"`
	Passed  Rate   `json:"passed"`
	Failed  Rate   `json:"failed"`
	Unclear Rate   `json:"cannot_tell"`
}

// Stage is how long one check, or all of a request, took.
type Stage struct {
	Name string  `json:"name"`
	N    int     `json:"n"`
	P50  float64 `json:"p50_ms"`
	P95  float64 `json:"p95_ms"`
}

// WriteJSON writes a report.
func (r *Report) WriteJSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", " ")
	return e.Encode(r)
}

// report puts the figures of what was looked at together.
func (r *runner) report(o Options) (*Report, error) {
	rep := &Report{Limit: o.Limit, Metrics: map[string]float64{},
		Dataset: About{Name: r.Name, Material: r.Material, Note: r.Note, SHA256: r.SHA256, Files: r.Files},
		Machine: Machine{runtime.GOOS, runtime.GOARCH, runtime.NumCPU(), o.Workers}}
	if !r.Today.IsZero() {
		rep.Dataset.Today = r.Today.Format(time.DateOnly)
	}
	for _, l := range slices.Concat(r.ofPicture, r.ofDocument, r.ofSequence) {
		if !l.done {
			continue
		}
		rep.Engine = l.report.Engine
		if l.report.Reason == api.ReasonEngineError {
			rep.EngineErrors++
		}
	}
	rep.Metrics["engine_errors"] = float64(rep.EngineErrors)
	if err := r.compareFaces(rep, o.Profiles); err != nil {
		return nil, err
	}
	r.readDocuments(rep)
	r.countSequences(rep)
	r.time(rep)
	return rep, nil
}

// set names a figure and, where it is a rate, its upper bound.
func (r *Report) set(name string, of Rate) {
	if of.N > 0 {
		r.Metrics[name], r.Metrics[name+"_high"] = of.Value, of.High
	}
}

// pairs are the scores of one Comparison.
type pairs struct {
	genuine, impostor   []float64
	likeGenuine, likeNo []engine.Likeness
	people              map[string]bool
}

func (p *pairs) add(e Engine, a, b engine.Face, person string, same bool) error {
	l, err := e.Compare(a, b)
	if err != nil {
		return fmt.Errorf("eval: comparing two faces: %w", err)
	}
	if math.IsNaN(l.Fused) {
		return fmt.Errorf("eval: comparing two faces gave no number")
	}
	if same {
		p.genuine, p.likeGenuine = append(p.genuine, l.Fused), append(p.likeGenuine, l)
		p.people[person] = true
	} else {
		p.impostor, p.likeNo = append(p.impostor, l.Fused), append(p.likeNo, l)
	}
	return nil
}

func (r *runner) compareFaces(rep *Report, profiles []Profile) error {
	usable, looked := 0, 0
	for _, l := range r.ofPicture {
		if l.done {
			looked++
		}
		if l.face != nil {
			usable++
		}
	}
	if looked > 0 {
		u := rate(looked-usable, looked)
		rep.Unusable = &u
		rep.set("faces/unusable", u)
	}
	selfies := &pairs{people: map[string]bool{}}
	for i, a := range r.pictures {
		for j, b := range r.pictures[:i] {
			same, known := r.known.pictures(a, b)
			if !known || r.ofPicture[i].face == nil || r.ofPicture[j].face == nil {
				continue
			}
			if err := selfies.add(r.engine, *r.ofPicture[i].face, *r.ofPicture[j].face, a.identity, same); err != nil {
				return err
			}
		}
	}
	rep.compared("selfie", selfies, profiles)

	var levels []string
	portraits := map[string]*pairs{}
	for i, doc := range r.documents {
		f := r.ofDocument[i].face
		if f == nil || doc.truth.Holder == "" {
			continue
		}
		if portraits[doc.level] == nil {
			levels = append(levels, doc.level)
			portraits[doc.level] = &pairs{people: map[string]bool{}}
		}
		for j, p := range r.pictures {
			same, known := r.known.people(doc.truth.Holder, p.identity)
			if !known || r.ofPicture[j].face == nil {
				continue
			}
			if err := portraits[doc.level].add(r.engine, *f, *r.ofPicture[j].face, doc.truth.Holder, same); err != nil {
				return err
			}
		}
	}
	for _, level := range levels {
		rep.compared("portrait "+level, portraits[level], profiles)
	}
	return nil
}

// compared adds a Comparison.
func (r *Report) compared(name string, p *pairs, profiles []Profile) {
	if len(p.genuine)+len(p.impostor) == 0 {
		return
	}
	c := Comparison{Name: name, Genuine: len(p.genuine), Impostor: len(p.impostor), People: len(p.people),
		Histogram: histogram(p.genuine, p.impostor, 40)}
	key := "faces/" + name + "/"
	r.Metrics[key+"genuine"], r.Metrics[key+"impostor"] = float64(c.Genuine), float64(c.Impostor)
	for _, profile := range profiles {
		rates := ProfileRates{Name: profile.Name}
		passed, lost := 0, 0
		for _, l := range p.likeNo {
			if profile.Thresholds.Judge(l) == api.Pass {
				passed++
			}
		}
		for _, l := range p.likeGenuine {
			switch profile.Thresholds.Judge(l) {
			case api.CannotTell:
				rates.Again++
				lost++
			case api.Fail:
				lost++
			}
		}
		rates.FMR, rates.FNMR = rate(passed, c.Impostor), rate(lost, c.Genuine)
		c.Profiles = append(c.Profiles, rates)
		r.set(key+profile.Name+"/fmr", rates.FMR)
		r.set(key+profile.Name+"/fnmr", rates.FNMR)
	}
	if points := curve(p.genuine, p.impostor); points != nil {
		eer := equal(points)
		c.Equal, c.Curve = &eer, thin(points, 100)
		r.Metrics[key+"eer"] = eer
	}
	for _, fmr := range []float64{0.01, 0.001, 0.0001, 0} {
		if fnmr, ok := at(p.genuine, p.impostor, fmr); ok {
			c.AtFMR = append(c.AtFMR, Operating{fmr, fnmr})
		}
	}
	r.Faces = append(r.Faces, c)
}

func (r *runner) readDocuments(rep *Report) {
	type counts struct{ n, exact, decided, falsely int }
	read := map[[2]string]*counts{} // level, of
	type expected struct{ n, met, accepted int }
	wanted := map[string]*expected{}
	var rows [][2]string
	var levels []string
	falsely, accepted := 0, 0
	for i, doc := range r.documents {
		l := r.ofDocument[i]
		if !l.done {
			continue
		}
		if t := doc.truth; t.Verdict != "" {
			if wanted[doc.level] == nil {
				wanted[doc.level] = &expected{}
				levels = append(levels, doc.level)
			}
			w := wanted[doc.level]
			w.n++
			if !l.surprise {
				w.met++
			}
			if t.Verdict != api.Pass && l.report.Verdict == api.Pass {
				w.accepted++
				accepted++
			}
		}
		if doc.truth.Document == nil {
			continue
		}
		kind := "mrz"
		format := doc.truth.Document.Format
		if format == "AAMVA" || format == "" && doc.truth.Document.Type == api.DriversLicense {
			kind = "barcode"
		}
		for _, of := range slices.Compact([]string{kind, format}) {
			row := [2]string{doc.level, of}
			if of == "" {
				continue
			}
			c := read[row]
			if c == nil {
				c = &counts{}
				read[row] = c
				rows = append(rows, row)
			}
			c.n++
			switch {
			case l.read && l.decided:
				c.exact++
				c.decided++
			case l.read:
				c.exact++
			case l.decided:
				c.falsely++
			}
		}
		if l.decided && !l.read {
			falsely++
		}
	}
	order := map[string]int{"mrz": 0, "TD1": 1, "TD2": 2, "TD3": 3, "barcode": 4, "AAMVA": 5}
	slices.SortStableFunc(rows, func(a, b [2]string) int {
		if a[0] != b[0] {
			return 0 // as they came, which is in order
		}
		return order[a[1]] - order[b[1]]
	})
	for _, row := range rows {
		c := read[row]
		x := Reading{row[0], row[1], rate(c.exact, c.n), rate(c.decided, c.n), c.falsely}
		rep.Documents = append(rep.Documents, x)
		key := "documents/" + row[0] + "/" + row[1] + "/"
		rep.set(key+"exact", x.Exact)
		rep.set(key+"decided", x.Decided)
		rep.Metrics[key+"n"], rep.Metrics[key+"falsely_valid"] = float64(c.n), float64(c.falsely)
	}
	for _, level := range levels {
		w := wanted[level]
		x := Expectation{level, rate(w.met, w.n), w.accepted}
		rep.Expected = append(rep.Expected, x)
		rep.set("documents/"+level+"/as_expected", x.AsExpected)
		rep.Metrics["documents/"+level+"/expected"] = float64(w.n)
	}
	if len(rep.Documents) > 0 {
		rep.Metrics["documents/falsely_valid"] = float64(falsely)
	}
	if len(levels) > 0 {
		rep.Metrics["documents/wrongly_accepted"] = float64(accepted)
	}
}

func (r *runner) countSequences(rep *Report) {
	count := map[string]*[3]int{}
	var species []string
	for i, s := range r.sequences {
		l := r.ofSequence[i]
		if !l.done {
			continue
		}
		if count[s.species] == nil {
			count[s.species] = &[3]int{}
			species = append(species, s.species)
		}
		switch check(l.report, api.CheckLiveness).Outcome {
		case api.Pass:
			count[s.species][0]++
		case api.Fail:
			count[s.species][1]++
		default:
			count[s.species][2]++
		}
	}
	worst := 0.0
	for _, name := range species {
		c := count[name]
		n := c[0] + c[1] + c[2]
		x := Species{name, rate(c[0], n), rate(c[1], n), rate(c[2], n)}
		if name == "" {
			rep.BonaFide = &x
			rep.set("bona_fide/passed", x.Passed)
			rep.set("bona_fide/bpcer", x.Failed)
			rep.set("bona_fide/bpnrr", x.Unclear)
			rep.Metrics["bona_fide/n"] = float64(n)
			continue
		}
		rep.Attacks = append(rep.Attacks, x)
		rep.set("attacks/"+name+"/apcer", x.Passed)
		rep.Metrics["attacks/"+name+"/n"] = float64(n)
		worst = max(worst, x.Passed.Value)
	}
	if len(rep.Attacks) > 0 {
		rep.Metrics["attacks/worst/apcer"] = worst
	}
}

func (r *runner) time(rep *Report) {
	for _, group := range []struct {
		name  string
		looks []look
	}{{"picture of a face", r.ofPicture}, {"document", r.ofDocument}, {"sequence", r.ofSequence}} {
		took := map[string][]float64{}
		names := []string{""}
		for _, l := range group.looks {
			if !l.done {
				continue
			}
			took[""] = append(took[""], float64(l.wall.Microseconds())/1000)
			for _, c := range l.report.Checks {
				if c.DurationMS <= 0 {
					continue
				}
				if took[c.Name] == nil {
					names = append(names, c.Name)
				}
				took[c.Name] = append(took[c.Name], c.DurationMS)
			}
		}
		for _, name := range names {
			list := slices.Sorted(slices.Values(took[name]))
			if p95 := quantile(list, 0.95); p95 >= 0.05 || name == "" && len(list) > 0 { // what takes no time is left out
				stage := Stage{group.name, len(list), quantile(list, 0.5), p95}
				if name != "" {
					stage.Name += ": " + name
				}
				rep.Timings = append(rep.Timings, stage)
			}
		}
	}
}
