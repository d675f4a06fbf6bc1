package geo

import (
	"cmp"
	"compress/gzip"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/bits"
	"net/netip"
	"slices"
	"strings"
	"time"
)

// Packer makes a packed file. The zero value is ready.
type Packer struct {
	places []stored
	index  map[stored]uint32
	used   []int // how many ranges name a place
	v4, v6 ranges
}

// stored is a place as the file holds it.
type stored struct {
	country, city string
	lat, lon      int16
	radius        uint16
}

// ranges are the ranges of one family, in order and without a gap.
type ranges struct {
	list []span
	end  uint64 // where the last one ends
}

// span reaches to the next one.
type span struct {
	start uint64
	is    uint32 // 1 + index of the place or AS, or 0
}

// add puts a range behind the others and reports whether it began a new one, rather than
// going on with the one before. It may not start before the end.
func (r *ranges) add(start, width uint64, is uint32) bool {
	if start > r.end {
		r.list = append(r.list, span{r.end, 0})
	}
	n := len(r.list)
	grew := n == 0 || r.list[n-1].is != is
	if grew {
		r.list = append(r.list, span{start, is})
	}
	r.end = start + width
	return grew
}

// append writes the ranges as doc.go says. code translates what a span is.
func (r *ranges) append(out []byte, code []uint64) []byte {
	var widths, are []byte
	for i, s := range r.list {
		end := r.end
		if i+1 < len(r.list) {
			end = r.list[i+1].start
		}
		widths = appendWidth(widths, end-s.start)
		are = binary.AppendUvarint(are, code[s.is])
	}
	out = binary.AppendUvarint(out, uint64(len(r.list)))
	out = binary.AppendUvarint(out, uint64(len(widths)))
	out = append(out, widths...)
	out = binary.AppendUvarint(out, uint64(len(are)))
	return append(out, are...)
}

// Add puts a network at a place. The networks of a family must come in ascending order
// and may not overlap. The coordinates are rounded to a tenth of a degree, and the radius
// grows by what that moves them. Of IPv6 networks smaller than a /64, the
// first in a /64 stands for it.
func (p *Packer) Add(network netip.Prefix, at Place) error {
	if !network.IsValid() || network != network.Masked() || network.Addr().Is4In6() {
		return fmt.Errorf("geo: %s is no network", network)
	}
	r, size := &p.v6, 64
	if network.Addr().Is4() {
		r, size = &p.v4, 32
	}
	start := number(network.Addr())
	width := uint64(1) << max(0, size-network.Bits())
	if size-network.Bits() > 63 || size == 64 && start+width == 0 {
		return fmt.Errorf("geo: %s reaches to the end of all addresses", network)
	}
	if start < r.end {
		if network.Bits() > 64 && start+1 == r.end {
			return nil
		}
		return fmt.Errorf("geo: %s does not come after the network before it", network)
	}
	s, err := store(at)
	if err != nil {
		return fmt.Errorf("geo: %s: %w", network, err)
	}
	i, ok := p.index[s]
	if !ok {
		if p.index == nil {
			p.index = map[stored]uint32{}
		}
		i = uint32(len(p.places))
		p.index[s], p.places, p.used = i, append(p.places, s), append(p.used, 0)
	}
	if r.add(start, width, i+1) {
		p.used[i]++
	}
	return nil
}

func store(at Place) (stored, error) {
	if len(at.Country) != 2 || strings.Trim(at.Country, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") != "" {
		return stored{}, fmt.Errorf("%q is no country", at.Country)
	}
	if len(at.City) > maxText {
		return stored{}, errors.New("the city's name is too long")
	}
	s := stored{country: at.Country, city: at.City}
	if !at.HasCoordinates {
		return s, nil
	}
	if !(math.Abs(at.Latitude) <= 90 && math.Abs(at.Longitude) <= 180 && at.RadiusKM >= 0 && at.RadiusKM <= 60_000) {
		return stored{}, errors.New("these are no coordinates")
	}
	s.lat, s.lon = int16(math.Round(at.Latitude*10)), int16(math.Round(at.Longitude*10))
	moved := DistanceKM(at, Place{Latitude: float64(s.lat) / 10, Longitude: float64(s.lon) / 10, HasCoordinates: true})
	s.radius = uint16(max(1, math.Ceil(at.RadiusKM+moved)))
	return s, nil
}

// Write writes the file. The same networks give the same file, byte for byte, with the
// same release of Go.
func (p *Packer) Write(w io.Writer, date time.Time, attribution, attributionURL string) error {
	days := date.Unix() / (24 * 60 * 60)
	if days < 0 || days > maxDays {
		return errors.New("geo: the date is out of bounds")
	}
	if len(attribution) > maxText || len(attributionURL) > maxText {
		return errors.New("geo: the attribution is too long")
	}
	order := make([]uint32, len(p.places))
	names, countries := map[string]int{}, map[string]int{}
	for i, s := range p.places {
		order[i] = uint32(i)
		names[s.city], countries[s.country] = 0, 0
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(p.used[b]-p.used[a], compare(p.places[a], p.places[b]))
	})
	code := make([]uint64, len(order)+1) // of 1 + index
	for i, o := range order {
		code[o+1] = uint64(i) + 1
	}

	out := []byte(magic)
	text := func(s string) {
		out = binary.AppendUvarint(out, uint64(len(s)))
		out = append(out, s...)
	}
	out = binary.AppendUvarint(out, uint64(days))
	text(attribution)
	text(attributionURL)
	out = binary.AppendUvarint(out, uint64(len(countries)))
	for i, c := range slices.Sorted(maps.Keys(countries)) {
		countries[c] = i
		out = append(out, c...)
	}
	if len(countries) > 256 {
		return errors.New("geo: there are more countries than there can be")
	}
	sorted := slices.Sorted(maps.Keys(names))
	out = binary.AppendUvarint(out, uint64(len(sorted)))
	for i, n := range sorted {
		names[n] = i
		out = binary.AppendUvarint(out, uint64(len(n)))
	}
	for _, n := range sorted {
		out = append(out, n...)
	}
	out = binary.AppendUvarint(out, uint64(len(order)))
	column := func(add func(stored)) {
		for _, o := range order {
			add(p.places[o])
		}
	}
	column(func(s stored) { out = append(out, byte(countries[s.country])) })
	column(func(s stored) { out = binary.AppendUvarint(out, uint64(names[s.city])) })
	column(func(s stored) { out = binary.AppendVarint(out, int64(s.lat)) })
	column(func(s stored) { out = binary.AppendVarint(out, int64(s.lon)) })
	column(func(s stored) { out = binary.AppendUvarint(out, uint64(s.radius)) })
	out = p.v4.append(out, code)
	out = p.v6.append(out, code)
	return squeeze(w, out)
}

// squeeze is gzip, as small as it gets.
func squeeze(w io.Writer, out []byte) error {
	if len(out) > maxSize {
		return fmt.Errorf("geo: the table is larger than %d MiB", maxSize>>20)
	}
	z, err := gzip.NewWriterLevel(w, gzip.BestCompression)
	if err != nil {
		return err
	}
	if _, err := z.Write(out); err != nil {
		return err
	}
	return z.Close()
}

func compare(a, b stored) int {
	return cmp.Or(cmp.Compare(a.country, b.country), cmp.Compare(a.city, b.city), cmp.Compare(a.lat, b.lat), cmp.Compare(a.lon, b.lon), cmp.Compare(a.radius, b.radius))
}

func appendWidth(b []byte, width uint64) []byte {
	shift := bits.TrailingZeros64(width)
	odd := width >> shift
	if odd < 7 {
		return append(b, byte(shift)|byte(odd/2)<<6)
	}
	return binary.AppendUvarint(append(b, byte(shift)|3<<6), (odd-7)/2)
}
