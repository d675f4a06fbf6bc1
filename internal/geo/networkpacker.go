package geo

import (
	"cmp"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"slices"
	"time"
)

// NetworkPacker makes a packed file of AS numbers. The zero value is ready.
type NetworkPacker struct {
	list   []AS
	index  map[uint32]uint32 // by number
	used   []int             // how many ranges name it
	v4, v6 ranges
}

// Add says that the addresses from first to last, both included, belong to an AS. The
// ranges of a family must come in ascending order and may not overlap. Of ranges of IPv6
// smaller than a /64, the first in a /64 stands for it. An AS has the name that it is first
// given.
func (p *NetworkPacker) Add(first, last netip.Addr, as AS) error {
	what := first.String() + " to " + last.String()
	if !first.IsValid() || first.BitLen() != last.BitLen() || first.Is4In6() || last.Is4In6() || first.Zone() != "" || last.Less(first) {
		return fmt.Errorf("geo: %s is no range", what)
	}
	if !Assigned(as.Number) || len(as.Name) > maxText {
		return fmt.Errorf("geo: %s: %d is nobody's number, or its name is too long", what, as.Number)
	}
	r := &p.v6
	if first.Is4() {
		r = &p.v4
	}
	start, end := number(first), number(last)+1
	if end == 0 || end == 1<<64-1 {
		return fmt.Errorf("geo: %s reaches to the end of all addresses", what)
	}
	if start < r.end {
		// Where a range begins within a /64, it begins behind that.
		if b := first.AsSlice(); !first.Is6() || start+1 != r.end || !slices.ContainsFunc(b[8:], func(b byte) bool { return b != 0 }) {
			return fmt.Errorf("geo: %s does not come after the range before it", what)
		}
		if start = r.end; start == end {
			return nil
		}
	}
	i, ok := p.index[as.Number]
	if !ok {
		if p.index == nil {
			p.index = map[uint32]uint32{}
		}
		i = uint32(len(p.list))
		p.index[as.Number], p.list, p.used = i, append(p.list, as), append(p.used, 0)
	}
	if r.add(start, end-start, i+1) {
		p.used[i]++
	}
	return nil
}

// Write writes the file. The same ranges give the same file, byte for byte, with the same
// release of Go.
func (p *NetworkPacker) Write(w io.Writer, date time.Time, credits ...Credit) error {
	days := date.Unix() / (24 * 60 * 60)
	if days < 0 || days > maxDays {
		return errors.New("geo: the date is out of bounds")
	}
	if len(credits) > maxCredits {
		return errors.New("geo: there are too many credits")
	}
	order := make([]uint32, len(p.list))
	for i := range order {
		order[i] = uint32(i)
	}
	slices.SortFunc(order, func(a, b uint32) int {
		return cmp.Or(p.used[b]-p.used[a], cmp.Compare(p.list[a].Number, p.list[b].Number))
	})
	code := make([]uint64, len(order)+1)
	for i, o := range order {
		code[o+1] = uint64(i) + 1
	}
	out := binary.AppendUvarint([]byte(magicAS), uint64(days))
	out = binary.AppendUvarint(out, uint64(len(credits)))
	for _, c := range credits {
		for _, s := range []string{c.Text, c.URL} {
			if len(s) > maxText {
				return errors.New("geo: a credit is too long")
			}
			out = binary.AppendUvarint(out, uint64(len(s)))
			out = append(out, s...)
		}
	}
	out = binary.AppendUvarint(out, uint64(len(order)))
	for _, o := range order {
		out = binary.AppendUvarint(out, uint64(p.list[o].Number))
	}
	for _, o := range order {
		out = binary.AppendUvarint(out, uint64(len(p.list[o].Name)))
	}
	for _, o := range order {
		out = append(out, p.list[o].Name...)
	}
	out = p.v4.append(out, code)
	out = p.v6.append(out, code)
	return squeeze(w, out)
}
