package engine

import (
	"image"
	"math"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/api"
	"github.com/kosmoscope/kosmoscope/internal/engine/outline"
)

// How a document lies in its photo. Sharpness is judged before anything is read,
// on the document where its outline was found. What else may be wrong is judged
// after it: a photo that reads surely is not refused for a reflection, and one
// that does not is told why.
//
//	photo -> outlines (ID-1, ID-3) -> sharp? --no--> image_blurred
//	   | zone read, portrait looked for
//	another document beside it?                     --yes--> document_many_found
//	page of the zone: outline, or else from the zone -- leaves the photo --> document_cut_off
//	zone not read surely: glare on it? blurred?     --yes--> document_glare, image_blurred
//	straightened for its portrait: any colour?      --no---> document_screen
//	no zone, and no outline: beyond the border?     --yes--> document_cut_off
//	                                                --no---> document_not_found
//	no zone, and an outline: glare, blurred, small? --yes--> those, and image_too_small

const (
	// leastAcross is the least longer side of a document whose zone was not
	// found, pixels: the characters of a passport are then 9 pixels apart, and
	// package mrz leaves out what is less than 6 pixels high. It words a refusal
	// and never makes one.
	leastAcross = 460
	// legible is the sharpness below which misread characters are put down to the
	// blur. On specimens with any noise a zone that was read had 34 and more, and
	// one that was misread 28 and less.
	legible = 31
	// cutOff is how far a page that was reckoned from its zone may leave the
	// photo, part of its height. On 32 specimens of all levels such a page was off
	// by 0.14 at most.
	cutOff = 0.2
	// colours is the least that the colours of a document with a portrait differ
	// by: see colourless. 144 photos of specimens had 0.070 and more, 12 of grey
	// copies 0.006 and less, but for two of tinted ones with a reflection.
	colours = 0.015
	// glareZone is the part of the zone that a reflection may cover. A line has
	// 30 characters or more, and the height of the zone holds two or three.
	glareZone = 0.02
	// glarePortrait is the same for the face on the portrait.
	glarePortrait = 0.06
)

// side is one photo of a document.
type side struct {
	img   *image.RGBA
	look  outline.Picture
	found []outline.Card // documents that do not cover each other, of either shape, largest first
	sharp float64        // of the document, or of the photo where none was found
	zone  *Zone          // read on this photo, and the one that decides
	more  bool           // a further photo of a side that is here already
	page  *outline.Card  // on which that zone is, the right way up, if its outline was found
}

func newSide(img *image.RGBA) side {
	s := side{img: img, look: outline.Look(img)}
	s.found = s.look.Documents()
	if len(s.found) > 0 {
		s.sharp = sharpness(img, &s.found[0])
	} else {
		s.sharp = sharpness(img, nil)
	}
	return s
}

// findPage looks for the outline of the page that a TD2 or TD3 zone is on: the
// zone runs along its lower edge. The outline may also be that of a whole
// passport that lies open, of which the page is a half.
func (s *side) findPage() {
	if s.zone == nil || s.zone.Document.Format == "TD1" {
		return
	}
	for _, c := range s.look.Find(outline.ID3) {
		halves := c.Halves()
		for _, page := range []outline.Card{c, halves[0], halves[1]} {
			for range 2 {
				if zoneBelongs(s.zone.Corners, page) {
					s.page = &page
					return
				}
				page = page.Turned()
			}
		}
	}
}

// zoneBelongs reports whether a zone lies where Doc 9303-4 and 9303-6 have it:
// as wide as the page but for 6 to 7 mm at either end, and in its lowest 23.2 mm.
// On the specimens it began 0.04 to 0.07 of the page's width from the end, and
// lay between 0.77 and 0.95 of its height.
func zoneBelongs(zone [4]image.Point, page outline.Card) bool {
	within := func(x, low, high float64) bool { return x >= low && x <= high }
	for i, p := range zone {
		u, v := page.Place(outline.Point{X: float64(p.X), Y: float64(p.Y)})
		if i == 1 || i == 2 {
			u = 1 - u
		}
		if !within(u, -0.02, 0.14) || !within(v, 0.68, 1.01) {
			return false
		}
	}
	return true
}

// judgeCapture says in the check document_image what is wrong with how the
// document was photographed, once it was read or was not. zone is the one that
// decides, nil where there is none; searched says that nothing broke on the way.
func (r *run) judgeCapture(sides []side, zone *Zone, searched bool) {
	r.check(api.CheckDocumentImage, func() finding {
		f := r.found[api.CheckDocumentImage]
		surely := zone != nil && zone.DigitsOK && r.found[api.CheckMRZ].outcome == api.Pass
		if c := captured(sides, surely, zone == nil && searched); f.outcome == api.Pass && c.reason != "" {
			f.outcome, f.reason, f.detail = c.outcome, c.reason, c.detail
		}
		return f
	})
}

// captured gives no reason where nothing is wrong. surely says that the zone was
// read, and nowhere that nothing was found to read.
func captured(sides []side, surely, nowhere bool) finding {
	photos := 0
	for _, s := range sides {
		if !s.more {
			photos++
		}
	}
	outlines := 0
	for i := range sides {
		s := &sides[i]
		outlines += len(s.found)
		if s.many(photos) {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentManyFound, detail: "The photo shows more than one document; only one may be in it."}
		}
		if s.zone == nil {
			continue
		}
		if s.page == nil && s.zone.Document.Format != "TD1" && leaves(cornersOf(pageAround(s.zone, 0)), s.img.Rect) > cutOff {
			return finding{outcome: api.Fail, reason: api.ReasonDocumentCutOff, detail: "A part of the document is outside the photo; all of it must be in it."}
		}
		switch {
		case surely:
		case glare(s.img, cornersOf(s.zone.Corners)) > glareZone:
			return reflection
		case s.sharp < legible:
			return blurred
		}
	}
	if !nowhere {
		return finding{}
	}
	// The zone is on the last photo, if anywhere: the back of a
	// card, or the only page.
	s := &sides[len(sides)-1]
	switch {
	case len(s.found) > 0 && glareOnZone(s.img, s.found[0]):
		return reflection
	case len(s.found) > 0 && s.sharp < legible:
		return blurred
	case len(s.found) > 0 && s.found[0].Long() < leastAcross:
		return finding{outcome: api.Fail, reason: api.ReasonImageTooSmall, detail: "The document is too small in the photo; come closer."}
	case outlines > 0:
		return finding{}
	case s.look.CutOff():
		return finding{outcome: api.Fail, reason: api.ReasonDocumentCutOff, detail: "The document goes beyond the border of the photo; all of it must be in it."}
	}
	return finding{outcome: api.Fail, reason: api.ReasonDocumentNotFound, detail: "No document was found in the photo; lay it flat on a plain background of another colour, with all four edges in the photo."}
}

var (
	reflection = finding{outcome: api.Fail, reason: api.ReasonDocumentGlare, detail: "A reflection covers a part of the document that must be read; tilt it a little, away from the light."}
	copied     = finding{outcome: api.Fail, reason: api.ReasonDocumentScreen, detail: "The document has no colours: this is the photo of a copy, or a grey one; photograph the document itself, in colour."}
	blurred    = finding{outcome: api.Fail, reason: api.ReasonImageBlurred, detail: "The photo of the document is not sharp; hold the camera still and closer."}
)

// colourless reports whether a straightened document has no colour but that of
// the light: then it is a copy, or somebody took the colour away. Documents are
// printed in colour so that copies show. Measured is how much the ratios of the
// channels vary, as natural logarithms, from one part of the document to another.
func colourless(flat *image.RGBA) bool {
	const across = 24 // parts to the long side; each has so many pixels that noise does not count
	k := flat.Rect.Dx() / across
	if k < 4 {
		return false
	}
	var n float64
	var sum, squares [2]float64
	for by := 0; by+k <= flat.Rect.Dy(); by += k {
		for bx := 0; bx+k <= flat.Rect.Dx(); bx += k {
			var s [3]float64
			for y := by; y < by+k; y += 2 {
				row := flat.Pix[flat.PixOffset(bx, y):]
				for x := 0; x < k; x += 2 {
					for c := range 3 {
						s[c] += float64(row[4*x+c])
					}
				}
			}
			pixels := float64(((k + 1) / 2) * ((k + 1) / 2))
			if s[1] < 40*pixels || max(s[0], s[1], s[2]) > 250*pixels {
				continue // too dark or too bright to have a colour
			}
			n++
			for i, c := range [2]int{0, 2} {
				ratio := math.Log((s[c] + pixels) / (s[1] + pixels))
				sum[i], squares[i] = sum[i]+ratio, squares[i]+ratio*ratio
			}
		}
	}
	if n < across { // next to nothing to go by
		return false
	}
	variance := 0.0
	for i := range sum {
		variance += squares[i]/n - sum[i]*sum[i]/(n*n)
	}
	return variance < colours*colours
}

// many reports whether the photo shows more than the one document. A card's two
// sides may be in one photo, and a passport's two pages are one document.
func (s *side) many(photos int) bool {
	if s.page != nil {
		return slices.ContainsFunc(s.found, func(c outline.Card) bool {
			return !c.Covers(*s.page) && !c.Adjoins(*s.page) && c.Area() > 0.4*s.page.Area()
		})
	}
	most := 2
	if photos > 1 {
		most = 1
	}
	return len(s.found) > most
}

func cornersOf(c [4]image.Point) (out [4]outline.Point) {
	for i, p := range c {
		out[i] = outline.Point{X: float64(p.X), Y: float64(p.Y)}
	}
	return out
}

// leaves is how far the corners of a page lie outside the photo, the farthest of
// them, part of the page's height.
func leaves(page [4]outline.Point, photo image.Rectangle) float64 {
	height := math.Hypot(page[3].X-page[0].X, page[3].Y-page[0].Y)
	far := 0.0
	for _, p := range page {
		far = max(far, -p.X, -p.Y, p.X-float64(photo.Dx()), p.Y-float64(photo.Dy()))
	}
	return far / max(height, 1)
}

// glareOnZone reports whether a reflection covers a part of where the zone of a
// document is, whichever way up it lies.
func glareOnZone(img *image.RGBA, c outline.Card) bool {
	for _, d := range []outline.Card{c, c.Turned()} {
		// The lowest part: 17 of 54 mm on a card, 23 of 88 mm on a page.
		a, b := d.Corners[0], d.Corners[1]
		low, high := d.Corners[3], d.Corners[2]
		along := func(p, q outline.Point) outline.Point {
			return outline.Point{X: p.X + 0.7*(q.X-p.X), Y: p.Y + 0.7*(q.Y-p.Y)}
		}
		if glare(img, [4]outline.Point{along(a, low), along(b, high), high, low}) > 3*glareZone {
			return true
		}
	}
	return false
}

// glare is the part of a region that reflections cover: patches in which every
// channel is full, with a soft border. Paper may be as bright, but ends at print
// or at its edge, and there hard.
func glare(img *image.RGBA, region [4]outline.Point) float64 {
	const (
		full = 250 // grey levels
		soft = 45  // the mean of what the luma falls by within reach of the border
	)
	card := outline.Card{Corners: region}
	box := image.Rect(math.MaxInt32, math.MaxInt32, math.MinInt32, math.MinInt32)
	for _, p := range region {
		box.Min.X, box.Min.Y = min(box.Min.X, int(p.X)), min(box.Min.Y, int(p.Y))
		box.Max.X, box.Max.Y = max(box.Max.X, int(p.X)+1), max(box.Max.Y, int(p.Y)+1)
	}
	box = box.Intersect(img.Rect)
	// Few and large pixels: specks of noise are no reflection.
	k := max(box.Dx()/240, 1)
	reach := 2
	w, h := box.Dx()/k, box.Dy()/k
	if w < 8 || h < 4 {
		return 0
	}
	part := img.SubImage(image.Rect(box.Min.X, box.Min.Y, box.Min.X+w*k, box.Min.Y+h*k)).(*image.RGBA)
	small := shrink(part, max(w, h))
	w, h = small.Rect.Dx(), small.Rect.Dy()
	luma := func(x, y int) float64 {
		p := small.Pix[small.PixOffset(min(max(x, 0), w-1), min(max(y, 0), h-1)):]
		return 0.299*float64(p[0]) + 0.587*float64(p[1]) + 0.114*float64(p[2])
	}
	bright := make([]bool, w*h)
	inside, covered := 0, 0
	for y := range h {
		for x := range w {
			if !card.Holds(outline.Point{X: float64(box.Min.X) + (float64(x)+0.5)*float64(k), Y: float64(box.Min.Y) + (float64(y)+0.5)*float64(k)}) {
				continue
			}
			inside++
			p := small.Pix[small.PixOffset(x, y):]
			bright[y*w+x] = min(p[0], p[1], p[2]) >= full
		}
	}
	// Patch by patch.
	var stack []int
	for i := range bright {
		if !bright[i] {
			continue
		}
		size, border, fall := 0, 0, 0.0
		bright[i] = false
		stack = append(stack[:0], i)
		for len(stack) > 0 {
			at := stack[len(stack)-1]
			stack = stack[:len(stack)-1]
			size++
			x, y := at%w, at/w
			for _, d := range [4][2]int{{1, 0}, {-1, 0}, {0, 1}, {0, -1}} {
				u, v := x+d[0], y+d[1]
				if u < 0 || v < 0 || u >= w || v >= h {
					continue
				}
				if bright[v*w+u] {
					bright[v*w+u] = false
					stack = append(stack, v*w+u)
				} else if q := small.Pix[small.PixOffset(u, v):]; min(q[0], q[1], q[2]) < full {
					border++
					fall += luma(x, y) - luma(x+reach*d[0], y+reach*d[1])
				}
			}
		}
		if size >= 12 && (border == 0 || fall/float64(border) < soft) {
			covered += size
		}
	}
	if inside == 0 {
		return 0
	}
	return float64(covered) / float64(inside)
}
