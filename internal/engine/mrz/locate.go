package mrz

import (
	"cmp"
	"math"
	"slices"

	"github.com/kosmoscope/kosmoscope/internal/engine/mrz/internal/cell"
)

// point is a place in the working picture, pixels.
type point struct{ x, y float64 }

func (p point) add(q point) point     { return point{p.x + q.x, p.y + q.y} }
func (p point) sub(q point) point     { return point{p.x - q.x, p.y - q.y} }
func (p point) scale(k float64) point { return point{p.x * k, p.y * k} }
func (p point) dot(q point) float64   { return p.x*q.x + p.y*q.y }
func (p point) len() float64          { return math.Hypot(p.x, p.y) }
func (p point) perpendicular() point  { return point{-p.y, p.x} } // a quarter turn from x towards y
func (p point) within(q point, r float64) bool {
	return math.Abs(p.x-q.x) <= r && math.Abs(p.y-q.y) <= r
}

// blob is one connected dark patch that may be a character.
type blob struct {
	point         // centre of its bounding box
	w, h  float64 // of the bounding box
	used  bool    // already part of a chain
}

func (b *blob) size() float64 { return max(b.w, b.h) }

// threshold decides what is dark: a pixel that is darker than the mean of its
// surroundings by floor grey levels and by k of their standard deviations.
type threshold struct{ floor, k float64 }

// thresholds are tried in turn. The second finds faint print under glare, the
// third separates characters from a dark background print.
var thresholds = []threshold{{9, 0.35}, {4.5, 0.3}, {14, 0.8}}

const (
	window   = 17     // half the surroundings' side, pixels
	maxBlobs = 30_000 // more than this is texture
	minChar  = 6      // height of the smallest character that can be read, pixels
	maxChar  = 110
)

// smooth is a binomial 3 x 3 filter against sensor noise.
func smooth(g *cell.Gray) *cell.Gray {
	out := cell.NewGray(g.W, g.H)
	sums := make([]uint16, g.W)
	for y := range g.H {
		up, mid, down := g.Pix[max(y-1, 0)*g.W:], g.Pix[y*g.W:], g.Pix[min(y+1, g.H-1)*g.W:]
		for x := range sums {
			sums[x] = uint16(up[x]) + 2*uint16(mid[x]) + uint16(down[x])
		}
		row := out.Pix[y*g.W : (y+1)*g.W]
		for x := 1; x < g.W-1; x++ {
			row[x] = uint8((sums[x-1] + 2*sums[x] + sums[x+1] + 8) / 16)
		}
		row[0], row[g.W-1] = mid[0], mid[g.W-1]
	}
	return out
}

// binarize keeps running column sums of a band of rows, so that it needs no
// integral picture.
func binarize(g *cell.Gray, t threshold) []bool {
	out := make([]bool, g.W*g.H)
	sum, sq := make([]int32, g.W), make([]int64, g.W)
	row := func(y int, sign int32) {
		for x, v := range g.Pix[y*g.W : (y+1)*g.W] {
			sum[x] += sign * int32(v)
			sq[x] += int64(sign * int32(v) * int32(v))
		}
	}
	for y := range min(window, g.H) {
		row(y, 1)
	}
	for y := range g.H {
		if y+window < g.H {
			row(y+window, 1)
		}
		if y > window {
			row(y-window-1, -1)
		}
		rows := min(y+window, g.H-1) - max(y-window, 0) + 1
		var s int32
		var q int64
		for x := range min(window, g.W) {
			s += sum[x]
			q += sq[x]
		}
		for x := range g.W {
			if x+window < g.W {
				s += sum[x+window]
				q += sq[x+window]
			}
			if x > window {
				s -= sum[x-window-1]
				q -= sq[x-window-1]
			}
			n := float32(rows * (min(x+window, g.W-1) - max(x-window, 0) + 1))
			mean := float32(s) / n
			d := mean - float32(g.Pix[y*g.W+x])
			if d > float32(t.floor) {
				variance := float32(q)/n - mean*mean
				out[y*g.W+x] = d*d > float32(t.k*t.k)*variance
			}
		}
	}
	return out
}

// run is a dark stretch of one row.
type run struct{ from, to, label int32 }

// components labels runs row by row (8-connected) with a union of equal labels,
// and returns what could be characters. Nil if there is far too much of it.
func components(dark []bool, w, h int) []blob {
	type box struct{ x0, y0, x1, y1, area int32 }
	var parent []int32
	var boxes []box
	find := func(a int32) int32 {
		for parent[a] != a {
			parent[a] = parent[parent[a]]
			a = parent[a]
		}
		return a
	}
	var prev, cur []run
	for y := range h {
		cur = cur[:0]
		line := dark[y*w : (y+1)*w]
		k := 0
		for x := 0; x < w; x++ {
			if !line[x] {
				continue
			}
			from := x
			for x < w && line[x] {
				x++
			}
			r := run{int32(from), int32(x), -1}
			for k > 0 && prev[k-1].to >= r.from {
				k--
			}
			for k < len(prev) && prev[k].from <= r.to {
				if prev[k].to >= r.from {
					l := find(prev[k].label)
					if r.label < 0 {
						r.label = l
					} else if r.label != l {
						parent[l] = r.label
						a, b := &boxes[r.label], &boxes[l]
						a.x0, a.y0, a.x1, a.y1 = min(a.x0, b.x0), min(a.y0, b.y0), max(a.x1, b.x1), max(a.y1, b.y1)
						a.area += b.area
					}
				}
				k++
			}
			if r.label < 0 {
				r.label = int32(len(parent))
				parent = append(parent, r.label)
				boxes = append(boxes, box{r.from, int32(y), r.to, int32(y) + 1, 0})
			}
			b := &boxes[r.label]
			b.x0, b.x1, b.y1 = min(b.x0, r.from), max(b.x1, r.to), int32(y)+1
			b.area += r.to - r.from
			cur = append(cur, r)
		}
		prev, cur = cur, prev
	}
	var out []blob
	for i, b := range boxes {
		if parent[i] != int32(i) {
			continue
		}
		bw, bh := float64(b.x1-b.x0), float64(b.y1-b.y0)
		big, small := max(bw, bh), min(bw, bh)
		fill := float64(b.area) / (bw * bh)
		if big < minChar || big > maxChar || small < 2 || big > 7*small || fill < 0.08 {
			continue
		}
		if len(out) == maxBlobs {
			return nil
		}
		out = append(out, blob{point: point{float64(b.x0) + bw/2 - 0.5, float64(b.y0) + bh/2 - 0.5}, w: bw, h: bh})
	}
	return out
}

// field finds blobs by place.
type field struct {
	blobs []blob
	cells map[[2]int32][]int32
}

const fieldCell = 24

func newField(blobs []blob) *field {
	f := &field{blobs: blobs, cells: make(map[[2]int32][]int32, len(blobs))}
	for i, b := range blobs {
		k := [2]int32{int32(b.x) / fieldCell, int32(b.y) / fieldCell}
		f.cells[k] = append(f.cells[k], int32(i))
	}
	return f
}

// near calls yield with every blob in the square of half side r around p.
func (f *field) near(p point, r float64, yield func(int)) {
	if math.IsNaN(p.x) || math.IsNaN(p.y) || r > 400 {
		return
	}
	for y := int32(math.Floor(p.y-r)) / fieldCell; y <= int32(p.y+r)/fieldCell; y++ {
		for x := int32(math.Floor(p.x-r)) / fieldCell; x <= int32(p.x+r)/fieldCell; x++ {
			for _, i := range f.cells[[2]int32{x, y}] {
				if f.blobs[i].within(p, r) {
					yield(int(i))
				}
			}
		}
	}
}

// nearest is the blob closest to p within r that is like a character of that size, -1 if none.
func (f *field) nearest(p point, r, size float64) int {
	best, at := r, -1
	f.near(p, r, func(i int) {
		b := &f.blobs[i]
		if s := b.size(); s < 0.5*size || s > 1.6*size {
			return
		}
		if d := b.sub(p).len(); d < best {
			best, at = d, i
		}
	})
	return at
}

// link is a blob with its place in a chain.
type link struct{ index, blob int }

// chain is a row of blobs at even steps, some of them missing.
type chain struct {
	links []link // by rising index, the first index is 0
	dir   point  // mean step from one index to the next
}

const (
	minChain  = 12 // characters that make a line credible
	maxChains = 60
)

// chains finds rows of evenly spaced blobs of like size: that is what a
// machine-readable line is, and almost nothing else. Longest first.
func chains(f *field) []chain {
	var out []chain
	var mates []int
	budget := 400_000 // steps; a texture must not cost more than a document
	for a := range f.blobs {
		if f.blobs[a].used {
			continue
		}
		sa := f.blobs[a].size()
		mates = mates[:0]
		f.near(f.blobs[a].point, 1.9*sa, func(b int) {
			d := f.blobs[b].sub(f.blobs[a].point)
			s := max(sa, f.blobs[b].size())
			if f.blobs[b].used || d.len() < 0.7*s || d.len() > 1.8*s || f.blobs[b].size() < 0.6*sa || f.blobs[b].size() > 1.6*sa {
				return
			}
			if d.x > 0 || d.x == 0 && d.y > 0 { // every pair once
				mates = append(mates, b)
			}
		})
		slices.SortFunc(mates, func(b, c int) int {
			return cmp.Compare(f.blobs[b].sub(f.blobs[a].point).len(), f.blobs[c].sub(f.blobs[a].point).len())
		})
		for _, b := range mates[:min(len(mates), 6)] {
			c := f.extend(a, b, &budget)
			if len(c.links) < minChain || len(c.links)*10 < (c.links[len(c.links)-1].index+1)*7 {
				continue
			}
			for _, l := range c.links {
				f.blobs[l.blob].used = true
			}
			out = append(out, c)
			break
		}
		if budget < 0 {
			break
		}
	}
	slices.SortStableFunc(out, func(a, b chain) int { return cmp.Compare(len(b.links), len(a.links)) })
	return out[:min(len(out), maxChains)]
}

// extend walks from the pair a, b in both directions.
func (f *field) extend(a, b int, budget *int) chain {
	links := []link{{0, a}, {1, b}}
	links = f.walk(links, budget)
	slices.Reverse(links)
	links = f.walk(links, budget)
	slices.Reverse(links)
	first := links[0].index
	for i := range links {
		links[i].index -= first
	}
	last := links[len(links)-1]
	return chain{links, f.blobs[last.blob].sub(f.blobs[links[0].blob].point).scale(1 / float64(last.index))}
}

// walk continues links beyond their end, over at most two missing characters at a time.
func (f *field) walk(links []link, budget *int) []link {
	size := f.blobs[links[0].blob].size()
	step := 1
	if len(links) > 1 && links[1].index < links[0].index {
		step = -1
	}
	for {
		// Straight line through the last few.
		tail := links[max(0, len(links)-8):]
		n := float64(len(tail))
		var si, sx, sy, sii, six, siy float64
		for _, l := range tail {
			i, p := float64(l.index), f.blobs[l.blob].point
			si, sx, sy = si+i, sx+p.x, sy+p.y
			sii, six, siy = sii+i*i, six+i*p.x, siy+i*p.y
		}
		den := n*sii - si*si
		slope := point{(n*six - si*sx) / den, (n*siy - si*sy) / den}
		mean := point{sx / n, sy / n}
		pitch := slope.len()
		found := -1
		last := links[len(links)-1].index
		for gap := 1; gap <= 3 && found < 0; gap++ {
			*budget--
			i := last + gap*step
			p := mean.add(slope.scale(float64(i) - si/n))
			r := 0.3
			if len(tail) > 4 {
				r = 0.24
			}
			if found = f.nearest(p, r*pitch, size); found >= 0 {
				links = append(links, link{i, found})
				size = 0.8*size + 0.2*f.blobs[found].size()
			}
		}
		if found < 0 || len(links) > 120 || *budget < 0 {
			return links
		}
	}
}
