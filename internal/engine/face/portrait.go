package face

import (
	"cmp"
	"errors"
	"image"
	"math"
	"slices"
)

// ErrNoPortrait says that no convincing portrait was found.
var ErrNoPortrait = errors.New("face: no portrait found on the document")

// Page says where on a photo the document page lies: its corners in the order
// of reading, top left, top right, bottom right, bottom left, as somebody who
// reads the document sees it. The zero Page means that this is not known.
//
// Give it whenever the machine-readable zone tells it. Without it, the largest
// face in the picture counts, and that may be the face of a person who holds the
// document into the camera: then look at the others too.
type Page [4]Point

// frame is the upright or turned rectangle around the page.
func (p Page) frame() frame {
	across := middle(p[1], p[2]).sub(middle(p[0], p[3]))
	down := middle(p[3], p[2]).sub(middle(p[0], p[1]))
	return frame{
		centre: middle(middle(p[0], p[1]), middle(p[3], p[2])),
		width:  across.norm(), height: down.norm(),
		roll: math.Atan2(across.Y, across.X),
	}
}

// holds reports whether q lies on the page.
func (p Page) holds(q Point) bool {
	inside := 0
	for i := range p {
		if side := p[(i+1)%4].sub(p[i]).cross(q.sub(p[i])); side >= 0 {
			inside++
		}
	}
	return inside == 4
}

// plausible reports whether the page could be one: finite, not turned inside
// out, and not a sliver.
func (p Page) plausible() bool {
	for i := range p {
		a, b, c := p[i], p[(i+1)%4], p[(i+2)%4]
		if !a.finite() || !(b.sub(a).cross(c.sub(b)) > 16) {
			return false
		}
	}
	return true
}

// portraitScales are the sides of the squares that are searched, in longer sides
// of the page, from coarse to fine. The smallest finds a portrait whose face is
// 4 % of the longer side.
var portraitScales = []float64{1, 0.6, 0.36}

// Below uprightScale only one way up is searched, the one that showed a face
// before or else upright: four times as many small squares would take seconds on
// a page that has none.
const uprightScale = 0.5

const (
	// A convincing portrait: what the detector, the mesh and the size must say.
	portraitScore    = 0.6
	portraitPresence = 0.7
	portraitEyes     = 12 // pixels
)

// Portrait finds the portrait on a photo of a document: the largest convincing
// face on the page. Smaller ones, such as a ghost image, are given in others,
// largest first. The search goes from coarse to fine and ends at the first scale
// that shows a convincing face.
//
// Where the page is not known, the whole picture is searched from all four sides
// (upright only at the finest scale), and the finer scales are searched also
// after a face was found: others then holds the portrait on a document that
// somebody holds beside their own face.
//
// It fails with [ErrNoPortrait] where there is none.
func (e *Engine) Portrait(img image.Image, page Page) (portrait Face, others []Face, err error) {
	r, err := newRaster(img)
	if err != nil {
		return Face{}, nil, err
	}
	known := page != (Page{})
	turns := []float64{0}
	if known {
		for i := range page {
			page[i] = page[i].sub(Point{float64(r.origin.X), float64(r.origin.Y)})
		}
		if !page.plausible() {
			return Face{}, nil, errors.New("face: the corners of the page are not in order")
		}
	} else {
		w, h := float64(r.w), float64(r.h)
		page = Page{{0, 0}, {w, 0}, {w, h}, {0, h}}
		turns = []float64{0, math.Pi / 2, -math.Pi / 2, math.Pi}
	}
	var faces []Face
	var seen []candidate // what faces came from, and what was turned down with them
	for _, scale := range portraitScales {
		if scale < uprightScale {
			turns = turns[:1]
		}
		var tries []attempt
		for _, turn := range turns {
			try, err := e.search(r, page, turn, scale)
			if err != nil {
				return Face{}, nil, err
			}
			tries = append(tries, try)
		}
		// The detector also fires on faces that lie or stand on their heads, and
		// then takes the mouth for the eyes. The right way up scores highest.
		slices.SortStableFunc(tries, func(a, b attempt) int { return cmp.Compare(b.best, a.best) })
		for _, try := range tries {
			fresh := slices.DeleteFunc(try.found, func(c candidate) bool {
				return slices.ContainsFunc(seen, func(s candidate) bool { return iou(c.box, s.box) >= overlapLimit })
			})
			more, err := e.inspect(r, fresh)
			if err != nil {
				return Face{}, nil, err
			}
			more = slices.DeleteFunc(more, func(f Face) bool {
				return f.Score < portraitScore || f.Presence < portraitPresence || f.Quality.EyeDistance < portraitEyes
			})
			if len(more) > 0 {
				faces = append(faces, more...)
				seen = append(seen, fresh...)
				turns = []float64{try.turn}
				break
			}
		}
		if known && len(faces) > 0 {
			break
		}
	}
	if len(faces) == 0 {
		return Face{}, nil, ErrNoPortrait
	}
	slices.SortStableFunc(faces, func(a, b Face) int {
		return cmp.Compare(b.Quality.EyeDistance, a.Quality.EyeDistance)
	})
	return faces[0], faces[1:], nil
}

// attempt is what the detector found on the page at one scale and turn.
type attempt struct {
	turn  float64
	found []candidate
	best  float64 // highest score of any
}

func (e *Engine) search(r raster, page Page, turn, scale float64) (attempt, error) {
	f := page.frame()
	f.roll += turn
	if math.Abs(math.Sin(turn)) > 0.5 {
		f.width, f.height = f.height, f.width
	}
	var all []candidate
	for _, view := range f.tiles(scale) {
		seen, err := e.look(r, view)
		if err != nil {
			return attempt{}, err
		}
		for _, c := range seen {
			if page.holds(c.box.centre()) {
				all = append(all, c)
			}
		}
	}
	a := attempt{turn: turn, found: suppress(all)}
	if len(a.found) > 0 {
		a.best = a.found[0].score
	}
	return a, nil
}

// tiles covers the frame with squares of the given part of its longer side that
// overlap by half, and gives the map from the detector's input to each.
func (f frame) tiles(scale float64) []affine {
	if scale >= 1 {
		return []affine{f.view()}
	}
	side := scale * math.Max(f.width, f.height)
	across, down := stations(f.width, side), stations(f.height, side)
	sin, cos := math.Sincos(f.roll)
	var views []affine
	for _, y := range down {
		for _, x := range across {
			at := f.centre.add(Point{x*cos - y*sin, x*sin + y*cos})
			views = append(views, square(at, side, f.roll, blazeSize))
		}
	}
	return views
}

// stations spreads the centres of windows of size side over length, around 0, at
// most half a window apart.
func stations(length, side float64) []float64 {
	if length <= side {
		return []float64{0}
	}
	n := int(math.Ceil((length-side)/(side/2))) + 1
	list := make([]float64, n)
	for i := range list {
		list[i] = (length - side) * (float64(i)/float64(n-1) - 0.5)
	}
	return list
}
