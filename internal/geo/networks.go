package geo

import (
	"bytes"
	_ "embed"
	"errors"
	"fmt"
	"net/netip"
	"sync"
	"time"
)

const (
	magicAS    = "kosmoscope as 1\n"
	maxCredits = 16
)

// AS is an autonomous system: a network under one administration, as a carrier or a
// university, that the internet knows by a number.
type AS struct {
	Number uint32 // never 0
	Name   string // of who runs it, in words, as "Deutsche Telekom AG"; may be empty
}

// Credit is a text that must stand, as a link to URL, on every page that shows what
// comes from the source it names.
type Credit struct{ Text, URL string }

// Networks says which AS addresses belong to. It never changes, and is safe for
// concurrent use.
type Networks struct {
	date    time.Time
	credits []Credit
	number  []uint32
	nameEnd []uint32 // where the name of each ends in names
	names   string

	v4, v6 family
}

//go:embed networks.bin.gz
var packedNetworks []byte

var embeddedNetworks = sync.OnceValue(func() *Networks {
	n, err := ReadNetworks(packedNetworks)
	if err != nil {
		panic("geo: the AS numbers of this program: " + err.Error()) // a test opens this very table
	}
	return n
})

// LookupAS tells which AS an address belongs to, by the table of this program. It is
// false where that cannot be told; see Networks.Lookup.
func LookupAS(addr netip.Addr) (AS, bool) { return embeddedNetworks().Lookup(addr) }

// ReadNetworks reads a packed file that is in memory. It keeps nothing of b.
func ReadNetworks(b []byte) (*Networks, error) {
	raw, err := unpack(b)
	if err != nil {
		return nil, err
	}
	r := &reader{b: raw}
	if string(r.take("heading", len(magicAS))) != magicAS {
		return nil, errors.New("this is no packed table of AS numbers, or one of another version")
	}
	t := &Networks{date: time.Unix(int64(r.uint("date", maxDays))*24*60*60, 0).UTC()}
	for range r.uint("credits", maxCredits) {
		t.credits = append(t.credits, Credit{r.text("credit"), r.text("address of a credit")})
	}
	t.number = make([]uint32, r.count("numbers", 2))
	t.nameEnd = make([]uint32, len(t.number))
	for i := range t.number {
		if t.number[i] = uint32(r.uint("number", 1<<32-1)); !Assigned(t.number[i]) {
			r.fail("numbers: %d is nobody's", t.number[i])
		}
	}
	end := uint32(0)
	for i := range t.nameEnd {
		end += uint32(r.uint("name", maxText))
		if int(end) > len(r.b) {
			r.fail("names: the table is cut off")
			break
		}
		t.nameEnd[i] = end
	}
	t.names = string(r.take("names", int(end)))
	r.b = bytes.Clone(r.b) // the part before it can go
	t.v4 = r.family("IPv4", len(t.number), 1<<32)
	t.v6 = r.family("IPv6", len(t.number), 1<<64-1)
	if r.err == nil && len(r.b) != 0 {
		r.fail("something follows after the table")
	}
	if r.err != nil {
		return nil, r.err
	}
	return t, nil
}

// Assigned tells whether a number can be that of somebody's AS: not 0 (RFC 7607), the
// stand-in for numbers of four bytes (RFC 6793), one for documentation (RFC 5398), for
// private use (RFC 6996) or the last ones (RFC 7300). Such numbers in routes are mistakes.
func Assigned(n uint32) bool {
	switch {
	case n == 0, n == 23456, n >= 64496 && n <= 65551, n >= 4_200_000_000:
		return false
	}
	return true
}

// Lookup tells which AS an address belongs to. It is false where that cannot be told:
// where Table.Lookup says so, and where nobody announces the address.
func (t *Networks) Lookup(addr netip.Addr) (AS, bool) {
	a, ok := public(addr)
	if !ok {
		return AS{}, false
	}
	return t.lookup(a)
}

func (t *Networks) lookup(a netip.Addr) (AS, bool) {
	f := &t.v6
	if a.Is4() {
		f = &t.v4
	}
	i := f.find(number(a))
	if i == 0 {
		return AS{}, false
	}
	from := uint32(0)
	if i > 1 {
		from = t.nameEnd[i-2]
	}
	return AS{t.number[i-1], t.names[from:t.nameEnd[i-1]]}, true
}

// Date is the day, in UTC, of the data.
func (t *Networks) Date() time.Time { return t.date }

// Credits must stand on every page that shows what the table says.
func (t *Networks) Credits() []Credit { return append([]Credit(nil), t.credits...) }

// Numbers is how many ASs the table tells apart.
func (t *Networks) Numbers() int { return len(t.number) }

// Ranges is as Table.Ranges.
func (t *Networks) Ranges() (v4, v6 int) { return t.v4.ranges, t.v6.ranges }

func (a AS) String() string {
	if a.Name == "" {
		return fmt.Sprintf("AS%d", a.Number)
	}
	return fmt.Sprintf("AS%d %s", a.Number, a.Name)
}
