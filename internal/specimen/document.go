package specimen

import (
	_ "embed"
	"image"
	"image/color"
	"math"
	"math/rand/v2"
	"strings"
	"sync"

	"golang.org/x/image/draw"
	"golang.org/x/image/font"
	"golang.org/x/image/font/gofont/gobold"
	"golang.org/x/image/font/gofont/goregular"
	"golang.org/x/image/font/opentype"
	"golang.org/x/image/math/fixed"
)

// Kinds of documents.
const (
	KindPassport        = "passport"         // TD3, one side
	KindIDCard          = "id_card"          // TD1, portrait on the front, zone on the back
	KindResidencePermit = "residence_permit" // TD2, one side
)

// Width of a rendered document in pixels.
const Width = 1400

// Document is what is printed. Dates are YYYY-MM-DD, Sex is F, M or X, Issuer
// and Nationality are ICAO codes of up to three letters.
type Document struct {
	Kind        string
	Surname     string
	GivenNames  string
	Number      string
	Nationality string
	Issuer      string
	BirthDate   string
	IssueDate   string
	ExpiryDate  string
	Sex         string
	Optional    string // personal number of a passport, optional data of the others
	Optional2   string // second optional data of an id_card (line 2)

	Portrait image.Image // nil leaves a grey silhouette
	Ghost    bool        // print the portrait a second time, small and pale

	NoMRZ           bool   // leave the zone away
	AlterCheckDigit string // document_number, birth_date, expiry_date, personal_number, composite: print that digit wrong
}

// Passport, IDCard and ResidencePermit return a complete, valid document of
// the citizen of Utopia that ICAO Doc 9303 uses in its examples, with an expiry
// date far ahead. Change the fields you care about.
func Passport(portrait image.Image) Document {
	return Document{
		Kind: KindPassport, Surname: "Eriksson", GivenNames: "Anna Maria", Number: "L898902C3",
		Nationality: "UTO", Issuer: "UTO", BirthDate: "1974-08-12", IssueDate: "2024-04-16",
		ExpiryDate: "2034-04-15", Sex: "F", Optional: "ZE184226B", Portrait: portrait,
	}
}

// IDCard is Passport's sibling in TD1.
func IDCard(portrait image.Image) Document {
	d := Passport(portrait)
	d.Kind, d.Number, d.Optional = KindIDCard, "D23145890", ""
	return d
}

// ResidencePermit is Passport's sibling in TD2.
func ResidencePermit(portrait image.Image) Document {
	d := Passport(portrait)
	d.Kind, d.Number, d.Optional = KindResidencePermit, "D23145890", ""
	return d
}

// Physical sizes in millimetres, Doc 9303 parts 4, 5 and 6.
var sizes = map[string][2]float64{
	KindPassport:        {125, 88},
	KindIDCard:          {85.6, 54},
	KindResidencePermit: {105, 74},
}

// Render draws the document flat, Width pixels wide. The back is nil except for
// an id_card.
func (d Document) Render() (front, back image.Image) {
	p := newSheet(d, 1)
	p.visualZone()
	if d.Kind != KindIDCard {
		p.machineZone()
		return p.img, nil
	}
	q := newSheet(d, 2)
	q.machineZone()
	q.text("Identity card of a country that does not exist.", 4, 6, 2.2, false)
	q.text("SPECIMEN - no value as a document", 4, 10, 2.2, true)
	for i := range 14 { // a bar pattern, as backs often have
		q.fill(60+float64(i)*1.5, 5, 0.4+0.3*float64(i%3), 9, color.NRGBA{60, 60, 60, 255})
	}
	return p.img, q.img
}

// BothSides puts front above back on one picture, as a scanner does. With a nil
// back it returns the front.
func BothSides(front, back image.Image) image.Image {
	if back == nil {
		return front
	}
	const gap = 40
	f, b := front.Bounds(), back.Bounds()
	out := image.NewRGBA(image.Rect(0, 0, max(f.Dx(), b.Dx()), f.Dy()+gap+b.Dy()))
	draw.Draw(out, out.Bounds(), image.NewUniform(color.NRGBA{196, 192, 186, 255}), image.Point{}, draw.Src)
	draw.Draw(out, image.Rect(0, 0, f.Dx(), f.Dy()), front, f.Min, draw.Src)
	draw.Draw(out, image.Rect(0, f.Dy()+gap, b.Dx(), f.Dy()+gap+b.Dy()), back, b.Min, draw.Src)
	return out
}

// sheet is one side under construction; its methods take millimetres.
type sheet struct {
	d    Document
	img  *image.RGBA
	w, h float64 // mm
	px   float64 // pixels per mm
}

func newSheet(d Document, side uint64) *sheet {
	size, ok := sizes[d.Kind]
	if !ok {
		panic("specimen: unknown kind of document " + d.Kind)
	}
	px := Width / size[0]
	s := &sheet{d: d, w: size[0], h: size[1], px: px,
		img: image.NewRGBA(image.Rect(0, 0, Width, int(math.Round(size[1]*px))))}
	s.background(side)
	return s
}

// background is a pale wash with families of sine curves, like the guilloches
// that make real documents hard to read.
func (s *sheet) background(side uint64) {
	seed := uint64(14695981039346656037)
	for _, c := range []byte(s.d.Kind + s.d.Number + s.d.Surname) {
		seed = (seed ^ uint64(c)) * 1099511628211
	}
	r := rand.New(rand.NewPCG(seed, side))
	b := s.img.Bounds()
	hue := r.Float64() * 2 * math.Pi
	for y := range b.Dy() {
		for x := range b.Dx() {
			t := float64(x)/float64(b.Dx()) + 0.5*float64(y)/float64(b.Dy())
			c := func(phase float64) uint8 { return uint8(232 + 12*wave(hue+phase+2.2*t)) }
			s.img.SetRGBA(x, y, color.RGBA{c(0), c(2.1), c(4.2), 255})
		}
	}
	for range 4 {
		ink := color.NRGBA{uint8(90 + r.IntN(110)), uint8(90 + r.IntN(110)), uint8(90 + r.IntN(110)), 110}
		amp, freq := 10+40*r.Float64(), (1+3*r.Float64())*2*math.Pi/float64(b.Dx())
		freq2, phase := freq*(2+3*r.Float64()), r.Float64()*6
		step := 22 + 20*r.Float64()
		for k := -4; float64(k)*step < float64(b.Dy())+200; k++ {
			for x := range b.Dx() {
				fx := float64(x)
				y := float64(k)*step + amp*wave(freq*fx+phase) + amp*0.4*wave(freq2*fx+phase*2+float64(k)*0.2)
				y0 := math.Floor(y)
				s.blend(x, int(y0), ink, 1-(y-y0))
				s.blend(x, int(y0)+1, ink, y-y0)
			}
		}
	}
}

func (s *sheet) blend(x, y int, c color.NRGBA, a float64) {
	if !(image.Point{X: x, Y: y}).In(s.img.Bounds()) {
		return
	}
	a *= float64(c.A) / 255
	i := s.img.PixOffset(x, y)
	for k, v := range []uint8{c.R, c.G, c.B} {
		s.img.Pix[i+k] = uint8(float64(s.img.Pix[i+k])*(1-a) + float64(v)*a)
	}
}

func (s *sheet) rect(x, y, w, h float64) image.Rectangle {
	return image.Rect(int(x*s.px), int(y*s.px), int((x+w)*s.px), int((y+h)*s.px))
}

func (s *sheet) fill(x, y, w, h float64, c color.NRGBA) {
	draw.Draw(s.img, s.rect(x, y, w, h), image.NewUniform(c), image.Point{}, draw.Over)
}

// text draws s with its baseline at y; size is the em in millimetres.
func (s *sheet) text(t string, x, y, size float64, bold bool) {
	s.textIn(t, x, y, size, bold, color.NRGBA{28, 28, 40, 255})
}

func (s *sheet) textIn(t string, x, y, size float64, bold bool, c color.NRGBA) {
	f := face(fonts().regular, size*s.px)
	if bold {
		f = face(fonts().bold, size*s.px)
	}
	d := font.Drawer{Dst: s.img, Src: image.NewUniform(c), Face: f,
		Dot: fixed.Point26_6{X: fixed.Int26_6(x * s.px * 64), Y: fixed.Int26_6(y * s.px * 64)}}
	d.DrawString(t)
}

func (s *sheet) visualZone() {
	k := s.h / 88 // the layout was drawn for a passport page
	top := "UTOPIA"
	title := map[string]string{KindPassport: "PASSPORT / PASSEPORT", KindIDCard: "IDENTITY CARD", KindResidencePermit: "RESIDENCE PERMIT"}[s.d.Kind]
	s.fill(0, 0, s.w, 9*k, color.NRGBA{40, 70, 120, 60})
	s.text(top, 5*k, 6.5*k, 4.5*k, true)
	s.text(title, 32*k, 6.3*k, 3.4*k, false)

	// The photograph: 35 x 45 mm on a passport, Doc 9303-4.
	box := s.rect(5*k, 14*k, 35*k, 45*k)
	if s.d.Kind == KindIDCard {
		box = s.rect(4*k, 16*k, 42*k, 54*k)
	}
	if s.d.Portrait != nil {
		draw.CatmullRom.Scale(s.img, box, s.d.Portrait, fit(s.d.Portrait.Bounds(), box), draw.Src, nil)
	} else {
		draw.Draw(s.img, box, image.NewUniform(color.NRGBA{200, 200, 200, 255}), image.Point{}, draw.Src)
		s.text("NO PHOTO", float64(box.Min.X)/s.px+2*k, float64(box.Max.Y)/s.px-4*k, 4*k, true)
	}
	if s.d.Ghost && s.d.Portrait != nil {
		ghost := s.rect(s.w-20*k, 40*k, 14*k, 18*k)
		mask := image.NewUniform(color.Alpha{110})
		small := image.NewRGBA(image.Rect(0, 0, ghost.Dx(), ghost.Dy()))
		draw.CatmullRom.Scale(small, small.Bounds(), s.d.Portrait, fit(s.d.Portrait.Bounds(), ghost), draw.Src, nil)
		draw.DrawMask(s.img, ghost, small, image.Point{}, mask, image.Point{}, draw.Over)
	}

	x := 45 * k
	if s.d.Kind == KindIDCard {
		x = 52 * k
	}
	rows := [][2]string{
		{"Surname", strings.ToUpper(s.d.Surname)},
		{"Given names", strings.ToUpper(s.d.GivenNames)},
		{"Nationality", s.d.Nationality},
		{"Document no.", s.d.Number},
		{"Date of birth / Sex", s.d.BirthDate + "   " + s.d.Sex},
		{"Date of issue", s.d.IssueDate},
		{"Date of expiry", s.d.ExpiryDate},
	}
	y := 15 * k
	step := 6.6 * k
	if s.d.Kind == KindIDCard {
		step = 9.6 * k
	}
	for _, row := range rows {
		s.textIn(row[0], x, y, 1.9*k, false, color.NRGBA{60, 80, 120, 255})
		s.text(row[1], x, y+3.4*k, 3.2*k, true)
		y += step
	}
	s.textIn("SPECIMEN", s.w*0.40, 0.64*s.h, 11*k, true, color.NRGBA{190, 40, 40, 70})
	s.textIn("SPECIMEN", s.w-34*k, 12.6*k, 4*k, true, color.NRGBA{190, 40, 40, 220})
}

// fit is the largest part of src with the shape of dst, a little above centre
// because faces are.
func fit(src, dst image.Rectangle) image.Rectangle {
	w, h := src.Dx(), src.Dy()
	if w*dst.Dy() > h*dst.Dx() {
		w = h * dst.Dx() / dst.Dy()
	} else {
		h = w * dst.Dy() / dst.Dx()
	}
	x, y := src.Min.X+(src.Dx()-w)/2, src.Min.Y+(src.Dy()-h)/3
	return image.Rect(x, y, x+w, y+h)
}

// machineZone prints the lines in OCR-B size 1: ten characters to the inch,
// lines a quarter inch apart, on a zone of plain paper colour at the foot.
func (s *sheet) machineZone() {
	const pitch = 2.54
	lines := s.d.MRZ()
	n := 2
	if s.d.Kind == KindIDCard {
		n = 3
	}
	spacing := 6.35
	last := s.h - 8.2 // centre of the last line above the lower edge
	if n == 3 {
		spacing, last = 6.0, s.h-5.6
	}
	top := last - float64(n-1)*spacing - 4.5
	s.fill(0, top, s.w, s.h-top, color.NRGBA{246, 244, 238, 120})
	for i, line := range lines {
		left := (s.w - float64(len(line))*pitch) / 2
		y := last - float64(n-1-i)*spacing
		drawZoneLine(s.img, line, left*s.px, y*s.px, pitch*s.px, color.NRGBA{24, 22, 26, 255})
	}
}

// drawZoneLine prints one line at a fixed pitch, each character centred in its
// cell: left edge x, vertical centre y, all in pixels.
func drawZoneLine(dst draw.Image, line string, x, y, pitch float64, ink color.Color) {
	f := face(fonts().ocrb, pitch/ocrbAdvance)
	d := font.Drawer{Dst: dst, Src: image.NewUniform(ink), Face: f}
	base := y + ocrbCapital/2*pitch/ocrbAdvance
	for i, r := range line {
		adv, _ := f.GlyphAdvance(r)
		cx := x + (float64(i)+0.5)*pitch
		d.Dot = fixed.Point26_6{X: fixed.Int26_6(cx*64) - adv/2, Y: fixed.Int26_6(base * 64)}
		d.DrawString(string(r))
	}
}

//go:embed fonts/ocrb-mrz.ttf
var ocrbTTF []byte

// Proportions of the OCR-B font, as parts of the em.
const (
	ocrbAdvance = 0.7228
	ocrbCapital = 0.6960
)

type fontSet struct{ ocrb, regular, bold *opentype.Font }

var fonts = sync.OnceValue(func() fontSet {
	parse := func(b []byte) *opentype.Font {
		f, err := opentype.Parse(b)
		if err != nil {
			panic("specimen: embedded font: " + err.Error())
		}
		return f
	}
	return fontSet{ocrb: parse(ocrbTTF), regular: parse(goregular.TTF), bold: parse(gobold.TTF)}
})

// OCRB is the font of the machine-readable zone, for the reader's training program.
func OCRB() *opentype.Font { return fonts().ocrb }

func face(f *opentype.Font, size float64) font.Face {
	ff, err := opentype.NewFace(f, &opentype.FaceOptions{Size: size, DPI: 72, Hinting: font.HintingNone})
	if err != nil {
		panic("specimen: font face: " + err.Error())
	}
	return ff
}
