package engine_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"image"
	"image/color"
	"image/draw"
	_ "image/jpeg"
	"image/png"
	"math"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

var update = flag.Bool("update", false, "write the golden files")

// zones is a ZoneReader that answers the same for every picture.
type zones struct {
	zone *engine.Zone
	err  error
}

func (z zones) ReadZone(*image.RGBA, time.Time) (*engine.Zone, error) { return z.zone, z.err }

// faces is a Faces with fixed answers.
type faces struct {
	portrait, selfie error
	likeness         engine.Likeness
	box              image.Rectangle            // of the portrait; a fixed one if empty
	pairs            map[string]engine.Likeness // of templates "a b" that differ from likeness
	compare, save    error
	load             error
}

func (f faces) Portrait(img *image.RGBA, _ [4]image.Point) (engine.Face, error) {
	if f.box.Empty() {
		f.box = image.Rect(100, 100, 200, 200)
	}
	return engine.Face{Box: f.box, Template: "portrait"}, f.portrait
}

// Selfie names the template after the picture's width.
func (f faces) Selfie(img *image.RGBA) (engine.Face, error) {
	return engine.Face{Template: fmt.Sprintf("selfie%d", img.Rect.Dx())}, f.selfie
}
func (f faces) Compare(a, b engine.Face) (engine.Likeness, error) {
	if l, ok := f.pairs[fmt.Sprint(a.Template, " ", b.Template)]; ok {
		return l, f.compare
	}
	return f.likeness, f.compare
}

// Save and Load take a template's name for its bytes; no name that begins with
// "foreign" is of these models.
func (f faces) Save(a engine.Face) ([]byte, error) { return []byte(fmt.Sprint(a.Template)), f.save }
func (f faces) Load(b []byte) (engine.Face, error) {
	if bytes.HasPrefix(b, []byte("foreign")) {
		return engine.Face{}, fmt.Errorf("%w: says the fake", engine.ErrForeign)
	}
	return engine.Face{Template: string(b)}, f.load
}
func (f faces) Models() []api.Model {
	return []api.Model{{Name: "blazeface-back", Version: "1.2.0", License: "Apache-2.0", SHA256: "aa"}}
}

func alike() engine.Likeness {
	return engine.Likeness{Fused: 4.2, Cosine: 0.79, Distance: 0.35, HasCosine: true}
}

func goodZone() *engine.Zone {
	return &engine.Zone{DigitsOK: true, Corners: [4]image.Point{{100, 500}, {900, 500}, {900, 560}, {100, 560}},
		Document: api.Document{Type: api.Passport, Format: "TD3", IssuingCountry: "UTO", Number: "L898902C3", Surname: "ERIKSSON",
			GivenNames: "ANNA MARIA", Nationality: "UTO", BirthDate: "1974-08-12", Sex: "F", ExpiryDate: "2034-04-15",
			MRZ: []string{"P<UTOERIKSSON<<ANNA<MARIA<<<<<<<<<<<<<<<<<<<", "L898902C36UTO7408122F3404159ZE184226B<<<<<10"}}}
}

// stripes is a PNG that is sharp and large enough for everything.
func stripes(w, h int) []byte {
	img := image.NewGray(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = byte(i / 3 % 2 * 200)
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

func plain(w, h int) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// cardPhoto is a striped card on a black table. The fixed answer of faces lies on
// it where a portrait would.
func cardPhoto() []byte {
	img := image.NewRGBA(image.Rect(0, 0, 1000, 700))
	draw.Draw(img, img.Rect, image.Black, image.Point{}, draw.Src)
	for y := 90; y < 90+505; y++ {
		for x := 100; x < 900; x++ {
			v := byte(180 + x/3%2*60)
			img.SetRGBA(x, y, color.RGBA{v, v, v - byte(x/20), 255})
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

var photo, selfie, card = stripes(1000, 700), stripes(800, 800), cardPhoto()

func full() api.VerifyRequest {
	return api.VerifyRequest{DocumentFront: photo, Selfies: [][]byte{selfie}, LivenessMode: api.LivenessNone}
}

func fullCard() api.VerifyRequest {
	r := full()
	r.DocumentFront, r.DocumentBack = card, photo
	return r
}

func TestVerify(t *testing.T) {
	zoneWith := func(change func(*engine.Zone)) engine.ZoneReader {
		z := goodZone()
		change(z)
		return zones{zone: z}
	}
	requestWith := func(change func(*api.VerifyRequest)) api.VerifyRequest {
		r := full()
		change(&r)
		return r
	}
	good := engine.ZoneReader(zones{zone: goodZone()})
	td1 := zoneWith(func(z *engine.Zone) { z.Document.Type, z.Document.Format = api.IDCard, "TD1" })
	const (
		p = "pass"
		f = "fail"
		c = "cannot_tell"
	)
	broken := errors.New("library says no")
	for i, k := range []struct {
		name    string
		zones   engine.ZoneReader
		faces   engine.Faces
		req     api.VerifyRequest
		verdict api.Outcome
		reason  string
		checks  []string // image, type, mrz, digits, expiry, rules, portrait, selfie, match [, liveness ...]
	}{
		{"all well", good, faces{likeness: alike()}, full(), p, "", []string{p, p, p, p, p, p, p, p, p}},
		{"one type of two", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentTypes = []string{"drivers_license", "passport"} }), p, "", []string{p, p, p, p, p, p, p, p, p}},
		{"driving licence only", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentTypes = []string{"drivers_license"} }), c, api.ReasonModelsMissing, []string{c, c, c, c, c, c, c, p, c}},
		{"other type", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentTypes = []string{"id_card"} }), f, api.ReasonDocumentType, []string{p, f, p, p, p, p, p, p, p}},
		{"passive", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.LivenessMode = "passive" }), c, api.ReasonLivenessWeak, []string{p, p, p, p, p, p, p, p, p, c}},
		{"active, no frames", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.LivenessMode = "active" }), c, api.ReasonLivenessIncomplete, []string{p, p, p, p, p, p, p, c, c, c, c, c, c, c}},
		{"no liveness mode at all", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.LivenessMode = "" }), f, api.ReasonLivenessUnavailable, []string{c, c, c, c, c, c, c, c, c, f}},
		{"active without models", good, nil, requestWith(func(r *api.VerifyRequest) { r.LivenessMode = "active" }), c, api.ReasonModelsMissing, []string{c, c, c, c, c, c, c, c, c, c, c, c, c, c}},
		{"no models", good, nil, full(), c, api.ReasonModelsMissing, []string{c, c, c, c, c, c, c, c, c}},
		{"not a picture", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront = []byte("<svg/>") }), f, api.ReasonImageUnreadable, []string{f, c, c, c, c, c, c, p, c}},
		{"back not a picture", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentBack = []byte("GIF89a") }), f, api.ReasonImageUnreadable, []string{f, c, c, c, c, c, c, p, c}},
		{"small document", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront = stripes(630, 500) }), f, api.ReasonImageTooSmall, []string{f, c, c, c, c, c, c, p, c}},
		{"flat document", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront = plain(1000, 700) }), f, api.ReasonImageBlurred, []string{f, c, c, c, c, c, c, p, c}},
		{"large file", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront = append(bytes.Clone(photo), make([]byte, 12<<20)...) }), f, api.ReasonImageTooLarge, []string{f, c, c, c, c, c, c, p, c}},
		{"no zone", zones{err: engine.ErrNoZone}, faces{likeness: alike()}, fullCard(), f, api.ReasonMRZNotFound, []string{p, c, f, c, c, c, p, p, p}},
		{"a visa", zones{err: engine.ErrUnknownZone}, faces{likeness: alike()}, fullCard(), f, api.ReasonDocumentUnsupported, []string{p, f, f, c, c, c, p, p, p}},
		{"reader breaks", zones{err: broken}, faces{likeness: alike()}, fullCard(), c, api.ReasonEngineError, []string{p, c, c, c, c, c, p, p, p}},
		{"wrong digit", zoneWith(func(z *engine.Zone) { z.DigitsOK = false; z.WrongDigits = []string{"birth_date"} }), faces{likeness: alike()}, full(), f, api.ReasonMRZCheckDigit, []string{p, p, p, f, c, c, p, p, p}},
		{"unsure name", zoneWith(func(z *engine.Zone) { z.Unsure = true }), faces{likeness: alike()}, full(), c, api.ReasonDocumentAgain, []string{p, p, c, p, p, p, p, p, p}},
		{"expired yesterday", zoneWith(func(z *engine.Zone) { z.Document.ExpiryDate = "2026-02-28" }), faces{likeness: alike()}, full(), f, api.ReasonDocumentExpired, []string{p, p, p, p, f, p, p, p, p}},
		{"expires today", zoneWith(func(z *engine.Zone) { z.Document.ExpiryDate = "2026-03-01" }), faces{likeness: alike()}, full(), p, "", []string{p, p, p, p, p, p, p, p, p}},
		{"no expiry date", zoneWith(func(z *engine.Zone) { z.Document.ExpiryDate = "" }), faces{likeness: alike()}, full(), c, api.ReasonMRZUnreadable, []string{p, p, p, p, c, c, p, p, p}},
		{"no zone, no card", zones{err: engine.ErrNoZone}, faces{likeness: alike()}, full(), f, api.ReasonDocumentNotFound, []string{f, c, f, c, c, c, f, p, c}},
		{"card", td1, faces{likeness: alike()}, fullCard(), p, "", []string{p, p, p, p, p, p, p, p, p}},
		{"card, sides swapped", td1, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront, r.DocumentBack = photo, card }), p, "", []string{p, p, p, p, p, p, p, p, p}},
		{"a face instead of a card", td1, faces{likeness: alike()}, full(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"faces instead of both sides", td1, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) {
			r.DocumentBack = selfie[:len(selfie):len(selfie)]
			r.Selfies = [][]byte{stripes(900, 900)}
		}), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"card with a face in its middle", td1, faces{likeness: alike(), box: image.Rect(350, 150, 450, 300)}, fullCard(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"card with a tiny face", td1, faces{likeness: alike(), box: image.Rect(100, 200, 160, 260)}, fullCard(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"card that a face fills", td1, faces{likeness: alike(), box: image.Rect(10, 50, 400, 450)}, fullCard(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"card with a blurred portrait", td1, faces{portrait: engine.ErrFaceBlurred}, fullCard(), f, api.ReasonImageBlurred, []string{p, p, p, p, p, p, f, p, c}},
		{"card with two people", td1, faces{portrait: engine.ErrManyPeople}, fullCard(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"card, search breaks", td1, faces{portrait: broken}, fullCard(), c, api.ReasonEngineError, []string{p, p, p, p, p, p, c, p, c}},
		{"one file for document and selfie", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.Selfies = [][]byte{selfie, bytes.Clone(photo)} }), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"one file for back and selfie", td1, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.DocumentFront, r.DocumentBack = photo, card; r.Selfies = [][]byte{card} }), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"no portrait", good, faces{portrait: engine.ErrNoFace}, full(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"two people on the document", good, faces{portrait: engine.ErrManyPeople}, full(), f, api.ReasonPortraitNotFound, []string{p, p, p, p, p, p, f, p, c}},
		{"blurred portrait", good, faces{portrait: engine.ErrFaceBlurred}, full(), f, api.ReasonImageBlurred, []string{p, p, p, p, p, p, f, p, c}},
		{"portrait search breaks", good, faces{portrait: broken}, full(), c, api.ReasonEngineError, []string{p, p, p, p, p, p, c, p, c}},
		{"no selfie", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.Selfies = nil }), f, api.ReasonSelfieMissing, []string{p, p, p, p, p, p, p, f, c}},
		{"empty selfie", good, faces{likeness: alike()}, requestWith(func(r *api.VerifyRequest) { r.Selfies = [][]byte{selfie, nil} }), f, api.ReasonImageUnreadable, []string{p, p, p, p, p, p, p, f, c}},
		{"nobody", good, faces{selfie: engine.ErrNoFace}, full(), f, api.ReasonSelfieNoFace, []string{p, p, p, p, p, p, p, f, c}},
		{"two people", good, faces{selfie: engine.ErrManyFaces}, full(), f, api.ReasonSelfieManyFaces, []string{p, p, p, p, p, p, p, f, c}},
		{"selfie breaks", good, faces{selfie: broken}, full(), c, api.ReasonEngineError, []string{p, p, p, p, p, p, p, c, c}},
		{"fail before cannot tell", zones{err: broken}, faces{selfie: engine.ErrNoFace}, fullCard(), f, api.ReasonSelfieNoFace, []string{p, c, c, c, c, c, p, f, c}},
	} {
		if raced && i%6 != 0 {
			continue
		}
		t.Run(k.name, func(t *testing.T) {
			v := engine.New(k.zones, k.faces, engine.Config{Now: at(today)})
			rep, err := v.Verify(t.Context(), &k.req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != k.verdict || rep.Reason != k.reason {
				t.Errorf("%s %q, want %s %q", rep.Verdict, rep.Reason, k.verdict, k.reason)
			}
			var got []string
			for _, c := range rep.Checks {
				got = append(got, string(c.Outcome))
				if c.Detail == "" || (c.Score == nil) != (c.Threshold == nil) {
					t.Errorf("%s: %+v", c.Name, c)
				}
				for _, personal := range []string{"ERIKSSON", "L898902C3", "1974"} {
					if strings.Contains(c.Detail, personal) {
						t.Errorf("%s: detail names %q", c.Name, personal)
					}
				}
			}
			if strings.Join(got, " ") != strings.Join(k.checks, " ") {
				t.Errorf("checks\n got %v\nwant %v", got, k.checks)
			}
			if rep.Assessed || rep.Engine.Framework != "kosmoscope-embedded" {
				t.Errorf("engine: %+v, assessed %v", rep.Engine, rep.Assessed)
			}
			b, _ := json.Marshal(rep)
			if _, err := api.ParseReport(b); err != nil {
				t.Errorf("our own client refuses it: %v", err)
			}
		})
	}
}

func TestFaceMatch(t *testing.T) {
	nan := math.NaN()
	like := func(cosine, distance float64, has bool) engine.Likeness {
		l := engine.Likeness{Cosine: cosine, Distance: distance, HasCosine: has, Fused: ((1 - distance) - 0.38) / 0.11}
		if has {
			l.Fused += (cosine - 0.35) / 0.16
		}
		return l
	}
	for _, c := range []struct {
		name   string
		l      engine.Likeness
		want   api.Outcome
		reason string
	}{
		{"at the pass point", like(0.50, 0.55, true), api.Pass, ""},
		{"cosine just short", like(0.4999, 0.30, true), api.CannotTell, api.ReasonFaceUncertain},
		{"distance just over", like(0.90, 0.5501, true), api.CannotTell, api.ReasonFaceUncertain},
		{"at the fail point", like(0.40, 0.60, true), api.CannotTell, api.ReasonFaceUncertain},
		{"cosine fails", like(0.3999, 0.30, true), api.Fail, api.ReasonFaceMismatch},
		{"distance fails", like(0.90, 0.6001, true), api.Fail, api.ReasonFaceMismatch},
		{"distance alone passes", like(0, 0.55, false), api.Pass, ""},
		{"distance alone unsure", like(0, 0.58, false), api.CannotTell, api.ReasonFaceUncertain},
		{"distance alone fails", like(0, 0.61, false), api.Fail, api.ReasonFaceMismatch},
		{"not a number", like(nan, 0.1, true), api.CannotTell, api.ReasonFaceUncertain},
		{"no distance", like(0.9, nan, true), api.CannotTell, api.ReasonFaceUncertain},
		{"strangers", engine.Likeness{Fused: -100, Cosine: -1, Distance: 10}, api.Fail, api.ReasonFaceMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			v := engine.New(zones{zone: goodZone()}, faces{likeness: c.l}, engine.Config{Now: at(today)})
			req := full()
			rep, err := v.Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			match := rep.Checks[8]
			if rep.Verdict != c.want || rep.Reason != c.reason || match.Outcome != c.want {
				t.Errorf("%s %s, %+v", rep.Verdict, rep.Reason, match)
			}
			if match.Score == nil || *match.Score < 0 || *match.Score > 1 || match.Outcome == api.Pass && *match.Score < *match.Threshold {
				t.Errorf("score %v, threshold %v", match.Score, match.Threshold)
			}
		})
	}
}

// TestReportGolden fixes the wire form, with the durations set to zero.
func TestReportGolden(t *testing.T) {
	v := engine.New(zones{zone: goodZone()}, faces{likeness: alike()}, engine.Config{Now: at(today), Version: "1.2.3"})
	req := full()
	rep, err := v.Verify(t.Context(), &req)
	if err != nil {
		t.Fatal(err)
	}
	if img, err := pngOrJPEG(rep.Portrait); err != nil || img != image.Pt(360, 450) {
		t.Errorf("portrait %v, %v", img, err)
	}
	golden(t, "report.json", rep)
}

// golden compares a report, without portrait, durations and sums, with a file.
func golden(t *testing.T, name string, rep *api.Report) {
	t.Helper()
	rep.Portrait = nil
	for i := range rep.Checks {
		rep.Checks[i].DurationMS = 0
	}
	for i := range rep.Evidence {
		rep.Evidence[i].SHA256 = strings.Repeat("0", len(rep.Evidence[i].SHA256))
	}
	got, _ := json.MarshalIndent(rep, "", "  ")
	got = append(got, '\n')
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("got\n%s", got)
	}
}

func pngOrJPEG(b []byte) (image.Point, error) {
	c, _, err := image.DecodeConfig(bytes.NewReader(b))
	return image.Pt(c.Width, c.Height), err
}

func TestDocumentAndSelfie(t *testing.T) {
	v := engine.New(zones{zone: goodZone()}, faces{}, engine.Config{Now: at(today)})
	rep, err := v.Document(t.Context(), &api.DocumentRequest{DocumentFront: photo, DocumentBack: photo})
	if err != nil || rep.Verdict != api.Pass || len(rep.Checks) != 7 || rep.Document.Number != "L898902C3" {
		t.Errorf("%+v, %v", rep, err)
	}
	rep, err = v.Selfie(t.Context(), &api.SelfieRequest{Selfie: photo})
	if err != nil || rep.Verdict != api.Pass || len(rep.Checks) != 1 {
		t.Errorf("%+v, %v", rep, err)
	}
	rep, err = v.Selfie(t.Context(), &api.SelfieRequest{})
	if err != nil || rep.Verdict != api.Fail || rep.Reason != api.ReasonSelfieMissing {
		t.Errorf("%+v, %v", rep, err)
	}
	none := engine.New(zones{zone: goodZone()}, nil, engine.Config{})
	if rep, err := none.Document(t.Context(), &api.DocumentRequest{DocumentFront: photo}); err != nil || rep.Verdict != api.CannotTell || rep.Reason != api.ReasonModelsMissing || len(rep.Checks) != 7 {
		t.Errorf("%+v, %v", rep, err)
	}
	if rep, err := none.Selfie(t.Context(), &api.SelfieRequest{Selfie: photo}); err != nil || rep.Verdict != api.CannotTell {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestCancelled(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	v := engine.New(zones{zone: goodZone()}, faces{likeness: alike()}, engine.Config{Now: at(today)})
	req := full()
	if rep, err := v.Verify(ctx, &req); !errors.Is(err, context.Canceled) {
		t.Errorf("%+v, %v", rep, err)
	}
}

func TestOpen(t *testing.T) {
	v, closeModels, err := engine.Open(filepath.Join(t.TempDir(), "none"), "full", engine.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer closeModels()
	if models, present := v.Models(); present || len(models) != 0 {
		t.Errorf("models out of nowhere: %v", models)
	}
	if _, _, err := engine.Open("", "everything", engine.Config{}); err == nil {
		t.Error("an unknown set is accepted")
	}
}
