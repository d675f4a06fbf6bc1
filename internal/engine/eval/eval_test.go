package eval_test

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/fstest"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/eval"
)

// fake is an engine to which the pictures say what it is to answer: that of a face
// holds a number, and faces are the less alike the farther their numbers are apart;
// that of a document holds a saw as JSON; the first frame of a sequence holds the
// outcome of the check liveness.
type fake struct{ missing, faulty bool }

type saw struct {
	Verdict  api.Outcome
	Reason   string
	Checks   map[string]api.Outcome
	Document *api.Document
	Face     *float64
}

func (f fake) report(s saw) *api.Report {
	if f.missing {
		return &api.Report{Verdict: api.CannotTell, Reason: api.ReasonModelsMissing}
	}
	rep := &api.Report{Verdict: s.Verdict, Reason: s.Reason, Document: s.Document,
		Engine: api.Info{Name: "fake", Version: "1", Models: []api.Model{{Name: "net", Version: "2", License: "MIT", SHA256: strings.Repeat("ab", 32)}}}}
	for _, name := range slices.Sorted(maps.Keys(s.Checks)) {
		rep.Checks = append(rep.Checks, api.Check{Name: name, Outcome: s.Checks[name], DurationMS: 2})
	}
	return rep
}

func (f fake) Look(ctx context.Context, req *api.SelfieRequest) (*api.Report, *engine.Face, error) {
	if ctx.Err() != nil {
		return nil, nil, ctx.Err()
	}
	var at float64
	if _, err := fmt.Sscan(string(req.Selfie), &at); err != nil {
		return f.report(saw{Verdict: api.Fail, Reason: api.ReasonSelfieNoFace}), nil, nil
	}
	return f.report(saw{Verdict: api.Pass}), &engine.Face{Template: at}, nil
}

func (f fake) Examine(ctx context.Context, req *api.DocumentRequest) (*api.Report, *engine.Face, error) {
	var s saw
	if err := json.Unmarshal(req.DocumentFront, &s); err != nil {
		return nil, nil, err
	}
	if s.Face == nil {
		return f.report(s), nil, nil
	}
	return f.report(s), &engine.Face{Template: *s.Face}, nil
}

func (f fake) Match(_ context.Context, req *api.MatchRequest) (*api.Report, error) {
	return f.report(saw{Verdict: api.CannotTell, Reason: api.ReasonTemplateForeign, Checks: map[string]api.Outcome{api.CheckLiveness: api.Outcome(req.Liveness.Frames[0].Image)}}), nil
}

func (f fake) Compare(a, b engine.Face) (engine.Likeness, error) {
	if f.faulty {
		return engine.Likeness{Fused: math.NaN()}, nil
	}
	apart := math.Abs(a.Template.(float64) - b.Template.(float64))
	return engine.Likeness{Fused: 5 - apart, Distance: apart / 10}, nil
}

// rows pass up to 3 and 5 apart, and ask again up to 4 and 6.
var rows = []eval.Profile{
	{Name: "strict", Thresholds: engine.Thresholds{PassDistance: 0.3, FailDistance: 0.4}},
	{Name: "lax", Thresholds: engine.Thresholds{PassDistance: 0.5, FailDistance: 0.6}},
}

type files map[string]string

func (f files) fs() fstest.MapFS {
	out := fstest.MapFS{}
	for name, text := range f {
		out[name] = &fstest.MapFile{Data: []byte(text)}
	}
	return out
}

func (f files) with(more files) files {
	out := maps.Clone(f)
	maps.Copy(out, more)
	return out
}

func text(t testing.TB, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// sequence is a case with two frames, the first of which says what comes of it.
func sequence(folder string, outcome api.Outcome) files {
	return files{folder + "/challenge.json": `{"nonce":"00","actions":["look_straight"],"action_ms":1,"total_ms":2}`,
		folder + "/frames.json": `{"camera":"c","frames":[{"file":"a.jpg","action":0,"received_ms":0,"captured_ms":0},{"file":"b.jpg","action":0,"received_ms":250,"captured_ms":250}]}`,
		folder + "/a.jpg":       string(outcome), folder + "/b.jpg": "x"}
}

// doc is a document with its truth.
func doc(t testing.TB, path, truth string, s saw) files {
	return files{path + ".jpg": text(t, s), path + ".json": truth}
}

func good(number string) saw {
	return saw{Verdict: api.Pass, Document: &api.Document{Type: api.Passport, Format: "TD3", Number: number, MRZ: []string{"A", "B"}},
		Checks: map[string]api.Outcome{api.CheckMRZ: api.Pass, api.CheckMRZDigits: api.Pass}}
}

func load(t testing.TB, f files) *eval.Dataset {
	t.Helper()
	d, err := eval.Load(f.fs())
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func run(t testing.TB, f files, o eval.Options) *eval.Report {
	t.Helper()
	o.Profiles = rows
	rep, err := eval.Run(t.Context(), load(t, f), fake{}, o)
	if err != nil {
		t.Fatal(err)
	}
	return rep
}

// metrics compares those that are named; a wanted NaN must be absent.
func metrics(t *testing.T, rep *eval.Report, want map[string]float64) {
	t.Helper()
	for name, w := range want {
		got, ok := rep.Metrics[name]
		if ok == math.IsNaN(w) || ok && math.Abs(got-w) > 1e-9 {
			t.Errorf("%s is %v (measured: %v), want %v", name, got, ok, w)
		}
	}
}

// Identities a, b, c, d at 0, 3.5, 20 and none.
var people = files{"faces/a/1.jpg": "0", "faces/a/2.jpg": "1", "faces/a/3.png": "4.5", "faces/b/1.jpg": "3.5", "faces/b/2.jpeg": "9", "faces/c/1.webp": "20", "faces/d/1.jpg": "nobody"}

func TestFaces(t *testing.T) {
	rep := run(t, people, eval.Options{})
	// Apart, genuine: a 1, 3.5, 4.5; b 5.5. Impostors: a-b 3.5 9, 2.5 8, 1 4.5; a-c 20 19 15.5; b-c 16.5 11.
	metrics(t, rep, map[string]float64{
		"faces/selfie/genuine": 4, "faces/selfie/impostor": 11, "faces/unusable": 1.0 / 7,
		"faces/selfie/strict/fmr": 2.0 / 11, "faces/selfie/strict/fnmr": 0.75,
		// As many impostors as genuine pairs are 1 apart, so that no score lets only one of them in.
		"faces/selfie/lax/fmr": 4.0 / 11, "faces/selfie/lax/fnmr": 0.25,
		"documents/falsely_valid": math.NaN(), "attacks/worst/apcer": math.NaN(), "bona_fide/n": math.NaN(), "engine_errors": 0,
	})
	c := rep.Faces[0]
	if c.People != 2 || c.Profiles[0].Again != 1 || c.Profiles[1].Again != 1 || c.Equal == nil || len(c.AtFMR) != 1 || c.AtFMR[0].FNMR.K != 4 {
		t.Errorf("%+v", c)
	}
}

func TestPairs(t *testing.T) {
	rep := run(t, people.with(files{"faces/pairs.csv": "a,b,same\n# pictures and people\na/1.jpg,a/2.jpg,true\na,c,false\nb/1.jpg,c/1.webp,0\n",
		"documents/x/1.jpg":  text(t, saw{Verdict: api.Pass, Face: new(float64)}),
		"documents/x/1.json": `{"verdict": "pass", "holder": "a"}`}), eval.Options{})
	metrics(t, rep, map[string]float64{"faces/selfie/genuine": 1, "faces/selfie/impostor": 4,
		// The portrait at 0 with a's three pictures and c's one; b is not known to be another.
		"faces/portrait x/genuine": 3, "faces/portrait x/impostor": 1, "faces/portrait x/strict/fnmr": 1.0 / 3,
		"documents/x/as_expected": 1})
}

func TestDocuments(t *testing.T) {
	const truth = `{"document": {"type": "passport", "format": "TD3", "number": "N1", "mrz": ["A", "B"]}}`
	unsure := good("N2")
	unsure.Verdict, unsure.Checks = api.CannotTell, map[string]api.Outcome{api.CheckMRZ: api.CannotTell, api.CheckMRZDigits: api.Pass}
	licence := saw{Verdict: api.Pass, Document: &api.Document{Type: api.DriversLicense, Format: "AAMVA", Number: "L"}, Checks: map[string]api.Outcome{api.CheckBarcode: api.Pass, api.CheckBarcodeFields: api.Pass}}
	f := files{}
	for _, d := range []files{
		doc(t, "documents/1/exact", truth, good("N1")),
		doc(t, "documents/1/false", truth, good("N2")),
		doc(t, "documents/1/unsure", truth, unsure),
		doc(t, "documents/1/nothing", truth, saw{Verdict: api.Fail, Reason: api.ReasonMRZNotFound}),
		doc(t, "documents/1/card", `{"document": {"type": "id_card", "format": "TD1", "number": "N1"}}`, good("N1")), // misread type
		doc(t, "documents/1/licence", `{"document": {"type": "drivers_license", "number": "L"}}`, licence),
		doc(t, "documents/2/refused", `{"verdict": "fail", "reason": "document_expired"}`, saw{Verdict: api.Fail, Reason: api.ReasonDocumentExpired}),
		doc(t, "documents/2/otherwise", `{"verdict": "fail", "reason": "document_expired"}`, saw{Verdict: api.Fail, Reason: api.ReasonMRZNotFound}),
		doc(t, "documents/2/accepted", `{"verdict": "fail"}`, good("N1")),
	} {
		maps.Copy(f, d)
	}
	var odd []string
	rep := run(t, f, eval.Options{Workers: 3, Progress: func(_, _ int, what string) {
		if what != "" {
			odd = append(odd, what)
		}
	}})
	metrics(t, rep, map[string]float64{
		"documents/1/mrz/exact": 0.2, "documents/1/mrz/decided": 0.2, "documents/1/mrz/n": 5, "documents/1/mrz/falsely_valid": 2,
		"documents/1/TD3/exact": 0.25, "documents/1/TD3/falsely_valid": 1, "documents/1/TD1/exact": 0, "documents/1/TD1/falsely_valid": 1,
		"documents/1/barcode/exact": 1, "documents/1/barcode/n": 1,
		"documents/2/as_expected": 1.0 / 3, "documents/2/expected": 3, "documents/2/mrz/n": math.NaN(),
		"documents/falsely_valid": 2, "documents/wrongly_accepted": 1,
	})
	if len(odd) != 6 {
		t.Errorf("%d items are odd: %q", len(odd), odd)
	}
}

func TestSequences(t *testing.T) {
	f := files{}
	for _, s := range []files{
		sequence("attacks/print/1", api.Fail), sequence("attacks/print/2", api.CannotTell), sequence("attacks/mask/1", api.Pass), sequence("attacks/mask/2", api.Fail),
		sequence("bona_fide/1", api.Pass), sequence("bona_fide/2", api.Pass), sequence("bona_fide/3", api.Fail), sequence("bona_fide/4", "unknown"),
	} {
		maps.Copy(f, s)
	}
	metrics(t, run(t, f, eval.Options{}), map[string]float64{
		"attacks/print/apcer": 0, "attacks/print/apcer_high": 1 - math.Sqrt(0.05), "attacks/print/n": 2, "attacks/mask/apcer": 0.5, "attacks/worst/apcer": 0.5,
		"bona_fide/passed": 0.5, "bona_fide/bpcer": 0.25, "bona_fide/bpnrr": 0.25, "bona_fide/n": 4,
	})
	rep := run(t, f, eval.Options{Limit: 1})
	metrics(t, rep, map[string]float64{"attacks/print/n": 1, "attacks/mask/n": 1, "bona_fide/n": 1})
	if rep.Partial || rep.Limit != 1 {
		t.Error("limited is not partial, and said")
	}
}

func TestEndedEarly(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	rep, err := eval.Run(ctx, load(t, people), fake{}, eval.Options{Profiles: rows, Workers: 1, Progress: func(done, _ int, _ string) {
		if done == 3 {
			stop()
		}
	}})
	if err != nil || !rep.Partial || rep.Metrics["faces/selfie/genuine"] != 3 {
		t.Fatalf("%v, %+v", err, rep)
	}
	gate, err := eval.ParseGate([]byte(`{"bounds": {"engine_errors": {"max": 0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	if v := gate.Check(rep); len(v.Broken) != 1 || !strings.Contains(v.Broken[0], "partial") {
		t.Errorf("%+v", v)
	}
	stop()
	if rep, err = eval.Run(ctx, load(t, people), fake{}, eval.Options{}); err != nil || !rep.Partial {
		t.Errorf("ended before it began: %v, %+v", err, rep)
	}
}

func TestNothingToMeasureWith(t *testing.T) {
	if _, err := eval.Run(t.Context(), load(t, people), fake{missing: true}, eval.Options{}); !errors.Is(err, eval.ErrModels) {
		t.Error(err)
	}
	if _, err := eval.Run(t.Context(), load(t, people), fake{faulty: true}, eval.Options{Profiles: rows}); err == nil {
		t.Error("scores that are no numbers give figures")
	}
	if _, err := eval.Run(t.Context(), load(t, doc(t, "documents/1/a", `{"verdict":"pass"}`, saw{}).with(files{"documents/1/a.jpg": "{"})), fake{}, eval.Options{}); err == nil {
		t.Error("an error of the engine is lost")
	}
}

func TestFaultsOfTheEngineAreCounted(t *testing.T) {
	rep := run(t, doc(t, "documents/1/a", `{"document":{"type":"passport","number":"N"}}`, saw{Verdict: api.CannotTell, Reason: api.ReasonEngineError}), eval.Options{})
	metrics(t, rep, map[string]float64{"engine_errors": 1, "documents/1/mrz/exact": 0})
}

func TestLayout(t *testing.T) {
	ok := doc(t, "documents/1/a", `{"verdict":"pass"}`, saw{})
	for name, c := range map[string]struct {
		f    files
		says string
	}{
		"empty":                     {files{"README.md": ""}, "none of the folders"},
		"a misspelt folder":         {ok.with(files{"face/a/1.jpg": "0"}), "face is none of"},
		"only folders":              {files{"faces/pairs.csv": "", "documents/.keep": ""}, "it is empty"},
		"head":                      {ok.with(files{"dataset.json": `{"nam": "x"}`}), `dataset.json: json: unknown field "nam"`},
		"head, twice":               {ok.with(files{"dataset.json": `{} {}`}), "after the end"},
		"today":                     {ok.with(files{"dataset.json": `{"today": "1.3.2026"}`}), "want a day as"},
		"a face without a person":   {files{"faces/1.jpg": "0"}, "faces/1.jpg is a file"},
		"no pictures":               {files{"faces/a/.hidden": ""}, "faces/a has no pictures"},
		"a note among pictures":     {files{"faces/a/1.jpg": "0", "faces/a/notes.txt": ""}, "notes.txt is no picture"},
		"a folder among pictures":   {files{"faces/a/b/1.jpg": "0"}, "faces/a/b is a folder"},
		"pairs, columns":            {people.with(files{"faces/pairs.csv": "a,b\n"}), "a line is a,b,same"},
		"pairs, who":                {people.with(files{"faces/pairs.csv": "a,x,true\n"}), "line 1: faces/x is neither"},
		"pairs, same":               {people.with(files{"faces/pairs.csv": "a,b,same\na,b,maybe\n"}), `line 2: same is "maybe"`},
		"pairs, one person":         {people.with(files{"faces/pairs.csv": "a/1.jpg,a/2.jpg,false\n"}), "cannot be of different people"},
		"pairs, contradiction":      {people.with(files{"faces/pairs.csv": "a,b,true\nb,a,false\n"}), "contradicts"},
		"pairs, another":            {people.with(files{"faces/pairs.csv": "a/1.jpg,b,true\na/2.jpg,b/1.jpg,false\n"}), "were the same person"},
		"a truth alone":             {files{"documents/1/a.json": `{"verdict":"pass"}`}, "has no picture beside it"},
		"a picture alone":           {ok.with(files{"documents/1/b.jpg": "{}"}), "belong to no document"},
		"a back alone":              {ok.with(files{"documents/1/b-back.jpg": "{}"}), "belong to no document"},
		"a gap in further photos":   {ok.with(files{"documents/1/a-more-2.jpg": "{}"}), "belong to no document"},
		"five further photos":       {ok.with(files{"documents/1/a-more-1.jpg": "", "documents/1/a-more-2.jpg": "", "documents/1/a-more-3.jpg": "", "documents/1/a-more-4.jpg": "", "documents/1/a-more-5.jpg": ""}), "more than four"},
		"two of one name":           {ok.with(files{"documents/1/a.png": "{}"}), "two pictures called a"},
		"a document without level":  {files{"documents/a.jpg": "", "documents/a.json": ""}, "there must be a folder between"},
		"an empty truth":            {ok.with(files{"documents/1/a.json": `{}`}), "says neither"},
		"a truth's unknown field":   {ok.with(files{"documents/1/a.json": `{"document": {"surename": "X"}}`}), "surename"},
		"a verdict":                 {ok.with(files{"documents/1/a.json": `{"verdict": "maybe"}`}), `verdict is "maybe"`},
		"a reason to pass":          {ok.with(files{"documents/1/a.json": `{"verdict": "pass", "reason": "x"}`}), "a reason goes with"},
		"a holder":                  {ok.with(files{"documents/1/a.json": `{"verdict": "pass", "holder": "z"}`}), "no faces/z"},
		"a text":                    {ok.with(files{"documents/1/a.txt": ""}), "neither a picture"},
		"no species":                {sequence("attacks/1", "fail"), "is a case itself"},
		"no case":                   {sequence("bona_fide", "pass"), "is a case itself"},
		"no challenge":              {files{"bona_fide/1/frames.json": `{"frames":[]}`}, "bona_fide/1 has no challenge.json"},
		"no frames":                 {sequence("bona_fide/1", "pass").with(files{"bona_fide/1/frames.json": `{"frames":[]}`}), "names 0 frames"},
		"a frame that is not there": {sequence("bona_fide/1", "pass").with(files{"bona_fide/1/frames.json": `{"frames":[{"file":"z.jpg"}]}`}), "z.jpg, which frames.json names"},
		"a frame elsewhere":         {sequence("bona_fide/1", "pass").with(files{"bona_fide/1/frames.json": `{"frames":[{"file":"../2/z.jpg"}]}`}), "is not the name of a picture"},
		"a frame that is none":      {sequence("bona_fide/1", "pass").with(files{"bona_fide/1/frames.json": `{"frames":[{"file":"challenge.json"}]}`}), "is not the name of a picture"},
	} {
		t.Run(name, func(t *testing.T) {
			_, err := eval.Load(c.f.fs())
			if !errors.Is(err, eval.ErrLayout) || !strings.Contains(err.Error(), c.says) {
				t.Errorf("%v, want %q", err, c.says)
			}
		})
	}
	many := files{}
	for i := range 3000 {
		many[fmt.Sprintf("faces/a/%d.jpg", i)] = "1"
	}
	if _, err := eval.Load(many.fs()); !errors.Is(err, eval.ErrLayout) || !strings.Contains(err.Error(), "pairs.csv") {
		t.Error(err)
	}
}

func TestSumIsOfWhatIsUsed(t *testing.T) {
	base := people.with(sequence("bona_fide/1", "pass"))
	sum := func(f files) string { return load(t, f).SHA256 }
	want := sum(base)
	for name, c := range map[string]struct {
		more files
		same bool
	}{
		"a readme": {files{"README.md": "x"}, true}, "hidden": {files{".DS_Store": "x"}, true}, "an unused frame": {files{"bona_fide/1/c.jpg": "x"}, true},
		"a picture": {files{"faces/a/1.jpg": "7"}, false}, "another picture": {files{"faces/a/4.jpg": "7"}, false}, "a frame": {files{"bona_fide/1/b.jpg": "y"}, false},
		"pairs": {files{"faces/pairs.csv": "a,b,false\n"}, false}, "head": {files{"dataset.json": "{}"}, false},
	} {
		if (sum(base.with(c.more)) == want) != c.same {
			t.Error(name)
		}
	}
}

func TestGate(t *testing.T) {
	rep := &eval.Report{Metrics: map[string]float64{"attacks/a/apcer": 0, "attacks/b/apcer": 0.25, "n": 5, "bad": math.NaN()}}
	for gate, broken := range map[string][]string{
		`{"bounds": {"attacks/*/apcer": {"max": 0.25}, "n": {"min": 5, "max": 5}}}`: {},
		`{"bounds": {"attacks/*/apcer": {"max": 0.2}}}`:                             {"attacks/b/apcer is 0.25, at most 0.2 is wanted"},
		`{"bounds": {"n": {"min": 6}}}`:                                             {"n is 5, at least 6 is wanted"},
		`{"bounds": {"*": {"min": 0}}}`:                                             {"bad is NaN, at least 0 is wanted"},
		`{"bounds": {"bad": {"max": 9}}}`:                                           {"bad is NaN, at most 9 is wanted"},
		`{"bounds": {"attacks/*": {"min": 0}, "m": {"min": 0}}}`:                    {"attacks/* was not measured", "m was not measured"},
	} {
		g, err := eval.ParseGate([]byte(gate))
		if err != nil {
			t.Fatal(gate, err)
		}
		if v := g.Check(rep); !slices.Equal(v.Broken, broken) {
			t.Errorf("%s: %q, want %q", gate, v.Broken, broken)
		}
	}
	for _, bad := range []string{``, `{}`, `{"bounds": {}}`, `{"bounds": {"a": {}}}`, `{"bounds": {"[": {"min": 1}}}`, `{"bounds": {"a": {"min": "1"}}}`, `{"bounds": {"a": {"minimum": 1}}}`, `{"bounds": {"a": {"min": 1}}} x`} {
		if _, err := eval.ParseGate([]byte(bad)); err == nil {
			t.Error("taken:", bad)
		}
	}
}

// full is a folder with everything in it, and what people write.
func full(t testing.TB) files {
	f := maps.Clone(people)
	face := 2.0
	s := good("SECRETNUMBER")
	s.Face = &face
	for _, more := range []files{
		{"dataset.json": `{"name": "<script>alert(1)</script>", "material": "genuine", "note": "a & b", "today": "2026-03-01"}`},
		doc(t, "documents/1/secretname", `{"document": {"type": "passport", "format": "TD3", "number": "SECRETNUMBER"}, "holder": "a", "verdict": "pass"}`, s),
		sequence("attacks/print <b>/1", api.Fail), sequence("bona_fide/secretname", api.Pass),
	} {
		maps.Copy(f, more)
	}
	return f
}

func TestReports(t *testing.T) {
	now := time.Date(2026, 3, 4, 23, 0, 0, 0, time.FixedZone("", -5*3600))
	rep := run(t, full(t), eval.Options{Now: func() time.Time { return now }})
	gate, err := eval.ParseGate([]byte(`{"bounds": {"attacks/*/apcer": {"max": 0}, "no/such": {"max": 0}}}`))
	if err != nil {
		t.Fatal(err)
	}
	v := gate.Check(rep)
	rep.Gate = &v
	var asJSON, asHTML, asText bytes.Buffer
	for _, err := range []error{rep.WriteJSON(&asJSON), rep.WriteHTML(&asHTML), rep.WriteText(&asText)} {
		if err != nil {
			t.Fatal(err)
		}
	}
	var back eval.Report
	if err := json.Unmarshal(asJSON.Bytes(), &back); err != nil || back.Date != "2026-03-05" || back.Dataset.Today != "2026-03-01" || back.Dataset.Files != len(full(t)) {
		t.Errorf("%v, %+v", err, back.Dataset)
	}
	page := asHTML.String()
	for _, want := range []string{"2026-03-05", "genuine", "No independent laboratory", "The gate is broken", "no/such was not measured", strings.Repeat("ab", 32), "&lt;script&gt;", "<svg", "print &lt;b&gt;", back.Dataset.SHA256} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %q", want)
		}
	}
	for what, all := range map[string]string{"page": page, "JSON": asJSON.String(), "text": asText.String()} {
		for _, not := range []string{"SECRET", "secretname", "NaN"} {
			if strings.Contains(all, not) {
				t.Errorf("the %s has %q in it", what, not)
			}
		}
	}
	for _, not := range []string{"<script", "http:", "https:", "src=", "url(", "@import"} {
		if strings.Contains(page, not) {
			t.Errorf("the page has %q in it", not)
		}
	}
	// Every element is closed.
	d := xml.NewDecoder(strings.NewReader(page))
	d.Strict, d.AutoClose, d.Entity = false, xml.HTMLAutoClose, xml.HTMLEntity
	for {
		if _, err := d.Token(); err == io.EOF {
			break
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

func TestRenderedMaterialIsCalledThat(t *testing.T) {
	rep := run(t, people.with(sequence("bona_fide/1", api.Pass)), eval.Options{})
	var page bytes.Buffer
	if err := rep.WriteHTML(&page); err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"This material is rendered", "no rates of people", "an injection that succeeded"} {
		if !strings.Contains(page.String(), want) {
			t.Errorf("the page lacks %q", want)
		}
	}
}

// Labels are whatever somebody wrote: they are refused or used, and never break it.
func FuzzLoad(f *testing.F) {
	f.Add(`{"name":"x","today":"2026-03-01"}`, "a,b,same\na,b,false\n", `{"document":{"type":"passport"},"holder":"a"}`, `{"nonce":"0"}`, `{"frames":[{"file":"a.jpg"}]}`)
	f.Add(`{`, `"`, `{"types":null}`, `[]`, `{"frames":[{"file":"..\\a.jpg"},{"file":""}]}`)
	f.Fuzz(func(t *testing.T, head, pairs, truth, challenge, frames string) {
		d, err := eval.Load(people.with(sequence("bona_fide/1", api.Pass)).with(doc(t, "documents/1/a", truth, good("N"))).with(files{"dataset.json": head,
			"faces/pairs.csv": pairs, "bona_fide/1/challenge.json": challenge, "bona_fide/1/frames.json": frames}).fs())
		if err != nil {
			if !errors.Is(err, eval.ErrLayout) {
				t.Fatal(err)
			}
			return
		}
		rep, err := eval.Run(t.Context(), d, fake{}, eval.Options{Profiles: rows})
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(rep.WriteJSON(io.Discard), rep.WriteHTML(io.Discard), rep.WriteText(io.Discard)); err != nil {
			t.Fatal(err)
		}
	})
}

func FuzzParseGate(f *testing.F) {
	f.Add([]byte(`{"bounds": {"attacks/*/apcer": {"max": 0}}}`))
	f.Fuzz(func(t *testing.T, b []byte) {
		if g, err := eval.ParseGate(b); err == nil {
			if v := g.Check(&eval.Report{Metrics: map[string]float64{"attacks/a/apcer": 1}}); v.Checked == 0 && len(v.Broken) == 0 {
				t.Error("a gate that cannot fail")
			}
		}
	})
}
