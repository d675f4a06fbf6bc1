package engine

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"image"
	"image/jpeg"
	"math"
	"slices"
	"strings"
	"time"

	"golang.org/x/image/draw"
	"golang.org/x/image/math/f64"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/outline"
)

// MaxMore is how many further photos of the side with the zone count.
const MaxMore = 4

// document carries out the checks on a document and gives its portrait, or nil
// when there is none. more are further photos of the side with the zone. The
// error is the context's.
//
// A TD1 card has its zone on the back and its portrait on the front, in two
// photos or in one; every other document has both on one page. Nothing outside
// the card or that page counts as the portrait.
func (r *run) document(ctx context.Context, types []string, front, back []byte, more [][]byte) (*Face, error) {
	if onlyLicences(types) {
		r.asLicence()
		if r.v.cfg.Barcodes == nil {
			r.check(api.CheckBarcode, func() finding { return noBarcodes })
			return nil, nil
		}
	}
	blobs := [][]byte{front}
	if len(back) > 0 {
		blobs = append(blobs, back)
	}
	sides, err := r.photos(ctx, blobs)
	if err != nil || sides == nil {
		return nil, err
	}
	for _, b := range blobs {
		r.examined(api.Evidence{Type: "document"}, b)
	}
	if face, handled, err := r.licence(ctx, types, sides, more); handled || err != nil {
		return face, err
	}
	sides, zone, searched, err := r.zone(ctx, sides, blobs, more[:min(len(more), MaxMore)])
	if err != nil {
		return nil, err
	}
	if zone != nil {
		r.judgeZone(zone, types)
	}
	r.judgeCapture(sides, zone, searched)
	var face *Face
	r.check(api.CheckDocumentPortrait, func() finding {
		var f finding
		face, f = r.findPortrait(ctx, sides)
		return f
	})
	return face, ctx.Err()
}

// photos decodes the sides. It gives nil when one of them cannot be used.
func (r *run) photos(ctx context.Context, blobs [][]byte) ([]side, error) {
	var sides []side
	var err error
	r.check(api.CheckDocumentImage, func() finding {
		t := r.v.cfg.Thresholds
		least := math.Inf(1)
		for _, b := range blobs {
			var s side
			if s, err = r.photo(ctx, b); err != nil {
				sides = nil
				f, _ := pictureFinding(err)
				return f
			}
			least = min(least, s.sharp)
			sides = append(sides, s)
		}
		f := finding{outcome: api.Pass, score: ptr(round(least)), threshold: ptr(t.DocumentSharpness), detail: "The photo can be read."}
		if !(least >= t.DocumentSharpness) {
			sides = nil
			f.outcome, f.reason, f.detail = blurred.outcome, blurred.reason, blurred.detail
		}
		return f
	})
	if _, ok := pictureFinding(err); ok {
		err = nil
	}
	return sides, err
}

// photo decodes one photo of a document. The error is of decode.
func (r *run) photo(ctx context.Context, b []byte) (side, error) {
	t := r.v.cfg.Thresholds
	img, err := r.v.pictures.decode(ctx, b, documentSide, t.DocumentLong, t.DocumentShort)
	if err != nil {
		return side{}, err
	}
	return newSide(img), nil
}

// zone reads the machine-readable zone, on the back first where there is one,
// and on every further photo. It gives the photos that matter from here on, the
// zone that decides, which is that of one of them, and whether nothing broke on
// the way. The error is the context's.
func (r *run) zone(ctx context.Context, sides []side, blobs, more [][]byte) (_ []side, _ *Zone, searched bool, err error) {
	var reads []side // the photos with a zone
	var unknown bool
	look := func(s side) error {
		z, err := r.v.zones.ReadZone(s.img, r.v.cfg.Now())
		switch {
		case err == nil:
			s.zone = z
			reads = append(reads, s)
		case errors.Is(err, ErrUnknownZone):
			unknown = true
		case !errors.Is(err, ErrNoZone):
			return err
		}
		return nil
	}
	var zone *Zone
	r.check(api.CheckMRZ, func() finding {
		for i := len(sides) - 1; i >= 0 && len(reads) == 0; i-- {
			if broken := look(sides[i]); broken != nil {
				return r.internal(api.CheckMRZ, broken)
			}
		}
		for i, b := range more {
			// The same file again is no second look.
			if slices.ContainsFunc(slices.Concat(blobs, more[:i]), func(o []byte) bool { return bytes.Equal(o, b) }) {
				continue
			}
			s, unusable := r.photo(ctx, b)
			if f, ok := pictureFinding(unusable); ok {
				r.check(api.CheckDocumentImage, func() finding { return f })
				return finding{outcome: api.CannotTell, reason: f.reason, detail: "One of the further photos cannot be used."}
			}
			if err = unusable; err != nil {
				return finding{}
			}
			s.more = true
			r.examined(api.Evidence{Type: "document"}, b)
			if broken := look(s); broken != nil {
				return r.internal(api.CheckMRZ, broken)
			}
			// Only a photo that is still to come can take the place of the best one,
			// so the pictures of the others need not be held.
			for j := range reads {
				if best, _ := agreed(reads); reads[j].more && reads[j].img != best.img {
					reads[j].img, reads[j].look = nil, outline.Picture{}
				}
			}
		}
		searched = true
		if len(reads) == 0 {
			return finding{outcome: api.Fail, reason: api.ReasonMRZNotFound, detail: "The lines of letters and arrows at the edge of the document were not found; the whole document must be in the photo."}
		}
		best, f := agreed(reads)
		zone = best.zone
		// What is looked for on the page is looked for on the one that was read.
		best.findPage()
		if i := slices.IndexFunc(sides, func(s side) bool { return s.img == best.img }); i >= 0 {
			sides[i] = best
		} else {
			sides = append(sides, best)
		}
		return f
	})
	if zone == nil && unknown {
		r.check(api.CheckDocumentType, func() finding {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentUnsupported, detail: "The machine-readable zone is neither a passport's nor an identity card's."}
		})
	}
	return sides, zone, searched, cmp.Or(err, ctx.Err())
}

// agreed says which of the reads of one zone decides, and what the check mrz
// comes to. A read that is sure decides alone, unless another sure one differs.
// One that is not decides nothing, until that of another photo agrees with it in
// every character: both would have to be wrong in the same way.
func agreed(reads []side) (side, finding) {
	sure := func(s side) bool { return s.zone.DigitsOK && !s.zone.Unsure }
	same := func(a, b side) bool { return slices.Equal(a.zone.Document.MRZ, b.zone.Document.MRZ) }
	if i := slices.IndexFunc(reads, sure); i >= 0 {
		if slices.ContainsFunc(reads, func(s side) bool { return sure(s) && !same(s, reads[i]) }) {
			return reads[i], finding{outcome: api.Fail, reason: api.ReasonDocumentAgain, detail: "The photos show different machine-readable zones; all must be of one document."}
		}
		return reads[i], finding{outcome: api.Pass, detail: "The machine-readable zone was found and read."}
	}
	for i, s := range reads {
		if s.zone.DigitsOK && slices.ContainsFunc(reads[:i], func(t side) bool { return same(s, t) }) {
			return s, finding{outcome: api.Pass, detail: "The machine-readable zone was read alike on two photos."}
		}
	}
	if i := slices.IndexFunc(reads, func(s side) bool { return s.zone.DigitsOK }); i >= 0 {
		return reads[i], finding{outcome: api.CannotTell, reason: api.ReasonDocumentAgain, detail: "A part of the machine-readable zone that no check digit protects could not be read with certainty; another photo of the same side is needed."}
	}
	return reads[0], finding{outcome: api.Pass, detail: "The machine-readable zone was found and read."}
}

// judgeZone carries out the checks on what was read.
func (r *run) judgeZone(z *Zone, types []string) {
	d := z.Document
	r.read = &d
	for i := range r.evidence {
		r.evidence[i].DocumentType, r.evidence[i].Format, r.evidence[i].Country = d.Type, d.Format, d.IssuingCountry
	}
	r.check(api.CheckDocumentType, func() finding {
		if len(types) > 0 && !slices.Contains(types, d.Type) {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentType, detail: "This is another type of document than was asked for."}
		}
		return finding{outcome: api.Pass, detail: "The document is of a type that was asked for."}
	})
	digits := r.check(api.CheckMRZDigits, func() finding {
		if !z.DigitsOK {
			return finding{outcome: api.Fail, reason: api.ReasonMRZCheckDigit, detail: "Check digits do not hold: " + strings.ReplaceAll(strings.Join(z.WrongDigits, ", "), "_", " ") + "."}
		}
		return finding{outcome: api.Pass, detail: "Every check digit holds."}
	})
	if digits.outcome != api.Pass {
		return // a date whose digits do not hold says nothing
	}
	now := r.v.cfg.Now().UTC()
	r.check(api.CheckDocumentExpiry, func() finding {
		until, err := time.Parse(time.DateOnly, d.ExpiryDate)
		if err != nil {
			return finding{outcome: api.CannotTell, reason: api.ReasonMRZUnreadable, detail: "The date of expiry is not a date."}
		}
		// Valid to the end of that day, UTC.
		if !now.Before(until.AddDate(0, 0, 1)) {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentExpired, detail: "The document has expired."}
		}
		return finding{outcome: api.Pass, detail: "The document has not expired."}
	})
	r.check(api.CheckDocumentRules, func() finding { return plausible(d, now) })
}

// findPortrait looks on the page with the zone. Where no zone says where the
// page lies, as on the front of a TD1 card, it looks on what has the outline of
// a card, and there only at the size and the place of a card's portrait:
// otherwise the photo of a face would count as a document.
func (r *run) findPortrait(ctx context.Context, sides []side) (*Face, finding) {
	refused := finding{outcome: api.Fail, reason: api.ReasonPortraitNotFound, detail: noCard}
	for _, s := range sides {
		if s.zone == nil || s.zone.Document.Format == "TD1" {
			continue
		}
		img, page := s.img, pageAround(s.zone, generous)
		if s.page != nil {
			img = s.page.Straighten(s.img)
			page = whole(img)
			if colourless(img) {
				return nil, copied
			}
		}
		face, err := r.v.faces.Portrait(img, page)
		if errors.Is(err, ErrNoFace) {
			refused.detail = "No portrait was found on the document."
			return nil, refused
		}
		return r.portraitOn(img, face, err, "The portrait on the document was found.")
	}
	var short error // what falls short on the first face that was found on a card
	for _, s := range sides {
		for _, card := range s.look.Find(outline.ID1) {
			if ctx.Err() != nil {
				return nil, refused // the caller looks at the context
			}
			face, flat, err := r.portraitOnCard(s.img, card)
			switch {
			case errors.Is(err, ErrNoFace):
			case errors.Is(err, ErrFaceTooSmall), errors.Is(err, ErrFaceBlurred), errors.Is(err, ErrFaceUnusable):
				short = cmp.Or(short, err)
			default:
				if colourless(flat) {
					return nil, copied
				}
				detail := "The portrait on the card was found."
				if len(sides) > 1 {
					detail += " Nothing shows that the two photos are of the two sides of one card."
				}
				r.card = flat
				return r.portraitOn(flat, face, err, detail)
			}
		}
	}
	if short != nil {
		return r.portraitOn(nil, Face{}, short, "")
	}
	return nil, refused
}

// portraitOnCard looks for the portrait on a card, straightened as flat. The
// outline does not say which way is up, so both are tried. A face that is not
// where a portrait is counts as none.
func (r *run) portraitOnCard(img *image.RGBA, card outline.Card) (face Face, flat *image.RGBA, err error) {
	var short error
	for range 2 {
		flat = card.Straighten(img)
		face, err = r.v.faces.Portrait(flat, whole(flat))
		switch {
		case err == nil && placedOnCard(face, flat.Rect):
			return face, flat, nil
		case err == nil, errors.Is(err, ErrNoFace):
		case errors.Is(err, ErrFaceTooSmall), errors.Is(err, ErrFaceBlurred), errors.Is(err, ErrFaceUnusable):
			short = cmp.Or(short, err)
		default:
			return Face{}, flat, err
		}
		card = card.Turned()
	}
	return Face{}, flat, cmp.Or(short, ErrNoFace)
}

// whole is a picture that is all page.
func whole(img *image.RGBA) [4]image.Point {
	w, h := img.Rect.Dx(), img.Rect.Dy()
	return [4]image.Point{{0, 0}, {w, 0}, {w, h}, {0, h}}
}

const noCard = "No card with a portrait was found; photograph the card's front, flat, on a plain background, with all four edges visible."

// portraitOn ends the search for the portrait with a face on img, or with err.
func (r *run) portraitOn(img *image.RGBA, face Face, err error, detail string) (*Face, finding) {
	switch {
	case errors.Is(err, ErrManyPeople):
		return nil, finding{outcome: api.Fail, reason: api.ReasonPortraitNotFound, detail: "The photo of the document shows more than one person; only the document may be in it."}
	case errors.Is(err, ErrFaceTooSmall):
		return nil, finding{outcome: api.Fail, reason: api.ReasonImageTooSmall, detail: "The portrait on the document is too small in the photo; come closer."}
	case errors.Is(err, ErrFaceBlurred):
		return nil, finding{outcome: api.Fail, reason: api.ReasonImageBlurred, detail: "The portrait on the document is not sharp; hold the camera still and closer."}
	case errors.Is(err, ErrFaceUnusable):
		return nil, finding{outcome: api.Fail, reason: api.ReasonPortraitNotFound, detail: "The portrait on the document cannot be used; avoid glare and shadows on it."}
	case err != nil:
		return nil, r.internal(api.CheckDocumentPortrait, err)
	}
	if glare(img, cornersOf([4]image.Point{face.Box.Min, {face.Box.Max.X, face.Box.Min.Y}, face.Box.Max, {face.Box.Min.X, face.Box.Max.Y}})) > glarePortrait {
		return nil, reflection
	}
	if r.portrait, err = portraitJPEG(img, face); err != nil {
		return nil, r.internal(api.CheckDocumentPortrait, err)
	}
	r.examined(api.Evidence{Type: "portrait"}, r.portrait)
	return &face, finding{outcome: api.Pass, detail: detail}
}

// placedOnCard reports whether a face is where the portrait of a TD1 card is,
// which lies on its side: upright, beside the middle, and from the brows to
// the chin a fifth to half as high as the card. On the specimens that height is
// 0.29 to 0.38 of the card's, and the middle of the face lies 0.16 to 0.20 of
// the card's width from its end and 0.49 to 0.54 of its height below its upper
// edge. Doc 9303-5 places the portrait at the left; some states print it at the
// right. Heads tilted by 45 degrees are among the test faces.
func placedOnCard(f Face, card image.Rectangle) bool {
	w, h := float64(card.Dx()), float64(card.Dy())
	x, y := float64(f.Box.Min.X+f.Box.Max.X)/2/w, float64(f.Box.Min.Y+f.Box.Max.Y)/2/h
	tall := float64(f.Box.Dy()) / h
	return math.Abs(f.Roll) <= 50 && tall >= 0.18 && tall <= 0.5 &&
		min(x, 1-x) >= 0.08 && min(x, 1-x) <= 0.4 && y >= 0.22 && y <= 0.78
}

// generous is the slack with which a portrait is looked for.
const generous = 0.06

// pageAround reckons where the page of a TD2 or TD3 document lies from its
// zone, in the order of reading: the zone runs along the lower edge. A TD3
// page is 125 x 88 mm and its lines 111.8 mm long (44 characters, 10 to the
// inch; Doc 9303-3 and 9303-4), a TD2 document 105 x 74 mm and its lines
// 91.4 mm. slack, in lengths of the lines, is added on every side.
func pageAround(z *Zone, slack float64) [4]image.Point {
	width, height := 125/111.8, 88/111.8
	if z.Document.Format == "TD2" {
		width, height = 105/91.4, 74/91.4
	}
	c := z.Corners
	left := [2]float64{float64(c[0].X+c[3].X) / 2, float64(c[0].Y+c[3].Y) / 2}
	right := [2]float64{float64(c[1].X+c[2].X) / 2, float64(c[1].Y+c[2].Y) / 2}
	ax, ay := right[0]-left[0], right[1]-left[1] // along the lines
	ux, uy := ay, -ax                            // up the page, as long as the lines
	side := (width-1)/2 + slack
	at := func(along, up float64) image.Point {
		return image.Pt(int(math.Round(left[0]+along*ax+up*ux)), int(math.Round(left[1]+along*ay+up*uy)))
	}
	// The zone's middle lies about a seventh of the page above its lower edge.
	top, bottom := height*6/7+slack, -height/7-slack
	return [4]image.Point{at(-side, top), at(1+side, top), at(1+side, bottom), at(-side, bottom)}
}

// portraitJPEG cuts the portrait out, level, with hair and shoulders, 360 x 450 pixels.
func portraitJPEG(img *image.RGBA, f Face) ([]byte, error) {
	const w, h = 360, 450
	size := float64(max(f.Box.Dx(), f.Box.Dy()))
	if size < 1 {
		return nil, errors.New("engine: empty face")
	}
	scale := w / (size * 2) // the face takes half of the width
	cx, cy := float64(f.Box.Min.X+f.Box.Max.X)/2, float64(f.Box.Min.Y+f.Box.Max.Y)/2
	sin, cos := math.Sincos(-f.Roll * math.Pi / 180)
	a, b := scale*cos, -scale*sin
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	m := f64.Aff3{a, b, w/2 - a*cx - b*cy, -b, a, h*0.52 + b*cx - a*cy}
	draw.ApproxBiLinear.Transform(out, m, img, img.Bounds(), draw.Src, nil)
	opaque(out)
	var buf bytes.Buffer
	if err := jpeg.Encode(&buf, out, &jpeg.Options{Quality: 90}); err != nil {
		return nil, err
	}
	return buf.Bytes(), nil
}
