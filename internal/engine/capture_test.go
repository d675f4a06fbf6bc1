package engine_test

import (
	"bytes"
	"fmt"
	"image"
	"image/color"
	"image/png"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/kosmoscope/kosmoscope/internal/engine"
	"github.com/kosmoscope/kosmoscope/internal/engine/api"
)

// byWidth is a ZoneReader that answers by the width of the picture.
type byWidth map[int]*engine.Zone

func (z byWidth) ReadZone(img *image.RGBA, _ time.Time) (*engine.Zone, error) {
	if zone := z[img.Rect.Dx()]; zone != nil {
		return zone, nil
	}
	return nil, engine.ErrNoZone
}

// outcomes are the checks on a document by name.
func outcomes(rep *api.Report) map[string]api.Outcome {
	out := map[string]api.Outcome{}
	for _, c := range rep.Checks {
		out[c.Name] = c.Outcome
	}
	return out
}

// TestAgreement: a read that is unsure decides nothing until another photo's own
// read agrees with it.
func TestAgreement(t *testing.T) {
	if raced {
		t.Skip("pictures with nothing concurrent about them: they run without the race detector")
	}
	zone := func(number string, unsure, digits bool) *engine.Zone {
		z := goodZone()
		z.Document.Number, z.Unsure, z.DigitsOK = number, unsure, digits
		z.Corners = [4]image.Point{{60, 330}, {640, 330}, {640, 380}, {60, 380}}
		z.Document.MRZ = []string{z.Document.MRZ[0], number + z.Document.MRZ[1][9:]}
		if !digits {
			z.WrongDigits = []string{"document_number"}
		}
		return z
	}
	sure, unsure, other, otherUnsure, wrong := zone("L898902C3", false, true), zone("L898902C3", true, true), zone("X111111X1", false, true), zone("X111111X1", true, true), zone("L898902CB", false, false)
	for _, c := range []struct {
		name   string
		reads  []*engine.Zone // of the front and of the further photos; nil has no zone
		again  bool           // send the front once more as a further photo
		want   api.Outcome
		reason string
		number string
	}{
		{"unsure alone", []*engine.Zone{unsure}, false, api.CannotTell, api.ReasonDocumentAgain, "L898902C3"},
		{"unsure twice", []*engine.Zone{unsure, unsure}, false, api.Pass, "", "L898902C3"},
		{"the same file twice", []*engine.Zone{unsure}, true, api.CannotTell, api.ReasonDocumentAgain, "L898902C3"},
		{"then surely", []*engine.Zone{unsure, sure}, false, api.Pass, "", "L898902C3"},
		{"first surely", []*engine.Zone{sure, unsure}, false, api.Pass, "", "L898902C3"},
		{"unsure and different", []*engine.Zone{unsure, otherUnsure}, false, api.CannotTell, api.ReasonDocumentAgain, "L898902C3"},
		{"unsure, different, and the second again", []*engine.Zone{unsure, otherUnsure, nil, otherUnsure}, false, api.Pass, "", "X111111X1"},
		{"sure of two things", []*engine.Zone{sure, other}, false, api.Fail, api.ReasonDocumentAgain, "L898902C3"},
		{"sure of two things, third photo", []*engine.Zone{unsure, sure, other}, false, api.Fail, api.ReasonDocumentAgain, "L898902C3"},
		{"misread, then surely", []*engine.Zone{wrong, sure}, false, api.Pass, "", "L898902C3"},
		{"wrong twice", []*engine.Zone{wrong, wrong}, false, api.Fail, api.ReasonMRZCheckDigit, "L898902CB"},
		{"misread, then unsure", []*engine.Zone{wrong, unsure}, false, api.CannotTell, api.ReasonDocumentAgain, "L898902C3"},
		{"no zone, then surely", []*engine.Zone{nil, sure}, false, api.Pass, "", "L898902C3"},
		{"a sixth photo does not count", []*engine.Zone{unsure, nil, nil, nil, nil, sure}, false, api.CannotTell, api.ReasonDocumentAgain, "L898902C3"},
	} {
		t.Run(c.name, func(t *testing.T) {
			reads := byWidth{}
			var photos [][]byte
			for i, z := range c.reads {
				reads[700+i] = z
				photos = append(photos, stripes(700+i, 420))
			}
			if c.again {
				photos = append(photos, bytes.Clone(photos[0]))
			}
			req := full()
			req.DocumentFront, req.DocumentMore = photos[0], photos[1:]
			rep, err := engine.New(reads, faces{likeness: alike()}, engine.Config{Now: at(today)}).Verify(t.Context(), &req)
			if err != nil {
				t.Fatal(err)
			}
			if rep.Verdict != c.want || rep.Reason != c.reason || rep.Document == nil || rep.Document.Number != c.number {
				t.Errorf("%s %q, %+v", rep.Verdict, rep.Reason, rep.Document)
			}
		})
	}
	t.Run("a further photo is no picture", func(t *testing.T) {
		req := full()
		req.DocumentFront = stripes(700, 420)
		req.DocumentMore = [][]byte{[]byte("GIF89a")}
		rep, err := engine.New(zones{zone: sure}, faces{likeness: alike()}, engine.Config{Now: at(today)}).Verify(t.Context(), &req)
		if err != nil || rep.Verdict != api.Fail || rep.Reason != api.ReasonImageUnreadable || outcomes(rep)[api.CheckDocumentImage] != api.Fail {
			t.Error(err, rep.Verdict, rep.Reason)
		}
	})
	t.Run("a further photo is the selfie", func(t *testing.T) {
		req := full()
		req.DocumentFront = stripes(700, 420)
		req.DocumentMore = [][]byte{bytes.Clone(selfie)}
		rep, err := engine.New(zones{zone: sure}, faces{likeness: alike()}, engine.Config{Now: at(today)}).Verify(t.Context(), &req)
		if err != nil || rep.Verdict != api.Fail || rep.Reason != api.ReasonPortraitNotFound {
			t.Error(err, rep.Verdict, rep.Reason)
		}
	})
}

// sheet is a rectangle on a photo, with fine print in colours or grey, or blank.
type sheet struct {
	image.Rectangle
	print int
}

const (
	printed = iota
	blank
	grey
)

// spot is a reflection: full in the middle, and soft towards its border.
type spot struct {
	x, y int
	r    float64
}

// shot is a photo of sheets on a dark table.
func shot(w, h int, sheets []sheet, spots ...spot) []byte {
	img := image.NewRGBA(image.Rect(0, 0, w, h))
	for i := range img.Pix {
		img.Pix[i] = []uint8{70, 60, 50, 255}[i%4]
	}
	r := rand.New(rand.NewPCG(1, 2))
	for _, s := range sheets {
		for y := max(s.Min.Y, 0); y < min(s.Max.Y, h); y++ {
			for x := max(s.Min.X, 0); x < min(s.Max.X, w); x++ {
				v := uint8(215)
				if r.IntN(4) == 0 {
					v = 120
				}
				if s.print == blank {
					v = 210
				}
				tint := uint8(40 * x / w)
				if s.print == grey {
					tint = 10
				}
				img.SetRGBA(x, y, color.RGBA{v, v, v - tint, 255})
			}
		}
	}
	for _, s := range spots {
		for y := range h {
			for x := range w {
				d := math.Hypot(float64(x-s.x), float64(y-s.y)) / s.r
				k := min(1.6*math.Exp(-d*d), 1)
				p := img.Pix[img.PixOffset(x, y):]
				for c := range 3 {
					p[c] = uint8(float64(p[c]) + (255-float64(p[c]))*k)
				}
			}
		}
	}
	var b bytes.Buffer
	if err := png.Encode(&b, img); err != nil {
		panic(err)
	}
	return b.Bytes()
}

// zoneOn is the zone of a page at r, as Doc 9303-4 has it.
func zoneOn(r image.Rectangle, unsure bool) *engine.Zone {
	z := goodZone()
	z.Unsure = unsure
	x0, x1 := r.Min.X+r.Dx()*49/1000, r.Min.X+r.Dx()*951/1000
	y0, y1 := r.Min.Y+r.Dy()*805/1000, r.Min.Y+r.Dy()*933/1000
	z.Corners = [4]image.Point{{x0, y0}, {x1, y0}, {x1, y1}, {x0, y1}}
	return z
}

func TestCapture(t *testing.T) {
	if raced {
		t.Skip("pictures with nothing concurrent about them: they run without the race detector")
	}
	page := image.Rect(150, 120, 150+1000, 120+704)
	upper := image.Rect(200, 60, 200+800, 60+563) // of a passport that lies open, and its lower page
	lower := upper.Add(image.Pt(0, 563))
	card := image.Rect(100, 60, 100+600, 60+378)
	face := image.Rect(200, 300, 400, 500)
	good := faces{likeness: alike(), box: face}
	td1 := func(r image.Rectangle) *engine.Zone {
		z := zoneOn(r, false)
		z.Document.Type, z.Document.Format = api.IDCard, "TD1"
		return z
	}
	for _, c := range []struct {
		name    string
		photo   []byte
		zone    *engine.Zone
		outcome api.Outcome // of document_image
		reason  string      // of the report
	}{
		{"a page", shot(1300, 1000, []sheet{{page, printed}}), zoneOn(page, false), api.Pass, ""},
		{"a page, and a reflection where it was read nevertheless", shot(1300, 1000, []sheet{{page, printed}}, spot{800, 730, 90}), zoneOn(page, false), api.Pass, ""},
		{"a reflection on the zone", shot(1300, 1000, []sheet{{page, printed}}, spot{800, 730, 90}), zoneOn(page, true), api.Fail, api.ReasonDocumentGlare},
		{"a reflection beside the zone", shot(1300, 1000, []sheet{{page, printed}}, spot{800, 400, 90}), zoneOn(page, true), api.Pass, api.ReasonDocumentAgain},
		{"a reflection, and no zone to be found", shot(1300, 1000, []sheet{{page, printed}}, spot{700, 730, 120}), nil, api.Fail, api.ReasonDocumentGlare},
		{"no zone", shot(1300, 1000, []sheet{{page, printed}}), nil, api.Pass, api.ReasonMRZNotFound},
		{"a page that fills the photo", shot(1300, 1000, []sheet{{image.Rect(-10, -10, 1310, 1010), printed}}), zoneOn(image.Rect(0, 20, 1300, 20+915), false), api.Pass, ""},
		{"the upper part outside", shot(1300, 1000, []sheet{{page.Sub(image.Pt(0, 420)), printed}}), zoneOn(page.Sub(image.Pt(0, 420)), false), api.Fail, api.ReasonDocumentCutOff},
		{"the right part outside", shot(1300, 1000, []sheet{{page.Add(image.Pt(350, 0)), printed}}), nil, api.Fail, api.ReasonDocumentCutOff},
		{"the left part outside", shot(1300, 1000, []sheet{{page.Sub(image.Pt(400, 0)), printed}}), nil, api.Fail, api.ReasonDocumentCutOff},
		{"nothing", shot(1300, 1000, []sheet{{image.Rect(600, 400, 700, 480), printed}}), nil, api.Fail, api.ReasonDocumentNotFound},
		{"far away", shot(1300, 1000, []sheet{{image.Rect(400, 400, 825, 700), printed}}), nil, api.Fail, api.ReasonImageTooSmall},
		{"a blank page", shot(1300, 1000, []sheet{{page, blank}}), nil, api.Fail, api.ReasonImageBlurred},
		{"a grey copy", shot(1300, 1000, []sheet{{page, grey}}), zoneOn(page, false), api.Pass, api.ReasonDocumentScreen},
		{"an open passport", shot(1200, 1300, []sheet{{upper, printed}, {lower, printed}}), zoneOn(lower, false), api.Pass, ""},
		{"an open passport, a white page", shot(1200, 1300, []sheet{{upper, blank}, {lower, printed}}), zoneOn(lower, false), api.Pass, ""},
		{"two passports", shot(1200, 1300, []sheet{{upper.Sub(image.Pt(0, 30)), printed}, {lower.Add(image.Pt(0, 50)), printed}}), zoneOn(lower.Add(image.Pt(0, 50)), false), api.Fail, api.ReasonDocumentManyFound},
		{"both sides of a card", shot(1000, 1000, []sheet{{card, printed}, {card.Add(image.Pt(0, 450)), printed}}), td1(card.Add(image.Pt(0, 450))), api.Pass, api.ReasonPortraitNotFound},
		{"three cards", shot(1500, 1000, []sheet{{card, printed}, {card.Add(image.Pt(0, 450)), printed}, {card.Add(image.Pt(700, 200)), printed}}), td1(card), api.Fail, api.ReasonDocumentManyFound},
	} {
		t.Run(c.name, func(t *testing.T) {
			var zr engine.ZoneReader = zones{err: engine.ErrNoZone}
			if c.zone != nil {
				zr = zones{zone: c.zone}
			}
			rep, err := engine.New(zr, good, engine.Config{Now: at(today)}).Document(t.Context(), &api.DocumentRequest{DocumentFront: c.photo})
			if err != nil {
				t.Fatal(err)
			}
			if got := outcomes(rep)[api.CheckDocumentImage]; got != c.outcome || rep.Reason != c.reason {
				t.Errorf("document_image %s, %s %q, want %s, %q; %s", got, rep.Verdict, rep.Reason, c.outcome, c.reason, rep.Checks[0].Detail)
			}
		})
	}
	if raced {
		return
	}
	t.Run("a reflection on the portrait", func(t *testing.T) {
		b := shot(1300, 1000, []sheet{{page, printed}}, spot{450, 520, 60})
		for _, box := range []image.Rectangle{image.Rect(200, 300, 400, 500), image.Rect(700, 100, 900, 300)} {
			rep, err := engine.New(zones{zone: zoneOn(page, false)}, faces{box: box}, engine.Config{Now: at(today)}).Document(t.Context(), &api.DocumentRequest{DocumentFront: b})
			if err != nil {
				t.Fatal(err)
			}
			if covered := box.Min.X == 200; (rep.Reason == api.ReasonDocumentGlare) != covered || covered != (rep.Portrait == nil) {
				t.Errorf("%v: %s %q", box, rep.Verdict, rep.Reason)
			}
		}
	})
	t.Run("two cards, and two photos", func(t *testing.T) {
		front := shot(1000, 1000, []sheet{{card, printed}, {card.Add(image.Pt(0, 450)), printed}})
		rep, err := engine.New(zones{zone: td1(card)}, good, engine.Config{Now: at(today)}).Document(t.Context(), &api.DocumentRequest{DocumentFront: front, DocumentBack: shot(1000, 700, []sheet{{card, printed}})})
		if err != nil || rep.Reason != api.ReasonDocumentManyFound {
			t.Error(err, rep.Verdict, rep.Reason)
		}
	})
}

// pages is a Faces that keeps the pages it was asked to look on.
type pages struct {
	faces
	seen *[]string
}

func (p pages) Portrait(img *image.RGBA, page [4]image.Point) (engine.Face, error) {
	*p.seen = append(*p.seen, fmt.Sprint(img.Rect.Size(), page))
	return p.faces.Portrait(img, page)
}

// TestStraightened: the portrait is looked for on the straightened page, the way
// up that its zone says, and on the photo where the outline was not found.
func TestStraightened(t *testing.T) {
	if raced {
		t.Skip("too many pixels, and nothing in it runs at once")
	}
	page := image.Rect(150, 120, 150+1000, 120+704)
	down := zoneOn(page, false)
	up := zoneOn(page, false) // the page lies on its head
	for i, p := range zoneOn(page, false).Corners {
		up.Corners[i] = image.Pt(1300-p.X, 944-p.Y)
	}
	for name, c := range map[string]struct {
		photo []byte
		zone  *engine.Zone
		flat  bool
	}{
		"upright":    {shot(1300, 1000, []sheet{{page, printed}}), down, true},
		"turned":     {shot(1300, 1000, []sheet{{page, printed}}), up, true},
		"no outline": {shot(1300, 1000, []sheet{{image.Rect(-10, -10, 1310, 1010), printed}}), down, false},
		"another's":  {shot(1300, 1000, []sheet{{image.Rect(150, 20, 150+800, 20+563), printed}}), down, false},
	} {
		t.Run(name, func(t *testing.T) {
			var seen []string
			if _, err := engine.New(zones{zone: c.zone}, pages{faces{}, &seen}, engine.Config{Now: at(today)}).Document(t.Context(), &api.DocumentRequest{DocumentFront: c.photo}); err != nil {
				t.Fatal(err)
			}
			if len(seen) != 1 || strings.HasPrefix(seen[0], "(1300,1000)") == c.flat {
				t.Errorf("looked on %v", slices.Clone(seen))
			}
		})
	}
}
